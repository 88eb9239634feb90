//! The listing of what a project holds: entries in order, newest first, in pages.
//!
//! The newest entries stand in the project's record itself (the head); older ones in pages, each a value of its own
//! under a key that is written once. A change writes fresh pages and then the record that names them, so the record
//! is the only thing that writers contend for and a reader of an old record still finds its pages.
//!
//! An entry that is removed from a page is marked in the record and stays in the page, so a removal writes no page.
//! [`Index::compact`] writes pages anew once half of what they hold is marked, so the cost of a page of results does
//! not depend on what was deleted (`docs/adr/0003-agenda-and-compact-pages.md`).
//!
//! Entries have a fixed width in bytes, so that reading a page is no parsing. This module is pure: it is given pages
//! and says which to write.

use std::collections::VecDeque;
use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::Timestamp;
use crate::domain::order::sorted;

use super::bytes::Bytes;
use super::envelope::Stored;
use super::key_value::StoreError;

/// The most entries that the head keeps; one more moves the oldest of them to a page.
const HEAD_CAPACITY: usize = 128;
/// How many entries the head keeps after that.
const HEAD_KEPT: usize = 28;
/// The most entries of a page: 1,000 of 40 bytes stay below 64 KiB.
pub const PAGE_CAPACITY: usize = 1_000;

/// The name of a page, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PageId(u64);

impl PageId {
    /// A name from a number that was never used before.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Reads what is printed of one.
    pub(super) fn parse(text: &str) -> Option<Self> {
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

/// What the listing knows of a snapshot or a volume without its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub position: Position,
    /// The volume of a snapshot, so that the filter by volume needs no rows; the nil UUID for a volume.
    pub volume_id: Uuid,
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

/// The entries of a page, newest first; none of them is ever changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page(pub Vec<Entry>);

impl Stored for Page {
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        self.0.iter().for_each(|entry| entry.write(bytes));
        Ok(())
    }

    fn read(version: u32, stored: &[u8]) -> Result<Self, String> {
        if version == 1 {
            return super::version_1::page(stored);
        }
        let mut bytes = Bytes::new(stored);
        let mut entries = Vec::with_capacity(stored.len() / 40);
        while !bytes.is_empty() {
            entries.push(Entry::read(&mut bytes)?);
        }
        Ok(Self(entries))
    }
}

/// Which entries of a page are removed: one bit for each, in the page's order; bytes that are missing are zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Removed(Vec<u8>);

impl Removed {
    fn contains(&self, entry: usize) -> bool {
        self.0.get(entry / 8).is_some_and(|byte| byte & (1 << (entry % 8)) != 0)
    }

    fn insert(&mut self, entry: usize) {
        if self.0.len() <= entry / 8 {
            self.0.resize(entry / 8 + 1, 0);
        }
        self.0[entry / 8] |= 1 << (entry % 8);
    }

    fn len(&self) -> usize {
        self.0.iter().map(|byte| byte.count_ones() as usize).sum()
    }

    /// What is left of a page's entries.
    fn remaining(&self, page: Page) -> Vec<Entry> {
        if self.0.is_empty() {
            return page.0;
        }
        page.0.into_iter().enumerate().filter(|(number, _)| !self.contains(*number)).map(|(_, entry)| entry).collect()
    }
}

/// What the record knows of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageReference {
    id: PageId,
    /// Its newest entry; everything in it is at or before that.
    newest: Position,
    /// How many entries it holds, removed ones included.
    count: usize,
    removed: Removed,
}

impl PageReference {
    /// A reference to a page of which nothing is removed.
    pub(super) const fn new(id: PageId, newest: Position, count: usize) -> Self {
        Self { id, newest, count, removed: Removed(Vec::new()) }
    }

    /// How many entries are left in it.
    fn len(&self) -> usize {
        self.count.saturating_sub(self.removed.len())
    }

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

/// The listing of one kind of resource in one project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    pub(super) head: Vec<Entry>,
    pub(super) pages: Vec<PageReference>,
}

