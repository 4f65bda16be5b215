//! How well a device is: a state machine that is told what was seen and what time it is, and touches nothing.
//!
//! ```text
//!            errors, slowness            a write fails
//!  Healthy ───────────────────→ Suspect ───────────────→ ReadOnly      Healthy, Suspect, ReadOnly
//!     ↑ ←─────────────────────────┘                         │               │ gone, stuck, changed,
//!     │       a clean minute                                │               ↓ too many errors
//!     └──────── a probe finds it well ──────────────────────┴────────── Offline
//! ```
//!
//! Time is a [`Duration`] since any fixed moment. Every way out of a state leads back to `Healthy` in the end; nothing
//! is remembered over a restart.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// From how much trouble on a device is in which state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tolerance {
    /// How far back errors and slow operations count. 1 minute.
    pub window: Duration,
    /// Errors within the window that make a device suspect. 5.
    pub suspect_errors: u64,
    /// Errors within the window that put it offline. 50.
    pub offline_errors: u64,
    /// An operation that takes longer is slow. When more than one in a hundred within the window is (the 99th
    /// percentile is above this), and not only one or two, the device is suspect. 1 s.
    pub slow: Duration,
    /// A read or write that has not ended after this long is stuck, and its device is put offline. 5 s.
    pub stuck: Duration,
    /// The same for a flush, which waits for everything that others wrote to the drive as well. 30 s.
    pub stuck_flush: Duration,
    /// How often a device that is read-only or offline is probed. 30 s.
    pub probe_interval: Duration,
    /// How often a device in use is asked whether it is still the one that was opened: 4 KiB are read. 5 s.
    pub look_interval: Duration,
    /// How often all this is judged. 250 ms.
    pub tick: Duration,
}

impl Default for Tolerance {
    fn default() -> Tolerance {
        Tolerance {
            window: Duration::from_secs(60),
            suspect_errors: 5,
            offline_errors: 50,
            slow: Duration::from_secs(1),
            stuck: Duration::from_secs(5),
            stuck_flush: Duration::from_secs(30),
            probe_interval: Duration::from_secs(30),
            look_interval: Duration::from_secs(5),
            tick: Duration::from_millis(250),
        }
    }
}

/// Slow operations below this number are accidents, however few others there were.
const LEAST_SLOW: u64 = 3;
/// Samples kept of one window: its resolution.
const SAMPLES: u32 = 60;

/// What may be done with a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Read and written.
    Healthy,
    /// Read and written, but it makes errors or is slow.
    Suspect,
    /// Read; what would be written goes to the others.
    ReadOnly,
    /// Neither; what it holds is a miss until it is back.
    Offline,
}

impl State {
    /// All of them, best first.
    pub const ALL: [State; 4] = [State::Healthy, State::Suspect, State::ReadOnly, State::Offline];

    /// As metrics and the log name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            State::Healthy => "healthy",
            State::Suspect => "suspect",
            State::ReadOnly => "read_only",
            State::Offline => "offline",
        }
    }

    /// Whether new objects may go there.
    #[must_use]
    pub fn is_written(self) -> bool {
        matches!(self, State::Healthy | State::Suspect)
    }
}

/// What a device does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Read,
    Write,
    Flush,
}

impl Operation {
    pub(super) const ALL: [Operation; 3] = [Operation::Read, Operation::Write, Operation::Flush];

    pub(super) fn name(self) -> &'static str {
        match self {
            Operation::Read => "read",
            Operation::Write => "write",
            Operation::Flush => "flush",
        }
    }
}

/// What was seen of a device since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Operations that ended.
    pub operations: u64,
    /// Those of them that were slow.
    pub slow: u64,
    /// Reads that failed.
    pub read_errors: u64,
    /// Writes and flushes that failed.
    pub write_errors: u64,
    /// Those of them that found no room.
    pub full: u64,
    /// Those of them that found the device or its file system protected against writing.
    pub protected: u64,
    /// Operations that found no device, or its end before where it should be.
    pub gone: u64,
    /// What has not ended for the longest time, and for how long.
    pub oldest: Option<(Operation, Duration)>,
}

impl Seen {
    fn errors(&self) -> u64 {
        self.read_errors + self.write_errors
    }
}

