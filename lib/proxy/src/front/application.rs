//! What the front door opens to.

use std::future::Future;
use std::sync::Arc;

use pingora_core::apps::ServerApp;
use pingora_core::server::ShutdownWatch;

use super::Http1;

/// The application of one core.
pub trait Application: Send + Sync + 'static {
    /// What serves HTTP/2: an [`HttpServerApp`](pingora_core::apps::HttpServerApp) of Pingora's.
    type Http2: ServerApp + Send + Sync + 'static;

    /// Serves the requests of one HTTP/1 connection until it ends. Once `shutdown` is true, the answer under way is
    /// the last one, and says so.
    fn serve_http1(&self, connection: Http1, shutdown: &ShutdownWatch) -> impl Future<Output = ()> + Send;

    /// What HTTP/2 connections are given to.
    fn http2(&self) -> &Arc<Self::Http2>;
}
