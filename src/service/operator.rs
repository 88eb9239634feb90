//! What an operator does with the whole store: look at everything, replace it, empty it (`design/contract.md`).

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::domain::lifecycle::Occasion;
use crate::domain::quota::Amounts;
use crate::domain::{Pending, ProjectId, Snapshot, Timestamp, Volume};
use crate::store::agenda::{AgendaItem, Kind};
use crate::store::deployment::Deployment;
use crate::store::index::Direction;
use crate::store::projects::ProjectRecord;
use crate::store::{Everything, Listing, Store, StoreError};

/// How many rows are read at once.
const BATCH: usize = 1_000;

/// What concerns a project besides its rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProjectSettings {
    /// Limits of its own.
    pub quotas: Amounts,
    /// Counters that are open; see [`ProjectRecord::usage`].
    pub usage: Amounts,
}

/// Everything, as an operator sees it: rows as they are now, in a stable order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    pub volumes: Vec<Volume>,
    pub snapshots: Vec<Snapshot>,
    pub deployment: Deployment,
    pub projects: BTreeMap<ProjectId, ProjectSettings>,
}

/// Reads everything.
///
/// # Errors
///
/// What the store gives.
pub fn read(store: Store<'_>, now: Timestamp) -> Result<State, StoreError> {
    let records = store.projects(&store.project_ids()?)?;
    let mut state = State { deployment: store.deployment()?, ..State::default() };
    for record in &records {
        let settings = ProjectSettings { quotas: record.quotas.clone(), usage: record.usage.clone() };
        if settings != ProjectSettings::default() {
            state.projects.insert(record.project.clone(), settings);
        }
    }
    let mut listing = Listing::new(store, records.clone(), Kind::Snapshot, Direction::OldestFirst, None);
    loop {
        let ids: Vec<_> = listing.next(BATCH)?.iter().map(|entry| entry.position.id).collect();
        if ids.is_empty() {
            break;
        }
        let rows = store.snapshots(&ids)?.into_iter().flatten();
        state.snapshots.extend(rows.filter_map(|row| row.effective(now, Occasion::Reading)));
    }
    let mut listing = Listing::new(store, records, Kind::Volume, Direction::OldestFirst, None);
    loop {
        let ids: Vec<_> = listing.next(BATCH)?.iter().map(|entry| entry.position.id).collect();
        if ids.is_empty() {
            break;
        }
        let rows = store.volumes(&ids)?.into_iter().flatten();
        state.volumes.extend(rows.filter_map(|row| row.effective(now, Occasion::Reading)));
    }
    Ok(state)
}

/// Replaces everything, all or nothing.
///
/// # Errors
///
/// What the store gives; on a store whose batches are atomic nothing has changed then.
pub fn replace(store: Store<'_>, state: State) -> Result<(), StoreError> {
    let mut records: BTreeMap<ProjectId, ProjectRecord> = BTreeMap::new();
    let owners = (state.volumes.iter().map(|volume| &volume.project_id))
        .chain(state.snapshots.iter().map(|snapshot| &snapshot.project_id))
        .chain(state.projects.keys());
    for owner in owners {
        if !records.contains_key(owner) {
            records.insert(owner.clone(), ProjectRecord::new(owner.clone()));
        }
    }
    let gigabytes = state.deployment.snapshots_count_gigabytes();
    let mut owners_of_volumes: Vec<(Uuid, &ProjectId)> =
        state.volumes.iter().map(|volume| (volume.id.as_uuid(), &volume.project_id)).collect();
    owners_of_volumes.sort_unstable();
    let owner_of = |volume: Uuid| {
        let at = owners_of_volumes.binary_search_by_key(&volume, |(id, _)| *id).ok()?;
        Some(owners_of_volumes[at].1)
    };
    let mut agenda = Vec::new();
    for volume in &state.volumes {
        if let Some(record) = records.get_mut(&volume.project_id) {
            let due = volume.pending.map_or(volume.created_at, |pending| pending.due);
            list(record, AgendaItem::of_volume(volume, due), volume.pending, gigabytes, &mut agenda);
        }
    }
    for snapshot in &state.snapshots {
        if let Some(record) = records.get_mut(&snapshot.project_id) {
            let due = snapshot.pending.map_or(snapshot.created_at, |pending| pending.due);
            list(record, AgendaItem::of_snapshot(snapshot, due), snapshot.pending, gigabytes, &mut agenda);
            record.has_snapshots_of_other_projects_volumes |=
                owner_of(snapshot.volume_id.as_uuid()) != Some(&snapshot.project_id);
        }
    }
    for record in records.values_mut() {
        if let Some(settings) = state.projects.get(&record.project) {
            record.quotas.clone_from(&settings.quotas);
            record.usage.clone_from(&settings.usage);
        }
    }
    store.replace_everything(&Everything {
        snapshots: state.snapshots,
        volumes: state.volumes,
        deployment: state.deployment,
        projects: records.into_values().collect(),
        agenda,
    })
}

/// Counts a row in its project's record, and puts it on the agenda where the scheduled step must look at it.
fn list(
    record: &mut ProjectRecord,
    item: AgendaItem,
    pending: Option<Pending>,
    snapshots_count_gigabytes: bool,
    agenda: &mut Vec<AgendaItem>,
) {
    for (resource, amount) in item.amounts(snapshots_count_gigabytes) {
        *record.totals.entry(resource).or_default() += amount;
    }
    if pending.is_some_and(|pending| pending.needs_tick()) {
        agenda.push(item);
    }
}
