//! What `Cache-Status` (RFC 9211) says of an answer. Pure.

use cache::policy::freshness::Freshness;
use http::{HeaderValue, StatusCode};
use model::Moment;

use crate::headers::cache_status::{self, CacheStatus, ForwardReason, Handling};

/// Whether and why upstream was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// It was not: a hit.
    No,
    /// It was, because nothing (fresh) was stored.
    Miss {
        /// Upstream confirmed what was stored.
        revalidated: bool,
        /// By another request, which this one joined.
        collapsed: bool,
    },
    /// It was and failed; something stale stands in.
    StandIn,
    /// It was, because such answers are known not to be for caching.
    Bypass,
    /// It was, because of the method.
    Method,
    /// It was, because the request wants nothing stored.
    Request,
}

/// The field's value for an answer from the cache. `varied`: others of its URL were known when it was looked for.
#[must_use]
pub fn of_object(
    node: &str,
    forwarded: Forwarded,
    varied: bool,
    freshness: &Freshness,
    now: Moment,
) -> HeaderValue {
    let ttl_seconds = ttl_seconds(freshness, now);
    let status = match forwarded {
        Forwarded::No => CacheStatus::hit(node, ttl_seconds),
        Forwarded::StandIn => CacheStatus {
            detail: Some("stale-if-error"),
            ..CacheStatus::hit(node, ttl_seconds)
        },
        Forwarded::Miss {
            revalidated,
            collapsed,
        } => CacheStatus {
            handling: Handling::Forwarded(cache_status::Forwarded {
                reason: match revalidated {
                    true => ForwardReason::Stale,
                    false if varied => ForwardReason::VaryMiss,
                    false => ForwardReason::UriMiss,
                },
                status: revalidated.then_some(StatusCode::NOT_MODIFIED),
                stored: true,
                collapsed,
            }),
            ttl_seconds: Some(ttl_seconds),
            ..CacheStatus::forwarded(node, ForwardReason::Miss)
        },
        Forwarded::Bypass => CacheStatus::forwarded(node, ForwardReason::Bypass),
        Forwarded::Method => CacheStatus::forwarded(node, ForwardReason::Method),
        Forwarded::Request => CacheStatus::forwarded(node, ForwardReason::Request),
    };
    status.value()
}

/// The field's value for an answer that is relayed and not stored.
#[must_use]
pub fn of_relay(node: &str, forwarded: Forwarded, status: StatusCode) -> HeaderValue {
    let reason = match forwarded {
        Forwarded::Bypass => ForwardReason::Bypass,
        Forwarded::Method => ForwardReason::Method,
        Forwarded::Request => ForwardReason::Request,
        _ => ForwardReason::UriMiss,
    };
    CacheStatus {
        handling: Handling::Forwarded(cache_status::Forwarded {
            reason,
            status: Some(status),
            stored: false,
            collapsed: false,
        }),
        ..CacheStatus::forwarded(node, reason)
    }
    .value()
}

/// Whole seconds of freshness left; negative once it is stale.
fn ttl_seconds(freshness: &Freshness, now: Moment) -> i64 {
    let lifetime = i64::try_from(freshness.lifetime.as_secs()).unwrap_or(i64::MAX);
    let age = i64::try_from(freshness.age(now).as_secs()).unwrap_or(i64::MAX);
    lifetime - age
}
