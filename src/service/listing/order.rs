//! The order of a list.

use std::cmp::Ordering;

use crate::service::Error;
use crate::store::index::Direction;

use super::columns::{Column, Columns};

/// One key of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SortKey {
    column: String,
    ascending: bool,
}

/// An order. Its keys include `created_at` and `id`, so it never ranks two rows as equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order(Vec<SortKey>);

impl Order {
    /// Reads the directions of the sort keys. Adds `created_at` and `id` if they are missing, with the direction of the
    /// first key.
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

    /// Returns an error if a key is not a column.
    pub fn check<T: Columns>(&self) -> Result<(), Error> {
        self.check_columns(T::COLUMNS)
    }

    /// Returns an error if a key is none of the given columns.
    pub fn check_columns(&self, columns: &[&str]) -> Result<(), Error> {
        if self.0.iter().all(|key| columns.contains(&key.column.as_str())) {
            return Ok(());
        }
        Err(Error::BadRequest("Invalid input received: Invalid sort key".to_owned()))
    }

    /// Returns the direction in which the stored listing has this order, or `None` if it does not have it.
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

    /// Returns the values by which a row is sorted.
    pub fn values<T: Columns>(&self, row: &T) -> Vec<Column> {
        self.0.iter().filter_map(|key| row.column(&key.column)).collect()
    }

    /// Compares the values of two rows.
    pub fn compare(&self, one: &[Column], two: &[Column]) -> Ordering {
        self.0
            .iter()
            .zip(one.iter().zip(two))
            .map(|(key, (one, two))| if key.ascending { one.compare(two) } else { two.compare(one) })
            .find(|ordering| ordering.is_ne())
            .unwrap_or(Ordering::Equal)
    }

    /// Returns the indices of rows, sorted by the values of the rows.
    pub fn sorted(&self, values: &[Vec<Column>]) -> Vec<usize> {
        let mut indices: Vec<usize> = (0..values.len()).collect();
        indices.sort_unstable_by(|one, two| self.compare(&values[*one], &values[*two]));
        indices
    }
}

/// The message for an invalid direction.
const UNKNOWN_DIRECTION: &str = "Invalid input received: Unknown sort direction, must be 'desc' or 'asc'.";
