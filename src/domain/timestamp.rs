//! Points in time in Cinder's format: UTC, six decimal places, and no zone (`docs/spec/snapshots-api.md` section 2).
//!
//! Nothing here reads a clock. The core gets every [`Timestamp`] from outside.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, Timelike};
use serde::{Deserialize, Serialize};

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// A string that is not a timestamp of this API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a UTC time such as 2026-01-01T00:00:00.000000")]
pub struct TimestampError(String);

impl Timestamp {
    /// The latest time that still prints with a four-digit year, 9999-12-31T23:59:59.999999.
    const LATEST: i64 = 253_402_300_799_999_999;
    /// The earliest time that prints with a four-digit year, 0001-01-01T00:00:00.
    const EARLIEST: i64 = -62_135_596_800_000_000;

    /// Creates a timestamp from microseconds since the epoch. A time without a four-digit year becomes the nearest
    /// one with such a year.
    #[must_use]
    pub const fn from_microseconds(microseconds: i64) -> Self {
        if microseconds > Self::LATEST {
            Self(Self::LATEST)
        } else if microseconds < Self::EARLIEST {
            Self(Self::EARLIEST)
        } else {
            Self(microseconds)
        }
    }

    /// Creates a timestamp from whole seconds since the epoch.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self::from_microseconds(seconds.saturating_mul(1_000_000))
    }

    /// Returns the microseconds since the epoch.
    #[must_use]
    pub const fn microseconds(self) -> i64 {
        self.0
    }

    /// Returns the time that is `seconds` later.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "a float beyond i64 saturates, which is the latest time")]
    pub fn plus_seconds(self, seconds: f64) -> Self {
        Self::from_microseconds(self.0.saturating_add((seconds * 1e6) as i64))
    }
}

impl Timestamp {
    /// Returns the ASCII form. It writes digit by digit, because a list has one or two timestamps in each row and
    /// format strings are slower.
    #[must_use]
    pub fn encoded(self) -> [u8; 26] {
        let mut ascii = *b"0000-00-00T00:00:00.000000";
        // chrono has the whole range, so the default is never used.
        let time = DateTime::from_timestamp_micros(self.0).unwrap_or_default();
        let year = u32::try_from(time.year()).unwrap_or_default();
        for (end, width, mut number) in [
            (4, 4, year),
            (7, 2, time.month()),
            (10, 2, time.day()),
            (13, 2, time.hour()),
            (16, 2, time.minute()),
            (19, 2, time.second()),
            (26, 6, time.timestamp_subsec_micros()),
        ] {
            for digit in ascii[end - width..end].iter_mut().rev() {
                *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
                number /= 10;
            }
        }
        ascii
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(std::str::from_utf8(&self.encoded()).unwrap_or_default())
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    /// Parses a time such as `2026-01-01T00:00:00`, with or without a fraction and with or without `Z` or an offset. A
    /// space may replace the `T`.
    fn from_str(string: &str) -> Result<Self, Self::Err> {
        let refused = || TimestampError(string.chars().take(64).collect());
        // A time without a zone is UTC.
        let zoned =
            DateTime::parse_from_rfc3339(string).or_else(|_| DateTime::parse_from_rfc3339(&format!("{string}Z")));
        Ok(Self::from_microseconds(zoned.map_err(|_| refused())?.timestamp_micros()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(&self.encoded()).unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::strings::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_six_digits_and_no_zone() {
        let time: Timestamp = "2026-01-01T00:00:00".parse().expect("a timestamp");
        assert_eq!(time.to_string(), "2026-01-01T00:00:00.000000");
        assert_eq!(time.plus_seconds(1.5).to_string(), "2026-01-01T00:00:01.500000");
    }

    #[test]
    fn parses_its_own_format_and_the_formats_that_operators_type() {
        let expected: Timestamp = "2026-01-02T03:04:05.000006".parse().expect("a timestamp");
        for string in ["2026-01-02T03:04:05.000006Z", "2026-01-02 03:04:05.000006", "2026-01-02T04:04:05.000006+01:00"]
        {
            assert_eq!(string.parse(), Ok(expected), "{string}");
        }
        for string in ["", "yesterday", "2026-13-01T00:00:00", "2026-01-01"] {
            assert!(string.parse::<Timestamp>().is_err(), "{string}");
        }
    }

    #[test]
    fn never_prints_a_year_of_five_digits() {
        assert_eq!(Timestamp::from_seconds(i64::MAX).to_string(), "9999-12-31T23:59:59.999999");
        assert_eq!(Timestamp::from_seconds(i64::MIN).to_string(), "0001-01-01T00:00:00.000000");
    }
}
