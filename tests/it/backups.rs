//! Backups: the rules that no vector covers, their laws, and what they cost. Native, on the whole core.

use std::cell::{Cell, RefCell};

use crate::crash::backups::assert_chains;
use crate::interleavings::Interrupted;
use crate::support::calls::{Answer, Calls, id_of, request};
use crate::support::native::{NativeService, TestVariables};
use crate::support::{Service, operator};
use http::Response;
use proptest::prelude::*;
use serde_json::{Value, json};
use volume_snapshots::store::KeyValue;

const PROJECT: &str = "a1";
const BACKUPS: &str = "/v3/a1/backups";
const VOLUME: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const TARGET: &str = "aaaaaaaa-0000-4000-8000-000000000002";
const SNAPSHOT: &str = "bbbbbbbb-0000-4000-8000-000000000001";

fn backup_id(number: usize) -> String {
    format!("bac00000-0000-4000-8000-{number:012}")
}

/// A service with two volumes, a snapshot, a backup, and an incremental one that continues it.
fn service(progression: &str) -> NativeService {
    let service = NativeService::with_variables(TestVariables::default().with("progression", progression));
    let backup = |number: usize, parent: Value| {
        let created = format!("2026-01-{number:02}T00:00:00");
        json!({ "id": backup_id(number), "project_id": PROJECT, "parent_id": parent, "created_at": created,
                "data_timestamp": created })
    };
    service.put_state(&json!({
        "volumes": [{ "project_id": PROJECT }, { "id": TARGET, "project_id": PROJECT, "size": 2 }],
        "snapshots": [{ "project_id": PROJECT }],
        "backups": [backup(1, Value::Null), backup(2, json!(backup_id(1)))],
        "quotas": { "backups": -1 },
    }));
    service
}

fn tick(service: &NativeService) {
    let answer = service.send(operator("POST", "/_ops/tick", b""));
    assert!(answer.status().is_success(), "{}", crate::support::text(&answer));
}

fn create(service: &NativeService, fields: &Value) -> Answer {
    let mut backup = json!({ "volume_id": VOLUME });
    for (name, value) in fields.as_object().expect("fields") {
        backup[name] = value.clone();
    }
    service.call("POST", BACKUPS, &json!({ "backup": backup }))
}

fn shown(service: &NativeService, id: &str) -> Value {
    service.get(&format!("{BACKUPS}/{id}")).body["backup"].clone()
}

fn status(service: &NativeService, kind: &str, id: &str) -> Option<String> {
    service.status_of(&format!("/v3/{PROJECT}/{kind}/{id}"))
}

fn message(answer: &Answer) -> (u16, &str) {
    let text = answer.body.as_object().and_then(|body| body.values().next()).map(|fault| &fault["message"]);
    (answer.status, text.and_then(Value::as_str).unwrap_or_default())
}

#[test]
fn a_backup_is_needed_by_those_that_continue_it_and_shows_it_once_they_are_made() {
    let service = service("time");
    let made = create(&service, &json!({ "incremental": true }));
    let newest = id_of(&made.body["backup"]);
    assert_eq!(shown(&service, &newest)["is_incremental"], true);
    let dependents = "Invalid backup: Incremental backups exist for this backup.";
    let delete = |id: &str| service.delete(&format!("{BACKUPS}/{id}"));
    // It is needed from the request on, but shows it later, as in Cinder.
    assert_eq!(message(&delete(&backup_id(2))), (400, dependents));
    assert_eq!(shown(&service, &backup_id(2))["has_dependent_backups"], false);
    service.advance(2.0);
    assert_eq!(shown(&service, &backup_id(2))["has_dependent_backups"], true);
    assert!(!shown(&service, &backup_id(2))["updated_at"].is_null());
    let details = service.rows(&format!("{BACKUPS}/detail"));
    let having: Vec<bool> = details.iter().map(|row| row["has_dependent_backups"] == true).collect();
    assert_eq!(having, [false, true, true], "the newest one has none");

    // Chains are taken apart from the end. A backup whose removal is due needs nobody any more, with or without a tick.
    for id in [newest, backup_id(2), backup_id(1)] {
        assert_eq!(delete(&id).status, 202, "{id}");
        service.advance(1.5);
    }
    assert!(service.ids(BACKUPS).is_empty());
    for _ in 0..3 {
        tick(&service);
    }
    assert_eq!((service.in_use("backups"), service.in_use("backup_gigabytes")), (json!(0), json!(0)));
}

