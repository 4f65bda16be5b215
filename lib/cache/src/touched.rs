//! Which chunks were read in a small piece a while ago: the second reader of such a chunk brings all of it into RAM.

use std::sync::atomic::{AtomicU32, Ordering};

/// Chunks remembered: one of each slot, 256 KiB in all. A chunk forgotten early costs one more small read.
const SLOTS: usize = 1 << 16;

/// The newest chunk of each slot, by fingerprint. Two chunks of one slot and fingerprint cost a read that is larger than it
/// had to be, no more.
pub(crate) struct Touched(Box<[AtomicU32]>);

impl Touched {
    pub(crate) fn new() -> Touched {
        Touched((0..SLOTS).map(|_| AtomicU32::new(0)).collect())
    }

    /// Remembers the chunk, and says whether it was remembered already.
    pub(crate) fn again(&self, key_hash: u128, version: u64, number: u64) -> bool {
        let mixed = (key_hash as u64)
            ^ version.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ number.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let fingerprint = (mixed >> 32) as u32 | 1; // An empty slot is 0.
        self.0[mixed as usize % SLOTS].swap(fingerprint, Ordering::Relaxed) == fingerprint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_known_from_its_second_touch_until_others_take_its_slot() {
        let touched = Touched::new();
        assert!(!touched.again(7, 1, 0));
        assert!(touched.again(7, 1, 0) && touched.again(7, 1, 0));
        for (key_hash, version, number) in [(8, 1, 0), (7, 2, 0), (7, 1, 1)] {
            assert!(!touched.again(key_hash, version, number));
        }
        for key_hash in 100..100 + 20 * SLOTS as u128 {
            touched.again(key_hash, 1, 0);
        }
        assert!(!touched.again(7, 1, 0));
    }
}
