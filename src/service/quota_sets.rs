//! The quotas of projects and their use (`docs/spec/beyond.md` section 3, `docs/spec/lifecycle.md` section 6).

use crate::domain::ProjectId;
use crate::domain::quota::{self, Amounts, RESOURCES_OF_TYPE};

use super::policy::Rule;
use super::{Error, Service};

/// The resources that do not depend on volume types, in Cinder's order. `groups` comes last, after those that do.
const RESOURCES: [&str; 6] =
    ["volumes", "per_volume_gigabytes", "snapshots", "gigabytes", "backups", "backup_gigabytes"];

/// The quota of one resource of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// The name of the resource, with the name of its volume type.
    pub resource: String,
    /// The resource in the records, with the id of its volume type.
    key: String,
    pub limit: i64,
    /// The value of its counter, which is zero before the first reservation.
    pub in_use: i64,
    /// The amount that extensions under way have reserved.
    pub reserved: i64,
}

impl Service<'_> {
    /// Returns the quotas of a project.
    ///
    /// # Errors
    ///
    /// Not allowed.
    pub fn show_quota_set(&self, project_id: &ProjectId) -> Result<Vec<Quota>, Error> {
        self.caller.allow(Rule::ShowQuotas, project_id)?;
        self.quotas_of(Some(project_id), true)
    }

    /// Returns the default limits of a project, which apply where it has none of its own.
    ///
    /// # Errors
    ///
    /// Not allowed.
    pub fn default_quota_set(&self, project_id: &ProjectId) -> Result<Vec<Quota>, Error> {
        self.caller.allow(Rule::ShowQuotas, project_id)?;
        self.quotas_of(Some(project_id), false)
    }

    /// Returns the names that no quota has.
    ///
    /// # Errors
    ///
    /// An error of the store.
    pub fn unknown_quotas<'n>(
        &self,
        project_id: &ProjectId,
        names: impl Iterator<Item = &'n String>,
    ) -> Result<Vec<&'n str>, Error> {
        let known = self.quotas_of(Some(project_id), true)?;
        let is_unknown = |name: &&str| !known.iter().any(|quota| quota.resource == *name);
        Ok(names.map(String::as_str).filter(is_unknown).collect())
    }

    /// Sets limits of a project's own, all of them or none.
    ///
    /// # Errors
    ///
    /// Not allowed, or a limit below the current use.
    pub fn update_quota_set(&self, project_id: &ProjectId, limits: &Amounts) -> Result<Vec<Quota>, Error> {
        let known = self.quotas_of(Some(project_id), true)?;
        self.caller.allow(Rule::UpdateQuotas, project_id)?;
        // Cinder compares with the use only if the project already has a limit of its own.
        let own = self.store.project(project_id)?.map(|record| record.quotas).unwrap_or_default();
        let is_checked = |quota: &&Quota| quota.resource != "per_volume_gigabytes" && own.contains_key(&quota.key);
        for quota in known.iter().filter(is_checked) {
            let (resource, usage) = (&quota.resource, quota.in_use);
            if let Some(limit) = limits.get(resource).copied().filter(|limit| (0..usage).contains(limit)) {
                return Err(Error::BadRequest(format!(
                    "Quota {resource} limit must be equal or greater than existing resources. Current usage is \
                     {usage} and the requested limit is {limit}."
                )));
            }
        }
        let keys = known.into_iter().filter_map(|quota| Some((quota.key, *limits.get(&quota.resource)?)));
        let limits: Amounts = keys.collect();
        self.store.change_project(project_id, |record, _| {
            record.quotas.extend(limits.clone());
            Ok(())
        })?;
        self.quotas_of(Some(project_id), true)
    }

    /// Deletes a project's own limits.
    ///
    /// # Errors
    ///
    /// Not allowed.
    pub fn delete_quota_set(&self, project_id: &ProjectId) -> Result<(), Error> {
        self.caller.allow(Rule::DeleteQuotas, project_id)?;
        if self.store.project(project_id)?.is_some_and(|record| !record.quotas.is_empty()) {
            self.store.change_project(project_id, |record, _| {
                record.quotas = Amounts::new();
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Returns the quotas of the caller's project, or for an administrator those of the named project, and whether the
    /// caller may see the use.
    ///
    /// # Errors
    ///
    /// The caller has no project, or an error of the store.
    pub fn limits(&self, named: Option<&str>) -> Result<(Vec<Quota>, bool), Error> {
        self.caller.is_scoped()?;
        let named = named.filter(|_| self.caller.roles.admin);
        let project_id = match named {
            // An invalid project id gets the defaults, like a project that does not exist.
            Some(id) => id.parse().ok(),
            None => self.caller.project_id.clone(),
        };
        let shows_usage = self.caller.allow_own(Rule::UsedLimits).is_ok();
        Ok((self.quotas_of(project_id.as_ref(), true)?, shows_usage))
    }

    fn quotas_of(&self, project_id: Option<&ProjectId>, own_limits: bool) -> Result<Vec<Quota>, Error> {
        let limits = self.settings.get()?.limits;
        let (deployment, types) = self.store.deployment_and_volume_types()?;
        let record = match project_id {
            Some(project_id) => self.store.settled_project(project_id, self.now, &deployment)?,
            None => None,
        };
        let plain = |resource: &str| (resource.to_owned(), resource.to_owned());
        let of_types = types.types.iter().flat_map(|own| {
            RESOURCES_OF_TYPE.map(|resource| ([resource, "_", &own.name].concat(), quota::of_type(resource, own.id)))
        });
        let names = RESOURCES.iter().map(|resource| plain(resource)).chain(of_types).chain([plain("groups")]);
        let own_limit = |resource: &str| {
            record.as_ref().filter(|_| own_limits).and_then(|record| record.quotas.get(resource).copied())
        };
        let in_use = |resource: &str| record.as_ref().and_then(|record| record.usage.get(resource).copied());
        let quota = |(resource, key): (String, String)| Quota {
            limit: own_limit(&key).unwrap_or_else(|| deployment.default_limit(&key, limits)),
            in_use: in_use(&key).unwrap_or(0),
            reserved: record.as_ref().map_or(0, |record| record.reserved(&key)),
            resource,
            key,
        };
        Ok(names.map(quota).collect())
    }
}
