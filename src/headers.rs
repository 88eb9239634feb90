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

/// The header of a name, in any case of letters, if it is one that anything here looks at, in a request or in an answer of
/// Keystone. The shell passes on no others.
#[must_use]
pub fn read(name: &str) -> Option<HeaderName> {
    // Those that Spin adds to each request end here.
    if !matches!(name.as_bytes().first(), Some(b'a' | b'c' | b'h' | b'o' | b'x' | b'A'..=b'Z')) {
        return None;
    }
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return read(&name.to_ascii_lowercase());
    }
    Some(match name {
        "accept" => ACCEPT,
        "content-length" => CONTENT_LENGTH,
        "content-type" => CONTENT_TYPE,
        "host" => HOST,
        "openstack-api-version" => OPENSTACK_API_VERSION,
        "x-auth-token" => X_AUTH_TOKEN,
        "x-forwarded-host" => X_FORWARDED_HOST,
        "x-identity-status" => X_IDENTITY_STATUS,
        "x-ops-token" => X_OPS_TOKEN,
        "x-project-id" => X_PROJECT_ID,
        "x-roles" => X_ROLES,
        "x-service-token" => X_SERVICE_TOKEN,
        "x-subject-token" => X_SUBJECT_TOKEN,
        "x-user-id" => X_USER_ID,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_found_in_any_case_of_letters() {
        assert_eq!(read("X-Auth-Token"), Some(X_AUTH_TOKEN));
        assert_eq!(read("host"), Some(HOST));
        assert_eq!((read("cookie"), read("spin-path-info"), read("")), (None, None, None));
        for known in [ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, OPENSTACK_API_VERSION, X_FORWARDED_HOST, X_IDENTITY_STATUS]
            .into_iter()
            .chain([X_OPS_TOKEN, X_PROJECT_ID, X_ROLES, X_SERVICE_TOKEN, X_SUBJECT_TOKEN, X_USER_ID])
        {
            assert_eq!(read(known.as_str()), Some(known.clone()));
        }
    }
}
