//! Texts as Cinder's Python reads and prints them: clients see these forms in messages and send them in queries.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use super::unicode;

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
    unicode::decimal_digit(character).and_then(|value| char::from_digit(value, 10)).unwrap_or(character)
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

/// A dict literal that Python refuses while it makes the dict: a key of it, or an item of a set in it, may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unhashable;

/// Reads a dict literal such as `{'k': 'v', 'n': 1}` as `ast.literal_eval` does, with each key and value as the
/// database compares it; `None` for anything else, and for a pair that no item can equal (a nested value, `None`).
///
/// # Errors
///
/// [`Unhashable`].
pub fn dict_literal(source: &str) -> Result<Option<BTreeMap<String, String>>, Unhashable> {
    let mut reader = LiteralReader { rest: source.as_bytes(), unhashable: false };
    let literal = reader.value(0);
    reader.skip();
    let Some(literal) = literal.filter(|_| reader.rest.is_empty()) else { return Ok(None) };
    if reader.unhashable {
        return Err(Unhashable);
    }
    let Literal::Dict(pairs) = literal else { return Ok(None) };
    let mut items = BTreeMap::new();
    for pair in pairs {
        match (pair.0.compared(), pair.1.compared()) {
            (Some(key), Some(value)) => items.insert(key, value),
            _ => return Ok(None),
        };
    }
    Ok(Some(items))
}

/// A Python literal, as far as a comparison with a text goes.
enum Literal {
    Text(String),
    /// A number or a boolean, as the database prints it.
    Number(String),
    Dict(Vec<(Self, Self)>),
    /// `None`, bytes, tuples: equal to no text, but may be a key.
    Other,
    /// Lists, sets, and tuples that hold one: may be no key either.
    Unhashable,
}

impl Literal {
    fn compared(self) -> Option<String> {
        match self {
            Self::Text(text) | Self::Number(text) => Some(text),
            _ => None,
        }
    }

    const fn is_hashable(&self) -> bool {
        !matches!(self, Self::Dict(_) | Self::Unhashable)
    }
}

struct LiteralReader<'a> {
    rest: &'a [u8],
    unhashable: bool,
}

