//! Cinder's default policy as a table of rules (`docs/spec/snapshots-api.md` section 8).

/// The rules of Cinder that this service checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    GetAllSnapshots,
    GetSnapshot,
    GetSnapshotMetadata,
    ExtendedSnapshotAttributes,
    CreateSnapshot,
    UpdateSnapshot,
    DeleteSnapshot,
    UpdateSnapshotMetadata,
    DeleteSnapshotMetadata,
    UpdateSnapshotStatus,
    ResetStatus,
    ForceDelete,
    Unmanage,
    Manage,
    ListManageable,
    GetVolumeMetadata,
    CreateVolumeMetadata,
    UpdateVolumeMetadata,
    DeleteVolumeMetadata,
    GetVolume,
    GetAllVolumes,
    CreateVolume,
    UpdateVolume,
    DeleteVolume,
    ForceDeleteVolume,
    Revert,
    ResetVolumeStatus,
    ShowQuotas,
    UpdateQuotas,
    DeleteQuotas,
    UsedLimits,
}

/// The requirement of a rule. The role `admin` passes every rule on every project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Demand {
    /// The role `reader` in the owning project.
    Reader,
    /// The role `member` in the owning project.
    Member,
    /// The role `admin`.
    Admin,
}

impl Rule {
    /// Returns the name of the rule in policy files and fault messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    pub(super) const fn row(self) -> (&'static str, Demand) {
        match self {
            Self::GetAllSnapshots => ("volume:get_all_snapshots", Demand::Reader),
            Self::GetSnapshot => ("volume:get_snapshot", Demand::Reader),
            Self::GetSnapshotMetadata => ("volume:get_snapshot_metadata", Demand::Reader),
            Self::ExtendedSnapshotAttributes => ("volume_extension:extended_snapshot_attributes", Demand::Reader),
            Self::CreateSnapshot => ("volume:create_snapshot", Demand::Member),
            Self::UpdateSnapshot => ("volume:update_snapshot", Demand::Member),
            Self::DeleteSnapshot => ("volume:delete_snapshot", Demand::Member),
            Self::UpdateSnapshotMetadata => ("volume:update_snapshot_metadata", Demand::Member),
            Self::DeleteSnapshotMetadata => ("volume:delete_snapshot_metadata", Demand::Member),
            Self::UpdateSnapshotStatus => {
                ("snapshot_extension:snapshot_actions:update_snapshot_status", Demand::Member)
            }
            Self::ResetStatus => ("volume_extension:snapshot_admin_actions:reset_status", Demand::Admin),
            Self::ForceDelete => ("volume_extension:snapshot_admin_actions:force_delete", Demand::Admin),
            Self::Unmanage => ("snapshot_extension:snapshot_unmanage", Demand::Admin),
            Self::Manage => ("snapshot_extension:snapshot_manage", Demand::Admin),
            Self::ListManageable => ("snapshot_extension:list_manageable", Demand::Admin),
            Self::GetVolumeMetadata => ("volume:get_volume_metadata", Demand::Reader),
            Self::CreateVolumeMetadata => ("volume:create_volume_metadata", Demand::Member),
            Self::UpdateVolumeMetadata => ("volume:update_volume_metadata", Demand::Member),
            Self::DeleteVolumeMetadata => ("volume:delete_volume_metadata", Demand::Member),
            Self::GetVolume => ("volume:get", Demand::Reader),
            Self::GetAllVolumes => ("volume:get_all", Demand::Reader),
            Self::CreateVolume => ("volume:create", Demand::Member),
            Self::UpdateVolume => ("volume:update", Demand::Member),
            Self::DeleteVolume => ("volume:delete", Demand::Member),
            Self::ForceDeleteVolume => ("volume:force_delete", Demand::Admin),
            Self::Revert => ("volume:revert_to_snapshot", Demand::Member),
            Self::ResetVolumeStatus => ("volume_extension:volume_admin_actions:reset_status", Demand::Admin),
            Self::ShowQuotas => ("volume_extension:quotas:show", Demand::Reader),
            Self::UpdateQuotas => ("volume_extension:quotas:update", Demand::Admin),
            Self::DeleteQuotas => ("volume_extension:quotas:delete", Demand::Admin),
            Self::UsedLimits => ("limits_extension:used_limits", Demand::Reader),
        }
    }
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
    const POLICY: [(Rule, &str, Least); 31] = [
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
        (Rule::ShowQuotas, "volume_extension:quotas:show", Least::Reader),
        (Rule::UpdateQuotas, "volume_extension:quotas:update", Least::Admin),
        (Rule::DeleteQuotas, "volume_extension:quotas:delete", Least::Admin),
        (Rule::UsedLimits, "limits_extension:used_limits", Least::Reader),
    ];

    #[test]
    fn each_role_is_allowed_what_cinder_allows_it() {
        let own: ProjectId = "a1".parse().expect("a project id");
        let other: ProjectId = "b2".parse().expect("a project id");
        let caller = |admin, member, reader| Caller {
            user_id: None,
            project_id: Some(own.clone()),
            roles: Roles { admin, member, reader },
        };
        let (admin, member) = (caller(true, false, false), caller(false, true, true));
        let (reader, nobody) = (caller(false, false, true), caller(false, false, false));
        for (position, (rule, name, least)) in POLICY.into_iter().enumerate() {
            assert_eq!(rule as usize, position, "{rule:?} has no row of its own");
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
