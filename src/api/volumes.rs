//! Volumes, to the extent that clients of snapshots need them (`docs/spec/beyond.md` section 2).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::domain::attachment::{ATTACHED_MODE, READONLY};
use crate::domain::service_uuid::service_uuid;
use crate::domain::{
    AttachStatus, AttachmentId, Caller, Metadata, SnapshotId, Timestamp, UserId, Volume, VolumeId, VolumeTypes,
};
use crate::service::listing::{Comparison, Filter, ListPage, ListRequest, Prepared};
use crate::service::volumes::{NewVolume, VolumeSummary, VolumeUpdate};

use super::call::{Call, Link};
use super::metadata::{ITEM, ITEMS, MetadataSchemas};
use super::microversion::{self, Microversion};
use super::python::{self, Operand};
use super::query::{self, Parameters};
use super::schema::{self, Check, ObjectSchema};
use super::wire::body::{self, metadata, object, string, stripped};
use super::wire::document::ObjectWriter;
use super::wire::faults::{BAD_REQUEST, Fault};
use super::wire::reply::{Content, Reply};

const HINTS: (&str, Check) = ("OS-SCH-HNT:scheduler_hints", Check::AnyObjectOrNull);

/// The schema of the hints, which Cinder checks after the rest of the body.
const HINTED: ObjectSchema = ObjectSchema {
    properties: &[("OS-SCH-HNT:scheduler_hints", Check::ObjectOrNull(&HINTS_GIVEN))],
    required: &[],
    others_allowed: true,
    one_of: &[],
};

const HINTS_GIVEN: ObjectSchema = ObjectSchema {
    properties: &[
        ("local_to_instance", Check::UuidOrNull),
        ("different_host", Check::UuidOrUuids),
        ("same_host", Check::UuidOrUuids),
        ("query", Check::ObjectOrString),
    ],
    required: &[],
    others_allowed: true,
    one_of: &[],
};

const CREATE: ObjectSchema = ObjectSchema {
    properties: &[("volume", Check::Object(&CREATED)), HINTS],
    required: &["volume"],
    others_allowed: false,
    one_of: &[],
};

/// The schema below 3.53, where Cinder ignores unknown properties of a volume.
const CREATE_OPENLY: ObjectSchema = ObjectSchema {
    properties: &[("volume", Check::Object(&ObjectSchema { others_allowed: true, ..CREATED })), HINTS],
    ..CREATE
};

const CREATED: ObjectSchema = ObjectSchema {
    properties: &[
        ("name", Check::Trimmed("name")),
        ("description", Check::Trimmed("description")),
        ("display_name", Check::Trimmed("name")),
        ("display_description", Check::Trimmed("description")),
        ("volume_type", Check::Name),
        ("metadata", Check::MetadataOrNull),
        ("snapshot_id", Check::UuidOrNull),
        ("source_volid", Check::UuidOrNull),
        ("consistencygroup_id", Check::UuidOrNull),
        ("size", Check::SizeOrNull),
        ("availability_zone", Check::ShortStringOrNull),
        ("multiattach", Check::Boolean),
        ("image_id", Check::Name),
        ("imageRef", Check::Name),
        ("group_id", Check::Name),
        ("backup_id", Check::UuidOrNull),
    ],
    required: &[],
    others_allowed: false,
    one_of: &[],
};

const UPDATE: ObjectSchema = ObjectSchema {
    properties: &[("volume", Check::Object(&UPDATED))],
    required: &["volume"],
    others_allowed: false,
    one_of: &[],
};

/// The schema below 3.53, where a body may change nothing.
const UPDATE_OPENLY: ObjectSchema =
    ObjectSchema { properties: &[("volume", Check::Object(&ObjectSchema { one_of: &[], ..UPDATED }))], ..UPDATE };

const UPDATED: ObjectSchema = ObjectSchema {
    properties: &[
        ("name", Check::Trimmed("name")),
        ("description", Check::Trimmed("description")),
        ("display_name", Check::Trimmed("name")),
        ("display_description", Check::Trimmed("description")),
        ("metadata", Check::Specs),
    ],
    required: &[],
    others_allowed: false,
    one_of: &["name", "description", "display_name", "display_description", "metadata"],
};

/// The keys of a volume's metadata may have slashes, and a body that writes it may have no other members.
impl MetadataSchemas for Volume {
    const ITEMS: &'static ObjectSchema =
        &ObjectSchema { properties: &[("metadata", Check::Specs)], others_allowed: false, ..ITEMS };
    const ITEM: &'static ObjectSchema = &ObjectSchema {
        properties: &[("meta", Check::OneMetadataItem { slash_allowed: true })],
        others_allowed: false,
        ..ITEM
    };
}

