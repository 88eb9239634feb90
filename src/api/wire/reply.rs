//! A reply before it is HTTP. Its status and its content decide which headers Cinder would send
//! (`docs/spec/versions-and-faults.md` sections 2, 6, and 7).

use std::slice;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, VARY};
use http::{HeaderName, StatusCode};

use super::faults::Fault;
use super::headers::{OPENSTACK_API_VERSION, X_COMPUTE_REQUEST_ID, X_OPENSTACK_REQUEST_ID};
use super::request::Headers;

/// The answer to a request, as the shell sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: StatusCode,
    /// Every value is valid in a header. A list instead of a `HeaderMap`, because nothing looks a header up.
    pub headers: Vec<(HeaderName, String)>,
    pub body: AnswerBody,
}

/// The body of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerBody {
    Whole(Vec<u8>),
    /// A large body in pieces, since a single one would double in size each time that it grows.
    InPieces(Vec<Vec<u8>>),
}

impl From<Vec<u8>> for AnswerBody {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Whole(bytes)
    }
}

impl AnswerBody {
    /// A body without bytes.
    pub const EMPTY: Self = Self::Whole(Vec::new());

    /// Returns the pieces of the body.
    #[must_use]
    pub fn pieces(&self) -> &[Vec<u8>] {
        match self {
            Self::Whole(bytes) => slice::from_ref(bytes),
            Self::InPieces(pieces) => pieces,
        }
    }

    /// Returns the length of the body in bytes.
    fn length(&self) -> usize {
        self.pieces().iter().map(Vec::len).sum()
    }
}

/// The content of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A document of the resource layer.
    Json(AnswerBody),
    /// An empty body from the resource layer.
    Empty,
    /// An empty body in a response that a controller of Cinder makes itself. It lacks `x-compute-request-id`.
    ReadyMade,
    /// A body of another layer, which also lacks the version headers. An empty media type stands for none.
    NonApi { media_type: &'static str, body: String },
}

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: StatusCode,
    pub content: Content,
    headers: Vec<(HeaderName, String)>,
    /// The cause, for the log only.
    pub cause: Option<String>,
    is_fault: bool,
}

impl Reply {
    /// Returns a reply with a content.
    #[must_use]
    pub const fn new(status: StatusCode, content: Content) -> Self {
        Self { status, content, headers: Vec::new(), cause: None, is_fault: false }
    }

    /// Returns a reply with a document.
    ///
    /// # Errors
    ///
    /// A 500 if the document cannot be written as JSON, which none of ours can cause.
    pub fn json(status: StatusCode, document: &impl serde::Serialize) -> Result<Self, Fault> {
        let body = serde_json::to_vec(document).map_err(|error| Fault::server_error(error.to_string()))?;
        Ok(Self::new(status, Content::Json(body.into())))
    }

    /// Returns the reply to a fault outside the resource layer, in the form that `WebOb` gives it.
    #[must_use]
    pub fn non_api_fault(fault: &Fault, headers: &Headers<'_>) -> Self {
        let (media_type, body) = fault.non_api_body(headers);
        Self::new(fault.status, Content::NonApi { media_type, body })
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Returns the answer. `version` is the microversion to name, and `vendor_type` whether the client prefers Cinder's
    /// own media type.
    #[must_use]
    pub fn into_answer(self, request_id: &str, version: Option<&str>, vendor_type: bool) -> Answer {
        let in_resource_layer = !matches!(self.content, Content::NonApi { .. });
        let by_resource_layer = in_resource_layer && self.content != Content::ReadyMade;
        let (media_type, body): (&str, AnswerBody) = match self.content {
            Content::Json(body) if vendor_type && !self.is_fault => ("application/vnd.openstack.volume+json", body),
            Content::Json(body) => ("application/json", body),
            Content::Empty if vendor_type => ("application/vnd.openstack.volume+json", AnswerBody::EMPTY),
            Content::Empty => ("application/json", AnswerBody::EMPTY),
            Content::ReadyMade => ("text/html; charset=UTF-8", AnswerBody::EMPTY),
            Content::NonApi { media_type, body } => (media_type, body.into_bytes().into()),
        };
        let mut headers = Vec::with_capacity(8);
        // Cinder names a media type even where there is no content.
        if !media_type.is_empty() {
            headers.push((CONTENT_TYPE, media_type.to_owned()));
        }
        if self.status != StatusCode::NO_CONTENT {
            headers.push((CONTENT_LENGTH, body.length().to_string()));
        }
        headers.push((X_OPENSTACK_REQUEST_ID, request_id.to_owned()));
        if by_resource_layer {
            headers.push((X_COMPUTE_REQUEST_ID, request_id.to_owned()));
        }
        if let Some(version) = version.filter(|_| in_resource_layer) {
            headers.push((OPENSTACK_API_VERSION, ["volume ", version].concat()));
            headers.push((VARY, "OpenStack-API-Version".to_owned()));
        }
        // A value that is invalid in a header is left out, rather than failing the whole answer. The values above are our
        // own, except for the version, which came in a header.
        let fits = |(_, value): &(HeaderName, String)| value.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
        headers.extend(self.headers.into_iter().filter(fits));
        Answer { status: self.status, headers, body }
    }
}

impl From<Fault> for Reply {
    fn from(fault: Fault) -> Self {
        let mut reply = Self::new(fault.status, Content::Json(fault.body().into()));
        reply.is_fault = true;
        reply.headers.extend(fault.retry_after.map(|seconds| (RETRY_AFTER, seconds.to_string())));
        reply.cause = fault.cause;
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{LOCATION, WWW_AUTHENTICATE};

    #[test]
    fn a_value_that_cannot_stand_in_a_header_is_left_out_and_takes_no_other_with_it() {
        let reply = Reply::new(StatusCode::FOUND, Content::NonApi { media_type: "text/plain", body: String::new() })
            .with_header(LOCATION, "http://a\r\nset-cookie: b".to_owned())
            .with_header(WWW_AUTHENTICATE, "Keystone uri=\"http://k/v3\"".to_owned());
        let answer = reply.into_answer("req-1", None, false);
        let names: Vec<&str> = answer.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["content-type", "content-length", "x-openstack-request-id", "www-authenticate"]);
    }
}
