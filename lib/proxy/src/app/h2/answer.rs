//! The client's side of one HTTP/2 request: the answer out, the body in.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use tokio::time::{Instant, Sleep};

use super::Patience;
use crate::flow::{AnswerHead, Body, ClientGone, Downstream};
use crate::front::BodyEnd;
use crate::headers::trailers;

/// Answers of one stream, and what it brings.
pub(super) struct Answer {
    respond: SendResponse<Bytes>,
    body: RecvStream,
    progress: Progress,
    trailers: HeaderMap,
    /// The client waits to be told to send its body.
    awaits_continue: bool,
    sending: Option<SendStream<Bytes>>,
    /// Bytes still to come of an answer that said how many there are.
    left: Option<u64>,
    ended: bool,
    patience: Patience,
    /// When the client's time for the next piece of its body is over; absent while nobody waits for it.
    deadline: Option<Pin<Box<Sleep>>>,
}

/// How far the body was read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Data,
    Trailers,
    Ended,
}

impl Answer {
    /// An answer that has not begun.
    pub(super) fn new(
        body: RecvStream,
        respond: SendResponse<Bytes>,
        awaits_continue: bool,
        patience: Patience,
    ) -> Answer {
        Answer {
            respond,
            body,
            progress: Progress::Data,
            trailers: HeaderMap::new(),
            awaits_continue,
            sending: None,
            left: None,
            ended: false,
            patience,
            deadline: None,
        }
    }

    /// Tells the client that the answer is broken off.
    pub(super) fn reset(&mut self) {
        if self.ended {
            return;
        }
        match &mut self.sending {
            Some(sending) => sending.send_reset(h2::Reason::INTERNAL_ERROR),
            None => self.respond.send_reset(h2::Reason::INTERNAL_ERROR),
        }
    }

    async fn write(&mut self, pieces: &mut VecDeque<Bytes>) -> Result<(), ClientGone> {
        let patience = self.patience.send;
        let Some(sending) = &mut self.sending else {
            pieces.clear();
            return Ok(());
        };
        while let Some(mut piece) = pieces.pop_front() {
            while !piece.is_empty() {
                sending.reserve_capacity(piece.len());
                let capacity = tokio::time::timeout(patience, poll_fn(|cx| sending.poll_capacity(cx)));
                let Ok(Some(Ok(capacity))) = capacity.await else {
                    return Err(ClientGone);
                };
                let part = piece.split_to(capacity.min(piece.len()));
                if part.is_empty() {
                    continue;
                }
                if let Some(left) = &mut self.left {
                    // More than was announced would be somebody's fault (RFC 9113 §8.1.1).
                    *left = left.checked_sub(part.len() as u64).ok_or(ClientGone)?;
                }
                // The last bytes say so, and spare the client a frame.
                self.ended = self.left == Some(0);
                sending.send_data(part, self.ended).map_err(|_| ClientGone)?;
            }
        }
        Ok(())
    }

    fn poll_frames(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyEnd>> {
        while self.progress == Progress::Data {
            match ready!(self.body.poll_data(cx)) {
                Some(Ok(piece)) => {
                    // The client may send as much again; what we hold is one piece at a time.
                    if self.body.flow_control().release_capacity(piece.len()).is_err() {
                        return Poll::Ready(Err(BodyEnd::Gone));
                    }
                    if !piece.is_empty() {
                        return Poll::Ready(Ok(Some(piece)));
                    }
                }
                Some(Err(_)) => return Poll::Ready(Err(BodyEnd::Gone)),
                None => self.progress = Progress::Trailers,
            }
        }
        if self.progress == Progress::Trailers {
            let fields = ready!(self.body.poll_trailers(cx)).map_err(|_| BodyEnd::Gone)?;
            self.progress = Progress::Ended;
            self.trailers = fields.map(kept_trailers).unwrap_or_default();
        }
        Poll::Ready(Ok(None))
    }
}

/// Those that may be passed on.
fn kept_trailers(fields: HeaderMap) -> HeaderMap {
    let named = fields.iter().filter(|(name, _)| trailers::may_stand_there(name));
    named
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect::<Appended>()
        .0
}

/// A map that keeps all values of a field.
struct Appended(HeaderMap);

impl FromIterator<(HeaderName, HeaderValue)> for Appended {
    fn from_iter<I: IntoIterator<Item = (HeaderName, HeaderValue)>>(fields: I) -> Appended {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(name, value);
        }
        Appended(map)
    }
}

impl Downstream for Answer {
    async fn start(&mut self, head: AnswerHead<'_>, pieces: &mut VecDeque<Bytes>) -> Result<(), ClientGone> {
        let mut response = Response::new(());
        *response.status_mut() = head.status;
        let fields = response.headers_mut();
        if let Some(stored) = &head.stored {
            *fields = (stored.fields)();
        }
        for (name, value) in head.own {
            fields.append(name, value);
        }
        if let Body::Sized(length) | Body::Withheld(Some(length)) = head.body {
            fields.append(header::CONTENT_LENGTH, length.into());
        }
        let is_all = matches!(head.body, Body::None | Body::Withheld(_) | Body::Sized(0));
        self.left = match head.body {
            Body::Sized(length) => Some(length),
            _ => None,
        };
        let sending = self
            .respond
            .send_response(response, is_all)
            .map_err(|_| ClientGone)?;
        self.ended = is_all;
        self.sending = (!is_all).then_some(sending);
        self.write(pieces).await
    }

    async fn send(&mut self, pieces: &mut VecDeque<Bytes>) -> Result<(), ClientGone> {
        self.write(pieces).await
    }

    async fn finish(&mut self) -> Result<(), ClientGone> {
        self.finish_with(HeaderMap::new()).await
    }

    async fn finish_with(&mut self, trailers: HeaderMap) -> Result<(), ClientGone> {
        if self.left.is_some_and(|left| left > 0) {
            // Fewer than were announced: the client is told by a reset.
            return Err(ClientGone);
        }
        if let Some(sending) = &mut self.sending
            && !self.ended
        {
            let ended = if trailers.is_empty() {
                sending.send_data(Bytes::new(), true)
            } else {
                sending.send_trailers(trailers)
            };
            ended.map_err(|_| ClientGone)?;
        }
        self.ended = true;
        Ok(())
    }

    async fn interim(&mut self, status: StatusCode, fields: HeaderMap) -> Result<(), ClientGone> {
        let mut response = Response::new(());
        *response.status_mut() = status;
        *response.headers_mut() = fields;
        self.respond.send_informational(response).map_err(|_| ClientGone)
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyEnd>> {
        if let Poll::Ready(piece) = self.poll_frames(cx) {
            self.awaits_continue = false;
            self.deadline = None;
            return Poll::Ready(piece);
        }
        if std::mem::take(&mut self.awaits_continue) {
            let mut response = Response::new(());
            *response.status_mut() = StatusCode::CONTINUE;
            if self.respond.send_informational(response).is_err() {
                return Poll::Ready(Err(BodyEnd::Gone));
            }
        }
        let deadline = self
            .deadline
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + self.patience.body)));
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Err(BodyEnd::Slow))
    }

    fn rest_body(&mut self) {
        self.deadline = None;
    }

    fn take_trailers(&mut self) -> HeaderMap {
        std::mem::take(&mut self.trailers)
    }
}
