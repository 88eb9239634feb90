//! Work that takes time, as a row keeps it: **the state of a resource is a function of its row and the clock**.
//!
//! A row has a status and, while work is under way, a [`Pending`]: the effect of the end of the work, the time when the
//! end is due, and the time when waiting for it stops. Every reader of a row applies the changes that are due, so an
//! answer is never stale, even if no schedule runs. Sources: `docs/spec/lifecycle.md` sections 2 and 7,
//! `docs/ARCHITECTURE.md`.
//!
//! The clock may be set back. Work that begins in the future of the clock counts as begun now, so nothing waits until
//! the clock comes to where it was (`docs/adr/0018-clocks.md`).

use serde::{Deserialize, Serialize};
use uuid::Uuid;

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
    /// A backend finishes deleting the snapshots of a volume, and then the volume. Only the scheduled step ends this work,
    /// a few snapshots at a time, so for every reader the row stays until then.
    Cascade,
    /// A backend finishes reading (a backup) or writing (a revert): the status becomes `available` again.
    Release,
    /// A backend finishes extending a volume: the volume has its new size, and the status from before.
    Extend,
    /// A backend finishes moving volumes into a group and out of it. Only the scheduled step ends this work, because it changes
    /// other rows first.
    Move,
    /// No backend does the work, or an agent has reported that it failed: it fails.
    Fail,
    /// No work is known, as after `os-reset_status`. Only the time bound ends the status.
    None,
}

words!(Completion, "a completion of work under way", {
    Create => "create",
    Manage => "manage",
    Remove => "remove",
    Cascade => "cascade",
    Release => "release",
    Extend => "extend",
    Move => "move",
    Fail => "fail",
    None => "none",
});

impl Completion {
    /// Returns whether only the scheduled step ends the work, since it changes other rows first. For every reader the work goes
    /// on until then.
    #[must_use]
    pub const fn is_for_tick(self) -> bool {
        matches!(self, Self::Cascade | Self::Move)
    }
}

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
    /// The time when it began.
    pub begun: Timestamp,
    /// The time when it ends. For [`Schedule::OnRequest`], the earliest time when an operator's tick ends it.
    pub due: Timestamp,
    /// The time bound: when waiting for the end stops. Unless a retry is left, no transient status lasts longer.
    pub gives_up: Timestamp,
    /// The number of retries that are left. Each has as much time as the first attempt.
    pub retries: u8,
    /// The request that began the work, if a failure leaves a user message.
    pub request_id: Option<Uuid>,
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

/// The most seconds by which the clocks of two hosts may differ. Work that begins later than that was begun before the
/// clock was set back.
const SKEW_SECONDS: f64 = 5.0;

/// Returns whether a time is so far in the future of the clock that the clock must have been set back since.
#[must_use]
pub fn is_in_future(time: Timestamp, clock: Timestamp) -> bool {
    clock.plus_seconds(SKEW_SECONDS) < time
}

impl Pending {
    /// Returns whether the clock was set back to before the work began.
    #[must_use]
    pub fn begins_in_future(&self, clock: Timestamp) -> bool {
        is_in_future(self.begun, clock)
    }

    /// Returns the work with its times counted from `clock` if it begins in the future.
    #[must_use]
    pub fn begun_by(self, clock: Timestamp) -> Self {
        if !self.begins_in_future(clock) {
            return self;
        }
        let lead = self.begun.microseconds().saturating_sub(clock.microseconds());
        let earlier = |time: Timestamp| Timestamp::from_microseconds(time.microseconds().saturating_sub(lead));
        Self { begun: clock, due: earlier(self.due), gives_up: earlier(self.gives_up), ..self }
    }

    /// Returns whether a tick may have to examine the row, to remove it or because nothing else ends the work.
    #[must_use]
    pub fn may_end_in_tick(&self) -> bool {
        self.removes() || self.schedule == Schedule::NextTick
    }

    /// Returns whether the work ends with the removal of the row.
    #[must_use]
    pub const fn removes(&self) -> bool {
        matches!(self.completion, Completion::Remove | Completion::Cascade)
    }

    /// Returns the work with a later time bound, or `None` if less than half of the time to the bound is over.
    #[must_use]
    pub fn renewed(self, at: Timestamp) -> Option<Self> {
        let patience = self.gives_up.microseconds().saturating_sub(self.due.microseconds()).max(0);
        let left = self.gives_up.microseconds().saturating_sub(at.microseconds());
        let gives_up = Timestamp::from_microseconds(at.microseconds().saturating_add(patience));
        (left < patience / 2).then_some(Self { begun: at, due: at, gives_up, ..self })
    }

