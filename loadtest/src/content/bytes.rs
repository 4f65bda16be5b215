//! Any number of bytes that a name determines, at any offset, without keeping them.

use ::bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};

/// Bytes come from 64-bit words; word n is SplitMix64 (Steele, Lea, Flood 2014) of the seed at step n, so that any of
/// them can be had without the ones before.
const WORD_BYTES: u64 = 8;

/// A made-up object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Generated {
    seed: u64,
    length: u64,
}

impl Generated {
    /// The object of `name`; the first 8 bytes of the name's SHA-256 are the seed.
    pub(crate) fn named(name: &str, length: u64) -> Generated {
        let digest = Sha256::digest(name.as_bytes());
        let seed = digest
            .iter()
            .take(8)
            .fold(0, |seed, byte| (seed << 8) | u64::from(*byte));
        Generated { seed, length }
    }

    /// How many bytes it has.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// A name for these very bytes, for an entity tag.
    pub(crate) fn fingerprint(&self) -> u64 {
        word(self.seed, self.length)
    }

    /// The bytes from `offset`, at most `most` of them; empty at the end.
    pub(crate) fn piece(&self, offset: u64, most: usize) -> Bytes {
        let count = usize::try_from(self.length.saturating_sub(offset))
            .unwrap_or(usize::MAX)
            .min(most);
        let mut piece = BytesMut::with_capacity(count + 2 * WORD_BYTES as usize);
        let mut at = offset / WORD_BYTES;
        let skipped = (offset % WORD_BYTES) as usize;
        while piece.len() < skipped + count {
            piece.extend_from_slice(&word(self.seed, at).to_le_bytes());
            at += 1;
        }
        piece.freeze().slice(skipped..skipped + count)
    }

    /// Whether `bytes` are what stands at `offset`.
    pub(crate) fn matches(&self, offset: u64, bytes: &[u8]) -> bool {
        /// Compared at a time, so that the expected bytes stay in the processor's cache.
        const STRIDE: usize = 16 << 10;
        let mut at = offset;
        bytes.chunks(STRIDE).all(|chunk| {
            let expected = self.piece(at, chunk.len());
            at += chunk.len() as u64;
            expected == chunk
        })
    }
}

fn word(seed: u64, step: u64) -> u64 {
    let mut mixed = seed.wrapping_add(step.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_piece_is_the_same_as_that_part_of_the_whole() {
        let object = Generated::named("story", 1000);
        let whole = object.piece(0, 5000);
        assert_eq!(whole.len(), 1000);
        for (offset, most) in [
            (0, 1),
            (1, 7),
            (7, 2),
            (8, 8),
            (13, 500),
            (990, 100),
            (1000, 4),
            (2000, 4),
        ] {
            let expected = &whole[(offset as usize).min(1000)
                ..(offset as usize + most)
                    .min(1000)
                    .max((offset as usize).min(1000))];
            assert_eq!(object.piece(offset, most), expected, "{most} bytes at {offset}");
        }
    }

    #[test]
    fn names_have_bytes_of_their_own_and_they_stay_the_same() {
        assert_ne!(
            Generated::named("a", 64).piece(0, 64),
            Generated::named("b", 64).piece(0, 64)
        );
        assert_eq!(
            Generated::named("a", 4).piece(0, 4).as_ref(),
            [0xad, 0x31, 0x1e, 0x03],
            "golden: clients depend on it"
        );
    }

    #[test]
    fn a_wrong_byte_and_a_byte_too_many_are_seen() {
        let object = Generated::named("a", 40_000);
        let whole = object.piece(0, 40_000);
        assert!(object.matches(0, &whole));
        assert!(object.matches(39_000, &whole[39_000..]));
        let mut wrong = whole.to_vec();
        wrong[30_000] ^= 1;
        assert!(!object.matches(0, &wrong));
        wrong[30_000] ^= 1;
        wrong.push(0);
        assert!(!object.matches(0, &wrong));
    }
}
