//! The plan of a run for one slot of the agenda: a pure function of the states of the rows.

use crate::store::RowState;
use crate::store::agenda::{AgendaItem, Purpose};

/// The compare-and-swaps that one run may make. Spin lets an invocation open 256 of them and never closes any. A run
/// needs some more for the agenda, and a few for retries.
#[derive(Debug, Clone, Copy)]
pub struct Allowance {
    /// Rows to settle: their work has ended, and the row must say so.
    pub settled: usize,
    /// Batches of rows of one project that are removed.
    pub batches: usize,
    /// Compare-and-swaps for looks at the creates of projects.
    pub creates: usize,
    /// Steps for which other writers were faster at every attempt. Each has made as many compare-and-swaps as there are
    /// attempts.
    pub contended: usize,
}

impl Allowance {
    /// The allowance of one run.
    pub const OF_ONE_RUN: Self = Self { settled: 100, batches: 40, creates: 40, contended: 2 };
}

/// The compare-and-swaps for the message of a failure: the agenda, the record, and the row that has failed.
const SWAPS_OF_A_MESSAGE: usize = 3;

/// The state of a row, and the agenda item that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about an item, which a plan combines freely")]
pub struct Observation {
    pub item: AgendaItem,
    pub state: RowState,
    /// Whether the item is on the agenda. An operator's run also finds rows that are not.
    pub is_scheduled: bool,
    /// Whether the item is so old that the request that announced it has written its row or never will.
    pub is_stale: bool,
    /// Whether the clock was set back since the item was made.
    pub is_from_future: bool,
    /// Whether the row is so new that the request that creates it, or the one that extends it, may still be running.
    pub is_new: bool,
}

/// The work of a run on one slot, in the order in which it is done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Rows to put on the agenda before they are removed. Readers exclude a removed row from the count only if it is on
    /// the agenda.
    pub schedule: Vec<AgendaItem>,
    /// Items of the future, whose rows go on: both count from now on.
    pub begin_now: Vec<AgendaItem>,
    /// Rows to settle whose work has ended well.
    pub complete: Vec<AgendaItem>,
    /// Volumes whose extension has ended, or was never begun, to settle with the quota of their projects.
    pub extended: Vec<AgendaItem>,
    /// Rows whose work has failed, as far as one can see. They are looked at again a little later.
    pub confirm: Vec<AgendaItem>,
    /// Rows whose work has failed: a user message is left, and then they are settled.
    pub fail: Vec<AgendaItem>,
    /// Rows to settle as gone, and then to remove.
    pub end: Vec<AgendaItem>,
    /// Rows that are gone. If an index still has their entry, the entry is removed.
    pub gone: Vec<AgendaItem>,
    /// Rows that were never written. If an index has their entry, the entry is dropped.
    pub unwritten: Vec<AgendaItem>,
    /// Rows that were created. If an index has their entry, the item is not needed any more.
    pub written: Vec<AgendaItem>,
    /// Rows that were created long ago. If no index has their entry, they are removed.
    pub orphaned: Vec<AgendaItem>,
    /// Rows to remove.
    pub remove: Vec<AgendaItem>,
    /// Volumes whose snapshots are removed before them, by [`super::cascade`].
    pub cascade: Vec<AgendaItem>,
    /// Items that need nothing more.
    pub forget: Vec<AgendaItem>,
    /// Items whose row cannot be read. They stay, and are looked at again later.
    pub postpone: Vec<AgendaItem>,
    /// Whether work is left for the next run.
    pub more: bool,
}

/// The compare-and-swaps that settle one extension.
const SWAPS_OF_EXTENSION: usize = 3;

impl Plan {
    /// Plans to settle an extension, as far as the allowance goes.
    fn extend(&mut self, item: AgendaItem, allowance: &mut Allowance) {
        match allowance.settled.checked_sub(SWAPS_OF_EXTENSION) {
            Some(settled) => {
                allowance.settled = settled;
                self.extended.push(item);
            }
            None => self.more = true,
        }
    }
}

