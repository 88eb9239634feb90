//! What a volume snapshot is, whoever asks and wherever it is kept: the types of this service and the rules that
//! need nothing but their own values and the time.
//!
//! This layer must not know HTTP, JSON on the wire, microversions or keys of the store.

mod by_name;
pub mod caller;
pub mod identifiers;
pub mod lifecycle;
pub mod order;
pub mod quota;
pub mod snapshot;
mod text;
pub mod timestamp;
pub mod volume;

pub use by_name::ByName;
pub use caller::{Caller, Roles};
pub use identifiers::{GroupSnapshotId, ProjectId, SnapshotId, UserId, VolumeId};
pub use lifecycle::{Completion, Pending, Progression, Schedule};
pub use snapshot::{Metadata, Snapshot, SnapshotStatus};
pub use text::UnknownWord;
pub use timestamp::Timestamp;
pub use volume::{Volume, VolumeStatus};
