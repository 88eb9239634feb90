//! A snapshot and its state machine: the events that each status allows, and their effects
//! (`docs/spec/lifecycle.md` sections 1, 2, and 4).

use super::identifiers::uuid_identifier;
use super::lifecycle::{Completion, Ending, Occasion, Pending};
use super::message::Event;
use super::strings::words;
use super::{GroupSnapshotId, ProjectId, Timestamp, UserId, VolumeId, VolumeTypeId};
use std::collections::BTreeMap;

uuid_identifier!(
    /// The id of a snapshot.
    SnapshotId
);

/// A user's key-value pairs on a resource.
pub type Metadata = BTreeMap<String, String>;

/// The status of a snapshot (`cinder/objects/fields.py:SnapshotStatus`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SnapshotStatus {
    /// It failed.
    Error,
    /// It can be used.
    Available,
    /// A backend creates or adopts it.
    Creating,
    /// A backend deletes it.
    Deleting,
    /// Only `os-reset_status` gives a live row this status.
    Deleted,
    /// Only `os-reset_status` sets this status.
    Updating,
    /// A backend could not delete it.
    ErrorDeleting,
    /// A backend forgets it and keeps the data.
    Unmanaging,
    /// A backup reads it.
    BackingUp,
    /// Its volume is being reverted to it.
    Restoring,
}

impl SnapshotStatus {
    /// All statuses, in the order of Cinder's messages.
    pub const ALL: [Self; 10] = [
        Self::Error,
        Self::Available,
        Self::Creating,
        Self::Deleting,
        Self::Deleted,
        Self::Updating,
        Self::ErrorDeleting,
        Self::Unmanaging,
        Self::BackingUp,
        Self::Restoring,
    ];

    /// Returns how a backend's work ends this status, or `None` for a status that stays.
    #[must_use]
    pub const fn completion(self) -> Option<Completion> {
        match self {
            Self::Creating => Some(Completion::Create),
            Self::Deleting | Self::Unmanaging => Some(Completion::Remove),
            Self::BackingUp | Self::Restoring => Some(Completion::Release),
            Self::Updating => Some(Completion::None),
            Self::Error | Self::Available | Self::Deleted | Self::ErrorDeleting => None,
        }
    }

    /// Returns the status that replaces this transient one when its time bound has passed. Cinder leaves such a
    /// snapshot to an administrator. This service settles it as a restarting Cinder service would (vectors
    /// `life-restart-*` and `life-backup-restart`).
    #[must_use]
    pub const fn given_up(self) -> Self {
        match self {
            Self::Creating | Self::Updating => Self::Error,
            Self::Deleting | Self::Unmanaging => Self::ErrorDeleting,
            Self::BackingUp | Self::Restoring => Self::Available,
            settled => settled,
        }
    }
}

words!(SnapshotStatus, "a snapshot status", {
    Error => "error",
    Available => "available",
    Creating => "creating",
    Deleting => "deleting",
    Deleted => "deleted",
    Updating => "updating",
    ErrorDeleting => "error_deleting",
    Unmanaging => "unmanaging",
    BackingUp => "backing-up",
    Restoring => "restoring",
});

/// A snapshot, as its row has it. Every reader calls [`Snapshot::effective`] first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub id: SnapshotId,
    pub project_id: ProjectId,
    pub user_id: Option<UserId>,
    pub volume_id: VolumeId,
    /// The volume's type, copied for quota.
    pub volume_type_id: Option<VolumeTypeId>,
    pub name: Option<String>,
    pub description: Option<String>,
    pub metadata: Metadata,
    /// The size of the volume when the snapshot was created, in GiB.
    pub size: u32,
    pub status: SnapshotStatus,
    /// A percentage such as `0%`.
    pub progress: Option<String>,
    pub created_at: Timestamp,
    /// The time of the last change of the row; `None` before the first.
    pub updated_at: Option<Timestamp>,
    pub group_snapshot_id: Option<GroupSnapshotId>,
    /// Whether it counts towards the project's quota; internal snapshots do not.
    pub consumes_quota: bool,
    /// The work under way, if any.
    pub pending: Option<Pending>,
    /// The last changes of status, oldest first. The creation is not among them.
    pub history: Vec<Transition>,
}

/// A change of status, kept to explain to an operator why a snapshot has its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    pub at: Timestamp,
    /// The status since then.
    pub status: SnapshotStatus,
    pub cause: Cause,
}

