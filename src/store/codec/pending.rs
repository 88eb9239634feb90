//! Work under way, as every row stores it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::{Pending, Timestamp};

use super::metadata::parse;

/// The stored form of [`Pending`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct StoredPending<'a> {
    completion: &'a str,
    schedule: &'a str,
    begun: i64,
    due: i64,
    gives_up: i64,
    retries: u8,
    request: Option<Uuid>,
}

impl From<Pending> for StoredPending<'_> {
    fn from(pending: Pending) -> Self {
        Self {
            completion: pending.completion.as_str(),
            schedule: pending.schedule.as_str(),
            begun: pending.begun.microseconds(),
            due: pending.due.microseconds(),
            gives_up: pending.gives_up.microseconds(),
            retries: pending.retries,
            request: pending.request_id,
        }
    }
}

impl TryFrom<StoredPending<'_>> for Pending {
    type Error = String;

    fn try_from(stored: StoredPending<'_>) -> Result<Self, String> {
        Ok(Self {
            completion: parse(stored.completion)?,
            schedule: parse(stored.schedule)?,
            begun: Timestamp::from_microseconds(stored.begun),
            due: Timestamp::from_microseconds(stored.due),
            gives_up: Timestamp::from_microseconds(stored.gives_up),
            retries: stored.retries,
            request_id: stored.request,
        })
    }
}
