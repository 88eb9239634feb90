//! The way to Keystone: `wasi:http/outgoing-handler`, with one deadline for the whole of a request and its answer.
//!
//! It must not know what is asked. What goes wrong is said without a word of the request, which holds secrets.

use std::time::Duration;

use http::{HeaderValue, Request, Response};
use wasi::clocks::monotonic_clock;
use wasi::http::outgoing_handler;
use wasi::http::types::{Fields, IncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme};
use wasi::io::poll::{Pollable, poll};
use wasi::io::streams::StreamError;

use crate::headers::X_SUBJECT_TOKEN;
use crate::keystone::Outbound;

/// The largest answer, in bytes. A token with very many roles is a thousandth of it.
const LARGEST_ANSWER: usize = 1024 * 1024;

/// How many bytes of an answer are asked for at once.
const CHUNK: u64 = 64 * 1024;

pub(super) struct SpinOutbound;

impl Outbound for SpinOutbound {
    fn send(&self, request: &Request<Vec<u8>>, timeout: Duration) -> Result<Response<Vec<u8>>, String> {
        let deadline = Deadline::after(timeout);
        let (outgoing, body) = prepared(request).map_err(|()| "the request cannot be sent".to_owned())?;
        let future =
            outgoing_handler::handle(outgoing, None).map_err(|code| format!("it cannot be asked: {code:?}"))?;
        if let Some(body) = body {
            write(&deadline, &body, request.body())?;
            // Ends the request. If it did not arrive whole, the answer says so, or that there is none.
            let _ = OutgoingBody::finish(body, None);
        }
        deadline.wait(&future.subscribe())?;
        match future.get() {
            Some(Ok(Ok(incoming))) => received(&deadline, &incoming),
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
        if !other.ready() {
            poll(&[other, &self.0]);
        }
        // An answer that comes drop by drop is always ready and never whole.
        if self.0.ready() { Err("it took too long".to_owned()) } else { Ok(()) }
    }
}

/// The request as Spin wants it, and its body if it has one: an empty one that is asked for would be sent in chunks.
/// None of these calls refuses what the `http` crate has accepted.
fn prepared(request: &Request<Vec<u8>>) -> Result<(OutgoingRequest, Option<OutgoingBody>), ()> {
    let entries: Vec<(String, Vec<u8>)> =
        request.headers().iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect();
    let outgoing = OutgoingRequest::new(Fields::from_list(&entries).map_err(drop)?);
    let method = if request.method() == http::Method::POST { Method::Post } else { Method::Get };
    let scheme = if request.uri().scheme_str() == Some("https") { Scheme::Https } else { Scheme::Http };
    outgoing.set_method(&method)?;
    outgoing.set_scheme(Some(&scheme))?;
    outgoing.set_authority(request.uri().authority().map(http::uri::Authority::as_str))?;
    outgoing.set_path_with_query(request.uri().path_and_query().map(http::uri::PathAndQuery::as_str))?;
    let body = if request.body().is_empty() { None } else { Some(outgoing.body()?) };
    Ok((outgoing, body))
}

/// Writes a body. Whoever does not read it to its end may have answered already, so that is no failure.
fn write(deadline: &Deadline, body: &OutgoingBody, mut rest: &[u8]) -> Result<(), String> {
    let stream = body.write().map_err(|()| "the request cannot be sent".to_owned())?;
    while !rest.is_empty() {
        let Ok(room) = stream.check_write() else { return Ok(()) };
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let (chunk, later) = rest.split_at(rest.len().min(room));
        if chunk.is_empty() {
            deadline.wait(&stream.subscribe())?;
        } else if stream.write(chunk).is_err() {
            return Ok(());
        }
        rest = later;
    }
    let _ = stream.flush();
    Ok(())
}

fn received(deadline: &Deadline, incoming: &IncomingResponse) -> Result<Response<Vec<u8>>, String> {
    let mut answer = Response::new(Vec::new());
    *answer.status_mut() =
        http::StatusCode::from_u16(incoming.status()).map_err(|_| "its answer has no status".to_owned())?;
    for (name, value) in incoming.headers().entries() {
        // The only one that anybody looks at.
        if name.eq_ignore_ascii_case(X_SUBJECT_TOKEN.as_str())
            && let Ok(value) = HeaderValue::from_bytes(&value)
        {
            answer.headers_mut().append(X_SUBJECT_TOKEN, value);
        }
    }
    let unreadable = || "its answer cannot be read".to_owned();
    let body = incoming.consume().map_err(|()| unreadable())?;
    let stream = body.stream().map_err(|()| unreadable())?;
    loop {
        deadline.wait(&stream.subscribe())?;
        match stream.read(CHUNK) {
            Ok(chunk) => answer.body_mut().extend_from_slice(&chunk),
            Err(StreamError::Closed) => return Ok(answer),
            Err(StreamError::LastOperationFailed(_)) => return Err("its answer broke off".to_owned()),
        }
        if answer.body().len() > LARGEST_ANSWER {
            return Err(format!("its answer is larger than {LARGEST_ANSWER} bytes"));
        }
    }
}
