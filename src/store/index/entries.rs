//! The index itself: a head, and references to pages.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::store::key_value::StoreError;

use super::page::{Entry, PAGE_CAPACITY, PageChanges, PageId, PageReference, PageSource, Position, search};

/// The most entries that the head holds. One more moves the oldest of them to a page.
const HEAD_CAPACITY: usize = 128;

/// The entries that stay in the head after such a move.
const HEAD_KEPT: usize = 28;

/// The index of one kind of resource in one project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    pub(in crate::store) head: Vec<Entry>,
    pub(in crate::store) pages: Vec<PageReference>,
}

/// The location of an entry.
#[derive(Debug, Clone, Copy)]
enum Location {
    Head,
    Page { number: usize, entry: usize },
}

impl Index {
    /// An index without entries.
    pub const EMPTY: Self = Self { head: Vec::new(), pages: Vec::new() };

    /// Builds an index from entries in any order.
    pub fn build(mut entries: Vec<Entry>, source: &dyn PageSource) -> (Self, PageChanges) {
        entries.sort_unstable_by_key(|entry| Reverse(entry.position));
        let older = entries.split_off(entries.len().min(HEAD_KEPT));
        let mut index = Self { head: entries, pages: Vec::new() };
        let mut changes = PageChanges::default();
        for chunk in older.chunks(PAGE_CAPACITY) {
            index.pages.extend(changes.write(chunk.to_vec(), source));
        }
        (index, changes)
    }

