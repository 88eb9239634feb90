//! The start of the service. Compilation takes longest, so everything else that can fail comes first.

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use tokio::net::TcpListener;
use volume_snapshots_host::{App, Options, raise_file_limit};

use crate::arguments::{DEFAULT_URL, Up};
use crate::log::Log;
use crate::seed::{self, Owner};
use crate::variables::{Chosen, Values, from_environment};
use crate::{cache, components, state};

/// The paths that are asked for at the start. The first is about `dev_identity`, on which the second depends.
const IDENTITY_PROBE: &str = "/identity/healthcheck";
const PROBE: &str = "/startup";

/// Serves until a signal stops it.
///
/// # Errors
///
/// Fails when the service cannot start, with one sentence that says what to do.
#[tokio::main]
pub async fn run(arguments: &Up) -> Result<()> {
    raise_file_limit();
    let log = Log::new(arguments.log_format);
    let Started { app, listener, values, _state: _lock } = start(arguments, &log).await?;
    log.release();
    if arguments.stop_with_stdin {
        std::thread::spawn(stop_with_stdin);
    }
    let greet = |address: SocketAddr| {
        let mut text = format!("Serving http://{address}\n");
        if !arguments.quiet {
            text.push_str(&greeting(arguments, &values, &url(address)));
        }
        // The reader may be gone after the first line.
        let _ = std::io::stdout().lock().write_all(text.as_bytes());
    };
    app.serve_until_signal(listener, greet).await
}

/// Waits until standard input ends, and stops this process as SIGTERM from outside would.
fn stop_with_stdin() {
    let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM);
}

/// A service that is ready to serve.
struct Started {
    app: App,
    listener: TcpListener,
    values: Values,
    _state: state::State,
}

async fn start(arguments: &Up, log: &Arc<Log>) -> Result<Started> {
    let manifest = components::manifest(arguments.manifest.as_deref())?;
    let seed = arguments.seed.as_deref().map(|path| Ok::<_, anyhow::Error>((path, seed::read(path)?))).transpose()?;
    let identity_seed = arguments.identity_seed.as_deref().map(seed::read).transpose()?;
    let listener = listen(&arguments.listen, arguments.port).await?;
    let address = listener.local_addr()?;
    let chosen = Chosen {
        set: &arguments.set,
        ops_token: arguments.ops_token.as_deref(),
        identity_seed: identity_seed.map(|document| document.to_string()),
    };
    let values = Values::choose(&manifest, &chosen, from_environment, &url(address))?;
    values.check_address(address)?;
    let state = state::open(arguments.state_dir.as_deref(), log.output())?;

    let application = cache::compile(manifest)?;
    for name in application.unknown_environment_variables() {
        log.message(&format!("warning: {name} sets no variable of the service"));
    }
    let options = Options {
        store: state.store.clone(),
        variables: values.all(),
        output: log.output(),
        request_log: arguments.log_requests.then(|| log.requests()),
        ..Options::default()
    };
    let app = App::new(&application, options)?;
    if values.get("dev_identity") != "off" {
        probe(&app, log, IDENTITY_PROBE).await?;
    }
    probe(&app, log, PROBE).await?;

    if let Some((path, document)) = seed {
        let owner = if values.has_default_users() { Some(Owner::demo(&app).await?) } else { None };
        if !seed::put(&app, values.get("ops_token"), path, document, owner).await? {
            log.message(&format!("the state has volumes or snapshots, so the seed {} is left out", path.display()));
        }
    }
    Ok(Started { app, listener, values, _state: state })
}

/// Returns the URL of a service for clients on this machine.
fn url(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(own) if own.ip().is_unspecified() => format!("http://127.0.0.1:{}", own.port()),
        SocketAddr::V6(own) if own.ip().is_unspecified() => format!("http://[::1]:{}", own.port()),
        own => format!("http://{own}"),
    }
}

async fn listen(address: &str, port: Option<u16>) -> Result<TcpListener> {
    let found = tokio::net::lookup_host(address).await.ok().and_then(|mut all| all.next());
    let found = found.with_context(|| format!("--listen {address} is not an address, such as 127.0.0.1:8776"))?;
    let address = SocketAddr::new(found.ip(), port.unwrap_or(found.port()));
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => anyhow!(
            "another program listens on {address}; stop it, or choose another port with --port (0 takes any free one)"
        ),
        ErrorKind::PermissionDenied => {
            anyhow!("this user may not listen on {address}; choose a port above 1023 with --port")
        }
        ErrorKind::AddrNotAvailable => {
            anyhow!("this machine does not have the address {}; choose another one with --listen", address.ip())
        }
        _ => anyhow!("cannot listen on {address}: {error}; choose another address with --listen"),
    })
}

/// Finds out whether the service works. If a variable is wrong, the component logs it, and this explains it.
async fn probe(app: &App, log: &Log, path: &str) -> Result<()> {
    let Err(error) = app.probe(path).await else { return Ok(()) };
    let held = log.held();
    let cause = held.iter().rev().find_map(|line| line.split_once(" answered 5").map(|(_, rest)| rest));
    let cause = cause.and_then(|rest| rest.split_once(": ")).map(|(_, cause)| cause);
    let Some(cause) = cause else {
        log.release();
        return Err(error);
    };
    let Some((name, reason)) = cause.strip_prefix("variable ").and_then(|rest| rest.split_once(": ")) else {
        bail!("the service does not work: {cause}");
    };
    let advice = match name {
        "dev_identity_seed" => "correct the document of --identity-seed".to_owned(),
        _ => format!("set it with --set {name}=..., or leave it out"),
    };
    Err(anyhow!("the variable {name} is wrong: {reason}; {advice}"))
}

/// Returns the help at the start.
fn greeting(arguments: &Up, values: &Values, url: &str) -> String {
    let mut lines = Vec::new();
    match &arguments.state_dir {
        Some(directory) => lines.push(format!("The state is in {}.", directory.display())),
        None => lines.push("The state is in memory and lost at the end; --state-dir DIRECTORY keeps it.".to_owned()),
    }
    if values.has_default_users() {
        let option = if url == DEFAULT_URL { String::new() } else { format!(" --url {url}") };
        lines.push("Sign in as demo, with the password demo:".to_owned());
        lines.push(format!("    eval \"$(volume-snapshots env{option})\""));
        lines.push("    openstack volume snapshot list".to_owned());
        lines.push("The administrator is admin, with the password admin (volume-snapshots env --admin).".to_owned());
    } else if values.has_dev_identity() {
        let seed = arguments.identity_seed.as_deref().map_or("dev_identity_seed".into(), Path::to_string_lossy);
        lines.push(format!("Sign in at {url}/identity/v3 as a user of {seed}."));
    } else {
        lines.push(format!("Callers are authenticated by auth_mode={}.", values.get("auth_mode")));
    }
    if values.has_random_ops_token() {
        lines.push(format!(
            "The operator's routes ({url}/_ops) want the header X-Ops-Token: {}",
            values.get("ops_token")
        ));
    }
    lines.push("Ctrl-C stops it.".to_owned());
    lines.join("\n") + "\n"
}
