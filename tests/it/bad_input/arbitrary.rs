//! Random requests made of the API's own words. None of them may cause a panic, a trap, or a server error, and every
//! fault has Cinder's form. Every run makes the same requests, so that a failure can be repeated.

use http::{HeaderName, HeaderValue, Method, Request, Uri};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use super::{SNAPSHOT, VOLUME, malformed, scene};
use crate::support::Service;
use crate::support::calls::Answer;
use crate::support::component::ComponentService;
use crate::support::native::{NativeService, TestVariables};

/// The parts of a request, which may not form a valid one.
#[derive(Debug, Clone)]
struct Draft {
    method: &'static str,
    segments: Vec<String>,
    query: Vec<(String, String)>,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Draft {
    /// Returns the request, or `None` if HTTP forbids it.
    fn request(&self) -> Option<Request<Vec<u8>>> {
        let query: Vec<String> = self.query.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut target = format!("/{}", self.segments.join("/"));
        if !query.is_empty() {
            target = format!("{target}?{}", query.join("&"));
        }
        let mut request = Request::new(self.body.clone());
        *request.method_mut() = Method::from_bytes(self.method.as_bytes()).ok()?;
        *request.uri_mut() = target.parse::<Uri>().ok()?;
        for (name, value) in &self.headers {
            let value = HeaderValue::from_bytes(value.as_bytes()).ok()?;
            request.headers_mut().append(HeaderName::from_static(name), value);
        }
        Some(request)
    }
}

/// Generates a string that is meaningful somewhere in the API, or a meaningless one.
fn word() -> impl Strategy<Value = String> {
    let known = [
        "",
        "a1",
        "b2",
        "v3",
        "snapshots",
        "detail",
        "volumes",
        "metadata",
        "action",
        "key",
        "new",
        "edit",
        VOLUME,
        SNAPSHOT,
        "available",
        "creating",
        "deleting",
        "error",
        "None",
        "null",
        "true",
        "False",
        "-1",
        "0",
        "1",
        "1000",
        "99999999999999999999",
        "1e9",
        "created_at",
        "id:asc",
        "name:desc,id",
        "asc",
        "desc",
        "%00",
        "%ff",
        "%zz",
        "%2F",
        "%F0%9F%98%80",
        "{}",
        "{'key':'value'}",
        "%7B%27key%27:%20%27value%27%7D",
        "%25",
        "_",
        "100%25",
        "\u{e9}",
        "..",
        ".json",
        "host1@lvm",
        "host1@lvm%23pool",
        "2026-01-01T00:00:00",
        "3.71",
        "volume 3.71",
        "volume latest",
    ];
    prop_oneof![8 => select(known.to_vec()).prop_map(str::to_owned), 1 => "[ -~]{0,12}", 1 => "\\PC{0,6}"]
}

fn segments() -> impl Strategy<Value = Vec<String>> {
    let start = select(vec![vec![], vec!["v3"], vec!["v3", "a1"], vec!["v3", "b2"], vec!["_ops"]]);
    let start = start.prop_map(|words: Vec<&str>| words.into_iter().map(str::to_owned).collect::<Vec<_>>());
    let collection = select(vec![
        vec![],
        vec!["snapshots"],
        vec!["snapshots", SNAPSHOT],
        vec!["volumes"],
        vec!["snapshots", SNAPSHOT, "metadata"],
    ]);
    let collection = collection.prop_map(|words: Vec<&str>| words.into_iter().map(str::to_owned).collect::<Vec<_>>());
    (start, collection, vec(word(), 0..3)).prop_map(|(start, collection, end)| [start, collection, end].concat())
}

fn query() -> impl Strategy<Value = Vec<(String, String)>> {
    let keys = [
        "limit",
        "marker",
        "offset",
        "sort",
        "sort_key",
        "sort_dir",
        "with_count",
        "all_tenants",
        "status",
        "name",
        "name~",
        "volume_id",
        "metadata",
        "project_id",
        "availability_zone",
        "host",
        "cluster_name",
        "consumes_quota",
        "use_quota",
        "created_at",
        "cascade",
        "%ff",
        "",
    ];
    vec((select(keys.to_vec()).prop_map(str::to_owned), word()), 0..5)
}

fn headers() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let header = prop_oneof![
        4 => (Just("openstack-api-version"), (0..75_u32).prop_map(|minor| format!("volume 3.{minor}"))),
        3 => (Just("content-type"), Just("application/json".to_owned())),
        3 => (Just("x-auth-token"), Just("demo:a1".to_owned())),
        1 => (select(vec!["openstack-api-version", "content-type", "x-auth-token", "accept", "x-forwarded-host",
                          "x-ops-token", "x-openstack-request-id", "accept-language"]), word()),
    ];
    vec(header, 0..5)
}

