//! Both components of the manifest together: a client signs in at dev-identity, and the main component accepts its token.

use std::sync::Arc;

use http::Request;
use serde_json::{Value, json};
use volume_snapshots_host::{MemoryStore, Store};

use crate::support::Service;
use crate::support::calls::Answer;
use crate::support::component::ComponentService;
use crate::support::{OPS_TOKEN, operator};

const TOKENS: &str = "/identity/v3/auth/tokens";

const VARIABLES: [(&str, &str); 5] = [
    ("dev_identity", "on"),
    ("auth_mode", "keystone"),
    ("keystone_url", "http://dev-identity.spin.internal/identity/v3"),
    ("keystone_password", "of-the-service"),
    ("www_authenticate_uri", "http://localhost/identity/v3"),
];

fn service(more: &[(&str, &str)]) -> ComponentService {
    ComponentService::new(&[&VARIABLES, more].concat())
}

fn call(service: &ComponentService, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    call_host("localhost", service, method, path, headers, body)
}

/// Sends a request to the app under another name.
fn call_host(
    host: &str,
    service: &ComponentService,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> Answer {
    let request = Request::builder().method(method).uri(format!("http://{host}{path}"));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    service.send(request.header("content-type", "application/json").body(body).expect("a request")).into()
}

fn get(service: &ComponentService, path: &str, token: &str) -> Answer {
    call(service, "GET", path, &[("x-auth-token", token)], &Value::Null)
}

fn log_in(service: &ComponentService, user: &str, project: &str) -> Answer {
    let body = json!({ "auth": {
        "identity": { "methods": ["password"], "password": { "user": {
            "name": user, "password": user, "domain": { "id": "default" },
        } } },
        "scope": { "project": { "name": project, "domain": { "id": "default" } } },
    } });
    call(service, "POST", TOKENS, &[], &body)
}

/// Returns the token of a login, and the URL of the volume service in its catalog.
fn signed_in(service: &ComponentService, user: &str, project: &str) -> (String, String) {
    let answer = log_in(service, user, project);
    assert_eq!(answer.status, 201, "{answer:?}");
    let catalog = answer.body["token"]["catalog"].as_array().expect("a catalog");
    let volume = catalog.iter().find(|own| own["type"] == "block-storage").expect("the volume service");
    let url = volume["endpoints"][0]["url"].as_str().expect("a URL");
    let path = url.strip_prefix("http://localhost").expect("the host of the request");
    (answer.header("x-subject-token").to_owned(), path.to_owned())
}

#[test]
fn a_token_of_dev_identity_opens_the_api_with_its_roles() {
    let service = service(&[("keystone_cache_seconds", "0")]);
    let (demo, volumes) = signed_in(&service, "demo", "demo");
    let body = json!({ "volume": { "size": 1, "name": "data" } });
    let created = call(&service, "POST", &format!("{volumes}/volumes"), &[("x-auth-token", &demo)], &body);
    assert_eq!(created.status, 202, "{created:?}");
    assert_eq!(get(&service, &format!("{volumes}/snapshots"), &demo).status, 200);
    let all = format!("{volumes}/volumes?all_tenants=1");
    assert_eq!(get(&service, &all, &demo).body["volumes"].as_array().map(Vec::len), Some(1));
    // Another project is not the token's.
    let (admin, other) = signed_in(&service, "admin", "admin");
    assert_ne!(volumes, other);
    assert_eq!(get(&service, &format!("{other}/snapshots"), &demo).status, 400);
    assert_eq!(get(&service, &format!("{other}/volumes?all_tenants=1"), &admin).body["volumes"][0]["name"], "data");

    let revoked =
        call(&service, "DELETE", TOKENS, &[("x-auth-token", &demo), ("x-subject-token", &demo)], &Value::Null);
    assert_eq!(revoked.status, 204, "{revoked:?}");
    let refused = get(&service, &format!("{volumes}/snapshots"), &demo);
    assert_eq!(refused.status, 401, "{refused:?}");
    assert_eq!(refused.header("www-authenticate"), "Keystone uri=\"http://localhost/identity/v3\"");
    service.advance(3601.0);
    assert_eq!(get(&service, &format!("{other}/snapshots"), &admin).status, 401, "expired");
    assert_eq!(service.app.traps(), 0);
}

#[test]
fn the_state_of_the_app_and_the_keys_of_dev_identity_are_apart() {
    let memory = Arc::new(MemoryStore::new());
    let service = ComponentService::on(memory.clone() as Arc<dyn Store>, &VARIABLES);
    let (demo, volumes) = signed_in(&service, "demo", "demo");
    let own = |memory: &MemoryStore| -> Vec<String> {
        memory.rows("default").keys().filter(|key| key.starts_with("di1:")).cloned().collect()
    };
    let keys = own(&memory);
    assert_eq!(keys.len(), 3, "a key, the pointer to it, and the time of the line in the log: {keys:?}");
    let emptied = service.send(operator("DELETE", "/_ops/state", b""));
    assert!(emptied.status().is_success());
    let repaired = service.send(operator("POST", "/_ops/repair", b""));
    assert!(repaired.status().is_success());
    assert_eq!(own(&memory), keys);
    assert_eq!(get(&service, &format!("{volumes}/snapshots"), &demo).status, 200, "the token still opens the API");
}

#[test]
fn switched_off_it_is_not_found_and_calls_no_store() {
    let service = ComponentService::new(&[]);
    for path in ["/identity", "/identity/", "/identity/v3", TOKENS, "/identity/healthcheck"] {
        assert_eq!(call(&service, "GET", path, &[], &Value::Null).status, 404, "{path}");
    }
    assert_eq!(log_in(&service, "admin", "admin").status, 404);
    assert!(service.faults.calls().is_empty());
}

#[test]
fn a_client_cannot_claim_to_be_on_this_machine_nor_to_be_the_main_component() {
    let service = service(&[]);
    let body = json!({ "auth": { "identity": { "methods": ["password"], "password": { "user": {
        "name": "admin", "password": "admin", "domain": { "id": "default" },
    } } } } });
    for (host, status) in [("127.0.0.1:3000", 201), ("cloud.example.org:3000", 401), ("10.0.0.1", 401)] {
        assert_eq!(call_host(host, &service, "POST", TOKENS, &[], &body).status, status, "{host}");
    }
    for header in [("x-forwarded-for", "127.0.0.1"), ("forwarded", "for=10.0.0.1"), ("via", "1.1 proxy")] {
        assert_eq!(call(&service, "POST", TOKENS, &[header], &body).status, 401, "{header:?}");
    }
    assert_eq!(call(&service, "POST", TOKENS, &[("spin-client-addr", "10.0.0.1:1")], &body).status, 201);
    let log = service.app.output().lines().join("\n");
    assert!(log.contains("set dev_identity_seed"), "{log}");
}

#[test]
fn it_refuses_to_start_beside_another_keystone_or_with_a_bad_seed() {
    for (variable, value, reason) in [
        (
            "keystone_url",
            "http://127.0.0.1:1/v3",
            "variable dev_identity: is on, but keystone_url names another Keystone",
        ),
        ("dev_identity_seed", r#"{"user": []}"#, "variable dev_identity_seed: unknown field `user`"),
    ] {
        let service = service(&[(variable, value)]);
        let probed = call(&service, "GET", "/identity/healthcheck", &[], &Value::Null);
        assert_eq!((probed.status, &probed.body["error"]["title"]), (500, &json!("Internal Server Error")));
        let log = service.app.output().lines().join("\n");
        assert!(log.contains(reason), "{log}");
    }
    let service = service(&[]);
    assert_eq!(call(&service, "GET", "/identity/healthcheck", &[], &Value::Null).status, 200);
    assert_eq!(call(&service, "GET", "/startup", &[("x-ops-token", OPS_TOKEN)], &Value::Null).status, 200);
}
