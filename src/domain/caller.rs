//! The identity behind a request. `keystone` and `api` establish it, and `service::policy` decides what it may do.

use super::{ProjectId, UserId};

/// The roles of a caller that a policy rule can ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about a caller")]
pub struct Roles {
    pub admin: bool,
    pub member: bool,
    pub reader: bool,
    /// The role of other services of the cloud.
    pub service: bool,
}

impl Roles {
    /// The roles of an administrator, with those that Keystone implies.
    pub const ADMIN: Self = Self { admin: true, member: true, reader: true, service: false };
}

/// The user and project that a request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub user_id: Option<UserId>,
    /// `None` for a token without project scope.
    pub project_id: Option<ProjectId>,
    pub roles: Roles,
    /// Whether another service sends the request for the user, with a token of its own that has the role `service`.
    pub is_for_service: bool,
}
