//! The pages of a list: the projects that are searched, and the rows that are returned.

use uuid::Uuid;

use crate::domain::{ProjectId, Volume};
use crate::service::{Error, Service, resource_filters};
use crate::store::deployment::Deployment;
use crate::store::index::{Direction, Entry, Position};
use crate::store::projects::ProjectRecord;
use crate::store::{Kind, Listing};

use super::columns::Listed;
use super::filters::{Filter, volume_of};
use super::order::Order;

/// The sizes of a batch of rows: the smallest in a filtered list, and the largest in any list.
const BATCH: std::ops::RangeInclusive<usize> = 50..=1_000;

/// The number of rows that are read at once where rows may be large, so that they need little memory together.
const ROWS_AT_ONCE_IF_LARGE: usize = 4;

/// Returns the number of rows of these projects that may be read at once. Filters may need the volume of each row, and that
/// may be large in a project of which no record is at hand.
fn rows_at_once(records: &[ProjectRecord], filters: &[Filter]) -> usize {
    let needs_volumes = filters.iter().any(Filter::needs_volume);
    let needs_foreign_volumes =
        |record: &ProjectRecord| needs_volumes && record.has_snapshots_of_other_projects_volumes;
    let may_be_large = records.iter().any(|record| record.has_large_rows || needs_foreign_volumes(record));
    if may_be_large { ROWS_AT_ONCE_IF_LARGE } else { *BATCH.end() }
}

/// A request for a page of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListRequest {
    /// Whether the list has rows of all projects. Only an administrator may ask for that.
    pub all_tenants: bool,
    pub filters: Vec<Filter>,
    /// Columns with their directions, as the client sent them.
    pub sort: Vec<(String, String)>,
    /// The id after which the page starts.
    pub marker: Option<String>,
    /// The number of rows that the client asks for, or `usize::MAX`. [`Service::list`] caps it at the largest page.
    pub limit: usize,
    pub offset: usize,
    /// Whether the client asks for the total number of matching rows.
    pub with_count: bool,
}

impl ListRequest {
    /// Returns the project that a filter names.
    fn named_project(&self) -> Option<&str> {
        self.filters.iter().find_map(|filter| match filter {
            Filter::Exact { column, string } if column == "project_id" => Some(string.as_str()),
            _ => None,
        })
    }

    fn is_of_many_projects(&self) -> bool {
        self.all_tenants && self.named_project().is_none()
    }
}

/// The stored values that are needed to check the request for a list.
#[derive(Debug)]
pub struct Prepared {
    deployment: Deployment,
    /// All projects, if the request may ask for the rows of all projects.
    projects: Option<Vec<ProjectId>>,
    /// The record of the caller's project, if the request can only ask for the rows of that project.
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
    /// The total number of matching rows, if the client asked for it.
    pub count: Option<usize>,
    /// The number of rows on a full page.
    pub limit: usize,
    /// The metadata of the rows, in bytes.
    pub bytes: usize,
    /// The largest page, in bytes.
    pub most_bytes: usize,
    /// Whether the page ended because of its bytes, so that there may be more rows.
    pub is_cut: bool,
}

impl<T> ListPage<T> {
    /// Returns a page without rows.
    pub(in crate::service) const fn empty(limit: usize, count: Option<usize>) -> Self {
        Self { rows: Vec::new(), count, limit, bytes: 0, most_bytes: 0, is_cut: false }
    }
}

/// The rows of a page that is being filled.
struct Filling<T> {
    rows: Vec<T>,
    bytes: usize,
    limit: usize,
    most_bytes: usize,
    is_cut: bool,
}

impl<T: Listed> Filling<T> {
    fn new(limit: usize, most_bytes: usize) -> Self {
        Self { rows: Vec::with_capacity(limit.min(*BATCH.end())), bytes: 0, limit, most_bytes, is_cut: false }
    }

    const fn is_full(&self) -> bool {
        self.is_cut || self.rows.len() >= self.limit
    }

    /// Adds a row, unless the page is full. The page is cut before the row whose metadata makes it too large, but it has at
    /// least one row.
    fn add(&mut self, row: T) {
        if self.is_full() {
            return;
        }
        let bytes = self.bytes + row.metadata_size();
        if bytes > self.most_bytes && !self.rows.is_empty() {
            self.is_cut = true;
        } else {
            self.bytes = bytes;
            self.rows.push(row);
        }
    }
}

