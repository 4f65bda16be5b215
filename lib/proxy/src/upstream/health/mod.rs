//! Which upstreams are up: one table for all cores, read by atomics, changed by what requests met.

mod machine;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use model::Moment;
use parking_lot::Mutex;

pub use machine::{Errand, Event, Machine, Policy, Standing};

use super::{metrics::HealthMetrics, table::Table};

/// Failures in a row that mark an upstream down. One may be an accident of the network, three in a row are not, and
/// with retries each costs a request a few milliseconds.
pub const FAILURES_TO_MARK_DOWN: u32 = 3;

/// The health of all upstreams.
pub struct Health {
    targets: Table<Target>,
    policy: Policy,
    metrics: HealthMetrics,
}

/// The health of one upstream.
pub struct Target {
    name: Arc<str>,
    policy: Policy,
    metrics: HealthMetrics,
    machine: Mutex<Machine>,
    /// The machine in short, written under its lock and read without.
    summary: Summary,
}

/// What readers need to know, in two words that need not be consistent with each other.
#[derive(Default)]
struct Summary {
    /// [`SPOTLESS`], [`BLEMISHED`], [`PROBING`], or down and resting until this moment.
    state: AtomicU64,
    /// When it failed last; 0 is never.
    last_failure: AtomicU64,
}

/// Up, and its last answer was a good one.
const SPOTLESS: u64 = 0;
/// Up, and failed last time.
const BLEMISHED: u64 = 1;
/// Down, and being probed.
const PROBING: u64 = u64::MAX;

/// Leave to send one request to an upstream. Say what came of it; dropped, it says nothing.
#[must_use = "an upstream's health is what tickets report"]
pub struct Ticket {
    target: Arc<Target>,
    errand: Option<Errand>,
}

impl Health {
    /// All upstreams up.
    #[must_use]
    pub fn new(policy: Policy, metrics: HealthMetrics) -> Health {
        Health {
            targets: Table::default(),
            policy,
            metrics,
        }
    }

    /// The upstream called `name`; up, if it is new.
    pub fn target(&self, name: &str) -> Arc<Target> {
        self.targets.get_or_make(name, |name| {
            self.metrics.up(&name).set(1);
            Target {
                name,
                policy: self.policy,
                metrics: self.metrics.clone(),
                machine: Mutex::default(),
                summary: Summary::default(),
            }
        })
    }

    /// What may be asked of the upstream called `name`, and when it failed last.
    #[must_use]
    pub fn standing(&self, name: &str, now: Moment) -> (Standing, Option<Moment>) {
        match self.targets.get(name) {
            Some(target) => (target.standing(now), target.last_failure()),
            None => (Standing::Up, None),
        }
    }

    /// The upstreams whose pause is over and that nobody probes yet.
    #[must_use]
    pub fn due(&self, now: Moment) -> Vec<Arc<Target>> {
        let mut due = self.targets.values();
        due.retain(|target| target.standing(now) == Standing::Due);
        due
    }

    /// Forgets upstreams that the snapshot no longer names.
    pub fn retain(&self, wanted: impl Fn(&str) -> bool) {
        for gone in self.targets.retain(wanted) {
            self.metrics.forget(&gone.name);
        }
    }
}

impl Target {
    /// The upstream's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What may be asked of it.
    #[must_use]
    pub fn standing(&self, now: Moment) -> Standing {
        match self.summary.state.load(Relaxed) {
            SPOTLESS | BLEMISHED => Standing::Up,
            PROBING => Standing::Probing,
            until if now.0 < until => Standing::Resting,
            _ => Standing::Due,
        }
    }

    /// When it failed last.
    #[must_use]
    pub fn last_failure(&self) -> Option<Moment> {
        match self.summary.last_failure.load(Relaxed) {
            0 => None,
            moment => Some(Moment(moment)),
        }
    }

