//! The operator's routes, `/_ops/...`: the whole state as a document, and the scheduled step by hand
//! (`design/contract.md`). They exist only where a secret is set, and open only to who knows it.

#![expect(clippy::missing_errors_doc, reason = "an operation answers the faults of its service and of its schema")]

use std::fmt;
use std::num::NonZeroU8;

use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::api::wire::headers::Header;
use crate::domain::lifecycle::{Completion, Delays, Pending, Schedule};
use crate::domain::order::sorted;
use crate::domain::quota::Amounts;
use crate::domain::snapshot::{Cause, Transition};
use crate::domain::{
    ByName, GroupSnapshotId, Metadata, ProjectId, Snapshot, SnapshotId, SnapshotStatus, Timestamp, UserId, Volume,
    VolumeId, VolumeStatus,
};
use crate::json::Object;
use crate::service::ops::{self as operator, Explanation, ProjectSettings, State};
use crate::settings::{LazySettings, OPS_TOKEN, Settings, Variables};
use crate::store::Store;
use crate::store::deployment::{Deployment, GroupSnapshot, Service};
use crate::tick::{self, Moment};

use crate::api::wire::faults::Fault;
use crate::api::wire::reply::{Content, Reply};
use crate::api::wire::request::{Body, Headers, Request};
use crate::api::{Environment, misconfigured};

/// What every operator's path begins with.
pub const PREFIX: &str = "/_ops/";

/// What the route that explains a snapshot begins with; an id follows.
const EXPLAIN: &str = "explain/";

/// The largest body, in bytes: a state of some hundred thousand snapshots.
pub const LARGEST_BODY: usize = 128 * 1024 * 1024;

/// Answers an operator's request.
pub fn answer(request: &Request<'_>, path: &str, environment: &Environment<'_>) -> Result<Reply, Fault> {
    admit(&request.headers, environment.variables)?;
    let Body::Complete(body) = &request.body else {
        let text = format!("The document is larger than {LARGEST_BODY} bytes.");
        return Err(Fault::new(StatusCode::PAYLOAD_TOO_LARGE, text));
    };
    let store = Store::new(environment.key_value, environment.identifiers);
    let method = &request.method;
    match &path[PREFIX.len()..] {
        "state" if method == Method::GET => {
            let state = operator::read(store, environment.now)?;
            Reply::json(StatusCode::OK, &Document::from(&state))
        }
        "state" if method == Method::PUT => {
            let document: Document = read(body)?;
            let state = document.into_state(&settings(environment)?.delays, environment.now)?;
            let counts = object([("volumes", state.volumes.len().into()), ("snapshots", state.snapshots.len().into())]);
            operator::replace(store, state)?;
            Reply::json(StatusCode::OK, &counts)
        }
        "state" if method == Method::DELETE => {
            store.clear()?;
            Ok(Reply::new(StatusCode::NO_CONTENT, Content::Empty))
        }
        "tick" if method == Method::POST => {
            let TickRequest { now } = if body.is_empty() { TickRequest::default() } else { read(body)? };
            let moment = match now {
                Some(now) => Moment::as_if(now, environment.now),
                None => Moment::scheduled(environment.now),
            };
            let report = tick::run(&store, moment, settings(environment)?.rows_per_tick)?;
            Reply::json(
                StatusCode::OK,
                &object([
                    ("now", shown(&moment.now)),
                    ("removed", report.removed.into()),
                    ("settled", report.settled.into()),
                    ("repaired", report.repaired.into()),
                    ("more", report.more.into()),
                ]),
            )
        }
        "repair" if method == Method::POST => {
            let repair = store.repair(environment.now)?;
            Reply::json(
                StatusCode::OK,
                &object([
                    ("projects", repair.projects.into()),
                    ("rows", repair.rows.into()),
                    ("entries_without_row", repair.entries_without_row.into()),
                    ("rows_without_entry", repair.rows_without_entry.into()),
                    ("counters", repair.counters.into()),
                    ("rows_without_agenda", repair.rows_without_agenda.into()),
                    ("pages_deleted", repair.pages_deleted.into()),
                    ("pages_suspected", repair.pages_suspected.into()),
                ]),
            )
        }
        route if method == Method::GET && route.starts_with(EXPLAIN) => {
            let id = &route[EXPLAIN.len()..];
            let not_found = || Fault::new(StatusCode::NOT_FOUND, format!("Snapshot {id} could not be found."));
            let explanation = match id.parse() {
                Ok(id) => operator::explain(store, id, environment.now)?,
                Err(_) => None,
            };
            Reply::json(StatusCode::OK, &explained(&explanation.ok_or_else(not_found)?))
        }
        _ => Err(Fault::not_found()),
    }
}

