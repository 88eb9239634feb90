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
    ShowQuotas: "volume_extension:quotas:show", Reader;
    UpdateQuotas: "volume_extension:quotas:update", Admin;
    DeleteQuotas: "volume_extension:quotas:delete", Admin;
    UsedLimits: "limits_extension:used_limits", Reader;
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
