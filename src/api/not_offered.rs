//! Resources of Cinder that this service has none of. Clients list them before they offer a choice, so the lists are there
//! and empty, with the versions, checks, and faults of Cinder (`cinder/api/v3/router.py` names their files). What would need
//! a resource that is not offered is refused in Cinder's words where it has any, and otherwise with a 400 that says so
//! (`docs/cinder-differences.md`).
//!
//! The answer is a 400 because all clients show its message, none of them tries again, and it is neither a matter of rights
//! (403), nor of a wrong id (404), nor a failure of the service (501) that a load balancer would count against it.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::service::Error;
use crate::service::listing::ListRequest;
use crate::service::policy::Rule;

use super::call::Call;
use super::microversion::Microversion;
use super::python;
use super::query::{self, Parameters};
use super::routes::Operation;
use super::wire::body::boolean;
use super::wire::faults::Fault;
use super::wire::reply::Reply;

/// A resource without rows.
#[derive(Debug, PartialEq, Eq)]
pub struct EmptyResource {
    /// The names in paths.
    names: &'static [&'static str],
    /// The name of the list in its answer.
    key: &'static str,
    /// Whether there is a list at `.../detail`.
    has_detail: bool,
    /// The version of its first operation.
    since: Microversion,
    /// The rule of the list, and that of show if it is checked before the row is looked up.
    list: Option<Rule>,
    show: Option<Rule>,
    /// Whether the rule of the list is checked before the query is read.
    is_authorized_first: bool,
    /// The version from which the page and the order are read, if there is one.
    paged: Option<Microversion>,
    filters: Filters,
    /// The columns, by their names in Cinder's database.
    columns: &'static [&'static str],
    /// The message for an id that does not exist, before and after the id.
    not_found: (&'static str, &'static str),
    /// The message for a caller who passes no rule, where Cinder has its own.
    forbidden: Option<&'static str>,
}

/// The keys of a query that may filter a list.
#[derive(Debug, PartialEq, Eq)]
enum Filters {
    /// Any. One that is no column matches nothing.
    Columns,
    /// None is read.
    Ignored,
    /// Those of clusters.
    OfClusters,
}

const CLUSTERS: Microversion = Microversion::v3(7);
const CLUSTER_REPLICATION: Microversion = Microversion::v3(26);
const TRANSFER_PAGES: Microversion = Microversion::v3(59);
const DEFAULT_TYPES: Microversion = Microversion::v3(62);
const REIMAGE: Microversion = Microversion::v3(68);

const FOUND_NOWHERE: &str = " could not be found.";

const GROUP_COLUMNS: &[&str] = &[
    "id",
    "user_id",
    "project_id",
    "cluster_name",
    "host",
    "availability_zone",
    "name",
    "description",
    "group_type_id",
    "status",
    "group_snapshot_id",
    "source_group_id",
    "replication_status",
    "created_at",
    "updated_at",
    "deleted_at",
    "deleted",
];

const GROUP_SNAPSHOT_COLUMNS: &[&str] = &[
    "id",
    "group_id",
    "group_type_id",
    "user_id",
    "project_id",
    "name",
    "description",
    "status",
    "created_at",
    "updated_at",
    "deleted_at",
    "deleted",
];

const TRANSFER_COLUMNS: &[&str] = &[
    "id",
    "volume_id",
    "display_name",
    "salt",
    "crypt_hash",
    "expires_at",
    "no_snapshots",
    "source_project_id",
    "destination_project_id",
    "accepted",
    "created_at",
    "updated_at",
    "deleted_at",
    "deleted",
];

/// The path of transfers that ignores paging and takes its keys for filters.
const OLD_TRANSFERS: EmptyResource = EmptyResource { names: &["os-volume-transfer"], paged: None, ..TRANSFERS };

