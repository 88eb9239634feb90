//! Volumes, which snapshots are taken of: a small catalogue, with the rules that concern snapshots
//! (`docs/spec/lifecycle.md` sections 3 and 8, `docs/spec/beyond.md` section 2).

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::fmt::Hyphenated;

use super::backup::SOURCE_BACKUP;
use super::identifiers::uuid_identifier;
use super::lifecycle::{Completion, Ending, Occasion, Pending};
use super::message::Event;
use super::{
    Attachment, AttachmentSlot, BackupId, GroupId, Metadata, ProjectId, SnapshotId, Timestamp, UserId, VolumeTypeId,
    metadata,
};

uuid_identifier!(
    /// The id of a volume.
    VolumeId
);

/// The status of a volume. Drivers and agents add their own words (`replica_...`), so the set is open. The constants
/// are the statuses that have a meaning in this service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VolumeStatus(Cow<'static, str>);

impl VolumeStatus {
    pub const ATTACHING: Self = Self(Cow::Borrowed("attaching"));
    pub const AVAILABLE: Self = Self(Cow::Borrowed("available"));
    pub const BACKING_UP: Self = Self(Cow::Borrowed("backing-up"));
    pub const CREATING: Self = Self(Cow::Borrowed("creating"));
    pub const DELETING: Self = Self(Cow::Borrowed("deleting"));
    pub const DETACHING: Self = Self(Cow::Borrowed("detaching"));
    pub const ERROR: Self = Self(Cow::Borrowed("error"));
    pub const ERROR_BACKING_UP: Self = Self(Cow::Borrowed("error_backing-up"));
    pub const ERROR_DELETING: Self = Self(Cow::Borrowed("error_deleting"));
    pub const ERROR_RESTORING: Self = Self(Cow::Borrowed("error_restoring"));
    pub const ERROR_EXTENDING: Self = Self(Cow::Borrowed("error_extending"));
    pub const ERROR_MANAGING: Self = Self(Cow::Borrowed("error_managing"));
    pub const IN_USE: Self = Self(Cow::Borrowed("in-use"));
    pub const EXTENDING: Self = Self(Cow::Borrowed("extending"));
    pub const MAINTENANCE: Self = Self(Cow::Borrowed("maintenance"));
    pub const RESERVED: Self = Self(Cow::Borrowed("reserved"));
    pub const RESTORING_BACKUP: Self = Self(Cow::Borrowed("restoring-backup"));
    pub const REVERTING: Self = Self(Cow::Borrowed("reverting"));

    /// Creates a status from its word.
    #[must_use]
    pub const fn new(word: String) -> Self {
        Self(Cow::Owned(word))
    }

    /// Returns the word of the API.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns how a backend's work ends this status, or `None` for a status that stays.
    #[must_use]
    pub fn completion(&self) -> Option<Completion> {
        match self.as_str() {
            "creating" => Some(Completion::Create),
            "deleting" => Some(Completion::Remove),
            "reverting" | "backing-up" | "restoring-backup" => Some(Completion::Release),
            "extending" => Some(Completion::Extend),
            _ => None,
        }
    }
}

impl FromStr for VolumeStatus {
    type Err = Infallible;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Ok(Self::new(word.to_owned()))
    }
}

impl fmt::Display for VolumeStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// An extension of a volume, from its request until the project counts the new size (`docs/adr/0024-extend.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extension {
    /// The size in GiB that the project counts.
    pub from: u32,
    /// The size in GiB that the volume has once the work has ended well.
    pub to: u32,
    /// The time of the request, which tells extensions of one volume apart.
    pub begun: Timestamp,
}

/// The fields of a volume that come with the end of its creation, as from a scheduler and a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provisioning {
    pub host: String,
    /// The metadata of the image on the volume that it is cloned from.
    pub image_metadata: Metadata,
}

