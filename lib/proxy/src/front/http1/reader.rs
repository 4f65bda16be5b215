//! Reads the requests of an HTTP/1 connection, one at a time, under its deadlines.
//!
//! ```text
//!           first byte          empty line                    answered
//!   waiting ──────────► in a head ─────────► request handed out ──────► waiting …
//!    idle_timeout      header_timeout, 408, 431, 400    │        ▲
//!                                                       └► body ─┘ read to its end; else nothing follows
//!                                                        body_timeout, 408, 400
//! ```
//!
//! Bytes of a next request wait in the buffer, so every head passes the scan, also when several come in one read. A
//! head is scanned where it was read, and what is handed out are views of those bytes: they are never copied.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use pingora_core::protocols::http::date::get_cached_date;
use tokio::io::AsyncReadExt;

use super::refusal::Refusal;
use super::request::RequestHead;
use super::scan::{Framing, HeadFault, HeadScan, Progress};
use crate::framing::{BodyFault, BodyReader, Step};
use crate::front::connection::Vitals;
use crate::front::io::Transport;

/// Room for what is read at once: all heads but the rarest, and several of clients that send ahead.
const READ_BYTES: usize = 4096;

/// Room for a read of a body: what a busy line brings meanwhile.
const BODY_READ_BYTES: usize = 32 * 1024;

/// Tells a client that its body is wanted (RFC 9110 §15.2.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// With less room than this the buffer is moved or grown before the next read.
const LEAST_READ_BYTES: usize = 1024;

/// How long a connection waits for a request when the process drains: a client that is busy sends its next one within
/// that time and is then told to go; one that pauses longer has nothing under way when its connection ends.
pub(crate) const LAST_WAIT: Duration = Duration::from_millis(500);

/// The reading side of an HTTP/1 connection.
pub(super) struct HeadReader {
    phase: Phase,
    /// Read from the client and not handed out yet: at most a head and one read more.
    buffer: BytesMut,
    scan: HeadScan,
    /// What came after the last body.
    trailers: Option<Box<HeaderMap>>,
}

enum Phase {
    /// Waiting for a head, or within one.
    Head,
    /// Within a request's body, as far as it is asked for.
    Body(Box<Body>),
    /// Saying goodbye, after an answer if there is one.
    Closing(Bytes),
    /// Nothing more is read; `unread` says that the client may still be sending.
    Ended { unread: bool },
}

impl HeadReader {
    /// A connection before its first byte.
    pub(super) fn new(most_header_bytes: usize) -> HeadReader {
        HeadReader {
            phase: Phase::Head,
            buffer: BytesMut::new(),
            scan: HeadScan::new(most_header_bytes),
            trailers: None,
        }
    }

    /// Whether the request handed out last was read to its end.
    pub(super) fn has_read_request(&self) -> bool {
        matches!(self.phase, Phase::Head)
    }

    /// The trailer fields of the body that was read last.
    pub(super) fn take_trailers(&mut self) -> HeaderMap {
        self.trailers
            .take()
            .map_or_else(HeaderMap::new, |trailers| *trailers)
    }

    /// From now on every byte belongs to what the connection was switched to, until it ends.
    pub(super) fn begin_tunnel(&mut self) {
        self.phase = Phase::Body(Box::new(Body {
            reader: BodyReader::until_close(),
            announcement: Bytes::new(),
            is_tunnel: true,
        }));
    }

    /// The body is not read for a while: its client's clock stands still.
    pub(super) fn rest(&mut self, vitals: &Vitals) {
        if matches!(self.phase, Phase::Body(_)) {
            vitals.client_came();
            // What passed meanwhile was our time.
            vitals.take_read_expiry();
        }
    }

