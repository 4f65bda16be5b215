//! The body of a request on its way upstream: piece by piece, within the service's bound.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::downstream::Downstream;
use super::request::Request;
use crate::front::BodyEnd;
use crate::headers::hop_by_hop;
use crate::upstream::RequestBody;
use crate::upstream::client::{Broken, Client};
use crate::world::ServiceWorld;

/// What is known of a body that goes upstream.
pub(super) struct Upload {
    body: RequestBody,
    awaits_continue: bool,
    bytes_max: u64,
    bytes: u64,
    has_begun: bool,
    has_ended: bool,
    fault: Option<UploadFault>,
}

/// Why a body did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UploadFault {
    /// It is larger than the service allows.
    TooLarge,
    /// Its client was too slow, wrong or gone.
    Client(BodyEnd),
    /// The client took no interim answer.
    Gone,
}

impl Upload {
    /// The body of `request`.
    pub(super) fn of(request: &Request<'_>, service: &ServiceWorld) -> Upload {
        Upload {
            body: request.body,
            awaits_continue: request.awaits_continue,
            bytes_max: service.service.request_body_max.0,
            ..Upload::none()
        }
    }

    /// No body, or one that is not passed on.
    pub(super) fn none() -> Upload {
        Upload {
            body: RequestBody::None,
            awaits_continue: false,
            bytes_max: 0,
            bytes: 0,
            has_begun: false,
            has_ended: false,
            fault: None,
        }
    }

    /// What follows is not a body any more, but what both sides speak after 101.
    pub(super) fn become_tunnel(&mut self) {
        self.bytes_max = u64::MAX;
        self.has_ended = false;
    }

    /// How much of a body goes up.
    pub(super) fn body(&self) -> RequestBody {
        self.body
    }

    /// Bytes handed over so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Why it ended early, if it did.
    pub(super) fn fault(&self) -> Option<UploadFault> {
        self.fault
    }
}

/// A client whose body goes upstream, as upstream sees it.
pub(super) struct Uploading<'a, D> {
    pub(super) downstream: &'a mut D,
    pub(super) upload: &'a mut Upload,
}

impl<D: Downstream> Client for Uploading<'_, D> {
    fn body(&self) -> RequestBody {
        self.upload.body
    }

    fn awaits_continue(&self) -> bool {
        self.upload.awaits_continue
    }

    fn has_begun(&self) -> bool {
        self.upload.has_begun
    }

    fn rest(&mut self) {
        self.downstream.rest_body();
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Broken>> {
        if self.upload.has_ended {
            return Poll::Ready(Ok(None));
        }
        // From here on the client knows that its body is read.
        self.upload.has_begun = true;
        let piece = match ready!(self.downstream.poll_body(cx)) {
            Ok(Some(piece)) => piece,
            Ok(None) => {
                self.upload.has_ended = true;
                return Poll::Ready(Ok(None));
            }
            Err(end) => {
                self.upload.fault = Some(UploadFault::Client(end));
                return Poll::Ready(Err(Broken));
            }
        };
        self.upload.bytes += piece.len() as u64;
        if self.upload.bytes > self.upload.bytes_max {
            self.upload.fault = Some(UploadFault::TooLarge);
            return Poll::Ready(Err(Broken));
        }
        Poll::Ready(Ok(Some(piece)))
    }

    fn take_trailers(&mut self) -> HeaderMap {
        self.downstream.take_trailers()
    }

    async fn interim(&mut self, status: StatusCode, mut fields: HeaderMap) -> Result<(), Broken> {
        hop_by_hop::strip(&mut fields);
        fields.remove(http::header::CONTENT_LENGTH);
        let sent = self.downstream.interim(status, fields).await;
        sent.map_err(|_| {
            self.upload.fault = Some(UploadFault::Gone);
            Broken
        })
    }
}
