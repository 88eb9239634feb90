//! `POST /_ops/repair` repairs and reports inconsistencies that only damage can cause. The scheduled step finds those
//! that are cheap to detect. Native, on a store that the test damages behind the service's back.

use crate::support::calls::{Answer, Calls};
use crate::support::faults::{Fault, When};
use crate::support::memory_key_value::MemoryKeyValue;
use crate::support::native::{NativeService, TestVariables};
use crate::support::{Service, operator};
use serde_json::{Value, json};
use uuid::Uuid;
use volume_snapshots::store::KeyValue;

const VOLUME: &str = "aaaaaaaa-0000-4000-8000-000000000001";

fn snapshot_id(number: usize) -> String {
    format!("bbbbbbbb-0000-4000-8000-{number:012}")
}

/// Returns a project with snapshots, most of them in pages, whose counters exist.
fn service_with(snapshots: usize) -> NativeService {
    let service = NativeService::with_variables(
        TestVariables::default().with("quota_snapshots", "-1").with("quota_gigabytes", "-1"),
    );
    let rows: Vec<Value> = (0..snapshots)
        .map(|number| {
            json!({
                "id": snapshot_id(number),
                "project_id": "a1",
                "size": 2,
                "created_at": format!("2026-01-{:02}T{:02}:00:00", 1 + number / 24 % 28, number % 24),
            })
        })
        .collect();
    service.put_state(&json!({ "volumes": [{ "project_id": "a1" }], "snapshots": rows }));
    service.new_snapshot("/v3/a1", VOLUME);
    service.advance(10.0);
    service
}

fn repair(service: &NativeService) -> Answer {
    let answer = service.operate("POST", "/_ops/repair", &Value::Null);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

/// Returns the fields of a report that show an inconsistency.
fn wrong(report: &Value) -> Vec<(String, u64)> {
    let fields = ["entries_without_row", "rows_without_entry", "counters", "rows_without_agenda"];
    fields
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), report[name].as_u64().filter(|count| *count > 0)?)))
        .collect()
}

/// Checks that listing, count, quota, and rows agree with each other.
fn assert_agrees(service: &NativeService, case: &str) {
    let state = service.state();
    let mut rows: Vec<&str> =
        state["snapshots"].as_array().expect("rows").iter().map(|row| row["id"].as_str().expect("an id")).collect();
    let mut listed = service.ids("/v3/a1/snapshots");
    assert_eq!(service.count("/v3/a1/snapshots"), listed.len(), "{case}");
    rows.sort_unstable();
    listed.sort_unstable();
    assert_eq!(listed, rows, "{case}");
    assert_eq!(service.in_use("snapshots"), json!(rows.len()), "{case}");
}

fn get(store: &MemoryKeyValue, key: &str) -> Vec<u8> {
    store.dump()[key].clone()
}

fn set(store: &MemoryKeyValue, key: &str, value: Vec<u8>) {
    store.set_many(&[(key.to_owned(), value)]).expect("memory takes everything");
}

#[test]
fn a_store_that_is_right_is_left_as_it_is() {
    let service = service_with(200);
    let before = service.key_value.dump();
    let report = repair(&service).body;
    assert_eq!(wrong(&report), []);
    assert_eq!((report["projects"].clone(), report["rows"].clone()), (json!(1), json!(202)));
    assert_eq!(report["pages_suspected"], 0);
    let state = |dump: std::collections::BTreeMap<String, Vec<u8>>| {
        dump.into_iter().filter(|(key, _)| key.contains(":page:") || key.contains("shot:")).collect::<Vec<_>>()
    };
    assert_eq!(state(service.key_value.dump()), state(before));
}

