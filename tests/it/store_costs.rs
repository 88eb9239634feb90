//! The costs of each operation at the store: its calls, and the commits among them. On Spin they determine the speed,
//! and unlike times they do not depend on the machine (`docs/adr/0002-store-layout.md`).

use crate::support::calls::request;
use crate::support::native::{NativeService, TestVariables};
use crate::support::{Service, client, operator};
use serde_json::{Value, json};

const PROJECT: &str = "a1";

fn snapshot_id(number: usize) -> String {
    format!("bbbbbbbb-0000-4000-8000-{number:012}")
}

/// Returns a service whose project has this many snapshots of one volume.
fn service_with(snapshots: usize) -> NativeService {
    let service = NativeService::with_variables(TestVariables::default().with("quota_snapshots", "-1"));
    let rows: Vec<Value> = (0..snapshots)
        .map(|number| {
            json!({
                "id": snapshot_id(number),
                "project_id": PROJECT,
                "created_at": format!("2026-01-{:02}T{:02}:00:00", 1 + number / 24 % 28, number % 24),
            })
        })
        .collect();
    service.put_state(&json!({
        "volumes": [{ "project_id": PROJECT }],
        "snapshots": rows,
        "quotas": { "gigabytes": -1 },
    }));
    service
}

/// Returns the calls and commits of a request, which must succeed.
fn cost(service: &NativeService, method: &str, path: &str, body: &Value) -> (usize, usize) {
    service.key_value.faults.reset();
    let answer = service.send(request(method, &format!("/v3/{PROJECT}{path}"), body));
    assert!(answer.status().is_success(), "{method} {path}: {}", crate::support::text(&answer));
    (service.key_value.faults.calls().len(), service.key_value.faults.commits())
}

#[test]
fn each_operation_makes_at_most_so_many_calls_and_commits() {
    let service = service_with(5_000);
    let one = format!("/snapshots/{}", snapshot_id(4_321));
    let metadata = format!("{one}/metadata");
    let item = format!("{metadata}/k");
    let volume = "aaaaaaaa-0000-4000-8000-000000000001";
    let snapshot = json!({ "snapshot": { "volume_id": volume } });
    // The first create of a few seconds announces itself and those that follow it. A volume announces itself alone.
    let cases: [(&str, &str, Value, usize, usize); 18] = [
        ("GET", &one, Value::Null, 1, 0),
        ("GET", &metadata, Value::Null, 1, 0),
        ("GET", "/snapshots?limit=100", Value::Null, 3, 0),
        ("GET", "/snapshots?limit=100&all_tenants=1", Value::Null, 4, 0),
        ("GET", "/snapshots/detail", Value::Null, 4, 0),
        ("GET", "/snapshots?limit=100&sort=created_at:asc", Value::Null, 3, 0),
        ("GET", "/snapshots?limit=1&with_count=1", Value::Null, 4, 0),
        ("GET", &format!("/volumes/{volume}"), Value::Null, 1, 0),
        ("GET", "/limits", Value::Null, 3, 0),
        ("POST", "/snapshots", snapshot.clone(), 7, 3),
        ("POST", "/snapshots", snapshot, 5, 2),
        ("POST", &metadata, json!({ "metadata": { "k": "v" } }), 3, 1),
        ("PUT", &metadata, json!({ "metadata": { "k": "w" } }), 3, 1),
        ("PUT", &item, json!({ "meta": { "k": "x" } }), 3, 1),
        ("DELETE", &item, Value::Null, 3, 1),
        ("PUT", &one, json!({ "snapshot": { "name": "n" } }), 3, 1),
        ("POST", "/volumes", json!({ "volume": { "size": 1 } }), 8, 3),
        ("DELETE", &one, Value::Null, 6, 2),
    ];
    for (method, path, body, calls, commits) in cases {
        let (made, committed) = cost(&service, method, path, &body);
        assert!(made <= calls, "{method} {path} made {made} calls, {calls} are allowed");
        assert!(committed <= commits, "{method} {path} made {committed} commits, {commits} are allowed");
    }
}