    /// Returns the number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.head.len() + self.pages.iter().map(PageReference::len).sum::<usize>()
    }

    /// Returns whether there are no entries.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.head.is_empty() && self.pages.is_empty()
    }

    /// Returns the id of every page that the index names.
    pub fn pages(&self) -> impl Iterator<Item = PageId> + '_ {
        self.pages.iter().map(|page| page.id)
    }

    /// Leaves out pages that were read before. A page never changes, so entries that are new are in the others or in the
    /// head.
    pub fn leave_out(&mut self, pages: &BTreeSet<PageId>) {
        self.pages.retain(|page| !pages.contains(&page.id));
    }

    /// Returns the newest entries, which need no page.
    #[must_use]
    pub fn newest(&self) -> &[Entry] {
        &self.head
    }

    /// Inserts an entry, and returns whether it is new.
    ///
    /// # Errors
    ///
    /// An error of reading a page. The index must then be discarded.
    pub fn insert(
        &mut self,
        entry: Entry,
        changes: &mut PageChanges,
        source: &dyn PageSource,
    ) -> Result<bool, StoreError> {
        let Some(number) = self.page_of(entry.position) else {
            let inserted = insert_in_order(&mut self.head, entry);
            if self.head.len() > HEAD_CAPACITY {
                self.spill(changes, source)?;
            }
            return Ok(inserted);
        };
        let mut entries = changes.take(&self.pages[number..=number], source)?;
        let inserted = insert_in_order(&mut entries, entry);
        let parts = if entries.len() > PAGE_CAPACITY {
            let older = entries.split_off(entries.len() / 2);
            vec![entries, older]
        } else {
            vec![entries]
        };
        let written: Vec<_> = parts.into_iter().filter_map(|part| changes.write(part, source)).collect();
        self.pages.splice(number..=number, written);
        Ok(inserted)
    }

    /// Returns the positions that have an entry.
    ///
    /// # Errors
    ///
    /// An error of reading a page.
    pub fn listed(&self, positions: &[Position], source: &dyn PageSource) -> Result<Vec<Position>, StoreError> {
        Ok(self.find(positions, source)?.into_iter().map(|(position, _)| position).collect())
    }

    /// Removes entries, and returns the positions that had one. Other positions are skipped. Empty pages are retired.
    ///
    /// # Errors
    ///
    /// An error of reading a page. The index must then be discarded.
    pub fn remove(
        &mut self,
        positions: &[Position],
        changes: &mut PageChanges,
        source: &dyn PageSource,
    ) -> Result<Vec<Position>, StoreError> {
        let mut removed = Vec::new();
        for (position, location) in self.find(positions, source)? {
            match location {
                Location::Head => self.head.retain(|entry| entry.position != position),
                Location::Page { number, entry } => self.pages[number].removed.insert(entry),
            }
            removed.push(position);
        }
        self.pages.retain(|page| {
            let is_empty = page.len() == 0;
            if is_empty {
                changes.retired.push(page.id);
            }
            !is_empty
        });
        Ok(removed)
    }

    /// Returns the locations of the positions that have an entry. All pages are read in one call.
    fn find(&self, positions: &[Position], source: &dyn PageSource) -> Result<Vec<(Position, Location)>, StoreError> {
        let mut found = Vec::new();
        let mut by_page: BTreeMap<usize, Vec<Position>> = BTreeMap::new();
        for position in positions {
            let Some(number) = self.page_of(*position) else {
                if search(&self.head, *position).is_ok() {
                    found.push((*position, Location::Head));
                }
                continue;
            };
            by_page.entry(number).or_default().push(*position);
        }
        let ids: Vec<PageId> = by_page.keys().map(|number| self.pages[*number].id).collect();
        for ((number, wanted), page) in by_page.into_iter().zip(source.read(&ids)?) {
            self.pages[number].check(&page)?;
            for position in wanted {
                if let Ok(entry) = search(&page.0, position)
                    && !self.pages[number].removed.contains(entry)
                {
                    found.push((position, Location::Page { number, entry }));
                }
            }
        }
        Ok(found)
    }

    /// Returns whether [`Index::compact`] has something to do.
    #[must_use]
    pub fn is_sparse(&self) -> bool {
        self.sparse_run().is_some()
    }

    /// Rewrites neighbouring pages as one page without their removed entries, and returns whether it did so. Each call
    /// writes at most one page.
    ///
    /// # Errors
    ///
    /// An error of reading a page. The index must then be discarded.
    pub fn compact(&mut self, changes: &mut PageChanges, source: &dyn PageSource) -> Result<bool, StoreError> {
        let Some(run) = self.sparse_run() else { return Ok(false) };
        let entries = changes.take(&self.pages[run.clone()], source)?;
        let written = changes.write(entries, source);
        self.pages.splice(run, written);
        Ok(true)
    }

    /// Returns the pages to merge into one: neighbours that together fill at most half a page, or a page with at least
    /// half of its entries removed and the neighbours that fit in with the rest. So each rewritten entry is paid for by
    /// a removal, and two neighbours always hold more than half a page.
    fn sparse_run(&self) -> Option<std::ops::Range<usize>> {
        let fits = |run: &[PageReference], most: usize| run.iter().map(PageReference::len).sum::<usize>() <= most;
        for (number, page) in self.pages.iter().enumerate() {
            let is_half_removed = page.removed.len() * 2 >= page.count;
            let joins_next = self.pages.get(number..number + 2).is_some_and(|pair| fits(pair, PAGE_CAPACITY / 2));
            if !is_half_removed && !joins_next {
                continue;
            }
            let mut run = number..number + 1;
            while self.pages.get(run.start..=run.end).is_some_and(|longer| fits(longer, PAGE_CAPACITY / 2)) {
                run.end += 1;
            }
            return Some(run);
        }
        None
    }

    /// Moves the oldest entries of the head to the newest page, or to a new page.
    fn spill(&mut self, changes: &mut PageChanges, source: &dyn PageSource) -> Result<(), StoreError> {
        let mut entries = self.head.split_off(HEAD_KEPT);
        let mut replaced = 0..0;
        if let Some(newest) = self.pages.first().filter(|_| !changes.retires_little)
            && newest.len() + entries.len() <= PAGE_CAPACITY
        {
            entries.extend(changes.take(std::slice::from_ref(newest), source)?);
            replaced = 0..1;
        }
        let written = changes.write(entries, source);
        self.pages.splice(replaced, written);
        Ok(())
    }

    /// Returns the number of the page in which a position belongs, or `None` for the head.
    fn page_of(&self, position: Position) -> Option<usize> {
        let newer_pages = self.pages.partition_point(|page| page.newest >= position);
        newer_pages.checked_sub(1)
    }
}

fn insert_in_order(entries: &mut Vec<Entry>, entry: Entry) -> bool {
    match search(entries, entry.position) {
        Ok(_) => false,
        Err(index) => {
            entries.insert(index, entry);
            true
        }
    }
}
