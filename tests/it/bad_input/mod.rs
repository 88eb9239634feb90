//! Requests that no good client sends, and a service with an invalid configuration or a failing store. Each request
//! gets the fault that `docs/spec/versions-and-faults.md` names, the log has the details for an operator, and the
//! component never traps.

mod arbitrary;
mod requests;
mod surroundings;

use crate::support::calls::Answer;
use serde_json::{Value, json};

/// A volume and a snapshot of project `a1` that exist.
pub const VOLUME: &str = "aaaaaaaa-0000-4000-8000-000000000001";
pub const SNAPSHOT: &str = "bbbbbbbb-0000-4000-8000-000000000001";

/// Returns the state that requests find.
pub(crate) fn scene() -> Value {
    json!({
        "volumes": [{ "id": VOLUME, "project_id": "a1" }],
        "snapshots": [{ "id": SNAPSHOT, "volume_id": VOLUME, "project_id": "a1", "metadata": { "key": "value" } }],
        "quotas": { "snapshots": -1, "gigabytes": -1, "volumes": -1 },
    })
}

/// The keys of faults, by status.
const KEYS: [(u16, &str); 10] = [
    (400, "badRequest"),
    (401, "unauthorized"),
    (403, "forbidden"),
    (404, "itemNotFound"),
    (405, "badMethod"),
    (409, "conflictingRequest"),
    (413, "overLimit"),
    (415, "badMediaType"),
    (501, "notImplemented"),
    (503, "serviceUnavailable"),
];

/// Returns the reason why an answer does not have the form of Cinder's answers, if it does not.
pub(crate) fn malformed(answer: &Answer) -> Option<String> {
    let refused = |reason: &str| Some(format!("{reason}: {answer:?}"));
    let id = answer.header("x-openstack-request-id");
    if id.strip_prefix("req-").is_none_or(|uuid| uuid.len() != 36) {
        return refused("no request id");
    }
    let is_json = answer.header("content-type").starts_with("application/json");
    if answer.status < 400 || !is_json {
        return None;
    }
    // The form of keystonemiddleware, which clients know.
    if answer.status == 401 && answer.body["error"]["code"] == 401 {
        return None;
    }
    let (key, message) = answer.fault();
    let expected = KEYS.iter().find(|(status, _)| *status == answer.status).map_or("computeFault", |(_, key)| key);
    if key != expected {
        return refused("a fault of another form");
    }
    if message.is_empty() { refused("a fault without a message") } else { None }
}
