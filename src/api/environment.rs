//! The environment of a request, which the shell provides.

use crate::domain::Timestamp;
use crate::keystone::{Keystone, Outbound};
use crate::service::{Identifiers, KeyValue, Notes};
use crate::settings::{KeystoneSettings, Variables};

/// Everything that a request works with. The core reaches nothing outside it.
pub struct Environment<'a> {
    pub key_value: &'a dyn KeyValue,
    pub identifiers: &'a dyn Identifiers,
    pub variables: &'a dyn Variables,
    /// What the store notes about the request, for the log and for the answer.
    pub notes: Notes,
    /// The way to Keystone.
    pub outbound: &'a dyn Outbound,
    /// The time when the request began.
    pub now: Timestamp,
    /// Reads the clock.
    pub clock: &'a dyn Fn() -> Timestamp,
    /// Writes a line to the operator's log.
    pub log: &'a dyn Fn(&str),
}

impl Environment<'_> {
    /// Returns Keystone as this request sees it.
    #[must_use]
    pub fn keystone<'a>(&'a self, settings: &'a KeystoneSettings) -> Keystone<'a> {
        let Environment { key_value, identifiers, variables, ref notes, outbound, clock, .. } = *self;
        Keystone::new(settings, variables, key_value, identifiers, notes, outbound, clock)
    }
}
