//! One run: reads the agenda, and then plans and applies the work slot by slot within a budget of rows.

use uuid::Uuid;

use crate::domain::lifecycle::{Moment, Occasion};
use crate::domain::trees::{map_of, set_of};
use crate::domain::{Pending, Schedule, Snapshot, Timestamp, Volume};
use crate::store::agenda::{Agenda, AgendaItem, Purpose};
use crate::store::creation::may_be_running;
use crate::store::index::Direction;
use crate::store::row::with_row_type;
use crate::store::rows::{LARGE_ROWS_AT_ONCE, rows_at_once};
use crate::store::slots::slot_of;
use crate::store::{Kind, Listing, Row, RowState, Store, StoreError, StoredRow};

use super::apply::{apply, is_stale};
use super::attachments;
use super::cascade::carry_on;
use super::groups;
use super::look_after::look_after;
use super::plan::{Allowance, Observation, plan};
use super::report::{Bounds, POSTPONED_SECONDS, Report};

/// The part of the budget that is kept for cascades.
const TENTH: usize = 10;

/// An hour, and the part of it in which a run of the schedule names values that every run may meet, in microseconds.
const HOUR: i64 = 3_600_000_000;
const NAMING: i64 = 10_000_000;

/// Runs the step once, within its bounds. The rest waits for the next run.
///
/// # Errors
///
/// An error of the store. Everything done before it stays done.
pub fn run(store: &Store<'_>, moment: Moment, bounds: Bounds) -> Result<Report, StoreError> {
    let rows = bounds.rows;
    let mut report = Report::default();
    let turn = u64::try_from(moment.clock.microseconds() / 1_000_000).unwrap_or_default();
    let of_every_run = if names_unreadable(moment) { *store } else { store.silent() };
    let (agendas, project) = store.agenda_and_turn(turn, &of_every_run)?;
    let mut budget = rows;
    let mut cascades: Vec<AgendaItem> = Vec::new();
    let mut allowance = Allowance::OF_ONE_RUN;
    // An operator's clock may be ahead of the one that readers use, so every row with work under way counts.
    let mut unscheduled =
        if moment.occasion == Occasion::OperatorTick { under_way(store, budget)? } else { Vec::new() };
    for (slot, agenda) in agendas.iter().enumerate() {
        if agenda.is_incomplete {
            // The next run handles the items that this adds.
            report.unless_contended(&mut allowance, store.without_unreadable(store.complete_agenda(slot)))?;
            report.more = true;
        }
        if agenda.items.is_empty() && unscheduled.is_empty() {
            continue;
        }
        let seen_creates = look_at_creates(store, agenda, moment, &mut allowance, &mut report)?;
        let (mut items, scheduled) = due_items(agenda, slot, &mut unscheduled, moment, budget);
        if items.len() > budget {
            items.truncate(budget);
            report.more = true;
        }
        budget -= items.len();
        if !items.is_empty() || !seen_creates.is_empty() {
            let observations = observe(store, items, scheduled, moment, &mut allowance)?;
            let mut plan = plan(observations, &mut allowance);
            cascades.append(&mut plan.cascade);
            plan.forget.extend(seen_creates);
            let done = apply(store, slot, plan, moment, bounds.message_ttl, &mut allowance);
            // Only an operator's run gets here with a slot of a newer format, which it leaves alone.
            let done = report.unless_contended(&mut allowance, store.without_unreadable(done))?;
            report.add(done.flatten().unwrap_or_default());
        }
    }
    // Cascades come last and share what is left of the budget, so that they hold up nothing else. A tenth of it is theirs,
    // so that nothing else holds them up.
    let share = budget.max(rows / TENTH) / cascades.len().max(1);
    allowance.batches = allowance.batches.max(Allowance::OF_ONE_RUN.batches / TENTH);
    for item in cascades {
        let done = store.without_unreadable(carry_on(store, &item, moment, share.max(1), &mut allowance));
        match report.unless_contended(&mut allowance, done)? {
            Some(Some(done)) => report.add(done),
            Some(None) => {
                let later = item.clone().at(moment.clock, moment.clock.plus_seconds(POSTPONED_SECONDS));
                report.unless_contended(&mut allowance, store.reschedule(slot_of(&item.project), &[(item, later)]))?;
            }
            None => {}
        }
    }
    if let Some(project) = project {
        let looked_after = look_after(&of_every_run, &project, &agendas[slot_of(&project)].items, moment, bounds);
        let repaired = report.unless_contended(&mut allowance, of_every_run.without_unreadable(looked_after))?;
        report.repaired = repaired.flatten().unwrap_or_default();
    }
    Ok(report)
}

