//! Requests and ticks that overlap call by call, which no nesting of one in the other can show. Each runs in a thread of its
//! own and stops before each call of the store until the test lets it go on. Native, on the whole core.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use http::Response;
use serde_json::{Value, json};
use volume_snapshots::store::key_value::{ReadToSwap, Swap};
use volume_snapshots::store::{KeyValue, StoreError};

use crate::support::calls::Calls;
use crate::support::faults::{Call, CallKind};
use crate::support::memory_key_value::MemoryKeyValue;
use crate::support::native::{NativeService, TestVariables};
use crate::support::{Service, client, operator, text};

const PROJECT: &str = "a1";
const VOLUME: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const RECORD: &str = "vs1:project:a1";
const SNAPSHOTS: &str = "vs1:snapshot:";

/// A store whose calls wait until the test lets them go on.
struct Stepped {
    key_value: MemoryKeyValue,
    calls: Sender<Call>,
    go: Receiver<()>,
}

impl Stepped {
    /// Announces a call, and waits until it may be made.
    fn call(&self, kind: CallKind, keys: &[String]) -> Result<&MemoryKeyValue, StoreError> {
        let is_over = |_| StoreError::Failed("the test is over".to_owned());
        let call = Call { kind, label: "default".to_owned(), keys: keys.to_vec() };
        self.calls.send(call).map_err(|_| StoreError::Failed("the test is over".to_owned()))?;
        self.go.recv().map_err(is_over)?;
        Ok(&self.key_value)
    }

    fn call_one(&self, kind: CallKind, key: &str) -> Result<&MemoryKeyValue, StoreError> {
        self.call(kind, &[key.to_owned()])
    }
}

impl KeyValue for Stepped {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.call_one(CallKind::Get, key)?.get(key)
    }

    fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.call(CallKind::GetMany, keys)?.get_many(keys)
    }

    fn set_many(&self, entries: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
        let keys: Vec<String> = entries.iter().map(|(key, _)| key.clone()).collect();
        self.call(CallKind::SetMany, &keys)?.set_many(entries)
    }

    fn delete_many(&self, keys: &[String]) -> Result<(), StoreError> {
        self.call(CallKind::DeleteMany, keys)?.delete_many(keys)
    }

    fn keys(&self) -> Result<Vec<String>, StoreError> {
        self.call(CallKind::GetKeys, &[])?.keys()
    }

    fn increment(&self, key: &str, delta: i64) -> Result<i64, StoreError> {
        self.call_one(CallKind::Increment, key)?.increment(key, delta)
    }

    fn read_to_swap<'a>(&'a self, key: &str) -> Result<ReadToSwap<'a>, StoreError> {
        let read = self.call_one(CallKind::Current, key)?.read_to_swap(key)?;
        let handle = SteppedSwap { store: self, key: key.to_owned(), handle: read.handle };
        Ok(ReadToSwap { value: read.value, handle: Box::new(handle) })
    }

    fn pause(&self, _attempt: u32) {}
}

struct SteppedSwap<'a> {
    store: &'a Stepped,
    key: String,
    handle: Box<dyn Swap + 'a>,
}

impl Swap for SteppedSwap<'_> {
    fn swap(self: Box<Self>, value: &[u8]) -> Result<bool, StoreError> {
        self.store.call_one(CallKind::Swap, &self.key)?;
        self.handle.swap(value)
    }
}

/// A request that runs call by call.
struct Running {
    /// The call before which it waits, or `None` if it has been answered.
    next: Option<Call>,
    calls: Receiver<Call>,
    go: Sender<()>,
    thread: JoinHandle<Response<Vec<u8>>>,
}

impl Running {
    /// Starts a request in a process of its own, and stops before its first call.
    fn start(service: &NativeService, number: u64, request: http::Request<Vec<u8>>) -> Self {
        let (announce, calls) = channel();
        let (go, wait) = channel();
        let process = service.process(number);
        let thread = std::thread::spawn(move || {
            let key_value = Stepped { key_value: process.key_value.clone(), calls: announce, go: wait };
            process.send_through(&key_value, request)
        });
        let next = calls.recv().ok();
        Self { next, calls, go, thread }
    }

    fn tick(service: &NativeService, number: u64) -> Self {
        Self::start(service, number, operator("POST", "/_ops/tick", b""))
    }

