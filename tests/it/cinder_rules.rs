//! Rules that no recorded vector covers, observed on a real Cinder (commit `ab09bc39`, the reference of the vectors): a
//! state, a request, and Cinder's answer. Native, on the whole core.

use crate::support::native::{NativeService, TestVariables};
use crate::support::{Service, json, text};
use http::Request;
use serde_json::{Value, json};

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
    /// A part of the answer's body.
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
    for (path, role, status) in [
        ("/v3/snapshots", "reader", 403),
        ("/v3/snapshots/bbbbbbbb-0000-4000-8000-000000000001", "reader", 403),
        ("/v3/volumes/aaaaaaaa-0000-4000-8000-000000000001", "reader", 403),
        ("/v3/limits", "reader", 403),
        ("/v3/volumes", "reader", 200),
        // Without the role, the policy refuses first.
        ("/v3/snapshots", "", 403),
        ("/v3/volumes", "", 403),
    ] {
        let says = match (path, role) {
            ("/v3/snapshots", "") => "Policy doesn't allow volume:get_all_snapshots to be performed.",
            ("/v3/volumes", "") => "Policy doesn't allow volume:get_all to be performed.",
            (_, _) if status == 403 => "Not authorized.",
            _ => "",
        };
        let ask = Ask { role, project: None, ..Ask::new("GET", path) };
        check(&json!({ "volumes": [{}], "snapshots": [{}] }), &ask, status, says);
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

/// A request. The defaults are the role of a member and the newest version.
struct Ask<'a> {
    role: &'a str,
    project: Option<&'a str>,
    version: &'a str,
    method: &'a str,
    path: &'a str,
    body: Vec<u8>,
    headers: &'a [(&'a str, &'a str)],
}

impl<'a> Ask<'a> {
    fn new(method: &'a str, path: &'a str) -> Self {
        Self {
            role: "member,reader",
            project: Some(PROJECT),
            version: "3.71",
            method,
            path,
            body: Vec::new(),
            headers: &[],
        }
    }

    fn with_body(self, body: &Value) -> Self {
        Self { body: body.to_string().into_bytes(), ..self }
    }
}

fn answer(state: &Value, ask: &Ask<'_>) -> http::Response<Vec<u8>> {
    let service = NativeService::with_variables(TestVariables::default().with("auth_mode", "headers"));
    service.put_state(state);
    let mut request = Request::builder()
        .method(ask.method)
        .uri(ask.path)
        .header("openstack-api-version", format!("volume {}", ask.version))
        .header("x-identity-status", "Confirmed")
        .header("x-user-id", "u")
        .header("x-roles", ask.role);
    for (name, value) in ask.project.map(|project| ("x-project-id", project)).iter().chain(ask.headers) {
        request = request.header(*name, *value);
    }
    if !ask.body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    service.send(request.body(ask.body.clone()).expect("a request"))
}

/// Sends a request, and checks the status and a part of the body.
fn check(state: &Value, ask: &Ask<'_>, status: u16, says: &str) {
    let answer = answer(state, ask);
    let (method, path) = (ask.method, ask.path);
    let shown = format!("{method} {path} {}: {}", String::from_utf8_lossy(&ask.body), text(&answer));
    assert_eq!(answer.status().as_u16(), status, "{shown}");
    assert!(text(&answer).contains(says), "expected {says}; {shown}");
}

fn id(number: u8) -> String {
    format!("bbbbbbbb-0000-4000-8000-{number:012}")
}

#[test]
fn filters_and_orders_are_read_as_cinder_reads_them() {
    let state = json!({
        "volumes": [{}],
        "snapshots": [
            { "id": id(1), "name": "a", "metadata": { "k": "v" }, "created_at": "2026-01-01T00:00:01" },
            { "id": id(2), "name": "", "metadata": { "n": "1" }, "created_at": "2026-01-01T00:00:02", "size": 3 },
            { "id": id(3), "name": null, "consumes_quota": false, "created_at": "2026-01-01T00:00:03" },
        ],
    });
    for (query, found) in [
        // Null sorts before the empty string.
        ("sort=display_name:asc", &[3, 2, 1][..]),
        ("sort=display_name:desc", &[1, 2, 3]),
        ("volume_size=3.0", &[2]),
        ("volume_size=3.5", &[]),
        // One copy of a control key is removed. The other is not the name of a column.
        ("all_tenants=1&all_tenants=1", &[]),
        ("all_tenants=1", &[3, 2, 1]),
        // The API's name of a column takes precedence over the column's own.
        ("consumes_quota=false&use_quota=true", &[3]),
        ("consumes_quota=true&consumes_quota=false", &[3]),
        // Types are identified by their ids.
        ("volume_type_id=__DEFAULT__", &[]),
        ("volume_type_id~=-", &[3, 2, 1]),
        // Python literals in all their forms.
        ("metadata=({'k':('v')})%20%23%20a%20comment", &[1]),
        ("metadata=%7B'k':r'v'%7D", &[1]),
        ("metadata=%7B'k':'%5C166'%7D", &[1]),
        ("metadata=%7B'n':0x1%7D", &[2]),
        ("metadata=%7B'n':01%7D", &[]),
    ] {
        let path = format!("{SNAPSHOTS}?{query}");
        let answer = answer(&state, &Ask { role: "admin", ..Ask::new("GET", &path) });
        let rows = json(&answer)["snapshots"].as_array().cloned().unwrap_or_default();
        let ids: Vec<String> = rows.iter().filter_map(|row| row["id"].as_str().map(str::to_owned)).collect();
        assert_eq!(ids, found.iter().map(|number| id(*number)).collect::<Vec<_>>(), "{query}: {}", text(&answer));
    }
    for query in ["metadata=%7B%5B'k'%5D:'v'%7D", "metadata=%7B%7B%7D:'v'%7D"] {
        let path = format!("{SNAPSHOTS}?{query}");
        check(&state, &Ask::new("GET", &path), 400, "either malformed or otherwise incorrect");
    }
}

