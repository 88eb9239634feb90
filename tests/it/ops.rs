//! The operator's routes on the component (`docs/operations.md`): the state as a document, the manual tick, and the
//! health of the service.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::support::calls::{Answer, Calls, id_of};
use crate::support::component::{ComponentService, START};
use crate::support::faults::{Fault, When};
use crate::support::{Service, operator, text};
use http::Request;
use serde_json::{Value, json};
use volume_snapshots::domain::Timestamp;
use volume_snapshots_host::Store;

const VOLUME: &str = "aaaaaaaa-0000-4000-8000-000000000001";

fn id(kind: char, number: usize) -> String {
    let start = kind.to_string().repeat(8);
    format!("{start}-0000-4000-8000-{number:012}")
}

fn time(seconds: u64) -> String {
    Timestamp::from_seconds(i64::try_from(START + seconds).expect("small")).to_string()
}

/// Returns a state in which no field has its default, and work is under way.
fn rich_state() -> Value {
    let groups = rich_groups();
    json!({
        "volumes": [
            { "id": id('a', 1), "name": null, "description": "Überblick 漢字 \u{1f600}", "metadata": { "k": "v" },
              "size": 3, "status": "in-use", "host": "h@b#p", "cluster_name": "c@b", "availability_zone": "zone",
              "attach_status": "attached", "migration_status": "migrating", "volume_type": null, "group_id": id('f', 1),
              "bootable": true, "multiattach": true, "project_id": "b2", "user_id": null,
              "snapshot_id": id('b', 2), "created_at": "2026-01-01T00:00:00.000001",
              "updated_at": "2026-01-02T00:00:00", "consumes_quota": false },
            { "id": id('a', 2), "project_id": "a1", "status": "creating", "source_volid": id('a', 1),
              "provisioning": { "host": "h@b#p", "image_metadata": { "k": "v" } } },
            { "id": id('a', 3), "project_id": "a1", "status": "deleting" },
            { "id": id('a', 4), "project_id": "a1", "status": "creating", "pending": null,
              "next_attachment": { "id": id('d', 3), "created_at": "2026-03-01T00:00:00" } },
            { "id": id('a', 6), "project_id": "a1", "status": "restoring-backup", "restored_from": id('f', 1) },
            { "id": id('a', 5), "project_id": "a1", "status": "extending", "previous_status": "in-use", "size": 2,
              "new_size": 4, "admin_metadata": { "readonly": "True" }, "image_metadata": { "image_id": "x" },
              "pending": { "completion": "extend", "schedule": "told", "begun": time(2), "due": time(5), "gives_up": time(9) } },
        ],
        "attachments": [
            { "id": id('d', 1), "volume_id": id('a', 1), "instance_uuid": null, "attached_host": "h", "mountpoint": null,
              "attach_status": "error_detaching", "attach_mode": "ro", "attach_time": null,
              "detach_time": "2026-03-02T00:00:00", "connector": { "host": "h", "n": [1] }, "connection_info": {},
              "created_at": "2026-03-01T00:00:00", "updated_at": "2026-03-03T00:00:00" },
            { "id": id('d', 2), "volume_id": id('a', 2) },
        ],
        "snapshots": [
            { "id": id('b', 1), "volume_id": id('a', 2), "project_id": "a1", "status": "creating", "progress": "0%" },
            { "id": id('b', 2), "volume_id": id('a', 1), "project_id": "b2", "name": "", "description": null,
              "metadata": { "": "", "key/with slash": "\n" }, "size": 9, "user_id": null, "volume_type": "fast",
              "group_snapshot_id": id('c', 1), "consumes_quota": false, "progress": null,
              "updated_at": "2026-02-01T00:00:00.123456" },
            { "id": id('b', 3), "volume_id": id('a', 1), "project_id": "a1", "status": "deleting",
              "pending": { "completion": "remove", "schedule": "told", "begun": time(2), "due": time(5), "gives_up": time(9) } },
            { "id": id('b', 4), "volume_id": id('a', 2), "project_id": "a1", "status": "updating" },
            { "id": id('b', 5), "volume_id": id('a', 2), "project_id": "a1", "deleted": true },
        ],
        "volume_types": [
            { "id": id('e', 2), "name": "fast", "description": "d", "is_public": false,
              "extra_specs": { "multiattach": "<is> True", "none": null }, "access": ["b2", "a1"],
              "qos_specs_id": id('9', 1),
              "encryption": { "provider": "luks", "cipher": null, "key_size": 256, "control_location": "front-end" },
              "created_at": "2026-01-03T00:00:00.000000", "updated_at": "2026-01-04T00:00:00.000000" },
            { "id": id('e', 1), "name": "__DEFAULT__", "description": null, "is_public": true, "extra_specs": {},
              "access": [], "qos_specs_id": null, "encryption": null, "created_at": "2026-01-02T00:00:00.000000",
              "updated_at": null },
        ],
        "messages": [
            { "id": id('d', 1), "project_id": "a1" },
            { "id": id('d', 2), "project_id": "b2", "request_id": null, "resource_type": null, "resource_uuid": null,
              "event_id": "VOLUME_000002", "action_id": null, "detail_id": null, "message_level": "INFO",
              "created_at": "2026-01-01T00:00:00.000001", "updated_at": "2026-01-02T00:00:00",
              "expires_at": "2050-01-01T00:00:00.500000" },
        ],
        "backups": [
            { "id": id('f', 1), "project_id": "a1", "volume_id": id('a', 2), "snapshot_id": id('b', 1), "name": null,
              "description": "Überblick", "metadata": { "k": "v" }, "container": "c", "host": "h", "service": "s",
              "availability_zone": "zone", "object_count": 22, "fail_reason": "why", "status": "error_deleting",
              "size": 2, "num_dependent_backups": 1, "data_timestamp": "2026-01-01T00:00:00.000002",
              "restore_volume_id": id('a', 1), "user_id": null, "encryption_key_id": "key",
              "created_at": "2026-01-01T00:00:00", "updated_at": "2026-01-02T00:00:00" },
            { "id": id('f', 2), "project_id": "b2", "parent_id": id('f', 1), "counts_as_dependent": true },
            { "id": id('f', 3), "project_id": "a1", "parent_id": id('f', 2), "status": "creating", "host": null,
              "counts_as_dependent": false, "outcome": { "made": { "host": "h", "availability_zone": "z" } } },
            { "id": id('f', 4), "project_id": "a1", "status": "creating", "size": null, "counted_size": 3,
              "outcome": { "imported": {
                  "host": "h", "availability_zone": "z", "name": "n", "description": null, "container": "",
                  "object_count": 1, "volume_id": id('a', 9), "snapshot_id": null,
                  "data_timestamp": "2026-01-01T00:00:00.000003", "metadata": { "k": "v" } } } },
            { "id": id('f', 5), "project_id": "a1", "status": "creating",
              "outcome": { "not_imported": { "reason": "no" } } },
            { "id": id('f', 6), "project_id": "a1", "outcome": { "reset": { "status": "error" } },
              "pending": { "completion": "release", "schedule": "told", "begun": time(2), "due": time(5), "gives_up": time(9) } },
        ],
        "quotas": { "snapshots": 33, "gigabytes_fast": 2 },
        "project_quotas": { "b2": { "snapshots": -1 }, "without-rows": { "volumes": 4 } },
        "quota_usage": { "a1": { "gigabytes": { "in_use": 77, "reserved": 2 } } },
        "services": [
            { "host": "h@b", "binary": "cinder-volume", "disabled": true, "disabled_reason": "why", "frozen": true,
              "availability_zone": "zone", "up": false, "updated_at": "2026-03-01T00:00:00.000000", "absent": true },
            { "host": "other@b" },
        ],
        "config": { "no_snapshot_gb_quota": true, "osapi_max_limit": 7 },
        "resource_filters": { "snapshot": ["name", "status"], "volume": [] },
        "groups": groups["groups"],
        "group_snapshots": groups["group_snapshots"],
        "group_types": groups["group_types"],
    })
}