/// Where an entry stands.
#[derive(Debug, Clone, Copy)]
enum Place {
    Head,
    Page { number: usize, entry: usize },
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

fn write_length(length: usize, bytes: &mut Vec<u8>) -> Result<(), String> {
    let length = u16::try_from(length).map_err(|_| format!("{length} does not fit two bytes"))?;
    bytes.extend_from_slice(&length.to_be_bytes());
    Ok(())
}

fn read_length(bytes: &mut Bytes<'_>) -> Result<usize, String> {
    Ok(usize::from(u16::from_be_bytes(bytes.take()?)))
}

impl Index {
    /// An index of nothing.
    pub const EMPTY: Self = Self { head: Vec::new(), pages: Vec::new() };

    /// An index of entries in any order.
    pub fn build(entries: Vec<Entry>, source: &dyn PageSource) -> (Self, PageChanges) {
        let mut entries = sorted(entries, |one, two| two.position.cmp(&one.position));
        let older = entries.split_off(entries.len().min(HEAD_KEPT));
        let mut index = Self { head: entries, pages: Vec::new() };
        let mut changes = PageChanges::default();
        for chunk in older.chunks(PAGE_CAPACITY) {
            index.pages.extend(changes.write(chunk.to_vec(), source));
        }
        (index, changes)
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.head.len() + self.pages.iter().map(PageReference::len).sum::<usize>()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.head.is_empty() && self.pages.is_empty()
    }

    /// Every page that the index names.
    pub fn pages(&self) -> impl Iterator<Item = PageId> + '_ {
        self.pages.iter().map(|page| page.id)
    }

    /// The newest entries, those that need no page.
    #[must_use]
    pub fn newest(&self) -> &[Entry] {
        &self.head
    }

    /// Adds an entry at its place, and says whether it was not there yet.
    ///
    /// # Errors
    ///
    /// What reading a page gives; the index is then to be thrown away.
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

    /// Of some positions, those that have an entry.
    ///
    /// # Errors
    ///
    /// What reading a page gives.
    pub fn listed(&self, positions: &[Position], source: &dyn PageSource) -> Result<Vec<Position>, StoreError> {
        Ok(self.find(positions, source)?.into_iter().map(|(position, _)| position).collect())
    }

