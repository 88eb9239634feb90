//! The core, with a store in memory and a clock that is set: what a client sees of it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use proptest::prelude::*;
use serde_json::{Value, json};
use volume_snapshots_dev_identity::{Body, Environment, KeyValue, Request, StoreError, Variables, handle};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const TOKENS: &str = "/identity/v3/auth/tokens";

/// The app: its variables, its store, its clock, and what it has logged.
struct App {
    variables: BTreeMap<&'static str, String>,
    rows: RefCell<BTreeMap<String, Vec<u8>>>,
    store_calls: Cell<usize>,
    random: Cell<u64>,
    now: Cell<i64>,
    log: RefCell<Vec<String>>,
    client: &'static str,
    host: &'static str,
}

impl Default for App {
    fn default() -> Self {
        let variables = [
            ("dev_identity", "on"),
            ("dev_identity_seed", ""),
            ("dev_identity_token_seconds", "3600"),
            ("auth_mode", "noauth"),
            ("keystone_url", ""),
            ("keystone_user", "cinder"),
            ("keystone_password", "service-secret"),
            ("keystone_project", "service"),
            ("keystone_user_domain", "Default"),
            ("keystone_project_domain", "Default"),
        ];
        Self {
            variables: variables.into_iter().map(|(name, value)| (name, value.to_owned())).collect(),
            rows: RefCell::default(),
            store_calls: Cell::default(),
            random: Cell::new(1),
            now: Cell::new(1_800_000_000),
            log: RefCell::default(),
            client: "127.0.0.1:5000",
            host: "localhost:3000",
        }
    }
}

impl Variables for App {
    fn get(&self, name: &str) -> Result<String, String> {
        self.variables.get(name).cloned().ok_or_else(|| "no such variable".to_owned())
    }
}

impl KeyValue for App {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.store_calls.set(self.store_calls.get() + 1);
        Ok(self.rows.borrow().get(key).cloned())
    }

    fn set_many(&self, entries: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
        self.store_calls.set(self.store_calls.get() + 1);
        self.rows.borrow_mut().extend(entries.iter().cloned());
        Ok(())
    }

    fn delete_many(&self, keys: &[String]) -> Result<(), StoreError> {
        self.store_calls.set(self.store_calls.get() + 1);
        self.rows.borrow_mut().retain(|key, _| !keys.contains(key));
        Ok(())
    }

    fn increment(&self, key: &str, delta: i64) -> Result<i64, StoreError> {
        self.store_calls.set(self.store_calls.get() + 1);
        let mut rows = self.rows.borrow_mut();
        let old =
            rows.get(key).map_or(0, |bytes| i64::from_le_bytes(bytes.as_slice().try_into().expect("eight bytes")));
        rows.insert(key.to_owned(), (old + delta).to_le_bytes().to_vec());
        Ok(old + delta)
    }
}

#[derive(Debug)]
struct Reply {
    status: u16,
    headers: BTreeMap<&'static str, String>,
    body: Value,
}

impl Reply {
    fn token(&self) -> String {
        assert_eq!(self.status, 201, "{self:?}");
        self.headers["x-subject-token"].clone()
    }

    fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap_or_default()
    }

    fn names(&self, collection: &str) -> Vec<String> {
        assert_eq!(self.status, 200, "{self:?}");
        let rows = self.body[collection].as_array().expect("a list");
        rows.iter().map(|row| row["name"].as_str().expect("a name").to_owned()).collect()
    }
}

