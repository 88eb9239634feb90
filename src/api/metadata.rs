//! The metadata of snapshots and of volumes in the API's words (`spec/snapshots-api.md` section 7).

#![expect(clippy::missing_errors_doc, reason = "an operation answers the faults of its service and of its schema")]

use http::StatusCode;
use serde_json::json;

use crate::domain::Metadata;
use crate::service::metadata::Owner;

use super::Call;
use super::schema::{self, Check, Object};
use super::snapshots::metadata;
use super::wire::faults::Fault;
use super::wire::reply::{Content, Reply};

const ITEMS: Object =
    Object { properties: &[("metadata", Check::Metadata)], required: &["metadata"], others_allowed: true, one_of: &[] };

const ITEM: Object = Object {
    properties: &[("meta", Check::OneMetadataItem { slash_allowed: false })],
    required: &["meta"],
    others_allowed: true,
    one_of: &[],
};

/// Keys of a volume's metadata may have slashes, and nothing may stand beside it.
const VOLUME_ITEMS: Object = Object { properties: &[("metadata", Check::Specs)], others_allowed: false, ..ITEMS };

/// Likewise.
const VOLUME_ITEM: Object =
    Object { properties: &[("meta", Check::OneMetadataItem { slash_allowed: true })], others_allowed: false, ..ITEM };

/// What a body has by the one name that it must have.
fn read(call: &Call<'_>, schema: &'static Object, name: &str) -> Result<Metadata, Fault> {
    Ok(metadata(schema::check(schema, call.body.as_ref())?.get(name)))
}

fn items(call: &Call<'_>, owner: Owner) -> Result<Metadata, Fault> {
    read(call, if owner == Owner::Volume { &VOLUME_ITEMS } else { &ITEMS }, "metadata")
}

fn shown(items: &Metadata) -> Result<Reply, Fault> {
    Reply::json(StatusCode::OK, &json!({ "metadata": items }))
}

/// `GET .../{id}/metadata`
pub fn show_all(call: &Call<'_>, owner: Owner, id: &str) -> Result<Reply, Fault> {
    shown(&call.service.show_metadata(owner, id)?)
}

/// `POST .../{id}/metadata`
pub fn merge(call: &Call<'_>, owner: Owner, id: &str) -> Result<Reply, Fault> {
    shown(&call.service.merge_metadata(owner, id, &items(call, owner)?)?)
}

/// `PUT .../{id}/metadata`
pub fn replace(call: &Call<'_>, owner: Owner, id: &str) -> Result<Reply, Fault> {
    shown(&call.service.replace_metadata(owner, id, &items(call, owner)?)?)
}

/// `GET .../{id}/metadata/{key}`
pub fn show(call: &Call<'_>, owner: Owner, id: &str, key: &str) -> Result<Reply, Fault> {
    let value = call.service.show_metadata_item(owner, id, key)?;
    Reply::json(StatusCode::OK, &json!({ "meta": { key: value } }))
}

/// `PUT .../{id}/metadata/{key}`
pub fn put(call: &Call<'_>, owner: Owner, id: &str, key: &str) -> Result<Reply, Fault> {
    let item = read(call, if owner == Owner::Volume { &VOLUME_ITEM } else { &ITEM }, "meta")?;
    if !item.contains(key) {
        return Err(Fault::bad_request("Request body and URI mismatch"));
    }
    call.service.put_metadata_item(owner, id, &item)?;
    Reply::json(StatusCode::OK, &json!({ "meta": item }))
}

/// `DELETE .../{id}/metadata/{key}`
pub fn delete(call: &Call<'_>, owner: Owner, id: &str, key: &str) -> Result<Reply, Fault> {
    call.service.delete_metadata_item(owner, id, key)?;
    Ok(Reply::new(StatusCode::OK, Content::ReadyMade))
}
