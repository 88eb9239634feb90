//! Laws of concurrency. One request runs in the middle of another, before any of its store calls, and a third in the
//! middle of the second. In every combination listing, count, quota, and rows agree at the end, and no acknowledged
//! change is lost. Native, on the whole core.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::support::native::{NativeService, TestVariables};
use crate::support::{Service, client, json, operator};
use http::{Request, Response};
use proptest::prelude::*;
use serde_json::{Value, json};
use volume_snapshots::store::key_value::{ReadToSwap, Swap};
use volume_snapshots::store::{KeyValue, StoreError};

const PROJECT: &str = "a1";
const VOLUME: &str = "aaaaaaaa-0000-4000-8000-000000000001";

/// The number of snapshots at the start. Some of them are in pages of the listing.
const SNAPSHOTS: usize = 150;

/// The number of snapshots in [`document`]. They do not fit the head of an index.
const SNAPSHOTS_OF_DOCUMENT: usize = 40;

fn snapshot_id(number: usize) -> String {
    format!("bbbbbbbb-0000-4000-8000-{number:012}")
}

/// A request of a client, or a run of the schedule.
#[derive(Debug, Clone)]
enum Step {
    Create,
    Delete(usize),
    ForceDelete(usize),
    Merge(usize, &'static str),
    Rename(usize),
    Reset(usize, &'static str),
    DeleteVolume,
    Tick,
    OperatorTick,
    Repair,
    List,
    /// Replaces the state with the document of [`document`].
    Put,
}

fn step() -> impl Strategy<Value = Step> {
    // Few snapshots, so that requests collide: two in the head of the listing, and two in a page.
    let target = || prop::sample::select(vec![0_usize, 1, SNAPSHOTS - 2, SNAPSHOTS - 1]);
    prop_oneof![
        2 => Just(Step::Create),
        3 => target().prop_map(Step::Delete),
        1 => target().prop_map(Step::ForceDelete),
        3 => (target(), prop::sample::select(vec!["a", "b", "c"])).prop_map(|(id, key)| Step::Merge(id, key)),
        1 => target().prop_map(Step::Rename),
        1 => (target(), prop::sample::select(vec!["error", "available"])).prop_map(|(id, to)| Step::Reset(id, to)),
        1 => Just(Step::DeleteVolume),
        2 => Just(Step::Tick),
        1 => Just(Step::OperatorTick),
        1 => Just(Step::Repair),
        1 => Just(Step::List),
        1 => Just(Step::Put),
    ]
}

/// The acknowledged changes.
#[derive(Debug, Default)]
struct Acknowledged {
    created: Vec<String>,
    /// Metadata keys by snapshot.
    merged: Vec<(usize, &'static str)>,
    /// Every snapshot whose creation was accepted, also before a replacement of the state.
    ever_created: Vec<String>,
    /// Whether the state was replaced.
    is_replaced: bool,
}

/// Returns the document that replaces the state: some of the snapshots at the start, and others.
fn document() -> Value {
    let id = |number| if number < 2 { snapshot_id(number * (SNAPSHOTS - 1)) } else { document_id(number) };
    let snapshots: Vec<Value> =
        (0..SNAPSHOTS_OF_DOCUMENT).map(|number| json!({ "id": id(number), "project_id": PROJECT })).collect();
    json!({ "volumes": [{ "project_id": PROJECT }], "snapshots": snapshots })
}

fn document_id(number: usize) -> String {
    format!("dddddddd-0000-4000-8000-{number:012}")
}

/// A store that runs an event before one of its calls.
pub struct Interrupted<'a> {
    pub service: &'a NativeService,
    /// The number of calls before the event.
    pub calls: Cell<u32>,
    pub event: RefCell<Option<Box<dyn FnOnce() + 'a>>>,
}

impl Interrupted<'_> {
    /// Counts a call, and runs the event when its turn has come.
    fn call(&self) -> &dyn KeyValue {
        match self.calls.get() {
            0 => {
                let event = self.event.borrow_mut().take();
                if let Some(event) = event {
                    event();
                }
            }
            left => self.calls.set(left - 1),
        }
        &self.service.key_value
    }
}

impl KeyValue for Interrupted<'_> {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.call().get(key)
    }

    fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.call().get_many(keys)
    }

    fn set_many(&self, entries: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
        self.call().set_many(entries)
    }

    fn delete_many(&self, keys: &[String]) -> Result<(), StoreError> {
        self.call().delete_many(keys)
    }

    fn keys(&self) -> Result<Vec<String>, StoreError> {
        self.call().keys()
    }

    fn increment(&self, key: &str, delta: i64) -> Result<i64, StoreError> {
        self.call().increment(key, delta)
    }

    /// The swap itself is not interrupted here: an event before it is one before the next call.
    fn read_to_swap<'b>(&'b self, key: &str) -> Result<ReadToSwap<'b>, StoreError> {
        let read = self.call().read_to_swap(key)?;
        // A race is lost between the read and the swap, so an event may happen here too.
        self.call();
        Ok(read)
    }

    fn pause(&self, _attempt: u32) {}
}

