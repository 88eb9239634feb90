//! The schemas of request bodies, as tables that one function walks (`docs/spec/snapshots-api.md` sections 3, 5, and 7).
//!
//! The messages are Cinder's: a failure inside a field names the field and prints its value as Python would. The order of
//! the checks is that of Cinder's schema, because a client sees the first failure.

use serde_json::{Map, Value};

use super::python::{self, repr, repr_of_string, unicode};
use super::wire::faults::Fault;

/// The longest name, description, metadata key or value, in code points.
const LONGEST: usize = 255;

/// The largest size of a volume in GiB, which is the largest integer of Cinder's database.
const LARGEST_SIZE: u32 = 2_147_483_647;

/// The schema of an object.
#[derive(Debug)]
pub struct ObjectSchema {
    /// The known properties, in the order in which they are checked.
    pub properties: &'static [(&'static str, Check)],
    pub required: &'static [&'static str],
    /// Whether other keys are allowed.
    pub others_allowed: bool,
    /// Keys of which one is required. Empty without such a rule.
    pub one_of: &'static [&'static str],
}

/// The check of a value.
#[derive(Debug)]
pub enum Check {
    /// Any value.
    Anything,
    /// An object.
    Object(&'static ObjectSchema),
    /// An object that is not empty.
    NonEmptyObject,
    /// A string of at most 255 code points, or null.
    Name,
    /// A [`Check::Name`] whose characters are printable and of the Basic Multilingual Plane.
    Description,
    /// A UUID in any form, or null.
    UuidOrNull,
    /// A UUID in any form.
    Uuid,
    /// A UUID in any form, or a list of different ones.
    UuidOrUuids,
    /// A boolean or one of the words that `force` knows.
    Force,
    /// An object of strings, or null. A key may contain a slash.
    MetadataOrNull,
    /// An object of strings.
    Metadata,
    /// An object of strings. A key may contain a slash.
    Specs,
    /// An object of strings and nulls. A key may contain a slash.
    NullableSpecs,
    /// An object of strings and nulls. A key may contain neither a slash nor a space.
    SpecsOfPath,
    /// A string of 1 to 255 code points that are not all white space.
    NotBlank,
    /// An object of exactly one string.
    OneMetadataItem { slash_allowed: bool },
    /// A string of at most 255 code points without the white space around it, or null. Cinder checks it outside its
    /// schemas, with a message of its own that has this name.
    Trimmed(&'static str),
    /// A string.
    String,
    /// A string, or null.
    StringOrNull,
    /// A string of at most 255 code points.
    StringUpTo255,
    /// A string of 1 to 255 code points.
    ShortString,
    /// A string in Base64 that is not empty.
    Base64,
    /// A list of at least one string, all different and of at most 255 code points.
    UniqueStrings,
    /// `rw` or `ro`.
    AttachMode,
    /// An object, or null.
    ObjectOrNull(&'static ObjectSchema),
    /// An object of any content, or null.
    AnyObjectOrNull,
    /// An object of any content, or a string.
    ObjectOrString,
    /// The progress of work, as [`progress`] reads it.
    Progress,
    /// A string of 1 to 255 code points, or null.
    ShortStringOrNull,
    /// A boolean, a string, or null.
    BooleanOrString,
    /// An object of strings of any length. A key may contain a slash.
    ImageMetadata,
    /// An object, a string, or null.
    Reference,
    /// A size in GiB: an integer or a string of digits, from 1 to 2147483647.
    Size,
    /// A [`Check::Size`], or null.
    SizeOrNull,
    /// A boolean, or one of the words of `force`.
    Boolean,
}

/// The words of `force` that mean true.
const FORCE_TRUE: [&str; 12] = ["True", "TRUE", "true", "1", "ON", "On", "on", "YES", "Yes", "yes", "y", "t"];
/// The words of `force` that mean false.
const FORCE_FALSE: [&str; 12] = ["False", "FALSE", "false", "0", "OFF", "Off", "off", "NO", "No", "no", "n", "f"];

/// Reads a value that passed [`Check::Force`] or [`Check::Boolean`].
#[must_use]
pub fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(value) => *value,
        Value::String(word) => FORCE_TRUE.contains(&word.as_str()),
        _ => false,
    }
}

/// The longest value in the metadata of an image, which is that of a text in `MySQL`.
const LONGEST_TEXT: usize = 65_535;

/// Checks a body.
///
/// # Errors
///
/// The first failure, as a 400.
pub fn check<'a>(schema: &'static ObjectSchema, body: Option<&'a Value>) -> Result<&'a Map<String, Value>, Fault> {
    // Cinder fails with a 500 if the body is missing. A 400 is of more help to a client.
    let body = body.ok_or_else(|| Fault::bad_request("The request needs a JSON body and a Content-Type for it."))?;
    check_object(schema, body, None)
}

/// Returns a failure, which names the field and its value if there is a field.
fn failure(field: Option<&str>, value: &Value, detail: &str) -> Fault {
    Fault::bad_request(match field {
        Some(field) => {
            format!("Invalid input for field/attribute {field}. Value: {}. {detail}", python::to_string(value))
        }
        None => detail.to_owned(),
    })
}

fn wrong_type(field: Option<&str>, value: &Value, types: &str) -> Fault {
    failure(field, value, &format!("{} is not of type {types}", repr(value)))
}

fn check_object<'a>(
    schema: &'static ObjectSchema,
    value: &'a Value,
    field: Option<&str>,
) -> Result<&'a Map<String, Value>, Fault> {
    let Value::Object(object) = value else {
        return Err(wrong_type(field, value, "'object'"));
    };
    for (name, property) in schema.properties {
        if let Some(value) = object.get(*name) {
            check_value(property, value, name)?;
        }
    }
    for name in schema.required {
        if !object.contains_key(*name) {
            return Err(failure(field, value, &format!("'{name}' is a required property")));
        }
    }
    if !schema.others_allowed {
        let known = |key: &&String| schema.properties.iter().any(|(name, _)| name == *key);
        // These are sorted, since the map is.
        let unknown: Vec<&String> = object.keys().filter(|key| !known(key)).collect();
        if !unknown.is_empty() {
            let verb = if unknown.len() == 1 { "was" } else { "were" };
            let names: Vec<String> = unknown.into_iter().map(|name| repr_of_string(name)).collect();
            let names = names.join(", ");
            let detail = format!("Additional properties are not allowed ({names} {verb} unexpected)");
            return Err(failure(field, value, &detail));
        }
    }
    if !schema.one_of.is_empty() && !schema.one_of.iter().any(|name| object.contains_key(*name)) {
        return Err(no_schema(field, value));
    }
    Ok(object)
}

