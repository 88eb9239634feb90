//! The actions on snapshots in the API's words (`spec/lifecycle.md` section 4).

#![expect(clippy::missing_errors_doc, reason = "an operation answers the faults of its service and of its schema")]

use http::StatusCode;
use serde_json::Value;

use super::Call;
use super::schema::{self, Check, Object};
use super::snapshots::object;
use super::wire::faults::Fault;
use super::wire::reply::{Content, Reply};

const REPORT: Object = Object {
    properties: &[("os-update_snapshot_status", Check::Object(&REPORTED))],
    required: &["os-update_snapshot_status"],
    others_allowed: false,
    one_of: &[],
};

const REPORTED: Object = Object {
    properties: &[("status", Check::Text), ("progress", Check::Progress)],
    required: &["status"],
    others_allowed: false,
    one_of: &[],
};

const RESET: Object = Object {
    properties: &[("os-reset_status", Check::Object(&RESET_TO))],
    required: &["os-reset_status"],
    others_allowed: false,
    one_of: &[],
};

const RESET_TO: Object =
    Object { properties: &[("status", Check::Text)], required: &["status"], others_allowed: false, one_of: &[] };

/// The actions there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    ReportStatus,
    ResetStatus,
    ForceDelete,
    Unmanage,
}

/// Which action a body names. Cinder looks this up before the project of the path is compared.
///
/// # Errors
///
/// A body that is not an object of one key, or a key that is no action.
pub fn named(body: Option<&Value>) -> Result<Action, Fault> {
    match name_of(body)? {
        "os-update_snapshot_status" => Ok(Action::ReportStatus),
        "os-reset_status" => Ok(Action::ResetStatus),
        "os-force_delete" => Ok(Action::ForceDelete),
        "os-unmanage" => Ok(Action::Unmanage),
        other => Err(no_such_action(other)),
    }
}

/// The one key of an action's body.
///
/// # Errors
///
/// No body, or one that is not an object of one key.
pub fn name_of(body: Option<&Value>) -> Result<&str, Fault> {
    let body = body.ok_or_else(|| no_such_action("None"))?;
    let malformed = || Fault::bad_request(super::MALFORMED_BODY);
    // Cinder asks for the length and then for the keys, and takes what has the one and not the other for no action.
    let no_keys = match body {
        Value::Object(_) => false,
        Value::Array(items) => items.len() == 1,
        Value::String(text) => text.chars().count() == 1,
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    };
    if no_keys {
        return Err(Fault::not_found());
    }
    let mut names = body.as_object().ok_or_else(malformed)?.keys();
    match (names.next(), names.next()) {
        (Some(name), None) => Ok(name),
        _ => Err(malformed()),
    }
}

/// The fault for a name that is no action.
#[must_use]
pub fn no_such_action(name: &str) -> Fault {
    let text = "Verify the request body and Content-Type header and try again.";
    Fault::bad_request(format!("There is no such action: {name}. {text}"))
}

/// `POST .../snapshots/{id}/action`
pub fn act(call: &Call<'_>, id: &str, action: Action) -> Result<Reply, Fault> {
    match action {
        Action::ReportStatus => {
            let body = schema::check(&REPORT, call.body.as_ref())?;
            let report = object(body.get("os-update_snapshot_status"))?;
            let progress = schema::progress(report.get("progress"))?;
            call.service.report_snapshot_status(id, status_of(report), progress)?;
            Ok(Reply::new(StatusCode::ACCEPTED, Content::ReadyMade))
        }
        Action::ResetStatus => {
            let body = schema::check(&RESET, call.body.as_ref())?;
            call.service.reset_snapshot_status(id, status_of(object(body.get("os-reset_status"))?))?;
            Ok(Reply::new(StatusCode::ACCEPTED, Content::Empty))
        }
        Action::ForceDelete => {
            call.service.force_delete_snapshot(id)?;
            Ok(Reply::new(StatusCode::ACCEPTED, Content::Empty))
        }
        Action::Unmanage => {
            call.service.unmanage_snapshot(id)?;
            Ok(Reply::new(StatusCode::ACCEPTED, Content::ReadyMade))
        }
    }
}

fn status_of(fields: &serde_json::Map<String, Value>) -> &str {
    fields.get("status").and_then(Value::as_str).unwrap_or_default()
}
