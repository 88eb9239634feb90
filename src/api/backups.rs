//! Backups: list, create, show, update, and delete (`docs/spec/backups.md`).

use http::StatusCode;

use crate::domain::backup::{Backup, BackupId};
use crate::domain::{Caller, UserId};
use crate::service::backups::{BackupUpdate, NewBackup};
use crate::service::listing::{Filter, ListPage, ListRequest, Prepared};
use crate::service::policy::Rule;

use super::call::{Call, Link};
use super::microversion::{self, Microversion};
use super::python;
use super::query::{self, Parameters};
use super::schema::{self, Check, ObjectSchema};
use super::wire::body::{metadata, object, string, stripped};
use super::wire::document::ObjectWriter;
use super::wire::faults::Fault;
use super::wire::reply::{Content, Reply};

/// A backup may be updated.
const UPDATES: Microversion = Microversion::v3(9);
/// The project of a backup.
const PROJECT: Microversion = Microversion::v3(18);
/// The sort key `name`.
const SORT_BY_NAME: Microversion = Microversion::v3(37);
/// `metadata`.
const METADATA: Microversion = Microversion::v3(43);
/// `availability_zone` of new backups.
const ZONE: Microversion = Microversion::v3(51);
/// The user of a backup.
const USER: Microversion = Microversion::v3(56);
/// The key of an encrypted backup.
const ENCRYPTION_KEY: Microversion = Microversion::v3(64);

const CREATE: ObjectSchema = ObjectSchema {
    properties: &[("backup", Check::Object(&CREATED))],
    required: &["backup"],
    others_allowed: false,
    one_of: &[],
};

const CREATE_WITH_METADATA: ObjectSchema =
    ObjectSchema { properties: &[("backup", Check::Object(&CREATED_WITH_METADATA))], ..CREATE };

const CREATE_IN_ZONE: ObjectSchema =
    ObjectSchema { properties: &[("backup", Check::Object(&CREATED_IN_ZONE))], ..CREATE };

const CREATED: ObjectSchema = ObjectSchema {
    properties: &[
        ("volume_id", Check::Uuid),
        ("container", Check::Name),
        ("description", Check::Description),
        ("incremental", Check::Boolean),
        ("force", Check::Boolean),
        ("name", Check::Name),
        ("snapshot_id", Check::UuidOrNull),
    ],
    required: &["volume_id"],
    others_allowed: false,
    one_of: &[],
};

const CREATED_WITH_METADATA: ObjectSchema = ObjectSchema {
    properties: &[
        ("volume_id", Check::Uuid),
        ("container", Check::Name),
        ("description", Check::Description),
        ("incremental", Check::Boolean),
        ("force", Check::Boolean),
        ("name", Check::Name),
        ("snapshot_id", Check::UuidOrNull),
        ("metadata", Check::MetadataOrNull),
    ],
    ..CREATED
};

const CREATED_IN_ZONE: ObjectSchema = ObjectSchema {
    properties: &[
        ("volume_id", Check::Uuid),
        ("container", Check::Name),
        ("description", Check::Description),
        ("incremental", Check::Boolean),
        ("force", Check::Boolean),
        ("name", Check::Name),
        ("snapshot_id", Check::UuidOrNull),
        ("metadata", Check::MetadataOrNull),
        ("availability_zone", Check::Name),
    ],
    ..CREATED
};

/// The schema of an update. Cinder lets null through and then fails.
const UPDATE: ObjectSchema = ObjectSchema {
    properties: &[("backup", Check::Object(&UPDATED))],
    required: &["backup"],
    others_allowed: false,
    one_of: &[],
};

const UPDATE_WITH_METADATA: ObjectSchema =
    ObjectSchema { properties: &[("backup", Check::Object(&UPDATED_WITH_METADATA))], ..UPDATE };

const UPDATED: ObjectSchema = ObjectSchema {
    properties: &[("name", Check::Name), ("description", Check::Description)],
    required: &[],
    others_allowed: false,
    one_of: &[],
};

const UPDATED_WITH_METADATA: ObjectSchema = ObjectSchema {
    properties: &[("name", Check::Name), ("description", Check::Description), ("metadata", Check::Specs)],
    ..UPDATED
};

