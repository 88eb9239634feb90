//! The component on the embedded host, in process, without ports or sleeps. It is compiled once per test program.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, UNIX_EPOCH};

use super::faults::Faults;
use http::{Request, Response};
use tokio::runtime::Runtime;
use volume_snapshots_host::{App, Application, Clock, MemoryStore, Options, Output, Store};

use super::{ClockedService, OPS_TOKEN, Service};

/// The manifest that users run.
pub const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/spin.toml");

/// The time at which the clock of a test starts, in seconds since the epoch.
pub const START: u64 = 1_790_000_000;

static APPLICATION: LazyLock<Application> = LazyLock::new(|| {
    Application::load(MANIFEST).unwrap_or_else(|error| panic!("{error:#}; `make build` builds the component"))
});

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));

/// Returns the compiled application of the manifest.
pub fn application() -> &'static Application {
    &APPLICATION
}

/// Returns the runtime of all components in this program.
pub fn runtime() -> &'static Runtime {
    &RUNTIME
}

/// A running component with its own store and clock.
pub struct ComponentService {
    pub app: App,
    pub clock: Clock,
    /// The store, which fails where a test plans it.
    pub faults: Faults,
}

impl ComponentService {
    /// Starts the component on an empty store, with changed variables.
    pub fn new(variables: &[(&str, &str)]) -> Self {
        Self::on(Arc::new(MemoryStore::new()), variables)
    }

    /// Starts the component on a store, which need not be empty.
    pub fn on(store: Arc<dyn Store>, variables: &[(&str, &str)]) -> Self {
        Self::of(&APPLICATION, store, variables)
    }

    /// Starts a component that was compiled in another way.
    pub fn of(application: &Application, store: Arc<dyn Store>, variables: &[(&str, &str)]) -> Self {
        let faults = Faults::new(store);
        let clock = Clock::manual_at_seconds(START);
        let options = Options {
            store: Arc::new(faults.clone()),
            clock: clock.clone(),
            output: Output::captured(),
            ..Options::default()
        };
        let options = variables
            .iter()
            .fold(options.variable("ops_token", OPS_TOKEN), |options, (name, value)| options.variable(name, value));
        let app = App::new(application, options).unwrap_or_else(|error| panic!("{error:#}"));
        Self { app, clock, faults }
    }

    /// Starts the component on a store, with a limit of the memory that an invocation may have, in bytes.
    pub fn with_memory_limit(store: Arc<dyn Store>, memory_limit: usize) -> Self {
        let (faults, clock) = (Faults::new(store), Clock::manual_at_seconds(START));
        let options = Options {
            store: Arc::new(faults.clone()),
            clock: clock.clone(),
            output: Output::captured(),
            memory_limit,
            ..Options::default()
        };
        let app = App::new(&APPLICATION, options.variable("ops_token", OPS_TOKEN));
        Self { app: app.unwrap_or_else(|error| panic!("{error:#}")), clock, faults }
    }

    /// Starts the component on a store in memory, and returns the store too.
    pub fn with_memory(variables: &[(&str, &str)]) -> (Self, Arc<MemoryStore>) {
        let memory = Arc::new(MemoryStore::new());
        (Self::on(memory.clone(), variables), memory)
    }

    /// Moves the clock forward.
    pub fn advance(&self, seconds: f64) {
        self.clock.advance(Duration::from_secs_f64(seconds));
    }

    /// Fires the schedule, as the cron trigger does.
    pub fn tick(&self) -> Result<(), String> {
        let seconds = self.clock.now().duration_since(UNIX_EPOCH).expect("after the epoch").as_secs();
        RUNTIME.block_on(self.app.tick(seconds)).map_err(|error| format!("{error:#}"))
    }

    /// Fires the schedule and returns its number of store calls and commits.
    pub fn cost_of_tick(&self) -> (usize, usize) {
        self.faults.reset();
        self.tick().unwrap_or_else(|error| panic!("{error}"));
        (self.faults.calls().len(), self.faults.commits())
    }
}

impl Service for ComponentService {
    fn send(&self, request: Request<Vec<u8>>) -> Response<Vec<u8>> {
        let request = request.map(bytes::Bytes::from);
        let answer = RUNTIME.block_on(self.app.handle(request)).unwrap_or_else(|error| panic!("{error:#}"));
        answer.map(|body| body.to_vec())
    }
}

impl ClockedService for ComponentService {
    fn advance(&self, seconds: f64) {
        Self::advance(self, seconds);
    }
}
