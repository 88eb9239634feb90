//! HTTP in Cinder's words: which operation a request is, who asks, at which microversion, with which body; and the
//! answer with its headers. One file per resource, named as in `service`.
//!
//! This layer must not know how anything is stored. The order of the checks in [`handle`] is Cinder's
//! (`spec/versions-and-faults.md` section 1), since the first that fails is what a client is told.

pub mod discovery;
pub mod extensions;
pub mod identity;
pub mod manageable_snapshots;
pub mod metadata;
pub mod microversion;
pub mod ops;
pub mod python;
pub mod query;
pub mod quota_sets;
pub mod resource_filters;
pub mod routes;
pub mod schema;
pub mod snapshot_actions;
pub mod snapshots;
pub mod volume_actions;
pub mod volumes;
pub mod wire;

use std::borrow::Cow;

use http::header::LOCATION;
use http::{HeaderName, Method, StatusCode};
use serde::Serialize;
use serde_json::Value;

use crate::domain::Timestamp;
use crate::domain::identifiers::prefixed;
use crate::keystone::Outbound;
use crate::service::Service;
use crate::service::policy::Caller;
use crate::settings::{AuthMode, LazySettings, SettingsError, Variables};
use crate::store::{Identifiers, KeyValue, Store};
use wire::headers::Header;

use microversion::Microversion;
use query::Parameters;
use wire::faults::{BAD_REQUEST, Fault};
use wire::reply::{Content, Reply};
use wire::request::{Body, Headers, Origin, Request};

use routes::{Operation, Route};
pub use wire::request;

/// The largest body of an API request, in bytes: oslo's `max_request_body_size`.
pub const LARGEST_BODY: usize = 114_688;

/// What a body that cannot be read is answered with.
pub const MALFORMED_BODY: &str = "Malformed request body";

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: StatusCode,
    /// Values are what may stand in a header. A list and no `HeaderMap`: nobody looks for one among these few.
    pub headers: Vec<(HeaderName, String)>,
    pub body: Vec<u8>,
}

/// Everything that a request works with; nothing else comes in from outside.
pub struct Environment<'a> {
    pub key_value: &'a dyn KeyValue,
    pub identifiers: &'a dyn Identifiers,
    pub variables: &'a dyn Variables,
    /// The way to Keystone.
    pub outbound: &'a dyn Outbound,
    /// What the clock says.
    pub now: Timestamp,
    /// Where lines for the operator go.
    pub log: &'a dyn Fn(&str),
}

/// How many bytes of body a request may have: many only for an operator who has shown the secret.
#[must_use]
pub fn largest_body(path: &str, headers: &Headers<'_>, variables: &dyn Variables) -> usize {
    let is_operator =
        routes::decoded(path).starts_with(ops::routes::PREFIX) && ops::routes::admit(headers, variables).is_ok();
    if is_operator { ops::routes::LARGEST_BODY } else { LARGEST_BODY }
}

/// Answers a request.
#[must_use]
pub fn handle(request: &Request<'_>, environment: &Environment<'_>) -> Answer {
    let request_id = prefixed("req-", environment.identifiers.uuid());
    let mut named_version = None;
    let reply = answer(request, environment, &mut named_version);
    if let Some(cause) = &reply.cause {
        let (method, path, status) = (&request.method, request.path, reply.status.as_u16());
        (environment.log)(&format!("{request_id} {method} {path} answered {status}: {cause}"));
    }
    let vendor_type = prefers_vendor_type(request);
    reply.into_answer(&request_id, named_version.as_deref(), vendor_type)
}

fn answer(
    request: &Request<'_>,
    environment: &Environment<'_>,
    named_version: &mut Option<Cow<'static, str>>,
) -> Reply {
    let path = routes::decoded(request.path);
    if path.starts_with(ops::routes::PREFIX) {
        return ops::routes::answer(request, &path, environment).unwrap_or_else(Reply::from);
    }
    if path == "/healthcheck" {
        return healthcheck(environment);
    }
    if request.method == Method::OPTIONS {
        // Cinder's CORS layer answers these before all others.
        return Reply::new(StatusCode::OK, Content::Outside { media_type: "", body: String::new() });
    }
    let Body::Complete(body) = &request.body else {
        return outside(
            &Fault::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("Request is too large. Larger than max_request_body_size ({LARGEST_BODY})."),
            ),
            &Headers::default(),
        );
    };
    resource_layer(request, &path, body, environment, named_version).unwrap_or_else(|refusal| match refusal {
        Refusal::Fault(fault) => fault.into(),
        Refusal::Reply(reply) => reply,
    })
}

