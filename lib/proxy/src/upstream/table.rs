//! A small table of things with names, shared by all cores: read without a lock, changed rarely.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

/// Names kept at most. They come from the snapshot, so this is a bound on mistakes; what finds no room is not shared.
const NAMES_MAX: usize = 16_384;

/// Values by name. A change copies the map, since names come and go with snapshots and are read with every fetch.
pub(super) struct Table<T> {
    map: ArcSwap<HashMap<Arc<str>, Arc<T>>>,
    change: Mutex<()>,
}

impl<T> Default for Table<T> {
    fn default() -> Table<T> {
        Table {
            map: ArcSwap::default(),
            change: Mutex::default(),
        }
    }
}

impl<T> Table<T> {
    /// The value called `name`, if there is one.
    pub(super) fn get(&self, name: &str) -> Option<Arc<T>> {
        self.map.load().get(name).cloned()
    }

    /// The value called `name`; made now if there is none.
    pub(super) fn get_or_make(&self, name: &str, make: impl FnOnce(Arc<str>) -> T) -> Arc<T> {
        if let Some(value) = self.get(name) {
            return value;
        }
        let _alone = self.change.lock();
        let old = self.map.load_full();
        if let Some(value) = old.get(name) {
            return Arc::clone(value);
        }
        let name: Arc<str> = name.into();
        let value = Arc::new(make(Arc::clone(&name)));
        if old.len() < NAMES_MAX {
            let mut new = HashMap::clone(&old);
            new.insert(name, Arc::clone(&value));
            self.map.store(Arc::new(new));
        }
        value
    }

    /// Forgets the values whose names are no longer wanted, and returns them.
    pub(super) fn retain(&self, wanted: impl Fn(&str) -> bool) -> Vec<Arc<T>> {
        let _alone = self.change.lock();
        let old = self.map.load_full();
        let (new, gone): (HashMap<_, _>, HashMap<_, _>) = old
            .iter()
            .map(|(name, value)| (Arc::clone(name), Arc::clone(value)))
            .partition(|(name, _)| wanted(name));
        if !gone.is_empty() {
            self.map.store(Arc::new(new));
        }
        gone.into_values().collect()
    }

    /// All values, in no order.
    pub(super) fn values(&self) -> Vec<Arc<T>> {
        self.map.load().values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_for_one_value_until_it_is_no_longer_wanted() {
        let table = Table::default();
        assert!(table.get("a").is_none());
        let first = table.get_or_make("a", |_| 1);
        let again = table.get_or_make("a", |_| panic!("there is one already"));
        assert!(Arc::ptr_eq(&first, &again));
        table.get_or_make("b", |_| 2);
        assert_eq!(table.values().len(), 2);
        assert_eq!(table.retain(|name| name == "b"), [Arc::new(1)]);
        assert!(table.get("a").is_none());
        assert_eq!(table.get("b").as_deref(), Some(&2));
    }

    #[test]
    fn a_table_that_is_full_hands_out_values_it_does_not_keep() {
        let table = Table::default();
        let full = (0..NAMES_MAX)
            .map(|number| (Arc::from(number.to_string()), Arc::new(number)))
            .collect();
        table.map.store(Arc::new(full));
        assert_eq!(*table.get_or_make("one more", |_| 7), 7);
        assert!(table.get("one more").is_none());
        assert_eq!(*table.get_or_make("5", |_| 0), 5);
    }
}
