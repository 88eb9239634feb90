//! Texts as Cinder's Python reads and prints them: clients see these forms in messages and send them in queries.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// What `str.strip` takes off: Unicode white space and four separators that Rust does not count.
#[must_use]
pub fn strip(text: &str) -> &str {
    text.trim_matches(|character: char| character.is_whitespace() || ('\x1c'..='\x1f').contains(&character))
}

/// What `int` reads: a sign, digits with single underscores between them, white space around.
#[must_use]
pub fn integer(text: &str) -> Option<i128> {
    let text: String = strip(text).chars().map(ascii_digit).collect();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(&text)),
    };
    let well_formed =
        digits.split('_').all(|group| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit()));
    if !well_formed {
        return None;
    }
    // More digits than this are beyond every range that is asked for, on the right side of it.
    let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
    let magnitude = digits.parse().unwrap_or(i128::MAX);
    Some(if negative { -magnitude } else { magnitude })
}

/// Python's `int` reads decimal digits of every script.
fn ascii_digit(character: char) -> char {
    if character.is_ascii() || character.general_category() != GeneralCategory::DecimalNumber {
        return character;
    }
    // Unicode keeps the ten digits of a script together, zero first, so the distance to the first is the value.
    let value = (0..10_u32).find(|distance| {
        u32::from(character)
            .checked_sub(distance + 1)
            .and_then(char::from_u32)
            .is_none_or(|before| before.general_category() != GeneralCategory::DecimalNumber)
    });
    value.and_then(|value| char::from_digit(value, 10)).unwrap_or(character)
}

/// What oslo's strict booleans read, in any case of letters.
#[must_use]
pub fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "t" | "true" | "on" | "y" | "yes" => Some(true),
        "0" | "f" | "false" | "off" | "n" | "no" => Some(false),
        _ => None,
    }
}

/// What `str` prints.
#[must_use]
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => representation(other),
    }
}

/// What `repr` prints.
#[must_use]
pub fn representation(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(representation).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(items) => {
            let items: Vec<String> =
                items.iter().map(|(key, value)| format!("{}: {}", quoted(key), representation(value))).collect();
            format!("{{{}}}", items.join(", "))
        }
    }
}

/// What `repr` prints of a text.
#[must_use]
pub fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push(quote);
    for character in text.chars() {
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

/// Reads a dict literal such as `{'k': 'v', 'n': 1}` as `ast.literal_eval` does, with each key and value as the
/// database compares it; `None` for anything else. A pair that no item can equal (a nested value, `None`) makes the
/// whole literal unequal to everything, told as `Some(None)`.
#[must_use]
pub fn dict_literal(source: &str) -> Option<Option<BTreeMap<String, String>>> {
    let mut reader = LiteralReader { rest: source.trim_start_matches([' ', '\t']) };
    let literal = reader.value(0)?;
    reader.skip_white_space();
    if !reader.rest.is_empty() {
        return None;
    }
    let Literal::Dict(pairs) = literal else { return None };
    let mut items = BTreeMap::new();
    for (key, value) in pairs {
        match (key.as_compared(), value.as_compared()) {
            (Some(key), Some(value)) => items.insert(key, value),
            _ => return Some(None),
        };
    }
    Some(Some(items))
}

/// A Python literal, as far as a comparison with a text goes.
enum Literal {
    Text(String),
    /// A number or a boolean, as the database prints it.
    Number(String),
    Dict(Vec<(Self, Self)>),
    /// `None`, lists, tuples, sets, bytes: equal to no text.
    Other,
}

impl Literal {
    fn as_compared(&self) -> Option<String> {
        match self {
            Self::Text(text) | Self::Number(text) => Some(text.clone()),
            Self::Dict(_) | Self::Other => None,
        }
    }
}

struct LiteralReader<'a> {
    rest: &'a str,
}

