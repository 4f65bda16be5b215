//! Sequences: hybrid timestamps, milliseconds since the epoch × 65,536 plus a counter.
//!
//! They grow whatever the clock does: the next is at least one more than the last, and what a journal or another node
//! knows counts as known. So they order purges on one node exactly, over restarts and a clock that was set back, and
//! purges of several nodes as well as their clocks agree.

use model::Moment;
use std::time::Duration;

/// Sequences in one millisecond; beyond it they run ahead of the clock, which is harmless.
pub const PER_MILLISECOND: u64 = 1 << 16;

/// How far ahead of our clock a sequence from elsewhere may be. One clock that is wrong must not carry all others away;
/// clocks that differ by more than a day are a fault to repair.
pub const AHEAD_MAX: Duration = Duration::from_secs(24 * 3600);

/// The sequence of a purge at `now`, when `latest` is the last one known, at least `not_before`.
#[must_use]
pub fn next(latest: u64, now: Moment, not_before: u64) -> u64 {
    latest.saturating_add(1).max(first_of(now)).max(not_before)
}

/// The first sequence of a moment.
#[must_use]
pub fn first_of(moment: Moment) -> u64 {
    moment.0.saturating_mul(PER_MILLISECOND)
}

/// The moment of a sequence, as the clock said that it was drawn by.
#[must_use]
pub fn moment_of(sequence: u64) -> Moment {
    Moment(sequence / PER_MILLISECOND)
}

/// Whether a sequence from elsewhere can be believed.
#[must_use]
pub fn is_plausible(sequence: u64, now: Moment) -> bool {
    moment_of(sequence) <= now + AHEAD_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_grow_whatever_the_clock_does_and_follow_it_when_they_can() {
        let noon = Moment(1_700_000_000_000);
        let first = next(0, noon, 0);
        assert_eq!(first, first_of(noon));
        assert_eq!(moment_of(first), noon);
        assert_eq!(next(first, noon, 0), first + 1);
        assert_eq!(next(first, Moment(0), 0), first + 1, "the clock was set back");
        assert_eq!(next(first, noon, first + 99), first + 99, "another node said so");
        assert_eq!(
            next(first, noon + Duration::from_millis(1), 0),
            first + PER_MILLISECOND
        );
        assert_eq!(next(u64::MAX, Moment(u64::MAX), u64::MAX), u64::MAX);
    }

    #[test]
    fn a_sequence_from_a_clock_days_ahead_is_not_believed() {
        let noon = Moment(1_700_000_000_000);
        assert!(is_plausible(0, noon));
        assert!(is_plausible(first_of(noon + AHEAD_MAX), noon));
        assert!(!is_plausible(
            first_of(noon + AHEAD_MAX + Duration::from_millis(1)),
            noon
        ));
    }
}
