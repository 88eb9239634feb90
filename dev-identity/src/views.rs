//! Keystone's JSON of tokens, users, projects, domains, and roles.

use chrono::DateTime;
use serde_json::{Value, json};

use crate::directory::{ApplicationCredential, Directory, Domain, Project, Role, User};
use crate::token::{Claims, Scope, audit_string};

/// Returns a time as Keystone writes it.
fn timestamp(seconds: i64) -> Option<String> {
    DateTime::from_timestamp(seconds, 0).map(|time| time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string())
}

fn reference(directory: &Directory, domain_id: &str) -> Value {
    json!({ "id": domain_id, "name": directory.domain(domain_id).map(|domain| &domain.name) })
}

/// Returns the body of an answer about a token. `roles` are those of its user in its scope.
pub(crate) fn token(
    claims: &Claims,
    user: &User,
    roles: &[&Role],
    directory: &Directory,
    catalog: Option<Value>,
) -> Value {
    let audits = [Some(claims.audit), claims.first_audit];
    let mut token = json!({
        "methods": claims.methods.names(),
        "user": {
            "id": user.id,
            "name": user.name,
            "domain": reference(directory, &user.domain_id),
            "password_expires_at": null,
        },
        "audit_ids": audits.iter().flatten().map(audit_string).collect::<Vec<_>>(),
        "issued_at": timestamp(claims.issued_at),
        "expires_at": timestamp(claims.expires_at),
    });
    match &claims.scope {
        Scope::Unscoped => return json!({ "token": token }),
        Scope::Project(id) => {
            let project = directory.project(id);
            token["project"] = json!({
                "id": id,
                "name": project.map(|project| &project.name),
                "domain": project.map(|project| reference(directory, &project.domain_id)),
            });
            token["is_domain"] = json!(false);
        }
        Scope::Domain(id) => token["domain"] = reference(directory, id),
    }
    token["roles"] = roles.iter().map(|role| json!({ "id": role.id, "name": role.name })).collect();
    if let Some(catalog) = catalog {
        token["catalog"] = catalog;
    }
    if let Some(credential) = claims.credential_id.as_deref().and_then(|id| directory.credential(id)) {
        token["application_credential"] = json!({ "id": credential.id, "name": credential.name, "restricted": true });
    }
    json!({ "token": token })
}

pub(crate) fn project(project: &Project, keystone: &str) -> Value {
    json!({
        "id": project.id,
        "name": project.name,
        "domain_id": project.domain_id,
        "description": project.description,
        "enabled": true,
        "parent_id": project.domain_id,
        "is_domain": false,
        "tags": [],
        "options": {},
        "links": { "self": format!("{keystone}/projects/{}", project.id) },
    })
}

pub(crate) fn user(user: &User, keystone: &str) -> Value {
    let mut view = json!({
        "id": user.id,
        "name": user.name,
        "domain_id": user.domain_id,
        "enabled": true,
        "options": {},
        "password_expires_at": null,
        "links": { "self": format!("{keystone}/users/{}", user.id) },
    });
    if let Some(email) = &user.email {
        view["email"] = json!(email);
    }
    view
}

pub(crate) fn domain(domain: &Domain, keystone: &str) -> Value {
    json!({
        "id": domain.id,
        "name": domain.name,
        "description": domain.description,
        "enabled": true,
        "tags": [],
        "options": {},
        "links": { "self": format!("{keystone}/domains/{}", domain.id) },
    })
}

pub(crate) fn role(role: &Role, keystone: &str) -> Value {
    json!({
        "id": role.id,
        "name": role.name,
        "domain_id": null,
        "description": null,
        "options": { "immutable": true },
        "links": { "self": format!("{keystone}/roles/{}", role.id) },
    })
}

pub(crate) fn region(region: &str, keystone: &str) -> Value {
    json!({
        "id": region,
        "description": "",
        "parent_region_id": null,
        "links": { "self": format!("{keystone}/regions/{region}") },
    })
}

pub(crate) fn credential(credential: &ApplicationCredential, directory: &Directory, keystone: &str) -> Value {
    let roles = credential.roles.iter().filter_map(|name| directory.role_by_name(name));
    let roles = roles.map(|role| {
        json!({
            "id": role.id, "name": role.name, "domain_id": null, "description": null, "options": { "immutable": true },
        })
    });
    json!({
        "id": credential.id,
        "name": credential.name,
        "description": null,
        "project_id": credential.project_id,
        "user_id": credential.user_id,
        "roles": roles.collect::<Vec<_>>(),
        "expires_at": credential.expires_at.and_then(timestamp).map(|time| time.trim_end_matches('Z').to_owned()),
        "system": null,
        "unrestricted": false,
        "links": { "self": format!("{keystone}/application_credentials/{}", credential.id) },
    })
}

/// Returns the assignments of roles to users.
pub(crate) fn role_assignments(directory: &Directory, keystone: &str, has_names: bool) -> Vec<Value> {
    let mut views = Vec::new();
    for user in &directory.users {
        let projects = user.projects.iter().map(|(id, roles)| ("project", id, roles));
        let domains = user.domains.iter().map(|(id, roles)| ("domain", id, roles));
        for (kind, id, roles) in projects.chain(domains) {
            for role in roles.iter().filter_map(|name| directory.role_by_name(name)) {
                let mut scope = json!({ "id": id });
                let mut of = json!({ "id": user.id });
                let mut own = json!({ "id": role.id });
                if has_names {
                    own["name"] = json!(role.name);
                    of["name"] = json!(user.name);
                    of["domain"] = reference(directory, &user.domain_id);
                    if let Some(project) = directory.project(id).filter(|_| kind == "project") {
                        scope["name"] = json!(project.name);
                        scope["domain"] = reference(directory, &project.domain_id);
                    } else {
                        scope = reference(directory, id);
                    }
                }
                views.push(json!({
                    "role": own,
                    "user": of,
                    "scope": { kind: scope },
                    "links": {
                        "assignment": format!("{keystone}/{kind}s/{id}/users/{}/roles/{}", user.id, role.id),
                    },
                }));
            }
        }
    }
    views
}
