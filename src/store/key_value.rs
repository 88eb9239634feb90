//! The one door to storage: what this service asks of a key-value store.
//!
//! The shell implements it over Spin's `wasi:keyvalue`, and `tests/it/support/memory_key_value.rs` over a store in memory,
//! for tests. The words of the trait are the calls of the host, one for one, so that a test which counts them counts what
//! users pay.

use std::fmt;

/// Why the store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The host refused or failed; the text is for the log, never for a client.
    #[error("the key-value store failed: {0}")]
    Failed(String),
    /// Other writers were faster at every attempt; nothing was written.
    #[error("too many writers at once on '{0}'")]
    Contended(String),
    /// So many other writers were faster that nobody can tell whether this write was among them.
    #[error("so many wrote '{0}' at once that it is not known whether this write was done")]
    Unknown(String),
    /// A value is not what this service writes.
    #[error("the value of '{key}' cannot be read: {reason}")]
    Corrupt { key: String, reason: String },
    /// A value was written by a newer release, and is not guessed at.
    #[error("the value of '{key}' has format version {version}, newer than {known}, which this release reads")]
    UnknownFormat { key: String, version: u32, known: u32 },
    /// The store was written by an unreleased version.
    #[error("'{0}' was written by an unreleased version of this service; delete the store")]
    Unreleased(String),
}

/// A key-value store with single-key compare-and-swap. Each method but the reads is one commit.
pub trait KeyValue {
    /// The value of a key. An empty value reads as absent: that is how many keys are removed in one commit.
    ///
    /// # Errors
    ///
    /// [`StoreError::Failed`] when the host fails; likewise for every method here.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// The values of many keys, which are distinct, in the order asked for, absent ones as `None`.
    #[expect(clippy::missing_errors_doc, reason = "as for get")]
    fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, StoreError>;

    /// Writes many keys. One commit on `SQLite`, so all or nothing there.
    #[expect(clippy::missing_errors_doc, reason = "as for get")]
    fn set_many(&self, entries: &[(String, Vec<u8>)]) -> Result<(), StoreError>;

    /// Deletes many keys; absent ones are skipped.
    #[expect(clippy::missing_errors_doc, reason = "as for get")]
    fn delete_many(&self, keys: &[String]) -> Result<(), StoreError>;

    /// Every key of the store. Its cost grows with the store, so it is never on the way of an API request.
    #[expect(clippy::missing_errors_doc, reason = "as for get")]
    fn keys(&self) -> Result<Vec<String>, StoreError>;

    /// Adds to a counter, which nothing else ever writes, and returns the new value.
    #[expect(clippy::missing_errors_doc, reason = "as for get")]
    fn increment(&self, key: &str, delta: i64) -> Result<i64, StoreError>;

    /// Reads a key and remembers what was read, so that [`Swap::swap`] writes only over that.
    #[expect(clippy::missing_errors_doc, reason = "as for get")]
    fn read_to_swap<'a>(&'a self, key: &str) -> Result<ReadToSwap<'a>, StoreError>;

    /// Waits a little, longer with each attempt, before a write is tried again.
    fn pause(&self, attempt: u32);
}

/// The values that a backend has found, in the order in which their keys were asked for. Backends leave out absent keys,
/// drop repeated ones and keep no order (`design/spin-facts.md`, "Key-value truth table").
///
/// Keys begin alike and differ at their ends, so they are put in order by their last eight bytes, as a number: to compare
/// whole keys was a fifth of a list.
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

/// A value, and the right to replace it if nobody else has.
pub struct ReadToSwap<'a> {
    /// The value read; `None` when absent.
    pub value: Option<Vec<u8>>,
    /// The handle that writes over it.
    pub handle: Box<dyn Swap + 'a>,
}

impl fmt::Debug for ReadToSwap<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ReadToSwap").field("value", &self.value).finish_non_exhaustive()
    }
}

/// A compare-and-swap that has read and not yet written.
pub trait Swap {
    /// Writes if the value is still what was read; `false` when it is not. Some backends say `false` although the
    /// write has landed (`design/spin-facts.md`, Redis), so callers look for their write id before they repeat.
    ///
    /// # Errors
    ///
    /// [`StoreError::Failed`] when the host fails; whether the write landed is then unknown.
    fn swap(self: Box<Self>, value: &[u8]) -> Result<bool, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_a_backend_finds_is_put_in_the_order_asked_for(
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
