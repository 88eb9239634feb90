//! Backups of volumes and snapshots: their statuses, and the work on them (`docs/spec/backups.md`). No data is copied, so a
//! backup is a row with the facts that a real service would tell.
//!
//! Incremental backups make chains: each names its parent, and the parent names its dependents, so one row decides whether
//! a backup may be deleted (`docs/adr/0025-backups.md`).

use super::identifiers::uuid_identifier;
use super::lifecycle::{Completion, Ending, Occasion, Pending};
use super::message::Event;
use super::strings::words;
use super::{Metadata, ProjectId, SnapshotId, Timestamp, UserId, VolumeId, metadata};

uuid_identifier!(
    /// The id of a backup.
    BackupId
);

/// The status of a backup (`cinder/objects/fields.py:BackupStatus`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupStatus {
    /// It failed.
    Error,
    /// Only a document sets this status.
    ErrorDeleting,
    /// A service makes it, or imports its record.
    Creating,
    /// It can be used.
    Available,
    /// A service deletes it.
    Deleting,
    /// Only a document gives a live row this status.
    Deleted,
    /// A volume is restored from it.
    Restoring,
    /// Only a document sets this status.
    BackingUp,
}

words!(BackupStatus, "a backup status", {
    Error => "error",
    ErrorDeleting => "error_deleting",
    Creating => "creating",
    Available => "available",
    Deleting => "deleting",
    Deleted => "deleted",
    Restoring => "restoring",
    BackingUp => "backing-up",
});

impl BackupStatus {
    /// Returns how the work of a service ends this status, or `None` for a status that stays.
    #[must_use]
    pub const fn completion(self) -> Option<Completion> {
        match self {
            Self::Creating => Some(Completion::Create),
            Self::Deleting => Some(Completion::Remove),
            Self::Restoring | Self::BackingUp => Some(Completion::Release),
            Self::Error | Self::ErrorDeleting | Self::Available | Self::Deleted => None,
        }
    }
}

/// The name of the driver of the backup services.
pub const DRIVER: &str = "oracle_backup.OracleBackup";

/// The volume of a backup whose record is being imported.
pub const IMPORT_VOLUME: VolumeId = VolumeId::new(uuid::Uuid::nil());

/// The metadata item that names the backup from which a volume was restored.
pub const SOURCE_BACKUP: &str = "src_backup_id";

/// The reason for a backup that no service was there to make.
const NO_SERVICE: &str = "Service not found for creating backup.";

/// The reason for a backup that was not made in time. A restarted service gives it for every backup that it finds unfinished.
const UNFINISHED: &str = "incomplete backup reset on manager restart";

/// The reason for a backup that was not deleted in time.
const UNDELETED: &str = "The backup was not deleted in time.";

/// The service that does the work of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    pub host: String,
    pub availability_zone: String,
}

/// The fields of a backup that its record brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupRecord {
    pub name: Option<String>,
    pub description: Option<String>,
    pub container: Option<String>,
    pub object_count: Option<u32>,
    pub volume_id: VolumeId,
    pub snapshot_id: Option<SnapshotId>,
    pub data_timestamp: Option<Timestamp>,
    pub metadata: Metadata,
}

/// The changes that the end of the work under way brings, besides the status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A service makes the backup.
    Made(Placement),
    /// A service imports a record.
    Imported(Placement, Box<BackupRecord>),
    /// The record cannot be imported, for this reason.
    NotImported(String),
    /// A service sets a status for an administrator.
    Reset(BackupStatus),
}

/// An incremental backup, as its parent names it. Whether there is such a backup is for its own row to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dependent {
    pub id: BackupId,
    /// The time of the request that creates it.
    pub named_at: Timestamp,
    /// The time when it is made, which changes the parent. `None` if that is over, or never comes.
    pub due: Option<Timestamp>,
}

