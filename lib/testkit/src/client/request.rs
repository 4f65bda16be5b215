//! A request to send.

use bytes::Bytes;

/// A request. `Host` (h1) or `:authority` (h2) comes from the client, unless the request names one.
#[derive(Clone, Debug)]
pub struct Request {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) fields: Vec<(String, String)>,
    pub(super) body: Option<Bytes>,
    /// Bytes a chunk; the length is not said then.
    pub(super) chunked: Option<usize>,
    pub(super) trailers: Vec<(String, String)>,
}

impl Request {
    /// A request of any method.
    #[must_use]
    pub fn new(method: &str, target: &str) -> Request {
        Request {
            method: method.to_owned(),
            target: target.to_owned(),
            fields: Vec::new(),
            body: None,
            chunked: None,
            trailers: Vec::new(),
        }
    }

    /// GET.
    #[must_use]
    pub fn get(target: &str) -> Request {
        Request::new("GET", target)
    }

    /// HEAD.
    #[must_use]
    pub fn head(target: &str) -> Request {
        Request::new("HEAD", target)
    }

    /// Adds a field, as it is.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl Into<String>) -> Request {
        self.fields.push((name.to_owned(), value.into()));
        self
    }

    /// Sends a body, with its length.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Request {
        self.body = Some(body.into());
        self
    }

    /// Sends the body without saying its length, in chunks of `bytes` over h1.
    #[must_use]
    pub fn chunked(mut self, bytes: usize) -> Request {
        assert!(bytes > 0, "an empty chunk ends a body");
        self.chunked = Some(bytes);
        self
    }

    /// Adds a trailer field after a body whose length is not said.
    #[must_use]
    pub fn trailer(mut self, name: &str, value: impl Into<String>) -> Request {
        self.trailers.push((name.to_owned(), value.into()));
        self
    }

    /// Whether it says that it takes trailers.
    pub(super) fn takes_trailers(&self) -> bool {
        let says =
            |(name, value): &(String, String)| name.eq_ignore_ascii_case("te") && value.contains("trailers");
        self.fields.iter().any(says)
    }

    /// The request as h1 bytes.
    pub(super) fn to_http1(&self, host: &str) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !self
            .fields
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("host"))
        {
            head.push_str(&format!("Host: {host}\r\n"));
        }
        for (name, value) in &self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let body = self.body.as_deref().unwrap_or_default();
        let Some(chunk) = self.chunked else {
            if self.body.is_some() {
                head.push_str(&format!("Content-Length: {}\r\n", body.len()));
            }
            head.push_str("\r\n");
            return [head.as_bytes(), body].concat();
        };
        head.push_str("Transfer-Encoding: chunked\r\n\r\n");
        let mut bytes = head.into_bytes();
        for piece in body.chunks(chunk) {
            bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            bytes.extend_from_slice(piece);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n");
        for (name, value) in &self.trailers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }
}
