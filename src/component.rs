//! The shell: the only code that knows Spin. It turns the two exports of the component into calls of the core, and
//! hands the core Spin's key-value store, clock, randomness and variables.
//!
//! It must not know the API: what a path, a body or a status means is none of its business.
//!
//! An instance ends with its request, and what the host keeps for it ends too. So nothing is given back here, except for
//! a stream, which has to go before its body ends, and what there may be many of. That is for the sake of speed: to give
//! something back is a function of the host, and the host makes each function that a component imports ready for each
//! request, needed or not (`docs/adr/0010-fewer-functions-of-the-host.md`). For the same reason one function does where
//! two would do the same.

use std::cell::{Cell, OnceCell};
use std::mem::{ManuallyDrop, forget};

use http::{HeaderName, StatusCode};
use spin_sdk::variables;
use uuid::Uuid;
use wasi::clocks::{monotonic_clock, wall_clock};
use wasi::http::types::{Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam, Scheme};
use wasi::io::streams::OutputStream;

use crate::api::request::{Body, Headers, Origin, Request};
use crate::api::{self, Answer, Environment};
use crate::domain::Timestamp;
use crate::domain::lifecycle::Moment;
use crate::headers::Header;
use crate::settings::{LazySettings, SettingsError, Variables};
use crate::store::key_value::{ReadToSwap, Swap, in_order};
use crate::store::{Identifiers, KeyValue, Store, StoreError};
use crate::tick;

use bindings::Component;
use bindings::wasi::keyvalue::{atomics, batch, store};

mod outbound;

/// The bindings of `wit/world.wit`, beside those that spin-sdk brings.
mod bindings {
    #![expect(unsafe_code, clippy::pedantic, reason = "generated")]
    #![allow(clippy::all, reason = "generated")]

    wit_bindgen::generate!({ path: "wit", world: "scheduled", generate_all });

    pub(super) struct Component;
    export!(Component);
}

/// The label of the store in `spin.toml`.
const STORE: &str = "default";

/// How often a call is tried again that another process has locked out.
const LOCKED_ATTEMPTS: u32 = 8;

/// How many bytes of a body are asked for at once.
const CHUNK: u64 = 64 * 1024;

impl bindings::Guest for Component {
    /// The scheduled export. It takes the time from the clock, which is finer than the trigger's whole seconds and is
    /// what requests use.
    fn handle_cron_event(_metadata: bindings::Metadata) -> Result<(), bindings::Error> {
        let key_value = SpinKeyValue::default();
        let wrong = |error: SettingsError| bindings::Error::Other(error.to_string());
        let settings = LazySettings::new(&SpinVariables);
        let rows = settings.checked().map_err(wrong)?.rows_per_tick;
        let store = Store::new(&key_value, &RandomIdentifiers);
        let report = tick::run(&store, Moment::scheduled(now()), rows);
        report.map(drop).map_err(|error| bindings::Error::Other(error.to_string()))
    }
}

/// The HTTP export. It is that of the `wasi` crate: the one of spin-sdk brings an executor of futures, which nothing here
/// needs and which is 6 KB.
impl wasi::exports::http::incoming_handler::Guest for Component {
    fn handle(request: IncomingRequest, response_out: ResponseOutparam) {
        serve(request, response_out);
    }
}

wasi::http::proxy::export!(Component);

/// Answers a request of the HTTP trigger.
fn serve(incoming: IncomingRequest, response_out: ResponseOutparam) {
    let incoming = ManuallyDrop::new(incoming);
    let Some(method) = method(incoming.method()) else {
        // Spin has parsed this request already, so what cannot be read here is no HTTP that a client meant.
        write(Answer { status: StatusCode::BAD_REQUEST, headers: Vec::new(), body: Vec::new() }, response_out);
        return;
    };
    let path_with_query = ManuallyDrop::new(incoming.path_with_query().unwrap_or_default());
    let (path, query) = path_with_query.split_once('?').unwrap_or((&path_with_query, ""));
    // A target such as `http://host?a=1` has none.
    let path = if path.is_empty() { "/" } else { path };
    let fields = ManuallyDrop::new(incoming.headers());
    let entries = ManuallyDrop::new(fields.entries());
    let headers = Headers::read(entries.iter().map(|(name, value)| (name.as_str(), value.as_slice())));
    let body = read_body(&incoming, &method, path, &headers);
    let origin =
        || Origin { is_https: matches!(incoming.scheme(), Some(Scheme::Https)), authority: incoming.authority() };
    let request = ManuallyDrop::new(Request { method, path, query, headers, body, origin: &origin });
    let key_value = ManuallyDrop::new(SpinKeyValue::default());
    let environment = Environment {
        key_value: &*key_value,
        identifiers: &RandomIdentifiers,
        variables: &SpinVariables,
        outbound: &outbound::SpinOutbound,
        now: now(),
        log: &|line| eprintln!("{line}"),
    };
    write(api::handle(&request, &environment), response_out);
}

