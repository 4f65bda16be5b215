//! Why a client has no answer, or refuses the one it got.

use std::fmt;
use std::io;
use std::time::Duration;

/// Why an exchange failed. Tests branch on these: a reset is not a refusal, a short body is not a slow one.
#[derive(Debug)]
pub enum ClientError {
    /// No connection; `ConnectionRefused` means nobody listens.
    Connect(io::Error),
    /// The TLS handshake failed.
    Tls(io::Error),
    /// The connection ended in order before a response began.
    Closed,
    /// The connection was reset.
    Reset,
    /// The connection ended inside a response.
    Truncated {
        /// Bytes of the body that came.
        received: u64,
        /// Bytes announced, where the length was announced.
        announced: Option<u64>,
    },
    /// What came breaks RFC 9112 or 9113.
    Violation(String),
    /// The body is not the expected one; at this offset they part.
    Different {
        /// The first byte that differs, or the shorter length.
        offset: u64,
    },
    /// The stream was reset by an h2 peer with this code.
    Stream(h2::Reason),
    /// An h2 peer ended the connection with GOAWAY and this code, before or instead of taking the request.
    GoneAway(h2::Reason),
    /// Nothing came for so long.
    Timeout(Duration),
    /// Anything else a socket reports.
    Io(io::Error),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::Connect(error) => write!(f, "cannot connect: {error}"),
            ClientError::Tls(error) => write!(f, "the TLS handshake failed: {error}"),
            ClientError::Closed => f.write_str("the connection was closed before a response"),
            ClientError::Reset => f.write_str("the connection was reset"),
            ClientError::Truncated {
                received,
                announced: Some(announced),
            } => {
                write!(f, "the body ended after {received} of {announced} bytes")
            }
            ClientError::Truncated {
                received,
                announced: None,
            } => {
                write!(
                    f,
                    "the response ended after {received} bytes of body without its end mark"
                )
            }
            ClientError::Violation(what) => write!(f, "the response breaks the protocol: {what}"),
            ClientError::Different { offset } => {
                write!(f, "the body differs from the expected one at byte {offset}")
            }
            ClientError::Stream(reason) => write!(f, "the stream was reset: {reason}"),
            ClientError::GoneAway(reason) => write!(f, "the connection takes no more requests: {reason}"),
            ClientError::Timeout(length) => write!(f, "nothing came for {length:?}"),
            ClientError::Io(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for ClientError {}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> ClientError {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
                ClientError::Reset
            }
            _ => ClientError::Io(error),
        }
    }
}

impl From<h2::Error> for ClientError {
    fn from(error: h2::Error) -> ClientError {
        match (error.reason(), error.is_io()) {
            (Some(reason), _) if error.is_go_away() => ClientError::GoneAway(reason),
            (Some(reason), _) => ClientError::Stream(reason),
            (None, true) => error.into_io().map_or(ClientError::Closed, ClientError::from),
            (None, false) => ClientError::Violation(error.to_string()),
        }
    }
}
