//! The small catalogue of volumes that snapshots need (`docs/spec/beyond.md` section 2, `docs/spec/lifecycle.md`
//! section 8).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use uuid::Uuid;

use crate::domain::backup::Placement;
use crate::domain::capabilities::POOL;
use crate::domain::lifecycle::{Completion, Occasion, Pending, Schedule};
use crate::domain::quota::{self, Counted};
use crate::domain::service_uuid::service_uuid;
use crate::domain::snapshot::Cause;
use crate::domain::trees::set_of;
use crate::domain::{
    AttachmentPointer, AttachmentSlot, Backup, BackupStatus, Group, Metadata, Provisioning, Snapshot, SnapshotStatus,
    Timestamp, Volume, VolumeId, VolumeStatus, VolumeType, VolumeTypes, metadata,
};
use crate::store::agenda::{AgendaItem, Purpose};
use crate::store::deployment::{Deployment, VOLUME_BINARY};
use crate::store::index::Direction;
use crate::store::projects::ProjectRecord;
use crate::store::rows::rows_at_once;
use crate::store::{Change, Kind, Listing, StoredRow};

use super::backups::invalid_backup;
use super::group_snapshots::is_removed_group;
use super::groups::takes_volumes;
use super::listing::{Column, ListRequest, Listed, columns};
use super::metadata::{Access, HasMetadata};
use super::policy::Rule;
use super::volume_update_actions::is_busy;
use super::{Error, Service};

/// The host that the scheduler prefers.
pub(super) const HOST: &str = "host1@lvm#pool";

/// The availability zone of a volume that is created without one.
pub(super) const ZONE: &str = "nova";

/// The message for a volume that cannot be deleted. Cinder has one message for all reasons.
const NOT_DELETABLE: &str = "Invalid volume: Volume status must be available or error or error_restoring or \
                             error_extending or error_managing and must not be migrating, attached, belong to a \
                             group, have snapshots, awaiting a transfer, or be disassociated from snapshots after \
                             volume transfer.";

/// The message for a forced delete, which no status prevents. The two spaces are Cinder's.
const NOT_FORCED: &str = "Invalid volume: Volume  must not be migrating, attached, belong to a group, have snapshots, \
                          awaiting a transfer, or be disassociated from snapshots after volume transfer.";

/// The metadata of the snapshots that a request marks as deleting with their volume, in bytes together. If they have more,
/// the scheduled step removes them, since all of them are in memory when they are marked.
const MARKED_BYTES: usize = 8 << 20;

/// The snapshots of a volume that may be in memory together.
#[derive(Clone, Copy)]
struct Kept {
    rows: usize,
    /// The bytes of their metadata.
    bytes: usize,
}

impl Kept {
    const EVERY_ROW: Self = Self { rows: usize::MAX, bytes: usize::MAX };
    const NO_ROW: Self = Self { rows: 0, bytes: 0 };
}

/// The snapshots that are deleted with their volume.
struct Deletable {
    /// The snapshots, or none if there are too many to be in memory together.
    snapshots: Vec<Snapshot>,
    are_many: bool,
}

/// The parameters of a create.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewVolume {
    pub name: Option<String>,
    pub description: Option<String>,
    pub metadata: Metadata,
    /// The size in GiB. The default is the size of the source from which the volume is created.
    pub size: Option<u32>,
    pub snapshot_id: Option<String>,
    /// The volume that is cloned.
    pub source_volid: Option<String>,
    /// The groups that the volume is to be in.
    pub groups: Vec<String>,
    /// The image. There is no image service here.
    pub image: Option<String>,
    pub backup_id: Option<String>,
    pub availability_zone: Option<String>,
    /// The name or the id of the type. The default is the type of the snapshot, or that of the deployment.
    pub volume_type: Option<String>,
    /// Whether the client sent the parameter `multiattach` that Cinder has removed.
    pub multiattach: bool,
}

/// A volume that is about to be created, with the facts that its checks have read.
pub(super) struct VolumeDraft {
    pub(super) volume: Volume,
    volume_type: VolumeType,
    types: VolumeTypes,
    deployment: Deployment,
    /// Whether a backend is there for it, and a service for the backup that it is made from.
    pub(super) has_backend: bool,
    /// The backup that it is made from, and the service that restores it.
    backup: Option<Backup>,
    backup_service: Option<Placement>,
    /// The group that it joins.
    group: Option<Group>,
}

