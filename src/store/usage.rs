//! The use of a project's quota without the rows that are due for removal.
//!
//! The scheduled step gives back the quota of a removed row. Until then readers do not see the row, so a count or a
//! quota must not include it. That is a fact about stored rows, so the services need not know the step.

use crate::domain::lifecycle::{Moment, Occasion};
use crate::domain::{ProjectId, Timestamp};

use super::Store;
use super::agenda::AgendaItem;
use super::deployment::Deployment;
use super::key_value::StoreError;
use super::projects::ProjectRecord;
use super::row_state::RowState;

/// The number of times that a record is read because a page that it names was replaced.
const RECORD_READS: u32 = 8;

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
            // The row decides, not the item: a row may have been ended early, or been given other work since.
            let states = self.row_states(&agenda, Moment { now, clock: now, occasion: Occasion::Reading })?;
            let ended = agenda.into_iter().zip(states);
            let ended = ended.filter(|(_, state)| matches!(state, RowState::Ended | RowState::Gone));
            let ended: Vec<AgendaItem> = ended.map(|(item, _)| item).collect();
            match self.listed(&record, &ended).map_err(|error| self.lost_page(project, error)) {
                // A page was replaced since the record was read.
                Err(StoreError::Contended(_)) => {}
                listed => return listed.map(|listed| Some((record, listed))),
            }
        }
        Err(StoreError::Contended(project.to_string()))
    }

    /// Returns the record of a project as it will be after the removals that are due.
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
        Ok(Some(record))
    }
}
