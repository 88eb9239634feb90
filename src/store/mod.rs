//! How things are kept: rows, listings, quota counters and the agenda of due work, on a key-value store.
//!
//! One row per snapshot or volume is the truth; a project's record lists its rows and counts them. Every change is at
//! most two commits, ordered so that a crash between them leaves a state from which reads are right:
//!
//! - create: the row, then the project's record. A row that no record lists was never acknowledged.
//! - delete: the agenda (in the record), then the row. An agenda item whose row is not being removed is dropped.
//! - removal: the rows, then the record. An entry whose row is gone is skipped by readers and taken out again.
//!
//! This layer must not know HTTP, microversions or who may do what. The layout is argued in
//! `docs/adr/0002-store-layout.md`.

pub mod deployment;
mod envelope;
pub mod index;
pub mod key_value;
mod keys;
pub mod listing;
pub mod memory;
pub mod projects;
pub mod snapshots;
pub mod volumes;

use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::domain::{ProjectId, Snapshot, SnapshotId, Volume, VolumeId};

use deployment::Deployment;
use envelope::{Header, encode, encode_fresh};
use index::{Entry, PageChanges, PageId, PageSource};
use projects::{AgendaItem, Kind, ProjectRecord};
use snapshots::SnapshotRow;
use volumes::VolumeRow;

pub use envelope::FORMAT_VERSION;
pub use key_value::{KeyValue, StoreError};
pub use listing::Listing;
pub use memory::MemoryKeyValue;

/// How often a replaced value is tried before the client is told to come back.
const ATTEMPTS: u32 = 24;

/// How often a writer looks for a record that another is making, before it offers to make it.
const CLAIM_LOOKS: u32 = 8;

/// The source of ids; given from outside so that the core has no randomness of its own.
pub trait Identifiers {
    /// A random UUID (version 4).
    fn uuid(&self) -> Uuid;

    /// A random number, as the name of a page or a write.
    fn number(&self) -> u64 {
        self.uuid().as_u64_pair().1
    }
}

/// What a change of a stored value comes to.
#[derive(Debug)]
pub enum Change<T, R> {
    /// Write this, then answer that.
    Write(T, R),
    /// Write nothing.
    Leave(R),
}

/// The store of this service.
#[derive(Clone, Copy)]
pub struct Store<'a> {
    key_value: &'a dyn KeyValue,
    identifiers: &'a dyn Identifiers,
}

impl std::fmt::Debug for Store<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Store").finish_non_exhaustive()
    }
}

impl<'a> Store<'a> {
    /// A store over a key-value store.
    #[must_use]
    pub const fn new(key_value: &'a dyn KeyValue, identifiers: &'a dyn Identifiers) -> Self {
        Self { key_value, identifiers }
    }

    /// The row of a snapshot.
    ///
    /// # Errors
    ///
    /// What the key-value store gives, or a value that cannot be read; likewise for every method here.
    pub fn snapshot(&self, id: SnapshotId) -> Result<Option<Snapshot>, StoreError> {
        Ok(self.read::<SnapshotRow>(&keys::snapshot(id))?.map(Into::into))
    }

    /// The rows of snapshots, in the order asked for.
    #[expect(clippy::missing_errors_doc, reason = "as for snapshot")]
    pub fn snapshots(&self, ids: &[Uuid]) -> Result<Vec<Option<Snapshot>>, StoreError> {
        let keys: Vec<String> = ids.iter().map(|id| keys::snapshot(SnapshotId::new(*id))).collect();
        Ok(self.read_many::<SnapshotRow>(&keys)?.into_iter().map(|row| row.map(Into::into)).collect())
    }

    /// The row of a volume.
    #[expect(clippy::missing_errors_doc, reason = "as for snapshot")]
    pub fn volume(&self, id: VolumeId) -> Result<Option<Volume>, StoreError> {
        Ok(self.read::<VolumeRow>(&keys::volume(id))?.map(Into::into))
    }

