//! Whether this monitor should believe its own eyes. When many nodes of several sites fail at once, or its peers are out
//! of sight, the likelier explanation is that its own network is broken.
//!
//! A disaster that is real is seen by the other monitors too: a monitor that hears from enough of them that they see the
//! same believes it at once. One that nobody can tell believes it after a while: it would be useless for ever otherwise.
//! One that is told otherwise, by a monitor that trusts itself, goes on doubting: it is not needed meanwhile.
//!
//! When doubt ends otherwise than by belief, nodes that fell in it did not fall for that monitor: it looks at them again.

use std::time::Duration;

use model::Moment;
use model::health::FRESH;

/// Failures that begin within this time began "at once".
const AT_ONCE: Duration = Duration::from_secs(10);
// Peers are missed after a while, and what was seen meanwhile is doubted too.
const _: () = assert!(AT_ONCE.as_millis() >= FRESH.as_millis());
/// More than this share of a site's nodes has to fail.
const SHARE: f64 = 0.3;
/// Of at least so many sites.
const SITES: usize = 2;
/// The longest that a monitor doubts what nobody can confirm or deny.
const LONGEST: Duration = Duration::from_secs(60);

/// What the monitor sees of its surroundings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outlook {
    /// Of each site: its watched nodes, and since when those of them fail that do.
    pub(crate) sites: Vec<(usize, Vec<Moment>)>,
    /// Peers that are configured.
    pub(crate) peers: usize,
    /// Peers that were heard lately.
    pub(crate) peers_heard: usize,
    /// Those of them that trust themselves.
    pub(crate) peers_trusted: usize,
    /// Peers heard that see at least half of the nodes fail as well whose failing is doubted.
    pub(crate) peers_that_see_the_same: usize,
    /// Those of them that trust themselves.
    pub(crate) trusted_that_see_the_same: usize,
    /// Some nodes were not probed yet.
    pub(crate) starting: bool,
}

impl Outlook {
    /// Whether so many monitors are more than half of all.
    fn is_majority(&self, monitors: usize) -> bool {
        2 * monitors > 1 + self.peers
    }
}

/// The doubt of one monitor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Doubt {
    /// Since when many fail, while they do.
    since: Option<Moment>,
    /// When somebody could last have told; at the latest when they began to fail.
    told: Moment,
    /// It was cut off from its peers meanwhile. Others that were, too, and come back at the same moment, confirm nothing.
    was_cut_off: bool,
    /// What was doubted turned out to be so.
    believed: bool,
    /// From when on what was seen is doubted, while anything is.
    from: Option<Moment>,
}

impl Doubt {
    /// Why the monitor abstains; `None` when it may be believed.
    pub(crate) fn judge(&mut self, now: Moment, outlook: &Outlook) -> Option<String> {
        let cut_off = !outlook.is_majority(1 + outlook.peers_heard);
        let many = self.many_fail(now, outlook);
        if many {
            self.weigh(now, outlook, cut_off);
        } else {
            let from = self.from;
            *self = Doubt {
                from,
                ..Doubt::default()
            };
        }
        let doubts = cut_off || (many && !self.believed);
        self.from = doubts.then(|| self.from.unwrap_or(now - AT_ONCE));
        if outlook.starting {
            return Some("it has just started and has not seen all nodes yet".to_owned());
        }
        if cut_off {
            return Some(format!(
                "it hears {} of its {} peers",
                outlook.peers_heard, outlook.peers
            ));
        }
        (many && !self.believed).then(|| {
            format!(
                "more than {:.0} % of {SITES} sites or more failed at once",
                SHARE * 100.0
            )
        })
    }

    /// From when on what it sees is doubted, while it is.
    pub(crate) fn doubted_from(&self) -> Option<Moment> {
        self.from
    }

    /// Whether what it doubted was so: many fail in truth.
    pub(crate) fn is_believed(&self) -> bool {
        self.believed
    }

    /// Whether many fail in truth.
    fn weigh(&mut self, now: Moment, outlook: &Outlook, cut_off: bool) {
        if self.since.is_none() || cut_off || outlook.peers_trusted > 0 {
            self.told = now;
        }
        self.since.get_or_insert(now);
        if cut_off {
            (self.was_cut_off, self.believed) = (true, false);
        }
        let seen_alike = match self.was_cut_off {
            true => outlook.trusted_that_see_the_same,
            false => outlook.peers_that_see_the_same,
        };
        let confirmed = seen_alike > 0 && outlook.is_majority(1 + seen_alike);
        self.believed |= confirmed || now.since(self.told) >= LONGEST;
    }

    /// What began to fail later than this is doubted, or would be if it were more; what did earlier is an old story.
    pub(crate) fn reaches_back_to(&self, now: Moment) -> Moment {
        self.since.unwrap_or(now) - AT_ONCE
    }

    fn many_fail(&self, now: Moment, outlook: &Outlook) -> bool {
        let failing = |since: &&Moment| **since > self.reaches_back_to(now);
        let sites = outlook.sites.iter().filter(|(nodes, failures)| {
            let count = failures.iter().filter(failing).count();
            count as f64 > SHARE * *nodes as f64
        });
        sites.count() >= SITES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_seconds(1000 + seconds)
    }

