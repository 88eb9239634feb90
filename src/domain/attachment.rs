//! Attachments: the uses of a volume by servers and hosts (`docs/spec/attachments.md`). In Cinder each is a row of
//! `volume_attachment`. Here they are a part of the row of their volume, so that its status and its attachments change
//! together (`docs/adr/0023-attachments.md`).

use super::identifiers::uuid_identifier;
use super::strings::words;
use super::{ProjectId, Timestamp, Volume, VolumeId, VolumeStatus};

uuid_identifier!(
    /// The id of an attachment.
    AttachmentId
);

/// The hidden key of a volume that says whether it may only be read.
pub const READONLY: &str = "readonly";
/// The hidden key of a volume with the mode of the last `os-attach`.
pub const ATTACHED_MODE: &str = "attached_mode";

/// The attach mode of an attachment whose mode nobody has chosen. It is a string in Cinder too.
pub const NO_MODE: &str = "null";
/// The attach mode for reading and writing.
pub const READ_WRITE: &str = "rw";
/// The attach mode for reading.
pub const READ_ONLY: &str = "ro";

/// The attach status of a volume without attachments.
pub const DETACHED: &str = "detached";
/// The attach status of a volume in use.
pub const ATTACHED: &str = "attached";

/// The driver whose connections are described: Nova knows it as one that connects nothing.
const DRIVER: &str = "fake";

/// The bytes that an attachment takes besides its strings of any length.
const FIXED_BYTES: usize = 256;

/// The largest attachments of one volume, in bytes, of which a thousand rows are read at once.
pub const LARGE: usize = 4_096;

/// The status of an attachment (`VolumeAttachStatus` in `cinder/objects/fields.py`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AttachStatus {
    Attached,
    Attaching,
    Detached,
    Detaching,
    ErrorAttaching,
    ErrorDetaching,
    Reserved,
}

words!(AttachStatus, "an attach status", {
    Attached => "attached",
    Attaching => "attaching",
    Detached => "detached",
    Detaching => "detaching",
    ErrorAttaching => "error_attaching",
    ErrorDetaching => "error_detaching",
    Reserved => "reserved",
});

/// An attachment of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    pub id: AttachmentId,
    /// The server that uses the volume.
    pub instance_uuid: Option<String>,
    /// The host that uses the volume.
    pub attached_host: Option<String>,
    /// The name of the device there.
    pub mountpoint: Option<String>,
    pub attach_status: AttachStatus,
    /// `rw`, `ro`, or [`NO_MODE`].
    pub attach_mode: String,
    pub attached_at: Option<Timestamp>,
    pub detached_at: Option<Timestamp>,
    /// The description of the host, a JSON object as the client sent it.
    pub connector: Option<String>,
    /// The description of the connection for the host, a JSON object.
    pub connection_info: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Option<Timestamp>,
}

/// The id and the time of creation of an attachment that is about to be made. They are listed before the volume has the
/// attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttachmentSlot {
    pub id: AttachmentId,
    pub created_at: Timestamp,
}

/// The row that leads from the id of an attachment to the volume that has it. It never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachmentPointer {
    pub id: AttachmentId,
    pub project_id: ProjectId,
    pub volume_id: VolumeId,
    pub created_at: Timestamp,
    /// The attachment, once it has been read from the row of its volume.
    pub attachment: Option<Box<Attachment>>,
}

impl Attachment {
    /// Returns an attachment that has only been reserved.
    #[must_use]
    pub fn reserved(slot: AttachmentSlot, instance_uuid: Option<String>, mode: &str, now: Timestamp) -> Self {
        Self {
            id: slot.id,
            instance_uuid,
            attached_host: None,
            mountpoint: None,
            attach_status: AttachStatus::Reserved,
            attach_mode: mode.to_owned(),
            attached_at: None,
            detached_at: None,
            connector: None,
            connection_info: None,
            created_at: slot.created_at,
            updated_at: Some(now),
        }
    }

    /// Returns whether a host has been given a connection.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connection_info.as_deref().is_some_and(|info| info != "{}")
    }

    /// Returns the size in bytes, which counts towards the bound of a volume.
    fn size(&self) -> usize {
        let strings =
            [&self.instance_uuid, &self.attached_host, &self.mountpoint, &self.connector, &self.connection_info];
        FIXED_BYTES + strings.into_iter().flatten().map(String::len).sum::<usize>()
    }
}

impl AttachmentPointer {
    /// Returns the pointer to an attachment of a volume.
    #[must_use]
    pub fn new(volume: &Volume, slot: AttachmentSlot) -> Self {
        Self {
            id: slot.id,
            project_id: volume.project_id.clone(),
            volume_id: volume.id,
            created_at: slot.created_at,
            attachment: None,
        }
    }
}

/// Returns the size in bytes of the attachments of a volume.
#[must_use]
pub fn size(attachments: &[Attachment]) -> usize {
    attachments.iter().map(Attachment::size).sum()
}

