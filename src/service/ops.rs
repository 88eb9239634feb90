//! The operator's operations: reading and replacing the whole state, repair, explanation, and running the scheduled
//! step by hand (`docs/operations.md`).
//!
//! They have no caller and no policy, because `api::ops` admits only the operator.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::domain::lifecycle::{Moment, Occasion};
use crate::domain::quota::Amounts;
use crate::domain::trees::{map_of, set_of};
use crate::domain::{
    AttachmentPointer, Backup, BackupId, GroupId, GroupSnapshotId, GroupStatus, GroupTypes, ProjectId, Snapshot,
    SnapshotId, Timestamp, Volume, VolumeId, VolumeTypeId, VolumeTypes,
};
use crate::store::agenda::{Agenda, AgendaItem};
use crate::store::extension::Reservation;
use crate::store::index::Direction;
use crate::store::projects::ProjectRecord;
use crate::store::row::with_row_type;
use crate::store::rows::rows_at_once;
use crate::store::{Identifiers, KeyValue, Kind, Listing, Notes, Row, Rows, Store, StoreError, StoredRow, StoredState};
use crate::tick;

pub use crate::store::deployment::{BackendService, Deployment};
pub use crate::store::repair::Repair;
pub use crate::store::{Removal, Unreadable};
pub use crate::tick::{Bounds as TickBounds, Report as TickReport};

/// How long a successful write proves that the store can be written.
const PROOF_SECONDS: f64 = 10.0;

/// The settings and counters of a project, besides its rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProjectSettings {
    /// The limits that were set for this project.
    pub quotas: Amounts,
    /// The open counters, see [`ProjectRecord::usage`].
    pub usage: Amounts,
    /// The amounts that are reserved besides `usage`. They follow from the rows.
    pub reserved: Amounts,
}

/// The whole state, as an operator replaces it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    pub rows: Rows,
    pub deployment: Deployment,
    pub volume_types: VolumeTypes,
    pub group_types: GroupTypes,
    pub projects: BTreeMap<ProjectId, ProjectSettings>,
}

impl State {
    /// Returns the settings of a project. Adds default settings if there are none.
    pub fn settings_of(&mut self, project: ProjectId) -> &mut ProjectSettings {
        self.projects.entry(project).or_default()
    }
}

/// The part of the state besides the rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StateSettings {
    pub deployment: Deployment,
    /// The projects whose settings are not the default.
    pub projects: BTreeMap<ProjectId, ProjectSettings>,
    /// The stored values that cannot be read, sorted by key. The rest of the state is without them.
    pub unreadable: Vec<Unreadable>,
}

/// A reader of the whole state: first the rows of each kind, and then the settings. Only a few rows are in memory at a time.
#[derive(Debug)]
pub struct StateReader<'a> {
    store: Store<'a>,
    now: Timestamp,
    /// The keys of the store.
    stored: Vec<String>,
    records: Vec<ProjectRecord>,
    deployment: Deployment,
    pub volume_types: VolumeTypes,
    pub group_types: GroupTypes,
    /// The rows that count towards quota, by project.
    counted: BTreeMap<ProjectId, Vec<AlikeRows>>,
    /// The amounts that extensions under way have reserved, by project.
    reserved: BTreeMap<ProjectId, Amounts>,
}

/// Rows of a project that each count the same amounts towards quota.
#[derive(Debug)]
struct AlikeRows {
    kind: Kind,
    size: u32,
    volume_type: Option<VolumeTypeId>,
    count: i64,
}

