//! `make bench`: requests a second of our component, beside a bare one (`benches/bare`) and beside recorded figures of
//! Cinder, at 1, 4, and 16 connections.
//!
//! The bare component does the least that a component can do with the same calls of the host. It runs on the same host,
//! in turn with ours, in several rounds. The ratio of a round counts; rates are those of one machine. `wrk` makes the
//! requests. With `HOST=spin` both run on Spin, otherwise on the embedded host. The page goes to standard output and to
//! `docs/benchmarks.md`, and the chart to `docs/benchmarks.svg`.
//!
//! `cargo test --bench throughput -- --sample DIRECTORY` measures nothing: it writes a page and a chart of made-up
//! figures into an existing directory, to look at their form.

#![allow(clippy::disallowed_methods, reason = "benches measure time and read the environment")]

#[path = "support/chart.rs"]
mod chart;
#[path = "support/report.rs"]
mod report;
#[path = "support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use report::{AT_16, Beside, Cinder, Circumstances, Others, Pair, Row, Spread};
use support::{PROJECTS, SNAPSHOTS, TOKEN, snapshot_id, state};
use volume_snapshots_host::{App as EmbeddedApp, Application, MemoryStore, Options, Output, SqliteStore};

/// How often each case is measured, each time with servers that were just started: one process can be a twentieth
/// faster than the next of the same component, for as long as it runs (`docs/adr/0011-the-host-as-one.md`).
const ROUNDS: usize = 7;

/// One run of `wrk`.
#[derive(Clone, Copy)]
struct Load {
    connections: usize,
    seconds: usize,
}

/// The loads that each server gets in turn. The whole run takes less than eight minutes.
const LOADS: [Load; 3] =
    [Load { connections: 1, seconds: 1 }, Load { connections: 4, seconds: 2 }, Load { connections: 16, seconds: 3 }];
/// The load that a server gets before it is measured.
const WARM_UP: Load = Load { connections: 16, seconds: 1 };
/// The longest that one answer may take.
const PATIENCE: Duration = Duration::from_mins(1);
const TICKS: usize = 300;
/// The greatest memory of an instance, in bytes.
const MEMORY: usize = 16 << 20;

/// Requests to our component, and to the bare one if it does the same work: to keys as long, among as many rows, with
/// the same headers, so that neither the store nor `wrk` has less to do.
struct Case {
    name: &'static str,
    /// A script for `wrk`: Lua that defines `made`, which returns the request of a number.
    ours: String,
    bare: Option<Bare>,
    cinder: Cinder,
    /// The number of rows in an answer.
    rows: f64,
    goal: &'static str,
}

/// The requests to the bare component.
struct Bare {
    script: String,
    does: &'static str,
    /// The goal for the ratio of our rate to its rate.
    goal: &'static str,
}

