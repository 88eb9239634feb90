//! The Spin variables of this service, read and checked (`docs/configuration.md`).
//!
//! A fresh instance serves every request. Reading a variable is a call of the host, and on Spin each application
//! variable in its template takes about 5 µs (`docs/adr/0008-what-a-request-costs-on-spin.md`). So `spin.toml` passes
//! `auth_mode`, which every request needs, by itself, and most others in two strings of `name=value` lines: `settings`,
//! which all requests except those for a single row read and check, and `keystone_settings`, which only requests that
//! need Keystone read. Each secret is a variable of its own, and is read only when it is needed.

use std::cell::OnceCell;
use std::time::Duration;

use crate::domain::Progression;
use crate::domain::lifecycle::Delays;
use crate::domain::metadata;
use crate::domain::quota::DefaultLimits;

/// The variable that selects how callers are authenticated.
pub const AUTH_MODE: &str = "auth_mode";
/// The variable with the settings that most requests need.
pub const SETTINGS: &str = "settings";
/// The variable with Keystone's URL and the names of the service user.
pub const KEYSTONE_SETTINGS: &str = "keystone_settings";
/// The variable with the password of the service user, a secret.
pub const KEYSTONE_PASSWORD: &str = "keystone_password";
/// The variable with the secret that opens the operator's routes.
pub const OPS_TOKEN: &str = "ops_token";

/// The number of retries of work that did not end in time, where `give_up` is `retry`.
const RETRIES: u8 = 3;

/// The source of variables. The shell implements it on Spin.
pub trait Variables {
    /// Returns the value of a component variable.
    ///
    /// # Errors
    ///
    /// Fails with a message for the log that says why the host does not give the variable.
    fn get(&self, name: &str) -> Result<String, String>;
}

/// An error about an invalid variable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("variable {name}: {reason}")]
pub struct SettingsError {
    /// The name of the variable, as an operator knows it.
    pub name: String,
    reason: String,
}

/// How callers are authenticated.
#[derive(Debug, Clone, PartialEq)]
pub enum AuthMode {
    /// Every caller is an administrator of the project that the request names.
    NoAuth,
    /// A trusted proxy has authenticated the caller, and passes the identity in headers.
    Headers,
    /// Keystone validates the caller's token.
    Keystone(KeystoneSettings),
}

/// Keystone's URL, and the service user that validates tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct KeystoneSettings {
    /// The base URL, with the version and without a trailing slash.
    pub url: String,
    pub user: String,
    pub project: String,
    pub user_domain: String,
    pub project_domain: String,
    /// The URL of Keystone for clients, which a 401 names.
    pub www_authenticate_uri: String,
    /// How long Keystone's answer about a token is trusted, in seconds.
    pub cache_seconds: f64,
    /// How long Keystone may take to answer one request.
    pub timeout: Duration,
}

/// The settings, except `auth_mode` and [`KeystoneSettings`].
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How long Keystone's answer about a token is trusted, in seconds.
    pub keystone_cache_seconds: f64,
    /// How long Keystone may take to answer one request.
    pub keystone_timeout: Duration,
    pub delays: Delays,
    pub limits: DefaultLimits,
    /// The largest page of a list.
    pub max_limit: usize,
    /// The largest page of a list, in bytes.
    pub max_page_bytes: usize,
    /// The largest metadata of one row, in bytes.
    pub max_metadata_bytes: usize,
    /// The largest number of rows that one tick examines.
    pub rows_per_tick: usize,
    /// The most snapshots that a request deletes with their volume. More are left to the tick.
    pub cascade_at_once: usize,
    /// The name of the type of volumes that are created without one.
    pub default_volume_type: String,
    /// How long a user message is kept, in seconds.
    pub message_ttl_seconds: f64,
    /// The URL at which clients reach this service, without a trailing slash, if links do not follow the request.
    pub public_endpoint: Option<String>,
}

/// The settings, read at first use.
pub struct LazySettings<'a> {
    variables: &'a dyn Variables,
    settings: OnceCell<Result<Settings, SettingsError>>,
}

impl<'a> LazySettings<'a> {
    /// Creates settings that are not read yet.
    pub const fn new(variables: &'a dyn Variables) -> Self {
        Self { variables, settings: OnceCell::new() }
    }

    /// Returns the settings.
    ///
    /// # Errors
    ///
    /// Fails for the first variable that is missing, unknown, or invalid.
    pub fn get(&self) -> Result<&Settings, SettingsError> {
        self.settings.get_or_init(|| Settings::read(self.variables)).as_ref().map_err(Clone::clone)
    }

