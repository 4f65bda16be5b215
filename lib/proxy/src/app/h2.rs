//! HTTP/2 answers, written through the stream's session.

use std::collections::VecDeque;

use bytes::Bytes;
use http::header;
use pingora_core::protocols::http::ServerSession;
use pingora_http::ResponseHeader;

use crate::flow::{AnswerHead, Body, ClientGone, Downstream};

/// The client's side of one HTTP/2 request.
pub(super) struct Http2<'a> {
    session: &'a mut ServerSession,
    ended: bool,
}

impl<'a> Http2<'a> {
    /// Answers go to `session`.
    pub(super) fn new(session: &'a mut ServerSession) -> Http2<'a> {
        Http2 {
            session,
            ended: false,
        }
    }

    /// Tells the client that the answer is broken off.
    pub(super) fn reset(&mut self) {
        if !self.ended {
            self.session.shutdown_with_reason(::h2::Reason::INTERNAL_ERROR);
        }
    }

    async fn write(&mut self, pieces: &mut VecDeque<Bytes>) -> Result<(), ClientGone> {
        while let Some(piece) = pieces.pop_front() {
            self.session
                .write_response_body(piece, false)
                .await
                .map_err(|_| ClientGone)?;
        }
        Ok(())
    }
}

impl Downstream for Http2<'_> {
    async fn start(&mut self, head: AnswerHead<'_>, pieces: &mut VecDeque<Bytes>) -> Result<(), ClientGone> {
        let mut response = ResponseHeader::build(head.status, None).map_err(|_| ClientGone)?;
        if let Some(stored) = &head.stored {
            for (name, value) in &(stored.fields)() {
                response.append_header(name, value).map_err(|_| ClientGone)?;
            }
        }
        for (name, value) in head.own {
            response.append_header(name, value).map_err(|_| ClientGone)?;
        }
        if let Body::Sized(length) | Body::Withheld(Some(length)) = head.body {
            response
                .append_header(header::CONTENT_LENGTH, length)
                .map_err(|_| ClientGone)?;
        }
        self.session
            .write_response_header(Box::new(response))
            .await
            .map_err(|_| ClientGone)?;
        self.write(pieces).await
    }

    async fn send(&mut self, pieces: &mut VecDeque<Bytes>) -> Result<(), ClientGone> {
        self.write(pieces).await
    }

    async fn finish(&mut self) -> Result<(), ClientGone> {
        self.ended = true;
        self.session
            .write_response_body(Bytes::new(), true)
            .await
            .map_err(|_| ClientGone)
    }
}
