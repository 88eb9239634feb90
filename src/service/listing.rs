//! Lists of snapshots and volumes: which rows match, in which order, and which page of them (`spec/listing.md`).
//!
//! The default order, either way, is that of the stored listing, so a page costs what it shows. Any other order reads
//! all rows of the project.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use uuid::Uuid;

use crate::domain::lifecycle::Occasion;
use crate::domain::{Metadata, ProjectId, Snapshot, Timestamp, Volume};
use crate::store::deployment::Deployment;
use crate::store::index::{Direction, Entry, Position};
use crate::store::projects::ProjectRecord;
use crate::store::{Kind, Listing, Row};

use super::policy::Rule;
use super::{Error, Service, resource_filters};

/// The least and the most rows that are read at once.
const BATCH: std::ops::RangeInclusive<usize> = 50..=1_000;

/// A column of a row, as a sort or a filter sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Column {
    Text(Option<String>),
    Number(i64),
    Boolean(bool),
    Time(Option<Timestamp>),
}

impl Column {
    /// Compares for sorting. Nothing comes before everything, as in the databases that most run Cinder on; its own
    /// marker condition takes nothing for the empty text, and so may lose rows between pages.
    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Text(one), Self::Text(two)) => one.cmp(two),
            (Self::Number(one), Self::Number(two)) => one.cmp(two),
            (Self::Boolean(one), Self::Boolean(two)) => one.cmp(two),
            (Self::Time(one), Self::Time(two)) => one.cmp(two),
            // Two rows of one kind have the same columns.
            _ => Ordering::Equal,
        }
    }

    /// Compares with a text of the query as a database would; nothing equals nothing.
    fn equals(&self, text: &str) -> bool {
        match self {
            Self::Text(column) => column.as_deref() == Some(text),
            Self::Number(number) => is_number(text, *number),
            Self::Boolean(boolean) => is_number(text, i64::from(*boolean)),
            Self::Time(time) => time.is_some_and(|time| time.to_string().replace('T', " ") == text),
        }
    }

    /// The text that a like filter looks into.
    fn text(&self) -> Option<String> {
        match self {
            Self::Text(column) => column.clone(),
            Self::Number(number) => Some(number.to_string()),
            Self::Boolean(boolean) => Some(i64::from(*boolean).to_string()),
            Self::Time(time) => time.map(|time| time.to_string().replace('T', " ")),
        }
    }
}

fn type_id(name: Option<&str>) -> Column {
    Column::Text(name.map(|name| crate::domain::volume::type_id(name).to_string()))
}

/// Whether a database takes a text for a whole number; `3.0` is 3 to it.
fn is_number(text: &str, number: i64) -> bool {
    let same = |value: f64| i32::try_from(number).is_ok_and(|number| f64::from(number).total_cmp(&value).is_eq());
    text.trim().parse().is_ok_and(same)
}

/// A row that clients can list.
pub trait Listed: Row {
    /// The rule that lets a caller list.
    const RULE: Rule;
    /// Every column that [`Listed::column`] knows.
    const COLUMNS: &'static [&'static str];

    /// Returns the metadata.
    fn metadata(&self) -> &Metadata;
    /// Returns a column by its name in Cinder's database, or `None` when there is no such column.
    fn column(&self, name: &str) -> Option<Column>;
    /// Returns the answer for a marker that does not exist.
    fn not_found(id: &str) -> Error;
}

impl Listed for Snapshot {
    const RULE: Rule = Rule::GetAllSnapshots;
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "created_at",
        "updated_at",
        "status",
        "volume_id",
        "project_id",
        "user_id",
        "volume_size",
        "display_name",
        "display_description",
        "progress",
        "use_quota",
        "group_snapshot_id",
        "volume_type_id",
        "deleted",
        "deleted_at",
        "scheduled_at",
        "cgsnapshot_id",
        "encryption_key_id",
        "provider_location",
        "provider_id",
        "provider_auth",
    ];

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn column(&self, name: &str) -> Option<Column> {
        Some(match name {
            "id" => Column::Text(Some(self.id.to_string())),
            "created_at" => Column::Time(Some(self.created_at)),
            "updated_at" => Column::Time(self.updated_at),
            "status" => Column::Text(Some(self.status.to_string())),
            "volume_id" => Column::Text(Some(self.volume_id.to_string())),
            "project_id" => Column::Text(Some(self.project_id.to_string())),
            "user_id" => Column::Text(self.user_id.as_ref().map(ToString::to_string)),
            "volume_size" => Column::Number(i64::from(self.size)),
            "display_name" => Column::Text(self.name.clone()),
            "display_description" => Column::Text(self.description.clone()),
            "progress" => Column::Text(self.progress.clone()),
            "use_quota" => Column::Boolean(self.consumes_quota),
            "group_snapshot_id" => Column::Text(self.group_snapshot_id.map(|id| id.to_string())),
            "volume_type_id" => type_id(self.volume_type.as_deref()),
            "deleted" => Column::Boolean(false),
            "deleted_at" | "scheduled_at" => Column::Time(None),
            "cgsnapshot_id" | "encryption_key_id" | "provider_location" | "provider_id" | "provider_auth" => {
                Column::Text(None)
            }
            _ => return None,
        })
    }

    fn not_found(id: &str) -> Error {
        Error::SnapshotNotFound(id.to_owned())
    }
}

