//! Attachments as a volume's row has them, and the row that leads from the id of an attachment to its volume.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::trees::set_of;
use crate::domain::{
    Attachment, AttachmentId, AttachmentPointer, AttachmentSlot, ProjectId, Timestamp, Volume, VolumeId,
};

use super::Store;
use super::agenda::{AgendaItem, by_project};
use super::codec::envelope::{Stored, encode_fresh};
use super::codec::metadata::{owned, parse};
use super::codec::rows;
use super::compare_and_swap::Change;
use super::creation::may_be_running;
use super::key_value::StoreError;
use super::keys;
use super::row::{Kind, Row, Rows};
use super::rows::ROWS_AT_ONCE;
use super::unreadable::StoredRow;

impl Row for AttachmentPointer {
    type Id = AttachmentId;
    const KIND: Kind = Kind::Attachment;
    const KEY_PREFIX: &'static str = "vs1:attachment:";

    fn list(rows: &Rows) -> &Vec<Self> {
        &rows.attachments
    }

    fn list_mut(rows: &mut Rows) -> &mut Vec<Self> {
        &mut rows.attachments
    }

    fn id(&self) -> Uuid {
        self.id.as_uuid()
    }

    fn project_id(&self) -> &ProjectId {
        &self.project_id
    }

    fn created_at(&self) -> Timestamp {
        self.created_at
    }

    fn indexed_volume(&self) -> Uuid {
        self.volume_id.as_uuid()
    }
}

/// The stored form of an [`AttachmentPointer`]. The order of the fields is the format.
#[derive(Debug, Serialize, Deserialize)]
struct StoredPointer<'a> {
    id: Uuid,
    project: &'a str,
    volume: Uuid,
    created: i64,
}

impl Stored for AttachmentPointer {
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        let stored = StoredPointer {
            id: self.id.as_uuid(),
            project: self.project_id.as_str(),
            volume: self.volume_id.as_uuid(),
            created: self.created_at.microseconds(),
        };
        rows::write(&stored, bytes)
    }

    fn read(_version: u32, bytes: &[u8]) -> Result<Self, String> {
        let stored = rows::read::<StoredPointer<'_>>(bytes)?;
        Ok(Self {
            id: stored.id.into(),
            project_id: parse(stored.project)?,
            volume_id: VolumeId::new(stored.volume),
            created_at: Timestamp::from_microseconds(stored.created),
            attachment: None,
        })
    }
}

/// The stored form of an [`AttachmentSlot`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct StoredSlot {
    id: Uuid,
    created: i64,
}

/// The stored form of an [`Attachment`]. The order of the fields is the format.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredAttachment<'a> {
    slot: StoredSlot,
    updated: Option<i64>,
    instance: Option<&'a str>,
    host: Option<&'a str>,
    mountpoint: Option<&'a str>,
    status: &'a str,
    mode: &'a str,
    attached: Option<i64>,
    detached: Option<i64>,
    connector: Option<&'a str>,
    connection: Option<&'a str>,
}

impl From<AttachmentSlot> for StoredSlot {
    fn from(slot: AttachmentSlot) -> Self {
        Self { id: slot.id.as_uuid(), created: slot.created_at.microseconds() }
    }
}

impl From<StoredSlot> for AttachmentSlot {
    fn from(stored: StoredSlot) -> Self {
        Self { id: AttachmentId::new(stored.id), created_at: Timestamp::from_microseconds(stored.created) }
    }
}

impl<'a> From<&'a Attachment> for StoredAttachment<'a> {
    fn from(attachment: &'a Attachment) -> Self {
        Self {
            slot: AttachmentSlot { id: attachment.id, created_at: attachment.created_at }.into(),
            updated: attachment.updated_at.map(Timestamp::microseconds),
            instance: attachment.instance_uuid.as_deref(),
            host: attachment.attached_host.as_deref(),
            mountpoint: attachment.mountpoint.as_deref(),
            status: attachment.attach_status.as_str(),
            mode: &attachment.attach_mode,
            attached: attachment.attached_at.map(Timestamp::microseconds),
            detached: attachment.detached_at.map(Timestamp::microseconds),
            connector: attachment.connector.as_deref(),
            connection: attachment.connection_info.as_deref(),
        }
    }
}

impl TryFrom<&StoredAttachment<'_>> for Attachment {
    type Error = String;

    fn try_from(stored: &StoredAttachment<'_>) -> Result<Self, String> {
        let AttachmentSlot { id, created_at } = stored.slot.into();
        Ok(Self {
            id,
            instance_uuid: owned(stored.instance),
            attached_host: owned(stored.host),
            mountpoint: owned(stored.mountpoint),
            attach_status: parse(stored.status)?,
            attach_mode: stored.mode.to_owned(),
            attached_at: stored.attached.map(Timestamp::from_microseconds),
            detached_at: stored.detached.map(Timestamp::from_microseconds),
            connector: owned(stored.connector),
            connection_info: owned(stored.connection),
            created_at,
            updated_at: stored.updated.map(Timestamp::from_microseconds),
        })
    }
}

