//! What an older release has stored is read by this one: a store as format version 1 wrote it, recorded on the day before
//! version 2 (`docs/adr/0003-agenda-and-compact-pages.md`), with all that is in it, and used as if nothing had been.

mod support;

use serde_json::{Value, json};
use support::calls::Calls;
use support::component::{ComponentService, START};
use support::native::{NativeService, TestVariables};
use support::{Service, operator};
use volume_snapshots::domain::Timestamp;
use volume_snapshots::store::KeyValue;
use volume_snapshots_host::Store;

const VERSION_1: &str = include_str!("format/version-1.json");

/// What was recorded: the time, the stored values, and the state that version 1 showed of them then.
fn record() -> (Timestamp, Vec<(String, Vec<u8>)>, Value) {
    let mut record: Value = serde_json::from_str(VERSION_1).expect("JSON");
    let values = record["values"].as_object().expect("values");
    let values =
        values.iter().map(|(key, value)| (key.clone(), value.as_str().expect("a text").as_bytes().to_vec())).collect();
    (record["now"].as_str().expect("a time").parse().expect("a time"), values, record["state"].take())
}

/// A service on the recorded store, at the time of the record, and the state that version 1 showed then.
fn recorded() -> (NativeService, Value) {
    let variables = TestVariables::default().with("quota_snapshots", "-1").with("delete_seconds", "30");
    let service = NativeService::with_variables(variables);
    let (now, values, state) = record();
    service.key_value.set_many(&values).expect("memory takes everything");
    service.set_now(now);
    (service, state)
}

/// The state as version 1 would show it: it did not tell that the clock has ended the work of some.
fn without_history(mut state: Value) -> Value {
    for row in state["snapshots"].as_array_mut().expect("rows") {
        row.as_object_mut().expect("a row").remove("history");
    }
    state
}

fn tick(service: &NativeService) -> Value {
    let answer = service.send(operator("POST", "/_ops/tick", b""));
    assert!(answer.status().is_success(), "{}", support::text(&answer));
    support::json(&answer)
}

/// Whether a stored value is of a format version.
fn is_of_version(value: &[u8], version: u8) -> bool {
    value.starts_with(&[b'0' + version, b' '])
}

#[test]
fn everything_that_version_1_kept_is_shown_as_it_was() {
    let (service, state) = recorded();
    assert!(without_history(service.state()) == state, "the state is not as it was");
    assert!(service.key_value.dump().values().all(|value| is_of_version(value, 1)), "reading writes nothing");

    let rows = |project: &str, state: &Value| {
        let rows = state["snapshots"].as_array().expect("rows");
        rows.iter().filter(|row| row["project_id"] == project).count()
    };
    assert_eq!(service.count("/v3/a1/snapshots"), rows("a1", &state));
    let listed = service.ids("/v3/a1/snapshots");
    let mut expected: Vec<(String, String)> = state["snapshots"]
        .as_array()
        .expect("rows")
        .iter()
        .filter(|row| row["project_id"] == "a1")
        .map(|row| {
            (row["created_at"].as_str().expect("a time").to_owned(), row["id"].as_str().expect("an id").to_owned())
        })
        .collect();
    expected.sort_unstable();
    expected.reverse();
    assert_eq!(
        listed,
        expected.into_iter().map(|(_, id)| id).take(500).collect::<Vec<_>>(),
        "in order, the page of its config"
    );
}