/// Generates any JSON value, often under the keys that the API knows.
fn value() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let keys = [
        "snapshot",
        "volume",
        "metadata",
        "meta",
        "name",
        "description",
        "display_name",
        "volume_id",
        "snapshot_id",
        "force",
        "size",
        "key",
        "os-reset_status",
        "os-update_snapshot_status",
        "os-force_delete",
        "os-unmanage",
        "status",
        "progress",
        "type",
        "now",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word().prop_map(Value::from),
        Just(Value::from("x".repeat(300))),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let key = prop_oneof![6 => select(keys.to_vec()).prop_map(str::to_owned), 1 => word()];
        let object = vec((key, inner.clone()), 0..4).prop_map(|items| Value::Object(items.into_iter().collect()));
        prop_oneof![1 => vec(inner, 0..4).prop_map(Value::from), 5 => object]
    })
}

/// Generates bodies that are valid, almost valid, or meaningless.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let right = [
        format!("{{\"snapshot\": {{\"volume_id\": \"{VOLUME}\"}}}}"),
        "{\"snapshot\": {\"name\": \"new\"}}".to_owned(),
        "{\"metadata\": {\"key\": \"other\"}}".to_owned(),
        "{\"meta\": {\"key\": \"other\"}}".to_owned(),
        "{\"os-reset_status\": {\"status\": \"error\"}}".to_owned(),
        "{\"os-force_delete\": {}}".to_owned(),
        "{\"volume\": {\"size\": 1}}".to_owned(),
    ];
    prop_oneof![
        2 => Just(Vec::new()),
        4 => select(right.to_vec()).prop_map(String::into_bytes),
        6 => value().prop_map(|value| value.to_string().into_bytes()),
        1 => vec(any::<u8>(), 0..40),
    ]
}

fn draft() -> impl Strategy<Value = Draft> {
    let methods = ["GET", "GET", "POST", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "FOO"];
    (select(methods.to_vec()), segments(), query(), headers(), body())
        .prop_map(|(method, segments, query, headers, body)| Draft { method, segments, query, headers, body })
}

/// Runs sequences of requests, each on its own service.
fn run<S: Service>(cases: u32, start: impl Fn() -> S, check: impl Fn(&S) -> Result<(), String>) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let outcome = runner.run(&vec(draft(), 1..6), |drafts| {
        let service = start();
        service.put_state(&scene());
        for request in drafts.iter().filter_map(Draft::request) {
            let shown = format!("{} {}", request.method(), request.uri());
            let answer: Answer = service.send(request).into();
            let server_error = answer.status >= 500 && answer.status != 501;
            if server_error {
                return Err(TestCaseError::fail(format!("{shown}: {answer:?}")));
            }
            if let Some(reason) = malformed(&answer) {
                return Err(TestCaseError::fail(format!("{shown}: {reason}")));
            }
            check(&service).map_err(|reason| TestCaseError::fail(format!("{shown}: {reason}")))?;
        }
        // Whatever the requests did, the service accepts its own state.
        let state = service.state();
        service.put_state(&state);
        if service.state() == state { Ok(()) } else { Err(TestCaseError::fail(format!("changed by PUT: {state}"))) }
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

#[test]
fn the_core_answers_any_request_without_a_panic_and_in_cinders_form() {
    let variables = || TestVariables::default().with("quota_snapshots", "-1");
    run(300, || NativeService::with_variables(variables()), |_| Ok(()));
}

#[test]
fn the_component_answers_any_request_without_a_trap_and_in_cinders_form() {
    let check = |service: &ComponentService| match service.app.traps() {
        0 => Ok(()),
        traps => Err(format!("{traps} traps")),
    };
    run(60, || ComponentService::new(&[]), check);
}
