//! The stored row of a volume. The same since format version 1.

use serde::{Deserialize, Serialize};

use crate::domain::{Metadata, ProjectId, SnapshotId, Timestamp, UserId, Volume, VolumeId, VolumeStatus};

use super::snapshots::PendingRow;

/// A row, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeRow {
    id: VolumeId,
    project: ProjectId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<UserId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    metadata: Metadata,
    size: u32,
    status: VolumeStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
    attach_status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    migration: Option<String>,
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    volume_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    snapshot: Option<SnapshotId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    bootable: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    multiattach: bool,
    created: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    updated: Option<i64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    uncounted: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pending: Option<PendingRow>,
}

super::envelope::stored_as_json!(VolumeRow, crate::json::read);

impl From<Volume> for VolumeRow {
    fn from(volume: Volume) -> Self {
        Self {
            id: volume.id,
            project: volume.project_id,
            user: volume.user_id,
            name: volume.name,
            description: volume.description,
            metadata: volume.metadata,
            size: volume.size,
            status: volume.status,
            host: volume.host,
            cluster: volume.cluster_name,
            zone: volume.availability_zone,
            attach_status: volume.attach_status,
            migration: volume.migration_status,
            volume_type: volume.volume_type,
            snapshot: volume.snapshot_id,
            group: volume.group_id,
            bootable: volume.bootable,
            multiattach: volume.multiattach,
            created: volume.created_at.microseconds(),
            updated: volume.updated_at.map(Timestamp::microseconds),
            uncounted: !volume.consumes_quota,
            pending: volume.pending.map(Into::into),
        }
    }
}

impl From<VolumeRow> for Volume {
    fn from(row: VolumeRow) -> Self {
        Self {
            id: row.id,
            project_id: row.project,
            user_id: row.user,
            name: row.name,
            description: row.description,
            metadata: row.metadata,
            size: row.size,
            status: row.status,
            host: row.host,
            cluster_name: row.cluster,
            availability_zone: row.zone,
            attach_status: row.attach_status,
            migration_status: row.migration,
            volume_type: row.volume_type,
            snapshot_id: row.snapshot,
            group_id: row.group,
            bootable: row.bootable,
            multiattach: row.multiattach,
            created_at: Timestamp::from_microseconds(row.created),
            updated_at: row.updated.map(Timestamp::from_microseconds),
            consumes_quota: !row.uncounted,
            pending: row.pending.map(Into::into),
        }
    }
}
