//! Headers that identify a caller: a repeated one identifies nobody, whatever its values, and neither does one whose bytes
//! are not ASCII. In all other headers such bytes are opaque (RFC 9110 section 5.5).

use http::{HeaderName, HeaderValue, Request};

use crate::support::native::{NativeService, TestVariables};
use crate::support::{OPS_TOKEN, Service};

const PATH: &str = "/v3/a1/snapshots";

fn service(auth_mode: &str) -> NativeService {
    let variables = TestVariables::default().with("auth_mode", auth_mode);
    NativeService::with_variables(variables.with("keystone_url", "http://127.0.0.1:5000"))
}

/// Returns the status of a GET with these headers.
fn status(service: &NativeService, path: &str, headers: &[(&str, &[u8])]) -> u16 {
    let mut request = Request::get(path).body(Vec::new()).expect("a request");
    for (name, value) in headers {
        let name: HeaderName = name.parse().expect("a name");
        request.headers_mut().append(name, HeaderValue::from_bytes(value).expect("a value"));
    }
    service.send(request).status().as_u16()
}

/// A header and its value.
type Pair = (&'static str, &'static [u8]);

/// Each mode with the headers that it reads, and the answer to them: in this test Keystone cannot be asked.
fn modes() -> [(&'static str, Vec<Pair>, u16); 3] {
    [
        ("noauth", vec![("x-auth-token", b"demo:a1")], 200),
        (
            "headers",
            vec![
                ("x-identity-status", b"Confirmed"),
                ("x-user-id", b"u"),
                ("x-project-id", b"a1"),
                ("x-roles", b"admin"),
                ("x-service-roles", b"service"),
            ],
            200,
        ),
        ("keystone", vec![("x-auth-token", b"token"), ("x-service-token", b"token")], 503),
    ]
}

#[test]
fn a_repeated_identity_header_identifies_nobody() {
    for (mode, headers, expected) in modes() {
        let service = service(mode);
        assert_eq!(status(&service, PATH, &headers), expected, "{mode}");
        service.advance(60.0);
        for (name, value) in &headers {
            for second in [*value, b"", b"other", b"\xff"] {
                for (first, second) in [(*value, second), (second, *value)] {
                    let mut repeated: Vec<_> = headers.iter().copied().filter(|(own, _)| own != name).collect();
                    repeated.extend([(*name, first), (*name, second)]);
                    assert_eq!(status(&service, PATH, &repeated), 401, "{mode}: {name} {first:?} {second:?}");
                }
            }
        }
        let log = service.log.borrow();
        assert!(log.iter().all(|line| !line.contains("answered 401")), "{log:?}");
    }
}

#[test]
fn an_identity_header_that_is_not_ascii_identifies_nobody_and_any_other_is_opaque() {
    for (mode, headers, expected) in modes() {
        let service = service(mode);
        for (name, value) in &headers {
            for odd in [[*value, b"\xff"].concat(), [b"\xc3\xa9", *value].concat()] {
                let mut odd_headers: Vec<_> = headers.iter().copied().filter(|(own, _)| own != name).collect();
                odd_headers.push((*name, &odd));
                assert_eq!(status(&service, PATH, &odd_headers), 401, "{mode}: {name} {odd:?}");
            }
        }
        assert!(service.log.borrow().is_empty(), "{:?}", service.log.borrow());
        let mut others = headers.clone();
        others.extend([
            ("accept", b"\xff".as_slice()),
            ("x-forwarded-host", b"\xff"),
            ("host", b"\xe9"),
            ("content-type", b"\xff"),
            ("x-anything", b"\x80\xff"),
        ]);
        assert_eq!(status(&service, PATH, &others), expected, "{mode}");
    }
}

#[test]
fn a_repeated_token_of_an_operator_opens_nothing() {
    let service = service("noauth");
    let token = ("x-ops-token", OPS_TOKEN.as_bytes());
    assert_eq!(status(&service, "/_ops/state", &[token]), 200);
    for pair in [[token, token], [token, ("x-ops-token", b"")], [("x-ops-token", b"guess"), token]] {
        assert_eq!(status(&service, "/_ops/state", &pair), 403, "{pair:?}");
    }
}
