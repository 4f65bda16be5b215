//! What this monitor has to say: the difference between what fires and what it said last, if saying it is its task.
//!
//! Every monitor tracks every alert, and only the one responsible for an alert speaks of it. When that one dies, its
//! heir repeats what fires (receivers know the key) and ends what ended in between. Whoever triggered an alert also
//! resolves it, responsible or not.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::Moment;

use super::firing::{Firing, Patience};
use super::fold::{Alert, Wanted, storm_alert};
use super::key::Key;
use super::storm::Storm;

/// How long an alert that ended elsewhere is remembered, in case its monitor died before it said so. The death of a
/// monitor is known within a minute.
const ENDED_KEPT: Duration = Duration::from_secs(5 * 60);
/// More alerts that ended elsewhere are not remembered: ten checks of a thousand nodes.
const MOST_ENDED: usize = 10_000;

/// One thing to say.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    Begin(Alert),
    /// Said before a restart, and perhaps ended since by a monitor that stood in.
    Repeat(Alert),
    End {
        alert: Alert,
        /// We triggered it. Otherwise a monitor that is gone may have.
        ours: bool,
    },
}

#[derive(Debug)]
pub(super) struct Pending {
    cdn: String,
    monitor: String,
    clear: Duration,
    firing: Firing,
    /// What we triggered and did not resolve, as we said it.
    said: BTreeMap<Key, Alert>,
    /// What was said before a restart, and is to be repeated.
    unsure: BTreeSet<Key>,
    /// What fires, and another monitor may have triggered.
    elsewhere: BTreeSet<Key>,
    /// What ended, and another monitor should have resolved by now.
    ended: BTreeMap<Key, (Alert, Moment)>,
    storm: Storm,
}

impl Pending {
    /// With what was said before a restart, and not resolved. Where other monitors may have spoken for this one in the
    /// meantime, what still fires is said once more: they may have ended what has begun again.
    pub(super) fn resume(
        cdn: &str,
        monitor: &str,
        patience: Patience,
        said: Vec<Alert>,
        has_peers: bool,
    ) -> Pending {
        let storm = Key::storm(cdn, monitor);
        let (storms, said): (Vec<Alert>, Vec<Alert>) = said.into_iter().partition(|alert| alert.key == storm);
        Pending {
            cdn: cdn.to_owned(),
            monitor: monitor.to_owned(),
            clear: patience.clear,
            firing: Firing::resume(patience, said.iter().cloned()),
            unsure: said
                .iter()
                .filter(|_| has_peers)
                .map(|alert| alert.key.clone())
                .collect(),
            said: said.into_iter().map(|alert| (alert.key.clone(), alert)).collect(),
            elsewhere: BTreeSet::new(),
            ended: BTreeMap::new(),
            storm: Storm::resume(storms.into_iter().next()),
        }
    }

    /// What is to be said now. It is asked for again until [`Pending::committed`] hears that it is on its way.
    pub(super) fn evaluate(
        &mut self,
        now: Moment,
        wanted: &Wanted,
        responsible: &dyn Fn(&str) -> bool,
    ) -> Vec<Change> {
        let ended = self.firing.step(now, wanted);
        self.remember_ended(now, ended);
        self.notice_elsewhere(responsible);
        let mut changes = self.ends(wanted, responsible);
        changes.extend(self.begins(now, wanted, responsible));
        changes
    }

    pub(super) fn committed(&mut self, now: Moment, changes: Vec<Change>) {
        let storm = Key::storm(&self.cdn, &self.monitor);
        for change in changes {
            match change {
                Change::Begin(alert) if alert.key == storm => self.storm.set_said(Some(alert)),
                Change::End { alert, .. } if alert.key == storm => self.storm.set_said(None),
                Change::Begin(alert) => {
                    self.storm.note_trigger(now);
                    self.elsewhere.remove(&alert.key);
                    self.said.insert(alert.key.clone(), alert);
                }
                Change::Repeat(alert) => {
                    self.storm.note_trigger(now);
                    self.unsure.remove(&alert.key);
                }
                Change::End { alert, .. } => {
                    self.unsure.remove(&alert.key);
                    self.said.remove(&alert.key);
                    self.ended.remove(&alert.key);
                }
            }
        }
    }

    /// All that fires, whoever speaks of it.
    pub(super) fn firing(&self) -> impl Iterator<Item = &Alert> {
        self.firing.alerts().chain(self.storm.said())
    }

    fn remember_ended(&mut self, now: Moment, ended: Vec<Alert>) {
        self.ended
            .retain(|_, (_, at)| *at <= now && now.since(*at) < ENDED_KEPT);
        for alert in ended {
            let was_elsewhere = self.elsewhere.remove(&alert.key);
            if was_elsewhere && !self.said.contains_key(&alert.key) && self.ended.len() < MOST_ENDED {
                self.ended.insert(alert.key.clone(), (alert, now));
            }
        }
    }

