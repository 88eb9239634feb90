//! The bindings that wit-bindgen generates from `wit/world.wit`, beside those of the `wasi` crate and spin-sdk.

#![expect(unsafe_code, clippy::pedantic, reason = "generated")]
#![allow(clippy::all, reason = "generated")]

wit_bindgen::generate!({ path: "wit", world: "scheduled", generate_all });

/// The type that implements the exports.
pub(super) struct Component;
export!(Component);
