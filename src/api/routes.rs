//! The paths of the API, and the operation of each method (`docs/spec/versions-and-faults.md` section 4).
//!
//! A path with an unknown method, a trailing slash, or a word in place of the project id is answered like an unknown path:
//! with a 404 outside the resource layer, never with a 405.

use std::borrow::Cow;

use http::Method;
use percent_encoding::percent_decode_str;

use crate::service::policy::Rule;

use super::not_offered::{self, EmptyResource, Refused};

/// An operation of the API with the ids of its path, as the client wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// `/v3/`
    Discover,
    ListSnapshots {
        detail: bool,
    },
    CreateSnapshot,
    ShowSnapshot(String),
    UpdateSnapshot(String),
    DeleteSnapshot(String),
    ActOnSnapshot(String),
    /// An operation on the metadata of the resource with this id.
    Metadata(MetadataOwner, String, MetadataOperation),
    ListVolumes {
        detail: bool,
    },
    SummarizeVolumes,
    CreateVolume,
    ShowVolume(String),
    UpdateVolume(String),
    DeleteVolume(String),
    ActOnVolume(String),
    ManageSnapshot(ManagePath),
    ListManageableSnapshots(ManagePath),
    ShowQuotaSet(String),
    ShowDefaultQuotaSet(String),
    UpdateQuotaSet(String),
    DeleteQuotaSet(String),
    ShowLimits,
    ListExtensions,
    ShowExtension(String),
    ListResourceFilters,
    ListAttachments {
        detail: bool,
    },
    CreateAttachment,
    ShowAttachment(String),
    UpdateAttachment(String),
    DeleteAttachment(String),
    CompleteAttachment(String),
    ListBackups {
        detail: bool,
    },
    CreateBackup,
    ShowBackup(String),
    UpdateBackup(String),
    DeleteBackup(String),
    RestoreBackup(String),
    ActOnBackup(String),
    ExportBackup(String),
    ImportBackup,
    ListMessages,
    ShowMessage(String),
    DeleteMessage(String),
    ListAvailabilityZones,
    ListServices,
    UpdateService(ServiceUpdate),
    ListPools,
    ShowVolumeEncryption(String, Option<String>),
    /// The list of a resource without rows.
    ListNone {
        resource: &'static EmptyResource,
        detail: bool,
    },
    /// An operation on one row of a resource without rows, with the rule that is checked first.
    ShowNone {
        resource: &'static EmptyResource,
        rule: Option<Rule>,
        id: String,
    },
    /// An operation that is not offered.
    Refuse(&'static Refused),
    /// An operation on volume types, except an action.
    VolumeTypes(VolumeTypeOperation),
    ActOnVolumeType(String),
    ListGroups {
        detail: bool,
    },
    CreateGroup,
    ShowGroup(String),
    UpdateGroup(String),
    ActOnGroup(String),
    ActOnGroups,
    ListGroupSnapshots {
        detail: bool,
    },
    CreateGroupSnapshot,
    ShowGroupSnapshot(String),
    UpdateGroupSnapshot,
    DeleteGroupSnapshot(String),
    ActOnGroupSnapshot(String),
    /// An operation on group types.
    GroupTypes(GroupTypeOperation),
    /// A path that Cinder's routing library adds and no controller answers (`.../new`, `.../{id}/edit`).
    Phantom,
}

impl Operation {
    /// Whether the operation reads or changes one existing row without beginning work or counting against a quota. It then
    /// depends on no setting except `auth_mode`.
    #[must_use]
    pub const fn is_for_one_row(&self) -> bool {
        matches!(
            self,
            Self::ShowSnapshot(_)
                | Self::UpdateSnapshot(_)
                | Self::ShowVolume(_)
                | Self::ShowAttachment(_)
                | Self::ShowBackup(_)
                | Self::UpdateBackup(_)
                | Self::UpdateVolume(_)
                | Self::Metadata(..)
        )
    }

