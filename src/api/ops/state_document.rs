//! The whole state as a document, as `/_ops/state` reads and writes it.
//!
//! Fields and their defaults are those of `setup_defaults` in `tests/it/conformance/test-vectors.json`, so that a vector's
//! setup is a document.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU8;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::api::wire::document::ObjectWriter;
use crate::api::wire::faults::Fault;
use crate::api::wire::reply::AnswerBody;
use crate::domain::backup::{BackupRecord, DRIVER, Dependent, Outcome, Placement};
use crate::domain::lifecycle::{Completion, Delays, Pending, Schedule};
use crate::domain::quota::{self, Amounts};
use crate::domain::snapshot::{Cause, Transition};
use crate::domain::trees::map_of;
use crate::domain::volume_type::DEFAULT_TYPE;
use crate::domain::{
    AttachStatus, Attachment, AttachmentId, AttachmentPointer, AttachmentSlot, Backup, BackupId, BackupStatus,
    Extension, Group, GroupId, GroupSnapshot, GroupSnapshotId, GroupSnapshotStatus, GroupStatus, GroupType,
    GroupTypeId, GroupTypes, Message, MessageId, Metadata, ProjectId, Provisioning, Snapshot, SnapshotId,
    SnapshotStatus, Timestamp, UserId, Volume, VolumeId, VolumeStatus, VolumeType, VolumeTypes,
};
use crate::json::ObjectOnly;
use crate::service::StoreError;
use crate::service::ops::{BackendService, Deployment, ProjectSettings, State, StateReader, StateSettings, Unreadable};

/// The whole state. The last three fields are not in the vectors; with them, a document that was read can be written back.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StateDocument {
    volumes: Vec<ObjectOnly<VolumeDocument>>,
    snapshots: Vec<ObjectOnly<SnapshotDocument>>,
    attachments: Vec<ObjectOnly<AttachmentDocument>>,
    messages: Vec<ObjectOnly<MessageDocument>>,
    backups: Vec<ObjectOnly<BackupDocument>>,
    groups: Vec<ObjectOnly<GroupDocument>>,
    group_snapshots: Vec<ObjectOnly<GroupSnapshotDocument>>,
    group_types: Vec<ObjectOnly<GroupType>>,
    /// The types. `__DEFAULT__` is added unless it is here, and so is every type that another field names.
    volume_types: Vec<ObjectOnly<VolumeType>>,
    quotas: Amounts,
    services: Vec<ObjectOnly<ServiceDocument>>,
    resource_filters: Option<BTreeMap<String, Vec<String>>>,
    /// One more group snapshot, as some vectors have it.
    group_snapshot: Option<ObjectOnly<GroupSnapshotDocument>>,
    config: ObjectOnly<Config>,
    /// The counters of the default project, as vectors set them. They are written back as `quota_usage`.
    quota_usage_in_use: Amounts,
    /// The open counters by project, each `{"in_use": 1, "reserved": 0}`.
    quota_usage: Map<String, Value>,
    /// The limits of projects that have their own.
    project_quotas: Map<String, Value>,
    // The rows of resources that this service has none of. They are named in the answer, but not kept.
    transfers: Value,
    qos_specs: Value,
    quota_classes: Value,
    default_types: Value,
    /// The stored values that could not be read when the document was made.
    unreadable: Vec<ObjectOnly<UnreadableDocument>>,
}

/// A stored value that cannot be read.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnreadableDocument {
    key: String,
    #[serde(default)]
    reason: String,
}

impl From<Unreadable> for UnreadableDocument {
    fn from(Unreadable { key, reason }: Unreadable) -> Self {
        Self { key, reason }
    }
}

#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    #[serde(skip_serializing_if = "Option::is_none")]
    no_snapshot_gb_quota: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    osapi_max_limit: Option<u32>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about a service, as Cinder has them")]
struct ServiceDocument {
    host: String,
    binary: String,
    disabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled_reason: Option<String>,
    frozen: bool,
    availability_zone: String,
    up: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<Timestamp>,
    /// Whether one of the standing services is not there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    absent: bool,
}

impl Default for ServiceDocument {
    fn default() -> Self {
        BackendService::new("host1@lvm", "cinder-volume").into()
    }
}

