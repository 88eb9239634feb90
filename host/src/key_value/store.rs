//! The calls that a key-value store answers, and why a call fails.

use std::fmt;

use tokio::runtime::{Handle, RuntimeFlavor};

/// A key-value store. Every call names the store's label, because Spin keeps several stores in one file.
///
/// The calls block. A store whose calls may take long, such as SQLite on a slow disk, must tell the async runtime
/// itself; see [`blocking`].
pub trait Store: Send + Sync {
    /// Returns the value of a key.
    ///
    /// # Errors
    ///
    /// Fails with a [`StoreError`], like every call of this trait.
    fn get(&self, label: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Whether a key has a value.
    fn exists(&self, label: &str, key: &str) -> Result<bool, StoreError> {
        Ok(self.get(label, key)?.is_some())
    }

    /// Returns all keys of the store.
    fn get_keys(&self, label: &str) -> Result<Vec<String>, StoreError>;

    /// Returns the values of some keys. Spin's SQLite store leaves out keys without a value, returns a repeated key
    /// once, and does not keep the order.
    fn get_many(&self, label: &str, keys: &[String]) -> Result<Vec<Row>, StoreError>;

    /// Writes one value.
    fn set(&self, label: &str, key: &str, value: &[u8]) -> Result<(), StoreError>;

    /// Writes several values in one commit.
    fn set_many(&self, label: &str, rows: &[(String, Vec<u8>)]) -> Result<(), StoreError>;

    /// Removes a key, which need not exist.
    fn delete(&self, label: &str, key: &str) -> Result<(), StoreError>;

    /// Removes several keys in one commit.
    fn delete_many(&self, label: &str, keys: &[String]) -> Result<(), StoreError>;

    /// Adds to the number of a key and returns the sum. A key without a value counts as zero.
    fn increment(&self, label: &str, key: &str, delta: i64) -> Result<i64, StoreError>;

    /// Returns the value from which a compare-and-swap starts. Stores for which this is more than a read override it.
    fn current(&self, label: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(label, key)
    }

    /// Replaces a value if it is still `seen`. If nothing was seen, Spin's SQLite store writes without comparing.
    fn swap(&self, label: &str, key: &str, seen: Option<&[u8]>, value: &[u8]) -> Result<Swap, StoreError>;
}

/// A key and its value.
pub type Row = (String, Option<Vec<u8>>);

/// The result of a compare-and-swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    /// The new value is stored.
    Done,
    /// The value had changed, so nothing was stored.
    Refused,
}

/// The reason why a call of a store failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The guest holds as many open stores as Spin allows.
    StoreTableFull,
    /// The guest's handle does not belong to an open store.
    NoSuchStore,
    /// The manifest does not give the component access to a store with this label.
    AccessDenied,
    /// Any other failure, with the message for the guest.
    Other(String),
    /// The guest gets no answer, because its invocation ends here: Spin's host would panic, or a test lets the process
    /// die at this call.
    InvocationEnds(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StoreTableFull => formatter.write_str("store table full"),
            Self::NoSuchStore => formatter.write_str("no such store"),
            Self::AccessDenied => formatter.write_str("access denied"),
            Self::Other(text) => formatter.write_str(text),
            Self::InvocationEnds(reason) => write!(formatter, "the invocation ends: {reason}"),
        }
    }
}

impl std::error::Error for StoreError {}

/// Returns the error of every call after [`Store::increment`] has met a value that is not a number. Spin's host panics
/// then while it holds the lock of its connection, and every later call panics on the poisoned lock until the process
/// restarts.
pub(crate) fn poisoned() -> StoreError {
    StoreError::InvocationEnds(
        "the store's lock is poisoned, because increment met a value that is not 8 bytes long; \
         Spin answers no call of this process any more"
            .to_owned(),
    )
}

/// Runs a call that blocks, and tells the async runtime so.
pub fn blocking<T>(call: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    if Handle::try_current().is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::CurrentThread) {
        // `block_in_place` would panic. Return the reason, so that a test does not just see a failed request.
        return Err(StoreError::InvocationEnds(
            "a store on a file or a server needs a multi-thread runtime; use #[tokio::test(flavor = \"multi_thread\")]"
                .to_owned(),
        ));
    }
    tokio::task::block_in_place(call)
}