/// Returns whether a run names values in the log that every run may meet. A run of the schedule does so in the first seconds of
/// each hour. An operator's run always does.
const fn names_unreadable(moment: Moment) -> bool {
    matches!(moment.occasion, Occasion::OperatorTick) || moment.clock.microseconds().rem_euclid(HOUR) < NAMING
}

/// Looks at the creates that a slot announces and that are due. Returns the items that need nothing more.
fn look_at_creates(
    store: &Store<'_>,
    agenda: &Agenda,
    moment: Moment,
    allowance: &mut Allowance,
    report: &mut Report,
) -> Result<Vec<AgendaItem>, StoreError> {
    let mut seen = Vec::new();
    let announced: Vec<&AgendaItem> =
        agenda.items.iter().filter(|item| item.announces_due_creates(moment.clock)).collect();
    if announced.is_empty() {
        return Ok(seen);
    }
    let rows = agenda.rows();
    for item in announced {
        if allowance.creates == 0 {
            report.more = true;
            break;
        }
        // The item is looked at again and again while a value cannot be read, so the log does not name it.
        let store = store.silent();
        let look = store.without_unreadable(store.look_at_creates(item, &rows, moment.clock));
        if let Some(look) = report.unless_contended(allowance, look)?.flatten() {
            allowance.creates = allowance.creates.saturating_sub(look.swaps);
            report.removed += look.dropped;
            seen.push(item.clone());
        }
    }
    Ok(seen)
}

/// Returns the items of a slot that are due, followed by the unscheduled items of the slot. The second value is the
/// number of items that are on the agenda and within the budget.
fn due_items(
    agenda: &Agenda,
    slot: usize,
    unscheduled: &mut Vec<AgendaItem>,
    moment: Moment,
    budget: usize,
) -> (Vec<AgendaItem>, usize) {
    let is_here = |item: &mut AgendaItem| slot_of(&item.project) == slot;
    let mut found: Vec<AgendaItem> = unscheduled.extract_if(.., is_here).collect();
    if !found.is_empty() {
        let known = agenda.rows();
        found.retain(|item| !known.contains(&item.row()));
    }
    let is_due = |item: &&AgendaItem| {
        moment.occasion != Occasion::Tick || item.due <= moment.now.microseconds() || item.is_from_future(moment.clock)
    };
    let of_rows = agenda.items.iter().filter(|item| item.purpose != Purpose::Creates);
    let mut items: Vec<AgendaItem> = of_rows.filter(is_due).cloned().collect();
    let scheduled = items.len().min(budget);
    items.extend(found);
    (items, scheduled)
}

