//! HTTP/2: requests as Pingora's sessions bring them, answers written through them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::header;
use http::uri::PathAndQuery;
use model::Moment;
use pingora_core::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::H2Options;
use pingora_core::server::ShutdownWatch;
use pingora_http::{RequestHeader, ResponseHeader};

use super::record;
use crate::flow::{self, AnswerHead, Body, ClientGone, Downstream, Request};
use crate::front::{self, ConnectionInfo, FrontConfig};
use crate::log::Protocol;
use crate::node::Core;

/// What one core answers HTTP/2 with.
pub struct Http2App {
    core: Arc<Core>,
    server_options: HttpServerOptions,
    h2_options: H2Options,
    send_timeout: Duration,
}

impl Http2App {
    /// An app for `core`, within the bounds of `front`.
    pub(super) fn new(core: Arc<Core>, front: &FrontConfig) -> Http2App {
        Http2App {
            core,
            server_options: front::h2::server_options(front),
            h2_options: front::h2::options(front),
            send_timeout: front.send_timeout,
        }
    }

    async fn serve(&self, mut session: ServerSession) {
        let Some(info) = front::connection_info(&session).cloned() else {
            return;
        };
        session.set_write_timeout(Some(self.send_timeout));
        // Copied, because the answer is written through the session that owns the head.
        let head = session.req_header().clone();
        let request = request(&head, &info);
        let mut answer = Answer::new(&mut session);
        let trail = flow::serve(&self.core, &request, &mut answer).await;
        if trail.cut {
            answer.reset();
        }
        record::record(&self.core, &request, &trail, Protocol::Http2);
    }
}

#[async_trait]
impl HttpServerApp for Http2App {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        _shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        match session.read_request().await {
            Ok(true) => self.serve(session).await,
            Ok(false) => {}
            Err(error) => tracing::debug!(%error, "a request that cannot be read"),
        }
        None
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
        target: head.uri.path_and_query().map_or("", PathAndQuery::as_str),
        fields: &head.headers,
        client: info.peer,
        tls: info.tls.as_ref(),
        now: Moment(daemon::clock::now_millis()),
        started: Instant::now(),
    }
}

/// The client's side of one HTTP/2 request.
struct Answer<'a> {
    session: &'a mut ServerSession,
    ended: bool,
}

impl<'a> Answer<'a> {
    /// Answers go to `session`.
    fn new(session: &'a mut ServerSession) -> Answer<'a> {
        Answer {
            session,
            ended: false,
        }
    }

    /// Tells the client that the answer is broken off.
    fn reset(&mut self) {
        if !self.ended {
            self.session.shutdown_with_reason(::h2::Reason::INTERNAL_ERROR);
        }
    }

    async fn write(&mut self, pieces: &mut VecDeque<Bytes>) -> Result<(), ClientGone> {
        while let Some(piece) = pieces.pop_front() {
            self.session
                .write_response_body(piece, false)
                .await
                .map_err(|_| ClientGone)?;
        }
        Ok(())
    }
}

impl Downstream for Answer<'_> {
    async fn start(&mut self, head: AnswerHead<'_>, pieces: &mut VecDeque<Bytes>) -> Result<(), ClientGone> {
        let mut response = ResponseHeader::build(head.status, None).map_err(|_| ClientGone)?;
        if let Some(stored) = &head.stored {
            for (name, value) in &(stored.fields)() {
                response.append_header(name, value).map_err(|_| ClientGone)?;
            }
        }
        for (name, value) in head.own {
            response.append_header(name, value).map_err(|_| ClientGone)?;
        }
        if let Body::Sized(length) | Body::Withheld(Some(length)) = head.body {
            response
                .append_header(header::CONTENT_LENGTH, length)
                .map_err(|_| ClientGone)?;
        }
        self.session
            .write_response_header(Box::new(response))
            .await
            .map_err(|_| ClientGone)?;
        self.write(pieces).await
    }

    async fn send(&mut self, pieces: &mut VecDeque<Bytes>) -> Result<(), ClientGone> {
        self.write(pieces).await
    }

    async fn finish(&mut self) -> Result<(), ClientGone> {
        self.ended = true;
        self.session
            .write_response_body(Bytes::new(), true)
            .await
            .map_err(|_| ClientGone)
    }
}
