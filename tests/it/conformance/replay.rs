//! Sends vectors and compares the answers, header by header and row by row.

use std::fmt::Write as _;
use std::io::Write as _;

use http::{HeaderMap, Request, Response};
use serde_json::{Map, Value, json};

use crate::support::{ClockedService, Service, json, operator, text};

/// The recorded answers for snapshots, volumes, quotas, and limits.
pub const SNAPSHOTS: &str = include_str!("test-vectors.json");

/// The recorded answers for the resources around snapshots.
pub const NEIGHBOURS: &str = include_str!("neighbour-vectors.json");

const PROJECT: &str = "a1000000000000000000000000000001";

/// Returns the vectors of a file.
pub fn vectors(file: &str) -> Vec<Value> {
    let mut document: Value = serde_json::from_str(file).expect("the vectors are JSON");
    match document["vectors"].take() {
        Value::Array(vectors) => vectors,
        other => panic!("vectors are a list, not {other}"),
    }
}

/// The result of a replay.
pub struct Report {
    /// The number of vectors sent.
    pub total: usize,
    /// The vectors that differ, each with the first difference.
    pub failures: Vec<(String, String)>,
}

impl Report {
    /// Prints the number of vectors that agree, and each that does not.
    pub fn print(&self, name: &str) {
        for (id, difference) in &self.failures {
            println!("{id}: {difference}");
        }
        // This bypasses the capture of the test runner, which only shows the output of failed tests.
        let _ = writeln!(std::io::stderr(), "{name}: {} of {} recorded answers agree", self.agreeing(), self.total);
    }

    /// Returns the number of vectors that agree.
    pub fn agreeing(&self) -> usize {
        self.total - self.failures.len()
    }
}

/// Replays vectors, each on its own service.
pub fn run<S: ClockedService>(vectors: &[Value], mut service: impl FnMut() -> S) -> Report {
    let mut failures = Vec::new();
    for vector in vectors {
        if let Err(difference) = replay(vector, &service()) {
            failures.push((vector["id"].as_str().unwrap_or("?").to_owned(), difference));
        }
    }
    Report { total: vectors.len(), failures }
}

fn replay(vector: &Value, service: &impl ClockedService) -> Result<(), String> {
    let state = operator("PUT", "/_ops/state", vector["setup"].to_string().as_bytes());
    let stored = service.send(state);
    if !stored.status().is_success() {
        return Err(format!("setup: {} {}", stored.status(), text(&stored)));
    }
    let mut ids = Vec::new();
    for first in vector.get("first").and_then(Value::as_array).into_iter().flatten() {
        let answer = service.send(first_request(first, &ids));
        if !answer.status().is_success() {
            return Err(format!("{}: {} {}", first["request"], answer.status(), text(&answer)));
        }
        let made = json(&answer);
        let id = made.as_object().and_then(|made| made.values().next()).map(|made| made["id"].clone());
        ids.push(id.and_then(|id| id.as_str().map(str::to_owned)).unwrap_or_default());
        settle(service);
    }
    let answer = service.send(request(vector));
    let expected = &vector["expect"];
    match vector.get("recommended") {
        Some(recommended) => compare_recommended(recommended, expected, &answer)?,
        None => compare(expected, &answer)?,
    }
    let is_success = |answer: &Value| answer["status"].as_u64().is_some_and(|status| status < 300);
    if vector.get("recommended").is_some_and(|recommended| is_success(recommended) != is_success(expected)) {
        // The rows are those after the answer of Cinder.
        return Ok(());
    }
    compare_rows(expected, service)?;
    if let Some(after) = expected.get("after") {
        compare_lists("after", after, &service.state())?;
    }
    if expected.get("settled").is_some() || expected.get("settled_quota_usage").is_some() {
        settle(service);
        let state = service.state();
        compare_lists("settled", &expected["settled"], &state)?;
        if let Some(usage) = expected.get("settled_quota_usage") {
            compare_value("settled quota usage", usage, &state["quota_usage"][PROJECT])?;
        }
    }
    Ok(())
}

/// Lets all work end that is under way. A failure must last for some seconds before its message is left.
fn settle(service: &impl ClockedService) {
    for seconds in [60.0, 6.0] {
        service.advance(seconds);
        let tick = service.send(operator("POST", "/_ops/tick", b""));
        assert!(tick.status().is_success(), "{}: {}", tick.status(), text(&tick));
    }
}

