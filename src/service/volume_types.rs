//! Volume types (`docs/spec/types.md`).

use std::cmp::Ordering;

use uuid::Uuid;

use crate::domain::volume_type::{ExtraSpecs, IS_TRUE, Reserved};
use crate::domain::{Caller, Snapshot, Volume, VolumeType, VolumeTypeId, VolumeTypes};
use crate::settings::SettingsError;
use crate::store::StoreError;
use crate::store::agenda::AgendaItem;
use crate::store::deployment::Deployment;

use super::listing::{Column, Columns, ListPage, Order, Pattern, columns};
use super::policy::Rule;
use super::{Error, Service, resource_filters};

/// The most types of a deployment.
const MOST_TYPES: usize = 500;
/// The largest size of all types together, in bytes. Every answer about a volume reads them.
const MOST_BYTES: usize = 262_144;

/// The only extra specs that callers without the role `admin` see.
const VISIBLE_SPECS: [&str; 3] = ["RESKEY:availability_zones", "multiattach", "replication_enabled"];

/// The extra spec with a list of zones, of which a filter matches a part.
const ZONES: &str = "RESKEY:availability_zones";

/// The parameters of a create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVolumeType {
    pub name: String,
    pub description: Option<String>,
    pub extra_specs: ExtraSpecs,
    pub is_public: bool,
}

/// The changes of an update. `None` leaves a field unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeTypeUpdate {
    pub name: Option<String>,
    pub description: Option<String>,
    pub is_public: Option<bool>,
}

/// A request for a page of the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeTypeQuery {
    /// Whether the types are public ones, private ones, or both. Without the role `admin` it does not matter.
    pub is_public: Option<bool>,
    /// The extra specs that a type must have.
    pub extra_specs: Vec<(String, String)>,
    /// Columns that must equal strings.
    pub columns: Vec<(String, String)>,
    /// Whether a filter matches no type.
    pub is_empty: bool,
    pub sort: Vec<(String, String)>,
    pub marker: Option<String>,
    pub limit: usize,
    pub offset: usize,
}

/// The types and the settings that are needed to check the request for a list.
#[derive(Debug)]
pub struct PreparedTypes {
    deployment: Deployment,
    types: VolumeTypes,
}

impl PreparedTypes {
    /// Returns the filters that members may use.
    #[must_use]
    pub fn allowed_filters(&self) -> Vec<String> {
        resource_filters::allowed("volume_type", &self.deployment)
    }
}

columns! { row: VolumeType;
    "id" => Column::String(Some(row.id.to_string())),
    "name" => Column::String(Some(row.name.clone())),
    "description" => Column::String(row.description.clone()),
    "is_public" => Column::Boolean(row.is_public),
    "qos_specs_id" => Column::String(row.qos_specs_id.map(|id| id.to_string())),
    "created_at" => Column::Time(Some(row.created_at)),
    "updated_at" => Column::Time(row.updated_at),
    "deleted" => Column::Boolean(false),
    "deleted_at" => Column::Time(None),
}

fn type_not_found(id: &str) -> Error {
    Error::NotFound(format!("Volume type {id} could not be found."))
}

fn already_exists(name: &str) -> Error {
    Error::Conflict(format!("Volume Type {name} already exists."))
}

fn contended(id: VolumeTypeId) -> Error {
    StoreError::Contended(format!("volume type {id}")).into()
}

/// Returns whether a type exists for a caller.
fn is_visible(own: &VolumeType, caller: &Caller) -> bool {
    caller.roles.admin || own.is_open_to(caller.project_id.as_ref().map(crate::domain::ProjectId::as_str))
}

/// Returns whether a caller sees an extra spec.
fn is_spec_visible(key: &str, caller: &Caller) -> bool {
    caller.roles.admin || VISIBLE_SPECS.contains(&key)
}

