//! The catalog: the services of this app, and their addresses.
//!
//! Every address has the origin of the request, because that is where the client can reach the app.

use serde_json::{Value, json};

use crate::identifiers::derived_id;

const INTERFACES: [&str; 3] = ["public", "internal", "admin"];

/// A service of the catalog.
pub(crate) struct Service {
    pub name: &'static str,
    pub kind: &'static str,
    /// The path of its URL, without the id of the project.
    path: &'static str,
    /// Whether the id of the project ends the URL.
    is_for_project: bool,
}

/// The services, in the order of the catalog.
pub(crate) const SERVICES: [Service; 5] = [
    Service { name: "keystone", kind: "identity", path: "/identity/v3", is_for_project: false },
    // Clients ask for one type or the other, so both lead to the same place.
    Service { name: "cinderv3", kind: "volumev3", path: "/v3/", is_for_project: true },
    Service { name: "cinder", kind: "block-storage", path: "/v3/", is_for_project: true },
    // These have nothing but empty lists (`neighbours`).
    Service { name: "nova", kind: "compute", path: "/identity/compute/v2.1", is_for_project: false },
    Service { name: "glance", kind: "image", path: "/identity/image", is_for_project: false },
];

impl Service {
    pub(crate) fn id(&self) -> String {
        derived_id("service", "", self.kind)
    }

    /// Returns the document of an administrator's list.
    pub(crate) fn view(&self, keystone: &str) -> Value {
        let id = self.id();
        json!({
            "id": id,
            "name": self.name,
            "type": self.kind,
            "enabled": true,
            "links": { "self": format!("{keystone}/services/{id}") },
        })
    }

    /// Returns the URL for the clients of a project, if there is one.
    fn url(&self, origin: &str, project: Option<&str>) -> Option<String> {
        let path = self.path;
        if self.is_for_project {
            project.map(|project| format!("{origin}{path}{project}"))
        } else {
            Some(format!("{origin}{path}"))
        }
    }
}

fn endpoint_id(service: &Service, interface: &str) -> String {
    derived_id("endpoint", service.kind, interface)
}

/// Returns the catalog of a token for a project, or for a domain.
pub(crate) fn catalog(origin: &str, region: &str, project: Option<&str>) -> Value {
    let services = SERVICES.iter().map(|service| {
        let endpoints = INTERFACES.iter().filter_map(|interface| {
            Some(json!({
                "id": endpoint_id(service, interface),
                "interface": interface,
                "region": region,
                "region_id": region,
                "url": service.url(origin, project)?,
            }))
        });
        json!({
            "id": service.id(),
            "name": service.name,
            "type": service.kind,
            "endpoints": endpoints.collect::<Vec<_>>(),
        })
    });
    services.collect()
}

/// Returns all endpoints, as an administrator sees them.
pub(crate) fn endpoints(origin: &str, keystone: &str, region: &str) -> Vec<Value> {
    let all = SERVICES.iter().flat_map(|service| INTERFACES.iter().map(move |interface| (service, *interface)));
    let view = |(service, interface): (&Service, &str)| {
        let id = endpoint_id(service, interface);
        json!({
            "id": id,
            "interface": interface,
            "region": region,
            "region_id": region,
            "service_id": service.id(),
            "url": service.url(origin, Some("%(project_id)s")),
            "enabled": true,
            "links": { "self": format!("{keystone}/endpoints/{id}") },
        })
    };
    all.map(view).collect()
}

/// Returns the version document of Keystone, `v3.14`.
pub(crate) fn identity_version(keystone: &str) -> Value {
    json!({
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{ "rel": "self", "href": format!("{keystone}/") }],
        "media-types": [{
            "base": "application/json",
            "type": "application/vnd.openstack.identity-v3+json",
        }],
    })
}