/// Why the resource layer gave no answer of its own.
enum Refusal {
    Fault(Fault),
    /// An answer from before it.
    Reply(Reply),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

fn resource_layer(
    request: &Request<'_>,
    path: &str,
    body: &[u8],
    environment: &Environment<'_>,
    named_version: &mut Option<Cow<'static, str>>,
) -> Result<Reply, Refusal> {
    let headers = &request.headers;
    let route = routes::route(&request.method, path);
    let settings = LazySettings::new(environment.variables);
    let auth_mode = AuthMode::read(&settings).map_err(|error| misconfigured(&error))?;
    if !route.as_ref().is_some_and(|route| route.operation.is_for_one_row()) {
        // A variable that cannot be used is told at the first request, whether that needs it or not.
        settings.get().map_err(|error| misconfigured(&error))?;
    }
    if path == "/" {
        let negotiated = microversion::negotiate(version_header(headers).as_deref());
        *named_version = negotiated.named;
        negotiated.version?;
        return Ok(Reply::json(StatusCode::MULTIPLE_CHOICES, &discovery::versions(&origin(request)))?);
    }
    if path != "/v3" && !path.starts_with("/v3/") {
        // Where no API is, nobody is asked for a token.
        return Err(Refusal::Reply(outside(&Fault::not_found(), headers)));
    }
    let caller = identity::identify(request, path, &auth_mode, environment).map_err(Refusal::Reply)?;
    if path == "/v3" {
        let content = Content::Outside { media_type: "text/plain; charset=utf8", body: String::new() };
        return Ok(Reply::new(StatusCode::FOUND, content).with_header(LOCATION, format!("{}/v3/", origin(request))));
    }
    let Some(route) = route else {
        return Err(Refusal::Reply(outside(&Fault::not_found(), headers)));
    };

    let negotiated = microversion::negotiate(version_header(headers).as_deref());
    *named_version = negotiated.named;
    let version = negotiated.version?;
    let has_json_body = has_json_body(headers, body)?;
    if route.operation == Operation::Phantom {
        return Err(Fault::not_found().into());
    }
    let body: Option<Value> =
        if has_json_body { Some(parsed(body).ok_or_else(|| Fault::bad_request(MALFORMED_BODY))?) } else { None };
    let action = match route.operation {
        Operation::ActOnSnapshot(_) => Some(Action::OnSnapshot(snapshot_actions::named(body.as_ref())?)),
        Operation::ActOnVolume(_) => Some(Action::OnVolume(volume_actions::named(body.as_ref())?)),
        _ => None,
    };
    let own_project = caller.project_id.as_ref().map(super::domain::identifiers::ProjectId::as_str);
    if route.project_id.is_some() && route.project_id.as_deref() != own_project {
        return Err(Fault::bad_request("Malformed request url").into());
    }
    if body.is_some() && !route.operation.takes_body() {
        // To Cinder's methods a body is an argument that they do not have.
        return Err(Fault::bad_request(BAD_REQUEST).into());
    }
    let mut call = Call::new(request, &route, &caller, version, &settings, environment);
    call.parameters = Parameters::parse(request.query)?;
    call.body = body;
    Ok(call.dispatch(&route.operation, action)?)
}

/// An action that a body names.
#[derive(Debug, Clone, Copy)]
enum Action {
    OnSnapshot(snapshot_actions::Action),
    OnVolume(volume_actions::Action),
}

/// A request whose operation, caller and microversion are known.
pub struct Call<'a> {
    pub service: Service<'a>,
    pub version: Microversion,
    pub parameters: Parameters,
    pub body: Option<Value>,
    request: &'a Request<'a>,
    project_in_path: Option<String>,
}