/// Returns a host name as RFC 952 and RFC 1123 want it, as Cinder stores it.
#[must_use]
pub fn host_name(name: &str) -> String {
    let allowed = |letter: char| letter.is_alphanumeric() || "_.-".contains(letter);
    // Cinder drops the characters that Latin-1 lacks.
    let latin = name.chars().filter(|letter| u32::from(*letter) < 256);
    let dashed = latin.map(|letter| if [' ', '_'].contains(&letter) { '-' } else { letter });
    let name: String = dashed.filter(|letter| allowed(*letter)).collect();
    name.to_lowercase().trim_matches(['.', '-']).to_owned()
}

impl Volume {
    /// Returns the attachment with an id.
    #[must_use]
    pub fn attachment(&self, id: AttachmentId) -> Option<&Attachment> {
        self.attachments.iter().find(|own| own.id == id)
    }

    /// Returns the attachment with an id, to change it.
    pub fn attachment_mut(&mut self, id: AttachmentId) -> Option<&mut Attachment> {
        self.attachments.iter_mut().find(|own| own.id == id)
    }

    /// Returns the slots of its attachments, and the slot that a reservation holds.
    pub fn attachment_slots(&self) -> impl Iterator<Item = AttachmentSlot> {
        let slot = |own: &Attachment| AttachmentSlot { id: own.id, created_at: own.created_at };
        self.attachments.iter().map(slot).chain(self.next_attachment)
    }

    /// Returns whether the volume has an attachment with an id, or holds that id for its next one.
    #[must_use]
    pub fn names_attachment(&self, id: AttachmentId) -> bool {
        self.attachment_slots().any(|slot| slot.id == id)
    }

    /// Returns whether a backend works on the volume, or removes it. Attaching must not end such work.
    #[must_use]
    pub const fn is_worked_on(&self) -> bool {
        self.pending.is_some()
    }

    /// Sets the two statuses that depend on attachments. While work is under way, the status is the one to which that work
    /// returns the volume, if it returns it to any. As in Cinder's database, nothing is updated if nothing changes.
    pub fn enter_use(&mut self, status: &VolumeStatus, attach_status: &str, now: Timestamp) {
        let own = if self.is_worked_on() { self.previous_status.as_mut() } else { Some(&mut self.status) };
        let mut is_changed = self.attach_status != attach_status;
        if let Some(own) = own.filter(|own| *own != status) {
            own.clone_from(status);
            is_changed = true;
        }
        attach_status.clone_into(&mut self.attach_status);
        if is_changed {
            self.updated_at = Some(now);
        }
    }

    /// Returns the status and the attach status that follow from the attachments: those of the attachment whose status comes
    /// first in the alphabet, without failed ones (`_get_statuses_from_attachments` in `cinder/db/api.py`).
    #[must_use]
    pub fn statuses_by_attachments(&self) -> (VolumeStatus, &'static str) {
        let statuses = self.attachments.iter().map(|own| own.attach_status.as_str());
        match statuses.filter(|status| !status.starts_with("error_")).min() {
            None | Some(DETACHED) => (VolumeStatus::AVAILABLE, DETACHED),
            Some(ATTACHED) => (VolumeStatus::IN_USE, ATTACHED),
            Some(status) => (VolumeStatus::new(status.to_owned()), status),
        }
    }

    /// Removes an attachment, if the volume has it, and sets the statuses that follow from those that are left.
    pub fn detach(&mut self, id: Option<AttachmentId>, now: Timestamp) {
        self.attachments.retain(|own| Some(own.id) != id);
        self.admin_metadata.remove(ATTACHED_MODE);
        let (status, attach_status) = self.statuses_by_attachments();
        let is_ours = matches!(self.migration_status.as_deref(), None | Some("success" | "error"))
            && (self.migration_status.is_some() || self.status.as_str() != "uploading");
        // A migration or an upload sets the status when it ends.
        let status = if attach_status != DETACHED || is_ours { status } else { self.status.clone() };
        self.enter_use(&status, attach_status, now);
    }

    /// Returns the status after a reservation is given back, or `None` if there is none.
    #[must_use]
    pub fn status_without_reservation(&self) -> Option<VolumeStatus> {
        let is_used = self.attachments.iter().any(|own| own.attach_status != AttachStatus::Detached);
        let status = if is_used { VolumeStatus::IN_USE } else { VolumeStatus::AVAILABLE };
        (self.status == VolumeStatus::ATTACHING).then_some(status)
    }

    /// Returns whether a hidden key says that the volume may only be read.
    #[must_use]
    pub fn is_readonly(&self) -> bool {
        self.admin_metadata.get(READONLY).is_some_and(|value| value == "True")
    }

    /// Returns the description of a connection, as `os-initialize_connection` answers it. This service has no backend, so the
    /// driver is one that connects nothing. `enforce_multipath` is JSON.
    #[must_use]
    pub fn connection(&self, enforce_multipath: &str) -> String {
        format!(
            "{{\"driver_volume_type\":\"{DRIVER}\",\"data\":{{{},\"enforce_multipath\":{enforce_multipath}}},\
             \"enforce_multipath\":{enforce_multipath}}}",
            self.connection_data()
        )
    }

