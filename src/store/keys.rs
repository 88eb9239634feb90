//! The keys of the store: `vs1:KIND:NAME`, in letters, digits, and `:._-` only, at most 255 bytes, so that every backend
//! of Spin accepts them (`docs/spec/spin.md`, "Key-value truth table").

use std::fmt::Write as _;

use uuid::Uuid;

use crate::domain::ProjectId;
use crate::domain::identifiers::prefixed;

use super::index::PageId;
use super::row::Kind;

/// The prefix of every key of this service.
pub const PREFIX: &str = "vs1:";

/// The prefix of the keys of pages.
pub const PAGES: &str = "vs1:page:";

/// The prefix of the keys of projects' records.
pub const PROJECTS: &str = "vs1:project:";

/// Returns the key of a row.
pub fn row(kind: Kind, id: Uuid) -> String {
    prefixed(kind.key_prefix(), id)
}

/// Returns the key of a project's record.
pub fn project(id: &ProjectId) -> String {
    format!("{PROJECTS}{}", portable(id))
}

/// Returns the project whose record has a key, if the key is that of a record.
pub fn project_of(key: &str) -> Option<ProjectId> {
    let mut encoded = key.strip_prefix(PROJECTS)?.bytes();
    let mut bytes = Vec::with_capacity(encoded.len());
    while let Some(byte) = encoded.next() {
        if byte == b'_' {
            let digits = [encoded.next()?, encoded.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()?.parse().ok()
}

/// Returns the key of the counter that decides which writer creates a project's record.
pub fn claim(id: &ProjectId) -> String {
    format!("{PREFIX}claim:{}", portable(id))
}

/// Returns the key of a page of an index.
pub fn page(id: PageId) -> String {
    format!("{PAGES}{id}")
}

/// Returns the key of a slot of the agenda.
pub fn agenda(slot: usize) -> String {
    numbered("vs1:agenda:", slot)
}

/// Returns the key of a slot of the directory of projects.
pub fn directory(slot: usize) -> String {
    numbered("vs1:projects:", slot)
}

/// Returns a key that ends with the two digits of a slot. An idle run of the scheduled step builds seventeen of them,
/// so this avoids `format!`.
fn numbered(kind: &str, slot: usize) -> String {
    let digits = [slot / 10 % 10, slot % 10].map(|digit| char::from(b"0123456789"[digit]));
    let mut key = String::with_capacity(kind.len() + digits.len());
    key.push_str(kind);
    key.extend(digits);
    key
}

/// The key of the counter that decides which writer creates the agenda and the directory.
pub const SHARED_CLAIM: &str = "vs1:claim-directory";

/// The key of the pages that an earlier repair suspected to be unused.
pub const SUSPECTS: &str = "vs1:suspects";

/// Returns the key of a slot in the cache of Keystone's answers about tokens.
pub fn token(slot: &str) -> String {
    format!("{PREFIX}token:{slot}")
}

/// The key of the service user's own token, which is sealed.
pub const OWN_TOKEN: &str = "vs1:own-token";

/// The key of the tokens that Keystone refused lately.
pub const REFUSALS: &str = "vs1:refusals";

/// The key of the service user's last login, if it failed.
pub const FAILED_LOGIN: &str = "vs1:failed-login";

/// The key of the last write of the readiness check.
pub const READINESS: &str = "vs1:readiness";

/// The key of the counter that decides which writer creates the deployment's record.
pub const DEPLOYMENT_CLAIM: &str = "vs1:claim-deployment";

/// The key of the deployment's record.
pub const DEPLOYMENT: &str = "vs1:deployment";

/// Returns whether a key is of a value that clients see: a row, a record, the deployment, or the types. All others, such as pages and the
/// agenda, only accompany these.
pub fn is_of_state(key: &str) -> bool {
    Kind::ALL.into_iter().any(|kind| key.starts_with(kind.key_prefix()))
        || key.starts_with(PROJECTS)
        || key == DEPLOYMENT
        || key == VOLUME_TYPES
        || key == GROUP_TYPES
}

/// The key of the volume types.
pub const VOLUME_TYPES: &str = "vs1:volume-types";

/// The key of the counter that decides which writer creates the volume types.
pub const VOLUME_TYPES_CLAIM: &str = "vs1:claim-volume-types";

/// The key of the group types.
pub const GROUP_TYPES: &str = "vs1:group-types";

/// The key of the counter that decides which writer creates the group types.
pub const GROUP_TYPES_CLAIM: &str = "vs1:claim-group-types";

/// Encodes a project id in portable characters, without collisions. An id has at most 64 bytes, and each takes at most
/// three, so a key stays below 255 bytes.
fn portable(id: &ProjectId) -> String {
    let mut encoded = String::with_capacity(id.as_str().len());
    for byte in id.as_str().bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "_{byte:02x}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_has_two_digits() {
        assert_eq!([agenda(3), agenda(15), directory(0)], ["vs1:agenda:03", "vs1:agenda:15", "vs1:projects:00"]);
    }

    #[test]
    fn keys_are_portable_and_short_and_never_collide() {
        let ids = ["a1", "A1", "a_1", "a 1", "a/1", "_201", "é", &"/".repeat(64)];
        let keys: std::collections::BTreeSet<String> =
            ids.iter().map(|id| project(&id.parse().expect("a project id"))).collect();
        assert_eq!(keys.len(), ids.len());
        for (id, key) in ids.iter().map(|id| (id, project(&id.parse().expect("a project id")))) {
            assert_eq!(project_of(&key).map(|project| project.to_string()), Some((*id).to_string()), "{key}");
        }
        for key in keys {
            assert!(key.len() <= 255, "{key}");
            assert!(key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":._-".contains(&byte)), "{key}");
        }
    }
}