fn no_schema(field: Option<&str>, value: &Value) -> Fault {
    failure(field, value, &format!("{} is not valid under any of the given schemas", repr(value)))
}

/// Returns the failure of a string that no boolean has.
fn not_a_boolean(value: &Value, name: &str) -> Fault {
    let words = |truth: &str, words: [&str; 12]| {
        let words: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        format!("{truth}, {}", words.join(", "))
    };
    let all = format!("{}, {}", words("True", FORCE_TRUE), words("False", FORCE_FALSE));
    failure(Some(name), value, &format!("{} is not one of [{all}]", repr(value)))
}

impl Check {
    /// Returns whether null passes.
    const fn accepts_null(&self) -> bool {
        matches!(
            self,
            Self::Name
                | Self::Description
                | Self::UuidOrNull
                | Self::Trimmed(_)
                | Self::ShortStringOrNull
                | Self::MetadataOrNull
                | Self::Reference
                | Self::StringOrNull
                | Self::ObjectOrNull(_)
                | Self::AnyObjectOrNull
                | Self::BooleanOrString
                | Self::SizeOrNull
        )
    }
}

impl Check {
    /// Returns what the items of an object may be, for a check of items.
    const fn item_schema(&self) -> Option<ItemSchema> {
        Some(match self {
            Self::MetadataOrNull | Self::Specs | Self::OneMetadataItem { slash_allowed: true } => {
                ItemSchema::WITH_SLASH
            }
            Self::Metadata | Self::OneMetadataItem { slash_allowed: false } => ItemSchema::WITH_SPACE,
            Self::NullableSpecs => ItemSchema { nullable: true, ..ItemSchema::WITH_SLASH },
            Self::ImageMetadata => ItemSchema { longest: LONGEST_TEXT, ..ItemSchema::WITH_SLASH },
            Self::SpecsOfPath => ItemSchema::OF_PATH,
            _ => return None,
        })
    }
}

