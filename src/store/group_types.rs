//! The group types of the deployment: one value, as that of the volume types (`docs/adr/0022-volume-types.md`).

use uuid::Uuid;

use crate::domain::lifecycle::Occasion;
use crate::domain::{Group, GroupTypes, Timestamp, VolumeTypes};

use super::Store;
use super::codec::envelope::{decode_optional, encode_fresh};
use super::compare_and_swap::Change;
use super::deployment::Deployment;
use super::index::Direction;
use super::key_value::StoreError;
use super::keys;
use super::listing::Listing;
use super::row::Kind;
use super::rows::rows_at_once;
use super::unreadable::StoredRow;

/// The projects whose records one call reads.
const AT_ONCE: usize = 1_000;

/// All that the creation of a group depends on besides its source.
#[derive(Debug, Clone)]
pub struct TypesOfGroups {
    pub deployment: Deployment,
    pub volume_types: VolumeTypes,
    pub group_types: GroupTypes,
}

impl Store<'_> {
    /// Returns the group types.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn group_types(&self) -> Result<GroupTypes, StoreError> {
        Ok(self.read::<GroupTypes>(keys::GROUP_TYPES)?.unwrap_or_default())
    }

    /// Returns the deployment and the types of volumes and groups, in one call.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn types_of_groups(&self) -> Result<TypesOfGroups, StoreError> {
        let keys = [keys::DEPLOYMENT, keys::VOLUME_TYPES, keys::GROUP_TYPES].map(str::to_owned);
        let mut values = self.key_value.get_many(&keys)?.into_iter();
        let deployment = decode_optional::<Deployment>(&keys[0], values.next().flatten())?;
        let volume_types = decode_optional::<VolumeTypes>(&keys[1], values.next().flatten())?;
        let group_types = decode_optional::<GroupTypes>(&keys[2], values.next().flatten())?;
        Ok(TypesOfGroups {
            deployment: deployment.unwrap_or_default(),
            volume_types: volume_types.unwrap_or_default(),
            group_types: group_types.unwrap_or_default(),
        })
    }

    /// Changes the group types. `change` gets them again for each attempt.
    ///
    /// # Errors
    ///
    /// The error of `change`, [`StoreError::Contended`] when other writers were faster at every attempt, or an error of
    /// the key-value store.
    pub fn change_group_types<E: From<StoreError>>(
        &self,
        change: &mut dyn FnMut(&mut GroupTypes) -> Result<(), E>,
    ) -> Result<(), E> {
        let key = keys::GROUP_TYPES;
        // The second round finds the value that the first one created.
        for _ in 0..2 {
            let is_done = self.replace(key, |types: Option<GroupTypes>| {
                let Some(mut types) = types else { return Ok(Change::Leave(false)) };
                change(&mut types)?;
                Ok::<_, E>(Change::Write(types, true))
            })?;
            if is_done {
                return Ok(());
            }
            self.ensure(key, keys::GROUP_TYPES_CLAIM, || {
                Ok(vec![(key.to_owned(), encode_fresh(key, &GroupTypes::default())?)])
            })?;
        }
        Err(StoreError::Contended(key.to_owned()).into())
    }

    /// Returns whether a group of any project is as asked. A group whose creation is under way counts once its row is there, and
    /// one whose removal is due does not count. A record that cannot be read is an error, since it may list such a group.
    #[expect(clippy::missing_errors_doc, reason = "documented on `Store`")]
    pub fn has_group(&self, now: Timestamp, is_asked: &dyn Fn(&Group) -> bool) -> Result<bool, StoreError> {
        for projects in self.project_ids()?.chunks(AT_ONCE) {
            for record in self.read_records(projects)? {
                let Some(record) = record?.filter(|record| !record.index(Kind::Group).is_empty()) else { continue };
                let at_once = rows_at_once([&record]);
                let mut listing = Listing::new(*self, vec![record], Kind::Group, Direction::NewestFirst, None);
                loop {
                    let ids: Vec<Uuid> = listing.next(at_once)?.iter().map(|entry| entry.position.id).collect();
                    if ids.is_empty() {
                        break;
                    }
                    let groups = self.rows::<Group>(&ids)?.into_iter().filter_map(StoredRow::readable);
                    if groups.filter_map(|group| group.effective(now, Occasion::Reading)).any(|own| is_asked(&own)) {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    }
}
