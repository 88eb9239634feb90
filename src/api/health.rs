//! The checks of health, which need no token (`docs/operations.md`, "Health").
//!
//! They are three because an orchestrator acts differently on each: it restarts what is not alive, and only sends no
//! requests to what is not ready. A full disk is no reason to restart.

use http::StatusCode;

use crate::keystone::KeystoneError;
use crate::service::ops::Ops;
use crate::settings::{AuthMode, LazySettings};

use super::environment::Environment;
use super::wire::faults::Fault;
use super::wire::reply::{Content, Reply};

/// The message for a login that Keystone refuses. The cause, with the user's name, is in the log.
const LOGIN_REFUSED: &str = "Keystone refuses the login of the service user.";

/// Answers a check of health. Returns `None` for any other path.
#[must_use]
pub fn answer(path: &str, environment: &Environment<'_>) -> Option<Reply> {
    let checked = match path {
        "/healthcheck" => is_alive(environment),
        "/readiness" => is_ready(environment),
        "/startup" => has_started(environment),
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

/// `GET /startup`: as `GET /healthcheck`, and with `auth_mode=keystone` the service user can log in. A Keystone that does not
/// answer is no reason not to start, since it may be back before a client asks. A Keystone that refuses the login is.
fn has_started(environment: &Environment<'_>) -> Result<(), Fault> {
    is_alive(environment)?;
    let settings = LazySettings::new(environment.variables);
    let AuthMode::Keystone(settings) = AuthMode::read(&settings)? else { return Ok(()) };
    let refused = || Fault::new(StatusCode::SERVICE_UNAVAILABLE, LOGIN_REFUSED);
    match environment.keystone(&settings).check_login() {
        Err(error @ KeystoneError::LoginFailed { is_refusal: true, .. }) => {
            Err(Fault { cause: Some(error.to_string()), ..refused() })
        }
        Err(KeystoneError::Paused { seconds, is_refusal: true }) => {
            Err(Fault { retry_after: Some(seconds), ..refused() })
        }
        Err(error @ KeystoneError::LoginFailed { .. }) => {
            (environment.log)(&error.to_string());
            Ok(())
        }
        _ => Ok(()),
    }
}

const fn ops<'a>(environment: &'a Environment<'_>) -> Ops<'a> {
    Ops::new(environment.key_value, environment.identifiers, &environment.notes, environment.now)
}
