//! A store in memory that behaves like the SQLite store, for tests that need no file.
//!
//! A guest must see no difference from [`super::sqlite`]. One table of cases runs against both.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::store::{Row, Store, StoreError, Swap, poisoned};

/// A store in memory. To test a restart, share it with a second app through an [`std::sync::Arc`].
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Clone, Debug, Default)]
struct State {
    /// The values by label and key, in the order in which SQLite's index returns them.
    rows: BTreeMap<(String, String), Vec<u8>>,
    /// Whether `increment` has met a value that is not a number.
    poisoned: bool,
}

impl MemoryStore {
    /// Returns an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns a copy that changes independently, to try several continuations of one state. It counts as a new
    /// process, so it is never poisoned.
    pub fn fork(&self) -> Self {
        let rows = self.lock_as_is().rows.clone();
        Self { state: Mutex::new(State { rows, poisoned: false }) }
    }

    /// Returns all rows of one label, so that a test can compare them byte by byte.
    pub fn rows(&self, label: &str) -> BTreeMap<String, Vec<u8>> {
        self.lock_as_is()
            .rows
            .iter()
            .filter(|((row_label, _), _)| row_label == label)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect()
    }

    fn lock(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.lock_as_is();
        if state.poisoned { Err(poisoned()) } else { Ok(state) }
    }

    /// Locks the state even if it is poisoned. No code panics while it holds the lock, so the rows are valid.
    fn lock_as_is(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn row(label: &str, key: &str) -> (String, String) {
    (label.to_owned(), key.to_owned())
}

impl Store for MemoryStore {
    fn get(&self, label: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.lock()?.rows.get(&row(label, key)).cloned())
    }

    fn get_keys(&self, label: &str) -> Result<Vec<String>, StoreError> {
        let state = self.lock()?;
        let of_label = state.rows.keys().filter(|(row_label, _)| row_label == label);
        Ok(of_label.map(|(_, key)| key.clone()).collect())
    }

    fn get_many(&self, label: &str, keys: &[String]) -> Result<Vec<Row>, StoreError> {
        let state = self.lock()?;
        let distinct: BTreeSet<&String> = keys.iter().collect();
        Ok(distinct
            .into_iter()
            .filter_map(|key| Some((key.clone(), Some(state.rows.get(&row(label, key))?.clone()))))
            .collect())
    }

    fn set(&self, label: &str, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.lock()?.rows.insert(row(label, key), value.to_vec());
        Ok(())
    }

    fn set_many(&self, label: &str, rows: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
        let mut state = self.lock()?;
        for (key, value) in rows {
            state.rows.insert(row(label, key), value.clone());
        }
        Ok(())
    }

    fn delete(&self, label: &str, key: &str) -> Result<(), StoreError> {
        self.lock()?.rows.remove(&row(label, key));
        Ok(())
    }

    fn delete_many(&self, label: &str, keys: &[String]) -> Result<(), StoreError> {
        let mut state = self.lock()?;
        for key in keys {
            state.rows.remove(&row(label, key));
        }
        Ok(())
    }

    fn increment(&self, label: &str, key: &str, delta: i64) -> Result<i64, StoreError> {
        let mut state = self.lock()?;
        let number = match state.rows.get(&row(label, key)) {
            None => 0,
            Some(value) => match <[u8; 8]>::try_from(value.as_slice()) {
                Ok(bytes) => i64::from_le_bytes(bytes),
                Err(_) => {
                    state.poisoned = true;
                    return Err(poisoned());
                }
            },
        };
        let sum = number.wrapping_add(delta);
        state.rows.insert(row(label, key), sum.to_le_bytes().to_vec());
        Ok(sum)
    }

    fn swap(&self, label: &str, key: &str, seen: Option<&[u8]>, value: &[u8]) -> Result<Swap, StoreError> {
        let mut state = self.lock()?;
        let row = row(label, key);
        if seen.is_some() && state.rows.get(&row).map(Vec::as_slice) != seen {
            return Ok(Swap::Refused);
        }
        state.rows.insert(row, value.to_vec());
        Ok(Swap::Done)
    }
}
