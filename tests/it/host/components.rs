//! Several components of one manifest: their routes, their own variables, stores, and hosts, and their requests to each
//! other. `tests/guest` is all three components of its manifest, and does as the header `do` of a request says.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use volume_snapshots_host::{App, Application, Options, Output};

use crate::support::component::runtime;

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/guest/spin.toml");

static APPLICATION: LazyLock<Application> = LazyLock::new(|| {
    Application::load(MANIFEST).unwrap_or_else(|error| panic!("{error:#}; `make guest` builds the component"))
});

struct Guests {
    app: App,
}

impl Guests {
    fn new() -> Self {
        Self::with(Options::default())
    }

    fn with(options: Options) -> Self {
        let options = Options { output: Output::captured(), ..options };
        Self { app: App::new(&APPLICATION, options).unwrap() }
    }

    /// Sends a request with headers, and returns the status and the body of the answer.
    fn ask(&self, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
        runtime().block_on(self.asked(path, headers))
    }

    async fn asked(&self, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
        let request = headers.iter().fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
        read(self.app.handle(request.body(Bytes::new()).unwrap()).await.unwrap())
    }

    /// Returns the name of the component that answers.
    fn who(&self, path: &str) -> String {
        let (status, name) = self.ask(path, &[("do", "name")]);
        assert_eq!(status, 200, "{name}");
        name
    }
}

fn read(response: Response<Bytes>) -> (u16, String) {
    let (parts, body) = response.into_parts();
    (parts.status.as_u16(), String::from_utf8(body.to_vec()).unwrap())
}

/// Returns the values of a header in the answer to `headers`.
fn values<'a>(headers: &'a str, name: &'a str) -> Vec<&'a str> {
    headers.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect()
}

#[test]
fn a_path_leads_to_the_component_of_its_route() {
    let guests = Guests::new();
    for (path, component) in [
        ("/", "first"),
        ("/second", "second"),
        ("/second/", "second"),
        ("/second/more", "second"),
        ("/second/third", "third"),
        ("/second/third/more", "second"),
        ("/secondary", "first"),
    ] {
        assert_eq!(guests.who(path), component, "{path}");
    }
    let (_, headers) = guests.ask("/second/more?a=1", &[("do", "headers"), ("host", "a:1"), ("spin-client-addr", "x")]);
    for (name, expected) in [
        ("spin-path-info", &["/more"][..]),
        ("spin-full-url", &["http://a:1/second/more?a=1"]),
        ("spin-matched-route", &["/second/..."]),
        ("spin-base-path", &["/"]),
        ("spin-raw-component-route", &["/second/..."]),
        ("spin-component-route", &["/second"]),
        // As in Spin, the client's own header stays in front.
        ("spin-client-addr", &["x", "127.0.0.1:0"]),
    ] {
        assert_eq!(values(&headers, name), expected, "{name}");
    }
    assert_eq!(guests.app.traps(), 0);
}

#[test]
fn a_component_reads_only_its_own_variables() {
    let guests = Guests::with(Options::default().variable("shared", "value"));
    for (path, variable, expected) in [
        ("/", "of_first", Some("value of the first")),
        ("/", "of_second", None),
        ("/second", "of_second", Some("value of the second")),
        ("/second", "of_first", None),
        ("/second", "shared", None),
    ] {
        let (status, value) = guests.ask(path, &[("do", variable)]);
        match expected {
            Some(expected) => assert_eq!((status, value.as_str()), (200, expected), "{path} {variable}"),
            None => assert!(status == 500 && value.contains("Undefined("), "{path} {variable}: {status} {value}"),
        }
    }
}

#[test]
fn components_share_a_store_of_the_same_label_and_open_no_other() {
    let guests = Guests::new();
    let request = Request::put("/").header("do", "set key").body(Bytes::from("of the first")).unwrap();
    assert_eq!(runtime().block_on(guests.app.handle(request)).unwrap().status(), 200);
    assert_eq!(guests.ask("/second", &[("do", "get key")]), (200, "of the first".to_owned()));
    let (status, denied) = guests.ask("/second/third", &[("do", "get key")]);
    assert!(status == 500 && denied.contains("AccessDenied"), "{status} {denied}");
}

#[test]
fn a_request_to_another_component_takes_its_path_and_needs_no_route() {
    let guests = Guests::new();
    let url = "http://third.spin.internal/any/path?a=1";
    let (status, answer) = guests.ask("/", &[("do", &format!("call {url}")), ("then", "headers"), ("host", "a:1")]);
    assert_eq!(status, 200, "{answer}");
    let headers = answer.strip_prefix("200 ").unwrap();
    for (name, expected) in [
        ("spin-path-info", "/any/path"),
        ("spin-full-url", "http://localhost/any/path?a=1"),
        ("spin-matched-route", "/..."),
        ("spin-raw-component-route", "/..."),
        ("spin-component-route", ""),
        ("spin-client-addr", "0.0.0.0:0"),
    ] {
        assert_eq!(values(headers, name), [expected], "{name}");
    }
    assert!(!headers.contains("host: "), "{headers}");
    // The port and the scheme do not matter where the hosts allow them.
    for url in ["http://second.spin.internal:8080/", "https://second.spin.internal"] {
        let answer = guests.ask("/", &[("do", &format!("call {url}")), ("then", "name")]);
        assert_eq!(answer, (200, "200 second".to_owned()), "{url}");
    }
    assert_eq!(guests.app.traps(), 0);
}

