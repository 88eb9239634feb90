//! Create, show, update, and delete snapshots (`docs/spec/snapshots-api.md` sections 3 to 6).

use crate::domain::lifecycle::{Completion, Occasion};
use crate::domain::quota::{self, Counted};
use crate::domain::snapshot::Cause;
use crate::domain::{Metadata, Pending, Snapshot, SnapshotId, SnapshotStatus, Timestamp, Volume, VolumeId};
use crate::store::Change;
use crate::store::agenda::AgendaItem;
use crate::store::deployment::Deployment;

use super::listing::{Column, Listed, columns};
use super::metadata::{Access, HasMetadata};
use super::policy::Rule;
use super::{Error, FROZEN, Service};

/// The parameters of a create.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewSnapshot {
    /// The volume id as the client wrote it, or `None` for JSON `null`.
    pub volume_id: Option<String>,
    pub name: Option<String>,
    pub description: Option<String>,
    pub metadata: Metadata,
    pub in_use: InUse,
}

/// Whether the volume may be in use, depending on `force` and the microversion.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum InUse {
    /// Only an `available` volume.
    #[default]
    Refused,
    /// Also an `in-use` volume.
    Accepted,
    /// The client sent a false `force`, which is not allowed since 3.66. The request is refused after the volume is
    /// found.
    ForceNoLongerAllowed,
}

/// The message for a false `force` since 3.66. Its spelling and spaces are Cinder's.
const FORCE_NO_LONGER_ALLOWED: &str = "Since microversion 3.66 the 'force' flag is invalid for this request.  For \
                                       backward compatability, however, when the 'force' flag is passed with a value \
                                       evaluating to True, it is silently ignored.";

/// The changes of an update. The outer `None` leaves a field unchanged, and the inner `None` clears it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SnapshotUpdate {
    pub name: Option<Option<String>>,
    pub description: Option<Option<String>>,
}

