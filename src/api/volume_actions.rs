//! The actions on volumes in the API's words (`spec/lifecycle.md` section 8).

#![expect(clippy::missing_errors_doc, reason = "an operation answers the faults of its service and of its schema")]

use http::StatusCode;
use serde_json::Value;

use crate::service::volume_actions::VolumeReset;

use super::Call;
use super::microversion;
use super::schema::{self, Check, Object};
use super::snapshot_actions::{name_of, no_such_action};
use super::snapshots::{object, text};
use super::wire::faults::Fault;
use super::wire::reply::{Content, Reply};

const REVERT: Object = Object {
    properties: &[("revert", Check::Object(&REVERTED))],
    required: &["revert"],
    others_allowed: false,
    one_of: &[],
};

const REVERTED: Object =
    Object { properties: &[("snapshot_id", Check::Name)], required: &[], others_allowed: true, one_of: &[] };

const RESET: Object = Object {
    properties: &[("os-reset_status", Check::Object(&RESET_TO))],
    required: &["os-reset_status"],
    others_allowed: false,
    one_of: &[],
};

const RESET_TO: Object = Object {
    properties: &[("status", Check::Name), ("attach_status", Check::Name), ("migration_status", Check::Name)],
    required: &[],
    others_allowed: false,
    one_of: &[],
};

/// What else than a status may be set, with the values in Cinder's spelling.
const VALID: [(&str, &str, &[&str], &str); 2] = [
    ("attach_status", "attach status", &["attached", "detached"], "['attached', 'detached']"),
    (
        "migration_status",
        "migration status",
        &["migrating", "error", "success", "completing", "none", "starting"],
        "('migrating', 'error', 'success', 'completing', 'none', 'starting')",
    ),
];

/// The actions there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Revert,
    ResetStatus,
}

/// Which action a body names.
///
/// # Errors
///
/// As for the actions on snapshots.
pub fn named(body: Option<&Value>) -> Result<Action, Fault> {
    match name_of(body)? {
        "revert" => Ok(Action::Revert),
        "os-reset_status" => Ok(Action::ResetStatus),
        other => Err(no_such_action(other)),
    }
}

/// `POST .../volumes/{id}/action`
pub fn act(call: &Call<'_>, id: &str, action: Action) -> Result<Reply, Fault> {
    match action {
        Action::Revert if call.version < microversion::REVERT => return Err(Fault::not_found()),
        Action::Revert => {
            let body = schema::check(&REVERT, call.body.as_ref())?;
            let snapshot_id = text(object(body.get("revert"))?.get("snapshot_id"));
            call.service.revert_volume(id, snapshot_id.as_deref())?;
        }
        Action::ResetStatus => {
            let wanted = call.body.as_ref().and_then(|body| body.get("os-reset_status")?.as_object());
            let is_given =
                |name: &&str| wanted.and_then(|wanted| wanted.get(*name)?.as_str()).is_some_and(|own| !own.is_empty());
            if wanted.is_some() && !["status", "attach_status", "migration_status"].iter().any(is_given) {
                let text = "Must specify 'status', 'attach_status' or 'migration_status' for update.";
                return Err(Fault::bad_request(text));
            }
            let body = schema::check(&RESET, call.body.as_ref())?;
            let fields = object(body.get("os-reset_status"))?;
            for (field, name, valid, list) in VALID {
                let value = text(fields.get(field)).unwrap_or_default().to_lowercase();
                if !value.is_empty() && !valid.contains(&value.as_str()) {
                    let text = format!("Volume {name}: {value} is invalid, valid statuses are: {list}.");
                    return Err(Fault::bad_request(text));
                }
            }
            let field = |name| text(fields.get(name)).filter(|value| !value.is_empty());
            let reset = VolumeReset {
                status: field("status"),
                attach_status: field("attach_status"),
                migration_status: field("migration_status"),
            };
            call.service.reset_volume_status(id, &reset)?;
        }
    }
    Ok(Reply::new(StatusCode::ACCEPTED, Content::Empty))
}