/// A volume, as its row has it. Every reader calls [`Volume::effective`] first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    pub id: VolumeId,
    pub project_id: ProjectId,
    pub user_id: Option<UserId>,
    pub name: Option<String>,
    pub description: Option<String>,
    pub metadata: Metadata,
    /// In GiB.
    pub size: u32,
    pub status: VolumeStatus,
    /// The status to which work under way, such as an extension, returns the volume.
    pub previous_status: Option<VolumeStatus>,
    /// `host@backend#pool`; `None` until a scheduler has placed the volume.
    pub host: Option<String>,
    pub cluster_name: Option<String>,
    pub availability_zone: Option<String>,
    pub attach_status: String,
    pub migration_status: Option<String>,
    pub volume_type_id: Option<VolumeTypeId>,
    /// The snapshot that it was created from.
    pub snapshot_id: Option<SnapshotId>,
    /// The volume that it was cloned from.
    pub source_volid: Option<VolumeId>,
    pub group_id: Option<GroupId>,
    pub bootable: bool,
    pub multiattach: bool,
    /// Cinder's `volume_admin_metadata`. The metadata of a view shows its keys `readonly` and `attached_mode`.
    pub admin_metadata: Metadata,
    /// Cinder's `volume_glance_metadata`, which describes the image on the volume.
    pub image_metadata: Metadata,
    /// The oldest first.
    pub attachments: Vec<Attachment>,
    /// The slot that `os-reserve` has listed for the attachment that `os-attach` makes.
    pub next_attachment: Option<AttachmentSlot>,
    pub created_at: Timestamp,
    pub updated_at: Option<Timestamp>,
    pub consumes_quota: bool,
    pub pending: Option<Pending>,
    /// The fields that come with the end of its creation.
    pub provisioning: Option<Provisioning>,
    /// The extension that is under way, or that has ended and is not settled with the project's quota.
    pub extension: Option<Extension>,
    /// The backup that is restored to it, if it is to name that backup in its metadata once the work has ended well.
    pub restored_from: Option<BackupId>,
}

/// The reason why a snapshot of a volume cannot be created now (`docs/spec/snapshots-api.md` section 3). The messages
/// are Cinder's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSnapshottable {
    #[error("volume is not assigned to a host")]
    NoHost,
    #[error("The snapshot cannot be created because volume has not been scheduled to any host.")]
    NotScheduled,
    #[error("The snapshot cannot be created when the volume is in maintenance mode.")]
    Maintenance,
    #[error("Snapshot cannot be created while volume is migrating.")]
    Migrating,
    #[error("The snapshot cannot be created when the volume is in error status.")]
    InError,
    #[error("Snapshot of secondary replica is not allowed.")]
    SecondaryReplica,
    #[error("Volume {id} status must be {accepted}{gap}, but current status is: {status}.")]
    WrongStatus {
        id: VolumeId,
        accepted: &'static str,
        /// Empty, or the space that Cinder writes before the comma if the status changed during the call.
        gap: &'static str,
        status: VolumeStatus,
    },
}

impl Volume {
    /// Returns the volume as it is at `now`, with all changes that are due, or `None` if its removal is due.
    #[must_use]
    pub fn effective(mut self, now: Timestamp, occasion: Occasion) -> Option<Self> {
        while let Some((pending, ending)) =
            self.pending.and_then(|pending| Some((pending, pending.ending(now, occasion)?)))
        {
            match ending {
                Ending::Completed(Completion::Remove, _) => return None,
                Ending::Completed(Completion::Extend, at) => {
                    self.size = self.extension.map_or(self.size, |extension| extension.to);
                    self.enter(self.status_after_extension(), None, at);
                }
                Ending::Completed(Completion::Fail, at) if self.status == VolumeStatus::EXTENDING => {
                    let status = self.previous_status.take().unwrap_or(VolumeStatus::AVAILABLE);
                    self.enter(status, None, at);
                }
                Ending::Completed(Completion::Fail, at) => self.enter(VolumeStatus::ERROR, None, at),
                Ending::Completed(_, at) if self.status == VolumeStatus::BACKING_UP => {
                    self.end_backup(VolumeStatus::BACKING_UP, at);
                }
                Ending::Completed(_, at) => {
                    if let Some(backup) = self.restored_from.take() {
                        self.metadata.insert(SOURCE_BACKUP.to_owned(), backup.to_string());
                    }
                    self.enter(VolumeStatus::AVAILABLE, None, at);
                }
                Ending::Retried(again) => self.enter(self.status.clone(), Some(again), pending.gives_up),
                Ending::GivenUp(at) if self.status == VolumeStatus::DELETING => {
                    self.enter(VolumeStatus::ERROR_DELETING, None, at);
                }
                Ending::GivenUp(at) if self.status == VolumeStatus::EXTENDING => {
                    self.enter(VolumeStatus::ERROR_EXTENDING, None, at);
                }
                Ending::GivenUp(at) if self.status == VolumeStatus::BACKING_UP => {
                    self.end_backup(VolumeStatus::ERROR_BACKING_UP, at);
                }
                Ending::GivenUp(at) if self.is_restored() => self.enter(VolumeStatus::ERROR_RESTORING, None, at),
                Ending::GivenUp(at) => self.enter(VolumeStatus::ERROR, None, at),
            }
        }
        Some(self)
    }

