//! Whether a node is reached over one family of addresses: so many failures to fall, so many successes and a hold-down
//! to rise.
//!
//! The hold-down counts from the *last failure*, so a node that answers every few seconds and fails in between does not
//! rise at all. It doubles with each fall that is remembered (RFC 2439 calls it a penalty), so one that keeps falling is
//! believed later and later. The fall that brought it down counts for as long as it is down.

use std::collections::VecDeque;
use std::time::Duration;

use model::Moment;
use model::health::Cause;

/// Falls remembered of one target: the hold-down has long reached its longest by then.
const FALLS_REMEMBERED: usize = 16;

/// When a node is given up, and when it is believed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    /// Failures in a row that bring it down.
    pub(crate) fall: u32,
    /// Successes in a row that it takes to come back.
    pub(crate) rise: u32,
    /// How long it must not have failed before it comes back, after its first fall.
    pub(crate) hold_down: Duration,
    /// The longest that doubling makes of it.
    pub(crate) longest_hold_down: Duration,
    /// How long a fall is remembered.
    pub(crate) memory: Duration,
}

/// What is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Belief {
    /// Nothing was seen yet, or too little.
    Unknown,
    Up,
    Down,
}

/// One family of one node.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    belief: Belief,
    failures: u32,
    successes: u32,
    last_failure: Option<Moment>,
    /// Why the failures in a row, while there are any; also the reason for being down.
    cause: Option<Cause>,
    falls: VecDeque<Moment>,
    /// It is down by the last of these falls, and not because it had said that it goes.
    fell: bool,
}

impl Reach {
    pub(crate) fn new() -> Reach {
        Reach {
            belief: Belief::Unknown,
            failures: 0,
            successes: 0,
            last_failure: None,
            cause: None,
            falls: VecDeque::new(),
            fell: false,
        }
    }

    pub(crate) fn belief(&self) -> Belief {
        self.belief
    }

    /// Whether the last that was seen is a failure.
    pub(crate) fn failing(&self) -> bool {
        self.failures > 0
    }

    /// Why it is down, or was last failing.
    pub(crate) fn cause(&self) -> Option<&Cause> {
        self.cause.as_ref()
    }

    /// Successes in a row while it is down: it seems to be back, and is not believed yet.
    pub(crate) fn recovering(&self) -> bool {
        self.belief == Belief::Down && self.successes > 0
    }

    /// It did not answer. `expected`: it had said that it goes, so this is no fall to be held against it.
    pub(crate) fn failed(&mut self, now: Moment, cause: Cause, expected: bool, patience: &Patience) {
        self.successes = 0;
        self.failures = self.failures.saturating_add(1);
        self.cause = Some(cause);
        if !expected {
            self.last_failure = Some(now);
        }
        if self.belief != Belief::Down && self.failures >= patience.fall {
            self.belief = Belief::Down;
            self.fell = !expected;
            if self.fell {
                self.forget(now, patience);
                if self.falls.len() == FALLS_REMEMBERED {
                    self.falls.pop_front();
                }
                self.falls.push_back(now);
            }
        }
    }

    /// A hint that it is gone, such as a lost stream: worth one failure, and no more than one, until a probe tells.
    pub(crate) fn suspected(&mut self, now: Moment, cause: Cause, patience: &Patience) {
        if self.failures == 0 && self.belief != Belief::Down {
            self.failed(now, cause, false, patience);
        }
    }

    /// It answered.
    pub(crate) fn succeeded(&mut self, now: Moment, patience: &Patience) {
        self.failures = 0;
        self.successes = self.successes.saturating_add(1);
        match self.belief {
            Belief::Unknown => self.rise(),
            Belief::Up => self.cause = None,
            Belief::Down if self.may_rise(now, patience) => self.rise(),
            Belief::Down => {}
        }
    }

    fn rise(&mut self) {
        self.belief = Belief::Up;
        self.fell = false;
        self.cause = None;
    }

    fn may_rise(&self, now: Moment, patience: &Patience) -> bool {
        let held = self
            .last_failure
            .is_some_and(|last| now.since(last) < self.hold_down(now, patience));
        self.successes >= patience.rise && !held
    }

    /// What was seen since then is not believed any more: a fall since then was none, and whether it is there is unknown
    /// until it is seen again. Whether there was such a fall.
    pub(crate) fn take_back(&mut self, since: Moment) -> bool {
        let fell = self.fell && self.falls.back().is_some_and(|fall| *fall >= since);
        if fell {
            self.falls.pop_back();
            match self.failing() {
                true => (self.belief, self.fell) = (Belief::Unknown, false),
                false => self.rise(),
            }
        }
        fell
    }

    /// How long it must not have failed, by the falls that are remembered.
    pub(crate) fn hold_down(&self, now: Moment, patience: &Patience) -> Duration {
        let remembered = self
            .falls
            .iter()
            .filter(|fall| now.since(**fall) < patience.memory)
            .count()
            .max(usize::from(self.fell));
        let Some(doublings) = remembered.checked_sub(1) else {
            return Duration::ZERO;
        };
        let factor = 2_u32.saturating_pow(u32::try_from(doublings).unwrap_or(u32::MAX));
        patience
            .hold_down
            .saturating_mul(factor)
            .min(patience.longest_hold_down)
    }

    fn forget(&mut self, now: Moment, patience: &Patience) {
        self.falls.retain(|fall| now.since(*fall) < patience.memory);
    }
}

