//! Groups: create, show, update, delete, and reset (`docs/spec/group-snapshots.md` section 2). The row of a group decides about
//! its volumes, and the scheduled step makes those follow that a stopped request has left (`docs/adr/0026-groups.md`).

use std::ops::ControlFlow;

use uuid::Uuid;

use crate::domain::group::MOST_VOLUMES;
use crate::domain::lifecycle::Occasion;
use crate::domain::quota::{self, Amounts, Counted};
use crate::domain::volume_type::IS_TRUE;
use crate::domain::{
    AttachmentPointer, Completion, Group, GroupId, GroupSnapshot, GroupStatus, GroupType, GroupTypeId, Metadata,
    Pending, Provisioning, Snapshot, SnapshotStatus, Volume, VolumeId, VolumeStatus, VolumeType, VolumeTypeId,
    VolumeTypes,
};
use crate::store::agenda::AgendaItem;
use crate::store::deployment::{Deployment, VOLUME_BINARY};
use crate::store::groups::AfterGroup;
use crate::store::{Change, StoreError, StoredRow};

use super::group_snapshots::{is_removed_group, refuse_if_group_is_frozen};
use super::group_types::type_not_found;
use super::listing::{Column, Listed, columns};
use super::policy::Rule;
use super::volumes::{HOST, ZONE};
use super::{Error, Service};

/// The parameters of a create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGroup {
    pub name: Option<String>,
    pub description: Option<String>,
    /// The name or the id of the group type.
    pub group_type: String,
    /// The names or the ids of the volume types.
    pub volume_types: Vec<String>,
    pub availability_zone: Option<String>,
}

/// The parameters of a create from a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGroupFromSource {
    pub name: Option<String>,
    pub description: Option<String>,
    pub source: GroupSource,
}

/// The source of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupSource {
    GroupSnapshot(String),
    Group(String),
}

/// The changes of an update. `None` leaves a field unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupUpdate {
    pub name: Option<String>,
    pub description: Option<String>,
    /// The ids of volumes, with commas between them.
    pub add_volumes: Option<String>,
    pub remove_volumes: Option<String>,
}

/// An action on the replication of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replication {
    Enable,
    Disable,
    FailOver,
    ListTargets,
}

/// The statuses in which a volume may join a group, and in which it may leave one.
const MAY_JOIN: [&str; 2] = ["available", "in-use"];
const MAY_LEAVE: [&str; 4] = ["available", "in-use", "error", "error_deleting"];

fn not_found(id: &str) -> Error {
    Error::NotFound(format!("Group {id} could not be found."))
}

fn invalid_group(message: &str) -> Error {
    Error::BadRequest(format!("Invalid Group: {message}"))
}

fn invalid_volume(message: &str) -> Error {
    Error::BadRequest(format!("Invalid volume: {message}"))
}

/// Returns strings as Python prints a tuple or a list of them, without the parentheses.
fn printed<T: std::fmt::Display>(strings: &[T]) -> String {
    strings.iter().map(|string| format!("'{string}'")).collect::<Vec<_>>().join(", ")
}

/// Refuses the type that is reserved for consistency groups.
fn refuse_reserved_type(id: GroupTypeId) -> Result<(), Error> {
    if id == GroupTypeId::RESERVED {
        return Err(Error::BadRequest(format!(
            "Group_type {id} is reserved for migrating CGs to groups. Migrated group can only be operated by CG APIs."
        )));
    }
    Ok(())
}

/// Returns the error for a change that other writers have overtaken.
fn overtaken(group: &Group) -> Error {
    StoreError::Contended(format!("group {}", group.id)).into()
}

/// Returns the ids in a string with commas between them.
fn ids_in(string: Option<&str>) -> Vec<&str> {
    match string.filter(|string| !string.is_empty()) {
        Some(string) => string.trim_matches(',').split(',').collect(),
        None => Vec::new(),
    }
}

/// Returns the backend of a host, without its pool.
fn backend(host: Option<&str>) -> Option<&str> {
    host?.split('#').next()
}

/// A new group that comes with its volumes, or with none.
struct NewRows {
    group: Group,
    volumes: Vec<Volume>,
}