    /// Returns the description of the connection of an attachment, which is flat.
    #[must_use]
    pub fn connection_of(&self, id: AttachmentId, enforce_multipath: &str) -> String {
        format!(
            "{{{},\"driver_volume_type\":\"{DRIVER}\",\"attachment_id\":\"{id}\",\
             \"enforce_multipath\":{enforce_multipath}}}",
            self.connection_data()
        )
    }

    /// Returns the members that both descriptions have.
    fn connection_data(&self) -> String {
        let mode = match self.admin_metadata.get(ATTACHED_MODE).map(String::as_str) {
            Some(READ_ONLY) => READ_ONLY,
            None if self.is_readonly() => READ_ONLY,
            _ => READ_WRITE,
        };
        let data = "\"x\":\"y\",\"qos_specs\":null,\"encrypted\":false,\"cacheable\":false";
        format!("{data},\"access_mode\":\"{mode}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::volume::tests::volume;

    fn attachment(number: u128, status: AttachStatus) -> Attachment {
        let slot = AttachmentSlot {
            id: AttachmentId::new(uuid::Uuid::from_u128(number)),
            created_at: Timestamp::from_seconds(0),
        };
        let reserved = Attachment::reserved(slot, None, NO_MODE, Timestamp::from_seconds(0));
        Attachment { attach_status: status, ..reserved }
    }

    #[test]
    fn the_attachment_that_comes_first_in_the_alphabet_decides() {
        use AttachStatus::{Attached, Attaching, Detached, Detaching, ErrorAttaching, ErrorDetaching, Reserved};
        let cases: [(&[AttachStatus], &str, &str); 8] = [
            (&[], "available", "detached"),
            (&[Reserved], "reserved", "reserved"),
            (&[Reserved, Attached], "in-use", "attached"),
            (&[Reserved, Attaching], "attaching", "attaching"),
            (&[Reserved, Detaching], "detaching", "detaching"),
            (&[ErrorAttaching], "available", "detached"),
            (&[ErrorDetaching, Reserved], "reserved", "reserved"),
            (&[Detached], "available", "detached"),
        ];
        for (statuses, status, attach_status) in cases {
            let mut volume = volume("attaching", None);
            let own = statuses.iter().zip(1..).map(|(status, number)| attachment(number, *status));
            volume.attachments = own.collect();
            let (own_status, own_attach_status) = volume.statuses_by_attachments();
            assert_eq!((own_status.as_str(), own_attach_status), (status, attach_status), "{statuses:?}");
        }
    }

    #[test]
    fn the_last_detach_leaves_a_status_that_other_work_will_set() {
        let cases = [
            ("in-use", None, "available"),
            ("uploading", None, "uploading"),
            ("uploading", Some("success"), "available"),
            ("in-use", Some("migrating"), "in-use"),
            ("in-use", Some("error"), "available"),
        ];
        for (before, migration, after) in cases {
            let mut volume = volume(before, migration);
            volume.attachments = vec![attachment(1, AttachStatus::Attached)];
            volume.detach(Some(AttachmentId::new(uuid::Uuid::from_u128(1))), Timestamp::from_seconds(1));
            assert_eq!((volume.status.as_str(), volume.attach_status.as_str()), (after, "detached"), "{before}");
        }
    }

    #[test]
    fn a_detach_ends_no_work_of_a_backend() {
        let now = Timestamp::from_seconds(1);
        let mut volume = volume("deleting", None);
        volume.pending = Some(crate::domain::Pending {
            completion: crate::domain::Completion::Remove,
            schedule: crate::domain::Schedule::Clock,
            begun: now,
            due: now.plus_seconds(1.0),
            gives_up: now.plus_seconds(60.0),
            retries: 0,
            request_id: None,
        });
        volume.attachments = vec![attachment(1, AttachStatus::Attached)];
        volume.detach(Some(AttachmentId::new(uuid::Uuid::from_u128(1))), now);
        assert_eq!(volume.status, VolumeStatus::DELETING);
        assert!(volume.pending.is_some() && volume.attachments.is_empty());
        volume.status = VolumeStatus::new("extending".to_owned());
        volume.previous_status = Some(VolumeStatus::IN_USE);
        volume.attach_status = ATTACHED.to_owned();
        volume.detach(None, now);
        assert_eq!((volume.status.as_str(), &volume.previous_status), ("extending", &Some(VolumeStatus::AVAILABLE)));
    }

    #[test]
    fn a_host_name_is_stored_as_cinder_stores_it() {
        for (name, stored) in [("my_host.example!", "my-host.example"), ("-A b.", "a-b"), ("漢h", "h"), ("!", "")] {
            assert_eq!(host_name(name), stored);
        }
    }
}
