//! A request as a resource sees it, and the links of its answer.

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::domain::Caller;
use crate::service::Service;
use crate::service::listing::ListPage;
use crate::settings::LazySettings;

use super::environment::Environment;
use super::microversion::Microversion;
use super::query::Parameters;
use super::routes::Route;
use super::wire;
use super::wire::request::Request;

/// A request whose operation, caller, and microversion are known.
pub struct Call<'a> {
    pub service: Service<'a>,
    pub version: Microversion,
    pub parameters: Parameters,
    pub body: Option<Value>,
    request: &'a Request<'a>,
    settings: &'a LazySettings<'a>,
    project_in_path: Option<String>,
}

/// A link.
#[derive(Debug, Serialize)]
pub struct Link {
    pub rel: &'static str,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub media_type: Option<&'static str>,
    pub href: String,
}

impl Link {
    /// Returns a link without a media type.
    #[must_use]
    pub const fn new(rel: &'static str, href: String) -> Self {
        Self { rel, media_type: None, href }
    }
}

/// The link to the next page, as lists have it.
pub type NextLinks = [Link; 1];

impl<'a> Call<'a> {
    /// Returns the call of a request.
    #[expect(clippy::too_many_arguments, reason = "the parts of a call, each found by a check of its own")]
    #[must_use]
    pub fn new(
        request: &'a Request<'a>,
        id: Uuid,
        route: &Route,
        parameters: Parameters,
        body: Option<Value>,
        caller: &'a Caller,
        version: Microversion,
        settings: &'a LazySettings<'a>,
        environment: &'a Environment<'a>,
    ) -> Self {
        let Environment { key_value, identifiers, ref notes, now, clock, .. } = *environment;
        Self {
            service: Service::new(key_value, identifiers, notes, caller, now, clock, settings).of_request(id),
            version,
            parameters,
            body,
            request,
            settings,
            project_in_path: route.project_id.clone(),
        }
    }

    /// Returns the beginning of the links of version documents.
    #[must_use]
    pub fn origin(&self) -> String {
        origin(self.request, self.settings)
    }

    /// Returns the beginning of the links of resources: the operator's `public_endpoint`, or the scheme and the host of the
    /// proxy or of the request.
    #[must_use]
    pub fn link_origin(&self) -> String {
        public_endpoint(self.settings).unwrap_or_else(|| wire::origin::origin(self.request, true))
    }

    /// Returns a path below `/v3`, with the project id if the request had one.
    #[must_use]
    pub fn path_in_project(&self, path: &str) -> String {
        match &self.project_in_path {
            Some(project_id) => format!("{project_id}/{path}"),
            None => path.to_owned(),
        }
    }

    /// Returns the link to the page after the first `shown` rows of a page (`docs/spec/listing.md` section 2). There is one
    /// if the page is full, or, if the client asked for the number of all matches, if that number would fill a page. There is
    /// also one if the page was cut because of its bytes. That link has no `offset`: the rows before it have been skipped.
    #[must_use]
    pub fn next_links<T>(
        &self,
        collection: &str,
        page: &ListPage<T>,
        shown: usize,
        id: impl Fn(&T) -> String,
    ) -> Option<NextLinks> {
        let last = id(page.rows.get(shown.checked_sub(1)?)?);
        let is_cut = page.is_cut || shown < page.rows.len();
        let items = page.count.filter(|count| *count > 0).unwrap_or(shown);
        if page.limit > items && !is_cut {
            return None;
        }
        let path = self.path_in_project(collection);
        let query = self.parameters.for_page_after(&last, is_cut);
        Some([Link::new("next", format!("{}/v3/{path}?{query}", self.link_origin()))])
    }
}

/// Returns the beginning of the links of version documents: the operator's `public_endpoint`, or the scheme and the host of
/// the request.
#[must_use]
pub fn origin(request: &Request<'_>, settings: &LazySettings<'_>) -> String {
    public_endpoint(settings).unwrap_or_else(|| wire::origin::origin(request, false))
}

/// Returns the operator's `public_endpoint`. An invalid setting fails the requests that depend on one, and a link does not.
fn public_endpoint(settings: &LazySettings<'_>) -> Option<String> {
    settings.get().ok()?.public_endpoint.clone()
}
