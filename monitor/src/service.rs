//! From a configuration to a monitor at work, and back to silence: configure → build → run → drain.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use daemon::admin::{Admin, Readiness};
use daemon::certificates::Certificates;
use daemon::connect::Trust;
use daemon::follow::{Follow, Follower, Opened, Pace};
use daemon::process::Failure;
use daemon::signals::{Signal, Signals};
use model::Snapshot;
use parking_lot::Mutex;
use prometheus::Registry;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

use crate::alert::Alerts;
use crate::alerting::Alerting;
use crate::api::{Door, Open, Room, routes};
use crate::board::{self, BoardMetrics, Event, Running as Board};
use crate::clock::Clock;
use crate::collect::Collecting;
use crate::config::Config;
use crate::feed::Feed;
use crate::journal::Journal;
use crate::probe::{ProbeMetrics, ProbeTls, Probing};
use crate::stats::Stats;
use crate::store;

/// Events that wait for the board: a second of ten thousand nodes. Then who has seen something waits.
const EVENTS_WAITING: usize = 16_384;

/// Threads of the runtime: probes and the board share one, the API has the other.
const THREADS: usize = 2;

/// How often closed minutes are written.
const STATS_TICK: Duration = Duration::from_secs(1);

/// How often it is looked whether another start is needed.
const LOOK: Duration = Duration::from_secs(1);

/// A monitor whose documents were read and accepted, before it touches a socket or a disk.
struct Ready {
    config: Config,
    registry: Registry,
    opened: Opened,
    /// The newest snapshot, and where newer ones go once there is a board.
    snapshots: Arc<Snapshots>,
    probe_tls: ProbeTls,
    peer_trust: Trust,
    certificates: Option<Certificates>,
}

/// Hands snapshots from the thread that follows them to the board.
#[derive(Default)]
struct Snapshots {
    latest: Mutex<Option<Arc<Snapshot>>>,
    board: Mutex<Option<mpsc::Sender<Event>>>,
}

