//! The columns by which rows are sorted and filtered.

use std::cmp::Ordering;

use crate::domain::{Metadata, Timestamp, metadata};
use crate::service::policy::Rule;
use crate::service::{Error, Service};
use crate::store::Row;

use super::pages::ListRequest;

/// The value of a column for sorting and filtering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Column {
    String(Option<String>),
    Number(i64),
    Boolean(bool),
    Time(Option<Timestamp>),
}

impl Column {
    /// Compares two values for sorting. Null sorts before every value, as in the databases that most Cinder deployments
    /// use. Cinder's marker condition treats null as the empty string, and so may lose rows between pages.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::String(one), Self::String(two)) => one.cmp(two),
            (Self::Number(one), Self::Number(two)) => one.cmp(two),
            (Self::Boolean(one), Self::Boolean(two)) => one.cmp(two),
            (Self::Time(one), Self::Time(two)) => one.cmp(two),
            // Never reached: the same column of two rows has the same variant.
            _ => Ordering::Equal,
        }
    }

    /// Returns whether a database considers the column equal to a string from the query. Null equals nothing.
    pub(in crate::service) fn equals(&self, string: &str) -> bool {
        match self {
            Self::String(column) => column.as_deref() == Some(string),
            Self::Number(number) => is_number(string, *number),
            Self::Boolean(boolean) => is_number(string, i64::from(*boolean)),
            Self::Time(time) => time.is_some_and(|time| time.to_string().replace('T', " ") == string),
        }
    }

    /// Returns whether the column has no value.
    pub(super) const fn is_null(&self) -> bool {
        matches!(self, Self::String(None) | Self::Time(None))
    }

    /// Returns the string that a `LIKE` filter searches.
    pub(super) fn string(&self) -> Option<String> {
        match self {
            Self::String(column) => column.clone(),
            Self::Number(number) => Some(number.to_string()),
            Self::Boolean(boolean) => Some(i64::from(*boolean).to_string()),
            Self::Time(time) => time.map(|time| time.to_string().replace('T', " ")),
        }
    }
}

/// Returns whether a database considers a string equal to an integer. `3.0` equals 3.
fn is_number(string: &str, number: i64) -> bool {
    let same = |value: f64| i32::try_from(number).is_ok_and(|number| f64::from(number).total_cmp(&value).is_eq());
    string.trim().parse().is_ok_and(same)
}

/// The columns of a row type, by their names in Cinder's database.
pub trait Columns {
    /// All names that [`Columns::column`] accepts.
    const COLUMNS: &'static [&'static str];

    /// Returns a column, or `None` if there is no such column.
    fn column(&self, name: &str) -> Option<Column>;
}

/// Implements [`Columns`] from one list of names and values.
macro_rules! columns {
    ($row:ident: $type:ty; $($name:literal => $value:expr),+ $(,)?) => {
        impl $crate::service::listing::Columns for $type {
            const COLUMNS: &'static [&'static str] = &[$($name),+];

            fn column(&self, name: &str) -> Option<$crate::service::listing::Column> {
                let $row = self;
                Some(match name {
                    $($name => $value,)+
                    _ => return None,
                })
            }
        }
    };
}
pub(in crate::service) use columns;

/// A row that clients can list.
pub trait Listed: Row + Columns {
    /// The policy rule for listing, or `None` if every caller with a project may list.
    const RULE: Option<Rule>;
    /// Whether a caller without a project gets an empty list, as for volumes in Cinder. For snapshots it gets an error.
    const UNSCOPED_LISTS_ARE_EMPTY: bool;
    /// Whether the marker may be a row that is not visible to the caller, as in Cinder's list of volumes.
    const MARKER_MAY_BE_FOREIGN: bool;
    /// Whether a wrong direction is an error even if the filters name what rows do not have.
    const CHECKS_DIRECTIONS_FIRST: bool = false;

    /// Returns the metadata. By default a row has none.
    fn metadata(&self) -> &Metadata {
        static NONE: Metadata = Metadata::new();
        &NONE
    }

    /// Returns whether a filter by metadata finds an item.
    fn has_metadata(&self, key: &str, value: &str) -> bool {
        self.metadata().get(key).is_some_and(|own| own == value)
    }

    /// Returns the metadata of its image. By default a row has none.
    fn image_metadata(&self) -> &Metadata {
        static NONE: Metadata = Metadata::new();
        &NONE
    }

    /// Adds to rows the fields that other rows have, and takes out rows that do not exist without them. By default a row has
    /// all of its fields.
    ///
    /// # Errors
    ///
    /// Errors of the store.
    fn complete(_service: &Service<'_>, rows: Vec<Option<Self>>) -> Result<Vec<Option<Self>>, Error> {
        Ok(rows)
    }

    /// Returns the rows that the filters of a list name, if they can be read without the index. By default they cannot.
    ///
    /// # Errors
    ///
    /// Errors of the store.
    fn named_by(_service: &Service<'_>, _query: &ListRequest) -> Result<Option<Vec<Self>>, Error> {
        Ok(None)
    }

    /// Returns the size of all metadata of the row, in bytes.
    fn metadata_size(&self) -> usize {
        metadata::size(self.metadata())
    }

    /// Returns the error for a marker that does not exist.
    fn not_found(id: &str) -> Error;
}
