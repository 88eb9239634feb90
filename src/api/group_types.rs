//! Group types and their specs (`docs/spec/group-snapshots.md` section 3).

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::domain::GroupType;
use crate::domain::group_type::GroupSpecs;
use crate::service::group_types::{GroupTypeQuery, GroupTypeUpdate, NewGroupType};

use super::call::Call;
use super::groups::{accepted, exists_since};
use super::microversion::Microversion;
use super::routes::GroupTypeOperation;
use super::schema::{self, Check, ObjectSchema};
use super::wire::body::{object, string};
use super::wire::faults::Fault;
use super::wire::reply::Reply;
use super::{python, query};

/// Group types.
const GROUP_TYPES: Microversion = Microversion::v3(11);

const CREATE: ObjectSchema = ObjectSchema {
    properties: &[("group_type", Check::Object(&CREATED))],
    required: &["group_type"],
    others_allowed: false,
    one_of: &[],
};

const CREATED: ObjectSchema = ObjectSchema {
    properties: &[
        ("name", Check::NotBlank),
        ("description", Check::Description),
        ("is_public", Check::Boolean),
        ("group_specs", Check::NullableSpecs),
    ],
    required: &["name"],
    others_allowed: false,
    one_of: &[],
};

const UPDATE: ObjectSchema = ObjectSchema {
    properties: &[("group_type", Check::Object(&UPDATED))],
    required: &["group_type"],
    others_allowed: false,
    one_of: &[],
};

const UPDATED: ObjectSchema = ObjectSchema {
    properties: &[("name", Check::Name), ("description", Check::Description), ("is_public", Check::Boolean)],
    required: &[],
    others_allowed: false,
    one_of: &[],
};

const MERGE: ObjectSchema = ObjectSchema {
    properties: &[("group_specs", Check::SpecsOfPath)],
    required: &["group_specs"],
    others_allowed: false,
    one_of: &[],
};

/// Performs an operation on group types.
pub fn perform(call: &Call<'_>, operation: &GroupTypeOperation) -> Result<Reply, Fault> {
    use GroupTypeOperation as Op;
    exists_since(call, GROUP_TYPES)?;
    match operation {
        Op::List => list(call),
        Op::Create => create(call),
        Op::Show(id) => show(call, id),
        Op::Update(id) => update(call, id),
        Op::Delete(id) => {
            call.service.delete_group_type(id)?;
            Ok(accepted())
        }
        Op::ShowSpecs(id) => Reply::json(StatusCode::OK, &json!({ "group_specs": call.service.show_group_specs(id)? })),
        Op::MergeSpecs(id) => {
            let body = schema::check(&MERGE, call.body.as_ref())?;
            call.service.merge_group_specs(id, &specs(body.get("group_specs")), None)?;
            Reply::json(StatusCode::ACCEPTED, &body)
        }
        Op::ShowSpec(id, key) => {
            let value = call.service.show_group_spec(id, key)?;
            Reply::json(StatusCode::OK, &json!({ key.as_str(): value }))
        }
        Op::PutSpec(id, key) => {
            schema::check_one_spec(call.body.as_ref())?;
            call.service.merge_group_specs(id, &specs(call.body.as_ref()), Some(key))?;
            Reply::json(StatusCode::OK, &call.body)
        }
        Op::DeleteSpec(id, key) => {
            call.service.delete_group_spec(id, key)?;
            Ok(accepted())
        }
    }
}

/// Returns the view of a type. Only an administrator sees its specs.
fn view(call: &Call<'_>, own: &GroupType) -> Map<String, Value> {
    let mut view = Map::new();
    let mut add = |name: &str, value: Value| drop(view.insert(name.to_owned(), value));
    add("id", json!(own.id));
    add("name", own.name.as_str().into());
    add("description", own.description.as_deref().into());
    add("is_public", own.is_public.into());
    if call.service.caller.roles.admin {
        add("group_specs", json!(own.group_specs));
    }
    view
}

/// Returns the specs in a value that a schema has checked.
fn specs(value: Option<&Value>) -> GroupSpecs {
    let items = value.and_then(Value::as_object).into_iter().flatten();
    items.map(|(key, value)| (key.clone(), value.as_str().map(str::to_owned))).collect()
}

fn list(call: &Call<'_>) -> Result<Reply, Fault> {
    let mut rest = call.parameters.clone();
    let mut request = GroupTypeQuery {
        marker: rest.pop("marker"),
        limit: query::limit(rest.pop("limit"))?,
        offset: query::offset(rest.pop("offset"))?,
        ..GroupTypeQuery::default()
    };
    let (keys, directions) = query::sort_parameters(&mut rest)?;
    request.sort = keys.into_iter().zip(directions).collect();
    request.is_public = match rest.get("is_public").filter(|_| call.service.caller.roles.admin) {
        None => Some(true),
        Some(value) if value.eq_ignore_ascii_case("none") => None,
        Some(value) => Some(
            python::boolean(value).ok_or_else(|| Fault::bad_request(format!("Invalid is_public filter [{value}]")))?,
        ),
    };
    let page = call.service.list_group_types(&request)?;
    let views: Vec<Map<String, Value>> = page.rows.iter().map(|own| view(call, own)).collect();
    let mut body = json!({ "group_types": views });
    if let Some(links) = call.next_links("group_types", &page, page.rows.len(), |own| own.id.to_string()) {
        body["group_type_links"] = json!(links);
    }
    Reply::json(StatusCode::OK, &body)
}

fn show(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    if id == "default" {
        // As in Cinder without the option `default_group_type`.
        call.service.caller.is_scoped()?;
        return Err(Fault::new(StatusCode::NOT_FOUND, "Default group type can not be found."));
    }
    let own = call.service.show_group_type(id)?;
    Reply::json(StatusCode::OK, &json!({ "group_type": view(call, &own) }))
}

fn create(call: &Call<'_>) -> Result<Reply, Fault> {
    let body = schema::check(&CREATE, call.body.as_ref())?;
    let fields = object(body.get("group_type"))?;
    let created = call.service.create_group_type(&NewGroupType {
        name: string(fields.get("name")).unwrap_or_default(),
        description: string(fields.get("description")),
        group_specs: specs(fields.get("group_specs")),
        is_public: fields.get("is_public").is_none_or(schema::is_true),
    })?;
    Reply::json(StatusCode::ACCEPTED, &json!({ "group_type": view(call, &created) }))
}

fn update(call: &Call<'_>, id: &str) -> Result<Reply, Fault> {
    let body = schema::check(&UPDATE, call.body.as_ref())?;
    let fields = object(body.get("group_type"))?;
    let updated = call.service.update_group_type(
        id,
        &GroupTypeUpdate {
            name: string(fields.get("name")),
            description: string(fields.get("description")),
            is_public: fields.get("is_public").map(schema::is_true),
        },
    )?;
    Reply::json(StatusCode::OK, &json!({ "group_type": view(call, &updated) }))
}
