//! The variables of this component, read and checked (`docs/dev-identity.md`).

use http::Uri;

use crate::directory::Directory;
use crate::environment::Variables;
use crate::seed::{self, Seed};

/// The host by which Spin routes a request of one component to this one.
const OWN_HOST: &str = "dev-identity.spin.internal";
/// The URL of this Keystone for the main component.
const OWN_URL: &str = "http://dev-identity.spin.internal/identity/v3";

/// An error about an invalid variable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("variable {name}: {reason}")]
pub(crate) struct SettingsError {
    name: &'static str,
    reason: String,
}

/// The user with which the main component validates tokens.
#[derive(Clone)]
pub struct ServiceUser {
    pub user: String,
    pub password: String,
    pub project: String,
    pub user_domain: String,
    pub project_domain: String,
}

/// The settings of a service that is switched on.
pub(crate) struct Settings {
    pub directory: Directory,
    /// The lifetime of a token.
    pub token_seconds: i64,
}

impl Settings {
    /// Reads the variables. Returns `None` if the service is switched off.
    ///
    /// # Errors
    ///
    /// Fails for the first variable that is missing or invalid.
    pub(crate) fn read(variables: &dyn Variables) -> Result<Option<Self>, SettingsError> {
        let get = |name: &'static str| match variables.get(name) {
            Ok(value) => Ok(value.trim().to_owned()),
            Err(reason) => Err(SettingsError { name, reason }),
        };
        match get("dev_identity")?.as_str() {
            "off" => return Ok(None),
            "on" => {}
            other => return Err(refused("dev_identity", format!("'{other}' is none of off, on"))),
        }
        let keystone_url = get("keystone_url")?;
        if get("auth_mode")? == "keystone" && !is_own(&keystone_url) {
            let reason = format!("is on, but keystone_url names another Keystone; set it to {OWN_URL}");
            return Err(refused("dev_identity", reason));
        }
        let token_seconds = get("dev_identity_token_seconds")?;
        let token_seconds = match token_seconds.parse::<u32>() {
            Ok(seconds) if seconds > 0 => i64::from(seconds),
            _ => {
                let reason = format!("'{token_seconds}' is not a whole number of seconds above zero");
                return Err(refused("dev_identity_token_seconds", reason));
            }
        };
        let document = get("dev_identity_seed")?;
        let (document, is_default) =
            if document.is_empty() { (seed::DEFAULT, true) } else { (document.as_str(), false) };
        let directory = Seed::read(document).and_then(|seed| Directory::build(seed, is_default));
        let mut directory = directory.map_err(|reason| refused("dev_identity_seed", reason))?;
        // Unlike the other variables, a password may begin or end with a space.
        let password = variables.get("keystone_password").map_err(|reason| refused("keystone_password", reason))?;
        if !password.is_empty() {
            let service = ServiceUser {
                user: get("keystone_user")?,
                password,
                project: get("keystone_project")?,
                user_domain: get("keystone_user_domain")?,
                project_domain: get("keystone_project_domain")?,
            };
            directory.add_service_user(service).map_err(|reason| refused("keystone_user", reason))?;
        }
        Ok(Some(Self { directory, token_seconds }))
    }
}

fn refused(name: &'static str, reason: String) -> SettingsError {
    SettingsError { name, reason }
}

/// Returns whether a URL of a Keystone leads to this component.
fn is_own(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let path = uri.path().trim_end_matches('/');
    uri.scheme_str() == Some("http") && uri.host() == Some(OWN_HOST) && matches!(path, "/identity" | "/identity/v3")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The variables with their defaults, some replaced.
    struct Replaced<'a>(&'a [(&'a str, &'a str)]);

    impl Variables for Replaced<'_> {
        fn get(&self, name: &str) -> Result<String, String> {
            let replaced = self.0.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned());
            Ok(replaced.unwrap_or_else(|| {
                let default = match name {
                    "dev_identity" => "on",
                    "dev_identity_token_seconds" => "3600",
                    "auth_mode" => "noauth",
                    "keystone_user" => "cinder",
                    "keystone_project" => "service",
                    "keystone_user_domain" | "keystone_project_domain" => "Default",
                    _ => "",
                };
                default.to_owned()
            }))
        }
    }

    fn error(values: &[(&str, &str)]) -> String {
        Settings::read(&Replaced(values)).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_bad_variable_is_named() {
        for (values, expected) in [
            (&[("dev_identity", "yes")][..], "variable dev_identity: 'yes' is none of off, on"),
            (
                &[("dev_identity_token_seconds", "0")],
                "variable dev_identity_token_seconds: '0' is not a whole number of seconds above zero",
            ),
            (
                &[("dev_identity_seed", "{\"a\": 1}")],
                "variable dev_identity_seed: unknown field `a`, expected one of `region`, `domains`, `projects`, `users`, \
                 `application_credentials` at line 1 column 4",
            ),
            (
                &[("keystone_password", "p"), ("keystone_user", "admin")],
                "variable keystone_user: the seed document has a user 'admin' too",
            ),
        ] {
            assert_eq!(error(values), expected);
        }
        assert!(matches!(Settings::read(&Replaced(&[("dev_identity", "off")])), Ok(None)));
    }

    #[test]
    fn another_keystone_beside_this_one_is_refused() {
        for (url, is_refused) in [
            ("http://dev-identity.spin.internal/identity/v3", false),
            ("http://dev-identity.spin.internal/identity/", false),
            ("http://dev-identity.spin.internal/v3", true),
            ("https://dev-identity.spin.internal/identity/v3", true),
            ("http://127.0.0.1:5000/v3", true),
            ("http://dev-identity.spin.internal.example.org/identity/v3", true),
            ("", true),
        ] {
            let reason = error(&[("auth_mode", "keystone"), ("keystone_url", url)]);
            assert_eq!(reason.starts_with("variable dev_identity: is on, but keystone_url"), is_refused, "{url}");
        }
        assert_eq!(error(&[("keystone_url", "http://127.0.0.1:5000/v3")]), "", "nobody uses it in the other modes");
    }

    #[test]
    fn the_service_user_exists_only_with_a_password() {
        let users = |values: &[(&str, &str)]| {
            let settings = Settings::read(&Replaced(values)).expect("settings").expect("on");
            settings.directory.users.iter().map(|user| user.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(users(&[]), ["admin", "demo"]);
        assert_eq!(users(&[("keystone_password", "p")]), ["admin", "demo", "cinder"]);
    }
}