impl LiteralReader<'_> {
    /// Deeper nesting than a query can mean anything by.
    const DEEPEST: u32 = 32;

    /// Goes past white space, comments and continued lines.
    fn skip(&mut self) {
        let mut in_comment = false;
        loop {
            self.rest = match self.rest {
                [b'\n', rest @ ..] => {
                    in_comment = false;
                    rest
                }
                [b'#', rest @ ..] => {
                    in_comment = true;
                    rest
                }
                [_, rest @ ..] if in_comment => rest,
                [b' ' | b'\t' | b'\r' | 0x0c, rest @ ..] | [b'\\', b'\n', rest @ ..] => rest,
                _ => return,
            }
        }
    }

    fn take(&mut self, expected: u8) -> bool {
        self.skip();
        let is_there = self.rest.first() == Some(&expected);
        if is_there {
            self.rest = &self.rest[1..];
        }
        is_there
    }

    /// What stands before the first byte of another kind.
    fn token(&self, also: &[u8]) -> String {
        let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_' || also.contains(byte);
        self.rest.iter().take_while(is_part).copied().map(char::from).collect()
    }

    fn value(&mut self, depth: u32) -> Option<Literal> {
        if depth > Self::DEEPEST {
            return None;
        }
        self.skip();
        match self.rest.first()? {
            b'{' => self.dict_or_set(depth),
            b'[' => self.items(b']', depth),
            b'(' => self.items(b')', depth),
            b'+' | b'-' => {
                let negative = self.take(b'-') || !self.take(b'+');
                self.skip();
                match self.rest.first()? {
                    b'.' | b'0'..=b'9' => self.number(negative),
                    _ => None,
                }
            }
            b'.' | b'0'..=b'9' => self.number(false),
            _ => self.word(),
        }
    }

    fn dict_or_set(&mut self, depth: u32) -> Option<Literal> {
        self.take(b'{');
        let (mut pairs, mut is_set) = (Vec::new(), false);
        while !self.take(b'}') {
            let key = self.value(depth + 1)?;
            self.unhashable |= !key.is_hashable();
            if self.take(b':') {
                pairs.push((key, self.value(depth + 1)?));
            } else {
                is_set = true;
            }
            if !self.take(b',') && self.rest.first() != Some(&b'}') {
                return None;
            }
        }
        match (is_set, pairs.is_empty()) {
            (false, _) => Some(Literal::Dict(pairs)),
            (true, true) => Some(Literal::Unhashable),
            (true, false) => None,
        }
    }

    /// A list, a tuple, or one value in parentheses.
    fn items(&mut self, end: u8, depth: u32) -> Option<Literal> {
        self.rest = &self.rest[1..];
        let mut items = if end == b']' { Literal::Unhashable } else { Literal::Other };
        let mut is_first = true;
        while !self.take(end) {
            let item = self.value(depth + 1)?;
            let is_last = !self.take(b',');
            if is_last && self.rest.first() != Some(&end) {
                return None;
            }
            if is_last && is_first && end == b')' {
                self.take(end);
                return Some(item);
            }
            if !item.is_hashable() {
                items = Literal::Unhashable;
            }
            is_first = false;
        }
        Some(items)
    }

    fn number(&mut self, negative: bool) -> Option<Literal> {
        let number = self.token(b"+-.");
        self.rest = &self.rest[number.len()..];
        if number == "..." {
            return Some(Literal::Other);
        }
        let digits = number.replace('_', "").to_ascii_lowercase();
        let radix = match digits.as_bytes() {
            [b'0', b'x', ..] => 16,
            [b'0', b'o', ..] => 8,
            [b'0', b'b', ..] => 2,
            _ => 10,
        };
        let integer =
            if radix == 10 { integer(&number) } else { Some(u64::from_str_radix(&digits[2..], radix).ok()?.into()) };
        if let Some(value) = integer {
            let leads_with_zero = radix == 10 && value != 0 && number.starts_with('0');
            let value = if negative { -value } else { value };
            return (!leads_with_zero).then(|| Literal::Number(value.to_string()));
        }
        // An imaginary number equals no text, nor does infinity.
        let imaginary = digits.strip_suffix('j');
        let float: f64 = imaginary.unwrap_or(&digits).parse().ok()?;
        let float = serde_json::Number::from_f64(if negative { -float } else { float });
        // JSON prints a float as Python does, but for exponents.
        let float = float.filter(|_| imaginary.is_none()).map(|float| Literal::Number(float.to_string()));
        Some(float.unwrap_or(Literal::Other))
    }

    /// A constant, or texts.
    fn word(&mut self) -> Option<Literal> {
        let word = self.token(b"");
        if matches!(self.rest.get(word.len()), Some(b'\'' | b'"')) {
            return self.texts();
        }
        self.rest = &self.rest[word.len()..];
        match word.as_str() {
            // A database has no booleans among texts: it sees 1 and 0.
            "True" => Some(Literal::Number("1".to_owned())),
            "False" => Some(Literal::Number("0".to_owned())),
            "None" => Some(Literal::Other),
            "set" => (self.take(b'(') && self.take(b')')).then_some(Literal::Unhashable),
            _ => None,
        }
    }

    /// One text or several in a row, which Python joins.
    fn texts(&mut self) -> Option<Literal> {
        let mut joined = Vec::new();
        let mut are_bytes = None;
        loop {
            let prefix = self.token(b"");
            if !matches!(self.rest.get(prefix.len()), Some(b'\'' | b'"')) {
                break;
            }
            let (raw, bytes) = match prefix.to_ascii_lowercase().as_str() {
                "" | "u" => (false, false),
                "r" => (true, false),
                "b" => (false, true),
                "br" | "rb" => (true, true),
                _ => return None,
            };
            self.rest = &self.rest[prefix.len()..];
            if *are_bytes.get_or_insert(bytes) != bytes {
                return None;
            }
            self.text(raw, &mut joined)?;
            self.skip();
        }
        if are_bytes? { Some(Literal::Other) } else { String::from_utf8(joined).ok().map(Literal::Text) }
    }

    /// What stands between quotes, one or three of them.
    fn text(&mut self, raw: bool, joined: &mut Vec<u8>) -> Option<()> {
        let quote = *self.rest.first()?;
        let length = if self.rest.starts_with(&[quote; 3]) { 3 } else { 1 };
        let end = &[quote; 3][..length];
        self.rest = &self.rest[length..];
        while !self.rest.starts_with(end) {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            match byte {
                b'\n' if length == 1 => return None,
                b'\\' if raw => {
                    let (escaped, rest) = rest.split_first()?;
                    joined.extend([b'\\', *escaped]);
                    self.rest = rest;
                }
                b'\\' => self.escaped(joined)?,
                byte => joined.push(*byte),
            }
        }
        self.rest = &self.rest[length..];
        Some(())
    }

    /// What follows a backslash. A character by its name (`\N{...}`) is not known here.
    fn escaped(&mut self, joined: &mut Vec<u8>) -> Option<()> {
        let (kind, rest) = self.rest.split_first()?;
        let is_octal = |byte: &&u8| (b'0'..=b'7').contains(byte);
        let (digits, radix) = match kind {
            b'x' => (2, 16),
            b'u' => (4, 16),
            b'U' => (8, 16),
            b'N' => return None,
            b'0'..=b'7' => (self.rest.iter().take(3).take_while(is_octal).count(), 8),
            simple => {
                self.rest = rest;
                // What these stand for, in pairs; a newline stands for nothing, others for themselves.
                let known = b"a\x07b\x08f\x0cn\nr\rt\tv\x0b\\\\''\"\"".chunks(2).find(|pair| pair[0] == *simple);
                match known {
                    Some(pair) => joined.push(pair[1]),
                    None if *simple == b'\n' => {}
                    None => joined.extend([b'\\', *simple]),
                }
                return Some(());
            }
        };
        if radix == 16 {
            self.rest = rest;
        }
        let mut code = 0;
        for _ in 0..digits {
            let (digit, rest) = self.rest.split_first()?;
            code = code * radix + char::from(*digit).to_digit(radix)?;
            self.rest = rest;
        }
        joined.extend(char::from_u32(code)?.encode_utf8(&mut [0; 4]).bytes());
        Some(())
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
            Ok(Some(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()))
        };
        let cases = [
            ("{}", dict(&[])),
            ("{'k':'b','t':'1'}", dict(&[("k", "b"), ("t", "1")])),
            (r#"{"k": "v",}"#, dict(&[("k", "v")])),
            (" {u'k': 'a' 'b'}", dict(&[("k", "ab")])),
            (r"{'k': 'it\'s \u00e9\n\x41\102\q'}", dict(&[("k", "it's é\nAB\\q")])),
            ("{'k': '''it's''' \"\"\"\n\"\"\"}", dict(&[("k", "it's\n")])),
            (r"{'k': r'\n', R'l': Rb'x'}", Ok(None)),
            (r"{'k': r'\n' ''}", dict(&[("k", "\\n")])),
            ("({'k': ('v')}) # a comment", dict(&[("k", "v")])),
            ("# a comment\n{'k': \\\n'v'}\n", dict(&[("k", "v")])),
            ("{'t': 1, 'f': 1.5, 'b': True, 2: 'x'}", dict(&[("t", "1"), ("f", "1.5"), ("b", "1"), ("2", "x")])),
            ("{1: 0x_ff, 2: 0b11, 3: 0O17, 4: - 1_0, 5: 1e0, 6: 00}", {
                dict(&[("1", "255"), ("2", "3"), ("3", "15"), ("4", "-10"), ("5", "1.0"), ("6", "0")])
            }),
            ("{(1, 'a'): 'v', b'k': ...}", Ok(None)),
            ("{'k': None}", Ok(None)),
            ("{'k': ['v']}", Ok(None)),
            ("{'k': {'n': 1}}", Ok(None)),
            ("{['k']: 'v'}", Err(Unhashable)),
            ("{(1, {}): 'v'}", Err(Unhashable)),
            ("[{set()}]", Err(Unhashable)),
            ("{['k']: 'v'", Ok(None)),
            ("{'k'}", Ok(None)),
            ("{'k': 1j}", Ok(None)),
            ("{'k': 01}", Ok(None)),
            ("{'k': --1}", Ok(None)),
            ("{'k': 'v' b'w'}", Ok(None)),
            ("{'k': f'v'}", Ok(None)),
            ("{'k': 'v", Ok(None)),
            ("[1]", Ok(None)),
            ("k", Ok(None)),
            ("true", Ok(None)),
            ("{k: 'v'}", Ok(None)),
            ("{'k': 'v'", Ok(None)),
            ("{'k': 'v'} x", Ok(None)),
            ("{'k' 'v'}", Ok(None)),
            ("'", Ok(None)),
            ("", Ok(None)),
        ];
        for (source, expected) in cases {
            assert_eq!(dict_literal(source), expected, "{source}");
        }
        assert_eq!(dict_literal(&"{".repeat(10_000)), Ok(None));
        assert_eq!(dict_literal(&"[".repeat(10_000)), Ok(None));
    }

    #[test]
    fn values_print_as_python_prints_them() {
        let value = serde_json::json!({"a": [null, true, 1, "it's", "\n\u{1}"]});
        assert_eq!(representation(&value), r#"{'a': [None, True, 1, "it's", '\n\x01']}"#);
        assert_eq!(text(&serde_json::json!("x")), "x");
    }
}
