//! The scheduled step: makes durable the changes that readers already see.
//!
//! A snapshot's state is a function of its row and the clock, and every reader applies the changes that are due. The
//! step does the rest: it deletes rows whose removal is due, gives back their quota, and finishes the work that ends
//! with a tick. It is a reconciler in three parts. It reads the rows that the agenda names, makes a plan from their
//! states alone, and applies the plan. The middle part, `plan`, is pure and tested as a table.
//!
//! A run may assume nothing. It takes no input but the time. It may run twice at once, be killed at any call of the
//! store, or not run for a day. Each of its writes is idempotent or a compare-and-swap. It does bounded work, and
//! reports whether work is left. The rest of its budget goes to `cascade`, which deletes volumes with many snapshots. It must not know whether the cron trigger, an operator, or a delete with a full agenda
//! called it.

mod apply;
mod attachments;
mod cascade;
mod groups;
mod look_after;
mod plan;
mod report;
mod run;

pub use report::{Bounds, Report};
pub use run::run;
