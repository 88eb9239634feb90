//! Strings and values as Cinder's Python reads and prints them: clients see these forms in messages and send them in
//! queries.
//!
//! Functions carry the names of Python's own: [`strip`], [`repr`].

mod literal;
pub mod unicode;
mod values;

pub use literal::{Unhashable, dict_literal};
pub use values::{boolean, integer, quote_plus, repr, repr_of_string, strip, to_string};
