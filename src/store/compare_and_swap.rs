//! The only loop that changes a stored value: read, decide, swap, and retry when another writer was faster.
//!
//! A compare-and-swap of a real backend answers in three ways, and only one of them is reliable (`docs/spec/spin.md`,
//! "Key-value truth table"). "Done" is true. "Refused" may be false: Spin's Redis store always says so, although the
//! write has often landed. An error says nothing about the write. So each write carries a random id, and the value
//! remembers the last ids. After anything but "done" the loop reads the value back: if the id is there, the write has
//! landed and is never applied again. If so many others have written since that the id may have been forgotten, the
//! loop stops with [`StoreError::Unknown`] and does not guess.
//!
//! A swap cannot create, because SQLite's store writes without comparing where nothing is stored. Values that several
//! writers may create are created by `claim`. Rows are written once, under a random id.
//!
//! The loop is generic over the value and the decision. Its two heavy steps, [`Attempts::read`] and [`Attempts::write`], are
//! not, so they are compiled once.

use super::codec::envelope::{Header, Stored, decode, encode, encode_fresh};
use super::key_value::{ReadToSwap, StoreError};
use super::store::Store;

/// The attempts of one change. After the last one the client is asked to retry later.
const ATTEMPTS: u32 = 24;

/// The part of a random number that identifies a write: 48 bits distinguish it from the few that a value remembers.
const WRITE_ID: u64 = 0xffff_ffff_ffff;

/// A decision about a value that was read.
#[derive(Debug)]
pub enum Change<T, R> {
    /// Write this value, and then answer.
    Write(T, R),
    /// Write nothing, and answer.
    Leave(R),
    /// Read the value again, since the one that was read is out of date.
    Reread,
}

/// The compare-and-swap of one key, through all its attempts.
struct Attempts<'a> {
    store: &'a Store<'a>,
    key: &'a str,
    made: u32,
}

impl<'a> Attempts<'a> {
    /// Reads the value, after a pause that grows with each attempt.
    fn read(&mut self) -> Result<ReadToSwap<'a>, StoreError> {
        if self.made == ATTEMPTS {
            return Err(StoreError::Contended(self.key.to_owned()));
        }
        if self.made > 0 {
            self.store.key_value.pause(self.made - 1);
        }
        self.made += 1;
        self.store.key_value.read_to_swap(self.key)
    }

    /// Swaps, and returns whether the write has landed.
    fn write(&self, read: ReadToSwap<'a>, write_id: u64, bytes: &[u8]) -> Result<bool, StoreError> {
        let failure = match read.handle.swap(bytes) {
            Ok(true) => {
                self.store.note_write(self.key);
                return Ok(true);
            }
            Ok(false) => None,
            Err(error) => Some(error),
        };
        let has_landed = self.has_landed(read.value.as_deref(), write_id);
        if !matches!(has_landed, Ok(false)) {
            self.store.note_write(self.key);
        }
        match (has_landed?, failure) {
            (true, _) => Ok(true),
            (false, None) => Ok(false),
            (false, Some(error)) => Err(error),
        }
    }

    /// Returns whether a write over `seen` is among those that the stored value remembers.
    fn has_landed(&self, seen: Option<&[u8]>, write_id: u64) -> Result<bool, StoreError> {
        let key = self.key;
        let Some(bytes) = self.store.key_value.get(key)? else { return Ok(false) };
        let (_, header, _) = Header::read(key, &bytes)?;
        let seen = seen.map(|bytes| Header::read(key, bytes)).transpose()?.map(|(_, seen, _)| seen).unwrap_or_default();
        if header.has_write(write_id) {
            Ok(true)
        } else if header.forgot(&seen) {
            // The write may have landed and been overtaken by more writes than are remembered. A retry might undo them.
            Err(StoreError::Unknown(key.to_owned()))
        } else {
            Ok(false)
        }
    }
}

impl Store<'_> {
    /// Writes a value where one is missing or cannot be read. `is_readable` says whether the stored value can be read, and
    /// fails as reading it does. A value that can be read meanwhile stays, and one of a newer format is an error.
    pub(super) fn replace_unreadable<T: Stored>(
        &self,
        key: &str,
        value: &T,
        is_readable: impl Fn(Option<Vec<u8>>) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let bytes = encode_fresh(key, value)?;
        let mut attempts = Attempts { store: self, key, made: 0 };
        loop {
            let read = attempts.read()?;
            match is_readable(read.value.clone()) {
                Ok(true) => return Ok(()),
                // A swap of a missing value would not compare.
                Ok(false) => return self.set_many(&[(key.to_owned(), bytes)]),
                // Whatever the answer says, the next read shows whether the value has landed.
                Err(StoreError::Corrupt { .. }) => drop(read.handle.swap(&bytes)?),
                Err(error) => return Err(error),
            }
        }
    }

    /// Replaces a value. `decide` gets the stored value, and gets it again for each attempt.
    ///
    /// # Errors
    ///
    /// The error of `decide`, [`StoreError::Contended`] when other writers were faster at every attempt, or an error of
    /// the key-value store.
    pub(super) fn replace<T: Stored, R, E: From<StoreError>>(
        &self,
        key: &str,
        decide: impl FnMut(Option<T>) -> Result<Change<T, R>, E>,
    ) -> Result<R, E> {
        self.replace_keeping(key, &mut Vec::new(), decide)
    }

    /// Replaces a value like [`Store::replace`], and sets `written` to the bytes that were written last.
    pub(super) fn replace_keeping<T: Stored, R, E: From<StoreError>>(
        &self,
        key: &str,
        written: &mut Vec<u8>,
        mut decide: impl FnMut(Option<T>) -> Result<Change<T, R>, E>,
    ) -> Result<R, E> {
        let mut attempts = Attempts { store: self, key, made: 0 };
        loop {
            let read = attempts.read()?;
            let write_id = self.identifiers.number() & WRITE_ID;
            let (header, value) = match read.value.as_deref().map(|bytes| decode(key, bytes)).transpose()? {
                Some((header, value)) => (header, Some(value)),
                None => (Header::default(), None),
            };
            match decide(value)? {
                Change::Write(value, answer) => {
                    *written = encode(key, &header.next(write_id), &value)?;
                    if attempts.write(read, write_id, written)? {
                        return Ok(answer);
                    }
                }
                Change::Leave(answer) => return Ok(answer),
                Change::Reread => {}
            }
        }
    }
}
