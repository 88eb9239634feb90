//! How things are kept: rows, listings, quota counters and the agenda of due work, on a key-value store.
//!
//! One row per snapshot or volume is the truth; a project's record lists its rows and counts them; the agenda names the
//! rows that the scheduled step must look at. Every change is at most two commits, ordered so that a crash between them
//! leaves a state from which reads are right:
//!
//! - create: the row, then the project's record. A row that no record lists was never acknowledged.
//! - delete: the agenda, then the row. An agenda item whose row is not being removed is dropped.
//! - removal: the rows, then the record. An entry whose row is gone is skipped by readers, and its item is still on the
//!   agenda. Quota is given back with the entry, in one swap, so that a repeated removal gives nothing twice.
//!
//! This layer must not know HTTP, microversions or who may do what. The layout is argued in
//! `docs/adr/0002-store-layout.md` and `docs/adr/0003-agenda-and-compact-pages.md`.

pub mod agenda;
mod bytes;
mod changes;
pub mod deployment;
mod envelope;
mod everything;
pub mod index;
pub mod key_value;
mod keys;
pub mod listing;
pub mod memory;
pub mod projects;
pub mod repair;
pub mod snapshots;
pub mod tokens;
mod version_1;
mod version_2;
pub mod volumes;

use std::cell::Cell;

use uuid::Uuid;

use crate::domain::quota::Amounts;
use crate::domain::{ProjectId, Snapshot, SnapshotId, Volume, VolumeId};

use agenda::{Agenda, AgendaItem, Kind};
use changes::UpdateError;
use deployment::Deployment;
use envelope::{Stored, encode_fresh};
use index::{Entry, Page, PageId, PageSource, Position};
use projects::{Directory, DirectoryEntry, ProjectRecord};

pub use envelope::FORMAT_VERSION;
pub use everything::Everything;
pub use key_value::{KeyValue, StoreError};
pub use listing::Listing;
pub use memory::MemoryKeyValue;

