//! Writes JSON field by field, for the views of which a page has up to a thousand: what serde derived for one took three
//! times as many instructions when code was compiled to be small (`docs/adr/0007-rows-in-bytes.md`).
//!
//! What a text looks like in JSON is left to `serde_json`, except for a text that looks the same there.

use serde::Serialize;
use uuid::Uuid;

use crate::domain::identifiers::spelled;

/// A JSON object that is being written. Names of fields are ours and need no escapes.
#[derive(Debug)]
pub struct ObjectWriter<'a> {
    bytes: &'a mut Vec<u8>,
    is_empty: bool,
}

impl<'a> ObjectWriter<'a> {
    /// Opens an object behind what is there.
    pub fn open(bytes: &'a mut Vec<u8>) -> Self {
        bytes.push(b'{');
        Self { bytes, is_empty: true }
    }

    /// Ends it.
    pub fn close(self) {
        self.bytes.push(b'}');
    }

    /// Begins a field whose value is written to what this gives back.
    pub fn field(&mut self, name: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.is_empty) {
            self.bytes.push(b',');
        }
        self.bytes.push(b'"');
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(b"\":");
        self.bytes
    }

    /// A text.
    pub fn text(&mut self, name: &str, value: &str) {
        write_text(self.field(name), value);
    }

    /// A text, or null.
    pub fn optional_text(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.text(name, value),
            None => self.field(name).extend_from_slice(b"null"),
        }
    }

    /// A word, a time or the like, in which nothing needs an escape.
    pub fn plain(&mut self, name: &str, value: &[u8]) {
        let bytes = self.field(name);
        bytes.push(b'"');
        bytes.extend_from_slice(value);
        bytes.push(b'"');
    }

    /// An id, or null.
    pub fn uuid(&mut self, name: &str, value: Option<Uuid>) {
        match value {
            Some(id) => self.plain(name, &spelled(id)),
            None => self.field(name).extend_from_slice(b"null"),
        }
    }

    /// Anything else; nothing that this is used for can fail to be JSON.
    pub fn value(&mut self, name: &str, value: &impl Serialize) {
        let _ = serde_json::to_writer(self.field(name), value);
    }

    /// Pairs of texts, as an object.
    pub fn texts<'t>(&mut self, name: &str, pairs: impl Iterator<Item = (&'t String, &'t String)>) {
        let bytes = self.field(name);
        bytes.push(b'{');
        for (number, (key, value)) in pairs.enumerate() {
            if number > 0 {
                bytes.push(b',');
            }
            write_text(bytes, key);
            bytes.push(b':');
            write_text(bytes, value);
        }
        bytes.push(b'}');
    }

    /// An array, each item of which the function writes.
    pub fn array<T>(&mut self, name: &str, items: &[T], mut write: impl FnMut(&mut Vec<u8>, &T)) {
        let bytes = self.field(name);
        bytes.push(b'[');
        for (number, item) in items.iter().enumerate() {
            if number > 0 {
                bytes.push(b',');
            }
            write(bytes, item);
        }
        bytes.push(b']');
    }
}

/// Writes a text.
#[inline(never)]
fn write_text(bytes: &mut Vec<u8>, text: &str) {
    if text.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        // A text can always be written.
        let _ = serde_json::to_writer(bytes, text);
    } else {
        bytes.push(b'"');
        bytes.extend_from_slice(text.as_bytes());
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
        fn a_text_is_written_as_serde_json_writes_it(text: String, control in "[\u{0}-\u{ff}\"\\\\\u{2028}\u{1f4f8}]*") {
            for text in [&text, &control] {
                let mut bytes = Vec::new();
                write_text(&mut bytes, text);
                prop_assert_eq!(bytes, serde_json::to_vec(text).expect("JSON"));
            }
        }
    }

    #[test]
    fn an_object_has_its_fields_in_the_order_in_which_they_were_written() {
        let mut bytes = Vec::new();
        let mut object = ObjectWriter::open(&mut bytes);
        object.text("b", "\"");
        object.optional_text("none", None);
        object.plain("a", b"plain");
        object.uuid("id", Some(Uuid::nil()));
        object.uuid("no_id", None);
        object.value("number", &7);
        object.texts("empty", [].into_iter());
        let pairs = [("k".to_owned(), "v".to_owned()), ("l".to_owned(), String::new())];
        object.texts("texts", pairs.iter().map(|(key, value)| (key, value)));
        object.array("array", &[1, 2], |bytes, item| bytes.extend(item.to_string().as_bytes()));
        object.close();
        let text = String::from_utf8(bytes).expect("a text");
        let id = "00000000-0000-0000-0000-000000000000";
        let expected = json!({
            "b": "\"", "none": null, "a": "plain", "id": id, "no_id": null, "number": 7, "empty": {},
            "texts": { "k": "v", "l": "" }, "array": [1, 2],
        });
        assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), expected);
        assert!(text.starts_with("{\"b\":\"\\\"\",\"none\":null,\"a\":\"plain\",\"id\":\"00"), "{text}");
    }
}
