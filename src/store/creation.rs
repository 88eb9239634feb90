//! The creation of rows: the project's record lists and counts a row before the row is written, so every row that was ever
//! written can be found. A create that stops in between leaves an entry without a row. Readers skip it, and the
//! scheduled step drops it within seconds (`docs/adr/0017-the-order-of-a-create.md`).
//!
//! The step finds such an entry through the agenda. A create is announced there before its record is written: by an item
//! of its own, or together with all creates of a project by one item, so that most creates write two values.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::domain::lifecycle::is_in_future;
use crate::domain::quota::Amounts;
use crate::domain::trees::set_of;
use crate::domain::{Group, Pending, ProjectId, Schedule, Timestamp, Volume, VolumeId, VolumeTypeId, VolumeTypes};

use super::Store;
use super::agenda::{AgendaItem, Purpose};
use super::codec::envelope::{decode_optional, encode_fresh, is_same_write};
use super::index::{Direction, Entry, IndexReader, PageSource, Position};
use super::key_value::StoreError;
use super::keys;
use super::projects::{ProjectRecord, RECORD_READS, UpdateError, decode_record};
use super::row::{Kind, Row, with_row_type};
use super::rows::{LARGE_ROWS_AT_ONCE, decode_row};
use super::unreadable::StoredRow;

/// The time, in seconds, after which the scheduled step looks for the rows of announced creates.
const LOOKED_FOR_SECONDS: f64 = 3.0;

/// The age, in seconds, up to which an entry without a row belongs to a create that is still running.
const RUNNING_SECONDS: f64 = 5.0;

/// The time, in seconds, for which a row must have been missed before its entry is dropped. The age of the entry does not
/// show how long the row has been missing: among many writers, an entry may be seconds old when the record gets it.
const MISSED_SECONDS: f64 = 3.0;

/// The time, in seconds, after which the name of a missed row is removed from its record, since nothing was dropped.
const FORGOTTEN_SECONDS: f64 = 60.0;

/// The creates of a project that the scheduled step has not looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Creates {
    /// The number of the agenda item that announces them. It is random, and changes with each look and with each
    /// replacement of the state, so none comes back.
    pub announcement: u64,
    /// The creation time of the oldest one, or `None` if there are none. The item is on the agenda unless this is `None`.
    pub since: Option<Timestamp>,
    /// Rows that were not there when a tick or a repair looked first, with the times of these looks. Their entries are dropped
    /// unless their creates object.
    pub missed: BTreeMap<Uuid, Timestamp>,
}

/// A row that is about to be created.
#[derive(Debug)]
pub struct NewRow {
    kind: Kind,
    entry: Entry,
    /// The key and the value.
    stored: (String, Vec<u8>),
    is_large: bool,
    ends_with_tick: bool,
    /// The agenda item of this row alone, unless its project announces it.
    item: Option<AgendaItem>,
    /// The item of its work, if a failure of the work leaves a user message.
    failure: Option<AgendaItem>,
}

impl NewRow {
    /// Encodes a row.
    ///
    /// # Errors
    ///
    /// A row that the format cannot hold.
    pub fn of<T: Row>(row: &T) -> Result<Self, StoreError> {
        let key = keys::row(T::KIND, row.id());
        let bytes = encode_fresh(&key, row)?;
        let created_at = row.created_at();
        let ends_with_tick = row.pending().filter(|pending| pending.schedule == Schedule::NextTick);
        let item = match ends_with_tick {
            // The scheduled step must look at this row in any case.
            Some(pending) => Some(AgendaItem::for_work(row, pending)),
            None if T::HAS_SIZE_OF_VOLUME => None,
            None => Some(AgendaItem::now(row, created_at).at(created_at, created_at.plus_seconds(LOOKED_FOR_SECONDS))),
        };
        let leaves_message = |pending: &Pending| ends_with_tick.is_none() && pending.may_leave_message();
        Ok(Self {
            kind: T::KIND,
            entry: row.entry(),
            stored: (key, bytes),
            is_large: row.is_large(),
            ends_with_tick: ends_with_tick.is_some(),
            item: item.map(|item| item.with_purpose(Purpose::New)),
            failure: row.pending().filter(leaves_message).map(|pending| AgendaItem::for_work(row, pending)),
        })
    }
}

