//! How a client is told that something was not done: Cinder's fault bodies (`spec/versions-and-faults.md` section 5).

use http::StatusCode;
use serde_json::json;

use crate::service::Error;
use crate::store::StoreError;

/// The text of a status that has none of its own.
pub const BAD_REQUEST: &str =
    "The server could not comply with the request since it is either malformed or otherwise incorrect.";
/// Likewise.
pub const NOT_FOUND: &str = "The resource could not be found.";
/// Likewise.
pub const SERVER_ERROR: &str = "The server has either erred or is incapable of performing the requested operation.";

/// What went wrong, in the API's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub status: StatusCode,
    pub message: String,
    /// Seconds after which to try again.
    pub retry_after: Option<u32>,
    /// What the log is told besides; never shown to a client.
    pub cause: Option<String>,
}

impl Fault {
    /// A fault with a message.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), retry_after: None, cause: None }
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 404 with the general text.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, NOT_FOUND)
    }

    /// 500 with the general text; the cause goes to the log.
    pub fn server_error(cause: impl Into<String>) -> Self {
        Self { cause: Some(cause.into()), ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, SERVER_ERROR) }
    }

    /// The key of the fault body.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self.status.as_u16() {
            400 => "badRequest",
            401 => "unauthorized",
            403 => "forbidden",
            404 => "itemNotFound",
            405 => "badMethod",
            409 => "conflictingRequest",
            413 => "overLimit",
            415 => "badMediaType",
            501 => "notImplemented",
            503 => "serviceUnavailable",
            _ => "computeFault",
        }
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let mut fault = json!({ "code": self.status.as_u16(), "message": self.message });
        if let Some(seconds) = self.retry_after {
            fault["retryAfter"] = json!(seconds.to_string());
        }
        json!({ self.key(): fault }).to_string().into_bytes()
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::SnapshotNotFound(_)
            | Error::VolumeNotFound(_)
            | Error::MetadataNotFound { .. }
            | Error::NotFound(_) => Self::new(StatusCode::NOT_FOUND, message),
            Error::Forbidden(_) | Error::Unscoped => Self::new(StatusCode::FORBIDDEN, message),
            Error::InvalidSnapshot(_) | Error::InvalidVolume(_) | Error::BadRequest(_) => Self::bad_request(message),
            Error::Conflict(_) => Self::new(StatusCode::CONFLICT, message),
            Error::OverQuota(_) => Self { retry_after: Some(0), ..Self::new(StatusCode::PAYLOAD_TOO_LARGE, message) },
            Error::Store(error) => error.into(),
            Error::Misconfigured(error) => crate::api::misconfigured(&error),
        }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        let cause = Some(error.to_string());
        match error {
            // All of these pass: other writers finish, a locked database is unlocked.
            StoreError::Contended(_) => {
                let text = "The storage is busy, please try again.";
                Self { retry_after: Some(1), cause, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, text) }
            }
            StoreError::Failed(_) | StoreError::Unknown(_) => {
                let text = "The storage is busy or cannot be reached. What was asked may have been done or not; please \
                            look, and try again.";
                Self { retry_after: Some(1), cause, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, text) }
            }
            StoreError::Corrupt { .. } | StoreError::UnknownFormat { .. } => {
                Self { cause, ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, SERVER_ERROR) }
            }
        }
    }
}