fn check_value(check: &'static Check, value: &Value, name: &str) -> Result<(), Fault> {
    let field = Some(name);
    if let (Some(schema), Value::Object(items)) = (check.item_schema(), value) {
        check_metadata(items, value, field, schema)?;
        return if matches!(check, Check::OneMetadataItem { .. }) { check_is_one(items, value, field) } else { Ok(()) };
    }
    match (check, value) {
        (Check::Object(schema), _) => check_object(schema, value, field).map(drop),
        (Check::NonEmptyObject, Value::Object(content)) if !content.is_empty() => Ok(()),
        (Check::NonEmptyObject, Value::Object(_)) => Err(failure(field, value, "{} should be non-empty")),
        (Check::NonEmptyObject, _) => Err(wrong_type(field, value, "'object'")),
        (Check::Anything, _)
        | (Check::Force | Check::Boolean | Check::BooleanOrString, Value::Bool(_))
        | (
            Check::BooleanOrString | Check::String | Check::StringOrNull | Check::ObjectOrString | Check::Reference,
            Value::String(_),
        )
        | (Check::AnyObjectOrNull | Check::ObjectOrString | Check::Reference, Value::Object(_)) => Ok(()),
        (check, Value::Null) if check.accepts_null() => Ok(()),
        (Check::ObjectOrNull(schema), Value::Object(_)) => check_object(schema, value, field).map(drop),
        (Check::ObjectOrNull(_) | Check::AnyObjectOrNull, _) => Err(wrong_type(field, value, "'object', 'null'")),
        (Check::ObjectOrString, _) => Err(wrong_type(field, value, "'object', 'string'")),
        (Check::Base64, _) => check_base64(value, field),
        (Check::AttachMode, Value::String(mode)) if ["rw", "ro"].contains(&mode.as_str()) => Ok(()),
        (Check::AttachMode, Value::String(_)) => {
            Err(failure(field, value, &format!("{} is not one of ['rw', 'ro']", repr(value))))
        }
        (Check::Name | Check::StringUpTo255, Value::String(content)) => check_length(content, value, name),
        (Check::Trimmed(name), Value::String(content)) => {
            let length = python::strip(content).chars().count();
            if length <= LONGEST {
                return Ok(());
            }
            let message = format!("Invalid input received: {name} has {length} characters, more than {LONGEST}.");
            Err(Fault::bad_request(message))
        }
        (Check::Description, Value::String(content)) => {
            check_length(content, value, name)?;
            if is_printable(content) {
                return Ok(());
            }
            let detail =
                format!("{} does not match '^[printable characters of the Basic Multilingual Plane]*$'", repr(value));
            Err(failure(field, value, &detail))
        }
        (Check::NotBlank, Value::String(content)) if !content.is_empty() && python::strip(content).is_empty() => {
            Err(Fault::bad_request("An invalid 'name' value was provided. The 'name' can not be empty."))
        }
        (Check::ShortStringOrNull | Check::ShortString | Check::NotBlank, Value::String(content)) => {
            if content.is_empty() {
                return Err(failure(field, value, "'' should be non-empty"));
            }
            check_length(content, value, name)
        }
        (Check::Name | Check::Description | Check::Trimmed(_) | Check::ShortStringOrNull | Check::StringOrNull, _) => {
            Err(wrong_type(field, value, "'string', 'null'"))
        }
        (Check::UuidOrNull | Check::Uuid | Check::UuidOrUuids, Value::String(content)) if is_uuid_like(content) => {
            Ok(())
        }
        (Check::UuidOrUuids, Value::Array(items)) if are_uuids(items) => Ok(()),
        (Check::UniqueStrings, Value::Array(items)) => check_unique_strings(items, value, name),
        (Check::UniqueStrings, _) => Err(wrong_type(field, value, "'array'")),
        (Check::UuidOrNull | Check::UuidOrUuids, _) => Err(no_schema(field, value)),
        (Check::Uuid, Value::String(_)) => Err(failure(field, value, &format!("{} is not a 'uuid'", repr(value)))),
        (
            Check::Uuid
            | Check::String
            | Check::StringUpTo255
            | Check::ShortString
            | Check::AttachMode
            | Check::NotBlank,
            _,
        ) => Err(wrong_type(field, value, "'string'")),
        (Check::BooleanOrString, _) => Err(wrong_type(field, value, "'string', 'null', 'boolean'")),
        (Check::Force | Check::Boolean, Value::String(word)) => {
            if FORCE_TRUE.contains(&word.as_str()) || FORCE_FALSE.contains(&word.as_str()) {
                return Ok(());
            }
            Err(not_a_boolean(value, name))
        }
        (Check::Force | Check::Boolean, _) => Err(wrong_type(field, value, "'boolean', 'string'")),
        (Check::MetadataOrNull, _) => Err(wrong_type(field, value, "'object', 'null'")),
        (
            Check::Metadata
            | Check::Specs
            | Check::NullableSpecs
            | Check::SpecsOfPath
            | Check::ImageMetadata
            | Check::OneMetadataItem { .. },
            _,
        ) => Err(wrong_type(field, value, "'object'")),
        (Check::Reference, _) => Err(wrong_type(field, value, "'object', 'null', 'string'")),
        (Check::Progress, _) => progress(Some(value)).map(drop),
        (Check::Size, _) => check_size(value, name, "'integer', 'string'"),
        // Of a new volume. The schema would accept it, but a real Cinder answered 400.
        (Check::SizeOrNull, Value::String(string)) if size(value).is_some() && string.starts_with('0') => {
            Err(failure(field, value, &format!("{} begins with a zero", repr(value))))
        }
        (Check::SizeOrNull, _) => check_size(value, name, "'integer', 'string', 'null'"),
    }
}

