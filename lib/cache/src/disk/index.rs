//! What is on the disk, in memory: 16 bytes for each record that can be found.
//!
//! No key is kept. A slot holds 48 bits of its identity's hash; the record it points to says the rest, and every read
//! checks that. Two identities that share all 48 bits (chance about n / 2^48 for a look-up among n slots) share one slot:
//! the later record wins and the other becomes a miss.
//!
//! Sharded, so that the writer, who takes a shard's lock for one insertion and never across I/O, meets few readers.

use super::format::Location;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use parking_lot::RwLock;
use prometheus::IntGauge;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Enough that a shard's table, which doubles under its write lock, stays small: 16 million records make 16,384 each.
const SHARDS: usize = 1024;
/// The hash bits that choose the shard; the others, and these too, are kept in the slot.
const SHARD_BITS: u32 = SHARDS.trailing_zeros();
const FINGERPRINT_BITS: u32 = 48;

/// What a record is looked up by, hashed under the index's seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity(u64);

/// 16 bytes: who (6), where (8), how long (2).
#[derive(Debug, Clone, Copy)]
struct Slot {
    fingerprint_low: u32,
    region: u32,
    /// From the region's start, in 512 B units; uses 21 of the bits.
    offset_units: u32,
    fingerprint_high: u16,
    /// The whole record, in 512 B units: at most 8,194.
    length_units: u16,
}

const _: () = assert!(size_of::<Slot>() == 16);

/// The table of everything that can be found.
pub(super) struct Index {
    shards: Box<[RwLock<HashTable<Slot>>]>,
    /// Keeps clients, who choose the keys, from choosing the shard and the bucket as well.
    seed: u64,
    slots: IntGauge,
}

impl Slot {
    fn new(identity: Identity, location: Location) -> Slot {
        let fingerprint = identity.fingerprint();
        Slot {
            fingerprint_low: fingerprint as u32,
            region: location.region,
            offset_units: location.offset_units,
            fingerprint_high: (fingerprint >> 32) as u16,
            length_units: location.length_units as u16,
        }
    }

    fn fingerprint(&self) -> u64 {
        u64::from(self.fingerprint_high) << 32 | u64::from(self.fingerprint_low)
    }

    fn is_of(&self, identity: Identity) -> bool {
        self.fingerprint() == identity.fingerprint()
    }

    fn location(&self) -> Location {
        Location {
            region: self.region,
            offset_units: self.offset_units,
            length_units: u32::from(self.length_units),
        }
    }
}

impl Identity {
    /// The upper bits: the shard is among them, so a slot knows its shard.
    fn fingerprint(self) -> u64 {
        self.0 >> (u64::BITS - FINGERPRINT_BITS)
    }

    fn shard(self) -> usize {
        (self.0 >> (u64::BITS - SHARD_BITS)) as usize
    }

    fn table_hash(self) -> u64 {
        table_hash(self.fingerprint())
    }
}

/// The hash inside a shard's table: made of the fingerprint alone, so that a table can grow without knowing any key.
/// The table looks at both ends of it; the multiplication (2^64 / golden ratio) spreads 48 bits over 64.
fn table_hash(fingerprint: u64) -> u64 {
    let spread = fingerprint.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    spread ^ spread >> 32
}

impl Index {
    pub(super) fn new(seed: u64, slots: IntGauge) -> Index {
        slots.set(0);
        Index {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
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
        let shard = self.shards[identity.shard()].read();
        shard
            .find(identity.table_hash(), |slot| slot.is_of(identity))
            .map(Slot::location)
    }

    /// Points `identity` to `location`, wherever it pointed before.
    pub(super) fn put(&self, identity: Identity, location: Location) {
        self.entry(identity, |entry| match entry {
            Entry::Occupied(mut found) => {
                *found.get_mut() = Slot::new(identity, location);
                0
            }
            Entry::Vacant(free) => {
                free.insert(Slot::new(identity, location));
                1
            }
        });
    }

    /// Points `identity` to `location` unless it points somewhere already.
    pub(super) fn put_if_absent(&self, identity: Identity, location: Location) {
        self.entry(identity, |entry| match entry {
            Entry::Occupied(_) => 0,
            Entry::Vacant(free) => {
                free.insert(Slot::new(identity, location));
                1
            }
        });
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
            let mut shard = shard.write();
            let before = shard.len();
            shard.retain(|slot| slot.region != region);
            self.slots.sub((before - shard.len()) as i64);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).sum()
    }

    fn remove_where(&self, identity: Identity, mut is_meant: impl FnMut(&Slot) -> bool) {
        self.entry(identity, |entry| match entry {
            Entry::Occupied(found) if is_meant(found.get()) => {
                found.remove();
                -1
            }
            Entry::Occupied(_) | Entry::Vacant(_) => 0,
        });
    }

    /// Changes one entry and counts the slots that `change` says came or went.
    fn entry(&self, identity: Identity, change: impl FnOnce(Entry<'_, Slot>) -> i64) {
        let mut shard = self.shards[identity.shard()].write();
        let entry = shard.entry(
            identity.table_hash(),
            |slot| slot.is_of(identity),
            |slot| table_hash(slot.fingerprint()),
        );
        self.slots.add(change(entry));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        Index::new(1, IntGauge::new("slots", "slots").expect("gauge"))
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
        index.put_if_absent(identities[0], location(3, 78));
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
    fn shards_fill_evenly() {
        let index = index();
        for key in 0..100_000 {
            index.put(index.part(key, 1, 0), location(0, 0));
        }
        let fullest = index.shards.iter().map(|shard| shard.read().len()).max();
        assert!(fullest < Some(180), "{fullest:?} in one shard, 98 expected");
        assert_eq!(index.len(), 100_000);
    }
}
