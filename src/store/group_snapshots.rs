//! The row of a group snapshot: its layout in bytes, and the facts that the store needs.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::lifecycle::{Moment, Occasion};
use crate::domain::quota::Amounts;
use crate::domain::{
    Completion, Group, GroupSnapshot, GroupSnapshotId, GroupSnapshotStatus, Pending, ProjectId, Schedule, Snapshot,
    SnapshotId, SnapshotStatus, Timestamp, UserId, Volume,
};

use super::Store;
use super::codec::envelope::Stored;
use super::codec::metadata::{owned, parse};
use super::codec::pending::StoredPending;
use super::codec::rows;
use super::compare_and_swap::Change;
use super::creation::NewRow;
use super::key_value::StoreError;
use super::keys;
use super::projects::ProjectRecord;
use super::row::{Kind, Row, Rows};
use super::rows::{LARGE_ROWS_AT_ONCE, decode_row};
use super::unreadable::StoredRow;

impl Row for GroupSnapshot {
    type Id = GroupSnapshotId;
    const KIND: Kind = Kind::GroupSnapshot;
    const KEY_PREFIX: &'static str = "vs1:group-snapshot:";

    fn list(rows: &Rows) -> &Vec<Self> {
        &rows.group_snapshots
    }

    fn list_mut(rows: &mut Rows) -> &mut Vec<Self> {
        &mut rows.group_snapshots
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

    /// The index keeps the group, so that the group snapshots of a group are found without their rows.
    fn indexed_volume(&self) -> Uuid {
        self.group_id.as_uuid()
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

/// The stored form of a [`GroupSnapshot`]. The order of the fields is the format.
#[derive(Debug, Serialize, Deserialize)]
struct StoredGroupSnapshot<'a> {
    id: Uuid,
    project: &'a str,
    user: Option<&'a str>,
    group: Uuid,
    group_type: Uuid,
    name: Option<&'a str>,
    description: Option<&'a str>,
    status: &'a str,
    created: i64,
    updated: Option<i64>,
    pending: Option<StoredPending<'a>>,
    members: Vec<Uuid>,
    copies: Vec<Uuid>,
}

impl Store<'_> {
    /// Creates a group snapshot with its members. Returns the group and the volumes of the members as they are once the rows are
    /// written.
    ///
    /// # Errors
    ///
    /// As for [`Store::create`].
    pub fn create_group_snapshot<E: From<StoreError>>(
        &self,
        group_snapshot: &GroupSnapshot,
        members: &[Snapshot],
        amounts: &Amounts,
        of_other_project: bool,
        admit: &mut dyn FnMut(&ProjectRecord) -> Result<(), E>,
    ) -> Result<(Option<Group>, Vec<Option<Volume>>), E> {
        let mut rows = members.iter().map(NewRow::of).collect::<Result<Vec<_>, StoreError>>()?;
        rows.push(NewRow::of(group_snapshot)?);
        let group = group_snapshot.group_id.as_uuid();
        let mut keys = vec![keys::row(Kind::Group, group)];
        keys.extend(members.iter().map(|member| keys::row(Kind::Volume, member.volume_id.as_uuid())));
        let project = &group_snapshot.project_id;
        let mut values =
            self.create_together(project, &rows, amounts, of_other_project, keys.clone(), admit)?.into_iter();
        let group = decode_row(&keys[0], group, values.next().flatten())?;
        let mut volumes = Vec::with_capacity(members.len());
        for ((key, member), value) in keys[1..].iter().zip(members).zip(values) {
            volumes.push(decode_row(key, member.volume_id.as_uuid(), value)?);
        }
        Ok((group, volumes))
    }

    /// Makes the creation of a group snapshot end as that of its members does: with an error if one of them has failed, and, if
    /// only reports end it, once all of them have ended. One compare-and-swap at most.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn compare_with_members(&self, row: &GroupSnapshot, moment: Moment) -> Result<(), StoreError> {
        let is_creating = |row: &GroupSnapshot| row.status == GroupSnapshotStatus::Creating;
        let creates = |pending: &Pending| pending.completion == Completion::Create;
        let Some(pending) = row.pending.filter(creates).filter(|_| is_creating(row)) else { return Ok(()) };
        let (mut failed, mut all_ended) = (false, !row.members.is_empty());
        let ids: Vec<Uuid> = row.members.iter().map(SnapshotId::as_uuid).collect();
        for ids in ids.chunks(LARGE_ROWS_AT_ONCE) {
            for member in self.rows::<Snapshot>(ids)?.into_iter().filter_map(StoredRow::readable) {
                match member.at(moment).map(|member| member.status) {
                    Some(SnapshotStatus::Error) => failed = true,
                    Some(SnapshotStatus::Creating) => all_ended = false,
                    _ => {}
                }
            }
        }
        let ends_by_report = all_ended && pending.schedule == Schedule::OnRequest;
        if !failed && !ends_by_report {
            return Ok(());
        }
        self.update(row.id, |row: Option<GroupSnapshot>| {
            let Some(mut row) = row.filter(|row| is_creating(row) && row.pending == Some(pending)) else {
                return Ok(Change::Leave(()));
            };
            match (failed, all_ended) {
                (true, true) => row.enter(GroupSnapshotStatus::Error, None, moment.clock),
                (true, false) => row.pending = Some(Pending { completion: Completion::Fail, ..pending }),
                (false, _) => row.enter(GroupSnapshotStatus::Available, None, moment.clock),
            }
            Ok(Change::Write(row, ()))
        })
    }
}

