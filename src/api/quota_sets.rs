//! Quota sets (`docs/spec/beyond.md` section 3).

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::domain::ProjectId;
use crate::domain::quota::Amounts;
use crate::service::policy::Rule;
use crate::service::quota_sets::Quota;

use super::call::Call;
use super::python;
use super::schema::{self, Check, ObjectSchema};
use super::wire::body::{self, object};
use super::wire::faults::{BAD_REQUEST, Fault};
use super::wire::reply::{Content, Reply};

const UPDATE: ObjectSchema = ObjectSchema {
    properties: &[("quota_set", Check::NonEmptyObject)],
    required: &["quota_set"],
    others_allowed: false,
    one_of: &[],
};

const UPDATE_OPENLY: ObjectSchema = ObjectSchema { others_allowed: true, ..UPDATE };

/// The members of a quota set that are not resources.
const NOT_RESOURCES: [&str; 2] = ["id", "tenant_id"];

/// The largest limit that fits Cinder's database.
const LARGEST_LIMIT: i128 = 2_147_483_647;

/// Reads the project id of the path.
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
        Some(value) => body::boolean("usage", value)?,
        None => false,
    };
    let mut set: Map<String, Value> = if with_usage {
        let mut set = Map::new();
        for Quota { resource, limit, in_use, reserved, .. } in quotas {
            set.insert(resource, json!({ "limit": limit, "in_use": in_use, "reserved": reserved }));
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
    let body = schema::check(&UPDATE_OPENLY, call.body.as_ref())?;
    let project_id = project(id)?;
    let wanted = object(body.get("quota_set"))?;
    let resources = wanted.iter().filter(|(resource, _)| !NOT_RESOURCES.contains(&resource.as_str()));
    let unknown = call.service.unknown_quotas(&project_id, resources.clone().map(|(resource, _)| resource))?;
    let mut limits = Amounts::new();
    let mut has_strings = false;
    for (resource, value) in resources.filter(|(resource, _)| !unknown.contains(&resource.as_str())) {
        limits.insert(resource.clone(), limit(resource, value)?);
        has_strings |= value.is_string() && resource != "per_volume_gigabytes";
    }
    if !unknown.is_empty() {
        let message = format!("Invalid input received: Bad key(s) in quota set: {}", unknown.join(", "));
        return Err(Fault::bad_request(message));
    }
    // As in Cinder's schema, other keys beside the quota set come last.
    schema::check(&UPDATE, call.body.as_ref())?;
    if has_strings {
        // Cinder accepts a number in a string, and then fails to compare the string with the usage.
        call.service.caller.allow(Rule::UpdateQuotas, &project_id)?;
        return Err(Fault::bad_request(BAD_REQUEST));
    }
    let quotas = call.service.update_quota_set(&project_id, &limits)?;
    Reply::json(StatusCode::OK, &json!({ "quota_set": limits_of(quotas) }))
}

/// Reads a limit: a number, or a string that Python reads as one.
fn limit(resource: &str, value: &Value) -> Result<i64, Fault> {
    let refused = |detail: &str| Fault::bad_request(format!("{resource} must be {detail}"));
    let number = match value {
        Value::Number(number) => number.as_i64().map(i128::from),
        Value::String(string) => python::integer(string),
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
