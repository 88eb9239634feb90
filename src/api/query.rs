//! The query of a list: paging, order, and filters, read in Cinder's order of checks (`docs/spec/listing.md`).

use percent_encoding::percent_decode_str;

use crate::domain::Caller;
use crate::service::listing::{Filter, ListRequest, Prepared};

use super::microversion::{self, Microversion};
use super::python;
use super::wire::body::boolean;
use super::wire::faults::{BAD_REQUEST, Fault};

/// The largest offset.
const LARGEST_OFFSET: i128 = 2_147_483_647;

/// The parameters of a query, in their order.
#[derive(Debug, Clone, Default)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads the string behind the `?`. As in `WebOb`, a semicolon is a separator too.
    ///
    /// # Errors
    ///
    /// Bytes that are not UTF-8, with Cinder's message.
    pub fn parse(query: &str) -> Result<Self, Fault> {
        if query.is_empty() {
            return Ok(Self::default());
        }
        let decodes = |query: &str| percent_decode_str(query).decode_utf8().is_ok();
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

    /// Returns the last value of a key, which takes precedence.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(own, _)| own == key).map(|(_, value)| value.as_str())
    }

    /// Removes the first value of a key. A second one stays, as in `WebOb`, and becomes a filter.
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

    /// Returns the query of the page after `marker`: all parameters in their order, and the marker last.
    #[must_use]
    pub fn for_page_after(&self, marker: &str) -> String {
        let mut query = String::new();
        let kept = self.0.iter().filter(|(key, _)| key != "marker").map(|(key, value)| (key.as_str(), value.as_str()));
        for (key, value) in kept.chain([("marker", marker)]) {
            if !query.is_empty() {
                query.push('&');
            }
            query.push_str(&python::quote_plus(key));
            query.push('=');
            query.push_str(&python::quote_plus(value));
        }
        query
    }
}

/// Removes the order, the page, and `with_count` from a query, and leaves its filters.
fn list_request(rest: &mut Parameters, version: Microversion) -> Result<ListRequest, Fault> {
    let (keys, directions) = sort_parameters(rest)?;
    let mut request = ListRequest {
        sort: keys.into_iter().zip(directions).collect(),
        limit: limit(rest.pop("limit"))?,
        marker: rest.pop("marker"),
        offset: offset(rest.pop("offset"))?,
        ..ListRequest::default()
    };
    if version >= microversion::COUNT && rest.contains("with_count") {
        let value = rest.get("with_count").unwrap_or_default();
        request.with_count = boolean("with_count", value)?;
        rest.pop("with_count");
    }
    Ok(request)
}

/// Removes the filter by metadata from a query. A value that is not a dict matches nothing.
fn metadata_filter(rest: &mut Parameters) -> Result<Option<Filter>, Fault> {
    let Some(value) = rest.get("metadata") else { return Ok(None) };
    let literal = python::dict_literal(value).map_err(|_| Fault::bad_request(BAD_REQUEST))?;
    rest.remove_all("metadata");
    Ok(Some(literal.map_or(Filter::Nothing, Filter::Metadata)))
}

/// Reads the query of a list of snapshots.
///
/// # Errors
///
/// The first invalid parameter.
pub fn snapshots(
    parameters: &Parameters,
    caller: &Caller,
    version: Microversion,
    prepared: &Prepared,
) -> Result<ListRequest, Fault> {
    let mut rest = parameters.clone();
    let mut request = list_request(&mut rest, version)?;

    let admin = caller.roles.admin;
    check_filters(&mut rest, admin, version, prepared)?;
    if version >= microversion::RESOURCE_FILTERS {
        // Below 3.31 the API's name is not translated, and is an unknown column.
        rename_consumes_quota(&mut rest);
    }
    request.filters.extend(metadata_filter(&mut rest)?);
    if let Some(value) = rest.get("use_quota") {
        let wanted = boolean("use_quota", value)?;
        request.filters.push(Filter::UsesQuota(wanted));
        rest.remove_all("use_quota");
    }

    let all_tenants = rest.get("all_tenants").map(str::to_owned);
    rest.pop("all_tenants");
    request.all_tenants = match &all_tenants {
        Some(value) if admin && request.with_count => boolean("all_tenants", value)?,
        Some(value) => admin && python::boolean(python::strip(value)) == Some(true),
        None => false,
    };
    if !request.all_tenants {
        // The list is of the caller's own project, whatever the query says.
        rest.remove_all("project_id");
    }
    let mut columns = column_filters(&rest);
    let repeats_name = rest.0.iter().filter(|(key, _)| key == "name").count() > 1;
    if repeats_name || (version < microversion::RESOURCE_FILTERS && rest.contains("description~")) {
        // Neither is the name of a column: of a repeated `name`, Cinder only renames the first to one.
        columns = vec![Filter::Nothing];
    }
    request.filters.append(&mut columns);

    if version >= microversion::SORT_BY_NAME
        && let Some((column, _)) = request.sort.iter_mut().find(|(column, _)| column == "name")
    {
        "display_name".clone_into(column);
    }
    Ok(request)
}

