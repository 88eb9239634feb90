//! The two key-value interfaces that a guest may import, `fermyon:spin/key-value@2.0.0` and
//! `wasi:keyvalue@0.2.0-draft2`, on one [`Store`]: the labels that may be opened, the limits of handles, and the
//! messages of errors.
//!
//! It must not know how a store keeps its rows. The limits and messages are copied from Spin, odd ones included,
//! because a guest may depend on them.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use wasmtime::component::{Resource, ResourceTable};

use super::store::{Row, Store, StoreError, Swap};
use crate::bindings::fermyon::spin::key_value as spin;
use crate::bindings::wasi::keyvalue::{atomics, batch, store};

/// The number of stores that one invocation may hold open, and also the number of compare-and-swaps.
const TABLE_CAPACITY: usize = 256;

/// The size of the largest result that Spin's host buffers for a guest.
const RESULT_LIMIT: usize = 128 << 20;

/// A store that a guest opened.
pub struct OpenStore {
    label: String,
}

/// A compare-and-swap that a guest has started.
pub struct OpenSwap {
    /// The handle of its store, because Spin reads from that store again when a swap is refused.
    store: u32,
    label: String,
    key: String,
    /// The last value that `current` returned.
    seen: Option<Vec<u8>>,
}

/// The reason why a compare-and-swap failed.
#[derive(Debug)]
pub enum SwapError {
    /// The store failed.
    Store(StoreError),
    /// The value had changed. The handle is that of a new compare-and-swap, which starts from the present value.
    Refused(Resource<OpenSwap>),
}

impl fmt::Display for SwapError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(formatter),
            Self::Refused(_) => formatter.write_str("the value has changed"),
        }
    }
}

impl std::error::Error for SwapError {}

impl From<StoreError> for SwapError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The key-value state of one invocation.
pub(crate) struct KeyValue {
    store: Arc<dyn Store>,
    allowed_labels: Arc<BTreeSet<String>>,
    table: ResourceTable,
    open_stores: usize,
    open_swaps: usize,
}

impl KeyValue {
    /// Returns the state of a guest that has opened nothing yet and may open the stores of `allowed_labels`.
    pub(crate) fn new(store: Arc<dyn Store>, allowed_labels: Arc<BTreeSet<String>>) -> Self {
        Self { store, allowed_labels, table: ResourceTable::new(), open_stores: 0, open_swaps: 0 }
    }

    fn open_store(&mut self, label: String) -> Result<Resource<OpenStore>, StoreError> {
        if !self.allowed_labels.contains(&label) {
            return Err(StoreError::AccessDenied);
        }
        if self.open_stores >= TABLE_CAPACITY {
            return Err(StoreError::StoreTableFull);
        }
        let handle = self.table.push(OpenStore { label }).map_err(|_| StoreError::StoreTableFull)?;
        self.open_stores += 1;
        Ok(handle)
    }

    fn close_store(&mut self, handle: Resource<OpenStore>) {
        if self.table.delete(handle).is_ok() {
            self.open_stores -= 1;
        }
    }

    fn label(&self, handle: &Resource<OpenStore>) -> Result<&str, StoreError> {
        let open = self.table.get(handle).map_err(|_| StoreError::NoSuchStore)?;
        Ok(&open.label)
    }

    fn read(&self, handle: &Resource<OpenStore>, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        limited(self.store.get(self.label(handle)?, key)?)
    }

    fn read_keys(&self, handle: &Resource<OpenStore>) -> Result<Vec<String>, StoreError> {
        let keys = self.store.get_keys(self.label(handle)?)?;
        let bytes: usize = keys.iter().map(|key| size_of::<String>() + key.len()).sum();
        check_size(size_of::<Vec<String>>() + bytes)?;
        Ok(keys)
    }

