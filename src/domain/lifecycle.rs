//! How work that takes time is carried by a row: **the state of a resource is a function of its row and the clock**.
//!
//! A row keeps the last settled status and, while something is under way, a [`Pending`]: what happens when the work
//! ends, when that is due, and when we stop waiting for it. Whoever reads a row applies what is due, so an answer is
//! never stale even when no schedule runs. Sources: `spec/lifecycle.md` sections 2 and 7, `design/architecture.md`.

use serde::{Deserialize, Serialize};

use super::Timestamp;
use super::text::words;

/// How asynchronous work finishes where no storage backend is attached (the Spin variable `progression`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progression {
    /// After the configured delay, by the clock alone.
    Time,
    /// At the next run of the scheduled step.
    Immediate,
    /// Only when told: by `os-update_snapshot_status`, or by an operator's tick with a later clock.
    Manual,
}

/// What ends the work that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    /// A backend finishes creating: `available`, and progress `100%`.
    Create,
    /// A backend adopts existing data: `available`, and progress stays as it is (vector `life-manage-ok`).
    Manage,
    /// A backend finishes deleting or forgetting: the row goes.
    Remove,
    /// A backend finishes reading (a backup) or writing (a revert): `available` again.
    Release,
    /// Nothing is known to be under way, as after `os-reset_status`; only the time bound ends it.
    None,
}

words!(Completion, "what ends work under way", {
    Create => "create",
    Manage => "manage",
    Remove => "remove",
    Release => "release",
    None => "none",
});

/// What may end the work, besides the time bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// The clock, at [`Pending::due`].
    Clock,
    /// Any run of the scheduled step.
    NextTick,
    /// A report of the storage agent, or an operator's tick whose clock has reached [`Pending::due`].
    Told,
}

words!(Schedule, "what may end work under way", {
    Clock => "clock",
    NextTick => "next-tick",
    Told => "told",
});

/// Work that is under way on a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// What happens when it ends well.
    pub completion: Completion,
    /// What may end it.
    pub schedule: Schedule,
    /// When it ends; for [`Schedule::Told`] the earliest time that an operator's tick ends it.
    pub due: Timestamp,
    /// When we stop waiting: no resource stays in a transient state past this.
    pub gives_up: Timestamp,
    /// How often the work begins anew then, and is waited for as long as before.
    pub retries: u8,
}

/// How [`Pending`] work has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It ended well at this time.
    Completed(Completion, Timestamp),
    /// Nobody reported in time; the work begins anew.
    BegunAgain(Pending),
    /// Nobody reported in time; given up at this time.
    GivenUp(Timestamp),
}

/// Who asks whether work has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// A reader: only the clock counts.
    Reading,
    /// The scheduled step.
    Tick,
    /// An operator's tick that was given a time.
    OperatorTick,
}

/// The moment of a run of the scheduled step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The time that the run works with.
    pub now: Timestamp,
    /// The time of the clock, which readers use.
    pub clock: Timestamp,
    /// Whether an operator named the time.
    pub occasion: Occasion,
}

impl Moment {
    /// Returns the moment of a run of the schedule.
    #[must_use]
    pub const fn scheduled(clock: Timestamp) -> Self {
        Self { now: clock, clock, occasion: Occasion::Tick }
    }

    /// Returns the moment of an operator's run as if at a time.
    #[must_use]
    pub const fn as_if(now: Timestamp, clock: Timestamp) -> Self {
        Self { now, clock, occasion: Occasion::OperatorTick }
    }
}

impl Pending {
    /// Whether the scheduled step must look at the row: to remove it, or because nothing else ends the work.
    #[must_use]
    pub fn needs_tick(&self) -> bool {
        self.completion == Completion::Remove || self.schedule == Schedule::NextTick
    }

    /// The same work, as having ended at a time for everyone who reads the clock.
    #[must_use]
    pub fn ended(self, at: Timestamp) -> Self {
        Self { schedule: Schedule::Clock, due: self.due.min(at), gives_up: self.gives_up.max(at), ..self }
    }

    /// Whether the work has ended at `now`, and how. The earlier of the due time and the time bound decides.
    #[must_use]
    pub fn ending(&self, now: Timestamp, occasion: Occasion) -> Option<Ending> {
        let completes = match (self.completion, self.schedule, occasion) {
            (Completion::None, ..) => false,
            (_, Schedule::Clock, _) | (_, Schedule::Told, Occasion::OperatorTick) => self.due <= now,
            (_, Schedule::NextTick, Occasion::Tick | Occasion::OperatorTick) => true,
            (_, Schedule::NextTick, Occasion::Reading) | (_, Schedule::Told, Occasion::Reading | Occasion::Tick) => {
                false
            }
        };
        if completes && (self.due <= self.gives_up || now < self.gives_up) {
            let at = if self.schedule == Schedule::NextTick { now } else { self.due };
            Some(Ending::Completed(self.completion, at))
        } else if now < self.gives_up {
            None
        } else if let Some(retries) = self.retries.checked_sub(1) {
            let patience = self.gives_up.microseconds().saturating_sub(self.due.microseconds());
            let gives_up = Timestamp::from_microseconds(self.gives_up.microseconds().saturating_add(patience.max(0)));
            Some(Ending::BegunAgain(Self { due: self.gives_up, gives_up, retries, ..*self }))
        } else {
            Some(Ending::GivenUp(self.gives_up))
        }
    }
}

/// The delays that turn an accepted request into [`Pending`] work; the values come from the Spin variables.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Delays {
    /// How work finishes.
    pub progression: Progression,
    /// Seconds from an accepted create (or manage, or revert) to its end.
    pub create_seconds: f64,
    /// Seconds from an accepted delete (or unmanage) to its end.
    pub delete_seconds: f64,
    /// Seconds after which a transient state is given up.
    pub give_up_seconds: f64,
    /// How often work that is given up begins anew before that.
    pub retries: u8,
}

impl Delays {
    /// Work that starts at `now`.
    #[must_use]
    pub fn begin(&self, completion: Completion, now: Timestamp) -> Pending {
        let (delay, schedule) = match (completion, self.progression) {
            (Completion::None, _) => (0.0, Schedule::Told),
            (Completion::Remove, progression) => (self.delete_seconds, progression.schedule()),
            (_, progression) => (self.create_seconds, progression.schedule()),
        };
        let delay = if self.progression == Progression::Immediate { 0.0 } else { delay };
        Pending {
            completion,
            schedule,
            due: now.plus_seconds(delay),
            // A delay longer than the bound is the operator's wish, so the bound starts when the work is due.
            gives_up: now.plus_seconds(delay).plus_seconds(self.give_up_seconds),
            // What nobody works at is not begun anew.
            retries: if completion == Completion::None { 0 } else { self.retries },
        }
    }
}

impl Progression {
    const fn schedule(self) -> Schedule {
        match self {
            Self::Time => Schedule::Clock,
            Self::Immediate => Schedule::NextTick,
            Self::Manual => Schedule::Told,
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
    fn work_that_may_begin_anew_is_given_up_later() {
        let mut pending = Pending { retries: 2, ..begun(Progression::Manual) };
        let never = Timestamp::from_seconds(1_000_000);
        let mut bounds = Vec::new();
        while let Some(Ending::BegunAgain(again)) = pending.ending(never, Occasion::Reading) {
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
            "what came due first counts"
        );
    }
}
