//! A project's record: the indexes of its rows, and the amounts that they count towards quota.
//!
//! A record is the only value that creators in one project contend for. It is replaced by compare-and-swap, so an
//! index, its count, and its quota never disagree.

use std::cell::RefCell;
use std::collections::BTreeMap;

use uuid::Uuid;

use crate::domain::ProjectId;
use crate::domain::quota::Amounts;
use crate::domain::trees::set_of;

use super::Store;
use super::agenda::{Agenda, AgendaItem, Purpose};
use super::codec::envelope::{decode_optional, encode_fresh};
use super::compare_and_swap::Change;
use super::creation::Creates;
use super::deployment::Deployment;
use super::extension::Reservation;
use super::index::{Index, Page, PageChanges, PageId, PageSource, Position};
use super::key_value::StoreError;
use super::keys;
use super::row::Kind;
use super::shared::decode_slot;
use super::slots::slot_of;

/// The most pages that one commit of [`Store::compact`] writes for one index.
const COMPACTED_AT_ONCE: usize = 8;

/// The number of retired pages from which changes avoid retiring more until the scheduled step deletes them.
const RETIRED_ENOUGH: usize = 64;

/// The number of times that a record is read because a page that it names was replaced.
pub(super) const RECORD_READS: u32 = 8;

/// The record of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectRecord {
    pub project: ProjectId,
    /// The indexes of the rows, in the order of [`Kind::ALL`].
    indexes: [Index; Kind::ALL.len()],
    /// The sums of the rows, by resource.
    pub totals: Amounts,
    /// The counters as Cinder's `quota_usages` table has them: a counter appears with its first reservation, and
    /// starts from the sum of the rows at that moment. An operator may set one.
    pub usage: Amounts,
    /// The limits of this project, which override the defaults.
    pub quotas: Amounts,
    /// Pages that no index names any more. A reader of an older record may be using them, so they are deleted by a
    /// later run of the scheduled step and not at once.
    pub retired: Vec<PageId>,
    /// Whether a snapshot here was ever made of another project's volume; see [`super::directory::Directory`].
    pub has_snapshots_of_other_projects_volumes: bool,
    /// Whether a row here was ever large, so that a list must read few at once.
    pub has_large_rows: bool,
    /// The creates whose rows may not be written.
    pub creates: Creates,
    /// The extensions of volumes that are not settled, by volume. They take quota besides `usage`.
    pub reservations: BTreeMap<Uuid, Reservation>,
}

impl ProjectRecord {
    /// Returns the record of a project that holds nothing.
    #[must_use]
    pub fn new(project: ProjectId) -> Self {
        Self {
            project,
            indexes: [const { Index::EMPTY }; Kind::ALL.len()],
            totals: Amounts::new(),
            usage: Amounts::new(),
            quotas: Amounts::new(),
            retired: Vec::new(),
            has_snapshots_of_other_projects_volumes: false,
            has_large_rows: false,
            creates: Creates::default(),
            reservations: BTreeMap::new(),
        }
    }

    /// Returns the index of a kind of row.
    #[must_use]
    pub const fn index(&self, kind: Kind) -> &Index {
        &self.indexes[kind as usize]
    }

    /// Returns the index of a kind of row, to change it.
    pub const fn index_mut(&mut self, kind: Kind) -> &mut Index {
        &mut self.indexes[kind as usize]
    }

    /// Returns whether [`Store::compact`] should rewrite pages of an index.
    #[must_use]
    pub fn is_sparse(&self) -> bool {
        self.indexes.iter().any(Index::is_sparse)
    }

    /// Returns the use of a resource: its counter, or the total of the rows if its counter was never opened.
    #[must_use]
    pub fn in_use(&self, resource: &str) -> i64 {
        self.usage.get(resource).or_else(|| self.totals.get(resource)).copied().unwrap_or(0)
    }