fn method(method: Method) -> Option<http::Method> {
    Some(match method {
        Method::Get => http::Method::GET,
        Method::Head => http::Method::HEAD,
        Method::Post => http::Method::POST,
        Method::Put => http::Method::PUT,
        Method::Delete => http::Method::DELETE,
        Method::Connect => http::Method::CONNECT,
        Method::Options => http::Method::OPTIONS,
        Method::Trace => http::Method::TRACE,
        Method::Patch => http::Method::PATCH,
        Method::Other(name) => http::Method::from_bytes(name.as_bytes()).ok()?,
    })
}

/// Reads the body of a request, no more of it than the core wants.
fn read_body(request: &IncomingRequest, method: &http::Method, path: &str, headers: &Headers<'_>) -> Body {
    let mut bytes = Vec::new();
    // Whoever sends a body with one of these says how long it is; else the host is spared the calls that end in nothing.
    if matches!(*method, http::Method::GET | http::Method::DELETE) && !headers.has(Header::ContentLength) {
        return Body::Complete(bytes);
    }
    let largest = api::largest_body(path, headers, &SpinVariables);
    let Ok(body) = request.consume().map(ManuallyDrop::new) else { return Body::Complete(bytes) };
    let Ok(stream) = body.stream().map(ManuallyDrop::new) else { return Body::Complete(bytes) };
    // A failure ends the body as its end does: what is cut short is no JSON any more, and is refused as such.
    while let Ok(chunk) = stream.blocking_read(CHUNK).map_err(forget) {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > largest {
            return Body::TooLarge;
        }
    }
    Body::Complete(bytes)
}

/// Writes an answer. A client that has gone away is nobody's fault, so failures end the writing and nothing else.
///
/// What the host takes of the body without waiting it has before the head is sent, so that a small answer leaves in one
/// piece. In two, the second waits some 40 ms for the client's acknowledgement of the first wherever the server has not
/// set `TCP_NODELAY`, and Spin has not (`docs/adr/0008-what-a-request-costs-on-spin.md`).
fn write(answer: Answer, response_out: ResponseOutparam) {
    let entry = |(name, value): (HeaderName, String)| (name.as_str().to_owned(), value.into_bytes());
    let entries: ManuallyDrop<Vec<(String, Vec<u8>)>> =
        ManuallyDrop::new(answer.headers.into_iter().map(entry).collect());
    // The core lets nothing through that cannot stand in a header, so none is refused; the host would answer with a 500.
    let Ok(fields) = Fields::from_list(&entries) else {
        eprintln!("the headers {:?} cannot be sent", *entries);
        return;
    };
    let response = OutgoingResponse::new(fields);
    if answer.status != StatusCode::OK && response.set_status_code(answer.status.as_u16()).is_err() {
        eprintln!("the status {} cannot be sent", answer.status);
    }
    let bytes = ManuallyDrop::new(answer.body);
    if bytes.is_empty() {
        ResponseOutparam::set(response_out, Ok(response));
        return;
    }
    let Ok(body) = response.body() else { return };
    let Ok(stream) = body.write() else { return };
    let Ok(rest) = write_some(&stream, &bytes) else { return };
    if rest.is_empty() {
        finish(stream, body);
        ResponseOutparam::set(response_out, Ok(response));
    } else {
        ResponseOutparam::set(response_out, Ok(response));
        if write_all(&stream, rest).is_ok() {
            finish(stream, body);
        }
    }
}

/// Writes what the host takes of some bytes without waiting, and returns the others.
fn write_some<'a>(stream: &OutputStream, bytes: &'a [u8]) -> Result<&'a [u8], ()> {
    let room = usize::try_from(stream.check_write().map_err(forget)?).unwrap_or(usize::MAX);
    let (taken, rest) = bytes.split_at(bytes.len().min(room));
    if !taken.is_empty() {
        stream.write(taken).map_err(forget)?;
    }
    Ok(rest)
}

/// Writes bytes as fast as the client takes them.
fn write_all(stream: &OutputStream, mut bytes: &[u8]) -> Result<(), ()> {
    while !bytes.is_empty() {
        stream.subscribe().block();
        bytes = write_some(stream, bytes)?;
    }
    Ok(())
}

/// Ends a body; what was written of it is on its way.
fn finish(stream: OutputStream, body: OutgoingBody) {
    drop(stream);
    if OutgoingBody::finish(body, None).is_err() {
        eprintln!("the answer did not arrive whole");
    }
}

