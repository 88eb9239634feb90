//! Requests to Keystone and its answers: the part of the Identity API v3 that is about tokens.
//!
//! This module must not know the reason for a request or the use of an answer.

use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Method};
use serde_json::{Value, json};

use crate::domain::{Roles, Timestamp};
use crate::settings::KeystoneSettings;

use super::headers::{OPENSTACK_IDENTITY_ACCESS_RULES, X_AUTH_TOKEN, X_SUBJECT_TOKEN};
use super::{AccessRule, KeystoneError, OutboundAnswer, OutboundRequest, SERVICE, Token};

/// The cause of a failure if an answer is not one of Keystone.
pub const NONSENSE: &str = "its answer is not one that Keystone gives";

const JSON: &str = "application/json";

/// Returns the request that validates `token`, or `None` if one of the tokens is not a valid header value.
pub fn validation(url: &str, own_token: &str, token: &str, may_be_expired: bool) -> Option<OutboundRequest> {
    let allow_expired = if may_be_expired { "&allow_expired=1" } else { "" };
    let mut request = request(url, &format!("?nocatalog{allow_expired}"));
    request.headers.extend([
        (X_AUTH_TOKEN, secret(own_token)?),
        (X_SUBJECT_TOKEN, secret(token)?),
        // Without this header, Keystone does not accept a token with access rules.
        (OPENSTACK_IDENTITY_ACCESS_RULES, HeaderValue::from_static("1")),
    ]);
    Some(request)
}

/// Returns the request with which the service user logs in.
pub fn login(settings: &KeystoneSettings, password: &str) -> OutboundRequest {
    let body = json!({ "auth": {
        "identity": { "methods": ["password"], "password": { "user": {
            "name": settings.user,
            "domain": { "name": settings.user_domain },
            "password": password,
        } } },
        "scope": { "project": { "name": settings.project, "domain": { "name": settings.project_domain } } },
    } });
    let mut request = request(&settings.url, "?nocatalog");
    request.method = Method::POST;
    request.body = body.to_string().into_bytes();
    // Servers of Python programs require the length.
    request.headers.push((CONTENT_LENGTH, request.body.len().into()));
    request.headers.push((CONTENT_TYPE, HeaderValue::from_static(JSON)));
    request
}

/// Returns a request about tokens, which is a GET without a body.
fn request(url: &str, query: &str) -> OutboundRequest {
    OutboundRequest {
        method: Method::GET,
        // The URL was checked with the settings, so it parses with this suffix too.
        uri: format!("{url}/auth/tokens{query}").parse().unwrap_or_default(),
        headers: vec![
            (ACCEPT, HeaderValue::from_static(JSON)),
            (USER_AGENT, HeaderValue::from_static(env!("CARGO_PKG_NAME"))),
        ],
        body: Vec::new(),
    }
}

/// Reads the service user's token and its expiry from the answer to a login.
pub fn own_token(answer: &OutboundAnswer) -> Option<(String, Timestamp)> {
    let token = answer.subject_token.as_ref().and_then(|token| token.to_str().ok());
    let expires_at = document(&answer.body).ok()?.get("expires_at").and_then(timestamp);
    token.map(str::to_owned).zip(expires_at)
}

/// Reads Keystone's answer about a token.
///
/// # Errors
///
/// Fails with [`KeystoneError::Unavailable`] if the body is not an answer of Keystone, and with
/// [`KeystoneError::InvalidToken`] if the answer has no user, or an id that is not valid.
pub fn token(body: &[u8]) -> Result<Token, KeystoneError> {
    let token = document(body)?;
    let expires_at = token.get("expires_at").and_then(timestamp).ok_or_else(nonsense)?;
    let id = |of: &str| token[of]["id"].as_str();
    let user_id = id("user").and_then(|id| id.parse().ok()).ok_or(KeystoneError::InvalidToken)?;
    let project_id = match id("project") {
        Some(id) => Some(id.parse().map_err(|_| KeystoneError::InvalidToken)?),
        None => None,
    };
    let roles = token["roles"].as_array();
    let has = |wanted: &str| {
        let mut names = roles.into_iter().flatten().filter_map(|role| role["name"].as_str());
        names.any(|name| name.eq_ignore_ascii_case(wanted))
    };
    // To Cinder's policy, a project is the administrators' project unless the token denies it.
    let is_admin_project = token["is_admin_project"] != false;
    let access_rules = match &token["application_credential"]["access_rules"] {
        Value::Null => None,
        // A rule that cannot be read allows nothing.
        limits => Some(limits.as_array().into_iter().flatten().filter_map(access_rule).collect()),
    };
    Ok(Token {
        user_id,
        project_id,
        roles: Roles {
            admin: has("admin") && is_admin_project,
            member: has("member"),
            reader: has("reader"),
            service: has(SERVICE),
        },
        expires_at,
        access_rules,
    })
}

fn access_rule(rule: &Value) -> Option<AccessRule> {
    let part = |name: &str| rule[name].as_str();
    AccessRule::new(part("service")?, part("method")?, part("path")?)
}

/// Reads the object `token` of an answer.
fn document(body: &[u8]) -> Result<Value, KeystoneError> {
    let mut document: Value = serde_json::from_slice(body).map_err(|_| nonsense())?;
    match document.get_mut("token").map(Value::take) {
        Some(token @ Value::Object(_)) => Ok(token),
        _ => Err(nonsense()),
    }
}

fn timestamp(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// Returns a header value that logs do not show.
fn secret(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(token).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn nonsense() -> KeystoneError {
    KeystoneError::Unavailable(NONSENSE.to_owned())
}
