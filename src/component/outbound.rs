//! The way to Keystone: `wasi:http/outgoing-handler`, with one deadline for the whole of a request and its answer.
//!
//! It must not know what is asked. What goes wrong is said without a word of the request, which holds secrets.

use std::mem::{ManuallyDrop, forget};
use std::time::Duration;

use http::{HeaderValue, StatusCode};
use wasi::clocks::monotonic_clock;
use wasi::http::outgoing_handler;
use wasi::http::types::{Fields, IncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme};
use wasi::io::poll::{Pollable, poll};
use wasi::io::streams::StreamError;

use crate::headers::X_SUBJECT_TOKEN;
use crate::keystone::{Outbound, OutboundAnswer, OutboundRequest};

/// The largest answer, in bytes. A token with very many roles is a thousandth of it.
const LARGEST_ANSWER: usize = 1024 * 1024;

/// How many bytes of an answer are asked for at once.
const CHUNK: u64 = 64 * 1024;

pub(super) struct SpinOutbound;

impl Outbound for SpinOutbound {
    fn send(&self, request: &OutboundRequest, timeout: Duration) -> Result<OutboundAnswer, String> {
        let deadline = Deadline::after(timeout);
        let (outgoing, body) = prepared(request).map_err(|()| "the request cannot be sent".to_owned())?;
        let future = outgoing_handler::handle(outgoing, None)
            .map(ManuallyDrop::new)
            .map_err(|code| format!("it cannot be asked: {code:?}"))?;
        if let Some(body) = body {
            write(&deadline, &body, &request.body)?;
            // Ends the request. If it did not arrive whole, the answer says so, or that there is none.
            let _ = OutgoingBody::finish(body, None);
        }
        deadline.wait(&future.subscribe())?;
        match future.get() {
            Some(Ok(Ok(incoming))) => received(&deadline, &ManuallyDrop::new(incoming)),
            Some(Ok(Err(code))) => Err(format!("there was no answer: {code:?}")),
            Some(Err(())) | None => Err("there was no answer".to_owned()),
        }
    }
}

/// The time by which everything has to be done.
struct Deadline(Pollable);

impl Deadline {
    fn after(timeout: Duration) -> Self {
        Self(monotonic_clock::subscribe_duration(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Waits until something is ready.
    fn wait(&self, other: &Pollable) -> Result<(), String> {
        // An answer that comes drop by drop is always ready and never whole, so the deadline counts where both are ready.
        if poll(&[&self.0, other]).contains(&0) { Err("it took too long".to_owned()) } else { Ok(()) }
    }
}

/// The request as Spin wants it, and its body if it has one: an empty one that is asked for would be sent in chunks.
/// None of these calls refuses what the `http` crate has accepted.
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

/// Writes a body. Whoever does not read it to its end may have answered already, so that is no failure.
fn write(deadline: &Deadline, body: &OutgoingBody, mut rest: &[u8]) -> Result<(), String> {
    let stream = body.write().map_err(|()| "the request cannot be sent".to_owned())?;
    while !rest.is_empty() {
        let Ok(room) = stream.check_write().map_err(forget) else { return Ok(()) };
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let (chunk, later) = rest.split_at(rest.len().min(room));
        if chunk.is_empty() {
            deadline.wait(&stream.subscribe())?;
        } else if stream.write(chunk).map_err(forget).is_err() {
            return Ok(());
        }
        rest = later;
    }
    Ok(())
}

fn received(deadline: &Deadline, incoming: &IncomingResponse) -> Result<OutboundAnswer, String> {
    let status = StatusCode::from_u16(incoming.status()).map_err(|_| "its answer has no status".to_owned())?;
    let headers = ManuallyDrop::new(incoming.headers());
    let token = headers.entries().into_iter().find(|(name, _)| name.eq_ignore_ascii_case(X_SUBJECT_TOKEN.as_str()));
    let subject_token = token.and_then(|(_, value)| HeaderValue::from_bytes(&value).ok());
    let mut answer = OutboundAnswer { status, subject_token, body: Vec::new() };
    let unreadable = || "its answer cannot be read".to_owned();
    let body = ManuallyDrop::new(incoming.consume().map_err(|()| unreadable())?);
    let stream = ManuallyDrop::new(body.stream().map_err(|()| unreadable())?);
    loop {
        deadline.wait(&stream.subscribe())?;
        // Something is there, or the end, so this does not block.
        match stream.blocking_read(CHUNK) {
            Ok(chunk) => answer.body.extend_from_slice(&chunk),
            Err(StreamError::Closed) => return Ok(answer),
            Err(StreamError::LastOperationFailed(error)) => {
                forget(error);
                return Err("its answer broke off".to_owned());
            }
        }
        if answer.body.len() > LARGEST_ANSWER {
            return Err(format!("its answer is larger than {LARGEST_ANSWER} bytes"));
        }
    }
}
