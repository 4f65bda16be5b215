//! From a configuration to a router at work, and back to silence: configure → build → run → drain.

use std::net::SocketAddr;
use std::sync::mpsc as std_mpsc;
use std::sync::{Arc, OnceLock};
use std::thread;

use arc_swap::ArcSwap;
use daemon::admin::{Admin, Readiness};
use daemon::certificates::Certificates;
use daemon::connect::Trust;
use daemon::follow::{Follow, Follower, Opened, Pace};
use daemon::process::Failure;
use daemon::signals::{Signal, Signals};
use model::{Moment, Snapshot};
use parking_lot::Mutex;
use prometheus::Registry;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use views::Told;

use crate::admission::Admission;
use crate::bind;
use crate::config::Config;
use crate::dns::metrics::DnsMetrics;
use crate::dns::tcp::{self, TcpLimits};
use crate::dns::udp::UdpThreads;
use crate::explain;
use crate::geography::{self, Geography, News};
use crate::http::metrics::HttpMetrics;
use crate::http::{self, Certified, Hall, Lane, Trusted};
use crate::measured::gather;
use crate::metrics::Metrics;
use crate::owner::{self, Message, Owner};
use crate::saved;
use crate::threads::{Threads, Work};
use crate::world::World;

/// Messages that wait for the owner: a second of ten thousand nodes. Then who has heard something waits.
const MESSAGES_WAITING: usize = 16_384;

/// Threads of the runtime that follows monitors and makes worlds: one to compute, one to listen.
const THREADS: usize = 2;

/// Snapshots that wait for the thread of geography, which takes the newest.
const SNAPSHOTS_WAITING: usize = 16;

/// A router whose documents were read and accepted, before it touches a socket.
struct Ready {
    config: Config,
    registry: Registry,
    metrics: Metrics,
    opened: Opened,
    snapshot: Arc<Snapshot>,
    snapshots: Arc<Snapshots>,
    geography: Geography,
    trust: Trust,
    certificates: Option<Certificates>,
}

/// Hands snapshots from the thread that follows them to the thread of geography.
#[derive(Default)]
struct Snapshots {
    first: OnceLock<Arc<Snapshot>>,
    geography: Mutex<Option<std_mpsc::SyncSender<News>>>,
    /// The newest, for those who ask nodes.
    latest: OnceLock<Arc<ArcSwap<Snapshot>>>,
}

impl Snapshots {
    fn accept(&self, document: &[u8]) -> Result<(), Vec<String>> {
        let snapshot = Snapshot::from_json(document)
            .map_err(|complaints| complaints.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let snapshot = Arc::new(snapshot);
        self.first.get_or_init(|| Arc::clone(&snapshot));
        self.latest
            .get_or_init(|| Arc::new(ArcSwap::new(Arc::clone(&snapshot))))
            .store(Arc::clone(&snapshot));
        if let Some(geography) = &*self.geography.lock() {
            // Fails only when the router ends.
            let _ = geography.send(News::Snapshot(snapshot));
        }
        Ok(())
    }
}

/// Runs a router until it is told to end, or with `check` up to the point where sockets would be bound.
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
    working.attend(&signals);
    working.end();
    Ok(())
}

fn read(mut config: Config, version: &str) -> Result<Ready, Failure> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    for threads in [&mut config.dns_threads, &mut config.http.threads] {
        *threads = if *threads == 0 { cores } else { *threads };
    }
    let counted = |error: prometheus::Error| Failure::running("metrics", error);
    let registry = daemon::metrics::registry(version).map_err(counted)?;
    let metrics = Metrics::register(&registry).map_err(counted)?;
    let trust = Trust::new(config.monitors_ca_file.as_deref())
        .map_err(|error| Failure::Configuration(format!("monitors_ca_file: {error}")))?;
    let certificates = config.http.tls.clone().map(Certificates::read).transpose();
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
    let first = snapshots.first.get().cloned();
    let snapshot = first.ok_or_else(|| Failure::Running("no snapshot was accepted".to_owned()))?;
    let geography = Geography::open(
        config.geography.clone(),
        &config.state,
        &snapshot,
        metrics.clone(),
    )
    .map_err(|complaints| Failure::Configuration(complaints.join("\n")))?;
    Ok(Ready {
        config,
        registry,
        metrics,
        opened,
        snapshot,
        snapshots,
        geography,
        trust,
        certificates,
    })
}

