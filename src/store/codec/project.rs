//! A project's record as a line of JSON followed by its indexes in bytes, and the directory as JSON.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::quota::Amounts;
use crate::domain::trees::map_of;
use crate::domain::{Extension, ProjectId, Timestamp, VolumeTypeId};
use crate::store::creation::Creates;
use crate::store::directory::{Directory, DirectoryEntry};
use crate::store::extension::Reservation;
use crate::store::index::{Index, PageId};
use crate::store::projects::ProjectRecord;
use crate::store::row::Kind;

use super::bytes::Bytes;
use super::envelope::Stored;

/// The number of kinds that every record has an index of. A record lacks the index of a kind that was added after it was
/// written.
const FIRST_KINDS: usize = 2;

/// The line of JSON. Fields that hold their default are left out.
#[derive(Serialize, Deserialize)]
struct StoredRecord {
    project: ProjectId,
    #[serde(default, skip_serializing_if = "Amounts::is_empty")]
    totals: Amounts,
    #[serde(default, skip_serializing_if = "Amounts::is_empty")]
    usage: Amounts,
    #[serde(default, skip_serializing_if = "Amounts::is_empty")]
    quotas: Amounts,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    retired: Vec<PageId>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    has_snapshots_of_other_projects_volumes: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    has_large_rows: bool,
    #[serde(default, skip_serializing_if = "is_zero")]
    announcement: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    creates_since: Option<i64>,
    /// The rows with the times of the first look, in microseconds since the epoch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    missed_since: Vec<(Uuid, i64)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reservations: Vec<StoredReservation>,
}

/// The stored form of a [`Reservation`]: the volume, its sizes, its type, and the time of the request.
#[derive(Serialize, Deserialize)]
struct StoredReservation(Uuid, u32, u32, Option<VolumeTypeId>, i64);

impl From<(&Uuid, &Reservation)> for StoredReservation {
    fn from((volume, reservation): (&Uuid, &Reservation)) -> Self {
        let Extension { from, to, begun } = reservation.extension;
        Self(*volume, from, to, reservation.volume_type, begun.microseconds())
    }
}

impl From<StoredReservation> for (Uuid, Reservation) {
    fn from(StoredReservation(volume, from, to, volume_type, begun): StoredReservation) -> Self {
        let extension = Extension { from, to, begun: Timestamp::from_microseconds(begun) };
        (volume, Reservation { extension, volume_type })
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference, which is small on 64-bit targets only")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Stored for ProjectRecord {
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        let stored = StoredRecord {
            project: self.project.clone(),
            totals: self.totals.clone(),
            usage: self.usage.clone(),
            quotas: self.quotas.clone(),
            retired: self.retired.clone(),
            has_snapshots_of_other_projects_volumes: self.has_snapshots_of_other_projects_volumes,
            has_large_rows: self.has_large_rows,
            announcement: self.creates.announcement,
            creates_since: self.creates.since.map(Timestamp::microseconds),
            missed_since: self.creates.missed.iter().map(|(id, since)| (*id, since.microseconds())).collect(),
            reservations: self.reservations.iter().map(StoredReservation::from).collect(),
        };
        serde_json::to_writer(&mut *bytes, &stored).map_err(|error| error.to_string())?;
        bytes.push(b'\n');
        Kind::ALL.into_iter().try_for_each(|kind| self.index(kind).write(bytes))
    }

    fn read(_version: u32, bytes: &[u8]) -> Result<Self, String> {
        // The JSON is written without a line break.
        let end = bytes.iter().position(|byte| *byte == b'\n').ok_or("it has no indexes")?;
        let stored: StoredRecord = crate::json::read(&bytes[..end]).map_err(|error| error.to_string())?;
        let mut record = Self::new(stored.project);
        record.totals = stored.totals;
        record.usage = stored.usage;
        record.quotas = stored.quotas;
        record.retired = stored.retired;
        record.has_snapshots_of_other_projects_volumes = stored.has_snapshots_of_other_projects_volumes;
        record.has_large_rows = stored.has_large_rows;
        record.creates = Creates {
            announcement: stored.announcement,
            since: stored.creates_since.map(Timestamp::from_microseconds),
            missed: map_of(stored.missed_since.into_iter().map(|(id, at)| (id, Timestamp::from_microseconds(at)))),
        };
        record.reservations = stored.reservations.into_iter().map(Into::into).collect();
        let mut indexes = Bytes::new(&bytes[end + 1..]);
        for (number, kind) in Kind::ALL.into_iter().enumerate() {
            if number >= FIRST_KINDS && indexes.is_empty() {
                break;
            }
            *record.index_mut(kind) = Index::read(&mut indexes)?;
        }
        if indexes.is_empty() { Ok(record) } else { Err("it goes on after its indexes".to_owned()) }
    }
}

/// The stored form of a [`DirectoryEntry`].
#[derive(Serialize, Deserialize)]
struct StoredEntry {
    project: ProjectId,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    has_snapshots_of_other_projects_volumes: bool,
}

impl Stored for Directory {
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        let stored = |entry: &DirectoryEntry| StoredEntry {
            project: entry.project.clone(),
            has_snapshots_of_other_projects_volumes: entry.has_snapshots_of_other_projects_volumes,
        };
        let entries: Vec<StoredEntry> = self.0.iter().map(stored).collect();
        serde_json::to_writer(bytes, &entries).map_err(|error| error.to_string())
    }

    fn read(_version: u32, bytes: &[u8]) -> Result<Self, String> {
        let entries: Vec<StoredEntry> = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let entry = |stored: StoredEntry| DirectoryEntry {
            project: stored.project,
            has_snapshots_of_other_projects_volumes: stored.has_snapshots_of_other_projects_volumes,
        };
        Ok(Self(entries.into_iter().map(entry).collect()))
    }
}
