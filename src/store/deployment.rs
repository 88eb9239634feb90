//! The settings of the whole deployment that an operator may change: default quotas, the health of backend services,
//! the allowed filters, and the settings named `config` in `tests/it/conformance/test-vectors.json`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::domain::Timestamp;
use crate::domain::backup::{BackupId, Placement};
use crate::domain::quota::{Amounts, DefaultLimits, UNLIMITED};

/// A service of the deployment, such as a backend. The fields that came later have defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about a service, as Cinder has them")]
pub struct BackendService {
    /// The host, as `host@backend`.
    pub host: String,
    pub binary: String,
    pub disabled: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_reason: Option<String>,
    /// Whether modifications are refused.
    pub frozen: bool,
    #[serde(default = "nova", skip_serializing_if = "is_nova")]
    pub availability_zone: String,
    pub up: bool,
    /// The time of the last change by an administrator, which a service that is down shows as its last report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Timestamp>,
    /// Whether the service does not exist, which takes one of the standing services away.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub absent: bool,
}

/// The zone of the services, unless an operator says otherwise.
const ZONE: &str = "nova";

fn nova() -> String {
    ZONE.to_owned()
}

fn is_nova(zone: &str) -> bool {
    zone == ZONE
}

/// The binary of the services that keep volumes.
pub const VOLUME_BINARY: &str = "cinder-volume";

/// The binary of the services that make backups.
const BACKUP_BINARY: &str = "cinder-backup";

/// The services that every deployment has, unless an operator takes them away: their hosts and binaries.
const STANDING: [(&str, &str); 3] =
    [("host1", "cinder-scheduler"), ("host1@lvm", VOLUME_BINARY), ("host1", BACKUP_BINARY)];

impl BackendService {
    /// Returns a service that is enabled and up.
    #[must_use]
    pub fn new(host: &str, binary: &str) -> Self {
        Self {
            host: host.to_owned(),
            binary: binary.to_owned(),
            disabled: false,
            disabled_reason: None,
            frozen: false,
            availability_zone: nova(),
            up: true,
            updated_at: None,
            absent: false,
        }
    }

    /// Returns whether the scheduler gives work to this service.
    #[must_use]
    pub const fn is_usable(&self) -> bool {
        !self.absent && !self.disabled && !self.frozen && self.up
    }
}

/// The deployment's record. Every field has a default, so an empty store has a deployment too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Default limits that an operator has set. They take precedence over the variables.
    #[serde(default)]
    pub quotas: Amounts,
    /// The services that differ from the standing ones. [`Deployment::all_services`] has all.
    #[serde(default)]
    pub services: Vec<BackendService>,
    /// The allowed filters by resource. `None` means Cinder's defaults.
    #[serde(default)]
    pub resource_filters: Option<BTreeMap<String, Vec<String>>>,
    /// Whether snapshots do not count towards `gigabytes`.
    #[serde(default)]
    pub no_snapshot_gb_quota: Option<bool>,
    /// The largest page of results, if an operator has set it.
    #[serde(default)]
    pub osapi_max_limit: Option<u32>,
    /// The backups whose records are being imported, each with the time of the request. A record brings its own id, so only a
    /// value that all projects share can tell that two imports bring the same.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub imports: BTreeMap<BackupId, Timestamp>,
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

    /// Returns the volume service of a volume's host, unless nothing is known of it but that it stands.
    #[must_use]
    pub fn service_of(&self, host: &str) -> Option<&BackendService> {
        let backend = host.split('#').next().unwrap_or(host);
        self.services.iter().find(|service| service.host == backend && service.binary == VOLUME_BINARY)
    }

    /// Returns whether the scheduler finds the backend of a volume's host. A backend of which nothing is known is found,
    /// since operators need not name their services.
    #[must_use]
    pub fn finds_backend(&self, host: &str) -> bool {
        self.service_of(host).is_none_or(BackendService::is_usable)
    }

    /// Returns a backup service that takes work in a zone, or in any zone if none is named.
    #[must_use]
    pub fn backup_service(&self, zone: Option<&str>) -> Option<Placement> {
        let is_in_zone = |own: &str| zone.is_none_or(|zone| zone.is_empty() || zone == own);
        let takes_work = |service: &BackendService| {
            service.binary == BACKUP_BINARY && service.is_usable() && is_in_zone(&service.availability_zone)
        };
        let BackendService { host, availability_zone, .. } = self.all_services().into_iter().find(takes_work)?;
        Some(Placement { host, availability_zone })
    }

    /// Returns all services: the standing ones, and those that an operator has named.
    #[must_use]
    pub fn all_services(&self) -> Vec<BackendService> {
        let mut all: Vec<BackendService> =
            STANDING.iter().map(|(host, binary)| BackendService::new(host, binary)).collect();
        for service in &self.services {
            match all.iter_mut().find(|own| own.host == service.host && own.binary == service.binary) {
                Some(own) => own.clone_from(service),
                None => all.push(service.clone()),
            }
        }
        all.retain(|service| !service.absent);
        all
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