/// A backup, as its row has it. Every reader calls [`Backup::effective`] first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    pub id: BackupId,
    pub project_id: ProjectId,
    pub user_id: Option<UserId>,
    pub volume_id: VolumeId,
    pub snapshot_id: Option<SnapshotId>,
    /// The backup that an incremental one continues.
    pub parent_id: Option<BackupId>,
    pub name: Option<String>,
    pub description: Option<String>,
    pub metadata: Metadata,
    pub container: Option<String>,
    /// In GiB; `None` until a record is imported.
    pub size: Option<u32>,
    /// The size in GiB that the project counts.
    pub counted_size: u32,
    pub object_count: Option<u32>,
    pub status: BackupStatus,
    pub fail_reason: Option<String>,
    /// The host of the service; `None` until one has the backup.
    pub host: Option<String>,
    pub availability_zone: Option<String>,
    /// The driver of the service.
    pub service: Option<String>,
    /// The time of the data: that of the snapshot, or that of the backup itself.
    pub data_timestamp: Option<Timestamp>,
    /// The volume that was last restored from it.
    pub restore_volume_id: Option<VolumeId>,
    /// The key of an encrypted backup, which only a document brings.
    pub encryption_key_id: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Option<Timestamp>,
    pub pending: Option<Pending>,
    pub outcome: Option<Outcome>,
    /// The backups that name this one as their parent, and those that a request was about to create.
    pub dependents: Vec<Dependent>,
    /// Whether it was made, so that its parent shows that it has dependents.
    pub counts_as_dependent: bool,
}

impl Backup {
    /// Returns the backup as it is at `now`, with all changes that are due, or `None` if its removal is due.
    #[must_use]
    pub fn effective(mut self, now: Timestamp, occasion: Occasion) -> Option<Self> {
        while let Some((pending, ending)) =
            self.pending.and_then(|pending| Some((pending, pending.ending(now, occasion)?)))
        {
            match ending {
                Ending::Completed(Completion::Remove, _) => return None,
                Ending::Completed(completion, at) => self.end(completion, at),
                Ending::Retried(again) => {
                    self.pending = Some(again);
                    self.updated_at = Some(pending.gives_up);
                }
                Ending::GivenUp(at) => self.give_up(at),
            }
        }
        for dependent in &mut self.dependents {
            if let Some(due) = dependent.due.filter(|due| *due <= now) {
                dependent.due = None;
                self.updated_at = self.updated_at.max(Some(due));
            }
        }
        Some(self)
    }

    /// Ends the work under way.
    fn end(&mut self, completion: Completion, at: Timestamp) {
        let mut status = BackupStatus::Available;
        match self.outcome.take() {
            Some(Outcome::Reset(wanted)) => status = wanted,
            Some(Outcome::NotImported(reason)) => {
                status = BackupStatus::Error;
                self.fail_reason = Some(reason);
            }
            _ if completion == Completion::Fail => {
                status = BackupStatus::Error;
                self.fail_reason = Some(NO_SERVICE.to_owned());
            }
            Some(Outcome::Made(placement)) => self.place(placement),
            Some(Outcome::Imported(placement, record)) => {
                self.place(placement);
                let record = *record;
                self.name = record.name;
                self.description = record.description;
                self.container = record.container;
                self.size = Some(self.counted_size);
                self.object_count = record.object_count;
                self.volume_id = record.volume_id;
                self.snapshot_id = record.snapshot_id;
                self.data_timestamp = record.data_timestamp;
                self.metadata = record.metadata;
            }
            None => {}
        }
        self.counts_as_dependent |=
            self.status == BackupStatus::Creating && status == BackupStatus::Available && self.parent_id.is_some();
        self.enter(status, None, at);
    }

