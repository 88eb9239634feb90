//! Attachments: rules of Cinder that no recorded vector covers (`docs/spec/attachments.md`), the flows of Nova, and what
//! nobody may see or undo. Native, on the whole core.

use std::collections::BTreeSet;

use crate::support::calls::{Answer, id_of};
use crate::support::native::{NativeService, TestVariables};
use crate::support::{Service, operator};
use http::Request;
use serde_json::{Value, json};
use volume_snapshots::store::KeyValue;

const VOLUME: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const OTHER_VOLUME: &str = "aaaaaaaa-0000-4000-8000-000000000002";
const ATTACHMENT: &str = "a77ac4ed-0000-4000-8000-000000000001";
const INSTANCE: &str = "11110000-0000-4000-8000-000000000001";
const OTHER_INSTANCE: &str = "11110000-0000-4000-8000-000000000002";
const MEMBER: Caller = Caller { roles: "member,reader", project: "a1", is_for_service: false };
const ADMIN: Caller = Caller { roles: "admin,member,reader", ..MEMBER };
const NOVA: Caller = Caller { is_for_service: true, ..MEMBER };
const STRANGER: Caller = Caller { project: "b2", ..MEMBER };

/// The sender of a request.
#[derive(Clone, Copy)]
struct Caller {
    roles: &'static str,
    project: &'static str,
    /// Whether Nova sends it, with a service token.
    is_for_service: bool,
}

fn service(state: &Value) -> NativeService {
    let service = NativeService::with_variables(TestVariables::default().with("auth_mode", "headers"));
    service.put_state(state);
    service
}

fn send(service: &NativeService, caller: Caller, method: &str, path: &str, body: &Value) -> Answer {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("/v3/{}{path}", caller.project))
        .header("openstack-api-version", "volume 3.71")
        .header("x-identity-status", "Confirmed")
        .header("x-user-id", "u")
        .header("x-project-id", caller.project)
        .header("x-roles", caller.roles);
    if caller.is_for_service {
        request = request.header("x-service-roles", "service");
    }
    let body = if body.is_null() {
        Vec::new()
    } else {
        request = request.header("content-type", "application/json");
        body.to_string().into_bytes()
    };
    service.send(request.body(body).expect("a request")).into()
}

fn act(service: &NativeService, caller: Caller, action: &Value) -> Answer {
    send(service, caller, "POST", &format!("/volumes/{VOLUME}/action"), action)
}

fn volume(service: &NativeService) -> Value {
    send(service, MEMBER, "GET", &format!("/volumes/{VOLUME}"), &Value::Null).body["volume"].clone()
}

/// Returns the ids of a list of attachments.
fn listed(service: &NativeService, caller: Caller, query: &str) -> Vec<String> {
    let answer = send(service, caller, "GET", &format!("/attachments{query}"), &Value::Null);
    assert_eq!(answer.status, 200, "{query}: {answer:?}");
    answer.body["attachments"].as_array().expect("a list").iter().map(id_of).collect()
}

/// A volume of `a1`, with other fields.
fn with(fields: &Value) -> Value {
    let mut volume = json!({ "id": VOLUME, "project_id": "a1" });
    volume.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
    volume
}

fn used() -> Value {
    with(&json!({ "status": "in-use", "attach_status": "attached" }))
}

fn connected() -> Value {
    json!({ "connection_info": { "driver_volume_type": "fake" }, "connector": { "host": "h" } })
}

/// A state, its caller, an action, and the expected status, message, and status of the volume.
type Case = (Value, Caller, Value, u16, &'static str, &'static str);

/// Sends the action of each case, and compares the answer and the status of the volume.
fn check(cases: &[Case]) {
    for (state, caller, action, status, says, after) in cases {
        let service = service(state);
        let answer = act(&service, *caller, action);
        assert_eq!(answer.status, *status, "{state} {action}: {answer:?}");
        assert!(answer.body.to_string().contains(says), "{state} {action}: {answer:?}");
        assert_eq!(volume(&service)["status"], *after, "{state} {action}");
    }
}

/// Returns the action `os-attach` with these fields.
fn attach(fields: &Value) -> Value {
    let mut attach = json!({ "mountpoint": "/dev/vdc" });
    attach.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
    json!({ "os-attach": attach })
}

