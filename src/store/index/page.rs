//! A page of an index and the names around it: a position, an entry, and the reference that the record keeps.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::Timestamp;
use crate::store::key_value::StoreError;

/// The most entries of a page: 1,000 of 40 bytes stay below 64 KiB.
pub const PAGE_CAPACITY: usize = 1_000;

/// The name of a page, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PageId(pub(in crate::store) u64);

impl PageId {
    /// A name from a number that was never used before.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Reads what is printed of one.
    pub(in crate::store) fn parse(text: &str) -> Option<Self> {
        u64::from_str_radix(text, 16).ok().map(Self)
    }
}

impl fmt::Display for PageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

/// Where something stands in the listing: by the time it was created, then by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub created_at: Timestamp,
    pub id: Uuid,
}

/// What the listing knows of a snapshot or a volume without its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub position: Position,
    /// The volume of a snapshot, so that the filter by volume needs no rows; the nil UUID for a volume.
    pub volume_id: Uuid,
}

/// The entries of a page, newest first; none of them is ever changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page(pub Vec<Entry>);

/// Which entries of a page are removed: one bit for each, in the page's order; bytes that are missing are zero.
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

    /// What is left of a page's entries.
    pub(super) fn remaining(&self, page: Page) -> Vec<Entry> {
        if self.0.is_empty() {
            return page.0;
        }
        page.0.into_iter().enumerate().filter(|(number, _)| !self.contains(*number)).map(|(_, entry)| entry).collect()
    }
}

/// What the record knows of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageReference {
    pub(in crate::store) id: PageId,
    /// Its newest entry; everything in it is at or before that.
    pub(in crate::store) newest: Position,
    /// How many entries it holds, removed ones included.
    pub(in crate::store) count: usize,
    pub(in crate::store) removed: Removed,
}

impl PageReference {
    /// A reference to a page of which nothing is removed.
    pub(super) const fn new(id: PageId, newest: Position, count: usize) -> Self {
        Self { id, newest, count, removed: Removed(Vec::new()) }
    }

    /// How many entries are left in it.
    pub(super) fn len(&self) -> usize {
        self.count.saturating_sub(self.removed.len())
    }
}

/// What a change of an index asks of the store: pages to write before the record, and pages that it leaves behind.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct PageChanges {
    pub written: Vec<(PageId, Page)>,
    pub retired: Vec<PageId>,
    /// Whether to leave pages alone where a new one does as well, since enough are waiting to be deleted.
    pub retires_little: bool,
}

/// Where an index gets pages and page names from while it changes.
pub trait PageSource {
    /// Pages by name, in the order asked for.
    ///
    /// # Errors
    ///
    /// What reading the store gives, or that one of them is gone.
    fn read(&self, ids: &[PageId]) -> Result<Vec<Page>, StoreError>;

    /// A name for a page, never given before.
    fn fresh(&self) -> PageId;
}

impl PageChanges {
    /// What is left of neighbouring pages that are about to be replaced.
    pub(super) fn take(&mut self, pages: &[PageReference], source: &dyn PageSource) -> Result<Vec<Entry>, StoreError> {
        let is_fresh = |id: &PageId| self.written.iter().any(|(own, _)| own == id);
        let stored: Vec<PageId> = pages.iter().map(|page| page.id).filter(|id| !is_fresh(id)).collect();
        let mut read = source.read(&stored)?.into_iter();
        self.retired.extend(stored);
        let mut entries = Vec::new();
        for page in pages {
            let fresh = self.written.iter().position(|(own, _)| *own == page.id);
            let own = fresh.map(|at| self.written.swap_remove(at).1).or_else(|| read.next());
            entries.append(&mut page.removed.remaining(own.unwrap_or_default()));
        }
        Ok(entries)
    }

    /// A fresh page with these entries; none for no entries.
    pub(super) fn write(&mut self, entries: Vec<Entry>, source: &dyn PageSource) -> Option<PageReference> {
        let newest = entries.first()?.position;
        let id = source.fresh();
        let reference = PageReference::new(id, newest, entries.len());
        self.written.push((id, Page(entries)));
        Some(reference)
    }
}

/// Where a position stands among entries, or where it would.
pub(in crate::store) fn search(entries: &[Entry], position: Position) -> Result<usize, usize> {
    entries.binary_search_by(|entry| position.cmp(&entry.position))
}