const TRANSFERS: EmptyResource = EmptyResource {
    names: &["volume-transfers"],
    key: "transfers",
    has_detail: true,
    since: Microversion::MINIMUM,
    list: Some(Rule::GetAllTransfers),
    show: Some(Rule::GetTransfer),
    is_authorized_first: false,
    paged: Some(TRANSFER_PAGES),
    filters: Filters::Columns,
    columns: TRANSFER_COLUMNS,
    not_found: ("Transfer ", FOUND_NOWHERE),
    forbidden: None,
};

/// The groups that migrated consistency groups would be. There are none.
const CONSISTENCY_GROUPS: EmptyResource = EmptyResource {
    names: &["consistencygroups"],
    key: "consistencygroups",
    has_detail: true,
    since: Microversion::MINIMUM,
    list: Some(Rule::GetAllGroups),
    show: None,
    is_authorized_first: true,
    paged: Some(Microversion::MINIMUM),
    filters: Filters::Columns,
    columns: GROUP_COLUMNS,
    not_found: ("Group ", FOUND_NOWHERE),
    forbidden: None,
};

/// The resources without rows.
static EMPTY: [EmptyResource; 6] = [
    OLD_TRANSFERS,
    TRANSFERS,
    CONSISTENCY_GROUPS,
    EmptyResource {
        names: &["cgsnapshots"],
        key: "cgsnapshots",
        list: Some(Rule::GetAllGroupSnapshots),
        paged: None,
        columns: GROUP_SNAPSHOT_COLUMNS,
        not_found: ("GroupSnapshot ", FOUND_NOWHERE),
        ..CONSISTENCY_GROUPS
    },
    EmptyResource {
        names: &["qos-specs"],
        key: "qos_specs",
        has_detail: false,
        since: Microversion::MINIMUM,
        list: Some(Rule::GetAllQosSpecs),
        show: Some(Rule::GetQosSpecs),
        is_authorized_first: true,
        paged: Some(Microversion::MINIMUM),
        filters: Filters::Ignored,
        columns: &["id", "specs_id", "key", "value", "created_at", "updated_at", "deleted_at", "deleted"],
        not_found: ("No such QoS spec ", "."),
        forbidden: None,
    },
    EmptyResource {
        names: &["clusters"],
        key: "clusters",
        has_detail: true,
        since: CLUSTERS,
        list: Some(Rule::GetAllClusters),
        show: Some(Rule::GetCluster),
        is_authorized_first: true,
        paged: None,
        filters: Filters::OfClusters,
        columns: &[],
        not_found: ("Cluster ", FOUND_NOWHERE),
        forbidden: None,
    },
];

/// The default types of projects. They are named by the project, so their list is in no order.
static DEFAULT_TYPES_OF_PROJECTS: EmptyResource = EmptyResource {
    names: &["default-types"],
    key: "default_types",
    has_detail: false,
    since: DEFAULT_TYPES,
    list: Some(Rule::GetAllDefaultTypes),
    show: Some(Rule::GetDefaultType),
    is_authorized_first: true,
    paged: None,
    filters: Filters::Ignored,
    columns: &[],
    not_found: ("Default type for project ", " not found."),
    forbidden: Some("You are not authorized to perform this operation."),
};

/// An operation that is refused.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    method: &'static str,
    /// The segments of the path. `*` stands for an id.
    path: &'static [&'static str],
    since: Microversion,
    rule: Rule,
    /// What is not offered, as the beginning of a sentence.
    subject: &'static str,
}

const fn refused(
    method: &'static str,
    path: &'static [&'static str],
    since: u32,
    rule: Rule,
    subject: &'static str,
) -> Refused {
    Refused { method, path, since: Microversion::v3(since), rule, subject }
}

const TRANSFER: &str = "Transferring volumes is";
const QOS: &str = "Quality of service is";
const GROUPS_ARE: &str = "Creating consistency groups is";
const GROUP_SNAPSHOTS_ARE: &str = "Creating snapshots of consistency groups is";
const HOSTS: &str = "The host API is";
const QUOTA_CLASSES: &str = "A quota class is";
const DEFAULT_TYPE: &str = "A default volume type of one project is";
const ENCRYPTION: &str = "Encrypting volumes of a type is";
const VOLUME_MANAGE: &str = "Managing volumes is";

