//! Volume types, their extra specs, access, and encryption (`docs/spec/types.md`).

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::domain::VolumeType;
use crate::domain::identifiers::encoded;
use crate::domain::volume_type::{ExtraSpecs, VolumeTypeId};
use crate::service::policy::Rule;
use crate::service::volume_types::{NewVolumeType, PreparedTypes, VolumeTypeQuery, VolumeTypeUpdate};

use super::action::{name_of, no_such_action};
use super::call::Call;
use super::routes::VolumeTypeOperation;
use super::schema::{self, Check, ObjectSchema};
use super::wire::body::{object, string};
use super::wire::faults::Fault;
use super::wire::reply::{Content, Reply};
use super::{microversion, python, query};

const CREATE: ObjectSchema = ObjectSchema {
    properties: &[("volume_type", Check::Object(&CREATED))],
    required: &["volume_type"],
    others_allowed: false,
    one_of: &[],
};

const CREATED: ObjectSchema = ObjectSchema {
    properties: &[
        ("name", Check::NotBlank),
        ("description", Check::Description),
        ("extra_specs", Check::NullableSpecs),
        (IS_PUBLIC, Check::Boolean),
    ],
    required: &["name"],
    others_allowed: false,
    one_of: &[],
};

const UPDATE: ObjectSchema = ObjectSchema {
    properties: &[("volume_type", Check::Object(&UPDATED))],
    required: &["volume_type"],
    others_allowed: false,
    one_of: &[],
};

const UPDATED: ObjectSchema = ObjectSchema {
    properties: &[
        ("name", Check::ShortStringOrNull),
        ("description", Check::Description),
        ("is_public", Check::Boolean),
    ],
    required: &[],
    others_allowed: false,
    one_of: &[],
};

const MERGE: ObjectSchema = ObjectSchema {
    properties: &[("extra_specs", Check::SpecsOfPath)],
    required: &["extra_specs"],
    others_allowed: false,
    one_of: &[],
};

const ADD_ACCESS: ObjectSchema = ObjectSchema {
    properties: &[("addProjectAccess", Check::Object(&ACCESS))],
    required: &["addProjectAccess"],
    others_allowed: false,
    one_of: &[],
};

const REMOVE_ACCESS: ObjectSchema = ObjectSchema {
    properties: &[("removeProjectAccess", Check::Object(&ACCESS))],
    required: &["removeProjectAccess"],
    ..ADD_ACCESS
};

const ACCESS: ObjectSchema = ObjectSchema {
    properties: &[("project", Check::ShortString)],
    required: &["project"],
    others_allowed: false,
    one_of: &[],
};

/// The field of the extension for access.
const IS_PUBLIC: &str = "os-volume-type-access:is_public";

/// An action on a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumeTypeAction {
    AddAccess,
    RemoveAccess,
}

impl VolumeTypeAction {
    /// Returns the action that a body names.
    ///
    /// # Errors
    ///
    /// A body that is not an object with one key, or a key that is not an action.
    pub fn named(body: Option<&Value>) -> Result<Self, Fault> {
        match name_of(body)? {
            "addProjectAccess" => Ok(Self::AddAccess),
            "removeProjectAccess" => Ok(Self::RemoveAccess),
            other => Err(no_such_action(other)),
        }
    }
}

/// Performs an operation on types. An action is performed by [`act`].
pub fn perform(call: &Call<'_>, operation: &VolumeTypeOperation) -> Result<Reply, Fault> {
    use VolumeTypeOperation as Op;
    match operation {
        Op::List => list(call),
        Op::Create => create(call),
        Op::Show(id) => show(call, id),
        Op::Update(id) => update(call, id),
        Op::Delete(id) => {
            call.service.delete_volume_type(id)?;
            Ok(Reply::new(StatusCode::ACCEPTED, Content::ReadyMade))
        }
        Op::ShowSpecs(id) => Reply::json(StatusCode::OK, &json!({ "extra_specs": call.service.show_extra_specs(id)? })),
        Op::MergeSpecs(id) => merge_specs(call, id),
        Op::ShowSpec(id, key) => {
            let value = call.service.show_extra_spec(id, key)?;
            Reply::json(StatusCode::OK, &json!({ key.as_str(): value }))
        }
        Op::PutSpec(id, key) => put_spec(call, id, key),
        Op::DeleteSpec(id, key) => {
            call.service.delete_extra_spec(id, key)?;
            Ok(Reply::new(StatusCode::ACCEPTED, Content::Empty))
        }
        Op::ShowAccess(id) => show_access(call, id),
        Op::ShowEncryption(id) => Reply::json(StatusCode::OK, &encryption(&call.service.show_encryption(id)?)),
        Op::ShowEncryptionItem(id, key) => show_encryption_item(call, id, key),
    }
}

