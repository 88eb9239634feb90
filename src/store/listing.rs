//! Reads the indexes of one project or of all projects in one order, page by page.
//!
//! The next entry comes from a heap of the projects, so an entry costs the logarithm of their number.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use uuid::Uuid;

use crate::domain::ProjectId;

use super::codec::envelope::decode_optional;
use super::index::{Direction, Entry, IndexReader, Page, PageId, Position};
use super::projects::{ProjectRecord, lost_page};
use super::row::Kind;
use super::{Store, StoreError, keys};

/// The number of times that a listing restarts a project because its pages were replaced while it read.
const RESTARTS: u32 = 8;

/// The pages that one call reads, so that few are in memory at once. With more projects than that, it reads one page for
/// each.
const PAGES_AT_ONCE: usize = 8;

/// The projects whose pages one call reads.
const SOURCES_AT_ONCE: usize = 256;

/// A merge of the indexes of several projects, in the order of their positions.
#[derive(Debug)]
pub struct Listing<'a> {
    store: Store<'a>,
    kind: Kind,
    direction: Direction,
    /// The volume to which the entries are restricted, if any.
    volume_id: Option<Uuid>,
    sources: Vec<Source>,
    /// The sources whose next entry is known.
    known: BinaryHeap<Next>,
    /// The numbers of the sources whose next entry is on a page that must be read.
    waiting: Vec<usize>,
}

/// The next entry of a source. The greatest one is the next of the listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Next {
    position: Position,
    source: usize,
    direction: Direction,
}

impl Ord for Next {
    fn cmp(&self, other: &Self) -> Ordering {
        let newest = (self.position, self.source).cmp(&(other.position, other.source));
        match self.direction {
            Direction::NewestFirst => newest,
            Direction::OldestFirst => newest.reverse(),
        }
    }
}

impl PartialOrd for Next {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[derive(Debug)]
struct Source {
    project: ProjectId,
    reader: IndexReader,
    /// The position of the last entry that was taken, or the start of the reading.
    after: Option<Position>,
    restarts: u32,
    /// Whether the listing goes on without pages of this project that cannot be read.
    may_be_incomplete: bool,
}

impl<'a> Listing<'a> {
    /// Returns a reader of the indexes of records, from after a position or from the start.
    #[must_use]
    pub fn new(
        store: Store<'a>,
        records: Vec<ProjectRecord>,
        kind: Kind,
        direction: Direction,
        after: Option<Position>,
    ) -> Self {
        let sources: Vec<Source> = records
            .into_iter()
            .map(|mut record| {
                let reader = IndexReader::new(std::mem::take(record.index_mut(kind)), direction, after);
                Source { project: record.project, reader, after, restarts: 0, may_be_incomplete: false }
            })
            .collect();
        let known = BinaryHeap::with_capacity(sources.len());
        let mut listing = Self { store, kind, direction, volume_id: None, sources, known, waiting: Vec::new() };
        for number in 0..listing.sources.len() {
            listing.look_at(number);
        }
        listing
    }

    /// Restricts the listing to the snapshots of one volume, without reading rows.
    #[must_use]
    pub const fn of_volume(mut self, volume_id: Option<Uuid>) -> Self {
        self.volume_id = volume_id;
        self
    }

    /// Lets the listing go on without pages that cannot be read, in the projects that `is_one_of_many` accepts. Such a page
    /// is noted. In other projects it is an error.
    #[must_use]
    pub fn without_unreadable_pages(mut self, is_one_of_many: impl Fn(&ProjectId) -> bool) -> Self {
        for source in &mut self.sources {
            source.may_be_incomplete = is_one_of_many(&source.project);
        }
        self
    }

    /// Returns the next entries, at most `wanted`. Fewer are returned only at the end.
    ///
    /// # Errors
    ///
    /// An error of the store.
    pub fn next(&mut self, wanted: usize) -> Result<Vec<Entry>, StoreError> {
        let mut entries = Vec::new();
        while entries.len() < wanted {
            self.load(wanted - entries.len())?;
            let Some(Next { position, source: number, .. }) = self.known.pop() else { break };
            let source = &mut self.sources[number];
            source.after = Some(position);
            if let Some(entry) = source.reader.take()
                && self.volume_id.is_none_or(|volume_id| volume_id == entry.volume_id)
            {
                entries.push(entry);
            }
            self.look_at(number);
        }
        Ok(entries)
    }

    /// Finds out what comes next in a source. A source that has come to its end is left out from then on.
    fn look_at(&mut self, number: usize) {
        let reader = &self.sources[number].reader;
        if reader.waits_for_page() {
            self.waiting.push(number);
        } else if let Some(entry) = reader.peek() {
            self.known.push(Next { position: entry.position, source: number, direction: self.direction });
        }
    }

    /// Loads the pages that the next entry needs, together with those that the next `entries` entries will need.
    fn load(&mut self, entries: usize) -> Result<(), StoreError> {
        let at_once = (PAGES_AT_ONCE / self.sources.len().max(1)).max(1);
        while !self.waiting.is_empty() {
            let waiting = self.waiting.drain(..self.waiting.len().min(SOURCES_AT_ONCE));
            let wanted: Vec<(usize, Vec<PageId>)> =
                waiting.map(|number| (number, self.sources[number].reader.wanted_pages(entries, at_once))).collect();
            let keys: Vec<String> = wanted.iter().flat_map(|(_, pages)| pages).copied().map(keys::page).collect();
            let mut read = keys.iter().zip(self.store.key_value.get_many(&keys)?);
            for (number, ids) in wanted {
                let pages: Vec<_> = read.by_ref().take(ids.len()).collect();
                for (key, value) in pages {
                    if !self.supply(number, key, value)? {
                        break;
                    }
                }
                self.look_at(number);
            }
        }
        Ok(())
    }

    /// Supplies a source with its next page. Returns `false` if the source starts again, since the page was replaced.
    fn supply(&mut self, number: usize, key: &str, value: Option<Vec<u8>>) -> Result<bool, StoreError> {
        let supplied = match decode_optional::<Page>(key, value) {
            Ok(Some(page)) => self.sources[number].reader.supply(page),
            Ok(None) => match self.restart(number, key) {
                Ok(()) => return Ok(false),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        if self.sources[number].may_be_incomplete {
            if self.store.without_unreadable(supplied)?.is_none() {
                self.sources[number].reader.skip_page();
            }
        } else {
            supplied?;
        }
        Ok(true)
    }

    /// Reads the record of a source again, since a missing page was replaced after the record was read.
    fn restart(&mut self, number: usize, missing: &str) -> Result<(), StoreError> {
        let source = &mut self.sources[number];
        source.restarts += 1;
        if source.restarts > RESTARTS {
            return Err(StoreError::Contended(keys::project(&source.project)));
        }
        let record = self.store.project(&source.project)?;
        if record.as_ref().is_some_and(|record| record.names_page(missing)) {
            return Err(lost_page(missing.to_owned()));
        }
        let index = record.map(|record| record.index(self.kind).clone()).unwrap_or_default();
        source.reader = IndexReader::new(index, self.direction, source.after);
        Ok(())
    }
}
