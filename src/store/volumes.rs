//! The row of a volume: its layout in bytes, the facts that the store needs, and the read together with the deployment.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::lifecycle::Occasion;
use crate::domain::message::Event;
use crate::domain::quota::Counted;
use crate::domain::{
    Extension, Pending, ProjectId, Provisioning, Timestamp, UserId, Volume, VolumeId, VolumeStatus, VolumeTypeId,
};
use crate::domain::{attachment, metadata};

use super::Store;
use super::attachments::{StoredAttachment, StoredSlot};
use super::codec::envelope::{Stored, decode_optional};
use super::codec::metadata::{metadata, owned, pairs, parse};
use super::codec::pending::StoredPending;
use super::codec::rows;
use super::deployment::Deployment;
use super::key_value::StoreError;
use super::keys;
use super::row::{Kind, Row, Rows};
use super::rows::decode_row;

impl Row for Volume {
    type Id = VolumeId;
    const KIND: Kind = Kind::Volume;
    const KEY_PREFIX: &'static str = "vs1:volume:";
    const COUNTED: Option<Counted> = Some(Counted::Volumes);
    const ALWAYS_COUNTS_GIGABYTES: bool = true;

    fn list(rows: &Rows) -> &Vec<Self> {
        &rows.volumes
    }

    fn list_mut(rows: &mut Rows) -> &mut Vec<Self> {
        &mut rows.volumes
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

    /// A project counts the size from before an extension until the extension is settled.
    fn size(&self) -> u32 {
        self.extension.map_or(self.size, |extension| extension.from)
    }

    fn volume_type_id(&self) -> Option<VolumeTypeId> {
        self.volume_type_id
    }

    fn is_large(&self) -> bool {
        self.metadata_size() > metadata::LARGE || attachment::size(&self.attachments) > attachment::LARGE
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

    fn extension(&self) -> Option<Extension> {
        self.extension
    }

    fn with_extension_settled(self) -> Self {
        self.with_extension_settled()
    }

    fn effective(self, now: Timestamp, occasion: Occasion) -> Option<Self> {
        self.effective(now, occasion)
    }
}

/// The stored form of a [`Volume`]. The order of the fields is the format.
#[derive(Debug, Serialize, Deserialize)]
struct StoredVolume<'a> {
    id: Uuid,
    project: &'a str,
    user: Option<&'a str>,
    name: Option<&'a str>,
    description: Option<&'a str>,
    size: u32,
    status: &'a str,
    host: Option<&'a str>,
    cluster: Option<&'a str>,
    zone: Option<&'a str>,
    attach_status: &'a str,
    migration: Option<&'a str>,
    volume_type: Option<Uuid>,
    snapshot: Option<Uuid>,
    group: Option<Uuid>,
    bootable: bool,
    multiattach: bool,
    created: i64,
    updated: Option<i64>,
    uncounted: bool,
    pending: Option<StoredPending<'a>>,
    metadata: Vec<(&'a str, &'a str)>,
    previous_status: Option<&'a str>,
    source: Option<Uuid>,
    admin_metadata: Vec<(&'a str, &'a str)>,
    image_metadata: Vec<(&'a str, &'a str)>,
    #[serde(borrow)]
    attachments: Vec<StoredAttachment<'a>>,
    next_attachment: Option<StoredSlot>,
    /// The host and the metadata of the image.
    #[serde(borrow)]
    provisioning: Option<(&'a str, Vec<(&'a str, &'a str)>)>,
    /// The size before, the size after, and the time of the request.
    extension: Option<(u32, u32, i64)>,
    restored_from: Option<Uuid>,
}

impl Stored for Volume {
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        rows::write(&StoredVolume::from(self), bytes)
    }

    fn read(_version: u32, bytes: &[u8]) -> Result<Self, String> {
        rows::read::<StoredVolume<'_>>(bytes)?.try_into()
    }
}

impl<'a> From<&'a Volume> for StoredVolume<'a> {
    fn from(volume: &'a Volume) -> Self {
        Self {
            id: volume.id.as_uuid(),
            project: volume.project_id.as_str(),
            user: volume.user_id.as_ref().map(UserId::as_str),
            name: volume.name.as_deref(),
            description: volume.description.as_deref(),
            size: volume.size,
            status: volume.status.as_str(),
            host: volume.host.as_deref(),
            cluster: volume.cluster_name.as_deref(),
            zone: volume.availability_zone.as_deref(),
            attach_status: &volume.attach_status,
            migration: volume.migration_status.as_deref(),
            volume_type: volume.volume_type_id.map(Into::into),
            snapshot: volume.snapshot_id.map(Into::into),
            group: volume.group_id.map(Into::into),
            bootable: volume.bootable,
            multiattach: volume.multiattach,
            created: volume.created_at.microseconds(),
            updated: volume.updated_at.map(Timestamp::microseconds),
            uncounted: !volume.consumes_quota,
            pending: volume.pending.map(Into::into),
            metadata: pairs(&volume.metadata),
            previous_status: volume.previous_status.as_ref().map(VolumeStatus::as_str),
            source: volume.source_volid.map(Into::into),
            admin_metadata: pairs(&volume.admin_metadata),
            image_metadata: pairs(&volume.image_metadata),
            attachments: volume.attachments.iter().map(Into::into).collect(),
            next_attachment: volume.next_attachment.map(Into::into),
            provisioning: volume.provisioning.as_ref().map(|own| (own.host.as_str(), pairs(&own.image_metadata))),
            extension: volume.extension.map(|Extension { from, to, begun }| (from, to, begun.microseconds())),
            restored_from: volume.restored_from.map(Into::into),
        }
    }
}