impl From<BackendService> for ServiceDocument {
    fn from(service: BackendService) -> Self {
        let BackendService {
            host,
            binary,
            disabled,
            disabled_reason,
            frozen,
            availability_zone,
            up,
            updated_at,
            absent,
        } = service;
        Self { host, binary, disabled, disabled_reason, frozen, availability_zone, up, updated_at, absent }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PendingDocument {
    completion: Completion,
    schedule: Schedule,
    /// Without this field, the work began when it was due, but not in the future.
    #[serde(skip_serializing_if = "Option::is_none")]
    begun: Option<Timestamp>,
    due: Timestamp,
    gives_up: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    retries: Option<NonZeroU8>,
    /// The request that began the work, if its failure leaves a user message.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<Uuid>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProvisioningDocument {
    host: String,
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    image_metadata: Metadata,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct VolumeDocument {
    id: VolumeId,
    name: Option<String>,
    description: Option<String>,
    metadata: Metadata,
    size: u32,
    status: VolumeStatus,
    previous_status: Option<VolumeStatus>,
    host: Option<String>,
    cluster_name: Option<String>,
    availability_zone: Option<String>,
    attach_status: String,
    migration_status: Option<String>,
    volume_type: Option<String>,
    snapshot_id: Option<SnapshotId>,
    source_volid: Option<VolumeId>,
    group_id: Option<GroupId>,
    bootable: bool,
    multiattach: bool,
    #[serde(skip_serializing_if = "Metadata::is_empty")]
    admin_metadata: Metadata,
    #[serde(skip_serializing_if = "Metadata::is_empty")]
    image_metadata: Metadata,
    /// The slot that a reservation has listed for the next attachment.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attachment: Option<ObjectOnly<SlotDocument>>,
    project_id: ProjectId,
    user_id: Option<UserId>,
    created_at: Timestamp,
    updated_at: Option<Timestamp>,
    consumes_quota: bool,
    /// The work under way. Without this field, a transient status begins its work when the document is loaded.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pending: Option<Option<ObjectOnly<PendingDocument>>>,
    /// The host, and the metadata of the image, that a volume gets when its creation ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    provisioning: Option<ObjectOnly<ProvisioningDocument>>,
    /// The size after the extension that is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    new_size: Option<u32>,
    /// The backup that is being restored to it, and that it will name in its metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    restored_from: Option<BackupId>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SnapshotDocument {
    id: SnapshotId,
    volume_id: VolumeId,
    size: u32,
    status: SnapshotStatus,
    progress: Option<String>,
    name: Option<String>,
    description: Option<String>,
    metadata: Metadata,
    project_id: ProjectId,
    user_id: Option<UserId>,
    volume_type: Option<String>,
    created_at: Timestamp,
    updated_at: Option<Timestamp>,
    group_snapshot_id: Option<GroupSnapshotId>,
    consumes_quota: bool,
    /// A deleted snapshot is left out of the state.
    deleted: bool,
    /// The work under way, as for volumes.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pending: Option<Option<ObjectOnly<PendingDocument>>>,
    /// The changes of status: when, to which, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    history: Vec<(Timestamp, SnapshotStatus, Cause)>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct MessageDocument {
    id: MessageId,
    project_id: ProjectId,
    request_id: Option<String>,
    resource_type: Option<String>,
    resource_uuid: Option<String>,
    event_id: String,
    action_id: Option<String>,
    detail_id: Option<String>,
    message_level: String,
    created_at: Timestamp,
    updated_at: Option<Timestamp>,
    expires_at: Timestamp,
}

/// A backup. The number of its dependents follows from the backups that name it as their parent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct BackupDocument {
    id: BackupId,
    volume_id: VolumeId,
    snapshot_id: Option<SnapshotId>,
    parent_id: Option<BackupId>,
    name: Option<String>,
    description: Option<String>,
    status: BackupStatus,
    size: Option<u32>,
    /// The size that the project counts, where it is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    counted_size: Option<u32>,
    container: Option<String>,
    host: Option<String>,
    availability_zone: Option<String>,
    object_count: Option<u32>,
    fail_reason: Option<String>,
    service: Option<String>,
    num_dependent_backups: Option<u64>,
    data_timestamp: Option<Timestamp>,
    restore_volume_id: Option<VolumeId>,
    project_id: ProjectId,
    user_id: Option<UserId>,
    metadata: Metadata,
    encryption_key_id: Option<String>,
    created_at: Timestamp,
    updated_at: Option<Timestamp>,
    /// Whether an incremental backup was made. Without this field, it was unless it is being created.
    #[serde(skip_serializing_if = "Option::is_none")]
    counts_as_dependent: Option<bool>,
    /// The work under way, as for volumes.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pending: Option<Option<ObjectOnly<PendingDocument>>>,
    /// The changes that its end brings.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<OutcomeDocument>,
}

/// The changes that the end of the work on a backup brings.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum OutcomeDocument {
    Made {
        host: String,
        availability_zone: String,
    },
    Imported {
        host: String,
        availability_zone: String,
        name: Option<String>,
        description: Option<String>,
        container: Option<String>,
        object_count: Option<u32>,
        volume_id: VolumeId,
        snapshot_id: Option<SnapshotId>,
        data_timestamp: Option<Timestamp>,
        #[serde(default)]
        metadata: Metadata,
    },
    NotImported {
        reason: String,
    },
    Reset {
        status: BackupStatus,
    },
}

/// A group. Its members are the volumes that name it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct GroupDocument {
    id: GroupId,
    name: Option<String>,
    description: Option<String>,
    status: GroupStatus,
    group_type_id: GroupTypeId,
    volume_types: Vec<String>,
    host: Option<String>,
    /// The host that it gets when its creation ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_host: Option<String>,
    availability_zone: Option<String>,
    group_snapshot_id: Option<GroupSnapshotId>,
    source_group_id: Option<GroupId>,
    replication_status: Option<String>,
    project_id: ProjectId,
    user_id: Option<UserId>,
    created_at: Timestamp,
    updated_at: Option<Timestamp>,
    /// The volumes that the update under way moves into the group, and out of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    added_volumes: Vec<VolumeId>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    removed_volumes: Vec<VolumeId>,
    /// The work under way, as for volumes.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pending: Option<Option<ObjectOnly<PendingDocument>>>,
}

/// A group snapshot. Its members are the snapshots that name it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct GroupSnapshotDocument {
    id: GroupSnapshotId,
    group_id: GroupId,
    group_type_id: GroupTypeId,
    name: Option<String>,
    description: Option<String>,
    status: GroupSnapshotStatus,
    project_id: ProjectId,
    user_id: Option<UserId>,
    created_at: Timestamp,
    updated_at: Option<Timestamp>,
    /// The work under way, as for volumes.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pending: Option<Option<ObjectOnly<PendingDocument>>>,
}

/// Distinguishes null from a missing field.
fn present<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// An attachment. Its names of times are those of Cinder's table.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AttachmentDocument {
    id: AttachmentId,
    volume_id: VolumeId,
    instance_uuid: Option<String>,
    attached_host: Option<String>,
    mountpoint: Option<String>,
    attach_status: AttachStatus,
    attach_mode: String,
    attach_time: Option<Timestamp>,
    detach_time: Option<Timestamp>,
    connector: Option<Map<String, Value>>,
    connection_info: Option<Map<String, Value>>,
    created_at: Timestamp,
    updated_at: Option<Timestamp>,
}

/// The slot of an attachment that is about to be made.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SlotDocument {
    id: AttachmentId,
    created_at: Timestamp,
}

/// The ids and times of `setup_defaults` in the vectors.
mod defaults {
    use super::{
        AttachmentId, BackupId, GroupId, GroupSnapshotId, MessageId, ProjectId, SnapshotId, Timestamp, UserId, Uuid,
        VolumeId,
    };

    pub const VOLUME: VolumeId = VolumeId::new(Uuid::from_u128(0xaaaa_aaaa_0000_4000_8000_0000_0000_0001));
    pub const SNAPSHOT: SnapshotId = SnapshotId::new(Uuid::from_u128(0xbbbb_bbbb_0000_4000_8000_0000_0000_0001));
    pub const ATTACHMENT: AttachmentId = AttachmentId::new(Uuid::from_u128(0xa77a_c4ed_0000_4000_8000_0000_0000_0001));
    pub const INSTANCE: &str = "11110000-0000-4000-8000-000000000001";
    pub const BACKUP: BackupId = BackupId::new(Uuid::from_u128(0xbac0_0000_0000_4000_8000_0000_0000_0001));
    pub const MESSAGE: MessageId = MessageId::new(Uuid::from_u128(0x3e55_0000_0000_4000_8000_0000_0000_0001));
    pub const GROUP: GroupId = GroupId::new(Uuid::from_u128(0xdddd_dddd_0000_4000_8000_0000_0000_0001));
    pub const GROUP_SNAPSHOT: GroupSnapshotId =
        GroupSnapshotId::new(Uuid::from_u128(0xcccc_cccc_0000_4000_8000_0000_0000_0001));
    /// 2036-01-01
    pub const EXPIRES_AT: Timestamp = Timestamp::from_seconds(2_082_758_400);
    pub const CREATED_AT: Timestamp = Timestamp::from_seconds(1_767_225_600);

