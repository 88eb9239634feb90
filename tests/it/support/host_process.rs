//! The embedded host as a separate process, with the schedule of the manifest firing. A test can start it, call it over
//! HTTP, and kill it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use http::{Request, Response};
use serde_json::Value;
use ureq::Agent;
use volume_snapshots_host::ENVIRONMENT_PREFIX;

use super::calls::{Answer, BOUND, request};
use super::component::MANIFEST;
use super::{OPS_TOKEN, Service};

/// The time that a host may take to start. The first one compiles the component.
const START: Duration = Duration::from_mins(5);

/// A directory for the data of a test and the logs of its hosts. It is deleted after the test, unless the test fails.
#[derive(Debug)]
pub struct StateDirectory(PathBuf);

impl StateDirectory {
    /// Creates an empty directory among the temporary files.
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("volume-snapshots-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    /// Returns the path of the database that a host keeps here.
    pub fn database(&self) -> PathBuf {
        self.0.join("sqlite_key_value.db")
    }
}

impl Drop for StateDirectory {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("data and logs are left in {}", self.0.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// A running host. It is killed when it is dropped.
#[derive(Debug)]
pub struct HostProcess {
    process: Mutex<Child>,
    base: String,
    agent: Agent,
}

impl HostProcess {
    /// Starts a host and waits until it accepts requests. Its log is called `name`.
    pub fn start(name: &str, directory: &StateDirectory, variables: &[(&str, &str)]) -> Self {
        let log = File::options().append(true).create(true).open(directory.0.join(format!("{name}.log")));
        let mut command = Command::new(program());
        command.args(["--manifest", MANIFEST, "--listen", "127.0.0.1:0", "--state-dir"]).arg(&directory.0);
        // The variables of the developer who runs the tests are not for this host.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with(ENVIRONMENT_PREFIX))
        {
            command.env_remove(name);
        }
        command.env(format!("{ENVIRONMENT_PREFIX}OPS_TOKEN"), OPS_TOKEN);
        for (name, value) in variables {
            command.env(format!("{ENVIRONMENT_PREFIX}{}", name.to_uppercase()), value);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log.expect("a log"));
        let mut process = command.spawn().expect("the host starts");
        let output = BufReader::new(process.stdout.take().expect("standard output"));
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || sender.send(output.lines().next()));
        let config = Agent::config_builder().http_status_as_error(false).timeout_global(Some(BOUND)).build();
        // This is created before the address is known, so that a failure kills the process.
        let mut host = Self { process: Mutex::new(process), base: String::new(), agent: config.into() };
        let line = lines.recv_timeout(START).ok().flatten().and_then(Result::ok).unwrap_or_default();
        let base = line.strip_prefix("Serving ");
        let failure = || panic!("the host says {line:?}; its log in {} says more", directory.0.display());
        base.unwrap_or_else(failure).clone_into(&mut host.base);
        host
    }

    /// Kills the process at once, like a crash.
    pub fn kill(&self) {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        process.kill().expect("killed");
        process.wait().expect("ended");
    }

    /// Returns the largest memory that the process has had, in bytes.
    #[cfg(target_os = "linux")]
    pub fn peak_memory(&self) -> usize {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner).id();
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("a running process");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        let kibibytes = peak.trim().trim_end_matches(" kB").parse::<usize>().expect("a number");
        kibibytes << 10
    }

    /// Sends a request. After an error its effect is unknown.
    pub fn try_send(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, ureq::Error> {
        let (mut parts, body) = request.into_parts();
        parts.uri = format!("{}{}", self.base, parts.uri).parse().expect("a URL");
        let answer = if body.is_empty() {
            self.agent.run(Request::from_parts(parts, ()))?
        } else {
            self.agent.run(Request::from_parts(parts, body))?
        };
        let (parts, mut body) = answer.into_parts();
        // A state with very many rows exceeds the client's default limit.
        let body = body.with_config().limit(u64::MAX).read_to_vec()?;
        Ok(Response::from_parts(parts, body))
    }

    /// Makes a client's call.
    pub fn try_call(&self, method: &str, path: &str, body: &Value) -> Result<Answer, ureq::Error> {
        self.try_send(request(method, path, body)).map(Answer::from)
    }
}

impl Drop for HostProcess {
    fn drop(&mut self) {
        let process = self.process.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = process.kill();
        let _ = process.wait();
    }
}

impl Service for HostProcess {
    fn send(&self, request: Request<Vec<u8>>) -> Response<Vec<u8>> {
        let what = format!("{} {}", request.method(), request.uri());
        self.try_send(request).unwrap_or_else(|error| panic!("{what}: {error}"))
    }
}

/// Returns the path of the host that `cargo test --workspace` builds, next to the directory of the test's own
/// executable.
fn program() -> PathBuf {
    let executable = std::env::current_exe().expect("a path");
    let directory = executable.parent().and_then(Path::parent).expect("target/debug/deps");
    let program = directory.join(format!("volume-snapshots-host{}", std::env::consts::EXE_SUFFIX));
    assert!(program.exists(), "{} is missing; `make test` builds it", program.display());
    program
}
