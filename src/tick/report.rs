//! The result of a run, and the time bound that its parts share.

/// The time for which an agenda item is kept although its row is not being removed, in seconds. The delete that
/// announced it may not have written its row yet.
pub const ANNOUNCED_SECONDS: f64 = 60.0;

/// The time after which the step looks again at a row that cannot be read, or whose project or page cannot, in seconds.
/// Each look writes a line to the log.
pub const POSTPONED_SECONDS: f64 = 3_600.0;

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
