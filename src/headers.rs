//! The names of the headers that this service reads and writes, made when it is compiled: to read a name at run time
//! takes the `http` crate a table of all standard ones, which is a hundredth of the component.

use http::HeaderName;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HOST};

pub const OPENSTACK_API_VERSION: HeaderName = HeaderName::from_static("openstack-api-version");
pub const OPENSTACK_IDENTITY_ACCESS_RULES: HeaderName = HeaderName::from_static("openstack-identity-access-rules");
pub const X_AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
pub const X_COMPUTE_REQUEST_ID: HeaderName = HeaderName::from_static("x-compute-request-id");
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub const X_IDENTITY_STATUS: HeaderName = HeaderName::from_static("x-identity-status");
pub const X_OPENSTACK_REQUEST_ID: HeaderName = HeaderName::from_static("x-openstack-request-id");
pub const X_OPS_TOKEN: HeaderName = HeaderName::from_static("x-ops-token");
pub const X_PROJECT_ID: HeaderName = HeaderName::from_static("x-project-id");
pub const X_ROLES: HeaderName = HeaderName::from_static("x-roles");
pub const X_SERVICE_TOKEN: HeaderName = HeaderName::from_static("x-service-token");
pub const X_SUBJECT_TOKEN: HeaderName = HeaderName::from_static("x-subject-token");
pub const X_USER_ID: HeaderName = HeaderName::from_static("x-user-id");

/// Those that anything here looks at, in a request or in an answer of Keystone. The shell passes on no others. A static,
/// since a constant would be made and dropped anew for every header of a request.
static READ: [HeaderName; 14] = [
    ACCEPT,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    HOST,
    OPENSTACK_API_VERSION,
    X_AUTH_TOKEN,
    X_FORWARDED_HOST,
    X_IDENTITY_STATUS,
    X_OPS_TOKEN,
    X_PROJECT_ID,
    X_ROLES,
    X_SERVICE_TOKEN,
    X_SUBJECT_TOKEN,
    X_USER_ID,
];

/// The header of a name, in any case of letters, if it is one that anything here looks at.
#[must_use]
pub fn read(name: &str) -> Option<HeaderName> {
    READ.iter().find(|own| own.as_str().eq_ignore_ascii_case(name)).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_found_in_any_case_of_letters() {
        assert_eq!(read("X-Auth-Token"), Some(X_AUTH_TOKEN));
        assert_eq!(read("host"), Some(HOST));
        assert_eq!(read("cookie"), None);
    }
}