    /// Returns the amount of a resource that is reserved for extensions.
    #[must_use]
    pub fn reserved(&self, resource: &str) -> i64 {
        let amounts = self.reservations.values().map(Reservation::amounts);
        amounts.filter_map(|amounts| amounts.get(resource).copied()).fold(0, i64::saturating_add)
    }

    /// Returns the use of a resource and the amount that is reserved.
    #[must_use]
    pub fn used(&self, resource: &str) -> i64 {
        self.in_use(resource).saturating_add(self.reserved(resource))
    }

    /// Counts rows that were created, and opens their counters.
    pub fn take(&mut self, amounts: &Amounts) {
        for (resource, amount) in amounts {
            let in_use = self.in_use(resource);
            self.usage.insert(resource.clone(), in_use.saturating_add(*amount));
            let total = self.totals.entry(resource.clone()).or_default();
            *total = total.saturating_add(*amount);
        }
    }

    /// Gives back the amounts of rows that were removed. A counter never falls below zero.
    pub fn give_back(&mut self, amounts: &Amounts) {
        for (resource, amount) in amounts {
            let in_use = self.in_use(resource);
            self.usage.insert(resource.clone(), in_use.saturating_sub(*amount).max(0));
            let total = self.totals.entry(resource.clone()).or_default();
            *total = total.saturating_sub(*amount).max(0);
        }
    }

    /// Returns whether an index names the page with a key.
    pub(super) fn names_page(&self, key: &str) -> bool {
        self.indexes.iter().flat_map(Index::pages).any(|page| keys::page(page) == key)
    }

    /// Returns whether the counters must be wrong. Each row in an index counts as one at most.
    #[must_use]
    pub fn counts_too_much(&self) -> bool {
        Kind::ALL.into_iter().any(|kind| {
            let count = kind.resource().and_then(|resource| self.totals.get(resource)).copied().unwrap_or(0);
            usize::try_from(count).map_or(true, |count| count > self.index(kind).len())
        })
    }
}

/// The reads and writes that accompany a change of a record.
pub struct ProjectWrites<'a> {
    pub pages: PageChanges,
    pub source: &'a dyn PageSource,
}

/// The reason why a record was not changed.
#[derive(Debug)]
pub enum UpdateError<E> {
    /// The caller's own error.
    Refused(E),
    /// An error of the store.
    Store(StoreError),
}

impl<E> From<StoreError> for UpdateError<E> {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The pages of a record that is being changed. A missing page was replaced after the record was read.
struct PagesOfRecord<'a> {
    store: &'a Store<'a>,
    /// The key of the missing page.
    missed: &'a RefCell<Option<String>>,
}

impl PageSource for PagesOfRecord<'_> {
    fn read(&self, ids: &[PageId]) -> Result<Vec<Page>, StoreError> {
        let pages = PageSource::read(self.store, ids);
        if let Err(StoreError::Contended(key)) = &pages {
            *self.missed.borrow_mut() = Some(key.clone());
        }
        pages
    }

    fn fresh(&self) -> PageId {
        self.store.fresh()
    }
}

/// Decodes the record of a project.
pub(super) fn decode_record(
    key: &str,
    project: &ProjectId,
    stored: Option<Vec<u8>>,
) -> Result<Option<ProjectRecord>, StoreError> {
    let record = decode_optional(key, stored)?;
    if let Some(record) = &record {
        check_project(key, project, record)?;
    }
    Ok(record)
}

/// Refuses the record of another project.
fn check_project(key: &str, project: &ProjectId, record: &ProjectRecord) -> Result<(), StoreError> {
    if record.project == *project {
        return Ok(());
    }
    Err(StoreError::Corrupt { key: key.to_owned(), reason: format!("it is the record of {}", record.project) })
}

/// Returns the error for a page that an index names and that does not exist.
pub(super) fn lost_page(key: String) -> StoreError {
    StoreError::Corrupt { key, reason: "it is missing".to_owned() }
}