/// Reads the query of a list of volumes: the same paging and order, and the filters that clients of snapshots use.
///
/// # Errors
///
/// The first invalid parameter.
pub fn volumes(
    parameters: &Parameters,
    caller: &Caller,
    version: Microversion,
    prepared: &Prepared,
) -> Result<ListRequest, Fault> {
    let mut rest = parameters.clone();
    let mut request = list_request(&mut rest, version)?;
    let admin = caller.roles.admin;
    if let Some(value) = rest.get("all_tenants").filter(|_| admin) {
        request.all_tenants = boolean("all_tenants", value)?;
    }
    rest.pop("all_tenants");
    let filters_are_checked = version >= microversion::RESOURCE_FILTERS;
    if filters_are_checked {
        refuse_non_ascii_keys(&rest)?;
    }
    if !admin {
        let allowed = prepared.allowed_filters("volume");
        let is_allowed = |key: &String| allowed.contains(key);
        if filters_are_checked {
            refuse_filters(rest.0.iter().filter(|(key, _)| !is_allowed(key)))?;
        } else {
            rest.0.retain(|(key, _)| is_allowed(key));
        }
    }
    if !request.all_tenants {
        rest.remove_all("project_id");
    }
    request.filters.extend(metadata_filter(&mut rest)?);
    if filters_are_checked {
        rename_consumes_quota(&mut rest);
    } else {
        rest.0.retain(|(key, _)| !["use_quota", "name~"].contains(&key.as_str()));
    }
    // An empty host or cluster is not a condition.
    rest.0.retain(|(key, value)| !value.is_empty() || !["host", "cluster_name"].contains(&key.as_str()));
    for key in ["use_quota", "bootable", "multiattach"] {
        if let Some(value) = rest.get(key).map(str::to_owned) {
            let wanted = boolean(key, &value)?;
            request.filters.push(Filter::Exact { column: key.to_owned(), text: i64::from(wanted).to_string() });
            rest.remove_all(key);
        }
    }
    request.filters.extend(rest.0.iter().map(|(key, value)| match key.as_str() {
        "host" => Filter::Place { column: "host", text: value.clone() },
        "cluster_name" => Filter::Place { column: "cluster_name", text: value.clone() },
        _ => column_filter(key, value),
    }));
    if let Some((column, _)) = request.sort.iter_mut().find(|(column, _)| column == "name") {
        "display_name".clone_into(column);
    }
    Ok(request)
}

