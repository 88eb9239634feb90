//! The services of the deployment, the availability zones, and the pools of the scheduler (`cinder/api/v3/services.py`,
//! `cinder/api/contrib/availability_zones.py`, `cinder/api/contrib/scheduler_stats.py`).

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::domain::Timestamp;
use crate::domain::capabilities::{self, Capabilities, Capability, POOL};
use crate::service::policy::Rule;
use crate::service::services::{BackendService, ServiceChange, VOLUME_BINARY};

use super::call::Call;
use super::microversion::{self, Microversion};
use super::query;
use super::routes::ServiceUpdate;
use super::schema::{self, Check, ObjectSchema};
use super::wire::body::{boolean, string};
use super::wire::faults::Fault;
use super::wire::reply::{Content, Reply};

/// `cluster` of services.
const SERVICE_CLUSTER: Microversion = Microversion::v3(7);
/// `cluster` in place of `host` for a freeze.
const FREEZE_CLUSTER: Microversion = Microversion::v3(26);
/// The filters of pools.
const POOL_FILTERS: Microversion = Microversion::v3(28);
/// The filter of pools by volume type.
const POOL_TYPE_FILTER: Microversion = Microversion::v3(35);
/// `backend_state` of services.
const BACKEND_STATE: Microversion = Microversion::v3(49);

const CHANGE: ObjectSchema = ObjectSchema {
    properties: &[
        ("binary", Check::ShortString),
        ("host", Check::ShortString),
        ("cluster", Check::Name),
        ("service", Check::ShortString),
    ],
    required: &[],
    others_allowed: false,
    one_of: &["binary", "service"],
};

const DISABLE_WITH_REASON: ObjectSchema = ObjectSchema {
    properties: &[
        ("binary", Check::ShortString),
        ("host", Check::ShortString),
        ("cluster", Check::Name),
        ("service", Check::ShortString),
        ("disabled_reason", Check::ShortString),
    ],
    ..CHANGE
};

const FREEZE: ObjectSchema = ObjectSchema {
    properties: &[("cluster", Check::Name), ("host", Check::ShortString)],
    required: &[],
    others_allowed: false,
    one_of: &[],
};

/// `GET .../os-services`
pub fn list(call: &Call<'_>) -> Result<Reply, Fault> {
    let services = call.service.list_services()?;
    let [host, binary] = ["host", "binary"].map(|name| call.parameters.get(name));
    let services = services.iter().filter(|service| {
        host.is_none_or(|host| is_on_host(&service.host, host)) && binary.is_none_or(|binary| service.binary == binary)
    });
    let documents: Vec<Value> = services.map(|service| view(service, call.service.now(), call.version)).collect();
    Reply::json(StatusCode::OK, &json!({ "services": documents }))
}

/// Returns whether the host of a service, such as `host@backend`, is the wanted one or a part of it.
fn is_on_host(own: &str, wanted: &str) -> bool {
    match own.strip_prefix(wanted) {
        Some(rest) if rest.starts_with('@') => !wanted.contains(['@', '#']),
        Some(rest) if rest.starts_with('#') => !wanted.contains('#'),
        Some(rest) => rest.is_empty() || wanted.is_empty(),
        None => false,
    }
}

/// Returns the view of a service. One that is up has just reported.
fn view(service: &BackendService, now: Timestamp, version: Microversion) -> Value {
    let is_of_volumes = service.binary == VOLUME_BINARY;
    let seen_at = if service.up { Some(now) } else { service.updated_at };
    let mut view = Map::new();
    let mut add = |name: &str, value: Value| drop(view.insert(name.to_owned(), value));
    add("binary", service.binary.as_str().into());
    add("host", service.host.as_str().into());
    add("zone", service.availability_zone.as_str().into());
    add("status", if service.disabled { "disabled" } else { "enabled" }.into());
    add("state", if service.up { "up" } else { "down" }.into());
    add("updated_at", seen_at.map(|time| time.to_string()).into());
    if version >= BACKEND_STATE && is_of_volumes {
        // Cinder has it from the scheduler, which does not know a backend that is down or gets no work.
        add("backend_state", service.is_usable().then_some("up").into());
    }
    if version >= SERVICE_CLUSTER {
        add("cluster", Value::Null);
    }
    add("disabled_reason", service.disabled_reason.clone().into());
    if is_of_volumes {
        add("replication_status", "not-capable".into());
        add("active_backend_id", Value::Null);
        add("frozen", service.frozen.into());
    }
    Value::Object(view)
}

