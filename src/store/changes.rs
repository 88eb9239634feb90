//! How a stored value is changed: read, decide, swap; and again, a bounded number of times, when somebody was faster.
//!
//! It must not know what a change means. What it knows is that a swap may have landed although the backend denies it,
//! and that a swap cannot create (`design/spin-facts.md`).

use std::cell::{Cell, RefCell};

use crate::domain::{ProjectId, Snapshot, SnapshotId, Volume, VolumeId};

use super::agenda::{self, Agenda};
use super::envelope::{Header, Stored, decode, encode, encode_fresh};
use super::index::{Page, PageChanges, PageId, PageSource};
use super::key_value::StoreError;
use super::keys;
use super::projects::{Directory, DirectoryEntry, ProjectRecord};
use super::{Change, Store};

/// How often a replaced value is tried before the client is told to come back.
const ATTEMPTS: u32 = 24;

/// How often a writer looks for a value that another is making, before it makes it: for some eight seconds, which is longer
/// than `SQLite` waits for a lock, since whoever makes a value late writes over what has become of it.
const CLAIM_LOOKS: u32 = 48;

/// How many retired pages may wait for the scheduled step before changes stop to retire more than they must.
const RETIRED_ENOUGH: usize = 64;

/// What a change of a project's record reads and writes besides it.
pub struct ProjectWrites<'a> {
    pub pages: PageChanges,
    pub rows: Vec<(String, Vec<u8>)>,
    pub source: &'a dyn PageSource,
}

/// Why a project's record was not changed.
#[derive(Debug)]
pub enum UpdateError<E> {
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

/// What an attempt comes to.
enum Attempt<T> {
    /// Write this over what was read.
    Write(T),
    /// Write nothing.
    Leave,
    /// What was read is no longer what is stored, so read again.
    Stale,
}

/// Makes an attempt of stored bytes and the id of the write.
type AttemptOnBytes<'a> = dyn FnMut(Option<&[u8]>, u64) -> Attempt<Vec<u8>> + 'a;

/// Makes attempts of the decisions of `change`. What it answers or refuses with goes past the loop, which is then the
/// same for all callers: compiled once, it keeps the component small.
fn decided<T, R, E: From<StoreError>>(
    mut change: impl FnMut(Option<T>) -> Result<Change<T, R>, E>,
    replace: impl FnOnce(&mut dyn FnMut(Option<T>) -> Attempt<T>) -> Result<(), StoreError>,
) -> Result<R, E> {
    let mut outcome: Option<Result<R, E>> = None;
    replace(&mut |stored| match change(stored) {
        Ok(Change::Write(value, answer)) => {
            outcome = Some(Ok(answer));
            Attempt::Write(value)
        }
        Ok(Change::Leave(answer)) => {
            outcome = Some(Ok(answer));
            Attempt::Leave
        }
        Err(refusal) => {
            outcome = Some(Err(refusal));
            Attempt::Leave
        }
    })?;
    outcome.unwrap_or_else(|| Err(StoreError::Contended("a row".to_owned()).into()))
}

/// The pages of a record that is being changed. One that is gone was replaced since the record was read.
struct PagesOfRecord<'a> {
    store: &'a Store<'a>,
    is_stale: Cell<bool>,
}

impl PageSource for PagesOfRecord<'_> {
    fn read(&self, ids: &[PageId]) -> Result<Vec<Page>, StoreError> {
        let pages = PageSource::read(self.store, ids);
        if matches!(pages, Err(StoreError::Contended(_))) {
            self.is_stale.set(true);
        }
        pages
    }

    fn fresh(&self) -> PageId {
        self.store.fresh()
    }
}

