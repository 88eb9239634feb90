//! Requests to Keystone over `wasi:http/outgoing-handler`, with one deadline for a request and its answer together.
//!
//! It must not know the meaning of a request. Its error messages quote nothing of the request, which holds secrets.

use std::time::Duration;

use http::{HeaderValue, StatusCode};
use wasi::clocks::monotonic_clock;
use wasi::http::outgoing_handler;
use wasi::http::types::{Fields, IncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme};
use wasi::io::poll::{Pollable, poll};
use wasi::io::streams::StreamError;

use super::leaked::Leaked;
use crate::keystone::headers::X_SUBJECT_TOKEN;
use crate::keystone::{Outbound, OutboundAnswer, OutboundRequest};

/// The largest answer, in bytes. Even a token with very many roles is far smaller.
const LARGEST_ANSWER: usize = 1024 * 1024;

/// The number of bytes of an answer that one read asks for.
const CHUNK: u64 = 64 * 1024;

/// Requests sent through Spin.
pub(super) struct SpinOutbound;

impl Outbound for SpinOutbound {
    fn send(&self, request: &OutboundRequest, timeout: Duration) -> Result<OutboundAnswer, String> {
        let deadline = Deadline::after(timeout);
        let (outgoing, body) = prepared(request).map_err(|()| "the request cannot be sent".to_owned())?;
        let future = outgoing_handler::handle(outgoing, None)
            .map(Leaked::new)
            .map_err(|code| format!("it cannot be called: {code:?}"))?;
        if let Some(body) = body {
            write(&deadline, &body, &request.body)?;
            // Ends the request. A failure shows in the answer, or in its absence.
            let _ = OutgoingBody::finish(body, None);
        }
        deadline.wait(&future.subscribe())?;
        match future.get() {
            Some(Ok(Ok(incoming))) => received(&deadline, &Leaked::new(incoming)),
            Some(Ok(Err(code))) => Err(format!("there was no answer: {code:?}")),
            Some(Err(())) | None => Err("there was no answer".to_owned()),
        }
    }
}

/// The time by which the answer must be complete.
struct Deadline(Pollable);

impl Deadline {
    /// Returns the deadline that lies `timeout` from now.
    fn after(timeout: Duration) -> Self {
        Self(monotonic_clock::subscribe_duration(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Waits until `other` is ready. Fails at the deadline.
    fn wait(&self, other: &Pollable) -> Result<(), String> {
        // The deadline wins when both are ready: an answer that trickles in is always ready and never complete.
        if poll(&[&self.0, other]).contains(&0) { Err("it took too long".to_owned()) } else { Ok(()) }
    }
}

/// Returns the request in the form of `wasi:http`, and its body unless that is empty: an empty body, once taken, would
/// be sent chunked. None of these calls refuses anything that the `http` crate has accepted.
fn prepared(request: &OutboundRequest) -> Result<(OutgoingRequest, Option<OutgoingBody>), ()> {
    let entries: Vec<(String, Vec<u8>)> =
        request.headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect();
    let outgoing = OutgoingRequest::new(Fields::from_list(&entries).map_err(drop)?);
    let method = if request.method == http::Method::POST { Method::Post } else { Method::Get };
    let scheme = if request.uri.scheme_str() == Some("https") { Scheme::Https } else { Scheme::Http };
    outgoing.set_method(&method)?;
    outgoing.set_scheme(Some(&scheme))?;
    outgoing.set_authority(request.uri.authority().map(http::uri::Authority::as_str))?;
    outgoing.set_path_with_query(request.uri.path_and_query().map(http::uri::PathAndQuery::as_str))?;
    let body = if request.body.is_empty() { None } else { Some(outgoing.body()?) };
    Ok((outgoing, body))
}

/// Writes a body. A server may answer before it has read the whole body, so a closed stream is not a failure.
fn write(deadline: &Deadline, body: &OutgoingBody, mut rest: &[u8]) -> Result<(), String> {
    let stream = body.write().map_err(|()| "the request cannot be sent".to_owned())?;
    while !rest.is_empty() {
        let Ok(room) = stream.check_write().map_err(Leaked::new) else { return Ok(()) };
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let (chunk, later) = rest.split_at(rest.len().min(room));
        if chunk.is_empty() {
            deadline.wait(&stream.subscribe())?;
        } else if stream.write(chunk).map_err(Leaked::new).is_err() {
            return Ok(());
        }
        rest = later;
    }
    Ok(())
}

/// Reads an answer.
fn received(deadline: &Deadline, incoming: &IncomingResponse) -> Result<OutboundAnswer, String> {
    let status = StatusCode::from_u16(incoming.status()).map_err(|_| "its answer has no status".to_owned())?;
    let headers = Leaked::new(incoming.headers());
    let token = headers.entries().into_iter().find(|(name, _)| name.eq_ignore_ascii_case(X_SUBJECT_TOKEN.as_str()));
    let subject_token = token.and_then(|(_, value)| HeaderValue::from_bytes(&value).ok());
    let mut answer = OutboundAnswer { status, subject_token, body: Vec::new() };
    let unreadable = || "its answer cannot be read".to_owned();
    let body = Leaked::new(incoming.consume().map_err(|()| unreadable())?);
    let stream = Leaked::new(body.stream().map_err(|()| unreadable())?);
    loop {
        deadline.wait(&stream.subscribe())?;
        // There are bytes, or the end, so this does not block.
        match stream.blocking_read(CHUNK).map_err(Leaked::new) {
            Ok(chunk) => answer.body.extend_from_slice(&chunk),
            Err(error) if matches!(*error, StreamError::Closed) => return Ok(answer),
            Err(_) => return Err("its answer broke off".to_owned()),
        }
        if answer.body.len() > LARGEST_ANSWER {
            return Err(format!("its answer is larger than {LARGEST_ANSWER} bytes"));
        }
    }
}
