//! From a request to its answer: the routes, the caller, and Keystone's rules of who may do what.

use http::{Method, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::catalog;
use crate::directory::{ADMIN, Directory, Role, SERVICE, User};
use crate::environment::Environment;
use crate::faults::Fault;
use crate::identifiers::hexadecimal;
use crate::login::{Authenticated, Login};
use crate::neighbours::Document;
use crate::request::{Answer, Body, Request};
use crate::settings::Settings;
use crate::token::{AuditId, Claims, Scope, Sealed};
use crate::{keys, revocation, token, views};

/// How long after its end a service may still validate a token of a user for whom it works: Keystone's
/// `allow_expired_window`.
const EXPIRED_WINDOW: i64 = 172_800;

/// The longest path in the log, in bytes.
const LONGEST_LOGGED_PATH: usize = 256;

/// The collections that Keystone writes and this service only reads, with the names of one of each.
const COLLECTIONS: [(&str, &str); 9] = [
    ("projects", "project"),
    ("users", "user"),
    ("domains", "domain"),
    ("roles", "role"),
    ("services", "service"),
    ("endpoints", "endpoint"),
    ("regions", "region"),
    ("groups", "group"),
    ("role_assignments", "role_assignment"),
];

/// The methods of a path that is only read, and of those that are written too in Keystone.
const READ: &str = "GET, HEAD, OPTIONS";
const CREATE: &str = "GET, HEAD, POST, OPTIONS";
const CHANGE: &str = "GET, HEAD, PATCH, DELETE, OPTIONS";
const DELETE: &str = "GET, HEAD, DELETE, OPTIONS";
const TOKENS: &str = "GET, HEAD, POST, DELETE, OPTIONS";
/// The methods of the paths below a user, a project, or the like that this service does not serve, such as the grant of a
/// role.
const BELOW: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Answers a request.
#[must_use]
pub fn handle(request: &Request, environment: &Environment<'_>) -> Answer {
    let settings = match Settings::read(environment.variables) {
        Ok(Some(settings)) => Ok(settings),
        // As if this component did not exist.
        Ok(None) => return Answer::not_found(),
        Err(error) => Err(Fault::from(error)),
    };
    let origin = request.origin();
    let keystone = format!("{origin}/identity/v3");
    let request_id = request_id(environment);
    let answered = settings.and_then(|settings| {
        let Settings { directory, token_seconds } = &settings;
        let keystone = keystone.as_str();
        Call { request, environment, directory, token_seconds: *token_seconds, origin: &origin, keystone }.answer()
    });
    let mut answer = answered.unwrap_or_else(|fault| {
        if let Some(cause) = &fault.cause {
            // The client chooses the path, so only a part of it is written.
            let path = request.path.get(..LONGEST_LOGGED_PATH).unwrap_or(&request.path);
            let (method, status) = (&request.method, fault.status.as_u16());
            (environment.log)(&format!("{request_id} {method} {path} answered {status}: {cause}"));
        }
        fault.answer(&keystone)
    });
    if request.method == Method::HEAD {
        answer.body.clear();
    }
    answer.with_header("vary", "X-Auth-Token".to_owned()).with_header("x-openstack-request-id", request_id)
}

/// Returns a new id of a request, of the form of a UUID, as clients expect.
fn request_id(environment: &Environment<'_>) -> String {
    let mut bytes = [0; 16];
    (environment.random)(&mut bytes);
    let digits = hexadecimal(&bytes);
    let part = |range: std::ops::Range<usize>| digits.get(range).unwrap_or_default();
    format!("req-{}-{}-4{}-a{}-{}", part(0..8), part(8..12), part(13..16), part(17..20), part(20..32))
}

/// A request with all that answers it.
struct Call<'a> {
    request: &'a Request,
    environment: &'a Environment<'a>,
    directory: &'a Directory,
    token_seconds: i64,
    origin: &'a str,
    /// The URL of this Keystone, with its version.
    keystone: &'a str,
}