/// The message for a volume with several sources.
const SEVERAL_SOURCES: &str =
    "Invalid input received: May specify only one of backup, imageRef, snapshot, source volume";

/// The number of the volumes of a project or of all, their size together, and their metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeSummary {
    pub count: usize,
    /// In GiB.
    pub size: u64,
    /// The distinct values of each key.
    pub metadata: BTreeMap<String, BTreeSet<String>>,
}

/// The message for the removed parameter `multiattach`.
const MULTIATTACH_REMOVED: &str = "multiattach parameter has been removed. The default behavior is to use multiattach \
                                   enabled volume types. Contact your administrator to create a multiattach enabled \
                                   volume type and use it to create multiattach volumes.";

/// The changes of an update. The outer `None` leaves a field unchanged, and the inner `None` clears it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeUpdate {
    pub name: Option<Option<String>>,
    pub description: Option<Option<String>>,
    pub metadata: Option<Metadata>,
}

impl Service<'_> {
    /// Creates a volume. The clock finishes the work later.
    ///
    /// # Errors
    ///
    /// Not allowed, the snapshot is not found or not usable, no size, or over quota.
    pub fn create_volume(&self, new: NewVolume) -> Result<(Volume, VolumeTypes), Error> {
        let draft = self.draft_volume(new)?;
        let source = draft.backup.clone().zip(draft.backup_service.clone());
        let (volume, types) = self.save_volume(draft)?;
        if let Some((backup, service)) = source {
            let times = volume.pending.map_or_else(|| self.begin_restoration(), Ok)?;
            let pending = Pending { completion: Completion::Release, ..times };
            self.restore_to_created(&backup, &volume, &service, pending)?;
        }
        Ok((volume, types))
    }

    /// Returns a new volume that the caller may create, before its quota is checked.
    pub(super) fn draft_volume(&self, new: NewVolume) -> Result<VolumeDraft, Error> {
        let project_id = self.caller.project()?.clone();
        let (deployment, types) = self.store.deployment_and_volume_types()?;
        let named = new.volume_type.as_deref().filter(|name| !name.is_empty());
        let named = named.map(|name| self.volume_type_named(&types, name)).transpose()?;
        let snapshot = new.snapshot_id.as_deref().map(|id| self.readable_snapshot(id)).transpose()?;
        let source = new.source_volid.as_deref().map(|id| self.cloned_volume(id)).transpose()?;
        let mut groups = new.groups.iter().map(|id| self.readable_group(id)).collect::<Result<Vec<_>, _>>()?;
        let group = groups.pop();
        if new.image.is_some() {
            let message = "Invalid image identifier or unable to access requested image.";
            return Err(Error::BadRequest(message.to_owned()));
        }
        let backup = new.backup_id.as_deref().filter(|id| !id.is_empty());
        let backup = backup.map(|id| self.readable_backup(id)).transpose()?.map(Backup::with_reset_applied);
        if new.multiattach {
            return Err(Error::BadRequest(MULTIATTACH_REMOVED.to_owned()));
        }
        self.caller.allow(Rule::CreateVolume, &project_id)?;
        let volume_of_snapshot = match &snapshot {
            Some(snapshot) => self.volume_of(snapshot)?.0,
            None => None,
        };
        let wanted = new.size.or_else(|| backup.as_ref().and_then(|backup| backup.size));
        let volume_type = self.type_of_new_volume(&types, named, snapshot.as_ref(), source.as_ref(), wanted)?;
        if let Some(group) = &group {
            refuse_type_for_group(named, group)?;
        }
        let size = match &backup {
            Some(_) if snapshot.is_some() || source.is_some() => {
                return Err(Error::BadRequest(SEVERAL_SOURCES.to_owned()));
            }
            Some(backup) => size_of_restored_volume(new.size, backup)?,
            None => size_of_new_volume(new.size, snapshot.as_ref(), source.as_ref())?,
        };
        let parent = source.as_ref().or(volume_of_snapshot.as_ref());
        let image_metadata = parent.filter(|parent| parent.bootable || source.is_some());
        let image_metadata = image_metadata.map(|parent| parent.image_metadata.clone()).unwrap_or_default();
        let zone_of_parent = || parent.and_then(|parent| parent.availability_zone.clone());
        let zone_of_group = group.as_ref().and_then(|group| group.availability_zone.clone());
        let zone = zone_of_group.or(new.availability_zone).or_else(zone_of_parent).unwrap_or_else(|| ZONE.to_owned());
        let host_of_group = group.as_ref().and_then(|group| group.host.as_deref());
        let host_of_source = host_of_group.or_else(|| parent.and_then(|parent| parent.host.as_deref()));
        let host = host_of_new_volume(&deployment, volume_type, &zone, host_of_source);
        self.refuse_reserved_type(&types, volume_type)?;
        self.check_new_metadata(&new.metadata)?;
        let zone_of_backup = backup.as_ref().map(|backup| backup.availability_zone.as_deref());
        let backup_service = zone_of_backup.and_then(|zone| deployment.backup_service(zone));
        let host = host.filter(|_| backup.is_none() || backup_service.is_some());
        let has_backend = host.is_some();
        let volume = Volume {
            id: VolumeId::new(self.identifiers.uuid()),
            project_id,
            user_id: self.caller.user_id.clone(),
            name: new.name,
            description: new.description,
            metadata: new.metadata,
            size,
            status: VolumeStatus::CREATING,
            previous_status: None,
            host: None,
            cluster_name: None,
            availability_zone: Some(zone),
            attach_status: "detached".to_owned(),
            migration_status: None,
            volume_type_id: Some(volume_type.id),
            snapshot_id: snapshot.map(|snapshot| snapshot.id),
            source_volid: source.as_ref().map(|source| source.id),
            group_id: group.as_ref().map(|group| group.id),
            bootable: parent.is_some_and(|parent| parent.bootable),
            multiattach: volume_type.is_multiattach(),
            admin_metadata: Metadata::new(),
            image_metadata: Metadata::new(),
            attachments: Vec::new(),
            next_attachment: None,
            created_at: self.now,
            updated_at: None,
            consumes_quota: true,
            pending: Some(self.begin(if host.is_some() { Completion::Create } else { Completion::Fail })?),
            provisioning: host.map(|host| Provisioning { host, image_metadata }),
            extension: None,
            restored_from: backup.as_ref().filter(|_| has_backend).map(|backup| backup.id),
        };
        let volume_type = volume_type.clone();
        let backup_service = backup_service.filter(|_| has_backend);
        Ok(VolumeDraft { volume, volume_type, types, deployment, has_backend, backup, backup_service, group })
    }

    /// Creates a volume, if the quota has room for it.
    pub(super) fn save_volume(&self, draft: VolumeDraft) -> Result<(Volume, VolumeTypes), Error> {
        let VolumeDraft { volume, volume_type, types, deployment, group, .. } = draft;
        if let Some(group) = &group {
            takes_volumes(group)?;
            self.list_in_group(group, volume.id)?;
        }
        let amounts = quota::amounts_of(Counted::Volumes, volume.size, volume.volume_type_id, true);
        let created = self.store.create_volume(&volume, &amounts, |record| {
            self.admit_size_of_volume(record, volume.size, &deployment)?;
            self.admit(record, Counted::Volumes, &amounts, &deployment)
        });
        let (after, group_after) = self.open_counters(created, &volume.project_id, &amounts)?;
        self.keep_volume_of_type(&volume, &volume_type, &after, &deployment)?;
        if volume.is_unscheduled() {
            // The volume is there, so its creation does not fail with the message.
            drop(self.leave_message_of_scheduler(&volume));
        }
        if let Some(group) = group {
            // The group may have been deleted meanwhile. Its deletion looks for volumes after it has marked the group, so at
            // least one of the two sees the other.
            let after = group_after.and_then(|row| row.effective(self.now, Occasion::Reading));
            let keeps = |after: &Group| !is_removed_group(after) && after.volumes.contains(&volume.id);
            if !after.as_ref().is_some_and(keeps) {
                let item = AgendaItem::now(&volume, self.now);
                self.store.schedule(std::slice::from_ref(&item))?;
                self.store.remove(&volume.project_id, &[item], deployment.snapshots_count_gigabytes())?;
                return Err(Group::not_found(&group.id.to_string()));
            }
        }
        Ok((volume, types))
    }

    /// Returns the volume to clone. Unlike in other operations, a caller without a role gets a 403 and not a 404.
    fn cloned_volume(&self, id: &str) -> Result<Volume, Error> {
        let volume = self.visible_volume(id)?;
        self.caller.allow(Rule::GetVolume, &volume.project_id)?;
        Ok(volume)
    }

    /// Returns a summary of the volumes of the caller's project, or of all projects. The rows are read a few at a time, and
    /// the metadata may have as many bytes as a page.
    ///
    /// # Errors
    ///
    /// Not allowed, or too much metadata.
    pub fn summarize_volumes(
        &self,
        all_tenants: &dyn Fn() -> Result<bool, Error>,
        with_metadata: bool,
    ) -> Result<VolumeSummary, Error> {
        let mut summary = VolumeSummary::default();
        match self.caller.allow_own(Rule::GetAllVolumes) {
            Err(Error::Unscoped) => return Ok(summary),
            allowed => allowed?,
        }
        let query = ListRequest { all_tenants: all_tenants()?, ..ListRequest::default() };
        let most = self.settings.get()?.max_page_bytes;
        let mut bytes = 0_usize;
        self.each_row(&query, |volume: Volume| {
            summary.count += 1;
            summary.size += u64::from(volume.size);
            if !with_metadata || bytes > most {
                return;
            }
            for (key, value) in volume.metadata {
                let size = key.len() + value.len();
                if summary.metadata.entry(key).or_default().insert(value) {
                    bytes += size;
                }
            }
        })?;
        if bytes > most {
            return Err(Error::TooMuch(format!("The summary has more than {most} bytes of metadata.")));
        }
        Ok(summary)
    }

    /// Returns a volume.
    ///
    /// # Errors
    ///
    /// Not found, or not allowed.
    pub fn show_volume(&self, id: &str) -> Result<(Volume, VolumeTypes), Error> {
        self.readable_volume_and_types(id)
    }

    /// Checks a rule on a volume that is visible to the caller.
    ///
    /// # Errors
    ///
    /// Not found, or not allowed.
    pub fn may_act_on_volume(&self, id: &str, rule: Rule) -> Result<(), Error> {
        let volume = self.readable_volume(id)?;
        self.caller.allow(rule, &volume.project_id)
    }

    /// Starts the deletion of a volume in any status, for an administrator (`os-force_delete`).
    ///
    /// # Errors
    ///
    /// Not found, not allowed, or not deletable.
    pub fn force_delete_volume(&self, id: &str) -> Result<(), Error> {
        self.may_act_on_volume(id, Rule::ForceDeleteVolumeByAction)?;
        self.delete_volume(id, false, true)
    }

    /// Checks that the caller may see how a volume is encrypted. None is.
    ///
    /// # Errors
    ///
    /// Not found, or not allowed.
    pub fn may_see_encryption(&self, id: &str) -> Result<(), Error> {
        let volume = self.visible_volume(id)?;
        self.caller.allow(Rule::GetEncryptionMetadata, &volume.project_id)
    }

    /// Changes the name, description, and metadata.
    ///
    /// # Errors
    ///
    /// Not found, or not allowed.
    pub fn update_volume(&self, id: &str, update: &VolumeUpdate) -> Result<(Volume, VolumeTypes), Error> {
        let (volume, types) = self.readable_volume_and_types(id)?;
        self.caller.allow(Rule::UpdateVolume, &volume.project_id)?;
        let volume = self.change_row_with_metadata(&volume, |mut volume| {
            volume.may_be_updated()?;
            if let Some(name) = &update.name {
                volume.name.clone_from(name);
            }
            if let Some(description) = &update.description {
                volume.description.clone_from(description);
            }
            if let Some(metadata) = &update.metadata {
                volume.metadata.clone_from(metadata);
            }
            // Cinder keeps metadata in a table of its own, so changing only metadata does not touch the volume's row.
            let answer = volume.clone();
            if update.name.is_some() || update.description.is_some() {
                volume.updated_at = Some(self.now);
            }
            // As for snapshots, the answer still has the earlier `updated_at`.
            Ok((volume, answer))
        })?;
        Ok((volume, types))
    }

    /// Starts the deletion of a volume, and with `cascade` also of its snapshots. If there are more of them than a request
    /// deletes, the scheduled step removes them, and then the volume (`docs/adr/0016-growth.md`).
    ///
    /// # Errors
    ///
    /// Not found, not allowed, or not deletable because of its state, its snapshots, or with `cascade` a busy snapshot.
    pub fn delete_volume(&self, id: &str, cascade: bool, force: bool) -> Result<(), Error> {
        let volume = self.readable_volume(id)?;
        if force {
            self.caller.allow(Rule::ForceDeleteVolume, &volume.project_id)?;
        }
        self.caller.allow(Rule::DeleteVolume, &volume.project_id)?;
        if volume.host.is_some() {
            Self::refuse_if_volume_is_frozen(&volume, &self.store.deployment()?)?;
        }
        let not_deletable = || Error::BadRequest(if force { NOT_FORCED } else { NOT_DELETABLE }.to_owned());
        if !volume.may_be_deleted(force) {
            return Err(not_deletable());
        }
        let at_once = self.settings.get()?.cascade_at_once;
        let records = self.store.projects_with_snapshots_of(&volume)?;
        let seen = set_of(records.iter().flat_map(|record| record.index(Kind::Snapshot).pages()));
        let kept = Kept { rows: at_once, bytes: MARKED_BYTES };
        let found = self.deletable_snapshots(&volume, records, cascade, kept)?.ok_or_else(not_deletable)?;
        let Deletable { snapshots, are_many } = found;
        // All rows are put on the agenda before any row changes. If we stop halfway, the scheduled step finds the
        // snapshots and removes them with their volume.
        let mut pending = self.begin(if are_many { Completion::Cascade } else { Completion::Remove })?;
        if volume.is_unscheduled() && !are_many {
            pending = Pending { schedule: Schedule::Clock, due: self.now, ..pending };
        }
        let volume = self.end_extension(volume)?;
        self.announce(&snapshots, Some(&volume), pending)?;
        let slots: Vec<AttachmentSlot> = volume.attachment_slots().collect();
        let before = self.change_row(&volume, |mut row| {
            if !row.may_be_deleted(force) {
                return Err(not_deletable());
            }
            Self::are_announced(&row, &slots)?;
            if row.extension.is_some() || row.size != volume.size {
                // The item on the agenda says how much quota the removal gives back.
                return Err(is_busy(&row));
            }
            let before = row.clone();
            row.enter(VolumeStatus::DELETING, Some(pending), self.now);
            Ok(Change::Write(row, before))
        })?;

        // A snapshot may have been created since we looked. A create checks the volume once more after it has written
        // the snapshot, so at least one of the two sees the other. If we see the snapshot, we undo the deletion.
        let mut records = self.store.projects_with_snapshots_of(&volume)?;
        let mut kept = Kept::EVERY_ROW;
        if are_many {
            for record in &mut records {
                record.index_mut(Kind::Snapshot).leave_out(&seen);
            }
            kept = Kept::NO_ROW;
        }
        let Some(Deletable { snapshots: mut after, .. }) = self.deletable_snapshots(&volume, records, cascade, kept)?
        else {
            self.change_row(&volume, |_| Ok(Change::Write(before.clone(), ())))?;
            return Err(not_deletable());
        };
        if are_many {
            return Ok(());
        }
        let known = set_of(snapshots.iter().map(|snapshot| snapshot.id));
        let late: Vec<Snapshot> = after.iter().filter(|own| !known.contains(&own.id)).cloned().collect();
        self.announce(&late, None, pending)?;
        for snapshot in &mut after {
            snapshot.enter(SnapshotStatus::Deleting, Some(pending), self.now, Cause::VolumeDelete);
        }
        Ok(self.store.overwrite(&after)?)
    }

    /// Returns the snapshots that are deleted with a volume, or `None` if one of them prevents that. Every snapshot is
    /// checked, but none is returned if there are more than `kept` allows. A cascade goes on without snapshots that cannot
    /// be read, but without a cascade a volume is not deleted while it has any, whether they can be read or not.
    fn deletable_snapshots(
        &self,
        volume: &Volume,
        records: Vec<ProjectRecord>,
        cascade: bool,
        kept: Kept,
    ) -> Result<Option<Deletable>, Error> {
        let (mut snapshots, mut bytes, mut are_many) = (Vec::new(), 0, false);
        let refused = self.visit_snapshots(volume, records, |row| {
            let snapshot = match row {
                StoredRow::Unreadable if !cascade => return ControlFlow::Break(()),
                row => row.readable().and_then(|row| row.effective(self.now, Occasion::Reading)),
            };
            let Some(snapshot) = snapshot else { return ControlFlow::Continue(()) };
            if !cascade || snapshot.may_be_deleted().is_err() || !self.caller.sees(&snapshot.project_id) {
                return ControlFlow::Break(());
            }
            bytes += metadata::size(&snapshot.metadata);
            if are_many || snapshots.len() == kept.rows || bytes > kept.bytes {
                are_many = true;
                snapshots = Vec::new();
            } else {
                snapshots.push(snapshot);
            }
            ControlFlow::Continue(())
        })?;
        Ok(if refused.is_none() { Some(Deletable { snapshots, are_many }) } else { None })
    }

    /// Puts the rows that are about to be removed on the agenda.
    fn announce(&self, snapshots: &[Snapshot], volume: Option<&Volume>, pending: Pending) -> Result<(), Error> {
        let of_snapshots =
            snapshots.iter().map(|snapshot| AgendaItem::for_work(snapshot, pending).with_purpose(Purpose::Volume));
        let of_volume = volume.map(|volume| AgendaItem::for_work(volume, pending));
        let slots = volume.into_iter().flat_map(|volume| volume.attachment_slots().map(move |slot| (volume, slot)));
        let of_attachments =
            slots.map(|(volume, slot)| AgendaItem::for_work(&AttachmentPointer::new(volume, slot), pending));
        self.store.schedule(&of_snapshots.chain(of_volume).chain(of_attachments).collect::<Vec<_>>())?;
        Ok(())
    }

    /// Visits the rows of the snapshots of a volume in all projects, newest first, until `visit` breaks. Returns what it
    /// broke with.
    pub(super) fn visit_snapshots<R>(
        &self,
        volume: &Volume,
        records: Vec<ProjectRecord>,
        mut visit: impl FnMut(StoredRow<Snapshot>) -> ControlFlow<R>,
    ) -> Result<Option<R>, Error> {
        let at_once = rows_at_once(&records);
        let mut listing = Listing::new(self.store, records, Kind::Snapshot, Direction::NewestFirst, None)
            .of_volume(Some(volume.id.as_uuid()))
            .without_unreadable_pages(|project| *project != volume.project_id);
        loop {
            let ids: Vec<Uuid> = listing.next(at_once)?.iter().map(|entry| entry.position.id).collect();
            if ids.is_empty() {
                return Ok(None);
            }
            for row in self.store.rows::<Snapshot>(&ids)? {
                if let ControlFlow::Break(result) = visit(row) {
                    return Ok(Some(result));
                }
            }
        }
    }
}

