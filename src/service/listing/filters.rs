//! The conditions of a list, applied as in Cinder's database.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::domain::{Timestamp, Volume, VolumeId};

use super::columns::{Column, Listed};

/// A condition on rows. A row must meet all conditions of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// A column equals a string.
    Exact { column: String, string: String },
    /// A column contains a string in which `%` and `_` are wildcards. The case of ASCII letters is ignored.
    Like { column: String, pattern: Pattern },
    /// A column has no value.
    Null { column: String },
    /// A column equals one of several strings.
    AnyOf { column: String, strings: Vec<String> },
    /// A time compares with one of these.
    Time { column: &'static str, comparisons: Vec<(Comparison, Timestamp)> },
    /// The metadata of the row's image contains all these items.
    ImageMetadata(BTreeMap<String, String>),
    /// A valid condition that no row meets.
    NoRow,
    /// Whether the row counts towards quota.
    UsesQuota(bool),
    /// The metadata of the row contains all these items.
    Metadata(BTreeMap<String, String>),
    /// The availability zone of the row's volume.
    Zone(String),
    /// The host of the row's volume, or one below it.
    Host(String),
    /// The cluster of the row's volume, or a host below it.
    Cluster(String),
    /// The host or the cluster in a column of the row itself, or a host below it.
    OwnHost { column: &'static str, host: String },
    /// A condition on something that rows do not have, so that no row meets it.
    Nothing,
}

/// A comparison of a time with another. Its name is that of the operator in a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    After,
    NotBefore,
    At,
    NotAt,
    Before,
    NotAfter,
}

impl Comparison {
    /// Returns the comparison of an operator.
    #[must_use]
    pub fn named(operator: &str) -> Option<Self> {
        Some(match operator {
            "gt" => Self::After,
            "gte" => Self::NotBefore,
            "eq" => Self::At,
            "neq" => Self::NotAt,
            "lt" => Self::Before,
            "lte" => Self::NotAfter,
            _ => return None,
        })
    }

    fn holds(self, own: Timestamp, other: Timestamp) -> bool {
        match self {
            Self::After => own > other,
            Self::NotBefore => own >= other,
            Self::At => own == other,
            Self::NotAt => own != other,
            Self::Before => own < other,
            Self::NotAfter => own <= other,
        }
    }
}

impl Filter {
    /// Returns whether no row can match, whatever its values are: the column does not exist, or this is
    /// [`Self::Nothing`].
    pub(super) fn names_no_column<T: Listed>(&self) -> bool {
        match self {
            Self::Exact { column, .. }
            | Self::Like { column, .. }
            | Self::Null { column }
            | Self::AnyOf { column, .. } => !T::COLUMNS.contains(&column.as_str()),
            Self::Nothing => true,
            _ => false,
        }
    }

    pub(super) const fn needs_volume(&self) -> bool {
        matches!(self, Self::Zone(_) | Self::Host(_) | Self::Cluster(_))
    }

    pub(super) fn matches<T: Listed>(&self, row: &T, volume: Option<&Volume>) -> bool {
        match self {
            Self::Exact { column, string } => row.column(column).is_some_and(|column| column.equals(string)),
            Self::Like { column, pattern } => {
                row.column(column).and_then(|column| column.string()).is_some_and(|column| pattern.is_in(&column))
            }
            Self::UsesQuota(wanted) => row.column("use_quota") == Some(Column::Boolean(*wanted)),
            Self::Null { column } => row.column(column).is_some_and(|column| column.is_null()),
            Self::AnyOf { column, strings } => {
                row.column(column).is_some_and(|column| strings.iter().any(|string| column.equals(string)))
            }
            Self::Time { column, comparisons } => {
                let Some(Column::Time(Some(own))) = row.column(column) else { return false };
                comparisons.iter().any(|(comparison, other)| comparison.holds(own, *other))
            }
            Self::ImageMetadata(items) => items.iter().all(|(key, value)| row.image_metadata().get(key) == Some(value)),
            Self::Metadata(items) => items.iter().all(|(key, value)| row.has_metadata(key, value)),
            Self::Zone(zone) => volume.is_some_and(|volume| volume.availability_zone.as_ref() == Some(zone)),
            Self::Host(host) => volume.and_then(|volume| volume.host.as_deref()).is_some_and(|own| on_host(own, host)),
            Self::Cluster(cluster) => {
                volume.and_then(|volume| volume.cluster_name.as_deref()).is_some_and(|own| on_host(own, cluster))
            }
            Self::OwnHost { column, host } => {
                row.column(column).and_then(|column| column.string()).is_some_and(|own| on_host(&own, host))
            }
            Self::NoRow | Self::Nothing => false,
        }
    }
}

