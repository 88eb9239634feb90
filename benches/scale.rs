//! `make bench-scale`: what grows, and what must not. It prints a table for each section:
//!
//! - the cost of a page of a list as a project grows, and after 99 of 100 of its snapshots have been deleted;
//! - the cost of a page of attachments and of messages, with 100 and with 100,000 of them;
//! - the cost of a create, a delete, and an idle run of the schedule as the number of projects grows;
//! - the lists of a volume with 200,000 snapshots, and its cascading delete;
//! - the work on all of 20,000 projects.
//!
//! The component runs on the embedded host, in process. Pages are read from a SQLite file. Writes go to a store in
//! memory, because a disk would hide their cost behind that of commits; the work on all projects uses a file. All sizes of
//! the first three sections are measured in turn in the same run, so the ratios to the smallest count. The store calls do not
//! depend on the machine at all.

#![allow(clippy::disallowed_methods, reason = "benches measure time and read the environment")]
#![allow(clippy::cast_precision_loss, reason = "the figures are rounded")]

#[path = "../tests/it/support/faults.rs"]
#[allow(dead_code, reason = "made for tests, which use all of it")]
mod faults;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use faults::Faults;
use http::Request;
use serde_json::{Value, json};
use volume_snapshots_host::{App, Application, Clock, MemoryStore, Options, Output, SqliteStore, Store};

const SIZES: [usize; 4] = [100, 1_000, 10_000, 100_000];
/// One snapshot in this many is kept.
const KEPT: usize = 100;
const PAGES: usize = 300;
const TOKEN: &str = "bench";
const VOLUME: &str = "aaaaaaaa-0000-4000-8000-000000000001";
/// The time at which the clock starts, in seconds since the epoch.
const START: u64 = 1_790_000_000;

fn snapshot_id(number: usize) -> String {
    format!("bbbbbbbb-0000-4000-8000-{number:012}")
}

struct Service {
    app: App,
    store: Faults,
    clock: Clock,
}

impl Service {
    fn on(application: &Application, store: Arc<dyn Store>) -> Result<Self> {
        let (store, clock) = (Faults::new(store), Clock::manual_at_seconds(START));
        let options = Options {
            store: Arc::new(store.clone()),
            clock: clock.clone(),
            output: Output::captured(),
            ..Options::default()
        };
        let options = options.variable("ops_token", TOKEN).variable("quota_snapshots", "-1");
        Ok(Self { app: App::new(application, options.variable("quota_gigabytes", "-1"))?, store, clock })
    }

    async fn call(&self, method: &str, path: &str, body: String) -> Result<Bytes> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("x-auth-token", "bench:a1")
            .header("openstack-api-version", "volume 3.71")
            .header("x-ops-token", TOKEN);
        let request = if body.is_empty() { request } else { request.header("content-type", "application/json") };
        let request = request.body(Bytes::from(body))?;
        let answer = self.app.handle(request).await?;
        ensure!(answer.status().is_success(), "{method} {path}: {}", answer.status());
        Ok(answer.into_body())
    }

    async fn tick(&self) -> Result<()> {
        self.app.tick(self.clock.now_in_seconds()).await
    }

    /// Deletes all but every hundredth snapshot as clients do, while the schedule runs.
    async fn delete_most(&self, snapshots: usize) -> Result<()> {
        for (count, number) in (0..snapshots).filter(|number| number % KEPT != 0).enumerate() {
            self.call("DELETE", &format!("/v3/a1/snapshots/{}", snapshot_id(number)), String::new()).await?;
            if count % 200 == 199 {
                self.clock.advance(Duration::from_secs(2));
                self.tick().await?;
            }
        }
        for _ in 0..40 {
            self.clock.advance(Duration::from_secs(2));
            self.tick().await?;
        }
        Ok(())
    }
}

/// The cost of a page: its median time and its store calls.
#[derive(Clone, Copy)]
struct Cost {
    microseconds: f64,
    calls: usize,
    rows: usize,
}

/// Measures a page of `list`, the key of the list in its body.
async fn measure(service: &Service, path: &str, list: &str) -> Result<Cost> {
    let mut times = Vec::with_capacity(PAGES);
    let mut rows = 0;
    for _ in 0..PAGES {
        let start = Instant::now();
        let body = service.call("GET", path, String::new()).await?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
        if rows == 0 {
            let page: Value = serde_json::from_slice(&body)?;
            rows = page[list].as_array().context("a list")?.len();
        }
    }
    times.sort_by(f64::total_cmp);
    service.store.reset();
    service.call("GET", path, String::new()).await?;
    Ok(Cost { microseconds: times[times.len() / 2], calls: service.store.calls().len(), rows })
}

