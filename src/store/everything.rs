//! The whole store at once: replaced by another state, or emptied, as an operator may wish.

use crate::domain::order::sorted;
use crate::domain::{ProjectId, Snapshot, Volume};

use super::agenda::{self, Agenda, AgendaItem, Kind};
use super::deployment::Deployment;
use super::envelope::encode_fresh;
use super::index::{Entry, Index};
use super::key_value::StoreError;
use super::projects::{Directory, DirectoryEntry, ProjectRecord, entry_of_snapshot, entry_of_volume};
use super::{Store, keys};

/// Everything that a store holds, as [`Store::replace_everything`] takes it.
#[derive(Debug, Default, Clone)]
pub struct Everything {
    pub snapshots: Vec<Snapshot>,
    pub volumes: Vec<Volume>,
    pub deployment: Deployment,
    /// The records of all projects that own a row, sorted by project; their listings are built from the rows.
    pub projects: Vec<ProjectRecord>,
    pub agenda: Vec<AgendaItem>,
}

impl Store<'_> {
    /// Replaces everything that is stored, in one commit: old rows that the new state lacks are overwritten with the
    /// empty value, which reads as absent, and deleted afterwards.
    ///
    /// # Errors
    ///
    /// What the key-value store gives. On `SQLite` nothing has changed then.
    pub fn replace_everything(&self, state: &Everything) -> Result<(), StoreError> {
        let mut entries: Vec<(String, Vec<u8>)> = Vec::with_capacity(state.snapshots.len() + state.volumes.len() + 64);
        for snapshot in &state.snapshots {
            let key = keys::snapshot(snapshot.id);
            let row = encode_fresh(&key, snapshot)?;
            entries.push((key, row));
        }
        for volume in &state.volumes {
            let key = keys::volume(volume.id);
            let row = encode_fresh(&key, volume)?;
            entries.push((key, row));
        }
        entries.push((keys::DEPLOYMENT.to_owned(), encode_fresh(keys::DEPLOYMENT, &state.deployment)?));

        let mut records = state.projects.clone();
        let number_of =
            |project: &ProjectId| state.projects.binary_search_by(|record| record.project.cmp(project)).ok();
        let mut listed: Vec<[Vec<Entry>; 2]> = vec![Default::default(); records.len()];
        for snapshot in &state.snapshots {
            if let Some(number) = number_of(&snapshot.project_id) {
                listed[number][0].push(entry_of_snapshot(snapshot));
            }
        }
        for volume in &state.volumes {
            if let Some(number) = number_of(&volume.project_id) {
                listed[number][1].push(entry_of_volume(volume));
            }
        }
        // Projects of before keep an empty record, since their claim counters stay too.
        let former = self.project_ids()?.into_iter().filter(|id| !state.projects.iter().any(|own| own.project == *id));
        records.extend(former.map(ProjectRecord::new));
        let mut shared: Vec<(Agenda, Directory)> = vec![Default::default(); Agenda::VALUES];
        let mut listed = listed.into_iter();
        for mut record in records {
            for (kind, own) in [Kind::Snapshot, Kind::Volume].into_iter().zip(listed.next().unwrap_or_default()) {
                let (index, changes) = Index::build(own, self);
                *record.index_mut(kind) = index;
                for (id, page) in changes.written {
                    let key = keys::page(id);
                    let value = encode_fresh(&key, &page)?;
                    entries.push((key, value));
                }
            }
            let key = keys::project(&record.project);
            let value = encode_fresh(&key, &record)?;
            entries.push((key, value));
            let has_snapshots_of_other_projects_volumes = record.has_snapshots_of_other_projects_volumes;
            let entry = DirectoryEntry { project: record.project, has_snapshots_of_other_projects_volumes };
            shared[agenda::place_of(&entry.project)].1.0.push(entry);
        }
        for item in &state.agenda {
            shared[agenda::place_of(&item.project)].0.0.push(item.clone());
        }
        for (place, (agenda, directory)) in shared.into_iter().enumerate() {
            let key = keys::agenda(place);
            let value = encode_fresh(&key, &agenda)?;
            entries.push((key, value));
            let key = keys::directory(place);
            let value = encode_fresh(&key, &directory)?;
            entries.push((key, value));
        }

        let stored = self.key_value.keys()?;
        let mut entries = sorted(entries, |(one, _), (two, _)| one.cmp(two));
        let is_written = |key: &String| entries.binary_search_by(|(own, _)| own.cmp(key)).is_ok();
        let obsolete: Vec<String> = stored.into_iter().filter(|key| is_obsolete(key) && !is_written(key)).collect();
        entries.extend(obsolete.iter().map(|key| (key.clone(), Vec::new())));
        self.key_value.set_many(&entries)?;
        if obsolete.is_empty() { Ok(()) } else { self.key_value.delete_many(&obsolete) }
    }

    /// Deletes everything that this service has stored.
    ///
    /// # Errors
    ///
    /// What the key-value store gives.
    pub fn clear(&self) -> Result<(), StoreError> {
        let keys: Vec<String> =
            self.key_value.keys()?.into_iter().filter(|key| key.starts_with(keys::PREFIX)).collect();
        if keys.is_empty() { Ok(()) } else { self.key_value.delete_many(&keys) }
    }
}

/// Whether a key that a new state lacks goes with the old one: anything but records and counters of claims.
fn is_obsolete(key: &str) -> bool {
    let kinds = [keys::of_rows(Kind::Snapshot), keys::of_rows(Kind::Volume), keys::PAGES];
    kinds.iter().any(|kind| key.starts_with(kind)) || [keys::FORMER_DIRECTORY, keys::SUSPECTS].contains(&key)
}
