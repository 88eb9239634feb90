//! Runs of the schedule while other writers are always faster on one value. Such a value holds up nothing else, and the
//! next run goes on with it.

use serde_json::{Value, json};
use volume_snapshots::store::key_value::{ReadToSwap, Swap};
use volume_snapshots::store::{KeyValue, StoreError};

use crate::support::calls::Calls;
use crate::support::faults::CallKind;
use crate::support::native::{NativeService, TestVariables};
use crate::support::{Service, json, operator};

/// A store in which every swap of a key, or of the keys with a prefix, comes too late.
struct Contended<'a> {
    service: &'a NativeService,
    key: &'a str,
}

/// A swap that another writer has overtaken.
struct Late;

impl Swap for Late {
    fn swap(self: Box<Self>, _value: &[u8]) -> Result<bool, StoreError> {
        Ok(false)
    }
}

impl KeyValue for Contended<'_> {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.service.key_value.get(key)
    }

    fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.service.key_value.get_many(keys)
    }

    fn set_many(&self, entries: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
        self.service.key_value.set_many(entries)
    }

    fn delete_many(&self, keys: &[String]) -> Result<(), StoreError> {
        self.service.key_value.delete_many(keys)
    }

    fn keys(&self) -> Result<Vec<String>, StoreError> {
        self.service.key_value.keys()
    }

    fn increment(&self, key: &str, delta: i64) -> Result<i64, StoreError> {
        self.service.key_value.increment(key, delta)
    }

    fn read_to_swap<'b>(&'b self, key: &str) -> Result<ReadToSwap<'b>, StoreError> {
        let read = self.service.key_value.read_to_swap(key)?;
        Ok(if key.starts_with(self.key) { ReadToSwap { handle: Box::new(Late), ..read } } else { read })
    }

    fn pause(&self, _attempt: u32) {}
}

/// Projects whose agenda items are in different slots, and two that share a slot.
const PROJECTS: [&str; 5] = ["a1", "b2", "c3", "p0", "p16"];
const SNAPSHOTS: usize = 3;

fn volume_of(project: &str) -> String {
    let number = PROJECTS.iter().position(|own| *own == project).expect("a project");
    format!("aaaaaaaa-0000-4000-8000-{number:012}")
}

fn snapshot_of(project: &str, number: usize) -> String {
    let owner = PROJECTS.iter().position(|own| *own == project).expect("a project");
    format!("bbbbbbbb-0000-4000-8000-{:012}", owner * SNAPSHOTS + number)
}

/// Returns a service in which each project has a volume with snapshots. With `of_one_volume`, all snapshots are of the
/// volume of `a1`.
fn service(progression: &str, of_one_volume: bool) -> NativeService {
    let variables = TestVariables::default().with("progression", progression).with("cascade_at_once", "4");
    let service = NativeService::with_variables(variables);
    let volumes: Vec<Value> =
        PROJECTS.iter().map(|project| json!({ "id": volume_of(project), "project_id": project })).collect();
    let rows = PROJECTS.iter().flat_map(|project| (0..SNAPSHOTS).map(move |number| (project, number)));
    let rows = rows.map(|(project, number)| {
        let volume = volume_of(if of_one_volume { "a1" } else { project });
        json!({ "id": snapshot_of(project, number), "project_id": project, "volume_id": volume })
    });
    service.put_state(&json!({ "volumes": volumes, "snapshots": rows.collect::<Vec<_>>() }));
    service
}

/// Runs the schedule once, with other writers on one key, and returns its report.
fn tick_beside_writers_of(service: &NativeService, key: &str) -> Value {
    let answer = service.send_through(&Contended { service, key }, operator("POST", "/_ops/tick", b""));
    assert_eq!(answer.status(), 200, "{key}: {}", json(&answer));
    json(&answer)
}

/// Returns the number of a project's snapshots that readers see.
fn left(service: &NativeService, project: &str) -> usize {
    service.ids(&format!("/v3/a1/snapshots?all_tenants=1&project_id={project}")).len()
}

