//! Covers every entry of the vectors' array `lifecycle`: what a backend, a restart, or another service does to a
//! snapshot in Cinder, and how the same happens here without a backend.

use serde_json::{Value, json};

use crate::support::native::{NativeService, TestVariables};
use crate::support::{Service, client, operator};

const SNAPSHOT: &str = "/v3/a1/snapshots/bbbbbbbb-0000-4000-8000-000000000001";
const VOLUME: &str = "/v3/a1/volumes/aaaaaaaa-0000-4000-8000-000000000001";

/// The way in which an event happens here.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// The clock completes the work.
    Clock,
    /// A storage agent reports this status.
    Report(&'static str),
    /// An administrator sets this status, because the service that would set it, such as a backup service, does not
    /// exist here.
    Reset(&'static str),
    /// Nothing completes the work, and it is given up. The same happens after a restart.
    Bound,
    /// A snapshot is adopted, and then the clock or a report completes the work.
    Adopt(Option<&'static str>),
    /// Its volume is deleted with `cascade`.
    Cascade,
}

const EVENTS: [(&str, Event); 23] = [
    ("life-create-ok", Event::Clock),
    ("life-create-fail", Event::Report("error")),
    ("life-create-nobackend", Event::Report("error")),
    ("life-create-metadata-copy-fail", Event::Report("error")),
    ("life-delete-ok", Event::Clock),
    ("life-delete-busy", Event::Reset("available")),
    ("life-delete-fail", Event::Report("error_deleting")),
    ("life-unmanage-ok", Event::Clock),
    ("life-unmanage-fail", Event::Bound),
    ("life-unmanage-busy", Event::Reset("available")),
    ("life-restart-creating", Event::Bound),
    ("life-restart-deleting", Event::Bound),
    ("life-restart-restoring", Event::Bound),
    ("life-backup-start", Event::Reset("backing-up")),
    ("life-backup-ok", Event::Clock),
    ("life-backup-fail", Event::Bound),
    ("life-backup-restart", Event::Bound),
    ("life-revert-ok", Event::Clock),
    ("life-revert-fail", Event::Bound),
    ("life-manage-ok", Event::Adopt(None)),
    ("life-manage-fail", Event::Adopt(Some("error"))),
    ("life-group-ok", Event::Clock),
    ("life-cascade", Event::Cascade),
];

/// The events after which Cinder leaves a snapshot to an administrator. Here it does not stay in a transient state
/// (`docs/cinder-differences.md`, "because nothing may be stuck").
const NOT_STUCK: [(&str, &str); 2] =
    [("life-restart-deleting", "error_deleting"), ("life-restart-restoring", "available")];

#[test]
fn every_event_of_a_snapshots_life_is_accounted_for() {
    let document: Value = serde_json::from_str(include_str!("test-vectors.json")).expect("the vectors are JSON");
    let entries = document["lifecycle"].as_array().expect("a list");
    let ids: Vec<&str> = entries.iter().filter_map(|entry| entry["id"].as_str()).collect();
    assert_eq!(ids, EVENTS.map(|(id, _)| id), "each entry has its event");
    for (entry, (id, event)) in entries.iter().zip(EVENTS) {
        live_through(id, entry, event);
    }
}

fn live_through(id: &str, entry: &Value, event: Event) {
    let (before, after) = (&entry["before"], &entry["after"]);
    let progression = if matches!(event, Event::Bound) { "manual" } else { "time" };
    let service = NativeService::with_variables(TestVariables::default().with("progression", progression));
    let mut snapshot = json!({ "project_id": "a1", "status": before["status"] });
    if let Some(progress) = before.get("progress") {
        snapshot["progress"] = progress.clone();
    }
    if before.get("group_snapshot_id").is_some() {
        snapshot["group_snapshot_id"] = json!("cccccccc-0000-4000-8000-000000000001");
    }
    let status = before.get("volume").cloned().unwrap_or_else(|| json!("available"));
    let adopts = matches!(event, Event::Adopt(_));
    service.put_state(&json!({
        "volumes": [{ "project_id": "a1", "status": status }],
        "snapshots": if adopts { json!([]) } else { json!([snapshot]) },
        "services": [{}],
    }));

    let send = |method: &str, path: &str, body: Value| {
        let answer = service.send(client(method, path, &body));
        assert_eq!(answer.status().as_u16(), 202, "{id}: {method} {path} {body}");
        serde_json::from_slice::<Value>(answer.body()).unwrap_or_default()
    };
    let report = |path: &str, status: &str| {
        send("POST", &format!("{path}/action"), json!({ "os-update_snapshot_status": { "status": status } }));
    };
    match event {
        Event::Clock => service.advance(10.0),
        Event::Bound => service.advance(100_000.0),
        Event::Report(status) => report(SNAPSHOT, status),
        Event::Reset(status) => {
            send("POST", &format!("{SNAPSHOT}/action"), json!({ "os-reset_status": { "status": status } }));
        }
        Event::Cascade => {
            send("DELETE", &format!("{VOLUME}?cascade=true"), Value::Null);
        }
        Event::Adopt(outcome) => {
            let new = json!({ "volume_id": "aaaaaaaa-0000-4000-8000-000000000001", "ref": "r" });
            let made = send("POST", "/v3/a1/os-snapshot-manage", json!({ "snapshot": new }));
            assert_eq!(made["snapshot"]["status"], before["status"], "{id}");
            match outcome {
                Some(status) => {
                    let made = made["snapshot"]["id"].as_str().expect("an id").to_owned();
                    report(&format!("/v3/a1/snapshots/{made}"), status);
                }
                None => service.advance(10.0),
            }
        }
    }

    let tick = service.send(operator("POST", "/_ops/tick", b""));
    assert!(tick.status().is_success(), "{id}");
    let state = service.state();
    let own = state["snapshots"].get(0);
    if after["deleted"] == json!(true) {
        assert_eq!(own, None, "{id}");
    } else {
        let own = own.unwrap_or_else(|| panic!("{id}: the snapshot is gone"));
        let status =
            NOT_STUCK.iter().find(|(own, _)| *own == id).map_or(after["status"].clone(), |(_, own)| json!(own));
        assert_eq!(own["status"], status, "{id}");
        if let Some(progress) = after.get("progress") {
            assert_eq!(own["progress"], *progress, "{id}");
        }
    }
    if let Some(status) = after.get("volume") {
        assert_eq!(state["volumes"][0]["status"], *status, "{id}");
    }
    // Quota is given back with the row, and not before. The volume keeps its own gigabyte.
    let answer = service.send(client("GET", "/v3/a1/os-quota-sets/a1?usage=true", &Value::Null));
    let quotas: Value = serde_json::from_slice(answer.body()).expect("JSON");
    let in_use = |resource: &str| quotas["quota_set"][resource]["in_use"].clone();
    if after["deleted"] == json!(true) {
        assert_eq!((in_use("snapshots"), in_use("gigabytes")), (json!(0), json!(1)), "{id}");
    } else if adopts {
        assert_eq!(in_use("snapshots"), json!(1), "{id}");
    }
}
