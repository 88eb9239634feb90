//! The filters that lists allow (`spec/beyond.md` section 3, `spec/listing.md` section 4.1).

#![expect(clippy::missing_errors_doc, reason = "an operation answers the faults of its service and of its schema")]

use http::StatusCode;
use serde_json::{Value, json};

use crate::store::deployment::Deployment;

use super::Call;
use super::microversion;
use super::wire::faults::Fault;
use super::wire::reply::Reply;

/// Cinder's own file, `etc/cinder/resource_filters.json`.
pub const DEFAULT: [(&str, &[&str]); 9] = [
    (
        "volume",
        &[
            "name",
            "status",
            "metadata",
            "bootable",
            "migration_status",
            "availability_zone",
            "group_id",
            "size",
            "created_at",
            "updated_at",
            "consumes_quota",
        ],
    ),
    ("backup", &["name", "status", "volume_id"]),
    ("snapshot", &["name", "status", "volume_id", "metadata", "availability_zone", "consumes_quota"]),
    ("group", &["name"]),
    ("group_snapshot", &["name", "status", "group_id"]),
    ("attachment", &["volume_id", "status", "instance_id", "attach_status"]),
    ("message", &["resource_uuid", "resource_type", "event_id", "request_id", "message_level"]),
    ("pool", &["name", "volume_type"]),
    ("volume_type", &["is_public", "extra_specs"]),
];

/// The filters that members may use on a resource.
#[must_use]
pub fn of(resource: &str, deployment: &Deployment) -> Vec<String> {
    if let Some(filters) = &deployment.resource_filters {
        filters.get(resource).cloned().unwrap_or_default()
    } else {
        let default = DEFAULT.iter().find(|(name, _)| *name == resource);
        default.map(|(_, filters)| owned(filters)).unwrap_or_default()
    }
}

fn owned(filters: &[&str]) -> Vec<String> {
    filters.iter().map(|name| (*name).to_owned()).collect()
}

/// `GET .../resource_filters`
pub fn list(call: &Call<'_>) -> Result<Reply, Fault> {
    if call.version < microversion::RESOURCE_FILTERS_SHOWN {
        return Err(Fault::not_found());
    }
    let deployment = call.service.store.deployment()?;
    let all: Vec<(String, Vec<String>)> = match &deployment.resource_filters {
        Some(filters) => filters.iter().map(|(name, filters)| (name.clone(), filters.clone())).collect(),
        None => DEFAULT.iter().map(|(name, filters)| ((*name).to_owned(), owned(filters))).collect(),
    };
    let wanted = call.parameters.get("resource").filter(|resource| !resource.is_empty());
    let shown: Vec<Value> = all
        .into_iter()
        .filter(|(name, _)| wanted.is_none_or(|wanted| wanted == name))
        .map(|(resource, filters)| json!({ "resource": resource, "filters": filters }))
        .collect();
    Reply::json(StatusCode::OK, &json!({ "resource_filters": shown }))
}
