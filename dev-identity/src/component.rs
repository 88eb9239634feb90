//! The shell: the only code that knows Spin.

use std::cell::OnceCell;

use http::Method;
use wasi::clocks::{monotonic_clock, wall_clock};
use wasi::http::types::{
    Fields, IncomingRequest, Method as WasiMethod, OutgoingBody, OutgoingResponse, ResponseOutparam, Scheme,
};

use self::bindings::wasi::keyvalue::{atomics, batch, store};
use crate::environment::{Environment, KeyValue, StoreError, Variables};
use crate::handle::handle;
use crate::request::{Answer, Body, Request};

/// The label of the store in `spin.toml`.
const STORE: &str = "default";

/// The number of attempts at a call that another process has locked out, and the wait between them.
const ATTEMPTS: u32 = 100;
const PAUSE_NANOSECONDS: u64 = 10_000_000;

/// The largest body, in bytes, as in the main component.
const LARGEST_BODY: usize = 114_688;

mod bindings {
    #![allow(unsafe_code, clippy::all, clippy::pedantic, reason = "generated")]

    wit_bindgen::generate!({ path: "../wit", world: "dev-identity", generate_all });
}

/// The type that implements the export.
struct Component;

impl wasi::exports::http::incoming_handler::Guest for Component {
    fn handle(request: IncomingRequest, response_out: ResponseOutparam) {
        serve(&request, response_out);
    }
}

wasi::http::proxy::export!(Component);

fn serve(incoming: &IncomingRequest, response_out: ResponseOutparam) {
    let environment = Environment {
        key_value: &SpinKeyValue(OnceCell::new()),
        variables: &SpinVariables,
        random: &|buffer| buffer.copy_from_slice(&wasi::random::random::get_random_bytes(buffer.len() as u64)),
        now: i64::try_from(wall_clock::now().seconds).unwrap_or(i64::MAX),
        log: &|line| eprintln!("{line}"),
    };
    write(handle(&request(incoming), &environment), response_out);
}

fn request(incoming: &IncomingRequest) -> Request {
    let path_with_query = incoming.path_with_query().unwrap_or_default();
    let (path, query) = path_with_query.split_once('?').unwrap_or((&path_with_query, ""));
    let headers = incoming.headers().entries().into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value));
    Request {
        method: method(&incoming.method()),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: headers.collect(),
        body: body(incoming),
        is_https: matches!(incoming.scheme(), Some(Scheme::Https)),
        authority: incoming.authority(),
    }
}

/// Converts a method. One that this service does not know becomes TRACE, which no path has.
fn method(method: &WasiMethod) -> Method {
    match method {
        WasiMethod::Get => Method::GET,
        WasiMethod::Head => Method::HEAD,
        WasiMethod::Post => Method::POST,
        WasiMethod::Put => Method::PUT,
        WasiMethod::Patch => Method::PATCH,
        WasiMethod::Delete => Method::DELETE,
        WasiMethod::Options => Method::OPTIONS,
        _ => Method::TRACE,
    }
}

/// Reads the body. One that breaks off is no valid JSON, so it needs no check of its own.
fn body(incoming: &IncomingRequest) -> Body {
    let mut bytes = Vec::new();
    let Ok(body) = incoming.consume() else { return Body::Complete(bytes) };
    let Ok(stream) = body.stream() else { return Body::Complete(bytes) };
    while let Ok(chunk) = stream.blocking_read(64 * 1024) {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > LARGEST_BODY {
            return Body::TooLarge;
        }
    }
    Body::Complete(bytes)
}

/// Writes an answer. A failure only ends the writing, because the usual cause is a client that has gone away.
fn write(answer: Answer, response_out: ResponseOutparam) {
    let Answer { status, headers, body: bytes } = answer;
    let headers: Vec<(String, Vec<u8>)> =
        headers.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())).collect();
    let Ok(headers) = Fields::from_list(&headers) else { return };
    let response = OutgoingResponse::new(headers);
    let (Ok(()), Ok(body)) = (response.set_status_code(status.as_u16()), response.body()) else { return };
    let Ok(stream) = body.write() else { return };
    // What the host takes without waiting is written before the head is sent, so that both leave in one segment.
    let room = stream.check_write().map_or(0, |room| usize::try_from(room).unwrap_or(usize::MAX));
    let (first, rest) = bytes.split_at(bytes.len().min(room));
    if !first.is_empty() && stream.write(first).is_err() {
        return;
    }
    ResponseOutparam::set(response_out, Ok(response));
    let is_whole = rest.chunks(4096).all(|chunk| stream.blocking_write_and_flush(chunk).is_ok());
    drop(stream);
    if is_whole {
        let _ = OutgoingBody::finish(body, None);
    }
}

/// Spin's variables.
struct SpinVariables;

impl Variables for SpinVariables {
    fn get(&self, name: &str) -> Result<String, String> {
        spin_sdk::variables::get(name).map_err(|error| error.to_string())
    }
}

/// Spin's key-value store, opened at the first call.
struct SpinKeyValue(OnceCell<store::Bucket>);

impl SpinKeyValue {
    /// Makes a call, and retries it while another process has locked the database. A call that was locked out has had
    /// no effect.
    fn retry<T>(&self, call: impl Fn(&store::Bucket) -> Result<T, store::Error>) -> Result<T, StoreError> {
        let bucket = if let Some(bucket) = self.0.get() {
            bucket
        } else {
            let bucket = store::open(STORE).map_err(failed)?;
            self.0.get_or_init(|| bucket)
        };
        for _ in 1..ATTEMPTS {
            match call(bucket) {
                Err(store::Error::Other(message)) if message.contains("database is locked") => {
                    monotonic_clock::subscribe_duration(PAUSE_NANOSECONDS).block();
                }
                result => return result.map_err(failed),
            }
        }
        call(bucket).map_err(failed)
    }
}

fn failed(error: store::Error) -> StoreError {
    StoreError(match error {
        store::Error::NoSuchStore => format!("there is no store '{STORE}'"),
        store::Error::AccessDenied => format!("spin.toml gives no access to the store '{STORE}'"),
        store::Error::Other(message) => message,
    })
}

impl KeyValue for SpinKeyValue {
    /// Reads an empty value as an absent one, as the main component does. This component writes none.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.retry(|bucket| bucket.get(key))?.filter(|value| !value.is_empty()))
    }

    fn set_many(&self, entries: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
        self.retry(|bucket| batch::set_many(bucket, entries))
    }

    fn delete_many(&self, keys: &[String]) -> Result<(), StoreError> {
        self.retry(|bucket| batch::delete_many(bucket, keys))
    }

    fn increment(&self, key: &str, delta: i64) -> Result<i64, StoreError> {
        self.retry(|bucket| atomics::increment(bucket, key, delta))
    }
}