    /// Makes one call. Returns whether there was one.
    fn step(&mut self) -> bool {
        if self.next.is_none() {
            return false;
        }
        self.go.send(()).expect("it waits");
        self.next = self.calls.recv().ok();
        true
    }

    /// Stops before the next call of a kind on keys with a prefix.
    fn stop_before(&mut self, kind: CallKind, prefix: &str) {
        let is_it = |call: &Call| call.kind == kind && call.keys.iter().any(|key| key.starts_with(prefix));
        while !self.next.as_ref().is_some_and(is_it) {
            assert!(self.step(), "no call of {kind:?} on {prefix}");
        }
    }

    /// Goes on to the end, and returns the answer.
    fn finish(mut self) -> Response<Vec<u8>> {
        while self.step() {}
        self.thread.join().expect("an answer")
    }
}

fn service(variables: &[(&'static str, &str)], snapshots: usize) -> NativeService {
    let mut all = TestVariables::default().with("quota_snapshots", "-1").with("quota_gigabytes", "-1");
    for (name, value) in variables {
        all = all.with(name, value);
    }
    let service = NativeService::with_variables(all);
    let snapshots: Vec<Value> = (0..snapshots)
        .map(|number| json!({ "id": format!("bbbbbbbb-0000-4000-8000-{number:012}"), "project_id": PROJECT }))
        .collect();
    service.put_state(&json!({ "volumes": [{ "project_id": PROJECT }], "snapshots": snapshots }));
    service.advance(10.0);
    service
}

fn rows_of(service: &NativeService, prefix: &str) -> Vec<String> {
    service.key_value.dump().into_keys().filter(|key| key.starts_with(prefix)).collect()
}

/// Checks that a repair finds nothing wrong, and that each stored row is listed.
fn assert_well(service: &NativeService, case: &str) {
    let listed = service.ids(&format!("/v3/{PROJECT}/snapshots")).len();
    assert_eq!(rows_of(service, SNAPSHOTS).len(), listed, "{case}: every stored row is listed");
    let report = service.operate("POST", "/_ops/repair", &Value::Null).body;
    for wrong in ["entries_without_row", "rows_without_entry", "counters", "rows_without_agenda"] {
        assert_eq!(report[wrong], 0, "{case}: {report}");
    }
}

/// Other writers are faster for six seconds, so the entry of a create is old when the record gets it. The tick that comes right
/// after that misses the row, but does not take the create for dead. A list that overlaps with all of it shows the snapshot.
#[test]
fn a_create_that_is_listed_late_is_not_dropped_by_the_next_tick() {
    let service = service(&[], 0);
    let path = format!("/v3/{PROJECT}/snapshots");
    let body = json!({ "snapshot": { "volume_id": VOLUME } });
    let mut create = Running::start(&service, 1, client("POST", &path, &body));
    create.stop_before(CallKind::Swap, RECORD);
    service.advance(6.0);
    create.stop_before(CallKind::SetMany, SNAPSHOTS);
    let mut list = Running::start(&service, 2, client("GET", &path, &Value::Null));
    list.stop_before(CallKind::GetMany, SNAPSHOTS);
    assert_eq!(service.operate("POST", "/_ops/tick", &Value::Null).status, 200);
    create.step();
    assert!(text(&list.finish()).contains(VOLUME), "the list has read the row");
    let created = create.finish();
    assert_eq!(created.status(), 202, "{}", text(&created));
    assert_eq!(service.ids(&path).len(), 1, "the snapshot that the list has shown");
    assert_well(&service, "afterwards");
}

/// A create takes more than eight seconds, and two ticks take it for dead. It objects, and is acknowledged, when both are about to
/// drop its entry. Neither may.
#[test]
fn an_acknowledged_create_is_not_dropped_by_two_ticks() {
    let service = service(&[], 0);
    let body = json!({ "snapshot": { "volume_id": VOLUME } });
    let mut create = Running::start(&service, 1, client("POST", &format!("/v3/{PROJECT}/snapshots"), &body));
    create.stop_before(CallKind::SetMany, SNAPSHOTS);
    service.advance(6.0);
    assert_eq!(service.operate("POST", "/_ops/tick", &Value::Null).status, 200);
    service.advance(3.0);
    let mut first = Running::tick(&service, 2);
    let mut second = Running::tick(&service, 3);
    // Both have found that the row is still missed.
    first.stop_before(CallKind::Current, RECORD);
    second.stop_before(CallKind::Current, RECORD);
    // One has looked once more, and is about to drop the entry.
    first.stop_before(CallKind::Swap, RECORD);
    let created = create.finish();
    assert_eq!(created.status(), 202, "{}", text(&created));
    second.stop_before(CallKind::Swap, RECORD);
    second.step();
    assert_eq!(first.finish().status(), 200);
    assert_eq!(second.finish().status(), 200);
    assert_eq!(service.ids(&format!("/v3/{PROJECT}/snapshots")).len(), 1, "the snapshot that was acknowledged");
    assert_well(&service, "after both ticks");
}

/// Another client finds a snapshot in a list before its create has looked at the record again, and deletes it. The create has had
/// its effect, so it must not say that nothing was done.
#[test]
fn a_create_that_others_undo_before_its_answer_does_not_promise_that_nothing_was_done() {
    let service = service(&[("create_seconds", "0"), ("delete_seconds", "0")], 0);
    let path = format!("/v3/{PROJECT}/snapshots");
    let body = json!({ "snapshot": { "volume_id": VOLUME } });
    let mut create = Running::start(&service, 1, client("POST", &path, &body));
    create.stop_before(CallKind::SetMany, SNAPSHOTS);
    create.step();
    let [id] = service.ids(&path).try_into().expect("the snapshot is listed");
    assert_eq!(service.call("DELETE", &format!("{path}/{id}"), &Value::Null).status, 202);
    service.advance(1.0);
    assert_eq!(service.operate("POST", "/_ops/tick", &Value::Null).status, 200);
    assert_eq!(rows_of(&service, SNAPSHOTS), [] as [String; 0], "the tick has removed the row");
    let created = create.finish();
    assert_eq!(created.status(), 503, "{}", text(&created));
    assert!(text(&created).contains("may have been done or not"), "{}", text(&created));
    assert_well(&service, "afterwards");
}

/// A repair meets a create that takes more than five seconds. The scheduled step will look for its row, so nothing is wrong.
#[test]
fn a_repair_leaves_an_announced_create_to_the_tick() {
    let service = service(&[], 3);
    let body = json!({ "snapshot": { "volume_id": VOLUME } });
    let mut create = Running::start(&service, 1, client("POST", &format!("/v3/{PROJECT}/snapshots"), &body));
    create.stop_before(CallKind::SetMany, SNAPSHOTS);
    service.advance(6.0);
    assert_well(&service, "while it runs");
    let created = create.finish();
    assert_eq!(created.status(), 202, "{}", text(&created));
    assert_eq!(service.ids(&format!("/v3/{PROJECT}/snapshots")).len(), 4);
}

/// A tick has dropped the entry of a create that takes long. A repair meets its row before the create looks and deletes it.
#[test]
fn a_repair_does_not_list_the_row_of_a_create_that_was_dropped() {
    let service = service(&[], 3);
    let body = json!({ "snapshot": { "volume_id": VOLUME } });
    let mut create = Running::start(&service, 1, client("POST", &format!("/v3/{PROJECT}/snapshots"), &body));
    create.stop_before(CallKind::SetMany, SNAPSHOTS);
    for seconds in [6.0, 3.0] {
        service.advance(seconds);
        assert_eq!(service.operate("POST", "/_ops/tick", &Value::Null).status, 200);
    }
    create.step();
    assert_eq!(rows_of(&service, SNAPSHOTS).len(), 4, "the row is there");
    let report = service.operate("POST", "/_ops/repair", &Value::Null).body;
    assert_eq!((&report["rows_without_entry"], &report["counters"]), (&json!(0), &json!(0)), "{report}");
    assert_eq!(create.finish().status(), 503);
    assert_well(&service, "afterwards");
    assert_eq!(rows_of(&service, SNAPSHOTS).len(), 3);
}

/// So many other creates come between the read of the record and its swap that the record cannot say whether the swap has
/// landed. It has not, so the create must not write its row.
#[test]
fn a_create_that_does_not_know_whether_it_is_listed_writes_no_row_without_an_entry() {
    let service = service(&[], 0);
    let path = format!("/v3/{PROJECT}/snapshots");
    let body = json!({ "snapshot": { "volume_id": VOLUME } });
    let mut create = Running::start(&service, 1, client("POST", &path, &body));
    create.stop_before(CallKind::Swap, RECORD);
    for _ in 0..40 {
        service.new_snapshot(&format!("/v3/{PROJECT}"), VOLUME);
    }
    while create.step() {
        let listed = service.ids(&path).len();
        assert_eq!(rows_of(&service, SNAPSHOTS).len(), listed, "every stored row is listed, before {:?}", create.next);
    }
    assert_eq!(create.finish().status(), 503);
    assert_well(&service, "afterwards");
}

/// A repair reads the row of a snapshot whose deletion came after it read the agenda. Before it looks at the agenda again, a tick
/// removes the row and forgets it.
#[test]
fn a_repair_counts_no_row_whose_work_a_tick_has_done() {
    let service = service(&[], 3);
    let delete = |number: usize| {
        let path = format!("/v3/{PROJECT}/snapshots/bbbbbbbb-0000-4000-8000-{number:012}");
        assert_eq!(service.delete(&path).status, 202);
    };
    let mut repair = Running::start(&service, 1, operator("POST", "/_ops/repair", b""));
    repair.stop_before(CallKind::GetMany, SNAPSHOTS);
    repair.step();
    // The survey has read the agenda, and is about to read the rows. It will find the project in doubt.
    repair.stop_before(CallKind::GetMany, SNAPSHOTS);
    delete(0);
    repair.step();
    // Now it has read the agenda of this project alone.
    repair.stop_before(CallKind::GetMany, SNAPSHOTS);
    delete(1);
    repair.step();
    repair.stop_before(CallKind::GetMany, RECORD);
    service.advance(5.0);
    for _ in 0..2 {
        assert_eq!(service.operate("POST", "/_ops/tick", &Value::Null).status, 200);
    }
    let repaired = repair.finish();
    assert!(text(&repaired).contains("\"rows_without_agenda\":0"), "{}", text(&repaired));
}

/// The number of snapshots from which a tick that removes them forgets their items at once.
const MANY: usize = 510;

/// Runs a delete of a volume with its snapshots. Before it marks the snapshots, a tick makes some calls. Then the delete marks
/// them, and the two go on in one of two orders. Returns whether the tick has made all of these calls.
fn overlapping_cascade(calls: usize, delete_is_first: bool) -> bool {
    let service = service(&[("progression", "immediate"), ("max_limit", "2000")], MANY);
    let path = format!("/v3/{PROJECT}/volumes/{VOLUME}?cascade=true");
    let mut delete = Running::start(&service, 1, client("DELETE", &path, &Value::Null));
    delete.stop_before(CallKind::SetMany, SNAPSHOTS);
    let mut tick = Running::tick(&service, 2);
    let has_made_all = (0..calls).all(|_| tick.step());
    delete.step();
    let (deleted, ticked) = if delete_is_first {
        let deleted = delete.finish();
        (deleted, tick.finish())
    } else {
        let ticked = tick.finish();
        (delete.finish(), ticked)
    };
    let case = format!("the tick stops after {calls} calls, the delete is first: {delete_is_first}");
    assert_eq!((deleted.status().as_u16(), ticked.status().as_u16()), (202, 200), "{case}: {}", text(&deleted));
    for _ in 0..8 {
        service.advance(1.0);
        assert_eq!(service.operate("POST", "/_ops/tick", &Value::Null).status, 200);
    }
    assert_eq!(rows_of(&service, SNAPSHOTS), [] as [&str; 0], "{case}: no row is left");
    assert_well(&service, &case);
    has_made_all
}

/// A tick removes snapshots while the request that deletes them with their volume is about to mark them.
#[test]
fn a_slow_cascade_brings_back_no_row() {
    for delete_is_first in [true, false] {
        let mut calls = 0;
        while overlapping_cascade(calls, delete_is_first) {
            calls += 1;
        }
        assert!(calls > 10, "a tick makes more calls than {calls}");
    }
}

/// The volume of the document that waits for a tick to be created.
const WAITING: &str = "aaaaaaaa-0000-4000-8000-000000000002";

/// Replaces the state, with work that only ticks end. After some of its calls a tick begins, and makes some calls. Then both
/// go on to their ends. Returns whether the replacement has made all these calls.
fn overlapping_replacement(of_replacement: usize, of_tick: usize) -> bool {
    let service = service(&[], 1);
    let work = |completion: &str, schedule: &str| json!({ "completion": completion, "schedule": schedule, "due": service.now(), "gives_up": service.now().plus_seconds(3600.0) });
    let id = |number| format!("cccccccc-0000-4000-8000-{number:012}");
    let snapshots: Vec<Value> =
        (0..3).map(|number| json!({ "id": id(number), "project_id": PROJECT, "volume_id": VOLUME })).collect();
    let document = json!({
        "volumes": [
            { "id": VOLUME, "project_id": PROJECT, "status": "deleting", "pending": work("cascade", "clock") },
            { "id": WAITING, "project_id": PROJECT, "status": "creating", "pending": work("create", "next-tick") },
        ],
        "snapshots": snapshots,
    });
    let request = operator("PUT", "/_ops/state", document.to_string().as_bytes());
    let mut replacement = Running::start(&service, 1, request);
    let is_replaced = (0..of_replacement).all(|_| replacement.step());
    let mut tick = Running::tick(&service, 2);
    (0..of_tick).for_each(|_| {
        tick.step();
    });
    let replaced = replacement.finish();
    let ticked = tick.finish();
    let case = format!("after {of_replacement} calls of the replacement and {of_tick} of the tick");
    assert_eq!((replaced.status().as_u16(), ticked.status().as_u16()), (200, 200), "{case}: {}", text(&replaced));
    for _ in 0..4 {
        service.advance(1.0);
        assert_eq!(service.operate("POST", "/_ops/tick", &Value::Null).status, 200);
    }
    let status = |volume: &str| service.status_of(&format!("/v3/{PROJECT}/volumes/{volume}"));
    assert_eq!(status(WAITING).as_deref(), Some("available"), "{case}");
    assert_eq!(status(VOLUME), None, "{case}");
    assert_eq!(rows_of(&service, SNAPSHOTS), [] as [&str; 0], "{case}");
    assert_well(&service, &case);
    is_replaced
}

/// A tick forgets the items of rows that are not there. While the state is replaced, these may be rows of the new state.
#[test]
fn the_work_in_a_new_state_goes_on_whatever_ticks_run_meanwhile() {
    for of_tick in 0..12 {
        let mut of_replacement = 0;
        while overlapping_replacement(of_replacement, of_tick) {
            of_replacement += 1;
        }
        assert!(of_replacement > 20, "a replacement makes more calls than {of_replacement}");
    }
}

/// A project gets its first volume while the state is replaced. It keeps the volume if that came after the document.
#[test]
fn a_project_that_comes_after_a_new_state_is_not_emptied() {
    let document = json!({ "volumes": [{ "project_id": PROJECT }, { "id": WAITING, "project_id": PROJECT }] });
    let mut after = 0;
    for calls in 0.. {
        let service = service(&[], 1);
        let request = operator("PUT", "/_ops/state", document.to_string().as_bytes());
        let mut replacement = Running::start(&service, 1, request);
        let is_running = (0..calls).all(|_| replacement.step());
        let is_replaced = service.status_of(&format!("/v3/{PROJECT}/volumes/{WAITING}")).is_some();
        let body = json!({ "volume": { "size": 1 } });
        let mut create = client("POST", "/v3/b2/volumes", &body);
        create.headers_mut().insert("x-auth-token", "demo:b2".parse().expect("a header"));
        let created = service.send(create);
        assert_eq!(created.status(), 202, "{calls}: {}", text(&created));
        assert!(replacement.finish().status().is_success());
        let volumes = service.state()["volumes"].as_array().expect("volumes").len();
        assert_eq!(rows_of(&service, "vs1:volume:").len(), volumes, "{calls}: every stored row is listed");
        assert!(volumes == 3 || !is_replaced, "{calls}: the volume was acknowledged after the document, and is gone");
        assert_well(&service, &calls.to_string());
        after += usize::from(is_replaced && is_running);
        if !is_running {
            break;
        }
    }
    assert!(after > 1, "some creates come after the commit");
}
