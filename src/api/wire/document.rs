//! Writes JSON field by field, for the views of snapshots, of which a page has up to a thousand
//! (`docs/adr/0007-rows-in-bytes.md`).
//!
//! Strings that need escaping go through `serde_json`; all others are copied. A derived view would be shorter, but
//! `serde_json` tests every byte of names and strings for escaping, so a list of 1,000 took 29 % more instructions
//! (`docs/adr/0013-the-house.md`).

use serde::Serialize;
use uuid::Uuid;

use crate::domain::identifiers::encoded;

/// A JSON object that is being written. The names of its fields are our own and need no escaping.
#[derive(Debug)]
pub struct ObjectWriter<'a> {
    bytes: &'a mut Vec<u8>,
    is_empty: bool,
}

impl<'a> ObjectWriter<'a> {
    /// Opens an object at the end of `bytes`.
    pub fn open(bytes: &'a mut Vec<u8>) -> Self {
        bytes.push(b'{');
        Self { bytes, is_empty: true }
    }

    /// Closes the object.
    pub fn close(self) {
        self.bytes.push(b'}');
    }

    /// Begins a field. The caller writes its value to the buffer that this returns.
    pub fn field(&mut self, name: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.is_empty) {
            self.bytes.push(b',');
        }
        self.bytes.push(b'"');
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(b"\":");
        self.bytes
    }

    /// Writes a string.
    pub fn string(&mut self, name: &str, value: &str) {
        write_string(self.field(name), value);
    }

    /// Writes a string, or null.
    pub fn optional_string(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.string(name, value),
            None => self.field(name).extend_from_slice(b"null"),
        }
    }

    /// Writes a string that needs no escaping, such as a word or a time.
    pub fn plain(&mut self, name: &str, value: &[u8]) {
        let bytes = self.field(name);
        bytes.push(b'"');
        bytes.extend_from_slice(value);
        bytes.push(b'"');
    }

    /// Writes an id, or null.
    pub fn uuid(&mut self, name: &str, value: Option<Uuid>) {
        match value {
            Some(id) => self.plain(name, &encoded(id)),
            None => self.field(name).extend_from_slice(b"null"),
        }
    }

    /// Writes any other value. The values that this is used for can always be written.
    pub fn value(&mut self, name: &str, value: &impl Serialize) {
        let _ = serde_json::to_writer(self.field(name), value);
    }

    /// Writes pairs of strings as an object.
    pub fn strings<'t>(&mut self, name: &str, pairs: impl Iterator<Item = (&'t String, &'t String)>) {
        let bytes = self.field(name);
        bytes.push(b'{');
        for (number, (key, value)) in pairs.enumerate() {
            if number > 0 {
                bytes.push(b',');
            }
            write_string(bytes, key);
            bytes.push(b':');
            write_string(bytes, value);
        }
        bytes.push(b'}');
    }

    /// Writes an array, and returns the number of its items. `write` writes each item. The array ends before the item with
    /// which it would be larger than `most` bytes, but not before the first.
    pub fn array<T>(&mut self, name: &str, items: &[T], most: usize, mut write: impl FnMut(&mut Vec<u8>, &T)) -> usize {
        let bytes = self.field(name);
        let start = bytes.len();
        bytes.push(b'[');
        let mut written = 0;
        for item in items {
            let end = bytes.len();
            if written > 0 {
                bytes.push(b',');
            }
            write(bytes, item);
            // One more byte closes the array.
            if written > 0 && bytes.len() - start >= most {
                bytes.truncate(end);
                break;
            }
            written += 1;
        }
        bytes.push(b']');
        written
    }
}

/// Appends a string.
fn write_string(bytes: &mut Vec<u8>, string: &str) {
    if string.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        // A string can always be written.
        let _ = serde_json::to_writer(bytes, string);
    } else {
        bytes.push(b'"');
        bytes.extend_from_slice(string.as_bytes());
        bytes.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    proptest! {
        #[test]
        fn a_string_is_written_as_serde_json_writes_it(string: String, control in "[\u{0}-\u{ff}\"\\\\\u{2028}\u{1f4f8}]*") {
            for string in [&string, &control] {
                let mut bytes = Vec::new();
                write_string(&mut bytes, string);
                prop_assert_eq!(bytes, serde_json::to_vec(string).expect("JSON"));
            }
        }
    }

    #[test]
    fn an_object_has_its_fields_in_the_order_in_which_they_were_written() {
        let mut bytes = Vec::new();
        let mut object = ObjectWriter::open(&mut bytes);
        object.string("b", "\"");
        object.optional_string("none", None);
        object.plain("a", b"plain");
        object.uuid("id", Some(Uuid::nil()));
        object.uuid("no_id", None);
        object.value("number", &7);
        object.strings("empty", [].into_iter());
        let pairs = [("k".to_owned(), "v".to_owned()), ("l".to_owned(), String::new())];
        object.strings("strings", pairs.iter().map(|(key, value)| (key, value)));
        let digits = |bytes: &mut Vec<u8>, item: &i32| bytes.extend(item.to_string().as_bytes());
        assert_eq!(object.array("array", &[1, 2], 5, digits), 2);
        assert_eq!(object.array("cut", &[1, 2], 4, digits), 1);
        assert_eq!(object.array("not_empty", &[1, 2], 0, digits), 1);
        object.close();
        let document = String::from_utf8(bytes).expect("a string");
        let id = "00000000-0000-0000-0000-000000000000";
        let expected = json!({
            "b": "\"", "none": null, "a": "plain", "id": id, "no_id": null, "number": 7, "empty": {},
            "strings": { "k": "v", "l": "" }, "array": [1, 2], "cut": [1], "not_empty": [1],
        });
        assert_eq!(serde_json::from_str::<Value>(&document).expect("JSON"), expected);
        assert!(document.starts_with("{\"b\":\"\\\"\",\"none\":null,\"a\":\"plain\",\"id\":\"00"), "{document}");
    }
}