/// Takes the first step, and the other steps in the middle of it, each in the middle of the previous one.
fn interleave(service: &NativeService, steps: &[(Step, u32)], acknowledged: &RefCell<Acknowledged>) {
    let Some(((step, calls), others)) = steps.split_first() else { return };
    let event: Box<dyn FnOnce() + '_> = Box::new(move || interleave(service, others, acknowledged));
    let key_value = Interrupted { service, calls: Cell::new(*calls), event: RefCell::new(Some(event)) };
    take(service, &key_value, step, acknowledged);
    // If the step made too few calls, the event follows it.
    let event = key_value.event.borrow_mut().take();
    if let Some(event) = event {
        event();
    }
}

fn take(service: &NativeService, key_value: &dyn KeyValue, step: &Step, acknowledged: &RefCell<Acknowledged>) {
    let path = |id: usize| format!("/v3/{PROJECT}/snapshots/{}", snapshot_id(id));
    let send = |method: &str, path: &str, body: Value| -> Response<Vec<u8>> {
        let answer = service.send_through(key_value, client(method, path, &body));
        // A create that meets a replacement of the state is asked to come again.
        let may_be_busy = method == "POST" && path.ends_with("/snapshots") && acknowledged.borrow().is_replaced;
        let is_fine = !answer.status().is_server_error() || (may_be_busy && answer.status() == 503);
        assert!(is_fine, "{method} {path}: {}", crate::support::text(&answer));
        answer
    };
    match step {
        Step::Create => {
            let body = json!({ "snapshot": { "volume_id": VOLUME } });
            let answer = send("POST", &format!("/v3/{PROJECT}/snapshots"), body);
            if answer.status() == 202 {
                let id = json(&answer)["snapshot"]["id"].as_str().expect("an id").to_owned();
                acknowledged.borrow_mut().ever_created.push(id.clone());
                acknowledged.borrow_mut().created.push(id);
            }
        }
        Step::Delete(id) => drop(send("DELETE", &path(*id), Value::Null)),
        Step::ForceDelete(id) => {
            send("POST", &format!("{}/action", path(*id)), json!({ "os-force_delete": null }));
        }
        Step::Merge(id, key) => {
            let body = json!({ "metadata": { *key: "v" } });
            if send("POST", &format!("{}/metadata", path(*id)), body).status() == 200 {
                acknowledged.borrow_mut().merged.push((*id, key));
            }
        }
        Step::Rename(id) => drop(send("PUT", &path(*id), json!({ "snapshot": { "name": "renamed" } }))),
        Step::Reset(id, to) => {
            send("POST", &format!("{}/action", path(*id)), json!({ "os-reset_status": { "status": to } }));
        }
        Step::DeleteVolume => {
            drop(send("DELETE", &format!("/v3/{PROJECT}/volumes/{VOLUME}?cascade=true"), Value::Null));
        }
        Step::Tick => {
            let answer = service.send_through(key_value, operator("POST", "/_ops/tick", b""));
            assert!(answer.status().is_success(), "{}", crate::support::text(&answer));
        }
        Step::Repair => {
            let answer = service.send_through(key_value, operator("POST", "/_ops/repair", b""));
            assert!(answer.status().is_success(), "{}", crate::support::text(&answer));
            if !acknowledged.borrow().is_replaced {
                assert_nothing_wrong(&json(&answer));
            }
        }
        Step::Put => {
            // Requests in the middle may come before it or after it.
            acknowledged.borrow_mut().is_replaced = true;
            let body = document().to_string();
            let answer = service.send_through(key_value, operator("PUT", "/_ops/state", body.as_bytes()));
            assert!(answer.status().is_success(), "{}", crate::support::text(&answer));
            let mut acknowledged = acknowledged.borrow_mut();
            acknowledged.created.clear();
            acknowledged.merged.clear();
        }
        Step::List => drop(send("GET", &format!("/v3/{PROJECT}/snapshots?limit=140"), Value::Null)),
        Step::OperatorTick => {
            let now = service.now().plus_seconds(5.0);
            let body = json!({ "now": now }).to_string();
            let answer = service.send_through(key_value, operator("POST", "/_ops/tick", body.as_bytes()));
            assert!(answer.status().is_success(), "{}", crate::support::text(&answer));
        }
    }
}

