//! Short forms of the calls that tests make: at the newest microversion, as a client of project `a1`.

use std::time::{Duration, Instant};

use http::{HeaderMap, Request, Response};
use serde_json::{Value, json};

use super::{Service, client, json, operator};

/// The message of a delete or unmanage that the status forbids.
pub const NOT_DELETABLE: &str =
    "Invalid snapshot: Snapshot status must be available or error and must not be part of a group.";

/// The time that one answer may take, and the time after which a client stops retrying.
pub const BOUND: Duration = Duration::from_mins(1);

/// An answer in parts.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    /// The body, as a JSON string if it is not JSON.
    pub body: Value,
}

impl Answer {
    /// Returns the key and the message of a fault in Cinder's form, or empty strings.
    pub fn fault(&self) -> (&str, &str) {
        let fault = self.body.as_object().filter(|body| body.len() == 1).and_then(|body| body.iter().next());
        match fault {
            Some((key, fault)) if fault["code"] == json!(self.status) => {
                (key.as_str(), fault["message"].as_str().unwrap_or_default())
            }
            _ => ("", ""),
        }
    }

    /// Returns a header, or the empty string.
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

/// Returns a client's request at the newest microversion. JSON null stands for no body.
pub fn request(method: &str, path: &str, body: &Value) -> Request<Vec<u8>> {
    let mut request = client(method, path, body);
    request.headers_mut().insert("openstack-api-version", "volume latest".parse().expect("a header"));
    request
}

/// Calls of any service.
pub trait Calls: Service {
    /// Makes a client's call.
    fn call(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.send(request(method, path, body)).into()
    }

    /// Makes a client's GET.
    fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &Value::Null)
    }

    /// Makes a client's DELETE.
    fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, &Value::Null)
    }

    /// Makes an operator's call.
    fn operate(&self, method: &str, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send(operator(method, path, body.as_bytes())).into()
    }

    /// Creates a volume and returns its id.
    fn new_volume(&self, base: &str, size: u32) -> String {
        let answer = self.call("POST", &format!("{base}/volumes"), &json!({ "volume": { "size": size } }));
        assert_eq!(answer.status, 202, "{answer:?}");
        id_of(&answer.body["volume"])
    }

    /// Asks for a snapshot and returns the answer.
    fn ask_for_snapshot(&self, base: &str, volume: &str) -> Answer {
        let body = json!({ "snapshot": { "volume_id": volume, "name": "by a test" } });
        self.call("POST", &format!("{base}/snapshots"), &body)
    }

    /// Creates a snapshot and returns its id. The request must be accepted.
    fn new_snapshot(&self, base: &str, volume: &str) -> String {
        let answer = self.ask_for_snapshot(base, volume);
        assert_eq!(answer.status, 202, "{answer:?}");
        id_of(&answer.body["snapshot"])
    }

    /// Returns the rows of a list. `path` has the collection and the query.
    fn rows(&self, path: &str) -> Vec<Value> {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "GET {path}: {answer:?}");
        let named = ["snapshots", "backups"].into_iter().find(|own| path.contains(&format!("/{own}")));
        let collection = named.unwrap_or("volumes");
        answer.body[collection].as_array().unwrap_or_else(|| panic!("GET {path}: {answer:?}")).clone()
    }

    /// Returns the ids of a list.
    fn ids(&self, path: &str) -> Vec<String> {
        self.rows(path).iter().map(id_of).collect()
    }

    /// Returns the count of a collection, from `with_count`.
    fn count(&self, path: &str) -> usize {
        let answer = self.get(&format!("{path}?limit=1&with_count=true"));
        let count = answer.body["count"].as_u64().unwrap_or_else(|| panic!("GET {path}: {answer:?}"));
        usize::try_from(count).expect("a small count")
    }

    /// Returns the status that a show reports, or `None` if there is no such row.
    fn status_of(&self, path: &str) -> Option<String> {
        let answer = self.get(path);
        let named = ["snapshot", "backup"].into_iter().find(|own| path.contains(&format!("/{own}s/")));
        let kind = named.unwrap_or("volume");
        match answer.status {
            200 => Some(string_of(&answer.body[kind]["status"])),
            404 => None,
            _ => panic!("GET {path}: {answer:?}"),
        }
    }

    /// Returns the usage of a resource in project `a1`.
    fn in_use(&self, resource: &str) -> Value {
        self.state()["quota_usage"]["a1"][resource]["in_use"].clone()
    }
}

impl<S: Service + ?Sized> Calls for S {}

/// Returns the id of a row.
pub fn id_of(row: &Value) -> String {
    string_of(&row["id"])
}

/// Returns the value of a JSON string.
pub fn string_of(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no string")).to_owned()
}

/// Retries a call while the answer is a 503, after the pause that the answer asks for. Returns the last answer, and
/// whether there was a 503 before it.
///
/// # Panics
///
/// Panics when there is no other answer within [`BOUND`].
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

/// Waits until a condition holds.
///
/// # Panics
///
/// Panics when the condition does not hold within [`BOUND`].
pub fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < BOUND, "{what} has not come about");
        std::thread::sleep(Duration::from_millis(5));
    }
}
