//! User messages: who sees them, how long, and how they go. The answers are those of `cinder/api/v3/messages.py`, but each
//! project lists its own messages.

use crate::support::native::{NativeService, TestVariables};
use crate::support::{Service, json, operator};
use http::Request;
use serde_json::{Value, json};

const OWN: &str = "a1000000000000000000000000000001";
const FOREIGN: &str = "b2000000000000000000000000000002";
const DAY: f64 = 86_400.0;

fn id(number: u32) -> String {
    format!("3e550000-0000-4000-8000-{number:012}")
}

fn service(variables: TestVariables) -> NativeService {
    NativeService::with_variables(variables.with("auth_mode", "headers"))
}

/// Sends a request of a caller of `project`, and returns the status and the body.
fn ask(service: &NativeService, project: &str, roles: &str, minor: u32, method: &str, path: &str) -> (u16, Value) {
    let request = Request::builder()
        .method(method)
        .uri(format!("/v3/{project}/{path}"))
        .header("openstack-api-version", format!("volume 3.{minor}"))
        .header("x-identity-status", "Confirmed")
        .header("x-user-id", "u")
        .header("x-project-id", project)
        .header("x-roles", roles);
    let answer = service.send(request.body(Vec::new()).expect("a request"));
    (answer.status().as_u16(), if answer.body().is_empty() { Value::Null } else { json(&answer) })
}

fn ids(answer: &(u16, Value)) -> Vec<&str> {
    assert_eq!(answer.0, 200, "{}", answer.1);
    answer.1["messages"].as_array().expect("a list").iter().filter_map(|message| message["id"].as_str()).collect()
}

fn tick(service: &NativeService) -> Value {
    let answer = service.send(operator("POST", "/_ops/tick", b""));
    assert!(answer.status().is_success());
    json(&answer)
}

#[test]
fn a_message_is_seen_by_its_project_and_by_administrators_who_ask_for_all() {
    let service = service(TestVariables::default());
    service.put_state(&json!({ "messages": [
        { "id": id(1), "created_at": "2026-01-01T00:00:00" },
        { "id": id(2), "created_at": "2026-01-02T00:00:00", "project_id": FOREIGN },
        { "id": id(3), "created_at": "2026-01-03T00:00:00", "project_id": FOREIGN, "resource_type": "VOLUME" },
    ] }));
    let (one, two, three) = (id(1), id(2), id(3));
    let cases: [(&str, &str, u32, &str, &[&str]); 12] = [
        (OWN, "member,reader", 71, "messages", &[&one]),
        (FOREIGN, "reader", 71, "messages", &[&three, &two]),
        (OWN, "admin", 71, "messages", &[&one]),
        (OWN, "admin", 71, "messages?all_tenants=1", &[&three, &two, &one]),
        (OWN, "admin", 71, "messages?all_tenants=0", &[&one]),
        (OWN, "admin", 71, "messages?all_tenants=1&project_id=b2000000000000000000000000000002", &[&three, &two]),
        (OWN, "admin", 71, "messages?project_id=b2000000000000000000000000000002", &[&one]),
        (OWN, "member,reader", 71, "messages?all_tenants=1", &[&one]),
        (OWN, "member,reader", 5, "messages?all_tenants=1", &[&one]),
        // Below 3.5 no parameter counts.
        (OWN, "admin", 4, "messages?all_tenants=1&resource_type=X", &[&one]),
        (FOREIGN, "reader", 5, "messages?resource_type=VOLUME", &[&three]),
        // Below 3.31 any key is a filter, and one that is no column matches nothing.
        (FOREIGN, "reader", 30, "messages?colour=red", &[]),
    ];
    for (project, roles, minor, path, expected) in cases {
        assert_eq!(
            ids(&ask(&service, project, roles, minor, "GET", path)),
            expected,
            "{project} {roles} 3.{minor} {path}"
        );
    }
    for (roles, minor, path, status, says) in [
        ("", 71, "messages", 403, "message:get_all"),
        ("reader", 71, "messages?project_id=x", 400, "Invalid filters project_id are found in query options."),
        ("reader", 71, "messages?with_count=1", 400, "Invalid filters with_count"),
        ("reader", 71, "messages?marker=3e550000-0000-4000-8000-000000000002", 404, "Message 3e55"),
        ("reader", 71, "messages?limit=x", 400, "limit param must be an integer"),
        ("reader", 71, "messages/3e550000-0000-4000-8000-000000000002", 404, "could not be found."),
        ("reader", 2, "messages/3e550000-0000-4000-8000-000000000001", 404, "The resource could not be found."),
    ] {
        let (answered, body) = ask(&service, OWN, roles, minor, "GET", path);
        assert_eq!(answered, status, "{path}: {body}");
        assert!(body.to_string().contains(says), "{path}: {body}");
    }
    let path = format!("messages/{two}");
    assert_eq!(ask(&service, OWN, "member,reader", 71, "DELETE", &path).0, 404, "another project's");
    assert_eq!(ask(&service, FOREIGN, "reader", 71, "DELETE", &path).0, 403);
    assert_eq!(ask(&service, FOREIGN, "member,reader", 71, "DELETE", &path).0, 204);
    assert_eq!(ask(&service, FOREIGN, "member,reader", 71, "DELETE", &path).0, 404);
    assert_eq!(ids(&ask(&service, FOREIGN, "reader", 71, "GET", "messages")), [three.as_str()]);
    assert_eq!(ask(&service, OWN, "admin", 71, "DELETE", &format!("messages/{three}")).0, 204, "of any project");
}

