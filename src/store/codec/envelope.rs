//! The line before every stored value: a format version, a revision, and the ids of the last writes. The value follows:
//! a row in bytes, and most other values as JSON.
//!
//! ```text
//! 1 12 90c2d4e81b67 1d2f3b4a5867
//! {"quotas":{}}
//! ```
//!
//! The version lets a newer release read the values of an older one, and makes an older release refuse those of a newer
//! one. The write ids let a writer whose write "failed" see whether it has landed, so no change is ever applied twice
//! (`docs/spec/spin.md`, "What follows for us").

use std::fmt::Write as _;

use crate::store::key_value::StoreError;

/// The format version that this release writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;

/// The write ids that a value remembers: more than the writers that overtake one writer while it reads. If more do so,
/// [`Header::forgot`] detects it.
const REMEMBERED_WRITES: usize = 32;

/// The line before a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// The number of times that the value was replaced.
    revision: u64,
    /// The ids of the last writes, newest last.
    writes: Vec<u64>,
}

impl Header {
    /// Returns the header of the value that replaces this one.
    pub fn next(&self, write_id: u64) -> Self {
        let forgotten = (self.writes.len() + 1).saturating_sub(REMEMBERED_WRITES);
        let mut writes = self.writes[forgotten..].to_vec();
        writes.push(write_id);
        Self { revision: self.revision.saturating_add(1), writes }
    }

    /// Returns whether a write is among the last ones of this value.
    pub fn has_write(&self, write_id: u64) -> bool {
        self.writes.contains(&write_id)
    }

    /// Returns whether a write over `seen` may have landed although it is not remembered here.
    pub fn forgot(&self, seen: &Self) -> bool {
        self.revision.saturating_sub(seen.revision) > REMEMBERED_WRITES as u64
    }

    /// Reads the line, and returns the format version, the header, and the bytes of the value. Errors name `key`.
    pub fn read<'a>(key: &str, stored: &'a [u8]) -> Result<(u32, Self, &'a [u8]), StoreError> {
        let (version, line, value) = split(key, stored)?;
        let corrupt = || corrupt(key);
        let mut words = std::str::from_utf8(line).map_err(|_| corrupt())?.split(' ');
        let revision = words.next().and_then(|word| word.parse().ok()).ok_or_else(corrupt)?;
        let writes: Option<Vec<u64>> = words.map(|word| u64::from_str_radix(word, 16).ok()).collect();
        Ok((version, Self { revision, writes: writes.ok_or_else(corrupt)? }, value))
    }
}

fn corrupt(key: &str) -> StoreError {
    StoreError::Corrupt { key: key.to_owned(), reason: "it has no header".to_owned() }
}

/// Returns whether two stored values that were replaced at least once are of the same write. A write has a random id, so
/// the lines before the values decide.
pub fn is_same_write(one: &[u8], two: &[u8]) -> bool {
    let line = two.iter().position(|byte| *byte == b'\n').map(|end| &two[..=end]);
    line.is_some_and(|line| one.starts_with(line))
}

/// Splits stored bytes into the format version, the rest of the first line, and the bytes of the value.
fn split<'a>(key: &str, stored: &'a [u8]) -> Result<(u32, &'a [u8], &'a [u8]), StoreError> {
    let version = stored.iter().position(|byte| *byte == b' ').ok_or_else(|| corrupt(key))?;
    let (version, rest) = (&stored[..version], &stored[version + 1..]);
    let end = rest.iter().position(|byte| *byte == b'\n').ok_or_else(|| corrupt(key))?;
    let version =
        std::str::from_utf8(version).ok().and_then(|version| version.parse().ok()).ok_or_else(|| corrupt(key))?;
    if version == 0 {
        return Err(corrupt(key));
    }
    if version > FORMAT_VERSION {
        return Err(StoreError::UnknownFormat { key: key.to_owned(), version, known: FORMAT_VERSION });
    }
    Ok((version, &rest[..end], &rest[end + 1..]))
}

/// A value that can be stored after its header.
pub trait Stored: Sized {
    /// Appends the value to the bytes.
    ///
    /// # Errors
    ///
    /// A string that names the part that the format cannot hold.
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String>;