#[test]
fn volumes_are_listed_as_cinder_lists_them() {
    let state = json!({ "volumes": [{ "host": "host1@lvm#pool" }] });
    for (role, version, query, status, says) in [
        ("admin", "3.71", "host=host1", 200, "aaaaaaaa-0000"),
        ("admin", "3.71", "host=host1@lvm", 200, "aaaaaaaa-0000"),
        ("admin", "3.71", "host=host", 200, "[]"),
        ("admin", "3.71", "host=&cluster_name=", 200, "aaaaaaaa-0000"),
        ("admin", "3.30", "use_quota=zz&name~=zz", 200, "aaaaaaaa-0000"),
        ("admin", "3.71", "all_tenants=zz", 400, "Value 'zz' for 'all_tenants' is not a boolean."),
        ("member,reader", "3.71", "all_tenants=zz", 200, "aaaaaaaa-0000"),
        ("admin", "3.31", "%C3%A9=1", 400, "Filter keys can only contain ASCII characters."),
        ("admin", "3.31", "use_quota=true", 200, "aaaaaaaa-0000"),
        ("admin", "3.30", "consumes_quota=true", 200, "[]"),
        ("admin", "3.31", "consumes_quota=true", 200, "aaaaaaaa-0000"),
    ] {
        let path = format!("{VOLUMES}?{query}");
        check(&state, &Ask { role, version, ..Ask::new("GET", &path) }, status, says);
    }
}

#[test]
fn bodies_are_checked_in_the_order_of_the_schemas() {
    let state = json!({ "volumes": [{}], "snapshots": [{ "status": "creating" }] });
    let metadata = format!("{SNAPSHOT}/metadata");
    let action = format!("{SNAPSHOT}/action");
    let report = |report: Value| json!({ "os-update_snapshot_status": report });
    let percentage = "Invalid input received: progress must be an integer percentage";
    for (path, body, status, says) in [
        // The value of a key is checked only if the key is valid.
        (&metadata, json!({ "metadata": { "a!": 1 } }), 400, "'a!' does not match any of the regexes"),
        (&metadata, json!({ "metadata": { "a!": "1", "b!": 2 } }), 400, "'a!', 'b!' do not match any of the regexes"),
        (
            &metadata,
            json!({ "metadata": { "a!": "1", "b": 2 } }),
            400,
            "attribute b. Value: 2. 2 is not of type 'string'",
        ),
        // The progress is a property, and properties are checked before required names.
        (&action, report(json!({ "progress": "abc" })), 400, percentage),
        (&action, report(json!({ "progress": "101%" })), 400, "between 0 and 100"),
        (&action, report(json!({ "progress": "5%" })), 400, "'status' is a required property"),
        (&action, report(json!({ "status": "available", "progress": 5 })), 400, "'int' object is not subscriptable"),
        (&action, report(json!({ "status": "available", "progress": 5.5 })), 400, "'float' object is not"),
        (&action, report(json!({ "status": "available", "progress": true })), 400, "'bool' object is not"),
        (&action, report(json!({ "status": "available", "progress": 0 })), 202, ""),
    ] {
        check(&state, &Ask::new("POST", path).with_body(&body), status, says);
    }
}