/// Rows of one project that are to be listed and counted together, and then written.
struct Creation<'a> {
    project: &'a ProjectId,
    rows: &'a [NewRow],
    amounts: &'a Amounts,
    of_other_projects_volume: bool,
}

/// The part of a volume that decides the amounts of its snapshots.
#[derive(Debug, Clone, Copy)]
pub(super) struct VolumeSize {
    size: u32,
    volume_type: Option<VolumeTypeId>,
}

/// The result of dropping entries without rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dropped {
    /// The number of entries that were dropped.
    pub entries: usize,
    /// Rows that have not been missed for long enough. Their entries stay until a later call.
    pub waiting: BTreeSet<Uuid>,
}

/// The result of a look at the creates of a project.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Look {
    /// Entries that were dropped because their rows were never written.
    pub dropped: usize,
    /// The compare-and-swaps that the look made, without retries.
    pub swaps: usize,
}

/// Returns whether a create of that time may still be running. A time in the future is from before the clock was set back.
#[must_use]
pub fn may_be_running(created_at: Timestamp, clock: Timestamp) -> bool {
    created_at.plus_seconds(RUNNING_SECONDS) > clock && !is_in_future(created_at, clock)
}

/// Returns the id of the agenda item with a number: the FNV-1a hash of the project, since records begin with the same
/// number, and the number.
fn announcement_id(project: &ProjectId, announcement: u64) -> Uuid {
    let hash = project
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    Uuid::from_u64_pair(hash, announcement)
}

impl AgendaItem {
    /// Returns the item that announces the creates of a project.
    fn of_creates(project: &ProjectId, announcement: u64, clock: Timestamp) -> Self {
        Self {
            project: project.clone(),
            kind: Kind::Snapshot,
            id: announcement_id(project, announcement),
            since: clock.microseconds(),
            due: clock.plus_seconds(LOOKED_FOR_SECONDS).microseconds(),
            created: 0,
            size: 0,
            volume_type: None,
            counted: false,
            purpose: Purpose::Creates,
        }
    }

    /// Returns the item of a row that is created, from its entry and its volume.
    pub(super) fn of_entry(project: &ProjectId, kind: Kind, entry: &Entry, volume: VolumeSize) -> Self {
        let created = entry.position.created_at.microseconds();
        Self {
            project: project.clone(),
            kind,
            id: entry.position.id,
            since: created,
            due: created,
            created,
            size: volume.size,
            volume_type: volume.volume_type,
            counted: true,
            purpose: Purpose::New,
        }
    }

    /// Returns whether it is time to look at the creates that this item announces.
    #[must_use]
    pub fn announces_due_creates(&self, clock: Timestamp) -> bool {
        self.purpose == Purpose::Creates && (self.due <= clock.microseconds() || self.is_from_future(clock))
    }
}

