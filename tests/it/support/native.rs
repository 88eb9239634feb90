//! The core alone, on a store in memory, with a clock that the test sets.

use std::cell::RefCell;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use http::{Request, Response};
use uuid::Uuid;
use volume_snapshots::api::request::{Body, Headers, Origin, Request as CoreRequest};
use volume_snapshots::api::{self, Environment};
use volume_snapshots::domain::Timestamp;
use volume_snapshots::keystone::{Outbound, OutboundAnswer, OutboundRequest};
use volume_snapshots::settings::{AUTH_MODE, KEYSTONE_PASSWORD, KEYSTONE_SETTINGS, OPS_TOKEN, SETTINGS, Variables};
use volume_snapshots::store::{Identifiers, KeyValue, Notes};

use super::memory_key_value::MemoryKeyValue;
use super::{ClockedService, Service};

/// Ids that count up, so that a failure can be repeated. They have the form of random ones.
#[derive(Debug, Default)]
pub struct CountingIdentifiers(AtomicU64);

impl Identifiers for CountingIdentifiers {
    fn uuid(&self) -> Uuid {
        let number = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        Uuid::from_u128(0x1000_0000_0000_4000_8000_0000_0000_0000 | u128::from(number))
    }
}

/// The variables of `spin.toml`, with changes.
#[derive(Debug, Clone)]
pub struct TestVariables(Vec<(&'static str, String)>);

impl Default for TestVariables {
    fn default() -> Self {
        let defaults = [
            ("auth_mode", "noauth"),
            ("keystone_cache_seconds", "60"),
            ("keystone_timeout_seconds", "10"),
            ("keystone_url", ""),
            ("keystone_user", "cinder"),
            ("keystone_project", "service"),
            ("keystone_user_domain", "Default"),
            ("keystone_project_domain", "Default"),
            ("www_authenticate_uri", ""),
            ("progression", "time"),
            ("create_seconds", "2"),
            ("delete_seconds", "1"),
            ("give_up_seconds", "3600"),
            ("give_up", "error"),
            ("quota_snapshots", "10"),
            ("quota_gigabytes", "1000"),
            ("max_limit", "1000"),
            ("max_page_bytes", "2097152"),
            ("max_metadata_bytes", "262144"),
            ("rows_per_tick", "1000"),
            ("cascade_at_once", "1000"),
            ("default_volume_type", "__DEFAULT__"),
            ("message_ttl_seconds", "2592000"),
            ("public_endpoint", ""),
        ];
        Self(defaults.map(|(name, value)| (name, value.to_owned())).to_vec())
    }
}

impl TestVariables {
    /// Returns the variables with one changed value.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        let place = self.0.iter_mut().find(|(own, _)| *own == name).expect("a variable of spin.toml");
        value.clone_into(&mut place.1);
        self
    }
}

impl Variables for TestVariables {
    fn get(&self, name: &str) -> Result<String, String> {
        match name {
            AUTH_MODE => Ok(self.0.iter().find(|(own, _)| *own == AUTH_MODE).expect("set").1.clone()),
            SETTINGS | KEYSTONE_SETTINGS => {
                let is_for_keystone = |own: &str| {
                    own == "www_authenticate_uri" || (own.starts_with("keystone_") && !own.ends_with("_seconds"))
                };
                let others = self.0.iter().filter(|(own, _)| *own != AUTH_MODE);
                let own = others.filter(|(own, _)| is_for_keystone(own) == (name == KEYSTONE_SETTINGS));
                let lines: Vec<String> = own.map(|(name, value)| format!("{name}={value}")).collect();
                Ok(lines.join("\n"))
            }
            KEYSTONE_PASSWORD => Ok(String::new()),
            OPS_TOKEN => Ok(super::OPS_TOKEN.to_owned()),
            _ => Err(format!("no variable '{name}'")),
        }
    }
}

/// A network without any other service.
struct Nowhere;

impl Outbound for Nowhere {
    fn send(&self, request: &OutboundRequest, _timeout: Duration) -> Result<OutboundAnswer, String> {
        Err(format!("nothing was to be sent, least of all to {}", request.uri))
    }
}

/// The core with its surroundings.
#[derive(Debug, Default)]
pub struct NativeService {
    pub key_value: MemoryKeyValue,
    identifiers: CountingIdentifiers,
    pub variables: TestVariables,
    /// Microseconds since the epoch.
    now: AtomicI64,
    pub log: RefCell<Vec<String>>,
}

impl NativeService {
    /// Returns a service with changed variables.
    pub fn with_variables(variables: TestVariables) -> Self {
        let service = Self { variables, ..Self::default() };
        service.set_now(Timestamp::from_seconds(1_790_000_000));
        service
    }

    /// Returns another process on the same store, at the same time. Its ids differ from those of processes with other numbers.
    pub fn process(&self, number: u64) -> Self {
        let identifiers = CountingIdentifiers(AtomicU64::new(number << 32));
        let process = Self {
            key_value: self.key_value.clone(),
            identifiers,
            variables: self.variables.clone(),
            ..Self::default()
        };
        process.set_now(self.now());
        process
    }

    /// Sets the clock.
    pub fn set_now(&self, now: Timestamp) {
        self.now.store(now.microseconds(), Ordering::Relaxed);
    }

    /// Returns the time.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_microseconds(self.now.load(Ordering::Relaxed))
    }

    /// Moves the clock forward.
    pub fn advance(&self, seconds: f64) {
        self.set_now(self.now().plus_seconds(seconds));
    }
}

impl NativeService {
    /// Sends a request that uses another store than [`NativeService::key_value`].
    pub fn send_through(&self, key_value: &dyn KeyValue, request: Request<Vec<u8>>) -> Response<Vec<u8>> {
        let (parts, body) = request.into_parts();
        let whole = |largest| if body.len() > largest { Body::TooLarge } else { Body::Complete(body.clone()) };
        self.send_body(key_value, Request::from_parts(parts, &whole))
    }

    /// Sends a request whose body is read by a function.
    pub fn send_body(&self, key_value: &dyn KeyValue, request: Request<&dyn Fn(usize) -> Body>) -> Response<Vec<u8>> {
        let environment = Environment {
            key_value,
            identifiers: &self.identifiers,
            variables: &self.variables,
            outbound: &Nowhere,
            notes: Notes::default(),
            now: self.now(),
            clock: &|| self.now(),
            log: &|line| self.log.borrow_mut().push(line.to_owned()),
        };
        let (parts, body) = request.into_parts();
        let entries = parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let headers = Headers::read(entries);
        let request = CoreRequest {
            method: parts.method,
            path: parts.uri.path(),
            query: parts.uri.query().unwrap_or_default(),
            headers,
            body,
            origin: &|| Origin {
                is_https: parts.uri.scheme_str() == Some("https"),
                authority: parts.uri.authority().map(ToString::to_string),
            },
        };
        let answer = api::handle(&request, &environment);
        let mut response = Response::new(answer.body.pieces().concat());
        *response.status_mut() = answer.status;
        for (name, value) in answer.headers {
            response.headers_mut().append(name, value.parse().expect("the core sends what may stand in a header"));
        }
        response
    }
}

impl Service for NativeService {
    fn send(&self, request: Request<Vec<u8>>) -> Response<Vec<u8>> {
        self.send_through(&self.key_value, request)
    }
}

impl ClockedService for NativeService {
    fn advance(&self, seconds: f64) {
        Self::advance(self, seconds);
    }
}
