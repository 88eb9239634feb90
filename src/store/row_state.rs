//! The state of rows on the agenda: all that the scheduled step must know of a row, without its fields.

use uuid::Uuid;

use crate::domain::Completion;
use crate::domain::lifecycle::{Moment, Occasion};
use crate::domain::trees::set_of;
use crate::domain::{Pending, Schedule, Timestamp};

use super::Store;
use super::agenda::AgendaItem;
use super::compare_and_swap::Change;
use super::key_value::StoreError;
use super::row::{Kind, Row, with_row_type};
use super::rows::LARGE_ROWS_AT_ONCE;
use super::unreadable::StoredRow;

/// The state of a row on the agenda.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowState {
    /// There is no row.
    Gone,
    /// The row cannot be read, so nothing is known about it.
    Unreadable,
    /// Its removal is due for every reader of the clock.
    Ended,
    /// Its removal is due, but readers cannot know yet: the row must say so before it goes.
    Ending,
    /// Its work has ended, but readers cannot know yet, or have given it up for want of a tick: the row must say so.
    Completed,
    /// It is a volume that is removed after its snapshots, and the time for that has come.
    Cascading,
    /// It is a volume whose extension has ended, and is not settled with the quota of its project.
    Extended,
    /// Its work has failed at this time, for readers too, and a user message is due.
    Failed(Timestamp),
    /// Its work goes on.
    Waiting,
    /// Nothing is under way, or the work has ended for every reader of the clock. Nothing needs to be written. The
    /// delete that announced the row may still be about to write it.
    Idle,
}

impl RowState {
    /// Returns the state of a row at a moment.
    #[must_use]
    pub fn of<T: Row>(row: StoredRow<T>, moment: Moment) -> Self {
        let row = match row {
            StoredRow::Readable(row) => row,
            StoredRow::Gone => return Self::Gone,
            StoredRow::Unreadable => return Self::Unreadable,
        };
        // A late tick carries a cascade on, even if readers have given it up for want of one.
        let is_cascading = |pending: Pending| {
            pending.completion == Completion::Cascade && pending.comes_due(moment.now, moment.occasion)
        };
        if T::KIND == Kind::Volume && row.pending().is_some_and(is_cascading) {
            return Self::Cascading;
        }
        let failed = row.pending().filter(Pending::may_leave_message);
        if let Some(at) = failed.and_then(|pending| pending.failed_at(moment.clock)) {
            return Self::Failed(at);
        }
        let then = row.clone().at(moment);
        if then.as_ref().is_some_and(|row| row.extension() != row.clone().with_extension_settled().extension()) {
            return Self::Extended;
        }
        let is_under_way = row.pending().is_some();
        let waits_for_tick = row.pending().is_some_and(|pending| pending.schedule == Schedule::NextTick);
        let goes_on = |row: Option<T>| row.map(|row| row.pending().is_some());
        let seen = goes_on(row.effective(moment.clock, Occasion::Reading));
        let then = goes_on(then);
        match Self::compare(is_under_way, seen, then) {
            // The schedule was late, or the clock was set forward. The work ends with this tick all the same.
            Self::Idle if waits_for_tick && moment.occasion != Occasion::Reading => Self::Completed,
            state => state,
        }
    }

    /// Compares whether work is under way in a row, whether it goes on for a reader, and whether it goes on after this
    /// run. `None` means that the row is gone by then.
    const fn compare(is_under_way: bool, seen: Option<bool>, then: Option<bool>) -> Self {
        match (is_under_way, seen, then) {
            (_, None, _) => Self::Ended,
            (_, _, None) => Self::Ending,
            (false, ..) => Self::Idle,
            (true, Some(false), _) => Self::Idle,
            (true, Some(true), Some(false)) => Self::Completed,
            (true, Some(true), Some(true)) => Self::Waiting,
        }
    }
}

impl Store<'_> {
    /// Makes a row say that its work began now if it begins in the future: the clock was set back, and the time bound
    /// must not wait until the clock comes to where it was. Work that has ended for readers is recorded as ended, but a
    /// removal is left to the scheduled step. Returns the work that is under way then.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn begin_now<T: Row>(&self, id: T::Id, clock: Timestamp) -> Result<Option<Pending>, StoreError> {
        self.update(id, |row: Option<T>| {
            let Some(row) = row else { return Ok(Change::Leave(None)) };
            let pending = row.pending();
            if !row.begins_in_future(clock) {
                return Ok(Change::Leave(pending));
            }
            Ok(match row.effective(clock, Occasion::Reading) {
                Some(seen) => {
                    let pending = seen.pending().map(|pending| pending.begun_by(clock));
                    Change::Write(seen.with_pending(pending), pending)
                }
                None => Change::Leave(pending),
            })
        })
    }

    /// Returns the states of the rows that agenda items are about, in the order of the items. One call for each kind, and if
    /// there are many items, one more for the records that say whether their rows may be large.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn row_states(&self, items: &[AgendaItem], moment: Moment) -> Result<Vec<RowState>, StoreError> {
        let mut states = vec![RowState::Gone; items.len()];
        let at_once = if items.len() > LARGE_ROWS_AT_ONCE {
            let projects = set_of(items.iter().map(|item| &item.project));
            self.rows_of_projects_at_once(&projects.into_iter().cloned().collect::<Vec<_>>())?
        } else {
            LARGE_ROWS_AT_ONCE
        };
        for kind in Kind::ALL {
            let of_kind = items.iter().enumerate().filter(|(_, item)| item.kind == kind);
            let (numbers, ids): (Vec<usize>, Vec<Uuid>) = of_kind.map(|(number, item)| (number, item.id)).unzip();
            for (numbers, ids) in numbers.chunks(at_once).zip(ids.chunks(at_once)) {
                with_row_type!(kind, R => {
                    for (number, row) in numbers.iter().zip(self.rows::<R>(ids)?) {
                        states[*number] = RowState::of(row, moment);
                    }
                });
            }
        }
        Ok(states)
    }
}
