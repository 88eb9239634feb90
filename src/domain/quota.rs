//! The quota of a project, and the check of a request against it (`docs/spec/lifecycle.md` section 6).
//!
//! Resources are named as in Cinder: `snapshots`, `gigabytes`, `volumes`, and each of these with `_TYPE` for a volume
//! type. Here the id of the type follows, and nothing for [`VolumeTypeId::DEFAULT`], the type of most volumes, so that
//! records stay short. Clients are shown the name.

use std::collections::BTreeMap;

use super::identifiers::prefixed;
use super::{VolumeTypeId, VolumeTypes};

/// Counters or limits by resource name.
pub type Amounts = BTreeMap<String, i64>;

/// Default limits, from the Spin variables, for projects without their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefaultLimits {
    pub snapshots: i64,
    pub gigabytes: i64,
}

impl DefaultLimits {
    /// Returns the limit of a resource, if there is a variable for it.
    #[must_use]
    pub fn get(self, resource: &str) -> Option<i64> {
        match resource {
            "snapshots" => Some(self.snapshots),
            "gigabytes" => Some(self.gigabytes),
            _ => None,
        }
    }
}

/// The value of a limit that stands for no limit.
pub const UNLIMITED: i64 = -1;

/// The largest count that Cinder's database holds.
const LARGEST_USAGE: i64 = 2_147_483_647;

/// The reason why a request does not fit. The messages are Cinder's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuotaRefusal {
    #[error("SnapshotLimitExceeded: Maximum number of snapshots allowed ({limit}) exceeded")]
    Snapshots { limit: i64 },
    #[error("BackupLimitExceeded: Maximum number of backups allowed ({limit}) exceeded")]
    Backups { limit: i64 },
    #[error(
        "VolumeBackupSizeExceedsAvailableQuota: Requested backup exceeds allowed Backup gigabytes quota. \
         Requested {requested}G, quota is {limit}G and {used}G has been consumed."
    )]
    BackupGigabytes { requested: i64, limit: i64, used: i64 },
    #[error("GroupLimitExceeded: Maximum number of groups allowed ({limit}) exceeded")]
    Groups { limit: i64 },
    #[error("VolumeLimitExceeded: Maximum number of volumes allowed ({limit}) exceeded for quota '{resource}'.")]
    Volumes { limit: i64, resource: String },
    #[error(
        "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed {resource} quota. \
         Requested {requested}G, quota is {limit}G and {used}G has been consumed."
    )]
    Gigabytes { resource: String, requested: i64, limit: i64, used: i64 },
    #[error(
        "VolumeSizeExceedsLimit: Requested volume size {requested}G is larger than maximum allowed limit {limit}G."
    )]
    GigabytesOfOneVolume { requested: i64, limit: i64 },
    #[error(
        "QuotaUsageOverflow: Quota usage would overflow for resources: [{}]. \
         The requested operation would exceed the maximum allowed value ({LARGEST_USAGE}) for quota tracking.",
        resources.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
    )]
    Overflow { resources: Vec<String> },
}

impl QuotaRefusal {
    /// Returns whether the message names a resource of a volume type.
    #[must_use]
    pub fn names_type(&self) -> bool {
        match self {
            Self::Volumes { resource, .. } | Self::Gigabytes { resource, .. } => type_of(resource).is_some(),
            Self::Overflow { .. } => true,
            Self::Snapshots { .. }
            | Self::Backups { .. }
            | Self::BackupGigabytes { .. }
            | Self::Groups { .. }
            | Self::GigabytesOfOneVolume { .. } => false,
        }
    }

    /// Returns the refusal with the names of volume types in place of their ids.
    #[must_use]
    pub fn with_names(mut self, types: &VolumeTypes) -> Self {
        let resources = match &mut self {
            Self::Volumes { resource, .. } | Self::Gigabytes { resource, .. } => std::slice::from_mut(resource),
            Self::Overflow { resources } => resources.as_mut_slice(),
            Self::Snapshots { .. }
            | Self::Backups { .. }
            | Self::BackupGigabytes { .. }
            | Self::Groups { .. }
            | Self::GigabytesOfOneVolume { .. } => &mut [],
        };
        for resource in resources {
            *resource = types.resource_name(resource);
        }
        self
    }
}

