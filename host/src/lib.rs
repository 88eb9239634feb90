//! The embedded host: it runs this project's `spin.toml` without the `spin` command.
//!
//! It is meant for tests and laptops. Production runs on Spin. It copies Spin's behaviour, flaws included, so that
//! tests see what users get, except where a client could harm others. It only offers the features that our manifest
//! uses. It does not know OpenStack: it runs any components that need only HTTP, cron triggers, variables, key-value
//! stores, and each other.
//!
//! ```no_run
//! # use volume_snapshots_host::{App, Application, Clock, Options};
//! # async fn example() -> anyhow::Result<()> {
//! let application = Application::load("spin.toml")?; // Once: it compiles the component.
//! let clock = Clock::manual_at_seconds(1_767_225_600);
//! let app = App::new(&application, Options { clock: clock.clone(), ..Options::default() })?;
//! let answer = app.handle(http::Request::get("/v3/").body(bytes::Bytes::new())?).await?;
//! assert_eq!(answer.status(), 200);
//! clock.advance(std::time::Duration::from_secs(2));
//! app.tick(clock.now_in_seconds()).await?;
//! assert_eq!(app.traps(), 0);
//! # Ok(())
//! # }
//! ```
//!
//! A test that uses the SQLite store or a Redis server needs a multi-thread runtime, `#[tokio::test(flavor =
//! "multi_thread")]`.

#![allow(clippy::disallowed_methods, reason = "the host is where the clock and the environment come from")]
#![forbid(unsafe_code)]

mod app;
mod application;
mod bindings;
mod body;
mod chaining;
mod clock;
mod connections;
mod cron;
mod invocation;
pub mod key_value;
mod limits;
mod manifest;
mod options;
mod outbound;
mod output;
mod pool;
mod routes;
mod running;
mod schedule;
mod server;
mod slots;
mod target;
mod variables;

pub use app::App;
pub use application::Application;
pub use clock::Clock;
pub use key_value::memory::MemoryStore;
pub use key_value::sqlite::SqliteStore;
pub use key_value::{Row, Store, StoreError, Swap};
pub use limits::{ClientTimeouts, raise_file_limit};
pub use manifest::{Manifest, ManifestComponent, Source};
pub use options::{LoggedRequest, Options, RequestLog};
pub use outbound::AllowedHosts;
pub use output::Output;
pub use pool::{INVOCATIONS_AT_ONCE, LARGEST_MEMORY};
pub use schedule::Schedule;
pub use variables::{ENVIRONMENT_PREFIX, Variable};
