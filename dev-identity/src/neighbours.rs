//! The services beside block storage that clients ask for: Nova without servers, and Glance without images.
//!
//! Some clients do not start without Nova's version document. Horizon lists servers, images, and the definitions of
//! metadata on its pages of volumes, and shows an error for each list that is missing. Horizon 27 cannot edit metadata if
//! the list of definitions is empty, so there is one.

use http::StatusCode;
use serde_json::{Value, json};

/// The only namespace of metadata definitions.
const NAMESPACE: &str = "Development";

/// A document of Nova or Glance.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Document {
    ComputeVersions,
    ComputeVersion,
    Servers,
    ImageVersions,
    Images,
    /// The namespaces of Glance's metadata definitions.
    Namespaces,
    Namespace,
    /// The schema of a namespace, which glanceclient reads before the list.
    NamespaceSchema,
}

impl Document {
    /// Returns the document at a path below `/identity`, given as its segments.
    pub(crate) fn at(segments: &[&str]) -> Option<Self> {
        Some(match segments {
            ["compute"] => Self::ComputeVersions,
            ["compute", "v2.1"] => Self::ComputeVersion,
            ["compute", "v2.1", "servers"] | ["compute", "v2.1", "servers", "detail"] => Self::Servers,
            ["image"] | ["image", "versions"] => Self::ImageVersions,
            ["image", "v2", "images"] => Self::Images,
            ["image", "v2", "metadefs", "namespaces"] => Self::Namespaces,
            ["image", "v2", "metadefs", "namespaces", NAMESPACE] => Self::Namespace,
            ["image", "v2", "schemas", "metadefs", "namespace"] => Self::NamespaceSchema,
            _ => return None,
        })
    }

    /// Returns whether only a client with a token may read it.
    pub(crate) const fn needs_token(self) -> bool {
        !matches!(self, Self::ComputeVersions | Self::ComputeVersion | Self::ImageVersions)
    }

    /// Returns the status of the answer. Glance answers its list of versions with 300, unlike Nova.
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::ImageVersions => StatusCode::MULTIPLE_CHOICES,
            _ => StatusCode::OK,
        }
    }

    pub(crate) fn view(self, origin: &str) -> Value {
        match self {
            Self::ComputeVersions => json!({ "versions": [compute_version(origin)] }),
            Self::ComputeVersion => json!({ "version": compute_version(origin) }),
            Self::Servers => json!({ "servers": [] }),
            Self::ImageVersions => json!({ "versions": [{
                "id": "v2.0",
                "status": "CURRENT",
                "links": [{ "rel": "self", "href": format!("{origin}/identity/image/v2/") }],
            }] }),
            Self::Images => json!({ "images": [], "schema": "/v2/schemas/images", "first": "/v2/images" }),
            Self::Namespaces => json!({
                "namespaces": [namespace()],
                "schema": "/v2/schemas/metadefs/namespaces",
                "first": "/v2/metadefs/namespaces",
            }),
            Self::Namespace => {
                let mut shown = namespace();
                shown["properties"] = json!({
                    "purpose": { "title": "Purpose", "description": "The use of a volume or a snapshot.", "type": "string" },
                });
                shown
            }
            Self::NamespaceSchema => json!({
                "name": "namespace",
                "required": ["namespace"],
                "properties": { "namespace": { "type": "string", "maxLength": 80 } },
            }),
        }
    }
}

fn compute_version(origin: &str) -> Value {
    json!({
        "id": "v2.1",
        "status": "CURRENT",
        "version": "2.1",
        "min_version": "2.1",
        "updated": "2013-07-23T11:33:21Z",
        "links": [{ "rel": "self", "href": format!("{origin}/identity/compute/v2.1/") }],
        "media-types": [{
            "base": "application/json",
            "type": "application/vnd.openstack.compute+json;version=2.1",
        }],
    })
}

/// Returns the namespace as it is listed, without its properties.
fn namespace() -> Value {
    json!({
        "namespace": NAMESPACE,
        "display_name": "Development",
        "description": "Metadata of volumes and snapshots. Other keys can be used, too.",
        "visibility": "public",
        "protected": true,
        "owner": "admin",
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
        "resource_type_associations": [{ "name": "OS::Cinder::Volume" }, { "name": "OS::Cinder::Snapshot" }],
        "schema": "/v2/schemas/metadefs/namespace",
        "self": format!("/v2/metadefs/namespaces/{NAMESPACE}"),
    })
}
