//! Attachments: list, create, show, update, complete, and delete (`docs/spec/attachments.md` sections 2 and 3).
//!
//! An attachment is a part of the row of its volume. A second row, the pointer, leads from its id to the volume. It is created
//! before the volume names the attachment, and removed by the scheduled step after the volume no longer does
//! (`docs/adr/0023-attachments.md`).

use uuid::Uuid;

use crate::domain::attachment::{self, AttachmentSlot, NO_MODE, READ_ONLY, READ_WRITE};
use crate::domain::quota::Amounts;
use crate::domain::{AttachStatus, Attachment, AttachmentId, AttachmentPointer, Volume, VolumeId, VolumeStatus};
use crate::store::StoreError;
use crate::store::agenda::AgendaItem;
use crate::store::creation::may_be_running;

use super::listing::{Column, Filter, ListRequest, Listed, columns};
use super::policy::Rule;
use super::{Error, Service};

/// The connector of a host, which says who connects.
pub struct Connector<'a> {
    pub host: Option<String>,
    pub mountpoint: Option<String>,
    pub mode: Option<String>,
    /// Whether the host wants several paths, in JSON.
    pub enforce_multipath: String,
    /// Returns the document in JSON, with another `mode` if one is given. The inner `None` is null.
    pub document: &'a dyn Fn(Option<Option<&str>>) -> String,
}

/// The parameters of a create.
pub struct NewAttachment<'a> {
    pub volume_id: String,
    pub instance_uuid: Option<String>,
    pub connector: Option<Connector<'a>>,
    pub mode: Option<String>,
}

/// The next step of a change of attachments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Done,
    /// A new attachment needs a slot first.
    ListsSlot,
    /// The row becomes large, so its project must be marked first.
    MarksProject,
}

fn not_found(id: &str) -> Error {
    Error::NotFound(format!("Volume attachment could not be found with filter: attachment_id = {id}."))
}

/// Returns the refusal of an operation that other writers have overtaken. The client may try again.
fn overtaken(volume: &Volume) -> Error {
    StoreError::Contended(volume.id.to_string()).into()
}

