//! Builds sets and maps entry by entry.
//!
//! `collect` would sort the entries first, and the sort of each further type costs the component 7 KB.

use std::collections::{BTreeMap, BTreeSet};

/// Returns the set of some items.
pub fn set_of<T: Ord>(items: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    let mut set = BTreeSet::new();
    set.extend(items);
    set
}

/// Returns the map of some entries. Of entries with the same key, the last one stays.
pub fn map_of<K: Ord, V>(entries: impl IntoIterator<Item = (K, V)>) -> BTreeMap<K, V> {
    let mut map = BTreeMap::new();
    map.extend(entries);
    map
}