#[test]
fn the_parent_is_the_latest_that_can_be_used() {
    let service = service("time");
    let parent = |answer: &Answer| {
        let id = id_of(&answer.body["backup"]);
        let state = service.state();
        let row = state["backups"].as_array().expect("rows").iter().find(|row| row["id"] == *id).cloned();
        row.expect("a row")["parent_id"].clone()
    };
    // A snapshot from between the two continues the older one.
    let snapshot = "bbbbbbbb-0000-4000-8000-000000000002";
    let mut state = service.state();
    let rows = state["snapshots"].as_array_mut().expect("rows");
    rows.push(json!({ "id": snapshot, "project_id": PROJECT, "created_at": "2026-01-01T12:00:00" }));
    service.put_state(&state);
    let of_snapshot = create(&service, &json!({ "incremental": true, "snapshot_id": snapshot }));
    assert_eq!(parent(&of_snapshot), backup_id(1));
    let of_volume = create(&service, &json!({ "incremental": true }));
    assert_eq!(parent(&of_volume), backup_id(2));
    // Of another volume there is none.
    let refused = create(&service, &json!({ "incremental": true, "volume_id": TARGET }));
    assert_eq!(message(&refused), (400, "Invalid backup: No backups available to do an incremental backup."));
    assert_eq!(status(&service, "volumes", TARGET).as_deref(), Some("available"));
}

#[test]
fn a_source_comes_back_to_what_it_was_however_the_work_ends() {
    // How the work ends: by the clock, or not at all.
    for (progression, backup, left) in [("time", "available", "backing-up"), ("manual", "error", "error_backing-up")] {
        let service = service(progression);
        let mut state = service.state();
        state["volumes"][0]["status"] = json!("in-use");
        state["volumes"][0]["attach_status"] = json!("attached");
        state["attachments"] = json!([{ "volume_id": VOLUME, "instance_uuid": null }]);
        service.put_state(&state);
        let of_volume = id_of(&create(&service, &json!({ "force": true })).body["backup"]);
        let of_snapshot = id_of(&create(&service, &json!({ "snapshot_id": SNAPSHOT })).body["backup"]);
        assert_eq!(status(&service, "volumes", VOLUME).as_deref(), Some("backing-up"));
        assert_eq!(status(&service, "snapshots", SNAPSHOT).as_deref(), Some("backing-up"));
        let busy = service.ask_for_snapshot("/v3/a1", VOLUME);
        assert_eq!(busy.status, 400, "{busy:?}");
        service.advance(if progression == "time" { 3.0 } else { 100_000.0 });
        for id in [&of_volume, &of_snapshot] {
            assert_eq!(status(&service, "backups", id).as_deref(), Some(backup), "{progression}");
        }
        assert_eq!(status(&service, "volumes", VOLUME).as_deref(), Some("in-use"), "{progression}");
        assert_eq!(status(&service, "snapshots", SNAPSHOT).as_deref(), Some("available"), "{progression}");
        for _ in 0..3 {
            tick(&service);
            service.advance(6.0);
        }
        let state = service.state();
        let volume = state["volumes"].as_array().expect("rows").iter().find(|row| row["id"] == VOLUME);
        assert_eq!(volume.expect("a volume")["previous_status"], left);
        let messages = state["messages"].as_array().expect("rows").len();
        assert_eq!(messages, if progression == "time" { 0 } else { 2 }, "a message for each failure");
    }
}

#[test]
fn a_volume_whose_last_attachment_goes_meanwhile_is_available_after_its_backup() {
    let service = service("time");
    let mut state = service.state();
    state["volumes"][0]["status"] = json!("in-use");
    state["volumes"][0]["attach_status"] = json!("attached");
    state["attachments"] = json!([{ "volume_id": VOLUME, "instance_uuid": null }]);
    service.put_state(&state);
    assert_eq!(create(&service, &json!({ "force": true })).status, 202);
    let detached = service.delete("/v3/a1/attachments/a77ac4ed-0000-4000-8000-000000000001");
    assert_eq!(detached.status, 200, "{detached:?}");
    assert_eq!(status(&service, "volumes", VOLUME).as_deref(), Some("backing-up"));
    service.advance(3.0);
    assert_eq!(status(&service, "volumes", VOLUME).as_deref(), Some("available"));
}