/// Checks that later runs finish all work, and that nothing is wrong then.
fn check_finished(service: &NativeService, case: &str) {
    for _ in 0..5 {
        service.advance(1.0);
        service.operate("POST", "/_ops/tick", &Value::Null);
    }
    let state = service.state();
    assert_eq!(state["snapshots"], json!([]), "{case}");
    for (project, usage) in state["quota_usage"].as_object().expect("projects") {
        assert_eq!(usage.get("snapshots").map_or(&json!(0), |usage| &usage["in_use"]), &json!(0), "{case}: {project}");
    }
    let repair = service.operate("POST", "/_ops/repair", &Value::Null).body;
    for found in ["entries_without_row", "rows_without_entry", "counters", "rows_without_agenda"] {
        assert_eq!(repair[found], 0, "{case}: {repair}");
    }
    let stored = service.key_value.dump();
    assert!(!stored.keys().any(|key| key.starts_with("vs1:snapshot:")), "{case}: no row is left");
}

#[test]
fn a_value_on_which_other_writers_are_faster_holds_up_only_its_own_project() {
    let row = format!("vs1:snapshot:{}", snapshot_of("b2", 1));
    for progression in ["time", "immediate"] {
        for key in ["vs1:project:a1", "vs1:project:p16", "vs1:agenda:07", &row] {
            let case = format!("{progression}, {key}");
            let service = service(progression, false);
            for project in PROJECTS {
                for number in 0..SNAPSHOTS {
                    let answer = service.delete(&format!("/v3/a1/snapshots/{}", snapshot_of(project, number)));
                    assert_eq!(answer.status, 202, "{case}: {answer:?}");
                }
            }
            service.advance(1.0);
            let report = tick_beside_writers_of(&service, key);
            // The rows of `immediate` that were not settled are still there, and only these.
            let held_up = usize::from(progression == "immediate" && key == row);
            assert_eq!(PROJECTS.iter().map(|project| left(&service, project)).sum::<usize>(), held_up, "{case}");
            let removed = match key {
                _ if key.starts_with("vs1:project:") => (PROJECTS.len() - 1) * SNAPSHOTS,
                _ => PROJECTS.len() * SNAPSHOTS - held_up,
            };
            assert_eq!(report["removed"], removed, "{case}: {report}");
            check_finished(&service, &case);
        }
    }
}

#[test]
fn a_cascade_goes_on_where_no_other_writer_is_faster() {
    for key in ["vs1:project:a1", "vs1:project:c3", "vs1:agenda:07", &format!("vs1:volume:{}", volume_of("a1"))] {
        let service = service("time", true);
        let path = format!("/v3/a1/volumes/{}?cascade=true", volume_of("a1"));
        assert_eq!(service.delete(&path).status, 202, "{key}");
        service.advance(1.0);
        let report = tick_beside_writers_of(&service, key);
        assert_eq!(report["more"], true, "{key}: {report}");
        // Without its place on the agenda, no snapshot is removed.
        let held_up = if key.starts_with("vs1:agenda:") { SNAPSHOTS } else { 0 };
        assert_eq!(left(&service, "b2"), held_up, "{key}");
        check_finished(&service, key);
        assert_eq!(service.status_of(&format!("/v3/a1/volumes/{}", volume_of("a1"))), None, "{key}");
    }
}

#[test]
fn a_run_in_which_other_writers_are_faster_too_often_ends_within_the_limit_of_the_host() {
    let service = service("immediate", false);
    for project in PROJECTS {
        for number in 0..SNAPSHOTS {
            let answer = service.delete(&format!("/v3/a1/snapshots/{}", snapshot_of(project, number)));
            assert_eq!(answer.status, 202, "{answer:?}");
        }
    }
    service.advance(1.0);
    service.key_value.faults.reset();
    let every_row = Contended { service: &service, key: "vs1:snapshot:" };
    assert_eq!(service.send_through(&every_row, operator("POST", "/_ops/tick", b"")).status(), 503);
    let swaps = service.key_value.faults.count(CallKind::Current);
    assert!(swaps <= 256, "Spin opens no more, and there were {swaps}");
    check_finished(&service, "afterwards");
}
