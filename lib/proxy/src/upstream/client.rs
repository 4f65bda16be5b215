//! What a request brings beside its head, and who hears of interim answers: the side that the upstream cannot see.

use std::future::Future;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

/// How much of a body a request brings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestBody {
    /// None.
    #[default]
    None,
    /// So many bytes, at least one.
    Sized(u64),
    /// Bytes until their end; nobody knows yet how many.
    Unsized,
}

/// The body cannot be had any more, or the client is gone; it knows itself why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// The client of one request that goes upstream.
pub trait Client: Send {
    /// How much of a body there is.
    fn body(&self) -> RequestBody;

    /// Whether the client waits to be told that its body is wanted (`Expect: 100-continue`).
    fn awaits_continue(&self) -> bool;

    /// Whether some of the body was handed out already: the request cannot be sent again then.
    fn has_begun(&self) -> bool;

    /// The next bytes of the body; `None` at its end.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Broken>>;

    /// Nobody asks for the body for a while: its client is not to blame for what does not come.
    fn rest(&mut self);

    /// The trailer fields that came after the body.
    fn take_trailers(&mut self) -> HeaderMap;

    /// Upstream has sent an interim answer (but 100, which is our own affair).
    fn interim(
        &mut self,
        status: StatusCode,
        fields: HeaderMap,
    ) -> impl Future<Output = Result<(), Broken>> + Send;
}

/// A request without a body, and nobody who cares for interim answers: fills and probes.
pub struct Nobody;

impl Client for Nobody {
    fn body(&self) -> RequestBody {
        RequestBody::None
    }

    fn awaits_continue(&self) -> bool {
        false
    }

    fn has_begun(&self) -> bool {
        false
    }

    fn poll_piece(&mut self, _: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Broken>> {
        Poll::Ready(Ok(None))
    }

    fn rest(&mut self) {}

    fn take_trailers(&mut self) -> HeaderMap {
        HeaderMap::new()
    }

    async fn interim(&mut self, _: StatusCode, _: HeaderMap) -> Result<(), Broken> {
        Ok(())
    }
}