    /// Returns whether a tick must examine the row. A removal that readers have given up stays as it is, unless only the
    /// tick was late: it carries on a cascade whose time has come by the clock.
    #[must_use]
    pub fn needs_tick(&self, clock: Timestamp) -> bool {
        let waits_for_tick = match self.schedule {
            Schedule::NextTick => true,
            Schedule::Clock => self.completion.is_for_tick(),
            Schedule::OnRequest => false,
        };
        waits_for_tick || self.may_leave_message() || (self.removes() && !self.is_given_up(clock))
    }

    /// Returns whether the work may fail and then leaves a user message, which the scheduled step writes. Work that the clock
    /// completes never fails.
    #[must_use]
    pub fn may_leave_message(&self) -> bool {
        self.request_id.is_some() && (self.completion == Completion::Fail || self.schedule == Schedule::OnRequest)
    }

    /// Returns the time when the work failed by the clock, or `None` if it has not.
    #[must_use]
    pub fn failed_at(&self, clock: Timestamp) -> Option<Timestamp> {
        match self.ending(clock, Occasion::Reading)? {
            Ending::GivenUp(at) | Ending::Completed(Completion::Fail, at) => Some(at),
            Ending::Retried(again) => again.failed_at(clock),
            Ending::Completed(..) => None,
        }
    }

    /// Returns the same work, failed at `at` for everyone who reads the clock.
    #[must_use]
    pub fn failed(self, at: Timestamp) -> Self {
        let (begun, gives_up) = (self.begun.min(at), self.gives_up.max(at));
        Self { completion: Completion::Fail, schedule: Schedule::Clock, begun, due: at, gives_up, retries: 0, ..self }
    }

    /// Returns the time from which the scheduled step looks at the work. Until its bound, only a request ends a create that
    /// waits for one, and clients see that by themselves.
    #[must_use]
    pub fn looked_at(&self) -> Timestamp {
        if self.completion == Completion::Create && self.schedule == Schedule::OnRequest && self.may_leave_message() {
            self.gives_up
        } else {
            self.due
        }
    }

    fn is_given_up(&self, clock: Timestamp) -> bool {
        match self.ending(clock, Occasion::Reading) {
            Some(Ending::GivenUp(_)) => true,
            Some(Ending::Retried(again)) => again.is_given_up(clock),
            Some(Ending::Completed(..)) | None => false,
        }
    }

    /// Returns the same work, but ended at `at` for everyone who reads the clock.
    #[must_use]
    pub fn ended(self, at: Timestamp) -> Self {
        let begun = self.begun.min(at);
        Self { schedule: Schedule::Clock, begun, due: self.due.min(at), gives_up: self.gives_up.max(at), ..self }
    }

    /// Returns the same work, but ended by the clock, as after a report that it has ended.
    #[must_use]
    pub fn ending_by_clock(self) -> Self {
        Self { schedule: Schedule::Clock, ..self }
    }

    /// Returns the same work, but given up at a time, as after a report that it has failed.
    #[must_use]
    pub fn given_up_at(self, at: Timestamp) -> Self {
        Self { schedule: Schedule::OnRequest, due: at.plus_seconds(1.0), gives_up: at, retries: 0, ..self }
    }

    /// Returns whether the trigger of the work lets it end now, the time bound aside.
    #[must_use]
    pub fn comes_due(&self, now: Timestamp, occasion: Occasion) -> bool {
        match (self.completion, self.schedule, occasion) {
            (Completion::None, ..) => false,
            (_, Schedule::Clock, _) | (_, Schedule::OnRequest, Occasion::OperatorTick) => self.due <= now,
            (_, Schedule::NextTick, Occasion::Tick | Occasion::OperatorTick) => true,
            (_, Schedule::NextTick, Occasion::Reading)
            | (_, Schedule::OnRequest, Occasion::Reading | Occasion::Tick) => false,
        }
    }

    /// Returns how the work has ended by `now`, or `None` if it has not. The earlier of the due time and the time bound
    /// decides.
    ///
    /// Work in the future of the clock is never given up. If the clock ends it, it has ended: its time may well have
    /// been, and nobody has to wait for a second one. An operator's time is no clock, so it may be before the beginning.
    #[must_use]
    pub fn ending(&self, now: Timestamp, occasion: Occasion) -> Option<Ending> {
        let is_ended_by_readers = self.completion != Completion::None && !self.completion.is_for_tick();
        let completes = !self.completion.is_for_tick() && self.comes_due(now, occasion);
        if occasion != Occasion::OperatorTick && self.begins_in_future(now) {
            let ends = completes || (is_ended_by_readers && self.schedule == Schedule::Clock);
            return ends.then_some(Ending::Completed(self.completion, now));
        }
        if completes && (self.due <= self.gives_up || now < self.gives_up) {
            let at = if self.schedule == Schedule::NextTick { now } else { self.due };
            Some(Ending::Completed(self.completion, at))
        } else if now < self.gives_up {
            None
        } else if let Some(retries) = self.retries.checked_sub(1) {
            let patience = self.gives_up.microseconds().saturating_sub(self.due.microseconds());
            let gives_up = Timestamp::from_microseconds(self.gives_up.microseconds().saturating_add(patience.max(0)));
            Some(Ending::Retried(Self { begun: self.gives_up, due: self.gives_up, gives_up, retries, ..*self }))
        } else {
            Some(Ending::GivenUp(self.gives_up))
        }
    }
}

