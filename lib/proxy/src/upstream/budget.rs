//! The retry budget: retries are a bounded share of requests, so that they never turn trouble into overload.
//!
//! Lock-free: a ring of one-second buckets, each one word that holds its second and its two counts.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use model::Moment;

/// Requests and retries of this long ago and younger are compared.
pub const WINDOW: Duration = Duration::from_secs(BUCKETS as u64);
/// Retries within the window that are allowed however few requests there are, so that a quiet node can retry at all.
pub const RETRIES_FLOOR: u64 = 10;

/// Seconds in the window.
const BUCKETS: usize = 10;
/// Bits of each count: a million requests a second; beyond, counting stops, which only makes the budget smaller.
const COUNT_BITS: u32 = 20;
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;

/// Counts requests and grants retries. Shared by all cores.
pub struct RetryBudget {
    percent: u64,
    buckets: [AtomicU64; BUCKETS],
}

/// One bucket, unpacked: the second modulo 2^24 (194 days) in the upper bits, then requests, then retries.
#[derive(Clone, Copy, Default)]
struct Bucket {
    second: u64,
    requests: u64,
    retries: u64,
}

impl RetryBudget {
    /// Retries may be `percent` of requests, beside the floor; with 0 there are none at all.
    #[must_use]
    pub fn new(percent: u32) -> RetryBudget {
        RetryBudget {
            percent: percent.into(),
            buckets: Default::default(),
        }
    }

    /// Counts a request (not its retries).
    pub fn count_request(&self, now: Moment) {
        self.update(now, |bucket| bucket.requests += 1);
    }

    /// Whether a retry may be made now; counts it, if so.
    #[must_use]
    pub fn try_retry(&self, now: Moment) -> bool {
        if self.percent == 0 {
            return false;
        }
        // Counted before it is judged: of several that ask at once for the last retry, not all get it.
        self.update(now, |bucket| bucket.retries += 1);
        let (requests, retries) = self.sums(now);
        let granted = retries <= (requests * self.percent / 100).max(RETRIES_FLOOR);
        if !granted {
            self.update(now, |bucket| bucket.retries = bucket.retries.saturating_sub(1));
        }
        granted
    }

    /// Requests and retries within the window.
    fn sums(&self, now: Moment) -> (u64, u64) {
        let present = wrapped(now.seconds());
        self.buckets
            .iter()
            .map(|bucket| Bucket::unpack(bucket.load(Relaxed)))
            .filter(|bucket| wrapped(present.wrapping_sub(bucket.second)) < BUCKETS as u64)
            .fold((0, 0), |(requests, retries), bucket| {
                (requests + bucket.requests, retries + bucket.retries)
            })
    }

    fn update(&self, now: Moment, change: impl Fn(&mut Bucket)) {
        let second = wrapped(now.seconds());
        let bucket = &self.buckets[(now.seconds() % BUCKETS as u64) as usize];
        // The closure never declines, so the update never fails.
        let _ = bucket.fetch_update(Relaxed, Relaxed, |packed| {
            let mut bucket = Bucket::unpack(packed);
            if bucket.second != second {
                bucket = Bucket {
                    second,
                    ..Bucket::default()
                };
            }
            change(&mut bucket);
            Some(bucket.pack())
        });
    }
}

impl Bucket {
    fn unpack(packed: u64) -> Bucket {
        Bucket {
            second: packed >> (2 * COUNT_BITS),
            requests: packed >> COUNT_BITS & COUNT_MAX,
            retries: packed & COUNT_MAX,
        }
    }

    fn pack(self) -> u64 {
        self.second << (2 * COUNT_BITS)
            | self.requests.min(COUNT_MAX) << COUNT_BITS
            | self.retries.min(COUNT_MAX)
    }
}

/// A second as a bucket holds it.
fn wrapped(second: u64) -> u64 {
    second & ((1 << (64 - 2 * COUNT_BITS)) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_seconds(1_767_225_600 + seconds)
    }

    fn granted(budget: &RetryBudget, now: Moment, asked: usize) -> usize {
        (0..asked).filter(|_| budget.try_retry(now)).count()
    }

    #[test]
    fn a_quiet_node_has_the_floor_and_a_busy_one_its_share() {
        let budget = RetryBudget::new(20);
        assert_eq!(granted(&budget, at(0), 1000), 10);
        for _ in 0..1000 {
            budget.count_request(at(1));
        }
        assert_eq!(
            granted(&budget, at(1), 1000),
            190,
            "20 % of 1,000, ten of them granted before"
        );
        assert_eq!(granted(&budget, at(2), 1000), 0);
    }

    #[test]
    fn the_window_slides() {
        let budget = RetryBudget::new(20);
        for second in 0..10 {
            for _ in 0..100 {
                budget.count_request(at(second));
            }
        }
        assert_eq!(granted(&budget, at(9), 1000), 200);
        // Requests of second 0 leave the window; the retries of second 9 are still in it.
        assert_eq!(granted(&budget, at(10), 1000), 0);
        // Nothing is left of either.
        assert_eq!(granted(&budget, at(19), 1000), 10);
        assert_eq!(granted(&budget, at(60), 1000), 10);
    }

    #[test]
    fn no_share_means_no_retries() {
        let budget = RetryBudget::new(0);
        budget.count_request(at(0));
        assert!(!budget.try_retry(at(0)));
    }

    #[test]
    fn refused_retries_cost_nothing() {
        let budget = RetryBudget::new(20);
        assert_eq!(granted(&budget, at(0), 100_000), 10);
        for _ in 0..100 {
            budget.count_request(at(0));
        }
        assert_eq!(
            granted(&budget, at(0), 100),
            10,
            "20 of 100, ten of them granted before"
        );
    }

    #[test]
    fn counts_saturate_and_a_clock_that_was_set_back_confuses_nothing_for_long() {
        let bucket = Bucket {
            second: 5,
            requests: COUNT_MAX + 7,
            retries: COUNT_MAX + 9,
        };
        let again = Bucket::unpack(bucket.pack());
        assert_eq!(
            (again.second, again.requests, again.retries),
            (5, COUNT_MAX, COUNT_MAX)
        );

        let budget = RetryBudget::new(20);
        for _ in 0..1000 {
            budget.count_request(at(100));
        }
        assert_eq!(
            granted(&budget, at(50), 1000),
            10,
            "requests of the future do not count"
        );
    }

    #[test]
    fn threads_together_stay_within_the_budget() {
        let budget = RetryBudget::new(20);
        let total: usize = std::thread::scope(|threads| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    threads.spawn(|| {
                        (0..10_000)
                            .filter(|_| {
                                budget.count_request(at(0));
                                budget.try_retry(at(0))
                            })
                            .count()
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("no panic"))
                .sum()
        });
        assert!((7_000..=8_000).contains(&total), "{total} of 40,000");
    }
}
