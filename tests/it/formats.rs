//! What an older release has stored is read by this one: stores as format versions 1 and 2 wrote them, each recorded on
//! the day before the next (`docs/adr/0003-agenda-and-compact-pages.md`, `docs/adr/0007-rows-in-bytes.md`), with all that
//! is in them, and used as if nothing had been.

use crate::support::calls::Calls;
use crate::support::component::{ComponentService, START};
use crate::support::native::{NativeService, TestVariables};
use crate::support::{Service, operator};
use serde_json::{Value, json};
use volume_snapshots::domain::Timestamp;
use volume_snapshots::store::{FORMAT_VERSION, KeyValue};
use volume_snapshots_host::Store;

/// A volume of project `a1` in every record.
const VOLUME: &str = "aaaaaaaa-0000-4000-8000-000000000001";

/// What one format version left behind.
struct Record {
    version: u8,
    /// When it was recorded.
    now: Timestamp,
    values: Vec<(String, Vec<u8>)>,
    /// What that release showed of them then.
    state: Value,
}

impl Record {
    fn read(version: u8, text: &str) -> Self {
        let mut record: Value = serde_json::from_str(text).expect("JSON");
        let values = record["values"].as_object().expect("values");
        let values = values.iter().map(|(key, value)| (key.clone(), stored(value))).collect();
        let now = record["now"].as_str().expect("a time").parse().expect("a time");
        Self { version, now, values, state: record["state"].take() }
    }

    /// A service on the recorded store, at the time of the record.
    fn service(&self) -> NativeService {
        let variables = TestVariables::default().with("quota_snapshots", "-1").with("delete_seconds", "30");
        let service = NativeService::with_variables(variables);
        service.key_value.set_many(&self.values).expect("memory takes everything");
        service.set_now(self.now);
        service
    }

    /// The state as that release showed it: version 1 did not tell that the clock has ended the work of some.
    fn state_of(&self, service: &impl Service) -> Value {
        let mut state = service.state();
        if self.version == 1 {
            for row in state["snapshots"].as_array_mut().expect("rows") {
                row.as_object_mut().expect("a row").remove("history");
            }
        }
        state
    }

    /// How many snapshots it had begun to delete.
    fn deleting(&self) -> usize {
        snapshots(&self.state).filter(|row| row["project_id"] == "a1" && being_removed(row)).count()
    }
}

/// A recorded value: a text, or the bytes of something else.
fn stored(value: &Value) -> Vec<u8> {
    if let Some(text) = value.as_str() {
        return text.as_bytes().to_vec();
    }
    let digits = value["hex"].as_str().expect("a text or bytes").as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("digits"), 16).expect("digits")).collect()
}

fn records() -> [Record; 2] {
    [Record::read(1, include_str!("format/version-1.json")), Record::read(2, include_str!("format/version-2.json"))]
}

fn snapshots(state: &Value) -> impl Iterator<Item = &Value> {
    state["snapshots"].as_array().expect("rows").iter()
}

fn being_removed(row: &Value) -> bool {
    row["pending"]["completion"] == "remove"
}

fn tick(service: &NativeService) -> Value {
    let answer = service.send(operator("POST", "/_ops/tick", b""));
    assert!(answer.status().is_success(), "{}", crate::support::text(&answer));
    crate::support::json(&answer)
}

/// Whether a stored value is of a format version.
fn is_of_version(value: &[u8], version: u8) -> bool {
    value.starts_with(&[b'0' + version, b' '])
}

/// Whether a stored value is as this release writes it.
fn is_of_today(value: &[u8]) -> bool {
    is_of_version(value, u8::try_from(FORMAT_VERSION).expect("small"))
}

#[test]
fn everything_that_an_older_version_kept_is_shown_as_it_was() {
    for record in records() {
        let service = record.service();
        assert!(record.state_of(&service) == record.state, "version {}: the state is not as it was", record.version);
        assert!(service.key_value.dump().into_iter().eq(record.values.iter().cloned()), "reading writes nothing");

        let rows = || snapshots(&record.state).filter(|row| row["project_id"] == "a1");
        assert_eq!(service.count("/v3/a1/snapshots"), rows().count());
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let mut expected: Vec<(String, String)> =
            rows().map(|row| (text(&row["created_at"]), text(&row["id"]))).collect();
        expected.sort_unstable();
        expected.reverse();
        let expected: Vec<String> = expected.into_iter().map(|(_, id)| id).take(500).collect();
        assert_eq!(service.ids("/v3/a1/snapshots"), expected, "in order, the page of its config");
    }
}

