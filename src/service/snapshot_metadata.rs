//! The metadata of a snapshot (`spec/snapshots-api.md` section 7). It may be read and written in every status.

use crate::domain::{Metadata, Snapshot};
use crate::store::Change;

use super::policy::Rule;
use super::{Error, Service};

impl Service<'_> {
    /// All metadata of a snapshot.
    ///
    /// # Errors
    ///
    /// The snapshot is not found, or the caller may not read it.
    pub fn show_snapshot_metadata(&self, id: &str) -> Result<Metadata, Error> {
        let snapshot = self.readable_snapshot(id)?;
        self.caller.allow(Rule::GetSnapshotMetadata, &snapshot.project_id)?;
        Ok(snapshot.metadata)
    }

    /// One item of a snapshot's metadata.
    ///
    /// # Errors
    ///
    /// As [`Service::show_snapshot_metadata`], or there is no such key.
    pub fn show_snapshot_metadata_item(&self, id: &str, key: &str) -> Result<String, Error> {
        let snapshot = self.readable_snapshot(id)?;
        self.caller.allow(Rule::GetSnapshotMetadata, &snapshot.project_id)?;
        let found = snapshot.metadata.get(key).cloned();
        found.ok_or_else(|| Error::MetadataNotFound { id: snapshot.id, key: key.to_owned() })
    }

    /// Adds items, replacing those with the same key. Nobody's concurrent items are lost.
    ///
    /// # Errors
    ///
    /// The snapshot is not found, or the caller may not write it.
    pub fn merge_snapshot_metadata(&self, id: &str, items: &Metadata) -> Result<Metadata, Error> {
        self.write_snapshot_metadata(id, |metadata| {
            metadata.extend(items.iter().map(|(key, value)| (key.clone(), value.clone())));
        })
    }

    /// Replaces all items.
    ///
    /// # Errors
    ///
    /// As [`Service::merge_snapshot_metadata`].
    pub fn replace_snapshot_metadata(&self, id: &str, items: &Metadata) -> Result<Metadata, Error> {
        self.write_snapshot_metadata(id, |metadata| metadata.clone_from(items))
    }

    fn write_snapshot_metadata(&self, id: &str, write: impl Fn(&mut Metadata)) -> Result<Metadata, Error> {
        let snapshot = self.readable_snapshot(id)?;
        self.caller.allow(Rule::UpdateSnapshotMetadata, &snapshot.project_id)?;
        self.change_snapshot(&snapshot, |mut snapshot| {
            write(&mut snapshot.metadata);
            snapshot.updated_at = Some(self.now);
            let metadata = snapshot.metadata.clone();
            Ok(Change::Write(snapshot, metadata))
        })
    }

    /// Deletes one item. Unlike every other write this leaves `updated_at` alone, as in Cinder.
    ///
    /// # Errors
    ///
    /// The snapshot or the key is not found, or the caller may not write it.
    pub fn delete_snapshot_metadata_item(&self, id: &str, key: &str) -> Result<(), Error> {
        let snapshot = self.readable_snapshot(id)?;
        self.caller.allow(Rule::GetSnapshotMetadata, &snapshot.project_id)?;
        let missing = |snapshot: &Snapshot| Error::MetadataNotFound { id: snapshot.id, key: key.to_owned() };
        if !snapshot.metadata.contains_key(key) {
            return Err(missing(&snapshot));
        }
        self.caller.allow(Rule::DeleteSnapshotMetadata, &snapshot.project_id)?;
        self.change_snapshot(&snapshot, |mut snapshot| {
            if snapshot.metadata.remove(key).is_none() {
                return Err(missing(&snapshot));
            }
            Ok(Change::Write(snapshot, ()))
        })
    }
}
