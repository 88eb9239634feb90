//! The actions on a volume that concern its snapshots (`docs/spec/lifecycle.md` section 8).

use std::ops::ControlFlow;

use crate::domain::attachment::{ATTACHED_MODE, DETACHED};
use crate::domain::lifecycle::Occasion;
use crate::domain::snapshot::Cause;
use crate::domain::{AttachmentId, AttachmentSlot, Completion, SnapshotStatus, VolumeStatus};
use crate::store::Change;

use super::policy::Rule;
use super::{Error, Service};

/// The values that an administrator sets with `os-reset_status`. `None` leaves a field unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeReset {
    pub status: Option<String>,
    pub attach_status: Option<String>,
    /// The migration status. The string `none` clears it.
    pub migration_status: Option<String>,
}

/// The statuses that an administrator may set (`VolumeStatus` in `cinder/objects/fields.py`).
const STATUSES: [&str; 22] = [
    "creating",
    "available",
    "deleting",
    "error",
    "error_deleting",
    "error_managing",
    "managing",
    "attaching",
    "in-use",
    "detaching",
    "maintenance",
    "restoring-backup",
    "error_restoring",
    "reserved",
    "awaiting-transfer",
    "backing-up",
    "error_backing-up",
    "error_extending",
    "downloading",
    "uploading",
    "retyping",
    "extending",
];

impl Service<'_> {
    /// Reverts a volume to its latest snapshot. Two rows change, the volume's first. As in Cinder, the volume becomes
    /// `reverting` even if the snapshot then turns out not to be `available`. Here that status ends by itself.
    ///
    /// # Errors
    ///
    /// The first failure of these checks: the volume, its snapshots, policy, the volume's status, and the snapshot's
    /// status.
    pub fn revert_volume(&self, id: &str, snapshot_id: Option<&str>) -> Result<(), Error> {
        let volume = self.visible_volume(id)?;
        self.caller.allow(Rule::GetVolume, &volume.project_id)?;
        let records = self.store.projects_with_snapshots_of(&volume)?;
        let latest = self.visit_snapshots(&volume, records, |row| {
            let snapshot = row.readable().and_then(|row| row.effective(self.now, Occasion::Reading));
            match snapshot.filter(|snapshot| self.caller.sees(&snapshot.project_id)) {
                Some(snapshot) => ControlFlow::Break(snapshot),
                None => ControlFlow::Continue(()),
            }
        })?;
        let Some(latest) = latest else {
            return Err(Error::BadRequest(format!("Volume {id} doesn't have any snapshots.")));
        };
        if snapshot_id != Some(latest.id.to_string().as_str()) {
            let named = snapshot_id.unwrap_or("None");
            let message = format!("Specified snapshot {named} is None or not the latest one of volume {id}.");
            return Err(Error::BadRequest(message));
        }
        let cannot = format!("Can't revert volume {id} to its latest snapshot {}.", latest.id);
        if volume.size != latest.size {
            let message = format!("{cannot} The volume size must be equal to the snapshot size.");
            return Err(Error::BadRequest(message));
        }
        self.caller.allow(Rule::Revert, &volume.project_id)?;
        let pending = self.begin(Completion::Release)?;
        self.change_row(&volume, |mut volume| {
            if volume.status != VolumeStatus::AVAILABLE {
                let message = format!("Invalid volume: {cannot} Volume's status must be 'available'.");
                return Err(Error::Conflict(message));
            }
            volume.enter(VolumeStatus::REVERTING, Some(pending), self.now);
            Ok(Change::Write(volume, ()))
        })?;
        self.change_row(&latest, |mut snapshot| {
            if snapshot.status != SnapshotStatus::Available {
                let message = format!("Invalid snapshot: {cannot} Snapshot's status must be 'available'.");
                return Err(Error::Conflict(message));
            }
            snapshot.enter(SnapshotStatus::Restoring, Some(pending), self.now, Cause::Revert);
            Ok(Change::Write(snapshot, ()))
        })
    }

    /// Checks a status that an administrator wants to set. The empty string stands for none.
    ///
    /// # Errors
    ///
    /// A status that may not be set.
    pub fn check_volume_status(&self, status: &str) -> Result<(), Error> {
        let status = status.to_lowercase();
        if status.is_empty() || STATUSES.contains(&status.as_str()) {
            return Ok(());
        }
        let valid: Vec<String> = STATUSES.iter().map(|status| format!("'{status}'")).collect();
        let message = format!("Volume status: {status} is invalid, valid statuses are: ({}).", valid.join(", "));
        Err(Error::BadRequest(message))
    }

    /// Sets statuses of a volume for an administrator. No backend does any work.
    ///
    /// # Errors
    ///
    /// Not found, not allowed, or a status that may not be set.
    pub fn reset_volume_status(&self, id: &str, reset: &VolumeReset) -> Result<(), Error> {
        let status = reset.status.as_ref().map(|status| status.to_lowercase());
        let volume = self.visible_volume(id)?;
        self.caller.allow(Rule::ResetVolumeStatus, &volume.project_id)?;
        if status.as_deref() == Some("deleting") {
            return Err(Error::BadRequest("Cannot reset-state to deleting".to_owned()));
        }
        let attach_status = reset.attach_status.as_ref().map(|status| status.to_lowercase());
        let detaches = attach_status.as_deref() == Some(DETACHED);
        let slots: Vec<AttachmentSlot> = volume.attachment_slots().filter(|_| detaches).collect();
        self.announce_slots(&volume, &slots)?;
        self.change_row(&volume, |mut volume| {
            let is_used = !volume.attachments.is_empty();
            if let Some(attach_status) = &attach_status {
                volume.attach_status.clone_from(attach_status);
            }
            if let Some(migration_status) = &reset.migration_status {
                volume.migration_status = Some(migration_status.to_lowercase()).filter(|status| status != "none");
            }
            if let Some(status) = &status {
                if status == "in-use" && !is_used {
                    let message = "Cannot reset-state to in-use because volume does not have any attachments.";
                    return Err(Error::BadRequest(message.to_owned()));
                }
                let status = VolumeStatus::new(status.clone());
                let pending = status.completion().map(|_| self.begin(Completion::None)).transpose()?;
                volume.enter(status, pending, self.now);
            }
            if detaches {
                Self::are_announced(&volume, &slots)?;
                volume.next_attachment = None;
                let ids: Vec<AttachmentId> = volume.attachments.iter().map(|own| own.id).collect();
                for id in ids {
                    volume.detach(Some(id), self.now);
                }
                volume.admin_metadata.remove(ATTACHED_MODE);
            }
            volume.updated_at = Some(self.now);
            Ok(Change::Write(volume, ()))
        })
    }
}
