//! The services of the deployment, the availability zones, and the pools of the scheduler (`cinder/api/v3/services.py`,
//! `cinder/api/contrib/availability_zones.py`, `cinder/api/contrib/scheduler_stats.py`).

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::domain::Timestamp;
use crate::service::policy::Rule;
use crate::service::services::{BackendService, ServiceChange, VOLUME_BINARY};
use crate::service::volumes::POOL;

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
    let wants = |name: &str, own: &str| call.parameters.get(name).is_none_or(|wanted| wanted == own);
    let services = services.iter().filter(|service| wants("host", &service.host) && wants("binary", &service.binary));
    let documents: Vec<Value> = services.map(|service| view(service, call.service.now(), call.version)).collect();
    Reply::json(StatusCode::OK, &json!({ "services": documents }))
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
    let mut pools = Vec::new();
    for backend in call.service.backends()? {
        let pool = Pool { name: format!("{}#{POOL}", backend.host), backend: &backend };
        let fits = rest.0.iter().all(|(key, value)| pool.fits(key, value));
        if fits {
            pools.push(if detail { pool.detail(call.service.now()) } else { json!({ "name": pool.name }) });
        }
    }
    Reply::json(StatusCode::OK, &json!({ "pools": pools }))
}

/// The pool of a backend. It has no end, since nothing is stored.
struct Pool<'a> {
    name: String,
    backend: &'a BackendService,
}

impl Pool<'_> {
    /// Returns whether a filter accepts the pool. Every type of volume fits every pool.
    fn fits(&self, key: &str, value: &str) -> bool {
        match key {
            "name" => value.is_empty() || self.name == value,
            "volume_type" => true,
            _ => false,
        }
    }

    fn detail(&self, now: Timestamp) -> Value {
        let backend = self.backend.host.split_once('@').map_or("", |(_, backend)| backend);
        json!({
            "name": self.name,
            "capabilities": {
                "timestamp": now.to_string(),
                "volume_backend_name": backend,
                "vendor_name": "Open Source",
                "driver_version": env!("CARGO_PKG_VERSION"),
                "storage_protocol": "none",
                "pool_name": POOL,
                "total_capacity_gb": "infinite",
                "free_capacity_gb": "infinite",
                "reserved_percentage": 0,
                "provisioned_capacity_gb": 0,
                "max_over_subscription_ratio": "20.0",
                "thin_provisioning_support": true,
                "thick_provisioning_support": false,
                "QoS_support": false,
                "multiattach": true,
                "backend_state": "up",
                "filter_function": Value::Null,
                "goodness_function": Value::Null,
            },
        })
    }
}
