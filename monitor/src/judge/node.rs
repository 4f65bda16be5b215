//! Everything that is known of one node, and the state that follows from it.

use model::Moment;
use model::health::{Beat, Cause, CauseKind, DiskCounts, FamilyView, NodeView, State};

use super::Policy;
use super::reach::{Belief, Reach};
use super::strain::{Reading, Strains};

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    /// As metrics and the log name it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Family::V4 => "ipv4",
            Family::V6 => "ipv6",
        }
    }
}

/// One node at the bar.
#[derive(Clone, Debug)]
pub(crate) struct NodeJudge {
    ipv4: Option<Reach>,
    ipv6: Option<Reach>,
    strains: Strains,
    /// The process that said it goes; another one is taken at its own word.
    draining: Option<Draining>,
    /// When it came back from being down; what was never down starts with its whole share.
    back: Option<Moment>,
    /// Since when its probes fail, while they do.
    failing_since: Option<Moment>,
    state: State,
    since: Moment,
}

/// A node that sees its clients out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Draining {
    /// When its process started, where it was told.
    started: Option<u64>,
}

impl NodeJudge {
    /// A node that has these families of addresses, and of which nothing is known.
    pub(crate) fn new(now: Moment, families: &[Family]) -> NodeJudge {
        let reach = |family| families.contains(&family).then(Reach::new);
        NodeJudge {
            ipv4: reach(Family::V4),
            ipv6: reach(Family::V6),
            strains: Strains::default(),
            draining: None,
            back: None,
            failing_since: None,
            state: State::Unknown,
            since: now,
        }
    }

    /// Its addresses changed: a family that is new is unknown, one that is gone is forgotten.
    pub(crate) fn set_families(&mut self, families: &[Family]) {
        for (family, reach) in [(Family::V4, &mut self.ipv4), (Family::V6, &mut self.ipv6)] {
            match families.contains(&family) {
                true => drop(reach.get_or_insert_with(Reach::new)),
                false => *reach = None,
            }
        }
    }

    /// It answered a probe, as a process that was started then if it says.
    pub(crate) fn answered(&mut self, now: Moment, family: Family, started: Option<u64>, policy: &Policy) {
        // One that serves does not drain, unless this very process has said so meanwhile on its stream.
        self.draining = self
            .draining
            .filter(|draining| draining.started.is_some() && draining.started == started);
        self.delivered(now, family, policy);
    }

    /// It gave an object as it should: it is there, whether it wants new clients or not.
    pub(crate) fn delivered(&mut self, now: Moment, family: Family, policy: &Policy) {
        if let Some(reach) = self.reach_mut(family) {
            reach.succeeded(now, &policy.patience);
        }
        self.settle(now);
    }

    /// It answered a probe, saying that it drains: it is there, and does not want new clients.
    pub(crate) fn answered_draining(&mut self, now: Moment, family: Family, policy: &Policy) {
        self.draining.get_or_insert(Draining { started: None });
        self.delivered(now, family, policy);
    }

    /// A probe failed.
    pub(crate) fn failed(&mut self, now: Moment, family: Family, cause: Cause, policy: &Policy) {
        let expected = self.draining.is_some();
        if let Some(reach) = self.reach_mut(family) {
            reach.failed(now, cause, expected, &policy.patience);
        }
        self.settle(now);
    }

    /// Its stream of heartbeats broke off or fell silent.
    pub(crate) fn lost_stream(&mut self, now: Moment, cause: &Cause, policy: &Policy) {
        if self.draining.is_some() {
            return;
        }
        for reach in [&mut self.ipv4, &mut self.ipv6].into_iter().flatten() {
            reach.suspected(now, cause.clone(), &policy.patience);
        }
        self.settle(now);
    }

    /// What this monitor saw since then is not believed any more: no fall since then is held against the node, and none
    /// is followed by a slow start. Whether there was one.
    pub(crate) fn take_back(&mut self, now: Moment, since: Moment) -> bool {
        let mut fell = false;
        for reach in [&mut self.ipv4, &mut self.ipv6].into_iter().flatten() {
            fell |= reach.take_back(since);
        }
        if fell && self.state == State::Down {
            (self.state, self.since) = (State::Unknown, now);
        }
        fell
    }

