//! Rebuilds indexes, counters, and the agenda from the rows, and reports what was wrong.
//!
//! A repair is safe while requests run. It replaces a project's record by compare-and-swap, like any other change, and
//! reads the rows after the record. A row is listed before it is written, and deleted before its entry is removed. So a
//! row that the record lacks is damage, and an entry without a row may belong to a create or a removal under way. Such
//! entries are left to the request or the scheduled step that works on them
//! (`docs/adr/0004-repair-and-explanations.md`, `docs/adr/0017-the-order-of-a-create.md`).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::quota::Amounts;
use crate::domain::trees::{map_of, set_of};
use crate::domain::{Extension, Pending, ProjectId, Timestamp};

use super::Store;
use super::agenda::{self, Agenda, AgendaItem, Purpose};
use super::codec::envelope::{decode_optional, encode_fresh, stored_as_json};
use super::creation::may_be_running;
use super::deployment::Deployment;
use super::directory::Directory;
use super::index::{self, Direction, Entry, Index, IndexReader, Page, PageChanges, PageId, PageSource, Position};
use super::key_value::StoreError;
use super::keys;
use super::projects::{ProjectRecord, decode_record};
use super::row::Kind;
use super::row::{Row, with_row_type};
use super::rows::{LARGE_ROWS_AT_ONCE, rows_at_once};
use super::unreadable::StoredRow;

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

/// The rounds of the repair of one project. The first one notes the entries without rows, the second one drops them, and
/// the third one is for what changes meanwhile.
const ROUNDS: usize = 3;

/// The looks at a project in doubt before a round writes.
const LOOKS: u32 = 3;

/// The part of a row that indexes, counters, and the agenda depend on.
pub(super) struct IndexedRow {
    pub(super) item: AgendaItem,
    volume_id: Uuid,
    pub(super) pending: Option<Pending>,
    extension: Option<Extension>,
    is_large: bool,
}

impl IndexedRow {
    /// Returns whether the scheduled step must look at the row.
    pub(super) fn needs_tick(&self, clock: Timestamp) -> bool {
        self.extension.is_some() || self.pending.is_some_and(|pending| pending.needs_tick(clock))
    }
}

/// The rows with some ids.
struct RowsFound {
    rows: Vec<IndexedRow>,
    /// The ids of rows that exist and cannot be read, in the order in which they were requested.
    unreadable: Vec<Uuid>,
}

/// The facts about a project that a round of its repair compares with the record.
struct Known<'a> {
    /// Rows that the project may own besides those that its indexes name.
    rows: &'a [AgendaItem],
    /// The agenda items of the project, by row.
    agenda: &'a BTreeMap<(Kind, Uuid), AgendaItem>,
    snapshots_count_gigabytes: Option<bool>,
    now: Timestamp,
}

/// The result of comparing a project's record with its rows.
#[derive(Default)]
struct Inspection {
    repair: Repair,
    /// Whether the record was only changed to name missed rows, so that their creates can object.
    is_again: bool,
    /// Whether every page that the record names exists.
    is_whole: bool,
    /// Rows that must be on the agenda.
    unscheduled: Vec<AgendaItem>,
}

impl Inspection {
    /// Returns whether a request that was running may have caused all that seems wrong.
    const fn is_in_doubt(&self) -> bool {
        self.is_again || !self.is_whole
    }

    const fn is_well(&self) -> bool {
        self.is_whole && !self.is_again && self.repair.differences() == 0
    }
}

