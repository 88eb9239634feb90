//! What is kept of a project: its record, with the listings of its volumes and snapshots and what they count towards
//! quota; and the directory of all projects that have one.
//!
//! A record is the only thing that those who create in one project contend for, and it is replaced by compare-and-swap,
//! so a listing, its count and its quota can never disagree.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::quota::Amounts;
use crate::domain::{ProjectId, Snapshot, Volume};

use super::agenda::{AgendaItem, Kind};
use super::bytes::Bytes;
use super::envelope::Stored;
use super::index::{Entry, Index, PageId, Position};
use super::version_1;

/// The record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectRecord {
    pub project: ProjectId,
    /// The two listings follow the rest of the record, as bytes.
    #[serde(skip)]
    pub snapshots: Index,
    #[serde(skip)]
    pub volumes: Index,
    /// What the rows count, by resource.
    #[serde(default, skip_serializing_if = "Amounts::is_empty")]
    pub totals: Amounts,
    /// The counters as Cinder's `quota_usages` table has them: a counter appears with its first reservation, and
    /// starts from what the rows count then. An operator may set one.
    #[serde(default, skip_serializing_if = "Amounts::is_empty")]
    pub usage: Amounts,
    /// Limits of this project that win over the defaults.
    #[serde(default, skip_serializing_if = "Amounts::is_empty")]
    pub quotas: Amounts,
    /// What format version 1 kept here and the scheduled step has not moved to the agenda yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_agenda: Vec<AgendaItem>,
    /// Pages that nothing names any more, still to be deleted. A reader of an older record may be using them, so
    /// they go with the next run of the scheduled step and not at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retired: Vec<PageId>,
    /// Whether a snapshot here was ever made of another project's volume; see [`Directory`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_snapshots_of_other_projects_volumes: bool,
}

impl ProjectRecord {
    /// The record of a project that holds nothing.
    #[must_use]
    pub const fn new(project: ProjectId) -> Self {
        Self {
            project,
            snapshots: Index::EMPTY,
            volumes: Index::EMPTY,
            totals: Amounts::new(),
            usage: Amounts::new(),
            quotas: Amounts::new(),
            former_agenda: Vec::new(),
            retired: Vec::new(),
            has_snapshots_of_other_projects_volumes: false,
        }
    }

    /// The listing of a kind.
    #[must_use]
    pub const fn index(&self, kind: Kind) -> &Index {
        match kind {
            Kind::Snapshot => &self.snapshots,
            Kind::Volume => &self.volumes,
        }
    }

    /// The listing of a kind, to change it.
    pub const fn index_mut(&mut self, kind: Kind) -> &mut Index {
        match kind {
            Kind::Snapshot => &mut self.snapshots,
            Kind::Volume => &mut self.volumes,
        }
    }

    /// Whether pages of a listing should be written anew.
    #[must_use]
    pub fn is_sparse(&self) -> bool {
        self.snapshots.is_sparse() || self.volumes.is_sparse()
    }

    /// What is in use of a resource: its counter, or what the rows count where no counter was opened yet.
    #[must_use]
    pub fn in_use(&self, resource: &str) -> i64 {
        self.usage.get(resource).or_else(|| self.totals.get(resource)).copied().unwrap_or(0)
    }

    /// Counts rows that have come, and opens their counters.
    pub fn take(&mut self, amounts: &Amounts) {
        for (resource, amount) in amounts {
            let in_use = self.in_use(resource);
            self.usage.insert(resource.clone(), in_use.saturating_add(*amount));
            let total = self.totals.or_default(resource);
            *total = total.saturating_add(*amount);
        }
    }

    /// Counts rows that have gone; a counter never falls below zero.
    pub fn give_back(&mut self, amounts: &Amounts) {
        for (resource, amount) in amounts {
            let in_use = self.in_use(resource);
            self.usage.insert(resource.clone(), in_use.saturating_sub(*amount).max(0));
            let total = self.totals.or_default(resource);
            *total = total.saturating_sub(*amount).max(0);
        }
    }

    /// Whether the counters cannot be right: each listed row counts as one at most.
    #[must_use]
    pub fn counts_too_much(&self) -> bool {
        let count_of = |resource: &str| self.totals.get(resource).copied().unwrap_or(0);
        let exceeds = |resource: &str, index: &Index| {
            usize::try_from(count_of(resource)).map_or(true, |count| count > index.len())
        };
        exceeds("snapshots", &self.snapshots) || exceeds("volumes", &self.volumes)
    }
}

impl Stored for ProjectRecord {
    /// A line of JSON, then the listings.
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        serde_json::to_writer(&mut *bytes, self).map_err(|error| error.to_string())?;
        bytes.push(b'\n');
        self.snapshots.write(bytes)?;
        self.volumes.write(bytes)
    }

    fn read(version: u32, bytes: &[u8]) -> Result<Self, String> {
        if version == 1 {
            return version_1::project_record(bytes);
        }
        // JSON as it is written has no line break.
        let end = bytes.iter().position(|byte| *byte == b'\n').ok_or("it has no listings")?;
        let mut record: Self = crate::json::read(&bytes[..end]).map_err(|error| error.to_string())?;
        let mut listings = Bytes::new(&bytes[end + 1..]);
        record.snapshots = Index::read(&mut listings)?;
        record.volumes = Index::read(&mut listings)?;
        if listings.is_empty() { Ok(record) } else { Err("it goes on behind its listings".to_owned()) }
    }
}

/// Which projects have a record; one of several values, a project being where its agenda is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directory(pub Vec<DirectoryEntry>);

/// A project that has a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryEntry {
    pub project: ProjectId,
    /// Whether it may have snapshots of other projects' volumes, so that the deletion of a volume knows which projects
    /// to look into.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_snapshots_of_other_projects_volumes: bool,
}

impl Stored for Directory {
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        serde_json::to_writer(bytes, &self.0).map_err(|error| error.to_string())
    }

    fn read(version: u32, bytes: &[u8]) -> Result<Self, String> {
        if version == 1 {
            return version_1::directory(bytes);
        }
        serde_json::from_slice(bytes).map(Self).map_err(|error| error.to_string())
    }
}

/// The entry of a snapshot.
#[must_use]
pub fn entry_of_snapshot(snapshot: &Snapshot) -> Entry {
    let position = Position { created_at: snapshot.created_at, id: snapshot.id.as_uuid() };
    Entry { position, volume_id: snapshot.volume_id.as_uuid() }
}

/// The entry of a volume.
#[must_use]
pub const fn entry_of_volume(volume: &Volume) -> Entry {
    let position = Position { created_at: volume.created_at, id: volume.id.as_uuid() };
    Entry { position, volume_id: Uuid::nil() }
}
