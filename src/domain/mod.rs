//! The types of this service, and the rules that need only the values of these types and the time.
//!
//! This layer must not know HTTP, JSON on the wire, microversions, or keys of the store. It is not concerned with
//! callers or storage.

pub mod attachment;
pub mod backup;
pub mod caller;
pub mod capabilities;
pub mod group;
pub mod group_snapshot;
pub mod group_type;
pub mod identifiers;
pub mod lifecycle;
pub mod message;
pub mod metadata;
pub mod quota;
pub mod service_uuid;
pub mod snapshot;
mod strings;
pub mod timestamp;
pub mod trees;
pub mod volume;
pub mod volume_type;

pub use attachment::{AttachStatus, Attachment, AttachmentId, AttachmentPointer, AttachmentSlot};
pub use backup::{Backup, BackupId, BackupStatus};
pub use caller::{Caller, Roles};
pub use group::{Group, GroupId, GroupStatus};
pub use group_snapshot::{GroupSnapshot, GroupSnapshotId, GroupSnapshotStatus};
pub use group_type::{GroupType, GroupTypeId, GroupTypes};
pub use identifiers::{ProjectId, UserId};
pub use lifecycle::{Completion, Pending, Progression, Schedule};
pub use message::{Message, MessageId};
pub use snapshot::{Metadata, Snapshot, SnapshotId, SnapshotStatus};
pub use strings::UnknownWord;
pub use timestamp::Timestamp;
pub use volume::{Extension, Provisioning, Volume, VolumeId, VolumeStatus};
pub use volume_type::{VolumeType, VolumeTypeId, VolumeTypes};
