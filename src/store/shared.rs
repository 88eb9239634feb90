//! The values that all projects share: the slots of the agenda and of the directory. They are created together, and a
//! slot that is lost later is replaced.
//!
//! A slot is lost if it cannot be read and is not of a newer format, or if it is missing while others exist. Readers
//! take it for empty. Its first writer and the next run of the scheduled step replace it: the directory from the keys
//! of the projects' records, the agenda by one that says that it is incomplete. Only the step completes that one, since
//! it must read the rows of all projects of the slot (`docs/adr/0015-one-bad-value.md`).

use crate::domain::ProjectId;

use super::Store;
use super::agenda::{Agenda, AgendaItem};
use super::codec::envelope::{Stored, decode_optional, encode_fresh};
use super::compare_and_swap::Change;
use super::directory::{Directory, DirectoryEntry};
use super::key_value::StoreError;
use super::keys;
use super::slots::{SLOTS, slot_of};

/// The value of one slot.
pub trait SlotValue: Stored + Clone + Default + PartialEq {
    /// Returns the key of a slot.
    fn key(slot: usize) -> String;

    /// Returns the project of the first entry.
    fn first_project(&self) -> Option<&ProjectId>;

    /// Returns the value that replaces a lost one.
    ///
    /// # Errors
    ///
    /// Errors of the store.
    fn replacement(store: &Store<'_>, slot: usize) -> Result<Self, StoreError>;
}

impl SlotValue for Agenda {
    fn key(slot: usize) -> String {
        keys::agenda(slot)
    }

    fn first_project(&self) -> Option<&ProjectId> {
        self.items.first().map(|item| &item.project)
    }

    fn replacement(_store: &Store<'_>, _slot: usize) -> Result<Self, StoreError> {
        Ok(Self { items: Vec::new(), is_incomplete: true })
    }
}

impl SlotValue for Directory {
    fn key(slot: usize) -> String {
        keys::directory(slot)
    }

    fn first_project(&self) -> Option<&ProjectId> {
        self.0.first().map(|entry| &entry.project)
    }