/// The measured pages: their names in the table and their queries.
const QUERIES: [(&str, &str); 3] = [
    ("page of 10", "?limit=10"),
    ("page of 10 with count", "?limit=10&with_count=true"),
    ("page of 100", "?limit=100"),
];

/// The numbers of projects that are measured in turn.
const PROJECTS: [usize; 4] = [1, 10, 100, 1_000];
/// The number of snapshots of each project.
const SNAPSHOTS_OF_PROJECT: usize = 100;

/// Returns the median time of some calls in microseconds, and the store calls of one of them.
async fn median(service: &Service, mut call: impl AsyncFnMut(usize) -> Result<()>) -> Result<(f64, usize)> {
    let mut times = Vec::with_capacity(PAGES);
    for number in 0..PAGES / 5 {
        service.store.reset();
        let start = Instant::now();
        call(number).await?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    Ok((times[times.len() / 2], service.store.calls().len()))
}

/// Measures writes and idle runs of the schedule as the number of projects grows.
async fn run_with_projects(application: &Application) -> Result<()> {
    println!();
    println!("| Projects of {SNAPSHOTS_OF_PROJECT} | create | delete | idle tick |");
    println!("| ---: | --- | --- | --- |");
    let mut base: [Option<f64>; 3] = [None; 3];
    for projects in PROJECTS {
        let service = Service::on(application, Arc::new(MemoryStore::new()))?;
        let rows: Vec<Value> = (0..projects * SNAPSHOTS_OF_PROJECT)
            .map(|number| {
                let project = format!("a{:x}", 1 + number / SNAPSHOTS_OF_PROJECT);
                let second = number % SNAPSHOTS_OF_PROJECT % 60;
                let created_at = format!("2026-01-01T00:00:{second:02}");
                json!({ "id": snapshot_id(number), "project_id": project, "volume_id": VOLUME, "created_at": created_at })
            })
            .collect();
        let state = json!({ "volumes": [{ "id": VOLUME, "project_id": "a1" }], "snapshots": rows });
        service.call("PUT", "/_ops/state", state.to_string()).await?;
        service.clock.advance(Duration::from_secs(100));
        let tick = median(&service, async |_| service.tick().await).await?;
        let body = json!({ "snapshot": { "volume_id": VOLUME } }).to_string();
        let create = median(&service, async |_| service.call("POST", "/v3/a1/snapshots", body.clone()).await.map(drop));
        let create = create.await?;
        let delete = median(&service, async |number| {
            service.call("DELETE", &format!("/v3/a1/snapshots/{}", snapshot_id(number)), String::new()).await.map(drop)
        });
        let delete = delete.await?;
        let mut cells = Vec::new();
        for (number, (time, calls)) in [create, delete, tick].into_iter().enumerate() {
            cells.push(format!("{time:.0} µs, {:.2}, {calls}", time / *base[number].get_or_insert(time)));
        }
        println!("| {projects} | {} |", cells.join(" | "));
    }
    Ok(())
}

/// The number of snapshots of the volume that is deleted with them.
const SNAPSHOTS_OF_VOLUME: usize = 200_000;

/// The number of projects of the last section, and that of their snapshots together.
const MANY_PROJECTS: usize = 20_000;
const SNAPSHOTS_OF_ALL: usize = 200_000;

/// Returns a time of creation, a second later for each number.
fn created_at(number: usize) -> String {
    let (minute, second) = (number / 60, number % 60);
    let (day, hour, minute) = (1 + minute / 1_440, minute / 60 % 24, minute % 60);
    format!("2026-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}", 1 + day / 29, 1 + day % 28)
}

/// Makes a call, and returns its answer and its time in seconds.
async fn timed(service: &Service, method: &str, path: &str, body: String) -> Result<(Bytes, f64)> {
    let start = Instant::now();
    let answer = service.call(method, path, body).await?;
    Ok((answer, start.elapsed().as_secs_f64()))
}

/// Lists the snapshots of a crowded volume, and deletes the volume with all of them.
async fn run_with_a_crowded_volume(application: &Application) -> Result<()> {
    let service = Service::on(application, Arc::new(MemoryStore::new()))?;
    let rows: Vec<Value> = (0..SNAPSHOTS_OF_VOLUME)
        .map(|number| {
            json!({ "id": snapshot_id(number), "project_id": "a1", "volume_id": VOLUME, "created_at": created_at(number) })
        })
        .collect();
    let state = json!({ "volumes": [{ "id": VOLUME, "project_id": "a1" }], "snapshots": rows });
    service.call("PUT", "/_ops/state", state.to_string()).await?;
    drop((rows, state));
    println!();
    println!("| One volume with {SNAPSHOTS_OF_VOLUME} snapshots | seconds |");
    println!("| --- | ---: |");
    let middle = snapshot_id(SNAPSHOTS_OF_VOLUME / 2);
    let lists = [
        ("first page of 1,000", "limit=1000".to_owned()),
        ("page of 1,000 from the middle", format!("limit=1000&marker={middle}")),
        ("page of 10 with count, by volume", format!("limit=10&with_count=true&volume_id={VOLUME}")),
        ("page of 1,000, sorted by name", "limit=1000&sort=name".to_owned()),
    ];
    for (name, query) in lists {
        let (_, seconds) = timed(&service, "GET", &format!("/v3/a1/snapshots/detail?{query}"), String::new()).await?;
        println!("| {name} | {seconds:.3} |");
    }
    let (_, seconds) =
        timed(&service, "DELETE", &format!("/v3/a1/volumes/{VOLUME}?cascade=true"), String::new()).await?;
    println!("| answer to the cascading delete | {seconds:.3} |");
    let (mut ticks, mut longest) = (0, 0.0_f64);
    let start = Instant::now();
    while service.call("GET", "/v3/a1/volumes", String::new()).await?.len() > r#"{"volumes":[]}"#.len() {
        service.clock.advance(Duration::from_secs(2));
        let begin = Instant::now();
        service.tick().await?;
        longest = longest.max(begin.elapsed().as_secs_f64());
        ticks += 1;
        ensure!(ticks < SNAPSHOTS_OF_VOLUME, "the cascade never ends");
    }
    println!("| longest of the {ticks} ticks that remove them | {longest:.3} |");
    println!("| all of these ticks | {:.3} |", start.elapsed().as_secs_f64());
    Ok(())
}

