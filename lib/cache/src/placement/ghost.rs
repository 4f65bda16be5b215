//! Who was dropped unread, for as long as it takes to drop half the disk: a table of fingerprints with a stamp each.
//!
//! Exact order is not needed, so there is no queue: a bucket of four takes a new fingerprint in place of its oldest, and
//! one whose stamp is too old is as good as gone. 8 bytes each, 50 MB for a device of 3 TB.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// One fingerprint for so many bytes of the device: about half the mean size of an object of video.
const BYTES_PER_ENTRY: u64 = 512 << 10;
const WAYS: usize = 4;
/// A shade lasts until the disk's capacity divided by this was dropped. As long again, and M fills with what comes back
/// too seldom: up to 3 % more byte misses in simulation.
const CAPACITY_PER_LIFE: u64 = 2;
/// Buckets, at least and at most: small test devices have many small objects, and 128 MB are enough for any.
const BUCKETS: std::ops::RangeInclusive<u64> = 256..=(4 << 20);

/// The memory of what was dropped.
#[derive(Debug)]
pub(super) struct Ghost {
    buckets: Box<[[Shade; WAYS]]>,
    /// Bytes dropped so far, which is the time here.
    dropped: u64,
    /// How much time a shade has, in the same unit.
    lasts: u64,
    seed: u64,
}

/// One fingerprint; `stamp` is the time in units of 1/2^20 of what a shade lasts, plus one. 0 is nobody.
#[derive(Debug, Clone, Copy, Default)]
struct Shade {
    fingerprint: u32,
    stamp: u32,
}

impl Ghost {
    pub(super) fn new(capacity_bytes: u64, seed: u64) -> Ghost {
        let buckets = (capacity_bytes / BYTES_PER_ENTRY / WAYS as u64)
            .clamp(*BUCKETS.start(), *BUCKETS.end())
            .next_power_of_two();
        Ghost {
            buckets: vec![[Shade::default(); WAYS]; buckets as usize].into_boxed_slice(),
            dropped: 0,
            lasts: (capacity_bytes / CAPACITY_PER_LIFE).max(1),
            seed,
        }
    }

    /// Something of `bytes` was dropped.
    pub(super) fn remember(&mut self, object: u128, bytes: u64) {
        self.dropped += bytes;
        let stamp = self.stamp();
        let (bucket, fingerprint) = self.place_of(object);
        let bucket = &mut self.buckets[bucket];
        let oldest = (0..WAYS).min_by_key(|way| bucket[*way].stamp).unwrap_or(0);
        let known = bucket
            .iter()
            .position(|shade| shade.stamp > 0 && shade.fingerprint == fingerprint);
        bucket[known.unwrap_or(oldest)] = Shade { fingerprint, stamp };
    }

    /// Whether it was dropped, and not long ago.
    pub(super) fn remembers(&self, object: u128) -> bool {
        let now = self.stamp();
        let (bucket, fingerprint) = self.place_of(object);
        self.buckets[bucket]
            .iter()
            .any(|shade| shade.stamp > 0 && shade.fingerprint == fingerprint && now - shade.stamp <= UNITS)
    }

    fn stamp(&self) -> u32 {
        let units = u128::from(self.dropped) * u128::from(UNITS) / u128::from(self.lasts) + 1;
        // 4,000 times the device: after that nothing is forgotten by age any more, only by newer shades.
        u32::try_from(units).unwrap_or(u32::MAX)
    }

    fn place_of(&self, object: u128) -> (usize, u32) {
        let hash = xxh3_64_with_seed(&object.to_le_bytes(), self.seed);
        ((hash >> 32) as usize & (self.buckets.len() - 1), hash as u32)
    }
}

/// Units of time that a shade lasts.
const UNITS: u32 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shade_lasts_until_half_the_disk_was_dropped() {
        let mut ghost = Ghost::new(1 << 30, 1);
        assert!(!ghost.remembers(7));
        ghost.remember(7, 1 << 20);
        for object in 0..511 {
            assert!(ghost.remembers(7));
            ghost.remember(1000 + object, 1 << 20);
        }
        ghost.remember(8, 2 << 20);
        assert!(!ghost.remembers(7) && ghost.remembers(8) && ghost.remembers(1300));
    }

    #[test]
    fn strangers_are_hardly_ever_taken_for_shades() {
        let mut ghost = Ghost::new(1 << 41, 2);
        (0..1_000_000).for_each(|object| ghost.remember(object, 1 << 20));
        let known = (0..1_000_000).filter(|object| ghost.remembers(*object)).count();
        let strangers = (1_000_000..2_000_000)
            .filter(|object| ghost.remembers(*object))
            .count();
        assert!(known > 950_000, "{known} of a million remembered");
        assert!(strangers < 20, "{strangers} strangers taken for shades");
    }
}
