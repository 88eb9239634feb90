//! The handle on the store, and the reads that belong to no resource.

use std::cell::Cell;
use std::fmt;

use uuid::Uuid;

use super::codec::envelope::{Stored, decode_optional, encode_fresh};
use super::compare_and_swap::Change;
use super::deployment::Deployment;
use super::key_value::{KeyValue, StoreError};
use super::keys;
use super::notes::Notes;
use super::unreadable::UnreadableLog;

/// The source of ids, passed in so that the core has no randomness of its own.
pub trait Identifiers {
    /// Returns a random UUID (version 4).
    fn uuid(&self) -> Uuid;

    /// Returns a random number that identifies a page or a write.
    fn number(&self) -> u64 {
        self.uuid().as_u64_pair().1
    }
}

/// The store of this service.
///
/// # Errors
///
/// Every method that reads or writes returns the errors of the key-value store, and [`StoreError::Corrupt`] or
/// [`StoreError::UnknownFormat`] for a value that it cannot read.
#[derive(Clone, Copy)]
pub struct Store<'a> {
    pub(super) key_value: &'a dyn KeyValue,
    pub(super) identifiers: &'a dyn Identifiers,
    /// Where unreadable values are noted, if the log may name them.
    pub(super) unreadable: Option<&'a UnreadableLog>,
    /// Whether a write may have changed what others see.
    pub(super) has_changed: &'a Cell<bool>,
}

impl fmt::Debug for Store<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Store").finish_non_exhaustive()
    }
}

impl<'a> Store<'a> {
    /// Returns a store over a key-value store, which takes `notes`.
    #[must_use]
    pub const fn new(key_value: &'a dyn KeyValue, identifiers: &'a dyn Identifiers, notes: &'a Notes) -> Self {
        Self { key_value, identifiers, unreadable: Some(&notes.unreadable), has_changed: &notes.has_changed }
    }

    /// Returns the settings of the whole deployment.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn deployment(&self) -> Result<Deployment, StoreError> {
        Ok(self.read::<Deployment>(keys::DEPLOYMENT)?.unwrap_or_default())
    }

    /// Changes the deployment's record, which is created if it is missing. `change` gets it again for each attempt, and
    /// returns whether to write it. Returns whether it was written.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn change_deployment(&self, mut change: impl FnMut(&mut Deployment) -> bool) -> Result<bool, StoreError> {
        let key = keys::DEPLOYMENT;
        self.ensure(key, keys::DEPLOYMENT_CLAIM, || {
            Ok(vec![(key.to_owned(), encode_fresh(key, &Deployment::default())?)])
        })?;
        self.replace(key, |deployment: Option<Deployment>| {
            let mut deployment = deployment.unwrap_or_default();
            let is_changed = change(&mut deployment);
            Ok(if is_changed { Change::Write(deployment, true) } else { Change::Leave(false) })
        })
    }

    pub(super) fn read<T: Stored>(&self, key: &str) -> Result<Option<T>, StoreError> {
        decode_optional(key, self.key_value.get(key)?)
    }

    pub(super) fn read_many<T: Stored>(&self, keys: &[String]) -> Result<Vec<Option<T>>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let values = self.key_value.get_many(keys)?;
        keys.iter().zip(values).map(|(key, value)| decode_optional(key, value)).collect()
    }
}
