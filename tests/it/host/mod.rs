//! The embedded host by itself, and the stores that stand in for Spin's.

#![allow(clippy::unwrap_used, reason = "a panic is how these tests fail")]

mod components;
mod faults;
mod file_mode;
mod key_value_truth_table;
