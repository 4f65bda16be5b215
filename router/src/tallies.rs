//! What this router sent whereto since the controls last stepped. Each thread counts by itself.

use std::cell::Cell;

use parking_lot::Mutex;

use crate::decide::{SiteId, Tally};
use crate::lanes::{LANES, lane};

/// Of the answers of DNS one in so many is counted, for all of them: there are more of them than of anything else, and
/// few names.
const SAMPLED: u32 = 8;

thread_local! {
    /// Answers of DNS of this thread since it last counted some.
    static UNCOUNTED: Cell<u32> = const { Cell::new(0) };
}

/// A tally for each lane of threads.
pub(crate) struct Tallies([Lane; LANES]);

/// In cache lines that no other lane touches: processors fetch them in pairs.
#[derive(Default)]
#[repr(align(128))]
struct Lane(Mutex<Tally>);

impl Default for Tallies {
    fn default() -> Tallies {
        Tallies(std::array::from_fn(|_| Lane::default()))
    }
}

impl Tallies {
    /// Counts a client that was sent to `site` for a key.
    pub(crate) fn count(&self, site: SiteId, key: u64) {
        self.0[lane()].0.lock().count(site, key, 1);
    }

    /// Counts a resolver that was told of `site` for a key.
    pub(crate) fn sample(&self, site: SiteId, key: u64) {
        let uncounted = UNCOUNTED.get() + 1;
        if uncounted < SAMPLED {
            return UNCOUNTED.set(uncounted);
        }
        UNCOUNTED.set(0);
        self.0[lane()].0.lock().count(site, key, SAMPLED.into());
    }

    /// What was counted since the last time.
    pub(crate) fn take(&self) -> Vec<Tally> {
        let lanes = self.0.iter();
        lanes.map(|lane| std::mem::take(&mut *lane.0.lock())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::{LargeKeys, SiteAbility};

    #[test]
    fn a_sample_stands_for_all_and_what_was_taken_is_gone() {
        let (tallies, site) = (Tallies::default(), SiteId(0));
        for _ in 0..8 * SAMPLED {
            tallies.sample(site, 7);
        }
        for _ in 0..8 * SAMPLED {
            tallies.count(site, 8);
        }
        let ability = [SiteAbility {
            edges: 1.0,
            utilisation: None,
        }];
        let spread = |tallies: &[Tally], key| LargeKeys::default().next(tallies, &ability).spread(site, key);
        let taken = tallies.take();
        // Each is a half.
        assert_eq!((spread(&taken, 7), spread(&taken, 8)), (Some(3), Some(3)));
        assert_eq!(spread(&tallies.take(), 7), None);
    }
}
