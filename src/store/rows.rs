//! Rows of every resource: read, update, and remove. `creation` creates them.
//!
//! Nothing tells a reader how large a value is before it has it. So work on many rows asks [`rows_at_once`] how many it may
//! read with one call (`docs/adr/0019-bounds.md`).

use uuid::Uuid;

use crate::domain::ProjectId;
use crate::domain::trees::set_of;

use super::Store;
use super::agenda::{AgendaItem, Purpose, by_project};
use super::codec::envelope::{decode_optional, encode_fresh};
use super::compare_and_swap::Change;
use super::index::Position;
use super::key_value::StoreError;
use super::keys;
use super::projects::ProjectRecord;
use super::row::Kind;
use super::row::Row;
use super::unreadable::StoredRow;

/// The rows that one call reads.
pub const ROWS_AT_ONCE: usize = 1_000;

/// The rows that one call reads where some may be large. With the largest metadata that the default settings allow, they
/// have 8 MiB.
pub const LARGE_ROWS_AT_ONCE: usize = 32;

/// The records that one call reads to find out whether rows may be large.
const PROJECTS_AT_ONCE: usize = 1_000;

/// Returns the number of rows of these projects that one call may read.
#[must_use]
pub fn rows_at_once<'a>(records: impl IntoIterator<Item = &'a ProjectRecord>) -> usize {
    let may_be_large = records.into_iter().any(|record| record.has_large_rows);
    if may_be_large { LARGE_ROWS_AT_ONCE } else { ROWS_AT_ONCE }
}

impl Store<'_> {
    /// Returns the number of rows of these projects that one call may read, as their records say. A record that cannot be
    /// read may be of a project with large rows.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn rows_of_projects_at_once(&self, projects: &[ProjectId]) -> Result<usize, StoreError> {
        for projects in projects.chunks(PROJECTS_AT_ONCE) {
            for record in self.read_records(projects)? {
                let Ok(record) = record else { return Ok(LARGE_ROWS_AT_ONCE) };
                if rows_at_once(&record) < ROWS_AT_ONCE {
                    return Ok(LARGE_ROWS_AT_ONCE);
                }
            }
        }
        Ok(ROWS_AT_ONCE)
    }

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
    ///
    /// A tick may have removed some of the rows since they were read, and this brings them back. A row that has no entry any
    /// more is deleted again. If its entry is removed after that look, the tick sees the row before it forgets the item.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn overwrite<T: Row>(&self, rows: &[T]) -> Result<(), StoreError> {
        let mut entries = Vec::with_capacity(rows.len());
        for row in rows {
            let key = keys::row(T::KIND, row.id());
            let bytes = encode_fresh(&key, row)?;
            entries.push((key, bytes));
        }
        if entries.is_empty() {
            return Ok(());
        }
        self.set_many(&entries)?;
        self.delete_unlisted(rows.iter().map(AgendaItem::when_due).collect())
    }

    /// Returns those of some items of removed rows whose rows are still gone. A delete of a volume that was merely slow may have
    /// written a row of a snapshot again, see [`Store::overwrite`]. The items of such rows must stay on the agenda.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn still_gone(&self, mut items: Vec<AgendaItem>) -> Result<Vec<AgendaItem>, StoreError> {
        let with_volume = items.iter().filter(|item| item.purpose == Purpose::Volume);
        let keys: Vec<String> = with_volume.map(|item| keys::row(item.kind, item.id)).collect();
        if !keys.is_empty() {
            let mut rows = self.key_value.get_many(&keys)?.into_iter();
            items.retain(|item| item.purpose != Purpose::Volume || rows.next().flatten().is_none());
        }
        Ok(items)
    }

    /// Deletes those of some rows that no record lists. A row is listed before it is written, and deleted before its entry is
    /// removed, so a row that is not listed by a record that was read after it is waste. Where the record cannot be read, the
    /// rows stay.
    pub(super) fn delete_unlisted(&self, items: Vec<AgendaItem>) -> Result<(), StoreError> {
        for (project, items) in by_project(items) {
            let listed = self.listed_now(&project, &items);
            let Some(listed) = self.without_unreadable(listed)? else { continue };
            let listed = set_of(listed.iter().map(AgendaItem::row));
            let unlisted = items.iter().filter(|item| !listed.contains(&item.row()));
            let keys: Vec<String> = unlisted.map(|item| keys::row(item.kind, item.id)).collect();
            if !keys.is_empty() {
                self.delete_many(&keys)?;
            }
        }
        Ok(())
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
        self.delete_many(&keys)?;
        self.remove_entries(project, items, snapshots_count_gigabytes)
    }

    /// Takes rows of one project that are gone out of their indexes, and gives back their quota. Each attempt reads the rows
    /// after the record, because a replacement of the state may have brought some of them back. These keep their entries.
    /// Returns whether [`Store::compact`] should rewrite pages.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn remove_entries(
        &self,
        project: &ProjectId,
        items: &[AgendaItem],
        snapshots_count_gigabytes: bool,
    ) -> Result<bool, StoreError> {
        let keys: Vec<String> = items.iter().map(|item| keys::row(item.kind, item.id)).collect();
        self.change_project(project, |record, writes| {
            let are_stored = self.are_stored(record, &keys)?;
            let gone: Vec<&AgendaItem> =
                items.iter().zip(are_stored).filter_map(|(item, is_stored)| (!is_stored).then_some(item)).collect();
            for kind in Kind::ALL {
                let of_kind = || gone.iter().filter(|item| item.kind == kind);
                let positions: Vec<Position> = of_kind().map(|item| item.position()).collect();
                let removed = record.index_mut(kind).remove(&positions, &mut writes.pages, writes.source)?;
                let removed = set_of(removed);
                for item in of_kind().filter(|item| removed.contains(&item.position())) {
                    let mut item = (*item).clone();
                    if let Some(reservation) = record.reservations.remove(&item.id) {
                        item.size = reservation.extension.from;
                    }
                    record.give_back(&item.amounts(snapshots_count_gigabytes));
                }
            }
            Ok(record.is_sparse())
        })
    }

    /// Returns for each key of a row of a project whether it has a value.
    pub(super) fn are_stored(&self, record: &ProjectRecord, keys: &[String]) -> Result<Vec<bool>, StoreError> {
        let mut stored = Vec::with_capacity(keys.len());
        for keys in keys.chunks(rows_at_once([record])) {
            stored.extend(self.key_value.get_many(keys)?.iter().map(Option::is_some));
        }
        Ok(stored)
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