/// Why a device changes its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Errors within the window.
    Errors(u64),
    /// Slow operations within the window, of how many.
    Slow { slow: u64, operations: u64 },
    /// A window without an error.
    Recovered,
    /// A write found no room.
    Full,
    /// A write found the device protected.
    Protected,
    /// A write or flush failed.
    WriteFailed,
    /// An operation does not end.
    Stuck(Operation, Duration),
    /// It is not there any more, or shorter than it was.
    Gone,
    /// It carries another mark than the one it was opened with, or none.
    Changed,
    /// It cannot be opened: why.
    Unopened(String),
    /// A probe found it well, and what it holds is served again.
    Rejoined,
    /// A probe found it well; it was wiped, for this reason, and starts empty.
    Wiped(&'static str),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Errors(count) => write!(f, "{count} errors within a minute"),
            Cause::Slow { slow, operations } => write!(f, "{slow} of {operations} operations were slow"),
            Cause::Recovered => f.write_str("no error for a minute"),
            Cause::Full => f.write_str("a write found no room"),
            Cause::Protected => f.write_str("it is protected against writing"),
            Cause::WriteFailed => f.write_str("a write or flush failed"),
            Cause::Stuck(operation, time) => {
                write!(f, "a {} has not ended for {time:.1?}", operation.name())
            }
            Cause::Gone => f.write_str("it is gone, or shorter than it was"),
            Cause::Changed => f.write_str("something else has written over it"),
            Cause::Unopened(error) => write!(f, "it cannot be opened: {error}"),
            Cause::Rejoined => f.write_str("a probe found it well; what it holds is served again"),
            Cause::Wiped(reason) => write!(f, "a probe found it well; wiped, because {reason}"),
        }
    }
}

/// One change of state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    pub from: State,
    pub to: State,
    pub cause: Cause,
}

impl Transition {
    /// What an operator may do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match (&self.to, &self.cause) {
            (_, Cause::Slow { .. }) => "nothing is lost; see what else uses the drive, and its SMART data",
            (State::Suspect, _) => "nothing is lost; look at the kernel log and the drive's SMART data",
            (_, Cause::Full) => "make room on the file system of the cache file, or configure a smaller size",
            (_, Cause::Protected) => {
                "mount the file system writable, or replace the drive if it protected itself"
            }
            (State::ReadOnly, _) => {
                "it is read, not written; look at the kernel log, replace the drive if it stays"
            }
            (_, Cause::Stuck(..)) => "look at the kernel log and the controller; the drive may need a reset",
            (_, Cause::Gone) => "put the drive or the file back; it is probed and joins by itself",
            (_, Cause::Changed) => "find out who else uses this device; it is wiped and joins by itself",
            (_, Cause::Unopened(_)) => "correct what the message says; it is probed and joins by itself",
            (State::Offline, _) => "replace the drive if it stays; only its share of hits is lost",
            (State::Healthy, _) => "nothing to do",
        }
    }
}

/// What came of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probed {
    /// It is well and open; why it was wiped, if it was.
    Open { wiped: Option<&'static str> },
    /// It still cannot be used as before.
    Unchanged,
    /// It was closed to be opened anew, and that failed.
    Lost(String),
}

/// The state of one device, and what leads to the next.
#[derive(Debug)]
pub struct Health {
    tolerance: Tolerance,
    state: State,
    /// What had been seen at moments of the window, oldest first; the first may be older than the window.
    samples: VecDeque<(Duration, Seen)>,
    probe_at: Duration,
}

impl Health {
    /// A device that was just opened.
    #[must_use]
    pub fn healthy(tolerance: Tolerance, now: Duration) -> Health {
        Health {
            state: State::Healthy,
            samples: VecDeque::from([(now, Seen::default())]),
            probe_at: now,
            tolerance,
        }
    }

    /// A device that cannot be opened.
    #[must_use]
    pub fn offline(tolerance: Tolerance, now: Duration) -> Health {
        Health {
            state: State::Offline,
            probe_at: now + tolerance.probe_interval,
            ..Health::healthy(tolerance, now)
        }
    }

    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    #[must_use]
    pub fn tolerance(&self) -> &Tolerance {
        &self.tolerance
    }

    /// Judges a device that is open by what was seen since it was opened.
    pub fn judge(&mut self, now: Duration, seen: &Seen) -> Option<Transition> {
        if self.state == State::Offline {
            return None;
        }
        let (to, cause) = self.verdict(now, seen)?;
        Some(self.change(now, to, cause))
    }

    /// What a look at the device found: it is not the one that was opened.
    pub fn changed(&mut self, now: Duration) -> Option<Transition> {
        (self.state != State::Offline).then(|| self.change(now, State::Offline, Cause::Changed))
    }

    /// Whether it is time to probe.
    #[must_use]
    pub fn wants_probe(&self, now: Duration) -> bool {
        matches!(self.state, State::ReadOnly | State::Offline) && now >= self.probe_at
    }

    /// Judges what a probe found.
    pub fn probed(&mut self, now: Duration, probed: Probed) -> Option<Transition> {
        self.probe_at = now + self.tolerance.probe_interval;
        match probed {
            Probed::Open { wiped } => {
                // The counts of what was opened begin at nothing.
                self.samples = VecDeque::from([(now, Seen::default())]);
                let cause = wiped.map_or(Cause::Rejoined, Cause::Wiped);
                Some(self.change(now, State::Healthy, cause))
            }
            Probed::Lost(error) if self.state != State::Offline => {
                Some(self.change(now, State::Offline, Cause::Unopened(error)))
            }
            Probed::Lost(_) | Probed::Unchanged => None,
        }
    }