    /// Returns the failure of the work under way that a user message tells of. Cinder has none for a deletion or a revert.
    #[must_use]
    pub fn failure(&self) -> Option<Event> {
        match (self.status.as_str(), self.pending?.completion) {
            ("creating", Completion::Fail) => Some(Event::VOLUME_SCHEDULE),
            // The backup tells of it.
            ("creating", Completion::Create) if self.restored_from.is_some() => None,
            ("creating", Completion::Create) => Some(Event::VOLUME_CREATE),
            ("extending", Completion::Fail) => Some(Event::EXTEND_SCHEDULE),
            ("extending", Completion::Extend) => Some(Event::EXTEND),
            _ => None,
        }
    }

    /// Changes the status at `now`, and starts the work of the new status.
    pub fn enter(&mut self, status: VolumeStatus, pending: Option<Pending>, now: Timestamp) {
        if pending.is_none_or(|pending| pending.completion != Completion::Create)
            && let Some(Provisioning { host, image_metadata }) = self.provisioning.take()
        {
            self.host.get_or_insert(host);
            self.image_metadata.extend(image_metadata);
        }
        if pending.is_none() {
            self.restored_from = None;
        }
        self.status = status;
        self.pending = pending;
        self.updated_at = Some(now);
    }

    /// Returns the volume to the status from before its backup.
    fn end_backup(&mut self, left: VolumeStatus, at: Timestamp) {
        let is_final =
            |status: &VolumeStatus| status.completion().is_none() && *status != VolumeStatus::ERROR_BACKING_UP;
        let status = self.previous_status.replace(left).filter(is_final);
        self.enter(status.unwrap_or_else(|| self.status_after_extension()), None, at);
    }

    /// Returns whether a backup is being restored to the volume, so that its data is lost if that fails.
    fn is_restored(&self) -> bool {
        self.status == VolumeStatus::RESTORING_BACKUP
            || (self.status == VolumeStatus::CREATING && self.restored_from.is_some())
    }

    /// Returns the status that an extension that ends well leaves. As in Cinder, attachments decide.
    const fn status_after_extension(&self) -> VolumeStatus {
        if self.attachments.is_empty() { VolumeStatus::AVAILABLE } else { VolumeStatus::IN_USE }
    }

    /// Returns whether an extension is under way, so that its quota stays reserved.
    #[must_use]
    pub fn is_extending(&self) -> bool {
        let extends = |pending: Pending| matches!(pending.completion, Completion::Extend | Completion::Fail);
        self.extension.is_some() && self.status == VolumeStatus::EXTENDING && self.pending.is_some_and(extends)
    }

    /// Returns the volume without an extension that has ended. Its size is final.
    #[must_use]
    pub fn with_extension_settled(mut self) -> Self {
        if !self.is_extending() {
            self.extension = None;
        }
        self
    }

    /// Returns the size of its metadata of all kinds, in bytes.
    #[must_use]
    pub fn metadata_size(&self) -> usize {
        let provisioned = self.provisioning.as_ref().map_or(0, |own| metadata::size(&own.image_metadata));
        let restored = if self.restored_from.is_some() { SOURCE_BACKUP.len() + Hyphenated::LENGTH } else { 0 };
        metadata::size(&self.metadata) + metadata::size(&self.image_metadata) + provisioned + restored
    }

    /// Returns whether a migration is in progress.
    #[must_use]
    pub fn is_migrating(&self) -> bool {
        !matches!(self.migration_status.as_deref(), None | Some("deleting" | "error" | "success"))
    }

    /// Checks that a backend has the volume. This is the first check that Cinder makes.
    ///
    /// # Errors
    ///
    /// Fails with [`NotSnapshottable::NoHost`].
    pub const fn has_host(&self) -> Result<(), NotSnapshottable> {
        let is_placed = self.host.is_some() || self.provisioning.is_some() || self.is_clustered();
        if is_placed { Ok(()) } else { Err(NotSnapshottable::NoHost) }
    }

    /// Returns whether its backend is a cluster. To Cinder, an empty name means no cluster.
    #[must_use]
    pub const fn is_clustered(&self) -> bool {
        matches!(&self.cluster_name, Some(name) if !name.is_empty())
    }

    /// Checks that a snapshot may be created now. `force` or microversion 3.66 sets `in_use_accepted`.
    ///
    /// # Errors
    ///
    /// Fails with the first reason in Cinder's order of checks.
    pub fn may_be_snapshotted(&self, in_use_accepted: bool) -> Result<(), NotSnapshottable> {
        self.may_be_snapshotted_with_group()?;
        self.has_accepted_status(in_use_accepted, "")
    }

