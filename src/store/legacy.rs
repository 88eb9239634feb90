//! The refusal of a store that was written by an unreleased version. Such a store has another key prefix, so its rows would
//! be invisible, and new rows would be written beside them. The health check, the first write, the tick, and
//! the operator's routes refuse it. Reads find nothing, since a check would cost each of them a call, and the cache of tokens
//! may be written.

use super::Store;
use super::key_value::StoreError;

/// The prefix of the keys of unreleased versions.
pub const PREFIX: &str = "vs:";

/// Keys that every store of an unreleased version has at least one of.
const KEYS: [&str; 3] = ["vs:agenda:00", "vs:projects", "vs:deployment"];

impl Store<'_> {
    /// Refuses a store that was written by an unreleased version. Called where the store is found to be empty, and by the
    /// health check.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreleased`], or an error of the key-value store.
    pub fn refuse_unreleased(&self) -> Result<(), StoreError> {
        let keys = KEYS.map(str::to_owned);
        let values = self.key_value.get_many(&keys)?;
        match keys.into_iter().zip(values).find(|(_, value)| value.is_some()) {
            Some((key, _)) => Err(StoreError::Unreleased(key)),
            None => Ok(()),
        }
    }
}
