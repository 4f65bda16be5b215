//! A trace played through a cache: the first half fills it, the second counts.

use super::policy::{Policy, Written};
use super::trace::Trace;

/// What came of the second half.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Score {
    pub(super) requests: u64,
    pub(super) hits: u64,
    pub(super) asked_bytes: u64,
    pub(super) missed_bytes: u64,
    pub(super) written: Written,
    /// How many times its capacity the cache had written before counting began.
    pub(super) turnover: f64,
}

impl Score {
    pub(super) fn byte_hit_ratio(&self) -> f64 {
        1.0 - share(self.missed_bytes, self.asked_bytes)
    }

    pub(super) fn object_hit_ratio(&self) -> f64 {
        share(self.hits, self.requests)
    }

    /// Device writes per byte that clients got.
    pub(super) fn written_per_served(&self) -> f64 {
        share(self.written.all_bytes(), self.asked_bytes)
    }

    /// The share of all writes that only keeps what is there.
    pub(super) fn copied_share(&self) -> f64 {
        share(self.written.copied_bytes, self.written.all_bytes())
    }

    /// Device writes per byte that was fetched and stored.
    pub(super) fn amplification(&self) -> f64 {
        share(self.written.all_bytes(), self.written.admitted_bytes)
    }

    /// Several runs as one.
    pub(super) fn add(&mut self, other: &Score) {
        self.turnover = match self.requests {
            0 => other.turnover,
            _ => self.turnover.min(other.turnover),
        };
        self.requests += other.requests;
        self.hits += other.hits;
        self.asked_bytes += other.asked_bytes;
        self.missed_bytes += other.missed_bytes;
        self.written.admitted_bytes += other.written.admitted_bytes;
        self.written.copied_bytes += other.written.copied_bytes;
        self.written.overhead_bytes += other.written.overhead_bytes;
    }
}

fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// Plays `trace` through an empty `cache` of `capacity_bytes`.
pub(super) fn play(trace: &Trace, cache: &mut dyn Policy, capacity_bytes: u64) -> Score {
    let (filling, counting) = trace.requests.split_at(trace.requests.len() / 2);
    for request in filling {
        cache.request(request.at, request.object, trace.size(request.object));
    }
    let before = cache.written();
    let mut score = Score {
        requests: counting.len() as u64,
        turnover: share(before.all_bytes(), capacity_bytes),
        ..Score::default()
    };
    for request in counting {
        let bytes = trace.size(request.object);
        score.asked_bytes += u64::from(bytes);
        if cache.request(request.at, request.object, bytes) {
            score.hits += 1;
        } else {
            score.missed_bytes += u64::from(bytes);
        }
    }
    score.written = cache.written().since(before);
    score
}

#[cfg(test)]
mod tests {
    use super::super::policy::Kind;
    use super::super::trace::tests::trace;
    use super::*;

    #[test]
    fn the_second_half_counts() {
        let trace = trace(&[100, 300], &[0, 1, 0, 1, 0, 0]);
        let mut cache = Kind::Lru.build(300, &trace);
        let score = play(&trace, &mut *cache, 300);
        let written = Written {
            admitted_bytes: 400,
            ..Written::default()
        };
        let expected = Score {
            requests: 3,
            hits: 1,
            asked_bytes: 500,
            missed_bytes: 400,
            written,
            turnover: 500.0 / 300.0,
        };
        assert_eq!(score, expected);
        assert_eq!(
            (score.byte_hit_ratio(), score.amplification()),
            (0.19999999999999996, 1.0)
        );
    }
}
