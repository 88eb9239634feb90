//! The result of a run, and the time bound that its parts share.

use crate::store::StoreError;

use super::plan::Allowance;

/// The time for which an agenda item is kept although its row is not being removed, in seconds. The delete that
/// announced it may not have written its row yet.
pub const ANNOUNCED_SECONDS: f64 = 60.0;

/// The time after which the step looks again at a row that cannot be read, or whose project or page cannot, in seconds.
/// Each look writes a line to the log.
pub const POSTPONED_SECONDS: f64 = 3_600.0;

/// The settings of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// The most rows that one run looks at.
    pub rows: usize,
    /// How long a user message is kept, in seconds.
    pub message_ttl: f64,
}

/// The result of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows that were removed for good.
    pub removed: usize,
    /// Rows that were settled: their work had ended, and the row now says so.
    pub settled: usize,
    /// Things that were found to be wrong, and were repaired.
    pub repaired: usize,
    /// Whether there was more to do than one run does.
    pub more: bool,
}

impl Report {
    /// Adds the report of a part of the run.
    pub const fn add(&mut self, part: Self) {
        self.removed += part.removed;
        self.settled += part.settled;
        self.repaired += part.repaired;
        self.more |= part.more;
    }

    /// Returns the result of a step, or `None` if other writers were faster at every attempt. The next run takes such a
    /// step again, since the rows and the agenda still show that it is due. Each such step has used up many
    /// compare-and-swaps, so only a few are allowed.
    ///
    /// # Errors
    ///
    /// Any other error, and the last one if other writers were faster too often.
    pub fn unless_contended<T>(
        &mut self,
        allowance: &mut Allowance,
        result: Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        match (result, allowance.contended.checked_sub(1)) {
            (Ok(value), _) => Ok(Some(value)),
            (Err(StoreError::Contended(_) | StoreError::Unknown(_)), Some(contended)) => {
                allowance.contended = contended;
                self.more = true;
                Ok(None)
            }
            (Err(error), _) => Err(error),
        }
    }
}
