//! User messages: list, show, and delete (`cinder/api/v3/messages.py`).
//!
//! The list is of the caller's project, and for an administrator with a true `all_tenants` of all projects.

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::domain::message::Message;
use crate::service::listing::{Filter, ListPage, ListRequest};

use super::call::{Call, Link};
use super::microversion::{self, Microversion};
use super::python;
use super::query;
use super::wire::faults::Fault;
use super::wire::reply::{Content, Reply};

/// Messages.
const MESSAGES: Microversion = Microversion::v3(3);
/// The page, the order, and the filters of messages.
const MESSAGE_PAGES: Microversion = Microversion::v3(5);

fn exists(call: &Call<'_>) -> Result<(), Fault> {
    if call.version < MESSAGES { Err(Fault::not_found()) } else { Ok(()) }
}

fn view(call: &Call<'_>, message: &Message) -> Value {
    let path = call.path_in_project(&format!("messages/{}", message.id));
    let origin = call.link_origin();
    let links = [Link::new("self", format!("{origin}/v3/{path}")), Link::new("bookmark", format!("{origin}/{path}"))];
    let mut view = Map::new();
    let mut add = |name: &str, value: Value| drop(view.insert(name.to_owned(), value));
    add("id", message.id.to_string().into());
    add("event_id", message.event_id.as_str().into());
    add("user_message", message.user_message().into());
    add("message_level", message.level.as_str().into());
    add("created_at", message.created_at.to_string().into());
    add("guaranteed_until", message.expires_at.to_string().into());
    add("request_id", message.request_id.clone().into());
    add("links", json!(links));
    if let Some(resource_type) = &message.resource_type {
        add("resource_type", resource_type.as_str().into());
    }
    if let Some(resource) = &message.resource_uuid {
        add("resource_uuid", resource.as_str().into());
    }
    Value::Object(view)
}

/// `GET .../messages`
pub fn list(call: &Call<'_>) -> Result<Reply, Fault> {
    exists(call)?;
    let prepared = call.service.prepare_listing(call.parameters.get("all_tenants").is_some())?;
    let is_paged = call.version >= MESSAGE_PAGES;
    let mut request = newest_first();
    if is_paged {
        let mut rest = call.parameters.clone();
        let is_admin = call.service.caller.roles.admin;
        request = query::page_request(&mut rest)?;
        if call.version >= microversion::RESOURCE_FILTERS {
            let configured = prepared.allowed_filters("message");
            query::refuse_unconfigured_filters(&mut rest, is_admin, call.version, &configured)?;
        }
        request.all_tenants =
            is_admin && rest.get("all_tenants").and_then(|value| python::boolean(python::strip(value))) == Some(true);
        rest.remove_all("all_tenants");
        if !request.all_tenants {
            rest.remove_all("project_id");
        }
        for (key, value) in &rest.0 {
            request.filters.push(Filter::Exact { column: key.clone(), string: value.clone() });
        }
    }
    let mut page: ListPage<Message> = call.service.list(request, prepared)?;
    if !is_paged && let Some(limit) = call.parameters.get("limit").and_then(|limit| limit.parse().ok()) {
        // Cinder shows the whole list, and then a link as if it had been cut.
        page.limit = if limit == 0 { usize::MAX } else { limit };
    }
    let views: Vec<Value> = page.rows.iter().map(|message| view(call, message)).collect();
    let mut answer = json!({ "messages": views });
    if let Some(links) = call.next_links("messages", &page, page.rows.len(), |message| message.id.to_string()) {
        answer["messages_links"] = json!(links);
    }
    Reply::json(StatusCode::OK, &answer)
}

/// Returns the request for all messages in the order of a list without parameters.
fn newest_first() -> ListRequest {
    ListRequest {
        sort: vec![("created_at".to_owned(), "desc".to_owned())],
        limit: usize::MAX,
        ..ListRequest::default()
    }
}

/// `GET .../messages/{id}`
pub fn show(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    exists(call)?;
    let message = call.service.show_message(id)?;
    Reply::json(StatusCode::OK, &json!({ "message": view(call, &message) }))
}

/// `DELETE .../messages/{id}`
pub fn delete(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    exists(call)?;
    call.service.delete_message(id)?;
    Ok(Reply::new(StatusCode::NO_CONTENT, Content::ReadyMade))
}
