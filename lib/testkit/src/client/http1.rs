//! HTTP/1.1, read strictly (RFC 9112): one way of framing, exact line ends, nothing after the end.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::error::ClientError;
use super::request::Request;
use super::response::Head;
use super::stream::Stream;

/// The longest response head and chunk line a test may meet.
const LONGEST_HEAD: usize = 128 * 1024;

/// One read of a body.
const READ_STEP: usize = 64 * 1024;

/// One h1 connection.
pub(super) struct Http1 {
    io: Stream,
    buffer: BytesMut,
    patience: Duration,
    /// Whether the last request asked for trailers.
    takes_trailers: bool,
    trailers: Vec<(String, String)>,
}

/// Where the body of a response stands.
#[derive(Debug)]
pub(super) enum Body {
    /// So many bytes are still to come, of so many.
    Length { left: u64, announced: u64 },
    /// Inside a chunk of which so many bytes are still to come; 0: a chunk line comes next.
    Chunked { left: u64, received: u64 },
    /// Everything until the end of the connection.
    UntilClose,
    /// All of it was read.
    Ended,
}

impl Http1 {
    pub(super) fn new(io: Stream, patience: Duration) -> Http1 {
        Http1 {
            io,
            buffer: BytesMut::new(),
            patience,
            takes_trailers: false,
            trailers: Vec::new(),
        }
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        let write = async {
            self.io.write_all(bytes).await?;
            self.io.flush().await
        };
        timeout(self.patience, write)
            .await
            .map_err(|_| ClientError::Timeout(self.patience))??;
        Ok(())
    }

    pub(super) async fn send(&mut self, request: &Request, host: &str) -> Result<(), ClientError> {
        if !self.buffer.is_empty() {
            return Err(ClientError::Violation(format!(
                "bytes before the request: {:?}",
                self.buffer
            )));
        }
        self.takes_trailers = request.takes_trailers();
        self.write(&request.to_http1(host)).await
    }

    /// The trailer fields of the last body.
    pub(super) fn take_trailers(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.trailers)
    }

    /// Bytes as they come, after a 101; none at the end.
    pub(super) async fn raw(&mut self) -> Result<Bytes, ClientError> {
        if self.buffer.is_empty() {
            self.fill().await?;
        }
        Ok(self.buffer.split().freeze())
    }

    /// Reads a response head, and says how its body is framed.
    pub(super) async fn head(&mut self, method: &str) -> Result<(Head, Body), ClientError> {
        let mut interim = Vec::new();
        loop {
            let mut head = parse_head(&self.head_bytes().await?)?;
            if head.status >= 200 || head.status == 101 {
                head.interim = interim.iter().map(|head: &Head| head.status).collect();
                head.interim_heads = interim;
                let body = if head.status == 101 {
                    Body::Ended
                } else {
                    framing(&head, method)?
                };
                return Ok((head, body));
            }
            interim.push(head);
        }
    }

    async fn head_bytes(&mut self) -> Result<Bytes, ClientError> {
        loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let mut head = self.buffer.split_to(at + 4);
                head.truncate(at);
                return Ok(head.freeze());
            }
            if self.buffer.len() > LONGEST_HEAD {
                return Err(ClientError::Violation(format!(
                    "a head of more than {LONGEST_HEAD} bytes"
                )));
            }
            if self.fill().await? == 0 {
                return Err(if self.buffer.is_empty() {
                    ClientError::Closed
                } else {
                    ClientError::Truncated {
                        received: 0,
                        announced: None,
                    }
                });
            }
        }
    }

    /// The next bytes of the body; `None` at its end.
    pub(super) async fn chunk(&mut self, body: &mut Body) -> Result<Option<Bytes>, ClientError> {
        match body {
            Body::Ended => Ok(None),
            Body::UntilClose => {
                if self.buffer.is_empty() && self.fill().await? == 0 {
                    *body = Body::Ended;
                    return Ok(None);
                }
                Ok(Some(self.buffer.split().freeze()))
            }
            Body::Length { left: 0, .. } => {
                *body = Body::Ended;
                Ok(None)
            }
            Body::Length { left, announced } => {
                if self.buffer.is_empty() && self.fill().await? == 0 {
                    return Err(ClientError::Truncated {
                        received: *announced - *left,
                        announced: Some(*announced),
                    });
                }
                let bytes = self.take_up_to(*left);
                *left -= bytes.len() as u64;
                Ok(Some(bytes))
            }
            Body::Chunked { left, received } => {
                if *left == 0 {
                    *left = self.chunk_line(*received).await?;
                    if *left == 0 {
                        self.trailers(*received).await?;
                        *body = Body::Ended;
                        return Ok(None);
                    }
                }
                if self.buffer.is_empty() && self.fill().await? == 0 {
                    return Err(ClientError::Truncated {
                        received: *received,
                        announced: None,
                    });
                }
                let bytes = self.take_up_to(*left);
                *left -= bytes.len() as u64;
                *received += bytes.len() as u64;
                if *left == 0 && !self.line(*received).await?.is_empty() {
                    return Err(ClientError::Violation(
                        "a chunk is longer than it says".to_owned(),
                    ));
                }
                Ok(Some(bytes))
            }
        }
    }

    async fn chunk_line(&mut self, received: u64) -> Result<u64, ClientError> {
        let line = self.line(received).await?;
        let hexadecimal = !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_hexdigit());
        let size = hexadecimal.then(|| u64::from_str_radix(&line, 16).ok()).flatten();
        size.ok_or_else(|| ClientError::Violation(format!("{line:?} is not the size of a chunk")))
    }

    async fn trailers(&mut self, received: u64) -> Result<(), ClientError> {
        loop {
            let line = self.line(received).await?;
            if line.is_empty() {
                return Ok(());
            }
            let field = line.split_once(": ").filter(|_| self.takes_trailers);
            let Some((name, value)) = field else {
                return Err(ClientError::Violation(format!("an unexpected trailer {line:?}")));
            };
            self.trailers.push((name.to_owned(), value.to_owned()));
        }
    }

    async fn line(&mut self, received: u64) -> Result<String, ClientError> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line = self.buffer.split_to(at + 2);
                return Ok(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            if self.buffer.len() > LONGEST_HEAD {
                return Err(ClientError::Violation("an endless chunk line".to_owned()));
            }
            if self.fill().await? == 0 {
                return Err(ClientError::Truncated {
                    received,
                    announced: None,
                });
            }
        }
    }

    fn take_up_to(&mut self, most: u64) -> Bytes {
        let length = self.buffer.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        self.buffer.split_to(length).freeze()
    }

    async fn fill(&mut self) -> Result<usize, ClientError> {
        self.buffer.reserve(READ_STEP);
        let read = timeout(self.patience, self.io.read_buf(&mut self.buffer)).await;
        Ok(read.map_err(|_| ClientError::Timeout(self.patience))??)
    }

    pub(super) async fn finish_sending(&mut self) -> Result<(), ClientError> {
        Ok(self.io.shutdown().await?)
    }

    /// Ends our side and reads to the end of theirs: nothing more may come.
    pub(super) async fn end(mut self) -> Result<(), ClientError> {
        // The server may have closed first; then there is nothing to shut down.
        let _ = self.io.shutdown().await;
        while self.buffer.is_empty() {
            match self.fill().await {
                // Servers seldom send close_notify before they close; after a whole response its lack harms nobody.
                Ok(0) | Err(ClientError::Io(_)) => return Ok(()),
                // Whoever closes with our half-close still unread resets: the response was whole all the same.
                Err(ClientError::Reset) => return Ok(()),
                Ok(_) => {}
                Err(other) => return Err(other),
            }
        }
        Err(ClientError::Violation(format!(
            "bytes after the end of the response: {:?}",
            self.buffer
        )))
    }

    pub(super) fn reset_on_drop(&self) -> Result<(), ClientError> {
        Ok(self.io.reset_on_drop()?)
    }
}

