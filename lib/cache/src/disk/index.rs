//! What is on the disk, in memory: 16 bytes for each record that can be found.
//!
//! No key is kept. A slot holds 48 bits of its identity's hash; the record it points to says the rest, and every read
//! checks that. Two identities that share all 48 bits (chance about n / 2^48 for a look-up among n slots) share one slot:
//! the later record wins and the other becomes a miss.
//!
//! Sharded, so that the writer, who takes a shard's lock for one insertion and never across I/O, meets few readers. How
//! many shards there are follows from the device: what grows is one table of `table.rs` at a time.
//!
//! While the index is being rebuilt it is used already. What is found on the device then is older than anything that is put
//! or removed meanwhile: it is added with [`Index::recover`], which gives way to what is there, and to what is hidden
//! because it was removed.

use super::format::Location;
use super::reach::Reach;
use super::table::{FINGERPRINT_BITS, Slot, Table};
use parking_lot::RwLock;
use prometheus::IntGauge;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// So many records are expected in a shard: a table of 150 KB, which grows under its write lock in some 100 µs.
const SLOTS_PER_SHARD: u64 = 8192;
/// What a record occupies on average, at the least that is usual: short segments and pieces of manifests. Where records
/// are smaller than that, shards are larger.
const RECORD_BYTES: u64 = 64 << 10;
/// Few enough that a small device costs nothing, many enough that readers do not meet.
const LEAST_SHARDS: u64 = 16;
/// 34 TB of records of 64 KiB.
const MOST_SHARDS: u64 = 65_536;

/// What a record is looked up by, hashed under the index's seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity(u64);

/// The table of everything that can be found.
pub(super) struct Index {
    shards: Box<[RwLock<Shard>]>,
    recovering: AtomicBool,
    /// Keeps clients, who choose the keys, from choosing the shard and the place in it as well.
    seed: u64,
    slots: IntGauge,
}

#[derive(Default)]
struct Shard {
    table: Table,
    /// Fingerprints that [`Index::recover`] must not add; empty but while the index is being rebuilt.
    hidden: HashSet<u64>,
}

/// What a slot says of its record beside where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) heat: u8,
    pub(super) hides_older: bool,
}

impl Identity {
    /// The upper bits: the shard is among them.
    fn fingerprint(self) -> u64 {
        self.0 >> (u64::BITS - FINGERPRINT_BITS)
    }
}

impl Index {
    /// An empty index for a device of so many bytes.
    pub(super) fn new(device_bytes: u64, seed: u64, slots: IntGauge) -> Index {
        slots.set(0);
        let shards = (device_bytes / RECORD_BYTES / SLOTS_PER_SHARD)
            .next_power_of_two()
            .clamp(LEAST_SHARDS, MOST_SHARDS);
        Index {
            shards: (0..shards).map(|_| RwLock::default()).collect(),
            recovering: AtomicBool::new(false),
            seed,
            slots,
        }
    }

    pub(super) fn head(&self, key_hash: u128) -> Identity {
        Identity(xxh3_64_with_seed(&key_hash.to_le_bytes(), self.seed))
    }

    pub(super) fn part(&self, key_hash: u128, version: u64, part: u32) -> Identity {
        let mut bytes = [0; 28];
        bytes[..16].copy_from_slice(&key_hash.to_le_bytes());
        bytes[16..24].copy_from_slice(&version.to_le_bytes());
        bytes[24..].copy_from_slice(&part.to_le_bytes());
        Identity(xxh3_64_with_seed(&bytes, self.seed))
    }

    pub(super) fn find(&self, identity: Identity) -> Option<Location> {
        let shard = self.shard_of(identity).read();
        shard.table.find(identity.fingerprint()).map(Slot::location)
    }

    /// Where `identity` lies, and how far to read from there.
    pub(super) fn find_with_reach(&self, identity: Identity) -> Option<(Location, Reach)> {
        let shard = self.shard_of(identity).read();
        shard
            .table
            .find(identity.fingerprint())
            .map(|slot| (slot.location(), slot.reach()))
    }