fn links(call: &Call<'_>, id: BackupId) -> [Link; 2] {
    let path = call.path_in_project(&format!("backups/{id}"));
    let origin = call.link_origin();
    [Link::new("self", format!("{origin}/v3/{path}")), Link::new("bookmark", format!("{origin}/{path}"))]
}

/// Writes the three fields of a summary.
fn write_summary(call: &Call<'_>, bytes: &mut Vec<u8>, backup: &Backup) {
    let mut view = ObjectWriter::open(bytes);
    view.uuid("id", Some(backup.id.as_uuid()));
    view.optional_string("name", backup.name.as_deref());
    view.value("links", &links(call, backup.id));
    view.close();
}

/// Writes all fields that the version and the caller may see.
fn write_detail(call: &Call<'_>, bytes: &mut Vec<u8>, backup: &Backup, has_dependents: bool) {
    let sees_owner = call.service.caller.allow(Rule::BackupProjectAttribute, &backup.project_id).is_ok();
    let mut view = ObjectWriter::open(bytes);
    view.uuid("id", Some(backup.id.as_uuid()));
    view.plain("status", backup.status.as_str().as_bytes());
    view.value("size", &backup.size.unwrap_or(0));
    view.value("object_count", &backup.object_count.unwrap_or(0));
    view.optional_string("availability_zone", backup.availability_zone.as_deref());
    view.optional_string("container", backup.container.as_deref());
    view.plain("created_at", &backup.created_at.encoded());
    view.value("updated_at", &backup.updated_at);
    view.optional_string("name", backup.name.as_deref());
    view.optional_string("description", backup.description.as_deref());
    view.optional_string("fail_reason", backup.fail_reason.as_deref());
    view.uuid("volume_id", Some(backup.volume_id.as_uuid()));
    view.value("links", &links(call, backup.id));
    view.value("is_incremental", &backup.parent_id.is_some());
    view.value("has_dependent_backups", &has_dependents);
    view.uuid("snapshot_id", backup.snapshot_id.map(|id| id.as_uuid()));
    view.value("data_timestamp", &backup.data_timestamp);
    if call.version >= METADATA {
        view.strings("metadata", backup.metadata.iter());
    }
    if call.version >= ENCRYPTION_KEY && backup.encryption_key_id.is_some() {
        view.optional_string("encryption_key_id", backup.encryption_key_id.as_deref());
    }
    if call.version >= PROJECT && sees_owner {
        view.string("os-backup-project-attr:project_id", backup.project_id.as_str());
    }
    if call.version >= USER && sees_owner {
        view.optional_string("user_id", backup.user_id.as_ref().map(UserId::as_str));
    }
    view.close();
}

/// Returns the reply that shows the summary of a backup.
pub(super) fn summary(call: &Call<'_>, status: StatusCode, backup: &Backup) -> Reply {
    let mut body = Vec::new();
    let mut document = ObjectWriter::open(&mut body);
    write_summary(call, document.field("backup"), backup);
    document.close();
    Reply::new(status, Content::Json(body.into()))
}

/// `GET .../backups[/detail]`
pub fn list(call: &Call<'_>, detail: bool) -> Result<Reply, Fault> {
    let prepared = call.service.prepare_listing(call.parameters.get("all_tenants").is_some())?;
    let request = list_query(&call.parameters, call.service.caller, call.version, &prepared)?;
    let page: ListPage<Backup> = call.service.list(request, prepared)?;
    let with_dependents = if detail { call.service.backups_with_dependents(&page.rows)? } else { Vec::new() };
    let collection = if detail { "backups/detail" } else { "backups" };
    let mut body = Vec::new();
    let mut document = ObjectWriter::open(&mut body);
    let shown = document.array("backups", &page.rows, page.most_bytes, |bytes, backup| {
        if detail {
            write_detail(call, bytes, backup, with_dependents.contains(&backup.id));
        } else {
            write_summary(call, bytes, backup);
        }
    });
    if let Some(links) = call.next_links(collection, &page, shown, |backup| backup.id.to_string()) {
        document.value("backups_links", &links);
    }
    if let Some(count) = page.count {
        document.value("count", &count);
    }
    document.close();
    Ok(Reply::new(StatusCode::OK, Content::Json(body.into())))
}

