//! The reader of an index, piece by piece.

use std::collections::VecDeque;

use crate::store::key_value::StoreError;

use super::entries::Index;
use super::page::{Entry, Page, PageId, PageReference, Position};

/// The order of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    NewestFirst,
    OldestFirst,
}

/// A reader of one index. It requests no page before its entries are needed.
#[derive(Debug)]
pub struct IndexReader {
    /// The pieces that are not loaded yet, the next one last.
    pieces: Vec<Piece>,
    /// The entries that were loaded and not taken yet, the next one first.
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
    /// Returns a reader in a direction, from after a position or from the start.
    #[must_use]
    pub fn new(index: Index, direction: Direction, after: Option<Position>) -> Self {
        let mut pages = index.pages;
        // Pages wholly before the position in reading order are never requested.
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

    /// Returns the pages that must be supplied before `entries` more entries are known, the next one first and at most
    /// `most`. There are none if the entries are known or no pages are left.
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

    /// Returns whether the next entry is unknown until a page is supplied.
    #[must_use]
    pub fn waits_for_page(&self) -> bool {
        self.loaded.is_empty() && matches!(self.pieces.last(), Some(Piece::Page(_)))
    }

    /// Supplies the next page that the reader waits for.
    ///
    /// # Errors
    ///
    /// A page that is not the one that the index names.
    pub fn supply(&mut self, page: Page) -> Result<(), StoreError> {
        if let Some(Piece::Page(reference)) = self.pieces.last() {
            reference.check(&page)?;
            let entries = reference.removed.remaining(page);
            self.pieces.pop();
            self.load(entries);
            self.load_head();
        }
        Ok(())
    }

    /// Goes on without the next page that the reader waits for.
    pub fn skip_page(&mut self) {
        if let Some(Piece::Page(_)) = self.pieces.last() {
            self.pieces.pop();
            self.load_head();
        }
    }

    /// Returns the next entry without taking it.
    #[must_use]
    pub fn peek(&self) -> Option<&Entry> {
        self.loaded.front()
    }

    /// Takes the next entry.
    pub fn take(&mut self) -> Option<Entry> {
        self.loaded.pop_front()
    }

    /// Loads the head if it is next, which needs no page.
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
