//! Values that cannot be read: cut short, replaced by junk, or written by a newer release.
//!
//! An unreadable value is not a missing one. It may become readable again, for instance when a newer release returns, so
//! nothing may drop what refers to it. Work that meets such a value among others goes on without it, and notes it here,
//! for the log and for the operator. The decision, value by value, is `docs/adr/0015-one-bad-value.md`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::Store;
use super::agenda::Agenda;
use super::directory::Directory;
use super::key_value::StoreError;
use super::keys;
use super::row::{Kind, Row, with_row_type};

/// The values that one log names. A store that a newer release wrote may have any number of them.
const LOGGED: usize = 10;

/// A row as it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredRow<T> {
    /// It exists and can be read.
    Readable(T),
    /// It does not exist.
    Gone,
    /// It exists, but cannot be read. Its key was noted.
    Unreadable,
}

impl<T> StoredRow<T> {
    /// Returns the row if it can be read.
    pub fn readable(self) -> Option<T> {
        match self {
            Self::Readable(row) => Some(row),
            Self::Gone | Self::Unreadable => None,
        }
    }
}

/// The result of [`Store::remove_unreadable`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    Removed,
    /// There is no such value.
    Absent,
    /// The value can be read, so it stays.
    Readable,
    /// The value is not a row. Other values are repaired and not removed.
    NotARow,
}

/// A value that cannot be read, and the reason.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unreadable {
    pub key: String,
    pub reason: String,
}

/// The unreadable values that one request or one run of the scheduled step went on without, each of them once.
#[derive(Debug, Default)]
pub struct UnreadableLog(RefCell<BTreeMap<String, String>>);

impl UnreadableLog {
    fn note(&self, Unreadable { key, reason }: Unreadable) {
        self.0.borrow_mut().entry(key).or_insert(reason);
    }

    /// Returns the values, sorted by key.
    #[must_use]
    pub fn values(&self) -> Vec<Unreadable> {
        let values = self.0.borrow();
        values.iter().map(|(key, reason)| Unreadable { key: key.clone(), reason: reason.clone() }).collect()
    }

    /// Returns the lines for the log: one for each value, up to a bound, and then one with the number of the others.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let values = self.0.borrow();
        let named = values.iter().take(LOGGED);
        let mut lines: Vec<String> =
            named.map(|(key, reason)| format!("went on without the value of '{key}': {reason}")).collect();
        if values.len() > LOGGED {
            lines.push(format!("went on without {} more values that cannot be read", values.len() - LOGGED));
        }
        lines
    }
}

impl StoreError {
    /// Returns the value that caused the error, if it is a value that cannot be read, and otherwise the error.
    pub(super) fn unreadable(self) -> Result<Unreadable, Self> {
        match self {
            Self::Corrupt { key, reason } => Ok(Unreadable { key, reason }),
            Self::UnknownFormat { key, version, known } => {
                let reason = format!("it has format version {version}, newer than {known}, the newest known");
                Ok(Unreadable { key, reason })
            }
            error => Err(error),
        }
    }
}

impl Store<'_> {
    /// Returns the result of reading a value among others: `None` if it cannot be read, which is noted.
    ///
    /// # Errors
    ///
    /// Any error but an unreadable value.
    pub fn without_unreadable<T>(&self, read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
        match read {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                let unreadable = error.unreadable()?;
                if let Some(log) = self.unreadable {
                    log.note(unreadable);
                }
                Ok(None)
            }
        }
    }

    /// Returns the values that were noted so far, sorted by key.
    #[must_use]
    pub fn noted(&self) -> Vec<Unreadable> {
        self.unreadable.map(UnreadableLog::values).unwrap_or_default()
    }

    /// Notes the rows of a kind that cannot be read, besides the `known` ones. `stored` has the keys of the store. Reads
    /// `at_once` rows with a call.
    ///
    /// # Errors
    ///
    /// Errors of the key-value store.
    pub fn note_unlisted<T: Row>(
        &self,
        stored: &[String],
        known: &BTreeSet<Uuid>,
        at_once: usize,
    ) -> Result<(), StoreError> {
        let ids = stored.iter().filter_map(|key| Uuid::try_parse(key.strip_prefix(T::KEY_PREFIX)?).ok());
        let ids: Vec<Uuid> = ids.filter(|id| !known.contains(id)).collect();
        for ids in ids.chunks(at_once) {
            self.rows::<T>(ids)?;
        }
        Ok(())
    }

    /// Notes the slots that cannot be read.
    ///
    /// # Errors
    ///
    /// Errors of the key-value store.
    pub fn note_slots(&self) -> Result<(), StoreError> {
        for agenda in self.read_slots::<Agenda>()? {
            self.without_unreadable(agenda)?;
        }
        for directory in self.read_slots::<Directory>()? {
            self.without_unreadable(directory)?;
        }
        Ok(())
    }

    /// Removes the value of a key if it is a row that cannot be read. Its index still has its entry then.
    ///
    /// # Errors
    ///
    /// Errors of the key-value store.
    pub fn remove_unreadable(&self, key: &str) -> Result<Removal, StoreError> {
        let of_kind = |kind: Kind| Some((kind, Uuid::try_parse(key.strip_prefix(kind.key_prefix())?).ok()?));
        let row = Kind::ALL.into_iter().find_map(of_kind).filter(|(kind, id)| keys::row(*kind, *id) == key);
        let Some((kind, id)) = row else {
            let is_ours = key.starts_with(keys::PREFIX) && self.key_value.get(key)?.is_some();
            return Ok(if is_ours { Removal::NotARow } else { Removal::Absent });
        };
        let found = with_row_type!(kind, R => match self.rows::<R>(&[id])?.pop() {
            Some(StoredRow::Readable(_)) => Removal::Readable,
            Some(StoredRow::Unreadable) => Removal::Removed,
            Some(StoredRow::Gone) | None => Removal::Absent,
        });
        if found == Removal::Removed {
            self.delete_many(&[key.to_owned()])?;
        }
        Ok(found)
    }

    /// Returns the store for reads that are repeated so often that the log would be flooded. It notes nothing.
    #[must_use]
    pub const fn silent(self) -> Self {
        Self { unreadable: None, ..self }
    }
}