    /// Leave to send one request, as a probe where it is down and its pause is over.
    pub fn ask(self: &Arc<Self>, now: Moment) -> Option<Ticket> {
        let errand = match self.standing(now) {
            Standing::Up => Errand::Ordinary,
            Standing::Due => self.change(|machine| machine.admit(now))?,
            Standing::Resting | Standing::Probing => return None,
        };
        Some(self.ticket(errand))
    }

    /// Leave to send one request whatever its state, for want of anyone better.
    pub fn ask_anyway(self: &Arc<Self>, now: Moment) -> Ticket {
        let errand = match self.standing(now) {
            Standing::Up => Errand::Ordinary,
            _ => self.change(|machine| machine.admit_anyway(now)),
        };
        self.ticket(errand)
    }

    fn ticket(self: &Arc<Self>, errand: Errand) -> Ticket {
        Ticket {
            target: Arc::clone(self),
            errand: Some(errand),
        }
    }

    /// Changes the machine and its summary together.
    fn change<T>(&self, change: impl FnOnce(&mut Machine) -> T) -> T {
        let mut machine = self.machine.lock();
        let result = change(&mut machine);
        self.summary.write(&machine);
        result
    }

    fn report(&self, event: Event) {
        let upstream = &*self.name;
        match event {
            Event::WentDown(pause) => {
                self.metrics.up(upstream).set(0);
                self.metrics.went_down(upstream).inc();
                tracing::warn!(upstream, pause_ms = milliseconds(pause), "an upstream went down");
            }
            Event::StaysDown(pause) => {
                self.metrics.failed_probes(upstream).inc();
                tracing::info!(
                    upstream,
                    pause_ms = milliseconds(pause),
                    "an upstream that is down failed its probe"
                );
            }
            Event::CameBack => {
                self.metrics.up(upstream).set(1);
                tracing::info!(upstream, "an upstream came back");
            }
        }
    }
}

impl Ticket {
    /// Whether the request it was given for may find the upstream down: nothing that cannot be repeated should.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.errand != Some(Errand::Ordinary)
    }

    /// The upstream answered properly.
    pub fn succeeded(mut self) {
        let Some(errand) = self.errand.take() else { return };
        if self.target.summary.state.load(Relaxed) == SPOTLESS {
            return;
        }
        if let Some(event) = self.target.change(|machine| machine.succeeded(errand)) {
            self.target.report(event);
        }
    }

    /// The upstream did not answer, or not properly.
    pub fn failed(mut self, now: Moment) {
        let Some(errand) = self.errand.take() else { return };
        let policy = self.target.policy;
        if let Some(event) = self.target.change(|machine| machine.failed(errand, now, &policy)) {
            self.target.report(event);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(errand) = self.errand.take()
            && errand != Errand::Ordinary
        {
            self.target.change(|machine| machine.abandoned(errand));
        }
    }
}

impl Summary {
    fn write(&self, machine: &Machine) {
        let state = match machine.resting_until() {
            // No clock shows the first two milliseconds of 1970, nor the last of all.
            Some(until) => until.0.clamp(BLEMISHED + 1, PROBING - 1),
            None if machine.is_spotless() => SPOTLESS,
            None if machine.standing(Moment(0)) == Standing::Up => BLEMISHED,
            None => PROBING,
        };
        self.state.store(state, Relaxed);
        self.last_failure
            .store(machine.last_failure().map_or(0, |moment| moment.0), Relaxed);
    }
}