/// The operations that are refused, besides those that look up a row of an [`EmptyResource`].
static REFUSED: [Refused; 26] = [
    refused("POST", &["os-volume-transfer"], 0, Rule::CreateTransfer, TRANSFER),
    refused("POST", &["volume-transfers"], 0, Rule::CreateTransfer, TRANSFER),
    refused("POST", &["qos-specs"], 0, Rule::CreateQosSpecs, QOS),
    refused("POST", &["consistencygroups"], 0, Rule::CreateGroup, GROUPS_ARE),
    refused("POST", &["consistencygroups", "create_from_src"], 0, Rule::CreateGroup, GROUPS_ARE),
    refused("POST", &["cgsnapshots"], 0, Rule::CreateGroupSnapshot, GROUP_SNAPSHOTS_ARE),
    refused("PUT", &["clusters", "enable"], 7, Rule::UpdateCluster, "Changing clusters is"),
    refused("PUT", &["clusters", "disable"], 7, Rule::UpdateCluster, "Changing clusters is"),
    refused("POST", &["workers", "cleanup"], 24, Rule::CleanUpWorkers, "The cleanup of workers is"),
    refused("GET", &["os-hosts"], 0, Rule::ManageHosts, HOSTS),
    refused("GET", &["os-hosts", "*"], 0, Rule::ManageHosts, HOSTS),
    refused("PUT", &["os-hosts", "*"], 0, Rule::ManageHosts, HOSTS),
    refused("GET", &["capabilities", "*"], 0, Rule::GetCapabilities, "The list of capabilities is"),
    refused("GET", &["os-quota-class-sets", "*"], 0, Rule::ShowQuotaClass, QUOTA_CLASSES),
    refused("PUT", &["os-quota-class-sets", "*"], 0, Rule::UpdateQuotaClass, QUOTA_CLASSES),
    refused("PUT", &["default-types", "*"], 62, Rule::SetDefaultType, DEFAULT_TYPE),
    refused("DELETE", &["default-types", "*"], 62, Rule::UnsetDefaultType, DEFAULT_TYPE),
    refused("POST", &["types", "*", "encryption"], 0, Rule::CreateEncryption, ENCRYPTION),
    refused("PUT", &["types", "*", "encryption", "*"], 0, Rule::UpdateEncryption, ENCRYPTION),
    refused("DELETE", &["types", "*", "encryption", "*"], 0, Rule::DeleteEncryption, ENCRYPTION),
    refused("GET", &["manageable_volumes"], 8, Rule::ListManageableVolumes, VOLUME_MANAGE),
    refused("GET", &["manageable_volumes", "detail"], 8, Rule::ListManageableVolumes, VOLUME_MANAGE),
    refused("POST", &["manageable_volumes"], 8, Rule::ManageVolume, VOLUME_MANAGE),
    refused("GET", &["os-volume-manage"], 0, Rule::ListManageableVolumes, VOLUME_MANAGE),
    refused("GET", &["os-volume-manage", "detail"], 0, Rule::ListManageableVolumes, VOLUME_MANAGE),
    refused("POST", &["os-volume-manage"], 0, Rule::ManageVolume, VOLUME_MANAGE),
];

/// An action on a volume that is refused.
#[derive(Debug, PartialEq, Eq)]
pub struct RefusedAction {
    name: &'static str,
    since: Microversion,
    rule: Rule,
    /// What is not offered, as the beginning of a sentence.
    subject: &'static str,
}

const MIGRATION: &str = "Migrating volumes is";

