//! The sequential model of a project's snapshot quota.
//!
//! A snapshot counts from its create until its removal, which may come at any moment after its delete. A create without
//! an answer may count, and may stop counting when it is dropped. So the model keeps two numbers: the snapshots that
//! count, and those that may count.
//!
//! A request reads the clock before it reads the usage, so it also counts snapshots that were deleted in between. It can
//! state too much by the number of deletes that it overlaps, and it can refuse a create for that reason, but it never
//! admits one too many.

use todc_utils::specifications::Specification;

use super::history::Operation;

/// The number of snapshots that a project may have.
pub const LIMIT: u64 = 4;

/// A request that depends on the usage or changes it, with its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// A create that was accepted.
    Created,
    /// A create that was refused with 413, and the number of deletes that it overlaps.
    OverQuota { deletes: u64 },
    /// A create without an answer.
    MaybeCreated,
    /// A delete that was accepted, of a snapshot whose create was accepted.
    Deleted,
    /// A delete without an answer, of a snapshot whose create was accepted.
    MaybeDeleted,
    /// The usage in an answer, and the number of deletes that the request overlaps.
    Usage { usage: u64, deletes: u64 },
}

impl Operation for Call {
    fn open(&self) -> Option<Self> {
        match self {
            Self::Created | Self::OverQuota { .. } | Self::MaybeCreated => Some(Self::MaybeCreated),
            Self::Deleted | Self::MaybeDeleted => Some(Self::MaybeDeleted),
            Self::Usage { .. } => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct State {
    /// The snapshots that count.
    counted: u64,
    /// The most that may count besides.
    doubtful: u64,
}

/// The model.
#[derive(Debug)]
pub struct Quota;

impl Specification for Quota {
    type State = State;
    type Operation = Call;

    fn init() -> State {
        State { counted: 0, doubtful: 0 }
    }

    fn apply(call: &Call, &state: &State) -> (bool, State) {
        let State { counted, doubtful } = state;
        let after = match *call {
            // All but `LIMIT - 1` of those in doubt had stopped counting.
            Call::Created => {
                counted.lt(&LIMIT).then(|| State { counted: counted + 1, doubtful: doubtful.min(LIMIT - 1 - counted) })
            }
            Call::OverQuota { deletes } => (counted + doubtful + deletes >= LIMIT).then_some(state),
            Call::MaybeCreated => Some(State { doubtful: doubtful + 1, ..state }),
            Call::Deleted | Call::MaybeDeleted => counted
                .checked_sub(1)
                .map(|counted| State { counted, doubtful: doubtful + 1 })
                .or_else(|| (*call == Call::MaybeDeleted).then_some(state)),
            Call::Usage { usage, deletes } => (counted..=counted + doubtful + deletes)
                .contains(&usage)
                .then(|| State { counted, doubtful: doubtful.min(usage - counted) }),
        };
        match after {
            Some(after) => (true, after),
            None => (false, state),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::history::History;
    use super::*;

    /// Checks calls that do not overlap.
    fn check(calls: &[Call]) -> Result<(), String> {
        let mut history = History::default();
        for (number, call) in calls.iter().enumerate() {
            match call {
                Call::MaybeCreated | Call::MaybeDeleted => history.unanswered(2 * number, call),
                _ => history.answered(2 * number, 2 * number + 1, *call),
            }
        }
        history.check::<Quota>()
    }

    fn usage(usage: u64) -> Call {
        Call::Usage { usage, deletes: 0 }
    }

    #[test]
    fn a_snapshot_counts_until_some_time_after_its_delete() {
        use Call::{Created, Deleted};
        assert_eq!(check(&[Created, Created, Deleted, usage(2), usage(1)]), Ok(()));
        assert!(check(&[Created, Created, Deleted, usage(1), usage(2)]).is_err(), "it had stopped counting");
        assert!(check(&[Created, usage(0)]).is_err(), "a create that was accepted is not counted");
        assert!(check(&[Created, Deleted, usage(0), usage(1)]).is_err(), "nobody has created another");
        let overlapping = Call::Usage { usage: 2, deletes: 1 };
        assert_eq!(check(&[Created, Created, Deleted, usage(1), overlapping]), Ok(()));
    }

    #[test]
    fn a_quota_that_leaks_or_overflows_is_found() {
        use Call::{Created, Deleted, MaybeCreated};
        let full = Call::OverQuota { deletes: 0 };
        assert_eq!(check(&[Created, Created, Created, Created, full]), Ok(()));
        assert!(check(&[Created, Created, Created, Created, Created]).is_err(), "one more than the limit");
        assert!(check(&[Created, Created, Created, full]).is_err(), "there was room for one");
        assert_eq!(check(&[MaybeCreated, Created, Created, Created, full]), Ok(()));
        assert_eq!(check(&[Created, Created, Created, Created, Deleted, Created]), Ok(()));
    }
}
