//! Applies a plan, one commit after another. The run may be stopped after any of them.

use std::cell::RefCell;
use std::slice;

use crate::domain::lifecycle::{Moment, Occasion};
use crate::domain::quota::Amounts;
use crate::domain::trees::set_of;
use crate::domain::{Message, Pending, ProjectId, Timestamp, VolumeId};
use crate::store::agenda::{self, AgendaItem};
use crate::store::creation::Dropped;
use crate::store::row::with_row_type;
use crate::store::{Change, Row, Store, StoreError};

use super::plan::{Allowance, Plan};
use super::report::{ANNOUNCED_SECONDS, POSTPONED_SECONDS, Report};

/// The most rows of one project in one batch of removals, which is two commits.
pub const ROWS_PER_BATCH: usize = 250;

/// The number of items to forget at which a run writes the agenda even if it has removed rows. Fewer items wait for a
/// run that removes nothing, so that a removal stays at two commits.
const FORGOTTEN_AT_ONCE: usize = 500;

/// The time, in seconds, for which a failure must last before its message is left.
const CONFIRMED_SECONDS: f64 = 5.0;

/// The items that the run on a slot is done with so far, those that it must leave for later, and its report.
struct Done {
    forget: Vec<AgendaItem>,
    /// Items of rows that are gone.
    removed: Vec<AgendaItem>,
    postpone: Vec<AgendaItem>,
    report: Report,
}

impl Done {
    /// Returns the result of a step for some items, or `None` if the step was not taken. Where a value cannot be read, the
    /// items are postponed. Where other writers were faster, they stay as they are, and the next run tries again.
    fn unless_hindered<T>(
        &mut self,
        store: &Store<'_>,
        allowance: &mut Allowance,
        items: &[AgendaItem],
        result: Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let result = store.without_unreadable(result);
        let Some(result) = self.report.unless_contended(allowance, result)? else { return Ok(None) };
        if result.is_none() {
            self.postpone.extend_from_slice(items);
        }
        Ok(result)
    }

    /// Notes that entries without rows were dropped. Until an item is stale, a create that is merely slow may write the row.
    fn note_dropped(&mut self, items: Vec<AgendaItem>, dropped: &Dropped, moment: Moment) {
        self.report.removed += dropped.entries;
        let is_over = |item: &AgendaItem| is_stale(item, moment) && !dropped.waiting.contains(&item.id);
        self.forget.extend(items.into_iter().filter(is_over));
    }
}