    pub fn project() -> ProjectId {
        ProjectId::literal("a1000000000000000000000000000001")
    }

    pub fn user() -> UserId {
        UserId::literal("c1000000000000000000000000000001")
    }
}

impl Default for VolumeDocument {
    fn default() -> Self {
        Self {
            id: defaults::VOLUME,
            name: Some("vol".to_owned()),
            description: None,
            metadata: Metadata::new(),
            size: 1,
            status: VolumeStatus::AVAILABLE,
            previous_status: None,
            host: Some("host1@lvm#pool".to_owned()),
            cluster_name: None,
            availability_zone: Some("nova".to_owned()),
            attach_status: "detached".to_owned(),
            migration_status: None,
            volume_type: Some(DEFAULT_TYPE.to_owned()),
            snapshot_id: None,
            source_volid: None,
            group_id: None,
            bootable: false,
            multiattach: false,
            admin_metadata: Metadata::new(),
            image_metadata: Metadata::new(),
            next_attachment: None,
            project_id: defaults::project(),
            user_id: Some(defaults::user()),
            created_at: defaults::CREATED_AT,
            updated_at: None,
            consumes_quota: true,
            pending: None,
            provisioning: None,
            new_size: None,
            restored_from: None,
        }
    }
}

impl Default for SnapshotDocument {
    fn default() -> Self {
        Self {
            id: defaults::SNAPSHOT,
            volume_id: defaults::VOLUME,
            size: 1,
            status: SnapshotStatus::Available,
            progress: Some("100%".to_owned()),
            name: Some("snap".to_owned()),
            description: Some("desc".to_owned()),
            metadata: Metadata::new(),
            project_id: defaults::project(),
            user_id: Some(defaults::user()),
            volume_type: Some(DEFAULT_TYPE.to_owned()),
            created_at: defaults::CREATED_AT,
            updated_at: None,
            group_snapshot_id: None,
            consumes_quota: true,
            deleted: false,
            pending: None,
            history: Vec::new(),
        }
    }
}

impl Default for AttachmentDocument {
    fn default() -> Self {
        Self {
            id: defaults::ATTACHMENT,
            volume_id: defaults::VOLUME,
            instance_uuid: Some(defaults::INSTANCE.to_owned()),
            attached_host: None,
            mountpoint: Some("/dev/vdb".to_owned()),
            attach_status: AttachStatus::Attached,
            attach_mode: "rw".to_owned(),
            attach_time: Some(defaults::CREATED_AT),
            detach_time: None,
            connector: None,
            connection_info: None,
            created_at: defaults::CREATED_AT,
            updated_at: None,
        }
    }
}

impl Default for BackupDocument {
    fn default() -> Self {
        Self {
            id: defaults::BACKUP,
            volume_id: defaults::VOLUME,
            snapshot_id: None,
            parent_id: None,
            name: Some("backup".to_owned()),
            description: Some("desc".to_owned()),
            status: BackupStatus::Available,
            size: Some(1),
            counted_size: None,
            container: None,
            host: Some("host1".to_owned()),
            availability_zone: Some("nova".to_owned()),
            object_count: Some(0),
            fail_reason: None,
            service: Some(DRIVER.to_owned()),
            num_dependent_backups: None,
            data_timestamp: Some(defaults::CREATED_AT),
            restore_volume_id: None,
            project_id: defaults::project(),
            user_id: Some(defaults::user()),
            metadata: Metadata::new(),
            encryption_key_id: None,
            created_at: defaults::CREATED_AT,
            updated_at: None,
            counts_as_dependent: None,
            pending: None,
            outcome: None,
        }
    }
}

impl From<OutcomeDocument> for Outcome {
    fn from(document: OutcomeDocument) -> Self {
        match document {
            OutcomeDocument::Made { host, availability_zone } => Self::Made(Placement { host, availability_zone }),
            OutcomeDocument::Imported {
                host,
                availability_zone,
                name,
                description,
                container,
                object_count,
                volume_id,
                snapshot_id,
                data_timestamp,
                metadata,
            } => Self::Imported(
                Placement { host, availability_zone },
                Box::new(BackupRecord {
                    name,
                    description,
                    container,
                    object_count,
                    volume_id,
                    snapshot_id,
                    data_timestamp,
                    metadata,
                }),
            ),
            OutcomeDocument::NotImported { reason } => Self::NotImported(reason),
            OutcomeDocument::Reset { status } => Self::Reset(status),
        }
    }
}

impl From<Outcome> for OutcomeDocument {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Made(Placement { host, availability_zone }) => Self::Made { host, availability_zone },
            Outcome::Imported(Placement { host, availability_zone }, record) => {
                let BackupRecord {
                    name,
                    description,
                    container,
                    object_count,
                    volume_id,
                    snapshot_id,
                    data_timestamp,
                    metadata,
                } = *record;
                Self::Imported {
                    host,
                    availability_zone,
                    name,
                    description,
                    container,
                    object_count,
                    volume_id,
                    snapshot_id,
                    data_timestamp,
                    metadata,
                }
            }
            Outcome::NotImported(reason) => Self::NotImported { reason },
            Outcome::Reset(status) => Self::Reset { status },
        }
    }
}

impl BackupDocument {
    fn into_backup(self, delays: &Delays, now: Timestamp) -> Backup {
        let is_made = self.parent_id.is_some() && self.status != BackupStatus::Creating;
        Backup {
            id: self.id,
            project_id: self.project_id,
            user_id: self.user_id,
            volume_id: self.volume_id,
            snapshot_id: self.snapshot_id,
            parent_id: self.parent_id,
            name: self.name,
            description: self.description,
            metadata: self.metadata,
            container: self.container,
            size: self.size,
            counted_size: self.counted_size.or(self.size).unwrap_or(0),
            object_count: self.object_count,
            status: self.status,
            fail_reason: self.fail_reason,
            host: self.host,
            availability_zone: self.availability_zone,
            service: self.service,
            data_timestamp: self.data_timestamp,
            restore_volume_id: self.restore_volume_id,
            encryption_key_id: self.encryption_key_id,
            created_at: self.created_at,
            updated_at: self.updated_at,
            pending: work(self.pending, self.status.completion(), delays, now),
            outcome: self.outcome.map(Into::into),
            dependents: Vec::new(),
            counts_as_dependent: self.counts_as_dependent.unwrap_or(is_made),
        }
    }

