//! The wall clock that a guest sees: the machine's, or one that a test sets.
//!
//! Only `wasi:clocks/wall-clock` and the timestamp of scheduled events follow it. The monotonic clock, timeouts, and
//! the schedule itself stay on real time, so that a test that stops the clock does not stop the program.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wasmtime_wasi::HostWallClock;

/// A wall clock. Clones share the same time.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// The time that a test chose, or `None` for the machine's clock.
    manual: Option<Arc<Mutex<SystemTime>>>,
}

impl Clock {
    /// Returns the machine's clock.
    pub fn system() -> Self {
        Self { manual: None }
    }

    /// Returns a clock that stands still at `start` until it is set or advanced.
    pub fn manual(start: SystemTime) -> Self {
        Self { manual: Some(Arc::new(Mutex::new(start))) }
    }

    /// Returns a clock that stands still at a number of seconds after 1970-01-01T00:00:00Z.
    pub fn manual_at_seconds(seconds: u64) -> Self {
        Self::manual(UNIX_EPOCH + Duration::from_secs(seconds))
    }

    /// Returns the time.
    pub fn now(&self) -> SystemTime {
        match &self.manual {
            Some(time) => *time.lock().unwrap_or_else(PoisonError::into_inner),
            None => SystemTime::now(),
        }
    }

    /// Returns the time in whole seconds after 1970-01-01T00:00:00Z, as in scheduled events.
    pub fn now_in_seconds(&self) -> u64 {
        since_epoch(self.now()).as_secs()
    }

    /// Sets a manual clock.
    ///
    /// # Panics
    ///
    /// Panics on the system clock, which no test may set.
    pub fn set(&self, time: SystemTime) {
        *self.settable().lock().unwrap_or_else(PoisonError::into_inner) = time;
    }

    /// Moves a manual clock forward.
    ///
    /// # Panics
    ///
    /// Panics on the system clock, which no test may set.
    pub fn advance(&self, by: Duration) {
        *self.settable().lock().unwrap_or_else(PoisonError::into_inner) += by;
    }

    fn settable(&self) -> &Mutex<SystemTime> {
        self.manual.as_deref().expect("only a manual clock can be set; make one with Clock::manual")
    }
}

impl HostWallClock for Clock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        since_epoch(Clock::now(self))
    }
}

/// Returns the time since 1970. WASI's wall clock has no earlier times, so those become 1970.
fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_of_a_manual_clock_move_together() {
        let clock = Clock::manual_at_seconds(100);
        let seen_by_the_guest = clock.clone();
        clock.advance(Duration::from_secs(5));
        assert_eq!(HostWallClock::now(&seen_by_the_guest), Duration::from_secs(105));
        clock.set(UNIX_EPOCH + Duration::from_secs(7));
        assert_eq!(seen_by_the_guest.now_in_seconds(), 7);
    }

    #[test]
    fn a_time_before_1970_is_shown_as_1970() {
        let clock = Clock::manual(UNIX_EPOCH - Duration::from_secs(1));
        assert_eq!(clock.now_in_seconds(), 0);
    }
}
