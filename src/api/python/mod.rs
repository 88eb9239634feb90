//! Strings and values as Cinder's Python reads and prints them: clients see these forms in messages and send them in
//! queries.
//!
//! Functions carry the names of Python's own: [`strip`], [`repr`].

mod literal;
mod text;
pub mod unicode;

pub use literal::{Unhashable, dict_literal};
pub use text::{boolean, integer, quote_plus, repr, repr_of_string, strip, to_string};