/// A caller with a valid token.
struct Caller<'a> {
    claims: Claims,
    user: &'a User,
    roles: Vec<&'a Role>,
}

impl Caller<'_> {
    fn has(&self, role: &str) -> bool {
        self.roles.iter().any(|own| own.name == role)
    }

    fn is_admin(&self) -> bool {
        self.has(ADMIN)
    }
}

/// What a caller may do with a token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Check,
    Validate,
    Revoke,
}

impl Action {
    /// Returns the name of Keystone's rule.
    const fn rule(self) -> &'static str {
        match self {
            Self::Check => "check_token",
            Self::Validate => "validate_token",
            Self::Revoke => "revoke_token",
        }
    }
}

impl<'a> Call<'a> {
    fn answer(&self) -> Result<Answer, Fault> {
        let path = percent_decode_str(&self.request.path).decode_utf8_lossy();
        let mut segments: Vec<&str> = path.split('/').skip(1).collect();
        if segments.last() == Some(&"") {
            segments.pop();
        }
        let Some((&"identity", segments)) = segments.split_first() else { return Ok(Answer::not_found()) };
        let Some(allow) = allowed(segments) else { return Ok(Answer::not_found()) };
        let method = &self.request.method;
        if *method == Method::OPTIONS {
            return Ok(Answer::html(StatusCode::OK, "").with_header("allow", allow.to_owned()));
        }
        if !allow.split(", ").any(|own| own == method.as_str()) {
            let is_version_document = !matches!(segments, ["v3", _, ..]);
            return Ok(method_not_allowed(allow, is_version_document));
        }
        let reads = matches!(*method, Method::GET | Method::HEAD);
        match segments {
            ["v3", "auth", "tokens"] => self.tokens(),
            ["v3", collection, id @ ..] if !reads => self.refuse_to_write(collection, id.len()),
            [] => {
                let versions = json!({ "versions": { "values": [catalog::identity_version(self.keystone)] } });
                let answer = Answer::json(StatusCode::MULTIPLE_CHOICES, &versions);
                Ok(answer.with_header("location", format!("{}/", self.keystone)))
            }
            ["v3"] => Ok(ok(&json!({ "version": catalog::identity_version(self.keystone) }))),
            ["healthcheck"] => {
                // Creates the key that seals tokens, so that a store that cannot be written is found out at once.
                keys::current(self.environment)?;
                keys::announce(self.environment)?;
                Ok(Answer { body: b"OK".to_vec(), ..Answer::empty(StatusCode::OK) }
                    .with_header("content-type", "text/plain; charset=UTF-8".to_owned()))
            }
            ["v3", "auth", what] => self.auth(what),
            ["v3", rest @ ..] => self.resources(rest),
            _ => self.neighbour(segments),
        }
    }

    /// Answers a request to Nova or Glance.
    fn neighbour(&self, segments: &[&str]) -> Result<Answer, Fault> {
        let Some(document) = Document::at(segments) else { return Ok(Answer::not_found()) };
        if document.needs_token() {
            self.caller()?;
        }
        Ok(Answer::json(document.status(), &document.view(self.origin)))
    }

    /// Answers a request about tokens.
    fn tokens(&self) -> Result<Answer, Fault> {
        match self.request.method {
            Method::POST => self.issue(),
            Method::GET | Method::HEAD => {
                let caller = self.caller()?;
                let is_head = self.request.method == Method::HEAD;
                let action = if is_head { Action::Check } else { Action::Validate };
                let (subject, token) = self.subject(&caller, action, self.request.has_parameter("allow_expired"))?;
                Ok(ok(&self.view(&subject)).with_header("x-subject-token", token.to_owned()))
            }
            Method::DELETE => {
                let caller = self.caller()?;
                let (subject, _) = self.subject(&caller, Action::Revoke, false)?;
                let ends_at = subject.claims.expires_at.saturating_add(EXPIRED_WINDOW);
                revocation::revoke(subject.claims.audit, ends_at, self.environment)?;
                Ok(Answer::empty(StatusCode::NO_CONTENT))
            }
            _ => Ok(Answer::not_found()),
        }
    }

