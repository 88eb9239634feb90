//! Spin's key-value store, through `wasi:keyvalue`.

use std::cell::{Cell, OnceCell};

use wasi::clocks::monotonic_clock;

use super::bindings::wasi::keyvalue::{atomics, batch, store};
use super::leaked::Leaked;
use super::surroundings::RandomIdentifiers;
use crate::store::key_value::{ReadToSwap, Swap, in_order};
use crate::store::{Identifiers, KeyValue, StoreError};

/// The label of the store in `spin.toml`.
const STORE: &str = "default";

/// The number of retries of a call that another process has locked out.
const LOCKED_ATTEMPTS: u32 = 8;

/// Spin's key-value store, opened at the first call.
#[derive(Default)]
pub(super) struct SpinKeyValue {
    bucket: OnceCell<Leaked<store::Bucket>>,
    /// Whether a read of many keys has failed, so that a backend without that call is asked only once in an invocation.
    reads_one_by_one: Cell<bool>,
}

impl SpinKeyValue {
    /// Returns the open store, and opens it at the first call.
    fn bucket(&self) -> Result<&store::Bucket, StoreError> {
        if let Some(bucket) = self.bucket.get() {
            return Ok(bucket);
        }
        let bucket = Leaked::new(store::open(STORE).map_err(failed)?);
        Ok(self.bucket.get_or_init(|| bucket))
    }

    /// Makes a call, and retries it while another process has locked the database. A call that was locked out has had
    /// no effect.
    fn retry<T>(&self, call: impl Fn(&store::Bucket) -> Result<T, store::Error>) -> Result<T, StoreError> {
        let bucket = self.bucket()?;
        for attempt in 0..LOCKED_ATTEMPTS {
            match call(bucket) {
                Err(error) if is_locked(&error) => self.pause(attempt),
                result => return result.map_err(failed),
            }
        }
        call(bucket).map_err(failed)
    }
}

/// Converts an error of the host.
fn failed(error: store::Error) -> StoreError {
    match error {
        store::Error::NoSuchStore => StoreError::Failed(format!("there is no store '{STORE}'")),
        store::Error::AccessDenied => StoreError::Failed(format!("spin.toml gives no access to the store '{STORE}'")),
        store::Error::Other(message) if is_damaged(&message) => StoreError::Damaged(message),
        store::Error::Other(message) => StoreError::Failed(message),
    }
}

/// Returns whether a message of the host says that the database is damaged, which does not pass. Hosts hand on the messages of
/// SQLite for `SQLITE_CORRUPT` and `SQLITE_NOTADB`.
fn is_damaged(message: &str) -> bool {
    ["database disk image is malformed", "file is not a database"].iter().any(|known| message.contains(known))
}

/// Returns whether another process has locked the database.
fn is_locked(error: &store::Error) -> bool {
    matches!(error, store::Error::Other(message) if message.contains("database is locked"))
}

/// Reads an empty value as an absent one; see [`KeyValue::get`].
fn present(value: Option<Vec<u8>>) -> Option<Vec<u8>> {
    value.filter(|bytes| !bytes.is_empty())
}

impl KeyValue for SpinKeyValue {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.retry(|bucket| bucket.get(key)).map(present)
    }

    /// Reads the keys one by one if the call fails, because Redis does not offer it (`docs/spec/spin.md`).
    fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        if keys.len() > 1 && !self.reads_one_by_one.get() {
            match self.retry(|bucket| batch::get_many(bucket, keys)) {
                Ok(found) => return Ok(in_order(keys, found).into_iter().map(present).collect()),
                Err(error @ StoreError::Damaged(_)) => return Err(error),
                Err(_) => self.reads_one_by_one.set(true),
            }
        }
        keys.iter().map(|key| self.get(key)).collect()
    }

    /// Also sets a single entry, because SQLite commits once either way.
    fn set_many(&self, entries: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
        self.retry(|bucket| batch::set_many(bucket, entries))
    }

    fn delete_many(&self, keys: &[String]) -> Result<(), StoreError> {
        self.retry(|bucket| batch::delete_many(bucket, keys))
    }

    fn keys(&self) -> Result<Vec<String>, StoreError> {
        self.retry(|bucket| bucket.list_keys(None)).map(|answer| answer.keys)
    }

    fn increment(&self, key: &str, delta: i64) -> Result<i64, StoreError> {
        self.retry(|bucket| atomics::increment(bucket, key, delta))
    }

    fn read_to_swap<'a>(&'a self, key: &str) -> Result<ReadToSwap<'a>, StoreError> {
        let cas = self.retry(|bucket| atomics::Cas::new(bucket, key))?;
        let value = self.retry(|_| cas.current())?;
        Ok(ReadToSwap { value: present(value), handle: Box::new(SpinSwap(cas)) })
    }

    /// Waits 2 to 4 ms, and twice as long with each attempt, up to about a quarter of a second. Half of the time is
    /// random, so that writers that collided once do not collide again.
    fn pause(&self, attempt: u32) {
        let longest = 4_000_u64 << attempt.min(6);
        let microseconds = longest / 2 + RandomIdentifiers.number() % (longest / 2);
        monotonic_clock::subscribe_duration(microseconds * 1_000).block();
    }
}

/// A compare-and-swap of the host.
struct SpinSwap(atomics::Cas);

impl Swap for SpinSwap {
    fn swap(self: Box<Self>, value: &[u8]) -> Result<bool, StoreError> {
        match atomics::swap(self.0, value) {
            Ok(()) => Ok(true),
            Err(atomics::CasError::CasFailed(_)) => Ok(false),
            // A locked database has written nothing, so this is a lost race and not a failure.
            Err(atomics::CasError::StoreError(error)) if is_locked(&error) => Ok(false),
            Err(atomics::CasError::StoreError(error)) => Err(failed(error)),
        }
    }
}
