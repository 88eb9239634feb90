//! How the keys of the store are spelled: `vs:KIND:NAME`, of letters, digits and `:._-` only, at most 255 bytes, so
//! that every backend of Spin takes them (`design/spin-facts.md`, "Key-value truth table").

use std::fmt::Write as _;

use crate::domain::identifiers::prefixed;
use crate::domain::{ProjectId, SnapshotId, VolumeId};

use super::agenda::Kind;
use super::index::PageId;
use super::tokens::TokenDigest;

/// What every key of this service begins with.
pub const PREFIX: &str = "vs:";

/// What the keys of rows begin with; an id follows.
pub const fn of_rows(kind: Kind) -> &'static str {
    match kind {
        Kind::Snapshot => "vs:snapshot:",
        Kind::Volume => "vs:volume:",
    }
}

/// What the keys of pages begin with.
pub const PAGES: &str = "vs:page:";

/// The row of a snapshot.
pub fn snapshot(id: SnapshotId) -> String {
    prefixed(of_rows(Kind::Snapshot), id.as_uuid())
}

/// The row of a volume.
pub fn volume(id: VolumeId) -> String {
    prefixed(of_rows(Kind::Volume), id.as_uuid())
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
pub fn agenda(place: usize) -> String {
    numbered("vs:agenda:", place)
}

/// One of the values of which the directory of projects consists.
pub fn directory(place: usize) -> String {
    numbered("vs:projects:", place)
}

/// A key that ends with the two digits of a place. An idle run of the scheduled step makes seventeen of them.
fn numbered(kind: &str, place: usize) -> String {
    let digits = [place / 10 % 10, place % 10].map(|digit| char::from(b"0123456789"[digit]));
    let mut key = String::with_capacity(kind.len() + digits.len());
    key.push_str(kind);
    key.extend(digits);
    key
}

/// The counter that settles who makes the agenda and the directory.
pub const DIRECTORY_CLAIM: &str = "vs:claim-directory";

/// The list of all projects of format version 1, which is read and never written.
pub const FORMER_DIRECTORY: &str = "vs:projects";

/// What an earlier repair suspected to be of no use.
pub const SUSPECTS: &str = "vs:suspects";

/// A place in the cache of what Keystone said about tokens.
pub fn token(digest: &TokenDigest) -> String {
    format!("{PREFIX}token:{}", digest.place())
}

/// The service user's own token, sealed.
pub const OWN_TOKEN: &str = "vs:own-token";

/// What concerns the whole deployment: default quotas, services, filters.
pub const DEPLOYMENT: &str = "vs:deployment";

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
        assert_eq!([agenda(3), agenda(15), directory(0)], ["vs:agenda:03", "vs:agenda:15", "vs:projects:00"]);
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
