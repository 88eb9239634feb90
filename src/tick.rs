//! The scheduled step: makes durable what time has brought about. It removes what is deleted, gives back its quota,
//! and finishes what ends with a tick. It must not know which door opened it.
//!
//! What it may assume: nothing. It may be run twice at once, killed at any point, or not at all for a day. Readers are
//! right without it, since every reader applies what is due; it does bounded work in each run and says what is left.

use uuid::Uuid;

use crate::domain::lifecycle::Occasion;
use crate::domain::{Completion, Schedule, Snapshot, SnapshotId, Timestamp, Volume, VolumeId};
use crate::store::index::Direction;
use crate::store::projects::{AgendaItem, Kind, ProjectRecord};
use crate::store::{Change, Listing, Store, StoreError};

/// The most rows that one run looks at; what is left waits for the next run.
pub const ROWS_PER_RUN: usize = 1_000;

/// The most rows that one run settles, each by a compare-and-swap of its own. Spin lets one invocation open 256 of
/// those and never closes any.
pub const SETTLED_PER_RUN: usize = 100;

/// How many rows are removed in one batch of two or three commits.
const ROWS_PER_BATCH: usize = 100;

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
    /// Whether there was more to do than one run does.
    pub more: bool,
}

/// Runs the step once.
///
/// # Errors
///
/// What the store gives; what was done before stays done.
pub fn run(store: &Store<'_>, moment: Moment) -> Result<Report, StoreError> {
    let mut report = Report::default();
    let project_ids = store.project_ids()?;
    if project_ids.is_empty() {
        return Ok(report);
    }
    let mut budget = ROWS_PER_RUN;
    for record in store.projects(&project_ids)? {
        let mut items = record.agenda.clone();
        if moment.occasion == Occasion::Tick {
            items.retain(|item| item.due <= moment.now.microseconds());
        } else {
            // An operator's clock may be ahead of the one that readers use, so every row with work under way counts.
            items.extend(under_way(store, &record, budget)?);
        }
        if items.len() > budget {
            items.truncate(budget);
            report.more = true;
        }
        budget -= items.len();
        if items.is_empty() && record.retired.is_empty() {
            continue;
        }
        let done = attend(store, &record, &items, moment, SETTLED_PER_RUN - report.settled)?;
        report.removed += done.removed;
        report.settled += done.settled;
        report.more |= done.more;
    }
    Ok(report)
}

/// Looks at rows of one project and does what is due.
fn attend(
    store: &Store<'_>,
    record: &ProjectRecord,
    items: &[AgendaItem],
    moment: Moment,
    may_settle: usize,
) -> Result<Report, StoreError> {
    let mut report = Report::default();
    let mut remove: Vec<AgendaItem> = Vec::new();
    let mut drop: Vec<&AgendaItem> = Vec::new();
    for (item, state) in items.iter().zip(states(store, items, moment)?) {
        match state {
            RowState::Ended => remove.push(item.clone()),
            RowState::Waiting => {}
            RowState::Idle => match fate_of_volume(store, item, moment)? {
                Fate::Gone => remove.push(item.clone()),
                Fate::Going => {}
                Fate::Stays => {
                    if Timestamp::from_microseconds(item.due).plus_seconds(ANNOUNCED_SECONDS) <= moment.now {
                        drop.push(item);
                    }
                }
            },
            RowState::Completed if report.settled == may_settle => report.more = true,
            RowState::Completed => {
                settle(store, item, moment)?;
                report.settled += 1;
                drop.push(item);
            }
        }
    }
    let gigabytes = if remove.is_empty() { true } else { store.deployment()?.snapshots_count_gigabytes() };
    // A removal gives back quota with its agenda item, so one that was found by looking gets its item first. One that
    // goes before its time is due at once, so that readers leave it out of the count from the moment its row is gone.
    let clock = moment.clock.microseconds();
    let unlisted: Vec<AgendaItem> = remove
        .iter()
        .filter(|item| !is_listed(record, item) || item.due > clock)
        .map(|item| AgendaItem { due: item.due.min(clock), ..item.clone() })
        .collect();
    if !unlisted.is_empty() {
        store.schedule(&record.project, &unlisted)?;
    }
    let mut retired = record.retired.as_slice();
    for batch in remove.chunks(ROWS_PER_BATCH) {
        store.remove(&record.project, batch, gigabytes, retired)?;
        report.removed += batch.len();
        retired = &[];
    }
    if !retired.is_empty() {
        store.remove(&record.project, &[], gigabytes, retired)?;
    }
    drop.retain(|item| is_listed(record, item));
    if !drop.is_empty() {
        store.change_project(&record.project, |record, _| {
            record.agenda.retain(|listed| !drop.contains(&listed));
            Ok(())
        })?;
    }
    Ok(report)
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

/// A snapshot that was announced and is not being removed may have been left behind by a deletion of its volume that
/// was stopped on the way; it goes when the volume does.
fn fate_of_volume(store: &Store<'_>, item: &AgendaItem, moment: Moment) -> Result<Fate, StoreError> {
    if item.kind == Kind::Volume {
        return Ok(Fate::Stays);
    }
    let Some(snapshot) = store.snapshot(SnapshotId::new(item.id))? else { return Ok(Fate::Gone) };
    let volume = store.volume(snapshot.volume_id)?.and_then(|row| row.effective(moment.now, moment.occasion));
    Ok(match volume {
        None => Fate::Gone,
        Some(volume) if volume.pending.is_some_and(|pending| pending.completion == Completion::Remove) => Fate::Going,
        Some(_) => Fate::Stays,
    })
}

fn is_listed(record: &ProjectRecord, item: &AgendaItem) -> bool {
    record.agenda.iter().any(|listed| (listed.kind, listed.id) == (item.kind, item.id))
}

/// What a row on the agenda is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RowState {
    /// It is gone, or its removal is due.
    Ended,
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
    let Some(row) = row else { return RowState::Ended };
    let under_way = row.pending.is_some();
    let seen = row.clone().effective(moment.clock, Occasion::Reading);
    let then = row.effective(moment.now, moment.occasion);
    compare(under_way, seen.map(|row| row.pending.is_some()), then.map(|row| row.pending.is_some()))
}

