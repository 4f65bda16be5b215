//! What the monitor answers: its state, statistics, events and stream; heartbeats of nodes; the page.

mod events;
mod heartbeat;
mod openapi;
mod problem;
mod serve;
mod state;
mod stats;
mod stream;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
use axum::Router;
use axum::routing::{get, post};
use daemon::config::Secret;
use tokio::sync::mpsc;

pub(crate) use serve::{Door, Open};

use crate::alert::Alerts;
use crate::board::{BoardMetrics, Event, Published};
use crate::clock::Clock;
use crate::feed::Feed;
use crate::journal::Journal;
use crate::page;
use crate::stats::Stats;

/// What answers are made of.
pub(crate) struct Room {
    pub(crate) clock: Clock,
    pub(crate) published: Arc<ArcSwap<Published>>,
    pub(crate) feed: Arc<Feed>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) alerts: Arc<Alerts>,
    pub(crate) board: mpsc::Sender<Event>,
    pub(crate) metrics: BoardMetrics,
    /// What nodes have to show before their heartbeats are believed.
    pub(crate) heartbeat_token: Option<Secret>,
    /// Streams of heartbeats so far: the next one's number.
    pub(crate) streams: AtomicU64,
}

/// Every path there is.
pub(crate) fn routes(room: Arc<Room>) -> Router {
    Router::new()
        .route("/", get(page::show))
        .route("/style.css", get(page::style))
        .route("/v1/state", get(state::show))
        .route("/v1/stats", get(stats::show_all))
        .route("/v1/stats/nodes/{node}", get(stats::show_one))
        .route("/v1/stats/sites/{site}", get(stats::show_site))
        .route("/v1/events", get(events::show))
        .route("/v1/stream", get(stream::follow))
        .route("/v1/heartbeat", post(heartbeat::listen))
        .route("/v1/openapi.json", get(openapi::show))
        .fallback(problem::nowhere)
        .with_state(room)
}
