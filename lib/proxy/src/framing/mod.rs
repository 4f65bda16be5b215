//! Where the body of an HTTP/1 message ends, and how its end is told. One strict reader for clients and upstreams: two
//! that disagree are how messages are smuggled.

mod body;
mod trailer;

use std::fmt;

use bytes::Bytes;
use http::HeaderMap;

pub use body::{BodyReader, Step};

/// A chunk of a body: its size line, and what follows its bytes (RFC 9112 §7.1).
#[must_use]
pub fn chunk_head(bytes: u64) -> Bytes {
    Bytes::from(format!("{bytes:x}\r\n"))
}

/// What ends the bytes of a chunk.
pub const CHUNK_END: Bytes = Bytes::from_static(b"\r\n");

/// The last chunk, with the trailer section (RFC 9112 §7.1.2) and the empty line after it.
#[must_use]
pub fn last_chunk(trailers: &HeaderMap) -> Bytes {
    if trailers.is_empty() {
        return Bytes::from_static(b"0\r\n\r\n");
    }
    let mut last = b"0\r\n".to_vec();
    for (name, value) in trailers {
        last.extend_from_slice(name.as_str().as_bytes());
        last.extend_from_slice(b": ");
        last.extend_from_slice(value.as_bytes());
        last.extend_from_slice(b"\r\n");
    }
    last.extend_from_slice(b"\r\n");
    last.into()
}

/// What is wrong with a body. Where the next message begins is unknown then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// A line that is no chunk size in hexadecimal digits (RFC 9112 §7.1): a sign, a prefix, blanks, too many digits, an
    /// end of line that is not CRLF.
    ChunkSize,
    /// Chunk extensions with control bytes, or more of them than anybody needs (RFC 9112 §7.1.1).
    Extension,
    /// Bytes after a chunk's last that are not CRLF.
    ChunkEnd,
    /// A trailer section that is no list of fields, or is too large.
    Trailer,
    /// The connection ended first.
    CutShort,
}

impl BodyFault {
    /// A short word for metrics and logs.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            BodyFault::ChunkSize => "chunk_size",
            BodyFault::Extension => "chunk_extension",
            BodyFault::ChunkEnd => "chunk_end",
            BodyFault::Trailer => "trailer",
            BodyFault::CutShort => "body_cut_short",
        }
    }
}

impl fmt::Display for BodyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BodyFault::ChunkSize => "a line that is no size of a chunk",
            BodyFault::Extension => "chunk extensions that are malformed or too long",
            BodyFault::ChunkEnd => "a chunk that does not end where it says",
            BodyFault::Trailer => "a trailer section that is malformed or too long",
            BodyFault::CutShort => "the connection ended within the body",
        })
    }
}

impl std::error::Error for BodyFault {}