/// Checks a size in the order of Cinder's schema: the type, the pattern of a string, the minimum, the maximum.
fn check_size(value: &Value, name: &str, types: &str) -> Result<(), Fault> {
    let number = match value {
        Value::Number(number) if !number.is_f64() => number.to_string(),
        Value::String(string) => {
            let Some(digits) = digits(string) else {
                return Err(failure(Some(name), value, &format!("{} does not match '^[0-9]+$'", repr(value))));
            };
            match digits.trim_start_matches('0') {
                "" => "0".to_owned(),
                number => number.to_owned(),
            }
        }
        _ => return Err(wrong_type(Some(name), value, types)),
    };
    let limit = match size(value) {
        Some(_) => return Ok(()),
        None if number == "0" || number.starts_with('-') => "less than the minimum of 1".to_owned(),
        None => format!("greater than the maximum of {LARGEST_SIZE}"),
    };
    Err(failure(Some(name), value, &format!("{number} is {limit}")))
}

/// Returns the digits of a string that has nothing else, except for a newline at its end, before which Python's `$`
/// matches.
fn digits(string: &str) -> Option<&str> {
    let digits = string.strip_suffix('\n').unwrap_or(string);
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(digits)
}

/// Reads a value that passed [`Check::Size`] or [`Check::SizeOrNull`].
#[must_use]
pub fn size(value: &Value) -> Option<u32> {
    let size = match value {
        Value::Number(number) => i128::from(number.as_i64()?),
        Value::String(string) => python::integer(digits(string)?)?,
        _ => return None,
    };
    u32::try_from(size).ok().filter(|size| (1..=LARGEST_SIZE).contains(size))
}

