//! Keys that are a large part of what an edge has: they are passed on last, and the largest are spread.
//!
//! A premiere or a goal makes one title a large part of what a site serves. Its owner by rendezvous would be crushed
//! while others idle, so its clients are spread over the first few nodes of its order, each of which then has a copy.
//! Keys that are large, but not so large, stay where they are as long as it is enough that a crowded edge passes small
//! ones on: whoever throws lumps about makes the next edge crowded, and the load does not even out.

use std::collections::BTreeMap;

use model::node::EDGES_OF_SITE_MAX;

use super::fleet::SiteId;
use super::space_saving::{COUNTERS, SpaceSaving};

/// A key is spread when it takes more than this part of what an edge of its site has in the mean: several such lumps
/// and what an edge has besides fit below 1.25 of the mean. In simulations of 16 edges all runs come there within five
/// steps, with the popularity of films and with Zipf's. At 0.20 they do as well, and more of the load has moved.
const HOT_ABOVE: f64 = 0.25;

/// Then it is spread so far that it takes this part of each: what is counted of it swings, and whoever is spread a little
/// more at each step moves clients each time.
const SPREAD_TO: f64 = 0.20;

/// It is spread less again only when it takes less than this part of each of its edges: whoever is near the bound would
/// else move back and forth.
const COOL_BELOW: f64 = 0.15;

/// A key is passed on last when it takes more than this part, and until it takes less than the other.
const LARGE_ABOVE: f64 = 0.10;
const SMALL_BELOW: f64 = 0.05;

/// What one step counts in what is known of a key: some hundred questions for it are right to a tenth. A key that is
/// so many times what it was does not wait.
const SMOOTHING: f64 = 0.3;
const SURGE: f64 = 1.5;

/// Large keys that are known at once. With the popularity of films a site has about ten.
const LARGE_KEYS_MAX: usize = 4096;

/// Nodes that a key can be spread over: those of a site.
const SPREAD_MAX: f64 = EDGES_OF_SITE_MAX as f64;

/// Where edges are less busy than this, a key is measured by this instead of by what they have: what is much of little
/// is no burden, and few questions are mostly noise.
const BUSY_ENOUGH: f64 = 0.3;

/// The large keys of all sites; in the world.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LargeKeys {
    /// In the order of site and key.
    keys: Box<[LargeKey]>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct LargeKey {
    site: SiteId,
    key: u64,
    /// Which part of what an edge of its site has in the mean it is, smoothed.
    part: f64,
    /// Over how many nodes it is spread.
    spread: u8,
}

/// What this router sent whereto since it last looked: one for each thread that decides.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    keys: SpaceSaving<(SiteId, u64)>,
    /// All that went to a site, by its place.
    sites: Vec<u64>,
}

/// What is known of a site's ability, by its place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SiteAbility {
    /// Edges that may be used.
    pub(crate) edges: f64,
    pub(crate) utilisation: Option<f64>,
}

impl Default for Tally {
    fn default() -> Self {
        Tally {
            keys: SpaceSaving::new(COUNTERS),
            sites: Vec::new(),
        }
    }
}

impl Tally {
    /// Counts so many clients that were sent to `site` for a key.
    pub(crate) fn count(&mut self, site: SiteId, key: u64, times: u64) {
        let place = usize::from(site.0);
        if self.sites.len() <= place {
            self.sites.resize(place + 1, 0);
        }
        self.sites[place] += times;
        self.keys.count((site, key), times);
    }
}

impl LargeKeys {
    /// Over how many nodes of `site` the clients of `key` are spread; `None` for nearly all keys, which are small.
    pub(crate) fn spread(&self, site: SiteId, key: u64) -> Option<usize> {
        self.find(site, key).map(|large| usize::from(large.spread))
    }

    fn find(&self, site: SiteId, key: u64) -> Option<&LargeKey> {
        let place = self
            .keys
            .binary_search_by_key(&(site, key), |large| (large.site, large.key));
        self.keys.get(place.ok()?)
    }

    /// What is large after `tallies`, one for each thread, were kept for so long.
    ///
    /// A key is measured by this router's own questions: it has this part of those that went to the site. Other routers
    /// send others, in the same proportion.
    #[must_use]
    pub(crate) fn next(&self, tallies: &[Tally], sites: &[SiteAbility]) -> LargeKeys {
        let mut large: Vec<LargeKey> = totals(tallies)
            .into_iter()
            .filter_map(|((site, key), count)| {
                let part = part_of_edge(site, count, tallies, sites)?;
                LargeKey::next(site, key, self.find(site, key), part)
            })
            .collect();
        large.sort_by(|left, right| right.part.total_cmp(&left.part));
        large.truncate(LARGE_KEYS_MAX);
        large.sort_unstable_by_key(|large| (large.site, large.key));
        LargeKeys { keys: large.into() }
    }

    /// The same keys, where sites have new numbers; those of sites that are gone are gone.
    #[must_use]
    pub(crate) fn renumbered(&self, number: impl Fn(SiteId) -> Option<SiteId>) -> LargeKeys {
        let moved = |large: &LargeKey| {
            let site = number(large.site)?;
            Some(LargeKey { site, ..*large })
        };
        let mut keys: Vec<LargeKey> = self.keys.iter().filter_map(moved).collect();
        keys.sort_unstable_by_key(|large| (large.site, large.key));
        LargeKeys { keys: keys.into() }
    }

    /// How many are spread over more than one node.
    pub(crate) fn spread_count(&self) -> usize {
        self.keys.iter().filter(|large| large.spread > 1).count()
    }
}

