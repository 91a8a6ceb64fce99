//! A bounded map that forgets what was not used lately, without ever walking over its entries.
//!
//! Two halves: what is put in or asked for moves to the young half; when that is full it becomes the old half, and the
//! old half is forgotten. It is not a cache with a clock: how long an entry holds true is its owner's business.

use std::collections::HashMap;
use std::hash::Hash;

/// A bounded map that forgets what was not used lately.
pub(super) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half: usize,
}

impl<K: Eq + Hash, V: Clone> Recent<K, V> {
    /// An empty map for at most `capacity` entries; at least two.
    pub fn new(capacity: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half: (capacity / 2).max(1) }
    }

    /// The entry of `key`, which now counts as used.
    pub fn look_up(&mut self, key: K) -> Option<V> {
        if let Some(value) = self.young.get(&key) {
            return Some(value.clone());
        }
        let value = self.old.remove(&key)?;
        self.insert(key, value.clone());
        Some(value)
    }

    /// Puts an entry in, in place of another of the same key.
    pub fn insert(&mut self, key: K, value: V) {
        self.old.remove(&key);
        if self.young.len() >= self.half && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    /// Takes an entry out.
    pub fn remove(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_entries_stays_within_the_bound_and_spares_what_is_in_use() {
        let mut map = Recent::new(100);
        map.insert(0, 0);
        for key in 1..10_000 {
            map.insert(key, key);
            assert!(map.young.len() + map.old.len() <= 100);
            assert_eq!(map.look_up(0), Some(0), "after {key}");
        }
        assert_eq!(map.look_up(9_999), Some(9_999));
        assert_eq!(map.look_up(1), None);
    }

    #[test]
    fn the_newest_value_of_a_key_is_the_only_one() {
        let mut map = Recent::new(2);
        map.insert("a", 1);
        map.insert("b", 2);
        map.insert("a", 3);
        assert_eq!(map.look_up("a"), Some(3));
        map.remove(&"a");
        assert_eq!(map.look_up("a"), None);
    }
}
