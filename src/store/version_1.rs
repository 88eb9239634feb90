//! Reads what format version 1 wrote: listings and pages as JSON, the agenda in the record of each project, and one list
//! of all projects. Nothing here writes; the next change of a value writes it as of today.

use serde_json::Value;
use uuid::Uuid;

use crate::domain::{ProjectId, Timestamp};

use super::agenda::{AgendaItem, Kind, Purpose};
use super::index::{Entry, Index, Page, PageId, PageReference, Position};
use super::projects::{Directory, DirectoryEntry, ProjectRecord};

/// What is said of a value that has not the form it should have.
const MALFORMED: &str = "it is not as format version 1 wrote it";

/// A page: an array of entries.
pub fn page(bytes: &[u8]) -> Result<Page, String> {
    entries(&value(bytes)?).map(Page).ok_or_else(malformed)
}

/// A project's record.
pub fn project_record(bytes: &[u8]) -> Result<ProjectRecord, String> {
    let mut value = value(bytes)?;
    let mut take = |name: &str| value.as_object_mut().and_then(|record| record.remove(name));
    let snapshots = take("snapshots").as_ref().map_or(Some(Index::EMPTY), index).ok_or_else(malformed)?;
    let volumes = take("volumes").as_ref().map_or(Some(Index::EMPTY), index).ok_or_else(malformed)?;
    let agenda = take("agenda").unwrap_or(Value::Array(Vec::new()));
    let record: ProjectRecord = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let items = agenda.as_array().into_iter().flatten();
    let former_agenda = items.map(|item| agenda_item(item, &record.project)).collect::<Option<_>>();
    Ok(ProjectRecord { snapshots, volumes, former_agenda: former_agenda.ok_or_else(malformed)?, ..record })
}

/// The list of all projects. It did not say which have snapshots of other projects' volumes, so any may.
pub fn directory(bytes: &[u8]) -> Result<Directory, String> {
    let projects: Vec<ProjectId> = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let entry = |project| DirectoryEntry { project, has_snapshots_of_other_projects_volumes: true };
    Ok(Directory(projects.into_iter().map(entry).collect()))
}

fn malformed() -> String {
    MALFORMED.to_owned()
}

fn value(bytes: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

fn entries(value: &Value) -> Option<Vec<Entry>> {
    value.as_array()?.iter().map(entry).collect()
}

fn entry(value: &Value) -> Option<Entry> {
    let position = Position { created_at: Timestamp::from_microseconds(value[0].as_i64()?), id: uuid(&value[1])? };
    Some(Entry { position, volume_id: uuid(&value[2])? })
}

fn uuid(value: &Value) -> Option<Uuid> {
    Uuid::try_parse(value.as_str()?).ok()
}

fn index(value: &Value) -> Option<Index> {
    let head = value.get("head").map_or_else(|| Some(Vec::new()), entries)?;
    let pages = value.get("pages").and_then(Value::as_array).into_iter().flatten();
    let page = |page: &Value| {
        let count = usize::try_from(page["c"].as_u64()?).ok()?;
        Some(PageReference::new(PageId::new(page["p"].as_u64()?), entry(&page["n"])?.position, count))
    };
    Some(Index { head, pages: pages.map(page).collect::<Option<_>>()? })
}

fn agenda_item(value: &Value, project: &ProjectId) -> Option<AgendaItem> {
    Some(AgendaItem {
        project: project.clone(),
        kind: match value["kind"].as_str()? {
            "snapshot" => Kind::Snapshot,
            "volume" => Kind::Volume,
            _ => return None,
        },
        id: uuid(&value["id"])?,
        due: value["due"].as_i64()?,
        created: value["created"].as_i64()?,
        size: u32::try_from(value["size"].as_u64()?).ok()?,
        volume_type: value["type"].as_str().map(str::to_owned),
        counted: value["counted"].as_bool()?,
        purpose: Purpose::Row,
    })
}
