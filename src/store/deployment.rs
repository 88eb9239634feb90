//! The settings of the whole deployment that an operator may change: default quotas, the health of backend services,
//! the allowed filters, and the settings named `config` in `tests/it/conformance/test-vectors.json`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::domain::GroupSnapshotId;
use crate::domain::quota::{Amounts, DefaultLimits, UNLIMITED};

/// A backend service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendService {
    /// The host, as `host@backend`.
    pub host: String,
    pub binary: String,
    pub disabled: bool,
    /// Whether modifications are refused.
    pub frozen: bool,
    pub up: bool,
}

/// A group snapshot. This service only needs to know that it exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSnapshot {
    pub id: GroupSnapshotId,
    pub group_id: Option<String>,
    pub status: String,
}

/// The deployment's record. Every field has a default, so an empty store has a deployment too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Default limits that an operator has set. They take precedence over the variables.
    #[serde(default)]
    pub quotas: Amounts,
    #[serde(default)]
    pub services: Vec<BackendService>,
    /// The allowed filters by resource. `None` means Cinder's defaults.
    #[serde(default)]
    pub resource_filters: Option<BTreeMap<String, Vec<String>>>,
    #[serde(default)]
    pub group_snapshot: Option<GroupSnapshot>,
    /// Whether snapshots do not count towards `gigabytes`.
    #[serde(default)]
    pub no_snapshot_gb_quota: Option<bool>,
    /// The largest page of results, if an operator has set it.
    #[serde(default)]
    pub osapi_max_limit: Option<u32>,
}

impl Deployment {
    /// Returns the default limit for a resource: the operator's, the variable's, or Cinder's.
    #[must_use]
    pub fn default_limit(&self, resource: &str, of_variables: DefaultLimits) -> i64 {
        self.quotas
            .get(resource)
            .copied()
            .or_else(|| of_variables.get(resource))
            .unwrap_or_else(|| cinder_default(resource))
    }

    /// Returns whether a volume's backend is frozen. `host` is `host@backend#pool`. Services are named without the
    /// pool.
    #[must_use]
    pub fn is_frozen(&self, host: &str) -> bool {
        self.service_of(host).is_some_and(|service| service.frozen)
    }

    /// Returns the volume service of a volume's host.
    #[must_use]
    pub fn service_of(&self, host: &str) -> Option<&BackendService> {
        let backend = host.split('#').next().unwrap_or(host);
        self.services.iter().find(|service| service.host == backend && service.binary == "cinder-volume")
    }

    /// Returns whether snapshots count towards `gigabytes`.
    #[must_use]
    pub fn snapshots_count_gigabytes(&self) -> bool {
        !self.no_snapshot_gb_quota.unwrap_or(false)
    }
}

/// Returns Cinder's default limit. A resource of a volume type has none.
fn cinder_default(resource: &str) -> i64 {
    match resource {
        "volumes" | "snapshots" | "backups" | "groups" => 10,
        "gigabytes" | "backup_gigabytes" => 1000,
        _ => UNLIMITED,
    }
}
