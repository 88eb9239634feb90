//! One damaged value costs itself at most (`docs/adr/0015-one-bad-value.md`). Every kind of stored value is damaged in every
//! way, and then everything else must go on. On the component.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::support::calls::{Answer, Calls, id_of};
use crate::support::component::ComponentService;
use crate::support::host_process::StateDirectory;
use crate::support::{Service, operator};
use http::Request;
use serde_json::{Value, json};
use uuid::Uuid;
use volume_snapshots_host::{MemoryStore, SqliteStore, Store};

/// The volumes of the projects `a1` and `b2`.
const VOLUME: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const OTHER_VOLUME: &str = "aaaaaaaa-0000-4000-8000-000000000002";

/// The snapshots of each project: most are in a page of the index, and the newest are in its head.
const SNAPSHOTS: usize = 150;

/// A snapshot of `a1` in the page, one in the head, and one that is being deleted.
const IN_PAGE: usize = 3;
const IN_HEAD: usize = SNAPSHOTS - 2;
const DELETED: usize = SNAPSHOTS - 3;

/// The slots of `a1` and of `b2` are different ones.
const AGENDA: &str = "vs1:agenda:07";
const OTHER_AGENDA: &str = "vs1:agenda:05";
const DIRECTORY: &str = "vs1:projects:07";
const OTHER_DIRECTORY: &str = "vs1:projects:05";
const RECORD: &str = "vs1:project:a1";
const OTHER_RECORD: &str = "vs1:project:b2";

const VARIABLES: &[(&str, &str)] = &[("quota_snapshots", "-1"), ("quota_gigabytes", "-1"), ("delete_seconds", "0")];

fn snapshot_id(project: &str, number: usize) -> String {
    format!("bbbbbbbb-0000-4000-8000-{:04}{number:08}", u8::from(project == "b2"))
}

fn snapshot_key(project: &str, number: usize) -> String {
    format!("vs1:snapshot:{}", snapshot_id(project, number))
}

/// A store with two projects, in which a snapshot of each is being deleted, and the deployment has a setting.
fn base() -> Arc<MemoryStore> {
    let (service, store) = ComponentService::with_memory(VARIABLES);
    // The first requests claim the shared values and the records.
    for project in ["a1", "b2"] {
        let body = json!({ "volume": { "size": 1 } });
        assert_eq!(of(&service, project, "POST", &format!("/v3/{project}/volumes"), &body).status, 202);
    }
    let snapshots = ["a1", "b2"].into_iter().flat_map(|project| {
        (0..SNAPSHOTS).map(move |number| {
            json!({
                "id": snapshot_id(project, number), "project_id": project, "name": format!("{project}-{number:03}"),
                "volume_id": if project == "a1" { VOLUME } else { OTHER_VOLUME },
                "created_at": format!("2026-01-{:02}T{:02}:00:00", 1 + number / 24, number % 24),
            })
        })
    });
    service.put_state(&json!({
        "volumes": [{ "id": VOLUME, "project_id": "a1" }, { "id": OTHER_VOLUME, "project_id": "b2" }],
        "snapshots": snapshots.collect::<Vec<_>>(),
        "quotas": { "volumes": 50 },
    }));
    for project in ["a1", "b2"] {
        assert_eq!(of(&service, project, "DELETE", &snapshot_path(project, DELETED), &Value::Null).status, 202);
    }
    // A repair remembers the page that nothing names.
    store.set("default", "vs1:page:00000000000000aa", b"1 0\n").expect("memory takes everything");
    let repaired = repair(&service);
    assert_eq!((&repaired["pages_suspected"], unreadable(&repaired)), (&json!(1), vec![]));
    assert_eq!(service.get("/readiness").status, 200);
    store
}

fn snapshot_path(project: &str, number: usize) -> String {
    format!("/v3/{project}/snapshots/{}", snapshot_id(project, number))
}

/// Makes a call of a client of a project.
fn of(service: &ComponentService, project: &str, method: &str, path: &str, body: &Value) -> Answer {
    let mut request: Request<Vec<u8>> = crate::support::calls::request(method, path, body);
    request.headers_mut().insert("x-auth-token", format!("demo:{project}").parse().expect("a header"));
    service.send(request).into()
}

