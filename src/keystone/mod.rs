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
use crate::store::refusals::{FailedLogin, Known, Refusal, Refusals};
use crate::store::tokens::{StoredToken, TokenDigest};
use crate::store::{Identifiers, KeyValue, Notes, Store};

pub use access_rules::AccessRule;

/// The longest token, in bytes, that Keystone is asked about. Its own have about 200 to 1,000 bytes.
const LONGEST_TOKEN: usize = 8 * 1024;

/// The time before its expiry when the service user's own token is no longer used.
const SPARE_SECONDS: f64 = 30.0;

/// How long a token that Keystone refused is refused without asking again. A token that Keystone does not know never becomes
/// valid, but one server of several may learn of it a moment later.
const REFUSAL_SECONDS: f64 = 5.0;

/// The seconds that a write of the refusals takes up, so that junk does not cost a commit each: one write a second.
const SECONDS_PER_WRITE: f64 = 1.0;

/// How far ahead of the clock writes may take up seconds. One second allows two writes at once after a pause, so that the
/// refusal of one token does not keep the next from being remembered.
const SECONDS_AHEAD: f64 = 1.0;

/// The least time between two lines in the log about a Keystone that does not answer.
const SECONDS_BETWEEN_LOG_LINES: f64 = 10.0;

/// The longest pause after failed logins of the service user. The first pause lasts a second, and each is twice as long as
/// the one before.
const LONGEST_PAUSE_SECONDS: u32 = 30;

/// How long a failed login makes the next pause longer.
const FAILURE_COUNTS_SECONDS: f64 = 120.0;

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
    /// Keystone cannot be asked, and the log has said so a moment ago.
    #[error("Keystone still cannot validate tokens")]
    StillUnavailable,
    /// The service user's login has failed. The cause is for the log. `is_refusal` tells a user that Keystone does not let in
    /// from a Keystone that does not answer.
    #[error("Keystone cannot validate tokens: {cause}")]
    LoginFailed { cause: String, is_refusal: bool },
    /// The service user's login has failed a moment ago, so it is not repeated for now.
    #[error("Keystone is not asked for {seconds} s, because a login has failed")]
    Paused { seconds: u32, is_refusal: bool },
}

/// The parts of Keystone's answer about a token that are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub user_id: UserId,
    /// `None` for a token that is scoped to a domain or to the system, or is unscoped.
    pub project_id: Option<ProjectId>,
    pub roles: Roles,
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
    /// The time before Keystone is asked.
    pub now: Timestamp,
    /// Reads the clock, because Keystone may take long to answer.
    pub clock: &'a dyn Fn() -> Timestamp,
}

impl<'a> Keystone<'a> {
    /// Returns Keystone as a request sees it, with its cache of tokens in the store over `key_value`.
    #[must_use]
    pub fn new(
        settings: &'a KeystoneSettings,
        variables: &'a dyn Variables,
        key_value: &'a dyn KeyValue,
        identifiers: &'a dyn Identifiers,
        notes: &'a Notes,
        outbound: &'a dyn Outbound,
        clock: &'a dyn Fn() -> Timestamp,
    ) -> Self {
        let store = Store::new(key_value, identifiers, notes);
        Self { settings, variables, store, identifiers, outbound, now: clock(), clock }
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
        let token = match self.kept(&digest) {
            Some(token) => token,
            None => self.ask(token, digest, may_be_expired)?,
        };
        if token.expires_at <= self.now && !may_be_expired {
            return Err(KeystoneError::InvalidToken);
        }
        Ok(token)
    }

    /// Logs the service user in, unless its token is kept.
    ///
    /// # Errors
    ///
    /// Fails with [`KeystoneError::LoginFailed`], or with [`KeystoneError::Paused`] after it.
    pub fn check_login(&self) -> Result<(), KeystoneError> {
        let known = self.store.known_of_keystone();
        if self.own_token(&known).is_some() {
            return Ok(());
        }
        if self.password().is_empty() {
            let cause = format!("variable {KEYSTONE_PASSWORD} is empty");
            return Err(KeystoneError::LoginFailed { cause, is_refusal: true });
        }
        self.log_in(&known, None).map(drop)
    }