impl Service<'_> {
    /// Creates a snapshot. A backend or the clock finishes the work later. Two commits: its project's
    /// record, and its row.
    ///
    /// # Errors
    ///
    /// The first failure of these checks: the volume, `force`, its host, a frozen backend, policy, its state, and
    /// quota.
    pub fn create_snapshot(&self, new: NewSnapshot) -> Result<Snapshot, Error> {
        let (volume, deployment) = self.readable_volume_and_deployment(new.volume_id.as_deref())?;
        if new.in_use == InUse::ForceNoLongerAllowed {
            return Err(Error::BadRequest(FORCE_NO_LONGER_ALLOWED.to_owned()));
        }
        let in_use_accepted = new.in_use == InUse::Accepted;
        Self::refuse_if_volume_is_frozen(&volume, &deployment)?;
        self.caller.allow(Rule::CreateSnapshot, &volume.project_id)?;
        volume.may_be_snapshotted(in_use_accepted)?;
        let mut snapshot = self.begin_snapshot(new, &volume, Completion::Create)?;
        if volume.host.as_deref().is_some_and(|host| !volume.is_clustered() && !deployment.finds_backend(host)) {
            // As in Cinder, the scheduler leaves no message for a snapshot.
            snapshot.pending = Some(Pending { request_id: None, ..self.begin(Completion::Fail)? });
        }
        let after = self.save_new_snapshot(&snapshot, &volume, &deployment)?;

        // The volume may have been deleted meanwhile. A delete looks for snapshots after it has marked the volume, so
        // at least one of the two sees the other.
        let after = after.and_then(|row| row.effective(self.now, Occasion::Reading));
        let still_accepted = match &after {
            Some(volume) => volume.has_accepted_status(in_use_accepted, " ").map_err(Error::from),
            None => Err(Error::VolumeNotFound(volume.id.to_string())),
        };
        if let Err(refusal) = still_accepted {
            let item = AgendaItem::now(&snapshot, self.now);
            self.store.schedule(std::slice::from_ref(&item))?;
            self.store.remove(&snapshot.project_id, &[item], deployment.snapshots_count_gigabytes())?;
            return Err(refusal);
        }
        Ok(snapshot)
    }

    /// Returns a volume that the caller may read, and the deployment, in one call of the store.
    pub(super) fn readable_volume_and_deployment(&self, id: Option<&str>) -> Result<(Volume, Deployment), Error> {
        self.caller.is_scoped()?;
        // Cinder looks up the string that Python prints for null.
        let id = id.unwrap_or("None");
        let not_found = || Error::VolumeNotFound(id.to_owned());
        let parsed: VolumeId = id.parse().map_err(|_| not_found())?;
        let (row, deployment) = self.store.volume_and_deployment(parsed)?;
        Ok((self.seen_volume(row?).ok_or_else(not_found)?, deployment))
    }

    /// Returns a snapshot as it is when its work begins. It belongs to the caller's project, not to that of the volume.
    pub(super) fn begin_snapshot(
        &self,
        new: NewSnapshot,
        volume: &Volume,
        completion: Completion,
    ) -> Result<Snapshot, Error> {
        self.check_new_metadata(&new.metadata)?;
        Ok(Snapshot {
            id: SnapshotId::new(self.identifiers.uuid()),
            project_id: self.caller.project()?.clone(),
            user_id: self.caller.user_id.clone(),
            volume_id: volume.id,
            volume_type_id: volume.volume_type_id,
            name: new.name,
            description: new.description,
            metadata: new.metadata,
            size: volume.size,
            status: SnapshotStatus::Creating,
            progress: Some("0%".to_owned()),
            created_at: self.now,
            updated_at: None,
            group_snapshot_id: None,
            consumes_quota: true,
            pending: Some(self.begin(completion)?),
            history: Vec::new(),
        })
    }

    /// Writes a new snapshot, if the project's quota has room for it. Returns the volume as it is then.
    pub(super) fn save_new_snapshot(
        &self,
        snapshot: &Snapshot,
        volume: &Volume,
        deployment: &Deployment,
    ) -> Result<Option<Volume>, Error> {
        let with_gigabytes = deployment.snapshots_count_gigabytes();
        let amounts = quota::amounts_of(Counted::Snapshots, snapshot.size, snapshot.volume_type_id, with_gigabytes);
        let of_other_project = volume.project_id != snapshot.project_id;
        self.store.create(snapshot, &amounts, of_other_project, Some(volume.id), |record| {
            self.admit(record, Counted::Snapshots, &amounts, deployment)
        })
    }

    /// Returns a snapshot.
    ///
    /// # Errors
    ///
    /// Not found, or not allowed.
    pub fn show_snapshot(&self, id: &str) -> Result<Snapshot, Error> {
        self.readable_snapshot(id)
    }

    /// Changes the name and description, in any status. Returns the changed snapshot, but with the earlier `updated_at`
    /// (`docs/spec/snapshots-api.md` section 5).
    ///
    /// # Errors
    ///
    /// Not found, or not allowed.
    pub fn update_snapshot(&self, id: &str, update: &SnapshotUpdate) -> Result<Snapshot, Error> {
        let snapshot = self.readable_snapshot(id)?;
        self.caller.allow(Rule::UpdateSnapshot, &snapshot.project_id)?;
        self.change_row(&snapshot, |mut snapshot| {
            let updated_before = snapshot.updated_at;
            if let Some(name) = &update.name {
                snapshot.name.clone_from(name);
            }
            if let Some(description) = &update.description {
                snapshot.description.clone_from(description);
            }
            snapshot.updated_at = Some(self.now);
            let answer = Snapshot { updated_at: updated_before, ..snapshot.clone() };
            Ok(Change::Write(snapshot, answer))
        })
    }

    /// Starts the deletion of a snapshot.
    ///
    /// # Errors
    ///
    /// Not found, not allowed, frozen, or not deletable in its state.
    pub fn delete_snapshot(&self, id: &str) -> Result<(), Error> {
        let snapshot = self.readable_snapshot(id)?;
        self.caller.allow(Rule::DeleteSnapshot, &snapshot.project_id)?;
        self.check_volume_of(&snapshot)?;
        self.begin_removal(
            &snapshot,
            SnapshotStatus::Deleting,
            Cause::Delete,
            |snapshot| Ok(snapshot.may_be_deleted()?),
        )
    }

    /// Refuses a change of a snapshot whose volume belongs to another project or is on a frozen backend.
    pub(super) fn check_volume_of(&self, snapshot: &Snapshot) -> Result<(), Error> {
        match self.volume_of(snapshot)? {
            (Some(volume), deployment) => Self::refuse_if_volume_is_frozen(&volume, &deployment),
            (None, _) => Ok(()),
        }
    }

    /// Returns the volume of a snapshot, and the deployment. An administrator can make a snapshot of another project's volume,
    /// and as in Cinder, others do not get at it through their snapshot.
    pub(super) fn volume_of(&self, snapshot: &Snapshot) -> Result<(Option<Volume>, Deployment), Error> {
        let (volume, deployment) = self.store.volume_and_deployment(snapshot.volume_id)?;
        // A volume that cannot be read names no backend, and must not keep its snapshots.
        let volume = self.store.without_unreadable(volume)?.flatten();
        match volume {
            Some(volume) if !self.caller.sees(&volume.project_id) => Err(Error::VolumeNotFound(volume.id.to_string())),
            volume => Ok((volume, deployment)),
        }
    }

    /// Refuses a change on a frozen backend. As in Cinder, a volume without a host is refused first.
    pub(super) fn refuse_if_volume_is_frozen(volume: &Volume, deployment: &Deployment) -> Result<(), Error> {
        volume.has_host()?;
        // The deployment has no entries for the services of a cluster, so a clustered volume is never frozen.
        let host = volume.host.as_deref().filter(|_| !volume.is_clustered());
        if host.is_some_and(|host| deployment.is_frozen(host)) {
            return Err(Error::BadRequest(FROZEN.to_owned()));
        }
        Ok(())
    }

    /// Moves a snapshot to a status that ends with its removal. Two commits: first the agenda, so that the scheduled
    /// step looks at the snapshot even if we stop here, and then the row, which alone decides.
    pub(super) fn begin_removal(
        &self,
        snapshot: &Snapshot,
        status: SnapshotStatus,
        cause: Cause,
        allowed: impl Fn(&Snapshot) -> Result<(), Error>,
    ) -> Result<(), Error> {
        allowed(snapshot)?;
        let pending = self.begin(Completion::Remove)?;
        let item = AgendaItem::for_work(snapshot, pending);
        if self.store.schedule(&[item])? {
            self.relieve_full_agenda();
        }
        let mut tried = false;
        self.store.update(snapshot.id, |row: Option<Snapshot>| {
            let Some(mut row) = row.and_then(|row| row.effective(self.now, Occasion::Reading)) else {
                // The row is gone after an attempt of ours, as requested. A backend may have reported a failure for a
                // write that landed, and the scheduled step removed the row before we looked again.
                let gone = Error::SnapshotNotFound(snapshot.id.to_string());
                return if tried { Ok(Change::Leave(())) } else { Err(gone) };
            };
            allowed(&row)?;
            tried = true;
            row.enter(status, Some(pending), self.now, cause);
            Ok(Change::Write(row, ()))
        })
    }
}

