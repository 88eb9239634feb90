//! A key-value store in memory, for tests: it counts what it is asked and fails where it is told to.
//!
//! It behaves as `SQLite` under Spin does where that matters to a caller: a swap compares bytes, and a swap of an
//! absent key is an unconditional write.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::key_value::{KeyValue, ReadToSwap, StoreError, Swap};

/// What the store was asked, since the start or the last [`MemoryKeyValue::reset_counts`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls of any kind.
    pub calls: u32,
    /// Calls that wrote.
    pub commits: u32,
}

/// A failure to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Call number `n`, counted from one, fails without effect; later calls work.
    FailBefore(u32),
    /// Call number `n` takes effect and then fails; later calls work.
    FailAfter(u32),
    /// Call number `n` and all later ones fail without effect, as if the process had died before it.
    DieBefore(u32),
    /// Call number `n` takes effect, then it and all later ones fail, as if the process had died after it.
    DieAfter(u32),
}

#[derive(Debug, Default)]
struct State {
    values: BTreeMap<String, Vec<u8>>,
    counters: BTreeMap<String, i64>,
    counts: Counts,
    fault: Option<Fault>,
}

/// The store; share it by reference.
#[derive(Debug, Default)]
pub struct MemoryKeyValue(Mutex<State>);

impl MemoryKeyValue {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What was asked since the last reset.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// Starts counting, and the numbering of faults, anew.
    pub fn reset_counts(&self) {
        self.lock().counts = Counts::default();
    }

    /// Plans a failure, or none, and starts the numbering of calls anew.
    pub fn plan(&self, fault: Option<Fault>) {
        let mut state = self.lock();
        state.fault = fault;
        state.counts = Counts::default();
    }

    /// Everything that is stored, for a test that compares two states.
    #[must_use]
    pub fn dump(&self) -> BTreeMap<String, Vec<u8>> {
        self.lock().values.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one call and does it, unless a fault is planned for it.
    fn call<T>(&self, writes: bool, effect: impl FnOnce(&mut State) -> T) -> Result<T, StoreError> {
        let mut state = self.lock();
        state.counts.calls += 1;
        state.counts.commits += u32::from(writes);
        let number = state.counts.calls;
        let failed = || StoreError::Failed(format!("planned for call {number}"));
        match state.fault {
            Some(Fault::FailBefore(n)) if n == number => Err(failed()),
            Some(Fault::DieBefore(n)) if number >= n => Err(failed()),
            Some(Fault::DieAfter(n)) if number > n => Err(failed()),
            Some(Fault::FailAfter(n) | Fault::DieAfter(n)) if n == number => {
                effect(&mut state);
                Err(failed())
            }
            _ => Ok(effect(&mut state)),
        }
    }
}

fn present(value: Option<&Vec<u8>>) -> Option<Vec<u8>> {
    value.filter(|bytes| !bytes.is_empty()).cloned()
}

impl KeyValue for MemoryKeyValue {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.call(false, |state| present(state.values.get(key)))
    }

    fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.call(false, |state| keys.iter().map(|key| present(state.values.get(key))).collect())
    }

    fn set_many(&self, entries: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
        self.call(true, |state| state.values.extend(entries.iter().cloned()))
    }

    fn delete_many(&self, keys: &[String]) -> Result<(), StoreError> {
        self.call(true, |state| {
            for key in keys {
                state.values.remove(key);
                state.counters.remove(key);
            }
        })
    }

    fn keys(&self) -> Result<Vec<String>, StoreError> {
        self.call(false, |state| state.values.keys().chain(state.counters.keys()).cloned().collect())
    }

    fn increment(&self, key: &str, delta: i64) -> Result<i64, StoreError> {
        self.call(true, |state| {
            let counter = state.counters.entry(key.to_owned()).or_default();
            *counter = counter.saturating_add(delta);
            *counter
        })
    }

    fn read_to_swap<'a>(&'a self, key: &str) -> Result<ReadToSwap<'a>, StoreError> {
        let read = self.call(false, |state| state.values.get(key).cloned())?;
        let handle = MemorySwap { store: self, key: key.to_owned(), read: read.clone() };
        Ok(ReadToSwap { value: present(read.as_ref()), handle: Box::new(handle) })
    }

    fn pause(&self, _attempt: u32) {}
}

struct MemorySwap<'a> {
    store: &'a MemoryKeyValue,
    key: String,
    read: Option<Vec<u8>>,
}

impl Swap for MemorySwap<'_> {
    fn swap(self: Box<Self>, value: &[u8]) -> Result<bool, StoreError> {
        let Self { store, key, read } = *self;
        store.call(true, |state| {
            if read.is_some() && state.values.get(&key) != read.as_ref() {
                return false;
            }
            state.values.insert(key, value.to_vec());
            true
        })
    }
}
