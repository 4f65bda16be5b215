//! Opens the front door: first every socket and certificate, then the threads.

use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::{Arc, mpsc};

use model::round_trip::RoundTrips;
use prometheus::Registry;
use tokio::sync::watch;

use super::Application;
use super::connection::{Clock, Slots};
use super::cores::{CoreIndex, Prepared, Wires};
use super::drain::{Cores, Running, Stage};
use super::listen::{Bound, warn_without_migration};
use super::metrics::Metrics;
use super::tls::Tls;
use super::{FrontConfig, FrontError, Limits, Shared};

/// The front door, bound but closed: clients can connect and wait in the queue.
pub struct FrontDoor {
    shared: Arc<Shared>,
    bound: Vec<Bound>,
    cores: usize,
}

impl FrontDoor {
    /// Reads the certificates and binds every address, before any thread runs.
    ///
    /// # Errors
    /// The first thing that cannot be, as one line that names it.
    pub fn bind(config: &FrontConfig, registry: &Registry) -> Result<FrontDoor, FrontError> {
        config.check()?;
        let metrics = Metrics::new(registry)?;
        let tls = config
            .tls
            .as_ref()
            .map(|tls| Tls::open(tls, &metrics))
            .transpose()?;
        let cores = match config.threads {
            0 => std::thread::available_parallelism().map_or(1, NonZero::get),
            threads => threads,
        };
        let bind = |addresses: &[SocketAddr], secure: bool| {
            addresses
                .iter()
                .map(|address| Bound::new(*address, secure, cores))
                .collect::<Result<Vec<_>, _>>()
        };
        let mut bound = bind(&config.http, false)?;
        bound.append(&mut bind(&config.https, true)?);
        warn_without_migration();
        let shared = Shared {
            limits: Limits::of(config),
            slots: Slots::new(config.max_connections, metrics.open.clone()),
            metrics,
            clock: Clock::new(),
            networks: Arc::default(),
            tls,
        };
        Ok(FrontDoor {
            shared: Arc::new(shared),
            bound,
            cores,
        })
    }

    /// Tells, at any time, how far away the networks are that clients came from lately.
    pub fn round_trips(&self) -> impl Fn() -> RoundTrips + Send + Sync + 'static {
        let networks = Arc::clone(&self.shared.networks);
        move || networks.lately(daemon::clock::now_millis())
    }

    /// How many cores will serve.
    #[must_use]
    pub fn cores(&self) -> usize {
        self.cores
    }

    /// Opens. Each core makes its own application with `build`, which runs inside the core's runtime and may spawn
    /// the core's own tasks there; they end with the core. Returns when all cores serve.
    ///
    /// # Errors
    /// When the system gives no threads or file descriptors, or `build` panics.
    pub fn run<A>(
        self,
        build: impl Fn(CoreIndex) -> Arc<A> + Send + Sync + 'static,
    ) -> Result<Running, FrontError>
    where
        A: Application,
    {
        let FrontDoor { shared, bound, cores } = self;
        let addresses = bound.iter().map(|bound| (bound.address, bound.secure)).collect();
        let prepared = prepare(bound, cores)?;
        let (stage, stage_watch) = watch::channel(Stage::Serving);
        let (shutdown, shutdown_watch) = watch::channel(false);
        let (report, reports) = mpsc::channel();
        let build = Arc::new(build);
        let wires = Wires {
            shared: Arc::clone(&shared),
            stage: stage_watch,
            shutdown: shutdown_watch,
            reports: report,
        };
        let mut cores = Cores {
            threads: Vec::with_capacity(cores),
            reports,
            ended: 0,
            drained: None,
        };
        for core in prepared {
            let thread = core
                .start(wires.clone(), Arc::clone(&build))
                .map_err(FrontError::Start)?;
            cores.threads.push(thread);
        }
        // Only the threads hold a sender now: when all are gone, waiting for them ends.
        drop(wires);
        cores.await_start()?;
        Ok(Running::new(shared, addresses, stage, shutdown, cores))
    }
}

/// Deals the sockets out to the cores.
fn prepare(bound: Vec<Bound>, cores: usize) -> Result<Vec<Prepared>, FrontError> {
    let mut hands: Vec<Vec<_>> = (0..cores).map(|_| Vec::new()).collect();
    for Bound {
        address,
        secure,
        sockets,
    } in bound
    {
        for (hand, socket) in hands.iter_mut().zip(sockets) {
            hand.push((socket, address, secure));
        }
    }
    let prepare = |(index, sockets)| Prepared::new(CoreIndex(index), sockets);
    hands
        .into_iter()
        .enumerate()
        .map(prepare)
        .collect::<Result<_, _>>()
        .map_err(FrontError::Start)
}
