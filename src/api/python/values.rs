//! Strings, numbers, and booleans as Python reads them, and values as it prints them.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::Value;

use super::unicode;

/// Strips as `str.strip` does: Unicode white space, and four separators that are not white space in Rust.
#[must_use]
pub fn strip(string: &str) -> &str {
    string.trim_matches(|character: char| character.is_whitespace() || ('\x1c'..='\x1f').contains(&character))
}

/// Reads an integer as `int` does: a sign, and digits with single underscores between them, in white space.
#[must_use]
pub fn integer(string: &str) -> Option<i128> {
    let number: String = strip(string).chars().map(ascii_digit).collect();
    let (negative, digits) = match number.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, number.strip_prefix('+').unwrap_or(&number)),
    };
    let well_formed =
        digits.split('_').all(|group| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit()));
    if !well_formed {
        return None;
    }
    // A number with more digits is outside every range that is checked, and stays on the correct side of it.
    let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
    let magnitude = digits.parse().unwrap_or(i128::MAX);
    Some(if negative { -magnitude } else { magnitude })
}

/// Returns the ASCII digit for a decimal digit of any script, since `int` reads all of them.
fn ascii_digit(character: char) -> char {
    unicode::decimal_digit(character).and_then(|value| char::from_digit(value, 10)).unwrap_or(character)
}

/// Reads a boolean as oslo does when it is strict. Letter case does not matter.
#[must_use]
pub fn boolean(string: &str) -> Option<bool> {
    match string.to_ascii_lowercase().as_str() {
        "1" | "t" | "true" | "on" | "y" | "yes" => Some(true),
        "0" | "f" | "false" | "off" | "n" | "no" => Some(false),
        _ => None,
    }
}

/// Returns whether a value is true in Python.
#[must_use]
pub fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(string) => !string.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(items) => !items.is_empty(),
    }
}

/// Prints a value as `str` does.
#[must_use]
pub fn to_string(value: &Value) -> String {
    match value {
        Value::String(string) => string.clone(),
        other => repr(other),
    }
}

/// Prints a value as `repr` does.
#[must_use]
pub fn repr(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) if !number.is_f64() => number.to_string(),
        Value::Number(number) => repr_of_float(number.as_f64().unwrap_or_default()),
        Value::String(string) => repr_of_string(string),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(repr).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(items) => {
            let items: Vec<String> =
                items.iter().map(|(key, value)| format!("{}: {}", repr_of_string(key), repr(value))).collect();
            format!("{{{}}}", items.join(", "))
        }
    }
}

/// Prints a string as `repr` does.
#[must_use]
pub fn repr_of_string(string: &str) -> String {
    let quote = if string.contains('\'') && !string.contains('"') { '"' } else { '\'' };
    let mut quoted = String::with_capacity(string.len() + 2);
    quoted.push(quote);
    for character in string.chars() {
        match character {
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\\' => quoted.push_str("\\\\"),
            character if character == quote => {
                quoted.push('\\');
                quoted.push(character);
            }
            character if u32::from(character) < 0x20 || u32::from(character) == 0x7f => {
                // Writing to a String cannot fail.
                let _ = write!(quoted, "\\x{:02x}", u32::from(character));
            }
            character if is_printable(character) => quoted.push(character),
            character => {
                let code = u32::from(character);
                let _ = match code {
                    ..0x100 => write!(quoted, "\\x{code:02x}"),
                    0x100..0x1_0000 => write!(quoted, "\\u{code:04x}"),
                    _ => write!(quoted, "\\U{code:08x}"),
                };
            }
        }
    }
    quoted.push(quote);
    quoted
}

/// Returns whether `str.isprintable` says so. Of the characters beyond the Basic Multilingual Plane, all count as printable.
fn is_printable(character: char) -> bool {
    let is_in_plane = u32::from(character) < 0xffff;
    !is_in_plane || character == ' ' || (unicode::is_printable(character) && !character.is_whitespace())
}

/// The numbers that stand for Python's `nan` and `inf` in a parsed body, because JSON has neither. No field allows them.
pub const NOT_A_NUMBER: f64 = 1.234_567_890_123_4e308;
pub const INFINITY: f64 = 1.234_567_890_123_5e308;

/// Prints a float as `repr` does: with an exponent of at least two digits if it is large or small.
#[must_use]
pub fn repr_of_float(float: f64) -> String {
    let sign = if float.is_sign_negative() { "-" } else { "" };
    if float.abs().total_cmp(&NOT_A_NUMBER).is_eq() {
        return "nan".to_owned();
    }
    if float.abs().total_cmp(&INFINITY).is_eq() {
        return format!("{sign}inf");
    }
    let scientific = format!("{float:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>().unwrap_or_default() {
        exponent @ -4..16 => {
            let decimal = float.to_string();
            if exponent >= 0 && !decimal.contains('.') { decimal + ".0" } else { decimal }
        }
        exponent => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
    }
}

/// Encodes a string as `quote_plus` does: as a form does, but with `~` bare and `*` encoded.
#[must_use]
pub fn quote_plus(string: &str) -> String {
    let form: Cow<'_, str> = form_urlencoded::byte_serialize(string.as_bytes()).collect();
    form.replace("%7E", "~").replace('*', "%2A")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_read_as_python_reads_them() {
        let cases = [
            ("10", Some(10)),
            (" +1_0 ", Some(10)),
            ("-0", Some(0)),
            ("007", Some(7)),
            ("\u{661}\u{662}", Some(12)),
            ("", None),
            ("1.5", None),
            ("1__0", None),
            ("_1", None),
            ("0x1", None),
            ("- 1", None),
        ];
        for (string, expected) in cases {
            assert_eq!(integer(string), expected, "{string:?}");
        }
        assert!(integer(&"9".repeat(100)).is_some_and(|number| number > i128::from(u64::MAX)));
    }

    #[test]
    fn floats_print_as_python_prints_them() {
        for (float, expected) in [
            (1.0, "1.0"),
            (-1.5, "-1.5"),
            (0.0, "0.0"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (1e-7, "1e-07"),
            (1.5e-300, "1.5e-300"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
            (1e308, "1e+308"),
            (NOT_A_NUMBER, "nan"),
            (-INFINITY, "-inf"),
        ] {
            assert_eq!(repr_of_float(float), expected);
        }
    }

    #[test]
    fn characters_that_python_does_not_print_are_escaped() {
        for (string, expected) in [
            ("a\u{a0}b", r"'a\xa0b'"),
            ("\u{2028}", r"'\u2028'"),
            ("\u{200b}\u{feff}", r"'\u200b\ufeff'"),
            ("\u{80}\u{ad}", r"'\x80\xad'"),
            ("\u{3000}", r"'\u3000'"),
            ("a b é 漢 \u{1f600}", "'a b é 漢 \u{1f600}'"),
        ] {
            assert_eq!(repr_of_string(string), expected);
        }
    }

    #[test]
    fn values_print_as_python_prints_them() {
        let value = serde_json::json!({"a": [null, true, 1, "it's", "\n\u{1}"]});
        assert_eq!(repr(&value), r#"{'a': [None, True, 1, "it's", '\n\x01']}"#);
        assert_eq!(to_string(&serde_json::json!("x")), "x");
    }
}
