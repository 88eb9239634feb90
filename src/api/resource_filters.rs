//! The filters that members may use in lists (`docs/spec/beyond.md` section 3).

use http::StatusCode;
use serde_json::{Value, json};

use super::call::Call;
use super::microversion;
use super::wire::faults::Fault;
use super::wire::reply::Reply;

/// `GET .../resource_filters`
pub fn list(call: &Call<'_>) -> Result<Reply, Fault> {
    if call.version < microversion::RESOURCE_FILTERS_SHOWN {
        return Err(Fault::not_found());
    }
    let all = call.service.resource_filters()?;
    let wanted = call.parameters.get("resource").filter(|resource| !resource.is_empty());
    let documents: Vec<Value> = all
        .into_iter()
        .filter(|(name, _)| wanted.is_none_or(|wanted| wanted == name))
        .map(|(resource, filters)| json!({ "resource": resource, "filters": filters }))
        .collect();
    Reply::json(StatusCode::OK, &json!({ "resource_filters": documents }))
}