fn parse_head(bytes: &[u8]) -> Result<Head, ClientError> {
    let violation = |what: String| ClientError::Violation(what);
    let text: String = bytes.iter().map(|&byte| char::from(byte)).collect();
    if text.replace("\r\n", "").contains(['\r', '\n', '\0']) {
        return Err(violation(format!("a bare CR, LF or NUL in the head {text:?}")));
    }
    let mut lines = text.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let mut parts = status_line.splitn(3, ' ');
    let (version, status, reason) = (parts.next(), parts.next(), parts.next());
    let status = status
        .filter(|status| status.len() == 3)
        .and_then(|status| status.parse().ok());
    let (Some("HTTP/1.1"), Some(status), Some(_)) = (version, status, reason) else {
        return Err(violation(format!(
            "{status_line:?} is not a status line of HTTP/1.1"
        )));
    };
    let mut fields = Vec::new();
    for line in lines {
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| violation(format!("{line:?} is not a field")))?;
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(violation(format!("{name:?} is not the name of a field")));
        }
        fields.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
    }
    Ok(Head {
        status,
        fields,
        interim: Vec::new(),
        interim_heads: Vec::new(),
    })
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn framing(head: &Head, method: &str) -> Result<Body, ClientError> {
    let lengths = head.values("content-length");
    let codings = head.values("transfer-encoding");
    let announced = match (&lengths[..], &codings[..]) {
        ([], []) => Body::UntilClose,
        ([length], []) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
            let announced = length
                .parse()
                .map_err(|_| ClientError::Violation(format!("Content-Length {length}")))?;
            Body::Length {
                left: announced,
                announced,
            }
        }
        ([], ["chunked"]) => Body::Chunked { left: 0, received: 0 },
        _ => {
            let what =
                format!("ambiguous framing: Content-Length {lengths:?}, Transfer-Encoding {codings:?}");
            return Err(ClientError::Violation(what));
        }
    };
    if head.status == 204 && !(lengths.is_empty() && codings.is_empty()) {
        return Err(ClientError::Violation(
            "a 204 with framing fields (RFC 9110 §8.6)".to_owned(),
        ));
    }
    if method == "HEAD" || matches!(head.status, 204 | 304) {
        return Ok(Body::Ended);
    }
    let closes = head
        .values("connection")
        .iter()
        .any(|value| value.eq_ignore_ascii_case("close"));
    if matches!(announced, Body::UntilClose) && !closes {
        return Err(ClientError::Violation(
            "a body without an end: no length, no chunks, no close".to_owned(),
        ));
    }
    Ok(announced)
}
