//! The service for one request, with the rows that are visible to its caller.

use std::cell::Cell;

use uuid::Uuid;

use crate::domain::lifecycle::{Completion, Occasion, Pending};
use crate::domain::{Caller, Snapshot, SnapshotId, Timestamp, Volume, VolumeId, VolumeTypes};
use crate::settings::LazySettings;
use crate::store::{Change, Identifiers, KeyValue, Notes, Row, Store};

use super::Error;
use super::listing::Listed;
use super::policy::Rule;

/// The service for one request: the store, the caller, the time, and the settings.
pub struct Service<'a> {
    pub(super) store: Store<'a>,
    pub(super) identifiers: &'a dyn Identifiers,
    pub caller: &'a Caller,
    /// The time when the request began.
    pub(super) now: Timestamp,
    pub(super) clock: &'a dyn Fn() -> Timestamp,
    pub(super) settings: &'a LazySettings<'a>,
    /// The rows that this request may still make to begin now, each with a compare-and-swap.
    may_begin_now: Cell<u32>,
    /// The id of the request, which user messages name.
    request_id: Uuid,
}

/// The rows that one request makes to begin now, at most. A compare-and-swap costs more than a read.
const BEGUN_AT_ONCE: u32 = 16;

impl<'a> Service<'a> {
    /// Returns the service for a request of `caller` at `now`.
    #[must_use]
    pub const fn new(
        key_value: &'a dyn KeyValue,
        identifiers: &'a dyn Identifiers,
        notes: &'a Notes,
        caller: &'a Caller,
        now: Timestamp,
        clock: &'a dyn Fn() -> Timestamp,
        settings: &'a LazySettings<'a>,
    ) -> Self {
        let store = Store::new(key_value, identifiers, notes);
        Self {
            store,
            identifiers,
            caller,
            now,
            clock,
            settings,
            may_begin_now: Cell::new(BEGUN_AT_ONCE),
            request_id: Uuid::nil(),
        }
    }

    /// Returns the service for the request with this id.
    #[must_use]
    pub const fn of_request(mut self, request_id: Uuid) -> Self {
        self.request_id = request_id;
        self
    }

    /// Returns the time when the request began.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Returns a pending operation that starts now. If it may fail, it remembers the request for the user message.
    pub(super) fn begin(&self, completion: Completion) -> Result<Pending, Error> {
        let pending = self.settings.get()?.delays.begin(completion, self.now);
        let leaves_message =
            matches!(completion, Completion::Create | Completion::Remove | Completion::Extend | Completion::Fail);
        Ok(Pending { request_id: leaves_message.then_some(self.request_id), ..pending })
    }

    /// Returns the restoration of a backup that starts now. If it may fail, it remembers the request for the user message.
    pub(super) fn begin_restoration(&self) -> Result<Pending, Error> {
        Ok(Pending { request_id: Some(self.request_id), ..self.begin(Completion::Release)? })
    }

    /// Returns the current state of a snapshot that is visible to the caller. If it is not visible, the error is the
    /// one for a snapshot that does not exist (`docs/spec/snapshots-api.md` section 8).
    pub(super) fn visible_snapshot(&self, id: &str) -> Result<Snapshot, Error> {
        self.caller.is_scoped()?;
        let not_found = || Error::SnapshotNotFound(id.to_owned());
        let parsed: SnapshotId = id.parse().map_err(|_| not_found())?;
        let snapshot = self.store.row::<Snapshot>(parsed)?;
        self.seen_snapshot(snapshot).ok_or_else(not_found)
    }

    /// Returns the current state of a snapshot row, if it exists and is visible to the caller.
    pub(super) fn seen_snapshot(&self, row: Option<Snapshot>) -> Option<Snapshot> {
        row.filter(|row| self.caller.sees(&row.project_id)).and_then(|row| self.current(row))
    }

