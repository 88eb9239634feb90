//! The Spin variables of this service, read and checked (`design/contract.md`, "Configuration").
//!
//! A fresh instance serves every request, and reading a variable costs a call of the host and on Spin some 5 µs for each
//! application variable in its template. So `spin.toml` hands over `auth_mode`, which every request needs, by itself, and
//! most others in two texts, a `name=value` a line: one that all requests read and check but those for a single row, and
//! one that only those read who need Keystone. Secrets come singly and only where they are needed.

use std::cell::OnceCell;
use std::time::Duration;

use crate::domain::Progression;
use crate::domain::lifecycle::Delays;
use crate::domain::quota::DefaultLimits;

/// The variable that says who says who a caller is.
pub const AUTH_MODE: &str = "auth_mode";
/// The variable that holds what most requests need.
pub const SETTINGS: &str = "settings";
/// The variable that says where Keystone is, and as whom it is asked.
pub const KEYSTONE_SETTINGS: &str = "keystone_settings";
/// The secret password of the service user that validates tokens.
pub const KEYSTONE_PASSWORD: &str = "keystone_password";
/// The secret that opens the operator's routes.
pub const OPS_TOKEN: &str = "ops_token";

/// How often work that nobody ended in time begins anew where `give_up` is `retry`.
const RETRIES: u8 = 3;

/// Where variables come from; the shell asks Spin.
pub trait Variables {
    /// The value of a component variable; the error is a text for the log.
    ///
    /// # Errors
    ///
    /// A text that says why the host has no such variable.
    fn get(&self, name: &str) -> Result<String, String>;
}

/// A variable that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("variable {name}: {reason}")]
pub struct SettingsError {
    /// The variable as an operator knows it.
    pub name: String,
    reason: String,
}

/// Who says who a caller is.
#[derive(Debug, Clone, PartialEq)]
pub enum AuthMode {
    /// Everybody is an administrator of the project they name.
    NoAuth,
    /// A trusted front has authenticated and passes the identity in headers.
    Headers,
    /// Keystone says whose a token is.
    Keystone(KeystoneSettings),
}

/// Where Keystone is and as whom tokens are validated there.
#[derive(Debug, Clone, PartialEq)]
pub struct KeystoneSettings {
    /// The base URL, with its version and without a slash at its end.
    pub url: String,
    pub user: String,
    pub project: String,
    pub user_domain: String,
    pub project_domain: String,
    /// How long what Keystone said about a token is believed, in seconds.
    pub cache_seconds: f64,
    /// How long one answer of Keystone may take.
    pub timeout: Duration,
}

/// The settings in force, but for `auth_mode` and where Keystone is.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How long what Keystone said about a token is believed, in seconds.
    pub keystone_cache_seconds: f64,
    /// How long one answer of Keystone may take.
    pub keystone_timeout: Duration,
    pub delays: Delays,
    pub limits: DefaultLimits,
    /// The largest page.
    pub max_limit: usize,
    /// The most rows that one run of the scheduled step looks at.
    pub rows_per_tick: usize,
}

/// The settings, read when they are first asked for.
pub struct LazySettings<'a> {
    variables: &'a dyn Variables,
    settings: OnceCell<Result<Settings, SettingsError>>,
}

impl<'a> LazySettings<'a> {
    /// Settings of which nothing is read yet.
    pub const fn new(variables: &'a dyn Variables) -> Self {
        Self { variables, settings: OnceCell::new() }
    }

    /// The settings.
    ///
    /// # Errors
    ///
    /// Names the first variable that is missing, unknown or wrong.
    pub fn get(&self) -> Result<&Settings, SettingsError> {
        self.settings.get_or_init(|| Settings::read(self.variables)).as_ref().map_err(Clone::clone)
    }

