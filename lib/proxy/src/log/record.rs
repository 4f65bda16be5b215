//! What is logged of one request.

use std::net::IpAddr;

use model::{Moment, Tier};

use super::{line::Line, text::Care};
use crate::headers::traceparent::Hex128;

/// Bytes of a path with its query that are logged: longer than any our rooms make, shorter than a head may be.
const PATH: Care = Care::masked(2048);
/// Bytes of a host name: DNS allows 253, a port is at most six more.
const HOST: Care = Care::bounded(260);
/// Bytes of a `User-Agent`, which clients choose freely.
const USER_AGENT: Care = Care::bounded(512);
/// Bytes of a `Referer`, which is a URL too.
const REFERER: Care = Care::masked(512);
/// Bytes of everything else: methods, ranges, content ids, names from the snapshot.
const SHORT: Care = Care::bounded(128);

/// One request, as it is logged when its response has ended. The fields are written in this order; those that do not
/// apply are `null`, so that every line has the same keys.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// When the request's head had been read.
    pub time: Moment,
    /// This node's name for the request.
    pub request_id: Hex128,
    /// The trace it belongs to, the same on all nodes.
    pub trace_id: Hex128,
    /// The tier this node serves.
    pub tier: Tier,
    /// This node.
    pub node: &'a str,
    /// The service whose host was asked for; `None` where no service has it.
    pub service: Option<&'a str>,
    /// The content (title or channel) asked for.
    pub content_id: Option<&'a [u8]>,
    /// Who asked: the address of the connection's other end.
    pub client: IpAddr,
    /// How it was asked.
    pub protocol: Protocol,
    /// Such as `TLSv1.3`; `None` without TLS.
    pub tls_version: Option<&'a str>,
    /// Such as `TLS13_AES_128_GCM_SHA256`.
    pub tls_cipher: Option<&'a str>,
    /// The method, as sent.
    pub method: &'a [u8],
    /// The host asked for, as sent; empty where none was.
    pub host: &'a [u8],
    /// Path and query, as sent, secrets masked.
    pub path: &'a [u8],
    /// The `Range` asked for.
    pub range: Option<&'a [u8]>,
    /// The status answered.
    pub status: u16,
    /// Bytes of the response's body that were handed to the connection.
    pub bytes_sent: u64,
    /// Whether the response was sent to its end.
    pub complete: bool,
    /// What the cache did, such as `hit` or `miss`.
    pub cache: &'a str,
    /// Who was asked upstream: a node's name or an origin's host and port.
    pub upstream: Option<&'a str>,
    /// What went wrong, as an RFC 9209 error type.
    pub error: Option<&'a str>,
    /// From the end of the request's head to the first byte of the response, microseconds; `None` when none was sent.
    pub first_byte_us: Option<u64>,
    /// From the end of the request's head to the end of the response, microseconds.
    pub total_us: u64,
    /// The `User-Agent`.
    pub user_agent: Option<&'a [u8]>,
    /// The `Referer`, secrets masked.
    pub referer: Option<&'a [u8]>,
}

impl Record<'_> {
    /// Writes the line, with its end.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut line = Line::begin(out);
        line.moment("time", self.time);
        line.literal("request_id", self.request_id.as_str().as_bytes());
        line.literal("trace_id", self.trace_id.as_str().as_bytes());
        line.literal("tier", tier(self.tier).as_bytes());
        line.text("node", self.node.as_bytes(), SHORT);
        line.text_or_null("service", self.service.map(str::as_bytes), SHORT);
        line.text_or_null("content_id", self.content_id, SHORT);
        line.shown("client", self.client);
        line.literal("protocol", self.protocol.as_str().as_bytes());
        line.text_or_null("tls_version", self.tls_version.map(str::as_bytes), SHORT);
        line.text_or_null("tls_cipher", self.tls_cipher.map(str::as_bytes), SHORT);
        line.text("method", self.method, SHORT);
        line.text("host", self.host, HOST);
        line.text("path", self.path, PATH);
        line.text_or_null("range", self.range, SHORT);
        line.number("status", self.status.into());
        line.number("bytes_sent", self.bytes_sent);
        line.flag("complete", self.complete);
        line.text("cache", self.cache.as_bytes(), SHORT);
        line.text_or_null("upstream", self.upstream.map(str::as_bytes), SHORT);
        line.text_or_null("error", self.error.map(str::as_bytes), SHORT);
        line.number_or_null("first_byte_us", self.first_byte_us);
        line.number("total_us", self.total_us);
        line.text_or_null("user_agent", self.user_agent, USER_AGENT);
        line.text_or_null("referer", self.referer, REFERER);
        line.end();
    }
}

fn tier(tier: Tier) -> &'static str {
    match tier {
        Tier::Edge => "edge",
        Tier::Parent => "parent",
    }
}

/// The protocol of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0 or 1.1: `h1`.
    Http1,
    /// HTTP/2: `h2`.
    Http2,
}

impl Protocol {
    fn as_str(self) -> &'static str {
        match self {
            Protocol::Http1 => "h1",
            Protocol::Http2 => "h2",
        }
    }
}