/// Reads the rows that items name. The first `scheduled` items are on the agenda.
fn observe(
    store: &Store<'_>,
    items: Vec<AgendaItem>,
    scheduled: usize,
    moment: Moment,
    allowance: &mut Allowance,
) -> Result<Vec<Observation>, StoreError> {
    // Members follow their group before their own rows are read.
    let mut of_groups = Vec::new();
    for (number, item) in items.iter().enumerate().filter(|(_, item)| item.kind.has_members()) {
        of_groups.push((number, groups::state(store, item, moment, allowance)?));
    }
    let mut states = store.row_states(&items, moment)?;
    let with_volume = |(number, state): (usize, &RowState)| {
        (*state == RowState::Idle && items[number].purpose == Purpose::Volume).then_some(number)
    };
    let with_volume: Vec<usize> = states.iter().enumerate().filter_map(with_volume).collect();
    for numbers in with_volume.chunks(LARGE_ROWS_AT_ONCE) {
        let ids: Vec<Uuid> = numbers.iter().map(|number| items[*number].id).collect();
        for (number, state) in numbers.iter().zip(states_by_volume(store, &ids, moment)?) {
            states[*number] = state;
        }
    }
    let of_attachment = |(number, state): (usize, &RowState)| {
        (*state == RowState::Idle && items[number].kind == Kind::Attachment).then_some(number)
    };
    let of_attachment: Vec<usize> = states.iter().enumerate().filter_map(of_attachment).collect();
    let mut is_left = vec![false; items.len()];
    for numbers in of_attachment.chunks(LARGE_ROWS_AT_ONCE) {
        let named: Vec<&AgendaItem> = numbers.iter().map(|number| &items[*number]).collect();
        for (number, state) in numbers.iter().zip(attachments::states(store, &named, moment, allowance)?) {
            match state {
                Some(state) => states[*number] = state,
                None => is_left[*number] = true,
            }
        }
    }
    for (number, state) in of_groups {
        is_left[number] = state.is_none();
        states[number] = state.unwrap_or(RowState::Waiting);
    }
    let mut observations = Vec::with_capacity(items.len());
    for (number, (item, state)) in items.into_iter().zip(states).enumerate() {
        let is_stale = is_stale(&item, moment);
        let is_from_future = item.is_from_future(moment.clock);
        let begun = if item.purpose == Purpose::Extension { item.since } else { item.created };
        let is_running = may_be_running(Timestamp::from_microseconds(begun), moment.clock);
        let is_new = is_running || is_left[number];
        let is_scheduled = number < scheduled;
        observations.push(Observation { item, state, is_scheduled, is_stale, is_from_future, is_new });
    }
    Ok(observations)
}

/// Returns the states of snapshots that were announced with their volumes and are not being removed themselves. A deletion of
/// a volume that was stopped halfway may have left them behind, so they are removed when the volume is.
fn states_by_volume(store: &Store<'_>, ids: &[Uuid], moment: Moment) -> Result<Vec<RowState>, StoreError> {
    let snapshots = store.rows::<Snapshot>(ids)?;
    let volume = |row: &StoredRow<Snapshot>| match row {
        StoredRow::Readable(row) => Some(row.volume_id.as_uuid()),
        StoredRow::Gone | StoredRow::Unreadable => None,
    };
    let volumes: Vec<Uuid> = set_of(snapshots.iter().filter_map(volume)).into_iter().collect();
    let rows = store.rows::<Volume>(&volumes)?;
    let volumes = map_of(volumes.into_iter().zip(rows));
    let state = |snapshot| match snapshot {
        StoredRow::Unreadable => RowState::Unreadable,
        StoredRow::Gone => RowState::Ended,
        StoredRow::Readable(Snapshot { volume_id, .. }) => match volumes.get(&volume_id.as_uuid()) {
            Some(StoredRow::Unreadable) => RowState::Unreadable,
            Some(StoredRow::Readable(volume)) => match volume.clone().at(moment) {
                None => RowState::Ended,
                Some(volume) if volume.pending.is_some_and(|pending| pending.removes()) => RowState::Waiting,
                Some(_) => RowState::Idle,
            },
            Some(StoredRow::Gone) | None => RowState::Ended,
        },
    };
    Ok(snapshots.into_iter().map(state).collect())
}

/// Returns the rows of all projects whose work is under way, newest first, about `limit` of each kind at most.
fn under_way(store: &Store<'_>, limit: usize) -> Result<Vec<AgendaItem>, StoreError> {
    let records = store.projects(&store.project_ids()?)?;
    let at_once = rows_at_once(&records);
    // Work that ends with a tick is due at any time.
    let work = |pending: Pending| match pending.schedule {
        Schedule::NextTick => Pending { due: Timestamp::from_seconds(0), ..pending },
        Schedule::Clock | Schedule::OnRequest => pending,
    };
    let mut items = Vec::new();
    for kind in Kind::ALL {
        let mut listing = Listing::new(*store, records.clone(), kind, Direction::NewestFirst, None)
            .without_unreadable_pages(|_| true);
        let already = items.len();
        while items.len() - already < limit {
            let ids: Vec<Uuid> = listing.next(at_once)?.iter().map(|entry| entry.position.id).collect();
            if ids.is_empty() {
                break;
            }
            with_row_type!(kind, R => {
                let rows = store.rows::<R>(&ids)?.into_iter().filter_map(StoredRow::readable);
                items.extend(rows.filter_map(|row| Some(AgendaItem::for_work(&row, work(row.pending()?)))));
            });
        }
    }
    Ok(items)
}
