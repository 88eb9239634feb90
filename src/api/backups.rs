//! Backups, of which this service has none. Clients of snapshots ask for them, and accept an empty list and a 404.

use http::StatusCode;
use serde_json::json;

use crate::service::policy::Rule;

use super::call::Call;
use super::wire::faults::Fault;
use super::wire::reply::Reply;

/// `GET .../backups[/detail]`
pub fn list(call: &Call<'_>) -> Result<Reply, Fault> {
    call.service.caller.allow_own(Rule::GetAllBackups)?;
    Reply::json(StatusCode::OK, &json!({ "backups": [] }))
}

/// `GET .../backups/{id}`
pub fn show(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    call.service.caller.is_scoped()?;
    Err(Fault::new(StatusCode::NOT_FOUND, format!("Backup {id} could not be found.")))
}
