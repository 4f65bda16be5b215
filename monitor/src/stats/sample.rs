//! One look at a node: what it had counted and what it measured at a moment.

use std::time::Duration;

use model::Moment;

use super::counters::{Counters, Lives};
use super::gauges::Gauges;

/// How often every node is asked.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);

/// Two samples further apart than this have a gap between them: what was counted meanwhile is known, when is not.
/// Two and a half intervals: one lost sample is bridged, two are not.
pub(super) const REACH: Duration = Duration::from_secs(25);

/// Start times that differ by less are one start. A node derives its own from the time the machine booted, in whole
/// seconds, which moves by one as the clock is corrected; nothing is started twice within two seconds and asked in
/// between.
const ONE_START_SECONDS: f64 = 2.0;

/// What a node said at a moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    /// When the monitor asked, by its own clock.
    pub(crate) at: Moment,
    /// When the node's process was started, in seconds since the Unix epoch; 0 when it does not say.
    pub(crate) started: f64,
    pub(crate) counters: Counters,
    pub(crate) gauges: Gauges<f64>,
}

impl Sample {
    /// What was counted since `earlier`. What a process counted after its last sample and before it ended is not in
    /// it: nobody knows.
    pub(super) fn since(&self, earlier: &Sample) -> Counters {
        self.counters.since(earlier.counters, self.lives_since(earlier))
    }

    /// Whether the time from `earlier` to this is short enough to say when things were counted.
    pub(super) fn reaches(&self, earlier: &Sample) -> bool {
        self.at.since(earlier.at) <= REACH
    }

    fn lives_since(&self, earlier: &Sample) -> Lives {
        if self.started <= 0.0 || earlier.started <= 0.0 {
            Lives::Untold
        } else if (self.started - earlier.started).abs() > ONE_START_SECONDS {
            Lives::Two
        } else {
            Lives::One
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(second: u64, started: f64, requests: u64) -> Sample {
        Sample {
            at: Moment::from_seconds(second),
            started,
            counters: Counters {
                requests,
                ..Counters::default()
            },
            gauges: Gauges::default(),
        }
    }

    #[test]
    fn a_start_time_that_steps_is_a_restart_even_when_the_count_did_not_fall() {
        let before = sample(100, 50.0, 10);
        assert_eq!(sample(110, 105.0, 12).since(&before).requests, 12);
        assert_eq!(sample(110, 50.0, 12).since(&before).requests, 2);
    }

    #[test]
    fn a_start_time_that_wobbles_by_a_second_is_no_restart() {
        let before = sample(100, 50.25, 1_000_000);
        assert_eq!(sample(110, 51.25, 1_000_007).since(&before).requests, 7);
        assert_eq!(sample(110, 49.25, 1_000_007).since(&before).requests, 7);
    }

    #[test]
    fn without_a_start_time_a_count_that_falls_is_a_restart() {
        let before = sample(100, 0.0, 10);
        assert_eq!(sample(110, 0.0, 4).since(&before).requests, 4);
        assert_eq!(sample(110, 105.0, 14).since(&before).requests, 4);
    }

    #[test]
    fn one_lost_sample_is_bridged_and_two_are_not() {
        let before = sample(100, 0.0, 10);
        assert!(sample(120, 0.0, 10).reaches(&before));
        assert!(sample(125, 0.0, 10).reaches(&before));
        assert!(!sample(130, 0.0, 10).reaches(&before));
    }
}