/// Checks that a repair had nothing to do.
fn assert_nothing_wrong(report: &Value) {
    for wrong in ["entries_without_row", "rows_without_entry", "counters", "rows_without_agenda"] {
        assert_eq!(report[wrong], 0, "{report}");
    }
}

fn service(progression: &str, cascade_at_once: &str) -> NativeService {
    let variables = TestVariables::default().with("quota_snapshots", "-1").with("quota_gigabytes", "-1");
    let variables = variables.with("progression", progression).with("cascade_at_once", cascade_at_once);
    let service = NativeService::with_variables(variables);
    let snapshots: Vec<Value> = (0..SNAPSHOTS)
        .map(|number| {
            json!({
                "id": snapshot_id(number),
                "project_id": PROJECT,
                // Every second snapshot is being created, and its row does not show the completion yet.
                "status": if number % 2 == 0 { "available" } else { "creating" },
                "created_at": format!("2026-01-01T00:{:02}:{:02}", number / 60, number % 60),
            })
        })
        .collect();
    service.put_state(&json!({ "volumes": [{ "project_id": PROJECT }], "snapshots": snapshots }));
    service.advance(10.0);
    service
}

/// Checks the invariants of a quiet moment. `settled` means that the schedule has run since.
fn check(service: &NativeService, acknowledged: &Acknowledged, settled: bool) {
    let state = service.state();
    let rows = state["snapshots"].as_array().expect("snapshots");
    let mut ids: Vec<&str> = rows.iter().map(|row| row["id"].as_str().expect("an id")).collect();

    let mut request = client("GET", &format!("/v3/{PROJECT}/snapshots?with_count=1"), &Value::Null);
    request.headers_mut().insert("openstack-api-version", "volume 3.71".parse().expect("a header"));
    let list = json(&service.send(request));
    let mut listed: Vec<&str> =
        list["snapshots"].as_array().expect("a list").iter().map(|row| row["id"].as_str().expect("an id")).collect();
    ids.sort_unstable();
    listed.sort_unstable();
    assert_eq!(listed, ids, "the list and the state agree");
    assert_eq!(list["count"], json!(ids.len()), "the count and the list agree");

    let gigabytes = ids.len() + state["volumes"].as_array().expect("volumes").len();
    let usage =
        json(&service.send(client("GET", &format!("/v3/{PROJECT}/os-quota-sets/{PROJECT}?usage=True"), &Value::Null)));
    // A counter exists from the first reservation or removal on.
    for (resource, expected) in [("snapshots", ids.len()), ("gigabytes", gigabytes)] {
        if state["quota_usage"][PROJECT].get(resource).is_some() {
            assert_eq!(usage["quota_set"][resource]["in_use"], json!(expected), "{resource} counts the rows");
        }
    }

    let by_id: BTreeMap<&str, &Value> = rows.iter().map(|row| (row["id"].as_str().expect("an id"), row)).collect();
    for (id, key) in &acknowledged.merged {
        // A snapshot that is deleted with its volume is overwritten as a whole.
        if let Some(row) = by_id.get(snapshot_id(*id).as_str()).filter(|row| row["status"] != "deleting") {
            assert_eq!(row["metadata"][key], "v", "an acknowledged item is kept");
        }
    }
    let volumes = state["volumes"].as_array().expect("volumes");
    let volume_is_there = !volumes.is_empty();
    let volume_stays = volumes.iter().any(|volume| volume["status"] != "deleting");
    for id in &acknowledged.created {
        assert!(by_id.contains_key(id.as_str()) || !volume_stays, "an acknowledged snapshot goes only with its volume");
    }
    if acknowledged.is_replaced {
        let is_of_document = |id: &&str| {
            id.starts_with("dddddddd") || [snapshot_id(0), snapshot_id(SNAPSHOTS - 1)].iter().any(|own| own == id)
        };
        let others = by_id.keys().filter(|id| !is_of_document(id));
        for id in others {
            assert!(acknowledged.ever_created.iter().any(|own| own == id), "{id} is neither of the document nor new");
        }
        for number in 2..SNAPSHOTS_OF_DOCUMENT {
            assert!(
                by_id.contains_key(document_id(number).as_str()) || !volume_stays,
                "{number} of the document is lost"
            );
        }
    }
    if settled {
        assert_nothing_wrong(&json(&service.send(operator("POST", "/_ops/repair", b""))));
    }
    // A force delete restarts the time of a snapshot, and an administrator may reset one that is being deleted. The
    // tick handles both.
    assert!(!settled || volume_is_there || ids.is_empty(), "no snapshot outlives its volume");
}