    fn notice_elsewhere(&mut self, responsible: &dyn Fn(&str) -> bool) {
        for alert in self.firing.alerts() {
            let began_again = self.ended.remove(&alert.key).is_some();
            let is_unsaid = !self.said.contains_key(&alert.key);
            if is_unsaid && (began_again || !responsible(alert.key.as_str())) {
                self.elsewhere.insert(alert.key.clone());
            }
        }
    }

    /// What another monitor may have triggered waits while nobody knows whether it has begun again.
    fn ends(&self, wanted: &Wanted, responsible: &dyn Fn(&str) -> bool) -> Vec<Change> {
        let ours = self
            .said
            .values()
            .filter(|alert| !self.firing.contains(&alert.key));
        let inherited = self.ended.values().map(|(alert, _)| alert);
        let inherited = inherited.filter(|alert| !wanted.is_blind && responsible(alert.key.as_str()));
        let end = |alert: &Alert, ours| Change::End {
            alert: alert.clone(),
            ours,
        };
        ours.map(|alert| end(alert, true))
            .chain(inherited.map(|alert| end(alert, false)))
            .collect()
    }

    /// What was held back and is well by now, or is said by its site's alert by now, does not begin any more.
    fn begins(&mut self, now: Moment, wanted: &Wanted, responsible: &dyn Fn(&str) -> bool) -> Vec<Change> {
        let is_unsaid = |key: &Key| wanted.alerts.contains_key(key) && !self.said.contains_key(key);
        let mut unsaid: Vec<&Alert> = self
            .firing
            .alerts()
            .filter(|alert| is_unsaid(&alert.key) && responsible(alert.key.as_str()))
            .collect();
        unsaid.sort_by_key(|alert| (Reverse(alert.severity), alert.since));
        let most = self.storm.allows(now);
        let allowed = most.min(unsaid.len());
        let held = unsaid.len() - allowed;
        let mut changes: Vec<Change> = unsaid[..allowed]
            .iter()
            .map(|alert| Change::Begin((*alert).clone()))
            .collect();
        let repeats = self
            .unsure
            .iter()
            .filter(|key| wanted.alerts.contains_key(key) && responsible(key.as_str()))
            .filter_map(|key| self.said.get(key).cloned().map(Change::Repeat));
        changes.extend(repeats.take(most - allowed));
        if !wanted.is_blind {
            changes.extend(self.storm_change(now, held));
        }
        changes
    }

