//! Tests of the index as a whole: changes, and readers that must see them.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::domain::Timestamp;
use crate::store::codec::bytes::Bytes;
use crate::store::codec::envelope::Stored;
use crate::store::key_value::StoreError;

use super::*;

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
                for page in self.read(&pages).expect("pages that the index names") {
                    reader.supply(page).expect("the page that the index names");
                }
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
            let id = number * stride % 3_000;
            let entry = entry(i64::try_from(id / 3).expect("small"), id);
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
fn the_rest_after_mass_deletion_is_dense() {
    let pages = Pages::default();
    let mut expected: Vec<Entry> = (0..10_000).map(|n| entry(i64::from(n), 1)).rev().collect();
    let (mut index, changes) = Index::build(expected.clone(), &pages);
    pages.apply(changes);
    check(&index, &pages, &expected);
    let gone: Vec<Position> =
        expected.iter().map(|e| e.position).filter(|p| p.created_at.microseconds() / 1_000_000 % 100 != 0).collect();
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
        assert!(index.pages().count() <= 1 + 4 * expected.len() / PAGE_CAPACITY, "the remaining pages are dense");
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
        assert_eq!(Page::read(crate::store::FORMAT_VERSION, &stored).as_ref(), Ok(page));
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