    /// Checks every variable and returns the settings. Keystone's variables are checked only if Keystone authenticates
    /// callers.
    ///
    /// # Errors
    ///
    /// Fails for the first variable that is missing, unknown, or invalid.
    pub fn checked(&self) -> Result<&Settings, SettingsError> {
        AuthMode::read(self)?;
        self.get()
    }
}

impl AuthMode {
    /// Reads how callers are authenticated and, if Keystone does it, the settings for that.
    ///
    /// # Errors
    ///
    /// Fails for the first variable that is missing, unknown, or invalid.
    pub fn read(settings: &LazySettings<'_>) -> Result<Self, SettingsError> {
        match variable(settings.variables, AUTH_MODE)?.trim_ascii() {
            "noauth" => Ok(Self::NoAuth),
            "headers" => Ok(Self::Headers),
            "keystone" => Ok(Self::Keystone(KeystoneSettings::read(settings.variables, settings.get()?)?)),
            other => Err(refused(AUTH_MODE, format!("'{other}' is none of noauth, headers, keystone"))),
        }
    }
}

impl Settings {
    fn read(variables: &dyn Variables) -> Result<Self, SettingsError> {
        let value = variable(variables, SETTINGS)?;
        let mut lines = Lines::new(&value);
        let mut take = |name| lines.take(name);
        let settings = Self {
            keystone_cache_seconds: seconds(take("keystone_cache_seconds")?)?,
            keystone_timeout: timeout(take("keystone_timeout_seconds")?)?,
            delays: Delays {
                progression: choice(
                    take("progression")?,
                    &[
                        ("time", Progression::Time),
                        ("immediate", Progression::Immediate),
                        ("manual", Progression::Manual),
                    ],
                )?,
                create_seconds: seconds(take("create_seconds")?)?,
                delete_seconds: seconds(take("delete_seconds")?)?,
                give_up_seconds: seconds(take("give_up_seconds")?)?,
                retries: choice(take("give_up")?, &[("error", 0), ("retry", RETRIES)])?,
            },
            limits: DefaultLimits {
                snapshots: limit(take("quota_snapshots")?)?,
                gigabytes: limit(take("quota_gigabytes")?)?,
            },
            max_limit: above_zero(take("max_limit")?)?,
            max_page_bytes: above_zero(take("max_page_bytes")?)?,
            max_metadata_bytes: metadata_limit(take("max_metadata_bytes")?)?,
            rows_per_tick: above_zero(take("rows_per_tick")?)?,
            cascade_at_once: above_zero(take("cascade_at_once")?)?,
            default_volume_type: take("default_volume_type")?.1.to_owned(),
            message_ttl_seconds: seconds(take("message_ttl_seconds")?)?,
            public_endpoint: match take("public_endpoint")? {
                (_, "") => None,
                own => {
                    Some(http_url(own, "the URL of this service, such as https://cloud.example.org/volume")?.to_owned())
                }
            },
        };
        lines.end()?;
        Ok(settings)
    }
}

impl KeystoneSettings {
    fn read(variables: &dyn Variables, settings: &Settings) -> Result<Self, SettingsError> {
        let value = variable(variables, KEYSTONE_SETTINGS)?;
        let mut lines = Lines::new(&value);
        let mut take = |name| lines.take(name).map(|(_, value)| value.to_owned());
        let url = base_url(("keystone_url", &take("keystone_url")?))?;
        let settings = Self {
            user: take("keystone_user")?,
            project: take("keystone_project")?,
            user_domain: take("keystone_user_domain")?,
            project_domain: take("keystone_project_domain")?,
            www_authenticate_uri: match take("www_authenticate_uri")? {
                own if own.is_empty() => url.clone(),
                own if own.parse::<http::Uri>().is_ok() => own,
                own => return Err(refused("www_authenticate_uri", format!("'{own}' is not a URL"))),
            },
            url,
            cache_seconds: settings.keystone_cache_seconds,
            timeout: settings.keystone_timeout,
        };
        lines.end()?;
        Ok(settings)
    }
}

/// Returns the URL of Keystone for clients as the variables have it, unchecked. The modes in which Keystone does not
/// authenticate callers name it to clients that are not authenticated.
///
/// # Errors
///
/// Fails if the variable or one of the lines is missing.
pub fn www_authenticate_uri(variables: &dyn Variables) -> Result<String, SettingsError> {
    let value = variable(variables, KEYSTONE_SETTINGS)?;
    let mut lines = Lines::new(&value);
    let (_, keystone_url) = lines.take("keystone_url")?;
    let (_, own) = lines.take("www_authenticate_uri")?;
    Ok(if own.is_empty() { keystone_url } else { own }.to_owned())
}

