//! One connection and the exchanges on it, whichever protocol they speak.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::error::ClientError;
use super::http1::{Body, Http1};
use super::http2::Http2;
use super::request::Request;
use super::response::{Head, Response, TlsFacts};

/// An open connection. Dropping it closes it; [`Connection::end`] also checks that nothing more comes.
pub struct Connection {
    pub(super) speaks: Speaks,
    pub(super) host: String,
    pub(super) patience: Duration,
    pub(super) tls: Option<TlsFacts>,
}

/// What is spoken on a connection.
pub(super) enum Speaks {
    Http1(Http1),
    Http2(Http2),
}

/// A response whose head is there and whose body comes as it is asked for. Not asking is how a client stops reading.
pub struct Exchange<'a> {
    head: Head,
    body: BodyOf<'a>,
    patience: Duration,
    tls: Option<TlsFacts>,
}

enum BodyOf<'a> {
    Http1(&'a mut Http1, Body),
    Http2(h2::RecvStream),
}

impl Connection {
    /// What TLS agreed on; `None` over plain TCP.
    #[must_use]
    pub fn tls(&self) -> Option<&TlsFacts> {
        self.tls.as_ref()
    }

    /// Sends a request and reads the whole response.
    ///
    /// # Errors
    ///
    /// Whatever keeps the response from being whole and proper.
    pub async fn send(&mut self, request: &Request) -> Result<Response, ClientError> {
        self.begin(request).await?.rest().await
    }

    /// Sends a request and reads the head of the response.
    ///
    /// # Errors
    ///
    /// Whatever keeps the head from coming.
    pub async fn begin(&mut self, request: &Request) -> Result<Exchange<'_>, ClientError> {
        match &mut self.speaks {
            Speaks::Http1(http1) => http1.send(request, &self.host).await?,
            Speaks::Http2(http2) => {
                let (head, body) = http2.begin(request, &self.host).await?;
                let (patience, tls) = (self.patience, self.tls.clone());
                return Ok(Exchange {
                    head,
                    body: BodyOf::Http2(body),
                    patience,
                    tls,
                });
            }
        }
        self.receive(&request.method).await
    }

    /// Sends bytes as they are; h1 only.
    ///
    /// # Errors
    ///
    /// When the connection is gone.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        self.http1().write(bytes).await
    }

    /// The next bytes as they come, after the connection was switched to another protocol; none at its end. h1 only.
    ///
    /// # Errors
    ///
    /// When the connection is gone, or nothing comes.
    pub async fn read(&mut self) -> Result<Bytes, ClientError> {
        self.http1().raw().await
    }

    /// Ends our side and leaves theirs open; h1 only.
    ///
    /// # Errors
    ///
    /// When the connection is gone.
    pub async fn finish_sending(&mut self) -> Result<(), ClientError> {
        self.http1().finish_sending().await
    }

    /// Reads the head of the next response to what was sent with [`Connection::write`]; h1 only.
    ///
    /// # Errors
    ///
    /// Whatever keeps the head from coming.
    pub async fn receive(&mut self, method: &str) -> Result<Exchange<'_>, ClientError> {
        let (patience, tls) = (self.patience, self.tls.clone());
        let http1 = self.http1();
        let (head, body) = http1.head(method).await?;
        Ok(Exchange {
            head,
            body: BodyOf::Http1(http1, body),
            patience,
            tls,
        })
    }

    /// Ends our side, and fails when anything comes before the server ends its own.
    ///
    /// # Errors
    ///
    /// Bytes after the end of the last response, or a server that keeps a finished connection open.
    pub async fn end(self) -> Result<(), ClientError> {
        match self.speaks {
            Speaks::Http1(http1) => http1.end().await,
            Speaks::Http2(_) => Ok(()),
        }
    }

    /// Whether the server has ended an h2 connection.
    ///
    /// # Panics
    ///
    /// On h1, where [`Connection::end`] finds out.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        match &self.speaks {
            Speaks::Http2(http2) => http2.has_ended(),
            Speaks::Http1(_) => panic!("an h1 connection is asked with end()"),
        }
    }

    /// Gives the connection up with a reset, as a player does that is killed; h1 only.
    pub fn abort(mut self) {
        // A connection that is gone already cannot be reset, and need not be.
        let _ = self.http1().reset_on_drop();
    }

    fn http1(&mut self) -> &mut Http1 {
        match &mut self.speaks {
            Speaks::Http1(http1) => http1,
            Speaks::Http2(_) => panic!("raw bytes and resets are for h1 connections"),
        }
    }
}

impl Exchange<'_> {
    /// The head.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The next bytes of the body, however many there are; `None` at its end.
    ///
    /// # Errors
    ///
    /// Whatever keeps them from coming.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        match &mut self.body {
            BodyOf::Http1(http1, body) => http1.chunk(body).await,
            BodyOf::Http2(body) => Http2::chunk(body, self.patience).await,
        }
    }

    /// Reads at least `length` bytes of the body, if it has as many.
    ///
    /// # Errors
    ///
    /// Whatever keeps them from coming.
    pub async fn at_least(&mut self, length: usize) -> Result<Bytes, ClientError> {
        let mut body = BytesMut::new();
        while body.len() < length
            && let Some(bytes) = self.chunk().await?
        {
            body.extend_from_slice(&bytes);
        }
        Ok(body.freeze())
    }

    /// Reads the rest of the body.
    ///
    /// # Errors
    ///
    /// Whatever keeps the response from being whole.
    pub async fn rest(mut self) -> Result<Response, ClientError> {
        let body = self.at_least(usize::MAX).await?;
        let trailers = match &mut self.body {
            BodyOf::Http1(http1, _) => http1.take_trailers(),
            BodyOf::Http2(body) => Http2::trailers(body, self.patience).await?,
        };
        Ok(Response {
            head: self.head,
            body,
            trailers,
            tls: self.tls,
        })
    }

    /// Reads the rest of the body and compares it on the way, so that a crowd needs no memory for its bodies.
    ///
    /// # Errors
    ///
    /// [`ClientError::Different`] where the body parts from `expected`, or whatever keeps it from being whole.
    pub async fn compare(mut self, expected: &[u8]) -> Result<Head, ClientError> {
        let mut offset = 0;
        while let Some(bytes) = self.chunk().await? {
            let there = expected.get(offset..).unwrap_or_default();
            if !there.starts_with(&bytes) {
                let same = there
                    .iter()
                    .zip(&bytes)
                    .take_while(|(there, own)| there == own)
                    .count();
                return Err(ClientError::Different {
                    offset: (offset + same) as u64,
                });
            }
            offset += bytes.len();
        }
        if offset == expected.len() {
            Ok(self.head)
        } else {
            Err(ClientError::Different {
                offset: offset as u64,
            })
        }
    }
}
