//! The only interface to storage: the calls that this service makes to a key-value store.
//!
//! The component's shell implements it over Spin's `wasi:keyvalue`. For tests, `tests/it/support/memory_key_value.rs`
//! implements it over a store in memory. Each method is one call of the host, so a test that counts the calls counts
//! what users pay for.

use std::fmt;

/// The reason why a call of the store failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The host refused or failed. The string is for the log, never for a client.
    #[error("the key-value store failed: {0}")]
    Failed(String),
    /// The database of the store is damaged. The string is for the log, never for a client.
    #[error("the key-value store is damaged: {0}")]
    Damaged(String),
    /// Other writers were faster at every attempt, so this write was not made. Earlier ones of the request may have been, see
    /// [`super::Notes::may_have_changed`].
    #[error("too many writers at once on '{0}'")]
    Contended(String),
    /// A create met a tick or a replacement of the state. What it wrote is gone.
    #[error("the create on '{0}' was undone")]
    Undone(String),
    /// So many other writers were faster that it is unknown whether this write landed.
    #[error("so many writers at once on '{0}' that it is unknown whether this write landed")]
    Unknown(String),
    /// A value is not one that this service writes.
    #[error("the value of '{key}' cannot be read: {reason}")]
    Corrupt { key: String, reason: String },
    /// A value was written by a newer release, and its format is unknown.
    #[error(
        "the value of '{key}' has format version {version}, newer than {known}, the newest that this release reads"
    )]
    UnknownFormat { key: String, version: u32, known: u32 },
    /// The store was written by an unreleased version.
    #[error("'{0}' was written by an unreleased version of this service; delete the store")]
    Unreleased(String),
}

/// A key-value store with single-key compare-and-swap. Each method that writes is one commit.
pub trait KeyValue {
    /// Returns the value of a key. An empty value reads as absent, so one commit of `set_many` can remove many keys.
    ///
    /// # Errors
    ///
    /// [`StoreError::Failed`] or [`StoreError::Damaged`] when the host fails. This holds for every method of this trait.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Returns the values of distinct keys, in the order of the keys. An absent value is `None`.
    #[expect(clippy::missing_errors_doc, reason = "documented on `get`")]
    fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, StoreError>;

    /// Writes many keys. On `SQLite` this is one commit, so all keys or none are written.
    #[expect(clippy::missing_errors_doc, reason = "documented on `get`")]
    fn set_many(&self, entries: &[(String, Vec<u8>)]) -> Result<(), StoreError>;

    /// Deletes many keys. Absent keys are skipped.
    #[expect(clippy::missing_errors_doc, reason = "documented on `get`")]
    fn delete_many(&self, keys: &[String]) -> Result<(), StoreError>;

    /// Returns every key of the store. The cost grows with the store, so no API request does this, except one that finds a
    /// slot of the directory lost.
    #[expect(clippy::missing_errors_doc, reason = "documented on `get`")]
    fn keys(&self) -> Result<Vec<String>, StoreError>;

    /// Adds to a counter and returns its new value. No other method ever writes that key.
    #[expect(clippy::missing_errors_doc, reason = "documented on `get`")]
    fn increment(&self, key: &str, delta: i64) -> Result<i64, StoreError>;

    /// Reads a key and remembers the value, so that [`Swap::swap`] replaces only that value.
    #[expect(clippy::missing_errors_doc, reason = "documented on `get`")]
    fn read_to_swap<'a>(&'a self, key: &str) -> Result<ReadToSwap<'a>, StoreError>;

    /// Waits before a write is retried, longer with each attempt.
    fn pause(&self, attempt: u32);
}

/// Returns the values that a backend has found, in the order of the requested keys. Backends leave out absent keys,
/// drop repeated ones, and keep no order (`docs/spec/spin.md`, "Key-value truth table").
///
/// Keys begin alike and differ at their ends, so they are sorted by their last eight bytes as a number. That is much
/// faster than comparing whole keys.
#[must_use]
pub fn in_order(keys: &[String], found: Vec<(String, Option<Vec<u8>>)>) -> Vec<Option<Vec<u8>>> {
    let ends: Vec<u64> = keys.iter().map(|key| end_of(key)).collect();
    let mut indices: Vec<usize> = (0..keys.len()).collect();
    indices.sort_unstable_by_key(|index| ends[*index]);
    let mut values = vec![None; keys.len()];
    for (key, value) in found {
        let end = end_of(&key);
        let first = indices.partition_point(|index| ends[*index] < end);
        let mut alike = indices[first..].iter().take_while(|index| ends[**index] == end);
        if let Some(index) = alike.find(|index| keys[**index] == key) {
            values[*index] = value;
        }
    }
    values
}

fn end_of(key: &str) -> u64 {
    key.as_bytes().last_chunk().map_or(0, |end| u64::from_be_bytes(*end))
}

/// A value, and the handle that replaces it if no other writer has.
pub struct ReadToSwap<'a> {
    /// The value, or `None` when it is absent.
    pub value: Option<Vec<u8>>,
    /// The handle that replaces the value.
    pub handle: Box<dyn Swap + 'a>,
}

impl fmt::Debug for ReadToSwap<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ReadToSwap").field("value", &self.value).finish_non_exhaustive()
    }
}

/// A compare-and-swap that has read its key and has not written yet.
pub trait Swap {
    /// Writes if the stored value is still the one that was read, and returns whether it was. Some backends return
    /// `false` although the write has landed (Redis in `docs/spec/spin.md`, "Key-value truth table"), so callers look
    /// for their write id before they retry.
    ///
    /// # Errors
    ///
    /// [`StoreError::Failed`] when the host fails. It is then unknown whether the write landed.
    fn swap(self: Box<Self>, value: &[u8]) -> Result<bool, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_come_in_the_order_of_the_requested_keys(
            keys in proptest::collection::hash_set("[ab]{0,3}(same-end|other-en)?[ab]{0,2}", 0..40),
            stored in proptest::collection::btree_map("[ab]{0,3}(same-end|other-en)?[ab]{0,2}", any::<Vec<u8>>(), 0..40),
            reversed: bool,
        ) {
            let keys: Vec<String> = keys.into_iter().collect();
            let expected: Vec<Option<Vec<u8>>> = keys.iter().map(|key| stored.get(key).cloned()).collect();
            let is_asked = |(key, _): &(String, Option<Vec<u8>>)| keys.contains(key);
            let mut found: Vec<_> = stored.into_iter().map(|(key, value)| (key, Some(value))).filter(is_asked).collect();
            if reversed {
                found.reverse();
            }
            prop_assert_eq!(in_order(&keys, found), expected);
        }
    }
}
