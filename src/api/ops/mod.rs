//! The operator's routes, `/_ops/...` (`docs/operations.md`): the whole state as a document, a repair, an explanation of
//! one snapshot, and the scheduled step by hand.
//!
//! They exist only if a secret is set, and answer only a client that sends it. They are not Cinder's, so no check of the
//! API applies to them.

mod explain;
mod routes;
mod state_document;

pub use routes::{PREFIX, answer};
