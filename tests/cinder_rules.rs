//! Rules that a run beside a real Cinder (commit `ab09bc39`, the reference of the vectors) showed and that no recorded
//! vector has: a state, a request, and what Cinder answers. Native, on the whole core behind its HTTP door.

mod support;

use http::Request;
use serde_json::{Value, json};
use support::native::{NativeService, TestVariables};
use support::{Service, json, text};

const PROJECT: &str = "a1000000000000000000000000000001";
const SNAPSHOT: &str = "/v3/a1000000000000000000000000000001/snapshots/bbbbbbbb-0000-4000-8000-000000000001";
const VOLUME: &str = "/v3/a1000000000000000000000000000001/volumes/aaaaaaaa-0000-4000-8000-000000000001";
const SNAPSHOTS: &str = "/v3/a1000000000000000000000000000001/snapshots";
const VOLUMES: &str = "/v3/a1000000000000000000000000000001/volumes";

struct Case {
    state: Value,
    role: &'static str,
    method: &'static str,
    path: &'static str,
    body: Value,
    status: u16,
    /// Part of the body of the answer.
    says: &'static str,
}

fn send(case: &Case) -> (u16, String) {
    let service = NativeService::with_variables(TestVariables::default().with("auth_mode", "headers"));
    service.put_state(&case.state);
    let mut request = Request::builder()
        .method(case.method)
        .uri(case.path)
        .header("openstack-api-version", "volume 3.71")
        .header("x-identity-status", "Confirmed")
        .header("x-user-id", "u")
        .header("x-roles", case.role);
    if !case.role.is_empty() || case.path.contains(PROJECT) {
        request = request.header("x-project-id", PROJECT);
    }
    let body = if case.body.is_null() { Vec::new() } else { case.body.to_string().into_bytes() };
    if !body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    let answer = service.send(request.body(body).expect("a request"));
    (answer.status().as_u16(), text(&answer))
}

#[test]
fn hosts_clusters_and_frozen_backends_count_as_in_cinder() {
    let frozen = json!([{ "host": "host1@lvm", "frozen": true }]);
    let of_volume = |volume: Value| json!({ "volumes": [volume], "snapshots": [{}] });
    let create = json!({ "snapshot": { "volume_id": "aaaaaaaa-0000-4000-8000-000000000001" } });
    let cases = [
        (of_volume(json!({ "host": null })), "DELETE", SNAPSHOT, Value::Null, 400, "volume is not assigned to a host"),
        (
            of_volume(json!({ "host": "" })),
            "POST",
            SNAPSHOTS,
            create.clone(),
            400,
            "has not been scheduled to any host",
        ),
        (json!({ "volumes": [{}], "services": frozen }), "DELETE", VOLUME, Value::Null, 400, "frozen storage backends"),
        (
            json!({ "volumes": [{ "cluster_name": "c" }], "services": frozen }),
            "POST",
            SNAPSHOTS,
            create,
            202,
            "creating",
        ),
    ];
    for (state, method, path, body, status, says) in cases {
        let case = Case { state, role: "member,reader", method, path, body, status, says };
        let (answered, body) = send(&case);
        assert_eq!(answered, case.status, "{method} {path}: {body}");
        assert!(body.contains(case.says), "{method} {path}: {body}");
    }
}

#[test]
fn a_volume_is_deleted_by_force_by_administrators_only() {
    let state = || json!({ "volumes": [{ "status": "extending" }] });
    let path = "/v3/a1000000000000000000000000000001/volumes/aaaaaaaa-0000-4000-8000-000000000001?force=true";
    let bad = "/v3/a1000000000000000000000000000001/volumes/aaaaaaaa-0000-4000-8000-000000000001?force=zz";
    for (role, path, status, says) in [
        ("member,reader", path, 403, "Policy doesn't allow volume:force_delete to be performed."),
        ("admin", path, 202, ""),
        ("admin", VOLUME, 400, "Volume status must be available"),
        ("admin", bad, 400, "Value 'zz' for 'force' is not a boolean."),
    ] {
        let case = Case { state: state(), role, method: "DELETE", path, body: Value::Null, status, says };
        let (answered, body) = send(&case);
        assert_eq!(answered, case.status, "{role}: {body}");
        assert!(body.contains(case.says), "{role}: {body}");
    }
}

#[test]
fn a_volume_larger_than_the_quota_of_one_is_refused() {
    let state = json!({ "quotas": { "per_volume_gigabytes": 1 } });
    let body = json!({ "volume": { "size": 2 } });
    let says = "VolumeSizeExceedsLimit: Requested volume size 2G is larger than maximum allowed limit 1G.";
    let case = Case { state, role: "member", method: "POST", path: VOLUMES, body, status: 413, says };
    let (answered, body) = send(&case);
    assert_eq!(answered, case.status, "{body}");
    assert!(body.contains(case.says), "{body}");
}

#[test]
fn whoever_has_no_project_may_look_at_nothing() {
    for (path, status) in [
        ("/v3/snapshots", 403),
        ("/v3/snapshots/bbbbbbbb-0000-4000-8000-000000000001", 403),
        ("/v3/volumes/aaaaaaaa-0000-4000-8000-000000000001", 403),
        ("/v3/limits", 403),
        ("/v3/volumes", 200),
    ] {
        let state = json!({ "volumes": [{}], "snapshots": [{}] });
        let case = Case { state, role: "", method: "GET", path, body: Value::Null, status, says: "" };
        let (answered, body) = send(&case);
        assert_eq!(answered, case.status, "{path}: {body}");
    }
}

#[test]
fn queries_are_taken_apart_as_webob_does() {
    let service = NativeService::with_variables(TestVariables::default());
    service.put_state(&json!({ "snapshots": [{ "name": "one" }], "volumes": [{}] }));
    for (query, status, found) in [
        ("limit=%D9%A1", 200, 1),
        ("status=available;name=one", 200, 1),
        ("status=error;name=one", 200, 0),
        ("name=one&name=one", 200, 0),
        ("name=%FF", 400, 0),
    ] {
        let request = Request::get(format!("{SNAPSHOTS}?{query}")).body(Vec::new()).expect("a request");
        let answer = service.send(request);
        assert_eq!(answer.status().as_u16(), status, "{query}: {}", text(&answer));
        let rows = json(&answer)["snapshots"].as_array().map_or(0, Vec::len);
        assert_eq!(rows, found, "{query}: {}", text(&answer));
    }
}
