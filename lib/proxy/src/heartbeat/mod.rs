//! Heartbeats: every monitor is told once a second how this node is, on a stream that stays open.
//!
//! ```text
//!  Condition ──→ look: a drain at once, devices ten times a second ──→ Report ──┬─→ stream.rs to one monitor
//!                                                                               └─→ stream.rs to the next
//! ```
//!
//! A monitor that hears nothing for a few seconds takes the node for gone, so that nothing here may wait for who serves
//! clients: it has one thread with a runtime of its own. At the end of an orderly process each stream is ended after its
//! last beat, and the monitor's own end is waited for: so it has read that this node drains, and does not take it for dead.

mod metrics;
mod pause;
mod problem;
mod stream;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use daemon::connect::Trust;
use daemon::process::Failure;
use prometheus::Registry;
use tokio::sync::watch;

use crate::condition::{Condition, Report};
use crate::config::MonitorsConfig;
use crate::headers::Pseudonym;
use metrics::Metrics;
use stream::{Speaker, Stream};

/// How often the devices are looked at: what became of one is told within a tenth of a beat. One that goes to and fro
/// causes no more beats than this.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How long monitors may take to hear the last beat; one that does not hear it finds out by itself.
const FAREWELL_PATIENCE: Duration = Duration::from_millis(500);

/// The heartbeats of this node, ready to begin.
pub struct Heartbeats {
    node: Pseudonym,
    config: MonitorsConfig,
    trust: Trust,
    metrics: Metrics,
}

/// The heartbeats of this node, until the process ends.
pub struct Beating {
    leaving: watch::Sender<bool>,
    /// Ends when every stream has.
    streams: Receiver<Infallible>,
}

impl Beating {
    /// Says the last beat to every monitor and waits, for a moment, until each has heard it.
    pub fn farewell(self) {
        self.leaving.send_replace(true);
        // Either way there is nothing left to do.
        let _ = self.streams.recv_timeout(FAREWELL_PATIENCE);
    }
}

impl Heartbeats {
    /// Prepares what `node` tells the monitors of `config`; `None` where there are none.
    ///
    /// # Errors
    ///
    /// When the authorities cannot be used, or a metric's name is taken.
    pub fn prepare(
        node: &Pseudonym,
        config: &MonitorsConfig,
        registry: &Registry,
    ) -> Result<Option<Heartbeats>, Failure> {
        if config.servers.is_empty() {
            return Ok(None);
        }
        Ok(Some(Heartbeats {
            node: node.clone(),
            config: config.clone(),
            trust: Trust::new(config.ca_file.as_deref())
                .map_err(|error| Failure::Configuration(format!("monitors.ca_file: {error}")))?,
            metrics: Metrics::register(registry).map_err(|error| Failure::running("metrics", error))?,
        }))
    }

    /// Begins, on a thread named `heartbeat`, and goes on until the farewell, or the process ends.
    ///
    /// # Errors
    ///
    /// When the thread or its runtime cannot be made.
    pub fn start(self, condition: Arc<Condition>) -> io::Result<Beating> {
        let leaving = watch::Sender::new(false);
        let left = leaving.subscribe();
        let (open, streams) = sync_channel(0);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            // They resolve names; a resolver that hangs holds one for each monitor.
            .max_blocking_threads(self.config.servers.len())
            .build()?;
        std::thread::Builder::new()
            .name("heartbeat".to_owned())
            .spawn(move || runtime.block_on(self.beat(condition, left, open)))?;
        Ok(Beating { leaving, streams })
    }

    async fn beat(
        self,
        condition: Arc<Condition>,
        leaving: watch::Receiver<bool>,
        open: SyncSender<Infallible>,
    ) {
        let reports = watch::Sender::new(condition.report());
        let speaker = Arc::new(Speaker {
            node: self.node.as_str().to_owned(),
            started: condition.started,
            beats: AtomicU64::new(0),
        });
        for server in self.config.servers {
            let series = self.metrics.of_monitor(&server);
            let stream = Stream::new(
                Arc::clone(&speaker),
                server,
                self.trust.clone(),
                self.config.token.clone(),
                reports.subscribe(),
                series,
            );
            let (leaving, open) = (leaving.clone(), open.clone());
            tokio::spawn(async move {
                stream.run(leaving).await;
                drop(open);
            });
        }
        drop(open);
        look(&condition, &reports).await;
    }
}

/// Passes on how the node is whenever that changes.
async fn look(condition: &Condition, reports: &watch::Sender<Report>) {
    let mut drains = condition.drains();
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
            Ok(()) = drains.changed() => {}
        }
        let now = condition.report();
        reports.send_if_modified(|last| std::mem::replace(last, now) != now);
    }
}