/// Returns the groups of the rich state, and what belongs to them.
fn rich_groups() -> Value {
    json!({
        "groups": [
            { "id": id('f', 1), "name": null, "description": "d", "status": "updating", "group_type_id": id('8', 2),
              "volume_types": ["fast"], "host": null, "next_host": "h@b#p", "availability_zone": null,
              "group_snapshot_id": id('c', 9), "source_group_id": id('f', 9), "replication_status": "disabled",
              "project_id": "b2", "user_id": null, "created_at": "2026-01-01T00:00:00.000001",
              "updated_at": "2026-01-02T00:00:00", "added_volumes": [id('a', 2)], "removed_volumes": [id('a', 1)],
              "pending": { "completion": "move", "schedule": "told", "begun": time(2), "due": time(5), "gives_up": time(9) } },
            { "id": id('f', 2), "project_id": "a1", "status": "creating" },
        ],
        "group_snapshots": [
            { "id": id('c', 1), "group_id": id('f', 1), "group_type_id": id('8', 2), "name": "", "description": null,
              "status": "error_deleting", "project_id": "b2", "user_id": null, "created_at": "2026-01-01T00:00:00.000001",
              "updated_at": "2026-01-02T00:00:00" },
            { "id": id('c', 2), "project_id": "a1", "status": "updating" },
        ],
        "group_types": [
            { "id": id('8', 2), "name": "consistent", "description": "d", "is_public": false,
              "group_specs": { "k": "v", "none": null }, "access": ["b2"],
              "created_at": "2026-01-03T00:00:00.000000", "updated_at": "2026-01-04T00:00:00.000000" },
            { "id": id('8', 1), "name": "default_cgsnapshot_type", "description": null, "is_public": true, "group_specs": {},
              "access": [], "created_at": "2026-01-02T00:00:00.000000", "updated_at": null },
        ],
    })
}