#[test]
fn numbers_that_are_none_are_read_as_python_reads_them() {
    let state = json!({ "volumes": [{}], "snapshots": [{}] });
    let metadata = format!("{SNAPSHOT}/metadata");
    let action = format!("{SNAPSHOT}/action");
    for (path, body, status, says) in [
        (
            metadata.as_str(),
            r#"{"metadata": {"a": "NaN \\\" NaN"}, "other": [NaN, -Infinity]}"#,
            200,
            r#"NaN \\\" NaN"#,
        ),
        (metadata.as_str(), r#"{"metadata": {"a": NaN}}"#, 400, "is not of type 'string'"),
        (metadata.as_str(), r#"{"metadata": {"a": nan}}"#, 400, "Malformed request body"),
        (action.as_str(), r#"{"os-force_delete": Infinity}"#, 202, ""),
        (SNAPSHOTS, r#"{"snapshot": {"name": NaN}}"#, 400, "attribute name. "),
    ] {
        let ask = Ask { role: "admin", body: body.as_bytes().to_vec(), ..Ask::new("POST", path) };
        check(&state, &ask, status, says);
    }
}

#[test]
fn an_empty_cluster_is_none_and_a_host_means_all_services_on_it() {
    let frozen = json!([{ "host": "host1@lvm", "frozen": true }]);
    let create = json!({ "snapshot": { "volume_id": "aaaaaaaa-0000-4000-8000-000000000001" } });
    let adopt = json!({ "snapshot": { "volume_id": "aaaaaaaa-0000-4000-8000-000000000001", "ref": "r" } });
    let manage = "/v3/a1000000000000000000000000000001/manageable_snapshots";
    let list = "/v3/a1000000000000000000000000000001/manageable_snapshots?host=host1";
    let post = |path, body| Ask { role: "admin", ..Ask::new("POST", path) }.with_body(body);
    let get = || Ask { role: "admin", ..Ask::new("GET", list) };
    for (volume, services, ask, status, says) in [
        (json!({ "cluster_name": "" }), &frozen, post(SNAPSHOTS, &create), 400, "frozen storage backends"),
        (json!({ "cluster_name": "", "host": null }), &frozen, post(SNAPSHOTS, &create), 400, "not assigned to a host"),
        (json!({}), &json!([{ "host": "host1@lvm#pool" }]), post(manage, &adopt), 202, "creating"),
        (json!({ "cluster_name": "c" }), &frozen, post(manage, &adopt), 404, "could not be found on host host1@lvm."),
        (json!({ "host": "" }), &frozen, post(manage, &adopt), 400, "has not been scheduled to any host"),
        (json!({ "host": null, "cluster_name": "c" }), &frozen, post(manage, &adopt), 404, "could not be found.\""),
        (
            json!({ "host": null }),
            &json!([{ "absent": true }]),
            post(manage, &adopt),
            404,
            "Service cinder-volume could not be found.\"",
        ),
        (json!({}), &frozen, get(), 200, "[]"),
        (json!({}), &json!([{ "disabled": true }]), get(), 400, "Service is unavailable at this time."),
        (json!({}), &json!([{ "host": "host10@lvm" }, { "absent": true }]), get(), 404, "on host host1."),
    ] {
        check(&json!({ "volumes": [volume], "services": services }), &ask, status, says);
    }
}

#[test]
fn paths_that_only_the_routing_library_has_are_faults() {
    let base = "/v3/a1000000000000000000000000000001";
    for (method, path, fault) in [
        ("POST", "/limits", true),
        ("GET", "/limits/x", true),
        ("PUT", "/extensions/x", true),
        ("POST", "/resource_filters", true),
        ("GET", "/os-quota-sets", true),
        ("DELETE", "/manageable_snapshots/x", true),
        ("GET", "/os-snapshot-manage/x", true),
        ("GET", "/snapshots/x/metadata/y/edit", true),
        ("PUT", "/limits", false),
        ("POST", "/limits/x", false),
        ("PATCH", "/extensions/x", false),
        ("GET", "/snapshots/x%5C", false),
        ("PUT", "/snapshots/x/metadata.json", false),
    ] {
        let path = format!("{base}{path}");
        let answer = answer(&json!({}), &Ask::new(method, &path));
        assert_eq!(answer.status().as_u16(), 404, "{method} {path}");
        assert_eq!(text(&answer).contains("itemNotFound"), fault, "{method} {path}: {}", text(&answer));
        assert_eq!(answer.headers().contains_key("openstack-api-version"), fault, "{method} {path}");
    }
}

#[test]
fn media_types_are_chosen_as_webob_chooses_them() {
    let vendor = "application/vnd.openstack.volume+json";
    let html = "text/html; charset=UTF-8";
    let json_path = format!("{SNAPSHOT}.json");
    let nowhere = "/v3/a1000000000000000000000000000001/nowhere";
    for (path, accept, media_type) in [
        (SNAPSHOT, vendor, vendor),
        (SNAPSHOT, "application/vnd.openstack.volume+json;version=3", "application/json"),
        (SNAPSHOT, "application/vnd.openstack.volume+json;q=0.5, application/json", "application/json"),
        (&json_path, vendor, "application/json"),
        (nowhere, "*/*", html),
        (nowhere, "text/html, application/json", html),
        (nowhere, "text/html;q=0.1, application/json", "application/json"),
        (nowhere, "text/plain", "text/plain; charset=UTF-8"),
    ] {
        let headers = [("accept", accept)];
        let answer =
            answer(&json!({ "volumes": [{}], "snapshots": [{}] }), &Ask { headers: &headers, ..Ask::new("GET", path) });
        assert_eq!(answer.headers()["content-type"], media_type, "{path} {accept}");
    }
    let reset = json!({ "os-reset_status": { "status": "error" } });
    let action = format!("{SNAPSHOT}/action");
    let headers = [("accept", vendor)];
    let ask = Ask { role: "admin", headers: &headers, ..Ask::new("POST", &action) }.with_body(&reset);
    let answer = answer(&json!({ "volumes": [{}], "snapshots": [{}] }), &ask);
    assert_eq!(answer.headers()["content-type"], vendor);
}

#[test]
fn quotas_are_refused_in_cinders_order() {
    let path = "/v3/a1000000000000000000000000000001/os-quota-sets/a1000000000000000000000000000001";
    for (role, set, status, says) in [
        // The values of known names are checked before unknown names, and those before the caller.
        ("admin", json!({ "foo": "abc" }), 400, "Bad key(s) in quota set: foo"),
        ("admin", json!({ "foo": -2, "snapshots": -2 }), 400, "snapshots must be >= -1"),
        ("member", json!({ "foo": 1 }), 400, "Bad key(s) in quota set: foo"),
        ("admin", json!({ "snapshots": "abc" }), 400, "snapshots must be an integer"),
        // A number in a string is parsed, but cannot be compared with the usage.
        ("admin", json!({ "snapshots": "5" }), 400, "either malformed or otherwise incorrect"),
        ("member", json!({ "snapshots": "5" }), 403, "volume_extension:quotas:update"),
        ("admin", json!({ "per_volume_gigabytes": "5" }), 200, ""),
        ("admin", json!({ "snapshots": 5 }), 200, ""),
        // The usage counts if the project already has its own limit.
        ("admin", json!({ "snapshots": 1 }), 200, ""),
        ("admin", json!({ "gigabytes": 1 }), 400, "Current usage is 2 and the requested limit is 1."),
    ] {
        let ask = Ask { role, ..Ask::new("PUT", path) }.with_body(&json!({ "quota_set": set }));
        let state = json!({
            "quota_usage": { PROJECT: { "snapshots": { "in_use": 2 }, "gigabytes": { "in_use": 2 } } },
            "project_quotas": { PROJECT: { "gigabytes": 9 } },
        });
        check(&state, &ask, status, says);
    }
}

#[test]
fn volume_bodies_are_checked_as_cinder_checks_them() {
    let long = "x".repeat(255);
    let reset = format!("{VOLUME}/action");
    for (method, path, version, body, status, says) in [
        ("POST", VOLUMES, "3.71", json!({ "volume": { "size": 1, "name": format!(" {long} ") } }), 202, ""),
        (
            "POST",
            VOLUMES,
            "3.71",
            json!({ "volume": { "size": 1, "display_name": format!("{long}x") } }),
            400,
            "Invalid input received: name has 256 characters, more than 255.",
        ),
        ("POST", VOLUMES, "3.71", json!({ "volume": { "size": 1, "description": "a\nb" } }), 202, ""),
        ("POST", VOLUMES, "3.52", json!({ "volume": { "size": 1, "foo": 1 } }), 202, ""),
        ("POST", VOLUMES, "3.53", json!({ "volume": { "size": 1, "foo": 1 } }), 400, "('foo' was unexpected)"),
        ("POST", VOLUMES, "3.0", json!({ "volume": { "size": 1 }, "foo": 1 }), 400, "('foo' was unexpected)"),
        ("POST", VOLUMES, "3.0", json!({ "volume": { "size": 1, "multiattach": true } }), 400, "has been removed"),
        ("PUT", VOLUME, "3.52", json!({ "volume": {} }), 200, ""),
        ("PUT", VOLUME, "3.53", json!({ "volume": {} }), 400, "not valid under any of the given schemas"),
        ("PUT", VOLUME, "3.53", json!({ "volume": { "metadata": { "a/b": "c" } } }), 200, ""),
        ("POST", &reset, "3.71", json!({ "os-reset_status": { "x": 1 } }), 400, "Must specify 'status'"),
        ("POST", &reset, "3.71", json!({ "os-reset_status": { "status": null } }), 400, "Must specify 'status'"),
        (
            "POST",
            &reset,
            "3.71",
            json!({ "os-reset_status": { "attach_status": "zz" } }),
            400,
            "Volume attach status: zz is invalid, valid statuses are: ['attached', 'detached'].",
        ),
        ("POST", &reset, "3.71", json!({ "os-reset_status": { "migration_status": "None" } }), 202, ""),
    ] {
        let ask = Ask { role: "admin", version, ..Ask::new(method, path) }.with_body(&body);
        check(&json!({ "volumes": [{}] }), &ask, status, says);
    }
    let ask = Ask::new("GET", VOLUME);
    let volume = json(&answer(&json!({ "volumes": [{}] }), &ask));
    assert!(volume["volume"]["volume_type_id"].as_str().is_some_and(|id| id.len() == 36 && id != "__DEFAULT__"));
}

#[test]
fn a_size_is_refused_in_the_words_of_its_schema() {
    let action = format!("{VOLUME}/action");
    let integer = "is not of type 'integer', 'string'";
    for (size, says) in [
        (json!(-1), "Value: -1. -1 is less than the minimum of 1".to_owned()),
        (json!(0), "Value: 0. 0 is less than the minimum of 1".to_owned()),
        (json!("0"), "Value: 0. 0 is less than the minimum of 1".to_owned()),
        (json!("-1"), "Value: -1. '-1' does not match '^[0-9]+$'".to_owned()),
        (json!(""), "Value: . '' does not match '^[0-9]+$'".to_owned()),
        (json!("2 GB"), "Value: 2 GB. '2 GB' does not match '^[0-9]+$'".to_owned()),
        (json!(2_147_483_648_u64), "2147483648 is greater than the maximum of 2147483647".to_owned()),
        (json!("02147483648"), "2147483648 is greater than the maximum of 2147483647".to_owned()),
        (json!(1.5), format!("Value: 1.5. 1.5 {integer}")),
        (json!(true), format!("Value: True. True {integer}")),
    ] {
        let body = json!({ "os-extend": { "new_size": size } });
        check(&json!({ "volumes": [{}] }), &Ask::new("POST", &action).with_body(&body), 400, &says);
        let body = json!({ "volume": { "size": size } });
        check(&json!({}), &Ask::new("POST", VOLUMES).with_body(&body), 400, &says);
    }
    // A new volume may leave out its size, in favour of that of its source.
    let body = json!({ "os-extend": { "new_size": null } });
    let ask = Ask::new("POST", &action).with_body(&body);
    check(&json!({ "volumes": [{}] }), &ask, 400, &format!("Value: None. None {integer}"));
    let body = json!({ "volume": { "size": [] } });
    check(&json!({}), &Ask::new("POST", VOLUMES).with_body(&body), 400, &format!("[] {integer}, 'null'"));
    for size in ["2", "2\n"] {
        let body = json!({ "volume": { "size": size } });
        check(&json!({}), &Ask::new("POST", VOLUMES).with_body(&body), 202, "\"size\":2");
    }
}

/// A state with one volume, which is found or not.
fn one_volume() -> Value {
    json!({ "volumes": [{
        "status": "error", "size": 3, "bootable": false, "metadata": { "k": "v" }, "admin_metadata": { "readonly": "True" },
        "image_metadata": { "os": "linux" }, "created_at": "2026-03-01T00:00:00", "updated_at": null,
    }] })
}

fn check_volumes(role: &str, version: &str, query: &str, status: u16, says: &str) {
    let encoded = query.replace(' ', "%20").replace('\'', "%27").replace('{', "%7B").replace('}', "%7D");
    let path = format!("{VOLUMES}?{encoded}");
    let says = if says == "found" { "aaaaaaaa-0000-4000-8000-000000000001" } else { says };
    check(&one_volume(), &Ask { role, version, ..Ask::new("GET", &path) }, status, says);
}

#[test]
fn filters_of_volumes_are_python_literals() {
    for (role, query, says) in [
        ("member,reader", "migration_status=None", "found"),
        ("admin", "replication_status=None", "found"),
        ("admin", "snapshot_id=None&source_volid=None", "found"),
        ("admin", "status=None", "[]"),
        ("member,reader", "size=3", "found"),
        ("member,reader", "size=0x3", "found"),
        ("member,reader", "size=3.0", "found"),
        ("member,reader", "size=03", "found"),
        ("member,reader", "status='error'", "found"),
        ("member,reader", "status=['available','error']", "found"),
        ("member,reader", "status=('available',)", "[]"),
        ("member,reader", "status={'error'}", "found"),
        ("member,reader", "status={'a':1}", "[]"),
        ("member,reader", "name='vol'", "[]"),
        ("admin", "display_name~='vo'", "found"),
        ("admin", "host='host1'", "found"),
        ("member,reader", "status=available&status=error", "found"),
        ("member,reader", "metadata={'readonly':'True','k':'v'}", "found"),
        ("admin", "glance_metadata={'os':'linux'}", "found"),
        ("admin", "glance_metadata={'os':'other'}", "[]"),
        ("admin", "glance_metadata=os", "[]"),
        ("admin", "service_uuid=381a2c1c-deac-5b0d-b85b-468d437c1db0&shared_targets=yes", "found"),
    ] {
        check_volumes(role, "3.71", query, 200, says);
    }
}

#[test]
fn times_of_volumes_are_compared() {
    for (query, status, says) in [
        ("created_at=gt:2026-02-01", 200, "found"),
        ("created_at=gt:2026-03-01T00:00:00", 200, "[]"),
        ("created_at=gte:2026-03-01T00:00:00", 200, "found"),
        ("created_at=eq:2026-03-01T02:00:00%2B02:00", 200, "found"),
        ("created_at=neq:2026-03-01", 200, "[]"),
        ("created_at=lt:2026-02-01,gt:2026-02-01", 200, "found"),
        ("created_at=lte:2026-03-01", 200, "found"),
        ("updated_at=neq:2026-03-01", 200, "[]"),
        ("created_at=gt:abc&marker=x", 400, "Invalid abc value"),
        ("created_at=abc", 400, "Invalid abc operator"),
        ("created_at=", 400, "Invalid  operator"),
        ("created_at=gt:", 400, "Invalid  value"),
    ] {
        check_volumes("member,reader", "3.71", query, status, says);
    }
}

#[test]
fn filters_of_volumes_are_dropped_below_their_versions() {
    for (role, version, query, says) in [
        ("member,reader", "3.30", "created_at=gt:2100-01-01", "found"),
        ("admin", "3.30", "updated_at=gt:2100-01-01", "found"),
        ("admin", "3.9", "group_id=abc", "found"),
        ("admin", "3.10", "group_id=abc", "[]"),
        ("admin", "3.3", "glance_metadata={'a':'b'}", "found"),
        ("admin", "3.4", "glance_metadata={'a':'b'}", "[]"),
    ] {
        check_volumes(role, version, query, 200, says);
    }
}

#[test]
fn booleans_of_volumes_are_read_as_cinder_reads_them() {
    for (role, version, query, status, says) in [
        ("member,reader", "3.1", "bootable=0", 200, "[]"),
        ("member,reader", "3.1", "bootable=no", 200, "[]"),
        ("member,reader", "3.1", "bootable=abc", 200, "[]"),
        ("member,reader", "3.1", "bootable=false", 200, "found"),
        ("member,reader", "3.1", "bootable=FALSE", 200, "found"),
        ("member,reader", "3.1", "bootable=", 200, "found"),
        ("member,reader", "3.2", "bootable=0", 200, "found"),
        ("member,reader", "3.2", "bootable=abc", 400, "Invalid input received: 'bootable = abc'"),
        ("member,reader", "3.2", "bootable= true", 200, "[]"),
        ("", "3.2", "bootable= true", 403, "Policy doesn't allow volume:get_all to be performed."),
        ("admin", "3.2", "multiattach= no ", 200, "found"),
        ("admin", "3.2", "deleted=abc", 400, "Invalid input received: 'deleted = abc'"),
        ("admin", "3.2", "shared_targets=abc", 400, "Invalid input received: 'shared_targets = abc'"),
        ("admin", "3.71", "deleted=false", 200, "found"),
    ] {
        check_volumes(role, version, query, status, says);
    }
}

#[test]
fn orders_and_markers_are_checked_where_nothing_can_match_as_in_cinder() {
    let unknown = "99999999-0000-4000-8000-000000000009";
    let direction = "Unknown sort direction";
    for (role, version, query, status, says) in [
        ("member,reader", "3.71", "metadata=abc&sort_dir=x", 400, direction),
        ("member,reader", "3.71", "metadata=&sort_dir=x", 400, direction),
        ("admin", "3.44", "with_count=1&sort_dir=x", 400, direction),
        ("admin", "3.44", "with_count=1&sort_key=x&marker=x", 200, "[]"),
        ("member,reader", "3.71", "metadata={'a':None}&marker=x", 404, "Volume x could not be found."),
        ("member,reader", "3.71", "sort_key=x", 400, "Invalid sort key"),
        ("member,reader", "3.71", "sort=provider_id,launched_at:asc,service_uuid,encryption_key_id", 200, "found"),
    ] {
        check_volumes(role, version, query, status, says);
    }
    let state = json!({ "volumes": [{}], "snapshots": [{}] });
    let dict = "metadata=%7B%27a%27:None%7D";
    for (version, query, status, says) in [
        ("3.71", format!("{dict}&marker={unknown}"), 404, format!("Snapshot {unknown} could not be found.")),
        ("3.71", format!("{dict}&sort=foo"), 400, "Invalid sort key".to_owned()),
        ("3.71", format!("{dict}&sort_dir=x"), 400, direction.to_owned()),
        ("3.71", "metadata=abc&metadata=abc&sort=description".to_owned(), 200, "[]".to_owned()),
    ] {
        let path = format!("{SNAPSHOTS}?{query}");
        check(&state, &Ask { version, ..Ask::new("GET", &path) }, status, &says);
    }
}

/// Cinder looks for everything that a new volume names before it checks anything else (`cinder/api/v3/volumes.py`).
#[test]
fn sources_and_groups_of_new_volumes_are_checked_as_in_cinder() {
    const SOURCE: &str = "aaaaaaaa-0000-4000-8000-000000000001";
    const SNAPSHOT_ID: &str = "bbbbbbbb-0000-4000-8000-000000000001";
    const UNKNOWN: &str = "99999999-0000-4000-8000-000000000009";
    let one = json!({ "volumes": [{ "size": 2, "availability_zone": "zone", "bootable": true }], "snapshots": [{ "size": 2 }] });
    let foreign = json!({ "volumes": [{ "project_id": "b2" }] });
    let types = json!({
        "volumes": [{}],
        "volume_types": [{ "name": "other", "extra_specs": { "multiattach": "<is> True" } }],
    });
    let group = |id: &str| format!("Group {id} could not be found.");
    let cases = [
        (&one, json!({ "source_volid": SOURCE }), 202, "\"size\": 2".replace(' ', "")),
        (&one, json!({ "source_volid": SOURCE }), 202, "\"availability_zone\":\"zone\"".to_owned()),
        (&one, json!({ "snapshot_id": SNAPSHOT_ID }), 202, "\"bootable\":\"true\"".to_owned()),
        (&one, json!({ "snapshot_id": SNAPSHOT_ID }), 202, "\"availability_zone\":\"zone\"".to_owned()),
        (
            &one,
            json!({ "source_volid": SOURCE, "size": 1 }),
            400,
            "Volume size '1'GB cannot be smaller than original volume size  2GB. They must be >= original volume size."
                .to_owned(),
        ),
        (
            &one,
            json!({ "source_volid": SOURCE, "snapshot_id": SNAPSHOT_ID, "size": 1 }),
            400,
            "Invalid input received: May specify only one of backup, imageRef, snapshot, source volume".to_owned(),
        ),
        (&one, json!({ "source_volid": UNKNOWN }), 404, format!("Volume {UNKNOWN} could not be found.")),
        (&foreign, json!({ "source_volid": SOURCE }), 404, format!("Volume {SOURCE} could not be found.")),
        (
            &types,
            json!({ "source_volid": SOURCE, "volume_type": "other" }),
            400,
            "(requested type is not compatible; either match source volume, or omit type argument).".to_owned(),
        ),
        (&one, json!({ "size": 1, "group_id": "abc" }), 404, group("abc")),
        (&one, json!({ "size": 1, "group_id": "" }), 404, group("")),
        (&one, json!({ "size": 1, "consistencygroup_id": UNKNOWN, "group_id": "abc" }), 404, group(UNKNOWN)),
        (&one, json!({ "size": 1, "group_id": null, "consistencygroup_id": null }), 202, "creating".to_owned()),
        (&one, json!({ "size": 1, "backup_id": UNKNOWN }), 404, format!("Backup {UNKNOWN} could not be found.")),
        (
            &one,
            json!({ "size": 1, "imageRef": "cirros" }),
            400,
            "Invalid image identifier or unable to access requested image.".to_owned(),
        ),
        (&one, json!({ "group_id": "abc", "multiattach": true, "volume_type": "none" }), 404, "Volume type".to_owned()),
    ];
    for (state, volume, status, says) in cases {
        let body = json!({ "volume": volume });
        check(state, &Ask::new("POST", VOLUMES).with_body(&body), status, &says);
    }
    let ask = Ask { role: "", ..Ask::new("POST", VOLUMES) };
    let body = json!({ "volume": { "source_volid": SOURCE } });
    check(&one, &ask.with_body(&body), 403, "Policy doesn't allow volume:get to be performed.");
}

#[test]
fn messages_about_bodies_name_what_cinder_names() {
    let reset = |fields: Value| json!({ "os-reset_status": fields });
    let action = format!("{VOLUME}/action");
    let quotas = format!("/v3/{PROJECT}/os-quota-sets/{PROJECT}");
    let long = "x".repeat(256);
    for (method, path, body, says) in [
        ("POST", &action, reset(json!({ "status": 1 })), "1 is not of type 'string', 'null'".to_owned()),
        ("POST", &action, reset(json!({ "status": 0 })), "Must specify 'status'".to_owned()),
        ("POST", &action, reset(json!({ "status": long })), format!("Volume status: {long} is invalid")),
        (
            "POST",
            &action,
            reset(json!({ "status": "a", "attach_status": "b" })),
            "Volume status: a is invalid".to_owned(),
        ),
        ("POST", &action, json!({ "revert": { "snapshot_id": long } }), "Specified snapshot x".to_owned()),
        (
            "PUT",
            &quotas,
            json!({ "quota_set": { "volumes": "x" }, "extra": 1 }),
            "volumes must be an integer".to_owned(),
        ),
        ("PUT", &quotas, json!({ "quota_set": { "volumes": 1 }, "extra": 1 }), "('extra' was unexpected)".to_owned()),
        ("POST", &action, json!({ "os-extend": { "new_size": 1e-7 } }), "Value: 1e-07.".to_owned()),
    ] {
        let state = json!({ "volumes": [{}], "snapshots": [{}] });
        check(&state, &Ask { role: "admin", ..Ask::new(method, path).with_body(&body) }, 400, &says);
    }
    let ask = Ask { role: "admin", body: br#"{"os-extend": {"new_size": NaN}}"#.to_vec(), ..Ask::new("POST", &action) };
    check(&json!({ "volumes": [{}] }), &ask, 400, "Value: nan.");
}

#[test]
fn scheduler_hints_are_checked_by_their_schema() {
    let id = "aaaaaaaa-0000-4000-8000-000000000001";
    for (hints, status) in [
        (json!(null), 202),
        (json!({}), 202),
        (json!({ "anything": 1, "query": "[]", "local_to_instance": null }), 202),
        (json!({ "same_host": id, "different_host": [id], "query": {} }), 202),
        (json!("x"), 400),
        (json!({ "query": 1 }), 400),
        (json!({ "local_to_instance": "x" }), 400),
        (json!({ "same_host": "x" }), 400),
        (json!({ "same_host": [id, id] }), 400),
        (json!({ "different_host": [1] }), 400),
    ] {
        let body = json!({ "volume": { "size": 1 }, "OS-SCH-HNT:scheduler_hints": hints });
        check(&json!({}), &Ask::new("POST", VOLUMES).with_body(&body), status, "");
    }
}

#[test]
fn a_summary_counts_the_volumes_of_the_project_or_of_all() {
    let path = |query: &str| format!("{VOLUMES}/summary{query}");
    let state = json!({ "volumes": [
        { "size": 3 },
        { "id": "aaaaaaaa-0000-4000-8000-000000000002", "size": 4, "project_id": "b2" },
        { "id": "aaaaaaaa-0000-4000-8000-000000000003", "size": 5, "status": "deleting",
          "pending": { "completion": "remove", "schedule": "clock", "due": "2026-01-01T00:00:00", "gives_up": "2096-01-01T00:00:00" } },
    ] });
    let totals = |count: u32, size: u32| format!("\"total_count\":{count},\"total_size\":{size}");
    for (role, version, query, status, says) in [
        ("member,reader", "3.12", "", 200, totals(1, 3)),
        ("member,reader", "3.71", "?all_tenants=1", 200, totals(1, 3)),
        ("member,reader", "3.71", "?all_tenants=zz", 200, totals(1, 3)),
        ("admin", "3.71", "?all_tenants=1", 200, totals(2, 7)),
        ("admin", "3.71", "?all_tenants=zz", 400, "Value 'zz' for 'all_tenants' is not a boolean.".to_owned()),
        ("", "3.71", "", 403, "Policy doesn't allow volume:get_all to be performed.".to_owned()),
        ("admin", "3.11", "", 404, "The resource could not be found.".to_owned()),
    ] {
        check(&state, &Ask { role, version, ..Ask::new("GET", &path(query)) }, status, &says);
    }
}

#[test]
fn a_volume_in_maintenance_stays_as_it_is_and_one_that_is_adopted_is_shown_as_new() {
    let state = |status: &str| json!({ "volumes": [{ "status": status }] });
    let refused = "Invalid volume: The volume cannot be updated during maintenance.";
    for body in [json!({ "volume": { "name": "n" } }), json!({ "volume": { "metadata": {} } })] {
        check(&state("maintenance"), &Ask::new("PUT", VOLUME).with_body(&body), 400, refused);
    }
    for (stored, shown) in [
        ("managing", "creating"),
        ("error_managing", "error"),
        ("error_managing_deleting", "deleting"),
        ("error_deleting", "error_deleting"),
    ] {
        let says = format!("\"status\":\"{shown}\"");
        check(&state(stored), &Ask::new("GET", VOLUME), 200, &says);
        check(&state(stored), &Ask::new("GET", &format!("{VOLUMES}/detail")), 200, &says);
    }
}

#[test]
fn metadata_of_volumes_is_read_and_written_as_in_cinder() {
    let state = |status: &str| json!({ "volumes": [{ "status": status, "metadata": { "a": "1", "b": "2" } }] });
    let metadata = |path: &str| Box::leak(format!("{VOLUME}/metadata{path}").into_boxed_str()) as &'static str;
    let items = |value: Value| json!({ "metadata": value });
    let busy = "volume metadata is not allowed for volumes in maintenance status.";
    let member = "member,reader";
    let cases = [
        ("available", member, "GET", "", Value::Null, 200, r#"{"metadata":{"a":"1","b":"2"}}"#),
        ("available", member, "GET", "/a", Value::Null, 200, r#"{"meta":{"a":"1"}}"#),
        (
            "available",
            member,
            "GET",
            "/c",
            Value::Null,
            404,
            "Volume aaaaaaaa-0000-4000-8000-000000000001 has no metadata with key c.",
        ),
        ("available", member, "GET", "/new", Value::Null, 404, "The resource could not be found."),
        (
            "available",
            member,
            "POST",
            "",
            items(json!({ "b": "3", "c/d": "4" })),
            200,
            r#"{"metadata":{"a":"1","b":"3","c/d":"4"}}"#,
        ),
        ("in-use", member, "PUT", "", items(json!({ "z": "9" })), 200, r#"{"metadata":{"z":"9"}}"#),
        ("available", member, "PUT", "", items(json!({})), 200, r#"{"metadata":{}}"#),
        ("available", member, "PUT", "/a", json!({ "meta": { "a": "5" } }), 200, r#"{"meta":{"a":"5"}}"#),
        ("available", member, "PUT", "/a", json!({ "meta": { "b": "5" } }), 400, "Request body and URI mismatch"),
        ("available", member, "PUT", "/a", json!({ "meta": { "a": "5", "b": "6" } }), 400, "has too many properties"),
        (
            "available",
            member,
            "POST",
            "",
            json!({ "metadata": {}, "other": 1 }),
            400,
            "Additional properties are not allowed",
        ),
        ("available", member, "POST", "", items(json!({ "a": 1 })), 400, "1 is not of type 'string'"),
        ("available", member, "POST", "", Value::Null, 400, "badRequest"),
        ("available", member, "DELETE", "/a", Value::Null, 200, ""),
        ("available", member, "DELETE", "/c", Value::Null, 404, "has no metadata with key c."),
        ("maintenance", member, "GET", "", Value::Null, 200, "metadata"),
        (
            "maintenance",
            member,
            "POST",
            "",
            items(json!({ "a": "1" })),
            400,
            &format!("Invalid volume: Updating {busy}"),
        ),
        ("maintenance", member, "DELETE", "/a", Value::Null, 400, &format!("Invalid volume: Deleting {busy}")),
        ("available", "reader", "GET", "", Value::Null, 200, "metadata"),
        ("available", "reader", "POST", "", items(json!({})), 403, "volume:create_volume_metadata"),
        ("available", "reader", "PUT", "", items(json!({})), 403, "volume:update_volume_metadata"),
        ("available", "reader", "PUT", "/a", json!({ "meta": { "a": "5" } }), 403, "volume:update_volume_metadata"),
        ("available", "reader", "DELETE", "/a", Value::Null, 403, "volume:delete_volume_metadata"),
        (
            "available",
            "nothing",
            "GET",
            "",
            Value::Null,
            404,
            "Volume aaaaaaaa-0000-4000-8000-000000000001 could not be found.",
        ),
    ];
    for (status, role, method, path, body, expected, says) in cases {
        let case = format!("{role} {method} {path} of a volume that is {status}, {body}");
        let (answered, text) =
            send(&Case { state: state(status), role, method, path: metadata(path), body, status: expected, says: "" });
        assert_eq!(answered, expected, "{case}: {text}");
        assert!(text.contains(says), "{case}: {text}");
    }
    let (status, text) = send(&Case {
        state: state("available"),
        role: member,
        method: "GET",
        path: Box::leak(format!("/v3/{PROJECT}/backups/detail?name=b").into_boxed_str()),
        body: Value::Null,
        status: 200,
        says: "",
    });
    assert_eq!((status, text.as_str()), (200, r#"{"backups":[]}"#));
}

/// Returns the links of a list of one of two snapshots, of the version documents, and of the redirect, for a request with
/// these headers.
fn links(variables: TestVariables, headers: &[(&str, &str)]) -> [String; 4] {
    let service = NativeService::with_variables(variables);
    service.put_state(&json!({
        "volumes": [{ "project_id": "a1" }],
        "snapshots": [{ "project_id": "a1" }, { "project_id": "a1", "id": "bbbbbbbb-0000-4000-8000-000000000002" }],
    }));
    let ask = |path: &str| {
        let mut request = Request::get(path).header("host", "own:8776").header("x-auth-token", "demo:a1");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        service.send(request.body(Vec::new()).expect("a request"))
    };
    let string = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let redirect = ask("/v3");
    [
        string(&json(&ask("/v3/a1/snapshots?limit=1"))["snapshots_links"][0]["href"]),
        string(&json(&ask("/"))["versions"][0]["links"][1]["href"]),
        string(&json(&ask("/v3/"))["versions"][0]["links"][1]["href"]),
        redirect.headers()["location"].to_str().expect("ASCII").to_owned(),
    ]
}

/// The headers of a request, and the origins of its links of resources and of versions.
type LinkCase = (&'static [(&'static str, &'static str)], &'static str, &'static str);

#[test]
fn links_begin_where_the_client_is() {
    let cases: [LinkCase; 13] = [
        (&[], "http://own:8776", "http://own:8776"),
        (&[("x-forwarded-proto", "https")], "https://own:8776", "https://own:8776"),
        (&[("x-forwarded-proto", "HTTPS, http")], "https://own:8776", "https://own:8776"),
        (&[("x-forwarded-proto", "gopher")], "http://own:8776", "http://own:8776"),
        // As in Cinder, version documents do not follow this header.
        (&[("x-forwarded-host", "a, b")], "http://b", "http://own:8776"),
        (&[("x-forwarded-host", "b"), ("x-forwarded-proto", "https")], "https://b", "https://own:8776"),
        // The scheme is that of the first proxy, and the host that of the last one.
        (&[("x-forwarded-host", "a, b"), ("x-forwarded-proto", "https")], "http://b", "https://own:8776"),
        (&[("x-forwarded-host", "a, b"), ("x-forwarded-proto", "https, https")], "https://b", "https://own:8776"),
        (&[("forwarded", "for=9.9.9.9;proto=https;host=c")], "https://c", "https://c"),
        (&[("forwarded", "proto=https, proto=http")], "https://own:8776", "https://own:8776"),
        // With `Forwarded`, the older headers do not count.
        (&[("forwarded", "host=c"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "b")], "http://c", "http://c"),
        (&[("forwarded", "host=\"c/d e\"")], "http://own:8776", "http://own:8776"),
        (&[("forwarded", "garbage")], "http://own:8776", "http://own:8776"),
    ];
    for (headers, of_lists, of_versions) in cases {
        let [list, root, versions, redirect] = links(TestVariables::default(), headers);
        assert!(list.starts_with(&format!("{of_lists}/v3/a1/snapshots?limit=1&marker=")), "{headers:?}: {list}");
        let expected = format!("{of_versions}/v3/");
        assert_eq!([root, versions, redirect], [expected.clone(), expected.clone(), expected], "{headers:?}");
    }
    // The operator's endpoint wins over all headers.
    let variables = TestVariables::default().with("public_endpoint", "https://cloud.example.org/volume/");
    let [list, root, versions, redirect] = links(variables, &[("x-forwarded-host", "b"), ("forwarded", "host=c")]);
    assert!(list.starts_with("https://cloud.example.org/volume/v3/a1/snapshots?"), "{list}");
    let expected = "https://cloud.example.org/volume/v3/";
    assert_eq!([root.as_str(), versions.as_str(), redirect.as_str()], [expected; 3]);
}

#[test]
fn a_snapshot_of_another_projects_volume_does_not_lead_to_that_volume() {
    let foreign = "b2000000000000000000000000000002";
    let cases = [
        ("member,reader", "DELETE", SNAPSHOT, "available", 404),
        // The volume comes before the status.
        ("member,reader", "DELETE", SNAPSHOT, "creating", 404),
        ("reader", "DELETE", SNAPSHOT, "available", 403),
        ("member,reader", "POST", VOLUMES, "available", 404),
        ("member,reader", "GET", SNAPSHOT, "available", 200),
        ("member,reader", "PUT", SNAPSHOT, "available", 200),
        ("admin", "DELETE", SNAPSHOT, "available", 202),
        ("admin", "POST", VOLUMES, "available", 202),
    ];
    for (role, method, path, status_of_snapshot, status) in cases {
        let body = match (method, path) {
            ("POST", _) => json!({ "volume": { "size": 1, "snapshot_id": "bbbbbbbb-0000-4000-8000-000000000001" } }),
            ("PUT", _) => json!({ "snapshot": { "name": "n" } }),
            _ => Value::Null,
        };
        let state = json!({ "volumes": [{ "project_id": foreign }], "snapshots": [{ "status": status_of_snapshot }] });
        let says = if status == 404 { "Volume aaaaaaaa-0000-4000-8000-000000000001 could not be found." } else { "" };
        let case = Case { state, role, method, path, body, status, says };
        let (answered, body) = send(&case);
        assert_eq!(answered, case.status, "{role} {method} {path}: {body}");
        assert!(body.contains(case.says), "{role} {method} {path}: {body}");
    }
}

#[test]
fn the_apis_name_wins_over_the_name_of_its_column() {
    for (list, key) in [(SNAPSHOTS, "snapshots"), (VOLUMES, "volumes")] {
        for (query, found) in [
            ("name=n1&display_name=zz", 1),
            ("display_name=zz&name=n1", 1),
            ("display_name=n1", 1),
            ("display_name=zz", 0),
        ] {
            let service = NativeService::with_variables(TestVariables::default());
            let row = json!([{ "name": "n1", "project_id": PROJECT }]);
            service.put_state(&json!({ "volumes": row, "snapshots": row }));
            let path = format!("{list}?{query}");
            let request = Request::get(path).header("x-auth-token", format!("demo:{PROJECT}"));
            let answer = json(&service.send(request.body(Vec::new()).expect("a request")));
            assert_eq!(answer[key].as_array().map(Vec::len), Some(found), "{list} {query}: {answer}");
        }
    }
}

#[test]
fn small_checks_are_those_of_cinder() {
    let size = |size: &str| json!({ "volume": { "size": size } });
    let manageable = "/v3/a1000000000000000000000000000001/manageable_snapshots?host=host1@lvm%23pool&marker=";
    let (bad, unknown) = (format!("{manageable}x"), format!("{manageable}%7B%22source-name%22:%22s%22%7D"));
    let cases = [
        ("POST", VOLUMES, size("01"), 400, "size"),
        ("POST", VOLUMES, size("0"), 400, "size"),
        ("POST", VOLUMES, size("10"), 202, ""),
        ("GET", bad.as_str(), Value::Null, 400, "marker x can not be analysed, please use json like format"),
        ("GET", unknown.as_str(), Value::Null, 400, "marker not found: {'source-name': 's'}"),
    ];
    for (method, path, body, status, says) in cases {
        let service = NativeService::with_variables(TestVariables::default().with("auth_mode", "headers"));
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("openstack-api-version", "volume 3.71")
            .header("x-identity-status", "Confirmed")
            .header("x-user-id", "u")
            .header("x-roles", "admin")
            .header("x-project-id", PROJECT);
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        if !bytes.is_empty() {
            request = request.header("content-type", "application/json");
        }
        let answer = service.send(request.body(bytes).expect("a request"));
        assert_eq!(answer.status().as_u16(), status, "{path}: {}", text(&answer));
        assert!(text(&answer).contains(says), "{path}: {}", text(&answer));
    }
    for (accept, media_type) in [("garbage", "text/html"), ("*/*", "text/html"), ("text/plain", "text/plain")] {
        let service = NativeService::with_variables(TestVariables::default());
        let request = Request::get("/v3/a1/nowhere").header("x-auth-token", "demo:a1").header("accept", accept);
        let answer = service.send(request.body(Vec::new()).expect("a request"));
        let own = answer.headers()["content-type"].to_str().expect("ASCII");
        assert!(own.starts_with(media_type), "{accept}: {own}");
    }
}
