//! Group snapshots (`docs/spec/group-snapshots.md` section 1).

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::domain::GroupSnapshot;
use crate::service::group_snapshots::NewGroupSnapshot;
use crate::service::listing::{ListPage, ListRequest};

use super::action::{name_of, no_such_action};
use super::call::Call;
use super::groups::{RESET_STATUS, SHOWN_PROJECT, accepted, exists_since, filters};
use super::microversion::{self, Microversion};
use super::query;
use super::schema::{self, Check, ObjectSchema};
use super::wire::body::{object, string};
use super::wire::faults::Fault;
use super::wire::reply::Reply;

/// `reset_status` of group snapshots.
const RESET: Microversion = Microversion::v3(19);
/// The page, the order, and the filters of group snapshots.
const PAGES: Microversion = Microversion::v3(29);

const CREATE: ObjectSchema = ObjectSchema {
    properties: &[("group_snapshot", Check::Object(&CREATED))],
    required: &["group_snapshot"],
    others_allowed: false,
    one_of: &[],
};

const CREATED: ObjectSchema = ObjectSchema {
    properties: &[("group_id", Check::Uuid), ("name", Check::Name), ("description", Check::Description)],
    required: &["group_id"],
    others_allowed: false,
    one_of: &[],
};

/// Returns the view with all fields.
fn detail(call: &Call<'_>, own: &GroupSnapshot) -> Value {
    let mut view = Map::new();
    let mut add = |name: &str, value: Value| drop(view.insert(name.to_owned(), value));
    add("id", json!(own.id));
    add("group_id", json!(own.group_id));
    add("group_type_id", json!(own.group_type_id));
    add("status", own.status.as_str().into());
    add("created_at", json!(own.created_at));
    add("name", own.name.clone().into());
    add("description", own.description.clone().into());
    if call.version >= SHOWN_PROJECT && call.service.caller.roles.admin {
        add("project_id", own.project_id.as_str().into());
    }
    Value::Object(view)
}

/// `GET .../group_snapshots[/detail]`
pub fn list(call: &Call<'_>, is_detailed: bool) -> Result<Reply, Fault> {
    exists_since(call, microversion::GROUP_SNAPSHOTS)?;
    let prepared = call.service.prepare_listing(call.parameters.get("all_tenants").is_some())?;
    let is_paged = call.version >= PAGES;
    let request = if is_paged {
        let mut rest = call.parameters.clone();
        let mut request = query::page_request(&mut rest)?;
        let configured = prepared.allowed_filters("group_snapshot");
        filters(call, &mut rest, &configured, &mut request)?;
        request
    } else {
        let sort = vec![("created_at".to_owned(), "desc".to_owned())];
        ListRequest { sort, limit: usize::MAX, ..ListRequest::default() }
    };
    let mut page: ListPage<GroupSnapshot> = call.service.list(request, prepared)?;
    if !is_paged && let Some(limit) = call.parameters.get("limit").and_then(|limit| limit.parse().ok()) {
        // Cinder shows the whole list, and then a link as if it had been cut.
        page.limit = if limit == 0 { usize::MAX } else { limit };
    }
    let summary = |own: &GroupSnapshot| json!({ "id": own.id, "name": own.name });
    let shown = page.rows.iter().filter(|own| !own.is_reserved());
    let views: Vec<Value> = shown.map(|own| if is_detailed { detail(call, own) } else { summary(own) }).collect();
    let mut body = json!({ "group_snapshots": views });
    // The link of a detailed list leads to the list without details, as in Cinder.
    if let Some(links) = call.next_links("group_snapshots", &page, page.rows.len(), |own| own.id.to_string()) {
        body["group_snapshot_links"] = json!(links);
    }
    Reply::json(StatusCode::OK, &body)
}

/// `GET .../group_snapshots/{id}`
pub fn show(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    exists_since(call, microversion::GROUP_SNAPSHOTS)?;
    let own = call.service.show_group_snapshot(id)?;
    Reply::json(StatusCode::OK, &json!({ "group_snapshot": detail(call, &own) }))
}

/// `POST .../group_snapshots`. Unlike elsewhere, Cinder leaves the white space around names.
pub fn create(call: &Call<'_>) -> Result<Reply, Fault> {
    exists_since(call, microversion::GROUP_SNAPSHOTS)?;
    let body = schema::check(&CREATE, call.body.as_ref())?;
    let fields = object(body.get("group_snapshot"))?;
    let own = call.service.create_group_snapshot(NewGroupSnapshot {
        group_id: string(fields.get("group_id")).unwrap_or_default(),
        name: string(fields.get("name")),
        description: string(fields.get("description")),
    })?;
    let view = json!({ "id": own.id, "name": own.name, "group_type_id": own.group_type_id });
    Reply::json(StatusCode::ACCEPTED, &json!({ "group_snapshot": view }))
}

/// `DELETE .../group_snapshots/{id}`
pub fn delete(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    exists_since(call, microversion::GROUP_SNAPSHOTS)?;
    call.service.delete_group_snapshot(id)?;
    Ok(accepted())
}

/// Checks that a body names the only action on group snapshots.
///
/// # Errors
///
/// A body that is not an object with one key, or a key that is not an action.
pub fn is_reset(body: Option<&Value>) -> Result<(), Fault> {
    match name_of(body)? {
        "reset_status" => Ok(()),
        other => Err(no_such_action(other)),
    }
}

/// `POST .../group_snapshots/{id}/action`, with `reset_status`
pub fn reset(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    exists_since(call, RESET)?;
    let body = schema::check(&RESET_STATUS, call.body.as_ref())?;
    let status = string(object(body.get("reset_status"))?.get("status")).unwrap_or_default();
    call.service.reset_group_snapshot_status(id, &status)?;
    Ok(accepted())
}

/// `PUT .../group_snapshots/{id}`, which Cinder's routing library adds.
pub fn update() -> Result<Reply, Fault> {
    Err(no_such_action("update"))
}
