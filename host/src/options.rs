//! The settings of a running app.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::key_value::memory::MemoryStore;
use crate::key_value::store::Store;
use crate::limits::ClientTimeouts;
use crate::output::Output;
use crate::pool::{INVOCATIONS_AT_ONCE, LARGEST_MEMORY};

/// A function that is called for each request of [`crate::App::serve`], when the head of its answer is known.
pub type RequestLog = Arc<dyn Fn(&LoggedRequest<'_>) + Send + Sync>;

/// A request that has been answered, for a log.
#[derive(Clone, Copy, Debug)]
pub struct LoggedRequest<'a> {
    pub method: &'a str,
    /// The percent-encoded path, without the query, which may have secrets.
    pub path: &'a str,
    pub status: u16,
    /// The time from the head of the request to the head of the answer.
    pub duration: Duration,
    /// The id in the answer's header `x-openstack-request-id`.
    pub id: Option<&'a str>,
}

/// The differences between two apps of the same application.
pub struct Options {
    /// The store of the data. By default an empty store in memory.
    pub store: Arc<dyn Store>,
    /// Values of application variables. They take precedence over the environment.
    pub variables: HashMap<String, String>,
    /// Whether `SPIN_VARIABLE_` environment variables set application variables. By default they do not, so that a
    /// developer's environment does not change a test.
    pub environment_variables: bool,
    /// The wall clock that a guest sees. By default the machine's.
    pub clock: Clock,
    /// The destination of the log: a guest's standard output and standard error, and the host's messages. By default
    /// this program's standard error.
    pub output: Output,
    /// The time after which an invocation is ended, the waits of the guest included. By default a minute.
    pub deadline: Duration,
    /// The number of invocations that run at once. By default and at most [`INVOCATIONS_AT_ONCE`]. Others wait. Requests
    /// that components send to each other run beside them, a quarter as many.
    pub invocations_at_once: usize,
    /// The time that a request or an event may wait until it may run. A request is answered with 503 then. This wait
    /// is not part of the deadline. By default five seconds.
    pub longest_wait: Duration,
    /// The times that a client of [`crate::App::serve`] has.
    pub client_timeouts: ClientTimeouts,
    /// The number of connections that [`crate::App::serve`] keeps open, or fewer if the limit of open files is low. By default
    /// 2,048.
    pub connections: usize,
    /// The log of requests. By default there is none.
    pub request_log: Option<RequestLog>,
    /// The limit of a guest's memory, in bytes. By default [`LARGEST_MEMORY`].
    pub memory_limit: usize,
    /// Whether [`crate::App::serve`] fires the manifest's cron triggers. By default it does.
    pub fires_schedule: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            store: Arc::new(MemoryStore::new()),
            variables: HashMap::new(),
            environment_variables: false,
            clock: Clock::system(),
            output: Output::standard_error(),
            deadline: Duration::from_mins(1),
            invocations_at_once: INVOCATIONS_AT_ONCE,
            longest_wait: Duration::from_secs(5),
            client_timeouts: ClientTimeouts::default(),
            connections: 2_048,
            request_log: None,
            memory_limit: LARGEST_MEMORY,
            fires_schedule: true,
        }
    }
}

impl Options {
    /// Sets one application variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }
}