fn settings(environment: &Environment<'_>) -> Result<Settings, Fault> {
    LazySettings::new(environment.variables).checked().cloned().map_err(|error| misconfigured(&error))
}

/// A JSON object.
fn object<const FIELDS: usize>(fields: [(&str, Value); FIELDS]) -> Value {
    let mut object = Map::new();
    object.extend(fields.into_iter().map(|(name, value)| (name.to_owned(), value)));
    Value::Object(object)
}

/// A JSON text of what is shown so.
fn shown(value: &dyn fmt::Display) -> Value {
    Value::String(value.to_string())
}

/// An explanation as a document: what is, why, and what comes next.
fn explained(explanation: &Explanation) -> Value {
    let Explanation { stored, seen, is_listed, on_agenda } = explanation;
    let now = seen.as_ref().unwrap_or(stored);
    let next = now.pending.filter(|pending| pending.completion != Completion::None).map(|pending| {
        let becomes = if pending.completion == Completion::Remove { "gone" } else { "available" };
        let by = match pending.schedule {
            Schedule::Clock => "the clock",
            Schedule::NextTick => "the next run of the schedule",
            Schedule::Told => {
                "a report of the storage agent, or an operator's tick that names this time or a later one"
            }
        };
        object([("at", shown(&pending.due)), ("becomes", becomes.into()), ("by", by.into())])
    });
    let bound = now.pending.map(|pending| {
        let becomes = if pending.retries > 0 { "begun again" } else { now.status.given_up().as_str() };
        object([("at", shown(&pending.gives_up)), ("becomes", becomes.into()), ("retries", pending.retries.into())])
    });
    let why = match (seen, now.pending, now.history.last().map(|past| past.cause)) {
        (None, ..) => "Its removal was due; the next run of the schedule deletes its row.",
        (_, Some(pending), _) if pending.completion == Completion::None => {
            "An administrator set this status and no work is under way, so only the bound ends it."
        }
        (_, Some(_), Some(Cause::BegunAgain)) => "Nobody ended the work within its time bound, so it began anew.",
        (_, Some(_), _) => "Work is under way; see next for what ends it, and bound for when it is given up.",
        (_, None, None) => "It has this status since it came.",
        (_, None, Some(Cause::GivenUp)) => "Nobody ended the work within its time bound, so it was given up.",
        (_, None, Some(Cause::Completed)) => "The work that was under way ended well.",
        (_, None, Some(Cause::Report)) => "A storage agent reported this status.",
        (_, None, Some(Cause::Reset)) => "An administrator set this status.",
        (_, None, Some(_)) => "The last change of its history set this status.",
    };
    let history = now
        .history
        .iter()
        .map(|past| object([("at", shown(&past.at)), ("status", shown(&past.status)), ("cause", shown(&past.cause))]));
    object([
        ("id", shown(&now.id)),
        ("project_id", shown(&now.project_id)),
        ("volume_id", shown(&now.volume_id)),
        ("created_at", shown(&now.created_at)),
        ("status", seen.as_ref().map_or(Value::Null, |seen| shown(&seen.status))),
        ("stored_status", shown(&stored.status)),
        ("why", why.into()),
        ("next", next.unwrap_or_default()),
        ("bound", bound.unwrap_or_default()),
        ("listed", (*is_listed).into()),
        ("on_agenda", on_agenda.as_ref().map_or(Value::Null, |due| shown(due))),
        ("history", history.collect()),
    ])
}