/// Reads the progress of a report, and returns it as it was written: digits as Python's `int` reads them, and a percent
/// sign. No value, and a value that is false in Python, report no progress.
///
/// # Errors
///
/// Any other value, with Cinder's message.
pub fn progress(value: Option<&Value>) -> Result<Option<&str>, Fault> {
    let refused = |detail: &str| {
        Fault::bad_request(format!("Invalid input received: progress must be an integer percentage{detail}"))
    };
    let progress = match value {
        None | Some(Value::Null | Value::Bool(false)) => return Ok(None),
        Some(Value::Array(items)) if items.is_empty() => return Ok(None),
        Some(Value::Object(items)) if items.is_empty() => return Ok(None),
        Some(Value::Number(number)) if number.as_f64() == Some(0.0) => return Ok(None),
        Some(Value::String(string)) if string.is_empty() => return Ok(None),
        Some(Value::String(string)) => string,
        Some(Value::Array(_) | Value::Object(_)) => return Err(refused("")),
        Some(Value::Bool(_)) => return Err(Fault::bad_request("'bool' object is not subscriptable")),
        Some(Value::Number(number)) => {
            let kind = if number.is_f64() { "float" } else { "int" };
            return Err(Fault::bad_request(format!("'{kind}' object is not subscriptable")));
        }
    };
    let last = progress.chars().next_back().map_or(0, char::len_utf8);
    let percent = python::integer(&progress[..progress.len() - last]).ok_or_else(|| refused(""))?;
    if !(0..=100).contains(&percent) || !progress.ends_with('%') {
        return Err(refused(" between 0 and 100"));
    }
    Ok(Some(progress))
}

fn check_base64(value: &Value, field: Option<&str>) -> Result<(), Fault> {
    let Value::String(content) = value else { return Err(wrong_type(field, value, "'string'")) };
    if content.is_empty() {
        return Err(failure(field, value, "'' should be non-empty"));
    }
    match python::base64::decode(content) {
        Some(_) => Ok(()),
        None => Err(failure(field, value, &format!("{} is not a 'base64'", repr(value)))),
    }
}

fn check_length(content: &str, value: &Value, name: &str) -> Result<(), Fault> {
    if content.chars().count() <= LONGEST {
        return Ok(());
    }
    Err(failure(Some(name), value, &format!("{} is too long", repr(value))))
}

/// Checks a body that is an object of exactly one extra spec.
///
/// # Errors
///
/// The first failure, as a 400.
pub fn check_one_spec(body: Option<&Value>) -> Result<(), Fault> {
    let body = body.unwrap_or(&Value::Null);
    let Value::Object(items) = body else { return Err(wrong_type(None, body, "'object'")) };
    check_metadata(items, body, None, ItemSchema::OF_PATH)?;
    check_is_one(items, body, None)
}

fn check_is_one(items: &Map<String, Value>, value: &Value, field: Option<&str>) -> Result<(), Fault> {
    let detail = match items.len() {
        1 => return Ok(()),
        0 => "should be non-empty",
        _ => "has too many properties",
    };
    Err(failure(field, value, &format!("{} {detail}", repr(value))))
}

/// What the keys and values of an object may be.
#[derive(Clone, Copy)]
struct ItemSchema {
    /// The end of the pattern of keys: the allowed characters besides letters, digits, and `-_:`.
    others: &'static str,
    /// Whether a value may be null.
    nullable: bool,
    /// The longest value, in code points.
    longest: usize,
}

impl ItemSchema {
    const WITH_SLASH: Self = Self { others: ". /", nullable: false, longest: LONGEST };
    const WITH_SPACE: Self = Self { others: ". ", nullable: false, longest: LONGEST };
    const OF_PATH: Self = Self { others: ".", nullable: true, longest: LONGEST };
}

/// Checks keys by a pattern, and that the values of matching keys are strings. One newline at the end of a key is
/// allowed, because Python's `$` matches before it.
fn check_metadata(
    items: &Map<String, Value>,
    metadata: &Value,
    field: Option<&str>,
    schema: ItemSchema,
) -> Result<(), Fault> {
    let ItemSchema { others, nullable, longest } = schema;
    let allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-_:".contains(&byte) || others.as_bytes().contains(&byte);
    let mut refused = Vec::new();
    for (key, value) in items {
        let body = key.strip_suffix('\n').unwrap_or(key);
        if body.is_empty() || body.len() > LONGEST || !body.bytes().all(allowed) {
            refused.push(repr_of_string(key));
            continue;
        }
        match value {
            Value::String(content) if content.chars().count() > longest => {
                return Err(failure(Some(key), value, &format!("{} is too long", repr(value))));
            }
            Value::String(_) => {}
            Value::Null if nullable => {}
            _ if nullable => return Err(wrong_type(Some(key), value, "'string', 'null'")),
            _ => return Err(wrong_type(Some(key), value, "'string'")),
        }
    }
    if refused.is_empty() {
        return Ok(());
    }
    let verb = if refused.len() == 1 { "does" } else { "do" };
    let detail =
        format!("{} {verb} not match any of the regexes: '^[a-zA-Z0-9-_:{others}]{{1,255}}$'", refused.join(", "));
    Err(failure(field, metadata, &detail))
}

