//! Backups: list, show, create, update, and delete (`docs/spec/backups.md` sections 2 to 5).
//!
//! A backup and its source, which is a volume or a snapshot, are two rows. Both have the same work, so each ends by itself at
//! the same time, whatever becomes of the other. An incremental backup is named by its parent before it is created
//! (`docs/adr/0025-backups.md`).

use crate::domain::backup::{Backup, BackupId, BackupStatus, Dependent, Outcome, Placement};
use crate::domain::lifecycle::{Completion, Occasion, Pending, Schedule};
use crate::domain::quota::{self, Amounts, Counted};
use crate::domain::snapshot::Cause;
use crate::domain::{Metadata, ProjectId, Snapshot, SnapshotStatus, Timestamp, Volume, VolumeStatus};
use crate::store::agenda::AgendaItem;
use crate::store::deployment::Deployment;
use crate::store::index::Direction;
use crate::store::projects::ProjectRecord;
use crate::store::rows::rows_at_once;
use crate::store::{Change, Kind, Listing, StoredRow};

use super::listing::{Column, Listed, columns};
use super::policy::Rule;
use super::{Error, Service};

/// The parameters of a create.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewBackup {
    pub volume_id: String,
    pub snapshot_id: Option<String>,
    pub name: Option<String>,
    pub description: Option<String>,
    pub container: Option<String>,
    pub metadata: Metadata,
    pub availability_zone: Option<String>,
    pub incremental: bool,
    /// Whether a volume in use may be backed up.
    pub force: bool,
}

/// The changes of an update. The outer `None` leaves a field unchanged, and the inner `None` clears it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackupUpdate {
    pub name: Option<Option<String>>,
    pub description: Option<Option<String>>,
    pub metadata: Option<Metadata>,
}

/// Returns the error for a backup whose state does not allow a request.
pub(super) fn invalid_backup(reason: &str) -> Error {
    Error::BadRequest(format!("Invalid backup: {reason}"))
}

fn no_parent() -> Error {
    invalid_backup("No backups available to do an incremental backup.")
}

