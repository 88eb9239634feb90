//! Group types and their specs (`docs/spec/group-snapshots.md` section 3).

use std::cmp::Ordering;

use uuid::Uuid;

use crate::domain::group_type::GroupSpecs;
use crate::domain::volume_type::Reserved;
use crate::domain::{Caller, GroupType, GroupTypeId, GroupTypes, ProjectId};
use crate::store::StoreError;

use super::listing::{Column, ListPage, Order, columns};
use super::policy::Rule;
use super::{Error, Service};

/// The most types of a deployment, and their largest size together, in bytes.
const MOST_TYPES: usize = 500;
const MOST_BYTES: usize = 262_144;

/// The parameters of a create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGroupType {
    pub name: String,
    pub description: Option<String>,
    pub group_specs: GroupSpecs,
    pub is_public: bool,
}

/// The changes of an update. `None` leaves a field unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupTypeUpdate {
    pub name: Option<String>,
    pub description: Option<String>,
    pub is_public: Option<bool>,
}

/// A request for a page of the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupTypeQuery {
    /// Whether the types are public ones, private ones, or both. Without the role `admin` it does not matter.
    pub is_public: Option<bool>,
    pub sort: Vec<(String, String)>,
    pub marker: Option<String>,
    pub limit: usize,
    pub offset: usize,
}

columns! { row: GroupType;
    "id" => Column::String(Some(row.id.to_string())),
    "name" => Column::String(Some(row.name.clone())),
    "description" => Column::String(row.description.clone()),
    "is_public" => Column::Boolean(row.is_public),
    "created_at" => Column::Time(Some(row.created_at)),
    "updated_at" => Column::Time(row.updated_at),
    "deleted" => Column::Boolean(false),
    "deleted_at" => Column::Time(None),
}

pub(super) fn type_not_found(id: &str) -> Error {
    Error::NotFound(format!("Group type {id} could not be found."))
}

fn already_exists(name: &str) -> Error {
    Error::Conflict(format!("Group Type {name} already exists."))
}

fn in_use(id: GroupTypeId) -> Error {
    Error::BadRequest(format!(
        "Target group type is still in use. Group Type {id} deletion is not allowed with groups present with the type."
    ))
}

/// Returns whether a type exists for a caller.
fn is_visible(own: &GroupType, caller: &Caller) -> bool {
    caller.roles.admin || own.is_open_to(caller.project_id.as_ref().map(ProjectId::as_str))
}

/// Refuses types that have grown too many or too large.
fn check_size(types: &GroupTypes) -> Result<(), Error> {
    if types.types.len() > MOST_TYPES {
        return Err(Error::TooMuch(format!("A deployment may have {MOST_TYPES} group types, and no more.")));
    }
    if types.size() > MOST_BYTES {
        let message = format!("The group types of a deployment may have {MOST_BYTES} bytes together, and no more.");
        return Err(Error::TooMuch(message));
    }
    Ok(())
}

