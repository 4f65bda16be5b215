//! HTTP/1 answers: one vectored write for the head and what follows it.

use std::collections::VecDeque;
use std::io::Write as _;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};

use crate::flow::{AnswerHead, Body, ClientGone, Downstream};
use crate::framing;
use crate::front::{BodyEnd, Http1};
use crate::headers::trailers;

/// Room for an answer's head before it has to grow.
const HEAD_BYTES: usize = 1024;

/// The client's side of one HTTP/1 request.
pub(super) struct Answer<'a> {
    connection: &'a mut Http1,
    version: Version,
    keeps: bool,
    request: &'a HeaderMap,
    framing: Framing,
}

/// How the end of the body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// By so many bytes still to come.
    Counted(u64),
    /// By a last chunk.
    Chunked,
    /// By the end of the connection (HTTP/1.0, and what came after 101).
    Close,
}

impl<'a> Answer<'a> {
    /// The answer to a request with the fields `request` goes to `connection`; `keeps` says whether that may serve another request.
    pub(super) fn new(
        connection: &'a mut Http1,
        version: Version,
        request: &'a HeaderMap,
        keeps: bool,
    ) -> Answer<'a> {
        Answer {
            connection,
            version,
            keeps,
            request,
            framing: Framing::Counted(0),
        }
    }

    /// Whether the connection can serve another request after an answer that was sent whole.
    pub(super) fn goes_on(&self) -> bool {
        self.keeps && self.framing != Framing::Close
    }

    fn head(&mut self, head: &AnswerHead<'_>) -> Bytes {
        let mut wire = BytesMut::with_capacity(HEAD_BYTES);
        put_status(head.status, &mut wire);
        if let Some(stored) = &head.stored {
            wire.put_slice(stored.wire);
        }
        for (name, value) in &head.own {
            put_field(name, value, &mut wire);
        }
        self.frame(head.body, &mut wire);
        // What is left of a body is not waited for.
        self.keeps &= self.connection.has_read_request();
        if head.body == Body::Tunnel {
            self.connection.begin_tunnel();
        } else if !self.goes_on() {
            wire.put_slice(b"connection: close\r\n");
        } else if self.version == Version::HTTP_10 {
            wire.put_slice(b"connection: keep-alive\r\n");
        }
        wire.put_slice(b"\r\n");
        wire.freeze()
    }

    fn frame(&mut self, body: Body, wire: &mut BytesMut) {
        self.framing = match body {
            Body::None => Framing::Counted(0),
            Body::Withheld(length) => {
                if let Some(length) = length {
                    put_length(wire, length);
                }
                Framing::Counted(0)
            }
            Body::Sized(length) => {
                put_length(wire, length);
                Framing::Counted(length)
            }
            Body::Unsized if self.version == Version::HTTP_11 => {
                wire.put_slice(b"transfer-encoding: chunked\r\n");
                Framing::Chunked
            }
            Body::Unsized | Body::Tunnel => Framing::Close,
        };
    }

    /// Puts `pieces` into the framing of the body; fails when they are more than was announced.
    fn framed(&mut self, pieces: &mut VecDeque<Bytes>) -> Result<(), ClientGone> {
        let bytes: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
        match &mut self.framing {
            Framing::Counted(left) => *left = left.checked_sub(bytes).ok_or(ClientGone)?,
            Framing::Chunked if bytes > 0 => {
                pieces.push_front(framing::chunk_head(bytes));
                pieces.push_back(framing::CHUNK_END);
            }
            Framing::Chunked | Framing::Close => {}
        }
        Ok(())
    }
}

impl Downstream for Answer<'_> {
    async fn start(&mut self, head: AnswerHead<'_>, pieces: &mut VecDeque<Bytes>) -> Result<(), ClientGone> {
        let wire = self.head(&head);
        self.framed(pieces)?;
        pieces.push_front(wire);
        self.connection.send(pieces).await.map_err(|_| ClientGone)
    }

    async fn send(&mut self, pieces: &mut VecDeque<Bytes>) -> Result<(), ClientGone> {
        self.framed(pieces)?;
        self.connection.send(pieces).await.map_err(|_| ClientGone)
    }

    async fn finish(&mut self) -> Result<(), ClientGone> {
        match self.framing {
            Framing::Counted(0) | Framing::Close => Ok(()),
            Framing::Counted(_) => Err(ClientGone),
            Framing::Chunked => {
                let mut last = VecDeque::from([framing::last_chunk(&HeaderMap::new())]);
                self.connection.send(&mut last).await.map_err(|_| ClientGone)
            }
        }
    }

    async fn finish_with(&mut self, trailers: HeaderMap) -> Result<(), ClientGone> {
        if self.framing != Framing::Chunked || !trailers::are_wanted(self.request) {
            // Trailers may be dropped (RFC 9110 §6.5.1); merged into the head they may not.
            return self.finish().await;
        }
        let mut last = VecDeque::from([framing::last_chunk(&trailers)]);
        self.connection.send(&mut last).await.map_err(|_| ClientGone)
    }

    async fn interim(&mut self, status: StatusCode, fields: HeaderMap) -> Result<(), ClientGone> {
        // HTTP/1.0 knows no interim answers (RFC 9110 §15.2).
        if self.version != Version::HTTP_11 {
            return Ok(());
        }
        let mut wire = BytesMut::with_capacity(HEAD_BYTES);
        put_status(status, &mut wire);
        for (name, value) in &fields {
            put_field(name, value, &mut wire);
        }
        wire.put_slice(b"\r\n");
        let mut pieces = VecDeque::from([wire.freeze()]);
        self.connection.send(&mut pieces).await.map_err(|_| ClientGone)
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyEnd>> {
        self.connection.poll_body(cx)
    }

    fn rest_body(&mut self) {
        self.connection.rest_body();
    }

    fn take_trailers(&mut self) -> HeaderMap {
        self.connection.take_trailers()
    }
}

fn put_status(status: StatusCode, wire: &mut BytesMut) {
    wire.put_slice(b"HTTP/1.1 ");
    wire.put_slice(status.as_str().as_bytes());
    wire.put_u8(b' ');
    wire.put_slice(status.canonical_reason().unwrap_or("").as_bytes());
    wire.put_slice(b"\r\n");
}

fn put_field(name: &HeaderName, value: &HeaderValue, wire: &mut BytesMut) {
    wire.put_slice(name.as_str().as_bytes());
    wire.put_slice(b": ");
    wire.put_slice(value.as_bytes());
    wire.put_slice(b"\r\n");
}

fn put_length(wire: &mut BytesMut, length: u64) {
    // Writing to memory cannot fail.
    let _ = write!(wire.writer(), "content-length: {length}\r\n");
}