    fn open_swap(&mut self, store: Resource<OpenStore>, key: String) -> Result<Resource<OpenSwap>, StoreError> {
        let label = self.label(&store)?.to_owned();
        let full = || StoreError::Other("too many compare_and_swaps opened".to_owned());
        if self.open_swaps >= TABLE_CAPACITY {
            return Err(full());
        }
        let swap = OpenSwap { store: store.rep(), label, key, seen: None };
        let handle = self.table.push(swap).map_err(|_| full())?;
        self.open_swaps += 1;
        Ok(handle)
    }

    fn begun(&mut self, handle: &Resource<OpenSwap>) -> Result<&mut OpenSwap, StoreError> {
        self.table.get_mut(handle).map_err(|_| StoreError::Other("compare and swap not found".to_owned()))
    }

    fn read_for_swap(&mut self, handle: &Resource<OpenSwap>) -> Result<Option<Vec<u8>>, StoreError> {
        let store = self.store.clone();
        let begun = self.begun(handle)?;
        begun.seen = store.current(&begun.label, &begun.key)?;
        limited(begun.seen.clone())
    }
}

fn limited(value: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, StoreError> {
    check_size(size_of::<Option<Vec<u8>>>() + value.as_ref().map_or(0, Vec::len))?;
    Ok(value)
}

fn check_size(bytes: usize) -> Result<(), StoreError> {
    if bytes > RESULT_LIMIT {
        return Err(StoreError::Other(format!("query result exceeds limit of {RESULT_LIMIT} bytes")));
    }
    Ok(())
}

impl spin::Host for KeyValue {
    fn convert_error(&mut self, error: StoreError) -> wasmtime::Result<spin::Error> {
        Ok(match error {
            StoreError::StoreTableFull => spin::Error::StoreTableFull,
            StoreError::NoSuchStore => spin::Error::NoSuchStore,
            StoreError::AccessDenied => spin::Error::AccessDenied,
            StoreError::Other(text) => spin::Error::Other(text),
            StoreError::InvocationEnds(_) => return Err(error.into()),
        })
    }
}

impl spin::HostStore for KeyValue {
    fn open(&mut self, label: String) -> Result<Resource<OpenStore>, StoreError> {
        self.open_store(label)
    }

    fn get(&mut self, handle: Resource<OpenStore>, key: String) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(&handle, &key)
    }

    fn set(&mut self, handle: Resource<OpenStore>, key: String, value: Vec<u8>) -> Result<(), StoreError> {
        self.store.set(self.label(&handle)?, &key, &value)
    }

    fn delete(&mut self, handle: Resource<OpenStore>, key: String) -> Result<(), StoreError> {
        self.store.delete(self.label(&handle)?, &key)
    }

    fn exists(&mut self, handle: Resource<OpenStore>, key: String) -> Result<bool, StoreError> {
        self.store.exists(self.label(&handle)?, &key)
    }

    fn get_keys(&mut self, handle: Resource<OpenStore>) -> Result<Vec<String>, StoreError> {
        self.read_keys(&handle)
    }

    fn drop(&mut self, handle: Resource<OpenStore>) -> wasmtime::Result<()> {
        self.close_store(handle);
        Ok(())
    }
}

fn wasi_error(error: StoreError) -> wasmtime::Result<store::Error> {
    Ok(match error {
        // The WIT of `wasi:keyvalue` has no case for it.
        StoreError::StoreTableFull => store::Error::Other(error.to_string()),
        StoreError::NoSuchStore => store::Error::NoSuchStore,
        StoreError::AccessDenied => store::Error::AccessDenied,
        StoreError::Other(text) => store::Error::Other(text),
        StoreError::InvocationEnds(_) => return Err(error.into()),
    })
}

impl store::Host for KeyValue {
    fn open(&mut self, label: String) -> Result<Resource<OpenStore>, StoreError> {
        self.open_store(label)
    }

    fn convert_error(&mut self, error: StoreError) -> wasmtime::Result<store::Error> {
        wasi_error(error)
    }
}

