//! Metadata, ids, words, and optional strings as rows store them.

use std::fmt::Display;
use std::str::FromStr;

use crate::domain::Metadata;
use crate::domain::trees::map_of;

/// Returns the pairs that a row stores.
pub fn pairs(metadata: &Metadata) -> Vec<(&str, &str)> {
    metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

/// Returns the metadata of a row's pairs.
pub fn metadata(pairs: &[(&str, &str)]) -> Metadata {
    map_of(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())))
}

/// Returns an owned copy of an optional string.
pub fn owned(string: Option<&str>) -> Option<String> {
    string.map(str::to_owned)
}

/// Parses the word of an enum, or the id of a user or a project. Derived deserialization would lose the reason of an
/// error, since `postcard` keeps none.
pub fn parse<T: FromStr<Err: Display>>(string: &str) -> Result<T, String> {
    string.parse().map_err(|error: T::Err| error.to_string())
}