/// Checks a list of at least one string, all different.
fn check_unique_strings(items: &[Value], list: &Value, name: &str) -> Result<(), Fault> {
    let fails = |detail: &str| Err(failure(Some(name), list, &format!("{} {detail}", repr(list))));
    if items.is_empty() {
        return fails("should be non-empty");
    }
    for (at, item) in items.iter().enumerate() {
        match item {
            Value::String(content) => check_length(content, item, &at.to_string())?,
            _ => return Err(wrong_type(Some(&at.to_string()), item, "'string'")),
        }
        if items[..at].contains(item) {
            return fails("has non-unique elements");
        }
    }
    Ok(())
}

/// Whether all values of a list are different UUIDs.
fn are_uuids(items: &[Value]) -> bool {
    let is_new = |at: usize| !items[..at].contains(&items[at]);
    let is_uuid = |item: &Value| item.as_str().is_some_and(is_uuid_like);
    items.iter().enumerate().all(|(at, item)| is_uuid(item) && is_new(at))
}

/// Whether oslo accepts a string as a UUID: any form that leaves 32 hexadecimal digits.
fn is_uuid_like(string: &str) -> bool {
    let bare = string.replace("urn:", "").replace("uuid:", "");
    let digits = bare.trim_matches(['{', '}']).replace('-', "");
    digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether Cinder's pattern for descriptions matches. One newline at the end is allowed.
fn is_printable(content: &str) -> bool {
    content.strip_suffix('\n').unwrap_or(content).chars().all(unicode::is_printable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_taken_in_every_spelling() {
        for string in [
            "aaaaaaaa-0000-4000-8000-000000000001",
            "AAAAAAAA00004000800000000000000F",
            "{aaaaaaaa-0000-4000-8000-000000000001}",
            "urn:uuid:aaaaaaaa-0000-4000-8000-000000000001",
        ] {
            assert!(is_uuid_like(string), "{string}");
        }
        for string in ["", "abc", "gaaaaaaa-0000-4000-8000-000000000001", "aaaaaaaa-0000-4000-8000-0000000000011"] {
            assert!(!is_uuid_like(string), "{string}");
        }
    }

    #[test]
    fn a_description_is_printable_and_of_the_basic_plane() {
        for string in ["", "Überblick 漢字", "a b", "a\u{a0}b", "trailing\n"] {
            assert!(is_printable(string), "{string:?}");
        }
        for string in ["a\nb", "a\tb", "\r", "\u{1f600}", "\u{ffff}", "\u{200b}", "\u{2028}", "\u{e000}", "a\n\n"] {
            assert!(!is_printable(string), "{string:?}");
        }
    }

    #[test]
    fn progress_is_what_python_takes_for_a_percentage() {
        for string in ["0%", "100%", "+5%", " 5%", "\u{663}%"] {
            assert_eq!(progress(Some(&Value::from(string))), Ok(Some(string)), "{string}");
        }
        assert_eq!(progress(Some(&Value::Null)), Ok(None));
        assert_eq!(progress(Some(&Value::from(""))), Ok(None));
        for string in ["abc", "50", "101%", "-1%", "%", "5", "é", "५"] {
            assert!(progress(Some(&Value::from(string))).is_err(), "{string}");
        }
        assert!(progress(Some(&Value::from(5))).is_err());
        assert_eq!(progress(Some(&Value::from(0))), Ok(None));
    }
}
