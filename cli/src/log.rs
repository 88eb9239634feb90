//! The log, for people or for machines. It goes to standard error.
//!
//! It must not know what a line means. A failure to write it is ignored, because there is no other place to report it.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{SecondsFormat, Utc};
use serde_json::json;
use volume_snapshots_host::{LoggedRequest, Output, RequestLog};

use crate::arguments::LogFormat;

/// The log of this process.
pub struct Log {
    format: LogFormat,
    is_coloured: bool,
    /// The messages of the start, or `None` once it has succeeded.
    held: Mutex<Option<Vec<String>>>,
}

impl Log {
    /// Creates a log that holds messages back until [`Log::release`], because a failed start explains them better.
    pub fn new(format: LogFormat) -> Arc<Self> {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_coloured = format == LogFormat::Text && std::io::stderr().is_terminal() && !no_color;
        Arc::new(Self { format, is_coloured, held: Mutex::new(Some(Vec::new())) })
    }

    /// Returns the destination for messages of the host and its guests.
    pub fn output(self: &Arc<Self>) -> Output {
        let log = Arc::clone(self);
        Output::function(move |line| log.message(line))
    }

    /// Returns the function that logs requests.
    pub fn requests(self: &Arc<Self>) -> RequestLog {
        let log = Arc::clone(self);
        Arc::new(move |request| {
            let time = now();
            log.write(&match log.format {
                LogFormat::Text => request_for_people(&time, request, log.is_coloured),
                LogFormat::Json => request_for_machines(&time, request),
            });
        })
    }

    /// Logs one message.
    pub fn message(&self, line: &str) {
        if let Some(held) = self.held.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            held.push(line.to_owned());
            return;
        }
        self.write(&match self.format {
            LogFormat::Text => line.to_owned(),
            LogFormat::Json => json!({ "time": now(), "message": line }).to_string(),
        });
    }

    /// Returns the messages that are held back.
    pub fn held(&self) -> Vec<String> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default()
    }

    /// Writes the messages that are held back. Later ones are written at once.
    pub fn release(&self) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        for line in held.into_iter().flatten() {
            self.message(&line);
        }
    }

    #[allow(clippy::unused_self, reason = "the destination is this log's choice")]
    fn write(&self, line: &str) {
        let _ = std::io::stderr().lock().write_all(format!("{line}\n").as_bytes());
    }
}

fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn request_for_people(time: &str, request: &LoggedRequest<'_>, is_coloured: bool) -> String {
    let LoggedRequest { method, path, status, .. } = request;
    let colour = match status {
        200..=299 => "32",
        300..=399 => "36",
        400..=499 => "33",
        _ => "31",
    };
    let status = if is_coloured { format!("\x1b[{colour}m{status}\x1b[0m") } else { status.to_string() };
    let milliseconds = milliseconds(request);
    let id = request.id.map(|id| format!(" {id}")).unwrap_or_default();
    format!("{time} {method} {path} {status} {milliseconds:.1} ms{id}")
}

fn request_for_machines(time: &str, request: &LoggedRequest<'_>) -> String {
    let object = json!({
        "time": time,
        "message": "request",
        "method": request.method,
        "path": request.path,
        "status": request.status,
        "milliseconds": (milliseconds(request) * 1e3).round() / 1e3,
        "request_id": request.id,
    });
    object.to_string()
}

fn milliseconds(request: &LoggedRequest<'_>) -> f64 {
    request.duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_request_is_one_line() {
        let request = LoggedRequest {
            method: "GET",
            path: "/v3/p/snapshots",
            status: 404,
            duration: Duration::from_micros(1_234),
            id: Some("req-1"),
        };
        assert_eq!(request_for_people("T", &request, false), "T GET /v3/p/snapshots 404 1.2 ms req-1");
        assert_eq!(request_for_people("T", &request, true), "T GET /v3/p/snapshots \x1b[33m404\x1b[0m 1.2 ms req-1");
        let line: serde_json::Value = serde_json::from_str(&request_for_machines("T", &request)).expect("JSON");
        let expected = json!({
            "time": "T", "message": "request", "method": "GET", "path": "/v3/p/snapshots", "status": 404,
            "milliseconds": 1.234, "request_id": "req-1",
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn messages_of_the_start_are_held_back() {
        let log = Log::new(LogFormat::Json);
        log.message("one");
        assert_eq!(log.held(), ["one"]);
        log.release();
        log.message("two");
        assert!(log.held().is_empty());
    }
}
