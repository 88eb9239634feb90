//! The metadata of snapshots and volumes (`docs/spec/snapshots-api.md` section 7). A snapshot's metadata may be read
//! and written in every status.

use crate::domain::{Metadata, ProjectId, Snapshot, Volume};
use crate::store::Change;

use super::policy::Rule;
use super::{Error, Service};

/// The kind of resource to which metadata belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    Snapshot,
    Volume,
}

/// The kind of access to metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    /// Writing items with a POST.
    Create,
    /// Writing items with a PUT.
    Update,
    Delete,
}

impl Owner {
    const fn rule(self, access: Access) -> Rule {
        match (self, access) {
            (Self::Snapshot, Access::Read) => Rule::GetSnapshotMetadata,
            (Self::Snapshot, Access::Create | Access::Update) => Rule::UpdateSnapshotMetadata,
            (Self::Snapshot, Access::Delete) => Rule::DeleteSnapshotMetadata,
            (Self::Volume, Access::Read) => Rule::GetVolumeMetadata,
            (Self::Volume, Access::Create) => Rule::CreateVolumeMetadata,
            (Self::Volume, Access::Update) => Rule::UpdateVolumeMetadata,
            (Self::Volume, Access::Delete) => Rule::DeleteVolumeMetadata,
        }
    }

    /// Returns the name that Cinder's messages use.
    const fn name(self) -> &'static str {
        match self {
            Self::Snapshot => "Snapshot",
            Self::Volume => "Volume",
        }
    }

    fn missing(self, id: &str, key: &str) -> Error {
        Error::MetadataNotFound { owner: self.name(), id: id.to_owned(), key: key.to_owned() }
    }
}

/// A snapshot or a volume that was found.
enum Found {
    Snapshot(Snapshot),
    Volume(Volume),
}

impl Found {
    const fn project_id(&self) -> &ProjectId {
        match self {
            Self::Snapshot(snapshot) => &snapshot.project_id,
            Self::Volume(volume) => &volume.project_id,
        }
    }

    const fn metadata(&self) -> &Metadata {
        match self {
            Self::Snapshot(snapshot) => &snapshot.metadata,
            Self::Volume(volume) => &volume.metadata,
        }
    }
}

impl Service<'_> {
    /// Returns all metadata.
    ///
    /// # Errors
    ///
    /// The snapshot or volume is not found, or the caller may not read it.
    pub fn show_metadata(&self, owner: Owner, id: &str) -> Result<Metadata, Error> {
        Ok(self.find(owner, id, Access::Read)?.metadata().clone())
    }

    /// Returns the value of one item.
    ///
    /// # Errors
    ///
    /// As for [`Service::show_metadata`], or there is no such key.
    pub fn show_metadata_item(&self, owner: Owner, id: &str, key: &str) -> Result<String, Error> {
        let found = self.find(owner, id, Access::Read)?;
        found.metadata().get(key).cloned().ok_or_else(|| owner.missing(id, key))
    }

    /// Adds items, replacing those with the same keys. Items that are added concurrently are not lost.
    ///
    /// # Errors
    ///
    /// The snapshot or volume is not found, the caller may not write it, or a volume's status forbids it.
    pub fn merge_metadata(&self, owner: Owner, id: &str, items: &Metadata) -> Result<Metadata, Error> {
        self.write_metadata(owner, id, Access::Create, &|metadata| add(metadata, items))
    }

    /// Adds or replaces one item.
    ///
    /// # Errors
    ///
    /// As for [`Service::merge_metadata`].
    pub fn put_metadata_item(&self, owner: Owner, id: &str, item: &Metadata) -> Result<Metadata, Error> {
        self.write_metadata(owner, id, Access::Update, &|metadata| add(metadata, item))
    }

    /// Replaces all items.
    ///
    /// # Errors
    ///
    /// As for [`Service::merge_metadata`].
    pub fn replace_metadata(&self, owner: Owner, id: &str, items: &Metadata) -> Result<Metadata, Error> {
        self.write_metadata(owner, id, Access::Update, &|metadata| {
            metadata.clone_from(items);
            Ok(())
        })
    }

    /// Deletes one item. As in Cinder, this does not change a snapshot's `updated_at`, unlike every other write.
    ///
    /// # Errors
    ///
    /// As for [`Service::merge_metadata`], or there is no such key.
    pub fn delete_metadata_item(&self, owner: Owner, id: &str, key: &str) -> Result<(), Error> {
        let found = self.find(owner, id, Access::Read)?;
        if !found.metadata().contains_key(key) {
            return Err(owner.missing(id, key));
        }
        self.caller.allow(owner.rule(Access::Delete), found.project_id())?;
        let remove = |metadata: &mut Metadata| match metadata.remove(key) {
            Some(_) => Ok(()),
            None => Err(owner.missing(id, key)),
        };
        self.change_metadata(&found, Access::Delete, &remove).map(drop)
    }

    fn find(&self, owner: Owner, id: &str, access: Access) -> Result<Found, Error> {
        let found = match owner {
            Owner::Snapshot => Found::Snapshot(self.readable_snapshot(id)?),
            Owner::Volume => Found::Volume(self.readable_volume(id)?),
        };
        self.caller.allow(owner.rule(access), found.project_id())?;
        Ok(found)
    }

    fn write_metadata(
        &self,
        owner: Owner,
        id: &str,
        access: Access,
        write: &dyn Fn(&mut Metadata) -> Result<(), Error>,
    ) -> Result<Metadata, Error> {
        let found = self.find(owner, id, access)?;
        self.change_metadata(&found, access, write)
    }

    fn change_metadata(
        &self,
        found: &Found,
        access: Access,
        change: &dyn Fn(&mut Metadata) -> Result<(), Error>,
    ) -> Result<Metadata, Error> {
        match found {
            Found::Snapshot(snapshot) => self.change_snapshot(snapshot, |mut snapshot| {
                change(&mut snapshot.metadata)?;
                if access != Access::Delete {
                    snapshot.updated_at = Some(self.now);
                }
                let metadata = snapshot.metadata.clone();
                Ok(Change::Write(snapshot, metadata))
            }),
            // Cinder keeps metadata in a table of its own, so a change does not touch a volume's `updated_at`.
            Found::Volume(volume) => self.change_volume(volume, |mut volume| {
                refuse_if_volume_is_busy(&volume, access)?;
                change(&mut volume.metadata)?;
                let metadata = volume.metadata.clone();
                Ok(Change::Write(volume, metadata))
            }),
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "passed as a change of metadata, and other changes can fail")]
fn add(metadata: &mut Metadata, items: &Metadata) -> Result<(), Error> {
    metadata.extend(items.clone());
    Ok(())
}

fn refuse_if_volume_is_busy(volume: &Volume, access: Access) -> Result<(), Error> {
    let status = volume.status.as_str();
    if !["maintenance", "uploading"].contains(&status) {
        return Ok(());
    }
    let action = if access == Access::Delete { "Deleting" } else { "Updating" };
    let message = format!("Invalid volume: {action} volume metadata is not allowed for volumes in {status} status.");
    Err(Error::BadRequest(message))
}