impl Store<'_> {
    /// Lists and counts a new row in its project's record, if `admit` accepts it given the record, and then writes the
    /// row. Returns the given volume as it is once the row is written.
    ///
    /// # Errors
    ///
    /// The error of `admit`, [`StoreError::Contended`], or [`StoreError::Undone`]. The row does not exist then. After
    /// [`StoreError::Unknown`] or a failure of the host the row may exist or not, as after any lost answer. If it does not, the
    /// scheduled step drops its entry.
    pub fn create<T: Row, E: From<StoreError>>(
        &self,
        row: &T,
        amounts: &Amounts,
        of_other_projects_volume: bool,
        volume: Option<VolumeId>,
        admit: impl FnMut(&ProjectRecord) -> Result<(), E>,
    ) -> Result<Option<Volume>, E> {
        let also = volume.map(|id| (keys::row(Volume::KIND, id.as_uuid()), id));
        let key = also.as_ref().map(|(key, _)| key.clone());
        let value = self.create_and_read(row, amounts, of_other_projects_volume, key, admit)?;
        Ok(also.map(|(key, id)| decode_row(&key, id.as_uuid(), value)).transpose()?.flatten())
    }

    /// Creates a volume like [`Store::create`], and returns the volume types and the volume's group as they are once the row is
    /// written.
    ///
    /// # Errors
    ///
    /// As for [`Store::create`].
    pub fn create_volume<E: From<StoreError>>(
        &self,
        volume: &Volume,
        amounts: &Amounts,
        mut admit: impl FnMut(&ProjectRecord) -> Result<(), E>,
    ) -> Result<(VolumeTypes, Option<Group>), E> {
        let group = volume.group_id.map(|id| (keys::row(Kind::Group, id.as_uuid()), id));
        let mut keys = vec![keys::VOLUME_TYPES.to_owned()];
        keys.extend(group.iter().map(|(key, _)| key.clone()));
        let rows = [NewRow::of(volume)?];
        let project = &volume.project_id;
        let mut values = self.create_together(project, &rows, amounts, false, keys, &mut admit)?.into_iter();
        let types = decode_optional(keys::VOLUME_TYPES, values.next().flatten())?.unwrap_or_default();
        let value = values.next().flatten();
        let group = group.map(|(key, id)| decode_row(&key, id.as_uuid(), value)).transpose()?.flatten();
        Ok((types, group))
    }

    /// Creates a row, and returns the value of another key as it is once the row is written.
    fn create_and_read<T: Row, E: From<StoreError>>(
        &self,
        row: &T,
        amounts: &Amounts,
        of_other_projects_volume: bool,
        also: Option<String>,
        mut admit: impl FnMut(&ProjectRecord) -> Result<(), E>,
    ) -> Result<Option<Vec<u8>>, E> {
        let rows = [NewRow::of(row)?];
        let creation = Creation { project: row.project_id(), rows: &rows, amounts, of_other_projects_volume };
        Ok(self.list_write_and_read(&creation, also.into_iter().collect(), &mut admit)?.pop().flatten())
    }

    /// Creates rows of one project together: one swap lists and counts all of them, and one commit writes them. Returns the
    /// values of other keys as they are once the rows are written.
    ///
    /// # Errors
    ///
    /// As for [`Store::create`].
    pub(super) fn create_together<E: From<StoreError>>(
        &self,
        project: &ProjectId,
        rows: &[NewRow],
        amounts: &Amounts,
        of_other_projects_volume: bool,
        also: Vec<String>,
        admit: &mut dyn FnMut(&ProjectRecord) -> Result<(), E>,
    ) -> Result<Vec<Option<Vec<u8>>>, E> {
        self.list_write_and_read(&Creation { project, rows, amounts, of_other_projects_volume }, also, admit)
    }

    fn list_write_and_read<E: From<StoreError>>(
        &self,
        creation: &Creation<'_>,
        also: Vec<String>,
        admit: &mut dyn FnMut(&ProjectRecord) -> Result<(), E>,
    ) -> Result<Vec<Option<Vec<u8>>>, E> {
        let record = self.list_and_count(creation, admit)?;
        match creation.rows {
            [one] => self.set_many(std::slice::from_ref(&one.stored))?,
            rows => self.set_many(&rows.iter().map(|row| row.stored.clone()).collect::<Vec<_>>())?,
        }
        let also = self.confirm(creation, &record, also)?;
        let failures: Vec<AgendaItem> = creation.rows.iter().filter_map(|row| row.failure.clone()).collect();
        if !failures.is_empty() {
            // If we stop before this, the scheduled step finds the row when it looks after the project.
            self.schedule(&failures)?;
        }
        Ok(also)
    }

    /// Lists and counts rows in their project's record, after announcing them. Returns the bytes of the record.
    fn list_and_count<E: From<StoreError>>(
        &self,
        creation: &Creation<'_>,
        admit: &mut dyn FnMut(&ProjectRecord) -> Result<(), E>,
    ) -> Result<Vec<u8>, E> {
        let Creation { project, rows, amounts, of_other_projects_volume } = creation;
        let Some(created_at) = rows.first().map(|row| row.entry.position.created_at) else { return Ok(Vec::new()) };
        let own: Vec<AgendaItem> = rows.iter().filter_map(|row| row.item.clone()).collect();
        let ends_with_tick = rows.iter().any(|row| row.ends_with_tick);
        // Rows without items of their own.
        let are_joint = own.len() < rows.len();
        let mut announced: Vec<Uuid> = Vec::new();
        let mut written = Vec::new();
        let outcome = self.update_project(project, &mut written, |record, writes| {
            for row in *rows {
                record.index_mut(row.kind).insert(row.entry, &mut writes.pages, writes.source)?;
            }
            admit(record)?;
            record.take(amounts);
            record.has_large_rows |= rows.iter().any(|row| row.is_large);
            if *of_other_projects_volume && !record.has_snapshots_of_other_projects_volumes {
                // A request that deletes a volume must find this project before the project has such a snapshot.
                self.enter(project, true)?;
                record.has_snapshots_of_other_projects_volumes = true;
            }
            let creates = &mut record.creates;
            let of_all = AgendaItem::of_creates(project, creates.announcement, created_at);
            let mut wanted = own.clone();
            if are_joint && creates.since.is_none() {
                wanted.push(of_all.clone());
            }
            wanted.retain(|item| !announced.contains(&item.id));
            if !wanted.is_empty() && self.announce(&wanted, ends_with_tick)? {
                announced.extend(wanted.iter().map(|item| item.id));
            }
            if are_joint && (creates.since.is_some() || announced.contains(&of_all.id)) {
                creates.since = Some(creates.since.map_or(created_at, |since| since.min(created_at)));
            }
            Ok::<_, E>(())
        });
        match outcome {
            Ok(()) => Ok(written),
            // The record no longer remembers whether this write landed, but it says whether it lists the rows. A row is never
            // written without its entry.
            Err(UpdateError::Store(StoreError::Unknown(key))) => {
                if self.has_entries(creation)? {
                    Ok(written)
                } else {
                    Err(StoreError::Undone(key).into())
                }
            }
            Err(UpdateError::Refused(refusal)) => Err(refusal),
            Err(UpdateError::Store(error)) => Err(error.into()),
        }
    }

    /// Puts items on the agenda, and returns whether they are there. While a newer release's agenda cannot be read, a
    /// create goes on without an announcement, unless only a tick can end its work.
    fn announce(&self, items: &[AgendaItem], is_needed: bool) -> Result<bool, StoreError> {
        let scheduled = self.schedule(items).map(drop);
        if is_needed {
            return scheduled.map(|()| true);
        }
        Ok(self.without_unreadable(scheduled)?.is_some())
    }

    /// Returns whether the record lists the rows.
    fn has_entries(&self, creation: &Creation<'_>) -> Result<bool, StoreError> {
        for _ in 0..RECORD_READS {
            let Some(record) = self.project(creation.project)? else { return Ok(false) };
            match self.lists_all(&record, creation) {
                // A page was replaced since the record was read.
                Err(StoreError::Contended(_)) => {}
                listed => return listed,
            }
        }
        Err(StoreError::Unknown(keys::project(creation.project)))
    }

    fn lists_all(&self, record: &ProjectRecord, creation: &Creation<'_>) -> Result<bool, StoreError> {
        for kind in Kind::ALL {
            let of_kind = creation.rows.iter().filter(|row| row.kind == kind);
            let positions: Vec<Position> = of_kind.map(|row| row.entry.position).collect();
            let listed = record.index(kind).listed(&positions, self);
            if listed.map_err(|error| self.lost_page(creation.project, error))?.len() < positions.len() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Checks that the record still lists rows that were just written, and reads other keys in the same call. If an entry
    /// is gone, the create is undone. `written` has the bytes of the record that listed them.
    fn confirm(
        &self,
        creation: &Creation<'_>,
        written: &[u8],
        also: Vec<String>,
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let mut keys = vec![keys::project(creation.project)];
        keys.extend(also);
        for _ in 0..RECORD_READS {
            let mut values = self.key_value.get_many(&keys)?.into_iter();
            let record = values.next().flatten();
            // Most records are still as they were written, and need not be decoded.
            let is_listed = if record.as_deref().is_some_and(|record| is_same_write(record, written)) {
                true
            } else {
                match self.still_lists(decode_record(&keys[0], creation.project, record)?, creation) {
                    // A page was replaced since the record was read.
                    Err(StoreError::Contended(_)) => continue,
                    is_listed => is_listed?,
                }
            };
            if !is_listed {
                return Err(self.undo(creation)?);
            }
            return Ok(values.collect());
        }
        Err(StoreError::Unknown(keys.swap_remove(0)))
    }

    /// Deletes rows of which one has no entry any more, since the create was too slow or the whole state was replaced, and
    /// returns the error of the create. If a row is gone too, it has been seen: a row is removed before its entry.
    fn undo(&self, creation: &Creation<'_>) -> Result<StoreError, StoreError> {
        let rows: Vec<String> = creation.rows.iter().map(|row| row.stored.0.clone()).collect();
        let stored = self.key_value.get_many(&rows)?;
        if let Some((gone, _)) = rows.iter().zip(stored).find(|(_, value)| value.is_none()) {
            return Ok(StoreError::Unknown(gone.clone()));
        }
        self.delete_many(&rows)?;
        Ok(StoreError::Undone(keys::project(creation.project)))
    }

    /// Returns whether a record lists rows that were just written, and keeps the entries of rows that were missed.
    fn still_lists(&self, record: Option<ProjectRecord>, creation: &Creation<'_>) -> Result<bool, StoreError> {
        let Some(record) = record else { return Ok(false) };
        if !self.lists_all(&record, creation)? {
            return Ok(false);
        }
        let is_missed = |row: &NewRow| record.creates.missed.contains_key(&row.entry.position.id);
        if creation.rows.iter().any(is_missed) { self.object(creation) } else { Ok(true) }
    }

    /// Keeps the entries of rows that were missed but are written now. Returns whether there still are all of them.
    fn object(&self, creation: &Creation<'_>) -> Result<bool, StoreError> {
        self.change_project(creation.project, |record, writes| {
            let mut are_listed = true;
            for row in creation.rows {
                let position = row.entry.position;
                record.creates.missed.remove(&position.id);
                are_listed &= !record.index(row.kind).listed(&[position], writes.source)?.is_empty();
            }
            Ok(are_listed)
        })
    }

    /// Looks for the rows of the creates that an item announces, and drops the entries whose rows were never written.
    /// Creates that may still be running are announced again. `agenda` has the rows that have items of their own and need no
    /// look. Afterwards the item may be forgotten.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn look_at_creates(
        &self,
        item: &AgendaItem,
        agenda: &BTreeSet<(Kind, Uuid)>,
        clock: Timestamp,
    ) -> Result<Look, StoreError> {
        let project = &item.project;
        let mut look = Look { dropped: 0, swaps: 1 };
        // Another look came first, or the state was replaced. A create that knows this item only will fail to swap.
        let Some(record) = self.project(project)?.filter(|record| record.creates.announces(item)) else {
            return Ok(Look::default());
        };
        let mut seen: BTreeSet<Uuid> = BTreeSet::new();
        let mut running = None;
        let mut unwritten: Vec<(Kind, Entry)> = Vec::new();
        let entries = entries_since(&record, record.creates.since, self);
        for (kind, entry) in entries.map_err(|error| self.lost_page(project, error))? {
            seen.insert(entry.position.id);
            unwritten.push((kind, entry));
        }
        let keys: Vec<String> = unwritten.iter().map(|(kind, entry)| keys::row(*kind, entry.position.id)).collect();
        let is_written = self.are_stored(&record, &keys)?;
        let mut is_written = is_written.into_iter();
        unwritten
            .retain(|(kind, entry)| is_written.next() != Some(true) && !agenda.contains(&(*kind, entry.position.id)));
        unwritten.retain(|(_, entry)| {
            let created_at = entry.position.created_at;
            let is_running = may_be_running(created_at, clock);
            if is_running {
                running = Some(running.map_or(created_at, |oldest: Timestamp| oldest.min(created_at)));
            }
            !is_running
        });
        if !unwritten.is_empty() {
            look.swaps += 3;
            look.dropped = self.drop_creates(project, &unwritten, clock)?;
        }

        let next = self.identifiers.number();
        let mut is_announced = false;
        self.change_project(project, |record, writes| {
            if !record.creates.announces(item) {
                return Ok(());
            }
            // Creates that have joined since the record was read.
            let joined = entries_since(record, record.creates.since, writes.source)?;
            let joined = joined.into_iter().map(|(_, entry)| entry.position).filter(|own| !seen.contains(&own.id));
            let since = joined.map(|position| position.created_at).chain(running).min();
            if since.is_some() && !is_announced {
                self.schedule(&[AgendaItem::of_creates(project, next, clock)])?;
                is_announced = true;
                look.swaps += 1;
            }
            record.creates.announcement = next;
            record.creates.since = since;
            Ok(())
        })?;
        Ok(look)
    }

    /// Drops the entries of announced creates. A snapshot has the size of its volume, so the amounts are known without
    /// the row. If the volume is gone too, or has changed since, the project is counted as a whole.
    fn drop_creates(
        &self,
        project: &ProjectId,
        unwritten: &[(Kind, Entry)],
        clock: Timestamp,
    ) -> Result<usize, StoreError> {
        let entries: Vec<Entry> = unwritten.iter().map(|(_, entry)| *entry).collect();
        let mut items = Vec::with_capacity(unwritten.len());
        for ((kind, entry), volume) in unwritten.iter().zip(self.sizes_of_volumes(&entries)?) {
            let Some(volume) = volume else { continue };
            let item = AgendaItem::of_entry(project, *kind, entry, volume);
            items.push(item.at(clock, clock));
        }
        // A create that is merely slow may write its row later and stop before it looks. The step looks at these once
        // more before it forgets them.
        self.schedule(&items)?;
        let gigabytes = self.deployment()?.snapshots_count_gigabytes();
        let mut dropped = self.drop_unwritten(project, &items, gigabytes, clock)?.entries;
        let of_lost_volumes = unwritten.len() - items.len();
        if of_lost_volumes > 0 {
            let repaired = self.repair_project(project, clock)?.entries_without_row;
            if repaired < of_lost_volumes {
                // Another writer has dropped them, or the next look does.
                return Err(StoreError::Contended(keys::project(project)));
            }
            dropped += repaired;
        }
        Ok(dropped)
    }

    /// Drops the entries of rows that were never written, and gives back their quota.
    ///
    /// A create that is merely slow writes its row and then reads the record. So the record names the missed rows first, and a
    /// later call drops those that are still missed. Each attempt to drop them reads the rows after the record that it
    /// replaces. So either the row is seen here, or the create finds that it was missed, and its objection makes the swap fail.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn drop_unwritten(
        &self,
        project: &ProjectId,
        items: &[AgendaItem],
        snapshots_count_gigabytes: bool,
        clock: Timestamp,
    ) -> Result<Dropped, StoreError> {
        let Some(record) = self.project(project)? else { return Ok(Dropped::default()) };
        let mut items = self.listed(&record, items)?;
        if items.iter().any(|item| !record.creates.missed.contains_key(&item.id)) {
            self.change_project(project, |record, _| {
                let missed = &mut record.creates.missed;
                missed.retain(|_, since| since.plus_seconds(FORGOTTEN_SECONDS) > clock);
                for item in &items {
                    missed.entry(item.id).or_insert(clock);
                }
                Ok(())
            })?;
        }
        let is_due = |item: &mut AgendaItem| record.creates.was_missed_long_ago(item.id, clock);
        let due: Vec<AgendaItem> = items.extract_if(.., is_due).collect();
        let waiting = set_of(items.iter().map(|item| item.id));
        if due.is_empty() {
            return Ok(Dropped { entries: 0, waiting });
        }
        let keys: Vec<String> = due.iter().map(|item| keys::row(item.kind, item.id)).collect();
        self.change_project(project, |record, writes| {
            let is_written = self.are_stored(record, &keys)?;
            let mut entries = 0;
            for (item, is_written) in due.iter().zip(is_written) {
                if record.creates.missed.remove(&item.id).is_none() || is_written {
                    continue;
                }
                let index = record.index_mut(item.kind);
                if !index.remove(&[item.position()], &mut writes.pages, writes.source)?.is_empty() {
                    record.give_back(&item.amounts(snapshots_count_gigabytes));
                    entries += 1;
                }
            }
            Ok(Dropped { entries, waiting: waiting.clone() })
        })
    }

    /// Returns the sizes of the volumes of snapshots, in the order of the entries of these. A size is `None` if the volume is
    /// gone or cannot be read, and if it may have changed since the snapshot was made. The volumes may be of any projects,
    /// so any of them may be large.
    pub(super) fn sizes_of_volumes(&self, entries: &[Entry]) -> Result<Vec<Option<VolumeSize>>, StoreError> {
        let mut distinct: Vec<Uuid> = entries.iter().map(|entry| entry.volume_id).collect();
        distinct.sort_unstable();
        distinct.dedup();
        let mut sizes: Vec<Option<(VolumeSize, Option<Timestamp>)>> = Vec::with_capacity(distinct.len());
        for ids in distinct.chunks(LARGE_ROWS_AT_ONCE) {
            let volumes = self.rows::<Volume>(ids)?.into_iter().map(StoredRow::readable);
            let size = |volume: Volume| {
                (VolumeSize { size: volume.size, volume_type: volume.volume_type_id }, volume.updated_at)
            };
            sizes.extend(volumes.map(|volume| volume.map(size)));
        }
        let size = |entry: &Entry| {
            let (size, updated_at) = sizes[distinct.binary_search(&entry.volume_id).ok()?]?;
            let is_older = |updated_at: Timestamp| updated_at.plus_seconds(RUNNING_SECONDS) < entry.position.created_at;
            updated_at.is_none_or(is_older).then_some(size)
        };
        Ok(entries.iter().map(size).collect())
    }
}

