//! Group snapshots: a snapshot of each volume of a group, made and ended together (`docs/spec/group-snapshots.md` section 1).

use super::identifiers::uuid_identifier;
use super::lifecycle::{Completion, Ending, Occasion, Pending};
use super::strings::words;
use super::{GroupId, GroupTypeId, ProjectId, SnapshotId, Timestamp, UserId};

uuid_identifier!(
    /// The id of a group snapshot, whose members cannot be deleted one by one.
    GroupSnapshotId
);

/// The status of a group snapshot (`cinder/objects/fields.py:GroupSnapshotStatus`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupSnapshotStatus {
    /// It failed.
    Error,
    /// It can be used.
    Available,
    /// A backend creates its members.
    Creating,
    /// A backend deletes its members.
    Deleting,
    /// Only `reset_status` gives a live row this status.
    Deleted,
    /// Only `reset_status` sets this status.
    Updating,
    /// Only `reset_status` sets this status.
    ErrorDeleting,
}

words!(GroupSnapshotStatus, "a group snapshot status", {
    Error => "error",
    Available => "available",
    Creating => "creating",
    Deleting => "deleting",
    Deleted => "deleted",
    Updating => "updating",
    ErrorDeleting => "error_deleting",
});

impl GroupSnapshotStatus {
    /// All statuses, in the order of Cinder's messages.
    pub const ALL: [Self; 7] = [
        Self::Error,
        Self::Available,
        Self::Creating,
        Self::Deleting,
        Self::Deleted,
        Self::Updating,
        Self::ErrorDeleting,
    ];

    /// Returns how a backend's work ends this status, or `None` for a status that stays.
    #[must_use]
    pub const fn completion(self) -> Option<Completion> {
        match self {
            Self::Creating => Some(Completion::Create),
            Self::Deleting => Some(Completion::Remove),
            Self::Updating => Some(Completion::None),
            Self::Error | Self::Available | Self::Deleted | Self::ErrorDeleting => None,
        }
    }
}

/// A group snapshot, as its row has it. Every reader calls [`GroupSnapshot::effective`] first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSnapshot {
    pub id: GroupSnapshotId,
    pub project_id: ProjectId,
    pub user_id: Option<UserId>,
    pub group_id: GroupId,
    pub group_type_id: GroupTypeId,
    pub name: Option<String>,
    pub description: Option<String>,
    pub status: GroupSnapshotStatus,
    pub created_at: Timestamp,
    pub updated_at: Option<Timestamp>,
    pub pending: Option<Pending>,
    /// The snapshots that were made with it.
    pub members: Vec<SnapshotId>,
    /// The groups that may be created from it.
    pub copies: Vec<GroupId>,
}

impl GroupSnapshot {
    /// Returns the group snapshot as it is at `now`, with all changes that are due, or `None` if its removal is due.
    #[must_use]
    pub fn effective(mut self, now: Timestamp, occasion: Occasion) -> Option<Self> {
        while let Some((pending, ending)) =
            self.pending.and_then(|pending| Some((pending, pending.ending(now, occasion)?)))
        {
            match ending {
                Ending::Completed(Completion::Remove, _) => return None,
                Ending::Completed(Completion::Fail, at) | Ending::GivenUp(at) => {
                    self.enter(GroupSnapshotStatus::Error, None, at);
                }
                Ending::Completed(_, at) => self.enter(GroupSnapshotStatus::Available, None, at),
                Ending::Retried(again) => self.enter(self.status, Some(again), pending.gives_up),
            }
        }
        Some(self)
    }

    /// Changes the status at `now`, and starts the work of the new status.
    pub const fn enter(&mut self, status: GroupSnapshotStatus, pending: Option<Pending>, now: Timestamp) {
        self.status = status;
        self.pending = pending;
        self.updated_at = Some(now);
    }

    /// Returns whether it was a snapshot of a consistency group. Lists leave it out.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.group_type_id == GroupTypeId::RESERVED
    }

    /// Returns whether the status allows a deletion.
    #[must_use]
    pub const fn may_be_deleted(&self) -> bool {
        matches!(self.status, GroupSnapshotStatus::Available | GroupSnapshotStatus::Error)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::domain::lifecycle::{Delays, Progression};

    const START: Timestamp = Timestamp::from_seconds(0);

    pub(crate) fn group_snapshot(status: GroupSnapshotStatus) -> GroupSnapshot {
        GroupSnapshot {
            id: GroupSnapshotId::new(uuid::Uuid::from_u128(1)),
            project_id: "a1".parse().expect("a project id"),
            user_id: None,
            group_id: GroupId::new(uuid::Uuid::from_u128(2)),
            group_type_id: GroupTypeId::RESERVED,
            name: None,
            description: None,
            status,
            created_at: START,
            updated_at: None,
            pending: None,
            members: Vec::new(),
            copies: Vec::new(),
        }
    }

    #[test]
    fn every_status_reads_as_it_prints() {
        for status in GroupSnapshotStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
    }

    #[test]
    fn no_transient_status_outlives_the_time_bound() {
        let delays = Delays {
            progression: Progression::Manual,
            create_seconds: 2.0,
            delete_seconds: 1.0,
            give_up_seconds: 100.0,
            retries: 0,
        };
        for status in GroupSnapshotStatus::ALL {
            let Some(completion) = status.completion() else { continue };
            let row = GroupSnapshot { pending: Some(delays.begin(completion, START)), ..group_snapshot(status) };
            let late = row.effective(START.plus_seconds(1_000.0), Occasion::Reading).expect("a given-up row stays");
            assert_eq!((late.status, late.pending), (GroupSnapshotStatus::Error, None), "{status}");
        }
    }
}