    /// Ends work for which the time is over, as a service does that restarts.
    fn give_up(&mut self, at: Timestamp) {
        let outcome = self.outcome.take();
        let status = match self.status {
            BackupStatus::Creating => {
                if let Some(Outcome::Made(placement)) = outcome {
                    self.place(placement);
                }
                self.fail_reason = Some(UNFINISHED.to_owned());
                BackupStatus::Error
            }
            BackupStatus::Deleting => {
                self.fail_reason = Some(UNDELETED.to_owned());
                BackupStatus::Error
            }
            BackupStatus::Restoring | BackupStatus::BackingUp => BackupStatus::Available,
            settled => settled,
        };
        self.enter(status, None, at);
    }

    /// Gives the backup to a service.
    pub fn place(&mut self, placement: Placement) {
        self.host = Some(placement.host);
        self.availability_zone.get_or_insert(placement.availability_zone);
        self.service = Some(DRIVER.to_owned());
    }

    /// Changes the status at `now`, and starts the work of the new status.
    pub fn enter(&mut self, status: BackupStatus, pending: Option<Pending>, now: Timestamp) {
        self.status = status;
        self.pending = pending;
        self.updated_at = Some(now);
    }

    /// Returns the backup with the status that an administrator has set, even if no service has applied it yet. Later requests
    /// depend on that status.
    #[must_use]
    pub fn with_reset_applied(mut self) -> Self {
        if let (Some(Outcome::Reset(_)), Some(pending)) = (&self.outcome, self.pending) {
            self.end(pending.completion, pending.begun);
        }
        self
    }

    /// Returns the failure of the work under way that a user message tells of. Cinder has none for an import.
    #[must_use]
    pub fn failure(&self) -> Option<Event> {
        let is_import = matches!(self.outcome, Some(Outcome::Imported(..) | Outcome::NotImported(_)));
        match (self.status, self.pending?.completion) {
            (BackupStatus::Creating, _) if is_import => None,
            (BackupStatus::Creating, Completion::Fail) => Some(Event::BACKUP_SCHEDULE),
            (BackupStatus::Creating, Completion::Create) => Some(Event::BACKUP_CREATE),
            (BackupStatus::Deleting, Completion::Remove) => Some(Event::BACKUP_DELETE),
            (BackupStatus::Restoring, Completion::Release) => Some(Event::BACKUP_RESTORE),
            _ => None,
        }
    }

    /// Returns the volume of the backup. An import under way knows it from its record.
    #[must_use]
    pub fn volume_of_record(&self) -> VolumeId {
        match &self.outcome {
            Some(Outcome::Imported(_, record)) => record.volume_id,
            _ => self.volume_id,
        }
    }

