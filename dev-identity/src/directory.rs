//! The users, projects, domains, and roles. They come from the seed document and never change.

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;

use crate::identifiers::derived_id;
use crate::seed::Seed;
use crate::settings::ServiceUser;

/// The role whose holders may do everything.
pub(crate) const ADMIN: &str = "admin";
/// The role of services, which may validate the tokens of others.
pub(crate) const SERVICE: &str = "service";

/// The roles that exist even if nobody has them.
const ROLES: [&str; 4] = [ADMIN, "member", "reader", SERVICE];

/// The roles that another one implies, as in Keystone.
const IMPLIED: [(&str, &[&str]); 2] = [(ADMIN, &["member", "reader"]), ("member", &["reader"])];

/// The longest id: that of Keystone's and Cinder's tables.
const LONGEST_ID: usize = 64;
/// The longest name.
const LONGEST_NAME: usize = 255;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    pub id: String,
    pub name: String,
    pub description: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    pub id: String,
    pub name: String,
    pub domain_id: String,
    pub description: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    pub id: String,
    pub name: String,
}

#[derive(Clone, PartialEq, Eq)]
pub struct User {
    pub id: String,
    pub name: String,
    pub domain_id: String,
    pub email: Option<String>,
    pub password: String,
    /// Whether the password is one that everybody knows.
    pub has_default_password: bool,
    /// The names of roles, by the id of a project.
    pub projects: BTreeMap<String, BTreeSet<String>>,
    /// The names of roles, by the id of a domain.
    pub domains: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Clone, PartialEq, Eq)]
pub struct ApplicationCredential {
    pub id: String,
    pub name: String,
    pub secret: String,
    pub user_id: String,
    pub project_id: String,
    /// The names of roles.
    pub roles: BTreeSet<String>,
    /// When it ends, in seconds since 1970.
    pub expires_at: Option<i64>,
}

/// All that the seed document names.
pub struct Directory {
    pub region: String,
    pub domains: Vec<Domain>,
    pub projects: Vec<Project>,
    pub roles: Vec<Role>,
    pub users: Vec<User>,
    pub credentials: Vec<ApplicationCredential>,
}

impl Directory {
    /// Builds the directory.
    ///
    /// # Errors
    ///
    /// Fails with a message that names the entry that is invalid.
    pub fn build(seed: Seed, has_default_passwords: bool) -> Result<Self, String> {
        let mut directory = Self {
            region: seed.region,
            domains: Vec::new(),
            projects: Vec::new(),
            roles: ROLES.iter().map(|name| role(name)).collect(),
            users: Vec::new(),
            credentials: Vec::new(),
        };
        check_id("region", &directory.region)?;
        for domain in seed.domains {
            check_name("domain", &domain.name)?;
            let id = id_of("domain", domain.id, "", &domain.name)?;
            directory.domains.push(Domain { id, name: domain.name, description: domain.description });
        }
        for project in seed.projects {
            directory.add_project(project.name, project.id, &project.domain, project.description)?;
        }
        for user in seed.users {
            check_name("user", &user.name)?;
            let domain_id = directory.named_domain(&user.domain, &user.name)?;
            let id = id_of("user", user.id, &domain_id, &user.name)?;
            if user.password.is_empty() {
                return Err(format!("the user '{}' has an empty password", user.name));
            }
            let mut projects = BTreeMap::new();
            for (name, roles) in user.projects {
                let project = directory.named_project(&name, &domain_id, &user.name)?;
                projects.insert(project, directory.with_implied(roles)?);
            }
            let mut domains = BTreeMap::new();
            for (name, roles) in user.domains {
                let domain = directory.named_domain(&name, &user.name)?;
                domains.insert(domain, directory.with_implied(roles)?);
            }
            directory.users.push(User {
                id,
                name: user.name,
                domain_id,
                email: user.email,
                password: user.password,
                has_default_password: has_default_passwords,
                projects,
                domains,
            });
        }
        for credential in seed.application_credentials {
            check_name("application credential", &credential.name)?;
            let domain_id = directory.named_domain(&credential.user_domain, &credential.name)?;
            let user = directory.user_by_name(&credential.user, &domain_id);
            let user = user.ok_or_else(|| {
                format!("the application credential '{}' has the unknown user '{}'", credential.name, credential.user)
            })?;
            let project_id = directory.named_project(&credential.project, &domain_id, &credential.name)?;
            let own = user.projects.get(&project_id).cloned().unwrap_or_default();
            let roles = match credential.roles {
                Some(roles) => roles.into_iter().collect(),
                None => own.clone(),
            };
            if roles.is_empty() || !roles.is_subset(&own) || credential.secret.is_empty() {
                return Err(format!(
                    "the application credential '{}' needs a secret, and roles that its user has in its project",
                    credential.name
                ));
            }
            let expires_at = match credential.expires_at {
                Some(string) => Some(timestamp(&string).ok_or_else(|| {
                    format!("expires_at of the application credential '{}' is not a time", credential.name)
                })?),
                None => None,
            };
            let user_id = user.id.clone();
            let id = id_of("application credential", credential.id, &user_id, &credential.name)?;
            directory.credentials.push(ApplicationCredential {
                id,
                name: credential.name,
                secret: credential.secret,
                user_id,
                project_id,
                roles,
                expires_at,
            });
        }
        directory.check_unique()?;
        Ok(directory)
    }

