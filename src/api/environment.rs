//! The environment of a request, which the shell provides.

use crate::domain::Timestamp;
use crate::keystone::Outbound;
use crate::service::{Identifiers, KeyValue, UnreadableLog};
use crate::settings::Variables;

/// Everything that a request works with. The core reaches nothing outside it.
pub struct Environment<'a> {
    pub key_value: &'a dyn KeyValue,
    pub identifiers: &'a dyn Identifiers,
    pub variables: &'a dyn Variables,
    /// The stored values that the request went on without, for the log.
    pub unreadable: UnreadableLog,
    /// The way to Keystone.
    pub outbound: &'a dyn Outbound,
    /// The time when the request began.
    pub now: Timestamp,
    /// Reads the clock.
    pub clock: &'a dyn Fn() -> Timestamp,
    /// Writes a line to the operator's log.
    pub log: &'a dyn Fn(&str),
}