columns! { row: Snapshot;
    "id" => Column::String(Some(row.id.to_string())),
    "created_at" => Column::Time(Some(row.created_at)),
    "updated_at" => Column::Time(row.updated_at),
    "status" => Column::String(Some(row.status.to_string())),
    "volume_id" => Column::String(Some(row.volume_id.to_string())),
    "project_id" => Column::String(Some(row.project_id.to_string())),
    "user_id" => Column::String(row.user_id.as_ref().map(ToString::to_string)),
    "volume_size" => Column::Number(i64::from(row.size)),
    "display_name" => Column::String(row.name.clone()),
    "display_description" => Column::String(row.description.clone()),
    "progress" => Column::String(row.progress.clone()),
    "use_quota" => Column::Boolean(row.consumes_quota),
    "group_snapshot_id" => Column::String(row.group_snapshot_id.map(|id| id.to_string())),
    "volume_type_id" => Column::String(row.volume_type_id.map(|id| id.to_string())),
    "deleted" => Column::Boolean(false),
    "deleted_at" => Column::Time(None),
    "scheduled_at" => Column::Time(None),
    "cgsnapshot_id" => Column::String(None),
    "encryption_key_id" => Column::String(None),
    "provider_location" => Column::String(None),
    "provider_id" => Column::String(None),
    "provider_auth" => Column::String(None),
}

impl Listed for Snapshot {
    const RULE: Option<Rule> = Some(Rule::GetAllSnapshots);
    const UNSCOPED_LISTS_ARE_EMPTY: bool = false;
    const MARKER_MAY_BE_FOREIGN: bool = false;

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn not_found(id: &str) -> Error {
        Error::SnapshotNotFound(id.to_owned())
    }
}

impl HasMetadata for Snapshot {
    const NAME: &'static str = "Snapshot";

    fn metadata_rule(access: Access) -> Rule {
        match access {
            Access::Read => Rule::GetSnapshotMetadata,
            Access::Create | Access::Update => Rule::UpdateSnapshotMetadata,
            Access::Delete => Rule::DeleteSnapshotMetadata,
        }
    }

    fn readable(service: &Service<'_>, id: &str) -> Result<Self, Error> {
        service.readable_snapshot(id)
    }

    fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.metadata
    }

    /// As in Cinder, every write except a delete changes `updated_at`.
    fn metadata_written(&mut self, access: Access, now: Timestamp) {
        if access != Access::Delete {
            self.updated_at = Some(now);
        }
    }
}