    fn of(backup: Backup, dependents: usize) -> Self {
        Self {
            id: backup.id,
            volume_id: backup.volume_id,
            snapshot_id: backup.snapshot_id,
            parent_id: backup.parent_id,
            name: backup.name,
            description: backup.description,
            status: backup.status,
            size: backup.size,
            counted_size: Some(backup.counted_size).filter(|counted| backup.size != Some(*counted)),
            container: backup.container,
            host: backup.host,
            availability_zone: backup.availability_zone,
            object_count: backup.object_count,
            fail_reason: backup.fail_reason,
            service: backup.service,
            num_dependent_backups: u64::try_from(dependents).ok(),
            data_timestamp: backup.data_timestamp,
            restore_volume_id: backup.restore_volume_id,
            project_id: backup.project_id,
            user_id: backup.user_id,
            metadata: backup.metadata,
            encryption_key_id: backup.encryption_key_id,
            created_at: backup.created_at,
            updated_at: backup.updated_at,
            counts_as_dependent: backup.parent_id.map(|_| backup.counts_as_dependent),
            pending: Some(backup.pending.map(|pending| ObjectOnly(pending.into()))),
            outcome: backup.outcome.map(Into::into),
        }
    }
}

/// Returns the backups of a document.
fn backups_of(
    documents: Vec<ObjectOnly<BackupDocument>>,
    delays: &Delays,
    now: Timestamp,
) -> Result<Vec<Backup>, Fault> {
    let mut backups: Vec<Backup> =
        documents.into_iter().map(|ObjectOnly(backup)| backup.into_backup(delays, now)).collect();
    refuse_repeated("backup", backups.iter().map(|backup| backup.id.as_uuid()).collect())?;
    chain(&mut backups)?;
    Ok(backups)
}

/// Lets backups name those that name them as their parents. Chains must end.
fn chain(backups: &mut [Backup]) -> Result<(), Fault> {
    let numbers = map_of(backups.iter().enumerate().map(|(number, backup)| (backup.id, number)));
    let parents: Vec<Option<usize>> =
        backups.iter().map(|backup| backup.parent_id.and_then(|parent| numbers.get(&parent).copied())).collect();
    let mut ends = vec![false; backups.len()];
    for first in 0..backups.len() {
        let (mut way, mut at) = (Vec::new(), Some(first));
        while let Some(number) = at.filter(|number| !ends[*number]) {
            way.push(number);
            if way.len() > backups.len() {
                let id = backups[first].id;
                return Err(Fault::bad_request(format!(
                    "The document cannot be used: the parents of backup {id} lead to no first one"
                )));
            }
            at = parents[number];
        }
        for number in way {
            ends[number] = true;
        }
    }
    for (number, parent) in parents.into_iter().enumerate() {
        let Some(parent) = parent else { continue };
        let Backup { id, created_at, pending, .. } = backups[number];
        let due = pending.filter(|pending| pending.completion == Completion::Create).map(|pending| pending.due);
        backups[parent].dependents.push(Dependent { id, named_at: created_at, due });
    }
    Ok(())
}

impl Default for MessageDocument {
    fn default() -> Self {
        let word = |word: &str| Some(word.to_owned());
        Self {
            id: defaults::MESSAGE,
            project_id: defaults::project(),
            request_id: word("req-12345678-0000-4000-8000-000000000001"),
            resource_type: word("VOLUME_SNAPSHOT"),
            resource_uuid: Some(defaults::SNAPSHOT.to_string()),
            event_id: "VOLUME_VOLUME_SNAPSHOT_006_014".to_owned(),
            action_id: word("006"),
            detail_id: word("014"),
            message_level: "ERROR".to_owned(),
            created_at: defaults::CREATED_AT,
            updated_at: None,
            expires_at: defaults::EXPIRES_AT,
        }
    }
}

impl Default for GroupDocument {
    fn default() -> Self {
        Self {
            id: defaults::GROUP,
            name: Some("group".to_owned()),
            description: Some("desc".to_owned()),
            status: GroupStatus::Available,
            group_type_id: GroupType::default().id,
            volume_types: vec![DEFAULT_TYPE.to_owned()],
            host: Some("host1@lvm#pool".to_owned()),
            next_host: None,
            availability_zone: Some("nova".to_owned()),
            group_snapshot_id: None,
            source_group_id: None,
            replication_status: None,
            project_id: defaults::project(),
            user_id: Some(defaults::user()),
            created_at: defaults::CREATED_AT,
            updated_at: None,
            added_volumes: Vec::new(),
            removed_volumes: Vec::new(),
            pending: None,
        }
    }
}

impl GroupDocument {
    fn of(group: Group, types: &VolumeTypes) -> Self {
        Self {
            id: group.id,
            name: group.name,
            description: group.description,
            status: group.status,
            group_type_id: group.group_type_id,
            volume_types: group.volume_types.iter().map(|id| types.name_or_id(*id)).collect(),
            host: group.host,
            next_host: group.next_host,
            availability_zone: group.availability_zone,
            group_snapshot_id: group.group_snapshot_id,
            source_group_id: group.source_group_id,
            replication_status: group.replication_status,
            project_id: group.project_id,
            user_id: group.user_id,
            created_at: group.created_at,
            updated_at: group.updated_at,
            added_volumes: group.added,
            removed_volumes: group.removed,
            pending: Some(group.pending.map(|pending| ObjectOnly(pending.into()))),
        }
    }

    fn into_group(self, types: &mut VolumeTypes, delays: &Delays, now: Timestamp) -> Group {
        let pending = work(self.pending, self.status.completion(), delays, now);
        Group {
            id: self.id,
            project_id: self.project_id,
            user_id: self.user_id,
            name: self.name,
            description: self.description,
            status: self.status,
            group_type_id: self.group_type_id,
            volume_types: self.volume_types.iter().map(|name| types.id_of(name)).collect(),
            host: self.host,
            next_host: self.next_host,
            availability_zone: self.availability_zone,
            group_snapshot_id: self.group_snapshot_id,
            source_group_id: self.source_group_id,
            replication_status: self.replication_status,
            created_at: self.created_at,
            updated_at: self.updated_at,
            pending,
            volumes: Vec::new(),
            added: self.added_volumes,
            removed: self.removed_volumes,
            copies: Vec::new(),
        }
    }
}

