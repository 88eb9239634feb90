//! Reads the indexes of one project or of all projects in one order, page by page.

use uuid::Uuid;

use crate::domain::ProjectId;

use super::index::{Direction, Entry, IndexReader, Page, PageId, Position};
use super::projects::ProjectRecord;
use super::row::Kind;
use super::{Store, StoreError, keys};

/// The number of times that a listing restarts a project because its pages were replaced while it read.
const RESTARTS: u32 = 8;

/// The pages that one call reads, so that few are in memory at once. With more projects than that, it reads one page for
/// each.
const PAGES_AT_ONCE: usize = 8;

/// A merge of the indexes of several projects, in the order of their positions.
#[derive(Debug)]
pub struct Listing<'a> {
    store: Store<'a>,
    kind: Kind,
    direction: Direction,
    /// The volume to which the entries are restricted, if any.
    volume_id: Option<Uuid>,
    sources: Vec<Source>,
}

#[derive(Debug)]
struct Source {
    project: ProjectId,
    reader: IndexReader,
    /// The position of the last entry that was taken, or the start of the reading.
    after: Option<Position>,
    restarts: u32,
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
        let sources = records
            .into_iter()
            .map(|mut record| {
                let reader = IndexReader::new(std::mem::take(record.index_mut(kind)), direction, after);
                Source { project: record.project, reader, after, restarts: 0 }
            })
            .collect();
        Self { store, kind, direction, volume_id: None, sources }
    }

    /// Restricts the listing to the snapshots of one volume, without reading rows.
    #[must_use]
    pub const fn of_volume(mut self, volume_id: Option<Uuid>) -> Self {
        self.volume_id = volume_id;
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
            let first = self
                .sources
                .iter()
                .enumerate()
                .filter_map(|(number, source)| source.reader.peek().map(|entry| (entry.position, number)));
            let first = match self.direction {
                Direction::NewestFirst => first.max(),
                Direction::OldestFirst => first.min(),
            };
            let Some((position, number)) = first else { break };
            let source = &mut self.sources[number];
            source.after = Some(position);
            if let Some(entry) = source.reader.take()
                && self.volume_id.is_none_or(|volume_id| volume_id == entry.volume_id)
            {
                entries.push(entry);
            }
        }
        Ok(entries)
    }

    /// Loads the pages that the next entry needs, in one call, together with those that the next `entries` entries will
    /// need.
    fn load(&mut self, entries: usize) -> Result<(), StoreError> {
        let at_once = (PAGES_AT_ONCE / self.sources.len().max(1)).max(1);
        loop {
            let waiting = self.sources.iter().enumerate().filter(|(_, source)| source.reader.waits_for_page());
            let wanted: Vec<(usize, Vec<PageId>)> =
                waiting.map(|(number, source)| (number, source.reader.wanted_pages(entries, at_once))).collect();
            if wanted.is_empty() {
                return Ok(());
            }
            let keys: Vec<String> = wanted.iter().flat_map(|(_, pages)| pages).copied().map(keys::page).collect();
            let mut read = self.store.read_many::<Page>(&keys)?.into_iter();
            for (number, ids) in wanted {
                let Some(pages) = read.by_ref().take(ids.len()).collect::<Option<Vec<Page>>>() else {
                    // Collecting stopped at the first missing page, so the remaining pages no longer match the ids.
                    self.restart(number)?;
                    break;
                };
                self.sources[number].reader.supply(pages);
            }
        }
    }

    /// Reads the record of a source again, since a missing page was replaced after the record was read.
    fn restart(&mut self, number: usize) -> Result<(), StoreError> {
        let source = &mut self.sources[number];
        source.restarts += 1;
        if source.restarts > RESTARTS {
            return Err(StoreError::Contended(keys::project(&source.project)));
        }
        let record = self.store.project(&source.project)?;
        let index = record.map(|record| record.index(self.kind).clone()).unwrap_or_default();
        source.reader = IndexReader::new(index, self.direction, source.after);
        Ok(())
    }
}
