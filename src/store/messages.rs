//! The row of a user message: its layout in bytes, and the facts that the store needs.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::lifecycle::Occasion;
use crate::domain::message::{Message, MessageId};
use crate::domain::{ProjectId, Timestamp};

use super::codec::envelope::Stored;
use super::codec::metadata::{owned, parse};
use super::codec::rows;
use super::row::{Kind, Row, Rows};

impl Row for Message {
    type Id = MessageId;
    const KIND: Kind = Kind::Message;
    const KEY_PREFIX: &'static str = "vs1:message:";

    fn list(rows: &Rows) -> &Vec<Self> {
        &rows.messages
    }

    fn list_mut(rows: &mut Rows) -> &mut Vec<Self> {
        &mut rows.messages
    }

    fn id(&self) -> Uuid {
        self.id.as_uuid()
    }

    fn project_id(&self) -> &ProjectId {
        &self.project_id
    }

    fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// Messages expire by the clock alone. The scheduled step removes them when it looks after their project, so that they
    /// need no items on the agenda in the meantime.
    fn effective(self, now: Timestamp, _occasion: Occasion) -> Option<Self> {
        self.effective(now)
    }
}

/// The stored form of a [`Message`]. The order of the fields is the format.
#[derive(Debug, Serialize, Deserialize)]
struct StoredMessage<'a> {
    id: Uuid,
    project: &'a str,
    request: Option<&'a str>,
    resource_type: Option<&'a str>,
    resource: Option<&'a str>,
    event: &'a str,
    action: Option<&'a str>,
    detail: Option<&'a str>,
    level: &'a str,
    created: i64,
    updated: Option<i64>,
    expires: i64,
}

impl Stored for Message {
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        let stored = StoredMessage {
            id: self.id.as_uuid(),
            project: self.project_id.as_str(),
            request: self.request_id.as_deref(),
            resource_type: self.resource_type.as_deref(),
            resource: self.resource_uuid.as_deref(),
            event: &self.event_id,
            action: self.action_id.as_deref(),
            detail: self.detail_id.as_deref(),
            level: &self.level,
            created: self.created_at.microseconds(),
            updated: self.updated_at.map(Timestamp::microseconds),
            expires: self.expires_at.microseconds(),
        };
        rows::write(&stored, bytes)
    }

    fn read(_version: u32, bytes: &[u8]) -> Result<Self, String> {
        let stored = rows::read::<StoredMessage<'_>>(bytes)?;
        Ok(Self {
            id: stored.id.into(),
            project_id: parse(stored.project)?,
            request_id: owned(stored.request),
            resource_type: owned(stored.resource_type),
            resource_uuid: owned(stored.resource),
            event_id: stored.event.to_owned(),
            action_id: owned(stored.action),
            detail_id: owned(stored.detail),
            level: stored.level.to_owned(),
            created_at: Timestamp::from_microseconds(stored.created),
            updated_at: stored.updated.map(Timestamp::from_microseconds),
            expires_at: Timestamp::from_microseconds(stored.expires),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::message::Event;

    /// These are the bytes of format version 1. Other bytes would need another version.
    #[test]
    fn a_row_has_the_bytes_that_it_always_had() {
        let project = "a1".parse().expect("a project id");
        let times = [1, 2].map(Timestamp::from_microseconds);
        let full = Message {
            id: MessageId::new(Uuid::from_u128(1)),
            request_id: Some("r".to_owned()),
            resource_uuid: None,
            updated_at: Some(Timestamp::from_microseconds(3)),
            ..Message::of(Event::VOLUME_CREATE, &project, Uuid::nil(), Uuid::nil(), times, 0.0)
        };
        let mut bytes = Vec::new();
        full.write(&mut bytes).expect("writes");
        let expected = [
            b"\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x02a1\x01\x01r\x01\x06VOLUME\0".as_slice(),
            b"\x15VOLUME_VOLUME_008_012\x01\x03008\x01\x03012\x05ERROR\x04\x01\x06\x04",
        ];
        assert_eq!(bytes, expected.concat(), "{}", bytes.escape_ascii());
        assert_eq!(Message::read(1, &bytes), Ok(full));
    }
}