#[test]
fn pages_of_messages_follow_one_another() {
    let service = service(TestVariables::default());
    let messages: Vec<Value> = (1..=7)
        .map(|number| json!({ "id": id(number), "created_at": format!("2026-01-0{number}T00:00:00") }))
        .collect();
    service.put_state(&json!({ "messages": messages }));
    let mut seen = Vec::new();
    let mut path = "messages?limit=3".to_owned();
    loop {
        let answer = ask(&service, OWN, "reader", 71, "GET", &path);
        seen.extend(ids(&answer).into_iter().map(str::to_owned));
        let Some(next) = answer.1["messages_links"][0]["href"].as_str() else { break };
        path = next.split_once(&format!("/v3/{OWN}/")).expect("a link of ours").1.to_owned();
    }
    assert_eq!(seen, (1..=7).rev().map(id).collect::<Vec<_>>());
}

#[test]
fn a_message_is_gone_when_its_time_is_over_and_a_tick_removes_it() {
    let service = service(TestVariables::default().with("message_ttl_seconds", "86400"));
    let (now, later) = (service.now().to_string(), service.now().plus_seconds(DAY).to_string());
    // Of 120 messages one is kept for longer.
    let messages: Vec<Value> = (1..=120)
        .map(|number| match number {
            1 => json!({ "id": id(number), "created_at": now }),
            _ => json!({ "id": id(number), "created_at": now, "expires_at": later }),
        })
        .collect();
    service.put_state(&json!({ "messages": messages }));
    service.advance(DAY - 1.0);
    tick(&service);
    assert_eq!(ids(&ask(&service, OWN, "reader", 71, "GET", "messages")).len(), 120);
    service.advance(1.0);
    assert_eq!(ids(&ask(&service, OWN, "reader", 71, "GET", "messages")), [id(1).as_str()]);
    assert_eq!(ask(&service, OWN, "reader", 71, "GET", &format!("messages/{}", id(2))).0, 404);
    let stored =
        |service: &NativeService| service.key_value.dump().keys().filter(|key| key.starts_with("vs1:message:")).count();
    assert_eq!(stored(&service), 120);
    let mut left = vec![120];
    for _ in 0..100 {
        // Each run looks after one project, and each project has its turn.
        tick(&service);
        left.push(stored(&service));
        service.advance(1.0);
    }
    left.dedup();
    assert_eq!(left, [120, 71, 22, 1], "a run looks at 50");
    assert_eq!(ids(&ask(&service, OWN, "reader", 71, "GET", "messages")), [id(1).as_str()]);
    let repair = json(&service.send(operator("POST", "/_ops/repair", b"")));
    assert_eq!((&repair["rows"], &repair["entries_without_row"]), (&json!(1), &json!(0)));
}

