//! Which of endlessly many keys are asked for most, counted in bounded memory.
//!
//! Space-Saving (Metwally, Agrawal and El Abbadi, "Efficient computation of frequent and top-k elements in data
//! streams", ICDT 2005): a key without a counter takes over the smallest one and its count. Whatever is asked more
//! often than one in [`COUNTERS`] times has a counter, and no count is too low.

use std::collections::HashMap;

/// Counters of one sketch, about half a MiB. They find every key with one of 8192 questions: a tenth of what one of seven
/// edges has, in each of 120 sites of equal size, and more where a router has fewer sites to send clients to.
pub(crate) const COUNTERS: usize = 8192;

/// The sketch: a heap with the smallest counter on top.
#[derive(Clone, Debug)]
pub(crate) struct SpaceSaving<K> {
    heap: Vec<Counter<K>>,
    /// Where in the heap a key is.
    places: HashMap<K, usize>,
    capacity: usize,
}

/// What is known of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counter<K> {
    pub(crate) key: K,
    /// Not below what was counted.
    pub(crate) count: u64,
    /// How much of `count` may have been other keys'.
    pub(crate) error: u64,
}

impl<K: Copy + Eq + std::hash::Hash> SpaceSaving<K> {
    /// A sketch of so many counters, 1 at least.
    pub(crate) fn new(capacity: usize) -> SpaceSaving<K> {
        SpaceSaving {
            heap: Vec::new(),
            places: HashMap::new(),
            capacity: capacity.max(1),
        }
    }

    /// Counts so many occurrences.
    pub(crate) fn count(&mut self, key: K, times: u64) {
        if let Some(place) = self.places.get(&key).copied() {
            self.heap[place].count += times;
            self.sink(place);
        } else if self.heap.len() < self.capacity {
            self.heap.push(Counter {
                key,
                count: times,
                error: 0,
            });
            self.places.insert(key, self.heap.len() - 1);
            self.rise(self.heap.len() - 1);
        } else if let Some(smallest) = self.heap.first_mut() {
            self.places.remove(&smallest.key);
            *smallest = Counter {
                key,
                count: smallest.count + times,
                error: smallest.count,
            };
            self.places.insert(key, 0);
            self.sink(0);
        }
    }

    /// All counters, in no order.
    pub(crate) fn counters(&self) -> &[Counter<K>] {
        &self.heap
    }

    fn rise(&mut self, mut place: usize) {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.heap[parent].count <= self.heap[place].count {
                return;
            }
            self.swap(place, parent);
            place = parent;
        }
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let children = [2 * place + 1, 2 * place + 2].into_iter();
            let smaller = children
                .filter(|child| *child < self.heap.len())
                .min_by_key(|child| self.heap[*child].count);
            match smaller {
                Some(child) if self.heap[child].count < self.heap[place].count => {
                    self.swap(place, child);
                    place = child;
                }
                _ => return,
            }
        }
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.heap.swap(one, other);
        for place in [one, other] {
            self.places.insert(self.heap[place].key, place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use testkit::chance::{Chance, seed};

    use super::*;

    /// Against a count of everything: what is asked often enough has a counter, no count is too low, and none is
    /// further off than it says.
    #[test]
    fn whatever_is_frequent_is_found_and_bounded_from_both_sides() {
        let mut chance = Chance::new(seed());
        for capacity in [1, 8, 100] {
            let mut sketch = SpaceSaving::new(capacity);
            let mut exact: HashMap<u64, u64> = HashMap::new();
            let total = 20_000;
            for _ in 0..total {
                // Squaring draws makes small keys frequent.
                let drawn = chance.below(1000);
                let key = drawn * drawn / 1000;
                sketch.count(key, 1);
                *exact.entry(key).or_default() += 1;
            }
            assert!(sketch.counters().len() <= capacity);
            for counter in sketch.counters() {
                let truth = exact[&counter.key];
                assert!(counter.count >= truth && counter.count - counter.error <= truth);
                assert_eq!(sketch.heap[sketch.places[&counter.key]], *counter);
            }
            for (key, count) in exact {
                let frequent = count > total / u64::try_from(capacity).unwrap();
                assert!(!frequent || sketch.places.contains_key(&key), "{key}: {count}");
            }
        }
    }
}
