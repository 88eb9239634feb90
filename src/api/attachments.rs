//! Attachments (`docs/spec/attachments.md` section 2).

use http::StatusCode;
use serde_json::{Map, Value};

use crate::domain::identifiers::encoded;
use crate::domain::{Attachment, AttachmentPointer, Caller, Timestamp, VolumeId};
use crate::service::attachments::{Connector, NewAttachment};
use crate::service::listing::{Filter, ListPage, ListRequest, Prepared};

use super::action::{name_of, no_such_action};
use super::call::Call;
use super::microversion::{self, Microversion};
use super::query::{self, Parameters};
use super::schema::{self, Check, ObjectSchema};
use super::wire::body::{object, string};
use super::wire::document::ObjectWriter;
use super::wire::faults::Fault;
use super::wire::reply::{Content, Reply};

const CREATE: ObjectSchema = ObjectSchema {
    properties: &[("attachment", Check::Object(&CREATED_WITHOUT_MODE))],
    required: &["attachment"],
    others_allowed: false,
    one_of: &[],
};

const CREATE_WITH_MODE: ObjectSchema =
    ObjectSchema { properties: &[("attachment", Check::Object(&CREATED_WITH_MODE))], ..CREATE };

const CREATED_WITHOUT_MODE: ObjectSchema = ObjectSchema {
    properties: &[("instance_uuid", Check::Uuid), ("connector", Check::AnyObjectOrNull), ("volume_uuid", Check::Uuid)],
    required: &["volume_uuid"],
    others_allowed: false,
    one_of: &[],
};

const CREATED_WITH_MODE: ObjectSchema = ObjectSchema {
    properties: &[
        ("instance_uuid", Check::Uuid),
        ("connector", Check::AnyObjectOrNull),
        ("volume_uuid", Check::Uuid),
        ("mode", Check::AttachMode),
    ],
    ..CREATED_WITHOUT_MODE
};

const UPDATE: ObjectSchema = ObjectSchema {
    properties: &[("attachment", Check::Object(&UPDATED))],
    required: &["attachment"],
    others_allowed: false,
    one_of: &[],
};

const UPDATED: ObjectSchema = ObjectSchema {
    properties: &[("connector", Check::NonEmptyObject)],
    required: &["connector"],
    others_allowed: false,
    one_of: &[],
};

/// Checks that the microversion has attachments.
fn check_version(call: &Call<'_>) -> Result<(), Fault> {
    if call.version < microversion::ATTACHMENTS { Err(Fault::not_found()) } else { Ok(()) }
}

/// Writes an attachment: its four fields in lists, and the others too with `detail`.
fn write(bytes: &mut Vec<u8>, volume: VolumeId, attachment: &Attachment, detail: bool) {
    let mut view = ObjectWriter::open(bytes);
    view.uuid("id", Some(attachment.id.as_uuid()));
    view.plain("status", attachment.attach_status.as_str().as_bytes());
    view.optional_string("instance", attachment.instance_uuid.as_deref());
    view.plain("volume_id", &encoded(volume.as_uuid()));
    if detail {
        let mut time = |name: &str, time: Option<Timestamp>| match time {
            Some(time) => view.plain(name, &time.encoded()),
            None => view.plain(name, b""),
        };
        time("attached_at", attachment.attached_at);
        time("detached_at", attachment.detached_at);
        view.string("attach_mode", &attachment.attach_mode);
        // The connection is stored as JSON.
        view.field("connection_info")
            .extend_from_slice(attachment.connection_info.as_deref().unwrap_or("null").as_bytes());
    }
    view.close();
}

/// Returns the reply that shows an attachment.
fn shown(volume: VolumeId, attachment: &Attachment) -> Reply {
    let mut body = Vec::new();
    let mut document = ObjectWriter::open(&mut body);
    write(document.field("attachment"), volume, attachment, true);
    document.close();
    Reply::new(StatusCode::OK, Content::Json(body.into()))
}