/// Applies the plan for one slot of the agenda. Items that cannot be handled because a value cannot be read are
/// postponed. Neither they nor items for which other writers were faster hold up other items.
pub fn apply(
    store: &Store<'_>,
    slot: usize,
    plan: Plan,
    moment: Moment,
    message_ttl: f64,
    allowance: &mut Allowance,
) -> Result<Report, StoreError> {
    let Plan {
        schedule,
        begin_now,
        complete,
        extended,
        confirm,
        fail,
        end,
        gone,
        unwritten,
        written,
        orphaned,
        mut remove,
        forget,
        postpone,
        cascade: _,
        more,
    } = plan;
    let mut done = Done { forget, removed: Vec::new(), postpone, report: Report { more, ..Report::default() } };
    if !schedule.is_empty() {
        store.schedule(&schedule)?;
    }
    let mut moved: Vec<(AgendaItem, AgendaItem)> = Vec::new();
    for item in begin_now {
        let begun = begun_now(store, &item, moment.clock);
        if let Some(begun) = done.unless_hindered(store, allowance, slice::from_ref(&item), begun)? {
            moved.push((item, begun));
        }
    }
    for item in complete {
        let settled = settle(store, &item, moment);
        if done.unless_hindered(store, allowance, slice::from_ref(&item), settled)?.is_some() {
            done.forget.push(item);
            done.report.settled += 1;
        }
    }
    for item in extended {
        let settled = settle_extension(store, &item, moment);
        if done.unless_hindered(store, allowance, slice::from_ref(&item), settled)? == Some(true) {
            done.forget.push(item);
            done.report.settled += 1;
        }
    }
    let soon = moment.clock.plus_seconds(CONFIRMED_SECONDS);
    moved.extend(confirm.into_iter().map(|item| (item.clone(), item.at(moment.clock, soon))));
    for item in fail {
        let failed = leave_message(store, &item, moment, message_ttl);
        if let Some(is_settled) = done.unless_hindered(store, allowance, slice::from_ref(&item), failed)? {
            // The quota of an extension that has failed is settled by the next run.
            done.forget.extend(is_settled.then_some(item));
            done.report.settled += 1;
        }
    }
    for item in end {
        let settled = settle(store, &item, moment);
        if let Some(is_gone) = done.unless_hindered(store, allowance, slice::from_ref(&item), settled)? {
            done.report.settled += 1;
            remove.extend(is_gone.then_some(item));
        }
    }
    // A row that is gone may have been left in its index by a run that was stopped on the way.
    let (mut left, gone) = split_by_entry(store, gone, allowance, &mut done)?;
    done.removed.extend(gone);
    let (listed, _) = split_by_entry(store, written, allowance, &mut done)?;
    done.forget.extend(listed);
    // A create that was given up may have written its row afterwards.
    let (indexed, orphaned) = split_by_entry(store, orphaned, allowance, &mut done)?;
    done.forget.extend(indexed);
    remove.extend(orphaned);
    let mut unwritten = agenda::by_project(unwritten);
    let mut gigabytes = true;
    if !remove.is_empty() || !left.is_empty() || !unwritten.is_empty() {
        if let Some(deployment) = store.without_unreadable(store.deployment())? {
            gigabytes = deployment.snapshots_count_gigabytes();
        } else {
            // Without the settings, the amounts that the removed rows give back are unknown.
            done.postpone.append(&mut remove);
            done.postpone.append(&mut left);
            done.postpone.extend(std::mem::take(&mut unwritten).into_values().flatten());
        }
    }
    for (project, items) in unwritten {
        let dropped = store.drop_unwritten(&project, &items, gigabytes, moment.clock);
        if let Some(dropped) = done.unless_hindered(store, allowance, &items, dropped)? {
            done.note_dropped(items, &dropped, moment);
        }
    }
    let remove_entries = |project: &ProjectId, items: &[AgendaItem]| store.remove_entries(project, items, gigabytes);
    in_batches(store, left, remove_entries, allowance, &mut done)?;
    remove_rows(store, remove, gigabytes, moment, allowance, &mut done)?;
    let Done { mut forget, removed, postpone, mut report } = done;
    let is_due = |item: &AgendaItem| item.due <= moment.clock.microseconds() || item.is_from_future(moment.clock);
    let later = moment.clock.plus_seconds(POSTPONED_SECONDS);
    moved.extend(postpone.into_iter().filter(is_due).map(|item| (item.clone(), item.at(moment.clock, later))));
    if !moved.is_empty() {
        report.unless_contended(allowance, store.reschedule(slot, &moved))?;
    }
    let forgettable = forget.len() + removed.len();
    if forgettable > 0 && (report.removed == 0 || forgettable >= FORGOTTEN_AT_ONCE) {
        forget.extend(store.still_gone(removed)?);
        report.unless_contended(allowance, store.forget(slot, &forget))?;
    }
    Ok(report)
}

/// Removes rows, as far as the allowance goes, and the names that parents have of removed backups.
fn remove_rows(
    store: &Store<'_>,
    items: Vec<AgendaItem>,
    gigabytes: bool,
    moment: Moment,
    allowance: &mut Allowance,
    done: &mut Done,
) -> Result<(), StoreError> {
    let parents = RefCell::new(Vec::new());
    let remove = |project: &ProjectId, items: &[AgendaItem]| {
        let of_items = store.parents_of(items)?;
        let is_sparse = store.remove(project, items, gigabytes)?;
        parents.borrow_mut().extend(of_items);
        Ok(is_sparse)
    };
    in_batches(store, items, remove, allowance, done)?;
    for (parent, gone) in parents.into_inner() {
        // A name that is left stands for nothing, see `Store::wasted_names`.
        let Some(settled) = allowance.settled.checked_sub(1) else { break };
        allowance.settled = settled;
        let forgotten = store.forget_dependents(parent, &gone, Some(moment.clock));
        done.unless_hindered(store, allowance, &[], forgotten)?;
    }
    Ok(())
}

/// Calls `remove`, which returns whether an index is sparse, with batches of rows of one project, as far as the allowance goes.
fn in_batches(
    store: &Store<'_>,
    items: Vec<AgendaItem>,
    remove: impl Fn(&ProjectId, &[AgendaItem]) -> Result<bool, StoreError>,
    allowance: &mut Allowance,
    done: &mut Done,
) -> Result<(), StoreError> {
    for (project, items) in agenda::by_project(items) {
        let mut is_sparse = false;
        for batch in items.chunks(ROWS_PER_BATCH) {
            let Some(batches) = allowance.batches.checked_sub(1) else {
                done.report.more = true;
                break;
            };
            allowance.batches = batches;
            if let Some(then_sparse) = done.unless_hindered(store, allowance, batch, remove(&project, batch))? {
                is_sparse = then_sparse;
                done.report.removed += batch.len();
                done.removed.extend_from_slice(batch);
            }
        }
        if is_sparse {
            done.unless_hindered(store, allowance, &[], store.compact(&project))?;
        }
    }
    Ok(())
}

