//! `make bench-compare`: the time of one show in process, of several builds of the component and of the bare one in
//! turn. There are no sockets and no threads, and the store is in memory, so there is little noise: it shows
//! differences of half a microsecond, where `make bench` needs several. `make bench` shows what a user sees.
//!
//! Each argument is a manifest. This project's and that of the bare component are always measured.

#![allow(clippy::disallowed_methods, reason = "benches measure time and read the environment")]

#[path = "support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use bytes::Bytes;
use http::Request;
use support::{SNAPSHOTS, TOKEN, snapshot_id};
use volume_snapshots_host::{App, Application, MemoryStore, Options, Output};

/// The number of rounds. In each, all components are measured in turn.
const ROUNDS: usize = 400;
/// The number of requests to each component in a round.
const REQUESTS: usize = 100;

/// A component that is measured.
struct Candidate {
    manifest: PathBuf,
    app: App,
    is_bare: bool,
    /// The time of a request in each round, in microseconds.
    times: Vec<f64>,
}

impl Candidate {
    /// Loads a component and gives it ten thousand rows.
    async fn load(manifest: PathBuf, is_bare: bool) -> Result<Self> {
        let application = Application::load(&manifest)?;
        let options = Options { store: Arc::new(MemoryStore::new()), output: Output::captured(), ..Options::default() };
        let app = App::new(&application, if is_bare { options } else { options.variable("ops_token", TOKEN) })?;
        if is_bare {
            let request = Request::put(format!("/rows/{SNAPSHOTS}")).body(Bytes::from("x".repeat(300)))?;
            ensure!(app.handle(request).await?.status().is_success(), "the rows were not taken");
        } else {
            support::fill(&app).await?;
        }
        Ok(Self { manifest, app, is_bare, times: Vec::with_capacity(ROUNDS) })
    }

    async fn measure(&mut self, round: usize) -> Result<()> {
        let collection = if self.is_bare { "/get" } else { "/v3/a1/snapshots" };
        let start = Instant::now();
        for number in 0..REQUESTS {
            let id = snapshot_id((round * REQUESTS + number) * 7919 % SNAPSHOTS);
            let request = Request::get(format!("{collection}/{id}"))
                .header("x-auth-token", "bench:a1")
                .header("openstack-api-version", "volume 3.66")
                .body(Bytes::new())?;
            ensure!(self.app.handle(request).await?.status() == 200, "{collection}/{id}");
        }
        #[expect(clippy::cast_precision_loss, reason = "a hundred")]
        self.times.push(start.elapsed().as_secs_f64() * 1e6 / REQUESTS as f64);
        Ok(())
    }

    /// Returns the time that is above that of one round in twenty: a disturbance only makes a round longer.
    fn typical(&self) -> f64 {
        let mut times = self.times.clone();
        times.sort_by(f64::total_cmp);
        times[times.len() / 20]
    }
}

async fn run() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let bare = Candidate::load(root.join("benches/bare/spin.toml"), true).await?;
    let mut candidates = vec![bare, Candidate::load(root.join("spin.toml"), false).await?];
    // Cargo adds its own options.
    for manifest in std::env::args().skip(1).filter(|argument| !argument.starts_with("--")) {
        candidates.push(Candidate::load(root.join(manifest), false).await?);
    }
    for round in 0..ROUNDS {
        for candidate in &mut candidates {
            candidate.measure(round).await?;
        }
    }
    let bare = candidates[0].typical();
    for candidate in &candidates {
        let (name, time) = (candidate.manifest.display(), candidate.typical());
        println!("{name}: {time:.2} µs, {:.2} µs more than the bare component", time - bare);
    }
    Ok(())
}

fn main() -> Result<()> {
    // One thread, so that no thread waits for another one to wake up.
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run())
}