/// Returns a state with one volume.
fn of(volume: &Value) -> Value {
    json!({ "volumes": [volume] })
}

/// Returns a state with a volume in use.
fn in_use(attachments: &Value) -> Value {
    json!({ "volumes": [used()], "attachments": attachments })
}

#[test]
fn each_action_that_puts_a_volume_in_use_has_the_rules_of_cinder() {
    check(&[
        (
            of(&with(&json!({ "multiattach": true, "status": "in-use" }))),
            MEMBER,
            json!({ "os-reserve": 1 }),
            202,
            "",
            "attaching",
        ),
        (of(&with(&json!({ "status": "attaching" }))), MEMBER, json!({ "os-unreserve": {} }), 202, "", "available"),
        (of(&with(&json!({ "status": "detaching" }))), MEMBER, json!({ "os-roll_detaching": {} }), 202, "", "in-use"),
        (
            of(&with(&json!({ "status": "in-use" }))),
            MEMBER,
            json!({ "os-begin_detaching": {} }),
            400,
            "Invalid volume: Unable to detach volume. Volume status must be 'in-use' and attach_status must be 'attached' to detach.",
            "in-use",
        ),
        (
            of(&with(&json!({ "status": "attaching", "admin_metadata": { "attached_mode": "ro" } }))),
            MEMBER,
            attach(&json!({ "instance_uuid": INSTANCE })),
            400,
            "Invalid volume: being attached by different mode",
            "attaching",
        ),
        (
            of(&with(&json!({ "admin_metadata": { "readonly": "True" } }))),
            MEMBER,
            attach(&json!({ "instance_uuid": INSTANCE, "mode": "ro" })),
            202,
            "",
            "in-use",
        ),
        (
            of(&with(&json!({ "status": "in-use", "migration_status": "migrating" }))),
            MEMBER,
            attach(&json!({ "instance_uuid": INSTANCE })),
            202,
            "",
            "in-use",
        ),
        // A member may repeat what only an administrator may repeat in Cinder.
        (in_use(&json!([{}])), MEMBER, attach(&json!({ "instance_uuid": INSTANCE })), 202, "", "in-use"),
        (
            in_use(&json!([{ "instance_uuid": null, "attached_host": "h" }])),
            MEMBER,
            attach(&json!({ "host_name": "H" })),
            202,
            "",
            "in-use",
        ),
        (
            in_use(&json!([{ "instance_uuid": null, "attached_host": "h" }])),
            MEMBER,
            attach(&json!({ "host_name": "i" })),
            400,
            "Invalid volume: volume is already attached and multiple attachments are not enabled",
            "in-use",
        ),
    ]);
}

#[test]
fn each_action_that_ends_a_use_has_the_rules_of_cinder() {
    let by_api = "using the Compute API";
    check(&[
        // No attachment undoes a deletion.
        (
            of(&with(&json!({ "status": "deleting" }))),
            MEMBER,
            attach(&json!({ "instance_uuid": INSTANCE })),
            400,
            "Invalid volume: Volume aaaaaaaa-0000-4000-8000-000000000001 cannot be attached while it is deleting.",
            "deleting",
        ),
        (of(&with(&json!({ "status": "deleting" }))), MEMBER, json!({ "os-detach": {} }), 202, "", "deleting"),
        (
            in_use(&json!([{}, { "id": "a77ac4ed-0000-4000-8000-000000000002" }])),
            MEMBER,
            json!({ "os-detach": {} }),
            409,
            by_api,
            "in-use",
        ),
        (
            in_use(&json!([{}, { "id": "a77ac4ed-0000-4000-8000-000000000002" }])),
            ADMIN,
            json!({ "os-force_detach": {} }),
            409,
            by_api,
            "in-use",
        ),
        (
            in_use(&json!([{}, { "id": "a77ac4ed-0000-4000-8000-000000000002" }])),
            MEMBER,
            json!({ "os-terminate_connection": { "connector": null } }),
            409,
            by_api,
            "in-use",
        ),
        (in_use(&json!([connected()])), ADMIN, json!({ "os-detach": {} }), 409, by_api, "in-use"),
        (in_use(&json!([connected()])), NOVA, json!({ "os-detach": {} }), 202, "", "available"),
        (
            in_use(&json!([connected()])),
            NOVA,
            json!({ "os-detach": { "attachment_id": OTHER_INSTANCE } }),
            202,
            "",
            "in-use",
        ),
        (in_use(&json!([{ "connection_info": {} }])), MEMBER, json!({ "os-detach": {} }), 202, "", "available"),
        (
            of(&with(&json!({}))),
            MEMBER,
            json!({ "os-initialize_connection": { "connector": "h" } }),
            400,
            "malformed",
            "available",
        ),
    ]);
}