/// The link to the next page.
pub type Links = [Link; 1];

/// A link.
#[derive(Debug, Serialize)]
pub struct Link {
    rel: &'static str,
    href: String,
}

impl<'a> Call<'a> {
    fn new(
        request: &'a Request<'a>,
        route: &Route,
        caller: &'a Caller,
        version: Microversion,
        settings: &'a LazySettings<'a>,
        environment: &'a Environment<'a>,
    ) -> Self {
        Self {
            service: Service {
                store: Store::new(environment.key_value, environment.identifiers),
                identifiers: environment.identifiers,
                caller,
                now: environment.now,
                settings,
            },
            version,
            parameters: Parameters::default(),
            body: None,
            request,
            project_in_path: route.project_id.clone(),
        }
    }

    fn dispatch(&self, operation: &Operation, action: Option<Action>) -> Result<Reply, Fault> {
        match operation {
            Operation::Discover => Reply::json(StatusCode::OK, &discovery::versions(&origin(self.request))),
            Operation::ListSnapshots { detail } => snapshots::list(self, *detail),
            Operation::CreateSnapshot => snapshots::create(self),
            Operation::ShowSnapshot(id) => snapshots::show(self, id),
            Operation::UpdateSnapshot(id) => snapshots::update(self, id),
            Operation::DeleteSnapshot(id) => snapshots::delete(self, id),
            Operation::ActOnSnapshot(id) => match action {
                Some(Action::OnSnapshot(action)) => snapshot_actions::act(self, id, action),
                _ => Err(Fault::bad_request(MALFORMED_BODY)),
            },
            Operation::ActOnVolume(id) => match action {
                Some(Action::OnVolume(action)) => volume_actions::act(self, id, action),
                _ => Err(Fault::bad_request(MALFORMED_BODY)),
            },
            Operation::ManageSnapshot(path) => manageable_snapshots::create(self, *path),
            Operation::ListManageableSnapshots(path) => manageable_snapshots::list(self, *path),
            Operation::ShowQuotaSet(id) => quota_sets::show(self, id),
            Operation::ShowDefaultQuotaSet(id) => quota_sets::defaults(self, id),
            Operation::UpdateQuotaSet(id) => quota_sets::update(self, id),
            Operation::DeleteQuotaSet(id) => quota_sets::delete(self, id),
            Operation::ShowLimits => quota_sets::limits(self),
            Operation::ListExtensions => extensions::list(),
            Operation::ShowExtension(alias) => extensions::show(alias),
            Operation::ListResourceFilters => resource_filters::list(self),
            Operation::ListBackups => {
                self.service.caller.is_scoped()?;
                Reply::json(StatusCode::OK, &serde_json::json!({ "backups": [] }))
            }
            Operation::ShowBackup(id) => {
                self.service.caller.is_scoped()?;
                Err(Fault::new(StatusCode::NOT_FOUND, format!("Backup {id} could not be found.")))
            }
            Operation::ShowMetadata(owner, id) => metadata::show_all(self, *owner, id),
            Operation::MergeMetadata(owner, id) => metadata::merge(self, *owner, id),
            Operation::ReplaceMetadata(owner, id) => metadata::replace(self, *owner, id),
            Operation::ShowMetadataItem(owner, id, key) => metadata::show(self, *owner, id, key),
            Operation::PutMetadataItem(owner, id, key) => metadata::put(self, *owner, id, key),
            Operation::DeleteMetadataItem(owner, id, key) => metadata::delete(self, *owner, id, key),
            Operation::ListVolumes { detail } => volumes::list(self, *detail),
            Operation::CreateVolume => volumes::create(self),
            Operation::ShowVolume(id) => volumes::show(self, id),
            Operation::UpdateVolume(id) => volumes::update(self, id),
            Operation::DeleteVolume(id) => volumes::delete(self, id),
            Operation::Phantom => Err(Fault::not_found()),
        }
    }

    /// The largest page of the variables.
    fn max_limit(&self) -> Result<usize, Fault> {
        self.service.settings.get().map(|settings| settings.max_limit).map_err(|error| misconfigured(&error))
    }

