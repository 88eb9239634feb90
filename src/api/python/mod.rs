//! Strings and values as Cinder's Python reads and prints them: clients see these forms in messages and send them in
//! queries.
//!
//! Functions carry the names of Python's own: [`strip`], [`repr`].

pub mod base64;
mod literal;
mod time;
pub mod unicode;
mod values;

pub use literal::{Items, Operand, Unhashable, dict_literal, operand};
pub use time::iso_time;
pub use values::{
    INFINITY, NOT_A_NUMBER, boolean, integer, is_true, quote_plus, repr, repr_of_float, repr_of_string, strip,
    to_string,
};
