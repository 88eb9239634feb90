//! User messages: why asynchronous work failed (`cinder/message/message_field.py`, `cinder/message/defined_messages.py`).
//!
//! This is the one place that knows the texts of actions and details. A failure of work under way is an [`Event`], and the
//! scheduled step leaves the message when the row says that the work has failed.

use uuid::Uuid;

use super::identifiers::{prefixed, uuid_identifier};
use super::{ProjectId, Timestamp};

uuid_identifier!(
    /// The id of a message.
    MessageId
);

/// A message to a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub id: MessageId,
    pub project_id: ProjectId,
    /// The id of the request that began the work, with `req-` in front.
    pub request_id: Option<String>,
    /// A word such as `VOLUME_SNAPSHOT`.
    pub resource_type: Option<String>,
    pub resource_uuid: Option<String>,
    pub event_id: String,
    pub action_id: Option<String>,
    pub detail_id: Option<String>,
    /// A word such as `ERROR`.
    pub level: String,
    pub created_at: Timestamp,
    pub updated_at: Option<Timestamp>,
    /// The time from which the message is gone.
    pub expires_at: Timestamp,
}

/// The texts of actions. The id of an action is its number, counted from 1, in three digits.
const ACTIONS: [&str; 16] = [
    "schedule allocate volume",
    "attach volume",
    "copy volume to image",
    "update attachment",
    "copy image to volume",
    "unmanage volume",
    "extend volume",
    "create volume from backend storage",
    "create snapshot",
    "delete snapshot",
    "update snapshot",
    "update snapshot metadata",
    "create backup",
    "delete backup",
    "restore backup",
    "reimage volume",
];

/// The texts of details, numbered like those of actions.
const DETAILS: [&str; 30] = [
    UNKNOWN_ERROR,
    "Driver is not initialized at present.",
    "Could not find any available weighted backend.",
    "Failed to upload volume to image at backend.",
    "Volume's attach mode is invalid.",
    "Not enough quota resource for operation.",
    "Image used for creating volume exceeds available space.",
    "Unmanaging encrypted volumes is not supported.",
    "Compute service failed to extend volume.",
    "Volume Driver failed to extend volume.",
    "Image signature verification failed.",
    "Driver failed to create the volume.",
    "Snapshot failed to create.",
    "Volume snapshot update metadata failed.",
    "Snapshot is busy.",
    "Snapshot failed to delete.",
    "Backup status is invalid.",
    "Backup service is down.",
    "Failed to get backup device from the volume service.",
    "Backup driver failed to create backup.",
    "Failed to attach volume.",
    "Failed to detach volume.",
    "Cleanup of temporary volume/snapshot failed.",
    "Backup failed to schedule. Service not found for creating backup.",
    "Backup driver failed to delete backup.",
    "Backup driver failed to restore backup.",
    "Volume status is invalid.",
    "Compute service failed to reimage volume.",
    "The image disk format must be the same as the volume format for the volume type you are requesting.",
    "Incremental backup not possible, forcing full backup.",
];

/// The texts of the events from before there were actions.
const OLD_EVENTS: [(&str, &str); 3] = [
    ("VOLUME_000001", UNKNOWN_ERROR),
    (
        "VOLUME_000002",
        "No storage could be allocated for this volume request. You may be able to try another size or volume type.",
    ),
    ("VOLUME_000003", "A readonly volume must be attached as readonly."),
];

const UNKNOWN_ERROR: &str = "An unknown error occurred.";

