//! The record of the last write that the readiness check made. It is not a row, and no state document has it.
//!
//! Plain writes are enough: whichever of two checks writes last, the time is that of a write that succeeded.

use crate::domain::Timestamp;

use super::codec::bytes::Bytes;
use super::codec::envelope::{Stored, encode_fresh};
use super::{Store, StoreError, keys};

/// The last successful write.
struct StoredReadiness {
    /// Its time, in microseconds since the epoch.
    written: i64,
}

impl Stored for StoredReadiness {
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        bytes.extend_from_slice(&self.written.to_be_bytes());
        Ok(())
    }

    fn read(_version: u32, stored: &[u8]) -> Result<Self, String> {
        let mut bytes = Bytes::new(stored);
        let written = i64::from_be_bytes(bytes.take()?);
        if bytes.is_empty() { Ok(Self { written }) } else { Err("it goes on after its time".to_owned()) }
    }
}

impl Store<'_> {
    /// Returns the time of the last write of [`Store::prove_writable`]. A record that cannot be decoded counts as absent,
    /// since the next write replaces it.
    ///
    /// # Errors
    ///
    /// An error of the key-value store.
    pub fn last_proof(&self) -> Result<Option<Timestamp>, StoreError> {
        let stored = self.without_unreadable(self.read::<StoredReadiness>(keys::READINESS))?.flatten();
        Ok(stored.map(|stored| Timestamp::from_microseconds(stored.written)))
    }

    /// Writes the time and reads it back. One commit.
    ///
    /// # Errors
    ///
    /// An error of the key-value store, or a write that cannot be read back.
    pub fn prove_writable(&self, now: Timestamp) -> Result<(), StoreError> {
        let key = keys::READINESS.to_owned();
        let bytes = encode_fresh(&key, &StoredReadiness { written: now.microseconds() })?;
        self.set_many(&[(key, bytes)])?;
        match self.last_proof()? {
            Some(_) => Ok(()),
            None => Err(StoreError::Failed("a value that was written cannot be read".to_owned())),
        }
    }
}