    /// Takes entries out, and says which were there; others are skipped. Pages that run empty are retired.
    ///
    /// # Errors
    ///
    /// What reading a page gives; the index is then to be thrown away.
    pub fn remove(
        &mut self,
        positions: &[Position],
        changes: &mut PageChanges,
        source: &dyn PageSource,
    ) -> Result<Vec<Position>, StoreError> {
        let mut removed = Vec::new();
        for (position, place) in self.find(positions, source)? {
            match place {
                Place::Head => self.head.retain(|entry| entry.position != position),
                Place::Page { number, entry } => self.pages[number].removed.insert(entry),
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

    /// Where entries stand that are there. Reads pages in one call.
    fn find(&self, positions: &[Position], source: &dyn PageSource) -> Result<Vec<(Position, Place)>, StoreError> {
        let mut found = Vec::new();
        let mut by_page: Vec<(usize, Vec<Position>)> = Vec::new();
        for position in positions {
            let Some(number) = self.page_of(*position) else {
                if search(&self.head, *position).is_ok() {
                    found.push((*position, Place::Head));
                }
                continue;
            };
            match by_page.iter_mut().find(|(own, _)| *own == number) {
                Some((_, wanted)) => wanted.push(*position),
                None => by_page.push((number, vec![*position])),
            }
        }
        let ids: Vec<PageId> = by_page.iter().map(|(number, _)| self.pages[*number].id).collect();
        for ((number, wanted), page) in by_page.into_iter().zip(source.read(&ids)?) {
            for position in wanted {
                if let Ok(entry) = search(&page.0, position)
                    && !self.pages[number].removed.contains(entry)
                {
                    found.push((position, Place::Page { number, entry }));
                }
            }
        }
        Ok(found)
    }

    /// Whether [`Index::compact`] has something to do.
    #[must_use]
    pub fn is_sparse(&self) -> bool {
        self.sparse_run().is_some()
    }

    /// Writes some neighbouring pages anew, as one page without what was removed from them; says whether it did. Each
    /// call writes at most one page.
    ///
    /// # Errors
    ///
    /// What reading a page gives; the index is then to be thrown away.
    pub fn compact(&mut self, changes: &mut PageChanges, source: &dyn PageSource) -> Result<bool, StoreError> {
        let Some(run) = self.sparse_run() else { return Ok(false) };
        let entries = changes.take(&self.pages[run.clone()], source)?;
        let written = changes.write(entries, source);
        self.pages.splice(run, written);
        Ok(true)
    }

    /// Pages that are to become one: neighbours that fill no more than half a page together, or a page half of which is
    /// removed, with the neighbours that fit beside what is left of it. So what is written anew is paid for by as many
    /// removals, and two neighbours always hold more than half a page.
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

    /// Moves the oldest entries of the head to the newest page, or to a new one.
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

    /// The number of the page where a position belongs; `None` for the head.
    fn page_of(&self, position: Position) -> Option<usize> {
        let newer_pages = self.pages.partition_point(|page| page.newest >= position);
        newer_pages.checked_sub(1)
    }

    /// Writes the index behind what is there.
    ///
    /// # Errors
    ///
    /// A text, when it has more pages than the format can count.
    pub(super) fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        write_length(self.head.len(), bytes)?;
        self.head.iter().for_each(|entry| entry.write(bytes));
        write_length(self.pages.len(), bytes)?;
        self.pages.iter().try_for_each(|page| page.write(bytes))
    }

    /// Reads what [`Index::write`] wrote.
    pub(super) fn read(bytes: &mut Bytes<'_>) -> Result<Self, String> {
        let head = read_length(bytes)?;
        let head = (0..head).map(|_| Entry::read(bytes)).collect::<Result<_, _>>()?;
        let pages = read_length(bytes)?;
        let pages = (0..pages).map(|_| PageReference::read(bytes)).collect::<Result<_, _>>()?;
        Ok(Self { head, pages })
    }
}

impl PageChanges {
    /// What is left of neighbouring pages that are about to be replaced.
    fn take(&mut self, pages: &[PageReference], source: &dyn PageSource) -> Result<Vec<Entry>, StoreError> {
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
    fn write(&mut self, entries: Vec<Entry>, source: &dyn PageSource) -> Option<PageReference> {
        let newest = entries.first()?.position;
        let id = source.fresh();
        let reference = PageReference::new(id, newest, entries.len());
        self.written.push((id, Page(entries)));
        Some(reference)
    }
}

/// Where a position stands among entries, or where it would.
pub(super) fn search(entries: &[Entry], position: Position) -> Result<usize, usize> {
    entries.binary_search_by(|entry| position.cmp(&entry.position))
}

fn insert_in_order(entries: &mut Vec<Entry>, entry: Entry) -> bool {
    match search(entries, entry.position) {
        Ok(_) => false,
        Err(place) => {
            entries.insert(place, entry);
            true
        }
    }
}

/// Which end of the listing comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    NewestFirst,
    OldestFirst,
}

/// A reader of one index, piece by piece, that asks for no page before its entries are wanted.
#[derive(Debug)]
pub struct IndexReader {
    /// What is still to come, next piece last.
    pieces: Vec<Piece>,
    /// Entries that were loaded and not yet taken, next one first.
    loaded: VecDeque<Entry>,
    direction: Direction,
    after: Option<Position>,
}

#[derive(Debug)]
enum Piece {
    Head(Vec<Entry>),
    Page(PageReference),
}

impl IndexReader {
    /// Reads in a direction, from after a position or from the start.
    #[must_use]
    pub fn new(index: Index, direction: Direction, after: Option<Position>) -> Self {
        let mut pages = index.pages;
        // Pages wholly before the position in reading order are never asked for.
        if let Some(position) = after {
            let reaching = pages.partition_point(|page| page.newest >= position);
            match direction {
                Direction::NewestFirst => drop(pages.drain(..reaching.saturating_sub(1))),
                Direction::OldestFirst => pages.truncate(reaching),
            }
        }
        let mut pieces: Vec<Piece> = Vec::with_capacity(pages.len() + 1);
        pieces.push(Piece::Head(index.head));
        pieces.extend(pages.into_iter().map(Piece::Page));
        if direction == Direction::NewestFirst {
            pieces.reverse();
        }
        let mut reader = Self { pieces, loaded: VecDeque::new(), direction, after };
        reader.load_head();
        reader
    }

    /// The pages that must be supplied before `entries` more entries are known, next one first; none when they are, or
    /// when none are left. Never more than `most`.
    #[must_use]
    pub fn wanted_pages(&self, entries: usize, most: usize) -> Vec<PageId> {
        let mut known = self.loaded.len();
        let mut wanted = Vec::new();
        for piece in self.pieces.iter().rev() {
            let Piece::Page(page) = piece else { break };
            if known >= entries || wanted.len() == most {
                break;
            }
            known += page.len();
            wanted.push(page.id);
        }
        wanted
    }

    /// Whether the next entry is known only once a page is supplied.
    #[must_use]
    pub fn waits_for_page(&self) -> bool {
        self.loaded.is_empty() && matches!(self.pieces.last(), Some(Piece::Page(_)))
    }

    /// Supplies wanted pages, in the order in which they were named.
    pub fn supply(&mut self, pages: Vec<Page>) {
        for page in pages {
            let Some(Piece::Page(reference)) = self.pieces.pop() else { break };
            self.load(reference.removed.remaining(page));
        }
        self.load_head();
    }

    /// The next entry, without taking it.
    #[must_use]
    pub fn peek(&self) -> Option<&Entry> {
        self.loaded.front()
    }

    /// Takes the next entry.
    pub fn take(&mut self) -> Option<Entry> {
        self.loaded.pop_front()
    }

    /// Loads the head if it is next; that needs no store.
    fn load_head(&mut self) {
        if let Some(Piece::Head(_)) = self.pieces.last()
            && let Some(Piece::Head(entries)) = self.pieces.pop()
        {
            self.load(entries);
        }
    }

    fn load(&mut self, mut entries: Vec<Entry>) {
        if self.direction == Direction::OldestFirst {
            entries.reverse();
        }
        if let Some(after) = self.after {
            match self.direction {
                Direction::NewestFirst => entries.retain(|entry| entry.position < after),
                Direction::OldestFirst => entries.retain(|entry| entry.position > after),
            }
        }
        self.loaded.extend(entries);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};
    use std::collections::{BTreeMap, BTreeSet};

    /// Pages as a store would keep them, written only through [`PageChanges`].
    #[derive(Default)]
    struct Pages {
        next: Cell<u64>,
        stored: RefCell<BTreeMap<PageId, Page>>,
    }

    impl PageSource for Pages {
        fn read(&self, ids: &[PageId]) -> Result<Vec<Page>, StoreError> {
            let stored = self.stored.borrow();
            let page = |id| stored.get(id).cloned().ok_or_else(|| StoreError::Failed(format!("no page {id}")));
            ids.iter().map(page).collect()
        }

        fn fresh(&self) -> PageId {
            self.next.set(self.next.get() + 1);
            PageId::new(self.next.get())
        }
    }

    impl Pages {
        fn apply(&self, changes: PageChanges) {
            let mut stored = self.stored.borrow_mut();
            stored.extend(changes.written);
            for id in changes.retired {
                assert!(stored.remove(&id).is_some(), "page {id} is retired once");
            }
        }

        fn read_all(&self, index: &Index, direction: Direction, after: Option<Position>) -> Vec<Entry> {
            let mut reader = IndexReader::new(index.clone(), direction, after);
            let mut entries = Vec::new();
            loop {
                if reader.waits_for_page() {
                    let pages = reader.wanted_pages(1_500, 8);
                    reader.supply(self.read(&pages).expect("pages that the index names"));
                } else if let Some(entry) = reader.take() {
                    entries.push(entry);
                } else {
                    return entries;
                }
            }
        }
    }

    fn entry(second: i64, id: u128) -> Entry {
        let position = Position { created_at: Timestamp::from_seconds(second), id: Uuid::from_u128(id) };
        Entry { position, volume_id: Uuid::nil() }
    }

    fn check(index: &Index, pages: &Pages, expected: &[Entry]) {
        assert_eq!(index.len(), expected.len());
        assert_eq!(pages.read_all(index, Direction::NewestFirst, None), expected);
        let mut upwards = expected.to_vec();
        upwards.reverse();
        assert_eq!(pages.read_all(index, Direction::OldestFirst, None), upwards);
        for marker in expected.iter().step_by(97) {
            let older: Vec<_> = expected.iter().copied().filter(|e| e.position < marker.position).collect();
            assert_eq!(pages.read_all(index, Direction::NewestFirst, Some(marker.position)), older);
            let newer: Vec<_> = upwards.iter().copied().filter(|e| e.position > marker.position).collect();
            assert_eq!(pages.read_all(index, Direction::OldestFirst, Some(marker.position)), newer);
        }
        let named: BTreeSet<_> = index.pages().collect();
        assert_eq!(named, pages.stored.borrow().keys().copied().collect(), "no page is lost or left behind");
    }

    #[test]
    fn entries_come_out_in_order_however_they_went_in() {
        for stride in [1_u128, 7, 2_999] {
            let pages = Pages::default();
            let mut index = Index::default();
            let mut expected = Vec::new();
            for number in 0..3_000_u128 {
                let place = number * stride % 3_000;
                let entry = entry(i64::try_from(place / 3).expect("small"), place);
                let mut changes = PageChanges::default();
                assert!(index.insert(entry, &mut changes, &pages).expect("inserts"));
                assert!(!index.insert(entry, &mut changes, &pages).expect("inserts"), "nothing is inserted twice");
                pages.apply(changes);
                expected.push(entry);
            }
            expected.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.position));
            check(&index, &pages, &expected);
        }
    }

