//! Who a request comes from (`design/contract.md`, variable `auth_mode`).

use http::{HeaderMap, StatusCode};
use serde_json::json;

use crate::service::policy::{Caller, Roles};
use crate::settings::AuthMode;

use super::reply::{Content, Reply};

/// The project and user of a request that names neither, where everybody is an administrator.
const ANYBODY: &str = "admin";

/// What clients of keystoneauth send as a token with `--os-auth-type none`.
const NO_TOKEN: &str = "notused";

/// Reads the identity. `path_project` is the project id of the path, which `noauth` takes the caller's word for.
///
/// # Errors
///
/// The answer for a caller who is not known.
pub fn identify(
    mode: AuthMode,
    headers: &HeaderMap,
    path_project: Option<&str>,
    keystone_url: &str,
) -> Result<Caller, Reply> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let unauthorized = || unauthorized(keystone_url);
    match mode {
        AuthMode::NoAuth => {
            let (user, project) = match header("x-auth-token").filter(|token| !["", NO_TOKEN].contains(token)) {
                // As in Cinder's own noauth, a token without a colon names the user and the project at once.
                Some(token) => match token.split_once(':') {
                    Some((user, project)) if !project.is_empty() => (user, project),
                    _ => (token.trim_end_matches(':'), token.trim_end_matches(':')),
                },
                None => (ANYBODY, path_project.unwrap_or(ANYBODY)),
            };
            Ok(Caller {
                user_id: Some(user.parse().map_err(|_| unauthorized())?),
                project_id: Some(project.parse().map_err(|_| unauthorized())?),
                roles: Roles::ADMIN,
            })
        }
        AuthMode::Headers => {
            if header("x-identity-status") != Some("Confirmed") {
                return Err(unauthorized());
            }
            let user_id = header("x-user-id").and_then(|id| id.parse().ok()).ok_or_else(unauthorized)?;
            let project_id = match header("x-project-id").filter(|id| !id.is_empty()) {
                Some(id) => Some(id.parse().map_err(|_| unauthorized())?),
                None => None,
            };
            let has = |role: &str| {
                header("x-roles")
                    .is_some_and(|roles| roles.split(',').any(|name| name.trim().eq_ignore_ascii_case(role)))
            };
            let roles = Roles { admin: has("admin"), member: has("member"), reader: has("reader") };
            Ok(Caller { user_id: Some(user_id), project_id, roles })
        }
    }
}

/// The answer of keystonemiddleware, whose form clients know.
fn unauthorized(keystone_url: &str) -> Reply {
    let body = json!({ "error": {
        "code": 401,
        "title": "Unauthorized",
        "message": "The request you have made requires authentication.",
    } });
    Reply::new(StatusCode::UNAUTHORIZED, Content::Outside { media_type: "application/json", body: body.to_string() })
        .with_header("WWW-Authenticate", format!("Keystone uri=\"{keystone_url}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| ((*name).parse().expect("a name"), value.parse().expect("a value"))).collect()
    }

    fn seen(mode: AuthMode, pairs: &[(&'static str, &str)], path: Option<&str>) -> Option<(String, String, Roles)> {
        let caller = identify(mode, &headers(pairs), path, "http://keystone").ok()?;
        let text = |id: Option<String>| id.unwrap_or_default();
        Some((
            text(caller.user_id.map(|id| id.to_string())),
            text(caller.project_id.map(|id| id.to_string())),
            caller.roles,
        ))
    }

    #[test]
    fn without_authentication_the_token_or_the_path_names_the_project() {
        let admin = |user: &str, project: &str| Some((user.to_owned(), project.to_owned(), Roles::ADMIN));
        let noauth = AuthMode::NoAuth;
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
        let mode = AuthMode::Headers;
        let confirmed = [("x-identity-status", "Confirmed"), ("x-user-id", "u"), ("x-project-id", "a1")];
        let nobody = Some(("u".to_owned(), "a1".to_owned(), Roles::default()));
        assert_eq!(seen(mode, &confirmed, None), nobody);
        let mut with_roles = confirmed.to_vec();
        with_roles.push(("x-roles", "member, Reader"));
        let roles = Roles { admin: false, member: true, reader: true };
        assert_eq!(seen(mode, &with_roles, None), Some(("u".to_owned(), "a1".to_owned(), roles)));
        assert_eq!(seen(mode, &confirmed[1..], None), None, "no status");
        assert_eq!(seen(mode, &[("x-identity-status", "Invalid"), ("x-user-id", "u")], None), None);
        assert_eq!(seen(mode, &[("x-identity-status", "Confirmed")], None), None, "no user");
        let unscoped = [("x-identity-status", "Confirmed"), ("x-user-id", "u")];
        assert_eq!(seen(mode, &unscoped, None), Some(("u".to_owned(), String::new(), Roles::default())));
    }
}
