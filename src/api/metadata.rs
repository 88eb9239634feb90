//! The metadata of every resource that has it (`docs/spec/snapshots-api.md` section 7).

use http::StatusCode;
use serde_json::json;

use crate::domain::Metadata;
use crate::service::metadata::HasMetadata;

use super::call::Call;
use super::routes::MetadataOperation;
use super::schema::{self, Check, ObjectSchema};
use super::wire::body::metadata;
use super::wire::faults::Fault;
use super::wire::reply::{Content, Reply};

/// The schema of a body with items. Their keys have no slashes, and the body may have other members.
pub const ITEMS: ObjectSchema = ObjectSchema {
    properties: &[("metadata", Check::Metadata)],
    required: &["metadata"],
    others_allowed: true,
    one_of: &[],
};

/// The schema of a body with one item, with the same rules.
pub const ITEM: ObjectSchema = ObjectSchema {
    properties: &[("meta", Check::OneMetadataItem { slash_allowed: false })],
    required: &["meta"],
    others_allowed: true,
    one_of: &[],
};

/// The schemas of the bodies that write the metadata of a resource.
pub trait MetadataSchemas: HasMetadata {
    const ITEMS: &'static ObjectSchema;
    const ITEM: &'static ObjectSchema;
}

/// Performs an operation on the metadata of a resource.
///
/// # Errors
///
/// The body is invalid, or the service refuses the operation.
pub fn perform<T: MetadataSchemas>(call: &Call<'_>, id: &str, operation: &MetadataOperation) -> Result<Reply, Fault> {
    match operation {
        MetadataOperation::ShowAll => show_all::<T>(call, id),
        MetadataOperation::Merge => merge::<T>(call, id),
        MetadataOperation::Replace => replace::<T>(call, id),
        MetadataOperation::Show(key) => show::<T>(call, id, key),
        MetadataOperation::Put(key) => put::<T>(call, id, key),
        MetadataOperation::Delete(key) => delete::<T>(call, id, key),
    }
}

/// Reads the metadata in the one member that a body must have.
fn read(call: &Call<'_>, schema: &'static ObjectSchema, name: &str) -> Result<Metadata, Fault> {
    Ok(metadata(schema::check(schema, call.body.as_ref())?.get(name)))
}

fn items<T: MetadataSchemas>(call: &Call<'_>) -> Result<Metadata, Fault> {
    read(call, T::ITEMS, "metadata")
}

fn reply_with(items: &Metadata) -> Result<Reply, Fault> {
    Reply::json(StatusCode::OK, &json!({ "metadata": items }))
}

/// `GET .../{id}/metadata`
fn show_all<T: MetadataSchemas>(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    reply_with(&call.service.show_metadata::<T>(id)?)
}

/// `POST .../{id}/metadata`
fn merge<T: MetadataSchemas>(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    reply_with(&call.service.merge_metadata::<T>(id, &items::<T>(call)?)?)
}

/// `PUT .../{id}/metadata`
fn replace<T: MetadataSchemas>(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    reply_with(&call.service.replace_metadata::<T>(id, &items::<T>(call)?)?)
}

/// `GET .../{id}/metadata/{key}`
fn show<T: MetadataSchemas>(call: &Call<'_>, id: &str, key: &str) -> Result<Reply, Fault> {
    let value = call.service.show_metadata_item::<T>(id, key)?;
    Reply::json(StatusCode::OK, &json!({ "meta": { key: value } }))
}

/// `PUT .../{id}/metadata/{key}`
fn put<T: MetadataSchemas>(call: &Call<'_>, id: &str, key: &str) -> Result<Reply, Fault> {
    let item = read(call, T::ITEM, "meta")?;
    if !item.contains_key(key) {
        return Err(Fault::bad_request("Request body and URI mismatch"));
    }
    call.service.put_metadata_item::<T>(id, &item)?;
    Reply::json(StatusCode::OK, &json!({ "meta": item }))
}

/// `DELETE .../{id}/metadata/{key}`
fn delete<T: MetadataSchemas>(call: &Call<'_>, id: &str, key: &str) -> Result<Reply, Fault> {
    call.service.delete_metadata_item::<T>(id, key)?;
    Ok(Reply::new(StatusCode::OK, Content::ReadyMade))
}
