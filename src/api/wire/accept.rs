//! The header `Accept`: which media type a client prefers.

use super::headers::Header;
use super::request::{Headers, Request};

/// Returns the quality of a media type: that of the closest range of the client's `Accept` that has no parameters.
#[must_use]
pub fn quality(headers: &Headers<'_>, wanted: &str) -> f64 {
    let accept = headers.string(Header::Accept).unwrap_or_default();
    let mut best = (0, 0.0);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let quality = match parts.next() {
            None | Some("") => 1.0,
            Some(parameter) => match parameter.strip_prefix("q=") {
                Some(quality) => quality.parse().unwrap_or(0.0),
                None => continue,
            },
        };
        let closeness = match media_type.strip_suffix("/*") {
            _ if media_type.eq_ignore_ascii_case(wanted) => 3,
            Some("*") => 1,
            Some(kind) if wanted.split('/').next().is_some_and(|own| own.eq_ignore_ascii_case(kind)) => 2,
            _ => continue,
        };
        if closeness > best.0 {
            best = (closeness, quality);
        }
    }
    best.1
}

/// Returns whether a request has an `Accept` that is no list of media ranges. `WebOb` answers it as if everything were accepted.
#[must_use]
pub fn is_invalid(headers: &Headers<'_>) -> bool {
    let is_range = |range: &str| {
        let media_type = range.split(';').next().unwrap_or_default().trim();
        media_type.is_empty()
            || media_type.split_once('/').is_some_and(|(kind, own)| !kind.is_empty() && !own.is_empty())
    };
    headers.string(Header::Accept).is_some_and(|accept| !accept.split(',').all(is_range))
}

/// Whether the client prefers Cinder's own media type to plain JSON. A path that ends in `.json` asks for plain JSON.
#[must_use]
pub fn prefers_vendor_type(request: &Request<'_>) -> bool {
    // Most clients send one of these, and then there is nothing to compare.
    if matches!(request.headers.get(Header::Accept), None | Some(b"*/*" | b"application/json")) {
        return false;
    }
    let quality = |wanted| quality(&request.headers, wanted);
    quality("application/vnd.openstack.volume+json") > quality("application/json")
        && request.path.strip_suffix(".json").is_none()
}