/// Returns a smaller state, so that a replacement also removes rows.
fn small_state() -> Value {
    json!({
        "volumes": [{ "id": id('a', 1), "project_id": "a1" }],
        "snapshots": [
            { "id": id('b', 1), "volume_id": id('a', 1), "project_id": "a1", "name": "small" },
            { "id": id('b', 9), "volume_id": id('a', 1), "project_id": "a1" },
        ],
        "quotas": { "snapshots": 3 },
    })
}

fn put(service: &impl Service, document: &str) -> Answer {
    service.send(operator("PUT", "/_ops/state", document.as_bytes())).into()
}

/// A removal that is due is not in the state any more, so its quota is not either.
#[test]
fn what_get_gave_between_a_delete_and_its_tick_changes_nothing() {
    let service = ComponentService::new(&[]);
    let volume = service.new_volume("/v3/a1", 1);
    service.advance(10.0);
    let created = [0, 1, 2].map(|_| service.new_snapshot("/v3/a1", &volume));
    service.advance(10.0);
    assert_eq!(service.delete(&format!("/v3/a1/snapshots/{}", created[1])).status, 202);
    service.advance(10.0);
    let left = service.ids("/v3/a1/snapshots").len();
    let usage = || service.get("/v3/a1/os-quota-sets/a1?usage=True").body["quota_set"]["snapshots"]["in_use"].clone();
    assert_eq!((usage(), service.count("/v3/a1/snapshots")), (json!(left), left));
    let given = text(&service.send(operator("GET", "/_ops/state", b"")));
    for round in ["once", "twice"] {
        assert_eq!(put(&service, &given).status, 200);
        assert_eq!(text(&service.send(operator("GET", "/_ops/state", b""))), given, "{round}");
        service.tick().expect("a run of the schedule");
        assert_eq!((usage(), service.count("/v3/a1/snapshots")), (json!(left), left), "{round}");
    }
    let report = service.operate("POST", "/_ops/repair", &Value::Null);
    assert_eq!(report.body["counters"], 0, "{report:?}");
}