fn repair(service: &ComponentService) -> Value {
    let answer = service.operate("POST", "/_ops/repair", &Value::Null);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

/// Returns the number of differences that a repair found.
fn differences(report: &Value) -> u64 {
    let fields = ["entries_without_row", "rows_without_entry", "counters", "rows_without_agenda"];
    fields.iter().map(|field| report[*field].as_u64().expect("a count")).sum()
}

/// Returns the keys of an answer's `unreadable`.
fn unreadable(document: &Value) -> Vec<String> {
    let values = document["unreadable"].as_array().cloned().unwrap_or_default();
    values
        .iter()
        .map(|value| {
            assert!(value["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{value}");
            value["key"].as_str().expect("a key").to_owned()
        })
        .collect()
}

/// Returns the lines of the log about the request of an answer.
fn log_of(service: &ComponentService, answer: &Answer) -> Vec<String> {
    let id = answer.header("x-openstack-request-id");
    service.app.output().lines().into_iter().filter(|line| line.contains(id)).collect()
}

/// Checks that the log has one line about a request, and that it names a key.
fn assert_named(service: &ComponentService, answer: &Answer, key: &str, case: &str) {
    let log = log_of(service, answer);
    assert!(log.len() == 1 && log[0].contains(key), "{case}: {log:?}");
}

/// A way to damage a value, given another value of the same kind.
type Damage = fn(&[u8], &[u8]) -> Option<Vec<u8>>;

/// Every way of damage. The last one removes the value.
const DAMAGES: [(&str, Damage); 11] = [
    ("cut to half", |value, _| Some(value[..value.len() / 2].to_vec())),
    ("cut by a byte", |value, _| Some(value[..value.len() - 1].to_vec())),
    (FUTURE, |value, _| Some([b"9", &value[1..]].concat())),
    ("version 0", |value, _| Some([b"0", &value[1..]].concat())),
    (FLIPPED, |value, _| {
        let mut value = value.to_vec();
        let middle = value.len() / 2;
        value[middle] ^= 0x41;
        Some(value)
    }),
    ("zeros", |value, _| Some(vec![0; value.len()])),
    ("no header", |value, _| value.iter().position(|byte| *byte == b'\n').map(|end| value[end + 1..].to_vec())),
    ("another value's bytes", |_, other| Some(other.to_vec())),
    ("trailing junk", |value, _| Some([value, b"junk"].concat())),
    ("one byte", |_, _| Some(b"x".to_vec())),
    (GONE, |_, _| None),
];

const FUTURE: &str = "of a future version";
const FLIPPED: &str = "flipped in the middle";
const GONE: &str = "gone";

/// Starts the component on a copy of a store with one damaged value.
fn damaged(base: &MemoryStore, key: &str, damage: Damage, other: &str) -> (ComponentService, Arc<MemoryStore>) {
    let store = Arc::new(base.fork());
    let values = store.rows("default");
    let value = values.get(key).unwrap_or_else(|| panic!("there is no {key}"));
    match damage(value, &values[other]) {
        Some(value) => store.set("default", key, &value).expect("memory takes everything"),
        None => store.delete("default", key).expect("memory takes everything"),
    }
    (ComponentService::on(store.clone(), VARIABLES), store)
}

fn value(store: &MemoryStore, key: &str) -> Option<Vec<u8>> {
    store.rows("default").get(key).cloned()
}

fn ids(answer: &Answer, collection: &str) -> Vec<String> {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body[collection].as_array().expect("rows").iter().map(id_of).collect()
}

/// The lists that a row of a kind is in, all of them without limit.
fn lists(collection: &str) -> Vec<String> {
    [
        "",
        "/detail",
        "?sort=name:desc",
        "?status=available",
        "?with_count=true",
        "?all_tenants=1",
        "?all_tenants=1&sort=id",
    ]
    .iter()
    .map(|query| format!("/v3/a1/{collection}{query}"))
    .collect()
}

/// A row that cannot be read is a 500 for requests about it, and nothing for all others. It is neither dropped nor counted.
#[test]
fn a_damaged_row_costs_itself() {
    let base = base();
    let rows = [
        ("snapshots", snapshot_id("a1", IN_HEAD), snapshot_key("a1", IN_HEAD), snapshot_key("a1", 5)),
        ("snapshots", snapshot_id("a1", IN_PAGE), snapshot_key("a1", IN_PAGE), snapshot_key("b2", IN_PAGE)),
        ("volumes", VOLUME.to_owned(), format!("vs1:volume:{VOLUME}"), format!("vs1:volume:{OTHER_VOLUME}")),
    ];
    for (collection, id, key, other) in rows {
        let whole = ComponentService::on(Arc::new(base.fork()), VARIABLES);
        for (way, damage) in DAMAGES.into_iter().filter(|(way, _)| *way != GONE) {
            let case = format!("{key} is {way}");
            let (service, store) = damaged(&base, &key, damage, &other);
            let bad = value(&store, &key);
            let path = format!("/v3/a1/{collection}/{id}");
            if way == FLIPPED && service.get(&path).status == 200 {
                // The byte was in a string, so the row is another one that can be read.
                continue;
            }
            for (method, rest, body) in [
                ("GET", "", Value::Null),
                ("GET", "/metadata", Value::Null),
                ("POST", "/metadata", json!({ "metadata": { "a": "b" } })),
                ("PUT", "", json!({ (collection.trim_end_matches('s')): { "name": "n" } })),
                ("DELETE", "", Value::Null),
            ] {
                let answer = service.call(method, &format!("{path}{rest}"), &body);
                assert_eq!((answer.status, answer.fault().0), (500, "computeFault"), "{case}: {method} {rest}");
                assert_named(&service, &answer, &key, &case);
            }
            for list in lists(collection) {
                let answer = service.get(&list);
                let mut expected = ids(&whole.get(&list), collection);
                expected.retain(|other| *other != id);
                assert_eq!(ids(&answer, collection), expected, "{case}: {list}");
                assert_named(&service, &answer, &key, &case);
            }
            assert_eq!(service.count(&format!("/v3/a1/{collection}")), whole.count(&format!("/v3/a1/{collection}")));
            let others = of(&service, "b2", "GET", &format!("/v3/b2/{collection}"), &Value::Null);
            assert_eq!((others.status, log_of(&service, &others)), (200, vec![]), "{case}");
            service.new_volume("/v3/a1", 1);
            if collection == "snapshots" {
                service.new_snapshot("/v3/a1", VOLUME);
            } else {
                assert_eq!(service.ask_for_snapshot("/v3/a1", VOLUME).status, 500, "{case}");
                // Without its volume, a snapshot can still be read, changed, and deleted.
                for method in ["GET", "DELETE"] {
                    let status = service.call(method, &snapshot_path("a1", 20), &Value::Null).status;
                    assert!([200, 202].contains(&status), "{case}: {method} {status}");
                }
            }
            let before = service.app.output().lines().len();
            for _ in 0..100 {
                service.tick().expect(&case);
                service.advance(1.0);
            }
            assert_eq!(service.app.output().lines().len(), before, "{case}: no tick writes a line each second");
            for _ in 0..2 {
                let report = repair(&service);
                assert_eq!((differences(&report), unreadable(&report)), (0, vec![key.clone()]), "{case}: {report}");
            }
            assert_eq!(value(&store, &key), bad, "{case}: nothing has touched it");
            assert_eq!(service.app.traps(), 0, "{case}");

            // A newer release that can read it finds it where it was.
            let healed = Arc::new(store.fork());
            healed.set("default", &key, &value(&base, &key).expect("a row")).expect("memory takes everything");
            let healed = ComponentService::on(healed, VARIABLES);
            healed.advance(200.0);
            assert!(healed.ids(&format!("/v3/a1/{collection}")).contains(&id), "{case}");
            assert_eq!(differences(&repair(&healed)), 0, "{case}");
        }
    }
}

/// A backup names what it lacks, and deletes it only if the operator insists. An operator can remove a row that cannot be read,
/// and nothing else.
#[test]
fn an_operator_saves_the_rest_and_removes_what_cannot_be_read() {
    let base = base();
    let key = snapshot_key("a1", IN_HEAD);
    for (way, damage) in DAMAGES.into_iter().filter(|(way, _)| ![GONE, FLIPPED].contains(way)) {
        let (service, store) = damaged(&base, &key, damage, &snapshot_key("a1", 5));
        let before = service.count("/v3/a1/snapshots");
        let state = service.state();
        assert_eq!(unreadable(&state), [key.as_str()], "{way}");
        assert_eq!(state["snapshots"].as_array().map(Vec::len), Some(2 * SNAPSHOTS - 3), "{way}");

        let stored = store.rows("default");
        for query in ["", "?discard_unreadable=false"] {
            let refused = service.operate("PUT", &format!("/_ops/state{query}"), &state);
            assert_eq!((refused.status, refused.fault().0), (409, "conflictingRequest"), "{way}: {refused:?}");
            assert!(refused.fault().1.contains(&key), "{way}: {refused:?}");
        }
        assert_eq!(service.operate("PUT", "/_ops/state?discard_unreadable=1", &state).status, 400, "{way}");
        assert!(store.rows("default") == stored, "{way}: nothing has changed");
        let insisted = Arc::new(store.fork());
        let insists = ComponentService::on(insisted.clone(), VARIABLES);
        assert_eq!(insists.operate("PUT", "/_ops/state?discard_unreadable=true", &state).status, 200, "{way}");
        assert_eq!((value(&insisted, &key), unreadable(&insists.state())), (None, vec![]), "{way}");
        assert_eq!(differences(&repair(&insists)), 0, "{way}");

        let remove = |key: &str| Answer::from(service.send(operator("DELETE", &format!("/_ops/rows/{key}"), b"")));
        let encoded = key.replace(':', "%3A");
        for (key, status) in [
            (snapshot_key("a1", 5).as_str(), 409),
            (AGENDA, 409),
            (DIRECTORY, 409),
            (RECORD, 409),
            ("vs1:deployment", 409),
            ("vs1:claim-directory", 409),
            (&snapshot_key("a1", SNAPSHOTS + 7), 404),
            ("vs1:project:c3", 404),
            ("elsewhere", 404),
            ("", 404),
            (&encoded, 204),
            (&encoded, 404),
        ] {
            let answer = remove(key);
            assert_eq!(answer.status, status, "{way}: {key} {answer:?}");
            assert!(status == 204 || ["conflictingRequest", "itemNotFound"].contains(&answer.fault().0), "{answer:?}");
        }
        assert_eq!(value(&store, &key), None, "{way}");
        assert_eq!(unreadable(&service.state()), [] as [&str; 0], "{way}");
        assert_eq!(service.count("/v3/a1/snapshots"), before - 1, "{way}: its entry is gone too");
        let report = repair(&service);
        assert_eq!((differences(&report), unreadable(&report)), (0, vec![]), "{way}: {report}");
        let usage = service.get("/v3/a1/os-quota-sets/a1?usage=true");
        let in_use = &usage.body["quota_set"]["snapshots"]["in_use"];
        assert!([json!(0), json!(SNAPSHOTS - 2)].contains(in_use), "{way}: {in_use}");
        assert_eq!(service.app.traps(), 0, "{way}");
    }
}

/// A volume is not deleted under a snapshot that cannot be read. A cascade goes on without it, and leaves it.
#[test]
fn a_cascade_goes_on_without_a_damaged_row() {
    let base = base();
    let key = snapshot_key("a1", IN_PAGE);
    for (way, damage) in DAMAGES.into_iter().filter(|(way, _)| ![GONE, FLIPPED].contains(way)) {
        let (service, store) = damaged(&base, &key, damage, &snapshot_key("a1", 5));
        let bad = value(&store, &key);
        let volume = format!("/v3/a1/volumes/{VOLUME}");
        assert_eq!(service.delete(&volume).status, 400, "{way}");
        let answer = service.delete(&format!("{volume}?cascade=true"));
        assert_eq!(answer.status, 202, "{way}: {answer:?}");
        assert_named(&service, &answer, &key, way);
        for _ in 0..5 {
            service.advance(1.0);
            service.tick().expect(way);
        }
        assert_eq!(service.ids("/v3/a1/snapshots"), [] as [&str; 0], "{way}");
        assert_eq!(service.status_of(&volume), None, "{way}");
        let left: Vec<String> = store
            .rows("default")
            .into_keys()
            .filter(|key| key.starts_with("vs1:snapshot:bbbbbbbb-0000-4000-8000-0000"))
            .collect();
        assert_eq!((left, value(&store, &key)), (vec![key.clone()], bad), "{way}");
        // Whatever remains counts as one snapshot, and no tick repairs it again and again.
        service.advance(100.0);
        assert_eq!(differences(&repair(&service)), 0, "{way}");
        assert_eq!(service.app.traps(), 0, "{way}");
    }
}

/// A row on the agenda that cannot be read is looked at again after an hour. The rows of others are removed in time, and the
/// row itself as soon as it can be read.
#[test]
fn a_damaged_row_on_the_agenda_holds_up_no_other() {
    let base = base();
    let key = snapshot_key("a1", DELETED);
    for (way, damage) in DAMAGES.into_iter().filter(|(way, _)| ![GONE, FLIPPED].contains(way)) {
        let (service, store) = damaged(&base, &key, damage, &snapshot_key("a1", 5));
        for number in [7, 8] {
            assert_eq!(service.delete(&snapshot_path("a1", number)).status, 202, "{way}");
        }
        let named = || service.app.output().lines().iter().filter(|line| line.contains(&key)).count();
        let ticks = |count: usize| {
            for _ in 0..count {
                service.advance(1.0);
                service.tick().expect(way);
            }
        };
        ticks(50);
        for key in [snapshot_key("b2", DELETED), snapshot_key("a1", 7), snapshot_key("a1", 8)] {
            assert_eq!(value(&store, &key), None, "{way}: {key}");
        }
        assert_eq!(named(), 1, "{way}: {:?}", service.app.output().lines());
        service.advance(3_600.0);
        ticks(2);
        assert_eq!(named(), 2, "{way}: {:?}", service.app.output().lines());
        store.set("default", &key, &value(&base, &key).expect("a row")).expect("memory takes everything");
        service.advance(3_600.0);
        ticks(3);
        assert_eq!((value(&store, &key), named()), (None, 2), "{way}");
        assert_eq!(differences(&repair(&service)), 0, "{way}");
        assert_eq!(service.app.traps(), 0, "{way}");
    }
}

/// Returns a page of the index of `a1`, and one of `b2`.
fn pages(base: &MemoryStore) -> (String, String) {
    let rows = base.rows("default");
    let page_of = |project: &str| {
        let id = Uuid::parse_str(&snapshot_id(project, IN_PAGE)).expect("an id");
        let holds = |value: &[u8]| value.windows(16).any(|bytes| bytes == id.as_bytes());
        let mut found = rows.iter().filter(|(key, value)| key.starts_with("vs1:page:") && holds(value));
        found.next().expect("a page").0.clone()
    };
    (page_of("a1"), page_of("b2"))
}

/// The requests of one project, by name.
fn requests(project: &str) -> BTreeMap<&'static str, (&'static str, String, Value)> {
    let path = |rest: &str| format!("/v3/{project}{rest}");
    let volume = if project == "a1" { VOLUME } else { OTHER_VOLUME };
    [
        ("show", ("GET", snapshot_path(project, 10), Value::Null)),
        ("list", ("GET", path("/snapshots"), Value::Null)),
        ("sorted", ("GET", path("/snapshots?sort=name"), Value::Null)),
        ("count", ("GET", path("/snapshots?with_count=true&limit=1"), Value::Null)),
        ("all tenants", ("GET", path("/snapshots?all_tenants=1"), Value::Null)),
        ("counts of all tenants", ("GET", path("/snapshots?all_tenants=1&with_count=true&limit=1"), Value::Null)),
        ("quota", ("GET", path(&format!("/os-quota-sets/{project}?usage=true")), Value::Null)),
        ("create", ("POST", path("/snapshots"), json!({ "snapshot": { "volume_id": volume } }))),
        ("create a volume", ("POST", path("/volumes"), json!({ "volume": { "size": 1 } }))),
        ("delete", ("DELETE", snapshot_path(project, 11), Value::Null)),
        ("metadata", ("POST", format!("{}/metadata", snapshot_path(project, 10)), json!({ "metadata": { "a": "b" } }))),
        ("cascade", ("DELETE", path(&format!("/volumes/{volume}?cascade=true")), Value::Null)),
    ]
    .into_iter()
    .collect()
}

/// A key, another value of its kind, and the requests of its project and of others that need it if it is of a newer format.
type SharedValue<'a> = (&'a str, &'a str, &'a [&'a str], &'a [&'a str]);

/// A value that others share is a 500 for those who need it, and is never called busy. Everybody else goes on. A repair
/// restores it from the rows, unless a newer release wrote it: then it stays as it is.
#[test]
fn a_damaged_shared_value_costs_those_who_need_it() {
    let base = base();
    let (page, other_page) = pages(&base);
    let of_record = ["list", "sorted", "count", "quota", "create", "create a volume", "cascade"].as_slice();
    let of_deployment = [
        "list",
        "sorted",
        "count",
        "all tenants",
        "counts of all tenants",
        "quota",
        "create",
        "create a volume",
        "delete",
        "cascade",
    ]
    .as_slice();
    let cases: [SharedValue; 8] = [
        (RECORD, OTHER_RECORD, of_record, &[]),
        (&page, &other_page, &["list", "sorted", "cascade"], &[]),
        (AGENDA, OTHER_AGENDA, &["delete", "cascade"], &[]),
        (DIRECTORY, OTHER_DIRECTORY, &[], &[]),
        ("vs1:deployment", RECORD, of_deployment, of_deployment),
        ("vs1:suspects", "vs1:deployment", &[], &[]),
        ("vs1:readiness", "vs1:deployment", &[], &[]),
        ("vs1:claim-directory", "vs1:deployment", &[], &[]),
    ];
    for (key, other, own_need, others_need) in cases {
        for (way, damage) in DAMAGES {
            if key.contains("claim") && way == "no header" {
                continue;
            }
            let newer = way == FUTURE && !key.contains("claim");
            for (project, need) in [("a1", own_need), ("b2", others_need)] {
                for (name, (method, path, body)) in requests(project) {
                    let case = format!("{key} is {way}: {name} of {project}");
                    let (service, store) = damaged(&base, key, damage, other);
                    let bad = value(&store, key);
                    let answer = of(&service, project, method, &path, &body);
                    assert_eq!(service.app.traps(), 0, "{case}");
                    if answer.status >= 500 {
                        assert_eq!((answer.status, answer.fault().0), (500, "computeFault"), "{case}: {answer:?}");
                        assert!(need.contains(&name), "{case}: {answer:?}");
                        assert_named(&service, &answer, key, &case);
                        assert_eq!(value(&store, key), bad, "{case}");
                    } else if newer && !["vs1:suspects", "vs1:readiness"].contains(&key) {
                        assert!(!need.contains(&name), "{case}: {answer:?}");
                        assert_eq!(value(&store, key), bad, "{case}");
                    }
                }
            }
            restored_by_a_repair(&base, key, way, damage, other);
        }
    }
}

/// Ticks, reads the state, and repairs a store with a damaged value. Then everything must be as in the whole store, unless a
/// newer release wrote the value.
fn restored_by_a_repair(base: &MemoryStore, key: &str, way: &str, damage: Damage, other: &str) {
    let case = format!("{key} is {way}");
    let (service, store) = damaged(base, key, damage, other);
    let bad = value(&store, key);
    let caches = ["vs1:suspects", "vs1:readiness", "vs1:claim-directory"];
    let state = service.operate("GET", "/_ops/state", &Value::Null);
    assert_eq!(state.status, 200, "{case}: {state:?}");
    let is_known = way != FLIPPED && way != GONE && !caches.contains(&key);
    if is_known {
        assert_eq!(unreadable(&state.body), [key], "{case}");
        assert_named(&service, &state, key, &case);
    }
    if key != "vs1:deployment" {
        let others = of(&service, "b2", "GET", "/v3/b2/volumes", &Value::Null);
        assert_eq!(ids(&others, "volumes"), [OTHER_VOLUME], "{case}");
    }
    let first = repair(&service);
    if is_known {
        assert_eq!(unreadable(&first), [key], "{case}: {first}");
    }
    for _ in 0..60 {
        service.advance(1.0);
        service.tick().expect(&case);
    }
    assert_eq!(service.app.traps(), 0, "{case}");
    let deployment = key == "vs1:deployment";
    assert!(deployment || value(&store, &snapshot_key("b2", DELETED)).is_none(), "{case}: the tick goes on");
    let newer = way == FUTURE && !caches.contains(&key);
    if newer {
        assert_eq!(value(&store, key), bad, "{case}: it is left for the newer release");
        return;
    }
    let again = repair(&service);
    assert_eq!(differences(&again), 0, "{case}: {again}");
    if deployment {
        // Only an operator can say which settings the deployment had.
        assert!(value(&store, key) == bad, "{case}");
        return;
    }
    assert_eq!(unreadable(&again), [] as [&str; 0], "{case}: {again}");
    assert_eq!(value(&store, &snapshot_key("a1", DELETED)), None, "{case}: the tick removes what it should");
    for project in ["a1", "b2"] {
        let listed = of(&service, project, "GET", &format!("/v3/{project}/snapshots"), &Value::Null);
        assert_eq!(ids(&listed, "snapshots").len(), SNAPSHOTS - 1, "{case}: {project}");
    }
    assert_eq!(service.ids("/v3/a1/snapshots?all_tenants=1").len(), 2 * (SNAPSHOTS - 1), "{case}");
    assert_eq!(service.app.traps(), 0, "{case}");
}

/// The tick replaces an agenda that is lost, and completes it from the rows, without a repair. A write before that tick does not
/// hide that the agenda is incomplete.
#[test]
fn the_tick_rebuilds_a_lost_agenda() {
    let base = base();
    for (way, damage) in DAMAGES.into_iter().filter(|(way, _)| ![FUTURE, FLIPPED].contains(way)) {
        for is_written_first in [false, true] {
            let case = format!("{way}, written first: {is_written_first}");
            let (service, store) = damaged(&base, AGENDA, damage, OTHER_AGENDA);
            if is_written_first {
                assert_eq!(service.delete(&snapshot_path("a1", 30)).status, 202, "{case}");
            }
            for _ in 0..3 {
                service.advance(1.0);
                service.tick().expect(&case);
            }
            for (key, goes) in [
                (snapshot_key("a1", DELETED), true),
                (snapshot_key("b2", DELETED), true),
                (snapshot_key("a1", 30), is_written_first),
            ] {
                assert_eq!(value(&store, &key).is_none(), goes, "{case}: {key}");
            }
            let lines = service.app.output().lines();
            let named = lines.iter().filter(|line| line.contains(AGENDA)).count();
            assert_eq!(named, usize::from(way != GONE), "{case}: {lines:?}");
            assert_eq!(differences(&repair(&service)), 0, "{case}");
            assert_eq!(service.app.traps(), 0, "{case}");
        }
    }
}

/// A counter that is not one is never incremented, since that ends all calls of Spin's process.
#[test]
fn a_damaged_claim_keeps_no_project_from_its_record() {
    let (service, base) = ComponentService::with_memory(VARIABLES);
    service.new_volume("/v3/a1", 1);
    base.delete("default", RECORD).expect("memory takes everything");
    for claim in [b"x".as_slice(), b"\0\0\0\0", b"9 0\n{}", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff"] {
        let store = Arc::new(base.fork());
        store.set("default", "vs1:claim:a1", claim).expect("memory takes everything");
        let service = ComponentService::on(store, VARIABLES);
        let volume = service.new_volume("/v3/a1", 1);
        assert_eq!(service.ids("/v3/a1/volumes"), [volume], "{claim:?}");
        assert_eq!(service.app.traps(), 0, "{claim:?}");
    }
}

/// A damaged database is not a busy one: it is a 500 whose cause is in the log.
#[test]
fn a_damaged_database_is_never_called_busy() {
    // The pages of the table, or the line that begins every database.
    for (reason, from, length) in
        [("database disk image is malformed", 4_096, 4 * 4_096), ("file is not a database", 0, 16)]
    {
        let directory = StateDirectory::new(&format!("damaged-{from}"));
        let path = directory.database();
        let service = ComponentService::on(Arc::new(SqliteStore::open(&path).expect("a database")), VARIABLES);
        let snapshots: Vec<Value> =
            (0..SNAPSHOTS).map(|number| json!({ "id": snapshot_id("a1", number), "project_id": "a1" })).collect();
        service.put_state(&json!({ "volumes": [{ "id": VOLUME, "project_id": "a1" }], "snapshots": snapshots }));
        let file = File::options().write(true).open(&path).expect("the database");
        file.write_all_at(&vec![0xa5; length], from).expect("a write");
        // The connection drops the pages that it knows when the counter of changes in the header differs.
        file.write_all_at(b"junk", 24).expect("a write");
        for (name, (method, path, body)) in requests("a1") {
            let answer = service.call(method, &path, &body);
            let case = format!("{reason}: {name}");
            assert_eq!((answer.status, answer.fault().0), (500, "computeFault"), "{case}: {answer:?}");
            assert_eq!(answer.header("retry-after"), "", "{case}");
            assert_named(&service, &answer, reason, &case);
        }
        assert_eq!(service.get("/healthcheck").status, 500, "{reason}");
        assert_eq!(service.app.traps(), 0, "{reason}");
    }
}
