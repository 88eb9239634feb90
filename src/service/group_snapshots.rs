//! Group snapshots: create, show, delete, and reset (`docs/spec/group-snapshots.md` section 1). A group snapshot and its
//! members are written together, and its row decides about them (`docs/adr/0026-groups.md`).

use uuid::Uuid;

use crate::domain::lifecycle::{Moment, Occasion};
use crate::domain::quota::{self, Amounts, Counted};
use crate::domain::snapshot::Cause;
use crate::domain::{
    Completion, Group, GroupSnapshot, GroupSnapshotId, GroupSnapshotStatus, GroupStatus, GroupTypeId, Pending,
    Snapshot, SnapshotId, SnapshotStatus, Volume,
};
use crate::store::agenda::AgendaItem;
use crate::store::deployment::Deployment;
use crate::store::{Change, StoredRow};

use super::listing::{Column, Listed, columns};
use super::policy::Rule;
use super::snapshots::NewSnapshot;
use super::{Error, FROZEN, Service};

/// The parameters of a create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGroupSnapshot {
    pub group_id: String,
    pub name: Option<String>,
    pub description: Option<String>,
}

/// The message for a group snapshot that cannot be deleted.
const NOT_DELETABLE: &str = "Invalid GroupSnapshot: GroupSnapshot status must be available or error, and no Group can be \
                             currently using it as source for its creation.";

fn not_found(id: &str) -> Error {
    Error::NotFound(format!("GroupSnapshot {id} could not be found."))
}

/// Refuses the type that is reserved for consistency groups.
fn refuse_reserved_type(id: GroupTypeId) -> Result<(), Error> {
    if id == GroupTypeId::RESERVED {
        return Err(Error::BadRequest(format!(
            "Group_type {id} is reserved for migrating CGs to groups. Migrated group snapshots can only be operated by CG \
             snapshot APIs."
        )));
    }
    Ok(())
}

/// Returns whether a volume is being removed.
fn is_removed(volume: &Volume) -> bool {
    volume.pending.is_some_and(|pending| pending.removes())
}