    /// Adds the user with which the main component validates tokens, and its domain and project if they are missing.
    ///
    /// # Errors
    ///
    /// Fails if the seed document has a user of this name.
    pub fn add_service_user(&mut self, service: ServiceUser) -> Result<(), String> {
        for name in [&service.user_domain, &service.project_domain] {
            if self.domain_by_name(name).is_none() {
                check_name("domain", name)?;
                let id = id_of("domain", None, "", name)?;
                self.domains.push(Domain { id, name: name.clone(), description: String::new() });
            }
        }
        let domain_id = self.named_domain(&service.user_domain, &service.user)?;
        if self.user_by_name(&service.user, &domain_id).is_some() {
            return Err(format!("the seed document has a user '{}' too", service.user));
        }
        check_name("user", &service.user)?;
        let project_domain = self.named_domain(&service.project_domain, &service.project)?;
        let project_id = match self.project_by_name(&service.project, &project_domain) {
            Some(project) => project.id.clone(),
            None => self.add_project(service.project, None, &service.project_domain, String::new())?,
        };
        self.users.push(User {
            id: id_of("user", None, &domain_id, &service.user)?,
            name: service.user,
            domain_id,
            email: None,
            password: service.password,
            has_default_password: false,
            projects: BTreeMap::from([(project_id, BTreeSet::from([SERVICE.to_owned()]))]),
            domains: BTreeMap::new(),
        });
        self.check_unique()
    }

    fn add_project(
        &mut self,
        name: String,
        id: Option<String>,
        domain: &str,
        description: String,
    ) -> Result<String, String> {
        check_name("project", &name)?;
        let domain_id = self.named_domain(domain, &name)?;
        let id = id_of("project", id, &domain_id, &name)?;
        self.projects.push(Project { id: id.clone(), name, domain_id, description });
        Ok(id)
    }

    /// Returns the roles of an assignment with those that they imply, and adds the roles that are new.
    fn with_implied(&mut self, names: Vec<String>) -> Result<BTreeSet<String>, String> {
        let mut all = BTreeSet::new();
        for name in names {
            check_name("role", &name)?;
            if self.role_by_name(&name).is_none() {
                self.roles.push(role(&name));
            }
            for (_, implied) in IMPLIED.iter().filter(|(one, _)| *one == name) {
                all.extend(implied.iter().map(|name| (*name).to_owned()));
            }
            all.insert(name);
        }
        Ok(all)
    }

    fn check_unique(&self) -> Result<(), String> {
        let domains = self.domains.iter().map(|domain| ("domain", "", &domain.id, &domain.name));
        let projects = self.projects.iter().map(|project| ("project", &*project.domain_id, &project.id, &project.name));
        let users = self.users.iter().map(|user| ("user", &*user.domain_id, &user.id, &user.name));
        let credentials =
            self.credentials.iter().map(|own| ("application credential", &*own.user_id, &own.id, &own.name));
        let (mut ids, mut names) = (BTreeSet::new(), BTreeSet::new());
        for (kind, within, id, name) in domains.chain(projects).chain(users).chain(credentials) {
            if !ids.insert((kind, id)) || !names.insert((kind, within, name)) {
                return Err(format!("there are two of the {kind} '{name}', or of its id '{id}'"));
            }
        }
        Ok(())
    }

    fn named_domain(&self, name: &str, of: &str) -> Result<String, String> {
        let domain = self.domain_by_name(name).ok_or_else(|| format!("'{of}' has the unknown domain '{name}'"))?;
        Ok(domain.id.clone())
    }

    fn named_project(&self, name: &str, domain_id: &str, of: &str) -> Result<String, String> {
        let project = self.project_by_name(name, domain_id).or_else(|| self.project(name));
        Ok(project.ok_or_else(|| format!("'{of}' has the unknown project '{name}'"))?.id.clone())
    }

    #[must_use]
    pub fn domain(&self, id: &str) -> Option<&Domain> {
        self.domains.iter().find(|domain| domain.id == id)
    }

    #[must_use]
    pub fn domain_by_name(&self, name: &str) -> Option<&Domain> {
        self.domains.iter().find(|domain| domain.name == name)
    }

    #[must_use]
    pub fn project(&self, id: &str) -> Option<&Project> {
        self.projects.iter().find(|project| project.id == id)
    }

    #[must_use]
    pub fn project_by_name(&self, name: &str, domain_id: &str) -> Option<&Project> {
        self.projects.iter().find(|project| project.name == name && project.domain_id == domain_id)
    }

    #[must_use]
    pub fn user(&self, id: &str) -> Option<&User> {
        self.users.iter().find(|user| user.id == id)
    }

