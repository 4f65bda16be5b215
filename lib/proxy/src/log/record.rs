//! What is logged of one request.

use std::net::IpAddr;

use model::{Moment, Tier};
use serde::Serialize;

use super::{
    text::{bounded, bounded_option, masked, masked_option},
    timestamp,
};
use crate::headers::traceparent::Hex128;

/// Bytes of a path with its query that are logged: longer than any our rooms make, shorter than a head may be.
const PATH_BYTES_MAX: usize = 2048;
/// Bytes of a host name: DNS allows 253, a port is at most six more.
const HOST_BYTES_MAX: usize = 260;
/// Bytes of a `User-Agent` or `Referer`, which clients choose freely.
const CLIENT_TEXT_BYTES_MAX: usize = 512;
/// Bytes of a method, a `Range` or a content id.
const SHORT_TEXT_BYTES_MAX: usize = 128;

/// One request, as it is logged when its response has ended. The fields are written in this order; those that do not
/// apply are `null`, so that every line has the same keys.
#[derive(Clone, Debug, Serialize)]
pub struct Record<'a> {
    /// When the request's head had been read.
    #[serde(serialize_with = "timestamp::serialize")]
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
    #[serde(serialize_with = "bounded_option::<SHORT_TEXT_BYTES_MAX, _>")]
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
    #[serde(serialize_with = "bounded::<SHORT_TEXT_BYTES_MAX, _>")]
    pub method: &'a [u8],
    /// The host asked for, as sent; empty where none was.
    #[serde(serialize_with = "bounded::<HOST_BYTES_MAX, _>")]
    pub host: &'a [u8],
    /// Path and query, as sent, secrets masked.
    #[serde(serialize_with = "masked::<PATH_BYTES_MAX, _>")]
    pub path: &'a [u8],
    /// The `Range` asked for.
    #[serde(serialize_with = "bounded_option::<SHORT_TEXT_BYTES_MAX, _>")]
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
    #[serde(serialize_with = "bounded_option::<CLIENT_TEXT_BYTES_MAX, _>")]
    pub user_agent: Option<&'a [u8]>,
    /// The `Referer`, secrets masked.
    #[serde(serialize_with = "masked_option::<CLIENT_TEXT_BYTES_MAX, _>")]
    pub referer: Option<&'a [u8]>,
}

/// The protocol of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Protocol {
    /// HTTP/1.0 or 1.1.
    #[serde(rename = "h1")]
    Http1,
    /// HTTP/2.
    #[serde(rename = "h2")]
    Http2,
}
