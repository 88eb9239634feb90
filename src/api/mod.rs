//! HTTP in Cinder's words: the operation, the caller, the microversion, and the body of a request, and the response with
//! its headers. Each resource has one file, named as in `service`.
//!
//! A request passes through these modules, top down:
//!
//! - `handle`: the order of checks, which is Cinder's (`docs/spec/versions-and-faults.md` section 1), because a client
//!   sees the first check that fails. `routes` finds the operation, `identity` the caller, and `microversion` the version.
//! - `dispatch`: from the operation to the function of its resource.
//! - The resources, such as `snapshots`: they check the body against a `schema`, read the `query`, call the service, and
//!   build the view.
//! - `call`: the request as a resource sees it, and links.
//! - `wire` and `python`: the formats of HTTP and of Cinder's Python.
//!
//! The operator's routes (`ops`) and `health` stand apart, because they are not Cinder's.
//!
//! This layer must not know how anything is stored: it names `service`, never `store` or `tick`.

mod action;
mod attachments;
mod backup_actions;
mod backup_records;
mod backups;
pub mod call;
mod discovery;
mod dispatch;
pub mod environment;
mod extensions;
mod group_snapshots;
mod group_types;
mod groups;
mod handle;
mod health;
mod identity;
mod limits;
mod manageable_snapshots;
mod messages;
mod metadata;
pub mod microversion;
mod not_offered;
pub mod ops;
pub mod python;
pub mod query;
mod quota_sets;
mod resource_filters;
pub mod routes;
pub mod schema;
mod services;
mod snapshot_actions;
mod snapshots;
mod volume_actions;
mod volume_attach_actions;
mod volume_types;
mod volume_update_actions;
mod volumes;
pub mod wire;

pub use environment::Environment;
pub use handle::handle;
pub use wire::reply::Answer;
pub use wire::request;
