//! The environment of a request, which the shell provides.

/// Everything that a request works with. The core reaches nothing outside it.
pub struct Environment<'a> {
    pub key_value: &'a dyn KeyValue,
    pub variables: &'a dyn Variables,
    /// Fills a buffer with bytes that nobody can guess.
    pub random: &'a dyn Fn(&mut [u8]),
    /// The time, in seconds since 1970.
    pub now: i64,
    /// Writes a line to the operator's log.
    pub log: &'a dyn Fn(&str),
}

/// The key-value store.
///
/// No compare-and-swap is needed: every value but a pointer is written once, under a name that nobody else uses.
pub trait KeyValue {
    /// Returns the value of a key.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be read.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Sets several values, as one commit where the store has commits.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be written.
    fn set_many(&self, entries: &[(String, Vec<u8>)]) -> Result<(), StoreError>;

    /// Deletes several keys. Absent keys are no error.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be written.
    fn delete_many(&self, keys: &[String]) -> Result<(), StoreError>;

    /// Adds to a counter, and returns its new value. Nothing else writes its key.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be written.
    fn increment(&self, key: &str, delta: i64) -> Result<i64, StoreError>;
}

/// A failure of the store, with the host's message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store failed: {0}")]
pub struct StoreError(pub String);

/// The source of variables.
pub trait Variables {
    /// Returns the value of a component variable.
    ///
    /// # Errors
    ///
    /// Fails with a message for the log.
    fn get(&self, name: &str) -> Result<String, String>;
}