fn variable(variables: &dyn Variables, name: &'static str) -> Result<String, SettingsError> {
    variables.get(name).map_err(|reason| refused(name, reason))
}

/// The lines of a variable that have not been taken yet.
struct Lines<'a> {
    /// The lines after those that were taken, as long as they are taken in the order of `spin.toml`.
    rest: &'a str,
    /// The other lines, once one was taken out of order.
    others: Option<Vec<(&'a str, &'a str)>>,
}

impl<'a> Lines<'a> {
    const fn new(value: &'a str) -> Self {
        Self { rest: value, others: None }
    }

    /// Takes the line of a name. Returns the name and the value.
    fn take(&mut self, name: &'static str) -> Result<(&'static str, &'a str), SettingsError> {
        let bytes = self.rest.as_bytes();
        if self.others.is_none() && bytes.get(name.len()) == Some(&b'=') && bytes.starts_with(name.as_bytes()) {
            let start = name.len() + 1;
            let mut end = start;
            while bytes.get(end).is_some_and(|byte| *byte != b'\n') {
                end += 1;
            }
            let value = self.rest[start..end].trim_ascii();
            self.rest = self.rest.get(end + 1..).unwrap_or_default();
            return Ok((name, value));
        }
        let others = self.others()?;
        match others.iter().position(|(own, _)| *own == name) {
            Some(at) => Ok((name, others.swap_remove(at).1)),
            None => Err(refused(name, "is missing".to_owned())),
        }
    }

    /// Fails if a line is left.
    fn end(&mut self) -> Result<(), SettingsError> {
        match self.others()?.first() {
            Some((unknown, _)) => Err(refused(unknown, "is not a setting of this release".to_owned())),
            None => Ok(()),
        }
    }

    /// Returns all lines that are left, in any order.
    fn others(&mut self) -> Result<&mut Vec<(&'a str, &'a str)>, SettingsError> {
        let mut values = self.others.take().unwrap_or_default();
        for line in std::mem::take(&mut self.rest).split('\n').map(str::trim_ascii).filter(|line| !line.is_empty()) {
            let (name, value) =
                line.split_once('=').ok_or_else(|| refused(SETTINGS, format!("'{line}' is not name=value")))?;
            values.push((name.trim_ascii(), value.trim_ascii()));
        }
        Ok(self.others.insert(values))
    }
}

impl SettingsError {
    /// Returns the error for a default volume type that does not exist.
    #[must_use]
    pub fn no_default_volume_type(name: &str) -> Self {
        refused("default_volume_type", format!("there is no volume type '{name}'"))
    }
}

fn refused(name: &str, reason: String) -> SettingsError {
    SettingsError { name: name.to_owned(), reason }
}

fn choice<T: Copy>((name, value): (&str, &str), choices: &[(&str, T)]) -> Result<T, SettingsError> {
    choices.iter().find(|(word, _)| *word == value).map(|(_, choice)| *choice).ok_or_else(|| {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        refused(name, format!("'{value}' is none of {}", words.join(", ")))
    })
}

fn seconds((name, value): (&str, &str)) -> Result<f64, SettingsError> {
    // Most numbers are whole, and parsing those is cheaper.
    let parsed = value.parse::<u32>().map(f64::from).or_else(|_| value.parse::<f64>());
    match parsed {
        Ok(seconds) if seconds >= 0.0 && seconds.is_finite() => Ok(seconds),
        _ => Err(refused(name, format!("'{value}' is not a number of seconds of zero or more"))),
    }
}

/// Parses a time to wait. It must not be zero, because then no answer could arrive.
fn timeout((name, value): (&str, &str)) -> Result<Duration, SettingsError> {
    let time = seconds((name, value))?;
    match Duration::try_from_secs_f64(time) {
        Ok(time) if !time.is_zero() => Ok(time),
        _ => Err(refused(name, format!("'{value}' is not a number of seconds above zero"))),
    }
}

/// Parses Keystone's base URL. Appends the version if it is missing, as it often is in the configuration of other
/// services.
fn base_url(line: (&str, &str)) -> Result<String, SettingsError> {
    let url = http_url(line, "the URL of a Keystone, such as http://127.0.0.1:5000/v3")?;
    Ok(if url.ends_with("/v3") { url.to_owned() } else { format!("{url}/v3") })
}

