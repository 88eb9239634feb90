//! The index of one kind of row in one project: entries in order, newest first, in pages.
//!
//! The newest entries are in the project's record itself (the head). Older ones are in pages, and each page is a value
//! under a key that is written once. A change writes fresh pages and then the record that names them, so the record is
//! the only value that writers contend for, and a reader of an older record still finds its pages.
//!
//! An entry that is removed from a page is marked in the record and stays in the page, so a removal writes no page.
//! [`Index::compact`] rewrites pages once half of their entries are marked, so the cost of a page of results does not
//! depend on earlier deletions (`docs/adr/0003-agenda-and-compact-pages.md`).
//!
//! This module is pure: it takes pages, and returns the pages to write.

mod entries;
mod page;
mod reader;
#[cfg(test)]
mod tests;

pub use entries::Index;
pub use page::{Entry, PAGE_CAPACITY, Page, PageChanges, PageId, PageReference, PageSource, Position};
pub use reader::{Direction, IndexReader};

pub(in crate::store) use page::{Removed, search};