#[test]
fn a_restoration_that_is_not_done_in_time_costs_the_volume() {
    let service = service("manual");
    let restore = |body: Value| service.call("POST", &format!("{BACKUPS}/{}/restore", backup_id(1)), &body);
    assert_eq!(restore(json!({ "restore": { "volume_id": TARGET } })).status, 202);
    // While it is restored, nothing else may begin.
    assert_eq!(message(&restore(json!({ "restore": {} }))), (400, "Invalid backup: Backup status must be available"));
    let volume = json!({ "volume": { "backup_id": backup_id(1) } });
    let second = service.call("POST", "/v3/a1/volumes", &volume);
    let originating = "Invalid backup: Originating backup status must be one of 'available' values";
    assert_eq!(message(&second), (400, originating));
    service.advance(100_000.0);
    assert_eq!(status(&service, "backups", &backup_id(1)).as_deref(), Some("available"));
    assert_eq!(status(&service, "volumes", TARGET).as_deref(), Some("error_restoring"));
    for _ in 0..3 {
        tick(&service);
        service.advance(6.0);
    }
    let state = service.state();
    assert_eq!(state["messages"][0]["event_id"], "VOLUME_VOLUME_BACKUP_015_026");
    assert_eq!(state["messages"][0]["resource_uuid"], backup_id(1));
    assert_eq!(state["messages"].as_array().map(Vec::len), Some(1));
    assert_eq!(service.delete(&format!("/v3/a1/volumes/{TARGET}")).status, 202, "such a volume may be deleted");
}

#[test]
fn a_volume_is_made_from_a_backup_if_it_is_large_enough() {
    let service = service("time");
    let mut state = service.state();
    state["backups"][0]["size"] = json!(2);
    service.put_state(&state);
    let ask = |volume: Value| service.call("POST", "/v3/a1/volumes", &json!({ "volume": volume }));
    let small = "Invalid input received: Volume size 1GB cannot be smaller than the backup size 2GB. It must be >= \
                 backup size.";
    assert_eq!(message(&ask(json!({ "backup_id": backup_id(1), "size": 1 }))), (400, small));
    let unknown = format!("Backup {} could not be found.", backup_id(9));
    assert_eq!(message(&ask(json!({ "backup_id": backup_id(9), "size": 1 }))), (404, unknown.as_str()));
    let made = ask(json!({ "backup_id": backup_id(1), "size": 3 }));
    let volume = id_of(&made.body["volume"]);
    assert_eq!((made.status, &made.body["volume"]["size"]), (202, &json!(3)));
    assert_eq!(status(&service, "backups", &backup_id(1)).as_deref(), Some("restoring"));
    service.advance(3.0);
    let shown = service.get(&format!("/v3/a1/volumes/{volume}")).body["volume"].clone();
    assert_eq!((&shown["status"], &shown["metadata"]["src_backup_id"]), (&json!("available"), &json!(backup_id(1))));
    assert_eq!(status(&service, "backups", &backup_id(1)).as_deref(), Some("available"));
}

#[test]
fn without_a_backend_the_new_volume_of_a_restoration_fails_with_it() {
    let service = service("time");
    let mut state = service.state();
    state["services"] = json!([{ "host": "host1@lvm", "up": false }]);
    service.put_state(&state);
    let answer = service.call("POST", &format!("{BACKUPS}/{}/restore", backup_id(1)), &json!({ "restore": {} }));
    let (status, text) = message(&answer);
    assert_eq!(status, 400);
    assert!(text.starts_with("Invalid volume: Error while creating volume "), "{text}");
    service.advance(3.0);
    assert_eq!(service.ids("/v3/a1/volumes?status=error").len(), 1);
    assert_eq!(shown(&service, &backup_id(1))["status"], "available");
}

