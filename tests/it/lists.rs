//! The lists that clients ask for before they offer a choice: services, zones, pools, and the resources of which there are
//! none. What no recorded vector covers, from Cinder's own files (`cinder/api/v3`, `cinder/api/contrib`, commit `ab09bc39`).

use crate::support::native::{NativeService, TestVariables};
use crate::support::{Service, json, text};
use http::Request;
use serde_json::{Value, json};

const PROJECT: &str = "a1000000000000000000000000000001";
const SNAPSHOT: &str = "bbbbbbbb-0000-4000-8000-000000000001";
const VOLUME: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const UNKNOWN: &str = "99999999-0000-4000-8000-000000000009";

fn service() -> NativeService {
    NativeService::with_variables(TestVariables::default().with("auth_mode", "headers"))
}

/// Sends a request of a caller with these roles at a minor version, and returns the status and the body.
fn ask(service: &NativeService, roles: &str, minor: u32, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("/v3/{PROJECT}/{path}"))
        .header("openstack-api-version", format!("volume 3.{minor}"))
        .header("x-identity-status", "Confirmed")
        .header("x-user-id", "u")
        .header("x-project-id", PROJECT)
        .header("x-roles", roles);
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    if !body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    let answer = service.send(request.body(body).expect("a request"));
    (answer.status().as_u16(), if answer.body().is_empty() { Value::Null } else { json(&answer) })
}

fn message(body: &Value) -> &str {
    let fault = body.as_object().and_then(|body| body.values().next());
    fault.and_then(|fault| fault["message"].as_str()).unwrap_or_default()
}

#[test]
fn lists_of_resources_that_are_not_here_are_empty_for_those_who_may_list_them() {
    // The path, the key, the first version, the weakest role, and the rule.
    let lists = [
        ("os-volume-transfer", "transfers", 0, "reader", "volume:get_all_transfers"),
        ("os-volume-transfer/detail", "transfers", 0, "reader", "volume:get_all_transfers"),
        ("volume-transfers", "transfers", 0, "reader", "volume:get_all_transfers"),
        ("volume-transfers/detail", "transfers", 0, "reader", "volume:get_all_transfers"),
        ("qos-specs", "qos_specs", 0, "admin", "volume_extension:qos_specs_manage:get_all"),
        ("groups", "groups", 13, "reader", "group:get_all"),
        ("groups/detail", "groups", 13, "reader", "group:get_all"),
        ("group_snapshots", "group_snapshots", 14, "reader", "group:get_all_group_snapshots"),
        ("group_snapshots/detail", "group_snapshots", 14, "reader", "group:get_all_group_snapshots"),
        ("clusters", "clusters", 7, "admin", "clusters:get_all"),
        ("clusters/detail", "clusters", 7, "admin", "clusters:get_all"),
        ("consistencygroups", "consistencygroups", 0, "reader", "group:get_all"),
        ("consistencygroups/detail", "consistencygroups", 0, "reader", "group:get_all"),
        ("cgsnapshots", "cgsnapshots", 0, "reader", "group:get_all_group_snapshots"),
        ("backups", "backups", 0, "reader", "backup:get_all"),
        ("backups/detail", "backups", 0, "reader", "backup:get_all"),
    ];
    let service = service();
    for (path, key, since, role, rule) in lists {
        for roles in ["", "reader", "member,reader", "admin"] {
            let may = role.is_empty() || roles.split(',').any(|own| own == role) || roles == "admin";
            let (status, body) = ask(&service, roles, since, "GET", path, &Value::Null);
            if may {
                assert_eq!((status, &body), (200, &json!({ key: [] })), "{path} as {roles:?}");
            } else {
                let says = format!("Policy doesn't allow {rule} to be performed.");
                assert_eq!((status, message(&body)), (403, says.as_str()), "{path} as {roles:?}");
            }
        }
        if since > 0 {
            let (status, body) = ask(&service, "admin", since - 1, "GET", path, &Value::Null);
            assert_eq!((status, message(&body)), (404, "The resource could not be found."), "{path} below 3.{since}");
        }
    }
}

