//! Independent requests: each is for an object chosen by Zipf's law, whatever came before (the reference model).

use model::Moment;
use rand::Rng;
use rand::rngs::StdRng;

use super::super::sizes;
use super::super::trace::{Request, Trace};
use crate::zipf::Zipf;

/// One object for this many requests; with the exponent it gives the one-hit share and the compulsory misses that
/// published video traces have (40 to 50 % of objects, 6 to 15 % of bytes).
const REQUESTS_PER_OBJECT: usize = 6;

/// The exponent of popularity.
const EXPONENT: f64 = 1.0;

/// A mean edge: 1,000 requests a second.
pub(super) const MILLISECONDS_PER_REQUEST: u64 = 1;

pub(super) fn trace(requests: usize, chance: &mut StdRng) -> Trace {
    let count = (requests / REQUESTS_PER_OBJECT).max(1) as u32;
    let popularity = Zipf::new(count, EXPONENT);
    let sizes = (0..count).map(|_| sizes::choose(chance)).collect();
    let mut now = Moment(0);
    let mut next = || {
        now = Moment(now.0 + chance.random_range(0..=2 * MILLISECONDS_PER_REQUEST));
        Request {
            at: now,
            object: popularity.choose(chance),
        }
    };
    Trace {
        sizes,
        requests: (0..requests).map(|_| next()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn the_trace_has_the_character_of_published_video_traces() {
        let character = trace(300_000, &mut StdRng::seed_from_u64(1)).character();
        assert!((0.35..0.52).contains(&character.one_hit_objects), "{character:?}");
        assert!((0.06..0.2).contains(&character.compulsory_bytes), "{character:?}");
        assert!((0.23..0.58).contains(&character.small_requests), "{character:?}");
        assert!(
            (0.6e6..1.3e6).contains(&character.mean_request_bytes),
            "{character:?}"
        );
    }
}
