//! The row of a group: its layout in bytes, the facts that the store needs, and the moves of volumes that an update makes
//! (`docs/adr/0026-groups.md`).

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::lifecycle::Occasion;
use crate::domain::quota::{Amounts, Counted};
use crate::domain::{
    Group, GroupId, GroupSnapshot, GroupSnapshotId, GroupTypeId, GroupTypes, Pending, ProjectId, Timestamp, UserId,
    Volume, VolumeId, VolumeTypeId, VolumeTypes,
};

use super::Store;
use super::codec::envelope::{Stored, decode_optional};
use super::codec::metadata::{owned, parse};
use super::codec::pending::StoredPending;
use super::codec::rows;
use super::creation::NewRow;
use super::index::Direction;
use super::key_value::StoreError;
use super::keys;
use super::listing::Listing;
use super::projects::ProjectRecord;
use super::row::{Kind, Row, Rows};
use super::rows::{LARGE_ROWS_AT_ONCE, decode_row, rows_at_once};
use super::unreadable::StoredRow;

impl Row for Group {
    type Id = GroupId;
    const KIND: Kind = Kind::Group;
    const KEY_PREFIX: &'static str = "vs1:group:";
    const COUNTED: Option<Counted> = Some(Counted::Groups);

    fn list(rows: &Rows) -> &Vec<Self> {
        &rows.groups
    }

    fn list_mut(rows: &mut Rows) -> &mut Vec<Self> {
        &mut rows.groups
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

    fn pending(&self) -> Option<Pending> {
        self.pending
    }

    fn with_pending(self, pending: Option<Pending>) -> Self {
        Self { pending, ..self }
    }

    fn effective(self, now: Timestamp, occasion: Occasion) -> Option<Self> {
        self.effective(now, occasion)
    }
}

/// The stored form of a [`Group`]. The order of the fields is the format.
#[derive(Debug, Serialize, Deserialize)]
struct StoredGroup<'a> {
    id: Uuid,
    project: &'a str,
    user: Option<&'a str>,
    name: Option<&'a str>,
    description: Option<&'a str>,
    status: &'a str,
    group_type: Uuid,
    volume_types: Vec<Uuid>,
    host: Option<&'a str>,
    next_host: Option<&'a str>,
    zone: Option<&'a str>,
    group_snapshot: Option<Uuid>,
    source: Option<Uuid>,
    replication: Option<&'a str>,
    created: i64,
    updated: Option<i64>,
    pending: Option<StoredPending<'a>>,
    volumes: Vec<Uuid>,
    added: Vec<Uuid>,
    removed: Vec<Uuid>,
    copies: Vec<Uuid>,
}

/// Returns ids as rows store them.
fn uuids<T: Copy + Into<Uuid>>(ids: &[T]) -> Vec<Uuid> {
    ids.iter().copied().map(Into::into).collect()
}

/// Returns the ids that a row stores.
fn ids<T: From<Uuid>>(uuids: Vec<Uuid>) -> Vec<T> {
    uuids.into_iter().map(Into::into).collect()
}

/// The types of volumes and groups, and the source of a new group, as they are once the group is written.
#[derive(Debug)]
pub struct AfterGroup {
    pub volume_types: VolumeTypes,
    pub group_types: GroupTypes,
    pub source_group: Option<Group>,
    pub group_snapshot: Option<GroupSnapshot>,
}

impl Store<'_> {
    /// Creates a group with its volumes.
    ///
    /// # Errors
    ///
    /// As for [`Store::create`].
    pub fn create_group<E: From<StoreError>>(
        &self,
        group: &Group,
        volumes: &[Volume],
        amounts: &Amounts,
        admit: &mut dyn FnMut(&ProjectRecord) -> Result<(), E>,
    ) -> Result<AfterGroup, E> {
        let mut rows = volumes.iter().map(NewRow::of).collect::<Result<Vec<_>, StoreError>>()?;
        rows.push(NewRow::of(group)?);
        // A group has one source at most. Without one, this is a key of no row.
        let source = group.source_group_id.unwrap_or_else(|| GroupId::new(Uuid::nil()));
        let group_snapshot = group.group_snapshot_id.unwrap_or_else(|| GroupSnapshotId::new(Uuid::nil()));
        let keys = vec![
            keys::VOLUME_TYPES.to_owned(),
            keys::GROUP_TYPES.to_owned(),
            keys::row(Kind::Group, source.as_uuid()),
            keys::row(Kind::GroupSnapshot, group_snapshot.as_uuid()),
        ];
        let mut values =
            self.create_together(&group.project_id, &rows, amounts, false, keys.clone(), admit)?.into_iter();
        Ok(AfterGroup {
            volume_types: decode_optional(&keys[0], values.next().flatten())?.unwrap_or_default(),
            group_types: decode_optional(&keys[1], values.next().flatten())?.unwrap_or_default(),
            source_group: decode_row(&keys[2], source.as_uuid(), values.next().flatten())?,
            group_snapshot: decode_row(&keys[3], group_snapshot.as_uuid(), values.next().flatten())?,
        })
    }

    /// Returns volumes by their ids, without those that are gone. An unreadable one is an error.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn volumes_of_group(&self, group: &Group) -> Result<Vec<Volume>, StoreError> {
        let mut volumes = Vec::with_capacity(group.volumes.len());
        for ids in group.volumes.chunks(LARGE_ROWS_AT_ONCE) {
            let keys: Vec<String> = ids.iter().map(|id| keys::row(Kind::Volume, id.as_uuid())).collect();
            for ((key, id), value) in keys.iter().zip(ids).zip(self.key_value.get_many(&keys)?) {
                volumes.extend(decode_row::<Volume>(key, id.as_uuid(), value)?);
            }
        }
        volumes.retain(|volume| volume.group_id == Some(group.id));
        Ok(volumes)
    }

    /// Returns whether a group snapshot of a group exists in any project.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn has_group_snapshots(&self, group: &Group, now: Timestamp) -> Result<bool, StoreError> {
        let records = self.projects_with_snapshots_from(&group.project_id)?;
        let at_once = rows_at_once(&records);
        let mut listing = Listing::new(*self, records, Kind::GroupSnapshot, Direction::NewestFirst, None)
            .of_volume(Some(group.id.as_uuid()))
            .without_unreadable_pages(|project| *project != group.project_id);
        loop {
            let ids: Vec<Uuid> = listing.next(at_once)?.iter().map(|entry| entry.position.id).collect();
            if ids.is_empty() {
                return Ok(false);
            }
            for row in self.rows::<GroupSnapshot>(&ids)? {
                match row {
                    StoredRow::Gone => {}
                    StoredRow::Unreadable => return Ok(true),
                    StoredRow::Readable(row) => {
                        if row.effective(now, Occasion::Reading).is_some() {
                            return Ok(true);
                        }
                    }
                }
            }
        }
    }
}