impl LiteralReader<'_> {
    /// Deeper nesting than a query can mean anything by.
    const DEEPEST: u32 = 32;

    fn skip_white_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r', '\x0c']);
    }

    fn take(&mut self, expected: char) -> bool {
        self.skip_white_space();
        match self.rest.strip_prefix(expected) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self, depth: u32) -> Option<Literal> {
        if depth > Self::DEEPEST {
            return None;
        }
        self.skip_white_space();
        match self.rest.chars().next()? {
            '{' => self.dict_or_set(depth),
            '[' => self.items(']', depth),
            '(' => self.items(')', depth),
            '\'' | '"' => self.texts(),
            'u' | 'U' if self.rest[1..].starts_with(['\'', '"']) => {
                self.rest = &self.rest[1..];
                self.texts()
            }
            '+' | '-' | '.' | '0'..='9' => self.number(),
            _ => self.word(),
        }
    }

    fn dict_or_set(&mut self, depth: u32) -> Option<Literal> {
        self.take('{');
        let mut pairs = Vec::new();
        let mut is_set = false;
        while !self.take('}') {
            let key = self.value(depth + 1)?;
            if self.take(':') {
                pairs.push((key, self.value(depth + 1)?));
            } else {
                is_set = true;
            }
            if !self.take(',') {
                if self.take('}') {
                    break;
                }
                return None;
            }
        }
        match (is_set, pairs.is_empty()) {
            (false, _) => Some(Literal::Dict(pairs)),
            (true, true) => Some(Literal::Other),
            (true, false) => None,
        }
    }

    fn items(&mut self, end: char, depth: u32) -> Option<Literal> {
        self.rest = &self.rest[1..];
        while !self.take(end) {
            self.value(depth + 1)?;
            if !self.take(',') {
                if self.take(end) {
                    break;
                }
                return None;
            }
        }
        Some(Literal::Other)
    }

    /// One text or several in a row, which Python joins.
    fn texts(&mut self) -> Option<Literal> {
        let mut joined = String::new();
        while let Some(quote) = self.rest.chars().next().filter(|character| ['\'', '"'].contains(character)) {
            let mut characters = self.rest[1..].char_indices();
            loop {
                let (at, character) = characters.next()?;
                match character {
                    '\n' => return None,
                    '\\' => {
                        let (_, escaped) = characters.next()?;
                        match escaped {
                            'n' => joined.push('\n'),
                            't' => joined.push('\t'),
                            'r' => joined.push('\r'),
                            '\\' | '\'' | '"' => joined.push(escaped),
                            '\n' => {}
                            'x' | 'u' | 'U' => {
                                let digits = match escaped {
                                    'x' => 2,
                                    'u' => 4,
                                    _ => 8,
                                };
                                let mut code = 0;
                                for _ in 0..digits {
                                    code = code * 16 + characters.next()?.1.to_digit(16)?;
                                }
                                joined.push(char::from_u32(code)?);
                            }
                            other => joined.extend(['\\', other]),
                        }
                    }
                    character if character == quote => {
                        self.rest = &self.rest[1 + at + 1..];
                        break;
                    }
                    character => joined.push(character),
                }
            }
            self.skip_white_space();
        }
        Some(Literal::Text(joined))
    }

    fn number(&mut self) -> Option<Literal> {
        let end = self.rest.find(|character: char| !character.is_ascii_alphanumeric() && !"+-._".contains(character));
        let (number, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        if let Some(integer) = integer(number) {
            return Some(Literal::Number(integer.to_string()));
        }
        let float: f64 = number.replace('_', "").parse().ok()?;
        // JSON prints a float as Python does, but for exponents.
        Some(Literal::Number(Value::from(float).to_string()))
    }

    fn word(&mut self) -> Option<Literal> {
        let end = self.rest.find(|character: char| !character.is_alphanumeric() && character != '_');
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        match word {
            // A database has no booleans among texts: it sees 1 and 0.
            "True" => Some(Literal::Number("1".to_owned())),
            "False" => Some(Literal::Number("0".to_owned())),
            "None" => Some(Literal::Other),
            _ => None,
        }
    }
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
        for (text, expected) in cases {
            assert_eq!(integer(text), expected, "{text:?}");
        }
        assert!(integer(&"9".repeat(100)).is_some_and(|number| number > i128::from(u64::MAX)));
    }

    #[test]
    fn dict_literals_read_as_python_reads_them() {
        let dict = |pairs: &[(&str, &str)]| {
            Some(Some(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()))
        };
        let cases = [
            ("{}", dict(&[])),
            ("{'k':'b','t':'1'}", dict(&[("k", "b"), ("t", "1")])),
            (r#"{"k": "v",}"#, dict(&[("k", "v")])),
            (" {u'k': 'a' 'b'}", dict(&[("k", "ab")])),
            (r"{'k': 'it\'s \u00e9\n'}", dict(&[("k", "it's é\n")])),
            ("{'t': 1, 'f': 1.5, 'b': True, 2: 'x'}", dict(&[("t", "1"), ("f", "1.5"), ("b", "1"), ("2", "x")])),
            ("{'k': None}", Some(None)),
            ("{'k': ['v']}", Some(None)),
            ("{'k': {'n': 1}}", Some(None)),
            ("{'k'}", None),
            ("[1]", None),
            ("k", None),
            ("true", None),
            ("{k: 'v'}", None),
            ("{'k': 'v'", None),
            ("{'k': 'v'} x", None),
            ("{'k' 'v'}", None),
            ("'", None),
            ("", None),
        ];
        for (source, expected) in cases {
            assert_eq!(dict_literal(source), expected, "{source}");
        }
        assert_eq!(dict_literal(&"{".repeat(10_000)), None);
        assert_eq!(dict_literal(&"[".repeat(10_000)), None);
    }

    #[test]
    fn values_print_as_python_prints_them() {
        let value = serde_json::json!({"a": [null, true, 1, "it's", "\n\u{1}"]});
        assert_eq!(representation(&value), r#"{'a': [None, True, 1, "it's", '\n\x01']}"#);
        assert_eq!(text(&serde_json::json!("x")), "x");
    }
}
