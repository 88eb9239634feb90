//! The `OpenStack` Block Storage (Cinder) v3 volume snapshots API, as one WebAssembly component for Spin.
//!
//! Data flows one way, down and back up. The shell (`component`, the only code that knows Spin) passes a request to [`api`],
//! which speaks HTTP. [`service`] decides who may do what, and what happens. [`store`] keeps the result. [`domain`] has the
//! types and rules that all of them share. The core has no clock, no randomness, and no I/O of its own: the time, the ids,
//! and the store are passed in, so every behaviour can be tested natively. `docs/ARCHITECTURE.md` is the map.

pub mod api;
pub mod domain;
pub mod json;
pub mod keystone;
pub mod service;
pub mod settings;
pub mod store;
pub mod tick;

#[cfg(target_family = "wasm")]
mod component;