#[derive(Serialize)]
struct SummaryView<'a> {
    id: VolumeId,
    name: Option<&'a str>,
    links: [Link; 2],
}

/// A volume as the API shows it. The fields in `others` depend on the microversion and on the roles of the caller.
#[derive(Serialize)]
struct VolumeView<'a> {
    id: VolumeId,
    status: &'a str,
    size: u32,
    availability_zone: Option<&'a str>,
    created_at: Timestamp,
    updated_at: Option<Timestamp>,
    name: Option<&'a str>,
    description: Option<&'a str>,
    volume_type: Option<&'a str>,
    snapshot_id: Option<SnapshotId>,
    source_volid: Option<VolumeId>,
    metadata: Cow<'a, Metadata>,
    links: [Link; 2],
    user_id: Option<&'a str>,
    bootable: &'static str,
    encrypted: bool,
    replication_status: Option<&'a str>,
    consistencygroup_id: Option<&'a str>,
    multiattach: bool,
    attachments: Vec<AttachmentView<'a>>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// Returns the view of a volume. `extended` adds the fields of Cinder's extensions, as in show and in the detail list.
fn view<'a>(call: &Call<'_>, volume: &'a Volume, types: &'a VolumeTypes, extended: bool) -> VolumeView<'a> {
    let since = |added| call.version >= added;
    let admin = call.service.caller.roles.admin;
    let mut others = Map::new();
    let mut add = |name: &str, value: Value| {
        others.insert(name.to_owned(), value);
    };
    if admin {
        add("migration_status", volume.migration_status.clone().into());
    }
    if since(microversion::VOLUME_GROUP) {
        add("group_id", volume.group_id.map(|id| id.to_string()).into());
    }
    if admin && since(microversion::VOLUME_PROVIDER) {
        add("provider_id", Value::Null);
    }
    if since(microversion::VOLUME_TARGETS) {
        add("shared_targets", true.into());
        add("service_uuid", volume.host.as_deref().map(|host| service_uuid(host).to_string()).into());
    }
    if admin && since(microversion::VOLUME_CLUSTER) {
        add("cluster_name", volume.cluster_name.clone().into());
    }
    if since(microversion::VOLUME_TYPE_ID) {
        add("volume_type_id", volume.volume_type_id.map(|id| id.to_string()).into());
    }
    if since(microversion::CONSUMES_QUOTA) {
        add("consumes_quota", volume.consumes_quota.into());
    }
    if extended {
        if !volume.image_metadata.is_empty() {
            add("volume_image_metadata", json!(volume.image_metadata));
        }
        add("os-vol-tenant-attr:tenant_id", volume.project_id.as_str().into());
        if admin {
            add("os-vol-host-attr:host", volume.host.clone().into());
            add("os-vol-mig-status-attr:migstat", volume.migration_status.clone().into());
            add("os-vol-mig-status-attr:name_id", Value::Null);
        }
    }
    VolumeView {
        id: volume.id,
        status: shown_status(volume),
        size: volume.size,
        availability_zone: volume.availability_zone.as_deref(),
        created_at: volume.created_at,
        updated_at: volume.updated_at,
        name: volume.name.as_deref(),
        description: volume.description.as_deref(),
        volume_type: types.name_of(volume.volume_type_id),
        snapshot_id: volume.snapshot_id,
        source_volid: volume.source_volid,
        metadata: shown_metadata(volume),
        links: links(call, volume),
        user_id: volume.user_id.as_ref().map(UserId::as_str),
        bootable: if volume.bootable { "true" } else { "false" },
        encrypted: false,
        replication_status: None,
        consistencygroup_id: None,
        multiattach: volume.multiattach,
        attachments: attachments(volume, admin || call.service.caller.roles.service),
        others,
    }
}

/// An attachment as a volume shows it.
#[derive(Serialize)]
struct AttachmentView<'a> {
    id: VolumeId,
    attachment_id: AttachmentId,
    volume_id: VolumeId,
    server_id: Option<&'a str>,
    host_name: Option<&'a str>,
    device: Option<&'a str>,
    attached_at: Option<Timestamp>,
}

/// Returns the attachments that a volume shows. Only some callers see the host.
fn attachments(volume: &Volume, sees_host: bool) -> Vec<AttachmentView<'_>> {
    let attached = volume.attachments.iter().filter(|own| own.attach_status == AttachStatus::Attached);
    let views = attached.map(|own| AttachmentView {
        id: volume.id,
        attachment_id: own.id,
        volume_id: volume.id,
        server_id: own.instance_uuid.as_deref(),
        host_name: own.attached_host.as_deref().filter(|_| sees_host),
        device: own.mountpoint.as_deref(),
        attached_at: own.attached_at,
    });
    views.collect()
}

