//! The actions on a backup: restore, and those of an administrator (`docs/spec/backups.md` sections 5 and 7).
//!
//! A restoration works on two rows, the backup and the volume. Each has the work and ends it by itself, so a stop between the
//! two leaves neither of them behind.

use crate::domain::backup::{Backup, BackupId, BackupStatus, Outcome, Placement};
use crate::domain::lifecycle::{Completion, Pending, Schedule};
use crate::domain::{Volume, VolumeId, VolumeStatus};
use crate::store::Change;
use crate::store::agenda::AgendaItem;
use crate::store::deployment::Deployment;

use super::backups::{backup_service_for, invalid_backup};
use super::policy::Rule;
use super::volumes::{HOST, NewVolume};
use super::{Error, Service};

/// The restoration of a backup that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restoration {
    pub backup_id: BackupId,
    pub volume_id: VolumeId,
    pub volume_name: Option<String>,
}

impl Service<'_> {
    /// Restores a backup to a volume of the caller, or to a new one.
    ///
    /// # Errors
    ///
    /// The first failure of these checks: the backup, policy, its status, the volume or the quota for a new one, and the
    /// service.
    pub fn restore_backup(
        &self,
        id: &str,
        volume_id: Option<&str>,
        name: Option<String>,
    ) -> Result<Restoration, Error> {
        let (backup, deployment) = self.readable_backup_and_deployment(id)?;
        self.caller.allow(Rule::RestoreBackup, &backup.project_id)?;
        may_be_restored(&backup)?;
        let size = backup.size.ok_or_else(|| invalid_backup("Backup to be restored has invalid size"))?;
        let volume = match volume_id {
            Some(volume_id) => self.restore_to_volume(&backup, size, volume_id, &deployment)?,
            None => self.restore_to_new_volume(&backup, size, name, &deployment)?,
        };
        Ok(Restoration { backup_id: backup.id, volume_id: volume.id, volume_name: volume.name })
    }

    /// Restores a backup to a volume that exists. The backup changes first, since nothing has been done to the volume if we
    /// stop after that.
    fn restore_to_volume(
        &self,
        backup: &Backup,
        size: u32,
        volume_id: &str,
        deployment: &Deployment,
    ) -> Result<Volume, Error> {
        let volume = self.readable_volume(volume_id)?;
        may_be_restored_to(&volume, size)?;
        let service = backup_service_for(backup, deployment)?;
        let pending = self.begin_restoration()?;
        self.begin_restoring(backup, volume.id, &service, pending)?;
        let work = Pending { request_id: None, ..pending };
        let begun = if work.schedule == Schedule::NextTick {
            self.store.schedule(&[AgendaItem::for_work(&volume, work)]).map(drop).map_err(Error::from)
        } else {
            Ok(())
        };
        let begun = begun.and_then(|()| {
            self.change_row_with_metadata(&volume, |mut volume| {
                may_be_restored_to(&volume, size)?;
                // The volume of the backup names its source only if it has named another one.
                let named = volume.metadata.get(crate::domain::backup::SOURCE_BACKUP);
                let names_other = named.is_some_and(|named| *named != backup.id.to_string());
                let is_named = backup.volume_id != volume.id || names_other;
                volume.restored_from = is_named.then_some(backup.id);
                volume.enter(VolumeStatus::RESTORING_BACKUP, Some(work), self.now);
                Ok((volume, ()))
            })
        });
        if let Err(refusal) = begun {
            self.change_row(backup, |mut row| {
                if row.pending != Some(pending) {
                    return Ok(Change::Leave(()));
                }
                row.enter(BackupStatus::Available, None, self.now);
                Ok(Change::Write(row, ()))
            })?;
            return Err(refusal);
        }
        Ok(volume)
    }

    /// Restores a backup to a new volume, which is made in the status that it has then. In Cinder the request waits for that.
    fn restore_to_new_volume(
        &self,
        backup: &Backup,
        size: u32,
        name: Option<String>,
        deployment: &Deployment,
    ) -> Result<Volume, Error> {
        let service = backup_service_for(backup, deployment)?;
        let mut draft = self
            .draft_volume(NewVolume {
                name: Some(name.unwrap_or_else(|| format!("restore_backup_{}", backup.id))),
                description: Some("auto-created_from_restore_from_backup".to_owned()),
                size: Some(size),
                ..NewVolume::default()
            })
            .map_err(without_class)?;
        let pending = self.begin_restoration()?;
        let is_placed = draft.has_backend;
        if is_placed {
            draft.volume.host = Some(HOST.to_owned());
            draft.volume.provisioning = None;
            draft.volume.restored_from = Some(backup.id);
            draft.volume.enter(VolumeStatus::RESTORING_BACKUP, Some(Pending { request_id: None, ..pending }), self.now);
        }
        let (volume, _) = self.save_volume(draft).map_err(without_class)?;
        if !is_placed {
            return Err(Error::BadRequest(format!(
                "Invalid volume: Error while creating volume {} for restoring backup {}.",
                volume.id, backup.id
            )));
        }
        self.restore_to_created(backup, &volume, &service, pending)?;
        Ok(volume)
    }

    /// Moves a backup to the status in which it is restored to a volume that was just created. If others were faster, the
    /// volume is removed.
    pub(super) fn restore_to_created(
        &self,
        backup: &Backup,
        volume: &Volume,
        service: &Placement,
        pending: Pending,
    ) -> Result<(), Error> {
        let begun = self.begin_restoring(backup, volume.id, service, pending);
        if begun.is_err() {
            let item = AgendaItem::now(volume, self.now);
            self.store.schedule(std::slice::from_ref(&item))?;
            self.store.remove(&volume.project_id, &[item], true)?;
        }
        begun
    }

    /// Moves a backup to the status in which it is restored to a volume.
    fn begin_restoring(
        &self,
        backup: &Backup,
        volume: VolumeId,
        service: &Placement,
        pending: Pending,
    ) -> Result<(), Error> {
        if pending.needs_tick(self.now) {
            self.store.schedule(&[AgendaItem::for_work(backup, pending)])?;
        }
        self.change_row(backup, |row| {
            may_be_restored(&row)?;
            let mut row = row.with_reset_applied();
            row.host = Some(service.host.clone());
            row.restore_volume_id = Some(volume);
            row.enter(BackupStatus::Restoring, Some(pending), self.now);
            Ok(Change::Write(row, ()))
        })
    }

    /// Sets a status for an administrator, whatever the current status is (`os-reset_status`). The service applies it after
    /// the answer. A backup that no service has keeps its status.
    ///
    /// # Errors
    ///
    /// Not found, not allowed, or no service is there.
    pub fn reset_backup_status(&self, id: &str, status: BackupStatus) -> Result<(), Error> {
        let (backup, deployment) = self.readable_backup_and_deployment(id)?;
        self.caller.allow(Rule::ResetBackupStatus, &backup.project_id)?;
        let service = backup_service_for(&backup, &deployment)?;
        let pending = self.begin(Completion::Release)?.ending_by_clock();
        self.change_row(&backup, |mut row| {
            row.host = Some(service.host.clone());
            row.updated_at = Some(self.now);
            // A service has had the backup since its creation began.
            if let Some(Outcome::Made(placement)) = &row.outcome {
                let placement = placement.clone();
                row.place(placement);
            }
            if row.service.is_some() {
                row.outcome = Some(Outcome::Reset(status));
                row.pending = Some(pending);
            }
            Ok(Change::Write(row, ()))
        })
    }

    /// Refuses to delete a backup by force (`os-force_delete`), since the driver of the services cannot.
    ///
    /// # Errors
    ///
    /// Not found, not allowed, or not supported.
    pub fn force_delete_backup(&self, id: &str) -> Result<(), Error> {
        let backup = self.readable_backup(id)?;
        self.caller.allow(Rule::ForceDeleteBackup, &backup.project_id)?;
        self.caller.allow(Rule::DeleteBackup, &backup.project_id)?;
        Err(Error::NotSupported("Operation not supported: force delete.".to_owned()))
    }
}

fn may_be_restored(backup: &Backup) -> Result<(), Error> {
    if backup.clone().with_reset_applied().status == BackupStatus::Available {
        return Ok(());
    }
    Err(invalid_backup("Backup status must be available"))
}

fn may_be_restored_to(volume: &Volume, size: u32) -> Result<(), Error> {
    if volume.status != VolumeStatus::AVAILABLE {
        return Err(Error::BadRequest("Invalid volume: Volume to be restored to must be available".to_owned()));
    }
    if size > volume.size {
        return Err(Error::BadRequest(format!(
            "Invalid volume: volume size {} is too small to restore backup of size {size}.",
            volume.size
        )));
    }
    Ok(())
}

/// Returns a refused quota as a restoration tells it: without the name of Cinder's class.
fn without_class(error: Error) -> Error {
    let message = error.to_string();
    let class = message.split_once(": ").filter(|_| matches!(error, Error::OverQuota(_)));
    match class {
        Some(("VolumeSizeExceedsAvailableQuota" | "VolumeLimitExceeded", rest)) => Error::OverLimit(rest.to_owned()),
        _ => error,
    }
}
