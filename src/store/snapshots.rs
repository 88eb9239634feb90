//! The stored row of a snapshot: the one truth about it. In bytes since format version 3, JSON before.

use std::str::FromStr;

use crate::domain::identifiers::IdentifierError;
use crate::domain::snapshot::{Cause, Transition};
use crate::domain::{
    Completion, GroupSnapshotId, Metadata, Pending, Schedule, Snapshot, SnapshotId, SnapshotStatus, Timestamp, UserId,
    VolumeId,
};

use super::bytes::{Field, fields, read_all, word_field};
use super::envelope::Stored;
use super::version_2;

/// A row, as it is stored.
#[derive(Debug)]
pub struct SnapshotRow<'a> {
    pub(super) id: SnapshotId,
    pub(super) project: &'a str,
    pub(super) user: Option<&'a str>,
    pub(super) volume: VolumeId,
    pub(super) volume_type: Option<&'a str>,
    pub(super) name: Option<&'a str>,
    pub(super) description: Option<&'a str>,
    pub(super) size: u32,
    pub(super) status: SnapshotStatus,
    pub(super) progress: Option<&'a str>,
    pub(super) created: i64,
    pub(super) updated: Option<i64>,
    pub(super) group: Option<GroupSnapshotId>,
    /// Whether it is one of the few that do not count towards quota.
    pub(super) uncounted: bool,
    pub(super) pending: Option<PendingRow>,
    pub(super) metadata: Vec<(&'a str, &'a str)>,
    /// Changes of status: when, to what and why.
    pub(super) history: Vec<(i64, SnapshotStatus, Cause)>,
}

fields!(SnapshotRow<'a> {
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

/// Work under way, as it is stored; shared by snapshots and volumes.
#[derive(Debug, Clone, Copy)]
pub struct PendingRow {
    pub(super) completion: Completion,
    pub(super) schedule: Schedule,
    pub(super) due: i64,
    pub(super) gives_up: i64,
    pub(super) retries: u8,
}

fields!(PendingRow { completion, schedule, due, gives_up, retries });

word_field!(Cause, Completion, Schedule, SnapshotStatus);

impl Stored for Snapshot {
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        SnapshotRow::from(self).write(bytes)
    }

    fn read(version: u32, bytes: &[u8]) -> Result<Self, String> {
        if version < 3 {
            return version_2::snapshot_row(&version_2::parsed(bytes)?)?.try_into();
        }
        read_all::<SnapshotRow<'_>>(bytes)?.try_into()
    }
}

impl From<Pending> for PendingRow {
    fn from(pending: Pending) -> Self {
        Self {
            completion: pending.completion,
            schedule: pending.schedule,
            due: pending.due.microseconds(),
            gives_up: pending.gives_up.microseconds(),
            retries: pending.retries,
        }
    }
}

impl From<PendingRow> for Pending {
    fn from(row: PendingRow) -> Self {
        Self {
            completion: row.completion,
            schedule: row.schedule,
            due: Timestamp::from_microseconds(row.due),
            gives_up: Timestamp::from_microseconds(row.gives_up),
            retries: row.retries,
        }
    }
}

impl<'a> From<&'a Snapshot> for SnapshotRow<'a> {
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

/// Metadata as rows have it.
pub(super) fn pairs(metadata: &Metadata) -> Vec<(&str, &str)> {
    metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

/// Metadata that a row has.
pub(super) fn metadata(pairs: &[(&str, &str)]) -> Metadata {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A text that a row has or has not.
pub(super) fn owned(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

/// The name of a user or a project that a row has.
pub(super) fn name<T: FromStr<Err = IdentifierError>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: IdentifierError| error.to_string())
}

impl TryFrom<SnapshotRow<'_>> for Snapshot {
    type Error = String;

    fn try_from(row: SnapshotRow<'_>) -> Result<Self, String> {
        let project_id = name(row.project)?;
        let user_id = row.user.map(name).transpose()?;
        Ok(Self {
            id: row.id,
            project_id,
            user_id,
            volume_id: row.volume,
            volume_type: owned(row.volume_type),
            name: owned(row.name),
            description: owned(row.description),
            metadata: metadata(&row.metadata),
            size: row.size,
            status: row.status,
            progress: owned(row.progress),
            created_at: Timestamp::from_microseconds(row.created),
            updated_at: row.updated.map(Timestamp::from_microseconds),
            group_snapshot_id: row.group,
            consumes_quota: !row.uncounted,
            pending: row.pending.map(Into::into),
            history: {
                let past = row.history.into_iter();
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

    /// The bytes are those of format version 3; other bytes are another version.
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
        assert_eq!(Snapshot::read(3, &bytes), Ok(full));
    }
}
