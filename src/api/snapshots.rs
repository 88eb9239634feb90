//! Snapshots: list, create, show, update, and delete (`docs/spec/snapshots-api.md` sections 1 to 6).

use http::StatusCode;

use crate::domain::{Caller, Snapshot, UserId};
use crate::service::listing::{Filter, ListPage, ListRequest, Prepared};
use crate::service::policy::Rule;
use crate::service::snapshots::{InUse, NewSnapshot, SnapshotUpdate};

use super::call::Call;
use super::metadata::{ITEM, ITEMS, MetadataSchemas};
use super::microversion::{self, Microversion};
use super::python;
use super::query::{self, Parameters};
use super::schema::{self, Check, ObjectSchema};
use super::wire::body::{boolean, metadata, object, string, stripped};
use super::wire::document::ObjectWriter;
use super::wire::faults::Fault;
use super::wire::reply::{Content, Reply};

/// The number of bytes that are reserved for a view.
const VIEW_BYTES: usize = 512;

const CREATE: ObjectSchema = ObjectSchema {
    properties: &[("snapshot", Check::Object(&CREATED))],
    required: &["snapshot"],
    others_allowed: false,
    one_of: &[],
};

const CREATED: ObjectSchema = ObjectSchema {
    properties: &[
        ("name", Check::Name),
        ("display_name", Check::Name),
        ("description", Check::Description),
        ("volume_id", Check::UuidOrNull),
        ("force", Check::Force),
        ("metadata", Check::MetadataOrNull),
    ],
    required: &["volume_id"],
    others_allowed: false,
    one_of: &[],
};

const UPDATE: ObjectSchema = ObjectSchema {
    properties: &[("snapshot", Check::Object(&UPDATED))],
    required: &["snapshot"],
    others_allowed: false,
    one_of: &[],
};

const UPDATED: ObjectSchema = ObjectSchema {
    properties: &[
        ("name", Check::Name),
        ("description", Check::Description),
        ("display_name", Check::Name),
        ("display_description", Check::Description),
    ],
    required: &[],
    others_allowed: false,
    one_of: &["name", "description", "display_name", "display_description"],
};

impl MetadataSchemas for Snapshot {
    const ITEMS: &'static ObjectSchema = &ITEMS;
    const ITEM: &'static ObjectSchema = &ITEM;
}

/// A snapshot as the API shows it.
#[derive(Debug, Clone, Copy)]
pub struct SnapshotView<'a> {
    snapshot: &'a Snapshot,
    /// The newest version whose fields are shown. A summary has none of the added fields.
    added: Option<Microversion>,
    /// Whether the extended attributes are shown.
    extended: bool,
}

impl<'a> SnapshotView<'a> {
    /// Returns a view with the nine fields of the summary, which are the same at every microversion.
    #[must_use]
    pub const fn summary(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, added: None, extended: false }
    }

    /// Returns a view with the fields that microversions have added.
    #[must_use]
    pub const fn detail(snapshot: &'a Snapshot, version: Microversion) -> Self {
        Self { snapshot, added: Some(version), extended: false }
    }

    /// Returns a view with the extended attributes too, as in show and in the detail list.
    #[must_use]
    pub const fn extended(snapshot: &'a Snapshot, version: Microversion) -> Self {
        Self { snapshot, added: Some(version), extended: true }
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        let snapshot = self.snapshot;
        let since = |added: Microversion| self.added.is_some_and(|version| version >= added);
        let mut view = ObjectWriter::open(bytes);
        view.uuid("id", Some(snapshot.id.as_uuid()));
        view.plain("created_at", &snapshot.created_at.encoded());
        match snapshot.updated_at {
            Some(updated_at) => view.plain("updated_at", &updated_at.encoded()),
            None => view.optional_string("updated_at", None),
        }
        view.optional_string("name", snapshot.name.as_deref());
        view.optional_string("description", snapshot.description.as_deref());
        view.uuid("volume_id", Some(snapshot.volume_id.as_uuid()));
        view.plain("status", snapshot.status.as_str().as_bytes());
        view.value("size", &snapshot.size);
        view.strings("metadata", snapshot.metadata.iter());
        if since(microversion::GROUP_SNAPSHOTS) {
            view.uuid("group_snapshot_id", snapshot.group_snapshot_id.map(|id| id.as_uuid()));
        }
        if since(microversion::SNAPSHOT_USER) {
            view.optional_string("user_id", snapshot.user_id.as_ref().map(UserId::as_str));
        }
        if since(microversion::CONSUMES_QUOTA) {
            view.value("consumes_quota", &snapshot.consumes_quota);
        }
        if self.extended {
            view.string("os-extended-snapshot-attributes:project_id", snapshot.project_id.as_str());
            view.optional_string("os-extended-snapshot-attributes:progress", snapshot.progress.as_deref());
        }
        view.close();
    }

    /// Returns the reply that shows this view.
    #[must_use]
    pub fn reply(&self, status: StatusCode) -> Reply {
        let mut body = Vec::with_capacity(VIEW_BYTES);
        let mut document = ObjectWriter::open(&mut body);
        self.write(document.field("snapshot"));
        document.close();
        Reply::new(status, Content::Json(body.into()))
    }
}