fn milliseconds(pause: std::time::Duration) -> u64 {
    u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::{sync::atomic::AtomicUsize, time::Duration};

    use prometheus::Registry;

    use super::*;
    use crate::upstream::metrics::Metrics;

    const POLICY: Policy = Policy {
        failures: FAILURES_TO_MARK_DOWN,
        first_pause: Duration::from_secs(1),
        longest_pause: Duration::from_secs(30),
    };

    fn at(seconds: u64) -> Moment {
        Moment::from_seconds(seconds)
    }

    fn health() -> Health {
        Health::new(
            POLICY,
            Metrics::register(&Registry::new())
                .expect("unregistered names")
                .health,
        )
    }

    fn put_down(health: &Health, name: &str, now: Moment) -> Arc<Target> {
        let target = health.target(name);
        for _ in 0..FAILURES_TO_MARK_DOWN {
            target.ask_anyway(now).failed(now);
        }
        target
    }

    #[test]
    fn an_upstream_goes_down_is_probed_once_and_comes_back_and_the_counters_say_so() {
        let health = health();
        assert_eq!(health.standing("parent-ams-1", at(1)), (Standing::Up, None));
        let target = put_down(&health, "parent-ams-1", at(10));
        assert_eq!(
            health.standing("parent-ams-1", at(10)),
            (Standing::Resting, Some(at(10)))
        );
        assert!(target.ask(at(10)).is_none());
        assert_eq!(health.metrics.up("parent-ams-1").get(), 0);
        assert_eq!(health.metrics.went_down("parent-ams-1").get(), 1);

        assert_eq!(health.due(at(11)).len(), 1);
        let probe = target.ask(at(11)).expect("its pause is over");
        assert!(probe.is_probe());
        assert!(target.ask(at(11)).is_none(), "one probe at a time");
        assert!(health.due(at(11)).is_empty());
        probe.failed(at(11));
        assert_eq!(health.metrics.failed_probes("parent-ams-1").get(), 1);
        assert_eq!(
            target.standing(at(12)),
            Standing::Resting,
            "two seconds this time"
        );

        target.ask(at(13)).expect("its pause is over").succeeded();
        assert_eq!(target.standing(at(13)), Standing::Up);
        assert!(!target.ask(at(13)).expect("it is up").is_probe());
        assert_eq!(health.metrics.up("parent-ams-1").get(), 1);
    }

    #[test]
    fn a_ticket_that_is_dropped_says_nothing_and_gives_the_probe_back() {
        let health = health();
        let target = put_down(&health, "origin", at(10));
        drop(target.ask(at(11)).expect("a probe"));
        assert_eq!(target.standing(at(11)), Standing::Due);
        drop(target.ask_anyway(at(10)));
        assert_eq!(target.standing(at(11)), Standing::Due);
    }

    #[test]
    fn the_summary_follows_the_machine() {
        let target = health().target("origin");
        let shown = || target.summary.state.load(Relaxed);
        assert_eq!(shown(), SPOTLESS);
        target.ask_anyway(at(1)).failed(at(1));
        assert_eq!(shown(), BLEMISHED);
        target.ask_anyway(at(1)).succeeded();
        assert_eq!(shown(), SPOTLESS);
        for _ in 0..3 {
            target.ask_anyway(at(2)).failed(at(2));
        }
        assert_eq!(shown(), at(3).0);
        let probe = target.ask(at(3));
        assert_eq!(shown(), PROBING);
        drop(probe);
        assert_eq!(shown(), at(3).0);
    }

    #[test]
    fn upstreams_that_are_no_longer_wanted_are_forgotten() {
        let health = health();
        put_down(&health, "old", at(1));
        put_down(&health, "kept", at(1));
        health.retain(|name| name == "kept");
        assert_eq!(health.standing("old", at(1)).0, Standing::Up);
        assert_eq!(health.standing("kept", at(1)).0, Standing::Resting);
    }

    #[test]
    fn of_many_threads_one_gets_to_probe() {
        let health = health();
        let target = put_down(&health, "origin", at(10));
        for round in 1..=50 {
            let now = at(10 + round * 60);
            let probes = AtomicUsize::new(0);
            let all_asked = std::sync::Barrier::new(4);
            std::thread::scope(|threads| {
                for _ in 0..4 {
                    threads.spawn(|| {
                        let ticket = target.ask(now);
                        all_asked.wait();
                        if let Some(ticket) = ticket {
                            probes.fetch_add(1, Relaxed);
                            ticket.failed(now);
                        }
                    });
                }
            });
            assert_eq!(probes.load(Relaxed), 1, "round {round}");
        }
    }
}
