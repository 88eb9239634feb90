//! Asks Keystone for the owner of a token (`docs/spec/beyond.md` section 4), as keystonemiddleware does for Cinder.
//!
//! A service user logs in with a password and validates the tokens of others. Keystone's answer about a token is
//! trusted for a short time. A token that Keystone does not know, or cannot be asked about, gives no access. This
//! module must not know the purpose of a token, or the sender of its requests.

mod access_rules;
pub mod headers;
mod messages;
mod sealing;

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use sha2::{Digest, Sha256};

use crate::domain::{ProjectId, Roles, Timestamp, UserId};
use crate::settings::{KEYSTONE_PASSWORD, KeystoneSettings, Variables};
use crate::store::tokens::{StoredToken, TokenDigest};
use crate::store::{Identifiers, KeyValue, Store, UnreadableLog};

pub use access_rules::AccessRule;

/// The longest token, in bytes, that Keystone is asked about. Its own have about 200 to 1,000 bytes.
const LONGEST_TOKEN: usize = 8 * 1024;

/// The time before its expiry when the service user's own token is no longer used.
const SPARE_SECONDS: f64 = 30.0;

/// Access to other services. The shell implements it on Spin.
pub trait Outbound {
    /// Sends a request, and waits for the whole answer for at most `timeout`.
    ///
    /// # Errors
    ///
    /// Fails with a message for the log if there is no answer in time, or if the answer is unreasonably large.
    fn send(&self, request: &OutboundRequest, timeout: Duration) -> Result<OutboundAnswer, String>;
}

/// A request to another service. It is not an `http::Request`, because that type's map of headers would add more code
/// than these requests need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundRequest {
    /// GET or POST.
    pub method: Method,
    /// The URI, with a scheme and a host.
    pub uri: Uri,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Vec<u8>,
}

/// The parts of an answer that are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundAnswer {
    pub status: StatusCode,
    /// The header `X-Subject-Token`; the first if there are several.
    pub subject_token: Option<HeaderValue>,
    pub body: Vec<u8>,
}

/// The reason why a token identifies nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeystoneError {
    /// The token is unknown to Keystone, has no user, or has expired.
    #[error("the token is not valid")]
    InvalidToken,
    /// Keystone cannot be asked. The message is for the log, never for a client, and contains no token.
    #[error("Keystone cannot validate tokens: {0}")]
    Unavailable(String),
}

/// The parts of Keystone's answer about a token that are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub user_id: UserId,
    /// `None` for a token that is scoped to a domain or to the system, or is unscoped.
    pub project_id: Option<ProjectId>,
    pub roles: Roles,
    /// Whether it has the role `service`, with which a service vouches for a user's token.
    pub is_service: bool,
    pub expires_at: Timestamp,
    /// The requests that the application credential is limited to; `None` without such a limit.
    pub access_rules: Option<Vec<AccessRule>>,
}

/// Keystone, for one request.
#[derive(Clone, Copy)]
pub struct Keystone<'a> {
    pub settings: &'a KeystoneSettings,
    /// The source of the password, which is read only when it is needed.
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
        unreadable: &'a UnreadableLog,
        outbound: &'a dyn Outbound,
        now: Timestamp,
    ) -> Self {
        Self { settings, variables, store: Store::new(key_value, identifiers, unreadable), identifiers, outbound, now }
    }

    /// Returns the known facts about a token. `may_be_expired` accepts an expired one, for a service that continues a
    /// user's work.
    ///
    /// # Errors
    ///
    /// Fails with [`KeystoneError`]. No failure gives access.
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

    /// Returns the digest that replaces a token in the store. It includes the URL, because one Keystone's answers mean
    /// nothing to another.
    fn digest(&self, token: &str) -> TokenDigest {
        let hash =
            Sha256::new().chain_update(self.settings.url.as_bytes()).chain_update([0]).chain_update(token).finalize();
        TokenDigest::new(hash.into())
    }

    /// Returns Keystone's recent answer about a token, if it is kept. A cache that cannot be read, or that another
    /// release has written, counts as empty.
    fn kept(&self, digest: &TokenDigest) -> Option<Token> {
        if !self.keeps_tokens() {
            return None;
        }
        let row = self.store.token(digest).ok().flatten()?;
        let checked_at = Timestamp::from_microseconds(row.checked);
        // If the clock was set back, an answer must not last longer.
        let is_fresh = checked_at <= self.now && self.now < checked_at.plus_seconds(self.settings.cache_seconds);
        if is_fresh { Some(row.into()) } else { None }
    }

    fn keep(&self, digest: TokenDigest, token: &Token) {
        if self.keeps_tokens() {
            // After a failure the next request asks Keystone again. The request's own use of the store reports the
            // failure.
            let _ = self.store.keep_token(&StoredToken::new(digest, self.now, token));
        }
    }

    /// Asks Keystone. If it rejects the service user's token, asks once more with a new one.
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
                status => return Err(unexpected("it was to validate a token", status)),
            }
        }
        let user = &self.settings.user;
        Err(KeystoneError::Unavailable(format!("it rejects the token that it has issued to {user}")))
    }

    /// Logs the service user in, and returns its token.
    fn log_in(&self) -> Result<String, KeystoneError> {
        let answer = self.send(&messages::login(self.settings, &self.password()))?;
        if !answer.status.is_success() {
            return Err(unexpected(&format!("the user {} was to log in", self.settings.user), answer.status));
        }
        let (token, expires_at) = messages::own_token(&answer)?;
        if let Some(sealed) = self.sealing_key().and_then(|key| sealing::seal(&key, &token, self.identifiers)) {
            // After a failure the next request logs in again.
            let _ = self.store.keep_own_token(expires_at, sealed);
        }
        Ok(token)
    }

    /// Returns the kept token of the service user, unless it expires soon.
    fn own_token(&self) -> Option<String> {
        let (expires_at, sealed) = self.store.own_token().ok().flatten()?;
        if expires_at <= self.now.plus_seconds(SPARE_SECONDS) {
            return None;
        }
        sealing::open(&self.sealing_key()?, &sealed)
    }

    /// Returns the key that seals the service user's token. Only those who know the password can make it, and a change
    /// of any of these settings changes it. Without a password there is no secret, so there is no key, and the token is
    /// not kept.
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

/// The name of a service's role in a stored token.
const SERVICE: &str = "service";

impl StoredToken {
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

impl From<StoredToken> for Token {
    fn from(stored: StoredToken) -> Self {
        let has = |role: &str| stored.roles.split(' ').any(|own| own == role);
        let roles = Roles { admin: has("admin"), member: has("member"), reader: has("reader") };
        Self {
            roles,
            is_service: has(SERVICE),
            user_id: stored.user,
            project_id: stored.project,
            expires_at: Timestamp::from_microseconds(stored.expires),
            access_rules: stored.rules.map(|rules| rules.iter().filter_map(|rule| AccessRule::read(rule)).collect()),
        }
    }
}
