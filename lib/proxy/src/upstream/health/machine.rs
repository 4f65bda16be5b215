//! The health of one upstream as a state machine; pure, with `now` as an argument.
//!
//! ```text
//!        N failures in a row              the pause is over, one asks
//!   up ───────────────────────→ down (resting) ─────────────────────→ down (probing)
//!    ↑                            ↑      it fails: the pause doubles        │   │
//!    │                            └─────────────────────────────────────────┘   │
//!    └──────────────────────────────── it succeeds ─────────────────────────────┘
//! ```

use std::time::Duration;

use model::Moment;

/// When an upstream is given up and how long it is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Failures in a row that mark it down; at least 1.
    pub failures: u32,
    /// How long it is left alone the first time.
    pub first_pause: Duration,
    /// The pause doubles with every probe that fails, up to this.
    pub longest_pause: Duration,
}

/// What may be asked of an upstream now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Anything.
    Up,
    /// One request, as a probe: its pause is over.
    Due,
    /// Nothing until its pause is over.
    Resting,
    /// Nothing: somebody probes it.
    Probing,
}

/// How a request came to be sent to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// It was up.
    Ordinary,
    /// Its pause was over and nobody else probed it.
    Probe,
    /// It was down like all the others, and the likeliest to be back.
    LastResort,
}

/// What an operator wants to hear of, once each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was given up for so long.
    WentDown(Duration),
    /// A probe failed; it is left alone for so long.
    StaysDown(Duration),
    /// It answers again.
    CameBack,
}

/// The state of one upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    state: State,
    last_failure: Option<Moment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Up {
        failures: u32,
    },
    Down {
        until: Moment,
        pause: Duration,
        probing: bool,
    },
}

impl Default for Machine {
    /// An upstream is taken for healthy until it fails.
    fn default() -> Machine {
        Machine {
            state: State::Up { failures: 0 },
            last_failure: None,
        }
    }
}

impl Machine {
    /// What may be asked of it.
    #[must_use]
    pub fn standing(&self, now: Moment) -> Standing {
        match self.state {
            State::Up { .. } => Standing::Up,
            State::Down { probing: true, .. } => Standing::Probing,
            State::Down { until, .. } if now < until => Standing::Resting,
            State::Down { .. } => Standing::Due,
        }
    }

    /// When it failed last.
    #[must_use]
    pub fn last_failure(&self) -> Option<Moment> {
        self.last_failure
    }

    /// Whether it is up and its last answer was a good one: then a success changes nothing.
    #[must_use]
    pub fn is_spotless(&self) -> bool {
        self.state == State::Up { failures: 0 }
    }

    /// When it may be probed; `None` when it is up or being probed.
    #[must_use]
    pub fn resting_until(&self) -> Option<Moment> {
        match self.state {
            State::Down {
                until,
                probing: false,
                ..
            } => Some(until),
            _ => None,
        }
    }

    /// Whether a request may go to it, and as what.
    pub fn admit(&mut self, now: Moment) -> Option<Errand> {
        match self.standing(now) {
            Standing::Up => Some(Errand::Ordinary),
            Standing::Due => {
                self.set_probing(true);
                Some(Errand::Probe)
            }
            Standing::Resting | Standing::Probing => None,
        }
    }

    /// As what a request goes to it that has no better place to go.
    pub fn admit_anyway(&mut self, now: Moment) -> Errand {
        self.admit(now).unwrap_or(Errand::LastResort)
    }

    /// It answered. What was sent before it went down says nothing of how it is now.
    pub fn succeeded(&mut self, errand: Errand) -> Option<Event> {
        let was_down = matches!(self.state, State::Down { .. });
        if was_down && errand == Errand::Ordinary {
            return None;
        }
        self.state = State::Up { failures: 0 };
        was_down.then_some(Event::CameBack)
    }

    /// It did not answer, or not properly.
    pub fn failed(&mut self, errand: Errand, now: Moment, policy: &Policy) -> Option<Event> {
        self.last_failure = self.last_failure.max(Some(now));
        match self.state {
            State::Up { failures } if failures + 1 < policy.failures => {
                self.state = State::Up {
                    failures: failures + 1,
                };
                None
            }
            State::Up { .. } => {
                let pause = policy.first_pause.min(policy.longest_pause);
                self.state = State::Down {
                    until: now + pause,
                    pause,
                    probing: false,
                };
                Some(Event::WentDown(pause))
            }
            State::Down { pause, .. } if errand == Errand::Probe => {
                let pause = pause.saturating_mul(2).min(policy.longest_pause);
                self.state = State::Down {
                    until: now + pause,
                    pause,
                    probing: false,
                };
                Some(Event::StaysDown(pause))
            }
            // It was down already; only probes lengthen the pause, or a busy minute would make it the longest.
            State::Down { .. } => None,
        }
    }

    /// The one who asked went away without having learned anything.
    pub fn abandoned(&mut self, errand: Errand) {
        if errand == Errand::Probe {
            self.set_probing(false);
        }
    }