#[test]
fn what_get_gave_can_be_put_back_and_then_get_gives_the_same() {
    let service = ComponentService::new(&[]);
    let put_first = put(&service, &rich_state().to_string());
    assert_eq!((put_first.status, put_first.body), (200, json!({ "volumes": 6, "snapshots": 4 })));
    let given = text(&service.send(operator("GET", "/_ops/state", b"")));
    let state: Value = serde_json::from_str(&given).expect("JSON");

    // Every field of the document exists and has its value.
    let wanted = rich_state();
    for kind in ["volumes", "snapshots", "attachments", "messages", "backups", "groups", "group_snapshots"] {
        for row in wanted[kind].as_array().expect("rows").iter().filter(|row| row["deleted"] != true) {
            let own = state[kind].as_array().expect("rows").iter().find(|own| own["id"] == row["id"]);
            let own = own.unwrap_or_else(|| panic!("{row} is missing"));
            for (name, value) in row.as_object().expect("a row") {
                // A time without a fraction is returned with one, inside an object too.
                let with_fraction = |value: &Value| json!(format!("{}.000000", value.as_str().unwrap_or("?")));
                let mut slot = value.clone();
                if name == "next_attachment" {
                    slot["created_at"] = with_fraction(&slot["created_at"]);
                }
                let equal = [value, &with_fraction(value), &slot].contains(&&own[name]);
                assert!(equal, "{name}: {value} became {}", own[name]);
            }
        }
    }
    for field in
        ["volume_types", "group_types", "quotas", "project_quotas", "quota_usage", "config", "resource_filters"]
    {
        assert_eq!(state[field], wanted[field], "{field}");
    }
    assert_eq!(state["services"][0], wanted["services"][0]);
    assert_eq!(state["services"][1]["up"], true, "a service has defaults too");
    let pending_of = |number| {
        let rows = state["snapshots"].as_array().expect("rows").iter();
        rows.clone().find(|row| row["id"] == id('b', number)).expect("a row")["pending"].clone()
    };
    assert_eq!(pending_of(1)["due"], time(2), "a transient status begins its work with the document");
    assert_eq!(pending_of(3)["due"], time(5), "unless the document says what is under way");

    for round in 1..=2 {
        assert_eq!(put(&service, &given).status, 200);
        assert_eq!(text(&service.send(operator("GET", "/_ops/state", b""))), given, "round {round}, byte by byte");
    }
    put(&service, &small_state().to_string());
    assert_eq!(service.state()["snapshots"].as_array().map(Vec::len), Some(2), "what was there before is gone");
    assert_eq!(service.ids("/v3/a1/snapshots").len(), 2);
    assert_eq!(put(&service, &given).status, 200);
    assert_eq!(text(&service.send(operator("GET", "/_ops/state", b""))), given, "also over another state");

    assert_eq!(service.operate("DELETE", "/_ops/state", &Value::Null).status, 204);
    let empty = service.state();
    assert_eq!((&empty["volumes"], &empty["snapshots"], &empty["quotas"]), (&json!([]), &json!([]), &json!({})));
    assert_eq!(put(&service, &given).status, 200);
    assert_eq!(text(&service.send(operator("GET", "/_ops/state", b""))), given, "also over nothing");
    assert_eq!(service.app.traps(), 0);
}

#[test]
fn a_document_that_cannot_be_used_is_refused_whole_with_the_reason() {
    let service = ComponentService::new(&[]);
    service.put_state(&small_state());
    let before = service.state();
    let twice = json!([{ "id": VOLUME }, { "id": VOLUME }]);
    let cases: Vec<(String, &str)> = vec![
        (json!({ "snapshot": [] }).to_string(), "snapshot"),
        (json!({ "volumes": [{ "colour": 1 }] }).to_string(), "colour"),
        (json!({ "snapshots": [{ "colour": 1 }] }).to_string(), "colour"),
        (json!({ "config": { "colour": 1 } }).to_string(), "colour"),
        (json!({ "services": [{ "colour": 1 }] }).to_string(), "colour"),
        (json!({ "group_snapshot": { "id": id('c', 1), "colour": 1 } }).to_string(), "colour"),
        (json!({ "groups": [{ "colour": 1 }] }).to_string(), "colour"),
        (json!({ "groups": [{}, {}] }).to_string(), "two groups have the id"),
        (json!({ "group_snapshots": [{}, {}] }).to_string(), "two group snapshots have the id"),
        (json!({ "group_types": [{}, {}] }).to_string(), "two group types have the id"),
        (json!({ "quota_usage": { "a1": { "snapshots": { "in_use": 1, "colour": 1 } } } }).to_string(), "colour"),
        (json!({ "snapshots": [{ "pending": { "colour": 1 } }] }).to_string(), "colour"),
        (json!({ "volumes": twice }).to_string(), VOLUME),
        (json!({ "snapshots": twice }).to_string(), VOLUME),
        (json!({ "snapshots": [{ "id": "BBBBBBBB-0000-4000-8000-000000000001" }] }).to_string(), "BBBBBBBB"),
        (json!({ "snapshots": [{ "status": "unheard-of" }] }).to_string(), "unheard-of"),
        (json!({ "snapshots": [{ "created_at": "yesterday" }] }).to_string(), "yesterday"),
        (json!({ "snapshots": [{ "size": -1 }] }).to_string(), "-1"),
        (json!({ "snapshots": [{ "metadata": { "k": 1 } }] }).to_string(), "expected a string"),
        (json!({ "snapshots": [{ "project_id": "p".repeat(65) }] }).to_string(), "64 bytes"),
        (json!({ "snapshots": {} }).to_string(), "expected a sequence"),
        (json!([]).to_string(), "cannot be used"),
        ("{\"snapshots\": [".to_owned(), "EOF"),
        ("\u{feff}{}".to_owned(), "cannot be used"),
        (String::new(), "cannot be used"),
    ];
    for (document, named) in &cases {
        let answer = put(&service, document);
        assert_eq!((answer.status, answer.fault().0), (400, "badRequest"), "{document}: {answer:?}");
        assert!(answer.fault().1.contains(named), "{document}: {answer:?}");
        assert_eq!(service.state(), before, "{document}");
    }
    // The other document that an operator sends, that of a tick.
    let body = json!({ "now": "2026-01-01T00:00:00Z", "colour": 1 });
    let tick = service.operate("POST", "/_ops/tick", &body);
    assert_eq!((tick.status, tick.fault().0), (400, "badRequest"));
    assert!(tick.fault().1.contains("colour"), "{tick:?}");
    assert_eq!(service.operate("POST", "/_ops/tick", &json!({ "now": "soon" })).status, 400);
    assert_eq!(service.app.traps(), 0);
}