#[test]
fn the_queries_of_empty_lists_are_checked_as_in_cinder() {
    let cases = [
        ("groups?limit=x", 71, "reader", 400, "limit param must be an integer"),
        ("groups?sort=name:asc&limit=1", 71, "reader", 200, ""),
        ("groups?sort=nope", 71, "reader", 400, "Invalid input received: Invalid sort key"),
        ("groups?sort=name:up", 71, "reader", 400, "Unknown sort direction"),
        ("groups?sort=nope&marker=m", 71, "reader", 404, "Group m could not be found."),
        ("groups?status=error", 71, "reader", 400, "Invalid filters status are found in query options."),
        ("groups?status=error", 30, "reader", 200, ""),
        // An unknown filter matches nothing, and then neither the order nor the marker is looked at.
        ("groups?x=1&sort=nope&marker=m", 30, "reader", 200, ""),
        ("groups?x=1&sort=nope&marker=m", 71, "admin", 200, ""),
        ("groups?all_tenants=1&name=n", 71, "reader", 200, ""),
        ("group_snapshots?marker=m", 28, "reader", 200, ""),
        ("group_snapshots?marker=m", 29, "reader", 404, "GroupSnapshot m could not be found."),
        ("volume-transfers?marker=m", 58, "reader", 200, ""),
        ("volume-transfers?limit=-1", 58, "reader", 400, "limit param must be positive"),
        ("volume-transfers?marker=m", 59, "reader", 404, "Transfer m could not be found."),
        ("volume-transfers?sort=name", 59, "reader", 400, "Invalid sort key"),
        ("volume-transfers?sort=display_name&name=n", 59, "reader", 200, ""),
        ("os-volume-transfer?marker=m&sort=nope", 71, "reader", 200, ""),
        ("qos-specs?limit=x", 0, "reader", 403, "qos_specs_manage:get_all"),
        ("qos-specs?marker=m", 0, "admin", 404, "No such QoS spec m."),
        ("group_types?sort=nope", 11, "", 400, "Invalid sort key"),
        ("clusters?x=1", 7, "admin", 400, "Invalid input received: Invalid filter keys: x"),
        ("clusters?frozen=1", 25, "admin", 400, "Invalid filter keys: frozen"),
        ("clusters?frozen=1&num_hosts=2", 26, "admin", 200, ""),
        ("clusters?is_up=x", 7, "admin", 400, "Value 'x' for 'is_up' is not a boolean."),
        ("consistencygroups?limit=x", 0, "", 403, "group:get_all"),
        ("consistencygroups?limit=x", 0, "reader", 400, "limit param must be an integer"),
    ];
    let service = service();
    for (path, minor, roles, status, says) in cases {
        let (answered, body) = ask(&service, roles, minor, "GET", path, &Value::Null);
        assert_eq!(answered, status, "{path} at 3.{minor}: {body}");
        assert!(message(&body).contains(says), "{path} at 3.{minor}: {body}");
    }
}

#[test]
fn what_is_not_here_is_not_found_or_not_offered() {
    let not_found = |name: &str| format!("{name} {UNKNOWN} could not be found.");
    let unknown = [
        ("GET", "volume-transfers/{}", "reader", not_found("Transfer")),
        ("DELETE", "os-volume-transfer/{}", "", not_found("Transfer")),
        ("POST", "volume-transfers/{}/accept", "member", not_found("Transfer")),
        ("GET", "groups/{}", "", not_found("Group")),
        ("DELETE", "group_snapshots/{}", "member", not_found("GroupSnapshot")),
        ("GET", "cgsnapshots/{}", "", not_found("GroupSnapshot")),
        ("GET", "group_types/{}", "", not_found("Group type")),
        ("GET", "group_types/default", "", "Default group type can not be found.".to_owned()),
        ("GET", "qos-specs/{}", "admin", format!("No such QoS spec {UNKNOWN}.")),
        (
            "GET",
            "clusters/c",
            "admin",
            "Cluster {'binary': 'cinder-volume', 'name': 'c'} could not be found.".to_owned(),
        ),
        ("GET", "default-types/b2", "admin", "Default type for project b2 not found.".to_owned()),
    ];
    let service = service();
    for (method, path, roles, says) in unknown {
        let path = path.replace("{}", UNKNOWN);
        let (status, body) = ask(&service, roles, 71, method, &path, &Value::Null);
        assert_eq!((status, message(&body)), (404, says.as_str()), "{method} {path}");
    }
    // The rule is checked first.
    let refused = [
        ("POST", "volume-transfers", "member,reader", "volume:create_transfer"),
        ("POST", "qos-specs", "admin", "volume_extension:qos_specs_manage:create"),
        ("POST", "consistencygroups", "member,reader", "group:create"),
        ("PUT", "clusters/enable", "admin", "clusters:update"),
        ("POST", "workers/cleanup", "admin", "workers:cleanup"),
        ("GET", "os-hosts", "admin", "volume_extension:hosts"),
        ("GET", "capabilities/h", "admin", "volume_extension:capabilities"),
        ("GET", "os-quota-class-sets/default", "admin", "volume_extension:quota_classes:get"),
        ("PUT", "os-quota-class-sets/default", "admin", "volume_extension:quota_classes:update"),
        ("GET", "manageable_volumes", "admin", "volume_extension:list_manageable"),
        ("POST", "os-volume-manage", "admin", "volume_extension:volume_manage"),
    ];
    for (method, path, roles, rule) in refused {
        let body = if method == "GET" { Value::Null } else { json!({ "x": {} }) };
        let (status, answer) = ask(&service, roles, 71, method, path, &body);
        assert_eq!(status, 400, "{method} {path}: {answer}");
        assert!(message(&answer).ends_with(" not offered here."), "{method} {path}: {answer}");
        let (status, answer) = ask(&service, "reader", 71, method, path, &body);
        let says = format!("Policy doesn't allow {rule} to be performed.");
        assert_eq!((status, message(&answer)), (403, says.as_str()), "{method} {path}");
    }
    let (status, body) = ask(&service, "member", 71, "PUT", "default-types/b2", &json!({ "default_type": {} }));
    assert_eq!((status, message(&body)), (403, "You are not authorized to perform this operation."));
}