impl PageSource for Store<'_> {
    fn read(&self, ids: &[PageId]) -> Result<Vec<Page>, StoreError> {
        let keys: Vec<String> = ids.iter().copied().map(keys::page).collect();
        // A missing page was replaced after the record was read, so the reader has lost to another writer.
        let pages = keys.iter().zip(self.read_many(&keys)?);
        pages.map(|(key, page)| page.ok_or_else(|| StoreError::Contended(key.clone()))).collect()
    }

    fn fresh(&self) -> PageId {
        PageId::new(self.identifiers.number())
    }
}

impl Store<'_> {
    /// Returns the record of a project. A project has none before its first change, such as a volume or a snapshot.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn project(&self, id: &ProjectId) -> Result<Option<ProjectRecord>, StoreError> {
        let key = keys::project(id);
        decode_record(&key, id, self.key_value.get(&key)?)
    }

    /// Returns the records of those projects that have one. A record that cannot be read is noted and left out.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn projects(&self, ids: &[ProjectId]) -> Result<Vec<ProjectRecord>, StoreError> {
        let mut records = Vec::with_capacity(ids.len());
        for record in self.read_records(ids)? {
            records.extend(self.without_unreadable(record)?.flatten());
        }
        Ok(records)
    }

    /// Reads the records of projects. Each may fail by itself.
    pub(super) fn read_records(
        &self,
        ids: &[ProjectId],
    ) -> Result<Vec<Result<Option<ProjectRecord>, StoreError>>, StoreError> {
        let keys: Vec<String> = ids.iter().map(keys::project).collect();
        let values = if keys.is_empty() { Vec::new() } else { self.key_value.get_many(&keys)? };
        Ok(keys.iter().zip(ids).zip(values).map(|((key, id), value)| decode_record(key, id, value)).collect())
    }

    /// Returns the deployment and the record of a project, in one call.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn deployment_and_project(&self, id: &ProjectId) -> Result<(Deployment, Option<ProjectRecord>), StoreError> {
        let keys = [keys::DEPLOYMENT.to_owned(), keys::project(id)];
        let mut values = self.key_value.get_many(&keys)?.into_iter();
        let deployment = decode_optional::<Deployment>(&keys[0], values.next().flatten())?;
        Ok((deployment.unwrap_or_default(), decode_record(&keys[1], id, values.next().flatten())?))
    }

    /// Returns the record of a project with the agenda items of its rows, in one call, so that the two are consistent. An
    /// agenda that cannot be read counts as empty, and is noted.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn project_with_agenda(&self, id: &ProjectId) -> Result<Option<(ProjectRecord, Vec<AgendaItem>)>, StoreError> {
        let mut project = self.project_with_items(id)?;
        if let Some((_, items)) = &mut project {
            items.retain(|item| item.purpose != Purpose::Creates);
        }
        Ok(project)
    }

    /// Returns the same as [`Store::project_with_agenda`], with the item that announces creates.
    pub(super) fn project_with_items(
        &self,
        id: &ProjectId,
    ) -> Result<Option<(ProjectRecord, Vec<AgendaItem>)>, StoreError> {
        let keys = [keys::project(id), keys::agenda(slot_of(id))];
        let mut values = self.key_value.get_many(&keys)?.into_iter();
        let record = decode_record(&keys[0], id, values.next().flatten())?;
        let agenda = decode_slot::<Agenda>(&keys[1], slot_of(id), values.next().flatten());
        let agenda = self.without_unreadable(agenda)?.flatten().unwrap_or_default();
        Ok(record.map(|record| (record, agenda.items.into_iter().filter(|item| item.project == *id).collect())))
    }

    /// Returns the records of projects and their agenda items, in one call, so that the two are consistent. Each record
    /// may fail by itself. An agenda that cannot be read counts as empty, and is noted.
    #[expect(clippy::type_complexity, reason = "a result for each record")]
    pub(super) fn projects_with_agenda(
        &self,
        ids: &[ProjectId],
    ) -> Result<(Vec<Result<Option<ProjectRecord>, StoreError>>, Vec<AgendaItem>), StoreError> {
        let slots = set_of(ids.iter().map(slot_of));
        let keys: Vec<String> = ids.iter().map(keys::project).chain(slots.iter().copied().map(keys::agenda)).collect();
        let mut values = self.key_value.get_many(&keys)?;
        let agendas = values.split_off(ids.len());
        let asked = set_of(ids);
        let mut items = Vec::new();
        for ((slot, key), value) in slots.into_iter().zip(&keys[ids.len()..]).zip(agendas) {
            let agenda = self.without_unreadable(decode_slot::<Agenda>(key, slot, value))?.flatten();
            let agenda = agenda.unwrap_or_default().items.into_iter();
            let is_of_row = |item: &AgendaItem| item.purpose != Purpose::Creates;
            items.extend(agenda.filter(|item| asked.contains(&item.project) && is_of_row(item)));
        }
        let records = keys.iter().zip(ids).zip(values).map(|((key, id), value)| decode_record(key, id, value));
        Ok((records.collect(), items))
    }

    /// Returns the agenda items of one project that are in its indexes. The other rows were removed already.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn listed(&self, record: &ProjectRecord, items: &[AgendaItem]) -> Result<Vec<AgendaItem>, StoreError> {
        let mut listed = Vec::new();
        for kind in Kind::ALL {
            let of_kind = || items.iter().filter(|item| item.kind == kind);
            let positions: Vec<Position> = of_kind().map(AgendaItem::position).collect();
            let positions = set_of(record.index(kind).listed(&positions, self)?);
            listed.extend(of_kind().filter(|item| positions.contains(&item.position())).cloned());
        }
        Ok(listed)
    }

    /// Returns the agenda items of one project that are in its indexes as they are now.
    ///
    /// # Errors
    ///
    /// An unreadable record or page, and [`StoreError::Contended`] if a page was replaced meanwhile.
    pub fn still_listed(&self, project: &ProjectId, items: &[AgendaItem]) -> Result<Vec<AgendaItem>, StoreError> {
        let Some(record) = self.project(project)? else { return Ok(Vec::new()) };
        self.listed(&record, items).map_err(|error| self.lost_page(project, error))
    }

    /// Returns the error for a page that is missing. A page is written before the record names it, and deleted after the
    /// record names it no more. So if the record still names it, no other writer has replaced it: it is lost.
    pub(super) fn lost_page(&self, project: &ProjectId, error: StoreError) -> StoreError {
        let StoreError::Contended(key) = error else { return error };
        match self.project(project) {
            Ok(Some(record)) if record.names_page(&key) => lost_page(key),
            Ok(_) => StoreError::Contended(key),
            Err(error) => error,
        }
    }

    /// Returns the agenda items of one project that are in its indexes now, even if pages are replaced meanwhile.
    pub(super) fn listed_now(&self, project: &ProjectId, items: &[AgendaItem]) -> Result<Vec<AgendaItem>, StoreError> {
        for _ in 0..RECORD_READS {
            match self.still_listed(project, items) {
                // A page was replaced since the record was read.
                Err(StoreError::Contended(_)) => {}
                listed => return listed,
            }
        }
        Err(StoreError::Contended(keys::project(project)))
    }

    /// Changes a project's record, in cases in which only the store can fail.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn change_project<R>(
        &self,
        project: &ProjectId,
        change: impl FnMut(&mut ProjectRecord, &mut ProjectWrites<'_>) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        self.update_project(project, &mut Vec::new(), change).map_err(|error| match error {
            UpdateError::Refused(error) | UpdateError::Store(error) => error,
        })
    }

    /// Changes a project's record, and creates it first if there is none. The pages of the change are written before
    /// the record that names them. Sets `written` to the bytes of the record.
    pub(super) fn update_project<R, E>(
        &self,
        project: &ProjectId,
        written: &mut Vec<u8>,
        mut change: impl FnMut(&mut ProjectRecord, &mut ProjectWrites<'_>) -> Result<R, E>,
    ) -> Result<R, UpdateError<E>> {
        let key = keys::project(project);
        // No record names the pages of attempts that lost. The attempt that wins retires them.
        let mut orphans: Vec<PageId> = Vec::new();
        // The key of a page that the last attempt missed.
        let missed: RefCell<Option<String>> = RefCell::default();
        // The second round finds the record that the first one created. The third is for a record that an operator
        // deleted meanwhile.
        for _ in 0..3 {
            let answer = self.replace_keeping(&key, written, |record: Option<ProjectRecord>| {
                let Some(mut record) = record else { return Ok(Change::Leave(None)) };
                check_project(&key, project, &record)?;
                if let Some(page) = missed.take().filter(|page| record.names_page(page)) {
                    return Err(lost_page(page).into());
                }
                let source = PagesOfRecord { store: self, missed: &missed };
                let retires_little = record.retired.len() >= RETIRED_ENOUGH;
                let pages = PageChanges { retires_little, ..PageChanges::default() };
                let mut writes = ProjectWrites { pages, source: &source };
                let answer = match change(&mut record, &mut writes) {
                    Ok(answer) => answer,
                    Err(_) if missed.borrow().is_some() => return Ok(Change::Reread),
                    Err(refusal) => return Err(UpdateError::Refused(refusal)),
                };
                record.retired.append(&mut writes.pages.retired);
                record.retired.extend(&orphans);
                self.write_pages(&writes.pages, &mut orphans)?;
                Ok(Change::Write(record, Some(answer)))
            })?;
            if let Some(answer) = answer {
                return Ok(answer);
            }
            self.ensure_project(project)?;
        }
        Err(StoreError::Contended(key).into())
    }

    /// Writes pages under new keys, and appends their ids to `written`.
    pub(super) fn write_pages(&self, pages: &PageChanges, written: &mut Vec<PageId>) -> Result<(), StoreError> {
        let mut fresh = Vec::with_capacity(pages.written.len());
        for (id, page) in &pages.written {
            let key = keys::page(*id);
            let value = encode_fresh(&key, page)?;
            fresh.push((key, value));
            written.push(*id);
        }
        if fresh.is_empty() { Ok(()) } else { self.set_many(&fresh) }
    }

    /// Creates the record of a project, after adding the project to the directory.
    fn ensure_project(&self, project: &ProjectId) -> Result<(), StoreError> {
        self.enter(project, false)?;
        let key = keys::project(project);
        self.ensure(&key, &keys::claim(project), || {
            let record = encode_fresh(&key, &ProjectRecord::new(project.clone()))?;
            Ok(vec![(key.clone(), record)])
        })
    }

    /// Marks a project before one of its rows becomes large. At most one commit, and none if it is marked.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn mark_large_rows(&self, project: &ProjectId) -> Result<(), StoreError> {
        if self.project(project)?.is_some_and(|record| record.has_large_rows) {
            return Ok(());
        }
        self.change_project(project, |record, _| {
            record.has_large_rows = true;
            Ok(())
        })
    }

    /// Deletes the retired pages of a project. A reader of an older record reads the record again.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn delete_retired(&self, record: &ProjectRecord) -> Result<(), StoreError> {
        let pages: Vec<String> = record.retired.iter().copied().map(keys::page).collect();
        self.delete_many(&pages)?;
        self.change_project(&record.project, |stored, _| {
            stored.retired.retain(|page| !record.retired.contains(page));
            Ok(())
        })
    }

    /// Rewrites a few pages from which many entries were removed. Two commits.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn compact(&self, project: &ProjectId) -> Result<(), StoreError> {
        self.change_project(project, |record, writes| {
            for kind in Kind::ALL {
                for _ in 0..COMPACTED_AT_ONCE {
                    if !record.index_mut(kind).compact(&mut writes.pages, writes.source)? {
                        break;
                    }
                }
            }
            Ok(())
        })
    }
}
