//! The query of a list: paging, order and filters, read in Cinder's order of checks (`spec/listing.md`).

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::service::listing::{Filter, Query};
use crate::service::policy::Caller;
use crate::store::deployment::Deployment;

use super::microversion::{self, Microversion};
use super::python::text as python_text;
use super::resource_filters;
use super::wire::faults::{BAD_REQUEST, Fault};

/// The largest offset.
const LARGEST_OFFSET: i128 = 2_147_483_647;

/// The parameters of a query, in their order; a list of them is small.
#[derive(Debug, Clone, Default)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads what stands behind the `?`. As in `WebOb` a semicolon separates too.
    ///
    /// # Errors
    ///
    /// Bytes that are no UTF-8, as Cinder tells of them.
    pub fn parse(query: &str) -> Result<Self, Fault> {
        if query.is_empty() {
            return Ok(Self::default());
        }
        let decodes = |text: &str| percent_decode_str(text).decode_utf8().is_ok();
        if !decodes(query) {
            return Err(Fault::bad_request(
                "Error decoding your request. Either the URL or the request body contained characters that could not \
                 be decoded by Cinder.",
            ));
        }
        let query = query.replace(';', "&");
        let pairs = form_urlencoded::parse(query.as_bytes());
        Ok(Self(pairs.map(|(key, value)| (key.into_owned(), value.into_owned())).collect()))
    }

    /// The last value of a key, which is the one that counts.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(own, _)| own == key).map(|(_, value)| value.as_str())
    }

    /// Takes out the first value of a key. A second copy stays, as in `WebOb`, and is then taken for a filter.
    fn pop(&mut self, key: &str) -> Option<String> {
        let at = self.0.iter().position(|(own, _)| own == key)?;
        Some(self.0.remove(at).1)
    }

    fn remove_all(&mut self, key: &str) {
        self.0.retain(|(own, _)| own != key);
    }

    fn contains(&self, key: &str) -> bool {
        self.0.iter().any(|(own, _)| own == key)
    }

    /// The query of the page that begins after `marker`: all parameters in their order, the marker last.
    #[must_use]
    pub fn for_page_after(&self, marker: &str) -> String {
        let mut query = String::new();
        let kept = self.0.iter().filter(|(key, _)| key != "marker").map(|(key, value)| (key.as_str(), value.as_str()));
        for (key, value) in kept.chain([("marker", marker)]) {
            if !query.is_empty() {
                query.push('&');
            }
            query.push_str(&quoted(key));
            query.push('=');
            query.push_str(&quoted(value));
        }
        query
    }
}

/// What Python's `quote_plus` prints: as a form, but `~` bare and `*` encoded.
fn quoted(text: &str) -> String {
    let form: Cow<'_, str> = form_urlencoded::byte_serialize(text.as_bytes()).collect();
    form.replace("%7E", "~").replace('*', "%2A")
}

/// The largest page: an operator's wish, or the variable's.
#[must_use]
pub fn page_limit(deployment: &Deployment, of_variable: usize) -> usize {
    deployment.osapi_max_limit.map_or(of_variable, |limit| limit as usize)
}

/// Takes the order, the page and the wish for a count out of a query, which then holds only filters.
fn page(rest: &mut Parameters, version: Microversion, largest_limit: usize) -> Result<Query, Fault> {
    let (keys, directions) = sort_parameters(rest)?;
    let mut query = Query {
        sort: keys.into_iter().zip(directions).collect(),
        limit: limit(rest.pop("limit"), largest_limit)?,
        marker: rest.pop("marker"),
        offset: offset(rest.pop("offset"))?,
        ..Query::default()
    };
    if version >= microversion::COUNT && rest.contains("with_count") {
        let value = rest.get("with_count").unwrap_or_default();
        query.with_count = python_text::boolean(value).ok_or_else(|| not_a_boolean(value, "with_count"))?;
        rest.pop("with_count");
    }
    Ok(query)
}