impl StateReader<'_> {
    /// Calls `each` with the current rows of one kind in all projects, oldest first.
    ///
    /// # Errors
    ///
    /// Errors of the store.
    pub fn each<T: Row>(&mut self, mut each: impl FnMut(T)) -> Result<(), StoreError> {
        let at_once = rows_at_once(&self.records);
        let records = self.records.clone();
        let mut listing =
            Listing::new(self.store, records, T::KIND, Direction::OldestFirst, None).without_unreadable_pages(|_| true);
        let mut known: BTreeSet<Uuid> = BTreeSet::new();
        loop {
            let ids: Vec<Uuid> = listing.next(at_once)?.iter().map(|entry| entry.position.id).collect();
            if ids.is_empty() {
                break;
            }
            for row in self.store.rows::<T>(&ids)?.into_iter().filter_map(StoredRow::readable) {
                if let Some(row) = row.effective(self.now, Occasion::Reading).map(Row::with_extension_settled) {
                    self.count(&row);
                    each(row);
                }
            }
            known.extend(ids);
        }
        self.store.note_unlisted::<T>(&self.stored, &known, at_once)
    }

    /// Returns the number of backups that depend on each backup.
    ///
    /// # Errors
    ///
    /// Errors of the store.
    pub fn dependents(&self) -> Result<BTreeMap<BackupId, usize>, StoreError> {
        let at_once = rows_at_once(&self.records);
        let mut listing = Listing::new(self.store, self.records.clone(), Kind::Backup, Direction::OldestFirst, None)
            .without_unreadable_pages(|_| true);
        let mut dependents: BTreeMap<BackupId, usize> = BTreeMap::new();
        loop {
            let ids: Vec<Uuid> = listing.next(at_once)?.iter().map(|entry| entry.position.id).collect();
            if ids.is_empty() {
                return Ok(dependents);
            }
            let rows = self.store.rows::<Backup>(&ids)?.into_iter().filter_map(StoredRow::readable);
            for row in rows.filter_map(|row| row.effective(self.now, Occasion::Reading)) {
                if let Some(parent) = row.parent_id.filter(|_| row.counts_as_dependent) {
                    *dependents.entry(parent).or_default() += 1;
                }
            }
        }
    }

    fn count<T: Row>(&mut self, row: &T) {
        if !row.consumes_quota() {
            return;
        }
        if let Some(extension) = row.extension() {
            let reserved = self.reserved.entry(row.project_id().clone()).or_default();
            for (resource, amount) in Reservation::of(row, extension).amounts() {
                *reserved.entry(resource).or_default() += amount;
            }
        }
        let alike = match self.counted.get_mut(row.project_id()) {
            Some(alike) => alike,
            None => self.counted.entry(row.project_id().clone()).or_default(),
        };
        let (kind, size, volume_type) = (T::KIND, row.size(), row.volume_type_id());
        let is_alike = |own: &&mut AlikeRows| own.kind == kind && own.size == size && own.volume_type == volume_type;
        match alike.iter_mut().find(is_alike) {
            Some(own) => own.count += 1,
            None => alike.push(AlikeRows { kind, size, volume_type, count: 1 }),
        }
    }

    /// Returns the rest of the state. The usage is that of the rows that were read, so the state can be written back while a
    /// removal is due.
    ///
    /// # Errors
    ///
    /// Errors of the store.
    pub fn settings(mut self) -> Result<StateSettings, StoreError> {
        let gigabytes = self.deployment.snapshots_count_gigabytes();
        let settings = self.records.into_iter().map(|record| {
            let mut counted = Amounts::new();
            for alike in self.counted.get(&record.project).into_iter().flatten() {
                for (resource, amount) in alike.kind.amounts(alike.size, alike.volume_type, gigabytes) {
                    *counted.entry(resource).or_default() += amount * alike.count;
                }
            }
            let usage = record.usage_of(&counted);
            let reserved = self.reserved.remove(&record.project).unwrap_or_default();
            (record.project, ProjectSettings { quotas: record.quotas, usage, reserved })
        });
        let projects = map_of(settings.filter(|(_, settings)| *settings != ProjectSettings::default()));
        self.store.note_slots()?;
        Ok(StateSettings { deployment: self.deployment, projects, unreadable: self.store.noted() })
    }
}

/// An explanation of the state of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The snapshot as stored in its row.
    pub stored: Snapshot,
    /// The snapshot as readers see it, or `None` if it no longer exists for them.
    pub seen: Option<Snapshot>,
    /// Whether the listing of its project contains it.
    pub is_listed: bool,
    /// The time from which the scheduled step handles it, if it is on the agenda.
    pub on_agenda: Option<Timestamp>,
}

/// The operator's access to the whole store.
#[derive(Debug, Clone, Copy)]
pub struct Ops<'a> {
    store: Store<'a>,
    now: Timestamp,
}

impl<'a> Ops<'a> {
    /// Returns access to the store in `key_value` at `now`.
    #[must_use]
    pub const fn new(
        key_value: &'a dyn KeyValue,
        identifiers: &'a dyn Identifiers,
        notes: &'a Notes,
        now: Timestamp,
    ) -> Self {
        Self { store: Store::new(key_value, identifiers, notes), now }
    }

    /// Checks that the store can be read and was not written by an unreleased version.
    ///
    /// # Errors
    ///
    /// Errors of the store.
    pub fn check_store(&self) -> Result<(), StoreError> {
        self.store.deployment()?;
        self.store.refuse_unreleased()
    }

    /// Checks that the store can be written: that a write of this check succeeded in the last `PROOF_SECONDS`. If none
    /// did, it writes now. A proof that lies in the future of the clock counts as none.
    ///
    /// # Errors
    ///
    /// Errors of the store.
    pub fn check_writable(&self) -> Result<(), StoreError> {
        let is_recent = |proof: Timestamp| proof <= self.now && self.now < proof.plus_seconds(PROOF_SECONDS);
        if self.store.last_proof()?.is_some_and(is_recent) {
            return Ok(());
        }
        self.check_store()?;
        self.store.prove_writable(self.now)
    }