impl Service<'_> {
    /// Returns an attachment and its volume.
    ///
    /// # Errors
    ///
    /// Not found.
    pub fn show_attachment(&self, id: &str) -> Result<(VolumeId, Attachment), Error> {
        let (volume, attachment) = self.visible_attachment(id)?;
        Ok((volume.id, attachment))
    }

    /// Returns an attachment that is visible to the caller, and its volume as it is now.
    fn visible_attachment(&self, id: &str) -> Result<(Volume, Attachment), Error> {
        self.caller.is_scoped()?;
        let parsed: AttachmentId = id.parse().map_err(|_| not_found(id))?;
        let pointer = self.store.row::<AttachmentPointer>(parsed)?.ok_or_else(|| not_found(id))?;
        let volume = self.store.row::<Volume>(pointer.volume_id)?.and_then(|row| self.current(row));
        let volume = volume.filter(|volume| self.caller.sees(&volume.project_id)).ok_or_else(|| not_found(id))?;
        let attachment = volume.attachment(parsed).cloned().ok_or_else(|| not_found(id))?;
        Ok((volume, attachment))
    }

    /// Creates an attachment, which reserves the volume. With a connector the host is connected at once.
    ///
    /// # Errors
    ///
    /// The volume is not found, the caller is not allowed, or the status of the volume forbids it.
    pub fn create_attachment(&self, new: &NewAttachment<'_>) -> Result<(VolumeId, Attachment), Error> {
        let volume = self.visible_volume(&new.volume_id)?;
        self.caller.allow(Rule::CreateAttachment, &volume.project_id)?;
        let mut answer = None;
        self.change_attachments(&volume, false, &mut |row, slot| {
            self.reserve_for_attachment(row, new.instance_uuid.as_deref())?;
            let mut attachment = Attachment::reserved(slot, new.instance_uuid.clone(), NO_MODE, self.now);
            let info = match &new.connector {
                Some(connector) => {
                    let info = row.connection_of(slot.id, &connector.enforce_multipath);
                    // The connector loses its mode here, as in Cinder, since the row has none yet.
                    self.connect(&mut attachment, connector, (connector.document)(Some(None)));
                    row.enter_use(&VolumeStatus::ATTACHING, AttachStatus::Attaching.as_str(), self.now);
                    info
                }
                None => "{}".to_owned(),
            };
            attachment.connection_info = Some(info);
            let mode = if row.is_readonly() { READ_ONLY } else { new.mode.as_deref().unwrap_or(NO_MODE) };
            mode.clone_into(&mut attachment.attach_mode);
            row.attachments.push(attachment.clone());
            // The answer has the row as it was reserved.
            answer = Some(Attachment { attach_status: AttachStatus::Reserved, attached_at: None, ..attachment });
            Ok(())
        })?;
        Ok((volume.id, answer.ok_or_else(|| overtaken(&volume))?))
    }

    /// Moves a volume to `reserved` if its status allows a new attachment.
    fn reserve_for_attachment(&self, row: &mut Volume, instance: Option<&str>) -> Result<(), Error> {
        let (id, status) = (row.id, &row.status);
        if status.as_str().contains("error") {
            return Err(Error::BadRequest(format!(
                "Invalid volume: Volume attachments can not be created if the volume is in an error state. The Volume {id} \
                 currently has a status of: {status} "
            )));
        }
        let shares_use = row.multiattach && *status == VolumeStatus::IN_USE;
        if shares_use && row.bootable {
            self.caller.allow(Rule::MultiattachBootableVolume, &row.project_id)?;
        }
        if *status == VolumeStatus::AVAILABLE || status.as_str() == "downloading" || shares_use {
            row.enter(VolumeStatus::RESERVED, row.pending, self.now);
            return Ok(());
        }
        // An instance that moves to another host has two attachments for a while.
        let is_same = |own: &Attachment| instance.is_some() && own.instance_uuid.as_deref() == instance;
        let is_used = [VolumeStatus::IN_USE, VolumeStatus::RESERVED].contains(status);
        if is_used && row.attachments.iter().any(is_same) {
            return Ok(());
        }
        let accepted = if row.multiattach { "available or in-use or downloading" } else { "available or downloading" };
        Err(Error::BadRequest(format!(
            "Invalid volume: Volume {id} status must be {accepted} to reserve, but the current status is {status}."
        )))
    }

    /// Gives an attachment the host of a connector. The mode is set by the caller.
    fn connect(&self, attachment: &mut Attachment, connector: &Connector<'_>, document: String) {
        attachment.attach_status = AttachStatus::Attaching;
        attachment.attached_host = Some(connector.host.clone().unwrap_or_default());
        attachment.mountpoint = Some(connector.mountpoint.clone().unwrap_or_else(|| "na".to_owned()));
        attachment.attached_at = Some(self.now);
        attachment.updated_at = Some(self.now);
        attachment.connector = Some(document);
    }

    /// Connects a host to the volume of an attachment. The answer has the new connection, and all else as it was.
    ///
    /// # Errors
    ///
    /// Not found, not allowed, a connector without a host, a volume in an error status, or another connected host.
    pub fn update_attachment(&self, id: &str, connector: &Connector<'_>) -> Result<(VolumeId, Attachment), Error> {
        let (volume, attachment) = self.visible_attachment(id)?;
        self.caller.allow(Rule::UpdateAttachment, &volume.project_id)?;
        if connector.host.is_none() {
            return Err(Error::BadRequest("Invalid input received: The connector has no host.".to_owned()));
        }
        let mut answer = attachment.clone();
        self.change_attachments(&volume, false, &mut |row, _| {
            let (volume_id, status) = (row.id, &row.status);
            if status.as_str().contains("error") {
                return Err(Error::Conflict(format!(
                    "Resource conflict: Volume attachments can not be updated if the volume is in an error state. The \
                     Volume {volume_id} currently has a status of: {status} "
                )));
            }
            if row.attachments.len() > 1 && !row.multiattach && row.attachments.iter().any(Attachment::is_connected) {
                let message = format!("Resource conflict: duplicate connectors detected on volume {volume_id}");
                return Err(Error::Conflict(message));
            }
            let info = row.connection_of(attachment.id, &connector.enforce_multipath);
            let own = row.attachment_mut(attachment.id).ok_or_else(|| not_found(id))?;
            answer = Attachment { connection_info: Some(info.clone()), ..own.clone() };
            let is_chosen = own.attach_mode != NO_MODE;
            let document = (connector.document)(is_chosen.then_some(Some(own.attach_mode.as_str())));
            if !is_chosen {
                connector.mode.as_deref().unwrap_or(READ_WRITE).clone_into(&mut own.attach_mode);
            }
            self.connect(own, connector, document);
            own.connection_info = Some(info);
            row.enter_use(&VolumeStatus::ATTACHING, AttachStatus::Attaching.as_str(), self.now);
            Ok(())
        })?;
        Ok((volume.id, answer))
    }

    /// Marks an attachment as attached, whatever its status is.
    ///
    /// # Errors
    ///
    /// Not found, or not allowed.
    pub fn complete_attachment(&self, id: &str) -> Result<(), Error> {
        let (volume, attachment) = self.visible_attachment(id)?;
        self.caller.allow(Rule::CompleteAttachment, &volume.project_id)?;
        self.change_volume(&volume, &mut |row| {
            let own = row.attachment_mut(attachment.id).ok_or_else(|| not_found(id))?;
            own.attach_status = AttachStatus::Attached;
            own.updated_at = Some(self.now);
            row.enter_use(&VolumeStatus::IN_USE, attachment::ATTACHED, self.now);
            row.updated_at = Some(self.now);
            Ok(())
        })
    }

    /// Deletes an attachment, and returns those that are left on its volume. Two commits: the agenda, so that the scheduled
    /// step removes the pointer even if we stop here, and the volume.
    ///
    /// # Errors
    ///
    /// Not found, not allowed, or in use by a server.
    pub fn delete_attachment(&self, id: &str) -> Result<(VolumeId, Vec<Attachment>), Error> {
        let (volume, attachment) = self.visible_attachment(id)?;
        self.caller.allow(Rule::DeleteAttachment, &volume.project_id)?;
        self.may_delete_attachment(&volume, Some(id))?;
        self.announce_slots(&volume, &[slot_of(&attachment)])?;
        let mut left = Vec::new();
        self.change_volume(&volume, &mut |row| {
            if row.attachment(attachment.id).is_none() {
                return Err(not_found(id));
            }
            self.may_delete_attachment(row, Some(id))?;
            row.detach(Some(attachment.id), self.now);
            left.clone_from(&row.attachments);
            Ok(())
        })?;
        Ok((volume.id, left))
    }

    /// Checks that a user may end the use of a volume, or of one attachment. Cinder asks the Compute service about a connected
    /// attachment of a server. There is none to ask here, so only other services may end such a use.
    pub(super) fn may_delete_attachment(&self, volume: &Volume, id: Option<&str>) -> Result<(), Error> {
        if self.caller.is_for_service {
            return Ok(());
        }
        let attachment = match (id, volume.attachments.as_slice()) {
            (None, []) => return Ok(()),
            (None, [one]) => Some(one),
            (None, _) => None,
            (Some(id), _) => id.parse().ok().and_then(|id| volume.attachment(id)),
        };
        if attachment.is_none()
            && let Some(id) = id
        {
            match self.visible_attachment(id) {
                Ok((other, _)) if other.id != volume.id => {
                    let message = "Invalid input received: Mismatched volume and attachment";
                    return Err(Error::BadRequest(message.to_owned()));
                }
                Ok(_) | Err(Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let instance = match attachment {
            Some(Attachment { instance_uuid: Some(instance), .. }) => instance.as_str(),
            Some(_) => return Ok(()),
            None => "",
        };
        if attachment.is_some_and(|own| !own.is_connected() || instance.is_empty()) {
            return Ok(());
        }
        Err(Error::Conflict(format!(
            "ConflictNovaUsingAttachment: Detach volume from instance {instance} using the Compute API"
        )))
    }

    /// Puts the pointers of slots on the agenda before their volume stops naming them.
    pub(super) fn announce_slots(&self, volume: &Volume, slots: &[AttachmentSlot]) -> Result<(), Error> {
        let item = |slot: &AttachmentSlot| AgendaItem::now(&AttachmentPointer::new(volume, *slot), self.now);
        let items: Vec<AgendaItem> = slots.iter().map(item).collect();
        if !items.is_empty() && self.store.schedule(&items)? {
            self.relieve_full_agenda();
        }
        Ok(())
    }

    /// Refuses a change that drops slots that were not announced, because other writers were faster.
    pub(super) fn are_announced(row: &Volume, announced: &[AttachmentSlot]) -> Result<(), Error> {
        if row.attachment_slots().all(|slot| announced.contains(&slot)) { Ok(()) } else { Err(overtaken(row)) }
    }

    /// Changes the attachments of a volume. `change` is given a slot, for a new attachment. With `takes_reserved` it is the one
    /// that a reservation holds, if there is one. Otherwise a slot is listed, if the change uses it, and the change is made
    /// again: four commits instead of one.
    pub(super) fn change_attachments(
        &self,
        volume: &Volume,
        takes_reserved: bool,
        change: &mut dyn FnMut(&mut Volume, AttachmentSlot) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let unlisted = AttachmentSlot { id: AttachmentId::new(Uuid::nil()), created_at: self.now };
        let mut listed: Option<AttachmentSlot> = None;
        let mut is_marked = attachment::size(&volume.attachments) > attachment::LARGE;
        loop {
            let mut step = Step::Done;
            self.change_volume(volume, &mut |row| {
                let before = row.clone();
                let reserved = row.next_attachment.filter(|_| takes_reserved);
                let slot = reserved.or(listed).unwrap_or(unlisted);
                change(row, slot)?;
                if reserved.is_some() && row.attachment(slot.id).is_some() {
                    row.next_attachment = None;
                }
                step = self.step(row, &before, unlisted, listed, is_marked)?;
                if step != Step::Done {
                    *row = before;
                }
                Ok(())
            })?;
            match step {
                Step::Done => return Ok(()),
                Step::ListsSlot => {
                    let slot = AttachmentSlot { id: AttachmentId::new(self.identifiers.uuid()), created_at: self.now };
                    let pointer = AttachmentPointer::new(volume, slot);
                    self.store.create(&pointer, &Amounts::new(), false, None, |_| Ok::<(), Error>(()))?;
                    listed = Some(slot);
                }
                Step::MarksProject => {
                    self.store.mark_large_rows(&volume.project_id)?;
                    is_marked = true;
                }
            }
        }
    }

    /// Returns what a change of attachments needs before it may be written.
    fn step(
        &self,
        row: &Volume,
        before: &Volume,
        unlisted: AttachmentSlot,
        listed: Option<AttachmentSlot>,
        is_marked: bool,
    ) -> Result<Step, Error> {
        if row.names_attachment(unlisted.id) {
            return Ok(Step::ListsSlot);
        }
        let is_late = |slot: AttachmentSlot| !may_be_running(slot.created_at, (self.clock)());
        if listed.is_some_and(|slot| row.names_attachment(slot.id) && is_late(slot)) {
            // The scheduled step may be about to remove the pointer.
            return Err(overtaken(row));
        }
        let size = attachment::size(&row.attachments);
        if size > attachment::LARGE && size > attachment::size(&before.attachments) {
            let most = self.settings.get()?.max_metadata_bytes;
            if size > most {
                return Err(Error::TooMuch(format!(
                    "Attachments of {size} bytes are larger than the {most} bytes that those of one volume may have."
                )));
            }
            if !is_marked {
                return Ok(Step::MarksProject);
            }
        }
        Ok(Step::Done)
    }
}

/// Returns the slot of an attachment.
pub(super) const fn slot_of(attachment: &Attachment) -> AttachmentSlot {
    AttachmentSlot { id: attachment.id, created_at: attachment.created_at }
}

/// Returns the rows of the list for all attachments of a volume.
fn rows_of(volume: &Volume) -> Vec<AttachmentPointer> {
    let row = |own: &Attachment| AttachmentPointer {
        attachment: Some(Box::new(own.clone())),
        ..AttachmentPointer::new(volume, slot_of(own))
    };
    volume.attachments.iter().map(row).collect()
}

/// Returns a column that the attachment has.
fn own<T>(row: &AttachmentPointer, column: impl FnOnce(&Attachment) -> Option<T>) -> Option<T> {
    row.attachment.as_deref().and_then(column)
}

columns! { row: AttachmentPointer;
    "id" => Column::String(Some(row.id.to_string())),
    "volume_id" => Column::String(Some(row.volume_id.to_string())),
    "project_id" => Column::String(Some(row.project_id.to_string())),
    "created_at" => Column::Time(Some(row.created_at)),
    "updated_at" => Column::Time(own(row, |own| own.updated_at)),
    "instance_uuid" => Column::String(own(row, |own| own.instance_uuid.clone())),
    "attached_host" => Column::String(own(row, |own| own.attached_host.clone())),
    "mountpoint" => Column::String(own(row, |own| own.mountpoint.clone())),
    "attach_time" => Column::Time(own(row, |own| own.attached_at)),
    "detach_time" => Column::Time(own(row, |own| own.detached_at)),
    "attach_status" => Column::String(own(row, |own| Some(own.attach_status.to_string()))),
    "attach_mode" => Column::String(own(row, |own| Some(own.attach_mode.clone()))),
    "connector" => Column::String(own(row, |own| own.connector.clone())),
    "connection_info" => Column::String(own(row, |own| own.connection_info.clone())),
    "deleted" => Column::Boolean(false),
    "deleted_at" => Column::Time(None),
}

impl Listed for AttachmentPointer {
    const RULE: Option<Rule> = None;
    const UNSCOPED_LISTS_ARE_EMPTY: bool = false;
    const MARKER_MAY_BE_FOREIGN: bool = false;

    fn not_found(id: &str) -> Error {
        not_found(id)
    }

    /// Reads the volumes of the rows. A pointer whose volume does not have the attachment is no row.
    fn complete(service: &Service<'_>, rows: Vec<Option<Self>>) -> Result<Vec<Option<Self>>, Error> {
        let mut ids: Vec<Uuid> = rows.iter().flatten().map(|row| row.volume_id.as_uuid()).collect();
        ids.sort_unstable();
        ids.dedup();
        let volumes = service.store.rows::<Volume>(&ids)?.into_iter();
        let volumes: Vec<Option<Volume>> =
            volumes.map(|row| row.readable().and_then(|row| service.current(row))).collect();
        let complete = |row: Self| {
            let at = ids.binary_search(&row.volume_id.as_uuid()).ok()?;
            let volume = volumes[at].as_ref()?;
            let attachment = volume.attachment(row.id).cloned()?;
            Some(Self { attachment: Some(Box::new(attachment)), ..row })
        };
        Ok(rows.into_iter().map(|row| row.and_then(complete)).collect())
    }

    /// The attachments of one volume are in its row.
    fn named_by(service: &Service<'_>, query: &ListRequest) -> Result<Option<Vec<Self>>, Error> {
        let named = query.filters.iter().find_map(|filter| match filter {
            Filter::Exact { column, string } if column == "volume_id" => Some(string),
            _ => None,
        });
        let Some(named) = named else { return Ok(None) };
        let Ok(id) = named.parse::<VolumeId>() else { return Ok(Some(Vec::new())) };
        let volume = service.store.row::<Volume>(id)?.and_then(|row| service.current(row));
        let is_listed =
            |volume: &Volume| query.all_tenants || service.caller.project_id.as_ref() == Some(&volume.project_id);
        Ok(Some(volume.filter(is_listed).map(|volume| rows_of(&volume)).unwrap_or_default()))
    }
}
