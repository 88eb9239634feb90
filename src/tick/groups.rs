//! The states of groups and group snapshots on the agenda. Their members are other rows, so a request that was stopped may
//! have changed only some of them. The row of the group decides, and the members follow it here, before it goes
//! (`docs/adr/0026-groups.md`).

use uuid::Uuid;

use crate::domain::lifecycle::Moment;
use crate::domain::snapshot::Cause;
use crate::domain::{
    AttachmentPointer, Completion, Group, GroupId, GroupSnapshot, GroupSnapshotId, GroupStatus, Pending, Snapshot,
    SnapshotId, SnapshotStatus, Timestamp, Volume, VolumeId, VolumeStatus,
};
use crate::store::agenda::{AgendaItem, Purpose};
use crate::store::creation::may_be_running;
use crate::store::index::Direction;
use crate::store::rows::LARGE_ROWS_AT_ONCE;
use crate::store::{Change, Kind, Listing, Row, RowState, Store, StoreError, StoredRow};

use super::plan::Allowance;

/// Returns the state of a group or a group snapshot, once its members have followed it, or `None` for a row that is left to
/// the next run.
///
/// # Errors
///
/// An error of the store.
pub fn state(
    store: &Store<'_>,
    item: &AgendaItem,
    moment: Moment,
    allowance: &mut Allowance,
) -> Result<Option<RowState>, StoreError> {
    let state = if item.kind == Kind::Group {
        state_of_group(store, item, moment, allowance)
    } else {
        state_of_group_snapshot(store, item, moment, allowance)
    };
    match store.without_unreadable(state) {
        Ok(Some(state)) => Ok(state),
        Ok(None) => Ok(Some(RowState::Unreadable)),
        // The next run tries again.
        Err(StoreError::Contended(_) | StoreError::Unknown(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns whether the request that creates a row may still be running.
fn is_new(item: &AgendaItem, moment: Moment) -> bool {
    item.purpose == Purpose::New && may_be_running(Timestamp::from_microseconds(item.created), moment.clock)
}

/// Returns work that ends with the removal of a row.
fn removal<T: Row>(row: &T) -> Option<Pending> {
    row.pending().filter(Pending::removes)
}

fn state_of_group_snapshot(
    store: &Store<'_>,
    item: &AgendaItem,
    moment: Moment,
    allowance: &mut Allowance,
) -> Result<Option<RowState>, StoreError> {
    let id = GroupSnapshotId::new(item.id);
    let Some(row) = store.row::<GroupSnapshot>(id)? else { return Ok(Some(RowState::Gone)) };
    if is_new(item, moment) {
        return Ok(Some(RowState::Idle));
    }
    if let Some(pending) = removal(&row) {
        if !end_members(store, &row, pending, moment, allowance)? {
            return Ok(None);
        }
    } else if row.pending.is_some() {
        let Some(settled) = allowance.settled.checked_sub(1) else { return Ok(None) };
        allowance.settled = settled;
        store.compare_with_members(&row, moment)?;
    }
    let row = store.row::<GroupSnapshot>(id)?;
    Ok(Some(RowState::of(row.map_or(StoredRow::Gone, StoredRow::Readable), moment)))
}

/// Makes the members of a group snapshot that is being deleted follow it, as far as the allowance goes. Returns whether all of
/// them do.
fn end_members(
    store: &Store<'_>,
    row: &GroupSnapshot,
    pending: Pending,
    moment: Moment,
    allowance: &mut Allowance,
) -> Result<bool, StoreError> {
    let mut late: Vec<Snapshot> = Vec::new();
    let ids: Vec<Uuid> = row.members.iter().map(SnapshotId::as_uuid).collect();
    for ids in ids.chunks(LARGE_ROWS_AT_ONCE) {
        let members = store.rows::<Snapshot>(ids)?.into_iter().filter_map(StoredRow::readable);
        late.extend(members.filter(|own| own.group_snapshot_id == Some(row.id) && removal(own).is_none()));
    }
    let are_all = late.len() <= allowance.settled;
    late.truncate(allowance.settled);
    allowance.settled -= late.len();
    store.schedule(&late.iter().map(|own| AgendaItem::for_work(own, pending)).collect::<Vec<_>>())?;
    for member in late {
        store.update(member.id, |row: Option<Snapshot>| {
            Ok::<_, StoreError>(match row.filter(|row| removal(row).is_none()) {
                Some(mut row) => {
                    row.enter(SnapshotStatus::Deleting, Some(pending), moment.clock, Cause::GroupSnapshotDelete);
                    Change::Write(row, ())
                }
                None => Change::Leave(()),
            })
        })?;
    }
    Ok(are_all)
}

fn state_of_group(
    store: &Store<'_>,
    item: &AgendaItem,
    moment: Moment,
    allowance: &mut Allowance,
) -> Result<Option<RowState>, StoreError> {
    let id = GroupId::new(item.id);
    let Some(row) = store.row::<Group>(id)? else { return Ok(Some(RowState::Gone)) };
    if is_new(item, moment) {
        return Ok(Some(RowState::Idle));
    }
    if let Some(pending) = removal(&row) {
        if !end_volumes(store, &row, pending, moment, allowance)? {
            return Ok(None);
        }
    } else if let Some(pending) = row.pending.filter(|own| own.completion == Completion::Move) {
        if !pending.comes_due(moment.now, moment.occasion) {
            return Ok(Some(RowState::Waiting));
        }
        if !move_volumes(store, &row, pending, moment, allowance)? {
            return Ok(None);
        }
    }
    let row = store.row::<Group>(id)?;
    Ok(Some(RowState::of(row.map_or(StoredRow::Gone, StoredRow::Readable), moment)))
}

/// Makes the volumes of a group that is being deleted follow it, as far as the allowance goes. Returns whether all of them do.
/// A volume that somebody has used since leaves the group instead, so nothing in use is lost.
fn end_volumes(
    store: &Store<'_>,
    group: &Group,
    pending: Pending,
    moment: Moment,
    allowance: &mut Allowance,
) -> Result<bool, StoreError> {
    for volume in store.volumes_of_group(group)? {
        if removal(&volume).is_some() {
            continue;
        }
        let Some(settled) = allowance.settled.checked_sub(1) else { return Ok(false) };
        if volume.extension.is_some() {
            // The item on the agenda says how much quota the removal gives back, so the extension is settled first.
            return Ok(false);
        }
        allowance.settled = settled;
        let has_snapshots = has_snapshots(store, &volume)?;
        let items =
            volume.attachment_slots().map(|slot| AgendaItem::for_work(&AttachmentPointer::new(&volume, slot), pending));
        let items: Vec<AgendaItem> = items.chain([AgendaItem::for_work(&volume, pending)]).collect();
        store.schedule(&items)?;
        store.update(volume.id, |row: Option<Volume>| {
            let is_as_seen = |row: &Volume| row.group_id == Some(group.id) && removal(row).is_none();
            let Some(mut row) = row.filter(is_as_seen) else { return Ok(Change::Leave(())) };
            if has_snapshots || row.is_migrating() || row.extension.is_some() || !row.attachments.is_empty() {
                row.group_id = None;
                row.updated_at = Some(moment.clock);
            } else {
                row.enter(VolumeStatus::DELETING, Some(pending), moment.clock);
            }
            Ok::<_, StoreError>(Change::Write(row, ()))
        })?;
    }
    Ok(true)
}

/// Returns whether a volume has snapshots in any project.
fn has_snapshots(store: &Store<'_>, volume: &Volume) -> Result<bool, StoreError> {
    let records = store.projects_with_snapshots_of(volume)?;
    let mut listing = Listing::new(*store, records, Kind::Snapshot, Direction::NewestFirst, None)
        .of_volume(Some(volume.id.as_uuid()))
        .without_unreadable_pages(|project| *project != volume.project_id);
    Ok(!listing.next(1)?.is_empty())
}

/// Moves the volumes of an update into the group and out of it, as far as the allowance goes, and then ends the update.
/// Returns whether it has ended. A volume that has gone elsewhere since stays there.
fn move_volumes(
    store: &Store<'_>,
    group: &Group,
    pending: Pending,
    moment: Moment,
    allowance: &mut Allowance,
) -> Result<bool, StoreError> {
    for (ids, from, to) in [(&group.added, None, Some(group.id)), (&group.removed, Some(group.id), None)] {
        for ids in ids.chunks(LARGE_ROWS_AT_ONCE) {
            let ids: Vec<Uuid> = ids.iter().map(VolumeId::as_uuid).collect();
            for volume in store.rows::<Volume>(&ids)?.into_iter().filter_map(StoredRow::readable) {
                let moves = |row: &Volume| row.group_id == from && removal(row).is_none();
                if !moves(&volume) {
                    continue;
                }
                let Some(settled) = allowance.settled.checked_sub(1) else { return Ok(false) };
                allowance.settled = settled;
                store.update(volume.id, |row: Option<Volume>| {
                    Ok::<_, StoreError>(match row.filter(moves) {
                        Some(row) => Change::Write(Volume { group_id: to, updated_at: Some(moment.clock), ..row }, ()),
                        None => Change::Leave(()),
                    })
                })?;
            }
        }
    }
    let Some(settled) = allowance.settled.checked_sub(1) else { return Ok(false) };
    allowance.settled = settled;
    store.update(group.id, |row: Option<Group>| {
        Ok::<_, StoreError>(match row.filter(|row| row.pending == Some(pending)) {
            Some(mut row) => {
                let removed = std::mem::take(&mut row.removed);
                row.volumes.retain(|volume| !removed.contains(volume));
                row.enter(GroupStatus::Available, None, moment.clock);
                Change::Write(row, ())
            }
            None => Change::Leave(()),
        })
    })?;
    Ok(true)
}