#[test]
fn a_reset_is_applied_later_and_counts_at_once() {
    let service = service("manual");
    let path = format!("{BACKUPS}/{}", backup_id(2));
    let reset = json!({ "os-reset_status": { "status": "ERROR" } });
    assert_eq!(service.call("POST", &format!("{path}/action"), &reset).status, 202);
    assert_eq!(shown(&service, &backup_id(2))["status"], "available");
    let refused = service.call("POST", &format!("{path}/restore"), &json!({ "restore": { "volume_id": TARGET } }));
    assert_eq!(message(&refused), (400, "Invalid backup: Backup status must be available"));
    assert_eq!(service.get(&format!("{path}/export_record")).status, 400);
    service.advance(3.0);
    assert_eq!(shown(&service, &backup_id(2))["status"], "error", "nobody has to report it");
}

/// Deletes a backup and everything that continues it, and lets the step remove them.
fn remove(service: &NativeService, ids: &[String]) {
    for id in ids {
        assert_eq!(service.delete(&format!("{BACKUPS}/{id}")).status, 202, "{id}");
        service.advance(2.0);
        tick(service);
    }
    for _ in 0..3 {
        service.advance(61.0);
        tick(service);
    }
}

#[test]
fn records_bring_a_chain_back_in_any_order() {
    for order in [[1, 2], [2, 1]] {
        let service = service("time");
        let records = [1, 2].map(|number| service.get(&format!("{BACKUPS}/{}/export_record", backup_id(number))).body);
        let before = [1, 2].map(|number| shown(&service, &backup_id(number)));
        remove(&service, &[backup_id(2), backup_id(1)]);
        for number in order {
            let imported = service.call("POST", &format!("{BACKUPS}/import_record"), &records[number - 1]);
            assert_eq!(imported.status, 201, "{imported:?}");
            let again = service.call("POST", &format!("{BACKUPS}/import_record"), &records[number - 1]);
            assert_eq!(message(&again), (400, "Invalid backup: Backup already exists in database."));
        }
        service.advance(3.0);
        let refused = service.delete(&format!("{BACKUPS}/{}", backup_id(1)));
        assert_eq!(message(&refused), (400, "Invalid backup: Incremental backups exist for this backup."), "{order:?}");
        for (number, before) in [1, 2].into_iter().zip(before) {
            let after = shown(&service, &backup_id(number));
            for field in ["status", "size", "name", "description", "volume_id", "is_incremental", "data_timestamp"] {
                assert_eq!(after[field], before[field], "{order:?}: {field}");
            }
        }
        assert_eq!(shown(&service, &backup_id(1))["has_dependent_backups"], true, "{order:?}");
        assert_eq!(service.in_use("backups"), json!(2));
        remove(&service, &[backup_id(2), backup_id(1)]);
        assert_eq!(service.in_use("backups"), json!(0));
    }
}

/// Returns the body that imports the record of a backup that continues another one.
fn record(id: usize, parent: usize) -> Value {
    let record = json!({ "id": backup_id(id), "size": 1, "parent_id": backup_id(parent), "container": null,
                         "display_name": "n", "display_description": null, "object_count": 1, "service_metadata": null });
    let url = volume_snapshots::api::python::base64::encode(record.to_string().as_bytes());
    json!({ "backup-record": { "backup_service": "", "backup_url": url } })
}

/// No import waits for an earlier one of the same record that has ended, whatever has become of its backup.
#[test]
fn a_record_can_be_imported_again_as_soon_as_its_backup_is_gone() {
    let service = service("immediate");
    let import = || service.call("POST", &format!("{BACKUPS}/import_record"), &record(5, 6));
    let state = service.state();
    assert_eq!(import().status, 201);
    service.put_state(&state);
    assert_eq!(import().status, 201, "after a replacement of the state");
    tick(&service);
    remove(&service, &[backup_id(5)]);
    assert_eq!(import().status, 201, "after its removal");
}

