//! The actions on snapshots (`docs/spec/lifecycle.md` section 4).

use http::StatusCode;
use serde_json::Value;

use super::action::{name_of, no_such_action};
use super::call::Call;
use super::schema::{self, Check, ObjectSchema};
use super::wire::body::object;
use super::wire::faults::Fault;
use super::wire::reply::{Content, Reply};

const REPORT: ObjectSchema = ObjectSchema {
    properties: &[("os-update_snapshot_status", Check::Object(&REPORTED))],
    required: &["os-update_snapshot_status"],
    others_allowed: false,
    one_of: &[],
};

const REPORTED: ObjectSchema = ObjectSchema {
    properties: &[("status", Check::String), ("progress", Check::Progress)],
    required: &["status"],
    others_allowed: false,
    one_of: &[],
};

const RESET: ObjectSchema = ObjectSchema {
    properties: &[("os-reset_status", Check::Object(&RESET_TO))],
    required: &["os-reset_status"],
    others_allowed: false,
    one_of: &[],
};

const RESET_TO: ObjectSchema = ObjectSchema {
    properties: &[("status", Check::String)],
    required: &["status"],
    others_allowed: false,
    one_of: &[],
};

/// An action on a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotAction {
    ReportStatus,
    ResetStatus,
    ForceDelete,
    Unmanage,
}

impl SnapshotAction {
    /// Returns the action that a body names.
    ///
    /// # Errors
    ///
    /// A body that is not an object with one key, or a key that is not an action.
    pub fn named(body: Option<&Value>) -> Result<Self, Fault> {
        match name_of(body)? {
            "os-update_snapshot_status" => Ok(Self::ReportStatus),
            "os-reset_status" => Ok(Self::ResetStatus),
            "os-force_delete" => Ok(Self::ForceDelete),
            "os-unmanage" => Ok(Self::Unmanage),
            other => Err(no_such_action(other)),
        }
    }
}

/// `POST .../snapshots/{id}/action`
pub fn act(call: &Call<'_>, id: &str, action: SnapshotAction) -> Result<Reply, Fault> {
    match action {
        SnapshotAction::ReportStatus => {
            let body = schema::check(&REPORT, call.body.as_ref())?;
            let report = object(body.get("os-update_snapshot_status"))?;
            let progress = schema::progress(report.get("progress"))?;
            call.service.report_snapshot_status(id, status_of(report), progress)?;
            Ok(Reply::new(StatusCode::ACCEPTED, Content::ReadyMade))
        }
        SnapshotAction::ResetStatus => {
            let body = schema::check(&RESET, call.body.as_ref())?;
            call.service.reset_snapshot_status(id, status_of(object(body.get("os-reset_status"))?))?;
            Ok(Reply::new(StatusCode::ACCEPTED, Content::Empty))
        }
        SnapshotAction::ForceDelete => {
            call.service.force_delete_snapshot(id)?;
            Ok(Reply::new(StatusCode::ACCEPTED, Content::Empty))
        }
        SnapshotAction::Unmanage => {
            call.service.unmanage_snapshot(id)?;
            Ok(Reply::new(StatusCode::ACCEPTED, Content::ReadyMade))
        }
    }
}

fn status_of(fields: &serde_json::Map<String, Value>) -> &str {
    fields.get("status").and_then(Value::as_str).unwrap_or_default()
}
