//! Identifiers that cannot be mixed up: each kind has its own type, which holds only valid ids.
//!
//! Cinder looks ids up as strings, so only the canonical form (lower case, hyphenated) finds a row
//! (`docs/spec/snapshots-api.md` sections 3 and 4). `parse` therefore accepts only that form.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

/// The reason why a string is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentifierError {
    /// The string is not a UUID in lower case with hyphens.
    #[error("'{0}' is not a lower-case, hyphenated UUID")]
    NotCanonical(String),
    /// The string is empty, longer than [`ProjectId::MAX_BYTES`], or has a control character.
    #[error("a project or user id is 1 to 64 bytes without control characters")]
    NotAName,
}

/// Defines the type of an id. Each resource does so in its own file.
macro_rules! uuid_identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(uuid::Uuid);

        impl $name {
            /// Creates an id from a UUID.
            #[must_use]
            pub const fn new(uuid: uuid::Uuid) -> Self {
                Self(uuid)
            }

            /// Returns the UUID, which storage keeps in a compact form.
            #[must_use]
            pub const fn as_uuid(&self) -> uuid::Uuid {
                self.0
            }
        }

        impl From<uuid::Uuid> for $name {
            fn from(uuid: uuid::Uuid) -> Self {
                Self(uuid)
            }
        }

        impl From<$name> for uuid::Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::domain::identifiers::IdentifierError;

            fn from_str(string: &str) -> Result<Self, Self::Err> {
                $crate::domain::identifiers::canonical(string).map(Self)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(std::str::from_utf8(&$crate::domain::identifiers::encoded(self.0)).unwrap_or_default())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(std::str::from_utf8(&$crate::domain::identifiers::encoded(self.0)).unwrap_or_default())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::domain::strings::deserialize(deserializer)
            }
        }
    };
}
pub(super) use uuid_identifier;

/// Returns the canonical form of a UUID, in ASCII.
#[must_use]
pub fn encoded(uuid: Uuid) -> [u8; Hyphenated::LENGTH] {
    let mut ascii = [0; Hyphenated::LENGTH];
    uuid.as_hyphenated().encode_lower(&mut ascii);
    ascii
}

/// Returns the canonical form of a UUID, with a prefix.
#[must_use]
pub fn prefixed(prefix: &str, uuid: Uuid) -> String {
    [prefix, std::str::from_utf8(&encoded(uuid)).unwrap_or_default()].concat()
}

/// Parses a UUID, in its canonical form only.
pub(super) fn canonical(string: &str) -> Result<Uuid, IdentifierError> {
    let refused = || IdentifierError::NotCanonical(string.chars().take(64).collect());
    // The `uuid` crate parses several forms. Only the one with four hyphens has this length.
    if string.len() != Hyphenated::LENGTH || string.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(refused());
    }
    Uuid::try_parse(string).map_err(|_| refused())
}

macro_rules! name_identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The longest id, in bytes: the width of Keystone's own columns.
            pub const MAX_BYTES: usize = 64;

            /// Creates an id from a literal, which is not checked.
            pub(crate) fn literal(string: &'static str) -> Self {
                Self(string.to_owned())
            }

            /// Returns the id as a string.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdentifierError;

            fn from_str(string: &str) -> Result<Self, Self::Err> {
                if string.is_empty() || string.len() > Self::MAX_BYTES || string.chars().any(char::is_control) {
                    return Err(IdentifierError::NotAName);
                }
                Ok(Self(string.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                super::strings::deserialize(deserializer)
            }
        }
    };
}

name_identifier!(
    /// The id of the project that owns a resource. Keystone chooses it, so it is not always a UUID.
    ProjectId
);
name_identifier!(
    /// The id of the user who created a resource.
    UserId
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::SnapshotId;

    #[test]
    fn only_the_canonical_form_is_an_id() {
        let canonical = "aaaaaaaa-0000-4000-8000-00000000000b";
        assert_eq!(canonical.parse::<SnapshotId>().map(|id| id.to_string()), Ok(canonical.to_owned()));
        for other in [
            "",
            "detail",
            "AAAAAAAA-0000-4000-8000-00000000000B",
            "aaaaaaaa00004000800000000000000b",
            "{aaaaaaaa-0000-4000-8000-00000000000b}",
            "urn:uuid:aaaaaaaa-0000-4000-8000-00000000000b",
            "aaaaaaaa-0000-4000-8000-00000000000b ",
            "é",
        ] {
            assert!(other.parse::<SnapshotId>().is_err(), "{other:?}");
        }
    }

    #[test]
    fn a_project_id_is_a_short_printable_string() {
        assert!("a1".parse::<ProjectId>().is_ok());
        assert!("".parse::<ProjectId>().is_err());
        assert!("a\nb".parse::<ProjectId>().is_err());
        assert!("p".repeat(65).parse::<ProjectId>().is_err());
    }
}