impl Listed for Volume {
    const RULE: Rule = Rule::GetAllVolumes;
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "created_at",
        "updated_at",
        "status",
        "project_id",
        "user_id",
        "size",
        "display_name",
        "display_description",
        "host",
        "cluster_name",
        "availability_zone",
        "attach_status",
        "migration_status",
        "volume_type_id",
        "snapshot_id",
        "group_id",
        "bootable",
        "multiattach",
        "use_quota",
        "deleted",
    ];

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn column(&self, name: &str) -> Option<Column> {
        Some(match name {
            "id" => Column::Text(Some(self.id.to_string())),
            "created_at" => Column::Time(Some(self.created_at)),
            "updated_at" => Column::Time(self.updated_at),
            "status" => Column::Text(Some(self.status.to_string())),
            "project_id" => Column::Text(Some(self.project_id.to_string())),
            "user_id" => Column::Text(self.user_id.as_ref().map(ToString::to_string)),
            "size" => Column::Number(i64::from(self.size)),
            "display_name" => Column::Text(self.name.clone()),
            "display_description" => Column::Text(self.description.clone()),
            "host" => Column::Text(self.host.clone()),
            "cluster_name" => Column::Text(self.cluster_name.clone()),
            "availability_zone" => Column::Text(self.availability_zone.clone()),
            "attach_status" => Column::Text(Some(self.attach_status.clone())),
            "migration_status" => Column::Text(self.migration_status.clone()),
            "volume_type_id" => type_id(self.volume_type.as_deref()),
            "snapshot_id" => Column::Text(self.snapshot_id.map(|id| id.to_string())),
            "group_id" => Column::Text(self.group_id.clone()),
            "bootable" => Column::Boolean(self.bootable),
            "multiattach" => Column::Boolean(self.multiattach),
            "use_quota" => Column::Boolean(self.consumes_quota),
            "deleted" => Column::Boolean(false),
            _ => return None,
        })
    }

    fn not_found(id: &str) -> Error {
        Error::VolumeNotFound(id.to_owned())
    }
}

/// A condition on rows; all conditions of a query must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// A column equals a text.
    Exact { column: String, text: String },
    /// A column contains a text, in which `%` and `_` are wildcards and letters match in either case.
    Like { column: String, text: String },
    /// Whether the row counts towards quota.
    UsesQuota(bool),
    /// Each pair is an item of the metadata.
    Metadata(BTreeMap<String, String>),
    /// The zone of the row's volume.
    Zone(String),
    /// The host of the row's volume.
    Host(String),
    /// The cluster of the row's volume.
    Cluster(String),
    /// A column of the row itself names a host or a cluster.
    Place { column: &'static str, text: String },
    /// Nothing matches.
    Nothing,
}

impl Filter {
    /// Whether nothing can match because there is no such column.
    fn names_no_column<T: Listed>(&self) -> bool {
        match self {
            Self::Exact { column, .. } | Self::Like { column, .. } => !T::COLUMNS.contains(&column.as_str()),
            Self::Nothing => true,
            _ => false,
        }
    }

    const fn needs_volume(&self) -> bool {
        matches!(self, Self::Zone(_) | Self::Host(_) | Self::Cluster(_))
    }