fn cases() -> Vec<Case> {
    let get = |path: &str| {
        format!(
            "local headers = {{['X-Auth-Token'] = 'bench:a1', ['OpenStack-API-Version'] = 'volume 3.66'}}\n\
             function made(number) return wrk.format('GET', {path}, headers) end"
        )
    };
    let id = format!("string.format('bbbbbbbb-0000-4000-8000-%012d', number * 7919 % {SNAPSHOTS})");
    let write = |method: &str, path: &str, project: &str, body: &str| {
        format!(
            "function made(number)\n\
             local headers = {{['X-Auth-Token'] = 'bench:' .. {project}, ['Content-Type'] = 'application/json'}}\n\
             return wrk.format('{method}', {path}, headers, {body}) end"
        )
    };
    let project = format!("string.format('a%x', 1 + number % {PROJECTS})");
    vec![
        Case {
            name: "show one of 10,000",
            ours: get(&format!("'/v3/a1/snapshots/' .. {id}")),
            bare: Some(Bare {
                script: get(&format!("'/get/' .. {id}")),
                does: "one `get` of one of as many",
                goal: "",
            }),
            cinder: Cinder { at_1: 209.0, at_4: 455.0, at_4_later: 372.0 },
            rows: 1.0,
            goal: "",
        },
        Case {
            name: "list 100 of 10,000, detail",
            ours: get("'/v3/a1/snapshots/detail?limit=100'"),
            bare: None,
            cinder: Cinder { at_1: 31.0, at_4: 67.0, at_4_later: 56.0 },
            rows: 100.0,
            goal: "≤ 10 µs an item, ≥ 30 × Cinder",
        },
        Case {
            name: "list 1,000 of 10,000, detail",
            ours: get("'/v3/a1/snapshots/detail?limit=1000'"),
            bare: None,
            cinder: Cinder { at_1: 6.0, at_4: 11.7, at_4_later: 10.4 },
            rows: 1000.0,
            goal: "≤ 10 µs an item, ≥ 30 × Cinder",
        },
        Case {
            name: "replace metadata",
            ours: write(
                "PUT",
                &format!("'/v3/a1/snapshots/' .. {id} .. '/metadata'"),
                "'a1'",
                "'{\"metadata\": {\"tier\": \"gold\", \"number\": \"' .. number .. '\"}}'",
            ),
            bare: Some(Bare {
                script: write("PUT", &format!("'/swap/' .. {id}"), "'a1'", "string.rep('x', 300) .. number"),
                does: "one `get`, one compare-and-swap",
                goal: "≥ 0.8",
            }),
            cinder: Cinder { at_1: 70.0, at_4: 160.0, at_4_later: 136.0 },
            rows: 1.0,
            goal: "",
        },
        Case {
            name: "create",
            ours: write(
                "POST",
                &format!("'/v3/' .. {project} .. '/snapshots'"),
                &project,
                &format!(
                    "string.format('{{\"snapshot\": {{\"volume_id\": \"aaaaaaaa-0000-4000-8000-%012d\", \"name\": \"n\"}}}}', \
                     1 + number % {PROJECTS})"
                ),
            ),
            bare: Some(Bare {
                script: write("POST", "'/two-commits/' .. number", &project, "string.rep('x', 300) .. number"),
                does: "two `set`s",
                goal: "≥ 0.8",
            }),
            cinder: Cinder { at_1: 23.0, at_4: 24.0, at_4_later: 29.0 },
            rows: 1.0,
            goal: "",
        },
    ]
}

/// A component to serve, by one server after the other on the same data.
struct App<'a> {
    manifest: &'a Path,
    /// The directory of its data.
    directory: PathBuf,
    variables: &'a [(&'a str, &'a str)],
    /// A path that it answers with success.
    path: &'a str,
}

impl App<'_> {
    /// Starts a server, warms it up, and measures it under each of `LOADS`.
    fn measure(&self, script: &str) -> Result<[Measured; LOADS.len()]> {
        let server = self.start()?;
        let run = |load| measure(&server, script, load, &self.directory);
        run(WARM_UP)?;
        let [first, second, third] = LOADS;
        Ok([run(first)?, run(second)?, run(third)?])
    }

    fn start(&self) -> Result<Server> {
        let Self { manifest, directory, variables, path } = self;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let listen = format!("127.0.0.1:{port}");
        let mut command = if on_spin() {
            let mut command = Command::new("spin");
            command.args(["up", "--from"]).arg(manifest);
            command
        } else {
            let mut command = Command::new(std::env::var("HOST_PROGRAM").context("`make bench` sets HOST_PROGRAM")?);
            command.arg("--manifest").arg(manifest);
            command
        };
        command.args(["--listen", &listen, "--state-dir"]).arg(directory);
        for (name, value) in *variables {
            command.env(format!("SPIN_VARIABLE_{}", name.to_uppercase()), value);
        }
        let process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn();
        let process = process.with_context(|| format!("{command:?}"))?;
        let mut server = Server { process, base: format!("http://{listen}"), first_answer: Duration::ZERO };
        let output = server.process.stdout.take().context("standard output")?;
        let mut lines = BufReader::new(output).lines();
        ensure!(
            lines.any(|line| line.is_ok_and(|line| line.contains("Serving http"))),
            "{command:?} does not come to serve"
        );
        let ready = Instant::now();
        server.call("GET", path, &[])?;
        server.first_answer = ready.elapsed();
        Ok(server)
    }
}

/// A running app.
struct Server {
    process: Child,
    base: String,
    /// The time from the line that says that it accepts requests until the first answer.
    first_answer: Duration,
}