impl TryFrom<StoredVolume<'_>> for Volume {
    type Error = String;

    fn try_from(stored: StoredVolume<'_>) -> Result<Self, String> {
        let project_id = parse(stored.project)?;
        let user_id = stored.user.map(parse).transpose()?;
        let pending = stored.pending.map(TryInto::try_into).transpose()?;
        let attachments = stored.attachments.iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
        Ok(Self {
            id: stored.id.into(),
            project_id,
            user_id,
            name: owned(stored.name),
            description: owned(stored.description),
            metadata: metadata(&stored.metadata),
            size: stored.size,
            status: VolumeStatus::new(stored.status.to_owned()),
            previous_status: owned(stored.previous_status).map(VolumeStatus::new),
            host: owned(stored.host),
            cluster_name: owned(stored.cluster),
            availability_zone: owned(stored.zone),
            attach_status: stored.attach_status.to_owned(),
            migration_status: owned(stored.migration),
            volume_type_id: stored.volume_type.map(Into::into),
            snapshot_id: stored.snapshot.map(Into::into),
            source_volid: stored.source.map(Into::into),
            group_id: stored.group.map(Into::into),
            bootable: stored.bootable,
            multiattach: stored.multiattach,
            admin_metadata: metadata(&stored.admin_metadata),
            image_metadata: metadata(&stored.image_metadata),
            attachments,
            next_attachment: stored.next_attachment.map(Into::into),
            created_at: Timestamp::from_microseconds(stored.created),
            updated_at: stored.updated.map(Timestamp::from_microseconds),
            consumes_quota: !stored.uncounted,
            pending,
            provisioning: stored.provisioning.map(|(host, image_metadata)| Provisioning {
                host: host.to_owned(),
                image_metadata: metadata(&image_metadata),
            }),
            extension: stored.extension.map(|(from, to, begun)| Extension {
                from,
                to,
                begun: Timestamp::from_microseconds(begun),
            }),
            restored_from: stored.restored_from.map(Into::into),
        })
    }
}