impl Default for GroupSnapshotDocument {
    fn default() -> Self {
        Self {
            id: defaults::GROUP_SNAPSHOT,
            group_id: defaults::GROUP,
            group_type_id: GroupType::default().id,
            name: Some("gsnap".to_owned()),
            description: Some("desc".to_owned()),
            status: GroupSnapshotStatus::Available,
            project_id: defaults::project(),
            user_id: Some(defaults::user()),
            created_at: defaults::CREATED_AT,
            updated_at: None,
            pending: None,
        }
    }
}

impl From<GroupSnapshot> for GroupSnapshotDocument {
    fn from(own: GroupSnapshot) -> Self {
        Self {
            id: own.id,
            group_id: own.group_id,
            group_type_id: own.group_type_id,
            name: own.name,
            description: own.description,
            status: own.status,
            project_id: own.project_id,
            user_id: own.user_id,
            created_at: own.created_at,
            updated_at: own.updated_at,
            pending: Some(own.pending.map(|pending| ObjectOnly(pending.into()))),
        }
    }
}

impl GroupSnapshotDocument {
    fn into_group_snapshot(self, delays: &Delays, now: Timestamp) -> GroupSnapshot {
        let pending = work(self.pending, self.status.completion(), delays, now);
        GroupSnapshot {
            id: self.id,
            project_id: self.project_id,
            user_id: self.user_id,
            group_id: self.group_id,
            group_type_id: self.group_type_id,
            name: self.name,
            description: self.description,
            status: self.status,
            created_at: self.created_at,
            updated_at: self.updated_at,
            pending,
            members: Vec::new(),
            copies: Vec::new(),
        }
    }
}

impl From<MessageDocument> for Message {
    fn from(message: MessageDocument) -> Self {
        Self {
            id: message.id,
            project_id: message.project_id,
            request_id: message.request_id,
            resource_type: message.resource_type,
            resource_uuid: message.resource_uuid,
            event_id: message.event_id,
            action_id: message.action_id,
            detail_id: message.detail_id,
            level: message.message_level,
            created_at: message.created_at,
            updated_at: message.updated_at,
            expires_at: message.expires_at,
        }
    }
}

impl From<Message> for MessageDocument {
    fn from(message: Message) -> Self {
        Self {
            id: message.id,
            project_id: message.project_id,
            request_id: message.request_id,
            resource_type: message.resource_type,
            resource_uuid: message.resource_uuid,
            event_id: message.event_id,
            action_id: message.action_id,
            detail_id: message.detail_id,
            message_level: message.level,
            created_at: message.created_at,
            updated_at: message.updated_at,
            expires_at: message.expires_at,
        }
    }
}

impl From<Pending> for PendingDocument {
    fn from(pending: Pending) -> Self {
        let Pending { completion, schedule, begun, due, gives_up, retries, request_id } = pending;
        Self { completion, schedule, begun: Some(begun), due, gives_up, retries: NonZeroU8::new(retries), request_id }
    }
}

impl PendingDocument {
    fn into_pending(self, now: Timestamp) -> Pending {
        let Self { completion, schedule, begun, due, gives_up, retries, request_id } = self;
        let begun = begun.unwrap_or_else(|| due.min(now));
        Pending { completion, schedule, begun, due, gives_up, retries: retries.map_or(0, NonZeroU8::get), request_id }
    }
}

/// Returns the work of a row: that of the document, or else the work that its status begins now.
fn work(
    written: Option<Option<ObjectOnly<PendingDocument>>>,
    completion: Option<Completion>,
    delays: &Delays,
    now: Timestamp,
) -> Option<Pending> {
    match written {
        Some(written) => written.map(|ObjectOnly(pending)| pending.into_pending(now)),
        None => completion.map(|completion| delays.begin(completion, now)),
    }
}

/// Returns the settings of a project that a field of the document names.
fn settings_of<'a>(state: &'a mut State, field: &str, project: &str) -> Result<&'a mut ProjectSettings, Fault> {
    let project: ProjectId = project.parse().map_err(|error| unusable(field, project, &error))?;
    Ok(state.settings_of(project))
}

/// Reads numbers by resource, each with `number`.
fn amounts(
    field: &str,
    project: &str,
    value: &Value,
    number: &dyn Fn(&Value) -> Option<i64>,
) -> Result<Amounts, Fault> {
    let mut amounts = Amounts::new();
    let resources = value.as_object().ok_or_else(|| unusable(field, project, &"is no object"))?;
    for (resource, value) in resources {
        let number = number(value).ok_or_else(|| unusable(field, project, &format!("{resource} cannot be {value}")))?;
        amounts.insert(resource.clone(), number);
    }
    Ok(amounts)
}

/// Reads an open counter. `reserved` follows from the extensions that are under way.
fn counter(value: &Value) -> Option<i64> {
    let counter = value.as_object()?;
    let is_known =
        counter.iter().all(|(name, value)| ["in_use", "reserved"].contains(&name.as_str()) && value.is_i64());
    counter.get("in_use").filter(|_| is_known)?.as_i64()
}

fn unusable(field: &str, project: &str, reason: &dyn fmt::Display) -> Fault {
    Fault::bad_request(format!("The document cannot be used: {field} of {project}: {reason}"))
}

/// Returns the JSON of a document that the state keeps as it is.
fn json_of(document: Map<String, Value>) -> String {
    Value::Object(document).to_string()
}

/// Gives volumes their attachments, the oldest first.
fn attach(documents: Vec<ObjectOnly<AttachmentDocument>>, volumes: &mut [Volume]) -> Result<(), Fault> {
    let numbers = map_of(volumes.iter().enumerate().map(|(number, volume)| (volume.id.as_uuid(), number)));
    for ObjectOnly(document) in documents {
        let AttachmentDocument { id, volume_id, created_at, .. } = document;
        let Some(number) = numbers.get(&volume_id.as_uuid()) else {
            let message = format!("The document cannot be used: attachment {id} is of no volume: {volume_id}");
            return Err(Fault::bad_request(message));
        };
        volumes[*number].attachments.push(Attachment {
            id,
            instance_uuid: document.instance_uuid,
            attached_host: document.attached_host,
            mountpoint: document.mountpoint,
            attach_status: document.attach_status,
            attach_mode: document.attach_mode,
            attached_at: document.attach_time,
            detached_at: document.detach_time,
            connector: document.connector.map(json_of),
            connection_info: document.connection_info.map(json_of),
            created_at,
            updated_at: document.updated_at,
        });
    }
    for volume in volumes.iter_mut() {
        volume.attachments.sort_unstable_by_key(|own| (own.created_at, own.id));
    }
    let slots = volumes.iter().flat_map(Volume::attachment_slots);
    refuse_repeated("attachment", slots.map(|slot| slot.id.as_uuid()).collect())
}