#[test]
fn what_version_1_began_is_finished_and_every_change_is_written_as_of_today() {
    let (service, state) = recorded();
    let before = service.count("/v3/a1/snapshots");
    let volume = "aaaaaaaa-0000-4000-8000-000000000001";
    let created = service.new_snapshot("/v3/a1", volume);
    let renamed = "/v3/a1/snapshots/bbbbbbbb-0000-4000-8000-000000000100";
    assert_eq!(service.call("PUT", renamed, &json!({ "snapshot": { "name": "renamed" } })).status, 200);
    let in_page = "/v3/a1/snapshots/bbbbbbbb-0000-4000-8000-000000000120";
    assert_eq!(service.delete(in_page).status, 202);
    let deleting = |state: &Value| {
        let rows = state["snapshots"].as_array().expect("rows").iter();
        rows.filter(|row| row["status"] == "deleting").count()
    };
    assert_eq!(deleting(&state), 3, "version 1 had begun to delete these");

    // Each project gets its turn within a minute of ticks, and everything is due.
    service.advance(31.0);
    assert_eq!(service.count("/v3/a1/snapshots"), before - 3, "due is due, with or without a tick");
    for _ in 0..60 {
        tick(&service);
        service.advance(1.0);
    }
    assert_eq!(service.count("/v3/a1/snapshots"), before - 3);
    assert_eq!(deleting(&service.state()), 0);
    assert_eq!(service.in_use("snapshots"), json!(before - 3));
    assert_eq!(service.in_use("gigabytes"), json!(before - 3 + 4));
    assert_eq!(service.status_of(&format!("/v3/a1/snapshots/{created}")).as_deref(), Some("available"));
    let dump = service.key_value.dump();
    assert!(is_of_version(&dump["vs:project:a1"], 2));
    assert!(
        !String::from_utf8_lossy(&dump["vs:project:a1"]).contains("former_agenda"),
        "the agenda is where it belongs"
    );
    assert!(is_of_version(&dump["vs:snapshot:bbbbbbbb-0000-4000-8000-000000000100"], 2));
    assert!(is_of_version(&dump["vs:snapshot:bbbbbbbb-0000-4000-8000-000000000101"], 1), "what nobody changed stays");

    let repair = service.operate("POST", "/_ops/repair", &Value::Null);
    for field in ["entries_without_row", "rows_without_entry", "counters", "rows_without_agenda"] {
        assert_eq!(repair.body[field], 0, "{repair:?}");
    }
    // An administrator had set this one to creating, which would keep it from going.
    let action = "/v3/a1/snapshots/bbbbbbbb-0000-4000-8000-000000000004/action";
    let reset = service.call("POST", action, &json!({ "os-reset_status": { "status": "error" } }));
    assert_eq!(reset.status, 202, "{reset:?}");
    // The volume of project a1 has a snapshot of project b2, which version 1 did not note where we look.
    let answer = service.delete(&format!("/v3/a1/volumes/{volume}?cascade=true"));
    assert_eq!(answer.status, 202, "{answer:?}");
    let others = service.state();
    let other = others["snapshots"].as_array().expect("rows").iter().find(|row| row["project_id"] == "b2");
    assert_eq!(other.expect("still there")["status"], "deleting");
}

/// The component goes on where version 1 stopped: it shows the same, and ends what was begun.
#[test]
fn the_component_reads_what_version_1_wrote() {
    let (now, values, state) = record();
    let (service, memory) = ComponentService::with_memory(&[("quota_snapshots", "-1"), ("delete_seconds", "30")]);
    memory.set_many("default", &values).expect("memory takes everything");
    let start = Timestamp::from_seconds(i64::try_from(START).expect("small"));
    let microseconds = u64::try_from(now.microseconds() - start.microseconds()).expect("later");
    service.clock.advance(std::time::Duration::from_micros(microseconds));
    assert!(without_history(service.state()) == state, "the state is not as it was");

    let before = service.count("/v3/a1/snapshots");
    service.advance(31.0);
    for _ in 0..60 {
        service.tick().expect("a tick");
        service.advance(1.0);
    }
    assert_eq!(service.count("/v3/a1/snapshots"), before - 3, "three were being deleted");
    assert_eq!(service.in_use("snapshots"), json!(before - 3));
    assert!(is_of_version(&memory.rows("default")["vs:project:a1"], 2));
    assert_eq!(service.app.traps(), 0);
}
