//! From a configuration to a serving node, and back to silence: configure → build → run → drain.
//!
//! Edge and parent differ in what they are told, not in how they are put together.

mod storage;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use cache::relay::Relay;
use daemon::admin::{Admin, PageAnswer, Readiness};
use daemon::follow::{Follow, Follower, Opened, Pace};
use daemon::process::Failure;
use daemon::signals::{Signal, Signals};
use model::{Moment, Snapshot, Tier};
use prometheus::Registry;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::app::App;
use crate::condition::Condition;
use crate::config::{NodeConfig, UpstreamConfig};
use crate::front::{CoreIndex, FrontConfig, FrontDoor, Running};
use crate::heartbeat::{Beating, Heartbeats};
use crate::log::{self, AccessLog};
use crate::metrics::Metrics;
use crate::node::{Core, Node};
use crate::upstream::exchange::{Connections, check_ca_file};
use crate::upstream::{Upstreams, probe};
use crate::world::World;

/// How long the access log may take for its last lines when the daemon ends.
const LOG_PATIENCE: Duration = Duration::from_secs(5);

/// The core that probes upstreams for all.
const PROBING_CORE: CoreIndex = CoreIndex(0);

/// What a node is told, checked; inert.
pub struct Settings {
    /// The tier it serves.
    pub tier: Tier,
    /// What every node is told.
    pub node: NodeConfig,
    /// Where clients connect.
    pub front: FrontConfig,
    /// The max-age of `Strict-Transport-Security` on answers over TLS.
    pub hsts: Option<Duration>,
    /// The configuration in use as `/config` shows it.
    pub shown: Value,
    /// The daemon's version.
    pub version: &'static str,
}

/// A node whose documents were read and accepted, before it touches a socket or a disk.
struct Ready {
    settings: Settings,
    registry: Registry,
    metrics: Metrics,
    heartbeats: Option<Heartbeats>,
    world: Arc<ArcSwap<World>>,
    snapshot: Opened,
}

/// Runs a node until it is told to end, or with `check` up to the point where sockets would be bound.
///
/// # Errors
///
/// What keeps it from starting.
pub fn run(settings: Settings, check: bool) -> Result<(), Failure> {
    // The one crypto provider of the process; a second installation can only be another of ours.
    let _ = rustls::crypto::ring::default_provider().install_default();
    if !check {
        daemon::log::start(settings.node.log_level);
    }
    for remark in settings.node.cache.remarks() {
        match check {
            true => eprintln!("{remark}"),
            false => tracing::warn!("{remark}"),
        }
    }
    let signals = Signals::install().map_err(|error| Failure::running("cannot catch signals", error))?;
    let ready = read(settings)?;
    if check {
        return Ok(());
    }
    let serving = ready.build()?;
    serving.attend(&signals);
    serving.announce_end(&signals);
    serving.drain();
    Ok(())
}

fn read(settings: Settings) -> Result<Ready, Failure> {
    let registry =
        daemon::metrics::registry(settings.version).map_err(|error| Failure::running("metrics", error))?;
    let metrics = Metrics::register(&registry).map_err(|error| Failure::running("metrics", error))?;
    if let Some(tls) = &settings.front.tls {
        crate::front::check_certificates(tls).map_err(|error| Failure::Configuration(error.to_string()))?;
    }
    if let Some(file) = &settings.node.upstream.exchange.ca_file {
        check_ca_file(file).map_err(Failure::Configuration)?;
    }
    let heartbeats = Heartbeats::prepare(&settings.node.name, &settings.node.monitors, &registry)?;
    let world = Arc::new(ArcSwap::from_pointee(World::empty(
        settings.node.name.clone(),
        settings.tier,
    )));
    let follow = Follow {
        name: "snapshot",
        source: settings.node.snapshot.clone(),
        token: settings.node.snapshot_token.clone(),
        state: settings.node.state.clone(),
        pace: Pace::of(&settings.node.snapshot),
    };
    let accept = {
        let (world, metrics) = (world.clone(), metrics.clone());
        let (name, tier) = (settings.node.name.as_str().to_owned(), settings.tier);
        let epochs = AtomicU64::new(1);
        move |document: &[u8]| {
            let snapshot = Snapshot::from_json(document)
                .map_err(|complaints| complaints.iter().map(ToString::to_string).collect::<Vec<_>>())?;
            let epoch = epochs.fetch_add(1, Ordering::Relaxed);
            match World::compile(&snapshot, &name, tier, epoch, &metrics) {
                Ok(compiled) => {
                    tracing::info!(
                        number = snapshot.number,
                        services = snapshot.services.len(),
                        "snapshot in use"
                    );
                    world.store(Arc::new(compiled));
                    Ok(())
                }
                Err(complaints) => {
                    metrics.worlds_refused.inc();
                    Err(complaints)
                }
            }
        }
    };
    let snapshot = follow.open(&registry, accept)?;
    Ok(Ready {
        settings,
        registry,
        metrics,
        heartbeats,
        world,
        snapshot,
    })
}

/// A node at work.
struct Serving {
    settings: Settings,
    node: Arc<Node>,
    running: Running,
    readiness: Readiness,
    follower: Follower,
    /// Where monitors are told how it is.
    beating: Option<Beating>,
}

