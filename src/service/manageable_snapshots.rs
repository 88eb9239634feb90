//! Managing snapshots that already exist on a backend (`docs/spec/lifecycle.md` section 5).

use crate::domain::{Completion, Snapshot};
use crate::store::deployment::{Deployment, VOLUME_BINARY};

use super::listing::on_host;
use super::policy::Rule;
use super::snapshots::NewSnapshot;
use super::{Error, Service};

/// The backend whose manageable snapshots are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backend {
    Host(String),
    Cluster(String),
}

impl Service<'_> {
    /// Brings a backend's snapshot under management. The backend or the clock finishes the work later.
    ///
    /// # Errors
    ///
    /// The first failure of these checks: the volume, policy, the volume's service, and the checks of a create.
    pub fn manage_snapshot(&self, new: NewSnapshot) -> Result<Snapshot, Error> {
        let (volume, deployment) = self.readable_volume_and_deployment(new.volume_id.as_deref())?;
        self.caller.allow(Rule::Manage, &volume.project_id)?;
        // No service here is in a cluster, so none is usable for a clustered volume.
        let host = volume.host.as_deref();
        service_is_usable(&deployment, host, volume.is_clustered())?;
        self.caller.allow(Rule::CreateSnapshot, &volume.project_id)?;
        volume.may_be_snapshotted(true)?;
        let snapshot = self.begin_snapshot(new, &volume, Completion::Manage)?;
        self.save_new_snapshot(&snapshot, &volume, &deployment)?;
        Ok(snapshot)
    }

    /// Checks that the caller may list manageable snapshots.
    ///
    /// # Errors
    ///
    /// Not allowed.
    pub fn may_list_manageable_snapshots(&self) -> Result<(), Error> {
        if self.caller.roles.admin { Ok(()) } else { Err(Error::Forbidden(Rule::ListManageable)) }
    }

    /// Lists the manageable snapshots of a backend. There are never any, since no backend is attached. Only the service
    /// is checked.
    ///
    /// # Errors
    ///
    /// No such service, or it is not usable.
    pub fn manageable_snapshots(&self, backend: &Backend) -> Result<(), Error> {
        match backend {
            Backend::Host(host) => service_is_usable(&self.store.deployment()?, Some(host), false),
            // No service here is in a cluster.
            Backend::Cluster(_) => Err(Error::NotFound("Service cinder-volume could not be found.".to_owned())),
        }
    }
}

/// Checks that the volume service of a host is usable. The pool does not matter, and as in Cinder a host without a
/// backend means the first service on it.
fn service_is_usable(deployment: &Deployment, host: Option<&str>, is_clustered: bool) -> Result<(), Error> {
    // Without a host, Cinder accepts any service.
    let host = host.filter(|host| !host.is_empty());
    let backend = host.and_then(|host| host.split('#').next());
    let is_meant = |own: &str| !is_clustered && backend.is_none_or(|backend| on_host(own, backend));
    let services = deployment.all_services();
    let mut services = services.iter().filter(|service| service.binary == VOLUME_BINARY);
    let Some(service) = services.find(|service| is_meant(&service.host)) else {
        let location =
            host.map_or(String::new(), |host| format!(" on host {}", host.split('#').next().unwrap_or(host)));
        return Err(Error::NotFound(format!("Service cinder-volume could not be found{location}.")));
    };
    if service.disabled || !service.up {
        return Err(Error::BadRequest("Service is unavailable at this time.".to_owned()));
    }
    Ok(())
}