/// `GET .../snapshots[/detail]`
pub fn list(call: &Call<'_>, detail: bool) -> Result<Reply, Fault> {
    let prepared = call.service.prepare_listing(call.parameters.get("all_tenants").is_some())?;
    let request = list_query(&call.parameters, call.service.caller, call.version, &prepared)?;
    let page: ListPage<Snapshot> = call.service.list(request, prepared)?;
    let collection = if detail { "snapshots/detail" } else { "snapshots" };
    let mut body = Vec::with_capacity(page.rows.len() * VIEW_BYTES + page.bytes);
    let mut document = ObjectWriter::open(&mut body);
    let shown = document.array("snapshots", &page.rows, page.most_bytes, |bytes, snapshot| {
        view_in_list(call, snapshot, detail).write(bytes);
    });
    if let Some(links) = call.next_links(collection, &page, shown, |snapshot| snapshot.id.to_string()) {
        document.value("snapshots_links", &links);
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
    check_filters(&mut rest, admin, version, prepared)?;
    if version >= microversion::RESOURCE_FILTERS {
        // Below 3.31 the API's name is not translated, and is an unknown column.
        query::rename_consumes_quota(&mut rest);
    }
    if rest.0.iter().filter(|(key, _)| key == "metadata").count() > 1 {
        // Cinder reads the last one only, and the other is no dict.
        request.filters.push(Filter::Nothing);
        rest.remove_all("metadata");
    }
    request.filters.extend(query::metadata_filter(&mut rest)?);
    if let Some(value) = rest.get("use_quota") {
        let wanted = boolean("use_quota", value)?;
        request.filters.push(Filter::UsesQuota(wanted));
        rest.remove_all("use_quota");
    }

    let all_tenants = rest.get("all_tenants").map(str::to_owned);
    rest.pop("all_tenants");
    request.all_tenants = match &all_tenants {
        Some(value) if admin && request.with_count => boolean("all_tenants", value)?,
        Some(value) => admin && python::boolean(python::strip(value)) == Some(true),
        None => false,
    };
    if !request.all_tenants {
        // The list is of the caller's own project, whatever the query says.
        rest.remove_all("project_id");
    }
    let mut columns = column_filters(&rest)?;
    let repeats_name = rest.0.iter().filter(|(key, _)| key == "name").count() > 1;
    if repeats_name || (version < microversion::RESOURCE_FILTERS && rest.contains("description~")) {
        // Neither is the name of a column: of a repeated `name`, Cinder only renames the first to one.
        columns = vec![Filter::Nothing];
    }
    request.filters.append(&mut columns);

    if version >= microversion::SORT_BY_NAME
        && let Some((column, _)) = request.sort.iter_mut().find(|(column, _)| column == "name")
    {
        "display_name".clone_into(column);
    }
    Ok(request)
}

/// Refuses or drops the filters that the caller may not use (`docs/spec/listing.md` section 4.1).
fn check_filters(rest: &mut Parameters, admin: bool, version: Microversion, prepared: &Prepared) -> Result<(), Fault> {
    if version < microversion::RESOURCE_FILTERS {
        if version < microversion::METADATA_FILTER {
            rest.remove_all("metadata");
        }
        rest.remove_all("use_quota");
        // Cinder finds a property of its model under this name, and ignores it.
        rest.remove_all("name~");
        if !admin {
            rest.0.retain(|(key, _)| ["status", "volume_id", "name", "metadata"].contains(&key.as_str()));
        }
        return Ok(());
    }
    query::refuse_unconfigured_filters(rest, admin, version, &prepared.allowed_filters("snapshot"))
}

/// Returns the remaining filters, by column. The last value of a repeated key takes precedence.
fn column_filters(rest: &Parameters) -> Result<Vec<Filter>, Fault> {
    let last_of_its_key = |at: usize, key: &str| !rest.0[at + 1..].iter().any(|(later, _)| later == key);
    // The API's name takes precedence over the column's own.
    let is_hidden = |key: &str| key == "display_name" && rest.contains("name");
    let parameters = rest.0.iter().enumerate().filter(|(at, (key, _))| last_of_its_key(*at, key) && !is_hidden(key));
    parameters
        .filter_map(|(_, (key, value))| match key.as_str() {
            // An empty zone, host, or cluster is not a condition in Cinder.
            "availability_zone" | "host" | "cluster_name" if value.is_empty() => None,
            "availability_zone" => Some(Ok(Filter::Zone(value.clone()))),
            "host" => Some(Ok(Filter::Host(value.clone()))),
            "cluster_name" => Some(Ok(Filter::Cluster(value.clone()))),
            _ => Some(query::column_filter(key, value)),
        })
        .collect()
}

fn view_in_list<'a>(call: &Call<'_>, snapshot: &'a Snapshot, detail: bool) -> SnapshotView<'a> {
    if !detail {
        SnapshotView::summary(snapshot)
    } else if call.service.caller.allow(Rule::ExtendedSnapshotAttributes, &snapshot.project_id).is_ok() {
        SnapshotView::extended(snapshot, call.version)
    } else {
        SnapshotView::detail(snapshot, call.version)
    }
}

/// `POST .../snapshots`
pub fn create(call: &Call<'_>) -> Result<Reply, Fault> {
    let body = schema::check(&CREATE, call.body.as_ref())?;
    let fields = object(body.get("snapshot"))?;
    let in_use = match (fields.get("force").map(schema::is_true), call.version >= microversion::SNAPSHOT_IN_USE) {
        (Some(false), true) => InUse::ForceNoLongerAllowed,
        (_, true) | (Some(true), false) => InUse::Accepted,
        (_, false) => InUse::Refused,
    };
    let snapshot = call.service.create_snapshot(NewSnapshot {
        volume_id: string(fields.get("volume_id")),
        name: stripped(fields.get("name").or_else(|| fields.get("display_name"))),
        description: stripped(fields.get("description")),
        metadata: metadata(fields.get("metadata")),
        in_use,
    })?;
    Ok(SnapshotView::detail(&snapshot, call.version).reply(StatusCode::ACCEPTED))
}

/// `GET .../snapshots/{id}`
pub fn show(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    let snapshot = call.service.show_snapshot(id)?;
    Ok(view_in_list(call, &snapshot, true).reply(StatusCode::OK))
}

/// `PUT .../snapshots/{id}`
pub fn update(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    let body = schema::check(&UPDATE, call.body.as_ref())?;
    let fields = object(body.get("snapshot"))?;
    let either = |name: &str, alias: &str| fields.get(name).or_else(|| fields.get(alias));
    let update = SnapshotUpdate {
        name: either("name", "display_name").map(|value| stripped(Some(value))),
        description: either("description", "display_description").map(|value| stripped(Some(value))),
    };
    let snapshot = call.service.update_snapshot(id, &update)?;
    Ok(SnapshotView::detail(&snapshot, call.version).reply(StatusCode::OK))
}

/// `DELETE .../snapshots/{id}`
pub fn delete(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    call.service.delete_snapshot(id)?;
    Ok(Reply::new(StatusCode::ACCEPTED, Content::ReadyMade))
}
