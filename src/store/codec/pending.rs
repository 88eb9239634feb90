//! Work under way, as every row stores it.

use crate::domain::{Completion, Pending, Schedule, Timestamp};

use super::bytes::{fields, word_field};

/// The stored form of [`Pending`].
#[derive(Debug, Clone, Copy)]
pub struct StoredPending {
    completion: Completion,
    schedule: Schedule,
    due: i64,
    gives_up: i64,
    retries: u8,
}

fields!(StoredPending { completion, schedule, due, gives_up, retries });

word_field!(Completion, Schedule);

impl From<Pending> for StoredPending {
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

impl From<StoredPending> for Pending {
    fn from(stored: StoredPending) -> Self {
        Self {
            completion: stored.completion,
            schedule: stored.schedule,
            due: Timestamp::from_microseconds(stored.due),
            gives_up: Timestamp::from_microseconds(stored.gives_up),
            retries: stored.retries,
        }
    }
}
