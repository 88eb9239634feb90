//! Literals such as `{'k': 'v'}`, which clients send as filters and Cinder reads with `ast.literal_eval`.

use std::collections::BTreeMap;

use super::values::{integer, repr_of_float};

/// The error for a dict literal that Python cannot build, because one of its keys, or an item of a set, is mutable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unhashable;

/// What a source that should be a dict literal means for a filter by items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Items {
    /// A dict, with each key and value as the database compares it.
    These(BTreeMap<String, String>),
    /// A dict with a pair that no item can equal: a nested value, or `None`.
    Never,
    /// Anything else.
    NoDict,
}

/// What a source means for a filter by a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    /// The column equals a string. So does a source that is no literal.
    Equal(String),
    /// The column has no value.
    Null,
    /// The column equals one of several strings.
    AnyOf(Vec<String>),
    /// No column equals the value.
    Never,
}

/// Reads a dict literal such as `{'k': 'v', 'n': 1}` as `ast.literal_eval` does.
///
/// # Errors
///
/// [`Unhashable`].
pub fn dict_literal(source: &str) -> Result<Items, Unhashable> {
    let Some(Literal::Dict(pairs)) = literal(source)? else { return Ok(Items::NoDict) };
    let mut items = BTreeMap::new();
    for pair in pairs {
        match (pair.0.compared(), pair.1.compared()) {
            (Some(key), Some(value)) => items.insert(key, value),
            _ => return Ok(Items::Never),
        };
    }
    Ok(Items::These(items))
}

/// Reads the value of a filter by a column, as `ast.literal_eval` does where it can.
///
/// # Errors
///
/// [`Unhashable`].
pub fn operand(source: &str) -> Result<Operand, Unhashable> {
    Ok(match literal(source)? {
        None => Operand::Equal(source.to_owned()),
        Some(Literal::String(string) | Literal::Number(string)) => Operand::Equal(string),
        Some(Literal::None) => Operand::Null,
        Some(Literal::Sequence { items, .. }) => {
            Operand::AnyOf(items.into_iter().filter_map(Literal::compared).collect())
        }
        Some(Literal::Dict(_) | Literal::Other) => Operand::Never,
    })
}

/// Reads a literal, or returns `None` for any other source.
fn literal(source: &str) -> Result<Option<Literal>, Unhashable> {
    let mut reader = LiteralReader { rest: source.as_bytes(), unhashable: false };
    let literal = reader.value(0);
    reader.skip();
    match literal.filter(|_| reader.rest.is_empty()) {
        Some(_) if reader.unhashable => Err(Unhashable),
        literal => Ok(literal),
    }
}

/// A Python literal, as it compares with a string.
enum Literal {
    String(String),
    /// A number or a boolean, as the database prints it.
    Number(String),
    None,
    Dict(Vec<(Self, Self)>),
    /// A list, a set, or a tuple. Only a tuple of keys may be a key.
    Sequence {
        items: Vec<Self>,
        is_hashable: bool,
    },
    /// Bytes, an imaginary number, or infinity. It equals no string, but may be a key.
    Other,
}

impl Literal {
    fn compared(self) -> Option<String> {
        match self {
            Self::String(string) | Self::Number(string) => Some(string),
            _ => None,
        }
    }

    const fn is_hashable(&self) -> bool {
        !matches!(self, Self::Dict(_) | Self::Sequence { is_hashable: false, .. })
    }
}

struct LiteralReader<'a> {
    rest: &'a [u8],
    unhashable: bool,
}