    /// Every setting; Keystone's are checked too where it is Keystone that says who asks.
    ///
    /// # Errors
    ///
    /// Names the first variable that is missing, unknown or wrong.
    pub fn checked(&self) -> Result<&Settings, SettingsError> {
        AuthMode::read(self)?;
        self.get()
    }
}

impl AuthMode {
    /// Reads who says who a caller is, and where that is Keystone all that is needed to ask it.
    ///
    /// # Errors
    ///
    /// Names the first variable that is missing, unknown or wrong.
    pub fn read(settings: &LazySettings<'_>) -> Result<Self, SettingsError> {
        match text(settings.variables, AUTH_MODE)?.trim_ascii() {
            "noauth" => Ok(Self::NoAuth),
            "headers" => Ok(Self::Headers),
            "keystone" => Ok(Self::Keystone(KeystoneSettings::read(settings.variables, settings.get()?)?)),
            other => Err(refused(AUTH_MODE, format!("'{other}' is none of noauth, headers, keystone"))),
        }
    }
}

impl Settings {
    fn read(variables: &dyn Variables) -> Result<Self, SettingsError> {
        let text = text(variables, SETTINGS)?;
        let mut lines = Lines::new(&text);
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
            rows_per_tick: above_zero(take("rows_per_tick")?)?,
        };
        lines.end()?;
        Ok(settings)
    }
}

impl KeystoneSettings {
    fn read(variables: &dyn Variables, settings: &Settings) -> Result<Self, SettingsError> {
        let text = text(variables, KEYSTONE_SETTINGS)?;
        let mut lines = Lines::new(&text);
        let mut take = |name| lines.take(name).map(|(_, value)| value.to_owned());
        let settings = Self {
            url: base_url(("keystone_url", &take("keystone_url")?))?,
            user: take("keystone_user")?,
            project: take("keystone_project")?,
            user_domain: take("keystone_user_domain")?,
            project_domain: take("keystone_project_domain")?,
            cache_seconds: settings.keystone_cache_seconds,
            timeout: settings.keystone_timeout,
        };
        lines.end()?;
        Ok(settings)
    }
}

/// The URL that clients without a token are sent to where it is not Keystone that tells: as the variable says.
///
/// # Errors
///
/// When there is no such variable.
pub fn keystone_url(variables: &dyn Variables) -> Result<String, SettingsError> {
    let text = text(variables, KEYSTONE_SETTINGS)?;
    Lines::new(&text).take("keystone_url").map(|(_, url)| url.to_owned())
}

fn text(variables: &dyn Variables, name: &'static str) -> Result<String, SettingsError> {
    variables.get(name).map_err(|reason| refused(name, reason))
}

/// Names and values of a variable that are not used yet.
struct Lines<'a> {
    /// What follows the lines that were used, as long as they are asked for in the order in which `spin.toml` has them.
    rest: &'a str,
    /// Whatever else there is, once they are not.
    others: Option<Vec<(&'a str, &'a str)>>,
}

impl<'a> Lines<'a> {
    const fn new(text: &'a str) -> Self {
        Self { rest: text, others: None }
    }

    /// A name and its value. Not inlined: it is called for each setting, and room is short.

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

    /// Refuses what is left.
    fn end(&mut self) -> Result<(), SettingsError> {
        match self.others()?.first() {
            Some((unknown, _)) => Err(refused(unknown, "is not a setting of this release".to_owned())),
            None => Ok(()),
        }
    }

    /// All that is left, in any order.
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
    // Most are whole, and need no parser of floats.
    let parsed = value.parse::<u32>().map(f64::from).or_else(|_| value.parse::<f64>());
    match parsed {
        Ok(seconds) if seconds >= 0.0 && seconds.is_finite() => Ok(seconds),
        _ => Err(refused(name, format!("'{value}' is not a number of seconds of zero or more"))),
    }
}

