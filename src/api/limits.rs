//! The absolute limits of a project (`docs/spec/beyond.md` section 3).

use http::StatusCode;
use serde_json::{Map, json};

use super::call::Call;
use super::microversion;
use super::wire::faults::Fault;
use super::wire::reply::Reply;

/// Each resource, with the name of its limit and the name of its usage.
const NAMES: [(&str, &str, &str); 5] = [
    ("volumes", "maxTotalVolumes", "totalVolumesUsed"),
    ("snapshots", "maxTotalSnapshots", "totalSnapshotsUsed"),
    ("gigabytes", "maxTotalVolumeGigabytes", "totalGigabytesUsed"),
    ("backups", "maxTotalBackups", "totalBackupsUsed"),
    ("backup_gigabytes", "maxTotalBackupGigabytes", "totalBackupGigabytesUsed"),
];

/// `GET .../limits`
pub fn show(call: &Call<'_>) -> Result<Reply, Fault> {
    let named = call.parameters.get("project_id").or_else(|| call.parameters.get("tenant_id"));
    let named = named.filter(|_| call.version >= microversion::LIMITS_OF_PROJECT);
    let (quotas, shows_usage) = call.service.limits(named)?;
    let mut absolute = Map::new();
    for (resource, limit_name, usage_name) in NAMES {
        if let Some(quota) = quotas.iter().find(|quota| quota.resource == resource) {
            absolute.insert(limit_name.to_owned(), quota.limit.into());
            if shows_usage {
                absolute.insert(usage_name.to_owned(), quota.in_use.into());
            }
        }
    }
    Reply::json(StatusCode::OK, &json!({ "limits": { "rate": [], "absolute": absolute } }))
}