    fn storm_change(&mut self, now: Moment, held: usize) -> Option<Change> {
        let is_over = self.storm.is_over(now, held, self.clear);
        match self.storm.said() {
            None if held > 0 => Some(Change::Begin(storm_alert(&self.cdn, &self.monitor, held, now))),
            Some(alert) if is_over => Some(Change::End {
                alert: alert.clone(),
                ours: true,
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fold::fold;
    use super::super::tests::cdn::{FIRST, MAIN, down, seconds, wrong};
    use super::super::wrong::{Severity, Wrong};
    use super::*;

    fn all(_: &str) -> bool {
        true
    }

    fn start() -> Pending {
        Pending::resume(MAIN, FIRST, Patience::default(), Vec::new(), true)
    }

    /// Everything said from one second to the next-to-last: `+key` and `-key`, the latter with a `?` when it was not
    /// ours.
    fn run(
        pending: &mut Pending,
        from: u64,
        to: u64,
        wrong: &Wrong,
        responsible: &dyn Fn(&str) -> bool,
    ) -> Vec<String> {
        let mut said = Vec::new();
        for second in from..to {
            let now = seconds(second);
            let changes = pending.evaluate(now, &fold(MAIN, wrong, now), responsible);
            said.extend(changes.iter().map(|change| match change {
                Change::Begin(alert) => format!("+{}", alert.key),
                Change::Repeat(alert) => format!("={}", alert.key),
                Change::End { alert, ours: true } => format!("-{}", alert.key),
                Change::End { alert, ours: false } => format!("-?{}", alert.key),
            }));
            pending.committed(now, changes);
        }
        said
    }

    const NODE: &str = "cdn/main/node/edge-1/down";

    fn one() -> Wrong {
        wrong([down("edge-1", "ams")])
    }

    #[test]
    fn each_change_is_said_once() {
        let mut pending = start();
        assert_eq!(run(&mut pending, 100, 400, &one(), &all), [format!("+{NODE}")]);
        assert_eq!(
            run(&mut pending, 400, 700, &Wrong::default(), &all),
            [format!("-{NODE}")]
        );
    }

    #[test]
    fn what_could_not_be_queued_is_said_again() {
        let mut pending = start();
        run(&mut pending, 100, 110, &one(), &all);
        let wanted = fold(MAIN, &one(), seconds(110));
        let first = pending.evaluate(seconds(110), &wanted, &all);
        let second = pending.evaluate(seconds(111), &wanted, &all);
        assert_eq!(first.len(), 1);
        assert_eq!(first, second);
        pending.committed(seconds(111), second);
        assert!(pending.evaluate(seconds(112), &wanted, &all).is_empty());
    }

    #[test]
    fn a_key_that_was_triggered_before_a_restart_is_resolved_after_it() {
        let said = fold(MAIN, &one(), seconds(1)).alerts.into_values().collect();
        let mut pending = Pending::resume(MAIN, FIRST, Patience::default(), said, true);
        assert_eq!(
            run(&mut pending, 100, 200, &Wrong::default(), &|_| false),
            [format!("-{NODE}")]
        );
    }

    #[test]
    fn a_monitor_that_starts_alone_resolves_nothing_until_there_is_a_majority() {
        let said: Vec<Alert> = fold(MAIN, &one(), seconds(1)).alerts.into_values().collect();
        let mut pending = Pending::resume(MAIN, FIRST, Patience::default(), said, true);
        let lost = Wrong {
            quorum_lost: Some("1 of 3".to_owned()),
            ..Wrong::default()
        };
        assert_eq!(
            run(&mut pending, 100, 500, &lost, &all),
            ["+cdn/main/monitor/quorum"]
        );
        assert_eq!(
            run(&mut pending, 500, 700, &one(), &all),
            [format!("={NODE}"), "-cdn/main/monitor/quorum".to_owned()]
        );
        assert_eq!(
            run(&mut pending, 700, 900, &Wrong::default(), &all),
            [format!("-{NODE}")]
        );
    }

    #[test]
    fn a_storm_is_not_over_because_nobody_sees_it() {
        let storm = wrong((0..50).map(|n| down(&format!("edge-{n:02}"), &format!("site-{n}"))));
        let mut pending = start();
        assert_eq!(run(&mut pending, 100, 120, &storm, &all).len(), 21);
        let lost = Wrong {
            quorum_lost: Some("1 of 3".to_owned()),
            ..storm.clone()
        };
        assert_eq!(
            run(&mut pending, 120, 400, &lost, &all),
            ["+cdn/main/monitor/quorum"]
        );
        assert_eq!(run(&mut pending, 400, 401, &storm, &all).len(), 20);
    }

    #[test]
    fn what_still_fires_after_a_restart_is_repeated_by_one_of_several_and_not_by_one_alone() {
        let said: Vec<Alert> = fold(MAIN, &one(), seconds(1)).alerts.into_values().collect();
        let resume = |has_peers| Pending::resume(MAIN, FIRST, Patience::default(), said.clone(), has_peers);
        assert!(run(&mut resume(false), 100, 300, &one(), &all).is_empty());
        let mut one_of_several = resume(true);
        assert!(run(&mut one_of_several, 100, 110, &one(), &|_| false).is_empty());
        assert!(run(&mut one_of_several, 110, 120, &Wrong::default(), &all).is_empty());
        assert_eq!(
            run(&mut one_of_several, 120, 300, &one(), &all),
            [format!("={NODE}")]
        );
        assert_eq!(
            run(&mut one_of_several, 300, 400, &Wrong::default(), &all),
            [format!("-{NODE}")]
        );
    }

    #[test]
    fn in_a_storm_the_worst_come_first_and_the_rest_follows() {
        let mut nodes: Vec<_> = (0..50)
            .map(|n| down(&format!("edge-{n:02}"), &format!("site-{n}")))
            .collect();
        for node in nodes.iter_mut().skip(40) {
            node.severity = Severity::Critical;
        }
        let storm = wrong(nodes);
        let mut pending = start();
        let first = run(&mut pending, 100, 111, &storm, &all);
        assert_eq!(first.len(), 21);
        assert_eq!(first[0], "+cdn/main/node/edge-40/down");
        assert_eq!(first[20], "+cdn/main/monitor/m1/storm");
        let held = pending.firing().find(|alert| alert.class == "storm").unwrap();
        assert_eq!(held.details["held_back"], 30);
        assert_eq!(run(&mut pending, 111, 170, &storm, &all).len(), 0);
        assert_eq!(run(&mut pending, 170, 230, &storm, &all).len(), 20);
        let last = run(&mut pending, 230, 400, &storm, &all);
        assert_eq!(last.len(), 11, "{last:?}");
        assert_eq!(last[10], "-cdn/main/monitor/m1/storm");
    }

    #[test]
    fn what_was_held_back_and_ended_was_never_said() {
        let storm = wrong((0..50).map(|n| down(&format!("edge-{n:02}"), &format!("site-{n}"))));
        let mut pending = start();
        let mut said = run(&mut pending, 100, 120, &storm, &all);
        said.extend(run(&mut pending, 120, 400, &Wrong::default(), &all));
        let begun = said.iter().filter(|text| text.starts_with('+')).count();
        assert_eq!((begun, said.len()), (21, 42), "{said:?}");
    }

    #[test]
    fn a_storm_alert_of_before_a_restart_ends() {
        let mut pending = Pending::resume(
            MAIN,
            FIRST,
            Patience::default(),
            vec![storm_alert(MAIN, FIRST, 9, seconds(1))],
            true,
        );
        assert_eq!(pending.firing().count(), 1);
        assert_eq!(
            run(&mut pending, 100, 200, &Wrong::default(), &all),
            ["-cdn/main/monitor/m1/storm"]
        );
        assert_eq!(pending.firing().count(), 0);
    }

    #[test]
    fn a_storm_alert_of_a_release_that_named_no_monitor_ends() {
        let mut old = storm_alert(MAIN, FIRST, 9, seconds(1));
        old.key = serde_json::from_value("cdn/main/monitor/storm".into()).unwrap();
        let mut pending = Pending::resume(MAIN, FIRST, Patience::default(), vec![old], true);
        assert_eq!(
            run(&mut pending, 100, 200, &Wrong::default(), &all),
            ["-cdn/main/monitor/storm"]
        );
    }

    #[test]
    fn no_monitor_ends_the_storm_of_another() {
        let storm = wrong((0..50).map(|n| down(&format!("edge-{n:02}"), &format!("site-{n}"))));
        let storms = ["m1", "m2"].map(|monitor| {
            let mut pending = Pending::resume(MAIN, monitor, Patience::default(), Vec::new(), true);
            let said = run(&mut pending, 100, 120, &storm, &all);
            said.last().cloned().unwrap()
        });
        assert_eq!(
            storms,
            ["+cdn/main/monitor/m1/storm", "+cdn/main/monitor/m2/storm"]
        );
    }

    #[test]
    fn of_three_monitors_one_speaks_and_its_heir_goes_on_when_it_dies() {
        let mut monitors = [start(), start(), start()];
        let owns = |owner: usize, me: usize| move |_: &str| owner == me;
        let said = |monitors: &mut [Pending; 3],
                    span: (u64, u64),
                    wrong: &Wrong,
                    owner: usize,
                    dead: Option<usize>| {
            let mut said = Vec::new();
            for (me, monitor) in monitors
                .iter_mut()
                .enumerate()
                .filter(|(me, _)| Some(*me) != dead)
            {
                let changes = run(monitor, span.0, span.1, wrong, &owns(owner, me));
                said.extend(changes.into_iter().map(|change| format!("{me}{change}")));
            }
            said
        };
        assert_eq!(
            said(&mut monitors, (100, 200), &one(), 0, None),
            [format!("0+{NODE}")]
        );
        assert!(monitors.iter().all(|monitor| monitor.firing().count() == 1));
        // The first dies. Nobody speaks until that is known; then the second says what fires.
        assert!(said(&mut monitors, (200, 210), &one(), 0, Some(0)).is_empty());
        assert_eq!(
            said(&mut monitors, (210, 300), &one(), 1, Some(0)),
            [format!("1+{NODE}")]
        );
        // The first is back and responsible again: it had triggered, and so had the second. Both resolve.
        let resolved = said(&mut monitors, (300, 400), &Wrong::default(), 0, None);
        assert_eq!(resolved, [format!("0-{NODE}"), format!("1-{NODE}")]);
    }

    #[test]
    fn what_ended_while_its_owner_was_dead_is_resolved_by_the_heir() {
        let mut heir = start();
        assert!(run(&mut heir, 100, 200, &one(), &|_| false).is_empty());
        // The owner dies at 200; the alert ends at 260; at 270 the heir knows that it is responsible.
        assert!(run(&mut heir, 200, 270, &Wrong::default(), &|_| false).is_empty());
        assert_eq!(
            run(&mut heir, 270, 500, &Wrong::default(), &all),
            [format!("-?{NODE}")]
        );
    }

    #[test]
    fn what_ended_long_ago_was_resolved_by_its_owner() {
        let mut other = start();
        run(&mut other, 100, 200, &one(), &|_| false);
        assert!(run(&mut other, 200, 600, &Wrong::default(), &|_| false).is_empty());
        assert!(run(&mut other, 600, 700, &Wrong::default(), &all).is_empty());
    }

    #[test]
    fn an_alert_that_ended_elsewhere_and_begins_again_is_triggered_and_not_resolved() {
        let mut heir = start();
        run(&mut heir, 100, 200, &one(), &|_| false);
        run(&mut heir, 200, 270, &Wrong::default(), &|_| false);
        run(&mut heir, 270, 290, &one(), &|_| false);
        assert_eq!(run(&mut heir, 290, 300, &one(), &all), [format!("+{NODE}")]);
    }
}
