//! The headers that the API reads and writes. Their names are constants: to parse a name at run time, the `http` crate
//! brings a table of all standard names into the component.

use http::HeaderName;

pub const OPENSTACK_API_VERSION: HeaderName = HeaderName::from_static("openstack-api-version");
pub const X_COMPUTE_REQUEST_ID: HeaderName = HeaderName::from_static("x-compute-request-id");
pub const X_OPENSTACK_REQUEST_ID: HeaderName = HeaderName::from_static("x-openstack-request-id");

/// A header that some part of the API reads from a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    Accept,
    ContentLength,
    ContentType,
    Forwarded,
    Host,
    OpenstackApiVersion,
    XAuthToken,
    XForwardedHost,
    XForwardedProto,
    XIdentityStatus,
    XOpsToken,
    XProjectId,
    XRoles,
    XServiceRoles,
    XServiceToken,
    XUserId,
}

impl Header {
    /// Returns the header with a name, in any letter case. `None` for a header that nothing reads.
    #[must_use]
    pub fn read(name: &str) -> Option<Self> {
        // The headers that Spin adds to each request end here.
        if !matches!(name.as_bytes().first(), Some(b'a' | b'c' | b'f' | b'h' | b'o' | b'x' | b'A'..=b'Z')) {
            return None;
        }
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Self::read(&name.to_ascii_lowercase());
        }
        Some(match name {
            "accept" => Self::Accept,
            "content-length" => Self::ContentLength,
            "content-type" => Self::ContentType,
            "forwarded" => Self::Forwarded,
            "host" => Self::Host,
            "openstack-api-version" => Self::OpenstackApiVersion,
            "x-auth-token" => Self::XAuthToken,
            "x-forwarded-host" => Self::XForwardedHost,
            "x-forwarded-proto" => Self::XForwardedProto,
            "x-identity-status" => Self::XIdentityStatus,
            "x-ops-token" => Self::XOpsToken,
            "x-project-id" => Self::XProjectId,
            "x-roles" => Self::XRoles,
            "x-service-roles" => Self::XServiceRoles,
            "x-service-token" => Self::XServiceToken,
            "x-user-id" => Self::XUserId,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_found_in_any_case_of_letters() {
        assert_eq!(Header::read("X-Auth-Token"), Some(Header::XAuthToken));
        assert_eq!(Header::read("host"), Some(Header::Host));
        assert_eq!(Header::read("OPENSTACK-API-VERSION"), Some(Header::OpenstackApiVersion));
        for other in ["cookie", "spin-path-info", "x-auth-tokens", ""] {
            assert_eq!(Header::read(other), None, "{other}");
        }
    }
}
