//! The memory of the host under load. The kernel keeps the peak, so this runs on Linux only.

#![cfg(target_os = "linux")]

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::Service;
use crate::support::calls::{BOUND, request};
use crate::support::host_process::{HostProcess, StateDirectory};

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