impl store::HostBucket for KeyValue {
    fn get(&mut self, handle: Resource<OpenStore>, key: String) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(&handle, &key)
    }

    fn set(&mut self, handle: Resource<OpenStore>, key: String, value: Vec<u8>) -> Result<(), StoreError> {
        self.store.set(self.label(&handle)?, &key, &value)
    }

    fn delete(&mut self, handle: Resource<OpenStore>, key: String) -> Result<(), StoreError> {
        self.store.delete(self.label(&handle)?, &key)
    }

    fn exists(&mut self, handle: Resource<OpenStore>, key: String) -> Result<bool, StoreError> {
        self.store.exists(self.label(&handle)?, &key)
    }

    fn list_keys(
        &mut self,
        handle: Resource<OpenStore>,
        cursor: Option<String>,
    ) -> Result<store::KeyResponse, StoreError> {
        if cursor.is_some() {
            return Err(StoreError::Other("list_keys: cursor not supported".to_owned()));
        }
        Ok(store::KeyResponse { keys: self.read_keys(&handle)?, cursor: None })
    }

    fn drop(&mut self, handle: Resource<OpenStore>) -> wasmtime::Result<()> {
        self.close_store(handle);
        Ok(())
    }
}

impl batch::Host for KeyValue {
    fn get_many(&mut self, handle: Resource<OpenStore>, keys: Vec<String>) -> Result<Vec<Row>, StoreError> {
        let label = self.label(&handle)?;
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.store.get_many(label, &keys)?;
        let row_size = |(key, value): &Row| size_of::<Row>() + key.len() + value.as_ref().map_or(0, Vec::len);
        check_size(size_of::<Vec<String>>() + rows.iter().map(row_size).sum::<usize>())?;
        Ok(rows)
    }

    fn set_many(&mut self, handle: Resource<OpenStore>, rows: Vec<(String, Vec<u8>)>) -> Result<(), StoreError> {
        let label = self.label(&handle)?;
        if rows.is_empty() {
            return Ok(());
        }
        self.store.set_many(label, &rows)
    }

    fn delete_many(&mut self, handle: Resource<OpenStore>, keys: Vec<String>) -> Result<(), StoreError> {
        let label = self.label(&handle)?;
        if keys.is_empty() {
            return Ok(());
        }
        self.store.delete_many(label, &keys)
    }
}

impl atomics::Host for KeyValue {
    fn increment(&mut self, handle: Resource<OpenStore>, key: String, delta: i64) -> Result<i64, StoreError> {
        self.store.increment(self.label(&handle)?, &key, delta)
    }

    fn swap(&mut self, handle: Resource<OpenSwap>, value: Vec<u8>) -> Result<(), SwapError> {
        let store = self.store.clone();
        // The guest gives up its handle here, but Spin keeps the entry, so it still counts towards the limit.
        let begun = self.begun(&handle)?;
        match store.swap(&begun.label, &begun.key, begun.seen.as_deref(), &value)? {
            Swap::Done => Ok(()),
            Swap::Refused => {
                let store = Resource::new_borrow(begun.store);
                let key = begun.key.clone();
                let next = self.open_swap(store, key)?;
                self.read_for_swap(&next)?;
                Err(SwapError::Refused(next))
            }
        }
    }

    fn convert_cas_error(&mut self, error: SwapError) -> wasmtime::Result<atomics::CasError> {
        Ok(match error {
            SwapError::Store(error) => atomics::CasError::StoreError(wasi_error(error)?),
            SwapError::Refused(next) => atomics::CasError::CasFailed(next),
        })
    }
}

impl atomics::HostCas for KeyValue {
    fn new(&mut self, store: Resource<OpenStore>, key: String) -> Result<Resource<OpenSwap>, StoreError> {
        self.open_swap(store, key)
    }

    fn current(&mut self, handle: Resource<OpenSwap>) -> Result<Option<Vec<u8>>, StoreError> {
        self.read_for_swap(&handle)
    }

    fn drop(&mut self, handle: Resource<OpenSwap>) -> wasmtime::Result<()> {
        if self.table.delete(handle).is_ok() {
            self.open_swaps -= 1;
        }
        Ok(())
    }
}
