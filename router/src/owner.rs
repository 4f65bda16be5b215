//! Who makes worlds: what monitors, the snapshot and geography say comes in, and a new world goes out when it matters.
//!
//! [`Owner`] decides, with `now` as an argument; [`run`] moves messages and time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use daemon::clock::Steady;
use model::health::{Ballot, Merged, Standing, View, merge};
use model::{Moment, Snapshot};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use views::{Heard, Told};

use crate::decide::{Availability, Controls, Fleet, Health};
use crate::dns::authority::Zones;
use crate::geo::table::Table;
use crate::metrics::Metrics;
use crate::routes::Routes;
use crate::saved;
use crate::tallies::Tallies;
use crate::world::World;

/// How often time itself is looked at: views that grow old, controls that step.
const TICK: Duration = Duration::from_millis(250);

/// What comes within so long makes one world.
const COALESCE: Duration = Duration::from_millis(10);

/// Messages taken in before the next world.
const BATCH: usize = 1024;

/// Worlds of this process so far: the next one's number.
static WORLDS: AtomicU64 = AtomicU64::new(0);

/// Something changed.
pub(crate) enum Message {
    Snapshot(Arc<Snapshot>),
    /// Where clients are, and the snapshot whose sites it ranks.
    Geography(Arc<Table>, Arc<Snapshot>),
    Monitor(Told),
}

/// Everything a world is made of.
pub(crate) struct Owner {
    snapshot: Arc<Snapshot>,
    fleet: Arc<Fleet>,
    zones: Arc<Zones>,
    routes: Arc<Routes>,
    table: Arc<Table>,
    logged: u32,
    monitors: BTreeMap<String, Seen>,
    merged: Arc<Merged>,
    health: Health,
    controls: Controls,
    tallies: Arc<Tallies>,
    /// Sites have other numbers since the last world: what was counted by the old ones says nothing.
    renumbered: bool,
    /// The last world's, to see whether another is due.
    availability: Option<Availability>,
    metrics: Metrics,
}

#[derive(Default)]
struct Seen {
    view: Option<Arc<View>>,
    heard: Moment,
}

impl Owner {
    /// `known` is what monitors said before a restart.
    pub(crate) fn new(
        snapshot: Arc<Snapshot>,
        table: Arc<Table>,
        monitors: impl IntoIterator<Item = String>,
        known: Option<Merged>,
        metrics: Metrics,
        logged: u32,
        now: Moment,
    ) -> Owner {
        let mut health = Health::default();
        let merged = Arc::new(known.unwrap_or_default());
        health.take(Arc::clone(&merged), now);
        Owner {
            fleet: Arc::new(Fleet::compile(&snapshot)),
            zones: Arc::new(Zones::compile(&snapshot)),
            routes: metrics.routes(&snapshot),
            snapshot,
            table,
            logged,
            monitors: monitors.into_iter().map(|name| (name, Seen::default())).collect(),
            merged,
            health,
            controls: Controls::default(),
            tallies: Arc::default(),
            renumbered: false,
            availability: None,
            metrics,
        }
    }

    /// Takes in what changed. What follows comes of the next [`Owner::settle`].
    pub(crate) fn take(&mut self, now: Moment, message: Message) {
        match message {
            Message::Monitor(Told { name, heard }) => {
                let Some(seen) = self.monitors.get_mut(&name) else {
                    return;
                };
                match heard {
                    Heard::View(view) => {
                        *seen = Seen {
                            view: Some(view),
                            heard: now,
                        }
                    }
                    Heard::Nothing => seen.heard = now,
                    Heard::Lost(_) => {}
                }
            }
            // A ranking names sites by their places: the two come into use together.
            Message::Geography(table, snapshot) => {
                self.table = table;
                self.use_snapshot(snapshot);
            }
            Message::Snapshot(snapshot) => self.use_snapshot(snapshot),
        }
    }