/// Returns the host of a new volume: that of its group or of the volume that it is made from, or the first whose backend has all that the type
/// requires. There is none if that backend gets no work.
fn host_of_new_volume(
    deployment: &Deployment,
    volume_type: &VolumeType,
    zone: &str,
    host_of_source: Option<&str>,
) -> Option<String> {
    let gets = |host: &str| deployment.finds_backend(host) && volume_type.fits(host);
    if let Some(host) = host_of_source {
        return gets(host).then(|| host.to_owned());
    }
    if gets(HOST) {
        return Some(HOST.to_owned());
    }
    let mut services = deployment.all_services().into_iter();
    let found = services.find(|own| own.binary == VOLUME_BINARY && own.availability_zone == zone && gets(&own.host))?;
    Some(format!("{}#{POOL}", found.host))
}

/// Refuses a new volume of a type that its group does not have. As in Cinder, the message prints the type as a Python object.
fn refuse_type_for_group(named: Option<&VolumeType>, group: &Group) -> Result<(), Error> {
    let Some(own) = named else {
        let message = "Invalid input received: volume_type must be provided when creating a volume in a group.";
        return Err(Error::BadRequest(message.to_owned()));
    };
    if group.volume_types.contains(&own.id) {
        return Ok(());
    }
    let string = |string: &str| format!("'{string}'");
    let optional = |value: Option<String>| value.unwrap_or_else(|| "None".to_owned());
    let time = |time: Timestamp| format!("{}Z", time.to_string().split('.').next().unwrap_or_default());
    let spec = |(key, value): (&String, &Option<String>)| format!("{key}={}", optional(value.as_deref().map(string)));
    let specs: Vec<String> = own.extra_specs.iter().map(spec).collect();
    let access: Vec<String> = own.access.iter().map(|project| string(project)).collect();
    Err(Error::BadRequest(format!(
        "Invalid input received: Invalid volume_type provided: VolumeType(created_at={},deleted=False,deleted_at=None,\
         description={},extra_specs={{{}}},id={},is_public={},name={},projects=[{}],qos_specs=<?>,qos_specs_id={},\
         updated_at={}) (requested type must be supported by this group).",
        time(own.created_at),
        optional(own.description.as_deref().map(string)),
        specs.join(","),
        own.id,
        if own.is_public { "True" } else { "False" },
        string(&own.name),
        access.join(","),
        optional(own.qos_specs_id.map(|id| id.to_string())),
        optional(own.updated_at.map(time)),
    )))
}