    /// Reads a value that a release of this or an older format version wrote.
    ///
    /// # Errors
    ///
    /// A string that says what is wrong with the bytes.
    fn read(version: u32, bytes: &[u8]) -> Result<Self, String>;
}

/// Implements [`Stored`] for a type whose JSON is the same in every format version so far. The given function reads it.
macro_rules! stored_as_json {
    ($name:ty, $read:path) => {
        impl $crate::store::codec::envelope::Stored for $name {
            fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
                serde_json::to_writer(bytes, self).map_err(|error| error.to_string())
            }

            fn read(_version: u32, bytes: &[u8]) -> Result<Self, String> {
                $read(bytes).map_err(|error| error.to_string())
            }
        }
    };
}
pub(in crate::store) use stored_as_json;

/// Returns the bytes to store for a value.
pub fn encode<T: Stored>(key: &str, header: &Header, value: &T) -> Result<Vec<u8>, StoreError> {
    let mut line = format!("{FORMAT_VERSION} {}", header.revision);
    for write in &header.writes {
        // Writing to a String cannot fail.
        let _ = write!(line, " {write:x}");
    }
    line.push('\n');
    let mut bytes = line.into_bytes();
    value.write(&mut bytes).map_err(|reason| StoreError::Corrupt { key: key.to_owned(), reason })?;
    Ok(bytes)
}

/// Returns the bytes to store for a value that was never stored before.
pub fn encode_fresh<T: Stored>(key: &str, value: &T) -> Result<Vec<u8>, StoreError> {
    encode(key, &Header::default(), value)
}

/// Decodes only the value. A reader does not need the write ids, and a list would parse a header for every row.
pub fn decode_value<T: Stored>(key: &str, stored: &[u8]) -> Result<T, StoreError> {
    let (version, line, value) = split(key, stored)?;
    // Enough to recognize a header of ours.
    if !line.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b' ') {
        return Err(corrupt(key));
    }
    T::read(version, value).map_err(|reason| StoreError::Corrupt { key: key.to_owned(), reason })
}

/// Decodes a value that may be absent.
pub fn decode_optional<T: Stored>(key: &str, stored: Option<Vec<u8>>) -> Result<Option<T>, StoreError> {
    stored.map(|bytes| decode_value(key, &bytes)).transpose()
}

/// Decodes a value together with its header, so that it can be replaced.
pub fn decode<T: Stored>(key: &str, stored: &[u8]) -> Result<(Header, T), StoreError> {
    let (version, header, value) = Header::read(key, stored)?;
    let value = T::read(version, value).map_err(|reason| StoreError::Corrupt { key: key.to_owned(), reason })?;
    Ok((header, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Anything {
        string: String,
    }

    stored_as_json!(Anything, crate::json::read);

    #[test]
    fn a_value_reads_back_and_remembers_its_last_writes() {
        let mut header = Header::default();
        let first = header.clone();
        for write_id in 0..40 {
            assert_eq!(header.forgot(&first), write_id > 32, "{write_id}");
            header = header.next(write_id);
        }
        let written = Anything { string: "line\nbreak".to_owned() };
        let bytes = encode("k", &header, &written).expect("encodes");
        let (read, value): (Header, Anything) = decode("k", &bytes).expect("decodes");
        assert_eq!((read.clone(), value), (header, written));
        assert_eq!(read.revision, 40);
        assert!(read.has_write(39) && read.has_write(8));
        assert!(!read.has_write(7), "the ring is bounded");
    }

    #[test]
    fn a_newer_format_is_refused_and_garbage_is_named() {
        let newer = Header::read("k", b"9 something entirely different\n\xff");
        assert_eq!(newer, Err(StoreError::UnknownFormat { key: "k".to_owned(), version: 9, known: FORMAT_VERSION }));
        for garbage in [b"".as_slice(), b"\xff", b"{}", b"0 1\n{}", b"1\n{}", b"1 x\n{}", b"1 1 zz\n{}", b"1 1\n\xff"] {
            let read = decode::<Anything>("k", garbage);
            assert!(matches!(read, Err(StoreError::Corrupt { .. })), "{garbage:?}");
        }
    }
}
