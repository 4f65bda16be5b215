//! `GET /v1/stream`: what this monitor sees, as it changes (server-sent events).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, StatusCode};
use prometheus::IntGauge;
use serde::Deserialize;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use utoipa::IntoParams;

use super::Room;
use super::problem::Problem;
use crate::feed::{Feed, Place, Sent};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Where to go on.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct From {
    /// The id of the last event that was seen; `Last-Event-ID` says the same. What came after it follows, if it is still
    /// kept, and else the whole view.
    from: Option<String>,
}

/// One who follows.
struct Follower {
    feed: Arc<Feed>,
    waiting: VecDeque<Sent>,
    rest: Receiver<Sent>,
    /// The sequence of the last event that was sent.
    sequence: u64,
    _counted: Counted,
}

/// Counts a follower until it is dropped.
struct Counted(IntGauge);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[utoipa::path(
    get,
    path = "/v1/stream",
    params(From),
    responses(
        (
            status = 200,
            description = "Events: `snapshot` (a View), `diff` (a Diff), and `hb` with the sequence, each second at least",
            content_type = "text/event-stream",
            body = String
        ),
        (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn follow(
    State(room): State<Arc<Room>>,
    from: Result<Query<From>, QueryRejection>,
    fields: HeaderMap,
) -> Result<Response, Problem> {
    let Query(from) = from.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.body_text()))?;
    let place = match (&from.from, fields.get(LAST_EVENT_ID)) {
        (Some(text), _) => Place::parse(text),
        (None, Some(value)) => value.to_str().ok().and_then(Place::parse),
        (None, None) => None,
    };
    room.metrics.followers.inc();
    let counted = Counted(room.metrics.followers.clone());
    let (first, rest) = room.feed.follow(place);
    let follower = Follower {
        feed: Arc::clone(&room.feed),
        sequence: place.map_or(0, |place| place.sequence),
        waiting: first.into(),
        rest,
        _counted: counted,
    };
    let body = stream::unfold(follower, |mut follower| async move {
        let text = follower.next().await?;
        Some((Ok::<_, Infallible>(text), follower))
    });
    Response::builder()
        .header(CONTENT_TYPE, "text/event-stream")
        .header(CACHE_CONTROL, "no-store")
        .body(Body::from_stream(body))
        .map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

impl Follower {
    /// The next event that follows on what was sent; `None` at the end of the feed.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let sent = match self.waiting.pop_front() {
                Some(sent) => sent,
                None => match self.rest.recv().await {
                    Ok(sent) if self.follows(&sent) => sent,
                    // It came before the whole view that was sent meanwhile.
                    Ok(_) => continue,
                    Err(RecvError::Lagged(_)) => self.feed.whole(),
                    Err(RecvError::Closed) => return None,
                },
            };
            self.sequence = sent.sequence;
            return Some(sent.text);
        }
    }

    fn follows(&self, sent: &Sent) -> bool {
        if sent.heartbeat {
            sent.sequence == self.sequence
        } else {
            sent.sequence > self.sequence
        }
    }
}
