//! The agenda: which rows the scheduled step must look at, and when.
//!
//! The agenda is spread over a fixed number of slots, and all rows of a project are in one slot. An idle step therefore
//! reads the same few keys, however many projects there are, and counting a project's rows reads one of them. An item
//! is written before its row, so the step looks at the row even if the writer stops in between
//! (`docs/adr/0003-agenda-and-compact-pages.md`).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::lifecycle::is_in_future;
use crate::domain::quota::Amounts;
use crate::domain::trees::{map_of, set_of};
use crate::domain::{Pending, ProjectId, Timestamp, VolumeTypeId};

use super::Store;
use super::index::Position;
use super::key_value::StoreError;
use super::row::{Kind, Row};
use super::slots::{SLOTS, slot_of};

/// Why an item is on the agenda.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// The row is removed, or its work ends with a tick.
    Row,
    /// The row is created: its entry is dropped if the row was never written.
    New,
    /// A project creates rows, see [`super::creation`]. The id is that of the announcement.
    Creates,
    /// The row is removed with its volume, even if the request that deletes both stops between the two.
    Volume,
    /// The row is extended: once the extension has ended, it is settled with the quota of the project.
    Extension,
}

/// A row that the scheduled step must look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgendaItem {
    pub project: ProjectId,
    pub kind: Kind,
    pub id: Uuid,
    /// The time of the clock when the item was made, in microseconds since the epoch. The clock was set back if this is in
    /// its future.
    pub since: i64,
    /// The time at which there may be work to do, in microseconds since the epoch.
    pub due: i64,
    /// The time of creation, in microseconds since the epoch. With the id it is the position in the index.
    pub created: i64,
    /// The size in GiB, which the removal gives back.
    pub size: u32,
    pub volume_type: Option<VolumeTypeId>,
    pub counted: bool,
    pub purpose: Purpose,
}

impl AgendaItem {
    /// Returns an item that makes the scheduled step look at a row from now on.
    #[must_use]
    pub fn now<T: Row>(row: &T, now: Timestamp) -> Self {
        Self::of(row, now, now)
    }

    /// Returns an item that makes the scheduled step look at a row when work is due.
    #[must_use]
    pub fn for_work<T: Row>(row: &T, work: Pending) -> Self {
        Self::of(row, work.begun, work.looked_at())
    }

    fn of<T: Row>(row: &T, since: Timestamp, due: Timestamp) -> Self {
        Self {
            project: row.project_id().clone(),
            kind: T::KIND,
            id: row.id(),
            since: since.microseconds(),
            due: due.microseconds(),
            created: row.created_at().microseconds(),
            size: row.size(),
            volume_type: row.volume_type_id(),
            counted: row.consumes_quota(),
            purpose: if row.extension().is_some() { Purpose::Extension } else { Purpose::Row },
        }
    }

    /// Returns an item for a row without size and quota, from its position in the index.
    #[must_use]
    pub fn of_uncounted(project: &ProjectId, kind: Kind, position: Position) -> Self {
        let created = position.created_at.microseconds();
        Self {
            project: project.clone(),
            kind,
            id: position.id,
            since: created,
            due: created,
            created,
            size: 0,
            volume_type: None,
            counted: false,
            purpose: Purpose::Row,
        }
    }

    /// Returns the item for the end of the work under way in a row, or for its time of creation if there is none.
    #[must_use]
    pub fn when_due<T: Row>(row: &T) -> Self {
        match row.pending() {
            Some(pending) => Self::for_work(row, pending),
            None => Self::now(row, row.created_at()),
        }
    }

    /// Returns the item with another purpose.
    #[must_use]
    pub fn with_purpose(self, purpose: Purpose) -> Self {
        Self { purpose, ..self }
    }

    /// Returns the item with other times.
    #[must_use]
    pub fn at(self, since: Timestamp, due: Timestamp) -> Self {
        Self { since: since.microseconds(), due: due.microseconds(), ..self }
    }

    /// Returns whether the clock was set back since the item was made.
    #[must_use]
    pub fn is_from_future(&self, clock: Timestamp) -> bool {
        is_in_future(Timestamp::from_microseconds(self.since), clock)
    }

    /// Returns the position of the row in its index.
    #[must_use]
    pub const fn position(&self) -> Position {
        Position { created_at: Timestamp::from_microseconds(self.created), id: self.id }
    }