/// The cause of a change of status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A client deleted the snapshot.
    Delete,
    /// An administrator deleted the snapshot by force, whatever its status.
    ForceDelete,
    /// An administrator made the backend forget the snapshot.
    Unmanage,
    /// The snapshot's volume was deleted with its snapshots.
    VolumeDelete,
    /// Its group snapshot was deleted.
    GroupSnapshotDelete,
    /// The volume was reverted to the snapshot.
    Revert,
    /// A backup of the snapshot is made.
    Backup,
    /// A storage agent reported the status.
    Report,
    /// An administrator set the status.
    Reset,
    /// The work under way ended well.
    Completed,
    /// The time bound of the work passed, and the work was retried.
    Retried,
    /// The time bound of the work passed, and no retries were left.
    GivenUp,
    /// No backend was there for the work.
    Failed,
}

words!(Cause, "a cause of a snapshot's status", {
    Delete => "delete",
    ForceDelete => "os-force_delete",
    Unmanage => "os-unmanage",
    VolumeDelete => "delete of the volume",
    GroupSnapshotDelete => "delete of the group snapshot",
    Revert => "revert",
    Backup => "backup",
    Report => "os-update_snapshot_status",
    Reset => "os-reset_status",
    Completed => "completed",
    Retried => "retried",
    GivenUp => "given up",
    Failed => "failed",
});

/// The reason why an event is not allowed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Delete and unmanage require the status `available` or `error`, and no group.
    #[error("Snapshot status must be available or error and must not be part of a group.")]
    NotDeletable,
    /// Force delete requires that the snapshot is in no group. The two spaces are Cinder's.
    #[error("Snapshot  must not be part of a group.")]
    Grouped,
}

impl Snapshot {
    /// The number of changes of status that a row remembers.
    const REMEMBERED: usize = 8;

    /// Returns the snapshot as it is at `now`, with all changes that are due, or `None` if its removal is due.
    #[must_use]
    pub fn effective(mut self, now: Timestamp, occasion: Occasion) -> Option<Self> {
        while let Some((pending, ending)) =
            self.pending.and_then(|pending| Some((pending, pending.ending(now, occasion)?)))
        {
            match ending {
                Ending::Completed(Completion::Remove, _) => return None,
                // A report has set the status already, and the message is about to be written.
                Ending::Completed(Completion::Fail, _) if self.status.completion().is_none() => self.pending = None,
                Ending::Completed(Completion::Fail, at) => {
                    self.enter(self.given_up(), None, at, Cause::Failed);
                }
                Ending::Completed(completion, at) => {
                    self.enter(SnapshotStatus::Available, None, at, Cause::Completed);
                    if completion == Completion::Create {
                        self.progress = Some("100%".to_owned());
                    }
                }
                Ending::Retried(again) => {
                    self.enter(self.status, Some(again), pending.gives_up, Cause::Retried);
                    if again.completion == Completion::Create {
                        self.progress = Some("0%".to_owned());
                    }
                }
                Ending::GivenUp(at) => self.enter(self.given_up(), None, at, Cause::GivenUp),
            }
        }
        Some(self)
    }

    /// Returns the status that replaces this transient one when its work has failed. As in Cinder, a member of a group snapshot
    /// that cannot be deleted is in error.
    const fn given_up(&self) -> SnapshotStatus {
        match self.status {
            SnapshotStatus::Deleting if self.group_snapshot_id.is_some() => SnapshotStatus::Error,
            status => status.given_up(),
        }
    }

    /// Returns the failure of the work under way that a user message tells of. Cinder has none for a snapshot that is adopted,
    /// forgotten, or reverted to.
    #[must_use]
    pub fn failure(&self) -> Option<Event> {
        match (self.status, self.pending?.completion) {
            (SnapshotStatus::Creating | SnapshotStatus::Error, Completion::Create | Completion::Fail) => {
                Some(Event::SNAPSHOT_CREATE)
            }
            (SnapshotStatus::Deleting | SnapshotStatus::ErrorDeleting, Completion::Remove | Completion::Fail) => {
                Some(Event::SNAPSHOT_DELETE)
            }
            _ => None,
        }
    }

    /// Checks that delete and unmanage are allowed (`docs/spec/snapshots-api.md` section 6).
    ///
    /// # Errors
    ///
    /// Fails with [`Refusal::NotDeletable`] unless the status is `available` or `error` and the snapshot is in no
    /// group.
    pub const fn may_be_deleted(&self) -> Result<(), Refusal> {
        match self.status {
            SnapshotStatus::Available | SnapshotStatus::Error if self.group_snapshot_id.is_none() => Ok(()),
            _ => Err(Refusal::NotDeletable),
        }
    }

    /// Checks that `os-force_delete` is allowed (`docs/spec/lifecycle.md` section 4.3).
    ///
    /// # Errors
    ///
    /// Fails with [`Refusal::Grouped`] if the snapshot is in a group.
    pub const fn may_be_force_deleted(&self) -> Result<(), Refusal> {
        if self.group_snapshot_id.is_none() { Ok(()) } else { Err(Refusal::Grouped) }
    }

