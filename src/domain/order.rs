//! Sorting. The standard library's sort is compiled anew for each type that it sorts, and five of them were 48 KB of
//! the component. So there is one, of places, and what is sorted follows its place.

use std::cmp::Ordering;

/// The places from 0 up to `count`, in the order that `compare` says of two of them. Places that are equal may come either
/// way round.
#[must_use]
pub fn places(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut places: Vec<usize> = (0..count).collect();
    places.sort_unstable_by(|one, two| compare(*one, *two));
    places
}

/// Items in the order that `compare` says of two of them. Items that are equal may come either way round.
#[must_use]
pub fn sorted<T>(items: Vec<T>, compare: impl Fn(&T, &T) -> Ordering) -> Vec<T> {
    let places = places(items.len(), &|one, two| compare(&items[one], &items[two]));
    let mut items: Vec<Option<T>> = items.into_iter().map(Some).collect();
    places.into_iter().filter_map(|place| items[place].take()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn items_are_sorted_as_the_standard_library_sorts_them(items: Vec<(u8, String)>) {
            let mut expected = items.clone();
            expected.sort();
            prop_assert_eq!(sorted(items, Ord::cmp), expected);
        }
    }
}
