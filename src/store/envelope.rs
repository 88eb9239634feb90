//! What surrounds every stored value: a format version, a revision, and the ids of the last writes.
//!
//! The version lets a newer release read what an older one wrote, and makes an older one refuse what it cannot know.
//! The write ids let a writer who was told "failed" see whether its write has landed, so that nothing is ever
//! applied twice (`design/spin-facts.md`, "What follows for us").

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::key_value::StoreError;

/// The format that this release writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;

/// How many write ids a value remembers: more than the writers that can overtake one in the time of a read.
const REMEMBERED_WRITES: usize = 8;

/// A stored value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope<T> {
    /// The format version.
    #[serde(rename = "v")]
    version: u32,
    /// How often the value was replaced.
    #[serde(rename = "r", default, skip_serializing_if = "is_zero")]
    revision: u64,
    /// The last writes, newest last.
    #[serde(rename = "w", default, skip_serializing_if = "Vec::is_empty")]
    writes: Vec<u64>,
    /// The value itself.
    #[serde(rename = "d")]
    pub data: T,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
const fn is_zero(revision: &u64) -> bool {
    *revision == 0
}

#[derive(Deserialize)]
struct VersionOnly {
    v: u32,
}

impl<T> Envelope<T> {
    /// A value that was never stored.
    pub const fn fresh(data: T) -> Self {
        Self { version: FORMAT_VERSION, revision: 0, writes: Vec::new(), data }
    }

    /// The same place with a new value, marked with the id of the write.
    pub fn replaced<U>(&self, data: U, write_id: u64) -> Envelope<U> {
        let kept = self.writes.len().saturating_sub(REMEMBERED_WRITES - 1);
        let mut writes = self.writes[kept..].to_vec();
        writes.push(write_id);
        Envelope { version: FORMAT_VERSION, revision: self.revision.saturating_add(1), writes, data }
    }

    /// The place alone: its revision and writes, without the value.
    pub fn place(&self) -> Envelope<()> {
        Envelope { version: self.version, revision: self.revision, writes: self.writes.clone(), data: () }
    }

    /// Whether a write has landed here.
    pub fn has_write(&self, write_id: u64) -> bool {
        self.writes.contains(&write_id)
    }
}

impl<T: Serialize> Envelope<T> {
    /// The bytes to store.
    pub fn encode(&self, key: &str) -> Result<Vec<u8>, StoreError> {
        serde_json::to_vec(self).map_err(|error| StoreError::Corrupt { key: key.to_owned(), reason: error.to_string() })
    }
}

impl<T: DeserializeOwned> Envelope<T> {
    /// Reads stored bytes; `key` is named in errors.
    pub fn decode(key: &str, bytes: &[u8]) -> Result<Self, StoreError> {
        match serde_json::from_slice::<Self>(bytes) {
            Ok(envelope) if envelope.version <= FORMAT_VERSION => Ok(envelope),
            Ok(Self { version, .. }) => Err(newer(key, version)),
            // A newer format may differ in everything but its version, so that is looked at before giving up.
            Err(error) => Err(match serde_json::from_slice::<VersionOnly>(bytes) {
                Ok(VersionOnly { v }) if v > FORMAT_VERSION => newer(key, v),
                _ => StoreError::Corrupt { key: key.to_owned(), reason: error.to_string() },
            }),
        }
    }
}

fn newer(key: &str, version: u32) -> StoreError {
    StoreError::UnknownFormat { key: key.to_owned(), version, known: FORMAT_VERSION }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_reads_back_and_remembers_its_last_writes() {
        let mut envelope = Envelope::fresh("a".to_owned());
        for write_id in 0..20 {
            envelope = envelope.replaced(format!("{write_id}"), write_id);
        }
        let read = Envelope::<String>::decode("k", &envelope.encode("k").expect("encodes")).expect("decodes");
        assert_eq!(read, envelope);
        assert!(read.has_write(19) && read.has_write(12));
        assert!(!read.has_write(11), "the ring is bounded");
    }

    #[test]
    fn a_newer_format_is_refused_and_garbage_is_named() {
        let newer = Envelope::<String>::decode("k", br#"{"v":9,"entirely":"different"}"#);
        assert_eq!(newer, Err(StoreError::UnknownFormat { key: "k".to_owned(), version: 9, known: 1 }));
        assert!(matches!(Envelope::<String>::decode("k", b"\xff"), Err(StoreError::Corrupt { .. })));
    }
}
