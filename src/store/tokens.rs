//! The cache of Keystone's answers about tokens. It never holds the tokens themselves.
//!
//! The cache has a fixed number of slots, and a token's digest names its slot. A newer token replaces the older one in
//! its slot, so the cache stays small without cleaning, and losing an entry costs one request to Keystone. Plain writes
//! are enough, since the slot is right whichever of two writers wins. An entry that cannot be read counts as none, and
//! the next answer overwrites it.

use std::fmt::{self, Write as _};

use crate::domain::{ProjectId, Timestamp, UserId};

use super::codec::bytes::Bytes;
use super::codec::envelope::{Stored, encode_fresh};
use super::{Store, StoreError, keys};

/// The SHA-256 of a token, in hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenDigest(String);

impl TokenDigest {
    /// Encodes a digest.
    #[must_use]
    pub fn new(digest: [u8; 32]) -> Self {
        let mut encoded = String::with_capacity(2 * digest.len());
        for byte in digest {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "{byte:02x}");
        }
        Self(encoded)
    }

    /// Reads what [`fmt::Display`] writes.
    pub(super) fn read(encoded: &str) -> Option<Self> {
        let is_digest = encoded.len() == 64 && encoded.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_digest.then(|| Self(encoded.to_owned()))
    }

    /// Returns the slot in the cache, one of 4,096: three digits.
    pub(super) fn slot(&self) -> &str {
        self.0.get(..3).unwrap_or_default()
    }
}

impl fmt::Display for TokenDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Keystone's answer about a token. It is stored as lines, which none of its strings can break: the digest, the two
/// times, the user, the project, the roles, and then the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredToken {
    pub digest: TokenDigest,
    /// The time of the answer, in microseconds since the epoch.
    pub checked: i64,
    /// The time at which the token expires, in microseconds since the epoch.
    pub expires: i64,
    pub user: UserId,
    pub project: Option<ProjectId>,
    /// The roles that a rule depends on, separated by spaces.
    pub roles: String,
    /// The requests that the token allows, or `None` where it allows all.
    pub rules: Option<Vec<String>>,
}

/// The line for no project, and for the absence of rules. No id and no rule is empty.
const NONE: &str = "";

impl Stored for StoredToken {
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        let project = self.project.as_ref().map_or(NONE, ProjectId::as_str);
        let Self { digest, checked, expires, user, roles, .. } = self;
        let mut lines = format!("{}\n{checked}\n{expires}\n{user}\n{project}\n{roles}\n", digest.0);
        for rule in self.rules.iter().flatten() {
            lines.push_str(rule);
            lines.push('\n');
        }
        if self.rules.is_none() {
            lines.push('\n');
        }
        bytes.extend_from_slice(lines.as_bytes());
        Ok(())
    }

    fn read(_version: u32, bytes: &[u8]) -> Result<Self, String> {
        Self::parse(std::str::from_utf8(bytes).unwrap_or_default())
            .ok_or_else(|| "it is not an answer about a token".to_owned())
    }
}

impl StoredToken {
    fn parse(lines: &str) -> Option<Self> {
        let mut lines = lines.split_terminator('\n');
        let digest = TokenDigest(lines.next()?.to_owned());
        let checked = lines.next()?.parse().ok()?;
        let expires = lines.next()?.parse().ok()?;
        let user = lines.next()?.parse().ok()?;
        let project = match lines.next()? {
            NONE => None,
            project => Some(project.parse().ok()?),
        };
        let roles = lines.next()?.to_owned();
        let allowed: Vec<String> = lines.map(str::to_owned).collect();
        let is_all_allowed = allowed.len() == 1 && allowed[0] == NONE;
        Some(Self { digest, checked, expires, user, project, roles, rules: (!is_all_allowed).then_some(allowed) })
    }
}

/// The service user's own token, which the caller has sealed.
pub(super) struct StoredOwnToken {
    /// The time at which the token expires, in microseconds since the epoch.
    pub(super) expires: i64,
    pub(super) sealed: Vec<u8>,
}

impl Stored for StoredOwnToken {
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        bytes.extend_from_slice(&self.expires.to_be_bytes());
        bytes.extend_from_slice(&self.sealed);
        Ok(())
    }

    fn read(_version: u32, stored: &[u8]) -> Result<Self, String> {
        let mut bytes = Bytes::new(stored);
        let expires = i64::from_be_bytes(bytes.take()?);
        Ok(Self { expires, sealed: stored[size_of::<i64>()..].to_vec() })
    }
}

impl Store<'_> {
    /// Returns Keystone's answer about a token, if the cache holds it.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn token(&self, digest: &TokenDigest) -> Result<Option<StoredToken>, StoreError> {
        let stored = self.read::<StoredToken>(&keys::token(digest.slot()));
        let stored = self.without_unreadable(stored)?.flatten();
        // The slot may hold another token by now. A digest reveals nothing about its token, so the comparison need not
        // take constant time.
        Ok(stored.filter(|stored| stored.digest == *digest))
    }

    /// Keeps Keystone's answer about a token. One commit.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn keep_token(&self, stored: &StoredToken) -> Result<(), StoreError> {
        self.keep(keys::token(stored.digest.slot()), stored)
    }

    /// Keeps the service user's own token. One commit.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn keep_own_token(&self, expires_at: Timestamp, sealed: Vec<u8>) -> Result<(), StoreError> {
        self.keep(keys::OWN_TOKEN.to_owned(), &StoredOwnToken { expires: expires_at.microseconds(), sealed })
    }

    /// Forgets the service user's own token. One commit.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn forget_own_token(&self) -> Result<(), StoreError> {
        self.delete_many(&[keys::OWN_TOKEN.to_owned()])
    }

    fn keep<T: Stored>(&self, key: String, value: &T) -> Result<(), StoreError> {
        let bytes = encode_fresh(&key, value)?;
        self.set_many(&[(key, bytes)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_has_one_of_4096_slots() {
        let mut digest = [0xff; 32];
        assert_eq!(TokenDigest::new(digest).slot(), "fff");
        (digest[0], digest[1]) = (0, 0x1f);
        assert_eq!(TokenDigest::new(digest).slot(), "001");
        assert_eq!(TokenDigest::new(digest).0.len(), 64);
    }

    #[test]
    fn an_answer_reads_back() {
        let some = |rules: &[&str]| Some(rules.iter().map(|rule| (*rule).to_owned()).collect::<Vec<_>>());
        for (project, roles, rules) in [
            (Some("a1"), "admin member reader", None),
            (None, "", some(&[])),
            (Some("a1"), "reader", some(&["GET volumev3 /v3/**"])),
            (None, "member", some(&["GET volume /", "POST volume /v3/*/snapshots"])),
        ] {
            let stored = StoredToken {
                digest: TokenDigest::new([7; 32]),
                checked: -1,
                expires: 1_790_000_000_000_000,
                user: "é u".parse().expect("a user id"),
                project: project.map(|id| id.parse().expect("a project id")),
                roles: roles.to_owned(),
                rules,
            };
            let mut bytes = Vec::new();
            stored.write(&mut bytes).expect("written");
            assert_eq!(StoredToken::read(2, &bytes), Ok(stored));
            for length in 0..64 {
                assert!(StoredToken::read(2, &bytes[..length]).is_err(), "{length} bytes");
            }
        }
        assert!(StoredToken::read(2, b"\xff").is_err());
    }
}
