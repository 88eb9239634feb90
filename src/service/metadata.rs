//! The metadata of every resource that has it (`docs/spec/snapshots-api.md` section 7). What differs between resources
//! is in their implementations of [`HasMetadata`].

use crate::domain::{Metadata, Timestamp, metadata};
use crate::store::Change;

use super::listing::Listed;
use super::policy::Rule;
use super::{Error, Service};

/// The kind of access to metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    /// Writing items with a POST.
    Create,
    /// Writing items with a PUT.
    Update,
    Delete,
}

/// A resource with metadata that clients can read and write item by item.
pub trait HasMetadata: Listed {
    /// The name in Cinder's messages.
    const NAME: &'static str;

    /// Returns the policy rule for an access.
    fn metadata_rule(access: Access) -> Rule;

    /// Returns a row that the caller of the service may read.
    ///
    /// # Errors
    ///
    /// Not found, or not allowed.
    fn readable(service: &Service<'_>, id: &str) -> Result<Self, Error>;

    /// Returns the metadata, to change it.
    fn metadata_mut(&mut self) -> &mut Metadata;

    /// Checks that the metadata may be written in the current state. By default it may be written in every state.
    ///
    /// # Errors
    ///
    /// The state forbids it.
    fn accepts_metadata(&self, _access: Access) -> Result<(), Error> {
        Ok(())
    }

    /// Changes the other fields that depend on a write of metadata. By default there are none.
    fn metadata_written(&mut self, _access: Access, _now: Timestamp) {}
}

impl Service<'_> {
    /// Returns all metadata.
    ///
    /// # Errors
    ///
    /// The resource is not found, or the caller may not read it.
    pub fn show_metadata<T: HasMetadata>(&self, id: &str) -> Result<Metadata, Error> {
        Ok(self.find::<T>(id, Access::Read)?.metadata().clone())
    }

    /// Returns the value of one item.
    ///
    /// # Errors
    ///
    /// As for [`Service::show_metadata`], or there is no such key.
    pub fn show_metadata_item<T: HasMetadata>(&self, id: &str, key: &str) -> Result<String, Error> {
        let found = self.find::<T>(id, Access::Read)?;
        found.metadata().get(key).cloned().ok_or_else(|| missing::<T>(id, key))
    }

    /// Adds items, replacing those with the same keys. Items that are added concurrently are not lost.
    ///
    /// # Errors
    ///
    /// The resource is not found, the caller may not write it, or its state forbids it.
    pub fn merge_metadata<T: HasMetadata>(&self, id: &str, items: &Metadata) -> Result<Metadata, Error> {
        self.write_metadata::<T>(id, Access::Create, &|metadata| add(metadata, items))
    }

    /// Adds or replaces one item.
    ///
    /// # Errors
    ///
    /// As for [`Service::merge_metadata`].
    pub fn put_metadata_item<T: HasMetadata>(&self, id: &str, item: &Metadata) -> Result<Metadata, Error> {
        self.write_metadata::<T>(id, Access::Update, &|metadata| add(metadata, item))
    }

    /// Replaces all items.
    ///
    /// # Errors
    ///
    /// As for [`Service::merge_metadata`].
    pub fn replace_metadata<T: HasMetadata>(&self, id: &str, items: &Metadata) -> Result<Metadata, Error> {
        self.write_metadata::<T>(id, Access::Update, &|metadata| {
            metadata.clone_from(items);
            Ok(())
        })
    }

    /// Deletes one item.
    ///
    /// # Errors
    ///
    /// As for [`Service::merge_metadata`], or there is no such key.
    pub fn delete_metadata_item<T: HasMetadata>(&self, id: &str, key: &str) -> Result<(), Error> {
        let found = self.find::<T>(id, Access::Read)?;
        if !found.metadata().contains_key(key) {
            return Err(missing::<T>(id, key));
        }
        self.caller.allow(T::metadata_rule(Access::Delete), found.project_id())?;
        let remove = |metadata: &mut Metadata| match metadata.remove(key) {
            Some(_) => Ok(()),
            None => Err(missing::<T>(id, key)),
        };
        self.change_metadata(&found, Access::Delete, &remove).map(drop)
    }

    fn find<T: HasMetadata>(&self, id: &str, access: Access) -> Result<T, Error> {
        let found = T::readable(self, id)?;
        self.caller.allow(T::metadata_rule(access), found.project_id())?;
        Ok(found)
    }

    fn write_metadata<T: HasMetadata>(
        &self,
        id: &str,
        access: Access,
        write: &dyn Fn(&mut Metadata) -> Result<(), Error>,
    ) -> Result<Metadata, Error> {
        let found = self.find::<T>(id, access)?;
        self.change_metadata(&found, access, write)
    }

    fn change_metadata<T: HasMetadata>(
        &self,
        found: &T,
        access: Access,
        change: &dyn Fn(&mut Metadata) -> Result<(), Error>,
    ) -> Result<Metadata, Error> {
        self.change_row_with_metadata(found, |mut row| {
            row.accepts_metadata(access)?;
            change(row.metadata_mut())?;
            row.metadata_written(access, self.now);
            let metadata = row.metadata().clone();
            Ok((row, metadata))
        })
    }

    /// Changes a row and perhaps its metadata, which may grow up to the setting `max_metadata_bytes`. Larger metadata, from
    /// when the setting was higher, may shrink. The project of a row that becomes large is marked first.
    pub(super) fn change_row_with_metadata<T: Listed, R>(
        &self,
        found: &T,
        mut change: impl FnMut(T) -> Result<(T, R), Error>,
    ) -> Result<R, Error> {
        // The project of a large row has been marked when the row became large.
        let mut is_marked = found.metadata_size() > metadata::LARGE;
        loop {
            let answer = self.change_row(found, |row| {
                let size_before = row.metadata_size();
                let (row, answer) = change(row)?;
                let size = row.metadata_size();
                if size > size_before && size > metadata::LARGE {
                    self.refuse_too_much_metadata(size)?;
                    if !is_marked {
                        return Ok(Change::Leave(None));
                    }
                }
                Ok(Change::Write(row, Some(answer)))
            })?;
            if let Some(answer) = answer {
                return Ok(answer);
            }
            self.store.mark_large_rows(found.project_id())?;
            is_marked = true;
        }
    }

    /// Refuses new metadata that is too large. Small metadata is always allowed, and then no setting is read.
    pub(super) fn check_new_metadata(&self, metadata: &Metadata) -> Result<(), Error> {
        let size = metadata::size(metadata);
        if size > metadata::LARGE { self.refuse_too_much_metadata(size) } else { Ok(()) }
    }

    fn refuse_too_much_metadata(&self, size: usize) -> Result<(), Error> {
        let most = self.settings.get()?.max_metadata_bytes;
        if size > most { Err(Error::TooMuchMetadata { size, most }) } else { Ok(()) }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "passed as a change of metadata, and other changes can fail")]
fn add(metadata: &mut Metadata, items: &Metadata) -> Result<(), Error> {
    metadata.extend(items.clone());
    Ok(())
}

fn missing<T: HasMetadata>(id: &str, key: &str) -> Error {
    Error::MetadataNotFound { owner: T::NAME, id: id.to_owned(), key: key.to_owned() }
}