/// Plans the work on one slot, and takes the compare-and-swaps for it out of the allowance.
pub fn plan(observations: Vec<Observation>, allowance: &mut Allowance) -> Plan {
    let mut plan = Plan::default();
    for Observation { item, state, is_scheduled, is_stale, is_from_future, is_new } in observations {
        match state {
            RowState::Ending | RowState::Completed if allowance.settled == 0 => plan.more = true,
            RowState::Idle if item.purpose == Purpose::Extension && is_new && !is_from_future => {}
            RowState::Extended => plan.extend(item, allowance),
            RowState::Idle if item.purpose == Purpose::Extension => plan.extend(item, allowance),
            // The clock may have been set forward by mistake for a moment, so the failure must last.
            RowState::Failed(at) if is_scheduled && item.since < at.microseconds() => plan.confirm.push(item),
            RowState::Failed(_) if allowance.settled < SWAPS_OF_A_MESSAGE => plan.more = true,
            RowState::Failed(_) => {
                allowance.settled -= SWAPS_OF_A_MESSAGE;
                plan.fail.push(item);
            }
            RowState::Completed => {
                allowance.settled -= 1;
                plan.complete.push(item);
            }
            RowState::Ended | RowState::Ending => {
                if !is_scheduled {
                    plan.schedule.push(item.clone());
                }
                if state == RowState::Ending {
                    allowance.settled -= 1;
                    plan.end.push(item);
                } else {
                    plan.remove.push(item);
                }
            }
            RowState::Cascading => {
                if !is_scheduled {
                    plan.schedule.push(item.clone());
                }
                plan.cascade.push(item);
            }
            RowState::Waiting | RowState::Idle if is_from_future => match allowance.settled.checked_sub(1) {
                Some(settled) => {
                    allowance.settled = settled;
                    plan.begin_now.push(item);
                }
                None => plan.more = true,
            },
            RowState::Gone if item.purpose == Purpose::New && is_from_future => plan.begin_now.push(item),
            // The create may still be about to write the row.
            RowState::Gone | RowState::Idle | RowState::Waiting if item.purpose == Purpose::New && is_new => {}
            RowState::Gone if item.purpose == Purpose::New => plan.unwritten.push(item),
            RowState::Gone => plan.gone.push(item),
            RowState::Idle | RowState::Waiting if item.purpose == Purpose::New => {
                let list = if is_stale { &mut plan.orphaned } else { &mut plan.written };
                list.push(item);
            }
            RowState::Idle if is_stale => plan.forget.push(item),
            RowState::Idle | RowState::Waiting => {}
            RowState::Unreadable => plan.postpone.push(item),
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use crate::domain::Timestamp;
    use crate::store::Kind;

    use super::*;

    fn item(number: u128, purpose: Purpose) -> AgendaItem {
        AgendaItem {
            project: "a1".parse().expect("a project id"),
            kind: Kind::Snapshot,
            id: Uuid::from_u128(number),
            since: 0,
            due: 0,
            created: 0,
            size: 1,
            volume_type: None,
            counted: true,
            purpose,
        }
    }

    /// The names of the lists that an item is in.
    fn lists(plan: &Plan) -> Vec<&'static str> {
        let lists = [
            ("schedule", &plan.schedule),
            ("begin now", &plan.begin_now),
            ("complete", &plan.complete),
            ("extended", &plan.extended),
            ("confirm", &plan.confirm),
            ("fail", &plan.fail),
            ("end", &plan.end),
            ("gone", &plan.gone),
            ("unwritten", &plan.unwritten),
            ("written", &plan.written),
            ("orphaned", &plan.orphaned),
            ("remove", &plan.remove),
            ("cascade", &plan.cascade),
            ("forget", &plan.forget),
            ("postpone", &plan.postpone),
        ];
        let names = lists.into_iter().filter(|(_, items)| !items.is_empty()).map(|(name, _)| name);
        names.chain(plan.more.then_some("more")).collect()
    }

    /// The time of the items below, and a later one.
    const START: Timestamp = Timestamp::from_seconds(0);
    const LATER: Timestamp = Timestamp::from_seconds(1);

    /// A state, a purpose, whether the item is scheduled, whether it is stale, whether the allowance is used up, and the
    /// lists of the plan.
    type Case = (RowState, Purpose, bool, bool, bool, &'static [&'static str]);

    #[test]
    fn each_state_has_one_plan() {
        use Purpose::{Extension, New, Row, Volume};
        use RowState::{Cascading, Completed, Ended, Ending, Extended, Failed, Gone, Idle, Unreadable, Waiting};
        let cases: [Case; 38] = [
            (Gone, Row, true, false, false, &["gone"]),
            (Gone, Volume, true, false, false, &["gone"]),
            (Gone, New, true, false, false, &["unwritten"]),
            (Gone, New, true, true, false, &["unwritten"]),
            (Idle, New, true, false, false, &["written"]),
            (Waiting, New, true, true, false, &["orphaned"]),
            (Completed, New, true, false, false, &["complete"]),
            (Ended, New, true, false, false, &["remove"]),
            (Ended, Row, true, false, false, &["remove"]),
            (Ended, Row, false, false, false, &["schedule", "remove"]),
            (Ended, Row, true, false, true, &["remove"]),
            (Ending, Row, true, false, false, &["end"]),
            (Ending, Row, false, false, false, &["schedule", "end"]),
            (Ending, Row, true, false, true, &["more"]),
            (Completed, Row, true, false, false, &["complete"]),
            (Completed, Row, false, false, false, &["complete"]),
            (Completed, Row, true, false, true, &["more"]),
            (Cascading, Row, true, false, false, &["cascade"]),
            (Cascading, Row, true, true, true, &["cascade"]),
            (Cascading, Row, false, false, false, &["schedule", "cascade"]),
            (Waiting, Row, true, true, false, &[]),
            (Idle, Row, true, false, false, &[]),
            (Idle, Row, true, true, false, &["forget"]),
            (Idle, Volume, true, true, false, &["forget"]),
            (Extended, Extension, true, false, false, &["extended"]),
            (Extended, Row, false, false, false, &["extended"]),
            (Extended, Extension, true, false, true, &["more"]),
            (Idle, Extension, true, false, false, &["extended"]),
            (Waiting, Extension, true, true, false, &[]),
            (Gone, Extension, true, false, false, &["gone"]),
            (Ended, Extension, true, false, false, &["remove"]),
            (Failed(START), Row, true, false, false, &["fail"]),
            (Failed(START), New, true, true, false, &["fail"]),
            (Failed(START), Row, true, false, true, &["more"]),
            (Failed(LATER), Row, true, false, false, &["confirm"]),
            (Failed(LATER), Row, false, false, false, &["fail"]),
            (Unreadable, Row, true, false, false, &["postpone"]),
            (Unreadable, New, true, true, true, &["postpone"]),
        ];
        for (state, purpose, is_scheduled, is_stale, is_used_up, expected) in cases {
            let settled = if is_used_up { 0 } else { SWAPS_OF_EXTENSION.max(SWAPS_OF_A_MESSAGE) };
            let mut allowance = Allowance { settled, batches: 1, creates: 0, contended: 0 };
            let observation = Observation {
                item: item(1, purpose),
                state,
                is_scheduled,
                is_stale,
                is_from_future: false,
                is_new: false,
            };
            let plan = plan(vec![observation.clone()], &mut allowance);
            assert_eq!(lists(&plan), expected, "{observation:?}");
            let settles = plan.complete.len() + plan.end.len();
            let settles = settles + SWAPS_OF_EXTENSION * plan.extended.len() + SWAPS_OF_A_MESSAGE * plan.fail.len();
            assert_eq!(allowance.settled + settles, settled, "{observation:?}");
        }
    }

    #[test]
    fn an_item_of_the_future_counts_from_now_unless_its_row_has_ended() {
        use Purpose::{New, Row};
        use RowState::{Completed, Ended, Ending, Gone, Idle, Waiting};
        let cases: [(RowState, Purpose, &[&str]); 7] = [
            (Waiting, Row, &["begin now"]),
            (Idle, Row, &["begin now"]),
            (Gone, New, &["begin now"]),
            (Gone, Row, &["gone"]),
            (Ended, Row, &["remove"]),
            (Ending, Row, &["end"]),
            (Completed, Row, &["complete"]),
        ];
        for (state, purpose, expected) in cases {
            let observation = Observation {
                item: item(1, purpose),
                state,
                is_scheduled: true,
                is_stale: false,
                is_from_future: true,
                is_new: false,
            };
            let plan =
                plan(vec![observation.clone()], &mut Allowance { settled: 1, batches: 1, creates: 0, contended: 0 });
            assert_eq!(lists(&plan), expected, "{observation:?}");
        }
    }

    #[test]
    fn a_create_that_may_be_running_is_left_alone() {
        let states = [RowState::Gone, RowState::Idle, RowState::Waiting].map(|state| (state, Purpose::New));
        for (state, purpose) in states.into_iter().chain([(RowState::Idle, Purpose::Extension)]) {
            let item = item(1, purpose);
            let observation =
                Observation { item, state, is_scheduled: true, is_stale: false, is_from_future: false, is_new: true };
            let plan = plan(vec![observation], &mut Allowance::OF_ONE_RUN.clone());
            assert_eq!(lists(&plan), [] as [&str; 0], "{state:?}");
        }
    }

    #[test]
    fn work_beyond_the_allowance_is_left_for_the_next_run() {
        let observations = (0..5).map(|number| Observation {
            item: item(number, Purpose::Row),
            state: if number % 2 == 0 { RowState::Completed } else { RowState::Ending },
            is_scheduled: true,
            is_stale: false,
            is_from_future: false,
            is_new: false,
        });
        let mut allowance = Allowance { settled: 3, batches: 1, creates: 0, contended: 0 };
        let plan = plan(observations.collect(), &mut allowance);
        assert_eq!((plan.complete.len(), plan.end.len(), plan.more, allowance.settled), (2, 1, true, 0));
    }
}
