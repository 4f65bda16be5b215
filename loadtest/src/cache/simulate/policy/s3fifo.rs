//! S3-FIFO by object, as published (Yang et al., SOSP 2023): a small queue in which objects prove themselves, a main
//! queue whose objects get another round for each hit, and a ghost queue that remembers who was turned away.

use std::collections::VecDeque;

use model::Moment;

use super::super::trace::Object;
use super::{Policy, Written};

/// The small queue's share of the bytes.
const SMALL_PERCENT: u64 = 10;

/// Hits are counted up to here.
const MOST_HITS: u8 = 3;

/// Hits in the small queue that are needed to move on.
const HITS_TO_MOVE: u8 = 2;

pub(super) struct S3Fifo {
    capacity_bytes: u64,
    small: Queue,
    main: Queue,
    /// Who was turned away, in bytes as much as the main queue holds.
    ghost: Queue,
    entries: Vec<Entry>,
    written: Written,
}

#[derive(Default)]
struct Queue {
    bytes: u64,
    objects: VecDeque<(Object, u32)>,
}

#[derive(Clone, Copy, Default)]
struct Entry {
    hits: u8,
    place: Place,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Nowhere,
    Kept,
    Ghost,
}

impl Queue {
    fn push(&mut self, object: Object, bytes: u32) {
        self.bytes += u64::from(bytes);
        self.objects.push_back((object, bytes));
    }

    fn pop(&mut self) -> Option<(Object, u32)> {
        let oldest = self.objects.pop_front()?;
        self.bytes -= u64::from(oldest.1);
        Some(oldest)
    }
}

impl S3Fifo {
    pub(super) fn new(capacity_bytes: u64, objects: usize) -> S3Fifo {
        S3Fifo {
            capacity_bytes,
            small: Queue::default(),
            main: Queue::default(),
            ghost: Queue::default(),
            entries: vec![Entry::default(); objects],
            written: Written::default(),
        }
    }

    fn small_bytes(&self) -> u64 {
        self.capacity_bytes * SMALL_PERCENT / 100
    }

    fn make_room(&mut self) {
        while self.small.bytes + self.main.bytes > self.capacity_bytes {
            if self.small.bytes > self.small_bytes() || self.main.objects.is_empty() {
                self.evict_small();
            } else {
                self.evict_main();
            }
        }
    }

    fn evict_small(&mut self) {
        let Some((object, bytes)) = self.small.pop() else {
            return;
        };
        let entry = &mut self.entries[object as usize];
        if entry.hits >= HITS_TO_MOVE {
            entry.hits = 0;
            self.main.push(object, bytes);
            self.written.copied_bytes += u64::from(bytes);
        } else {
            entry.place = Place::Ghost;
            self.ghost.push(object, bytes);
            while self.ghost.bytes > self.capacity_bytes - self.small_bytes()
                && let Some((forgotten, _)) = self.ghost.pop()
            {
                let entry = &mut self.entries[forgotten as usize];
                if entry.place == Place::Ghost {
                    entry.place = Place::Nowhere;
                }
            }
        }
    }

    /// Gives objects that were hit another round until one that was not goes.
    fn evict_main(&mut self) {
        while let Some((object, bytes)) = self.main.pop() {
            let entry = &mut self.entries[object as usize];
            if entry.hits == 0 {
                entry.place = Place::Nowhere;
                return;
            }
            entry.hits -= 1;
            self.main.push(object, bytes);
            self.written.copied_bytes += u64::from(bytes);
        }
    }
}

impl Policy for S3Fifo {
    fn request(&mut self, _: Moment, object: Object, bytes: u32) -> bool {
        let entry = &mut self.entries[object as usize];
        let place = std::mem::replace(&mut entry.place, Place::Kept);
        if place == Place::Kept {
            entry.hits = (entry.hits + 1).min(MOST_HITS);
            return true;
        }
        entry.hits = 0;
        match place {
            Place::Ghost => self.main.push(object, bytes),
            Place::Nowhere | Place::Kept => self.small.push(object, bytes),
        }
        self.written.admitted_bytes += u64::from(bytes);
        self.make_room();
        false
    }

    fn written(&self) -> Written {
        self.written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests<const N: usize>(cache: &mut S3Fifo, objects: [Object; N]) -> [bool; N] {
        objects.map(|object| cache.request(Moment(0), object, 100))
    }

    #[test]
    fn one_hit_wonders_do_not_push_out_what_was_hit() {
        let mut cache = S3Fifo::new(1000, 100);
        requests(&mut cache, [0, 0, 0]);
        for wonder in 1..50 {
            requests(&mut cache, [wonder]);
        }
        assert_eq!(requests(&mut cache, [0]), [true]);
        assert_eq!(cache.written().copied_bytes, 100, "from small to main");
    }

    #[test]
    fn who_returns_soon_after_being_turned_away_goes_to_the_main_queue() {
        let mut cache = S3Fifo::new(1000, 100);
        for object in 0..12 {
            requests(&mut cache, [object]);
        }
        assert_eq!(requests(&mut cache, [0]), [false]);
        assert_eq!(cache.main.objects, [(0, 100)]);
    }
}
