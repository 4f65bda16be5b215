//! Joins the front door's connections to the flow: one app per core.
//!
//! HTTP/1 is ours from end to end (`h1`); the crate `h2` frames HTTP/2 (`h2`).

mod h1;
mod h2;
mod record;

use std::sync::Arc;
use std::time::Instant;

use model::Moment;
use pingora_core::server::ShutdownWatch;

use crate::flow::{self, Request};
use crate::front::{Application, ConnectionInfo, Framing, FrontConfig, Http1, RequestHead};
use crate::log::Protocol;
use crate::node::Core;
use crate::upstream::RequestBody;

/// What one core answers with.
pub struct App {
    core: Arc<Core>,
    http2: Arc<h2::Http2App>,
}

impl App {
    /// An app for `core`, within the bounds of `front`.
    #[must_use]
    pub fn new(core: Arc<Core>, front: &FrontConfig) -> App {
        App {
            http2: Arc::new(h2::Http2App::new(Arc::clone(&core), front)),
            core,
        }
    }
}

impl Application for App {
    type Http2 = h2::Http2App;

    async fn serve_http1(&self, mut connection: Http1, shutdown: &ShutdownWatch) {
        let info = Arc::clone(connection.info());
        while let Some(head) = connection.next().await {
            let keeps = head.wants_to_go_on && !*shutdown.borrow();
            let request = request(&head, &info);
            let mut answer = h1::Answer::new(&mut connection, head.version, &head.fields, keeps);
            let trail = flow::serve(&self.core, &request, &mut answer).await;
            let goes_on = answer.goes_on();
            record::record(&self.core, &request, &trail, Protocol::Http1);
            if trail.cut {
                // Dropped without a goodbye, so that the client cannot take what it has for the whole.
                return;
            }
            if !goes_on {
                connection.say_goodbye().await;
                return;
            }
        }
    }

    fn http2(&self) -> &Arc<h2::Http2App> {
        &self.http2
    }
}

fn request<'a>(head: &'a RequestHead, info: &'a ConnectionInfo) -> Request<'a> {
    Request {
        method: &head.method,
        version: head.version,
        authority: head.authority(),
        target: head.target(),
        fields: &head.fields,
        client: info.peer,
        body: match head.framing {
            Framing::Nothing => RequestBody::None,
            Framing::Sized(length) => RequestBody::Sized(length),
            Framing::Coded => RequestBody::Unsized,
        },
        awaits_continue: head.awaits_continue,
        tls: info.tls.as_ref(),
        now: Moment(daemon::clock::now_millis()),
        started: Instant::now(),
    }
}
