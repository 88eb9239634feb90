//! Rebuilds indexes, counters, and the agenda from the rows, and reports what was wrong.
//!
//! A repair is safe while requests run. It replaces a project's record by compare-and-swap, like any other change, and
//! reads the rows after the record. A request that creates or removes a row meanwhile changes the record last. So
//! either our swap fails, or that request finds our record and adds nothing twice
//! (`docs/adr/0004-repair-and-explanations.md`).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::quota::Amounts;
use crate::domain::{Pending, ProjectId, Timestamp};

use super::Store;
use super::agenda::{self, Agenda, AgendaItem};
use super::codec::envelope::{decode_optional, encode_fresh, stored_as_json};
use super::deployment::Deployment;
use super::directory::Directory;
use super::index::{self, Direction, Entry, Index, IndexReader, Page, PageChanges, PageId, PageSource};
use super::key_value::StoreError;
use super::keys;
use super::projects::{ProjectRecord, ProjectWrites, decode_record};
use super::row::Kind;
use super::row::{Row, with_row_type};
use super::unreadable::StoredRow;

/// The rows that one call reads.
const ROWS_AT_ONCE: usize = 1_000;

/// The projects that are surveyed together, and the rows at which their number is enough.
const PROJECTS_AT_ONCE: usize = 1_000;
const ROWS_OF_PROJECTS: usize = 20_000;

/// The pages that one call reads.
const PAGES_AT_ONCE: usize = 8;

/// The age, in seconds, at which a suspected page is deleted: longer than any request takes.
const SUSPECTED_SECONDS: f64 = 600.0;

/// The result of a repair: the things that were wrong and were repaired.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Repair {
    /// Projects that were checked.
    pub projects: usize,
    /// Rows that were checked.
    pub rows: usize,
    /// Entries of indexes whose row is gone.
    pub entries_without_row: usize,
    /// Rows that were in no index.
    pub rows_without_entry: usize,
    /// Counters that did not match the rows.
    pub counters: usize,
    /// Rows with work under way that would never have ended.
    pub rows_without_agenda: usize,
    /// Pages that no index names, as an earlier repair already found. They are deleted.
    pub pages_deleted: usize,
    /// Pages that no index names. A later repair deletes them, since a request may be about to name them.
    pub pages_suspected: usize,
}

impl Repair {
    /// Returns the number of differences that readers could see.
    #[must_use]
    pub const fn differences(&self) -> usize {
        self.entries_without_row + self.rows_without_entry + self.counters + self.rows_without_agenda
    }

    /// Adds the result for a project, if the project could be repaired.
    fn add(&mut self, other: Option<&Self>) {
        let Some(other) = other else { return };
        self.projects += other.projects;
        self.rows += other.rows;
        self.entries_without_row += other.entries_without_row;
        self.rows_without_entry += other.rows_without_entry;
        self.counters += other.counters;
        self.rows_without_agenda += other.rows_without_agenda;
    }
}

/// Pages that no index names, each with the time of the first repair that found it so, in microseconds since the epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Suspects(Vec<(String, i64)>);

stored_as_json!(Suspects, serde_json::from_slice);

/// The part of a row that indexes, counters, and the agenda depend on.
pub(super) struct IndexedRow {
    pub(super) item: AgendaItem,
    volume_id: Uuid,
    pub(super) pending: Option<Pending>,
    is_large: bool,
}

/// The rows with some ids.
struct RowsFound {
    rows: Vec<IndexedRow>,
    /// The ids of rows that exist and cannot be read, in the order in which they were requested.
    unreadable: Vec<Uuid>,
}

/// The result of comparing a project's record with its rows.
#[derive(Default)]
struct Inspection {
    repair: Repair,
    /// Whether every page that the record names exists.
    is_whole: bool,
    /// Rows that must be on the agenda.
    unscheduled: Vec<AgendaItem>,
}

impl Inspection {
    const fn is_well(&self) -> bool {
        self.is_whole && self.repair.differences() == 0
    }
}

