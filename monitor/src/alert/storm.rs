//! How many alerts may begin: a person who is called a hundred times at once learns nothing from the calls.

use std::collections::VecDeque;
use std::time::Duration;

use model::Moment;

use super::fold::Alert;

/// Within [`WINDOW`]. A person reads a summary in three seconds.
pub(super) const MOST_TRIGGERS: usize = 20;
pub(super) const WINDOW: Duration = Duration::from_secs(60);

/// What began of late, and the alert that says what was held back.
#[derive(Debug, Default)]
pub(super) struct Storm {
    /// When the last ones began, oldest first; at most [`MOST_TRIGGERS`] are of interest.
    triggers: VecDeque<Moment>,
    /// The storm alert, while it is what we said last.
    said: Option<Alert>,
    /// Since when nothing has been held back.
    quiet_since: Option<Moment>,
}

impl Storm {
    /// With the storm alert that was said before a restart.
    pub(super) fn resume(said: Option<Alert>) -> Storm {
        Storm {
            said,
            ..Storm::default()
        }
    }

    /// How many may begin now.
    pub(super) fn allows(&mut self, now: Moment) -> usize {
        // What lies in the future was noted by a clock that has been set back since.
        self.triggers.retain(|at| *at <= now && now.since(*at) < WINDOW);
        MOST_TRIGGERS.saturating_sub(self.triggers.len())
    }

    pub(super) fn note_trigger(&mut self, now: Moment) {
        self.triggers.push_back(now);
        if self.triggers.len() > MOST_TRIGGERS {
            self.triggers.pop_front();
        }
    }

    pub(super) fn said(&self) -> Option<&Alert> {
        self.said.as_ref()
    }

    pub(super) fn set_said(&mut self, said: Option<Alert>) {
        self.said = said;
    }

    /// Whether nothing has been held back for so long; `held` are held back now.
    pub(super) fn is_over(&mut self, now: Moment, held: usize, clear: Duration) -> bool {
        if held > 0 {
            self.quiet_since = None;
            return false;
        }
        let since = self.quiet_since.map_or(now, |since| since.min(now));
        self.quiet_since = Some(since);
        now.since(since) >= clear
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Moment {
        Moment::from_seconds(second)
    }

    #[test]
    fn twenty_begin_within_any_minute() {
        let mut storm = Storm::default();
        for second in 0..20 {
            assert_eq!(storm.allows(at(100 + second)), 20 - second as usize);
            storm.note_trigger(at(100 + second));
        }
        assert_eq!(storm.allows(at(120)), 0);
        assert_eq!(storm.allows(at(159)), 0);
        assert_eq!(storm.allows(at(160)), 1);
        assert_eq!(storm.allows(at(179)), 20);
    }

    #[test]
    fn a_clock_that_is_set_back_silences_nothing() {
        let mut storm = Storm::default();
        for _ in 0..20 {
            storm.note_trigger(at(10_000));
        }
        assert_eq!(storm.allows(at(100)), 20);
    }

    #[test]
    fn it_is_over_when_nothing_was_held_back_for_a_while() {
        let mut storm = Storm::default();
        let minute = Duration::from_secs(60);
        assert!(!storm.is_over(at(0), 0, minute));
        assert!(!storm.is_over(at(59), 1, minute));
        assert!(!storm.is_over(at(60), 0, minute));
        assert!(!storm.is_over(at(119), 0, minute));
        assert!(storm.is_over(at(120), 0, minute));
    }
}