#[test]
fn an_attach_of_a_reserved_volume_is_one_commit() {
    let volume = |number: usize| format!("aaaaaaaa-0000-4000-8000-{number:012}");
    let service = NativeService::with_variables(TestVariables::default());
    let volumes: Vec<Value> = (1..=3).map(|number| json!({ "id": volume(number), "project_id": PROJECT })).collect();
    service.put_state(&json!({ "volumes": volumes }));
    let action = |number: usize| format!("/volumes/{}/action", volume(number));
    let attach = json!({ "os-attach": { "host_name": "h", "mountpoint": "/dev/vdb" } });
    let created = json!({ "attachment": { "volume_uuid": volume(3), "connector": { "host": "h" } } });
    let by_volume = format!("/attachments?volume_id={}", volume(1));
    let cases = [
        ("POST", action(1), json!({ "os-reserve": null }), 10, 4),
        ("POST", action(1), json!({ "os-unreserve": null }), 5, 2),
        ("POST", action(1), json!({ "os-reserve": null }), 10, 4),
        ("POST", action(1), attach.clone(), 3, 1),
        ("POST", action(2), attach, 10, 4),
        ("POST", "/attachments".to_owned(), created, 10, 4),
        ("GET", "/attachments".to_owned(), Value::Null, 3, 0),
        ("GET", by_volume, Value::Null, 2, 0),
        ("POST", action(1), json!({ "os-begin_detaching": null }), 3, 1),
        ("POST", action(1), json!({ "os-roll_detaching": null }), 3, 1),
        ("POST", action(1), json!({ "os-detach": {} }), 5, 2),
    ];
    for (method, path, body, calls, commits) in cases {
        let (made, committed) = cost(&service, method, &path, &body);
        assert_eq!((made, committed), (calls, commits), "{method} {path} {body}");
    }
    let listed = service.send(request("GET", &format!("/v3/{PROJECT}/attachments"), &Value::Null));
    let listed = crate::support::json(&listed)["attachments"].as_array().expect("a list").clone();
    let one = listed.iter().find(|row| row["volume_id"] == volume(3)).expect("an attachment")["id"].clone();
    let one = format!("/attachments/{}", one.as_str().expect("an id"));
    let cases = [
        ("GET", one.clone(), Value::Null, 2, 0),
        ("PUT", one.clone(), json!({ "attachment": { "connector": { "host": "i" } } }), 4, 1),
        ("POST", format!("{one}/action"), json!({ "os-complete": null }), 4, 1),
        ("DELETE", one, Value::Null, 6, 2),
    ];
    for (method, path, body, calls, commits) in cases {
        let (made, committed) = cost(&service, method, &path, &body);
        assert_eq!((made, committed), (calls, commits), "{method} {path} {body}");
    }
}

#[test]
fn a_page_costs_the_same_in_a_small_and_in_a_large_project() {
    let calls = |snapshots| cost(&service_with(snapshots), "GET", "/snapshots?limit=20", &Value::Null).0;
    assert_eq!(calls(20), 2, "record, rows");
    assert!(calls(20_000) <= 3, "and one page");
}

#[test]
fn an_idle_tick_writes_nothing_and_reads_little() {
    let service = service_with(1_000);
    service.key_value.faults.reset();
    assert!(service.send(operator("POST", "/_ops/tick", b"")).status().is_success());
    assert_eq!(service.key_value.faults.commits(), 0);
    let calls = service.key_value.faults.calls().len();
    assert!(calls <= 3, "{calls} calls");
}

#[test]
fn a_tick_removes_a_hundred_snapshots_in_two_commits() {
    let service = service_with(100);
    for number in 0..100 {
        cost(&service, "DELETE", &format!("/snapshots/{}", snapshot_id(number)), &Value::Null);
    }
    service.advance(2.0);
    service.key_value.faults.reset();
    assert!(service.send(operator("POST", "/_ops/tick", b"")).status().is_success());
    let commits = service.key_value.faults.commits();
    assert!(commits <= 2, "{commits} commits");
    assert_eq!(crate::support::json(&service.send(operator("GET", "/_ops/state", b"")))["snapshots"], json!([]));
}

/// Without a schedule, deletes do a part of its work, so that the agenda does not grow without limit.
#[test]
fn without_a_schedule_the_agenda_stays_small() {
    let service = service_with(2_000);
    let agenda = || service.key_value.dump()["vs1:agenda:07"].len();
    for number in 0..2_000 {
        let answer =
            service.send(client("DELETE", &format!("/v3/{PROJECT}/snapshots/{}", snapshot_id(number)), &Value::Null));
        assert_eq!(answer.status(), 202, "{}", crate::support::text(&answer));
        service.advance(0.02);
        assert!(agenda() < 65_536, "{} bytes after {number}", agenda());
    }
    let rows = service.key_value.dump().keys().filter(|key| key.starts_with("vs1:snapshot:")).count();
    assert!(rows <= 450, "{rows} rows wait to be removed");
}
