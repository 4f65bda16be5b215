//! Histograms of latencies: microseconds, three digits, up to two minutes.

use std::time::Duration;

use hdrhistogram::Histogram;

/// What takes longer counts as this.
const LONGEST: Duration = Duration::from_secs(120);

/// An empty histogram.
pub(crate) fn new() -> Histogram<u64> {
    Histogram::new_with_max(LONGEST.as_micros() as u64, 3).expect("the bounds are those of a u64")
}

/// Records one length of time.
pub(crate) fn record(histogram: &mut Histogram<u64>, took: Duration) {
    histogram.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_kept_to_three_digits_and_bounded() {
        let mut histogram = new();
        record(&mut histogram, Duration::from_micros(1234));
        assert!((1233..=1235).contains(&histogram.max()));
        record(&mut histogram, Duration::from_secs(3600));
        assert!(histogram.max() >= LONGEST.as_micros() as u64);
    }
}