#[test]
fn a_body_of_any_length_reaches_another_component_and_comes_back() {
    let guests = Guests::new();
    for length in [0, 1, 100_000, 3 << 20] {
        let body = "x".repeat(length);
        let request = Request::post("/").header("do", "call http://second.spin.internal/").header("then", "echo");
        let answer = runtime().block_on(guests.app.handle(request.body(Bytes::from(body.clone())).unwrap())).unwrap();
        assert!(read(answer) == (200, format!("200 {body}")), "{length}");
    }
}

#[test]
fn a_component_calls_only_the_hosts_that_it_may_call() {
    let guests = Guests::new();
    for (path, host, expected) in [
        ("/", "nobody", "DestinationNotFound"),
        ("/second", "nobody", "HttpRequestDenied"),
        ("/second/third", "first", "HttpRequestDenied"),
    ] {
        let call = format!("call http://{host}.spin.internal/");
        let (status, error) = guests.ask(path, &[("do", &call), ("then", "name")]);
        assert!(status == 502 && error.contains(expected), "{path} to {host}: {status} {error}");
    }
    let answer = guests.ask("/second", &[("do", "call http://first.spin.internal/"), ("then", "name")]);
    assert_eq!(answer, (200, "200 first".to_owned()));
}

#[test]
fn a_client_cannot_name_the_host_of_a_component() {
    let guests = Guests::new();
    let request = Request::get("/").header("host", "second.spin.internal").body(Bytes::new()).unwrap();
    let error = runtime().block_on(guests.app.handle(request)).unwrap_err().to_string();
    assert_eq!(error, "the host second.spin.internal is only for requests between components");
}

#[test]
fn a_trap_of_one_component_leaves_the_others() {
    let guests = Guests::new();
    assert_eq!(guests.ask("/second", &[("do", "trap")]), (500, String::new()));
    assert_eq!(guests.app.traps(), 1);
    let answer = guests.ask("/", &[("do", "call http://second.spin.internal/"), ("then", "trap")]);
    assert_eq!(answer, (200, "500 ".to_owned()));
    assert_eq!(guests.app.traps(), 2);
    assert_eq!((guests.who("/"), guests.who("/second")), ("first".to_owned(), "second".to_owned()));
}

/// Each caller keeps its slot while it waits for the other component.
#[test]
fn callers_in_all_slots_are_answered_by_another_component() {
    for (slots, callers) in [(1, 1), (1, 8), (4, 16)] {
        let options =
            Options { invocations_at_once: slots, longest_wait: Duration::from_secs(30), ..Options::default() };
        let guests = Arc::new(Guests::with(options));
        let start = Instant::now();
        let answers = runtime().block_on(async {
            let calls: Vec<_> = (0..callers)
                .map(|_| {
                    let guests = guests.clone();
                    let headers = [("do", "call http://second.spin.internal/"), ("then", "name")];
                    tokio::spawn(async move { guests.asked("/", &headers).await })
                })
                .collect();
            let mut answers = Vec::new();
            for call in calls {
                answers.push(call.await.unwrap());
            }
            answers
        });
        assert_eq!(answers, vec![(200, "200 second".to_owned()); callers], "{slots} slots");
        assert!(start.elapsed() < Duration::from_secs(20), "{slots} slots: {:?}", start.elapsed());
    }
}

/// One slot is for requests between components here, and the second request of the chain finds it taken.
#[test]
fn a_chain_that_is_too_long_for_the_slots_ends_with_an_answer() {
    let wait = Duration::from_secs(1);
    let guests = Guests::with(Options { invocations_at_once: 1, longest_wait: wait, ..Options::default() });
    let start = Instant::now();
    let chain = [
        ("do", "call http://second.spin.internal/"),
        ("then", "call http://third.spin.internal/"),
        ("then-then", "name"),
    ];
    assert_eq!(guests.ask("/", &chain), (200, "200 503 the service is busy\n".to_owned()));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    let enough = Guests::with(Options { invocations_at_once: 8, longest_wait: wait, ..Options::default() });
    assert_eq!(enough.ask("/", &chain), (200, "200 200 third".to_owned()));
}

#[test]
fn an_event_fires_each_component_with_a_trigger_once() {
    let guests = Guests::new();
    runtime().block_on(guests.app.tick(1_790_000_000)).unwrap();
    for (component, fired) in [("first", "1790000000"), ("second", "1790000000"), ("third", "none")] {
        let answer = guests.ask("/", &[("do", &format!("get fired:{component}"))]);
        assert_eq!(answer, (200, fired.to_owned()), "{component}");
    }
    assert_eq!(guests.app.traps(), 0);
}
