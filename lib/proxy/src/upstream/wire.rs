//! One request and its answer on one HTTP/1 connection to an upstream: both directions at once, each piece as it comes.
//!
//! ```text
//!  request   head ─ pieces ─ end          written while the answer is awaited and while it is read
//!  answer    interim* ─ head ─ pieces ─ end
//! ```
//!
//! Memory is bounded by one read of the answer and one piece of the body: who polls hands over the next piece only when
//! the one before is written.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode};
use pingora_core::protocols::Stream;
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, Sleep};

use super::client::RequestBody;
use super::head::{self, Head};
use crate::framing::{self, BodyFault, BodyReader, Step};

/// Room for one read of an answer.
const READ_BYTES: usize = 64 * 1024;

/// What has come from upstream.
#[derive(Debug)]
pub(super) enum Event {
    /// A 1xx answer: the final one is still to come.
    Interim(Head),
    /// The head of the final answer, or 101 where an upgrade was asked for.
    Head(Head),
    /// Some of the body.
    Piece(Bytes),
    /// The end of the body, and of the answer.
    End,
}

/// What went wrong.
#[derive(Debug)]
pub(super) enum WireFault {
    /// The connection broke, or ended before the answer's head.
    Broken(io::Error),
    /// What came is no proper answer.
    Head(head::HeadFault),
    /// The answer's body is not whole, or not framed properly.
    Body(BodyFault),
    /// Upstream took nothing of the request for too long.
    TakesNothing,
    /// No answer came in time.
    SaysNothing,
    /// The answer's body stopped coming.
    Stalls,
}

/// How long each step may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// From the request's last byte to the head of the answer.
    pub(super) first_byte: Duration,
    /// Between two pieces, in either direction.
    pub(super) between_bytes: Duration,
}

/// One exchange on one connection.
pub(super) struct Wire {
    stream: Stream,
    inbox: BytesMut,
    searched: usize,
    outbox: VecDeque<Bytes>,
    unflushed: bool,
    upload: Upload,
    answer: Answer,
    method: Method,
    asks_upgrade: bool,
    keeps: bool,
    /// Whether anything of an answer came at all.
    heard: bool,
    patience: Patience,
    waiting: WaitingFor,
    timer: Pin<Box<Sleep>>,
}

/// What is left to be sent of the request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upload {
    Sized(u64),
    Chunked,
    /// After 101: bytes as they are.
    Raw,
    Ended,
    /// Upstream takes no more of it, or the client has no more of it; the connection is of no use for another request.
    GivenUp,
}

enum Answer {
    Awaited,
    Body(BodyReader),
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WaitingFor {
    Nothing,
    Write,
    Head,
    Body,
}

impl Wire {
    /// A wire on which `head`, the bytes of the request's head, goes first.
    pub(super) fn new(
        stream: Stream,
        head: Bytes,
        method: Method,
        body: RequestBody,
        asks_upgrade: bool,
        patience: Patience,
    ) -> Wire {
        Wire {
            stream,
            inbox: BytesMut::new(),
            searched: 0,
            outbox: VecDeque::from([head]),
            unflushed: false,
            upload: match body {
                RequestBody::None => Upload::Ended,
                RequestBody::Sized(length) => Upload::Sized(length),
                RequestBody::Unsized => Upload::Chunked,
            },
            answer: Answer::Awaited,
            method,
            asks_upgrade,
            keeps: false,
            heard: false,
            patience,
            waiting: WaitingFor::Nothing,
            timer: Box::pin(tokio::time::sleep_until(Instant::now())),
        }
    }

    /// Whether the next piece of the body may be handed over.
    pub(super) fn wants_piece(&self) -> bool {
        matches!(self.upload, Upload::Sized(_) | Upload::Chunked | Upload::Raw)
            && self.outbox.is_empty()
            && !self.unflushed
    }

    /// Takes the next piece of the body.
    ///
    /// # Errors
    /// When it is more than was announced.
    pub(super) fn push(&mut self, piece: Bytes) -> Result<(), BodyFault> {
        let bytes = piece.len() as u64;
        match &mut self.upload {
            Upload::Sized(left) => {
                *left = left.checked_sub(bytes).ok_or(BodyFault::CutShort)?;
                self.outbox.push_back(piece);
            }
            Upload::Chunked if bytes > 0 => {
                self.outbox
                    .extend([framing::chunk_head(bytes), piece, framing::CHUNK_END]);
            }
            Upload::Raw => self.outbox.push_back(piece),
            Upload::Chunked | Upload::Ended | Upload::GivenUp => {}
        }
        Ok(())
    }

    /// The body has ended.
    ///
    /// # Errors
    /// When it is less than was announced.
    pub(super) fn end_upload(&mut self, trailers: &HeaderMap) -> Result<(), BodyFault> {
        match self.upload {
            Upload::Sized(0) | Upload::Ended => self.upload = Upload::Ended,
            Upload::Chunked => {
                self.outbox.push_back(framing::last_chunk(trailers));
                self.upload = Upload::Ended;
            }
            Upload::Sized(_) => return Err(BodyFault::CutShort),
            Upload::Raw | Upload::GivenUp => self.upload = Upload::GivenUp,
        }
        Ok(())
    }

