//! User messages: list, show, and delete (`cinder/api/v3/messages.py`). The scheduled step writes them, except
//! for the refusals of the scheduler.

use crate::domain::message::{Message, MessageId};
use crate::domain::quota::Amounts;
use crate::domain::{Metadata, Volume};
use crate::store::agenda::AgendaItem;
use crate::store::{Change, StoreError};

use super::listing::{Column, Listed, columns};
use super::policy::Rule;
use super::{Error, Service};

impl Service<'_> {
    /// Returns a message of the caller's project.
    fn visible_message(&self, id: &str) -> Result<Message, Error> {
        self.caller.is_scoped()?;
        let not_found = || Message::not_found(id);
        let parsed: MessageId = id.parse().map_err(|_| not_found())?;
        let message = self.store.row::<Message>(parsed)?.filter(|message| self.caller.sees(&message.project_id));
        message.and_then(|message| message.effective(self.now)).ok_or_else(not_found)
    }

    /// Leaves the message about a new volume that the scheduler refuses. As in Cinder, it is there before the volume is in
    /// `error`. What stops halfway is left to the scheduled step, which leaves a message for a row that names its request.
    pub(super) fn leave_message_of_scheduler(&self, volume: &Volume) -> Result<(), Error> {
        let Some((event, pending)) = volume.failure().zip(volume.pending) else { return Ok(()) };
        let Some(request) = pending.request_id else { return Ok(()) };
        let ttl = self.settings.get()?.message_ttl_seconds;
        let times = [pending.begun; 2];
        let message = Message::of(event, &volume.project_id, volume.id.as_uuid(), request, times, ttl);
        self.store.create(&message, &Amounts::new(), false, None, |_| Ok::<_, StoreError>(()))?;
        self.change_row(volume, |mut row| {
            if let Some(pending) = &mut row.pending {
                pending.request_id = None;
            }
            Ok(Change::Write(row, ()))
        })
    }

    /// Returns a message.
    ///
    /// # Errors
    ///
    /// Not found, or not allowed.
    pub fn show_message(&self, id: &str) -> Result<Message, Error> {
        let message = self.visible_message(id)?;
        self.caller.allow(Rule::GetMessage, &message.project_id)?;
        Ok(message)
    }

    /// Deletes a message at once. The agenda knows of it first, so that the scheduled step finishes what stops halfway.
    ///
    /// # Errors
    ///
    /// Not found, or not allowed.
    pub fn delete_message(&self, id: &str) -> Result<(), Error> {
        let message = self.visible_message(id)?;
        self.caller.allow(Rule::DeleteMessage, &message.project_id)?;
        let item = AgendaItem::now(&message, self.now);
        self.store.schedule(std::slice::from_ref(&item))?;
        self.store.remove(&message.project_id, &[item], true)?;
        Ok(())
    }
}

columns! { row: Message;
    "id" => Column::String(Some(row.id.to_string())),
    "created_at" => Column::Time(Some(row.created_at)),
    "updated_at" => Column::Time(row.updated_at),
    "project_id" => Column::String(Some(row.project_id.to_string())),
    "request_id" => Column::String(row.request_id.clone()),
    "resource_type" => Column::String(row.resource_type.clone()),
    "resource_uuid" => Column::String(row.resource_uuid.clone()),
    "event_id" => Column::String(Some(row.event_id.clone())),
    "action_id" => Column::String(row.action_id.clone()),
    "detail_id" => Column::String(row.detail_id.clone()),
    "message_level" => Column::String(Some(row.level.clone())),
    "expires_at" => Column::Time(Some(row.expires_at)),
    "deleted" => Column::Boolean(false),
    "deleted_at" => Column::Time(None),
}

/// A message has no metadata.
static NONE: Metadata = Metadata::new();

impl Listed for Message {
    const RULE: Option<Rule> = Some(Rule::GetAllMessages);
    const UNSCOPED_LISTS_ARE_EMPTY: bool = false;
    const MARKER_MAY_BE_FOREIGN: bool = false;

    fn metadata(&self) -> &Metadata {
        &NONE
    }

    fn not_found(id: &str) -> Error {
        Error::NotFound(format!("Message {id} could not be found."))
    }
}
