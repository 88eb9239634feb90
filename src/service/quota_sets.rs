//! What projects may hold and do hold (`spec/beyond.md` section 3, `spec/lifecycle.md` section 6).

use crate::domain::ProjectId;
use crate::domain::quota::Amounts;
use crate::store::deployment::Deployment;
use crate::store::projects::ProjectRecord;

use super::policy::Rule;
use super::volumes::DEFAULT_TYPE;
use super::{Error, Service};

/// The resources that exist whatever the volume types are, in Cinder's order; `groups` comes last of all.
const RESOURCES: [&str; 6] =
    ["volumes", "per_volume_gigabytes", "snapshots", "gigabytes", "backups", "backup_gigabytes"];

/// What exists once for each volume type.
const RESOURCES_OF_TYPE: [&str; 3] = ["volumes", "gigabytes", "snapshots"];

/// One resource of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    pub resource: String,
    pub limit: i64,
    /// What its counter says; zero before the first reservation.
    pub in_use: i64,
}

impl Service<'_> {
    /// The quotas of a project.
    ///
    /// # Errors
    ///
    /// Not allowed.
    pub fn show_quota_set(&self, project_id: &ProjectId) -> Result<Vec<Quota>, Error> {
        self.caller.allow(Rule::ShowQuotas, project_id)?;
        self.quotas_of(Some(project_id), true)
    }

    /// The limits that a project has as long as it has none of its own.
    ///
    /// # Errors
    ///
    /// Not allowed.
    pub fn default_quota_set(&self, project_id: &ProjectId) -> Result<Vec<Quota>, Error> {
        self.caller.allow(Rule::ShowQuotas, project_id)?;
        self.quotas_of(Some(project_id), false)
    }

    /// Which of these names are those of no quota.
    ///
    /// # Errors
    ///
    /// What the store gives.
    pub fn unknown_quotas<'n>(
        &self,
        project_id: &ProjectId,
        names: impl Iterator<Item = &'n String>,
    ) -> Result<Vec<&'n str>, Error> {
        let known = self.quotas_of(Some(project_id), true)?;
        let is_unknown = |name: &&str| !known.iter().any(|quota| quota.resource == *name);
        Ok(names.map(String::as_str).filter(is_unknown).collect())
    }

    /// Gives a project limits of its own, all or none of them.
    ///
    /// # Errors
    ///
    /// Not allowed, or less than what is in use.
    pub fn update_quota_set(&self, project_id: &ProjectId, limits: &Amounts) -> Result<Vec<Quota>, Error> {
        let known = self.quotas_of(Some(project_id), true)?;
        self.caller.allow(Rule::UpdateQuotas, project_id)?;
        // Cinder asks for what is in use only where the project has a limit of its own already.
        let own = self.store.project(project_id)?.map(|record| record.quotas).unwrap_or_default();
        let is_checked = |quota: &&Quota| quota.resource != "per_volume_gigabytes" && own.contains_key(&quota.resource);
        for quota in known.iter().filter(is_checked) {
            let (resource, usage) = (&quota.resource, quota.in_use);
            if let Some(limit) = limits.get(resource).copied().filter(|limit| (0..usage).contains(limit)) {
                return Err(Error::BadRequest(format!(
                    "Quota {resource} limit must be equal or greater than existing resources. Current usage is \
                     {usage} and the requested limit is {limit}."
                )));
            }
        }
        self.store.change_project(project_id, |record, _| {
            record.quotas.extend(limits.clone());
            Ok(())
        })?;
        self.quotas_of(Some(project_id), true)
    }

    /// Takes a project's own limits away.
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

    /// The limits of the caller's project, or for an administrator of the one that is named; with what is in use,
    /// if the caller may know.
    ///
    /// # Errors
    ///
    /// What the store gives.
    pub fn limits(&self, named: Option<&str>) -> Result<(Vec<Quota>, bool), Error> {
        self.caller.is_scoped()?;
        let named = named.filter(|_| self.caller.roles.admin);
        let project_id = match named {
            // A project that cannot exist has the defaults, as one that does not exist.
            Some(text) => text.parse().ok(),
            None => self.caller.project_id.clone(),
        };
        let shows_usage = self.caller.allow_own(Rule::UsedLimits).is_ok();
        Ok((self.quotas_of(project_id.as_ref(), true)?, shows_usage))
    }

    fn quotas_of(&self, project_id: Option<&ProjectId>, own_limits: bool) -> Result<Vec<Quota>, Error> {
        let limits = self.settings.get()?.limits;
        let deployment = self.store.deployment()?;
        let record = match project_id {
            Some(project_id) => self.store.settled_project(project_id, self.now, &deployment)?,
            None => None,
        };
        let names = RESOURCES
            .iter()
            .map(|resource| (*resource).to_owned())
            .chain(
                volume_types(record.as_ref(), &deployment)
                    .into_iter()
                    .flat_map(|volume_type| RESOURCES_OF_TYPE.map(|resource| format!("{resource}_{volume_type}"))),
            )
            .chain(["groups".to_owned()]);
        let own_limit = |resource: &str| {
            record.as_ref().filter(|_| own_limits).and_then(|record| record.quotas.get(resource).copied())
        };
        let in_use = |resource: &str| record.as_ref().and_then(|record| record.usage.get(resource).copied());
        let quota = |resource: String| Quota {
            limit: own_limit(&resource).unwrap_or_else(|| deployment.default_limit(&resource, limits)),
            in_use: in_use(&resource).unwrap_or(0),
            resource,
        };
        Ok(names.map(quota).collect())
    }
}

/// The volume types that anything is known of, the default one first.
fn volume_types(record: Option<&ProjectRecord>, deployment: &Deployment) -> Vec<String> {
    let mut types = vec![DEFAULT_TYPE.to_owned()];
    let known = record.map(|record| record.totals.keys().chain(record.quotas.keys())).into_iter().flatten();
    for resource in known.chain(deployment.quotas.keys()) {
        let of_type = ["volumes_", "snapshots_", "gigabytes_"].iter().find_map(|prefix| resource.strip_prefix(prefix));
        if let Some(volume_type) = of_type.filter(|volume_type| !types.iter().any(|known| known == volume_type)) {
            types.push(volume_type.to_owned());
        }
    }
    types
}