/// Makes the row of an item count its work from now on, and returns the item that counts from now on too.
fn begun_now(store: &Store<'_>, item: &AgendaItem, clock: Timestamp) -> Result<AgendaItem, StoreError> {
    let pending = with_row_type!(item.kind, R => store.begin_now::<R>(item.id.into(), clock)?);
    // The row may have no work of its own, as a snapshot that is removed with its volume.
    Ok(item.clone().at(clock, pending.map_or(clock, |pending| pending.due)))
}

/// Returns whether an item is so old that the request that announced it has written its row or never will.
pub fn is_stale(item: &AgendaItem, moment: Moment) -> bool {
    Timestamp::from_microseconds(item.due).plus_seconds(ANNOUNCED_SECONDS) <= moment.clock
}

/// Settles an extension with the quota of its project, and returns whether nothing is left to do for the volume.
fn settle_extension(store: &Store<'_>, item: &AgendaItem, moment: Moment) -> Result<bool, StoreError> {
    let id = VolumeId::new(item.id);
    Ok(store.settle_extension(id, moment)? && !store.schedule_removal_again(id)?)
}

/// Splits items into those whose rows have an entry in their index, and those whose rows have none.
fn split_by_entry(
    store: &Store<'_>,
    items: Vec<AgendaItem>,
    allowance: &mut Allowance,
    done: &mut Done,
) -> Result<(Vec<AgendaItem>, Vec<AgendaItem>), StoreError> {
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for (project, items) in agenda::by_project(items) {
        let listed = store.still_listed(&project, &items);
        if let Some(listed) = done.unless_hindered(store, allowance, &items, listed)? {
            let are_listed = set_of(listed.iter().map(AgendaItem::row));
            without.extend(items.into_iter().filter(|item| !are_listed.contains(&item.row())));
            with.extend(listed);
        }
    }
    Ok((with, without))
}

/// Leaves the user message of work that has failed, and then records in the row that it has. A run that stops in between does
/// both again: the same failure gives the same message. Returns whether nothing is left to do for the row.
fn leave_message(store: &Store<'_>, item: &AgendaItem, moment: Moment, message_ttl: f64) -> Result<bool, StoreError> {
    with_row_type!(item.kind, R => leave_message_of::<R>(store, item.id.into(), moment, message_ttl))
}

fn leave_message_of<T: Row>(
    store: &Store<'_>,
    id: T::Id,
    moment: Moment,
    message_ttl: f64,
) -> Result<bool, StoreError> {
    let Some(row) = store.row::<T>(id)? else { return Ok(true) };
    let failed = |row: &T| {
        let pending = row.pending().filter(Pending::may_leave_message)?;
        Some((pending.request_id?, [pending.begun, pending.failed_at(moment.clock)?]))
    };
    if let (Some((request, times)), Some(event)) = (failed(&row), row.failure()) {
        let message = Message::of(event, row.project_id(), row.id(), request, times, message_ttl);
        if store.row::<Message>(message.id)?.is_none() {
            store.create(&message, &Amounts::new(), false, None, |_| Ok::<_, StoreError>(()))?;
        }
    }
    store.update(id, |row: Option<T>| {
        let settled = row.filter(|row| failed(row).is_some());
        Ok(match settled.and_then(|row| row.effective(moment.clock, Occasion::Reading)) {
            Some(settled) => {
                let is_settled = settled.extension().is_none();
                Change::Write(settled, is_settled)
            }
            None => Change::Leave(false),
        })
    })
}

/// Records in a row that its work has ended. From then on, a row whose removal is due is gone for every reader, so no
/// request changes it any more. Returns whether the row is gone, since a request may have given it another status
/// meanwhile.
fn settle(store: &Store<'_>, item: &AgendaItem, moment: Moment) -> Result<bool, StoreError> {
    with_row_type!(item.kind, R => settle_row::<R>(store, item.id.into(), moment))
}

fn settle_row<T: Row>(store: &Store<'_>, id: T::Id, moment: Moment) -> Result<bool, StoreError> {
    store.update(id, |row: Option<T>| {
        let Some(row) = row else { return Ok(Change::Leave(true)) };
        Ok(match row.clone().at(moment) {
            Some(settled) if settled == row => Change::Leave(false),
            Some(settled) => Change::Write(settled, false),
            None => {
                let pending = row.pending().map(|pending| pending.ended(moment.clock));
                Change::Write(row.with_pending(pending), true)
            }
        })
    })
}