/// Returns a request that a vector sends before its own: `"POST /snapshots"` with a body, a role, and a microversion.
fn first_request(first: &Value, ids: &[String]) -> Request<Vec<u8>> {
    let (method, path) = first["request"].as_str().and_then(|request| request.split_once(' ')).expect("a request");
    let mut path = format!("/v3/{PROJECT}{path}");
    for (number, id) in ids.iter().enumerate() {
        path = path.replace(&format!("{{{number}}}"), id);
    }
    let version = first["microversion"].as_str().map(|version| format!("volume {version}"));
    let headers = json!({ "OpenStack-API-Version": version });
    request(&json!({
        "role": first["role"],
        "request": { "method": method, "path": path, "headers": headers, "body": first["body"] },
    }))
}

fn request(vector: &Value) -> Request<Vec<u8>> {
    let recorded = &vector["request"];
    let path = recorded["path"].as_str().expect("a path");
    let mut request = Request::builder()
        .method(recorded["method"].as_str().expect("a method"))
        .uri(format!("http://cinder.example.com:8776{}", encoded(path)))
        .header("host", "cinder.example.com:8776");
    let role = vector["role"].as_str().expect("a role");
    if role != "none" {
        let (user, project) = if role.starts_with("foreign_") {
            ("d2000000000000000000000000000002", "b2000000000000000000000000000002")
        } else {
            ("c1000000000000000000000000000001", PROJECT)
        };
        let roles = match role.trim_start_matches("foreign_") {
            "admin" | "unscoped_admin" => "admin,member,reader",
            "member" | "unscoped" => "member,reader",
            "reader" => "reader",
            _ => "",
        };
        request = request.header("x-identity-status", "Confirmed").header("x-user-id", user).header("x-roles", roles);
        if !role.starts_with("unscoped") {
            request = request.header("x-project-id", project);
        }
    }
    let body = if let Some(body) = recorded.get("body") {
        body.to_string().into_bytes()
    } else if let Some(raw) = recorded.get("raw_body") {
        raw.as_str().expect("a string").as_bytes().to_vec()
    } else if let Some(build) = recorded.get("raw_body_build") {
        let part = |name: &str| build[name].as_str().expect("a string");
        let count = usize::try_from(build["count"].as_u64().expect("a count")).expect("small");
        format!("{}{}{}", part("head"), part("repeat").repeat(count), part("tail")).into_bytes()
    } else {
        Vec::new()
    };
    let headers = recorded["headers"].as_object().expect("headers");
    let names_type = headers.keys().any(|name| name.eq_ignore_ascii_case("content-type"));
    if !body.is_empty() && !names_type {
        request = request.header("content-type", "application/json");
    }
    for (name, value) in headers {
        if let Some(value) = value.as_str() {
            request = request.header(name, value);
        }
    }
    request.body(body).expect("a request")
}

