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
        Value::Number(number) => number.to_string(),
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
            character => quoted.push(character),
        }
    }
    quoted.push(quote);
    quoted
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
    fn values_print_as_python_prints_them() {
        let value = serde_json::json!({"a": [null, true, 1, "it's", "\n\u{1}"]});
        assert_eq!(repr(&value), r#"{'a': [None, True, 1, "it's", '\n\x01']}"#);
        assert_eq!(to_string(&serde_json::json!("x")), "x");
    }
}