    #[test]
    fn what_is_left_after_mass_deletion_is_dense() {
        let pages = Pages::default();
        let mut expected: Vec<Entry> = (0..10_000).map(|n| entry(i64::from(n), 1)).rev().collect();
        let (mut index, changes) = Index::build(expected.clone(), &pages);
        pages.apply(changes);
        check(&index, &pages, &expected);
        let gone: Vec<Position> = expected
            .iter()
            .map(|e| e.position)
            .filter(|p| p.created_at.microseconds() / 1_000_000 % 100 != 0)
            .collect();
        for batch in gone.chunks(250) {
            let mut changes = PageChanges::default();
            let removed = index.remove(batch, &mut changes, &pages).expect("removes");
            assert!(batch.iter().all(|position| removed.contains(position)));
            assert!(index.remove(batch, &mut changes, &pages).expect("removes").is_empty(), "nothing is removed twice");
            assert!(index.listed(batch, &pages).expect("looks").is_empty());
            assert!(changes.written.is_empty(), "a removal writes no page");
            pages.apply(changes);
            assert_eq!(index.len(), expected.len() - removed.len());
            expected.retain(|entry| !removed.contains(&entry.position));
            assert_eq!(pages.read_all(&index, Direction::NewestFirst, None), expected);
            loop {
                let mut changes = PageChanges::default();
                if !index.compact(&mut changes, &pages).expect("compacts") {
                    break;
                }
                assert!(changes.written.len() <= 1);
                pages.apply(changes);
            }
            assert_eq!(pages.read_all(&index, Direction::NewestFirst, None), expected);
            assert!(index.pages().count() <= 1 + 4 * expected.len() / PAGE_CAPACITY, "what is left is dense");
        }
        assert_eq!(expected.len(), 100);
        check(&index, &pages, &expected);
    }

    #[test]
    fn a_value_of_the_index_stays_below_64_kib() {
        let pages = Pages::default();
        let (mut index, changes) = Index::build((0..100_000).map(|n| entry(n, u128::MAX)).collect(), &pages);
        for (_, page) in &changes.written {
            let mut stored = Vec::new();
            page.write(&mut stored).expect("writes");
            assert!(stored.len() < 60_000);
            assert_eq!(Page::read(super::super::FORMAT_VERSION, &stored).as_ref(), Ok(page));
        }
        let every_second: Vec<Position> = (0..100_000).step_by(2).map(|n| entry(n, u128::MAX).position).collect();
        pages.apply(changes);
        let mut changes = PageChanges::default();
        index.remove(&every_second, &mut changes, &pages).expect("removes");
        let mut record = Vec::new();
        index.write(&mut record).expect("writes");
        assert!(record.len() < 20_000, "the record of 100,000 entries has {} bytes", record.len());
        assert_eq!(Index::read(&mut Bytes::new(&record)), Ok(index));
    }
}
