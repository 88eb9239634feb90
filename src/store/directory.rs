//! The directory: the projects that have a record. It is spread over as many slots as the agenda.

use crate::domain::{ProjectId, Volume};

use super::Store;
use super::agenda::{self, Agenda};
use super::codec::envelope::decode_optional;
use super::deployment::Deployment;
use super::key_value::StoreError;
use super::keys;
use super::projects::ProjectRecord;

/// One slot of the directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directory(pub Vec<DirectoryEntry>);

/// A project that has a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryEntry {
    pub project: ProjectId,
    /// Whether the project may have snapshots of other projects' volumes. The deletion of a volume searches such
    /// projects.
    pub has_snapshots_of_other_projects_volumes: bool,
}

impl Store<'_> {
    /// Returns every project that has a record, in a stable order.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn project_ids(&self) -> Result<Vec<ProjectId>, StoreError> {
        Ok(self.directory()?.into_iter().map(|entry| entry.project).collect())
    }

    /// Returns the deployment and every project that has a record, in one call.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn deployment_and_project_ids(&self) -> Result<(Deployment, Vec<ProjectId>), StoreError> {
        let mut keys = directory_keys();
        keys.push(keys::DEPLOYMENT.to_owned());
        let mut values = self.key_value.get_many(&keys)?;
        let deployment = decode_optional::<Deployment>(keys::DEPLOYMENT, values.pop().flatten())?;
        let projects = entries(&keys, values)?.into_iter().map(|entry| entry.project).collect();
        Ok((deployment.unwrap_or_default(), projects))
    }

    /// Returns the records of every project that may have a snapshot of a volume: its owner, and the projects that may
    /// have snapshots of other projects' volumes.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn projects_with_snapshots_of(&self, volume: &Volume) -> Result<Vec<ProjectRecord>, StoreError> {
        let mut ids = vec![volume.project_id.clone()];
        let others = self.directory()?.into_iter().filter(|entry| entry.has_snapshots_of_other_projects_volumes);
        ids.extend(others.map(|entry| entry.project).filter(|project| *project != volume.project_id));
        self.projects(&ids)
    }

    fn directory(&self) -> Result<Vec<DirectoryEntry>, StoreError> {
        let keys = directory_keys();
        let values = self.key_value.get_many(&keys)?;
        entries(&keys, values)
    }

    /// Adds a project to the directory.
    pub(super) fn enter(
        &self,
        project: &ProjectId,
        has_snapshots_of_other_projects_volumes: bool,
    ) -> Result<(), StoreError> {
        self.change_shared(&keys::directory(agenda::slot_of(project)), |directory: &mut Directory| {
            let entries = &mut directory.0;
            if let Some(entry) = entries.iter_mut().find(|entry| entry.project == *project) {
                entry.has_snapshots_of_other_projects_volumes |= has_snapshots_of_other_projects_volumes;
            } else {
                let project = project.clone();
                entries.push(DirectoryEntry { project, has_snapshots_of_other_projects_volumes });
            }
        })
    }
}

fn directory_keys() -> Vec<String> {
    (0..Agenda::SLOTS).map(keys::directory).collect()
}

fn entries(keys: &[String], values: Vec<Option<Vec<u8>>>) -> Result<Vec<DirectoryEntry>, StoreError> {
    let mut entries = Vec::new();
    for (key, value) in keys.iter().zip(values) {
        entries.extend(decode_optional::<Directory>(key, value)?.unwrap_or_default().0);
    }
    Ok(entries)
}