#[test]
fn damage_of_every_kind_is_found_and_put_right() {
    /// The name of the damage, its cause, and the expected report.
    type Case = (&'static str, fn(&NativeService), &'static [(&'static str, u64)]);
    let cases: [Case; 7] = [
        (
            "rows are gone",
            |service| {
                let keys = [snapshot_id(3), snapshot_id(150)].map(|id| format!("vs1:snapshot:{id}"));
                service.key_value.delete_many(&keys).expect("deletes");
            },
            &[("entries_without_row", 2), ("counters", 4)],
        ),
        (
            "a row came that no listing names",
            |service| {
                let mut row = get(&service.key_value, &format!("vs1:snapshot:{}", snapshot_id(7)));
                let id = snapshot_id(999);
                // A row starts with the length of its id and the id, after the line with its version.
                let place = row.iter().position(|byte| *byte == b'\n').expect("a header") + 2;
                row[place..place + 16].copy_from_slice(Uuid::parse_str(&id).expect("an id").as_bytes());
                set(&service.key_value, &format!("vs1:snapshot:{id}"), row);
            },
            &[("rows_without_entry", 1), ("counters", 4)],
        ),
        (
            "the record is an old one",
            |service| {
                let record = get(&service.key_value, "vs1:project:a1");
                for _ in 0..5 {
                    service.new_snapshot("/v3/a1", VOLUME);
                }
                set(&service.key_value, "vs1:project:a1", record);
            },
            &[("rows_without_entry", 5), ("counters", 4)],
        ),
        (
            "the agenda is lost",
            |service| {
                for number in [5, 180] {
                    assert_eq!(service.delete(&format!("/v3/a1/snapshots/{}", snapshot_id(number))).status, 202);
                }
                set(&service.key_value, "vs1:agenda:07", b"1 0\n[]".to_vec());
            },
            &[("rows_without_agenda", 2)],
        ),
        (
            "a page is lost",
            |service| {
                let dump = service.key_value.dump();
                let page = dump.keys().find(|key| key.starts_with("vs1:page:")).expect("a page").clone();
                service.key_value.delete_many(&[page]).expect("deletes");
            },
            // Readers see too few rows: all rows that the lost page named have no entry.
            &[("rows_without_entry", 172)],
        ),
        (
            "the record is gone",
            |service| service.key_value.delete_many(&["vs1:project:a1".to_owned()]).expect("deletes"),
            &[("rows_without_entry", 202), ("counters", 6)],
        ),
        (
            "a counter was set by hand",
            |service| {
                let mut state = service.state();
                state["quota_usage"]["a1"]["snapshots"]["in_use"] = json!(7);
                service.put_state(&state);
            },
            &[("counters", 1)],
        ),
    ];
    for (case, damage, expected) in cases {
        let service = service_with(200);
        damage(&service);
        let report = repair(&service).body;
        let expected: Vec<(String, u64)> = expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        assert_eq!(wrong(&report), expected, "{case}: {report}");
        assert_eq!(wrong(&repair(&service).body), [], "{case}: once is enough");
        if case == "the record is gone" {
            // The counters were in the record. The next use creates them again.
            service.new_snapshot("/v3/a1", VOLUME);
        }
        assert_agrees(&service, case);
        service.advance(120.0);
        for _ in 0..3 {
            service.operate("POST", "/_ops/tick", &Value::Null);
        }
        assert_agrees(&service, case);
        let deleting = service.state()["snapshots"]
            .as_array()
            .expect("rows")
            .iter()
            .filter(|row| row["status"] == "deleting")
            .count();
        assert_eq!(deleting, 0, "{case}");
    }
}

/// The ways in which a repair can be stopped at a call: what happens at the call, and what happens after it.
fn stops() -> [(&'static str, Fault, Option<Fault>); 4] {
    let error = || "disk I/O error".to_owned();
    [
        ("dies before", Fault::KillBefore, Some(Fault::KillBefore)),
        ("dies after", Fault::KillAfter, Some(Fault::KillBefore)),
        ("fails before", Fault::ErrorBefore(error()), None),
        ("fails after", Fault::ErrorAfter(error()), None),
    ]
}

/// A repair finishes the work of one that was stopped at any call.
#[test]
fn a_repair_may_stop_anywhere() {
    for (name, fault, afterwards) in stops() {
        for call in 1.. {
            let service = service_with(200);
            let path = format!("/v3/a1/snapshots/{}", snapshot_id(180));
            assert_eq!(service.delete(&path).status, 202);
            set(&service.key_value, "vs1:agenda:07", b"1 0\n[]".to_vec());
            let keys = [snapshot_id(3), snapshot_id(150)].map(|id| format!("vs1:snapshot:{id}"));
            service.key_value.delete_many(&keys).expect("deletes");
            service.key_value.faults.reset();
            service.key_value.faults.plan(When::Call(call), fault.clone());
            if let Some(afterwards) = &afterwards {
                service.key_value.faults.plan(When::FromCall(call + 1), afterwards.clone());
            }
            let stopped = service.operate("POST", "/_ops/repair", &Value::Null).status;
            let calls = service.key_value.faults.calls().len();
            service.key_value.faults.reset();
            let case = format!("{name} call {call}");
            assert!([200, 500, 503].contains(&stopped), "{case}: {stopped}");
            repair(&service);
            assert_eq!(wrong(&repair(&service).body), [], "{case}");
            assert_agrees(&service, &case);
            if calls < call {
                break;
            }
        }
    }
}

/// A request may be about to name a page that it has just written. So a page that nothing names is only deleted by a
/// repair that runs ten minutes after the one that saw it first.
#[test]
fn a_page_that_nothing_names_is_deleted_by_a_later_repair() {
    let service = service_with(200);
    let dump = service.key_value.dump();
    let page = dump.iter().find(|(key, _)| key.starts_with("vs1:page:")).expect("a page").1.clone();
    set(&service.key_value, "vs1:page:00000000000000aa", page);
    let report = |seconds: f64| {
        service.advance(seconds);
        let body = repair(&service).body;
        (body["pages_suspected"].clone(), body["pages_deleted"].clone())
    };
    assert_eq!(report(0.0), (json!(1), json!(0)));
    // The clock is set back. The ten minutes count from then.
    assert_eq!(report(-86_400.0), (json!(1), json!(0)));
    assert_eq!(report(599.0), (json!(1), json!(0)));
    assert_eq!(report(1.0), (json!(0), json!(1)));
    assert_eq!(report(0.0), (json!(0), json!(0)));
    assert!(!service.key_value.dump().contains_key("vs1:page:00000000000000aa"));
    assert_agrees(&service, "the pages that are named stay");
}

/// The scheduled step checks the projects in turn.
#[test]
fn the_tick_finds_by_itself_what_is_cheap_to_see() {
    let service = service_with(20);
    service.key_value.delete_many(&[format!("vs1:snapshot:{}", snapshot_id(3))]).expect("deletes");
    let mut repaired = 0;
    for _ in 0..40 {
        let report = crate::support::json(&service.send(operator("POST", "/_ops/tick", b"")));
        repaired += report["repaired"].as_u64().expect("a count");
        service.advance(1.0);
    }
    assert!(repaired > 0);
    assert_agrees(&service, "a row is gone");
    assert_eq!(wrong(&repair(&service).body), []);
}