    #[must_use]
    pub fn user_by_name(&self, name: &str, domain_id: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name && user.domain_id == domain_id)
    }

    #[must_use]
    pub fn role_by_name(&self, name: &str) -> Option<&Role> {
        self.roles.iter().find(|role| role.name == name)
    }

    #[must_use]
    pub fn credential(&self, id: &str) -> Option<&ApplicationCredential> {
        self.credentials.iter().find(|credential| credential.id == id)
    }
}

fn role(name: &str) -> Role {
    Role { id: derived_id("role", "", name), name: name.to_owned() }
}

fn check_name(kind: &str, name: &str) -> Result<(), String> {
    if name.trim().is_empty() || name.len() > LONGEST_NAME {
        return Err(format!("the name '{name}' of a {kind} is empty or longer than {LONGEST_NAME} bytes"));
    }
    Ok(())
}

fn check_id(kind: &str, id: &str) -> Result<(), String> {
    let is_valid = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if id.is_empty() || id.len() > LONGEST_ID || !is_valid {
        return Err(format!("the id '{id}' of a {kind} is not 1 to {LONGEST_ID} letters, digits, and -_."));
    }
    Ok(())
}

/// Returns the id that the document gives, or else one that depends only on the name, so that it is stable.
fn id_of(kind: &str, id: Option<String>, within: &str, name: &str) -> Result<String, String> {
    let id = id.unwrap_or_else(|| derived_id(kind, within, name));
    check_id(kind, &id)?;
    Ok(id)
}

fn timestamp(string: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(string).ok().map(|time| time.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(document: &str) -> Result<Directory, String> {
        Directory::build(Seed::read(document)?, false)
    }

    #[test]
    fn the_default_document_has_two_users_and_stable_ids() {
        let directory = Directory::build(Seed::read(crate::seed::DEFAULT).expect("seed"), true).expect("directory");
        let names: Vec<&str> = directory.users.iter().map(|user| user.name.as_str()).collect();
        assert_eq!(names, ["admin", "demo"]);
        let demo = directory.project_by_name("demo", "default").expect("demo");
        assert_eq!(demo.id, derived_id("project", "default", "demo"));
        let roles = |user: &str| {
            let user = directory.user_by_name(user, "default").expect("user");
            user.projects.get(&demo.id).expect("roles").iter().cloned().collect::<Vec<_>>()
        };
        assert_eq!(roles("admin"), ["admin", "member", "reader"]);
        assert_eq!(roles("demo"), ["member", "reader"]);
        assert!(directory.users.iter().all(|user| user.has_default_password));
    }

    #[test]
    fn a_document_that_makes_no_sense_is_refused_by_name() {
        for (document, reason) in [
            ("{", "EOF while parsing"),
            (r#"{"user": []}"#, "unknown field `user`"),
            (r#"{"users": [{"name": "a", "password": "b", "role": 1}]}"#, "unknown field `role`"),
            (r#"{"users": [{"name": "a"}]}"#, "missing field `password`"),
            (r#"{"users": [{"name": "a", "password": ""}]}"#, "the user 'a' has an empty password"),
            (r#"{"users": [{"name": " ", "password": "b"}]}"#, "the name ' ' of a user"),
            (r#"{"users": [{"name": "a", "password": "b", "domain": "x"}]}"#, "'a' has the unknown domain 'x'"),
            (
                r#"{"users": [{"name": "a", "password": "b", "projects": {"x": ["member"]}}]}"#,
                "'a' has the unknown project 'x'",
            ),
            (r#"{"projects": [{"name": "a"}, {"name": "a"}]}"#, "there are two of the project 'a'"),
            (r#"{"projects": [{"name": "a", "id": "x/y"}]}"#, "the id 'x/y' of a project"),
            (r#"{"projects": [{"name": "a", "id": "1"}, {"name": "b", "id": "1"}]}"#, "two of the project 'b'"),
            (
                r#"{"projects": [{"name": "p"}], "users": [{"name": "a", "password": "b", "projects": {"p": ["reader"]}}],
                    "application_credentials": [{"name": "c", "secret": "s", "user": "a", "project": "p", "roles": ["admin"]}]}"#,
                "the application credential 'c' needs",
            ),
        ] {
            let error = built(document).err().unwrap_or_default();
            assert!(error.contains(reason), "{document}: {error}");
        }
    }

    #[test]
    fn the_service_user_is_added_beside_the_seed() {
        let service = ServiceUser {
            user: "cinder".to_owned(),
            password: "secret".to_owned(),
            project: "service".to_owned(),
            user_domain: "Default".to_owned(),
            project_domain: "Services".to_owned(),
        };
        let mut directory = built("{}").expect("directory");
        directory.add_service_user(service.clone()).expect("added");
        let domain = directory.domain_by_name("Services").expect("domain").id.clone();
        let project = directory.project_by_name("service", &domain).expect("project").id.clone();
        let user = directory.user_by_name("cinder", "default").expect("user");
        assert!(user.projects[&project].contains(SERVICE) && !user.has_default_password);
        let mut taken = built(r#"{"users": [{"name": "cinder", "password": "b"}]}"#).expect("directory");
        assert_eq!(taken.add_service_user(service), Err("the seed document has a user 'cinder' too".to_owned()));
    }
}