proptest! {
    #![proptest_config(crate::support::laws::cases(150, 400))]

    #[test]
    fn any_interleaving_keeps_the_invariants(
        progression in prop::sample::select(vec!["time", "time", "immediate", "manual"]),
        // Whether the request that deletes the volume deletes its snapshots too, or leaves them to the tick.
        cascade_at_once in prop::sample::select(vec!["1000", "40"]),
        before in prop::collection::vec(step(), 0..3),
        interleaved in prop::collection::vec((step(), 0_u32..14), 2..4),
    ) {
        let service = service(progression, cascade_at_once);
        // With `manual` progression an operator completes the work.
        let last = if progression == "manual" { Step::OperatorTick } else { Step::Tick };
        let acknowledged = RefCell::default();
        for step in &before {
            take(&service, &service.key_value, step, &acknowledged);
            service.advance(0.6);
        }
        interleave(&service, &interleaved, &acknowledged);
        check(&service, &acknowledged.borrow(), false);

        // This is past every due time, and past the minute that an announced removal may take.
        service.advance(120.0);
        check(&service, &acknowledged.borrow(), false);
        // With `time` progression two runs are enough. Otherwise a run settles at most a hundred rows.
        for _ in 0..(if progression == "time" { 2 } else { 3 }) {
            take(&service, &service.key_value, &last, &acknowledged);
        }
        check(&service, &acknowledged.borrow(), true);
        service.key_value.faults.reset();
        take(&service, &service.key_value, &last, &acknowledged);
        prop_assert_eq!(service.key_value.faults.commits(), 0, "nothing is left to do");
    }
}

/// A request that began before the end of a removal, and changes the row after others have seen that it is gone.
#[test]
fn what_others_have_seen_go_does_not_come_back() {
    let service = service("time", "1000");
    let path = format!("/v3/{PROJECT}/snapshots/{}", snapshot_id(0));
    let action = |body: Value| client("POST", &format!("{path}/action"), &body);
    assert_eq!(service.send(client("DELETE", &path, &Value::Null)).status(), 202);
    let event: Box<dyn FnOnce() + '_> = Box::new(|| {
        service.advance(3600.0);
        assert_eq!(service.send(client("GET", &path, &Value::Null)).status(), 404);
    });
    // The event comes after the read that decides whether the caller may see the snapshot.
    let key_value = Interrupted { service: &service, calls: Cell::new(1), event: RefCell::new(Some(event)) };
    let reset = service.send_through(&key_value, action(json!({ "os-reset_status": { "status": "available" } })));
    assert!(key_value.event.borrow().is_none(), "others have looked meanwhile");
    assert_eq!(reset.status(), 404);
    assert_eq!(service.send(client("GET", &path, &Value::Null)).status(), 404);
}

/// A store that refuses all swaps from one of its calls on, as if other writers were faster each time.
struct Refusing<'a> {
    inner: Interrupted<'a>,
    /// The number of calls before the first refusal.
    calls: Cell<u32>,
}

impl<'a> Refusing<'a> {
    fn call(&self) -> &Interrupted<'a> {
        self.calls.set(self.calls.get().saturating_sub(1));
        &self.inner
    }
}

