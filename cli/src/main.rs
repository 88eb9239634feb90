//! The program `volume-snapshots`, which a person installs and starts at a terminal: `up` serves the API and a Keystone
//! for development, `env` and `clouds` tell clients how to sign in, and `health` asks a running server how it is.
//!
//! It is a thin shell over the embedded host. It must not know the API, except for the routes that it calls itself: those
//! that say whether the service works, and the one that takes a state document. It prints one line to standard output as
//! soon as it accepts requests, `Serving http://...`, since scripts wait for it. An error is one sentence that says how
//! to correct it.
//!
//! | Module | Is about |
//! | --- | --- |
//! | `arguments` | the command line |
//! | `up` | the start of the service, in the order of its steps |
//! | `variables` | the values of the app's variables, and the values that `up` chooses |
//! | `components` | the manifest and the components, within the program or from a file |
//! | `cache` | the directory with the machine code of the components |
//! | `state` | the store, and the lock on its directory |
//! | `seed` | the state document that the service starts with |
//! | `log` | lines for people or for machines |
//! | `sign_in` | the output of `env` and `clouds` |
//! | `health` | one request to a running server |

#![allow(clippy::disallowed_methods, reason = "a program reads the clock and the environment")]
#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use self::arguments::{Arguments, Command};

mod arguments;
mod cache;
mod components;
mod health;
mod log;
mod seed;
mod sign_in;
mod state;
mod up;
mod variables;

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Up(arguments) => up::run(&arguments),
        Command::Env(client) => print(&sign_in::environment(&client)),
        Command::Clouds(client) => print(&sign_in::clouds(&client)),
        Command::Health(health) => health::check(&health),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, even if a library's message has several.
            let message = format!("{error:#}");
            let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
            let _ = writeln!(std::io::stderr(), "volume-snapshots: {message}");
            ExitCode::FAILURE
        }
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}
