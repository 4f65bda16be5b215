//! How much may be written: a drive is rated in times its capacity a day, and a bucket is filled at that pace.

use model::Moment;
use std::time::Duration;

/// How long the pace may be exceeded before anything is refused, when nothing was written before.
const BURST: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// The largest object that is still written when the bucket has just run dry, in bytes.
const LARGEST_BYTES: f64 = (16 << 20) as f64;
/// How often that halves until the bucket owes half of what it holds: down to 64 KiB.
const HALVINGS: f64 = 8.0;

/// A bucket of bytes that may be written. It may owe as much as it can hold; the more it owes, the fewer may write.
#[derive(Debug)]
pub struct Budget {
    /// `None` when there is no bound.
    bucket: Option<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    bytes_per_millisecond: f64,
    holds: f64,
    /// Negative when more was written than there was.
    level: f64,
    refilled: Moment,
}

impl Budget {
    /// A full bucket. It holds at least a region, the unit in which the disk's content turns over.
    #[must_use]
    pub fn new(capacity_bytes: u64, region_bytes: u64, drive_writes_per_day: f64, now: Moment) -> Budget {
        let bucket = (drive_writes_per_day > 0.0).then(|| {
            let bytes_per_millisecond = drive_writes_per_day * capacity_bytes as f64 / DAY.as_millis() as f64;
            let holds = (bytes_per_millisecond * BURST.as_millis() as f64).max(region_bytes as f64);
            Bucket {
                bytes_per_millisecond,
                holds,
                level: holds,
                refilled: now,
            }
        });
        Budget { bucket }
    }

    /// Time has passed. A clock that goes back adds nothing until it has caught up.
    pub fn refill(&mut self, now: Moment) {
        if let Some(bucket) = &mut self.bucket {
            let gained = now.since(bucket.refilled).as_millis() as f64 * bucket.bytes_per_millisecond;
            bucket.level = (bucket.level + gained).min(bucket.holds);
            bucket.refilled = bucket.refilled.max(now);
        }
    }

    /// Whether an object of `bytes` may be written; `evidence` says that it was asked for more than once.
    #[must_use]
    pub fn allows(&self, bytes: u64, evidence: bool) -> bool {
        let Some(bucket) = &self.bucket else { return true };
        let owed = -bucket.level / bucket.holds;
        if owed < 0.0 {
            return true;
        }
        let largest = LARGEST_BYTES * (-2.0 * HALVINGS * owed).exp2();
        owed < 1.0 && (evidence || (owed < 0.5 && bytes as f64 <= largest))
    }

    /// So many bytes were written.
    pub fn spend(&mut self, bytes: u64) {
        if let Some(bucket) = &mut self.bucket {
            // Debt has an end, or a burst of what may not be refused would silence the disk for days.
            bucket.level = (bucket.level - bytes as f64).max(-2.0 * bucket.holds);
        }
    }

    /// What is left, in bytes; `None` when there is no bound.
    #[must_use]
    pub fn left(&self) -> Option<i64> {
        self.bucket.as_ref().map(|bucket| bucket.level.round() as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_BYTES: u64 = 86_400_000;

    #[test]
    fn a_bucket_fills_at_the_rated_pace_up_to_an_hour_of_it_and_not_when_the_clock_goes_back() {
        let mut budget = Budget::new(DAY_BYTES, 1000, 1.0, Moment(1000));
        assert_eq!(budget.left(), Some(3_600_000));
        budget.spend(4_000_000);
        assert_eq!(budget.left(), Some(-400_000));
        budget.refill(Moment(0));
        budget.refill(Moment(101_000));
        assert_eq!(budget.left(), Some(-300_000));
        budget.refill(Moment(u64::MAX));
        assert_eq!(budget.left(), Some(3_600_000));
    }

    #[test]
    fn without_a_rating_nothing_is_ever_refused() {
        let mut budget = Budget::new(DAY_BYTES, 1000, 0.0, Moment(0));
        budget.spend(u64::MAX);
        assert!(budget.allows(u64::MAX, false));
        assert_eq!(budget.left(), None);
    }

    #[test]
    fn the_deeper_the_debt_the_smaller_what_is_written() {
        let mut budget = Budget::new(DAY_BYTES, 1000, 1.0, Moment(0));
        budget.spend(3_600_000);
        let mut largest_before = u64::MAX;
        for _ in 0..9 {
            let largest = (0..=24)
                .map(|power| 1 << power)
                .filter(|bytes| budget.allows(*bytes, false))
                .max();
            let largest = largest.expect("something is written");
            assert!(largest < largest_before, "{largest}");
            largest_before = largest;
            budget.spend(199_000);
        }
        budget.spend(199_000);
        assert!(!budget.allows(1, false) && budget.allows(1 << 30, true));
        budget.spend(u64::MAX);
        assert!(!budget.allows(1, true));
        assert_eq!(budget.left(), Some(-7_200_000), "it recovers within three hours");
    }
}
