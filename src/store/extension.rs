//! Extensions of volumes and the quota of their projects (`docs/adr/0024-extend.md`).
//!
//! A row and the record of its project are two values, so no swap changes both. The record says what it counts for a
//! volume while the two may differ: the size from before the extension, as a reservation names it, or else as the row
//! names it. The reservation is written first and removed last. So after a stop at any point the row and the record
//! together say what is missing, and the scheduled step finds the volume on the agenda.

use uuid::Uuid;

use crate::domain::lifecycle::{Moment, Occasion};
use crate::domain::quota::{self, Amounts};
use crate::domain::trees::map_of;
use crate::domain::{Extension, ProjectId, Timestamp, Volume, VolumeId, VolumeTypeId};

use super::Store;
use super::agenda::AgendaItem;
use super::compare_and_swap::Change;
use super::creation::may_be_running;
use super::key_value::StoreError;
use super::keys;
use super::projects::{ProjectRecord, UpdateError};
use super::row::Row;
use super::rows::LARGE_ROWS_AT_ONCE;

/// The quota that an extension takes besides the size that is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    pub extension: Extension,
    pub volume_type: Option<VolumeTypeId>,
}

impl Reservation {
    /// Returns the reservation for the extension of a row.
    #[must_use]
    pub fn of<T: Row>(row: &T, extension: Extension) -> Self {
        Self { extension, volume_type: row.volume_type_id() }
    }

    /// Returns the amounts that the extension adds to the counters.
    #[must_use]
    pub fn amounts(&self) -> Amounts {
        let Extension { from, to, .. } = self.extension;
        quota::amounts_of_extension(to.saturating_sub(from), self.volume_type)
    }
}

/// The decision about a reservation. After the inner error, the counters of the amounts are opened.
type Admission<E> = Result<Result<(), E>, E>;

/// The attempts to reserve quota after an earlier extension of the volume was settled.
const RESERVATIONS: u32 = 3;

impl ProjectRecord {
    /// Counts a size of a volume instead of the one that its reservation names, and removes the reservation.
    fn settle(&mut self, volume: Uuid, size: u32) {
        let Some(Reservation { extension: Extension { from, .. }, volume_type }) = self.reservations.remove(&volume)
        else {
            return;
        };
        let amounts = |increase: u32| quota::amounts_of_extension(increase, volume_type);
        self.take(&amounts(size.saturating_sub(from)));
        self.give_back(&amounts(from.saturating_sub(size)));
    }

    /// Opens the counters of amounts, as a refused reservation does.
    pub fn open(&mut self, amounts: &Amounts) {
        let unchanged = map_of(amounts.keys().map(|resource| (resource.clone(), 0)));
        self.take(&unchanged);
    }
}

