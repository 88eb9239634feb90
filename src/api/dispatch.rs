//! From an operation to the function of its resource.

use http::StatusCode;
use serde_json::Value;

use crate::domain::{Snapshot, Volume};

use super::backup_actions::{self, BackupAction};
use super::call::Call;
use super::groups::{self, GroupAction};
use super::routes::{MetadataOwner, Operation};
use super::snapshot_actions::{self, SnapshotAction};
use super::volume_actions::{self, VolumeAction};
use super::volume_types::{self, VolumeTypeAction};
use super::wire::faults::{Fault, MALFORMED_BODY};
use super::wire::reply::Reply;
use super::{
    attachments, backup_records, backups, discovery, extensions, group_snapshots, group_types, limits,
    manageable_snapshots, messages, metadata, not_offered, quota_sets, resource_filters, services, snapshots, volumes,
};

/// An action that a body names.
#[derive(Debug, Clone, Copy)]
pub enum Action {
    Snapshot(SnapshotAction),
    Volume(VolumeAction),
    VolumeType(VolumeTypeAction),
    Backup(BackupAction),
    Group(GroupAction),
}

impl Action {
    /// Returns the action that a body names, if the operation is one that acts.
    ///
    /// # Errors
    ///
    /// A body that names no action.
    pub fn named(operation: &Operation, body: Option<&Value>) -> Result<Option<Self>, Fault> {
        Ok(match operation {
            Operation::ActOnSnapshot(_) => Some(Self::Snapshot(SnapshotAction::named(body)?)),
            Operation::ActOnVolume(_) => Some(Self::Volume(VolumeAction::named(body)?)),
            Operation::ActOnVolumeType(_) => Some(Self::VolumeType(VolumeTypeAction::named(body)?)),
            Operation::ActOnBackup(_) => Some(Self::Backup(BackupAction::named(body)?)),
            Operation::ActOnGroup(_) | Operation::ActOnGroups => Some(Self::Group(GroupAction::named(body)?)),
            Operation::ActOnGroupSnapshot(_) => group_snapshots::is_reset(body).map(|()| None)?,
            Operation::CompleteAttachment(_) => attachments::is_complete(body).map(|()| None)?,
            _ => None,
        })
    }
}

