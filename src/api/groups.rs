//! Groups of volumes (`docs/spec/group-snapshots.md` section 2).

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::domain::{Group, VolumeId};
use crate::service::groups::{GroupSource, GroupUpdate, NewGroup, NewGroupFromSource, Replication};
use crate::service::listing::{Filter, ListPage, ListRequest};

use super::action::{name_of, no_such_action};
use super::call::Call;
use super::microversion::{self, Microversion};
use super::not_offered::not_offered;
use super::python;
use super::query::{self, Parameters};
use super::schema::{self, Check, ObjectSchema};
use super::wire::body::{object, string, stripped};
use super::wire::faults::{BAD_REQUEST, Fault};
use super::wire::reply::{Content, Reply};

/// The volumes of a group in its view.
const LISTED_VOLUMES: Microversion = Microversion::v3(25);
/// `reset_status` of groups.
const RESET: Microversion = Microversion::v3(20);
/// `replication_status`, and the actions on it.
const REPLICATION: Microversion = Microversion::v3(38);
/// `project_id` of groups and group snapshots.
pub const SHOWN_PROJECT: Microversion = Microversion::v3(58);

const CREATE: ObjectSchema = ObjectSchema {
    properties: &[("group", Check::Object(&CREATED))],
    required: &["group"],
    others_allowed: false,
    one_of: &[],
};

const CREATED: ObjectSchema = ObjectSchema {
    properties: &[
        ("description", Check::Description),
        ("group_type", Check::ShortString),
        ("name", Check::Name),
        ("volume_types", Check::UniqueStrings),
        ("availability_zone", Check::ShortStringOrNull),
    ],
    required: &["group_type", "volume_types"],
    others_allowed: false,
    one_of: &[],
};

const CREATE_FROM_SOURCE: ObjectSchema = ObjectSchema {
    properties: &[(FROM_SOURCE, Check::Object(&CREATED_FROM_SOURCE))],
    required: &[FROM_SOURCE],
    others_allowed: false,
    one_of: &[],
};

const CREATED_FROM_SOURCE: ObjectSchema = ObjectSchema {
    properties: &[
        ("description", Check::Description),
        ("name", Check::Name),
        ("source_group_id", Check::Uuid),
        ("group_snapshot_id", Check::Uuid),
    ],
    required: &[],
    others_allowed: false,
    one_of: &["group_snapshot_id", "source_group_id"],
};

const UPDATE: ObjectSchema = ObjectSchema {
    properties: &[("group", Check::Object(&UPDATED))],
    required: &["group"],
    others_allowed: false,
    one_of: &[],
};

const UPDATED: ObjectSchema = ObjectSchema {
    properties: &[
        ("description", Check::Description),
        ("name", Check::Name),
        ("add_volumes", Check::Description),
        ("remove_volumes", Check::Description),
    ],
    required: &[],
    others_allowed: false,
    one_of: &["name", "description", "add_volumes", "remove_volumes"],
};

const DELETE: ObjectSchema = ObjectSchema {
    properties: &[("delete", Check::Object(&DELETED))],
    required: &["delete"],
    others_allowed: false,
    one_of: &[],
};

const DELETED: ObjectSchema = ObjectSchema {
    properties: &[("delete-volumes", Check::Boolean)],
    required: &[],
    others_allowed: false,
    one_of: &[],
};

/// The schema of `reset_status`, of groups and of group snapshots.
pub const RESET_STATUS: ObjectSchema = ObjectSchema {
    properties: &[("reset_status", Check::Object(&STATUS))],
    required: &["reset_status"],
    others_allowed: false,
    one_of: &[],
};

const STATUS: ObjectSchema = ObjectSchema {
    properties: &[("status", Check::String)],
    required: &["status"],
    others_allowed: false,
    one_of: &[],
};

const FAIL_OVER: ObjectSchema = ObjectSchema {
    properties: &[("failover_replication", Check::Object(&FAILED_OVER))],
    required: &["failover_replication"],
    others_allowed: false,
    one_of: &[],
};

const FAILED_OVER: ObjectSchema = ObjectSchema {
    properties: &[("allow_attached_volume", Check::Boolean), ("secondary_backend_id", Check::Name)],
    required: &[],
    others_allowed: false,
    one_of: &[],
};

const FROM_SOURCE: &str = "create-from-src";

/// An action on a group, or on all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupAction {
    CreateFromSource,
    Delete,
    ResetStatus,
    Replicate(Replication),
}

