//! `make bench`: the requests per second of our component and of a bare one, which only makes the same calls of the
//! host (`benches/bare`), on the same host, in turn, in several rounds.
//!
//! The ratio within a round counts, because times and rates depend on the machine. `wrk` makes the requests. With
//! `HOST=spin` both run on Spin, otherwise on the embedded host. The table goes to standard output and to
//! `docs/benchmarks.md`.

#![allow(clippy::disallowed_methods, reason = "benches measure time and read the environment")]

#[path = "support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use support::{PROJECTS, SNAPSHOTS, TOKEN, snapshot_id, state};
use volume_snapshots_host::{App as EmbeddedApp, Application, MemoryStore, Options, Output, SqliteStore};

/// The number of rounds. Each starts new servers, because the same component can be a twentieth faster in one process
/// than in the next, for the whole life of the process (`docs/adr/0011-the-host-as-one.md`).
const ROUNDS: usize = 7;
/// The duration of each measurement, in seconds.
const SECONDS: usize = 3;
/// The duration of the warm-up of a new server with the same requests, in seconds.
const WARM_UP: usize = 1;
const CONNECTIONS: usize = 16;
/// The time that one answer may take.
const PATIENCE: Duration = Duration::from_mins(1);
const TICKS: usize = 300;
/// The limit of an instance's memory, in bytes.
const MEMORY: usize = 16 << 20;

/// Requests per second of Cinder 29 on SQLite with two workers, measured once, on another day, on the same kind of
/// machine.
const CINDER: [(&str, f64); 5] = [
    ("show one of 10,000", 210.0),
    ("list 100 of 10,000, detail", 31.0),
    ("list 1,000 of 10,000, detail", 6.0),
    ("replace metadata", 70.0),
    ("create", 23.0),
];

/// Requests to our component, and to the bare one if it has an equivalent: for keys of the same length, among as many
/// rows, and with the same headers, so that the store and `wrk` have the same work.
struct Case {
    name: &'static str,
    /// The script for `wrk`: Lua that defines `request`, with the numbers of the thread and of the request.
    ours: String,
    bare: Option<String>,
    bare_does: &'static str,
    /// The number of rows in an answer.
    rows: usize,
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
            name: CINDER[0].0,
            ours: get(&format!("'/v3/a1/snapshots/' .. {id}")),
            bare: Some(get(&format!("'/get/' .. {id}"))),
            bare_does: "one `get` of one of as many",
            rows: 1,
            goal: "≥ 0.8",
        },
        Case {
            name: CINDER[1].0,
            ours: get("'/v3/a1/snapshots/detail?limit=100'"),
            bare: None,
            bare_does: "",
            rows: 100,
            goal: "≤ 10 µs an item, ≥ 30 × Cinder",
        },
        Case {
            name: CINDER[2].0,
            ours: get("'/v3/a1/snapshots/detail?limit=1000'"),
            bare: None,
            bare_does: "",
            rows: 1000,
            goal: "≤ 10 µs an item, ≥ 30 × Cinder",
        },
        Case {
            name: CINDER[3].0,
            ours: write(
                "PUT",
                &format!("'/v3/a1/snapshots/' .. {id} .. '/metadata'"),
                "'a1'",
                "'{\"metadata\": {\"tier\": \"gold\", \"number\": \"' .. number .. '\"}}'",
            ),
            bare: Some(write("PUT", &format!("'/swap/' .. {id}"), "'a1'", "string.rep('x', 300) .. number")),
            bare_does: "one `get`, one compare-and-swap",
            rows: 1,
            goal: "≥ 0.8",
        },
        Case {
            name: CINDER[4].0,
            ours: write(
                "POST",
                &format!("'/v3/' .. {project} .. '/snapshots'"),
                &project,
                &format!(
                    "string.format('{{\"snapshot\": {{\"volume_id\": \"aaaaaaaa-0000-4000-8000-%012d\", \"name\": \"n\"}}}}', \
                     1 + number % {PROJECTS})"
                ),
            ),
            bare: Some(write("POST", "'/two-commits/' .. number", &project, "string.rep('x', 300) .. number")),
            bare_does: "two `set`s",
            rows: 1,
            goal: "≥ 0.8",
        },
    ]
}