#[test]
fn a_record_that_would_close_a_circle_is_refused() {
    let service = service("time");
    let import =
        |id: usize, parent: usize| service.call("POST", &format!("{BACKUPS}/import_record"), &record(id, parent));
    assert_eq!(import(5, 6).status, 201);
    assert_eq!(import(6, 7).status, 201);
    let circle = format!("Invalid backup: The parents of backup {} lead back to it.", backup_id(7));
    assert_eq!(message(&import(7, 5)), (400, circle.as_str()));
    assert_eq!(import(8, 8).status, 400);
    assert_eq!(import(7, 1).status, 201);
    service.advance(3.0);
    let state = service.state();
    assert_chains(state["backups"].as_array().expect("rows"), "imported");
    assert_eq!(service.in_use("backups"), json!(5));
    let mut document = state;
    document["backups"][0]["parent_id"] = json!(backup_id(2));
    let refused = service.operate("PUT", "/_ops/state", &document);
    assert_eq!(refused.status, 400, "{refused:?}");
}

#[test]
fn a_backup_takes_quota_and_its_refusal_leaves_no_name() {
    let service = service("time");
    let mut state = service.state();
    state["quotas"] = json!({ "backups": 3, "backup_gigabytes": 2 });
    service.put_state(&state);
    let refused = create(&service, &json!({ "incremental": true }));
    let size = "VolumeBackupSizeExceedsAvailableQuota: Requested backup exceeds allowed Backup gigabytes quota. Requested \
                1G, quota is 2G and 2G has been consumed.";
    assert_eq!(message(&refused), (413, size));
    assert_eq!(refused.header("retry-after"), "0");
    assert_eq!(status(&service, "volumes", VOLUME).as_deref(), Some("available"));
    let limits = service.get("/v3/a1/limits").body["limits"]["absolute"].clone();
    let of = |name: &str| limits[name].clone();
    assert_eq!((of("maxTotalBackups"), of("totalBackupsUsed")), (json!(3), json!(2)));
    assert_eq!((of("maxTotalBackupGigabytes"), of("totalBackupGigabytesUsed")), (json!(2), json!(2)));
    assert_eq!(service.delete(&format!("{BACKUPS}/{}", backup_id(2))).status, 202);
    service.advance(2.0);
    // Quota is free once the removal is due, with or without a tick.
    assert_eq!(create(&service, &json!({ "incremental": true })).status, 202);
}