    /// Asks Keystone about a token, unless the answer is known to be a refusal, and keeps its answer.
    fn ask(&self, token: &str, digest: TokenDigest, may_be_expired: bool) -> Result<Token, KeystoneError> {
        let known = self.store.known_of_keystone();
        let lasts = self.settings.cache_seconds.min(REFUSAL_SECONDS);
        let refused_at = known.refusals.refused_at(&digest, may_be_expired);
        if refused_at.is_some_and(|time| self.is_within(time, lasts)) {
            return Err(KeystoneError::InvalidToken);
        }
        let answer = self.validate(&known, token, may_be_expired);
        match &answer {
            Ok(token) => self.keep(digest, token),
            Err(KeystoneError::InvalidToken) => self.keep_refusal(digest, may_be_expired),
            Err(KeystoneError::Unavailable(_)) if !self.may_log() => return Err(KeystoneError::StillUnavailable),
            Err(_) => {}
        }
        answer
    }

    /// Returns whether less than `seconds` have passed since a time. A time in the future of the clock is one from before the
    /// clock was set back, and says nothing.
    fn is_within(&self, time: Timestamp, seconds: f64) -> bool {
        is_within(self.now, time, seconds)
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
        if self.is_within(checked_at, self.settings.cache_seconds) { Some(row.into()) } else { None }
    }

    fn keep(&self, digest: TokenDigest, token: &Token) {
        if self.keeps_tokens() {
            // After a failure the next request asks Keystone again. The request's own use of the store reports the
            // failure.
            let _ = self.store.keep_token(&StoredToken::new(digest, self.now, token));
        }
    }

    /// Keeps a refusal, unless enough was written lately. The refusals are read again, because they may have changed while
    /// Keystone was asked.
    fn keep_refusal(&self, digest: TokenDigest, may_be_expired: bool) {
        let mut refusals = self.store.refusals();
        if self.keeps_tokens() && self.takes_a_write(&mut refusals) {
            refusals.add(Refusal { digest, may_be_expired, refused_at: self.now });
            // After a failure the next request asks Keystone again.
            let _ = self.store.keep_refusals(&refusals);
        }
    }

    /// Returns whether the log may say again that Keystone does not answer. Any client can cause such an error, with any
    /// token, so not every one is worth a line.
    fn may_log(&self) -> bool {
        let mut refusals = self.store.refusals();
        let may_log =
            !self.is_within(refusals.logged_at, SECONDS_BETWEEN_LOG_LINES) && self.takes_a_write(&mut refusals);
        if may_log {
            refusals.logged_at = self.now;
            let _ = self.store.keep_refusals(&refusals);
        }
        may_log
    }

    /// Takes up the seconds of one write, unless they are used up.
    fn takes_a_write(&self, refusals: &mut Refusals) -> bool {
        // A time further ahead is one from before the clock was set back.
        let is_ahead = refusals.used_until > self.now
            && refusals.used_until <= self.now.plus_seconds(SECONDS_AHEAD + SECONDS_PER_WRITE);
        let used_until = if is_ahead { refusals.used_until } else { self.now };
        let may_write = used_until <= self.now.plus_seconds(SECONDS_AHEAD);
        if may_write {
            refusals.used_until = used_until.plus_seconds(SECONDS_PER_WRITE);
        }
        may_write
    }

    /// Asks Keystone. If it rejects the service user's token, asks once more with a new one.
    fn validate(&self, known: &Known, token: &str, may_be_expired: bool) -> Result<Token, KeystoneError> {
        let mut own_token = self.own_token(known);
        let mut rejected = None;
        for _ in 0..2 {
            let own = match own_token.take() {
                Some(own) => own,
                None => self.log_in(known, rejected.as_deref())?,
            };
            let request = messages::validation(&self.settings.url, &own, token, may_be_expired);
            let answer = self.send(&request.ok_or(KeystoneError::InvalidToken)?)?;
            match answer.status {
                StatusCode::OK => return messages::token(&answer.body),
                StatusCode::NOT_FOUND => return Err(KeystoneError::InvalidToken),
                StatusCode::UNAUTHORIZED => rejected = Some(own),
                status => return Err(unexpected("it was to validate a token", status)),
            }
        }
        let cause = format!("it rejects the token that it has issued to {}", self.settings.user);
        Err(self.login_failed(known, rejected.as_deref(), cause, true))
    }

