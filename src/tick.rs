//! The scheduled step: makes durable what time has brought about. It removes what is deleted, gives back its quota,
//! and finishes what ends with a tick. It must not know which door opened it.
//!
//! What it may assume: nothing. It may be run twice at once, killed at any point, or not at all for a day. Readers are
//! right without it, since every reader applies what is due; it does bounded work in each run and says what is left.

use uuid::Uuid;

use crate::domain::lifecycle::Occasion;
use crate::domain::{Completion, Pending, ProjectId, Schedule, Snapshot, SnapshotId, Timestamp, Volume, VolumeId};
use crate::store::agenda::{self, AgendaItem, Kind, Purpose};
use crate::store::index::Direction;
use crate::store::{Change, Listing, Store, StoreError};

/// What one run may do of that which takes a compare-and-swap of its own. Spin lets one invocation open 256 of those and
/// never closes any; beside these a run opens some for the agenda, and a few more where it is overtaken.
#[derive(Debug, Clone, Copy)]
struct Allowance {
    /// Rows whose work has ended and that must say so.
    settled: usize,
    /// Batches of rows of one project that are removed.
    batches: usize,
}

impl Allowance {
    const OF_ONE_RUN: Self = Self { settled: 100, batches: 50 };
}

/// How many rows are read in one call.
const ROWS_AT_ONCE: usize = 1_000;

/// How many rows of one project are removed in one batch, which is two commits.
const ROWS_PER_BATCH: usize = 250;

/// How many items that need nothing more make a run take them off the agenda although it has removed something. Fewer
/// wait for a run that has nothing else to write, so that a removal is two commits.
const FORGOTTEN_AT_ONCE: usize = 500;

/// How long an agenda item whose row is not being removed is kept, in seconds: the delete that announced it may not
/// have written its row yet.
const ANNOUNCED_SECONDS: f64 = 60.0;

/// When the step runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The time it works with.
    pub now: Timestamp,
    /// What the clock says; readers use that.
    pub clock: Timestamp,
    /// Whether an operator named the time.
    pub occasion: Occasion,
}

impl Moment {
    /// A run of the schedule.
    #[must_use]
    pub const fn scheduled(clock: Timestamp) -> Self {
        Self { now: clock, clock, occasion: Occasion::Tick }
    }

    /// An operator's run, as if at a time.
    #[must_use]
    pub const fn as_if(now: Timestamp, clock: Timestamp) -> Self {
        Self { now, clock, occasion: Occasion::OperatorTick }
    }
}

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows that were removed for good.
    pub removed: usize,
    /// Rows that were settled: their work had ended, and now the row says so.
    pub settled: usize,
    /// What was found to be wrong, and was put right.
    pub repaired: usize,
    /// Whether there was more to do than one run does.
    pub more: bool,
}

/// Runs the step once. It looks at no more than `rows` rows; what is left waits for the next run.
///
/// # Errors
///
/// What the store gives; what was done before stays done.
pub fn run(store: &Store<'_>, moment: Moment, rows: usize) -> Result<Report, StoreError> {
    let mut report = Report::default();
    let turn = u64::try_from(moment.clock.microseconds() / 1_000_000).unwrap_or_default();
    let (agendas, project) = store.agenda_and_turn(turn)?;
    let mut budget = rows;
    let mut allowance = Allowance::OF_ONE_RUN;
    // An operator's clock may be ahead of the one that readers use, so every row with work under way counts.
    let mut unscheduled =
        if moment.occasion == Occasion::OperatorTick { under_way(store, budget)? } else { Vec::new() };
    for (place, agenda) in agendas.iter().enumerate() {
        if agenda.0.is_empty() && unscheduled.is_empty() {
            continue;
        }
        let is_here = |item: &mut AgendaItem| agenda::place_of(&item.project) == place;
        let found =
            unscheduled.extract_if(.., is_here).filter(|item| !agenda.0.iter().any(|known| known.is_about(item)));
        let found: Vec<AgendaItem> = found.collect();
        let is_due = |item: &&AgendaItem| moment.occasion != Occasion::Tick || item.due <= moment.now.microseconds();
        let mut items: Vec<AgendaItem> = agenda.0.iter().filter(is_due).cloned().collect();
        let scheduled = items.len().min(budget);
        items.extend(found);
        if items.len() > budget {
            items.truncate(budget);
            report.more = true;
        }
        budget -= items.len();
        if !items.is_empty() {
            let done = attend(store, place, &items, scheduled, moment, &mut allowance)?;
            report.removed += done.removed;
            report.settled += done.settled;
            report.more |= done.more;
        }
    }
    if let Some(project) = project {
        report.repaired = look_after(store, &project, &agendas[agenda::place_of(&project)].0, moment)?;
    }
    Ok(report)
}

