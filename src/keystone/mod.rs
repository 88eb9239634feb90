//! Asks Keystone who a token belongs to (`spec/beyond.md` section 4), as keystonemiddleware does for Cinder.
//!
//! A service user logs in with a password and validates the tokens of others. What Keystone said of a token is believed
//! for a short time; a token that it does not know, or that nothing is known about because Keystone cannot be asked,
//! opens nothing. This module must not know what a token is used for, nor who sends its requests.

mod access_rules;
pub mod headers;
mod messages;
mod sealing;

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use sha2::{Digest, Sha256};

use crate::domain::{ProjectId, Roles, Timestamp, UserId};
use crate::settings::{KEYSTONE_PASSWORD, KeystoneSettings, Variables};
use crate::store::tokens::{TokenDigest, TokenRow};
use crate::store::{Identifiers, KeyValue, Store};

pub use access_rules::AccessRule;

/// The longest token, in bytes, that Keystone is asked about; its own are some 200 to 1,000.
const LONGEST_TOKEN: usize = 8 * 1024;

/// How long before its end the service user's own token is not used any more.
const SPARE_SECONDS: f64 = 30.0;

/// The way to other services; the shell asks Spin.
pub trait Outbound {
    /// Sends a request and waits for the whole answer, no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// A text for the log: there was no answer, not in time, or a larger one than anybody would send.
    fn send(&self, request: &OutboundRequest, timeout: Duration) -> Result<OutboundAnswer, String>;
}

/// A request to another service. No `http::Request`, whose map of headers is more code than the requests are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundRequest {
    /// GET or POST.
    pub method: Method,
    /// It has a scheme and a host.
    pub uri: Uri,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Vec<u8>,
}

/// What of an answer somebody looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundAnswer {
    pub status: StatusCode,
    /// The header `X-Subject-Token`, the first where there are several.
    pub subject_token: Option<HeaderValue>,
    pub body: Vec<u8>,
}

/// Why nobody is known by a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeystoneError {
    /// Keystone does not know the token, or it says nothing about a user, or it has expired.
    #[error("the token is not valid")]
    InvalidToken,
    /// Keystone cannot be asked; the text is for the log, never for a client, and names no token.
    #[error("Keystone cannot validate tokens: {0}")]
    Unavailable(String),
}

/// What Keystone says about a token, as far as anything here looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub user_id: UserId,
    /// None for a token of a domain, of the system, or of nothing at all.
    pub project_id: Option<ProjectId>,
    pub roles: Roles,
    /// Whether it has the role `service`, with which a service vouches for the token of a user.
    pub is_service: bool,
    pub expires_at: Timestamp,
    /// The requests that an application credential is limited to; none without such a limit.
    pub access_rules: Option<Vec<AccessRule>>,
}

/// Keystone, as a request sees it.
#[derive(Clone, Copy)]
pub struct Keystone<'a> {
    pub settings: &'a KeystoneSettings,
    /// Where the password is; it is asked for only when it is needed.
    pub variables: &'a dyn Variables,
    pub store: Store<'a>,
    pub identifiers: &'a dyn Identifiers,
    pub outbound: &'a dyn Outbound,
    pub now: Timestamp,
}

impl<'a> Keystone<'a> {
    /// Returns Keystone as a request sees it, with its cache of tokens in the store over `key_value`.
    #[must_use]
    pub const fn new(
        settings: &'a KeystoneSettings,
        variables: &'a dyn Variables,
        key_value: &'a dyn KeyValue,
        identifiers: &'a dyn Identifiers,
        outbound: &'a dyn Outbound,
        now: Timestamp,
    ) -> Self {
        Self { settings, variables, store: Store::new(key_value, identifiers), identifiers, outbound, now }
    }

    /// What is known about a token. With `may_be_expired` one that has expired is as good as any; a service asks for
    /// that when it goes on with what a user began.
    ///
    /// # Errors
    ///
    /// [`KeystoneError`]: whatever goes wrong, nobody is let in.
    pub fn token(&self, token: &str, may_be_expired: bool) -> Result<Token, KeystoneError> {
        if token.is_empty() || token.len() > LONGEST_TOKEN {
            return Err(KeystoneError::InvalidToken);
        }
        let digest = self.digest(token);
        let token = if let Some(token) = self.kept(&digest) {
            token
        } else {
            let token = self.validate(token, may_be_expired)?;
            self.keep(digest, &token);
            token
        };
        if token.expires_at <= self.now && !may_be_expired {
            return Err(KeystoneError::InvalidToken);
        }
        Ok(token)
    }

    fn keeps_tokens(&self) -> bool {
        self.settings.cache_seconds > 0.0
    }

    /// What stands for a token wherever something is kept. What one Keystone said means nothing to another, so the URL
    /// is part of it.
    fn digest(&self, token: &str) -> TokenDigest {
        let hash =
            Sha256::new().chain_update(self.settings.url.as_bytes()).chain_update([0]).chain_update(token).finalize();
        TokenDigest::new(hash.into())
    }