/// Returns the metadata that a volume shows: its own, and two of its hidden keys.
fn shown_metadata(volume: &Volume) -> Cow<'_, Metadata> {
    let mut shown = Cow::Borrowed(&volume.metadata);
    for key in [READONLY, ATTACHED_MODE] {
        if let Some(value) = volume.admin_metadata.get(key) {
            shown.to_mut().insert(key.to_owned(), value.clone());
        }
    }
    shown
}

/// Returns the status that clients see: Cinder hides that a volume is being adopted.
fn shown_status(volume: &Volume) -> &str {
    match volume.status.as_str() {
        "managing" => "creating",
        "error_managing" => "error",
        "error_managing_deleting" => "deleting",
        status => status,
    }
}

fn summary<'a>(call: &Call<'_>, volume: &'a Volume) -> SummaryView<'a> {
    SummaryView { id: volume.id, name: volume.name.as_deref(), links: links(call, volume) }
}

fn links(call: &Call<'_>, volume: &Volume) -> [Link; 2] {
    let path = call.path_in_project(&format!("volumes/{}", volume.id));
    [
        Link::new("self", format!("{}/v3/{path}", call.link_origin())),
        Link::new("bookmark", format!("{}/{path}", call.link_origin())),
    ]
}

#[derive(Serialize)]
struct One<'a> {
    volume: VolumeView<'a>,
}

/// `GET .../volumes[/detail]`
pub fn list(call: &Call<'_>, detail: bool) -> Result<Reply, Fault> {
    let prepared = call.service.prepare_listing(call.parameters.get("all_tenants").is_some())?;
    let request = list_query(&call.parameters, call.service.caller, call.version, &prepared)?;
    let page: ListPage<Volume> = call.service.list(request, prepared)?;
    // Only the detailed view has the names of types.
    let types = if detail { call.service.volume_types()? } else { VolumeTypes::default() };
    let collection = if detail { "volumes/detail" } else { "volumes" };
    let mut body = Vec::new();
    let mut document = ObjectWriter::open(&mut body);
    let shown = document.array("volumes", &page.rows, page.most_bytes, |bytes, volume| {
        // These values can always be written.
        let _ = if detail {
            serde_json::to_writer(bytes, &view(call, volume, &types, true))
        } else {
            serde_json::to_writer(bytes, &summary(call, volume))
        };
    });
    if let Some(links) = call.next_links(collection, &page, shown, |volume| volume.id.to_string()) {
        document.value("volumes_links", &links);
    }
    if let Some(count) = page.count {
        document.value("count", &count);
    }
    document.close();
    Ok(Reply::new(StatusCode::OK, Content::Json(body.into())))
}

/// Reads the query of a list: the same paging and order as of snapshots, and the filters that clients of snapshots use.
fn list_query(
    parameters: &Parameters,
    caller: &Caller,
    version: Microversion,
    prepared: &Prepared,
) -> Result<ListRequest, Fault> {
    let mut rest = parameters.clone();
    let mut request = query::list_request(&mut rest, version)?;
    let admin = caller.roles.admin;
    if let Some(value) = rest.get("all_tenants").filter(|_| admin) {
        request.all_tenants = body::boolean("all_tenants", value)?;
    }
    rest.pop("all_tenants");
    let filters_are_checked = version >= microversion::RESOURCE_FILTERS;
    if filters_are_checked {
        query::refuse_non_ascii_keys(&rest)?;
    }
    if !admin {
        let allowed = prepared.allowed_filters("volume");
        let is_allowed = |key: &String| allowed.contains(key);
        if filters_are_checked {
            query::refuse_filters(rest.0.iter().filter(|(key, _)| !is_allowed(key)))?;
        } else {
            rest.0.retain(|(key, _)| is_allowed(key));
        }
    }
    if !request.all_tenants {
        rest.remove_all("project_id");
    }
    if filters_are_checked {
        query::rename_consumes_quota(&mut rest);
    } else {
        // Cinder drops what a version does not have, but only below the version that configures filters.
        let is_new = |key: &str| match key {
            "glance_metadata" => version < microversion::VOLUME_IMAGE_METADATA_FILTER,
            "group_id" => version < microversion::VOLUME_GROUP_FILTER,
            key => ["created_at", "updated_at", "use_quota", "name~"].contains(&key),
        };
        rest.0.retain(|(key, _)| !is_new(key));
    }
    if rest.contains("name") {
        // The API's name takes precedence over the column's own.
        rest.remove_all("display_name");
    }
    if rest.0.iter().filter(|(key, _)| key == "name").count() > 1 {
        // Cinder only renames the first to the name of a column.
        request.filters.push(Filter::Nothing);
    }
    for (at, (key, value)) in rest.0.iter().enumerate() {
        // The last value of a repeated key takes precedence.
        if !rest.0[at + 1..].iter().any(|(later, _)| later == key) {
            request.filters.extend(filter(key, value, version)?);
        }
    }
    if let Some((column, _)) = request.sort.iter_mut().find(|(column, _)| column == "name") {
        "display_name".clone_into(column);
    }
    Ok(request)
}

