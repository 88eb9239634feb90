//! Dict literals such as `{'k': 'v'}`, which clients send as filters by metadata and Cinder reads with
//! `ast.literal_eval`.

use std::collections::BTreeMap;

use super::values::integer;

/// The error for a dict literal that Python cannot build, because one of its keys, or an item of a set, is mutable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unhashable;

/// Reads a dict literal such as `{'k': 'v', 'n': 1}` as `ast.literal_eval` does, with each key and value as the
/// database compares it. `None` for any other source, and for a pair that no item can equal (a nested value, `None`).
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

/// A Python literal, as it compares with a string.
enum Literal {
    String(String),
    /// A number or a boolean, as the database prints it.
    Number(String),
    Dict(Vec<(Self, Self)>),
    /// `None`, bytes, or a tuple. It equals no string, but may be a key.
    Other,
    /// A list, a set, or a tuple that holds one. It may not be a key either.
    Unhashable,
}

impl Literal {
    fn compared(self) -> Option<String> {
        match self {
            Self::String(string) | Self::Number(string) => Some(string),
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

    /// Reads a list, a tuple, or one value in parentheses.
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
        // An imaginary number equals no string, nor does infinity.
        let imaginary = digits.strip_suffix('j');
        let float: f64 = imaginary.unwrap_or(&digits).parse().ok()?;
        let float = serde_json::Number::from_f64(if negative { -float } else { float });
        // JSON prints a float as Python does, except for exponents.
        let float = float.filter(|_| imaginary.is_none()).map(|float| Literal::Number(float.to_string()));
        Some(float.unwrap_or(Literal::Other))
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
            "None" => Some(Literal::Other),
            "set" => (self.take(b'(') && self.take(b')')).then_some(Literal::Unhashable),
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
}
