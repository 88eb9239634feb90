//! Faults in Keystone's form and words.

use http::StatusCode;
use serde_json::{Value, json};

use crate::environment::StoreError;
use crate::request::Answer;
use crate::settings::SettingsError;

/// A refusal of a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fault {
    pub status: StatusCode,
    pub message: String,
    /// What Keystone says besides to a client that used a method of authentication in the wrong way.
    pub identity: Option<Value>,
    /// The cause, for the log.
    pub cause: Option<String>,
}

impl Fault {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), identity: None, cause: None }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// Returns the fault of a body without an attribute that it must have.
    pub(crate) fn expecting(attribute: &str, target: &str) -> Self {
        Self::bad_request(format!(
            "Expecting to find {attribute} in {target}. The server could not comply with the request since it is \
             either malformed or otherwise incorrect. The client is assumed to be in error."
        ))
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "The request you have made requires authentication.")
    }

    /// Returns the fault of a caller who may not do `action`, such as `list_projects`.
    pub(crate) fn forbidden(action: &str) -> Self {
        let message = format!("You are not authorized to perform the requested action: identity:{action}.");
        Self::new(StatusCode::FORBIDDEN, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub(crate) fn internal(cause: String) -> Self {
        let message = "An unexpected error prevented the server from fulfilling your request.";
        Self { cause: Some(cause), ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, message) }
    }

    /// Returns the answer. `keystone` is the URL that a 401 names.
    pub(crate) fn answer(&self, keystone: &str) -> Answer {
        let mut error = json!({
            "code": self.status.as_u16(),
            "message": self.message,
            "title": self.status.canonical_reason(),
        });
        if let Some(identity) = &self.identity {
            error["identity"] = identity.clone();
        }
        let answer = Answer::json(self.status, &json!({ "error": error }));
        if self.status == StatusCode::UNAUTHORIZED {
            answer.with_header("www-authenticate", format!("Keystone uri=\"{keystone}\""))
        } else {
            answer
        }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::internal(error.to_string())
    }
}

impl From<SettingsError> for Fault {
    fn from(error: SettingsError) -> Self {
        Self::internal(error.to_string())
    }
}
