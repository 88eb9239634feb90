//! The bytes of pages, and of the indexes in a project's record. Entries have a fixed width, so reading a page needs no
//! parser.

use uuid::Uuid;

use crate::domain::Timestamp;
use crate::store::index::{Entry, Index, Page, PageId, PageReference, Position, Removed};

use super::bytes::Bytes;
use super::envelope::Stored;

impl Position {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.created_at.microseconds().to_be_bytes());
        bytes.extend_from_slice(self.id.as_bytes());
    }

    fn read(bytes: &mut Bytes<'_>) -> Result<Self, String> {
        let created_at = Timestamp::from_microseconds(i64::from_be_bytes(bytes.take()?));
        Ok(Self { created_at, id: Uuid::from_bytes(bytes.take()?) })
    }
}

impl Entry {
    fn write(&self, bytes: &mut Vec<u8>) {
        self.position.write(bytes);
        bytes.extend_from_slice(self.volume_id.as_bytes());
    }

    fn read(bytes: &mut Bytes<'_>) -> Result<Self, String> {
        Ok(Self { position: Position::read(bytes)?, volume_id: Uuid::from_bytes(bytes.take()?) })
    }
}

impl Stored for Page {
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        self.0.iter().for_each(|entry| entry.write(bytes));
        Ok(())
    }

    fn read(_version: u32, stored: &[u8]) -> Result<Self, String> {
        let mut bytes = Bytes::new(stored);
        let mut entries = Vec::with_capacity(stored.len() / 40);
        while !bytes.is_empty() {
            entries.push(Entry::read(&mut bytes)?);
        }
        Ok(Self(entries))
    }
}

fn write_length(length: usize, bytes: &mut Vec<u8>) -> Result<(), String> {
    let length = u16::try_from(length).map_err(|_| format!("{length} does not fit two bytes"))?;
    bytes.extend_from_slice(&length.to_be_bytes());
    Ok(())
}

fn read_length(bytes: &mut Bytes<'_>) -> Result<usize, String> {
    Ok(usize::from(u16::from_be_bytes(bytes.take()?)))
}

impl PageReference {
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        bytes.extend_from_slice(&self.id.0.to_be_bytes());
        self.newest.write(bytes);
        write_length(self.count, bytes)?;
        write_length(self.removed.0.len(), bytes)?;
        bytes.extend_from_slice(&self.removed.0);
        Ok(())
    }

    fn read(bytes: &mut Bytes<'_>) -> Result<Self, String> {
        Ok(Self {
            id: PageId(u64::from_be_bytes(bytes.take()?)),
            newest: Position::read(bytes)?,
            count: read_length(bytes)?,
            removed: {
                let length = read_length(bytes)?;
                Removed(bytes.take_slice(length)?.to_vec())
            },
        })
    }
}

impl Index {
    /// Appends the index to the bytes.
    ///
    /// # Errors
    ///
    /// A string, if the index has more pages than the format can count.
    pub(in crate::store) fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        write_length(self.head.len(), bytes)?;
        self.head.iter().for_each(|entry| entry.write(bytes));
        write_length(self.pages.len(), bytes)?;
        self.pages.iter().try_for_each(|page| page.write(bytes))
    }

    /// Reads an index that [`Index::write`] wrote.
    pub(in crate::store) fn read(bytes: &mut Bytes<'_>) -> Result<Self, String> {
        let head = read_length(bytes)?;
        let head = (0..head).map(|_| Entry::read(bytes)).collect::<Result<_, _>>()?;
        let pages = read_length(bytes)?;
        let pages = (0..pages).map(|_| PageReference::read(bytes)).collect::<Result<_, _>>()?;
        Ok(Self { head, pages })
    }
}