impl Stored for Group {
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        let stored = StoredGroup {
            id: self.id.as_uuid(),
            project: self.project_id.as_str(),
            user: self.user_id.as_ref().map(UserId::as_str),
            name: self.name.as_deref(),
            description: self.description.as_deref(),
            status: self.status.as_str(),
            group_type: self.group_type_id.as_uuid(),
            volume_types: uuids(&self.volume_types),
            host: self.host.as_deref(),
            next_host: self.next_host.as_deref(),
            zone: self.availability_zone.as_deref(),
            group_snapshot: self.group_snapshot_id.map(Into::into),
            source: self.source_group_id.map(Into::into),
            replication: self.replication_status.as_deref(),
            created: self.created_at.microseconds(),
            updated: self.updated_at.map(Timestamp::microseconds),
            pending: self.pending.map(Into::into),
            volumes: uuids(&self.volumes),
            added: uuids(&self.added),
            removed: uuids(&self.removed),
            copies: uuids(&self.copies),
        };
        rows::write(&stored, bytes)
    }

    fn read(_version: u32, bytes: &[u8]) -> Result<Self, String> {
        let stored = rows::read::<StoredGroup<'_>>(bytes)?;
        Ok(Self {
            id: stored.id.into(),
            project_id: parse(stored.project)?,
            user_id: stored.user.map(parse).transpose()?,
            name: owned(stored.name),
            description: owned(stored.description),
            status: parse(stored.status)?,
            group_type_id: GroupTypeId::new(stored.group_type),
            volume_types: ids::<VolumeTypeId>(stored.volume_types),
            host: owned(stored.host),
            next_host: owned(stored.next_host),
            availability_zone: owned(stored.zone),
            group_snapshot_id: stored.group_snapshot.map(Into::into),
            source_group_id: stored.source.map(Into::into),
            replication_status: owned(stored.replication),
            created_at: Timestamp::from_microseconds(stored.created),
            updated_at: stored.updated.map(Timestamp::from_microseconds),
            pending: stored.pending.map(TryInto::try_into).transpose()?,
            volumes: ids::<VolumeId>(stored.volumes),
            added: ids(stored.added),
            removed: ids(stored.removed),
            copies: ids(stored.copies),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::group::tests::group;
    use crate::domain::{GroupSnapshotId, GroupStatus};

    /// These are the bytes of format version 1. Other bytes would need another version.
    #[test]
    fn a_row_has_the_bytes_that_it_always_had() {
        let volume = |number| VolumeId::new(Uuid::from_u128(number));
        let full = Group {
            name: Some("n".to_owned()),
            updated_at: Some(Timestamp::from_microseconds(1)),
            host: Some("h".to_owned()),
            next_host: None,
            availability_zone: Some("z".to_owned()),
            group_snapshot_id: Some(GroupSnapshotId::new(Uuid::from_u128(2))),
            volumes: vec![volume(3)],
            added: vec![volume(4)],
            copies: vec![GroupId::new(Uuid::from_u128(5))],
            ..group(GroupStatus::Updating)
        };
        let mut bytes = Vec::new();
        full.write(&mut bytes).expect("writes");
        let expected = [
            b"\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x02a1\0\x01\x01n\0\x08updating".as_slice(),
            b"\x10\xf0\0\0\0\0\0\x40\0\x80\0\0\0\0\0\0\0\x01\x10\xe0\0\0\0\0\0\x40\0\x80\0\0\0\0\0\0\0",
            b"\x01\x01h\0\x01\x01z\x01\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\x01\x02\0",
            b"\x01\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x03\x01\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x04\0",
            b"\x01\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05",
        ];
        assert_eq!(bytes, expected.concat(), "{}", bytes.escape_ascii());
        assert_eq!(Group::read(1, &bytes), Ok(full));
    }
}