impl LiteralReader<'_> {
    /// The deepest nesting that is read; deeper values match nothing anyway.
    const DEEPEST: u32 = 32;

    /// Skips white space, comments, and continued lines.
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

    /// Returns the word at the front, whose bytes are alphanumeric, underscores, or those of `also`.
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
        let (mut pairs, mut items) = (Vec::new(), Vec::new());
        while !self.take(b'}') {
            let key = self.value(depth + 1)?;
            self.unhashable |= !key.is_hashable();
            if self.take(b':') {
                pairs.push((key, self.value(depth + 1)?));
            } else {
                items.push(key);
            }
            if !self.take(b',') && self.rest.first() != Some(&b'}') {
                return None;
            }
        }
        match (items.is_empty(), pairs.is_empty()) {
            (true, _) => Some(Literal::Dict(pairs)),
            (false, true) => Some(Literal::Sequence { items, is_hashable: false }),
            (false, false) => None,
        }
    }

    /// Reads a list, a tuple, or one value in parentheses.
    fn items(&mut self, end: u8, depth: u32) -> Option<Literal> {
        self.rest = &self.rest[1..];
        let mut items = Vec::new();
        let mut is_hashable = end == b')';
        while !self.take(end) {
            let item = self.value(depth + 1)?;
            let is_last = !self.take(b',');
            if is_last && self.rest.first() != Some(&end) {
                return None;
            }
            if is_last && items.is_empty() && end == b')' {
                self.take(end);
                return Some(item);
            }
            is_hashable &= item.is_hashable();
            items.push(item);
        }
        Some(Literal::Sequence { items, is_hashable })
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
        // An imaginary number equals no string, nor does infinity.
        let imaginary = digits.strip_suffix('j');
        let float: f64 = imaginary.unwrap_or(&digits).parse().ok()?;
        if imaginary.is_some() || !float.is_finite() {
            return Some(Literal::Other);
        }
        Some(Literal::Number(repr_of_float(if negative { -float } else { float })))
    }

    /// Reads a constant, or strings.
    fn word(&mut self) -> Option<Literal> {
        let word = self.token(b"");
        if matches!(self.rest.get(word.len()), Some(b'\'' | b'"')) {
            return self.strings();
        }
        self.rest = &self.rest[word.len()..];
        match word.as_str() {
            // The database compares booleans as 1 and 0.
            "True" => Some(Literal::Number("1".to_owned())),
            "False" => Some(Literal::Number("0".to_owned())),
            "None" => Some(Literal::None),
            "set" => (self.take(b'(') && self.take(b')'))
                .then_some(Literal::Sequence { items: Vec::new(), is_hashable: false }),
            _ => None,
        }
    }

    /// Reads one string, or several in a row, which Python joins.
    fn strings(&mut self) -> Option<Literal> {
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
            self.quoted(raw, &mut joined)?;
            self.skip();
        }
        if are_bytes? { Some(Literal::Other) } else { String::from_utf8(joined).ok().map(Literal::String) }
    }

    /// Reads the contents of one or three quotes.
    fn quoted(&mut self, raw: bool, joined: &mut Vec<u8>) -> Option<()> {
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

    /// Reads an escape behind its backslash. A character by its name (`\N{...}`) is not supported.
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
                // Each escape and its byte, in pairs. An escaped newline is dropped; all other bytes keep their backslash.
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
    fn dict_literals_read_as_python_reads_them() {
        let dict = |pairs: &[(&str, &str)]| {
            Ok(Items::These(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()))
        };
        let cases = [
            ("{}", dict(&[])),
            ("{'k':'b','t':'1'}", dict(&[("k", "b"), ("t", "1")])),
            (r#"{"k": "v",}"#, dict(&[("k", "v")])),
            (" {u'k': 'a' 'b'}", dict(&[("k", "ab")])),
            (r"{'k': 'it\'s \u00e9\n\x41\102\q'}", dict(&[("k", "it's é\nAB\\q")])),
            ("{'k': '''it's''' \"\"\"\n\"\"\"}", dict(&[("k", "it's\n")])),
            (r"{'k': r'\n', R'l': Rb'x'}", Ok(Items::Never)),
            (r"{'k': r'\n' ''}", dict(&[("k", "\\n")])),
            ("({'k': ('v')}) # a comment", dict(&[("k", "v")])),
            ("# a comment\n{'k': \\\n'v'}\n", dict(&[("k", "v")])),
            ("{'t': 1, 'f': 1.5, 'b': True, 2: 'x'}", dict(&[("t", "1"), ("f", "1.5"), ("b", "1"), ("2", "x")])),
            ("{1: 0x_ff, 2: 0b11, 3: 0O17, 4: - 1_0, 5: 1e0, 6: 00}", {
                dict(&[("1", "255"), ("2", "3"), ("3", "15"), ("4", "-10"), ("5", "1.0"), ("6", "0")])
            }),
            ("{(1, 'a'): 'v', b'k': ...}", Ok(Items::Never)),
            ("{'k': None}", Ok(Items::Never)),
            ("{'k': ['v']}", Ok(Items::Never)),
            ("{'k': {'n': 1}}", Ok(Items::Never)),
            ("{['k']: 'v'}", Err(Unhashable)),
            ("{(1, {}): 'v'}", Err(Unhashable)),
            ("[{set()}]", Err(Unhashable)),
            ("{['k']: 'v'", Ok(Items::NoDict)),
            ("{'k'}", Ok(Items::NoDict)),
            ("{'k': 1j}", Ok(Items::Never)),
            ("{'k': 01}", Ok(Items::NoDict)),
            ("{'k': --1}", Ok(Items::NoDict)),
            ("{'k': 'v' b'w'}", Ok(Items::NoDict)),
            ("{'k': f'v'}", Ok(Items::NoDict)),
            ("{'k': 'v", Ok(Items::NoDict)),
            ("[1]", Ok(Items::NoDict)),
            ("k", Ok(Items::NoDict)),
            ("true", Ok(Items::NoDict)),
            ("{k: 'v'}", Ok(Items::NoDict)),
            ("{'k': 'v'", Ok(Items::NoDict)),
            ("{'k': 'v'} x", Ok(Items::NoDict)),
            ("{'k' 'v'}", Ok(Items::NoDict)),
            ("'", Ok(Items::NoDict)),
            ("", Ok(Items::NoDict)),
        ];
        for (source, expected) in cases {
            assert_eq!(dict_literal(source), expected, "{source}");
        }
        assert_eq!(dict_literal(&"{".repeat(10_000)), Ok(Items::NoDict));
        assert_eq!(dict_literal(&"[".repeat(10_000)), Ok(Items::NoDict));
    }

    #[test]
    fn filters_by_columns_are_literals_where_they_can_be() {
        let equal = |string: &str| Ok(Operand::Equal(string.to_owned()));
        let any_of = |items: &[&str]| Ok(Operand::AnyOf(items.iter().map(|item| (*item).to_owned()).collect()));
        for (source, expected) in [
            ("available", equal("available")),
            ("'available'", equal("available")),
            ("0x1", equal("1")),
            ("01", equal("01")),
            ("12345678-0000-4000-8000-000000000001", equal("12345678-0000-4000-8000-000000000001")),
            ("True", equal("1")),
            ("None", Ok(Operand::Null)),
            ("null", equal("null")),
            ("['error', 'available', None]", any_of(&["error", "available"])),
            ("('error',)", any_of(&["error"])),
            ("('error')", equal("error")),
            ("{'error'}", any_of(&["error"])),
            ("[]", any_of(&[])),
            ("{'a': 1}", Ok(Operand::Never)),
            ("b'error'", Ok(Operand::Never)),
            ("{[]}", Err(Unhashable)),
            ("", equal("")),
        ] {
            assert_eq!(operand(source), expected, "{source}");
        }
    }
}
