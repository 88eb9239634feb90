//! The shell: the only code that knows Spin. It turns the two exports of the component into calls of the core, and it
//! gives the core Spin's key-value store, clock, randomness, and variables.
//!
//! It must not know the API. The meaning of a path, a body, or a status is not its concern.
//!
//! | Export | Called | Handled by |
//! | --- | --- | --- |
//! | `wasi:http/incoming-handler` | for each request of the HTTP trigger | `http.rs` |
//! | `spin:cron/handle-cron-event` | for each event of the cron trigger | [`tick::run`] |
//!
//! Each call of an export runs in a fresh instance of the component, so the shell keeps no state between calls. Within
//! a call it imports and calls as few functions of the host as it can, because both cost time; see [`leaked`].

use self::bindings::Component;
use self::key_value::SpinKeyValue;
use self::surroundings::{RandomIdentifiers, now};
use self::variables::SpinVariables;
use crate::domain::lifecycle::Moment;
use crate::settings::{LazySettings, SettingsError};
use crate::store::{Notes, Store};
use crate::tick::{self, Bounds};

mod bindings;
mod http;
mod key_value;
mod leaked;
mod outbound;
mod surroundings;
mod variables;

impl bindings::Guest for Component {
    /// Runs the tick. It takes the time from the clock and not from the event, because the clock is finer than whole
    /// seconds and requests use it too.
    fn handle_cron_event(_metadata: bindings::Metadata) -> Result<(), bindings::Error> {
        let key_value = SpinKeyValue::default();
        let wrong = |error: SettingsError| bindings::Error::Other(error.to_string());
        let settings = LazySettings::new(&SpinVariables);
        let settings = settings.checked().map_err(wrong)?;
        let bounds = Bounds { rows: settings.rows_per_tick, message_ttl: settings.message_ttl_seconds };
        let notes = Notes::default();
        let store = Store::new(&key_value, &RandomIdentifiers, &notes);
        let report = tick::run(&store, Moment::scheduled(now()), bounds);
        for line in notes.unreadable.lines() {
            eprintln!("the scheduled step {line}");
        }
        report.map(drop).map_err(|error| bindings::Error::Other(error.to_string()))
    }
}

/// The HTTP export, from the `wasi` crate. The export of spin-sdk would add an executor of futures, which nothing here
/// needs.
impl wasi::exports::http::incoming_handler::Guest for Component {
    fn handle(request: wasi::http::types::IncomingRequest, response_out: wasi::http::types::ResponseOutparam) {
        http::serve(request, response_out);
    }
}

wasi::http::proxy::export!(Component);
