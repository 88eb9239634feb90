//! Groups of volumes (`docs/spec/group-snapshots.md` section 2). A volume names its group, and that alone decides who is a
//! member. The group lists the volumes that may name it (`docs/adr/0026-groups.md`).

use super::identifiers::uuid_identifier;
use super::lifecycle::{Completion, Ending, Occasion, Pending};
use super::strings::words;
use super::{GroupSnapshotId, GroupTypeId, ProjectId, Timestamp, UserId, VolumeId, VolumeTypeId};

uuid_identifier!(
    /// The id of a group.
    GroupId
);

/// The status of a group (`cinder/objects/fields.py:GroupStatus`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupStatus {
    /// It failed.
    Error,
    /// It can be used.
    Available,
    /// A backend creates it.
    Creating,
    /// A backend deletes it.
    Deleting,
    /// Only `reset_status` gives a live row this status.
    Deleted,
    /// A backend moves volumes into it and out of it.
    Updating,
    /// Only `reset_status` sets this status.
    InUse,
    /// Only `reset_status` sets this status.
    ErrorDeleting,
}

words!(GroupStatus, "a group status", {
    Error => "error",
    Available => "available",
    Creating => "creating",
    Deleting => "deleting",
    Deleted => "deleted",
    Updating => "updating",
    InUse => "in-use",
    ErrorDeleting => "error_deleting",
});

impl GroupStatus {
    /// All statuses, in the order of Cinder's messages.
    pub const ALL: [Self; 8] = [
        Self::Error,
        Self::Available,
        Self::Creating,
        Self::Deleting,
        Self::Deleted,
        Self::Updating,
        Self::InUse,
        Self::ErrorDeleting,
    ];

    /// Returns how a backend's work ends this status, or `None` for a status that stays.
    #[must_use]
    pub const fn completion(self) -> Option<Completion> {
        match self {
            Self::Creating => Some(Completion::Create),
            Self::Deleting => Some(Completion::Remove),
            Self::Updating => Some(Completion::Move),
            Self::Error | Self::Available | Self::Deleted | Self::InUse | Self::ErrorDeleting => None,
        }
    }
}

/// The most volumes of a group. Each is changed by a compare-and-swap of its own, and Spin lets one request make 256.
pub const MOST_VOLUMES: usize = 100;

/// A group, as its row has it. Every reader calls [`Group::effective`] first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub id: GroupId,
    pub project_id: ProjectId,
    pub user_id: Option<UserId>,
    pub name: Option<String>,
    pub description: Option<String>,
    pub status: GroupStatus,
    pub group_type_id: GroupTypeId,
    /// The types that its volumes may have.
    pub volume_types: Vec<VolumeTypeId>,
    /// `host@backend#pool`; `None` until a scheduler has placed the group.
    pub host: Option<String>,
    /// The host that it gets with the end of its creation.
    pub next_host: Option<String>,
    pub availability_zone: Option<String>,
    /// The group snapshot that it was created from.
    pub group_snapshot_id: Option<GroupSnapshotId>,
    /// The group that it was created from.
    pub source_group_id: Option<GroupId>,
    pub replication_status: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Option<Timestamp>,
    pub pending: Option<Pending>,
    /// The volumes that may name the group, each of which is a member if it does. A volume is listed before it names the group,
    /// and no longer listed after it no longer does.
    pub volumes: Vec<VolumeId>,
    /// The volumes that an update moves into the group and out of it.
    pub added: Vec<VolumeId>,
    pub removed: Vec<VolumeId>,
    /// The groups that may be created from this one.
    pub copies: Vec<GroupId>,
}

impl Group {
    /// Returns the group as it is at `now`, with all changes that are due, or `None` if its removal is due.
    #[must_use]
    pub fn effective(mut self, now: Timestamp, occasion: Occasion) -> Option<Self> {
        while let Some((pending, ending)) =
            self.pending.and_then(|pending| Some((pending, pending.ending(now, occasion)?)))
        {
            match ending {
                Ending::Completed(Completion::Remove, _) => return None,
                Ending::Completed(Completion::Fail, at) => self.enter(GroupStatus::Error, None, at),
                Ending::Completed(_, at) => self.enter(GroupStatus::Available, None, at),
                Ending::Retried(again) => self.enter(self.status, Some(again), pending.gives_up),
                Ending::GivenUp(at) => self.enter(GroupStatus::Error, None, at),
            }
        }
        Some(self)
    }

