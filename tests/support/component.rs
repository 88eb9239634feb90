//! The component on the embedded host.