impl Service<'_> {
    /// Returns a backup that is visible to the caller, and the deployment, in one call of the store.
    pub(super) fn readable_backup_and_deployment(&self, id: &str) -> Result<(Backup, Deployment), Error> {
        self.caller.is_scoped()?;
        let not_found = || Backup::not_found(id);
        let parsed: BackupId = id.parse().map_err(|_| not_found())?;
        let (row, deployment) = self.store.backup_and_deployment(parsed)?;
        Ok((self.seen_backup(row)?.ok_or_else(not_found)?, deployment))
    }

    /// Returns a backup that the caller may read.
    pub(super) fn readable_backup(&self, id: &str) -> Result<Backup, Error> {
        self.caller.is_scoped()?;
        let not_found = || Backup::not_found(id);
        let parsed: BackupId = id.parse().map_err(|_| not_found())?;
        self.seen_backup(self.store.row::<Backup>(parsed)?)?.ok_or_else(not_found)
    }

    fn seen_backup(&self, row: Option<Backup>) -> Result<Option<Backup>, Error> {
        let row = row.filter(|row| self.caller.sees(&row.project_id)).and_then(|row| self.current(row));
        if let Some(row) = &row {
            self.caller.allow(Rule::GetBackup, &row.project_id)?;
        }
        Ok(row)
    }

    /// Returns a backup, and whether others depend on it.
    ///
    /// # Errors
    ///
    /// Not found, or not allowed.
    pub fn show_backup(&self, id: &str) -> Result<(Backup, bool), Error> {
        let backup = self.readable_backup(id)?;
        let has_dependents = !self.backups_with_dependents(std::slice::from_ref(&backup))?.is_empty();
        Ok((backup, has_dependents))
    }

    /// Returns the ids of those backups on which others depend.
    ///
    /// # Errors
    ///
    /// Errors of the store.
    pub fn backups_with_dependents(&self, backups: &[Backup]) -> Result<Vec<BackupId>, Error> {
        Ok(self.store.with_dependents(backups.iter(), self.now)?)
    }

    /// Creates a backup of a volume or of a snapshot. The backup and its source come back from it by themselves.
    ///
    /// # Errors
    ///
    /// The first failure of these checks: the volume, policy, the snapshot, the status of the source, quota, and the parent of
    /// an incremental backup.
    pub fn create_backup(&self, new: NewBackup) -> Result<Backup, Error> {
        let (volume, deployment) = self.readable_volume_and_deployment(Some(&new.volume_id))?;
        self.caller.allow(Rule::CreateBackup, &volume.project_id)?;
        let snapshot = new.snapshot_id.as_deref().map(|id| self.readable_snapshot(id)).transpose()?;
        match &snapshot {
            Some(snapshot) if snapshot.volume_id != volume.id => {
                return Err(Error::BadRequest(format!(
                    "Invalid volume: Volume {} does not match with snapshot.volume_id {}.",
                    volume.id, snapshot.volume_id
                )));
            }
            Some(snapshot) => snapshot_may_be_backed_up(snapshot)?,
            None => volume_may_be_backed_up(&volume, new.force)?,
        }
        self.check_new_metadata(&new.metadata)?;
        let project_id = self.caller.project()?.clone();
        let amounts = quota::amounts_of(Counted::Backups, volume.size, None, true);
        let parent = if new.incremental {
            Some(self.parent_of_new_backup(&volume, snapshot.as_ref(), &project_id, &amounts, &deployment)?)
        } else {
            None
        };
        let zone = new.availability_zone.as_deref().or(volume.availability_zone.as_deref());
        let placement = deployment.backup_service(zone);
        let pending = self.begin(if placement.is_some() { Completion::Create } else { Completion::Fail })?;
        let backup = Backup {
            id: BackupId::new(self.identifiers.uuid()),
            project_id,
            user_id: self.caller.user_id.clone(),
            volume_id: volume.id,
            snapshot_id: snapshot.as_ref().map(|snapshot| snapshot.id),
            parent_id: parent.as_ref().map(|parent| parent.id),
            name: new.name,
            description: new.description,
            metadata: new.metadata,
            container: new.container,
            size: Some(volume.size),
            counted_size: volume.size,
            object_count: None,
            status: BackupStatus::Creating,
            fail_reason: None,
            host: None,
            availability_zone: new.availability_zone,
            service: None,
            data_timestamp: Some(snapshot.as_ref().map_or(self.now, |snapshot| snapshot.created_at)),
            restore_volume_id: None,
            encryption_key_id: None,
            created_at: self.now,
            // As in Cinder, the time of the data of a volume is written after the row.
            updated_at: snapshot.is_none().then_some(self.now),
            pending: Some(pending),
            outcome: placement.map(Outcome::Made),
            dependents: Vec::new(),
            counts_as_dependent: false,
        };
        if let Some(parent) = &parent {
            let is_available = |row: &Backup| row.clone().with_reset_applied().status == BackupStatus::Available;
            self.name_dependent(parent, &backup, &is_available)?;
        }
        let created = self.store.create(&backup, &amounts, false, None, |record| {
            self.admit(record, Counted::Backups, &amounts, &deployment)
        });
        if let Err(refusal @ Error::OverQuota(_)) = created {
            self.forget_dependent(&backup)?;
            return self.open_counters(Err(refusal), &backup.project_id, &amounts);
        }
        created?;
        // The source may have changed since we looked, and then there is nothing to back up.
        match self.begin_backup_of(&volume, snapshot.as_ref(), pending, new.force) {
            Err(refusal) if self.undo_backup(&backup)? => Err(refusal),
            _ => Ok(backup),
        }
    }

    /// Moves the source of a backup to the status in which it is read, for as long as the work on the backup.
    fn begin_backup_of(
        &self,
        volume: &Volume,
        snapshot: Option<&Snapshot>,
        pending: Pending,
        force: bool,
    ) -> Result<(), Error> {
        let pending = Pending { completion: Completion::Release, request_id: None, ..pending };
        let ends_with_tick = pending.schedule == Schedule::NextTick;
        if let Some(snapshot) = snapshot {
            if ends_with_tick {
                self.store.schedule(&[AgendaItem::for_work(snapshot, pending)])?;
            }
            return self.change_row(snapshot, |mut snapshot| {
                snapshot_may_be_backed_up(&snapshot)?;
                snapshot.enter(SnapshotStatus::BackingUp, Some(pending), self.now, Cause::Backup);
                Ok(Change::Write(snapshot, ()))
            });
        }
        if ends_with_tick {
            self.store.schedule(&[AgendaItem::for_work(volume, pending)])?;
        }
        self.change_row(volume, |mut volume| {
            volume_may_be_backed_up(&volume, force)?;
            volume.previous_status = Some(volume.status.clone());
            volume.enter(VolumeStatus::BACKING_UP, Some(pending), self.now);
            Ok(Change::Write(volume, ()))
        })
    }

    /// Removes a backup that was just created, and returns whether it could. If the request was so slow that the backup has
    /// been made in the meantime, others may have seen it, and continued it, so it stays.
    fn undo_backup(&self, backup: &Backup) -> Result<bool, Error> {
        self.store.schedule(&[AgendaItem::now(backup, self.now)])?;
        let ended = self.begin(Completion::Remove)?.ended(self.now);
        let is_undone = self.store.update(backup.id, |row: Option<Backup>| {
            let now = (self.clock)().max(self.now);
            let Some(mut row) = row else { return Ok::<_, Error>(Change::Leave(true)) };
            let is_new =
                row.pending == backup.pending && row.clone().effective(now, Occasion::Reading).as_ref() == Some(&row);
            if !is_new || !row.dependents.is_empty() {
                return Ok(Change::Leave(false));
            }
            row.enter(BackupStatus::Deleting, Some(ended), self.now);
            Ok(Change::Write(row, true))
        })?;
        if is_undone {
            self.remove_backup(backup)?;
        }
        Ok(is_undone)
    }

    /// Removes a backup at once.
    pub(super) fn remove_backup(&self, backup: &Backup) -> Result<(), Error> {
        let item = AgendaItem::now(backup, self.now);
        self.store.schedule(std::slice::from_ref(&item))?;
        self.store.remove(&backup.project_id, &[item], true)?;
        self.forget_dependent(backup)
    }

    /// Names a backup that is about to be created in its parent, if that is accepted as it is.
    pub(super) fn name_dependent(
        &self,
        parent: &Backup,
        backup: &Backup,
        is_accepted: &dyn Fn(&Backup) -> bool,
    ) -> Result<(), Error> {
        let wasted = self.store.wasted_names(parent, self.now)?;
        let ends_well = backup.pending.filter(|pending| pending.completion == Completion::Create);
        let dependent = Dependent { id: backup.id, named_at: self.now, due: ends_well.map(|pending| pending.due) };
        let named = self.change_row_with_metadata(parent, |mut row| {
            if !is_accepted(&row) {
                return Err(no_parent());
            }
            row.dependents.retain(|own| !wasted.contains(own) && own.id != dependent.id);
            row.dependents.push(dependent);
            Ok((row, ()))
        });
        // The parent has been deleted since it was chosen.
        named.map_err(|error| if matches!(error, Error::NotFound(_)) { no_parent() } else { error })
    }

    /// Takes the name of a backup that was not created out of its parent.
    pub(super) fn forget_dependent(&self, backup: &Backup) -> Result<(), Error> {
        match backup.parent_id {
            Some(parent) => Ok(self.store.forget_dependents(parent, &[backup.id], None)?),
            None => Ok(()),
        }
    }

    /// Returns the backup that an incremental one continues: the latest of those that can be used, or as in Cinder the first one
    /// if none of them can. Cinder reserves the quota before it looks.
    fn parent_of_new_backup(
        &self,
        volume: &Volume,
        snapshot: Option<&Snapshot>,
        project: &ProjectId,
        amounts: &Amounts,
        deployment: &Deployment,
    ) -> Result<Backup, Error> {
        let record = self.store.project(project)?.unwrap_or_else(|| ProjectRecord::new(project.clone()));
        self.open_counters(self.admit(&record, Counted::Backups, amounts, deployment), project, amounts)?;
        let at_once = rows_at_once([&record]);
        let mut listing = Listing::new(self.store, vec![record], Kind::Backup, Direction::OldestFirst, None)
            .of_volume(Some(volume.id.as_uuid()));
        let (mut first, mut latest): (Option<Backup>, Option<Backup>) = (None, None);
        loop {
            let ids: Vec<_> = listing.next(at_once)?.iter().map(|entry| entry.position.id).collect();
            if ids.is_empty() {
                break;
            }
            let rows = self.store.rows::<Backup>(&ids)?.into_iter().filter_map(StoredRow::readable);
            for row in rows.filter_map(|row| self.current(row)).filter(|row| row.volume_id == volume.id) {
                let row = row.with_reset_applied();
                let is_older = snapshot.is_none_or(|snapshot| time_of_data(&row) < snapshot.created_at);
                let is_later = latest.as_ref().is_none_or(|latest| time_of_data(&row) > time_of_data(latest));
                if row.status == BackupStatus::Available && is_older && is_later {
                    latest = Some(row.clone());
                }
                first.get_or_insert(row);
            }
        }
        if let Some(parent) = latest.or(first).filter(|parent| parent.status == BackupStatus::Available) {
            return Ok(parent);
        }
        self.open(project, amounts)?;
        Err(no_parent())
    }

    /// Changes the name, description, and metadata, in any status.
    ///
    /// # Errors
    ///
    /// Not found, or not allowed.
    pub fn update_backup(&self, id: &str, update: &BackupUpdate) -> Result<Backup, Error> {
        let backup = self.readable_backup(id)?;
        self.caller.allow(Rule::UpdateBackup, &backup.project_id)?;
        if *update == BackupUpdate::default() {
            return Ok(backup);
        }
        self.change_row_with_metadata(&backup, |mut backup| {
            if let Some(name) = &update.name {
                backup.name.clone_from(name);
            }
            if let Some(description) = &update.description {
                backup.description.clone_from(description);
            }
            if let Some(metadata) = &update.metadata {
                backup.metadata.clone_from(metadata);
            }
            backup.updated_at = Some(self.now);
            Ok((backup.clone(), backup))
        })
    }

    /// Starts the deletion of a backup. Two commits: the agenda, and the row, which alone decides.
    ///
    /// # Errors
    ///
    /// Not found, not allowed, not deletable in its state, needed by others, or no service is there to delete it.
    pub fn delete_backup(&self, id: &str) -> Result<(), Error> {
        let (backup, deployment) = self.readable_backup_and_deployment(id)?;
        self.caller.allow(Rule::DeleteBackup, &backup.project_id)?;
        let wasted = self.store.wasted_names(&backup, self.now)?;
        let may_be_deleted = |backup: &Backup| {
            let status = backup.clone().with_reset_applied().status;
            if !matches!(status, BackupStatus::Available | BackupStatus::Error) {
                return Err(invalid_backup("Backup status must be available or error"));
            }
            if backup.dependents.iter().any(|own| !wasted.contains(own)) {
                return Err(invalid_backup("Incremental backups exist for this backup."));
            }
            Ok(())
        };
        may_be_deleted(&backup)?;
        let service = backup_service_for(&backup, &deployment)?;
        let pending = self.begin(Completion::Remove)?;
        if self.store.schedule(&[AgendaItem::for_work(&backup, pending)])? {
            self.relieve_full_agenda();
        }
        self.change_row(&backup, |mut backup| {
            may_be_deleted(&backup)?;
            backup = backup.with_reset_applied();
            backup.dependents.clear();
            backup.host = Some(service.host.clone());
            backup.enter(BackupStatus::Deleting, Some(pending), self.now);
            Ok(Change::Write(backup, ()))
        })
    }
}

