//! The body of a request: whether it is JSON, and how its fields are read once a schema has checked them.

use http::StatusCode;
use serde_json::{Map, Value};

use crate::api::python;
use crate::domain::Metadata;
use crate::domain::trees::map_of;

use super::faults::{BAD_REQUEST, Fault};
use super::headers::Header;
use super::request::Headers;

/// Whether there is a JSON body. A body without a media type is ignored, as in Cinder.
///
/// # Errors
///
/// A media type that is not JSON.
pub fn is_json(headers: &Headers<'_>, body: &[u8]) -> Result<bool, Fault> {
    if body.is_empty() {
        return Ok(false);
    }
    if !headers.has(Header::ContentType) {
        return Ok(false);
    }
    let content_type = headers.string(Header::ContentType).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default();
    // Cinder's comparison is case-sensitive.
    match media_type {
        "application/json" | "application/vnd.openstack.volume+json" => Ok(true),
        _ => Err(Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported Content-Type")),
    }
}

/// Parses a body. Python's parser reads `NaN` and `Infinity` as numbers; here they become numbers that no field allows.
#[must_use]
pub fn parse(body: &[u8]) -> Option<Value> {
    const WORDS: [(&[u8], f64); 2] = [(b"NaN", python::NOT_A_NUMBER), (b"Infinity", python::INFINITY)];
    let mut json = Vec::with_capacity(body.len());
    // A quote begins or ends a string, except behind an odd number of backslashes.
    let (mut in_string, mut is_escaped) = (false, false);
    let mut rest = body;
    while let [byte, after @ ..] = rest {
        if let Some((word, number)) = WORDS.into_iter().find(|(word, _)| !in_string && rest.starts_with(word)) {
            json.extend(format!("{number:e}").bytes());
            rest = &rest[word.len()..];
            continue;
        }
        in_string ^= *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        json.push(*byte);
        rest = after;
    }
    serde_json::from_slice(&json).ok()
}

/// Returns a member that the schema has found to be an object.
///
/// # Errors
///
/// A member that is not an object.
pub fn object(value: Option<&Value>) -> Result<&Map<String, Value>, Fault> {
    value.and_then(Value::as_object).ok_or_else(|| Fault::bad_request(BAD_REQUEST))
}

/// Returns a string as it is. `None` for null and for a missing member.
#[must_use]
pub fn string(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).map(str::to_owned)
}

/// Returns a string without the white space around it.
#[must_use]
pub fn stripped(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).map(|string| python::strip(string).to_owned())
}

/// Returns the strings of an object as metadata.
#[must_use]
pub fn metadata(value: Option<&Value>) -> Metadata {
    let items = value.and_then(Value::as_object).into_iter().flatten();
    map_of(items.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))))
}

/// Reads a boolean that a client wrote as a string, such as a parameter of the query.
///
/// # Errors
///
/// A string that oslo does not read as a boolean.
pub fn boolean(name: &str, value: &str) -> Result<bool, Fault> {
    let refused = || Fault::bad_request(format!("Value '{value}' for '{name}' is not a boolean."));
    python::boolean(value).ok_or_else(refused)
}