    fn change(&mut self, now: Duration, to: State, cause: Cause) -> Transition {
        let from = std::mem::replace(&mut self.state, to);
        self.probe_at = now + self.tolerance.probe_interval;
        Transition { from, to, cause }
    }

    fn verdict(&mut self, now: Duration, seen: &Seen) -> Option<(State, Cause)> {
        let before = self.window_start(now, seen);
        let errors = seen.errors() - before.errors();
        if seen.gone > 0 {
            return Some((State::Offline, Cause::Gone));
        }
        if let Some((operation, time)) = self.stuck(seen) {
            return Some((State::Offline, Cause::Stuck(operation, time)));
        }
        if errors >= self.tolerance.offline_errors {
            return Some((State::Offline, Cause::Errors(errors)));
        }
        if self.state == State::ReadOnly {
            return None;
        }
        if seen.write_errors > 0 {
            // Since it was opened: the log ends with the first.
            let cause = match (seen.full, seen.protected) {
                (0, 0) => Cause::WriteFailed,
                (0, _) => Cause::Protected,
                _ => Cause::Full,
            };
            return Some((State::ReadOnly, cause));
        }
        let slow = seen.slow - before.slow;
        let operations = seen.operations - before.operations;
        let is_slow = slow >= LEAST_SLOW && slow * 100 > operations;
        match self.state {
            State::Healthy if errors >= self.tolerance.suspect_errors => {
                Some((State::Suspect, Cause::Errors(errors)))
            }
            State::Healthy if is_slow => Some((State::Suspect, Cause::Slow { slow, operations })),
            State::Suspect if errors == 0 && !is_slow => Some((State::Healthy, Cause::Recovered)),
            _ => None,
        }
    }

    fn stuck(&self, seen: &Seen) -> Option<(Operation, Duration)> {
        let (operation, time) = seen.oldest?;
        let bound = match operation {
            Operation::Flush => self.tolerance.stuck_flush,
            Operation::Read | Operation::Write => self.tolerance.stuck,
        };
        (time > bound).then_some((operation, time))
    }

