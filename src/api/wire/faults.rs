//! Faults: Cinder's statuses and bodies for errors (`docs/spec/versions-and-faults.md` section 5).

use http::StatusCode;
use serde_json::json;

use crate::service::{Error, StoreError};
use crate::settings::SettingsError;

use super::accept::{is_invalid, quality};
use super::request::Headers;

/// The general message of a 400.
pub const BAD_REQUEST: &str =
    "The server could not comply with the request since it is either malformed or otherwise incorrect.";
/// The general message of a 404.
pub const NOT_FOUND: &str = "The resource could not be found.";
/// The general message of a 500.
pub const SERVER_ERROR: &str = "The server has either erred or is incapable of performing the requested operation.";
/// The message for a body that cannot be read.
pub const MALFORMED_BODY: &str = "Malformed request body";

/// The message for a body that broke off before its end.
pub const INCOMPLETE_BODY: &str = "The request body is incomplete.";

/// An error in the API's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub status: StatusCode,
    pub message: String,
    /// The number of seconds after which to try again.
    pub retry_after: Option<u32>,
    /// The cause, for the log only. A client never sees it.
    pub cause: Option<String>,
    /// Whether it promises that nothing has changed because one write was not made.
    pub promises_no_change: bool,
}

/// The message for a request of which nothing was done.
const BUSY: &str = "The storage is busy, please try again.";

/// The message for a request of which something may have been done.
const UNKNOWN: &str = "The storage is busy or cannot be reached. What was asked may have been done or not; please look, and \
                       try again.";

impl Fault {
    /// Returns a fault with a message.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), retry_after: None, cause: None, promises_no_change: false }
    }

    /// Returns the fault of a request that may have changed something. It promises nothing then.
    #[must_use]
    pub fn after_changes(self) -> Self {
        if self.promises_no_change {
            return Self { message: UNKNOWN.to_owned(), promises_no_change: false, ..self };
        }
        self
    }

    /// Returns a 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// Returns a 404 with the general message.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, NOT_FOUND)
    }

    /// Returns a 500 with the general message. The cause goes to the log.
    pub fn server_error(cause: impl Into<String>) -> Self {
        Self { cause: Some(cause.into()), ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, SERVER_ERROR) }
    }

    /// Returns the key of the fault body.
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

    /// Returns the body.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let mut fault = json!({ "code": self.status.as_u16(), "message": self.message });
        if let Some(seconds) = self.retry_after {
            fault["retryAfter"] = json!(seconds.to_string());
        }
        json!({ self.key(): fault }).to_string().into_bytes()
    }

    /// Returns the media type and the body of a fault outside the resource layer, where `WebOb` answers with HTML or
    /// plain text. A client that asks for JSON gets the usual body of a fault, as does one whose body is too large
    /// (`docs/spec/versions-and-faults.md` section 5, "Recommended").
    #[must_use]
    pub fn non_api_body(&self, headers: &Headers<'_>) -> (&'static str, String) {
        let (html, json) = (quality(headers, "text/html"), quality(headers, "application/json"));
        let title = "404 Not Found";
        if self.status != StatusCode::NOT_FOUND || json > html {
            ("application/json", String::from_utf8_lossy(&self.body()).into_owned())
        } else if html > 0.0 || is_invalid(headers) {
            let body = format!(
                "<html>\n <head>\n  <title>{title}</title>\n </head>\n <body>\n  <h1>{title}</h1>\n  {}<br /><br />\n\n\n\n \
                 </body>\n</html>",
                self.message
            );
            ("text/html; charset=UTF-8", body)
        } else {
            ("text/plain; charset=UTF-8", format!("{title}\n\n{}\n\n   ", self.message))
        }
    }
}

impl From<SettingsError> for Fault {
    /// The log names the invalid variable. A client only learns that the server is at fault.
    fn from(error: SettingsError) -> Self {
        Self::server_error(error.to_string())
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
            Error::OverLimit(_) => Self { retry_after: Some(0), ..Self::new(StatusCode::PAYLOAD_TOO_LARGE, message) },
            Error::NotSupported(_) => Self::new(StatusCode::METHOD_NOT_ALLOWED, message),
            Error::NoService(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, message),
            Error::TooMuchMetadata { .. } | Error::TooMuch(_) => Self::new(StatusCode::PAYLOAD_TOO_LARGE, message),
            Error::Store(error) => error.into(),
            Error::Misconfigured(error) => error.into(),
        }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        let cause = Some(error.to_string());
        match error {
            // These pass: other writers finish, and a locked database is unlocked.
            StoreError::Contended(_) | StoreError::Undone(_) => Self {
                retry_after: Some(1),
                cause,
                promises_no_change: matches!(error, StoreError::Contended(_)),
                ..Self::new(StatusCode::SERVICE_UNAVAILABLE, BUSY)
            },
            StoreError::Failed(_) | StoreError::Unknown(_) => {
                Self { retry_after: Some(1), cause, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, UNKNOWN) }
            }
            StoreError::Damaged(_)
            | StoreError::Corrupt { .. }
            | StoreError::UnknownFormat { .. }
            | StoreError::Unreleased(_) => Self { cause, ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, SERVER_ERROR) },
        }
    }
}