/// A service in which work waits for a storage agent, and is given up after a minute.
fn waiting(variables: TestVariables) -> NativeService {
    let service = service(variables.with("progression", "manual").with("give_up_seconds", "60"));
    service.put_state(&json!({ "volumes": [{}], "snapshots": [{ "name": "kept" }] }));
    service
}

const VOLUME: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const SNAPSHOT: &str = "bbbbbbbb-0000-4000-8000-000000000001";

/// Sends a request with a body as a member who is also an administrator, and returns the request's id and the answer.
fn act(service: &NativeService, method: &str, path: &str, body: &Value) -> (String, Value) {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("/v3/{OWN}/{path}"))
        .header("openstack-api-version", "volume 3.71")
        .header("x-identity-status", "Confirmed")
        .header("x-user-id", "u")
        .header("x-project-id", OWN)
        .header("x-roles", "admin,member,reader");
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    if !body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    let answer = service.send(request.body(body).expect("a request"));
    assert_eq!(answer.status().as_u16(), 202, "{method} {path}: {}", String::from_utf8_lossy(answer.body()));
    let request_id = answer.headers()["x-openstack-request-id"].to_str().expect("ASCII").to_owned();
    (request_id, serde_json::from_slice(answer.body()).unwrap_or_default())
}

/// Returns the messages after the given time, six seconds in which a failure must last, and two ticks, each as its event, its resource, and its request.
fn messages_after(service: &NativeService, seconds: f64) -> Vec<[String; 3]> {
    service.advance(seconds);
    tick(service);
    service.advance(6.0);
    tick(service);
    let answer = ask(service, OWN, "reader", 71, "GET", "messages");
    let string = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let messages = answer.1["messages"].as_array().expect("a list").iter();
    messages.map(|one| ["event_id", "resource_uuid", "request_id"].map(|name| string(&one[name]))).collect()
}

fn status(service: &NativeService, path: &str) -> Value {
    let (_, body) = ask(service, OWN, "reader", 71, "GET", path);
    body.as_object().and_then(|body| body.values().next()).map_or(Value::Null, |one| one["status"].clone())
}

fn create_snapshot() -> Value {
    json!({ "snapshot": { "volume_id": VOLUME, "name": "fails" } })
}

fn report(status: &str) -> Value {
    json!({ "os-update_snapshot_status": { "status": status } })
}

#[test]
fn work_that_is_given_up_leaves_one_message() {
    for (give_up, seconds) in [("error", 62.5), ("retry", 242.5)] {
        let service = waiting(TestVariables::default().with("give_up", give_up));
        let (request, made) = act(&service, "POST", "snapshots", &create_snapshot());
        let made = made["snapshot"]["id"].as_str().expect("an id").to_owned();
        assert_eq!(messages_after(&service, seconds - 7.0), [] as [[String; 3]; 0], "{give_up}");
        service.advance(1.0);
        assert_eq!(status(&service, &format!("snapshots/{made}")), "error", "readers see it at once");
        let expected = [["VOLUME_VOLUME_SNAPSHOT_009_013".to_owned(), made.clone(), request]];
        assert_eq!(messages_after(&service, 0.0), expected, "{give_up}");
        assert_eq!(messages_after(&service, 100.0), expected, "{give_up}");
        assert_eq!(status(&service, &format!("snapshots/{made}")), "error");
    }
    let service = waiting(TestVariables::default());
    let (request, _) = act(&service, "DELETE", &format!("snapshots/{SNAPSHOT}"), &Value::Null);
    assert_eq!(messages_after(&service, 30.0).len(), 0);
    let expected = [["VOLUME_VOLUME_SNAPSHOT_010_016".to_owned(), SNAPSHOT.to_owned(), request]];
    assert_eq!(messages_after(&service, 60.0), expected);
    assert_eq!(status(&service, &format!("snapshots/{SNAPSHOT}")), "error_deleting");

    let service = waiting(TestVariables::default());
    let (request, made) = act(&service, "POST", "volumes", &json!({ "volume": { "size": 1 } }));
    let made = made["volume"]["id"].as_str().expect("an id").to_owned();
    let expected = [["VOLUME_VOLUME_008_012".to_owned(), made, request]];
    assert_eq!(messages_after(&service, 63.0), expected);

    let service = waiting(TestVariables::default());
    let extend = json!({ "os-extend": { "new_size": 5 } });
    let (request, _) = act(&service, "POST", &format!("volumes/{VOLUME}/action"), &extend);
    let expected = [["VOLUME_VOLUME_007_010".to_owned(), VOLUME.to_owned(), request]];
    assert_eq!(messages_after(&service, 63.0), expected);
    assert_eq!(messages_after(&service, 100.0), expected);
    assert_eq!(status(&service, &format!("volumes/{VOLUME}")), "error_extending");
    let state = service.state();
    assert_eq!(state["quota_usage"][OWN]["gigabytes"]["in_use"], 2, "of the volume and its snapshot: {state}");
}