impl Store<'_> {
    /// Reserves the quota of an extension that is about to begin, if `admit` accepts it given the record. The volume is on
    /// the agenda.
    ///
    /// # Errors
    ///
    /// The errors of `admit`, or an error of the store. After the inner error of `admit` the counters of the amounts are open.
    pub fn reserve<E: From<StoreError>>(
        &self,
        volume: &Volume,
        reservation: &Reservation,
        admit: &mut dyn FnMut(&ProjectRecord) -> Admission<E>,
    ) -> Result<(), E> {
        let id = volume.id.as_uuid();
        let amounts = reservation.amounts();
        for _ in 0..RESERVATIONS {
            let outcome = self.update_project(&volume.project_id, &mut Vec::new(), |record, _| {
                if record.reservations.contains_key(&id) {
                    return Ok::<_, E>(None);
                }
                let admitted = admit(record)?;
                record.open(&amounts);
                if admitted.is_ok() {
                    record.reservations.insert(id, reservation.clone());
                }
                Ok(Some(admitted))
            });
            match outcome {
                Ok(Some(admitted)) => return admitted,
                // An earlier extension is not settled.
                Ok(None) => drop(self.settle_extension(volume.id, Moment::scheduled(reservation.extension.begun))?),
                Err(UpdateError::Refused(refusal)) => return Err(refusal),
                Err(UpdateError::Store(error)) => return Err(error.into()),
            }
        }
        Err(StoreError::Contended(keys::project(&volume.project_id)).into())
    }

    /// Removes the reservation of an extension that its request could not begin.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn release(
        &self,
        project: &ProjectId,
        id: VolumeId,
        extension: Extension,
        clock: Timestamp,
    ) -> Result<(), StoreError> {
        self.settle_reservation(project, id, Some(extension), clock).map(drop)
    }

    /// Settles the extension of a volume with the quota of its project if it has ended. Returns whether nothing is left to
    /// settle.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn settle_extension(&self, id: VolumeId, moment: Moment) -> Result<bool, StoreError> {
        let Some(row) = self.row::<Volume>(id)? else { return Ok(true) };
        let project = row.project_id.clone();
        if let Some(extension) = row.extension {
            if row.clone().at(moment).is_none_or(|row| row.is_extending()) {
                return Ok(false);
            }
            if row.consumes_quota {
                self.reserve_late(&row, extension)?;
            }
            let settled = self.update(id, |row: Option<Volume>| {
                let row = row.filter(|row| row.extension == Some(extension)).and_then(|row| row.at(moment));
                Ok::<_, StoreError>(match row.filter(|row| !row.is_extending()) {
                    Some(row) => Change::Write(row.with_extension_settled(), true),
                    None => Change::Leave(false),
                })
            })?;
            return Ok(settled && self.settle_reservation(&project, id, Some(extension), moment.clock)?);
        }
        self.settle_reservation(&project, id, None, moment.clock)
    }

    /// Reserves the quota of an extension whose request was stopped or was slow, whether or not the quota has room.
    fn reserve_late(&self, volume: &Volume, extension: Extension) -> Result<(), StoreError> {
        let id = volume.id.as_uuid();
        if self.project(&volume.project_id)?.is_some_and(|record| record.reservations.contains_key(&id)) {
            return Ok(());
        }
        let reservation = Reservation::of(volume, extension);
        self.change_project(&volume.project_id, |record, _| {
            // The size that the record counts is that from before the extension as long as the row names the extension.
            if self.row::<Volume>(volume.id)?.is_some_and(|row| row.extension == Some(extension)) {
                record.reservations.entry(id).or_insert_with(|| reservation.clone());
            }
            Ok(())
        })
    }

    /// Counts the final size of a volume whose row names no extension. `settled` is the extension that was just taken out of
    /// the row. Any other reservation may belong to a request that is about to write the row.
    fn settle_reservation(
        &self,
        project: &ProjectId,
        id: VolumeId,
        settled: Option<Extension>,
        clock: Timestamp,
    ) -> Result<bool, StoreError> {
        let is_final = |reservation: &Reservation| {
            settled == Some(reservation.extension) || !may_be_running(reservation.extension.begun, clock)
        };
        let reservation = |record: &ProjectRecord| record.reservations.get(&id.as_uuid()).cloned();
        match self.project(project)?.as_ref().and_then(reservation) {
            None => return Ok(true),
            Some(reservation) if !is_final(&reservation) => return Ok(false),
            Some(_) => {}
        }
        self.change_project(project, |record, _| {
            let Some(reservation) = reservation(record) else { return Ok(true) };
            if !is_final(&reservation) {
                return Ok(false);
            }
            match self.row::<Volume>(id)? {
                Some(row) if row.extension.is_none() => {
                    record.settle(id.as_uuid(), row.size);
                    Ok(true)
                }
                // Another extension has begun. A row that is gone gives its quota back with its entry.
                Some(_) => Ok(false),
                None => Ok(true),
            }
        })
    }

    /// Settles in a copy of a record the extensions that have ended for every reader.
    pub(super) fn settle_ended_extensions(&self, record: &mut ProjectRecord, now: Timestamp) -> Result<(), StoreError> {
        let ids: Vec<Uuid> = record.reservations.keys().copied().collect();
        for ids in ids.chunks(LARGE_ROWS_AT_ONCE) {
            for row in self.rows::<Volume>(ids)? {
                let Some(row) = row.readable().and_then(|row| row.effective(now, Occasion::Reading)) else { continue };
                let begun = record.reservations.get(&row.id.as_uuid()).map(|own| own.extension.begun);
                let is_running = row.extension.is_none() && begun.is_some_and(|begun| may_be_running(begun, now));
                if !row.is_extending() && !is_running {
                    record.settle(row.id.as_uuid(), row.size);
                }
            }
        }
        Ok(())
    }

    /// Puts a volume whose extension has just been settled on the agenda again, if it is about to be removed: the item says
    /// how much quota the removal gives back.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn schedule_removal_again(&self, id: VolumeId) -> Result<bool, StoreError> {
        let row = self.row::<Volume>(id)?;
        let removal = row.filter(|row| row.pending.is_some_and(|pending| pending.removes()));
        match removal {
            Some(row) => self.schedule(&[AgendaItem::when_due(&row)]).map(|_| true),
            None => Ok(false),
        }
    }
}
