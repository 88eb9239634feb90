//! Every operation, stopped at each of its store calls: the process dies before or after the call, or the call fails
//! without or with its effect. In every case reads are right at once, a repeated request is answered, and two ticks
//! later no trace of the failure is left: a repair finds nothing wrong in the store (`docs/ARCHITECTURE.md`).
//!
//! A create that was not acknowledged may take quota, and count, until a tick has dropped it.

pub(crate) mod backups;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::support::Service;
use crate::support::calls::{Answer, Calls, id_of};
use crate::support::component::{ComponentService, START};
use crate::support::faults::{Fault, When};
use serde_json::{Value, json};
use volume_snapshots::domain::Timestamp;
use volume_snapshots_host::MemoryStore;

/// A volume with one snapshot without work under way, `SNAPSHOT`.
const VOLUME: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const SNAPSHOT: &str = "bbbbbbbb-0000-4000-8000-000000000001";
/// A snapshot of `VOLUME` whose creation is due two seconds after the start, and one whose removal is due at the start.
const CREATING: &str = "bbbbbbbb-0000-4000-8000-000000000002";
const REMOVED: &str = "bbbbbbbb-0000-4000-8000-000000000003";
/// A snapshot whose removal is due two seconds after the start.
const DELETING: &str = "bbbbbbbb-0000-4000-8000-000000000004";
/// A volume that is deleted with its two snapshots.
const DOOMED: &str = "aaaaaaaa-0000-4000-8000-000000000002";
const DOOMED_SNAPSHOTS: [&str; 2] = ["bbbbbbbb-0000-4000-8000-000000000005", "bbbbbbbb-0000-4000-8000-000000000006"];
/// The name of a snapshot whose work fails, which leaves one message.
const FAILS: &str = "fails";
/// A group with two volumes and a group snapshot of them, and a volume that may join the group.
const GROUP: &str = "dddddddd-0000-4000-8000-000000000001";
const GROUPED: [&str; 2] = ["aaaaaaaa-0000-4000-8000-000000000011", "aaaaaaaa-0000-4000-8000-000000000012"];
const LONE: &str = "aaaaaaaa-0000-4000-8000-000000000013";
const GROUP_SNAPSHOT: &str = "cccccccc-0000-4000-8000-0000000000f1";
const MEMBERS: [&str; 2] = ["bbbbbbbb-0000-4000-8000-000000000011", "bbbbbbbb-0000-4000-8000-000000000012"];
const GROUP_TYPE: &str = "ffffffff-0000-4000-8000-000000000001";
/// The prefix of the ids of snapshots that only make the listing long.
const FILLER: &str = "cccccccc";

fn time(seconds: u64) -> String {
    Timestamp::from_seconds(i64::try_from(START + seconds).expect("small")).to_string()
}

/// Returns the state in which every operation starts. The project has more snapshots than the head of a listing holds,
/// so that changes touch pages too.
fn scene(schedule: &str) -> Value {
    let pending = |completion: &str, due: u64| json!({ "completion": completion, "schedule": schedule, "due": time(due), "gives_up": time(due + 3600) });
    let snapshot = |id: &str, volume: &str, status: &str, pending: Value| {
        json!({ "id": id, "volume_id": volume, "project_id": "a1", "size": 2, "status": status, "pending": pending,
                "metadata": { "kept": "yes" } })
    };
    let free = |id: &str, volume: &str| snapshot(id, volume, "available", Value::Null);
    let mut snapshots = vec![
        free(SNAPSHOT, VOLUME),
        snapshot(CREATING, VOLUME, "creating", pending("create", 2)),
        snapshot(REMOVED, VOLUME, "deleting", pending("remove", 0)),
        snapshot(DELETING, VOLUME, "deleting", pending("remove", 2)),
    ];
    snapshots.extend(DOOMED_SNAPSHOTS.map(|id| free(id, DOOMED)));
    snapshots.extend((0..26).map(|number| free(&format!("{FILLER}-0000-4000-8000-{number:012}"), VOLUME)));
    json!({
        "volumes": [
            { "id": VOLUME, "project_id": "a1", "size": 2 },
            { "id": DOOMED, "project_id": "a1", "size": 2 },
        ],
        "snapshots": snapshots,
        "quotas": { "snapshots": -1, "gigabytes": -1 },
        "services": [{ "host": "host1@lvm" }],
    })
}

/// The outcome of an operation: the status of the answer, or 200 or 500 for a run of the schedule.
type Outcome = u16;

/// An operation under test.
struct Operation {
    /// The value of `progression`: whether the clock or an operator completes work.
    schedule: &'static str,
    /// Whether it creates a row.
    creates: bool,
    run: fn(&ComponentService) -> Outcome,
    /// The outcomes that a repeated request may have.
    repeated: &'static [Outcome],
    /// Checks the effect that an acknowledged run must have.
    acknowledged: fn(&ComponentService),
}

