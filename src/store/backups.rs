//! The row of a backup: its layout in bytes, the facts that the store needs, and the names that a parent has of the
//! incremental backups that continue it (`docs/adr/0025-backups.md`).

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::backup::{Backup, BackupId, BackupRecord, Dependent, Outcome, Placement};
use crate::domain::lifecycle::Occasion;
use crate::domain::message::Event;
use crate::domain::quota::Counted;
use crate::domain::trees::map_of;
use crate::domain::{Pending, ProjectId, Timestamp, UserId, VolumeId, metadata};

use super::Store;
use super::agenda::{Agenda, AgendaItem, Purpose};
use super::codec::envelope::{Stored, decode_optional};
use super::codec::metadata::{metadata, owned, pairs, parse};
use super::codec::pending::StoredPending;
use super::codec::rows;
use super::compare_and_swap::Change;
use super::creation::may_be_running;
use super::deployment::Deployment;
use super::key_value::StoreError;
use super::keys;
use super::row::{Kind, Row, Rows};
use super::rows::{LARGE_ROWS_AT_ONCE, decode_row};
use super::slots::slot_of;
use super::unreadable::StoredRow;

/// The number of times that a request looks whether something has ended. The pauses in between take some three seconds.
const LOOKS: u32 = 20;

impl Row for Backup {
    type Id = BackupId;
    const KIND: Kind = Kind::Backup;
    const KEY_PREFIX: &'static str = "vs1:backup:";
    const COUNTED: Option<Counted> = Some(Counted::Backups);
    const ALWAYS_COUNTS_GIGABYTES: bool = true;

    fn list(rows: &Rows) -> &Vec<Self> {
        &rows.backups
    }

    fn list_mut(rows: &mut Rows) -> &mut Vec<Self> {
        &mut rows.backups
    }

    fn id(&self) -> Uuid {
        self.id.as_uuid()
    }

    fn project_id(&self) -> &ProjectId {
        &self.project_id
    }

    fn created_at(&self) -> Timestamp {
        self.created_at
    }

    fn indexed_volume(&self) -> Uuid {
        self.volume_of_record().as_uuid()
    }

    fn size(&self) -> u32 {
        self.counted_size
    }

    fn is_large(&self) -> bool {
        self.metadata_size() > metadata::LARGE
    }

    fn consumes_quota(&self) -> bool {
        true
    }

    fn pending(&self) -> Option<Pending> {
        self.pending
    }

    fn failure(&self) -> Option<Event> {
        self.failure()
    }

    fn with_pending(self, pending: Option<Pending>) -> Self {
        Self { pending, ..self }
    }

    fn effective(self, now: Timestamp, occasion: Occasion) -> Option<Self> {
        self.effective(now, occasion)
    }
}

/// The stored form of a [`BackupRecord`] and its placement.
#[derive(Debug, Serialize, Deserialize)]
struct StoredImport<'a> {
    host: &'a str,
    zone: &'a str,
    name: Option<&'a str>,
    description: Option<&'a str>,
    container: Option<&'a str>,
    object_count: Option<u32>,
    volume: Uuid,
    snapshot: Option<Uuid>,
    data: Option<i64>,
    metadata: Vec<(&'a str, &'a str)>,
}

/// The stored form of an [`Outcome`]. The first string of a placement is its host.
#[derive(Debug, Serialize, Deserialize)]
enum StoredOutcome<'a> {
    Made(&'a str, &'a str),
    #[serde(borrow)]
    Imported(StoredImport<'a>),
    NotImported(&'a str),
    Reset(&'a str),
}

/// The stored form of a [`Dependent`]: its id, the time of its request, and the time when it is made.
type StoredDependent = (Uuid, i64, Option<i64>);

/// The stored form of a [`Backup`]. The order of the fields is the format.
#[derive(Debug, Serialize, Deserialize)]
struct StoredBackup<'a> {
    id: Uuid,
    project: &'a str,
    user: Option<&'a str>,
    volume: Uuid,
    snapshot: Option<Uuid>,
    parent: Option<Uuid>,
    name: Option<&'a str>,
    description: Option<&'a str>,
    metadata: Vec<(&'a str, &'a str)>,
    container: Option<&'a str>,
    size: Option<u32>,
    counted_size: u32,
    object_count: Option<u32>,
    status: &'a str,
    fail_reason: Option<&'a str>,
    host: Option<&'a str>,
    zone: Option<&'a str>,
    service: Option<&'a str>,
    data: Option<i64>,
    restored: Option<Uuid>,
    encryption_key: Option<&'a str>,
    created: i64,
    updated: Option<i64>,
    pending: Option<StoredPending<'a>>,
    #[serde(borrow)]
    outcome: Option<StoredOutcome<'a>>,
    dependents: Vec<StoredDependent>,
    counts_as_dependent: bool,
}

impl Stored for Backup {
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        rows::write(&StoredBackup::from(self), bytes)
    }

    fn read(_version: u32, bytes: &[u8]) -> Result<Self, String> {
        rows::read::<StoredBackup<'_>>(bytes)?.try_into()
    }
}