impl GroupAction {
    /// Returns the action that a body names.
    ///
    /// # Errors
    ///
    /// A body that is not an object with one key, or a key that is not an action.
    pub fn named(body: Option<&Value>) -> Result<Self, Fault> {
        Ok(match name_of(body)? {
            FROM_SOURCE => Self::CreateFromSource,
            "delete" => Self::Delete,
            "reset_status" => Self::ResetStatus,
            "enable_replication" => Self::Replicate(Replication::Enable),
            "disable_replication" => Self::Replicate(Replication::Disable),
            "failover_replication" => Self::Replicate(Replication::FailOver),
            "list_replication_targets" => Self::Replicate(Replication::ListTargets),
            other => return Err(no_such_action(other)),
        })
    }
}

/// Checks that the microversion has something.
pub fn exists_since(call: &Call<'_>, since: Microversion) -> Result<(), Fault> {
    if call.version < since { Err(Fault::not_found()) } else { Ok(()) }
}

/// Returns an answer without a body.
pub const fn accepted() -> Reply {
    Reply::new(StatusCode::ACCEPTED, Content::ReadyMade)
}

fn summary(group: &Group) -> Value {
    json!({ "id": group.id, "name": group.name })
}

/// Returns the view with all fields. `volumes` are shown if the client asked for them.
fn detail(call: &Call<'_>, group: &Group, volumes: Option<Vec<VolumeId>>) -> Value {
    let mut view = Map::new();
    let mut add = |name: &str, value: Value| drop(view.insert(name.to_owned(), value));
    add("id", json!(group.id));
    add("status", group.status.as_str().into());
    add("availability_zone", group.availability_zone.clone().into());
    add("created_at", json!(group.created_at));
    add("name", group.name.clone().into());
    add("description", group.description.clone().into());
    add("group_type", json!(group.group_type_id));
    add("volume_types", json!(group.volume_types));
    if call.version >= microversion::GROUP_SNAPSHOTS {
        add("group_snapshot_id", json!(group.group_snapshot_id));
        add("source_group_id", json!(group.source_group_id));
    }
    if let Some(volumes) = volumes {
        add("volumes", json!(volumes));
    }
    if call.version >= REPLICATION {
        add("replication_status", group.replication_status.clone().into());
    }
    if call.version >= SHOWN_PROJECT && call.service.caller.roles.admin {
        add("project_id", group.project_id.as_str().into());
    }
    Value::Object(view)
}

/// Returns the volumes of a group, if the client asked for them.
fn listed_volumes(call: &Call<'_>, group: &Group) -> Result<Option<Vec<VolumeId>>, Fault> {
    let wanted = call.parameters.get("list_volume").and_then(|value| python::boolean(python::strip(value)));
    if call.version < LISTED_VOLUMES || wanted != Some(true) {
        return Ok(None);
    }
    Ok(Some(call.service.volumes_of_group(group)?))
}

/// `GET .../groups[/detail]`
pub fn list(call: &Call<'_>, is_detailed: bool) -> Result<Reply, Fault> {
    exists_since(call, microversion::VOLUME_GROUP)?;
    let prepared = call.service.prepare_listing(call.parameters.get("all_tenants").is_some())?;
    let mut rest = call.parameters.clone();
    let mut request = query::page_request(&mut rest)?;
    rest.remove_all("list_volume");
    let configured = prepared.allowed_filters("group");
    filters(call, &mut rest, &configured, &mut request)?;
    let page: ListPage<Group> = call.service.list(request, prepared)?;
    // Groups that were consistency groups are not shown.
    let shown: Vec<&Group> = page.rows.iter().filter(|group| !group.is_reserved()).collect();
    let mut views = Vec::with_capacity(shown.len());
    for group in &shown {
        views.push(if is_detailed { detail(call, group, listed_volumes(call, group)?) } else { summary(group) });
    }
    let mut body = json!({ "groups": views });
    // The link of a detailed list leads to the list without details, as in Cinder.
    if let Some(links) = call.next_links("groups", &page, page.rows.len(), |group| group.id.to_string()) {
        body["group_links"] = json!(links);
    }
    Reply::json(StatusCode::OK, &body)
}

/// Reads the filters of a list of groups or of group snapshots.
pub fn filters(
    call: &Call<'_>,
    rest: &mut Parameters,
    configured: &[String],
    request: &mut ListRequest,
) -> Result<(), Fault> {
    let admin = call.service.caller.roles.admin;
    if call.version >= microversion::RESOURCE_FILTERS {
        query::refuse_unconfigured_filters(rest, admin, call.version, configured)?;
    }
    // Even a false value counts.
    request.all_tenants = admin && rest.contains("all_tenants");
    if admin {
        rest.remove_all("all_tenants");
    }
    if !request.all_tenants {
        rest.remove_all("project_id");
    }
    for (key, value) in &rest.0 {
        let filter = match key.strip_suffix('~') {
            Some(column) => Filter::Like { column: column.to_owned(), pattern: query::pattern(key, value)? },
            None => Filter::Exact { column: key.clone(), string: value.clone() },
        };
        request.filters.push(filter);
    }
    Ok(())
}

