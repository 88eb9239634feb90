//! Reads the listings of one or of all projects in one order, a page of the store at a time.

use uuid::Uuid;

use crate::domain::ProjectId;

use super::index::{Direction, Entry, IndexReader, Page, PageId, Position};
use super::projects::ProjectRecord;
use super::row::Kind;
use super::{Store, StoreError, keys};

/// How often a listing starts a project anew because its pages were replaced while it read.
const RESTARTS: u32 = 8;

/// How many pages are asked for at once, so that what is held of them stays small.
const PAGES_AT_ONCE: usize = 8;

/// A merge of the listings of several projects, in the order of their positions.
#[derive(Debug)]
pub struct Listing<'a> {
    store: Store<'a>,
    kind: Kind,
    direction: Direction,
    /// Only entries of this volume.
    volume_id: Option<Uuid>,
    sources: Vec<Source>,
}

#[derive(Debug)]
struct Source {
    project: ProjectId,
    reader: IndexReader,
    /// The last entry that was taken, or where the reading began.
    after: Option<Position>,
    restarts: u32,
}

impl<'a> Listing<'a> {
    /// Reads the listings of records, from after a position or from the start.
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

    /// Keeps only the snapshots of one volume, without looking at rows.
    #[must_use]
    pub const fn of_volume(mut self, volume_id: Option<Uuid>) -> Self {
        self.volume_id = volume_id;
        self
    }

    /// The next entries, at most `wanted`; fewer only at the end.
    ///
    /// # Errors
    ///
    /// What the store gives.
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

    /// Loads the pages without which the next entry is not known, all in one call, and with them those that so many
    /// entries will need.
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
                    // The collecting stops at the first that is missing, so what is left is no longer in step.
                    self.restart(number)?;
                    break;
                };
                self.sources[number].reader.supply(pages);
            }
        }
    }

    /// A page that is gone was replaced since the record was read, so the record is read again.
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
