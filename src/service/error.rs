//! The errors of all operations, with Cinder's messages.

use crate::domain::quota::QuotaRefusal;
use crate::domain::snapshot::Refusal;
use crate::domain::volume::NotSnapshottable;
use crate::settings::SettingsError;
use crate::store::StoreError;

use super::policy::Rule;

/// The reason why an operation was refused or failed. `api::wire::faults` turns it into a response.
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
    /// Any other resource that was not found. The message is complete.
    #[error("{0}")]
    NotFound(String),
    /// The operation needs a project, but the caller's token has none.
    #[error("Not authorized.")]
    Unscoped,
    #[error("Invalid snapshot: {0}")]
    InvalidSnapshot(#[from] Refusal),
    #[error("Invalid volume: {0}")]
    InvalidVolume(#[from] NotSnapshottable),
    /// Any other invalid request, or one that the current state does not allow. The message is complete.
    #[error("{0}")]
    BadRequest(String),
    /// A conflict between the request and the current state. The message is complete.
    #[error("{0}")]
    Conflict(String),
    #[error(transparent)]
    OverQuota(#[from] QuotaRefusal),
    /// A quota that refuses, where Cinder does not name the class of its error. The message is complete.
    #[error("{0}")]
    OverLimit(String),
    /// An operation that nothing here supports. The message is complete.
    #[error("{0}")]
    NotSupported(String),
    /// No service does the work. The message is complete.
    #[error("{0}")]
    NoService(String),
    /// The metadata of a row would be larger than allowed.
    #[error("Metadata of {size} bytes is larger than the {most} bytes that one resource may have.")]
    TooMuchMetadata { size: usize, most: usize },
    /// A shared value would be larger than allowed. The message is complete.
    #[error("{0}")]
    TooMuch(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operation needs a variable whose value is invalid.
    #[error(transparent)]
    Misconfigured(#[from] SettingsError),
}

/// The message for a request on a frozen backend.
pub(super) const FROZEN: &str =
    "Invalid input received: Modification operations are not allowed on frozen storage backends.";