impl AttachmentDocument {
    fn of(volume_id: VolumeId, own: &Attachment) -> Self {
        let object = |json: &String| serde_json::from_str(json).unwrap_or_default();
        Self {
            id: own.id,
            volume_id,
            instance_uuid: own.instance_uuid.clone(),
            attached_host: own.attached_host.clone(),
            mountpoint: own.mountpoint.clone(),
            attach_status: own.attach_status,
            attach_mode: own.attach_mode.clone(),
            attach_time: own.attached_at,
            detach_time: own.detached_at,
            connector: own.connector.as_ref().map(object),
            connection_info: own.connection_info.as_ref().map(object),
            created_at: own.created_at,
            updated_at: own.updated_at,
        }
    }
}

/// Refuses two rows of a kind with the same id.
fn refuse_repeated(kind: &str, mut ids: Vec<Uuid>) -> Result<(), Fault> {
    ids.sort_unstable();
    match ids.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => {
            Err(Fault::bad_request(format!("The document cannot be used: two {kind}s have the id {}", pair[0])))
        }
        None => Ok(()),
    }
}

/// Refuses two messages, volumes, or snapshots with the same id.
fn refuse_repeated_rows(State { rows, .. }: &State) -> Result<(), Fault> {
    refuse_repeated("group", rows.groups.iter().map(|group| group.id.as_uuid()).collect())?;
    refuse_repeated("group snapshot", rows.group_snapshots.iter().map(|own| own.id.as_uuid()).collect())?;
    refuse_repeated("message", rows.messages.iter().map(|message| message.id.as_uuid()).collect())?;
    refuse_repeated("volume", rows.volumes.iter().map(|volume| volume.id.as_uuid()).collect())?;
    refuse_repeated("snapshot", rows.snapshots.iter().map(|snapshot| snapshot.id.as_uuid()).collect())
}

impl SnapshotDocument {
    fn into_snapshot(self, types: &mut VolumeTypes, delays: &Delays, now: Timestamp) -> Snapshot {
        let pending = work(self.pending, self.status.completion(), delays, now);
        Snapshot {
            id: self.id,
            project_id: self.project_id,
            user_id: self.user_id,
            volume_id: self.volume_id,
            volume_type_id: self.volume_type.map(|name| types.id_of(&name)),
            name: self.name,
            description: self.description,
            metadata: self.metadata,
            size: self.size,
            status: self.status,
            progress: self.progress,
            created_at: self.created_at,
            updated_at: self.updated_at,
            group_snapshot_id: self.group_snapshot_id,
            consumes_quota: self.consumes_quota,
            pending,
            history: {
                let past = self.history.into_iter();
                past.map(|(at, status, cause)| Transition { at, status, cause }).collect()
            },
        }
    }
}

/// Returns the types of a document, and the one that every deployment begins with.
fn types_of(documents: Vec<ObjectOnly<VolumeType>>) -> Result<VolumeTypes, Fault> {
    let mut types = VolumeTypes { types: Vec::new(), reserved: None };
    for ObjectOnly(own) in documents {
        if types.named(&own.name).is_some() || types.get(own.id).is_some() {
            let (id, name) = (own.id, &own.name);
            let message =
                format!("The document cannot be used: two volume types have the id {id} or the name '{name}'");
            return Err(Fault::bad_request(message));
        }
        types.add(own);
    }
    let seed = VolumeType::seed();
    if types.named(&seed.name).is_none() && types.get(seed.id).is_none() {
        types.add(seed);
    }
    Ok(types)
}

/// Returns the group types of a document, and the one that every deployment begins with.
fn group_types_of(documents: Vec<ObjectOnly<GroupType>>) -> Result<GroupTypes, Fault> {
    let mut types = GroupTypes { types: Vec::new(), reserved: None };
    let seed = GroupType::seed();
    let own = documents.into_iter().map(|ObjectOnly(own)| own);
    let mut own: Vec<GroupType> = own.collect();
    if !own.iter().any(|own| own.id == seed.id || own.name == seed.name) {
        own.push(seed);
    }
    for own in own {
        if types.named(&own.name).is_some() || types.get(own.id).is_some() {
            let (id, name) = (own.id, &own.name);
            let message = format!("The document cannot be used: two group types have the id {id} or the name '{name}'");
            return Err(Fault::bad_request(message));
        }
        types.add(own);
    }
    Ok(types)
}

/// Returns amounts by the resources of types in place of their names.
fn of_types(types: &mut VolumeTypes, amounts: Amounts) -> Amounts {
    amounts.into_iter().map(|(resource, amount)| (types.resource_of_document(&resource), amount)).collect()
}

impl StateDocument {
    /// Returns the reason why the document must not replace the state unless the operator insists, if there is one.
    #[must_use]
    pub fn lacks(&self) -> Option<String> {
        let ObjectOnly(first) = self.unreadable.first()?;
        let (key, count) = (&first.key, self.unreadable.len());
        Some(format!(
            "The document lacks values that could not be read when it was made: {count}, the first of them '{key}'. To \
             put it back would delete them. Add ?discard_unreadable=true to do so."
        ))
    }

