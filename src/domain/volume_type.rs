//! Volume types, which an administrator makes for all projects (`docs/spec/types.md`).
//!
//! Rows and counters name a type by its id, so that a rename changes one value. Names appear in requests and answers only.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Timestamp;
use super::capabilities;
use super::identifiers::uuid_identifier;
use super::lifecycle::is_in_future;
use super::quota::{self, RESOURCES_OF_TYPE};

uuid_identifier!(
    /// The id of a volume type.
    VolumeTypeId
);

/// The name of the type that every deployment begins with.
pub const DEFAULT_TYPE: &str = "__DEFAULT__";

/// The extra specs of a type. A value may be null.
pub type ExtraSpecs = BTreeMap<String, Option<String>>;

/// The value of an extra spec that is switched on.
pub const IS_TRUE: &str = "<is> True";

impl VolumeTypeId {
    /// The id of the type that every deployment begins with.
    pub const DEFAULT: Self = Self::new(Uuid::from_u128(0xe000_0000_0000_4000_8000_0000_0000_0000));

    /// Returns the id of a type that a state document names without defining it, from the FNV-1a hash of the name.
    #[must_use]
    pub fn of_name(name: &str) -> Self {
        if name == DEFAULT_TYPE {
            return Self::DEFAULT;
        }
        let hash = name.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, |hash, byte| {
            (hash ^ u128::from(byte)).wrapping_mul(0x0100_0000_0000_0000_0000_013b)
        });
        Self::new(uuid::Builder::from_custom_bytes(hash.to_be_bytes()).into_uuid())
    }
}

/// How volumes of a type are encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encryption {
    pub provider: String,
    #[serde(default)]
    pub cipher: Option<String>,
    #[serde(default)]
    pub key_size: Option<u32>,
    pub control_location: String,
}

/// A volume type. A field that is missing has the default of [`VolumeType::default`], so that state documents stay short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VolumeType {
    pub id: VolumeTypeId,
    pub name: String,
    pub description: Option<String>,
    pub is_public: bool,
    pub extra_specs: ExtraSpecs,
    /// The projects that may use a private type, in the order in which they were added.
    pub access: Vec<String>,
    pub qos_specs_id: Option<Uuid>,
    pub encryption: Option<Encryption>,
    pub created_at: Timestamp,
    pub updated_at: Option<Timestamp>,
}

impl Default for VolumeType {
    /// Returns the type of `setup_defaults` in `tests/it/conformance/neighbour-vectors.json`.
    fn default() -> Self {
        Self {
            id: VolumeTypeId::new(Uuid::from_u128(0xeeee_eeee_0000_4000_8000_0000_0000_0001)),
            name: "type1".to_owned(),
            description: None,
            is_public: true,
            extra_specs: ExtraSpecs::new(),
            access: Vec::new(),
            qos_specs_id: None,
            encryption: None,
            created_at: Timestamp::from_seconds(1_767_225_600),
            updated_at: None,
        }
    }
}

impl VolumeType {
    /// Returns the type that every deployment begins with. It is older than all others.
    #[must_use]
    pub fn seed() -> Self {
        let description = Some("Default Volume Type".to_owned());
        Self { description, ..Self::named(DEFAULT_TYPE) }
    }

    /// Returns a public type without extra specs, as a state document implies it.
    fn named(name: &str) -> Self {
        // The year 2000: types that are made later come first in lists.
        let created_at = Timestamp::from_seconds(946_684_800);
        Self { id: VolumeTypeId::of_name(name), name: name.to_owned(), created_at, ..Self::default() }
    }

    /// Returns whether a project may use the type.
    #[must_use]
    pub fn is_open_to(&self, project: Option<&str>) -> bool {
        self.is_public || project.is_some_and(|project| self.access.iter().any(|own| own == project))
    }

    /// Returns the value of an extra spec, unless it is missing or null.
    #[must_use]
    pub fn spec(&self, key: &str) -> Option<&str> {
        self.extra_specs.get(key)?.as_deref()
    }

    /// Returns whether a backend has all capabilities that the type requires.
    #[must_use]
    pub fn fits(&self, host: &str) -> bool {
        self.extra_specs.is_empty() || capabilities::satisfy(&capabilities::of_host(host), &self.extra_specs)
    }

    /// Returns whether several servers may use a volume of this type at once.
    #[must_use]
    pub fn is_multiattach(&self) -> bool {
        self.spec("multiattach") == Some(IS_TRUE)
    }

