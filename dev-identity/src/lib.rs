//! Keystone v3 as far as clients need it to sign in: a component for development (`docs/dev-identity.md`).
//!
//! Like the main component, it is a core without a clock, randomness, or I/O of its own, and a thin shell (`component`,
//! the only code that knows Spin). A request passes through these modules, top down:
//!
//! - `handle`: from a request to its answer, and who may do what.
//! - `login`: the body of a request for a token, and the checks of passwords.
//! - `token`: tokens, sealed and opened.
//! - `revocation` and `keys`: the values in the store.
//! - `directory`: the users, projects, and roles, read from the [`seed`] document.
//! - `views` and `catalog`: Keystone's JSON.
//! - `neighbours`: the empty lists of Nova and Glance.
//!
//! The directory is never written, so a request that would change it is refused. The store holds only the keys that
//! seal tokens, and revocations.

mod catalog;
pub mod directory;
pub mod environment;
mod faults;
mod handle;
mod identifiers;
mod keys;
mod login;
mod neighbours;
mod request;
mod revocation;
pub mod seed;
mod settings;
pub mod token;
mod views;

pub use environment::{Environment, KeyValue, StoreError, Variables};
pub use handle::handle;
pub use request::{Answer, Body, Request};

#[cfg(target_family = "wasm")]
mod component;
