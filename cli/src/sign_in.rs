//! The settings with which clients sign in: the environment variables of a shell, and a `clouds.yaml`.
//!
//! It must not know whether a service runs. The names and values are those that keystoneauth and openstacksdk read.

use std::fmt::Write;

use serde_json::json;

use crate::arguments::Client;

/// Variables of another cloud, which would win over those that are set here.
const OTHERS: &str = "OS_CLOUD OS_TOKEN OS_ENDPOINT OS_URL OS_USER_ID OS_PROJECT_ID OS_TENANT_ID OS_TENANT_NAME \
                      OS_USER_DOMAIN_ID OS_PROJECT_DOMAIN_ID OS_DOMAIN_ID OS_DOMAIN_NAME OS_SYSTEM_SCOPE OS_TRUST_ID \
                      OS_APPLICATION_CREDENTIAL_ID OS_APPLICATION_CREDENTIAL_NAME OS_APPLICATION_CREDENTIAL_SECRET";

/// Returns commands of a POSIX shell that set the variables.
pub fn environment(client: &Client) -> String {
    let user = if client.admin { "admin" } else { &client.user };
    let values = [
        ("OS_AUTH_TYPE", "password"),
        ("OS_AUTH_URL", &auth_url(client)),
        ("OS_USERNAME", user),
        ("OS_PASSWORD", client.password.as_deref().unwrap_or(user)),
        ("OS_PROJECT_NAME", client.project.as_deref().unwrap_or(user)),
        ("OS_USER_DOMAIN_NAME", "Default"),
        ("OS_PROJECT_DOMAIN_NAME", "Default"),
        ("OS_REGION_NAME", "RegionOne"),
        ("OS_IDENTITY_API_VERSION", "3"),
        ("OS_VOLUME_API_VERSION", "3"),
    ];
    let mut lines = format!("unset {OTHERS}\n");
    for (name, value) in values {
        let _ = writeln!(lines, "export {name}={}", quoted(value));
    }
    lines
}

/// Returns a `clouds.yaml` with the clouds of `demo` and `admin`.
pub fn clouds(client: &Client) -> String {
    let mut lines = "clouds:\n".to_owned();
    for (cloud, user) in [("local", "demo"), ("local-admin", "admin")] {
        let password = client.password.as_deref().unwrap_or(user);
        let project = client.project.as_deref().unwrap_or(user);
        // A string of JSON is one of YAML too.
        let _ = write!(
            lines,
            "  {cloud}:
    auth_type: password
    auth:
      auth_url: {}
      username: {}
      password: {}
      project_name: {}
      user_domain_name: Default
      project_domain_name: Default
    region_name: RegionOne
    identity_api_version: \"3\"
    volume_api_version: \"3\"
",
            json!(auth_url(client)),
            json!(user),
            json!(password),
            json!(project),
        );
    }
    lines
}

fn auth_url(client: &Client) -> String {
    format!("{}/identity/v3", client.url)
}

/// Quotes a value for a POSIX shell, unless it has only characters that mean nothing there.
fn quoted(value: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@%+,".contains(&byte);
    if !value.is_empty() && value.bytes().all(is_plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(user: &str, password: Option<&str>) -> Client {
        let url = "http://127.0.0.1:8776".to_owned();
        let (user, password) = (user.to_owned(), password.map(str::to_owned));
        Client { url, user, password, project: None, admin: false }
    }

    #[test]
    fn the_environment_is_that_of_the_user() {
        let lines = environment(&client("demo", None));
        assert!(lines.starts_with("unset OS_CLOUD "));
        for line in ["OS_AUTH_URL=http://127.0.0.1:8776/identity/v3", "OS_PASSWORD=demo", "OS_PROJECT_NAME=demo"] {
            assert!(lines.contains(&format!("export {line}\n")), "{lines}");
        }
        let admin = environment(&Client { admin: true, ..client("demo", None) });
        assert!(admin.contains("export OS_USERNAME=admin\nexport OS_PASSWORD=admin\nexport OS_PROJECT_NAME=admin\n"));
        let lines = environment(&client("demo", Some("it's; $HOME")));
        assert!(lines.contains("export OS_PASSWORD='it'\\''s; $HOME'\n"), "{lines}");
    }

    #[test]
    fn there_are_two_clouds() {
        let lines = clouds(&client("demo", Some("a\"b")));
        assert!(lines.starts_with("clouds:\n  local:\n") && lines.contains("\n  local-admin:\n"));
        assert!(lines.contains("      password: \"a\\\"b\"\n"), "{lines}");
    }
}
