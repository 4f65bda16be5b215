//! Which alerts fire: what was wanted for a while, until it has not been wanted for a while.
//!
//! ```text
//!          wanted                for `pending`             not wanted for `clear`
//!  nothing ──────→ waiting ─────────────────────→ firing ──────────────────────────→ nothing
//!     ↑               │ not wanted, even once        │ ↑
//!     └───────────────┘                              └─┘ wanted, or inhibited: true as well
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::Moment;

use super::fold::{Alert, Component, Wanted};
use super::key::Key;
use super::wrong::DOWN;

/// How long before an alert begins, and before it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    pub(crate) pending: Duration,
    pub(crate) clear: Duration,
}

impl Default for Patience {
    /// Ten seconds let the nodes of one site fall one after another and still be one alert. A minute spares people a
    /// second alert for a node that comes back and falls again.
    fn default() -> Patience {
        Patience {
            pending: Duration::from_secs(10),
            clear: Duration::from_secs(60),
        }
    }
}

/// The alerts that fire. As many at most as there are nodes and checks: whoever is wrong is named by what is wanted.
#[derive(Debug)]
pub(super) struct Firing {
    patience: Patience,
    /// Since when each has been wanted that does not fire yet.
    waiting: BTreeMap<Key, Moment>,
    burning: BTreeMap<Key, Burning>,
}

#[derive(Debug)]
struct Burning {
    alert: Alert,
    unwanted_since: Option<Moment>,
}

impl Firing {
    /// With what fired before a restart: each has `clear` from the first step on to be wanted again.
    pub(super) fn resume(patience: Patience, alerts: impl IntoIterator<Item = Alert>) -> Firing {
        let burning = |alert: Alert| {
            let unwanted_since = None;
            (
                alert.key.clone(),
                Burning {
                    alert,
                    unwanted_since,
                },
            )
        };
        Firing {
            patience,
            waiting: BTreeMap::new(),
            burning: alerts.into_iter().map(burning).collect(),
        }
    }

    /// Goes on to `now`, and returns what ended.
    pub(super) fn step(&mut self, now: Moment, wanted: &Wanted) -> Vec<Alert> {
        let ended = self.end(now, wanted);
        self.begin(now, wanted);
        ended
    }

    pub(super) fn contains(&self, key: &Key) -> bool {
        self.burning.contains_key(key)
    }

    pub(super) fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.burning.values().map(|burning| &burning.alert)
    }

    fn end(&mut self, now: Moment, wanted: &Wanted) -> Vec<Alert> {
        let mut ended = Vec::new();
        for (key, burning) in &mut self.burning {
            match wanted.alerts.get(key).or_else(|| wanted.inhibited.get(key)) {
                Some(alert) => burning.renew(alert),
                // What was not known to be well has all its time again once it is known.
                None if wanted.is_blind => burning.unwanted_since = None,
                None if since(&mut burning.unwanted_since, now) >= self.patience.clear => {
                    ended.push(burning.alert.clone());
                }
                None => {}
            }
        }
        for alert in &ended {
            self.burning.remove(&alert.key);
        }
        ended
    }

    fn begin(&mut self, now: Moment, wanted: &Wanted) {
        // A site that recovers node by node is no longer wanted while some of its nodes still are: as long as its
        // alert fires, it speaks for them, and one that is down for all that is wrong there.
        let sites: BTreeSet<(String, String)> = self
            .alerts()
            .filter(|alert| alert.component == Component::Site)
            .map(|alert| (alert.group.clone(), alert.class.clone()))
            .collect();
        let is_covered = |alert: &Alert| {
            let speaks = |class: &str| sites.contains(&(alert.group.clone(), class.to_owned()));
            speaks(DOWN) || speaks(&alert.class)
        };
        self.waiting.retain(|key, _| wanted.alerts.contains_key(key));
        for (key, alert) in &wanted.alerts {
            if self.burning.contains_key(key) {
                continue;
            }
            let mut began = self.waiting.get(key).copied();
            let waited = since(&mut began, now);
            if waited >= self.patience.pending && !is_covered(alert) {
                self.waiting.remove(key);
                self.burning.insert(
                    key.clone(),
                    Burning {
                        alert: alert.clone(),
                        unwanted_since: None,
                    },
                );
            } else if let Some(began) = began {
                self.waiting.insert(key.clone(), began);
            }
        }
    }
}

