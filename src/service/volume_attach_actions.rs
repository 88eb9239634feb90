//! The actions that put a volume in use and end its use (`docs/spec/attachments.md` sections 1, 1.1, and 1.2).

use crate::domain::attachment::{self, ATTACHED, ATTACHED_MODE, DETACHED, READ_ONLY, READONLY};
use crate::domain::{AttachStatus, Attachment, AttachmentSlot, Volume, VolumeStatus};
use crate::store::StoreError;

use super::attachments::slot_of;
use super::policy::Rule;
use super::{Error, Service};

/// The parameters of `os-attach`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attach {
    pub instance_uuid: Option<String>,
    pub host_name: Option<String>,
    pub mountpoint: String,
    /// `rw` or `ro`.
    pub mode: String,
}

fn invalid(reason: &str) -> Error {
    Error::BadRequest(format!("Invalid volume: {reason}"))
}

impl Service<'_> {
    /// Returns a volume on which the caller may act.
    fn volume_to_act_on(&self, id: &str, rule: Rule) -> Result<Volume, Error> {
        let volume = self.readable_volume(id)?;
        self.caller.allow(rule, &volume.project_id)?;
        Ok(volume)
    }

    /// Reserves a volume for `os-attach`. The slot of its attachment is listed now, so that `os-attach` is one commit.
    ///
    /// # Errors
    ///
    /// Not found, not allowed, or in the wrong status.
    pub fn reserve_volume(&self, id: &str) -> Result<(), Error> {
        let volume = self.volume_to_act_on(id, Rule::ReserveVolume)?;
        self.change_attachments(&volume, false, &mut |row, slot| {
            let shares_use = row.multiattach && row.status == VolumeStatus::IN_USE;
            if row.status != VolumeStatus::AVAILABLE && !shares_use {
                let accepted = if row.multiattach { "available or in-use" } else { "available" };
                let status = &row.status;
                return Err(invalid(&format!(
                    "Volume status must be {accepted} to reserve, but the status is {status}."
                )));
            }
            row.next_attachment.get_or_insert(slot);
            row.enter(VolumeStatus::ATTACHING, row.pending, self.now);
            Ok(())
        })
    }

    /// Gives a reservation back. Without one, nothing changes.
    ///
    /// # Errors
    ///
    /// Not found, or not allowed.
    pub fn unreserve_volume(&self, id: &str) -> Result<(), Error> {
        let volume = self.volume_to_act_on(id, Rule::UnreserveVolume)?;
        self.give_reservation_back(&volume)
    }

    fn give_reservation_back(&self, volume: &Volume) -> Result<(), Error> {
        let slots: Vec<AttachmentSlot> = volume.next_attachment.into_iter().collect();
        if volume.status == VolumeStatus::ATTACHING {
            self.announce_slots(volume, &slots)?;
        }
        self.change_volume(volume, &mut |row| {
            let Some(status) = row.status_without_reservation() else { return Ok(()) };
            row.enter(status, row.pending, self.now);
            // Another reservation keeps its slot.
            row.next_attachment = row.next_attachment.filter(|slot| !slots.contains(slot));
            Ok(())
        })
    }

    /// Marks a volume in use as about to be detached. A migrating volume does not change.
    ///
    /// # Errors
    ///
    /// Not found, not allowed, or not in use.
    pub fn begin_detaching(&self, id: &str) -> Result<(), Error> {
        let volume = self.volume_to_act_on(id, Rule::BeginDetaching)?;
        self.change_volume(&volume, &mut |row| {
            if row.is_migrating() {
                return Ok(());
            }
            if row.status != VolumeStatus::IN_USE || row.attach_status != ATTACHED {
                return Err(invalid(
                    "Unable to detach volume. Volume status must be 'in-use' and attach_status must be 'attached' to detach.",
                ));
            }
            row.enter(VolumeStatus::DETACHING, row.pending, self.now);
            Ok(())
        })
    }

    /// Takes back [`Service::begin_detaching`]. In every other status nothing changes.
    ///
    /// # Errors
    ///
    /// Not found, or not allowed.
    pub fn roll_detaching(&self, id: &str) -> Result<(), Error> {
        let volume = self.volume_to_act_on(id, Rule::RollDetaching)?;
        self.change_volume(&volume, &mut |row| {
            if row.status != VolumeStatus::DETACHING {
                return Ok(());
            }
            row.enter(VolumeStatus::IN_USE, row.pending, self.now);
            Ok(())
        })
    }

    /// Attaches a volume to a server or a host. As in Cinder, most statuses are accepted, but not while a backend works on the
    /// volume. Some refusals come after the volume has got its hidden key `readonly`, and leave it there.
    ///
    /// # Errors
    ///
    /// Not found, not allowed, in use already, or in the wrong mode.
    pub fn attach_volume(&self, id: &str, attach: &Attach) -> Result<(), Error> {
        let volume = self.volume_to_act_on(id, Rule::AttachVolume)?;
        let host = attach.host_name.as_deref().filter(|name| !name.is_empty()).map(attachment::host_name);
        let mut result = Ok(());
        self.change_attachments(&volume, true, &mut |row, slot| {
            if row.status == VolumeStatus::MAINTENANCE {
                return Err(invalid("The volume cannot be attached in maintenance mode."));
            }
            row.admin_metadata.entry(READONLY.to_owned()).or_insert_with(|| "False".to_owned());
            result = self.attach_row(row, slot, attach, host.as_deref());
            Ok(())
        })?;
        result
    }

    fn attach_row(
        &self,
        row: &mut Volume,
        slot: AttachmentSlot,
        attach: &Attach,
        host: Option<&str>,
    ) -> Result<(), Error> {
        let Attach { instance_uuid, mode, mountpoint, .. } = attach;
        if row.is_readonly() && mode != READ_ONLY {
            return Err(Error::BadRequest(format!("Invalid attaching mode '{mode}' for volume {}.", row.id)));
        }
        let attached_mode = row.admin_metadata.get(ATTACHED_MODE).filter(|mode| !mode.is_empty());
        if row.status == VolumeStatus::ATTACHING && attached_mode.is_some_and(|own| own != mode) {
            return Err(invalid("being attached by different mode"));
        }
        let is_same = |own: &Attachment| match instance_uuid {
            Some(instance) => own.instance_uuid.as_ref() == Some(instance),
            None => own.attached_host.as_deref() == host,
        };
        if row.attachments.iter().any(is_same) {
            let attach_status = row.attach_status.clone();
            row.enter_use(&VolumeStatus::IN_USE, &attach_status, self.now);
            row.updated_at = Some(self.now);
            return Ok(());
        }
        let is_migrating = row.migration_status.as_deref().is_some_and(|status| !status.is_empty());
        if row.status == VolumeStatus::IN_USE && !row.multiattach && !is_migrating {
            return Err(invalid("volume is already attached and multiple attachments are not enabled"));
        }
        if row.is_worked_on() {
            return Err(invalid(&format!("Volume {} cannot be attached while it is {}.", row.id, row.status)));
        }
        row.attachments.push(Attachment {
            attached_host: host.map(str::to_owned),
            mountpoint: Some(mountpoint.clone()),
            attach_status: AttachStatus::Attached,
            attached_at: Some(self.now),
            ..Attachment::reserved(slot, instance_uuid.clone(), mode, self.now)
        });
        row.admin_metadata.insert(ATTACHED_MODE.to_owned(), mode.clone());
        row.enter_use(&VolumeStatus::IN_USE, ATTACHED, self.now);
        Ok(())
    }

    /// Ends a use of a volume, or the only one. A volume without attachments becomes `available`, whatever its status was.
    ///
    /// # Errors
    ///
    /// Not found, not allowed, in use by a server, or of another volume.
    pub fn detach_volume(&self, id: &str, attachment_id: Option<&str>) -> Result<(), Error> {
        let volume = self.volume_to_act_on(id, Rule::DetachVolume)?;
        self.detach(&volume, attachment_id, false)
    }

    /// Ends a use of a volume for an administrator, and gives its reservation back.
    ///
    /// # Errors
    ///
    /// As [`Service::detach_volume`].
    pub fn force_detach_volume(&self, id: &str, attachment_id: Option<&str>) -> Result<(), Error> {
        let volume = self.volume_to_act_on(id, Rule::ForceDetachVolume)?;
        self.caller.allow(Rule::TerminateConnection, &volume.project_id)?;
        self.may_delete_attachment(&volume, None)?;
        self.caller.allow(Rule::DetachVolume, &volume.project_id)?;
        self.detach(&volume, attachment_id, true)
    }

    fn detach(&self, volume: &Volume, attachment_id: Option<&str>, gives_back: bool) -> Result<(), Error> {
        let wanted = attachment_id.filter(|id| !id.is_empty());
        let chosen = self.chosen(volume, wanted)?;
        self.announce_slots(volume, &chosen.into_iter().collect::<Vec<_>>())?;
        self.change_volume(volume, &mut |row| {
            if self.chosen(row, wanted)? != chosen {
                // Other writers were faster, and the pointer of this attachment is not announced.
                return Err(StoreError::Contended(row.id.to_string()).into());
            }
            if let Some(status) = row.status_without_reservation().filter(|_| gives_back) {
                row.enter(status, row.pending, self.now);
            }
            if wanted.is_none() && chosen.is_none() {
                row.enter_use(&VolumeStatus::AVAILABLE, DETACHED, self.now);
                row.updated_at = Some(self.now);
            } else {
                row.detach(chosen.map(|slot| slot.id), self.now);
            }
            Ok(())
        })
    }

    /// Returns the attachment that a detach ends, if there is one.
    fn chosen(&self, volume: &Volume, wanted: Option<&str>) -> Result<Option<AttachmentSlot>, Error> {
        self.may_delete_attachment(volume, wanted)?;
        if volume.status == VolumeStatus::MAINTENANCE {
            return Err(invalid("The volume cannot be detached in maintenance mode."));
        }
        let chosen = match (wanted, volume.attachments.as_slice()) {
            (Some(id), _) => id.parse().ok().and_then(|id| volume.attachment(id)),
            (None, [_, _, ..]) => {
                return Err(invalid("Detach volume failed: More than one attachment, but no attachment_id provided."));
            }
            (None, attachments) => attachments.first(),
        };
        Ok(chosen.map(slot_of))
    }

    /// Returns the description of a connection, in JSON. Nothing is stored.
    ///
    /// # Errors
    ///
    /// Not found, not allowed, or in maintenance.
    pub fn initialize_connection(&self, id: &str, enforce_multipath: &str) -> Result<String, Error> {
        let volume = self.volume_to_act_on(id, Rule::InitializeConnection)?;
        if volume.status == VolumeStatus::MAINTENANCE {
            return Err(invalid("The volume connection cannot be initialized in maintenance mode."));
        }
        Ok(volume.connection(enforce_multipath))
    }

    /// Ends a connection, which gives a reservation back.
    ///
    /// # Errors
    ///
    /// Not found, not allowed, or in use by a server.
    pub fn terminate_connection(&self, id: &str) -> Result<(), Error> {
        let volume = self.volume_to_act_on(id, Rule::TerminateConnection)?;
        self.may_delete_attachment(&volume, None)?;
        self.give_reservation_back(&volume)
    }
}
