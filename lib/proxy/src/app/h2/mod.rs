//! HTTP/2 (RFC 9113): one task a connection, which accepts its requests, and one a request.
//!
//! The crate `h2` frames, compresses and controls the flow; it refuses what is malformed as HTTP/2. What would be
//! malformed as HTTP/1, into which every request is turned that goes upstream, is refused in [`fault`].

mod answer;
mod fault;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt as _;
use h2::RecvStream;
use h2::server::{Builder, SendResponse};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{StatusCode, header};
use model::Moment;
use pingora_core::apps::ServerApp;
use pingora_core::protocols::Stream;
use pingora_core::server::ShutdownWatch;
use tokio::sync::Notify;

use super::record;
use crate::flow::{self, Request};
use crate::front::{self, ConnectionInfo, FrontConfig};
use crate::log::Protocol;
use crate::node::Core;
use crate::upstream::RequestBody;
use answer::Answer;
use fault::Fault;

/// Malformed requests of one connection before it is ended: clients make none.
const FAULTS_MAX: usize = 32;

/// What one core answers HTTP/2 with.
pub struct Http2App {
    core: Arc<Core>,
    options: Builder,
    idle_timeout: Duration,
    patience: Patience,
}

/// How long one client may keep one request waiting.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// Taking nothing of the answer.
    send: Duration,
    /// Sending nothing of the body.
    body: Duration,
}

impl Http2App {
    /// An app for `core`, within the bounds of `front`.
    pub(super) fn new(core: Arc<Core>, front: &FrontConfig) -> Http2App {
        Http2App {
            core,
            options: front::h2::options(front),
            idle_timeout: front.idle_timeout,
            patience: Patience {
                send: front.send_timeout,
                body: front.body_timeout,
            },
        }
    }

    async fn connection(&self, stream: Stream, shutdown: &ShutdownWatch) -> Result<(), h2::Error> {
        let Some(info) = front::info_of_stream(&stream) else {
            return Ok(());
        };
        let mut connection = self.options.handshake::<_, Bytes>(stream).await?;
        let mut shutdown = shutdown.clone();
        let mut drains = false;
        let busy = Arc::new(Busy::default());
        let mut faults = 0;
        loop {
            let accepted = tokio::select! {
                biased;
                _ = shutdown.changed(), if !drains => {
                    connection.graceful_shutdown();
                    drains = true;
                    continue;
                }
                accepted = connection.accept() => accepted,
                () = busy.idle_for(self.idle_timeout), if !drains => return Ok(()),
            };
            let Some(accepted) = accepted else {
                return Ok(());
            };
            let (request, respond) = accepted?;
            let (head, body) = request.into_parts();
            match fault::find(&head) {
                None => self.spawn(head, body, respond, &info, busy.one_more()),
                Some(fault) => {
                    refuse(respond, fault);
                    faults += 1;
                    if faults >= FAULTS_MAX {
                        connection.abrupt_shutdown(h2::Reason::ENHANCE_YOUR_CALM);
                    }
                }
            }
        }
    }

    fn spawn(
        &self,
        head: Parts,
        mut body: RecvStream,
        respond: SendResponse<Bytes>,
        info: &Arc<ConnectionInfo>,
        busy: OneOfThem,
    ) {
        let Some(announced) = announced(&head, &mut body) else {
            return;
        };
        let (core, info, patience) = (Arc::clone(&self.core), Arc::clone(info), self.patience);
        tokio::spawn(async move {
            let _busy = busy;
            let request = request(&head, announced, &info);
            let mut answer = Answer::new(body, respond, request.awaits_continue, patience);
            let trail = flow::serve(&core, &request, &mut answer).await;
            if trail.cut {
                answer.reset();
            }
            record::record(&core, &request, &trail, Protocol::Http2);
        });
    }
}

#[async_trait]
impl ServerApp for Http2App {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        if let Err(error) = self.connection(stream, shutdown).await {
            tracing::debug!(%error, "an HTTP/2 connection ended early");
        }
        None
    }
}

fn refuse(mut respond: SendResponse<Bytes>, fault: Fault) {
    match fault {
        Fault::Stream => respond.send_reset(h2::Reason::PROTOCOL_ERROR),
        Fault::Request => {
            let mut response = http::Response::new(());
            *response.status_mut() = StatusCode::BAD_REQUEST;
            // A client that has gone misses nothing.
            let _ = respond.send_response(response, true);
        }
    }
}

/// How much of a body there is; `None` when the client has reset the stream already. A stream that was reset looks like
/// one that has ended, and half a body must not become an empty one.
fn announced(head: &Parts, body: &mut RecvStream) -> Option<RequestBody> {
    let length = head.headers.get(header::CONTENT_LENGTH);
    let length: Option<u64> = length.and_then(|length| length.to_str().ok()?.parse().ok());
    match length {
        // The crate holds the client to it (RFC 9113 §8.1.1).
        Some(length) if length > 0 => Some(RequestBody::Sized(length)),
        None if !body.is_end_stream() => Some(RequestBody::Unsized),
        _ => match body.data().now_or_never() {
            Some(Some(Err(_))) => None,
            _ => Some(RequestBody::None),
        },
    }
}

fn request<'a>(head: &'a Parts, body: RequestBody, info: &'a ConnectionInfo) -> Request<'a> {
    let authority = head
        .uri
        .authority()
        .map(http::uri::Authority::as_str)
        .or_else(|| head.headers.get(header::HOST).and_then(|host| host.to_str().ok()));
    let expectation = head.headers.get(header::EXPECT).map(http::HeaderValue::as_bytes);
    Request {
        method: &head.method,
        version: head.version,
        authority,
        target: head.uri.path_and_query().map_or("", PathAndQuery::as_str),
        fields: &head.headers,
        client: info.peer,
        body,
        awaits_continue: body != RequestBody::None
            && expectation.is_some_and(|expectation| expectation.eq_ignore_ascii_case(b"100-continue")),
        tls: info.tls.as_ref(),
        now: Moment(daemon::clock::now_millis()),
        started: Instant::now(),
    }
}

/// How many requests of a connection are being answered.
#[derive(Default)]
struct Busy {
    count: AtomicUsize,
    none_left: Notify,
}

/// One of them, until it is dropped.
struct OneOfThem(Arc<Busy>);

impl Busy {
    fn one_more(self: &Arc<Self>) -> OneOfThem {
        self.count.fetch_add(1, Ordering::Relaxed);
        OneOfThem(Arc::clone(self))
    }

    /// Ends when no request has been under way for `time`.
    async fn idle_for(&self, time: Duration) {
        while self.count.load(Ordering::Relaxed) != 0 {
            self.none_left.notified().await;
        }
        tokio::time::sleep(time).await;
    }
}

impl Drop for OneOfThem {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.none_left.notify_one();
        }
    }
}