/// Takes the filter by metadata out of a query. What is no dict matches nothing.
fn metadata_filter(rest: &mut Parameters) -> Result<Option<Filter>, Fault> {
    let Some(text) = rest.get("metadata") else { return Ok(None) };
    let literal = python_text::dict_literal(text).map_err(|_| Fault::bad_request(BAD_REQUEST))?;
    rest.remove_all("metadata");
    Ok(Some(literal.map_or(Filter::Nothing, Filter::Metadata)))
}

/// Reads the query of a list of snapshots.
///
/// # Errors
///
/// The first parameter that cannot be used.
pub fn snapshots(
    parameters: &Parameters,
    caller: &Caller,
    version: Microversion,
    deployment: &Deployment,
    largest_limit: usize,
) -> Result<Query, Fault> {
    let mut rest = parameters.clone();
    let mut query = page(&mut rest, version, largest_limit)?;

    let admin = caller.roles.admin;
    admit_filters(&mut rest, admin, version, deployment)?;
    if version >= microversion::RESOURCE_FILTERS {
        // The API's word becomes the database's only from here on, so below 3.31 it is an unknown column.
        rename_consumes_quota(&mut rest);
    }
    query.filters.extend(metadata_filter(&mut rest)?);
    if let Some(value) = rest.get("use_quota") {
        let wanted = python_text::boolean(value).ok_or_else(|| not_a_boolean(value, "use_quota"))?;
        query.filters.push(Filter::UsesQuota(wanted));
        rest.remove_all("use_quota");
    }

    let all_tenants_text = rest.get("all_tenants").map(str::to_owned);
    rest.pop("all_tenants");
    query.all_tenants = match &all_tenants_text {
        Some(text) if admin && query.with_count => {
            python_text::boolean(text).ok_or_else(|| not_a_boolean(text, "all_tenants"))?
        }
        Some(text) => admin && python_text::boolean(python_text::strip(text)) == Some(true),
        None => false,
    };
    if !query.all_tenants {
        // The caller's own project is the condition, whatever the query says.
        rest.remove_all("project_id");
    }
    let mut columns = column_filters(&rest);
    let repeats_name = rest.0.iter().filter(|(key, _)| key == "name").count() > 1;
    if repeats_name || (version < microversion::RESOURCE_FILTERS && rest.contains("description~")) {
        // Neither is the name of a column; of a repeated `name` only the first is renamed to one.
        columns = vec![Filter::Nothing];
    }
    query.filters.append(&mut columns);

    if version >= microversion::SORT_BY_NAME
        && let Some((column, _)) = query.sort.iter_mut().find(|(column, _)| column == "name")
    {
        "display_name".clone_into(column);
    }
    Ok(query)
}

/// Reads the query of a list of volumes: the same paging and order, and the filters that clients use.
///
/// # Errors
///
/// The first parameter that cannot be used.
pub fn volumes(
    parameters: &Parameters,
    caller: &Caller,
    version: Microversion,
    deployment: &Deployment,
    largest_limit: usize,
) -> Result<Query, Fault> {
    let mut rest = parameters.clone();
    let mut query = page(&mut rest, version, largest_limit)?;
    let admin = caller.roles.admin;
    if let Some(text) = rest.get("all_tenants").filter(|_| admin) {
        query.all_tenants = python_text::boolean(text).ok_or_else(|| not_a_boolean(text, "all_tenants"))?;
    }
    rest.pop("all_tenants");
    let filters_are_checked = version >= microversion::RESOURCE_FILTERS;
    if filters_are_checked {
        refuse_foreign_letters(&rest)?;
    }
    if !admin {
        let allowed = resource_filters::of("volume", deployment);
        let is_allowed = |key: &String| allowed.contains(key);
        if filters_are_checked {
            refuse_filters(rest.0.iter().filter(|(key, _)| !is_allowed(key)))?;
        } else {
            rest.0.retain(|(key, _)| is_allowed(key));
        }
    }
    if !query.all_tenants {
        rest.remove_all("project_id");
    }
    query.filters.extend(metadata_filter(&mut rest)?);
    if filters_are_checked {
        rename_consumes_quota(&mut rest);
    } else {
        rest.0.retain(|(key, _)| !["use_quota", "name~"].contains(&key.as_str()));
    }
    // The empty host or cluster is no condition.
    rest.0.retain(|(key, value)| !value.is_empty() || !["host", "cluster_name"].contains(&key.as_str()));
    for key in ["use_quota", "bootable", "multiattach"] {
        if let Some(value) = rest.get(key).map(str::to_owned) {
            let wanted = python_text::boolean(&value).ok_or_else(|| not_a_boolean(&value, key))?;
            query.filters.push(Filter::Exact { column: key.to_owned(), text: i64::from(wanted).to_string() });
            rest.remove_all(key);
        }
    }
    query.filters.extend(rest.0.iter().map(|(key, value)| match key.as_str() {
        "host" => Filter::Place { column: "host", text: value.clone() },
        "cluster_name" => Filter::Place { column: "cluster_name", text: value.clone() },
        _ => column_filter(key, value),
    }));
    if let Some((column, _)) = query.sort.iter_mut().find(|(column, _)| column == "name") {
        "display_name".clone_into(column);
    }
    Ok(query)
}