#[test]
fn a_change_of_a_service_is_seen_in_every_list() {
    let service = service();
    service.put_state(&json!({ "volumes": [{}], "snapshots": [{}] }));
    let get = |path: &str| ask(&service, "admin", 71, "GET", path, &Value::Null).1;
    let put = |what: &str, body: Value| ask(&service, "admin", 71, "PUT", &format!("os-services/{what}"), &body);
    let of_volumes = || get("os-services?binary=cinder-volume")["services"][0].clone();
    let is_available = || get("os-availability-zone")["availabilityZoneInfo"][0]["zoneState"]["available"].clone();
    let pools = || get("scheduler-stats/get_pools")["pools"].clone();

    let both = json!({ "host": "host1@lvm", "binary": "cinder-volume" });
    assert_eq!(put("disable", both.clone()).0, 200);
    let seen = of_volumes();
    assert_eq!((&seen["status"], &seen["disabled_reason"]), (&json!("disabled"), &Value::Null));
    assert_eq!((is_available(), pools()), (json!(false), json!([])));

    // The binary may have its old name, and the reason stays until the service is enabled.
    let reason = json!({ "host": "host1@lvm", "service": "cinder-volume", "disabled_reason": " why " });
    assert_eq!(put("disable-log-reason", reason).1["disabled_reason"], "why");
    assert_eq!(put("disable", both.clone()).0, 200);
    assert_eq!(of_volumes()["disabled_reason"], "why");
    assert_eq!(put("enable", both.clone()).1["disabled"], false);
    let seen = of_volumes();
    assert_eq!((&seen["status"], &seen["disabled_reason"]), (&json!("enabled"), &Value::Null));
    assert_eq!((is_available(), pools()), (json!(true), json!([{ "name": "host1@lvm#pool" }])));

    // Freezing refuses changes of snapshots on that backend, and thawing allows them again.
    assert_eq!(put("freeze", json!({ "host": "host1@lvm" })), (200, Value::Null));
    let seen = of_volumes();
    assert_eq!((&seen["frozen"], &seen["disabled_reason"]), (&json!(true), &json!("frozen")));
    let create = json!({ "snapshot": { "volume_id": VOLUME } });
    for (method, path, body) in
        [("POST", "snapshots".to_owned(), &create), ("DELETE", format!("snapshots/{SNAPSHOT}"), &Value::Null)]
    {
        let (status, answer) = ask(&service, "member,reader", 71, method, &path, body);
        assert_eq!(status, 400, "{method} {path}: {answer}");
        assert!(message(&answer).contains("frozen storage backends"), "{answer}");
    }
    let (status, answer) = put("freeze", json!({ "host": "host1@lvm" }));
    let says =
        "Invalid input received: No service could be changed: frozen in ['host1@lvm'] must be False to failover.";
    assert_eq!((status, message(&answer)), (400, says));
    assert_eq!(put("thaw", json!({ "host": "host1@lvm" })).0, 200);
    let (status, answer) = put("thaw", json!({ "host": "host1@lvm" }));
    let says = "Invalid input received: No service could be changed: frozen in ['host1@lvm'] must be True to failover.";
    assert_eq!((status, message(&answer)), (400, says));
    assert_eq!(ask(&service, "member,reader", 71, "POST", "snapshots", &create).0, 202);
}

