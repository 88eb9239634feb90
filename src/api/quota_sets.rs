//! Quota sets and limits in the API's words (`spec/beyond.md` section 3).

#![expect(clippy::missing_errors_doc, reason = "an operation answers the faults of its service and of its schema")]

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::domain::ProjectId;
use crate::domain::quota::Amounts;
use crate::service::Error;
use crate::service::policy::Rule;
use crate::service::quota_sets::Quota;

use super::Call;
use super::microversion;
use super::python::text as python_text;
use super::schema::{self, Check, Object};
use super::snapshots::object;
use super::wire::faults::{BAD_REQUEST, Fault};
use super::wire::reply::{Content, Reply};

const UPDATE: Object = Object {
    properties: &[("quota_set", Check::NonEmptyObject)],
    required: &["quota_set"],
    others_allowed: false,
    one_of: &[],
};

/// Words of a quota set that are no resources.
const NOT_RESOURCES: [&str; 2] = ["id", "tenant_id"];

/// The largest limit: what Cinder's database holds.
const LARGEST_LIMIT: i128 = 2_147_483_647;

/// The project of the path. One that no project can have holds nothing, and is nobody's but an administrator's.
fn project(id: &str) -> Result<ProjectId, Fault> {
    id.parse().map_err(|error: crate::domain::identifiers::IdentifierError| Fault::bad_request(error.to_string()))
}

fn limits_of(quotas: Vec<Quota>) -> Map<String, Value> {
    let mut limits = Map::new();
    limits.extend(quotas.into_iter().map(|quota| (quota.resource, quota.limit.into())));
    limits
}

/// `GET .../os-quota-sets/{project}`
pub fn show(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    let quotas = call.service.show_quota_set(&project(id)?)?;
    let with_usage = match call.parameters.get("usage") {
        Some(value) => python_text::boolean(value)
            .ok_or_else(|| Fault::bad_request(format!("Value '{value}' for 'usage' is not a boolean.")))?,
        None => false,
    };
    let mut set: Map<String, Value> = if with_usage {
        let mut set = Map::new();
        for Quota { resource, limit, in_use } in quotas {
            set.insert(resource, json!({ "limit": limit, "in_use": in_use, "reserved": 0 }));
        }
        set
    } else {
        limits_of(quotas)
    };
    set.insert("id".to_owned(), id.into());
    Reply::json(StatusCode::OK, &json!({ "quota_set": set }))
}

/// `GET .../os-quota-sets/{project}/defaults`
pub fn defaults(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    let mut set = limits_of(call.service.default_quota_set(&project(id)?)?);
    set.insert("id".to_owned(), id.into());
    Reply::json(StatusCode::OK, &json!({ "quota_set": set }))
}

/// `PUT .../os-quota-sets/{project}`
pub fn update(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    let body = schema::check(&UPDATE, call.body.as_ref())?;
    let project_id = project(id)?;
    let wanted = object(body.get("quota_set"))?;
    let resources = wanted.iter().filter(|(resource, _)| !NOT_RESOURCES.contains(&resource.as_str()));
    let unknown = call.service.unknown_quotas(&project_id, resources.clone().map(|(resource, _)| resource))?;
    let mut limits = Amounts::new();
    let mut has_texts = false;
    for (resource, value) in resources.filter(|(resource, _)| !unknown.contains(&resource.as_str())) {
        limits.insert(resource.clone(), limit(resource, value)?);
        has_texts |= value.is_string() && resource != "per_volume_gigabytes";
    }
    if !unknown.is_empty() {
        let text = format!("Invalid input received: Bad key(s) in quota set: {}", unknown.join(", "));
        return Err(Fault::bad_request(text));
    }
    if has_texts {
        // Cinder reads a number from a text, and then fails to compare the text with what is in use.
        call.service.caller.allow(Rule::UpdateQuotas, &project_id)?;
        return Err(Fault::bad_request(BAD_REQUEST));
    }
    let quotas = call.service.update_quota_set(&project_id, &limits)?;
    Reply::json(StatusCode::OK, &json!({ "quota_set": limits_of(quotas) }))
}

/// A limit: a number, or a text that Python reads as one.
fn limit(resource: &str, value: &Value) -> Result<i64, Fault> {
    let refused = |detail: &str| Fault::bad_request(format!("{resource} must be {detail}"));
    let number = match value {
        Value::Number(number) => number.as_i64().map(i128::from),
        Value::String(text) => python_text::integer(text),
        _ => None,
    };
    let number = number.ok_or_else(|| refused("an integer"))?;
    if number < -1 {
        return Err(refused(">= -1"));
    }
    i64::try_from(number).ok().filter(|_| number <= LARGEST_LIMIT).ok_or_else(|| refused("<= 2147483647"))
}

/// `DELETE .../os-quota-sets/{project}`
pub fn delete(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    call.service.delete_quota_set(&project(id)?)?;
    Ok(Reply::new(StatusCode::OK, Content::Empty))
}

/// `GET .../limits`
pub fn limits(call: &Call<'_>) -> Result<Reply, Fault> {
    /// Resource, its limit's name, and the name of what is in use.
    const NAMES: [(&str, &str, &str); 5] = [
        ("volumes", "maxTotalVolumes", "totalVolumesUsed"),
        ("snapshots", "maxTotalSnapshots", "totalSnapshotsUsed"),
        ("gigabytes", "maxTotalVolumeGigabytes", "totalGigabytesUsed"),
        ("backups", "maxTotalBackups", "totalBackupsUsed"),
        ("backup_gigabytes", "maxTotalBackupGigabytes", "totalBackupGigabytesUsed"),
    ];
    let named = call.parameters.get("project_id").or_else(|| call.parameters.get("tenant_id"));
    let named = named.filter(|_| call.version >= microversion::LIMITS_OF_PROJECT);
    let (quotas, shows_usage) = call.service.limits(named).map_err(|error: Error| Fault::from(error))?;
    let mut absolute = Map::new();
    for (resource, limit_name, usage_name) in NAMES {
        if let Some(quota) = quotas.iter().find(|quota| quota.resource == resource) {
            absolute.insert(limit_name.to_owned(), quota.limit.into());
            if shows_usage {
                absolute.insert(usage_name.to_owned(), quota.in_use.into());
            }
        }
    }
    Reply::json(StatusCode::OK, &json!({ "limits": { "rate": [], "absolute": absolute } }))
}
