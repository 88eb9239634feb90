//! What tests ask a service for, in few words: calls at the newest microversion, made as a client of project `a1`.

use std::time::{Duration, Instant};

use http::{HeaderMap, Request, Response};
use serde_json::{Value, json};

use super::{Service, client, json, operator};

/// The message of a delete or unmanage that the status forbids.
pub const NOT_DELETABLE: &str =
    "Invalid snapshot: Snapshot status must be available or error and must not be part of a group.";

/// How long one answer may take, and how long a client goes on with what it was told to try again.
pub const BOUND: Duration = Duration::from_mins(1);

/// An answer, taken apart.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    /// The body; a JSON text where it is no JSON.
    pub body: Value,
}

impl Answer {
    /// The key and the message of a fault in Cinder's form; empty texts for anything else.
    pub fn fault(&self) -> (&str, &str) {
        let fault = self.body.as_object().filter(|body| body.len() == 1).and_then(|body| body.iter().next());
        match fault {
            Some((key, fault)) if fault["code"] == json!(self.status) => {
                (key.as_str(), fault["message"].as_str().unwrap_or_default())
            }
            _ => ("", ""),
        }
    }

    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl From<Response<Vec<u8>>> for Answer {
    fn from(answer: Response<Vec<u8>>) -> Self {
        let body = json(&answer);
        Self { status: answer.status().as_u16(), headers: answer.headers().clone(), body }
    }
}

/// A client's request at the newest microversion; JSON null for no body.
pub fn request(method: &str, path: &str, body: &Value) -> Request<Vec<u8>> {
    let mut request = client(method, path, body);
    request.headers_mut().insert("openstack-api-version", "volume latest".parse().expect("a header"));
    request
}

/// Calls that every service takes.
pub trait Calls: Service {
    /// A client's call.
    fn call(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.send(request(method, path, body)).into()
    }

    /// A client's GET.
    fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &Value::Null)
    }

    /// A client's DELETE.
    fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, &Value::Null)
    }

    /// An operator's call.
    fn operate(&self, method: &str, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send(operator(method, path, body.as_bytes())).into()
    }

    /// Asks for a volume; its id.
    fn new_volume(&self, base: &str, size: u32) -> String {
        let answer = self.call("POST", &format!("{base}/volumes"), &json!({ "volume": { "size": size } }));
        assert_eq!(answer.status, 202, "{answer:?}");
        id_of(&answer.body["volume"])
    }

    /// Asks for a snapshot.
    fn ask_for_snapshot(&self, base: &str, volume: &str) -> Answer {
        let body = json!({ "snapshot": { "volume_id": volume, "name": "by a test" } });
        self.call("POST", &format!("{base}/snapshots"), &body)
    }

    /// Asks for a snapshot that must be accepted; its id.
    fn new_snapshot(&self, base: &str, volume: &str) -> String {
        let answer = self.ask_for_snapshot(base, volume);
        assert_eq!(answer.status, 202, "{answer:?}");
        id_of(&answer.body["snapshot"])
    }

    /// The rows of a list; `path` names the collection and the query.
    fn rows(&self, path: &str) -> Vec<Value> {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "GET {path}: {answer:?}");
        let collection = if path.contains("/snapshots") { "snapshots" } else { "volumes" };
        answer.body[collection].as_array().unwrap_or_else(|| panic!("GET {path}: {answer:?}")).clone()
    }

    /// The ids of a list.
    fn ids(&self, path: &str) -> Vec<String> {
        self.rows(path).iter().map(id_of).collect()
    }

    /// What `with_count` says of a collection.
    fn count(&self, path: &str) -> usize {
        let answer = self.get(&format!("{path}?limit=1&with_count=true"));
        let count = answer.body["count"].as_u64().unwrap_or_else(|| panic!("GET {path}: {answer:?}"));
        usize::try_from(count).expect("a small count")
    }

    /// The status that a show tells; `None` when there is no such row.
    fn status_of(&self, path: &str) -> Option<String> {
        let answer = self.get(path);
        let kind = if path.contains("/snapshots/") { "snapshot" } else { "volume" };
        match answer.status {
            200 => Some(text_of(&answer.body[kind]["status"])),
            404 => None,
            _ => panic!("GET {path}: {answer:?}"),
        }
    }

    /// The counter of a resource in project `a1`.
    fn in_use(&self, resource: &str) -> Value {
        self.state()["quota_usage"]["a1"][resource]["in_use"].clone()
    }
}

impl<S: Service + ?Sized> Calls for S {}

/// The id of a row.
pub fn id_of(row: &Value) -> String {
    text_of(&row["id"])
}

/// A JSON text as a text.
pub fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// Makes a call again for as long as the answer is a 503, after the pause that it asks for; the last answer, and whether
/// there was a 503 before it.
///
/// # Panics
///
/// When there is no other answer in [`BOUND`].
pub fn insist(call: impl Fn() -> Answer) -> (Answer, bool) {
    let start = Instant::now();
    let mut was_busy = false;
    loop {
        let answer = call();
        if answer.status != 503 {
            return (answer, was_busy);
        }
        assert!(start.elapsed() < BOUND, "still {answer:?}");
        was_busy = true;
        let seconds =
            answer.header("retry-after").parse().unwrap_or_else(|_| panic!("no time to come back: {answer:?}"));
        std::thread::sleep(Duration::from_secs(seconds));
    }
}

/// Looks again and again until it is so.
///
/// # Panics
///
/// When it never is so in [`BOUND`].
pub fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < BOUND, "{what} has not come about");
        std::thread::sleep(Duration::from_millis(5));
    }
}