impl KeyValue for Refusing<'_> {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.call().get(key)
    }

    fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.call().get_many(keys)
    }

    fn set_many(&self, entries: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
        self.call().set_many(entries)
    }

    fn delete_many(&self, keys: &[String]) -> Result<(), StoreError> {
        self.call().delete_many(keys)
    }

    fn keys(&self) -> Result<Vec<String>, StoreError> {
        self.call().keys()
    }

    fn increment(&self, key: &str, delta: i64) -> Result<i64, StoreError> {
        self.call().increment(key, delta)
    }

    fn read_to_swap<'b>(&'b self, key: &str) -> Result<ReadToSwap<'b>, StoreError> {
        let read = self.call().read_to_swap(key)?;
        if self.calls.get() > 0 {
            return Ok(read);
        }
        Ok(ReadToSwap { value: read.value, handle: Box::new(Refused) })
    }

    fn pause(&self, _attempt: u32) {}
}

struct Refused;

impl Swap for Refused {
    fn swap(self: Box<Self>, _value: &[u8]) -> Result<bool, StoreError> {
        Ok(false)
    }
}

/// Makes a request, with another one before one of its calls, and refuses its swaps from a later call on. If the answer promises
/// that nothing was done, checks it. Returns whether it promises that, or `None` if the request made fewer calls.
fn refused_from(
    case: usize,
    request: &Request<Vec<u8>>,
    other: Option<&Request<Vec<u8>>>,
    before_other: u32,
    until_refused: u32,
) -> Option<bool> {
    const BUSY: &str = "The storage is busy, please try again.";
    let variables = TestVariables::default().with("quota_snapshots", "-1").with("quota_gigabytes", "-1");
    let service = NativeService::with_variables(variables);
    // Without a cascade only a volume without snapshots can be deleted.
    let rows = if case == 0 { json!([]) } else { json!([{ "id": snapshot_id(0), "project_id": PROJECT }]) };
    service.put_state(&json!({ "volumes": [{ "project_id": PROJECT }], "snapshots": rows }));
    let before = RefCell::new(service.state());
    let event: Box<dyn FnOnce() + '_> = Box::new(|| {
        if let Some(other) = other {
            service.send(other.clone());
            *before.borrow_mut() = service.state();
        }
    });
    let inner = Interrupted { service: &service, calls: Cell::new(before_other), event: RefCell::new(Some(event)) };
    let key_value = Refusing { inner, calls: Cell::new(until_refused + 1) };
    let answer = service.send_through(&key_value, request.clone());
    if key_value.calls.get() > 0 {
        return None;
    }
    let promises = crate::support::text(&answer).contains(BUSY);
    if promises {
        assert_eq!(service.state(), *before.borrow(), "{request:?}, {before_other}, {until_refused}");
    }
    Some(promises)
}

/// Other writers are too fast for a request, from one of its calls on. If the answer promises that nothing was done, then nothing
/// was, whatever the request had written before.
#[test]
fn a_request_that_has_written_something_does_not_promise_that_it_has_not() {
    /// A request, and another one in the middle of it.
    type Case = (Request<Vec<u8>>, Option<Request<Vec<u8>>>);
    let snapshots = format!("/v3/{PROJECT}/snapshots");
    let volume = format!("/v3/{PROJECT}/volumes/{VOLUME}");
    let snapshot = format!("{snapshots}/{}", snapshot_id(0));
    let create = || client("POST", &snapshots, &json!({ "snapshot": { "volume_id": VOLUME } }));
    let delete = |path: &str| client("DELETE", path, &Value::Null);
    let work = json!({
        "completion": "create", "schedule": "next-tick", "due": "2026-01-01T00:00:00", "gives_up": "2036-01-01T00:00:00",
    });
    let document =
        json!({ "volumes": [{ "id": VOLUME, "project_id": PROJECT, "status": "creating", "pending": work }] });
    let replacement = operator("PUT", "/_ops/state", document.to_string().as_bytes());
    let merge = client("POST", &format!("{snapshot}/metadata"), &json!({ "metadata": { "a": "b" } }));
    let cascade = format!("{volume}?cascade=true");
    let cases: [Case; 7] = [
        (delete(&volume), Some(create())),
        (delete(&cascade), Some(create())),
        (create(), Some(delete(&cascade))),
        (create(), None),
        (delete(&snapshot), None),
        (merge, None),
        (replacement, None),
    ];
    let mut promises = 0;
    for (case, (request, other)) in cases.iter().enumerate() {
        for before_other in 0..(if other.is_some() { 14 } else { 1 }) {
            let answers = (before_other..)
                .map_while(|until_refused| refused_from(case, request, other.as_ref(), before_other, until_refused));
            promises += answers.filter(|promises| *promises).count();
        }
    }
    assert!(promises > 20, "{promises} promises");
}
