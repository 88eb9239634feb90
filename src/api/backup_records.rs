//! The records of backups: the row as JSON in Base64, which an administrator exports and imports (`docs/spec/backups.md`
//! section 5).

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::domain::Timestamp;
use crate::domain::backup::{Backup, BackupId, BackupRecord, IMPORT_VOLUME};
use crate::service::Error;
use crate::service::backup_records::RecordToImport;

use super::backups::summary;
use super::call::Call;
use super::python::{self, base64};
use super::schema::{self, Check, ObjectSchema};
use super::wire::body::{metadata, object, string};
use super::wire::faults::Fault;
use super::wire::reply::Reply;

const IMPORT: ObjectSchema = ObjectSchema {
    properties: &[("backup-record", Check::Object(&IMPORTED))],
    required: &["backup-record"],
    others_allowed: false,
    one_of: &[],
};

const IMPORTED: ObjectSchema = ObjectSchema {
    properties: &[("backup_service", Check::StringUpTo255), ("backup_url", Check::Base64)],
    required: &["backup_service", "backup_url"],
    others_allowed: false,
    one_of: &[],
};

/// The fields that a record must have besides its id and its size. Cinder names missing ones in any order.
const REQUIRED: [&str; 5] = ["service_metadata", "object_count", "display_description", "display_name", "container"];

/// The longest string of a record, in code points: the width of Cinder's columns.
const LONGEST: usize = 255;

/// `GET .../backups/{id}/export_record`
pub fn export(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    let (backup, dependents) = call.service.export_backup(id)?;
    let url = base64::encode(record(&backup, dependents).to_string().as_bytes());
    let exported = json!({ "backup_service": backup.service, "backup_url": url });
    Reply::json(StatusCode::OK, &json!({ "backup-record": exported }))
}

/// Returns the record of a backup, with the names of Cinder's columns.
fn record(backup: &Backup, dependents: usize) -> Value {
    // Cinder's records have times with a zone.
    let time = |time: Option<Timestamp>| time.map(|time| format!("{time}Z"));
    json!({
        "id": backup.id,
        "user_id": backup.user_id,
        "project_id": backup.project_id,
        "volume_id": backup.volume_id,
        "host": backup.host,
        "availability_zone": backup.availability_zone,
        "container": backup.container,
        "parent_id": backup.parent_id,
        "status": backup.status.as_str(),
        "fail_reason": backup.fail_reason,
        "size": backup.size,
        "display_name": backup.name,
        "display_description": backup.description,
        "service_metadata": null,
        "service": backup.service,
        "object_count": backup.object_count.unwrap_or(0),
        "temp_volume_id": null,
        "temp_snapshot_id": null,
        "num_dependent_backups": dependents,
        "snapshot_id": backup.snapshot_id,
        "data_timestamp": time(backup.data_timestamp),
        "restore_volume_id": backup.restore_volume_id,
        "metadata": backup.metadata,
        "encryption_key_id": backup.encryption_key_id,
        "created_at": time(Some(backup.created_at)),
        "updated_at": time(backup.updated_at),
        "deleted_at": null,
        "deleted": false,
        "driver_info": {},
    })
}

/// `POST .../backups/import_record`
pub fn import(call: &Call<'_>) -> Result<Reply, Fault> {
    let body = schema::check(&IMPORT, call.body.as_ref())?;
    let fields = object(body.get("backup-record"))?;
    let service = string(fields.get("backup_service")).unwrap_or_default();
    let url = string(fields.get("backup_url")).unwrap_or_default();
    let backup = call.service.import_backup(&service, &|| read(&url))?;
    Ok(summary(call, StatusCode::CREATED, &backup))
}

/// Reads a record.
fn read(url: &str) -> Result<RecordToImport, Error> {
    let invalid = |reason: &str| Error::BadRequest(format!("Invalid input received: {reason}"));
    let unreadable = || invalid("Can't parse backup record.");
    let bytes = base64::decode(url).ok_or_else(unreadable)?;
    let document: Value = serde_json::from_slice(&bytes).map_err(|_| unreadable())?;
    let fields = document.as_object().ok_or_else(|| invalid("Provided backup record is missing an id"))?;
    let id = fields.get("id").ok_or_else(|| invalid("Provided backup record is missing an id"))?;
    let size = fields.get("size").ok_or_else(|| invalid("Provided backup record is missing size attribute"))?;
    let id: BackupId = id.as_str().and_then(|id| id.parse().ok()).ok_or_else(unreadable)?;
    let size = size.as_u64().and_then(|size| u32::try_from(size).ok()).ok_or_else(unreadable)?;
    // The driver reads the rest, after the answer.
    let missing: Vec<&str> = REQUIRED.into_iter().filter(|name| !fields.contains_key(*name)).collect();
    let content = if missing.is_empty() {
        content(fields).map_err(|name| format!("The field {name} of the record cannot be used."))
    } else {
        Err(format!(
            "Driver successfully decoded imported backup data, but there are missing fields ({}).",
            missing.join(", ")
        ))
    };
    let parent_id = match fields.get("parent_id") {
        None | Some(Value::Null) => None,
        Some(parent) => Some(parent.as_str().and_then(|id| id.parse().ok()).ok_or_else(unreadable)?),
    };
    Ok(RecordToImport { id, size, parent_id, content })
}

/// Returns the fields that a record brings, or the name of one that cannot be used.
fn content(fields: &Map<String, Value>) -> Result<BackupRecord, &'static str> {
    let string = |name: &'static str| match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(string)) if string.chars().count() <= LONGEST => Ok(Some(string.as_str())),
        Some(_) => Err(name),
    };
    let owned = |name| string(name).map(|string| string.map(str::to_owned));
    let object_count = match fields.get("object_count") {
        None | Some(Value::Null) => None,
        Some(count) => Some(count.as_u64().and_then(|count| u32::try_from(count).ok()).ok_or("object_count")?),
    };
    let volume_id = match string("volume_id")? {
        Some(id) => id.parse().map_err(|_| "volume_id")?,
        None => IMPORT_VOLUME,
    };
    let snapshot_id = string("snapshot_id")?.map(str::parse).transpose().map_err(|_| "snapshot_id")?;
    let data_timestamp = match string("data_timestamp")? {
        Some(time) => Some(python::iso_time(time).ok_or("data_timestamp")?),
        None => None,
    };
    Ok(BackupRecord {
        name: owned("display_name")?,
        description: owned("display_description")?,
        container: owned("container")?,
        object_count,
        volume_id,
        snapshot_id,
        data_timestamp,
        metadata: metadata(fields.get("metadata")),
    })
}