impl Snapshots {
    fn accept(&self, document: &[u8]) -> Result<(), Vec<String>> {
        let snapshot = Snapshot::from_json(document)
            .map_err(|complaints| complaints.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        tracing::info!(
            number = snapshot.number,
            nodes = snapshot.nodes.len(),
            "snapshot in use"
        );
        let snapshot = Arc::new(snapshot);
        *self.latest.lock() = Some(Arc::clone(&snapshot));
        if let Some(board) = &*self.board.lock() {
            // Fails only when the monitor ends.
            let _ = board.blocking_send(Event::Snapshot(snapshot));
        }
        Ok(())
    }
}

/// Runs a monitor until it is told to end, or with `check` up to the point where sockets would be bound.
///
/// # Errors
///
/// What keeps it from starting.
pub(crate) fn run(config: Config, shown: &Value, version: &str, check: bool) -> Result<(), Failure> {
    // The one crypto provider of the process; a second installation can only be another of ours.
    let _ = rustls::crypto::ring::default_provider().install_default();
    if !check {
        daemon::log::start(config.log_level);
    }
    let signals = Signals::install().map_err(|error| Failure::running("cannot catch signals", error))?;
    let ready = read(config, version)?;
    if check {
        return Ok(());
    }
    let working = ready.build(shown)?;
    let outcome = working.attend(&signals);
    working.end();
    outcome
}

fn read(config: Config, version: &str) -> Result<Ready, Failure> {
    let registry = daemon::metrics::registry(version).map_err(|error| Failure::running("metrics", error))?;
    let probe_tls = ProbeTls::new(config.probe.ca_file.as_deref())
        .map_err(|error| Failure::Configuration(format!("probe.ca_file: {error}")))?;
    let peer_trust = Trust::new(config.peers_ca_file.as_deref())
        .map_err(|error| Failure::Configuration(format!("peers_ca_file: {error}")))?;
    let certificates = config.listen.tls.clone().map(Certificates::read).transpose();
    let certificates = certificates.map_err(|error| Failure::Configuration(format!("tls: {error}")))?;
    let follow = Follow {
        name: "snapshot",
        source: config.snapshot.clone(),
        token: config.snapshot_token.clone(),
        state: config.state.clone(),
        pace: Pace::of(&config.snapshot),
    };
    let snapshots = Arc::new(Snapshots::default());
    let accept = {
        let snapshots = Arc::clone(&snapshots);
        move |document: &[u8]| snapshots.accept(document)
    };
    let opened = follow.open(&registry, accept)?;
    Ok(Ready {
        config,
        registry,
        opened,
        snapshots,
        probe_tls,
        peer_trust,
        certificates,
    })
}

/// A monitor at work.
struct Working {
    runtime: Runtime,
    ending: watch::Sender<bool>,
    board: tokio::task::JoinHandle<board::Means>,
    journal: Arc<Journal>,
    door: Open,
    alerts: Arc<Alerts>,
    stats: JoinHandle<()>,
    stats_ending: std::sync::mpsc::SyncSender<()>,
    /// Nothing can be written any more, and could be after another start.
    store_is_closed: Arc<AtomicBool>,
    readiness: Readiness,
    follower: Follower,
    certificates: Option<Certificates>,
}

impl Ready {
    /// Opens the store, binds every socket, starts every thread.
    fn build(self, shown: &Value) -> Result<Working, Failure> {
        let Ready {
            config,
            registry,
            opened,
            snapshots,
            probe_tls,
            peer_trust,
            certificates,
        } = self;
        let failed = |what: &'static str| move |error: String| Failure::running(what, error);
        let counted = |error: prometheus::Error| Failure::running("metrics", error);
        let database = store::open(&config.state)?;
        let admin = Admin::bind(config.admin)
            .map_err(|error| Failure::running(format!("admin {}", config.admin), error))?;
        let door = Door::bind(&config.listen, certificates.as_ref()).map_err(failed("the API"))?;
        let readiness = Readiness::starting();
        admin
            .serve(registry.clone(), shown, readiness.clone())
            .map_err(|error| Failure::running("the admin port does not serve", error))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("monitor")
            .enable_all()
            .build()
            .map_err(|error| Failure::running("no runtime can be started", error))?;
        let _inside = runtime.enter();

        let clock = Clock::start();
        let snapshot = snapshots
            .latest
            .lock()
            .clone()
            .unwrap_or_else(|| unreachable!("a snapshot was accepted"));
        let (events, waiting) = mpsc::channel(EVENTS_WAITING);
        let metrics = BoardMetrics::register(&registry).map_err(counted)?;
        let stats =
            Arc::new(Stats::open(Arc::clone(&database), &registry).map_err(failed("the statistics"))?);
        let journal = Journal::open(Arc::clone(&database))
            .map_err(|error| Failure::running("the journal cannot be opened", error))?;
        let alerts = Alerts::open(
            config
                .alerts
                .for_cdn(&snapshot.cdn, &config.name, !config.peers.is_empty()),
            Arc::clone(&database),
            &registry,
        );
        let alerts = Arc::new(alerts.map_err(failed("alerts"))?);
        let alerting = Alerting::start(Arc::clone(&alerts))
            .map_err(|error| Failure::running("alerts are not evaluated", error))?;
        let (found, findings) = mpsc::channel(EVENTS_WAITING);
        let mut probing = Probing::new(
            config.probe.clone(),
            probe_tls,
            ProbeMetrics::register(&registry).map_err(counted)?,
            clock,
            place(&config),
            found,
        );
        let mut collecting = Collecting::new(
            config.probe.collect_interval,
            clock,
            Arc::clone(&stats),
            events.clone(),
            &registry,
        )
        .map_err(counted)?;
        let peer_names: Vec<String> = config.peers.iter().map(|peer| peer.name.clone()).collect();
        let board = Board::new(
            &config.name,
            &peer_names,
            config.policy,
            Arc::clone(&snapshot),
            clock.now(),
        );
        let feed = Arc::new(Feed::new(board.view().clone()));
        let published = Arc::new(ArcSwap::from_pointee(board.published(clock.now())));
        let room = Arc::new(Room {
            clock,
            published: Arc::clone(&published),
            feed: Arc::clone(&feed),
            journal: Arc::new(journal),
            stats: Arc::clone(&stats),
            alerts: Arc::clone(&alerts),
            board: events.clone(),
            metrics: metrics.clone(),
            heartbeat_token: config.heartbeat_token.clone(),
            streams: AtomicU64::new(1),
        });
        let door = door
            .open(&routes(Arc::clone(&room)))
            .map_err(|error| Failure::running("the API does not serve", error))?;
        tokio::spawn(hand_on(findings, events.clone(), Event::Probed));
        let (told, hearsay) = mpsc::channel(EVENTS_WAITING);
        tokio::spawn(hand_on(hearsay, events.clone(), Event::Peer));
        for peer in config.peers.clone() {
            tokio::spawn(views::follow(peer, peer_trust.clone(), told.clone()));
        }
        probing.follow(&snapshot);
        collecting.follow(&snapshot);
        let means = board::Means {
            clock,
            probing,
            collecting,
            feed,
            journal: Arc::clone(&room.journal),
            alerting,
            published,
            metrics,
        };
        let (ending, ended) = watch::channel(false);
        let board = tokio::spawn(board::run(board, means, waiting, ended));
        *snapshots.board.lock() = Some(events);
        let follower = opened
            .start()
            .map_err(|error| Failure::running("the snapshot is not followed", error))?;
        let (stats_ending, stats_ended) = std::sync::mpsc::sync_channel(1);
        let store_is_closed = Arc::new(AtomicBool::new(false));
        let look = {
            let (is_closed, state) = (Arc::clone(&store_is_closed), config.state.clone());
            move || {
                if store::wants_to_be_opened_anew(&database, &state) {
                    is_closed.store(true, Ordering::Relaxed);
                }
            }
        };
        let stats = write_minutes(stats, clock, look, stats_ended)
            .map_err(|error| Failure::running("the statistics are not written", error))?;
        readiness.set(true, "watching");
        tracing::info!(http = ?config.listen.http, https = ?config.listen.https, nodes = snapshot.nodes.len(), "watching");
        drop(_inside);
        Ok(Working {
            runtime,
            ending,
            board,
            journal: Arc::clone(&room.journal),
            door,
            alerts,
            stats,
            stats_ending,
            store_is_closed,
            readiness,
            follower,
            certificates,
        })
    }
}

/// The place of this monitor among all by name, and how many there are.
fn place(config: &Config) -> (usize, usize) {
    let before = config.peers.iter().filter(|peer| peer.name < config.name).count();
    (before, config.peers.len() + 1)
}

/// Those who see and hear know nothing of the board.
async fn hand_on<T>(mut from: mpsc::Receiver<T>, events: mpsc::Sender<Event>, event: fn(T) -> Event) {
    while let Some(value) = from.recv().await {
        if events.send(event(value)).await.is_err() {
            return;
        }
    }
}

/// Writes closed minutes, on a thread that may wait for its disk, until it is told to end.
fn write_minutes(
    stats: Arc<Stats>,
    clock: Clock,
    while_it_fails: impl Fn() + Send + 'static,
    ended: std::sync::mpsc::Receiver<()>,
) -> std::io::Result<JoinHandle<()>> {
    thread::Builder::new()
        .name("statistics".to_owned())
        .spawn(move || {
            let mut problem = None;
            loop {
                let last = ended.recv_timeout(STATS_TICK) != Err(std::sync::mpsc::RecvTimeoutError::Timeout);
                match stats.tick(clock.now()) {
                    Ok(()) => problem = None,
                    Err(error) if problem.as_ref() != Some(&error) => {
                        tracing::error!(error, "statistics cannot be written, they wait");
                        problem = Some(error);
                    }
                    Err(_) => {}
                }
                if problem.is_some() {
                    while_it_fails();
                }
                if last {
                    return;
                }
            }
        })
}

impl Working {
    /// Does what it is told until it is told to end, or has to start anew.
    fn attend(&self, signals: &Signals) -> Result<(), Failure> {
        loop {
            match signals.wait_until(Instant::now() + LOOK) {
                Some(Signal::Drain) => return Ok(()),
                Some(Signal::Reload) => {}
                None if self.store_is_closed.load(Ordering::Relaxed) => {
                    return Err(Failure::Running(
                        "the store could not be written, and has to be opened anew: start the monitor again"
                            .to_owned(),
                    ));
                }
                None if self.board.is_finished() => {
                    return Err(Failure::Running(
                        "nobody judges nodes any more: see the log for why".to_owned(),
                    ));
                }
                None => continue,
            }
            tracing::info!("reloading: snapshot, certificate");
            self.follower.look_again();
            if let Some(certificates) = &self.certificates
                && let Err(error) = certificates.reload()
            {
                tracing::error!("the old certificate stays: {error}");
            }
        }
    }

    /// Puts everything away.
    fn end(self) {
        tracing::info!("ending");
        self.readiness.set(false, "ending");
        self.ending.send_replace(true);
        let means = self.runtime.block_on(async {
            self.door.close().await;
            self.board.await
        });
        match means {
            Ok(means) => means.alerting.close(),
            Err(error) => tracing::error!(%error, "the board did not end well"),
        }
        self.journal.close();
        drop(self.stats_ending);
        if self.stats.join().is_err() {
            tracing::error!("the thread of the statistics panicked");
        }
        self.alerts.close();
        drop(self.follower);
        self.runtime.shutdown_background();
        tracing::info!("ended");
    }
}
