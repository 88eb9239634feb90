//! The states of the rows that lead to attachments. Such a row never changes, so its volume decides when it goes: once the
//! volume does not name the attachment (`docs/adr/0023-attachments.md`).

use uuid::Uuid;

use crate::domain::lifecycle::Moment;
use crate::domain::trees::map_of;
use crate::domain::{AttachmentPointer, Timestamp, Volume};
use crate::store::agenda::{AgendaItem, Purpose};
use crate::store::creation::may_be_running;
use crate::store::{Row, RowState, Store, StoreError, StoredRow};

use super::plan::Allowance;

/// Returns the states of the rows that items name, or `None` for a row that is left to the next run.
///
/// # Errors
///
/// An error of the store.
pub fn states(
    store: &Store<'_>,
    items: &[&AgendaItem],
    moment: Moment,
    allowance: &mut Allowance,
) -> Result<Vec<Option<RowState>>, StoreError> {
    let ids: Vec<Uuid> = items.iter().map(|item| item.id).collect();
    let pointers = store.rows::<AttachmentPointer>(&ids)?;
    let mut volumes: Vec<Uuid> = pointers
        .iter()
        .filter_map(|row| if let StoredRow::Readable(row) = row { Some(row.volume_id.as_uuid()) } else { None })
        .collect();
    volumes.sort_unstable();
    volumes.dedup();
    let rows = store.rows::<Volume>(&volumes)?;
    let volumes = map_of(volumes.into_iter().zip(rows));
    let mut states = Vec::with_capacity(items.len());
    for (item, pointer) in items.iter().zip(pointers) {
        states.push(match pointer {
            StoredRow::Unreadable => Some(RowState::Unreadable),
            StoredRow::Gone => Some(RowState::Ended),
            StoredRow::Readable(pointer) => match volumes.get(&pointer.volume_id.as_uuid()) {
                Some(StoredRow::Unreadable) => Some(RowState::Unreadable),
                Some(StoredRow::Readable(volume)) => {
                    state_by_volume(store, item, &pointer, volume.clone().at(moment), moment, allowance)?
                }
                Some(StoredRow::Gone) | None => state_by_volume(store, item, &pointer, None, moment, allowance)?,
            },
        });
    }
    Ok(states)
}

fn state_by_volume(
    store: &Store<'_>,
    item: &AgendaItem,
    pointer: &AttachmentPointer,
    volume: Option<Volume>,
    moment: Moment,
    allowance: &mut Allowance,
) -> Result<Option<RowState>, StoreError> {
    let is_created = item.purpose == Purpose::New;
    if is_created && may_be_running(Timestamp::from_microseconds(item.created), moment.clock) {
        return Ok(Some(RowState::Idle));
    }
    let Some(volume) = volume else { return Ok(Some(RowState::Ended)) };
    if volume.names_attachment(pointer.id) {
        let is_removed = volume.pending.is_some_and(|pending| pending.removes());
        return Ok(Some(if is_removed { RowState::Waiting } else { RowState::Idle }));
    }
    if !is_created {
        return Ok(Some(RowState::Ended));
    }
    // The request that created the row names the attachment last, and may be about to do so.
    let Some(settled) = allowance.settled.checked_sub(1) else { return Ok(None) };
    allowance.settled = settled;
    let is_named = store.names_late_attachment(volume.id, pointer.id);
    Ok(match store.without_unreadable(is_named)? {
        Some(true) => Some(RowState::Idle),
        Some(false) => Some(RowState::Ended),
        None => Some(RowState::Unreadable),
    })
}
