//! The caller of a request, as the variable `auth_mode` says (`docs/configuration.md`).
//!
//! This module reads headers. [`crate::keystone`] validates tokens.

use http::StatusCode;
use http::header::WWW_AUTHENTICATE;
use serde_json::json;

use crate::domain::{Caller, Roles};
use crate::keystone::{Keystone, KeystoneError, SERVICE, Token};
use crate::settings::{self, AuthMode};

use super::environment::Environment;
use super::routes;
use super::wire::faults::Fault;
use super::wire::headers::Header;
use super::wire::reply::{Content, Reply};
use super::wire::request::{Headers, Request};

/// The project and the user of a request without either, if every caller is an administrator.
const ANYBODY: &str = "admin";

/// The token that clients of keystoneauth send with `--os-auth-type none`.
const NO_TOKEN: &str = "notused";

/// The number of seconds that a client should wait if Keystone is unavailable.
const RETRY_AFTER: u32 = 5;

/// The paths of the version document. With Keystone they need no token, because clients read the document before they
/// have one (`docs/spec/clients.md`, "Small things that break clients"). A front end that authenticates decides itself.
const DISCOVERY: [&str; 2] = ["/v3", "/v3/"];

/// Identifies the caller of a request for a path.
///
/// # Errors
///
/// The reply to an unknown caller.
pub fn identify(
    request: &Request<'_>,
    path: &str,
    auth_mode: &AuthMode,
    environment: &Environment<'_>,
) -> Result<Caller, Reply> {
    let headers = &request.headers;
    let caller = match auth_mode {
        AuthMode::Keystone(_) if DISCOVERY.contains(&path) => {
            Some(Caller { user_id: None, project_id: None, roles: Roles::default(), is_for_service: false })
        }
        mode if identity_headers(mode).iter().any(|header| is_ambiguous(headers, *header)) => None,
        AuthMode::NoAuth => unauthenticated(headers, || routes::project_id(path)),
        AuthMode::Headers => confirmed(headers),
        AuthMode::Keystone(settings) => {
            validated(headers, request.method.as_str(), path, environment.keystone(settings))?
        }
    };
    if let Some(caller) = caller {
        return Ok(caller);
    }
    Err(match auth_mode {
        AuthMode::Keystone(keystone) => unauthorized(&keystone.www_authenticate_uri),
        AuthMode::NoAuth | AuthMode::Headers => match settings::www_authenticate_uri(environment.variables) {
            Ok(url) => unauthorized(&url),
            Err(error) => Fault::from(error).into(),
        },
    })
}

/// Returns the headers that identify a caller in a mode.
const fn identity_headers(mode: &AuthMode) -> &'static [Header] {
    match mode {
        AuthMode::NoAuth => &[Header::XAuthToken, Header::XServiceRoles],
        AuthMode::Headers => {
            &[Header::XIdentityStatus, Header::XUserId, Header::XProjectId, Header::XRoles, Header::XServiceRoles]
        }
        AuthMode::Keystone(_) => &[Header::XAuthToken, Header::XServiceToken],
    }
}

/// Returns whether a request has a header more than once, or with bytes that are not ASCII. A repeated header identifies
/// nobody, even if its values are equal: a proxy that appends its own header to the caller's would otherwise let the
/// caller choose one.
fn is_ambiguous(headers: &Headers<'_>, header: Header) -> bool {
    headers.is_repeated(header) || (headers.has(header) && headers.string(header).is_none())
}

fn value<'a>(headers: &Headers<'a>, header: Header) -> Option<&'a str> {
    headers.string(header).map(str::trim).filter(|value| !value.is_empty())
}

/// Returns an administrator of the project that the token, or else the path, names.
fn unauthenticated<'a>(headers: &Headers<'a>, path_project: impl FnOnce() -> Option<&'a str>) -> Option<Caller> {
    let (user, project) = match value(headers, Header::XAuthToken).filter(|token| *token != NO_TOKEN) {
        // As in Cinder's own noauth, a token without a colon names the user and the project at once.
        Some(token) => match token.split_once(':') {
            Some((user, project)) if !project.is_empty() => (user, project),
            _ => (token.trim_end_matches(':'), token.trim_end_matches(':')),
        },
        None => (ANYBODY, path_project().unwrap_or(ANYBODY)),
    };
    Some(Caller {
        user_id: Some(user.parse().ok()?),
        project_id: Some(project.parse().ok()?),
        roles: Roles::ADMIN,
        is_for_service: is_for_service(headers),
    })
}

/// Returns the caller that a trusted front end has authenticated.
fn confirmed(headers: &Headers<'_>) -> Option<Caller> {
    if value(headers, Header::XIdentityStatus) != Some("Confirmed") {
        return None;
    }
    let user_id = value(headers, Header::XUserId)?.parse().ok()?;
    let project_id = match value(headers, Header::XProjectId) {
        Some(id) => Some(id.parse().ok()?),
        None => None,
    };
    let has = |role: &str| has_role(headers, Header::XRoles, role);
    let roles = Roles { admin: has("admin"), member: has("member"), reader: has("reader"), service: has(SERVICE) };
    Some(Caller { user_id: Some(user_id), project_id, roles, is_for_service: is_for_service(headers) })
}

/// Returns whether a header names a role.
fn has_role(headers: &Headers<'_>, header: Header, role: &str) -> bool {
    value(headers, header).unwrap_or_default().split(',').any(|name| name.trim().eq_ignore_ascii_case(role))
}

/// Returns whether a front end says that the request has a service token too, with the role of a service.
fn is_for_service(headers: &Headers<'_>) -> bool {
    has_role(headers, Header::XServiceRoles, SERVICE)
}