/// Parses a URL with a host and without a query, and returns it without a trailing slash.
fn http_url<'a>((name, value): (&str, &'a str), wanted: &str) -> Result<&'a str, SettingsError> {
    let url = value.trim_end_matches('/');
    let is_usable = url.parse::<http::Uri>().is_ok_and(|uri| {
        // The part before an @ would be a password, and only the part after it the host.
        let has_host = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        has_host && matches!(uri.scheme_str(), Some("http" | "https")) && uri.query().is_none()
    });
    if is_usable { Ok(url) } else { Err(refused(name, format!("is not {wanted}"))) }
}

fn limit((name, value): (&str, &str)) -> Result<i64, SettingsError> {
    match value.parse::<i64>() {
        Ok(limit) if limit >= -1 => Ok(limit),
        _ => Err(refused(name, format!("'{value}' is not a limit: a whole number, or -1 for none"))),
    }
}

/// Parses the limit of metadata. It must allow what is not large, which is written without reading the settings.
fn metadata_limit((name, value): (&str, &str)) -> Result<usize, SettingsError> {
    match value.parse::<u32>() {
        Ok(limit) if limit as usize >= metadata::LARGE => Ok(limit as usize),
        _ => Err(refused(name, format!("'{value}' is not a whole number of at least {}", metadata::LARGE))),
    }
}