impl Service<'_> {
    /// Returns a type that exists for the caller.
    fn visible_group_type<'t>(&self, types: &'t GroupTypes, id: &str) -> Result<&'t GroupType, Error> {
        self.caller.is_scoped()?;
        let found = id.parse().ok().and_then(|id| types.get(id));
        found.filter(|own| is_visible(own, self.caller)).ok_or_else(|| type_not_found(id))
    }

    /// Returns a type by its id or, if there is none, by its name.
    pub(super) fn group_type_named<'t>(&self, types: &'t GroupTypes, name: &str) -> Result<&'t GroupType, Error> {
        let by_id = name.parse::<GroupTypeId>().ok().and_then(|id| types.get(id));
        let found = by_id.or_else(|| types.named(name)).filter(|own| is_visible(own, self.caller));
        found.ok_or_else(|| {
            // Any form of a UUID is looked up as an id.
            if Uuid::try_parse(name).is_ok() {
                type_not_found(name)
            } else {
                Error::NotFound(format!("Group type with name {name} could not be found."))
            }
        })
    }

    /// Lists the types that exist for the caller. No policy restricts it.
    ///
    /// # Errors
    ///
    /// An invalid direction, a marker that does not exist, or a sort key that is not a column.
    pub fn list_group_types(&self, query: &GroupTypeQuery) -> Result<ListPage<GroupType>, Error> {
        self.caller.is_scoped()?;
        let types = self.store.group_types()?;
        let limit = query.limit.min(self.largest_page(&self.store.deployment()?)?);
        let order = Order::read(&query.sort)?;
        let marker = query.marker.as_deref().map(|id| {
            let found = id.parse().ok().and_then(|id| types.get(id));
            found.map(|own| order.values(own)).ok_or_else(|| type_not_found(id))
        });
        let marker = marker.transpose()?;
        order.check::<GroupType>()?;
        let project = self.caller.project_id.as_ref().map(ProjectId::as_str);
        let is_public = if self.caller.roles.admin { query.is_public } else { Some(true) };
        let is_shown = |own: &GroupType| match is_public {
            Some(true) => own.is_open_to(project),
            Some(false) => !own.is_public,
            None => true,
        };
        let mut rows: Vec<(Vec<Column>, GroupType)> = Vec::new();
        for own in types.types.into_iter().filter(is_shown) {
            let values = order.values(&own);
            if marker.as_ref().is_none_or(|marker| order.compare(marker, &values) == Ordering::Less) {
                rows.push((values, own));
            }
        }
        rows.sort_by(|(one, _), (two, _)| order.compare(one, two));
        let rows = rows.into_iter().skip(query.offset).take(limit).map(|(_, own)| own);
        Ok(ListPage { rows: rows.collect(), ..ListPage::empty(limit, None) })
    }

    /// Returns a type. No policy restricts it.
    ///
    /// # Errors
    ///
    /// Not found.
    pub fn show_group_type(&self, id: &str) -> Result<GroupType, Error> {
        let types = self.store.group_types()?;
        self.visible_group_type(&types, id).cloned()
    }

    /// Creates a type.
    ///
    /// # Errors
    ///
    /// Not allowed, a name that is taken, or too many types.
    pub fn create_group_type(&self, new: &NewGroupType) -> Result<GroupType, Error> {
        self.caller.allow_own(Rule::CreateGroupType)?;
        let created = GroupType {
            id: GroupTypeId::new(self.identifiers.uuid()),
            name: new.name.clone(),
            description: new.description.clone(),
            is_public: new.is_public,
            group_specs: new.group_specs.clone(),
            access: Vec::new(),
            created_at: self.now,
            updated_at: None,
        };
        self.store.change_group_types(&mut |types: &mut GroupTypes| {
            if types.named(&created.name).is_some() {
                return Err(already_exists(&created.name));
            }
            types.add(created.clone());
            check_size(types)
        })?;
        Ok(created)
    }

    /// Changes the name, the description, and whether a type is public.
    ///
    /// # Errors
    ///
    /// Not allowed, no change, a blank name, not found, or a name that is taken.
    pub fn update_group_type(&self, id: &str, update: &GroupTypeUpdate) -> Result<GroupType, Error> {
        self.caller.allow_own(Rule::UpdateGroupType)?;
        if update.name.as_ref().is_some_and(|name| !name.is_empty() && name.trim().is_empty()) {
            return Err(Error::BadRequest("Group type name can not be empty.".to_owned()));
        }
        if *update == GroupTypeUpdate::default() {
            let message = "Specify group type name, description or a combination thereof.";
            return Err(Error::BadRequest(message.to_owned()));
        }
        let mut updated = None;
        self.change_group_type(id, &mut |types, id| {
            // As in Cinder, an empty name is none.
            let name = update.name.as_ref().filter(|name| !name.is_empty());
            if let Some(name) = name
                && types.named(name).is_some_and(|other| other.id != id)
            {
                return Err(already_exists(name));
            }
            let own = types.get_mut(id).ok_or_else(|| type_not_found(&id.to_string()))?;
            if let Some(name) = name {
                own.name.clone_from(name);
            }
            if update.description.is_some() {
                own.description.clone_from(&update.description);
            }
            own.is_public = update.is_public.unwrap_or(own.is_public);
            own.updated_at = Some(self.now);
            updated = Some(own.clone());
            Ok(())
        })?;
        updated.ok_or_else(|| type_not_found(id))
    }

    /// Changes a type by compare-and-swap.
    fn change_group_type(
        &self,
        id: &str,
        change: &mut dyn FnMut(&mut GroupTypes, GroupTypeId) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.store.change_group_types(&mut |types: &mut GroupTypes| {
            let found = self.visible_group_type(types, id)?.id;
            change(types, found)?;
            check_size(types)
        })
    }

    /// Deletes a type that no group has. The type is reserved first and the groups are looked for second, so a group that is
    /// created meanwhile is seen here, or its creation sees the reservation.
    ///
    /// # Errors
    ///
    /// Not allowed, not found, or a type that a group has.
    pub fn delete_group_type(&self, id: &str) -> Result<(), Error> {
        self.caller.allow_own(Rule::DeleteGroupType)?;
        let found = self.visible_group_type(&self.store.group_types()?, id)?.id;
        let is_used = || self.store.has_group(self.now, &|group| group.group_type_id == found);
        // Most types that cannot be deleted are refused here, without a write.
        if is_used()? {
            return Err(in_use(found));
        }
        let number = self.identifiers.number();
        self.store.change_group_types(&mut |types: &mut GroupTypes| {
            types.reserved = Some(Reserved { id: found.as_uuid(), number, since: (self.clock)() });
            Ok::<_, Error>(())
        })?;
        let is_used = is_used();
        self.store.change_group_types(&mut |types: &mut GroupTypes| {
            let is_own = |own: &Reserved| own.number == number && own.lasts((self.clock)());
            if !types.reserved.take().is_some_and(|own| is_own(&own)) {
                return Err(StoreError::Contended(format!("group type {found}")).into());
            }
            if !matches!(is_used, Ok(false)) {
                return Ok(());
            }
            let before = types.types.len();
            types.types.retain(|own| own.id != found);
            if types.types.len() < before { Ok(()) } else { Err(type_not_found(id)) }
        })?;
        if is_used? { Err(in_use(found)) } else { Ok(()) }
    }

    /// Returns the specs of a type.
    ///
    /// # Errors
    ///
    /// Not allowed, or not found.
    pub fn show_group_specs(&self, id: &str) -> Result<GroupSpecs, Error> {
        self.caller.allow_own(Rule::GetAllGroupSpecs)?;
        Ok(self.show_group_type(id)?.group_specs)
    }

    /// Returns one spec.
    ///
    /// # Errors
    ///
    /// Not allowed, or not found.
    pub fn show_group_spec(&self, id: &str, key: &str) -> Result<Option<String>, Error> {
        self.caller.allow_own(Rule::GetGroupSpec)?;
        let mut specs = self.show_group_type(id)?.group_specs;
        let message = || format!("Group Type {id} has no extra spec with key {key}.");
        specs.remove(key).ok_or_else(|| Error::NotFound(message()))
    }

    /// Adds specs to a type, and replaces those that it has. `named` is the one that the path names.
    ///
    /// # Errors
    ///
    /// Not allowed, not found, or a path that names another spec.
    pub fn merge_group_specs(&self, id: &str, specs: &GroupSpecs, named: Option<&str>) -> Result<(), Error> {
        self.caller.allow_own(if named.is_some() { Rule::UpdateGroupSpec } else { Rule::CreateGroupSpecs })?;
        self.change_group_type(id, &mut |types, found| {
            if named.is_some_and(|key| !specs.contains_key(key)) {
                return Err(Error::BadRequest("Request body and URI mismatch".to_owned()));
            }
            let own = types.get_mut(found).ok_or_else(|| type_not_found(id))?;
            own.group_specs.extend(specs.clone());
            Ok(())
        })
    }

    /// Deletes a spec.
    ///
    /// # Errors
    ///
    /// Not allowed, or not found.
    pub fn delete_group_spec(&self, id: &str, key: &str) -> Result<(), Error> {
        self.caller.allow_own(Rule::DeleteGroupSpec)?;
        self.change_group_type(id, &mut |types, found| {
            let own = types.get_mut(found).ok_or_else(|| type_not_found(id))?;
            let message = || format!("Group Type {id} has no specs with key {key}.");
            own.group_specs.remove(key).map(drop).ok_or_else(|| Error::NotFound(message()))
        })
    }
}