    /// Issues a token.
    fn issue(&self) -> Result<Answer, Fault> {
        let body = self.body()?;
        let login = Login {
            directory: self.directory,
            now: self.environment.now,
            takes_default_passwords: self.request.is_from_loopback(),
            validate: &|token| Ok(self.valid(token, false)?.claims),
        };
        let Authenticated { user, methods, scope, credential, parent } = login.authenticate(&body)?;
        let now = self.environment.now;
        let mut audit = AuditId::default();
        (self.environment.random)(&mut audit);
        let claims = Claims {
            user_id: user.id.clone(),
            methods,
            scope,
            credential_id: credential.map(|credential| credential.id.clone()),
            issued_at: now,
            // A token that was made from another one ends with it, so that nobody can stay signed in for ever.
            expires_at: match &parent {
                Some(parent) => parent.expires_at,
                None => now.saturating_add(self.token_seconds),
            },
            audit,
            first_audit: parent.map(|parent| parent.first_audit.unwrap_or(parent.audit)),
        };
        let (name, key) = keys::current(self.environment)?;
        let mut nonce = [0; 24];
        (self.environment.random)(&mut nonce);
        let sealed = token::seal(&claims, name, &key, nonce);
        let sealed = sealed.ok_or_else(|| Fault::internal("a token could not be sealed".to_owned()))?;
        let caller = self.known(claims).ok_or_else(Fault::unauthorized)?;
        Ok(Answer::json(StatusCode::CREATED, &self.view(&caller)).with_header("x-subject-token", sealed))
    }

    /// Reads the JSON of the body. An empty body is an empty object.
    fn body(&self) -> Result<Value, Fault> {
        let bytes = match &self.request.body {
            Body::Complete(bytes) => bytes,
            Body::TooLarge => return Err(Fault::new(StatusCode::PAYLOAD_TOO_LARGE, "Request is too large.")),
        };
        if bytes.is_empty() {
            return Ok(json!({}));
        }
        let media_type = self.request.header("content-type").unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case("application/json") {
            return Err(Fault::expecting("application/json", "Content-Type header"));
        }
        let body = serde_json::from_slice(bytes).ok().filter(Value::is_object);
        body.ok_or_else(|| Fault::expecting("valid JSON", "request body"))
    }

