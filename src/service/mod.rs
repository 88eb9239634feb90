//! The operations: look up, authorize, decide, and save. Each resource has one file, named as in `api`.
//!
//! An operation is a method of [`Service`], which holds the caller, the time, the settings, and the store of one request.
//! Its checks run in Cinder's order. What it returns is a domain type or an [`Error`] whose message is Cinder's.
//! [`ops`] is the exception: the operator's operations have no caller and see the whole store.
//!
//! This layer must not know HTTP, JSON, or how a row or a key is encoded. It is also the only way to the store for `api`,
//! so the types of the store that `api` hands through are re-exported here.

pub mod attachments;
mod authorization;
pub mod backup_actions;
pub mod backup_records;
pub mod backups;
mod error;
pub mod group_snapshots;
pub mod group_types;
pub mod groups;
pub mod listing;
mod lookup;
pub mod manageable_snapshots;
pub mod messages;
pub mod metadata;
pub mod ops;
pub mod policy;
pub mod quota_sets;
mod quotas;
pub mod resource_filters;
pub mod services;
pub mod snapshot_actions;
pub mod snapshots;
pub mod volume_actions;
pub mod volume_attach_actions;
pub mod volume_types;
pub mod volume_update_actions;
pub mod volumes;

use error::FROZEN;

pub use crate::store::{Identifiers, KeyValue, Notes, StoreError};
pub use error::Error;
pub use lookup::Service;
