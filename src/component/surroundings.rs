//! The clock and the randomness that the core is given.

use uuid::Uuid;
use wasi::clocks::wall_clock;

use crate::domain::Timestamp;
use crate::store::Identifiers;

/// Returns the time of the wall clock.
///
/// It asks WASI directly: the clock of the standard library goes through the C library, which imports two more
/// functions.
pub(super) fn now() -> Timestamp {
    let now = wall_clock::now();
    let microseconds = i64::try_from(now.seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    Timestamp::from_microseconds(microseconds.saturating_add(i64::from(now.nanoseconds / 1_000)))
}

/// Random identifiers.
pub(super) struct RandomIdentifiers;

impl Identifiers for RandomIdentifiers {
    #[expect(clippy::disallowed_methods, reason = "this is where the core gets its randomness")]
    fn uuid(&self) -> Uuid {
        Uuid::new_v4()
    }
}