/// A router at work.
struct Working {
    runtime: Runtime,
    ending: watch::Sender<bool>,
    udp: Vec<UdpThreads>,
    tcp: Threads,
    readiness: Readiness,
    follower: Follower,
    certificates: Option<Certificates>,
}

impl Ready {
    /// Binds every socket, makes the first world, starts every thread.
    fn build(self, shown: &Value) -> Result<Working, Failure> {
        let Ready {
            config,
            registry,
            metrics,
            opened,
            snapshot,
            snapshots,
            geography,
            trust,
            certificates,
        } = self;
        let counted = |error: prometheus::Error| Failure::running("metrics", error);
        let http_metrics = HttpMetrics::register(&registry).map_err(counted)?;
        let dns_metrics = DnsMetrics::register(&registry).map_err(counted)?;
        let admin = Admin::bind(config.admin)
            .map_err(|error| Failure::running(format!("admin {}", config.admin), error))?;
        let sockets = Sockets::bind(&config, certificates.as_ref())?;

        let now = Moment(daemon::clock::now_millis());
        let table = geography.table();
        let watched = config.monitors.iter().map(|monitor| monitor.name.clone());
        let known = saved::load(&config.state);
        let metrics_of_edges = metrics.clone();
        let mut owner = Owner::new(
            Arc::clone(&snapshot),
            table,
            watched,
            known,
            metrics,
            config.log_decisions,
            now,
        );
        let first = owner.settle(now);
        let first = first.ok_or_else(|| Failure::Running("there is no first world".to_owned()))?;
        let world = Arc::new(ArcSwap::from_pointee(first));

        let readiness = Readiness::starting();
        let (explained, shown_sites) = (Arc::clone(&world), Arc::clone(&world));
        admin
            .page("/explain", move |query| explain::page(&explained.load(), query))
            .page("/sites", move |_| explain::sites(&shown_sites.load()))
            .serve(registry, shown, readiness.clone())
            .map_err(|error| Failure::running("the admin port does not serve", error))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("world")
            .enable_all()
            .build()
            .map_err(|error| Failure::running("no runtime can be started", error))?;
        let (messages, waiting) = mpsc::channel(MESSAGES_WAITING);
        for monitor in &config.monitors {
            let (told, heard) = mpsc::channel(MESSAGES_WAITING);
            runtime.spawn(views::follow(monitor.clone(), trust.clone(), told));
            runtime.spawn(hand_on(heard, messages.clone()));
        }
        let (sender, receiver) = std_mpsc::sync_channel(SNAPSHOTS_WAITING);
        *snapshots.geography.lock() = Some(sender.clone());
        if let (Some(latest), false) = (snapshots.latest.get(), config.round_trips.is_zero()) {
            let (latest, world, trust) = (Arc::clone(latest), Arc::clone(&world), trust.clone());
            runtime.spawn(gather(
                config.round_trips,
                trust,
                latest,
                world,
                sender,
                metrics_of_edges,
            ));
        }
        thread::Builder::new()
            .name("geography".to_owned())
            .spawn(move || geography::follow(geography, snapshot, &receiver, &messages))
            .map_err(|error| Failure::running("geography is not followed", error))?;
        runtime.spawn(owner::run(
            owner,
            waiting,
            Arc::clone(&world),
            config.state.clone(),
        ));

        let (ending, ended) = watch::channel(false);
        let hall = Arc::new(Hall {
            world: Arc::clone(&world),
            trusted: Trusted::new(config.http.trusted.clone()),
            metrics: http_metrics,
            room: http::room(config.http.max_connections),
            admission: Arc::default(),
        });
        let mut udp = Vec::new();
        for list in sockets.udp {
            let threads = UdpThreads::start(list, &world, &dns_metrics);
            udp.push(threads.map_err(|error| Failure::running("DNS over UDP", error))?);
        }
        let lanes = lanes(
            config.http.threads,
            sockets.http,
            sockets.tcp,
            &hall,
            &world,
            &dns_metrics,
            &ended,
        );
        let tcp = Threads::start(lanes).map_err(|error| Failure::running("the threads of TCP", error))?;
        let follower = opened
            .start()
            .map_err(|error| Failure::running("the snapshot is not followed", error))?;
        readiness.set(true, "routing");
        tracing::info!(dns = ?config.dns, http = ?config.http.http, https = ?config.http.https, "routing");
        Ok(Working {
            runtime,
            ending,
            udp,
            tcp,
            readiness,
            follower,
            certificates,
        })
    }
}

