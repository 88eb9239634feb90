//! The query of a list: the parameters, and the parts that several resources read, which are paging, order, and the
//! checks of filters (`docs/spec/listing.md`). A resource reads its own query, in Cinder's order of checks, in its file.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use crate::service::listing::{Filter, ListRequest, Pattern};

use super::microversion::{self, Microversion};
use super::python::{self, Items};
use super::wire::body::boolean;
use super::wire::faults::{BAD_REQUEST, Fault};

/// The largest offset.
const LARGEST_OFFSET: i128 = 2_147_483_647;

/// The parameters of a query, in their order.
#[derive(Debug, Clone, Default)]
pub struct Parameters(pub(super) Vec<(String, String)>);

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
    pub(super) fn pop(&mut self, key: &str) -> Option<String> {
        let at = self.0.iter().position(|(own, _)| own == key)?;
        Some(self.0.remove(at).1)
    }

    pub(super) fn remove_all(&mut self, key: &str) {
        self.0.retain(|(own, _)| own != key);
    }

    pub(super) fn contains(&self, key: &str) -> bool {
        self.0.iter().any(|(own, _)| own == key)
    }

    /// Returns the query of the page after `marker`: all parameters in their order, and the marker last. `is_cut` leaves out
    /// the offset, which Cinder would apply to the next page too.
    #[must_use]
    pub fn for_page_after(&self, marker: &str, is_cut: bool) -> String {
        let mut query = String::new();
        let offset = self.0.iter().position(|(key, _)| is_cut && key == "offset");
        let kept = self.0.iter().enumerate().filter(|(at, (key, _))| key != "marker" && Some(*at) != offset);
        let kept = kept.map(|(_, parameter)| parameter).map(|(key, value)| (key.as_str(), value.as_str()));
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
pub(super) fn list_request(rest: &mut Parameters, version: Microversion) -> Result<ListRequest, Fault> {
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

/// Removes the page and the order from a query, in the order in which most lists check them, and leaves its filters.
pub(super) fn page_request(rest: &mut Parameters) -> Result<ListRequest, Fault> {
    let limit = limit(rest.pop("limit"))?;
    let marker = rest.pop("marker");
    let offset = offset(rest.pop("offset"))?;
    let (keys, directions) = sort_parameters(rest)?;
    Ok(ListRequest {
        sort: keys.into_iter().zip(directions).collect(),
        limit,
        marker,
        offset,
        ..ListRequest::default()
    })
}

/// Refuses the filters that members may not use. Clients send `all_tenants` for members too, so one is ignored.
pub(super) fn refuse_unconfigured_filters(
    rest: &mut Parameters,
    is_admin: bool,
    version: Microversion,
    configured: &[String],
) -> Result<(), Fault> {
    refuse_non_ascii_keys(rest)?;
    if is_admin {
        return Ok(());
    }
    let like = version >= microversion::LIKE_FILTERS;
    let allowed = |key: &str| configured.iter().any(|own| own == key || (like && own.strip_suffix('~') == Some(key)));
    rest.pop("all_tenants");
    refuse_filters(rest.0.iter().filter(|(key, _)| !allowed(key)))
}

/// Removes the filter by metadata from a query. A value that is not a dict matches nothing.
pub(super) fn metadata_filter(rest: &mut Parameters) -> Result<Option<Filter>, Fault> {
    let Some(value) = rest.get("metadata") else { return Ok(None) };
    let literal = python::dict_literal(value).map_err(|_| Fault::bad_request(BAD_REQUEST))?;
    rest.remove_all("metadata");
    Ok(Some(items_filter(literal, Filter::Metadata)))
}

/// Returns the filter of items: the one that `of` makes of a dict.
pub(super) fn items_filter(items: Items, of: fn(BTreeMap<String, String>) -> Filter) -> Filter {
    match items {
        Items::These(items) => of(items),
        Items::Never => Filter::NoRow,
        Items::NoDict => Filter::Nothing,
    }
}

/// Translates the API's name of a column, which takes precedence over the column's own.
pub(super) fn rename_consumes_quota(rest: &mut Parameters) {
    if let Some(value) = rest.get("consumes_quota").map(str::to_owned) {
        rest.0.retain(|(key, _)| !["consumes_quota", "use_quota"].contains(&key.as_str()));
        rest.0.push(("use_quota".to_owned(), value));
    }
}

/// Removes the order from a query, in its current or its deprecated form. Returns the keys and the directions.
pub(super) fn sort_parameters(rest: &mut Parameters) -> Result<(Vec<String>, Vec<String>), Fault> {
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
pub(super) fn limit(value: Option<String>) -> Result<usize, Fault> {
    let Some(value) = value else { return Ok(usize::MAX) };
    let limit = python::integer(&value).ok_or_else(|| Fault::bad_request("limit param must be an integer"))?;
    if limit < 0 {
        return Err(Fault::bad_request("limit param must be positive"));
    }
    Ok(usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Reads the requested offset, which is 0 without one.
pub(super) fn offset(value: Option<String>) -> Result<usize, Fault> {
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

/// Refuses filters whose names are not ASCII.
pub(super) fn refuse_non_ascii_keys(rest: &Parameters) -> Result<(), Fault> {
    if rest.0.iter().all(|(key, _)| key.is_ascii()) {
        return Ok(());
    }
    Err(Fault::bad_request("Filter keys can only contain ASCII characters."))
}

/// Refuses the given filters, in one message.
pub(super) fn refuse_filters<'a>(refused: impl Iterator<Item = &'a (String, String)>) -> Result<(), Fault> {
    let names: Vec<&str> = refused.map(|(key, _)| key.as_str()).collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(Fault::bad_request(format!("Invalid filters {} are found in query options.", names.join(","))))
}

/// Returns the pattern of a filter whose key ends with `~`.
///
/// # Errors
///
/// A pattern that is too long.
pub(super) fn pattern(key: &str, value: &str) -> Result<Pattern, Fault> {
    let too_long = || {
        let most = Pattern::LONGEST;
        Fault::bad_request(format!("Invalid input received: the filter {key} is longer than {most} characters."))
    };
    Pattern::new(value).ok_or_else(too_long)
}

/// Returns a filter on a column. The API's `name` is the database's `display_name`.
///
/// # Errors
///
/// A pattern that is too long.
pub(super) fn column_filter(key: &str, value: &str) -> Result<Filter, Fault> {
    let (column, like) = key.strip_suffix('~').map_or((key, false), |column| (column, true));
    let column = match column {
        "name" => "display_name",
        "description" if like => "display_description",
        column => column,
    };
    let column = column.to_owned();
    if like {
        return Ok(Filter::Like { column, pattern: pattern(key, value)? });
    }
    Ok(Filter::Exact { column, string: value.to_owned() })
}
