//! Quota checks for new rows.

use crate::domain::quota::{self, Amounts, Counted, QuotaRefusal};
use crate::store::deployment::Deployment;
use crate::store::projects::ProjectRecord;

use super::{Error, Service};

impl Service<'_> {
    /// Refuses a new row if the project's quota has no room for it. Rows that are removed already and only wait for the
    /// scheduled step do not count.
    pub(super) fn admit(
        &self,
        record: &ProjectRecord,
        counted: Counted,
        requested: &Amounts,
        deployment: &Deployment,
    ) -> Result<(), Error> {
        let limits = self.settings.get()?.limits;
        let limit_of = |resource: &str| {
            record.quotas.get(resource).copied().unwrap_or_else(|| deployment.default_limit(resource, limits))
        };
        let refusal = match quota::admit(counted, requested, limit_of, |resource| record.in_use(resource)) {
            Ok(()) => return Ok(()),
            Err(refusal) => refusal,
        };
        match self.store.settled_project(&record.project, self.now, deployment)? {
            Some(settled) => Ok(quota::admit(counted, requested, limit_of, |resource| settled.in_use(resource))?),
            None => Err(refusal.into()),
        }
    }

    /// Refuses a volume that is larger than the project's limit for one volume.
    pub(super) fn admit_size_of_volume(
        &self,
        record: &ProjectRecord,
        size: u32,
        deployment: &Deployment,
    ) -> Result<(), Error> {
        const RESOURCE: &str = "per_volume_gigabytes";
        let limits = self.settings.get()?.limits;
        let own = record.quotas.get(RESOURCE).copied();
        let limit = own.unwrap_or_else(|| deployment.default_limit(RESOURCE, limits));
        if (0..i64::from(size)).contains(&limit) {
            return Err(QuotaRefusal::GigabytesOfOneVolume { requested: i64::from(size), limit }.into());
        }
        Ok(())
    }
}
