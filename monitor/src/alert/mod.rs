//! Alerting: from what is wrong to people who know, once, and surely.
//!
//! ```text
//! wrong ─fold→ wanted ─firing, pending→ changes ─outbox→ on disk ─courier→ PagerDuty
//!                                                                └courier→ Alertmanager
//! ```
//!
//! Invariants:
//! - What is to be said lies on disk before anybody believes that it was said, and that sending it begins lies on disk
//!   before it does. A crash at any point loses nothing; a receiver may see the same event twice.
//! - Everything left of the couriers decides, knows the time only as an argument, and is asked by one thread.
//! - Nothing here judges whether a node is well, and nothing elsewhere knows what a receiver speaks.

pub(crate) mod alertmanager;
pub(crate) mod authorization;
mod courier;
pub(crate) mod firing;
pub(crate) mod fold;
pub(crate) mod key;
mod metrics;
mod milliseconds;
mod outbox;
pub(crate) mod pagerduty;
mod pending;
mod post;
pub(crate) mod retry;
mod round;
mod sink;
mod storm;
#[cfg(test)]
mod tests;
pub(crate) mod wrong;

use std::mem;
use std::sync::Arc;

use daemon::clock;
use model::Moment;
use parking_lot::Mutex;
use prometheus::Registry;
use redb::Database;

use self::alertmanager::{Alertmanager, AlertmanagerSink};
use self::courier::{Courier, Leaving};
use self::firing::Patience;
use self::fold::{Alert, fold};
use self::metrics::AlertMetrics;
use self::outbox::Outbox;
use self::outbox::store::{RedbStore, Store};
use self::pagerduty::{PagerDuty, PagerDutySink};
use self::pending::Pending;
use self::retry::Pace;
use self::sink::Sink;
use self::wrong::Wrong;

/// How this monitor alerts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AlertConfig {
    /// The name of the CDN: part of every key.
    pub(crate) cdn: String,
    /// The name of this monitor.
    pub(crate) monitor: String,
    /// There are other monitors, which speak for this one while it is away.
    pub(crate) has_peers: bool,
    pub(crate) patience: Patience,
    pub(crate) pace: Pace,
    pub(crate) pagerduty: Option<PagerDuty>,
    pub(crate) alertmanager: Option<Alertmanager>,
    /// Where a person finds out more; receivers link to it.
    pub(crate) console_url: Option<String>,
}

impl AlertConfig {
    fn sinks(&self) -> Vec<Box<dyn Sink>> {
        let url = &self.console_url;
        let mut sinks: Vec<Box<dyn Sink>> = Vec::new();
        if let Some(config) = &self.pagerduty {
            sinks.push(Box::new(PagerDutySink::new(config.clone(), url.clone())));
        }
        if let Some(config) = &self.alertmanager {
            let sink = AlertmanagerSink::new(config.clone(), &self.cdn, url.clone());
            sinks.push(Box::new(sink));
        }
        sinks
    }
}

/// Alerting at work.
pub(crate) struct Alerts {
    cdn: String,
    state: Mutex<State>,
    /// A copy for whoever looks: nobody who looks waits for a disk.
    firing: Mutex<Arc<Vec<Alert>>>,
    outbox: Arc<Outbox>,
    couriers: Mutex<Vec<Courier>>,
    metrics: AlertMetrics,
}

struct State {
    pending: Pending,
    /// The last that was to be said could not be written.
    is_broken: bool,
}

impl Alerts {
    /// Goes on where the monitor stopped: what was queued is sent, and what was triggered and is wrong no more will be
    /// resolved.
    ///
    /// # Errors
    /// When the outbox cannot be read or written, a thread cannot be started, or the metrics are registered already.
    pub(crate) fn open(
        config: AlertConfig,
        database: Arc<Database>,
        registry: &Registry,
    ) -> Result<Alerts, String> {
        Alerts::open_on(config, Box::new(RedbStore::new(database)), registry)
    }

    fn open_on(config: AlertConfig, store: Box<dyn Store>, registry: &Registry) -> Result<Alerts, String> {
        let sinks = config.sinks();
        let names: Vec<&'static str> = sinks.iter().map(|sink| sink.name()).collect();
        let metrics = AlertMetrics::register(registry, &names)
            .map_err(|error| format!("cannot count alerts: {error}"))?;
        let outbox = Outbox::open(store, &names, metrics.clone(), Moment(clock::now_millis()))?;
        let outbox = Arc::new(outbox);
        let pending = Pending::resume(
            &config.cdn,
            &config.monitor,
            config.patience,
            outbox.said(),
            config.has_peers,
        );
        let couriers = sinks
            .into_iter()
            .map(|sink| Courier::start(sink, outbox.clone(), config.pace))
            .collect::<Result<_, _>>()?;
        let alerts = Alerts {
            cdn: config.cdn,
            firing: Mutex::default(),
            state: Mutex::new(State {
                pending,
                is_broken: false,
            }),
            outbox,
            couriers: Mutex::new(couriers),
            metrics,
        };
        alerts.show(&alerts.state.lock().pending);
        Ok(alerts)
    }

    /// To be called once a second with what is wrong, but not before anything is known: what is not wrong is well, as long
    /// as a majority of monitors says so. Without one nothing begins or ends but the alert that says so.
    ///
    /// `responsible` says whether it is this monitor's task to tell of a key.
    pub(crate) fn evaluate(&self, now: Moment, wrong: &Wrong, responsible: &dyn Fn(&str) -> bool) {
        let mut state = self.state.lock();
        let wanted = fold(&self.cdn, wrong, now);
        let changes = state.pending.evaluate(now, &wanted, responsible);
        if !changes.is_empty() {
            // What is queued outlives this process, whose own clock is no other's.
            match self.outbox.say(Moment(clock::now_millis()), &changes) {
                Ok(()) => {
                    state.pending.committed(now, changes);
                    state.is_broken = false;
                    self.couriers.lock().iter().for_each(Courier::wake);
                }
                Err(error) if !mem::replace(&mut state.is_broken, true) => {
                    tracing::error!(
                        error,
                        "alerts cannot be queued, they are as soon as it can be written"
                    );
                }
                Err(_) => {}
            }
        }
        self.show(&state.pending);
    }

    /// What fires, whichever monitor tells it.
    pub(crate) fn firing(&self) -> Arc<Vec<Alert>> {
        self.firing.lock().clone()
    }

    /// Stops sending, after what is being sent. What waits is sent after the next start.
    pub(crate) fn close(&self) {
        let couriers = mem::take(&mut *self.couriers.lock());
        // All are told before the first is waited for.
        let leaving: Vec<Leaving> = couriers.into_iter().map(Courier::leave).collect();
        leaving.into_iter().for_each(Leaving::wait);
    }

    fn show(&self, pending: &Pending) {
        let firing: Vec<Alert> = pending.firing().cloned().collect();
        self.metrics.set_firing(&firing);
        *self.firing.lock() = Arc::new(firing);
    }
}
