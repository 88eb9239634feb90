//! The use of a project's quota without the rows that are due for removal.
//!
//! The scheduled step gives back the quota of a removed row. Until then readers do not see the row, so a count or a
//! quota must not include it. That is a fact about stored rows, so the services need not know the step.

use crate::domain::lifecycle::{Moment, Occasion};
use crate::domain::quota::Amounts;
use crate::domain::trees::map_of;
use crate::domain::{ProjectId, Timestamp};

use super::Store;
use super::agenda::{self, AgendaItem, Purpose};
use super::deployment::Deployment;
use super::key_value::StoreError;
use super::projects::{ProjectRecord, RECORD_READS};
use super::row::Kind;
use super::row_state::RowState;

impl ProjectRecord {
    /// Returns the open counters as they are once only the counted rows are left, those that readers see. An operator's
    /// difference between a counter and the rows is kept.
    #[must_use]
    pub fn usage_of(&self, counted: &Amounts) -> Amounts {
        let of = |amounts: &Amounts, resource: &str| amounts.get(resource).copied().unwrap_or(0);
        let settled = self.usage.iter().map(|(resource, usage)| {
            let difference = usage.saturating_sub(of(&self.totals, resource));
            (resource.clone(), of(counted, resource).saturating_add(difference).max(0))
        });
        map_of(settled)
    }
}

/// The projects whose records one call reads.
const PROJECTS_AT_ONCE: usize = 1_000;

impl Store<'_> {
    /// Returns the record of a project, and the rows in its indexes whose removal is due.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn project_and_removals(
        &self,
        project: &ProjectId,
        now: Timestamp,
    ) -> Result<Option<(ProjectRecord, Vec<AgendaItem>)>, StoreError> {
        for _ in 0..RECORD_READS {
            let Some((record, agenda)) = self.project_with_agenda(project)? else { return Ok(None) };
            match self.listed(&record, &self.ended(agenda, now)?).map_err(|error| self.lost_page(project, error)) {
                // A page was replaced since the record was read.
                Err(StoreError::Contended(_)) => {}
                listed => return listed.map(|listed| Some((record, listed))),
            }
        }
        Err(StoreError::Contended(project.to_string()))
    }

    /// Returns the number of rows of a kind in some projects, without those whose removal is due. With `is_of_many`, a
    /// project that cannot be read is noted and left out.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn count(
        &self,
        kind: Kind,
        projects: &[ProjectId],
        now: Timestamp,
        is_of_many: bool,
    ) -> Result<usize, StoreError> {
        let mut count = 0;
        for projects in projects.chunks(PROJECTS_AT_ONCE) {
            let (records, mut items) = self.projects_with_agenda(projects)?;
            items.retain(|item| item.kind == kind);
            let mut ended = agenda::by_project(self.ended(items, now)?);
            for (project, record) in projects.iter().zip(records) {
                let ended = ended.remove(project).unwrap_or_default();
                let counted = record.and_then(|record| {
                    let Some(record) = record else { return Ok(0) };
                    let removals = self.listed(&record, &ended)?.len();
                    Ok(record.index(kind).len().saturating_sub(removals))
                });
                count += match counted {
                    Ok(counted) => counted,
                    // A page was replaced since the record was read, or something cannot be read.
                    Err(_) => self.count_one(kind, project, now, is_of_many)?,
                };
            }
        }
        Ok(count)
    }

    /// Returns the number of rows of a kind in one project, as [`Store::count`].
    fn count_one(
        &self,
        kind: Kind,
        project: &ProjectId,
        now: Timestamp,
        is_of_many: bool,
    ) -> Result<usize, StoreError> {
        let settled = self.project_and_removals(project, now);
        let settled = if is_of_many { self.without_unreadable(settled)?.flatten() } else { settled? };
        let Some((record, removals)) = settled else { return Ok(0) };
        let gone = removals.iter().filter(|item| item.kind == kind).count();
        Ok(record.index(kind).len().saturating_sub(gone))
    }

    /// Returns the items whose row is gone for every reader. The row decides, not the item: a row may have been ended
    /// early, or been given other work since.
    fn ended(&self, agenda: Vec<AgendaItem>, now: Timestamp) -> Result<Vec<AgendaItem>, StoreError> {
        let states = self.row_states(&agenda, Moment { now, clock: now, occasion: Occasion::Reading })?;
        let ended = agenda.into_iter().zip(states);
        // A row that is created takes quota before it is written.
        let ended = ended.filter(|(item, state)| match state {
            RowState::Ended => true,
            RowState::Gone => item.purpose != Purpose::New,
            _ => false,
        });
        Ok(ended.map(|(item, _)| item).collect())
    }

    /// Returns the record of a project as it will be after the removals and extensions that are due.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn settled_project(
        &self,
        project: &ProjectId,
        now: Timestamp,
        deployment: &Deployment,
    ) -> Result<Option<ProjectRecord>, StoreError> {
        let Some((mut record, removals)) = self.project_and_removals(project, now)? else { return Ok(None) };
        for item in removals {
            record.give_back(&item.amounts(deployment.snapshots_count_gigabytes()));
        }
        self.settle_ended_extensions(&mut record, now)?;
        Ok(Some(record))
    }
}
