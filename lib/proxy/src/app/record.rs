//! The end of a request: its line in the access log and its counts.

use std::time::Duration;

use http::{HeaderName, header};

use crate::flow::{Request, Trail};
use crate::log::{Protocol, Record};
use crate::metrics::CacheResult;
use crate::node::Core;

/// Counts the request and logs it.
pub(super) fn record(core: &Core, request: &Request<'_>, trail: &Trail, protocol: Protocol) {
    let total = request.started.elapsed();
    count(trail);
    let Some(log) = core.log.as_ref().filter(|_| !trail.is_health_check) else {
        return;
    };
    let identity = &trail.world.identity;
    let content_id = trail
        .service
        .as_ref()
        .and_then(|service| service.service.content_id.as_ref())
        .zip(trail.target.as_ref())
        .and_then(|(rule, target)| target.content_id(rule));
    let field = |name: HeaderName| request.fields.get(name).map(http::HeaderValue::as_bytes);
    log.write(&Record {
        time: request.now,
        request_id: trail.request_id.hex(),
        trace_id: trail.trace.trace_id_hex(),
        tier: identity.tier,
        node: identity.node.as_str(),
        service: trail.service.as_ref().map(|service| &*service.name),
        content_id: content_id.map(str::as_bytes),
        client: request.client.ip(),
        protocol,
        tls_version: request.tls.map(|tls| tls.version),
        tls_cipher: request.tls.map(|tls| tls.cipher),
        method: request.method.as_str().as_bytes(),
        host: request.authority.unwrap_or("").as_bytes(),
        path: request.target.as_bytes(),
        range: field(header::RANGE),
        status: trail.status.map_or(0, |status| status.as_u16()),
        bytes_sent: trail.bytes,
        complete: !trail.cut,
        cache: trail.cache.as_str(),
        upstream: trail.upstream.as_deref(),
        error: trail.error.map(crate::headers::ErrorType::token),
        first_byte_us: trail.first_byte.map(microseconds),
        total_us: microseconds(total),
        user_agent: field(header::USER_AGENT),
        referer: field(header::REFERER),
    });
}

fn count(trail: &Trail) {
    let (Some(service), Some(status)) = (&trail.service, trail.status) else {
        return;
    };
    service.metrics.count(status, trail.cache, trail.bytes);
    if trail.cut {
        service.metrics.cut.inc();
    }
    if !matches!(trail.cache, CacheResult::Hit | CacheResult::Local)
        && let Some(first_byte) = trail.first_byte
    {
        service.metrics.first_byte.observe(first_byte.as_secs_f64());
    }
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
