//! The directory: the projects that have a record. It is spread over as many slots as the agenda.

use crate::domain::trees::map_of;
use crate::domain::{ProjectId, Volume};

use super::Store;
use super::agenda::Agenda;
use super::codec::envelope::decode_optional;
use super::deployment::Deployment;
use super::key_value::StoreError;
use super::keys;
use super::projects::ProjectRecord;
use super::shared::decode_slot;
use super::slots::{SLOTS, slot_of};

/// 2⁶⁴ divided by the golden ratio. Multiples of it spread evenly over the 64-bit numbers.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

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

impl Directory {
    /// Adds the projects of records that are about to be written.
    pub(super) fn enter_all(&mut self, records: &[&ProjectRecord]) {
        let numbers = self.0.iter().enumerate().map(|(number, entry)| (entry.project.clone(), number));
        let numbers = map_of(numbers);
        for record in records {
            let has_snapshots_of_other_projects_volumes = record.has_snapshots_of_other_projects_volumes;
            if let Some(number) = numbers.get(&record.project) {
                self.0[*number].has_snapshots_of_other_projects_volumes |= has_snapshots_of_other_projects_volumes;
            } else {
                let project = record.project.clone();
                self.0.push(DirectoryEntry { project, has_snapshots_of_other_projects_volumes });
            }
        }
    }
}