/// The actions on volumes that are refused.
static REFUSED_ACTIONS: [RefusedAction; 6] = [
    RefusedAction {
        name: "os-retype",
        since: Microversion::MINIMUM,
        rule: Rule::Retype,
        subject: "Changing the type of a volume is",
    },
    RefusedAction {
        name: "os-migrate_volume",
        since: Microversion::MINIMUM,
        rule: Rule::MigrateVolume,
        subject: MIGRATION,
    },
    RefusedAction {
        name: "os-migrate_volume_completion",
        since: Microversion::MINIMUM,
        rule: Rule::CompleteMigration,
        subject: MIGRATION,
    },
    RefusedAction {
        name: "os-volume_upload_image",
        since: Microversion::MINIMUM,
        rule: Rule::UploadImage,
        subject: "Uploading a volume as an image is",
    },
    RefusedAction {
        name: "os-reimage",
        since: REIMAGE,
        rule: Rule::Reimage,
        subject: "Writing an image to a volume is",
    },
    RefusedAction {
        name: "os-unmanage",
        since: Microversion::MINIMUM,
        rule: Rule::UnmanageVolume,
        subject: VOLUME_MANAGE,
    },
];

impl RefusedAction {
    /// Returns the action with a name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        REFUSED_ACTIONS.iter().find(|refused| refused.name == name)
    }
}

/// Finds the operation of a path without its project id.
#[must_use]
pub fn operation(method: &Method, segments: &[&str]) -> Option<Operation> {
    let fits = |refused: &&Refused| {
        refused.method == method.as_str()
            && refused.path.len() == segments.len()
            && refused.path.iter().zip(segments).all(|(own, segment)| *own == "*" || own == segment)
    };
    if let Some(refused) = REFUSED.iter().find(fits) {
        return Some(Operation::Refuse(refused));
    }
    let (first, rest) = segments.split_first()?;
    let mut empty = EMPTY.iter().chain([&DEFAULT_TYPES_OF_PROJECTS]);
    let resource = empty.find(|resource| resource.names.contains(first))?;
    let is_get = method == Method::GET;
    let is_qos = resource.key == "qos_specs";
    let on_row = |id: &str, rule| Some(Operation::ShowNone { resource, rule, id: id.to_owned() });
    match rest {
        [] if is_get => Some(Operation::ListNone { resource, detail: false }),
        ["detail"] if is_get && resource.has_detail => Some(Operation::ListNone { resource, detail: true }),
        ["new"] if is_get => Some(Operation::Phantom),
        // Whatever is done to a row, it is looked up first.
        [id] if is_get => on_row(id, resource.show),
        [id] if method == Method::PUT => on_row(id, is_qos.then_some(Rule::UpdateQosSpecs)),
        [id] if method == Method::DELETE => on_row(id, is_qos.then_some(Rule::DeleteQosSpecs)),
        [id, "action" | "accept"] if method == Method::POST => on_row(id, None),
        [id, "associations"] if is_get && is_qos => on_row(id, Some(Rule::GetAllQosSpecs)),
        [id, "associate" | "disassociate" | "disassociate_all"] if is_get && is_qos => {
            on_row(id, Some(Rule::UpdateQosSpecs))
        }
        [id, "delete_keys"] if method == Method::PUT && is_qos => on_row(id, Some(Rule::DeleteQosSpecs)),
        [_, "edit"] if is_get => Some(Operation::Phantom),
        _ => None,
    }
}

/// Returns the fault for something that is not offered, such as `Quality of service is`.
pub fn not_offered(subject: &str) -> Fault {
    Fault::bad_request(format!("{subject} not offered here."))
}

/// Checks a rule on the caller's own project, with the message that Cinder has for its failure.
fn authorize(call: &Call<'_>, rule: Rule, forbidden: Option<&'static str>) -> Result<(), Fault> {
    call.service.caller.allow_own(rule).map_err(|error| match forbidden {
        Some(message) => Fault::new(StatusCode::FORBIDDEN, message),
        None => error.into(),
    })
}

/// Refuses an operation.
pub fn refuse(call: &Call<'_>, refused: &Refused) -> Result<Reply, Fault> {
    if call.version < refused.since {
        return Err(Fault::not_found());
    }
    let forbidden = DEFAULT_TYPES_OF_PROJECTS.forbidden.filter(|_| refused.since == DEFAULT_TYPES);
    authorize(call, refused.rule, forbidden)?;
    Err(not_offered(refused.subject))
}