/// Returns the ways in which a call of the store can fail.
fn faults() -> [(&'static str, Fault); 4] {
    [
        ("killed before", Fault::KillBefore),
        ("killed after", Fault::KillAfter),
        ("failed before", Fault::ErrorBefore("disk I/O error".to_owned())),
        ("failed after", Fault::ErrorAfter("disk I/O error".to_owned())),
    ]
}

fn variables(operation: &Operation, cascade_at_once: &'static str) -> [(&'static str, &'static str); 2] {
    [
        ("cascade_at_once", cascade_at_once),
        ("progression", if operation.schedule == "told" { "manual" } else { "time" }),
    ]
}

/// Stops an operation at every store call in every way, and checks each case to its end.
fn stop_everywhere(operation: &Operation) {
    stop_everywhere_in(operation, &scene(operation.schedule), "1000");
}

/// Like [`stop_everywhere`], in another scene, and with another number of snapshots that a request deletes with their
/// volume.
fn stop_everywhere_in(operation: &Operation, scene: &Value, cascade_at_once: &'static str) {
    let (service, base) = ComponentService::with_memory(&variables(operation, cascade_at_once));
    service.put_state(scene);
    let mut cases = 0;
    for (fault_name, fault) in faults() {
        for call in 1.. {
            let store = Arc::new(base.fork());
            let service = ComponentService::on(store.clone(), &variables(operation, cascade_at_once));
            service.faults.plan(When::Call(call), fault.clone());
            let outcome = (operation.run)(&service);
            if service.faults.calls().len() < call {
                assert!(call > 1 && outcome < 300, "without a fault it must succeed: {outcome}");
                break;
            }
            let case = format!("{fault_name} call {call}, {:?}; outcome {outcome}", service.faults.calls()[call - 1]);
            let killed = fault_name.starts_with("killed");
            assert_eq!(service.app.traps(), u64::from(killed), "{case}");
            let expected: &[Outcome] = if killed { &[500] } else { &[200, 201, 202, 204, 500, 503] };
            assert!(expected.contains(&outcome), "{case}");
            cases += 1;

            for repeats in [false, true] {
                let case = format!("{case}{}", if repeats { ", repeated" } else { "" });
                let service = ComponentService::on(Arc::new(store.fork()), &variables(operation, cascade_at_once));
                // With groups, an operation creates two rows of a kind.
                let at_once = if scene["groups"].is_null() { 1 } else { 2 };
                let unfinished = if outcome >= 300 && operation.creates { at_once } else { 0 };
                if !repeats {
                    assert_reads_agree(&service, unfinished, &case);
                }
                if outcome < 300 {
                    (operation.acknowledged)(&service);
                }
                if repeats {
                    let outcome = (operation.run)(&service);
                    assert!(operation.repeated.contains(&outcome), "{case}: answered {outcome}");
                    assert_reads_agree(&service, unfinished, &case);
                }
                assert_converges(&service, operation, &case);
                assert_eq!(service.app.traps(), 0, "{case}");
            }
        }
    }
    println!("{cases} cases");
}

/// Checks that lists, counts, shows, and the operator's view have the same rows. Rows that only make the listing long
/// are not shown one by one, because that would take most of the time of these tests. Of the creates that were not
/// acknowledged, `unfinished` may be counted.
fn assert_reads_agree(service: &ComponentService, unfinished: usize, case: &str) {
    let state = service.state();
    assert_attachments_agree(service, &state, case);
    assert_groups_agree(service, &state, case);
    for (kind, one) in [("snapshots", "snapshot"), ("volumes", "volume"), ("backups", "backup")] {
        let path = format!("/v3/a1/{kind}");
        let listed: BTreeSet<String> = service.ids(&path).into_iter().collect();
        let detailed: BTreeMap<String, Value> =
            service.rows(&format!("{path}/detail")).into_iter().map(|row| (id_of(&row), row)).collect();
        let stored: BTreeSet<String> = state[kind].as_array().into_iter().flatten().map(id_of).collect();
        assert_eq!(listed, detailed.keys().cloned().collect(), "{case}: {kind}");
        assert_eq!(listed, stored, "{case}: {kind}");
        let uncounted = service.count(&path) - listed.len();
        assert!(uncounted <= unfinished, "{case}: the count of {kind}");
        for (id, row) in detailed.iter().filter(|(id, _)| !id.starts_with(FILLER)) {
            let shown = service.get(&format!("{path}/{id}"));
            assert_eq!((shown.status, &shown.body[one]), (200, row), "{case}: {id}");
        }
        if kind == "snapshots" {
            let available = detailed.values().filter(|row| row["status"] == "available").count();
            assert_eq!(service.ids(&format!("{path}?status=available")).len(), available, "{case}");
        }
    }
}

/// Checks that each attachment of a volume is listed and shown, and no other is. Returns the number of rows that lead to
/// attachments, those of reservations included.
fn assert_attachments_agree(service: &ComponentService, state: &Value, case: &str) -> usize {
    let stored: BTreeSet<String> = state["attachments"].as_array().into_iter().flatten().map(id_of).collect();
    let list = |query: &str| -> BTreeMap<String, Value> {
        let answer = service.get(&format!("/v3/a1/attachments/detail{query}"));
        assert_eq!(answer.status, 200, "{case}: {answer:?}");
        answer.body["attachments"].as_array().into_iter().flatten().map(|row| (id_of(row), row.clone())).collect()
    };
    let listed = list("");
    assert_eq!(listed.keys().cloned().collect::<BTreeSet<_>>(), stored, "{case}: attachments");
    for (id, row) in &listed {
        let shown = service.get(&format!("/v3/a1/attachments/{id}"));
        assert_eq!((shown.status, &shown.body["attachment"]), (200, row), "{case}: {id}");
    }
    let volumes = state["volumes"].as_array().cloned().unwrap_or_default();
    let of_volumes = volumes.iter().flat_map(|volume| list(&format!("?volume_id={}", id_of(volume))));
    assert_eq!(of_volumes.collect::<BTreeMap<_, _>>(), listed, "{case}: attachments by volume");
    stored.len() + volumes.iter().filter(|volume| !volume["next_attachment"].is_null()).count()
}

/// Checks that groups and group snapshots are listed and shown alike.
fn assert_groups_agree(service: &ComponentService, state: &Value, case: &str) {
    for (kind, one) in [("groups", "group"), ("group_snapshots", "group_snapshot")] {
        let rows = |path: String| -> Vec<Value> {
            let answer = service.call("GET", &path, &Value::Null);
            assert_eq!(answer.status, 200, "{case}: {answer:?}");
            answer.body[kind].as_array().cloned().unwrap_or_default()
        };
        let stored: BTreeSet<String> = state[kind].as_array().into_iter().flatten().map(id_of).collect();
        let listed: BTreeSet<String> = rows(format!("/v3/a1/{kind}")).iter().map(id_of).collect();
        assert_eq!(listed, stored, "{case}: {kind}");
        for row in rows(format!("/v3/a1/{kind}/detail")) {
            let shown = service.call("GET", &format!("/v3/a1/{kind}/{}", id_of(&row)), &Value::Null);
            assert_eq!((shown.status, &shown.body[one]), (200, &row), "{case}: {kind}");
        }
    }
}

/// Checks that groups and group snapshots agree with their members, once all work has ended.
fn assert_members_agree(state: &Value, case: &str) {
    let rows = |kind: &str| state[kind].as_array().cloned().unwrap_or_default();
    let (groups, group_snapshots) = (rows("groups"), rows("group_snapshots"));
    for row in groups.iter().chain(&group_snapshots) {
        let status = row["status"].as_str().unwrap_or_default();
        assert!(["available", "error"].contains(&status) && row["pending"].is_null(), "{case}: {row}");
    }
    let ids = |rows: &[Value]| rows.iter().map(id_of).collect::<BTreeSet<String>>();
    for volume in rows("volumes").iter().filter_map(|volume| volume["group_id"].as_str()) {
        assert!(ids(&groups).contains(volume), "{case}: a volume of no group");
    }
    for snapshot in rows("snapshots").iter().filter_map(|row| row["group_snapshot_id"].as_str()) {
        assert!(ids(&group_snapshots).contains(snapshot), "{case}: a member of no group snapshot");
    }
    for row in &group_snapshots {
        let snapshots = rows("snapshots");
        let members: Vec<&Value> = snapshots.iter().filter(|own| own["group_snapshot_id"] == row["id"]).collect();
        assert_eq!(members.len(), 2, "{case}: {row}");
        let failed = members.iter().any(|member| member["status"] == "error");
        assert_eq!(row["status"] == "error", failed, "{case}: {row} {members:?}");
        assert!(
            ids(&groups).contains(row["group_id"].as_str().unwrap_or_default()),
            "{case}: {row} outlives its group"
        );
    }
    for group in &groups {
        // A group that was created from another has as many volumes.
        let volumes = rows("volumes").iter().filter(|volume| volume["group_id"] == group["id"]).count();
        let has_source = !group["source_group_id"].is_null() || !group["group_snapshot_id"].is_null();
        assert!(!has_source || volumes == 2, "{case}: {group} with {volumes} volumes");
    }
}

/// Checks that some time and two ticks later all work is settled, counted, and durable, and a further tick has nothing
/// to do.
fn assert_converges(service: &ComponentService, operation: &Operation, case: &str) {
    let tick = || {
        if operation.schedule == "told" {
            let answer = service.operate("POST", "/_ops/tick", &json!({ "now": time(10) }));
            assert_eq!(answer.status, 200, "{case}: {answer:?}");
        } else {
            service.tick().unwrap_or_else(|error| panic!("{case}: {error}"));
        }
    };
    // The third tick only forgets the items of rows that the second one has removed.
    for seconds in [10.0, 3.0, 0.0] {
        service.advance(seconds);
        tick();
    }
    let before = service.state();
    let fails = |kind: &str| before[kind].as_array().into_iter().flatten().any(|row| row["name"] == FAILS);
    if fails("snapshots") || fails("backups") {
        // A failure must last before its message is left, and then the message's own item is forgotten.
        for _ in 0..3 {
            service.advance(6.0);
            tick();
        }
    }
    assert_reads_agree(service, 0, case);
    let state = service.state();
    let rows = |kind: &str| state[kind].as_array().cloned().unwrap_or_default();
    for row in rows("snapshots").iter().chain(&rows("volumes")).chain(&rows("backups")) {
        let status = row["status"].as_str().unwrap_or_default();
        assert!(!TRANSIENT.contains(&status) && row["pending"].is_null(), "{case}: {row}");
    }
    for failed in rows("snapshots").iter().chain(&rows("backups")).filter(|row| row["name"] == FAILS) {
        let of_row = |message: &&Value| message["resource_uuid"] == failed["id"];
        assert_eq!(rows("messages").iter().filter(of_row).count(), 1, "{case}: one message for one failure");
    }
    for (resource, usage) in state["quota_usage"]["a1"].as_object().into_iter().flatten() {
        assert_eq!(usage["in_use"], counted(&rows, resource), "{case}: {resource}");
        assert_eq!(usage["reserved"], 0, "{case}: {resource}");
    }
    let volumes: BTreeSet<String> = rows("volumes").iter().map(id_of).collect();
    for snapshot in rows("snapshots") {
        let volume = snapshot["volume_id"].as_str().unwrap_or_default();
        assert!(volumes.contains(volume), "{case}: {} outlives its volume", snapshot["id"]);
    }
    backups::assert_chains(&rows("backups"), case);
    assert_members_agree(&state, case);
    service.faults.reset();
    tick();
    assert_eq!(service.faults.commits(), 0, "{case}: {:?}", service.faults.calls());

    // The announcement of a killed delete is forgotten after a minute.
    service.advance(120.0);
    service.tick().unwrap_or_else(|error| panic!("{case}: {error}"));
    let (calls, commits) = service.cost_of_tick();
    assert!(calls <= 3 && commits == 0, "{case}: {calls} calls, {commits} commits");
    assert_eq!(service.state(), state, "{case}: an idle tick changes nothing");

    let report = service.operate("POST", "/_ops/repair", &Value::Null);
    let others =
        ["messages", "backups", "groups", "group_snapshots"].map(|kind| rows(kind).len()).iter().sum::<usize>();
    let count =
        rows("snapshots").len() + rows("volumes").len() + others + assert_attachments_agree(service, &state, case);
    assert_eq!(report.body["rows"], count, "{case}: every stored row is listed");
    for wrong in ["entries_without_row", "rows_without_entry", "counters", "rows_without_agenda"] {
        assert_eq!(report.body[wrong], 0, "{case}: {report:?}");
    }
}

/// The statuses that work under way ends.
const TRANSIENT: [&str; 6] = ["creating", "deleting", "extending", "backing-up", "restoring", "restoring-backup"];

/// Returns the usage of a resource by the rows of each kind.
fn counted(rows: &dyn Fn(&str) -> Vec<Value>, resource: &str) -> u64 {
    let (snapshots, volumes, backups) = (rows("snapshots"), rows("volumes"), rows("backups"));
    let size = |rows: &[Value]| rows.iter().filter_map(|row| row["size"].as_u64()).sum::<u64>();
    let number = |rows: &[Value]| rows.len() as u64;
    let all_have_one_type = snapshots.iter().chain(&volumes).all(|row| row["volume_type"] == "__DEFAULT__");
    assert!(all_have_one_type, "so the counters of the type are those of all");
    match resource.strip_suffix("___DEFAULT__").unwrap_or(resource) {
        "snapshots" => number(&snapshots),
        "volumes" => number(&volumes),
        "gigabytes" => size(&snapshots) + size(&volumes),
        "backups" => number(&backups),
        "groups" => number(&rows("groups")),
        "backup_gigabytes" => size(&backups),
        other => panic!("an unknown counter: {other}"),
    }
}

fn outcome(answer: &Answer) -> Outcome {
    answer.status
}

fn snapshot_status(service: &ComponentService, id: &str) -> Option<String> {
    service.status_of(&format!("/v3/a1/snapshots/{id}"))
}

#[test]
fn a_create_of_a_snapshot_may_stop_anywhere() {
    stop_everywhere(&Operation {
        schedule: "clock",
        creates: true,
        run: |service| outcome(&service.ask_for_snapshot("/v3/a1", VOLUME)),
        repeated: &[202],
        acknowledged: |service| {
            // The scene has 31 visible snapshots, without the one whose removal is due.
            assert_eq!(service.ids("/v3/a1/snapshots").len(), 32);
        },
    });
}

#[test]
fn a_delete_of_a_snapshot_may_stop_anywhere() {
    stop_everywhere(&Operation {
        schedule: "clock",
        creates: false,
        run: |service| outcome(&service.delete(&format!("/v3/a1/snapshots/{SNAPSHOT}"))),
        // Once it is deleting, a second delete is refused, as in Cinder.
        repeated: &[202, 400],
        acknowledged: |service| {
            assert_eq!(snapshot_status(service, SNAPSHOT).as_deref(), Some("deleting"));
        },
    });
}

#[test]
fn a_change_of_a_service_may_stop_anywhere() {
    stop_everywhere(&Operation {
        schedule: "clock",
        creates: false,
        run: |service| {
            let body = json!({ "host": "host1@lvm", "binary": "cinder-volume", "disabled_reason": "why" });
            outcome(&service.call("PUT", "/v3/a1/os-services/disable-log-reason", &body))
        },
        repeated: &[200],
        acknowledged: |service| {
            let services = service.get("/v3/a1/os-services?binary=cinder-volume").body;
            assert_eq!(services["services"][0]["disabled_reason"], "why");
        },
    });
}

/// A type without volumes.
const TYPE: &str = "eeeeeeee-0000-4000-8000-000000000001";

/// Stops an operation on volume types everywhere.
fn stop_with_type(operation: &Operation) {
    let mut scene = scene(operation.schedule);
    scene["volume_types"] = json!([{ "extra_specs": { "k": "v" } }]);
    stop_everywhere_in(operation, &scene, "1000");
}

fn shown_type(service: &ComponentService) -> Value {
    service.get(&format!("/v3/a1/types/{TYPE}")).body["volume_type"].clone()
}

#[test]
fn the_creation_of_a_volume_type_may_stop_anywhere() {
    let operation = Operation {
        schedule: "clock",
        creates: false,
        run: |service| outcome(&service.call("POST", "/v3/a1/types", &json!({ "volume_type": { "name": "new" } }))),
        repeated: &[200, 409],
        acknowledged: |service| {
            let types = service.get("/v3/a1/types").body["volume_types"].clone();
            assert_eq!(types[0]["name"], "new", "{types}");
        },
    };
    // The value of the types may be there, or be made by this request.
    stop_with_type(&operation);
    let (service, _) = ComponentService::with_memory(&[]);
    assert_eq!((operation.run)(&service), 200);
    (operation.acknowledged)(&service);
}

#[test]
fn a_change_of_a_volume_type_may_stop_anywhere() {
    stop_with_type(&Operation {
        schedule: "clock",
        creates: false,
        run: |service| {
            let body = json!({ "volume_type": { "name": "renamed" } });
            outcome(&service.call("PUT", &format!("/v3/a1/types/{TYPE}"), &body))
        },
        repeated: &[200],
        acknowledged: |service| assert_eq!(shown_type(service)["name"], "renamed"),
    });
}

#[test]
fn a_change_of_extra_specs_may_stop_anywhere() {
    stop_with_type(&Operation {
        schedule: "clock",
        creates: false,
        run: |service| {
            outcome(&service.call("PUT", &format!("/v3/a1/types/{TYPE}/extra_specs/k"), &json!({ "k": "w" })))
        },
        repeated: &[200],
        acknowledged: |service| assert_eq!(shown_type(service)["extra_specs"], json!({ "k": "w" })),
    });
}

#[test]
fn the_deletion_of_an_extra_spec_may_stop_anywhere() {
    stop_with_type(&Operation {
        schedule: "clock",
        creates: false,
        run: |service| outcome(&service.delete(&format!("/v3/a1/types/{TYPE}/extra_specs/k"))),
        repeated: &[202, 404],
        acknowledged: |service| assert_eq!(shown_type(service)["extra_specs"], json!({})),
    });
}

#[test]
fn a_change_of_access_may_stop_anywhere() {
    let operation = Operation {
        schedule: "clock",
        creates: false,
        run: |service| {
            let body = json!({ "addProjectAccess": { "project": "b2" } });
            outcome(&service.call("POST", &format!("/v3/a1/types/{TYPE}/action"), &body))
        },
        repeated: &[202, 409],
        acknowledged: |service| {
            let access = service.get(&format!("/v3/a1/types/{TYPE}/os-volume-type-access")).body;
            assert_eq!(access["volume_type_access"][0]["project_id"], "b2");
        },
    };
    let mut scene = scene(operation.schedule);
    scene["volume_types"] = json!([{ "is_public": false }]);
    stop_everywhere_in(&operation, &scene, "1000");
}

#[test]
fn the_deletion_of_a_volume_type_may_stop_anywhere() {
    stop_with_type(&Operation {
        schedule: "clock",
        creates: false,
        run: |service| outcome(&service.delete(&format!("/v3/a1/types/{TYPE}"))),
        repeated: &[202, 404],
        acknowledged: |service| assert!(shown_type(service).is_null()),
    });
}

/// Returns the scene in which the creation of `CREATING` fails, and leaves a message.
fn failing_scene(schedule: &str, gives_up: u64) -> Value {
    let mut scene = scene(schedule);
    let snapshot = &mut scene["snapshots"][1];
    assert_eq!(snapshot["id"], CREATING);
    snapshot["name"] = json!(FAILS);
    snapshot["pending"]["gives_up"] = json!(time(gives_up));
    snapshot["pending"]["request_id"] = json!("12345678-0000-4000-8000-000000000001");
    scene
}

#[test]
fn a_report_of_a_failure_may_stop_anywhere() {
    let operation = Operation {
        schedule: "told",
        creates: false,
        run: |service| {
            let path = format!("/v3/a1/snapshots/{CREATING}/action");
            outcome(&service.call("POST", &path, &json!({ "os-update_snapshot_status": { "status": "error" } })))
        },
        // Once it has failed, a second report is refused, as in Cinder.
        repeated: &[202, 400],
        acknowledged: |service| assert_eq!(snapshot_status(service, CREATING).as_deref(), Some("error")),
    };
    // If the report does not arrive, the work is given up, which is the same failure.
    stop_everywhere_in(&operation, &failing_scene("told", 3), "1000");
}

#[test]
fn a_run_that_leaves_a_message_may_stop_anywhere() {
    let operation = Operation {
        schedule: "told",
        creates: false,
        run: |service| {
            service.advance(4.0);
            let first = service.tick();
            service.advance(5.0);
            if first.and_then(|()| service.tick()).is_ok() { 200 } else { 500 }
        },
        repeated: &[200],
        acknowledged: |service| {
            assert_eq!(snapshot_status(service, CREATING).as_deref(), Some("error"));
            assert_eq!(service.state()["messages"].as_array().map(Vec::len), Some(1));
        },
    };
    stop_everywhere_in(&operation, &failing_scene("told", 3), "1000");
}

#[test]
fn a_delete_of_a_message_may_stop_anywhere() {
    let message = "3e550000-0000-4000-8000-000000000001";
    let mut scene = scene("clock");
    scene["messages"] = json!([{ "id": message, "project_id": "a1" }]);
    let operation = Operation {
        schedule: "clock",
        creates: false,
        run: |service| outcome(&service.delete("/v3/a1/messages/3e550000-0000-4000-8000-000000000001")),
        // Once it is gone, it is not found.
        repeated: &[204, 404],
        acknowledged: |service| assert_eq!(service.state()["messages"], json!([])),
    };
    stop_everywhere_in(&operation, &scene, "1000");
}

#[test]
fn a_merge_of_metadata_may_stop_anywhere() {
    stop_everywhere(&Operation {
        schedule: "clock",
        creates: false,
        run: |service| {
            let path = format!("/v3/a1/snapshots/{SNAPSHOT}/metadata");
            let answer = service.call("POST", &path, &json!({ "metadata": { "new": "item" } }));
            if answer.status == 200 {
                assert_eq!(answer.body["metadata"], json!({ "kept": "yes", "new": "item" }));
            }
            outcome(&answer)
        },
        repeated: &[200],
        acknowledged: |service| {
            let shown = service.get(&format!("/v3/a1/snapshots/{SNAPSHOT}/metadata"));
            assert_eq!(shown.body["metadata"], json!({ "kept": "yes", "new": "item" }));
        },
    });
}

#[test]
fn a_reset_of_a_status_may_stop_anywhere() {
    stop_everywhere(&Operation {
        schedule: "clock",
        creates: false,
        run: |service| {
            let path = format!("/v3/a1/snapshots/{CREATING}/action");
            outcome(&service.call("POST", &path, &json!({ "os-reset_status": { "status": "error" } })))
        },
        repeated: &[202],
        acknowledged: |service| assert_eq!(snapshot_status(service, CREATING).as_deref(), Some("error")),
    });
}

/// A write to the row of `SNAPSHOT` that leaves it in the given status.
struct RowWrite {
    run: fn(&ComponentService) -> Outcome,
    repeated: &'static [Outcome],
    acknowledged: fn(&ComponentService),
}

fn shown(service: &ComponentService) -> Value {
    service.get(&format!("/v3/a1/snapshots/{SNAPSHOT}")).body["snapshot"].clone()
}

fn send(service: &ComponentService, method: &str, below: &str, body: &Value) -> Outcome {
    outcome(&service.call(method, &format!("/v3/a1/snapshots/{SNAPSHOT}{below}"), body))
}

/// Tests every other operation that writes a row of a snapshot.
#[test]
fn every_write_to_the_row_of_a_snapshot_may_stop_anywhere() {
    let writes = [
        RowWrite {
            run: |service| send(service, "PUT", "", &json!({ "snapshot": { "name": "renamed" } })),
            repeated: &[200],
            acknowledged: |service| assert_eq!(shown(service)["name"], "renamed"),
        },
        RowWrite {
            run: |service| send(service, "PUT", "/metadata", &json!({ "metadata": { "only": "this" } })),
            repeated: &[200],
            acknowledged: |service| assert_eq!(shown(service)["metadata"], json!({ "only": "this" })),
        },
        RowWrite {
            run: |service| send(service, "PUT", "/metadata/key", &json!({ "meta": { "key": "value" } })),
            repeated: &[200],
            acknowledged: |service| assert_eq!(shown(service)["metadata"]["key"], "value"),
        },
        RowWrite {
            run: |service| send(service, "DELETE", "/metadata/kept", &Value::Null),
            repeated: &[200, 404],
            acknowledged: |service| assert_eq!(shown(service)["metadata"], json!({})),
        },
        RowWrite {
            run: |service| send(service, "POST", "/action", &json!({ "os-force_delete": null })),
            repeated: &[202],
            acknowledged: |service| assert_eq!(snapshot_status(service, SNAPSHOT).as_deref(), Some("deleting")),
        },
        RowWrite {
            run: |service| send(service, "POST", "/action", &json!({ "os-unmanage": null })),
            repeated: &[202, 400],
            acknowledged: |service| assert_eq!(snapshot_status(service, SNAPSHOT).as_deref(), Some("unmanaging")),
        },
        RowWrite {
            run: |service| {
                let report = json!({ "os-update_snapshot_status": { "status": "error" } });
                outcome(&service.call("POST", &format!("/v3/a1/snapshots/{CREATING}/action"), &report))
            },
            repeated: &[202, 400],
            acknowledged: |service| assert_eq!(snapshot_status(service, CREATING).as_deref(), Some("error")),
        },
    ];
    for RowWrite { run, repeated, acknowledged } in writes {
        stop_everywhere(&Operation { schedule: "clock", creates: false, run, repeated, acknowledged });
    }
}

/// Tests the operations that adopt a snapshot, change a volume, or set a limit.
#[test]
fn every_other_write_may_stop_anywhere() {
    let operations = [
        Operation {
            schedule: "clock",
            creates: true,
            run: |service| {
                let body = json!({ "snapshot": { "volume_id": VOLUME, "ref": { "source-name": "theirs" } } });
                outcome(&service.call("POST", "/v3/a1/manageable_snapshots", &body))
            },
            repeated: &[202],
            acknowledged: |service| assert_eq!(service.ids("/v3/a1/snapshots").len(), 32),
        },
        Operation {
            schedule: "clock",
            creates: false,
            run: |service| {
                let body = json!({ "volume": { "name": "renamed" } });
                outcome(&service.call("PUT", &format!("/v3/a1/volumes/{DOOMED}"), &body))
            },
            repeated: &[200],
            acknowledged: |service| {
                let shown = service.get(&format!("/v3/a1/volumes/{DOOMED}"));
                assert_eq!(shown.body["volume"]["name"], "renamed");
            },
        },
        Operation {
            schedule: "clock",
            creates: false,
            run: |service| {
                let body = json!({ "os-reset_status": { "status": "error" } });
                outcome(&service.call("POST", &format!("/v3/a1/volumes/{DOOMED}/action"), &body))
            },
            repeated: &[202],
            acknowledged: |service| {
                assert_eq!(service.status_of(&format!("/v3/a1/volumes/{DOOMED}")).as_deref(), Some("error"));
            },
        },
        Operation {
            schedule: "clock",
            creates: false,
            run: |service| {
                let body = json!({ "quota_set": { "snapshots": 77 } });
                outcome(&service.call("PUT", "/v3/a1/os-quota-sets/a1", &body))
            },
            repeated: &[200],
            acknowledged: |service| {
                assert_eq!(service.get("/v3/a1/os-quota-sets/a1").body["quota_set"]["snapshots"], 77);
            },
        },
        Operation {
            schedule: "clock",
            creates: false,
            run: |service| outcome(&service.operate("POST", "/_ops/repair", &Value::Null)),
            repeated: &[200],
            acknowledged: |service| assert_eq!(service.ids("/v3/a1/snapshots").len(), 31),
        },
    ];
    for operation in &operations {
        stop_everywhere(operation);
    }
}

fn act_on_volume(service: &ComponentService, body: &Value) -> Outcome {
    outcome(&service.call("POST", &format!("/v3/a1/volumes/{VOLUME}/action"), body))
}

fn volume_in_state(service: &ComponentService) -> Value {
    let state = service.state();
    let own = state["volumes"].as_array().into_iter().flatten().find(|volume| volume["id"] == VOLUME);
    own.cloned().expect("the volume")
}

/// Returns a scene in which the volume is being extended from 2 GiB to 5 GiB.
fn scene_of_extension(schedule: &str, due: u64) -> Value {
    let mut scene = scene(schedule);
    for number in [0, 1] {
        scene["volumes"][number]["status"] = json!("extending");
        scene["volumes"][number]["previous_status"] = json!("available");
        scene["volumes"][number]["new_size"] = json!(5);
        scene["volumes"][number]["pending"] =
            json!({ "completion": "extend", "schedule": schedule, "due": time(due), "gives_up": time(due + 3600) });
    }
    scene
}

#[test]
fn an_extension_of_a_volume_may_stop_anywhere() {
    for schedule in ["clock", "told"] {
        stop_everywhere(&Operation {
            schedule,
            creates: false,
            run: |service| act_on_volume(service, &json!({ "os-extend": { "new_size": 5 } })),
            // The reservation of a request that was stopped stays until a tick has looked.
            repeated: &[202, 400, 503],
            acknowledged: |service| {
                let volume = volume_in_state(service);
                assert_eq!((&volume["status"], &volume["new_size"]), (&json!("extending"), &json!(5)));
            },
        });
    }
}

#[test]
fn an_extension_of_an_extended_volume_may_stop_anywhere() {
    let operation = Operation {
        schedule: "clock",
        creates: false,
        run: |service| act_on_volume(service, &json!({ "os-extend": { "new_size": 6 } })),
        repeated: &[202, 400, 503],
        acknowledged: |service| assert_eq!(volume_in_state(service)["new_size"], 6),
    };
    stop_everywhere_in(&operation, &scene_of_extension("clock", 0), "1000");
}

#[test]
fn a_refused_extension_may_stop_anywhere() {
    let mut scene = scene("clock");
    scene["quotas"]["gigabytes"] = json!(70);
    let operation = Operation {
        schedule: "clock",
        creates: false,
        run: |service| match act_on_volume(service, &json!({ "os-extend": { "new_size": 500 } })) {
            413 => 200,
            outcome => outcome,
        },
        repeated: &[200],
        acknowledged: |service| assert_eq!(volume_in_state(service)["previous_status"], "available"),
    };
    stop_everywhere_in(&operation, &scene, "1000");
}

#[test]
fn a_report_of_an_extension_may_stop_anywhere() {
    let operation = Operation {
        schedule: "told",
        creates: false,
        run: |service| act_on_volume(service, &json!({ "os-extend_volume_completion": {} })),
        repeated: &[202, 400],
        acknowledged: |service| assert_eq!(volume_in_state(service)["pending"]["schedule"], "clock"),
    };
    stop_everywhere_in(&operation, &scene_of_extension("told", 2), "1000");
}

#[test]
fn a_tick_of_an_ended_extension_may_stop_anywhere() {
    let operation = Operation {
        schedule: "clock",
        creates: false,
        run: |service| if service.tick().is_ok() { 200 } else { 500 },
        repeated: &[200],
        acknowledged: |service| assert_eq!(volume_in_state(service)["size"], 5),
    };
    stop_everywhere_in(&operation, &scene_of_extension("clock", 0), "1000");
}

#[test]
fn a_delete_of_an_extended_volume_may_stop_anywhere() {
    let operation = Operation {
        schedule: "clock",
        creates: false,
        run: |service| outcome(&service.delete(&format!("/v3/a1/volumes/{DOOMED}?cascade=true"))),
        repeated: &[202, 400],
        acknowledged: |service| {
            assert_eq!(service.status_of(&format!("/v3/a1/volumes/{DOOMED}")).as_deref(), Some("deleting"));
        },
    };
    stop_everywhere_in(&operation, &scene_of_extension("clock", 0), "1000");
}

/// Tests the actions that write a flag of a volume or the metadata of its image.
#[test]
fn every_write_to_the_row_of_a_volume_may_stop_anywhere() {
    let writes = [
        RowWrite {
            run: |service| act_on_volume(service, &json!({ "os-set_bootable": { "bootable": true } })),
            repeated: &[200],
            acknowledged: |service| assert_eq!(volume_in_state(service)["bootable"], true),
        },
        RowWrite {
            run: |service| act_on_volume(service, &json!({ "os-update_readonly_flag": { "readonly": true } })),
            repeated: &[202],
            acknowledged: |service| {
                assert_eq!(volume_in_state(service)["admin_metadata"], json!({ "readonly": "True" }));
            },
        },
        RowWrite {
            run: |service| act_on_volume(service, &json!({ "os-set_image_metadata": { "metadata": { "k": "v" } } })),
            repeated: &[200],
            acknowledged: |service| assert_eq!(volume_in_state(service)["image_metadata"], json!({ "k": "v" })),
        },
        RowWrite {
            run: |service| {
                let set = act_on_volume(service, &json!({ "os-set_image_metadata": { "metadata": { "k": "v" } } }));
                if set < 300 {
                    act_on_volume(service, &json!({ "os-unset_image_metadata": { "key": "k" } }))
                } else {
                    set
                }
            },
            repeated: &[200],
            acknowledged: |service| assert_eq!(volume_in_state(service)["image_metadata"], Value::Null),
        },
    ];
    for RowWrite { run, repeated, acknowledged } in writes {
        stop_everywhere(&Operation { schedule: "clock", creates: false, run, repeated, acknowledged });
    }
}

#[test]
fn a_create_of_a_volume_may_stop_anywhere() {
    stop_everywhere(&Operation {
        schedule: "clock",
        creates: true,
        run: |service| outcome(&service.call("POST", "/v3/a1/volumes", &json!({ "volume": { "size": 1 } }))),
        repeated: &[202],
        acknowledged: |service| assert_eq!(service.ids("/v3/a1/volumes").len(), 3),
    });
}

#[test]
fn a_clone_of_a_volume_may_stop_anywhere() {
    stop_everywhere(&Operation {
        schedule: "clock",
        creates: true,
        run: |service| {
            let body = json!({ "volume": { "source_volid": VOLUME } });
            outcome(&service.call("POST", "/v3/a1/volumes", &body))
        },
        repeated: &[202],
        acknowledged: |service| assert_eq!(service.ids("/v3/a1/volumes").len(), 3),
    });
}

#[test]
fn a_cascading_delete_of_a_volume_may_stop_anywhere() {
    stop_everywhere(&Operation {
        schedule: "clock",
        creates: false,
        run: |service| outcome(&service.delete(&format!("/v3/a1/volumes/{DOOMED}?cascade=true"))),
        repeated: &[202, 400],
        acknowledged: |service| {
            assert_eq!(service.status_of(&format!("/v3/a1/volumes/{DOOMED}")).as_deref(), Some("deleting"));
            for id in DOOMED_SNAPSHOTS {
                assert_eq!(snapshot_status(service, id).as_deref(), Some("deleting"));
            }
        },
    });
}

/// The volume has more snapshots than the request deletes, so the tick deletes them.
#[test]
fn a_cascading_delete_that_the_tick_carries_on_may_stop_anywhere() {
    let operation = Operation {
        schedule: "clock",
        creates: false,
        run: |service| outcome(&service.delete(&format!("/v3/a1/volumes/{DOOMED}?cascade=true"))),
        repeated: &[202, 400],
        acknowledged: |service| {
            assert_eq!(service.status_of(&format!("/v3/a1/volumes/{DOOMED}")).as_deref(), Some("deleting"));
        },
    };
    stop_everywhere_in(&operation, &scene("clock"), "1");
}

#[test]
fn a_tick_of_a_cascade_may_stop_anywhere() {
    let mut scene = scene("clock");
    scene["volumes"][1]["status"] = json!("deleting");
    scene["volumes"][1]["pending"] =
        json!({ "completion": "cascade", "schedule": "clock", "due": time(0), "gives_up": time(3600) });
    let operation = Operation {
        schedule: "clock",
        creates: false,
        run: |service| if service.tick().is_ok() { 200 } else { 500 },
        repeated: &[200],
        acknowledged: |service| {
            assert_eq!(service.status_of(&format!("/v3/a1/volumes/{DOOMED}")), None);
            for id in DOOMED_SNAPSHOTS {
                assert_eq!(snapshot_status(service, id), None);
            }
        },
    };
    stop_everywhere_in(&operation, &scene, "1");
}

#[test]
fn a_tick_may_stop_anywhere() {
    stop_everywhere(&Operation {
        schedule: "clock",
        creates: false,
        run: |service| if service.tick().is_ok() { 200 } else { 500 },
        repeated: &[200],
        acknowledged: |service| assert_eq!(snapshot_status(service, REMOVED), None),
    });
}

/// Runs a tick of an operator. Its clock is ahead of that of readers, so it completes work that they still see under
/// way.
fn operators_tick(service: &ComponentService) -> Outcome {
    outcome(&service.operate("POST", "/_ops/tick", &json!({ "now": time(10) })))
}

fn operators_tick_is_done(service: &ComponentService) {
    assert_eq!(snapshot_status(service, CREATING).as_deref(), Some("available"));
    for id in [REMOVED, DELETING] {
        assert_eq!(snapshot_status(service, id), None);
    }
}

#[test]
fn an_operators_tick_may_stop_anywhere() {
    for schedule in ["clock", "told"] {
        stop_everywhere(&Operation {
            schedule,
            creates: false,
            run: operators_tick,
            repeated: &[200],
            acknowledged: operators_tick_is_done,
        });
    }
}

/// A project without a record takes another path: the claim, the directory of projects, and the record.
#[test]
fn the_first_volume_of_a_project_may_stop_anywhere() {
    for (fault_name, fault) in faults() {
        for call in 1.. {
            let store = Arc::new(MemoryStore::new());
            let service = ComponentService::on(store.clone(), &[]);
            service.faults.plan(When::Call(call), fault.clone());
            let first = service.call("POST", "/v3/a1/volumes", &json!({ "volume": { "size": 1 } })).status;
            if service.faults.calls().len() < call {
                break;
            }
            let case = format!("{fault_name} call {call}, {:?}; outcome {first}", service.faults.calls()[call - 1]);
            let service = ComponentService::on(store, &[]);
            assert_reads_agree(&service, usize::from(first != 202), &case);
            let again = service.call("POST", "/v3/a1/volumes", &json!({ "volume": { "size": 1 } }));
            assert_eq!(again.status, 202, "{case}: {again:?}");
            let count = service.ids("/v3/a1/volumes").len();
            assert!(count == 2 || (count == 1 && first != 202), "{case}: {count} volumes");
            for seconds in [10.0, 3.0] {
                service.advance(seconds);
                service.tick().unwrap_or_else(|error| panic!("{case}: {error}"));
            }
            assert_eq!(service.in_use("volumes"), count, "{case}");
            assert_reads_agree(&service, 0, &case);
        }
    }
}

/// A volume that is free, one that is reserved for `os-attach`, and one in use.
const FREE: &str = "aaaaaaaa-0000-4000-8000-000000000003";
const RESERVED: &str = "aaaaaaaa-0000-4000-8000-000000000004";
const USED: &str = "aaaaaaaa-0000-4000-8000-000000000005";
/// A volume that was attached in vain, which does not keep it from being deleted.
const FAILED: &str = "aaaaaaaa-0000-4000-8000-000000000006";
const ATTACHMENT: &str = "a77ac4ed-0000-4000-8000-000000000001";

/// Returns a state with volumes in use.
fn scene_of_uses() -> Value {
    let next = json!({ "id": "a77ac4ed-0000-4000-8000-000000000003", "created_at": time(0) });
    let volume = |id: &str, status: &str, attach_status: &str| json!({ "id": id, "project_id": "a1", "status": status, "attach_status": attach_status });
    let mut reserved = volume(RESERVED, "attaching", "detached");
    reserved["next_attachment"] = next;
    json!({
        "volumes": [
            volume(FREE, "available", "detached"),
            reserved,
            volume(USED, "in-use", "attached"),
            volume(FAILED, "error", "detached"),
        ],
        "attachments": [
            { "id": ATTACHMENT, "volume_id": USED },
            { "id": "a77ac4ed-0000-4000-8000-000000000002", "volume_id": FAILED, "attach_status": "error_attaching" },
        ],
        "services": [{ "host": "host1@lvm" }],
    })
}

/// Sends an action on a volume.
fn act(service: &ComponentService, volume: &str, action: &Value) -> Outcome {
    outcome(&service.call("POST", &format!("/v3/a1/volumes/{volume}/action"), action))
}

fn is_in_status(service: &ComponentService, volume: &str, status: &str) {
    assert_eq!(service.status_of(&format!("/v3/a1/volumes/{volume}")).as_deref(), Some(status));
}

fn status_of_attachment(service: &ComponentService) -> Value {
    service.get(&format!("/v3/a1/attachments/{ATTACHMENT}")).body["attachment"]["status"].clone()
}

fn attach() -> Value {
    json!({ "os-attach": { "instance_uuid": "11110000-0000-4000-8000-000000000009", "mountpoint": "/dev/vdc" } })
}

fn stop_uses_everywhere(writes: &[RowWrite]) {
    for RowWrite { run, repeated, acknowledged } in writes {
        let (run, repeated, acknowledged) = (*run, *repeated, *acknowledged);
        let operation = Operation { schedule: "clock", creates: false, run, repeated, acknowledged };
        stop_everywhere_in(&operation, &scene_of_uses(), "1000");
    }
}

#[test]
fn every_action_that_puts_a_volume_in_use_may_stop_anywhere() {
    stop_uses_everywhere(&[
        RowWrite {
            run: |service| act(service, FREE, &json!({ "os-reserve": null })),
            repeated: &[202, 400],
            acknowledged: |service| is_in_status(service, FREE, "attaching"),
        },
        RowWrite {
            run: |service| act(service, RESERVED, &json!({ "os-unreserve": null })),
            repeated: &[202],
            acknowledged: |service| is_in_status(service, RESERVED, "available"),
        },
        RowWrite {
            run: |service| act(service, FREE, &attach()),
            repeated: &[202],
            acknowledged: |service| is_in_status(service, FREE, "in-use"),
        },
        RowWrite {
            run: |service| act(service, RESERVED, &attach()),
            repeated: &[202],
            acknowledged: |service| is_in_status(service, RESERVED, "in-use"),
        },
        RowWrite {
            run: |service| {
                let new = json!({ "volume_uuid": FREE, "connector": { "host": "h" } });
                outcome(&service.call("POST", "/v3/a1/attachments", &json!({ "attachment": new })))
            },
            repeated: &[200, 400],
            acknowledged: |service| is_in_status(service, FREE, "attaching"),
        },
        RowWrite {
            run: |service| {
                let path = format!("/v3/a1/attachments/{ATTACHMENT}");
                let body = json!({ "attachment": { "connector": { "host": "h" } } });
                outcome(&service.call("PUT", &path, &body))
            },
            repeated: &[200],
            acknowledged: |service| assert_eq!(status_of_attachment(service), "attaching"),
        },
        RowWrite {
            run: |service| {
                let path = format!("/v3/a1/attachments/{ATTACHMENT}/action");
                outcome(&service.call("POST", &path, &json!({ "os-complete": null })))
            },
            repeated: &[204],
            acknowledged: |service| assert_eq!(status_of_attachment(service), "attached"),
        },
    ]);
}

#[test]
fn every_action_that_ends_the_use_of_a_volume_may_stop_anywhere() {
    stop_uses_everywhere(&[
        RowWrite {
            run: |service| act(service, USED, &json!({ "os-begin_detaching": null })),
            repeated: &[202, 400],
            acknowledged: |service| is_in_status(service, USED, "detaching"),
        },
        RowWrite {
            run: |service| act(service, USED, &json!({ "os-detach": {} })),
            repeated: &[202],
            acknowledged: |service| is_in_status(service, USED, "available"),
        },
        RowWrite {
            run: |service| act(service, USED, &json!({ "os-force_detach": {} })),
            repeated: &[202],
            acknowledged: |service| is_in_status(service, USED, "available"),
        },
        RowWrite {
            run: |service| outcome(&service.delete(&format!("/v3/a1/attachments/{ATTACHMENT}"))),
            repeated: &[200, 404],
            acknowledged: |service| is_in_status(service, USED, "available"),
        },
        RowWrite {
            run: |service| {
                act(service, USED, &json!({ "os-reset_status": { "status": "error", "attach_status": "detached" } }))
            },
            repeated: &[202],
            acknowledged: |service| assert_eq!(status_of_attachment(service), Value::Null),
        },
        RowWrite {
            run: |service| outcome(&service.delete(&format!("/v3/a1/volumes/{FAILED}"))),
            repeated: &[202, 400],
            acknowledged: |service| is_in_status(service, FAILED, "deleting"),
        },
    ]);
}

/// A reservation is deleted with its volume.
#[test]
fn a_forced_delete_of_a_reserved_volume_may_stop_anywhere() {
    stop_uses_everywhere(&[RowWrite {
        run: |service| outcome(&service.delete(&format!("/v3/a1/volumes/{RESERVED}?force=true"))),
        repeated: &[202, 400, 404],
        acknowledged: |service| is_in_status(service, RESERVED, "deleting"),
    }]);
}

/// Returns the scene with a group and a group snapshot. The group snapshot is left out of operations that it would prevent.
fn group_scene(schedule: &str, has_group_snapshot: bool) -> Value {
    let mut scene = scene(schedule);
    let volumes = scene["volumes"].as_array_mut().expect("volumes");
    volumes.extend(GROUPED.map(|id| json!({ "id": id, "project_id": "a1", "size": 2, "group_id": GROUP })));
    volumes.push(json!({ "id": LONE, "project_id": "a1", "size": 2 }));
    scene["group_types"] = json!([{ "id": GROUP_TYPE }]);
    scene["groups"] = json!([{ "id": GROUP, "project_id": "a1" }]);
    if has_group_snapshot {
        scene["group_snapshots"] = json!([{ "id": GROUP_SNAPSHOT, "project_id": "a1" }]);
        let snapshots = scene["snapshots"].as_array_mut().expect("snapshots");
        for (id, volume) in MEMBERS.into_iter().zip(GROUPED) {
            snapshots.push(json!({ "id": id, "volume_id": volume, "project_id": "a1", "size": 2,
                                   "group_snapshot_id": GROUP_SNAPSHOT }));
        }
    }
    scene["quotas"] = json!({ "snapshots": -1, "gigabytes": -1, "volumes": -1 });
    scene
}

/// An operation on groups, stopped at every store call.
fn stop_with_groups(
    has_group_snapshot: bool,
    run: fn(&ComponentService) -> Outcome,
    repeated: &'static [Outcome],
    acknowledged: fn(&ComponentService),
) {
    let creates = true;
    let operation = Operation { schedule: "clock", creates, run, repeated, acknowledged };
    stop_everywhere_in(&operation, &group_scene("clock", has_group_snapshot), "1000");
}

fn ask(service: &ComponentService, method: &str, path: &str, body: &Value) -> Answer {
    service.call(method, &format!("/v3/a1/{path}"), body)
}

fn row(service: &ComponentService, kind: &str, id: &str) -> Value {
    let state = service.state();
    let found = state[kind].as_array().into_iter().flatten().find(|row| row["id"] == id);
    found.cloned().unwrap_or_default()
}

#[test]
fn the_creation_of_a_group_may_stop_anywhere() {
    stop_with_groups(
        false,
        |service| {
            let body = json!({ "group": { "group_type": GROUP_TYPE, "volume_types": ["__DEFAULT__"] } });
            outcome(&ask(service, "POST", "groups", &body))
        },
        &[202],
        |service| assert_eq!(service.state()["groups"].as_array().map(Vec::len), Some(2)),
    );
}

#[test]
fn the_creation_of_a_volume_in_a_group_may_stop_anywhere() {
    stop_with_groups(
        false,
        |service| {
            let volume = json!({ "size": 2, "group_id": GROUP, "volume_type": "__DEFAULT__" });
            outcome(&ask(service, "POST", "volumes", &json!({ "volume": volume })))
        },
        &[202],
        |service| {
            let group = ask(service, "GET", &format!("groups/{GROUP}?list_volume=True"), &Value::Null).body;
            assert_eq!(group["group"]["volumes"].as_array().map(Vec::len), Some(3), "{group}");
        },
    );
}

#[test]
fn the_creation_of_a_group_snapshot_may_stop_anywhere() {
    stop_with_groups(
        false,
        |service| {
            outcome(&ask(service, "POST", "group_snapshots", &json!({ "group_snapshot": { "group_id": GROUP } })))
        },
        &[202],
        |service| {
            let own = &service.state()["group_snapshots"][0];
            let members = format!("snapshots?group_snapshot_id={}", own["id"].as_str().expect("an id"));
            assert_eq!(service.ids(&format!("/v3/a1/{members}")).len(), 2);
        },
    );
}

#[test]
fn the_deletion_of_a_group_snapshot_may_stop_anywhere() {
    stop_with_groups(
        true,
        |service| outcome(&ask(service, "DELETE", &format!("group_snapshots/{GROUP_SNAPSHOT}"), &Value::Null)),
        // Once it is deleting, a second deletion is refused, as in Cinder.
        &[202, 400],
        |service| {
            let members = MEMBERS.map(|id| row(service, "snapshots", id)["status"].clone());
            assert_eq!(members, [json!("deleting"), json!("deleting")]);
            assert_eq!(row(service, "group_snapshots", GROUP_SNAPSHOT)["status"], "deleting");
        },
    );
}

#[test]
fn the_deletion_of_a_group_with_its_volumes_may_stop_anywhere() {
    stop_with_groups(
        false,
        |service| {
            let body = json!({ "delete": { "delete-volumes": true } });
            outcome(&ask(service, "POST", &format!("groups/{GROUP}/action"), &body))
        },
        // Another request finds the group changed.
        &[202, 503],
        |service| {
            let volumes = GROUPED.map(|id| row(service, "volumes", id)["status"].clone());
            assert_eq!(volumes, [json!("deleting"), json!("deleting")]);
        },
    );
}

#[test]
fn a_change_of_the_volumes_of_a_group_may_stop_anywhere() {
    stop_with_groups(
        false,
        |service| {
            let group = json!({ "name": "new", "add_volumes": LONE, "remove_volumes": GROUPED[0] });
            outcome(&ask(service, "PUT", &format!("groups/{GROUP}"), &json!({ "group": group })))
        },
        // Another update waits for the end of the first one.
        &[202, 400],
        |service| assert_eq!(row(service, "groups", GROUP)["status"], "updating"),
    );
}

#[test]
fn a_run_that_moves_the_volumes_of_a_group_may_stop_anywhere() {
    let mut scene = group_scene("clock", false);
    scene["groups"][0]["status"] = json!("updating");
    scene["groups"][0]["added_volumes"] = json!([LONE]);
    scene["groups"][0]["removed_volumes"] = json!([GROUPED[0]]);
    let pending = json!({ "completion": "move", "schedule": "clock", "due": time(0), "gives_up": time(3600) });
    scene["groups"][0]["pending"] = pending;
    let operation = Operation {
        schedule: "clock",
        creates: false,
        run: |service| if service.tick().is_ok() { 200 } else { 500 },
        repeated: &[200],
        acknowledged: |service| {
            let names = |id| row(service, "volumes", id)["group_id"].clone();
            assert_eq!([names(LONE), names(GROUPED[0])], [json!(GROUP), Value::Null]);
            assert_eq!(row(service, "groups", GROUP)["status"], "available");
        },
    };
    stop_everywhere_in(&operation, &scene, "1000");
}

#[test]
fn the_creation_of_a_group_from_a_source_may_stop_anywhere() {
    let from_snapshot: fn(&ComponentService) -> Outcome = |service| {
        outcome(&ask(
            service,
            "POST",
            "groups/action",
            &json!({ "create-from-src": { "group_snapshot_id": GROUP_SNAPSHOT } }),
        ))
    };
    let from_group: fn(&ComponentService) -> Outcome = |service| {
        outcome(&ask(service, "POST", "groups/action", &json!({ "create-from-src": { "source_group_id": GROUP } })))
    };
    for run in [from_snapshot, from_group] {
        stop_with_groups(true, run, &[202], |service| {
            let state = service.state();
            let copies = state["groups"].as_array().into_iter().flatten().filter(|group| group["id"] != GROUP);
            let copy = copies.map(id_of).next().expect("a copy");
            let volumes = state["volumes"].as_array().into_iter().flatten();
            assert_eq!(volumes.filter(|volume| volume["group_id"] == copy.as_str()).count(), 2);
        });
    }
}

#[test]
fn a_report_about_a_member_of_a_group_snapshot_may_stop_anywhere() {
    let mut scene = group_scene("told", true);
    let pending = json!({ "completion": "create", "schedule": "told", "due": time(2), "gives_up": time(3600) });
    scene["group_snapshots"][0]["status"] = json!("creating");
    scene["group_snapshots"][0]["pending"] = pending.clone();
    let members = scene["snapshots"].as_array_mut().expect("snapshots");
    let member = members.iter_mut().find(|row| row["id"] == MEMBERS[0]).expect("a member");
    member["status"] = json!("creating");
    member["pending"] = pending;
    let operation = Operation {
        schedule: "told",
        creates: false,
        run: |service| {
            let path = format!("/v3/a1/snapshots/{}/action", MEMBERS[0]);
            outcome(&service.call("POST", &path, &json!({ "os-update_snapshot_status": { "status": "error" } })))
        },
        // Once it has failed, a second report is refused, as in Cinder.
        repeated: &[202, 400],
        acknowledged: |service| {
            assert_eq!(row(service, "group_snapshots", GROUP_SNAPSHOT)["status"], "error");
        },
    };
    stop_everywhere_in(&operation, &scene, "1000");
}

#[test]
fn a_reset_of_a_group_and_of_a_group_snapshot_may_stop_anywhere() {
    let of_group: fn(&ComponentService) -> Outcome = |service| {
        outcome(&ask(
            service,
            "POST",
            &format!("groups/{GROUP}/action"),
            &json!({ "reset_status": { "status": "error" } }),
        ))
    };
    stop_with_groups(false, of_group, &[202], |service| assert_eq!(row(service, "groups", GROUP)["status"], "error"));
}

#[test]
fn every_change_of_a_group_type_may_stop_anywhere() {
    type Case = (fn(&ComponentService) -> Outcome, &'static [Outcome], fn(&ComponentService));
    let cases: [Case; 3] = [
        (
            |service| outcome(&ask(service, "POST", "group_types", &json!({ "group_type": { "name": "new" } }))),
            &[202, 409],
            |service| assert_eq!(service.state()["group_types"][0]["name"], "new"),
        ),
        (
            |service| {
                outcome(&ask(service, "PUT", &format!("group_types/{GROUP_TYPE}/group_specs/k"), &json!({ "k": "w" })))
            },
            &[200],
            |service| assert_eq!(row(service, "group_types", GROUP_TYPE)["group_specs"], json!({ "k": "w" })),
        ),
        (
            |service| outcome(&ask(service, "DELETE", &format!("group_types/{GROUP_TYPE}"), &Value::Null)),
            &[202, 404],
            |service| assert!(row(service, "group_types", GROUP_TYPE).is_null()),
        ),
    ];
    for (run, repeated, acknowledged) in cases {
        let mut scene = scene("clock");
        scene["group_types"] = json!([{ "id": GROUP_TYPE }]);
        let operation = Operation { schedule: "clock", creates: false, run, repeated, acknowledged };
        stop_everywhere_in(&operation, &scene, "1000");
    }
}