impl Burning {
    /// What is said of it changes; when it began does not.
    fn renew(&mut self, alert: &Alert) {
        self.unwanted_since = None;
        self.alert = Alert {
            since: self.alert.since.min(alert.since),
            ..alert.clone()
        };
    }
}

/// For how long: from now on if it had not begun, or if a clock that was set back says that it had not.
fn since(began: &mut Option<Moment>, now: Moment) -> Duration {
    let start = began.map_or(now, |start| start.min(now));
    *began = Some(start);
    now.since(start)
}

#[cfg(test)]
mod tests {
    use super::super::fold::fold;
    use super::super::tests::cdn::{MAIN, down, seconds, wrong};
    use super::*;

    fn steps(firing: &mut Firing, from: u64, to: u64, down_nodes: &[(&str, &str)]) -> Vec<String> {
        let wrong = wrong(down_nodes.iter().map(|(node, site)| down(node, site)));
        let mut ended = Vec::new();
        for second in from..to {
            let now = seconds(second);
            ended.extend(firing.step(now, &fold(MAIN, &wrong, now)));
        }
        ended.into_iter().map(|alert| alert.key.to_string()).collect()
    }

    fn names(firing: &Firing) -> Vec<&str> {
        firing
            .alerts()
            .map(|alert| alert.key.as_str().strip_prefix("cdn/main/").unwrap())
            .collect()
    }

    fn nothing_fires() -> Firing {
        Firing::resume(Patience::default(), [])
    }

    const ONE: &[(&str, &str)] = &[("edge-1", "ams")];

    #[test]
    fn an_alert_begins_after_ten_seconds_and_ends_after_a_minute() {
        let mut firing = nothing_fires();
        steps(&mut firing, 100, 110, ONE);
        assert!(names(&firing).is_empty());
        steps(&mut firing, 110, 111, ONE);
        assert_eq!(names(&firing), ["node/edge-1/down"]);
        assert!(steps(&mut firing, 111, 171, &[]).is_empty());
        assert_eq!(steps(&mut firing, 171, 172, &[]), ["cdn/main/node/edge-1/down"]);
        assert!(names(&firing).is_empty());
    }

    #[test]
    fn a_moment_without_it_begins_the_wait_anew_and_a_moment_with_it_keeps_it() {
        let mut firing = nothing_fires();
        steps(&mut firing, 100, 109, ONE);
        steps(&mut firing, 109, 110, &[]);
        steps(&mut firing, 110, 120, ONE);
        assert!(names(&firing).is_empty());
        steps(&mut firing, 120, 121, ONE);
        for start in [121, 180, 239] {
            steps(&mut firing, start, start + 58, &[]);
            steps(&mut firing, start + 58, start + 59, ONE);
        }
        assert_eq!(names(&firing), ["node/edge-1/down"]);
    }

    #[test]
    fn nodes_that_fall_one_after_another_are_one_site() {
        let mut firing = nothing_fires();
        steps(&mut firing, 100, 109, ONE);
        steps(&mut firing, 109, 200, &[("edge-1", "ams"), ("edge-2", "ams")]);
        assert_eq!(names(&firing), ["site/ams/down"]);
    }

    #[test]
    fn a_node_that_fired_before_its_site_stays_until_it_is_well() {
        let mut firing = nothing_fires();
        steps(&mut firing, 100, 120, ONE);
        let both = &[("edge-1", "ams"), ("edge-2", "ams")];
        steps(&mut firing, 120, 300, both);
        assert_eq!(names(&firing), ["node/edge-1/down", "site/ams/down"]);
        // The other node is well again. Its site needs a minute to be; the node that fired is still down.
        let ended = steps(&mut firing, 300, 361, ONE);
        assert_eq!(ended, ["cdn/main/site/ams/down"]);
        assert_eq!(names(&firing), ["node/edge-1/down"]);
    }

