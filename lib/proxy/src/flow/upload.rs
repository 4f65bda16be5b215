//! The body of a request on its way upstream: piece by piece, within the service's bound.

use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::downstream::Downstream;
use super::request::Request;
use crate::front::BodyEnd;
use crate::headers::hop_by_hop;
use crate::upstream::RequestBody;
use crate::upstream::client::{Broken, Client};
use crate::world::ServiceWorld;

/// How long a body may take however slowly it comes.
const UNHURRIED: Duration = Duration::from_secs(60);

/// Bytes a second that a body that takes longer must come at, on the whole: less than any line brings. Who sends a byte
/// now and then would otherwise hold a connection at the origin for days, and with some hundred such all of them.
const PACE_MIN: u64 = 256;

/// What is known of a body that goes upstream.
pub(super) struct Upload {
    body: RequestBody,
    awaits_continue: bool,
    bytes_max: u64,
    is_paced: bool,
    bytes: u64,
    /// When the client was first waited for.
    begun: Option<Instant>,
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
            is_paced: true,
            bytes: 0,
            begun: None,
            has_ended: false,
            fault: None,
        }
    }

    /// What follows is not a body any more, but what both sides speak after 101.
    pub(super) fn become_tunnel(&mut self) {
        self.bytes_max = u64::MAX;
        self.is_paced = false;
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

fn is_too_slow(bytes: u64, taken: Duration) -> bool {
    taken > UNHURRIED && bytes < taken.as_secs() * PACE_MIN
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
        self.upload.begun.is_some()
    }

    fn rest(&mut self) {
        self.downstream.rest_body();
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Broken>> {
        if self.upload.has_ended {
            return Poll::Ready(Ok(None));
        }
        // From here on the client knows that its body is read.
        let begun = *self.upload.begun.get_or_insert_with(Instant::now);
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
        if self.upload.is_paced && is_too_slow(self.upload.bytes, begun.elapsed()) {
            self.upload.fault = Some(UploadFault::Client(BodyEnd::Slow));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_only_drips_is_too_slow_after_a_minute() {
        for (bytes, seconds, expected) in [
            (0, 60, false),
            (1, 61, true),
            (61 * PACE_MIN, 61, false),
            (61 * PACE_MIN, 62, true),
            (64 << 20, 24 * 3600, false),
            (1 << 20, 24 * 3600, true),
        ] {
            let found = is_too_slow(bytes, Duration::from_secs(seconds));
            assert_eq!(found, expected, "{bytes} bytes in {seconds} s");
        }
    }
}
