//! Reads HTTP/1: hands Pingora whole heads that were found sound, one at a time, and bodies no further than their end.
//!
//! ```text
//!             first byte          empty line                 end of body
//!   Head ──────────────────────────────────────► Body(n) ───────────────► Head …
//!    idle_timeout │ header_timeout, 408, 431, 400   (or Coded: the last request)
//! ```
//!
//! What Pingora has not been given it cannot parse: bytes of a next request wait here (`withheld`), so every head
//! passes the scan, also when several lie in one read. A head that arrives whole, the rule, is scanned where it was
//! read and never copied. An incomplete one is withheld until it is whole: a client that sends a byte at a time costs
//! one look at each byte, not one parse of the head for each.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use pingora_core::protocols::http::date::get_cached_date;
use tokio::io::ReadBuf;

use super::refusal::Refusal;
use super::transport::Transport;
use crate::front::connection::Vitals;
use crate::front::head::{Framing, HeadScan, Progress};

/// Read at once of a head that did not come whole.
const READ_BYTES: usize = 4096;

/// How long a connection waits for a request when the process drains: a client that is busy sends its next one within
/// that time and is then told to go; one that pauses longer has nothing under way when its connection ends.
pub(crate) const LAST_WAIT: Duration = Duration::from_millis(500);

/// The reading side of an HTTP/1 connection.
pub(crate) struct HeadReader {
    phase: Phase,
    /// Read from the client and not handed on yet: at most a head and one read more.
    withheld: BytesMut,
    scan: HeadScan,
    closes: Closes,
}

/// Who ended the connection, as far as the application may not know.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Closes {
    /// Nobody yet, or the client, or the application.
    No,
    /// The front door, because no request came.
    Idle,
    /// The front door, in the middle of what the client sent.
    Refused,
}

enum Phase {
    /// Waiting for a head, or within one.
    Head,
    /// So many bytes of `withheld` are a sound head.
    Deliver(usize, Framing),
    /// So many bytes of a body are to come.
    Body(u64),
    /// A body whose end only Pingora finds; no request may follow it on this connection.
    Coded,
    /// Saying goodbye, after an answer if there is one.
    Closing(Bytes, Option<Refusal>),
    /// Nothing more is read.
    Ended,
}

impl HeadReader {
    /// A connection before its first byte.
    pub(crate) fn new(most_header_bytes: usize) -> HeadReader {
        HeadReader {
            phase: Phase::Head,
            withheld: BytesMut::new(),
            scan: HeadScan::new(most_header_bytes),
            closes: Closes::No,
        }
    }

    /// Whether the front door ended the connection: the application must write nothing more.
    pub(crate) fn has_closed(&self) -> bool {
        self.closes != Closes::No
    }

    /// Whether closing now could destroy an answer on its way, because the client's last bytes were not read.
    pub(crate) fn must_linger(&self) -> bool {
        self.closes == Closes::Refused
            || !self.withheld.is_empty()
            || matches!(self.phase, Phase::Body(1..) | Phase::Coded)
    }