/// Returns the condition of a parameter. Values are Python literals where they can be (`check_volume_filters` in
/// `cinder/volume/api.py`).
fn filter(key: &str, value: &str, version: Microversion) -> Result<Option<Filter>, Fault> {
    let unhashable = |_| Fault::bad_request(BAD_REQUEST);
    Ok(Some(match key {
        // An empty host or cluster is not a condition.
        "host" | "cluster_name" if value.is_empty() => return Ok(None),
        "host" => Filter::OwnHost { column: "host", host: unquoted(value)? },
        "cluster_name" => Filter::OwnHost { column: "cluster_name", host: unquoted(value)? },
        "metadata" => query::items_filter(python::dict_literal(value).map_err(unhashable)?, Filter::Metadata),
        "glance_metadata" => {
            query::items_filter(python::dict_literal(value).map_err(unhashable)?, Filter::ImageMetadata)
        }
        "created_at" => comparisons("created_at", value)?,
        "updated_at" => comparisons("updated_at", value)?,
        "use_quota" => of_boolean(key, body::boolean(key, value)?),
        "bootable" | "multiattach" | "deleted" | "shared_targets" => of_boolean(key, boolean(key, value, version)?),
        "name" | "display_name" => query::column_filter(key, value)?,
        _ if key.ends_with('~') => query::column_filter(key, &unquoted(value)?)?,
        _ => match python::operand(value).map_err(unhashable)? {
            Operand::Equal(string) => Filter::Exact { column: key.to_owned(), string },
            Operand::Null => Filter::Null { column: key.to_owned() },
            Operand::AnyOf(strings) => Filter::AnyOf { column: key.to_owned(), strings },
            Operand::Never => Filter::AnyOf { column: key.to_owned(), strings: Vec::new() },
        },
    }))
}

fn of_boolean(column: &str, wanted: bool) -> Filter {
    Filter::Exact { column: column.to_owned(), string: i64::from(wanted).to_string() }
}

/// Returns the string of a string literal, or the value as it is.
fn unquoted(value: &str) -> Result<String, Fault> {
    match python::operand(value).map_err(|_| Fault::bad_request(BAD_REQUEST))? {
        Operand::Equal(string) => Ok(string),
        _ => Ok(value.to_owned()),
    }
}

/// Reads a boolean column. Below 3.2 every string is true but the empty one and three words for false.
fn boolean(key: &str, value: &str, version: Microversion) -> Result<bool, Fault> {
    if version < microversion::STRICT_BOOLEANS {
        return Ok(!["", "False", "false", "FALSE"].contains(&value));
    }
    let refused = || Fault::bad_request(format!("Invalid input received: '{key} = {value}'"));
    python::boolean(python::strip(value)).ok_or_else(refused)
}

/// Reads comparisons of a time, such as `gt:2026-01-01,lt:2027-01-01`. A row meets any of them. Of several with the same
/// operator, the last one counts.
fn comparisons(column: &'static str, value: &str) -> Result<Filter, Fault> {
    let mut comparisons: Vec<(Comparison, Timestamp)> = Vec::new();
    for part in value.split(',') {
        let (operator, time) = part.split_once(':').unwrap_or((part, part));
        let refused = |what: &str, kind: &str| Fault::bad_request(format!("Invalid {what} {kind}"));
        let comparison = Comparison::named(operator).ok_or_else(|| refused(operator, "operator"))?;
        let time = python::iso_time(time).ok_or_else(|| refused(time, "value"))?;
        comparisons.retain(|(own, _)| *own != comparison);
        comparisons.push((comparison, time));
    }
    Ok(Filter::Time { column, comparisons })
}

#[derive(Serialize)]
struct Summarized {
    total_count: usize,
    total_size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<BTreeMap<String, BTreeSet<String>>>,
}