/// Every route of an operator, and some that do not exist.
const ROUTES: [(&str, &str); 8] = [
    ("GET", "/_ops/state"),
    ("PUT", "/_ops/state"),
    ("DELETE", "/_ops/state"),
    ("POST", "/_ops/tick"),
    ("POST", "/_ops/repair"),
    ("GET", "/_ops/explain/bbbbbbbb-0000-4000-8000-000000000001"),
    ("GET", "/_ops/"),
    ("PATCH", "/_ops/%73tate"),
];

#[test]
fn without_a_secret_there_are_no_operators_routes() {
    let service = ComponentService::new(&[("ops_token", "")]);
    for (method, path) in ROUTES {
        for token in [None, Some(""), Some(crate::support::OPS_TOKEN)] {
            let mut request = Request::builder().method(method).uri(path);
            if let Some(token) = token {
                request = request.header("x-ops-token", token);
            }
            let answer: Answer = service.send(request.body(b"{}".to_vec()).expect("a request")).into();
            assert_eq!((answer.status, answer.fault().0), (404, "itemNotFound"), "{method} {path}: {answer:?}");
        }
    }
    assert_eq!(service.faults.calls(), [], "nothing was asked of the store");
}

#[test]
fn a_wrong_secret_opens_nothing() {
    let service = ComponentService::new(&[]);
    service.put_state(&small_state());
    let before = service.state();
    let wrong = ["", "let-me-i", "let-me-inn", "Let-me-in", " ", "\u{e9}"];
    for (method, path) in ROUTES {
        for token in wrong.into_iter().map(Some).chain([None]) {
            let mut request = Request::builder().method(method).uri(path);
            if let Some(token) = token {
                request = request.header("x-ops-token", token);
            }
            let answer: Answer = service.send(request.body(b"{}".to_vec()).expect("a request")).into();
            assert_eq!((answer.status, answer.fault().0), (403, "forbidden"), "{method} {path} {token:?}: {answer:?}");
        }
    }
    assert_eq!(service.state(), before);
    assert_eq!(service.operate("GET", "/_ops/nothing", &Value::Null).status, 404, "the right one finds what there is");
}

/// Returns a document of more than 64 MiB, as a benchmark uses it: 60,000 snapshots with long descriptions. Many share
/// a second, so that pages are split between rows of the same time.
fn large_document(count: usize) -> String {
    let mut document = format!("{{\"volumes\":[{{\"id\":\"{VOLUME}\",\"project_id\":\"a1\"}}],\"snapshots\":[");
    let long = "x".repeat(255);
    for number in 0..count {
        let separator = if number == 0 { "" } else { "," };
        let (id, created_at) = (id('b', number), time(number as u64 / 100));
        write!(
            document,
            "{separator}{{\"id\":\"{id}\",\"volume_id\":\"{VOLUME}\",\"project_id\":\"a1\",\"created_at\":\"{created_at}\",\
             \"name\":\"{number}\",\"description\":\"{long}\",\
             \"metadata\":{{\"a\":\"{long}\",\"b\":\"{long}\",\"c\":\"{long}\"}}}}"
        )
        .expect("a String takes everything");
    }
    document.push_str("]}");
    document
}