    /// Begins to read the whole state.
    ///
    /// # Errors
    ///
    /// Errors of the store.
    pub fn read_state(&self) -> Result<StateReader<'a>, StoreError> {
        self.store.refuse_unreleased()?;
        let stored = self.store.stored_keys()?;
        let records = self.store.projects(&Store::projects_in(&stored))?;
        let deployment = self.store.without_unreadable(self.store.deployment())?.unwrap_or_default();
        let mut volume_types = self.store.without_unreadable(self.store.volume_types())?.unwrap_or_default();
        volume_types.reserved = None;
        let mut group_types = self.store.without_unreadable(self.store.group_types())?.unwrap_or_default();
        group_types.reserved = None;
        let (store, now, counted, reserved) = (self.store, self.now, BTreeMap::new(), BTreeMap::new());
        Ok(StateReader { store, now, stored, records, deployment, volume_types, group_types, counted, reserved })
    }

    /// Replaces the whole state.
    ///
    /// # Errors
    ///
    /// Errors of the store. If the batches of the store are atomic, nothing has changed after an error.
    pub fn replace(&self, mut state: State) -> Result<(), StoreError> {
        let pointers = |volume: &Volume| -> Vec<AttachmentPointer> {
            volume.attachment_slots().map(|slot| AttachmentPointer::new(volume, slot)).collect()
        };
        state.rows.attachments = state.rows.volumes.iter().flat_map(pointers).collect();
        list_members(&mut state.rows);
        let mut projects: BTreeMap<ProjectId, NewProject> = BTreeMap::new();
        let gigabytes = state.deployment.snapshots_count_gigabytes();
        let mut agenda = Vec::new();
        for volume in &state.rows.volumes {
            NewProject::among(&mut projects, &volume.project_id).volumes.insert(volume.id.as_uuid());
        }
        for group in &state.rows.groups {
            NewProject::among(&mut projects, &group.project_id).volumes.insert(group.id.as_uuid());
        }
        for kind in Kind::ALL {
            with_row_type!(kind, R => {
                for row in R::list(&state.rows) {
                    NewProject::among(&mut projects, row.project_id()).count(row, gigabytes, self.now, &mut agenda);
                }
            });
        }
        for (project, settings) in &state.projects {
            let record = &mut NewProject::among(&mut projects, project).record;
            record.quotas.clone_from(&settings.quotas);
            record.usage.clone_from(&settings.usage);
        }
        self.store.replace_state(StoredState {
            rows: state.rows,
            deployment: state.deployment,
            volume_types: state.volume_types,
            group_types: state.group_types,
            projects: projects.into_values().map(|project| project.record).collect(),
            agenda,
        })
    }

    /// Deletes the whole state.
    ///
    /// # Errors
    ///
    /// Errors of the store.
    pub fn clear(&self) -> Result<(), StoreError> {
        self.store.clear()
    }

    /// Rebuilds the listings, the counters, and the agenda from the rows. Also returns the values that it could not read,
    /// sorted by key.
    ///
    /// # Errors
    ///
    /// Errors of the store.
    pub fn repair(&self) -> Result<(Repair, Vec<Unreadable>), StoreError> {
        self.store.refuse_unreleased()?;
        let repair = self.store.repair(self.now)?;
        Ok((repair, self.store.noted()))
    }

    /// Removes a row that cannot be read, and corrects the listing and the counters of its project.
    ///
    /// # Errors
    ///
    /// Errors of the store. After an error of the repair the row is gone, and a later repair corrects the rest.
    pub fn remove_unreadable(&self, key: &str) -> Result<Removal, StoreError> {
        self.store.refuse_unreleased()?;
        let removal = self.store.remove_unreadable(key)?;
        if removal == Removal::Removed {
            self.store.repair(self.now)?;
        }
        Ok(removal)
    }

    /// Explains a snapshot. Returns `None` if there is no such row.
    ///
    /// # Errors
    ///
    /// Errors of the store.
    pub fn explain(&self, id: SnapshotId) -> Result<Option<Explanation>, StoreError> {
        let Some(stored) = self.store.row::<Snapshot>(id)? else { return Ok(None) };
        let seen = stored.clone().effective(self.now, Occasion::Reading);
        let item = AgendaItem::now(&stored, self.now);
        let (mut is_listed, mut on_agenda) = (false, None);
        if let Some((record, agenda)) = self.store.project_with_agenda(&stored.project_id)? {
            on_agenda = agenda.iter().find(|other| other.row() == item.row()).map(|other| other.due);
            is_listed = !self.store.listed(&record, &[item])?.is_empty();
        }
        Ok(Some(Explanation { stored, seen, is_listed, on_agenda: on_agenda.map(Timestamp::from_microseconds) }))
    }

    /// Runs the scheduled step as if it were `time`, or at the current time. Returns the time that it used and its
    /// report.
    ///
    /// # Errors
    ///
    /// Errors of the store.
    pub fn tick(&self, time: Option<Timestamp>, bounds: TickBounds) -> Result<(Timestamp, TickReport), StoreError> {
        let moment = match time {
            Some(time) => Moment::as_if(time, self.now),
            None => Moment::scheduled(self.now),
        };
        Ok((moment.now, tick::run(&self.store, moment, bounds)?))
    }
}