    /// Says how far to read from `location`, if `identity` still points there.
    pub(super) fn set_reach(&self, identity: Identity, location: Location, reach: Reach) {
        let mut shard = self.shard_of(identity).write();
        shard.table.set_reach(identity.fingerprint(), location, reach);
    }

    /// It was read. Where it is hot already nothing is written.
    pub(super) fn warm(&self, identity: Identity) {
        let shard = self.shard_of(identity).read();
        if let Some(slot) = shard.table.find(identity.fingerprint()) {
            slot.warm();
        }
    }

    /// It was read, but that may have been counted already: what is cold is no longer.
    pub(super) fn warm_first(&self, identity: Identity) {
        let shard = self.shard_of(identity).read();
        if let Some(slot) = shard.table.find(identity.fingerprint())
            && slot.heat() == 0
        {
            slot.warm();
        }
    }

    /// How often it was read since it was put there, and whether it hides an older record, if it is still at `location`.
    pub(super) fn marks_at(&self, identity: Identity, location: Location) -> Option<Marks> {
        let shard = self.shard_of(identity).read();
        let slot = shard.table.find(identity.fingerprint())?;
        (slot.location() == location).then_some(Marks {
            heat: slot.heat(),
            hides_older: slot.hides_older(),
        })
    }

    /// Notes that an older record of `identity` may be on the disk. False when nothing is known of it.
    pub(super) fn hide_older(&self, identity: Identity) -> bool {
        let shard = self.shard_of(identity).read();
        shard
            .table
            .find(identity.fingerprint())
            .inspect(|slot| slot.hide_older())
            .is_some()
    }

    /// Points `identity` to the copy of its record, if it still points to the original.
    pub(super) fn move_to(&self, identity: Identity, from: Location, to: Location, heat: u8) {
        let fingerprint = identity.fingerprint();
        self.shard_of(identity)
            .write()
            .table
            .move_slot(fingerprint, from, to, heat);
    }

    /// Points `identity` to `location`, wherever it pointed before.
    pub(super) fn put(&self, identity: Identity, location: Location) {
        let slot = Slot::new(identity.fingerprint(), location);
        let is_new = self.shard_of(identity).write().table.put(slot);
        self.slots.add(is_new.into());
    }

    pub(super) fn remove(&self, identity: Identity) {
        self.remove_where(identity, |_| true);
    }

    /// Forgets `identity` if it still points to `location`.
    pub(super) fn remove_from(&self, identity: Identity, location: Location) {
        self.remove_where(identity, |slot| slot.location() == location);
    }

    /// Forgets everything in a region, by looking at every slot: slow, for when the region's own list cannot be read.
    pub(super) fn forget_region(&self, region: u32) {
        for shard in &self.shards {
            let is_there = |slot: &Slot| slot.location().region == region;
            let removed = shard.write().table.remove_all(is_there);
            self.slots.sub(removed as i64);
        }
    }

    /// From now on what is removed stays hidden from [`Index::recover`].
    pub(super) fn begin_recovery(&self) {
        self.recovering.store(true, Ordering::SeqCst);
    }

    /// Adds what was found on the device, newest first: it gives way to what is known and to what is hidden.
    pub(super) fn recover(&self, identity: Identity, location: Location) {
        let fingerprint = identity.fingerprint();
        let mut shard = self.shard_of(identity).write();
        if !shard.hidden.contains(&fingerprint) {
            let is_new = shard.table.put_if_absent(Slot::new(fingerprint, location));
            self.slots.add(is_new.into());
        }
    }

    /// Whatever [`Index::recover`] finds of `identity` from now on is out of date. True when that is new.
    pub(super) fn hide(&self, identity: Identity) -> bool {
        self.recovering.load(Ordering::SeqCst)
            && self
                .shard_of(identity)
                .write()
                .hidden
                .insert(identity.fingerprint())
    }

    /// Whether there may be more on the device than is known.
    pub(super) fn is_recovering(&self) -> bool {
        self.recovering.load(Ordering::SeqCst)
    }

    /// Nothing will be recovered any more.
    pub(super) fn end_recovery(&self) {
        self.recovering.store(false, Ordering::SeqCst);
        for shard in &self.shards {
            shard.write().hidden = HashSet::new();
        }
    }

