//! The actions that change a volume itself: its size, its flags, and the metadata of its image
//! (`cinder/volume/api.py`).

use crate::domain::attachment::READONLY;
use crate::domain::lifecycle::Moment;
use crate::domain::quota;
use crate::domain::{Completion, Extension, Metadata, Pending, Schedule, Volume, VolumeStatus};
use crate::store::agenda::AgendaItem;
use crate::store::deployment::Deployment;
use crate::store::extension::Reservation;
use crate::store::projects::ProjectRecord;
use crate::store::{Change, StoreError};

use super::metadata::{Access, HasMetadata};
use super::policy::Rule;
use super::{Error, Service};

/// The keys of the hidden metadata that a driver sets while it waits for the end of an extension.
const NEW_SIZE: &str = "extend_new_size";
const RESERVATIONS: &str = "extend_reservations";

impl Service<'_> {
    /// Starts the extension of a volume. Three commits: the agenda, the project's record, which reserves the quota, and the
    /// row (`docs/adr/0024-extend.md`).
    ///
    /// # Errors
    ///
    /// The first failure of these checks: the volume, policy, the new size, the status, and quota. A refused quota leaves
    /// `previous_status` and `updated_at` changed, as in Cinder.
    pub fn extend_volume(&self, id: &str, new_size: u32, in_use_accepted: bool) -> Result<(), Error> {
        let (volume, types) = self.readable_volume_and_types(id)?;
        let is_in_use = in_use_accepted && volume.status == VolumeStatus::IN_USE;
        let rule = if is_in_use { Rule::ExtendAttachedVolume } else { Rule::ExtendVolume };
        self.caller.allow(rule, &volume.project_id)?;
        if new_size <= volume.size {
            return Err(Error::BadRequest(format!(
                "Invalid input received: New size for extend must be greater than current size. (current: {}, extended: \
                 {new_size}).",
                volume.size
            )));
        }
        let volume_type = volume.volume_type_id.and_then(|id| types.get(id));
        if let Some(refusal) = volume_type.and_then(|volume_type| volume_type.refuses_size(new_size)) {
            return Err(Error::BadRequest(format!("Invalid input received: {refusal}")));
        }
        let expected = if is_in_use { VolumeStatus::IN_USE } else { VolumeStatus::AVAILABLE };
        may_be_extended(&volume, &expected)?;
        if volume.extension.is_some() && !self.store.settle_extension(volume.id, Moment::scheduled(self.now))? {
            return Err(is_busy(&volume));
        }
        let deployment = self.store.deployment()?;
        let has_backend = volume.host.as_deref().is_none_or(|host| {
            (volume.is_clustered() || deployment.finds_backend(host)) && volume_type.is_none_or(|own| own.fits(host))
        });
        let pending = self.begin(if has_backend { Completion::Extend } else { Completion::Fail })?;
        let extension = Extension { from: volume.size, to: new_size, begun: self.now };
        self.announce_extension(&volume, extension, pending)?;
        let reserved = self.reserve_extension(&volume, extension, Some(&deployment));
        if let Err(refusal @ Error::OverQuota(_)) = reserved {
            self.change_row(&volume, |mut volume| {
                volume.previous_status = Some(expected.clone());
                volume.updated_at = Some(self.now);
                Ok(Change::Write(volume, ()))
            })?;
            return Err(refusal);
        }
        reserved?;
        let begun = self.change_row(&volume, |mut volume| {
            may_be_extended(&volume, &expected)?;
            if volume.extension.is_some() {
                return Err(is_busy(&volume));
            }
            volume.previous_status = Some(expected.clone());
            volume.extension = Some(extension);
            volume.enter(VolumeStatus::EXTENDING, Some(pending), self.now);
            Ok(Change::Write(volume, ()))
        });
        if matches!(begun, Err(Error::BadRequest(_) | Error::VolumeNotFound(_))) {
            self.store.release(&volume.project_id, volume.id, extension, self.now)?;
        }
        begun
    }

    /// Ends and settles the extension of a volume that is about to be deleted. An extension that is under way fails.
    pub(super) fn end_extension(&self, volume: Volume) -> Result<Volume, Error> {
        if volume.extension.is_none() {
            return Ok(volume);
        }
        self.change_row(&volume, |mut volume| {
            if !volume.is_extending() {
                return Ok(Change::Leave(()));
            }
            volume.enter(VolumeStatus::ERROR_EXTENDING, None, self.now);
            Ok(Change::Write(volume, ()))
        })?;
        if !self.store.settle_extension(volume.id, Moment::scheduled(self.now))? {
            return Err(is_busy(&volume));
        }
        let row = self.store.row::<Volume>(volume.id)?.and_then(|row| self.current(row));
        row.ok_or_else(|| Error::VolumeNotFound(volume.id.to_string()))
    }

    /// Ends an extension that waits for a report. `failed` says how it has ended.
    ///
    /// # Errors
    ///
    /// Not found, not allowed, or no extension waits for a report.
    pub fn complete_extension(&self, id: &str, failed: bool) -> Result<(), Error> {
        let volume = self.readable_volume(id)?;
        self.caller.allow(Rule::CompleteExtension, &volume.project_id)?;
        if volume.status != VolumeStatus::EXTENDING {
            return Err(invalid_volume("Volume is not being extended."));
        }
        let extension = self.reported_extension(&volume)?;
        let begun = self.begin(Completion::Extend)?;
        let pending = if failed { begun.given_up_at(begun.due) } else { begun.ending_by_clock() };
        self.announce_extension(&volume, extension, pending)?;
        let is_new = volume.extension.is_none();
        if is_new && !failed {
            self.reserve_extension(&volume, extension, None)?;
        }
        self.change_row(&volume, |mut volume| {
            if volume.status != VolumeStatus::EXTENDING || self.reported_extension(&volume)? != extension {
                return Err(invalid_volume("Volume is not being extended."));
            }
            volume.admin_metadata.remove(NEW_SIZE);
            volume.admin_metadata.remove(RESERVATIONS);
            if is_new && !failed {
                volume.extension = Some(extension);
            }
            volume.pending = Some(pending);
            Ok(Change::Write(volume, ()))
        })
    }

    /// Returns the extension whose end is reported: one that only a report ends, or one that the hidden metadata names.
    fn reported_extension(&self, volume: &Volume) -> Result<Extension, Error> {
        let waits = volume.pending.is_some_and(|pending| pending.schedule == Schedule::OnRequest);
        if let Some(extension) = volume.extension.filter(|_| volume.is_extending() && waits) {
            return Ok(extension);
        }
        let own = |key| volume.admin_metadata.get(key).map(|value| value.trim());
        let to = own(NEW_SIZE).and_then(|size| size.parse::<u32>().ok());
        let first = own(RESERVATIONS).and_then(|reservations| reservations.chars().next());
        let (Some(to), Some(first)) = (to, first) else {
            return Err(invalid_volume("Required volume admin metadata is malformed or missing."));
        };
        if to <= volume.size {
            return Err(invalid_volume(&format!(
                "The target volume size provided in volume admin metadata {to} is smaller or equal to the current volume \
                 size."
            )));
        }
        if first != '[' {
            let message = "The stored quota reservations for extending the volume must be in a list format.";
            return Err(invalid_volume(message));
        }
        Ok(Extension { from: volume.size, to, begun: self.now })
    }

    /// Puts a volume on the agenda whose extension is about to begin.
    fn announce_extension(&self, volume: &Volume, extension: Extension, pending: Pending) -> Result<(), Error> {
        let announced = Volume { extension: Some(extension), ..volume.clone() };
        if self.store.schedule(&[AgendaItem::for_work(&announced, pending)])? {
            self.relieve_full_agenda();
        }
        Ok(())
    }

    /// Reserves the quota of an extension. The quota must have room for it if a deployment with limits is given.
    fn reserve_extension(
        &self,
        volume: &Volume,
        extension: Extension,
        deployment: Option<&Deployment>,
    ) -> Result<(), Error> {
        if !volume.consumes_quota {
            return Ok(());
        }
        let limits = self.settings.get()?.limits;
        let reservation = Reservation::of(volume, extension);
        let requested = reservation.amounts();
        // Cinder compares the size with the limit of the caller's project.
        let own = self.caller.project_id.as_ref().filter(|own| deployment.is_some() && **own != volume.project_id);
        let own = own.map(|own| self.store.project(own)).transpose()?.flatten();
        self.store.reserve(volume, &reservation, &mut |record| {
            let Some(deployment) = deployment else { return Ok(Ok(())) };
            self.admit_size_of_volume(own.as_ref().unwrap_or(record), extension.to, deployment)?;
            let limit_of = |resource: &str| {
                record.quotas.get(resource).copied().unwrap_or_else(|| deployment.default_limit(resource, limits))
            };
            let admit =
                |record: &ProjectRecord| quota::admit_extension(&requested, limit_of, |resource| record.used(resource));
            let admitted = match admit(record) {
                Ok(()) => Ok(()),
                Err(refusal) => match self.store.settled_project(&record.project, self.now, deployment)? {
                    Some(settled) => admit(&settled),
                    None => Err(refusal),
                },
            };
            Ok(match admitted {
                Err(refusal) if refusal.names_type() => Err(refusal.with_names(&self.store.volume_types()?).into()),
                admitted => admitted.map_err(Error::from),
            })
        })
    }

    /// Sets whether a volume is bootable.
    ///
    /// # Errors
    ///
    /// Not found, not allowed, or in maintenance.
    pub fn set_bootable(&self, id: &str, bootable: bool) -> Result<(), Error> {
        let volume = self.readable_volume(id)?;
        self.caller.allow(Rule::UpdateVolume, &volume.project_id)?;
        self.change_row(&volume, |mut volume| {
            volume.may_be_updated()?;
            volume.bootable = bootable;
            volume.updated_at = Some(self.now);
            Ok(Change::Write(volume, ()))
        })
    }

    /// Sets whether a volume is read-only for those that attach it.
    ///
    /// # Errors
    ///
    /// Not found, not allowed, or not `available`.
    pub fn update_readonly_flag(&self, id: &str, readonly: bool) -> Result<(), Error> {
        let volume = self.readable_volume(id)?;
        self.caller.allow(Rule::UpdateReadonlyFlag, &volume.project_id)?;
        self.change_row(&volume, |mut volume| {
            if volume.status != VolumeStatus::AVAILABLE {
                let (id, status) = (volume.id, &volume.status);
                return Err(invalid_volume(&format!(
                    "Volume {id} status must be available to update readonly flag, but current status is: {status}."
                )));
            }
            let flag = if readonly { "True" } else { "False" };
            volume.admin_metadata.insert(READONLY.to_owned(), flag.to_owned());
            Ok(Change::Write(volume, ()))
        })
    }

    /// Adds items to the metadata of a volume's image, and returns all items.
    ///
    /// # Errors
    ///
    /// Not found, not allowed, or the state forbids it.
    pub fn set_image_metadata(&self, id: &str, items: &Metadata) -> Result<Metadata, Error> {
        // Cinder finds the volume without the rule `volume:get`, so a caller without a role is refused by this rule.
        let volume = self.visible_volume(id)?;
        self.caller.allow(Rule::SetImageMetadata, &volume.project_id)?;
        self.change_row_with_metadata(&volume, |mut volume| {
            volume.accepts_metadata(Access::Update)?;
            volume.image_metadata.extend(items.clone());
            let all = volume.image_metadata.clone();
            Ok((volume, all))
        })
    }

    /// Removes an item from the metadata of a volume's image.
    ///
    /// # Errors
    ///
    /// Not found, not allowed, no such key, or the state forbids it.
    pub fn unset_image_metadata(&self, id: &str, key: &str) -> Result<(), Error> {
        let volume = self.visible_volume(id)?;
        self.caller.allow(Rule::RemoveImageMetadata, &volume.project_id)?;
        self.change_row(&volume, |mut volume| {
            if volume.image_metadata.remove(key).is_none() {
                return Err(image_metadata_not_found(&volume));
            }
            volume.accepts_metadata(Access::Delete)?;
            Ok(Change::Write(volume, ()))
        })
    }

    /// Returns the metadata of a volume's image, which has at least one item.
    ///
    /// # Errors
    ///
    /// Not found, or not allowed.
    pub fn show_image_metadata(&self, id: &str) -> Result<Metadata, Error> {
        let volume = self.readable_volume(id)?;
        self.caller.allow(Rule::GetVolumeMetadata, &volume.project_id)?;
        if volume.image_metadata.is_empty() {
            return Err(image_metadata_not_found(&volume));
        }
        Ok(volume.image_metadata)
    }
}

/// Checks that a volume has the status from which it is extended. The message has a dict, as Cinder prints it.
fn may_be_extended(volume: &Volume, expected: &VolumeStatus) -> Result<(), Error> {
    if volume.status == *expected {
        return Ok(());
    }
    let (id, status) = (volume.id, &volume.status);
    let message = format!("Volume {id} status must be '{{'status': '{expected}'}}' to extend, currently {status}.");
    Err(invalid_volume(&message))
}

/// Returns the error for a volume whose earlier extension another request is settling.
pub(super) fn is_busy(volume: &Volume) -> Error {
    StoreError::Contended(volume.id.to_string()).into()
}

fn invalid_volume(reason: &str) -> Error {
    Error::BadRequest(format!("Invalid volume: {reason}"))
}

fn image_metadata_not_found(volume: &Volume) -> Error {
    Error::NotFound(format!("Glance metadata for volume/snapshot {} cannot be found.", volume.id))
}

impl Volume {
    /// Checks that the volume itself may be changed in its status.
    pub(super) fn may_be_updated(&self) -> Result<(), Error> {
        if self.status == VolumeStatus::MAINTENANCE {
            return Err(invalid_volume("The volume cannot be updated during maintenance."));
        }
        Ok(())
    }
}