/// Checks the query of a list of manageable snapshots; what it asks for is in no store of ours.
///
/// # Errors
///
/// The first parameter that cannot be used.
pub fn manageable(parameters: &Parameters, largest_limit: usize) -> Result<(), Fault> {
    let mut rest = parameters.clone();
    limit(rest.pop("limit"), largest_limit)?;
    rest.pop("marker");
    offset(rest.pop("offset"))?;
    if !rest.contains("sort") && !rest.contains("sort_key") {
        rest.0.push(("sort_key".to_owned(), "reference".to_owned()));
    }
    let (keys, directions) = sort_parameters(&mut rest)?;
    let unknown = |known: &[&str], given: &[String]| -> Vec<String> {
        given.iter().filter(|given| !known.contains(&given.as_str())).cloned().collect()
    };
    let keys = unknown(&["reference", "size"], &keys);
    if !keys.is_empty() {
        return Err(Fault::bad_request(format!("Invalid sort keys passed: {}", keys.join(", "))));
    }
    let directions = unknown(&["asc", "desc"], &directions);
    if !directions.is_empty() {
        return Err(Fault::bad_request(format!("Invalid sort dirs passed: {}", directions.join(", "))));
    }
    Ok(())
}

/// The API's word for a column wins over the column's own.
fn rename_consumes_quota(rest: &mut Parameters) {
    if let Some(value) = rest.get("consumes_quota").map(str::to_owned) {
        rest.0.retain(|(key, _)| !["consumes_quota", "use_quota"].contains(&key.as_str()));
        rest.0.push(("use_quota".to_owned(), value));
    }
}

fn not_a_boolean(value: &str, name: &str) -> Fault {
    Fault::bad_request(format!("Value '{value}' for '{name}' is not a boolean."))
}

/// The deprecated and the present spelling of an order.
fn sort_parameters(rest: &mut Parameters) -> Result<(Vec<String>, Vec<String>), Fault> {
    if rest.contains("sort") && (rest.contains("sort_key") || rest.contains("sort_dir")) {
        return Err(Fault::bad_request(
            "The 'sort_key' and 'sort_dir' parameters are deprecated and cannot be used with the 'sort' parameter.",
        ));
    }
    let strip = |text: &str| python_text::strip(text).to_owned();
    let Some(sort) = rest.pop("sort") else {
        let key = rest.pop("sort_key").unwrap_or_else(|| "created_at".to_owned());
        let direction = rest.pop("sort_dir").unwrap_or_else(|| "desc".to_owned());
        return Ok((vec![strip(&key)], vec![strip(&direction)]));
    };
    let parts = python_text::strip(&sort).split(',').map(|part| {
        let (key, direction) = part.split_once(':').unwrap_or((part, ""));
        (strip(key), strip(if direction.is_empty() { "desc" } else { direction }))
    });
    Ok(parts.unzip())
}

