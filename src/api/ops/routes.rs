//! The routes of the operator, and who may use them.

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

use crate::api::environment::Environment;
use crate::api::wire::faults::{Fault, INCOMPLETE_BODY};
use crate::api::wire::headers::Header;
use crate::api::wire::reply::{Content, Reply};
use crate::api::wire::request::{Body, Headers, Request};
use crate::domain::Timestamp;
use crate::service::ops::{Ops, Removal, Repair, TickBounds, TickReport, Unreadable};
use crate::settings::{LazySettings, OPS_TOKEN, Settings, SettingsError, Variables};

use super::explain::explanation_document;
use super::state_document::{StateDocument, UnreadableDocument, state_document};

/// The prefix of every operator's path.
pub const PREFIX: &str = "/_ops/";

/// The prefix of the route that removes a row. The key follows.
const ROWS: &str = "rows/";

/// The prefix of the route that explains a snapshot. The id follows.
const EXPLAIN: &str = "explain/";

/// The largest body, in bytes: a state of some hundred thousand snapshots.
const LARGEST_BODY: usize = 128 * 1024 * 1024;

/// Answers an operator's request.
///
/// # Errors
///
/// A request that is not the operator's, an unknown route, an invalid document, or a failure of the store.
pub fn answer(request: &Request<'_>, path: &str, environment: &Environment<'_>) -> Result<Reply, Fault> {
    authorize_operator(&request.headers, environment.variables)?;
    if request.headers.content_length().is_some_and(|length| length > LARGEST_BODY as u64) {
        return Err(too_large());
    }
    let ops = Ops::new(environment.key_value, environment.identifiers, &environment.notes, environment.now);
    let method = &request.method;
    match &path[PREFIX.len()..] {
        "state" if method == Method::GET => {
            Ok(Reply::new(StatusCode::OK, Content::Json(state_document(ops.read_state()?)?)))
        }
        "state" if method == Method::PUT => {
            let discards_unreadable = discards_unreadable(request.query)?;
            let document: StateDocument = read(&read_body(request)?)?;
            if !discards_unreadable && let Some(message) = document.lacks() {
                return Err(Fault::new(StatusCode::CONFLICT, message));
            }
            let ignored = document.ignored();
            let state = document.into_state(&settings(environment)?.delays, environment.now)?;
            let mut counts = json!({ "volumes": state.rows.volumes.len(), "snapshots": state.rows.snapshots.len() });
            if !ignored.is_empty() {
                counts["ignored"] = ignored.into();
            }
            ops.replace(state)?;
            Reply::json(StatusCode::OK, &counts)
        }
        "state" if method == Method::DELETE => {
            ops.clear()?;
            Ok(Reply::new(StatusCode::NO_CONTENT, Content::Empty))
        }
        "tick" if method == Method::POST => {
            let body = read_body(request)?;
            let TickRequest { now } = if body.is_empty() { TickRequest::default() } else { read(&body)? };
            let settings = settings(environment)?;
            let bounds = TickBounds { rows: settings.rows_per_tick, message_ttl: settings.message_ttl_seconds };
            let (now, TickReport { removed, settled, repaired, more }) = ops.tick(now, bounds)?;
            let document = json!({
                "now": now.to_string(), "removed": removed, "settled": settled, "repaired": repaired, "more": more,
            });
            Reply::json(StatusCode::OK, &document)
        }
        "repair" if method == Method::POST => {
            let (repair, unreadable): (Repair, Vec<Unreadable>) = ops.repair()?;
            let document = json!({
                "projects": repair.projects,
                "rows": repair.rows,
                "entries_without_row": repair.entries_without_row,
                "rows_without_entry": repair.rows_without_entry,
                "counters": repair.counters,
                "rows_without_agenda": repair.rows_without_agenda,
                "pages_deleted": repair.pages_deleted,
                "pages_suspected": repair.pages_suspected,
                "unreadable": unreadable.into_iter().map(UnreadableDocument::from).collect::<Vec<_>>(),
            });
            Reply::json(StatusCode::OK, &document)
        }
        route if method == Method::DELETE && route.starts_with(ROWS) => remove_unreadable(&ops, &route[ROWS.len()..]),
        route if method == Method::GET && route.starts_with(EXPLAIN) => {
            let id = &route[EXPLAIN.len()..];
            let not_found = || Fault::new(StatusCode::NOT_FOUND, format!("Snapshot {id} could not be found."));
            let explanation = match id.parse() {
                Ok(id) => ops.explain(id)?,
                Err(_) => None,
            };
            Reply::json(StatusCode::OK, &explanation_document(&explanation.ok_or_else(not_found)?))
        }
        _ => Err(Fault::not_found()),
    }
}

