//! The two ways in which tests run the service: the core alone, natively, and the component on the embedded host.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

pub mod calls;
pub mod component;
pub mod faults;
pub mod host_process;
pub mod laws;
pub mod memory_key_value;
pub mod native;
pub mod redis_server;
pub mod redis_store;
pub mod scripted_keystone;

use http::{Request, Response};
use serde_json::Value;

/// The secret that opens the operator's routes in tests.
pub const OPS_TOKEN: &str = "let-me-in";

/// A running service of either kind.
pub trait Service {
    /// Sends a request.
    fn send(&self, request: Request<Vec<u8>>) -> Response<Vec<u8>>;

    /// Replaces the state. Panics with the answer if it is refused.
    fn put_state(&self, state: &Value) {
        let answer = self.send(operator("PUT", "/_ops/state", state.to_string().as_bytes()));
        assert!(answer.status().is_success(), "{}: {}", answer.status(), text(&answer));
    }

    /// Returns the state as a document.
    fn state(&self) -> Value {
        let answer = self.send(operator("GET", "/_ops/state", b""));
        assert!(answer.status().is_success(), "{}: {}", answer.status(), text(&answer));
        json(&answer)
    }
}

/// A running service with a clock of its own.
pub trait ClockedService: Service {
    /// Moves the clock forward.
    fn advance(&self, seconds: f64);
}

/// Returns a request of an operator.
pub fn operator(method: &str, path: &str, body: &[u8]) -> Request<Vec<u8>> {
    Request::builder().method(method).uri(path).header("x-ops-token", OPS_TOKEN).body(body.to_vec()).expect("a request")
}

/// Returns a request of a client with a JSON body. JSON null stands for no body.
pub fn client(method: &str, path: &str, body: &Value) -> Request<Vec<u8>> {
    let request = Request::builder().method(method).uri(path).header("x-auth-token", "demo:a1");
    if body.is_null() {
        return request.body(Vec::new()).expect("a request");
    }
    request.header("content-type", "application/json").body(body.to_string().into_bytes()).expect("a request")
}

/// Parses the body of an answer as JSON. If it is not JSON, returns it as a JSON string, so that a comparison shows it.
pub fn json(answer: &Response<Vec<u8>>) -> Value {
    serde_json::from_slice(answer.body()).unwrap_or_else(|_| Value::String(text(answer)))
}

/// Returns the body of an answer as a string.
pub fn text(answer: &Response<Vec<u8>>) -> String {
    String::from_utf8_lossy(answer.body()).into_owned()
}
