//! The creation of values that several writers may create at once: a project's record, the agenda, and the directory.
//!
//! A swap cannot create, so each creator increments a claim. The first one writes, and the others wait for the value.

use super::Store;
use super::agenda::Agenda;
use super::codec::envelope::{Stored, encode_fresh};
use super::compare_and_swap::Change;
use super::directory::Directory;
use super::key_value::StoreError;
use super::keys;
use super::slots::SLOTS;

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
        if self.key_value.get(key)?.is_some() {
            return Ok(());
        }
        let turn = self.key_value.increment(claim, 1)?;
        if turn > 1 {
            for attempt in 0..LOOKS {
                self.key_value.pause(attempt);
                if self.key_value.get(key)?.is_some() {
                    return Ok(());
                }
            }
        }
        self.key_value.set_many(&values()?)
    }

    /// Changes a value that all projects share: a slot of the agenda or of the directory. If `change` changes nothing,
    /// nothing is written.
    pub(super) fn change_shared<T: Stored + Clone + PartialEq>(
        &self,
        key: &str,
        mut change: impl FnMut(&mut T),
    ) -> Result<(), StoreError> {
        // The second round finds the value that the first one created. The third is for a value that an operator
        // deleted meanwhile.
        for _ in 0..3 {
            let is_there = self.replace::<T, bool, StoreError>(key, |stored| {
                let Some(before) = stored else { return Ok(Change::Leave(false)) };
                let mut after = before.clone();
                change(&mut after);
                Ok(if after == before { Change::Leave(true) } else { Change::Write(after, true) })
            })?;
            if is_there {
                return Ok(());
            }
            self.refuse_unreleased()?;
            self.ensure(&keys::agenda(0), keys::SHARED_CLAIM, empty_shared_values)?;
        }
        Err(StoreError::Contended(key.to_owned()))
    }
}

/// Returns the agenda and the directory of an empty store.
fn empty_shared_values() -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    let mut values = Vec::with_capacity(2 * SLOTS);
    for slot in 0..SLOTS {
        let (agenda, directory) = (keys::agenda(slot), keys::directory(slot));
        let empty_agenda = encode_fresh(&agenda, &Agenda::default())?;
        let empty_directory = encode_fresh(&directory, &Directory::default())?;
        values.extend([(agenda, empty_agenda), (directory, empty_directory)]);
    }
    Ok(values)
}