    fn matches<T: Listed>(&self, row: &T, volume: Option<&Volume>) -> bool {
        match self {
            Self::Exact { column, text } => row.column(column).is_some_and(|column| column.equals(text)),
            Self::Like { column, text } => {
                row.column(column).and_then(|column| column.text()).is_some_and(|column| contains_like(&column, text))
            }
            Self::UsesQuota(wanted) => row.column("use_quota") == Some(Column::Boolean(*wanted)),
            Self::Metadata(items) => items.iter().all(|(key, value)| row.metadata().get(key) == Some(value)),
            Self::Zone(zone) => volume.is_some_and(|volume| volume.availability_zone.as_ref() == Some(zone)),
            Self::Host(host) => volume.and_then(|volume| volume.host.as_deref()).is_some_and(|own| on_host(own, host)),
            Self::Cluster(cluster) => {
                volume.and_then(|volume| volume.cluster_name.as_deref()).is_some_and(|own| on_host(own, cluster))
            }
            Self::Place { column, text } => {
                row.column(column).and_then(|column| column.text()).is_some_and(|own| on_host(&own, text))
            }
            Self::Nothing => false,
        }
    }
}

/// Whether a host is meant by a filter: `host`, `host@backend` or `host@backend#pool`, each with all below it.
pub(super) fn on_host(own: &str, wanted: &str) -> bool {
    let below = own.strip_prefix(wanted).and_then(|rest| rest.chars().next());
    own == wanted
        || match (wanted.contains('#'), wanted.contains('@')) {
            (true, _) => false,
            (false, true) => below == Some('#'),
            (false, false) => matches!(below, Some('#' | '@')),
        }
}

/// SQL's `LIKE '%text%'`, without regard to the case of ASCII letters.
fn contains_like(column: &str, text: &str) -> bool {
    let pattern: Vec<char> = format!("%{text}%").to_ascii_lowercase().chars().collect();
    let column: Vec<char> = column.to_ascii_lowercase().chars().collect();
    // The classic greedy match: on a mismatch, the last `%` takes one character more.
    let (mut at, mut in_pattern) = (0, 0);
    let mut last_wildcard: Option<(usize, usize)> = None;
    while at < column.len() {
        match pattern.get(in_pattern) {
            Some('%') => {
                last_wildcard = Some((in_pattern, at));
                in_pattern += 1;
            }
            Some(expected) if *expected == '_' || *expected == column[at] => {
                at += 1;
                in_pattern += 1;
            }
            _ => {
                let Some((wildcard, taken)) = last_wildcard else { return false };
                last_wildcard = Some((wildcard, taken + 1));
                in_pattern = wildcard + 1;
                at = taken + 1;
            }
        }
    }
    pattern[in_pattern..].iter().all(|rest| *rest == '%')
}

/// One key of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SortKey {
    column: String,
    ascending: bool,
}

/// An order: its last keys are `created_at` and `id`, so no two rows are equal in it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Order(Vec<SortKey>);

impl Order {
    /// Reads the directions, and adds what is missing with the direction of the first.
    fn read(words: &[(String, String)]) -> Result<Self, Error> {
        let mut keys = Vec::with_capacity(words.len() + 2);
        for (column, direction) in words {
            let ascending = match direction.as_str() {
                "asc" => true,
                "desc" => false,
                _ => return Err(Error::BadRequest(UNKNOWN_DIRECTION.to_owned())),
            };
            keys.push(SortKey { column: column.clone(), ascending });
        }
        let ascending = keys.first().is_some_and(|key| key.ascending);
        for column in ["created_at", "id"] {
            if !keys.iter().any(|key| key.column == column) {
                keys.push(SortKey { column: column.to_owned(), ascending });
            }
        }
        Ok(Self(keys))
    }

    /// Refuses a key that is no column.
    fn check<T: Listed>(&self) -> Result<(), Error> {
        if self.0.iter().all(|key| T::COLUMNS.contains(&key.column.as_str())) {
            return Ok(());
        }
        Err(Error::BadRequest("Invalid input received: Invalid sort key".to_owned()))
    }