impl Service<'_> {
    /// Creates a group snapshot, and a snapshot of each volume of the group. Three commits, however many they are: the agenda, the
    /// project's record, and the rows.
    ///
    /// # Errors
    ///
    /// The first failure of these checks: the group, its type, policy, a frozen backend, the states of the group and of its
    /// volumes, and quota.
    pub fn create_group_snapshot(&self, new: NewGroupSnapshot) -> Result<GroupSnapshot, Error> {
        let group = self.readable_group(&new.group_id)?;
        refuse_reserved_type(group.group_type_id)?;
        self.caller.allow(Rule::CreateGroupSnapshot, &group.project_id)?;
        let project_id = self.caller.project()?.clone();
        let deployment = self.store.deployment()?;
        refuse_if_group_is_frozen(&group, &deployment)?;
        let volumes = self.members_of(&group)?;
        if volumes.is_empty() || matches!(group.status, GroupStatus::Creating | GroupStatus::Updating) {
            let message = "Invalid Group: Source group cannot be empty or in 'creating' or 'updating' state. No group \
                           snapshot will be created.";
            return Err(Error::BadRequest(message.to_owned()));
        }
        let id = GroupSnapshotId::new(self.identifiers.uuid());
        // As in Cinder, a member that fails leaves no user message.
        let pending = Some(Pending { request_id: None, ..self.begin(Completion::Create)? });
        let mut amounts = Amounts::new();
        let mut members: Vec<Snapshot> = Vec::with_capacity(volumes.len());
        // All are created at once, so their ids decide their order in lists, which is that of the volumes.
        let mut ids: Vec<Uuid> = volumes.iter().map(|_| self.identifiers.uuid()).collect();
        ids.sort_unstable();
        for (volume, member_id) in volumes.iter().zip(ids) {
            self.caller.allow(Rule::CreateSnapshot, &volume.project_id)?;
            volume.may_be_snapshotted_with_group()?;
            let (name, description) = (new.name.clone(), new.description.clone());
            let of_volume = NewSnapshot { name, description, ..NewSnapshot::default() };
            let member = self.begin_snapshot(of_volume, volume, Completion::Create)?;
            let gigabytes = deployment.snapshots_count_gigabytes();
            for (resource, amount) in
                quota::amounts_of(Counted::Snapshots, member.size, member.volume_type_id, gigabytes)
            {
                *amounts.entry(resource).or_default() += amount;
            }
            let member_id = SnapshotId::new(member_id);
            members.push(Snapshot { id: member_id, group_snapshot_id: Some(id), pending, ..member });
        }
        let row = GroupSnapshot {
            id,
            project_id,
            user_id: self.caller.user_id.clone(),
            group_id: group.id,
            group_type_id: group.group_type_id,
            name: new.name,
            description: new.description,
            status: GroupSnapshotStatus::Creating,
            created_at: self.now,
            updated_at: None,
            pending,
            members: members.iter().map(|member| member.id).collect(),
            copies: Vec::new(),
        };
        let of_other_project = group.project_id != row.project_id;
        let created = self.store.create_group_snapshot(&row, &members, &amounts, of_other_project, &mut |record| {
            self.admit(record, Counted::Snapshots, &amounts, &deployment)
        });
        let (group_after, volumes_after) = self.open_counters(created, &row.project_id, &amounts)?;

        // The group may have been deleted meanwhile, or a volume that has left it. A deletion looks for snapshots after it has
        // marked its row, so at least one of the two sees the other.
        let group_after = group_after.and_then(|row| row.effective(self.now, Occasion::Reading));
        let group_stays = group_after.is_some_and(|after| after.pending == group.pending || !is_removed_group(&after));
        let volumes_stay = volumes.iter().zip(volumes_after).all(|(before, after)| {
            let after = after.and_then(|row| row.effective(self.now, Occasion::Reading));
            after.is_some_and(|after| is_removed(before) || !is_removed(&after))
        });
        if group_stays && volumes_stay {
            return Ok(row);
        }
        let items = members.iter().map(|member| AgendaItem::now(member, self.now));
        let items: Vec<AgendaItem> = items.chain([AgendaItem::now(&row, self.now)]).collect();
        self.store.schedule(&items)?;
        self.store.remove(&row.project_id, &items, deployment.snapshots_count_gigabytes())?;
        Err(Error::NotFound(format!("Group {} could not be found.", group.id)))
    }

    /// Returns a group snapshot that the caller may read.
    pub(super) fn readable_group_snapshot(&self, id: &str) -> Result<GroupSnapshot, Error> {
        self.caller.is_scoped()?;
        let parsed: GroupSnapshotId = id.parse().map_err(|_| not_found(id))?;
        let row = self.store.row::<GroupSnapshot>(parsed)?.and_then(|row| self.current(row));
        let row = row.filter(|row| self.caller.sees(&row.project_id)).ok_or_else(|| not_found(id))?;
        self.caller.allow(Rule::GetGroupSnapshot, &row.project_id)?;
        Ok(row)
    }

    /// Returns a group snapshot.
    ///
    /// # Errors
    ///
    /// Not found, not allowed, or of the reserved type.
    pub fn show_group_snapshot(&self, id: &str) -> Result<GroupSnapshot, Error> {
        let row = self.readable_group_snapshot(id)?;
        refuse_reserved_type(row.group_type_id)?;
        Ok(row)
    }

    /// Starts the deletion of a group snapshot and of its members. The agenda comes first, then the row, which decides, and then
    /// the members. If we stop halfway, the scheduled step makes the members follow.
    ///
    /// # Errors
    ///
    /// Not found, not allowed, frozen, or not deletable in its state.
    pub fn delete_group_snapshot(&self, id: &str) -> Result<(), Error> {
        let row = self.show_group_snapshot(id)?;
        self.caller.allow(Rule::DeleteGroupSnapshot, &row.project_id)?;
        if let Some(group) = self.store.row::<Group>(row.group_id)? {
            refuse_if_group_is_frozen(&group, &self.store.deployment()?)?;
        }
        let not_deletable = || Error::BadRequest(NOT_DELETABLE.to_owned());
        if !row.may_be_deleted() || self.has_copy(&row.copies)? {
            return Err(not_deletable());
        }
        let pending = self.begin(Completion::Remove)?;
        let members = self.rows_of_members(&row)?;
        let items = members.iter().map(|member| AgendaItem::for_work(member, pending));
        let items: Vec<AgendaItem> = items.chain([AgendaItem::now(&row, self.now)]).collect();
        if self.store.schedule(&items)? {
            self.relieve_full_agenda();
        }
        self.change_row(&row, |mut own: GroupSnapshot| {
            // A group that is created from it since has changed the row.
            if !own.may_be_deleted() || own.copies != row.copies {
                return Err(not_deletable());
            }
            own.enter(GroupSnapshotStatus::Deleting, Some(pending), self.now);
            Ok(Change::Write(own, ()))
        })?;
        for member in members {
            self.store.update(member.id, |own: Option<Snapshot>| {
                let own = own.and_then(|own| own.effective(self.now, Occasion::Reading));
                Ok::<_, Error>(match own {
                    Some(mut own) => {
                        own.enter(SnapshotStatus::Deleting, Some(pending), self.now, Cause::GroupSnapshotDelete);
                        Change::Write(own, ())
                    }
                    None => Change::Leave(()),
                })
            })?;
        }
        Ok(())
    }

    /// Returns the members of a group snapshot that can be read.
    pub(super) fn rows_of_members(&self, row: &GroupSnapshot) -> Result<Vec<Snapshot>, Error> {
        let ids: Vec<Uuid> = row.members.iter().map(SnapshotId::as_uuid).collect();
        let rows = self.store.rows::<Snapshot>(&ids)?.into_iter().filter_map(StoredRow::readable);
        let mut rows: Vec<Snapshot> = rows.filter_map(|row| self.current(row)).collect();
        rows.retain(|member| member.group_snapshot_id == Some(row.id));
        Ok(rows)
    }

    /// Sets a status for an administrator. The members stay as they are.
    ///
    /// # Errors
    ///
    /// Not a valid status, not found, or not allowed.
    pub fn reset_group_snapshot_status(&self, id: &str, wanted: &str) -> Result<(), Error> {
        let status: GroupSnapshotStatus = wanted.to_lowercase().parse().map_err(|_| {
            if wanted.trim().is_empty() {
                return Error::BadRequest("Invalid GroupSnapshot Status: The 'status' can not be empty.".to_owned());
            }
            let valid: Vec<String> = GroupSnapshotStatus::ALL.iter().map(|status| format!("'{status}'")).collect();
            let valid = valid.join(", ");
            Error::BadRequest(format!(
                "Invalid GroupSnapshot Status: Group snapshot status: {wanted} is invalid, valid statuses are: ({valid})."
            ))
        })?;
        let row = self.readable_group_snapshot(id)?;
        self.caller.allow(Rule::ResetGroupSnapshotStatus, &row.project_id)?;
        let pending = status.completion().map(|_| self.begin(Completion::None)).transpose()?;
        self.change_row(&row, |mut row: GroupSnapshot| {
            row.enter(status, pending, self.now);
            Ok(Change::Write(row, ()))
        })
    }

    /// Tells the group snapshot of a member that the member has ended. It is on the agenda, so that the scheduled step does so if
    /// we stop here.
    pub(super) fn tell_group_snapshot(&self, member: &Snapshot) -> Result<(), Error> {
        let Some(id) = member.group_snapshot_id else { return Ok(()) };
        if let Some(row) = self.store.row::<GroupSnapshot>(id)? {
            let moment = Moment { now: self.now, clock: self.now, occasion: Occasion::Reading };
            self.store.compare_with_members(&row, moment)?;
        }
        Ok(())
    }

    /// Puts the group snapshot of a member on the agenda before a report about the member. After the report of a failed deletion
    /// the group snapshot stays.
    pub(super) fn announce_group_snapshot(&self, member: &Snapshot, reported: &str) -> Result<(), Error> {
        let Some(id) = member.group_snapshot_id else { return Ok(()) };
        let row = self.store.without_unreadable(self.store.row::<GroupSnapshot>(id))?.flatten();
        let Some(row) = row else { return Ok(()) };
        self.store.schedule(&[AgendaItem::now(&row, self.now)])?;
        if reported == SnapshotStatus::ErrorDeleting.as_str() && member.status == SnapshotStatus::Deleting {
            self.store.update(id, |row: Option<GroupSnapshot>| {
                let removal = |row: &GroupSnapshot| row.pending.filter(Pending::removes);
                Ok::<_, Error>(match row.and_then(|row| removal(&row).map(|pending| (row, pending))) {
                    Some((mut row, pending)) => {
                        row.pending = Some(Pending { completion: Completion::Fail, ..pending });
                        Change::Write(row, ())
                    }
                    None => Change::Leave(()),
                })
            })?;
        }
        Ok(())
    }
}

