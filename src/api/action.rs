//! The body of an action: an object with one key, which names the action.

use serde_json::Value;

use super::wire::faults::{Fault, MALFORMED_BODY};

/// Returns the one key of an action's body.
///
/// # Errors
///
/// No body, or a body that is not an object with one key.
pub fn name_of(body: Option<&Value>) -> Result<&str, Fault> {
    let body = body.ok_or_else(|| no_such_action("None"))?;
    let malformed = || Fault::bad_request(MALFORMED_BODY);
    // Cinder takes the length of the body and then its keys. A value that has a length of one and no keys, or no length
    // at all, fails in Python and is answered with a 404.
    let fails_in_python = match body {
        Value::Object(_) => false,
        Value::Array(items) => items.len() == 1,
        Value::String(string) => string.chars().count() == 1,
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    };
    if fails_in_python {
        return Err(Fault::not_found());
    }
    let mut names = body.as_object().ok_or_else(malformed)?.keys();
    match (names.next(), names.next()) {
        (Some(name), None) => Ok(name),
        _ => Err(malformed()),
    }
}

/// Returns the fault for a name that is not an action.
#[must_use]
pub fn no_such_action(name: &str) -> Fault {
    let hint = "Verify the request body and Content-Type header and try again.";
    Fault::bad_request(format!("There is no such action: {name}. {hint}"))
}