    /// The trailer fields of the answer, once it has ended.
    pub(super) fn take_trailers(&mut self) -> HeaderMap {
        match &mut self.answer {
            Answer::Body(reader) => reader.take_trailers(),
            Answer::Awaited | Answer::Ended => HeaderMap::new(),
        }
    }

    /// Whether anything of an answer has come.
    pub(super) fn has_heard(&self) -> bool {
        self.heard
    }

    /// Whether the whole answer was read.
    pub(super) fn has_ended(&self) -> bool {
        match &self.answer {
            Answer::Awaited => false,
            Answer::Body(reader) => reader.has_ended(),
            Answer::Ended => true,
        }
    }

    /// The connection, if it can serve another request.
    pub(super) fn into_kept(self) -> Option<Stream> {
        let is_clean = self.inbox.is_empty() && self.outbox.is_empty() && self.upload == Upload::Ended;
        (self.has_ended() && self.keeps && is_clean).then_some(self.stream)
    }

    /// Sends what is to be sent, and says what has come.
    pub(super) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, WireFault>> {
        if let Poll::Ready(Err(_)) = self.poll_send(cx) {
            // Upstream reads no more, but may have answered already: a 413, say.
            self.outbox.clear();
            self.unflushed = false;
            self.upload = Upload::GivenUp;
        }
        match self.poll_receive(cx) {
            Poll::Ready(event) => {
                if !matches!(event, Ok(Event::Interim(_))) {
                    self.waiting = WaitingFor::Nothing;
                }
                Poll::Ready(event)
            }
            Poll::Pending => self.poll_patience(cx).map(Err),
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(piece) = self.outbox.front_mut() {
            if piece.is_empty() {
                self.outbox.pop_front();
                continue;
            }
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, piece))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            piece.advance(count);
            self.unflushed = true;
            if self.waiting == WaitingFor::Write {
                self.waiting = WaitingFor::Nothing;
            }
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, WireFault>> {
        loop {
            if let Some(event) = self.take_event()? {
                return Poll::Ready(Ok(event));
            }
            if self.inbox.capacity() - self.inbox.len() < READ_BYTES / 4 {
                self.inbox.reserve(READ_BYTES);
            }
            let read = pin!(self.stream.read_buf(&mut self.inbox)).poll(cx);
            match ready!(read) {
                Ok(0) => return Poll::Ready(self.connection_ended()),
                Ok(_) => self.heard = true,
                Err(error) => return Poll::Ready(Err(WireFault::Broken(error))),
            }
        }
    }

    /// What the bytes at hand say.
    fn take_event(&mut self) -> Result<Option<Event>, WireFault> {
        match &mut self.answer {
            Answer::Awaited => {
                let head = head::take(&mut self.inbox, &mut self.searched).map_err(WireFault::Head)?;
                head.map(|head| self.take_head(head)).transpose()
            }
            Answer::Body(reader) => match reader.read(&mut self.inbox).map_err(WireFault::Body)? {
                Step::Piece(piece) => Ok(Some(Event::Piece(piece))),
                Step::More => Ok(None),
                Step::End => Ok(Some(Event::End)),
            },
            Answer::Ended => Ok(Some(Event::End)),
        }
    }

    fn take_head(&mut self, head: Head) -> Result<Event, WireFault> {
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            if !self.asks_upgrade {
                return Err(WireFault::Head("upstream switched protocols unasked"));
            }
            self.answer = Answer::Body(BodyReader::until_close());
            self.upload = Upload::Raw;
            return Ok(Event::Head(head));
        }
        if head.status.is_informational() {
            return Ok(Event::Interim(head));
        }
        self.keeps = head.keeps_connection();
        self.answer = Answer::Body(head.body(&self.method).map_err(WireFault::Head)?);
        Ok(Event::Head(head))
    }

    fn connection_ended(&mut self) -> Result<Event, WireFault> {
        self.keeps = false;
        match &mut self.answer {
            Answer::Awaited => Err(WireFault::Broken(io::ErrorKind::UnexpectedEof.into())),
            Answer::Body(reader) => {
                reader.connection_ended().map_err(WireFault::Body)?;
                self.answer = Answer::Ended;
                Ok(Event::End)
            }
            Answer::Ended => Ok(Event::End),
        }
    }

    /// Ends what takes too long. A tunnel has no end of its own: who uses it minds that.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<WireFault> {
        let wanted = match (&self.answer, self.upload) {
            (Answer::Awaited, _) if !self.outbox.is_empty() || self.unflushed => WaitingFor::Write,
            (Answer::Awaited, Upload::Ended | Upload::GivenUp) => WaitingFor::Head,
            (Answer::Awaited, _) | (_, Upload::Raw) => WaitingFor::Nothing,
            _ => WaitingFor::Body,
        };
        if wanted != self.waiting {
            self.waiting = wanted;
            let time = match wanted {
                WaitingFor::Nothing => return Poll::Pending,
                WaitingFor::Head => self.patience.first_byte,
                WaitingFor::Write | WaitingFor::Body => self.patience.between_bytes,
            };
            self.timer.as_mut().reset(Instant::now() + time);
        }
        let fault = match wanted {
            WaitingFor::Nothing => return Poll::Pending,
            WaitingFor::Write => WireFault::TakesNothing,
            WaitingFor::Head => WireFault::SaysNothing,
            WaitingFor::Body => WireFault::Stalls,
        };
        ready!(self.timer.as_mut().poll(cx));
        Poll::Ready(fault)
    }
}