impl App {
    fn with(variables: &[(&'static str, &str)]) -> Self {
        let mut app = Self::default();
        app.variables.extend(variables.iter().map(|(name, value)| (*name, (*value).to_owned())));
        app
    }

    fn send(&self, method: Method, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let own = [("host", self.host), ("spin-client-addr", self.client)];
        let headers = own.iter().chain(headers);
        let request = Request {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            headers: headers.map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect(),
            body: Body::Complete(body.to_vec()),
            is_https: false,
            authority: None,
        };
        let random = |buffer: &mut [u8]| {
            for byte in buffer {
                // A generator of tests: no two buffers are equal.
                let next =
                    self.random.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                self.random.set(next);
                *byte = next.to_be_bytes()[0];
            }
        };
        let environment = Environment {
            key_value: self,
            variables: self,
            random: &random,
            now: self.now.get(),
            log: &|line| self.log.borrow_mut().push(line.to_owned()),
        };
        let answer = handle(&request, &environment);
        Reply {
            status: answer.status.as_u16(),
            headers: answer.headers.into_iter().collect(),
            body: serde_json::from_slice(&answer.body).unwrap_or_default(),
        }
    }

    fn post(&self, body: &Value) -> Reply {
        self.send(Method::POST, TOKENS, &[("content-type", "application/json")], body.to_string().as_bytes())
    }

    fn log_in(&self, user: &str, password: &str, scope: Value) -> Reply {
        self.post(&password_body(user, password, scope))
    }

    fn get(&self, path: &str, token: &str) -> Reply {
        self.send(Method::GET, &format!("/identity/v3{path}"), &[("x-auth-token", token)], b"")
    }

    fn about(&self, method: Method, by: &str, subject: &str) -> Reply {
        self.send(method, TOKENS, &[("x-auth-token", by), ("x-subject-token", subject)], b"")
    }

    fn own_keys(&self, prefix: &str) -> usize {
        self.rows.borrow().keys().filter(|key| key.starts_with(prefix)).count()
    }
}

fn password_body(user: &str, password: &str, scope: Value) -> Value {
    let mut auth = json!({ "identity": { "methods": ["password"], "password": { "user": {
        "name": user, "password": password, "domain": { "id": "default" },
    } } } });
    if !scope.is_null() {
        auth["scope"] = scope;
    }
    json!({ "auth": auth })
}

fn token_body(token: &str, scope: &Value) -> Value {
    json!({ "auth": { "identity": { "methods": ["token"], "token": { "id": token } }, "scope": scope } })
}

fn project(name: &str) -> Value {
    json!({ "project": { "name": name, "domain": { "name": "Default" } } })
}

const SEED: &str = r#"{
    "domains": [{"name": "Default", "id": "default"}, {"name": "Other", "id": "other"}],
    "projects": [{"name": "p", "id": "p1"}, {"name": "p", "id": "p2", "domain": "Other"}],
    "users": [
        {"name": "u", "id": "u1", "password": "secret", "projects": {"p": ["member"]}, "domains": {"Other": ["auditor"]}},
        {"name": "boss", "id": "u2", "password": "secret", "projects": {"p": ["admin"], "p2": ["admin"]}}
    ],
    "application_credentials": [
        {"name": "c", "id": "c1", "secret": "s", "user": "u", "project": "p", "roles": ["reader"]},
        {"name": "ends", "id": "c2", "secret": "s", "user": "u", "project": "p", "expires_at": "2027-01-15T09:00:00Z"}
    ]
}"#;

#[test]
fn switched_off_it_does_not_exist_and_calls_no_store() {
    let app = App::with(&[("dev_identity", "off"), ("dev_identity_seed", "{"), ("auth_mode", "keystone")]);
    for path in ["/identity", "/identity/v3", TOKENS, "/identity/healthcheck", "/identity/compute/v2.1"] {
        assert_eq!(app.send(Method::GET, path, &[], b"").status, 404, "{path}");
    }
    assert_eq!(app.log_in("admin", "admin", project("admin")).status, 404);
    assert_eq!(app.store_calls.get(), 0);
    assert!(app.log.borrow().is_empty());
}

#[test]
fn a_bad_variable_is_a_fault_that_the_log_names() {
    for (variable, value, reason) in [
        ("dev_identity_seed", r#"{"user": 1}"#, "variable dev_identity_seed: unknown field `user`"),
        ("dev_identity_token_seconds", "soon", "variable dev_identity_token_seconds: 'soon'"),
        ("dev_identity", "true", "variable dev_identity: 'true' is none of off, on"),
        ("auth_mode", "keystone", "variable dev_identity: is on, but keystone_url names another Keystone"),
    ] {
        let app = App::with(&[(variable, value)]);
        let reply = app.send(Method::GET, "/identity/healthcheck", &[], b"");
        assert_eq!((reply.status, &reply.body["error"]["code"]), (500, &json!(500)));
        let log = app.log.borrow();
        assert!(log.len() == 1 && log[0].contains(reason), "{log:?}");
    }
}

#[test]
fn version_documents_need_no_token() {
    let app = App::default();
    let get = |path: &str| app.send(Method::GET, path, &[], b"");
    for path in ["/identity", "/identity/"] {
        let reply = get(path);
        assert_eq!((reply.status, reply.headers["location"].as_str()), (300, "http://localhost:3000/identity/v3/"));
        assert_eq!(reply.body["versions"]["values"][0]["id"], "v3.14");
    }
    for path in ["/identity/v3", "/identity/v3/"] {
        let reply = get(path);
        let own = json!([{ "rel": "self", "href": "http://localhost:3000/identity/v3/" }]);
        assert_eq!((reply.status, &reply.body["version"]["links"]), (200, &own));
        assert_eq!(reply.headers["vary"], "X-Auth-Token");
    }
    assert_eq!(get("/identity/compute/v2.1").body["version"]["status"], "CURRENT");
    for (path, status) in [("/identity/image", 300), ("/identity/image/versions", 300), ("/identity/compute", 200)] {
        assert_eq!((get(path).status, get(path).body["versions"][0]["status"].as_str()), (status, Some("CURRENT")));
    }
    assert_eq!((get("/identity/v2.0").status, get("/v3").status), (404, 404));
    assert_eq!(get("/identity/healthcheck").status, 200);
}

#[test]
fn there_are_no_servers_and_no_images() {
    let app = App::default();
    let demo = app.log_in("demo", "demo", project("demo")).token();
    for (path, list) in [
        ("/compute/v2.1/servers", "servers"),
        ("/compute/v2.1/servers/detail?project_id=p", "servers"),
        ("/image/v2/images?status=active", "images"),
    ] {
        let path = format!("/identity{path}");
        let listed = app.send(Method::GET, &path, &[("x-auth-token", &demo)], b"");
        assert_eq!((listed.status, &listed.body[list]), (200, &json!([])), "{path}");
        assert_eq!(app.send(Method::GET, &path, &[], b"").status, 401, "{path}");
    }
    for path in ["/compute/v2.1/servers/x", "/compute/v2.1/flavors", "/image/v2", "/image/v2/images/x"] {
        assert_eq!(app.send(Method::GET, &format!("/identity{path}"), &[("x-auth-token", &demo)], b"").status, 404);
    }
}

#[test]
fn one_namespace_of_metadata_is_defined() {
    let app = App::default();
    let demo = app.log_in("demo", "demo", project("demo")).token();
    let get = |path: &str, headers: &[(&str, &str)]| {
        let reply = app.send(Method::GET, &format!("/identity/image/v2/{path}"), headers, b"");
        assert_eq!(reply.status, if headers.is_empty() { 401 } else { 200 }, "{path}");
        reply.body
    };
    let paths = ["metadefs/namespaces?limit=9", "metadefs/namespaces/Development", "schemas/metadefs/namespace"];
    let [list, shown, schema] = paths.map(|path| get(path, &[("x-auth-token", &demo)]));
    assert_eq!(
        (&list["namespaces"][0]["namespace"], &shown["namespace"]),
        (&json!("Development"), &json!("Development"))
    );
    assert_eq!(
        (&list["namespaces"][0]["properties"], &shown["properties"]["purpose"]["type"]),
        (&Value::Null, &json!("string"))
    );
    assert_eq!(schema["name"], "namespace");
    for path in paths {
        get(path, &[]);
    }
}

#[test]
fn a_method_that_a_path_does_not_have_is_refused_with_those_that_it_has() {
    let app = App::default();
    let admin = app.log_in("admin", "admin", project("admin")).token();
    let json = json!({ "message": "The method is not allowed for the requested URL." });
    for (method, path, allow) in [
        (Method::PUT, "/v3/auth/tokens", "GET, HEAD, POST, DELETE, OPTIONS"),
        (Method::TRACE, "/v3/auth/tokens", "GET, HEAD, POST, DELETE, OPTIONS"),
        (Method::POST, "/v3/auth/catalog", "GET, HEAD, OPTIONS"),
        (Method::DELETE, "/v3/auth/projects", "GET, HEAD, OPTIONS"),
        (Method::PATCH, "/v3/projects", "GET, HEAD, POST, OPTIONS"),
        (Method::PUT, "/v3/projects/p", "GET, HEAD, PATCH, DELETE, OPTIONS"),
        (Method::POST, "/v3/users/u/projects", "GET, HEAD, OPTIONS"),
        (Method::PUT, "/v3/users/u/application_credentials", "GET, HEAD, POST, OPTIONS"),
        (Method::PATCH, "/v3/users/u/application_credentials/c", "GET, HEAD, DELETE, OPTIONS"),
        (Method::POST, "/v3/role_assignments", "GET, HEAD, OPTIONS"),
        (Method::POST, "/v3", "GET, HEAD, OPTIONS"),
        (Method::PUT, "", "GET, HEAD, OPTIONS"),
        (Method::DELETE, "/compute/v2.1", "GET, HEAD, OPTIONS"),
        (Method::POST, "/compute/v2.1/servers", "GET, HEAD, OPTIONS"),
        (Method::POST, "/image/v2/images", "GET, HEAD, OPTIONS"),
    ] {
        let path = format!("/identity{path}");
        let refused = app.send(method.clone(), &path, &[("x-auth-token", &admin)], b"");
        let allowed = |reply: &Reply| reply.headers.get("allow").cloned();
        assert_eq!((refused.status, allowed(&refused)), (405, Some(allow.to_owned())), "{method} {path}");
        let expected = if path.starts_with("/identity/v3/") { &json } else { &Value::Null };
        assert_eq!(&refused.body, expected, "{method} {path}");
        let asked = app.send(Method::OPTIONS, &path, &[], b"");
        assert_eq!((asked.status, allowed(&asked)), (200, Some(allow.to_owned())), "{path}");
    }
    for path in
        ["/identity/v3/nothing", "/identity/v3/auth/nothing", "/identity/v3/role_assignments/x", "/identity/v2.0"]
    {
        for method in [Method::GET, Method::POST, Method::OPTIONS] {
            assert_eq!(app.send(method, path, &[("x-auth-token", &admin)], b"").status, 404, "{path}");
        }
    }
    let grant = "/identity/v3/projects/p/users/u/roles/r";
    assert_eq!(app.send(Method::PUT, grant, &[("x-auth-token", &admin)], b"").status, 403);
}

#[test]
fn a_password_gives_a_token_of_every_scope() {
    let app = App::with(&[("dev_identity_seed", SEED)]);
    let by_id = json!({ "project": { "id": "p1" } });
    for (scope, expected) in [
        (project("p"), Some("project")),
        (by_id, Some("project")),
        (json!({ "project": { "name": "p", "domain": { "id": "default" } } }), Some("project")),
        (json!({ "domain": { "id": "other" } }), Some("domain")),
        (json!({ "domain": { "name": "Other" } }), Some("domain")),
        (json!("unscoped"), None),
        (json!({ "unscoped": {} }), None),
        (Value::Null, None),
    ] {
        let reply = app.log_in("u", "secret", scope.clone());
        let token = reply.token();
        let body = &reply.body["token"];
        assert_eq!(body["methods"], json!(["password"]));
        assert_eq!(body["issued_at"], "2027-01-15T08:00:00.000000Z");
        assert_eq!(body["expires_at"], "2027-01-15T09:00:00.000000Z");
        let domain = json!({ "id": "default", "name": "Default" });
        assert_eq!(body["user"], json!({ "id": "u1", "name": "u", "domain": domain, "password_expires_at": null }));
        match expected {
            Some("project") => {
                assert_eq!(body["project"], json!({ "id": "p1", "name": "p", "domain": domain }));
                let roles: Vec<&Value> =
                    body["roles"].as_array().expect("roles").iter().map(|role| &role["name"]).collect();
                assert_eq!(roles, ["member", "reader"], "a member is a reader too");
                assert_eq!(body["is_domain"], false);
                let catalog = body["catalog"].as_array().expect("catalog");
                let urls: Vec<_> =
                    catalog.iter().map(|own| (own["type"].as_str(), own["endpoints"][0]["url"].as_str())).collect();
                assert_eq!(
                    urls,
                    [
                        (Some("identity"), Some("http://localhost:3000/identity/v3")),
                        (Some("volumev3"), Some("http://localhost:3000/v3/p1")),
                        (Some("block-storage"), Some("http://localhost:3000/v3/p1")),
                        (Some("compute"), Some("http://localhost:3000/identity/compute/v2.1")),
                        (Some("image"), Some("http://localhost:3000/identity/image")),
                    ]
                );
                assert!(catalog.iter().all(|own| own["endpoints"].as_array().is_some_and(|all| all.len() == 3)));
            }
            Some(_) => {
                assert_eq!(body["domain"], json!({ "id": "other", "name": "Other" }));
                assert_eq!(body["roles"][0]["name"], "auditor");
                assert_eq!(body["project"], Value::Null);
            }
            None => assert!(body["roles"].is_null() && body["catalog"].is_null() && body["project"].is_null()),
        }
        let validated = app.about(Method::GET, &token, &token);
        assert_eq!((validated.status, &validated.body), (200, &reply.body), "{scope}");
        assert_eq!(validated.headers["x-subject-token"], token);
    }
}

#[test]
fn faults_are_those_of_keystone() {
    let app = App::with(&[("dev_identity_seed", SEED)]);
    let unauthorized = (401, "The request you have made requires authentication.");
    let token = app.log_in("u", "secret", Value::Null).token();
    let identity = |identity: Value| json!({ "auth": { "identity": identity } });
    let user = |user: Value| identity(json!({ "methods": ["password"], "password": { "user": user } }));
    let credential =
        |own: Value| identity(json!({ "methods": ["application_credential"], "application_credential": own }));
    let scoped = |scope: Value| password_body("u", "secret", scope);
    for (body, (status, message)) in [
        (password_body("u", "wrong", Value::Null), unauthorized),
        (password_body("u", "", Value::Null), unauthorized),
        (password_body("nobody", "secret", Value::Null), unauthorized),
        (password_body("nobody", "", Value::Null), unauthorized),
        (scoped(project("nothere")), unauthorized),
        (scoped(json!({ "project": { "id": "p2" } })), unauthorized),
        (scoped(json!({ "domain": { "id": "default" } })), unauthorized),
        (scoped(json!({ "system": { "all": true } })), unauthorized),
        (scoped(json!({ "project": { "name": "p" } })), (400, "Expecting to find domain in project. ")),
        (scoped(json!({})), (400, "Expecting to find system, project, domain, OS-TRUST:trust or unscoped in scope. ")),
        (
            scoped(json!({ "project": { "id": "p1" }, "domain": { "id": "other" } })),
            (400, "Expecting to find system, project, domain, OS-TRUST:trust or unscoped in scope. "),
        ),
        (user(json!({ "name": "u", "password": "secret" })), (400, "Expecting to find domain in user. ")),
        (user(json!({ "id": "u1" })), unauthorized),
        (user(json!({ "id": "u1", "password": 7 })), (400, "A number is not of type 'string'")),
        (json!({}), (400, "Expecting to find auth in request body. ")),
        (json!({ "auth": {} }), (400, "'identity' is a required property")),
        (json!({ "auth": "x" }), (400, "A string is not of type 'object'")),
        (json!([1]), (400, "Expecting to find valid JSON in request body. ")),
        (identity(json!({ "methods": [] })), unauthorized),
        (
            identity(json!({ "methods": ["saml2"], "saml2": {} })),
            (401, "Attempted to authenticate with an unsupported method."),
        ),
        (identity(json!({ "methods": ["saml2"] })), (400, "Expecting to find saml2 in identity. ")),
        (
            identity(
                json!({ "methods": ["password", "token"], "password": { "user": { "id": "u1", "password": "x" } } }),
            ),
            (400, "Expecting to find token in identity. "),
        ),
        (identity(json!({ "methods": ["password"], "password": {} })), (400, "Expecting to find user in None. ")),
        (credential(json!({})), (400, "Expecting to find name or ID in application credential. ")),
        (identity(json!({ "methods": ["password"] })), (400, "Expecting to find password in identity. ")),
        (identity(json!({ "methods": ["token"] })), (400, "Expecting to find token in identity. ")),
        (token_body("garbage", &project("p")), (404, "Failed to validate token")),
        (credential(json!({ "id": "c1", "secret": "x" })), unauthorized),
        (credential(json!({ "id": "c1" })), unauthorized),
        (credential(json!({ "id": "nope", "secret": "x" })), (404, "Could not find Application Credential: nope.")),
        (
            credential(json!({ "name": "c", "secret": "s" })),
            (400, "Expecting to find user in application credential. "),
        ),
        (
            json!({ "auth": { "scope": project("p"), "identity": {
                "methods": ["application_credential"], "application_credential": { "id": "c1", "secret": "s" } } } }),
            (401, "Error authenticating with application credential: Application credentials cannot request a scope."),
        ),
        (
            identity(json!({ "methods": ["token", "password"], "token": { "id": token },
                "password": { "user": { "id": "u2", "password": "secret" } } })),
            unauthorized,
        ),
    ] {
        let reply = app.post(&body);
        assert_eq!(reply.status, status, "{body} {reply:?}");
        assert!(reply.message().starts_with(message), "{body} {reply:?}");
        let named = reply.headers.get("www-authenticate").map(String::as_str);
        assert_eq!(named, (status == 401).then_some("Keystone uri=\"http://localhost:3000/identity/v3\""), "{body}");
    }
    let plain = app.send(Method::POST, TOKENS, &[("content-type", "text/plain")], b"{}");
    assert!(plain.message().starts_with("Expecting to find application/json in Content-Type header. "));
}

#[test]
fn an_application_credential_gives_its_own_roles_and_no_other_token() {
    let app = App::with(&[("dev_identity_seed", SEED)]);
    let body = |own: Value| json!({ "auth": { "identity": { "methods": ["application_credential"], "application_credential": own } } });
    for own in [
        json!({ "id": "c1", "secret": "s" }),
        json!({ "name": "c", "secret": "s", "user": { "id": "u1" } }),
        json!({ "name": "c", "secret": "s", "user": { "name": "u", "domain": { "name": "Default" } } }),
    ] {
        let reply = app.post(&body(own));
        let token = reply.token();
        let seen = &reply.body["token"];
        assert_eq!(seen["application_credential"], json!({ "id": "c1", "name": "c", "restricted": true }));
        assert_eq!(
            (&seen["project"]["id"], &seen["roles"][0]["name"], &seen["roles"][1]),
            (&json!("p1"), &json!("reader"), &Value::Null)
        );
        let again = app.post(&token_body(&token, &project("p")));
        assert_eq!(again.status, 403, "{again:?}");
    }
    let ending = body(json!({ "id": "c2", "secret": "s" }));
    let token = app.post(&ending).token();
    app.now.set(app.now.get() + HOUR);
    assert_eq!(app.post(&ending).status, 401, "it has ended");
    assert_eq!(app.get("/auth/catalog", &token).status, 401);
    let owner = app.log_in("u", "secret", project("p")).token();
    assert_eq!(app.get("/users/u1/application_credentials", &owner).names("application_credentials"), ["c", "ends"]);
    assert_eq!(app.get("/users/u1/application_credentials/c1", &owner).body["application_credential"]["name"], "c");
    let boss = app.log_in("boss", "secret", project("p")).token();
    assert_eq!(app.get("/users/u2/application_credentials", &boss).names("application_credentials"), [""; 0]);
    assert_eq!(app.get("/users/u2/application_credentials/c1", &boss).status, 404, "it is of another user");
}

/// Returns the body of a login with the application credential `c1`, `c2`, or so.
fn credential_body(id: &str) -> Value {
    json!({ "auth": { "identity": { "methods": ["application_credential"],
        "application_credential": { "id": id, "secret": "s" } } } })
}

#[test]
fn a_credential_ends_with_its_user_its_project_and_its_time() {
    let app = App::with(&[("dev_identity_seed", SEED), ("dev_identity_token_seconds", "86400")]);
    let [unlimited, ending] = ["c1", "c2"].map(|id| app.post(&credential_body(id)).token());
    let is_valid = |token: &str, seed: &str| {
        let app = App { rows: app.rows.clone(), now: app.now.clone(), ..App::with(&[("dev_identity_seed", seed)]) };
        app.get("/auth/projects", token).status == 200
    };
    let both = SEED.replace(r#""projects": {"p": ["member"]}"#, r#""projects": {"p": ["member"], "p2": ["member"]}"#);
    assert_eq!((is_valid(&unlimited, &both), is_valid(&ending, &both)), (true, true));
    let of_another =
        both.replace(r#""id": "c1", "secret": "s", "user": "u""#, r#""id": "c1", "secret": "s", "user": "boss""#);
    let elsewhere = both.replace(r#""user": "u", "project": "p", "roles""#, r#""user": "u", "project": "p2", "roles""#);
    for seed in [of_another, elsewhere] {
        assert!(seed != both && !is_valid(&unlimited, &seed), "{seed}");
    }
    app.now.set(app.now.get() + HOUR - 1);
    assert!(is_valid(&ending, SEED));
    app.now.set(app.now.get() + 1);
    assert_eq!((is_valid(&unlimited, SEED), is_valid(&ending, SEED)), (true, false), "its token would last a day");
}

#[test]
fn a_credential_is_no_second_method_beside_another() {
    let app = App::with(&[("dev_identity_seed", SEED)]);
    let identity = |methods: [&str; 2]| {
        json!({ "auth": { "identity": {
            "methods": methods,
            "password": { "user": { "id": "u1", "password": "secret" } },
            "application_credential": { "id": "c1", "secret": "s" },
        } } })
    };
    for methods in [["password", "application_credential"], ["application_credential", "password"]] {
        assert_eq!(app.post(&identity(methods)).status, 401, "{methods:?}");
    }
    assert_eq!(app.post(&identity(["password", "password"])).status, 201);
}

#[test]
fn a_name_counts_in_its_own_domain() {
    let app = App::with(&[("dev_identity_seed", SEED)]);
    let other = json!({ "project": { "name": "p", "domain": { "name": "Other" } } });
    assert_eq!(app.log_in("u", "secret", other.clone()).status, 401);
    assert_eq!(app.log_in("boss", "secret", other).body["token"]["project"]["id"], "p2");
    let user = json!({ "name": "u", "password": "secret", "domain": { "name": "Other" } });
    let body = json!({ "auth": { "identity": { "methods": ["password"], "password": { "user": user } } } });
    assert_eq!(app.post(&body).status, 401);
}

#[test]
fn default_passwords_are_taken_only_from_this_machine() {
    let (here, this_machine) = ("localhost:3000", "127.0.0.1:5000");
    for (host, client, headers, is_taken) in [
        (here, this_machine, &[][..], true),
        (here, "[::1]:5000", &[], true),
        (here, "10.0.0.1:5000", &[], false),
        (here, "0.0.0.0:0", &[], false),
        (here, this_machine, &[("x-forwarded-for", "10.0.0.1")], false),
        (here, this_machine, &[("via", "1.1 proxy")], false),
        (here, this_machine, &[("forwarded", "for=127.0.0.1;by=keystoneauth1/5.18.1")], true),
        (here, this_machine, &[("forwarded", "for=10.0.0.1;by=keystoneauth1/5.18.1")], false),
        ("127.0.0.1:3000", this_machine, &[], true),
        ("cloud.example.org:3000", this_machine, &[], false),
    ] {
        let app = App { client, host, ..App::default() };
        let json = ("content-type", "application/json");
        let headers: Vec<(&str, &str)> = [json].into_iter().chain(headers.iter().copied()).collect();
        let send = |user: &str, password: &str, project_name: &str| {
            let body = password_body(user, password, project(project_name)).to_string();
            app.send(Method::POST, TOKENS, &headers, body.as_bytes()).status
        };
        assert_eq!(send("admin", "admin", "admin"), if is_taken { 201 } else { 401 }, "{client}");
        let says = app.log.borrow().iter().any(|line| line.contains("set dev_identity_seed"));
        assert_eq!(says, !is_taken, "{client}");
        let lines = app.log.borrow().len();
        assert_eq!(send("admin", "wrong", "admin"), 401);
        // The password of the service user is not a default one.
        assert_eq!(send("cinder", "service-secret", "service"), 201);
        assert!(app.log.borrow().len() <= lines + 1, "{:?}", app.log.borrow());
        let seeded = App { client, host, ..App::with(&[("dev_identity_seed", SEED)]) };
        assert_eq!(seeded.log_in("u", "secret", Value::Null).status, 201);
    }
}

#[test]
fn the_service_user_validates_and_others_only_their_own() {
    let app = App::default();
    let admin = app.log_in("admin", "admin", project("admin")).token();
    let demo = app.log_in("demo", "demo", project("demo")).token();
    let service = app.log_in("cinder", "service-secret", project("service")).token();
    let [older, newer] = [(), ()].map(|()| app.log_in("demo", "demo", project("demo")).token());
    for (by, subject, get, head, delete) in [
        (&service, &demo, 200, 403, 403),
        (&demo, &admin, 403, 403, 403),
        (&admin, &demo, 200, 200, 204),
        // Each user may do all of it with the own tokens.
        (&newer, &older, 200, 200, 204),
    ] {
        assert_eq!(app.about(Method::GET, by, subject).status, get);
        assert_eq!(app.about(Method::HEAD, by, subject).status, head);
        assert_eq!(app.about(Method::DELETE, by, subject).status, delete);
    }
    assert_eq!(app.get("/auth/projects", &older).status, 401, "revoked by its user");
    assert_eq!(app.about(Method::GET, &service, &demo).status, 404, "revoked");
    assert_eq!(app.about(Method::GET, &service, "garbage").message(), "Failed to validate token");
    assert_eq!(app.about(Method::GET, "garbage", &admin).status, 401);
    let demo = app.log_in("demo", "demo", project("demo")).token();
    for (token, status, message) in [
        (&admin, 404, "No token in the request"),
        (&service, 404, "No token in the request"),
        (&demo, 403, "You are not authorized to perform the requested action: identity:validate_token."),
    ] {
        let missing = app.get("/auth/tokens", token);
        assert_eq!((missing.status, missing.message()), (status, message));
    }
    assert_eq!(
        App { variables: App::with(&[("keystone_password", "")]).variables, ..App::default() }
            .log_in("cinder", "", project("service"))
            .status,
        401,
        "without a password there is no service user"
    );
}

#[test]
fn a_revoked_token_and_those_made_from_it_are_invalid() {
    let app = App::default();
    let first = app.log_in("demo", "demo", Value::Null).token();
    let second = app.post(&token_body(&first, &project("demo")));
    assert_eq!(second.body["token"]["methods"], json!(["token", "password"]));
    assert_eq!(second.body["token"]["audit_ids"].as_array().map(Vec::len), Some(2));
    let second = second.token();
    let third = app.post(&token_body(&second, &project("demo"))).token();
    let other = app.log_in("demo", "demo", project("demo")).token();
    assert_eq!(app.about(Method::DELETE, &second, &second).status, 204);
    let is_valid = |token: &str| app.get("/auth/projects", token).status == 200;
    assert_eq!([&first, &second, &third, &other].map(|token| is_valid(token)), [true, false, true, true]);
    assert_eq!(app.about(Method::DELETE, &first, &first).status, 204);
    assert_eq!([&first, &second, &third, &other].map(|token| is_valid(token)), [false, false, false, true]);
    assert_eq!(app.post(&token_body(&first, &project("demo"))).status, 404);
}

#[test]
fn revocations_are_pruned_when_their_tokens_have_ended() {
    let app = App::default();
    let revoke = || {
        let token = app.log_in("demo", "demo", project("demo")).token();
        assert_eq!(app.about(Method::DELETE, &token, &token).status, 204);
        token
    };
    let tokens: Vec<String> = (0..100).map(|_| revoke()).collect();
    assert_eq!((app.own_keys("di1:revoked:"), app.own_keys("di1:revocation:")), (100, 100), "none has ended");
    app.now.set(app.now.get() + HOUR + 2 * DAY);
    let late = (0..20).map(|_| revoke()).collect::<Vec<_>>().len();
    assert_eq!((app.own_keys("di1:revoked:"), app.own_keys("di1:revocation:")), (late, late));
    let admin = app.log_in("admin", "admin", project("admin")).token();
    let query = format!("{TOKENS}?allow_expired=1");
    for token in tokens {
        let reply = app.send(Method::GET, &query, &[("x-auth-token", &admin), ("x-subject-token", &token)], b"");
        assert_eq!(reply.status, 404, "no pruned revocation brings a token back");
    }
}

#[test]
fn an_expired_token_is_accepted_only_for_a_service_that_goes_on() {
    let app = App::default();
    let demo = app.log_in("demo", "demo", project("demo")).token();
    app.now.set(app.now.get() + HOUR - 1);
    assert_eq!(app.get("/auth/projects", &demo).status, 200);
    app.now.set(app.now.get() + 1);
    assert_eq!(app.get("/auth/projects", &demo).status, 401);
    let service = app.log_in("cinder", "service-secret", project("service")).token();
    assert_eq!(app.about(Method::GET, &service, &demo).status, 404);
    let with = |query: &str| {
        let headers = [("x-auth-token", service.as_str()), ("x-subject-token", demo.as_str())];
        app.send(Method::GET, &format!("{TOKENS}?{query}"), &headers, b"").status
    };
    assert_eq!((with("nocatalog&allow_expired=1"), with("nocatalog")), (200, 404));

    // A revocation lasts as long as a service may ask, whatever is revoked meanwhile.
    let revoke = || {
        let token = app.log_in("demo", "demo", project("demo")).token();
        assert_eq!(app.about(Method::DELETE, &token, &token).status, 204);
        token
    };
    let revoked = revoke();
    app.now.set(app.now.get() + HOUR + 2 * DAY - 1);
    revoke();
    revoke();
    let service = app.log_in("cinder", "service-secret", project("service")).token();
    let headers = [("x-auth-token", service.as_str()), ("x-subject-token", revoked.as_str())];
    assert_eq!(app.send(Method::GET, &format!("{TOKENS}?allow_expired=1"), &headers, b"").status, 404);
}

#[test]
fn what_a_token_may_be_used_for_is_its_own() {
    let app = App::with(&[("dev_identity_seed", SEED)]);
    let token = app.log_in("u", "secret", project("p")).token();
    let unscoped = app.log_in("u", "secret", Value::Null).token();
    assert_eq!(app.get("/auth/projects", &unscoped).names("projects"), ["p"]);
    assert_eq!(app.get("/auth/domains", &unscoped).names("domains"), ["Other"]);
    assert_eq!(app.get("/auth/system", &unscoped).body["system"], json!([]));
    assert_eq!((app.get("/auth/catalog", &token).status, app.get("/auth/catalog", &unscoped).status), (200, 403));
    let headers = [("x-auth-token", token.as_str()), ("x-subject-token", token.as_str())];
    let validated = |method: Method, query: &str| app.send(method, &format!("{TOKENS}{query}"), &headers, b"");
    assert!(validated(Method::GET, "").body["token"]["catalog"].is_array());
    assert_eq!(validated(Method::GET, "?nocatalog").body["token"]["catalog"], Value::Null);
    let head = validated(Method::HEAD, "");
    assert_eq!((head.status, &head.headers["x-subject-token"], &head.body), (200, &token, &Value::Null));
}

#[test]
fn keys_and_nonces_are_random() {
    let (one, other) = (App::default(), App { random: Cell::new(2), ..App::default() });
    let nonce = |token: &str| URL_SAFE_NO_PAD.decode(token).expect("base64")[9..33].to_vec();
    let [first, second] = [(), ()].map(|()| one.log_in("demo", "demo", project("demo")).token());
    assert_ne!(nonce(&first), nonce(&second));
    other.log_in("demo", "demo", project("demo")).token();
    let keys = |app: &App| {
        let rows = app.rows.borrow();
        let keys: Vec<Vec<u8>> = rows.values().filter(|value| value.len() == 32).cloned().collect();
        assert_eq!(keys.len(), 1, "{rows:?}");
        keys
    };
    assert_ne!(keys(&one), keys(&other));
}

#[test]
fn a_token_is_worth_what_the_seed_says_now() {
    let app = App::with(&[("dev_identity_seed", SEED)]);
    let project_token = app.log_in("u", "secret", project("p")).token();
    let domain_token = app.log_in("u", "secret", json!({ "domain": { "id": "other" } })).token();
    let credential = json!({ "auth": { "identity": { "methods": ["application_credential"],
        "application_credential": { "id": "c1", "secret": "s" } } } });
    let credential_token = app.post(&credential).token();
    let valid = |seed: &str| {
        let app = App { rows: app.rows.clone(), ..App::with(&[("dev_identity_seed", seed)]) };
        [&project_token, &domain_token, &credential_token].map(|token| app.get("/auth/projects", token).status == 200)
    };
    assert_eq!(valid(SEED), [true, true, true]);
    assert_eq!(valid(""), [false, false, false], "no such user");
    assert_eq!(valid(&SEED.replace("[\"auditor\"]", "[]")), [true, false, true]);
    assert_eq!(valid(&SEED.replace("\"id\": \"c1\"", "\"id\": \"c9\"")), [true, true, false]);
    assert_eq!(valid(&SEED.replace("\"id\": \"p1\"", "\"id\": \"p9\"")), [false, true, false]);
}

#[test]
fn lists_are_keystones_and_for_those_who_may_see_them() {
    let app = App::with(&[("dev_identity_seed", SEED)]);
    let boss = app.log_in("boss", "secret", project("p")).token();
    let user = app.log_in("u", "secret", project("p")).token();
    let admin_only = ["projects", "users", "services", "endpoints", "domains", "roles", "role_assignments", "groups"];
    for collection in admin_only {
        let path = format!("/{collection}");
        let reply = app.get(&path, &boss);
        assert_eq!(reply.status, 200, "{collection}");
        let links =
            json!({ "next": null, "previous": null, "self": format!("http://localhost:3000/identity/v3{path}") });
        assert_eq!(reply.body["links"], links);
        let refused = app.get(&path, &user);
        let message = format!("You are not authorized to perform the requested action: identity:list_{collection}.");
        assert_eq!((refused.status, refused.message()), (403, message.as_str()));
        assert_eq!(app.send(Method::GET, &format!("/identity/v3{path}"), &[], b"").status, 401);
    }
    assert_eq!(app.get("/regions", &user).body["regions"][0]["id"], "RegionOne");
    assert_eq!(app.get("/users?name=u", &boss).names("users"), ["u"]);
    assert_eq!(app.get("/projects?name=p&domain_id=other&zz=1", &boss).body["projects"][0]["id"], "p2");
    assert_eq!(app.get("/services?type=volumev3", &boss).names("services"), ["cinderv3"]);
    assert_eq!(app.get("/endpoints?interface=public", &boss).body["endpoints"].as_array().map(Vec::len), Some(5));
    assert_eq!(app.get("/users/u1/projects", &user).names("projects"), ["p"]);
    assert_eq!(app.get("/users/u2/projects", &user).status, 403);
    assert_eq!(app.get("/users/u2/projects", &boss).names("projects"), ["p", "p"]);
    let both = SEED.replace(r#""projects": {"p": ["member"]}"#, r#""projects": {"p": ["member"], "p2": ["member"]}"#);
    let app_of_both = App { rows: app.rows.clone(), ..App::with(&[("dev_identity_seed", &both)]) };
    assert_eq!(app_of_both.get("/projects/p2", &user).status, 403, "the token is for another project");
    for (path, by_user, by_boss) in [
        ("/users/u1", 200, 200),
        ("/users/u2", 403, 200),
        ("/users/nope", 403, 404),
        ("/projects/p1", 200, 200),
        ("/projects/p2", 403, 200),
        ("/domains/default", 200, 200),
        ("/regions/RegionOne", 200, 200),
        ("/regions/nope", 404, 404),
        ("/nothing", 404, 404),
    ] {
        assert_eq!((app.get(path, &user).status, app.get(path, &boss).status), (by_user, by_boss), "{path}");
    }
    let names = app.get("/role_assignments?include_names&user.id=u1", &boss);
    assert_eq!(names.body["role_assignments"].as_array().map(Vec::len), Some(3));
    assert_eq!(names.body["role_assignments"][0]["scope"]["project"]["name"], "p");
    assert_eq!(app.send(Method::POST, "/identity/v3/projects", &[], b"{}").status, 401);
    let create = app.send(Method::POST, "/identity/v3/projects", &[("x-auth-token", &boss)], b"{}");
    let message = "You are not authorized to perform the requested action: identity:create_project.";
    assert_eq!((create.status, create.message()), (403, message));
}

#[test]
fn two_instances_that_start_at_once_accept_the_tokens_of_both() {
    let (one, other) = (App::default(), App { random: Cell::new(2), ..App::default() });
    let first = one.log_in("demo", "demo", project("demo")).token();
    let second = other.log_in("demo", "demo", project("demo")).token();
    // Both have found an empty store, and the last pointer stays.
    one.rows.borrow_mut().extend(other.rows.take());
    for token in [&first, &second] {
        assert_eq!(one.get("/auth/projects", token).status, 200);
    }
    let says = |app: &App| app.log.borrow().iter().filter(|line| line.contains("for development")).count();
    assert_eq!(says(&one), 1, "said once, not for each request");
}

#[test]
fn each_start_says_that_it_is_for_development_and_no_client_fills_the_log() {
    let app = App::default();
    let healthy = || {
        assert_eq!(app.send(Method::GET, "/identity/healthcheck", &[], b"").status, 200);
        app.log.borrow().iter().filter(|line| line.contains("for development")).count()
    };
    assert_eq!([healthy(), healthy()], [1, 1]);
    for (seconds, lines) in [(9, 1), (1, 2), (0, 2), (-100, 3), (5, 3)] {
        app.now.set(app.now.get() + seconds);
        assert_eq!(healthy(), lines, "{seconds}");
    }
    app.log_in("demo", "demo", project("demo")).token();
    assert_eq!(app.log.borrow().len(), 3);
}

#[test]
fn a_token_of_another_store_opens_nothing() {
    let (one, other) = (App::default(), App { random: Cell::new(2), ..App::default() });
    let token = one.log_in("admin", "admin", project("admin")).token();
    other.log_in("admin", "admin", project("admin")).token();
    assert_eq!(other.get("/auth/projects", &token).status, 401);
    assert!(!one.rows.borrow().values().any(|value| value.windows(5).any(|bytes| bytes == b"admin")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_token_outlives_the_end_of_the_first(seconds in 1_i64..100_000, steps in prop::collection::vec(0_i64..50_000, 1..6)) {
        let seconds_string = seconds.to_string();
        let app = App::with(&[("dev_identity_token_seconds", &seconds_string)]);
        let start = app.now.get();
        let mut token = app.log_in("demo", "demo", project("demo")).token();
        for step in steps {
            app.now.set(app.now.get() + step);
            let is_alive = app.now.get() < start + seconds;
            prop_assert_eq!(app.get("/auth/projects", &token).status, if is_alive { 200 } else { 401 });
            let reply = app.post(&token_body(&token, &project("demo")));
            prop_assert_eq!(reply.status, if is_alive { 201 } else { 404 });
            if !is_alive {
                break;
            }
            token = reply.token();
        }
    }

    #[test]
    fn no_body_makes_it_panic_or_signs_anybody_in(body in "\\PC{0,200}", key in "(auth|identity|methods|scope|user)") {
        let app = App::default();
        for body in [body.clone(), json!({ "auth": { "identity": { "methods": ["password"], key: body } } }).to_string()] {
            let reply = app.send(Method::POST, TOKENS, &[("content-type", "application/json")], body.as_bytes());
            prop_assert!(matches!(reply.status, 400 | 401 | 404), "{:?}", reply);
        }
    }
}