    #[test]
    fn while_a_site_recovers_its_nodes_do_not_begin() {
        let mut firing = nothing_fires();
        steps(&mut firing, 100, 200, &[("edge-1", "ams"), ("edge-2", "ams")]);
        steps(&mut firing, 200, 259, ONE);
        assert_eq!(names(&firing), ["site/ams/down"]);
        steps(&mut firing, 259, 262, ONE);
        assert_eq!(names(&firing), ["node/edge-1/down"]);
    }

    #[test]
    fn while_a_site_recovers_from_one_trouble_its_nodes_may_begin_another() {
        let mut firing = nothing_fires();
        let with = |node: &str, check: &str| super::super::wrong::NodeWrong {
            check: check.to_owned(),
            ..down(node, "ams")
        };
        let mut live = |seconds_of: std::ops::Range<u64>, nodes: Vec<_>| {
            let wrong = wrong(nodes);
            for now in seconds_of.map(seconds) {
                firing.step(now, &fold(MAIN, &wrong, now));
            }
            names(&firing).join(" ")
        };
        let both = vec![with("edge-1", "family"), with("edge-2", "family")];
        assert_eq!(live(100..200, both), "site/ams/family");
        let rest = vec![with("edge-1", "family"), with("edge-3", "disks")];
        assert_eq!(live(200..250, rest.clone()), "node/edge-3/disks site/ams/family");
        assert_eq!(live(250..262, rest), "node/edge-1/family node/edge-3/disks");
    }

    #[test]
    fn what_fired_before_a_restart_has_a_minute_to_be_seen_again() {
        let wanted = fold(
            MAIN,
            &wrong([down("edge-1", "ams"), down("edge-2", "iad")]),
            seconds(1),
        );
        let mut firing = Firing::resume(Patience::default(), wanted.alerts.into_values());
        let ended = steps(&mut firing, 500, 561, ONE);
        assert_eq!(ended, ["cdn/main/node/edge-2/down"]);
        assert_eq!(names(&firing), ["node/edge-1/down"]);
    }

    #[test]
    fn without_a_majority_nothing_begins_and_nothing_ends() {
        let lost = |nodes: &[(&str, &str)]| super::super::wrong::Wrong {
            quorum_lost: Some("1 of 3".to_owned()),
            ..wrong(nodes.iter().map(|(node, site)| down(node, site)))
        };
        let blind = |firing: &mut Firing, seconds_of: std::ops::Range<u64>, nodes: &[(&str, &str)]| {
            let wanted = |now| fold(MAIN, &lost(nodes), now);
            let steps = seconds_of.map(seconds);
            steps.flat_map(|now| firing.step(now, &wanted(now))).count()
        };
        let mut firing = nothing_fires();
        steps(&mut firing, 100, 120, ONE);
        steps(&mut firing, 120, 150, &[]);
        assert_eq!(
            blind(&mut firing, 150..400, &[]),
            0,
            "nobody knows that it is well"
        );
        assert_eq!(blind(&mut firing, 400..500, &[("edge-2", "iad")]), 0);
        assert_eq!(names(&firing), ["monitor/quorum", "node/edge-1/down"]);
        assert!(steps(&mut firing, 500, 550, ONE).is_empty());
        let ended = steps(&mut firing, 550, 611, &[]);
        assert_eq!(ended, ["cdn/main/monitor/quorum", "cdn/main/node/edge-1/down"]);
    }

    #[test]
    fn a_clock_that_is_set_back_delays_nothing_by_more_than_the_wait() {
        let mut firing = nothing_fires();
        steps(&mut firing, 10_000, 10_005, ONE);
        steps(&mut firing, 100, 111, ONE);
        assert_eq!(names(&firing), ["node/edge-1/down"]);
    }

    #[test]
    fn an_alert_that_fires_keeps_its_beginning_and_tells_the_newest() {
        let mut firing = nothing_fires();
        let lost = |cause: &str| super::super::wrong::Wrong {
            quorum_lost: Some(cause.to_owned()),
            ..Default::default()
        };
        for (second, cause) in [(100, "first"), (110, "first"), (150, "second")] {
            firing.step(seconds(second), &fold(MAIN, &lost(cause), seconds(second)));
        }
        let alert = firing.alerts().next().unwrap();
        assert_eq!((alert.cause.as_str(), alert.since), ("second", seconds(110)));
    }
}