/// Checks the query of a list of manageable snapshots, of which there are none.
///
/// # Errors
///
/// The first invalid parameter.
pub fn manageable(parameters: &Parameters) -> Result<(), Fault> {
    let mut rest = parameters.clone();
    limit(rest.pop("limit"))?;
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

/// Translates the API's name of a column, which takes precedence over the column's own.
fn rename_consumes_quota(rest: &mut Parameters) {
    if let Some(value) = rest.get("consumes_quota").map(str::to_owned) {
        rest.0.retain(|(key, _)| !["consumes_quota", "use_quota"].contains(&key.as_str()));
        rest.0.push(("use_quota".to_owned(), value));
    }
}

/// Removes the order from a query, in its current or its deprecated form. Returns the keys and the directions.
fn sort_parameters(rest: &mut Parameters) -> Result<(Vec<String>, Vec<String>), Fault> {
    if rest.contains("sort") && (rest.contains("sort_key") || rest.contains("sort_dir")) {
        return Err(Fault::bad_request(
            "The 'sort_key' and 'sort_dir' parameters are deprecated and cannot be used with the 'sort' parameter.",
        ));
    }
    let strip = |string: &str| python::strip(string).to_owned();
    let Some(sort) = rest.pop("sort") else {
        let key = rest.pop("sort_key").unwrap_or_else(|| "created_at".to_owned());
        let direction = rest.pop("sort_dir").unwrap_or_else(|| "desc".to_owned());
        return Ok((vec![strip(&key)], vec![strip(&direction)]));
    };
    let parts = python::strip(&sort).split(',').map(|part| {
        let (key, direction) = part.split_once(':').unwrap_or((part, ""));
        (strip(key), strip(if direction.is_empty() { "desc" } else { direction }))
    });
    Ok(parts.unzip())
}

/// Reads the requested limit, which is `usize::MAX` without one.
fn limit(value: Option<String>) -> Result<usize, Fault> {
    let Some(value) = value else { return Ok(usize::MAX) };
    let limit = python::integer(&value).ok_or_else(|| Fault::bad_request("limit param must be an integer"))?;
    if limit < 0 {
        return Err(Fault::bad_request("limit param must be positive"));
    }
    Ok(usize::try_from(limit).unwrap_or(usize::MAX))
}

fn offset(value: Option<String>) -> Result<usize, Fault> {
    let Some(value) = value else { return Ok(0) };
    let offset = python::integer(&value).ok_or_else(|| Fault::bad_request("offset must be an integer"))?;
    if offset < 0 {
        return Err(Fault::bad_request("offset must be >= 0"));
    }
    match usize::try_from(offset) {
        Ok(value) if offset <= LARGEST_OFFSET => Ok(value),
        _ => Err(Fault::bad_request(format!("offset must be <= {LARGEST_OFFSET}"))),
    }
}

/// Refuses or drops the filters that the caller may not use (`docs/spec/listing.md` section 4.1).
fn check_filters(rest: &mut Parameters, admin: bool, version: Microversion, prepared: &Prepared) -> Result<(), Fault> {
    if version < microversion::RESOURCE_FILTERS {
        if version < microversion::METADATA_FILTER {
            rest.remove_all("metadata");
        }
        rest.remove_all("use_quota");
        // Cinder finds a property of its model under this name, and ignores it.
        rest.remove_all("name~");
        if !admin {
            rest.0.retain(|(key, _)| ["status", "volume_id", "name", "metadata"].contains(&key.as_str()));
        }
        return Ok(());
    }
    refuse_non_ascii_keys(rest)?;
    if admin {
        return Ok(());
    }
    let configured = prepared.allowed_filters("snapshot");
    let like = version >= microversion::LIKE_FILTERS;
    let allowed = |key: &str| configured.iter().any(|own| own == key || (like && own.strip_suffix('~') == Some(key)));
    // Clients send `all_tenants` for members too, so one is ignored.
    rest.pop("all_tenants");
    refuse_filters(rest.0.iter().filter(|(key, _)| !allowed(key)))
}

fn refuse_non_ascii_keys(rest: &Parameters) -> Result<(), Fault> {
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

/// Returns the remaining filters, by column. The last value of a repeated key takes precedence.
fn column_filters(rest: &Parameters) -> Vec<Filter> {
    let last_of_its_key = |at: usize, key: &str| !rest.0[at + 1..].iter().any(|(later, _)| later == key);
    let parameters = rest.0.iter().enumerate().filter(|(at, (key, _))| last_of_its_key(*at, key));
    parameters
        .filter_map(|(_, (key, value))| match key.as_str() {
            // An empty zone, host, or cluster is not a condition in Cinder.
            "availability_zone" | "host" | "cluster_name" if value.is_empty() => None,
            "availability_zone" => Some(Filter::Zone(value.clone())),
            "host" => Some(Filter::Host(value.clone())),
            "cluster_name" => Some(Filter::Cluster(value.clone())),
            _ => Some(column_filter(key, value)),
        })
        .collect()
}

/// Returns a filter on a column. The API's `name` is the database's `display_name`.
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
