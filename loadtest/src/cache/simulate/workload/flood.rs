//! Zipf popularity with what caches fear mixed in: a steady share of objects that come once and never again, and
//! crawlers that walk through the catalogue in order.

use rand::Rng;
use rand::rngs::StdRng;

use super::super::sizes;
use super::super::trace::{Object, Request, Trace};
use super::popularity;

/// Share of requests for something that never comes again.
const ONE_HIT_SHARE: f64 = 0.15;

/// Share of requests that begin a walk of a crawler.
const WALK_SHARE: f64 = 1.0 / 20_000.0;

/// Objects of one walk.
const WALK_OBJECTS: std::ops::Range<u32> = 500..4000;

pub(super) fn trace(requests: usize, chance: &mut StdRng) -> Trace {
    let base = popularity::trace(requests, chance);
    let catalogue = base.sizes.len() as u32;
    let mut sizes = base.sizes;
    let mut mixed: Vec<Request> = Vec::with_capacity(requests);
    for request in base.requests {
        if mixed.len() >= requests {
            break;
        }
        mixed.push(request);
        if chance.random_bool(ONE_HIT_SHARE) {
            mixed.push(Request {
                object: sizes.len() as Object,
                ..request
            });
            sizes.push(sizes::choose(chance));
        }
        if chance.random_bool(WALK_SHARE) {
            let first = chance.random_range(0..catalogue);
            let walked = first..catalogue.min(first + chance.random_range(WALK_OBJECTS));
            mixed.extend(walked.map(|object| Request { object, ..request }));
        }
    }
    mixed.truncate(requests);
    Trace {
        sizes,
        requests: mixed,
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_flood_adds_objects_that_come_once() {
        let seeded = || StdRng::seed_from_u64(1);
        let base = popularity::trace(100_000, &mut seeded()).character();
        let mixed = trace(100_000, &mut seeded()).character();
        assert!(
            mixed.one_hit_objects > base.one_hit_objects + 0.1,
            "{mixed:?} {base:?}"
        );
        assert!(mixed.compulsory_bytes > base.compulsory_bytes);
    }
}