/// Returns the text with a number, such as `009`.
fn numbered(texts: &[&'static str], id: Option<&str>) -> Option<&'static str> {
    let number: usize = id.filter(|id| id.len() == 3)?.parse().ok()?;
    texts.get(number.checked_sub(1)?).copied()
}

/// A failure of work: the resource, the action, and the detail, each as its messages name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    resource: &'static str,
    action: &'static str,
    detail: &'static str,
}

impl Event {
    /// A backend could not create a snapshot.
    pub const SNAPSHOT_CREATE: Self = Self { resource: "VOLUME_SNAPSHOT", action: "009", detail: "013" };
    /// A backend could not delete a snapshot.
    pub const SNAPSHOT_DELETE: Self = Self { resource: "VOLUME_SNAPSHOT", action: "010", detail: "016" };
    /// No backend is there for a new volume.
    pub const VOLUME_SCHEDULE: Self = Self { resource: "VOLUME", action: "001", detail: "003" };
    /// A backend could not create a volume.
    pub const VOLUME_CREATE: Self = Self { resource: "VOLUME", action: "008", detail: "012" };
    /// No backend is there for the extension of a volume.
    pub const EXTEND_SCHEDULE: Self = Self { resource: "VOLUME", action: "007", detail: "003" };
    /// A backend could not extend a volume.
    pub const EXTEND: Self = Self { resource: "VOLUME", action: "007", detail: "010" };
    /// No service is there for a new backup.
    pub const BACKUP_SCHEDULE: Self = Self { resource: "VOLUME_BACKUP", action: "013", detail: "024" };
    /// A service could not make a backup.
    pub const BACKUP_CREATE: Self = Self { resource: "VOLUME_BACKUP", action: "013", detail: "020" };
    /// A service could not delete a backup.
    pub const BACKUP_DELETE: Self = Self { resource: "VOLUME_BACKUP", action: "014", detail: "025" };
    /// A service could not restore a backup.
    pub const BACKUP_RESTORE: Self = Self { resource: "VOLUME_BACKUP", action: "015", detail: "026" };
}

impl Message {
    /// Returns the message about work on a resource that began and failed at these times. The same failure always gives the
    /// same message, so that writing it twice leaves one.
    #[must_use]
    pub fn of(
        event: Event,
        project_id: &ProjectId,
        resource: Uuid,
        request: Uuid,
        [begun, failed]: [Timestamp; 2],
        ttl_seconds: f64,
    ) -> Self {
        // The multiplication by an odd number keeps different times apart.
        let time =
            u128::from(begun.microseconds().cast_unsigned()).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let id = uuid::Builder::from_random_bytes((resource.as_u128() ^ time).to_be_bytes()).into_uuid();
        let Event { resource: resource_type, action, detail } = event;
        Self {
            id: MessageId::new(id),
            project_id: project_id.clone(),
            request_id: Some(prefixed("req-", request)),
            resource_type: Some(resource_type.to_owned()),
            resource_uuid: Some(resource.to_string()),
            event_id: ["VOLUME", resource_type, action, detail].join("_"),
            action_id: Some(action.to_owned()),
            detail_id: Some(detail.to_owned()),
            level: "ERROR".to_owned(),
            created_at: failed,
            updated_at: None,
            expires_at: failed.plus_seconds(ttl_seconds),
        }
    }

    /// Returns the text for the user. There is no space behind the colon, as in Cinder.
    #[must_use]
    pub fn user_message(&self) -> String {
        if self.action_id.is_none()
            && let Some((_, text)) = OLD_EVENTS.iter().find(|(event, _)| *event == self.event_id)
        {
            return (*text).to_owned();
        }
        let action = numbered(&ACTIONS, self.action_id.as_deref()).unwrap_or("unknown action");
        let detail = numbered(&DETAILS, self.detail_id.as_deref()).unwrap_or(UNKNOWN_ERROR);
        format!("{action}:{detail}")
    }

    /// Returns the message, or `None` if its time is over.
    #[must_use]
    pub fn effective(self, now: Timestamp) -> Option<Self> {
        (now < self.expires_at).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(event_id: &str, action: Option<&str>, detail: Option<&str>) -> Message {
        let project = "a1".parse().expect("a project id");
        let at = Timestamp::from_seconds(5);
        Message {
            event_id: event_id.to_owned(),
            action_id: action.map(str::to_owned),
            detail_id: detail.map(str::to_owned),
            ..Message::of(Event::SNAPSHOT_CREATE, &project, Uuid::from_u128(1), Uuid::from_u128(2), [at, at], 10.0)
        }
    }

    #[test]
    fn the_texts_are_those_of_cinder() {
        for (event, action, detail, text) in [
            ("", Some("001"), Some("003"), "schedule allocate volume:Could not find any available weighted backend."),
            ("", Some("010"), Some("016"), "delete snapshot:Snapshot failed to delete."),
            ("", Some("016"), Some("030"), "reimage volume:Incremental backup not possible, forcing full backup."),
            ("", Some("017"), Some("031"), "unknown action:An unknown error occurred."),
            ("", Some("9"), Some(""), "unknown action:An unknown error occurred."),
            ("VOLUME_000001", None, None, "An unknown error occurred."),
            ("VOLUME_000003", None, None, "A readonly volume must be attached as readonly."),
            ("VOLUME_000004", None, None, "unknown action:An unknown error occurred."),
        ] {
            assert_eq!(message(event, action, detail).user_message(), text, "{event} {action:?} {detail:?}");
        }
    }

    #[test]
    fn one_failure_has_one_message_and_another_has_another() {
        let project: ProjectId = "a1".parse().expect("a project id");
        let of = |resource, begun, failed| {
            let times = [begun, failed].map(Timestamp::from_seconds);
            Message::of(Event::SNAPSHOT_DELETE, &project, Uuid::from_u128(resource), Uuid::nil(), times, 60.0)
        };
        let one = of(1, 5, 9);
        assert_eq!(one, of(1, 5, 9));
        assert_eq!(one.event_id, "VOLUME_VOLUME_SNAPSHOT_010_016");
        assert_eq!((one.id.as_uuid().get_version_num(), one.created_at), (4, Timestamp::from_seconds(9)));
        assert_ne!(one.id, of(1, 6, 9).id);
        assert_ne!(one.id, of(2, 5, 9).id);
        assert!(one.clone().effective(Timestamp::from_seconds(68)).is_some());
        assert_eq!(one.effective(Timestamp::from_seconds(69)), None);
    }
}
