//! The `OpenStack` Block Storage (Cinder) v3 volume snapshots API, as one WebAssembly component for Spin.
//!
//! Data flows one way, down and back up: `component` (the shell, the only code that knows Spin) gives a request to
//! [`api`] (HTTP words), which asks [`service`] (who may do what, and what happens), which keeps things in [`store`].
//! [`domain`] is what they talk about. The core has no clock, no randomness and no I/O of its own: the time, the ids
//! and the store are passed in, so every behaviour can be tested natively.

pub mod api;
pub mod domain;
pub mod json;
pub mod keystone;
pub mod service;
pub mod settings;
pub mod store;
pub mod tick;

/// The names of headers, where the shell looks for them.
#[cfg(target_family = "wasm")]
mod headers {
    pub use crate::api::wire::headers::Header;
    pub use crate::keystone::headers::X_SUBJECT_TOKEN;
}

#[cfg(target_family = "wasm")]
mod component;
