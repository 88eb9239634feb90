//! The record of a project: the listings of its volumes and snapshots, what they count towards quota, and the agenda
//! of removals that the scheduled step will make. Format version 1.
//!
//! It is the only thing that two writers of one project contend for, and it is replaced by compare-and-swap, so
//! a listing, its count and its quota can never disagree.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::quota::{self, Amounts, Counted};
use crate::domain::{ProjectId, Snapshot, Timestamp, Volume};

use super::index::{Entry, Index, PageId, Position};

/// Which listing something stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Snapshot,
    Volume,
}

/// A row that the scheduled step must look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgendaItem {
    pub kind: Kind,
    pub id: Uuid,
    /// When there may be something to do, in microseconds since the epoch.
    pub due: i64,
    /// Where the row stands in its listing, in microseconds since the epoch.
    pub created: i64,
    /// What its removal gives back.
    pub size: u32,
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub volume_type: Option<String>,
    pub counted: bool,
}

impl AgendaItem {
    /// An item for a snapshot.
    #[must_use]
    pub fn of_snapshot(snapshot: &Snapshot, due: Timestamp) -> Self {
        Self {
            kind: Kind::Snapshot,
            id: snapshot.id.as_uuid(),
            due: due.microseconds(),
            created: snapshot.created_at.microseconds(),
            size: snapshot.size,
            volume_type: snapshot.volume_type.clone(),
            counted: snapshot.consumes_quota,
        }
    }

    /// An item for a volume.
    #[must_use]
    pub fn of_volume(volume: &Volume, due: Timestamp) -> Self {
        Self {
            kind: Kind::Volume,
            id: volume.id.as_uuid(),
            due: due.microseconds(),
            created: volume.created_at.microseconds(),
            size: volume.size,
            volume_type: volume.volume_type.clone(),
            counted: volume.consumes_quota,
        }
    }

    /// Where the row stands in its listing.
    #[must_use]
    pub const fn position(&self) -> Position {
        Position { created_at: Timestamp::from_microseconds(self.created), id: self.id }
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

/// The record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectRecord {
    pub project: ProjectId,
    #[serde(default, skip_serializing_if = "Index::is_empty")]
    pub snapshots: Index,
    #[serde(default, skip_serializing_if = "Index::is_empty")]
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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agenda: Vec<AgendaItem>,
    /// Pages that nothing names any more, still to be deleted. A reader of an older record may be using them, so
    /// they go with the next run of the scheduled step and not at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retired: Vec<PageId>,
    /// Whether a snapshot here was ever made of another project's volume, so that the deletion of a volume knows
    /// which projects to look into.
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
            agenda: Vec::new(),
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
            let total = self.totals.entry(resource.clone()).or_default();
            *total = total.saturating_add(*amount);
        }
    }

    /// Counts rows that have gone; a counter never falls below zero.
    pub fn give_back(&mut self, amounts: &Amounts) {
        for (resource, amount) in amounts {
            let in_use = self.in_use(resource);
            self.usage.insert(resource.clone(), in_use.saturating_sub(*amount).max(0));
            let total = self.totals.entry(resource.clone()).or_default();
            *total = total.saturating_sub(*amount).max(0);
        }
    }

    /// Puts a row on the agenda, or moves its item to another time.
    pub fn schedule(&mut self, item: AgendaItem) {
        self.agenda.retain(|other| (other.kind, other.id) != (item.kind, item.id));
        self.agenda.push(item);
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
