//! A table of bad requests, each with its expected answer.

use http::{HeaderValue, Request};
use serde_json::json;

use super::{SNAPSHOT, VOLUME, malformed, scene};
use crate::support::Service;
use crate::support::calls::{Answer, Calls};
use crate::support::component::ComponentService;

/// Cinder's general messages.
const UNDECODABLE: &str = "Error decoding your request. Either the URL or the request body contained characters that \
                           could not be decoded by Cinder.";

const BAD_REQUEST: &str =
    "The server could not comply with the request since it is either malformed or otherwise incorrect.";
const MALFORMED: &str = "Malformed request body";
const NOT_FOUND: &str = "The resource could not be found.";
/// The largest body that is read.
const LARGEST_BODY: usize = 114_688;

/// An expected answer.
#[derive(Clone)]
enum Expected {
    /// A fault with this status and key, and with this message if it is fixed.
    Fault(u16, &'static str, Option<String>),
    /// The 404 for an unknown path. It is plain text, because JSON was not asked for.
    Unrouted,
    /// No fault: the request looks odd but is allowed.
    Status(u16),
}

struct Case {
    name: String,
    request: Request<Vec<u8>>,
    expected: Expected,
}

/// The table while it is built.
#[derive(Default)]
struct Table(Vec<Case>);

impl Table {
    fn add(&mut self, name: impl Into<String>, request: Request<Vec<u8>>, expected: Expected) {
        self.0.push(Case { name: name.into(), request, expected });
    }
}

/// Returns a fault with a fixed message.
fn fault(status: u16, key: &'static str, message: impl Into<String>) -> Expected {
    Expected::Fault(status, key, Some(message.into()))
}

/// Returns a 400 whose message is not fixed.
fn bad_request() -> Expected {
    Expected::Fault(400, "badRequest", None)
}

fn not_found(id: &str) -> Expected {
    fault(404, "itemNotFound", format!("Snapshot {id} could not be found."))
}

fn with_headers(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Request<Vec<u8>> {
    let mut request = Request::builder().method(method).uri(path).header("x-auth-token", "demo:a1");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.to_vec()).unwrap_or_else(|error| panic!("{method} {path:?}: {error}"))
}

fn get(path: &str) -> Request<Vec<u8>> {
    with_headers("GET", path, &[], b"")
}

/// Returns a GET at 3.71, the version that knows every filter and parameter.
fn get_latest(path: &str) -> Request<Vec<u8>> {
    with_headers("GET", path, &[("openstack-api-version", "volume latest")], b"")
}

fn json_body(method: &str, path: &str, body: &[u8]) -> Request<Vec<u8>> {
    with_headers(method, path, &[("content-type", "application/json")], body)
}

fn create(body: &[u8]) -> Request<Vec<u8>> {
    json_body("POST", "/v3/a1/snapshots", body)
}

/// Returns each operation that takes a body, with a body that it accepts.
fn operations_with_bodies() -> [(&'static str, String, String); 8] {
    let path = |rest: &str| format!("/v3/a1/snapshots/{SNAPSHOT}{rest}");
    [
        ("POST", "/v3/a1/snapshots".to_owned(), json!({ "snapshot": { "volume_id": VOLUME } }).to_string()),
        ("PUT", path(""), json!({ "snapshot": { "name": "new" } }).to_string()),
        ("POST", path("/metadata"), json!({ "metadata": { "key": "value" } }).to_string()),
        ("PUT", path("/metadata"), json!({ "metadata": { "key": "value" } }).to_string()),
        ("PUT", path("/metadata/key"), json!({ "meta": { "key": "value" } }).to_string()),
        ("POST", path("/action"), json!({ "os-reset_status": { "status": "available" } }).to_string()),
        ("POST", "/v3/a1/volumes".to_owned(), json!({ "volume": { "size": 1 } }).to_string()),
        ("PUT", format!("/v3/a1/volumes/{VOLUME}"), json!({ "volume": { "name": "new" } }).to_string()),
    ]
}

/// Returns bodies that are not JSON, or not a JSON object.
fn bodies_that_are_no_json() -> Vec<(&'static str, Vec<u8>)> {
    let nested = |open: &str, close: &str| format!("{}{}", open.repeat(100_000 / open.len()), close).into_bytes();
    vec![
        ("cut short", b"{\"snapshot\": {".to_vec()),
        ("a word", b"snapshot".to_vec()),
        ("two documents", b"{} {}".to_vec()),
        ("a trailing comma", b"{\"snapshot\": {},}".to_vec()),
        ("single quotes", b"{'snapshot': {}}".to_vec()),
        ("not UTF-8", b"{\"snapshot\": {\"name\": \"\xff\xfe\"}}".to_vec()),
        ("a byte-order mark", b"\xef\xbb\xbf{}".to_vec()),
        ("UTF-16", "{}".encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("a null byte", b"{\"snapshot\": \0}".to_vec()),
        ("only white space", b" \n\t ".to_vec()),
        ("100,000 brackets", nested("[", "")),
        ("50,000 nested objects", nested("{\"a\":", "1")[..100_000].to_vec()),
        ("a lone high surrogate", b"{\"snapshot\": {\"name\": \"\\ud800\"}}".to_vec()),
        ("a lone low surrogate", b"{\"snapshot\": {\"name\": \"\\udc00x\"}}".to_vec()),
        ("a number beyond all floats", b"{\"snapshot\": 1e400}".to_vec()),
        ("a control character in a string", b"{\"snapshot\": {\"name\": \"a\nb\"}}".to_vec()),
    ]
}

fn bodies(table: &mut Table) {
    for (method, path, good) in operations_with_bodies() {
        for (name, body) in bodies_that_are_no_json() {
            table.add(
                format!("{method} {path} with {name}"),
                json_body(method, &path, &body),
                fault(400, "badRequest", MALFORMED),
            );
        }
        // Cinder answers 500 if the body is missing. The specification recommends 400.
        let request = json_body(method, &path, b"");
        table.add(format!("{method} {path} with an empty body"), request, bad_request());
        let request = with_headers(method, &path, &[], good.as_bytes());
        table.add(format!("{method} {path} with a body without a type"), request, bad_request());
        for media_type in [
            "text/plain",
            "application/xml",
            "multipart/form-data; boundary=x",
            "application/jsonp",
            "Application/JSON",
            "",
        ] {
            table.add(
                format!("{method} {path} as {media_type}"),
                with_headers(method, &path, &[("content-type", media_type)], good.as_bytes()),
                fault(415, "badMediaType", "Unsupported Content-Type"),
            );
        }
        let typed = [("content-type", "application/json; charset=latin-1")];
        let status = match (method, path.as_str()) {
            ("POST", path) if path.ends_with("/metadata") => 200,
            ("POST", _) => 202,
            _ => 200,
        };
        let request = with_headers(method, &path, &typed, good.as_bytes());
        table.add(format!("{method} {path} with parameters of the type"), request, Expected::Status(status));

        let mut largest = good.clone().into_bytes();
        largest.resize(LARGEST_BODY, b' ');
        let request = json_body(method, &path, &largest);
        table.add(format!("{method} {path} with the largest body"), request, Expected::Status(status));
        largest.push(b' ');
        let too_large = fault(413, "overLimit", "Request is too large. Larger than max_request_body_size (114688).");
        table.add(format!("{method} {path} with a byte more"), json_body(method, &path, &largest), too_large);
        for (name, body) in [("null", "null"), ("a list", "[]"), ("a number", "1"), ("nothing in it", "{}")] {
            // Cinder reads the keys of an action's body. A body that cannot have keys names no action, which is an
            // unknown method.
            let no_keys = path.ends_with("/action") && ["null", "a number"].contains(&name);
            let expected =
                if no_keys { fault(404, "itemNotFound", "The resource could not be found.") } else { bad_request() };
            table.add(format!("{method} {path}: {name}"), json_body(method, &path, body.as_bytes()), expected);
        }
    }
    for (method, path) in [("GET", "/v3/a1/snapshots"), ("DELETE", "/v3/a1/snapshots/x")] {
        table.add(
            format!("{method} with a body"),
            json_body(method, path, b"{}"),
            fault(400, "badRequest", BAD_REQUEST),
        );
    }
    table.add(
        "a body of a megabyte on a path that leads nowhere",
        json_body("POST", "/nowhere", &vec![b' '; 1 << 20]),
        Expected::Fault(413, "overLimit", None),
    );
}

fn fields(table: &mut Table) {
    let volume_missing = "cccccccc-0000-4000-8000-000000000001";
    let upper_case = VOLUME.to_uppercase();
    let bare = VOLUME.replace('-', "");
    for volume in [volume_missing, &upper_case, &bare] {
        let body = json!({ "snapshot": { "volume_id": volume } }).to_string();
        let expected = fault(404, "itemNotFound", format!("Volume {volume} could not be found."));
        table.add(format!("a create on volume {volume}"), create(body.as_bytes()), expected);
    }
    let null = json!({ "snapshot": { "volume_id": null } }).to_string();
    let expected = fault(404, "itemNotFound", "Volume None could not be found.");
    table.add("a create on no volume", create(null.as_bytes()), expected);
    let of_snapshot = |rest: &str| format!("{{\"snapshot\": {{\"volume_id\": \"{VOLUME}\"{rest}}}}}");
    let cases: [(&str, &str, Expected); 15] = [
        (
            "a name that is a number",
            ", \"name\": 5",
            fault(
                400,
                "badRequest",
                "Invalid input for field/attribute name. Value: 5. 5 is not of type 'string', 'null'",
            ),
        ),
        ("a name of 256 characters", ", \"name\": \"LONG\"", bad_request()),
        ("NaN", ", \"name\": NaN", bad_request()),
        ("Infinity", ", \"force\": -Infinity", bad_request()),
        ("a huge number", ", \"name\": 123456789012345678901234567890", bad_request()),
        ("a huge float", ", \"force\": 1e308", bad_request()),
        ("an emoji in a description", ", \"description\": \"\\ud83d\\ude00\"", bad_request()),
        ("a null character in a description", ", \"description\": \"a\\u0000b\"", bad_request()),
        ("an unknown field", ", \"colour\": 1", bad_request()),
        ("force as a number", ", \"force\": 1", bad_request()),
        ("metadata as a list", ", \"metadata\": []", bad_request()),
        ("metadata with an empty key", ", \"metadata\": {\"\": \"\"}", bad_request()),
        ("metadata with null", ", \"metadata\": {\"a\": null}", bad_request()),
        ("duplicate keys, the last of which is good", ", \"name\": 5, \"name\": \"good\"", Expected::Status(202)),
        ("a null character in a name", ", \"name\": \"a\\u0000b\"", Expected::Status(202)),
    ];
    for (name, rest, expected) in cases {
        let body = of_snapshot(&rest.replace("LONG", &"n".repeat(256)));
        table.add(name, create(body.as_bytes()), expected);
    }
    for key in ["type", "__proto__", "snapshot\u{0}", "\u{202e}"] {
        let body = json!({ "snapshot": { "volume_id": VOLUME }, key: 1 }).to_string();
        table.add(format!("{key:?} beside the snapshot"), create(body.as_bytes()), bad_request());
    }
    for size in ["0", "-1", "1.5", "1e400", "99999999999999999999", "\"\"", "\"x\"", "[]", "true"] {
        let body = format!("{{\"volume\": {{\"size\": {size}}}}}");
        table.add(format!("a volume of size {size}"), json_body("POST", "/v3/volumes", body.as_bytes()), bad_request());
    }
    let action = format!("/v3/a1/snapshots/{SNAPSHOT}/action");
    let no_such = |name: &str| {
        let text = "Verify the request body and Content-Type header and try again.";
        fault(400, "badRequest", format!("There is no such action: {name}. {text}"))
    };
    let cases = [
        ("{\"os-nothing\": {}}", no_such("os-nothing")),
        ("{\"\": {}}", no_such("")),
        ("{\"os-reset_status\": {}, \"os-unmanage\": {}}", fault(400, "badRequest", MALFORMED)),
        ("{\"os-reset_status\": null}", bad_request()),
        ("{\"os-reset_status\": {\"status\": null}}", bad_request()),
        ("{\"os-reset_status\": {\"status\": \"\"}}", bad_request()),
        ("{\"os-update_snapshot_status\": {\"status\": \"creating\", \"progress\": \"١٢%\"}}", bad_request()),
        (
            "{\"os-update_snapshot_status\": {\"status\": \"available\"}}",
            fault(400, "badRequest", "Snapshot status available not allowed for update_snapshot_status"),
        ),
    ];
    for (body, expected) in cases {
        table.add(format!("the action {body}"), json_body("POST", &action, body.as_bytes()), expected);
    }
    let key = format!("/v3/a1/snapshots/{SNAPSHOT}/metadata/key");
    let mismatch = fault(400, "badRequest", "Request body and URI mismatch");
    table.add("another key than the path's", json_body("PUT", &key, b"{\"meta\": {\"other\": \"\"}}"), mismatch);
}

fn microversions(table: &mut Table) {
    let unsupported = |version: &str| {
        let text = format!("Version {version} is not supported by the API. Minimum is 3.0 and maximum is 3.71.");
        fault(406, "computeFault", text)
    };
    let invalid = |version: &str| {
        let text = format!("API Version String {version} is of invalid format. Must be of format MajorNum.MinorNum.");
        fault(400, "badRequest", text)
    };
    let generic = || fault(400, "badRequest", BAD_REQUEST);
    let cases: Vec<(String, Expected)> = vec![
        ("volume 3.72".to_owned(), unsupported("3.72")),
        ("volume 4.0".to_owned(), unsupported("4.0")),
        ("volume 2.0".to_owned(), unsupported("2.0")),
        ("volume 99999999999999999999.1".to_owned(), unsupported("99999999999999999999.1")),
        ("volume 3".to_owned(), invalid("3")),
        ("volume 3.071".to_owned(), invalid("3.071")),
        ("volume abc".to_owned(), invalid("abc")),
        ("volume LATEST".to_owned(), invalid("LATEST")),
        ("volume -3.1".to_owned(), invalid("-3.1")),
        ("volume 3.١".to_owned(), generic()),
        (format!("volume {}", "9".repeat(10_000)), invalid(&"9".repeat(10_000))),
        (String::new(), generic()),
        ("compute 2.90".to_owned(), generic()),
        ("Volume 3.65".to_owned(), generic()),
        ("volume".to_owned(), generic()),
        ("volume 3.0 3.1".to_owned(), generic()),
        (",,,".to_owned(), generic()),
        ("volume latest".to_owned(), Expected::Status(200)),
        ("compute 2.90, volume 3.65".to_owned(), Expected::Status(200)),
    ];
    for (header, expected) in cases {
        let mut request = get("/v3/a1/snapshots");
        // Bytes above ASCII are not a valid header, so the version counts as absent.
        let value = HeaderValue::from_bytes(header.as_bytes()).expect("a header");
        request.headers_mut().insert("openstack-api-version", value);
        let name = header.chars().take(40).collect::<String>();
        table.add(format!("the version {name:?}"), request, expected);
    }
}

fn paths(table: &mut Table) {
    let long = "x".repeat(60_000);
    let unrouted: Vec<String> = vec![
        "/v3/a1/snapshots/".to_owned(),
        "/v3/a1/snapshots//".to_owned(),
        "//_ops/state".to_owned(),
        "//healthcheck".to_owned(),
        "/v3/a1/snapshots/detail/".to_owned(),
        "/v3/a1/".to_owned(),
        "/v2/a1/snapshots".to_owned(),
        "/v3/demo/snapshots".to_owned(),
        "/v3/%61%31/snapshots/".to_owned(),
        "/v3/..".to_owned(),
        "/v3/a1/snapshots/../volumes".to_owned(),
        "/v3/a1/%2e%2e/snapshots".to_owned(),
        "/%".to_owned(),
        "/%zz/%f".to_owned(),
        "/%00".to_owned(),
        "/%ff%fe".to_owned(),
        "/v3%00/a1/snapshots".to_owned(),
        format!("/v3/a1/snapshots/{SNAPSHOT}/metadata/a%2Fb"),
        format!("/v3/a1/snapshots/{SNAPSHOT}/%e2%82"),
        format!("/{long}"),
        format!("/v3/a1/{}", "/".repeat(60_000)),
        "/_op".to_owned(),
        "/healthcheck/".to_owned(),
    ];
    for path in unrouted {
        let name = path.chars().take(60).collect::<String>();
        table.add(format!("the path {name}"), get(&path), Expected::Unrouted);
        // A client that asks for JSON gets a fault.
        let request = with_headers("GET", &path, &[("accept", "application/json")], b"");
        table.add(format!("the path {name} as JSON"), request, fault(404, "itemNotFound", NOT_FOUND));
    }
    for path in ["/v3/a1//snapshots", "//v3/a1/snapshots", "/v3/a1/%2fsnapshots", "/v3//a1///snapshots//detail?limit=1"]
    {
        table.add(format!("the path {path}"), get(path), Expected::Status(200));
    }
    // An id is looked up as it is, whatever its form.
    let upper = SNAPSHOT.to_uppercase();
    let ids = [
        ("nothing", "nothing"),
        (upper.as_str(), upper.as_str()),
        ("%00", "\0"),
        ("%zz", "%zz"),
        ("%", "%"),
        ("a%20b", "a b"),
        ("%0d%0aX-Evil:1", "\r\nX-Evil:1"),
        ("%ff", "\u{fffd}"),
        ("%ed%a0%80", "\u{fffd}\u{fffd}\u{fffd}"),
        ("%f0%9f%98%80", "\u{1f600}"),
        ("%22%3e%3cscript%3e", "\"><script>"),
        (long.as_str(), long.as_str()),
    ];
    for (written, read) in ids {
        let name = written.chars().take(40).collect::<String>();
        let path = format!("/v3/a1/snapshots/{written}");
        table.add(format!("a show of {name}"), get(&path), not_found(read));
        table.add(format!("a delete of {name}"), with_headers("DELETE", &path, &[], b""), not_found(read));
        table.add(format!("the metadata of {name}"), get(&format!("{path}/metadata")), not_found(read));
    }
    let key = format!("/v3/a1/snapshots/{SNAPSHOT}/metadata/%00%ff");
    let text = format!("Snapshot {SNAPSHOT} has no metadata with key \0\u{fffd}.");
    table.add("a key of odd bytes", get(&key), fault(404, "itemNotFound", text));
    table.add(
        "another project in the path",
        get("/v3/b2/snapshots"),
        fault(400, "badRequest", "Malformed request url"),
    );
}

fn methods(table: &mut Table) {
    let show = format!("/v3/a1/snapshots/{SNAPSHOT}");
    for path in ["/v3/a1/snapshots", &show, "/v3/", "/nowhere", "/healthcheck"] {
        for method in ["PATCH", "HEAD", "TRACE", "FOO", "get", "PROPFIND", "M-SEARCH"] {
            // The health check accepts every method.
            let expected = if path == "/healthcheck" { Expected::Status(200) } else { Expected::Unrouted };
            table.add(format!("{method} {path}"), with_headers(method, path, &[], b""), expected);
        }
        table.add(format!("OPTIONS {path}"), with_headers("OPTIONS", path, &[], b""), Expected::Status(200));
    }
}

fn queries(table: &mut Table) {
    let list = |query: &str| format!("/v3/a1/snapshots/detail?{query}");
    let text = |message: &'static str| fault(400, "badRequest", message);
    let sort_key = || text("Invalid input received: Invalid sort key");
    let cases: Vec<(&str, Expected)> = vec![
        ("limit=-1", text("limit param must be positive")),
        ("limit=x", text("limit param must be an integer")),
        ("limit=", text("limit param must be an integer")),
        ("limit=1.5", text("limit param must be an integer")),
        ("limit=%00", text("limit param must be an integer")),
        ("limit=0", Expected::Status(200)),
        ("limit=99999999999999999999999999999999999999999999", Expected::Status(200)),
        ("offset=-1", text("offset must be >= 0")),
        ("offset=x", text("offset must be an integer")),
        ("offset=2147483648", text("offset must be <= 2147483647")),
        ("offset=99999999999999999999999999999999999999999999", text("offset must be <= 2147483647")),
        ("offset=2147483647", Expected::Status(200)),
        ("marker=x", not_found("x")),
        ("marker=", not_found("")),
        ("marker=%ff", text(UNDECODABLE)),
        ("status=%e9", text(UNDECODABLE)),
        ("marker=cccccccc-0000-4000-8000-000000000001", not_found("cccccccc-0000-4000-8000-000000000001")),
        ("sort=nothing", sort_key()),
        ("sort=created_at:up", text("Invalid input received: Unknown sort direction, must be 'desc' or 'asc'.")),
        ("sort_key=%00", sort_key()),
        ("sort_key=metadata", sort_key()),
        ("sort_dir=up", text("Invalid input received: Unknown sort direction, must be 'desc' or 'asc'.")),
        ("sort=,,,", sort_key()),
        ("sort=:", sort_key()),
        (
            "sort=id&sort_key=id",
            text(
                "The 'sort_key' and 'sort_dir' parameters are deprecated and cannot be used with the 'sort' parameter.",
            ),
        ),
        ("with_count=perhaps", text("Value 'perhaps' for 'with_count' is not a boolean.")),
        ("consumes_quota=perhaps", bad_request()),
        ("%ff=1", text(UNDECODABLE)),
        ("metadata=", Expected::Status(200)),
        ("metadata={", Expected::Status(200)),
        ("metadata=%7B%27a%27%3A", Expected::Status(200)),
        ("metadata=__import__(%27os%27)", Expected::Status(200)),
        ("metadata=%00", Expected::Status(200)),
        ("status=%00", Expected::Status(200)),
        ("name~=%25%25%25%25", Expected::Status(200)),
        ("&&&===&=&", Expected::Status(200)),
        ("volume_id=x", Expected::Status(200)),
    ];
    for (query, expected) in cases {
        table.add(format!("?{query}"), get_latest(&list(query)), expected);
    }
    // A recursive parser must not follow nested brackets in a filter to their full depth.
    let deep = "%5B".repeat(20_000);
    let name_like = "%25_".repeat(10_000);
    table.add("20,000 brackets", get_latest(&list(&format!("metadata={deep}"))), Expected::Status(200));
    let too_long = "Invalid input received: the filter name~ is longer than 255 characters.";
    table.add("wildcards", get_latest(&list(&format!("name~={name_like}"))), fault(400, "badRequest", too_long));
    let many: Vec<String> = (0..5_000).map(|number| format!("f{number}=1")).collect();
    table.add("5,000 filters", get_latest(&list(&many.join("&"))), Expected::Status(200));
    for query in ["limit=x", "offset=-1", "sort_key=x"] {
        table.add(format!("volumes?{query}"), get(&format!("/v3/a1/volumes?{query}")), bad_request());
    }
}

fn headers(table: &mut Table) {
    let huge = "h".repeat(60_000);
    let with = |name: &str, value: &str| with_headers("GET", "/v3/a1/snapshots", &[(name, value)], b"");
    table.add("a huge header", with("x-huge", &huge), Expected::Status(200));
    let path = "/v3/a1/snapshots";
    let token = |token: &str| Request::get(path).header("x-auth-token", token).body(Vec::new()).expect("a request");
    for (name, odd) in [("a huge token", huge.as_str()), ("a token of colons", "::::"), ("a bare colon", ":")] {
        table.add(name, token(odd), Expected::Status(401));
    }
    let mut many = get(path);
    for number in 0..500 {
        many.headers_mut().append("x-many", HeaderValue::from(number));
    }
    table.add("500 headers", many, Expected::Status(200));
    for accept in ["", ";;;", "application/json;q=nan", "*/*;q=2", &huge] {
        let name = accept.chars().take(40).collect::<String>();
        table.add(format!("accept {name:?}"), with("accept", accept), Expected::Status(200));
    }
    let odd_host = with_headers("GET", "/v3/", &[("x-forwarded-host", ",,\"<>,")], b"");
    table.add("an odd forwarded host", odd_host, Expected::Status(200));
}

fn all() -> Table {
    let mut table = Table::default();
    bodies(&mut table);
    fields(&mut table);
    microversions(&mut table);
    paths(&mut table);
    methods(&mut table);
    queries(&mut table);
    headers(&mut table);
    table
}

/// Returns the difference between an answer and the expected one, if there is one.
fn difference(expected: &Expected, answer: &Answer) -> Option<String> {
    if let Some(reason) = malformed(answer) {
        return Some(reason);
    }
    let shown: String = format!("{} {}", answer.status, answer.body).chars().take(300).collect();
    let equal = match expected {
        Expected::Status(status) => answer.status == *status,
        Expected::Unrouted => {
            answer.status == 404
                && answer.header("content-type").starts_with("text/plain")
                && answer.fault().0.is_empty()
        }
        Expected::Fault(status, key, message) => {
            let fault = answer.fault();
            answer.status == *status && fault.0 == *key && message.as_ref().is_none_or(|message| fault.1 == message)
        }
    };
    let wanted = match expected {
        Expected::Status(status) => status.to_string(),
        Expected::Unrouted => "an unrouted 404".to_owned(),
        Expected::Fault(status, key, message) => {
            format!("{status} {key} {}", message.as_deref().unwrap_or("..."))
        }
    };
    (!equal).then(|| format!("expected {}, got {shown}", wanted.chars().take(300).collect::<String>()))
}

#[test]
fn every_bad_request_gets_the_fault_that_is_named_and_none_traps() {
    let service = ComponentService::new(&[]);
    service.put_state(&scene());
    let mut failures = Vec::new();
    let table = all();
    let count = table.0.len();
    for Case { name, request, expected } in table.0 {
        let answer = Answer::from(service.send(request));
        failures.extend(difference(&expected, &answer).map(|difference| format!("{name}: {difference}")));
        if service.app.traps() > 0 {
            failures.push(format!("{name}: the component trapped"));
            break;
        }
    }
    println!("{} of {count} rows differ", failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(service.get(&format!("/v3/a1/snapshots/{SNAPSHOT}")).status, 200, "and it serves on");
}

/// The bytes are opaque (RFC 9110 section 5.5), and identify nobody. Spin answers with an empty 500 before the component
/// starts.
#[test]
fn a_header_that_is_not_utf8_is_served_unless_it_would_identify_the_caller() {
    for (mode, name, status) in [
        ("noauth", "accept", 200),
        ("noauth", "x-anything", 200),
        ("noauth", "x-roles", 200),
        ("noauth", "x-auth-token", 401),
        ("headers", "x-roles", 401),
    ] {
        let service = ComponentService::new(&[("auth_mode", mode)]);
        let mut request = Request::get("/v3/a1/snapshots").body(Vec::new()).expect("a request");
        request.headers_mut().insert(name, HeaderValue::from_bytes(b"Confirmed\xff").expect("a header"));
        let answer = service.send(request);
        assert_eq!(answer.status(), status, "{mode} {name}");
        assert_eq!(service.app.traps(), 0);
        assert_eq!(service.app.output().lines(), [""; 0], "a client cannot fill the log");
    }
}

/// The component's stack is small (`build.rs`), and recursive functions parse, print, and drop values.
#[test]
fn the_deepest_values_that_are_read_fit_the_stack() {
    let service = ComponentService::new(&[]);
    service.put_state(&scene());
    let snapshot = format!("/v3/a1/snapshots/{SNAPSHOT}");
    let places = [
        ("POST", "/v3/a1/snapshots".to_owned(), r#"{"snapshot": {"volume_id": "V", "name": DEEP}}"#),
        ("POST", "/v3/a1/snapshots".to_owned(), r#"{"snapshot": {"volume_id": "V", "metadata": {"key": DEEP}}}"#),
        ("POST", "/v3/a1/snapshots".to_owned(), r#"{"snapshot": DEEP}"#),
        ("PUT", snapshot.clone(), r#"{"snapshot": {"description": DEEP}}"#),
        ("PUT", format!("{snapshot}/metadata"), r#"{"metadata": {"key": DEEP}}"#),
        ("POST", format!("{snapshot}/action"), r#"{"os-reset_status": {"status": DEEP}}"#),
        ("POST", format!("{snapshot}/action"), r#"{"os-update_snapshot_status": {"status": DEEP}}"#),
        ("POST", "/v3/a1/volumes".to_owned(), r#"{"volume": {"size": DEEP}}"#),
        ("PUT", "/v3/a1/os-quota-sets/a1".to_owned(), r#"{"quota_set": {"snapshots": DEEP}}"#),
    ];
    for (method, path, body) in places {
        let answers = [("[", "]"), ("{\"a\": ", "}")].map(|(open, close)| {
            // The parser accepts 127 levels, so the last depth is refused.
            [100, 120, 124, 126, 128].map(|depth| {
                let deep = format!("{}1{}", open.repeat(depth), close.repeat(depth));
                let body = body.replace("DEEP", &deep).replace('V', VOLUME);
                let request = json_body(method, &path, body.as_bytes());
                let answer: Answer = service.send(request).into();
                assert_eq!((answer.status, malformed(&answer)), (400, None), "{method} {path} {depth}: {answer:?}");
                answer.body.to_string()
            })
        });
        for of_one_kind in answers {
            assert_ne!(of_one_kind[0], of_one_kind[4], "{method} {path}: one is read, and the other is not");
        }
    }
    assert_eq!(service.app.traps(), 0);
}
