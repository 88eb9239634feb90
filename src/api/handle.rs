//! The order of checks: from a request to its answer (`docs/spec/versions-and-faults.md` section 1).

use std::borrow::Cow;

use http::header::LOCATION;
use http::{Method, StatusCode};
use serde_json::Value;
use uuid::Uuid;

use crate::domain::ProjectId;
use crate::domain::identifiers::prefixed;
use crate::settings::{AuthMode, LazySettings};

use super::call::{Call, origin};
use super::dispatch::{self, Action};
use super::environment::Environment;
use super::query::Parameters;
use super::routes::Operation;
use super::wire::accept::prefers_vendor_type;
use super::wire::body;
use super::wire::faults::{BAD_REQUEST, Fault, INCOMPLETE_BODY, MALFORMED_BODY};
use super::wire::reply::{Answer, Content, Reply};
use super::wire::request::{Body, Headers, Request};
use super::{discovery, health, identity, microversion, ops, routes};

/// The largest body of an API request, in bytes: oslo's `max_request_body_size`.
const LARGEST_BODY: usize = 114_688;

/// The longest path in the log, in bytes.
const LONGEST_LOGGED_PATH: usize = 256;

/// Answers a request.
#[must_use]
pub fn handle(request: &Request<'_>, environment: &Environment<'_>) -> Answer {
    let id = environment.identifiers.uuid();
    let request_id = prefixed("req-", id);
    let mut named_version = None;
    let reply = reply(request, id, environment, &mut named_version);
    // The client chooses the path, so only a part of it is written.
    let path = request.path.get(..LONGEST_LOGGED_PATH).unwrap_or(request.path);
    if let Some(cause) = &reply.cause {
        let (method, status) = (&request.method, reply.status.as_u16());
        (environment.log)(&format!("{request_id} {method} {path} answered {status}: {cause}"));
    }
    for line in environment.notes.unreadable.lines() {
        (environment.log)(&format!("{request_id} {} {path} {line}", request.method));
    }
    let vendor_type = prefers_vendor_type(request);
    reply.into_answer(&request_id, named_version.as_deref(), vendor_type)
}

fn reply(
    request: &Request<'_>,
    id: Uuid,
    environment: &Environment<'_>,
    named_version: &mut Option<Cow<'static, str>>,
) -> Reply {
    let path = routes::decoded(request.path);
    if path.starts_with(ops::PREFIX) {
        return ops::answer(request, &path, environment).unwrap_or_else(|fault| told(fault, environment));
    }
    if let Some(reply) = health::answer(&path, environment) {
        return reply;
    }
    if request.method == Method::OPTIONS {
        // In Cinder the CORS layer answers these before all other checks.
        return Reply::new(StatusCode::OK, Content::NonApi { media_type: "", body: String::new() });
    }
    if request.headers.content_length().is_some_and(|length| length > LARGEST_BODY as u64) {
        return too_large();
    }
    resource_layer(request, id, &routes::with_single_slashes(path), environment, named_version).unwrap_or_else(
        |refusal| match refusal {
            Refusal::Fault(fault) => told(fault, environment),
            Refusal::Reply(reply) => reply,
        },
    )
}

/// Returns the reply with a fault. The store knows whether the request may have changed something before the fault.
fn told(fault: Fault, environment: &Environment<'_>) -> Reply {
    if environment.notes.may_have_changed() { fault.after_changes().into() } else { fault.into() }
}

/// Returns the reply to a body that is too large.
fn too_large() -> Reply {
    let message = format!("Request is too large. Larger than max_request_body_size ({LARGEST_BODY}).");
    Reply::non_api_fault(&Fault::new(StatusCode::PAYLOAD_TOO_LARGE, message), &Headers::default())
}

/// Reads the body of a request.
fn read_body(request: &Request<'_>) -> Result<Vec<u8>, Refusal> {
    match (request.body)(LARGEST_BODY) {
        Body::Complete(body) => Ok(body),
        Body::TooLarge => Err(Refusal::Reply(too_large())),
        Body::Broken => Err(Fault::bad_request(INCOMPLETE_BODY).into()),
    }
}

/// The reason why no resource answered.
enum Refusal {
    /// A fault of the resource layer.
    Fault(Fault),
    /// A reply of a layer before it.
    Reply(Reply),
}

impl<T: Into<Fault>> From<T> for Refusal {
    fn from(fault: T) -> Self {
        Self::Fault(fault.into())
    }
}

fn resource_layer(
    request: &Request<'_>,
    id: Uuid,
    path: &str,
    environment: &Environment<'_>,
    named_version: &mut Option<Cow<'static, str>>,
) -> Result<Reply, Refusal> {
    let headers = &request.headers;
    let route = routes::route(&request.method, path);
    let settings = LazySettings::new(environment.variables);
    let auth_mode = AuthMode::read(&settings)?;
    if !route.as_ref().is_some_and(|route| route.operation.is_for_one_row()) {
        // An invalid variable fails the first request, whether that request needs the variable or not.
        settings.get()?;
    }
    if path == "/" {
        let negotiated = microversion::negotiate(microversion::header(headers).as_deref());
        *named_version = negotiated.named;
        negotiated.version?;
        return Ok(Reply::json(StatusCode::MULTIPLE_CHOICES, &discovery::versions(&origin(request, &settings)))?);
    }
    if path != "/v3" && !path.starts_with("/v3/") {
        // A path outside the API needs no token.
        return Err(Refusal::Reply(Reply::non_api_fault(&Fault::not_found(), headers)));
    }
    let caller = identity::identify(request, path, &auth_mode, environment).map_err(Refusal::Reply)?;
    if path == "/v3" {
        let content = Content::NonApi { media_type: "text/plain; charset=utf8", body: String::new() };
        return Ok(
            Reply::new(StatusCode::FOUND, content).with_header(LOCATION, format!("{}/v3/", origin(request, &settings)))
        );
    }
    let Some(route) = route else {
        return Err(Refusal::Reply(Reply::non_api_fault(&Fault::not_found(), headers)));
    };

    let negotiated = microversion::negotiate(microversion::header(headers).as_deref());
    *named_version = negotiated.named;
    let version = negotiated.version?;
    let body = read_body(request)?;
    let is_json = body::is_json(headers, &body)?;
    if route.operation == Operation::Phantom {
        return Err(Fault::not_found().into());
    }
    let body: Option<Value> =
        if is_json { Some(body::parse(&body).ok_or_else(|| Fault::bad_request(MALFORMED_BODY))?) } else { None };
    // Cinder looks up the action before it compares the project of the path.
    let action = Action::named(&route.operation, body.as_ref())?;
    let own_project = caller.project_id.as_ref().map(ProjectId::as_str);
    if route.project_id.is_some() && route.project_id.as_deref() != own_project {
        return Err(Fault::bad_request("Malformed request url").into());
    }
    if body.is_some() && !route.operation.takes_body() {
        // Cinder passes the body to a Python method that has no such argument.
        return Err(Fault::bad_request(BAD_REQUEST).into());
    }
    let parameters = Parameters::parse(request.query)?;
    let call = Call::new(request, id, &route, parameters, body, &caller, version, &settings, environment);
    Ok(dispatch::dispatch(&call, &route.operation, action)?)
}