impl Store<'_> {
    /// Returns a volume and the deployment, in one call. The inner error is of the volume alone.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn volume_and_deployment(
        &self,
        id: VolumeId,
    ) -> Result<(Result<Option<Volume>, StoreError>, Deployment), StoreError> {
        let keys = [keys::row(Volume::KIND, id.as_uuid()), keys::DEPLOYMENT.to_owned()];
        let mut values = self.key_value.get_many(&keys)?.into_iter();
        let volume = decode_row(&keys[0], id.as_uuid(), values.next().flatten());
        let deployment = decode_optional::<Deployment>(&keys[1], values.next().flatten())?;
        Ok((volume, deployment.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AttachStatus, Attachment, AttachmentId, AttachmentSlot, BackupId, GroupId, SnapshotId};

    /// These are the bytes of format version 1. Other bytes would need another version.
    #[test]
    fn a_row_has_the_bytes_that_it_always_had() {
        let some = |string: &str| Some(string.to_owned());
        let full = Volume {
            id: VolumeId::new(uuid::Uuid::from_u128(1)),
            project_id: "a1".parse().expect("a project id"),
            user_id: None,
            name: some("n"),
            description: some(""),
            metadata: [("k".to_owned(), "v".to_owned())].into_iter().collect(),
            size: 258,
            status: VolumeStatus::IN_USE,
            previous_status: some("a").map(VolumeStatus::new),
            host: some("h@b#p"),
            cluster_name: None,
            availability_zone: some("nova"),
            attach_status: "attached".to_owned(),
            migration_status: None,
            volume_type_id: Some(VolumeTypeId::new(uuid::Uuid::from_u128(4))),
            snapshot_id: Some(SnapshotId::new(uuid::Uuid::from_u128(2))),
            source_volid: Some(VolumeId::new(uuid::Uuid::from_u128(3))),
            group_id: Some(GroupId::new(uuid::Uuid::from_u128(6))),
            bootable: true,
            multiattach: false,
            admin_metadata: [("a".to_owned(), "m".to_owned())].into_iter().collect(),
            image_metadata: [("i".to_owned(), "m".to_owned())].into_iter().collect(),
            attachments: vec![Attachment {
                id: AttachmentId::new(uuid::Uuid::from_u128(4)),
                instance_uuid: some("s"),
                attached_host: None,
                mountpoint: some("/d"),
                attach_status: AttachStatus::Attached,
                attach_mode: "rw".to_owned(),
                attached_at: Some(Timestamp::from_microseconds(1)),
                detached_at: None,
                connector: some("{}"),
                connection_info: None,
                created_at: Timestamp::from_microseconds(2),
                updated_at: None,
            }],
            next_attachment: Some(AttachmentSlot {
                id: AttachmentId::new(uuid::Uuid::from_u128(5)),
                created_at: Timestamp::from_microseconds(1),
            }),
            created_at: Timestamp::from_microseconds(3),
            updated_at: None,
            consumes_quota: true,
            pending: None,
            provisioning: Some(Provisioning {
                host: "h".to_owned(),
                image_metadata: [("p".to_owned(), "m".to_owned())].into_iter().collect(),
            }),
            extension: Some(Extension { from: 258, to: 259, begun: Timestamp::from_microseconds(4) }),
            restored_from: Some(BackupId::new(uuid::Uuid::from_u128(6))),
        };
        let mut bytes = Vec::new();
        full.write(&mut bytes).expect("writes");
        let expected = [
            b"\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x02a1\0\x01\x01n\x01\0\x82\x02".as_slice(),
            b"\x06in-use\x01\x05h@b#p\0\x01\x04nova\x08attached\0\x01\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x04",
            b"\x01\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02",
            b"\x01\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x06\x01\0\x06\0\0\0",
            b"\x01\x01k\x01v\x01\x01a",
            b"\x01\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x03\x01\x01a\x01m\x01\x01i\x01m",
            b"\x01\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x04\x04\0\x01\x01s\0\x01\x02/d\x08attached\x02rw\x01\x02\0\x01\x02{}\0",
            b"\x01\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05\x02",
            b"\x01\x01h\x01\x01p\x01m",
            b"\x01\x82\x02\x83\x02\x08",
            b"\x01\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x06",
        ];
        assert_eq!(bytes, expected.concat(), "{}", bytes.escape_ascii());
        assert_eq!(Volume::read(1, &bytes), Ok(full));
    }
}