/// What the clock says.
fn now() -> Timestamp {
    let now = wall_clock::now();
    let microseconds = i64::try_from(now.seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    Timestamp::from_microseconds(microseconds.saturating_add(i64::from(now.nanoseconds / 1_000)))
}

struct RandomIdentifiers;

impl Identifiers for RandomIdentifiers {
    fn uuid(&self) -> Uuid {
        Uuid::new_v4()
    }
}

struct SpinVariables;

impl Variables for SpinVariables {
    fn get(&self, name: &str) -> Result<String, String> {
        variables::get(name).map_err(|error| error.to_string())
    }
}

/// Spin's key-value store, opened when it is first needed.
#[derive(Default)]
struct SpinKeyValue {
    bucket: OnceCell<ManuallyDrop<store::Bucket>>,
    /// Whether reading many values has failed; a backend that has no such call is asked for it once in an invocation.
    reads_one_by_one: Cell<bool>,
}

impl SpinKeyValue {
    fn bucket(&self) -> Result<&store::Bucket, StoreError> {
        if let Some(bucket) = self.bucket.get() {
            return Ok(bucket);
        }
        let bucket = ManuallyDrop::new(store::open(STORE).map_err(failed)?);
        Ok(self.bucket.get_or_init(|| bucket))
    }

    /// Makes a call again while another process has the database locked; it has had no effect then.
    fn retry<T>(&self, call: impl Fn(&store::Bucket) -> Result<T, store::Error>) -> Result<T, StoreError> {
        let bucket = self.bucket()?;
        for attempt in 0..LOCKED_ATTEMPTS {
            match call(bucket) {
                Err(error) if is_locked(&error) => self.pause(attempt),
                result => return result.map_err(failed),
            }
        }
        call(bucket).map_err(failed)
    }
}

fn failed(error: store::Error) -> StoreError {
    StoreError::Failed(match error {
        store::Error::NoSuchStore => format!("there is no store '{STORE}'"),
        store::Error::AccessDenied => format!("spin.toml gives no access to the store '{STORE}'"),
        store::Error::Other(text) => text,
    })
}

fn is_locked(error: &store::Error) -> bool {
    matches!(error, store::Error::Other(text) if text.contains("database is locked"))
}

/// An empty value stands for none; see [`KeyValue::get`].
fn present(value: Option<Vec<u8>>) -> Option<Vec<u8>> {
    value.filter(|bytes| !bytes.is_empty())
}

impl KeyValue for SpinKeyValue {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.retry(|bucket| bucket.get(key)).map(present)
    }

    /// One backend has no such call (`design/spin-facts.md`), so single reads stand in where it fails.
    fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        if keys.len() > 1 && !self.reads_one_by_one.get() {
            if let Ok(found) = self.retry(|bucket| batch::get_many(bucket, keys)) {
                return Ok(in_order(keys, found).into_iter().map(present).collect());
            }
            self.reads_one_by_one.set(true);
        }
        keys.iter().map(|key| self.get(key)).collect()
    }

    /// One entry too: `SQLite` commits once either way.
    fn set_many(&self, entries: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
        self.retry(|bucket| batch::set_many(bucket, entries))
    }

    fn delete_many(&self, keys: &[String]) -> Result<(), StoreError> {
        self.retry(|bucket| batch::delete_many(bucket, keys))
    }

    fn keys(&self) -> Result<Vec<String>, StoreError> {
        self.retry(|bucket| bucket.list_keys(None)).map(|answer| answer.keys)
    }

    fn increment(&self, key: &str, delta: i64) -> Result<i64, StoreError> {
        self.retry(|bucket| atomics::increment(bucket, key, delta))
    }

    fn read_to_swap<'a>(&'a self, key: &str) -> Result<ReadToSwap<'a>, StoreError> {
        let cas = self.retry(|bucket| atomics::Cas::new(bucket, key))?;
        let value = self.retry(|_| cas.current())?;
        Ok(ReadToSwap { value: present(value), handle: Box::new(SpinSwap(cas)) })
    }

    /// Waits 2 to 4 ms, then twice as long with each attempt, up to about a quarter of a second. The half that is
    /// random keeps writers that met once from meeting again.
    fn pause(&self, attempt: u32) {
        let longest = 4_000_u64 << attempt.min(6);
        let microseconds = longest / 2 + RandomIdentifiers.number() % (longest / 2);
        monotonic_clock::subscribe_duration(microseconds * 1_000).block();
    }
}

struct SpinSwap(atomics::Cas);

impl Swap for SpinSwap {
    fn swap(self: Box<Self>, value: &[u8]) -> Result<bool, StoreError> {
        match atomics::swap(self.0, value) {
            Ok(()) => Ok(true),
            Err(atomics::CasError::CasFailed(_)) => Ok(false),
            // A locked database has written nothing: that is a lost race and no failure.
            Err(atomics::CasError::StoreError(error)) if is_locked(&error) => Ok(false),
            Err(atomics::CasError::StoreError(error)) => Err(failed(error)),
        }
    }
}