/// How many pages are written anew in one go: as many as one commit should write at once.
const COMPACTED_AT_ONCE: usize = 8;

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
        self.read(&keys::snapshot(id))
    }

    /// The rows of snapshots, in the order asked for.
    #[expect(clippy::missing_errors_doc, reason = "as for snapshot")]
    pub fn snapshots(&self, ids: &[Uuid]) -> Result<Vec<Option<Snapshot>>, StoreError> {
        let keys: Vec<String> = ids.iter().map(|id| keys::snapshot(SnapshotId::new(*id))).collect();
        self.read_many(&keys)
    }

    /// The row of a volume.
    #[expect(clippy::missing_errors_doc, reason = "as for snapshot")]
    pub fn volume(&self, id: VolumeId) -> Result<Option<Volume>, StoreError> {
        self.read(&keys::volume(id))
    }

    /// The rows of volumes, in the order asked for.
    #[expect(clippy::missing_errors_doc, reason = "as for snapshot")]
    pub fn volumes(&self, ids: &[Uuid]) -> Result<Vec<Option<Volume>>, StoreError> {
        let keys: Vec<String> = ids.iter().map(|id| keys::volume(VolumeId::new(*id))).collect();
        self.read_many(&keys)
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
        let volume = decode(&keys[0], values.next().flatten())?;
        let deployment = decode::<Deployment>(&keys[1], values.next().flatten())?;
        Ok((volume, deployment.unwrap_or_default()))
    }

    /// The record of a project; none before its first volume or snapshot.
    #[expect(clippy::missing_errors_doc, reason = "as for snapshot")]
    pub fn project(&self, id: &ProjectId) -> Result<Option<ProjectRecord>, StoreError> {
        self.read(&keys::project(id))
    }

    /// The deployment and the record of a project, in one call.
    #[expect(clippy::missing_errors_doc, reason = "as for snapshot")]
    pub fn deployment_and_project(&self, id: &ProjectId) -> Result<(Deployment, Option<ProjectRecord>), StoreError> {
        let keys = [keys::DEPLOYMENT.to_owned(), keys::project(id)];
        let mut values = self.key_value.get_many(&keys)?.into_iter();
        let deployment = decode::<Deployment>(&keys[0], values.next().flatten())?;
        Ok((deployment.unwrap_or_default(), decode(&keys[1], values.next().flatten())?))
    }

    /// The deployment and every project that has a record, in one call.
    #[expect(clippy::missing_errors_doc, reason = "as for snapshot")]
    pub fn deployment_and_project_ids(&self) -> Result<(Deployment, Vec<ProjectId>), StoreError> {
        let mut keys = directory_keys();
        keys.push(keys::DEPLOYMENT.to_owned());
        let mut values = self.key_value.get_many(&keys)?;
        let deployment = decode::<Deployment>(keys::DEPLOYMENT, values.pop().flatten())?;
        let projects = entries_of_directory(&keys, values)?.into_iter().map(|entry| entry.project).collect();
        Ok((deployment.unwrap_or_default(), projects))
    }

    /// The record of a project with its part of the agenda, in one call, so that the two fit each other.
    #[expect(clippy::missing_errors_doc, reason = "as for snapshot")]
    pub fn project_with_agenda(&self, id: &ProjectId) -> Result<Option<(ProjectRecord, Vec<AgendaItem>)>, StoreError> {
        let keys = [keys::project(id), keys::agenda(agenda::place_of(id))];
        let mut values = self.key_value.get_many(&keys)?.into_iter();
        let record = decode::<ProjectRecord>(&keys[0], values.next().flatten())?;
        let agenda = decode::<Agenda>(&keys[1], values.next().flatten())?.unwrap_or_default();
        Ok(record.map(|record| {
            let former = record.former_agenda.iter().cloned();
            let items = agenda.0.into_iter().filter(|item| item.project == *id).chain(former).collect();
            (record, items)
        }))
    }

    /// Every project that has a record, in a stable order.
    #[expect(clippy::missing_errors_doc, reason = "as for snapshot")]
    pub fn project_ids(&self) -> Result<Vec<ProjectId>, StoreError> {
        Ok(self.directory()?.into_iter().map(|entry| entry.project).collect())
    }

    /// Every project that may have a snapshot of a volume: its owner, and whoever has snapshots of others' volumes.
    #[expect(clippy::missing_errors_doc, reason = "as for snapshot")]
    pub fn projects_with_snapshots_of(&self, volume: &Volume) -> Result<Vec<ProjectRecord>, StoreError> {
        let mut ids = vec![volume.project_id.clone()];
        let others = self.directory()?.into_iter().filter(|entry| entry.has_snapshots_of_other_projects_volumes);
        ids.extend(others.map(|entry| entry.project).filter(|project| *project != volume.project_id));
        self.projects(&ids)
    }

    fn directory(&self) -> Result<Vec<DirectoryEntry>, StoreError> {
        let keys = directory_keys();
        let values = self.key_value.get_many(&keys)?;
        entries_of_directory(&keys, values)
    }

    /// The records of projects, those that have one.
    #[expect(clippy::missing_errors_doc, reason = "as for snapshot")]
    pub fn projects(&self, ids: &[ProjectId]) -> Result<Vec<ProjectRecord>, StoreError> {
        let keys: Vec<String> = ids.iter().map(keys::project).collect();
        Ok(self.read_many(&keys)?.into_iter().flatten().collect())
    }

    /// The whole agenda, and the project that is the `turn`-th to be looked after, in one call. Every project gets its
    /// turn within as many turns as there are projects, times the values of the directory.
    #[expect(clippy::missing_errors_doc, reason = "as for snapshot")]
    pub fn agenda_and_turn(&self, turn: u64) -> Result<(Vec<Agenda>, Option<ProjectId>), StoreError> {
        let places = Agenda::VALUES as u64 + 1;
        let directory = match usize::try_from(turn % places) {
            Ok(place) if place < Agenda::VALUES => keys::directory(place),
            _ => keys::FORMER_DIRECTORY.to_owned(),
        };
        let mut keys: Vec<String> = (0..Agenda::VALUES).map(keys::agenda).collect();
        keys.push(directory);
        let mut values = self.key_value.get_many(&keys)?;
        let directory = decode::<Directory>(&keys[Agenda::VALUES], values.pop().flatten())?.unwrap_or_default();
        let agendas = keys.iter().zip(values).map(|(key, value)| Ok(decode(key, value)?.unwrap_or_default()));
        let projects = directory.0;
        let number = (turn / places).checked_rem(projects.len() as u64).and_then(|number| usize::try_from(number).ok());
        let project = number.and_then(|number| projects.into_iter().nth(number)).map(|entry| entry.project);
        Ok((agendas.collect::<Result<_, StoreError>>()?, project))
    }

    /// Of some agenda items of one project, those that stand in its listing; the others were removed already.
    #[expect(clippy::missing_errors_doc, reason = "as for snapshot")]
    pub fn listed(&self, record: &ProjectRecord, items: &[AgendaItem]) -> Result<Vec<AgendaItem>, StoreError> {
        let mut listed = Vec::new();
        for kind in [Kind::Snapshot, Kind::Volume] {
            let of_kind = || items.iter().filter(|item| item.kind == kind);
            let positions: Vec<Position> = of_kind().map(AgendaItem::position).collect();
            let positions = record.index(kind).listed(&positions, self)?;
            listed.extend(of_kind().filter(|item| positions.contains(&item.position())).cloned());
        }
        Ok(listed)
    }

    /// Writes a snapshot, lists it in its project and counts it, if `admit` allows what the project holds at that
    /// moment.
    ///
    /// # Errors
    ///
    /// What `admit` gives; nothing is then left. [`StoreError::Contended`] likewise. After a failure of the host
    /// the snapshot may be there or not, as after any lost answer.
    pub fn create_snapshot<E: From<StoreError>>(
        &self,
        snapshot: &Snapshot,
        amounts: &Amounts,
        of_other_projects_volume: bool,
        mut admit: impl FnMut(&ProjectRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        let key = keys::snapshot(snapshot.id);
        let row = encode_fresh(&key, snapshot)?;
        let creation = Creation {
            project: &snapshot.project_id,
            row: (key, row),
            kind: Kind::Snapshot,
            entry: projects::entry_of_snapshot(snapshot),
            amounts,
            of_other_projects_volume,
        };
        self.create(creation, &mut admit)
    }

    /// Writes a volume, as [`Store::create_snapshot`] does a snapshot.
    #[expect(clippy::missing_errors_doc, reason = "as for create_snapshot")]
    pub fn create_volume<E: From<StoreError>>(
        &self,
        volume: &Volume,
        amounts: &Amounts,
        mut admit: impl FnMut(&ProjectRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        let key = keys::volume(volume.id);
        let row = encode_fresh(&key, volume)?;
        let creation = Creation {
            project: &volume.project_id,
            row: (key, row),
            kind: Kind::Volume,
            entry: projects::entry_of_volume(volume),
            amounts,
            of_other_projects_volume: false,
        };
        self.create(creation, &mut admit)
    }

    fn create<E: From<StoreError>>(
        &self,
        creation: Creation<'_>,
        admit: &mut dyn FnMut(&ProjectRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        let Creation { project, row, kind, entry, amounts, of_other_projects_volume } = creation;
        let key = row.0.clone();
        let mut unwritten = Some(row);
        let outcome = self.update_project(project, |record, writes| {
            // A repair that found the row before its record was written has listed and counted it.
            let is_new = record.index_mut(kind).insert(entry, &mut writes.pages, writes.source)?;
            if is_new {
                admit(record)?;
                record.take(amounts);
            }
            if of_other_projects_volume && !record.has_snapshots_of_other_projects_volumes {
                // Whoever deletes a volume must find this project before it has such a snapshot.
                self.note_snapshots_of_other_projects_volumes(project)?;
                record.has_snapshots_of_other_projects_volumes = true;
            }
            // The row goes with the pages of the first attempt; later attempts find it written.
            writes.rows.extend(unwritten.take());
            Ok::<_, E>(())
        });
        let error = match outcome {
            Ok(()) => return Ok(()),
            Err(UpdateError::Refused(refusal)) => refusal,
            // Whether a failed write landed is not known, so its row stays; one that was never tried goes.
            Err(UpdateError::Store(error @ StoreError::Contended(_))) => error.into(),
            Err(UpdateError::Store(error)) => return Err(error.into()),
        };
        if unwritten.is_none() {
            self.key_value.delete_many(&[key])?;
        }
        Err(error)
    }

    /// Writes rows of snapshots that go with their volume, all in one commit, whatever was written to them meanwhile:
    /// each is about to be removed. Whoever changes one by compare-and-swap sees it changed and decides anew.
    #[expect(clippy::missing_errors_doc, reason = "as for snapshot")]
    pub fn overwrite_snapshots(&self, snapshots: &[Snapshot]) -> Result<(), StoreError> {
        let mut entries = Vec::with_capacity(snapshots.len());
        for snapshot in snapshots {
            let key = keys::snapshot(snapshot.id);
            let row = encode_fresh(&key, snapshot)?;
            entries.push((key, row));
        }
        if entries.is_empty() { Ok(()) } else { self.key_value.set_many(&entries) }
    }

    /// Puts rows on the agenda, before they change: one commit, or more where they are of several projects. Says whether
    /// the agenda is so full that somebody should attend to it.
    #[expect(clippy::missing_errors_doc, reason = "as for snapshot")]
    pub fn schedule(&self, items: &[AgendaItem]) -> Result<bool, StoreError> {
        let is_full = Cell::new(false);
        for place in 0..Agenda::VALUES {
            let here: Vec<&AgendaItem> = items.iter().filter(|item| agenda::place_of(&item.project) == place).collect();
            if !here.is_empty() {
                self.change_agenda(place, |agenda| {
                    for item in &here {
                        agenda.schedule((*item).clone());
                    }
                    is_full.set(is_full.get() || agenda.0.len() > Agenda::ENOUGH);
                })?;
            }
        }
        Ok(is_full.get())
    }

    /// Takes items off the agenda, unless they were scheduled anew.
    #[expect(clippy::missing_errors_doc, reason = "as for snapshot")]
    pub fn forget(&self, place: usize, items: &[AgendaItem]) -> Result<(), StoreError> {
        self.change_agenda(place, |agenda| agenda.0.retain(|item| !items.contains(item)))
    }

    /// Removes rows of one project for good: deletes them, takes them out of the listing, and gives back what they
    /// counted. Two commits. Safe to repeat, and safe when two do it at once. What is on the agenda stays there. Says
    /// whether pages are left that [`Store::compact`] should write anew.
    #[expect(clippy::missing_errors_doc, reason = "as for snapshot")]
    pub fn remove(
        &self,
        project: &ProjectId,
        items: &[AgendaItem],
        snapshots_count_gigabytes: bool,
    ) -> Result<bool, StoreError> {
        let rows = items.iter().map(|item| match item.kind {
            Kind::Snapshot => keys::snapshot(SnapshotId::new(item.id)),
            Kind::Volume => keys::volume(VolumeId::new(item.id)),
        });
        self.key_value.delete_many(&rows.collect::<Vec<_>>())?;
        self.change_project(project, |record, writes| {
            for kind in [Kind::Snapshot, Kind::Volume] {
                let of_kind = || items.iter().filter(|item| item.kind == kind);
                let positions: Vec<Position> = of_kind().map(AgendaItem::position).collect();
                let removed = record.index_mut(kind).remove(&positions, &mut writes.pages, writes.source)?;
                for item in of_kind().filter(|item| removed.contains(&item.position())) {
                    record.give_back(&item.amounts(snapshots_count_gigabytes));
                }
            }
            Ok(record.is_sparse())
        })
    }

    /// Deletes the pages that a project's listings have left behind. Whoever still reads an older record reads it anew.
    #[expect(clippy::missing_errors_doc, reason = "as for snapshot")]
    pub fn delete_retired(&self, record: &ProjectRecord) -> Result<(), StoreError> {
        let pages: Vec<String> = record.retired.iter().copied().map(keys::page).collect();
        self.key_value.delete_many(&pages)?;
        self.change_project(&record.project, |stored, _| {
            stored.retired.retain(|page| !record.retired.contains(page));
            Ok(())
        })
    }

    /// Writes pages anew of which much is removed, a few of them; two commits.
    #[expect(clippy::missing_errors_doc, reason = "as for snapshot")]
    pub fn compact(&self, project: &ProjectId) -> Result<(), StoreError> {
        self.change_project(project, |record, writes| {
            for kind in [Kind::Snapshot, Kind::Volume] {
                for _ in 0..COMPACTED_AT_ONCE {
                    if !record.index_mut(kind).compact(&mut writes.pages, writes.source)? {
                        break;
                    }
                }
            }
            Ok(())
        })
    }

    /// Moves what an older release kept of the agenda in a project's record to where it belongs.
    #[expect(clippy::missing_errors_doc, reason = "as for snapshot")]
    pub fn move_former_agenda(&self, record: &ProjectRecord) -> Result<(), StoreError> {
        self.schedule(&record.former_agenda)?;
        self.change_project(&record.project, |stored, _| {
            stored.former_agenda.retain(|item| !record.former_agenda.contains(item));
            Ok(())
        })
    }

    fn read<T: Stored>(&self, key: &str) -> Result<Option<T>, StoreError> {
        decode(key, self.key_value.get(key)?)
    }

    fn read_many<T: Stored>(&self, keys: &[String]) -> Result<Vec<Option<T>>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let values = self.key_value.get_many(keys)?;
        keys.iter().zip(values).map(|(key, value)| decode(key, value)).collect()
    }
}

/// Something that is to be written, listed and counted.
struct Creation<'a> {
    project: &'a ProjectId,
    row: (String, Vec<u8>),
    kind: Kind,
    entry: Entry,
    amounts: &'a Amounts,
    of_other_projects_volume: bool,
}