#[test]
fn a_failure_that_an_agent_reports_leaves_one_message() {
    for progression in ["time", "manual", "immediate"] {
        let service = service(TestVariables::default().with("progression", progression));
        service.put_state(&json!({ "volumes": [{}], "snapshots": [{}] }));
        let (request, made) = act(&service, "POST", "snapshots", &create_snapshot());
        let made = made["snapshot"]["id"].as_str().expect("an id").to_owned();
        act(&service, "POST", &format!("snapshots/{made}/action"), &report("error"));
        assert_eq!(status(&service, &format!("snapshots/{made}")), "error", "{progression}");
        let expected = ["VOLUME_VOLUME_SNAPSHOT_009_013".to_owned(), made.clone(), request];
        assert_eq!(messages_after(&service, 1.0), std::slice::from_ref(&expected), "{progression}");

        let (request, _) = act(&service, "DELETE", &format!("snapshots/{SNAPSHOT}"), &Value::Null);
        act(&service, "POST", &format!("snapshots/{SNAPSHOT}/action"), &report("error_deleting"));
        let also = ["VOLUME_VOLUME_SNAPSHOT_010_016".to_owned(), SNAPSHOT.to_owned(), request];
        assert_eq!(messages_after(&service, 1.0), [also.clone(), expected.clone()], "{progression}");
        assert_eq!(messages_after(&service, 5_000.0), [also, expected], "{progression}");
    }
}

#[test]
fn work_that_ends_well_and_work_without_a_message_leave_none() {
    let none: [[String; 3]; 0] = [];
    let service = waiting(TestVariables::default());
    let (_, made) = act(&service, "POST", "snapshots", &create_snapshot());
    let made = made["snapshot"]["id"].as_str().expect("an id");
    act(&service, "POST", &format!("snapshots/{made}/action"), &report("available"));
    assert_eq!(messages_after(&service, 100.0), none);
    // Adopting, forgetting, reverting, and a status that an administrator sets.
    let adopt = json!({ "snapshot": { "volume_id": VOLUME, "ref": "r" } });
    let revert = json!({ "revert": { "snapshot_id": made } });
    for (path, body) in [
        ("os-snapshot-manage".to_owned(), adopt),
        (format!("snapshots/{SNAPSHOT}/action"), json!({ "os-unmanage": null })),
        (format!("snapshots/{SNAPSHOT}/action"), json!({ "os-reset_status": { "status": "creating" } })),
        (format!("volumes/{VOLUME}/action"), revert),
    ] {
        if path.starts_with("volumes") {
            service.put_state(&json!({ "volumes": [{}], "snapshots": [{ "id": made }] }));
        }
        act(&service, "POST", &path, &body);
        assert_eq!(messages_after(&service, 100.0), none, "{path} {body}");
    }
}