    /// Fails while the service user does not log in because a login has failed.
    fn refuse_in_pause(&self, known: &Known) -> Result<(), KeystoneError> {
        let Some(failed) = self.failed_login(known, self.now) else { return Ok(()) };
        let length = pause_seconds(failed.failures);
        let left = |passed: &u32| self.is_within(failed.failed_at, f64::from(*passed));
        match (1..=length).find(left) {
            Some(passed) => Err(KeystoneError::Paused { seconds: length + 1 - passed, is_refusal: failed.is_refusal }),
            None => Ok(()),
        }
    }

    /// Returns the last login if it failed with these settings, not long before `now`.
    fn failed_login<'k>(&self, known: &'k Known, now: Timestamp) -> Option<&'k FailedLogin> {
        let failed = known.failed_login.as_ref()?;
        (is_within(now, failed.failed_at, FAILURE_COUNTS_SECONDS) && failed.of == self.login_digest()).then_some(failed)
    }

    /// Returns the digest of the settings and the password of a login.
    fn login_digest(&self) -> TokenDigest {
        TokenDigest::new(self.settings_digest("a failed login", &self.password()))
    }

    /// Begins a pause, and returns the error for the failed login. `known` is from before the login.
    ///
    /// A login may take as long as Keystone hangs, and others may have logged in or failed meanwhile. So the record is read
    /// again: after a login that worked there is no pause, and after failures the pause never gets shorter.
    fn login_failed(&self, known: &Known, rejected: Option<&str>, cause: String, is_refusal: bool) -> KeystoneError {
        let current = self.store.known_of_keystone();
        let own_token = self.own_token(&current);
        if own_token.is_none() || own_token.as_deref() == rejected {
            let now = (self.clock)();
            let failures = |known| self.failed_login(known, now).map_or(0, |failed| failed.failures);
            let failures = failures(known).saturating_add(1).max(failures(&current));
            self.begin_pause(failures, now, is_refusal);
            self.forget_rejected(&current, rejected);
        }
        KeystoneError::LoginFailed { cause, is_refusal }
    }

    fn begin_pause(&self, failures: u32, failed_at: Timestamp, is_refusal: bool) {
        let failed = FailedLogin { of: self.login_digest(), failed_at, failures, is_refusal };
        // After a failure the next request logs in again.
        let _ = self.store.keep_failed_login(Some(&failed));
    }

    /// Forgets the service user's own token if it is the one that Keystone has rejected. In a pause nothing replaces it, and
    /// each request would try it.
    fn forget_rejected(&self, known: &Known, rejected: Option<&str>) {
        if rejected.is_some() && self.own_token(known).as_deref() == rejected {
            // After a failure the next request tries it, and forgets it then.
            let _ = self.store.forget_own_token();
        }
    }

    /// Logs the service user in, and returns its token. A failure begins a pause. `rejected` is the token that Keystone no
    /// longer accepts, if there is one.
    fn log_in(&self, known: &Known, rejected: Option<&str>) -> Result<String, KeystoneError> {
        self.refuse_in_pause(known).inspect_err(|_| self.forget_rejected(known, rejected))?;
        let failed_before = self.failed_login(known, self.now);
        if let Some(failed) = failed_before {
            // The next pause begins before Keystone is asked, so that no other request asks meanwhile.
            self.begin_pause(failed.failures.saturating_add(1), self.now, failed.is_refusal);
        }
        let (token, expires_at) = self
            .attempt_login()
            .map_err(|(cause, is_refusal)| self.login_failed(known, rejected, cause, is_refusal))?;
        if let Some(sealed) = self.sealing_key().and_then(|key| sealing::seal(&key, &token, self.identifiers)) {
            // After a failure the next request logs in again.
            let _ = self.store.keep_own_token(expires_at, sealed);
        }
        if failed_before.is_some() {
            let _ = self.store.keep_failed_login(None);
        }
        Ok(token)
    }

    /// Logs the service user in. Returns its token and the expiry, or the cause of the failure and whether Keystone refused.
    fn attempt_login(&self) -> Result<(String, Timestamp), (String, bool)> {
        let request = messages::login(self.settings, &self.password());
        let answer = self.outbound.send(&request, self.settings.timeout).map_err(|cause| (cause, false))?;
        let status = answer.status;
        if !status.is_success() {
            let cause = format!("it answered {} when the user {} was to log in", status.as_u16(), self.settings.user);
            // These two ask for a later attempt, so they say nothing about the user.
            let is_busy = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
            return Err((cause, status.is_client_error() && !is_busy));
        }
        messages::own_token(&answer).ok_or_else(|| (messages::NONSENSE.to_owned(), false))
    }

    /// Returns the kept token of the service user, unless it expires soon.
    fn own_token(&self, known: &Known) -> Option<String> {
        let (expires_at, sealed) = known.own_token.as_ref()?;
        if *expires_at <= self.now.plus_seconds(SPARE_SECONDS) {
            return None;
        }
        sealing::open(&self.sealing_key()?, sealed)
    }

    /// Returns the key that seals the service user's token. Only those who know the password can make it, and a change
    /// of any of these settings changes it. Without a password there is no secret, so there is no key, and the token is
    /// not kept.
    fn sealing_key(&self) -> Option<[u8; 32]> {
        let password = self.password();
        (!password.is_empty()).then(|| self.settings_digest("the token of a service user", &password))
    }

    /// Returns the digest of the service user's settings and password, for one purpose.
    fn settings_digest(&self, purpose: &str, password: &str) -> [u8; 32] {
        let KeystoneSettings { url, user, project, user_domain, project_domain, .. } = self.settings;
        let mut hash = Sha256::new();
        for part in [purpose, url, user, project, user_domain, project_domain, password] {
            hash.update(part);
            hash.update([0]);
        }
        hash.finalize().into()
    }

    fn password(&self) -> String {
        self.variables.get(KEYSTONE_PASSWORD).unwrap_or_default()
    }

    fn send(&self, request: &OutboundRequest) -> Result<OutboundAnswer, KeystoneError> {
        self.outbound.send(request, self.settings.timeout).map_err(KeystoneError::Unavailable)
    }
}

