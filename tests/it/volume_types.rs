//! Volume types: rules that no recorded vector covers, names that follow a rename, and changes of a type that cross the
//! creation of a volume of it (`docs/adr/0022-volume-types.md`). Native, on the whole core.

use std::cell::{Cell, RefCell};

use crate::interleavings::Interrupted;
use crate::support::native::{NativeService, TestVariables};
use crate::support::{Service, json, operator, text};
use http::{Request, Response};
use serde_json::{Value, json};

const OWN: &str = "a1000000000000000000000000000001";
const OTHER: &str = "b2000000000000000000000000000002";
const TYPE: &str = "eeeeeeee-0000-4000-8000-000000000001";
const PRIVATE: &str = "eeeeeeee-0000-4000-8000-000000000002";
const DEFAULT: &str = "e0000000-0000-4000-8000-000000000000";

fn service() -> NativeService {
    NativeService::with_variables(TestVariables::default().with("auth_mode", "headers"))
}

/// Returns a request of a role in a project.
fn request(role: &str, project: &str, method: &str, path: &str, body: &Value) -> Request<Vec<u8>> {
    let roles = match role {
        "admin" => "admin,member,reader",
        "member" => "member,reader",
        other => other,
    };
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let mut request = Request::builder()
        .method(method)
        .uri(format!("/v3/{project}{path}"))
        .header("openstack-api-version", "volume 3.71")
        .header("x-identity-status", "Confirmed")
        .header("x-user-id", "u")
        .header("x-project-id", project)
        .header("x-roles", roles);
    if !body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    request.body(body).expect("a request")
}

/// Sends a request of an administrator.
fn admin(service: &NativeService, method: &str, path: &str, body: &Value) -> Response<Vec<u8>> {
    service.send(request("admin", OWN, method, path, body))
}

/// Returns a state with a public and a private type.
fn two_types() -> Value {
    json!({ "volume_types": [
        { "extra_specs": { "volume_backend_name": "lvm", "cacheable": "<is> True", "nothing": null } },
        { "id": PRIVATE, "name": "private", "is_public": false, "access": [OTHER],
          "created_at": "2026-01-02T00:00:00.000000" },
    ] })
}