#[test]
fn without_a_backend_new_rows_fail() {
    let absent = json!([{ "absent": true }]);
    let disabled = json!([{ "disabled": true }]);
    for services in [&absent, &disabled, &json!([{ "up": false }])] {
        let service = service(TestVariables::default());
        service.put_state(&json!({ "volumes": [{}], "services": services }));
        let (_, made) = act(&service, "POST", "snapshots", &create_snapshot());
        let snapshot = made["snapshot"]["id"].as_str().expect("an id").to_owned();
        assert_eq!(made["snapshot"]["status"], "creating");
        assert_eq!(messages_after(&service, 3.0).len(), 0, "the scheduler leaves no message about a snapshot");
        assert_eq!(status(&service, &format!("snapshots/{snapshot}")), "error");
        let (request, made) = act(&service, "POST", "volumes", &json!({ "volume": { "size": 1 } }));
        let volume = made["volume"]["id"].as_str().expect("an id").to_owned();
        assert_eq!(status(&service, &format!("volumes/{volume}")), "creating");
        let expected = [["VOLUME_VOLUME_001_003".to_owned(), volume.clone(), request]];
        assert_eq!(messages_after(&service, 2.0), expected);
        assert_eq!(status(&service, &format!("volumes/{volume}")), "error");
        assert_eq!(messages_after(&service, 200.0), expected);
        // Both can be deleted.
        act(&service, "DELETE", &format!("snapshots/{snapshot}"), &Value::Null);
        act(&service, "DELETE", &format!("volumes/{volume}"), &Value::Null);
    }
}

#[test]
fn a_message_of_the_scheduler_stays_deleted() {
    let service = service(TestVariables::default());
    service.put_state(&json!({ "services": [{ "disabled": true }] }));
    act(&service, "POST", "volumes", &json!({ "volume": { "size": 1 } }));
    let answer = ask(&service, OWN, "reader", 71, "GET", "messages");
    let [message] = ids(&answer)[..] else { panic!("{answer:?}") };
    assert_eq!(ask(&service, OWN, "admin", 71, "DELETE", &format!("messages/{message}")).0, 204);
    assert_eq!(messages_after(&service, 3.0).len(), 0);
    assert_eq!(messages_after(&service, 100.0).len(), 0);
}

#[test]
fn a_volume_that_no_backend_has_is_deleted_at_once_in_any_status() {
    for progression in ["time", "immediate", "manual"] {
        let service = service(TestVariables::default().with("progression", progression));
        service.put_state(&json!({ "volumes": [
            { "status": "error", "host": null },
            { "id": "aaaaaaaa-0000-4000-8000-000000000002", "status": "maintenance", "host": null },
            { "id": "aaaaaaaa-0000-4000-8000-000000000003", "status": "error" },
        ], "services": [{ "disabled": true }] }));
        let new = json!({ "volume": { "size": 1 } });
        let made = act(&service, "POST", "volumes", &new).1["volume"]["id"].clone();
        let creating = made.as_str().expect("an id");
        for id in [VOLUME, "aaaaaaaa-0000-4000-8000-000000000002", creating] {
            act(&service, "DELETE", &format!("volumes/{id}"), &Value::Null);
            let shown = ask(&service, OWN, "reader", 71, "GET", &format!("volumes/{id}"));
            assert_eq!(shown.0, 404, "{progression} {id}: {}", shown.1);
        }
        let with_host = "volumes/aaaaaaaa-0000-4000-8000-000000000003";
        act(&service, "DELETE", with_host, &Value::Null);
        if progression == "manual" {
            assert_eq!(status(&service, with_host), "deleting");
        }
        // The message about the creation stays.
        assert_eq!(messages_after(&service, 3.0).len(), 1, "{progression}");
        let (_, body) = ask(&service, OWN, "reader", 71, "GET", &format!("os-quota-sets/{OWN}?usage=true"));
        let left = i32::from(progression == "manual");
        assert_eq!(body["quota_set"]["volumes"]["in_use"], left, "{progression}: {body}");
    }
}

