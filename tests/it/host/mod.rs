//! The embedded host by itself, and the stores that stand in for Spin's.

mod faults;
mod key_value_truth_table;