impl Store<'_> {
    /// Repairs every project, and deletes pages that no index names.
    ///
    /// # Errors
    ///
    /// An error of the store. Everything repaired before it stays repaired.
    pub fn repair(&self, now: Timestamp) -> Result<Repair, StoreError> {
        let stored = self.key_value.keys()?;
        let mut rows: Vec<AgendaItem> = Vec::new();
        for kind in Kind::ALL {
            let ids = stored.iter().filter_map(|key| key.strip_prefix(kind.key_prefix()));
            let ids: Vec<Uuid> = ids.filter_map(|id| Uuid::try_parse(id).ok()).collect();
            rows.extend(self.counted(kind, &ids)?.rows.into_iter().map(|row| row.item));
        }
        let projects = Self::projects_in(&stored);
        self.repair_slots(&projects)?;
        let mut repair = Repair::default();
        let mut of_projects = agenda::by_project(rows);
        for project in &projects {
            of_projects.entry(project.clone()).or_default();
        }
        let mut of_projects = of_projects.into_iter().peekable();
        while of_projects.peek().is_some() {
            let mut together = Vec::new();
            let mut rows = 0;
            while together.len() < PROJECTS_AT_ONCE && rows < ROWS_OF_PROJECTS {
                let Some(next) = of_projects.next() else { break };
                rows += next.1.len();
                together.push(next);
            }
            let well = self.survey(&together, now)?;
            for (project, of_project) in together {
                if let Some(rows) = well.get(&project) {
                    repair.add(Some(&Repair { projects: 1, rows: *rows, ..Repair::default() }));
                } else {
                    repair.add(self.without_unreadable(self.repair_or_rebuild(&project, &of_project, now))?.as_ref());
                }
            }
        }
        self.delete_unnamed(&stored, &projects, now, &mut repair)?;
        Ok(repair)
    }

    /// Replaces lost slots, completes the agenda, and enters projects that have a record into the directory.
    fn repair_slots(&self, projects: &[ProjectId]) -> Result<(), StoreError> {
        let mut entered: BTreeSet<ProjectId> = BTreeSet::new();
        let is_expected = !projects.is_empty();
        for (slot, read) in self.read_slots::<Directory>()?.into_iter().enumerate() {
            let directory = self.without_unreadable(self.restored_slot(slot, read, is_expected))?;
            entered.extend(directory.unwrap_or_default().0.into_iter().map(|entry| entry.project));
        }
        let missing: Vec<ProjectId> = projects.iter().filter(|project| !entered.contains(project)).cloned().collect();
        for (project, record) in missing.iter().zip(self.read_records(&missing)?) {
            let has_others = self
                .without_unreadable(record)?
                .is_none_or(|record| record.is_some_and(|record| record.has_snapshots_of_other_projects_volumes));
            self.without_unreadable(self.enter(project, has_others))?;
        }
        for (slot, read) in self.read_slots::<Agenda>()?.into_iter().enumerate() {
            let agenda = self.without_unreadable(self.restored_slot(slot, read, is_expected))?;
            if agenda.is_some_and(|agenda| agenda.is_incomplete) {
                self.without_unreadable(self.complete_agenda(slot))?;
            }
        }
        Ok(())
    }

    /// Repairs one project whose rows are all known, and rebuilds its record from them if the record is damaged.
    fn repair_or_rebuild(
        &self,
        project: &ProjectId,
        known: &[AgendaItem],
        now: Timestamp,
    ) -> Result<Repair, StoreError> {
        match self.repair_indexes(project, known, now) {
            Err(StoreError::Corrupt { key, reason }) if key == keys::project(project) => {
                self.without_unreadable(Err::<(), _>(StoreError::Corrupt { key, reason }))?;
                self.rebuild_record(project, known, now)
            }
            repaired => repaired,
        }
    }

    /// Replaces a record that is damaged. The limits of the project are lost, and counters that an operator has set.
    fn rebuild_record(&self, project: &ProjectId, known: &[AgendaItem], now: Timestamp) -> Result<Repair, StoreError> {
        let deployment = self.without_unreadable(self.deployment())?;
        let gigabytes = deployment.as_ref().map(Deployment::snapshots_count_gigabytes);
        let mut record = ProjectRecord::new(project.clone());
        record.has_snapshots_of_other_projects_volumes = true;
        let mut pages = PageChanges::default();
        let Inspection { mut repair, unscheduled, .. } =
            self.inspect(&mut record, known, gigabytes, now, &mut pages, self)?;
        self.enter(project, true)?;
        self.write_fresh(ProjectWrites { pages, rows: Vec::new(), source: self }, &mut Vec::new())?;
        let key = keys::project(project);
        self.replace_unreadable(&key, &record, |stored| Ok(decode_record(&key, project, stored)?.is_some()))?;
        repair.rows_without_agenda = self.schedule_missing(project, unscheduled)?;
        Ok(repair)
    }

    /// Schedules those of a project's rows that are not on the agenda, and returns their number.
    fn schedule_missing(&self, project: &ProjectId, mut rows: Vec<AgendaItem>) -> Result<usize, StoreError> {
        if rows.is_empty() {
            return Ok(0);
        }
        let scheduled = self.project_with_agenda(project)?.map(|(_, items)| items).unwrap_or_default();
        let scheduled: BTreeSet<(Kind, Uuid)> = scheduled.iter().map(AgendaItem::row).collect();
        rows.retain(|item| !scheduled.contains(&item.row()));
        self.schedule(&rows)?;
        Ok(rows.len())
    }

    /// Returns the items of the rows of a project that need the scheduled step.
    pub(super) fn items_of(&self, project: &ProjectId) -> Result<Vec<AgendaItem>, StoreError> {
        let Some(record) = self.project(project)? else { return Ok(Vec::new()) };
        let mut items = Vec::new();
        for kind in Kind::ALL {
            let entries = self.every_entry(record.index(kind))?;
            let ids: Vec<Uuid> = entries.iter().map(|entry| entry.position.id).collect();
            let rows = self.counted(kind, &ids)?.rows.into_iter();
            let may_end = |row: &IndexedRow| row.pending.is_some_and(|pending| pending.may_end_in_tick());
            let own = rows.filter(|row| row.item.project == *project && may_end(row));
            items.extend(own.map(|row| row.item));
        }
        Ok(items)
    }

    /// Repairs one project, as far as its indexes name its rows.
    ///
    /// # Errors
    ///
    /// As [`Store::repair`].
    pub fn repair_project(&self, project: &ProjectId, now: Timestamp) -> Result<Repair, StoreError> {
        self.repair_indexes(project, &[], now)
    }

    /// Repairs one project, which may own `known` rows besides those that its indexes name. If nothing is wrong,
    /// nothing is written.
    fn repair_indexes(&self, project: &ProjectId, known: &[AgendaItem], now: Timestamp) -> Result<Repair, StoreError> {
        let deployment = self.without_unreadable(self.deployment())?;
        let gigabytes = deployment.as_ref().map(Deployment::snapshots_count_gigabytes);
        let seen = match self.project(project)? {
            Some(mut record) => {
                let found = self.inspect(&mut record, known, gigabytes, now, &mut PageChanges::default(), self)?;
                Some(found).filter(Inspection::is_well)
            }
            None => None,
        };
        let Inspection { mut repair, unscheduled, .. } = match seen {
            Some(inspection) => inspection,
            None => self.change_project(project, |record, writes| {
                self.inspect(record, known, gigabytes, now, &mut writes.pages, writes.source)
            })?,
        };
        repair.rows_without_agenda = self.schedule_missing(project, unscheduled)?;
        Ok(repair)
    }

    /// Compares a record with the rows of its project, and corrects the record. An entry whose row cannot be read stays. The
    /// amounts of such a row are unknown, so the counters stay as they are then, as they do without the settings of the
    /// deployment, which say whether snapshots count gigabytes.
    fn inspect(
        &self,
        record: &mut ProjectRecord,
        known: &[AgendaItem],
        snapshots_count_gigabytes: Option<bool>,
        now: Timestamp,
        changes: &mut PageChanges,
        source: &dyn PageSource,
    ) -> Result<Inspection, StoreError> {
        let mut inspection = Inspection { is_whole: true, ..Inspection::default() };
        let repair = &mut inspection.repair;
        repair.projects = 1;
        let mut totals = snapshots_count_gigabytes.map(|_| Amounts::new());
        for kind in Kind::ALL {
            let indexed = self.every_entry(record.index(kind))?;
            let of_kind = known.iter().filter(|item| item.kind == kind).map(|item| item.id);
            let mut ids: Vec<Uuid> = indexed.iter().map(|entry| entry.position.id).chain(of_kind).collect();
            ids.sort_unstable();
            ids.dedup();
            let RowsFound { mut rows, unreadable } = self.counted(kind, &ids)?;
            rows.retain(|row| row.item.project == record.project);
            repair.rows += rows.len();
            let is_unreadable = |entry: &&Entry| unreadable.binary_search(&entry.position.id).is_ok();
            let kept: Vec<Entry> = indexed.iter().filter(is_unreadable).copied().collect();
            let entries = rows.iter().filter(|row| index::search(&indexed, row.item.position()).is_ok()).count();
            repair.entries_without_row += indexed.len() - kept.len() - entries;
            repair.rows_without_entry += rows.len() - entries;
            // A missing page makes an index shorter than its record says.
            let is_whole = record.index(kind).len() == indexed.len();
            inspection.is_whole &= is_whole;
            if !is_whole || entries + kept.len() != indexed.len() || entries != rows.len() {
                rebuild(record, kind, &rows, &kept, changes, source);
            }
            totals = totals.filter(|_| kept.is_empty());
            for row in rows {
                if let (Some(totals), Some(gigabytes)) = (&mut totals, snapshots_count_gigabytes) {
                    for (resource, amount) in &row.item.amounts(gigabytes) {
                        *totals.entry(resource.clone()).or_default() += amount;
                    }
                }
                if row.is_large && !record.has_large_rows {
                    record.has_large_rows = true;
                    inspection.is_whole = false;
                }
                if row.pending.is_some_and(|pending| pending.needs_tick(now)) {
                    inspection.unscheduled.push(row.item);
                }
            }
        }
        repair.counters = match totals {
            Some(totals) => recount(record, totals),
            None => limit_counts(record),
        };
        Ok(inspection)
    }

    /// Returns every entry of an index, newest first. A missing page counts as empty. If it was replaced meanwhile, so
    /// was the record, and our swap of the record will fail. A damaged page counts as empty too, and is noted, since the
    /// rows that it named are found by their keys. A page of a newer format is an error.
    pub(super) fn every_entry(&self, index: &Index) -> Result<Vec<Entry>, StoreError> {
        let mut reader = IndexReader::new(index.clone(), Direction::NewestFirst, None);
        let mut entries = Vec::with_capacity(index.len());
        loop {
            if reader.waits_for_page() {
                let keys: Vec<String> =
                    reader.wanted_pages(usize::MAX, PAGES_AT_ONCE).into_iter().map(keys::page).collect();
                for (key, value) in keys.iter().zip(self.key_value.get_many(&keys)?) {
                    let page = decode_optional::<Page>(key, value);
                    match page.and_then(|page| page.map(|page| reader.supply(page)).transpose()) {
                        Ok(Some(())) => {}
                        Err(error @ StoreError::UnknownFormat { .. }) => return Err(error),
                        missing_or_damaged => {
                            self.without_unreadable(missing_or_damaged)?;
                            reader.skip_page();
                        }
                    }
                }
            } else if let Some(entry) = reader.take() {
                entries.push(entry);
            } else {
                return Ok(entries);
            }
        }
    }

    /// Returns the parts of rows that a repair needs. Rows that are gone are left out.
    fn counted(&self, kind: Kind, ids: &[Uuid]) -> Result<RowsFound, StoreError> {
        let mut rows = Vec::with_capacity(ids.len());
        let unreadable = self.each_counted(kind, ids, |row| rows.push(row))?;
        Ok(RowsFound { rows, unreadable })
    }

    /// Calls `each` with the part of every row that a repair needs, and returns the ids of rows that cannot be read.
    pub(super) fn each_counted(
        &self,
        kind: Kind,
        ids: &[Uuid],
        mut each: impl FnMut(IndexedRow),
    ) -> Result<Vec<Uuid>, StoreError> {
        let mut unreadable = Vec::new();
        for ids in ids.chunks(ROWS_AT_ONCE) {
            with_row_type!(kind, R => for (id, row) in ids.iter().zip(self.rows::<R>(ids)?) {
                match row {
                    StoredRow::Readable(row) => each(IndexedRow {
                        item: AgendaItem::when_due(&row),
                        volume_id: row.indexed_volume(),
                        pending: row.pending(),
                        is_large: row.is_large(),
                    }),
                    StoredRow::Gone => {}
                    StoredRow::Unreadable => unreadable.push(*id),
                }
            });
        }
        Ok(unreadable)
    }

    /// Deletes pages that no index names, if an earlier repair already found them. While a record cannot be read, none is
    /// deleted, since that record may name any of them.
    fn delete_unnamed(
        &self,
        stored: &[String],
        projects: &[ProjectId],
        now: Timestamp,
        repair: &mut Repair,
    ) -> Result<(), StoreError> {
        let mut named: BTreeSet<PageId> = BTreeSet::new();
        for record in self.read_records(projects)? {
            let Some(record) = self.without_unreadable(record)? else { return Ok(()) };
            let Some(record) = record else { continue };
            named.extend(Kind::ALL.into_iter().flat_map(|kind| record.index(kind).pages()));
            named.extend(&record.retired);
        }
        let is_named = |page: &str| PageId::parse(page).is_none_or(|page| named.contains(&page));
        // Suspects that cannot be read are found again.
        let earlier = self.without_unreadable(self.read::<Suspects>(keys::SUSPECTS))?.flatten().unwrap_or_default();
        let since: BTreeMap<&str, i64> = earlier.0.iter().map(|(page, since)| (page.as_str(), *since)).collect();
        let mut suspects = Suspects::default();
        let mut delete: Vec<String> = Vec::new();
        let unnamed = |key: &&String| key.strip_prefix(keys::PAGES).is_some_and(|page| !is_named(page));
        for key in stored.iter().filter(unnamed) {
            // A time in the future is from before the clock was set back. The page waits no longer for it.
            let since = since.get(key.as_str()).copied().unwrap_or(i64::MAX).min(now.microseconds());
            if Timestamp::from_microseconds(since).plus_seconds(SUSPECTED_SECONDS) <= now {
                delete.push(key.clone());
            } else {
                suspects.0.push((key.clone(), since));
            }
        }
        repair.pages_deleted = delete.len();
        repair.pages_suspected = suspects.0.len();
        if !delete.is_empty() {
            self.key_value.delete_many(&delete)?;
        }
        if suspects != earlier {
            self.key_value.set_many(&[(keys::SUSPECTS.to_owned(), encode_fresh(keys::SUSPECTS, &suspects)?)])?;
        }
        Ok(())
    }
}