/// Looks at rows that one value of the agenda names, and does what is due. The first `scheduled` of the items stand
/// there; the others were found by looking.
fn attend(
    store: &Store<'_>,
    place: usize,
    items: &[AgendaItem],
    scheduled: usize,
    moment: Moment,
    allowance: &mut Allowance,
) -> Result<Report, StoreError> {
    let mut report = Report::default();
    let mut completed: Vec<&AgendaItem> = Vec::new();
    let mut ending: Vec<AgendaItem> = Vec::new();
    let mut unscheduled: Vec<AgendaItem> = Vec::new();
    let mut ended: Vec<AgendaItem> = Vec::new();
    let mut gone: Vec<AgendaItem> = Vec::new();
    let mut forget: Vec<AgendaItem> = Vec::new();
    for (number, (item, state)) in items.iter().zip(states(store, items, moment)?).enumerate() {
        let is_stale = Timestamp::from_microseconds(item.due).plus_seconds(ANNOUNCED_SECONDS) <= moment.clock;
        let state = match state {
            RowState::Idle if item.purpose == Purpose::Volume => match fate_of_volume(store, item, moment)? {
                Fate::Gone => RowState::Ended,
                Fate::Going => RowState::Waiting,
                Fate::Stays => RowState::Idle,
            },
            state => state,
        };
        match state {
            RowState::Ending | RowState::Completed if allowance.settled == 0 => report.more = true,
            RowState::Ended | RowState::Ending => {
                // Readers leave a row out of the count from the moment it is gone if it is on the agenda, so one that was
                // found by looking is put there first.
                if number >= scheduled {
                    unscheduled.push(item.clone());
                }
                if state == RowState::Ending {
                    allowance.settled -= 1;
                    ending.push(item.clone());
                } else {
                    ended.push(item.clone());
                }
            }
            RowState::Completed => {
                allowance.settled -= 1;
                completed.push(item);
            }
            RowState::Gone if item.purpose == Purpose::New && !is_stale => {}
            RowState::Gone => gone.push(item.clone()),
            RowState::Idle if is_stale => forget.push(item.clone()),
            RowState::Idle | RowState::Waiting => {}
        }
    }
    if !unscheduled.is_empty() {
        store.schedule(&unscheduled)?;
    }
    for item in completed {
        settle(store, item, moment)?;
        forget.push(item.clone());
        report.settled += 1;
    }
    for item in ending {
        if settle(store, &item, moment)? {
            ended.push(item);
        }
        report.settled += 1;
    }

    for (project, gone) in agenda::by_project(gone) {
        // A row that is gone may have been left in its listing by a run that was stopped on the way.
        let left = store.project(&project)?.map_or(Ok(Vec::new()), |record| store.listed(&record, &gone));
        match left {
            Ok(left) => {
                forget.extend(gone.into_iter().filter(|item| !left.contains(item)));
                ended.extend(left);
            }
            // A page was replaced since the record was read; a later run looks again.
            Err(StoreError::Contended(_)) => report.more = true,
            Err(error) => return Err(error),
        }
    }
    let gigabytes = ended.is_empty() || store.deployment()?.snapshots_count_gigabytes();
    for (project, items) in agenda::by_project(ended) {
        let mut is_sparse = false;
        for batch in items.chunks(ROWS_PER_BATCH) {
            let Some(batches) = allowance.batches.checked_sub(1) else {
                report.more = true;
                break;
            };
            allowance.batches = batches;
            is_sparse = store.remove(&project, batch, gigabytes)?;
            report.removed += batch.len();
            forget.extend_from_slice(batch);
        }
        if is_sparse {
            store.compact(&project)?;
        }
    }
    // What needs nothing more waits for a run that has nothing else to write, if there is little of it.
    if !forget.is_empty() && (report.removed == 0 || forget.len() >= FORGOTTEN_AT_ONCE) {
        store.forget(place, &forget)?;
    }
    Ok(report)
}

