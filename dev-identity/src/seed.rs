//! The seed document: the users, projects, roles, and passwords, as the variable `dev_identity_seed` has them
//! (`docs/dev-identity.md`).

use std::collections::BTreeMap;

use serde::Deserialize;

/// The document that is used if the variable is empty.
pub const DEFAULT: &str = include_str!("default_seed.json");

/// A seed document. A field of any other name is refused.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seed {
    #[serde(default = "region")]
    pub region: String,
    #[serde(default = "domains")]
    pub domains: Vec<SeedDomain>,
    #[serde(default)]
    pub projects: Vec<SeedProject>,
    #[serde(default)]
    pub users: Vec<SeedUser>,
    #[serde(default)]
    pub application_credentials: Vec<SeedCredential>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedDomain {
    pub name: String,
    pub id: Option<String>,
    #[serde(default)]
    pub description: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedProject {
    pub name: String,
    pub id: Option<String>,
    /// The name of the domain.
    #[serde(default = "domain")]
    pub domain: String,
    #[serde(default)]
    pub description: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedUser {
    pub name: String,
    pub id: Option<String>,
    /// The name of the domain.
    #[serde(default = "domain")]
    pub domain: String,
    pub password: String,
    pub email: Option<String>,
    /// The names of roles, by project: its name in the user's domain, or its id.
    #[serde(default)]
    pub projects: BTreeMap<String, Vec<String>>,
    /// The names of roles, by the name of a domain.
    #[serde(default)]
    pub domains: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedCredential {
    pub name: String,
    pub id: Option<String>,
    pub secret: String,
    /// The name of the user.
    pub user: String,
    /// The name of the user's domain.
    #[serde(default = "domain")]
    pub user_domain: String,
    /// The project: its name in the user's domain, or its id.
    pub project: String,
    /// The names of roles. By default all that the user has in the project.
    pub roles: Option<Vec<String>>,
    /// When the credential ends, such as `2030-01-01T00:00:00Z`. By default never.
    pub expires_at: Option<String>,
}

fn region() -> String {
    "RegionOne".to_owned()
}

fn domain() -> String {
    "Default".to_owned()
}

fn domains() -> Vec<SeedDomain> {
    vec![SeedDomain { name: domain(), id: Some("default".to_owned()), description: "The default domain".to_owned() }]
}

impl Seed {
    /// Reads a document.
    ///
    /// # Errors
    ///
    /// Fails with a message that names the field, if there is one that is unknown, missing, or invalid.
    pub fn read(document: &str) -> Result<Self, String> {
        serde_json::from_str(document).map_err(|error| error.to_string())
    }
}
