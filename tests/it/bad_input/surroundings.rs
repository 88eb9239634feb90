//! Faults around the service: invalid variables, a store that cannot be reached, and foreign values in the store. Each
//! is answered in Cinder's form. The details for an operator are in the log and nowhere else.

use std::sync::Arc;

use crate::support::faults::{Fault, When};
use http::Request;
use serde_json::{Value, json};
use volume_snapshots_host::{MemoryStore, Store};

use super::{SNAPSHOT, VOLUME, malformed, scene};
use crate::support::Service;
use crate::support::calls::{Answer, Calls, request};
use crate::support::component::ComponentService;

const SERVER_ERROR: &str = "The server has either erred or is incapable of performing the requested operation.";

/// Returns a request for every operation that reads or writes the store.
fn every_operation() -> Vec<Request<Vec<u8>>> {
    let snapshot = |rest: &str| format!("/v3/a1/snapshots/{SNAPSHOT}{rest}");
    let volume = format!("/v3/a1/volumes/{VOLUME}");
    let calls = [
        ("GET", "/v3/a1/snapshots".to_owned(), Value::Null),
        ("GET", "/v3/a1/snapshots/detail?with_count=1".to_owned(), Value::Null),
        ("GET", "/v3/a1/snapshots?all_tenants=1".to_owned(), Value::Null),
        ("GET", "/v3/a1/snapshots?sort=status".to_owned(), Value::Null),
        ("GET", "/v3/a1/snapshots?host=host1@lvm".to_owned(), Value::Null),
        ("GET", snapshot(""), Value::Null),
        ("GET", snapshot("/metadata"), Value::Null),
        ("GET", snapshot("/metadata/key"), Value::Null),
        ("GET", "/v3/a1/volumes/detail".to_owned(), Value::Null),
        ("GET", volume.clone(), Value::Null),
        ("POST", "/v3/a1/volumes".to_owned(), json!({ "volume": { "size": 1 } })),
        ("PUT", volume.clone(), json!({ "volume": { "name": "new" } })),
        ("POST", "/v3/a1/snapshots".to_owned(), json!({ "snapshot": { "volume_id": VOLUME } })),
        ("PUT", snapshot(""), json!({ "snapshot": { "name": "new" } })),
        ("POST", snapshot("/metadata"), json!({ "metadata": { "new": "" } })),
        ("PUT", snapshot("/metadata"), json!({ "metadata": { "new": "" } })),
        ("PUT", snapshot("/metadata/new"), json!({ "meta": { "new": "" } })),
        ("DELETE", snapshot("/metadata/new"), Value::Null),
        ("POST", snapshot("/action"), json!({ "os-reset_status": { "status": "available" } })),
        ("POST", snapshot("/action"), json!({ "os-unmanage": null })),
        ("POST", snapshot("/action"), json!({ "os-force_delete": null })),
        ("DELETE", snapshot(""), Value::Null),
        ("DELETE", format!("{volume}?cascade=true"), Value::Null),
        ("GET", "/_ops/state".to_owned(), Value::Null),
        ("POST", "/_ops/tick".to_owned(), Value::Null),
        ("POST", "/_ops/tick".to_owned(), json!({ "now": "2030-01-01T00:00:00" })),
        ("PUT", "/_ops/state".to_owned(), scene()),
        ("DELETE", "/_ops/state".to_owned(), Value::Null),
        ("GET", "/healthcheck".to_owned(), Value::Null),
    ];
    calls.into_iter().map(|(method, path, body)| any(method, &path, &body)).collect()
}

fn any(method: &str, path: &str, body: &Value) -> Request<Vec<u8>> {
    let mut request = request(method, path, body);
    if path.starts_with("/_ops/") {
        request.headers_mut().insert("x-ops-token", crate::support::OPS_TOKEN.parse().expect("a header"));
    }
    request
}

fn name(request: &Request<Vec<u8>>) -> String {
    format!("{} {}", request.method(), request.uri())
}

/// Returns the log lines about the request of an answer.
fn log_of(service: &ComponentService, answer: &Answer) -> Vec<String> {
    let id = answer.header("x-openstack-request-id");
    service.app.output().lines().into_iter().filter(|line| line.contains(id)).collect()
}

