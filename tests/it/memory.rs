//! The memory of the host under load, and that of one invocation. The kernel keeps the peak, so this runs on Linux only.

#![cfg(target_os = "linux")]

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::calls::{BOUND, Calls, request};
use crate::support::component::ComponentService;
use crate::support::host_process::{HostProcess, StateDirectory};
use crate::support::{Service, operator};

const CALLERS: usize = 64;

/// The largest metadata of one row, in bytes of its keys and values.
const METADATA: usize = 262_144;

/// The rows, which together are larger than one page of a list.
const ROWS: usize = 24;

/// The length of the longest key, and of the longest value.
const LONGEST: usize = 255;

/// The bound of the host's memory.
const PEAK: usize = 1 << 30;

fn metadata(row: usize) -> Value {
    let items = METADATA / (2 * LONGEST) - 1;
    let key = |item: usize| format!("{row:04}-{item:04}-{}", "k".repeat(LONGEST - 10));
    (0..items).map(|item| (key(item), json!("v".repeat(LONGEST)))).collect::<serde_json::Map<_, _>>().into()
}

#[test]
fn the_largest_rows_listed_by_many_at_once_stay_below_a_gibibyte() {
    let volume = "aaaaaaaa-0000-4000-8000-000000000001";
    let snapshots: Vec<Value> = (0..ROWS)
        .map(|row| {
            json!({
                "id": format!("bbbbbbbb-0000-4000-8000-{row:012}"),
                "project_id": "a1", "volume_id": volume, "metadata": metadata(row),
            })
        })
        .collect();
    let directory = StateDirectory::new("memory");
    let host = HostProcess::start("host", &directory, &[("create_seconds", "0")]);
    host.put_state(&json!({ "volumes": [{ "id": volume, "project_id": "a1" }], "snapshots": snapshots }));
    let (before, begin) = (host.peak_memory(), Instant::now());
    let bytes: usize = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(|| list(&host))).collect();
        callers.into_iter().map(|caller| caller.join().expect("a caller")).sum()
    });
    let (peak, took) = (host.peak_memory(), begin.elapsed());
    println!("{bytes} bytes in {took:?}; peak {} MiB, {} MiB before", peak >> 20, before >> 20);
    assert!(peak < PEAK, "{} MiB", peak >> 20);
}

/// The memory that an invocation may have in the test of work on all rows.
const LITTLE: usize = 48 << 20;

#[test]
fn work_on_all_rows_needs_less_memory_than_the_rows_have() {
    const VOLUME: &str = "aaaaaaaa-0000-4000-8000-000000000001";
    let rows = LITTLE / METADATA + 80;
    let snapshots: Vec<Value> = (0..rows)
        .map(|row| {
            json!({
                "id": format!("bbbbbbbb-0000-4000-8000-{row:012}"),
                "project_id": "a1", "volume_id": VOLUME, "metadata": metadata(row),
            })
        })
        .collect();
    let (service, store) = ComponentService::with_memory(&[]);
    service.put_state(&json!({ "volumes": [{ "id": VOLUME, "project_id": "a1" }], "snapshots": snapshots }));
    let service = ComponentService::with_memory_limit(store, LITTLE);
    let operate = |path: &str| {
        let answer = service.operate("POST", path, &Value::Null);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.body
    };
    assert_eq!(operate("/_ops/repair")["rows"], rows + 1);
    operate("/_ops/tick");
    let answer = service.delete(&format!("/v3/a1/volumes/{VOLUME}?cascade=true"));
    assert_eq!(answer.status, 202, "{answer:?}");
    service.advance(2.0);
    let mut left = rows + 1;
    for _ in 0..4 {
        left -= usize::try_from(operate("/_ops/tick")["removed"].as_u64().expect("a number")).expect("a small number");
    }
    assert_eq!((left, service.app.traps()), (0, 0));
}

#[test]
fn the_state_document_is_in_memory_once() {
    const VOLUME: &str = "aaaaaaaa-0000-4000-8000-000000000001";
    let snapshots: Vec<Value> = (0..220)
        .map(|row| {
            json!({
                "id": format!("bbbbbbbb-0000-4000-8000-{row:012}"),
                "project_id": "a1", "volume_id": VOLUME, "metadata": metadata(row),
            })
        })
        .collect();
    let directory = StateDirectory::new("state");
    let host = HostProcess::start("writer", &directory, &[]);
    host.put_state(&json!({ "volumes": [{ "id": VOLUME, "project_id": "a1" }], "snapshots": snapshots }));
    host.kill();
    // A process whose peak is not that of the writing.
    let host = HostProcess::start("reader", &directory, &[]);
    let before = host.peak_memory();
    let length = host.send(operator("GET", "/_ops/state", b"")).body().len();
    let more = host.peak_memory() - before;
    println!("a document of {} MiB took {} MiB", length >> 20, more >> 20);
    assert!(length > 220 * METADATA && more < 3 * length, "{} MiB for {} MiB", more >> 20, length >> 20);
}

/// Returns the length of a list with metadata. A host that is busy is asked again.
fn list(host: &HostProcess) -> usize {
    let begin = Instant::now();
    loop {
        let answer = host.send(request("GET", "/v3/a1/snapshots/detail", &Value::Null));
        if answer.status() == 200 {
            return answer.body().len();
        }
        assert!(answer.status() == 503 && begin.elapsed() < BOUND, "{}", answer.status());
    }
}
