//! All tests that run the service, one module for each subject. They are one program, which links wasmtime once and
//! compiles the component once.

#![allow(clippy::disallowed_methods, reason = "tests measure time and read the environment")]

mod support;

mod attachments;
mod backups;
mod bad_input;
mod bodies;
mod cinder_rules;
mod clocks;
mod conformance;
mod contention;
mod costs;
mod crash;
mod damage;
mod dev_identity;
mod extensions;
mod formats;
mod growth;
mod histories;
mod host;
mod identity;
mod interleavings;
mod keystone;
mod kill;
mod layers;
mod life;
mod listing_properties;
mod lists;
mod memory;
mod messages;
mod model;
mod ops;
mod overlaps;
mod peers;
mod processes;
mod readiness;
mod redis;
mod repair;
mod size;
mod socket;
mod store_costs;
mod volume_types;
