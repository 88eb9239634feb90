//! A page of an index, and its parts: positions, entries, and the references that the record keeps.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::Timestamp;
use crate::store::key_value::StoreError;
use crate::store::keys;

/// The most entries of a page. 1,000 entries of 40 bytes stay below 64 KiB.
pub const PAGE_CAPACITY: usize = 1_000;

/// The id of a page. No id is used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PageId(pub(in crate::store) u64);

impl PageId {
    /// Returns the id for a number that was never used before.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Parses an id from its displayed form.
    pub(in crate::store) fn parse(string: &str) -> Option<Self> {
        u64::from_str_radix(string, 16).ok().map(Self)
    }
}

impl fmt::Display for PageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

/// The position of a row in its index: by its time of creation, and then by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub created_at: Timestamp,
    pub id: Uuid,
}

/// The part of a snapshot or a volume that the index knows without its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub position: Position,
    /// The volume of a snapshot, so that the filter by volume needs no rows. For a volume it is the nil UUID.
    pub volume_id: Uuid,
}

/// The entries of a page, newest first. They never change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page(pub Vec<Entry>);

/// The removed entries of a page: one bit for each entry, in the page's order. Missing bytes are zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::store) struct Removed(pub(in crate::store) Vec<u8>);

impl Removed {
    pub(super) fn contains(&self, entry: usize) -> bool {
        self.0.get(entry / 8).is_some_and(|byte| byte & (1 << (entry % 8)) != 0)
    }

    pub(super) fn insert(&mut self, entry: usize) {
        if self.0.len() <= entry / 8 {
            self.0.resize(entry / 8 + 1, 0);
        }
        self.0[entry / 8] |= 1 << (entry % 8);
    }

    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|byte| byte.count_ones() as usize).sum()
    }

    /// Returns the entries of a page that are not removed.
    pub(super) fn remaining(&self, page: Page) -> Vec<Entry> {
        if self.0.is_empty() {
            return page.0;
        }
        page.0.into_iter().enumerate().filter(|(number, _)| !self.contains(*number)).map(|(_, entry)| entry).collect()
    }
}

/// The record's reference to a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageReference {
    pub(in crate::store) id: PageId,
    /// The position of the newest entry when the page was written. Every entry is at or before it.
    pub(in crate::store) newest: Position,
    /// The number of entries in the page, including removed ones.
    pub(in crate::store) count: usize,
    pub(in crate::store) removed: Removed,
}

impl PageReference {
    /// Returns a reference to a page without removed entries.
    pub(super) const fn new(id: PageId, newest: Position, count: usize) -> Self {
        Self { id, newest, count, removed: Removed(Vec::new()) }
    }

    /// Checks that a page is the one that the reference was made for.
    pub(super) fn check(&self, page: &Page) -> Result<(), StoreError> {
        if page.0.len() == self.count && page.0.first().is_some_and(|entry| entry.position == self.newest) {
            return Ok(());
        }
        let reason = "it is not the page that its index names".to_owned();
        Err(StoreError::Corrupt { key: keys::page(self.id), reason })
    }

    /// Returns the number of entries that are not removed.
    pub(super) fn len(&self) -> usize {
        self.count.saturating_sub(self.removed.len())
    }
}

/// The changes of pages that go with a change of an index: pages to write before the record, and pages to retire.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct PageChanges {
    pub written: Vec<(PageId, Page)>,
    pub retired: Vec<PageId>,
    /// Whether to write a new page instead of replacing one where possible, since enough pages are waiting to be
    /// deleted.
    pub retires_little: bool,
}

/// The source of pages and page ids for an index while it changes.
pub trait PageSource {
    /// Returns pages, in the order of their ids.
    ///
    /// # Errors
    ///
    /// An error of the store, or a missing page.
    fn read(&self, ids: &[PageId]) -> Result<Vec<Page>, StoreError>;

    /// Returns a page id that was never used before.
    fn fresh(&self) -> PageId;
}

impl PageChanges {
    /// Retires neighbouring pages, and returns their remaining entries.
    pub(super) fn take(&mut self, pages: &[PageReference], source: &dyn PageSource) -> Result<Vec<Entry>, StoreError> {
        let is_fresh = |id: &PageId| self.written.iter().any(|(own, _)| own == id);
        let stored: Vec<PageId> = pages.iter().map(|page| page.id).filter(|id| !is_fresh(id)).collect();
        let mut read = source.read(&stored)?.into_iter();
        self.retired.extend(stored);
        let mut entries = Vec::new();
        for page in pages {
            let fresh = self.written.iter().position(|(own, _)| *own == page.id);
            let own = fresh.map(|at| self.written.swap_remove(at).1).or_else(|| read.next()).unwrap_or_default();
            page.check(&own)?;
            entries.append(&mut page.removed.remaining(own));
        }
        Ok(entries)
    }

    /// Adds a new page with these entries, and returns the reference to it, or `None` if there are no entries.
    pub(super) fn write(&mut self, entries: Vec<Entry>, source: &dyn PageSource) -> Option<PageReference> {
        let newest = entries.first()?.position;
        let id = source.fresh();
        let reference = PageReference::new(id, newest, entries.len());
        self.written.push((id, Page(entries)));
        Some(reference)
    }
}

/// Searches for a position among entries. As in `binary_search`, `Err` is the index at which it would be inserted.
pub(in crate::store) fn search(entries: &[Entry], position: Position) -> Result<usize, usize> {
    entries.binary_search_by(|entry| position.cmp(&entry.position))
}