    /// The rows of volumes, in the order asked for.
    #[expect(clippy::missing_errors_doc, reason = "as for snapshot")]
    pub fn volumes(&self, ids: &[Uuid]) -> Result<Vec<Option<Volume>>, StoreError> {
        let keys: Vec<String> = ids.iter().map(|id| keys::volume(VolumeId::new(*id))).collect();
        Ok(self.read_many::<VolumeRow>(&keys)?.into_iter().map(|row| row.map(Into::into)).collect())
    }

    /// What concerns the whole deployment.
    #[expect(clippy::missing_errors_doc, reason = "as for snapshot")]
    pub fn deployment(&self) -> Result<Deployment, StoreError> {
        Ok(self.read::<Deployment>(keys::DEPLOYMENT)?.unwrap_or_default())
    }

    /// A volume and the deployment, in one call.
    #[expect(clippy::missing_errors_doc, reason = "as for snapshot")]
    pub fn volume_and_deployment(&self, id: VolumeId) -> Result<(Option<Volume>, Deployment), StoreError> {
        let keys = [keys::volume(id), keys::DEPLOYMENT.to_owned()];
        let mut values = self.key_value.get_many(&keys)?.into_iter();
        let volume = decode::<VolumeRow>(&keys[0], values.next().flatten())?;
        let deployment = decode::<Deployment>(&keys[1], values.next().flatten())?;
        Ok((volume.map(Into::into), deployment.unwrap_or_default()))
    }

    /// The record of a project; none before its first volume or snapshot.
    #[expect(clippy::missing_errors_doc, reason = "as for snapshot")]
    pub fn project(&self, id: &ProjectId) -> Result<Option<ProjectRecord>, StoreError> {
        self.read(&keys::project(id))
    }

    /// Every project that has a record, in the order in which they came.
    #[expect(clippy::missing_errors_doc, reason = "as for snapshot")]
    pub fn project_ids(&self) -> Result<Vec<ProjectId>, StoreError> {
        Ok(self.read(keys::PROJECTS)?.unwrap_or_default())
    }

    /// The records of projects, those that have one.
    #[expect(clippy::missing_errors_doc, reason = "as for snapshot")]
    pub fn projects(&self, ids: &[ProjectId]) -> Result<Vec<ProjectRecord>, StoreError> {
        let keys: Vec<String> = ids.iter().map(keys::project).collect();
        Ok(self.read_many(&keys)?.into_iter().flatten().collect())
    }

    /// The entries of a page; `None` when it was retired and deleted since its name was read.
    fn page(&self, id: PageId) -> Result<Option<Vec<Entry>>, StoreError> {
        self.read(&keys::page(id))
    }

    /// Changes a snapshot's row: `change` is called with what is stored, again for each attempt.
    ///
    /// # Errors
    ///
    /// What `change` gives, [`StoreError::Contended`] when others were always faster, or what the store gives.
    pub fn update_snapshot<R, E: From<StoreError>>(
        &self,
        id: SnapshotId,
        mut change: impl FnMut(Option<Snapshot>) -> Result<Change<Snapshot, R>, E>,
    ) -> Result<R, E> {
        self.update::<SnapshotRow, R, E>(&keys::snapshot(id), |row| {
            Ok(match change(row.map(Into::into))? {
                Change::Write(snapshot, answer) => Change::Write(snapshot.into(), answer),
                Change::Leave(answer) => Change::Leave(answer),
            })
        })
    }

    /// Changes a volume's row, as [`Store::update_snapshot`] does a snapshot's.
    #[expect(clippy::missing_errors_doc, reason = "as for update_snapshot")]
    pub fn update_volume<R, E: From<StoreError>>(
        &self,
        id: VolumeId,
        mut change: impl FnMut(Option<Volume>) -> Result<Change<Volume, R>, E>,
    ) -> Result<R, E> {
        self.update::<VolumeRow, R, E>(&keys::volume(id), |row| {
            Ok(match change(row.map(Into::into))? {
                Change::Write(volume, answer) => Change::Write(volume.into(), answer),
                Change::Leave(answer) => Change::Leave(answer),
            })
        })
    }

