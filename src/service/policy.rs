//! Cinder's default policy as a table of rules (`docs/spec/snapshots-api.md` section 8).

/// The role that a rule requires. The role `admin` passes every rule on every project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RoleCheck {
    /// The role `reader` in the owning project.
    Reader,
    /// The role `member` in the owning project.
    Member,
    /// The role `admin`.
    Admin,
}

/// Defines [`Rule`] from a table of the rules, their names, and the roles that they require.
macro_rules! rules {
    ($($rule:ident: $name:literal, $check:ident;)+) => {
        /// The rules of Cinder that this service checks.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Rule {
            $($rule),+
        }

        impl Rule {
            #[cfg(test)]
            const ALL: &'static [Self] = &[$(Self::$rule),+];

            /// Returns the name of the rule in policy files and fault messages.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$rule => $name),+
                }
            }

            pub(super) const fn role_check(self) -> RoleCheck {
                match self {
                    $(Self::$rule => RoleCheck::$check),+
                }
            }
        }
    };
}

rules! {
    GetAllSnapshots: "volume:get_all_snapshots", Reader;
    GetSnapshot: "volume:get_snapshot", Reader;
    GetSnapshotMetadata: "volume:get_snapshot_metadata", Reader;
    ExtendedSnapshotAttributes: "volume_extension:extended_snapshot_attributes", Reader;
    CreateSnapshot: "volume:create_snapshot", Member;
    UpdateSnapshot: "volume:update_snapshot", Member;
    DeleteSnapshot: "volume:delete_snapshot", Member;
    UpdateSnapshotMetadata: "volume:update_snapshot_metadata", Member;
    DeleteSnapshotMetadata: "volume:delete_snapshot_metadata", Member;
    UpdateSnapshotStatus: "snapshot_extension:snapshot_actions:update_snapshot_status", Member;
    ResetStatus: "volume_extension:snapshot_admin_actions:reset_status", Admin;
    ForceDelete: "volume_extension:snapshot_admin_actions:force_delete", Admin;
    Unmanage: "snapshot_extension:snapshot_unmanage", Admin;
    Manage: "snapshot_extension:snapshot_manage", Admin;
    ListManageable: "snapshot_extension:list_manageable", Admin;
    GetVolumeMetadata: "volume:get_volume_metadata", Reader;
    CreateVolumeMetadata: "volume:create_volume_metadata", Member;
    UpdateVolumeMetadata: "volume:update_volume_metadata", Member;
    DeleteVolumeMetadata: "volume:delete_volume_metadata", Member;
    GetVolume: "volume:get", Reader;
    GetAllVolumes: "volume:get_all", Reader;
    CreateVolume: "volume:create", Member;
    UpdateVolume: "volume:update", Member;
    DeleteVolume: "volume:delete", Member;
    ForceDeleteVolume: "volume:force_delete", Admin;
    Revert: "volume:revert_to_snapshot", Member;
    ResetVolumeStatus: "volume_extension:volume_admin_actions:reset_status", Admin;
    ReserveVolume: "volume_extension:volume_actions:reserve", Member;
    UnreserveVolume: "volume_extension:volume_actions:unreserve", Member;
    AttachVolume: "volume_extension:volume_actions:attach", Member;
    BeginDetaching: "volume_extension:volume_actions:begin_detaching", Member;
    RollDetaching: "volume_extension:volume_actions:roll_detaching", Member;
    DetachVolume: "volume_extension:volume_actions:detach", Member;
    ForceDetachVolume: "volume_extension:volume_admin_actions:force_detach", Admin;
    InitializeConnection: "volume_extension:volume_actions:initialize_connection", Member;
    TerminateConnection: "volume_extension:volume_actions:terminate_connection", Member;
    CreateAttachment: "volume:attachment_create", Member;
    UpdateAttachment: "volume:attachment_update", Member;
    CompleteAttachment: "volume:attachment_complete", Member;
    DeleteAttachment: "volume:attachment_delete", Member;
    MultiattachBootableVolume: "volume:multiattach_bootable_volume", Member;
    ExtendVolume: "volume:extend", Member;
    ExtendAttachedVolume: "volume:extend_attached_volume", Member;
    CompleteExtension: "volume_extension:volume_admin_actions:extend_volume_completion", Admin;
    UpdateReadonlyFlag: "volume:update_readonly_flag", Member;
    SetImageMetadata: "volume_extension:volume_image_metadata:set", Member;
    RemoveImageMetadata: "volume_extension:volume_image_metadata:remove", Member;
    ShowQuotas: "volume_extension:quotas:show", Reader;
    UpdateQuotas: "volume_extension:quotas:update", Admin;
    DeleteQuotas: "volume_extension:quotas:delete", Admin;
    UsedLimits: "limits_extension:used_limits", Reader;
    GetAllMessages: "message:get_all", Reader;
    GetMessage: "message:get", Reader;
    DeleteMessage: "message:delete", Member;
    Retype: "volume:retype", Member;
    MigrateVolume: "volume_extension:volume_admin_actions:migrate_volume", Admin;
    CompleteMigration: "volume_extension:volume_admin_actions:migrate_volume_completion", Admin;
    UploadImage: "volume_extension:volume_actions:upload_image", Member;
    Reimage: "volume:reimage", Member;
    UnmanageVolume: "volume_extension:volume_unmanage", Admin;
    ForceDeleteVolumeByAction: "volume_extension:volume_admin_actions:force_delete", Admin;
    GetAllServices: "volume_extension:services:index", Admin;
    UpdateService: "volume_extension:services:update", Admin;
    GetPools: "scheduler_extension:scheduler_stats:get_pools", Admin;
    GetEncryptionMetadata: "volume_extension:volume_encryption_metadata", Reader;
    GetAllBackups: "backup:get_all", Reader;
    GetBackup: "backup:get", Reader;
    CreateBackup: "backup:create", Member;
    UpdateBackup: "backup:update", Member;
    DeleteBackup: "backup:delete", Member;
    RestoreBackup: "backup:restore", Member;
    ImportBackup: "backup:backup-import", Admin;
    ExportBackup: "backup:export-import", Admin;
    BackupProjectAttribute: "backup:backup_project_attribute", Admin;
    ResetBackupStatus: "volume_extension:backup_admin_actions:reset_status", Admin;
    ForceDeleteBackup: "volume_extension:backup_admin_actions:force_delete", Admin;
    GetAllTransfers: "volume:get_all_transfers", Reader;
    GetTransfer: "volume:get_transfer", Reader;
    CreateTransfer: "volume:create_transfer", Member;
    GetAllQosSpecs: "volume_extension:qos_specs_manage:get_all", Admin;
    GetQosSpecs: "volume_extension:qos_specs_manage:get", Admin;
    CreateQosSpecs: "volume_extension:qos_specs_manage:create", Admin;
    UpdateQosSpecs: "volume_extension:qos_specs_manage:update", Admin;
    DeleteQosSpecs: "volume_extension:qos_specs_manage:delete", Admin;
    GetAllGroups: "group:get_all", Reader;
    GetGroup: "group:get", Reader;
    CreateGroup: "group:create", Member;
    UpdateGroup: "group:update", Member;
    DeleteGroup: "group:delete", Member;
    ResetGroupStatus: "group:reset_status", Admin;
    EnableReplication: "group:enable_replication", Member;
    DisableReplication: "group:disable_replication", Member;
    FailOverReplication: "group:failover_replication", Member;
    ListReplicationTargets: "group:list_replication_targets", Member;
    GetAllGroupSnapshots: "group:get_all_group_snapshots", Reader;
    GetGroupSnapshot: "group:get_group_snapshot", Reader;
    CreateGroupSnapshot: "group:create_group_snapshot", Member;
    DeleteGroupSnapshot: "group:delete_group_snapshot", Member;
    ResetGroupSnapshotStatus: "group:reset_group_snapshot_status", Admin;
    CreateGroupType: "group:group_types:create", Admin;
    UpdateGroupType: "group:group_types:update", Admin;
    DeleteGroupType: "group:group_types:delete", Admin;
    GetGroupSpec: "group:group_types_specs:get", Admin;
    GetAllGroupSpecs: "group:group_types_specs:get_all", Admin;
    CreateGroupSpecs: "group:group_types_specs:create", Admin;
    UpdateGroupSpec: "group:group_types_specs:update", Admin;
    DeleteGroupSpec: "group:group_types_specs:delete", Admin;
    GetAllClusters: "clusters:get_all", Admin;
    GetCluster: "clusters:get", Admin;
    UpdateCluster: "clusters:update", Admin;
    CleanUpWorkers: "workers:cleanup", Admin;
    ManageHosts: "volume_extension:hosts", Admin;
    GetCapabilities: "volume_extension:capabilities", Admin;
    ShowQuotaClass: "volume_extension:quota_classes:get", Admin;
    UpdateQuotaClass: "volume_extension:quota_classes:update", Admin;
    GetAllDefaultTypes: "volume_extension:default_get_all", Admin;
    GetDefaultType: "volume_extension:default_get", Admin;
    SetDefaultType: "volume_extension:default_set_or_update", Admin;
    UnsetDefaultType: "volume_extension:default_unset", Admin;
    ListManageableVolumes: "volume_extension:list_manageable", Admin;
    ManageVolume: "volume_extension:volume_manage", Admin;
    GetAllVolumeTypes: "volume_extension:type_get_all", Reader;
    GetVolumeType: "volume_extension:type_get", Reader;
    CreateVolumeType: "volume_extension:type_create", Admin;
    UpdateVolumeType: "volume_extension:type_update", Admin;
    DeleteVolumeType: "volume_extension:type_delete", Admin;
    GetExtraSpecs: "volume_extension:types_extra_specs:index", Reader;
    GetExtraSpec: "volume_extension:types_extra_specs:show", Reader;
    CreateExtraSpecs: "volume_extension:types_extra_specs:create", Admin;
    UpdateExtraSpec: "volume_extension:types_extra_specs:update", Admin;
    DeleteExtraSpec: "volume_extension:types_extra_specs:delete", Admin;
    SeeTypeAccess: "volume_extension:volume_type_access", Member;
    GetTypeAccess: "volume_extension:volume_type_access:get_all_for_type", Admin;
    AddTypeAccess: "volume_extension:volume_type_access:addProjectAccess", Admin;
    RemoveTypeAccess: "volume_extension:volume_type_access:removeProjectAccess", Admin;
    GetEncryption: "volume_extension:volume_type_encryption:get", Admin;
    CreateEncryption: "volume_extension:volume_type_encryption:create", Admin;
    UpdateEncryption: "volume_extension:volume_type_encryption:update", Admin;
    DeleteEncryption: "volume_extension:volume_type_encryption:delete", Admin;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Caller, ProjectId, Roles};

    /// The weakest role that passes a rule in the caller's own project.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Least {
        Reader,
        Member,
        Admin,
    }

    /// Cinder's default policy, from its `cinder/policies/*.py`, for every rule in the order of [`Rule`].
    const POLICY: &[(Rule, &str, Least)] = &[
        (Rule::GetAllSnapshots, "volume:get_all_snapshots", Least::Reader),
        (Rule::GetSnapshot, "volume:get_snapshot", Least::Reader),
        (Rule::GetSnapshotMetadata, "volume:get_snapshot_metadata", Least::Reader),
        (Rule::ExtendedSnapshotAttributes, "volume_extension:extended_snapshot_attributes", Least::Reader),
        (Rule::CreateSnapshot, "volume:create_snapshot", Least::Member),
        (Rule::UpdateSnapshot, "volume:update_snapshot", Least::Member),
        (Rule::DeleteSnapshot, "volume:delete_snapshot", Least::Member),
        (Rule::UpdateSnapshotMetadata, "volume:update_snapshot_metadata", Least::Member),
        (Rule::DeleteSnapshotMetadata, "volume:delete_snapshot_metadata", Least::Member),
        (Rule::UpdateSnapshotStatus, "snapshot_extension:snapshot_actions:update_snapshot_status", Least::Member),
        (Rule::ResetStatus, "volume_extension:snapshot_admin_actions:reset_status", Least::Admin),
        (Rule::ForceDelete, "volume_extension:snapshot_admin_actions:force_delete", Least::Admin),
        (Rule::Unmanage, "snapshot_extension:snapshot_unmanage", Least::Admin),
        (Rule::Manage, "snapshot_extension:snapshot_manage", Least::Admin),
        (Rule::ListManageable, "snapshot_extension:list_manageable", Least::Admin),
        (Rule::GetVolumeMetadata, "volume:get_volume_metadata", Least::Reader),
        (Rule::CreateVolumeMetadata, "volume:create_volume_metadata", Least::Member),
        (Rule::UpdateVolumeMetadata, "volume:update_volume_metadata", Least::Member),
        (Rule::DeleteVolumeMetadata, "volume:delete_volume_metadata", Least::Member),
        (Rule::GetVolume, "volume:get", Least::Reader),
        (Rule::GetAllVolumes, "volume:get_all", Least::Reader),
        (Rule::CreateVolume, "volume:create", Least::Member),
        (Rule::UpdateVolume, "volume:update", Least::Member),
        (Rule::DeleteVolume, "volume:delete", Least::Member),
        (Rule::ForceDeleteVolume, "volume:force_delete", Least::Admin),
        (Rule::Revert, "volume:revert_to_snapshot", Least::Member),
        (Rule::ResetVolumeStatus, "volume_extension:volume_admin_actions:reset_status", Least::Admin),
        (Rule::ReserveVolume, "volume_extension:volume_actions:reserve", Least::Member),
        (Rule::UnreserveVolume, "volume_extension:volume_actions:unreserve", Least::Member),
        (Rule::AttachVolume, "volume_extension:volume_actions:attach", Least::Member),
        (Rule::BeginDetaching, "volume_extension:volume_actions:begin_detaching", Least::Member),
        (Rule::RollDetaching, "volume_extension:volume_actions:roll_detaching", Least::Member),
        (Rule::DetachVolume, "volume_extension:volume_actions:detach", Least::Member),
        (Rule::ForceDetachVolume, "volume_extension:volume_admin_actions:force_detach", Least::Admin),
        (Rule::InitializeConnection, "volume_extension:volume_actions:initialize_connection", Least::Member),
        (Rule::TerminateConnection, "volume_extension:volume_actions:terminate_connection", Least::Member),
        (Rule::CreateAttachment, "volume:attachment_create", Least::Member),
        (Rule::UpdateAttachment, "volume:attachment_update", Least::Member),
        (Rule::CompleteAttachment, "volume:attachment_complete", Least::Member),
        (Rule::DeleteAttachment, "volume:attachment_delete", Least::Member),
        (Rule::MultiattachBootableVolume, "volume:multiattach_bootable_volume", Least::Member),
        (Rule::ExtendVolume, "volume:extend", Least::Member),
        (Rule::ExtendAttachedVolume, "volume:extend_attached_volume", Least::Member),
        (Rule::CompleteExtension, "volume_extension:volume_admin_actions:extend_volume_completion", Least::Admin),
        (Rule::UpdateReadonlyFlag, "volume:update_readonly_flag", Least::Member),
        (Rule::SetImageMetadata, "volume_extension:volume_image_metadata:set", Least::Member),
        (Rule::RemoveImageMetadata, "volume_extension:volume_image_metadata:remove", Least::Member),
        (Rule::ShowQuotas, "volume_extension:quotas:show", Least::Reader),
        (Rule::UpdateQuotas, "volume_extension:quotas:update", Least::Admin),
        (Rule::DeleteQuotas, "volume_extension:quotas:delete", Least::Admin),
        (Rule::UsedLimits, "limits_extension:used_limits", Least::Reader),
        (Rule::GetAllMessages, "message:get_all", Least::Reader),
        (Rule::GetMessage, "message:get", Least::Reader),
        (Rule::DeleteMessage, "message:delete", Least::Member),
        (Rule::Retype, "volume:retype", Least::Member),
        (Rule::MigrateVolume, "volume_extension:volume_admin_actions:migrate_volume", Least::Admin),
        (Rule::CompleteMigration, "volume_extension:volume_admin_actions:migrate_volume_completion", Least::Admin),
        (Rule::UploadImage, "volume_extension:volume_actions:upload_image", Least::Member),
        (Rule::Reimage, "volume:reimage", Least::Member),
        (Rule::UnmanageVolume, "volume_extension:volume_unmanage", Least::Admin),
        (Rule::ForceDeleteVolumeByAction, "volume_extension:volume_admin_actions:force_delete", Least::Admin),
        (Rule::GetAllServices, "volume_extension:services:index", Least::Admin),
        (Rule::UpdateService, "volume_extension:services:update", Least::Admin),
        (Rule::GetPools, "scheduler_extension:scheduler_stats:get_pools", Least::Admin),
        (Rule::GetEncryptionMetadata, "volume_extension:volume_encryption_metadata", Least::Reader),
        (Rule::GetAllBackups, "backup:get_all", Least::Reader),
        (Rule::GetBackup, "backup:get", Least::Reader),
        (Rule::CreateBackup, "backup:create", Least::Member),
        (Rule::UpdateBackup, "backup:update", Least::Member),
        (Rule::DeleteBackup, "backup:delete", Least::Member),
        (Rule::RestoreBackup, "backup:restore", Least::Member),
        (Rule::ImportBackup, "backup:backup-import", Least::Admin),
        (Rule::ExportBackup, "backup:export-import", Least::Admin),
        (Rule::BackupProjectAttribute, "backup:backup_project_attribute", Least::Admin),
        (Rule::ResetBackupStatus, "volume_extension:backup_admin_actions:reset_status", Least::Admin),
        (Rule::ForceDeleteBackup, "volume_extension:backup_admin_actions:force_delete", Least::Admin),
        (Rule::GetAllTransfers, "volume:get_all_transfers", Least::Reader),
        (Rule::GetTransfer, "volume:get_transfer", Least::Reader),
        (Rule::CreateTransfer, "volume:create_transfer", Least::Member),
        (Rule::GetAllQosSpecs, "volume_extension:qos_specs_manage:get_all", Least::Admin),
        (Rule::GetQosSpecs, "volume_extension:qos_specs_manage:get", Least::Admin),
        (Rule::CreateQosSpecs, "volume_extension:qos_specs_manage:create", Least::Admin),
        (Rule::UpdateQosSpecs, "volume_extension:qos_specs_manage:update", Least::Admin),
        (Rule::DeleteQosSpecs, "volume_extension:qos_specs_manage:delete", Least::Admin),
        (Rule::GetAllGroups, "group:get_all", Least::Reader),
        (Rule::GetGroup, "group:get", Least::Reader),
        (Rule::CreateGroup, "group:create", Least::Member),
        (Rule::UpdateGroup, "group:update", Least::Member),
        (Rule::DeleteGroup, "group:delete", Least::Member),
        (Rule::ResetGroupStatus, "group:reset_status", Least::Admin),
        (Rule::EnableReplication, "group:enable_replication", Least::Member),
        (Rule::DisableReplication, "group:disable_replication", Least::Member),
        (Rule::FailOverReplication, "group:failover_replication", Least::Member),
        (Rule::ListReplicationTargets, "group:list_replication_targets", Least::Member),
        (Rule::GetAllGroupSnapshots, "group:get_all_group_snapshots", Least::Reader),
        (Rule::GetGroupSnapshot, "group:get_group_snapshot", Least::Reader),
        (Rule::CreateGroupSnapshot, "group:create_group_snapshot", Least::Member),
        (Rule::DeleteGroupSnapshot, "group:delete_group_snapshot", Least::Member),
        (Rule::ResetGroupSnapshotStatus, "group:reset_group_snapshot_status", Least::Admin),
        (Rule::CreateGroupType, "group:group_types:create", Least::Admin),
        (Rule::UpdateGroupType, "group:group_types:update", Least::Admin),
        (Rule::DeleteGroupType, "group:group_types:delete", Least::Admin),
        (Rule::GetGroupSpec, "group:group_types_specs:get", Least::Admin),
        (Rule::GetAllGroupSpecs, "group:group_types_specs:get_all", Least::Admin),
        (Rule::CreateGroupSpecs, "group:group_types_specs:create", Least::Admin),
        (Rule::UpdateGroupSpec, "group:group_types_specs:update", Least::Admin),
        (Rule::DeleteGroupSpec, "group:group_types_specs:delete", Least::Admin),
        (Rule::GetAllClusters, "clusters:get_all", Least::Admin),
        (Rule::GetCluster, "clusters:get", Least::Admin),
        (Rule::UpdateCluster, "clusters:update", Least::Admin),
        (Rule::CleanUpWorkers, "workers:cleanup", Least::Admin),
        (Rule::ManageHosts, "volume_extension:hosts", Least::Admin),
        (Rule::GetCapabilities, "volume_extension:capabilities", Least::Admin),
        (Rule::ShowQuotaClass, "volume_extension:quota_classes:get", Least::Admin),
        (Rule::UpdateQuotaClass, "volume_extension:quota_classes:update", Least::Admin),
        (Rule::GetAllDefaultTypes, "volume_extension:default_get_all", Least::Admin),
        (Rule::GetDefaultType, "volume_extension:default_get", Least::Admin),
        (Rule::SetDefaultType, "volume_extension:default_set_or_update", Least::Admin),
        (Rule::UnsetDefaultType, "volume_extension:default_unset", Least::Admin),
        (Rule::ListManageableVolumes, "volume_extension:list_manageable", Least::Admin),
        (Rule::ManageVolume, "volume_extension:volume_manage", Least::Admin),
        (Rule::GetAllVolumeTypes, "volume_extension:type_get_all", Least::Reader),
        (Rule::GetVolumeType, "volume_extension:type_get", Least::Reader),
        (Rule::CreateVolumeType, "volume_extension:type_create", Least::Admin),
        (Rule::UpdateVolumeType, "volume_extension:type_update", Least::Admin),
        (Rule::DeleteVolumeType, "volume_extension:type_delete", Least::Admin),
        (Rule::GetExtraSpecs, "volume_extension:types_extra_specs:index", Least::Reader),
        (Rule::GetExtraSpec, "volume_extension:types_extra_specs:show", Least::Reader),
        (Rule::CreateExtraSpecs, "volume_extension:types_extra_specs:create", Least::Admin),
        (Rule::UpdateExtraSpec, "volume_extension:types_extra_specs:update", Least::Admin),
        (Rule::DeleteExtraSpec, "volume_extension:types_extra_specs:delete", Least::Admin),
        (Rule::SeeTypeAccess, "volume_extension:volume_type_access", Least::Member),
        (Rule::GetTypeAccess, "volume_extension:volume_type_access:get_all_for_type", Least::Admin),
        (Rule::AddTypeAccess, "volume_extension:volume_type_access:addProjectAccess", Least::Admin),
        (Rule::RemoveTypeAccess, "volume_extension:volume_type_access:removeProjectAccess", Least::Admin),
        (Rule::GetEncryption, "volume_extension:volume_type_encryption:get", Least::Admin),
        (Rule::CreateEncryption, "volume_extension:volume_type_encryption:create", Least::Admin),
        (Rule::UpdateEncryption, "volume_extension:volume_type_encryption:update", Least::Admin),
        (Rule::DeleteEncryption, "volume_extension:volume_type_encryption:delete", Least::Admin),
    ];

    #[test]
    fn each_role_is_allowed_what_cinder_allows_it() {
        let own: ProjectId = "a1".parse().expect("a project id");
        let other: ProjectId = "b2".parse().expect("a project id");
        let caller = |admin, member, reader| Caller {
            user_id: None,
            project_id: Some(own.clone()),
            roles: Roles { admin, member, reader, service: false },
            is_for_service: false,
        };
        let (admin, member) = (caller(true, false, false), caller(false, true, true));
        let (reader, nobody) = (caller(false, false, true), caller(false, false, false));
        let rules: Vec<Rule> = POLICY.iter().map(|(rule, ..)| *rule).collect();
        assert_eq!(rules, Rule::ALL, "every rule is in the table");
        for (rule, name, least) in POLICY.iter().copied() {
            assert_eq!(rule.name(), name);
            assert!(admin.allow(rule, &own).is_ok(), "{rule:?}");
            assert!(admin.allow(rule, &other).is_ok(), "{rule:?}");
            assert_eq!(member.allow(rule, &own).is_ok(), least != Least::Admin, "{rule:?}");
            assert_eq!(reader.allow(rule, &own).is_ok(), least == Least::Reader, "{rule:?}");
            assert!(nobody.allow(rule, &own).is_err(), "{rule:?}");
            assert!(member.allow(rule, &other).is_err(), "{rule:?}");
            assert!(reader.allow(rule, &other).is_err(), "{rule:?}");
        }
    }
}
