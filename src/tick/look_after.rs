//! Looks after one project in each run: deletes the pages that its indexes have retired, and compares its newest rows
//! with the index and the agenda. User messages whose time is over go here too, since they are on no agenda.

use uuid::Uuid;

use crate::domain::lifecycle::Moment;
use crate::domain::{Message, ProjectId, Timestamp};
use crate::store::agenda::AgendaItem;
use crate::store::creation::may_be_running;
use crate::store::index::{Direction, Entry};
use crate::store::projects::ProjectRecord;
use crate::store::row::with_row_type;
use crate::store::rows::rows_at_once;
use crate::store::{Kind, Listing, Row, Store, StoreError, StoredRow};

use super::report::{ANNOUNCED_SECONDS, Bounds};

/// The most rows that one run takes out of the future, each with a compare-and-swap.
const BEGUN_AT_ONCE: usize = 16;

/// Looks after a project, and returns the number of things that were wrong. If nothing is wrong and no
/// page is retired or sparse, this reads twice and writes nothing.
pub fn look_after(
    store: &Store<'_>,
    project: &ProjectId,
    agenda: &[AgendaItem],
    moment: Moment,
    bounds: Bounds,
) -> Result<usize, StoreError> {
    let Some(record) = store.project(project)? else { return Ok(0) };
    if !record.retired.is_empty() {
        store.delete_retired(&record)?;
    }
    if record.is_sparse() {
        store.compact(project)?;
    }
    remove_expired(store, &record, moment.clock, bounds.message_ttl)?;
    let (mut ghosts, mut begun_now) = (0, 0);
    let mut unscheduled: Vec<AgendaItem> = Vec::new();
    let long_ago = moment.clock.plus_seconds(-ANNOUNCED_SECONDS);
    for kind in Kind::ALL {
        with_row_type!(kind, R => if R::IS_LOOKED_AFTER {
            for newest in record.index(kind).newest().chunks(rows_at_once([&record])) {
                let ids: Vec<Uuid> = newest.iter().map(|entry| entry.position.id).collect();
                for (entry, row) in newest.iter().zip(store.rows::<R>(&ids)?) {
                    let created_at = entry.position.created_at;
                    let is_scheduled = agenda.iter().any(|item| item.kind == kind && item.id == entry.position.id);
                    match row {
                        _ if is_scheduled => {}
                        // The row is about to be written, or the look at the project's creates drops its entry.
                        StoredRow::Gone if may_be_running(created_at, moment.clock) => {}
                        StoredRow::Gone if record.creates.since.is_some_and(|since| since <= created_at) => {}
                        StoredRow::Gone => ghosts += 1,
                        StoredRow::Unreadable => {}
                        StoredRow::Readable(row) => {
                            let is_from_future = row.begins_in_future(moment.clock);
                            match row.pending().filter(|pending| pending.needs_tick(moment.clock)) {
                                Some(pending) if is_from_future || pending.due <= long_ago => {
                                    unscheduled.push(AgendaItem::for_work(&row, pending));
                                }
                                None if is_from_future && begun_now < BEGUN_AT_ONCE => {
                                    store.without_unreadable(store.begin_now::<R>(row.id().into(), moment.clock))?;
                                    begun_now += 1;
                                }
                                _ => {}
                            }
                        }
                    }
                }
            }
        });
    }
    if !unscheduled.is_empty() {
        store.schedule(&unscheduled)?;
    }
    if ghosts > 0 || record.counts_too_much() {
        return Ok(begun_now + unscheduled.len() + store.repair_project(project, moment.clock)?.differences());
    }
    Ok(begun_now + unscheduled.len())
}

/// The most messages that one run removes.
const EXPIRED_AT_ONCE: usize = 50;

/// Removes the oldest messages of a project whose time is over, and the entries of messages that are gone. Nothing is read
/// before the oldest one is old enough.
fn remove_expired(
    store: &Store<'_>,
    record: &ProjectRecord,
    clock: Timestamp,
    message_ttl: f64,
) -> Result<(), StoreError> {
    let index = record.index(Kind::Message);
    let is_old = |entry: &Entry| entry.position.created_at.plus_seconds(message_ttl) <= clock;
    if index.is_empty() || (index.pages().next().is_none() && !index.newest().last().is_some_and(is_old)) {
        return Ok(());
    }
    let listing = Listing::new(*store, vec![record.clone()], Kind::Message, Direction::OldestFirst, None);
    let entries = listing.without_unreadable_pages(|_| true).next(EXPIRED_AT_ONCE)?;
    let old: Vec<Entry> = entries.into_iter().filter(is_old).collect();
    let ids: Vec<Uuid> = old.iter().map(|entry| entry.position.id).collect();
    let mut expired = Vec::new();
    for (entry, row) in old.iter().zip(store.rows::<Message>(&ids)?) {
        let is_over = match row {
            StoredRow::Gone => !may_be_running(entry.position.created_at, clock),
            StoredRow::Unreadable => false,
            StoredRow::Readable(message) => message.effective(clock).is_none(),
        };
        if is_over {
            expired.push(AgendaItem::of_uncounted(&record.project, Kind::Message, entry.position));
        }
    }
    if !expired.is_empty() {
        store.remove(&record.project, &expired, true)?;
    }
    Ok(())
}
