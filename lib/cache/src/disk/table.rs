//! One shard of the index: slots of 16 bytes in one array, with little air between them.
//!
//! Robin Hood hashing: a slot lies at its home or behind it, and the slots of a run are in the order of their homes. A
//! look-up therefore ends at the first slot that is nearer to its own home than what is sought would be: about five
//! neighbours on one or two cache lines, found or not, even when seven of eight places are taken.
//!
//! The array grows in steps of a quarter or less, not by doubling, so that a slot costs 18 to 23 bytes whatever the
//! number of slots. Homes follow from the hash by multiplication, so any capacity will do; those used are four to seven
//! times a power of two, the size classes of the usual allocators, which therefore lose nothing by rounding up.

use super::format::Location;
use super::reach::Reach;
use crate::placement::MOST_HEAT;
use std::sync::atomic::{AtomicU32, Ordering};

/// Capacity of the first array.
const LEAST_CAPACITY: usize = 8;
/// The table grows when more than so many of [`LOAD_OF`] places would be taken.
const LOAD: usize = 7;
const LOAD_OF: usize = 8;

/// What a slot keeps above its offset.
const OFFSET: u32 = (1 << 21) - 1;
const HEAT_SHIFT: u32 = 21;
const HEAT: u32 = (MOST_HEAT as u32) << HEAT_SHIFT;
const HIDES_OLDER: u32 = 1 << 23;
const REACH_SHIFT: u32 = u32::BITS - Reach::BITS;
const _: () = assert!(OFFSET & (HEAT | HIDES_OLDER) == 0 && HEAT & HIDES_OLDER == 0 && REACH_SHIFT > 23);

/// The bits of a hash that a slot keeps.
pub(super) const FINGERPRINT_BITS: u32 = 48;

/// 16 bytes: who (6), where (8), how long (2). A free place has length 0.
#[derive(Debug, Default)]
pub(super) struct Slot {
    fingerprint_low: u32,
    region: u32,
    /// From the region's start, in 512 B units: 21 bits. Above them 2 bits of heat, which readers raise under the shard's
    /// read lock, the mark of a head that hides an older one, and uppermost, in 5 bits, a head's reach.
    offset_and_marks: AtomicU32,
    fingerprint_high: u16,
    /// The whole record, in 512 B units: at most 8,194, so the upper 2 bits are spare.
    length_units: u16,
}

const _: () = assert!(size_of::<Slot>() == 16);

/// The slots of one shard.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Box<[Slot]>,
    taken: usize,
}

/// Where a search ended.
enum Place {
    /// There it is.
    At(usize),
    /// It is not there; this is where it would have to be put, behind a run that may be moved.
    Before(usize),
}

impl Slot {
    pub(super) fn new(fingerprint: u64, location: Location) -> Slot {
        debug_assert!(location.length_units != 0);
        Slot {
            fingerprint_low: fingerprint as u32,
            region: location.region,
            offset_and_marks: AtomicU32::new(location.offset_units),
            fingerprint_high: (fingerprint >> 32) as u16,
            length_units: location.length_units as u16,
        }
    }

    /// How often it was read since it was put, up to [`MOST_HEAT`].
    pub(super) fn heat(&self) -> u8 {
        ((self.offset_and_marks.load(Ordering::Relaxed) & HEAT) >> HEAT_SHIFT) as u8
    }

    /// It was read. Counted until it is as hot as can be, so that a hot slot's cache line is only read.
    pub(super) fn warm(&self) {
        if self.heat() < MOST_HEAT {
            let warmer = |marks: u32| (marks & HEAT != HEAT).then(|| marks + (1 << HEAT_SHIFT));
            // A reader that comes second at the top of the scale has nothing to add.
            self.offset_and_marks
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, warmer)
                .ok();
        }
    }

    /// Whether an older record of the same key may be on the disk.
    pub(super) fn hides_older(&self) -> bool {
        self.offset_and_marks.load(Ordering::Relaxed) & HIDES_OLDER != 0
    }

    pub(super) fn hide_older(&self) {
        self.offset_and_marks.fetch_or(HIDES_OLDER, Ordering::Relaxed);
    }

    /// The same slot for a record that was copied.
    fn moved(&self, location: Location, heat: u8) -> Slot {
        let marks =
            self.offset_and_marks.load(Ordering::Relaxed) & HIDES_OLDER | u32::from(heat) << HEAT_SHIFT;
        Slot {
            offset_and_marks: AtomicU32::new(location.offset_units | marks),
            ..Slot::new(self.fingerprint(), location)
        }
    }

    fn is_free(&self) -> bool {
        self.length_units == 0
    }

    fn fingerprint(&self) -> u64 {
        u64::from(self.fingerprint_high) << 32 | u64::from(self.fingerprint_low)
    }

    pub(super) fn location(&self) -> Location {
        Location {
            region: self.region,
            offset_units: self.offset_and_marks.load(Ordering::Relaxed) & OFFSET,
            length_units: u32::from(self.length_units),
        }
    }
}