impl Store<'_> {
    /// Repairs every project, and deletes pages that no index names.
    ///
    /// # Errors
    ///
    /// An error of the store. Everything repaired before it stays repaired.
    pub fn repair(&self, now: Timestamp) -> Result<Repair, StoreError> {
        let mut stored = self.key_value.keys()?;
        let projects = Self::projects_in(&stored);
        let at_once = self.rows_of_projects_at_once(&projects)?;
        self.repair_slots(&projects)?;
        let (without_pointer, unnamed) = self.repair_pointers(&mut stored, at_once, now)?;
        let mut rows: Vec<AgendaItem> = Vec::new();
        for kind in Kind::ALL {
            let ids = stored.iter().filter_map(|key| key.strip_prefix(kind.key_prefix()));
            let ids: Vec<Uuid> = ids.filter_map(|id| Uuid::try_parse(id).ok()).collect();
            self.each_counted(kind, &ids, at_once, |row| rows.push(row.item))?;
        }
        let mut repair =
            Repair { entries_without_row: without_pointer, rows_without_agenda: unnamed, ..Repair::default() };
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
        let snapshots_count_gigabytes = deployment.as_ref().map(Deployment::snapshots_count_gigabytes);
        let known = Known { rows: known, agenda: &BTreeMap::new(), snapshots_count_gigabytes, now };
        let mut record = self.empty_record(project.clone());
        record.has_snapshots_of_other_projects_volumes = true;
        let mut pages = PageChanges::default();
        let Inspection { mut repair, unscheduled, .. } = self.inspect(&mut record, &known, &mut pages, self)?;
        self.enter(project, true)?;
        self.write_pages(&pages, &mut Vec::new())?;
        let key = keys::project(project);
        self.replace_unreadable(&key, &record, |stored| Ok(decode_record(&key, project, stored)?.is_some()))?;
        repair.rows_without_agenda = self.schedule_missing(project, unscheduled)?;
        Ok(repair)
    }

    /// Schedules those of a project's rows that are not on the agenda, and returns their number. The rows are read after the
    /// agenda, since a tick forgets a row once its work is done.
    fn schedule_missing(&self, project: &ProjectId, mut rows: Vec<AgendaItem>) -> Result<usize, StoreError> {
        if rows.is_empty() {
            return Ok(0);
        }
        let scheduled = self.project_with_agenda(project)?.map(|(_, items)| items).unwrap_or_default();
        let scheduled = set_of(scheduled.iter().map(AgendaItem::row));
        rows.retain(|item| !scheduled.contains(&item.row()));
        let mut under_way: BTreeMap<(Kind, Uuid), AgendaItem> = BTreeMap::new();
        for kind in Kind::ALL {
            let ids: Vec<Uuid> = rows.iter().filter(|item| item.kind == kind).map(|item| item.id).collect();
            under_way.extend(
                self.counted(kind, &ids, LARGE_ROWS_AT_ONCE)?.rows.into_iter().map(|row| (row.item.row(), row.item)),
            );
        }
        rows.retain(|item| under_way.get(&item.row()) == Some(item));
        self.schedule(&rows)?;
        Ok(rows.len())
    }

    /// Returns the items of a project's rows that need the scheduled step, and of its creates.
    pub(super) fn items_of(&self, project: &ProjectId) -> Result<Vec<AgendaItem>, StoreError> {
        let Some(record) = self.project(project)? else { return Ok(Vec::new()) };
        let mut items: Vec<AgendaItem> = record.announcement().into_iter().collect();
        for kind in Kind::ALL {
            let entries = self.every_entry(record.index(kind))?;
            let ids: Vec<Uuid> = entries.iter().map(|entry| entry.position.id).collect();
            let rows = self.counted(kind, &ids, rows_at_once([&record]))?.rows.into_iter();
            let may_end = |row: &IndexedRow| {
                row.extension.is_some() || row.pending.is_some_and(|pending| pending.may_end_in_tick())
            };
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

    /// Repairs one project, which may own `rows` besides those that its indexes name. If nothing is wrong, nothing is
    /// written.
    fn repair_indexes(&self, project: &ProjectId, rows: &[AgendaItem], now: Timestamp) -> Result<Repair, StoreError> {
        let deployment = self.without_unreadable(self.deployment())?;
        let snapshots_count_gigabytes = deployment.as_ref().map(Deployment::snapshots_count_gigabytes);
        let mut inspection = Inspection::default();
        let mut agenda = BTreeMap::new();
        let mut looks = 0;
        let mut rounds = 0;
        while rounds < ROUNDS {
            let (record, items) = self.project_with_items(project)?.unzip();
            agenda = map_of(items.into_iter().flatten().map(|item| (item.row(), item)));
            let known = Known { rows, agenda: &agenda, snapshots_count_gigabytes, now };
            let seen = match record {
                Some(mut record) => Some(self.inspect(&mut record, &known, &mut PageChanges::default(), self)?),
                None => None,
            };
            inspection = match seen {
                Some(inspection) if inspection.is_well() => inspection,
                // A page was replaced, or a create was slow. Another look may find all well, and then nothing is written.
                Some(inspection) if looks < LOOKS && inspection.is_in_doubt() => {
                    self.key_value.pause(looks);
                    looks += 1;
                    continue;
                }
                _ => self.change_project(project, |record, writes| {
                    self.inspect(record, &known, &mut writes.pages, writes.source)
                })?,
            };
            rounds += 1;
            if !inspection.is_again {
                break;
            }
        }
        let Inspection { mut repair, mut unscheduled, .. } = inspection;
        unscheduled.retain(|item| !agenda.contains_key(&item.row()));
        repair.rows_without_agenda = self.schedule_missing(project, unscheduled)?;
        Ok(repair)
    }

    /// Compares a record with the rows of its project, and corrects the record. An entry whose row cannot be read stays. The
    /// amounts of such a row are unknown, so the counters stay as they are then, as they do without the settings of the
    /// deployment, which say whether snapshots count gigabytes.
    fn inspect(
        &self,
        record: &mut ProjectRecord,
        known: &Known<'_>,
        changes: &mut PageChanges,
        source: &dyn PageSource,
    ) -> Result<Inspection, StoreError> {
        let mut inspection = Inspection { is_whole: true, ..Inspection::default() };
        inspection.repair.projects = 1;
        let mut kinds = Vec::with_capacity(Kind::ALL.len());
        let mut missed = Vec::new();
        for kind in Kind::ALL {
            let indexed = self.every_entry(record.index(kind))?;
            let of_kind = known.rows.iter().filter(|item| item.kind == kind).map(|item| item.id);
            let mut ids: Vec<Uuid> = indexed.iter().map(|entry| entry.position.id).chain(of_kind).collect();
            ids.sort_unstable();
            ids.dedup();
            let mut found = self.counted(kind, &ids, rows_at_once([&*record]))?;
            // A create that was dropped may write its row before it looks. It deletes the row, or else the tick does.
            let is_dropped = |row: &IndexedRow| {
                with_row_type!(kind, R => R::HAS_SIZE_OF_VOLUME)
                    && known.agenda.get(&row.item.row()).is_some_and(|item| item.purpose == Purpose::New)
                    && index::search(&indexed, row.item.position()).is_err()
            };
            found.rows.retain(|row| row.item.project == record.project && !is_dropped(row));
            let kept = self.kept_entries(record, kind, &indexed, &found, known, &mut missed)?;
            kinds.push((kind, indexed, found.rows, kept));
        }
        if !missed.is_empty() {
            record.creates.missed.extend(missed.into_iter().map(|id| (id, known.now)));
            inspection.is_again = true;
            return Ok(inspection);
        }
        record.creates.missed.clear();
        let repair = &mut inspection.repair;
        for (kind, _, rows, kept) in &mut kinds {
            if *kind == Kind::Volume {
                repair.counters += reconcile_reservations(record, rows, kept, known.now);
            }
        }
        let mut totals = known.snapshots_count_gigabytes.map(|_| Amounts::new());
        for (kind, indexed, rows, kept) in kinds {
            repair.rows += rows.len();
            let entries = rows.iter().filter(|row| index::search(&indexed, row.item.position()).is_ok()).count();
            repair.entries_without_row += indexed.len() - entries - kept.len();
            repair.rows_without_entry += rows.len() - entries;
            // A missing page makes an index shorter than its record says.
            let is_whole = record.index(kind).len() == indexed.len();
            inspection.is_whole &= is_whole;
            if !is_whole || entries != rows.len() || entries + kept.len() != indexed.len() {
                let of_row = |row: &IndexedRow| Entry { position: row.item.position(), volume_id: row.volume_id };
                let entries = rows.iter().map(of_row).chain(kept.iter().map(|(entry, _)| *entry));
                rebuild(record, kind, entries.collect(), changes, source);
            }
            totals = totals.filter(|_| kept.iter().all(|(_, item)| item.is_some()));
            if let (Some(totals), Some(gigabytes)) = (&mut totals, known.snapshots_count_gigabytes) {
                let of_kept = kept.iter().filter_map(|(_, item)| item.as_ref());
                for item in rows.iter().map(|row| &row.item).chain(of_kept) {
                    for (resource, amount) in &item.amounts(gigabytes) {
                        *totals.entry(resource.clone()).or_default() += amount;
                    }
                }
            }
            if rows.iter().any(|row| row.is_large) && !record.has_large_rows {
                record.has_large_rows = true;
                inspection.is_whole = false;
            }
            let needs_tick = |row: &IndexedRow| row.needs_tick(known.now);
            inspection.unscheduled.extend(rows.into_iter().filter(needs_tick).map(|row| row.item));
        }
        repair.counters += match totals {
            Some(totals) => recount(record, totals),
            None => limit_counts(record),
        };
        Ok(inspection)
    }

    /// Returns the entries that stay without a readable row: those whose row cannot be read, and those whose create or
    /// removal is under way. Each comes with an item that has its amounts, if they are known. Of the other entries
    /// without rows, adds those to `missed` that the record does not name yet.
    fn kept_entries(
        &self,
        record: &ProjectRecord,
        kind: Kind,
        indexed: &[Entry],
        found: &RowsFound,
        known: &Known<'_>,
        missed: &mut Vec<Uuid>,
    ) -> Result<Vec<(Entry, Option<AgendaItem>)>, StoreError> {
        // Rows are in the order of their ids, as they were read.
        let is_found = |id: &Uuid| found.rows.binary_search_by(|row| row.item.id.cmp(id)).is_ok();
        let (mut kept, mut under_way, mut in_doubt) = (Vec::new(), Vec::new(), Vec::new());
        for entry in indexed.iter().filter(|entry| !is_found(&entry.position.id)) {
            let Position { created_at, id } = entry.position;
            let item = known.agenda.get(&(kind, id));
            let is_running = item.is_some() || may_be_running(created_at, known.now);
            if found.unreadable.binary_search(&id).is_ok() {
                kept.push((*entry, None));
            } else if is_running || record.announces_create(kind, created_at, known.agenda) {
                under_way.push((*entry, item.cloned(), is_running));
            } else {
                in_doubt.push(id);
            }
        }
        if with_row_type!(kind, R => R::HAS_SIZE_OF_VOLUME) {
            let entries: Vec<Entry> = under_way.iter().map(|(entry, ..)| *entry).collect();
            for ((entry, item, _), volume) in under_way.iter_mut().zip(self.sizes_of_volumes(&entries)?) {
                if item.is_none() {
                    *item = volume.map(|volume| AgendaItem::of_entry(&record.project, kind, entry, volume));
                }
            }
        }
        for (entry, item, is_running) in under_way {
            // The tick leaves an announced create to a repair if the volume is gone too.
            if is_running || item.is_some() {
                kept.push((entry, item));
            } else {
                in_doubt.push(entry.position.id);
            }
        }
        missed.extend(in_doubt.into_iter().filter(|id| !record.creates.missed.contains_key(id)));
        Ok(kept)
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
    fn counted(&self, kind: Kind, ids: &[Uuid], at_once: usize) -> Result<RowsFound, StoreError> {
        let mut rows = Vec::with_capacity(ids.len());
        let unreadable = self.each_counted(kind, ids, at_once, |row| rows.push(row))?;
        Ok(RowsFound { rows, unreadable })
    }

    /// Calls `each` with the part of every row that a repair needs, and returns the ids of rows that cannot be read. Reads
    /// `at_once` rows with a call, but only a few from the first large row on, since a record without its mark may be the
    /// damage that is repaired.
    pub(super) fn each_counted(
        &self,
        kind: Kind,
        mut ids: &[Uuid],
        mut at_once: usize,
        mut each: impl FnMut(IndexedRow),
    ) -> Result<Vec<Uuid>, StoreError> {
        let mut unreadable = Vec::new();
        while !ids.is_empty() {
            let (few, rest) = ids.split_at(ids.len().min(at_once));
            ids = rest;
            let mut each = |row: IndexedRow| {
                if row.is_large {
                    at_once = LARGE_ROWS_AT_ONCE;
                }
                each(row);
            };
            with_row_type!(kind, R => for (id, row) in few.iter().zip(self.rows::<R>(few)?) {
                match row {
                    StoredRow::Readable(row) => each(IndexedRow {
                        item: AgendaItem::when_due(&row),
                        volume_id: row.indexed_volume(),
                        pending: row.pending(),
                        extension: row.extension(),
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
        let since = map_of(earlier.0.iter().map(|(page, since)| (page.as_str(), *since)));
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
            self.delete_many(&delete)?;
        }
        if suspects != earlier {
            self.set_many(&[(keys::SUSPECTS.to_owned(), encode_fresh(keys::SUSPECTS, &suspects)?)])?;
        }
        Ok(())
    }
}

/// Rebuilds the index of a kind from exactly these entries.
fn rebuild(
    record: &mut ProjectRecord,
    kind: Kind,
    entries: Vec<Entry>,
    changes: &mut PageChanges,
    source: &dyn PageSource,
) {
    changes.retired.extend(record.index(kind).pages());
    let (index, built) = Index::build(entries, source);
    *record.index_mut(kind) = index;
    changes.written.extend(built.written);
}

/// Makes the items of volumes with reservations say what the record counts for them, and removes the reservations that
/// nothing will settle any more. Returns their number.
fn reconcile_reservations(
    record: &mut ProjectRecord,
    rows: &mut [IndexedRow],
    kept: &mut [(Entry, Option<AgendaItem>)],
    now: Timestamp,
) -> usize {
    let before = record.reservations.len();
    record.reservations.retain(|volume, reservation| {
        let Extension { from, begun, .. } = reservation.extension;
        if let Some(row) = rows.iter_mut().find(|row| row.item.id == *volume) {
            if row.extension.is_none() && !may_be_running(begun, now) {
                return false;
            }
            row.item.size = from;
            return true;
        }
        let kept = kept.iter_mut().find(|(entry, _)| entry.position.id == *volume);
        if let Some((_, Some(item))) = kept {
            item.size = from;
            return true;
        }
        kept.is_some()
    });
    before - record.reservations.len()
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