#[test]
fn a_state_of_more_than_64_mebibytes_is_taken_and_its_pages_list_right() {
    const COUNT: usize = 60_000;
    let document = large_document(COUNT);
    assert!(document.len() > 64 << 20, "{} bytes", document.len());
    let service = ComponentService::new(&[]);
    let answer = put(&service, &document);
    assert_eq!((answer.status, answer.body), (200, json!({ "volumes": 1, "snapshots": COUNT })));
    drop(document);
    service.advance(3600.0);

    // Newest first. Within a second the larger id comes first.
    let newest = |place: usize| id('b', COUNT - 1 - place);
    let mut path = "/v3/a1/snapshots?limit=700&with_count=true".to_owned();
    for page in 0..4 {
        service.faults.reset();
        let answer = service.get(&path);
        assert_eq!(answer.body["count"], COUNT, "{path}");
        let ids: Vec<String> = answer.body["snapshots"].as_array().expect("rows").iter().map(id_of).collect();
        let expected: Vec<String> = (page * 700..(page + 1) * 700).map(newest).collect();
        assert_eq!(ids, expected, "page {page}");
        assert_eq!(service.faults.commits(), 0);
        assert!(service.faults.calls().len() <= 12, "page {page}: {} calls", service.faults.calls().len());
        let next = answer.body["snapshots_links"][0]["href"].as_str().expect("a link to the next page").to_owned();
        path = next.split_once("/v3/").map(|(_, rest)| format!("/v3/{rest}")).expect("a path");
    }
    let marker = newest(COUNT - 501);
    let last = service.get(&format!("/v3/a1/snapshots/detail?marker={marker}"));
    let rows = last.body["snapshots"].as_array().expect("rows");
    assert_eq!((rows.len(), last.body.get("snapshots_links")), (500, None), "the last page is short and has no link");
    assert_eq!(rows[499]["id"], id('b', 0));
    assert_eq!(rows[499]["metadata"]["c"].as_str().map(str::len), Some(255));
    assert_eq!(service.ids("/v3/a1/snapshots?limit=2&offset=59999"), [id('b', 0)]);
    assert_eq!(service.app.traps(), 0);
}

/// Returns the ways in which a call of the store can fail.
fn store_faults() -> [Fault; 3] {
    [Fault::KillBefore, Fault::KillAfter, Fault::ErrorBefore("disk I/O error".to_owned())]
}

#[test]
fn a_replacement_that_stops_anywhere_leaves_the_old_state_or_the_new_one() {
    let (service, base) = ComponentService::with_memory(&[]);
    for (before, after) in [(rich_state(), small_state()), (small_state(), rich_state()), (json!({}), small_state())] {
        service.put_state(&after);
        let new = service.state();
        service.put_state(&before);
        let old = service.state();
        let mut seen = BTreeSet::new();
        for fault in store_faults() {
            for call in 1.. {
                let store = Arc::new(base.fork());
                let service = ComponentService::on(store.clone(), &[]);
                service.faults.plan(When::Call(call), fault.clone());
                let answer = put(&service, &after.to_string());
                let case = format!("{fault:?} at call {call}: {}", answer.status);
                if service.faults.calls().len() < call {
                    assert_eq!(answer.status, 200);
                    break;
                }
                let service = ComponentService::on(store, &[]);
                let state = service.state();
                assert!(state == new || (state == old && answer.status != 200), "{case}: {state}");
                seen.insert(state == new);
                assert_listed(&service, &state, &case);
                assert_eq!(put(&service, &after.to_string()).status, 200, "{case}");
                assert_eq!(service.state(), new, "{case}, repeated");
                assert_listed(&service, &new, &case);
                assert_eq!(service.app.traps(), 0, "{case}");
            }
        }
        assert_eq!(seen.len(), 2, "some faults strike before the one commit that counts and some after it");
    }
}

#[test]
fn a_removal_of_everything_that_stops_anywhere_leaves_all_or_nothing() {
    let (service, base) = ComponentService::with_memory(&[]);
    let empty = service.state();
    service.put_state(&rich_state());
    let full = service.state();
    for fault in store_faults() {
        for call in 1.. {
            let store = Arc::new(base.fork());
            let service = ComponentService::on(store.clone(), &[]);
            service.faults.plan(When::Call(call), fault.clone());
            let answer = service.operate("DELETE", "/_ops/state", &Value::Null);
            if service.faults.calls().len() < call {
                assert_eq!(answer.status, 204);
                break;
            }
            let service = ComponentService::on(store, &[]);
            let state = service.state();
            assert!(state == empty || (state == full && answer.status != 204), "{fault:?} at call {call}: {state}");
            assert_listed(&service, &state, &format!("{fault:?} at call {call}"));
        }
    }
}

