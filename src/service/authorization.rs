//! The authorization of a caller by the rules of the policy.

use crate::domain::{Caller, ProjectId};

use super::Error;
use super::policy::{RoleCheck, Rule};

impl Caller {
    /// Returns whether the rows of a project exist for this caller.
    #[must_use]
    pub fn sees(&self, owner: &ProjectId) -> bool {
        self.roles.admin || self.project_id.as_ref() == Some(owner)
    }

    /// Checks a rule on a resource of a project.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], naming the rule.
    pub fn allow(&self, rule: Rule, owner: &ProjectId) -> Result<(), Error> {
        let owns = self.project_id.as_ref() == Some(owner);
        let allowed = self.roles.admin
            || match rule.role_check() {
                RoleCheck::Reader => owns && self.roles.reader,
                RoleCheck::Member => owns && self.roles.member,
                RoleCheck::Admin => false,
            };
        if allowed { Ok(()) } else { Err(Error::Forbidden(rule)) }
    }

    /// Checks a rule on the caller's own project, for lists.
    ///
    /// # Errors
    ///
    /// Without a project: [`Error::Forbidden`] if the caller lacks even the role `reader`, and [`Error::Unscoped`] if
    /// it has that role. An administrator gets neither. With a project: the error of [`Caller::allow`].
    pub fn allow_own(&self, rule: Rule) -> Result<(), Error> {
        match &self.project_id {
            Some(project_id) => self.allow(rule, project_id),
            None if self.roles.admin => Ok(()),
            None if !self.roles.reader => Err(Error::Forbidden(rule)),
            None => Err(Error::Unscoped),
        }
    }

    /// Checks that the caller has a project or is an administrator. Otherwise it may not look up any row.
    ///
    /// # Errors
    ///
    /// [`Error::Unscoped`].
    pub fn is_scoped(&self) -> Result<(), Error> {
        if self.project_id.is_some() || self.roles.admin { Ok(()) } else { Err(Error::Unscoped) }
    }

    /// Returns the project that owns the rows that this caller creates.
    ///
    /// # Errors
    ///
    /// [`Error::Unscoped`] without a project.
    pub fn project(&self) -> Result<&ProjectId, Error> {
        self.project_id.as_ref().ok_or(Error::Unscoped)
    }
}
