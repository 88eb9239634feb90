//! The listing of what a project holds: entries in order, newest first, in pages.
//!
//! The newest entries stand in the project's record itself (the head); older ones in pages, each a value of its own
//! under a key that is written once. A change writes fresh pages and then the record that names them, so the record
//! is the only thing that writers contend for and a reader of an old record still finds its pages. Pages merge when
//! they empty, so the cost of a page of results does not depend on what was deleted (`docs/adr/0002-store-layout.md`).
//!
//! This module is pure: it is given pages and says which to write.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::Timestamp;

use super::key_value::StoreError;

/// The most entries that the head keeps; one more moves the oldest of them to a page.
const HEAD_CAPACITY: usize = 128;
/// How many entries the head keeps after that.
const HEAD_KEPT: usize = 28;
/// The most entries of a page: 400 of at most 95 bytes stay below 64 KiB.
const PAGE_CAPACITY: usize = 400;

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

impl Serialize for Entry {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut id = Uuid::encode_buffer();
        let mut volume_id = Uuid::encode_buffer();
        let id: &str = self.position.id.as_simple().encode_lower(&mut id);
        let volume_id: &str = self.volume_id.as_simple().encode_lower(&mut volume_id);
        (self.position.created_at.microseconds(), id, volume_id).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (created_at, id, volume_id) = <(i64, &str, &str)>::deserialize(deserializer)?;
        let read = |text| Uuid::try_parse(text).map_err(serde::de::Error::custom);
        let position = Position { created_at: Timestamp::from_microseconds(created_at), id: read(id)? };
        Ok(Self { position, volume_id: read(volume_id)? })
    }
}

/// What the record knows of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageReference {
    #[serde(rename = "p")]
    pub id: PageId,
    /// Its newest entry; everything in it is at or before that.
    #[serde(rename = "n")]
    newest: Entry,
    /// How many entries it holds.
    #[serde(rename = "c")]
    count: usize,
}

/// The listing of one kind of resource in one project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    head: Vec<Entry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pages: Vec<PageReference>,
}

/// What a change of an index asks of the store: pages to write before the record, and pages that it leaves behind.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct PageChanges {
    pub written: BTreeMap<PageId, Vec<Entry>>,
    pub retired: Vec<PageId>,
}

/// Where an index gets pages and page names from while it changes.
pub trait PageSource {
    /// The entries of a page.
    ///
    /// # Errors
    ///
    /// What reading the store gives.
    fn read(&self, id: PageId) -> Result<Vec<Entry>, StoreError>;

    /// A name for a page, never given before.
    fn fresh(&self) -> PageId;
}

impl Index {
    /// An index of nothing.
    pub const EMPTY: Self = Self { head: Vec::new(), pages: Vec::new() };