/// Returns the fields of a type that every view has.
fn view(own: &VolumeType, specs: &ExtraSpecs) -> Map<String, Value> {
    let mut view = Map::new();
    let mut add = |name: &str, value: Value| {
        view.insert(name.to_owned(), value);
    };
    add("id", own.id.to_string().into());
    add("name", own.name.as_str().into());
    add("is_public", own.is_public.into());
    add("description", own.description.as_deref().into());
    add("extra_specs", json!(specs));
    view
}

/// Returns the view in a list and in a show by id, which has the fields of extensions.
fn full_view(call: &Call<'_>, own: &VolumeType) -> Map<String, Value> {
    let mut view = view_with_qos(call, own);
    add_access(call, own, &mut view);
    view
}

fn view_with_qos(call: &Call<'_>, own: &VolumeType) -> Map<String, Value> {
    let mut view = view(own, &call.service.seen_specs(own));
    if call.service.caller.roles.admin {
        view.insert("qos_specs_id".to_owned(), json!(own.qos_specs_id));
    }
    view
}

fn add_access(call: &Call<'_>, own: &VolumeType, view: &mut Map<String, Value>) {
    if call.service.caller.allow_own(Rule::SeeTypeAccess).is_ok() {
        view.insert(IS_PUBLIC.to_owned(), own.is_public.into());
    }
}

/// `GET .../types`
fn list(call: &Call<'_>) -> Result<Reply, Fault> {
    let prepared = call.service.prepare_volume_types()?;
    let request = list_query(call, &prepared)?;
    let page = call.service.list_volume_types(&request, prepared)?;
    let views: Vec<Map<String, Value>> = page.rows.iter().map(|own| full_view(call, own)).collect();
    let mut body = json!({ "volume_types": views });
    if let Some(links) = call.next_links("types", &page, page.rows.len(), |own| own.id.to_string()) {
        body["volume_type_links"] = json!(links);
    }
    Reply::json(StatusCode::OK, &body)
}

/// Reads the query of a list, in Cinder's order of checks.
fn list_query(call: &Call<'_>, prepared: &PreparedTypes) -> Result<VolumeTypeQuery, Fault> {
    let admin = call.service.caller.roles.admin;
    let mut rest = call.parameters.clone();
    let mut request = VolumeTypeQuery {
        marker: rest.pop("marker"),
        limit: query::limit(rest.pop("limit"))?,
        offset: query::offset(rest.pop("offset"))?,
        ..VolumeTypeQuery::default()
    };
    let (keys, directions) = query::sort_parameters(&mut rest)?;
    request.sort = keys.into_iter().zip(directions).collect();
    if call.version >= microversion::VOLUME_TYPE_FILTERS {
        query::refuse_non_ascii_keys(&rest)?;
        if !admin {
            let allowed = prepared.allowed_filters();
            // Clients send this to every list, and Cinder ignores it.
            rest.remove_all("all_tenants");
            query::refuse_filters(rest.0.iter().filter(|(key, _)| !allowed.contains(key)))?;
        }
    } else if !admin {
        rest.0.retain(|(key, _)| key == "is_public");
    }
    request.is_public = match rest.get("is_public") {
        None => Some(true),
        Some(value) if value.eq_ignore_ascii_case("none") => None,
        Some(value) if admin => Some(
            python::boolean(value).ok_or_else(|| Fault::bad_request(format!("Invalid is_public filter [{value}]")))?,
        ),
        Some(_) => Some(true),
    };
    rest.remove_all("is_public");
    if let Some(value) = rest.get("extra_specs") {
        // Cinder fails with a 500 for a value that is not a dict. Here it matches nothing.
        match python::dict_literal(value) {
            Ok(python::Items::These(specs)) => request.extra_specs = specs.into_iter().collect(),
            _ => request.is_empty = true,
        }
        rest.remove_all("extra_specs");
    }
    request.columns = rest.0;
    Ok(request)
}

/// `GET .../types/{id}`
fn show(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    let view = if id == "default" {
        view_with_qos(call, &call.service.show_default_volume_type()?)
    } else {
        full_view(call, &call.service.show_volume_type(id)?)
    };
    Reply::json(StatusCode::OK, &json!({ "volume_type": view }))
}