    /// Returns the kind and the id of the row, which two items about the same row share.
    #[must_use]
    pub const fn row(&self) -> (Kind, Uuid) {
        (self.kind, self.id)
    }

    /// Returns the amounts that the row adds to the counters.
    #[must_use]
    pub fn amounts(&self, snapshots_count_gigabytes: bool) -> Amounts {
        if !self.counted {
            return Amounts::new();
        }
        self.kind.amounts(self.size, self.volume_type, snapshots_count_gigabytes)
    }
}

/// One slot of the agenda.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Agenda {
    pub items: Vec<AgendaItem>,
    /// Whether items may be missing, since the slot was lost; see [`super::shared`].
    pub is_incomplete: bool,
}

impl Agenda {
    /// The most items that one slot should hold. They take some 60 KiB.
    pub const ENOUGH: usize = 400;

    /// Adds items about different rows, and replaces those about the same rows.
    pub fn schedule(&mut self, items: &[&AgendaItem]) {
        let new = set_of(items.iter().map(|item| item.row()));
        let replaced = self.items.extract_if(.., |other| new.contains(&other.row()));
        let replaced = map_of(replaced.map(|other| (other.row(), other)));
        self.items.extend(items.iter().map(|item| match replaced.get(&item.row()) {
            // The creates are announced already, or the row is there and something else happens to it.
            Some(known) if item.purpose == Purpose::Creates => known.clone(),
            Some(known) if item.purpose == Purpose::New && known.purpose != Purpose::New => known.clone(),
            // A row that is removed with its volume is, whatever else happens to it first.
            Some(known) if known.purpose == Purpose::Volume => (*item).clone().with_purpose(Purpose::Volume),
            // An extension is settled, whatever else happens to the row.
            Some(known) if known.purpose == Purpose::Extension => (*item).clone().with_purpose(Purpose::Extension),
            _ => (*item).clone(),
        }));
    }

    /// Returns the rows that items are about.
    #[must_use]
    pub fn rows(&self) -> BTreeSet<(Kind, Uuid)> {
        set_of(self.items.iter().map(AgendaItem::row))
    }
}

impl Store<'_> {
    /// Puts rows on the agenda before they change, with one commit for each slot. Returns whether a slot holds more
    /// than [`Agenda::ENOUGH`] items.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn schedule(&self, items: &[AgendaItem]) -> Result<bool, StoreError> {
        let mut is_full = false;
        let mut by_slot: [Vec<&AgendaItem>; SLOTS] = Default::default();
        for item in items {
            by_slot[slot_of(&item.project)].push(item);
        }
        for (slot, here) in by_slot.into_iter().enumerate() {
            if !here.is_empty() {
                self.change_slot(slot, |agenda: &mut Agenda| {
                    agenda.schedule(&here);
                    is_full |= agenda.items.len() > Agenda::ENOUGH;
                })?;
            }
        }
        Ok(is_full)
    }

    /// Replaces items of one slot, unless they were scheduled again meanwhile.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn reschedule(&self, slot: usize, items: &[(AgendaItem, AgendaItem)]) -> Result<(), StoreError> {
        let items = map_of(items.iter().map(|pair| (pair.0.row(), pair)));
        self.change_slot(slot, |agenda: &mut Agenda| {
            for item in &mut agenda.items {
                if let Some((_, new)) = items.get(&item.row()).filter(|(old, _)| old == item) {
                    item.clone_from(new);
                }
            }
        })
    }

    /// Takes items off the agenda, unless they were scheduled again meanwhile.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn forget(&self, slot: usize, items: &[AgendaItem]) -> Result<(), StoreError> {
        let items = by_row(items);
        self.change_slot(slot, |agenda: &mut Agenda| {
            agenda.items.retain(|item| items.get(&item.row()) != Some(&item));
        })
    }
}

fn by_row(items: &[AgendaItem]) -> BTreeMap<(Kind, Uuid), &AgendaItem> {
    map_of(items.iter().map(|item| (item.row(), item)))
}

/// Groups items by project.
#[must_use]
pub fn by_project(items: Vec<AgendaItem>) -> BTreeMap<ProjectId, Vec<AgendaItem>> {
    let mut projects: BTreeMap<ProjectId, Vec<AgendaItem>> = BTreeMap::new();
    for item in items {
        projects.entry(item.project.clone()).or_default().push(item);
    }
    projects
}