    /// Which way through the stored listing gives this order; `None` for any other order.
    fn stored_direction(&self) -> Option<Direction> {
        match self.0.as_slice() {
            [created_at, id] if created_at.column == "created_at" && id.column == "id" => {
                match (created_at.ascending, id.ascending) {
                    (false, false) => Some(Direction::NewestFirst),
                    (true, true) => Some(Direction::OldestFirst),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The values of a row that decide where it stands.
    fn values<T: Listed>(&self, row: &T) -> Vec<Column> {
        self.0.iter().filter_map(|key| row.column(&key.column)).collect()
    }

    fn compare(&self, one: &[Column], two: &[Column]) -> Ordering {
        self.0
            .iter()
            .zip(one.iter().zip(two))
            .map(|(key, (one, two))| if key.ascending { one.compare(two) } else { two.compare(one) })
            .find(|ordering| ordering.is_ne())
            .unwrap_or(Ordering::Equal)
    }

    /// Returns the indices of rows, sorted by their values.
    fn sorted(&self, values: &[Vec<Column>]) -> Vec<usize> {
        let mut indices: Vec<usize> = (0..values.len()).collect();
        indices.sort_unstable_by(|one, two| self.compare(&values[*one], &values[*two]));
        indices
    }
}

/// The text for a direction that is none.
const UNKNOWN_DIRECTION: &str = "Invalid input received: Unknown sort direction, must be 'desc' or 'asc'.";

/// A request for a page of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListRequest {
    /// Whether the list has rows of all projects. Only an administrator's request has this.
    pub all_tenants: bool,
    pub filters: Vec<Filter>,
    /// Columns with their directions, as the client wrote them.
    pub sort: Vec<(String, String)>,
    /// The id after which the page begins.
    pub marker: Option<String>,
    /// The most rows that the client wants, or `usize::MAX`. [`Service::list`] lowers it to the largest page.
    pub limit: usize,
    pub offset: usize,
    /// Whether the client wants to know how many rows match in all.
    pub with_count: bool,
}

/// The stored values that a list needs before its request can be checked.
#[derive(Debug)]
pub struct Prepared {
    deployment: Deployment,
    /// All projects, if the request may be about all of them.
    projects: Option<Vec<ProjectId>>,
    /// The record of the caller's project, if the request is only about that project.
    own_record: Option<ProjectRecord>,
}

impl Prepared {
    /// Returns the filters that members may use on a resource.
    #[must_use]
    pub fn allowed_filters(&self, resource: &str) -> Vec<String> {
        resource_filters::allowed(resource, &self.deployment)
    }
}

/// A page of a list.
#[derive(Debug, PartialEq, Eq)]
pub struct ListPage<T> {
    pub rows: Vec<T>,
    /// The number of rows that match in all, if the client asked for it.
    pub count: Option<usize>,
    /// The number of rows on a full page.
    pub limit: usize,
}

impl Service<'_> {
    /// Lists what the caller may see; [`Service::prepare_listing`] has looked where.
    ///
    /// # Errors
    ///
    /// Not allowed, a marker that is not there, a sort key that is no column, or what the store gives.
    pub fn list<T: Listed>(&self, mut query: ListRequest, prepared: Prepared) -> Result<ListPage<T>, Error> {
        query.limit = query.limit.min(self.largest_page(&prepared.deployment)?);
        let query = &query;
        let limit = query.limit;
        match self.caller.allow_own(T::RULE) {
            // Cinder refuses this for snapshots, and finds no volumes.
            Err(Error::Unscoped) if T::KIND == Kind::Volume => {
                return Ok(ListPage { rows: Vec::new(), count: query.with_count.then_some(0), limit });
            }
            allowed => allowed?,
        }
        if query.filters.iter().any(Filter::names_no_column::<T>) {
            // Cinder looks at nothing else then, neither at the order nor at the marker.
            return Ok(ListPage { rows: Vec::new(), count: query.with_count.then_some(0), limit });
        }
        let order = Order::read(&query.sort)?;
        let marker: Option<T> = query.marker.as_deref().map(|id| self.marker(id)).transpose()?;
        order.check::<T>()?;
        let records = self.records(query, prepared)?;
        let count = if query.with_count { Some(self.count::<T>(query, records.clone())?) } else { None };
        let rows = match order.stored_direction() {
            Some(direction) => {
                let after = marker.as_ref().map(|marker| marker.entry().position);
                self.page_in_stored_order(query, records, direction, after)?
            }
            None => self.page_in_any_order(query, &order, records, marker.as_ref())?,
        };
        Ok(ListPage { rows, count, limit })
    }

    fn marker<T: Listed>(&self, id: &str) -> Result<T, Error> {
        let not_found = || T::not_found(id);
        let id: T::Id = id.parse().map_err(|_| not_found())?;
        let row = self.store.row::<T>(id)?;
        row.and_then(|row| row.effective(self.now, Occasion::Reading))
            // The marker of a list of volumes may be anybody's.
            .filter(|row| T::KIND == Kind::Volume || self.caller.sees(row.project_id()))
            .ok_or_else(not_found)
    }

    /// Returns the largest page: an operator's, or else the setting `max_limit`.
    fn largest_page(&self, deployment: &Deployment) -> Result<usize, Error> {
        Ok(match deployment.osapi_max_limit {
            Some(limit) => limit as usize,
            None => self.settings.get()?.max_limit,
        })
    }

    /// Reads the values that the checks of a list need, and the record that the list begins with, in one call of the
    /// host.
    ///
    /// # Errors
    ///
    /// Errors of the store.
    pub fn prepare_listing(&self, may_want_all_projects: bool) -> Result<Prepared, Error> {
        if may_want_all_projects && self.caller.roles.admin {
            let (deployment, projects) = self.store.deployment_and_project_ids()?;
            return Ok(Prepared { deployment, projects: Some(projects), own_record: None });
        }
        let (deployment, own_record) = match &self.caller.project_id {
            Some(project_id) => self.store.deployment_and_project(project_id)?,
            None => (self.store.deployment()?, None),
        };
        Ok(Prepared { deployment, projects: None, own_record })
    }

    /// The records of the projects that a query is about.
    fn records(&self, query: &ListRequest, prepared: Prepared) -> Result<Vec<ProjectRecord>, Error> {
        let Prepared { projects, own_record, .. } = prepared;
        if !query.all_tenants {
            let own = match (&projects, &self.caller.project_id) {
                (Some(_), Some(project_id)) => self.store.project(project_id)?,
                _ => own_record,
            };
            return Ok(own.into_iter().collect());
        }
        let named = query.filters.iter().find_map(|filter| match filter {
            Filter::Exact { column, text } if column == "project_id" => Some(text),
            _ => None,
        });
        Ok(match named.map(|text| text.parse::<ProjectId>()) {
            Some(Ok(project_id)) => self.store.project(&project_id)?.into_iter().collect(),
            Some(Err(_)) => Vec::new(),
            None => self.store.projects(&projects.map_or_else(|| self.store.project_ids(), Ok)?)?,
        })
    }

    fn page_in_stored_order<T: Listed>(
        &self,
        query: &ListRequest,
        records: Vec<ProjectRecord>,
        direction: Direction,
        after: Option<Position>,
    ) -> Result<Vec<T>, Error> {
        let mut listing =
            Listing::new(self.store, records, T::KIND, direction, after).of_volume(volume_of(&query.filters));
        let mut to_skip = query.offset;
        let mut rows = Vec::with_capacity(query.limit.min(*BATCH.end()));
        // Without a filter every entry is a row of the page; with one, ever larger batches look for the next match.
        let mut batch = if query.filters.is_empty() { 1 } else { *BATCH.start() };
        while rows.len() < query.limit {
            let missing = (query.limit - rows.len()).saturating_add(to_skip);
            let wanted = missing.max(batch).min(*BATCH.end());
            batch = batch.saturating_mul(2);
            let entries = listing.next(wanted)?;
            if entries.is_empty() {
                break;
            }
            for row in self.matching::<T>(&entries, &query.filters)? {
                if to_skip > 0 {
                    to_skip -= 1;
                } else if rows.len() < query.limit {
                    rows.push(row);
                }
            }
        }
        Ok(rows)
    }

    fn page_in_any_order<T: Listed>(
        &self,
        query: &ListRequest,
        order: &Order,
        records: Vec<ProjectRecord>,
        marker: Option<&T>,
    ) -> Result<Vec<T>, Error> {
        let marker = marker.map(|marker| order.values(marker));
        let (mut values, mut rows) = (Vec::new(), Vec::new());
        self.scan::<T>(query, records, |row| {
            let own = order.values(&row);
            if marker.as_ref().is_none_or(|marker| order.compare(marker, &own).is_lt()) {
                values.push(own);
                rows.push(Some(row));
            }
        })?;
        let page = order.sorted(&values).into_iter().skip(query.offset).take(query.limit);
        Ok(page.filter_map(|at| rows[at].take()).collect())
    }

    /// How many rows match, whatever the page. Without a filter the records know.
    fn count<T: Listed>(&self, query: &ListRequest, records: Vec<ProjectRecord>) -> Result<usize, Error> {
        if query.filters.is_empty() {
            let mut count = 0_usize;
            for record in &records {
                let Some((record, removals)) = self.store.project_and_removals(&record.project, self.now)? else {
                    continue;
                };
                let gone = removals.iter().filter(|item| item.kind == T::KIND).count();
                count += record.index(T::KIND).len().saturating_sub(gone);
            }
            return Ok(count);
        }
        let mut count = 0;
        self.scan::<T>(query, records, |_| count += 1)?;
        Ok(count)
    }

    /// Every matching row, newest first.
    fn scan<T: Listed>(
        &self,
        query: &ListRequest,
        records: Vec<ProjectRecord>,
        mut each: impl FnMut(T),
    ) -> Result<(), Error> {
        let mut listing = Listing::new(self.store, records, T::KIND, Direction::NewestFirst, None)
            .of_volume(volume_of(&query.filters));
        loop {
            let entries = listing.next(*BATCH.end())?;
            if entries.is_empty() {
                return Ok(());
            }
            self.matching::<T>(&entries, &query.filters)?.into_iter().for_each(&mut each);
        }
    }

    /// The rows of entries, as they are now, that match; rows that are gone are left out.
    fn matching<T: Listed>(&self, entries: &[Entry], filters: &[Filter]) -> Result<Vec<T>, Error> {
        let ids: Vec<Uuid> = entries.iter().map(|entry| entry.position.id).collect();
        let volumes = if filters.iter().any(Filter::needs_volume) { self.volumes_of(entries)? } else { Vec::new() };
        let rows = self.store.rows::<T>(&ids)?.into_iter().zip(entries).filter_map(|(row, entry)| {
            let row = row?.effective(self.now, Occasion::Reading)?;
            let volume = volumes.binary_search_by_key(&entry.volume_id, |(id, _)| *id).ok().map(|at| &volumes[at].1);
            filters.iter().all(|filter| filter.matches(&row, volume)).then_some(row)
        });
        Ok(rows.collect())
    }

    /// The volumes of entries, by id.
    fn volumes_of(&self, entries: &[Entry]) -> Result<Vec<(Uuid, Volume)>, Error> {
        let mut ids: Vec<Uuid> = entries.iter().map(|entry| entry.volume_id).collect();
        ids.sort_unstable();
        ids.dedup();
        let volumes = self.store.rows::<Volume>(&ids)?;
        Ok(ids.into_iter().zip(volumes).filter_map(|(id, volume)| Some((id, volume?))).collect())
    }
}

/// The volume that a filter names, where the listing itself can tell.
fn volume_of(filters: &[Filter]) -> Option<Uuid> {
    filters.iter().find_map(|filter| match filter {
        Filter::Exact { column, text } if column == "volume_id" => {
            text.parse::<crate::domain::VolumeId>().ok().map(|id| id.as_uuid())
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_that_is_named_is_there() {
        let snapshot = crate::domain::snapshot::tests::snapshot(crate::domain::SnapshotStatus::Available);
        for column in Snapshot::COLUMNS {
            assert!(snapshot.column(column).is_some(), "{column}");
        }
        let volume = crate::domain::volume::tests::volume("available", None);
        for column in Volume::COLUMNS {
            assert!(volume.column(column).is_some(), "{column}");
        }
    }

    #[test]
    fn like_finds_substrings_and_knows_wildcards() {
        let cases = [
            ("alphabet", "alph", true),
            ("alphabet", "ALPH", true),
            ("alphabet", "a%t", true),
            ("alphabet", "b_t", true),
            ("alphabet", "b__t", false),
            ("alphabet", "", true),
            ("", "", true),
            ("", "_", false),
            ("aab", "ab", true),
            ("ÄB", "äb", false),
        ];
        for (column, text, expected) in cases {
            assert_eq!(contains_like(column, text), expected, "{column} like {text}");
        }
    }

    #[test]
    fn a_host_filter_means_the_host_and_all_below_it() {
        let cases = [
            ("host1@lvm#pool", "host1", true),
            ("host1@lvm#pool", "host1@lvm", true),
            ("host1@lvm#pool", "host1@lvm#pool", true),
            ("host1@lvm#pool", "host", false),
            ("host1@lvm#pool", "host1@lv", false),
            ("host1@lvm#pool", "host1@lvm#po", false),
            ("host1@lvm#pool", "HOST1", false),
        ];
        for (own, wanted, expected) in cases {
            assert_eq!(on_host(own, wanted), expected, "{own} on {wanted}");
        }
    }
}