/// Returns the size of a new volume. Checks the source that it is made from, of which there may be one.
fn size_of_new_volume(size: Option<u32>, snapshot: Option<&Snapshot>, source: Option<&Volume>) -> Result<u32, Error> {
    if let Some(source) = source {
        return size_of_clone(size, source, snapshot.is_some());
    }
    let Some(snapshot) = snapshot else {
        return size.ok_or_else(|| {
            Error::BadRequest(
                "Invalid input received: Volume size 'None' must be an integer and greater than 0".to_owned(),
            )
        });
    };
    if snapshot.status != SnapshotStatus::Available {
        let message = "Invalid snapshot: Originating snapshot status must be one of 'available' values";
        return Err(Error::BadRequest(message.to_owned()));
    }
    match size {
        Some(size) if size < snapshot.size => Err(Error::BadRequest(format!(
            "Invalid input received: Volume size '{size}'GB cannot be smaller than the snapshot size {}GB. They must be \
             >= original snapshot size.",
            snapshot.size
        ))),
        Some(size) => Ok(size),
        None => Ok(snapshot.size),
    }
}

fn size_of_restored_volume(size: Option<u32>, backup: &Backup) -> Result<u32, Error> {
    if backup.status != BackupStatus::Available {
        return Err(invalid_backup("Originating backup status must be one of 'available' values"));
    }
    let size_of_backup = backup.size.unwrap_or(backup.counted_size);
    match size {
        Some(size) if size < size_of_backup => Err(Error::BadRequest(format!(
            "Invalid input received: Volume size {size}GB cannot be smaller than the backup size {size_of_backup}GB. It must \
             be >= backup size."
        ))),
        Some(size) => Ok(size),
        None => Ok(size_of_backup),
    }
}

