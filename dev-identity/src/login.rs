//! The body of a request for a token: the methods of authentication and the scope, with Keystone's faults for those that
//! make no sense.

use ctutils::CtEq as _;
use http::StatusCode;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::directory::{ApplicationCredential, Directory, Domain, User};
use crate::faults::Fault;
use crate::token::{Claims, Methods, Scope};

const UNSCOPED: &str = "unscoped";

/// The keys of a scope, of which there must be exactly one.
const SCOPES: [&str; 5] = ["system", "project", "domain", "OS-TRUST:trust", UNSCOPED];

/// The surroundings of a login.
pub(crate) struct Login<'a> {
    pub directory: &'a Directory,
    /// The time, in seconds since 1970.
    pub now: i64,
    /// Whether the client may use a default password.
    pub takes_default_passwords: bool,
    /// Validates a token.
    pub validate: &'a dyn Fn(&str) -> Result<Claims, Fault>,
}

/// A caller who is authenticated.
pub(crate) struct Authenticated<'a> {
    pub user: &'a User,
    pub methods: Methods,
    pub scope: Scope,
    pub credential: Option<&'a ApplicationCredential>,
    /// The claims of the token that was used to authenticate.
    pub parent: Option<Claims>,
}

impl<'a> Login<'a> {
    /// Authenticates the caller of a request with this body.
    ///
    /// # Errors
    ///
    /// Fails with Keystone's fault.
    pub(crate) fn authenticate(&self, body: &Value) -> Result<Authenticated<'a>, Fault> {
        let auth = body.get("auth").ok_or_else(|| Fault::expecting("auth", "request body"))?;
        let auth = object(auth)?;
        let identity = object(required(auth, "identity")?)?;
        let names = required(identity, "methods")?;
        let names = names.as_array().ok_or_else(|| is_not(names, "array"))?;
        let names = names.iter().map(string).collect::<Result<Vec<&str>, _>>()?;
        if let Some(missing) = names.iter().find(|name| !identity.contains_key(**name)) {
            return Err(Fault::expecting(missing, "identity"));
        }
        let mut authenticated = None;
        for name in names {
            let proven = self.method(name, identity, auth)?;
            authenticated = Some(match authenticated {
                None => proven,
                Some(earlier) => merged(earlier, proven)?,
            });
        }
        let mut authenticated: Authenticated<'a> = authenticated.ok_or_else(Fault::unauthorized)?;
        if let Some(credential) = authenticated.credential {
            authenticated.scope = Scope::Project(credential.project_id.clone());
        } else if let Some(scope) = auth.get("scope") {
            authenticated.scope = self.scope(scope, authenticated.user)?;
        }
        Ok(authenticated)
    }

    fn method(
        &self,
        name: &str,
        identity: &Map<String, Value>,
        auth: &Map<String, Value>,
    ) -> Result<Authenticated<'a>, Fault> {
        if !matches!(name, "password" | "token" | "application_credential") {
            let message = "Attempted to authenticate with an unsupported method.";
            let methods = json!({ "methods": ["password", "token", "application_credential"] });
            return Err(Fault { identity: Some(methods), ..Fault::new(StatusCode::UNAUTHORIZED, message) });
        }
        let payload = object(identity.get(name).ok_or_else(|| Fault::expecting(name, "identity"))?)?;
        match name {
            "password" => self.password(payload),
            "token" => self.token(payload),
            _ if auth.contains_key("scope") => {
                let message = "Error authenticating with application credential: \
                               Application credentials cannot request a scope.";
                Err(Fault { identity: Some(json!({})), ..Fault::new(StatusCode::UNAUTHORIZED, message) })
            }
            _ => self.application_credential(payload),
        }
    }

    fn password(&self, payload: &Map<String, Value>) -> Result<Authenticated<'a>, Fault> {
        let named = object(payload.get("user").ok_or_else(|| Fault::expecting("user", "None"))?)?;
        let user = self.user(named)?;
        let password = optional(named, "password")?;
        // An unknown user takes as long as a known one.
        let is_equal = equal(password.unwrap_or_default(), user.map_or("", |user| &user.password));
        let user = user.filter(|_| is_equal && password.is_some()).ok_or_else(Fault::unauthorized)?;
        if user.has_default_password && !self.takes_default_passwords {
            let cause = format!(
                "the default password of '{}' is taken only from this machine; for clients elsewhere, or behind a \
                 proxy, set dev_identity_seed to a document with other passwords",
                user.name
            );
            return Err(Fault { cause: Some(cause), ..Fault::unauthorized() });
        }
        Ok(Authenticated {
            user,
            methods: Methods { password: true, ..Methods::default() },
            scope: Scope::Unscoped,
            credential: None,
            parent: None,
        })
    }

    fn token(&self, payload: &Map<String, Value>) -> Result<Authenticated<'a>, Fault> {
        let token = string(required(payload, "id")?)?;
        let parent = (self.validate)(token)?;
        if parent.credential_id.is_some() {
            let message = "You are not authorized to perform the requested action: \
                           Using a delegated token to create another token is not allowed..";
            return Err(Fault::new(StatusCode::FORBIDDEN, message));
        }
        let user = self.directory.user(&parent.user_id).ok_or_else(Fault::unauthorized)?;
        let methods = Methods { token: true, ..parent.methods };
        Ok(Authenticated { user, methods, scope: Scope::Unscoped, credential: None, parent: Some(parent) })
    }

    fn application_credential(&self, payload: &Map<String, Value>) -> Result<Authenticated<'a>, Fault> {
        let (id, name) = (optional(payload, "id")?, optional(payload, "name")?);
        let credential = match (id, name) {
            (Some(id), _) => Some(
                self.directory
                    .credential(id)
                    .ok_or_else(|| Fault::not_found(format!("Could not find Application Credential: {id}.")))?,
            ),
            (None, Some(name)) => {
                let named = payload.get("user").ok_or_else(|| Fault::expecting("user", "application credential"))?;
                let user = self.user(object(named)?)?;
                let mut all = self.directory.credentials.iter();
                user.and_then(|user| all.find(|own| own.user_id == user.id && own.name == name))
            }
            (None, None) => return Err(Fault::expecting("name or ID", "application credential")),
        };
        let secret = optional(payload, "secret")?;
        let is_equal = equal(secret.unwrap_or_default(), credential.map_or("", |credential| &credential.secret));
        let credential = credential
            .filter(|_| is_equal && secret.is_some())
            .filter(|credential| credential.expires_at.is_none_or(|end| self.now < end))
            .ok_or_else(Fault::unauthorized)?;
        let user = self.directory.user(&credential.user_id).ok_or_else(Fault::unauthorized)?;
        Ok(Authenticated {
            user,
            methods: Methods { application_credential: true, ..Methods::default() },
            scope: Scope::Unscoped,
            credential: Some(credential),
            parent: None,
        })
    }

    /// Returns the user whom a request names by id, or by name and domain.
    fn user(&self, named: &Map<String, Value>) -> Result<Option<&'a User>, Fault> {
        match (optional(named, "id")?, optional(named, "name")?) {
            (Some(id), _) => Ok(self.directory.user(id)),
            (None, Some(name)) => {
                let domain = self.domain(named.get("domain").ok_or_else(|| Fault::expecting("domain", "user"))?)?;
                Ok(domain.and_then(|domain| self.directory.user_by_name(name, &domain.id)))
            }
            (None, None) => Err(Fault::expecting("id or name", "user")),
        }
    }

    /// Returns the domain that a request names by id or by name.
    fn domain(&self, named: &Value) -> Result<Option<&'a Domain>, Fault> {
        let named = object(named)?;
        match (optional(named, "id")?, optional(named, "name")?) {
            (Some(id), _) => Ok(self.directory.domain(id)),
            (None, Some(name)) => Ok(self.directory.domain_by_name(name)),
            (None, None) => Err(Fault::expecting("id or name", "domain")),
        }
    }

    /// Returns the scope that a request asks for, if its user has a role there.
    fn scope(&self, scope: &Value, user: &User) -> Result<Scope, Fault> {
        let none_or_several = || Fault::expecting("system, project, domain, OS-TRUST:trust or unscoped", "scope");
        if scope == UNSCOPED {
            return Ok(Scope::Unscoped);
        }
        if scope.is_string() {
            return Err(none_or_several());
        }
        let scope = object(scope)?;
        let mut kinds = SCOPES.iter().filter_map(|kind| Some((*kind, scope.get(*kind)?)));
        let (Some((kind, named)), None) = (kinds.next(), kinds.next()) else { return Err(none_or_several()) };
        match kind {
            UNSCOPED => Ok(Scope::Unscoped),
            "project" => {
                let named = object(named)?;
                let project = match (optional(named, "id")?, optional(named, "name")?) {
                    (Some(id), _) => self.directory.project(id),
                    (None, Some(name)) => {
                        let domain = named.get("domain").ok_or_else(|| Fault::expecting("domain", "project"))?;
                        let domain = self.domain(domain)?;
                        domain.and_then(|domain| self.directory.project_by_name(name, &domain.id))
                    }
                    (None, None) => return Err(Fault::expecting("id or name", "project")),
                };
                let project =
                    project.filter(|project| user.projects.get(&project.id).is_some_and(|own| !own.is_empty()));
                Ok(Scope::Project(project.ok_or_else(Fault::unauthorized)?.id.clone()))
            }
            "domain" => {
                let domain = self.domain(named)?;
                let domain = domain.filter(|domain| user.domains.get(&domain.id).is_some_and(|own| !own.is_empty()));
                Ok(Scope::Domain(domain.ok_or_else(Fault::unauthorized)?.id.clone()))
            }
            // Nobody has a role on the system, and there are no trusts.
            _ => Err(Fault::unauthorized()),
        }
    }
}

