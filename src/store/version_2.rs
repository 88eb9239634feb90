//! Reads rows as format versions 1 and 2 wrote them: as JSON, in which fields that held their usual value were left out.
//! Nothing here writes; the next change of a row writes it as of today.

use std::fmt::Display;
use std::str::FromStr;

use serde_json::{Map, Value};

use super::snapshots::{PendingRow, SnapshotRow};
use super::volumes::VolumeRow;

/// A JSON object.
type Object = Map<String, Value>;

/// The JSON of a row.
pub fn parsed(bytes: &[u8]) -> Result<Object, String> {
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

/// The row of a snapshot.
pub fn snapshot_row(row: &Object) -> Result<SnapshotRow<'_>, String> {
    Ok(SnapshotRow {
        id: word(row, "id")?,
        project: text(row, "project")?,
        user: optional_text(row, "user"),
        volume: word(row, "volume")?,
        volume_type: optional_text(row, "type"),
        name: optional_text(row, "name"),
        description: optional_text(row, "description"),
        size: size(row)?,
        status: word(row, "status")?,
        progress: optional_text(row, "progress"),
        created: number(row, "created")?,
        updated: optional_number(row, "updated"),
        group: optional_word(row, "group")?,
        uncounted: is(row, "uncounted"),
        pending: pending(row)?,
        metadata: metadata(row)?,
        history: {
            let history = row.get("history").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let past = |past: &Value| {
                Some((past[0].as_i64()?, past[1].as_str()?.parse().ok()?, past[2].as_str()?.parse().ok()?))
            };
            history.iter().map(past).collect::<Option<_>>().ok_or_else(|| malformed("history"))?
        },
    })
}

/// The row of a volume.
pub fn volume_row(row: &Object) -> Result<VolumeRow<'_>, String> {
    Ok(VolumeRow {
        id: word(row, "id")?,
        project: text(row, "project")?,
        user: optional_text(row, "user"),
        name: optional_text(row, "name"),
        description: optional_text(row, "description"),
        size: size(row)?,
        status: text(row, "status")?,
        host: optional_text(row, "host"),
        cluster: optional_text(row, "cluster"),
        zone: optional_text(row, "zone"),
        attach_status: text(row, "attach_status")?,
        migration: optional_text(row, "migration"),
        volume_type: optional_text(row, "type"),
        snapshot: optional_word(row, "snapshot")?,
        group: optional_text(row, "group"),
        bootable: is(row, "bootable"),
        multiattach: is(row, "multiattach"),
        created: number(row, "created")?,
        updated: optional_number(row, "updated"),
        uncounted: is(row, "uncounted"),
        pending: pending(row)?,
        metadata: metadata(row)?,
    })
}

fn optional_text<'a>(object: &'a Object, name: &str) -> Option<&'a str> {
    object.get(name).and_then(Value::as_str)
}

fn text<'a>(object: &'a Object, name: &str) -> Result<&'a str, String> {
    optional_text(object, name).ok_or_else(|| malformed(name))
}

fn optional_word<T: FromStr<Err: Display>>(object: &Object, name: &str) -> Result<Option<T>, String> {
    optional_text(object, name).map(|text| text.parse().map_err(|error: T::Err| error.to_string())).transpose()
}

fn word<T: FromStr<Err: Display>>(object: &Object, name: &str) -> Result<T, String> {
    optional_word(object, name)?.ok_or_else(|| malformed(name))
}

fn optional_number(object: &Object, name: &str) -> Option<i64> {
    object.get(name).and_then(Value::as_i64)
}

fn number(object: &Object, name: &str) -> Result<i64, String> {
    optional_number(object, name).ok_or_else(|| malformed(name))
}

fn size(object: &Object) -> Result<u32, String> {
    number(object, "size")?.try_into().map_err(|_| malformed("size"))
}

fn is(object: &Object, name: &str) -> bool {
    object.get(name).and_then(Value::as_bool).unwrap_or_default()
}

fn pending(object: &Object) -> Result<Option<PendingRow>, String> {
    let Some(pending) = object.get("pending").and_then(Value::as_object) else { return Ok(None) };
    Ok(Some(PendingRow {
        completion: word(pending, "completion")?,
        schedule: word(pending, "schedule")?,
        due: number(pending, "due")?,
        gives_up: number(pending, "gives_up")?,
        retries: optional_number(pending, "retries")
            .unwrap_or_default()
            .try_into()
            .map_err(|_| malformed("retries"))?,
    }))
}

fn metadata(object: &Object) -> Result<Vec<(&str, &str)>, String> {
    let items = object.get("metadata").and_then(Value::as_object).into_iter().flatten();
    items
        .map(|(key, value)| Some((key.as_str(), value.as_str()?)))
        .collect::<Option<_>>()
        .ok_or_else(|| malformed("metadata"))
}

fn malformed(name: &str) -> String {
    format!("its field '{name}' is not as format version 2 wrote it")
}