    /// Returns the current state of a row, or `None` if its removal is due.
    ///
    /// If the clock was set back to before its work began, the row is made to say that the work begins now. Otherwise a
    /// client could see it begin twice, and nothing else may look at the row before its time bound.
    pub(super) fn current<T: Row>(&self, row: T) -> Option<T> {
        let (id, begins_in_future) = (row.id(), row.begins_in_future(self.now));
        let seen = row.effective(self.now, Occasion::Reading)?;
        if begins_in_future && let Some(left) = self.may_begin_now.get().checked_sub(1) {
            self.may_begin_now.set(left);
            // After a failure the next reader tries again. The answer is the same.
            let _ = self.store.begin_now::<T>(id.into(), self.now);
        }
        Some(seen)
    }

    /// Returns a snapshot that the caller may read.
    pub(super) fn readable_snapshot(&self, id: &str) -> Result<Snapshot, Error> {
        let snapshot = self.visible_snapshot(id)?;
        self.caller.allow(Rule::GetSnapshot, &snapshot.project_id)?;
        Ok(snapshot)
    }

    /// Returns the current state of a volume that is visible to the caller.
    pub(super) fn visible_volume(&self, id: &str) -> Result<Volume, Error> {
        self.caller.is_scoped()?;
        let not_found = || Error::VolumeNotFound(id.to_owned());
        let parsed: VolumeId = id.parse().map_err(|_| not_found())?;
        let volume = self.store.row::<Volume>(parsed)?.and_then(|row| self.current(row));
        volume.filter(|volume| self.caller.sees(&volume.project_id)).ok_or_else(not_found)
    }

    /// Returns a volume that the caller may read. If the caller may not, the error is the one for a volume that does
    /// not exist.
    pub(super) fn readable_volume(&self, id: &str) -> Result<Volume, Error> {
        self.caller.is_scoped()?;
        let not_found = || Error::VolumeNotFound(id.to_owned());
        let parsed: VolumeId = id.parse().map_err(|_| not_found())?;
        let volume = self.store.row::<Volume>(parsed)?;
        self.seen_volume(volume).ok_or_else(not_found)
    }

    /// Returns a volume that the caller may read, and the volume types, in one call of the store.
    pub(super) fn readable_volume_and_types(&self, id: &str) -> Result<(Volume, VolumeTypes), Error> {
        self.caller.is_scoped()?;
        let not_found = || Error::VolumeNotFound(id.to_owned());
        let parsed: VolumeId = id.parse().map_err(|_| not_found())?;
        let (volume, types) = self.store.volume_and_types(parsed)?;
        Ok((self.seen_volume(volume).ok_or_else(not_found)?, types))
    }

    /// Returns the current state of a volume row, if it exists and the caller may read it.
    pub(super) fn seen_volume(&self, row: Option<Volume>) -> Option<Volume> {
        row.and_then(|row| self.current(row))
            .filter(|volume| self.caller.allow(Rule::GetVolume, &volume.project_id).is_ok())
    }

    /// Changes a volume by compare-and-swap, as [`Service::change_row`] does, unless `change` leaves it as it is. `change` is
    /// not generic, so that the many operations on volumes have one loop.
    pub(super) fn change_volume(
        &self,
        volume: &Volume,
        change: &mut dyn FnMut(&mut Volume) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.change_row(volume, |mut row| {
            let before = row.clone();
            change(&mut row)?;
            Ok(if row == before { Change::Leave(()) } else { Change::Write(row, ()) })
        })
    }

    /// Changes a row by compare-and-swap. `change` gets the row as it is now, with the changes that are due applied.
    ///
    /// The clock is read again after the row, because a removal may have become due since the request began. Others have
    /// seen that the row is gone, so no change may bring it back.
    pub(super) fn change_row<T: Listed, R>(
        &self,
        row: &T,
        mut change: impl FnMut(T) -> Result<Change<T, R>, Error>,
    ) -> Result<R, Error> {
        let id = row.id();
        self.store.update(id.into(), |row: Option<T>| {
            let now = (self.clock)().max(self.now);
            let row = row.and_then(|row| row.effective(now, Occasion::Reading));
            change(row.ok_or_else(|| T::not_found(&id.to_string()))?)
        })
    }
}
