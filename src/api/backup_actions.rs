//! The actions on a backup, and its restoration (`docs/spec/backups.md` section 5).

use http::StatusCode;
use serde_json::{Value, json};

use crate::domain::BackupStatus;
use crate::service::backup_actions::Restoration;

use super::action::{name_of, no_such_action};
use super::call::Call;
use super::schema::{self, Check, ObjectSchema};
use super::wire::body::{object, string};
use super::wire::faults::Fault;
use super::wire::reply::{Content, Reply};

/// The schema of a restoration. Cinder lets null through and then fails; here it stands for an empty object.
const RESTORE: ObjectSchema = ObjectSchema {
    properties: &[("restore", Check::ObjectOrNull(&RESTORED))],
    required: &["restore"],
    others_allowed: false,
    one_of: &[],
};

const RESTORED: ObjectSchema = ObjectSchema {
    properties: &[("name", Check::Name), ("volume_id", Check::UuidOrNull)],
    required: &[],
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

/// An action on a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupAction {
    ResetStatus,
    ForceDelete,
}

impl BackupAction {
    /// Returns the action that a body names.
    ///
    /// # Errors
    ///
    /// A body that is not an object with one key, or a key that is not an action.
    pub fn named(body: Option<&Value>) -> Result<Self, Fault> {
        match name_of(body)? {
            "os-reset_status" => Ok(Self::ResetStatus),
            "os-force_delete" => Ok(Self::ForceDelete),
            other => Err(no_such_action(other)),
        }
    }
}

/// `POST .../backups/{id}/action`
pub fn act(call: &Call<'_>, id: &str, action: BackupAction) -> Result<Reply, Fault> {
    match action {
        BackupAction::ResetStatus => {
            let body = schema::check(&RESET, call.body.as_ref())?;
            let wanted = string(object(body.get("os-reset_status"))?.get("status")).unwrap_or_default();
            let status = match wanted.to_lowercase().as_str() {
                "available" => BackupStatus::Available,
                "error" => BackupStatus::Error,
                _ => {
                    return Err(Fault::bad_request(format!(
                        "Backup status: {wanted} is invalid, valid statuses are: ['available', 'error']."
                    )));
                }
            };
            call.service.reset_backup_status(id, status)?;
        }
        BackupAction::ForceDelete => call.service.force_delete_backup(id)?,
    }
    Ok(Reply::new(StatusCode::ACCEPTED, Content::Empty))
}

/// `POST .../backups/{id}/restore`
pub fn restore(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    let body = schema::check(&RESTORE, call.body.as_ref())?;
    let fields = body.get("restore").and_then(Value::as_object);
    let field = |name: &str| string(fields.and_then(|fields| fields.get(name)));
    let restoration = call.service.restore_backup(id, field("volume_id").as_deref(), field("name"))?;
    let Restoration { backup_id, volume_id, volume_name } = restoration;
    let restored = json!({ "backup_id": backup_id, "volume_id": volume_id, "volume_name": volume_name });
    Reply::json(StatusCode::ACCEPTED, &json!({ "restore": restored }))
}