fn volume_state(row: Option<Volume>, moment: Moment) -> RowState {
    let Some(row) = row else { return RowState::Ended };
    let under_way = row.pending.is_some();
    let seen = row.clone().effective(moment.clock, Occasion::Reading);
    let then = row.effective(moment.now, moment.occasion);
    compare(under_way, seen.map(|row| row.pending.is_some()), then.map(|row| row.pending.is_some()))
}

/// Compares a row with work under way, what a reader makes of it (`None`: gone; else whether work goes on), and what
/// this run does.
const fn compare(under_way: bool, seen: Option<bool>, then: Option<bool>) -> RowState {
    match (under_way, seen, then) {
        (_, None, _) | (_, _, None) => RowState::Ended,
        (false, ..) => RowState::Idle,
        (true, Some(false), _) => RowState::Idle,
        (true, Some(true), Some(false)) => RowState::Completed,
        (true, Some(true), Some(true)) => RowState::Waiting,
    }
}

/// Writes into a row that its work has ended.
fn settle(store: &Store<'_>, item: &AgendaItem, moment: Moment) -> Result<(), StoreError> {
    match item.kind {
        Kind::Snapshot => store.update_snapshot(SnapshotId::new(item.id), |row| {
            Ok(match row.and_then(|row| row.effective(moment.now, moment.occasion)) {
                Some(settled) => Change::Write(settled, ()),
                None => Change::Leave(()),
            })
        }),
        Kind::Volume => store.update_volume(VolumeId::new(item.id), |row| {
            Ok(match row.and_then(|row| row.effective(moment.now, moment.occasion)) {
                Some(settled) => Change::Write(settled, ()),
                None => Change::Leave(()),
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
    Ok(items.iter().zip(states).filter(|(_, state)| *state == RowState::Ended).map(|(item, _)| item.clone()).collect())
}

/// The rows of a project whose work is under way and not on its agenda, newest first, at most `limit` of them.
fn under_way(store: &Store<'_>, record: &ProjectRecord, limit: usize) -> Result<Vec<AgendaItem>, StoreError> {
    let mut items = Vec::new();
    let due = |schedule: Schedule, due: Timestamp| {
        if schedule == Schedule::NextTick { Timestamp::from_seconds(0) } else { due }
    };
    for kind in [Kind::Snapshot, Kind::Volume] {
        let mut listing = Listing::new(*store, vec![record.clone()], kind, Direction::NewestFirst, None);
        loop {
            let ids: Vec<Uuid> = listing.next(ROWS_PER_RUN)?.iter().map(|entry| entry.position.id).collect();
            if ids.is_empty() || items.len() >= limit {
                break;
            }
            match kind {
                Kind::Snapshot => items.extend(store.snapshots(&ids)?.into_iter().flatten().filter_map(|row| {
                    let pending = row.pending?;
                    Some(AgendaItem::of_snapshot(&row, due(pending.schedule, pending.due)))
                })),
                Kind::Volume => items.extend(store.volumes(&ids)?.into_iter().flatten().filter_map(|row| {
                    let pending = row.pending?;
                    Some(AgendaItem::of_volume(&row, due(pending.schedule, pending.due)))
                })),
            }
        }
    }
    items.retain(|item| !is_listed(record, item));
    Ok(items)
}
