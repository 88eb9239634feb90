//! The keys of the store, `di1:KIND:NAME`, and the random keys that seal tokens. The number in the prefix is the version
//! of the format. The main component leaves these keys alone, even when its state is emptied or replaced.
//!
//! Two instances that start at once cannot agree on one random key: a compare-and-swap cannot create a value on SQLite
//! (`docs/spec/spin.md`, "Key-value truth table"). They need not. Each writes its key under a random name of its own and
//! then points at it. A token names its key, so the tokens of both stay valid, whichever instance wrote last.

use crate::environment::{Environment, StoreError};
use crate::identifiers::hexadecimal;

/// The key of the name of the key that seals new tokens.
const CURRENT: &str = "di1:key";

/// The key of the time of the last line in the log that says what this service is for.
const ANNOUNCED: &str = "di1:announced";

/// The least time between two of these lines, in seconds.
const SECONDS_BETWEEN_LINES: i64 = 10;

/// The length of the name of a key, in bytes.
pub(crate) const NAME_BYTES: usize = 8;

/// The name of a key that seals tokens.
pub(crate) type KeyName = [u8; NAME_BYTES];

/// A key that seals tokens.
pub(crate) type SealingKey = [u8; 32];

fn key(name: KeyName) -> String {
    format!("{CURRENT}:{}", hexadecimal(&name))
}

/// Returns the key of a name, if there is one.
pub(crate) fn named(name: KeyName, environment: &Environment<'_>) -> Result<Option<SealingKey>, StoreError> {
    let value = environment.key_value.get(&key(name))?;
    Ok(value.and_then(|value| value.try_into().ok()))
}

/// Returns the key that seals new tokens, and creates it if there is none.
pub(crate) fn current(environment: &Environment<'_>) -> Result<(KeyName, SealingKey), StoreError> {
    let name = environment.key_value.get(CURRENT)?.and_then(|name| KeyName::try_from(name).ok());
    if let Some(name) = name
        && let Some(key) = named(name, environment)?
    {
        return Ok((name, key));
    }
    let (mut name, mut sealing) = (KeyName::default(), SealingKey::default());
    (environment.random)(&mut name);
    (environment.random)(&mut sealing);
    // The key is there before anything points at it, because a store may write the two one by one.
    environment.key_value.set_many(&[(key(name), sealing.to_vec())])?;
    environment.key_value.set_many(&[(CURRENT.to_owned(), name.to_vec()), announcement(environment)])?;
    Ok((name, sealing))
}

/// Says in the log what this service is for. It is asked for at each start and by any client, so it does so once in ten
/// seconds at most.
pub(crate) fn announce(environment: &Environment<'_>) -> Result<(), StoreError> {
    let last = environment.key_value.get(ANNOUNCED)?.and_then(|value| String::from_utf8(value).ok()?.parse().ok());
    // A time in the future is one from before the clock was set back.
    let is_recent = |last: i64| (last..last.saturating_add(SECONDS_BETWEEN_LINES)).contains(&environment.now);
    if !last.is_some_and(is_recent) {
        environment.key_value.set_many(&[announcement(environment)])?;
    }
    Ok(())
}

/// Writes the line, and returns the record of its time.
fn announcement(environment: &Environment<'_>) -> (String, Vec<u8>) {
    (environment.log)("dev-identity is for development only: it is not a Keystone to protect anything with");
    (ANNOUNCED.to_owned(), environment.now.to_string().into_bytes())
}
