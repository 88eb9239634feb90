//! Rows of every resource: read, create, update, and remove.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::domain::ProjectId;
use crate::domain::quota::Amounts;

use super::Store;
use super::agenda::AgendaItem;
use super::codec::envelope::{decode_optional, encode_fresh};
use super::compare_and_swap::Change;
use super::index::{Entry, Position};
use super::key_value::StoreError;
use super::keys;
use super::projects::{ProjectRecord, UpdateError};
use super::row::Kind;
use super::row::Row;
use super::unreadable::StoredRow;

impl Store<'_> {
    /// Returns a row. It is an error if it cannot be read.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn row<T: Row>(&self, id: T::Id) -> Result<Option<T>, StoreError> {
        let id = id.into();
        let key = keys::row(T::KIND, id);
        decode_row(&key, id, self.key_value.get(&key)?)
    }

    /// Returns rows, in the order of the given ids. A row that cannot be read is noted.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn rows<T: Row>(&self, ids: &[Uuid]) -> Result<Vec<StoredRow<T>>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<String> = ids.iter().map(|id| keys::row(T::KIND, *id)).collect();
        let mut rows = Vec::with_capacity(ids.len());
        for ((key, id), value) in keys.iter().zip(ids).zip(self.key_value.get_many(&keys)?) {
            rows.push(match self.without_unreadable(decode_row(key, *id, value))? {
                Some(Some(row)) => StoredRow::Readable(row),
                Some(None) => StoredRow::Gone,
                None => StoredRow::Unreadable,
            });
        }
        Ok(rows)
    }

    /// Writes a new row, indexes it in its project, and counts it, if `admit` accepts it given the project's record.
    ///
    /// # Errors
    ///
    /// The error of `admit`, or [`StoreError::Contended`]. The row does not exist then. After a failure of the host the
    /// row may exist or not, as after any lost answer.
    pub fn create<T: Row, E: From<StoreError>>(
        &self,
        row: &T,
        amounts: &Amounts,
        of_other_projects_volume: bool,
        mut admit: impl FnMut(&ProjectRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        let key = keys::row(T::KIND, row.id());
        let bytes = encode_fresh(&key, row)?;
        let creation = Creation {
            project: row.project_id(),
            row: (key, bytes),
            kind: T::KIND,
            entry: row.entry(),
            amounts,
            of_other_projects_volume,
            is_large: row.is_large(),
        };
        self.create_encoded(creation, &mut admit)
    }

    fn create_encoded<E: From<StoreError>>(
        &self,
        creation: Creation<'_>,
        admit: &mut dyn FnMut(&ProjectRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        let Creation { project, row, kind, entry, amounts, of_other_projects_volume, is_large } = creation;
        let key = row.0.clone();
        let mut unwritten = Some(row);
        let outcome = self.update_project(project, |record, writes| {
            // A repair that found the row before the record was written has indexed and counted it.
            let is_new = record.index_mut(kind).insert(entry, &mut writes.pages, writes.source)?;
            if is_new {
                admit(record)?;
                record.take(amounts);
            }
            record.has_large_rows |= is_large;
            if of_other_projects_volume && !record.has_snapshots_of_other_projects_volumes {
                // A request that deletes a volume must find this project before the project has such a snapshot.
                self.enter(project, true)?;
                record.has_snapshots_of_other_projects_volumes = true;
            }
            // The row is written with the pages of the first attempt.
            writes.rows.extend(unwritten.take());
            Ok::<_, E>(())
        });
        let error = match outcome {
            Ok(()) => return Ok(()),
            Err(UpdateError::Refused(refusal)) => refusal,
            // After `Contended` the record was not written, so the row is deleted. After any other error it is unknown
            // whether the record was written, so the row stays.
            Err(UpdateError::Store(error @ StoreError::Contended(_))) => error.into(),
            Err(UpdateError::Store(error)) => return Err(error.into()),
        };
        if unwritten.is_none() {
            self.key_value.delete_many(&[key])?;
        }
        Err(error)
    }

    /// Changes a row. `change` gets the stored row, and gets it again for each attempt.
    ///
    /// # Errors
    ///
    /// The error of `change`, [`StoreError::Contended`] when other writers were faster at every attempt, or an error of
    /// the key-value store.
    pub fn update<T: Row, R, E: From<StoreError>>(
        &self,
        id: T::Id,
        mut change: impl FnMut(Option<T>) -> Result<Change<T, R>, E>,
    ) -> Result<R, E> {
        let id = id.into();
        let key = keys::row(T::KIND, id);
        self.replace(&key, |row: Option<T>| {
            row.as_ref().map_or(Ok(()), |row| check_id(&key, id, row))?;
            change(row)
        })
    }

    /// Writes rows that are about to be removed with their volume, in one commit, over any changes made to them
    /// meanwhile. A writer that changes one by compare-and-swap sees the new value and decides again.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn overwrite<T: Row>(&self, rows: &[T]) -> Result<(), StoreError> {
        let mut entries = Vec::with_capacity(rows.len());
        for row in rows {
            let key = keys::row(T::KIND, row.id());
            let bytes = encode_fresh(&key, row)?;
            entries.push((key, bytes));
        }
        if entries.is_empty() { Ok(()) } else { self.key_value.set_many(&entries) }
    }

    /// Removes rows of one project: deletes them, takes them out of their indexes, and gives back their quota. Two
    /// commits. This is safe to repeat, and safe when two callers do it at once. The items stay on the agenda. Returns
    /// whether [`Store::compact`] should rewrite pages.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn remove(
        &self,
        project: &ProjectId,
        items: &[AgendaItem],
        snapshots_count_gigabytes: bool,
    ) -> Result<bool, StoreError> {
        let keys: Vec<String> = items.iter().map(|item| keys::row(item.kind, item.id)).collect();
        self.key_value.delete_many(&keys)?;
        self.change_project(project, |record, writes| {
            for kind in Kind::ALL {
                let of_kind = || items.iter().filter(|item| item.kind == kind);
                let positions: Vec<Position> = of_kind().map(AgendaItem::position).collect();
                let removed = record.index_mut(kind).remove(&positions, &mut writes.pages, writes.source)?;
                let removed: BTreeSet<Position> = removed.into_iter().collect();
                for item in of_kind().filter(|item| removed.contains(&item.position())) {
                    record.give_back(&item.amounts(snapshots_count_gigabytes));
                }
            }
            Ok(record.is_sparse())
        })
    }
}

/// Decodes the row with an id.
pub(super) fn decode_row<T: Row>(key: &str, id: Uuid, stored: Option<Vec<u8>>) -> Result<Option<T>, StoreError> {
    let row = decode_optional(key, stored)?;
    if let Some(row) = &row {
        check_id(key, id, row)?;
    }
    Ok(row)
}

/// Refuses the row of another id.
fn check_id<T: Row>(key: &str, id: Uuid, row: &T) -> Result<(), StoreError> {
    if row.id() == id {
        return Ok(());
    }
    Err(StoreError::Corrupt { key: key.to_owned(), reason: format!("it is the row of {}", row.id()) })
}

/// A row that is to be written, indexed, and counted.
struct Creation<'a> {
    project: &'a ProjectId,
    row: (String, Vec<u8>),
    kind: Kind,
    entry: Entry,
    amounts: &'a Amounts,
    of_other_projects_volume: bool,
    is_large: bool,
}