    /// Writes a snapshot and lists it in its project, if `admit` allows what the project holds at that moment.
    ///
    /// # Errors
    ///
    /// What `admit` gives; nothing is then left. [`StoreError::Contended`] likewise. After a failure of the host
    /// the snapshot may be there or not, as after any lost answer.
    pub fn create_snapshot<E: From<StoreError>>(
        &self,
        snapshot: &Snapshot,
        mut admit: impl FnMut(&mut ProjectRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        let key = keys::snapshot(snapshot.id);
        let row = encode_fresh(&key, &SnapshotRow::from(snapshot.clone()))?;
        let entry = projects::entry_of_snapshot(snapshot);
        self.create(&snapshot.project_id, (key, row), Kind::Snapshot, entry, &mut admit)
    }

    /// Writes a volume and lists it in its project, as [`Store::create_snapshot`] does a snapshot.
    #[expect(clippy::missing_errors_doc, reason = "as for create_snapshot")]
    pub fn create_volume<E: From<StoreError>>(
        &self,
        volume: &Volume,
        mut admit: impl FnMut(&mut ProjectRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        let key = keys::volume(volume.id);
        let row = encode_fresh(&key, &VolumeRow::from(volume.clone()))?;
        let entry = projects::entry_of_volume(volume);
        self.create(&volume.project_id, (key, row), Kind::Volume, entry, &mut admit)
    }

    fn create<E: From<StoreError>>(
        &self,
        project: &ProjectId,
        (key, row): (String, Vec<u8>),
        kind: Kind,
        entry: Entry,
        admit: &mut dyn FnMut(&mut ProjectRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut unwritten = Some((key.clone(), row));
        let outcome = self.update_project(project, |record, writes| {
            admit(record)?;
            record.index_mut(kind).insert(entry, &mut writes.pages, self)?;
            // The row goes with the pages of the first attempt; later attempts find it written.
            writes.rows.extend(unwritten.take());
            Ok::<_, E>(())
        });
        match outcome {
            Ok(()) => Ok(()),
            Err(UpdateError::Refused(refusal)) => {
                if unwritten.is_none() {
                    self.key_value.delete_many(&[key])?;
                }
                Err(refusal)
            }
            Err(UpdateError::Store(error)) => {
                if matches!(error, StoreError::Contended(_)) && unwritten.is_none() {
                    self.key_value.delete_many(&[key])?;
                }
                Err(error.into())
            }
        }
    }

    /// Writes rows of snapshots that go with their volume, all in one commit, whatever was written to them meanwhile:
    /// each is about to be removed. Whoever changes one by compare-and-swap sees it changed and decides anew.
    #[expect(clippy::missing_errors_doc, reason = "as for snapshot")]
    pub fn overwrite_snapshots(&self, snapshots: Vec<Snapshot>) -> Result<(), StoreError> {
        let mut entries = Vec::with_capacity(snapshots.len());
        for snapshot in snapshots {
            let key = keys::snapshot(snapshot.id);
            let row = encode_fresh(&key, &SnapshotRow::from(snapshot))?;
            entries.push((key, row));
        }
        if entries.is_empty() { Ok(()) } else { self.key_value.set_many(&entries) }
    }

    /// Puts rows on a project's agenda.
    #[expect(clippy::missing_errors_doc, reason = "as for snapshot")]
    pub fn schedule(&self, project: &ProjectId, items: &[AgendaItem]) -> Result<(), StoreError> {
        self.change_project(project, |record, _| {
            for item in items {
                record.schedule(item.clone());
            }
            Ok(())
        })
    }

    /// Removes rows for good: deletes them, takes them out of the listing and the agenda, and gives back what they
    /// counted. Safe to repeat, and safe when two do it at once: the quota is given back with the entry of the listing.
    #[expect(clippy::missing_errors_doc, reason = "as for snapshot")]
    pub fn remove(
        &self,
        project: &ProjectId,
        items: &[AgendaItem],
        snapshots_count_gigabytes: bool,
        retired: &[PageId],
    ) -> Result<(), StoreError> {
        let rows = items.iter().map(|item| match item.kind {
            Kind::Snapshot => keys::snapshot(SnapshotId::new(item.id)),
            Kind::Volume => keys::volume(VolumeId::new(item.id)),
        });
        let gone: Vec<String> = rows.chain(retired.iter().copied().map(keys::page)).collect();
        if !gone.is_empty() {
            self.key_value.delete_many(&gone)?;
        }
        self.change_project(project, |record, writes| {
            record.retired.retain(|page| !retired.contains(page));
            record.agenda.retain(|listed| !items.iter().any(|item| (item.kind, item.id) == (listed.kind, listed.id)));
            for kind in [Kind::Snapshot, Kind::Volume] {
                let of_kind = || items.iter().filter(|item| item.kind == kind);
                let positions: Vec<_> = of_kind().map(AgendaItem::position).collect();
                let removed = record.index_mut(kind).remove(&positions, &mut writes.pages, self)?;
                for item in of_kind().filter(|item| removed.contains(&item.position())) {
                    record.give_back(&item.amounts(snapshots_count_gigabytes));
                }
            }
            Ok(())
        })
    }

    /// Of some agenda items, those that stand in the listing; the others were removed by somebody else.
    #[expect(clippy::missing_errors_doc, reason = "as for snapshot")]
    pub fn listed(&self, record: &ProjectRecord, items: &[AgendaItem]) -> Result<Vec<AgendaItem>, StoreError> {
        let mut listed = Vec::with_capacity(items.len());
        for kind in [Kind::Snapshot, Kind::Volume] {
            let positions: Vec<_> = items.iter().filter(|item| item.kind == kind).map(AgendaItem::position).collect();
            let positions = record.index(kind).listed(&positions, self)?;
            listed
                .extend(items.iter().filter(|item| item.kind == kind && positions.contains(&item.position())).cloned());
        }
        Ok(listed)
    }

    /// Changes a project's record where only the store can refuse.
    #[expect(clippy::missing_errors_doc, reason = "as for snapshot")]
    pub fn change_project<R>(
        &self,
        project: &ProjectId,
        change: impl FnMut(&mut ProjectRecord, &mut ProjectWrites) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        self.update_project(project, change).map_err(|error| match error {
            UpdateError::Refused(error) | UpdateError::Store(error) => error,
        })
    }

    /// Changes a project's record, making it first if there is none. Pages and rows that the change asks for are
    /// written before the record that names them.
    fn update_project<R, E>(
        &self,
        project: &ProjectId,
        mut change: impl FnMut(&mut ProjectRecord, &mut ProjectWrites) -> Result<R, E>,
    ) -> Result<R, UpdateError<E>> {
        let key = keys::project(project);
        // Pages of attempts that lost are named by nobody; the attempt that wins retires them.
        let mut orphans: Vec<PageId> = Vec::new();
        self.update(&key, |record: Option<ProjectRecord>| {
            let Some(mut record) = record else {
                return Ok(Change::Leave(None));
            };
            let mut writes = ProjectWrites::default();
            let answer = change(&mut record, &mut writes).map_err(UpdateError::Refused)?;
            record.retired.append(&mut writes.pages.retired);
            record.retired.extend(&orphans);
            let mut fresh = writes.rows;
            for (page, entries) in &writes.pages.written {
                let key = keys::page(*page);
                fresh.push((key.clone(), encode_fresh(&key, &entries)?));
                orphans.push(*page);
            }
            if !fresh.is_empty() {
                self.key_value.set_many(&fresh)?;
            }
            Ok(Change::Write(record, Some(answer)))
        })
        .and_then(|answer| {
            if let Some(answer) = answer {
                Ok(answer)
            } else {
                self.ensure_project(project)?;
                self.update_project(project, change)
            }
        })
    }

    /// Makes the record of a project and names it in the list of projects. Of several who do so at once, one wins
    /// by a counter, since a swap cannot create (`design/spin-facts.md`).
    fn ensure_project(&self, project: &ProjectId) -> Result<(), StoreError> {
        self.ensure(keys::PROJECTS, keys::PROJECTS_CLAIM, &Vec::<ProjectId>::new())?;
        self.update(keys::PROJECTS, |known: Option<Vec<ProjectId>>| {
            let mut known = known.unwrap_or_default();
            if known.contains(project) {
                return Ok::<_, StoreError>(Change::Leave(()));
            }
            known.push(project.clone());
            Ok(Change::Write(known, ()))
        })?;
        self.ensure(&keys::project(project), &keys::claim(project), &ProjectRecord::new(project.clone()))
    }

    /// Makes a shared value if nobody has. Whoever first counts up the claim makes it; the others wait for it. Should
    /// the first die in between, a later one takes over after a while, so nobody is stuck.
    fn ensure<T: Serialize>(&self, key: &str, claim: &str, initial: &T) -> Result<(), StoreError> {
        if self.key_value.get(key)?.is_some() {
            return Ok(());
        }
        let turn = self.key_value.increment(claim, 1)?;
        if turn > 1 {
            for attempt in 0..CLAIM_LOOKS {
                self.key_value.pause(attempt);
                if self.key_value.get(key)?.is_some() {
                    return Ok(());
                }
            }
        }
        self.key_value.set_many(&[(key.to_owned(), encode_fresh(key, &initial)?)])
    }

    /// Replaces one value by compare-and-swap, `change` deciding on what is stored, until it wins or gives up.
    fn update<T, R, E>(&self, key: &str, mut change: impl FnMut(Option<T>) -> Result<Change<T, R>, E>) -> Result<R, E>
    where
        T: Serialize + DeserializeOwned,
        E: From<StoreError>,
    {
        // What the caller answers or refuses with goes past the loop, which is then the same for all callers of a
        // type: compiled once, it keeps the component small.
        let mut outcome: Option<Result<R, E>> = None;
        self.replace(key, &mut |stored| match change(stored) {
            Ok(Change::Write(value, answer)) => {
                outcome = Some(Ok(answer));
                Some(value)
            }
            Ok(Change::Leave(answer)) => {
                outcome = Some(Ok(answer));
                None
            }
            Err(refusal) => {
                outcome = Some(Err(refusal));
                None
            }
        })?;
        outcome.unwrap_or_else(|| Err(StoreError::Contended(key.to_owned()).into()))
    }

    /// The loop of [`Store::update`]: `decide` gives what to write over what is stored, or nothing to leave it.
    fn replace<T>(&self, key: &str, decide: &mut dyn FnMut(Option<T>) -> Option<T>) -> Result<(), StoreError>
    where
        T: Serialize + DeserializeOwned,
    {
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                self.key_value.pause(attempt - 1);
            }
            let read = self.key_value.read_to_swap(key)?;
            let (header, stored) = match read.value {
                Some(bytes) => {
                    let (header, stored) = envelope::decode(key, &bytes)?;
                    (header, Some(stored))
                }
                None => (Header::default(), None),
            };
            let Some(value) = decide(stored) else { return Ok(()) };
            let write_id = self.identifiers.number();
            let bytes = encode(key, &header.next(write_id), &value)?;
            let failure = match read.handle.swap(&bytes) {
                Ok(true) => return Ok(()),
                Ok(false) => None,
                Err(error) => Some(error),
            };
            // "No" and "I do not know" are both settled by looking: the write has landed if its id is there.
            if self.has_write(key, write_id)? {
                return Ok(());
            }
            if let Some(error) = failure {
                return Err(error);
            }
        }
        Err(StoreError::Contended(key.to_owned()))
    }

    fn has_write(&self, key: &str, write_id: u64) -> Result<bool, StoreError> {
        let Some(bytes) = self.key_value.get(key)? else { return Ok(false) };
        Ok(Header::read(key, &bytes)?.0.has_write(write_id))
    }

    fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StoreError> {
        decode(key, self.key_value.get(key)?)
    }

    fn read_many<T: DeserializeOwned>(&self, keys: &[String]) -> Result<Vec<Option<T>>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let values = self.key_value.get_many(keys)?;
        keys.iter().zip(values).map(|(key, value)| decode(key, value)).collect()
    }