    fn set_probing(&mut self, now_probing: bool) {
        if let State::Down { probing, .. } = &mut self.state {
            *probing = now_probing;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy {
        failures: 3,
        first_pause: Duration::from_secs(1),
        longest_pause: Duration::from_secs(4),
    };

    fn at(seconds: u64) -> Moment {
        Moment::from_seconds(seconds)
    }

    fn down() -> Machine {
        let mut machine = Machine::default();
        for _ in 0..3 {
            machine.failed(Errand::Ordinary, at(10), &POLICY);
        }
        machine
    }

    #[test]
    fn three_failures_in_a_row_mark_it_down_and_a_success_between_starts_anew() {
        let mut machine = Machine::default();
        assert_eq!(machine.failed(Errand::Ordinary, at(1), &POLICY), None);
        assert_eq!(machine.failed(Errand::Ordinary, at(2), &POLICY), None);
        assert!(!machine.is_spotless());
        assert_eq!(machine.succeeded(Errand::Ordinary), None);
        assert!(machine.is_spotless());
        assert_eq!(machine.failed(Errand::Ordinary, at(3), &POLICY), None);
        assert_eq!(machine.failed(Errand::Ordinary, at(4), &POLICY), None);
        assert_eq!(machine.standing(at(4)), Standing::Up);
        let event = machine.failed(Errand::Ordinary, at(5), &POLICY);
        assert_eq!(event, Some(Event::WentDown(Duration::from_secs(1))));
        assert_eq!(machine.standing(at(5)), Standing::Resting);
        assert_eq!(machine.resting_until(), Some(at(6)));
        assert_eq!(machine.last_failure(), Some(at(5)));
    }

    #[test]
    fn the_pause_doubles_with_every_failed_probe_up_to_the_longest() {
        let mut machine = down();
        let mut now = 10;
        for (pause, next) in [(1, 2), (2, 4), (4, 4), (4, 4)] {
            assert_eq!(
                machine.admit(at(now + pause - 1)),
                None,
                "before the pause of {pause} s is over"
            );
            now += pause;
            assert_eq!(machine.admit(at(now)), Some(Errand::Probe));
            let event = machine.failed(Errand::Probe, at(now), &POLICY);
            assert_eq!(event, Some(Event::StaysDown(Duration::from_secs(next))));
        }
    }

    #[test]
    fn exactly_one_request_probes_it() {
        let mut machine = down();
        assert_eq!(machine.standing(at(11)), Standing::Due);
        assert_eq!(machine.admit(at(11)), Some(Errand::Probe));
        assert_eq!(machine.standing(at(11)), Standing::Probing);
        assert_eq!(machine.admit(at(99)), None, "however long the probe takes");
        assert_eq!(machine.succeeded(Errand::Probe), Some(Event::CameBack));
        assert_eq!(machine.admit(at(99)), Some(Errand::Ordinary));
        assert!(machine.is_spotless());
    }

    #[test]
    fn a_probe_that_is_abandoned_leaves_its_place_to_the_next() {
        let mut machine = down();
        assert_eq!(machine.admit(at(11)), Some(Errand::Probe));
        machine.abandoned(Errand::Probe);
        assert_eq!(machine.standing(at(11)), Standing::Due);
        assert_eq!(machine.admit(at(11)), Some(Errand::Probe));
    }

    #[test]
    fn what_was_sent_before_it_went_down_neither_heals_it_nor_lengthens_its_pause() {
        let mut machine = down();
        assert_eq!(machine.succeeded(Errand::Ordinary), None);
        assert_eq!(machine.failed(Errand::Ordinary, at(10), &POLICY), None);
        assert_eq!(machine.resting_until(), Some(at(11)));
        // Nor while it is probed.
        assert_eq!(machine.admit(at(11)), Some(Errand::Probe));
        assert_eq!(machine.failed(Errand::Ordinary, at(11), &POLICY), None);
        assert_eq!(machine.standing(at(11)), Standing::Probing);
    }

    #[test]
    fn a_last_resort_heals_it_but_does_not_lengthen_its_pause() {
        let mut machine = down();
        assert_eq!(machine.admit_anyway(at(10)), Errand::LastResort);
        assert_eq!(machine.failed(Errand::LastResort, at(10), &POLICY), None);
        assert_eq!(machine.resting_until(), Some(at(11)));
        assert_eq!(machine.succeeded(Errand::LastResort), Some(Event::CameBack));
        // When its pause is over, a last resort is the probe.
        assert_eq!(down().admit_anyway(at(11)), Errand::Probe);
        assert_eq!(Machine::default().admit_anyway(at(0)), Errand::Ordinary);
    }

    #[test]
    fn a_policy_of_one_failure_and_a_short_longest_pause_is_kept() {
        let policy = Policy {
            failures: 1,
            first_pause: Duration::from_secs(9),
            ..POLICY
        };
        let event = Machine::default().failed(Errand::Ordinary, at(1), &policy);
        assert_eq!(event, Some(Event::WentDown(Duration::from_secs(4))));
    }
}