#[test]
fn a_variable_that_cannot_be_used_is_named_in_the_log_and_never_to_a_client() {
    let cases = [
        ("auth_mode", "open"),
        ("auth_mode", ""),
        ("auth_mode", "NOAUTH"),
        ("progression", "quick"),
        ("progression", ""),
        ("create_seconds", "-1"),
        ("create_seconds", "soon"),
        ("create_seconds", "inf"),
        ("delete_seconds", "-0.5"),
        ("delete_seconds", "NaN"),
        ("give_up_seconds", "-1"),
        ("give_up_seconds", ""),
        ("quota_snapshots", "-2"),
        ("quota_snapshots", "1.5"),
        ("quota_gigabytes", "many"),
        ("quota_gigabytes", "9999999999999999999999"),
        ("max_limit", "0"),
        ("max_limit", "-1"),
        ("max_limit", "all"),
        ("max_page_bytes", "0"),
        ("max_metadata_bytes", "4095"),
        ("max_metadata_bytes", "no"),
        ("create_seconds", "2\nnonsense"),
    ];
    for (variable, value) in cases {
        let service = ComponentService::new(&[(variable, value)]);
        let requests = [
            request("GET", "/v3/a1/snapshots", &Value::Null),
            request("GET", "/", &Value::Null),
            request("POST", "/v3/a1/snapshots", &json!({ "snapshot": { "volume_id": VOLUME } })),
            any("PUT", "/_ops/state", &json!({})),
            any("GET", "/healthcheck", &Value::Null),
        ];
        for request in requests {
            let case = format!("{variable}={value:?}: {}", name(&request));
            let answer: Answer = service.send(request).into();
            assert_eq!((answer.status, answer.fault()), (500, ("computeFault", SERVER_ERROR)), "{case}");
            assert_eq!(malformed(&answer), None, "{case}");
            let log = log_of(&service, &answer);
            // A value with a line break looks like another setting, so the log names its second line.
            let named = if value.contains("nonsense") { "nonsense" } else { variable };
            assert!(log.len() == 1 && log[0].contains(named), "{case}: {log:?}");
            assert!(!answer.body.to_string().contains(named), "{case}: {answer:?}");
        }
        assert_eq!(service.app.traps(), 0);
    }
}

/// An existing row only needs the variables that authenticate callers, so it can still be read and changed. All other
/// requests are refused before they start.
#[test]
fn where_a_variable_cannot_be_used_single_rows_are_all_that_is_served() {
    let memory = Arc::new(MemoryStore::new());
    let good = ComponentService::on(memory.clone(), &[]);
    let bad = ComponentService::on(memory, &[("create_seconds", "-1")]);
    let mut answered = Vec::new();
    for request in every_operation() {
        let case = name(&request);
        if case.contains("/_ops/") {
            continue;
        }
        good.put_state(&scene());
        let before = good.state();
        let answer: Answer = bad.send(request).into();
        if answer.status != 500 {
            answered.push(case);
            continue;
        }
        assert_eq!((answer.status, answer.fault()), (500, ("computeFault", SERVER_ERROR)), "{case}");
        let log = log_of(&bad, &answer);
        assert!(log.len() == 1 && log[0].contains("variable create_seconds: '-1'"), "{case}: {log:?}");
        assert_eq!(good.state(), before, "{case}");
    }
    let snapshot = format!("/v3/a1/snapshots/{SNAPSHOT}");
    let volume = format!("/v3/a1/volumes/{VOLUME}");
    let served = [
        format!("GET {snapshot}"),
        format!("GET {snapshot}/metadata"),
        format!("GET {snapshot}/metadata/key"),
        format!("GET {volume}"),
        format!("PUT {volume}"),
        format!("PUT {snapshot}"),
        format!("POST {snapshot}/metadata"),
        format!("PUT {snapshot}/metadata"),
        format!("PUT {snapshot}/metadata/new"),
        format!("DELETE {snapshot}/metadata/new"),
    ];
    assert_eq!(answered, served);
}

