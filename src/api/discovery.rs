//! The version documents (`docs/spec/versions-and-faults.md` section 3).

use serde::Serialize;

use super::call::Link;
use super::microversion::Microversion;

#[derive(Serialize)]
struct Versions {
    versions: [Version; 1],
}

#[derive(Serialize)]
struct Version {
    id: &'static str,
    status: &'static str,
    version: String,
    min_version: String,
    updated: &'static str,
    links: [Link; 2],
    #[serde(rename = "media-types")]
    media_types: [MediaType; 1],
}

#[derive(Serialize)]
struct MediaType {
    base: &'static str,
    #[serde(rename = "type")]
    media_type: &'static str,
}

/// Returns the version document. `origin` is the scheme and host of the request.
#[must_use]
pub fn versions(origin: &str) -> impl Serialize + use<> {
    Versions {
        versions: [Version {
            id: "v3.0",
            status: "CURRENT",
            version: Microversion::MAXIMUM.to_string(),
            min_version: Microversion::MINIMUM.to_string(),
            updated: "2023-08-31T00:00:00Z",
            links: [
                Link {
                    rel: "describedby",
                    media_type: Some("text/html"),
                    href: "https://docs.openstack.org/".to_owned(),
                },
                Link::new("self", format!("{origin}/v3/")),
            ],
            media_types: [MediaType {
                base: "application/json",
                media_type: "application/vnd.openstack.volume+json;version=3",
            }],
        }],
    }
}