    /// An index of entries in any order.
    pub fn build(mut entries: Vec<Entry>, source: &dyn PageSource) -> (Self, PageChanges) {
        entries.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.position));
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
        self.head.len() + self.pages.iter().map(|page| page.count).sum::<usize>()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.head.is_empty() && self.pages.is_empty()
    }

    /// Every page that the index names.
    pub fn pages(&self) -> impl Iterator<Item = PageId> + '_ {
        self.pages.iter().map(|page| page.id)
    }

    /// Adds an entry at its place; one that is already there stays.
    ///
    /// # Errors
    ///
    /// What reading a page gives; the index is then to be thrown away.
    pub fn insert(
        &mut self,
        entry: Entry,
        changes: &mut PageChanges,
        source: &dyn PageSource,
    ) -> Result<(), StoreError> {
        match self.page_of(entry.position) {
            None => {
                insert_in_order(&mut self.head, entry);
                if self.head.len() > HEAD_CAPACITY {
                    self.spill(changes, source)?;
                }
            }
            Some(number) => {
                let mut entries = changes.take(self.pages[number].id, source)?;
                insert_in_order(&mut entries, entry);
                let parts = if entries.len() > PAGE_CAPACITY {
                    let older = entries.split_off(entries.len() / 2);
                    vec![entries, older]
                } else {
                    vec![entries]
                };
                let written: Vec<_> = parts.into_iter().filter_map(|part| changes.write(part, source)).collect();
                self.pages.splice(number..=number, written);
            }
        }
        Ok(())
    }

    /// Of some positions, those that have an entry.
    ///
    /// # Errors
    ///
    /// What reading a page gives.
    pub fn listed(&self, positions: &[Position], source: &dyn PageSource) -> Result<BTreeSet<Position>, StoreError> {
        let mut listed = BTreeSet::new();
        let mut by_page: BTreeMap<usize, Vec<Position>> = BTreeMap::new();
        for position in positions {
            match self.page_of(*position) {
                None => listed.extend(self.head.iter().map(|entry| entry.position).filter(|own| own == position)),
                Some(number) => by_page.entry(number).or_default().push(*position),
            }
        }
        for (number, wanted) in by_page {
            let entries = source.read(self.pages[number].id)?;
            listed.extend(entries.iter().map(|entry| entry.position).filter(|own| wanted.contains(own)));
        }
        Ok(listed)
    }

    /// Takes entries out, and says which were there; others are skipped.
    ///
    /// # Errors
    ///
    /// What reading a page gives; the index is then to be thrown away.
    pub fn remove(
        &mut self,
        positions: &[Position],
        changes: &mut PageChanges,
        source: &dyn PageSource,
    ) -> Result<BTreeSet<Position>, StoreError> {
        let mut removed = BTreeSet::new();
        let mut take_out = |entries: &mut Vec<Entry>, gone: &[Position]| {
            entries.retain(|entry| !gone.contains(&entry.position) || !removed.insert(entry.position));
        };
        let mut by_page: BTreeMap<usize, Vec<Position>> = BTreeMap::new();
        for position in positions {
            match self.page_of(*position) {
                None => take_out(&mut self.head, std::slice::from_ref(position)),
                Some(number) => by_page.entry(number).or_default().push(*position),
            }
        }
        // From the oldest page to the newest, so that the numbers of those still to come stay right.
        for (number, gone) in by_page.into_iter().rev() {
            let mut entries = changes.take(self.pages[number].id, source)?;
            take_out(&mut entries, &gone);
            let mut replaced = number..=number;
            // A page that runs empty joins a neighbour that has room, so that what is left stays dense. The newer
            // one may itself be in this batch; it keeps its number, so its turn still comes.
            let has_room = |page: &&PageReference| entries.len() + page.count <= PAGE_CAPACITY / 2;
            if let Some(older) = self.pages.get(number + 1).filter(has_room) {
                entries.extend(changes.take(older.id, source)?);
                replaced = number..=number + 1;
            } else if let Some(newer) = number.checked_sub(1).and_then(|newer| self.pages.get(newer)).filter(has_room) {
                let mut joined = changes.take(newer.id, source)?;
                joined.append(&mut entries);
                entries = joined;
                replaced = number - 1..=number;
            }
            let written = changes.write(entries, source);
            self.pages.splice(replaced, written);
        }
        Ok(removed)
    }

    /// Moves the oldest entries of the head to the newest page, or to a new one.
    fn spill(&mut self, changes: &mut PageChanges, source: &dyn PageSource) -> Result<(), StoreError> {
        let mut entries = self.head.split_off(HEAD_KEPT);
        let mut replaced = 0..0;
        if let Some(newest) = self.pages.first()
            && newest.count + entries.len() <= PAGE_CAPACITY
        {
            entries.extend(changes.take(newest.id, source)?);
            replaced = 0..1;
        }
        let written = changes.write(entries, source);
        self.pages.splice(replaced, written);
        Ok(())
    }

    /// The number of the page where a position belongs; `None` for the head.
    fn page_of(&self, position: Position) -> Option<usize> {
        let newer_pages = self.pages.partition_point(|page| page.newest.position >= position);
        newer_pages.checked_sub(1)
    }
}

impl PageChanges {
    /// The entries of a page that is about to be replaced.
    fn take(&mut self, id: PageId, source: &dyn PageSource) -> Result<Vec<Entry>, StoreError> {
        if let Some(entries) = self.written.remove(&id) {
            return Ok(entries);
        }
        let entries = source.read(id)?;
        self.retired.push(id);
        Ok(entries)
    }

    /// A fresh page with these entries; none for no entries.
    fn write(&mut self, entries: Vec<Entry>, source: &dyn PageSource) -> Option<PageReference> {
        let newest = *entries.first()?;
        let id = source.fresh();
        let reference = PageReference { id, newest, count: entries.len() };
        self.written.insert(id, entries);
        Some(reference)
    }
}