    /// What had been seen when the window began. Keeps `seen` for windows to come.
    fn window_start(&mut self, now: Duration, seen: &Seen) -> Seen {
        let begin = now.saturating_sub(self.tolerance.window);
        while self.samples.len() > 1 && self.samples[1].0 <= begin {
            self.samples.pop_front();
        }
        let newest = self.samples.back().map_or(Duration::ZERO, |(at, _)| *at);
        if now >= newest + self.tolerance.window / SAMPLES {
            self.samples.push_back((now, *seen));
        }
        self.samples.front().map_or(*seen, |(_, seen)| *seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn opened() -> Health {
        Health::healthy(Tolerance::default(), Duration::ZERO)
    }

    fn reads_failed(count: u64) -> Seen {
        Seen {
            operations: 1000 + count,
            read_errors: count,
            ..Seen::default()
        }
    }

    #[test]
    fn five_errors_within_a_minute_make_it_suspect_and_a_clean_minute_healthy_again() {
        let mut health = opened();
        assert_eq!(health.judge(seconds(1), &reads_failed(4)), None);
        let transition = health.judge(seconds(2), &reads_failed(5)).expect("suspect");
        assert_eq!((transition.from, transition.to), (State::Healthy, State::Suspect));
        assert_eq!(transition.cause, Cause::Errors(5));
        assert_eq!(
            health.judge(seconds(61), &reads_failed(5)),
            None,
            "still remembered"
        );
        let transition = health.judge(seconds(64), &reads_failed(5)).expect("healthy");
        assert_eq!(
            (transition.to, transition.cause),
            (State::Healthy, Cause::Recovered)
        );
    }

    #[test]
    fn errors_that_come_slower_than_five_a_minute_change_nothing() {
        let mut health = opened();
        for count in 0..100 {
            assert_eq!(
                health.judge(seconds(16 * count), &reads_failed(count)),
                None,
                "{count}"
            );
        }
    }

    #[test]
    fn fifty_errors_within_a_minute_put_it_offline_until_a_probe_finds_it_well() {
        let mut health = opened();
        health.judge(seconds(1), &reads_failed(30)).expect("suspect");
        let transition = health.judge(seconds(10), &reads_failed(50)).expect("offline");
        assert_eq!((transition.from, transition.to), (State::Suspect, State::Offline));
        assert_eq!(health.judge(seconds(11), &reads_failed(90)), None);
        assert!(!health.wants_probe(seconds(39)));
        assert!(health.wants_probe(seconds(40)));
        assert_eq!(health.probed(seconds(41), Probed::Unchanged), None);
        assert!(!health.wants_probe(seconds(70)));
        assert!(health.wants_probe(seconds(71)));
        let back = health
            .probed(seconds(72), Probed::Open { wiped: None })
            .expect("back");
        assert_eq!((back.to, back.cause), (State::Healthy, Cause::Rejoined));
        assert_eq!(
            health.judge(seconds(73), &reads_failed(4)),
            None,
            "counts begin anew"
        );
    }

    #[test]
    fn one_failed_write_makes_it_read_only_and_says_why() {
        for (full, protected, cause) in [
            (1, 0, Cause::Full),
            (0, 1, Cause::Protected),
            (0, 0, Cause::WriteFailed),
        ] {
            let seen = Seen {
                write_errors: 1,
                full,
                protected,
                ..Seen::default()
            };
            let mut health = opened();
            let transition = health.judge(seconds(1), &seen).expect("read-only");
            assert_eq!((transition.to, transition.cause), (State::ReadOnly, cause));
            assert!(!transition.to.is_written());
            assert_eq!(
                health.judge(seconds(100), &seen),
                None,
                "no clean minute mends it"
            );
            assert!(health.wants_probe(seconds(100)));
            let lost = health.probed(seconds(100), Probed::Lost("no".to_owned()));
            assert_eq!(lost.map(|lost| lost.to), Some(State::Offline));
        }
    }

    #[test]
    fn what_is_gone_or_stuck_or_changed_is_offline_at_once() {
        let stuck = |operation, time| Seen {
            oldest: Some((operation, time)),
            ..Seen::default()
        };
        assert_eq!(
            opened().judge(seconds(9), &stuck(Operation::Read, seconds(5))),
            None
        );
        assert_eq!(
            opened().judge(seconds(9), &stuck(Operation::Flush, seconds(29))),
            None
        );
        for seen in [
            stuck(Operation::Read, seconds(6)),
            stuck(Operation::Write, seconds(6)),
            stuck(Operation::Flush, seconds(31)),
            Seen {
                gone: 1,
                ..Seen::default()
            },
        ] {
            let transition = opened().judge(seconds(40), &seen).expect("offline");
            assert_eq!(transition.to, State::Offline, "{seen:?}");
        }
        let mut health = opened();
        assert_eq!(
            health.changed(seconds(1)).map(|change| change.to),
            Some(State::Offline)
        );
        assert_eq!(health.changed(seconds(2)), None);
    }

    #[test]
    fn it_is_suspect_when_more_than_one_in_a_hundred_is_slow_but_not_for_an_accident() {
        let slow = |slow, operations| Seen {
            slow,
            operations,
            ..Seen::default()
        };
        assert_eq!(opened().judge(seconds(1), &slow(2, 2)), None);
        assert_eq!(opened().judge(seconds(1), &slow(10, 1000)), None);
        let transition = opened().judge(seconds(1), &slow(11, 1000)).expect("suspect");
        assert_eq!(
            (transition.to, transition.cause),
            (
                State::Suspect,
                Cause::Slow {
                    slow: 11,
                    operations: 1000
                }
            )
        );
    }

    #[test]
    fn every_transition_names_its_cause_and_what_to_do() {
        for to in State::ALL {
            for cause in [Cause::Errors(7), Cause::Gone, Cause::Full, Cause::Rejoined] {
                let transition = Transition {
                    from: State::Healthy,
                    to,
                    cause,
                };
                assert!(!transition.advice().is_empty() && !transition.cause.to_string().is_empty());
            }
        }
    }

    proptest! {
        /// Whatever happened, a device that is well again is healthy after a probe and a clean window.
        #[test]
        fn every_state_is_left_again(steps in prop::collection::vec((0u64..40, 0u64..60, 0u64..3, 0u64..2, 0u64..8), 1..60)) {
            let mut health = opened();
            let mut now = Duration::ZERO;
            let mut seen = Seen::default();
            for (pause, errors, write_errors, gone, stuck) in steps {
                now += seconds(pause);
                seen.read_errors += errors;
                seen.write_errors += write_errors;
                seen.gone += gone;
                seen.oldest = Some((Operation::Write, seconds(stuck)));
                seen.operations += 10;
                health.judge(now, &seen);
                prop_assert!(health.samples.len() <= SAMPLES as usize + 2);
            }
            seen.oldest = None;
            now += seconds(61);
            health.judge(now, &seen);
            now += seconds(61);
            health.judge(now, &seen);
            if health.state() != State::Healthy {
                prop_assert!(health.wants_probe(now), "{:?}", health.state());
                health.probed(now, Probed::Open { wiped: None });
            }
            prop_assert_eq!(health.state(), State::Healthy);
        }
    }
}
