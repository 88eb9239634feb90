//! The state document that the service starts with.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use volume_snapshots_host::App;

/// The lists of a state document whose rows belong to a project.
const ROWS: [&str; 2] = ["volumes", "snapshots"];

/// Reads a JSON document from a file.
///
/// # Errors
///
/// Fails with the position of the error.
pub fn read(path: &Path) -> Result<Value> {
    let shown = path.display();
    let text = std::fs::read(path).with_context(|| format!("cannot read the seed {shown}"))?;
    let document: Value = serde_json::from_slice(&text).with_context(|| format!("the seed {shown} is not JSON"))?;
    ensure!(document.is_object(), "the seed {shown} is not a JSON object");
    Ok(document)
}

/// Puts a state document into an empty app, and returns whether it did. An app with volumes or snapshots keeps its state.
///
/// # Errors
///
/// Fails when the app refuses the document.
pub async fn put(app: &App, ops_token: &str, path: &Path, mut document: Value, owner: Option<Owner>) -> Result<bool> {
    let answer = operate(app, ops_token, Method::GET, "").await?;
    ensure!(answer.status() == StatusCode::OK, "the state cannot be read: {}", message(&answer));
    let state: Value = serde_json::from_slice(answer.body())?;
    if ROWS.iter().any(|list| state[list].as_array().is_some_and(|rows| !rows.is_empty())) {
        return Ok(false);
    }
    if let Some(owner) = owner {
        owner.adopt(&mut document);
    }
    let answer = operate(app, ops_token, Method::PUT, &document.to_string()).await?;
    if answer.status() != StatusCode::OK {
        bail!("the seed {} is refused: {}", path.display(), message(&answer));
    }
    Ok(true)
}

/// A user and its project.
pub struct Owner {
    user_id: String,
    project_id: String,
}

impl Owner {
    /// Finds the default user `demo` and its project.
    ///
    /// # Errors
    ///
    /// Fails when it cannot sign in.
    pub async fn demo(app: &App) -> Result<Self> {
        let domain = json!({ "name": "Default" });
        let user = json!({ "name": "demo", "password": "demo", "domain": domain });
        let body = json!({ "auth": {
            "identity": { "methods": ["password"], "password": { "user": user } },
            "scope": { "project": { "name": "demo", "domain": domain } },
        } });
        let request =
            Request::post("http://localhost/identity/v3/auth/tokens").header("content-type", "application/json");
        let answer = app.handle(request.body(Bytes::from(body.to_string()))?).await?;
        let answer: Value = serde_json::from_slice(answer.body())?;
        let id = |value: &Value| value.as_str().map(str::to_owned).context("the user demo cannot sign in");
        Ok(Self { user_id: id(&answer["token"]["user"]["id"])?, project_id: id(&answer["token"]["project"]["id"])? })
    }

    /// Gives the rows without a project to this one.
    fn adopt(&self, document: &mut Value) {
        for list in ROWS {
            for row in document.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(row) = row.as_object_mut() {
                    row.entry("user_id").or_insert_with(|| json!(self.user_id));
                    row.entry("project_id").or_insert_with(|| json!(self.project_id));
                }
            }
        }
    }
}

async fn operate(app: &App, ops_token: &str, method: Method, body: &str) -> Result<Response<Bytes>> {
    let request = Request::builder().method(method).uri("http://localhost/_ops/state").header("x-ops-token", ops_token);
    app.handle(request.body(Bytes::copy_from_slice(body.as_bytes()))?).await
}

/// Returns the message of a fault, or the whole body if it is none.
fn message(answer: &Response<Bytes>) -> String {
    let body: Option<Value> = serde_json::from_slice(answer.body()).ok();
    let fault = body.as_ref().and_then(Value::as_object).and_then(|fault| fault.values().next());
    match fault.and_then(|fault| fault["message"].as_str()) {
        Some(message) => message.to_owned(),
        None => format!("{} {}", answer.status(), String::from_utf8_lossy(answer.body())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_without_a_project_are_adopted() {
        let owner = Owner { user_id: "u".to_owned(), project_id: "p".to_owned() };
        let mut document = json!({ "volumes": [{ "name": "a" }, { "project_id": "q" }], "quotas": {} });
        owner.adopt(&mut document);
        let expected =
            json!([{ "name": "a", "user_id": "u", "project_id": "p" }, { "user_id": "u", "project_id": "q" }]);
        assert_eq!(document, json!({ "volumes": expected, "quotas": {} }));
    }

    #[test]
    fn the_message_of_a_fault_is_found() {
        let answer = |body: &str| Response::new(Bytes::copy_from_slice(body.as_bytes()));
        assert_eq!(message(&answer(r#"{"badRequest": {"code": 400, "message": "no"}}"#)), "no");
        assert_eq!(message(&answer("no")), "200 OK no");
    }
}