impl Slot {
    pub(super) fn reach(&self) -> Reach {
        Reach::from_bits(self.offset_and_marks.load(Ordering::Relaxed) >> REACH_SHIFT)
    }

    fn set_reach(&mut self, reach: Reach) {
        let marks = self.offset_and_marks.get_mut();
        *marks = *marks & !(u32::MAX << REACH_SHIFT) | reach.bits() << REACH_SHIFT;
    }
}

impl Table {
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.taken
    }

    pub(super) fn find(&self, fingerprint: u64) -> Option<&Slot> {
        match self.search(fingerprint) {
            Some(Place::At(at)) => Some(&self.slots[at]),
            Some(Place::Before(_)) | None => None,
        }
    }

    /// Says how far to read from a slot that still points to `location`.
    pub(super) fn set_reach(&mut self, fingerprint: u64, location: Location, reach: Reach) {
        if let Some(Place::At(at)) = self.search(fingerprint)
            && self.slots[at].location() == location
        {
            self.slots[at].set_reach(reach);
        }
    }

    /// Puts a slot in the place of the one with its fingerprint, or beside the others. True when there was none.
    pub(super) fn put(&mut self, slot: Slot) -> bool {
        if let Some(Place::At(at)) = self.search(slot.fingerprint()) {
            slot.hide_older();
            self.slots[at] = slot;
            return false;
        }
        self.insert(slot);
        true
    }

    /// Puts a slot unless there is one with its fingerprint, which hides it then. True when it was put.
    pub(super) fn put_if_absent(&mut self, slot: Slot) -> bool {
        let known = self.find(slot.fingerprint());
        let absent = known.inspect(|known| known.hide_older()).is_none();
        if absent {
            self.insert(slot);
        }
        absent
    }

    /// Points the slot of `fingerprint` to a copy of its record, if it still points to the original.
    pub(super) fn move_slot(&mut self, fingerprint: u64, from: Location, to: Location, heat: u8) {
        if let Some(Place::At(at)) = self.search(fingerprint)
            && self.slots[at].location() == from
        {
            self.slots[at] = self.slots[at].moved(to, heat);
        }
    }

    /// Removes the slot of `fingerprint` if it `is_meant`. True when it was removed.
    pub(super) fn remove_if(&mut self, fingerprint: u64, is_meant: impl FnOnce(&Slot) -> bool) -> bool {
        match self.search(fingerprint) {
            Some(Place::At(at)) if is_meant(&self.slots[at]) => {
                self.remove_at(at);
                true
            }
            _ => false,
        }
    }

    /// Removes every slot that `is_meant`. Returns how many.
    pub(super) fn remove_all(&mut self, is_meant: impl Fn(&Slot) -> bool) -> usize {
        let before = self.taken;
        let mut at = 0;
        while at < self.slots.len() {
            if !self.slots[at].is_free() && is_meant(&self.slots[at]) {
                // What lies behind moves up to `at`, so that is looked at again.
                self.remove_at(at);
            } else {
                at += 1;
            }
        }
        before - self.taken
    }

    /// Bytes of memory beside the table itself.
    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.slots)
    }

    /// `None` while there is no array.
    fn search(&self, fingerprint: u64) -> Option<Place> {
        if self.slots.is_empty() {
            return None;
        }
        let mut at = home(fingerprint, self.slots.len());
        // Ends, because there is always a free place.
        for distance in 0.. {
            let slot = &self.slots[at];
            if slot.is_free() || self.distance(at) < distance {
                return Some(Place::Before(at));
            }
            if slot.fingerprint() == fingerprint {
                return Some(Place::At(at));
            }
            at = self.after(at);
        }
        None
    }

    /// Puts in a slot whose fingerprint is not there.
    fn insert(&mut self, slot: Slot) {
        if (self.taken + 1) * LOAD_OF > self.slots.len() * LOAD {
            self.grow();
        }
        let Some(Place::Before(at)) = self.search(slot.fingerprint()) else {
            unreachable!("the table has an array, and the fingerprint is not in it");
        };
        self.make_room(at);
        self.slots[at] = slot;
        self.taken += 1;
    }

    /// Moves the run that begins at `at` by one place, into the free place behind it.
    fn make_room(&mut self, at: usize) {
        let is_free = |slot: &Slot| slot.is_free();
        if let Some(free) = self.slots[at..].iter().position(is_free) {
            self.slots[at..=at + free].rotate_right(1);
        } else {
            let last = self.slots.len() - 1;
            let free = self.slots.iter().position(is_free).expect("an eighth is free");
            self.slots[..=free].rotate_right(1);
            self.slots.swap(0, last);
            self.slots[at..].rotate_right(1);
        }
    }

    /// Frees a place and moves up what follows, as far as it is not at home.
    fn remove_at(&mut self, at: usize) {
        let mut end = self.after(at);
        while !self.slots[end].is_free() && self.distance(end) > 0 {
            end = self.after(end);
        }
        self.slots[at] = Slot::default();
        self.taken -= 1;
        if at < end {
            self.slots[at..end].rotate_left(1);
        } else {
            let last = self.slots.len() - 1;
            self.slots[at..].rotate_left(1);
            if end > 0 {
                self.slots.swap(last, 0);
                self.slots[..end].rotate_left(1);
            }
        }
    }

    fn grow(&mut self) {
        let capacity = match self.slots.len() {
            0 => LEAST_CAPACITY,
            capacity => capacity + (1 << (capacity.ilog2() - 2)),
        };
        let larger = (0..capacity).map(|_| Slot::default()).collect();
        let old = std::mem::replace(&mut self.slots, larger);
        self.taken = 0;
        for slot in old.into_iter().filter(|slot| !slot.is_free()) {
            self.insert(slot);
        }
    }

    fn after(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() { 0 } else { at + 1 }
    }

    /// How far the slot at `at` is from its home.
    fn distance(&self, at: usize) -> usize {
        let home = home(self.slots[at].fingerprint(), self.slots.len());
        if at >= home {
            at - home
        } else {
            at + self.slots.len() - home
        }
    }
}