/// A kind of resource that counts towards quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    Snapshots,
    Volumes,
    Backups,
    Groups,
}

impl Counted {
    /// Returns the name of the resource that counts one for each row.
    #[must_use]
    pub const fn resource(self) -> &'static str {
        match self {
            Self::Snapshots => "snapshots",
            Self::Volumes => "volumes",
            Self::Backups => "backups",
            Self::Groups => "groups",
        }
    }
}

/// The sizes of backups together. They do not count towards `gigabytes`.
const BACKUP_GIGABYTES: &str = "backup_gigabytes";

/// The resources that exist once for each volume type, in Cinder's order.
pub const RESOURCES_OF_TYPE: [&str; 3] = ["volumes", "gigabytes", "snapshots"];

/// Returns the name of a resource for one volume type.
#[must_use]
pub fn of_type(resource: &str, id: VolumeTypeId) -> String {
    let prefix = match resource {
        "volumes" => "volumes_",
        "gigabytes" => "gigabytes_",
        _ => "snapshots_",
    };
    if id == VolumeTypeId::DEFAULT { prefix.to_owned() } else { prefixed(prefix, id.as_uuid()) }
}

/// Splits the name of a resource of a volume type into the resource and the type.
#[must_use]
pub fn type_of(resource: &str) -> Option<(&'static str, VolumeTypeId)> {
    let id = |suffix: &str| if suffix.is_empty() { Some(VolumeTypeId::DEFAULT) } else { suffix.parse().ok() };
    RESOURCES_OF_TYPE
        .into_iter()
        .find_map(|prefix| Some((prefix, id(resource.strip_prefix(prefix)?.strip_prefix('_')?)?)))
}

/// Returns the amounts that one row of `size` GiB and of a type adds to the counters. A group has neither.
#[must_use]
pub fn amounts_of(counted: Counted, size: u32, volume_type: Option<VolumeTypeId>, with_gigabytes: bool) -> Amounts {
    let mut amounts = Amounts::new();
    amounts.insert(counted.resource().to_owned(), 1);
    if counted == Counted::Backups {
        amounts.insert(BACKUP_GIGABYTES.to_owned(), i64::from(size));
    }
    if matches!(counted, Counted::Backups | Counted::Groups) {
        return amounts;
    }
    if with_gigabytes {
        amounts.insert("gigabytes".to_owned(), i64::from(size));
    }
    if let Some(volume_type) = volume_type {
        amounts.insert(of_type(counted.resource(), volume_type), 1);
        if with_gigabytes {
            amounts.insert(of_type("gigabytes", volume_type), i64::from(size));
        }
    }
    amounts
}

/// Returns the amounts that an extension of a volume of a type adds to the counters.
#[must_use]
pub fn amounts_of_extension(increase: u32, volume_type: Option<VolumeTypeId>) -> Amounts {
    let mut amounts = amounts_of(Counted::Volumes, increase, volume_type, true);
    amounts.retain(|resource, _| resource.starts_with("gigabytes"));
    amounts
}

/// Checks that an extension fits. As in Cinder, the refusal shows the figures of `gigabytes`, whichever counter refuses.
///
/// # Errors
///
/// Fails with the refusal that Cinder would answer.
pub fn admit_extension(
    requested: &Amounts,
    limit_of: impl Fn(&str) -> i64,
    used: impl Fn(&str) -> i64,
) -> Result<(), QuotaRefusal> {
    admit(Counted::Volumes, requested, &limit_of, &used).map_err(|refusal| match refusal {
        QuotaRefusal::Gigabytes { requested, .. } => {
            let resource = "gigabytes".to_owned();
            QuotaRefusal::Gigabytes { limit: limit_of(&resource), used: used(&resource), resource, requested }
        }
        refusal => refusal,
    })
}