    /// Returns the names of the fields whose rows are ignored, since this service has none of their resources.
    #[must_use]
    pub fn ignored(&self) -> Vec<&'static str> {
        let fields = [
            ("transfers", &self.transfers),
            ("qos_specs", &self.qos_specs),
            ("quota_classes", &self.quota_classes),
            ("default_types", &self.default_types),
        ];
        let has_rows = |rows: &Value| match rows {
            Value::Array(rows) => !rows.is_empty(),
            Value::Object(rows) => !rows.is_empty(),
            rows => !rows.is_null(),
        };
        fields.into_iter().filter(|(_, rows)| has_rows(rows)).map(|(name, _)| name).collect()
    }

    /// Returns the state of a document. Work without its own times begins at `now`.
    ///
    /// # Errors
    ///
    /// An invalid project, limit, or counter, or two rows with the same id.
    pub fn into_state(self, delays: &Delays, now: Timestamp) -> Result<State, Fault> {
        let mut state = State::default();
        let mut types = types_of(self.volume_types)?;
        for ObjectOnly(volume) in self.volumes {
            // No work ends the status `extending` without a new size, so only the time bound does.
            let completion = volume.status.completion().map(|completion| match (completion, volume.new_size) {
                (Completion::Extend, None) => Completion::None,
                (completion, _) => completion,
            });
            let pending = work(volume.pending, completion, delays, now);
            let begun = pending.map_or(now, |pending| pending.begun);
            let extension = volume.new_size.map(|to| Extension { from: volume.size, to, begun });
            state.rows.volumes.push(Volume {
                id: volume.id,
                project_id: volume.project_id,
                user_id: volume.user_id,
                name: volume.name,
                description: volume.description,
                metadata: volume.metadata,
                size: volume.size,
                status: volume.status,
                previous_status: volume.previous_status,
                host: volume.host,
                cluster_name: volume.cluster_name,
                availability_zone: volume.availability_zone,
                attach_status: volume.attach_status,
                migration_status: volume.migration_status,
                volume_type_id: volume.volume_type.map(|name| types.id_of(&name)),
                snapshot_id: volume.snapshot_id,
                source_volid: volume.source_volid,
                group_id: volume.group_id,
                bootable: volume.bootable,
                multiattach: volume.multiattach,
                admin_metadata: volume.admin_metadata,
                image_metadata: volume.image_metadata,
                attachments: Vec::new(),
                next_attachment: volume
                    .next_attachment
                    .map(|ObjectOnly(SlotDocument { id, created_at })| AttachmentSlot { id, created_at }),
                created_at: volume.created_at,
                updated_at: volume.updated_at,
                consumes_quota: volume.consumes_quota,
                pending,
                provisioning: volume
                    .provisioning
                    .map(|ObjectOnly(own)| Provisioning { host: own.host, image_metadata: own.image_metadata }),
                extension,
                restored_from: volume.restored_from,
            });
        }
        let snapshots = self.snapshots.into_iter().map(|ObjectOnly(snapshot)| snapshot);
        let snapshots = snapshots.filter(|snapshot| !snapshot.deleted);
        state.rows.snapshots = snapshots.map(|snapshot| snapshot.into_snapshot(&mut types, delays, now)).collect();
        attach(self.attachments, &mut state.rows.volumes)?;
        state.rows.messages = self.messages.into_iter().map(|ObjectOnly(message)| message.into()).collect();
        for ObjectOnly(group) in self.groups {
            state.rows.groups.push(group.into_group(&mut types, delays, now));
        }
        for ObjectOnly(own) in self.group_snapshots.into_iter().chain(self.group_snapshot) {
            state.rows.group_snapshots.push(own.into_group_snapshot(delays, now));
        }
        state.group_types = group_types_of(self.group_types)?;
        state.rows.backups = backups_of(self.backups, delays, now)?;
        refuse_repeated_rows(&state)?;
        for (project, quotas) in &self.project_quotas {
            let limits = amounts("project_quotas", project, quotas, &Value::as_i64)?;
            settings_of(&mut state, "project_quotas", project)?.quotas = of_types(&mut types, limits);
        }
        for (project, usage) in &self.quota_usage {
            let counters = amounts("quota_usage", project, usage, &counter)?;
            settings_of(&mut state, "quota_usage", project)?.usage = of_types(&mut types, counters);
        }
        if !self.quota_usage_in_use.is_empty() {
            let project = defaults::project().to_string();
            let counters = of_types(&mut types, self.quota_usage_in_use.clone());
            settings_of(&mut state, "quota_usage_in_use", &project)?.usage.extend(counters);
        }
        state.deployment = Deployment {
            quotas: of_types(&mut types, self.quotas),
            services: self.services.into_iter().map(|ObjectOnly(service)| service.into()).collect(),
            resource_filters: self.resource_filters,
            no_snapshot_gb_quota: self.config.0.no_snapshot_gb_quota,
            osapi_max_limit: self.config.0.osapi_max_limit,
            imports: BTreeMap::new(),
        };
        state.volume_types = types;
        Ok(state)
    }
}

impl From<ServiceDocument> for BackendService {
    fn from(document: ServiceDocument) -> Self {
        let ServiceDocument {
            host,
            binary,
            disabled,
            disabled_reason,
            frozen,
            availability_zone,
            up,
            updated_at,
            absent,
        } = document;
        Self { host, binary, disabled, disabled_reason, frozen, availability_zone, up, updated_at, absent }
    }
}

/// The size, in bytes, from which a piece of a document is full.
const PIECE: usize = 1 << 20;

/// Returns the whole state as a document, in pieces. It is written row by row while the state is read, since it may be far
/// larger than anything else in memory.
///
/// # Errors
///
/// Errors of the store.
pub fn state_document(mut reader: StateReader<'_>) -> Result<AnswerBody, StoreError> {
    let (mut bytes, mut pieces) = (Vec::new(), Vec::new());
    let types = reader.volume_types.clone();
    let mut document = ObjectWriter::open(&mut bytes);
    let mut volumes = RowsWriter::open(document.field("volumes"), &mut pieces);
    let (mut of_volumes, mut pieces_of_attachments) = (Vec::new(), Vec::new());
    let mut attachments = RowsWriter::open(&mut of_volumes, &mut pieces_of_attachments);
    reader.each(|volume: Volume| {
        for attachment in &volume.attachments {
            attachments.write(&AttachmentDocument::of(volume.id, attachment));
        }
        volumes.write(&VolumeDocument::of(volume, &types));
    })?;
    volumes.close();
    attachments.close();
    // Their rows have nothing that their volumes lack.
    reader.each(|_: AttachmentPointer| {})?;
    let mut snapshots = RowsWriter::open(document.field("snapshots"), &mut pieces);
    reader.each(|snapshot: Snapshot| snapshots.write(&SnapshotDocument::of(snapshot, &types)))?;
    snapshots.close();
    if of_volumes != b"[]" {
        let bytes = document.field("attachments");
        if !pieces_of_attachments.is_empty() {
            pieces.push(std::mem::take(bytes));
            pieces.append(&mut pieces_of_attachments);
        }
        bytes.append(&mut of_volumes);
    }
    let mut messages = RowsWriter::open(document.field("messages"), &mut pieces);
    reader.each(|message: Message| messages.write(&MessageDocument::from(message)))?;
    messages.close();
    let dependents = reader.dependents()?;
    let mut backups = RowsWriter::open(document.field("backups"), &mut pieces);
    reader.each(|backup: Backup| {
        let own = dependents.get(&backup.id).copied().unwrap_or(0);
        backups.write(&BackupDocument::of(backup, own));
    })?;
    backups.close();
    let mut groups = RowsWriter::open(document.field("groups"), &mut pieces);
    reader.each(|group: Group| groups.write(&GroupDocument::of(group, &types)))?;
    groups.close();
    let mut group_snapshots = RowsWriter::open(document.field("group_snapshots"), &mut pieces);
    reader.each(|own: GroupSnapshot| group_snapshots.write(&GroupSnapshotDocument::from(own)))?;
    group_snapshots.close();
    document.value("group_types", &reader.group_types.types);
    let StateSettings { deployment, projects, unreadable } = reader.settings()?;
    document.value("volume_types", &types.types);
    document.value("quotas", &limits_by_name(&deployment.quotas, &types));
    document.value("services", &deployment.services.into_iter().map(ServiceDocument::from).collect::<Vec<_>>());
    if let Some(filters) = deployment.resource_filters {
        document.value("resource_filters", &filters);
    }
    let Deployment { no_snapshot_gb_quota, osapi_max_limit, .. } = deployment;
    document.value("config", &Config { no_snapshot_gb_quota, osapi_max_limit });
    document.value("quota_usage", &ByProject { projects: &projects, of: &|own| counters_by_name(own, &types) });
    document
        .value("project_quotas", &ByProject { projects: &projects, of: &|own| limits_by_name(&own.quotas, &types) });
    if !unreadable.is_empty() {
        document.value("unreadable", &unreadable.into_iter().map(UnreadableDocument::from).collect::<Vec<_>>());
    }
    document.close();
    pieces.push(bytes);
    Ok(AnswerBody::InPieces(pieces))
}