impl Service<'_> {
    /// Returns a group that the caller may read.
    pub(super) fn readable_group(&self, id: &str) -> Result<Group, Error> {
        self.caller.is_scoped()?;
        let parsed: GroupId = id.parse().map_err(|_| not_found(id))?;
        let group = self.store.row::<Group>(parsed)?.and_then(|row| self.current(row));
        let group = group.filter(|group| self.caller.sees(&group.project_id)).ok_or_else(|| not_found(id))?;
        self.caller.allow(Rule::GetGroup, &group.project_id)?;
        Ok(group)
    }

    /// Returns the volumes of a group.
    pub(super) fn members_of(&self, group: &Group) -> Result<Vec<Volume>, Error> {
        let volumes = self.store.volumes_of_group(group)?;
        Ok(volumes.into_iter().filter_map(|volume| self.current(volume)).collect())
    }

    /// Returns the ids of the volumes of a group.
    ///
    /// # Errors
    ///
    /// Errors of the store.
    pub fn volumes_of_group(&self, group: &Group) -> Result<Vec<VolumeId>, Error> {
        Ok(self.members_of(group)?.iter().map(|volume| volume.id).collect())
    }

    /// Returns a group.
    ///
    /// # Errors
    ///
    /// Not found, not allowed, or of the reserved type.
    pub fn show_group(&self, id: &str) -> Result<Group, Error> {
        let group = self.readable_group(id)?;
        refuse_reserved_type(group.group_type_id)?;
        Ok(group)
    }

    /// Creates a group. The clock finishes the work later.
    ///
    /// # Errors
    ///
    /// The first failure of these checks: the group type, policy, the volume types, the zone, and quota.
    pub fn create_group(&self, new: NewGroup) -> Result<Group, Error> {
        let project_id = self.caller.project()?.clone();
        let types = self.store.types_of_groups()?;
        let is_id = Uuid::try_parse(&new.group_type).is_ok();
        let group_type = self.group_type_named(&types.group_types, &new.group_type);
        // Cinder looks up a name before it checks the policy, and an id after it.
        if !is_id {
            refuse_reserved_type(group_type.as_ref().map_err(Clone::clone)?.id)?;
        } else if let Ok(own) = &group_type {
            refuse_reserved_type(own.id)?;
        }
        self.caller.allow(Rule::CreateGroup, &project_id)?;
        let mut volume_types: Vec<VolumeTypeId> = Vec::new();
        for name in &new.volume_types {
            let id = any_volume_type(&types.volume_types, name)?.id;
            if !volume_types.contains(&id) {
                volume_types.push(id);
            }
        }
        let group_type = group_type.map_err(|_| type_not_found(&new.group_type))?;
        let zone = new.availability_zone.unwrap_or_else(|| ZONE.to_owned());
        let services = types.deployment.all_services();
        let mut zones = services.iter().filter(|service| service.binary == VOLUME_BINARY);
        if zone != ZONE && !zones.any(|service| service.availability_zone == zone) {
            return Err(Error::BadRequest(format!("Invalid input received: Availability zone '{zone}' is invalid.")));
        }
        let has_backend = types.deployment.finds_backend(HOST);
        let pending = self.begin(if has_backend { Completion::Create } else { Completion::Fail })?;
        let group = Group {
            id: GroupId::new(self.identifiers.uuid()),
            project_id,
            user_id: self.caller.user_id.clone(),
            name: new.name,
            description: new.description,
            status: GroupStatus::Creating,
            group_type_id: group_type.id,
            volume_types,
            host: None,
            next_host: has_backend.then(|| HOST.to_owned()),
            availability_zone: Some(zone),
            group_snapshot_id: None,
            source_group_id: None,
            replication_status: Some("disabled".to_owned()),
            created_at: self.now,
            updated_at: None,
            // Cinder has no user message for a group.
            pending: Some(Pending { request_id: None, ..pending }),
            volumes: Vec::new(),
            added: Vec::new(),
            removed: Vec::new(),
            copies: Vec::new(),
        };
        let used = types.volume_types;
        let new = NewRows { group, volumes: Vec::new() };
        self.save_new_group(new, &types.deployment, &used)
    }

    /// Writes a new group and its volumes. A deletion of a type or of the source looks for groups after it has marked its own row,
    /// so of two that cross, at least one sees the other.
    fn save_new_group(&self, new: NewRows, deployment: &Deployment, used: &VolumeTypes) -> Result<Group, Error> {
        let NewRows { group, volumes } = new;
        let of_group: Amounts = quota::amounts_of(Counted::Groups, 0, None, false);
        let mut of_volumes = Amounts::new();
        for volume in &volumes {
            for (resource, amount) in quota::amounts_of(Counted::Volumes, volume.size, volume.volume_type_id, true) {
                *of_volumes.entry(resource).or_default() += amount;
            }
        }
        let amounts: Amounts =
            of_group.iter().chain(&of_volumes).map(|(name, amount)| (name.clone(), *amount)).collect();
        let created = self.store.create_group(&group, &volumes, &amounts, &mut |record| {
            for volume in &volumes {
                self.admit_size_of_volume(record, volume.size, deployment)?;
            }
            self.admit(record, Counted::Groups, &of_group, deployment)?;
            if volumes.is_empty() { Ok(()) } else { self.admit(record, Counted::Volumes, &of_volumes, deployment) }
        });
        let opened = self.open_counters(created, &group.project_id, &amounts);
        let after = match opened {
            // As in Cinder, every refusal of a group from a source is a 400, without the name of an exception.
            Err(Error::OverQuota(refusal)) if !volumes.is_empty() => {
                let message = refusal.to_string();
                let message = message.split_once(": ").map_or(message.as_str(), |(_, message)| message);
                return Err(Error::BadRequest(message.to_owned()));
            }
            opened => opened?,
        };
        if self.may_keep_group(&group, &after, used) {
            return Ok(group);
        }
        let items = volumes.iter().map(|volume| AgendaItem::now(volume, self.now));
        let items: Vec<AgendaItem> = items.chain([AgendaItem::now(&group, self.now)]).collect();
        self.store.schedule(&items)?;
        self.store.remove(&group.project_id, &items, deployment.snapshots_count_gigabytes())?;
        Err(StoreError::Undone(format!("group {}", group.id)).into())
    }

    /// Returns whether all that a new group depends on is there once the group is written.
    fn may_keep_group(&self, group: &Group, after: &AfterGroup, used: &VolumeTypes) -> bool {
        let now = (self.clock)();
        let keeps_type = |id: &VolumeTypeId| {
            let specs = |types: &VolumeTypes| types.get(*id).map(|own| own.extra_specs.clone());
            !after.volume_types.refuses_volumes_of(*id, now) && specs(&after.volume_types) == specs(used)
        };
        let is_there = |row: Option<bool>| row == Some(false);
        let source = after.source_group.as_ref().map(is_removed_group);
        let removes = |row: &GroupSnapshot| row.pending.is_some_and(|pending| pending.removes());
        let group_snapshot = after.group_snapshot.as_ref().map(removes);
        !after.group_types.refuses_groups_of(group.group_type_id, now)
            && group.volume_types.iter().all(keeps_type)
            && (group.source_group_id.is_none() || is_there(source))
            && (group.group_snapshot_id.is_none() || is_there(group_snapshot))
    }

    /// Creates a group from a group snapshot or from a group, with a volume from each member.
    ///
    /// # Errors
    ///
    /// The first failure of these checks: the source, policy, its host, its members, their states, and quota.
    pub fn create_group_from_source(&self, new: NewGroupFromSource) -> Result<Group, Error> {
        let (group_snapshot, source) = match &new.source {
            GroupSource::GroupSnapshot(id) => {
                let group_snapshot = self.readable_group_snapshot(id)?;
                refuse_reserved_type(group_snapshot.group_type_id)?;
                self.caller.allow_own(Rule::CreateGroup)?;
                let source = self.readable_group(&group_snapshot.group_id.to_string())?;
                (Some(group_snapshot), source)
            }
            GroupSource::Group(id) => {
                let source = self.readable_group(id)?;
                refuse_reserved_type(source.group_type_id)?;
                self.caller.allow_own(Rule::CreateGroup)?;
                (None, source)
            }
        };
        let types = self.store.types_of_groups()?;
        let id = GroupId::new(self.identifiers.uuid());
        if source.host.as_deref().is_none_or(|host| !types.deployment.finds_backend(host)) {
            return Err(invalid_group(&format!("No valid host to create group {id}.")));
        }
        refuse_if_group_is_frozen(&source, &types.deployment)?;
        let pending = Pending { request_id: None, ..self.begin(Completion::Create)? };
        let mut group = Group {
            id,
            project_id: self.caller.project()?.clone(),
            user_id: self.caller.user_id.clone(),
            name: new.name,
            description: new.description,
            status: GroupStatus::Creating,
            group_snapshot_id: group_snapshot.as_ref().map(|own| own.id),
            source_group_id: group_snapshot.is_none().then_some(source.id),
            replication_status: Some("disabled".to_owned()),
            created_at: self.now,
            updated_at: None,
            pending: Some(pending),
            added: Vec::new(),
            removed: Vec::new(),
            copies: Vec::new(),
            ..source.clone()
        };
        let volumes = match &group_snapshot {
            Some(own) => self.volumes_from_snapshots(&group, own, &types.volume_types)?,
            None => self.volumes_from_group(&group, &source, &types.volume_types)?,
        };
        // All are created at once, so their ids decide their order in lists, which is that of the members.
        let mut ids: Vec<VolumeId> = volumes.iter().map(|volume| volume.id).collect();
        ids.sort_unstable();
        let volumes: Vec<Volume> = volumes.into_iter().zip(&ids).map(|(own, id)| Volume { id: *id, ..own }).collect();
        group.volumes = ids;
        for id in volumes.iter().filter_map(|volume| volume.volume_type_id) {
            if !group.volume_types.contains(&id) {
                group.volume_types.push(id);
            }
        }
        // The source knows its copy before the copy exists, so that it is not deleted meanwhile.
        if let Some(own) = &group_snapshot {
            let copies = self.copies_under_way(&own.copies)?;
            self.change_row(own, |mut row: GroupSnapshot| {
                row.copies.retain(|copy| !own.copies.contains(copy) || copies.contains(copy));
                row.copies.push(id);
                Ok(Change::Write(row, ()))
            })?;
        } else {
            let copies = self.copies_under_way(&source.copies)?;
            self.change_row(&source, |mut row: Group| {
                row.copies.retain(|copy| !source.copies.contains(copy) || copies.contains(copy));
                row.copies.push(id);
                Ok(Change::Write(row, ()))
            })?;
        }
        self.save_new_group(NewRows { group, volumes }, &types.deployment, &types.volume_types)
    }

    /// Returns those of some groups that are being created.
    fn copies_under_way(&self, copies: &[GroupId]) -> Result<Vec<GroupId>, Error> {
        let ids: Vec<Uuid> = copies.iter().map(GroupId::as_uuid).collect();
        let rows = self.store.rows::<Group>(&ids)?.into_iter().filter_map(StoredRow::readable);
        let rows = rows.filter_map(|row| row.effective(self.now, Occasion::Reading));
        Ok(rows.filter(|row| row.status == GroupStatus::Creating).map(|row| row.id).collect())
    }

    /// Returns whether one of some groups is being created from the row that lists them.
    pub(super) fn has_copy(&self, copies: &[GroupId]) -> Result<bool, Error> {
        Ok(!self.copies_under_way(copies)?.is_empty())
    }

    /// Returns a volume of a new group that is created from a source.
    fn volume_from(
        &self,
        group: &Group,
        size: u32,
        volume_type: Option<&VolumeType>,
        parent: Option<&Volume>,
    ) -> Volume {
        let image_metadata = parent.map(|parent| parent.image_metadata.clone()).unwrap_or_default();
        Volume {
            id: VolumeId::new(self.identifiers.uuid()),
            project_id: group.project_id.clone(),
            user_id: group.user_id.clone(),
            name: None,
            description: None,
            metadata: Metadata::new(),
            size,
            status: VolumeStatus::CREATING,
            previous_status: None,
            host: group.host.clone(),
            cluster_name: None,
            availability_zone: group.availability_zone.clone(),
            attach_status: "detached".to_owned(),
            migration_status: None,
            volume_type_id: volume_type.map(|own| own.id),
            snapshot_id: None,
            source_volid: None,
            group_id: Some(group.id),
            bootable: parent.is_some_and(|parent| parent.bootable),
            multiattach: volume_type.is_some_and(VolumeType::is_multiattach),
            admin_metadata: Metadata::new(),
            image_metadata: Metadata::new(),
            attachments: Vec::new(),
            next_attachment: None,
            created_at: self.now,
            updated_at: Some(self.now),
            consumes_quota: true,
            pending: group.pending,
            provisioning: group.host.clone().map(|host| Provisioning { host, image_metadata }),
            extension: None,
            restored_from: None,
        }
    }

    fn volumes_from_snapshots(
        &self,
        group: &Group,
        source: &GroupSnapshot,
        types: &VolumeTypes,
    ) -> Result<Vec<Volume>, Error> {
        let members: Vec<Snapshot> = self.rows_of_members(source)?;
        if members.is_empty() {
            return Err(invalid_group("Group snapshot is empty. No group will be created."));
        }
        let mut volumes = Vec::with_capacity(members.len());
        for member in members {
            if member.status != SnapshotStatus::Available {
                let message = "Invalid snapshot: Originating snapshot status must be one of 'available' values";
                return Err(Error::BadRequest(message.to_owned()));
            }
            let parent = self.store.row::<Volume>(member.volume_id)?;
            let own_type = member.volume_type_id.and_then(|id| types.get(id));
            let volume = self.volume_from(group, member.size, own_type, parent.as_ref().filter(|own| own.bootable));
            volumes.push(Volume { snapshot_id: Some(member.id), ..volume });
        }
        Ok(volumes)
    }

    fn volumes_from_group(&self, group: &Group, source: &Group, types: &VolumeTypes) -> Result<Vec<Volume>, Error> {
        let members = self.members_of(source)?;
        if members.is_empty() {
            return Err(invalid_group("Source Group is empty. No group will be created."));
        }
        let mut volumes = Vec::with_capacity(members.len());
        for member in members {
            if ![VolumeStatus::AVAILABLE, VolumeStatus::IN_USE].contains(&member.status) {
                let message = "Originating source volume status must be one of 'available, in-use' values";
                return Err(invalid_volume(message));
            }
            let own_type = member.volume_type_id.and_then(|id| types.get(id));
            let volume = self.volume_from(group, member.size, own_type, Some(&member));
            volumes.push(Volume { source_volid: Some(member.id), ..volume });
        }
        Ok(volumes)
    }

    /// Changes the name and the description at once, and starts to move volumes into the group and out of it.
    ///
    /// # Errors
    ///
    /// The first failure of these checks: the group, its type, policy, the volumes, no change, and the status.
    pub fn update_group(&self, id: &str, update: &GroupUpdate) -> Result<(), Error> {
        let group = self.show_group(id)?;
        self.caller.allow(Rule::UpdateGroup, &group.project_id)?;
        let name = update.name.clone().filter(|name| Some(name) != group.name.as_ref());
        let description = update.description.clone().filter(|own| Some(own) != group.description.as_ref());
        let add = ids_in(update.add_volumes.as_deref());
        let remove = ids_in(update.remove_volumes.as_deref());
        let both: Vec<&str> = add.iter().copied().filter(|id| remove.contains(id)).collect();
        if !both.is_empty() {
            let message = format!("UUIDs [{}] are in both add and remove volume list.", printed(&both));
            return Err(invalid_volume(&message));
        }
        let members = if add.is_empty() && remove.is_empty() { Vec::new() } else { self.members_of(&group)? };
        let added = self.volumes_to_add(&group, &members, &add)?;
        let removed = volumes_to_remove(&group, &members, &remove)?;
        let moves = !added.is_empty() || !removed.is_empty();
        if name.is_none() && description.is_none() && !moves {
            return Err(invalid_group(&format!(
                "Cannot update group {id} because no valid name, description, add_volumes, or remove_volumes were provided."
            )));
        }
        let pending = if moves { Some(self.begin(Completion::Move)?) } else { None };
        let mut listed: Vec<VolumeId> = members.iter().map(|member| member.id).collect();
        listed.extend(&added);
        refuse_too_many(&listed)?;
        if let Some(pending) = pending {
            self.store.schedule(&[AgendaItem::for_work(&group, pending)])?;
        }
        self.change_row(&group, |mut row: Group| {
            if moves && row.status != GroupStatus::Available {
                return Err(invalid_group("Group status must be available."));
            }
            if let Some(name) = &name {
                row.name = Some(name.clone());
            }
            if let Some(description) = &description {
                row.description = Some(description.clone());
            }
            if let Some(pending) = pending {
                list_volumes(&mut row, &group, &listed)?;
                row.enter(GroupStatus::Updating, Some(pending), self.now);
                row.added.clone_from(&added);
                row.removed.clone_from(&removed);
            } else if row.pending.is_none() {
                row.enter(GroupStatus::Available, None, self.now);
            } else {
                // Work under way goes on.
                row.updated_at = Some(self.now);
            }
            Ok(Change::Write(row, ()))
        })
    }

    /// Lists a volume in a group before it is created there, and checks that the group takes volumes.
    pub(super) fn list_in_group(&self, group: &Group, volume: VolumeId) -> Result<(), Error> {
        let mut listed = if group.volumes.len() < MOST_VOLUMES {
            group.volumes.clone()
        } else {
            self.members_of(group)?.iter().map(|member| member.id).collect()
        };
        listed.push(volume);
        refuse_too_many(&listed)?;
        self.change_row(group, |mut row: Group| {
            takes_volumes(&row)?;
            list_volumes(&mut row, group, &listed)?;
            Ok(Change::Write(row, ()))
        })
    }

    /// Returns the volumes of a request that join the group.
    fn volumes_to_add(&self, group: &Group, members: &[Volume], ids: &[&str]) -> Result<Vec<VolumeId>, Error> {
        let mut added = Vec::new();
        for id in ids {
            if members.iter().any(|member| member.id.to_string() == *id) {
                continue;
            }
            let cannot = |reason: &str| {
                invalid_volume(&format!("Cannot add volume {id} to group {} because {reason}", group.id))
            };
            let volume = match self.visible_volume(id) {
                Err(Error::VolumeNotFound(_)) => return Err(cannot("volume cannot be found.")),
                volume => volume?,
            };
            if let Some(other) = volume.group_id {
                return Err(cannot(&format!("it is already in group {other}.")));
            }
            if volume.project_id != group.project_id {
                let message =
                    format!("Cannot add volume {id} to group {} as they belong to different projects.", group.id);
                return Err(invalid_volume(&message));
            }
            match volume.volume_type_id {
                None => return Err(cannot("it has no volume type.")),
                Some(own) if !group.volume_types.contains(&own) => {
                    return Err(cannot(&format!("volume type {own} is not supported by the group.")));
                }
                Some(_) => {}
            }
            if !MAY_JOIN.contains(&volume.status.as_str()) {
                let (status, valid) = (&volume.status, printed(&MAY_JOIN));
                return Err(cannot(&format!("volume is in an invalid state: {status}. Valid states are: ({valid}).")));
            }
            if backend(volume.host.as_deref()) != backend(group.host.as_deref()) {
                return Err(invalid_volume("Volume is not local to this node."));
            }
            if !added.contains(&volume.id) {
                added.push(volume.id);
            }
        }
        Ok(added)
    }

    /// Starts the deletion of a group, and with `delete_volumes` also of its volumes. The agenda comes first, then the row of
    /// the group, which decides, and then the volumes. If we stop halfway, the scheduled step makes the volumes follow.
    ///
    /// # Errors
    ///
    /// Not found, not allowed, frozen, or not deletable because of its state, its snapshots, or its volumes.
    pub fn delete_group(&self, id: &str, delete_volumes: bool) -> Result<(), Error> {
        let group = self.show_group(id)?;
        self.caller.allow(Rule::DeleteGroup, &group.project_id)?;
        let pending = self.begin(Completion::Remove)?;
        let volumes = self.members_of(&group)?;
        if group.host.is_none() && volumes.is_empty() {
            // There is nothing on any backend, so the group is gone at once.
            return self.mark_group(&group, pending.ended(self.now), Vec::new());
        }
        refuse_if_group_is_frozen(&group, &self.store.deployment()?)?;
        let is_settled = |group: &Group| matches!(group.status, GroupStatus::Available | GroupStatus::Error);
        if !delete_volumes && !is_settled(&group) {
            let status = group.status;
            return Err(invalid_group(&format!(
                "Group status must be available or error, but current status is: {status}"
            )));
        }
        self.may_lose_volumes(&group, &volumes, delete_volumes)?;
        if self.has_copy(&group.copies)? {
            let reason = if delete_volumes {
                "Group status must be available or error and must not have dependent group snapshots"
            } else {
                "Group must not have attached volumes, volumes with snapshots, or dependent group snapshots"
            };
            return Err(invalid_group(&format!(
                "Cannot delete group {id}. {reason}, and it cannot be the source for an ongoing group or group snapshot \
                 creation."
            )));
        }
        let volumes = volumes.into_iter().map(|volume| self.end_extension(volume)).collect::<Result<Vec<_>, _>>()?;
        self.mark_group(&group, pending, items_of(&volumes, pending))?;
        let mut marked = Vec::new();
        let after = self.mark_volumes(&group, volumes, pending, &mut marked).and_then(|()| {
            // A volume or a snapshot may have been created since we looked. Its create looks at the group or at the volume
            // once more, so at least one of the two sees the other.
            let late: Vec<Volume> = self.members_of(&group)?;
            self.may_lose_volumes(&group, &late, true)?;
            let late: Vec<Volume> =
                late.into_iter().filter(|own| !own.pending.is_some_and(|own| own.removes())).collect();
            if !late.is_empty() {
                return Err(overtaken(&group));
            }
            Ok(())
        });
        if after.is_err() {
            for before in marked {
                self.store.update(before.id, |row: Option<Volume>| {
                    let is_ours = |row: &Volume| row.pending == Some(pending);
                    Ok::<_, Error>(match row.filter(is_ours) {
                        Some(_) => Change::Write(before.clone(), ()),
                        None => Change::Leave(()),
                    })
                })?;
            }
            self.store.update(group.id, |row: Option<Group>| {
                Ok::<_, Error>(match row.filter(|row| row.pending == Some(pending)) {
                    Some(row) => Change::Write(Group { status: group.status, pending: group.pending, ..row }, ()),
                    None => Change::Leave(()),
                })
            })?;
        }
        after
    }

    /// Refuses a deletion because of group snapshots, or of the volumes of the group.
    fn may_lose_volumes(&self, group: &Group, volumes: &[Volume], delete_volumes: bool) -> Result<(), Error> {
        let id = group.id;
        if self.store.has_group_snapshots(group, self.now)? {
            return Err(invalid_group("Group has existing snapshots."));
        }
        if !volumes.is_empty() && !delete_volumes {
            return Err(invalid_group(&format!(
                "Group {id} still contains volumes. The delete-volumes flag is required to delete it."
            )));
        }
        for volume in volumes {
            if volume.attach_status == "attached" {
                return Err(invalid_group(&format!("Volume in group {id} is attached. Need to detach first.")));
            }
            let records = self.store.projects_with_snapshots_of(volume)?;
            let found = self.visit_snapshots(volume, records, |row| {
                let is_there = match row {
                    StoredRow::Unreadable => true,
                    row => row.readable().and_then(|row| row.effective(self.now, Occasion::Reading)).is_some(),
                };
                if is_there { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            if found.is_some() {
                return Err(invalid_group("Volume in group still has dependent snapshots."));
            }
        }
        Ok(())
    }

    /// Marks a group as being removed, after putting it and its volumes on the agenda.
    fn mark_group(&self, group: &Group, pending: Pending, of_volumes: Vec<AgendaItem>) -> Result<(), Error> {
        let items: Vec<AgendaItem> = of_volumes.into_iter().chain([AgendaItem::now(group, self.now)]).collect();
        if self.store.schedule(&items)? {
            self.relieve_full_agenda();
        }
        self.change_row(group, |mut row: Group| {
            if row.volumes != group.volumes || row.copies != group.copies || is_removed_group(&row) {
                return Err(overtaken(group));
            }
            row.enter(GroupStatus::Deleting, Some(pending), self.now);
            Ok(Change::Write(row, ()))
        })
    }

    /// Marks the volumes of a group as being removed. Adds to `marked` what they were before.
    fn mark_volumes(
        &self,
        group: &Group,
        volumes: Vec<Volume>,
        pending: Pending,
        marked: &mut Vec<Volume>,
    ) -> Result<(), Error> {
        for volume in volumes {
            let slots: Vec<_> = volume.attachment_slots().collect();
            let before = self.change_row(&volume, |mut row: Volume| {
                if row.group_id != Some(group.id) || row.attach_status == "attached" || row.extension.is_some() {
                    return Err(overtaken(group));
                }
                if row.pending.is_some_and(|own| own.removes()) {
                    return Ok(Change::Leave(None));
                }
                Self::are_announced(&row, &slots)?;
                let before = row.clone();
                row.enter(VolumeStatus::DELETING, Some(pending), self.now);
                Ok(Change::Write(row, Some(before)))
            })?;
            marked.extend(before);
        }
        Ok(())
    }

    /// Sets a status for an administrator. The volumes stay as they are.
    ///
    /// # Errors
    ///
    /// Not a valid status, not found, or not allowed.
    pub fn reset_group_status(&self, id: &str, wanted: &str) -> Result<(), Error> {
        let status: Option<GroupStatus> = wanted.to_lowercase().parse().ok();
        // As in Cinder, `in-use` is named in the message, but not allowed.
        let Some(status) = status.filter(|status| *status != GroupStatus::InUse) else {
            let message = if wanted.trim().is_empty() {
                "The 'status' can not be empty.".to_owned()
            } else {
                let valid = printed(&GroupStatus::ALL);
                format!("Group status: {wanted} is invalid, valid status are: ({valid}).")
            };
            return Err(Error::BadRequest(format!("Invalid Group Status: {message}")));
        };
        let group = self.readable_group(id)?;
        self.caller.allow(Rule::ResetGroupStatus, &group.project_id)?;
        let pending = status.completion().map(|_| self.begin(Completion::None)).transpose()?;
        self.change_row(&group, |mut row: Group| {
            row.enter(status, pending, self.now);
            Ok(Change::Write(row, ()))
        })
    }

    /// Checks whether a group could be replicated, in Cinder's order. None is.
    ///
    /// # Errors
    ///
    /// Not found, not allowed, or types without replication.
    pub fn may_replicate_group(&self, id: &str, action: Replication) -> Result<(), Error> {
        let group = self.readable_group(id)?;
        let rule = match action {
            Replication::Enable => Rule::EnableReplication,
            Replication::Disable => Rule::DisableReplication,
            Replication::FailOver => Rule::FailOverReplication,
            Replication::ListTargets => Rule::ListReplicationTargets,
        };
        self.caller.allow(rule, &group.project_id)?;
        let types = self.store.types_of_groups()?;
        let is_on = |own: &GroupType| {
            let is_true = |key: &str| own.group_specs.get(key).is_some_and(|value| value.as_deref() == Some(IS_TRUE));
            is_true("group_replication_enabled") || is_true("consistent_group_replication_enabled")
        };
        if !types.group_types.get(group.group_type_id).is_some_and(is_on) {
            let message = format!("Invalid group type: Group {} is not a replication group type.", group.id);
            return Err(Error::BadRequest(message));
        }
        let is_on = |id: &&VolumeTypeId| {
            types.volume_types.get(**id).and_then(|own| own.spec("replication_enabled")) == Some(IS_TRUE)
        };
        match group.volume_types.iter().find(|id| !is_on(id)) {
            Some(id) => Err(Error::BadRequest(format!(
                "Invalid volume type: Volume type {id} does not have 'replication_enabled' spec key set to '<is> True'."
            ))),
            None => Ok(()),
        }
    }
}

/// Refuses a volume of a group that takes none now.
pub(super) fn takes_volumes(group: &Group) -> Result<(), Error> {
    if matches!(group.status, GroupStatus::Available | GroupStatus::Creating) {
        return Ok(());
    }
    Err(invalid_group("Originating group status must be one of 'available, creating' values"))
}

/// Returns the items of volumes that are about to be removed, and of their attachments.
fn items_of(volumes: &[Volume], pending: Pending) -> Vec<AgendaItem> {
    let mut items = Vec::new();
    for volume in volumes {
        let pointers = volume.attachment_slots().map(|slot| AttachmentPointer::new(volume, slot));
        items.extend(pointers.map(|pointer| AgendaItem::for_work(&pointer, pending)));
        items.push(AgendaItem::for_work(volume, pending));
    }
    items
}

/// Lists volumes in a group. Volumes that were listed when the group was read, and that do not name it, are no longer
/// listed if there are too many otherwise. A request that is about to create one of those notices.
fn list_volumes(row: &mut Group, seen: &Group, volumes: &[VolumeId]) -> Result<(), Error> {
    row.list_volumes(volumes);
    if row.volumes.len() > MOST_VOLUMES {
        row.volumes.retain(|volume| volumes.contains(volume) || !seen.volumes.contains(volume));
    }
    refuse_too_many(&row.volumes)
}

/// Refuses more volumes than a group may have.
fn refuse_too_many(volumes: &[VolumeId]) -> Result<(), Error> {
    if volumes.len() > MOST_VOLUMES {
        return Err(Error::TooMuch(format!("A group may have {MOST_VOLUMES} volumes, and no more.")));
    }
    Ok(())
}

/// Returns a volume type by its id or its name, even if the caller may not use it.
fn any_volume_type<'t>(types: &'t VolumeTypes, name: &str) -> Result<&'t VolumeType, Error> {
    let by_id = name.parse::<VolumeTypeId>().ok().and_then(|id| types.get(id));
    by_id.or_else(|| types.named(name)).ok_or_else(|| {
        Error::NotFound(if Uuid::try_parse(name).is_ok() {
            format!("Volume type {name} could not be found.")
        } else {
            format!("Volume type with name {name} could not be found.")
        })
    })
}

