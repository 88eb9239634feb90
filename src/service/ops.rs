//! What an operator does with the whole store: look at everything, replace it, empty it (`design/contract.md`).

use uuid::Uuid;

use crate::domain::lifecycle::Occasion;
use crate::domain::order::sorted;
use crate::domain::quota::Amounts;
use crate::domain::{Pending, ProjectId, Snapshot, SnapshotId, Timestamp, Volume};
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
    /// Sorted by project.
    pub projects: Vec<(ProjectId, ProjectSettings)>,
}

impl State {
    /// The settings of a project.
    pub fn settings_of(&mut self, project: ProjectId) -> &mut ProjectSettings {
        let at = self.projects.binary_search_by(|(own, _)| own.cmp(&project)).unwrap_or_else(|at| {
            self.projects.insert(at, (project, ProjectSettings::default()));
            at
        });
        &mut self.projects[at].1
    }
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
            *state.settings_of(record.project.clone()) = settings;
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
    let mut owners: Vec<Owner> = Vec::new();
    let number_of = |owners: &mut Vec<Owner>, project: &ProjectId| {
        owners.binary_search_by(|owner| owner.record.project.cmp(project)).unwrap_or_else(|at| {
            let record = ProjectRecord::new(project.clone());
            owners.insert(at, Owner { record, volumes: Vec::new() });
            at
        })
    };
    let gigabytes = state.deployment.snapshots_count_gigabytes();
    let mut agenda = Vec::new();
    for volume in &state.volumes {
        let number = number_of(&mut owners, &volume.project_id);
        let due = volume.pending.map_or(volume.created_at, |pending| pending.due);
        owners[number].volumes.push(volume.id.as_uuid());
        owners[number].count(AgendaItem::of_volume(volume, due), volume.pending, gigabytes, &mut agenda);
    }
    for owner in &mut owners {
        owner.volumes = sorted(std::mem::take(&mut owner.volumes), Ord::cmp);
    }
    for snapshot in &state.snapshots {
        let number = number_of(&mut owners, &snapshot.project_id);
        let due = snapshot.pending.map_or(snapshot.created_at, |pending| pending.due);
        owners[number].count(AgendaItem::of_snapshot(snapshot, due), snapshot.pending, gigabytes, &mut agenda);
        owners[number].record.has_snapshots_of_other_projects_volumes |=
            owners[number].volumes.binary_search(&snapshot.volume_id.as_uuid()).is_err();
    }
    for (project, settings) in &state.projects {
        let number = number_of(&mut owners, project);
        owners[number].record.quotas.clone_from(&settings.quotas);
        owners[number].record.usage.clone_from(&settings.usage);
    }
    store.replace_everything(&Everything {
        snapshots: state.snapshots,
        volumes: state.volumes,
        deployment: state.deployment,
        projects: owners.into_iter().map(|owner| owner.record).collect(),
        agenda,
    })
}

/// What there is to say of a snapshot: why it is as it is, and what comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What its row says.
    pub stored: Snapshot,
    /// What readers see; `None` when for them it is gone.
    pub seen: Option<Snapshot>,
    /// Whether its project lists it.
    pub is_listed: bool,
    /// When the scheduled step will look at it, if it will.
    pub on_agenda: Option<Timestamp>,
}

/// Explains a snapshot; `None` when there is no such row.
///
/// # Errors
///
/// What the store gives.
pub fn explain(store: Store<'_>, id: SnapshotId, now: Timestamp) -> Result<Option<Explanation>, StoreError> {
    let Some(stored) = store.snapshot(id)? else { return Ok(None) };
    let seen = stored.clone().effective(now, Occasion::Reading);
    let item = AgendaItem::of_snapshot(&stored, now);
    let (mut is_listed, mut on_agenda) = (false, None);
    if let Some((record, agenda)) = store.project_with_agenda(&stored.project_id)? {
        on_agenda = agenda.iter().find(|other| other.is_about(&item)).map(|other| other.due);
        is_listed = !store.listed(&record, &[item])?.is_empty();
    }
    Ok(Some(Explanation { stored, seen, is_listed, on_agenda: on_agenda.map(Timestamp::from_microseconds) }))
}

/// A project of a new state.
struct Owner {
    record: ProjectRecord,
    /// The ids of its volumes, so that snapshots of others' are known.
    volumes: Vec<Uuid>,
}

impl Owner {
    /// Counts a row, and puts it on the agenda where the scheduled step must look at it.
    fn count(
        &mut self,
        item: AgendaItem,
        pending: Option<Pending>,
        snapshots_count_gigabytes: bool,
        agenda: &mut Vec<AgendaItem>,
    ) {
        for (resource, amount) in &item.amounts(snapshots_count_gigabytes) {
            *self.record.totals.or_default(resource) += amount;
        }
        if pending.is_some_and(|pending| pending.needs_tick()) {
            agenda.push(item);
        }
    }
}