/// Where a fingerprint belongs in an array of `capacity`. The first multiplication (2^64 / golden ratio) spreads 48 bits
/// over 64, the second scales them.
fn home(fingerprint: u64, capacity: usize) -> usize {
    let spread = fingerprint.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((u128::from(spread) * capacity as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};
    use std::collections::BTreeMap;

    fn location(region: u32) -> Location {
        Location {
            region,
            offset_units: region % 2_000_000,
            length_units: 1 + region % 8194,
        }
    }

    /// What every look-up relies on.
    fn assert_ordered(table: &Table) {
        for at in 0..table.slots.len() {
            let next = table.after(at);
            if !table.slots[next].is_free() && table.distance(next) > 0 {
                assert!(!table.slots[at].is_free(), "a gap before {next}");
                assert!(
                    table.distance(next) <= table.distance(at) + 1,
                    "{next} is out of order"
                );
            }
        }
    }

    #[test]
    fn whatever_is_done_a_table_says_what_a_map_says() {
        let seed = rand::random();
        println!("seed {seed}");
        let mut chance = SmallRng::seed_from_u64(seed);
        for _ in 0..30 {
            let (mut table, mut map) = (Table::default(), BTreeMap::new());
            let keys: Vec<u64> = (0..200).map(|_| chance.random::<u64>() >> 16).collect();
            for step in 0..2000 {
                let key = keys[chance.random_range(0..keys.len())];
                match chance.random_range(0..8) {
                    0..3 => {
                        let was_new = map.insert(key, location(step)).is_none();
                        assert_eq!(table.put(Slot::new(key, location(step))), was_new);
                    }
                    3 => {
                        let is_new = !map.contains_key(&key);
                        map.entry(key).or_insert(location(step));
                        assert_eq!(table.put_if_absent(Slot::new(key, location(step))), is_new);
                    }
                    4..6 => {
                        assert_eq!(table.remove_if(key, |_| true), map.remove(&key).is_some());
                    }
                    6 => assert!(!table.remove_if(key, |slot| slot.location() == location(99_999))),
                    _ if chance.random_bool(0.02) => {
                        let before = map.len();
                        map.retain(|_, location| location.region % 3 != 0);
                        let removed = table.remove_all(|slot| slot.location().region % 3 == 0);
                        assert_eq!(removed, before - map.len());
                    }
                    _ => {}
                }
                assert_eq!(table.find(key).map(Slot::location), map.get(&key).copied());
                assert_eq!(table.len(), map.len());
            }
            assert_ordered(&table);
            for key in keys {
                assert_eq!(table.find(key).map(Slot::location), map.get(&key).copied());
            }
        }
    }

    #[test]
    fn a_slot_costs_at_most_23_bytes_once_the_table_is_not_tiny_and_a_look_up_few_steps() {
        let mut table = Table::default();
        for number in 0..20_000_u64 {
            let fingerprint = number.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16;
            assert!(table.put(Slot::new(fingerprint, location(1))));
            let each = table.heap_bytes() as f64 / table.len() as f64;
            assert!(number < 64 || each < 23.0, "{each} bytes for each of {number}");
        }
        assert_ordered(&table);
        let steps: usize = (0..table.slots.len())
            .filter(|at| !table.slots[*at].is_free())
            .map(|at| table.distance(at) + 1)
            .sum();
        assert!(steps < 6 * table.len(), "{steps} steps to find {}", table.len());
    }
}
