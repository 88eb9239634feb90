//! The stored row of a snapshot: the one truth about it. The same since format version 1.
//!
//! Fields that hold their usual value are left out, so that a row stays small.

use serde::{Deserialize, Serialize};

use crate::domain::snapshot::{Cause, Transition};
use crate::domain::{
    GroupSnapshotId, Metadata, Pending, ProjectId, Snapshot, SnapshotId, SnapshotStatus, Timestamp, UserId, VolumeId,
};

/// A row, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRow {
    id: SnapshotId,
    project: ProjectId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<UserId>,
    volume: VolumeId,
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    volume_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    metadata: Metadata,
    size: u32,
    status: SnapshotStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    progress: Option<String>,
    created: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    updated: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<GroupSnapshotId>,
    /// Written only for the few that do not count towards quota.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    uncounted: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pending: Option<PendingRow>,
    /// Changes of status: when, to what and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    history: Vec<(i64, SnapshotStatus, Cause)>,
}

/// Work under way, as it is written; shared by snapshots and volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingRow {
    completion: crate::domain::Completion,
    schedule: crate::domain::Schedule,
    due: i64,
    gives_up: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    retries: u8,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u8) -> bool {
    *number == 0
}

super::envelope::stored_as_json!(SnapshotRow, crate::json::read);

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

impl From<Snapshot> for SnapshotRow {
    fn from(snapshot: Snapshot) -> Self {
        Self {
            id: snapshot.id,
            project: snapshot.project_id,
            user: snapshot.user_id,
            volume: snapshot.volume_id,
            volume_type: snapshot.volume_type,
            name: snapshot.name,
            description: snapshot.description,
            metadata: snapshot.metadata,
            size: snapshot.size,
            status: snapshot.status,
            progress: snapshot.progress,
            created: snapshot.created_at.microseconds(),
            updated: snapshot.updated_at.map(Timestamp::microseconds),
            group: snapshot.group_snapshot_id,
            uncounted: !snapshot.consumes_quota,
            pending: snapshot.pending.map(Into::into),
            history: snapshot.history.iter().map(|past| (past.at.microseconds(), past.status, past.cause)).collect(),
        }
    }
}

impl From<SnapshotRow> for Snapshot {
    fn from(row: SnapshotRow) -> Self {
        Self {
            id: row.id,
            project_id: row.project,
            user_id: row.user,
            volume_id: row.volume,
            volume_type: row.volume_type,
            name: row.name,
            description: row.description,
            metadata: row.metadata,
            size: row.size,
            status: row.status,
            progress: row.progress,
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
        }
    }
}