/// Rebuilds the index of a kind from exactly these rows, and the entries of rows that cannot be read.
fn rebuild(
    record: &mut ProjectRecord,
    kind: Kind,
    rows: &[IndexedRow],
    unreadable: &[Entry],
    changes: &mut PageChanges,
    source: &dyn PageSource,
) {
    let entry = |row: &IndexedRow| Entry { position: row.item.position(), volume_id: row.volume_id };
    changes.retired.extend(record.index(kind).pages());
    let entries = rows.iter().map(entry).chain(unreadable.iter().copied()).collect();
    let (index, built) = Index::build(entries, source);
    *record.index_mut(kind) = index;
    changes.written.extend(built.written);
}

/// Lowers the counts of rows to the number of entries, and returns how many were higher. Whatever a row that cannot be read
/// amounts to, it counts as one at most.
fn limit_counts(record: &mut ProjectRecord) -> usize {
    let mut wrong = 0;
    for kind in Kind::ALL {
        let Some(resource) = kind.resource() else { continue };
        let most = i64::try_from(record.index(kind).len()).unwrap_or(i64::MAX);
        if record.totals.get(resource).is_some_and(|total| *total > most) {
            record.totals.insert(resource.to_owned(), most);
            record.usage.entry(resource.to_owned()).and_modify(|usage| *usage = most.min(*usage));
            wrong += 1;
        }
    }
    wrong
}

/// Sets the counters to the totals of the rows, and returns the number of counters that were wrong. Counters that were
/// never opened stay closed.
pub(super) fn recount(record: &mut ProjectRecord, totals: Amounts) -> usize {
    let right = |name: &String| totals.get(name).copied().unwrap_or(0);
    let is_wrong = |name: &&String| {
        record.totals.get(*name).copied().unwrap_or(0) != right(name)
            || record.usage.get(*name).is_some_and(|usage| *usage != right(name))
    };
    let new = totals.keys().filter(|name| !record.totals.contains_key(*name));
    let opened = record.usage.keys().filter(|name| !record.totals.contains_key(*name) && !totals.contains_key(*name));
    let wrong = record.totals.keys().chain(new).chain(opened).filter(is_wrong).count();
    let opened: Vec<String> = record.usage.keys().cloned().collect();
    for name in opened {
        let right = totals.get(&name).copied().unwrap_or(0);
        record.usage.insert(name, right);
    }
    record.totals = totals;
    wrong
}