impl<'a> From<&'a Outcome> for StoredOutcome<'a> {
    fn from(outcome: &'a Outcome) -> Self {
        match outcome {
            Outcome::Made(Placement { host, availability_zone }) => Self::Made(host, availability_zone),
            Outcome::Imported(Placement { host, availability_zone }, record) => Self::Imported(StoredImport {
                host,
                zone: availability_zone,
                name: record.name.as_deref(),
                description: record.description.as_deref(),
                container: record.container.as_deref(),
                object_count: record.object_count,
                volume: record.volume_id.as_uuid(),
                snapshot: record.snapshot_id.map(Into::into),
                data: record.data_timestamp.map(Timestamp::microseconds),
                metadata: pairs(&record.metadata),
            }),
            Outcome::NotImported(reason) => Self::NotImported(reason),
            Outcome::Reset(status) => Self::Reset(status.as_str()),
        }
    }
}

impl TryFrom<StoredOutcome<'_>> for Outcome {
    type Error = String;

    fn try_from(stored: StoredOutcome<'_>) -> Result<Self, String> {
        let placement = |host: &str, availability_zone: &str| Placement {
            host: host.to_owned(),
            availability_zone: availability_zone.to_owned(),
        };
        Ok(match stored {
            StoredOutcome::Made(host, zone) => Self::Made(placement(host, zone)),
            StoredOutcome::Imported(record) => Self::Imported(
                placement(record.host, record.zone),
                Box::new(BackupRecord {
                    name: owned(record.name),
                    description: owned(record.description),
                    container: owned(record.container),
                    object_count: record.object_count,
                    volume_id: VolumeId::new(record.volume),
                    snapshot_id: record.snapshot.map(Into::into),
                    data_timestamp: record.data.map(Timestamp::from_microseconds),
                    metadata: metadata(&record.metadata),
                }),
            ),
            StoredOutcome::NotImported(reason) => Self::NotImported(reason.to_owned()),
            StoredOutcome::Reset(status) => Self::Reset(parse(status)?),
        })
    }
}

impl<'a> From<&'a Backup> for StoredBackup<'a> {
    fn from(backup: &'a Backup) -> Self {
        let dependent =
            |own: &Dependent| (own.id.as_uuid(), own.named_at.microseconds(), own.due.map(Timestamp::microseconds));
        Self {
            id: backup.id.as_uuid(),
            project: backup.project_id.as_str(),
            user: backup.user_id.as_ref().map(UserId::as_str),
            volume: backup.volume_id.as_uuid(),
            snapshot: backup.snapshot_id.map(Into::into),
            parent: backup.parent_id.map(Into::into),
            name: backup.name.as_deref(),
            description: backup.description.as_deref(),
            metadata: pairs(&backup.metadata),
            container: backup.container.as_deref(),
            size: backup.size,
            counted_size: backup.counted_size,
            object_count: backup.object_count,
            status: backup.status.as_str(),
            fail_reason: backup.fail_reason.as_deref(),
            host: backup.host.as_deref(),
            zone: backup.availability_zone.as_deref(),
            service: backup.service.as_deref(),
            data: backup.data_timestamp.map(Timestamp::microseconds),
            restored: backup.restore_volume_id.map(Into::into),
            encryption_key: backup.encryption_key_id.as_deref(),
            created: backup.created_at.microseconds(),
            updated: backup.updated_at.map(Timestamp::microseconds),
            pending: backup.pending.map(Into::into),
            outcome: backup.outcome.as_ref().map(Into::into),
            dependents: backup.dependents.iter().map(dependent).collect(),
            counts_as_dependent: backup.counts_as_dependent,
        }
    }
}