/// Whether a request may use the operator's routes.
///
/// # Errors
///
/// 404 where no secret is set, 403 for who does not know it.
pub fn admit(headers: &Headers<'_>, variables: &dyn Variables) -> Result<(), Fault> {
    let secret = variables.get(OPS_TOKEN).unwrap_or_default();
    if secret.is_empty() {
        return Err(Fault::not_found());
    }
    let token = headers.get(Header::XOpsToken).unwrap_or_default();
    if equal_in_constant_time(token, secret.as_bytes()) {
        return Ok(());
    }
    Err(Fault::new(StatusCode::FORBIDDEN, "The header X-Ops-Token is missing or wrong."))
}

/// Compares without telling by its duration how much is right.
fn equal_in_constant_time(one: &[u8], two: &[u8]) -> bool {
    let differences = one.iter().zip(two).fold(0_u8, |seen, (one, two)| seen | (one ^ two));
    one.len() == two.len() && std::hint::black_box(differences) == 0
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Fault> {
    crate::json::read(body).map_err(|error| Fault::bad_request(format!("The document cannot be used: {error}")))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TickRequest {
    #[serde(default)]
    now: Option<Timestamp>,
}

/// The whole state. Fields and their defaults are those of `setup_defaults` in `spec/test-vectors.json`; the last
/// three lists are ours, so that what is read can be written back.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Document {
    volumes: Vec<Object<VolumeDocument>>,
    snapshots: Vec<Object<SnapshotDocument>>,
    quotas: Amounts,
    services: Vec<Object<ServiceDocument>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_filters: Option<ByName<Vec<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_snapshot: Option<Object<GroupSnapshotDocument>>,
    config: Object<Config>,
    /// Counters of the default project, as vectors set them; written back as `quota_usage`.
    #[serde(skip_serializing)]
    quota_usage_in_use: Amounts,
    /// By project, the counters that are open: `{"in_use": 1, "reserved": 0}` each.
    quota_usage: Map<String, Value>,
    /// By project, the limits of its own.
    project_quotas: Map<String, Value>,
}

#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    #[serde(skip_serializing_if = "Option::is_none")]
    no_snapshot_gb_quota: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    osapi_max_limit: Option<u32>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ServiceDocument {
    host: String,
    binary: String,
    disabled: bool,
    frozen: bool,
    up: bool,
}

impl Default for ServiceDocument {
    fn default() -> Self {
        Self {
            host: "host1@lvm".to_owned(),
            binary: "cinder-volume".to_owned(),
            disabled: false,
            frozen: false,
            up: true,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupSnapshotDocument {
    id: GroupSnapshotId,
    #[serde(default)]
    group_id: Option<String>,
    #[serde(default = "available")]
    status: String,
}

fn available() -> String {
    "available".to_owned()
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PendingDocument {
    completion: Completion,
    schedule: Schedule,
    due: Timestamp,
    gives_up: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    retries: Option<NonZeroU8>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct VolumeDocument {
    id: VolumeId,
    name: Option<String>,
    description: Option<String>,
    metadata: Metadata,
    size: u32,
    status: VolumeStatus,
    host: Option<String>,
    cluster_name: Option<String>,
    availability_zone: Option<String>,
    attach_status: String,
    migration_status: Option<String>,
    volume_type: Option<String>,
    snapshot_id: Option<SnapshotId>,
    group_id: Option<String>,
    bootable: bool,
    multiattach: bool,
    project_id: ProjectId,
    user_id: Option<UserId>,
    created_at: Timestamp,
    updated_at: Option<Timestamp>,
    consumes_quota: bool,
    /// Work under way. Without this field a transient status begins its work when the document is loaded.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pending: Option<Option<Object<PendingDocument>>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SnapshotDocument {
    id: SnapshotId,
    volume_id: VolumeId,
    size: u32,
    status: SnapshotStatus,
    progress: Option<String>,
    name: Option<String>,
    description: Option<String>,
    metadata: Metadata,
    project_id: ProjectId,
    user_id: Option<UserId>,
    volume_type: Option<String>,
    created_at: Timestamp,
    updated_at: Option<Timestamp>,
    group_snapshot_id: Option<GroupSnapshotId>,
    consumes_quota: bool,
    /// A deleted snapshot is one that is not there.
    deleted: bool,
    /// As for volumes.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pending: Option<Option<Object<PendingDocument>>>,
    /// Changes of status: when, to what and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    history: Vec<(Timestamp, SnapshotStatus, Cause)>,
}

/// Tells a field that is null from one that is not there.
fn present<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// The ids and times of `setup_defaults`.
mod defaults {
    use super::{ProjectId, SnapshotId, Timestamp, UserId, Uuid, VolumeId};

    pub const VOLUME: VolumeId = VolumeId::new(Uuid::from_u128(0xaaaa_aaaa_0000_4000_8000_0000_0000_0001));
    pub const SNAPSHOT: SnapshotId = SnapshotId::new(Uuid::from_u128(0xbbbb_bbbb_0000_4000_8000_0000_0000_0001));
    pub const CREATED_AT: Timestamp = Timestamp::from_seconds(1_767_225_600);

    pub fn project() -> ProjectId {
        ProjectId::literal("a1000000000000000000000000000001")
    }

    pub fn user() -> UserId {
        UserId::literal("c1000000000000000000000000000001")
    }
}

impl Default for VolumeDocument {
    fn default() -> Self {
        Self {
            id: defaults::VOLUME,
            name: Some("vol".to_owned()),
            description: None,
            metadata: Metadata::new(),
            size: 1,
            status: VolumeStatus::AVAILABLE,
            host: Some("host1@lvm#pool".to_owned()),
            cluster_name: None,
            availability_zone: Some("nova".to_owned()),
            attach_status: "detached".to_owned(),
            migration_status: None,
            volume_type: Some("__DEFAULT__".to_owned()),
            snapshot_id: None,
            group_id: None,
            bootable: false,
            multiattach: false,
            project_id: defaults::project(),
            user_id: Some(defaults::user()),
            created_at: defaults::CREATED_AT,
            updated_at: None,
            consumes_quota: true,
            pending: None,
        }
    }
}

impl Default for SnapshotDocument {
    fn default() -> Self {
        Self {
            id: defaults::SNAPSHOT,
            volume_id: defaults::VOLUME,
            size: 1,
            status: SnapshotStatus::Available,
            progress: Some("100%".to_owned()),
            name: Some("snap".to_owned()),
            description: Some("desc".to_owned()),
            metadata: Metadata::new(),
            project_id: defaults::project(),
            user_id: Some(defaults::user()),
            volume_type: Some("__DEFAULT__".to_owned()),
            created_at: defaults::CREATED_AT,
            updated_at: None,
            group_snapshot_id: None,
            consumes_quota: true,
            deleted: false,
            pending: None,
            history: Vec::new(),
        }
    }
}

impl From<Pending> for PendingDocument {
    fn from(pending: Pending) -> Self {
        let Pending { completion, schedule, due, gives_up, retries } = pending;
        Self { completion, schedule, due, gives_up, retries: NonZeroU8::new(retries) }
    }
}

impl From<PendingDocument> for Pending {
    fn from(document: PendingDocument) -> Self {
        let PendingDocument { completion, schedule, due, gives_up, retries } = document;
        Self { completion, schedule, due, gives_up, retries: retries.map_or(0, NonZeroU8::get) }
    }
}

/// The work of a row: as written, or what its status begins now.
fn work(
    written: Option<Option<Object<PendingDocument>>>,
    completion: Option<Completion>,
    delays: &Delays,
    now: Timestamp,
) -> Option<Pending> {
    match written {
        Some(written) => written.map(|Object(pending)| pending.into()),
        None => completion.map(|completion| delays.begin(completion, now)),
    }
}

/// The settings of a project that a field of the document names.
fn settings_of<'a>(state: &'a mut State, field: &str, project: &str) -> Result<&'a mut ProjectSettings, Fault> {
    let project: ProjectId = project.parse().map_err(|error| unusable(field, project, &error))?;
    Ok(state.settings_of(project))
}

/// Numbers by resource, each read by `number`.
fn amounts(
    field: &str,
    project: &str,
    value: &Value,
    number: &dyn Fn(&Value) -> Option<i64>,
) -> Result<Amounts, Fault> {
    let mut amounts = Amounts::new();
    let resources = value.as_object().ok_or_else(|| unusable(field, project, &"is no object"))?;
    for (resource, value) in resources {
        let number = number(value).ok_or_else(|| unusable(field, project, &format!("{resource} cannot be {value}")))?;
        amounts.insert(resource.clone(), number);
    }
    Ok(amounts)
}

/// What an open counter says. `reserved` is always zero: here a reservation and its commit are one.
fn counter(value: &Value) -> Option<i64> {
    let counter = value.as_object()?;
    let is_known =
        counter.iter().all(|(name, value)| ["in_use", "reserved"].contains(&name.as_str()) && value.is_i64());
    counter.get("in_use").filter(|_| is_known)?.as_i64()
}

fn unusable(field: &str, project: &str, reason: &dyn fmt::Display) -> Fault {
    Fault::bad_request(format!("The document cannot be used: {field} of {project}: {reason}"))
}

/// Refuses two rows of a kind with the same id.
fn refuse_repeated(kind: &str, ids: Vec<Uuid>) -> Result<(), Fault> {
    let ids = sorted(ids, Ord::cmp);
    match ids.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => {
            Err(Fault::bad_request(format!("The document cannot be used: two {kind}s have the id {}", pair[0])))
        }
        None => Ok(()),
    }
}

impl Document {
    fn into_state(self, delays: &Delays, now: Timestamp) -> Result<State, Fault> {
        let mut state = State::default();
        for Object(volume) in self.volumes {
            let pending = work(volume.pending, volume.status.completion(), delays, now);
            state.volumes.push(Volume {
                id: volume.id,
                project_id: volume.project_id,
                user_id: volume.user_id,
                name: volume.name,
                description: volume.description,
                metadata: volume.metadata,
                size: volume.size,
                status: volume.status,
                host: volume.host,
                cluster_name: volume.cluster_name,
                availability_zone: volume.availability_zone,
                attach_status: volume.attach_status,
                migration_status: volume.migration_status,
                volume_type: volume.volume_type,
                snapshot_id: volume.snapshot_id,
                group_id: volume.group_id,
                bootable: volume.bootable,
                multiattach: volume.multiattach,
                created_at: volume.created_at,
                updated_at: volume.updated_at,
                consumes_quota: volume.consumes_quota,
                pending,
            });
        }
        for Object(snapshot) in self.snapshots.into_iter().filter(|Object(snapshot)| !snapshot.deleted) {
            let pending = work(snapshot.pending, snapshot.status.completion(), delays, now);
            state.snapshots.push(Snapshot {
                id: snapshot.id,
                project_id: snapshot.project_id,
                user_id: snapshot.user_id,
                volume_id: snapshot.volume_id,
                volume_type: snapshot.volume_type,
                name: snapshot.name,
                description: snapshot.description,
                metadata: snapshot.metadata,
                size: snapshot.size,
                status: snapshot.status,
                progress: snapshot.progress,
                created_at: snapshot.created_at,
                updated_at: snapshot.updated_at,
                group_snapshot_id: snapshot.group_snapshot_id,
                consumes_quota: snapshot.consumes_quota,
                pending,
                history: {
                    let past = snapshot.history.into_iter();
                    past.map(|(at, status, cause)| Transition { at, status, cause }).collect()
                },
            });
        }
        refuse_repeated("volume", state.volumes.iter().map(|volume| volume.id.as_uuid()).collect())?;
        refuse_repeated("snapshot", state.snapshots.iter().map(|snapshot| snapshot.id.as_uuid()).collect())?;
        for (project, quotas) in &self.project_quotas {
            let limits = amounts("project_quotas", project, quotas, &Value::as_i64)?;
            settings_of(&mut state, "project_quotas", project)?.quotas = limits;
        }
        for (project, usage) in &self.quota_usage {
            let counters = amounts("quota_usage", project, usage, &counter)?;
            settings_of(&mut state, "quota_usage", project)?.usage = counters;
        }
        if !self.quota_usage_in_use.is_empty() {
            let project = defaults::project().to_string();
            settings_of(&mut state, "quota_usage_in_use", &project)?.usage.take_over(&self.quota_usage_in_use);
        }
        state.deployment = Deployment {
            quotas: self.quotas,
            services: self.services.into_iter().map(|Object(service)| service.into()).collect(),
            resource_filters: self.resource_filters,
            group_snapshot: self.group_snapshot.map(|Object(group)| group.into()),
            no_snapshot_gb_quota: self.config.0.no_snapshot_gb_quota,
            osapi_max_limit: self.config.0.osapi_max_limit,
        };
        Ok(state)
    }
}

impl From<ServiceDocument> for Service {
    fn from(document: ServiceDocument) -> Self {
        let ServiceDocument { host, binary, disabled, frozen, up } = document;
        Self { host, binary, disabled, frozen, up }
    }
}

impl From<GroupSnapshotDocument> for GroupSnapshot {
    fn from(document: GroupSnapshotDocument) -> Self {
        Self { id: document.id, group_id: document.group_id, status: document.status }
    }
}

impl From<&State> for Document {
    fn from(state: &State) -> Self {
        let deployment = state.deployment.clone();
        let mut quota_usage = Map::new();
        let mut project_quotas = Map::new();
        for (project, settings) in &state.projects {
            let (mut counters, mut limits) = (Map::new(), Map::new());
            for (resource, in_use) in &settings.usage {
                counters.insert(resource.clone(), object([("in_use", (*in_use).into()), ("reserved", 0.into())]));
            }
            for (resource, limit) in &settings.quotas {
                limits.insert(resource.clone(), (*limit).into());
            }
            for (map, of_project) in [(&mut quota_usage, counters), (&mut project_quotas, limits)] {
                if !of_project.is_empty() {
                    map.insert(project.to_string(), Value::Object(of_project));
                }
            }
        }
        let services = deployment.services.into_iter().map(|service| {
            let Service { host, binary, disabled, frozen, up } = service;
            Object(ServiceDocument { host, binary, disabled, frozen, up })
        });
        Self {
            volumes: state.volumes.iter().map(|volume| Object(volume.into())).collect(),
            snapshots: state.snapshots.iter().map(|snapshot| Object(snapshot.into())).collect(),
            quotas: deployment.quotas,
            services: services.collect(),
            resource_filters: deployment.resource_filters,
            group_snapshot: deployment.group_snapshot.map(|group| {
                let GroupSnapshot { id, group_id, status } = group;
                Object(GroupSnapshotDocument { id, group_id, status })
            }),
            config: Object(Config {
                no_snapshot_gb_quota: deployment.no_snapshot_gb_quota,
                osapi_max_limit: deployment.osapi_max_limit,
            }),
            quota_usage_in_use: Amounts::new(),
            quota_usage,
            project_quotas,
        }
    }
}

impl From<&Volume> for VolumeDocument {
    fn from(volume: &Volume) -> Self {
        Self {
            id: volume.id,
            name: volume.name.clone(),
            description: volume.description.clone(),
            metadata: volume.metadata.clone(),
            size: volume.size,
            status: volume.status.clone(),
            host: volume.host.clone(),
            cluster_name: volume.cluster_name.clone(),
            availability_zone: volume.availability_zone.clone(),
            attach_status: volume.attach_status.clone(),
            migration_status: volume.migration_status.clone(),
            volume_type: volume.volume_type.clone(),
            snapshot_id: volume.snapshot_id,
            group_id: volume.group_id.clone(),
            bootable: volume.bootable,
            multiattach: volume.multiattach,
            project_id: volume.project_id.clone(),
            user_id: volume.user_id.clone(),
            created_at: volume.created_at,
            updated_at: volume.updated_at,
            consumes_quota: volume.consumes_quota,
            pending: Some(volume.pending.map(|pending| Object(pending.into()))),
        }
    }
}

impl From<&Snapshot> for SnapshotDocument {
    fn from(snapshot: &Snapshot) -> Self {
        Self {
            id: snapshot.id,
            volume_id: snapshot.volume_id,
            size: snapshot.size,
            status: snapshot.status,
            progress: snapshot.progress.clone(),
            name: snapshot.name.clone(),
            description: snapshot.description.clone(),
            metadata: snapshot.metadata.clone(),
            project_id: snapshot.project_id.clone(),
            user_id: snapshot.user_id.clone(),
            volume_type: snapshot.volume_type.clone(),
            created_at: snapshot.created_at,
            updated_at: snapshot.updated_at,
            group_snapshot_id: snapshot.group_snapshot_id,
            consumes_quota: snapshot.consumes_quota,
            deleted: false,
            pending: Some(snapshot.pending.map(|pending| Object(pending.into()))),
            history: snapshot.history.iter().map(|past| (past.at, past.status, past.cause)).collect(),
        }
    }
}
