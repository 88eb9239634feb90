//! The volume types of the deployment: one value, since they are few, and every creation of a volume reads them
//! (`docs/adr/0022-volume-types.md`).

use crate::domain::lifecycle::Occasion;
use crate::domain::quota;
use crate::domain::{Timestamp, Volume, VolumeId, VolumeTypeId, VolumeTypes};

use super::Store;
use super::codec::envelope::{decode_optional, encode_fresh};
use super::compare_and_swap::Change;
use super::deployment::Deployment;
use super::index::Direction;
use super::key_value::StoreError;
use super::keys;
use super::listing::Listing;
use super::projects::ProjectRecord;
use super::row::{Kind, Row};
use super::rows::{decode_row, rows_at_once};
use super::unreadable::StoredRow;

/// The projects whose records one call reads.
const AT_ONCE: usize = 1_000;

impl Store<'_> {
    /// Returns the volume types.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn volume_types(&self) -> Result<VolumeTypes, StoreError> {
        Ok(self.read::<VolumeTypes>(keys::VOLUME_TYPES)?.unwrap_or_default())
    }

    /// Returns the deployment and the volume types, in one call.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn deployment_and_volume_types(&self) -> Result<(Deployment, VolumeTypes), StoreError> {
        let keys = [keys::DEPLOYMENT.to_owned(), keys::VOLUME_TYPES.to_owned()];
        let mut values = self.key_value.get_many(&keys)?.into_iter();
        let deployment = decode_optional::<Deployment>(&keys[0], values.next().flatten())?;
        let types = decode_optional::<VolumeTypes>(&keys[1], values.next().flatten())?;
        Ok((deployment.unwrap_or_default(), types.unwrap_or_default()))
    }

    /// Returns a volume and the volume types, in one call. Types that cannot be read are noted, and count as missing.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn volume_and_types(&self, id: VolumeId) -> Result<(Option<Volume>, VolumeTypes), StoreError> {
        let keys = [keys::row(Volume::KIND, id.as_uuid()), keys::VOLUME_TYPES.to_owned()];
        let mut values = self.key_value.get_many(&keys)?.into_iter();
        let volume = decode_row(&keys[0], id.as_uuid(), values.next().flatten())?;
        let types = decode_optional::<VolumeTypes>(&keys[1], values.next().flatten());
        Ok((volume, self.without_unreadable(types)?.flatten().unwrap_or_default()))
    }

    /// Changes the volume types. `change` gets them again for each attempt.
    ///
    /// # Errors
    ///
    /// The error of `change`, [`StoreError::Contended`] when other writers were faster at every attempt, or an error of
    /// the key-value store.
    pub fn change_volume_types<R, E: From<StoreError>>(
        &self,
        mut change: impl FnMut(&mut VolumeTypes) -> Result<R, E>,
    ) -> Result<R, E> {
        let key = keys::VOLUME_TYPES;
        // The second round finds the value that the first one created.
        for _ in 0..2 {
            let answer = self.replace(key, |types: Option<VolumeTypes>| {
                let Some(mut types) = types else { return Ok(Change::Leave(None)) };
                let answer = change(&mut types)?;
                Ok::<_, E>(Change::Write(types, Some(answer)))
            })?;
            if let Some(answer) = answer {
                return Ok(answer);
            }
            self.ensure(key, keys::VOLUME_TYPES_CLAIM, || {
                Ok(vec![(key.to_owned(), encode_fresh(key, &VolumeTypes::default())?)])
            })?;
        }
        Err(StoreError::Contended(key.to_owned()).into())
    }

    /// Returns whether a volume of any project has a type. A volume that is created counts from the moment that its
    /// project's record lists it, and one whose removal is due does not count.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn has_volumes_of_type(
        &self,
        id: VolumeTypeId,
        now: Timestamp,
        deployment: &Deployment,
    ) -> Result<bool, StoreError> {
        let of_type = quota::of_type("volumes", id);
        let total = |record: &ProjectRecord, resource: &str| record.totals.get(resource).copied().unwrap_or(0);
        for projects in self.project_ids()?.chunks(AT_ONCE) {
            for record in self.read_records(projects)? {
                // A record that cannot be read may list such a volume, so it is an error.
                let Some(record) = record? else { continue };
                if total(&record, &of_type) > 0 {
                    let settled = self.settled_project(&record.project, now, deployment)?;
                    if settled.is_some_and(|settled| total(&settled, &of_type) > 0) {
                        return Ok(true);
                    }
                }
                // The counters leave out volumes that do not count towards quota.
                let listed = i64::try_from(record.index(Kind::Volume).len()).unwrap_or(i64::MAX);
                if listed > total(&record, "volumes") && self.has_uncounted_volume(record, id, now)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Returns whether a volume of a project has a type, from the rows.
    fn has_uncounted_volume(
        &self,
        record: ProjectRecord,
        id: VolumeTypeId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let at_once = rows_at_once([&record]);
        let mut listing = Listing::new(*self, vec![record], Kind::Volume, Direction::NewestFirst, None);
        loop {
            let ids: Vec<uuid::Uuid> = listing.next(at_once)?.iter().map(|entry| entry.position.id).collect();
            if ids.is_empty() {
                return Ok(false);
            }
            let volumes = self.rows::<Volume>(&ids)?.into_iter().filter_map(StoredRow::readable);
            let mut seen = volumes.filter_map(|volume| volume.effective(now, Occasion::Reading));
            if seen.any(|volume| !volume.consumes_quota && volume.volume_type_id == Some(id)) {
                return Ok(true);
            }
        }
    }
}