    /// The next bytes of the body; `None` at its end.
    pub(super) fn poll_body(
        &mut self,
        transport: &mut Transport,
        vitals: &Vitals,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, BodyEnd>> {
        loop {
            let body = match &mut self.phase {
                Phase::Body(body) => body,
                Phase::Head => return Poll::Ready(Ok(None)),
                Phase::Closing(_) | Phase::Ended { .. } => return Poll::Ready(Err(BodyEnd::Gone)),
            };
            if vitals.take_read_expiry() {
                vitals.shared.metrics.refuse("body_timeout");
                self.phase = Phase::Ended { unread: true };
                return Poll::Ready(Err(BodyEnd::Slow));
            }
            match body.reader.read(&mut self.buffer) {
                Ok(Step::Piece(piece)) => {
                    // Who sends its body waits for nobody to ask for it.
                    body.announcement.clear();
                    vitals.client_came();
                    return Poll::Ready(Ok(Some(piece)));
                }
                Ok(Step::End) => {
                    let trailers = body.reader.take_trailers();
                    self.trailers = (!trailers.is_empty()).then(|| Box::new(trailers));
                    self.phase = Phase::Head;
                    vitals.client_came();
                    return Poll::Ready(Ok(None));
                }
                Ok(Step::More) => {}
                Err(fault) => {
                    vitals.shared.metrics.refuse(fault.reason());
                    self.phase = Phase::Ended { unread: true };
                    return Poll::Ready(Err(BodyEnd::Malformed));
                }
            }
            if !body.announcement.is_empty() {
                let written = ready!(poll_write_all(transport, cx, &mut body.announcement));
                if written.is_err() {
                    self.phase = Phase::Ended { unread: false };
                    return Poll::Ready(Err(BodyEnd::Gone));
                }
            }
            if self.buffer.capacity() - self.buffer.len() < LEAST_READ_BYTES {
                self.buffer.reserve(BODY_READ_BYTES);
            }
            let read = pin!(transport.duplex().read_buf(&mut self.buffer)).poll(cx);
            match read {
                Poll::Pending => {
                    if !body.is_tunnel {
                        vitals.keep_awaiting_client(vitals.shared.limits.body_timeout);
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Ok(count)) if count > 0 => {}
                Poll::Ready(Ok(_)) if body.is_tunnel => {
                    self.phase = Phase::Ended { unread: false };
                    return Poll::Ready(Ok(None));
                }
                Poll::Ready(_) => {
                    vitals.client_came();
                    vitals.shared.metrics.refuse(BodyFault::CutShort.reason());
                    self.phase = Phase::Ended { unread: false };
                    return Poll::Ready(Err(BodyEnd::Gone));
                }
            }
        }
    }

    /// Whether closing now could destroy an answer on its way, because the client's last bytes were not read.
    pub(super) fn must_linger(&self) -> bool {
        let is_sending = match &self.phase {
            Phase::Body(body) => !body.is_tunnel,
            Phase::Ended { unread } => *unread,
            Phase::Head | Phase::Closing(_) => false,
        };
        is_sending || !self.buffer.is_empty()
    }

    /// The next request; `None` when none will come. What the client does wrong is answered in here.
    pub(super) fn poll_next(
        &mut self,
        transport: &mut Transport,
        vitals: &Vitals,
        cx: &mut Context<'_>,
    ) -> Poll<Option<RequestHead>> {
        loop {
            match &mut self.phase {
                Phase::Head => {
                    let step = if vitals.take_read_expiry() {
                        Err(self.late())
                    } else {
                        ready!(self.poll_head(transport, vitals, cx))
                    };
                    match step {
                        Ok(Some(head)) => return Poll::Ready(Some(head)),
                        Ok(None) => {}
                        Err(end) => self.end(end, vitals),
                    }
                }
                Phase::Body(_) => {
                    // Nobody but who reads the body knows where the next request begins.
                    self.rest(vitals);
                    self.phase = Phase::Ended { unread: true };
                }
                Phase::Closing(answer) => {
                    // A client that is gone needs no goodbye.
                    let _ = ready!(poll_tell(transport, cx, answer));
                    self.phase = Phase::Ended { unread: true };
                }
                Phase::Ended { .. } => return Poll::Ready(None),
            }
        }
    }

    /// One step towards a head: looks at what is there, or reads more.
    fn poll_head(
        &mut self,
        transport: &mut Transport,
        vitals: &Vitals,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<RequestHead>, End>> {
        match self.scan.advance(&self.buffer) {
            Ok(Progress::Complete { length, framing }) => {
                let head = self.buffer.split_to(length).freeze();
                return Poll::Ready(
                    self.hand_out(head, framing, vitals)
                        .map(Some)
                        .map_err(End::Refused),
                );
            }
            Ok(Progress::Incomplete) => {}
            Err(fault) => return Poll::Ready(Err(End::Refused(fault))),
        }
        if self.buffer.capacity() - self.buffer.len() < LEAST_READ_BYTES {
            self.buffer.reserve(READ_BYTES);
        }
        let was_empty = self.buffer.is_empty();
        let read = pin!(transport.duplex().read_buf(&mut self.buffer)).poll(cx);
        let limits = &vitals.shared.limits;
        Poll::Ready(match read {
            Poll::Pending => {
                if !was_empty {
                    vitals.keep_awaiting_client(limits.header_timeout);
                } else if vitals.closes_when_idle() {
                    vitals.hurry_client(LAST_WAIT);
                } else {
                    vitals.keep_awaiting_client(limits.idle_timeout);
                }
                return Poll::Pending;
            }
            Poll::Ready(Ok(0)) if was_empty => Err(End::Gone),
            Poll::Ready(Ok(0)) => Err(End::CutShort),
            Poll::Ready(Ok(_)) => {
                if was_empty {
                    // It was the next request that was waited for; its head has a deadline of its own.
                    vitals.client_came();
                }
                Ok(None)
            }
            Poll::Ready(Err(_)) => Err(End::Gone),
        })
    }

    fn hand_out(&mut self, head: Bytes, framing: Framing, vitals: &Vitals) -> Result<RequestHead, HeadFault> {
        let head = RequestHead::take_apart(head, &self.scan, framing)?;
        self.scan.restart();
        vitals.client_came();
        let reader = match framing {
            Framing::Nothing => return Ok(head),
            Framing::Sized(bytes) => BodyReader::sized(bytes),
            Framing::Coded => BodyReader::chunked(),
        };
        self.phase = Phase::Body(Box::new(Body {
            reader,
            announcement: Bytes::from_static(if head.awaits_continue { CONTINUE } else { b"" }),
            is_tunnel: false,
        }));
        Ok(head)
    }

    fn late(&self) -> End {
        if self.buffer.is_empty() {
            End::Idle
        } else {
            End::Late
        }
    }

    /// Ends the connection, with an answer where the client is owed one.
    fn end(&mut self, end: End, vitals: &Vitals) {
        let metrics = &vitals.shared.metrics;
        let refusal = match end {
            End::Gone => None,
            End::CutShort => {
                metrics.refuse("head_cut_short");
                None
            }
            End::Idle => {
                metrics.idle_closed.inc();
                self.phase = Phase::Closing(Bytes::new());
                return;
            }
            End::Late => Some(Refusal::Late),
            End::Refused(fault) => Some(Refusal::Fault(fault)),
        };
        vitals.client_came();
        self.buffer.clear();
        self.phase = match refusal {
            Some(refusal) => {
                metrics.refuse(refusal.reason());
                Phase::Closing(refusal.answer(&get_cached_date()))
            }
            None => Phase::Ended { unread: false },
        };
    }
}

/// A body under way.
struct Body {
    reader: BodyReader,
    /// What the client waits for before it sends any of it.
    announcement: Bytes,
    is_tunnel: bool,
}

/// Why no more of a body comes. Nothing follows it on its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEnd {
    /// The client sent nothing for `body_timeout`.
    Slow,
    /// What it sent is no proper body.
    Malformed,
    /// It is gone.
    Gone,
}

/// Why no request comes any more.
enum End {
    /// The client closed or broke the connection between two requests.
    Gone,
    /// The client closed it within a head.
    CutShort,
    /// No request came for `idle_timeout`.
    Idle,
    /// A head did not become whole within `header_timeout`.
    Late,
    /// A head breaks a rule.
    Refused(HeadFault),
}

/// Writes `answer` and says that nothing follows.
fn poll_tell(transport: &mut Transport, cx: &mut Context<'_>, answer: &mut Bytes) -> Poll<io::Result<()>> {
    ready!(poll_write_all(transport, cx, answer))?;
    transport.duplex().poll_shutdown(cx)
}

fn poll_write_all(
    transport: &mut Transport,
    cx: &mut Context<'_>,
    bytes: &mut Bytes,
) -> Poll<io::Result<()>> {
    while !bytes.is_empty() {
        let count = ready!(transport.duplex().poll_write(cx, bytes))?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        bytes.advance(count);
    }
    transport.duplex().poll_flush(cx)
}
