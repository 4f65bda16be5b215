//! A request as the origin saw it, and how it is read off the wire.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest request head a scripted origin takes; tests that send more do so to a daemon, not to us.
const LONGEST_HEAD: usize = 256 * 1024;

/// One request, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The target as sent: path and query.
    pub target: String,
    /// Names (as sent) and values, in order.
    pub fields: Vec<(String, String)>,
    /// The body, without its framing.
    pub body: Bytes,
    /// The trailer fields after it, in order.
    pub trailers: Vec<(String, String)>,
    /// Which connection it came on, counted from 0 since the origin was made.
    pub connection: u64,
}

impl Request {
    /// The value of the only field of this name; `None` when there is none.
    ///
    /// # Panics
    ///
    /// When there are several: whoever may send several is asked for [`Request::values`].
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let values = self.values(name);
        assert!(
            values.len() <= 1,
            "{} {} has {name} {} times: {values:?}",
            self.method,
            self.target,
            values.len()
        );
        values.first().copied()
    }

    /// The values of every field of this name, in order.
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<&str> {
        let matching = self
            .fields
            .iter()
            .filter(|(own, _)| own.eq_ignore_ascii_case(name));
        matching.map(|(_, value)| value.as_str()).collect()
    }

    /// The target without its query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or(&self.target)
    }
}

/// What came instead of a request.
#[derive(Debug)]
pub(super) enum NoRequest {
    /// The connection ended between two requests.
    Ended,
    /// What was sent breaks RFC 9112; the text says how.
    Violation(String),
    /// The connection ended within the body; the text says where.
    BrokenOff(String),
}

impl From<String> for NoRequest {
    fn from(what: String) -> NoRequest {
        NoRequest::Violation(what)
    }
}

/// Reads the head of the next request, strictly: CRLF line ends, no field without a name.
pub(super) async fn read_head(
    io: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    connection: u64,
) -> Result<Request, NoRequest> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if buffer.len() > LONGEST_HEAD {
            return Err(NoRequest::Violation(format!(
                "the head is longer than {LONGEST_HEAD} bytes"
            )));
        }
        match io.read_buf(buffer).await {
            Ok(0) | Err(_) if buffer.is_empty() => return Err(NoRequest::Ended),
            Ok(0) | Err(_) => {
                return Err(NoRequest::Violation(
                    "the connection ended inside a head".to_owned(),
                ));
            }
            Ok(_) => {}
        }
    };
    let head = buffer.split_to(end + 4);
    parse_head(&head[..end], connection).map_err(NoRequest::Violation)
}

/// Reads the body after a head, strictly: one way of framing.
pub(super) async fn finish(
    io: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    request: &mut Request,
) -> Result<(), NoRequest> {
    request.body = read_body(io, buffer, request).await?;
    Ok(())
}

fn parse_head(head: &[u8], connection: u64) -> Result<Request, String> {
    let head = std::str::from_utf8(head).map_err(|_| "the head is not text".to_owned())?;
    if head.replace("\r\n", "").contains(['\r', '\n', '\0']) {
        return Err(format!("a bare CR, LF or NUL in the head {head:?}"));
    }
    let mut lines = head.split("\r\n");
    let request_line = lines.next().unwrap_or_default();
    let parts: Vec<&str> = request_line.split(' ').collect();
    let [method, target, "HTTP/1.1"] = parts[..] else {
        return Err(format!("{request_line:?} is not a request line of HTTP/1.1"));
    };
    let mut fields = Vec::new();
    for line in lines {
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| format!("{line:?} is not a field"))?;
        if name.is_empty() || name.contains([' ', '\t']) {
            return Err(format!("{line:?} has no proper name"));
        }
        fields.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
    }
    let request = Request {
        method: method.to_owned(),
        target: target.to_owned(),
        fields,
        body: Bytes::new(),
        trailers: Vec::new(),
        connection,
    };
    if request.values("host").len() != 1 {
        return Err(format!(
            "{request_line:?} has {} Host fields",
            request.values("host").len()
        ));
    }
    Ok(request)
}

async fn read_body(
    io: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    request: &mut Request,
) -> Result<Bytes, NoRequest> {
    let owned = |values: Vec<&str>| values.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let lengths = owned(request.values("content-length"));
    let codings = owned(request.values("transfer-encoding"));
    let codings: Vec<&str> = codings.iter().map(String::as_str).collect();
    match (&lengths[..], &codings[..]) {
        ([], []) => Ok(Bytes::new()),
        ([length], []) => {
            let length: usize = length
                .parse()
                .map_err(|_| format!("Content-Length {length:?} is not a number"))?;
            take(io, buffer, length).await
        }
        ([], ["chunked"]) => {
            let body = read_chunks(io, buffer).await?;
            loop {
                let line = take_line(io, buffer).await?;
                if line.is_empty() {
                    return Ok(body);
                }
                let field = line.split_once(": ");
                let (name, value) = field.ok_or_else(|| format!("{line:?} is not a trailer field"))?;
                request.trailers.push((name.to_owned(), value.to_owned()));
            }
        }
        _ => Err(NoRequest::from(format!(
            "ambiguous framing: Content-Length {lengths:?}, Transfer-Encoding {codings:?}"
        ))),
    }
}

async fn read_chunks(io: &mut (impl AsyncRead + Unpin), buffer: &mut BytesMut) -> Result<Bytes, NoRequest> {
    let mut body = BytesMut::new();
    loop {
        let line = take_line(io, buffer).await?;
        let digits = line.split(';').next().unwrap_or_default();
        let length = usize::from_str_radix(digits, 16).map_err(|_| format!("chunk size {line:?}"))?;
        if length == 0 {
            break;
        }
        body.extend_from_slice(&take(io, buffer, length).await?);
        if !take_line(io, buffer).await?.is_empty() {
            return Err("a chunk is longer than it says".to_owned().into());
        }
    }
    Ok(body.freeze())
}

async fn take(
    io: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    length: usize,
) -> Result<Bytes, NoRequest> {
    while buffer.len() < length {
        match io.read_buf(buffer).await {
            Ok(0) | Err(_) => {
                let short = length - buffer.len();
                return Err(NoRequest::BrokenOff(format!(
                    "the connection ended {short} bytes short"
                )));
            }
            Ok(_) => {}
        }
    }
    Ok(buffer.split_to(length).freeze())
}

async fn take_line(io: &mut (impl AsyncRead + Unpin), buffer: &mut BytesMut) -> Result<String, NoRequest> {
    loop {
        if let Some(at) = buffer.windows(2).position(|two| two == b"\r\n") {
            let line = buffer.split_to(at + 2);
            return String::from_utf8(line[..at].to_vec())
                .map_err(|_| "a line is not text".to_owned().into());
        }
        match io.read_buf(buffer).await {
            Ok(0) | Err(_) => {
                return Err(NoRequest::BrokenOff(
                    "the connection ended inside a line".to_owned(),
                ));
            }
            Ok(_) => {}
        }
    }
}