fn size_of_clone(size: Option<u32>, source: &Volume, has_snapshot: bool) -> Result<u32, Error> {
    if has_snapshot {
        return Err(Error::BadRequest(SEVERAL_SOURCES.to_owned()));
    }
    if ![VolumeStatus::AVAILABLE, VolumeStatus::IN_USE].contains(&source.status) {
        let message = "Invalid volume: Originating source volume status must be one of 'available, in-use' values";
        return Err(Error::BadRequest(message.to_owned()));
    }
    match size {
        Some(size) if size < source.size => Err(Error::BadRequest(format!(
            "Invalid input received: Volume size '{size}'GB cannot be smaller than original volume size  {}GB. They must be \
             >= original volume size.",
            source.size
        ))),
        Some(size) => Ok(size),
        None => Ok(source.size),
    }
}

columns! { row: Volume;
    "id" => Column::String(Some(row.id.to_string())),
    "created_at" => Column::Time(Some(row.created_at)),
    "updated_at" => Column::Time(row.updated_at),
    "status" => Column::String(Some(row.status.to_string())),
    "project_id" => Column::String(Some(row.project_id.to_string())),
    "user_id" => Column::String(row.user_id.as_ref().map(ToString::to_string)),
    "size" => Column::Number(i64::from(row.size)),
    "display_name" => Column::String(row.name.clone()),
    "display_description" => Column::String(row.description.clone()),
    "host" => Column::String(row.host.clone()),
    "cluster_name" => Column::String(row.cluster_name.clone()),
    "availability_zone" => Column::String(row.availability_zone.clone()),
    "attach_status" => Column::String(Some(row.attach_status.clone())),
    "migration_status" => Column::String(row.migration_status.clone()),
    "volume_type_id" => Column::String(row.volume_type_id.map(|id| id.to_string())),
    "snapshot_id" => Column::String(row.snapshot_id.map(|id| id.to_string())),
    "source_volid" => Column::String(row.source_volid.map(|id| id.to_string())),
    "previous_status" => Column::String(row.previous_status.as_ref().map(ToString::to_string)),
    "service_uuid" => Column::String(row.host.as_deref().map(|host| service_uuid(host).to_string())),
    "shared_targets" => Column::Boolean(true),
    "deleted_at" => Column::Time(None),
    "scheduled_at" => Column::Time(None),
    "launched_at" => Column::Time(None),
    "terminated_at" => Column::Time(None),
    "consistencygroup_id" => Column::String(None),
    "ec2_id" => Column::String(None),
    "encryption_key_id" => Column::String(None),
    "provider_auth" => Column::String(None),
    "provider_geometry" => Column::String(None),
    "provider_id" => Column::String(None),
    "provider_location" => Column::String(None),
    "replication_driver_data" => Column::String(None),
    "replication_extended_status" => Column::String(None),
    "replication_status" => Column::String(None),
    "_name_id" => Column::String(None),
    "group_id" => Column::String(row.group_id.map(|id| id.to_string())),
    "bootable" => Column::Boolean(row.bootable),
    "multiattach" => Column::Boolean(row.multiattach),
    "use_quota" => Column::Boolean(row.consumes_quota),
    "deleted" => Column::Boolean(false),
}