/// Checks that the API lists the snapshots of the state, for all projects at once.
fn assert_listed(service: &ComponentService, state: &Value, case: &str) {
    for kind in ["snapshots", "volumes"] {
        // The state may limit the page size, so read the list in small pages.
        let mut listed = BTreeSet::new();
        let mut marker = String::new();
        loop {
            let page = service.ids(&format!("/v3/a1/{kind}?all_tenants=1&limit=3{marker}"));
            let Some(last) = page.last() else { break };
            marker = format!("&marker={last}");
            listed.extend(page);
        }
        let stored: BTreeSet<String> = state[kind].as_array().expect("rows").iter().map(id_of).collect();
        assert_eq!(listed, stored, "{case}: {kind}");
    }
}

#[test]
fn a_tick_reports_what_it_did() {
    let service = ComponentService::new(&[("quota_snapshots", "-1")]);
    let snapshot = |number: usize, status: &str| json!({ "id": id('b', number), "volume_id": VOLUME, "project_id": "a1", "status": status });
    let mut snapshots: Vec<Value> = (0..1_003).map(|number| snapshot(number, "deleting")).collect();
    snapshots.push(snapshot(2_000, "creating"));
    service.put_state(&json!({ "volumes": [{ "id": VOLUME, "project_id": "a1" }], "snapshots": snapshots }));
    let report = |removed: usize, settled: usize, more: bool, now: &str| json!({ "now": now, "removed": removed, "settled": settled, "repaired": 0, "more": more });
    let tick = |body: &Value| service.operate("POST", "/_ops/tick", body).body;

    assert_eq!(tick(&Value::Null), report(0, 0, false, &time(0)), "nothing is due");
    assert_eq!(tick(&json!({})), report(0, 0, false, &time(0)));
    assert_eq!(tick(&json!({ "now": null })), report(0, 0, false, &time(0)));
    service.advance(1.0);
    assert_eq!(tick(&Value::Null), report(1_000, 0, true, &time(1)), "one run does a bounded amount of work");
    assert_eq!(tick(&Value::Null), report(3, 0, false, &time(1)));
    assert_eq!(tick(&Value::Null), report(0, 0, false, &time(1)));
    // Work that an operator's clock completes early must be written, because readers cannot know about it.
    let later = time(2);
    assert_eq!(tick(&json!({ "now": format!("{later}Z") })), report(0, 1, false, &later));
    assert_eq!(tick(&json!({ "now": later })), report(0, 0, false, &later));
    assert_eq!(service.ids("/v3/a1/snapshots?status=available"), [id('b', 2_000)]);

    let service = ComponentService::new(&[("rows_per_tick", "2")]);
    let snapshots: Vec<Value> = (0..3).map(|number| snapshot(number, "deleting")).collect();
    service.put_state(&json!({ "volumes": [{ "id": VOLUME, "project_id": "a1" }], "snapshots": snapshots }));
    service.advance(1.0);
    let tick = || service.operate("POST", "/_ops/tick", &Value::Null).body;
    assert_eq!(tick(), report(2, 0, true, &time(1)), "as much as the variable says");
}