/// All sockets, each list with one for each thread.
struct Sockets {
    udp: Vec<Vec<std::net::UdpSocket>>,
    tcp: Vec<Vec<std::net::TcpListener>>,
    http: Vec<Vec<Certified>>,
}

impl Sockets {
    fn bind(config: &Config, certificates: Option<&Certificates>) -> Result<Sockets, Failure> {
        let failed = |error: bind::BindError| {
            let why = std::error::Error::source(&error)
                .map(|why| format!(": {why}"))
                .unwrap_or_default();
            Failure::Running(format!("{error}{why}"))
        };
        let listen =
            |address: &SocketAddr, purpose| bind::tcp(*address, config.http.threads, purpose).map_err(failed);
        let mut sockets = Sockets {
            udp: Vec::new(),
            tcp: Vec::new(),
            http: Vec::new(),
        };
        for address in &config.dns {
            sockets
                .udp
                .push(bind::udp(*address, config.dns_threads).map_err(failed)?);
            sockets.tcp.push(listen(address, "DNS over TCP")?);
        }
        let plain = config.http.http.iter().map(|address| (address, "HTTP", None));
        let secure = config
            .http
            .https
            .iter()
            .map(|address| (address, "HTTPS", certificates));
        for (address, purpose, certificates) in plain.chain(secure) {
            let listeners = listen(address, purpose)?.into_iter();
            let certified = |listener| Certified {
                listener,
                certificates: certificates.cloned(),
            };
            sockets.http.push(listeners.map(certified).collect());
        }
        Ok(sockets)
    }
}

/// What each thread of TCP does.
fn lanes(
    threads: usize,
    http: Vec<Vec<Certified>>,
    tcp: Vec<Vec<std::net::TcpListener>>,
    hall: &Arc<Hall>,
    world: &Arc<ArcSwap<World>>,
    dns_metrics: &DnsMetrics,
    ending: &watch::Receiver<bool>,
) -> Vec<Vec<Work>> {
    let mut lanes: Vec<Vec<Work>> = std::iter::repeat_with(Vec::new).take(threads).collect();
    for listeners in http {
        for (number, listener) in listeners.into_iter().enumerate() {
            let lane = Lane {
                hall: Arc::clone(hall),
                ending: ending.clone(),
            };
            lanes[number].push(Box::pin(lane.serve(listener)));
        }
    }
    let (limits, admission) = (TcpLimits::default(), Arc::new(Admission::default()));
    for listeners in tcp {
        for (number, listener) in listeners.into_iter().enumerate() {
            let (world, admission) = (Arc::clone(world), Arc::clone(&admission));
            let serving = tcp::serve(
                listener,
                world,
                limits,
                admission,
                dns_metrics.clone(),
                ending.clone(),
            );
            lanes[number].push(Box::pin(serving));
        }
    }
    lanes
}

async fn hand_on(mut heard: mpsc::Receiver<Told>, messages: mpsc::Sender<Message>) {
    while let Some(told) = heard.recv().await {
        if messages.send(Message::Monitor(told)).await.is_err() {
            return;
        }
    }
}

impl Working {
    /// Does what it is told until it is told to end.
    fn attend(&self, signals: &Signals) {
        while signals.wait() == Signal::Reload {
            tracing::info!("reloading: snapshot, certificate");
            self.follower.look_again();
            if let Some(certificates) = &self.certificates
                && let Err(error) = certificates.reload()
            {
                tracing::error!("the old certificate stays: {error}");
            }
        }
    }

    /// Answers what was asked, and asks nobody to come again.
    fn end(self) {
        tracing::info!("ending");
        self.readiness.set(false, "ending");
        self.ending.send_replace(true);
        self.udp.into_iter().for_each(UdpThreads::stop);
        self.tcp.join();
        drop(self.follower);
        self.runtime.shutdown_background();
        tracing::info!("ended");
    }
}