/// Delays and limits at the ends of their ranges are odd but valid.
#[test]
fn extreme_variables_are_used_as_they_are() {
    let variables = [
        ("create_seconds", "1e300"),
        ("delete_seconds", "0"),
        ("give_up_seconds", "1e300"),
        ("quota_gigabytes", "-1"),
        ("quota_snapshots", "0"),
        ("max_limit", "4294967295"),
    ];
    let service = ComponentService::new(&variables);
    service.put_state(&json!({
        "volumes": [{ "id": VOLUME, "project_id": "a1" }],
        "snapshots": [{ "id": SNAPSHOT, "volume_id": VOLUME, "project_id": "a1" }],
    }));
    let created = service.ask_for_snapshot("/v3", VOLUME);
    assert_eq!((created.status, created.fault().0, created.header("retry-after")), (413, "overLimit", "0"));
    // The largest size that still fits beside the two rows of one gibibyte each: Cinder's counters have 32 bits.
    let volume = service.new_volume("/v3", 2_147_483_645);
    service.advance(1e9);
    assert_eq!(service.status_of(&format!("/v3/volumes/{volume}")).as_deref(), Some("creating"));
    assert_eq!(service.delete(&format!("/v3/snapshots/{SNAPSHOT}")).status, 202);
    assert_eq!(service.get(&format!("/v3/snapshots/{SNAPSHOT}")).status, 404, "gone at once");
    service.tick().expect("a tick");
    assert_eq!(service.app.traps(), 0);
}

#[test]
fn a_store_that_cannot_be_reached_is_a_503_with_the_time_to_come_back() {
    let (service, base) = ComponentService::with_memory(&[]);
    service.put_state(&scene());
    let before = base.rows("default");
    for fault in [Fault::ErrorBefore("disk I/O error in /secret/path".to_owned()), Fault::database_is_locked()] {
        // Each call of a locked database is retried for about a second, so only two operations are tried with that.
        let locked = format!("{fault:?}").contains("locked");
        let operations: Vec<_> =
            if locked { every_operation().into_iter().skip(4).take(2).collect() } else { every_operation() };
        for request in operations {
            let case = format!("{} with {fault:?}", name(&request));
            service.faults.reset();
            service.faults.plan(When::FromCall(1), fault.clone());
            let answer: Answer = service.send(request).into();
            assert_eq!((answer.status, answer.fault().0), (503, "serviceUnavailable"), "{case}: {answer:?}");
            assert_eq!(malformed(&answer), None, "{case}");
            assert!(answer.header("retry-after").parse::<u32>().is_ok(), "{case}: {answer:?}");
            assert!(!answer.body.to_string().contains("secret"), "{case}: {answer:?}");
            let log = log_of(&service, &answer);
            let reason = if locked { "database is locked" } else { "/secret/path" };
            assert!(log.len() == 1 && log[0].contains(reason), "{case}: {log:?}");
        }
        let error = service.tick().expect_err("a tick without a store");
        assert!(error.contains("the key-value store failed"), "{error}");
    }
    service.faults.reset();
    assert_eq!(base.rows("default"), before, "nothing was written");
    assert_eq!(service.app.traps(), 0);
}

/// Only reads work, as on a full or write-protected disk: reads are answered, writes are refused, and nothing traps.
#[test]
fn on_a_disk_that_takes_no_writes_reads_go_on() {
    use crate::support::faults::CallKind::{Delete, DeleteMany, Increment, Set, SetMany, Swap};
    let (service, base) = ComponentService::with_memory(&[]);
    service.put_state(&scene());
    let before = base.rows("default");
    for request in every_operation() {
        service.faults.reset();
        for kind in [Set, SetMany, Delete, DeleteMany, Increment, Swap] {
            service.faults.plan(When::Every(kind), Fault::ErrorBefore("disk is full".to_owned()));
        }
        let case = name(&request);
        let reads = request.method() == "GET";
        let answer: Answer = service.send(request).into();
        // A tick without work and the deletion of an absent item write nothing.
        let expected: &[u16] = if reads { &[200] } else { &[503, 200, 404] };
        assert!(expected.contains(&answer.status), "{case}: {answer:?}");
        assert_eq!(malformed(&answer), None, "{case}");
    }
    assert_eq!(base.rows("default"), before, "nothing was written");
    assert_eq!(service.app.traps(), 0);
}

