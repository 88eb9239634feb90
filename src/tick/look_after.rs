//! Looks after one project in each run: deletes the pages that its indexes have retired, and compares its newest rows
//! with the index and the agenda.

use uuid::Uuid;

use crate::domain::lifecycle::Moment;
use crate::domain::{ProjectId, Snapshot};
use crate::store::agenda::AgendaItem;
use crate::store::{Kind, Row, Store, StoreError};

use super::run::ANNOUNCED_SECONDS;

/// Looks after a project, and returns the number of things that were wrong. If nothing is wrong, this reads twice and
/// writes nothing.
pub fn look_after(
    store: &Store<'_>,
    project: &ProjectId,
    agenda: &[AgendaItem],
    moment: Moment,
) -> Result<usize, StoreError> {
    let Some(record) = store.project(project)? else { return Ok(0) };
    if !record.retired.is_empty() {
        store.delete_retired(&record)?;
    }
    if record.is_sparse() {
        store.compact(project)?;
    }
    let ids: Vec<Uuid> = record.index(Kind::Snapshot).newest().iter().map(|entry| entry.position.id).collect();
    let mut ghosts = 0;
    let mut unscheduled: Vec<AgendaItem> = Vec::new();
    let long_ago = moment.clock.plus_seconds(-ANNOUNCED_SECONDS);
    for (id, row) in ids.iter().zip(store.rows::<Snapshot>(&ids)?) {
        let is_scheduled = agenda.iter().any(|item| item.kind == Kind::Snapshot && item.id == *id);
        match row {
            _ if is_scheduled => {}
            None => ghosts += 1,
            Some(row) => {
                if let Some(pending) = row.pending.filter(|pending| pending.needs_tick() && pending.due <= long_ago) {
                    unscheduled.push(row.agenda_item(pending.due));
                }
            }
        }
    }
    if !unscheduled.is_empty() {
        store.schedule(&unscheduled)?;
    }
    if ghosts > 0 || record.counts_too_much() {
        return Ok(unscheduled.len() + store.repair_project(project)?.differences());
    }
    Ok(unscheduled.len())
}
