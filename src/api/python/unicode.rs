//! The properties of characters that Python knows and this API depends on: the digits of all scripts, and which
//! characters are printable.
//!
//! `build.rs` writes the tables. They are those of Unicode 15, as in Python 3.12, with which the vectors were recorded.

use tables::{DECIMAL_DIGITS, UNPRINTABLE};

#[expect(clippy::unreadable_literal, reason = "generated")]
mod tables {
    include!(concat!(env!("OUT_DIR"), "/unicode.rs"));
}

/// Returns the range that a character is in, if any.
fn range(ranges: &[(u32, u32)], character: char) -> Option<(u32, u32)> {
    let code = u32::from(character);
    let after = ranges.partition_point(|(start, _)| *start <= code);
    ranges[..after].last().copied().filter(|(_, end)| code <= *end)
}

/// Returns the value of a decimal digit of any script.
#[must_use]
pub fn decimal_digit(character: char) -> Option<u32> {
    // Unicode keeps the ten digits of a script together, zero first; some scripts have several tens in a row.
    range(&DECIMAL_DIGITS, character).map(|(zero, _)| (u32::from(character) - zero) % 10)
}

/// Whether a character is printable and of the Basic Multilingual Plane.
#[must_use]
pub fn is_printable(character: char) -> bool {
    u32::from(character) < 0xffff && range(&UNPRINTABLE, character).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_every_script_have_their_value() {
        for (character, value) in [('0', 0), ('9', 9), ('٣', 3), ('५', 5), ('９', 9), ('𝟎', 0), ('𝟡', 9), ('𝟿', 9)]
        {
            assert_eq!(decimal_digit(character), Some(value), "{character}");
        }
        for character in ['a', ' ', '²', '½', '三', 'Ⅳ', '\u{10ffff}'] {
            assert_eq!(decimal_digit(character), None, "{character}");
        }
        assert!(DECIMAL_DIGITS.iter().all(|(zero, nine)| (nine - zero) % 10 == 9), "tens");
    }
}