#[test]
fn a_detach_keeps_readonly_and_forgets_the_mode() {
    let service = service(&json!({ "volumes": [with(&json!({ "metadata": { "k": "v" } }))] }));
    let attach = json!({ "os-attach": { "instance_uuid": INSTANCE, "mountpoint": "/dev/vdb", "mode": "ro" } });
    assert_eq!(act(&service, MEMBER, &attach).status, 202);
    assert_eq!(volume(&service)["metadata"], json!({ "k": "v", "readonly": "False", "attached_mode": "ro" }));
    assert_eq!(act(&service, MEMBER, &json!({ "os-detach": {} })).status, 202);
    assert_eq!(volume(&service)["metadata"], json!({ "k": "v", "readonly": "False" }));
    // Only `True` makes new attachments read-only.
    let new = json!({ "attachment": { "volume_uuid": VOLUME } });
    assert_eq!(send(&service, MEMBER, "POST", "/attachments", &new).body["attachment"]["attach_mode"], "null");
}

#[test]
fn only_some_callers_see_the_host_of_a_volume() {
    let service = service(&json!({ "volumes": [used()], "attachments": [{ "attached_host": "compute1" }] }));
    for (caller, host) in [
        (MEMBER, Value::Null),
        (NOVA, Value::Null),
        (ADMIN, json!("compute1")),
        (Caller { roles: "service,reader", ..MEMBER }, json!("compute1")),
    ] {
        for path in [format!("/volumes/{VOLUME}"), "/volumes/detail".to_owned()] {
            let body = send(&service, caller, "GET", &path, &Value::Null).body;
            let volume = if path.ends_with("detail") { &body["volumes"][0] } else { &body["volume"] };
            assert_eq!(volume["attachments"][0]["host_name"], host, "{path} {}", caller.roles);
        }
    }
}

/// Reserves, connects, and completes, as Nova does. A snapshot of the volume follows the usual rules meanwhile.
#[test]
fn nova_attaches_and_detaches() {
    let service = service(&json!({ "volumes": [with(&json!({}))], "services": [{}] }));
    let snapshot = |version: &str, force: bool| {
        let request = Request::builder()
            .method("POST")
            .uri("/v3/a1/snapshots")
            .header("openstack-api-version", format!("volume {version}"))
            .header("x-identity-status", "Confirmed")
            .header("x-user-id", "u")
            .header("x-project-id", "a1")
            .header("x-roles", "member,reader")
            .header("content-type", "application/json");
        let body = json!({ "snapshot": { "volume_id": VOLUME, "force": force } });
        Answer::from(service.send(request.body(body.to_string().into_bytes()).expect("a request"))).status
    };
    let new = json!({ "attachment": { "volume_uuid": VOLUME, "instance_uuid": INSTANCE } });
    let created = send(&service, NOVA, "POST", "/attachments", &new);
    let path = format!("/attachments/{}", id_of(&created.body["attachment"]));
    assert_eq!((volume(&service)["status"].clone(), snapshot("3.65", true)), (json!("reserved"), 400));
    let connector = json!({ "attachment": { "connector": { "host": "compute1", "mountpoint": "/dev/vdb" } } });
    let updated = send(&service, NOVA, "PUT", &path, &connector);
    assert_eq!(updated.body["attachment"]["connection_info"]["access_mode"], "rw", "{updated:?}");
    assert_eq!((volume(&service)["status"].clone(), snapshot("3.65", true)), (json!("attaching"), 400));
    let done = send(&service, NOVA, "POST", &format!("{path}/action"), &json!({ "os-complete": null }));
    assert_eq!((done.status, done.body), (204, json!("")));
    let shown = volume(&service);
    assert_eq!((&shown["status"], &shown["attachments"][0]["device"]), (&json!("in-use"), &json!("/dev/vdb")));
    assert_eq!([snapshot("3.65", false), snapshot("3.65", true), snapshot("3.66", true)], [400, 202, 202]);
    let refused = send(&service, MEMBER, "DELETE", &path, &Value::Null);
    let message = format!("ConflictNovaUsingAttachment: Detach volume from instance {INSTANCE} using the Compute API");
    assert_eq!(refused.fault(), ("conflictingRequest", message.as_str()), "{refused:?}");
    let deleted = send(&service, NOVA, "DELETE", &path, &Value::Null);
    assert_eq!((deleted.status, &deleted.body), (200, &json!({ "attachments": [] })));
    assert_eq!(volume(&service)["status"], "available");
}

