//! Work that takes time, as a row keeps it: **the state of a resource is a function of its row and the clock**.
//!
//! A row has a status and, while work is under way, a [`Pending`]: the effect of the end of the work, the time when the
//! end is due, and the time when waiting for it stops. Every reader of a row applies the changes that are due, so an
//! answer is never stale, even if no schedule runs. Sources: `docs/spec/lifecycle.md` sections 2 and 7,
//! `docs/ARCHITECTURE.md`.

use serde::{Deserialize, Serialize};

use super::Timestamp;
use super::strings::words;

/// How work ends without a storage backend (the Spin variable `progression`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progression {
    /// After the configured delay, by the clock alone.
    Time,
    /// At the next tick.
    Immediate,
    /// Only through `os-update_snapshot_status`, or through an operator's tick at a later time.
    Manual,
}

/// The end of the work under way, and its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    /// A backend finishes creating: the status becomes `available`, and the progress `100%`.
    Create,
    /// A backend adopts existing data: the status becomes `available`, and the progress stays (vector
    /// `life-manage-ok`).
    Manage,
    /// A backend finishes deleting or forgetting: the row is removed.
    Remove,
    /// A backend finishes reading (a backup) or writing (a revert): the status becomes `available` again.
    Release,
    /// No work is known, as after `os-reset_status`. Only the time bound ends the status.
    None,
}

words!(Completion, "a completion of work under way", {
    Create => "create",
    Manage => "manage",
    Remove => "remove",
    Release => "release",
    None => "none",
});

/// The trigger that may end the work, besides the time bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// The clock, at [`Pending::due`].
    Clock,
    /// Any tick.
    NextTick,
    /// A request: a report of the storage agent, or an operator's tick whose time has reached [`Pending::due`].
    OnRequest,
}

words!(Schedule, "a schedule of work under way", {
    Clock => "clock",
    NextTick => "next-tick",
    OnRequest => "told",
});

/// Work that is under way on a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The effect when it ends well.
    pub completion: Completion,
    /// The trigger that may end it.
    pub schedule: Schedule,
    /// The time when it ends. For [`Schedule::OnRequest`], the earliest time when an operator's tick ends it.
    pub due: Timestamp,
    /// The time bound: when waiting for the end stops. Unless a retry is left, no transient status lasts longer.
    pub gives_up: Timestamp,
    /// The number of retries that are left. Each has as much time as the first attempt.
    pub retries: u8,
}

/// How [`Pending`] work has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It ended well at this time.
    Completed(Completion, Timestamp),
    /// The time bound passed, and the work is retried.
    Retried(Pending),
    /// The time bound passed without a retry left, and the work was given up at this time.
    GivenUp(Timestamp),
}

/// The occasion on which the end of work is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// A read. Only the clock counts.
    Reading,
    /// A tick of the schedule.
    Tick,
    /// An operator's tick with a given time.
    OperatorTick,
}

/// The moment of a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The time that the tick works with.
    pub now: Timestamp,
    /// The time of the clock, which readers use.
    pub clock: Timestamp,
    /// Whether an operator named the time.
    pub occasion: Occasion,
}

impl Moment {
    /// Returns the moment of a tick of the schedule.
    #[must_use]
    pub const fn scheduled(clock: Timestamp) -> Self {
        Self { now: clock, clock, occasion: Occasion::Tick }
    }

    /// Returns the moment of an operator's tick that acts as if it were `now`.
    #[must_use]
    pub const fn as_if(now: Timestamp, clock: Timestamp) -> Self {
        Self { now, clock, occasion: Occasion::OperatorTick }
    }
}

impl Pending {
    /// Returns whether a tick must examine the row, to remove it or because nothing else ends the work.
    #[must_use]
    pub fn needs_tick(&self) -> bool {
        self.completion == Completion::Remove || self.schedule == Schedule::NextTick
    }

    /// Returns the same work, but ended at `at` for everyone who reads the clock.
    #[must_use]
    pub fn ended(self, at: Timestamp) -> Self {
        Self { schedule: Schedule::Clock, due: self.due.min(at), gives_up: self.gives_up.max(at), ..self }
    }

    /// Returns how the work has ended by `now`, or `None` if it has not. The earlier of the due time and the time bound
    /// decides.
    #[must_use]
    pub fn ending(&self, now: Timestamp, occasion: Occasion) -> Option<Ending> {
        let completes = match (self.completion, self.schedule, occasion) {
            (Completion::None, ..) => false,
            (_, Schedule::Clock, _) | (_, Schedule::OnRequest, Occasion::OperatorTick) => self.due <= now,
            (_, Schedule::NextTick, Occasion::Tick | Occasion::OperatorTick) => true,
            (_, Schedule::NextTick, Occasion::Reading)
            | (_, Schedule::OnRequest, Occasion::Reading | Occasion::Tick) => false,
        };
        if completes && (self.due <= self.gives_up || now < self.gives_up) {
            let at = if self.schedule == Schedule::NextTick { now } else { self.due };
            Some(Ending::Completed(self.completion, at))
        } else if now < self.gives_up {
            None
        } else if let Some(retries) = self.retries.checked_sub(1) {
            let patience = self.gives_up.microseconds().saturating_sub(self.due.microseconds());
            let gives_up = Timestamp::from_microseconds(self.gives_up.microseconds().saturating_add(patience.max(0)));
            Some(Ending::Retried(Self { due: self.gives_up, gives_up, retries, ..*self }))
        } else {
            Some(Ending::GivenUp(self.gives_up))
        }
    }
}