impl Stored for GroupSnapshot {
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        let stored = StoredGroupSnapshot {
            id: self.id.as_uuid(),
            project: self.project_id.as_str(),
            user: self.user_id.as_ref().map(UserId::as_str),
            group: self.group_id.as_uuid(),
            group_type: self.group_type_id.as_uuid(),
            name: self.name.as_deref(),
            description: self.description.as_deref(),
            status: self.status.as_str(),
            created: self.created_at.microseconds(),
            updated: self.updated_at.map(Timestamp::microseconds),
            pending: self.pending.map(Into::into),
            members: self.members.iter().copied().map(Into::into).collect(),
            copies: self.copies.iter().copied().map(Into::into).collect(),
        };
        rows::write(&stored, bytes)
    }

    fn read(_version: u32, bytes: &[u8]) -> Result<Self, String> {
        let stored = rows::read::<StoredGroupSnapshot<'_>>(bytes)?;
        Ok(Self {
            id: stored.id.into(),
            project_id: parse(stored.project)?,
            user_id: stored.user.map(parse).transpose()?,
            group_id: stored.group.into(),
            group_type_id: stored.group_type.into(),
            name: owned(stored.name),
            description: owned(stored.description),
            status: parse(stored.status)?,
            created_at: Timestamp::from_microseconds(stored.created),
            updated_at: stored.updated.map(Timestamp::from_microseconds),
            pending: stored.pending.map(TryInto::try_into).transpose()?,
            members: stored.members.into_iter().map(Into::into).collect(),
            copies: stored.copies.into_iter().map(Into::into).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::GroupId;
    use crate::domain::group_snapshot::tests::group_snapshot;

    /// These are the bytes of format version 1. Other bytes would need another version.
    #[test]
    fn a_row_has_the_bytes_that_it_always_had() {
        let full = GroupSnapshot {
            name: Some("n".to_owned()),
            members: vec![SnapshotId::new(Uuid::from_u128(3))],
            copies: vec![GroupId::new(Uuid::from_u128(4))],
            ..group_snapshot(GroupSnapshotStatus::Available)
        };
        let mut bytes = Vec::new();
        full.write(&mut bytes).expect("writes");
        let expected = [
            b"\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x02a1\0\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02".as_slice(),
            b"\x10\xf0\0\0\0\0\0\x40\0\x80\0\0\0\0\0\0\0\x01\x01n\0\x09available\0\0\0",
            b"\x01\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x03\x01\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x04",
        ];
        assert_eq!(bytes, expected.concat(), "{}", bytes.escape_ascii());
        assert_eq!(GroupSnapshot::read(1, &bytes), Ok(full));
    }
}