/// Returns whether less than `seconds` have passed from `time` to `now`. A later `time` has not come yet.
fn is_within(now: Timestamp, time: Timestamp, seconds: f64) -> bool {
    time <= now && now < time.plus_seconds(seconds)
}

/// Returns the length of the pause after a number of failed logins in a row.
fn pause_seconds(failures: u32) -> u32 {
    let doubled = 1_u32.checked_shl(failures.saturating_sub(1));
    doubled.map_or(LONGEST_PAUSE_SECONDS, |seconds| seconds.min(LONGEST_PAUSE_SECONDS))
}

fn unexpected(when: &str, status: StatusCode) -> KeystoneError {
    KeystoneError::Unavailable(format!("it answered {} when {when}", status.as_u16()))
}

/// The name of the role with which a service vouches for a user's token.
pub const SERVICE: &str = "service";

impl StoredToken {
    fn new(digest: TokenDigest, checked_at: Timestamp, token: &Token) -> Self {
        let Roles { admin, member, reader, service } = token.roles;
        let mut roles = Vec::new();
        for (has, name) in [(admin, "admin"), (member, "member"), (reader, "reader"), (service, SERVICE)] {
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
        let roles = Roles { admin: has("admin"), member: has("member"), reader: has("reader"), service: has(SERVICE) };
        Self {
            roles,
            user_id: stored.user,
            project_id: stored.project,
            expires_at: Timestamp::from_microseconds(stored.expires),
            access_rules: stored.rules.map(|rules| rules.iter().filter_map(|rule| AccessRule::read(rule)).collect()),
        }
    }
}
