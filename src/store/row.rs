//! The row of a resource: the facts that a type states once, to be stored, indexed, scheduled, counted, repaired, and
//! exported.
//!
//! Code that knows the type at compile time uses [`Row`]. Code that reads a [`Kind`] from the store, such as the
//! agenda, goes through `with_row_type!`. That macro is the only `match` with an arm for each resource.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::identifiers::IdentifierError;
use crate::domain::lifecycle::{Moment, Occasion};
use crate::domain::message::Event;
use crate::domain::quota::{self, Amounts, Counted};
use crate::domain::{
    AttachmentPointer, Backup, Extension, Group, GroupSnapshot, Message, Pending, ProjectId, Snapshot, Timestamp,
    Volume, VolumeTypeId,
};

use super::codec::envelope::Stored;
use super::index::{Entry, Position};

/// The kind of a row. The order of the variants is that of the indexes in a project's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Snapshot,
    Volume,
    Attachment,
    Message,
    Backup,
    Group,
    #[serde(rename = "group-snapshot")]
    GroupSnapshot,
}

/// Rows of every kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    pub snapshots: Vec<Snapshot>,
    pub volumes: Vec<Volume>,
    pub attachments: Vec<AttachmentPointer>,
    pub messages: Vec<Message>,
    pub backups: Vec<Backup>,
    pub groups: Vec<Group>,
    pub group_snapshots: Vec<GroupSnapshot>,
}

/// Evaluates an expression with a name bound to the row type of a kind.
macro_rules! with_row_type {
    ($kind:expr, $row:ident => $result:expr) => {
        match $kind {
            $crate::store::row::Kind::Snapshot => {
                type $row = $crate::domain::Snapshot;
                $result
            }
            $crate::store::row::Kind::Volume => {
                type $row = $crate::domain::Volume;
                $result
            }
            $crate::store::row::Kind::Attachment => {
                type $row = $crate::domain::AttachmentPointer;
                $result
            }
            $crate::store::row::Kind::Message => {
                type $row = $crate::domain::Message;
                $result
            }
            $crate::store::row::Kind::Backup => {
                type $row = $crate::domain::Backup;
                $result
            }
            $crate::store::row::Kind::Group => {
                type $row = $crate::domain::Group;
                $result
            }
            $crate::store::row::Kind::GroupSnapshot => {
                type $row = $crate::domain::GroupSnapshot;
                $result
            }
        }
    };
}
pub(crate) use with_row_type;

impl Kind {
    /// Every kind, in the order of the indexes.
    pub const ALL: [Self; 7] = [
        Snapshot::KIND,
        Volume::KIND,
        AttachmentPointer::KIND,
        Message::KIND,
        Backup::KIND,
        Group::KIND,
        GroupSnapshot::KIND,
    ];

    /// The order of the indexes is that of the variants, in the stored records too.
    const IS_IN_ORDER: () = {
        let mut number = 0;
        while number < Self::ALL.len() {
            assert!(Self::ALL[number] as usize == number, "`Kind::ALL` has the order of the variants");
            number += 1;
        }
    };

    /// Returns the prefix of the keys of rows of this kind; an id follows it.
    #[must_use]
    pub fn key_prefix(self) -> &'static str {
        let () = Self::IS_IN_ORDER;
        with_row_type!(self, R => R::KEY_PREFIX)
    }

    /// Returns whether other rows are the members of a row of this kind.
    #[must_use]
    pub const fn has_members(self) -> bool {
        matches!(self, Self::Group | Self::GroupSnapshot)
    }

    /// Returns the quota resource that counts the rows of this kind, if one does.
    #[must_use]
    pub fn resource(self) -> Option<&'static str> {
        with_row_type!(self, R => R::COUNTED.map(Counted::resource))
    }

    /// Returns the amounts that a row of this kind adds to the counters.
    #[must_use]
    pub fn amounts(self, size: u32, volume_type: Option<VolumeTypeId>, deployment_counts_gigabytes: bool) -> Amounts {
        let (counted, always) = with_row_type!(self, R => (R::COUNTED, R::ALWAYS_COUNTS_GIGABYTES));
        let with_gigabytes = always || deployment_counts_gigabytes;
        counted.map_or_else(Amounts::new, |counted| quota::amounts_of(counted, size, volume_type, with_gigabytes))
    }
}

