//! Chance with a seed: printed by every test that uses it, and given back with `MILLRACE_SEED` to replay a failure.

use std::sync::OnceLock;

use crate::machine;

/// The variable that replays a run.
pub const SEED_VARIABLE: &str = "MILLRACE_SEED";

/// The seed of this process: from `MILLRACE_SEED`, else from the clock. Printed, so that a failure can be replayed.
#[must_use]
pub fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    let seed = *SEED.get_or_init(|| match machine::variable(SEED_VARIABLE) {
        Some(text) => text.parse().expect("MILLRACE_SEED is a whole number below 2^64"),
        None => machine::unix_millis() ^ (u64::from(std::process::id()) << 40),
    });
    println!("{SEED_VARIABLE}={seed} replays this run");
    seed
}

/// A stream of numbers that only its seed determines (xorshift64*, Vigna 2016).
#[derive(Clone, Debug)]
pub struct Chance {
    state: u64,
}

impl Chance {
    /// The stream of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Chance {
        // A state of 0 would stay 0 for ever; the odd constant also parts neighbouring seeds.
        Chance {
            state: (seed ^ 0x9e37_79b9_7f4a_7c15).max(1),
        }
    }

    /// The stream that belongs to `name`, the same in every run (FNV-1a of the name is its seed).
    #[must_use]
    pub fn named(name: &str) -> Chance {
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        Chance::new(hash)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`, which must not be 0. Slightly uneven for huge bounds, which no test minds.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_u64() % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_again_and_another_seed_others() {
        let stream = |seed| {
            let mut chance = Chance::new(seed);
            (0..8).map(|_| chance.next_u64()).collect::<Vec<_>>()
        };
        assert_eq!(stream(7), stream(7));
        assert_ne!(stream(7), stream(8));
        assert_ne!(
            stream(0x9e37_79b9_7f4a_7c15)[0],
            0,
            "a seed that cancels the constant still works"
        );
    }

    #[test]
    fn the_seed_of_a_process_does_not_change() {
        assert_eq!(seed(), seed());
    }
}
