//! The bytes of stored values. The types of the store do not know their formats. `Stored` is implemented here, or for a
//! row next to its layout in the resource's own file.

pub(super) mod agenda;
pub(super) mod bytes;
pub(super) mod deployment;
pub(super) mod envelope;
pub(super) mod index;
pub(super) mod metadata;
pub(super) mod pending;
pub(super) mod project;
pub(super) mod rows;
