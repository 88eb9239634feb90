//! What Keystone has refused lately: tokens, and the login of the service user. It spares Keystone requests whose answer is
//! known, and the store the commits of junk.
//!
//! Both are records of bounded size under one key each. Plain writes are enough: a refusal that is lost costs a request to
//! Keystone, and none lasts.

use std::fmt::Write as _;

use crate::domain::Timestamp;

use super::codec::envelope::{Stored, decode_optional, encode_fresh};
use super::tokens::{StoredOwnToken, TokenDigest};
use super::{Store, StoreError, keys};

/// The refused tokens that are remembered. With one write a second, more would be out of date before they are read.
const REMEMBERED: usize = 8;

/// A token that Keystone refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub digest: TokenDigest,
    /// Whether Keystone was asked to accept an expired token. It refuses more if it was not.
    pub may_be_expired: bool,
    pub refused_at: Timestamp,
}

/// The tokens that Keystone refused lately. It is stored as lines: the two times, and then the refusals, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusals {
    /// The time until which the writes so far have used the seconds that they may take.
    pub used_until: Timestamp,
    /// The time of the last line in the log about a Keystone that could not be asked.
    pub logged_at: Timestamp,
    refused: Vec<Refusal>,
}

impl Default for Refusals {
    fn default() -> Self {
        let never = Timestamp::from_microseconds(i64::MIN);
        Self { used_until: never, logged_at: never, refused: Vec::new() }
    }
}

impl Refusals {
    /// Returns when a token was last refused to a request like this one.
    #[must_use]
    pub fn refused_at(&self, digest: &TokenDigest, may_be_expired: bool) -> Option<Timestamp> {
        let is_refused = |own: &&Refusal| own.digest == *digest && (own.may_be_expired || !may_be_expired);
        self.refused.iter().rev().find(is_refused).map(|own| own.refused_at)
    }

    /// Adds a refusal. The oldest ones make room.
    pub fn add(&mut self, refusal: Refusal) {
        self.refused.push(refusal);
        let surplus = self.refused.len().saturating_sub(REMEMBERED);
        self.refused.drain(..surplus);
    }

    fn parse(lines: &str) -> Option<Self> {
        let mut lines = lines.split_terminator('\n');
        let (used_until, logged_at) = lines.next()?.split_once(' ')?;
        let refusal = |line: &str| {
            let mut words = line.split(' ');
            let digest = TokenDigest::read(words.next()?)?;
            let may_be_expired = words.next()? == "1";
            Some(Refusal { digest, may_be_expired, refused_at: timestamp(words.next()?)? })
        };
        let refused = lines.take(REMEMBERED).map(refusal).collect::<Option<Vec<_>>>()?;
        Some(Self { used_until: timestamp(used_until)?, logged_at: timestamp(logged_at)?, refused })
    }
}

impl Stored for Refusals {
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        let mut lines = format!("{} {}\n", self.used_until.microseconds(), self.logged_at.microseconds());
        for Refusal { digest, may_be_expired, refused_at } in &self.refused {
            // Writing to a String cannot fail.
            let _ = writeln!(lines, "{digest} {} {}", u8::from(*may_be_expired), refused_at.microseconds());
        }
        bytes.extend_from_slice(lines.as_bytes());
        Ok(())
    }

    fn read(_version: u32, bytes: &[u8]) -> Result<Self, String> {
        let lines = std::str::from_utf8(bytes).unwrap_or_default();
        Self::parse(lines).ok_or_else(|| "it is not a list of refusals".to_owned())
    }
}

/// The service user's last login, if it failed. It is stored as one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedLogin {
    /// The digest of the settings and the password, so that a change of any of them is tried at once.
    pub of: TokenDigest,
    pub failed_at: Timestamp,
    /// The number of failures in a row.
    pub failures: u32,
    /// Whether Keystone refused the service user, and not just failed to answer.
    pub is_refusal: bool,
}

impl FailedLogin {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let of = TokenDigest::read(words.next()?)?;
        let failed_at = timestamp(words.next()?)?;
        let failures = words.next()?.parse().ok()?;
        Some(Self { of, failed_at, failures, is_refusal: words.next()? == "1" })
    }
}

impl Stored for FailedLogin {
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        let Self { of, failed_at, failures, is_refusal } = self;
        let line = format!("{of} {} {failures} {}", failed_at.microseconds(), u8::from(*is_refusal));
        bytes.extend_from_slice(line.as_bytes());
        Ok(())
    }

    fn read(_version: u32, bytes: &[u8]) -> Result<Self, String> {
        let line = std::str::from_utf8(bytes).unwrap_or_default();
        Self::parse(line).ok_or_else(|| "it is not a failed login".to_owned())
    }
}

