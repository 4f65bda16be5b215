//! `GET /v1/events`: what happened to nodes and monitors, and why.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Room;
use super::problem::Problem;
use crate::journal::Numbered;

/// Events in one answer where nobody says how many.
const USUAL: usize = 100;

/// Events in one answer at most.
const MOST: usize = 1000;

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Only what came after the event of this number, of more than `limit` the first: whoever asks again with the last
    /// number misses none of those that are kept, the last 10000. Without it, the newest.
    after: Option<u64>,
    /// Only of this node.
    node: Option<String>,
    /// So many at most, 1 to 1000. Default 100.
    limit: Option<usize>,
}

/// Events, the oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Events {
    events: Vec<Numbered>,
}

#[utoipa::path(
    get,
    path = "/v1/events",
    params(Wanted),
    responses(
        (status = 200, description = "Transitions with their causes, the oldest first", body = Events),
        (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn show(
    State(room): State<Arc<Room>>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Events>, Problem> {
    let Query(wanted) = wanted.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.body_text()))?;
    let limit = wanted.limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        let what = format!("limit is {limit}, expected 1 to {MOST}");
        return Err(Problem::new(StatusCode::BAD_REQUEST, what));
    }
    let node = wanted.node.as_deref();
    let events = match wanted.after {
        Some(number) => room.journal.after(number, node, limit),
        None => room.journal.newest(node, limit),
    };
    Ok(Json(Events { events }))
}