#[test]
fn two_servers_share_a_multiattach_volume() {
    let multiattach = with(&json!({ "multiattach": true, "bootable": true }));
    let service = service(&json!({ "volumes": [multiattach] }));
    let mut paths = Vec::new();
    for instance in [INSTANCE, OTHER_INSTANCE] {
        let new = json!({ "attachment": {
            "volume_uuid": VOLUME, "instance_uuid": instance, "connector": { "host": "h" },
        } });
        let created = send(&service, NOVA, "POST", "/attachments", &new);
        assert_eq!(created.status, 200, "{created:?}");
        let path = format!("/attachments/{}", id_of(&created.body["attachment"]));
        let done = send(&service, NOVA, "POST", &format!("{path}/action"), &json!({ "os-complete": null }));
        assert_eq!(done.status, 204, "{done:?}");
        paths.push(path);
    }
    let servers = |shown: &Value| -> BTreeSet<String> {
        let attachments = shown["attachments"].as_array().expect("a list").iter();
        attachments.map(|own| own["server_id"].as_str().expect("a server").to_owned()).collect()
    };
    assert_eq!(servers(&volume(&service)), BTreeSet::from([INSTANCE.to_owned(), OTHER_INSTANCE.to_owned()]));
    let left = send(&service, NOVA, "DELETE", &paths[0], &Value::Null);
    assert_eq!(left.body["attachments"][0]["instance"], OTHER_INSTANCE, "{left:?}");
    assert_eq!(volume(&service)["status"], "in-use");
    send(&service, NOVA, "DELETE", &paths[1], &Value::Null);
    assert_eq!(volume(&service)["status"], "available");
}

/// A member of another project whose own project has volumes too finds nothing.
#[test]
fn an_attachment_of_another_project_does_not_exist() {
    let own = json!({ "id": OTHER_VOLUME, "project_id": "b2", "status": "in-use", "attach_status": "attached" });
    let attachments = json!([connected(), { "id": "a77ac4ed-0000-4000-8000-000000000002", "volume_id": OTHER_VOLUME }]);
    let service = service(&json!({ "volumes": [used(), own], "attachments": attachments }));
    let before = service.state();
    let path = format!("/attachments/{ATTACHMENT}");
    let unknown = format!("/attachments/{VOLUME}");
    let connector = json!({ "attachment": { "connector": { "host": "h" } } });
    for (method, below, body) in [
        ("GET", "", Value::Null),
        ("PUT", "", connector),
        ("DELETE", "", Value::Null),
        ("POST", "/action", json!({ "os-complete": null })),
    ] {
        for caller in [STRANGER, Caller { is_for_service: true, ..STRANGER }] {
            let answer = send(&service, caller, method, &format!("{path}{below}"), &body);
            let other = send(&service, caller, method, &format!("{unknown}{below}"), &body);
            assert_eq!(answer.status, 404, "{method}: {answer:?}");
            let same = answer.body.to_string().replace(ATTACHMENT, VOLUME);
            assert_eq!(same, other.body.to_string(), "{method} answers as for an unknown id");
        }
    }
    assert_eq!(listed(&service, STRANGER, ""), ["a77ac4ed-0000-4000-8000-000000000002"]);
    for query in [format!("?volume_id={VOLUME}"), "?project_id=a1".to_owned(), format!("?instance_id={OTHER_INSTANCE}")]
    {
        let answer = send(&service, STRANGER, "GET", &format!("/attachments/detail{query}"), &Value::Null);
        assert!(!answer.body.to_string().contains(ATTACHMENT), "{query}: {answer:?}");
    }
    let marker = send(&service, STRANGER, "GET", &format!("/attachments?marker={ATTACHMENT}"), &Value::Null);
    assert_eq!(marker.status, 404, "{marker:?}");
    // The id of the other project's attachment is no better than an unknown one for a detach either.
    let path = format!("/volumes/{OTHER_VOLUME}/action");
    let detach = |id: &str| send(&service, STRANGER, "POST", &path, &json!({ "os-detach": { "attachment_id": id } }));
    assert_eq!((detach(ATTACHMENT).status, detach(ATTACHMENT).body), (409, detach(VOLUME).body));
    assert_eq!(service.state(), before);
}