/// Looks after a project whose turn it is: deletes what its listings have left behind, and compares its newest rows with
/// what is said of them. Says how much was wrong. Where all is well this reads twice and writes nothing.
fn look_after(
    store: &Store<'_>,
    project: &ProjectId,
    agenda: &[AgendaItem],
    moment: Moment,
) -> Result<usize, StoreError> {
    let Some(record) = store.project(project)? else { return Ok(0) };
    if !record.former_agenda.is_empty() {
        store.move_former_agenda(&record)?;
        return Ok(0);
    }
    if !record.retired.is_empty() {
        store.delete_retired(&record)?;
    }
    if record.is_sparse() {
        store.compact(project)?;
    }
    let ids: Vec<Uuid> = record.snapshots.newest().iter().map(|entry| entry.position.id).collect();
    let mut ghosts = 0;
    let mut unscheduled: Vec<AgendaItem> = Vec::new();
    let long_ago = moment.clock.plus_seconds(-ANNOUNCED_SECONDS);
    for (id, row) in ids.iter().zip(store.snapshots(&ids)?) {
        let is_scheduled = agenda.iter().any(|item| item.kind == Kind::Snapshot && item.id == *id);
        match row {
            _ if is_scheduled => {}
            None => ghosts += 1,
            Some(row) => {
                if let Some(pending) = row.pending.filter(|pending| pending.needs_tick() && pending.due <= long_ago) {
                    unscheduled.push(AgendaItem::of_snapshot(&row, pending.due));
                }
            }
        }
    }
    if !unscheduled.is_empty() {
        store.schedule(&unscheduled)?;
    }
    if ghosts > 0 || record.counts_too_much() {
        return Ok(unscheduled.len() + store.repair_project(project)?.differences());
    }
    Ok(unscheduled.len())
}

/// What becomes of a snapshot's volume.
enum Fate {
    /// It is gone, or its removal is due.
    Gone,
    /// It is being removed.
    Going,
    /// It stays, or there is nothing to know.
    Stays,
}

/// A snapshot that was announced with its volume and is not being removed may have been left behind by a deletion of the
/// volume that was stopped on the way; it goes when the volume does.
fn fate_of_volume(store: &Store<'_>, item: &AgendaItem, moment: Moment) -> Result<Fate, StoreError> {
    let Some(snapshot) = store.snapshot(SnapshotId::new(item.id))? else { return Ok(Fate::Gone) };
    let volume = store.volume(snapshot.volume_id)?.and_then(|row| row.effective(moment.now, moment.occasion));
    Ok(match volume {
        None => Fate::Gone,
        Some(volume) if volume.pending.is_some_and(|pending| pending.completion == Completion::Remove) => Fate::Going,
        Some(_) => Fate::Stays,
    })
}

/// What a row on the agenda is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RowState {
    /// There is none.
    Gone,
    /// Its removal is due, for everyone who reads the clock.
    Ended,
    /// Its removal is due, but readers cannot know yet: the row must say so before it goes.
    Ending,
    /// Its work has ended, but readers cannot know yet: the row must say so.
    Completed,
    /// Its work goes on.
    Waiting,
    /// Nothing is under way, or it has ended for everyone who reads the clock; nothing is to be written. The delete
    /// that announced the row may still be about to write it.
    Idle,
}

fn states(store: &Store<'_>, items: &[AgendaItem], moment: Moment) -> Result<Vec<RowState>, StoreError> {
    let of_kind = |kind| items.iter().filter(move |item| item.kind == kind).map(|item| item.id).collect::<Vec<Uuid>>();
    let mut snapshots = store.snapshots(&of_kind(Kind::Snapshot))?.into_iter();
    let mut volumes = store.volumes(&of_kind(Kind::Volume))?.into_iter();
    let states = items.iter().map(|item| match item.kind {
        Kind::Snapshot => snapshot_state(snapshots.next().flatten(), moment),
        Kind::Volume => volume_state(volumes.next().flatten(), moment),
    });
    Ok(states.collect())
}

fn snapshot_state(row: Option<Snapshot>, moment: Moment) -> RowState {
    let Some(row) = row else { return RowState::Gone };
    let under_way = row.pending.is_some();
    let seen = row.clone().effective(moment.clock, Occasion::Reading);
    let then = row.effective(moment.now, moment.occasion);
    compare(under_way, seen.map(|row| row.pending.is_some()), then.map(|row| row.pending.is_some()))
}