    /// Returns why a volume of a size may not have this type.
    #[must_use]
    pub fn refuses_size(&self, size: u32) -> Option<String> {
        let bound = |key| self.spec(key).filter(|bound| !bound.is_empty()).map(|bound| (bound, bound.trim().parse()));
        let (name, size_of) = (&self.name, i64::from(size));
        match (bound("provisioning:min_vol_size"), bound("provisioning:max_vol_size")) {
            (Some((min, Ok(least))), _) if size_of < least => Some(format!(
                "Specified volume size of '{size}' is less than the minimum required size of '{min}' for volume type \
                 '{name}'."
            )),
            (_, Some((max, Ok(most)))) if size_of > most => Some(format!(
                "Specified volume size of '{size}' is greater than the maximum allowable size of '{max}' for volume type \
                 '{name}'."
            )),
            _ => None,
        }
    }

    /// Returns whether a volume of another type may be made from one of this type.
    #[must_use]
    pub fn may_become(&self, other: &Self) -> bool {
        let backend = |of: &Self| of.spec("volume_backend_name").map(str::to_owned);
        self.encryption == other.encryption && backend(self).is_some() && backend(self) == backend(other)
    }
}

/// A change of a type of volumes or groups that must not cross the creation of a row of the type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserved {
    /// The id of the type.
    pub id: Uuid,
    /// A random number, by which the writer knows that the reservation is its own.
    pub number: u64,
    pub since: Timestamp,
}

impl Reserved {
    /// The time, in seconds, for which a reservation refuses rows of the type.
    const REFUSES_SECONDS: f64 = 30.0;
    /// The time, in seconds, in which its writer must be done. The rest is for clocks that differ.
    const LASTS_SECONDS: f64 = 20.0;

    /// Returns whether the writer of the reservation may still make its change.
    #[must_use]
    pub fn lasts(&self, now: Timestamp) -> bool {
        self.since <= now && now < self.since.plus_seconds(Self::LASTS_SECONDS)
    }

    /// Returns whether it refuses rows of the type.
    #[must_use]
    pub fn refuses(&self, now: Timestamp) -> bool {
        now < self.since.plus_seconds(Self::REFUSES_SECONDS) && !is_in_future(self.since, now)
    }
}

/// The types of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeTypes {
    /// The types, newest first.
    pub types: Vec<VolumeType>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved: Option<Reserved>,
}

impl Default for VolumeTypes {
    fn default() -> Self {
        Self { types: vec![VolumeType::seed()], reserved: None }
    }
}

impl VolumeTypes {
    /// Returns a type by its id.
    #[must_use]
    pub fn get(&self, id: VolumeTypeId) -> Option<&VolumeType> {
        self.types.iter().find(|own| own.id == id)
    }

    /// Returns a type by its id, to change it.
    pub fn get_mut(&mut self, id: VolumeTypeId) -> Option<&mut VolumeType> {
        self.types.iter_mut().find(|own| own.id == id)
    }

    /// Returns a type by its name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&VolumeType> {
        self.types.iter().find(|own| own.name == name)
    }

    /// Returns the name of a type, or `None` without an id or if there is no such type.
    #[must_use]
    pub fn name_of(&self, id: Option<VolumeTypeId>) -> Option<&str> {
        self.get(id?).map(|own| own.name.as_str())
    }

    /// Returns whether the creation of a volume of a type must not go on at `now`.
    #[must_use]
    pub fn refuses_volumes_of(&self, id: VolumeTypeId, now: Timestamp) -> bool {
        let is_reserved = self.reserved.is_some_and(|own| own.id == id.as_uuid() && own.refuses(now));
        self.get(id).is_none() || is_reserved
    }

    /// Returns the size of the types in bytes, without what JSON adds.
    #[must_use]
    pub fn size(&self) -> usize {
        let spec = |(key, value): (&String, &Option<String>)| key.len() + value.as_ref().map_or(4, String::len);
        let size = |own: &VolumeType| {
            let specs: usize = own.extra_specs.iter().map(spec).sum();
            let access: usize = own.access.iter().map(String::len).sum();
            own.name.len() + own.description.as_ref().map_or(0, String::len) + specs + access
        };
        self.types.iter().map(size).sum()
    }

    /// Adds a type, and keeps the newest first.
    pub fn add(&mut self, new: VolumeType) {
        let key = |own: &VolumeType| (own.created_at, own.id);
        let at = self.types.partition_point(|own| key(own) > key(&new));
        self.types.insert(at, new);
    }

    /// Returns the id of a type that a state document names. Adds the type if there is none.
    pub fn id_of(&mut self, name: &str) -> VolumeTypeId {
        if let Some(own) = self.named(name) {
            return own.id;
        }
        // A volume may have a type that was removed. Its state names the type by its id.
        let id = name.parse().unwrap_or_else(|_| VolumeTypeId::of_name(name));
        if self.get(id).is_none() {
            self.add(VolumeType { id, ..VolumeType::named(name) });
        }
        id
    }

    /// Returns the string that stands for a type in a state document: its name, or its id if there is no such type.
    #[must_use]
    pub fn name_or_id(&self, id: VolumeTypeId) -> String {
        self.name_of(Some(id)).map_or_else(|| id.to_string(), str::to_owned)
    }

    /// Returns the name of a quota resource for clients. Counters name the type by its id.
    #[must_use]
    pub fn resource_name(&self, resource: &str) -> String {
        match quota::type_of(resource) {
            Some((prefix, id)) => [prefix, "_", &self.name_or_id(id)].concat(),
            None => resource.to_owned(),
        }
    }

    /// Returns the quota resource of a name that a client sent, or `None` if it names a type that does not exist.
    #[must_use]
    pub fn resource(&self, name: &str) -> Option<String> {
        match type_name_of(name) {
            Some((prefix, type_name)) => {
                let id = self.named(type_name)?.id;
                Some(quota::of_type(prefix, id))
            }
            None => Some(name.to_owned()),
        }
    }

    /// Returns the quota resource of a name in a state document. Adds the type if there is none.
    pub fn resource_of_document(&mut self, name: &str) -> String {
        match type_name_of(name) {
            Some((prefix, type_name)) => quota::of_type(prefix, self.id_of(type_name)),
            None => name.to_owned(),
        }
    }
}