    /// Returns the size of its metadata, and of all else that grows, in bytes.
    #[must_use]
    pub fn metadata_size(&self) -> usize {
        let of_record = match &self.outcome {
            Some(Outcome::Imported(_, record)) => metadata::size(&record.metadata),
            _ => 0,
        };
        metadata::size(&self.metadata) + of_record + self.dependents.len() * size_of::<Dependent>()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::domain::lifecycle::{Delays, Progression};

    const START: Timestamp = Timestamp::from_seconds(100);

    fn delays(progression: Progression) -> Delays {
        Delays { progression, create_seconds: 2.0, delete_seconds: 1.0, give_up_seconds: 100.0, retries: 0 }
    }

    pub(crate) fn backup(status: BackupStatus) -> Backup {
        Backup {
            id: BackupId::new(uuid::Uuid::from_u128(1)),
            project_id: "a1".parse().expect("a project id"),
            user_id: None,
            volume_id: VolumeId::new(uuid::Uuid::from_u128(2)),
            snapshot_id: None,
            parent_id: None,
            name: None,
            description: None,
            metadata: Metadata::new(),
            container: None,
            size: Some(1),
            counted_size: 1,
            object_count: None,
            status,
            fail_reason: None,
            host: None,
            availability_zone: None,
            service: None,
            data_timestamp: None,
            restore_volume_id: None,
            encryption_key_id: None,
            created_at: START,
            updated_at: None,
            pending: None,
            outcome: None,
            dependents: Vec::new(),
            counts_as_dependent: false,
        }
    }

    fn placement() -> Placement {
        Placement { host: "h".to_owned(), availability_zone: "z".to_owned() }
    }

    #[test]
    fn work_ends_as_its_kind_and_its_outcome_say() {
        use BackupStatus::{Available, Creating, Deleting, Error, Restoring};
        let made = || Some(Outcome::Made(placement()));
        let refused = || Some(Outcome::NotImported("no".to_owned()));
        let reset = |status| Some(Outcome::Reset(status));
        let cases = [
            (Creating, Completion::Create, made(), Some((Available, Some("h"), None))),
            (Creating, Completion::Create, None, Some((Available, None, None))),
            (Creating, Completion::Fail, None, Some((Error, None, Some(NO_SERVICE)))),
            (Creating, Completion::Fail, refused(), Some((Error, None, Some("no")))),
            (Restoring, Completion::Release, None, Some((Available, None, None))),
            (Available, Completion::Release, reset(Error), Some((Error, None, None))),
            (Creating, Completion::Release, reset(Available), Some((Available, None, None))),
            (Deleting, Completion::Remove, None, None),
        ];
        for (status, completion, outcome, expected) in cases {
            let pending = delays(Progression::Time).begin(completion, START);
            let row = Backup { pending: Some(pending), outcome, ..backup(status) };
            assert_eq!(row.clone().effective(START, Occasion::Reading).as_ref(), Some(&row), "{status} {completion:?}");
            let later = row.effective(START.plus_seconds(5.0), Occasion::Reading);
            let seen = later.as_ref().map(|row| (row.status, row.host.as_deref(), row.fail_reason.as_deref()));
            assert_eq!(seen, expected, "{status} {completion:?}");
            assert!(later.is_none_or(|row| row.outcome.is_none() && row.updated_at == Some(pending.due)), "{status}");
        }
    }

    #[test]
    fn no_transient_status_outlives_the_time_bound() {
        use BackupStatus::{Available, BackingUp, Creating, Deleting, Error, Restoring};
        for (status, given_up) in [(Creating, Error), (Deleting, Error), (Restoring, Available), (BackingUp, Available)]
        {
            let completion = status.completion().expect("a transient status");
            let pending = delays(Progression::Manual).begin(completion, START);
            let row = Backup { pending: Some(pending), outcome: Some(Outcome::Made(placement())), ..backup(status) };
            let late = row.effective(START.plus_seconds(1_000.0), Occasion::Reading).expect("a given-up row stays");
            assert_eq!((late.status, late.pending, late.outcome), (given_up, None, None));
            assert_eq!(late.fail_reason.is_some(), given_up == Error, "{status}");
        }
    }

    #[test]
    fn an_incremental_backup_counts_once_it_is_made() {
        let pending = |completion| Some(delays(Progression::Time).begin(completion, START));
        let parent_id = Some(BackupId::new(uuid::Uuid::nil()));
        for (completion, expected) in [(Completion::Create, true), (Completion::Fail, false)] {
            let row = Backup { parent_id, pending: pending(completion), ..backup(BackupStatus::Creating) };
            let counts = |seconds| {
                let seen = row.clone().effective(START.plus_seconds(seconds), Occasion::Reading);
                seen.map(|row| row.counts_as_dependent)
            };
            assert_eq!((counts(0.0), counts(5.0)), (Some(false), Some(expected)), "{completion:?}");
        }
        let due = START.plus_seconds(2.0);
        let dependent = Dependent { id: BackupId::new(uuid::Uuid::nil()), named_at: START, due: Some(due) };
        let parent = Backup { dependents: vec![dependent], ..backup(BackupStatus::Available) };
        assert_eq!(parent.clone().effective(START, Occasion::Reading).and_then(|row| row.updated_at), None);
        assert_eq!(parent.effective(due, Occasion::Reading).and_then(|row| row.updated_at), Some(due));
    }
}
