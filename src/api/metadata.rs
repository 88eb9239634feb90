//! The metadata of snapshots and volumes (`docs/spec/snapshots-api.md` section 7).

use http::StatusCode;
use serde_json::json;

use crate::domain::Metadata;
use crate::service::metadata::Owner;

use super::call::Call;
use super::schema::{self, Check, ObjectSchema};
use super::wire::body::metadata;
use super::wire::faults::Fault;
use super::wire::reply::{Content, Reply};

const ITEMS: ObjectSchema = ObjectSchema {
    properties: &[("metadata", Check::Metadata)],
    required: &["metadata"],
    others_allowed: true,
    one_of: &[],
};

const ITEM: ObjectSchema = ObjectSchema {
    properties: &[("meta", Check::OneMetadataItem { slash_allowed: false })],
    required: &["meta"],
    others_allowed: true,
    one_of: &[],
};

/// The items of a volume, whose keys may have slashes. The body may have no other members.
const VOLUME_ITEMS: ObjectSchema =
    ObjectSchema { properties: &[("metadata", Check::Specs)], others_allowed: false, ..ITEMS };

/// One item of a volume, with the same rules.
const VOLUME_ITEM: ObjectSchema = ObjectSchema {
    properties: &[("meta", Check::OneMetadataItem { slash_allowed: true })],
    others_allowed: false,
    ..ITEM
};

/// Reads the metadata in the one member that a body must have.
fn read(call: &Call<'_>, schema: &'static ObjectSchema, name: &str) -> Result<Metadata, Fault> {
    Ok(metadata(schema::check(schema, call.body.as_ref())?.get(name)))
}

fn items(call: &Call<'_>, owner: Owner) -> Result<Metadata, Fault> {
    read(call, if owner == Owner::Volume { &VOLUME_ITEMS } else { &ITEMS }, "metadata")
}

fn reply_with(items: &Metadata) -> Result<Reply, Fault> {
    Reply::json(StatusCode::OK, &json!({ "metadata": items }))
}

/// `GET .../{id}/metadata`
pub fn show_all(call: &Call<'_>, owner: Owner, id: &str) -> Result<Reply, Fault> {
    reply_with(&call.service.show_metadata(owner, id)?)
}

/// `POST .../{id}/metadata`
pub fn merge(call: &Call<'_>, owner: Owner, id: &str) -> Result<Reply, Fault> {
    reply_with(&call.service.merge_metadata(owner, id, &items(call, owner)?)?)
}

/// `PUT .../{id}/metadata`
pub fn replace(call: &Call<'_>, owner: Owner, id: &str) -> Result<Reply, Fault> {
    reply_with(&call.service.replace_metadata(owner, id, &items(call, owner)?)?)
}

/// `GET .../{id}/metadata/{key}`
pub fn show(call: &Call<'_>, owner: Owner, id: &str, key: &str) -> Result<Reply, Fault> {
    let value = call.service.show_metadata_item(owner, id, key)?;
    Reply::json(StatusCode::OK, &json!({ "meta": { key: value } }))
}

/// `PUT .../{id}/metadata/{key}`
pub fn put(call: &Call<'_>, owner: Owner, id: &str, key: &str) -> Result<Reply, Fault> {
    let item = read(call, if owner == Owner::Volume { &VOLUME_ITEM } else { &ITEM }, "meta")?;
    if !item.contains_key(key) {
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