/// `PUT .../os-services/{update}`
pub fn update(call: &Call<'_>, update: ServiceUpdate) -> Result<Reply, Fault> {
    let schema = match update {
        ServiceUpdate::Enable | ServiceUpdate::Disable => &CHANGE,
        ServiceUpdate::DisableLogReason => &DISABLE_WITH_REASON,
        ServiceUpdate::Freeze | ServiceUpdate::Thaw => &FREEZE,
    };
    let body = schema::check(schema, call.body.as_ref())?;
    let field = |name: &str| string(body.get(name));
    call.service.caller.allow_own(Rule::UpdateService)?;
    let host = field("host");
    if matches!(update, ServiceUpdate::Freeze | ServiceUpdate::Thaw) {
        let cluster = field("cluster").filter(|cluster| !cluster.is_empty() && call.version >= FREEZE_CLUSTER);
        let message = if call.version >= FREEZE_CLUSTER {
            "Invalid input received: One and only one of cluster and host must be set."
        } else {
            HOST_MISSING
        };
        match (host, cluster) {
            (Some(host), None) => call.service.set_frozen(&host, update == ServiceUpdate::Freeze)?,
            (None, Some(cluster)) => {
                let message = format!("Invalid input received: No service found with cluster={cluster}");
                return Err(Fault::bad_request(message));
            }
            _ => return Err(Fault::bad_request(message)),
        }
        return Ok(Reply::new(StatusCode::OK, Content::Empty));
    }
    let host = host.ok_or_else(|| Fault::bad_request(HOST_MISSING))?;
    let (service, binary) = (field("service").unwrap_or_default(), field("binary").unwrap_or_default());
    let reason = field("disabled_reason").map(|reason| super::python::strip(&reason).to_owned());
    let change = match update {
        ServiceUpdate::Enable => ServiceChange::Enable,
        _ => ServiceChange::Disable(reason.clone()),
    };
    call.service.change_service(&host, if binary.is_empty() { &service } else { &binary }, &change)?;
    let disabled = change != ServiceChange::Enable;
    let mut answer = json!({
        "host": host,
        "service": service,
        "binary": binary,
        "status": if disabled { "disabled" } else { "enabled" },
        "disabled": disabled,
    });
    if update == ServiceUpdate::DisableLogReason {
        answer["disabled_reason"] = reason.into();
    }
    Reply::json(StatusCode::OK, &answer)
}

const HOST_MISSING: &str = "Invalid input received: Host field is missing.";

/// `GET .../os-availability-zone`
pub fn list_zones(call: &Call<'_>) -> Result<Reply, Fault> {
    let zones = call.service.availability_zones()?.into_iter();
    let zones: Vec<Value> = zones
        .map(|(name, is_available)| json!({ "zoneName": name, "zoneState": { "available": is_available } }))
        .collect();
    Reply::json(StatusCode::OK, &json!({ "availabilityZoneInfo": zones }))
}

/// `GET .../scheduler-stats/get_pools`
pub fn list_pools(call: &Call<'_>) -> Result<Reply, Fault> {
    call.service.caller.allow_own(Rule::GetPools)?;
    let detail = match call.parameters.get("detail") {
        Some(value) => boolean("detail", value)?,
        None => false,
    };
    let mut rest = call.parameters.clone();
    rest.remove_all("detail");
    if call.version < POOL_FILTERS {
        rest = query::Parameters::default();
    } else if call.version >= microversion::RESOURCE_FILTERS {
        // The configured filters hold for administrators too.
        let configured = call.service.allowed_filters("pool")?;
        query::refuse_unconfigured_filters(&mut rest, false, call.version, &configured)?;
    }
    if call.version < POOL_TYPE_FILTER {
        rest.remove_all("volume_type");
    }
    let backends = match rest.get("volume_type").filter(|name| !name.is_empty()) {
        Some(name) => call.service.backends_of_type(name)?,
        None => call.service.backends()?,
    };
    rest.remove_all("volume_type");
    let mut pools = Vec::new();
    for backend in backends {
        let name = format!("{}#{POOL}", backend.host);
        let capabilities = capabilities::of_host(&name);
        let equals = |key: &str, value: &str| {
            capabilities.iter().any(|(own, capability)| *own == key && capability.equals(value))
        };
        let fits =
            |key: &str, value: &str| if key == "name" { value.is_empty() || name == value } else { equals(key, value) };
        if !rest.0.iter().all(|(key, value)| fits(key, value)) {
            continue;
        }
        let mut pool = json!({ "name": name });
        if detail {
            pool["capabilities"] = capabilities_view(&capabilities, call.service.now());
        }
        pools.push(pool);
    }
    Reply::json(StatusCode::OK, &json!({ "pools": pools }))
}

/// Returns the view of the capabilities of a pool, which has just reported them.
fn capabilities_view(capabilities: &Capabilities<'_>, now: Timestamp) -> Value {
    let mut view = Map::from_iter([("timestamp".to_owned(), now.to_string().into())]);
    for (name, capability) in capabilities {
        let value = match *capability {
            Capability::Null => Value::Null,
            Capability::Flag(flag) => flag.into(),
            Capability::Number(number) => number.into(),
            Capability::String(string) => string.into(),
        };
        view.insert((*name).to_owned(), value);
    }
    Value::Object(view)
}