/// Returns the service that works on a backup.
pub(super) fn backup_service_for(backup: &Backup, deployment: &Deployment) -> Result<Placement, Error> {
    let service = deployment.backup_service(backup.availability_zone.as_deref());
    service.ok_or_else(|| Error::NotFound("Service cinder-backup could not be found.".to_owned()))
}

/// Returns the time of the data of a backup. A record may lack it.
fn time_of_data(backup: &Backup) -> Timestamp {
    backup.data_timestamp.unwrap_or(backup.created_at)
}

fn snapshot_may_be_backed_up(snapshot: &Snapshot) -> Result<(), Error> {
    if snapshot.status == SnapshotStatus::Available {
        return Ok(());
    }
    Err(Error::BadRequest(format!(
        "Invalid snapshot: Snapshot to be backed up must be available, but the current status is \"{}\".",
        snapshot.status
    )))
}

fn volume_may_be_backed_up(volume: &Volume, force: bool) -> Result<(), Error> {
    if volume.status == VolumeStatus::AVAILABLE || (volume.status == VolumeStatus::IN_USE && force) {
        return Ok(());
    }
    let reason = if volume.status == VolumeStatus::IN_USE {
        "Backing up an in-use volume must use the force flag.".to_owned()
    } else {
        let status = &volume.status;
        format!("Volume to be backed up must be available or in-use, but the current status is \"{status}\".")
    };
    Err(Error::BadRequest(format!("Invalid volume: {reason}")))
}