impl Service<'_> {
    /// Lists the rows that are visible to the caller. `prepared` comes from [`Service::prepare_listing`].
    ///
    /// # Errors
    ///
    /// A rule that the caller does not pass, an invalid direction, a marker that does not exist, a sort key that is not
    /// a column, or errors of the store.
    pub fn list<T: Listed>(&self, mut query: ListRequest, prepared: Prepared) -> Result<ListPage<T>, Error> {
        query.limit = query.limit.min(self.largest_page(&prepared.deployment)?);
        let query = &query;
        let limit = query.limit;
        match T::RULE.map_or_else(|| self.caller.is_scoped(), |rule| self.caller.allow_own(rule)) {
            Err(Error::Unscoped) if T::UNSCOPED_LISTS_ARE_EMPTY => {
                return Ok(ListPage::empty(limit, query.with_count.then_some(0)));
            }
            allowed => allowed?,
        }
        if query.filters.iter().any(Filter::names_no_column::<T>) {
            // In this case Cinder checks neither the sort keys nor the marker.
            if T::CHECKS_DIRECTIONS_FIRST {
                Order::read(&query.sort)?;
            }
            return Ok(ListPage::empty(limit, query.with_count.then_some(0)));
        }
        let order = Order::read(&query.sort)?;
        let marker: Option<T> = query.marker.as_deref().map(|id| self.marker(id)).transpose()?;
        order.check::<T>()?;
        let records = self.records(query, prepared)?;
        let count = if query.with_count { Some(self.count::<T>(query, &records)?) } else { None };
        let named = T::named_by(self, query)?;
        let filled = match order.stored_direction().filter(|_| named.is_none()) {
            Some(direction) => {
                let after = marker.as_ref().map(|marker| marker.entry().position);
                self.page_in_stored_order(query, records, direction, after)?
            }
            None => self.page_in_any_order(query, &order, records, named, marker.as_ref())?,
        };
        let Filling { rows, bytes, most_bytes, is_cut, .. } = filled;
        Ok(ListPage { rows, count, limit, bytes, most_bytes, is_cut })
    }

    /// Checks the order and the marker of a list that has no rows.
    ///
    /// # Errors
    ///
    /// An invalid direction, a marker, since no row exists, or a sort key that is not a column.
    pub fn list_none(
        &self,
        query: &ListRequest,
        columns: &[&str],
        not_found: &dyn Fn(&str) -> Error,
    ) -> Result<(), Error> {
        let order = Order::read(&query.sort)?;
        match &query.marker {
            Some(marker) => Err(not_found(marker)),
            None => order.check_columns(columns),
        }
    }

    fn marker<T: Listed>(&self, id: &str) -> Result<T, Error> {
        let not_found = || T::not_found(id);
        let id: T::Id = id.parse().map_err(|_| not_found())?;
        let row = self.store.row::<T>(id)?.and_then(|row| self.current(row));
        let row = T::complete(self, vec![row])?.pop().flatten();
        row.filter(|row| T::MARKER_MAY_BE_FOREIGN || self.caller.sees(row.project_id())).ok_or_else(not_found)
    }

    /// Returns the largest page size: the operator's if it is set, otherwise the setting `max_limit`.
    pub(in crate::service) fn largest_page(&self, deployment: &Deployment) -> Result<usize, Error> {
        Ok(match deployment.osapi_max_limit {
            Some(limit) => limit as usize,
            None => self.settings.get()?.max_limit,
        })
    }

    /// Reads the values that are needed to check the request, and the record with which the list starts, in one call to
    /// the host.
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

    /// Returns the records of the projects whose rows the query may return.
    fn records(&self, query: &ListRequest, prepared: Prepared) -> Result<Vec<ProjectRecord>, Error> {
        let Prepared { projects, own_record, .. } = prepared;
        if !query.all_tenants {
            let own = match (&projects, &self.caller.project_id) {
                (Some(_), Some(project_id)) => self.store.project(project_id)?,
                _ => own_record,
            };
            return Ok(own.into_iter().collect());
        }
        Ok(match query.named_project().map(str::parse::<ProjectId>) {
            Some(Ok(project_id)) => self.store.project(&project_id)?.into_iter().collect(),
            Some(Err(_)) => Vec::new(),
            None => self.store.projects(&projects.map_or_else(|| self.store.project_ids(), Ok)?)?,
        })
    }

    /// Returns the listing of a query. A list of many projects goes on without pages that cannot be read, as it does without
    /// records. A list of one project fails, since it would lack an unknown part of its rows.
    fn listing(
        &self,
        query: &ListRequest,
        records: Vec<ProjectRecord>,
        kind: Kind,
        direction: Direction,
        after: Option<Position>,
    ) -> Listing<'_> {
        Listing::new(self.store, records, kind, direction, after)
            .of_volume(volume_of(&query.filters))
            .without_unreadable_pages(|_| query.is_of_many_projects())
    }

    fn page_in_stored_order<T: Listed>(
        &self,
        query: &ListRequest,
        records: Vec<ProjectRecord>,
        direction: Direction,
        after: Option<Position>,
    ) -> Result<Filling<T>, Error> {
        let most_at_once = rows_at_once(&records, &query.filters);
        let mut listing = self.listing(query, records, T::KIND, direction, after);
        let mut to_skip = query.offset;
        let mut page = Filling::new(query.limit, self.settings.get()?.max_page_bytes);
        // Without a filter every entry is a row of the page. With one, batches of growing size search for matches.
        let mut batch = if query.filters.is_empty() { 1 } else { *BATCH.start() };
        while !page.is_full() {
            let missing = (query.limit - page.rows.len()).saturating_add(to_skip);
            let wanted = missing.max(batch).min(most_at_once);
            batch = batch.saturating_mul(2);
            let entries = listing.next(wanted)?;
            if entries.is_empty() {
                break;
            }
            for row in self.matching::<T>(&entries, &query.filters)? {
                if to_skip > 0 {
                    to_skip -= 1;
                } else {
                    page.add(row);
                }
            }
        }
        Ok(page)
    }

    fn page_in_any_order<T: Listed>(
        &self,
        query: &ListRequest,
        order: &Order,
        records: Vec<ProjectRecord>,
        named: Option<Vec<T>>,
        marker: Option<&T>,
    ) -> Result<Filling<T>, Error> {
        let marker = marker.map(|marker| order.values(marker));
        let most_at_once = rows_at_once(&records, &query.filters);
        let keeps_rows = named.is_some() || most_at_once > ROWS_AT_ONCE_IF_LARGE;
        let (mut values, mut entries, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        let each = |row: T| {
            let own = order.values(&row);
            if marker.as_ref().is_none_or(|marker| order.compare(marker, &own).is_lt()) {
                values.push(own);
                entries.push(row.entry());
                rows.extend(keeps_rows.then_some(Some(row)));
            }
        };
        match named {
            Some(named) => {
                named
                    .into_iter()
                    .filter(|row| query.filters.iter().all(|filter| filter.matches(row, None)))
                    .for_each(each);
            }
            None => self.scan::<T>(query, records, each)?,
        }
        let mut page = Filling::new(query.limit, self.settings.get()?.max_page_bytes);
        let sorted: Vec<usize> = order.sorted(&values).into_iter().skip(query.offset).take(query.limit).collect();
        if keeps_rows {
            sorted.into_iter().filter_map(|at| rows[at].take()).for_each(|row| page.add(row));
            return Ok(page);
        }
        // Rows that may be large are read again instead of being kept, and only those of the page.
        for few in sorted.chunks(most_at_once) {
            if page.is_full() {
                break;
            }
            let entries: Vec<Entry> = few.iter().map(|at| entries[*at]).collect();
            self.matching::<T>(&entries, &query.filters)?.into_iter().for_each(|row| page.add(row));
        }
        Ok(page)
    }

    /// Returns the number of matching rows on all pages. Without a filter no row is read, since the records suffice.
    fn count<T: Listed>(&self, query: &ListRequest, records: &[ProjectRecord]) -> Result<usize, Error> {
        if query.filters.is_empty() {
            let projects: Vec<ProjectId> = records.iter().map(|record| record.project.clone()).collect();
            return Ok(self.store.count(T::KIND, &projects, self.now, query.is_of_many_projects())?);
        }
        let mut count = 0;
        self.scan::<T>(query, records.to_vec(), |_| count += 1)?;
        Ok(count)
    }

    /// Calls `each` with every row of the projects of a query without filters.
    pub(in crate::service) fn each_row<T: Listed>(
        &self,
        query: &ListRequest,
        each: impl FnMut(T),
    ) -> Result<(), Error> {
        let prepared = self.prepare_listing(query.all_tenants)?;
        let records = self.records(query, prepared)?;
        self.scan(query, records, each)
    }

    /// Calls `each` with every matching row, newest first.
    fn scan<T: Listed>(
        &self,
        query: &ListRequest,
        records: Vec<ProjectRecord>,
        mut each: impl FnMut(T),
    ) -> Result<(), Error> {
        let most_at_once = rows_at_once(&records, &query.filters);
        let mut listing = self.listing(query, records, T::KIND, Direction::NewestFirst, None);
        loop {
            let entries = listing.next(most_at_once)?;
            if entries.is_empty() {
                return Ok(());
            }
            self.matching::<T>(&entries, &query.filters)?.into_iter().for_each(&mut each);
        }
    }

    /// Returns the current rows of the entries that match the filters, without rows that no longer exist.
    fn matching<T: Listed>(&self, entries: &[Entry], filters: &[Filter]) -> Result<Vec<T>, Error> {
        let ids: Vec<Uuid> = entries.iter().map(|entry| entry.position.id).collect();
        let volumes = if filters.iter().any(Filter::needs_volume) { self.volumes_of(entries)? } else { Vec::new() };
        let rows = self.store.rows::<T>(&ids)?.into_iter().map(|row| row.readable().and_then(|row| self.current(row)));
        let rows = T::complete(self, rows.collect())?;
        let rows = rows.into_iter().zip(entries).filter_map(|(row, entry)| {
            let row = row?;
            let volume = volumes.binary_search_by_key(&entry.volume_id, |(id, _)| *id).ok().map(|at| &volumes[at].1);
            filters.iter().all(|filter| filter.matches(&row, volume)).then_some(row)
        });
        Ok(rows.collect())
    }

    /// Returns the volumes of the entries, sorted by id.
    fn volumes_of(&self, entries: &[Entry]) -> Result<Vec<(Uuid, Volume)>, Error> {
        let mut ids: Vec<Uuid> = entries.iter().map(|entry| entry.volume_id).collect();
        ids.sort_unstable();
        ids.dedup();
        let volumes = self.store.rows::<Volume>(&ids)?;
        Ok(ids.into_iter().zip(volumes).filter_map(|(id, volume)| Some((id, volume.readable()?))).collect())
    }
}
