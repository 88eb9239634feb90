//! The life of a snapshot on the component, with a clock that the test moves: every status at its time, in every view,
//! in each of the three progressions (`docs/spec/lifecycle.md`, `docs/configuration.md`).

use std::collections::BTreeSet;

use crate::support::Service;
use crate::support::calls::{Answer, Calls, NOT_DELETABLE};
use crate::support::component::{ComponentService, START};
use serde_json::{Value, json};
use volume_snapshots::domain::Timestamp;
use volume_snapshots_host::MemoryStore;

/// The paths with and without the project, which are the same API from 3.0 on.
const BASES: [&str; 2] = ["/v3", "/v3/a1"];

/// The statuses that filters are tested with.
const STATUSES: [&str; 5] = ["creating", "available", "deleting", "error", "error_deleting"];

/// Checks that every view shows the same status and progress of a snapshot, or its absence. Views would disagree if one
/// of them read the row and another applied the clock.
fn assert_seen(service: &ComponentService, base: &str, id: &str, expected: Option<(&str, &str)>) {
    let collection = format!("{base}/snapshots");
    let shown = service.get(&format!("{collection}/{id}"));
    let find = |path: &str| service.rows(path).into_iter().find(|row| row["id"] == *id);
    let (summary, detail) = (find(&collection), find(&format!("{collection}/detail")));
    for status in STATUSES {
        let listed = find(&format!("{collection}/detail?status={status}")).is_some();
        assert_eq!(listed, expected.is_some_and(|(own, _)| own == status), "?status={status} of {expected:?}");
    }
    assert_eq!(service.count(&collection), service.rows(&collection).len(), "count of {expected:?}");
    let stored: Vec<Value> = service.state()["snapshots"].as_array().cloned().unwrap_or_default();
    let stored = stored.into_iter().find(|row| row["id"] == *id);
    let Some((status, progress)) = expected else {
        assert_eq!(shown.status, 404, "{shown:?}");
        assert_eq!(shown.fault(), ("itemNotFound", format!("Snapshot {id} could not be found.").as_str()));
        assert_eq!((summary, detail, stored), (None, None, None));
        return;
    };
    assert_eq!(shown.status, 200, "{shown:?}");
    for row in [&shown.body["snapshot"], &detail.expect("in the detail list")] {
        assert_eq!(row["status"], status);
        assert_eq!(row["os-extended-snapshot-attributes:progress"], progress);
    }
    let summary = summary.expect("in the list");
    assert_eq!(summary["status"], status);
    assert_eq!(summary.get("os-extended-snapshot-attributes:progress"), None, "not in the summary");
    assert_eq!(stored.expect("in the state")["status"], status);
}

fn row_key(id: &str) -> String {
    format!("vs1:snapshot:{id}")
}

fn has_row(memory: &MemoryStore, id: &str) -> bool {
    memory.rows("default").contains_key(&row_key(id))
}

/// Checks that a tick with nothing to do makes at most three store calls and no commit, because it runs every second.
fn assert_idle(service: &ComponentService) {
    let (calls, commits) = service.cost_of_tick();
    assert!(calls <= 3 && commits == 0, "{calls} calls and {commits} commits: {:?}", service.faults.calls());
}

/// Checks that the run after a removal takes it off the agenda in one commit, and that nothing is left to do then.
fn assert_forgets(service: &ComponentService) {
    let (_, commits) = service.cost_of_tick();
    assert_eq!(commits, 1, "{:?}", service.faults.calls());
    assert_idle(service);
}

/// Checks that a delete was accepted, with a 202 without a body.
fn assert_deletion_begins(answer: &Answer) {
    assert_eq!((answer.status, &answer.body), (202, &json!("")), "{answer:?}");
}

