//! The actions on a snapshot (`docs/spec/lifecycle.md` section 4).

use crate::domain::snapshot::Cause;
use crate::domain::{Completion, Snapshot, SnapshotStatus};
use crate::store::Change;
use crate::store::agenda::AgendaItem;
use crate::store::slots::slot_of;

use super::policy::Rule;
use super::{Error, Service};

impl Service<'_> {
    /// Applies a storage agent's report of its progress (`os-update_snapshot_status`).
    ///
    /// # Errors
    ///
    /// Not found, not allowed, or a report that does not fit the snapshot's status.
    pub fn report_snapshot_status(&self, id: &str, reported: &str, progress: Option<&str>) -> Result<(), Error> {
        let snapshot = self.visible_snapshot(id)?;
        self.caller.allow(Rule::UpdateSnapshotStatus, &snapshot.project_id)?;
        let leaves_message = ["error", "error_deleting"].contains(&reported)
            && snapshot.failure().is_some()
            && snapshot.pending.is_some_and(|pending| pending.request_id.is_some());
        if leaves_message {
            // The scheduled step writes the user message, even if we stop here.
            self.store.schedule(&[AgendaItem::now(&snapshot, self.now)])?;
        }
        self.announce_group_snapshot(&snapshot, reported)?;
        let before = snapshot.pending;
        self.change_row(&snapshot, |mut snapshot| {
            let current = snapshot.status;
            let reportable = Snapshot::reportable(current).ok_or_else(|| {
                Error::BadRequest(format!("Snapshot status {current} not allowed for update_snapshot_status"))
            })?;
            let status = reportable.iter().copied().find(|status| status.as_str() == reported).ok_or_else(|| {
                let message =
                    format!("Provided snapshot status {reported} not allowed for snapshot with status {current}.");
                Error::BadRequest(message)
            })?;
            // A report of the same status is a sign of life, so the work under way goes on.
            let failed = snapshot.pending.filter(|_| leaves_message).map(|pending| pending.failed(self.now));
            let pending = if status == current { snapshot.pending } else { failed };
            snapshot.enter(status, pending, self.now, Cause::Report);
            if let Some(progress) = progress {
                snapshot.progress = Some(progress.to_owned());
            }
            Ok(Change::Write(snapshot, ()))
        })?;
        self.tell_group_snapshot(&snapshot)?;
        // The scheduled step need not look whether the work is given up. It does no harm if it looks.
        if let Some(pending) = before.filter(|pending| !leaves_message && pending.may_leave_message())
            && reported == "available"
        {
            let item = AgendaItem::for_work(&snapshot, pending);
            self.store.without_unreadable(self.store.forget(slot_of(&snapshot.project_id), &[item]))?;
        }
        Ok(())
    }

    /// Sets a status for an administrator, whatever the current status is (`os-reset_status`). No backend does any
    /// work, so a transient status set this way ends only with a report or at its time limit.
    ///
    /// # Errors
    ///
    /// Not found, not allowed, or not a valid status.
    pub fn reset_snapshot_status(&self, id: &str, wanted: &str) -> Result<(), Error> {
        let status: SnapshotStatus = wanted.to_lowercase().parse().map_err(|_| {
            let valid: Vec<String> = SnapshotStatus::ALL.iter().map(|status| format!("'{status}'")).collect();
            let valid = valid.join(", ");
            Error::BadRequest(format!("Snapshot status: {wanted} is invalid, valid statuses are: ({valid})."))
        })?;
        let snapshot = self.visible_snapshot(id)?;
        self.caller.allow(Rule::ResetStatus, &snapshot.project_id)?;
        let pending = status.completion().map(|_| self.begin(Completion::None)).transpose()?;
        self.change_row(&snapshot, |mut snapshot| {
            snapshot.enter(status, pending, self.now, Cause::Reset);
            Ok(Change::Write(snapshot, ()))
        })
    }

    /// Starts the deletion of a snapshot in any status, for an administrator (`os-force_delete`).
    ///
    /// # Errors
    ///
    /// Not found, not allowed, frozen, or in a group.
    pub fn force_delete_snapshot(&self, id: &str) -> Result<(), Error> {
        let snapshot = self.readable_snapshot(id)?;
        self.caller.allow(Rule::ForceDelete, &snapshot.project_id)?;
        self.caller.allow(Rule::DeleteSnapshot, &snapshot.project_id)?;
        self.check_volume_of(&snapshot)?;
        self.begin_removal(&snapshot, SnapshotStatus::Deleting, Cause::ForceDelete, |snapshot| {
            Ok(snapshot.may_be_force_deleted()?)
        })
    }

    /// Stops managing a snapshot, for an administrator. The backend keeps its data (`os-unmanage`). A frozen backend
    /// does not prevent this.
    ///
    /// # Errors
    ///
    /// Not found, not allowed, or not deletable in its state.
    pub fn unmanage_snapshot(&self, id: &str) -> Result<(), Error> {
        let snapshot = self.readable_snapshot(id)?;
        self.caller.allow(Rule::Unmanage, &snapshot.project_id)?;
        self.caller.allow(Rule::DeleteSnapshot, &snapshot.project_id)?;
        self.begin_removal(&snapshot, SnapshotStatus::Unmanaging, Cause::Unmanage, |snapshot| {
            Ok(snapshot.may_be_deleted()?)
        })
    }
}
