//! The values of the app's variables: those of the command line, else those of the environment, else those that `up`
//! chooses, else the defaults of the manifest.
//!
//! It must not know how a value is used, except for those that decide who can sign in.

use std::collections::HashMap;
use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use volume_snapshots_host::{ENVIRONMENT_PREFIX, Manifest};

/// The URL at which the main component reaches the Keystone for development.
const OWN_KEYSTONE: &str = "http://dev-identity.spin.internal/identity/v3";

/// The values of all variables of the manifest.
#[derive(Debug)]
pub struct Values {
    values: HashMap<String, String>,
    has_random_ops_token: bool,
}

/// The choices of the command line.
pub struct Chosen<'a> {
    /// The values of `--set`.
    pub set: &'a [(String, String)],
    pub ops_token: Option<&'a str>,
    /// The document of `--identity-seed`.
    pub identity_seed: Option<String>,
}

impl Values {
    /// Chooses the value of each variable for a service at `url`.
    ///
    /// # Errors
    ///
    /// Fails when the command line names a variable that does not exist, when a required variable has no value, when the
    /// environment has one that is not UTF-8, and when the system has no randomness.
    pub fn choose(
        manifest: &Manifest,
        chosen: &Chosen<'_>,
        environment: impl Fn(&str) -> Result<Option<String>>,
        url: &str,
    ) -> Result<Self> {
        let mut set: HashMap<&str, &str> = HashMap::new();
        set.extend(chosen.ops_token.map(|token| ("ops_token", token)));
        set.extend(chosen.identity_seed.as_deref().map(|seed| ("dev_identity_seed", seed)));
        set.extend(chosen.set.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        if let Some(unknown) = set.keys().find(|name| !manifest.variables.contains_key(**name)) {
            let known: Vec<&str> = manifest.variables.keys().map(String::as_str).collect();
            bail!("there is no variable {unknown} to set; there are {}", known.join(", "));
        }
        let own = HashMap::from([
            ("auth_mode", "keystone".to_owned()),
            ("dev_identity", "on".to_owned()),
            ("keystone_url", OWN_KEYSTONE.to_owned()),
            ("keystone_password", secret()?),
            ("www_authenticate_uri", format!("{url}/identity/v3")),
            ("ops_token", secret()?),
        ]);
        let mut values: HashMap<String, String> = HashMap::new();
        for (name, variable) in &manifest.variables {
            let value = match set.get(name.as_str()) {
                Some(value) => Some((*value).to_owned()),
                None => environment(name)?.or_else(|| own.get(name.as_str()).cloned()).or(variable.default.clone()),
            };
            let value =
                value.with_context(|| format!("the variable {name} has no value; give it with --set {name}="))?;
            values.insert(name.clone(), value);
        }
        let has_random_ops_token = values.get("ops_token") == own.get("ops_token");
        Ok(Self { values, has_random_ops_token })
    }

    /// Returns whether the secret of the operator's routes is random, so that it must be printed.
    pub fn has_random_ops_token(&self) -> bool {
        self.has_random_ops_token
    }

    /// Returns a value, or an empty string if there is no such variable.
    pub fn get(&self, name: &str) -> &str {
        self.values.get(name).map_or("", |value| value.trim())
    }

    /// Returns all values, by name.
    pub fn all(&self) -> HashMap<String, String> {
        self.values.clone()
    }

    /// Returns whether clients sign in at the Keystone for development.
    pub fn has_dev_identity(&self) -> bool {
        self.get("dev_identity") == "on"
    }

    /// Returns whether the default users exist, whose passwords everybody knows.
    pub fn has_default_users(&self) -> bool {
        self.has_dev_identity() && self.get("dev_identity_seed").is_empty()
    }

    /// Refuses the default users on an address that other machines can reach.
    ///
    /// # Errors
    ///
    /// Fails if they are there.
    pub fn check_address(&self, address: SocketAddr) -> Result<()> {
        if address.ip().to_canonical().is_loopback() {
            return Ok(());
        }
        if self.has_default_users() {
            bail!(
                "everybody knows the default passwords, so they are not served on {address}; name a document with other \
                 users in --identity-seed, or listen on 127.0.0.1"
            );
        }
        Ok(())
    }
}

/// Reads a variable from this process's environment, as Spin does.
///
/// # Errors
///
/// Fails when the value is not UTF-8.
pub fn from_environment(name: &str) -> Result<Option<String>> {
    let key = format!("{ENVIRONMENT_PREFIX}{}", name.to_ascii_uppercase());
    let value = std::env::var_os(&key).map(std::ffi::OsString::into_string).transpose();
    value.map_err(|_| anyhow::anyhow!("the environment variable {key} is not UTF-8; set it again"))
}

/// Returns 128 random bits in hexadecimal.
fn secret() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).context("the system has no random numbers")?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn choose(set: &[(&str, &str)], environment: &[(&str, &str)]) -> Result<Values> {
        let manifest = Manifest::parse(include_str!("../../spin.toml"), Path::new("")).expect("a manifest");
        let set: Vec<_> = set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let chosen = Chosen { set: &set, ops_token: None, identity_seed: None };
        let from = |name: &str| Ok(environment.iter().find(|own| own.0 == name).map(|own| own.1.to_owned()));
        Values::choose(&manifest, &chosen, from, "http://127.0.0.1:1")
    }

    #[test]
    fn up_signs_clients_in() {
        let values = choose(&[], &[]).expect("values");
        assert_eq!((values.get("auth_mode"), values.get("dev_identity")), ("keystone", "on"));
        assert_eq!(values.get("www_authenticate_uri"), "http://127.0.0.1:1/identity/v3");
        assert_eq!(values.get("create_seconds"), "2");
        assert_eq!((values.get("ops_token").len(), values.get("keystone_password").len()), (32, 32));
        assert_ne!(values.get("ops_token"), values.get("keystone_password"));
    }

    #[test]
    fn the_command_line_wins_over_the_environment_and_that_over_up() {
        let environment = [("auth_mode", "headers"), ("create_seconds", "5")];
        let values = choose(&[("create_seconds", "0")], &environment).expect("values");
        assert_eq!((values.get("auth_mode"), values.get("create_seconds")), ("headers", "0"));
        let error = choose(&[("max_limt", "1")], &[]).expect_err("an error").to_string();
        assert!(error.starts_with("there is no variable max_limt to set; there are auth_mode, "), "{error}");
    }

    #[test]
    fn default_passwords_are_for_this_machine() {
        let address = |address: &str| address.parse::<SocketAddr>().expect("an address");
        let values = choose(&[], &[]).expect("values");
        for own in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(values.check_address(address(own)).is_ok(), "{own}");
        }
        for other in ["0.0.0.0:1", "192.0.2.1:1", "[::]:1"] {
            assert!(values.check_address(address(other)).is_err(), "{other}");
        }
        let seeded = choose(&[("dev_identity_seed", "{}")], &[]).expect("values");
        assert!(seeded.check_address(address("0.0.0.0:1")).is_ok());
    }
}
