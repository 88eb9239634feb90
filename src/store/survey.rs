//! Finds the projects in which nothing is wrong, many at a time, so that a repair of all projects needs few calls.
//!
//! A survey writes nothing, and only a project that it finds well is left out of the repair. Like a repair, it reads the
//! rows after the record that lists them. A request that runs meanwhile can make a project look wrong, but not well: a
//! project in doubt is repaired by itself, which looks again.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::domain::quota::Amounts;
use crate::domain::trees::{map_of, set_of};
use crate::domain::{ProjectId, Timestamp};

use super::agenda::AgendaItem;
use super::index::{self, Entry};
use super::projects::ProjectRecord;
use super::repair::recount;
use super::row::Kind;
use super::rows::rows_at_once;
use super::{Store, StoreError};

/// A project that is surveyed.
struct Surveyed {
    record: ProjectRecord,
    /// The entries of its indexes, by kind.
    entries: [Vec<Entry>; Kind::ALL.len()],
    /// The rows that were found, each of which has an entry.
    rows: usize,
    totals: Amounts,
    is_well: bool,
}

impl Store<'_> {
    /// Returns those of some projects in which nothing is wrong, each with the number of its rows. A project is given with
    /// all of its rows that were found by their keys.
    pub(super) fn survey(
        &self,
        projects: &[(ProjectId, Vec<AgendaItem>)],
        now: Timestamp,
    ) -> Result<BTreeMap<ProjectId, usize>, StoreError> {
        let Some(deployment) = self.without_unreadable(self.deployment())? else { return Ok(BTreeMap::new()) };
        let ids: Vec<ProjectId> = projects.iter().map(|(project, _)| project.clone()).collect();
        let (records, agenda) = self.projects_with_agenda(&ids)?;
        let scheduled = set_of(agenda.iter().map(AgendaItem::row));
        let mut surveyed: BTreeMap<ProjectId, Surveyed> = BTreeMap::new();
        for ((project, known), record) in projects.iter().zip(records) {
            let Some(Some(record)) = self.without_unreadable(record)? else { continue };
            if let Some(entries) = self.without_unreadable(self.listed_everywhere(&record, known))?.flatten() {
                // A reservation says what the project counts for a volume, which a repair compares with the row.
                let is_well = record.reservations.is_empty();
                let one = Surveyed { record, entries, rows: 0, totals: Amounts::new(), is_well };
                surveyed.insert(project.clone(), one);
            }
        }
        for kind in Kind::ALL {
            let entries = surveyed.values().flat_map(|one| &one.entries[kind as usize]);
            let ids: Vec<Uuid> = entries.map(|entry| entry.position.id).collect();
            let at_once = rows_at_once(surveyed.values().map(|one| &one.record));
            self.each_counted(kind, &ids, at_once, |row| {
                let Some(one) = surveyed.get_mut(&row.item.project) else { return };
                if index::search(&one.entries[kind as usize], row.item.position()).is_err() {
                    return;
                }
                one.rows += 1;
                one.is_well &= !row.needs_tick(now) || scheduled.contains(&row.item.row());
                for (resource, amount) in row.item.amounts(deployment.snapshots_count_gigabytes()) {
                    *one.totals.entry(resource).or_default() += amount;
                }
            })?;
        }
        let well = surveyed.into_iter().filter_map(|(project, mut one)| {
            let entries: usize = one.entries.iter().map(Vec::len).sum();
            let is_well = one.is_well && one.rows == entries && recount(&mut one.record, one.totals) == 0;
            is_well.then_some((project, one.rows))
        });
        Ok(map_of(well))
    }

    /// Returns the entries of a project's indexes, or `None` if a page is missing or a known row has no entry.
    fn listed_everywhere(
        &self,
        record: &ProjectRecord,
        known: &[AgendaItem],
    ) -> Result<Option<[Vec<Entry>; Kind::ALL.len()]>, StoreError> {
        let mut entries: [Vec<Entry>; Kind::ALL.len()] = Default::default();
        for kind in Kind::ALL {
            entries[kind as usize] = self.every_entry(record.index(kind))?;
            if entries[kind as usize].len() != record.index(kind).len() {
                return Ok(None);
            }
        }
        let has_entry = |item: &AgendaItem| index::search(&entries[item.kind as usize], item.position()).is_ok();
        Ok(if known.iter().all(has_entry) { Some(entries) } else { None })
    }
}