/// An app whose servers are started one after the other on the same data.
struct App<'a> {
    manifest: &'a Path,
    /// The directory of its data.
    directory: PathBuf,
    variables: &'a [(&'a str, &'a str)],
    /// A path that it answers with a 2xx.
    path: &'a str,
}

impl App<'_> {
    /// Measures requests to a new server after its warm-up.
    fn measure(&self, script: &str) -> Result<Measured> {
        let server = self.start()?;
        measure(&server, script, WARM_UP, &self.directory)?;
        measure(&server, script, SECONDS, &self.directory)
    }

    fn start(&self) -> Result<Server> {
        let Self { manifest, directory, variables, path } = self;
        let on_spin = std::env::var("HOST").is_ok_and(|host| host == "spin");
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let listen = format!("127.0.0.1:{port}");
        let mut command = if on_spin {
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
    /// The time from the message that it accepts requests to the first answer.
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

    /// Returns the processor time of the server and its children so far, in seconds, or `None` without `/proc`.
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
        // The unit of `/proc` is a hundredth of a second on every Linux.
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        Some(ticks as f64 / 100.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // On Spin the triggers are child processes, which only end with a signal that Spin can handle.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

/// The results of one run of `wrk`.
#[derive(Clone, Copy)]
struct Measured {
    requests_in_a_second: f64,
    /// The processor time of the server for one request, in microseconds.
    processor: Option<f64>,
}

/// Runs `wrk`. Fails if any answer is not a 2xx, because measuring those would be pointless.
fn measure(server: &Server, script: &str, seconds: usize, directory: &Path) -> Result<Measured> {
    // Each thread counts in steps, and each run starts from a new number, so that no two requests write the same: a
    // store does nothing for a value that it already has.
    static RUNS: AtomicUsize = AtomicUsize::new(1);
    let (threads, first) = (2, RUNS.fetch_add(1, Ordering::Relaxed) * 1_000_000);
    let lua = format!(
        "local threads = 0\n\
         function setup(thread) thread:set('first', threads) threads = threads + 1 end\n\
         local number = {first}\n\
         {script}\n\
         function request() number = number + 1 return made(number * {threads} + first) end\n\
         function done(summary, latency, requests)\n\
         print('counted', summary.requests, summary.errors.status + summary.errors.read + summary.errors.write + \
         summary.errors.timeout + summary.errors.connect, summary.duration) end\n"
    );
    let file = directory.join("requests.lua");
    std::fs::write(&file, lua)?;
    let before = server.processor_time();
    let output = Command::new("wrk")
        .args([format!("-t{threads}"), format!("-c{CONNECTIONS}"), format!("-d{seconds}s"), "--script".to_owned()])
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
        requests_in_a_second: requests / microseconds * 1e6,
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

/// Returns the median time of an idle run of the schedule, in microseconds, in process on its own file.
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

/// Whether 10,000 requests are all answered with the memory of an instance limited to [`MEMORY`].
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

/// Returns the first line that a command prints.
fn said(command: &[&str]) -> String {
    let output = Command::new(command[0]).args(&command[1..]).stderr(Stdio::null()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").trim().to_owned()
}

fn machine() -> String {
    let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown processor");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} × {}, {}", model.trim_start_matches(['\t', ' ', ':']), said(&["uname", "-sr"]))
}

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifests = Manifests { ours: root.join("spin.toml"), bare: root.join("benches/bare/spin.toml") };
    let directory = std::env::temp_dir().join(format!("volume-snapshots-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let table = measured(&manifests, &directory);
    std::fs::remove_dir_all(&directory)?;
    let table = table?;
    print!("\n{table}");
    std::fs::write(root.join("docs/benchmarks.md"), table)?;
    Ok(())
}

fn measured(manifests: &Manifests, directory: &Path) -> Result<String> {
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

    let mut rows = String::new();
    for case in cases() {
        let (mut rates, mut processors, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        let (mut bare_rates, mut bare_processors) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let own = ours.measure(&case.ours)?;
            rates.push(own.requests_in_a_second);
            processors.extend(own.processor);
            if let Some(script) = &case.bare {
                let other = bare.measure(script)?;
                bare_rates.push(other.requests_in_a_second);
                bare_processors.extend(other.processor);
                ratios.push(own.requests_in_a_second / other.requests_in_a_second);
            }
        }
        let rate = median(rates);
        let cinder = CINDER.iter().find(|(name, _)| *name == case.name).map_or(f64::NAN, |(_, rate)| *rate);
        let bare = if bare_rates.is_empty() {
            String::new()
        } else {
            let processor = if bare_processors.is_empty() { f64::NAN } else { median(bare_processors) };
            format!("{}: {:.0}; {processor:.0} µs", case.bare_does, median(bare_rates))
        };
        let ratio = match (ratios.iter().copied().reduce(f64::min), ratios.iter().copied().reduce(f64::max)) {
            (Some(least), Some(most)) => format!("{:.2} ({least:.2} to {most:.2})", median(ratios)),
            _ => String::new(),
        };
        #[expect(clippy::cast_precision_loss, reason = "at most a thousand")]
        let processor =
            if processors.is_empty() { String::new() } else { format!("{:.1}", median(processors) / case.rows as f64) };
        let Case { name, goal, .. } = case;
        let times = rate / cinder;
        writeln!(rows, "| {name} | {rate:.0} | {bare} | {ratio} | {processor} | {times:.0} | {goal} |")?;
        eprintln!("{}", rows.lines().last().unwrap_or_default());
    }
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
    let fits = runtime.block_on(fits_in_memory(&manifests.ours))?;
    let size = std::fs::metadata("target/wasm32-wasip2/release/volume_snapshots.wasm")?.len();
    let own_tick = median(ticks.iter().map(|(own, _)| *own).collect());
    let bare_tick = median(ticks.iter().map(|(_, bare)| *bare).collect());
    let tick_ratio = median(ticks.iter().map(|(own, bare)| own / bare).collect());
    let first_answer = median(first_answers);
    let on_spin = std::env::var("HOST").is_ok_and(|host| host == "spin");
    let host = if on_spin { said(&["spin", "--version"]) } else { "the embedded host, wasmtime 48".to_owned() };
    let (rustc, wrk, date) = (said(&["rustc", "--version"]), said(&["wrk", "-v"]), said(&["date", "+%Y-%m-%d"]));
    Ok(format!(
        "# Benchmarks\n\n\
         `make bench` wrote this page on {date}, on {host}. Machine: {machine}. {rustc}; {wrk}.\n\n\
         Requests in a second at {CONNECTIONS} connections, medians of {ROUNDS} rounds of {SECONDS} seconds; data in a SQLite \
         file. The bare component (`benches/bare`) does as much with the store for the same requests and nothing else, in turn \
         with ours, each time on a server that was just started and is warm. Processor time is that of the server, kernel included. Cinder's rates (29, SQLite, two workers, one connection) are \
         of another day.\n\n\
         | Work | ours | bare component | ratio | processor, µs an item | × Cinder | goal |\n\
         | --- | ---: | --- | ---: | ---: | ---: | --- |\n\
         {rows}\n\
         | | | goal |\n\
         | --- | ---: | --- |\n\
         | idle run of the schedule, {SNAPSHOTS} snapshots; bare: three `get`s | {own_tick:.0} µs; bare {bare_tick:.0} µs; \
         ratio {tick_ratio:.2} | ≤ 2 |\n\
         | first answer after the server accepts | {first_answer:.1} ms | ≤ 50 ms |\n\
         | size of the component | {size} bytes | ≤ 1048576 |\n\
         | 10,000 requests, every tenth a list of 1,000, in 16 MiB of memory each | {fits} | all answered |\n",
        machine = machine(),
        fits = if fits { "all answered" } else { "not all answered" },
    ))
}