/// The delays that turn an accepted request into [`Pending`] work, from the Spin variables.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Delays {
    /// How work ends.
    pub progression: Progression,
    /// The seconds from an accepted create (or manage, revert, or backup) to its end.
    pub create_seconds: f64,
    /// The seconds from an accepted delete (or unmanage) to its end.
    pub delete_seconds: f64,
    /// The seconds past the due time after which work is retried or given up.
    pub give_up_seconds: f64,
    /// The number of retries before work is given up.
    pub retries: u8,
}

impl Delays {
    /// Returns work that starts at `now`.
    #[must_use]
    pub fn begin(&self, completion: Completion, now: Timestamp) -> Pending {
        let (delay, schedule) = match (completion, self.progression) {
            (Completion::None, _) => (0.0, Schedule::OnRequest),
            (Completion::Remove, progression) => (self.delete_seconds, progression.schedule()),
            (_, progression) => (self.create_seconds, progression.schedule()),
        };
        let delay = if self.progression == Progression::Immediate { 0.0 } else { delay };
        Pending {
            completion,
            schedule,
            due: now.plus_seconds(delay),
            // An operator may want a delay longer than the bound, so the bound starts when the work is due.
            gives_up: now.plus_seconds(delay).plus_seconds(self.give_up_seconds),
            // There is no work to retry.
            retries: if completion == Completion::None { 0 } else { self.retries },
        }
    }
}

impl Progression {
    const fn schedule(self) -> Schedule {
        match self {
            Self::Time => Schedule::Clock,
            Self::Immediate => Schedule::NextTick,
            Self::Manual => Schedule::OnRequest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_seconds(1_000);

    fn begun(progression: Progression) -> Pending {
        Delays { progression, create_seconds: 2.0, delete_seconds: 1.0, give_up_seconds: 60.0, retries: 0 }
            .begin(Completion::Create, START)
    }

    #[test]
    fn each_progression_ends_on_its_own_occasions_only() {
        let due = START.plus_seconds(2.0);
        let late = START.plus_seconds(3.0);
        let done = |at| Some(Ending::Completed(Completion::Create, at));
        let cases = [
            (Progression::Time, START, Occasion::Tick, None),
            (Progression::Time, due, Occasion::Reading, done(due)),
            (Progression::Time, late, Occasion::Tick, done(due)),
            (Progression::Immediate, late, Occasion::Reading, None),
            (Progression::Immediate, START, Occasion::Tick, done(START)),
            (Progression::Immediate, late, Occasion::OperatorTick, done(late)),
            (Progression::Manual, late, Occasion::Reading, None),
            (Progression::Manual, late, Occasion::Tick, None),
            (Progression::Manual, START, Occasion::OperatorTick, None),
            (Progression::Manual, late, Occasion::OperatorTick, done(due)),
        ];
        for (progression, now, occasion, expected) in cases {
            assert_eq!(begun(progression).ending(now, occasion), expected, "{progression:?} {now} {occasion:?}");
        }
    }

    #[test]
    fn work_that_may_be_retried_is_given_up_later() {
        let mut pending = Pending { retries: 2, ..begun(Progression::Manual) };
        let never = Timestamp::from_seconds(1_000_000);
        let mut bounds = Vec::new();
        while let Some(Ending::Retried(again)) = pending.ending(never, Occasion::Reading) {
            bounds.push(again.gives_up);
            pending = again;
        }
        assert_eq!(bounds, [122.0, 182.0].map(|seconds| START.plus_seconds(seconds)));
        assert_eq!(pending.ending(never, Occasion::Reading), Some(Ending::GivenUp(START.plus_seconds(182.0))));
        assert_eq!(pending.ending(START.plus_seconds(181.0), Occasion::Reading), None);
    }

    #[test]
    fn nothing_outlives_its_time_bound() {
        for (progression, seconds) in [(Progression::Immediate, 60.0), (Progression::Manual, 62.0)] {
            let bound = START.plus_seconds(seconds);
            let ending = begun(progression).ending(bound, Occasion::Reading);
            assert_eq!(ending, Some(Ending::GivenUp(bound)), "{progression:?}");
        }
        let long_ago = Timestamp::from_seconds(1_000_000);
        assert_eq!(
            begun(Progression::Manual).ending(long_ago, Occasion::OperatorTick),
            Some(Ending::Completed(Completion::Create, START.plus_seconds(2.0))),
            "the earlier of the two times counts"
        );
    }
}