    /// What Keystone said about a token not long ago. A cache that cannot be read, or was written by another release,
    /// is no worse than an empty one.
    fn kept(&self, digest: &TokenDigest) -> Option<Token> {
        if !self.keeps_tokens() {
            return None;
        }
        let row = self.store.token(digest).ok().flatten()?;
        let checked_at = Timestamp::from_microseconds(row.checked);
        // A clock that was set back makes nothing last longer.
        let is_fresh = checked_at <= self.now && self.now < checked_at.plus_seconds(self.settings.cache_seconds);
        if is_fresh { Some(row.into()) } else { None }
    }

    fn keep(&self, digest: TokenDigest, token: &Token) {
        if self.keeps_tokens() {
            // Without it the next request asks again. A store that fails will be told of by what the request is about.
            let _ = self.store.keep_token(&TokenRow::new(digest, self.now, token));
        }
    }

    /// Asks Keystone, with a new token of the service user where it does not take the one at hand.
    fn validate(&self, token: &str, may_be_expired: bool) -> Result<Token, KeystoneError> {
        let mut own_token = self.own_token();
        for _ in 0..2 {
            let own = match own_token.take() {
                Some(own) => own,
                None => self.log_in()?,
            };
            let request = messages::validation(&self.settings.url, &own, token, may_be_expired);
            let answer = self.send(&request.ok_or(KeystoneError::InvalidToken)?)?;
            match answer.status {
                StatusCode::OK => return messages::token(&answer.body),
                StatusCode::NOT_FOUND => return Err(KeystoneError::InvalidToken),
                StatusCode::UNAUTHORIZED => {}
                status => return Err(unexpected("a token was to be validated", status)),
            }
        }
        let user = &self.settings.user;
        Err(KeystoneError::Unavailable(format!("it does not take the token that it gave to {user}")))
    }

    /// Logs the service user in.
    fn log_in(&self) -> Result<String, KeystoneError> {
        let answer = self.send(&messages::login(self.settings, &self.password()))?;
        if !answer.status.is_success() {
            return Err(unexpected(&format!("the user {} was to log in", self.settings.user), answer.status));
        }
        let (token, expires_at) = messages::own_token(&answer)?;
        if let Some(sealed) = self.sealing_key().and_then(|key| sealing::seal(&key, &token, self.identifiers)) {
            // As with the tokens of users.
            let _ = self.store.keep_own_token(expires_at, sealed);
        }
        Ok(token)
    }

    /// The token of the service user that was kept, while it lasts.
    fn own_token(&self) -> Option<String> {
        let (expires_at, sealed) = self.store.own_token().ok().flatten()?;
        if expires_at <= self.now.plus_seconds(SPARE_SECONDS) {
            return None;
        }
        sealing::open(&self.sealing_key()?, &sealed)
    }

    /// What the service user's token is sealed with: only who knows the password can open it, and a change of any
    /// setting makes what was kept useless. Without a password there is no secret, so nothing is kept.
    fn sealing_key(&self) -> Option<[u8; 32]> {
        let KeystoneSettings { url, user, project, user_domain, project_domain, .. } = self.settings;
        let password = self.password();
        if password.is_empty() {
            return None;
        }
        let mut hash = Sha256::new();
        for part in ["the token of a service user", url, user, project, user_domain, project_domain, &password] {
            hash.update(part);
            hash.update([0]);
        }
        Some(hash.finalize().into())
    }

    fn password(&self) -> String {
        self.variables.get(KEYSTONE_PASSWORD).unwrap_or_default()
    }

    fn send(&self, request: &OutboundRequest) -> Result<OutboundAnswer, KeystoneError> {
        self.outbound.send(request, self.settings.timeout).map_err(KeystoneError::Unavailable)
    }
}

fn unexpected(when: &str, status: StatusCode) -> KeystoneError {
    KeystoneError::Unavailable(format!("it answered {} when {when}", status.as_u16()))
}

/// How the role of a service is kept; the others are kept by their own names too.
const SERVICE: &str = "service";

impl TokenRow {
    fn new(digest: TokenDigest, checked_at: Timestamp, token: &Token) -> Self {
        let Roles { admin, member, reader } = token.roles;
        let mut roles = Vec::new();
        for (has, name) in [(admin, "admin"), (member, "member"), (reader, "reader"), (token.is_service, SERVICE)] {
            roles.extend(has.then_some(name));
        }
        Self {
            digest,
            checked: checked_at.microseconds(),
            expires: token.expires_at.microseconds(),
            user: token.user_id.clone(),
            project: token.project_id.clone(),
            roles: roles.join(" "),
            rules: token.access_rules.as_ref().map(|rules| rules.iter().map(ToString::to_string).collect()),
        }
    }
}

impl From<TokenRow> for Token {
    fn from(row: TokenRow) -> Self {
        let has = |role: &str| row.roles.split(' ').any(|own| own == role);
        let roles = Roles { admin: has("admin"), member: has("member"), reader: has("reader") };
        Self {
            roles,
            is_service: has(SERVICE),
            user_id: row.user,
            project_id: row.project,
            expires_at: Timestamp::from_microseconds(row.expires),
            access_rules: row.rules.map(|rules| rules.iter().filter_map(|rule| AccessRule::read(rule)).collect()),
        }
    }
}