/// Returns whether a host matches a filter of the form `host`, `host@backend`, or `host@backend#pool`. A host also
/// matches the backends and pools on it, and a backend its pools.
pub fn on_host(own: &str, wanted: &str) -> bool {
    let below = own.strip_prefix(wanted).and_then(|rest| rest.chars().next());
    own == wanted
        || match (wanted.contains('#'), wanted.contains('@')) {
            (true, _) => false,
            (false, true) => below == Some('#'),
            (false, false) => matches!(below, Some('#' | '@')),
        }
}

/// The pattern `LIKE '%string%'` of SQL, in lower case, since `LIKE` ignores the case of ASCII letters. It is made once for a
/// request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<char>);

impl Pattern {
    /// The longest string of a pattern, in characters. No name is longer, and a match takes time in proportion to it.
    pub const LONGEST: usize = 255;

    /// Returns the pattern for a string, unless the string is longer than [`Pattern::LONGEST`].
    #[must_use]
    pub fn new(string: &str) -> Option<Self> {
        let is_short = string.chars().nth(Self::LONGEST).is_none();
        is_short.then(|| Self(format!("%{string}%").to_ascii_lowercase().chars().collect()))
    }

    /// Returns whether a column matches.
    pub(in crate::service) fn is_in(&self, column: &str) -> bool {
        let Self(pattern) = self;
        let column: Vec<char> = column.to_ascii_lowercase().chars().collect();
        // The usual greedy match: on a mismatch, the last `%` consumes one more character.
        let (mut at, mut in_pattern) = (0, 0);
        let mut last_wildcard: Option<(usize, usize)> = None;
        while at < column.len() {
            match pattern.get(in_pattern) {
                Some('%') => {
                    last_wildcard = Some((in_pattern, at));
                    in_pattern += 1;
                }
                Some(expected) if *expected == '_' || *expected == column[at] => {
                    at += 1;
                    in_pattern += 1;
                }
                _ => {
                    let Some((wildcard, taken)) = last_wildcard else { return false };
                    last_wildcard = Some((wildcard, taken + 1));
                    in_pattern = wildcard + 1;
                    at = taken + 1;
                }
            }
        }
        pattern[in_pattern..].iter().all(|rest| *rest == '%')
    }
}

/// Returns the volume that the filters ask for, so that the listing can skip the entries of other volumes.
pub fn volume_of(filters: &[Filter]) -> Option<Uuid> {
    filters.iter().find_map(|filter| match filter {
        Filter::Exact { column, string } if column == "volume_id" => {
            string.parse::<VolumeId>().ok().map(|id| id.as_uuid())
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_finds_substrings_and_knows_wildcards() {
        let cases = [
            ("alphabet", "alph", true),
            ("alphabet", "ALPH", true),
            ("alphabet", "a%t", true),
            ("alphabet", "b_t", true),
            ("alphabet", "b__t", false),
            ("alphabet", "", true),
            ("", "", true),
            ("", "_", false),
            ("aab", "ab", true),
            ("ÄB", "äb", false),
        ];
        for (column, string, expected) in cases {
            let pattern = Pattern::new(string).expect("a short pattern");
            assert_eq!(pattern.is_in(column), expected, "{column} like {string}");
        }
    }

    #[test]
    fn a_host_filter_means_the_host_and_all_below_it() {
        let cases = [
            ("host1@lvm#pool", "host1", true),
            ("host1@lvm#pool", "host1@lvm", true),
            ("host1@lvm#pool", "host1@lvm#pool", true),
            ("host1@lvm#pool", "host", false),
            ("host1@lvm#pool", "host1@lv", false),
            ("host1@lvm#pool", "host1@lvm#po", false),
            ("host1@lvm#pool", "HOST1", false),
        ];
        for (own, wanted, expected) in cases {
            assert_eq!(on_host(own, wanted), expected, "{own} on {wanted}");
        }
    }
}