    /// Checks that a snapshot may be created now together with those of other volumes, for which few statuses matter.
    ///
    /// # Errors
    ///
    /// Fails with the first reason in Cinder's order of checks.
    pub fn may_be_snapshotted_with_group(&self) -> Result<(), NotSnapshottable> {
        if self.host.as_deref().unwrap_or_default().is_empty() && self.provisioning.is_none() {
            Err(NotSnapshottable::NotScheduled)
        } else if self.status == VolumeStatus::MAINTENANCE {
            Err(NotSnapshottable::Maintenance)
        } else if self.is_migrating() {
            Err(NotSnapshottable::Migrating)
        } else if self.status == VolumeStatus::ERROR {
            Err(NotSnapshottable::InError)
        } else if self.status.as_str().starts_with("replica_") {
            Err(NotSnapshottable::SecondaryReplica)
        } else {
            Ok(())
        }
    }

    /// Makes only the last check of [`Volume::may_be_snapshotted`], which Cinder repeats after it has written the row.
    ///
    /// # Errors
    ///
    /// Fails with [`NotSnapshottable::WrongStatus`], with `gap` before its comma.
    pub fn has_accepted_status(&self, in_use_accepted: bool, gap: &'static str) -> Result<(), NotSnapshottable> {
        let accepted =
            self.status == VolumeStatus::AVAILABLE || (in_use_accepted && self.status == VolumeStatus::IN_USE);
        if accepted {
            return Ok(());
        }
        Err(NotSnapshottable::WrongStatus {
            id: self.id,
            accepted: if in_use_accepted { "available, in-use" } else { "available" },
            gap,
            status: self.status.clone(),
        })
    }

    /// Returns whether no backend has the volume, nor will have it, so that nothing has to be done to delete it.
    #[must_use]
    pub const fn is_unscheduled(&self) -> bool {
        self.host.is_none() && self.provisioning.is_none()
    }

    /// Returns whether the volume's own state allows a delete. With `force`, any status is accepted. The caller checks
    /// for snapshots.
    #[must_use]
    pub fn may_be_deleted(&self, force: bool) -> bool {
        let settled = [
            VolumeStatus::AVAILABLE,
            VolumeStatus::ERROR,
            VolumeStatus::ERROR_RESTORING,
            VolumeStatus::ERROR_EXTENDING,
            VolumeStatus::ERROR_MANAGING,
        ];
        let is_free = !self.is_migrating() && self.attach_status != "attached" && self.group_id.is_none();
        self.is_unscheduled() || is_free && (force || settled.contains(&self.status))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn volume(status: &str, migration: Option<&str>) -> Volume {
        Volume {
            id: VolumeId::new(uuid::Uuid::nil()),
            project_id: "a1".parse().expect("a project id"),
            user_id: None,
            name: None,
            description: None,
            metadata: Metadata::new(),
            size: 1,
            status: VolumeStatus::new(status.to_owned()),
            previous_status: None,
            host: Some("host1@lvm#pool".to_owned()),
            cluster_name: None,
            availability_zone: None,
            attach_status: "detached".to_owned(),
            migration_status: migration.map(str::to_owned),
            volume_type_id: None,
            snapshot_id: None,
            source_volid: None,
            group_id: None,
            bootable: false,
            multiattach: false,
            admin_metadata: Metadata::new(),
            image_metadata: Metadata::new(),
            attachments: Vec::new(),
            next_attachment: None,
            created_at: Timestamp::from_seconds(0),
            updated_at: None,
            consumes_quota: true,
            pending: None,
            provisioning: None,
            extension: None,
            restored_from: None,
        }
    }

    #[test]
    fn the_status_decides_whether_a_volume_is_snapshotted_and_the_message_says_why() {
        let nil = "00000000-0000-0000-0000-000000000000";
        let wrong = |accepted: &str, status: &str| {
            Err(format!("Volume {nil} status must be {accepted}, but current status is: {status}."))
        };
        let cases = [
            ("available", None, false, Ok::<(), String>(())),
            ("available", Some("success"), false, Ok(())),
            ("in-use", None, true, Ok(())),
            ("in-use", None, false, wrong("available", "in-use")),
            ("extending", None, true, wrong("available, in-use", "extending")),
            ("maintenance", Some("migrating"), true, Err(NotSnapshottable::Maintenance.to_string())),
            ("available", Some("migrating"), true, Err(NotSnapshottable::Migrating.to_string())),
            ("error", None, true, Err(NotSnapshottable::InError.to_string())),
            ("replica_active", None, true, Err(NotSnapshottable::SecondaryReplica.to_string())),
        ];
        for (status, migration, in_use_accepted, expected) in cases {
            let answer = volume(status, migration).may_be_snapshotted(in_use_accepted);
            assert_eq!(answer.map_err(|reason| reason.to_string()), expected, "{status} {migration:?}");
        }
    }
}
