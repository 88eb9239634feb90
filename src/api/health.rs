//! `GET /healthcheck`: whether the variables are valid and the store can be read.

use http::StatusCode;

use crate::service::ops::Ops;
use crate::settings::LazySettings;

use super::environment::Environment;
use super::wire::faults::Fault;
use super::wire::reply::{Content, Reply};

/// Checks the health of the service.
#[must_use]
pub fn check(environment: &Environment<'_>) -> Reply {
    checked(environment).unwrap_or_else(Reply::from)
}

fn checked(environment: &Environment<'_>) -> Result<Reply, Fault> {
    LazySettings::new(environment.variables).checked()?;
    Ops::new(environment.key_value, environment.identifiers, environment.now).check_store()?;
    let content = Content::NonApi { media_type: "text/plain; charset=UTF-8", body: "OK".to_owned() };
    Ok(Reply::new(StatusCode::OK, content))
}
