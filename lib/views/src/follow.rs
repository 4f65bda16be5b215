//! The stream of one monitor, followed for ever, and what it comes to.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use daemon::connect::{Server, Trust};
use daemon::events::{self, Reader};
use http::header::{ACCEPT, HOST};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use model::health::{Bulletin, View};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// A view of ten thousand nodes has five megabytes.
const EVENT_BYTES_MAX: usize = 64 << 20;

/// Until a peer has accepted a connection and answered.
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);

/// A peer says every second that it lives: three missing are its end.
const SILENCE: Duration = Duration::from_secs(3);

/// Between a stream's end and the next try.
const PAUSE: Duration = Duration::from_secs(1);

/// A monitor to be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Its name, as its own configuration says it.
    pub name: String,
    /// Where its API is.
    pub server: Server,
}

/// What was heard of a monitor.
#[derive(Clone, Debug)]
pub enum Heard {
    /// It lives; this is what it sees.
    View(Arc<View>),
    /// It lives, and sees what it saw.
    Nothing,
    /// It is out of sight, for this reason.
    Lost(String),
}

/// What was heard of whom.
#[derive(Clone, Debug)]
pub struct Told {
    /// The monitor's name.
    pub name: String,
    /// What was heard of it.
    pub heard: Heard,
}

/// Follows `peer` until nobody wants to know any more.
pub async fn follow(peer: Watched, trust: Trust, board: mpsc::Sender<Told>) {
    let mut view = None;
    let mut problem = None;
    loop {
        let ended = stream(&peer, &trust, &mut view, &mut problem, &board).await;
        if board.is_closed() {
            return;
        }
        let why = match ended {
            Ok(()) => "its stream ended".to_owned(),
            Err(error) => error.to_string(),
        };
        if problem.as_ref() != Some(&why) {
            tracing::warn!(peer = peer.name, url = %peer.server, why, "a monitor is out of sight");
            problem = Some(why.clone());
        }
        let event = Told {
            name: peer.name.clone(),
            heard: Heard::Lost(why),
        };
        if board.send(event).await.is_err() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn stream(
    peer: &Watched,
    trust: &Trust,
    view: &mut Option<Arc<View>>,
    problem: &mut Option<String>,
    board: &mpsc::Sender<Told>,
) -> io::Result<()> {
    let place = view
        .as_ref()
        .map(|view| format!("{}-{}", view.epoch, view.sequence));
    let response = timeout(CONNECT_PATIENCE, open(&peer.server, trust, place.as_deref()))
        .await
        .map_err(|_| io::Error::other("it did not answer in time"))??;
    let mut body = response.into_body();
    let mut reader = Reader::new(EVENT_BYTES_MAX);
    loop {
        let frame = timeout(SILENCE, body.frame())
            .await
            .map_err(|_| io::Error::other(format!("nothing for {} s", SILENCE.as_secs())))?;
        let Some(frame) = frame else { return Ok(()) };
        let Ok(data) = frame.map_err(io::Error::other)?.into_data() else {
            continue;
        };
        for event in reader.read(&data).map_err(io::Error::other)? {
            let heard = take_in(view, &peer.name, &event)?;
            if problem.take().is_some() {
                tracing::info!(peer = peer.name, "a monitor is in sight again");
            }
            let event = Told {
                name: peer.name.clone(),
                heard,
            };
            board.send(event).await.map_err(io::Error::other)?;
        }
    }
}

async fn open(server: &Server, trust: &Trust, place: Option<&str>) -> io::Result<Response<Incoming>> {
    let mut requests = server.connect::<Empty<Bytes>>(trust).await?;
    let target = place.map_or("/v1/stream".to_owned(), |place| {
        format!("/v1/stream?from={place}")
    });
    let request = Request::get(target)
        .header(HOST, server.authority())
        .header(ACCEPT, "text/event-stream")
        .body(Empty::new())
        .map_err(io::Error::other)?;
    let response = requests.send_request(request).await.map_err(io::Error::other)?;
    if response.status() != StatusCode::OK {
        return Err(io::Error::other(format!("it answers {}", response.status())));
    }
    Ok(response)
}

/// What an event says, taken into the view that is known of the peer. After a gap the view is forgotten: the next stream
/// begins with all of it.
fn take_in(view: &mut Option<Arc<View>>, name: &str, event: &events::Event) -> io::Result<Heard> {
    #[derive(Deserialize)]
    struct Beat {
        sequence: u64,
    }
    let text = event.data.as_str();
    let bulletin = match event.kind.as_str() {
        "snapshot" => {
            let whole: View = serde_json::from_str(text)?;
            if whole.monitor != name {
                let what = format!(
                    "{:?} answers there; mend its name or its url in the configuration",
                    whole.monitor
                );
                return Err(io::Error::other(what));
            }
            Bulletin::Snapshot(whole)
        }
        "diff" => Bulletin::Diff(serde_json::from_str(text)?),
        "hb" => Bulletin::Heartbeat(serde_json::from_str::<Beat>(text)?.sequence),
        // A newer peer may say more.
        _ => return Ok(Heard::Nothing),
    };
    let known = view.get_or_insert_default();
    let taken_in = match bulletin {
        // A view that others hold is copied only when it changes.
        Bulletin::Heartbeat(sequence) if sequence == known.sequence => return Ok(Heard::Nothing),
        bulletin => Arc::make_mut(known).apply(bulletin),
    };
    if let Err(gap) = taken_in {
        *view = None;
        return Err(io::Error::other(gap.to_string()));
    }
    Ok(Heard::View(Arc::clone(known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, data: &str) -> events::Event {
        events::Event {
            kind: kind.into(),
            data: data.into(),
            id: None,
        }
    }

    #[test]
    fn a_view_grows_by_differences_and_is_forgotten_after_a_gap() {
        let mut view = None;
        let whole = r#"{"monitor":"m2","epoch":1,"sequence":4,"nodes":{}}"#;
        assert!(matches!(
            take_in(&mut view, "m2", &event("snapshot", whole)),
            Ok(Heard::View(_))
        ));
        let diff = r#"{"sequence":5,"suspect":"alone","nodes":{}}"#;
        let Ok(Heard::View(seen)) = take_in(&mut view, "m2", &event("diff", diff)) else {
            panic!("a view")
        };
        assert_eq!((seen.sequence, seen.suspect.as_deref()), (5, Some("alone")));
        assert!(matches!(
            take_in(&mut view, "m2", &event("hb", r#"{"sequence":5}"#)),
            Ok(Heard::Nothing)
        ));
        assert!(matches!(
            take_in(&mut view, "m2", &event("news", "?")),
            Ok(Heard::Nothing)
        ));
        let gap = take_in(&mut view, "m2", &event("hb", r#"{"sequence":7}"#)).unwrap_err();
        assert!(gap.to_string().contains("does not follow"), "{gap}");
        assert!(view.is_none());
    }

    #[test]
    fn a_stranger_and_nonsense_are_refused() {
        let mut view = None;
        let whole = r#"{"monitor":"m3","epoch":1,"sequence":4,"nodes":{}}"#;
        let error = take_in(&mut view, "m2", &event("snapshot", whole)).unwrap_err();
        assert!(error.to_string().contains("\"m3\" answers there"), "{error}");
        assert!(take_in(&mut view, "m2", &event("diff", "{")).is_err());
    }
}
