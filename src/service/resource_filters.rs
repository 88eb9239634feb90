//! The filters that members may use in lists (`docs/spec/beyond.md` section 3, `docs/spec/listing.md` section 4.1).

use crate::store::deployment::Deployment;

use super::{Error, Service};

/// The filters of each resource in Cinder's `etc/cinder/resource_filters.json`.
const DEFAULT: [(&str, &[&str]); 9] = [
    (
        "volume",
        &[
            "name",
            "status",
            "metadata",
            "bootable",
            "migration_status",
            "availability_zone",
            "group_id",
            "size",
            "created_at",
            "updated_at",
            "consumes_quota",
        ],
    ),
    ("backup", &["name", "status", "volume_id"]),
    ("snapshot", &["name", "status", "volume_id", "metadata", "availability_zone", "consumes_quota"]),
    ("group", &["name"]),
    ("group_snapshot", &["name", "status", "group_id"]),
    ("attachment", &["volume_id", "status", "instance_id", "attach_status"]),
    ("message", &["resource_uuid", "resource_type", "event_id", "request_id", "message_level"]),
    ("pool", &["name", "volume_type"]),
    ("volume_type", &["is_public", "extra_specs"]),
];

/// Returns the filters that members may use on a resource: the operator's if any are set, otherwise Cinder's defaults.
pub(super) fn allowed(resource: &str, deployment: &Deployment) -> Vec<String> {
    if let Some(filters) = &deployment.resource_filters {
        filters.get(resource).cloned().unwrap_or_default()
    } else {
        let default = DEFAULT.iter().find(|(name, _)| *name == resource);
        default.map(|(_, filters)| owned(filters)).unwrap_or_default()
    }
}

fn owned(filters: &[&str]) -> Vec<String> {
    filters.iter().map(|name| (*name).to_owned()).collect()
}

impl Service<'_> {
    /// Returns the filters that members may use on one resource.
    ///
    /// # Errors
    ///
    /// Errors of the store.
    pub fn allowed_filters(&self, resource: &str) -> Result<Vec<String>, Error> {
        Ok(allowed(resource, &self.store.deployment()?))
    }

    /// Returns the filters that members may use on each resource.
    ///
    /// # Errors
    ///
    /// Errors of the store.
    pub fn resource_filters(&self) -> Result<Vec<(String, Vec<String>)>, Error> {
        let deployment = self.store.deployment()?;
        Ok(match &deployment.resource_filters {
            Some(filters) => filters.iter().map(|(name, filters)| (name.clone(), filters.clone())).collect(),
            None => DEFAULT.iter().map(|(name, filters)| ((*name).to_owned(), owned(filters))).collect(),
        })
    }
}
