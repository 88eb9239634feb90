//! The agenda: which rows the scheduled step must look at, and when.
//!
//! It stands in a fixed number of values, and all rows of a project are in one of them, so an idle step reads the same
//! few keys however many projects there are, and whoever counts a project reads one. An item is written before the row
//! it is about, so that whatever happens to the writer the step will look (`docs/adr/0003-agenda-and-compact-pages.md`).

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::quota::{self, Amounts, Counted};
use crate::domain::{ProjectId, Snapshot, Timestamp, Volume};

use super::envelope::Stored;
use super::index::Position;

/// Which listing something stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Snapshot,
    Volume,
}

/// Why a row is on the agenda.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// It is removed, or its work ends with a tick.
    Row,
    /// Likewise, but it is yet to be written, so that a missing row is none that is gone.
    New,
    /// It is removed with its volume, even where whoever deletes both stops between the two.
    Volume,
}

/// A row that the scheduled step must look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "AgendaRow", into = "AgendaRow")]
pub struct AgendaItem {
    pub project: ProjectId,
    pub kind: Kind,
    pub id: Uuid,
    /// When there may be something to do, in microseconds since the epoch.
    pub due: i64,
    /// Where the row stands in its listing, in microseconds since the epoch.
    pub created: i64,
    /// What its removal gives back.
    pub size: u32,
    pub volume_type: Option<String>,
    pub counted: bool,
    pub purpose: Purpose,
}

/// An item as it is written: a JSON array, since there may be many.
#[derive(Serialize, Deserialize)]
struct AgendaRow(ProjectId, Kind, Uuid, i64, i64, u32, Option<String>, bool, Purpose);

impl From<AgendaRow> for AgendaItem {
    fn from(AgendaRow(project, kind, id, due, created, size, volume_type, counted, purpose): AgendaRow) -> Self {
        Self { project, kind, id, due, created, size, volume_type, counted, purpose }
    }
}

impl From<AgendaItem> for AgendaRow {
    fn from(item: AgendaItem) -> Self {
        let AgendaItem { project, kind, id, due, created, size, volume_type, counted, purpose } = item;
        Self(project, kind, id, due, created, size, volume_type, counted, purpose)
    }
}

impl AgendaItem {
    /// An item for a snapshot.
    #[must_use]
    pub fn of_snapshot(snapshot: &Snapshot, due: Timestamp) -> Self {
        Self {
            project: snapshot.project_id.clone(),
            kind: Kind::Snapshot,
            id: snapshot.id.as_uuid(),
            due: due.microseconds(),
            created: snapshot.created_at.microseconds(),
            size: snapshot.size,
            volume_type: snapshot.volume_type.clone(),
            counted: snapshot.consumes_quota,
            purpose: Purpose::Row,
        }
    }

    /// An item for a volume.
    #[must_use]
    pub fn of_volume(volume: &Volume, due: Timestamp) -> Self {
        Self {
            project: volume.project_id.clone(),
            kind: Kind::Volume,
            id: volume.id.as_uuid(),
            due: due.microseconds(),
            created: volume.created_at.microseconds(),
            size: volume.size,
            volume_type: volume.volume_type.clone(),
            counted: volume.consumes_quota,
            purpose: Purpose::Row,
        }
    }

    /// The same for another purpose.
    #[must_use]
    pub fn with_purpose(self, purpose: Purpose) -> Self {
        Self { purpose, ..self }
    }

    /// Where the row stands in its listing.
    #[must_use]
    pub const fn position(&self) -> Position {
        Position { created_at: Timestamp::from_microseconds(self.created), id: self.id }
    }

    /// Whether two items are about the same row.
    #[must_use]
    pub fn is_about(&self, other: &Self) -> bool {
        (self.kind, self.id) == (other.kind, other.id)
    }

    /// What the row counts towards quota.
    #[must_use]
    pub fn amounts(&self, snapshots_count_gigabytes: bool) -> Amounts {
        match self.kind {
            _ if !self.counted => Amounts::new(),
            Kind::Snapshot => {
                quota::amounts_of(Counted::Snapshots, self.size, self.volume_type.as_deref(), snapshots_count_gigabytes)
            }
            Kind::Volume => quota::amounts_of(Counted::Volumes, self.size, self.volume_type.as_deref(), true),
        }
    }
}

/// One of the values of which the agenda consists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agenda(pub Vec<AgendaItem>);

impl Stored for Agenda {
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        serde_json::to_writer(bytes, self).map_err(|error| error.to_string())
    }

    fn read(_version: u32, bytes: &[u8]) -> Result<Self, String> {
        // Nearly always nothing is due, and an idle run of the step reads all values.
        if bytes == b"[]" {
            return Ok(Self::default());
        }
        serde_json::from_slice(bytes).map_err(|error| error.to_string())
    }
}

impl Agenda {
    /// How many values the agenda has. It is part of the format: which one a project's rows are in depends on it.
    pub const VALUES: usize = 16;

    /// How many items one value should hold at the most: so many are some 60 KiB.
    pub const ENOUGH: usize = 400;

    /// Adds an item, or moves the one about the same row to another time.
    pub fn schedule(&mut self, mut item: AgendaItem) {
        if self.0.iter().any(|other| other.is_about(&item) && other.purpose == Purpose::Volume) {
            // Whatever else is done to it on its way, it goes with its volume.
            item.purpose = Purpose::Volume;
        }
        self.0.retain(|other| !other.is_about(&item));
        self.0.push(item);
    }
}

/// Which of the values everything about a project is in: FNV-1a of its id, so that projects spread evenly.
#[must_use]
pub fn place_of(project: &ProjectId) -> usize {
    let hash =
        project.as_str().bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash as usize % Agenda::VALUES
}

/// Items, each project's together.
#[must_use]
pub fn by_project(items: Vec<AgendaItem>) -> Vec<(ProjectId, Vec<AgendaItem>)> {
    let mut projects: Vec<(ProjectId, Vec<AgendaItem>)> = Vec::new();
    for item in items {
        match projects.binary_search_by(|(project, _)| project.cmp(&item.project)) {
            Ok(at) => projects[at].1.push(item),
            Err(at) => projects.insert(at, (item.project.clone(), vec![item])),
        }
    }
    projects
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_project_is_never_changes() {
        let places: Vec<usize> = ["a1", "b2", "a1000000000000000000000000000001", "é"]
            .iter()
            .map(|id| place_of(&id.parse().expect("a project id")))
            .collect();
        assert_eq!(places, [7, 5, 12, 1]);
    }
}