    /// A project whose record cannot be read may have snapshots of other projects' volumes.
    fn replacement(store: &Store<'_>, slot: usize) -> Result<Self, StoreError> {
        let stored = store.key_value.keys()?;
        let mut projects = Store::projects_in(&stored);
        projects.retain(|project| slot_of(project) == slot);
        let mut entries = Vec::with_capacity(projects.len());
        for (project, record) in projects.iter().zip(store.read_records(&projects)?) {
            let record = store.without_unreadable(record)?;
            let has_snapshots_of_other_projects_volumes =
                record.is_none_or(|record| record.is_some_and(|record| record.has_snapshots_of_other_projects_volumes));
            entries.push(DirectoryEntry { project: project.clone(), has_snapshots_of_other_projects_volumes });
        }
        Ok(Self(entries))
    }
}

/// Decodes the value of a slot.
pub(super) fn decode_slot<T: SlotValue>(
    key: &str,
    slot: usize,
    stored: Option<Vec<u8>>,
) -> Result<Option<T>, StoreError> {
    let value = decode_optional(key, stored)?;
    if let Some(value) = &value {
        check_slot(key, slot, value)?;
    }
    Ok(value)
}

/// Refuses the value of another slot.
fn check_slot<T: SlotValue>(key: &str, slot: usize, value: &T) -> Result<(), StoreError> {
    match value.first_project().map(slot_of) {
        Some(other) if other != slot => {
            Err(StoreError::Corrupt { key: key.to_owned(), reason: format!("it is the value of slot {other:02}") })
        }
        _ => Ok(()),
    }
}

impl Store<'_> {
    /// Changes a slot. If `change` changes nothing, nothing is written.
    pub(super) fn change_slot<T: SlotValue>(
        &self,
        slot: usize,
        mut change: impl FnMut(&mut T),
    ) -> Result<(), StoreError> {
        let key = T::key(slot);
        // The second round finds the value that the first one created. The third is for a value that an operator
        // deleted meanwhile.
        for _ in 0..3 {
            let changed = self.replace::<T, bool, StoreError>(&key, |stored| {
                let Some(before) = stored else { return Ok(Change::Leave(false)) };
                check_slot(&key, slot, &before)?;
                let mut after = before.clone();
                change(&mut after);
                Ok(if after == before { Change::Leave(true) } else { Change::Write(after, true) })
            });
            match changed {
                Ok(true) => return Ok(()),
                Ok(false) => self.create_slot::<T>(slot)?,
                Err(error @ StoreError::Corrupt { .. }) => {
                    self.without_unreadable(Err::<(), _>(error))?;
                    self.restore_slot::<T>(slot)?;
                }
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Contended(key))
    }

    /// Creates all slots of an empty store, or the one slot that is missing.
    fn create_slot<T: SlotValue>(&self, slot: usize) -> Result<(), StoreError> {
        self.refuse_unreleased()?;
        let mut keys: Vec<String> = (0..SLOTS).flat_map(|slot| [keys::agenda(slot), keys::directory(slot)]).collect();
        keys.push(keys::SHARED_CLAIM.to_owned());
        let mut found = self.key_value.get_many(&keys)?;
        let claim = found.pop().flatten();
        let own = T::key(slot);
        if keys.iter().zip(&found).any(|(key, value)| *key == own && value.is_some()) {
            return Ok(());
        }
        if found.iter().all(Option::is_none) {
            return self.claimed(&own, keys::SHARED_CLAIM, claim, empty_slots);
        }
        self.claimed(&own, keys::SHARED_CLAIM, claim, || {
            let value = T::replacement(self, slot)?;
            let value = encode_fresh(&own, &value)?;
            Ok(vec![(own.clone(), value)])
        })
    }

    /// Replaces a lost slot, unless another writer has, and returns the replacement.
    ///
    /// # Errors
    ///
    /// Errors of the store.
    pub fn restore_slot<T: SlotValue>(&self, slot: usize) -> Result<T, StoreError> {
        let value = T::replacement(self, slot)?;
        let key = T::key(slot);
        self.replace_unreadable(&key, &value, |stored| Ok(decode_slot::<T>(&key, slot, stored)?.is_some()))?;
        Ok(value)
    }

    /// Returns the value of a slot from the result of reading it. A lost one is replaced. `is_expected` says whether a
    /// missing slot is lost.
    ///
    /// # Errors
    ///
    /// Errors of the store, among them a slot of a newer format.
    pub fn restored_slot<T: SlotValue>(
        &self,
        slot: usize,
        read: Result<Option<T>, StoreError>,
        is_expected: bool,
    ) -> Result<T, StoreError> {
        match read {
            Ok(Some(value)) => Ok(value),
            Ok(None) if !is_expected => Ok(T::default()),
            Ok(None) => self.restore_slot(slot),
            Err(error @ StoreError::Corrupt { .. }) => {
                self.without_unreadable(Err::<(), _>(error))?;
                self.restore_slot(slot)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads every slot of the agenda or of the directory, in one call. Each may fail by itself.
    pub(super) fn read_slots<T: SlotValue>(&self) -> Result<Vec<Result<Option<T>, StoreError>>, StoreError> {
        let keys: Vec<String> = (0..SLOTS).map(T::key).collect();
        let values = self.key_value.get_many(&keys)?;
        let values = keys.iter().zip(values).enumerate();
        Ok(values.map(|(slot, (key, value))| decode_slot(key, slot, value)).collect())
    }

    /// Completes an incomplete agenda with the rows that need the scheduled step, in all projects of its slot. It reads
    /// all rows of these projects. Projects that cannot be read are left out; a repair schedules their rows.
    ///
    /// # Errors
    ///
    /// Errors of the store.
    pub fn complete_agenda(&self, slot: usize) -> Result<(), StoreError> {
        let key = keys::directory(slot);
        let read = decode_slot(&key, slot, self.key_value.get(&key)?);
        let directory: Directory = self.restored_slot(slot, read, true)?;
        let mut needed: Vec<AgendaItem> = Vec::new();
        for entry in directory.0 {
            let items = self.items_of(&entry.project);
            needed.extend(self.without_unreadable(items)?.into_iter().flatten());
        }
        self.change_slot(slot, |agenda: &mut Agenda| {
            let known = agenda.rows();
            let missing = needed.iter().filter(|item| !known.contains(&item.row()));
            agenda.items.extend(missing.cloned());
            agenda.is_incomplete = false;
        })
    }
}

/// Returns the slots of an empty store.
fn empty_slots() -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    let mut values = Vec::with_capacity(2 * SLOTS);
    for slot in 0..SLOTS {
        let (agenda, directory) = (keys::agenda(slot), keys::directory(slot));
        let empty_agenda = encode_fresh(&agenda, &Agenda::default())?;
        let empty_directory = encode_fresh(&directory, &Directory::default())?;
        values.extend([(agenda, empty_agenda), (directory, empty_directory)]);
    }
    Ok(values)
}