impl Store<'_> {
    /// Returns whether a volume names an attachment that was announced when it was created, and makes sure that the answer
    /// stays no: a request that is about to name it fails to swap, and then finds that it took too long.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn names_late_attachment(&self, volume: VolumeId, id: AttachmentId) -> Result<bool, StoreError> {
        self.update(volume, |row: Option<Volume>| {
            Ok(match row {
                None => Change::Leave(false),
                Some(row) if row.names_attachment(id) => Change::Leave(true),
                Some(row) => Change::Write(row, false),
            })
        })
    }

    /// Writes the pointers that volumes name and that are gone, and adds their keys to the stored ones. Puts on the agenda
    /// those that their volumes do not name. Returns the numbers of both.
    pub(super) fn repair_pointers(
        &self,
        stored: &mut Vec<String>,
        at_once: usize,
        now: Timestamp,
    ) -> Result<(usize, usize), StoreError> {
        let (mut named, mut unreadable) = (BTreeMap::new(), BTreeSet::new());
        for ids in ids_of(stored, Kind::Volume).chunks(at_once) {
            for (id, row) in ids.iter().zip(self.rows::<Volume>(ids)?) {
                match row {
                    StoredRow::Readable(row) => {
                        let pointers = row.attachment_slots().map(|slot| AttachmentPointer::new(&row, slot));
                        named.extend(pointers.map(|pointer| (pointer.id.as_uuid(), pointer)));
                    }
                    StoredRow::Unreadable => drop(unreadable.insert(*id)),
                    StoredRow::Gone => {}
                }
            }
        }
        let mut unnamed: Vec<AgendaItem> = Vec::new();
        for ids in ids_of(stored, Kind::Attachment).chunks(ROWS_AT_ONCE) {
            for (id, row) in ids.iter().zip(self.rows::<AttachmentPointer>(ids)?) {
                let is_named = named.remove(id).is_some();
                let StoredRow::Readable(row) = row else { continue };
                // A request may be about to name it.
                let may_be_named = unreadable.contains(&row.volume_id.as_uuid()) || may_be_running(row.created_at, now);
                if !is_named && !may_be_named {
                    unnamed.push(AgendaItem::now(&row, now));
                }
            }
        }
        let mut late = 0;
        for (project, mut items) in by_project(unnamed) {
            let agenda = self.without_unreadable(self.project_with_agenda(&project))?.flatten();
            let agenda = agenda.map(|(_, items)| items).unwrap_or_default();
            let known = set_of(agenda.iter().map(AgendaItem::row));
            items.retain(|item| !known.contains(&item.row()));
            if self.without_unreadable(self.schedule(&items))?.is_some() {
                late += items.len();
            }
        }
        let missing: Vec<AttachmentPointer> = named.into_values().collect();
        for pointers in missing.chunks(ROWS_AT_ONCE) {
            // A volume may have lost an attachment meanwhile, so the scheduled step looks at each.
            let items: Vec<AgendaItem> = pointers.iter().map(|pointer| AgendaItem::now(pointer, now)).collect();
            self.without_unreadable(self.schedule(&items))?;
            let mut entries = Vec::with_capacity(pointers.len());
            for pointer in pointers {
                let key = keys::row(Kind::Attachment, pointer.id.as_uuid());
                stored.push(key.clone());
                let bytes = encode_fresh(&key, pointer)?;
                entries.push((key, bytes));
            }
            self.key_value.set_many(&entries)?;
        }
        Ok((missing.len(), late))
    }
}

/// Returns the ids of the stored rows of a kind.
fn ids_of(stored: &[String], kind: Kind) -> Vec<Uuid> {
    let ids = stored.iter().filter_map(|key| key.strip_prefix(kind.key_prefix()));
    ids.filter_map(|id| Uuid::try_parse(id).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These are the bytes of format version 1. Other bytes would need another version.
    #[test]
    fn a_row_has_the_bytes_that_it_always_had() {
        let full = AttachmentPointer {
            id: AttachmentId::new(Uuid::from_u128(1)),
            project_id: "a1".parse().expect("a project id"),
            volume_id: VolumeId::new(Uuid::from_u128(2)),
            created_at: Timestamp::from_microseconds(3),
            attachment: None,
        };
        let mut bytes = Vec::new();
        full.write(&mut bytes).expect("writes");
        let expected = b"\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x02a1\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02\x06";
        assert_eq!(bytes, expected, "{}", bytes.escape_ascii());
        assert_eq!(AttachmentPointer::read(1, &bytes), Ok(full));
    }
}
