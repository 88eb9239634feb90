//! Quota checks for new rows.

use crate::domain::ProjectId;
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
        let refusal = match quota::admit(counted, requested, limit_of, |resource| record.used(resource)) {
            Ok(()) => return Ok(()),
            Err(refusal) => refusal,
        };
        let settled = self.store.settled_project(&record.project, self.now, deployment)?;
        let admitted = settled.map_or(Err(refusal), |settled| {
            quota::admit(counted, requested, limit_of, |resource| settled.used(resource))
        });
        match admitted {
            // Only the message needs the names of types.
            Err(refusal) if refusal.names_type() => Err(refusal.with_names(&self.store.volume_types()?).into()),
            admitted => Ok(admitted?),
        }
    }

    /// Opens the counters of a refused request that are not open. Cinder opens a counter when it reserves from it, before
    /// it compares the reservation with the limit.
    pub(super) fn open_counters<R>(
        &self,
        outcome: Result<R, Error>,
        project: &ProjectId,
        requested: &Amounts,
    ) -> Result<R, Error> {
        let is_refused = |error: &Error| matches!(error, Error::OverQuota(refusal) if !matches!(refusal, QuotaRefusal::GigabytesOfOneVolume { .. }));
        if outcome.as_ref().err().is_some_and(is_refused) {
            self.open(project, requested)?;
        }
        outcome
    }

    /// Opens the counters of a request, as Cinder does when it reserves from them.
    pub(super) fn open(&self, project: &ProjectId, requested: &Amounts) -> Result<(), Error> {
        let is_open = |record: ProjectRecord| requested.keys().all(|resource| record.usage.contains_key(resource));
        if !self.store.project(project)?.is_some_and(is_open) {
            self.store.change_project(project, |record, _| {
                record.open(requested);
                Ok(())
            })?;
        }
        Ok(())
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
