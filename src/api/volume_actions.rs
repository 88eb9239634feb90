//! The actions on volumes (`docs/spec/lifecycle.md` section 8).

use http::StatusCode;
use serde_json::Value;

use crate::service::volume_actions::VolumeReset;

use super::action::{name_of, no_such_action};
use super::call::Call;
use super::microversion;
use super::not_offered::{self, RefusedAction};
use super::python;
use super::schema::{self, Check, ObjectSchema};
use super::volume_attach_actions::{self, AttachAction};
use super::volume_update_actions::{self, UpdateAction};
use super::wire::body::{object, string};
use super::wire::faults::Fault;
use super::wire::reply::{Content, Reply};

const REVERT: ObjectSchema = ObjectSchema {
    properties: &[("revert", Check::Object(&REVERTED))],
    required: &["revert"],
    others_allowed: false,
    one_of: &[],
};

const REVERTED: ObjectSchema = ObjectSchema {
    properties: &[("snapshot_id", Check::StringOrNull)],
    required: &[],
    others_allowed: true,
    one_of: &[],
};

const RESET: ObjectSchema = ObjectSchema {
    properties: &[("os-reset_status", Check::Object(&RESET_TO))],
    required: &["os-reset_status"],
    others_allowed: false,
    one_of: &[],
};

const RESET_TO: ObjectSchema = ObjectSchema {
    properties: &[
        ("status", Check::StringOrNull),
        ("attach_status", Check::StringOrNull),
        ("migration_status", Check::StringOrNull),
    ],
    required: &[],
    others_allowed: false,
    one_of: &[],
};

/// The other fields that may be set: the name, the name in messages, the valid values, and those as Python prints them.
const VALID: [(&str, &str, &[&str], &str); 2] = [
    ("attach_status", "attach status", &["attached", "detached"], "['attached', 'detached']"),
    (
        "migration_status",
        "migration status",
        &["migrating", "error", "success", "completing", "none", "starting"],
        "('migrating', 'error', 'success', 'completing', 'none', 'starting')",
    ),
];

/// An action on a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumeAction {
    Revert,
    ResetStatus,
    Attach(AttachAction),
    Update(UpdateAction),
    /// A deletion by force.
    ForceDelete,
    /// An action of Cinder that is not offered.
    NotOffered(&'static RefusedAction),
}

impl VolumeAction {
    /// Returns the action that a body names.
    ///
    /// # Errors
    ///
    /// A body that is not an object with one key, or a key that is not an action.
    pub fn named(body: Option<&Value>) -> Result<Self, Fault> {
        match name_of(body)? {
            "revert" => Ok(Self::Revert),
            "os-reset_status" => Ok(Self::ResetStatus),
            "os-force_delete" => Ok(Self::ForceDelete),
            other => AttachAction::named(other)
                .map(Self::Attach)
                .or_else(|| UpdateAction::named(other).map(Self::Update))
                .or_else(|| RefusedAction::named(other).map(Self::NotOffered))
                .ok_or_else(|| no_such_action(other)),
        }
    }
}

/// `POST .../volumes/{id}/action`
pub fn act(call: &Call<'_>, id: &str, action: VolumeAction) -> Result<Reply, Fault> {
    match action {
        VolumeAction::Attach(action) => return volume_attach_actions::act(call, id, action),
        VolumeAction::Update(action) => return volume_update_actions::act(call, id, action),
        VolumeAction::NotOffered(refused) => return not_offered::refuse_action(call, id, refused),
        VolumeAction::ForceDelete => call.service.force_delete_volume(id)?,
        VolumeAction::Revert if call.version < microversion::REVERT => return Err(Fault::not_found()),
        VolumeAction::Revert => {
            let body = schema::check(&REVERT, call.body.as_ref())?;
            let snapshot_id = string(object(body.get("revert"))?.get("snapshot_id"));
            call.service.revert_volume(id, snapshot_id.as_deref())?;
        }
        VolumeAction::ResetStatus => {
            let wanted = call.body.as_ref().and_then(|body| body.get("os-reset_status")?.as_object());
            let is_given = |name: &&str| wanted.and_then(|wanted| wanted.get(*name)).is_some_and(python::is_true);
            if wanted.is_some() && !["status", "attach_status", "migration_status"].iter().any(is_given) {
                let message = "Must specify 'status', 'attach_status' or 'migration_status' for update.";
                return Err(Fault::bad_request(message));
            }
            let body = schema::check(&RESET, call.body.as_ref())?;
            let fields = object(body.get("os-reset_status"))?;
            call.service.check_volume_status(&string(fields.get("status")).unwrap_or_default())?;
            for (field, name, valid, list) in VALID {
                let value = string(fields.get(field)).unwrap_or_default().to_lowercase();
                if !value.is_empty() && !valid.contains(&value.as_str()) {
                    let message = format!("Volume {name}: {value} is invalid, valid statuses are: {list}.");
                    return Err(Fault::bad_request(message));
                }
            }
            let field = |name| string(fields.get(name)).filter(|value| !value.is_empty());
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