#[cfg(test)]
mod tests {
    use model::health::CauseKind;

    use super::*;

    const PATIENCE: Patience = Patience {
        fall: 3,
        rise: 3,
        hold_down: Duration::from_secs(30),
        longest_hold_down: Duration::from_secs(300),
        memory: Duration::from_secs(3600),
    };

    fn cause() -> Cause {
        Cause::new(CauseKind::Refused, "refused")
    }

    fn second(count: u64) -> Moment {
        Moment::from_seconds(10_000 + count)
    }

    fn fallen() -> Reach {
        let mut reach = Reach::new();
        reach.succeeded(second(0), &PATIENCE);
        for at in 1..=3 {
            reach.failed(second(at), cause(), false, &PATIENCE);
        }
        reach
    }

    #[test]
    fn three_failures_in_a_row_bring_it_down_and_two_do_not() {
        let mut reach = Reach::new();
        assert_eq!(reach.belief(), Belief::Unknown);
        reach.succeeded(second(0), &PATIENCE);
        assert_eq!(reach.belief(), Belief::Up);
        for at in [1, 2] {
            reach.failed(second(at), cause(), false, &PATIENCE);
        }
        assert!(reach.failing());
        reach.succeeded(second(3), &PATIENCE);
        reach.failed(second(4), cause(), false, &PATIENCE);
        assert_eq!(reach.belief(), Belief::Up);
        assert_eq!(fallen().belief(), Belief::Down);
    }

    #[test]
    fn a_lost_stream_is_worth_one_failure_however_often_it_is_told() {
        let mut reach = Reach::new();
        reach.succeeded(second(0), &PATIENCE);
        for at in 1..10 {
            reach.suspected(second(at), cause(), &PATIENCE);
        }
        assert_eq!(reach.belief(), Belief::Up);
        for at in [10, 11] {
            reach.failed(second(at), cause(), false, &PATIENCE);
        }
        assert_eq!(reach.belief(), Belief::Down);
    }

    #[test]
    fn it_rises_when_it_has_not_failed_for_the_hold_down() {
        let mut reach = fallen();
        for at in 4..33 {
            reach.succeeded(second(at), &PATIENCE);
            assert_eq!(reach.belief(), Belief::Down, "at {at}");
        }
        reach.succeeded(second(33), &PATIENCE);
        assert_eq!(reach.belief(), Belief::Up);
        assert_eq!(reach.cause(), None);
    }

    #[test]
    fn the_hold_down_doubles_with_each_fall_up_to_the_longest_and_is_forgotten() {
        let mut reach = Reach::new();
        let mut now = 0;
        let mut held = Vec::new();
        for _ in 0..6 {
            for _ in 0..3 {
                now += 1;
                reach.failed(second(now), cause(), false, &PATIENCE);
            }
            held.push(reach.hold_down(second(now), &PATIENCE).as_secs());
            let last = now;
            while reach.belief() == Belief::Down {
                now += 1;
                reach.succeeded(second(now), &PATIENCE);
            }
            assert_eq!(now - last, held[held.len() - 1].max(3));
        }
        assert_eq!(held, [30, 60, 120, 240, 300, 300]);
        assert_eq!(reach.hold_down(second(now + 3600), &PATIENCE), Duration::ZERO);
    }

    #[test]
    fn what_is_down_for_longer_than_a_fall_is_remembered_is_held_down_all_the_same() {
        let mut reach = fallen();
        let back = PATIENCE.memory.as_secs() * 2;
        for at in (10..back).step_by(10) {
            reach.failed(second(at), cause(), false, &PATIENCE);
        }
        let held = PATIENCE.hold_down.as_secs() - 10;
        for at in back..back + held {
            reach.succeeded(second(at), &PATIENCE);
            assert_eq!(reach.belief(), Belief::Down, "at {at}");
        }
        reach.succeeded(second(back + held), &PATIENCE);
        assert_eq!(reach.belief(), Belief::Up);
    }

    #[test]
    fn a_fall_that_is_taken_back_leaves_nothing_but_the_last_probe() {
        for answers_again in [true, false] {
            let mut reach = fallen();
            if answers_again {
                reach.succeeded(second(4), &PATIENCE);
            }
            assert!(!reach.take_back(second(4)), "it fell before");
            assert_eq!(reach.belief(), Belief::Down);
            assert!(reach.take_back(second(3)));
            let (belief, next) = match answers_again {
                true => (Belief::Up, Belief::Up),
                false => (Belief::Unknown, Belief::Down),
            };
            assert_eq!(reach.belief(), belief);
            assert_eq!(reach.hold_down(second(5), &PATIENCE), Duration::ZERO);
            reach.failed(second(5), cause(), false, &PATIENCE);
            assert_eq!(reach.belief(), next);
        }
    }

    #[test]
    fn one_that_said_it_goes_is_not_held_down_when_it_is_back() {
        let mut reach = Reach::new();
        reach.succeeded(second(0), &PATIENCE);
        for at in 1..=3 {
            reach.failed(second(at), cause(), true, &PATIENCE);
        }
        assert_eq!(reach.belief(), Belief::Down);
        // Its successor has said that it is there, and does not listen yet.
        reach.failed(second(3), cause(), false, &PATIENCE);
        for at in 4..=6 {
            reach.succeeded(second(at), &PATIENCE);
        }
        assert_eq!(reach.belief(), Belief::Up);
    }
}