/// Returns the volumes of a request that leave the group.
fn volumes_to_remove(group: &Group, members: &[Volume], ids: &[&str]) -> Result<Vec<VolumeId>, Error> {
    let mut removed = Vec::new();
    for member in members.iter().filter(|member| ids.contains(&member.id.to_string().as_str())) {
        if !MAY_LEAVE.contains(&member.status.as_str()) {
            let (status, valid) = (&member.status, printed(&MAY_LEAVE));
            return Err(invalid_volume(&format!(
                "Cannot remove volume {} from group {} because volume is in an invalid state: {status}. Valid states are: \
                 ({valid}).",
                member.id, group.id
            )));
        }
        removed.push(member.id);
    }
    for id in ids {
        if !removed.iter().any(|own| own.to_string() == *id) {
            let message = format!("Cannot remove volume {id} from group {} because it is not in the group.", group.id);
            return Err(invalid_volume(&message));
        }
    }
    Ok(removed)
}

columns! { row: Group;
    "id" => Column::String(Some(row.id.to_string())),
    "created_at" => Column::Time(Some(row.created_at)),
    "updated_at" => Column::Time(row.updated_at),
    "status" => Column::String(Some(row.status.to_string())),
    "project_id" => Column::String(Some(row.project_id.to_string())),
    "user_id" => Column::String(row.user_id.as_ref().map(ToString::to_string)),
    "name" => Column::String(row.name.clone()),
    "description" => Column::String(row.description.clone()),
    "host" => Column::String(row.host.clone()),
    "cluster_name" => Column::String(None),
    "availability_zone" => Column::String(row.availability_zone.clone()),
    "group_type_id" => Column::String(Some(row.group_type_id.to_string())),
    "group_snapshot_id" => Column::String(row.group_snapshot_id.map(|id| id.to_string())),
    "source_group_id" => Column::String(row.source_group_id.map(|id| id.to_string())),
    "replication_status" => Column::String(row.replication_status.clone()),
    "deleted" => Column::Boolean(false),
    "deleted_at" => Column::Time(None),
}

impl Listed for Group {
    const RULE: Option<Rule> = Some(Rule::GetAllGroups);
    const UNSCOPED_LISTS_ARE_EMPTY: bool = false;
    const MARKER_MAY_BE_FOREIGN: bool = false;

    fn not_found(id: &str) -> Error {
        not_found(id)
    }
}
