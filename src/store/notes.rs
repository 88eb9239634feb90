//! The notes that the store takes for one request, or for one run of the scheduled step.

use std::cell::Cell;

use super::Store;
use super::key_value::StoreError;
use super::keys;
use super::unreadable::UnreadableLog;

/// What the caller of the store must know at the end, whatever the result was.
#[derive(Debug, Default)]
pub struct Notes {
    /// The stored values that could not be read.
    pub unreadable: UnreadableLog,
    /// Whether a write may have changed what others see.
    pub(super) has_changed: Cell<bool>,
}

impl Notes {
    /// Returns whether a row, a record, or the deployment may have changed. An error that follows does not mean that nothing
    /// was done.
    #[must_use]
    pub const fn may_have_changed(&self) -> bool {
        self.has_changed.get()
    }
}

impl Store<'_> {
    /// Notes that a value may have been written.
    pub(super) fn note_write(&self, key: &str) {
        if keys::is_of_state(key) {
            self.has_changed.set(true);
        }
    }

    /// Writes many keys, and notes it.
    pub(super) fn set_many(&self, entries: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
        for (key, _) in entries {
            self.note_write(key);
        }
        self.key_value.set_many(entries)
    }

    /// Deletes many keys, and notes it.
    pub(super) fn delete_many(&self, keys: &[String]) -> Result<(), StoreError> {
        for key in keys {
            self.note_write(key);
        }
        self.key_value.delete_many(keys)
    }
}
