//! The row of a snapshot, the only source of truth about it: its layout in bytes, and the facts that the store needs.

use uuid::Uuid;

use crate::domain::lifecycle::Occasion;
use crate::domain::quota::Counted;
use crate::domain::snapshot::{Cause, Transition};
use crate::domain::{
    GroupSnapshotId, Pending, ProjectId, Snapshot, SnapshotId, SnapshotStatus, Timestamp, UserId, VolumeId,
};

use super::codec::bytes::{Field, fields, read_all, uuid_field, word_field};
use super::codec::envelope::Stored;
use super::codec::metadata::{identifier, metadata, owned, pairs};
use super::codec::pending::StoredPending;
use super::row::{Kind, Row, Rows};

impl Row for Snapshot {
    type Id = SnapshotId;
    const KIND: Kind = Kind::Snapshot;
    const KEY_PREFIX: &'static str = "vs1:snapshot:";
    const COUNTED: Option<Counted> = Some(Counted::Snapshots);
    const IS_LOOKED_AFTER: bool = true;
    const ALWAYS_COUNTS_GIGABYTES: bool = false;

    fn list(rows: &Rows) -> &Vec<Self> {
        &rows.snapshots
    }

    fn list_mut(rows: &mut Rows) -> &mut Vec<Self> {
        &mut rows.snapshots
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

    fn size(&self) -> u32 {
        self.size
    }

    fn volume_type(&self) -> Option<&str> {
        self.volume_type.as_deref()
    }

    fn consumes_quota(&self) -> bool {
        self.consumes_quota
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

/// The stored form of a [`Snapshot`]. The order of the fields is the format.
#[derive(Debug)]
struct StoredSnapshot<'a> {
    id: SnapshotId,
    project: &'a str,
    user: Option<&'a str>,
    volume: VolumeId,
    volume_type: Option<&'a str>,
    name: Option<&'a str>,
    description: Option<&'a str>,
    size: u32,
    status: SnapshotStatus,
    progress: Option<&'a str>,
    created: i64,
    updated: Option<i64>,
    group: Option<GroupSnapshotId>,
    /// Whether the snapshot is one of the few that do not count towards quota.
    uncounted: bool,
    pending: Option<StoredPending>,
    metadata: Vec<(&'a str, &'a str)>,
    /// The changes of status: the time, the new status, and the cause.
    history: Vec<(i64, SnapshotStatus, Cause)>,
}

fields!(StoredSnapshot<'a> {
    id,
    project,
    user,
    volume,
    volume_type,
    name,
    description,
    size,
    status,
    progress,
    created,
    updated,
    group,
    uncounted,
    pending,
    metadata,
    history,
});

uuid_field!(GroupSnapshotId, SnapshotId);
word_field!(Cause, SnapshotStatus);

impl Stored for Snapshot {
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        StoredSnapshot::from(self).write(bytes)
    }

    fn read(_version: u32, bytes: &[u8]) -> Result<Self, String> {
        read_all::<StoredSnapshot<'_>>(bytes)?.try_into()
    }
}

impl<'a> From<&'a Snapshot> for StoredSnapshot<'a> {
    fn from(snapshot: &'a Snapshot) -> Self {
        Self {
            id: snapshot.id,
            project: snapshot.project_id.as_str(),
            user: snapshot.user_id.as_ref().map(UserId::as_str),
            volume: snapshot.volume_id,
            volume_type: snapshot.volume_type.as_deref(),
            name: snapshot.name.as_deref(),
            description: snapshot.description.as_deref(),
            size: snapshot.size,
            status: snapshot.status,
            progress: snapshot.progress.as_deref(),
            created: snapshot.created_at.microseconds(),
            updated: snapshot.updated_at.map(Timestamp::microseconds),
            group: snapshot.group_snapshot_id,
            uncounted: !snapshot.consumes_quota,
            pending: snapshot.pending.map(Into::into),
            metadata: pairs(&snapshot.metadata),
            history: snapshot.history.iter().map(|past| (past.at.microseconds(), past.status, past.cause)).collect(),
        }
    }
}

impl TryFrom<StoredSnapshot<'_>> for Snapshot {
    type Error = String;

    fn try_from(stored: StoredSnapshot<'_>) -> Result<Self, String> {
        let project_id = identifier(stored.project)?;
        let user_id = stored.user.map(identifier).transpose()?;
        Ok(Self {
            id: stored.id,
            project_id,
            user_id,
            volume_id: stored.volume,
            volume_type: owned(stored.volume_type),
            name: owned(stored.name),
            description: owned(stored.description),
            metadata: metadata(&stored.metadata),
            size: stored.size,
            status: stored.status,
            progress: owned(stored.progress),
            created_at: Timestamp::from_microseconds(stored.created),
            updated_at: stored.updated.map(Timestamp::from_microseconds),
            group_snapshot_id: stored.group,
            consumes_quota: !stored.uncounted,
            pending: stored.pending.map(Into::into),
            history: {
                let past = stored.history.into_iter();
                past.map(|(at, status, cause)| Transition { at: Timestamp::from_microseconds(at), status, cause })
                    .collect()
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::snapshot::tests::snapshot;
    use crate::domain::{Completion, Schedule};

    /// These are the bytes of format version 1. Other bytes would need another version.
    #[test]
    fn a_row_has_the_bytes_that_it_always_had() {
        let full = Snapshot {
            user_id: Some("u".parse().expect("a user id")),
            name: Some("é".to_owned()),
            metadata: [("k".to_owned(), "v".to_owned())].into_iter().collect(),
            updated_at: Some(Timestamp::from_microseconds(258)),
            pending: Some(Pending {
                completion: Completion::Release,
                schedule: Schedule::NextTick,
                due: Timestamp::from_microseconds(1),
                gives_up: Timestamp::from_microseconds(2),
                retries: 3,
            }),
            history: vec![Transition {
                at: Timestamp::from_microseconds(4),
                status: SnapshotStatus::BackingUp,
                cause: Cause::Reset,
            }],
            ..snapshot(SnapshotStatus::Restoring)
        };
        let mut bytes = Vec::new();
        full.write(&mut bytes).expect("writes");
        let expected = [
            b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\x02a1\x01\0\0\0\x01u".as_slice(),
            b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02\0\x01\0\0\0\x02\xc3\xa9\0\0\0\0\x01",
            b"\0\0\0\x09restoring\x01\0\0\0\x020%\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\x01\x02\0\0",
            b"\x01\0\0\0\x07release\0\0\0\x09next-tick\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\x03",
            b"\0\0\0\x01\0\0\0\x01k\0\0\0\x01v",
            b"\0\0\0\x01\0\0\0\0\0\0\0\x04\0\0\0\x0abacking-up\0\0\0\x0fos-reset_status",
        ];
        assert_eq!(bytes, expected.concat(), "{}", bytes.escape_ascii());
        assert_eq!(Snapshot::read(1, &bytes), Ok(full));
    }
}