fn above_zero((name, value): (&str, &str)) -> Result<usize, SettingsError> {
    match value.parse::<u32>() {
        Ok(limit) if limit > 0 => Ok(limit as usize),
        _ => Err(refused(name, format!("'{value}' is not a whole number above zero"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: &str = "keystone_cache_seconds=60\nkeystone_timeout_seconds=10\n\
                            progression=time\ncreate_seconds=2\ndelete_seconds=1\n\
                            give_up_seconds=3600\ngive_up=error\nquota_snapshots=10\nquota_gigabytes=1000\n\
                            max_limit=1000\n\
                            max_page_bytes=2097152\nmax_metadata_bytes=262144\nrows_per_tick=1000\n\
                            cascade_at_once=1000\ndefault_volume_type=__DEFAULT__\nmessage_ttl_seconds=2592000\npublic_endpoint=\n";
    const KEYSTONE_DEFAULTS: &str = "keystone_url=\nkeystone_user=cinder\nkeystone_project=service\n\
                                     keystone_user_domain=Default\nkeystone_project_domain=Default\n\
                                     www_authenticate_uri=\n";

    /// The variables with their defaults, one line of them replaced.
    struct Replaced(&'static str, &'static str);

    impl Variables for Replaced {
        fn get(&self, name: &str) -> Result<String, String> {
            match name {
                AUTH_MODE => Ok("auth_mode=noauth".replace(self.0, self.1).replace("auth_mode=", "")),
                SETTINGS => Ok(DEFAULTS.replace(self.0, self.1)),
                KEYSTONE_SETTINGS => Ok(KEYSTONE_DEFAULTS.replace(self.0, self.1)),
                _ => Err("no such variable".to_owned()),
            }
        }
    }

    /// One value for every variable.
    struct Given(String);

    impl Variables for Given {
        fn get(&self, _: &str) -> Result<String, String> {
            Ok(self.0.clone())
        }
    }

    #[test]
    fn the_defaults_are_read() {
        let variables = Replaced("", "");
        let lazy = LazySettings::new(&variables);
        assert_eq!(AuthMode::read(&lazy), Ok(AuthMode::NoAuth));
        let settings = lazy.get().expect("settings");
        assert_eq!(settings.delays.progression, Progression::Time);
        assert_eq!(settings.max_limit, 1000);
        assert_eq!(www_authenticate_uri(&Replaced("url=", "url=http://k/")).as_deref(), Ok("http://k/"));
        assert_eq!(www_authenticate_uri(&Replaced("uri=", "uri=http://c/")).as_deref(), Ok("http://c/"));
    }

    #[test]
    fn lines_may_stand_in_any_order_with_space_around() {
        /// The mode `keystone`, with lines in an unusual order and with spaces around them.
        struct AnyOrder;

        impl Variables for AnyOrder {
            fn get(&self, name: &str) -> Result<String, String> {
                let settings = DEFAULTS.replace("timeout_seconds=10", "timeout_seconds=0.25");
                Ok(match name {
                    AUTH_MODE => " keystone\n".to_owned(),
                    SETTINGS => settings.lines().rev().collect::<Vec<_>>().join("\n"),
                    _ => "keystone_user=u\n www_authenticate_uri=\n keystone_url = http://k \n\nkeystone_project_domain=d\n\
                          keystone_user_domain=e\nkeystone_project=p"
                        .to_owned(),
                })
            }
        }

        let mode = AuthMode::read(&LazySettings::new(&AnyOrder)).expect("settings");
        let string = str::to_owned;
        let expected = KeystoneSettings {
            url: string("http://k/v3"),
            user: string("u"),
            project: string("p"),
            user_domain: string("e"),
            project_domain: string("d"),
            www_authenticate_uri: string("http://k/v3"),
            cache_seconds: 60.0,
            timeout: Duration::from_millis(250),
        };
        assert_eq!(mode, AuthMode::Keystone(expected));
    }

    #[test]
    fn a_bad_variable_is_named() {
        let cases: [(&'static str, &'static str, &str); 12] = [
            ("auth_mode=noauth", "auth_mode=open", "variable auth_mode: 'open' is none of noauth, headers, keystone"),
            ("progression=time", "progression=", "variable progression: '' is none of time, immediate, manual"),
            (
                "create_seconds=2",
                "create_seconds=-1",
                "variable create_seconds: '-1' is not a number of seconds of zero or more",
            ),
            (
                "delete_seconds=1",
                "delete_seconds=NaN",
                "variable delete_seconds: 'NaN' is not a number of seconds of zero or more",
            ),
            (
                "quota_snapshots=10",
                "quota_snapshots=-2",
                "variable quota_snapshots: '-2' is not a limit: a whole number, or -1 for none",
            ),
            ("max_limit=1000", "max_limit=0", "variable max_limit: '0' is not a whole number above zero"),
            (
                "rows_per_tick=1000",
                "rows_per_tick=all",
                "variable rows_per_tick: 'all' is not a whole number above zero",
            ),
            (
                "auth_mode=noauth",
                "auth_mode=keystone",
                "variable keystone_url: is not the URL of a Keystone, such as http://127.0.0.1:5000/v3",
            ),
            (
                "keystone_timeout_seconds=10",
                "keystone_timeout_seconds=0",
                "variable keystone_timeout_seconds: '0' is not a number of seconds above zero",
            ),
            (
                "public_endpoint=",
                "public_endpoint=cloud.example.org",
                "variable public_endpoint: is not the URL of this service, such as https://cloud.example.org/volume",
            ),
            ("max_limit=1000", "", "variable max_limit: is missing"),
            ("max_limit=1000", "max_limit=1\nfoo=1", "variable foo: is not a setting of this release"),
        ];
        for (line, replacement, expected) in cases {
            let error = LazySettings::new(&Replaced(line, replacement)).checked().cloned().expect_err(replacement);
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn a_401_names_keystone_by_its_own_url_or_by_that_for_clients() {
        let named = |line: &'static str| {
            let variables = Replaced("www_authenticate_uri=", line);
            let settings = LazySettings::new(&variables).get().expect("settings").clone();
            let with_url = KEYSTONE_DEFAULTS.replace("keystone_url=", "keystone_url=http://k");
            let variables = Given(with_url.replace("www_authenticate_uri=", line));
            KeystoneSettings::read(&variables, &settings).map(|settings| settings.www_authenticate_uri)
        };
        assert_eq!(named("www_authenticate_uri=").as_deref(), Ok("http://k/v3"));
        assert_eq!(named("www_authenticate_uri=https://c/identity").as_deref(), Ok("https://c/identity"));
        let error = named("www_authenticate_uri=a b").expect_err("not a URL");
        assert_eq!(error.to_string(), "variable www_authenticate_uri: 'a b' is not a URL");
    }

    #[test]
    fn the_url_of_keystone_has_its_version() {
        for (value, expected) in [
            ("http://127.0.0.1:5000/v3", "http://127.0.0.1:5000/v3"),
            ("http://127.0.0.1:5000/v3/", "http://127.0.0.1:5000/v3"),
            ("http://127.0.0.1:5000", "http://127.0.0.1:5000/v3"),
            ("https://keystone/identity/", "https://keystone/identity/v3"),
        ] {
            assert_eq!(base_url(("keystone_url", value)).as_deref(), Ok(expected), "{value}");
        }
        for value in
            ["", "/v3", "127.0.0.1:5000", "ftp://k/v3", "http://", "http://u:p@k/v3", "http://k/v3?a=b", "http://k k"]
        {
            assert!(base_url(("keystone_url", value)).is_err(), "{value}");
        }
    }
}