    /// Changes the status at `now`, and starts the work of the new status. Every change of a row sets `updated_at`.
    pub fn enter(&mut self, status: SnapshotStatus, pending: Option<Pending>, now: Timestamp, cause: Cause) {
        self.status = status;
        self.pending = pending;
        self.updated_at = Some(now);
        let forgotten = (self.history.len() + 1).saturating_sub(Self::REMEMBERED);
        self.history.drain(..forgotten);
        self.history.push(Transition { at: now, status, cause });
    }

    /// Returns the statuses that a storage agent may report with `os-update_snapshot_status` for a snapshot of this
    /// status, or `None` if it may report none (`docs/spec/lifecycle.md` section 4.1).
    #[must_use]
    pub const fn reportable(status: SnapshotStatus) -> Option<&'static [SnapshotStatus]> {
        match status {
            SnapshotStatus::Creating => {
                Some(&[SnapshotStatus::Creating, SnapshotStatus::Available, SnapshotStatus::Error])
            }
            SnapshotStatus::Deleting => Some(&[SnapshotStatus::Deleting, SnapshotStatus::ErrorDeleting]),
            _ => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::domain::lifecycle::{Delays, Progression};

    const START: Timestamp = Timestamp::from_seconds(0);

    fn delays(progression: Progression) -> Delays {
        Delays { progression, create_seconds: 2.0, delete_seconds: 1.0, give_up_seconds: 100.0, retries: 0 }
    }

    pub(crate) fn snapshot(status: SnapshotStatus) -> Snapshot {
        Snapshot {
            id: SnapshotId::new(uuid::Uuid::from_u128(1)),
            project_id: "a1".parse().expect("a project id"),
            user_id: None,
            volume_id: VolumeId::new(uuid::Uuid::from_u128(2)),
            volume_type_id: None,
            name: None,
            description: None,
            metadata: Metadata::new(),
            size: 1,
            status,
            progress: Some("0%".to_owned()),
            created_at: START,
            updated_at: None,
            group_snapshot_id: None,
            consumes_quota: true,
            pending: None,
            history: Vec::new(),
        }
    }

    #[test]
    fn every_status_reads_as_it_prints() {
        for status in SnapshotStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        assert!("AVAILABLE".parse::<SnapshotStatus>().is_err());
    }

    #[test]
    fn a_snapshot_is_deletable_only_when_available_or_in_error_and_in_no_group() {
        for status in SnapshotStatus::ALL {
            let alone = snapshot(status);
            let expected = matches!(status, SnapshotStatus::Available | SnapshotStatus::Error);
            assert_eq!(alone.may_be_deleted().is_ok(), expected, "{status}");
            assert!(alone.may_be_force_deleted().is_ok(), "{status}");
            let grouped = Snapshot { group_snapshot_id: Some(GroupSnapshotId::new(uuid::Uuid::nil())), ..alone };
            assert_eq!(grouped.may_be_deleted(), Err(Refusal::NotDeletable), "{status}");
            assert_eq!(grouped.may_be_force_deleted(), Err(Refusal::Grouped), "{status}");
        }
    }

    #[test]
    fn work_under_way_ends_as_its_kind_says() {
        use SnapshotStatus::{Available, BackingUp, Creating, Deleting, Restoring, Unmanaging};
        let cases = [
            (Creating, Completion::Create, Some((Available, "100%"))),
            (Creating, Completion::Manage, Some((Available, "0%"))),
            (BackingUp, Completion::Release, Some((Available, "0%"))),
            (Restoring, Completion::Release, Some((Available, "0%"))),
            (Deleting, Completion::Remove, None),
            (Unmanaging, Completion::Remove, None),
        ];
        for (status, completion, expected) in cases {
            let pending = delays(Progression::Time).begin(completion, START);
            let row = Snapshot { pending: Some(pending), ..snapshot(status) };
            assert_eq!(row.clone().effective(START, Occasion::Reading).map(|s| s.status), Some(status), "{status}");
            let later = row.effective(START.plus_seconds(5.0), Occasion::Reading);
            let seen = later.as_ref().map(|s| (s.status, s.progress.as_deref().unwrap_or_default()));
            assert_eq!(seen, expected, "{status}");
            assert!(later.is_none_or(|s| s.updated_at == Some(pending.due)), "{status}");
        }
    }

    #[test]
    fn no_transient_status_outlives_the_time_bound() {
        for status in SnapshotStatus::ALL {
            let Some(completion) = status.completion() else { continue };
            let pending = delays(Progression::Manual).begin(completion, START);
            let row = Snapshot { pending: Some(pending), ..snapshot(status) };
            let late = row.effective(START.plus_seconds(1_000.0), Occasion::Reading).expect("a given-up row stays");
            assert!(late.status.completion().is_none(), "{status} became {}", late.status);
            assert_eq!(late.pending, None);
        }
    }
}
