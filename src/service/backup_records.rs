//! Records of backups, which an administrator exports and imports (`docs/spec/backups.md` section 5). An import makes a row
//! without a volume, and the record fills it in once a service has read it.

use crate::domain::backup::{Backup, BackupId, BackupRecord, BackupStatus, DRIVER, IMPORT_VOLUME, Outcome};
use crate::domain::lifecycle::{Completion, Pending};
use crate::domain::quota::{self, Counted};
use crate::domain::{Metadata, ProjectId};
use crate::store::deployment::Deployment;
use crate::store::{Change, StoreError};

use super::backups::{backup_service_for, invalid_backup};
use super::listing::ListRequest;
use super::policy::Rule;
use super::{Error, Service};

/// A record that was read, and is about to be imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordToImport {
    pub id: BackupId,
    /// In GiB.
    pub size: u32,
    pub parent_id: Option<BackupId>,
    /// The fields that the record brings, or the reason why it cannot be imported.
    pub content: Result<BackupRecord, String>,
}

impl Service<'_> {
    /// Returns a backup to export.
    ///
    /// # Errors
    ///
    /// Not found, not allowed, not `available`, or no service is there.
    pub fn export_backup(&self, id: &str) -> Result<(Backup, usize), Error> {
        let (backup, deployment) = self.readable_backup_and_deployment(id)?;
        self.caller.allow(Rule::ExportBackup, &backup.project_id)?;
        let status = backup.clone().with_reset_applied().status;
        if status != BackupStatus::Available {
            return Err(invalid_backup(&format!("Backup status must be available and not {status}.")));
        }
        let service = backup_service_for(&backup, &deployment)?;
        // As in Cinder, the service that exports the record is written down.
        let exported = self.change_row(&backup, |mut backup| {
            backup.host = Some(service.host.clone());
            backup.updated_at = Some(self.now);
            Ok(Change::Write(backup.clone(), backup))
        })?;
        let dependents = self.store.dependents_of(&exported, self.now)?;
        Ok((exported, dependents))
    }

    /// Imports a record, which `read` reads once it is known that a service is there. A record that names a parent is named by
    /// it, in either order of their imports.
    ///
    /// # Errors
    ///
    /// Not allowed, no service is there, a record that cannot be read, a backup that exists, or quota.
    pub fn import_backup(
        &self,
        service: &str,
        read: &dyn Fn() -> Result<RecordToImport, Error>,
    ) -> Result<Backup, Error> {
        self.caller.allow_own(Rule::ImportBackup)?;
        let project_id = self.caller.project()?.clone();
        let deployment = self.store.deployment()?;
        let Some(placement) = deployment.backup_service(None) else {
            return Err(Error::NoService(format!("Service {service} could not be found.")));
        };
        let record = read()?;
        refuse_existing(record.id, self.store.await_removal(record.id, &project_id, self.now)?)?;
        self.refuse_circle(&record)?;
        let outcome = match record.content {
            _ if !DRIVER.starts_with(service) => Outcome::NotImported(format!(
                "Import record failed, cannot find backup service to perform the import. Request service {service}."
            )),
            Ok(content) => {
                self.check_new_metadata(&content.metadata)?;
                Outcome::Imported(placement, Box::new(content))
            }
            Err(reason) => Outcome::NotImported(reason),
        };
        let is_imported = matches!(outcome, Outcome::Imported(..));
        let completion = if is_imported { Completion::Create } else { Completion::Fail };
        let pending = Pending { request_id: None, ..self.begin(completion)? };
        let backup = Backup {
            id: record.id,
            project_id,
            user_id: self.caller.user_id.clone(),
            volume_id: IMPORT_VOLUME,
            snapshot_id: None,
            parent_id: record.parent_id.filter(|_| is_imported),
            name: None,
            description: None,
            metadata: Metadata::new(),
            container: None,
            size: None,
            counted_size: record.size,
            object_count: None,
            status: BackupStatus::Creating,
            fail_reason: None,
            host: None,
            availability_zone: None,
            service: None,
            data_timestamp: None,
            restore_volume_id: None,
            encryption_key_id: None,
            created_at: self.now,
            updated_at: None,
            pending: Some(pending),
            outcome: Some(outcome),
            dependents: Vec::new(),
            counts_as_dependent: false,
        };
        // Another request may import the same record.
        if !self.store.claim_import(record.id, self.now)? {
            return Err(StoreError::Contended(record.id.to_string()).into());
        }
        let imported = self.create_imported(&backup, record.size, &deployment);
        self.store.release_import(record.id)?;
        imported.map(|()| backup)
    }

    /// Creates an imported backup, which no other request imports meanwhile.
    fn create_imported(&self, backup: &Backup, size: u32, deployment: &Deployment) -> Result<(), Error> {
        refuse_existing(backup.id, self.store.has_backup(backup.id, &backup.project_id, self.now)?)?;
        let is_named = self.name_imported(backup)?;
        let amounts = quota::amounts_of(Counted::Backups, size, None, true);
        let created = self
            .store
            .create(backup, &amounts, false, None, |record| self.admit(record, Counted::Backups, &amounts, deployment));
        if created.is_err() && is_named {
            self.forget_dependent(backup)?;
        }
        self.open_counters(created, &backup.project_id, &amounts)?;
        self.join_chain(backup, is_named)
    }

    /// Joins an imported backup with its parent and its children, whichever of them were imported meanwhile. Each import looks
    /// for the others once its own row is written, so of two that cross, one sees the other.
    fn join_chain(&self, backup: &Backup, is_named: bool) -> Result<(), Error> {
        if self.store.has_ancestor(backup.parent_id, backup.id)? {
            self.remove_backup(backup)?;
            return Err(circle(backup.id));
        }
        if !is_named {
            self.name_imported(backup)?;
        }
        for child in self.children_without_parent(&backup.project_id, backup.id)? {
            self.name_dependent(backup, &child, &is_kept)?;
        }
        Ok(())
    }

    /// Names an imported backup in its parent, if there is one. Returns whether it is named.
    fn name_imported(&self, backup: &Backup) -> Result<bool, Error> {
        let parent = backup.parent_id.map(|parent| self.store.row::<Backup>(parent)).transpose()?.flatten();
        let parent = parent.and_then(|parent| self.current(parent));
        let Some(parent) = parent.filter(|parent| parent.status != BackupStatus::Deleting) else { return Ok(false) };
        if parent.dependents.iter().any(|own| own.id == backup.id) {
            return Ok(true);
        }
        self.name_dependent(&parent, backup, &is_kept)?;
        Ok(true)
    }

    /// Returns the backups of the caller's project that name a backup as their parent.
    fn children_without_parent(&self, project: &ProjectId, parent: BackupId) -> Result<Vec<Backup>, Error> {
        let mut children = Vec::new();
        if self.caller.project_id.as_ref() == Some(project) {
            self.each_row(&ListRequest::default(), |row: Backup| {
                if row.parent_id == Some(parent) {
                    children.push(row);
                }
            })?;
        }
        Ok(children)
    }

    /// Refuses a record that would be its own ancestor.
    fn refuse_circle(&self, record: &RecordToImport) -> Result<(), Error> {
        if self.store.has_ancestor(record.parent_id, record.id)? { Err(circle(record.id)) } else { Ok(()) }
    }
}

/// Refuses a record of a backup that there is, or that is being removed.
fn refuse_existing(id: BackupId, exists: Option<bool>) -> Result<(), Error> {
    match exists {
        Some(false) => Ok(()),
        Some(true) => Err(invalid_backup("Backup already exists in database.")),
        None => Err(StoreError::Contended(id.to_string()).into()),
    }
}

/// Returns whether a backup can have dependents that are imported.
fn is_kept(backup: &Backup) -> bool {
    backup.status != BackupStatus::Deleting
}

fn circle(id: BackupId) -> Error {
    invalid_backup(&format!("The parents of backup {id} lead back to it."))
}