/// The shortest time bound of work that never ends by the clock alone, in seconds, so that there is time for a few ticks.
const MINUTE: f64 = 60.0;

/// The delays that turn an accepted request into [`Pending`] work, from the Spin variables.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Delays {
    /// How work ends.
    pub progression: Progression,
    /// The seconds from an accepted create (or manage, revert, extend, or backup) to its end.
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
            // The scheduler refuses by itself, however work ends.
            (Completion::Fail, _) => (self.create_seconds, Schedule::Clock),
            (Completion::Remove | Completion::Cascade, progression) => (self.delete_seconds, progression.schedule()),
            (_, progression) => (self.create_seconds, progression.schedule()),
        };
        let delay = if self.progression == Progression::Immediate { 0.0 } else { delay };
        let patience = if completion.is_for_tick() { self.give_up_seconds.max(MINUTE) } else { self.give_up_seconds };
        Pending {
            completion,
            schedule,
            begun: now,
            due: now.plus_seconds(delay),
            // An operator may want a delay longer than the bound, so the bound starts when the work is due.
            gives_up: now.plus_seconds(delay).plus_seconds(patience),
            // There is no work to retry.
            retries: if matches!(completion, Completion::None | Completion::Fail) { 0 } else { self.retries },
            request_id: None,
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

    #[test]
    fn work_that_begins_in_the_future_ends_now_or_begins_now() {
        use Occasion::{OperatorTick, Reading, Tick};
        use Progression::{Immediate, Manual, Time};
        let back = |seconds: f64| START.plus_seconds(-seconds);
        let done = |seconds: f64| Some(Ending::Completed(Completion::Create, back(seconds)));
        let cases = [
            // Clocks of two hosts may differ so much.
            (Time, 0.001, Reading, None),
            (Time, 5.0, Reading, None),
            (Time, 5.1, Reading, done(5.1)),
            (Time, 900.0, Reading, done(900.0)),
            (Time, 900.0, Tick, done(900.0)),
            (Manual, 900.0, Reading, None),
            (Manual, 900.0, Tick, None),
            (Immediate, 900.0, Reading, None),
            (Immediate, 5.1, Tick, done(5.1)),
            // An operator's time is no clock.
            (Time, 900.0, OperatorTick, None),
            (Manual, 900.0, OperatorTick, None),
        ];
        for (progression, seconds, occasion, expected) in cases {
            let ending = begun(progression).ending(back(seconds), occasion);
            assert_eq!(ending, expected, "{progression:?} {seconds} {occasion:?}");
        }
        let reset =
            Delays { progression: Time, create_seconds: 2.0, delete_seconds: 1.0, give_up_seconds: 60.0, retries: 0 }
                .begin(Completion::None, START);
        assert_eq!(reset.ending(back(900.0), Reading), None, "a status that was set goes on");
    }

    #[test]
    fn work_in_the_future_keeps_its_delay_and_its_bound_when_it_begins_now() {
        let work = begun(Progression::Manual);
        for seconds in [900.0, 40_000_000.0] {
            let clock = START.plus_seconds(-seconds);
            let now = work.begun_by(clock);
            assert_eq!((now.begun, now.due, now.gives_up), (clock, clock.plus_seconds(2.0), clock.plus_seconds(62.0)));
            assert_eq!(now.ending(clock.plus_seconds(61.9), Occasion::Reading), None);
            let bound = clock.plus_seconds(62.0);
            assert_eq!(now.ending(bound, Occasion::Reading), Some(Ending::GivenUp(bound)));
        }
        for clock in [START.plus_seconds(-5.0), START, START.plus_seconds(900.0)] {
            assert_eq!(work.begun_by(clock), work, "{clock}");
        }
    }

    #[test]
    fn work_ends_once_while_clocks_differ_by_the_skew_or_less() {
        let work = begun(Progression::Time);
        let seen = (-5_000..9_000).map(|milliseconds| {
            work.ending(START.plus_seconds(f64::from(milliseconds) / 1_000.0), Occasion::Reading).is_some()
        });
        assert_eq!(seen.clone().filter(|ended| *ended).count(), 7_000, "two seconds after the beginning");
        assert!(seen.is_sorted(), "never ended and then under way");
    }
}
