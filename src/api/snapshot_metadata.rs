//! The metadata of snapshots in the API's words (`spec/snapshots-api.md` section 7).

#![expect(clippy::missing_errors_doc, reason = "an operation answers the faults of its service and of its schema")]

use http::StatusCode;
use serde_json::json;

use super::Call;
use super::faults::Fault;
use super::reply::{Content, Reply};
use super::schema::{self, Check, Object};
use super::snapshots::metadata;

const ITEMS: Object =
    Object { properties: &[("metadata", Check::Metadata)], required: &["metadata"], others_allowed: true, one_of: &[] };

const ITEM: Object =
    Object { properties: &[("meta", Check::OneMetadataItem)], required: &["meta"], others_allowed: true, one_of: &[] };

/// `GET .../snapshots/{id}/metadata`
pub fn show_all(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    Reply::json(StatusCode::OK, &json!({ "metadata": call.service.show_snapshot_metadata(id)? }))
}

/// `POST .../snapshots/{id}/metadata`
pub fn merge(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    let body = schema::check(&ITEMS, call.body.as_ref())?;
    let items = call.service.merge_snapshot_metadata(id, &metadata(body.get("metadata")))?;
    Reply::json(StatusCode::OK, &json!({ "metadata": items }))
}

/// `PUT .../snapshots/{id}/metadata`
pub fn replace(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    let body = schema::check(&ITEMS, call.body.as_ref())?;
    let items = call.service.replace_snapshot_metadata(id, &metadata(body.get("metadata")))?;
    Reply::json(StatusCode::OK, &json!({ "metadata": items }))
}

/// `GET .../snapshots/{id}/metadata/{key}`
pub fn show(call: &Call<'_>, id: &str, key: &str) -> Result<Reply, Fault> {
    let value = call.service.show_snapshot_metadata_item(id, key)?;
    Reply::json(StatusCode::OK, &json!({ "meta": { key: value } }))
}

/// `PUT .../snapshots/{id}/metadata/{key}`
pub fn put(call: &Call<'_>, id: &str, key: &str) -> Result<Reply, Fault> {
    let body = schema::check(&ITEM, call.body.as_ref())?;
    let item = metadata(body.get("meta"));
    if !item.contains_key(key) {
        return Err(Fault::bad_request("Request body and URI mismatch"));
    }
    call.service.merge_snapshot_metadata(id, &item)?;
    Reply::json(StatusCode::OK, &json!({ "meta": item }))
}

/// `DELETE .../snapshots/{id}/metadata/{key}`
pub fn delete(call: &Call<'_>, id: &str, key: &str) -> Result<Reply, Fault> {
    call.service.delete_snapshot_metadata_item(id, key)?;
    Ok(Reply::new(StatusCode::OK, Content::ReadyMade))
}