impl super::Service<'_> {
    /// Runs part of the scheduled step. A delete calls this when its slot of the agenda is full, which means that no
    /// step has handled the slot for a long time. Errors are ignored: the next step retries, and the delete must not
    /// fail.
    pub(super) fn relieve_full_agenda(&self) {
        let message_ttl = self.settings.get().map_or(f64::MAX, |settings| settings.message_ttl_seconds);
        let bounds = TickBounds { rows: Agenda::ENOUGH, message_ttl };
        let _ = tick::run(&self.store, Moment::scheduled(self.now), bounds);
    }
}

/// Lists in groups the volumes that name them, and in group snapshots the snapshots that name them.
fn list_members(rows: &mut Rows) {
    let mut by_group: BTreeMap<GroupId, Vec<VolumeId>> = BTreeMap::new();
    for volume in &rows.volumes {
        if let Some(group) = volume.group_id {
            by_group.entry(group).or_default().push(volume.id);
        }
    }
    for group in &mut rows.groups {
        group.volumes = by_group.remove(&group.id).unwrap_or_default();
        let added = group.added.clone();
        group.list_volumes(&added);
    }
    let mut by_group_snapshot: BTreeMap<GroupSnapshotId, Vec<SnapshotId>> = BTreeMap::new();
    for snapshot in &rows.snapshots {
        if let Some(own) = snapshot.group_snapshot_id {
            by_group_snapshot.entry(own).or_default().push(snapshot.id);
        }
    }
    let ids = set_of(rows.groups.iter().map(|group| group.id));
    let mut copies: BTreeMap<GroupSnapshotId, Vec<GroupId>> = BTreeMap::new();
    let mut copies_of_groups: BTreeMap<GroupId, Vec<GroupId>> = BTreeMap::new();
    for group in rows.groups.iter().filter(|group| group.status == GroupStatus::Creating) {
        if let Some(source) = group.group_snapshot_id {
            copies.entry(source).or_default().push(group.id);
        }
        if let Some(source) = group.source_group_id.filter(|source| ids.contains(source)) {
            copies_of_groups.entry(source).or_default().push(group.id);
        }
    }
    for group in &mut rows.groups {
        group.copies = copies_of_groups.remove(&group.id).unwrap_or_default();
    }
    for own in &mut rows.group_snapshots {
        own.members = by_group_snapshot.remove(&own.id).unwrap_or_default();
        own.copies = copies.remove(&own.id).unwrap_or_default();
    }
}

/// A project in a state that replaces the stored one.
struct NewProject {
    record: ProjectRecord,
    /// The ids of its volumes and groups, to detect snapshots of those that belong to other projects.
    volumes: BTreeSet<Uuid>,
}

impl NewProject {
    /// Returns a project among others. Adds an empty one if it is not there.
    fn among<'a>(projects: &'a mut BTreeMap<ProjectId, Self>, project: &ProjectId) -> &'a mut Self {
        projects
            .entry(project.clone())
            .or_insert_with(|| Self { record: ProjectRecord::new(project.clone()), volumes: BTreeSet::new() })
    }

    /// Counts a row, and adds it to the agenda if the scheduled step must handle it.
    fn count<T: Row>(
        &mut self,
        row: &T,
        snapshots_count_gigabytes: bool,
        now: Timestamp,
        agenda: &mut Vec<AgendaItem>,
    ) {
        let item = AgendaItem::when_due(row);
        self.record.has_large_rows |= row.is_large();
        if let Some(extension) = row.extension().filter(|_| row.consumes_quota()) {
            self.record.reservations.insert(row.id(), Reservation::of(row, extension));
        }
        let is_foreign = T::KIND == Kind::Snapshot && !self.volumes.contains(&row.indexed_volume());
        self.record.has_snapshots_of_other_projects_volumes |= is_foreign;
        for (resource, amount) in &item.amounts(snapshots_count_gigabytes) {
            *self.record.totals.entry(resource.clone()).or_default() += amount;
        }
        if row.needs_tick(now) {
            agenda.push(item);
        }
    }
}
