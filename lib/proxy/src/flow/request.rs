//! What the flow knows of a request, whatever protocol it came by.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Instant;

use http::{HeaderMap, Method, Version};
use model::Moment;
use model::hosts::host_of;

use crate::front::TlsInfo;
use crate::upstream::RequestBody;

/// One request, as its client sent it.
pub struct Request<'a> {
    /// Its method.
    pub method: &'a Method,
    /// The protocol version it came by.
    pub version: Version,
    /// The host it names: `:authority`, absolute-form authority or `Host`, as sent (with port).
    pub authority: Option<&'a str>,
    /// Path and query; `*` for `OPTIONS *`; empty where the target is neither.
    pub target: &'a str,
    /// Its fields as sent.
    pub fields: &'a HeaderMap,
    /// Who sent it.
    pub client: SocketAddr,
    /// How much of a body it brings.
    pub body: RequestBody,
    /// Whether its client waits to be told that the body is wanted (`Expect: 100-continue`).
    pub awaits_continue: bool,
    /// How it was encrypted, if it was.
    pub tls: Option<&'a TlsInfo>,
    /// The wall clock when its head had arrived.
    pub now: Moment,
    /// The same on the clock that durations are taken from.
    pub started: Instant,
}

impl Request<'_> {
    /// The host it names, as services are found by; `None` when it names none or what it names is no host.
    #[must_use]
    pub fn host(&self) -> Option<Cow<'_, str>> {
        host_of(self.authority?)
    }
}
