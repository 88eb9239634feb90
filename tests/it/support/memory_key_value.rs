//! The core's key-value store on the host's store in memory, so that native tests count calls and plan faults in the same
//! words as tests of the component.
//!
//! It makes one call of the host's store for each call of [`KeyValue`], reads an empty value as an absent one, and
//! never waits. The end of an invocation is an error here: the core continues where a component would be gone.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use volume_snapshots::store::key_value::{ReadToSwap, Swap, in_order};
use volume_snapshots::store::{KeyValue, StoreError};
use volume_snapshots_host::{self as host, MemoryStore, Store};

use super::faults::Faults;

/// The label of the one store.
const LABEL: &str = "default";

/// A store in memory. Share it by reference, or clone it for another thread.
#[derive(Clone)]
pub struct MemoryKeyValue {
    memory: Arc<MemoryStore>,
    /// Counts the calls of the core, and fails them where a test plans it.
    pub faults: Faults,
}

impl Default for MemoryKeyValue {
    fn default() -> Self {
        let memory = Arc::new(MemoryStore::new());
        Self { faults: Faults::new(memory.clone()), memory }
    }
}

impl fmt::Debug for MemoryKeyValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MemoryKeyValue").field("memory", &self.memory).finish_non_exhaustive()
    }
}

impl MemoryKeyValue {
    /// Returns all rows, for a test that compares two states. This is not a call.
    pub fn dump(&self) -> BTreeMap<String, Vec<u8>> {
        self.memory.rows(LABEL)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn failed(error: host::StoreError) -> StoreError {
    StoreError::Failed(error.to_string())
}

fn present(value: Option<Vec<u8>>) -> Option<Vec<u8>> {
    value.filter(|bytes| !bytes.is_empty())
}

impl KeyValue for MemoryKeyValue {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.faults.get(LABEL, key).map(present).map_err(failed)
    }

    fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let found = self.faults.get_many(LABEL, keys).map_err(failed)?;
        Ok(in_order(keys, found).into_iter().map(present).collect())
    }

    fn set_many(&self, entries: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
        self.faults.set_many(LABEL, entries).map_err(failed)
    }

    fn delete_many(&self, keys: &[String]) -> Result<(), StoreError> {
        self.faults.delete_many(LABEL, keys).map_err(failed)
    }

    fn keys(&self) -> Result<Vec<String>, StoreError> {
        self.faults.get_keys(LABEL).map_err(failed)
    }

    fn increment(&self, key: &str, delta: i64) -> Result<i64, StoreError> {
        self.faults.increment(LABEL, key, delta).map_err(failed)
    }

    fn read_to_swap<'a>(&'a self, key: &str) -> Result<ReadToSwap<'a>, StoreError> {
        let seen = self.faults.current(LABEL, key).map_err(failed)?;
        let handle = MemorySwap { store: self, key: key.to_owned(), seen: seen.clone() };
        Ok(ReadToSwap { value: present(seen), handle: Box::new(handle) })
    }

    fn pause(&self, _attempt: u32) {}
}

/// A compare-and-swap that has read. The swap of an absent key writes without comparing, as Spin's SQLite store does.
struct MemorySwap<'a> {
    store: &'a MemoryKeyValue,
    key: String,
    seen: Option<Vec<u8>>,
}

impl Swap for MemorySwap<'_> {
    fn swap(self: Box<Self>, value: &[u8]) -> Result<bool, StoreError> {
        let swap = self.store.faults.swap(LABEL, &self.key, self.seen.as_deref(), value);
        swap.map(|swap| swap == host::Swap::Done).map_err(failed)
    }
}