impl TryFrom<StoredBackup<'_>> for Backup {
    type Error = String;

    fn try_from(stored: StoredBackup<'_>) -> Result<Self, String> {
        let dependent = |(id, named_at, due): StoredDependent| Dependent {
            id: BackupId::new(id),
            named_at: Timestamp::from_microseconds(named_at),
            due: due.map(Timestamp::from_microseconds),
        };
        Ok(Self {
            id: stored.id.into(),
            project_id: parse(stored.project)?,
            user_id: stored.user.map(parse).transpose()?,
            volume_id: stored.volume.into(),
            snapshot_id: stored.snapshot.map(Into::into),
            parent_id: stored.parent.map(Into::into),
            name: owned(stored.name),
            description: owned(stored.description),
            metadata: metadata(&stored.metadata),
            container: owned(stored.container),
            size: stored.size,
            counted_size: stored.counted_size,
            object_count: stored.object_count,
            status: parse(stored.status)?,
            fail_reason: owned(stored.fail_reason),
            host: owned(stored.host),
            availability_zone: owned(stored.zone),
            service: owned(stored.service),
            data_timestamp: stored.data.map(Timestamp::from_microseconds),
            restore_volume_id: stored.restored.map(Into::into),
            encryption_key_id: owned(stored.encryption_key),
            created_at: Timestamp::from_microseconds(stored.created),
            updated_at: stored.updated.map(Timestamp::from_microseconds),
            pending: stored.pending.map(TryInto::try_into).transpose()?,
            outcome: stored.outcome.map(TryInto::try_into).transpose()?,
            dependents: stored.dependents.into_iter().map(dependent).collect(),
            counts_as_dependent: stored.counts_as_dependent,
        })
    }
}