#[test]
fn changes_of_services_are_checked_as_in_cinder() {
    let service = service();
    let cases = [
        ("enable", json!({ "host": "h" }), 71, 400, "is not valid under any of the given schemas"),
        ("enable", json!({ "binary": "b" }), 71, 400, "Invalid input received: Host field is missing."),
        ("enable", json!({ "binary": "b", "host": "h", "x": 1 }), 71, 400, "Additional properties are not allowed"),
        ("disable", json!({ "binary": "", "host": "h" }), 71, 400, "field/attribute binary"),
        ("disable", json!({ "binary": "b", "host": "h" }), 71, 404, "Service b could not be found on host h."),
        ("freeze", json!({}), 25, 400, "Invalid input received: Host field is missing."),
        ("freeze", json!({}), 26, 400, "One and only one of cluster and host must be set."),
        (
            "freeze",
            json!({ "host": "h", "cluster": "c" }),
            26,
            400,
            "One and only one of cluster and host must be set.",
        ),
        ("freeze", json!({ "cluster": "c" }), 26, 400, "No service found with cluster=c"),
        ("thaw", json!({ "host": "h" }), 71, 400, "Invalid input received: No service found with host=h"),
    ];
    for (what, body, minor, status, says) in cases {
        let path = format!("os-services/{what}");
        let (answered, answer) = ask(&service, "admin", minor, "PUT", &path, &body);
        assert_eq!(answered, status, "{what} {body}: {answer}");
        assert!(message(&answer).contains(says), "{what} {body}: {answer}");
        let (status, answer) = ask(&service, "member,reader", minor, "PUT", &path, &json!({ "host": "h" }));
        assert!(status == 403 || message(&answer).contains("schemas"), "{what}: {answer}");
    }
}

#[test]
fn pools_are_filtered_as_in_cinder() {
    let service = service();
    service.put_state(&json!({ "services": [
        { "host": "host2@ceph", "availability_zone": "az2" }, { "host": "host3@ceph", "up": false },
    ] }));
    let cases = [
        ("", 0, 200, 2),
        ("?name=host2@ceph%23pool", 27, 200, 2),
        ("?name=host2@ceph%23pool", 28, 200, 1),
        ("?name=host2@ceph%23pool&volume_type=t", 34, 400, 0),
        ("?volume_type=__DEFAULT__", 35, 200, 2),
        ("?x=1", 30, 200, 0),
        ("?volume_backend_name=ceph", 30, 200, 1),
        ("?multiattach=yes&QoS_support=0&reserved_percentage=0", 30, 200, 2),
        ("?multiattach=no", 30, 200, 0),
        ("?filter_function=", 30, 200, 0),
        ("?x=1", 71, 400, 0),
        ("?detail=true", 71, 200, 2),
    ];
    for (query, minor, status, count) in cases {
        let path = format!("scheduler-stats/get_pools{query}");
        let (answered, body) = ask(&service, "admin", minor, "GET", &path, &Value::Null);
        // `volume_type` is configured, so it is accepted below 3.35 too, and then ignored.
        let status = if query.contains("volume_type") && minor == 34 { 200 } else { status };
        let count = if query.contains("volume_type") && minor == 34 { 1 } else { count };
        assert_eq!(answered, status, "{query} at 3.{minor}: {body}");
        assert_eq!(body["pools"].as_array().map_or(0, Vec::len), count, "{query} at 3.{minor}: {body}");
    }
    let (_, body) = ask(&service, "admin", 71, "GET", "scheduler-stats/get_pools?detail=1", &Value::Null);
    assert_eq!(body["pools"][1]["capabilities"]["volume_backend_name"], "ceph");
    let zones = ask(&service, "", 0, "GET", "os-availability-zone", &Value::Null).1;
    let names: Vec<&str> = zones["availabilityZoneInfo"]
        .as_array()
        .expect("zones")
        .iter()
        .filter_map(|zone| zone["zoneName"].as_str())
        .collect();
    assert_eq!(names, ["nova", "az2"]);
    // The host of a service may be named without its backend.
    for (query, count) in [
        ("", 5),
        ("?host=", 5),
        ("?host=host1", 3),
        ("?host=host1&binary=cinder-volume", 1),
        ("?host=host1@lvm", 1),
        ("?host=host1@lv", 0),
        ("?host=host1@", 0),
        ("?host=host", 0),
        ("?host=HOST1", 0),
        ("?host=host1@lvm%23pool", 0),
        ("?binary=", 0),
    ] {
        let (_, body) = ask(&service, "admin", 49, "GET", &format!("os-services{query}"), &Value::Null);
        assert_eq!(body["services"].as_array().map(Vec::len), Some(count), "{query}: {body}");
    }
    let (_, body) = ask(&service, "admin", 49, "GET", "os-services?host=host3@ceph", &Value::Null);
    let down = &body["services"][0];
    assert_eq!(
        (&down["state"], &down["backend_state"], &down["updated_at"]),
        (&json!("down"), &Value::Null, &Value::Null)
    );
}