    /// Replaces everything that is stored, in one commit: old rows that the new state lacks are overwritten with the
    /// empty value, which reads as absent, and deleted afterwards.
    ///
    /// # Errors
    ///
    /// What the key-value store gives. On `SQLite` nothing has changed then.
    pub fn replace_everything(&self, state: &Everything) -> Result<(), StoreError> {
        let mut entries: Vec<(String, Vec<u8>)> = Vec::with_capacity(state.snapshots.len() + state.volumes.len() + 16);
        for snapshot in &state.snapshots {
            let key = keys::snapshot(snapshot.id);
            let row = encode_fresh(&key, &SnapshotRow::from(snapshot.clone()))?;
            entries.push((key, row));
        }
        for volume in &state.volumes {
            let key = keys::volume(volume.id);
            let row = encode_fresh(&key, &VolumeRow::from(volume.clone()))?;
            entries.push((key, row));
        }
        entries.push((keys::DEPLOYMENT.to_owned(), encode_fresh(keys::DEPLOYMENT, &state.deployment)?));

        let mut project_ids: Vec<ProjectId> = state.projects.iter().map(|record| record.project.clone()).collect();
        for record in &state.projects {
            let mut record = record.clone();
            for kind in [Kind::Snapshot, Kind::Volume] {
                let listed = state.entries(kind, &record.project);
                let (index, changes) = index::Index::build(listed, self);
                *record.index_mut(kind) = index;
                for (page, page_entries) in changes.written {
                    let key = keys::page(page);
                    let value = encode_fresh(&key, &page_entries)?;
                    entries.push((key, value));
                }
            }
            let key = keys::project(&record.project);
            let value = encode_fresh(&key, &record)?;
            entries.push((key, value));
        }

        // Projects of before keep an empty record, since their claim counters stay too.
        let stored = self.key_value.keys()?;
        for former in self.project_ids()? {
            if !project_ids.contains(&former) {
                let key = keys::project(&former);
                entries.push((key.clone(), encode_fresh(&key, &ProjectRecord::new(former.clone()))?));
                project_ids.push(former);
            }
        }
        entries.push((keys::PROJECTS.to_owned(), encode_fresh(keys::PROJECTS, &project_ids)?));

        let written: std::collections::HashSet<&str> = entries.iter().map(|(key, _)| key.as_str()).collect();
        let obsolete: Vec<String> =
            stored.into_iter().filter(|key| is_row_or_page(key) && !written.contains(key.as_str())).collect();
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

/// Everything that a store holds, as [`Store::replace_everything`] takes it.
#[derive(Debug, Default, Clone)]
pub struct Everything {
    pub snapshots: Vec<Snapshot>,
    pub volumes: Vec<Volume>,
    pub deployment: Deployment,
    /// The records of all projects that own a row; their listings are built from the rows.
    pub projects: Vec<ProjectRecord>,
}

impl Everything {
    fn entries(&self, kind: Kind, project: &ProjectId) -> Vec<Entry> {
        match kind {
            Kind::Snapshot => {
                let own = self.snapshots.iter().filter(|snapshot| snapshot.project_id == *project);
                own.map(projects::entry_of_snapshot).collect()
            }
            Kind::Volume => {
                let own = self.volumes.iter().filter(|volume| volume.project_id == *project);
                own.map(projects::entry_of_volume).collect()
            }
        }
    }
}

/// What a change of a project's record writes before it.
#[derive(Debug, Default)]
pub struct ProjectWrites {
    pub pages: PageChanges,
    rows: Vec<(String, Vec<u8>)>,
}

/// Why a project's record was not changed.
#[derive(Debug)]
enum UpdateError<E> {
    /// The caller's own reason.
    Refused(E),
    /// The store's.
    Store(StoreError),
}

impl<E> From<StoreError> for UpdateError<E> {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl PageSource for Store<'_> {
    fn read(&self, id: PageId) -> Result<Vec<Entry>, StoreError> {
        // A change reads pages of the record that it replaces. If one is gone, the record has been replaced by
        // another writer, the swap would fail, and the whole call is as if it had lost.
        self.page(id)?.ok_or_else(|| StoreError::Contended(keys::page(id)))
    }

    fn fresh(&self) -> PageId {
        PageId::new(self.identifiers.number())
    }
}

fn is_row_or_page(key: &str) -> bool {
    ["vs:snapshot:", "vs:volume:", "vs:page:"].iter().any(|kind| key.starts_with(kind))
}

fn decode<T: DeserializeOwned>(key: &str, value: Option<Vec<u8>>) -> Result<Option<T>, StoreError> {
    value.map(|bytes| envelope::decode(key, &bytes).map(|(_, value)| value)).transpose()
}