/// `GET .../groups/{id}`
pub fn show(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    exists_since(call, microversion::VOLUME_GROUP)?;
    let group = call.service.show_group(id)?;
    let volumes = listed_volumes(call, &group)?;
    Reply::json(StatusCode::OK, &json!({ "group": detail(call, &group, volumes) }))
}

/// `POST .../groups`
pub fn create(call: &Call<'_>) -> Result<Reply, Fault> {
    exists_since(call, microversion::VOLUME_GROUP)?;
    let body = schema::check(&CREATE, call.body.as_ref())?;
    let fields = object(body.get("group"))?;
    let types = fields.get("volume_types").and_then(Value::as_array).into_iter().flatten();
    let group = call.service.create_group(NewGroup {
        name: stripped(fields.get("name")),
        description: stripped(fields.get("description")),
        group_type: string(fields.get("group_type")).unwrap_or_default(),
        volume_types: types.filter_map(|name| name.as_str().map(str::to_owned)).collect(),
        availability_zone: string(fields.get("availability_zone")),
    })?;
    Reply::json(StatusCode::ACCEPTED, &json!({ "group": summary(&group) }))
}

/// `PUT .../groups/{id}`
pub fn update(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    exists_since(call, microversion::VOLUME_GROUP)?;
    let body = schema::check(&UPDATE, call.body.as_ref())?;
    let fields = object(body.get("group"))?;
    call.service.update_group(
        id,
        &GroupUpdate {
            name: stripped(fields.get("name")),
            description: stripped(fields.get("description")),
            add_volumes: string(fields.get("add_volumes")),
            remove_volumes: string(fields.get("remove_volumes")),
        },
    )?;
    Ok(accepted())
}

/// `POST .../groups/{id}/action`
pub fn act(call: &Call<'_>, id: &str, action: GroupAction) -> Result<Reply, Fault> {
    let body = call.body.as_ref();
    match action {
        // Cinder has one list of actions for the two paths, and fails in Python for an action of the other one.
        GroupAction::CreateFromSource => {
            exists_since(call, microversion::GROUP_SNAPSHOTS)?;
            Err(Fault::bad_request(BAD_REQUEST))
        }
        GroupAction::Delete => {
            exists_since(call, microversion::VOLUME_GROUP)?;
            let body = schema::check(&DELETE, body)?;
            let fields = object(body.get("delete"))?;
            call.service.delete_group(id, fields.get("delete-volumes").is_some_and(schema::is_true))?;
            Ok(accepted())
        }
        GroupAction::ResetStatus => {
            exists_since(call, RESET)?;
            let body = schema::check(&RESET_STATUS, body)?;
            let status = string(object(body.get("reset_status"))?.get("status")).unwrap_or_default();
            call.service.reset_group_status(id, &status)?;
            Ok(accepted())
        }
        GroupAction::Replicate(replication) => {
            exists_since(call, REPLICATION)?;
            if replication == Replication::FailOver {
                schema::check(&FAIL_OVER, body)?;
            }
            call.service.may_replicate_group(id, replication)?;
            Err(not_offered("Replicating groups is"))
        }
    }
}

/// `POST .../groups/action`
pub fn act_on_all(call: &Call<'_>, action: GroupAction) -> Result<Reply, Fault> {
    if action != GroupAction::CreateFromSource {
        return Err(Fault::bad_request(BAD_REQUEST));
    }
    exists_since(call, microversion::GROUP_SNAPSHOTS)?;
    let body = schema::check(&CREATE_FROM_SOURCE, call.body.as_ref())?;
    let fields = object(body.get(FROM_SOURCE))?;
    let source = match (string(fields.get("group_snapshot_id")), string(fields.get("source_group_id"))) {
        (Some(id), None) => GroupSource::GroupSnapshot(id),
        (None, Some(id)) => GroupSource::Group(id),
        _ => {
            let value = Value::Object(fields.clone());
            let (shown, printed) = (python::to_string(&value), python::repr(&value));
            return Err(Fault::bad_request(format!(
                "Invalid input for field/attribute {FROM_SOURCE}. Value: {shown}. {printed} is valid under each of \
                 {{'required': ['source_group_id']}}, {{'required': ['group_snapshot_id']}}"
            )));
        }
    };
    let group = call.service.create_group_from_source(NewGroupFromSource {
        name: stripped(fields.get("name")),
        description: stripped(fields.get("description")),
        source,
    })?;
    Reply::json(StatusCode::ACCEPTED, &json!({ "group": summary(&group) }))
}