fn insert_in_order(entries: &mut Vec<Entry>, entry: Entry) {
    let place = entries.partition_point(|other| other.position > entry.position);
    if entries.get(place).is_none_or(|other| other.position != entry.position) {
        entries.insert(place, entry);
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
    /// Entries that were loaded and not yet taken, next one last.
    loaded: Vec<Entry>,
    direction: Direction,
    after: Option<Position>,
}

#[derive(Debug)]
enum Piece {
    Head(Vec<Entry>),
    Page(PageId),
}

impl IndexReader {
    /// Reads in a direction, from after a position or from the start.
    #[must_use]
    pub fn new(index: Index, direction: Direction, after: Option<Position>) -> Self {
        let mut pages = index.pages;
        // Pages wholly before the position in reading order are never asked for.
        if let Some(position) = after {
            let reaching = pages.partition_point(|page| page.newest.position >= position);
            match direction {
                Direction::NewestFirst => drop(pages.drain(..reaching.saturating_sub(1))),
                Direction::OldestFirst => pages.truncate(reaching),
            }
        }
        let mut pieces: Vec<Piece> = Vec::with_capacity(pages.len() + 1);
        pieces.push(Piece::Head(index.head));
        pieces.extend(pages.into_iter().map(|page| Piece::Page(page.id)));
        if direction == Direction::NewestFirst {
            pieces.reverse();
        }
        let mut reader = Self { pieces, loaded: Vec::new(), direction, after };
        reader.load_heads();
        reader
    }

    /// The page that must be supplied before the next entry is known; `None` when one is known or none is left.
    #[must_use]
    pub fn wanted_page(&self) -> Option<PageId> {
        match self.pieces.last() {
            Some(Piece::Page(id)) if self.loaded.is_empty() => Some(*id),
            _ => None,
        }
    }

    /// Supplies the wanted page.
    pub fn supply(&mut self, entries: Vec<Entry>) {
        self.pieces.pop();
        self.load(entries);
        self.load_heads();
    }

    /// The next entry, without taking it.
    #[must_use]
    pub fn peek(&self) -> Option<&Entry> {
        self.loaded.last()
    }

    /// Takes the next entry.
    pub fn take(&mut self) -> Option<Entry> {
        let entry = self.loaded.pop();
        self.load_heads();
        entry
    }

    /// Loads what needs no store: a head whose turn has come.
    fn load_heads(&mut self) {
        while self.loaded.is_empty()
            && let Some(Piece::Head(_)) = self.pieces.last()
            && let Some(Piece::Head(entries)) = self.pieces.pop()
        {
            self.load(entries);
        }
    }

    fn load(&mut self, mut entries: Vec<Entry>) {
        if let Some(after) = self.after {
            match self.direction {
                Direction::NewestFirst => entries.retain(|entry| entry.position < after),
                Direction::OldestFirst => entries.retain(|entry| entry.position > after),
            }
        }
        if self.direction == Direction::NewestFirst {
            entries.reverse();
        }
        self.loaded = entries;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    /// Pages as a store would keep them, written only through [`PageChanges`].
    #[derive(Default)]
    struct Pages {
        next: Cell<u64>,
        stored: RefCell<BTreeMap<PageId, Vec<Entry>>>,
    }

    impl PageSource for Pages {
        fn read(&self, id: PageId) -> Result<Vec<Entry>, StoreError> {
            self.stored.borrow().get(&id).cloned().ok_or_else(|| StoreError::Failed(format!("no page {id}")))
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
                if let Some(page) = reader.wanted_page() {
                    reader.supply(self.read(page).expect("a page that the index names"));
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
                index.insert(entry, &mut changes, &pages).expect("inserts");
                index.insert(entry, &mut changes, &pages).expect("inserting twice changes nothing");
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
            pages.apply(changes);
        }
        expected.retain(|e| e.position.created_at.microseconds() / 1_000_000 % 100 == 0);
        check(&index, &pages, &expected);
        assert!(index.pages().count() <= 2, "{} pages hold 100 entries", index.pages().count());
    }

    #[test]
    fn a_value_of_the_index_stays_below_64_kib() {
        let pages = Pages::default();
        let (index, changes) = Index::build((0..100_000).map(|n| entry(n, u128::MAX)).collect(), &pages);
        for entries in changes.written.values() {
            assert!(serde_json::to_vec(entries).expect("encodes").len() < 60_000);
        }
        let record = serde_json::to_vec(&index).expect("encodes").len();
        assert!(record < 60_000, "the record of 100,000 entries has {record} bytes");
    }
}
