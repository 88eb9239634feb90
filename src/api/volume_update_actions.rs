//! The actions that change a volume itself: its size, its flags, and the metadata of its image
//! (`cinder/api/contrib/volume_actions.py`, `cinder/api/contrib/volume_image_metadata.py`).

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::call::Call;
use super::microversion;
use super::python;
use super::schema::{self, Check, ObjectSchema};
use super::wire::body::{metadata, object};
use super::wire::faults::{BAD_REQUEST, Fault};
use super::wire::reply::{Content, Reply};

/// An action that changes a volume itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateAction {
    Extend,
    CompleteExtension,
    SetBootable,
    UpdateReadonlyFlag,
    SetImageMetadata,
    UnsetImageMetadata,
    ShowImageMetadata,
}

impl UpdateAction {
    /// Returns the action with a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "os-extend" => Self::Extend,
            "os-extend_volume_completion" => Self::CompleteExtension,
            "os-set_bootable" => Self::SetBootable,
            "os-update_readonly_flag" => Self::UpdateReadonlyFlag,
            "os-set_image_metadata" => Self::SetImageMetadata,
            "os-unset_image_metadata" => Self::UnsetImageMetadata,
            "os-show_image_metadata" => Self::ShowImageMetadata,
            _ => return None,
        })
    }
}

const EXTEND: ObjectSchema = ObjectSchema {
    properties: &[("os-extend", Check::Object(&EXTENDED))],
    required: &["os-extend"],
    others_allowed: false,
    one_of: &[],
};

const EXTENDED: ObjectSchema = ObjectSchema {
    properties: &[("new_size", Check::Size)],
    required: &["new_size"],
    others_allowed: false,
    one_of: &[],
};

const COMPLETE_EXTENSION: ObjectSchema = ObjectSchema {
    properties: &[("os-extend_volume_completion", Check::Object(&EXTENSION_COMPLETED))],
    required: &["os-extend_volume_completion"],
    others_allowed: false,
    one_of: &[],
};

const EXTENSION_COMPLETED: ObjectSchema = ObjectSchema {
    properties: &[("error", Check::BooleanOrString)],
    required: &[],
    others_allowed: false,
    one_of: &[],
};

const SET_BOOTABLE: ObjectSchema = ObjectSchema {
    properties: &[("os-set_bootable", Check::Object(&BOOTABLE_SET))],
    required: &["os-set_bootable"],
    others_allowed: false,
    one_of: &[],
};

const BOOTABLE_SET: ObjectSchema = ObjectSchema {
    properties: &[("bootable", Check::Boolean)],
    required: &["bootable"],
    others_allowed: false,
    one_of: &[],
};

const UPDATE_READONLY: ObjectSchema = ObjectSchema {
    properties: &[("os-update_readonly_flag", Check::Object(&READONLY_UPDATED))],
    required: &["os-update_readonly_flag"],
    others_allowed: false,
    one_of: &[],
};

const READONLY_UPDATED: ObjectSchema = ObjectSchema {
    properties: &[("readonly", Check::Boolean)],
    required: &["readonly"],
    others_allowed: false,
    one_of: &[],
};

const SET_IMAGE_METADATA: ObjectSchema = ObjectSchema {
    properties: &[("os-set_image_metadata", Check::Object(&IMAGE_METADATA_SET))],
    required: &["os-set_image_metadata"],
    others_allowed: false,
    one_of: &[],
};

const IMAGE_METADATA_SET: ObjectSchema = ObjectSchema {
    properties: &[("metadata", Check::ImageMetadata)],
    required: &["metadata"],
    others_allowed: false,
    one_of: &[],
};

const UNSET_IMAGE_METADATA: ObjectSchema = ObjectSchema {
    properties: &[("os-unset_image_metadata", Check::Object(&IMAGE_METADATA_UNSET))],
    required: &["os-unset_image_metadata"],
    others_allowed: false,
    one_of: &[],
};

const IMAGE_METADATA_UNSET: ObjectSchema =
    ObjectSchema { properties: &[("key", Check::ShortString)], required: &["key"], others_allowed: false, one_of: &[] };

const SHOW_IMAGE_METADATA: ObjectSchema = ObjectSchema {
    properties: &[("os-show_image_metadata", Check::Anything)],
    required: &["os-show_image_metadata"],
    others_allowed: false,
    one_of: &[],
};

/// `POST .../volumes/{id}/action`
///
/// # Errors
///
/// The body is invalid, or the service refuses the action.
pub fn act(call: &Call<'_>, id: &str, action: UpdateAction) -> Result<Reply, Fault> {
    let service = &call.service;
    match action {
        UpdateAction::Extend => {
            let wanted = argument(call, &EXTEND, "os-extend")?.get("new_size").and_then(schema::size);
            let new_size = wanted.ok_or_else(|| Fault::bad_request(BAD_REQUEST))?;
            service.extend_volume(id, new_size, call.version >= microversion::EXTEND_IN_USE)?;
            Ok(Reply::new(StatusCode::ACCEPTED, Content::Empty))
        }
        UpdateAction::CompleteExtension => {
            let arguments = argument(call, &COMPLETE_EXTENSION, "os-extend_volume_completion")?;
            service.complete_extension(id, arguments.get("error").is_some_and(python::is_true))?;
            Ok(Reply::new(StatusCode::ACCEPTED, Content::Empty))
        }
        UpdateAction::SetBootable => {
            let bootable =
                argument(call, &SET_BOOTABLE, "os-set_bootable")?.get("bootable").is_some_and(schema::is_true);
            service.set_bootable(id, bootable)?;
            Ok(Reply::new(StatusCode::OK, Content::Empty))
        }
        UpdateAction::UpdateReadonlyFlag => {
            let arguments = argument(call, &UPDATE_READONLY, "os-update_readonly_flag")?;
            service.update_readonly_flag(id, arguments.get("readonly").is_some_and(schema::is_true))?;
            Ok(Reply::new(StatusCode::ACCEPTED, Content::Empty))
        }
        UpdateAction::SetImageMetadata => {
            let items = metadata(argument(call, &SET_IMAGE_METADATA, "os-set_image_metadata")?.get("metadata"));
            let all = service.set_image_metadata(id, &items)?;
            Reply::json(StatusCode::OK, &json!({ "metadata": all }))
        }
        UpdateAction::UnsetImageMetadata => {
            let arguments = argument(call, &UNSET_IMAGE_METADATA, "os-unset_image_metadata")?;
            service.unset_image_metadata(id, arguments.get("key").and_then(Value::as_str).unwrap_or_default())?;
            Ok(Reply::new(StatusCode::OK, Content::ReadyMade))
        }
        UpdateAction::ShowImageMetadata => {
            schema::check(&SHOW_IMAGE_METADATA, call.body.as_ref())?;
            let all = service.show_image_metadata(id)?;
            Reply::json(StatusCode::OK, &json!({ "metadata": all }))
        }
    }
}

/// Returns the argument of an action whose body passes a schema.
fn argument<'c>(
    call: &'c Call<'_>,
    schema: &'static ObjectSchema,
    name: &str,
) -> Result<&'c Map<String, Value>, Fault> {
    object(schema::check(schema, call.body.as_ref())?.get(name))
}