/// Returns the caller whose token Keystone validates. With a token of its own, a service may vouch for a user's token
/// that expired while the service worked for that user.
///
/// # Errors
///
/// A 503 if Keystone cannot be reached.
fn validated(headers: &Headers<'_>, method: &str, path: &str, keystone: Keystone<'_>) -> Result<Option<Caller>, Reply> {
    let known = |header: Header, may_be_expired: bool| -> Result<Option<Token>, Reply> {
        let Some(token) = value(headers, header) else { return Ok(None) };
        match keystone.token(token, may_be_expired) {
            Ok(token) => Ok(Some(token)),
            Err(KeystoneError::InvalidToken) => Ok(None),
            Err(error) => Err(unavailable(&error)),
        }
    };
    let has_service_token = headers.get(Header::XServiceToken).is_some_and(|token| !token.trim_ascii().is_empty());
    if has_service_token && !known(Header::XServiceToken, false)?.is_some_and(|token| token.roles.service) {
        return Ok(None);
    }
    let Some(token) = known(Header::XAuthToken, has_service_token)? else { return Ok(None) };
    let is_allowed = match &token.access_rules {
        // Access rules limit the requests of users, and this request comes from a service.
        Some(rules) => has_service_token || rules.iter().any(|rule| rule.allows(method, path)),
        None => true,
    };
    let caller = Caller {
        user_id: Some(token.user_id),
        project_id: token.project_id,
        roles: token.roles,
        is_for_service: has_service_token,
    };
    Ok(is_allowed.then_some(caller))
}

fn unavailable(error: &KeystoneError) -> Reply {
    let message = "The Keystone service is temporarily unavailable.";
    let fault = Fault::new(StatusCode::SERVICE_UNAVAILABLE, message);
    // The last two answers repeat while Keystone is left alone, so the log has no line for each.
    let (retry_after, cause) = match error {
        KeystoneError::Paused { seconds, .. } => (*seconds, None),
        KeystoneError::StillUnavailable => (RETRY_AFTER, None),
        _ => (RETRY_AFTER, Some(error.to_string())),
    };
    Fault { retry_after: Some(retry_after), cause, ..fault }.into()
}

/// Returns the 401 of keystonemiddleware, whose form clients know.
fn unauthorized(keystone: &str) -> Reply {
    let body = json!({ "error": {
        "code": 401,
        "title": "Unauthorized",
        "message": "The request you have made requires authentication.",
    } });
    Reply::new(StatusCode::UNAUTHORIZED, Content::NonApi { media_type: "application/json", body: body.to_string() })
        .with_header(WWW_AUTHENTICATE, format!("Keystone uri=\"{keystone}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(mode: &AuthMode, pairs: &[(&'static str, &str)], path: Option<&str>) -> Option<(String, String, Roles)> {
        let headers = Headers::read(pairs.iter().map(|(name, value)| (*name, value.as_bytes())));
        let caller = if *mode == AuthMode::NoAuth { unauthenticated(&headers, || path) } else { confirmed(&headers) }?;
        let string = |id: Option<String>| id.unwrap_or_default();
        Some((
            string(caller.user_id.map(|id| id.to_string())),
            string(caller.project_id.map(|id| id.to_string())),
            caller.roles,
        ))
    }

    #[test]
    fn without_authentication_the_token_or_the_path_names_the_project() {
        let admin = |user: &str, project: &str| Some((user.to_owned(), project.to_owned(), Roles::ADMIN));
        let noauth = &AuthMode::NoAuth;
        assert_eq!(seen(noauth, &[("x-auth-token", "demo:a1")], None), admin("demo", "a1"));
        assert_eq!(seen(noauth, &[("x-auth-token", "a1")], None), admin("a1", "a1"));
        assert_eq!(seen(noauth, &[("x-auth-token", "a1:")], None), admin("a1", "a1"));
        assert_eq!(seen(noauth, &[], Some("b2")), admin("admin", "b2"));
        assert_eq!(seen(noauth, &[], None), admin("admin", "admin"));
        assert_eq!(seen(noauth, &[("x-auth-token", "notused")], Some("b2")), admin("admin", "b2"));
        assert_eq!(seen(noauth, &[("x-auth-token", &"x".repeat(65))], None), None);
        assert_eq!(seen(noauth, &[("x-auth-token", ":")], None), None);
    }

    #[test]
    fn a_trusted_front_is_believed_only_when_it_confirms() {
        let mode = &AuthMode::Headers;
        let confirmed = [("x-identity-status", "Confirmed"), ("x-user-id", "u"), ("x-project-id", "a1")];
        let nobody = Some(("u".to_owned(), "a1".to_owned(), Roles::default()));
        assert_eq!(seen(mode, &confirmed, None), nobody);
        let mut with_roles = confirmed.to_vec();
        with_roles.push(("x-roles", "member, Reader"));
        let roles = Roles { admin: false, member: true, reader: true, service: false };
        assert_eq!(seen(mode, &with_roles, None), Some(("u".to_owned(), "a1".to_owned(), roles)));
        assert_eq!(seen(mode, &confirmed[1..], None), None, "no status");
        assert_eq!(seen(mode, &[("x-identity-status", "Invalid"), ("x-user-id", "u")], None), None);
        assert_eq!(seen(mode, &[("x-identity-status", "Confirmed")], None), None, "no user");
        let unscoped = [("x-identity-status", "Confirmed"), ("x-user-id", "u")];
        assert_eq!(seen(mode, &unscoped, None), Some(("u".to_owned(), String::new(), Roles::default())));
    }
}
