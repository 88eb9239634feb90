//! The names of the headers that this service reads and writes, made when it is compiled: to read a name at run time
//! takes the `http` crate a table of all standard ones, which is a hundredth of the component.

use http::HeaderName;

pub const OPENSTACK_API_VERSION: HeaderName = HeaderName::from_static("openstack-api-version");
pub const OPENSTACK_IDENTITY_ACCESS_RULES: HeaderName = HeaderName::from_static("openstack-identity-access-rules");
pub const X_AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
pub const X_COMPUTE_REQUEST_ID: HeaderName = HeaderName::from_static("x-compute-request-id");
pub const X_OPENSTACK_REQUEST_ID: HeaderName = HeaderName::from_static("x-openstack-request-id");
pub const X_SUBJECT_TOKEN: HeaderName = HeaderName::from_static("x-subject-token");

/// A header of a request that something here looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    Accept,
    ContentLength,
    ContentType,
    Host,
    OpenstackApiVersion,
    XAuthToken,
    XForwardedHost,
    XIdentityStatus,
    XOpsToken,
    XProjectId,
    XRoles,
    XServiceToken,
    XUserId,
}

impl Header {
    /// The header of a name, in any case of letters; `None` for all that nothing looks at.
    #[must_use]
    pub fn read(name: &str) -> Option<Self> {
        // Those that Spin adds to each request end here.
        if !matches!(name.as_bytes().first(), Some(b'a' | b'c' | b'h' | b'o' | b'x' | b'A'..=b'Z')) {
            return None;
        }
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Self::read(&name.to_ascii_lowercase());
        }
        Some(match name {
            "accept" => Self::Accept,
            "content-length" => Self::ContentLength,
            "content-type" => Self::ContentType,
            "host" => Self::Host,
            "openstack-api-version" => Self::OpenstackApiVersion,
            "x-auth-token" => Self::XAuthToken,
            "x-forwarded-host" => Self::XForwardedHost,
            "x-identity-status" => Self::XIdentityStatus,
            "x-ops-token" => Self::XOpsToken,
            "x-project-id" => Self::XProjectId,
            "x-roles" => Self::XRoles,
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
