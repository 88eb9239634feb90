//! What stands before every stored value: a line with a format version, a revision, and the ids of the last writes.
//! The value follows, rows in bytes and most others as JSON:
//!
//! ```text
//! 1 12 90c2d4e81b67 1d2f3b4a5867
//! {"quotas":{}}
//! ```
//!
//! The version lets a newer release read what an older one wrote, and makes an older one refuse what it cannot know.
//! The write ids let a writer who was told "failed" see whether its write has landed, so that nothing is ever
//! applied twice (`design/spin-facts.md`, "What follows for us").

use std::fmt::Write as _;

use crate::store::key_value::StoreError;

/// The format version that this release writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;

/// How many write ids a value remembers: more than the writers that overtake one in the time of a read. Should more do
/// so, [`Header::forgot`] tells.
const REMEMBERED_WRITES: usize = 32;

/// The line before a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// How often the value was replaced.
    revision: u64,
    /// The last writes, newest last.
    writes: Vec<u64>,
}

impl Header {
    /// The header of the value that replaces this one.
    pub fn next(&self, write_id: u64) -> Self {
        let forgotten = (self.writes.len() + 1).saturating_sub(REMEMBERED_WRITES);
        let mut writes = self.writes[forgotten..].to_vec();
        writes.push(write_id);
        Self { revision: self.revision.saturating_add(1), writes }
    }

    /// Whether a write has landed here.
    pub fn has_write(&self, write_id: u64) -> bool {
        self.writes.contains(&write_id)
    }

    /// Whether a write that was meant to follow `seen` and is not remembered here may have landed all the same.
    pub fn forgot(&self, seen: &Self) -> bool {
        self.revision.saturating_sub(seen.revision) > REMEMBERED_WRITES as u64
    }

    /// Reads the line: the format version too. The rest is the value; `key` is named in errors.
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

/// The format version of stored bytes, the rest of their first line, and the value behind it.
fn split<'a>(key: &str, stored: &'a [u8]) -> Result<(u32, &'a [u8], &'a [u8]), StoreError> {
    let version = stored.iter().position(|byte| *byte == b' ').ok_or_else(|| corrupt(key))?;
    let (version, rest) = (&stored[..version], &stored[version + 1..]);
    let end = rest.iter().position(|byte| *byte == b'\n').ok_or_else(|| corrupt(key))?;
    let version =
        std::str::from_utf8(version).ok().and_then(|version| version.parse().ok()).ok_or_else(|| corrupt(key))?;
    if version > FORMAT_VERSION {
        return Err(StoreError::UnknownFormat { key: key.to_owned(), version, known: FORMAT_VERSION });
    }
    Ok((version, &rest[..end], &rest[end + 1..]))
}

/// A value as it is stored behind its header.
pub trait Stored: Sized {
    /// Writes it behind what is there.
    ///
    /// # Errors
    ///
    /// A text that says what the format cannot hold.
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String>;

    /// Reads what a release of this or an older format version has written.
    ///
    /// # Errors
    ///
    /// A text that says what is wrong with it.
    fn read(version: u32, bytes: &[u8]) -> Result<Self, String>;
}

/// Makes a type whose JSON is the same in every format version so far [`Stored`]; the function reads it.
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

/// The bytes to store for a value.
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

/// The bytes to store for a value that was never stored.
pub fn encode_fresh<T: Stored>(key: &str, value: &T) -> Result<Vec<u8>, StoreError> {
    encode(key, &Header::default(), value)
}

/// Reads stored bytes of which only the value is wanted. Who only reads need not know who has written, and a list reads
/// a header in every row.
pub fn decode_value<T: Stored>(key: &str, stored: &[u8]) -> Result<T, StoreError> {
    let (version, line, value) = split(key, stored)?;
    // Enough to know it for one of ours.
    if !line.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b' ') {
        return Err(corrupt(key));
    }
    T::read(version, value).map_err(|reason| StoreError::Corrupt { key: key.to_owned(), reason })
}

/// Reads a value that may be absent.
pub fn decode_optional<T: Stored>(key: &str, stored: Option<Vec<u8>>) -> Result<Option<T>, StoreError> {
    stored.map(|bytes| decode_value(key, &bytes)).transpose()
}

/// Reads stored bytes, to write others in their place.
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
        text: String,
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
        let written = Anything { text: "line\nbreak".to_owned() };
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
        for garbage in [b"".as_slice(), b"\xff", b"{}", b"1\n{}", b"1 x\n{}", b"1 1 zz\n{}", b"1 1\n\xff"] {
            let read = decode::<Anything>("k", garbage);
            assert!(matches!(read, Err(StoreError::Corrupt { .. })), "{garbage:?}");
        }
    }
}
