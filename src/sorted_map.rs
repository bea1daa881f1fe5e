//! A map for few entries, or for keys that mostly grow.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::VecDeque;

/// A map in a sorted list, with binary search. The newest key is put at the end and the oldest is taken from the
/// front, so a herd of streams moves no entries. Each [`std::collections::BTreeMap`] of a new type costs about 8,000
/// bytes of the module, this map far less.
#[derive(Debug)]
pub struct SortedMap<K, V> {
    /// Boxed, because entries move when others come or go before them.
    entries: VecDeque<(K, Box<V>)>,
}

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        Self { entries: VecDeque::new() }
    }
}

impl<K: Ord, V> SortedMap<K, V> {
    /// Returns the value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let at = self.find(key).ok()?;
        self.entries.get(at).map(|(_, value)| value.as_ref())
    }

    /// Returns the value of a key, to be changed.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let at = self.find(key).ok()?;
        self.entries.get_mut(at).map(|(_, value)| value.as_mut())
    }

    /// Sets the value of a key.
    pub fn insert(&mut self, key: K, value: V) {
        match self.find::<K>(&key) {
            Ok(at) => {
                if let Some((_, known)) = self.entries.get_mut(at) {
                    **known = value;
                }
            }
            Err(at) => self.entries.insert(at, (key, Box::new(value))),
        }
    }

    /// Removes a key and returns its value.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let at = self.find(key).ok()?;
        self.entries.remove(at).map(|(_, value)| *value)
    }

    /// Iterates over the entries, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, value)| (key, value.as_ref()))
    }

    /// Iterates over the values, in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.iter().map(|(_, value)| value.as_ref())
    }

    /// Iterates over the values, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.entries.iter_mut().map(|(_, value)| value.as_mut())
    }

    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        // The list's own search first makes two slices of it, which takes longer than the search among few.
        let (mut from, mut to) = (0_usize, self.entries.len());
        while from < to {
            let middle = from.midpoint(to);
            let Some((known, _)) = self.entries.get(middle) else { break };
            match known.borrow().cmp(key) {
                Ordering::Less => from = middle.saturating_add(1),
                Ordering::Equal => return Ok(middle),
                Ordering::Greater => to = middle,
            }
        }
        Err(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn it_is_a_map(changes in proptest::collection::vec((0..8_u8, any::<Option<u8>>()), 0..64)) {
            let (mut map, mut model) = (SortedMap::default(), BTreeMap::new());
            for (key, value) in changes {
                match value {
                    Some(value) => {
                        map.insert(key, value);
                        model.insert(key, value);
                    }
                    None => prop_assert_eq!(map.remove(&key), model.remove(&key)),
                }
                prop_assert_eq!(map.get(&key), model.get(&key));
                prop_assert_eq!(map.get_mut(&key), model.get_mut(&key));
                prop_assert!(map.iter().eq(model.iter()));
                prop_assert!(map.values().eq(model.values()));
                prop_assert!(map.values_mut().eq(model.values_mut()));
            }
        }
    }
}
