//! Ids as Keystone writes them: 32 hexadecimal digits.

use sha2::{Digest, Sha256};

/// Returns bytes as hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    let halves = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    halves.filter_map(|half| char::from_digit(u32::from(half), 16)).collect()
}

/// Returns an id that depends only on a name, so that it is the same in every start.
pub(crate) fn derived_id(kind: &str, within: &str, name: &str) -> String {
    let mut hash = Sha256::new();
    for part in ["an id of dev-identity", kind, within, name] {
        hash.update(part);
        hash.update([0]);
    }
    let mut id = hexadecimal(&hash.finalize());
    id.truncate(32);
    id
}