    /// It said how it is.
    pub(crate) fn heard(&mut self, now: Moment, beat: &Beat) {
        if beat.draining {
            self.draining = Some(Draining {
                started: Some(beat.started),
            });
        } else if beat.ready {
            self.draining = None;
        }
        self.strains.hear_of_disks(beat.disks);
        self.settle(now);
    }

    /// It said, in answer to a probe, how its devices are.
    pub(crate) fn told_of_disks(&mut self, disks: DiskCounts) {
        self.strains.hear_of_disks(disks);
    }

    /// Its metrics were read; `None`: they could not be.
    pub(crate) fn measured(&mut self, reading: Option<Reading>, policy: &Policy) {
        match reading {
            Some(reading) => self.strains.read(reading, &policy.limits),
            None => self.strains.lost_sight(),
        }
    }

    /// Since when its probes fail, while they do.
    pub(crate) fn failing_since(&self) -> Option<Moment> {
        self.failing_since
    }

    /// Whether what a probe of this family should find is that it answers.
    pub(crate) fn expects_answer(&self, family: Family) -> bool {
        self.reach(family)
            .is_none_or(|reach| reach.belief() != Belief::Down)
    }

    /// Whether every family was judged.
    pub(crate) fn is_judged(&self) -> bool {
        self.reaches()
            .all(|reach| reach.belief() != Belief::Unknown || reach.failing())
    }

    /// How it is now.
    pub(crate) fn view(&mut self, now: Moment, policy: &Policy) -> NodeView {
        let strain = self.strains.verdict(&policy.limits);
        let (state, cause) = self.state_and_cause(strain.as_ref().map(|(_, cause)| cause));
        if state != self.state {
            if matches!(self.state, State::Down | State::Draining) && state.serves() {
                self.back = Some(now);
            }
            self.state = state;
            self.since = now;
        }
        let share = self.back.map_or(1.0, |back| policy.ramp.share(now, back));
        let weight = match state {
            State::Down | State::Draining => 0.0,
            State::Unknown | State::Up | State::Degraded => share * strain.map_or(1.0, |(weight, _)| weight),
        };
        let slow_start = || {
            let detail = format!("came back lately, at {:.0} % of its share", share * 100.0);
            Cause::new(CauseKind::SlowStart, detail)
        };
        NodeView {
            state,
            weight,
            failing: self.failing_since.is_some(),
            ipv4: self.ipv4.as_ref().map(family_view),
            ipv6: self.ipv6.as_ref().map(family_view),
            utilisation: self.strains.utilisation(&policy.limits),
            cause: cause.or_else(|| (state.serves() && share < 1.0).then(slow_start)),
            since: self.since,
        }
    }

    fn state_and_cause(&self, strain: Option<&Cause>) -> (State, Option<Cause>) {
        let down = || self.reaches().find(|reach| reach.belief() == Belief::Down);
        if self.reaches().all(|reach| reach.belief() == Belief::Down) {
            let cause = down().and_then(|reach| match reach.recovering() {
                true => Some(Cause::new(
                    CauseKind::Flapping,
                    "answers again, and has to go on doing so for its hold-down",
                )),
                false => reach.cause().cloned(),
            });
            return (State::Down, cause);
        }
        if self.draining.is_some() {
            let cause = Cause::new(CauseKind::Draining, "it says that it sees its clients out");
            return (State::Draining, Some(cause));
        }
        if let Some(cause) = strain {
            return (State::Degraded, Some(cause.clone()));
        }
        if let Some(reach) = down() {
            let family = if self.ipv4.as_ref().is_some_and(|own| std::ptr::eq(own, reach)) {
                "IPv4"
            } else {
                "IPv6"
            };
            let cause = reach
                .cause()
                .map(|cause| Cause::new(cause.kind, format!("not over {family}: {}", cause.detail)));
            return (State::Degraded, cause);
        }
        match self.reaches().all(|reach| reach.belief() == Belief::Unknown) {
            true => (State::Unknown, None),
            false => (State::Up, None),
        }
    }

    fn settle(&mut self, now: Moment) {
        if self.reaches().any(Reach::failing) {
            self.failing_since.get_or_insert(now);
        } else {
            self.failing_since = None;
        }
    }

    fn reaches(&self) -> impl Iterator<Item = &Reach> {
        self.ipv4.iter().chain(&self.ipv6)
    }