    /// Three sites of four nodes, of which these many fail since then; both peers are heard.
    fn outlook(failing: [usize; 3], since: Moment) -> Outlook {
        Outlook {
            sites: failing.iter().map(|count| (4, vec![since; *count])).collect(),
            peers: 2,
            peers_heard: 2,
            ..Outlook::default()
        }
    }

    #[test]
    fn one_site_may_fail_whole_and_two_raise_doubt() {
        let mut doubt = Doubt::default();
        assert_eq!(doubt.judge(at(0), &outlook([4, 1, 1], at(0))), None);
        assert!(
            doubt
                .judge(at(0), &outlook([2, 2, 0], at(0)))
                .unwrap()
                .contains("failed at once")
        );
    }

    #[test]
    fn failures_one_after_another_over_minutes_raise_none() {
        let slow = Outlook {
            sites: vec![(4, vec![at(0), at(60)]), (4, vec![at(120), at(180)])],
            ..outlook([0, 0, 0], at(0))
        };
        assert_eq!(Doubt::default().judge(at(181), &slow), None);
    }

    #[test]
    fn doubt_lasts_as_long_as_they_fail_and_a_minute_at_most() {
        let mut doubt = Doubt::default();
        let many = outlook([4, 4, 4], at(0));
        for second in 0..60 {
            assert!(doubt.judge(at(second), &many).is_some(), "at {second}");
        }
        assert_eq!(doubt.judge(at(60), &many), None);
        assert_eq!(doubt.judge(at(61), &outlook([0, 0, 0], at(0))), None);
        assert!(
            doubt.judge(at(70), &outlook([4, 4, 4], at(70))).is_some(),
            "a new one is doubted anew"
        );
    }

    #[test]
    fn doubt_lasts_as_long_as_somebody_trusted_sees_it_otherwise() {
        let mut doubt = Doubt::default();
        let alone = outlook([4, 4, 4], at(0));
        let contradicted = Outlook {
            peers_trusted: 1,
            ..alone.clone()
        };
        for second in 0..600 {
            assert!(doubt.judge(at(second), &contradicted).is_some(), "at {second}");
        }
        for second in 600..659 {
            assert!(doubt.judge(at(second), &alone).is_some(), "at {second}");
        }
        assert_eq!(
            doubt.judge(at(659), &alone),
            None,
            "for a minute nobody could tell"
        );
    }

    #[test]
    fn what_failed_long_before_keeps_no_doubt_alive() {
        let mut doubt = Doubt::default();
        let with = |failing: usize| Outlook {
            sites: vec![(4, [vec![at(0); 2], vec![at(100); failing]].concat()); 2],
            peers_trusted: 2,
            ..outlook([0, 0, 0], at(0))
        };
        assert_eq!(doubt.judge(at(50), &with(0)), None);
        assert!(doubt.judge(at(100), &with(2)).is_some());
        assert_eq!(doubt.judge(at(101), &with(0)), None);
    }

    #[test]
    fn what_a_peer_sees_as_well_is_believed_at_once() {
        let mut doubt = Doubt::default();
        let many = outlook([4, 4, 0], at(0));
        assert!(doubt.judge(at(0), &many).is_some());
        let confirmed = Outlook {
            peers_that_see_the_same: 1,
            ..many
        };
        assert_eq!(doubt.judge(at(1), &confirmed), None);
    }

    #[test]
    fn after_a_cut_only_those_confirm_who_trust_themselves() {
        let mut doubt = Doubt::default();
        let many = outlook([4, 4, 4], at(0));
        let cut_off = Outlook {
            peers_heard: 0,
            ..many.clone()
        };
        for second in 0..90 {
            assert!(doubt.judge(at(second), &cut_off).is_some(), "at {second}");
        }
        let cut_off_as_well = Outlook {
            peers_that_see_the_same: 1,
            ..many
        };
        assert!(doubt.judge(at(90), &cut_off_as_well).is_some());
        let not_cut_off = Outlook {
            peers_trusted: 1,
            trusted_that_see_the_same: 1,
            ..cut_off_as_well
        };
        assert_eq!(doubt.judge(at(91), &not_cut_off), None);
    }

    #[test]
    fn what_is_doubted_reaches_back_to_when_the_peers_were_last_heard() {
        let mut doubt = Doubt::default();
        let well = outlook([0, 0, 0], at(0));
        let cut_off = Outlook {
            peers_heard: 0,
            ..well.clone()
        };
        assert_eq!((doubt.judge(at(0), &well), doubt.doubted_from()), (None, None));
        for second in [10, 20, 30] {
            assert!(doubt.judge(at(second), &cut_off).is_some());
            assert_eq!(doubt.doubted_from(), Some(at(0)));
        }
        assert_eq!((doubt.judge(at(40), &well), doubt.doubted_from()), (None, None));
    }

    #[test]
    fn a_monitor_that_hears_no_peer_abstains_and_a_lone_one_does_not() {
        let mut doubt = Doubt::default();
        let cut_off = Outlook {
            peers_heard: 0,
            ..outlook([0, 0, 0], at(0))
        };
        assert!(doubt.judge(at(0), &cut_off).unwrap().contains("0 of its 2 peers"));
        let one_left = Outlook {
            peers_heard: 1,
            ..cut_off.clone()
        };
        assert_eq!(doubt.judge(at(0), &one_left), None);
        let lone = Outlook {
            peers: 0,
            peers_heard: 0,
            ..cut_off
        };
        assert_eq!(doubt.judge(at(0), &lone), None);
    }
}
