//! `POST /v1/heartbeat`: a node keeps this request open, and its body brings a line of JSON a second.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use model::health::{Beat, Cause, CauseKind};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use super::Room;
use super::problem::Problem;
use crate::board::Event;

/// A heartbeat is a short line.
const LINE_BYTES_MAX: usize = 4096;

/// A stream that brings nothing for so long is given up: its node connects again when it can.
const SILENCE: Duration = Duration::from_secs(30);

#[utoipa::path(
    post,
    path = "/v1/heartbeat",
    request_body(content = String, description = "A Beat in JSON a line, one a second", content_type = "application/x-ndjson"),
    responses(
        (status = 200, description = "Heartbeats are listened to; the answer ends when the request does"),
        (status = 401, description = "The bearer token is not the one that nodes have", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "The token that nodes have cannot be read", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn listen(
    State(room): State<Arc<Room>>,
    fields: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    check_token(&room, &fields)?;
    let (alive, ended) = oneshot::channel::<()>();
    let connection = room.streams.fetch_add(1, Ordering::Relaxed);
    tokio::spawn(async move {
        let gauge = room.metrics.streams.clone();
        gauge.inc();
        Stream {
            room,
            connection,
            node: None,
        }
        .read(body.into_data_stream())
        .await;
        gauge.dec();
        drop(alive);
    });
    // The answer's body is empty and ends when the stream does.
    let rest = stream::once(async move {
        let _ = ended.await;
        Ok::<_, std::convert::Infallible>(Bytes::new())
    });
    Ok(Response::new(Body::from_stream(rest)))
}

fn check_token(room: &Room, fields: &HeaderMap) -> Result<(), Problem> {
    let Some(secret) = &room.heartbeat_token else {
        return Ok(());
    };
    let expected = secret.reveal().map_err(|error| {
        tracing::error!(error, "heartbeats cannot be checked, and are refused");
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "heartbeats cannot be checked now",
        )
    })?;
    let shown = fields
        .get(AUTHORIZATION)
        .map_or(&[][..], |value| value.as_bytes());
    let shown = shown.strip_prefix(b"Bearer ").unwrap_or_default();
    // Digests are compared, so that the time it takes says nothing of the token.
    if Sha256::digest(shown) == Sha256::digest(expected.as_bytes()) {
        Ok(())
    } else {
        let what = "show the token of heartbeats: Authorization: Bearer …";
        Err(Problem::new(StatusCode::UNAUTHORIZED, what))
    }
}

/// One stream of heartbeats.
struct Stream {
    room: Arc<Room>,
    connection: u64,
    /// Whose it is, from its first line on.
    node: Option<String>,
}

impl Stream {
    async fn read(mut self, mut body: BodyDataStream) {
        let cause = self.read_lines(&mut body).await;
        let Some(node) = self.node else { return };
        tracing::debug!(node, %cause, "a stream of heartbeats ended");
        let lost = Event::StreamLost {
            node,
            connection: self.connection,
            cause,
        };
        // Fails only when the monitor ends.
        let _ = self.room.board.send(lost).await;
    }

    /// Until it ends; says how.
    async fn read_lines(&mut self, body: &mut BodyDataStream) -> Cause {
        let mut rest = Vec::new();
        loop {
            let piece = match tokio::time::timeout(SILENCE, body.next()).await {
                Ok(Some(Ok(piece))) => piece,
                Ok(Some(Err(error))) => {
                    return Cause::new(
                        CauseKind::Reset,
                        format!("its stream of heartbeats broke: {error}"),
                    );
                }
                Ok(None) => return Cause::new(CauseKind::Reset, "its stream of heartbeats ended"),
                Err(_) => {
                    let what = format!("no heartbeat for {} s", SILENCE.as_secs());
                    return Cause::new(CauseKind::Timeout, what);
                }
            };
            rest.extend_from_slice(&piece);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                if let Err(why) = self.hear(&line).await {
                    tracing::warn!(node = self.node, why, "a stream of heartbeats is not understood");
                    return Cause::new(CauseKind::Reset, format!("its stream of heartbeats: {why}"));
                }
            }
            if rest.len() > LINE_BYTES_MAX {
                return Cause::new(CauseKind::Reset, "its stream of heartbeats has an endless line");
            }
        }
    }

    async fn hear(&mut self, line: &[u8]) -> Result<(), String> {
        let beat: Beat = serde_json::from_slice(line).map_err(|error| format!("no heartbeat: {error}"))?;
        match &self.node {
            Some(node) if *node != beat.node => {
                return Err(format!("it was of {node:?} and is of {:?} now", beat.node));
            }
            Some(_) => {}
            None => {
                if !self.room.published.load().snapshot.nodes.contains_key(&beat.node) {
                    return Err(format!("the snapshot knows no node {:?}", beat.node));
                }
                self.node = Some(beat.node.clone());
            }
        }
        let event = Event::Beat {
            connection: self.connection,
            beat,
        };
        self.room
            .board
            .send(event)
            .await
            .map_err(|error| error.to_string())
    }
}