    /// Returns the caller whose token the request has.
    fn caller(&self) -> Result<Caller<'a>, Fault> {
        let token = self.request.header("x-auth-token").ok_or_else(Fault::unauthorized)?;
        self.valid(token, false)
            .map_err(|fault| if fault.status == StatusCode::NOT_FOUND { Fault::unauthorized() } else { fault })
    }

    /// Returns the token that the request is about, and its string, if the caller may do this with it: all users with their
    /// own tokens, administrators with any, and services may validate any.
    fn subject(
        &self,
        caller: &Caller<'_>,
        action: Action,
        may_be_expired: bool,
    ) -> Result<(Caller<'a>, &'a str), Fault> {
        let may_with_any = caller.is_admin() || (caller.has(SERVICE) && action == Action::Validate);
        let forbidden = || Fault::forbidden(action.rule());
        let token = self
            .request
            .header("x-subject-token")
            .ok_or_else(|| if may_with_any { Fault::not_found("No token in the request") } else { forbidden() })?;
        let subject = self.valid(token, may_be_expired)?;
        if may_with_any || caller.user.id == subject.user.id { Ok((subject, token)) } else { Err(forbidden()) }
    }

    /// Validates a token.
    fn valid(&self, token: &str, may_be_expired: bool) -> Result<Caller<'a>, Fault> {
        let invalid = || Fault::not_found("Failed to validate token");
        let sealed = Sealed::read(token).ok_or_else(invalid)?;
        let key = keys::named(sealed.key_name(), self.environment)?.ok_or_else(invalid)?;
        let claims = sealed.open(&key).ok_or_else(invalid)?;
        let window = if may_be_expired { EXPIRED_WINDOW } else { 0 };
        if self.environment.now >= claims.expires_at.saturating_add(window)
            || revocation::is_revoked(&claims, self.environment)?
        {
            return Err(invalid());
        }
        self.known(claims).ok_or_else(invalid)
    }

    /// Returns the owner of a token with its roles, as the seed document has them now. Returns `None` if the document no
    /// longer has the user, the project, the application credential, or a role of the user there.
    fn known(&self, claims: Claims) -> Option<Caller<'a>> {
        let directory = self.directory;
        let user = directory.user(&claims.user_id)?;
        let names = match &claims.scope {
            Scope::Unscoped => None,
            Scope::Project(id) => Some(user.projects.get(&directory.project(id)?.id)?),
            Scope::Domain(id) => Some(user.domains.get(&directory.domain(id)?.id)?),
        };
        let mut roles: Vec<&Role> =
            names.into_iter().flatten().filter_map(|name| directory.role_by_name(name)).collect();
        if let Some(id) = &claims.credential_id {
            let credential = directory.credential(id)?;
            let is_over = credential.expires_at.is_some_and(|end| self.environment.now >= end);
            if is_over || credential.user_id != user.id || claims.scope != Scope::Project(credential.project_id.clone())
            {
                return None;
            }
            roles.retain(|role| credential.roles.contains(&role.name));
        }
        let is_somebody = claims.scope == Scope::Unscoped || !roles.is_empty();
        is_somebody.then_some(Caller { claims, user, roles })
    }

    /// Returns the body of an answer about a token.
    fn view(&self, caller: &Caller<'_>) -> Value {
        let catalog = (!self.request.has_parameter("nocatalog")).then(|| self.catalog(&caller.claims.scope));
        views::token(&caller.claims, caller.user, &caller.roles, self.directory, catalog)
    }

    fn catalog(&self, scope: &Scope) -> Value {
        let project = if let Scope::Project(id) = scope { Some(id.as_str()) } else { None };
        catalog::catalog(self.origin, &self.directory.region, project)
    }

    /// Answers what a caller may learn about the own token.
    fn auth(&self, what: &str) -> Result<Answer, Fault> {
        if !matches!(what, "catalog" | "projects" | "domains" | "system") {
            return Ok(Answer::not_found());
        }
        let caller = self.caller()?;
        match what {
            "catalog" if caller.claims.scope == Scope::Unscoped => {
                Err(Fault::new(StatusCode::FORBIDDEN, "You are not authorized to perform the requested action."))
            }
            "catalog" => Ok(ok(&json!({
                "catalog": self.catalog(&caller.claims.scope),
                "links": { "self": format!("{}/auth/catalog", self.keystone) },
            }))),
            "projects" => Ok(self.list("projects", self.projects_of(caller.user))),
            "domains" => {
                let domains = self.directory.domains.iter().filter(|own| caller.user.domains.contains_key(&own.id));
                Ok(self.list("domains", domains.map(|domain| views::domain(domain, self.keystone)).collect()))
            }
            _ => Ok(ok(&json!({ "system": [], "links": { "self": format!("{}/auth/system", self.keystone) } }))),
        }
    }

    /// Answers a request for users, projects, and the like.
    fn resources(&self, segments: &[&str]) -> Result<Answer, Fault> {
        match segments {
            [collection] => {
                let Some((_, rows)) = self.rows(collection) else { return Ok(Answer::not_found()) };
                let caller = self.caller()?;
                if *collection != "regions" && !caller.is_admin() {
                    return Err(Fault::forbidden(&format!("list_{collection}")));
                }
                Ok(self.list(collection, rows))
            }
            [collection, id] => {
                let Some((singular, rows)) = self.rows(collection) else { return Ok(Answer::not_found()) };
                if *collection == "role_assignments" {
                    return Ok(Answer::not_found());
                }
                let caller = self.caller()?;
                if !self.may_get(&caller, collection, id) {
                    return Err(Fault::forbidden(&format!("get_{singular}")));
                }
                let row = rows.into_iter().find(|row| row["id"] == *id);
                let row = row.ok_or_else(|| Fault::not_found(format!("Could not find {singular}: {id}.")))?;
                Ok(ok(&json!({ singular: row })))
            }
            ["users", id, of] if matches!(*of, "projects" | "groups" | "application_credentials") => {
                let action = if *of == "application_credentials" { of.to_string() } else { format!("user_{of}") };
                let user = self.own_user(id, &format!("list_{action}"))?;
                Ok(self.list(
                    of,
                    match *of {
                        "projects" => self.projects_of(user),
                        "groups" => Vec::new(),
                        _ => self.credentials_of(user),
                    },
                ))
            }
            ["users", id, "application_credentials", credential] => {
                let user = self.own_user(id, "get_application_credential")?;
                let row = self.credentials_of(user).into_iter().find(|row| row["id"] == *credential);
                let missing = || Fault::not_found(format!("Could not find Application Credential: {credential}."));
                Ok(ok(&json!({ "application_credential": row.ok_or_else(missing)? })))
            }
            _ => Ok(Answer::not_found()),
        }
    }

    /// Returns the rows of a collection, and the name of one.
    fn rows(&self, collection: &str) -> Option<(&'static str, Vec<Value>)> {
        let Self { directory, keystone, .. } = *self;
        let (_, singular) = COLLECTIONS.iter().find(|(name, _)| *name == collection)?;
        let rows = match collection {
            "projects" => directory.projects.iter().map(|project| views::project(project, keystone)).collect(),
            "users" => directory.users.iter().map(|user| views::user(user, keystone)).collect(),
            "domains" => directory.domains.iter().map(|domain| views::domain(domain, keystone)).collect(),
            "roles" => directory.roles.iter().map(|role| views::role(role, keystone)).collect(),
            "services" => catalog::SERVICES.iter().map(|service| service.view(keystone)).collect(),
            "endpoints" => catalog::endpoints(self.origin, keystone, &directory.region),
            "regions" => vec![views::region(&directory.region, keystone)],
            "role_assignments" => {
                views::role_assignments(directory, keystone, self.request.has_parameter("include_names"))
            }
            _ => Vec::new(),
        };
        Some((singular, rows))
    }

    /// Returns whether a caller may see one row of a collection, by the rules of Keystone's default policy.
    fn may_get(&self, caller: &Caller<'_>, collection: &str, id: &str) -> bool {
        let is_own = match collection {
            "regions" | "roles" => true,
            "users" => caller.user.id == id,
            "projects" => caller.claims.scope == Scope::Project(id.to_owned()),
            "domains" => match &caller.claims.scope {
                Scope::Unscoped => false,
                Scope::Domain(own) => own == id,
                Scope::Project(own) => self.directory.project(own).is_some_and(|project| project.domain_id == id),
            },
            _ => false,
        };
        is_own || caller.is_admin()
    }

    /// Returns a user that the path names, for an administrator and for the user.
    fn own_user(&self, id: &str, action: &str) -> Result<&'a User, Fault> {
        let caller = self.caller()?;
        if !caller.is_admin() && caller.user.id != id {
            return Err(Fault::forbidden(action));
        }
        self.directory.user(id).ok_or_else(|| Fault::not_found(format!("Could not find user: {id}.")))
    }

    fn projects_of(&self, user: &User) -> Vec<Value> {
        let own = self.directory.projects.iter().filter(|project| user.projects.contains_key(&project.id));
        own.map(|project| views::project(project, self.keystone)).collect()
    }

    fn credentials_of(&self, user: &User) -> Vec<Value> {
        let own = self.directory.credentials.iter().filter(|credential| credential.user_id == user.id);
        own.map(|credential| views::credential(credential, self.directory, self.keystone)).collect()
    }

    /// Returns a list of the rows that match the query.
    fn list(&self, collection: &str, mut rows: Vec<Value>) -> Answer {
        for (name, value) in form_urlencoded::parse(self.request.query.as_bytes()) {
            rows.retain(|row| matches(row, &name, &value));
        }
        let path = self.request.path.trim_start_matches("/identity/v3").trim_end_matches('/');
        let query = &self.request.query;
        let question_mark = if query.is_empty() { "" } else { "?" };
        let own = format!("{}{path}{question_mark}{query}", self.keystone);
        ok(&json!({ collection: rows, "links": { "next": null, "previous": null, "self": own } }))
    }

    /// Refuses to change what comes from the seed document.
    fn refuse_to_write(&self, collection: &str, ids: usize) -> Result<Answer, Fault> {
        let singular = COLLECTIONS.iter().find(|(name, _)| *name == collection);
        let Some((_, singular)) = singular else { return Ok(Answer::not_found()) };
        let verb = match (&self.request.method, ids) {
            (&Method::POST, 0) => "create",
            (&Method::DELETE, 1) => "delete",
            _ => "update",
        };
        self.caller()?;
        Err(Fault::forbidden(&format!("{verb}_{singular}")))
    }
}