/// Tests the explanation of a snapshot's status in each case, and the announced next step.
#[test]
fn an_explanation_says_what_is_why_and_what_comes_next() {
    let service = ComponentService::new(&[("progression", "manual"), ("give_up_seconds", "60"), ("give_up", "retry")]);
    let volume = service.new_volume("/v3/a1", 1);
    service.advance(5.0);
    assert_eq!(service.operate("POST", "/_ops/tick", &json!({ "now": time(5) })).status, 200);
    let snapshot = service.new_snapshot("/v3/a1", &volume);
    let path = format!("/v3/a1/snapshots/{snapshot}");
    let explain = || service.operate("GET", &format!("/_ops/explain/{snapshot}"), &Value::Null);
    let history = |answer: &Answer| {
        let past = answer.body["history"].as_array().expect("a history").clone();
        past.iter().map(|past| format!("{} {}", past["status"], past["cause"]).replace('"', "")).collect::<Vec<_>>()
    };

    let working = explain();
    assert_eq!(working.status, 200, "{working:?}");
    assert_eq!((&working.body["status"], &working.body["stored_status"]), (&json!("creating"), &json!("creating")));
    assert_eq!((&working.body["next"]["becomes"], &working.body["next"]["at"]), (&json!("available"), &json!(time(7))));
    assert_eq!(working.body["bound"], json!({ "at": time(67), "becomes": "retried", "retries": 3 }));
    assert_eq!((&working.body["listed"], &working.body["on_agenda"]), (&json!(true), &json!(time(67))));
    assert_eq!(history(&working), [""; 0]);

    // Nobody reports: the work is retried three times, each as long as the first, and then given up.
    service.advance(62.0);
    let again = explain();
    assert_eq!(again.body["bound"], json!({ "at": time(127), "becomes": "retried", "retries": 2 }));
    assert_eq!(history(&again), ["creating retried"]);
    service.advance(121.0);
    assert_eq!(explain().body["bound"], json!({ "at": time(247), "becomes": "error", "retries": 0 }));
    assert_eq!(service.status_of(&path).as_deref(), Some("creating"));
    service.advance(61.0);
    let given_up = explain();
    assert_eq!((&given_up.body["status"], &given_up.body["stored_status"]), (&json!("error"), &json!("creating")));
    assert!(given_up.body["why"].as_str().expect("a string").contains("given up"), "{given_up:?}");
    assert_eq!(history(&given_up)[3..], ["error given up"]);

    let act = |action: Value| {
        let answer = service.call("POST", &format!("{path}/action"), &action);
        assert_eq!(answer.status, 202, "{answer:?}");
    };
    act(json!({ "os-reset_status": { "status": "creating" } }));
    assert!(explain().body["why"].as_str().expect("a string").contains("administrator"), "no work is under way");
    act(json!({ "os-update_snapshot_status": { "status": "available", "progress": "100%" } }));
    assert_eq!(service.delete(&path).status, 202);
    let deleting = explain();
    assert_eq!(deleting.body["next"]["becomes"], "gone");
    assert!(deleting.body["on_agenda"].is_string(), "{deleting:?}");
    let causes =
        ["error given up", "creating os-reset_status", "available os-update_snapshot_status", "deleting delete"];
    assert_eq!(history(&deleting)[3..], causes);
    let state = service.state();
    service.put_state(&state);
    assert_eq!(history(&explain())[3..], causes, "the state has it too");

    let later = json!({ "now": time(10_000) });
    assert_eq!(service.operate("POST", "/_ops/tick", &later).status, 200);
    for unknown in [snapshot.as_str(), "nonsense", ""] {
        let answer = service.operate("GET", &format!("/_ops/explain/{unknown}"), &Value::Null);
        assert_eq!((answer.status, answer.fault().0), (404, "itemNotFound"), "{answer:?}");
    }
    assert_eq!(service.app.traps(), 0);
}

/// Tests that the component repairs a lost row. Finer cases are native (`tests/it/repair.rs`).
#[test]
fn a_repair_tells_what_it_put_right() {
    let (service, memory) = ComponentService::with_memory(&[]);
    service.put_state(&small_state());
    memory.delete("default", &format!("vs1:snapshot:{}", id('b', 9))).expect("deletes");
    let report = |answer: Answer| {
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    };
    let repair = || report(service.operate("POST", "/_ops/repair", &Value::Null));
    let expected = |entries_without_row: usize, counters: usize| {
        json!({
            "projects": 1, "rows": 2, "entries_without_row": entries_without_row, "rows_without_entry": 0,
            "counters": counters, "rows_without_agenda": 0, "pages_deleted": 0, "pages_suspected": 0, "unreadable": [],
        })
    };
    assert_eq!(repair(), expected(1, 4));
    assert_eq!(repair(), expected(0, 0));
    assert_eq!((service.ids("/v3/a1/snapshots"), service.count("/v3/a1/snapshots")), (vec![id('b', 1)], 1));
    assert_eq!(service.app.traps(), 0);
}

#[test]
fn health_is_that_of_the_store_and_needs_no_token() {
    let service = ComponentService::new(&[("ops_token", ""), ("auth_mode", "headers")]);
    let check = || service.send(Request::get("/healthcheck").body(Vec::new()).expect("a request"));
    let healthy = check();
    assert_eq!((healthy.status().as_u16(), text(&healthy).as_str()), (200, "OK"));
    assert!(healthy.headers()["content-type"].to_str().expect("a string").starts_with("text/plain"));

    service.faults.plan(When::FromCall(1), Fault::ErrorBefore("disk I/O error".to_owned()));
    let ill: Answer = check().into();
    assert_eq!((ill.status, ill.fault().0, ill.header("retry-after")), (503, "serviceUnavailable", "1"));
    service.faults.reset();
    assert_eq!(check().status(), 200, "and it recovers");
    assert_eq!(service.app.traps(), 0);
}
