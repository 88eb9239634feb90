//! The store: rows, indexes, quota counters, and the agenda of due work, on a key-value store.
//!
//! One row per snapshot or volume is the source of truth. A project's record indexes its rows and counts them. The
//! agenda names the rows that the scheduled step must look at. Every change is at most two commits, ordered so that a
//! crash between them leaves a state in which reads are correct:
//!
//! - Create: the project's record, then the row. Readers skip an entry whose row was never written. The agenda announces
//!   it, so the scheduled step drops it.
//! - Delete: the agenda, then the row. An agenda item whose row is not being removed is dropped.
//! - Removal: the rows, then the record. Readers skip an entry whose row is gone, and its item is still on the agenda.
//!   Quota is given back with the entry, in one swap, so a repeated removal gives nothing twice.
//! - Extend: the agenda, the project's record, which reserves the quota, and the row. [`extension`] says why.
//!
//! This layer must not know HTTP, microversions, or who may do what. The layout is argued in
//! `docs/adr/0002-store-layout.md` and `docs/adr/0003-agenda-and-compact-pages.md`.

pub mod agenda;
mod attachments;
mod backups;
mod claim;
mod codec;
mod compare_and_swap;
pub mod creation;
pub mod deployment;
pub mod directory;
pub mod extension;
mod group_snapshots;
pub mod group_types;
pub mod groups;
pub mod index;
pub mod key_value;
mod keys;
mod legacy;
pub mod listing;
mod messages;
mod notes;
pub mod projects;
mod readiness;
pub mod refusals;
pub mod repair;
pub mod row;
mod row_state;
pub mod rows;
pub mod shared;
pub mod slots;
mod snapshots;
mod state;
#[expect(clippy::module_inception, reason = "the handle has the name of its layer")]
mod store;
mod survey;
pub mod tokens;
pub mod unreadable;
mod usage;
mod volume_types;
mod volumes;

pub use codec::envelope::FORMAT_VERSION;
pub use compare_and_swap::Change;
pub use key_value::{KeyValue, StoreError};
pub use listing::Listing;
pub use notes::Notes;
pub use row::{Kind, Row, Rows};
pub use row_state::RowState;
pub use state::StoredState;
pub use store::{Identifiers, Store};
pub use unreadable::{Removal, StoredRow, Unreadable, UnreadableLog};
