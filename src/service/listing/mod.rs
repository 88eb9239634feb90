//! Lists of rows: which rows match, in which order, and which page of them (`docs/spec/listing.md`).
//!
//! The cost of a page must depend on its size, not on the number of rows of the project. Paging must show each row
//! exactly once, even while other rows are created and deleted. Both follow from one decision: the stored index has the
//! default order (`created_at`, then `id`, newest first), and a marker is a *position* in it, not a number. The
//! position comes from the marker's own row. The next page starts there in either direction, even if the rows around it
//! have been removed since the last page. The rows before the marker are neither counted nor read.
//!
//! Three kinds of query cost more, on purpose:
//!
//! - A filter is applied to rows in batches of growing size until the page is full. The exception is the filter by
//!   `volume_id`: the index stores the volume with each entry, so only the rows of that volume are read.
//! - Any other order reads all rows of the project, sorts them, and takes the page from the result. Every order
//!   includes `created_at` and `id`, so it never ranks two rows as equal, and a marker has exactly one position.
//! - A count without a filter is the length of the index minus the removals that are due. With a filter it reads all
//!   rows.
//!
//! Columns, `LIKE`, and hosts behave as in Cinder's database queries, including their quirks.

mod columns;
mod filters;
mod order;
mod pages;

pub use columns::{Column, Columns, Listed};
pub use filters::{Comparison, Filter, Pattern};
pub use pages::{ListPage, ListRequest, Prepared};

pub(super) use columns::columns;
pub(super) use filters::on_host;
pub(super) use order::Order;