/// Returns whether a row matches a parameter of the query. A parameter that is no filter of Keystone's matches all.
fn matches(row: &Value, name: &str, value: &str) -> bool {
    let own = match name {
        "name" | "domain_id" | "parent_id" | "type" | "interface" | "service_id" | "region_id" => &row[name],
        "enabled" => return row["enabled"].is_null() || row["enabled"] == (value != "false" && value != "0"),
        "user.id" | "role.id" => &row[name.trim_end_matches(".id")]["id"],
        "scope.project.id" => &row["scope"]["project"]["id"],
        "scope.domain.id" => &row["scope"]["domain"]["id"],
        _ => return true,
    };
    own.as_str() == Some(value)
}

fn ok(body: &Value) -> Answer {
    Answer::json(StatusCode::OK, body)
}

/// Returns the methods that Keystone has for a path, or `None` for a path that it does not have.
fn allowed(segments: &[&str]) -> Option<&'static str> {
    let is_collection = |name: &str| COLLECTIONS.iter().any(|(own, _)| *own == name);
    match segments {
        [] | ["v3" | "healthcheck"] => Some(READ),
        ["v3", "auth", "tokens"] => Some(TOKENS),
        ["v3", "auth", "catalog" | "projects" | "domains" | "system"] | ["v3", "role_assignments"] => Some(READ),
        ["v3", "role_assignments", ..] => None,
        ["v3", "users", _, "projects" | "groups"] => Some(READ),
        ["v3", "users", _, "application_credentials"] => Some(CREATE),
        ["v3", "users", _, "application_credentials", _] => Some(DELETE),
        ["v3", collection, ids @ ..] if is_collection(collection) => Some(match ids {
            [] => CREATE,
            [_] => CHANGE,
            _ => BELOW,
        }),
        _ => Document::at(segments).map(|_| READ),
    }
}

/// Returns Keystone's answer to a method that a path does not have. A version document is outside its API.
fn method_not_allowed(allow: &str, is_version_document: bool) -> Answer {
    let message = "The method is not allowed for the requested URL.";
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let answer = if is_version_document {
        Answer::html(status, message)
    } else {
        Answer::json(status, &json!({ "message": message }))
    };
    answer.with_header("allow", allow.to_owned())
}