fn volume_state(row: Option<Volume>, moment: Moment) -> RowState {
    let Some(row) = row else { return RowState::Gone };
    let under_way = row.pending.is_some();
    let seen = row.clone().effective(moment.clock, Occasion::Reading);
    let then = row.effective(moment.now, moment.occasion);
    compare(under_way, seen.map(|row| row.pending.is_some()), then.map(|row| row.pending.is_some()))
}

/// Compares a row with work under way, what a reader makes of it (`None`: gone; else whether work goes on), and what
/// this run does.
const fn compare(under_way: bool, seen: Option<bool>, then: Option<bool>) -> RowState {
    match (under_way, seen, then) {
        (_, None, _) => RowState::Ended,
        (_, _, None) => RowState::Ending,
        (false, ..) => RowState::Idle,
        (true, Some(false), _) => RowState::Idle,
        (true, Some(true), Some(false)) => RowState::Completed,
        (true, Some(true), Some(true)) => RowState::Waiting,
    }
}

/// Writes into a row that its work has ended. Where that is its removal the row is gone from now on for every reader,
/// so that nobody changes it any more; says whether it is, since somebody may have decided otherwise meanwhile.
fn settle(store: &Store<'_>, item: &AgendaItem, moment: Moment) -> Result<bool, StoreError> {
    let ended = |pending: Option<Pending>| pending.map(|pending| pending.ended(moment.clock));
    match item.kind {
        Kind::Snapshot => store.update_snapshot(SnapshotId::new(item.id), |row| {
            let Some(row) = row else { return Ok(Change::Leave(true)) };
            Ok(match row.clone().effective(moment.now, moment.occasion) {
                Some(settled) if settled == row => Change::Leave(false),
                Some(settled) => Change::Write(settled, false),
                None => Change::Write(Snapshot { pending: ended(row.pending), ..row }, true),
            })
        }),
        Kind::Volume => store.update_volume(VolumeId::new(item.id), |row| {
            let Some(row) = row else { return Ok(Change::Leave(true)) };
            Ok(match row.clone().effective(moment.now, moment.occasion) {
                Some(settled) if settled == row => Change::Leave(false),
                Some(settled) => Change::Write(settled, false),
                None => Change::Write(Volume { pending: ended(row.pending), ..row }, true),
            })
        }),
    }
}

/// Of some agenda items, those whose rows are gone or whose removal is due.
///
/// # Errors
///
/// What the store gives.
pub fn ended(
    store: &Store<'_>,
    items: &[AgendaItem],
    now: Timestamp,
    occasion: Occasion,
) -> Result<Vec<AgendaItem>, StoreError> {
    let states = states(store, items, Moment { now, clock: now, occasion })?;
    let ended = items.iter().zip(states).filter(|(_, state)| matches!(state, RowState::Ended | RowState::Gone));
    Ok(ended.map(|(item, _)| item.clone()).collect())
}

/// The rows of all projects whose work is under way, newest first, about `limit` of each kind at most.
fn under_way(store: &Store<'_>, limit: usize) -> Result<Vec<AgendaItem>, StoreError> {
    let records = store.projects(&store.project_ids()?)?;
    let due = |pending: Pending| match pending.schedule {
        Schedule::NextTick => Timestamp::from_seconds(0),
        Schedule::Clock | Schedule::Told => pending.due,
    };
    let mut items = Vec::new();
    for kind in [Kind::Snapshot, Kind::Volume] {
        let mut listing = Listing::new(*store, records.clone(), kind, Direction::NewestFirst, None);
        let already = items.len();
        while items.len() - already < limit {
            let ids: Vec<Uuid> = listing.next(ROWS_AT_ONCE)?.iter().map(|entry| entry.position.id).collect();
            if ids.is_empty() {
                break;
            }
            match kind {
                Kind::Snapshot => items.extend(store.snapshots(&ids)?.into_iter().flatten().filter_map(|row| {
                    let pending = row.pending?;
                    Some(AgendaItem::of_snapshot(&row, due(pending)))
                })),
                Kind::Volume => items.extend(store.volumes(&ids)?.into_iter().flatten().filter_map(|row| {
                    let pending = row.pending?;
                    Some(AgendaItem::of_volume(&row, due(pending)))
                })),
            }
        }
    }
    Ok(items)
}
