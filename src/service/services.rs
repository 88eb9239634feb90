//! The services of the deployment, their zones, and their pools (`cinder/api/v3/services.py`). No service
//! runs here: the list has those that every deployment has, and those of the operator's document.

pub use crate::store::deployment::{BackendService, VOLUME_BINARY};

use super::policy::Rule;
use super::{Error, Service};

/// The reason that a freeze gives for disabling a service.
const FROZEN_REASON: &str = "frozen";

/// A change of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceChange {
    Enable,
    /// Disables the service. A reason that is not given leaves the earlier one.
    Disable(Option<String>),
}

impl Service<'_> {
    /// Lists the services.
    ///
    /// # Errors
    ///
    /// Not allowed.
    pub fn list_services(&self) -> Result<Vec<BackendService>, Error> {
        self.caller.allow_own(Rule::GetAllServices)?;
        self.services()
    }

    fn services(&self) -> Result<Vec<BackendService>, Error> {
        Ok(self.store.deployment()?.all_services())
    }

    /// Lists the availability zones of the volume services, each with whether one of its services is enabled.
    ///
    /// # Errors
    ///
    /// Errors of the store.
    pub fn availability_zones(&self) -> Result<Vec<(String, bool)>, Error> {
        let mut zones: Vec<(String, bool)> = Vec::new();
        for service in self.services()?.into_iter().filter(|service| service.binary == VOLUME_BINARY) {
            match zones.iter_mut().find(|(zone, _)| *zone == service.availability_zone) {
                Some((_, is_available)) => *is_available |= !service.disabled,
                None => zones.push((service.availability_zone, !service.disabled)),
            }
        }
        Ok(zones)
    }

    /// Lists the volume services that the scheduler gives work to. Each has one pool.
    ///
    /// # Errors
    ///
    /// Errors of the store.
    pub fn backends(&self) -> Result<Vec<BackendService>, Error> {
        let mut services = self.services()?;
        services.retain(|service| service.binary == VOLUME_BINARY && service.is_usable());
        Ok(services)
    }

    /// Lists the volume services that the scheduler gives volumes of a type to. The type is named by its id or name.
    ///
    /// # Errors
    ///
    /// No such type.
    pub fn backends_of_type(&self, volume_type: &str) -> Result<Vec<BackendService>, Error> {
        let (_, types) = self.store.deployment_and_volume_types()?;
        let volume_type = self.volume_type_named(&types, volume_type)?;
        let mut backends = self.backends()?;
        backends.retain(|backend| volume_type.fits(&backend.host));
        Ok(backends)
    }

    /// Enables or disables a service.
    ///
    /// # Errors
    ///
    /// No such service.
    pub fn change_service(&self, host: &str, binary: &str, change: &ServiceChange) -> Result<(), Error> {
        let found = self.update_services(|service| {
            if service.host != host || service.binary != binary {
                return false;
            }
            service.disabled = match change {
                ServiceChange::Enable => {
                    service.disabled_reason = None;
                    false
                }
                ServiceChange::Disable(reason) => {
                    if reason.is_some() {
                        service.disabled_reason.clone_from(reason);
                    }
                    true
                }
            };
            true
        })?;
        if found {
            return Ok(());
        }
        Err(Error::NotFound(format!("Service {binary} could not be found on host {host}.")))
    }

    /// Freezes the volume service of a host, or thaws it. A frozen one is disabled too.
    ///
    /// # Errors
    ///
    /// No such service, or it is frozen, respectively not frozen, already.
    pub fn set_frozen(&self, host: &str, frozen: bool) -> Result<(), Error> {
        let of_host = |service: &BackendService| service.binary == VOLUME_BINARY && service.host == host;
        if !self.services()?.iter().any(of_host) {
            return Err(Error::BadRequest("Invalid input received: No service found with host=".to_owned() + host));
        }
        let changed = self.update_services(|service| {
            if !of_host(service) || service.frozen == frozen {
                return false;
            }
            service.frozen = frozen;
            service.disabled = frozen;
            service.disabled_reason = frozen.then(|| FROZEN_REASON.to_owned());
            true
        })?;
        if changed {
            return Ok(());
        }
        let expected = if frozen { "False" } else { "True" };
        let message = format!(
            "Invalid input received: No service could be changed: frozen in ['{host}'] must be {expected} to failover."
        );
        Err(Error::BadRequest(message))
    }

    /// Changes the services for which `change` returns true. Returns whether there is one.
    fn update_services(&self, change: impl Fn(&mut BackendService) -> bool) -> Result<bool, Error> {
        Ok(self.store.change_deployment(|deployment| {
            let mut all = deployment.all_services();
            let mut is_changed = false;
            for service in &mut all {
                if change(service) {
                    is_changed = true;
                    service.updated_at = Some(self.now);
                } else if service.updated_at.is_none() {
                    service.updated_at = Some(self.now);
                }
            }
            if is_changed {
                all.extend(deployment.services.drain(..).filter(|service| service.absent));
                deployment.services = all;
            }
            is_changed
        })?)
    }
}
