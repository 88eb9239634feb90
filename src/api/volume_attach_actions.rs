//! The actions that put a volume in use and end its use (`docs/spec/attachments.md` sections 1, 1.1, and 1.2).

use http::StatusCode;
use serde_json::Value;

use crate::service::volume_attach_actions::Attach;

use super::attachments::enforce_multipath;
use super::call::Call;
use super::schema::{self, Check, ObjectSchema};
use super::wire::body::string;
use super::wire::document::ObjectWriter;
use super::wire::faults::{BAD_REQUEST, Fault};
use super::wire::reply::{Content, Reply};

/// An action that puts a volume in use or ends its use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachAction {
    Reserve,
    Unreserve,
    Attach,
    BeginDetaching,
    RollDetaching,
    Detach,
    ForceDetach,
    InitializeConnection,
    TerminateConnection,
}

const ATTACH: ObjectSchema = ObjectSchema {
    properties: &[("os-attach", Check::Object(&ATTACHED))],
    required: &["os-attach"],
    others_allowed: false,
    one_of: &[],
};

const ATTACHED: ObjectSchema = ObjectSchema {
    properties: &[
        ("instance_uuid", Check::Uuid),
        ("mountpoint", Check::ShortString),
        ("host_name", Check::StringUpTo255),
        ("mode", Check::AttachMode),
    ],
    required: &["mountpoint"],
    others_allowed: false,
    one_of: &["instance_uuid", "host_name"],
};

const DETACH: ObjectSchema = ObjectSchema {
    properties: &[("os-detach", Check::ObjectOrNull(&DETACHED))],
    required: &["os-detach"],
    others_allowed: false,
    one_of: &[],
};

const DETACHED: ObjectSchema = ObjectSchema {
    properties: &[("attachment_id", Check::UuidOrNull)],
    required: &[],
    others_allowed: false,
    one_of: &[],
};

const FORCE_DETACH: ObjectSchema = ObjectSchema {
    properties: &[("os-force_detach", Check::Object(&FORCE_DETACHED))],
    required: &["os-force_detach"],
    others_allowed: false,
    one_of: &[],
};

const FORCE_DETACHED: ObjectSchema = ObjectSchema {
    properties: &[("connector", Check::Reference), ("attachment_id", Check::StringOrNull)],
    required: &[],
    others_allowed: false,
    one_of: &[],
};

const INITIALIZE: ObjectSchema = ObjectSchema {
    properties: &[("os-initialize_connection", Check::Object(&INITIALIZED))],
    required: &["os-initialize_connection"],
    others_allowed: false,
    one_of: &[],
};

const INITIALIZED: ObjectSchema = ObjectSchema {
    properties: &[("connector", Check::ObjectOrString)],
    required: &["connector"],
    others_allowed: false,
    one_of: &[],
};

const TERMINATE: ObjectSchema = ObjectSchema {
    properties: &[("os-terminate_connection", Check::Object(&TERMINATED))],
    required: &["os-terminate_connection"],
    others_allowed: false,
    one_of: &[],
};

const TERMINATED: ObjectSchema = ObjectSchema {
    properties: &[("connector", Check::Reference)],
    required: &["connector"],
    others_allowed: false,
    one_of: &[],
};

impl AttachAction {
    /// Returns the action with a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "os-reserve" => Self::Reserve,
            "os-unreserve" => Self::Unreserve,
            "os-attach" => Self::Attach,
            "os-begin_detaching" => Self::BeginDetaching,
            "os-roll_detaching" => Self::RollDetaching,
            "os-detach" => Self::Detach,
            "os-force_detach" => Self::ForceDetach,
            "os-initialize_connection" => Self::InitializeConnection,
            "os-terminate_connection" => Self::TerminateConnection,
            _ => return None,
        })
    }
}

/// `POST .../volumes/{id}/action`, with an action of this file
pub fn act(call: &Call<'_>, id: &str, action: AttachAction) -> Result<Reply, Fault> {
    let service = &call.service;
    // The argument of an action that a schema has checked.
    let argument = |schema: &'static ObjectSchema, name: &str| {
        schema::check(schema, call.body.as_ref()).map(|body| body.get(name).unwrap_or(&Value::Null))
    };
    match action {
        AttachAction::Reserve => service.reserve_volume(id)?,
        AttachAction::Unreserve => service.unreserve_volume(id)?,
        AttachAction::BeginDetaching => service.begin_detaching(id)?,
        AttachAction::RollDetaching => service.roll_detaching(id)?,
        AttachAction::Attach => {
            let fields = argument(&ATTACH, "os-attach")?;
            let attach = Attach {
                instance_uuid: string(fields.get("instance_uuid")),
                host_name: string(fields.get("host_name")),
                mountpoint: string(fields.get("mountpoint")).unwrap_or_default(),
                mode: string(fields.get("mode")).unwrap_or_else(|| "rw".to_owned()),
            };
            service.attach_volume(id, &attach)?;
        }
        AttachAction::Detach => {
            let attachment = string(argument(&DETACH, "os-detach")?.get("attachment_id"));
            service.detach_volume(id, attachment.as_deref())?;
        }
        AttachAction::ForceDetach => {
            let attachment = string(argument(&FORCE_DETACH, "os-force_detach")?.get("attachment_id"));
            service.force_detach_volume(id, attachment.as_deref())?;
        }
        AttachAction::TerminateConnection => {
            argument(&TERMINATE, "os-terminate_connection")?;
            service.terminate_connection(id)?;
        }
        AttachAction::InitializeConnection => {
            let connector = argument(&INITIALIZE, "os-initialize_connection")?.get("connector");
            // A string passes Cinder's schema, and then fails in Python.
            let connector = connector.and_then(Value::as_object).ok_or_else(|| Fault::bad_request(BAD_REQUEST))?;
            let connection = service.initialize_connection(id, &enforce_multipath(connector))?;
            let mut body = Vec::new();
            let mut document = ObjectWriter::open(&mut body);
            document.field("connection_info").extend_from_slice(connection.as_bytes());
            document.close();
            return Ok(Reply::new(StatusCode::OK, Content::Json(body.into())));
        }
    }
    Ok(Reply::new(StatusCode::ACCEPTED, Content::Empty))
}
