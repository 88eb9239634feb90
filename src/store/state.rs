//! Operations on the whole store, which an operator requests: replacing its state and clearing it.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::domain::trees::set_of;
use crate::domain::{GroupTypes, ProjectId, VolumeTypes};

use super::Store;
use super::agenda::{Agenda, AgendaItem, Purpose};
use super::codec::envelope::encode_fresh;
use super::creation::Creates;
use super::deployment::Deployment;
use super::directory::Directory;
use super::index::{Entry, Index};
use super::key_value::StoreError;
use super::keys;
use super::legacy;
use super::projects::ProjectRecord;
use super::row::Kind;
use super::row::{Row, Rows, with_row_type};
use super::rows::LARGE_ROWS_AT_ONCE;
use super::shared::SlotValue;
use super::slots::{SLOTS, slot_of};
use super::unreadable::StoredRow;

/// The state of a store, as [`Store::replace_state`] takes it.
#[derive(Debug, Default, Clone)]
pub struct StoredState {
    pub rows: Rows,
    pub deployment: Deployment,
    pub volume_types: VolumeTypes,
    pub group_types: GroupTypes,
    /// The records of all projects that own a row, sorted by project. Their indexes are built from the rows.
    pub projects: Vec<ProjectRecord>,
    pub agenda: Vec<AgendaItem>,
}

