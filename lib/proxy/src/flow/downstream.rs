//! How an answer leaves: what the flow asks of the protocol a request came by.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::task::{Context, Poll};

use crate::front::BodyEnd;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// The client went away, stalled past its bound, or broke the protocol; nothing more can be sent to it.
#[derive(Debug)]
pub struct ClientGone;

impl fmt::Display for ClientGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client is gone")
    }
}

impl std::error::Error for ClientGone {}

/// What follows an answer's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing, and no length is said (304, 204).
    None,
    /// Nothing, though a GET would have brought so many bytes (HEAD); `None` when nobody knows yet.
    Withheld(Option<u64>),
    /// So many bytes.
    Sized(u64),
    /// Bytes until the end; nobody knows yet how many.
    Unsized,
    /// After 101: what both sides speak from now on, until one of them ends it.
    Tunnel,
}

/// Fields that are the same for every answer from one stored object.
#[derive(Clone, Copy)]
pub struct Stored<'a> {
    /// As lines of an HTTP/1 head, each ended by CRLF; without Content-Length.
    pub wire: &'a Bytes,
    /// The same as fields, made when a protocol wants them so.
    pub fields: &'a (dyn Fn() -> HeaderMap + Sync),
}

/// An answer's head.
pub struct AnswerHead<'a> {
    /// Its status.
    pub status: StatusCode,
    /// What a stored object brings.
    pub stored: Option<Stored<'a>>,
    /// What this answer adds, in order.
    pub own: Vec<(HeaderName, HeaderValue)>,
    /// What follows.
    pub body: Body,
}

/// The client's side of one request.
pub trait Downstream: Send {
    /// Sends the head together with what lies in `pieces` (empty afterwards).
    fn start(
        &mut self,
        head: AnswerHead<'_>,
        pieces: &mut VecDeque<Bytes>,
    ) -> impl Future<Output = Result<(), ClientGone>> + Send;

    /// Sends more of the body: all of `pieces` (empty afterwards).
    fn send(&mut self, pieces: &mut VecDeque<Bytes>) -> impl Future<Output = Result<(), ClientGone>> + Send;

    /// Ends the body. An answer that is dropped without it reaches the client as broken off.
    fn finish(&mut self) -> impl Future<Output = Result<(), ClientGone>> + Send;

    /// Ends the body with trailer fields, where the client takes any.
    fn finish_with(&mut self, trailers: HeaderMap) -> impl Future<Output = Result<(), ClientGone>> + Send;

    /// Sends an interim answer (1xx), where the client's protocol knows such.
    fn interim(
        &mut self,
        status: StatusCode,
        fields: HeaderMap,
    ) -> impl Future<Output = Result<(), ClientGone>> + Send;

    /// The next bytes of the request's body, each as it comes; `None` at its end. A client that waits to be told to send
    /// it is told so first. Who does not ask holds the client back.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyEnd>>;

    /// Nobody asks for the body for a while: its client is not to blame for what does not come.
    fn rest_body(&mut self);

    /// The trailer fields of the request's body, once it was read to its end.
    fn take_trailers(&mut self) -> HeaderMap;
}
