//! The checks of health, which need no token (`docs/operations.md`, "Health").
//!
//! They are three because an orchestrator acts differently on each: it restarts what is not alive, and only sends no
//! requests to what is not ready. A full disk is no reason to restart.

use http::StatusCode;

use crate::service::ops::Ops;
use crate::settings::LazySettings;

use super::environment::Environment;
use super::wire::faults::Fault;
use super::wire::reply::{Content, Reply};

/// Answers a check of health. Returns `None` for any other path.
#[must_use]
pub fn answer(path: &str, environment: &Environment<'_>) -> Option<Reply> {
    let checked = match path {
        "/healthcheck" => is_alive(environment),
        "/readiness" => is_ready(environment),
        _ => return None,
    };
    let content = Content::NonApi { media_type: "text/plain; charset=UTF-8", body: "OK".to_owned() };
    Some(checked.map_or_else(Reply::from, |()| Reply::new(StatusCode::OK, content)))
}

/// `GET /healthcheck`: the variables are valid, and the store can be read. It never writes.
fn is_alive(environment: &Environment<'_>) -> Result<(), Fault> {
    LazySettings::new(environment.variables).checked()?;
    Ok(ops(environment).check_store()?)
}

/// `GET /readiness`: the variables are valid, and a write succeeded in the last ten seconds. It writes at most once in that
/// time, except while writes fail: then each check tries, since nothing can be remembered.
fn is_ready(environment: &Environment<'_>) -> Result<(), Fault> {
    LazySettings::new(environment.variables).checked()?;
    Ok(ops(environment).check_writable()?)
}

const fn ops<'a>(environment: &'a Environment<'_>) -> Ops<'a> {
    Ops::new(environment.key_value, environment.identifiers, &environment.unreadable, environment.now)
}
