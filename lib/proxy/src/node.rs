//! A node at work: what all its cores share, and what each core has to itself.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use cache::Cache;
use tokio::sync::Semaphore;

use crate::condition::Condition;
use crate::log::{AccessLog, CoreWriter};
use crate::metrics::Metrics;
use crate::upstream::Upstreams;
use crate::upstream::exchange::Connections;
use crate::world::World;

/// What every core of the node shares.
pub struct Node {
    /// The snapshot, compiled; swapped whole.
    pub world: Arc<ArcSwap<World>>,
    /// The cache engine.
    pub cache: Cache,
    /// Health, names, limits and budget of upstreams.
    pub upstreams: Upstreams,
    /// Turns of compressing something: a few at a time, so that serving goes on.
    pub compressions: Semaphore,
    /// How long a request waits for what another has asked upstream for; then it asks for itself.
    pub collapse_timeout: Duration,
    /// How the node is, by its own word.
    pub condition: Arc<Condition>,
    /// What the life of a request counts.
    pub metrics: Metrics,
    /// Where requests are logged, if anywhere.
    pub log: Option<AccessLog>,
    /// `Strict-Transport-Security` sent over TLS: its max-age.
    pub hsts: Option<Duration>,
}

/// What one core has to itself.
pub struct Core {
    /// What it shares with the others.
    pub node: Arc<Node>,
    /// Its connections to upstreams.
    pub connections: Connections,
    /// Its buffer of log lines.
    pub log: Option<CoreWriter>,
}