/// An array of rows that is being written. Full pieces are put away.
struct RowsWriter<'a> {
    bytes: &'a mut Vec<u8>,
    pieces: &'a mut Vec<Vec<u8>>,
    is_empty: bool,
}

impl<'a> RowsWriter<'a> {
    fn open(bytes: &'a mut Vec<u8>, pieces: &'a mut Vec<Vec<u8>>) -> Self {
        bytes.push(b'[');
        Self { bytes, pieces, is_empty: true }
    }

    /// Writes a row. Our rows can always be written.
    fn write(&mut self, row: &impl Serialize) {
        if !std::mem::take(&mut self.is_empty) {
            self.bytes.push(b',');
        }
        if self.bytes.len() >= PIECE {
            let mut piece = std::mem::take(self.bytes);
            piece.shrink_to_fit();
            self.pieces.push(piece);
        }
        let _ = serde_json::to_writer(&mut *self.bytes, row);
    }

    fn close(self) {
        self.bytes.push(b']');
    }
}

/// The amounts of each project that has some.
struct ByProject<'a, T> {
    projects: &'a BTreeMap<ProjectId, ProjectSettings>,
    /// Returns the amounts of a project, by the names of their resources.
    of: &'a dyn Fn(&ProjectSettings) -> BTreeMap<String, T>,
}

impl<T: Serialize> Serialize for ByProject<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let amounts = self.projects.iter().map(|(project, settings)| (project.as_str(), (self.of)(settings)));
        serializer.collect_map(amounts.filter(|(_, amounts)| !amounts.is_empty()))
    }
}

/// An open counter.
#[derive(Serialize)]
struct Counter {
    in_use: i64,
    reserved: i64,
}

/// Returns whether a resource is of a type that was deleted. It stays in the records, but means nothing.
fn is_left(resource: &str, types: &VolumeTypes) -> bool {
    quota::type_of(resource).is_some_and(|(_, id)| types.get(id).is_none())
}

fn counters_by_name(settings: &ProjectSettings, types: &VolumeTypes) -> BTreeMap<String, Counter> {
    let open = settings.usage.iter().filter(|(resource, in_use)| **in_use != 0 || !is_left(resource, types));
    let reserved = |resource: &String| settings.reserved.get(resource).copied().unwrap_or(0);
    map_of(open.map(|(resource, in_use)| {
        (types.resource_name(resource), Counter { in_use: *in_use, reserved: reserved(resource) })
    }))
}

fn limits_by_name(limits: &Amounts, types: &VolumeTypes) -> Amounts {
    let limits = limits.iter().filter(|(resource, _)| !is_left(resource, types));
    map_of(limits.map(|(resource, limit)| (types.resource_name(resource), *limit)))
}

impl VolumeDocument {
    fn of(volume: Volume, types: &VolumeTypes) -> Self {
        Self {
            id: volume.id,
            name: volume.name,
            description: volume.description,
            metadata: volume.metadata,
            size: volume.size,
            status: volume.status,
            previous_status: volume.previous_status,
            host: volume.host,
            cluster_name: volume.cluster_name,
            availability_zone: volume.availability_zone,
            attach_status: volume.attach_status,
            migration_status: volume.migration_status,
            volume_type: volume.volume_type_id.map(|id| types.name_or_id(id)),
            snapshot_id: volume.snapshot_id,
            source_volid: volume.source_volid,
            group_id: volume.group_id,
            bootable: volume.bootable,
            multiattach: volume.multiattach,
            admin_metadata: volume.admin_metadata,
            image_metadata: volume.image_metadata,
            next_attachment: volume
                .next_attachment
                .map(|AttachmentSlot { id, created_at }| ObjectOnly(SlotDocument { id, created_at })),
            project_id: volume.project_id,
            user_id: volume.user_id,
            created_at: volume.created_at,
            updated_at: volume.updated_at,
            consumes_quota: volume.consumes_quota,
            pending: Some(volume.pending.map(|pending| ObjectOnly(pending.into()))),
            provisioning: volume
                .provisioning
                .map(|Provisioning { host, image_metadata }| ObjectOnly(ProvisioningDocument { host, image_metadata })),
            new_size: volume.extension.map(|extension| extension.to),
            restored_from: volume.restored_from,
        }
    }
}

impl SnapshotDocument {
    fn of(snapshot: Snapshot, types: &VolumeTypes) -> Self {
        Self {
            id: snapshot.id,
            volume_id: snapshot.volume_id,
            size: snapshot.size,
            status: snapshot.status,
            progress: snapshot.progress,
            name: snapshot.name,
            description: snapshot.description,
            metadata: snapshot.metadata,
            project_id: snapshot.project_id,
            user_id: snapshot.user_id,
            volume_type: snapshot.volume_type_id.map(|id| types.name_or_id(id)),
            created_at: snapshot.created_at,
            updated_at: snapshot.updated_at,
            group_snapshot_id: snapshot.group_snapshot_id,
            consumes_quota: snapshot.consumes_quota,
            deleted: false,
            pending: Some(snapshot.pending.map(|pending| ObjectOnly(pending.into()))),
            history: snapshot.history.iter().map(|past| (past.at, past.status, past.cause)).collect(),
        }
    }
}