#[test]
fn a_volume_of_a_type_that_no_backend_fits_fails() {
    for (extra_specs, fits) in [
        (json!({ "vendor_name": "nobody" }), false),
        (json!({ "volume_backend_name": "ceph" }), false),
        (json!({ "vendor_name": null }), false),
        (json!({ "vendor_name": "Open Source", "multiattach": "<is> True", "provisioning:type": "x" }), true),
    ] {
        let service = service(TestVariables::default());
        let types = json!([{ "extra_specs": extra_specs }]);
        service.put_state(&json!({ "volumes": [{ "volume_type": "type1" }], "volume_types": types }));
        let new = json!({ "volume": { "size": 1, "volume_type": "type1" } });
        let (request, made) = act(&service, "POST", "volumes", &new);
        let volume = made["volume"]["id"].as_str().expect("an id").to_owned();
        assert_eq!(status(&service, &format!("volumes/{volume}")), "creating");
        let failed = ["VOLUME_VOLUME_001_003".to_owned(), volume.clone(), request];
        let expected = if fits { vec![] } else { vec![failed] };
        // The message is there no later than the volume is in `error`.
        assert_eq!(ids(&ask(&service, OWN, "reader", 71, "GET", "messages")).len(), expected.len(), "{extra_specs}");
        assert_eq!(messages_after(&service, 3.0), expected, "{extra_specs}");
        let after = if fits { "available" } else { "error" };
        assert_eq!(status(&service, &format!("volumes/{volume}")), after, "{extra_specs}");
        // An extension is scheduled too.
        let extend = json!({ "os-extend": { "new_size": 2 } });
        let (request, _) = act(&service, "POST", &format!("volumes/{VOLUME}/action"), &extend);
        let unextended = ["VOLUME_VOLUME_007_003".to_owned(), VOLUME.to_owned(), request];
        let newest = messages_after(&service, 3.0).into_iter().next();
        assert_eq!(newest, (!fits).then_some(unextended), "{extra_specs}");
        assert_eq!(status(&service, &format!("volumes/{VOLUME}")), "available", "{extra_specs}");
    }
}

#[test]
fn a_volume_goes_to_the_backend_that_its_type_fits() {
    let service = service(TestVariables::default());
    service.put_state(&json!({
        "volumes": [{ "host": "host2@ceph#pool" }],
        "volume_types": [{ "extra_specs": { "volume_backend_name": "<or> nfs <or> ceph" } }],
        "services": [
            { "host": "host3@nfs", "availability_zone": "far" },
            { "host": "host4@ceph", "disabled": true },
            { "host": "host2@ceph" },
        ],
    }));
    for (new, host) in [
        (json!({ "size": 1 }), json!("host1@lvm#pool")),
        (json!({ "size": 1, "volume_type": "type1" }), json!("host2@ceph#pool")),
        (json!({ "size": 1, "volume_type": "type1", "availability_zone": "far" }), json!("host3@nfs#pool")),
        (json!({ "source_volid": VOLUME }), json!("host2@ceph#pool")),
    ] {
        let (_, made) = act(&service, "POST", "volumes", &json!({ "volume": new }));
        let path = format!("volumes/{}", made["volume"]["id"].as_str().expect("an id"));
        service.advance(3.0);
        let shown = ask(&service, OWN, "admin", 71, "GET", &path).1;
        assert_eq!(shown["volume"]["os-vol-host-attr:host"], host, "{new}");
    }
    // Its specs say which pools a type may use.
    for (name, hosts) in [("type1", vec!["host3@nfs#pool", "host2@ceph#pool"]), ("__DEFAULT__", vec!["host1@lvm#pool"])]
    {
        let path = format!("scheduler-stats/get_pools?volume_type={name}");
        let (_, body) = ask(&service, OWN, "admin", 71, "GET", &path);
        let pools = body["pools"].as_array().expect("a list").iter();
        let names: Vec<&str> = pools.filter_map(|pool| pool["name"].as_str()).collect();
        assert!(hosts.iter().all(|host| names.contains(host)), "{name}: {names:?}");
        assert_eq!(names.contains(&"host1@lvm#pool"), name != "type1", "{names:?}");
    }
    let (status, body) = ask(&service, OWN, "admin", 71, "GET", "scheduler-stats/get_pools?volume_type=nope");
    assert_eq!(status, 404);
    assert_eq!(body["itemNotFound"]["message"], "Volume type with name nope could not be found.");
}