impl Store<'_> {
    /// Replaces the whole stored state in one commit. Old rows that the new state lacks are overwritten with the empty
    /// value, which reads as absent, and deleted afterwards.
    ///
    /// Requests may run meanwhile. What they wrote before the commit is replaced, and what they write after it is kept:
    ///
    /// - The agenda and the directory are not replaced. They are completed before the commit, one compare-and-swap at a
    ///   time, so an item that a delete announces is never lost. Items of rows that are gone are forgotten by a tick. A tick
    ///   may also forget items of the new state whose rows are not there yet, so the agenda is completed again after the
    ///   commit.
    /// - A request that changes a row or a record by compare-and-swap meets the new value, and decides again.
    /// - A create that listed its row in a replaced record may write the row after the commit. It then finds that the new
    ///   record does not list it, deletes the row, and is refused. If it stops before that, `Store::sweep` deletes the
    ///   row (`docs/adr/0017-the-order-of-a-create.md`).
    ///
    /// # Errors
    ///
    /// An error of the key-value store. On `SQLite` no row has changed then, unless the commit was done.
    pub fn replace_state(&self, mut state: StoredState) -> Result<(), StoreError> {
        self.refuse_unreleased()?;
        let number_of =
            |project: &ProjectId| state.projects.binary_search_by(|record| record.project.cmp(project)).ok();
        let mut indexed: Vec<[Vec<Entry>; Kind::ALL.len()]> = vec![Default::default(); state.projects.len()];
        for kind in Kind::ALL {
            with_row_type!(kind, R => index_rows(R::list(&state.rows), &number_of, &mut indexed));
        }
        let mut entries: Vec<(String, Vec<u8>)> = Vec::new();
        for kind in Kind::ALL {
            with_row_type!(kind, R => push_rows(std::mem::take(R::list_mut(&mut state.rows)), &mut entries)?);
        }
        let state = &state;
        entries.push((keys::DEPLOYMENT.to_owned(), encode_fresh(keys::DEPLOYMENT, &state.deployment)?));
        entries.push((keys::VOLUME_TYPES.to_owned(), encode_fresh(keys::VOLUME_TYPES, &state.volume_types)?));
        entries.push((keys::GROUP_TYPES.to_owned(), encode_fresh(keys::GROUP_TYPES, &state.group_types)?));
        for (record, indexed) in state.projects.iter().zip(indexed) {
            let mut record = record.clone();
            record.creates = self.no_creates();
            for (kind, own) in Kind::ALL.into_iter().zip(indexed) {
                let (index, changes) = Index::build(own, self);
                *record.index_mut(kind) = index;
                for (id, page) in changes.written {
                    let key = keys::page(id);
                    let value = encode_fresh(&key, &page)?;
                    entries.push((key, value));
                }
            }
            push_record(&record, &mut entries)?;
        }
        self.complete_shared_values(state, &mut entries)?;

        let stored = self.key_value.keys()?;
        // Projects that the new state lacks keep an empty record, since their claim counters stay too.
        let others = Self::projects_in(&stored).into_iter().filter(|project| number_of(project).is_none());
        for project in others {
            push_record(&self.empty_record(project), &mut entries)?;
        }
        entries.sort_unstable_by(|(one, _), (two, _)| one.cmp(two));
        let is_written = |key: &String| entries.binary_search_by(|(own, _)| own.cmp(key)).is_ok();
        let obsolete: Vec<String> = stored.into_iter().filter(|key| is_obsolete(key) && !is_written(key)).collect();
        entries.extend(obsolete.iter().map(|key| (key.clone(), Vec::new())));
        self.set_many(&entries)?;
        self.complete_agenda_again(&state.agenda)?;
        if !obsolete.is_empty() {
            self.delete_many(&obsolete)?;
        }
        entries.truncate(entries.len() - obsolete.len());
        self.sweep(&entries.into_iter().map(|(key, _)| key).collect::<Vec<_>>())
    }

    /// Returns the creates of a record that replaces another one, under a new announcement.
    fn no_creates(&self) -> Creates {
        Creates { announcement: self.identifiers.number(), ..Creates::default() }
    }

    /// Returns the record of a project that the new state lacks.
    pub(super) fn empty_record(&self, project: ProjectId) -> ProjectRecord {
        let mut record = ProjectRecord::new(project);
        record.creates = self.no_creates();
        record
    }

    /// Adds the items and the projects of a new state to the agenda and the directory. A slot that cannot be read is
    /// replaced with the state.
    fn complete_shared_values(
        &self,
        state: &StoredState,
        entries: &mut Vec<(String, Vec<u8>)>,
    ) -> Result<(), StoreError> {
        let mut items: [Vec<&AgendaItem>; SLOTS] = Default::default();
        for item in &state.agenda {
            items[slot_of(&item.project)].push(item);
        }
        let mut projects: [Vec<&ProjectRecord>; SLOTS] = Default::default();
        for record in &state.projects {
            projects[slot_of(&record.project)].push(record);
        }
        for (slot, (items, projects)) in items.iter().zip(&projects).enumerate() {
            let new = set_of(items.iter().map(|item| item.row()));
            let complete = |agenda: &mut Agenda| {
                if projects.is_empty() {
                    return;
                }
                agenda.items.retain(|item| !new.contains(&item.row()));
                // A snapshot of the new state may have no volume, and stays.
                for item in agenda.items.iter_mut().filter(|item| item.purpose == Purpose::Volume) {
                    item.purpose = Purpose::Row;
                }
                agenda.items.extend(items.iter().map(|item| item.before_its_row()));
            };
            self.change_or_replace(slot, complete, entries)?;
            let complete = |directory: &mut Directory| directory.enter_all(projects);
            self.change_or_replace(slot, complete, entries)?;
        }
        Ok(())
    }

    /// Replaces the items that were added to the agenda before their rows, and adds those that a tick has forgotten. A tick
    /// that read the agenda before this cannot forget the new items, since it forgets no item that has changed. Items that
    /// requests have put in their place stay.
    fn complete_agenda_again(&self, items: &[AgendaItem]) -> Result<(), StoreError> {
        let mut by_slot: [BTreeMap<(Kind, Uuid), &AgendaItem>; SLOTS] = Default::default();
        for item in items {
            by_slot[slot_of(&item.project)].insert(item.row(), item);
        }
        for (slot, items) in by_slot.iter().enumerate().filter(|(_, items)| !items.is_empty()) {
            self.change_slot(slot, |agenda: &mut Agenda| {
                let mut missing = items.clone();
                for item in &mut agenda.items {
                    if let Some(new) = missing.remove(&item.row()).filter(|new| *item == new.before_its_row()) {
                        item.clone_from(new);
                    }
                }
                agenda.items.extend(missing.into_values().cloned());
            })?;
        }
        Ok(())
    }

    /// Changes a slot. If it cannot be read, adds a new one to the entries to write.
    fn change_or_replace<T: SlotValue>(
        &self,
        slot: usize,
        mut change: impl FnMut(&mut T),
        entries: &mut Vec<(String, Vec<u8>)>,
    ) -> Result<(), StoreError> {
        if self.without_unreadable(self.change_slot(slot, &mut change))?.is_none() {
            let mut value = T::default();
            change(&mut value);
            let key = T::key(slot);
            let bytes = encode_fresh(&key, &value)?;
            entries.push((key, bytes));
        }
        Ok(())
    }

    /// Deletes the rows that requests wrote while the state was replaced, and that no create will delete: those that the new
    /// state lacks and that no record lists. A project that came meanwhile keeps its record, as if it had come afterwards,
    /// since nothing tells its creates before the commit from those after it.
    fn sweep(&self, written: &[String]) -> Result<(), StoreError> {
        let is_written = |key: &String| written.binary_search(key).is_ok();
        let late: Vec<String> = self.key_value.keys()?.into_iter().filter(|key| !is_written(key)).collect();
        for kind in Kind::ALL {
            let ids = late.iter().filter_map(|key| Uuid::try_parse(key.strip_prefix(kind.key_prefix())?).ok());
            let ids: Vec<Uuid> = ids.collect();
            let mut items = Vec::new();
            for ids in ids.chunks(LARGE_ROWS_AT_ONCE) {
                with_row_type!(kind, R => {
                    let rows = self.rows::<R>(ids)?.into_iter().filter_map(StoredRow::readable);
                    items.extend(rows.map(|row| AgendaItem::when_due(&row)));
                });
            }
            self.delete_unlisted(items)?;
        }
        Ok(())
    }

    /// Deletes every value that this service has stored.
    ///
    /// # Errors
    ///
    /// An error of the key-value store.
    pub fn clear(&self) -> Result<(), StoreError> {
        let keys: Vec<String> = self.key_value.keys()?.into_iter().filter(|key| is_ours(key)).collect();
        if keys.is_empty() { Ok(()) } else { self.delete_many(&keys) }
    }
}