#[test]
fn what_an_older_version_began_is_finished_and_every_change_is_written_as_of_today() {
    for record in records() {
        let service = record.service();
        let (before, deleting) = (service.count("/v3/a1/snapshots"), record.deleting());
        assert!(deleting > 0, "the record has something that was begun");
        let created = service.new_snapshot("/v3/a1", VOLUME);
        let renamed = "/v3/a1/snapshots/bbbbbbbb-0000-4000-8000-000000000100";
        assert_eq!(service.call("PUT", renamed, &json!({ "snapshot": { "name": "renamed" } })).status, 200);
        let in_page = "/v3/a1/snapshots/bbbbbbbb-0000-4000-8000-000000000120";
        assert_eq!(service.delete(in_page).status, 202);

        // Each project gets its turn within a minute of ticks, and everything is due.
        service.advance(31.0);
        let left = before - deleting;
        assert_eq!(service.count("/v3/a1/snapshots"), left, "due is due, with or without a tick");
        for _ in 0..60 {
            tick(&service);
            service.advance(1.0);
        }
        assert_eq!(service.count("/v3/a1/snapshots"), left);
        assert!(!snapshots(&service.state()).any(being_removed));
        assert_eq!(service.in_use("snapshots"), json!(left));
        assert_eq!(service.in_use("gigabytes"), json!(left + 4));
        assert_eq!(service.status_of(&format!("/v3/a1/snapshots/{created}")).as_deref(), Some("available"));
        let dump = service.key_value.dump();
        assert!(is_of_today(&dump["vs:project:a1"]));
        assert!(
            !String::from_utf8_lossy(&dump["vs:project:a1"]).contains("former_agenda"),
            "the agenda is where it belongs"
        );
        assert!(is_of_today(&dump["vs:snapshot:bbbbbbbb-0000-4000-8000-000000000100"]));
        let unchanged = &dump["vs:snapshot:bbbbbbbb-0000-4000-8000-000000000101"];
        assert!(is_of_version(unchanged, record.version), "what nobody changed stays");

        let repair = service.operate("POST", "/_ops/repair", &Value::Null);
        for field in ["entries_without_row", "rows_without_entry", "counters", "rows_without_agenda"] {
            assert_eq!(repair.body[field], 0, "{repair:?}");
        }
    }
}

#[test]
fn a_volume_goes_with_snapshots_of_other_projects_that_version_1_did_not_note() {
    let [record, _] = records();
    let service = record.service();
    // One that version 1 had begun to delete is gone in a while, and one that is being created keeps its volume.
    service.advance(31.0);
    // An administrator had set this one to creating.
    let action = "/v3/a1/snapshots/bbbbbbbb-0000-4000-8000-000000000004/action";
    let reset = service.call("POST", action, &json!({ "os-reset_status": { "status": "error" } }));
    assert_eq!(reset.status, 202, "{reset:?}");
    let answer = service.delete(&format!("/v3/a1/volumes/{VOLUME}?cascade=true"));
    assert_eq!(answer.status, 202, "{answer:?}");
    let state = service.state();
    let other = snapshots(&state).find(|row| row["project_id"] == "b2");
    assert_eq!(other.expect("still there")["status"], "deleting");
}

/// Every row that version 2 kept, written anew as of today, shows what it showed.
#[test]
fn rows_of_an_older_version_show_the_same_once_they_are_written_anew() {
    for record in records() {
        let service = record.service();
        service.put_state(&service.state());
        let dump = service.key_value.dump();
        let mut rows = dump.iter().filter(|(key, _)| key.starts_with("vs:snapshot:") || key.starts_with("vs:volume:"));
        assert!(rows.all(|(_, value)| is_of_today(value)));
        assert!(record.state_of(&service) == record.state, "version {}: the state is not as it was", record.version);
    }
}

/// The component goes on where an older version stopped: it shows the same, and ends what was begun.
#[test]
fn the_component_reads_what_an_older_version_wrote() {
    for record in records() {
        let (service, memory) = ComponentService::with_memory(&[("quota_snapshots", "-1"), ("delete_seconds", "30")]);
        memory.set_many("default", &record.values).expect("memory takes everything");
        let start = Timestamp::from_seconds(i64::try_from(START).expect("small"));
        let microseconds = u64::try_from(record.now.microseconds() - start.microseconds()).expect("later");
        service.clock.advance(std::time::Duration::from_micros(microseconds));
        assert!(record.state_of(&service) == record.state, "version {}: the state is not as it was", record.version);

        let left = service.count("/v3/a1/snapshots") - record.deleting();
        service.advance(31.0);
        for _ in 0..60 {
            service.tick().expect("a tick");
            service.advance(1.0);
        }
        assert_eq!(service.count("/v3/a1/snapshots"), left);
        assert_eq!(service.in_use("snapshots"), json!(left));
        assert!(is_of_today(&memory.rows("default")["vs:project:a1"]));
        assert_eq!(service.app.traps(), 0);
    }
}
