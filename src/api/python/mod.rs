//! Strings and values as Cinder's Python reads and prints them: clients see these forms in messages and send them in
//! queries.

pub mod text;
pub mod unicode;
