//! The component with `auth_mode=keystone` (`docs/spec/beyond.md` section 4), with a scripted Keystone. `make clients`
//! tests it with a real one.

use std::sync::Arc;
use std::time::Duration;

use crate::support::Service;
use crate::support::calls::{Answer, Calls};
use crate::support::component::{ComponentService, START};
use crate::support::faults::{Fault, When};
use crate::support::native::{NativeService, TestVariables};
use crate::support::scripted_keystone::{Manner, PASSWORD, ScriptedKeystone};
use http::Request;
use serde_json::{Value, json};
use sha2::Digest as _;
use volume_snapshots_host::{MemoryStore, Store as _};

const SNAPSHOTS: &str = "/v3/a1/snapshots";

/// The message of keystonemiddleware.
const UNAUTHORIZED: &str = "The request you have made requires authentication.";

const UNAVAILABLE: &str = "The Keystone service is temporarily unavailable.";

/// Returns a token of a user in a project.
fn token(user: &str, project: &str, roles: &[&str]) -> Value {
    let roles: Vec<Value> = roles.iter().map(|name| json!({ "id": format!("r-{name}"), "name": name })).collect();
    json!({
        "methods": ["password"],
        "expires_at": "2099-01-01T00:00:00.000000Z",
        "issued_at": "2026-01-01T00:00:00.000000Z",
        "user": { "id": user, "name": "somebody", "domain": { "id": "default", "name": "Default" } },
        "project": { "id": project, "name": "a project", "domain": { "id": "default", "name": "Default" } },
        "roles": roles,
        "audit_ids": ["3T2dc1CGQxyJsHdDu1xkcw"],
    })
}

/// Returns a token with changed fields. JSON null removes a field.
fn with(mut token: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().expect("fields") {
        let fields = token.as_object_mut().expect("a token");
        if value.is_null() {
            fields.remove(name)
        } else {
            fields.insert(name.clone(), value.clone())
        };
    }
    token
}

/// Returns a Keystone with tokens of the usual users.
fn keystone() -> ScriptedKeystone {
    let keystone = ScriptedKeystone::start();
    let people = [
        ("t-admin", token("alice", "a1", &["admin", "member", "reader"])),
        ("t-member", token("mia", "a1", &["member", "reader"])),
        ("t-reader", token("ray", "a1", &["reader"])),
        ("t-stranger", token("sam", "b2", &["member", "reader"])),
    ];
    keystone.script().tokens.extend(people.map(|(name, token)| (name.to_owned(), token)));
    keystone
}

fn variables(keystone: &ScriptedKeystone) -> Vec<(&'static str, String)> {
    vec![
        ("auth_mode", "keystone".to_owned()),
        ("keystone_url", keystone.url()),
        ("keystone_password", PASSWORD.to_owned()),
    ]
}

/// Returns the component with this Keystone, on an empty store, and the store.
fn service(keystone: &ScriptedKeystone, more: &[(&str, &str)]) -> (ComponentService, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::new());
    (service_on(store.clone(), keystone, more), store)
}

fn service_on(store: Arc<MemoryStore>, keystone: &ScriptedKeystone, more: &[(&str, &str)]) -> ComponentService {
    let own = variables(keystone);
    let mut variables: Vec<(&str, &str)> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
    variables.extend(more);
    ComponentService::on(store, &variables)
}

/// Makes a call with additional headers. JSON null stands for no body.
fn call(service: &dyn Service, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    let mut request = Request::builder().method(method).uri(path).header("openstack-api-version", "volume 3.66");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    service.send(request.header("content-type", "application/json").body(body).expect("a request")).into()
}

fn get(service: &dyn Service, path: &str, token: &str) -> Answer {
    call(service, "GET", path, &[("x-auth-token", token)], &Value::Null)
}

fn post(service: &dyn Service, path: &str, token: &str, body: &Value) -> Answer {
    call(service, "POST", path, &[("x-auth-token", token)], body)
}

/// Checks that this is the answer of keystonemiddleware to an unknown caller.
fn assert_unauthorized(answer: &Answer, keystone: &ScriptedKeystone, case: &str) {
    assert_eq!(answer.status, 401, "{case}: {answer:?}");
    let body = json!({ "error": { "code": 401, "title": "Unauthorized", "message": UNAUTHORIZED } });
    assert_eq!(answer.body, body, "{case}");
    assert_eq!(answer.header("www-authenticate"), format!("Keystone uri=\"{}\"", keystone.url()), "{case}");
    assert_eq!(answer.header("content-type"), "application/json", "{case}");
    assert!(answer.header("x-openstack-request-id").starts_with("req-"), "{case}");
}

