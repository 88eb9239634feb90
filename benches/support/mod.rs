//! The data of the benchmarks: ten thousand snapshots of one project, and the operator's secret, which loads them.

use anyhow::{Result, ensure};
use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use volume_snapshots_host::App;

pub const SNAPSHOTS: usize = 10_000;
/// More than one, so that creates do not all contend for the record of one project.
pub const PROJECTS: usize = 64;
pub const TOKEN: &str = "bench";

pub fn volume_id(project: usize) -> String {
    format!("aaaaaaaa-0000-4000-8000-{project:012}")
}

pub fn snapshot_id(number: usize) -> String {
    format!("bbbbbbbb-0000-4000-8000-{number:012}")
}

/// Returns a state document with 10,000 snapshots of one project, and a volume in every project.
pub fn state() -> Value {
    let project = |number: usize| format!("a{number:x}");
    let volumes: Vec<Value> =
        (1..=PROJECTS).map(|number| json!({ "id": volume_id(number), "project_id": project(number) })).collect();
    let snapshots: Vec<Value> = (0..SNAPSHOTS)
        .map(|number| {
            json!({
                "id": snapshot_id(number), "project_id": "a1", "volume_id": volume_id(1),
                "name": format!("snapshot-{number}"), "description": "nightly",
                "metadata": { "tier": "gold", "number": number.to_string() },
                "created_at": format!("2026-01-{:02}T{:02}:{:02}:{:02}",
                    1 + number / 3_600 / 24, number / 3_600 % 24, number / 60 % 60, number % 60),
            })
        })
        .collect();
    json!({ "volumes": volumes, "snapshots": snapshots })
}

/// Loads that state into an app of ours, in process.
pub async fn fill(app: &App) -> Result<()> {
    let request = Request::put("/_ops/state").header("x-ops-token", TOKEN).body(Bytes::from(state().to_string()))?;
    ensure!(app.handle(request).await?.status().is_success(), "the state was not taken");
    Ok(())
}
