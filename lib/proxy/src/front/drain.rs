//! The front door while it is open, and the order in which it closes.
//!
//! ```text
//! the owner says "not ready", then calls drain:
//!   1. every core accepts what waits in its queues and closes its sockets
//!   2. the shutdown watch turns true: the next h1 answer says `Connection: close`, h2 gets GOAWAY
//!   3. h1 connections end when they wait for a request for half a second: busy clients get that answer first
//!   4. what is left is waited for until the time is over, and cut
//! ```
//!
//! In any other order requests are lost: of 640 busy keep-alive connections 358 when idle ones are closed at once. The
//! application's `cleanup` is called after the half second, if any connection outlives it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::tls::CertificateError;
use super::{FrontError, Shared};

/// How long a core may take to end once all its connections are gone or cut.
const CORE_END: Duration = Duration::from_secs(5);

/// How far the process is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Open.
    Serving,
    /// Take what waits, then close the sockets.
    StopAccepting,
    /// End connections that wait for a request for a while.
    CloseIdle,
    /// End.
    End,
}

/// A core has done what a stage asks.
pub(crate) struct Report(pub(crate) Stage);

/// What a drain came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were still open when the time was over, and were cut.
    pub cut: usize,
}

/// The front door, open. Dropping it ends it without a drain.
pub struct Running {
    shared: Arc<Shared>,
    addresses: Vec<(SocketAddr, bool)>,
    stage: watch::Sender<Stage>,
    /// Kept until the end: h2 connections take a dropped sender for a shutdown.
    shutdown: watch::Sender<bool>,
    cores: Mutex<Cores>,
}

/// The threads, and what they report.
pub(crate) struct Cores {
    pub(crate) threads: Vec<JoinHandle<()>>,
    pub(crate) reports: Receiver<Report>,
    /// How many have reported their end.
    pub(crate) ended: usize,
    pub(crate) drained: Option<Drained>,
}

impl Running {
    pub(crate) fn new(
        shared: Arc<Shared>,
        addresses: Vec<(SocketAddr, bool)>,
        stage: watch::Sender<Stage>,
        shutdown: watch::Sender<bool>,
        cores: Cores,
    ) -> Running {
        Running {
            shared,
            addresses,
            stage,
            shutdown,
            cores: Mutex::new(cores),
        }
    }

    /// The plain addresses, with the ports that were given for 0.
    #[must_use]
    pub fn http(&self) -> Vec<SocketAddr> {
        self.addresses
            .iter()
            .filter(|(_, secure)| !secure)
            .map(|(address, _)| *address)
            .collect()
    }

    /// The TLS addresses, with the ports that were given for 0.
    #[must_use]
    pub fn https(&self) -> Vec<SocketAddr> {
        self.addresses
            .iter()
            .filter(|(_, secure)| *secure)
            .map(|(address, _)| *address)
            .collect()
    }

    /// Connections open now.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.shared.slots.open()
    }

    /// Reads the certificate files again; new connections get what is in them, open ones keep what they have. May be
    /// called at any time, also during a drain.
    ///
    /// # Errors
    /// When a file cannot be used. All the old certificates then stay.
    pub fn reload_certificates(&self) -> Result<(), CertificateError> {
        self.shared
            .tls
            .as_ref()
            .map_or(Ok(()), |tls| tls.reload(&self.shared.metrics))
    }

    /// Closes the door in the order above, within `timeout`. Blocks, so it may not be called on a core's runtime. A
    /// second call waits for the first and gets its result.
    pub fn drain(&self, timeout: Duration) -> Drained {
        let mut cores = self.cores.lock();
        if let Some(drained) = cores.drained {
            return drained;
        }
        let deadline = Instant::now() + timeout;
        self.stage.send_replace(Stage::StopAccepting);
        if !cores.await_all(Stage::StopAccepting, deadline) {
            tracing::warn!("a core did not close its sockets in time");
        }
        self.shutdown.send_replace(true);
        self.stage.send_replace(Stage::CloseIdle);
        let cut = self.shared.slots.wait_until_none(deadline);
        self.shared.metrics.cut.inc_by(cut as u64);
        self.end(&mut cores);
        let drained = Drained { cut };
        cores.drained = Some(drained);
        drained
    }

    fn end(&self, cores: &mut Cores) {
        self.stage.send_replace(Stage::End);
        if !cores.await_all(Stage::End, Instant::now() + CORE_END) {
            tracing::error!("a core hangs and is left behind");
            cores.threads.clear();
        }
        for thread in cores.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a core's thread panicked");
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut cores = self.cores.lock();
        if cores.drained.is_none() {
            self.end(&mut cores);
        }
    }
}

impl Cores {
    /// Waits until every core has reported `stage`, or has ended; false when time ran out.
    fn await_all(&mut self, stage: Stage, deadline: Instant) -> bool {
        let mut missing = self.threads.len() - self.ended;
        while missing > 0 {
            let patience = deadline.saturating_duration_since(Instant::now());
            match self.reports.recv_timeout(patience) {
                Ok(Report(Stage::End)) => {
                    self.ended += 1;
                    missing -= 1;
                }
                Ok(Report(reached)) if reached == stage => missing -= 1,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// Waits until every core serves.
    ///
    /// # Errors
    /// When one died before.
    pub(crate) fn await_start(&self) -> Result<(), FrontError> {
        for _ in &self.threads {
            match self.reports.recv() {
                Ok(Report(Stage::Serving)) => {}
                Ok(_) | Err(_) => return Err(FrontError::CoreDied),
            }
        }
        Ok(())
    }
}