/// Returns the entries from a time on of the kinds whose creates are announced together, or none without a time.
fn entries_since(
    record: &ProjectRecord,
    since: Option<Timestamp>,
    source: &dyn PageSource,
) -> Result<Vec<(Kind, Entry)>, StoreError> {
    let mut entries = Vec::new();
    let Some(since) = since else { return Ok(entries) };
    let first = Position { created_at: since, id: Uuid::nil() };
    for kind in Kind::ALL {
        if !with_row_type!(kind, R => R::HAS_SIZE_OF_VOLUME) {
            continue;
        }
        let mut reader = IndexReader::new(record.index(kind).clone(), Direction::NewestFirst, None);
        loop {
            if reader.waits_for_page() {
                for page in source.read(&reader.wanted_pages(1, 1))? {
                    reader.supply(page)?;
                }
            }
            match reader.take() {
                Some(entry) if entry.position >= first => entries.push((kind, entry)),
                _ => break,
            }
        }
    }
    Ok(entries)
}

impl ProjectRecord {
    /// Returns the agenda item that announces creates, if there are any.
    pub(super) fn announcement(&self) -> Option<AgendaItem> {
        let since = self.creates.since?;
        Some(AgendaItem::of_creates(&self.project, self.creates.announcement, since))
    }

    /// Returns whether a create of that time is announced by an item on the agenda, so that the scheduled step looks for its
    /// row.
    pub(super) fn announces_create(
        &self,
        kind: Kind,
        created_at: Timestamp,
        agenda: &BTreeMap<(Kind, Uuid), AgendaItem>,
    ) -> bool {
        with_row_type!(kind, R => R::HAS_SIZE_OF_VOLUME)
            && self.creates.since.is_some_and(|since| since <= created_at)
            && self.announcement().is_some_and(|item| agenda.contains_key(&item.row()))
    }
}

impl Creates {
    /// Returns whether an agenda item is the announcement of these creates.
    fn announces(&self, item: &AgendaItem) -> bool {
        item.id == announcement_id(&item.project, self.announcement)
    }

    /// Returns whether a row has been missed for long enough that its entry may be dropped.
    fn was_missed_long_ago(&self, id: Uuid, clock: Timestamp) -> bool {
        let is_long_ago =
            |since: &Timestamp| since.plus_seconds(MISSED_SECONDS) <= clock || is_in_future(*since, clock);
        self.missed.get(&id).is_some_and(is_long_ago)
    }
}
