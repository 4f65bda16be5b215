//! Edges that have more than their share of a site's load pass some of their keys on.
//!
//! Rendezvous hashing shares out keys evenly, but not what is asked for by them: with the popularity that films have,
//! the busiest of 16 edges has twice the mean. Consistent hashing with bounded loads (Mirrokni, Thorup and Zadimoghaddam,
//! SODA 2018) needs a counter that all routers share; here each router reckons, from how busy each edge is, which share
//! of its keys it should not have, and keys draw for it ([`draw::skip`](super::draw::skip)). A key that skips an edge goes
//! to the next of its own order, and always the same keys do.

use std::collections::BTreeMap;
use std::time::Duration;

use model::Moment;

/// An edge with so much more than the mean passes keys on.
const CROWDED: f64 = 1.20;

/// What it should have then.
const RELIEVED: f64 = 1.10;

/// An edge with less than this takes keys back.
const IDLE: f64 = 1.00;

/// The largest share of its keys that an edge passes on: with less than a tenth it would lose its cache.
const SKIP_MAX: f64 = 0.9;

/// By no more than this a share falls in one step: keys that come back are cold.
const FALL: f64 = 0.1;

/// A share this small moves nobody worth moving.
const NOTICEABLE: f64 = 0.01;

/// Below this mean utilisation nobody is crowded, however uneven it is.
const QUIET: f64 = 0.05;

/// One step in so long a time: what clients keep of an answer by default. Before, the last step does not show.
const SETTLE: Duration = Duration::from_secs(30);

/// What is seen of one edge that may be used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EdgeLoad<'a> {
    pub(crate) name: &'a str,
    pub(crate) weight: f64,
    /// How much of what it can do it does, where that is known.
    pub(crate) utilisation: Option<f64>,
}

/// The machine. Names of edges are unique in a CDN.
#[derive(Clone, Debug, Default)]
pub(crate) struct Balance {
    /// Shares above 0.
    skips: BTreeMap<String, f64>,
    stepped: Option<Moment>,
}

impl Balance {
    /// Takes a step if the last has settled. `sites` has the usable edges of each.
    pub(crate) fn step<'a>(&mut self, sites: impl IntoIterator<Item = Vec<EdgeLoad<'a>>>, now: Moment) {
        if self.stepped.is_some_and(|stepped| now.since(stepped) < SETTLE) {
            return;
        }
        self.stepped = Some(now);
        let mut skips = BTreeMap::new();
        for edges in sites {
            let mean = mean(&edges);
            for edge in &edges {
                let skip = next(self.skip(edge.name), edge.utilisation, mean);
                if skip >= NOTICEABLE {
                    skips.insert(edge.name.to_owned(), skip);
                }
            }
        }
        self.skips = skips;
    }

    /// Which share of its keys an edge passes on.
    pub(crate) fn skip(&self, edge: &str) -> f64 {
        self.skips.get(edge).copied().unwrap_or_default()
    }
}

/// How busy the edges are together; `None` where less than two say.
fn mean(edges: &[EdgeLoad<'_>]) -> Option<f64> {
    let known = || {
        edges
            .iter()
            .filter_map(|edge| Some((edge.weight, edge.utilisation?)))
    };
    let weight: f64 = known().map(|(weight, _)| weight).sum();
    let load: f64 = known().map(|(weight, busy)| weight * busy).sum();
    (known().count() >= 2 && weight > 0.0).then(|| load / weight)
}

fn next(skip: f64, utilisation: Option<f64>, mean: Option<f64>) -> f64 {
    let (Some(busy), Some(mean)) = (utilisation, mean) else {
        return skip - FALL;
    };
    if mean < QUIET {
        return skip - FALL;
    }
    let load = busy / mean;
    let relieved = 1.0 - (1.0 - skip) * RELIEVED / load.max(f64::MIN_POSITIVE);
    if load > CROWDED {
        relieved.min(SKIP_MAX)
    } else if load < IDLE {
        relieved.max(skip - FALL)
    } else {
        skip
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stepped(balance: &mut Balance, busy: [Option<f64>; 3], second: u64) -> [f64; 3] {
        let names = ["a", "b", "c"];
        let edges = names.iter().zip(busy).map(|(name, utilisation)| EdgeLoad {
            name,
            weight: 1.0,
            utilisation,
        });
        balance.step([edges.collect()], Moment::from_seconds(second));
        names.map(|name| balance.skip(name))
    }

    #[test]
    fn a_crowded_edge_passes_keys_on_and_takes_them_back_step_by_step() {
        let mut balance = Balance::default();
        let crowded = [Some(0.8), Some(0.2), Some(0.2)];
        let [first, others @ ..] = stepped(&mut balance, crowded, 1000);
        assert!((first - (1.0 - 1.10 / 2.0)).abs() < 1e-9 && others == [0.0; 2]);
        assert_eq!(
            stepped(&mut balance, crowded, 1029)[0],
            first,
            "it has not settled"
        );
        let even = [Some(0.46), Some(0.4), Some(0.4)];
        assert_eq!(stepped(&mut balance, even, 1030)[0], first);
        let idle = [Some(0.2), Some(0.4), Some(0.4)];
        assert!((stepped(&mut balance, idle, 1060)[0] - (first - 0.1)).abs() < 1e-9);
        for step in 0..5 {
            stepped(&mut balance, idle, 1090 + 30 * step);
        }
        assert_eq!(balance.skip("a"), 0.0);
    }

    #[test]
    fn nobody_is_crowded_in_the_quiet_or_where_nothing_is_known() {
        for busy in [
            [Some(0.09), Some(0.01), Some(0.01)],
            [None, None, None],
            [Some(0.9), None, None],
        ] {
            assert_eq!(stepped(&mut Balance::default(), busy, 1000), [0.0; 3], "{busy:?}");
        }
    }

    #[test]
    fn an_edge_keeps_a_tenth_of_its_keys() {
        let mut balance = Balance::default();
        for step in 1..20 {
            stepped(&mut balance, [Some(1.0), Some(0.0), Some(0.0)], 30 * step);
        }
        assert_eq!(balance.skip("a"), 0.9);
    }
}
