//! The names of the headers of Keystone's API.

use http::HeaderName;

pub const OPENSTACK_IDENTITY_ACCESS_RULES: HeaderName = HeaderName::from_static("openstack-identity-access-rules");
pub const X_AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
pub const X_SUBJECT_TOKEN: HeaderName = HeaderName::from_static("x-subject-token");