/// Returns what two methods of one request prove together.
fn merged<'a>(one: Authenticated<'a>, other: Authenticated<'a>) -> Result<Authenticated<'a>, Fault> {
    if one.user.id != other.user.id || (one.credential.is_some() != other.credential.is_some()) {
        return Err(Fault::unauthorized());
    }
    let methods = Methods {
        password: one.methods.password || other.methods.password,
        token: one.methods.token || other.methods.token,
        application_credential: one.methods.application_credential || other.methods.application_credential,
    };
    Ok(Authenticated { methods, parent: one.parent.or(other.parent), ..other })
}

/// Compares two secrets in a time that does not depend on where they differ, nor on their lengths.
fn equal(one: &str, other: &str) -> bool {
    let (one, other): ([u8; 32], [u8; 32]) = (Sha256::digest(one).into(), Sha256::digest(other).into());
    one.ct_eq(&other).to_bool()
}

fn required<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a Value, Fault> {
    object.get(name).ok_or_else(|| Fault::bad_request(format!("'{name}' is a required property")))
}

fn optional<'a>(object: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Fault> {
    object.get(name).map(string).transpose()
}

fn object(value: &Value) -> Result<&Map<String, Value>, Fault> {
    value.as_object().ok_or_else(|| is_not(value, "object"))
}

fn string(value: &Value) -> Result<&str, Fault> {
    value.as_str().ok_or_else(|| is_not(value, "string"))
}

/// Returns the fault of a value of the wrong type. It names the type alone, because the value may be a secret.
fn is_not(value: &Value, expected: &str) -> Fault {
    let kind = match value {
        Value::Null => "None",
        Value::Bool(_) => "A boolean",
        Value::Number(_) => "A number",
        Value::String(_) => "A string",
        Value::Array(_) => "An array",
        Value::Object(_) => "An object",
    };
    Fault::bad_request(format!("{kind} is not of type '{expected}'"))
}