#[test]
fn by_the_clock_alone_a_snapshot_is_created_and_deleted_and_the_tick_only_removes_its_row() {
    for base in BASES {
        let (service, memory) = ComponentService::with_memory(&[("quota_snapshots", "1")]);
        let volume = service.new_volume(base, 3);
        assert_eq!(service.status_of(&format!("{base}/volumes/{volume}")).as_deref(), Some("creating"));
        service.advance(2.0);
        assert_eq!(service.status_of(&format!("{base}/volumes/{volume}")).as_deref(), Some("available"));

        let created = service.ask_for_snapshot(base, &volume);
        assert_eq!(created.status, 202, "{created:?}");
        let row = &created.body["snapshot"];
        assert_eq!((&row["status"], &row["size"], &row["metadata"]), (&json!("creating"), &json!(3), &json!({})));
        assert_eq!(row.get("os-extended-snapshot-attributes:progress"), None, "not in the answer to a create");
        let id = crate::support::calls::id_of(row);
        let path = format!("{base}/snapshots/{id}");
        assert_seen(&service, base, &id, Some(("creating", "0%")));
        service.advance(1.9);
        assert_seen(&service, base, &id, Some(("creating", "0%")));
        service.advance(0.1);
        assert_seen(&service, base, &id, Some(("available", "100%")));
        let settled_at = Timestamp::from_seconds(i64::try_from(START).expect("small") + 4).to_string();
        assert_eq!(service.get(&path).body["snapshot"]["updated_at"], settled_at, "when it was due, not when read");

        assert_deletion_begins(&service.delete(&path));
        assert_seen(&service, base, &id, Some(("deleting", "100%")));
        let again = service.delete(&path);
        assert_eq!((again.status, again.fault()), (400, ("badRequest", NOT_DELETABLE)));
        assert_eq!(service.ask_for_snapshot(base, &volume).status, 413, "its quota is taken until it is gone");
        service.advance(1.0);
        assert_seen(&service, base, &id, None);
        assert_eq!(service.delete(&path).status, 404);
        assert!(has_row(&memory, &id), "nothing has run, so the row is still stored");

        let second = service.new_snapshot(base, &volume);
        assert_eq!(service.ask_for_snapshot(base, &volume).status, 413, "only one was given back");

        service.tick().expect("a tick");
        assert!(!has_row(&memory, &id) && has_row(&memory, &second));
        assert_eq!(service.in_use("snapshots"), 1);
        assert_eq!(service.in_use("gigabytes"), 6);
        assert_forgets(&service);
        service.advance(3600.0);
        assert_idle(&service);
        assert_seen(&service, base, &second, Some(("available", "100%")));
        assert_eq!(service.app.traps(), 0);
    }
}

#[test]
fn with_progression_immediate_everything_waits_for_a_tick_and_for_nothing_else() {
    for base in BASES {
        let (service, memory) = ComponentService::with_memory(&[("progression", "immediate")]);
        let volume = service.new_volume(base, 1);
        service.advance(100.0);
        assert_eq!(service.status_of(&format!("{base}/volumes/{volume}")).as_deref(), Some("creating"));
        service.tick().expect("a tick");
        assert_eq!(service.status_of(&format!("{base}/volumes/{volume}")).as_deref(), Some("available"));

        let (one, two) = (service.new_snapshot(base, &volume), service.new_snapshot(base, &volume));
        service.advance(100.0);
        for id in [&one, &two] {
            assert_seen(&service, base, id, Some(("creating", "0%")));
        }
        service.tick().expect("a tick");
        for id in [&one, &two] {
            assert_seen(&service, base, id, Some(("available", "100%")));
        }
        assert_idle(&service);

        assert_deletion_begins(&service.delete(&format!("{base}/snapshots/{one}")));
        service.advance(100.0);
        assert_seen(&service, base, &one, Some(("deleting", "100%")));
        service.tick().expect("a tick");
        assert_seen(&service, base, &one, None);
        assert_seen(&service, base, &two, Some(("available", "100%")));
        assert!(!has_row(&memory, &one));
        assert_eq!(service.in_use("snapshots"), 1);
        assert_forgets(&service);
        assert_eq!(service.app.traps(), 0);
    }
}

