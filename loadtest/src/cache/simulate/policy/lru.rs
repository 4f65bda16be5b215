//! Least recently used, by object.

use model::Moment;

use super::super::trace::Object;
use super::{Policy, Written};

/// No object: the end of the list.
const NONE: Object = Object::MAX;

/// Kept objects form a list from the most to the least recently used, through the table of all objects.
pub(super) struct Lru {
    capacity_bytes: u64,
    kept_bytes: u64,
    entries: Vec<Entry>,
    newest: Object,
    oldest: Object,
    written: Written,
}

#[derive(Clone, Copy)]
struct Entry {
    newer: Object,
    older: Object,
    /// 0: not kept.
    bytes: u32,
}

impl Lru {
    pub(super) fn new(capacity_bytes: u64, objects: usize) -> Lru {
        let absent = Entry {
            newer: NONE,
            older: NONE,
            bytes: 0,
        };
        Lru {
            capacity_bytes,
            kept_bytes: 0,
            entries: vec![absent; objects],
            newest: NONE,
            oldest: NONE,
            written: Written::default(),
        }
    }

    fn push_newest(&mut self, object: Object, bytes: u32) {
        self.entries[object as usize] = Entry {
            newer: NONE,
            older: self.newest,
            bytes,
        };
        match self.newest {
            NONE => self.oldest = object,
            newest => self.entries[newest as usize].newer = object,
        }
        self.newest = object;
        self.kept_bytes += u64::from(bytes);
    }

    fn unlink(&mut self, object: Object) {
        let Entry { newer, older, bytes } = self.entries[object as usize];
        match newer {
            NONE => self.newest = older,
            newer => self.entries[newer as usize].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.entries[older as usize].newer = newer,
        }
        self.entries[object as usize].bytes = 0;
        self.kept_bytes -= u64::from(bytes);
    }
}

impl Policy for Lru {
    fn request(&mut self, _: Moment, object: Object, bytes: u32) -> bool {
        let hit = self.entries[object as usize].bytes > 0;
        if hit {
            self.unlink(object);
        } else {
            self.written.admitted_bytes += u64::from(bytes);
        }
        self.push_newest(object, bytes);
        while self.kept_bytes > self.capacity_bytes && self.oldest != NONE {
            self.unlink(self.oldest);
        }
        hit
    }

    fn written(&self) -> Written {
        self.written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_last_stays() {
        let mut lru = Lru::new(300, 4);
        let hits = [0, 1, 2, 0, 3, 0, 1].map(|object| lru.request(Moment(0), object, 100));
        assert_eq!(hits, [false, false, false, true, false, true, false]);
        assert_eq!((lru.written().admitted_bytes, lru.kept_bytes), (500, 300));
    }

    #[test]
    fn an_object_larger_than_the_cache_empties_it_and_does_no_harm() {
        let mut lru = Lru::new(300, 2);
        let hits = [(0, 100), (1, 500), (1, 500), (0, 100), (0, 100)]
            .map(|(object, bytes)| lru.request(Moment(0), object, bytes));
        assert_eq!(hits, [false, false, false, false, true]);
    }
}