/// Splits the name of a quota resource of a type into the resource and the name of the type.
fn type_name_of(name: &str) -> Option<(&'static str, &str)> {
    RESOURCES_OF_TYPE.into_iter().find_map(|prefix| Some((prefix, name.strip_prefix(prefix)?.strip_prefix('_')?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sized(key: &str, bound: &str) -> VolumeType {
        let extra_specs = [(key.to_owned(), Some(bound.to_owned()))].into_iter().collect();
        VolumeType { extra_specs, ..VolumeType::default() }
    }

    #[test]
    fn a_type_bounds_the_size_of_its_volumes() {
        let (min, max) = ("provisioning:min_vol_size", "provisioning:max_vol_size");
        for (key, bound, size, is_refused) in [
            (min, "2", 1, true),
            (min, "2", 2, false),
            (max, "2", 3, true),
            (max, " 2 ", 2, false),
            (max, "", 3, false),
            (max, "two", 3, false),
        ] {
            assert_eq!(sized(key, bound).refuses_size(size).is_some(), is_refused, "{key} {bound:?} {size}");
        }
    }

    #[test]
    fn a_resource_is_named_by_the_type_and_kept_by_its_id() {
        let mut types = VolumeTypes::default();
        let id = types.id_of("fast_ssd");
        assert_eq!(types.resource("gigabytes_fast_ssd"), Some(quota::of_type("gigabytes", id)));
        assert_eq!(types.resource("gigabytes_nope"), None);
        assert_eq!(types.resource("backup_gigabytes").as_deref(), Some("backup_gigabytes"));
        assert_eq!(types.resource_name(&quota::of_type("volumes", id)), "volumes_fast_ssd");
        assert_eq!(types.resource_name("volumes"), "volumes");
        types.get_mut(id).expect("the type").name = "slow".to_owned();
        assert_eq!(types.resource_name(&quota::of_type("volumes", id)), "volumes_slow");
        let gone = VolumeTypeId::new(Uuid::from_u128(7));
        assert_eq!(
            types.resource_of_document(&types.resource_name(&quota::of_type("volumes", gone))),
            quota::of_type("volumes", gone)
        );
    }

    #[test]
    fn a_reservation_refuses_longer_than_its_writer_may_write() {
        let since = Timestamp::from_seconds(100);
        let mut types = VolumeTypes::default();
        let reserved = Reserved { id: VolumeTypeId::DEFAULT.as_uuid(), number: 1, since };
        types.reserved = Some(reserved);
        for (seconds, lasts, refuses) in [(99, false, true), (119, true, true), (120, false, true), (130, false, false)]
        {
            let now = Timestamp::from_seconds(seconds);
            assert_eq!(reserved.lasts(now), lasts, "{seconds}");
            assert_eq!(types.refuses_volumes_of(VolumeTypeId::DEFAULT, now), refuses, "{seconds}");
        }
        assert!(types.refuses_volumes_of(VolumeTypeId::new(Uuid::nil()), since), "a type that does not exist");
    }
}
