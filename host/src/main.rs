//! The command line of the embedded host, `volume-snapshots-host`.
//!
//! It must not know how an app runs. It prints one line to standard output, when it accepts requests. All other
//! messages go to standard error.

#![allow(clippy::disallowed_methods, reason = "the command line reads the environment")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use tokio::net::TcpListener;
use volume_snapshots_host::{App, Application, Manifest, Options, SqliteStore, raise_file_limit};

const HELP: &str = "\
Runs a spin.toml without Spin, for tests and laptops.

Usage: volume-snapshots-host [options]

  --manifest <file>       the manifest to run (default: spin.toml)
  --listen <address>      where to serve HTTP, port 0 for any (default: $LISTEN or 127.0.0.1:3000)
  --state-dir <directory> where the data is kept, in sqlite_key_value.db (default: $STATE_DIR or .spin)
  --probe <path>          ask the app for this path first, and do not start unless it answers 2xx; may be repeated
  --help                  this text

Variables of the manifest are set by the environment: SPIN_VARIABLE_AUTH_MODE=headers sets auth_mode.
Prints one line, `Serving http://<address>`, when it accepts requests. SIGINT and SIGTERM stop it.
";

struct Arguments {
    manifest: PathBuf,
    listen: String,
    state_directory: PathBuf,
    probes: Vec<String>,
}

impl Arguments {
    /// Parses the command line. Returns `None` for `--help`.
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>> {
        let mut read = Self {
            manifest: PathBuf::from("spin.toml"),
            listen: std::env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:3000".to_owned()),
            state_directory: std::env::var_os("STATE_DIR").map_or_else(|| PathBuf::from(".spin"), PathBuf::from),
            probes: Vec::new(),
        };
        while let Some(argument) = arguments.next() {
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (argument, None),
            };
            let mut value = || {
                value.clone().or_else(|| arguments.next()).with_context(|| format!("{name} needs a value; see --help"))
            };
            match name.as_str() {
                "--help" | "-h" => return Ok(None),
                "--manifest" => read.manifest = PathBuf::from(value()?),
                "--listen" => read.listen = value()?,
                "--state-dir" => read.state_directory = PathBuf::from(value()?),
                "--probe" => read.probes.push(value()?),
                _ => bail!("unknown argument {name}; see --help"),
            }
        }
        Ok(Some(read))
    }
}

fn main() -> ExitCode {
    match Arguments::read(std::env::args().skip(1)).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, even if a library's message has several.
            let text = format!("{error:#}");
            eprintln!("{}", text.split_whitespace().collect::<Vec<_>>().join(" "));
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(arguments: Option<Arguments>) -> Result<()> {
    let Some(arguments) = arguments else {
        print!("{HELP}");
        return Ok(());
    };
    raise_file_limit();
    // Compilation takes longest, so everything else that can fail comes first.
    let manifest = Manifest::load(&arguments.manifest)?;
    let listener =
        TcpListener::bind(&arguments.listen).await.with_context(|| format!("cannot listen on {}", arguments.listen))?;
    let directory = &arguments.state_directory;
    std::fs::create_dir_all(directory)
        .with_context(|| format!("cannot create the state directory {}", directory.display()))?;
    let store = SqliteStore::open(directory.join("sqlite_key_value.db"))?;

    let application = Application::compile(manifest)?;
    for name in application.unknown_environment_variables() {
        eprintln!("warning: {name} sets no variable of {}", arguments.manifest.display());
    }
    let options = Options { store: Arc::new(store), environment_variables: true, ..Options::default() };
    let app = App::new(&application, options)?;

    for path in &arguments.probes {
        app.probe(path).await?;
    }

    app.serve_until_signal(listener, |address| println!("Serving http://{address}")).await
}
