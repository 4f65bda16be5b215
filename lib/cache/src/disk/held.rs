//! Objects that somebody is in the middle of reading: when their regions are given up, their parts are copied first, so
//! that an answer which nobody can go on with from upstream need not be broken off.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// So many objects are held at once on one device, in less than a mebibyte. Readers of others take their chance.
const MOST_HELD: usize = 16_384;

/// Key hash and version.
type Name = (u128, u64);

/// What is held on one device.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// By how many.
    readers: Mutex<HashMap<Name, u32>>,
}

/// A reader's hold on an object, until it is dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    held: Arc<Held>,
    name: Name,
}

impl Held {
    /// `None` when too much is held already.
    pub(super) fn hold(self: &Arc<Held>, key_hash: u128, version: u64) -> Option<Hold> {
        let name = (key_hash, version);
        let mut readers = self.readers.lock();
        if readers.len() >= MOST_HELD && !readers.contains_key(&name) {
            return None;
        }
        *readers.entry(name).or_default() += 1;
        Some(Hold {
            held: Arc::clone(self),
            name,
        })
    }

    pub(super) fn holds(&self, key_hash: u128, version: u64) -> bool {
        self.readers.lock().contains_key(&(key_hash, version))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut readers = self.held.readers.lock();
        if let Some(count) = readers.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                readers.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_held_until_its_last_reader_leaves_and_so_many_at_most() {
        let held = Arc::new(Held::default());
        let (first, second) = (held.hold(1, 7), held.hold(1, 7));
        drop(first);
        assert!(held.holds(1, 7) && !held.holds(1, 8));
        drop(second);
        assert!(!held.holds(1, 7));
        let holds: Vec<_> = (0..MOST_HELD as u128).map(|key| held.hold(key, 1)).collect();
        assert!(holds.iter().all(Option::is_some));
        assert!(held.hold(u128::MAX, 1).is_none());
        assert!(held.hold(0, 1).is_some(), "another reader of what is held");
    }
}