    /// Changes the status at `now`, and starts the work of the new status. Volumes that an update has not moved stay where
    /// they are.
    pub fn enter(&mut self, status: GroupStatus, pending: Option<Pending>, now: Timestamp) {
        if pending.is_none_or(|pending| pending.completion != Completion::Create)
            && let Some(host) = self.next_host.take()
        {
            self.host.get_or_insert(host);
        }
        if status != GroupStatus::Updating {
            self.added.clear();
            self.removed.clear();
        }
        self.status = status;
        self.pending = pending;
        self.updated_at = Some(now);
    }

    /// Returns whether it was a consistency group. Lists leave it out.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.group_type_id == GroupTypeId::RESERVED
    }

    /// Lists volumes that are about to name the group.
    pub fn list_volumes(&mut self, volumes: &[VolumeId]) {
        for volume in volumes {
            if !self.volumes.contains(volume) {
                self.volumes.push(*volume);
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::domain::lifecycle::{Delays, Progression};

    const START: Timestamp = Timestamp::from_seconds(0);

    pub(crate) fn group(status: GroupStatus) -> Group {
        Group {
            id: GroupId::new(uuid::Uuid::from_u128(1)),
            project_id: "a1".parse().expect("a project id"),
            user_id: None,
            name: None,
            description: None,
            status,
            group_type_id: GroupTypeId::RESERVED,
            volume_types: vec![VolumeTypeId::DEFAULT],
            host: None,
            next_host: Some("h@b#p".to_owned()),
            availability_zone: None,
            group_snapshot_id: None,
            source_group_id: None,
            replication_status: None,
            created_at: START,
            updated_at: None,
            pending: None,
            volumes: Vec::new(),
            added: Vec::new(),
            removed: Vec::new(),
            copies: Vec::new(),
        }
    }

    fn delays(progression: Progression) -> Delays {
        Delays { progression, create_seconds: 2.0, delete_seconds: 1.0, give_up_seconds: 100.0, retries: 0 }
    }

    #[test]
    fn every_status_reads_as_it_prints() {
        for status in GroupStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
    }

    #[test]
    fn a_group_has_its_host_once_it_is_created() {
        let pending = delays(Progression::Time).begin(Completion::Create, START);
        let row = Group { pending: Some(pending), ..group(GroupStatus::Creating) };
        let before = row.clone().effective(START, Occasion::Reading).expect("a group");
        assert_eq!((before.status, before.host), (GroupStatus::Creating, None));
        let after = row.effective(START.plus_seconds(2.0), Occasion::Reading).expect("a group");
        assert_eq!((after.status, after.host.as_deref()), (GroupStatus::Available, Some("h@b#p")));
    }

    #[test]
    fn only_the_scheduled_step_ends_an_update() {
        let pending = delays(Progression::Time).begin(Completion::Move, START);
        let row = Group { pending: Some(pending), ..group(GroupStatus::Updating) };
        for occasion in [Occasion::Reading, Occasion::Tick, Occasion::OperatorTick] {
            let later = row.clone().effective(START.plus_seconds(50.0), occasion).expect("a group");
            assert_eq!(later.status, GroupStatus::Updating, "{occasion:?}");
        }
        let late = row.effective(START.plus_seconds(1_000.0), Occasion::Reading).expect("a group");
        assert_eq!(late.status, GroupStatus::Error);
    }

    #[test]
    fn no_transient_status_outlives_the_time_bound() {
        for status in GroupStatus::ALL {
            let Some(completion) = status.completion() else { continue };
            let row = Group { pending: Some(delays(Progression::Manual).begin(completion, START)), ..group(status) };
            let late = row.effective(START.plus_seconds(1_000.0), Occasion::Reading).expect("a given-up row stays");
            assert_eq!((late.status, late.pending), (GroupStatus::Error, None), "{status}");
        }
    }
}