/// A time to wait; none at all would let no answer arrive.
fn timeout((name, value): (&str, &str)) -> Result<Duration, SettingsError> {
    let time = seconds((name, value))?;
    match Duration::try_from_secs_f64(time) {
        Ok(time) if !time.is_zero() => Ok(time),
        _ => Err(refused(name, format!("'{value}' is not a number of seconds above zero"))),
    }
}

/// The base URL of Keystone. Its version is added where it is left out, as it often is in the files of other services.
fn base_url((name, value): (&str, &str)) -> Result<String, SettingsError> {
    let url = value.trim_end_matches('/');
    let is_usable = url.parse::<http::Uri>().is_ok_and(|uri| {
        // What is behind an @ would be the host; what is before it, a password.
        let has_host = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        has_host && matches!(uri.scheme_str(), Some("http" | "https")) && uri.query().is_none()
    });
    if !is_usable {
        return Err(refused(name, "is not the URL of a Keystone, such as http://127.0.0.1:5000/v3".to_owned()));
    }
    Ok(if url.ends_with("/v3") { url.to_owned() } else { format!("{url}/v3") })
}

fn limit((name, value): (&str, &str)) -> Result<i64, SettingsError> {
    match value.parse::<i64>() {
        Ok(limit) if limit >= -1 => Ok(limit),
        _ => Err(refused(name, format!("'{value}' is not a limit: a whole number, or -1 for none"))),
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
                            max_limit=1000\nrows_per_tick=1000\n";
    const KEYSTONE_DEFAULTS: &str = "keystone_url=\nkeystone_user=cinder\nkeystone_project=service\n\
                                     keystone_user_domain=Default\nkeystone_project_domain=Default\n";

    /// The two texts, with one line of one of them replaced.
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

    #[test]
    fn the_defaults_are_read() {
        let variables = Replaced("", "");
        let lazy = LazySettings::new(&variables);
        assert_eq!(AuthMode::read(&lazy), Ok(AuthMode::NoAuth));
        let settings = lazy.get().expect("settings");
        assert_eq!(settings.delays.progression, Progression::Time);
        assert_eq!(settings.max_limit, 1000);
        assert_eq!(keystone_url(&Replaced("url=", "url=http://k/")).as_deref(), Ok("http://k/"));
    }

    #[test]
    fn lines_may_stand_in_any_order_with_space_around() {
        /// Keystone, with lines as nobody else writes them.
        struct AnyOrder;

        impl Variables for AnyOrder {
            fn get(&self, name: &str) -> Result<String, String> {
                let settings = DEFAULTS.replace("timeout_seconds=10", "timeout_seconds=0.25");
                Ok(match name {
                    AUTH_MODE => " keystone\n".to_owned(),
                    SETTINGS => settings.lines().rev().collect::<Vec<_>>().join("\n"),
                    _ => "keystone_user=u\n keystone_url = http://k \n\nkeystone_project_domain=d\n\
                          keystone_user_domain=e\nkeystone_project=p"
                        .to_owned(),
                })
            }
        }

        let mode = AuthMode::read(&LazySettings::new(&AnyOrder)).expect("settings");
        let text = str::to_owned;
        let expected = KeystoneSettings {
            url: text("http://k/v3"),
            user: text("u"),
            project: text("p"),
            user_domain: text("e"),
            project_domain: text("d"),
            cache_seconds: 60.0,
            timeout: Duration::from_millis(250),
        };
        assert_eq!(mode, AuthMode::Keystone(expected));
    }

    #[test]
    fn a_bad_variable_is_named() {
        let cases: [(&'static str, &'static str, &str); 11] = [
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
            ("max_limit=1000", "", "variable max_limit: is missing"),
            ("max_limit=1000", "max_limit=1\nfoo=1", "variable foo: is not a setting of this release"),
        ];
        for (line, replacement, expected) in cases {
            let error = LazySettings::new(&Replaced(line, replacement)).checked().cloned().expect_err(replacement);
            assert_eq!(error.to_string(), expected);
        }
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