/// Works on all projects, in a file.
async fn run_with_all_projects(application: &Application, file: &Path) -> Result<()> {
    let rows: Vec<Value> = (0..SNAPSHOTS_OF_ALL)
        .map(|number| {
            json!({
                "id": snapshot_id(number), "project_id": format!("p{:05}", number % MANY_PROJECTS),
                "volume_id": VOLUME, "created_at": created_at(number), "name": format!("snapshot-{}", number * 7_919 % 1_000),
            })
        })
        .collect();
    let state = json!({ "volumes": [{ "id": VOLUME, "project_id": "p00000" }], "snapshots": rows }).to_string();
    let service = Service::on(application, Arc::new(SqliteStore::open(file)?))?;
    service.call("PUT", "/_ops/state", state).await?;
    println!();
    println!("| {MANY_PROJECTS} projects with {SNAPSHOTS_OF_ALL} snapshots | seconds | MB |");
    println!("| --- | ---: | ---: |");
    let of_all = "/v3/a1/snapshots/detail?all_tenants=true";
    let reads = [
        ("first page of 1,000 of all projects", format!("{of_all}&limit=1000")),
        ("the same, sorted by name", format!("{of_all}&limit=1000&sort=name")),
        ("the same, without a match", format!("{of_all}&limit=1000&name=none")),
        ("the same, with count", format!("{of_all}&limit=1000&with_count=true")),
        ("GET /_ops/state", "/_ops/state".to_owned()),
    ];
    for (name, path) in reads {
        let (body, seconds) = timed(&service, "GET", &path, String::new()).await?;
        println!("| {name} | {seconds:.2} | {:.1} |", body.len() as f64 / 1e6);
    }
    let document = service.call("GET", "/_ops/state", String::new()).await?;
    let document = String::from_utf8(document.to_vec())?;
    let megabytes = document.len() as f64 / 1e6;
    let (_, seconds) = timed(&service, "PUT", "/_ops/state", document).await?;
    println!("| PUT /_ops/state | {seconds:.2} | {megabytes:.1} |");
    let (repair, seconds) = timed(&service, "POST", "/_ops/repair", String::new()).await?;
    println!("| POST /_ops/repair | {seconds:.2} | {:.1} |", repair.len() as f64 / 1e6);
    Ok(())
}