/// `GET .../volumes/summary`. All filters are ignored, as in Cinder.
pub fn summarize(call: &Call<'_>) -> Result<Reply, Fault> {
    if call.version < microversion::VOLUME_SUMMARY {
        return Err(Fault::not_found());
    }
    let service = &call.service;
    let named = call.parameters.get("all_tenants").filter(|_| service.caller.roles.admin);
    let all_tenants = || match named {
        Some(value) => python::boolean(python::strip(value)).ok_or_else(|| not_a_boolean("all_tenants", value)),
        None => Ok(false),
    };
    let with_metadata = call.version >= microversion::VOLUME_SUMMARY_METADATA;
    let VolumeSummary { count, size, metadata } = service.summarize_volumes(&all_tenants, with_metadata)?;
    let summary = Summarized { total_count: count, total_size: size, metadata: with_metadata.then_some(metadata) };
    Reply::json(StatusCode::OK, &json!({ "volume-summary": summary }))
}

/// Returns the error for a parameter that is no boolean.
fn not_a_boolean(name: &str, value: &str) -> crate::service::Error {
    crate::service::Error::BadRequest(format!("Value '{value}' for '{name}' is not a boolean."))
}

/// `POST .../volumes`
pub fn create(call: &Call<'_>) -> Result<Reply, Fault> {
    let schema = if call.version < microversion::VOLUME_SCHEMAS { &CREATE_OPENLY } else { &CREATE };
    let body = schema::check(schema, call.body.as_ref())?;
    schema::check(&HINTED, call.body.as_ref())?;
    let fields = object(body.get("volume"))?;
    let named = |name: &str| string(fields.get(name));
    let (volume, types) = call.service.create_volume(NewVolume {
        name: stripped(fields.get("name").or_else(|| fields.get("display_name"))),
        description: stripped(fields.get("description").or_else(|| fields.get("display_description"))),
        metadata: metadata(fields.get("metadata")),
        size: fields.get("size").and_then(schema::size),
        snapshot_id: named("snapshot_id"),
        source_volid: named("source_volid"),
        groups: ["consistencygroup_id", "group_id"].into_iter().filter_map(named).collect(),
        image: named("image_id").or_else(|| named("imageRef")),
        backup_id: named("backup_id"),
        availability_zone: string(fields.get("availability_zone")),
        volume_type: string(fields.get("volume_type")),
        multiattach: fields.get("multiattach").is_some_and(schema::is_true),
    })?;
    Reply::json(StatusCode::ACCEPTED, &One { volume: view(call, &volume, &types, false) })
}

/// `GET .../volumes/{id}`
pub fn show(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    let (volume, types) = call.service.show_volume(id)?;
    Reply::json(StatusCode::OK, &One { volume: view(call, &volume, &types, true) })
}

/// `PUT .../volumes/{id}`
pub fn update(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    let schema = if call.version < microversion::VOLUME_SCHEMAS { &UPDATE_OPENLY } else { &UPDATE };
    let body = schema::check(schema, call.body.as_ref())?;
    let fields = object(body.get("volume"))?;
    let either = |name: &str, alias: &str| fields.get(name).or_else(|| fields.get(alias));
    let update = VolumeUpdate {
        name: either("name", "display_name").map(|value| stripped(Some(value))),
        description: either("description", "display_description").map(|value| stripped(Some(value))),
        metadata: fields.get("metadata").map(|value| metadata(Some(value))),
    };
    let (volume, types) = call.service.update_volume(id, &update)?;
    Reply::json(StatusCode::OK, &One { volume: view(call, &volume, &types, false) })
}

/// `DELETE .../volumes/{id}`
pub fn delete(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    let boolean = |name: &str| match call.parameters.get(name) {
        Some(value) => body::boolean(name, value),
        None => Ok(false),
    };
    let cascade = boolean("cascade")?;
    let force = call.version >= microversion::VOLUME_FORCE_DELETE && boolean("force")?;
    call.service.delete_volume(id, cascade, force)?;
    Ok(Reply::new(StatusCode::ACCEPTED, Content::ReadyMade))
}

/// `GET .../volumes/{id}/encryption[/{key}]`: no volume is encrypted.
pub fn encryption(call: &Call<'_>, id: &str, key: Option<&str>) -> Result<Reply, Fault> {
    call.service.may_see_encryption(id)?;
    match key {
        None => Reply::json(StatusCode::OK, &serde_json::json!({ "encryption_key_id": null })),
        Some("encryption_key_id") => Ok(Reply::new(StatusCode::OK, Content::Empty)),
        Some(_) => Err(Fault::not_found()),
    }
}