/// A request on [`two_types`], and the answer.
type Case = (&'static str, &'static str, String, Value, u16, &'static str);

fn check(cases: &[Case]) {
    for (role, method, path, body, status, says) in cases {
        let service = service();
        service.put_state(&two_types());
        let answer = service.send(request(role, OWN, method, path, body));
        let (own_status, own_text) = (answer.status().as_u16(), text(&answer));
        assert!(own_status == *status && own_text.contains(says), "{method} {path} {body}: {own_status} {own_text}");
    }
}

#[test]
fn types_are_checked_as_in_cinder() {
    let new = |fields: Value| json!({ "volume_type": fields });
    let (types, one) = ("/types".to_owned(), format!("/types/{TYPE}"));
    let unknown = "/types/99999999-0000-4000-8000-000000000009".to_owned();
    let is_public = |value: Value| new(json!({ "name": "n", "os-volume-type-access:is_public": value }));
    check(&[
        ("admin", "POST", types.clone(), new(json!({ "name": "  " })), 400, "The 'name' can not be empty."),
        ("admin", "POST", types.clone(), new(json!({ "name": "n".repeat(256) })), 400, "is too long"),
        ("admin", "POST", types.clone(), new(json!({ "name": "type1" })), 409, "Volume Type type1 already exists."),
        ("admin", "POST", types.clone(), new(json!({ "name": "n", "extra_specs": { "a/b c": "d" } })), 200, "a/b c"),
        (
            "admin",
            "POST",
            types.clone(),
            new(json!({ "name": "n", "extra_specs": { "a": 1 } })),
            400,
            "'string', 'null'",
        ),
        ("admin", "POST", types.clone(), is_public(json!("off")), 200, "\"is_public\":false"),
        ("admin", "POST", types.clone(), is_public(json!("maybe")), 400, "is not one of"),
        ("member", "GET", format!("/types/{PRIVATE}"), Value::Null, 404, "Volume type eeeeeeee"),
        ("no_role", "GET", one.clone(), Value::Null, 403, "volume_extension:type_get to be performed"),
        ("no_role", "GET", types.clone(), Value::Null, 403, "volume_extension:type_get_all"),
        ("reader", "GET", one.clone(), Value::Null, 200, "{\"volume_type\":{\"description\":null,\"extra_specs\":{},"),
        ("admin", "PUT", one.clone(), new(json!({})), 400, "Specify volume type name, description, is_public or"),
        ("admin", "PUT", one.clone(), new(json!({ "name": null })), 400, "Specify volume type name"),
        ("admin", "PUT", one.clone(), new(json!({ "name": " " })), 400, "Volume type name can not be empty."),
        ("admin", "PUT", one.clone(), new(json!({ "name": "private" })), 409, "Volume Type private already exists."),
        ("admin", "PUT", one.clone(), new(json!({ "name": "type1" })), 200, "type1"),
        ("admin", "DELETE", unknown.clone(), Value::Null, 404, "could not be found"),
        ("admin", "DELETE", format!("/types/{DEFAULT}"), Value::Null, 400, "is a default volume type and cannot be"),
        ("admin", "GET", "/types?is_public=x".to_owned(), Value::Null, 400, "Invalid is_public filter [x]"),
        ("admin", "GET", "/types?is_public=NONE".to_owned(), Value::Null, 200, "private"),
        ("admin", "GET", "/types?nope=1".to_owned(), Value::Null, 200, "{\"volume_types\":[]}"),
        ("member", "GET", "/types?with_count=1".to_owned(), Value::Null, 400, "Invalid filters with_count are found"),
        ("member", "GET", "/types?extra_specs=x".to_owned(), Value::Null, 200, "{\"volume_types\":[]}"),
        ("member", "GET", "/types?extra_specs=%7B'volume_backend_name':'lvm'%7D".to_owned(), Value::Null, 200, "[]"),
        ("admin", "GET", "/types?sort=name:up".to_owned(), Value::Null, 400, "Unknown sort direction"),
        ("member", "GET", format!("{one}/action"), Value::Null, 404, ""),
        ("admin", "GET", format!("{one}/encryption"), Value::Null, 200, "{}"),
        ("admin", "GET", format!("{one}/encryption/cipher"), Value::Null, 404, "Volume type encryption for type"),
        ("admin", "POST", format!("{one}/encryption"), json!({ "encryption": {} }), 400, "not offered here"),
        (
            "member",
            "POST",
            format!("{one}/encryption"),
            json!({ "encryption": {} }),
            403,
            "volume_type_encryption:create",
        ),
    ]);
}

#[test]
fn extra_specs_and_access_are_checked_as_in_cinder() {
    let (specs, one) = (format!("/types/{TYPE}/extra_specs"), format!("/types/{TYPE}/extra_specs/nothing"));
    let action = |id: &str| format!("/types/{id}/action");
    let both = json!({ "extra_specs": { "multiattach": "<is> True" } });
    let access = |action: &str, project: &str| json!({ action: { "project": project } });
    check(&[
        ("admin", "GET", one.clone(), Value::Null, 200, "{\"nothing\":null}"),
        ("member", "GET", one.clone(), Value::Null, 404, "has no extra specs with key nothing."),
        ("admin", "POST", specs.clone(), json!({ "extra_specs": {} }), 200, "{\"extra_specs\":{}}"),
        ("admin", "POST", specs.clone(), both, 400, "cacheable cannot be set with multiattach."),
        ("admin", "POST", specs.clone(), json!({ "extra_specs": { "a/b": "c" } }), 400, "'a/b' does not match any"),
        ("admin", "PUT", one.clone(), json!({}), 400, "{} should be non-empty"),
        ("admin", "PUT", one.clone(), json!({ "nothing": 1 }), 400, "'string', 'null'"),
        ("admin", "PUT", one.clone(), json!({ "nothing": null }), 200, "{\"nothing\":null}"),
        (
            "admin",
            "PUT",
            "/types/x/extra_specs/a".to_owned(),
            json!({ "a": "b" }),
            404,
            "Volume type x could not be found.",
        ),
        ("admin", "DELETE", format!("{specs}/zz"), Value::Null, 404, "has no extra specs with key zz."),
        ("admin", "POST", action(PRIVATE), access("addProjectAccess", OTHER), 409, "combination already exists."),
        ("admin", "POST", action(PRIVATE), access("addProjectAccess", ""), 400, "should be non-empty"),
        ("admin", "POST", action("x"), access("removeProjectAccess", OTHER), 404, "Volume type x could not be found."),
        ("admin", "POST", action(PRIVATE), json!({ "delete": null }), 400, "There is no such action: delete."),
        (
            "member",
            "POST",
            action(PRIVATE),
            access("removeProjectAccess", OTHER),
            403,
            "removeProjectAccess to be performed",
        ),
        ("member", "GET", format!("/types/{PRIVATE}/os-volume-type-access"), Value::Null, 403, "get_all_for_type"),
    ]);
}

#[test]
fn the_type_of_a_volume_is_the_named_one_that_of_its_snapshot_or_the_default() {
    let snapshots = json!({
        "volumes": [{ "volume_type": "type1" }], "snapshots": [{ "volume_type": "type1" }],
        "volume_types": [
            { "extra_specs": { "volume_backend_name": "lvm", "provisioning:max_vol_size": "4" } },
            { "id": PRIVATE, "name": "like", "extra_specs": { "volume_backend_name": "lvm" } },
            { "id": "eeeeeeee-0000-4000-8000-000000000003", "name": TYPE },
            { "id": "eeeeeeee-0000-4000-8000-000000000004", "name": "eeeeeeee-0000-4000-8000-00000000000f" },
        ],
    });
    let of_snapshot = "bbbbbbbb-0000-4000-8000-000000000001";
    for (fields, status, says) in [
        (json!({ "snapshot_id": of_snapshot }), 202, "\"volume_type\":\"type1\""),
        (json!({ "snapshot_id": of_snapshot, "volume_type": "like" }), 202, "\"volume_type\":\"like\""),
        (
            json!({ "snapshot_id": of_snapshot, "volume_type": "__DEFAULT__" }),
            400,
            "recommend omitting the type argument).",
        ),
        (json!({ "size": 1 }), 202, "\"volume_type\":\"__DEFAULT__\""),
        (
            json!({ "size": 5, "volume_type": "type1" }),
            400,
            "greater than the maximum allowable size of '4' for volume type",
        ),
        // An id is looked for before a name.
        (json!({ "size": 1, "volume_type": TYPE }), 202, "\"volume_type\":\"type1\""),
        (json!({ "size": 1, "volume_type": "eeeeeeee-0000-4000-8000-00000000000f" }), 202, "-00000000000f\""),
        (json!({ "size": 1, "volume_type": "eeeeeeee-0000-4000-8000-00000000000e" }), 404, "Volume type eeeeeeee-"),
        // The type is looked up before the snapshot.
        (json!({ "size": 1, "volume_type": "nope", "snapshot_id": VOLUME_ID }), 404, "Volume type with name nope"),
    ] {
        let service = service();
        service.put_state(&snapshots);
        let answer = service.send(request("member", OWN, "POST", "/volumes", &json!({ "volume": fields })));
        let (own_status, own_text) = (answer.status().as_u16(), text(&answer));
        assert!(own_status == status && own_text.contains(says), "{fields}: {own_status} {own_text}");
    }
}

const VOLUME_ID: &str = "aaaaaaaa-0000-4000-8000-000000000001";

#[test]
fn a_rename_takes_volumes_counters_and_limits_along() {
    let service = service();
    service.put_state(&json!({
        "volumes": [{ "volume_type": "type1" }], "snapshots": [{ "volume_type": "type1" }], "volume_types": [{}],
        "quotas": { "volumes_type1": 1 }, "project_quotas": { OWN: { "gigabytes_type1": 3 } },
        "quota_usage": { OWN: { "volumes_type1": { "in_use": 1, "reserved": 0 } } },
    }));
    let renamed = admin(&service, "PUT", &format!("/types/{TYPE}"), &json!({ "volume_type": { "name": "gold" } }));
    assert_eq!(renamed.status(), 200);
    assert_eq!(
        json(&admin(&service, "GET", &format!("/volumes/{VOLUME_ID}"), &Value::Null))["volume"]["volume_type"],
        "gold"
    );
    let detail = json(&admin(&service, "GET", "/volumes/detail", &Value::Null));
    assert_eq!(detail["volumes"][0]["volume_type"], "gold");
    let quotas = json(&admin(&service, "GET", &format!("/os-quota-sets/{OWN}?usage=True"), &Value::Null));
    assert_eq!(quotas["quota_set"]["volumes_gold"], json!({ "limit": 1, "in_use": 1, "reserved": 0 }));
    assert_eq!(quotas["quota_set"]["gigabytes_gold"]["limit"], 3);
    assert!(quotas["quota_set"].get("volumes_type1").is_none());
    let body = json!({ "volume": { "size": 1, "volume_type": "gold" } });
    let refused = text(&service.send(request("member", OWN, "POST", "/volumes", &body)));
    assert!(refused.contains("exceeded for quota 'volumes_gold'."), "{refused}");
    let state = service.state();
    assert_eq!(state["quotas"], json!({ "volumes_gold": 1 }));
    assert_eq!(state["snapshots"][0]["volume_type"], "gold");
    service.put_state(&state);
    assert_eq!(service.state(), state);
    // A deleted type leaves nothing behind that a document would bring back.
    service.put_state(&json!({ "volume_types": [{}], "project_quotas": { OWN: { "gigabytes_type1": 3 } } }));
    assert_eq!(admin(&service, "DELETE", &format!("/types/{TYPE}"), &Value::Null).status(), 202);
    assert_eq!(service.state()["project_quotas"], json!({}));
}

#[test]
fn a_state_document_adds_the_types_that_it_names() {
    let service = service();
    service.put_state(&json!({ "volumes": [{ "volume_type": "fast" }], "quotas": { "snapshots_slow": 3 } }));
    let types = service.state()["volume_types"].clone();
    let names: Vec<&Value> = types.as_array().expect("types").iter().map(|own| &own["name"]).collect();
    assert_eq!(names.len(), 3, "{types}");
    for name in ["fast", "slow", "__DEFAULT__"] {
        assert!(names.contains(&&json!(name)), "{types}");
    }
    for (types, says) in [
        (json!([{}, { "id": PRIVATE }]), "or the name 'type1'"),
        (json!([{}, { "name": "other" }]), "two volume types have the id"),
        (json!([{ "colour": "red" }]), "unknown field `colour`"),
    ] {
        let body = json!({ "volume_types": types }).to_string();
        let answer = service.send(operator("PUT", "/_ops/state", body.as_bytes()));
        assert!(answer.status() == 400 && text(&answer).contains(says), "{types}: {}", text(&answer));
    }
}

#[test]
fn the_variable_names_the_default_type() {
    let variables = TestVariables::default().with("auth_mode", "headers").with("default_volume_type", "type1");
    let service = NativeService::with_variables(variables);
    let create = || service.send(request("member", OWN, "POST", "/volumes", &json!({ "volume": { "size": 1 } })));
    assert_eq!(create().status(), 500, "the type does not exist");
    service.put_state(&two_types());
    assert_eq!(json(&create())["volume"]["volume_type"], "type1");
    assert_eq!(json(&admin(&service, "GET", "/types/default", &Value::Null))["volume_type"]["id"], TYPE);
    let delete = |id: &str| text(&admin(&service, "DELETE", &format!("/types/{id}"), &Value::Null));
    assert!(delete(TYPE).contains("is a default volume type and cannot be deleted."));
    assert_eq!(delete(DEFAULT), "");
}

#[test]
fn types_have_bounds() {
    let service = service();
    let new = |name: String, specs: Value| json!({ "volume_type": { "name": name, "extra_specs": specs } });
    for number in 1..500 {
        let answer = admin(&service, "POST", "/types", &new(format!("t{number}"), json!({})));
        assert_eq!(answer.status(), 200, "{}", text(&answer));
    }
    let answer = admin(&service, "POST", "/types", &new("one more".to_owned(), json!({})));
    assert!(answer.status() == 413 && text(&answer).contains("500 volume types"), "{}", text(&answer));

    service.put_state(&json!({}));
    let specs: Value =
        (0..300).map(|number| (format!("k{number}"), json!("v".repeat(250)))).collect::<serde_json::Map<_, _>>().into();
    let statuses: Vec<u16> = (0..5)
        .map(|number| admin(&service, "POST", "/types", &new(format!("t{number}"), specs.clone())).status().as_u16())
        .collect();
    assert_eq!(statuses, [200, 200, 200, 413, 413]);
    assert_eq!(service.state()["volume_types"].as_array().map(Vec::len), Some(4), "nothing was added");
}

#[test]
fn a_type_is_in_use_while_readers_see_a_volume_of_it() {
    let delete =
        |service: &NativeService| admin(service, "DELETE", &format!("/types/{TYPE}"), &Value::Null).status().as_u16();
    for (volume, expected) in [
        (json!({ "volume_type": "type1", "project_id": OTHER }), 400),
        (json!({ "volume_type": "type1", "project_id": OTHER, "consumes_quota": false }), 400),
        (json!({ "volume_type": "__DEFAULT__", "project_id": OTHER, "consumes_quota": false }), 202),
        (json!({ "volume_type": "type1", "status": "deleting" }), 400),
    ] {
        let service = service();
        service.put_state(&json!({ "volumes": [volume], "volume_types": [{}] }));
        assert_eq!(delete(&service), expected, "{volume}");
    }
    let service = service();
    service.put_state(&json!({ "volumes": [{ "volume_type": "type1" }], "volume_types": [{}] }));
    let gone = service.send(request("member", OWN, "DELETE", &format!("/volumes/{VOLUME_ID}"), &Value::Null));
    assert_eq!((gone.status().as_u16(), delete(&service)), (202, 400));
    // The removal is due, although no tick has removed the row.
    service.advance(10.0);
    assert_eq!(delete(&service), 202);
}

/// The names of types cost a show of a volume nothing, and a detailed list one call.
#[test]
fn types_cost_few_calls() {
    let service = service();
    service.put_state(&json!({ "volumes": [{ "volume_type": "type1" }], "volume_types": [{}] }));
    let calls = |method: &str, path: &str, body: Value| {
        service.key_value.faults.reset();
        let answer = service.send(request("member", OWN, method, path, &body));
        assert!(answer.status().is_success(), "{}", text(&answer));
        (service.key_value.faults.calls().len(), service.key_value.faults.commits())
    };
    assert_eq!(calls("GET", &format!("/volumes/{VOLUME_ID}"), Value::Null), (1, 0));
    assert_eq!(calls("GET", "/volumes", Value::Null), (2, 0));
    assert_eq!(calls("GET", "/volumes/detail", Value::Null), (3, 0));
    assert_eq!(calls("GET", "/types", Value::Null), (1, 0));
    assert_eq!(calls("GET", &format!("/types/{TYPE}"), Value::Null), (1, 0));
    let (of_type, commits) = calls("POST", "/volumes", json!({ "volume": { "size": 1, "volume_type": "type1" } }));
    assert_eq!((calls("POST", "/volumes", json!({ "volume": { "size": 1 } })), commits), ((of_type, commits), 3));
    assert_eq!(of_type, 7);
}

/// Sends two requests, the second before a call of the first. Returns the answers, or `None` if the first made fewer calls.
fn cross(
    service: &NativeService,
    first: &Request<Vec<u8>>,
    second: &Request<Vec<u8>>,
    calls: u32,
) -> Option<[Response<Vec<u8>>; 2]> {
    let second_answer = RefCell::new(None);
    let event: Box<dyn FnOnce() + '_> = Box::new(|| *second_answer.borrow_mut() = Some(service.send(second.clone())));
    let key_value = Interrupted { service, calls: Cell::new(calls), event: RefCell::new(Some(event)) };
    let first_answer = service.send_through(&key_value, first.clone());
    drop(key_value);
    Some([first_answer, second_answer.into_inner()?])
}

/// A volume that is created while its type is deleted or changed never has a type that is gone, nor follows specs that are
/// gone. At least one of the two gives up, and nothing is left of a volume that was refused.
#[test]
fn a_volume_and_a_change_of_its_type_cannot_miss_each_other() {
    let create =
        request("member", OWN, "POST", "/volumes", &json!({ "volume": { "size": 1, "volume_type": "type1" } }));
    let delete = request("admin", OTHER, "DELETE", &format!("/types/{TYPE}"), &Value::Null);
    let spec = json!({ "multiattach": "<is> True" });
    let change = request("admin", OTHER, "PUT", &format!("/types/{TYPE}/extra_specs/multiattach"), &spec);
    for changing in [&delete, &change] {
        for (first, second) in [(&create, changing), (changing, &create)] {
            let mut both_succeeded = 0;
            for calls in 0.. {
                let service = service();
                service.put_state(&json!({ "volume_types": [{}] }));
                let Some(answers) = cross(&service, first, second, calls) else {
                    assert!(calls > 5);
                    break;
                };
                let case = format!("{} {} before call {calls}: {answers:?}", second.method(), second.uri());
                let is_done = answers.each_ref().map(|answer| answer.status().is_success());
                for answer in &answers {
                    assert!([200, 202, 400, 404, 503].contains(&answer.status().as_u16()), "{case}");
                }
                let [created, changed] = if first.uri() == create.uri() { is_done } else { [is_done[1], is_done[0]] };
                service.advance(10.0);
                for _ in 0..2 {
                    assert!(service.send(operator("POST", "/_ops/tick", b"")).status().is_success());
                }
                let state = service.state();
                let volumes = state["volumes"].as_array().expect("volumes");
                assert_eq!(volumes.len(), usize::from(created), "{case}");
                let of_type = state["volume_types"].as_array().expect("types").iter().find(|own| own["id"] == TYPE);
                if changing.method() == "DELETE" {
                    assert_eq!(of_type.is_none(), changed, "{case}");
                    assert!(!(created && changed), "{case}");
                } else {
                    let is_on = of_type.is_some_and(|own| own["extra_specs"]["multiattach"] == "<is> True");
                    assert_eq!(is_on, changed, "{case}");
                    // Both succeed only if the volume is created before the change begins or after it has ended.
                    assert!(volumes.iter().all(|volume| volume["multiattach"] == is_on), "{case}");
                }
                both_succeeded += u32::from(created && changed);
                let usage = state["quota_usage"][OWN]["volumes_type1"]["in_use"].as_u64().unwrap_or_default();
                assert_eq!(usage, u64::from(created), "{case}");
                let report = json(&service.send(operator("POST", "/_ops/repair", b"")));
                for wrong in ["entries_without_row", "rows_without_entry", "counters", "rows_without_agenda"] {
                    assert_eq!(report[wrong], 0, "{case}: {report}");
                }
            }
            assert!(both_succeeded <= 2, "{both_succeeded}");
        }
    }
}

/// A request that stops between its reservation and its change keeps volumes of the type waiting for half a minute, and no
/// change.
#[test]
fn an_abandoned_reservation_ends() {
    let service = service();
    service.put_state(&json!({ "volume_types": [{}] }));
    let types = |service: &NativeService| service.key_value.dump()["vs1:volume-types"].clone();
    let delete = request("admin", OTHER, "DELETE", &format!("/types/{TYPE}"), &Value::Null);
    let create =
        request("member", OWN, "POST", "/volumes", &json!({ "volume": { "size": 1, "volume_type": "type1" } }));
    // The value as it is in the middle of a delete.
    let reserved = (0..20).find_map(|calls| {
        let seen = RefCell::new(None);
        let event: Box<dyn FnOnce() + '_> = Box::new(|| *seen.borrow_mut() = Some(types(&service)));
        let key_value = Interrupted { service: &service, calls: Cell::new(calls), event: RefCell::new(Some(event)) };
        service.put_state(&json!({ "volume_types": [{}] }));
        service.send_through(&key_value, delete.clone());
        drop(key_value);
        seen.into_inner().filter(|value| String::from_utf8_lossy(value).contains("reserved"))
    });
    let reserved = reserved.expect("a delete reserves the type");
    let abandon = || {
        use volume_snapshots::store::KeyValue;
        service.key_value.set_many(&[("vs1:volume-types".to_owned(), reserved.clone())]).expect("a write");
    };
    abandon();
    assert_eq!(service.send(create.clone()).status(), 503);
    service.advance(31.0);
    assert_eq!(service.send(create).status(), 202);
    service.put_state(&json!({}));
    abandon();
    assert_eq!(service.send(delete).status(), 202, "another writer replaces the reservation");
}
