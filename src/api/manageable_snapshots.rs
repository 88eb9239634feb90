//! Managing snapshots that exist on a backend, on both paths (`docs/spec/lifecycle.md` section 5).

use http::StatusCode;
use serde_json::{Value, json};

use crate::service::manageable_snapshots::Backend;
use crate::service::snapshots::{InUse, NewSnapshot};

use super::call::Call;
use super::microversion;
use super::python;
use super::query::{self, Parameters};
use super::routes::ManagePath;
use super::schema::{self, Check, ObjectSchema};
use super::snapshots::SnapshotView;
use super::wire::body::{metadata, object, string};
use super::wire::faults::Fault;
use super::wire::reply::Reply;

const CREATE: ObjectSchema = ObjectSchema {
    properties: &[("snapshot", Check::Object(&CREATED))],
    required: &["snapshot"],
    others_allowed: false,
    one_of: &[],
};

const CREATED: ObjectSchema = ObjectSchema {
    properties: &[
        ("description", Check::Description),
        ("metadata", Check::MetadataOrNull),
        ("name", Check::Name),
        ("volume_id", Check::Uuid),
        ("ref", Check::Reference),
    ],
    required: &["ref", "volume_id"],
    others_allowed: false,
    one_of: &[],
};

/// Refuses the newer path below 3.8. The older path exists at every microversion.
fn exists(call: &Call<'_>, path: ManagePath) -> Result<(), Fault> {
    if path == ManagePath::ManageableSnapshots && call.version < microversion::MANAGEABLE_SNAPSHOTS {
        return Err(Fault::not_found());
    }
    Ok(())
}

/// `POST .../manageable_snapshots`, `POST .../os-snapshot-manage`
pub fn create(call: &Call<'_>, path: ManagePath) -> Result<Reply, Fault> {
    let body = schema::check(&CREATE, call.body.as_ref())?;
    exists(call, path)?;
    let fields = object(body.get("snapshot"))?;
    let snapshot = call.service.manage_snapshot(NewSnapshot {
        volume_id: string(fields.get("volume_id")),
        // Unlike a create, this does not strip white space.
        name: string(fields.get("name")),
        description: string(fields.get("description")),
        metadata: metadata(fields.get("metadata")),
        in_use: InUse::Accepted,
    })?;
    Ok(SnapshotView::summary(&snapshot).reply(StatusCode::ACCEPTED))
}

/// `GET .../manageable_snapshots[/detail]`, `GET .../os-snapshot-manage[/detail]`
pub fn list(call: &Call<'_>, path: ManagePath) -> Result<Reply, Fault> {
    exists(call, path)?;
    call.service.may_list_manageable_snapshots()?;
    let backend = host_or_cluster(call, &call.parameters)?;
    check_query(&call.parameters)?;
    call.service.manageable_snapshots(&backend)?;
    refuse_marker(call.parameters.get("marker"))?;
    Reply::json(StatusCode::OK, &json!({ "manageable-snapshots": [] }))
}

/// Checks the query of a list, which is always empty.
fn check_query(parameters: &Parameters) -> Result<(), Fault> {
    let mut rest = parameters.clone();
    query::limit(rest.pop("limit"))?;
    rest.pop("marker");
    query::offset(rest.pop("offset"))?;
    if !rest.contains("sort") && !rest.contains("sort_key") {
        rest.0.push(("sort_key".to_owned(), "reference".to_owned()));
    }
    let (keys, directions) = query::sort_parameters(&mut rest)?;
    let unknown = |known: &[&str], given: &[String]| -> Vec<String> {
        given.iter().filter(|given| !known.contains(&given.as_str())).cloned().collect()
    };
    let keys = unknown(&["reference", "size"], &keys);
    if !keys.is_empty() {
        return Err(Fault::bad_request(format!("Invalid sort keys passed: {}", keys.join(", "))));
    }
    let directions = unknown(&["asc", "desc"], &directions);
    if !directions.is_empty() {
        return Err(Fault::bad_request(format!("Invalid sort dirs passed: {}", directions.join(", "))));
    }
    Ok(())
}

/// Refuses a marker, since there are no snapshots, in the words of Cinder's drivers.
fn refuse_marker(marker: Option<&str>) -> Result<(), Fault> {
    let Some(marker) = marker.filter(|marker| !marker.is_empty()) else { return Ok(()) };
    let reason = match serde_json::from_str::<Value>(marker) {
        Ok(marker) => format!("marker not found: {}", python::to_string(&marker)),
        Err(_) => format!("marker {marker} can not be analysed, please use json like format"),
    };
    Err(Fault::bad_request(format!("Invalid input received: {reason}")))
}

/// Returns the host, or from 3.17 on the cluster, whose backend has the snapshots.
fn host_or_cluster(call: &Call<'_>, parameters: &Parameters) -> Result<Backend, Fault> {
    let given = |name| parameters.get(name).filter(|value: &&str| !value.is_empty());
    let clusters = call.version >= microversion::MANAGE_BY_CLUSTER;
    match (given("host"), given("cluster").filter(|_| clusters)) {
        (Some(host), None) => Ok(Backend::Host(host.to_owned())),
        (None, Some(cluster)) => Ok(Backend::Cluster(cluster.to_owned())),
        _ if clusters => {
            Err(Fault::bad_request("Invalid input received: One and only one of cluster and host must be set."))
        }
        _ => Err(Fault::bad_request("Invalid input received: Host field is missing.")),
    }
}