fn limit(text: Option<String>, largest: usize) -> Result<usize, Fault> {
    let Some(text) = text else { return Ok(largest) };
    let limit = python_text::integer(&text).ok_or_else(|| Fault::bad_request("limit param must be an integer"))?;
    if limit < 0 {
        return Err(Fault::bad_request("limit param must be positive"));
    }
    Ok(usize::try_from(limit).map_or(largest, |limit| limit.min(largest)))
}

fn offset(text: Option<String>) -> Result<usize, Fault> {
    let Some(text) = text else { return Ok(0) };
    let offset = python_text::integer(&text).ok_or_else(|| Fault::bad_request("offset must be an integer"))?;
    if offset < 0 {
        return Err(Fault::bad_request("offset must be >= 0"));
    }
    match usize::try_from(offset) {
        Ok(value) if offset <= LARGEST_OFFSET => Ok(value),
        _ => Err(Fault::bad_request(format!("offset must be <= {LARGEST_OFFSET}"))),
    }
}

/// Refuses or drops what the caller may not filter by (`spec/listing.md` section 4.1).
fn admit_filters(
    rest: &mut Parameters,
    admin: bool,
    version: Microversion,
    deployment: &Deployment,
) -> Result<(), Fault> {
    if version < microversion::RESOURCE_FILTERS {
        if version < microversion::METADATA_FILTER {
            rest.remove_all("metadata");
        }
        rest.remove_all("use_quota");
        // Not yet the name of a column: Cinder finds a property of its model there and passes over it.
        rest.remove_all("name~");
        if !admin {
            rest.0.retain(|(key, _)| ["status", "volume_id", "name", "metadata"].contains(&key.as_str()));
        }
        return Ok(());
    }
    refuse_foreign_letters(rest)?;
    if admin {
        return Ok(());
    }
    let configured = resource_filters::of("snapshot", deployment);
    let like = version >= microversion::LIKE_FILTERS;
    let allowed = |key: &str| configured.iter().any(|own| own == key || (like && own.strip_suffix('~') == Some(key)));
    // Clients send `all_tenants` for members too, so one is taken out without a word.
    rest.pop("all_tenants");
    refuse_filters(rest.0.iter().filter(|(key, _)| !allowed(key)))
}

fn refuse_foreign_letters(rest: &Parameters) -> Result<(), Fault> {
    if rest.0.iter().all(|(key, _)| key.is_ascii()) {
        return Ok(());
    }
    Err(Fault::bad_request("Filter keys can only contain ASCII characters."))
}

fn refuse_filters<'a>(refused: impl Iterator<Item = &'a (String, String)>) -> Result<(), Fault> {
    let names: Vec<&str> = refused.map(|(key, _)| key.as_str()).collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(Fault::bad_request(format!("Invalid filters {} are found in query options.", names.join(","))))
}

/// The filters that are left, by column; the last value of a repeated key counts.
fn column_filters(rest: &Parameters) -> Vec<Filter> {
    let last_of_its_key = |at: usize, key: &str| !rest.0[at + 1..].iter().any(|(later, _)| later == key);
    let parameters = rest.0.iter().enumerate().filter(|(at, (key, _))| last_of_its_key(*at, key));
    parameters
        .filter_map(|(_, (key, value))| match key.as_str() {
            // The empty zone, host or cluster is no condition in Cinder.
            "availability_zone" | "host" | "cluster_name" if value.is_empty() => None,
            "availability_zone" => Some(Filter::Zone(value.clone())),
            "host" => Some(Filter::Host(value.clone())),
            "cluster_name" => Some(Filter::Cluster(value.clone())),
            _ => Some(column_filter(key, value)),
        })
        .collect()
}

/// A filter on a column; the API's `name` is the database's `display_name`.
fn column_filter(key: &str, value: &str) -> Filter {
    let (column, like) = key.strip_suffix('~').map_or((key, false), |column| (column, true));
    let column = match column {
        "name" => "display_name",
        "description" if like => "display_description",
        column => column,
    };
    let (column, text) = (column.to_owned(), value.to_owned());
    if like { Filter::Like { column, text } } else { Filter::Exact { column, text } }
}
