//! Work under way, as every row stores it.

use crate::domain::{Completion, Pending, Schedule, Timestamp};

use super::bytes::{fields, word_field};

/// The stored form of [`Pending`].
#[derive(Debug, Clone, Copy)]
pub struct PendingRow {
    completion: Completion,
    schedule: Schedule,
    due: i64,
    gives_up: i64,
    retries: u8,
}

fields!(PendingRow { completion, schedule, due, gives_up, retries });

word_field!(Completion, Schedule);

impl From<Pending> for PendingRow {
    fn from(pending: Pending) -> Self {
        Self {
            completion: pending.completion,
            schedule: pending.schedule,
            due: pending.due.microseconds(),
            gives_up: pending.gives_up.microseconds(),
            retries: pending.retries,
        }
    }
}

impl From<PendingRow> for Pending {
    fn from(row: PendingRow) -> Self {
        Self {
            completion: row.completion,
            schedule: row.schedule,
            due: Timestamp::from_microseconds(row.due),
            gives_up: Timestamp::from_microseconds(row.gives_up),
            retries: row.retries,
        }
    }
}