/// Measures pages of a list as a project grows.
async fn run_with_pages(application: &Application, directory: &Path) -> Result<()> {
    println!("| Snapshots | | {} |", QUERIES.map(|(name, _)| format!("{name}: time, ratio, store calls")).join(" | "));
    println!("| ---: | --- |{}", " --- |".repeat(QUERIES.len()));
    let mut base: [Option<Cost>; QUERIES.len()] = [None; QUERIES.len()];
    for size in SIZES {
        let memory = Arc::new(MemoryStore::new());
        let service = Service::on(application, memory.clone())?;
        let rows: Vec<Value> = (0..size)
            .map(|number| json!({ "id": snapshot_id(number), "project_id": "a1", "created_at": created_at(number) }))
            .collect();
        let state = json!({ "volumes": [{ "id": VOLUME, "project_id": "a1" }], "snapshots": rows });
        service.call("PUT", "/_ops/state", state.to_string()).await?;
        for phase in ["as made", "99 % deleted"] {
            if phase != "as made" {
                service.delete_most(size).await?;
            }
            let file = directory.join(format!("{size}-{}.db", phase.len()));
            let sqlite = SqliteStore::open(&file)?;
            let stored: Vec<(String, Vec<u8>)> = memory.rows("default").into_iter().collect();
            sqlite.set_many("default", &stored).map_err(anyhow::Error::from)?;
            let measured = Service::on(application, Arc::new(sqlite))?;
            measured.clock.advance(Duration::from_secs(100_000));
            let mut cells = Vec::new();
            for (number, (_, query)) in QUERIES.iter().enumerate() {
                let path = format!("/v3/a1/snapshots/detail{query}");
                let cost = measure(&measured, &path, "snapshots").await?;
                let base = *base[number].get_or_insert(cost);
                cells.push(if cost.rows == base.rows {
                    format!("{:.0} µs, {:.2}, {}", cost.microseconds, cost.microseconds / base.microseconds, cost.calls)
                } else {
                    format!("{} rows only", cost.rows)
                });
            }
            println!("| {size} | {phase} | {} |", cells.join(" | "));
        }
    }
    Ok(())
}

/// The numbers of attachments and messages that are measured in turn.
const NEIGHBOURS: [usize; 2] = [100, 100_000];

/// Measures pages of attachments and of messages as a project grows. Each attachment belongs to a volume of its own.
async fn run_with_neighbours(application: &Application, directory: &Path) -> Result<()> {
    let lists =
        ["attachments/detail?limit=10", "attachments/detail?limit=100", "messages?limit=10", "messages?limit=100"];
    println!();
    println!("| Rows | {} |", lists.map(|list| format!("`{list}`: time, ratio, store calls")).join(" | "));
    println!("| ---: |{}", " --- |".repeat(lists.len()));
    let mut base: [Option<Cost>; 4] = [None; 4];
    for size in NEIGHBOURS {
        let memory = Arc::new(MemoryStore::new());
        let service = Service::on(application, memory.clone())?;
        let id = |prefix: &str, number: usize| format!("{prefix}-0000-4000-8000-{number:012}");
        let rows = |row: &dyn Fn(usize) -> Value| -> Vec<Value> { (0..size).map(row).collect() };
        let volumes = rows(
            &|number| json!({ "id": id("aaaaaaaa", number), "project_id": "a1", "status": "in-use", "attach_status": "attached" }),
        );
        let attachments = rows(&|number| {
            let (volume, server) = (id("aaaaaaaa", number), id("11110000", number));
            let created_at = created_at(number);
            json!({ "id": id("a77ac4ed", number), "volume_id": volume, "instance_uuid": server, "created_at": created_at })
        });
        let messages = rows(
            &|number| json!({ "id": id("3e550000", number), "project_id": "a1", "created_at": created_at(number) }),
        );
        let state = json!({ "volumes": volumes, "attachments": attachments, "messages": messages });
        service.call("PUT", "/_ops/state", state.to_string()).await?;
        let sqlite = SqliteStore::open(directory.join(format!("neighbours-{size}.db")))?;
        let stored: Vec<(String, Vec<u8>)> = memory.rows("default").into_iter().collect();
        sqlite.set_many("default", &stored).map_err(anyhow::Error::from)?;
        let measured = Service::on(application, Arc::new(sqlite))?;
        measured.clock.advance(Duration::from_secs(100_000));
        let mut cells = Vec::new();
        for (number, list) in lists.iter().enumerate() {
            let key = list.split(['/', '?']).next().context("the name of a list")?;
            let cost = measure(&measured, &format!("/v3/a1/{list}"), key).await?;
            let base = *base[number].get_or_insert(cost);
            ensure!(cost.rows == base.rows, "{list}: {} rows instead of {}", cost.rows, base.rows);
            cells.push(format!(
                "{:.0} µs, {:.2}, {}",
                cost.microseconds,
                cost.microseconds / base.microseconds,
                cost.calls
            ));
        }
        println!("| {size} | {} |", cells.join(" | "));
    }
    Ok(())
}

async fn run() -> Result<()> {
    let application = Application::load("spin.toml")?;
    let directory = std::env::temp_dir().join(format!("volume-snapshots-scale-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    run_with_pages(&application, &directory).await?;
    run_with_neighbours(&application, &directory).await?;
    run_with_projects(&application).await?;
    run_with_a_crowded_volume(&application).await?;
    run_with_all_projects(&application, &directory.join("projects.db")).await?;
    Ok(std::fs::remove_dir_all(&directory)?)
}

fn main() -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(run())
}