/// Returns whether a group is being removed.
pub(super) fn is_removed_group(group: &Group) -> bool {
    group.pending.is_some_and(|pending| pending.removes())
}

/// Refuses a change on a frozen backend.
pub(super) fn refuse_if_group_is_frozen(group: &Group, deployment: &Deployment) -> Result<(), Error> {
    if group.host.as_deref().is_some_and(|host| deployment.is_frozen(host)) {
        return Err(Error::BadRequest(FROZEN.to_owned()));
    }
    Ok(())
}

columns! { row: GroupSnapshot;
    "id" => Column::String(Some(row.id.to_string())),
    "created_at" => Column::Time(Some(row.created_at)),
    "updated_at" => Column::Time(row.updated_at),
    "status" => Column::String(Some(row.status.to_string())),
    "project_id" => Column::String(Some(row.project_id.to_string())),
    "user_id" => Column::String(row.user_id.as_ref().map(ToString::to_string)),
    "group_id" => Column::String(Some(row.group_id.to_string())),
    "group_type_id" => Column::String(Some(row.group_type_id.to_string())),
    "name" => Column::String(row.name.clone()),
    "description" => Column::String(row.description.clone()),
    "deleted" => Column::Boolean(false),
    "deleted_at" => Column::Time(None),
}

impl Listed for GroupSnapshot {
    const RULE: Option<Rule> = Some(Rule::GetAllGroupSnapshots);
    const UNSCOPED_LISTS_ARE_EMPTY: bool = false;
    const MARKER_MAY_BE_FOREIGN: bool = false;

    fn not_found(id: &str) -> Error {
        not_found(id)
    }
}
