//! The agenda: which rows the scheduled step must look at, and when.
//!
//! The agenda is spread over a fixed number of slots, and all rows of a project are in one slot. An idle step therefore
//! reads the same few keys, however many projects there are, and counting a project's rows reads one of them. An item
//! is written before its row, so the step looks at the row even if the writer stops in between
//! (`docs/adr/0003-agenda-and-compact-pages.md`).

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::quota::Amounts;
use crate::domain::{ProjectId, Timestamp};

use super::Store;
use super::codec::envelope::decode_optional;
use super::directory::Directory;
use super::index::Position;
use super::key_value::StoreError;
use super::keys;
use super::row::Kind;

/// Why a row is on the agenda.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// The row is removed, or its work ends with a tick.
    Row,
    /// Like `Row`, but the row may not be written yet, so its absence does not mean that it was removed.
    New,
    /// The row is removed with its volume, even if the request that deletes both stops between the two.
    Volume,
}

/// A row that the scheduled step must look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgendaItem {
    pub project: ProjectId,
    pub kind: Kind,
    pub id: Uuid,
    /// The time at which there may be work to do, in microseconds since the epoch.
    pub due: i64,
    /// The time of creation, in microseconds since the epoch. With the id it is the position in the index.
    pub created: i64,
    /// The size in GiB, which the removal gives back.
    pub size: u32,
    pub volume_type: Option<String>,
    pub counted: bool,
    pub purpose: Purpose,
}

impl AgendaItem {
    /// Returns the item with another purpose.
    #[must_use]
    pub fn with_purpose(self, purpose: Purpose) -> Self {
        Self { purpose, ..self }
    }

    /// Returns the position of the row in its index.
    #[must_use]
    pub const fn position(&self) -> Position {
        Position { created_at: Timestamp::from_microseconds(self.created), id: self.id }
    }

    /// Returns whether two items are about the same row.
    #[must_use]
    pub fn is_about(&self, other: &Self) -> bool {
        (self.kind, self.id) == (other.kind, other.id)
    }

    /// Returns the amounts that the row adds to the counters.
    #[must_use]
    pub fn amounts(&self, snapshots_count_gigabytes: bool) -> Amounts {
        if !self.counted {
            return Amounts::new();
        }
        self.kind.amounts(self.size, self.volume_type.as_deref(), snapshots_count_gigabytes)
    }
}

/// One slot of the agenda.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Agenda(pub Vec<AgendaItem>);

impl Agenda {
    /// The number of slots. It is part of the format, since it decides which slot a project is in.
    pub const SLOTS: usize = 16;

    /// The most items that one slot should hold. They take some 60 KiB.
    pub const ENOUGH: usize = 400;

    /// Adds an item, or replaces the one about the same row.
    pub fn schedule(&mut self, mut item: AgendaItem) {
        if self.0.iter().any(|other| other.is_about(&item) && other.purpose == Purpose::Volume) {
            // The row is removed with its volume, whatever else happens to it first.
            item.purpose = Purpose::Volume;
        }
        self.0.retain(|other| !other.is_about(&item));
        self.0.push(item);
    }
}

impl Store<'_> {
    /// Returns the whole agenda, and the project to look after in this turn, in one call. The turns go round the slots,
    /// and within a slot round its projects.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn agenda_and_turn(&self, turn: u64) -> Result<(Vec<Agenda>, Option<ProjectId>), StoreError> {
        let slots = Agenda::SLOTS as u64;
        let directory = usize::try_from(turn % slots).unwrap_or_default();
        let mut keys: Vec<String> = (0..Agenda::SLOTS).map(keys::agenda).collect();
        keys.push(keys::directory(directory));
        let mut values = self.key_value.get_many(&keys)?;
        if values.iter().all(Option::is_none) {
            self.refuse_unreleased()?;
        }
        let directory = decode_optional::<Directory>(&keys[Agenda::SLOTS], values.pop().flatten())?.unwrap_or_default();
        let agendas = keys.iter().zip(values).map(|(key, value)| Ok(decode_optional(key, value)?.unwrap_or_default()));
        let projects = directory.0;
        let number = (turn / slots).checked_rem(projects.len() as u64).and_then(|number| usize::try_from(number).ok());
        let project = number.and_then(|number| projects.into_iter().nth(number)).map(|entry| entry.project);
        Ok((agendas.collect::<Result<_, StoreError>>()?, project))
    }

    /// Puts rows on the agenda before they change, with one commit for each slot. Returns whether a slot holds more
    /// than [`Agenda::ENOUGH`] items.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn schedule(&self, items: &[AgendaItem]) -> Result<bool, StoreError> {
        let mut is_full = false;
        for slot in 0..Agenda::SLOTS {
            let here: Vec<&AgendaItem> = items.iter().filter(|item| slot_of(&item.project) == slot).collect();
            if !here.is_empty() {
                self.change_shared(&keys::agenda(slot), |agenda: &mut Agenda| {
                    for item in &here {
                        agenda.schedule((*item).clone());
                    }
                    is_full |= agenda.0.len() > Agenda::ENOUGH;
                })?;
            }
        }
        Ok(is_full)
    }

    /// Takes items off the agenda, unless they were scheduled again meanwhile.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn forget(&self, slot: usize, items: &[AgendaItem]) -> Result<(), StoreError> {
        self.change_shared(&keys::agenda(slot), |agenda: &mut Agenda| agenda.0.retain(|item| !items.contains(item)))
    }
}

/// Returns the slot of a project: the FNV-1a hash of its id, so that projects spread evenly.
#[must_use]
pub fn slot_of(project: &ProjectId) -> usize {
    let hash =
        project.as_str().bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash as usize % Agenda::SLOTS
}

/// Groups items by project.
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
    fn the_slot_of_a_project_never_changes() {
        let slots: Vec<usize> = ["a1", "b2", "a1000000000000000000000000000001", "é"]
            .iter()
            .map(|id| slot_of(&id.parse().expect("a project id")))
            .collect();
        assert_eq!(slots, [7, 5, 12, 1]);
    }
}