impl Store<'_> {
    /// Returns a backup and the deployment, in one call.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn backup_and_deployment(&self, id: BackupId) -> Result<(Option<Backup>, Deployment), StoreError> {
        let keys = [keys::row(Kind::Backup, id.as_uuid()), keys::DEPLOYMENT.to_owned()];
        let mut values = self.key_value.get_many(&keys)?.into_iter();
        let backup = decode_row(&keys[0], id.as_uuid(), values.next().flatten())?;
        let deployment = decode_optional::<Deployment>(&keys[1], values.next().flatten())?;
        Ok((backup, deployment.unwrap_or_default()))
    }

    /// Returns the ids of those backups on which others depend that were made.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn with_dependents<'b>(
        &self,
        backups: impl Iterator<Item = &'b Backup>,
        now: Timestamp,
    ) -> Result<Vec<BackupId>, StoreError> {
        let named = backups.flat_map(|backup| backup.dependents.iter().map(|own| (own.id.as_uuid(), backup.id)));
        let parents = map_of(named);
        let ids: Vec<Uuid> = parents.keys().copied().collect();
        let mut found = Vec::new();
        for ids in ids.chunks(LARGE_ROWS_AT_ONCE) {
            let rows = self.rows::<Backup>(ids)?.into_iter().filter_map(StoredRow::readable);
            let counted = rows.filter_map(|row| row.effective(now, Occasion::Reading));
            found.extend(
                counted.filter(|row| row.counts_as_dependent).filter_map(|row| parents.get(&row.id.as_uuid()).copied()),
            );
        }
        Ok(found)
    }

    /// Returns the number of those backups that depend on one and were made.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn dependents_of(&self, backup: &Backup, now: Timestamp) -> Result<usize, StoreError> {
        Ok(self.with_dependents(std::iter::once(backup), now)?.len())
    }

    /// Returns those names of a backup behind which there is no backup: their requests stopped, or they were deleted. A
    /// request that may be running is about to create its backup. A row that cannot be read is an error, since it may be there.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn wasted_names(&self, backup: &Backup, now: Timestamp) -> Result<Vec<Dependent>, StoreError> {
        let mut wasted = Vec::new();
        for dependents in backup.dependents.chunks(LARGE_ROWS_AT_ONCE) {
            let ids: Vec<Uuid> = dependents.iter().map(|own| own.id.as_uuid()).collect();
            for (dependent, row) in dependents.iter().zip(self.rows::<Backup>(&ids)?) {
                let is_wasted = match row {
                    StoredRow::Readable(row) => row.effective(now, Occasion::Reading).is_none(),
                    StoredRow::Gone => !may_be_running(dependent.named_at, now),
                    StoredRow::Unreadable => {
                        let key = keys::row(Kind::Backup, dependent.id.as_uuid());
                        return Err(StoreError::Corrupt { key, reason: "another backup names it".to_owned() });
                    }
                };
                wasted.extend(is_wasted.then_some(*dependent));
            }
        }
        Ok(wasted)
    }

    /// Takes names of backups that are gone out of their parent, which was changed at that time.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn forget_dependents(
        &self,
        parent: BackupId,
        gone: &[BackupId],
        at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        self.update(parent, |row: Option<Backup>| {
            let Some(mut row) = row else { return Ok(Change::Leave(())) };
            let before = row.dependents.len();
            row.dependents.retain(|own| !gone.contains(&own.id));
            if row.dependents.len() == before {
                return Ok(Change::Leave(()));
            }
            row.updated_at = row.updated_at.max(at);
            Ok(Change::Write(row, ()))
        })
    }

    /// Returns the parents of backups that are about to be removed, each with its dependents among them.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn parents_of(&self, items: &[AgendaItem]) -> Result<Vec<(BackupId, Vec<BackupId>)>, StoreError> {
        let ids: Vec<Uuid> = items.iter().filter(|item| item.kind == Kind::Backup).map(|item| item.id).collect();
        let mut parents: Vec<(BackupId, Vec<BackupId>)> = Vec::new();
        for ids in ids.chunks(LARGE_ROWS_AT_ONCE) {
            for row in self.rows::<Backup>(ids)?.into_iter().filter_map(StoredRow::readable) {
                let Some(parent) = row.parent_id else { continue };
                match parents.iter_mut().find(|(own, _)| *own == parent) {
                    Some((_, dependents)) => dependents.push(row.id),
                    None => parents.push((parent, vec![row.id])),
                }
            }
        }
        Ok(parents)
    }

    /// Returns whether a backup has an ancestor with an id. A chain that is damaged ends where it is.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn has_ancestor(&self, mut parent: Option<BackupId>, id: BackupId) -> Result<bool, StoreError> {
        let mut seen: Vec<BackupId> = Vec::new();
        while let Some(own) = parent.filter(|own| !seen.contains(own)) {
            if own == id {
                return Ok(true);
            }
            seen.push(own);
            parent = self.row::<Backup>(own)?.and_then(|row| row.parent_id);
        }
        Ok(false)
    }

    /// Makes this request the only one that imports a backup, and waits for another one that may be running. After some
    /// three seconds, gives up and returns false.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn claim_import(&self, id: BackupId, now: Timestamp) -> Result<bool, StoreError> {
        for attempt in 0..LOOKS {
            let is_claimed = self.change_deployment(|deployment| {
                deployment.imports.retain(|_, claimed| may_be_running(*claimed, now));
                let is_free = !deployment.imports.contains_key(&id);
                if is_free {
                    deployment.imports.insert(id, now);
                }
                is_free
            })?;
            if is_claimed {
                return Ok(true);
            }
            self.key_value.pause(attempt);
        }
        Ok(false)
    }

    /// Allows other requests to import a backup again.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn release_import(&self, id: BackupId) -> Result<(), StoreError> {
        self.change_deployment(|deployment| deployment.imports.remove(&id).is_some()).map(drop)
    }

    /// Returns whether there is a backup, whether it can be read or not, or `None` while the scheduled step still has to remove
    /// one of that id from a project.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn has_backup(&self, id: BackupId, project: &ProjectId, now: Timestamp) -> Result<Option<bool>, StoreError> {
        let keys = [keys::row(Kind::Backup, id.as_uuid()), keys::agenda(slot_of(project))];
        let mut values = self.key_value.get_many(&keys)?.into_iter();
        let row = self.without_unreadable(decode_row::<Backup>(&keys[0], id.as_uuid(), values.next().flatten()))?;
        match row {
            Some(None) => {}
            Some(Some(row)) if row.clone().effective(now, Occasion::Reading).is_none() => return Ok(None),
            Some(Some(_)) | None => return Ok(Some(true)),
        }
        let agenda = decode_optional::<Agenda>(&keys[1], values.next().flatten())?.unwrap_or_default();
        let Some(item) = agenda.items.into_iter().find(|item| item.row() == (Kind::Backup, id.as_uuid())) else {
            return Ok(Some(false));
        };
        if item.purpose != Purpose::New {
            return Ok(None);
        }
        // A create that stopped has left an entry for the step to drop. After a replacement of the state there is none.
        let Some(record) = self.project(project)? else { return Ok(Some(false)) };
        Ok(if self.listed(&record, &[item])?.is_empty() { Some(false) } else { None })
    }

    /// Waits until the scheduled step has removed a backup that was just deleted, and returns whether there is one then. After some
    /// three seconds, gives up and returns `None`.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn await_removal(&self, id: BackupId, project: &ProjectId, now: Timestamp) -> Result<Option<bool>, StoreError> {
        for attempt in 0..LOOKS {
            let exists = self.has_backup(id, project, now)?;
            if exists.is_some() {
                return Ok(exists);
            }
            self.key_value.pause(attempt);
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::backup::tests::backup;
    use crate::domain::{BackupStatus, SnapshotId};

    /// These are the bytes of format version 1. Other bytes would need another version.
    #[test]
    fn a_row_has_the_bytes_that_it_always_had() {
        let some = |string: &str| Some(string.to_owned());
        let full = Backup {
            user_id: Some("u".parse().expect("a user id")),
            snapshot_id: Some(SnapshotId::new(Uuid::from_u128(3))),
            parent_id: Some(BackupId::new(Uuid::from_u128(4))),
            name: some("n"),
            metadata: [("k".to_owned(), "v".to_owned())].into_iter().collect(),
            container: some("c"),
            object_count: Some(22),
            fail_reason: some("why"),
            host: some("h"),
            availability_zone: some("z"),
            service: some("s"),
            data_timestamp: Some(Timestamp::from_microseconds(1)),
            restore_volume_id: Some(VolumeId::new(Uuid::from_u128(5))),
            encryption_key_id: some("e"),
            created_at: Timestamp::from_microseconds(2),
            updated_at: Some(Timestamp::from_microseconds(3)),
            outcome: Some(Outcome::Made(Placement { host: "p".to_owned(), availability_zone: "q".to_owned() })),
            dependents: vec![Dependent {
                id: BackupId::new(Uuid::from_u128(6)),
                named_at: Timestamp::from_microseconds(4),
                due: Some(Timestamp::from_microseconds(5)),
            }],
            counts_as_dependent: true,
            ..backup(BackupStatus::Error)
        };
        let mut bytes = Vec::new();
        full.write(&mut bytes).expect("writes");
        let id = |number: u8| [b"\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".as_slice(), &[number]].concat();
        let expected = [
            id(1),
            b"\x02a1\x01\x01u".to_vec(),
            id(2),
            b"\x01".to_vec(),
            id(3),
            b"\x01".to_vec(),
            id(4),
            b"\x01\x01n\0\x01\x01k\x01v\x01\x01c\x01\x01\x01\x01\x16".to_vec(),
            b"\x05error\x01\x03why\x01\x01h\x01\x01z\x01\x01s\x01\x02\x01".to_vec(),
            id(5),
            b"\x01\x01e\x04\x01\x06\0\x01\0\x01p\x01q\x01".to_vec(),
            id(6),
            b"\x08\x01\x0a\x01".to_vec(),
        ];
        assert_eq!(bytes, expected.concat(), "{}", bytes.escape_ascii());
        assert_eq!(Backup::read(1, &bytes), Ok(full));
    }

    #[test]
    fn every_outcome_is_read_as_it_was_written() {
        let placement = || Placement { host: "p".to_owned(), availability_zone: "q".to_owned() };
        let record = BackupRecord {
            name: Some("n".to_owned()),
            description: None,
            container: Some(String::new()),
            object_count: None,
            volume_id: VolumeId::new(Uuid::from_u128(7)),
            snapshot_id: None,
            data_timestamp: Some(Timestamp::from_microseconds(8)),
            metadata: [("k".to_owned(), "v".to_owned())].into_iter().collect(),
        };
        for outcome in [
            Outcome::Made(placement()),
            Outcome::Imported(placement(), Box::new(record)),
            Outcome::NotImported("no".to_owned()),
            Outcome::Reset(BackupStatus::Error),
        ] {
            let row = Backup { outcome: Some(outcome), ..backup(BackupStatus::Creating) };
            let mut bytes = Vec::new();
            row.write(&mut bytes).expect("writes");
            assert_eq!(Backup::read(1, &bytes), Ok(row));
        }
    }
}