impl AgendaItem {
    /// Returns the item as it is on the agenda before its row is written: a microsecond older.
    fn before_its_row(&self) -> Self {
        Self { since: self.since.saturating_sub(1), ..self.clone() }
    }
}

/// Encodes a record, and appends it to the entries to write.
fn push_record(record: &ProjectRecord, entries: &mut Vec<(String, Vec<u8>)>) -> Result<(), StoreError> {
    let key = keys::project(&record.project);
    let value = encode_fresh(&key, record)?;
    entries.push((key, value));
    Ok(())
}

/// Encodes rows, and appends them to the entries to write. Drops each row once it is encoded, since memory has all of them
/// twice otherwise.
fn push_rows<T: Row>(rows: Vec<T>, entries: &mut Vec<(String, Vec<u8>)>) -> Result<(), StoreError> {
    entries.reserve(rows.len());
    for row in rows {
        let key = keys::row(T::KIND, row.id());
        let bytes = encode_fresh(&key, &row)?;
        entries.push((key, bytes));
    }
    Ok(())
}

/// Adds the entries of rows to the indexes of their projects.
fn index_rows<T: Row>(
    rows: &[T],
    number_of: &dyn Fn(&ProjectId) -> Option<usize>,
    indexed: &mut [[Vec<Entry>; Kind::ALL.len()]],
) {
    for row in rows {
        if let Some(number) = number_of(row.project_id()) {
            indexed[number][T::KIND as usize].push(row.entry());
        }
    }
}

/// Returns whether a key is deleted if the new state lacks it. Records and claim counters stay.
fn is_obsolete(key: &str) -> bool {
    Kind::ALL.into_iter().any(|kind| key.starts_with(kind.key_prefix()))
        || key.starts_with(keys::PAGES)
        || key == keys::SUSPECTS
}

/// Returns whether a key is of this service, unreleased versions included.
fn is_ours(key: &str) -> bool {
    [keys::PREFIX, legacy::PREFIX].iter().any(|prefix| key.starts_with(prefix))
}
