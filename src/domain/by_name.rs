//! Values by name, in the order of their names: what a `BTreeMap` would be, in a fraction of its code and of its time. Two
//! kinds of `BTreeMap` were a hundredth of the component, few of these have more than some dozens of names, and where
//! there are many they come in order.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// Values by name. It is read and written as a JSON object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByName<V>(Vec<(String, V)>);

impl<V> ByName<V> {
    /// No values.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The place of a name, or where it would be.
    fn place(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(own, _)| own.as_str().cmp(name))
    }

    /// The value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&V> {
        self.place(name).ok().map(|at| &self.0[at].1)
    }

    /// Whether a name has a value.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.place(name).is_ok()
    }

    /// Gives a name a value, in place of any it had.
    pub fn insert(&mut self, name: String, value: V) {
        match self.place(&name) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (name, value)),
        }
    }

    /// Takes a name out, and says what its value was.
    pub fn remove(&mut self, name: &str) -> Option<V> {
        self.place(name).ok().map(|at| self.0.remove(at).1)
    }

    /// Names and values, in the order of names.
    pub fn iter(&self) -> Iter<'_, V> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// Names, in order.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.0.iter().map(|(name, _)| name)
    }
}

impl<V: Default> ByName<V> {
    /// The value of a name, which has the default one from now on if it had none.
    pub fn or_default(&mut self, name: &str) -> &mut V {
        let at = self.place(name).unwrap_or_else(|at| {
            self.0.insert(at, (name.to_owned(), V::default()));
            at
        });
        &mut self.0[at].1
    }
}

impl<V: Clone> ByName<V> {
    /// Takes over what others have.
    pub fn take_over(&mut self, others: &Self) {
        let mut own = std::mem::take(&mut self.0).into_iter().peekable();
        for (name, value) in others {
            while let Some(smaller) = own.next_if(|(own, _)| own < name) {
                self.0.push(smaller);
            }
            own.next_if(|(own, _)| own == name);
            self.0.push((name.clone(), value.clone()));
        }
        self.0.extend(own);
    }
}

impl<V> FromIterator<(String, V)> for ByName<V> {
    fn from_iter<I: IntoIterator<Item = (String, V)>>(pairs: I) -> Self {
        let mut values = Self::new();
        for (name, value) in pairs {
            // What comes in order needs no search.
            match values.0.last() {
                Some((last, _)) if *last >= name => values.insert(name, value),
                _ => values.0.push((name, value)),
            }
        }
        values
    }
}

/// See [`ByName::iter`].
pub type Iter<'a, V> = std::iter::Map<std::slice::Iter<'a, (String, V)>, fn(&(String, V)) -> (&String, &V)>;

impl<'a, V> IntoIterator for &'a ByName<V> {
    type Item = (&'a String, &'a V);
    type IntoIter = Iter<'a, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<V> Default for ByName<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V: Serialize> Serialize for ByName<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for ByName<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ByNameVisitor<V>(PhantomData<V>);

        impl<'de, V: Deserialize<'de>> Visitor<'de> for ByNameVisitor<V> {
            type Value = ByName<V>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ByName<V>, A::Error> {
                let mut values = ByName::new();
                while let Some((name, value)) = map.next_entry()? {
                    values.insert(name, value);
                }
                Ok(values)
            }
        }

        deserializer.deserialize_map(ByNameVisitor(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// Few names, so that the same come again.
        #[test]
        fn it_is_what_a_map_would_be(
            first in proptest::collection::vec(("[a-c]{0,2}", any::<u8>()), 0..12),
            second in proptest::collection::vec(("[a-c]{0,2}", any::<u8>()), 0..12),
            removed in "[a-c]{0,2}",
        ) {
            let mut map: BTreeMap<String, u8> = first.iter().cloned().collect();
            let mut values: ByName<u8> = first.into_iter().collect();
            let others: ByName<u8> = second.iter().cloned().collect();
            map.extend(second);
            values.take_over(&others);
            prop_assert_eq!(values.iter().collect::<Vec<_>>(), map.iter().collect::<Vec<_>>());
            prop_assert_eq!(values.remove(&removed), map.remove(&removed));
            prop_assert_eq!(values.iter().collect::<Vec<_>>(), map.iter().collect::<Vec<_>>());
            prop_assert!(map.iter().all(|(name, value)| values.get(name) == Some(value)));
            prop_assert!(!values.contains(&removed));
        }
    }

    #[test]
    fn names_are_kept_in_order_and_once() {
        let mut values: ByName<i64> = serde_json::from_str(r#"{"b": 2, "a": 1, "b": 3}"#).expect("an object");
        assert_eq!(serde_json::to_string(&values).expect("a text"), r#"{"a":1,"b":3}"#);
        assert_eq!((values.get("b"), values.get("c")), (Some(&3), None));
        values.insert("aa".to_owned(), 5);
        *values.or_default("a") += 9;
        *values.or_default("c") -= 1;
        let mut others = ByName::new();
        others.insert("aa".to_owned(), 6);
        others.insert("d".to_owned(), 7);
        values.take_over(&others);
        assert!(values.contains("d") && !values.contains("e"));
        assert_eq!((values.remove("e"), others.remove("d")), (None, Some(7)));
        assert_eq!(values.names().collect::<Vec<_>>(), ["a", "aa", "b", "c", "d"]);
        assert_eq!(values.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [10, 6, 3, -1, 7]);
        assert!(serde_json::from_str::<ByName<i64>>("[]").is_err());
    }
}