#[test]
fn lists_are_filtered_and_paged() {
    let id = |number: usize| format!("a77ac4ed-0000-4000-8000-{number:012}");
    let volume_id = |number: usize| format!("aaaaaaaa-0000-4000-8000-{number:012}");
    let volumes: Vec<Value> = (1..=60)
        .map(|number| {
            json!({ "id": volume_id(number), "project_id": if number > 50 { "b2" } else { "a1" },
            "status": "in-use", "attach_status": "attached", "multiattach": true })
        })
        .collect();
    // Each volume has two attachments, and the second is much newer.
    let attachments: Vec<Value> = (1..=60)
        .flat_map(|number| {
            let status = if number % 2 == 0 { "attached" } else { "reserved" };
            [
                json!({ "id": id(number), "volume_id": volume_id(number), "attach_status": status,
                    "created_at": format!("2026-01-01T00:00:{number:02}", number = number - 1) }),
                json!({ "id": id(100 + number), "volume_id": volume_id(number), "instance_uuid": OTHER_INSTANCE,
                    "created_at": format!("2026-01-02T00:00:{number:02}", number = number - 1) }),
            ]
        })
        .collect();
    let service = service(&json!({ "volumes": volumes, "attachments": attachments }));
    let newest_first: Vec<String> = (101..=150).rev().chain((1..=50).rev()).map(id).collect();
    assert_eq!(listed(&service, MEMBER, ""), newest_first);
    let mut paged = Vec::new();
    while paged.len() < 100 {
        let marker = paged.last().map_or(String::new(), |last| format!("&marker={last}"));
        let page = listed(&service, MEMBER, &format!("?limit=7{marker}"));
        assert!(!page.is_empty(), "{}", paged.len());
        paged.extend(page);
    }
    assert_eq!(paged, newest_first);
    let of_one = |query: &str| listed(&service, MEMBER, &format!("?volume_id={}{query}", volume_id(3)));
    assert_eq!(of_one(""), [id(103), id(3)]);
    assert_eq!(of_one("&sort=created_at:asc"), [id(3), id(103)]);
    assert_eq!(of_one("&limit=1"), [id(103)]);
    assert_eq!(of_one("&offset=1"), [id(3)]);
    assert_eq!(of_one(&format!("&marker={}", id(103))), [id(3)]);
    assert_eq!(of_one("&attach_status=reserved"), [id(3)]);
    assert_eq!(of_one(&format!("&instance_id={OTHER_INSTANCE}")), [id(103)]);
    assert_eq!(listed(&service, MEMBER, "?volume_id=x"), [] as [String; 0]);
    assert_eq!(listed(&service, MEMBER, "?attach_status=reserved").len(), 25);
    let in_order: Vec<String> = (1..=50).chain(101..=150).map(id).collect();
    assert_eq!(listed(&service, MEMBER, "?sort=id:asc"), in_order);
    assert_eq!(listed(&service, ADMIN, "?all_tenants=1&project_id=b2").len(), 20);
    assert_eq!(listed(&service, ADMIN, &format!("?all_tenants=1&volume_id={}", volume_id(55))).len(), 2);
    assert_eq!(listed(&service, ADMIN, &format!("?volume_id={}", volume_id(55))), [] as [String; 0]);
    let refused = send(&service, MEMBER, "GET", "/attachments?x=1&y=2", &Value::Null);
    let message = "Invalid filters x,y are found in query options.";
    assert_eq!(refused.fault(), ("badRequest", message), "{refused:?}");
}