/// Checks that no secret is in the output of the app or in its store.
fn assert_discreet(service: &ComponentService, store: &MemoryStore, secrets: &[&str]) {
    let written = service.app.output().lines().join("\n");
    let kept = store.rows("default");
    for secret in secrets.iter().chain(&[PASSWORD, "own-token-"]) {
        assert!(!written.contains(secret), "{secret} in {written}");
        for (key, value) in &kept {
            let text = format!("{key} {}", String::from_utf8_lossy(value));
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    assert_eq!(service.app.traps(), 0);
}

#[test]
fn whom_keystone_knows_may_do_what_their_roles_in_their_project_say() {
    let keystone = keystone();
    let (service, store) = service(&keystone, &[]);
    let volume = post(&service, "/v3/a1/volumes", "t-member", &json!({ "volume": { "size": 1 } }));
    assert_eq!((volume.status, &volume.body["volume"]["user_id"]), (202, &json!("mia")), "{volume:?}");
    let volume = crate::support::calls::id_of(&volume.body["volume"]);
    service.advance(3.0);
    let body = json!({ "snapshot": { "volume_id": volume, "name": "mine" } });
    let created = post(&service, SNAPSHOTS, "t-member", &body);
    assert_eq!((created.status, &created.body["snapshot"]["user_id"]), (202, &json!("mia")), "{created:?}");
    let id = crate::support::calls::id_of(&created.body["snapshot"]);
    let (one, detail) = (format!("{SNAPSHOTS}/{id}"), "/v3/snapshots/detail?all_tenants=1");

    let owner = "os-extended-snapshot-attributes:project_id";
    for (token, shown) in [("t-admin", 1), ("t-member", 1), ("t-reader", 1), ("t-stranger", 0)] {
        let listed = get(&service, detail, token);
        let rows = listed.body["snapshots"].as_array().unwrap_or_else(|| panic!("{token}: {listed:?}"));
        assert_eq!(rows.len(), shown, "{token}");
        assert!(rows.iter().all(|row| row[owner] == "a1"), "{token}: {listed:?}");
    }
    let stranger = get(&service, &format!("/v3/snapshots/{id}"), "t-stranger");
    assert_eq!(stranger.fault(), ("itemNotFound", format!("Snapshot {id} could not be found.").as_str()));
    let elsewhere = get(&service, &one, "t-stranger");
    assert_eq!(elsewhere.fault(), ("badRequest", "Malformed request url"), "a project of somebody else in the path");

    let forbidden = post(&service, SNAPSHOTS, "t-reader", &body);
    let message = "Policy doesn't allow volume:create_snapshot to be performed.";
    assert_eq!(forbidden.fault(), ("forbidden", message));
    let reset = json!({ "os-reset_status": { "status": "error" } });
    let action = format!("{one}/action");
    assert_eq!(post(&service, &action, "t-member", &reset).status, 403);
    assert_eq!(post(&service, &action, "t-admin", &reset).status, 202);
    assert_discreet(&service, &store, &["t-admin", "t-member", "t-reader", "t-stranger"]);
}

/// A token, the answers to a list with and without the project in the path, and whether Keystone is asked.
type Case<'a> = (&'a str, Expected, Expected, bool);
/// A status, and the key and the message of a fault.
type Expected = (u16, &'static str, &'static str);

#[test]
fn a_token_opens_no_more_than_it_should() {
    let keystone = keystone();
    let member = || token("mia", "a1", &["member", "reader"]);
    let (past, soon) = ("2026-01-01T00:00:00.000000Z", "2026-09-21T14:13:20.000000Z");
    assert_eq!(START, 1_790_000_000, "2026-09-21T14:13:20Z, when the clock begins");
    let long = format!("t-{}", "x".repeat(1_000));
    let huge = format!("t-{}", "x".repeat(8_192));
    let unscoped = with(member(), &json!({ "project": null, "roles": null }));
    let nameless = "u".repeat(65);
    let tokens = [
        ("t-expired", with(member(), &json!({ "expires_at": past }))),
        ("t-expires-now", with(member(), &json!({ "expires_at": soon }))),
        ("t-known-to-be-expired", with(member(), &json!({ "expires_at": past, "is_known_to_be_expired": true }))),
        ("t-unscoped", unscoped.clone()),
        (
            "t-of-a-domain",
            with(unscoped.clone(), &json!({ "domain": { "id": "default" }, "roles": [{ "name": "member" }] })),
        ),
        (
            "t-of-the-system",
            with(unscoped.clone(), &json!({ "system": { "all": true }, "roles": [{ "name": "reader" }] })),
        ),
        ("t-unscoped-admin", with(unscoped, &json!({ "roles": [{ "name": "admin" }, { "name": "reader" }] }))),
        ("t-without-user", with(member(), &json!({ "user": null }))),
        ("t-without-user-id", with(member(), &json!({ "user": { "name": "mia" } }))),
        ("t-of-no-user", with(member(), &json!({ "user": { "id": nameless } }))),
        ("t-of-no-project", with(member(), &json!({ "project": { "id": "a\n1" } }))),
        ("t-without-roles", with(member(), &json!({ "roles": [] }))),
        ("t-Reader", token("ray", "a1", &["Reader"])),
        ("t-admin-elsewhere", with(token("ann", "a1", &["admin", "reader"]), &json!({ "is_admin_project": false }))),
        (long.as_str(), member()),
        (huge.as_str(), member()),
    ];
    keystone.script().tokens.extend(tokens.map(|(name, token)| (name.to_owned(), token)));
    let (service, store) = service(&keystone, &[]);
    let malformed = ("badRequest", "Malformed request url");
    let policy = "Policy doesn't allow volume:get_all_snapshots to be performed.";
    let unknown = (401, "", "");
    let ok = (200, "", "");
    let cases: &[Case<'_>] = &[
        ("", unknown, unknown, false),
        ("   ", unknown, unknown, false),
        ("garbage", unknown, unknown, true),
        ("gärbage", unknown, unknown, false),
        ("t-member t-admin", unknown, unknown, true),
        (" t-member ", ok, ok, true),
        (&long, ok, ok, true),
        (&huge, unknown, unknown, false),
        ("t-expired", unknown, unknown, true),
        ("t-expires-now", unknown, unknown, true),
        ("t-known-to-be-expired", unknown, unknown, true),
        ("t-stranger", (400, malformed.0, malformed.1), ok, true),
        ("t-unscoped", (400, malformed.0, malformed.1), (403, "forbidden", policy), true),
        ("t-of-a-domain", (400, malformed.0, malformed.1), (403, "forbidden", policy), true),
        ("t-of-the-system", (400, malformed.0, malformed.1), (403, "forbidden", "Not authorized."), true),
        ("t-unscoped-admin", (400, malformed.0, malformed.1), ok, true),
        ("t-without-user", unknown, unknown, true),
        ("t-without-user-id", unknown, unknown, true),
        ("t-of-no-user", unknown, unknown, true),
        ("t-of-no-project", unknown, unknown, true),
        ("t-without-roles", (403, "forbidden", policy), (403, "forbidden", policy), true),
        ("t-Reader", ok, ok, true),
        ("t-admin-elsewhere", ok, ok, true),
    ];
    for (token, in_project, without, is_asked) in cases {
        let case = token.get(..40).unwrap_or(token);
        keystone.asked();
        for (path, (status, key, message)) in [(SNAPSHOTS, in_project), ("/v3/snapshots", without)] {
            let answer = get(&service, path, token);
            assert_eq!(answer.status, *status, "{case} {path}: {answer:?}");
            match status {
                200 => assert_eq!(answer.body["snapshots"], json!([]), "{case}"),
                401 => assert_unauthorized(&answer, &keystone, case),
                _ => assert_eq!(answer.fault(), (*key, *message), "{case}"),
            }
        }
        assert_eq!(keystone.asked().1 > 0, *is_asked, "{case}");
    }
    let absent = call(&service, "GET", SNAPSHOTS, &[], &Value::Null);
    assert_unauthorized(&absent, &keystone, "absent");
    let of_a_front =
        [("x-identity-status", "Confirmed"), ("x-user-id", "u"), ("x-project-id", "a1"), ("x-roles", "admin")];
    let spoofed = call(&service, "GET", SNAPSHOTS, &of_a_front, &Value::Null);
    assert_unauthorized(&spoofed, &keystone, "headers of another mode");
    // If Keystone has projects of administrators, the role `admin` only counts in those.
    let elsewhere = get(&service, "/v3/b2/os-quota-sets/b2", "t-admin-elsewhere");
    assert_eq!(elsewhere.fault(), malformed, "{elsewhere:?}");
    let quota = call(
        &service,
        "PUT",
        "/v3/a1/os-quota-sets/a1",
        &[("x-auth-token", "t-admin-elsewhere")],
        &json!({ "quota_set": { "snapshots": 1 } }),
    );
    assert_eq!(quota.status, 403, "{quota:?}");
    assert_discreet(&service, &store, &["garbage", "t-expired", "t-member", "t-unscoped"]);
}

#[test]
fn a_token_is_asked_about_once_in_the_time_of_the_cache() {
    let keystone = keystone();
    let (service, store) = service(&keystone, &[("keystone_cache_seconds", "30")]);
    for _ in 0..3 {
        assert_eq!(get(&service, SNAPSHOTS, "t-member").status, 200);
    }
    assert_eq!(keystone.asked(), (1, 1), "one login and one validation");
    assert_eq!(get(&service, SNAPSHOTS, "t-reader").status, 200);
    assert_eq!(keystone.asked(), (0, 1), "the service user is logged in");

    // Another instance on the same store, such as another process, shares the cache.
    let other = service_on(store.clone(), &keystone, &[("keystone_cache_seconds", "30")]);
    assert_eq!(get(&other, SNAPSHOTS, "t-member").status, 200);
    assert_eq!(keystone.asked(), (0, 0));
    service.advance(30.0);
    assert_eq!(get(&service, SNAPSHOTS, "t-member").status, 200);
    assert_eq!(keystone.asked(), (0, 1));

    service.faults.reset();
    assert_eq!(get(&service, SNAPSHOTS, "t-member").status, 200);
    assert_eq!(service.faults.commits(), 0, "what is known is read only");
    assert_discreet(&service, &store, &["t-member", "t-reader"]);
}

#[test]
fn keystone_is_asked_in_its_own_words() {
    let keystone = keystone();
    let (service, _) = service(&keystone, &[]);
    assert_eq!(get(&service, SNAPSHOTS, "t-member").status, 200);
    let questions = std::mem::take(&mut keystone.script().questions);
    let lines: Vec<&str> = questions.iter().map(|question| question.line.as_str()).collect();
    assert_eq!(lines, ["POST /v3/auth/tokens?nocatalog HTTP/1.1", "GET /v3/auth/tokens?nocatalog HTTP/1.1"]);
    let host = keystone.url();
    let host = host.trim_start_matches("http://").trim_end_matches("/v3");
    for (question, headers) in questions.iter().zip([
        &[("content-type", Some("application/json")), ("x-auth-token", None), ("x-subject-token", None)][..],
        &[
            ("x-auth-token", Some("own-token-1")),
            ("x-subject-token", Some("t-member")),
            ("openstack-identity-access-rules", Some("1")),
            ("content-type", None),
            ("content-length", None),
        ],
    ]) {
        let of_both = [
            ("host", Some(host)),
            ("accept", Some("application/json")),
            ("user-agent", Some("volume-snapshots")),
            ("transfer-encoding", None),
        ];
        for (name, value) in of_both.iter().chain(headers) {
            assert_eq!(question.headers.get(*name).map(String::as_str), *value, "{name} of {}", question.line);
        }
    }
}

#[test]
fn tokens_that_share_a_place_in_the_cache_are_told_apart() {
    let keystone = keystone();
    let place =
        |token: &str| sha2::Sha256::digest([keystone.url().as_bytes(), &[0], token.as_bytes()].concat())[..2].to_vec();
    let of_admin = place("t-admin");
    let mut others = (0..).map(|number| format!("t-{number}")).filter(|token| place(token) == of_admin);
    let (known, unknown) = (others.next().expect("a token"), others.next().expect("a token"));
    keystone.script().tokens.insert(known.clone(), token("ray", "b2", &["reader"]));
    let (service, store) = service(&keystone, &[]);
    for _ in 0..2 {
        assert_eq!(get(&service, SNAPSHOTS, "t-admin").status, 200);
        assert_eq!(get(&service, SNAPSHOTS, &known).status, 400, "of another project");
        assert_eq!(get(&service, "/v3/b2/snapshots", &known).status, 200);
        assert_unauthorized(&get(&service, SNAPSHOTS, &unknown), &keystone, &unknown);
    }
    let kept = store.rows("default");
    assert_eq!(kept.keys().filter(|key| key.starts_with("vs1:token:")).count(), 1, "{kept:?}");
    assert_eq!(
        keystone.asked(),
        (1, 5),
        "each takes the place of the one before, and a refusal is remembered elsewhere"
    );
}

#[test]
fn a_revoked_token_ends_with_the_time_of_the_cache() {
    for (cache_seconds, lasts) in [("60", true), ("0", false)] {
        let keystone = keystone();
        let (service, store) = service(&keystone, &[("keystone_cache_seconds", cache_seconds)]);
        assert_eq!(get(&service, SNAPSHOTS, "t-member").status, 200);
        keystone.script().tokens.remove("t-member");
        service.advance(59.0);
        assert_eq!(get(&service, SNAPSHOTS, "t-member").status == 200, lasts, "{cache_seconds}");
        service.advance(1.0);
        assert_unauthorized(&get(&service, SNAPSHOTS, "t-member"), &keystone, cache_seconds);
        assert_eq!(service.app.traps(), 0);
        let kept = store.rows("default");
        assert_eq!(kept.keys().any(|key| key.starts_with("vs1:token:")), lasts, "{kept:?}");
    }
}

#[test]
fn a_token_that_is_known_expires_in_time() {
    let keystone = keystone();
    let short = with(token("mia", "a1", &["reader"]), &json!({ "expires_at": "2026-09-21T14:13:30.000000Z" }));
    keystone.script().tokens.insert("t-short".to_owned(), short);
    let (service, _) = service(&keystone, &[]);
    assert_eq!(get(&service, SNAPSHOTS, "t-short").status, 200);
    service.advance(9.9);
    assert_eq!(get(&service, SNAPSHOTS, "t-short").status, 200);
    service.advance(0.1);
    assert_unauthorized(&get(&service, SNAPSHOTS, "t-short"), &keystone, "ten seconds later");
}

/// The timeout for Keystone in these tests, in seconds and as a duration.
const PATIENCE: (&str, Duration) = ("0.5", Duration::from_millis(500));

#[test]
fn a_keystone_that_cannot_be_asked_opens_nothing_and_is_told_apart_from_a_refusal() {
    let html = "<html><body>It works!</body></html>";
    let manners = [
        Manner::HangsUp,
        Manner::BreaksOff,
        Manner::Late(PATIENCE.1 * 4),
        Manner::DropByDrop(PATIENCE.1 / 10),
        Manner::AtLength(2 * 1024 * 1024),
        Manner::Says(500, "", r#"{"error": {"code": 500}}"#),
        Manner::Says(503, "", ""),
        Manner::Says(400, "", r#"{"error": {"code": 400}}"#),
        Manner::Says(403, "", r#"{"error": {"code": 403}}"#),
        Manner::Says(302, "Location: http://127.0.0.1:9/\r\n", ""),
        Manner::Says(300, "", r#"{"versions": {"values": []}}"#),
        Manner::Says(200, "", html),
        Manner::Says(200, "", ""),
        Manner::Says(200, "", "null"),
        Manner::Says(200, "", "[]"),
        Manner::Says(200, "", "{}"),
        Manner::Says(200, "", r#"{"token": "t-member"}"#),
        Manner::Says(200, "", r#"{"token": {"user": {"id": "mia"}, "project": {"id": "a1"}, "roles": []}}"#),
        Manner::Says(200, "", r#"{"token": {"user": {"id": "mia"}, "expires_at": "never"}}"#),
        Manner::Says(200, "", r#"{"token": {"user": {"id": "mia"}, "expires_at": 4070908800}}"#),
        Manner::Says(201, "X-Subject-Token: t-member\r\n", "{}"),
        Manner::Says(204, "", ""),
    ];
    for manner in manners {
        for at_login in [true, false] {
            let keystone = keystone();
            let (service, store) = service(&keystone, &[("keystone_timeout_seconds", PATIENCE.0)]);
            let case = format!("{manner:?}, at login: {at_login}");
            if at_login {
                keystone.script().on_login = manner.clone();
            } else {
                keystone.script().on_validation = manner.clone();
            }
            let answer = get(&service, SNAPSHOTS, "t-member");
            assert_eq!(answer.status, 503, "{case}: {answer:?}");
            assert_eq!(answer.fault(), ("serviceUnavailable", UNAVAILABLE), "{case}");
            assert_eq!(answer.header("retry-after"), "5", "{case}");
            let written = service.app.output().lines().join("\n");
            assert!(written.contains("answered 503: Keystone cannot validate tokens: "), "{case}: {written}");
            assert!(store.rows("default").keys().all(|key| !key.starts_with("vs1:token:")), "{case}");
            assert_discreet(&service, &store, &["t-member"]);

            (keystone.script().on_login, keystone.script().on_validation) = (Manner::Properly, Manner::Properly);
            // A failed login is not repeated for a second.
            service.advance(1.0);
            assert_eq!(get(&service, SNAPSHOTS, "t-member").status, 200, "{case}: it is well again");
        }
    }
}

#[test]
fn a_keystone_that_is_not_there_opens_nothing() {
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let keystone = keystone();
    for (case, variables) in [
        (
            "nobody listens",
            [("keystone_url", format!("http://{nowhere}/v3")), ("keystone_hosts", "*://*:*".to_owned())],
        ),
        (
            "no such host",
            [("keystone_url", "http://keystone.invalid:5000/v3".to_owned()), ("keystone_hosts", "*://*:*".to_owned())],
        ),
        (
            "no TLS here",
            [("keystone_url", "https://127.0.0.1:5000/v3".to_owned()), ("keystone_hosts", "*://*:*".to_owned())],
        ),
        ("not allowed", [("keystone_url", keystone.url()), ("keystone_hosts", "http://127.0.0.1:1".to_owned())]),
    ] {
        let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
        let (service, store) = service(&keystone, &variables);
        let answer = get(&service, SNAPSHOTS, "t-member");
        assert_eq!((answer.status, answer.fault()), (503, ("serviceUnavailable", UNAVAILABLE)), "{case}: {answer:?}");
        assert_eq!(keystone.asked(), (0, 0), "{case}");
        // Requests that need no token work.
        assert_eq!(get(&service, "/v3/", "").status, 200, "{case}");
        assert_eq!(get(&service, "/healthcheck", "").status, 200, "{case}");
        assert_unauthorized_without_a_token(&service, case);
        assert_discreet(&service, &store, &["t-member"]);
    }
}

fn assert_unauthorized_without_a_token(service: &ComponentService, case: &str) {
    let absent = call(service, "GET", SNAPSHOTS, &[], &Value::Null);
    assert_eq!(absent.status, 401, "{case}: {absent:?}");
}

#[test]
fn the_service_user_logs_in_again_when_its_token_is_not_taken_any_more() {
    let keystone = keystone();
    let (service, store) = service(&keystone, &[("keystone_cache_seconds", "0")]);
    assert_eq!(get(&service, SNAPSHOTS, "t-member").status, 200);
    assert_eq!(keystone.asked(), (1, 1));
    assert_eq!(get(&service, SNAPSHOTS, "t-member").status, 200);
    assert_eq!(keystone.asked(), (0, 1));

    keystone.script().own_tokens.clear();
    assert_eq!(get(&service, SNAPSHOTS, "t-member").status, 200, "Keystone has forgotten it");
    assert_eq!(keystone.asked(), (1, 2));
    assert_eq!(get(&service, SNAPSHOTS, "t-member").status, 200);
    assert_eq!(keystone.asked(), (0, 1), "the new one is kept");

    // A token that is about to expire is not used.
    keystone.script().own_tokens.clear();
    keystone.script().own_tokens_expire = "2026-09-21T14:13:45.000000Z".to_owned();
    assert_eq!(get(&service, SNAPSHOTS, "t-member").status, 200);
    assert_eq!(keystone.asked(), (1, 2));
    assert_eq!(get(&service, SNAPSHOTS, "t-member").status, 200);
    assert_eq!(keystone.asked(), (1, 1), "thirty seconds are to spare");

    keystone.script().on_validation = Manner::Says(401, "", "{}");
    let never = get(&service, SNAPSHOTS, "t-member");
    assert_eq!((never.status, never.fault()), (503, ("serviceUnavailable", UNAVAILABLE)));
    assert_eq!(keystone.asked(), (2, 2), "once more, and then it is given up");
    assert_discreet(&service, &store, &["t-member"]);
}

#[test]
fn a_service_user_whom_keystone_does_not_let_in_opens_nothing() {
    let keystone = keystone();
    for wrong in [
        ("keystone_password", "wrong"),
        ("keystone_password", ""),
        ("keystone_user", "nova"),
        ("keystone_project", "a1"),
        ("keystone_user_domain", "x"),
        ("keystone_project_domain", "x"),
    ] {
        let (service, store) = service(&keystone, &[wrong]);
        let answer = get(&service, SNAPSHOTS, "t-member");
        assert_eq!((answer.status, answer.fault()), (503, ("serviceUnavailable", UNAVAILABLE)), "{wrong:?}");
        let written = service.app.output().lines().join("\n");
        let user = if wrong.0 == "keystone_user" { "nova" } else { "cinder" };
        assert!(written.contains(&format!("it answered 401 when the user {user} was to log in")), "{written}");
        assert_eq!(store.rows("default").keys().collect::<Vec<_>>(), ["vs1:failed-login"], "{wrong:?}");
        assert_eq!(service.app.traps(), 0);
    }
}

#[test]
fn what_is_kept_of_the_service_user_is_of_use_to_no_other() {
    let keystone = keystone();
    let (first, store) = service(&keystone, &[]);
    assert_eq!(get(&first, SNAPSHOTS, "t-member").status, 200);
    assert_eq!(keystone.asked(), (1, 1));
    let with_another_password =
        service_on(store.clone(), &keystone, &[("keystone_password", "guessed"), ("keystone_cache_seconds", "0")]);
    assert_eq!(get(&with_another_password, SNAPSHOTS, "t-member").status, 503);
    assert_eq!(keystone.asked(), (1, 0), "what it cannot open it does not use");

    // The cache of one Keystone does not apply to another one.
    let other = self::keystone();
    other.script().tokens.clear();
    let elsewhere = service_on(store.clone(), &other, &[]);
    assert_unauthorized(&get(&elsewhere, SNAPSHOTS, "t-member"), &other, "another Keystone");
    assert_eq!(other.asked(), (1, 1));
}

#[test]
fn a_cache_that_somebody_has_written_into_is_no_worse_than_an_empty_one() {
    let keystone = keystone();
    let (first, store) = service(&keystone, &[]);
    assert_eq!(get(&first, SNAPSHOTS, "t-member").status, 200);
    assert_eq!(get(&first, SNAPSHOTS, "t-unknown").status, 401);
    let kept = store.rows("default");
    let is_of_keystone =
        |key: &&String| key.starts_with("vs1:token:") || ["vs1:own-token", "vs1:refusals"].contains(&key.as_str());
    let mut keys: Vec<&str> = kept.keys().filter(is_of_keystone).map(String::as_str).collect();
    assert_eq!(keys.len(), 3, "{kept:?}");
    let half = |key: &str| kept[key][..kept[key].len() / 2].to_vec();
    let halves = [half(keys[0]), half(keys[1]), half(keys[2])];
    keys.push("vs1:failed-login");
    for value in
        [Vec::new(), b"\xff".to_vec(), b"1 0\n".to_vec(), b"1 0\n\xff".to_vec(), b"9 0\nof the future".to_vec()]
            .into_iter()
            .chain(halves)
    {
        for key in &keys {
            store.set("default", key, &value).expect("a write");
        }
        keystone.asked();
        let service = service_on(store.clone(), &keystone, &[]);
        assert_eq!(get(&service, SNAPSHOTS, "t-member").status, 200, "{value:?}");
        assert_eq!(keystone.asked(), (1, 1), "{value:?}");
        assert_eq!(service.app.traps(), 0);
    }
}

#[test]
fn a_store_that_fails_makes_nobody_a_stranger_and_lets_nobody_in() {
    let keystone = keystone();
    let mut statuses = Vec::new();
    for call in 1.. {
        let (service, _) = service(&keystone, &[]);
        service.faults.plan(When::Call(call), Fault::ErrorBefore("disk I/O error".to_owned()));
        let answer = get(&service, SNAPSHOTS, "t-member");
        if service.faults.calls().len() < call {
            break;
        }
        statuses.push(answer.status);
        let (service, _) = self::service(&keystone, &[]);
        service.faults.plan(When::Call(call), Fault::ErrorBefore("disk I/O error".to_owned()));
        assert_unauthorized(&get(&service, SNAPSHOTS, "garbage"), &keystone, &format!("call {call}"));
        assert_eq!(service.app.traps(), 0);
    }
    // The failing calls read and cache the two tokens, and requests work without them. The list then reads its values
    // one by one.
    assert_eq!(statuses, [200; 5]);
}

#[test]
fn an_application_credential_is_held_to_its_access_rules() {
    let keystone = keystone();
    let limited = |rules: Value| {
        let credential = json!({ "id": "c", "name": "limited", "restricted": true, "access_rules": rules });
        with(token("mia", "a1", &["member", "reader"]), &json!({ "application_credential": credential }))
    };
    let rule = |service: &str, method: &str, path: &str| json!({ "id": "r", "service": service, "method": method, "path": path });
    let lists = rule("block-storage", "GET", "/v3/*/snapshots");
    let cases = [
        ("t-any", json!(null), [200, 200, 400]),
        ("t-none", json!([]), [401, 401, 401]),
        ("t-lists", json!([lists]), [200, 401, 401]),
        (
            "t-lists-too",
            json!([rule("compute", "GET", "/**"), rule("volumev3", "GET", "/v3/{project}/snapshots/**"), lists]),
            [200, 200, 401],
        ),
        ("t-creates", json!([rule("volume", "POST", "/v3/a1/snapshots")]), [401, 401, 400]),
        ("t-compute", json!([rule("compute", "GET", "/v3/a1/snapshots")]), [401, 401, 401]),
        ("t-nonsense", json!({ "method": "GET" }), [401, 401, 401]),
        ("t-half", json!([{ "method": "GET", "path": "/**" }, 1]), [401, 401, 401]),
    ];
    let (service, store) = service(&keystone, &[]);
    for (name, rules, expected) in cases {
        keystone.script().tokens.insert(name.to_owned(), limited(rules));
        // The second time it comes from the cache.
        for _ in 0..2 {
            let seen = [
                get(&service, SNAPSHOTS, name).status,
                get(&service, &format!("{SNAPSHOTS}/detail"), name).status,
                post(&service, SNAPSHOTS, name, &json!({})).status,
            ];
            assert_eq!(seen, expected, "{name}");
        }
    }
    let questions = std::mem::take(&mut keystone.script().questions);
    let asked = questions.iter().filter(|question| question.line.starts_with("GET "));
    assert!(asked.clone().count() > 0);
    for question in asked {
        assert_eq!(question.headers.get("openstack-identity-access-rules").map(String::as_str), Some("1"));
    }
    assert_discreet(&service, &store, &["t-lists"]);
}

#[test]
fn a_service_vouches_for_a_token_that_has_expired() {
    let keystone = keystone();
    let past = json!({ "expires_at": "2026-01-01T00:00:00.000000Z", "is_known_to_be_expired": true });
    let credential = json!({ "application_credential": { "access_rules": [] } });
    let tokens = [
        ("t-expired", with(token("mia", "a1", &["reader"]), &past)),
        ("t-expired-service", with(token("nova", "service", &["service"]), &past)),
        ("t-service", token("nova", "service", &["service"])),
        ("t-limited", with(token("mia", "a1", &["reader"]), &credential)),
    ];
    keystone.script().tokens.extend(tokens.map(|(name, token)| (name.to_owned(), token)));
    let (service, store) = service(&keystone, &[]);
    for (user, vouching, status) in [
        ("t-expired", None, 401),
        ("t-expired", Some("t-service"), 200),
        ("t-expired", Some("t-service"), 200),
        ("t-expired", None, 401),
        ("t-expired", Some("t-admin"), 401),
        ("t-expired", Some("t-expired-service"), 401),
        ("t-expired", Some("garbage"), 401),
        ("t-expired", Some(""), 401),
        ("t-member", Some("t-service"), 200),
        ("t-member", Some(""), 200),
        ("t-member", Some("gärbage"), 401),
        ("t-member", Some("t-member"), 401),
        ("garbage", Some("t-service"), 401),
        ("", Some("t-service"), 401),
        ("t-limited", None, 401),
        ("t-limited", Some("t-service"), 200),
    ] {
        let mut headers = vec![("x-auth-token", user)];
        headers.extend(vouching.map(|token| ("x-service-token", token)));
        let answer = call(&service, "GET", SNAPSHOTS, &headers, &Value::Null);
        assert_eq!(answer.status, status, "{user} {vouching:?}: {answer:?}");
    }
    assert_discreet(&service, &store, &["t-expired", "t-service"]);
}

#[test]
fn a_service_token_and_no_header_of_a_client_makes_a_request_one_of_a_service() {
    const VOLUME: &str = "aaaaaaaa-0000-4000-8000-000000000001";
    let keystone = keystone();
    keystone.script().tokens.insert("t-service".to_owned(), token("nova", "service", &["service"]));
    let (service, store) = service(&keystone, &[]);
    // Two servers use the volume, so a user may not delete either attachment without Nova.
    let connected = |number: u8| {
        json!({
            "id": format!("a77ac4ed-0000-4000-8000-00000000000{number}"),
            "instance_uuid": format!("11110000-0000-4000-8000-00000000000{number}"),
            "connection_info": { "driver_volume_type": "fake" },
            "connector": { "host": "compute1" },
        })
    };
    let volume = json!({ "id": VOLUME, "project_id": "a1", "status": "in-use", "attach_status": "attached", "multiattach": true });
    service.put_state(&json!({ "volumes": [volume], "attachments": [connected(1), connected(2)] }));
    let send = |method: &str, path: &str, more: &[(&str, &str)]| {
        let mut headers = vec![("x-auth-token", "t-member")];
        headers.extend(more);
        call(&service, method, &format!("/v3/a1/{path}"), &headers, &Value::Null)
    };
    let attachment = "attachments/a77ac4ed-0000-4000-8000-000000000001";
    let forged = ("x-service-roles", "service");
    for (more, status) in [
        (vec![], 409),
        (vec![forged], 409),
        (vec![forged, ("x-service-token", "")], 409),
        (vec![forged, ("x-service-token", "t-admin")], 401),
        (vec![("x-service-token", "t-service")], 200),
    ] {
        let deleted = send("DELETE", attachment, &more);
        assert_eq!(deleted.status, status, "{more:?}: {deleted:?}");
    }
    // The role belongs to that request alone, although both tokens are cached.
    let other = "attachments/a77ac4ed-0000-4000-8000-000000000002";
    assert_eq!(send("DELETE", other, &[]).status, 409);
    assert_eq!(send("DELETE", other, &[("x-service-token", "t-service")]).status, 200);
    assert_eq!(send("GET", &format!("volumes/{VOLUME}"), &[]).body["volume"]["status"], "available");
    assert_discreet(&service, &store, &["t-service"]);
}

#[test]
fn discovery_and_the_operators_routes_need_no_token_of_keystone() {
    let keystone = keystone();
    let (service, _) = service(&keystone, &[]);
    for (path, status) in [("/", 300), ("/v3", 302), ("/v3/", 200), ("/healthcheck", 200), ("/nothing", 404)] {
        for headers in [vec![], vec![("x-auth-token", "garbage")]] {
            let answer = call(&service, "GET", path, &headers, &Value::Null);
            assert_eq!(answer.status, status, "{path}: {answer:?}");
        }
    }
    assert_eq!(service.operate("POST", "/_ops/tick", &Value::Null).status, 200);
    assert_eq!(service.tick(), Ok(()));
    assert_eq!(keystone.asked(), (0, 0));
    for path in ["/v3/extensions", "/v3/a1", "/v3/nothing", "/v3/a1/limits"] {
        assert_unauthorized(&call(&service, "GET", path, &[], &Value::Null), &keystone, path);
    }
}

#[test]
fn a_variable_of_keystone_that_cannot_be_used_is_named_in_the_log() {
    let keystone = keystone();
    for (name, value) in [
        ("keystone_url", ""),
        ("keystone_url", "127.0.0.1:5000/v3"),
        ("keystone_url", "http://cinder:secret@127.0.0.1:5000/v3"),
        ("keystone_cache_seconds", "soon"),
        ("keystone_timeout_seconds", "0"),
    ] {
        let (service, _) = service(&keystone, &[(name, value)]);
        let answer = get(&service, SNAPSHOTS, "t-member");
        assert_eq!((answer.status, answer.fault().0), (500, "computeFault"), "{name}={value}");
        let written = service.app.output().lines().join("\n");
        assert!(written.contains(&format!("variable {name}: ")), "{written}");
        assert!(!written.contains("secret"), "{written}");
        assert_eq!(service.app.traps(), 0);
    }
    // The version is added to a URL without one.
    let url = keystone.url();
    let (service, _) = service(&keystone, &[("keystone_url", url.trim_end_matches("/v3"))]);
    assert_eq!(get(&service, SNAPSHOTS, "t-member").status, 200);
}

#[test]
fn without_a_way_to_keystone_the_core_lets_nobody_in() {
    let variables =
        TestVariables::default().with("auth_mode", "keystone").with("keystone_url", "http://127.0.0.1:5000");
    let service = NativeService::with_variables(variables);
    assert_eq!(get(&service, SNAPSHOTS, "demo:a1").status, 503);
    assert_eq!(call(&service, "GET", SNAPSHOTS, &[], &Value::Null).status, 401);
}

#[test]
fn many_requests_at_once_are_all_let_in() {
    let keystone = keystone();
    keystone.script().on_login = Manner::Late(Duration::from_millis(50));
    keystone.script().on_validation = Manner::Late(Duration::from_millis(50));
    let (service, store) = service(&keystone, &[]);
    std::thread::scope(|scope| {
        for number in 0..24 {
            let service = &service;
            let token = ["t-admin", "t-member", "t-reader", "garbage"][number % 4];
            scope.spawn(move || {
                let expected = if token == "garbage" { 401 } else { 200 };
                assert_eq!(get(service, SNAPSHOTS, token).status, expected);
            });
        }
    });
    keystone.asked();
    assert_eq!(get(&service, SNAPSHOTS, "t-admin").status, 200);
    assert_eq!(keystone.asked(), (0, 0));
    assert_discreet(&service, &store, &["t-admin", "t-member"]);
}

/// Asks for a list with each of these tokens, and returns the statuses.
fn statuses(service: &dyn Service, tokens: impl Iterator<Item = String>) -> Vec<u16> {
    tokens.map(|token| get(service, SNAPSHOTS, &token).status).collect()
}

fn lines(service: &ComponentService) -> usize {
    service.app.output().lines().len()
}

#[test]
fn a_refusal_is_remembered_briefly_in_one_small_record() {
    let keystone = keystone();
    let (service, store) = service(&keystone, &[]);
    assert_eq!(get(&service, SNAPSHOTS, "t-reader").status, 200);
    keystone.asked();
    service.faults.reset();
    let same = || (0..200).map(|_| "garbage".to_owned());
    assert_eq!(statuses(&service, same()), [401; 200]);
    assert_eq!((keystone.asked(), service.faults.commits()), ((0, 1), 1));
    service.advance(4.9);
    assert_eq!((statuses(&service, same()), keystone.asked()), (vec![401; 200], (0, 0)));
    service.advance(0.1);
    assert_eq!(statuses(&service, same()), [401; 200]);
    assert_eq!((keystone.asked(), service.faults.commits()), ((0, 1), 2), "five seconds later it is asked again");

    // Junk that differs costs a request to Keystone each, but no more than one commit a second, and one more at first.
    service.faults.reset();
    for second in 0..30 {
        service.advance(1.0);
        assert_eq!(statuses(&service, (0..20).map(|number| format!("junk-{second}-{number}"))), [401; 20]);
        assert_eq!((keystone.asked(), service.faults.commits()), ((0, 20), second + 2));
    }
    let kept = store.rows("default");
    assert_eq!(kept.keys().filter(|key| key.starts_with("vs1:token:")).count(), 1, "the reader's");
    assert!(kept["vs1:refusals"].len() < 1_000, "{} bytes", kept["vs1:refusals"].len());

    // None of it is in the way of those whom Keystone knows.
    for token in ["t-admin", "t-member", "t-reader"] {
        assert_eq!(get(&service, SNAPSHOTS, token).status, 200, "{token}");
    }
    assert_eq!(lines(&service), 0, "{:?}", service.app.output().lines());
    assert_discreet(&service, &store, &["garbage", "junk-29-0", "t-member"]);
}

#[test]
fn a_refusal_is_not_remembered_where_answers_are_not_nor_from_the_future_nor_out_of_junk() {
    let keystone = keystone();
    let (service, _) = service(&keystone, &[("keystone_cache_seconds", "0")]);
    let twice = || ["garbage", "garbage"].map(str::to_owned).into_iter();
    assert_eq!((statuses(&service, twice()), keystone.asked()), (vec![401; 2], (1, 2)), "0 asks for every request");

    let (service, store) = self::service(&keystone, &[]);
    service.advance(86_400.0);
    assert_eq!(get(&service, SNAPSHOTS, "garbage").status, 401);
    let of_tomorrow = store.rows("default")["vs1:refusals"].clone();
    for value in [of_tomorrow, b"junk".to_vec(), b"9 0\nlater".to_vec(), b"1 0\n1 1\nshort 0 1\n".to_vec()] {
        let (service, store) = self::service(&keystone, &[]);
        store.set("default", "vs1:refusals", &value).expect("a write");
        keystone.asked();
        assert_eq!((statuses(&service, twice()), keystone.asked()), (vec![401; 2], (1, 1)), "{value:?}");
        assert_eq!(service.app.traps(), 0);
    }
}

#[test]
fn after_a_failed_login_keystone_is_left_alone_for_longer_and_longer() {
    for is_logged_in_first in [false, true] {
        let keystone = keystone();
        let (service, store) = service(&keystone, &[]);
        if is_logged_in_first {
            assert_eq!(get(&service, SNAPSHOTS, "t-reader").status, 200);
            keystone.script().own_tokens.clear();
        }
        keystone.script().on_login = Manner::Says(401, "", "{}");
        keystone.asked();
        for (round, pause) in [1, 2, 4, 8, 16, 30, 30].into_iter().enumerate() {
            let tokens = || (0..50).map(|number| format!("garbage-{number}"));
            assert_eq!(statuses(&service, tokens()), [503; 50]);
            // The token that Keystone rejects is tried once, and then forgotten.
            let validations = usize::from(is_logged_in_first && round == 0);
            assert_eq!(keystone.asked(), (1, validations), "round {round}");
            assert_eq!(lines(&service), round + 1, "{:?}", service.app.output().lines());
            service.advance(f64::from(pause) - 0.5);
            let still = get(&service, SNAPSHOTS, "t-member");
            assert_eq!((still.status, still.fault()), (503, ("serviceUnavailable", UNAVAILABLE)));
            assert_eq!((still.header("retry-after"), keystone.asked()), ("1", (0, 0)));
            // A caller whose token is known notices nothing.
            if is_logged_in_first && round == 0 {
                assert_eq!(get(&service, SNAPSHOTS, "t-reader").status, 200);
            }
            service.advance(0.5);
        }
        keystone.script().on_login = Manner::Properly;
        assert_eq!(get(&service, SNAPSHOTS, "t-member").status, 200, "it is well again");
        assert!(!store.rows("default").contains_key("vs1:failed-login"));
        assert_discreet(&service, &store, &["garbage", "t-member"]);
    }
}

#[test]
fn a_pause_is_of_these_settings_only_and_says_how_long_it_lasts() {
    let keystone = keystone();
    let (wrong, store) = service(&keystone, &[("keystone_password", "wrong")]);
    for left in ["1", "2", "4", "8"] {
        assert_eq!(get(&wrong, SNAPSHOTS, "t-member").header("retry-after"), "5", "it asked");
        assert_eq!(get(&wrong, SNAPSHOTS, "t-member").header("retry-after"), left);
        wrong.advance(left.parse().expect("a number"));
    }
    keystone.asked();
    let right = service_on(store.clone(), &keystone, &[]);
    assert_eq!((get(&right, SNAPSHOTS, "t-member").status, keystone.asked()), (200, (1, 1)));

    let (later, store) = service(&keystone, &[("keystone_password", "wrong")]);
    later.advance(86_400.0);
    assert_eq!(get(&later, SNAPSHOTS, "t-member").status, 503);
    let now = service_on(store, &keystone, &[("keystone_password", "wrong")]);
    keystone.asked();
    assert_eq!(
        (get(&now, SNAPSHOTS, "t-member").status, keystone.asked()),
        (503, (1, 0)),
        "a pause of the future is none"
    );
}

/// Waits until Keystone has been asked for a login, by a request of another thread.
fn wait_for_a_login(keystone: &ScriptedKeystone) {
    let begun = std::time::Instant::now();
    while keystone.asked().0 == 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "no login");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_login_that_fails_late_makes_no_pause_shorter() {
    let keystone = keystone();
    let (service, _) = service(&keystone, &[("keystone_timeout_seconds", "3")]);
    keystone.script().on_login = Manner::HangsUp;
    assert_eq!(get(&service, SNAPSHOTS, "t-member").status, 503);
    service.advance(1.0);
    keystone.asked();
    keystone.script().on_login = Manner::Late(Duration::from_secs(30));
    std::thread::scope(|scope| {
        let late = scope.spawn(|| get(&service, SNAPSHOTS, "t-member").status);
        wait_for_a_login(&keystone);
        // While it hangs, its pause of two seconds ends, and another login fails. The third pause is of four seconds.
        service.advance(9.0);
        keystone.script().on_login = Manner::HangsUp;
        assert_eq!(get(&service, SNAPSHOTS, "t-admin").header("retry-after"), "5", "it asked");
        assert_eq!(late.join().expect("an answer"), 503);
    });
    assert_eq!(keystone.asked(), (1, 0));
    let paused = get(&service, SNAPSHOTS, "t-admin");
    assert_eq!((paused.header("retry-after"), keystone.asked()), ("4", (0, 0)), "{paused:?}");
    service.advance(3.5);
    assert_eq!((get(&service, SNAPSHOTS, "t-admin").status, keystone.asked()), (503, (0, 0)));
    service.advance(0.5);
    assert_eq!(get(&service, SNAPSHOTS, "t-admin").status, 503);
    assert_eq!(get(&service, SNAPSHOTS, "t-admin").header("retry-after"), "8", "and the next is longer");
}

#[test]
fn a_login_that_works_is_used_whatever_fails_beside_it() {
    let keystone = keystone();
    let (service, store) = service(&keystone, &[("keystone_timeout_seconds", "3")]);
    keystone.script().on_login = Manner::Late(Duration::from_secs(30));
    std::thread::scope(|scope| {
        let late = scope.spawn(|| get(&service, SNAPSHOTS, "t-member").status);
        wait_for_a_login(&keystone);
        keystone.script().on_login = Manner::Properly;
        assert_eq!(get(&service, SNAPSHOTS, "t-admin").status, 200);
        assert_eq!(late.join().expect("an answer"), 503);
    });
    let rows = store.rows("default");
    assert!(rows.contains_key("vs1:own-token") && !rows.contains_key("vs1:failed-login"), "{:?}", rows.keys());

    // A pause that another process began is for logins, and this token needs none.
    let own_token = rows["vs1:own-token"].clone();
    store.delete("default", "vs1:own-token").expect("a write");
    keystone.script().on_login = Manner::HangsUp;
    assert_eq!(get(&service, SNAPSHOTS, "t-member").status, 503);
    store.set("default", "vs1:own-token", &own_token).expect("a write");
    keystone.asked();
    assert_eq!((get(&service, SNAPSHOTS, "t-member").status, keystone.asked()), (200, (0, 1)));
    assert_eq!((get(&service, "/startup", "").status, keystone.asked()), (200, (0, 0)));

    // Once Keystone rejects it, it is tried no more.
    keystone.script().own_tokens.clear();
    for validations in [1, 0] {
        let paused = get(&service, SNAPSHOTS, "t-reader");
        assert_eq!((paused.header("retry-after"), keystone.asked()), ("1", (0, validations)), "{paused:?}");
    }
    assert_discreet(&service, &store, &["t-member", "t-admin"]);
}

#[test]
fn a_keystone_that_does_not_answer_fills_no_log() {
    let keystone = keystone();
    let (service, store) = service(&keystone, &[]);
    assert_eq!(get(&service, SNAPSHOTS, "t-reader").status, 200);
    keystone.script().on_validation = Manner::HangsUp;
    for seconds in [0.0, 10.0, 3_600.0] {
        service.advance(seconds);
        let before = lines(&service);
        assert_eq!(statuses(&service, (0..50).map(|number| format!("garbage-{number}"))), [503; 50]);
        assert_eq!(lines(&service) - before, 1, "{:?}", service.app.output().lines());
    }
    assert_discreet(&service, &store, &["garbage"]);
}

#[test]
fn a_start_tells_of_a_service_user_whom_keystone_refuses() {
    let keystone = keystone();
    let start = |service: &ComponentService| get(service, "/startup", "");
    let refused = ("serviceUnavailable", "Keystone refuses the login of the service user.");
    let (right, _) = service(&keystone, &[]);
    for logins in [1, 0] {
        let answer = start(&right);
        assert_eq!((answer.status, &answer.body, keystone.asked()), (200, &json!("OK"), (logins, 0)));
    }
    let (wrong, _) = service(&keystone, &[("keystone_password", "wrong")]);
    for logins in [1, 0] {
        let answer = start(&wrong);
        assert_eq!((answer.status, answer.fault(), keystone.asked()), (503, refused, (logins, 0)));
        let lines = wrong.app.output().lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].ends_with("it answered 401 when the user cinder was to log in"), "{lines:?}");
    }
    let (empty, _) = service(&keystone, &[("keystone_password", "")]);
    assert_eq!((start(&empty).fault(), keystone.asked()), (refused, (0, 0)));
    assert!(empty.app.output().lines()[0].ends_with("variable keystone_password is empty"));

    // A Keystone that does not answer may be back soon.
    let busy = [408, 429, 503].map(|status| Manner::Says(status, "", ""));
    for manner in [Manner::HangsUp, Manner::Says(200, "", "{}")].into_iter().chain(busy) {
        keystone.script().on_login = manner.clone();
        let (service, _) = service(&keystone, &[]);
        for _ in 0..3 {
            assert_eq!(start(&service).status, 200, "{manner:?}");
        }
        assert_eq!((keystone.asked(), lines(&service)), ((1, 0), 1), "{manner:?}");
    }
    for mode in ["noauth", "headers"] {
        let (service, _) = service(&keystone, &[("auth_mode", mode)]);
        assert_eq!((start(&service).status, keystone.asked(), service.faults.commits()), (200, (0, 0), 0));
    }
}

/// The embedded host sends at most 64 requests at once, a quarter of its instances, and refuses more without waiting.
#[test]
fn a_slow_keystone_costs_only_those_who_must_ask_it() {
    let keystone = keystone();
    let (service, _) = service(&keystone, &[]);
    assert_eq!(get(&service, SNAPSHOTS, "t-reader").status, 200);
    keystone.asked();
    keystone.script().on_validation = Manner::Late(Duration::from_secs(5));
    let refused = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for number in 0..96 {
            let (service, refused) = (&service, &refused);
            scope.spawn(move || match get(service, SNAPSHOTS, &format!("garbage-{number}")).status {
                401 => {}
                503 => {
                    refused.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
                other => panic!("{other}"),
            });
        }
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_secs(2) {
            assert_eq!(get(&service, SNAPSHOTS, "t-reader").status, 200);
        }
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    });
    let (asked, refused) = (keystone.asked().1, refused.into_inner());
    assert_eq!((asked <= 64, asked + refused), (true, 96), "{asked} asked, {refused} refused");
    assert!(lines(&service) <= 1, "{:?}", service.app.output().lines());
}
