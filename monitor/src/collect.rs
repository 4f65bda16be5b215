//! Reads every node's `/metrics`, again and again: samples go to the statistics, and what they say to the board.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use model::{Snapshot, Status, rendezvous};
use prometheus::{IntCounterVec, Opts, Registry};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use crate::board::Event;
use crate::clock::Clock;
use crate::judge::Reading;
use crate::stats::{Stats, Vitals};

/// A node's metrics, with all its services and devices, have some hundred kilobytes.
const METRICS_BYTES_MAX: usize = 8 << 20;

/// Nodes read at the same moment; more would only wait for each other.
const AT_ONCE: usize = 64;

/// How long one reading may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Readings that fail in a row before what was known is forgotten: one is an accident.
const FAILURES_TO_FORGET: u32 = 3;

/// Everything that reads metrics.
pub(crate) struct Collecting {
    collector: Arc<Collector>,
    tasks: HashMap<String, (SocketAddr, JoinHandle<()>)>,
}

/// What all tasks share.
struct Collector {
    interval: Duration,
    clock: Clock,
    stats: Arc<Stats>,
    events: mpsc::Sender<Event>,
    places: Semaphore,
    readings: IntCounterVec,
}

impl Collecting {
    /// # Errors
    ///
    /// When a name of a metric is taken in `registry`.
    pub(crate) fn new(
        interval: Duration,
        clock: Clock,
        stats: Arc<Stats>,
        events: mpsc::Sender<Event>,
        registry: &Registry,
    ) -> prometheus::Result<Collecting> {
        let readings = IntCounterVec::new(
            Opts::new(
                "millrace_monitor_readings_total",
                "Readings of nodes' /metrics: read, failed. Failures of a node that is up: its admin port cannot be reached from here.",
            ),
            &["outcome"],
        )?;
        registry.register(Box::new(readings.clone()))?;
        let places = Semaphore::new(AT_ONCE);
        let collector = Collector {
            interval,
            clock,
            stats,
            events,
            places,
            readings,
        };
        Ok(Collecting {
            collector: Arc::new(collector),
            tasks: HashMap::new(),
        })
    }

    /// Reads the nodes of `snapshot` that say where, and no others.
    pub(crate) fn follow(&mut self, snapshot: &Snapshot) {
        let watched = snapshot
            .nodes
            .iter()
            .filter(|(_, node)| node.status != Status::Offline)
            .filter_map(|(name, node)| Some((name.clone(), node.admin?)));
        let mut tasks = HashMap::new();
        for (name, address) in watched {
            let task = match self.tasks.remove(&name) {
                Some(task) if task.0 == address => task,
                other => {
                    other.iter().for_each(|(_, handle)| handle.abort());
                    let reading = read_for_ever(Arc::clone(&self.collector), name.clone(), address);
                    (address, tokio::spawn(reading))
                }
            };
            tasks.insert(name, task);
        }
        let gone = std::mem::replace(&mut self.tasks, tasks);
        gone.values().for_each(|(_, handle)| handle.abort());
        let names = snapshot.nodes.keys().map(String::as_str).collect();
        self.collector.stats.forget_all_but(&names);
    }
}

impl Drop for Collecting {
    fn drop(&mut self) {
        self.tasks.values().for_each(|(_, handle)| handle.abort());
    }
}

async fn read_for_ever(collector: Arc<Collector>, node: String, address: SocketAddr) {
    // Spread over the interval, each node at its own place in it.
    let phase = rendezvous::key_hash(&node) % milliseconds(collector.interval).max(1);
    tokio::time::sleep(Duration::from_millis(phase) / 4).await;
    let mut ticks = tokio::time::interval(collector.interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut failures = 0_u32;
    loop {
        ticks.tick().await;
        let reading = collector.read(&node, address).await;
        failures = if reading.is_ok() {
            0
        } else {
            failures.saturating_add(1)
        };
        let outcome = if reading.is_ok() { "read" } else { "failed" };
        collector.readings.with_label_values(&[outcome]).inc();
        let reading = match reading {
            Ok(reading) => Some(reading),
            Err(error) if failures == FAILURES_TO_FORGET => {
                tracing::warn!(node, %address, error, "the node's metrics cannot be read; its load is not known");
                None
            }
            Err(_) => continue,
        };
        if collector
            .events
            .send(Event::Measured {
                node: node.clone(),
                reading,
            })
            .await
            .is_err()
        {
            return;
        }
    }
}

impl Collector {
    async fn read(&self, node: &str, address: SocketAddr) -> Result<Reading, String> {
        let _place = self.places.acquire().await.map_err(|error| error.to_string())?;
        let text = tokio::time::timeout(PATIENCE, fetch(address))
            .await
            .map_err(|_| format!("nothing within {} s", PATIENCE.as_secs()))??;
        let text = std::str::from_utf8(&text).map_err(|error| error.to_string())?;
        let at = self.clock.now();
        self.stats
            .add_text(node, text, at)
            .map_err(|error| error.to_string())?;
        Ok(self
            .stats
            .latest(node)
            .map_or_else(Reading::default, |vitals| reading_of(&vitals)))
    }
}

/// What the judge wants to know of it.
fn reading_of(vitals: &Vitals) -> Reading {
    Reading {
        load_per_core: vitals.load_per_core,
        bandwidth_share: vitals.bandwidth_ratio,
        disk_errors_per_minute: vitals.disk_errors_per_minute,
        hit_ratio: vitals.hit_ratio.map(|ratio| (ratio, vitals.hit_ratio_requests)),
    }
}

async fn fetch(address: SocketAddr) -> Result<Bytes, String> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| error.to_string())?;
    let (mut requests, conversation) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let conversation = tokio::spawn(conversation);
    let request = Request::get("/metrics")
        .header(HOST, address.to_string())
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let answer = async {
        let response = requests
            .send_request(request)
            .await
            .map_err(|error| error.to_string())?;
        if response.status() != StatusCode::OK {
            return Err(format!("/metrics is answered with {}", response.status()));
        }
        let body = Limited::new(response.into_body(), METRICS_BYTES_MAX);
        Ok(body
            .collect()
            .await
            .map_err(|error| error.to_string())?
            .to_bytes())
    };
    let answer = answer.await;
    conversation.abort();
    answer
}

fn milliseconds(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