/// Refuses types that have grown too many or too large.
fn check_size(types: &VolumeTypes) -> Result<(), Error> {
    if types.types.len() > MOST_TYPES {
        return Err(Error::TooMuch(format!("A deployment may have {MOST_TYPES} volume types, and no more.")));
    }
    if types.size() > MOST_BYTES {
        let message = format!("The volume types of a deployment may have {MOST_BYTES} bytes together, and no more.");
        return Err(Error::TooMuch(message));
    }
    Ok(())
}

impl Service<'_> {
    /// Returns the volume types, for the names in answers. Types that cannot be read are noted, and have no names.
    ///
    /// # Errors
    ///
    /// Errors of the store.
    pub fn volume_types(&self) -> Result<VolumeTypes, Error> {
        Ok(self.store.without_unreadable(self.store.volume_types())?.unwrap_or_default())
    }

    /// Returns a type that exists for the caller.
    fn visible_type<'t>(&self, types: &'t VolumeTypes, id: &str) -> Result<&'t VolumeType, Error> {
        self.caller.is_scoped()?;
        let found = id.parse().ok().and_then(|id| types.get(id));
        found.filter(|own| is_visible(own, self.caller)).ok_or_else(|| type_not_found(id))
    }

    /// Returns a type by its id or, if there is none, by its name.
    pub(super) fn volume_type_named<'t>(&self, types: &'t VolumeTypes, name: &str) -> Result<&'t VolumeType, Error> {
        let by_id = name.parse::<VolumeTypeId>().ok().and_then(|id| types.get(id));
        if let Some(own) = by_id.filter(|own| is_visible(own, self.caller)) {
            return Ok(own);
        }
        let Some(own) = types.named(name) else {
            // Any form of a UUID is looked up as an id.
            return Err(if Uuid::try_parse(name).is_ok() {
                type_not_found(name)
            } else {
                Error::NotFound(format!("Volume type with name {name} could not be found."))
            });
        };
        if is_visible(own, self.caller) { Ok(own) } else { Err(type_not_found(&own.id.to_string())) }
    }

    /// Returns the type of volumes that are created without one.
    fn default_type<'t>(&self, types: &'t VolumeTypes) -> Result<&'t VolumeType, Error> {
        let name = &self.settings.get()?.default_volume_type;
        Ok(types.named(name).ok_or_else(|| SettingsError::no_default_volume_type(name))?)
    }

    /// Returns the type of a new volume: the named one, that of its snapshot, or the default. Checks that the type allows
    /// the requested size.
    pub(super) fn type_of_new_volume<'t>(
        &self,
        types: &'t VolumeTypes,
        named: Option<&'t VolumeType>,
        snapshot: Option<&Snapshot>,
        cloned: Option<&Volume>,
        size: Option<u32>,
    ) -> Result<&'t VolumeType, Error> {
        let invalid = |message: &str| Error::BadRequest(format!("Invalid input received: {message}"));
        let size_of_source = || snapshot.map(|snapshot| snapshot.size).or_else(|| cloned.map(|cloned| cloned.size));
        let size = size.or_else(size_of_source);
        // As in Cinder, the bounds of the default type apply where none is named.
        let bounding = named.map_or_else(|| self.default_type(types), Ok)?;
        if let Some(message) = size.and_then(|size| bounding.refuses_size(size)) {
            return Err(invalid(&message));
        }
        let of = |id: Option<VolumeTypeId>| id.and_then(|id| types.get(id));
        let of_cloned = of(cloned.and_then(|cloned| cloned.volume_type_id));
        let of_snapshot = of(snapshot.and_then(|snapshot| snapshot.volume_type_id));
        let sources = [
            (of_cloned, "either match source volume, or omit type argument"),
            (of_snapshot, "recommend omitting the type argument"),
        ];
        for (source, advice) in sources {
            let (Some(named), Some(source)) = (named, source) else { continue };
            if named.id != source.id && !source.may_become(named) {
                return Err(invalid(&format!(
                    "Invalid volume_type provided: {} (requested type is not compatible; {advice}).",
                    named.id
                )));
            }
        }
        match (named, of_cloned.or(of_snapshot)) {
            (Some(named), _) => Ok(named),
            (None, Some(source)) => Ok(source),
            (None, None) => Ok(bounding),
        }
    }

    /// Refuses a volume of a type that is being deleted or changed.
    pub(super) fn refuse_reserved_type(&self, types: &VolumeTypes, used: &VolumeType) -> Result<(), Error> {
        if types.refuses_volumes_of(used.id, self.now) { Err(contended(used.id)) } else { Ok(()) }
    }

    /// Removes a volume that was just created if its type is not as it was, or is about to change. A change of a type looks
    /// for volumes after it has reserved the type, so of two that cross, at least one sees the other.
    pub(super) fn keep_volume_of_type(
        &self,
        volume: &Volume,
        used: &VolumeType,
        after: &VolumeTypes,
        deployment: &Deployment,
    ) -> Result<(), Error> {
        let is_as_it_was = after.get(used.id).is_some_and(|own| own.extra_specs == used.extra_specs);
        if is_as_it_was && !after.refuses_volumes_of(used.id, self.now) {
            return Ok(());
        }
        let item = AgendaItem::now(volume, self.now);
        self.store.schedule(std::slice::from_ref(&item))?;
        self.store.remove(&volume.project_id, &[item], deployment.snapshots_count_gigabytes())?;
        Err(StoreError::Undone(format!("volume type {}", used.id)).into())
    }

    /// Makes a change of a type that no volume may have. The type is reserved first and the volumes are looked for
    /// second, so a volume that is created meanwhile is seen here, or its creation sees the reservation.
    fn change_unused_type(
        &self,
        id: VolumeTypeId,
        in_use: &str,
        mut change: impl FnMut(&mut VolumeTypes) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let deployment = self.store.deployment()?;
        let refused = || Error::BadRequest(in_use.to_owned());
        // Most types that cannot be changed are refused here, without a write.
        if self.store.has_volumes_of_type(id, self.now, &deployment)? {
            return Err(refused());
        }
        let number = self.identifiers.number();
        let is_own = |reserved: Reserved| reserved.number == number;
        let reserve = |types: &mut VolumeTypes| {
            // An earlier reservation is replaced. Its writer notices, and an abandoned one keeps nobody waiting.
            types.reserved = Some(Reserved { id: id.as_uuid(), number, since: (self.clock)() });
            Ok::<_, Error>(())
        };
        self.store.change_volume_types(reserve)?;
        let is_used = self.store.has_volumes_of_type(id, self.now, &deployment);
        self.store.change_volume_types(|types| {
            if !types.reserved.is_some_and(|reserved| is_own(reserved) && reserved.lasts((self.clock)())) {
                return Err(contended(id));
            }
            types.reserved = None;
            if matches!(is_used, Ok(false)) {
                change(types)?;
            }
            Ok(())
        })?;
        if is_used? { Err(refused()) } else { Ok(()) }
    }

    /// Reads what a list of types needs.
    ///
    /// # Errors
    ///
    /// Not allowed, or errors of the store.
    pub fn prepare_volume_types(&self) -> Result<PreparedTypes, Error> {
        self.caller.allow_own(Rule::GetAllVolumeTypes)?;
        let (deployment, types) = self.store.deployment_and_volume_types()?;
        Ok(PreparedTypes { deployment, types })
    }

    /// Lists the types that exist for the caller.
    ///
    /// # Errors
    ///
    /// An invalid direction, or a sort key that is not a column.
    pub fn list_volume_types(
        &self,
        query: &VolumeTypeQuery,
        prepared: PreparedTypes,
    ) -> Result<ListPage<VolumeType>, Error> {
        let PreparedTypes { deployment, types } = prepared;
        let limit = query.limit.min(self.largest_page(&deployment)?);
        let order = Order::read(&query.sort)?;
        order.check::<VolumeType>()?;
        let hides = |(key, _): &(String, String)| !is_spec_visible(key, self.caller);
        if query.is_empty || query.extra_specs.iter().any(hides) {
            return Ok(ListPage::empty(limit, None));
        }
        let project = self.caller.project_id.as_ref().map(crate::domain::ProjectId::as_str);
        let is_public = if self.caller.roles.admin { query.is_public } else { Some(true) };
        let matches = |own: &VolumeType| {
            let is_shown = match is_public {
                Some(true) => own.is_open_to(project),
                Some(false) => !own.is_public,
                None => true,
            };
            is_shown
                && query.extra_specs.iter().all(|(key, value)| has_spec(own, key, value))
                && query
                    .columns
                    .iter()
                    .all(|(column, value)| own.column(column).is_some_and(|column| column.equals(value)))
        };
        // As in Cinder, an unknown marker is no marker.
        let marker = query.marker.as_ref().and_then(|id| types.get(id.parse().ok()?)).map(|own| order.values(own));
        let mut rows: Vec<(Vec<Column>, VolumeType)> = Vec::new();
        for own in types.types.into_iter().filter(matches) {
            let values = order.values(&own);
            if marker.as_ref().is_none_or(|marker| order.compare(marker, &values) == Ordering::Less) {
                rows.push((values, own));
            }
        }
        rows.sort_by(|(one, _), (two, _)| order.compare(one, two));
        let rows = rows.into_iter().skip(query.offset).take(limit).map(|(_, own)| own);
        Ok(ListPage { rows: rows.collect(), ..ListPage::empty(limit, None) })
    }

    /// Returns a type.
    ///
    /// # Errors
    ///
    /// Not found, or not allowed.
    pub fn show_volume_type(&self, id: &str) -> Result<VolumeType, Error> {
        let types = self.store.volume_types()?;
        let found = self.visible_type(&types, id)?;
        self.caller.allow_own(Rule::GetVolumeType)?;
        Ok(found.clone())
    }

    /// Returns the type of volumes that are created without one.
    ///
    /// # Errors
    ///
    /// Not allowed, or no such type.
    pub fn show_default_volume_type(&self) -> Result<VolumeType, Error> {
        self.caller.is_scoped()?;
        let types = self.store.volume_types()?;
        let found = self.default_type(&types)?;
        self.caller.allow_own(Rule::GetVolumeType)?;
        Ok(found.clone())
    }

    /// Creates a type.
    ///
    /// # Errors
    ///
    /// Not allowed, a name that is taken, or too many types.
    pub fn create_volume_type(&self, new: &NewVolumeType) -> Result<VolumeType, Error> {
        self.caller.allow_own(Rule::CreateVolumeType)?;
        let created = VolumeType {
            id: VolumeTypeId::new(self.identifiers.uuid()),
            name: new.name.clone(),
            description: new.description.clone(),
            is_public: new.is_public,
            extra_specs: new.extra_specs.clone(),
            created_at: self.now,
            ..VolumeType::default()
        };
        self.store.change_volume_types(|types| {
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
    pub fn update_volume_type(&self, id: &str, update: &VolumeTypeUpdate) -> Result<VolumeType, Error> {
        self.caller.allow_own(Rule::UpdateVolumeType)?;
        if update.name.as_ref().is_some_and(|name| name.trim().is_empty()) {
            return Err(Error::BadRequest("Volume type name can not be empty.".to_owned()));
        }
        if *update == VolumeTypeUpdate::default() {
            let message = "Specify volume type name, description, is_public or a combination thereof.";
            return Err(Error::BadRequest(message.to_owned()));
        }
        self.change_type(id, |types, id| {
            if let Some(name) = &update.name
                && types.named(name).is_some_and(|other| other.id != id)
            {
                return Err(already_exists(name));
            }
            let own = types.get_mut(id).ok_or_else(|| type_not_found(&id.to_string()))?;
            if let Some(name) = &update.name {
                own.name.clone_from(name);
            }
            if update.description.is_some() {
                own.description.clone_from(&update.description);
            }
            own.is_public = update.is_public.unwrap_or(own.is_public);
            own.updated_at = Some(self.now);
            Ok(own.clone())
        })
    }

    /// Changes a type by compare-and-swap.
    fn change_type<R>(
        &self,
        id: &str,
        mut change: impl FnMut(&mut VolumeTypes, VolumeTypeId) -> Result<R, Error>,
    ) -> Result<R, Error> {
        self.store.change_volume_types(|types| {
            let found = self.visible_type(types, id)?.id;
            let answer = change(types, found)?;
            check_size(types)?;
            Ok(answer)
        })
    }

    /// Deletes a type.
    ///
    /// # Errors
    ///
    /// Not allowed, not found, the default type, or a type that a volume has.
    pub fn delete_volume_type(&self, id: &str) -> Result<(), Error> {
        self.caller.allow_own(Rule::DeleteVolumeType)?;
        let found = self.visible_type(&self.store.volume_types()?, id)?.id;
        let refuse_default = |types: &VolumeTypes| {
            if self.default_type(types)?.id == found {
                let message = format!("The volume type {id} is a default volume type and cannot be deleted.");
                return Err(Error::BadRequest(message));
            }
            Ok(())
        };
        refuse_default(&self.store.volume_types()?)?;
        self.change_unused_type(found, "Target volume type is still in use.", |types| {
            refuse_default(types)?;
            let before = types.types.len();
            types.types.retain(|own| own.id != found);
            if types.types.len() < before { Ok(()) } else { Err(type_not_found(id)) }
        })
    }

    /// Returns the extra specs of a type that the caller sees.
    ///
    /// # Errors
    ///
    /// Not allowed, or not found.
    pub fn show_extra_specs(&self, id: &str) -> Result<ExtraSpecs, Error> {
        self.caller.allow_own(Rule::GetExtraSpecs)?;
        let types = self.store.volume_types()?;
        Ok(self.seen_specs(self.visible_type(&types, id)?))
    }

    /// Returns the extra specs of a type that the caller sees.
    #[must_use]
    pub fn seen_specs(&self, own: &VolumeType) -> ExtraSpecs {
        let specs = own.extra_specs.iter().filter(|(key, _)| is_spec_visible(key, self.caller));
        specs.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Returns one extra spec.
    ///
    /// # Errors
    ///
    /// Not allowed, or not found.
    pub fn show_extra_spec(&self, id: &str, key: &str) -> Result<Option<String>, Error> {
        self.caller.allow_own(Rule::GetExtraSpec)?;
        let types = self.store.volume_types()?;
        let mut seen = self.seen_specs(self.visible_type(&types, id)?);
        seen.remove(key).ok_or_else(|| spec_not_found(id, key))
    }

    /// Adds extra specs to a type, and replaces those that it has. `named` is the one that the path names.
    ///
    /// # Errors
    ///
    /// Not allowed, a type that a volume has, not found, or specs that exclude each other.
    pub fn merge_extra_specs(&self, id: &str, specs: &ExtraSpecs, named: Option<&str>) -> Result<(), Error> {
        self.caller.allow_own(if named.is_some() { Rule::UpdateExtraSpec } else { Rule::CreateExtraSpecs })?;
        self.change_specs(id, |own| {
            if named.is_some_and(|key| !specs.contains_key(key)) {
                return Err(Error::BadRequest("Request body and URI mismatch".to_owned()));
            }
            let was_on = |key: &str| own.spec(key) == Some(IS_TRUE);
            let is_on = |key: &str| specs.get(key).is_some_and(|value| value.as_deref() == Some(IS_TRUE));
            let excluded = [("multiattach", "cacheable"), ("cacheable", "multiattach")];
            if excluded.into_iter().any(|(one, other)| is_on(one) && (was_on(other) || is_on(other))) {
                return Err(Error::BadRequest("cacheable cannot be set with multiattach.".to_owned()));
            }
            own.extra_specs.extend(specs.clone());
            Ok(())
        })
    }

    /// Deletes an extra spec.
    ///
    /// # Errors
    ///
    /// Not found, not allowed, or a type that a volume has.
    pub fn delete_extra_spec(&self, id: &str, key: &str) -> Result<(), Error> {
        self.visible_type(&self.store.volume_types()?, id)?;
        self.caller.allow_own(Rule::DeleteExtraSpec)?;
        self.change_specs(id, |own| match own.extra_specs.remove(key) {
            Some(_) => Ok(()),
            None => Err(spec_not_found(id, key)),
        })
    }

    /// Changes the extra specs of a type that no volume has.
    fn change_specs(&self, id: &str, change: impl Fn(&mut VolumeType) -> Result<(), Error>) -> Result<(), Error> {
        let parsed = id.parse().map_err(|_| type_not_found(id))?;
        let change = |types: &mut VolumeTypes| {
            change(types.get_mut(parsed).ok_or_else(|| type_not_found(id))?)?;
            check_size(types)
        };
        // A change that will be refused reserves nothing.
        let mut types = self.store.volume_types()?;
        let refusal = change(&mut types).err();
        let deployment = self.store.deployment()?;
        match refusal {
            // As in Cinder, the use of the type is checked first.
            Some(_) if self.store.has_volumes_of_type(parsed, self.now, &deployment)? => {
                Err(Error::BadRequest(IN_USE.to_owned()))
            }
            Some(refusal) => Err(refusal),
            None => self.change_unused_type(parsed, IN_USE, change),
        }
    }

    /// Returns the projects that may use a private type.
    ///
    /// # Errors
    ///
    /// Not allowed, not found, or a public type.
    pub fn show_type_access(&self, id: &str) -> Result<Vec<String>, Error> {
        self.caller.allow_own(Rule::GetTypeAccess)?;
        let types = self.store.volume_types()?;
        let found = self.visible_type(&types, id)?;
        if found.is_public {
            return Err(Error::NotFound("Access list not available for public volume types.".to_owned()));
        }
        Ok(found.access.clone())
    }

    /// Lets a project use a private type, or no longer.
    ///
    /// # Errors
    ///
    /// Not allowed, not found, a public type, or no change.
    pub fn change_type_access(&self, id: &str, project: &str, is_added: bool) -> Result<(), Error> {
        self.caller.allow_own(if is_added { Rule::AddTypeAccess } else { Rule::RemoveTypeAccess })?;
        self.change_type(id, |types, found| {
            let own = types.get_mut(found).ok_or_else(|| type_not_found(id))?;
            if own.is_public {
                let message = "Invalid volume type: Type access modification is not applicable to public volume type.";
                return Err(Error::BadRequest(message.to_owned()));
            }
            let at = own.access.iter().position(|other| other == project);
            match (is_added, at) {
                (true, None) => own.access.push(project.to_owned()),
                (false, Some(at)) => drop(own.access.remove(at)),
                (true, Some(_)) => {
                    let message = format!("Volume type access for {id} / {project} combination already exists.");
                    return Err(Error::Conflict(message));
                }
                (false, None) => {
                    let message = format!("Volume type access not found for {id} / {project} combination.");
                    return Err(Error::NotFound(message));
                }
            }
            Ok(())
        })
    }

    /// Returns a type for an administrator who asks how its volumes are encrypted.
    ///
    /// # Errors
    ///
    /// Not allowed, or not found.
    pub fn show_encryption(&self, id: &str) -> Result<VolumeType, Error> {
        self.caller.allow_own(Rule::GetEncryption)?;
        let types = self.store.volume_types()?;
        Ok(self.visible_type(&types, id)?.clone())
    }
}

/// The message for a change of a type that a volume has.
const IN_USE: &str = "Volume Type is currently in use.";

fn spec_not_found(id: &str, key: &str) -> Error {
    Error::NotFound(format!("Volume Type {id} has no extra specs with key {key}."))
}

/// Returns whether a type has an extra spec that a filter asks for.
fn has_spec(own: &VolumeType, key: &str, value: &str) -> bool {
    own.spec(key).is_some_and(|spec| match Pattern::new(value) {
        Some(pattern) if key == ZONES => pattern.is_in(spec),
        _ => spec == value,
    })
}