    /// Scheme and host as links name them: a proxy's word counts.
    fn link_origin(&self) -> String {
        let forwarded = self.request.headers.text(Header::XForwardedHost);
        match forwarded.and_then(|hosts| hosts.split(',').next_back()).map(str::trim) {
            Some(host) if !host.is_empty() => format!("{}://{host}", (self.request.origin)().scheme()),
            _ => origin(self.request),
        }
    }

    /// A path below `/v3`, with the project id where the request had one.
    fn path_in_project(&self, path: &str) -> String {
        match &self.project_in_path {
            Some(project_id) => format!("{project_id}/{path}"),
            None => path.to_owned(),
        }
    }

    /// The link to the next page (`spec/listing.md` section 2): there is one when the page is full, or, once all
    /// matches are counted, when there are as many.
    fn next_link(
        &self,
        collection: &str,
        shown: usize,
        limit: usize,
        count: Option<usize>,
        last: Option<&str>,
    ) -> Option<Links> {
        let last = last?;
        let items = count.filter(|count| *count > 0).unwrap_or(shown);
        if limit > items {
            return None;
        }
        let path = self.path_in_project(collection);
        let query = self.parameters.for_page_after(last);
        Some([Link { rel: "next", href: format!("{}/v3/{path}?{query}", self.link_origin()) }])
    }
}

impl Operation {
    /// Whether the operation reads or changes one row that is there, which begins no work and counts against no quota: it
    /// depends on no setting but on who says who asks.
    const fn is_for_one_row(&self) -> bool {
        matches!(
            self,
            Self::ShowSnapshot(_)
                | Self::UpdateSnapshot(_)
                | Self::ShowVolume(_)
                | Self::UpdateVolume(_)
                | Self::ShowMetadata(..)
                | Self::MergeMetadata(..)
                | Self::ReplaceMetadata(..)
                | Self::ShowMetadataItem(..)
                | Self::PutMetadataItem(..)
                | Self::DeleteMetadataItem(..)
        )
    }

    /// Whether the operation reads a body.
    const fn takes_body(&self) -> bool {
        matches!(
            self,
            Self::CreateSnapshot
                | Self::UpdateSnapshot(_)
                | Self::ActOnSnapshot(_)
                | Self::MergeMetadata(..)
                | Self::ReplaceMetadata(..)
                | Self::PutMetadataItem(..)
                | Self::CreateVolume
                | Self::UpdateVolume(_)
                | Self::ActOnVolume(_)
                | Self::ManageSnapshot(_)
                | Self::UpdateQuotaSet(_)
        )
    }
}

/// Whether there is a body to read: one without a type is ignored, as in Cinder.
fn has_json_body(headers: &Headers<'_>, body: &[u8]) -> Result<bool, Fault> {
    if body.is_empty() {
        return Ok(false);
    }
    if !headers.has(Header::ContentType) {
        return Ok(false);
    }
    let content_type = headers.text(Header::ContentType).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default();
    // Cinder compares the text as it is, letter case and all.
    match media_type {
        "application/json" | "application/vnd.openstack.volume+json" => Ok(true),
        _ => Err(Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported Content-Type")),
    }
}

/// Reads a body. Python's parser takes `NaN` and `Infinity` for numbers; here they become one that no field can have.
fn parsed(body: &[u8]) -> Option<Value> {
    const WORDS: [&[u8]; 2] = [b"NaN", b"Infinity"];
    let mut text = Vec::with_capacity(body.len());
    // Quotes stand at the ends of texts, except for those behind an odd number of backslashes.
    let (mut in_text, mut is_escaped) = (false, false);
    let mut rest = body;
    while let [byte, after @ ..] = rest {
        if let Some(word) = WORDS.into_iter().find(|word| !in_text && rest.starts_with(word)) {
            text.extend(b"1e308");
            rest = &rest[word.len()..];
            continue;
        }
        in_text ^= *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        text.push(*byte);
        rest = after;
    }
    serde_json::from_slice(&text).ok()
}

/// The version header; several count as one, as HTTP has it.
fn version_header<'a>(headers: &Headers<'a>) -> Option<Cow<'a, str>> {
    if !headers.has(Header::OpenstackApiVersion) {
        return None;
    }
    let mut values = headers.texts(Header::OpenstackApiVersion);
    let first = values.next().unwrap_or_default();
    Some(values.fold(Cow::Borrowed(first), |all, value| Cow::Owned([&all, ",", value].concat())))
}