impl Store<'_> {
    /// Changes a project's record where only the store can refuse.
    #[expect(clippy::missing_errors_doc, reason = "as for snapshot")]
    pub fn change_project<R>(
        &self,
        project: &ProjectId,
        change: impl FnMut(&mut ProjectRecord, &mut ProjectWrites<'_>) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        self.update_project(project, change).map_err(|error| match error {
            UpdateError::Refused(error) | UpdateError::Store(error) => error,
        })
    }

    /// Changes a project's record, making it first if there is none. Pages and rows that the change asks for are
    /// written before the record that names them.
    pub(super) fn update_project<R, E>(
        &self,
        project: &ProjectId,
        mut change: impl FnMut(&mut ProjectRecord, &mut ProjectWrites<'_>) -> Result<R, E>,
    ) -> Result<R, UpdateError<E>> {
        let mut outcome: Option<Result<R, E>> = None;
        self.replace_record(project, &mut |record, writes| {
            let result = change(record, writes);
            let is_allowed = result.is_ok();
            outcome = Some(result);
            is_allowed
        })?;
        match outcome {
            Some(result) => result.map_err(UpdateError::Refused),
            None => Err(StoreError::Contended(keys::project(project)).into()),
        }
    }

    /// What [`Store::update_project`] does, compiled once: `change` says whether to write.
    fn replace_record(
        &self,
        project: &ProjectId,
        change: &mut dyn FnMut(&mut ProjectRecord, &mut ProjectWrites<'_>) -> bool,
    ) -> Result<(), StoreError> {
        let key = keys::project(project);
        // Pages of attempts that lost are named by nobody; the attempt that wins retires them.
        let mut orphans: Vec<PageId> = Vec::new();
        let mut failure: Option<StoreError> = None;
        let mut is_missing = false;
        self.replace(&key, &mut |record: Option<ProjectRecord>| {
            let Some(mut record) = record else {
                is_missing = true;
                return Attempt::Leave;
            };
            let source = PagesOfRecord { store: self, is_stale: Cell::new(false) };
            let retires_little = record.retired.len() >= RETIRED_ENOUGH;
            let pages = PageChanges { retires_little, ..PageChanges::default() };
            let mut writes = ProjectWrites { pages, rows: Vec::new(), source: &source };
            if !change(&mut record, &mut writes) {
                return if source.is_stale.get() { Attempt::Stale } else { Attempt::Leave };
            }
            record.retired.append(&mut writes.pages.retired);
            record.retired.extend(&orphans);
            match self.write_fresh(writes, &mut orphans) {
                Ok(()) => Attempt::Write(record),
                Err(error) => {
                    failure = Some(error);
                    Attempt::Leave
                }
            }
        })?;
        if is_missing {
            self.ensure_project(project)?;
            return self.replace_record(project, change);
        }
        failure.map_or(Ok(()), Err)
    }

    /// Writes rows and pages under their own new names.
    fn write_fresh(&self, writes: ProjectWrites<'_>, written: &mut Vec<PageId>) -> Result<(), StoreError> {
        let mut fresh = writes.rows;
        for (id, page) in &writes.pages.written {
            let key = keys::page(*id);
            let value = encode_fresh(&key, page)?;
            fresh.push((key, value));
            written.push(*id);
        }
        if fresh.is_empty() { Ok(()) } else { self.key_value.set_many(&fresh) }
    }

    /// Changes one value of the agenda.
    pub(super) fn change_agenda(&self, place: usize, change: impl Fn(&mut Agenda)) -> Result<(), StoreError> {
        self.change_shared(&keys::agenda(place), &change)
    }

    /// Says in the directory that a project has snapshots of other projects' volumes.
    pub(super) fn note_snapshots_of_other_projects_volumes(&self, project: &ProjectId) -> Result<(), StoreError> {
        self.enter(project, true)
    }

    /// Names a project in the directory.
    fn enter(&self, project: &ProjectId, has_snapshots_of_other_projects_volumes: bool) -> Result<(), StoreError> {
        self.change_shared(&keys::directory(agenda::place_of(project)), &|directory: &mut Directory| {
            let entries = &mut directory.0;
            if let Some(entry) = entries.iter_mut().find(|entry| entry.project == *project) {
                entry.has_snapshots_of_other_projects_volumes |= has_snapshots_of_other_projects_volumes;
            } else {
                let project = project.clone();
                entries.push(DirectoryEntry { project, has_snapshots_of_other_projects_volumes });
            }
        })
    }

    /// Changes a value that all projects share; one that is left as it was is not written.
    fn change_shared<T: Stored + Clone + PartialEq>(
        &self,
        key: &str,
        change: &dyn Fn(&mut T),
    ) -> Result<(), StoreError> {
        let mut is_missing = false;
        self.replace(key, &mut |stored: Option<T>| {
            let Some(before) = stored else {
                is_missing = true;
                return Attempt::Leave;
            };
            let mut after = before.clone();
            change(&mut after);
            if after == before { Attempt::Leave } else { Attempt::Write(after) }
        })?;
        if is_missing {
            self.ensure_shared()?;
            return self.change_shared(key, change);
        }
        Ok(())
    }

    /// Makes the record of a project and names it in the directory.
    fn ensure_project(&self, project: &ProjectId) -> Result<(), StoreError> {
        self.enter(project, false)?;
        let key = keys::project(project);
        let record = encode_fresh(&key, &ProjectRecord::new(project.clone()))?;
        self.ensure(&key, &keys::claim(project), &[(key.clone(), record)])
    }

    /// Makes the agenda and the directory, all of it in one commit.
    fn ensure_shared(&self) -> Result<(), StoreError> {
        self.ensure(&keys::agenda(0), keys::DIRECTORY_CLAIM, &empty_shared_values()?)
    }

    /// Writes shared values if nobody has. Whoever first counts up the claim does, since a swap cannot create; the
    /// others wait. Should the first die in between, a later one takes over after a while, so nobody is stuck.
    fn ensure(&self, key: &str, claim: &str, values: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
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
        self.key_value.set_many(values)
    }

    /// Changes a snapshot's row: `change` is called with what is stored, again for each attempt.
    ///
    /// # Errors
    ///
    /// What `change` gives, [`StoreError::Contended`] when others were always faster, or what the store gives.
    pub fn update_snapshot<R, E: From<StoreError>>(
        &self,
        id: SnapshotId,
        change: impl FnMut(Option<Snapshot>) -> Result<Change<Snapshot, R>, E>,
    ) -> Result<R, E> {
        decided(change, |attempt| self.replace(&keys::snapshot(id), attempt))
    }

    /// Changes a volume's row, as [`Store::update_snapshot`] does a snapshot's.
    #[expect(clippy::missing_errors_doc, reason = "as for update_snapshot")]
    pub fn update_volume<R, E: From<StoreError>>(
        &self,
        id: VolumeId,
        change: impl FnMut(Option<Volume>) -> Result<Change<Volume, R>, E>,
    ) -> Result<R, E> {
        decided(change, |attempt| self.replace(&keys::volume(id), attempt))
    }

    /// Replaces a value: what is stored is read and what is to be stored written here, around the loop of every change,
    /// which works on bytes so that it is compiled once.
    fn replace<T: Stored>(
        &self,
        key: &str,
        attempt: &mut dyn FnMut(Option<T>) -> Attempt<T>,
    ) -> Result<(), StoreError> {
        let failure: RefCell<Option<StoreError>> = RefCell::new(None);
        self.replace_bytes(key, &mut |stored, write_id| {
            let fail = |error| {
                *failure.borrow_mut() = Some(error);
                Attempt::Leave
            };
            let (header, value) = match stored.map(|bytes| decode::<T>(key, bytes)).transpose() {
                Ok(Some((header, value))) => (header, Some(value)),
                Ok(None) => (Header::default(), None),
                Err(error) => return fail(error),
            };
            match attempt(value) {
                Attempt::Write(value) => encode(key, &header.next(write_id), &value).map_or_else(fail, Attempt::Write),
                Attempt::Leave => Attempt::Leave,
                Attempt::Stale => Attempt::Stale,
            }
        })?;
        failure.into_inner().map_or(Ok(()), Err)
    }

    fn replace_bytes(&self, key: &str, attempt: &mut AttemptOnBytes<'_>) -> Result<(), StoreError> {
        for number in 0..ATTEMPTS {
            if number > 0 {
                self.key_value.pause(number - 1);
            }
            let read = self.key_value.read_to_swap(key)?;
            // 48 bits are enough to tell it from the few others that a value remembers.
            let write_id = self.identifiers.number() & 0xffff_ffff_ffff;
            let bytes = match attempt(read.value.as_deref(), write_id) {
                Attempt::Write(bytes) => bytes,
                Attempt::Leave => return Ok(()),
                Attempt::Stale => continue,
            };
            let failure = match read.handle.swap(&bytes) {
                Ok(true) => return Ok(()),
                Ok(false) => None,
                Err(error) => Some(error),
            };
            // "No" and "I do not know" are both settled by looking: the write has landed if its id is there.
            if self.has_landed(key, read.value.as_deref(), write_id)? {
                return Ok(());
            }
            if let Some(error) = failure {
                return Err(error);
            }
        }
        Err(StoreError::Contended(key.to_owned()))
    }

    /// Whether a write over `seen` is to be found in what is stored now.
    fn has_landed(&self, key: &str, seen: Option<&[u8]>, write_id: u64) -> Result<bool, StoreError> {
        let Some(bytes) = self.key_value.get(key)? else { return Ok(false) };
        let (_, header, _) = Header::read(key, &bytes)?;
        let seen = seen.map(|bytes| Header::read(key, bytes)).transpose()?.map(|(_, seen, _)| seen).unwrap_or_default();
        if header.has_write(write_id) {
            Ok(true)
        } else if header.forgot(&seen) {
            // It may have landed and been overtaken by more than are remembered: applied again it might undo theirs.
            Err(StoreError::Unknown(key.to_owned()))
        } else {
            Ok(false)
        }
    }
}

/// The agenda and the directory of a store that holds nothing.
pub(super) fn empty_shared_values() -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    let mut values = Vec::with_capacity(2 * Agenda::VALUES);
    for place in 0..Agenda::VALUES {
        let (agenda, directory) = (keys::agenda(place), keys::directory(place));
        let empty_agenda = encode_fresh(&agenda, &Agenda::default())?;
        let empty_directory = encode_fresh(&directory, &Directory::default())?;
        values.extend([(agenda, empty_agenda), (directory, empty_directory)]);
    }
    Ok(values)
}
