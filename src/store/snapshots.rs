//! The row of a snapshot, the only source of truth about it: its layout in bytes, and the facts that the store needs.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::lifecycle::Occasion;
use crate::domain::message::Event;
use crate::domain::metadata;
use crate::domain::quota::Counted;
use crate::domain::snapshot::Transition;
use crate::domain::{Pending, ProjectId, Snapshot, SnapshotId, Timestamp, UserId, VolumeTypeId};

use super::codec::envelope::Stored;
use super::codec::metadata::{metadata, owned, pairs, parse};
use super::codec::pending::StoredPending;
use super::codec::rows;
use super::row::{Kind, Row, Rows};

impl Row for Snapshot {
    type Id = SnapshotId;
    const KIND: Kind = Kind::Snapshot;
    const KEY_PREFIX: &'static str = "vs1:snapshot:";
    const COUNTED: Option<Counted> = Some(Counted::Snapshots);
    const IS_LOOKED_AFTER: bool = true;
    const HAS_SIZE_OF_VOLUME: bool = true;

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

    fn volume_type_id(&self) -> Option<VolumeTypeId> {
        self.volume_type_id
    }

    fn is_large(&self) -> bool {
        metadata::is_large(&self.metadata)
    }

    fn consumes_quota(&self) -> bool {
        self.consumes_quota
    }

    fn pending(&self) -> Option<Pending> {
        self.pending
    }

    fn failure(&self) -> Option<Event> {
        self.failure()
    }

    fn with_pending(self, pending: Option<Pending>) -> Self {
        Self { pending, ..self }
    }

    fn effective(self, now: Timestamp, occasion: Occasion) -> Option<Self> {
        self.effective(now, occasion)
    }
}

/// The stored form of a [`Snapshot`]. The order of the fields is the format.
#[derive(Debug, Serialize, Deserialize)]
struct StoredSnapshot<'a> {
    id: Uuid,
    project: &'a str,
    user: Option<&'a str>,
    volume: Uuid,
    volume_type: Option<Uuid>,
    name: Option<&'a str>,
    description: Option<&'a str>,
    size: u32,
    status: &'a str,
    progress: Option<&'a str>,
    created: i64,
    updated: Option<i64>,
    group: Option<Uuid>,
    /// Whether the snapshot is one of the few that do not count towards quota.
    uncounted: bool,
    pending: Option<StoredPending<'a>>,
    metadata: Vec<(&'a str, &'a str)>,
    /// The changes of status: the time, the new status, and the cause.
    history: Vec<(i64, &'a str, &'a str)>,
}

impl Stored for Snapshot {
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        rows::write(&StoredSnapshot::from(self), bytes)
    }

    fn read(_version: u32, bytes: &[u8]) -> Result<Self, String> {
        rows::read::<StoredSnapshot<'_>>(bytes)?.try_into()
    }
}

/// Returns the stored form of a transition.
const fn stored_transition(past: &Transition) -> (i64, &str, &str) {
    (past.at.microseconds(), past.status.as_str(), past.cause.as_str())
}

impl<'a> From<&'a Snapshot> for StoredSnapshot<'a> {
    fn from(snapshot: &'a Snapshot) -> Self {
        Self {
            id: snapshot.id.as_uuid(),
            project: snapshot.project_id.as_str(),
            user: snapshot.user_id.as_ref().map(UserId::as_str),
            volume: snapshot.volume_id.as_uuid(),
            volume_type: snapshot.volume_type_id.map(Into::into),
            name: snapshot.name.as_deref(),
            description: snapshot.description.as_deref(),
            size: snapshot.size,
            status: snapshot.status.as_str(),
            progress: snapshot.progress.as_deref(),
            created: snapshot.created_at.microseconds(),
            updated: snapshot.updated_at.map(Timestamp::microseconds),
            group: snapshot.group_snapshot_id.map(Into::into),
            uncounted: !snapshot.consumes_quota,
            pending: snapshot.pending.map(Into::into),
            metadata: pairs(&snapshot.metadata),
            history: snapshot.history.iter().map(stored_transition).collect(),
        }
    }
}

impl TryFrom<StoredSnapshot<'_>> for Snapshot {
    type Error = String;

    fn try_from(stored: StoredSnapshot<'_>) -> Result<Self, String> {
        let project_id = parse(stored.project)?;
        let user_id = stored.user.map(parse).transpose()?;
        let status = parse(stored.status)?;
        let pending = stored.pending.map(TryInto::try_into).transpose()?;
        let past = stored.history.into_iter().map(|(at, status, cause)| {
            Ok(Transition { at: Timestamp::from_microseconds(at), status: parse(status)?, cause: parse(cause)? })
        });
        let history = past.collect::<Result<_, String>>()?;
        Ok(Self {
            id: stored.id.into(),
            project_id,
            user_id,
            volume_id: stored.volume.into(),
            volume_type_id: stored.volume_type.map(Into::into),
            name: owned(stored.name),
            description: owned(stored.description),
            metadata: metadata(&stored.metadata),
            size: stored.size,
            status,
            progress: owned(stored.progress),
            created_at: Timestamp::from_microseconds(stored.created),
            updated_at: stored.updated.map(Timestamp::from_microseconds),
            group_snapshot_id: stored.group.map(Into::into),
            consumes_quota: !stored.uncounted,
            pending,
            history,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::snapshot::Cause;
    use crate::domain::snapshot::tests::snapshot;
    use crate::domain::{Completion, Schedule, SnapshotStatus};

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
                begun: Timestamp::from_microseconds(5),
                due: Timestamp::from_microseconds(1),
                gives_up: Timestamp::from_microseconds(2),
                retries: 3,
                request_id: Some(uuid::Uuid::from_u128(7)),
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
            b"\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x02a1\x01\x01u".as_slice(),
            b"\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02\0\x01\x02\xc3\xa9\0\x01",
            b"\x09restoring\x01\x020%\0\x01\x84\x04\0\0",
            b"\x01\x07release\x09next-tick\x0a\x02\x04\x03\x01\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x07",
            b"\x01\x01k\x01v",
            b"\x01\x08\x0abacking-up\x0fos-reset_status",
        ];
        assert_eq!(bytes, expected.concat(), "{}", bytes.escape_ascii());
        assert_eq!(Snapshot::read(1, &bytes), Ok(full));
    }

    #[test]
    fn an_unknown_word_is_refused_by_name() {
        let row = snapshot(SnapshotStatus::Available);
        let read = |stored: StoredSnapshot<'_>| {
            let mut bytes = Vec::new();
            rows::write(&stored, &mut bytes).expect("writes");
            Snapshot::read(1, &bytes)
        };
        let status = StoredSnapshot { status: "frozen", ..(&row).into() };
        assert_eq!(read(status), Err("'frozen' is not a snapshot status".to_owned()));
        let cause = StoredSnapshot { history: vec![(1, "error", "frost")], ..(&row).into() };
        assert!(read(cause).expect_err("an unknown cause").starts_with("'frost' is not "));
    }
}
