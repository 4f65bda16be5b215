//! What clients ask for: made up from a seed, the same for the same seed. Pure.

mod flood;
mod popularity;
mod sessions;

use rand::SeedableRng;
use rand::rngs::StdRng;

use self::sessions::Drift;
use super::trace::Trace;

/// How a trace is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Workload {
    /// Independent requests by Zipf popularity
    Zipf,
    /// HLS sessions: a ladder, sequential viewing, abandonment
    Hls,
    /// The same, and what is popular changes within hours
    HlsDrift,
    /// Zipf popularity with crawlers and one-hit floods mixed in
    Flood,
}

impl Workload {
    pub(super) const ALL: [Workload; 4] =
        [Workload::Zipf, Workload::Hls, Workload::HlsDrift, Workload::Flood];

    /// What the tables call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Workload::Zipf => "Zipf",
            Workload::Hls => "HLS sessions",
            Workload::HlsDrift => "HLS, fast drift",
            Workload::Flood => "Zipf + floods",
        }
    }

    /// A trace of `requests` requests.
    pub(super) fn trace(self, requests: usize, seed: u64) -> Trace {
        let mut chance = StdRng::seed_from_u64(seed);
        match self {
            Workload::Zipf => popularity::trace(requests, &mut chance),
            Workload::Hls => sessions::trace(requests, Drift::Slow, &mut chance),
            Workload::HlsDrift => sessions::trace(requests, Drift::Fast, &mut chance),
            Workload::Flood => flood::trace(requests, &mut chance),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_one_trace_in_order_of_time() {
        for workload in Workload::ALL {
            let trace = workload.trace(20_000, 3);
            assert_eq!(trace.requests.len(), 20_000);
            assert!(
                trace.requests.is_sorted_by_key(|request| request.at),
                "{workload:?}"
            );
            assert!(trace == workload.trace(20_000, 3) && trace != workload.trace(20_000, 4));
            let known = trace.sizes.len();
            assert!(
                trace
                    .requests
                    .iter()
                    .all(|request| (request.object as usize) < known)
            );
        }
    }
}