    fn use_snapshot(&mut self, snapshot: Arc<Snapshot>) {
        let fleet = Arc::new(Fleet::compile(&snapshot));
        self.renumbered |= self.controls.renumber(&self.fleet, &fleet);
        self.fleet = fleet;
        self.zones = Arc::new(Zones::compile(&snapshot));
        self.routes = self.metrics.routes(&snapshot);
        self.snapshot = snapshot;
        self.availability = None;
    }

    /// Makes a new world if one is due; `None` where the old one still says what is so.
    pub(crate) fn settle(&mut self, now: Moment) -> Option<World> {
        let ballots: Vec<Ballot<'_>> = self
            .monitors
            .iter()
            .map(|(monitor, seen)| Ballot {
                monitor,
                view: seen.view.as_deref(),
                heard: seen.heard,
            })
            .collect();
        let merged = merge(&self.merged, &ballots, &self.snapshot, now);
        let counting = merged
            .monitors
            .values()
            .filter(|standing| **standing == Standing::Counts)
            .count();
        self.metrics
            .monitors_counting
            .set(i64::try_from(counting).unwrap_or(i64::MAX));
        self.metrics.health_frozen.set(i64::from(!merged.quorum));
        if merged != *self.merged {
            self.merged = Arc::new(merged);
        }
        self.health.take(Arc::clone(&self.merged), now);
        let availability = self.health.judge(&self.fleet, now);
        let stepped = self.controls.is_due(now);
        if stepped || self.renumbered {
            let mut counted = self.tallies.take();
            if std::mem::take(&mut self.renumbered) {
                counted.clear();
            }
            self.controls.step(&self.fleet, &availability, &counted, now);
        }
        if !stepped && self.availability.as_ref() == Some(&availability) {
            return None;
        }
        let world = World {
            number: WORLDS.fetch_add(1, Ordering::Relaxed),
            zones: Arc::clone(&self.zones),
            table: Arc::clone(&self.table),
            present: crate::decide::World::compile(&self.fleet, &availability, &self.controls),
            routes: Arc::clone(&self.routes),
            tallies: Arc::clone(&self.tallies),
            logged: self.logged,
        };
        self.metrics.show_sites(&world.present);
        self.availability = Some(availability);
        Some(world)
    }

    /// What monitors together say, to be kept over a restart.
    pub(crate) fn merged(&self) -> &Arc<Merged> {
        &self.merged
    }
}

/// Until nobody can send messages any more.
pub(crate) async fn run(
    mut owner: Owner,
    mut messages: mpsc::Receiver<Message>,
    world: Arc<ArcSwap<World>>,
    state: PathBuf,
) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // A wall clock that is set back would make a dead monitor look fresh, and stop what is steered by load.
    let clock = Steady::start();
    let mut kept = Arc::clone(owner.merged());
    let mut writing: Option<JoinHandle<()>> = None;
    loop {
        let first = tokio::select! {
            message = messages.recv() => match message {
                Some(message) => Some(message),
                None => return,
            },
            _ = ticks.tick() => None,
        };
        if first.is_some() {
            tokio::time::sleep(COALESCE).await;
        }
        let now = Moment(clock.now_millis());
        let rest = std::iter::from_fn(|| messages.try_recv().ok()).take(BATCH);
        for message in first.into_iter().chain(rest) {
            owner.take(now, message);
        }
        if let Some(new) = owner.settle(now) {
            world.store(Arc::new(new));
        }
        // One writer at a time; what changes meanwhile is written at a later tick.
        let is_idle = writing.as_ref().is_none_or(JoinHandle::is_finished);
        if is_idle && owner.merged().quorum && !saved::says_the_same(&kept, owner.merged()) {
            kept = Arc::clone(owner.merged());
            let (state, merged) = (state.clone(), Arc::clone(&kept));
            // Whoever waits for a disk waits elsewhere.
            writing = Some(tokio::task::spawn_blocking(move || saved::keep(&state, &merged)));
        }
    }
}
