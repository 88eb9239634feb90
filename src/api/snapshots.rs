//! Snapshots in the API's words: list, create, show, update, delete (`spec/snapshots-api.md` sections 1 to 6).

#![expect(clippy::missing_errors_doc, reason = "an operation answers the faults of its service and of its schema")]

use http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::domain::{Metadata, Snapshot};
use crate::service::listing::Page;
use crate::service::policy::Rule;
use crate::service::snapshots::{InUse, NewSnapshot, SnapshotUpdate};

use super::faults::Fault;
use super::microversion::{self, Microversion};
use super::python_text::strip;
use super::query;
use super::reply::{Content, Reply};
use super::schema::{self, Check, Object};
use super::{Call, Links};

const CREATE: Object = Object {
    properties: &[("snapshot", Check::Object(&CREATED))],
    required: &["snapshot"],
    others_allowed: false,
    one_of: &[],
};

const CREATED: Object = Object {
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

const UPDATE: Object = Object {
    properties: &[("snapshot", Check::Object(&UPDATED))],
    required: &["snapshot"],
    others_allowed: false,
    one_of: &[],
};

const UPDATED: Object = Object {
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

/// A snapshot as the API shows it; which fields it has depends on the view and the microversion.
#[derive(Debug, Serialize)]
pub struct SnapshotView<'a> {
    id: crate::domain::SnapshotId,
    created_at: crate::domain::Timestamp,
    updated_at: Option<crate::domain::Timestamp>,
    name: Option<&'a str>,
    description: Option<&'a str>,
    volume_id: crate::domain::VolumeId,
    status: crate::domain::SnapshotStatus,
    size: u32,
    metadata: &'a Metadata,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_snapshot_id: Option<Option<crate::domain::GroupSnapshotId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumes_quota: Option<bool>,
    #[serde(rename = "os-extended-snapshot-attributes:project_id", skip_serializing_if = "Option::is_none")]
    project_id: Option<&'a str>,
    #[serde(rename = "os-extended-snapshot-attributes:progress", skip_serializing_if = "Option::is_none")]
    progress: Option<Option<&'a str>>,
}

impl<'a> SnapshotView<'a> {
    /// The nine fields of the summary, the same at every microversion.
    #[must_use]
    pub fn summary(snapshot: &'a Snapshot) -> Self {
        Self {
            id: snapshot.id,
            created_at: snapshot.created_at,
            updated_at: snapshot.updated_at,
            name: snapshot.name.as_deref(),
            description: snapshot.description.as_deref(),
            volume_id: snapshot.volume_id,
            status: snapshot.status,
            size: snapshot.size,
            metadata: &snapshot.metadata,
            group_snapshot_id: None,
            user_id: None,
            consumes_quota: None,
            project_id: None,
            progress: None,
        }
    }

    /// With the fields that microversions have added.
    #[must_use]
    pub fn detail(snapshot: &'a Snapshot, version: Microversion) -> Self {
        let since = |added: Microversion| version >= added;
        Self {
            group_snapshot_id: since(microversion::GROUP_SNAPSHOTS).then_some(snapshot.group_snapshot_id),
            user_id: since(microversion::SNAPSHOT_USER)
                .then(|| snapshot.user_id.as_ref().map(super::super::domain::identifiers::UserId::as_str)),
            consumes_quota: since(microversion::CONSUMES_QUOTA).then_some(snapshot.consumes_quota),
            ..Self::summary(snapshot)
        }
    }

    /// With the extended attributes too, as show and the detail list have them.
    #[must_use]
    pub fn extended(snapshot: &'a Snapshot, version: Microversion) -> Self {
        Self {
            project_id: Some(snapshot.project_id.as_str()),
            progress: Some(snapshot.progress.as_deref()),
            ..Self::detail(snapshot, version)
        }
    }
}

#[derive(Serialize)]
struct One<'a> {
    snapshot: SnapshotView<'a>,
}

#[derive(Serialize)]
struct Many<'a> {
    snapshots: Vec<SnapshotView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshots_links: Option<Links>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<usize>,
}

/// `GET .../snapshots[/detail]`
pub fn list(call: &Call<'_>, detail: bool) -> Result<Reply, Fault> {
    let prepared = call.service.prepare_listing(call.parameters.get("all_tenants").is_some())?;
    let largest = query::page_limit(&prepared.deployment, call.max_limit);
    let query = query::snapshots(&call.parameters, call.service.caller, call.version, &prepared.deployment, largest)?;
    let page: Page<Snapshot> = call.service.list(&query, prepared)?;
    let view = |snapshot| view_in_list(call, snapshot, detail);
    let collection = if detail { "snapshots/detail" } else { "snapshots" };
    let last = page.rows.last().map(|snapshot| snapshot.id.to_string());
    let many = Many {
        snapshots: page.rows.iter().map(view).collect(),
        snapshots_links: call.next_link(collection, page.rows.len(), query.limit, page.count, last.as_deref()),
        count: page.count,
    };
    Reply::json(StatusCode::OK, &many)
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
        volume_id: text(fields.get("volume_id")),
        name: stripped(fields.get("name").or_else(|| fields.get("display_name"))),
        description: stripped(fields.get("description")),
        metadata: metadata(fields.get("metadata")),
        in_use,
    })?;
    Reply::json(StatusCode::ACCEPTED, &One { snapshot: SnapshotView::detail(&snapshot, call.version) })
}

/// `GET .../snapshots/{id}`
pub fn show(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    let snapshot = call.service.show_snapshot(id)?;
    Reply::json(StatusCode::OK, &One { snapshot: view_in_list(call, &snapshot, true) })
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
    Reply::json(StatusCode::OK, &One { snapshot: SnapshotView::detail(&snapshot, call.version) })
}

/// `DELETE .../snapshots/{id}`
pub fn delete(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    call.service.delete_snapshot(id)?;
    Ok(Reply::new(StatusCode::ACCEPTED, Content::ReadyMade))
}

/// A member of a body that the schema has found to be an object.
pub fn object(value: Option<&Value>) -> Result<&Map<String, Value>, Fault> {
    value.and_then(Value::as_object).ok_or_else(|| Fault::bad_request(super::faults::BAD_REQUEST))
}

/// A text of a body as it is; `None` for null and for none.
pub fn text(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).map(str::to_owned)
}

/// A text of a body without white space around.
pub fn stripped(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).map(|text| strip(text).to_owned())
}

/// The metadata of a body.
pub fn metadata(value: Option<&Value>) -> Metadata {
    let items = value.and_then(Value::as_object).into_iter().flatten();
    let mut metadata = Metadata::new();
    metadata.extend(items.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))));
    metadata
}