/// What nobody names is removed within two runs, and then nothing is left of it.
#[test]
fn a_reservation_that_is_given_back_leaves_nothing() {
    let service = service(&json!({ "volumes": [with(&json!({}))] }));
    let rows = || service.key_value.dump().keys().filter(|key| key.starts_with("vs1:attachment:")).count();
    let tick = || assert_eq!(service.send(operator("POST", "/_ops/tick", b"")).status(), 200);
    for end in ["os-unreserve", "os-detach"] {
        assert_eq!(act(&service, MEMBER, &json!({ "os-reserve": null })).status, 202);
        assert_eq!((rows(), listed(&service, MEMBER, "")), (1, Vec::new()), "{end}");
        if end == "os-detach" {
            let attach = json!({ "os-attach": { "instance_uuid": INSTANCE, "mountpoint": "/dev/vdb" } });
            assert_eq!(act(&service, MEMBER, &attach).status, 202);
            assert_eq!((rows(), listed(&service, MEMBER, "").len()), (1, 1), "{end}");
        }
        service.advance(20.0);
        tick();
        assert_eq!(rows(), 1, "{end}: its volume names it");
        assert_eq!(act(&service, MEMBER, &json!({ end: {} })).status, 202);
        assert_eq!(listed(&service, MEMBER, ""), [] as [String; 0], "{end}");
        tick();
        tick();
        assert_eq!(rows(), 0, "{end}");
    }
}

#[test]
fn the_attachments_of_a_volume_are_bounded() {
    let variables = TestVariables::default().with("auth_mode", "headers").with("max_metadata_bytes", "8192");
    let service = NativeService::with_variables(variables);
    service.put_state(&json!({ "volumes": [with(&json!({ "multiattach": true }))] }));
    let create = |bytes: usize| {
        let new = json!({ "attachment": { "volume_uuid": VOLUME, "connector": { "host": "h".repeat(bytes) } } });
        let created = send(&service, NOVA, "POST", "/attachments", &new);
        if created.status == 200 {
            let path = format!("/attachments/{}/action", id_of(&created.body["attachment"]));
            assert_eq!(send(&service, NOVA, "POST", &path, &json!({ "os-complete": null })).status, 204);
        }
        created
    };
    let refused = create(5_000);
    let (fault, message) = refused.fault();
    assert_eq!((refused.status, fault), (413, "overLimit"), "{refused:?}");
    assert!(message.contains("larger than the 8192 bytes"), "{message}");
    assert_eq!(volume(&service)["status"], "available", "nothing has changed");
    let made = (0..100).take_while(|_| create(1).status == 200).count();
    assert!((10..20).contains(&made), "{made} attachments");
    // Lists read few rows at a time in a project with large ones.
    assert_eq!(listed(&service, MEMBER, "").len(), made);
}

#[test]
fn a_repair_restores_lost_pointers_and_removes_useless_ones() {
    let service = service(&json!({ "volumes": [used()], "attachments": [{}] }));
    let rows = || {
        let stored = service.key_value.dump();
        stored.into_iter().filter(|(key, _)| key.starts_with("vs1:attachment:")).collect::<Vec<_>>()
    };
    let repair = || Answer::from(service.send(operator("POST", "/_ops/repair", b""))).body;
    let before = rows();
    assert_eq!((repair()["rows"].clone(), repair()["entries_without_row"].clone()), (json!(2), json!(0)));
    service.key_value.delete_many(std::slice::from_ref(&before[0].0)).expect("memory forgets everything");
    assert_eq!(listed(&service, MEMBER, ""), [] as [String; 0], "the row is lost");
    assert_eq!(repair()["entries_without_row"], 1);
    assert_eq!(listed(&service, MEMBER, ""), [ATTACHMENT]);
    // A row whose volume does not name it.
    let reset = json!({ "os-reset_status": { "attach_status": "detached" } });
    assert_eq!(act(&service, ADMIN, &reset).status, 202);
    for _ in 0..3 {
        assert_eq!(service.send(operator("POST", "/_ops/tick", b"")).status(), 200);
    }
    assert_eq!(rows().len(), 0);
    service.key_value.set_many(&before).expect("memory takes everything");
    assert_eq!(repair()["rows_without_agenda"], 1);
    assert_eq!(repair()["rows_without_agenda"], 0);
    for _ in 0..2 {
        assert_eq!(service.send(operator("POST", "/_ops/tick", b"")).status(), 200);
    }
    assert_eq!(rows().len(), 0);
}
