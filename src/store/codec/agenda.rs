//! The agenda as JSON. Each item is an array, which is short, since there may be many items. A null among them says that the
//! agenda is incomplete.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::{ProjectId, VolumeTypeId};
use crate::store::agenda::{Agenda, AgendaItem, Purpose};
use crate::store::row::Kind;

use super::envelope::Stored;

/// The stored form of an [`AgendaItem`]. The type of most volumes, [`VolumeTypeId::DEFAULT`], is the empty string.
#[derive(Serialize, Deserialize)]
struct StoredItem(ProjectId, Kind, Uuid, i64, i64, i64, u32, Option<String>, bool, Purpose);

impl TryFrom<StoredItem> for AgendaItem {
    type Error = String;

    fn try_from(
        StoredItem(project, kind, id, since, due, created, size, volume_type, counted, purpose): StoredItem,
    ) -> Result<Self, String> {
        let parse = |stored: String| match stored.as_str() {
            "" => Ok(VolumeTypeId::DEFAULT),
            other => Uuid::try_parse(other).map(VolumeTypeId::new).map_err(|error| error.to_string()),
        };
        let volume_type = volume_type.map(parse).transpose()?;
        Ok(Self { project, kind, id, since, due, created, size, volume_type, counted, purpose })
    }
}

impl From<&AgendaItem> for StoredItem {
    fn from(item: &AgendaItem) -> Self {
        let AgendaItem { project, kind, id, since, due, created, size, volume_type, counted, purpose } = item.clone();
        let encoded = |id: VolumeTypeId| match id {
            VolumeTypeId::DEFAULT => String::new(),
            other => other.as_uuid().simple().to_string(),
        };
        Self(project, kind, id, since, due, created, size, volume_type.map(encoded), counted, purpose)
    }
}

impl Stored for Agenda {
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        let gap = self.is_incomplete.then_some(None);
        let items = self.items.iter().map(|item| Some(StoredItem::from(item)));
        let items: Vec<Option<StoredItem>> = gap.into_iter().chain(items).collect();
        serde_json::to_writer(bytes, &items).map_err(|error| error.to_string())
    }

    fn read(_version: u32, bytes: &[u8]) -> Result<Self, String> {
        // An idle run of the scheduled step reads every slot, and nearly always all of them are empty.
        if bytes == b"[]" {
            return Ok(Self::default());
        }
        let items: Vec<Option<StoredItem>> = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let is_incomplete = items.iter().any(Option::is_none);
        let items: Result<Vec<AgendaItem>, String> = items.into_iter().flatten().map(AgendaItem::try_from).collect();
        Ok(Self { items: items?, is_incomplete })
    }
}
