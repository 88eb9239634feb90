//! When the body of a request is read: after its declared length and its caller were found acceptable, and never if they
//! were not. A body that breaks off is never carried out.

use std::cell::Cell;

use http::Request;
use serde_json::{Value, json};
use volume_snapshots::api::request::Body;

use crate::support::calls::Answer;
use crate::support::native::{NativeService, TestVariables};
use crate::support::{OPS_TOKEN, Service};

const VOLUME: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const SNAPSHOT: &str = "bbbbbbbb-0000-4000-8000-000000000001";
const SMALL: &str = "10";

fn service(auth_mode: &str) -> NativeService {
    let variables = TestVariables::default().with("auth_mode", auth_mode);
    let service = NativeService::with_variables(variables.with("keystone_url", "http://127.0.0.1:5000"));
    let backend =
        json!({ "host": "host1@lvm", "binary": "cinder-volume", "disabled": false, "frozen": false, "up": true });
    let state = json!({
        "volumes": [{ "project_id": "a1" }], "snapshots": [{ "project_id": "a1" }], "services": [backend],
    });
    service.put_state(&state);
    service
}

/// Sends a request with these headers, whose body `body` reads. Returns the answer, and how often the body was read.
fn send(
    service: &NativeService,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
    body: impl Fn() -> Body,
) -> (Answer, usize) {
    let reads = Cell::new(0);
    let counted = |_| {
        reads.set(reads.get() + 1);
        body()
    };
    let mut request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let counted: &dyn Fn(usize) -> Body = &counted;
    let answer = service.send_body(&service.key_value, request.body(counted).expect("a request"));
    (answer.into(), reads.get())
}

/// Every operation with a body: the method, the path, and a body that it accepts.
fn operations() -> Vec<(&'static str, String, Value)> {
    let snapshot = format!("/v3/a1/snapshots/{SNAPSHOT}");
    let volume = format!("/v3/a1/volumes/{VOLUME}");
    let reset = json!({ "os-reset_status": { "status": "error" } });
    let manage = json!({ "snapshot": { "volume_id": VOLUME, "ref": { "source-name": "s" } } });
    vec![
        ("POST", "/v3/a1/snapshots".to_owned(), json!({ "snapshot": { "volume_id": VOLUME } })),
        ("PUT", snapshot.clone(), json!({ "snapshot": { "name": "new" } })),
        ("POST", format!("{snapshot}/action"), reset.clone()),
        ("POST", format!("{snapshot}/metadata"), json!({ "metadata": { "a": "1" } })),
        ("PUT", format!("{snapshot}/metadata"), json!({ "metadata": { "b": "1" } })),
        ("PUT", format!("{snapshot}/metadata/c"), json!({ "meta": { "c": "1" } })),
        ("POST", "/v3/a1/volumes".to_owned(), json!({ "volume": { "size": 1 } })),
        ("PUT", volume.clone(), json!({ "volume": { "name": "new" } })),
        ("POST", format!("{volume}/action"), reset),
        ("POST", "/v3/a1/os-snapshot-manage".to_owned(), manage),
        ("PUT", "/v3/a1/os-quota-sets/a1".to_owned(), json!({ "quota_set": { "snapshots": 1 } })),
    ]
}

fn complete(body: &Value) -> Body {
    Body::Complete(body.to_string().into_bytes())
}

#[test]
fn the_body_of_an_unknown_caller_is_never_read() {
    for auth_mode in ["headers", "keystone"] {
        let service = service(auth_mode);
        let before = service.key_value.dump();
        for (method, path, body) in operations() {
            let (answer, reads) = send(&service, (method, &path), &[("content-length", SMALL)], || complete(&body));
            assert_eq!((answer.status, reads), (401, 0), "{auth_mode} {method} {path}");
        }
        for (method, path) in [("PUT", "/_ops/state"), ("POST", "/_ops/tick")] {
            for token in [&[][..], &[("x-ops-token", "guess")]] {
                let (answer, reads) = send(&service, (method, path), token, || Body::Complete(b"{}".to_vec()));
                assert_eq!((answer.status, reads), (403, 0), "{method} {path}");
            }
        }
        assert_eq!(service.key_value.dump(), before);
    }
}

#[test]
fn a_declared_length_that_is_too_large_is_refused_first() {
    let too_large = "Request is too large. Larger than max_request_body_size (114688).";
    for auth_mode in ["noauth", "headers", "keystone"] {
        let service = service(auth_mode);
        for (method, path, body) in operations() {
            for length in ["114689", "18446744073709551615"] {
                let (answer, reads) =
                    send(&service, (method, &path), &[("content-length", length)], || complete(&body));
                assert_eq!(
                    (answer.status, answer.fault(), reads),
                    (413, ("overLimit", too_large), 0),
                    "{method} {path}"
                );
            }
        }
    }
    let service = service("noauth");
    let headers = [("x-ops-token", OPS_TOKEN), ("content-length", "134217729")];
    let (answer, reads) = send(&service, ("PUT", "/_ops/state"), &headers, || Body::Complete(b"{}".to_vec()));
    assert_eq!((answer.status, reads), (413, 0));
    // A length that nobody has declared shows while the body is read.
    let (answer, reads) = send(&service, ("POST", "/v3/a1/snapshots"), &[], || Body::TooLarge);
    assert_eq!((answer.status, answer.fault(), reads), (413, ("overLimit", too_large), 1));
    let (answer, _) = send(&service, ("PUT", "/_ops/state"), &headers[..1], || Body::TooLarge);
    assert_eq!(answer.status, 413);
}

#[test]
fn a_body_that_breaks_off_is_never_carried_out() {
    let service = service("noauth");
    let before = service.key_value.dump();
    let incomplete = ("badRequest", "The request body is incomplete.");
    for (method, path, body) in operations() {
        let (answer, reads) = send(&service, (method, &path), &[], || Body::Broken);
        assert_eq!((answer.status, answer.fault(), reads), (400, incomplete, 1), "{method} {path}");
        assert_eq!(service.key_value.dump(), before, "{method} {path}");
        // The whole body would have been.
        let whole = self::service("noauth");
        let headers = [("openstack-api-version", "volume 3.71")];
        let (answer, reads) = send(&whole, (method, &path), &headers, || complete(&body));
        assert!(answer.status < 300, "{method} {path}: {answer:?}");
        assert_eq!(reads, 1, "{method} {path}");
    }
    for (method, path) in [("PUT", "/_ops/state"), ("POST", "/_ops/tick")] {
        let (answer, _) = send(&service, (method, path), &[("x-ops-token", OPS_TOKEN)], || Body::Broken);
        assert_eq!((answer.status, answer.fault()), (400, incomplete), "{method} {path}");
        assert_eq!(service.key_value.dump(), before, "{method} {path}");
    }
    assert!(service.log.borrow().is_empty(), "{:?}", service.log.borrow());
}