/// A request about backups, or what happens besides.
#[derive(Debug, Clone)]
enum Step {
    BackUp { incremental: bool, of_snapshot: bool },
    Delete(usize),
    Restore(usize, bool),
    VolumeFrom(usize),
    Reset(usize, &'static str),
    Import(usize, usize),
    DeleteSnapshot,
    Tick,
    Wait(f64),
}

fn step() -> impl Strategy<Value = Step> {
    let target = || 1_usize..5;
    prop_oneof![
        4 => (any::<bool>(), any::<bool>())
            .prop_map(|(incremental, of_snapshot)| Step::BackUp { incremental, of_snapshot }),
        4 => target().prop_map(Step::Delete),
        2 => (target(), any::<bool>()).prop_map(|(id, is_new)| Step::Restore(id, is_new)),
        1 => target().prop_map(Step::VolumeFrom),
        1 => (target(), prop::sample::select(vec!["error", "available"])).prop_map(|(id, to)| Step::Reset(id, to)),
        2 => (3_usize..6, target()).prop_map(|(id, parent)| Step::Import(id, parent)),
        1 => Just(Step::DeleteSnapshot),
        2 => Just(Step::Tick),
        2 => prop::sample::select(vec![0.5, 2.0]).prop_map(Step::Wait),
    ]
}

/// Takes the first step, and the next one in the middle of it.
fn interleave(service: &NativeService, steps: &[(Step, u32)]) {
    let Some(((step, calls), others)) = steps.split_first() else { return };
    let event: Box<dyn FnOnce() + '_> = Box::new(move || interleave(service, others));
    let key_value = Interrupted { service, calls: Cell::new(*calls), event: RefCell::new(Some(event)) };
    take(service, &key_value, step);
    let event = key_value.event.borrow_mut().take();
    if let Some(event) = event {
        event();
    }
}

fn take(service: &NativeService, key_value: &dyn KeyValue, step: &Step) {
    let send = |method: &str, path: &str, body: Value| {
        let answer: Response<Vec<u8>> = service.send_through(key_value, request(method, path, &body));
        let is_fine = !answer.status().is_server_error() || answer.status() == 503;
        assert!(is_fine, "{method} {path}: {}", crate::support::text(&answer));
    };
    // The backups of the scene, and the newest of those that were made.
    let known = |number: usize| {
        let made = || service.ids(BACKUPS).into_iter().next();
        if number == 4 { made().unwrap_or_else(|| backup_id(4)) } else { backup_id(number) }
    };
    match step {
        Step::BackUp { incremental, of_snapshot } => {
            let snapshot = of_snapshot.then_some(SNAPSHOT);
            let backup = json!({ "volume_id": VOLUME, "incremental": incremental, "snapshot_id": snapshot });
            send("POST", BACKUPS, json!({ "backup": backup }));
        }
        Step::Delete(id) => send("DELETE", &format!("{BACKUPS}/{}", known(*id)), Value::Null),
        Step::Restore(id, is_new) => {
            let volume = (!is_new).then_some(TARGET);
            send("POST", &format!("{BACKUPS}/{}/restore", known(*id)), json!({ "restore": { "volume_id": volume } }));
        }
        Step::VolumeFrom(id) => {
            send("POST", "/v3/a1/volumes", json!({ "volume": { "backup_id": known(*id) } }));
        }
        Step::Reset(id, to) => {
            let body = json!({ "os-reset_status": { "status": to } });
            send("POST", &format!("{BACKUPS}/{}/action", known(*id)), body);
        }
        Step::Import(id, parent) => send("POST", &format!("{BACKUPS}/import_record"), record(*id, *parent)),
        Step::DeleteSnapshot => send("DELETE", &format!("/v3/a1/snapshots/{SNAPSHOT}"), Value::Null),
        Step::Tick => {
            let answer = service.send_through(key_value, operator("POST", "/_ops/tick", b""));
            assert!(answer.status().is_success(), "{}", crate::support::text(&answer));
        }
        Step::Wait(seconds) => service.advance(*seconds),
    }
}

/// Checks the laws once all work has ended: nothing is transient, the quota is the sum of the rows, every backup that another
/// one continues is there unless its record was never imported, and no chain is a circle.
fn assert_laws(service: &NativeService) {
    for seconds in [10.0, 6.0, 6.0, 120.0, 1.0] {
        service.advance(seconds);
        tick(service);
    }
    let state = service.state();
    let rows = |kind: &str| state[kind].as_array().cloned().unwrap_or_default();
    for row in rows("backups").iter().chain(&rows("volumes")).chain(&rows("snapshots")) {
        let settled = ["available", "error", "error_restoring"].contains(&row["status"].as_str().unwrap_or_default());
        assert!(settled && row["pending"].is_null(), "{row}");
    }
    // A record may name a parent that nobody has imported.
    let backups = rows("backups");
    let is_here = |id: &Value| backups.iter().any(|row| row["id"] == *id);
    let whole: Vec<Value> = backups
        .iter()
        .cloned()
        .map(|mut row| {
            if !row["parent_id"].is_null() && !is_here(&row["parent_id"]) {
                assert!(row["name"] == "n", "only an import may lack its parent: {row}");
                row["parent_id"] = Value::Null;
            }
            row
        })
        .collect();
    assert_chains(&whole, "at the end");
    // The counter opens with the first request that takes quota.
    let in_use = service.in_use("backups");
    assert!(in_use.is_null() || in_use == backups.len(), "{in_use} for {}", backups.len());
    let repair = service.operate("POST", "/_ops/repair", &Value::Null);
    for wrong in ["entries_without_row", "rows_without_entry", "counters", "rows_without_agenda"] {
        assert_eq!(repair.body[wrong], 0, "{repair:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Requests in the middle of each other keep the laws.
    #[test]
    fn chains_and_quota_hold_whatever_happens_at_once(
        rounds in prop::collection::vec(prop::collection::vec((step(), 0_u32..14), 1..4), 1..6),
    ) {
        let service = service("time");
        for steps in &rounds {
            interleave(&service, steps);
        }
        assert_laws(&service);
    }
}
