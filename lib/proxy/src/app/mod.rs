//! Joins Pingora's HTTP sessions to the flow: one app per core.
//!
//! Pingora parses and frames what the front door found sound. An HTTP/1 answer is written to the connection directly
//! (`h1`), an HTTP/2 answer through its stream (`h2`).

mod h1;
mod h2;
mod record;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::header;
use http::uri::PathAndQuery;
use model::Moment;
use pingora_core::apps::{HttpPersistentSettings, HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::H2Options;
use pingora_core::server::ShutdownWatch;
use pingora_http::RequestHeader;

use crate::flow::{self, Request};
use crate::front::{self, ConnectionInfo, FrontConfig};
use crate::log::Protocol;
use crate::node::Core;

/// What one core answers with.
pub struct App {
    core: Arc<Core>,
    server_options: HttpServerOptions,
    h2_options: H2Options,
    send_timeout: Duration,
}

impl App {
    /// An app for `core`, within the bounds of `front`.
    #[must_use]
    pub fn new(core: Arc<Core>, front: &FrontConfig) -> App {
        App {
            core,
            server_options: front::h2::server_options(front),
            h2_options: front::h2::options(front),
            send_timeout: front.send_timeout,
        }
    }

    async fn serve_h1(&self, mut session: ServerSession) -> Option<ReusedHttpStream> {
        // A body is not asked for and not read: the connection ends with the answer.
        let keeps = session.get_keepalive().is_some() && session.is_body_empty();
        if !keeps {
            session.set_keepalive(None);
        }
        let io = front::client_io(&session)?;
        let info = io.info().clone();
        let head = session.req_header();
        let request = request(head, &info);
        let mut downstream = h1::Http1::new(io, head.version, keeps);
        let trail = flow::serve(&self.core, &request, &mut downstream).await;
        let reusable = downstream.is_reusable();
        record::record(&self.core, &request, &trail, Protocol::Http1);
        if trail.cut {
            // Dropped without a goodbye, so that the client cannot take what it has for the whole.
            return None;
        }
        io.request_done();
        if !reusable {
            session.set_keepalive(None);
        }
        let settings = HttpPersistentSettings::for_session(&session);
        let stream = session.finish().await.ok().flatten()?;
        Some(ReusedHttpStream::from_reusable_stream(stream, settings))
    }

    async fn serve_h2(&self, mut session: ServerSession) {
        let Some(info) = front::connection_info(&session).cloned() else {
            return;
        };
        session.set_write_timeout(Some(self.send_timeout));
        // Copied, because the answer is written through the session that owns the head.
        let head = session.req_header().clone();
        let request = request(&head, &info);
        let mut downstream = h2::Http2::new(&mut session);
        let trail = flow::serve(&self.core, &request, &mut downstream).await;
        if trail.cut {
            downstream.reset();
        }
        record::record(&self.core, &request, &trail, Protocol::Http2);
    }
}

#[async_trait]
impl HttpServerApp for App {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        match session.read_request().await {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => {
                tracing::debug!(%error, "a request that cannot be read");
                Box::pin(h1::refuse_unread(&session, &error)).await;
                return None;
            }
        }
        if *shutdown.borrow() {
            session.set_keepalive(None);
        }
        if session.is_http2() {
            Box::pin(self.serve_h2(session)).await;
            return None;
        }
        self.serve_h1(session).await
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.server_options)
    }

    fn h2_options(&self) -> Option<H2Options> {
        Some(self.h2_options.clone())
    }
}

fn request<'a>(head: &'a RequestHeader, info: &'a ConnectionInfo) -> Request<'a> {
    let authority = head
        .uri
        .authority()
        .map(http::uri::Authority::as_str)
        .or_else(|| head.headers.get(header::HOST).and_then(|host| host.to_str().ok()));
    Request {
        method: &head.method,
        version: head.version,
        authority,
        target: target(head),
        fields: &head.headers,
        client: info.peer,
        tls: info.tls.as_ref(),
        now: Moment(daemon::clock::now_millis()),
        started: Instant::now(),
    }
}

/// Path and query of a request's target, `*`, or nothing where it is neither (RFC 9112 §3.2).
///
/// `http::Uri` takes a lone word for an authority; only a target that names a scheme may leave out its path.
fn target(head: &RequestHeader) -> &str {
    let raw = head.raw_path();
    let path = head.uri.path_and_query().map(PathAndQuery::as_str);
    match raw.first() {
        Some(b'/' | b'*') => path.unwrap_or(""),
        _ if names_http(raw) => path.unwrap_or("/"),
        _ => "",
    }
}

/// Whether a target is in absolute form with a scheme that is served here.
fn names_http(raw: &[u8]) -> bool {
    let begins_with = |scheme: &[u8]| {
        raw.get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    begins_with(b"http://") || begins_with(b"https://")
}