/// Values that this release does not write.
const FOREIGN: [(&str, &[u8]); 8] = [
    ("bytes", b"\xff\xfe\x00garbage"),
    ("no header", b"{}"),
    ("only a header", b"1 1"),
    ("a header and no JSON", b"1 1\nnot json"),
    ("a header and another shape", b"1 1\n\"a string\""),
    ("a cut JSON", b"1 3 00000000000000aa\n{\"id\":\"bbbb"),
    ("a wrong write id", b"1 1 zz\n{}"),
    ("a newer format", b"9 1\n{}"),
];

#[test]
fn a_value_that_cannot_be_read_is_named_in_the_log_once_whether_the_answer_is_a_500_or_goes_on_without_it() {
    let (service, base) = ComponentService::with_memory(&[]);
    // Enough rows for the listing to have a page.
    let mut state = scene();
    for number in 0..40 {
        let id = format!("cccccccc-0000-4000-8000-{number:012}");
        let rows = state["snapshots"].as_array_mut().expect("rows");
        rows.push(json!({ "id": id, "volume_id": VOLUME, "project_id": "a1" }));
    }
    service.put_state(&state);
    let page = base.rows("default").into_keys().find(|key| key.starts_with("vs1:page:")).expect("a page");
    let row = format!("vs1:snapshot:{SNAPSHOT}");
    let volume = format!("vs1:volume:{VOLUME}");
    for key in [row.as_str(), &volume, "vs1:project:a1", DIRECTORY, AGENDA, "vs1:deployment", &page] {
        for (what, value) in FOREIGN {
            let mut noticed = 0;
            for request in every_operation() {
                let store = Arc::new(base.fork());
                store.set("default", key, value).expect("memory takes everything");
                let service = ComponentService::on(store.clone(), &[]);
                let case = format!("{key} is {what}: {}", name(&request));
                let replaces = request.uri().path() == "/_ops/state" && request.method() != "GET";
                let answer: Answer = service.send(request).into();
                assert_eq!(service.app.traps(), 0, "{case}");
                assert_eq!(malformed(&answer), None, "{case}");
                let log = log_of(&service, &answer);
                let clear = log.len() == 1 && log[0].contains(key);
                let clear = clear && (what != "a newer format" || log[0].contains("format version 9"));
                // A value that an operation does not read cannot stop it, and an operator may replace the whole state.
                if answer.status < 500 {
                    assert!(clear || log.is_empty(), "{case}: {log:?}");
                    noticed += log.len();
                    continue;
                }
                noticed += 1;
                assert_eq!((answer.status, answer.fault()), (500, ("computeFault", SERVER_ERROR)), "{case}");
                assert!(!replaces, "{case}: an operator could not repair this");
                assert!(clear, "{case}: {log:?}");
                assert_eq!(
                    store.rows("default").get(key).map(Vec::as_slice),
                    Some(value),
                    "{case}: it is left as it is"
                );
            }
            assert!(noticed > 0, "{key} is {what}: nobody noticed");
        }
    }
}

/// The keys of project `a1` in the directory and on the agenda.
const DIRECTORY: &str = "vs1:projects:07";
const AGENDA: &str = "vs1:agenda:07";

/// A tick that meets an unreadable value names it in the log. It neither traps nor changes the value, except that it
/// replaces an agenda unless that is of a newer format.
#[test]
fn a_tick_names_the_value_that_it_cannot_read() {
    let (service, base) = ComponentService::with_memory(&[("delete_seconds", "0")]);
    service.put_state(&scene());
    assert_eq!(service.delete(&format!("/v3/snapshots/{SNAPSHOT}")).status, 202);
    for key in [format!("vs1:snapshot:{SNAPSHOT}"), "vs1:project:a1".to_owned(), AGENDA.to_owned()] {
        for (what, value) in FOREIGN {
            let store: Arc<MemoryStore> = Arc::new(base.fork());
            store.set("default", &key, value).expect("memory takes everything");
            let service = ComponentService::on(store.clone(), &[]);
            // In the first seconds of an hour, the log names values that every tick meets.
            service.advance(2_800.0);
            service.tick().expect("a tick goes on");
            let log = service.app.output().lines();
            assert!(log.len() == 1 && log[0].contains(&key), "{key} is {what}: {log:?}");
            assert_eq!(service.app.traps(), 0);
            let stays = key != AGENDA || what == "a newer format";
            assert_eq!(store.rows("default").get(&key).map(Vec::as_slice) == Some(value), stays, "{key} is {what}");
        }
    }
}
