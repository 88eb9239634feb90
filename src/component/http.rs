//! Requests and answers over `wasi:http`.
//!
//! Reads the parts of a request that the core asks for, and writes the core's answer.

use std::iter;

use http::{HeaderName, StatusCode};
use wasi::http::types::{Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam, Scheme};
use wasi::io::streams::{OutputStream, StreamError};

use super::key_value::SpinKeyValue;
use super::leaked::Leaked;
use super::outbound::SpinOutbound;
use super::surroundings::{RandomIdentifiers, now};
use super::variables::SpinVariables;
use crate::api::request::{Body, Headers, Origin, Request};
use crate::api::wire::headers::Header;
use crate::api::wire::reply::AnswerBody;
use crate::api::{self, Answer, Environment};
use crate::store::Notes;

/// The number of bytes of a body that one read asks for.
const CHUNK: u64 = 64 * 1024;

/// Answers a request of the HTTP trigger.
pub(super) fn serve(incoming: IncomingRequest, response_out: ResponseOutparam) {
    let incoming = Leaked::new(incoming);
    let Some(method) = method(incoming.method()) else {
        // Spin has parsed this request already, so a method that is unreadable here is not HTTP.
        write(Answer { status: StatusCode::BAD_REQUEST, headers: Vec::new(), body: AnswerBody::EMPTY }, response_out);
        return;
    };
    let path_with_query = Leaked::new(incoming.path_with_query().unwrap_or_default());
    let (path, query) = path_with_query.split_once('?').unwrap_or((&path_with_query, ""));
    // A target such as `http://host?a=1` has no path.
    let path = if path.is_empty() { "/" } else { path };
    let fields = Leaked::new(incoming.headers());
    let entries = Leaked::new(fields.entries());
    let headers = Headers::read(entries.iter().map(|(name, value)| (name.as_str(), value.as_slice())));
    // A client that sends a body with one of these methods sends its length too. Without one, skip the calls of the host.
    let has_no_body = matches!(method, http::Method::GET | http::Method::DELETE) && !headers.has(Header::ContentLength);
    let length = headers.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
    let body = |largest| if has_no_body { Body::Complete(Vec::new()) } else { read_body(&incoming, length, largest) };
    let origin =
        || Origin { is_https: matches!(incoming.scheme(), Some(Scheme::Https)), authority: incoming.authority() };
    let request = Leaked::new(Request { method, path, query, headers, body: &body, origin: &origin });
    let key_value = Leaked::new(SpinKeyValue::default());
    let environment = Environment {
        key_value: &*key_value,
        identifiers: &RandomIdentifiers,
        variables: &SpinVariables,
        outbound: &SpinOutbound,
        notes: Notes::default(),
        now: now(),
        clock: &now,
        log: &|line| eprintln!("{line}"),
    };
    write(api::handle(&request, &environment), response_out);
}

/// Converts a method. Returns `None` if it is not valid in HTTP.
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

/// Reads the body of a request, up to `largest` bytes. `declared` is the length that its head declares, or zero.
fn read_body(request: &IncomingRequest, declared: usize, largest: usize) -> Body {
    let Ok(body) = request.consume().map(Leaked::new) else { return Body::Broken };
    let Ok(stream) = body.stream().map(Leaked::new) else { return Body::Broken };
    let mut bytes = Vec::with_capacity(declared.min(largest));
    loop {
        match stream.blocking_read(CHUNK).map_err(Leaked::new) {
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(error) if matches!(*error, StreamError::Closed) => return Body::Complete(bytes),
            // The client has left, or has sent something that is not a body.
            Err(_) => return Body::Broken,
        }
        if bytes.len() > largest {
            return Body::TooLarge;
        }
    }
}

/// Writes an answer. A failure only ends the writing, because the usual cause is a client that has gone away.
///
/// The host gets as much of the body as it takes without waiting before the head is sent, so that a small answer leaves
/// in one segment. The second of two segments waits about 40 ms for the client's acknowledgement of the first if the
/// server does not set `TCP_NODELAY`, and Spin does not (`docs/adr/0008-what-a-request-costs-on-spin.md`).
fn write(answer: Answer, response_out: ResponseOutparam) {
    let entry = |(name, value): (HeaderName, String)| (name.as_str().to_owned(), value.into_bytes());
    let entries: Leaked<Vec<(String, Vec<u8>)>> = Leaked::new(answer.headers.into_iter().map(entry).collect());
    // The core validates its headers, so the host refuses none. If it did, it would answer with a 500.
    let Ok(fields) = Fields::from_list(&entries) else {
        eprintln!("the headers {:?} cannot be sent", *entries);
        return;
    };
    let response = OutgoingResponse::new(fields);
    if answer.status != StatusCode::OK && response.set_status_code(answer.status.as_u16()).is_err() {
        eprintln!("the status {} cannot be sent", answer.status);
    }
    let bytes = Leaked::new(answer.body);
    let Some((first, others)) = bytes.pieces().split_first().filter(|(first, _)| !first.is_empty()) else {
        ResponseOutparam::set(response_out, Ok(response));
        return;
    };
    let Ok(body) = response.body() else { return };
    let Ok(stream) = body.write() else { return };
    let Ok(rest) = write_some(&stream, first) else { return };
    if rest.is_empty() && others.is_empty() {
        finish(stream, body);
        ResponseOutparam::set(response_out, Ok(response));
    } else {
        ResponseOutparam::set(response_out, Ok(response));
        let mut rest = iter::once(rest).chain(others.iter().map(Vec::as_slice));
        if rest.all(|piece| write_all(&stream, piece).is_ok()) {
            finish(stream, body);
        }
    }
}

/// Writes as many bytes as the host takes without waiting, and returns the rest.
fn write_some<'a>(stream: &OutputStream, bytes: &'a [u8]) -> Result<&'a [u8], Leaked<StreamError>> {
    let room = usize::try_from(stream.check_write().map_err(Leaked::new)?).unwrap_or(usize::MAX);
    let (taken, rest) = bytes.split_at(bytes.len().min(room));
    if !taken.is_empty() {
        stream.write(taken).map_err(Leaked::new)?;
    }
    Ok(rest)
}

/// Writes all bytes, as fast as the client takes them.
fn write_all(stream: &OutputStream, mut bytes: &[u8]) -> Result<(), Leaked<StreamError>> {
    while !bytes.is_empty() {
        stream.subscribe().block();
        bytes = write_some(stream, bytes)?;
    }
    Ok(())
}

/// Ends a body. The stream has to be dropped first.
fn finish(stream: OutputStream, body: OutgoingBody) {
    drop(stream);
    if OutgoingBody::finish(body, None).is_err() {
        eprintln!("the answer did not arrive whole");
    }
}