#[test]
fn rows_of_resources_that_are_not_here_are_named_and_left_out_of_the_state() {
    let service = service();
    let put = |document: Value| {
        let request = crate::support::operator("PUT", "/_ops/state", document.to_string().as_bytes());
        let answer = service.send(request);
        assert!(answer.status().is_success(), "{}", text(&answer));
        json(&answer)
    };
    let all = json!({
        "volumes": [{}], "transfers": [{}],
        "qos_specs": [{}], "quota_classes": { "gold": { "volumes": 9 } }, "default_types": { "a1": "type1" },
    });
    let ignored = json!(["transfers", "qos_specs", "quota_classes", "default_types"]);
    assert_eq!(put(all)["ignored"], ignored);
    let none = json!({ "volumes": [{}], "transfers": [], "qos_specs": [], "default_types": {} });
    assert_eq!(put(none).get("ignored"), None);
    assert!(service.state().get("transfers").is_none());
}

#[test]
fn actions_on_volumes_that_are_not_here_are_not_offered() {
    let service = service();
    service.put_state(&json!({ "volumes": [{}, { "id": UNKNOWN, "project_id": "b2000000000000000000000000000002" }] }));
    let cases = [
        ("os-retype", json!({ "new_type": "t" }), "member,reader", "volume:retype"),
        ("os-migrate_volume", json!({ "host": "h" }), "admin", "volume_extension:volume_admin_actions:migrate_volume"),
        (
            "os-migrate_volume_completion",
            json!({ "new_volume": VOLUME }),
            "admin",
            "volume_extension:volume_admin_actions:migrate_volume_completion",
        ),
        (
            "os-volume_upload_image",
            json!({ "image_name": "i" }),
            "member,reader",
            "volume_extension:volume_actions:upload_image",
        ),
        ("os-reimage", json!({ "image_id": VOLUME }), "member,reader", "volume:reimage"),
        ("os-unmanage", Value::Null, "admin", "volume_extension:volume_unmanage"),
    ];
    for (name, fields, roles, rule) in cases {
        let body = json!({ name: fields });
        let path = format!("volumes/{VOLUME}/action");
        let (status, answer) = ask(&service, roles, 71, "POST", &path, &body);
        assert_eq!(status, 400, "{name}: {answer}");
        assert!(message(&answer).ends_with(" not offered here."), "{name}: {answer}");
        let (status, answer) = ask(&service, "reader", 71, "POST", &path, &body);
        let says = format!("Policy doesn't allow {rule} to be performed.");
        assert_eq!((status, message(&answer)), (403, says.as_str()), "{name}");
        let (status, _) = ask(&service, "member,reader", 71, "POST", &format!("volumes/{UNKNOWN}/action"), &body);
        assert_eq!(status, 404, "{name}: of another project");
    }
    assert_eq!(
        ask(&service, "admin", 67, "POST", &format!("volumes/{VOLUME}/action"), &json!({ "os-reimage": {} })).0,
        404
    );

    // Unlike these, a deletion by force is here, for administrators.
    let force = json!({ "os-force_delete": {} });
    service.put_state(&json!({ "volumes": [{ "status": "error_extending" }] }));
    let path = format!("volumes/{VOLUME}/action");
    assert_eq!(ask(&service, "member,reader", 71, "POST", &path, &force).0, 403);
    assert_eq!(ask(&service, "admin", 71, "POST", &path, &force).0, 202);
}
