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