/// Performs an operation.
///
/// # Errors
///
/// The faults of its resource.
pub fn dispatch(call: &Call<'_>, operation: &Operation, action: Option<Action>) -> Result<Reply, Fault> {
    match operation {
        Operation::Discover => Reply::json(StatusCode::OK, &discovery::versions(&call.origin())),
        Operation::ListSnapshots { detail } => snapshots::list(call, *detail),
        Operation::CreateSnapshot => snapshots::create(call),
        Operation::ShowSnapshot(id) => snapshots::show(call, id),
        Operation::UpdateSnapshot(id) => snapshots::update(call, id),
        Operation::DeleteSnapshot(id) => snapshots::delete(call, id),
        Operation::ActOnSnapshot(id) => match action {
            Some(Action::Snapshot(action)) => snapshot_actions::act(call, id, action),
            _ => Err(Fault::bad_request(MALFORMED_BODY)),
        },
        Operation::ActOnVolume(id) => match action {
            Some(Action::Volume(action)) => volume_actions::act(call, id, action),
            _ => Err(Fault::bad_request(MALFORMED_BODY)),
        },
        Operation::ActOnVolumeType(id) => match action {
            Some(Action::VolumeType(action)) => volume_types::act(call, id, action),
            _ => Err(Fault::bad_request(MALFORMED_BODY)),
        },
        Operation::ListGroups { detail } => groups::list(call, *detail),
        Operation::CreateGroup => groups::create(call),
        Operation::ShowGroup(id) => groups::show(call, id),
        Operation::UpdateGroup(id) => groups::update(call, id),
        Operation::ActOnGroup(id) => match action {
            Some(Action::Group(action)) => groups::act(call, id, action),
            _ => Err(Fault::bad_request(MALFORMED_BODY)),
        },
        Operation::ActOnGroups => match action {
            Some(Action::Group(action)) => groups::act_on_all(call, action),
            _ => Err(Fault::bad_request(MALFORMED_BODY)),
        },
        Operation::ListGroupSnapshots { detail } => group_snapshots::list(call, *detail),
        Operation::CreateGroupSnapshot => group_snapshots::create(call),
        Operation::ShowGroupSnapshot(id) => group_snapshots::show(call, id),
        Operation::UpdateGroupSnapshot => group_snapshots::update(),
        Operation::DeleteGroupSnapshot(id) => group_snapshots::delete(call, id),
        Operation::ActOnGroupSnapshot(id) => group_snapshots::reset(call, id),
        Operation::GroupTypes(operation) => group_types::perform(call, operation),
        Operation::VolumeTypes(operation) => volume_types::perform(call, operation),
        Operation::ManageSnapshot(path) => manageable_snapshots::create(call, *path),
        Operation::ListManageableSnapshots(path) => manageable_snapshots::list(call, *path),
        Operation::ShowQuotaSet(id) => quota_sets::show(call, id),
        Operation::ShowDefaultQuotaSet(id) => quota_sets::defaults(call, id),
        Operation::UpdateQuotaSet(id) => quota_sets::update(call, id),
        Operation::DeleteQuotaSet(id) => quota_sets::delete(call, id),
        Operation::ShowLimits => limits::show(call),
        Operation::ListExtensions => extensions::list(),
        Operation::ShowExtension(alias) => extensions::show(alias),
        Operation::ListResourceFilters => resource_filters::list(call),
        Operation::ListMessages => messages::list(call),
        Operation::ShowMessage(id) => messages::show(call, id),
        Operation::DeleteMessage(id) => messages::delete(call, id),
        Operation::ListAvailabilityZones => services::list_zones(call),
        Operation::ListServices => services::list(call),
        Operation::UpdateService(update) => services::update(call, *update),
        Operation::ListPools => services::list_pools(call),
        Operation::ShowVolumeEncryption(id, key) => volumes::encryption(call, id, key.as_deref()),
        Operation::ListNone { resource, .. } => not_offered::list(call, resource),
        Operation::ShowNone { resource, rule, id } => not_offered::show(call, resource, *rule, id),
        Operation::Refuse(refused) => not_offered::refuse(call, refused),
        Operation::ListAttachments { detail } => attachments::list(call, *detail),
        Operation::CreateAttachment => attachments::create(call),
        Operation::ShowAttachment(id) => attachments::show(call, id),
        Operation::UpdateAttachment(id) => attachments::update(call, id),
        Operation::DeleteAttachment(id) => attachments::delete(call, id),
        Operation::CompleteAttachment(id) => attachments::complete(call, id),
        Operation::ListBackups { detail } => backups::list(call, *detail),
        Operation::CreateBackup => backups::create(call),
        Operation::ShowBackup(id) => backups::show(call, id),
        Operation::UpdateBackup(id) => backups::update(call, id),
        Operation::DeleteBackup(id) => backups::delete(call, id),
        Operation::RestoreBackup(id) => backup_actions::restore(call, id),
        Operation::ActOnBackup(id) => match action {
            Some(Action::Backup(action)) => backup_actions::act(call, id, action),
            _ => Err(Fault::bad_request(MALFORMED_BODY)),
        },
        Operation::ExportBackup(id) => backup_records::export(call, id),
        Operation::ImportBackup => backup_records::import(call),
        Operation::Metadata(MetadataOwner::Snapshot, id, operation) => {
            metadata::perform::<Snapshot>(call, id, operation)
        }
        Operation::Metadata(MetadataOwner::Volume, id, operation) => metadata::perform::<Volume>(call, id, operation),
        Operation::ListVolumes { detail } => volumes::list(call, *detail),
        Operation::SummarizeVolumes => volumes::summarize(call),
        Operation::CreateVolume => volumes::create(call),
        Operation::ShowVolume(id) => volumes::show(call, id),
        Operation::UpdateVolume(id) => volumes::update(call, id),
        Operation::DeleteVolume(id) => volumes::delete(call, id),
        Operation::Phantom => Err(Fault::not_found()),
    }
}
