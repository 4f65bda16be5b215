//! What is read in RAM must not grow cold on the disk: else the hottest objects, which hardly anybody reads from there, are
//! the first that it gives up.
//!
//! A hit in RAM has no time for the index of the disk: one of [`SAMPLE`] tells it, by chance, so that no rhythm of requests
//! is always or never the one. What is read some dozens of times between two judgements is as good as sure to be known
//! as hot, and a hit costs a multiplication.

use std::cell::Cell;

/// One hit of so many, on average, is told to the disk.
const SAMPLE: u32 = 16;

thread_local! {
    /// State of a congruential generator (Knuth's MMIX): its upper bits are good enough for a sample.
    static CHANCE: Cell<u64> = const { Cell::new(0x5851_f42d_4c95_7f2d) };
}

/// Whether this hit is one to tell of.
pub(crate) fn is_sampled() -> bool {
    CHANCE.with(|chance| {
        let next = chance
            .get()
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        chance.set(next);
        ((next >> 32) as u32).is_multiple_of(SAMPLE)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_hit_of_sixteen_is_told_whatever_the_rhythm() {
        for every in [1, 2, 5, 16] {
            let told = (0..16_000 * every)
                .filter(|number| is_sampled() && number % every == 0)
                .count();
            assert!((800..1200).contains(&told), "{told} of 16000, one hit in {every}");
        }
    }
}