/// Removes a row that cannot be read.
fn remove_unreadable(ops: &Ops<'_>, key: &str) -> Result<Reply, Fault> {
    let conflict = |reason: &str| Err(Fault::new(StatusCode::CONFLICT, format!("The value of '{key}' {reason}")));
    match ops.remove_unreadable(key)? {
        Removal::Removed => Ok(Reply::new(StatusCode::NO_CONTENT, Content::Empty)),
        Removal::Absent => Err(Fault::new(StatusCode::NOT_FOUND, format!("There is no value of '{key}'."))),
        Removal::Readable => conflict("can be read, so it is not removed here."),
        Removal::NotARow => conflict("is not a row. A repair restores what can be restored of other values."),
    }
}

/// Returns whether a query lets a document replace the state although values could not be read when the document was made.
fn discards_unreadable(query: &str) -> Result<bool, Fault> {
    let value = query.split('&').find_map(|parameter| parameter.strip_prefix("discard_unreadable="));
    match value {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Fault::bad_request("discard_unreadable must be true or false.")),
    }
}

fn settings(environment: &Environment<'_>) -> Result<Settings, SettingsError> {
    LazySettings::new(environment.variables).checked().cloned()
}

/// Checks that a request is the operator's.
///
/// # Errors
///
/// A 404 if no secret is set, and a 403 for a request without the secret.
fn authorize_operator(headers: &Headers<'_>, variables: &dyn Variables) -> Result<(), Fault> {
    let secret = variables.get(OPS_TOKEN).unwrap_or_default();
    if secret.is_empty() {
        return Err(Fault::not_found());
    }
    let token = headers.get(Header::XOpsToken).unwrap_or_default();
    if !headers.is_repeated(Header::XOpsToken) && equal_in_constant_time(token, secret.as_bytes()) {
        return Ok(());
    }
    Err(Fault::new(StatusCode::FORBIDDEN, "The header X-Ops-Token is missing or wrong."))
}

/// Compares two secrets in a time that does not depend on where they differ.
fn equal_in_constant_time(one: &[u8], two: &[u8]) -> bool {
    let differences = one.iter().zip(two).fold(0_u8, |seen, (one, two)| seen | (one ^ two));
    one.len() == two.len() && std::hint::black_box(differences) == 0
}

fn too_large() -> Fault {
    Fault::new(StatusCode::PAYLOAD_TOO_LARGE, format!("The document is larger than {LARGEST_BODY} bytes."))
}

/// Reads the body of a request.
fn read_body(request: &Request<'_>) -> Result<Vec<u8>, Fault> {
    match (request.body)(LARGEST_BODY) {
        Body::Complete(body) => Ok(body),
        Body::TooLarge => Err(too_large()),
        Body::Broken => Err(Fault::bad_request(INCOMPLETE_BODY)),
    }
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Fault> {
    crate::json::read(body).map_err(|error| Fault::bad_request(format!("The document cannot be used: {error}")))
}

/// The body of a tick.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TickRequest {
    /// The time as of which the step runs; the present without it.
    #[serde(default)]
    now: Option<Timestamp>,
}