fn timestamp(microseconds: &str) -> Option<Timestamp> {
    microseconds.parse().ok().map(Timestamp::from_microseconds)
}

/// What is known before Keystone is asked. A value that cannot be read, or that another release has written, counts as
/// absent.
#[derive(Debug, Default)]
pub struct Known {
    /// The time at which the service user's own token expires, and the sealed token.
    pub own_token: Option<(Timestamp, Vec<u8>)>,
    pub refusals: Refusals,
    pub failed_login: Option<FailedLogin>,
}

impl Store<'_> {
    /// Returns what is known before Keystone is asked, in one call.
    #[must_use]
    pub fn known_of_keystone(&self) -> Known {
        let keys = [keys::OWN_TOKEN, keys::REFUSALS, keys::FAILED_LOGIN].map(str::to_owned);
        let Ok(values) = self.key_value.get_many(&keys) else { return Known::default() };
        let mut values = values.into_iter();
        let mut next = || values.next().flatten();
        let own_token: Option<StoredOwnToken> = self.known(keys::OWN_TOKEN, next());
        Known {
            own_token: own_token.map(|row| (Timestamp::from_microseconds(row.expires), row.sealed)),
            refusals: self.known(keys::REFUSALS, next()).unwrap_or_default(),
            failed_login: self.known(keys::FAILED_LOGIN, next()),
        }
    }

    /// Decodes a value, unless it is absent or cannot be read.
    fn known<T: Stored>(&self, key: &str, value: Option<Vec<u8>>) -> Option<T> {
        self.without_unreadable(decode_optional(key, value)).ok().flatten().flatten()
    }

    /// Returns the tokens that Keystone refused lately.
    #[must_use]
    pub fn refusals(&self) -> Refusals {
        self.key_value.get(keys::REFUSALS).ok().and_then(|value| self.known(keys::REFUSALS, value)).unwrap_or_default()
    }

    /// Keeps the refusals. One commit.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn keep_refusals(&self, refusals: &Refusals) -> Result<(), StoreError> {
        let bytes = encode_fresh(keys::REFUSALS, refusals)?;
        self.set_many(&[(keys::REFUSALS.to_owned(), bytes)])
    }

    /// Keeps the service user's failed login, or forgets it. One commit.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn keep_failed_login(&self, failed: Option<&FailedLogin>) -> Result<(), StoreError> {
        match failed {
            Some(failed) => {
                let bytes = encode_fresh(keys::FAILED_LOGIN, failed)?;
                self.set_many(&[(keys::FAILED_LOGIN.to_owned(), bytes)])
            }
            None => self.delete_many(&[keys::FAILED_LOGIN.to_owned()]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(number: u8, may_be_expired: bool) -> Refusal {
        let refused_at = Timestamp::from_microseconds(i64::from(number));
        Refusal { digest: TokenDigest::new([number; 32]), may_be_expired, refused_at }
    }

    #[test]
    fn refusals_read_back_and_are_few() {
        let mut refusals = Refusals::default();
        for number in 0..20 {
            refusals.add(refusal(number, number % 2 == 0));
            let mut bytes = Vec::new();
            refusals.write(&mut bytes).expect("written");
            assert!(bytes.len() < 1_000, "{} bytes", bytes.len());
            assert_eq!(Refusals::read(1, &bytes), Ok(refusals.clone()));
        }
        let at = |number: u8, may_be_expired| refusals.refused_at(&TokenDigest::new([number; 32]), may_be_expired);
        assert_eq!((at(11, false), at(0, false)), (None, None), "the oldest made room");
        assert_eq!(at(19, false), Some(Timestamp::from_microseconds(19)));
        assert_eq!(at(19, true), None, "Keystone may accept it as an expired one");
        assert_eq!((at(18, true).is_some(), at(18, false).is_some()), (true, true));
        assert!(Refusals::read(1, b"\xff").is_err() && Refusals::read(1, b"1 2\nshort 0 1\n").is_err());
    }

    #[test]
    fn a_failed_login_reads_back() {
        let failed_at = Timestamp::from_microseconds(1_790_000_000_000_000);
        for (failures, is_refusal) in [(1, true), (u32::MAX, false)] {
            let failed = FailedLogin { of: TokenDigest::new([7; 32]), failed_at, failures, is_refusal };
            let mut bytes = Vec::new();
            failed.write(&mut bytes).expect("written");
            assert_eq!(FailedLogin::read(1, &bytes), Ok(failed));
            assert!(FailedLogin::read(1, &bytes[..bytes.len() - 2]).is_err());
        }
    }
}
