//! What concerns the whole deployment and may be set by an operator: default quotas, the health of backend services,
//! the allowed filters, and the settings that vectors call `config`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::domain::GroupSnapshotId;
use crate::domain::quota::{Amounts, DefaultLimits, UNLIMITED};

/// A backend service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendService {
    /// `host@backend`.
    pub host: String,
    pub binary: String,
    pub disabled: bool,
    /// Whether modifications are refused.
    pub frozen: bool,
    pub up: bool,
}

/// A group snapshot; only its existence concerns us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSnapshot {
    pub id: GroupSnapshotId,
    pub group_id: Option<String>,
    pub status: String,
}

/// The record; every field has a default, so an empty store has one too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Default limits that an operator has set; they win over the variables.
    #[serde(default)]
    pub quotas: Amounts,
    #[serde(default)]
    pub services: Vec<BackendService>,
    /// Allowed filters by resource; none means Cinder's defaults.
    #[serde(default)]
    pub resource_filters: Option<BTreeMap<String, Vec<String>>>,
    #[serde(default)]
    pub group_snapshot: Option<GroupSnapshot>,
    /// Whether snapshots leave the `gigabytes` counters alone.
    #[serde(default)]
    pub no_snapshot_gb_quota: Option<bool>,
    /// The largest page, where an operator has set it.
    #[serde(default)]
    pub osapi_max_limit: Option<u32>,
}

impl Deployment {
    /// The limit for a resource before any project's own: an operator's, a variable's, or Cinder's default.
    #[must_use]
    pub fn default_limit(&self, resource: &str, of_variables: DefaultLimits) -> i64 {
        self.quotas
            .get(resource)
            .copied()
            .or_else(|| of_variables.get(resource))
            .unwrap_or_else(|| cinder_default(resource))
    }

    /// Whether a volume's backend is frozen. `host` is `host@backend#pool`; services are named without the pool.
    #[must_use]
    pub fn is_frozen(&self, host: &str) -> bool {
        self.service_of(host).is_some_and(|service| service.frozen)
    }

    /// The volume service of a volume's host.
    #[must_use]
    pub fn service_of(&self, host: &str) -> Option<&BackendService> {
        let backend = host.split('#').next().unwrap_or(host);
        self.services.iter().find(|service| service.host == backend && service.binary == "cinder-volume")
    }

    /// Whether snapshots count towards `gigabytes`.
    #[must_use]
    pub fn snapshots_count_gigabytes(&self) -> bool {
        !self.no_snapshot_gb_quota.unwrap_or(false)
    }
}

/// Cinder's own defaults; a resource of a volume type has no limit.
fn cinder_default(resource: &str) -> i64 {
    match resource {
        "volumes" | "snapshots" | "backups" | "groups" => 10,
        "gigabytes" | "backup_gigabytes" => 1000,
        _ => UNLIMITED,
    }
}
