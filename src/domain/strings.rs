//! Types that are strings on the wire and in storage: the words of enums, and deserialization that does not copy the
//! string first.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Deserializer, Error, Visitor};

/// A word that an enum does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{word}' is not {what}")]
pub struct UnknownWord {
    word: String,
    what: &'static str,
}

impl UnknownWord {
    /// Creates the error for a word in the slot of `what`, such as "a snapshot status".
    #[must_use]
    pub fn new(word: &str, what: &'static str) -> Self {
        Self { word: word.chars().take(64).collect(), what }
    }
}

/// Implements the conversions between an enum and its words, which are part of the stored format.
macro_rules! words {
    ($name:ident, $what:literal, { $($variant:ident => $word:literal),+ $(,)? }) => {
        impl $name {
            /// Returns its word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::domain::strings::UnknownWord;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err($crate::domain::strings::UnknownWord::new(word, $what)),
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::domain::strings::deserialize(deserializer)
            }
        }
    };
}
pub(crate) use words;

/// Deserializes a string and parses it.
///
/// # Errors
///
/// Fails if the value is not a string, or if the parser fails.
pub fn deserialize<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    struct StringVisitor<T>(PhantomData<T>);

    impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for StringVisitor<T> {
        type Value = T;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a string")
        }

        fn visit_str<E: Error>(self, string: &str) -> Result<T, E> {
            string.parse().map_err(E::custom)
        }
    }

    deserializer.deserialize_str(StringVisitor(PhantomData))
}
