//! `GET /v1/state`: what every monitor sees, and what they see together.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use model::Moment;
use model::health::{Merged, Standing, View};
use serde::Serialize;
use utoipa::ToSchema;

use super::Room;
use crate::board::Published;

/// Everything that is known of how nodes are.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StateOfAll<'p> {
    /// The monitor that answers.
    monitor: &'p str,
    /// When this was so, milliseconds since the Unix epoch.
    at: Moment,
    /// The number of the snapshot whose nodes these are.
    snapshot: u64,
    /// What all monitors see together: by this routers steer and people are told.
    merged: &'p Merged,
    /// What each of them sees, by its name.
    views: BTreeMap<&'p str, ViewOf<'p>>,
}

/// What one monitor sees.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ViewOf<'p> {
    /// Whether it counts.
    standing: Standing,
    /// When the monitor was last heard, milliseconds since the Unix epoch; absent when it never was.
    #[serde(skip_serializing_if = "Option::is_none")]
    heard: Option<Moment>,
    /// Why it is out of sight, while it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<&'p str>,
    /// The last it published; absent when it never was heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    view: Option<&'p View>,
}

#[utoipa::path(
    get,
    path = "/v1/state",
    responses(
        (status = 200, description = "The state of all nodes: of each monitor, and merged", body = StateOfAll),
        (status = 304, description = "As it was under the ETag in If-None-Match")
    )
)]
pub(super) async fn show(State(room): State<Arc<Room>>, fields: HeaderMap) -> Response {
    let published = room.published.load_full();
    let state = StateOfAll::of(&published);
    let tag = format!("\"{}-{}\"", published.view.epoch, published.generation);
    let known = fields
        .get(IF_NONE_MATCH)
        .is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Json(state).into_response()
    };
    let fields = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        fields.insert(ETAG, tag);
    }
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

impl StateOfAll<'_> {
    fn of(published: &Published) -> StateOfAll<'_> {
        let own_name = published.view.monitor.as_str();
        let standing = published.merged.monitors.get(own_name).copied();
        let own = ViewOf {
            standing: standing.unwrap_or(Standing::Silent),
            heard: Some(published.at),
            lost: None,
            view: Some(&published.view),
        };
        let others = published.peers.iter().map(|(name, peer)| {
            let view = ViewOf {
                standing: peer.standing,
                heard: peer.heard,
                lost: peer.lost.as_deref(),
                view: peer.view.as_deref(),
            };
            (name.as_str(), view)
        });
        StateOfAll {
            monitor: own_name,
            at: published.at,
            snapshot: published.snapshot.number,
            merged: &published.merged,
            views: others.chain([(own_name, own)]).collect(),
        }
    }
}