impl LargeKey {
    /// What becomes of a key that was seen to be such a part; `None` if it is small.
    fn next(site: SiteId, key: u64, before: Option<&LargeKey>, seen: f64) -> Option<LargeKey> {
        let part = match before {
            Some(before) if seen < before.part * SURGE => before.part + (seen - before.part) * SMOOTHING,
            _ => seen,
        };
        let least = if before.is_some() {
            SMALL_BELOW
        } else {
            LARGE_ABOVE
        };
        let needed = |most: f64| (part / most).ceil().clamp(1.0, SPREAD_MAX) as u8;
        let spread = match before.map_or(1, |before| before.spread) {
            too_few if too_few < needed(HOT_ABOVE) => needed(SPREAD_TO),
            enough => enough.min(needed(COOL_BELOW)),
        };
        (part > least).then_some(LargeKey {
            site,
            key,
            part,
            spread,
        })
    }
}

/// How often each key was asked for at least.
fn totals(tallies: &[Tally]) -> BTreeMap<(SiteId, u64), u64> {
    let mut totals = BTreeMap::new();
    for counter in tallies.iter().flat_map(|tally| tally.keys.counters()) {
        *totals.entry(counter.key).or_default() += counter.count - counter.error;
    }
    totals
}

/// Which part of what an edge of the site has, a key asked for `count` times is.
fn part_of_edge(site: SiteId, count: u64, tallies: &[Tally], sites: &[SiteAbility]) -> Option<f64> {
    let place = usize::from(site.0);
    let ability = sites.get(place)?;
    let all: u64 = tallies.iter().filter_map(|tally| tally.sites.get(place)).sum();
    let busy = ability.utilisation.unwrap_or(1.0);
    let part = count as f64 / all as f64 * ability.edges;
    (all > 0).then(|| part * (busy / BUSY_ENOUGH).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: SiteId = SiteId(0);

    /// Ten edges; `hot` of a thousand questions are for one key.
    fn next(before: &LargeKeys, hot: u64, utilisation: Option<f64>) -> Option<usize> {
        let mut tally = Tally::default();
        for nth in 0..1000 {
            tally.count(SITE, if nth < hot { 7 } else { 1000 + nth }, 1);
        }
        let ability = SiteAbility {
            edges: 10.0,
            utilisation,
        };
        before.next(&[tally], &[ability]).spread(SITE, 7)
    }

    #[test]
    fn a_key_that_takes_more_than_a_quarter_of_an_edge_is_spread_so_that_it_takes_a_fifth_at_most() {
        for (hot, spread) in [
            (9, None),
            (11, Some(1)),
            (25, Some(1)),
            (26, Some(2)),
            (99, Some(5)),
            (1000, Some(50)),
        ] {
            let none = LargeKeys::default();
            assert_eq!(next(&none, hot, Some(0.5)), spread, "{hot}");
            assert_eq!(next(&none, hot, None), spread, "{hot}");
        }
    }

    #[test]
    fn in_the_quiet_a_key_has_to_be_more_to_be_large() {
        let none = LargeKeys::default();
        assert_eq!(next(&none, 1000, Some(0.003)), None);
        assert_eq!(next(&none, 900, Some(0.03)), Some(5));
    }

    #[test]
    fn a_key_near_a_bound_does_not_move_back_and_forth() {
        let hot = |part: f64, spread| LargeKeys {
            keys: Box::new([LargeKey {
                site: SITE,
                key: 7,
                part,
                spread,
            }]),
        };
        for (before, count, spread) in [
            (hot(0.36, 2), 36, Some(2)),
            (hot(0.36, 2), 44, Some(2)),
            (hot(0.49, 2), 53, Some(3)),
            (hot(0.36, 2), 12, Some(2)),
            (hot(0.17, 2), 15, Some(2)),
            (hot(0.15, 2), 14, Some(1)),
            (hot(0.24, 1), 27, Some(1)),
            (hot(0.24, 1), 30, Some(2)),
            (hot(0.06, 1), 5, Some(1)),
            (hot(0.05, 1), 4, None),
        ] {
            assert_eq!(next(&before, count, Some(0.5)), spread, "{before:?} {count}");
        }
    }

    #[test]
    fn the_counts_of_all_threads_are_one() {
        let tally = |keys: &[u64]| {
            let mut tally = Tally::default();
            keys.iter().for_each(|key| tally.count(SITE, *key, 1));
            tally
        };
        let ability = SiteAbility {
            edges: 1.0,
            utilisation: None,
        };
        let tallies = [tally(&[1, 2, 3, 4, 5]), tally(&[1, 6, 7, 8, 9])];
        let keys = LargeKeys::default().next(&tallies, &[ability]);
        // Two of ten; the others are one of ten each, which is not above a tenth.
        assert_eq!((keys.spread(SITE, 1), keys.spread(SITE, 2)), (Some(1), None));
    }

    #[test]
    fn keys_stay_with_their_site_when_it_has_another_number() {
        let large = |site, key| LargeKey {
            site: SiteId(site),
            key,
            part: 0.5,
            spread: 3,
        };
        let before = LargeKeys {
            keys: Box::new([large(0, 7), large(1, 8), large(2, 1)]),
        };
        let number = |old: SiteId| [Some(SiteId(3)), None, Some(SiteId(0))][usize::from(old.0)];
        let after = before.renumbered(number);
        assert_eq!(&*after.keys, [large(0, 1), large(3, 7)]);
    }

    #[test]
    fn without_questions_nothing_is_large() {
        let ability = SiteAbility {
            edges: 2.0,
            utilisation: None,
        };
        let none = LargeKeys::default();
        assert_eq!(none.next(&[], &[ability]), none);
        let mut tally = Tally::default();
        tally.count(SiteId(9), 1, 1);
        assert_eq!(none.next(&[tally], &[ability]), none);
    }
}
