//! A stored value is read by every later release. One store was recorded as format version 1 wrote it, with the state that
//! clients saw then: this release must show the same, and go on from there.
//!
//! `UPDATE_FORMAT=1 cargo test --test it formats` records the store again. Do so only together with a new format version,
//! and keep the older recordings.

use crate::support::calls::Calls;
use crate::support::component::{ComponentService, START};
use crate::support::native::{NativeService, TestVariables};
use crate::support::{Service, operator};
use serde_json::{Map, Value, json};
use volume_snapshots::domain::Timestamp;
use volume_snapshots::store::{FORMAT_VERSION, KeyValue};
use volume_snapshots_host::Store;

/// A volume of project `a1` in the recording.
const VOLUME: &str = "aaaaaaaa-0000-4000-8000-000000000001";

/// The recording of format version 1.
const VERSION_1: &str = "tests/it/format/version-1.json";

/// A recorded store.
struct Recording {
    /// The time of the recording.
    now: Timestamp,
    values: Vec<(String, Vec<u8>)>,
    /// The state that clients saw then.
    state: Value,
}

impl Recording {
    fn read(path: &str) -> Self {
        let json = std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).expect("a recording");
        let mut recording: Value = serde_json::from_str(&json).expect("JSON");
        let values = recording["values"].as_object().expect("values");
        let values = values.iter().map(|(key, value)| (key.clone(), bytes(value))).collect();
        let now = recording["now"].as_str().expect("a time").parse().expect("a time");
        Self { now, values, state: recording["state"].take() }
    }

    /// A service on the recorded store, at the time of the recording.
    fn service(&self) -> NativeService {
        let service = NativeService::with_variables(variables());
        service.key_value.set_many(&self.values).expect("memory takes everything");
        service.set_now(self.now);
        service
    }

    /// The number of snapshots of `a1` whose deletion had begun.
    fn deleting(&self) -> usize {
        snapshots(&self.state).filter(|row| row["project_id"] == "a1" && being_removed(row)).count()
    }
}

fn variables() -> TestVariables {
    TestVariables::default().with("quota_snapshots", "-1").with("delete_seconds", "30")
}

/// A recorded value: a string, or the hexadecimal digits of bytes.
fn bytes(value: &Value) -> Vec<u8> {
    if let Some(string) = value.as_str() {
        return string.as_bytes().to_vec();
    }
    let digits = value["hex"].as_str().expect("a string or bytes").as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("digits"), 16).expect("digits")).collect()
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

fn snapshot_id(number: usize) -> String {
    format!("bbbbbbbb-0000-4000-8000-{number:012}")
}

