//! The order of a list.

use std::cmp::Ordering;

use crate::service::Error;
use crate::store::index::Direction;

use super::columns::{Column, Listed};

/// One key of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SortKey {
    column: String,
    ascending: bool,
}

/// An order: its last keys are `created_at` and `id`, so no two rows are equal in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order(Vec<SortKey>);

impl Order {
    /// Reads the directions, and adds what is missing with the direction of the first.
    pub fn read(words: &[(String, String)]) -> Result<Self, Error> {
        let mut keys = Vec::with_capacity(words.len() + 2);
        for (column, direction) in words {
            let ascending = match direction.as_str() {
                "asc" => true,
                "desc" => false,
                _ => return Err(Error::BadRequest(UNKNOWN_DIRECTION.to_owned())),
            };
            keys.push(SortKey { column: column.clone(), ascending });
        }
        let ascending = keys.first().is_some_and(|key| key.ascending);
        for column in ["created_at", "id"] {
            if !keys.iter().any(|key| key.column == column) {
                keys.push(SortKey { column: column.to_owned(), ascending });
            }
        }
        Ok(Self(keys))
    }

    /// Refuses a key that is no column.
    pub fn check<T: Listed>(&self) -> Result<(), Error> {
        if self.0.iter().all(|key| T::COLUMNS.contains(&key.column.as_str())) {
            return Ok(());
        }
        Err(Error::BadRequest("Invalid input received: Invalid sort key".to_owned()))
    }

    /// Which way through the stored listing gives this order; `None` for any other order.
    pub fn stored_direction(&self) -> Option<Direction> {
        match self.0.as_slice() {
            [created_at, id] if created_at.column == "created_at" && id.column == "id" => {
                match (created_at.ascending, id.ascending) {
                    (false, false) => Some(Direction::NewestFirst),
                    (true, true) => Some(Direction::OldestFirst),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The values of a row that decide where it stands.
    pub fn values<T: Listed>(&self, row: &T) -> Vec<Column> {
        self.0.iter().filter_map(|key| row.column(&key.column)).collect()
    }

    pub fn compare(&self, one: &[Column], two: &[Column]) -> Ordering {
        self.0
            .iter()
            .zip(one.iter().zip(two))
            .map(|(key, (one, two))| if key.ascending { one.compare(two) } else { two.compare(one) })
            .find(|ordering| ordering.is_ne())
            .unwrap_or(Ordering::Equal)
    }

    /// Returns the indices of rows, sorted by their values.
    pub fn sorted(&self, values: &[Vec<Column>]) -> Vec<usize> {
        let mut indices: Vec<usize> = (0..values.len()).collect();
        indices.sort_unstable_by(|one, two| self.compare(&values[*one], &values[*two]));
        indices
    }
}

/// The text for a direction that is none.
const UNKNOWN_DIRECTION: &str = "Invalid input received: Unknown sort direction, must be 'desc' or 'asc'.";
