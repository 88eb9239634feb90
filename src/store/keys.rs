//! How the keys of the store are spelled: `vs1:KIND:NAME`, of letters, digits and `:._-` only, at most 255 bytes, so
//! that every backend of Spin takes them (`design/spin-facts.md`, "Key-value truth table").

use std::fmt::Write as _;

use uuid::Uuid;

use crate::domain::ProjectId;
use crate::domain::identifiers::prefixed;

use super::index::PageId;
use super::row::Kind;

/// What every key of this service begins with.
pub const PREFIX: &str = "vs1:";

/// What the keys of pages begin with.
pub const PAGES: &str = "vs1:page:";

/// Returns the key of a row.
pub fn row(kind: Kind, id: Uuid) -> String {
    prefixed(kind.key_prefix(), id)
}

/// The record of a project.
pub fn project(id: &ProjectId) -> String {
    format!("{PREFIX}project:{}", portable(id))
}

/// The counter that settles who makes a project's record.
pub fn claim(id: &ProjectId) -> String {
    format!("{PREFIX}claim:{}", portable(id))
}

/// A page of an index.
pub fn page(id: PageId) -> String {
    format!("{PAGES}{id}")
}

/// One of the values of which the agenda consists.
pub fn agenda(slot: usize) -> String {
    numbered("vs1:agenda:", slot)
}

/// One of the values of which the directory of projects consists.
pub fn directory(slot: usize) -> String {
    numbered("vs1:projects:", slot)
}

/// A key that ends with the two digits of a place. An idle run of the scheduled step makes seventeen of them.
fn numbered(kind: &str, slot: usize) -> String {
    let digits = [slot / 10 % 10, slot % 10].map(|digit| char::from(b"0123456789"[digit]));
    let mut key = String::with_capacity(kind.len() + digits.len());
    key.push_str(kind);
    key.extend(digits);
    key
}

/// The counter that settles who makes the agenda and the directory.
pub const SHARED_CLAIM: &str = "vs1:claim-directory";

/// What an earlier repair suspected to be of no use.
pub const SUSPECTS: &str = "vs1:suspects";

/// A place in the cache of what Keystone said about tokens.
pub fn token(slot: &str) -> String {
    format!("{PREFIX}token:{slot}")
}

/// The service user's own token, sealed.
pub const OWN_TOKEN: &str = "vs1:own-token";

/// What concerns the whole deployment: default quotas, services, filters.
pub const DEPLOYMENT: &str = "vs1:deployment";

/// Spells a project id with portable characters; two ids never share a spelling. An id has at most 64 bytes, each
/// of which takes at most three, so a key stays below 255.
fn portable(id: &ProjectId) -> String {
    let mut spelled = String::with_capacity(id.as_str().len());
    for byte in id.as_str().bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' {
            spelled.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(spelled, "_{byte:02x}");
        }
    }
    spelled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_two_digits() {
        assert_eq!([agenda(3), agenda(15), directory(0)], ["vs1:agenda:03", "vs1:agenda:15", "vs1:projects:00"]);
    }

    #[test]
    fn keys_are_portable_and_short_and_never_collide() {
        let ids = ["a1", "A1", "a_1", "a 1", "a/1", "_201", "é", &"/".repeat(64)];
        let keys: std::collections::BTreeSet<String> =
            ids.iter().map(|id| project(&id.parse().expect("a project id"))).collect();
        assert_eq!(keys.len(), ids.len());
        for key in keys {
            assert!(key.len() <= 255, "{key}");
            assert!(key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":._-".contains(&byte)), "{key}");
        }
    }
}