columns! { row: Backup;
    "id" => Column::String(Some(row.id.to_string())),
    "created_at" => Column::Time(Some(row.created_at)),
    "updated_at" => Column::Time(row.updated_at),
    "status" => Column::String(Some(row.status.to_string())),
    "project_id" => Column::String(Some(row.project_id.to_string())),
    "user_id" => Column::String(row.user_id.as_ref().map(ToString::to_string)),
    "volume_id" => Column::String(Some(row.volume_id.to_string())),
    "snapshot_id" => Column::String(row.snapshot_id.map(|id| id.to_string())),
    "parent_id" => Column::String(row.parent_id.map(|id| id.to_string())),
    "display_name" => Column::String(row.name.clone()),
    "display_description" => Column::String(row.description.clone()),
    "container" => Column::String(row.container.clone()),
    "size" => Column::Number(i64::from(row.size.unwrap_or(0))),
    "object_count" => Column::Number(i64::from(row.object_count.unwrap_or(0))),
    "fail_reason" => Column::String(row.fail_reason.clone()),
    "host" => Column::String(row.host.clone()),
    "availability_zone" => Column::String(row.availability_zone.clone()),
    "service" => Column::String(row.service.clone()),
    "data_timestamp" => Column::Time(row.data_timestamp),
    "restore_volume_id" => Column::String(row.restore_volume_id.map(|id| id.to_string())),
    "service_metadata" => Column::String(None),
    "temp_volume_id" => Column::String(None),
    "temp_snapshot_id" => Column::String(None),
    "encryption_key_id" => Column::String(row.encryption_key_id.clone()),
    "deleted_at" => Column::Time(None),
    "deleted" => Column::Boolean(false),
}

impl Listed for Backup {
    const RULE: Option<Rule> = Some(Rule::GetAllBackups);
    const UNSCOPED_LISTS_ARE_EMPTY: bool = false;
    const MARKER_MAY_BE_FOREIGN: bool = false;

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn metadata_size(&self) -> usize {
        self.metadata_size()
    }

    fn not_found(id: &str) -> Error {
        Error::NotFound(format!("Backup {id} could not be found."))
    }
}