impl Ready {
    /// Opens the disk, binds every socket, starts every thread.
    fn build(self) -> Result<Serving, Failure> {
        let Ready {
            settings,
            registry,
            metrics,
            heartbeats,
            world,
            snapshot,
        } = self;
        let state = &settings.node.state;
        std::fs::create_dir_all(state)
            .map_err(|error| Failure::running(format!("the state directory {}", state.display()), error))?;
        let admin = Admin::bind(settings.node.admin)
            .map_err(|error| Failure::running(format!("admin {}", settings.node.admin), error))?;
        let front = FrontDoor::bind(&settings.front, &registry)
            .map_err(|error| Failure::running("the front door does not open", error))?;
        let readiness = Readiness::starting();
        let round_trips = front.round_trips();
        admin
            .page("/round-trips", move |_| PageAnswer::Json(json!(round_trips())))
            .serve(registry.clone(), &settings.shown, readiness.clone())
            .map_err(|error| Failure::running("the admin port does not serve", error))?;
        let log = settings
            .node
            .access_log
            .clone()
            .map(|config| {
                AccessLog::open(config, log::Metrics::register(&registry)?).map_err(Box::<dyn Error>::from)
            })
            .transpose()
            .map_err(|error| Failure::running("the access log", error))?;
        let (cache, disks) = storage::open(&settings.node.cache, &registry)?;
        let condition = Arc::new(Condition::new(daemon::clock::now_millis(), disks));
        let node = Arc::new(Node {
            world,
            cache,
            upstreams: Upstreams::new(&settings.node.upstream, &registry)
                .map_err(|error| Failure::running("upstreams", error))?,
            compressions: Semaphore::new(compressions_at_once()),
            collapse_timeout: settings.node.upstream.collapse_timeout,
            condition,
            metrics,
            log,
            hsts: settings.hsts,
        });
        let running = {
            let (node, front_config) = (node.clone(), settings.front.clone());
            let upstream = settings.node.upstream.clone();
            front.run(move |index| start_core(index, &node, &upstream, &front_config))
        }
        .map_err(|error| Failure::running("the front door does not open", error))?;
        let follower = snapshot
            .start()
            .map_err(|error| Failure::running("the snapshot is not followed", error))?;
        readiness.set(true, "serving");
        let beating = heartbeats
            .map(|heartbeats| heartbeats.start(node.condition.clone()))
            .transpose()
            .map_err(|error| Failure::running("heartbeats do not begin", error))?;
        tracing::info!(http = ?running.http(), https = ?running.https(), "serving");
        Ok(Serving {
            settings,
            node,
            running,
            readiness,
            follower,
            beating,
        })
    }
}

/// Makes the app of one core, inside that core's runtime, and starts the core's own tasks.
fn start_core(
    index: CoreIndex,
    node: &Arc<Node>,
    upstream: &UpstreamConfig,
    front: &FrontConfig,
) -> Arc<App> {
    tokio::spawn(Relay::install());
    let log = node.log.as_ref().map(AccessLog::core_writer);
    if let Some(writer) = log.clone() {
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(log::TICK);
            loop {
                tick.tick().await;
                writer.tick();
            }
        });
    }
    let connections = Connections::new(upstream.exchange.clone());
    let core = Arc::new(Core {
        node: node.clone(),
        connections,
        log,
    });
    if index == PROBING_CORE {
        tokio::spawn(probe(core.clone(), upstream.probe_interval));
    }
    Arc::new(App::new(core, front))
}

/// Looks after the upstreams that are down, for all cores.
async fn probe(core: Arc<Core>, interval: Duration) {
    let world = || core.node.world.load_full();
    let now = || Moment(daemon::clock::now_millis());
    probe::run(&core.node.upstreams, &core.connections, world, now, interval).await;
}

impl Serving {
    /// Does what it is told until it is told to end.
    fn attend(&self, signals: &Signals) {
        while signals.wait() == Signal::Reload {
            self.reload();
        }
    }

    fn reload(&self) {
        tracing::info!("reloading: snapshot, certificates, access log");
        self.follower.look_again();
        if let Err(error) = self.running.reload_certificates() {
            tracing::error!("the old certificates stay: {error}");
        }
        if let Some(log) = &self.node.log {
            log.reopen();
        }
    }

    /// Tells everybody that it ends, and serves on until nobody should come any more.
    fn announce_end(&self, signals: &Signals) {
        self.node.condition.drain();
        self.readiness.set(false, "draining");
        let delay = self.settings.front.drain_delay;
        if delay.is_zero() {
            return;
        }
        tracing::info!(
            seconds = delay.as_secs_f64(),
            "told to end; taking on clients until those who send them here know"
        );
        let deadline = Instant::now() + delay;
        while let Some(signal) = signals.wait_until(deadline) {
            // Told twice to end, the process would be gone.
            if signal == Signal::Reload {
                self.reload();
            }
        }
    }

    /// Sees everybody out and puts everything away.
    fn drain(self) {
        tracing::info!(connections = self.running.open_connections(), "draining");
        // First, so that a successor can take the devices over while we see the last clients out.
        let closing = storage::close(&self.node.cache);
        let drained = self.running.drain(self.settings.front.drain_timeout);
        match closing.map(JoinHandle::join) {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) | Err(error) => {
                tracing::error!("the cache is not sealed, its last second is lost: {error}");
            }
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
        }
        if let Some(log) = &self.node.log
            && !log.close(LOG_PATIENCE)
        {
            tracing::warn!("the access log's disk hangs; its last lines are lost");
        }
        if let Some(beating) = self.beating {
            beating.farewell();
        }
        tracing::info!(cut = drained.cut, "ended");
    }
}

/// How many objects may be compressed at once: by half of the cores, one at least.
fn compressions_at_once() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2))
}