    fn remove_where(&self, identity: Identity, is_meant: impl FnOnce(&Slot) -> bool) {
        let mut shard = self.shard_of(identity).write();
        let was_there = shard.table.remove_if(identity.fingerprint(), is_meant);
        if self.recovering.load(Ordering::SeqCst) {
            shard.hidden.insert(identity.fingerprint());
        }
        self.slots.sub(was_there.into());
    }

    /// The upper bits choose the shard.
    fn shard_of(&self, identity: Identity) -> &RwLock<Shard> {
        let shard = (u128::from(identity.0) * self.shards.len() as u128) >> u64::BITS;
        &self.shards[shard as usize]
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().table.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        Index::new(1 << 40, 1, IntGauge::new("slots", "slots").expect("gauge"))
    }

    fn location(region: u32, offset_units: u32) -> Location {
        Location {
            region,
            offset_units,
            length_units: 3,
        }
    }

    #[test]
    fn heads_and_parts_of_one_key_are_told_apart_and_the_latest_wins() {
        let index = index();
        let identities = [
            index.head(9),
            index.head(10),
            index.part(9, 1, 0),
            index.part(9, 1, 1),
            index.part(9, 2, 0),
        ];
        for (at, identity) in identities.into_iter().enumerate() {
            index.put(identity, location(1, at as u32));
        }
        for (at, identity) in identities.into_iter().enumerate() {
            assert_eq!(index.find(identity), Some(location(1, at as u32)));
        }
        index.put(identities[0], location(2, 77));
        index.recover(identities[0], location(3, 78));
        assert_eq!(index.find(identities[0]), Some(location(2, 77)));
        assert_eq!((index.len(), index.slots.get()), (5, 5));
    }

    #[test]
    fn removal_spares_what_moved_on_and_a_region_is_forgotten_whole() {
        let index = index();
        let identities: Vec<Identity> = (0..1000).map(|key| index.head(key)).collect();
        for (at, identity) in identities.iter().enumerate() {
            index.put(*identity, location(at as u32 % 4, at as u32));
        }
        index.remove_from(identities[0], location(0, 999));
        assert!(index.find(identities[0]).is_some());
        index.remove_from(identities[0], location(0, 0));
        index.remove(identities[1]);
        assert_eq!(
            (index.find(identities[0]), index.find(identities[1])),
            (None, None)
        );
        index.forget_region(2);
        assert!((2..1000).all(|at| index.find(identities[at]).is_some() == (at % 4 != 2)));
        assert_eq!(index.slots.get(), index.len() as i64);
    }

    #[test]
    fn what_was_put_or_removed_meanwhile_wins_over_what_is_recovered() {
        let index = index();
        let [put, removed, moved, neither] = [1, 2, 3, 4].map(|key| index.head(key));
        index.begin_recovery();
        index.put(put, location(1, 1));
        index.remove(removed);
        index.put(moved, location(1, 3));
        index.remove_from(moved, location(1, 3));
        for identity in [put, removed, moved, neither] {
            index.recover(identity, location(9, 9));
        }
        assert_eq!(index.find(put), Some(location(1, 1)));
        assert_eq!((index.find(removed), index.find(moved)), (None, None));
        assert_eq!(index.find(neither), Some(location(9, 9)));
        index.put(removed, location(2, 2));
        assert_eq!(index.find(removed), Some(location(2, 2)));
        index.end_recovery();
        assert!(!index.hide(put), "there is nothing to hide from");
        assert_eq!(index.slots.get(), 3);
    }

    #[test]
    fn shards_fill_evenly() {
        let index = index();
        for key in 0..100_000 {
            index.put(index.part(key, 1, 0), location(0, 0));
        }
        let expected = 100_000 / index.shards.len();
        let fullest = index.shards.iter().map(|shard| shard.read().table.len()).max();
        assert!(
            fullest < Some(2 * expected),
            "{fullest:?} in one shard, {expected} expected"
        );
        assert_eq!(index.len(), 100_000);
    }
}
