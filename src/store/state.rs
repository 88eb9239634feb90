//! Operations on the whole store, which an operator requests: replacing its state and clearing it.

use crate::domain::ProjectId;

use super::Store;
use super::agenda::{Agenda, AgendaItem};
use super::codec::envelope::encode_fresh;
use super::deployment::Deployment;
use super::directory::{Directory, DirectoryEntry};
use super::index::{Entry, Index};
use super::key_value::StoreError;
use super::keys;
use super::legacy;
use super::projects::ProjectRecord;
use super::row::Kind;
use super::row::{Row, Rows, with_row_type};
use super::slots::{SLOTS, slot_of};

/// The state of a store, as [`Store::replace_state`] takes it.
#[derive(Debug, Default, Clone)]
pub struct StoredState {
    pub rows: Rows,
    pub deployment: Deployment,
    /// The records of all projects that own a row, sorted by project. Their indexes are built from the rows.
    pub projects: Vec<ProjectRecord>,
    pub agenda: Vec<AgendaItem>,
}

impl Store<'_> {
    /// Replaces the whole stored state in one commit. Old rows that the new state lacks are overwritten with the empty
    /// value, which reads as absent, and deleted afterwards.
    ///
    /// # Errors
    ///
    /// An error of the key-value store. On `SQLite` nothing has changed then.
    pub fn replace_state(&self, state: &StoredState) -> Result<(), StoreError> {
        self.refuse_unreleased()?;
        let mut entries: Vec<(String, Vec<u8>)> = Vec::new();
        for kind in Kind::ALL {
            with_row_type!(kind, R => push_rows(R::list(&state.rows), &mut entries)?);
        }
        entries.push((keys::DEPLOYMENT.to_owned(), encode_fresh(keys::DEPLOYMENT, &state.deployment)?));

        let mut records = state.projects.clone();
        let number_of =
            |project: &ProjectId| state.projects.binary_search_by(|record| record.project.cmp(project)).ok();
        let mut indexed: Vec<[Vec<Entry>; Kind::ALL.len()]> = vec![Default::default(); records.len()];
        for kind in Kind::ALL {
            with_row_type!(kind, R => index_rows(R::list(&state.rows), &number_of, &mut indexed));
        }
        // Projects that the new state lacks keep an empty record, since their claim counters stay too.
        let stored = self.key_value.keys()?;
        let emptied = Self::projects_in(&stored).into_iter().filter(|project| number_of(project).is_none());
        records.extend(emptied.map(ProjectRecord::new));
        let mut shared: Vec<(Agenda, Directory)> = vec![Default::default(); SLOTS];
        let mut indexed = indexed.into_iter();
        for mut record in records {
            for (kind, own) in Kind::ALL.into_iter().zip(indexed.next().unwrap_or_default()) {
                let (index, changes) = Index::build(own, self);
                *record.index_mut(kind) = index;
                for (id, page) in changes.written {
                    let key = keys::page(id);
                    let value = encode_fresh(&key, &page)?;
                    entries.push((key, value));
                }
            }
            let key = keys::project(&record.project);
            let value = encode_fresh(&key, &record)?;
            entries.push((key, value));
            let has_snapshots_of_other_projects_volumes = record.has_snapshots_of_other_projects_volumes;
            let entry = DirectoryEntry { project: record.project, has_snapshots_of_other_projects_volumes };
            shared[slot_of(&entry.project)].1.0.push(entry);
        }
        for item in &state.agenda {
            shared[slot_of(&item.project)].0.items.push(item.clone());
        }
        for (slot, (agenda, directory)) in shared.into_iter().enumerate() {
            let key = keys::agenda(slot);
            let value = encode_fresh(&key, &agenda)?;
            entries.push((key, value));
            let key = keys::directory(slot);
            let value = encode_fresh(&key, &directory)?;
            entries.push((key, value));
        }

        entries.sort_unstable_by(|(one, _), (two, _)| one.cmp(two));
        let is_written = |key: &String| entries.binary_search_by(|(own, _)| own.cmp(key)).is_ok();
        let obsolete: Vec<String> = stored.into_iter().filter(|key| is_obsolete(key) && !is_written(key)).collect();
        entries.extend(obsolete.iter().map(|key| (key.clone(), Vec::new())));
        self.key_value.set_many(&entries)?;
        if obsolete.is_empty() { Ok(()) } else { self.key_value.delete_many(&obsolete) }
    }

    /// Deletes every value that this service has stored.
    ///
    /// # Errors
    ///
    /// An error of the key-value store.
    pub fn clear(&self) -> Result<(), StoreError> {
        let keys: Vec<String> = self.key_value.keys()?.into_iter().filter(|key| is_ours(key)).collect();
        if keys.is_empty() { Ok(()) } else { self.key_value.delete_many(&keys) }
    }
}

/// Encodes rows, and appends them to the entries to write.
fn push_rows<T: Row>(rows: &[T], entries: &mut Vec<(String, Vec<u8>)>) -> Result<(), StoreError> {
    entries.reserve(rows.len());
    for row in rows {
        let key = keys::row(T::KIND, row.id());
        let bytes = encode_fresh(&key, row)?;
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