impl Listed for Volume {
    const RULE: Option<Rule> = Some(Rule::GetAllVolumes);
    const UNSCOPED_LISTS_ARE_EMPTY: bool = true;
    const MARKER_MAY_BE_FOREIGN: bool = true;
    const CHECKS_DIRECTIONS_FIRST: bool = true;

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// As in Cinder, the hidden metadata counts too.
    fn has_metadata(&self, key: &str, value: &str) -> bool {
        [&self.metadata, &self.admin_metadata].into_iter().any(|own| own.get(key).is_some_and(|own| own == value))
    }

    fn image_metadata(&self) -> &Metadata {
        &self.image_metadata
    }

    fn metadata_size(&self) -> usize {
        self.metadata_size()
    }

    fn not_found(id: &str) -> Error {
        Error::VolumeNotFound(id.to_owned())
    }
}

/// Cinder keeps metadata in a table of its own, so a change does not touch a volume's `updated_at`.
impl HasMetadata for Volume {
    const NAME: &'static str = "Volume";

    fn metadata_rule(access: Access) -> Rule {
        match access {
            Access::Read => Rule::GetVolumeMetadata,
            Access::Create => Rule::CreateVolumeMetadata,
            Access::Update => Rule::UpdateVolumeMetadata,
            Access::Delete => Rule::DeleteVolumeMetadata,
        }
    }

    fn readable(service: &Service<'_>, id: &str) -> Result<Self, Error> {
        service.readable_volume(id)
    }

    fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.metadata
    }

    fn accepts_metadata(&self, access: Access) -> Result<(), Error> {
        let status = self.status.as_str();
        if !["maintenance", "uploading"].contains(&status) {
            return Ok(());
        }
        let action = if access == Access::Delete { "Deleting" } else { "Updating" };
        let message =
            format!("Invalid volume: {action} volume metadata is not allowed for volumes in {status} status.");
        Err(Error::BadRequest(message))
    }
}
