//! Runs of addresses that are answered alike, and the net around an address in its run.
//!
//! Merging neighbouring nets of equal answers, pair by pair from the bottom up, ends with the largest aligned nets that
//! fit into runs of equal answers. So the runs alone are kept, and the merged net of an address is worked out: the
//! shortest prefix that reaches neither the address before its run nor the first behind it. Two bit counts, no table.

use super::overlay::Run;

/// How addresses of one family are kept.
pub(super) trait Key: Copy + Ord {
    /// From the upper bits of the shared scale ([`super::prefix`]).
    fn from_aligned(aligned: u64) -> Self;
    /// On the shared scale.
    fn aligned(self) -> u64;
}

/// An IPv4 address.
impl Key for u32 {
    fn from_aligned(aligned: u64) -> u32 {
        (aligned >> 32) as u32
    }

    fn aligned(self) -> u64 {
        u64::from(self) << 32
    }
}

/// The upper half of an IPv6 address.
impl Key for u64 {
    fn from_aligned(aligned: u64) -> u64 {
        aligned
    }

    fn aligned(self) -> u64 {
        self
    }
}

/// All addresses of a family in runs.
#[derive(Debug, PartialEq)]
pub(super) struct Runs<K> {
    /// Where each run begins, in order; the first at 0. Apart from the answers, so that a search reads nothing else.
    starts: Box<[K]>,
    answers: Box<[u32]>,
}

impl<K: Key> Runs<K> {
    /// Of runs in order, the first at 0, neighbours different.
    pub(super) fn new(runs: &[Run<u32>]) -> Runs<K> {
        Runs {
            starts: runs.iter().map(|run| K::from_aligned(run.from)).collect(),
            answers: runs.iter().map(|run| run.answer).collect(),
        }
    }

    /// The answer for `address`, and the length of the merged net that it is in.
    pub(super) fn find(&self, address: K) -> (u32, u8) {
        let behind = self.starts.partition_point(|start| *start <= address);
        let run = behind.saturating_sub(1);
        let here = address.aligned();
        // Only the first run begins at 0.
        let before = (run > 0).then(|| shared(here, self.starts[run].aligned() - 1) + 1);
        let after = self
            .starts
            .get(behind)
            .map(|start| shared(here, start.aligned()) + 1);
        (self.answers[run], before.max(after).unwrap_or(0))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    /// What they take.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.starts) + size_of_val(&*self.answers)
    }

    #[cfg(test)]
    pub(super) fn starts(&self) -> &[K] {
        &self.starts
    }
}

/// The leading bits that two different addresses share: at most 63.
fn shared(left: u64, right: u64) -> u8 {
    (left ^ right).leading_zeros() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs<K: Key>(of: &[(u64, u32)]) -> Runs<K> {
        let run = |(from, answer): &(u64, u32)| Run {
            from: *from,
            answer: *answer,
        };
        Runs::new(&of.iter().map(run).collect::<Vec<_>>())
    }

    #[test]
    fn one_run_is_the_whole_of_the_addresses() {
        let runs: Runs<u64> = runs(&[(0, 7)]);
        for address in [0, 1, 1 << 63, u64::MAX] {
            assert_eq!(runs.find(address), (7, 0));
        }
    }

    #[test]
    fn the_net_is_the_largest_that_fits_into_the_run() {
        // 10.0.0.0 to 10.0.2.255 is a /23 and a /24.
        let at = |address: u32| u64::from(address) << 32;
        let runs: Runs<u32> = runs(&[(0, 0), (at(0x0a00_0000), 1), (at(0x0a00_0300), 2)]);
        assert_eq!(runs.find(0x0a00_0000), (1, 23));
        assert_eq!(runs.find(0x0a00_01ff), (1, 23));
        assert_eq!(runs.find(0x0a00_0200), (1, 24));
        assert_eq!(runs.find(0x0a00_02ff), (1, 24));
        assert_eq!(runs.find(0x0a00_0300), (2, 24));
        assert_eq!(runs.find(0x0a00_0400), (2, 22));
        assert_eq!(runs.find(0xffff_ffff), (2, 1));
        assert_eq!(runs.find(0), (0, 5));
        assert_eq!(runs.find(0x09ff_ffff), (0, 7));
    }

    #[test]
    fn single_addresses_at_both_ends_have_the_longest_prefix() {
        let four: Runs<u32> = runs(&[(0, 1), (1 << 32, 2), (0xffff_ffff << 32, 3)]);
        assert_eq!(four.find(0), (1, 32));
        assert_eq!(four.find(1), (2, 32));
        assert_eq!(four.find(u32::MAX), (3, 32));
        let six: Runs<u64> = runs(&[(0, 1), (1, 2), (u64::MAX, 3)]);
        assert_eq!(six.find(0), (1, 64));
        assert_eq!(six.find(u64::MAX), (3, 64));
        assert_eq!(six.memory_bytes(), 3 * 12);
    }
}