    fn reach(&self, family: Family) -> Option<&Reach> {
        match family {
            Family::V4 => self.ipv4.as_ref(),
            Family::V6 => self.ipv6.as_ref(),
        }
    }

    fn reach_mut(&mut self, family: Family) -> Option<&mut Reach> {
        match family {
            Family::V4 => self.ipv4.as_mut(),
            Family::V6 => self.ipv6.as_mut(),
        }
    }
}

fn family_view(reach: &Reach) -> FamilyView {
    match reach.belief() {
        Belief::Down => FamilyView::Down,
        Belief::Unknown | Belief::Up => FamilyView::Up,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Limits, Patience, Ramp};
    use super::*;

    const POLICY: Policy = Policy {
        patience: Patience {
            fall: 3,
            rise: 3,
            hold_down: Duration::from_secs(30),
            longest_hold_down: Duration::from_secs(300),
            memory: Duration::from_secs(900),
        },
        ramp: Ramp {
            length: Duration::from_secs(300),
        },
        limits: Limits {
            load_per_core: 2.0,
            bandwidth_share: 0.9,
            disk_errors_per_minute: 10.0,
            hit_ratio_least: 0.0,
            hit_ratio_requests: 1000,
        },
    };

    fn second(count: u64) -> Moment {
        Moment::from_seconds(1_000_000 + count)
    }

    fn refused() -> Cause {
        Cause::new(CauseKind::Refused, "connect 192.0.2.1:443: connection refused")
    }

    fn beat(draining: bool, started: u64) -> Beat {
        Beat {
            node: "a".into(),
            started,
            sequence: 1,
            ready: !draining,
            draining,
            disks: DiskCounts::default(),
        }
    }

    fn up() -> NodeJudge {
        let mut judge = NodeJudge::new(second(0), &[Family::V4, Family::V6]);
        judge.answered(second(0), Family::V4, None, &POLICY);
        judge.answered(second(0), Family::V6, None, &POLICY);
        assert_eq!(judge.view(second(0), &POLICY).state, State::Up);
        judge
    }

    fn fail(judge: &mut NodeJudge, families: &[Family], seconds: std::ops::Range<u64>) {
        for at in seconds {
            for family in families {
                judge.failed(second(at), *family, refused(), &POLICY);
            }
        }
    }

    #[test]
    fn a_killed_node_is_down_after_its_stream_and_two_probes() {
        let mut judge = up();
        let lost = Cause::new(CauseKind::Reset, "its stream of heartbeats broke off");
        judge.lost_stream(second(1), &lost, &POLICY);
        let view = judge.view(second(1), &POLICY);
        assert_eq!((view.state, view.failing), (State::Up, true));
        fail(&mut judge, &[Family::V4, Family::V6], 1..3);
        let view = judge.view(second(2), &POLICY);
        assert_eq!(
            (view.state, view.weight, view.since),
            (State::Down, 0.0, second(2))
        );
        assert_eq!(view.cause.unwrap().kind, CauseKind::Refused);
    }

    #[test]
    fn one_family_that_fails_leaves_the_node_with_the_other() {
        let mut judge = up();
        fail(&mut judge, &[Family::V6], 1..4);
        let view = judge.view(second(4), &POLICY);
        assert_eq!((view.state, view.weight), (State::Degraded, 1.0));
        assert_eq!(
            (view.ipv4, view.ipv6),
            (Some(FamilyView::Up), Some(FamilyView::Down))
        );
        assert!(view.cause.unwrap().detail.starts_with("not over IPv6: "));
    }

    #[test]
    fn a_node_that_drains_and_ends_is_not_held_down_when_its_successor_comes() {
        let mut judge = up();
        judge.heard(second(1), &beat(true, 7));
        assert_eq!(judge.view(second(1), &POLICY).state, State::Draining);
        judge.lost_stream(second(2), &refused(), &POLICY);
        fail(&mut judge, &[Family::V4, Family::V6], 2..5);
        assert_eq!(judge.view(second(5), &POLICY).state, State::Down);
        judge.heard(second(6), &beat(false, 9));
        for at in 6..9 {
            judge.answered(second(at), Family::V4, Some(9), &POLICY);
            judge.answered(second(at), Family::V6, Some(9), &POLICY);
        }
        let view = judge.view(second(9), &POLICY);
        assert_eq!((view.state, view.weight), (State::Up, 0.1));
        assert_eq!(view.cause.unwrap().kind, CauseKind::SlowStart);
        assert_eq!(judge.view(second(309), &POLICY).weight, 1.0);
    }

    #[test]
    fn a_late_answer_of_the_process_that_drains_changes_nothing() {
        let mut judge = up();
        judge.heard(second(1), &beat(true, 7));
        judge.answered(second(2), Family::V4, Some(7), &POLICY);
        assert_eq!(judge.view(second(2), &POLICY).state, State::Draining);
        judge.answered_draining(second(3), Family::V4, &POLICY);
        assert_eq!(judge.view(second(3), &POLICY).state, State::Draining);
        judge.answered(second(4), Family::V4, Some(8), &POLICY);
        assert_eq!(judge.view(second(4), &POLICY).state, State::Up);
    }

    #[test]
    fn a_node_that_drains_and_still_delivers_drains() {
        for by_stream in [true, false] {
            let mut judge = up();
            match by_stream {
                true => judge.heard(second(1), &beat(true, 7)),
                false => judge.answered_draining(second(1), Family::V4, &POLICY),
            }
            judge.delivered(second(2), Family::V4, &POLICY);
            assert_eq!(judge.view(second(2), &POLICY).state, State::Draining);
        }
    }

    #[test]
    fn a_node_that_lost_its_disk_keeps_serving_with_less() {
        let mut judge = up();
        let disks = DiskCounts {
            read_only: 1,
            ..DiskCounts::default()
        };
        judge.heard(
            second(1),
            &Beat {
                disks,
                ..beat(false, 7)
            },
        );
        let view = judge.view(second(1), &POLICY);
        assert_eq!((view.state, view.weight), (State::Degraded, 0.5));
        assert_eq!(view.cause.unwrap().kind, CauseKind::Disks);
    }

    /// How often the state of a node changes in so many seconds that is up for 5 s and down for 5 s, with a probe every
    /// `interval` seconds from `phase` on, and every second while one disagrees with what is believed.
    fn transitions_of_flapping(seconds: u64, interval: u64, phase: u64) -> u32 {
        let mut judge = NodeJudge::new(second(0), &[Family::V4]);
        let mut state = State::Unknown;
        let mut transitions = 0;
        let mut next = phase;
        for at in 0..seconds {
            let answers = (at / 5) % 2 == 0;
            if at == next {
                let disagrees = judge.expects_answer(Family::V4) != answers;
                match answers {
                    true => judge.answered(second(at), Family::V4, None, &POLICY),
                    false => judge.failed(second(at), Family::V4, refused(), &POLICY),
                }
                next = at
                    + if disagrees || judge.view(second(at), &POLICY).failing {
                        1
                    } else {
                        interval
                    };
            }
            let now = judge.view(second(at), &POLICY).state;
            if now != state {
                transitions += u32::from(state != State::Unknown);
                state = now;
            }
        }
        transitions
    }

    #[test]
    fn flapping_is_four_transitions_at_most_in_ten_minutes_and_in_two_hours() {
        // Within two hours the first fall is long forgotten.
        for seconds in [600, 7200] {
            // An interval of 10 s meets a node that flaps in step with it always in the same mood; one of 7 s does not.
            for (interval, phase) in [7, 10]
                .into_iter()
                .flat_map(|interval| (0..10).map(move |phase| (interval, phase)))
            {
                let transitions = transitions_of_flapping(seconds, interval, phase);
                assert!(
                    transitions <= 4,
                    "{transitions} in {seconds} s, every {interval} s from {phase} s on"
                );
            }
        }
    }

    #[test]
    fn a_node_that_answers_again_says_why_it_is_still_down() {
        let mut judge = up();
        fail(&mut judge, &[Family::V4, Family::V6], 1..4);
        judge.answered(second(5), Family::V4, None, &POLICY);
        let view = judge.view(second(5), &POLICY);
        assert_eq!((view.state, view.failing), (State::Down, true));
        judge.answered(second(5), Family::V6, None, &POLICY);
        assert_eq!(
            judge.view(second(5), &POLICY).cause.unwrap().kind,
            CauseKind::Flapping
        );
    }
}
