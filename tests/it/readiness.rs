//! `GET /readiness` says whether a write succeeded lately, and writes at most once in ten seconds. `GET /healthcheck` never
//! writes.

use http::Request;
use serde_json::{Value, json};

use crate::support::calls::{Answer, Calls};
use crate::support::component::ComponentService;
use crate::support::faults::{CallKind, Fault, When};
use crate::support::native::{NativeService, TestVariables};
use crate::support::{Service, text};
use volume_snapshots_host::Store as _;

const KEY: &str = "vs1:readiness";

fn ask(service: &dyn Service, path: &str) -> Answer {
    service.send(Request::get(path).body(Vec::new()).expect("a request")).into()
}

fn is_ready(service: &dyn Service) -> bool {
    let answer = ask(service, "/readiness");
    match (answer.status, &answer.body) {
        (200, Value::String(body)) if body == "OK" => true,
        (503, _) => {
            assert_eq!((answer.fault().0, answer.header("retry-after")), ("serviceUnavailable", "1"), "{answer:?}");
            false
        }
        _ => panic!("{answer:?}"),
    }
}

#[test]
fn it_writes_at_most_once_in_ten_seconds_and_never_unasked() {
    let service = ComponentService::new(&[("auth_mode", "headers"), ("ops_token", "")]);
    for _ in 0..20 {
        assert_eq!(ask(&service, "/healthcheck").status, 200);
    }
    assert_eq!(service.tick(), Ok(()));
    assert_eq!(service.faults.commits(), 0, "neither the other check nor a tick writes");
    for (advance, commits) in [(0.0, 1), (9.9, 1), (0.1, 2), (0.0, 2), (3_600.0, 3)] {
        service.advance(advance);
        for _ in 0..20 {
            assert!(is_ready(&service));
        }
        assert_eq!(service.faults.commits(), commits, "{advance} s later");
    }
    assert_eq!(service.app.traps(), 0);
}

#[test]
fn it_says_so_while_writes_fail_although_reads_go_on() {
    let (service, _) = ComponentService::with_memory(&[]);
    assert!(is_ready(&service));
    let full = || Fault::ErrorBefore("database or disk is full".to_owned());
    for kind in [CallKind::Set, CallKind::SetMany] {
        service.faults.plan(When::Every(kind), full());
    }
    assert!(is_ready(&service), "a write succeeded a moment ago");
    service.advance(10.0);
    for _ in 0..3 {
        assert!(!is_ready(&service));
        assert_eq!(ask(&service, "/healthcheck").status, 200, "which is no reason to restart");
    }
    service.faults.reset();
    assert!(is_ready(&service), "and it recovers");

    service.advance(10.0);
    service.faults.plan(When::Every(CallKind::Get), full());
    assert!(!is_ready(&service), "what is written must be readable");
    assert_eq!(service.app.traps(), 0);
}

#[test]
fn a_proof_of_the_future_or_of_junk_is_none() {
    let (service, store) = ComponentService::with_memory(&[]);
    service.advance(86_400.0);
    assert!(is_ready(&service));
    let future = store.rows("default")[KEY].clone();
    for junk in [future, b"junk".to_vec(), b"9 0\nlater".to_vec(), b"1 0\n1".to_vec()] {
        let (service, store) = ComponentService::with_memory(&[]);
        store.set("default", KEY, &junk).expect("a write");
        assert!(is_ready(&service));
        assert_eq!(service.faults.commits(), 1, "{junk:?}");
        assert!(is_ready(&service));
        assert_eq!(service.faults.commits(), 1, "{junk:?}");
    }
}

#[test]
fn the_proof_is_no_part_of_the_state() {
    let service = NativeService::with_variables(TestVariables::default());
    service.put_state(&json!({ "volumes": [{ "project_id": "a1" }], "snapshots": [{ "project_id": "a1" }] }));
    let state = service.operate("GET", "/_ops/state", &Value::Null).body;
    let repaired = service.operate("POST", "/_ops/repair", &Value::Null).body;
    assert!(is_ready(&service));
    assert_eq!(service.operate("GET", "/_ops/state", &Value::Null).body, state);
    assert_eq!(service.operate("POST", "/_ops/repair", &Value::Null).body, repaired);
    service.put_state(&state);
    assert!(service.key_value.dump().contains_key(KEY));
    assert_eq!(service.operate("DELETE", "/_ops/state", &Value::Null).status, 204);
    assert!(!service.key_value.dump().contains_key(KEY));
}

#[test]
fn a_service_that_is_misconfigured_or_finds_an_unreleased_store_is_not_ready() {
    let service = NativeService::with_variables(TestVariables::default().with("max_limit", "0"));
    assert_eq!(ask(&service, "/readiness").status, 500);
    let (service, store) = ComponentService::with_memory(&[]);
    store.set("default", "vs:agenda:00", b"1 0\n").expect("a write");
    let answer = service.send(Request::get("/readiness").body(Vec::new()).expect("a request"));
    assert_eq!(answer.status(), 500, "{}", text(&answer));
    assert_eq!(service.faults.commits(), 0);
}
