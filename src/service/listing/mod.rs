//! Lists of rows: which rows match, in which order, and which page of them (`docs/spec/listing.md`).
//!
//! A page must cost what it shows, however many rows the project has, and paging must show each row exactly once while others
//! come and go. Both follow from one decision: the stored index has the default order (`created_at`, then `id`), newest
//! first, and a marker is a *position* in it, not a number. The position of a marker is found from the marker's own row, so a
//! page after it starts there in either direction, even if the rows around it were removed since. No offset is counted, and
//! no row before the marker is read.
//!
//! Three kinds of query are dearer, on purpose:
//!
//! - A filter is applied to rows in ever larger batches until the page is full. The filter by `volume_id` is the exception:
//!   the index keeps the volume beside each entry, so it reads only rows that match.
//! - Any other order reads all rows of the project, sorts them, and cuts the page out. The last two keys of every order are
//!   `created_at` and `id`, so no two rows are equal in it and a marker still names one place.
//! - A count without a filter is the length of the index less the removals that are due; with a filter it reads all rows.
//!
//! The semantics of columns, of `LIKE`, and of hosts are those of Cinder's database queries, quirks included.

mod columns;
mod filters;
mod order;
mod pages;

pub use columns::{Column, Columns, Listed};
pub use filters::Filter;
pub use pages::{ListPage, ListRequest, Prepared};

pub(super) use columns::{columns, type_id};
pub(super) use filters::on_host;