/// Encodes the characters of a path that vectors leave bare and clients encode.
fn encoded(path: &str) -> String {
    let mut encoded = String::new();
    for byte in path.bytes() {
        match byte {
            b'!'..=b'~' if !b"\"<>\\^`{|}".contains(&byte) => encoded.push(char::from(byte)),
            // Writing to a `String` cannot fail.
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

/// Compares an answer with the one that the specification recommends instead of a defect of Cinder.
fn compare_recommended(recommended: &Value, expected: &Value, answer: &Response<Vec<u8>>) -> Result<(), String> {
    compare_value("status", &recommended["status"], &json!(answer.status().as_u16()))?;
    if let Some(left_out) = recommended.get("leave_out").and_then(Value::as_array) {
        // Lists are limited to the rows that the caller may see.
        let expected = without_rows(&expected["body"], left_out);
        compare_value("body", &expected, &json(answer))?;
    } else if let Some(key) = recommended.get("fault_key").and_then(Value::as_str) {
        let fault = json(answer);
        if fault.get(key).is_none() {
            return Err(format!("fault key: expected {key}, got {fault}"));
        }
        if let Some(message) = recommended.get("message") {
            compare_value("message", message, &fault[key]["message"])?;
        }
    } else if recommended["status"] == expected["status"] && expected.get("body").is_none() {
        compare(expected, answer)?;
    }
    Ok(())
}

/// Returns a document without the rows of its lists that have one of these ids.
fn without_rows(document: &Value, ids: &[Value]) -> Value {
    let mut document = document.clone();
    for list in document.as_object_mut().into_iter().flat_map(|document| document.values_mut()) {
        if let Some(rows) = list.as_array_mut() {
            rows.retain(|row| !ids.contains(&row["id"]));
        }
    }
    document
}

fn compare(expected: &Value, answer: &Response<Vec<u8>>) -> Result<(), String> {
    let shown = || text(answer).chars().take(600).collect::<String>();
    compare_value("status", &expected["status"], &json!(answer.status().as_u16()))
        .map_err(|difference| format!("{difference}; {}", shown()))?;
    if let Some(body) = expected.get("body") {
        compare_value("body", body, &json(answer))?;
    }
    if let Some(part) = expected.get("body_contains") {
        contains("body", part, &json(answer))?;
    }
    if expected.get("body_empty").is_some() && !answer.body().is_empty() {
        return Err(format!("body: expected nothing, got {}", shown()));
    }
    if let Some(body) = expected.get("body_text").and_then(Value::as_str)
        && text(answer).trim() != body.trim()
    {
        return Err(format!("body: expected {body:?}, got {}", shown()));
    }
    if let Some(key) = expected.get("fault_key").and_then(Value::as_str) {
        let document = json(answer);
        let fault = document.get(key).ok_or_else(|| format!("fault key: expected {key}, got {}", shown()))?;
        compare_value("code", &expected["status"], &fault["code"])?;
        let message = fault["message"].as_str().unwrap_or_default();
        let informative = expected.get("schema_text").is_some();
        if let Some(text) = expected.get("message").and_then(Value::as_str)
            && !informative
            && message != text
        {
            return Err(format!("message: expected {text:?}, got {message:?}"));
        }
        if let Some(prefix) = expected.get("message_prefix").and_then(Value::as_str)
            && !informative
            && !message.starts_with(prefix)
        {
            return Err(format!("message: expected {prefix:?}..., got {message:?}"));
        }
        for (name, value) in expected.get("fault_extra").and_then(Value::as_object).into_iter().flatten() {
            compare_value(name, value, &fault[name])?;
        }
    }
    compare_headers(expected, answer.headers())
}

fn compare_headers(expected: &Value, headers: &HeaderMap) -> Result<(), String> {
    let own = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let wanted = expected["headers"].as_object().cloned().unwrap_or_default();
    for (name, value) in &wanted {
        // The URL of Keystone is in a variable that the vectors do not set.
        let value = value.as_str().unwrap_or_default().replace("<www_authenticate_uri>", "");
        if own(name) != Some(&value) {
            return Err(format!("header {name}: expected {value:?}, got {:?}", own(name)));
        }
    }
    for name in ["OpenStack-API-Version", "Vary", "Retry-After"] {
        if !wanted.contains_key(name) && headers.contains_key(name) {
            return Err(format!("header {name}: expected none, got {:?}", own(name)));
        }
    }
    let ids: Vec<&str> =
        expected["request_id_headers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for name in ["x-openstack-request-id", "x-compute-request-id"] {
        if ids.contains(&name) != headers.contains_key(name) {
            return Err(format!("header {name}: expected {}, got {:?}", ids.contains(&name), own(name)));
        }
    }
    match own("x-openstack-request-id").and_then(|id| id.strip_prefix("req-")) {
        Some(id) if is_uuid(id) => Ok(()),
        _ => Err(format!("header x-openstack-request-id: got {:?}", own("x-openstack-request-id"))),
    }
}

/// Compares the stored rows with those of Cinder after the call.
fn compare_rows(expected: &Value, service: &impl Service) -> Result<(), String> {
    let wants = |name: &str| expected.get(name).filter(|wanted| !wanted.is_null());
    if ["after_snapshots", "after_volumes", "after_quota_usage"].iter().all(|name| wants(name).is_none()) {
        return Ok(());
    }
    let state = service.state();
    if let Some(Value::Array(rows)) = wants("after_snapshots") {
        compare_list("row", rows, &state["snapshots"])?;
    }
    let statuses = wants("after_volumes").and_then(Value::as_object);
    for (id, status) in statuses.into_iter().flatten() {
        let volumes = state["volumes"].as_array().into_iter().flatten();
        // An id that the call made is a placeholder, which stands for none of the other ids.
        let is_meant = |volume: &&Value| {
            let own = volume["id"].as_str().unwrap_or_default();
            let is_other = own != id && statuses.is_some_and(|statuses| statuses.contains_key(own));
            matches_string(id, own) && !is_other
        };
        let own = volumes.clone().find(is_meant).map(|volume| volume["status"].clone());
        compare_value(&format!("volume {id}"), status, &own.unwrap_or_default())?;
    }
    if let Some(usage) = wants("after_quota_usage") {
        compare_value("quota usage", usage, &state["quota_usage"][PROJECT])?;
    }
    Ok(())
}

/// Compares the rows of several resources with those in the state.
fn compare_lists(name: &str, lists: &Value, state: &Value) -> Result<(), String> {
    lists.as_object().into_iter().flatten().try_for_each(|(resource, rows)| {
        compare_list(&format!("{name} {resource}"), rows.as_array().map_or(&[], Vec::as_slice), &state[resource])
    })
}

/// Compares the rows of a resource with those in the state. A member that a row of the state leaves out is empty.
fn compare_list(name: &str, rows: &[Value], own: &Value) -> Result<(), String> {
    let mut rows = rows.to_vec();
    let mut own: Vec<Value> = own.as_array().cloned().unwrap_or_default();
    // Rows with ids of the setup come after those with new ids.
    let set_up: Vec<Value> = rows.iter().map(|row| row["id"].clone()).collect();
    for list in [&mut rows, &mut own] {
        list.sort_by_key(|row| {
            let is_new = row["id"] == "$uuid" || !set_up.contains(&row["id"]);
            (!is_new, row["id"].to_string())
        });
    }
    if rows.len() != own.len() {
        return Err(format!("{name}: expected {} rows, got {}", rows.len(), own.len()));
    }
    for (row, own) in rows.iter().zip(&own) {
        for (member, value) in row.as_object().into_iter().flatten() {
            let actual = match own.get(member) {
                _ if member == "updated_at_set" => json!(!own["updated_at"].is_null()),
                Some(actual) => actual.clone(),
                None if *value == json!({}) => json!({}),
                None => Value::Null,
            };
            compare_value(&format!("{name} {member}"), value, &actual)?;
        }
    }
    Ok(())
}

/// Compares two values. The expected one may have the placeholders of the vectors.
fn compare_value(name: &str, expected: &Value, actual: &Value) -> Result<(), String> {
    let differs = || Err(format!("{name}: expected {expected}, got {actual}"));
    match (expected, actual) {
        (Value::String(expected), Value::String(actual)) if matches_string(expected, actual) => Ok(()),
        (Value::Array(one), Value::Array(two)) if one.len() == two.len() => {
            one.iter().zip(two).try_for_each(|(one, two)| compare_value(name, one, two))
        }
        (Value::Object(one), Value::Object(two)) => {
            if one.keys().collect::<Vec<_>>() != two.keys().collect::<Vec<_>>() {
                return Err(format!("{name}: expected the keys {:?}, got {:?}", keys(one), keys(two)));
            }
            one.iter().try_for_each(|(key, value)| compare_value(&format!("{name}.{key}"), value, &two[key]))
        }
        _ if expected == actual => Ok(()),
        _ => differs(),
    }
}

fn keys(object: &Map<String, Value>) -> Vec<&String> {
    object.keys().collect()
}

/// Checks that the expected members exist. Others may exist too.
fn contains(name: &str, expected: &Value, actual: &Value) -> Result<(), String> {
    match (expected, actual) {
        // The list of extensions is given by its aliases.
        (Value::Object(one), Value::Object(two)) if one.contains_key("extensions_aliases") => {
            let own: Vec<&Value> =
                two["extensions"].as_array().into_iter().flatten().map(|own| &own["alias"]).collect();
            let mut wanted = one["extensions_aliases"].as_array().into_iter().flatten();
            match wanted.find(|alias| !own.contains(alias)) {
                Some(missing) => Err(format!("{name}: no extension {missing}")),
                None => Ok(()),
            }
        }
        (Value::Object(one), Value::Object(two)) => one.iter().try_for_each(|(key, value)| {
            let own = two.get(key).ok_or_else(|| format!("{name}.{key}: missing"))?;
            contains(&format!("{name}.{key}"), value, own)
        }),
        (Value::Array(one), Value::Array(two)) if one.len() == two.len() => {
            one.iter().zip(two).try_for_each(|(one, two)| contains(name, one, two))
        }
        _ => compare_value(name, expected, actual),
    }
}

/// Whether a string matches a string with placeholders.
fn matches_string(expected: &str, actual: &str) -> bool {
    match expected {
        "$now" | "$later" => {
            actual.len() == 26 && actual.is_ascii() && !actual.ends_with('Z') && actual.as_bytes()[10] == b'T'
        }
        _ => match expected.split_once("$uuid") {
            Some((before, after)) => {
                actual.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)).is_some_and(is_uuid)
            }
            None => expected == actual,
        },
    }
}

fn is_uuid(string: &str) -> bool {
    string.len() == 36
        && string.char_indices().all(|(at, character)| match at {
            8 | 13 | 18 | 23 => character == '-',
            _ => character.is_ascii_digit() || ('a'..='f').contains(&character),
        })
}
