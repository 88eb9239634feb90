//! The kinds of rows. `super::row` says what a kind stands for.

use serde::{Deserialize, Serialize};

/// The kind of a row. The order of the variants is that of the indexes in a project's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Snapshot,
    Volume,
}