    /// Whether the operation reads a body.
    #[must_use]
    pub const fn takes_body(&self) -> bool {
        matches!(
            self,
            Self::CreateSnapshot
                | Self::UpdateSnapshot(_)
                | Self::ActOnSnapshot(_)
                | Self::Metadata(
                    _,
                    _,
                    MetadataOperation::Merge | MetadataOperation::Replace | MetadataOperation::Put(_)
                )
                | Self::CreateVolume
                | Self::UpdateVolume(_)
                | Self::ActOnVolume(_)
                | Self::CreateAttachment
                | Self::UpdateAttachment(_)
                | Self::CompleteAttachment(_)
                | Self::CreateBackup
                | Self::UpdateBackup(_)
                | Self::RestoreBackup(_)
                | Self::ActOnBackup(_)
                | Self::ImportBackup
                | Self::ManageSnapshot(_)
                | Self::UpdateQuotaSet(_)
                | Self::UpdateService(_)
                | Self::ShowNone { .. }
                | Self::Refuse(_)
                | Self::VolumeTypes(
                    VolumeTypeOperation::Create
                        | VolumeTypeOperation::Update(_)
                        | VolumeTypeOperation::MergeSpecs(_)
                        | VolumeTypeOperation::PutSpec(..)
                )
                | Self::ActOnVolumeType(_)
                | Self::CreateGroup
                | Self::UpdateGroup(_)
                | Self::ActOnGroup(_)
                | Self::ActOnGroups
                | Self::CreateGroupSnapshot
                | Self::ActOnGroupSnapshot(_)
                | Self::GroupTypes(
                    GroupTypeOperation::Create
                        | GroupTypeOperation::Update(_)
                        | GroupTypeOperation::MergeSpecs(_)
                        | GroupTypeOperation::PutSpec(..)
                )
        )
    }
}

/// A change of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceUpdate {
    Enable,
    Disable,
    DisableLogReason,
    Freeze,
    Thaw,
}

/// The resources that have metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataOwner {
    Snapshot,
    Volume,
}

/// An operation on the metadata of a resource, with the key of its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetadataOperation {
    ShowAll,
    Merge,
    Replace,
    Show(String),
    Put(String),
    Delete(String),
}

/// An operation on volume types, with the ids and keys of its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeTypeOperation {
    List,
    Create,
    /// The id may be `default`.
    Show(String),
    Update(String),
    Delete(String),
    ShowSpecs(String),
    MergeSpecs(String),
    ShowSpec(String, String),
    PutSpec(String, String),
    DeleteSpec(String, String),
    ShowAccess(String),
    ShowEncryption(String),
    ShowEncryptionItem(String, String),
}

/// An operation on group types, with the ids and keys of its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupTypeOperation {
    List,
    Create,
    /// The id may be `default`.
    Show(String),
    Update(String),
    Delete(String),
    ShowSpecs(String),
    MergeSpecs(String),
    ShowSpec(String, String),
    PutSpec(String, String),
    DeleteSpec(String, String),
}

/// The two paths for managing snapshots that exist on a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManagePath {
    /// `manageable_snapshots`, from microversion 3.8.
    ManageableSnapshots,
    /// `os-snapshot-manage`, at every microversion.
    OsSnapshotManage,
}

/// A path of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub operation: Operation,
    /// The project id of the path, where it has one.
    pub project_id: Option<String>,
}

/// Decodes a path once, as Python's servers do. So an encoded slash separates segments too.
#[must_use]
pub fn decoded(path: &str) -> Cow<'_, str> {
    // Most paths need no decoding.
    if path.contains('%') { percent_decode_str(path).decode_utf8_lossy() } else { Cow::Borrowed(path) }
}