/// Runs an operator's tick at a time, in seconds after the start.
fn operator_tick(service: &ComponentService, seconds: u64) -> Value {
    let now = Timestamp::from_seconds(i64::try_from(START + seconds).expect("small")).to_string();
    let answer = service.operate("POST", "/_ops/tick", &json!({ "now": now }));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

#[test]
fn with_progression_manual_only_a_report_or_an_operators_clock_ends_work() {
    let (service, memory) = ComponentService::with_memory(&[("progression", "manual")]);
    let volume = service.new_volume("/v3", 1);
    let volume_path = format!("/v3/volumes/{volume}");
    operator_tick(&service, 1);
    assert_eq!(service.status_of(&volume_path).as_deref(), Some("creating"), "the operator's clock is too early");
    operator_tick(&service, 2);
    assert_eq!(service.status_of(&volume_path).as_deref(), Some("available"));

    let plain_ticks = || {
        service.tick().expect("a tick");
        assert_eq!(service.operate("POST", "/_ops/tick", &Value::Null).status, 200);
    };
    let (reported, told) = (service.new_snapshot("/v3", &volume), service.new_snapshot("/v3", &volume));
    service.advance(1_000.0);
    plain_ticks();
    assert_seen(&service, "/v3", &reported, Some(("creating", "0%")));

    let report = |id: &str, body: Value| {
        service.call("POST", &format!("/v3/snapshots/{id}/action"), &json!({ "os-update_snapshot_status": body }))
    };
    let progress = report(&reported, json!({ "status": "creating", "progress": "40%" }));
    assert_eq!(progress.status, 202, "{progress:?}");
    assert_seen(&service, "/v3", &reported, Some(("creating", "40%")));
    assert_eq!(report(&reported, json!({ "status": "available", "progress": "100%" })).status, 202);
    assert_seen(&service, "/v3", &reported, Some(("available", "100%")));
    assert_seen(&service, "/v3", &told, Some(("creating", "0%")));
    operator_tick(&service, 1_000);
    assert_seen(&service, "/v3", &told, Some(("available", "100%")));

    for id in [&reported, &told] {
        assert_deletion_begins(&service.delete(&format!("/v3/snapshots/{id}")));
    }
    service.advance(1_000.0);
    plain_ticks();
    assert_seen(&service, "/v3", &told, Some(("deleting", "100%")));
    assert_eq!(report(&reported, json!({ "status": "error_deleting" })).status, 202, "the backend failed");
    operator_tick(&service, 2_000);
    assert_seen(&service, "/v3", &told, None);
    assert_seen(&service, "/v3", &reported, Some(("error_deleting", "100%")));
    assert!(!has_row(&memory, &told));
    assert_eq!(service.in_use("snapshots"), 1, "what could not be deleted still counts");
    service.advance(100.0);
    service.tick().expect("a tick");
    assert_idle(&service);
    assert_eq!(service.app.traps(), 0);
}

/// The nine statuses of the API reference (`docs/spec/snapshots-api.md`). A failed create cannot become available without an
/// administrator's reset, so two snapshots share them. `deleted` is a 404, as in Cinder.
#[test]
fn all_nine_statuses_are_reached_without_a_reset() {
    let service = ComponentService::new(&[]);
    let base = "/v3";
    let volume = service.new_volume(base, 1);
    service.advance(2.0);
    let status_of = |id: &str| service.status_of(&format!("{base}/snapshots/{id}"));
    let act = |resource: &str, id: &str, action: &Value| {
        let answer = service.call("POST", &format!("{base}/{resource}/{id}/action"), action);
        assert_eq!(answer.status, 202, "{action}: {answer:?}");
    };
    let report = |status: &str| json!({ "os-update_snapshot_status": { "status": status } });
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut expect = |id: &str, expected: &str| {
        let status = status_of(id).unwrap_or_else(|| "deleted".to_owned());
        assert_eq!(status, expected);
        seen.insert(status);
    };

    let good = service.new_snapshot(base, &volume);
    expect(&good, "creating");
    service.advance(2.0);
    expect(&good, "available");
    let backup = json!({ "backup": { "volume_id": volume, "snapshot_id": good } });
    let backup = service.call("POST", &format!("{base}/backups"), &backup);
    assert_eq!(backup.status, 202, "{backup:?}");
    expect(&good, "backing-up");
    service.advance(2.0);
    expect(&good, "available");
    act("volumes", &volume, &json!({ "revert": { "snapshot_id": good } }));
    expect(&good, "restoring");
    service.advance(2.0);
    expect(&good, "available");
    assert_deletion_begins(&service.delete(&format!("{base}/snapshots/{good}")));
    expect(&good, "deleting");
    act("snapshots", &good, &report("error_deleting"));
    expect(&good, "error_deleting");
    act("snapshots", &good, &json!({ "os-force_delete": null }));
    expect(&good, "deleting");
    service.advance(2.0);
    expect(&good, "deleted");

    let bad = service.new_snapshot(base, &volume);
    act("snapshots", &bad, &report("error"));
    expect(&bad, "error");
    act("snapshots", &bad, &json!({ "os-unmanage": null }));
    expect(&bad, "unmanaging");
    service.advance(2.0);
    expect(&bad, "deleted");

    let all = "available backing-up creating deleted deleting error error_deleting restoring unmanaging";
    assert_eq!(seen, all.split(' ').map(str::to_owned).collect());
    assert_eq!(service.app.traps(), 0);
}

#[test]
fn a_report_that_never_comes_is_given_up_after_the_time_bound() {
    let variables = [("progression", "manual"), ("give_up_seconds", "60")];
    let (service, memory) = ComponentService::with_memory(&variables);
    let volume = service.new_volume("/v3", 1);
    operator_tick(&service, 2);
    let (stuck, deleted) = (service.new_snapshot("/v3", &volume), service.new_snapshot("/v3", &volume));
    assert_eq!(
        service
            .call(
                "POST",
                &format!("/v3/snapshots/{deleted}/action"),
                &json!({ "os-update_snapshot_status": { "status": "error" } }),
            )
            .status,
        202
    );
    assert_deletion_begins(&service.delete(&format!("/v3/snapshots/{deleted}")));
    // Work of one or two seconds may take sixty more.
    service.advance(60.9);
    assert_seen(&service, "/v3", &deleted, Some(("deleting", "0%")));
    service.advance(0.1);
    assert_seen(&service, "/v3", &deleted, Some(("error_deleting", "0%")));
    assert_seen(&service, "/v3", &stuck, Some(("creating", "0%")));
    service.advance(1.0);
    assert_seen(&service, "/v3", &stuck, Some(("error", "0%")));

    service.tick().expect("a tick");
    assert_idle(&service);
    assert!(has_row(&memory, &stuck) && has_row(&memory, &deleted), "given up is not removed");
    assert_eq!(service.in_use("snapshots"), 2);
    assert_deletion_begins(&service.delete(&format!("/v3/snapshots/{stuck}")));
}

#[test]
fn a_volume_goes_only_without_snapshots_or_together_with_them() {
    for base in BASES {
        let (service, memory) = ComponentService::with_memory(&[]);
        let volume = service.new_volume(base, 2);
        service.advance(2.0);
        let snapshots = [service.new_snapshot(base, &volume), service.new_snapshot(base, &volume)];
        let path = format!("{base}/volumes/{volume}");
        let refused = "Invalid volume: Volume status must be available or error";
        for (query, why) in [("", "it has snapshots"), ("?cascade=true", "its snapshots are creating")] {
            let answer = service.delete(&format!("{path}{query}"));
            assert_eq!((answer.status, answer.fault().0), (400, "badRequest"), "{why}");
            assert!(answer.fault().1.starts_with(refused), "{answer:?}");
        }
        service.advance(2.0);
        assert_eq!(service.delete(&path).status, 400);
        assert_eq!(service.status_of(&path).as_deref(), Some("available"), "a refusal changes nothing");

        assert_eq!(service.delete(&format!("{path}?cascade=true")).status, 202);
        assert_eq!(service.status_of(&path).as_deref(), Some("deleting"));
        for id in &snapshots {
            assert_seen(&service, base, id, Some(("deleting", "100%")));
        }
        service.advance(1.0);
        assert_eq!(service.status_of(&path), None);
        assert_eq!(service.ids(&format!("{base}/volumes")), [""; 0]);
        for id in &snapshots {
            assert_seen(&service, base, id, None);
        }
        service.tick().expect("a tick");
        for resource in ["volumes", "snapshots", "gigabytes"] {
            assert_eq!(service.in_use(resource), 0, "{resource}");
        }
        let left: Vec<String> = memory.rows("default").into_keys().filter(|key| is_row(key)).collect();
        assert_eq!(left, [""; 0]);
        assert_forgets(&service);

        // A volume without snapshots needs no cascade.
        let empty = service.new_volume(base, 1);
        service.advance(2.0);
        assert_eq!(service.delete(&format!("{base}/volumes/{empty}")).status, 202);
        service.advance(1.0);
        assert_eq!(service.status_of(&format!("{base}/volumes/{empty}")), None);
        assert_eq!(service.app.traps(), 0);
    }
}

fn is_row(key: &str) -> bool {
    key.starts_with("vs1:snapshot:") || key.starts_with("vs1:volume:")
}

/// Spin allows 256 compare-and-swaps per invocation and never closes any. A delete that took one or two for each
/// snapshot would stop halfway, so it must succeed or be refused as a whole.
#[test]
fn a_volume_goes_with_very_many_snapshots_too() {
    const COUNT: usize = 300;
    let volume = "aaaaaaaa-0000-4000-8000-000000000001";
    let snapshot = |number: usize| {
        let id = format!("bbbbbbbb-0000-4000-8000-{number:012}");
        json!({ "id": id, "volume_id": volume, "project_id": "a1" })
    };
    let snapshots: Vec<Value> = (0..COUNT).map(snapshot).collect();
    let service = ComponentService::new(&[]);
    service.put_state(&json!({ "volumes": [{ "id": volume, "project_id": "a1" }], "snapshots": snapshots }));
    let path = format!("/v3/a1/volumes/{volume}");
    let answer = service.delete(&format!("{path}?cascade=true"));
    let deleting = service.ids("/v3/a1/snapshots?status=deleting").len();
    if answer.status == 202 {
        assert_eq!(service.status_of(&path).as_deref(), Some("deleting"));
        service.advance(1.0);
        for _ in 0..10 {
            service.tick().expect("a tick");
        }
        assert_eq!((service.status_of(&path), service.ids("/v3/a1/snapshots").len()), (None, 0));
    } else {
        assert_eq!((service.status_of(&path).as_deref(), deleting), (Some("available"), 0), "{answer:?}");
    }
}

/// An operator may load snapshots without their volumes. Being on the agenda is not a reason to remove one.
#[test]
fn a_snapshot_whose_volume_nobody_knows_stays_until_it_is_deleted() {
    let (service, _) = ComponentService::with_memory(&[("progression", "immediate")]);
    let snapshot = |number: usize, status: &str| json!({ "id": format!("bbbbbbbb-0000-4000-8000-{number:012}"), "project_id": "a1", "status": status });
    service.put_state(&json!({ "snapshots": [snapshot(1, "creating"), snapshot(2, "deleting")] }));
    for _ in 0..4 {
        service.tick().expect("a tick");
        service.advance(30.0);
    }
    assert_eq!(service.ids("/v3/a1/snapshots?status=available"), ["bbbbbbbb-0000-4000-8000-000000000001"]);
    assert_eq!(service.ids("/v3/a1/snapshots").len(), 1);
}
