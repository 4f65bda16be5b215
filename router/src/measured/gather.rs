//! Asks the edges, some at once, what they have measured; hands on what follows when it changes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use daemon::connect::{Server, Trust};
use futures_util::{StreamExt, stream};
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use ipnet::IpNet;
use model::round_trip::RoundTrips;
use model::{Moment, Snapshot};
use tokio::time::{MissedTickBehavior, timeout};

use super::Judge;
use crate::geo::ranking::Evidence;
use crate::geography::News;
use crate::metrics::Metrics;
use crate::world::World;

/// How long an edge may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Edges that are asked at once, so that a site which is dead does not make the others wait for long.
const ASKED_AT_ONCE: usize = 16;

/// What an edge says at most: 16,384 networks have two megabytes.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// Asks every `interval`, until nobody wants to know any more.
pub(crate) async fn gather(
    interval: Duration,
    trust: Trust,
    snapshot: Arc<ArcSwap<Snapshot>>,
    world: Arc<ArcSwap<World>>,
    news: SyncSender<News>,
    metrics: Metrics,
) {
    let mut judge = Judge::default();
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let snapshot = snapshot.load_full();
        let edges = snapshot.nodes.iter().filter(|(_, node)| node.is_routable());
        let asked: Vec<_> = edges
            .filter_map(|(name, node)| Some((name.clone(), node.site.clone(), node.admin?)))
            .map(|(name, site, admin)| {
                let asked = ask(admin, trust.clone());
                async move { (name, site, asked.await) }
            })
            .collect();
        let mut told = stream::iter(asked).buffer_unordered(ASKED_AT_ONCE);
        while let Some((node, site, told)) = told.next().await {
            match told {
                Ok(heard) => judge.hear(&site, &heard, Moment(daemon::clock::now_millis())),
                Err(error) => tracing::debug!(node, %error, "an edge does not say what it measured"),
            }
        }
        let now = Moment(daemon::clock::now_millis());
        let changed = judge.judge(&|network| nearest(&world.load(), network), now);
        metrics
            .networks_moved
            .set(i64::try_from(judge.moved()).unwrap_or(i64::MAX));
        if changed {
            tracing::info!(
                networks = judge.moved(),
                "edges have measured other sites to be quicker"
            );
            let (news, lines) = (news.clone(), judge.lines());
            // The thread of geography may be compiling.
            let sent = tokio::task::spawn_blocking(move || news.send(News::Measured(lines))).await;
            if !matches!(sent, Ok(Ok(()))) {
                return;
            }
        }
    }
}

/// The site that distance has for a network, where nothing better is known.
fn nearest(world: &World, network: IpNet) -> Option<String> {
    let found = world.table.find(network.addr());
    let ranking = world.table.ranking(found.ranking);
    match ranking.evidence() {
        Evidence::Geography | Evidence::Default => {
            ranking.sites().first().map(|site| world.present.site_name(*site))
        }
        Evidence::Coverage { .. } | Evidence::Latency => None,
    }
}

async fn ask(admin: SocketAddr, trust: Trust) -> io::Result<RoundTrips> {
    let server: Server = format!("http://{admin}").parse().map_err(io::Error::other)?;
    let asked = async {
        let mut requests = server.connect::<Empty<Bytes>>(&trust).await?;
        let request = Request::get("/round-trips")
            .header(HOST, server.authority())
            .body(Empty::new());
        let response = requests
            .send_request(request.map_err(io::Error::other)?)
            .await
            .map_err(io::Error::other)?;
        if response.status() != StatusCode::OK {
            return Err(io::Error::other(format!("it answers {}", response.status())));
        }
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await;
        let body = body.map_err(io::Error::other)?.to_bytes();
        Ok(serde_json::from_slice(&body)?)
    };
    timeout(PATIENCE, asked)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