/// Returns a path in which several slashes count as one, as in Cinder, because clients join a URL with a slash at its end and
/// a path with one at its beginning.
#[must_use]
pub fn with_single_slashes(path: Cow<'_, str>) -> Cow<'_, str> {
    if !path.as_bytes().windows(2).any(|pair| pair == b"//") {
        return path;
    }
    let mut single = path.into_owned();
    let mut was_slash = false;
    single.retain(|character| !std::mem::replace(&mut was_slash, character == '/') || character != '/');
    Cow::Owned(single)
}

/// Returns the project id that a path names, if it has the form of one. Without authentication it names the caller's
/// project.
#[must_use]
pub fn project_id(path: &str) -> Option<&str> {
    path.strip_prefix("/v3/")?.split('/').next().filter(|segment| is_project_id(segment))
}

/// Finds the operation of a decoded path.
#[must_use]
pub fn route(method: &Method, path: &str) -> Option<Route> {
    let rest = path.strip_prefix("/v3/")?;
    if rest.is_empty() {
        return (method == Method::GET).then_some(Route { operation: Operation::Discover, project_id: None });
    }
    // The routing library refuses a backslash at the end, and `.json` behind the one path that Cinder routes by hand.
    if rest.ends_with('\\') || (method == Method::PUT && rest.ends_with("/metadata.json")) {
        return None;
    }
    let mut segments: Vec<&str> = rest.split('/').collect();
    // `.json` names a format. It does not belong to the last id or key.
    if let Some(last) = segments.last_mut()
        && let Some(bare) = last.strip_suffix(".json").filter(|bare| !bare.is_empty())
    {
        *last = bare;
    }
    let (first, behind) = segments.split_first()?;
    // No resource has a name like a project id, so a path with one, as most have, is matched once.
    let begins_with_project = is_project_id(first);
    if !begins_with_project && let Some(operation) = operation(method, &segments) {
        return Some(Route { operation, project_id: None });
    }
    let operation = operation(method, behind)?;
    // One route does not check the form of the project id. A later check finds that the id is not the caller's.
    if !begins_with_project
        && (first.is_empty() || !matches!(operation, Operation::Metadata(_, _, MetadataOperation::Replace)))
    {
        return None;
    }
    Some(Route { operation, project_id: Some((*first).to_owned()) })
}

/// The resources for which Cinder's routing library adds all paths, even for operations that they do not have.
const RESOURCES: [&str; 17] = [
    "backups",
    "attachments",
    "snapshots",
    "volumes",
    "manageable_snapshots",
    "os-snapshot-manage",
    "os-quota-sets",
    "limits",
    "extensions",
    "resource_filters",
    "messages",
    "os-availability-zone",
    "scheduler-stats",
    "types",
    "groups",
    "group_snapshots",
    "group_types",
];

/// The resources below a type, for which the routing library adds paths too.
const BELOW_TYPE: [&str; 3] = ["extra_specs", "os-volume-type-access", "encryption"];

/// Cinder's default `project_id_regex`, `[0-9a-f\-]+`.
fn is_project_id(segment: &str) -> bool {
    !segment.is_empty() && segment.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'))
}

fn operation(method: &Method, segments: &[&str]) -> Option<Operation> {
    use {MetadataOperation as OnMetadata, Operation as Op};
    if segments.iter().any(|segment| segment.is_empty()) {
        return None;
    }
    let get = method == Method::GET;
    let post = method == Method::POST;
    let put = method == Method::PUT;
    let delete = method == Method::DELETE;
    let own = |id: &&str| (*id).to_owned();
    let owner = if segments.first() == Some(&"volumes") { MetadataOwner::Volume } else { MetadataOwner::Snapshot };
    let on_metadata = |id, operation| Op::Metadata(owner, own(id), operation);
    Some(match segments {
        [resource, "new"] if get && RESOURCES.contains(resource) => Op::Phantom,
        ["snapshots" | "volumes", _, "metadata", "new"] if get => Op::Phantom,
        ["snapshots"] if get => Op::ListSnapshots { detail: false },
        ["snapshots"] if post => Op::CreateSnapshot,
        ["snapshots", "detail"] if get => Op::ListSnapshots { detail: true },
        ["snapshots", id] if get => Op::ShowSnapshot(own(id)),
        ["snapshots", id] if put => Op::UpdateSnapshot(own(id)),
        ["snapshots", id] if delete => Op::DeleteSnapshot(own(id)),
        ["snapshots", id, "action"] if post => Op::ActOnSnapshot(own(id)),
        ["snapshots" | "volumes", id, "metadata"] if get => on_metadata(id, OnMetadata::ShowAll),
        ["snapshots" | "volumes", id, "metadata"] if post => on_metadata(id, OnMetadata::Merge),
        ["snapshots" | "volumes", id, "metadata"] if put => on_metadata(id, OnMetadata::Replace),
        // The reference documentation has these three with a singular `snapshot`, so its readers try that.
        ["snapshots" | "snapshot" | "volumes", id, "metadata", key] if get => {
            on_metadata(id, OnMetadata::Show(own(key)))
        }
        ["snapshots" | "snapshot" | "volumes", id, "metadata", key] if put => {
            on_metadata(id, OnMetadata::Put(own(key)))
        }
        ["snapshots" | "snapshot" | "volumes", id, "metadata", key] if delete => {
            on_metadata(id, OnMetadata::Delete(own(key)))
        }
        ["volumes"] if get => Op::ListVolumes { detail: false },
        ["volumes"] if post => Op::CreateVolume,
        ["volumes", "detail"] if get => Op::ListVolumes { detail: true },
        ["volumes", "summary"] if get => Op::SummarizeVolumes,
        ["volumes", id] if get => Op::ShowVolume(own(id)),
        ["volumes", id] if put => Op::UpdateVolume(own(id)),
        ["volumes", id] if delete => Op::DeleteVolume(own(id)),
        ["volumes", id, "action"] if post => Op::ActOnVolume(own(id)),
        ["manageable_snapshots"] if post => Op::ManageSnapshot(ManagePath::ManageableSnapshots),
        ["os-snapshot-manage"] if post => Op::ManageSnapshot(ManagePath::OsSnapshotManage),
        ["manageable_snapshots"] | ["manageable_snapshots", "detail"] if get => {
            Op::ListManageableSnapshots(ManagePath::ManageableSnapshots)
        }
        ["os-snapshot-manage"] | ["os-snapshot-manage", "detail"] if get => {
            Op::ListManageableSnapshots(ManagePath::OsSnapshotManage)
        }
        ["os-quota-sets", project_id] if get => Op::ShowQuotaSet(own(project_id)),
        ["os-quota-sets", project_id, "defaults"] if get => Op::ShowDefaultQuotaSet(own(project_id)),
        ["os-quota-sets", project_id] if put => Op::UpdateQuotaSet(own(project_id)),
        ["os-quota-sets", project_id] if delete => Op::DeleteQuotaSet(own(project_id)),
        ["limits"] if get => Op::ShowLimits,
        ["extensions"] if get => Op::ListExtensions,
        ["extensions", alias] if get => Op::ShowExtension(own(alias)),
        ["resource_filters"] if get => Op::ListResourceFilters,
        ["messages"] if get => Op::ListMessages,
        ["messages", id] if get => Op::ShowMessage(own(id)),
        ["messages", id] if delete => Op::DeleteMessage(own(id)),
        ["os-availability-zone"] if get => Op::ListAvailabilityZones,
        ["os-services"] if get => Op::ListServices,
        ["os-services", "enable"] if put => Op::UpdateService(ServiceUpdate::Enable),
        ["os-services", "disable"] if put => Op::UpdateService(ServiceUpdate::Disable),
        ["os-services", "disable-log-reason"] if put => Op::UpdateService(ServiceUpdate::DisableLogReason),
        ["os-services", "freeze"] if put => Op::UpdateService(ServiceUpdate::Freeze),
        ["os-services", "thaw"] if put => Op::UpdateService(ServiceUpdate::Thaw),
        ["scheduler-stats", "get_pools"] if get => Op::ListPools,
        ["volumes", id, "encryption"] if get => Op::ShowVolumeEncryption(own(id), None),
        ["volumes", id, "encryption", key] if get => Op::ShowVolumeEncryption(own(id), Some(own(key))),
        ["attachments"] if get => Op::ListAttachments { detail: false },
        ["attachments"] if post => Op::CreateAttachment,
        ["attachments", "detail"] if get => Op::ListAttachments { detail: true },
        ["attachments", id] if get => Op::ShowAttachment(own(id)),
        ["attachments", id] if put => Op::UpdateAttachment(own(id)),
        ["attachments", id] if delete => Op::DeleteAttachment(own(id)),
        ["attachments", id, "action"] if post => Op::CompleteAttachment(own(id)),
        ["backups", rest @ ..] if let Some(operation) = on_backups(method, rest) => operation,
        ["types", _, resource, "new"] if get && BELOW_TYPE.contains(resource) => Op::Phantom,
        ["types", rest @ ..] if let Some(operation) = on_types(method, rest) => operation,
        ["types", _, "os-volume-type-access"] if post => Op::Phantom,
        ["types", _, "os-volume-type-access", _] if get || put || delete => Op::Phantom,
        ["types", _, resource, _, "edit"] if BELOW_TYPE.contains(resource) && get => Op::Phantom,
        ["groups" | "group_snapshots", ..] if let Some(operation) = on_groups(method, segments) => operation,
        ["group_types", _, "group_specs", "new"] | ["group_types", _, "group_specs", _, "edit"] if get => Op::Phantom,
        ["group_types", rest @ ..] if let Some(operation) = on_group_types(method, rest) => Op::GroupTypes(operation),
        [resource] if RESOURCES.contains(resource) && (get || post) => Op::Phantom,
        [resource, _] if RESOURCES.contains(resource) && (get || put || delete) => Op::Phantom,
        [resource, _, "edit"] if RESOURCES.contains(resource) && get => Op::Phantom,
        ["snapshots" | "volumes", _, "metadata", _, "edit"] if get => Op::Phantom,
        _ => return not_offered::operation(method, segments),
    })
}

/// Finds the operation on backups of the segments behind `backups`.
fn on_backups(method: &Method, segments: &[&str]) -> Option<Operation> {
    let own = |id: &&str| (*id).to_owned();
    Some(match (method, segments) {
        (&Method::GET, []) => Operation::ListBackups { detail: false },
        (&Method::POST, []) => Operation::CreateBackup,
        (&Method::GET, ["detail"]) => Operation::ListBackups { detail: true },
        (&Method::POST, ["import_record"]) => Operation::ImportBackup,
        (&Method::GET, [id]) => Operation::ShowBackup(own(id)),
        (&Method::PUT, [id]) => Operation::UpdateBackup(own(id)),
        (&Method::DELETE, [id]) => Operation::DeleteBackup(own(id)),
        (&Method::POST, [id, "restore"]) => Operation::RestoreBackup(own(id)),
        (&Method::POST, [id, "action"]) => Operation::ActOnBackup(own(id)),
        (&Method::GET, [id, "export_record"]) => Operation::ExportBackup(own(id)),
        _ => return None,
    })
}

/// Finds the operation on groups and group snapshots.
fn on_groups(method: &Method, segments: &[&str]) -> Option<Operation> {
    let own = |id: &&str| (*id).to_owned();
    Some(match (method, segments) {
        (&Method::GET, ["groups"]) => Operation::ListGroups { detail: false },
        (&Method::POST, ["groups"]) => Operation::CreateGroup,
        (&Method::GET, ["groups", "detail"]) => Operation::ListGroups { detail: true },
        (&Method::POST, ["groups", "action"]) => Operation::ActOnGroups,
        (&Method::GET, ["groups", id]) => Operation::ShowGroup(own(id)),
        (&Method::PUT, ["groups", id]) => Operation::UpdateGroup(own(id)),
        (&Method::POST, ["groups", id, "action"]) => Operation::ActOnGroup(own(id)),
        (&Method::GET, ["group_snapshots"]) => Operation::ListGroupSnapshots { detail: false },
        (&Method::POST, ["group_snapshots"]) => Operation::CreateGroupSnapshot,
        (&Method::GET, ["group_snapshots", "detail"]) => Operation::ListGroupSnapshots { detail: true },
        (&Method::GET, ["group_snapshots", id]) => Operation::ShowGroupSnapshot(own(id)),
        (&Method::PUT, ["group_snapshots", _]) => Operation::UpdateGroupSnapshot,
        (&Method::DELETE, ["group_snapshots", id]) => Operation::DeleteGroupSnapshot(own(id)),
        (&Method::POST, ["group_snapshots", id, "action"]) => Operation::ActOnGroupSnapshot(own(id)),
        _ => return None,
    })
}

/// Finds the operation on volume types of the segments behind `types`.
fn on_types(method: &Method, segments: &[&str]) -> Option<Operation> {
    use VolumeTypeOperation as On;
    let own = |id: &&str| (*id).to_owned();
    let operation = match (method, segments) {
        (&Method::GET, []) => On::List,
        (&Method::POST, []) => On::Create,
        (&Method::GET, [id]) => On::Show(own(id)),
        (&Method::PUT, [id]) => On::Update(own(id)),
        (&Method::DELETE, [id]) => On::Delete(own(id)),
        (&Method::POST, [id, "action"]) => return Some(Operation::ActOnVolumeType(own(id))),
        (&Method::GET, [id, "extra_specs"]) => On::ShowSpecs(own(id)),
        (&Method::POST, [id, "extra_specs"]) => On::MergeSpecs(own(id)),
        (&Method::GET, [id, "extra_specs", key]) => On::ShowSpec(own(id), own(key)),
        (&Method::PUT, [id, "extra_specs", key]) => On::PutSpec(own(id), own(key)),
        (&Method::DELETE, [id, "extra_specs", key]) => On::DeleteSpec(own(id), own(key)),
        (&Method::GET, [id, "os-volume-type-access"]) => On::ShowAccess(own(id)),
        (&Method::GET, [id, "encryption"]) => On::ShowEncryption(own(id)),
        (&Method::GET, [id, "encryption", key]) => On::ShowEncryptionItem(own(id), own(key)),
        _ => return None,
    };
    Some(Operation::VolumeTypes(operation))
}

/// Finds the operation on group types of the segments behind `group_types`.
fn on_group_types(method: &Method, segments: &[&str]) -> Option<GroupTypeOperation> {
    use GroupTypeOperation as On;
    let own = |id: &&str| (*id).to_owned();
    Some(match (method, segments) {
        (&Method::GET, []) => On::List,
        (&Method::POST, []) => On::Create,
        (&Method::GET, [id]) => On::Show(own(id)),
        (&Method::PUT, [id]) => On::Update(own(id)),
        (&Method::DELETE, [id]) => On::Delete(own(id)),
        (&Method::GET, [id, "group_specs"]) => On::ShowSpecs(own(id)),
        (&Method::POST, [id, "group_specs"]) => On::MergeSpecs(own(id)),
        (&Method::GET, [id, "group_specs", key]) => On::ShowSpec(own(id), own(key)),
        (&Method::PUT, [id, "group_specs", key]) => On::PutSpec(own(id), own(key)),
        (&Method::DELETE, [id, "group_specs", key]) => On::DeleteSpec(own(id), own(key)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_slashes_count_as_one() {
        for (path, expected) in [
            ("/v3/a1/snapshots", "/v3/a1/snapshots"),
            ("/v3/a1//snapshots", "/v3/a1/snapshots"),
            ("//v3///a1/%2Fsnapshots", "/v3/a1/snapshots"),
            ("/v3/a1/snapshots//", "/v3/a1/snapshots/"),
            ("//", "/"),
        ] {
            assert_eq!(with_single_slashes(decoded(path)), expected);
        }
    }

    #[test]
    fn paths_lead_where_cinder_leads_them() {
        let show = |id: &str| Some(Operation::ShowSnapshot(id.to_owned()));
        let metadata = |owner, id: &str, operation| Some(Operation::Metadata(owner, id.to_owned(), operation));
        let item = |key: &str| metadata(MetadataOwner::Snapshot, "s", MetadataOperation::Show(key.to_owned()));
        let of_volume = metadata(MetadataOwner::Volume, "v", MetadataOperation::ShowAll);
        let get = [
            ("/v3/", Some(Operation::Discover)),
            ("/v3/snapshots", Some(Operation::ListSnapshots { detail: false })),
            ("/v3/a1/snapshots", Some(Operation::ListSnapshots { detail: false })),
            ("/v3/a1/snapshots.json", Some(Operation::ListSnapshots { detail: false })),
            ("/v3/a1/snapshots/detail", Some(Operation::ListSnapshots { detail: true })),
            ("/v3/a1/snapshots/new", Some(Operation::Phantom)),
            ("/v3/a1/snapshots/s/edit", Some(Operation::Phantom)),
            ("/v3/a1/snapshots/s", show("s")),
            ("/v3/a1/snapshots/s.json", show("s")),
            ("/v3/a1/snapshots/s.xml", show("s.xml")),
            ("/v3/a1/snapshots/a b", show("a b")),
            ("/v3/a1/snapshots/s/metadata/k.json", item("k")),
            ("/v3/a1/snapshot/s/metadata/k", item("k")),
            ("/v3/a1/volumes/v/metadata", of_volume),
            ("/v3/a1/volumes/summary", Some(Operation::SummarizeVolumes)),
            ("/v3/volumes/summary.json", Some(Operation::SummarizeVolumes)),
            ("/v3/a1/volume/v/metadata/k", None),
            ("/v3/a1/snapshot/s", None),
            ("/v3/a1/snapshots/", None),
            ("/v3/a1/snapshots/detail/", None),
            ("/v3/a1//snapshots", None),
            ("/v3/a1/attachments/detail", Some(Operation::ListAttachments { detail: true })),
            ("/v3/a1/attachments/a/edit", Some(Operation::Phantom)),
            ("/v3/a1/extensions/new", Some(Operation::Phantom)),
            ("/v3/a1/limits/l", Some(Operation::Phantom)),
            ("/v3/a1/snapshots/s\\", None),
            ("/v3/demo/snapshots", None),
            ("/v3/A1/snapshots", None),
            ("/v3/a1/snapshots/s/action", None),
            ("/v3/a1", None),
            ("/v3", None),
            ("/v2/", None),
            ("/", None),
            ("", None),
        ];
        for (path, expected) in get {
            assert_eq!(route(&Method::GET, path).map(|route| route.operation), expected, "{path}");
        }
        assert_eq!(route(&Method::HEAD, "/v3/a1/snapshots"), None);
        assert_eq!(route(&Method::PATCH, "/v3/a1/snapshots/s"), None);
        assert!(route(&Method::PUT, "/v3/demo/snapshots/s/metadata").is_some());
        assert!(route(&Method::POST, "/v3/demo/snapshots/s/metadata").is_none());
    }
}
