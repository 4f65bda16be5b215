//! When a target is asked next: phases spread over the interval, and staggered between monitors. Pure.
//!
//! With three monitors, somebody asks each target every third of the interval.

use std::time::Duration;

use model::{Moment, rendezvous};

/// Targets that are new are all asked within this part of an interval: soon, and never more than a machine can do.
const FIRST_SOONER: u32 = 2;

/// How a target's probes lie in time for this monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    pub(crate) interval: Duration,
    pub(crate) fast_interval: Duration,
    /// Where in the interval this monitor asks this target.
    phase: Duration,
}

impl Schedule {
    /// The schedule of a target (by any name for it) for the monitor at `place` of `monitors`.
    pub(crate) fn new(
        target: &str,
        place: usize,
        monitors: usize,
        interval: Duration,
        fast_interval: Duration,
    ) -> Schedule {
        let length = milliseconds(interval).max(1);
        let own = rendezvous::key_hash(target) % length;
        let share = length * place as u64 / monitors.max(1) as u64;
        Schedule {
            interval,
            fast_interval,
            phase: Duration::from_millis((own + share) % length),
        }
    }

    /// The first moment for a target that is new at `now`: soon, and not the same for all.
    pub(crate) fn first(&self, now: Moment) -> Moment {
        now + self.phase / FIRST_SOONER
    }

    /// The next regular moment after `now`.
    pub(crate) fn next(&self, now: Moment) -> Moment {
        let length = milliseconds(self.interval).max(1);
        let phase = milliseconds(self.phase);
        let since_phase = (now.0 + length - phase % length) % length;
        Moment(now.0 + length - since_phase)
    }

    /// The next moment after a probe that began at `began` and disagreed with what is believed.
    pub(crate) fn soon(&self, began: Moment, now: Moment) -> Moment {
        (began + self.fast_interval).max(now)
    }
}

fn milliseconds(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(target: &str, place: usize) -> Schedule {
        Schedule::new(target, place, 3, Duration::from_secs(10), Duration::from_secs(1))
    }

    #[test]
    fn the_next_moment_is_an_interval_after_the_last_and_never_now() {
        let schedule = schedule("edge-ams-1/ipv4", 0);
        let first = schedule.next(Moment(1_000_000));
        assert!(first > Moment(1_000_000) && first <= Moment(1_010_000));
        assert_eq!(schedule.next(first), first + Duration::from_secs(10));
        assert_eq!(
            schedule.next(first + Duration::from_millis(1)),
            first + Duration::from_secs(10)
        );
        assert_eq!(schedule.next(first - Duration::from_millis(1)), first);
    }

    #[test]
    fn three_monitors_ask_a_third_of_the_interval_apart() {
        let mut moments: Vec<u64> = (0..3)
            .map(|place| schedule("a", place).next(Moment(7_777_777)).0)
            .collect();
        moments.sort_unstable();
        let gaps = [moments[1] - moments[0], moments[2] - moments[1]];
        assert!(gaps.iter().all(|gap| (3333..=3334).contains(gap)), "{gaps:?}");
    }

    #[test]
    fn targets_are_spread_over_the_interval() {
        let mut tenths = [0; 10];
        for number in 0..1000 {
            let at = schedule(&format!("edge-{number}/ipv4"), 0).next(Moment(0)).0 % 10_000;
            tenths[usize::try_from(at / 1000).unwrap()] += 1;
        }
        assert!(
            tenths.iter().all(|count| (60..=140).contains(count)),
            "{tenths:?}"
        );
    }

    #[test]
    fn what_disagrees_is_asked_again_a_second_after_it_was_asked() {
        let schedule = schedule("a", 0);
        let began = Moment(50_000);
        assert_eq!(schedule.soon(began, Moment(50_005)), Moment(51_000));
        assert_eq!(schedule.soon(began, Moment(52_000)), Moment(52_000));
    }
}
