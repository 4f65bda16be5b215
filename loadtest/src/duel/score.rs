//! What the rounds of two servers come to: medians, spreads, ratios. Pure.

use std::time::Duration;

use super::Load;
use crate::compare::rounds::Rounds;
use crate::measure::{Goal, Measure};

/// One figure of both, by round.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rivals {
    ours: Rounds,
    peer: Rounds,
}

/// All figures of one case.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Score {
    /// Answers by second of the server's processor time.
    pub(crate) by_processor_second: Rivals,
    /// Answers by second of the clock, as many as the load generator brought about.
    pub(crate) by_second: Rivals,
    /// Percent of the questions that were not answered.
    pub(crate) lost: Rivals,
}

impl Score {
    pub(super) fn add(&mut self, is_ours: bool, load: Load, spent: Duration) {
        let figure = load.answers as f64 / spent.as_secs_f64();
        self.by_processor_second.add(is_ours, figure);
        self.by_second.add(is_ours, load.per_second);
        self.lost.add(is_ours, load.lost * 100.0);
    }
}

impl Rivals {
    fn add(&mut self, is_ours: bool, figure: f64) {
        let rounds = if is_ours { &mut self.ours } else { &mut self.peer };
        rounds.add(figure);
    }

    /// The two medians beside each other; `None` before both had a round.
    pub(crate) fn measure(&self, name: &str, unit: &str, peer: &str, goal: Option<Goal>) -> Option<Measure> {
        let mut measure = Measure::against(name, unit, self.ours.median()?, peer, self.peer.median()?, goal);
        measure.spread = self.ours.spread();
        measure.peer_spread = self.peer.spread();
        Some(measure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_compared_and_spreads_are_shown() {
        let mut score = Score::default();
        let load = |answers| Load {
            answers,
            per_second: 10.0,
            lost: 0.01,
        };
        for (ours, peer) in [(300, 100), (200, 110), (220, 50)] {
            score.add(true, load(ours), Duration::from_secs(2));
            score.add(false, load(peer), Duration::from_secs(1));
        }
        let goal = Some(Goal::AtLeast(1.0));
        let measure = score
            .by_processor_second
            .measure("UDP", "answers/cpu s", "gdnsd", goal)
            .unwrap();
        assert_eq!((measure.ours, measure.peer_value), (110.0, Some(100.0)));
        assert_eq!((measure.ratio, measure.holds), (Some(1.1), Some(true)));
        assert_eq!(
            (measure.spread, measure.peer_spread),
            (Some(40.0 / 110.0), Some(0.5))
        );
        let lost = score.lost.measure("UDP, lost", "%", "gdnsd", None).unwrap();
        assert_eq!((lost.ours, lost.peer_value), (1.0, Some(1.0)));
    }

    #[test]
    fn without_rounds_there_is_nothing_to_compare() {
        assert_eq!(Rivals::default().measure("UDP", "", "gdnsd", None), None);
    }
}