impl Server {
    fn call(&self, method: &str, path: &str, body: &[u8]) -> Result<Vec<u8>> {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("x-ops-token", TOKEN)
            .body(body.to_vec())?;
        let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).build();
        let mut answer = ureq::Agent::from(config).run(request).with_context(|| format!("{method} {path}"))?;
        Ok(answer.body_mut().with_config().limit(u64::MAX).read_to_vec()?)
    }

    /// Returns the processor time of the server and of its children so far, in seconds; nothing without `/proc`.
    fn processor_time(&self) -> Option<f64> {
        let mut family = vec![self.process.id().to_string()];
        let mut ticks = 0;
        while let Some(process) = family.pop() {
            let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
            let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
            ticks += fields[11].parse::<u64>().ok()? + fields[12].parse::<u64>().ok()?;
            let children = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children")).ok()?;
            family.extend(children.split_whitespace().map(str::to_owned));
        }
        // The unit of /proc is a hundredth of a second on every Linux.
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        Some(ticks as f64 / 100.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // On Spin the triggers are children, which end with it only after SIGTERM.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

/// The result of one run of `wrk`.
#[derive(Clone, Copy)]
struct Measured {
    rate: f64,
    /// Microseconds of the server's processor time for a request.
    processor: Option<f64>,
}

/// Runs `wrk`. An answer that is no success is a failure, because its time says nothing.
fn measure(server: &Server, script: &str, load: Load, directory: &Path) -> Result<Measured> {
    // The numbers of requests differ in all runs and threads, so that no two requests write the same value: a store
    // does nothing for a value that it has.
    static RUNS: AtomicUsize = AtomicUsize::new(1);
    let Load { connections, seconds } = load;
    // `wrk` has no thread without a connection.
    let (threads, first) = (connections.min(2), RUNS.fetch_add(1, Ordering::Relaxed) * 1_000_000);
    let lua = format!(
        "local threads = 0\n\
         function setup(thread) thread:set('offset', threads) threads = threads + 1 end\n\
         local number = 0\n\
         {script}\n\
         function request() number = number + 1 return made({first} + number * {threads} + offset) end\n\
         function done(summary, latency, requests)\n\
         print('counted', summary.requests, summary.errors.status + summary.errors.read + summary.errors.write + \
         summary.errors.timeout + summary.errors.connect, summary.duration) end\n"
    );
    let file = directory.join("requests.lua");
    std::fs::write(&file, lua)?;
    let before = server.processor_time();
    let output = Command::new("wrk")
        .args([format!("-t{threads}"), format!("-c{connections}"), format!("-d{seconds}s"), "--script".to_owned()])
        .arg(&file)
        .arg(&server.base)
        .stderr(Stdio::inherit())
        .output()
        .context("wrk")?;
    let after = server.processor_time();
    let text = String::from_utf8_lossy(&output.stdout);
    let counted =
        text.lines().find_map(|line| line.strip_prefix("counted")).with_context(|| text.clone().into_owned())?;
    let counted: Vec<f64> = counted.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [requests, failures, microseconds] = counted[..] else { bail!("{text}") };
    ensure!(failures == 0.0 && requests > 0.0, "{failures} of {requests} requests failed: {script}");
    Ok(Measured {
        rate: requests / microseconds * 1e6,
        processor: before.zip(after).map(|(before, after)| (after - before) / requests * 1e6),
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

struct Manifests {
    ours: PathBuf,
    bare: PathBuf,
}

/// Returns the median time of a run of the schedule that has nothing to do, in microseconds, in process on a file of
/// its own.
async fn idle_tick(manifest: &Path, file: &Path, is_ours: bool) -> Result<f64> {
    let application = Application::load(manifest)?;
    let store = Arc::new(SqliteStore::open(file)?);
    let options = Options { store, output: Output::captured(), ..Options::default() };
    let app = EmbeddedApp::new(&application, if is_ours { options.variable("ops_token", TOKEN) } else { options })?;
    if is_ours {
        support::fill(&app).await?;
    }
    let mut times = Vec::with_capacity(TICKS);
    for _ in 0..TICKS {
        let start = Instant::now();
        app.tick(app.clock().now_in_seconds()).await?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    Ok(median(times))
}

/// Returns whether all of 10,000 requests are answered by instances with at most `MEMORY`.
async fn fits_in_memory(manifest: &Path) -> Result<bool> {
    let application = Application::load(manifest)?;
    let memory = Arc::new(MemoryStore::new());
    let options = |limit: usize| {
        let options =
            Options { store: memory.clone(), output: Output::captured(), memory_limit: limit, ..Options::default() };
        options.variable("ops_token", TOKEN)
    };
    support::fill(&EmbeddedApp::new(&application, options(512 << 20))?).await?;
    let app = EmbeddedApp::new(&application, options(MEMORY))?;
    for number in 0..SNAPSHOTS {
        let path = match number % 10 {
            0 => "/v3/a1/snapshots/detail?limit=1000".to_owned(),
            _ => format!("/v3/a1/snapshots/{}", snapshot_id(number)),
        };
        let request = http::Request::get(path).header("x-auth-token", "bench:a1").body(Bytes::new())?;
        if app.handle(request).await?.status() != 200 {
            return Ok(false);
        }
    }
    Ok(app.traps() == 0)
}

/// Returns the first line of a command's output.
fn first_line(command: &[&str]) -> String {
    let output = Command::new(command[0]).args(&command[1..]).stderr(Stdio::null()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").trim().to_owned()
}

fn machine() -> String {
    let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown processor");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} × {}, {}", model.trim_start_matches(['\t', ' ', ':']), first_line(&["uname", "-sr"]))
}

fn on_spin() -> bool {
    std::env::var("HOST").is_ok_and(|host| host == "spin")
}

fn circumstances(command: &'static str) -> Circumstances {
    let wrk = first_line(&["wrk", "-v"]);
    let wrk = wrk.split(" Copyright").next().unwrap_or_default();
    Circumstances {
        command,
        date: first_line(&["date", "+%Y-%m-%d"]),
        host: if on_spin() { first_line(&["spin", "--version"]) } else { "the embedded host, wasmtime 48".to_owned() },
        machine: machine(),
        tools: format!("{}; {wrk}", first_line(&["rustc", "--version"])),
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--sample");
    if arguments.next().is_some() {
        let directory = arguments.next().context("--sample needs a directory")?;
        let circumstances = circumstances("--sample, with made-up figures,");
        return write(Path::new(&directory), &circumstances, &sample_rows(), &SAMPLE_OTHERS);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifests = Manifests { ours: root.join("spin.toml"), bare: root.join("benches/bare/spin.toml") };
    let directory = std::env::temp_dir().join(format!("volume-snapshots-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let measured =
        measure_rates(&manifests, &directory).and_then(|rows| Ok((rows, measure_others(&manifests, &directory)?)));
    std::fs::remove_dir_all(&directory)?;
    let (rows, others) = measured?;
    let command = if on_spin() { "HOST=spin make bench" } else { "make bench" };
    write(&root.join("docs"), &circumstances(command), &rows, &others)
}

/// Writes the page and the chart.
fn write(directory: &Path, circumstances: &Circumstances, rows: &[Row], others: &Others) -> Result<()> {
    let page = report::page(circumstances, rows, others);
    print!("\n{page}");
    std::fs::write(directory.join("benchmarks.md"), page)?;
    std::fs::write(directory.join("benchmarks.svg"), chart::svg(rows))?;
    Ok(())
}

/// One round of a case, in the order of `LOADS`.
struct Round {
    ours: [Measured; LOADS.len()],
    bare: Option<[Measured; LOADS.len()]>,
}

fn measure_rates(manifests: &Manifests, directory: &Path) -> Result<Vec<Row>> {
    let variables = [("ops_token", TOKEN), ("quota_snapshots", "-1"), ("quota_gigabytes", "-1")];
    let ours = App {
        manifest: &manifests.ours,
        directory: directory.join("ours"),
        variables: &variables,
        path: "/healthcheck",
    };
    let bare = App { manifest: &manifests.bare, directory: directory.join("bare"), variables: &[], path: "/hello" };
    ours.start()?.call("PUT", "/_ops/state", state().to_string().as_bytes())?;
    bare.start()?.call("PUT", &format!("/rows/{SNAPSHOTS}"), "x".repeat(300).as_bytes())?;

    let round = |case: &Case| {
        let own = ours.measure(&case.ours)?;
        let other = case.bare.as_ref().map(|other| bare.measure(&other.script)).transpose()?;
        Ok::<_, anyhow::Error>(Round { ours: own, bare: other })
    };
    let mut rows = Vec::new();
    for case in cases() {
        let rounds = (0..ROUNDS).map(|_| round(&case)).collect::<Result<Vec<_>>>()?;
        let row = summarize(&case, &rounds);
        eprintln!(
            "{}: {:.0?} requests a second at {:?} connections",
            row.name,
            row.rates,
            LOADS.map(|load| load.connections)
        );
        rows.push(row);
    }
    Ok(rows)
}

/// Returns the medians of all rounds.
fn summarize(case: &Case, rounds: &[Round]) -> Row {
    let ours = |place: usize| rounds.iter().map(move |round| round.ours[place]);
    let pair = |place: usize| {
        let bare = || rounds.iter().filter_map(|round| round.bare).map(|bare| bare[place]);
        let mut ratios: Vec<f64> = ours(place).zip(bare()).map(|(own, other)| own.rate / other.rate).collect();
        ratios.sort_by(f64::total_cmp);
        Pair {
            bare_rate: median(bare().map(|measured| measured.rate).collect()),
            ratio: Spread { least: ratios[0], median: ratios[ratios.len() / 2], greatest: ratios[ratios.len() - 1] },
            processor: median_processor(ours(place)).zip(median_processor(bare())),
        }
    };
    let places = [0, 1, 2];
    Row {
        name: case.name,
        goal: case.goal,
        cinder: case.cinder,
        rates: places.map(|place| median(ours(place).map(|measured| measured.rate).collect())),
        processor_per_item: median_processor(ours(AT_16)).map(|time| time / case.rows),
        beside: case.bare.as_ref().map(|bare| Beside { does: bare.does, goal: bare.goal, pairs: places.map(pair) }),
    }
}

fn median_processor(measured: impl Iterator<Item = Measured>) -> Option<f64> {
    measured.map(|measured| measured.processor).collect::<Option<Vec<_>>>().map(median)
}

fn measure_others(manifests: &Manifests, directory: &Path) -> Result<Others> {
    let first_answers: Vec<f64> = (0..ROUNDS)
        .map(|round| {
            let directory = directory.join(format!("first-{round}"));
            let fresh = App { manifest: &manifests.ours, directory, variables: &[], path: "/healthcheck" };
            Ok(fresh.start()?.first_answer.as_secs_f64() * 1e3)
        })
        .collect::<Result<_>>()?;

    let runtime = tokio::runtime::Runtime::new()?;
    let tick = |round: usize| {
        let file = |whose: &str| directory.join(format!("{whose}-{round}.db"));
        let own = runtime.block_on(idle_tick(&manifests.ours, &file("own"), true))?;
        Ok::<_, anyhow::Error>((own, runtime.block_on(idle_tick(&manifests.bare, &file("bare"), false))?))
    };
    let ticks = (0..ROUNDS).map(tick).collect::<Result<Vec<_>>>()?;
    Ok(Others {
        ticks: (
            median(ticks.iter().map(|(own, _)| *own).collect()),
            median(ticks.iter().map(|(_, bare)| *bare).collect()),
        ),
        tick_ratio: median(ticks.iter().map(|(own, bare)| own / bare).collect()),
        first_answer: median(first_answers),
        size: std::fs::metadata("target/wasm32-wasip2/release/volume_snapshots.wasm")?.len(),
        fits_in_memory: runtime.block_on(fits_in_memory(&manifests.ours))?,
    })
}

/// Made-up figures for `--sample`.
const SAMPLE_OTHERS: Others =
    Others { ticks: (53.0, 30.0), tick_ratio: 1.79, first_answer: 1.1, size: 1_234_567, fits_in_memory: true };

/// Returns made-up figures for `--sample`.
fn sample_rows() -> Vec<Row> {
    let times_cinder = [26.0, 40.0, 48.0, 6.5, 15.0];
    let sample = |(case, times): (Case, f64)| {
        let round = |day: f64| {
            let ours = [0.4, 1.0, 1.2].map(|share| {
                let rate = case.cinder.at_4 * times * share * day;
                Measured { rate, processor: Some(1.5e6 / rate) }
            });
            let bare = ours.map(|own| Measured { rate: own.rate * (2.2 - day), processor: Some(1.2e6 / own.rate) });
            Round { ours, bare: case.bare.is_some().then_some(bare) }
        };
        summarize(&case, &[0.95, 1.0, 1.05].map(round))
    };
    cases().into_iter().zip(times_cinder).map(sample).collect()
}