/// `GET .../attachments[/detail]`
pub fn list(call: &Call<'_>, detail: bool) -> Result<Reply, Fault> {
    check_version(call)?;
    let prepared = call.service.prepare_listing(call.parameters.get("all_tenants").is_some())?;
    let request = list_query(&call.parameters, call.service.caller, call.version, &prepared)?;
    let page: ListPage<AttachmentPointer> = call.service.list(request, prepared)?;
    let rows: Vec<(VolumeId, &Attachment)> =
        page.rows.iter().filter_map(|row| Some((row.volume_id, row.attachment.as_deref()?))).collect();
    let mut body = Vec::new();
    let mut document = ObjectWriter::open(&mut body);
    // Cinder gives neither a link to the next page nor a count.
    document.array("attachments", &rows, page.most_bytes, |bytes, (volume, attachment)| {
        write(bytes, *volume, attachment, detail);
    });
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
    request.with_count = false;
    let admin = caller.roles.admin;
    // Even a false value counts.
    request.all_tenants = admin && rest.contains("all_tenants");
    rest.remove_all("all_tenants");
    let filters_are_checked = version >= microversion::RESOURCE_FILTERS;
    if filters_are_checked {
        query::refuse_non_ascii_keys(&rest)?;
    }
    if !admin {
        if filters_are_checked {
            let allowed = prepared.allowed_filters("attachment");
            query::refuse_filters(rest.0.iter().filter(|(key, _)| !allowed.contains(key)))?;
        }
        rest.0.retain(|(key, _)| ["volume_id", "status", "instance_id", "attach_status"].contains(&key.as_str()));
    }
    if !request.all_tenants {
        rest.remove_all("project_id");
    }
    for (key, value) in &rest.0 {
        let column = if key == "instance_id" && !value.is_empty() { "instance_uuid" } else { key };
        // A pattern is no column, and `status` is none either.
        request.filters.push(Filter::Exact { column: column.to_owned(), string: value.clone() });
    }
    Ok(request)
}

/// `GET .../attachments/{id}`
pub fn show(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    check_version(call)?;
    let (volume, attachment) = call.service.show_attachment(id)?;
    Ok(shown(volume, &attachment))
}

/// Returns the JSON of a member, which is a string as it is in the rows of Cinder.
fn member(connector: &Map<String, Value>, name: &str) -> Option<String> {
    match connector.get(name)? {
        Value::Null => None,
        Value::String(string) => Some(string.clone()),
        other => Some(other.to_string()),
    }
}

/// Calls `with` with the connector of a document.
fn with_connector<R>(document: &Map<String, Value>, with: impl FnOnce(Connector<'_>) -> R) -> R {
    let encode = |mode: Option<Option<&str>>| {
        let mut document = document.clone();
        if let Some(mode) = mode {
            document.insert("mode".to_owned(), mode.into());
        }
        Value::Object(document).to_string()
    };
    with(Connector {
        host: member(document, "host"),
        mountpoint: member(document, "mountpoint"),
        mode: member(document, "mode"),
        enforce_multipath: enforce_multipath(document),
        document: &encode,
    })
}

/// Returns whether a host wants several paths, in JSON.
pub fn enforce_multipath(connector: &Map<String, Value>) -> String {
    connector.get("enforce_multipath").unwrap_or(&Value::Bool(false)).to_string()
}

/// `POST .../attachments`
pub fn create(call: &Call<'_>) -> Result<Reply, Fault> {
    check_version(call)?;
    let schema = if call.version < microversion::ATTACHMENT_MODE { &CREATE } else { &CREATE_WITH_MODE };
    let body = schema::check(schema, call.body.as_ref())?;
    let fields = object(body.get("attachment"))?;
    let new = NewAttachment {
        volume_id: string(fields.get("volume_uuid")).unwrap_or_default(),
        instance_uuid: string(fields.get("instance_uuid")),
        connector: None,
        mode: string(fields.get("mode")),
    };
    let connector = fields.get("connector").and_then(Value::as_object).filter(|connector| !connector.is_empty());
    let (volume, attachment) = match connector {
        Some(connector) => with_connector(connector, |connector| {
            call.service.create_attachment(&NewAttachment { connector: Some(connector), ..new })
        })?,
        None => call.service.create_attachment(&new)?,
    };
    Ok(shown(volume, &attachment))
}

/// `PUT .../attachments/{id}`
pub fn update(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    check_version(call)?;
    let body = schema::check(&UPDATE, call.body.as_ref())?;
    let connector = object(object(body.get("attachment"))?.get("connector"))?;
    let (volume, attachment) = with_connector(connector, |connector| call.service.update_attachment(id, &connector))?;
    Ok(shown(volume, &attachment))
}

/// `DELETE .../attachments/{id}`
pub fn delete(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    check_version(call)?;
    let (volume, left) = call.service.delete_attachment(id)?;
    let mut body = Vec::new();
    let mut document = ObjectWriter::open(&mut body);
    document.array("attachments", &left, usize::MAX, |bytes, attachment| write(bytes, volume, attachment, false));
    document.close();
    Ok(Reply::new(StatusCode::OK, Content::Json(body.into())))
}

/// Checks that a body names the only action on attachments.
///
/// # Errors
///
/// A body that is not an object with one key, or a key that is not an action.
pub fn is_complete(body: Option<&Value>) -> Result<(), Fault> {
    match name_of(body)? {
        "os-complete" => Ok(()),
        other => Err(no_such_action(other)),
    }
}

/// `POST .../attachments/{id}/action`, with `os-complete`
pub fn complete(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    if call.version < microversion::ATTACHMENT_COMPLETION {
        return Err(Fault::not_found());
    }
    call.service.complete_attachment(id)?;
    Ok(Reply::new(StatusCode::NO_CONTENT, Content::Empty))
}
