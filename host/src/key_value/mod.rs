//! Key-value storage as Spin offers it to a guest: the calls that a store answers, the stores themselves, and the
//! interfaces through which a guest reaches them.
//!
//! Nothing here knows what keys and values mean. A [`Store`] copies the behaviour of one of Spin's stores, flaws included,
//! so that a test sees what a user of Spin gets. `tests/it/host/key_value_truth_table.rs` lists that behaviour.

pub(crate) mod host;
pub mod memory;
pub mod sqlite;
pub(crate) mod store;

pub use store::{Row, Store, StoreError, Swap, blocking};