/// A row of a resource.
pub trait Row: Stored + Clone + PartialEq {
    /// The id of a row of this type.
    type Id: Copy + From<Uuid> + Into<Uuid> + FromStr<Err = IdentifierError>;
    /// The kind of a row of this type.
    const KIND: Kind;
    /// The prefix of the keys of rows.
    const KEY_PREFIX: &'static str;
    /// The class of quota that a row counts towards, or `None` if the resource has no quota.
    const COUNTED: Option<Counted> = None;
    /// Whether the scheduled step compares the newest rows of a project with their index and the agenda. It does so for rows
    /// that clients create and delete in numbers, since each kind costs every idle run a call.
    const IS_LOOKED_AFTER: bool = false;
    /// Whether a row's size counts towards `gigabytes` even if the deployment excludes snapshots from it.
    const ALWAYS_COUNTS_GIGABYTES: bool = false;
    /// Whether the size and the type of a row are those of the volume in its index entry, so that its quota can be given
    /// back without the row. The creates of such rows need no agenda items of their own.
    const HAS_SIZE_OF_VOLUME: bool = false;

    /// Returns the rows of this type.
    fn list(rows: &Rows) -> &Vec<Self>;

    /// Returns the rows of this type, to change them.
    fn list_mut(rows: &mut Rows) -> &mut Vec<Self>;

    /// Returns the id.
    fn id(&self) -> Uuid;

    /// Returns the project that owns the row.
    fn project_id(&self) -> &ProjectId;

    /// Returns the time of creation, which decides the position in the index.
    fn created_at(&self) -> Timestamp;

    /// Returns the volume that the index keeps with the id, or the nil UUID.
    fn indexed_volume(&self) -> Uuid {
        Uuid::nil()
    }

    /// Returns the size in GiB that the project counts. By default there is none.
    fn size(&self) -> u32 {
        0
    }

    /// Returns the volume type. By default there is none.
    fn volume_type_id(&self) -> Option<VolumeTypeId> {
        None
    }

    /// Returns whether the row counts towards quota. By default it does if its type does.
    fn consumes_quota(&self) -> bool {
        Self::COUNTED.is_some()
    }

    /// Returns the work under way. By default there is never any.
    fn pending(&self) -> Option<Pending> {
        None
    }

    /// Returns the failure of the work under way that a user message tells of, if it is one.
    fn failure(&self) -> Option<Event> {
        None
    }

    /// Returns the row with other work under way, and nothing else changed. By default a row has no work.
    #[must_use]
    fn with_pending(self, _pending: Option<Pending>) -> Self {
        self
    }

    /// Returns the extension that is under way or that is not settled with the project's quota. By default there is none.
    fn extension(&self) -> Option<Extension> {
        None
    }

    /// Returns the row without an extension that has ended. By default there is none.
    #[must_use]
    fn with_extension_settled(self) -> Self {
        self
    }

    /// Returns the row as it is at a time, or `None` if it is gone by then. By default a row does not change by itself.
    fn effective(self, _now: Timestamp, _occasion: Occasion) -> Option<Self> {
        Some(self)
    }

    /// Returns whether the row is so large that only a few may be read at once. By default none is.
    fn is_large(&self) -> bool {
        false
    }

    /// Returns the row as it is at the moment of a tick, or `None` if it is gone by then.
    fn at(self, moment: Moment) -> Option<Self> {
        let pending = self.pending().map(|pending| pending.begun_by(moment.clock));
        self.with_pending(pending).effective(moment.now, moment.occasion)
    }

    /// Returns whether the clock was set back to before the work under way began.
    fn begins_in_future(&self, clock: Timestamp) -> bool {
        self.pending().is_some_and(|pending| pending.begins_in_future(clock))
    }

    /// Returns the entry of the row in its index.
    fn entry(&self) -> Entry {
        let position = Position { created_at: self.created_at(), id: self.id() };
        Entry { position, volume_id: self.indexed_volume() }
    }

    /// Returns whether the scheduled step must look at the row.
    fn needs_tick(&self, clock: Timestamp) -> bool {
        self.extension().is_some() || self.pending().is_some_and(|pending| pending.needs_tick(clock))
    }
}