/// Checks that `requested` fits: no counter may exceed the largest count, or its limit if it has one. If several
/// counters exceed their limits, the first name in sorted order decides.
///
/// # Errors
///
/// Fails with the refusal that Cinder would answer.
pub fn admit(
    counted: Counted,
    requested: &Amounts,
    limit_of: impl Fn(&str) -> i64,
    used: impl Fn(&str) -> i64,
) -> Result<(), QuotaRefusal> {
    let resources: Vec<String> = requested
        .iter()
        .filter(|(name, amount)| **amount > 0 && used(name).saturating_add(**amount) > LARGEST_USAGE)
        .map(|(name, _)| name.clone())
        .collect();
    if !resources.is_empty() {
        return Err(QuotaRefusal::Overflow { resources });
    }
    for (name, amount) in requested {
        let limit = limit_of(name);
        if limit < 0 || used(name).saturating_add(*amount) <= limit {
            continue;
        }
        return Err(if name.starts_with("gigabytes") {
            let requested = requested.get("gigabytes").copied().unwrap_or(*amount);
            QuotaRefusal::Gigabytes { resource: name.clone(), requested, limit, used: used(name) }
        } else if name == BACKUP_GIGABYTES {
            QuotaRefusal::BackupGigabytes { requested: *amount, limit, used: used(name) }
        } else {
            match counted {
                Counted::Backups => QuotaRefusal::Backups { limit },
                Counted::Snapshots => QuotaRefusal::Snapshots { limit },
                Counted::Volumes => QuotaRefusal::Volumes { limit, resource: name.clone() },
                Counted::Groups => QuotaRefusal::Groups { limit },
            }
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(limits: &[(&str, i64)], used: &[(&str, i64)]) -> Option<String> {
        let mut types = VolumeTypes::default();
        let mut amounts = |pairs: &[(&str, i64)]| -> Amounts {
            pairs.iter().map(|(name, amount)| (types.resource_of_document(name), *amount)).collect()
        };
        let (limits, used) = (amounts(limits), amounts(used));
        types.id_of("fast");
        admit(
            Counted::Snapshots,
            &amounts_of(Counted::Snapshots, 5, Some(VolumeTypeId::of_name("fast")), true),
            |name| limits.get(name).copied().unwrap_or(UNLIMITED),
            |name| used.get(name).copied().unwrap_or(0),
        )
        .err()
        .map(|refusal| refusal.with_names(&types).to_string())
    }

    #[test]
    fn the_first_resource_in_sorted_order_that_is_over_decides() {
        assert_eq!(refusal(&[], &[]), None);
        assert_eq!(refusal(&[("gigabytes", 5), ("snapshots", 1)], &[]), None);
        let gigabytes = "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes quota. \
                         Requested 5G, quota is 7G and 5G has been consumed.";
        assert_eq!(refusal(&[("gigabytes", 7), ("snapshots", 0)], &[("gigabytes", 5)]).as_deref(), Some(gigabytes));
        let of_type = "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes_fast quota. \
                       Requested 5G, quota is 0G and 0G has been consumed.";
        assert_eq!(refusal(&[("gigabytes_fast", 0), ("snapshots", 0)], &[]).as_deref(), Some(of_type));
        let snapshots = "SnapshotLimitExceeded: Maximum number of snapshots allowed (0) exceeded";
        assert_eq!(refusal(&[("snapshots_fast", 0)], &[]).as_deref(), Some(snapshots));
    }

    #[test]
    fn an_overflow_beats_every_limit() {
        let message = refusal(&[("snapshots", 0)], &[("gigabytes", LARGEST_USAGE), ("gigabytes_fast", LARGEST_USAGE)]);
        assert!(message.is_some_and(|message| message.contains("['gigabytes', 'gigabytes_fast']")));
    }
}
