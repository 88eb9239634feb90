//! The costs of operations, in numbers that do not depend on the machine: instructions of WebAssembly, calls of the store,
//! commits, bytes of pages, and functions that the host prepares for each request.
//!
//! They are compared with `baseline.json`. Instructions and bytes may differ by a twentieth, all other numbers not at all. A
//! cost that falls further fails too, because a baseline that is too high would let the gain be lost again unnoticed.
//!
//! `UPDATE_BASELINE=1 cargo test --test it costs` rewrites the baseline. A change of the baseline belongs in the commit
//! that caused it, with the reason in the message.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::support::Service;
use crate::support::calls::Calls;
use crate::support::component::{ComponentService, MANIFEST};
use serde_json::{Value, json};
use volume_snapshots_host::{Application, MemoryStore};

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/costs/baseline.json");
const SNAPSHOTS: usize = 10_000;
/// Instructions and bytes may differ from the baseline by one part in this many.
const TOLERANCE: u64 = 20;
const VOLUME: &str = "aaaaaaaa-0000-4000-8000-000000000001";

fn snapshot_id(number: usize) -> String {
    format!("bbbbbbbb-0000-4000-8000-{number:012}")
}

fn state() -> Value {
    let snapshots: Vec<Value> = (0..SNAPSHOTS)
        .map(|number| {
            json!({
                "id": snapshot_id(number), "project_id": "a1", "volume_id": VOLUME, "name": format!("snapshot-{number}"),
                "description": "nightly", "metadata": { "tier": "gold", "number": number.to_string() },
                "created_at": format!("2026-01-{:02}T{:02}:{:02}:{:02}",
                    1 + number / 3_600 / 24, number / 3_600 % 24, number / 60 % 60, number % 60),
            })
        })
        .collect();
    json!({ "volumes": [{ "id": VOLUME, "project_id": "a1" }], "snapshots": snapshots })
}

/// Measures the costs: a number by the name of the operation and of the unit.
fn measured() -> BTreeMap<String, u64> {
    let application = Application::load_counting(MANIFEST).unwrap_or_else(|error| panic!("{error:#}"));
    let memory = Arc::new(MemoryStore::new());
    let service =
        ComponentService::of(&application, memory.clone(), &[("quota_snapshots", "-1"), ("quota_gigabytes", "-1")]);
    service.put_state(&state());
    service.advance(100.0);
    service.tick().expect("a run of the schedule");
    let one = format!("/v3/a1/snapshots/{}", snapshot_id(4_321));
    let metadata = format!("{one}/metadata");
    let volume = format!("/v3/a1/volumes/{VOLUME}");
    let action = format!("{volume}/action");
    let operations = [
        ("discover", "GET", "/v3/".to_owned(), Value::Null),
        ("show", "GET", one.clone(), Value::Null),
        ("list 100", "GET", "/v3/a1/snapshots/detail?limit=100".to_owned(), Value::Null),
        ("list 1000", "GET", "/v3/a1/snapshots/detail?limit=1000".to_owned(), Value::Null),
        ("merge metadata", "POST", metadata.clone(), json!({ "metadata": { "a": "1" } })),
        ("replace metadata", "PUT", metadata, json!({ "metadata": { "tier": "gold", "number": "2" } })),
        ("update", "PUT", one.clone(), json!({ "snapshot": { "name": "n" } })),
        ("create", "POST", "/v3/a1/snapshots".to_owned(), json!({ "snapshot": { "volume_id": VOLUME } })),
        // The first create of a few seconds announces those that follow it.
        ("next create", "POST", "/v3/a1/snapshots".to_owned(), json!({ "snapshot": { "volume_id": VOLUME } })),
        ("delete", "DELETE", one, Value::Null),
        ("reserve a volume", "POST", action.clone(), json!({ "os-reserve": null })),
        (
            "attach a volume",
            "POST",
            action.clone(),
            json!({ "os-attach": { "host_name": "h", "mountpoint": "/dev/vdb" } }),
        ),
        ("show a volume in use", "GET", volume, Value::Null),
        ("detach a volume", "POST", action.clone(), json!({ "os-detach": {} })),
        ("clone a volume", "POST", "/v3/a1/volumes".to_owned(), json!({ "volume": { "source_volid": VOLUME } })),
        ("extend a volume", "POST", action, json!({ "os-extend": { "new_size": 2 } })),
    ];
    let mut costs = BTreeMap::new();
    let mut count = |name: &str, before: u64| {
        costs.insert(format!("{name}, instructions"), service.app.instructions() - before);
        costs.insert(format!("{name}, store calls"), service.faults.calls().len() as u64);
        costs.insert(format!("{name}, commits"), service.faults.commits() as u64);
    };
    for (name, method, path, body) in &operations {
        service.faults.reset();
        let before = service.app.instructions();
        let answer = service.call(method, path, body);
        assert!(answer.status < 300, "{name}: {answer:?}");
        count(name, before);
    }
    service.advance(100.0);
    let before = loop {
        service.faults.reset();
        let before = service.app.instructions();
        service.tick().expect("a run of the schedule");
        // Until the work that the operations left is done, the pages that they changed are dense again, and it is the turn of
        // the project to be looked after, which is the dearer kind of idle run.
        if service.faults.commits() == 0 && service.faults.calls().len() > 1 {
            break before;
        }
        service.advance(1.0);
    };
    count("idle tick", before);

    let functions = application.imported_functions("volume-snapshots").expect("the component");
    costs.insert("component, functions of the host".to_owned(), functions as u64);
    let rows = memory.rows("default");
    let largest = |prefix: &str| {
        let values = rows.iter().filter(|(key, _)| key.starts_with(prefix)).map(|(_, value)| value.len() as u64);
        values.max().unwrap_or_default()
    };
    costs.insert("largest page, bytes".to_owned(), largest("vs1:page:"));
    costs.insert("record of the project, bytes".to_owned(), largest("vs1:project:"));
    costs
}

/// Returns the range in which a cost is as before.
fn allowed(name: &str, baseline: u64) -> RangeInclusive<u64> {
    let is_exact = !name.ends_with("instructions") && !name.ends_with("bytes");
    let tolerance = if is_exact { 0 } else { baseline / TOLERANCE };
    baseline - tolerance..=baseline + tolerance
}

#[test]
fn nothing_costs_more_or_less_than_the_baseline_says() {
    let measured = measured();
    if std::env::var_os("UPDATE_BASELINE").is_some() {
        let json = serde_json::to_string_pretty(&measured).expect("JSON");
        std::fs::write(BASELINE, json + "\n").expect("the baseline is written");
        return;
    }
    let json = std::fs::read_to_string(BASELINE).expect("a baseline");
    let baseline: BTreeMap<String, u64> = serde_json::from_str(&json).expect("a baseline");
    let names = |costs: &BTreeMap<String, u64>| costs.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&measured), names(&baseline), "UPDATE_BASELINE=1 rewrites the baseline");
    let different: Vec<String> = measured
        .iter()
        .filter(|(name, cost)| !allowed(name, baseline[*name]).contains(cost))
        .map(|(name, cost)| {
            let change = if *cost > baseline[name] { "rose to" } else { "fell to" };
            format!("{name} {change} {cost}, from {} in tests/it/costs/baseline.json", baseline[name])
        })
        .collect();
    assert!(different.is_empty(), "{}\nUPDATE_BASELINE=1 rewrites the baseline", different.join("\n"));
}