/// Returns the extra specs in a value that a schema has checked.
fn specs(value: Option<&Value>) -> ExtraSpecs {
    let items = value.and_then(Value::as_object).into_iter().flatten();
    items.map(|(key, value)| (key.clone(), value.as_str().map(str::to_owned))).collect()
}

/// `POST .../types`
fn create(call: &Call<'_>) -> Result<Reply, Fault> {
    let body = schema::check(&CREATE, call.body.as_ref())?;
    let fields = object(body.get("volume_type"))?;
    let created = call.service.create_volume_type(&NewVolumeType {
        name: string(fields.get("name")).unwrap_or_default(),
        description: string(fields.get("description")),
        extra_specs: specs(fields.get("extra_specs")),
        is_public: fields.get(IS_PUBLIC).is_none_or(schema::is_true),
    })?;
    let mut view = view(&created, &created.extra_specs);
    add_access(call, &created, &mut view);
    Reply::json(StatusCode::OK, &json!({ "volume_type": view }))
}

/// `PUT .../types/{id}`
fn update(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    let body = schema::check(&UPDATE, call.body.as_ref())?;
    let fields = object(body.get("volume_type"))?;
    let updated = call.service.update_volume_type(
        id,
        &VolumeTypeUpdate {
            name: string(fields.get("name")),
            description: string(fields.get("description")),
            is_public: fields.get("is_public").map(schema::is_true),
        },
    )?;
    Reply::json(StatusCode::OK, &json!({ "volume_type": view(&updated, &updated.extra_specs) }))
}

/// `POST .../types/{id}/extra_specs`
fn merge_specs(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    let body = schema::check(&MERGE, call.body.as_ref())?;
    call.service.merge_extra_specs(id, &specs(body.get("extra_specs")), None)?;
    Reply::json(StatusCode::OK, &body)
}

/// `PUT .../types/{id}/extra_specs/{key}`
fn put_spec(call: &Call<'_>, id: &str, key: &str) -> Result<Reply, Fault> {
    schema::check_one_spec(call.body.as_ref())?;
    call.service.merge_extra_specs(id, &specs(call.body.as_ref()), Some(key))?;
    Reply::json(StatusCode::OK, &call.body)
}

/// `GET .../types/{id}/os-volume-type-access`
fn show_access(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    let projects = call.service.show_type_access(id)?.into_iter();
    let access: Vec<Value> = projects.map(|project| json!({ "volume_type_id": id, "project_id": project })).collect();
    Reply::json(StatusCode::OK, &json!({ "volume_type_access": access }))
}

/// `POST .../types/{id}/action`
pub fn act(call: &Call<'_>, id: &str, action: VolumeTypeAction) -> Result<Reply, Fault> {
    let is_added = action == VolumeTypeAction::AddAccess;
    let (schema, name) =
        if is_added { (&ADD_ACCESS, "addProjectAccess") } else { (&REMOVE_ACCESS, "removeProjectAccess") };
    let body = schema::check(schema, call.body.as_ref())?;
    let project = string(object(body.get(name))?.get("project")).unwrap_or_default();
    call.service.change_type_access(id, &project, is_added)?;
    Ok(Reply::new(StatusCode::ACCEPTED, Content::ReadyMade))
}

/// Returns the view of a type's encryption, which is empty without one.
fn encryption(own: &VolumeType) -> Map<String, Value> {
    let mut view = Map::new();
    let Some(encryption) = &own.encryption else { return view };
    let mut add = |name: &str, value: Value| {
        view.insert(name.to_owned(), value);
    };
    // Cinder has a table of its own for this, with an id. A type has one encryption at most.
    let id = encoded(VolumeTypeId::of_name(&format!("encryption of {}", own.id)).as_uuid());
    add("encryption_id", String::from_utf8_lossy(&id).into());
    add("cipher", encryption.cipher.as_deref().into());
    add("key_size", encryption.key_size.into());
    add("provider", encryption.provider.as_str().into());
    add("control_location", encryption.control_location.as_str().into());
    add("volume_type_id", own.id.to_string().into());
    add("created_at", json!(own.created_at));
    add("updated_at", Value::Null);
    add("deleted", false.into());
    add("deleted_at", Value::Null);
    view
}

/// `GET .../types/{id}/encryption/{key}`
fn show_encryption_item(call: &Call<'_>, id: &str, key: &str) -> Result<Reply, Fault> {
    let own = call.service.show_encryption(id)?;
    match encryption(&own).get(key) {
        Some(value) => Reply::json(StatusCode::OK, &json!({ key: value })),
        None => Err(Fault::new(StatusCode::NOT_FOUND, format!("Volume type encryption for type {id} does not exist."))),
    }
}
