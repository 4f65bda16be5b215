//! `GET /v1/stats`: how nodes do now; `/v1/stats/nodes/{node}` and `/v1/stats/sites/{site}`: how one did, minute by
//! minute.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use model::Moment;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Room;
use super::problem::Problem;
use crate::stats::{Rollup, Stats, Summary, Vitals};

/// What is shown where nobody says from when.
const USUAL: Duration = Duration::from_secs(3600);

/// How all watched nodes do now.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StatsOfAll {
    /// By name; a node whose metrics were not read yet is absent.
    nodes: BTreeMap<String, Vitals>,
}

/// How one node does and did.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StatsOfOne {
    /// Its name.
    node: String,
    /// Now; absent when its metrics were not read yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    now: Option<Vitals>,
    /// Each minute, the oldest first; minutes of which nothing is known are absent.
    minutes: Vec<Minute>,
}

/// A minute of a node: what was counted, and what follows from it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Minute {
    #[serde(flatten)]
    rollup: Rollup,
    /// The part of the minute that samples cover.
    covered_seconds: f64,
    /// Answers from what was stored, of those that a cache was asked for.
    hit_ratio: Option<f64>,
    /// The same of body bytes.
    byte_hit_ratio: Option<f64>,
    requests_per_second: Option<f64>,
    transmit_bytes_per_second: Option<f64>,
    /// Cores that the process kept busy.
    cpu_cores_used: Option<f64>,
}

impl From<Rollup> for Minute {
    fn from(rollup: Rollup) -> Minute {
        Minute {
            covered_seconds: rollup.covered_seconds(),
            hit_ratio: rollup.hit_ratio(),
            byte_hit_ratio: rollup.byte_hit_ratio(),
            requests_per_second: rollup.requests_per_second(),
            transmit_bytes_per_second: rollup.transmit_bytes_per_second(),
            cpu_cores_used: rollup.cpu_cores_used(),
            rollup,
        }
    }
}

/// How the nodes of a site did together.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StatsOfSite {
    /// Its name.
    site: String,
    /// Each minute, the oldest first.
    minutes: Vec<Summary>,
}

/// Which minutes.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Span {
    /// From this moment on, seconds since the Unix epoch; default an hour ago.
    from: Option<u64>,
    /// Before this moment, seconds since the Unix epoch; default now.
    to: Option<u64>,
}

#[utoipa::path(
    get,
    path = "/v1/stats",
    responses((status = 200, description = "How all nodes do now", body = StatsOfAll))
)]
pub(super) async fn show_all(State(room): State<Arc<Room>>) -> Json<StatsOfAll> {
    let published = room.published.load_full();
    let names = published.view.nodes.keys();
    let nodes = names.filter_map(|name| Some((name.clone(), room.stats.latest(name)?)));
    Json(StatsOfAll {
        nodes: nodes.collect(),
    })
}

#[utoipa::path(
    get,
    path = "/v1/stats/nodes/{node}",
    params(("node" = String, Path, description = "The node's name"), Span),
    responses(
        (status = 200, description = "How a node did, minute by minute, over the last day at most", body = StatsOfOne),
        (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such node", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "The history cannot be read", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn show_one(
    State(room): State<Arc<Room>>,
    Path(node): Path<String>,
    span: Result<Query<Span>, QueryRejection>,
) -> Result<Json<StatsOfOne>, Problem> {
    let (from, to) = room.span(span)?;
    if !room.published.load().view.nodes.contains_key(&node) {
        let what = format!("no node {node:?} is watched; /v1/state names those that are");
        return Err(Problem::new(StatusCode::NOT_FOUND, what));
    }
    let asked = node.clone();
    let minutes = room.read(move |stats| stats.history(&asked, from, to)).await?;
    Ok(Json(StatsOfOne {
        now: room.stats.latest(&node),
        node,
        minutes: minutes.into_iter().map(Minute::from).collect(),
    }))
}

#[utoipa::path(
    get,
    path = "/v1/stats/sites/{site}",
    params(("site" = String, Path, description = "The site's name"), Span),
    responses(
        (status = 200, description = "How the nodes of a site did together, minute by minute", body = StatsOfSite),
        (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such site", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "The history cannot be read", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn show_site(
    State(room): State<Arc<Room>>,
    Path(site): Path<String>,
    span: Result<Query<Span>, QueryRejection>,
) -> Result<Json<StatsOfSite>, Problem> {
    let (from, to) = room.span(span)?;
    let published = room.published.load_full();
    if !published.snapshot.sites.contains_key(&site) {
        let what = format!("the snapshot knows no site {site:?}");
        return Err(Problem::new(StatusCode::NOT_FOUND, what));
    }
    let nodes = published
        .snapshot
        .nodes
        .iter()
        .filter(|(_, node)| node.site == site);
    let names: Vec<String> = nodes.map(|(name, _)| name.clone()).collect();
    let minutes = room
        .read(move |stats| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            stats.summary(&names, from, to)
        })
        .await?;
    Ok(Json(StatsOfSite { site, minutes }))
}

impl Room {
    fn span(&self, span: Result<Query<Span>, QueryRejection>) -> Result<(Moment, Moment), Problem> {
        let Query(span) = span.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.body_text()))?;
        let to = span.to.map_or_else(|| self.clock.now(), Moment::from_seconds);
        let from = span.from.map_or(to - USUAL, Moment::from_seconds);
        if from > to {
            return Err(Problem::new(StatusCode::BAD_REQUEST, "from is later than to"));
        }
        Ok((from, to))
    }

    /// Reads from the store, where waiting for a disk harms nobody.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Stats) -> Result<T, String> + Send + 'static,
    ) -> Result<T, Problem> {
        let stats = Arc::clone(&self.stats);
        let read = tokio::task::spawn_blocking(move || read(&stats)).await;
        read.map_err(|error| error.to_string())
            .and_then(|read| read)
            .map_err(|error| {
                tracing::error!(error, "statistics cannot be read");
                Problem::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the statistics cannot be read; the log says why",
                )
            })
    }
}
