//! The OpenStack Block Storage v3 volume snapshots API.

#[cfg(target_family = "wasm")]
mod component;