    /// Reads as Pingora asks: a whole head, or a part of a body.
    pub(crate) fn poll_read(
        &mut self,
        transport: &mut Transport,
        vitals: &Vitals,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match &mut self.phase {
                Phase::Head => match ready!(self.poll_head(transport, vitals, cx, buf))? {
                    Next::Look => {}
                    Next::Return => return Poll::Ready(Ok(())),
                },
                Phase::Deliver(left, framing) => {
                    let framing = *framing;
                    *left -= hand_on(&mut self.withheld, *left, buf);
                    if *left == 0 {
                        self.head_is_read(framing, vitals);
                    }
                    return Poll::Ready(Ok(()));
                }
                Phase::Body(0) => self.phase = Phase::Head,
                Phase::Body(left) => {
                    let most = usize::try_from(*left).unwrap_or(usize::MAX);
                    *left -= ready!(poll_body(&mut self.withheld, transport, cx, buf, most))? as u64;
                    return Poll::Ready(Ok(()));
                }
                Phase::Coded if !vitals.is_answering() => {
                    self.close_idle();
                }
                Phase::Coded => {
                    ready!(poll_body(&mut self.withheld, transport, cx, buf, usize::MAX))?;
                    return Poll::Ready(Ok(()));
                }
                Phase::Closing(answer, refusal) => {
                    let refusal = *refusal;
                    // A client that is gone needs no goodbye.
                    let _ = ready!(poll_tell(transport, cx, answer));
                    self.phase = Phase::Ended;
                    return Poll::Ready(refusal.map_or(Ok(()), |refusal| Err(refused(refusal))));
                }
                Phase::Ended => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Reads towards a head, in `withheld` if some of it lies there, else directly in Pingora's buffer.
    fn poll_head(
        &mut self,
        transport: &mut Transport,
        vitals: &Vitals,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Next>> {
        if vitals.take_read_expiry() {
            return Poll::Ready(self.client_is_late(vitals));
        }
        if self.withheld.is_empty() {
            return self.poll_fresh_head(transport, vitals, cx, buf);
        }
        match self.scan.advance(&self.withheld) {
            Err(fault) => return Poll::Ready(self.refuse(Refusal::Fault(fault), vitals)),
            Ok(Progress::Complete { length, framing }) => {
                self.phase = Phase::Deliver(length, framing);
                return Poll::Ready(Ok(Next::Look));
            }
            Ok(Progress::Incomplete) => {}
        }
        if !vitals.is_answering() {
            vitals.keep_awaiting_client(vitals.shared.limits.header_timeout);
        }
        let mut bytes = [0; READ_BYTES];
        let mut read = ReadBuf::new(&mut bytes);
        ready!(transport.duplex().poll_read(cx, &mut read))?;
        if read.filled().is_empty() {
            vitals.shared.metrics.refuse("head_cut_short");
            self.phase = Phase::Ended;
        }
        self.withheld.extend_from_slice(read.filled());
        Poll::Ready(Ok(Next::Look))
    }

    fn poll_fresh_head(
        &mut self,
        transport: &mut Transport,
        vitals: &Vitals,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Next>> {
        let before = buf.filled().len();
        if transport.duplex().poll_read(cx, buf)?.is_pending() {
            if vitals.is_answering() {
                // An answer may take as long as it likes.
            } else if vitals.closes_when_idle() {
                vitals.hurry_client(LAST_WAIT);
            } else {
                vitals.keep_awaiting_client(vitals.shared.limits.idle_timeout);
            }
            return Poll::Pending;
        }
        let fresh = &buf.filled()[before..];
        if fresh.is_empty() {
            self.phase = Phase::Ended;
            return Poll::Ready(Ok(Next::Return));
        }
        match self.scan.advance(fresh) {
            Ok(Progress::Complete { length, framing }) => {
                self.withheld.extend_from_slice(&fresh[length..]);
                buf.set_filled(before + length);
                self.head_is_read(framing, vitals);
                return Poll::Ready(Ok(Next::Return));
            }
            // The scan stands where it stopped and goes on there, or finds the same fault again, in `withheld`.
            Ok(Progress::Incomplete) => {
                self.withheld.extend_from_slice(fresh);
                vitals.client_came();
            }
            Err(fault) => {
                buf.set_filled(before);
                return Poll::Ready(self.refuse(Refusal::Fault(fault), vitals));
            }
        }
        buf.set_filled(before);
        Poll::Ready(Ok(Next::Look))
    }

    fn head_is_read(&mut self, framing: Framing, vitals: &Vitals) {
        self.scan = HeadScan::new(vitals.shared.limits.max_header_bytes);
        self.phase = match framing {
            Framing::Nothing => Phase::Head,
            Framing::Sized(length) => Phase::Body(length),
            Framing::Coded => Phase::Coded,
        };
        vitals.client_came();
        vitals.set_answering(true);
    }

    fn client_is_late(&mut self, vitals: &Vitals) -> io::Result<Next> {
        if self.withheld.is_empty() {
            vitals.shared.metrics.idle_closed.inc();
            return Ok(self.close_idle());
        }
        self.refuse(Refusal::Late, vitals)
    }

    fn close_idle(&mut self) -> Next {
        self.closes = Closes::Idle;
        self.phase = Phase::Closing(Bytes::new(), None);
        Next::Look
    }

    /// Turns the client away, with an answer unless one is under way already.
    fn refuse(&mut self, refusal: Refusal, vitals: &Vitals) -> io::Result<Next> {
        vitals.shared.metrics.refuse(refusal.reason());
        vitals.client_came();
        self.withheld.clear();
        self.closes = Closes::Refused;
        if vitals.is_answering() {
            self.phase = Phase::Ended;
            return Err(refused(refusal));
        }
        self.phase = Phase::Closing(refusal.answer(&get_cached_date()), Some(refusal));
        Ok(Next::Look)
    }
}

/// What follows a step in a head.
enum Next {
    /// Look at the phase again.
    Look,
    /// Return what lies in the buffer.
    Return,
}

fn refused(refusal: Refusal) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, refusal.reason())
}

/// Moves up to `most` bytes from `withheld` into `buf`, and says how many.
fn hand_on(withheld: &mut BytesMut, most: usize, buf: &mut ReadBuf<'_>) -> usize {
    let count = withheld.len().min(most).min(buf.remaining());
    buf.put_slice(&withheld[..count]);
    withheld.advance(count);
    if withheld.is_empty() {
        // Most connections never withhold again: give the memory back.
        *withheld = BytesMut::new();
    }
    count
}

fn poll_body(
    withheld: &mut BytesMut,
    transport: &mut Transport,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
    most: usize,
) -> Poll<io::Result<usize>> {
    if !withheld.is_empty() {
        return Poll::Ready(Ok(hand_on(withheld, most, buf)));
    }
    let mut limited = ReadBuf::new(buf.initialize_unfilled_to(most.min(buf.remaining())));
    ready!(transport.duplex().poll_read(cx, &mut limited))?;
    let count = limited.filled().len();
    buf.advance(count);
    Poll::Ready(Ok(count))
}

/// Writes `answer` and says that nothing follows.
fn poll_tell(transport: &mut Transport, cx: &mut Context<'_>, answer: &mut Bytes) -> Poll<io::Result<()>> {
    while !answer.is_empty() {
        let count = ready!(transport.duplex().poll_write(cx, answer))?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        answer.advance(count);
    }
    ready!(transport.duplex().poll_flush(cx))?;
    transport.duplex().poll_shutdown(cx)
}