impl Store<'_> {
    /// Returns every project that has a record, in a stable order.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn project_ids(&self) -> Result<Vec<ProjectId>, StoreError> {
        Ok(self.directory()?.into_iter().map(|entry| entry.project).collect())
    }

    /// Returns every project that has a record, in a stable order, from the keys of the store. Unlike the directory, it lacks
    /// no project if a slot cannot be read.
    #[must_use]
    pub fn projects_in(stored: &[String]) -> Vec<ProjectId> {
        let mut projects: Vec<ProjectId> = stored.iter().filter_map(|key| keys::project_of(key)).collect();
        projects.sort_unstable();
        projects
    }

    /// Returns every key of the store.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn stored_keys(&self) -> Result<Vec<String>, StoreError> {
        self.key_value.keys()
    }

    /// Returns the deployment and every project that has a record, in one call.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn deployment_and_project_ids(&self) -> Result<(Deployment, Vec<ProjectId>), StoreError> {
        let mut keys = directory_keys();
        keys.push(keys::DEPLOYMENT.to_owned());
        let mut values = self.key_value.get_many(&keys)?;
        let deployment = decode_optional::<Deployment>(keys::DEPLOYMENT, values.pop().flatten())?;
        let projects = self.entries(&keys, values)?.into_iter().map(|entry| entry.project).collect();
        Ok((deployment.unwrap_or_default(), projects))
    }

    /// Returns the records of every project that may have a snapshot of a volume: its owner, and the projects that may
    /// have snapshots of other projects' volumes.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn projects_with_snapshots_of(&self, volume: &Volume) -> Result<Vec<ProjectRecord>, StoreError> {
        self.projects_with_snapshots_from(&volume.project_id)
    }

    /// Returns the records of every project that may have a snapshot of a volume or a group of a project.
    pub(super) fn projects_with_snapshots_from(&self, owner: &ProjectId) -> Result<Vec<ProjectRecord>, StoreError> {
        let mut ids = vec![owner.clone()];
        let others = self.directory()?.into_iter().filter(|entry| entry.has_snapshots_of_other_projects_volumes);
        ids.extend(others.map(|entry| entry.project).filter(|project| project != owner));
        let mut read = self.read_records(&ids)?.into_iter();
        // The record of the owner is needed. Another project that cannot be read does not keep the owner's volume.
        let mut records: Vec<ProjectRecord> = read.next().transpose()?.flatten().into_iter().collect();
        for record in read {
            records.extend(self.without_unreadable(record)?.flatten());
        }
        Ok(records)
    }

    /// Returns the whole agenda, and the project whose turn it is to be looked after, in one call. `turn` counts seconds. All
    /// projects get their turns, whatever the period of the schedule. Slots that are lost are replaced. A slot of a newer
    /// format counts as empty, and `of_every_run` notes it.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn agenda_and_turn(
        &self,
        turn: u64,
        of_every_run: &Self,
    ) -> Result<(Vec<Agenda>, Option<ProjectId>), StoreError> {
        let spread = Spread::of(turn);
        let mut keys: Vec<String> = (0..SLOTS).map(keys::agenda).collect();
        keys.push(keys::directory(spread.slot()));
        let mut values = self.key_value.get_many(&keys)?;
        let is_empty = values.iter().all(Option::is_none);
        if is_empty {
            self.refuse_unreleased()?;
        }
        let read = decode_slot::<Directory>(&keys[SLOTS], spread.slot(), values.pop().flatten());
        let directory = self.restored_slot(spread.slot(), read, !is_empty);
        let directory = of_every_run.without_unreadable(directory)?.unwrap_or_default();
        let project = spread.project_of(directory.0.len());
        let project = directory.0.into_iter().nth(project).map(|entry| entry.project);
        let mut agendas = Vec::with_capacity(SLOTS);
        for (slot, (key, value)) in keys.iter().zip(values).enumerate() {
            let agenda = self.restored_slot(slot, decode_slot::<Agenda>(key, slot, value), !is_empty);
            agendas.push(of_every_run.without_unreadable(agenda)?.unwrap_or_default());
        }
        Ok((agendas, project))
    }

    fn directory(&self) -> Result<Vec<DirectoryEntry>, StoreError> {
        let keys = directory_keys();
        let values = self.key_value.get_many(&keys)?;
        self.entries(&keys, values)
    }

    /// Returns the entries of all slots. A slot that cannot be read is noted, and its projects are left out.
    fn entries(&self, keys: &[String], values: Vec<Option<Vec<u8>>>) -> Result<Vec<DirectoryEntry>, StoreError> {
        let mut entries = Vec::new();
        for (slot, (key, value)) in keys.iter().zip(values).enumerate() {
            let directory = self.without_unreadable(decode_slot::<Directory>(key, slot, value))?;
            entries.extend(directory.flatten().unwrap_or_default().0);
        }
        Ok(entries)
    }

    /// Adds a project to the directory.
    pub(super) fn enter(
        &self,
        project: &ProjectId,
        has_snapshots_of_other_projects_volumes: bool,
    ) -> Result<(), StoreError> {
        self.change_slot(slot_of(project), |directory: &mut Directory| {
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
    (0..SLOTS).map(keys::directory).collect()
}

/// A turn as a point in the 64-bit numbers. Turns at any period spread evenly, so the highest bits choose a slot evenly, and
/// the bits below them choose a project in it.
struct Spread(u64);

impl Spread {
    const fn of(turn: u64) -> Self {
        Self(turn.wrapping_mul(GOLDEN))
    }

    fn slot(&self) -> usize {
        scaled(self.0, SLOTS)
    }

    /// Returns the number of a project among those of the slot.
    fn project_of(&self, projects: usize) -> usize {
        scaled(self.0.wrapping_mul(SLOTS as u64), projects)
    }
}

/// Scales a number from all 64-bit numbers down to `0..count`.
fn scaled(number: u64, count: usize) -> usize {
    usize::try_from((u128::from(number) * count as u128) >> 64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_project_gets_its_turn_whatever_the_period_of_the_schedule() {
        for projects in [1, 2, 3, 30] {
            for period in [1, 2, 5, 10, 30, 60, 300, 900, 3_600] {
                let turns = (0..40 * 16 * projects as u64).map(|run| Spread::of(1_790_000_000 + run * period));
                let visited: BTreeSet<(usize, usize)> =
                    turns.map(|turn| (turn.slot(), turn.project_of(projects))).collect();
                assert_eq!(visited.len(), SLOTS * projects, "{projects} projects, every {period} seconds");
            }
        }
    }
}
