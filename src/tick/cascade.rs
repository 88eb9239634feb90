//! Carries on the deletion of a volume that has so many snapshots that the request left them to the scheduled step.
//!
//! The row of the volume says that it cascades, and stays until no snapshot is left, so no snapshot outlives its volume.
//! Each run removes a bounded number of snapshots, the newest first. They are put on the agenda before they are removed,
//! as for every removal: if the run is stopped, their items say how much quota to give back. The rows are not marked
//! first, because the row of the volume decides about them (`docs/adr/0016-growth.md`).

use std::slice;

use uuid::Uuid;

use crate::domain::lifecycle::Moment;
use crate::domain::{Completion, Pending, Snapshot, Volume, VolumeId};
use crate::store::agenda::{self, AgendaItem, Purpose};
use crate::store::index::Direction;
use crate::store::rows::rows_at_once;
use crate::store::slots::slot_of;
use crate::store::{Change, Kind, Listing, RowState, Store, StoreError, StoredRow};

use super::apply::ROWS_PER_BATCH;
use super::plan::Allowance;
use super::report::Report;

/// Removes at most `rows` snapshots of a volume, and the volume after its last snapshot.
///
/// # Errors
///
/// An error of the store. Everything done before it stays done.
pub fn carry_on(
    store: &Store<'_>,
    item: &AgendaItem,
    moment: Moment,
    rows: usize,
    allowance: &mut Allowance,
) -> Result<Report, StoreError> {
    let mut report = Report::default();
    let Some(volume) = store.row::<Volume>(VolumeId::new(item.id))? else { return Ok(report) };
    if !is_cascading(&volume, moment) {
        return Ok(report);
    }
    let gigabytes = store.deployment()?.snapshots_count_gigabytes();
    let (snapshots, are_last) = next_snapshots(store, &volume, moment, rows)?;
    let mut batches: Vec<Vec<AgendaItem>> = Vec::new();
    for snapshots in agenda::by_project(snapshots).into_values() {
        batches.extend(snapshots.chunks(ROWS_PER_BATCH).map(<[AgendaItem]>::to_vec));
    }
    report.more = !are_last || batches.len() > allowance.batches;
    batches.truncate(allowance.batches);
    allowance.batches -= batches.len();
    store.schedule(&batches.concat())?;
    let mut removed: Vec<AgendaItem> = Vec::new();
    for batch in batches {
        let project = &batch[0].project;
        let is_sparse = store.without_unreadable(store.remove(project, &batch, gigabytes));
        // The snapshots of a project for which other writers were faster stay on the agenda, so that the volume stays too.
        let Some(is_sparse) = report.unless_contended(allowance, is_sparse)? else { continue };
        if is_sparse == Some(true) {
            report.unless_contended(allowance, store.without_unreadable(store.compact(project)))?;
        }
        if is_sparse.is_some() {
            removed.extend(batch);
        }
    }
    report.removed = removed.len();
    if report.more {
        if !removed.is_empty() {
            report.unless_contended(allowance, renew(store, &volume, moment))?;
        }
    } else if report.unless_contended(allowance, end(store, volume.id, moment))? == Some(true) {
        let volume = store.remove(&item.project, slice::from_ref(item), gigabytes);
        if report.unless_contended(allowance, volume)?.is_some() {
            report.removed += 1;
            removed.push(item.clone());
        }
    }
    let mut by_slot: Vec<(usize, Vec<AgendaItem>)> = Vec::new();
    for (project, items) in agenda::by_project(removed) {
        let slot = slot_of(&project);
        match by_slot.iter_mut().find(|(own, _)| *own == slot) {
            Some((_, own)) => own.extend(items),
            None => by_slot.push((slot, items)),
        }
    }
    for (slot, items) in by_slot {
        let items = store.still_gone(items)?;
        report.unless_contended(allowance, store.forget(slot, &items))?;
    }
    Ok(report)
}

fn is_cascading(volume: &Volume, moment: Moment) -> bool {
    RowState::of(StoredRow::Readable(volume.clone()), moment) == RowState::Cascading
}

/// Returns items for the next snapshots of a volume, and whether they are its last ones. Snapshots that cannot be read are
/// left out.
fn next_snapshots(
    store: &Store<'_>,
    volume: &Volume,
    moment: Moment,
    most: usize,
) -> Result<(Vec<AgendaItem>, bool), StoreError> {
    let records = store.projects_with_snapshots_of(volume)?;
    let at_once = rows_at_once(&records);
    let mut listing = Listing::new(*store, records, Kind::Snapshot, Direction::NewestFirst, None)
        .of_volume(Some(volume.id.as_uuid()))
        .without_unreadable_pages(|project| *project != volume.project_id);
    let mut items = Vec::new();
    // One more than are removed, to know whether they are the last ones.
    while items.len() <= most {
        let wanted = (most + 1 - items.len()).min(at_once);
        let ids: Vec<Uuid> = listing.next(wanted)?.iter().map(|entry| entry.position.id).collect();
        if ids.is_empty() {
            return Ok((items, true));
        }
        let rows = store.rows::<Snapshot>(&ids)?.into_iter().filter_map(StoredRow::readable);
        items.extend(rows.map(|row| AgendaItem::now(&row, moment.clock).with_purpose(Purpose::Volume)));
    }
    items.truncate(most);
    Ok((items, false))
}

/// Moves the time bound of a cascade that makes progress, once half of the time is over.
fn renew(store: &Store<'_>, volume: &Volume, moment: Moment) -> Result<(), StoreError> {
    let renewed = |volume: &Volume| volume.pending?.renewed(moment.clock);
    if renewed(volume).is_none() {
        return Ok(());
    }
    store.update(volume.id, |row: Option<Volume>| {
        let row = row.filter(|row| is_cascading(row, moment));
        let renewed = row.as_ref().and_then(renewed);
        Ok(match row.zip(renewed) {
            Some((row, pending)) => Change::Write(Volume { pending: Some(pending), ..row }, ()),
            None => Change::Leave(()),
        })
    })
}

/// Records in the row of a volume that the volume is gone for every reader, and returns whether it is. A request may have given
/// it another status meanwhile.
fn end(store: &Store<'_>, id: VolumeId, moment: Moment) -> Result<bool, StoreError> {
    store.update(id, |row: Option<Volume>| {
        let Some(row) = row.filter(|row| is_cascading(row, moment)) else { return Ok(Change::Leave(false)) };
        let ended = row.pending.map(|pending| pending.ended(moment.clock));
        let pending = ended.map(|pending| Pending { completion: Completion::Remove, ..pending });
        Ok(Change::Write(Volume { pending, ..row }, true))
    })
}