impl PageSource for Store<'_> {
    fn read(&self, ids: &[PageId]) -> Result<Vec<Page>, StoreError> {
        let keys: Vec<String> = ids.iter().copied().map(keys::page).collect();
        // A page that is gone was replaced since the record was read, so whoever reads for a change has lost to another.
        let pages = keys.iter().zip(self.read_many(&keys)?);
        pages.map(|(key, page)| page.ok_or_else(|| StoreError::Contended(key.clone()))).collect()
    }

    fn fresh(&self) -> PageId {
        PageId::new(self.identifiers.number())
    }
}

/// The keys of the directory, the one of format version 1 last.
fn directory_keys() -> Vec<String> {
    (0..Agenda::VALUES).map(keys::directory).chain([keys::FORMER_DIRECTORY.to_owned()]).collect()
}

/// What the directory says, in a stable order. A project that an older release named may be named again by this one.
fn entries_of_directory(keys: &[String], values: Vec<Option<Vec<u8>>>) -> Result<Vec<DirectoryEntry>, StoreError> {
    let mut entries: Vec<DirectoryEntry> = Vec::new();
    for (key, value) in keys.iter().zip(values) {
        let known = entries.len();
        for entry in decode::<Directory>(key, value)?.unwrap_or_default().0 {
            // Only the last value, which older releases wrote, can repeat one.
            let is_known =
                key == keys::FORMER_DIRECTORY && entries[..known].iter().any(|other| other.project == entry.project);
            if !is_known {
                entries.push(entry);
            }
        }
    }
    Ok(entries)
}

fn decode<T: Stored>(key: &str, value: Option<Vec<u8>>) -> Result<Option<T>, StoreError> {
    value.map(|bytes| envelope::decode_value(key, &bytes)).transpose()
}
