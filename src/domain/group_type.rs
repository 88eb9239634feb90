//! Group types, which an administrator makes for all projects (`docs/spec/group-snapshots.md` section 3).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Timestamp;
use super::identifiers::uuid_identifier;
use super::volume_type::{IS_TRUE, Reserved};

uuid_identifier!(
    /// The id of a group type.
    GroupTypeId
);

/// The specs of a group type. A value may be null.
pub type GroupSpecs = BTreeMap<String, Option<String>>;

impl GroupTypeId {
    /// The id of the type that every deployment begins with. It is reserved for groups that were consistency groups.
    pub const RESERVED: Self = Self::new(Uuid::from_u128(0xf000_0000_0000_4000_8000_0000_0000_0000));
}

/// A group type. A field that is missing has the default of [`GroupType::default`], so that state documents stay short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GroupType {
    pub id: GroupTypeId,
    pub name: String,
    pub description: Option<String>,
    pub is_public: bool,
    pub group_specs: GroupSpecs,
    /// The projects that may use a private type.
    pub access: Vec<String>,
    pub created_at: Timestamp,
    pub updated_at: Option<Timestamp>,
}

impl Default for GroupType {
    /// Returns the type of `setup_defaults` in `tests/it/conformance/neighbour-vectors.json`.
    fn default() -> Self {
        Self {
            id: GroupTypeId::new(Uuid::from_u128(0xffff_ffff_0000_4000_8000_0000_0000_0001)),
            name: "gtype1".to_owned(),
            description: None,
            is_public: true,
            group_specs: GroupSpecs::new(),
            access: Vec::new(),
            created_at: Timestamp::from_seconds(1_767_225_600),
            updated_at: None,
        }
    }
}

impl GroupType {
    /// Returns the type that every deployment begins with. It is older than all others.
    #[must_use]
    pub fn seed() -> Self {
        let consistent = ("consistent_group_snapshot_enabled".to_owned(), Some(IS_TRUE.to_owned()));
        Self {
            id: GroupTypeId::RESERVED,
            name: "default_cgsnapshot_type".to_owned(),
            description: Some("Default group type for migrating cgsnapshot".to_owned()),
            group_specs: [consistent].into_iter().collect(),
            // The year 2000.
            created_at: Timestamp::from_seconds(946_684_800),
            ..Self::default()
        }
    }

    /// Returns whether a project may use the type.
    #[must_use]
    pub fn is_open_to(&self, project: Option<&str>) -> bool {
        self.is_public || project.is_some_and(|project| self.access.iter().any(|own| own == project))
    }
}

/// The group types of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupTypes {
    /// The types, newest first.
    pub types: Vec<GroupType>,
    /// The type that is being deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved: Option<Reserved>,
}

impl Default for GroupTypes {
    fn default() -> Self {
        Self { types: vec![GroupType::seed()], reserved: None }
    }
}

impl GroupTypes {
    /// Returns a type by its id.
    #[must_use]
    pub fn get(&self, id: GroupTypeId) -> Option<&GroupType> {
        self.types.iter().find(|own| own.id == id)
    }

    /// Returns a type by its id, to change it.
    pub fn get_mut(&mut self, id: GroupTypeId) -> Option<&mut GroupType> {
        self.types.iter_mut().find(|own| own.id == id)
    }

    /// Returns a type by its name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&GroupType> {
        self.types.iter().find(|own| own.name == name)
    }

    /// Adds a type, and keeps the newest first.
    pub fn add(&mut self, new: GroupType) {
        let key = |own: &GroupType| (own.created_at, own.id);
        let at = self.types.partition_point(|own| key(own) > key(&new));
        self.types.insert(at, new);
    }

    /// Returns whether groups of a type must not be created now: there is no such type, or it is being deleted.
    #[must_use]
    pub fn refuses_groups_of(&self, id: GroupTypeId, now: Timestamp) -> bool {
        let is_reserved = self.reserved.is_some_and(|own| own.id == id.as_uuid() && own.refuses(now));
        self.get(id).is_none() || is_reserved
    }

    /// Returns the size of all types, in bytes, about as they are stored.
    #[must_use]
    pub fn size(&self) -> usize {
        let spec = |(key, value): (&String, &Option<String>)| key.len() + value.as_ref().map_or(0, String::len);
        let size = |own: &GroupType| {
            let specs: usize = own.group_specs.iter().map(spec).sum();
            let access: usize = own.access.iter().map(String::len).sum();
            own.name.len() + own.description.as_ref().map_or(0, String::len) + specs + access
        };
        self.types.iter().map(size).sum()
    }
}