/// Refuses an action on a volume that the caller may act on.
pub fn refuse_action(call: &Call<'_>, id: &str, refused: &RefusedAction) -> Result<Reply, Fault> {
    if call.version < refused.since {
        return Err(Fault::not_found());
    }
    call.service.may_act_on_volume(id, refused.rule)?;
    Err(not_offered(refused.subject))
}

/// Answers an operation on a row, which does not exist.
pub fn show(call: &Call<'_>, resource: &EmptyResource, rule: Option<Rule>, id: &str) -> Result<Reply, Fault> {
    if call.version < resource.since {
        return Err(Fault::not_found());
    }
    if let Some(rule) = rule {
        authorize(call, rule, resource.forbidden)?;
    }
    call.service.caller.is_scoped()?;
    Err(resource.not_found(id).into())
}

/// Lists the rows, of which there are none.
pub fn list(call: &Call<'_>, resource: &EmptyResource) -> Result<Reply, Fault> {
    if call.version < resource.since {
        return Err(Fault::not_found());
    }
    if resource.is_authorized_first
        && let Some(rule) = resource.list
    {
        authorize(call, rule, resource.forbidden)?;
    }
    let mut rest = call.parameters.clone();
    let is_paged = resource.paged.is_some_and(|paged| call.version >= paged);
    let request = if is_paged { query::page_request(&mut rest)? } else { ListRequest::default() };
    resource.check_filters(call, &mut rest)?;
    if let Some(rule) = resource.list {
        authorize(call, rule, resource.forbidden)?;
    }
    if is_paged && resource.matches_rows(&rest) {
        call.service.list_none(&request, resource.columns, &|id| resource.not_found(id))?;
    } else if !is_paged && resource.filters == Filters::Columns {
        // Cinder cuts the page out of the whole list.
        query::limit(rest.pop("limit"))?;
        query::offset(rest.pop("offset"))?;
    }
    Reply::json(StatusCode::OK, &json!({ resource.key: Value::Array(Vec::new()) }))
}

impl EmptyResource {
    fn not_found(&self, id: &str) -> Error {
        let (before, after) = self.not_found;
        Error::NotFound(match self.key {
            // Cinder prints the filters of its query.
            "clusters" => {
                format!("{before}{{'binary': 'cinder-volume', 'name': {}}}{after}", python::repr_of_string(id))
            }
            _ => [before, id, after].concat(),
        })
    }

    /// Checks the filters of a list.
    fn check_filters(&self, call: &Call<'_>, rest: &mut Parameters) -> Result<(), Fault> {
        match self.filters {
            Filters::Columns | Filters::Ignored => Ok(()),
            Filters::OfClusters => {
                let replicated = call.version >= CLUSTER_REPLICATION;
                let is_known = |key: &str| {
                    ["name", "binary", "is_up", "disabled", "num_hosts", "num_down_hosts"].contains(&key)
                        || (replicated && ["replication_status", "frozen", "active_backend_id"].contains(&key))
                };
                let unknown: Vec<&str> =
                    rest.0.iter().map(|(key, _)| key.as_str()).filter(|key| !is_known(key)).collect();
                if !unknown.is_empty() {
                    let message = format!("Invalid input received: Invalid filter keys: {}", unknown.join(", "));
                    return Err(Fault::bad_request(message));
                }
                for key in ["disabled", "is_up"] {
                    if let Some(value) = rest.get(key) {
                        boolean(key, value)?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Returns whether the filters can match rows, so that Cinder checks the order and the marker.
    fn matches_rows(&self, rest: &Parameters) -> bool {
        let is_column = |key: &str| match key {
            "all_tenants" => true,
            "name" => self.key == "transfers" || self.columns.contains(&key),
            key => self.columns.contains(&key.strip_suffix('~').unwrap_or(key)),
        };
        self.filters == Filters::Ignored || rest.0.iter().all(|(key, _)| is_column(key))
    }
}