/// Reads the query of a list.
fn list_query(
    parameters: &Parameters,
    caller: &Caller,
    version: Microversion,
    prepared: &Prepared,
) -> Result<ListRequest, Fault> {
    let mut rest = parameters.clone();
    let mut request = query::list_request(&mut rest, version)?;
    let admin = caller.roles.admin;
    let allowed = prepared.allowed_filters("backup");
    if version >= microversion::RESOURCE_FILTERS {
        query::refuse_unconfigured_filters(&mut rest, admin, version, &allowed)?;
    } else if !admin {
        rest.0.retain(|(key, _)| ["name", "status", "volume_id"].contains(&key.as_str()));
    }
    if let Some(value) = rest.get("all_tenants") {
        let refused = || Fault::bad_request(format!("all_tenants must be a boolean, got '{value}'."));
        request.all_tenants = admin && python::boolean(python::strip(value)).ok_or_else(refused)?;
    }
    rest.remove_all("all_tenants");
    if !request.all_tenants {
        rest.remove_all("project_id");
    }
    request.filters.extend(query::metadata_filter(&mut rest)?);
    if rest.contains("name") {
        // The API's name takes precedence over the column's own.
        rest.remove_all("display_name");
    }
    for (at, (key, value)) in rest.0.iter().enumerate() {
        // The last value of a repeated key takes precedence.
        if rest.0[at + 1..].iter().any(|(later, _)| later == key) {
            continue;
        }
        let is_pattern = key.ends_with('~') && version < microversion::LIKE_FILTERS;
        request.filters.push(if is_pattern { Filter::Nothing } else { query::column_filter(key, value)? });
    }
    if version >= SORT_BY_NAME
        && let Some((column, _)) = request.sort.iter_mut().find(|(column, _)| column == "name")
    {
        "display_name".clone_into(column);
    }
    Ok(request)
}

/// `POST .../backups`
pub fn create(call: &Call<'_>) -> Result<Reply, Fault> {
    let schema = if call.version < METADATA {
        &CREATE
    } else if call.version < ZONE {
        &CREATE_WITH_METADATA
    } else {
        &CREATE_IN_ZONE
    };
    let body = schema::check(schema, call.body.as_ref())?;
    let fields = object(body.get("backup"))?;
    let is_true = |name: &str| fields.get(name).is_some_and(schema::is_true);
    let backup = call.service.create_backup(NewBackup {
        volume_id: string(fields.get("volume_id")).unwrap_or_default(),
        snapshot_id: string(fields.get("snapshot_id")),
        name: stripped(fields.get("name")),
        description: stripped(fields.get("description")),
        container: string(fields.get("container")),
        metadata: metadata(fields.get("metadata")),
        availability_zone: string(fields.get("availability_zone")),
        incremental: is_true("incremental"),
        force: is_true("force"),
    })?;
    Ok(summary(call, StatusCode::ACCEPTED, &backup))
}

/// `GET .../backups/{id}`
pub fn show(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    let (backup, has_dependents) = call.service.show_backup(id)?;
    let mut body = Vec::new();
    let mut document = ObjectWriter::open(&mut body);
    write_detail(call, document.field("backup"), &backup, has_dependents);
    document.close();
    Ok(Reply::new(StatusCode::OK, Content::Json(body.into())))
}

/// `PUT .../backups/{id}`
pub fn update(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    if call.version < UPDATES {
        return Err(Fault::not_found());
    }
    let schema = if call.version < METADATA { &UPDATE } else { &UPDATE_WITH_METADATA };
    let body = schema::check(schema, call.body.as_ref())?;
    let fields = object(body.get("backup"))?;
    let update = BackupUpdate {
        name: fields.get("name").map(|value| stripped(Some(value))),
        description: fields.get("description").map(|value| stripped(Some(value))),
        metadata: fields.get("metadata").map(|value| metadata(Some(value))),
    };
    let backup = call.service.update_backup(id, &update)?;
    Ok(summary(call, StatusCode::OK, &backup))
}

/// `DELETE .../backups/{id}`
pub fn delete(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    call.service.delete_backup(id)?;
    Ok(Reply::new(StatusCode::ACCEPTED, Content::Empty))
}
