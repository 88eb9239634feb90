//! What each operation does: look up, allow, decide, save. One file per resource, named as in `api`.
//!
//! This layer must not know HTTP, JSON or the spelling of keys. It is given the caller, the time and the store.

pub mod listing;
pub mod manageable_snapshots;
pub mod metadata;
pub mod ops;
pub mod policy;
pub mod quota_sets;
pub mod snapshot_actions;
pub mod snapshots;
pub mod volume_actions;
pub mod volumes;

use crate::domain::Timestamp;
use crate::domain::lifecycle::{Completion, Occasion, Pending};
use crate::domain::quota::QuotaRefusal;
use crate::domain::snapshot::Refusal;
use crate::domain::volume::NotSnapshottable;
use crate::domain::{Snapshot, SnapshotId, Volume, VolumeId};
use crate::settings::{LazySettings, SettingsError};
use crate::store::{Identifiers, Store, StoreError};

use policy::{Caller, Rule};

/// Why an operation was not done; `api::wire::faults` says how a client is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("Snapshot {0} could not be found.")]
    SnapshotNotFound(String),
    #[error("Volume {0} could not be found.")]
    VolumeNotFound(String),
    #[error("{owner} {id} has no metadata with key {key}.")]
    MetadataNotFound { owner: &'static str, id: String, key: String },
    #[error("Policy doesn't allow {} to be performed.", .0.name())]
    Forbidden(Rule),
    /// Something else is not found; the text is complete.
    #[error("{0}")]
    NotFound(String),
    /// The caller has no project, and the operation needs one.
    #[error("Not authorized.")]
    Unscoped,
    #[error("Invalid snapshot: {0}")]
    InvalidSnapshot(#[from] Refusal),
    #[error("Invalid volume: {0}")]
    InvalidVolume(#[from] NotSnapshottable),
    /// Any other request that the state of things does not allow; the text is complete.
    #[error("{0}")]
    BadRequest(String),
    /// The state of things conflicts with the request; the text is complete.
    #[error("{0}")]
    Conflict(String),
    #[error(transparent)]
    OverQuota(#[from] QuotaRefusal),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A variable that the operation needs cannot be used.
    #[error(transparent)]
    Misconfigured(#[from] SettingsError),
}

/// The text of a request on a frozen backend.
const FROZEN: &str = "Invalid input received: Modification operations are not allowed on frozen storage backends.";

/// Everything that an operation works with.
pub struct Service<'a> {
    pub store: Store<'a>,
    pub identifiers: &'a dyn Identifiers,
    pub caller: &'a Caller,
    pub now: Timestamp,
    pub settings: &'a LazySettings<'a>,
}

impl Service<'_> {
    /// Work that begins now.
    fn begin(&self, completion: Completion) -> Result<Pending, Error> {
        Ok(self.settings.get()?.delays.begin(completion, self.now))
    }

    /// A snapshot that the caller may know of, as it is now. Whoever may not gets the answer for one that is not
    /// there (`spec/snapshots-api.md` section 8).
    fn visible_snapshot(&self, id: &str) -> Result<Snapshot, Error> {
        self.caller.is_scoped()?;
        let not_found = || Error::SnapshotNotFound(id.to_owned());
        let parsed: SnapshotId = id.parse().map_err(|_| not_found())?;
        let snapshot = self.store.snapshot(parsed)?;
        self.seen_snapshot(snapshot).ok_or_else(not_found)
    }

    /// What of a row the caller sees now.
    fn seen_snapshot(&self, row: Option<Snapshot>) -> Option<Snapshot> {
        row.filter(|row| self.caller.sees(&row.project_id)).and_then(|row| row.effective(self.now, Occasion::Reading))
    }

    /// A snapshot that the caller may read.
    fn readable_snapshot(&self, id: &str) -> Result<Snapshot, Error> {
        let snapshot = self.visible_snapshot(id)?;
        self.caller.allow(Rule::GetSnapshot, &snapshot.project_id)?;
        Ok(snapshot)
    }

    /// A volume that the caller may know of, as it is now.
    fn visible_volume(&self, id: &str) -> Result<Volume, Error> {
        self.caller.is_scoped()?;
        let not_found = || Error::VolumeNotFound(id.to_owned());
        let parsed: VolumeId = id.parse().map_err(|_| not_found())?;
        let volume = self.store.volume(parsed)?.and_then(|row| row.effective(self.now, Occasion::Reading));
        volume.filter(|volume| self.caller.sees(&volume.project_id)).ok_or_else(not_found)
    }

    /// A volume that the caller may read; to all others it is not there.
    fn readable_volume(&self, id: &str) -> Result<Volume, Error> {
        self.caller.is_scoped()?;
        let not_found = || Error::VolumeNotFound(id.to_owned());
        let parsed: VolumeId = id.parse().map_err(|_| not_found())?;
        let volume = self.store.volume(parsed)?;
        self.seen_volume(volume).ok_or_else(not_found)
    }

    /// What of a volume's row the caller sees now.
    fn seen_volume(&self, row: Option<Volume>) -> Option<Volume> {
        row.and_then(|row| row.effective(self.now, Occasion::Reading))
            .filter(|volume| self.caller.allow(Rule::GetVolume, &volume.project_id).is_ok())
    }
}