/// Records a store with rows of every shape: pages and a head, deletions begun, work under way, and two projects.
fn record() {
    let service = NativeService::with_variables(variables());
    let rows: Vec<Value> = (0..80)
        .map(|number| {
            let mut row = json!({
                "id": snapshot_id(number), "project_id": "a1", "volume_id": VOLUME, "name": format!("snapshot-{number}"),
                "created_at": format!("2026-01-01T{:02}:{:02}:00", number / 60, number % 60),
                "metadata": { "tier": "gold", "unicode": "é" },
            });
            match number % 5 {
                1 => row["status"] = json!("creating"),
                2 => row["status"] = json!("error"),
                3 => row["description"] = Value::Null,
                _ => {}
            }
            row
        })
        .collect();
    let mut rows = rows;
    rows.push(json!({ "id": snapshot_id(900), "project_id": "b2", "volume_id": VOLUME, "consumes_quota": false }));
    service.put_state(&json!({
        "volumes": [
            { "id": VOLUME, "project_id": "a1", "host": "host1@lvm#pool" },
            { "id": "aaaaaaaa-0000-4000-8000-000000000002", "project_id": "b2", "status": "in-use", "size": 3 },
        ],
        "snapshots": rows,
        "quotas": { "gigabytes": 5000 },
        "services": [{ "host": "host1@lvm" }],
        "config": { "osapi_max_limit": 500 },
    }));
    service.advance(10.0);
    for number in (30..70).step_by(5) {
        let answer = service.delete(&format!("/v3/a1/snapshots/{}", snapshot_id(number)));
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    service.new_snapshot("/v3/a1", VOLUME);
    service.advance(3.0);
    tick(&service);
    let state = service.state();
    let values: Map<String, Value> = service
        .key_value
        .dump()
        .into_iter()
        .map(|(key, value)| {
            let value = match String::from_utf8(value) {
                Ok(string) => Value::String(string),
                Err(error) => {
                    let digits: Vec<String> = error.into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
                    json!({ "hex": digits.concat() })
                }
            };
            (key, value)
        })
        .collect();
    let recording = json!({ "now": service.now().to_string(), "state": state, "values": values });
    let path = format!("{}/{VERSION_1}", env!("CARGO_MANIFEST_DIR"));
    std::fs::write(path, serde_json::to_string(&recording).expect("JSON") + "\n").expect("the recording is written");
}

#[test]
fn everything_that_was_recorded_is_shown_as_it_was() {
    if std::env::var_os("UPDATE_FORMAT").is_some() {
        record();
    }
    let recording = Recording::read(VERSION_1);
    let service = recording.service();
    assert!(service.state() == recording.state, "the state is not as it was");
    assert!(service.key_value.dump().into_iter().eq(recording.values.iter().cloned()), "reading writes nothing");

    let rows = || snapshots(&recording.state).filter(|row| row["project_id"] == "a1");
    assert_eq!(service.count("/v3/a1/snapshots"), rows().count());
    let string = |value: &Value| value.as_str().expect("a string").to_owned();
    let mut expected: Vec<(String, String)> =
        rows().map(|row| (string(&row["created_at"]), string(&row["id"]))).collect();
    expected.sort_unstable();
    expected.reverse();
    let expected: Vec<String> = expected.into_iter().map(|(_, id)| id).take(500).collect();
    assert_eq!(service.ids("/v3/a1/snapshots"), expected, "in order, a page of the recorded limit");
}

#[test]
fn work_that_was_begun_is_finished() {
    let recording = Recording::read(VERSION_1);
    let service = recording.service();
    let (before, deleting) = (service.count("/v3/a1/snapshots"), recording.deleting());
    assert!(deleting > 0, "the recording has deletions that were begun");
    let created = service.new_snapshot("/v3/a1", VOLUME);
    let renamed = format!("/v3/a1/snapshots/{}", snapshot_id(31));
    assert_eq!(service.call("PUT", &renamed, &json!({ "snapshot": { "name": "renamed" } })).status, 200);

    service.advance(31.0);
    let left = before - deleting + 1;
    assert_eq!(service.count("/v3/a1/snapshots"), left, "due is due, with or without a tick");
    for _ in 0..60 {
        tick(&service);
        service.advance(1.0);
    }
    assert_eq!(service.count("/v3/a1/snapshots"), left);
    assert!(!snapshots(&service.state()).any(being_removed));
    assert_eq!(service.in_use("snapshots"), json!(left));
    assert_eq!(service.status_of(&format!("/v3/a1/snapshots/{created}")).as_deref(), Some("available"));
    let repair = service.operate("POST", "/_ops/repair", &Value::Null);
    for field in ["entries_without_row", "rows_without_entry", "counters", "rows_without_agenda"] {
        assert_eq!(repair.body[field], 0, "{repair:?}");
    }
}

#[test]
fn every_value_names_its_format_version() {
    let recording = Recording::read(VERSION_1);
    let service = recording.service();
    service.put_state(&service.state());
    let version = format!("{FORMAT_VERSION} ");
    let is_counter = |key: &str| key.contains(":claim");
    for (key, value) in service.key_value.dump() {
        assert!(is_counter(&key) || value.starts_with(version.as_bytes()), "{key}");
    }
    assert!(service.state() == recording.state, "written again, the state is as it was");
}

#[test]
fn the_component_goes_on_from_the_recording() {
    let recording = Recording::read(VERSION_1);
    let (service, memory) = ComponentService::with_memory(&[("quota_snapshots", "-1"), ("delete_seconds", "30")]);
    memory.set_many("default", &recording.values).expect("memory takes everything");
    let start = Timestamp::from_seconds(i64::try_from(START).expect("small"));
    let microseconds = u64::try_from(recording.now.microseconds() - start.microseconds()).expect("later");
    service.clock.advance(std::time::Duration::from_micros(microseconds));
    assert!(service.state() == recording.state, "the state is not as it was");

    let left = service.count("/v3/a1/snapshots") - recording.deleting();
    service.advance(31.0);
    for _ in 0..60 {
        service.tick().expect("a tick");
        service.advance(1.0);
    }
    assert_eq!(service.count("/v3/a1/snapshots"), left);
    assert_eq!(service.in_use("snapshots"), json!(left));
    assert_eq!(service.app.traps(), 0);
}

/// Returns the lines that the service logged.
fn logged(service: &NativeService) -> String {
    service.log.borrow().join("\n")
}

#[test]
fn a_store_of_an_unreleased_version_is_refused_until_it_is_deleted() {
    for key in ["vs:agenda:00", "vs:projects", "vs:deployment"] {
        let service = NativeService::with_variables(variables());
        service.key_value.set_many(&[(key.to_owned(), b"3 0\n[]".to_vec())]).expect("memory takes everything");
        let before = service.key_value.dump();
        let create = json!({ "volume": { "size": 1 } });
        for (method, path, body) in [
            ("GET", "/healthcheck", &Value::Null),
            ("POST", "/v3/a1/volumes", &create),
            ("GET", "/healthcheck", &Value::Null),
        ] {
            let answer = service.call(method, path, body);
            assert_eq!((answer.status, answer.fault().0), (500, "computeFault"), "{key}: {method} {path}: {answer:?}");
        }
        let tick = service.send(operator("POST", "/_ops/tick", b""));
        assert_eq!(tick.status(), 500, "{key}");
        for (method, path) in [("PUT", "/_ops/state"), ("GET", "/_ops/state"), ("POST", "/_ops/repair")] {
            assert_eq!(service.send(operator(method, path, b"{}")).status(), 500, "{key}: {method} {path}");
        }
        let reason = format!("'{key}' was written by an unreleased version of this service; delete the store");
        assert!(logged(&service).contains(&reason), "{}", logged(&service));
        assert_eq!(service.key_value.dump(), before, "nothing was written beside it");

        assert_eq!(service.send(operator("DELETE", "/_ops/state", b"")).status(), 204);
        assert_eq!(service.call("GET", "/healthcheck", &Value::Null).status, 200);
        assert_eq!(service.call("POST", "/v3/a1/volumes", &create).status, 202);
    }
}

#[test]
fn a_value_of_an_unknown_format_version_is_refused_and_the_log_says_why() {
    let service = NativeService::with_variables(variables());
    service.put_state(&json!({ "volumes": [{ "id": VOLUME, "project_id": "a1" }] }));
    let key = format!("vs1:volume:{VOLUME}");
    let newer = FORMAT_VERSION + 1;
    service.key_value.set_many(&[(key.clone(), format!("{newer} 0\nof the future").into_bytes())]).expect("a write");
    let answer = service.call("GET", &format!("/v3/a1/volumes/{VOLUME}"), &Value::Null);
    assert_eq!((answer.status, answer.fault().0), (500, "computeFault"), "{answer:?}");
    let log = logged(&service);
    assert!(log.contains(&key) && log.contains(&format!("format version {newer}")), "{log}");
}