/// Scheme and host of the request, as its client wrote them.
fn origin(request: &Request<'_>) -> String {
    let origin @ Origin { authority, .. } = &(request.origin)();
    let host = request.headers.text(Header::Host).or(authority.as_deref()).unwrap_or("localhost");
    format!("{}://{host}", origin.scheme())
}

/// How well a client likes a media type: the quality of the closest range of its `Accept` that has no parameters.
fn quality(headers: &Headers<'_>, wanted: &str) -> f64 {
    let accept = headers.text(Header::Accept).unwrap_or_default();
    let mut best = (0, 0.0);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let quality = match parts.next() {
            None | Some("") => 1.0,
            Some(parameter) => match parameter.strip_prefix("q=") {
                Some(quality) => quality.parse().unwrap_or(0.0),
                None => continue,
            },
        };
        let closeness = match media_type.strip_suffix("/*") {
            _ if media_type.eq_ignore_ascii_case(wanted) => 3,
            Some("*") => 1,
            Some(kind) if wanted.split('/').next().is_some_and(|own| own.eq_ignore_ascii_case(kind)) => 2,
            _ => continue,
        };
        if closeness > best.0 {
            best = (closeness, quality);
        }
    }
    best.1
}

/// Whether the client would rather have Cinder's own media type than plain JSON; a path may insist on JSON.
fn prefers_vendor_type(request: &Request<'_>) -> bool {
    // Most clients that name anything name one of these, which says all.
    if matches!(request.headers.get(Header::Accept), None | Some(b"*/*" | b"application/json")) {
        return false;
    }
    let quality = |wanted| quality(&request.headers, wanted);
    quality("application/vnd.openstack.volume+json") > quality("application/json")
        && request.path.strip_suffix(".json").is_none()
}

/// A fault from outside the resource layer, as `WebOb` writes it: HTML or plain text. Whoever asks for JSON gets the
/// fault's usual shape from us, and a body that is too large is told as JSON in any case
/// (`spec/versions-and-faults.md` section 5, "Recommended").
fn outside(fault: &Fault, headers: &Headers<'_>) -> Reply {
    let (html, json) = (quality(headers, "text/html"), quality(headers, "application/json"));
    let title = "404 Not Found";
    let content = if fault.status != StatusCode::NOT_FOUND || json > html {
        let body = String::from_utf8_lossy(&fault.body()).into_owned();
        Content::Outside { media_type: "application/json", body }
    } else if html > 0.0 {
        let body = format!(
            "<html>\n <head>\n  <title>{title}</title>\n </head>\n <body>\n  <h1>{title}</h1>\n  {}<br /><br />\n\n\n\n \
             </body>\n</html>",
            fault.message
        );
        Content::Outside { media_type: "text/html; charset=UTF-8", body }
    } else {
        let body = format!("{title}\n\n{}\n\n   ", fault.message);
        Content::Outside { media_type: "text/plain; charset=UTF-8", body }
    };
    Reply::new(fault.status, content)
}

/// A variable that cannot be used: the log names it, the client learns only that it is not to blame.
fn misconfigured(error: &SettingsError) -> Fault {
    Fault::server_error(error.to_string())
}

/// `GET /healthcheck`: whether the variables can be used and the store can be read.
fn healthcheck(environment: &Environment<'_>) -> Reply {
    if let Err(error) = LazySettings::new(environment.variables).checked() {
        return misconfigured(&error).into();
    }
    match Store::new(environment.key_value, environment.identifiers).deployment() {
        Ok(_) => Reply::new(
            StatusCode::OK,
            Content::Outside { media_type: "text/plain; charset=UTF-8", body: "OK".to_owned() },
        ),
        Err(error) => Fault::from(error).into(),
    }
}
