//! The creation of values that several writers may create at once: a project's record, and the slots.
//!
//! A swap cannot create, so each creator increments a claim. The first one writes, and the others wait for the value.

use super::Store;
use super::key_value::StoreError;

/// The number of times that a writer looks for a value that another writer is creating, before it creates the value
/// itself. The looks take about eight seconds, longer than SQLite waits for a lock, since a value that is created late
/// overwrites the changes made since.
const LOOKS: u32 = 48;

impl Store<'_> {
    /// Writes values if no other writer has. If the first claimant dies before it writes, a later one writes after its
    /// last look, so no writer is stuck.
    pub(super) fn ensure(
        &self,
        key: &str,
        claim: &str,
        values: impl FnOnce() -> Result<Vec<(String, Vec<u8>)>, StoreError>,
    ) -> Result<(), StoreError> {
        let mut found = self.key_value.get_many(&[key.to_owned(), claim.to_owned()])?.into_iter();
        if found.next().flatten().is_some() {
            return Ok(());
        }
        self.claimed(key, claim, found.next().flatten(), values)
    }

    /// Like [`Store::ensure`], for a writer that has just found that the value is missing, and has read the claim.
    pub(super) fn claimed(
        &self,
        key: &str,
        claim: &str,
        stored_claim: Option<Vec<u8>>,
        values: impl FnOnce() -> Result<Vec<(String, Vec<u8>)>, StoreError>,
    ) -> Result<(), StoreError> {
        if stored_claim.is_some_and(|stored| !is_counter(&stored)) {
            // On SQLite the increment of such a value ends all calls of Spin's process (`docs/spec/spin.md`).
            let reason = "it is not a counter".to_owned();
            self.without_unreadable(Err::<(), _>(StoreError::Corrupt { key: claim.to_owned(), reason }))?;
            self.delete_many(&[claim.to_owned()])?;
        }
        let turn = self.key_value.increment(claim, 1)?;
        if turn == 1 {
            // A replacement of the state writes records without claiming them.
            if self.key_value.get(key)?.is_some() {
                return Ok(());
            }
        } else {
            for attempt in 0..LOOKS {
                self.key_value.pause(attempt);
                if self.key_value.get(key)?.is_some() {
                    return Ok(());
                }
            }
        }
        self.set_many(&values()?)
    }
}

/// Returns whether a value is a counter of one of Spin's stores: eight bytes on SQLite, digits on the others
/// (`docs/spec/spin.md`, "Key-value truth table").
fn is_counter(stored: &[u8]) -> bool {
    stored.len() == 8 || std::str::from_utf8(stored).is_ok_and(|digits| digits.parse::<i64>().is_ok())
}
