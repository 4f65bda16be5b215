//! `Cache-Status` (RFC 9211): how this node's cache handled a request.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::structured::{put_integer, put_string, put_token_or_string};

/// Room for a usual member, so that writing one allocates once.
const USUAL_BYTES: usize = 96;

/// One member of the list: what one cache did. The cache key is not shown (RFC 9211 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheStatus<'a> {
    /// The cache's name.
    pub cache: &'a str,
    /// What it did.
    pub handling: Handling,
    /// Seconds of freshness left (§2.7); negative when the response is stale. `None` where it says nothing.
    pub ttl_seconds: Option<i64>,
    /// Anything that helps an operator and that anyone may know (§2.9).
    pub detail: Option<&'a str>,
}

/// Whether the cache answered by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handling {
    /// `hit` (§2.1): from the cache, fresh or stale, with nothing asked upstream.
    Hit,
    /// `fwd` (§2.2): a request went upstream.
    Forwarded(Forwarded),
}

/// A request that went upstream, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// Why it went (§2.2).
    pub reason: ForwardReason,
    /// What upstream answered (§2.3), where it is not the status of this response.
    pub status: Option<StatusCode>,
    /// Whether the answer was stored (§2.5).
    pub stored: bool,
    /// Whether the request was answered together with others by one request upstream (§2.6).
    pub collapsed: bool,
}

/// Why a request went upstream (RFC 9211 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardReason {
    /// The cache was told not to handle the request.
    Bypass,
    /// The method must go upstream.
    Method,
    /// Nothing is stored for the URI.
    UriMiss,
    /// What is stored for the URI does not suit the request's fields.
    VaryMiss,
    /// Nothing suitable is stored, for a reason that is not known.
    Miss,
    /// What is stored suits, but the request did not allow its use.
    Request,
    /// What is stored is stale.
    Stale,
    /// Only a part of what is wanted is stored.
    Partial,
}

impl ForwardReason {
    /// The token that stands for it.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            ForwardReason::Bypass => "bypass",
            ForwardReason::Method => "method",
            ForwardReason::UriMiss => "uri-miss",
            ForwardReason::VaryMiss => "vary-miss",
            ForwardReason::Miss => "miss",
            ForwardReason::Request => "request",
            ForwardReason::Stale => "stale",
            ForwardReason::Partial => "partial",
        }
    }
}

impl<'a> CacheStatus<'a> {
    /// Answered by the cache `cache`, with so many seconds of freshness left.
    #[must_use]
    pub fn hit(cache: &'a str, ttl_seconds: i64) -> CacheStatus<'a> {
        CacheStatus {
            cache,
            handling: Handling::Hit,
            ttl_seconds: Some(ttl_seconds),
            detail: None,
        }
    }

    /// Sent upstream by the cache `cache` because of `reason`; nothing stored, nothing collapsed.
    #[must_use]
    pub fn forwarded(cache: &'a str, reason: ForwardReason) -> CacheStatus<'a> {
        let forwarded = Forwarded {
            reason,
            status: None,
            stored: false,
            collapsed: false,
        };
        CacheStatus {
            cache,
            handling: Handling::Forwarded(forwarded),
            ttl_seconds: None,
            detail: None,
        }
    }

    /// Writes the member, without a line end.
    pub fn write(&self, out: &mut impl BufMut) {
        put_token_or_string(out, self.cache);
        match self.handling {
            Handling::Hit => out.put_slice(b"; hit"),
            Handling::Forwarded(forwarded) => forwarded.write(out),
        }
        if let Some(ttl) = self.ttl_seconds {
            out.put_slice(b"; ttl=");
            put_integer(out, ttl);
        }
        if let Some(detail) = self.detail {
            out.put_slice(b"; detail=");
            put_string(out, detail);
        }
    }

    /// The member as a field value.
    #[must_use]
    pub fn value(&self) -> HeaderValue {
        let mut out = BytesMut::with_capacity(USUAL_BYTES);
        self.write(&mut out);
        field_value(out.freeze())
    }

    /// Appends the member to a response: after the caches nearer to the origin (RFC 9211 §2).
    pub fn append(&self, response: &mut HeaderMap) {
        response.append(header::CACHE_STATUS, self.value());
    }
}

impl Forwarded {
    fn write(&self, out: &mut impl BufMut) {
        out.put_slice(b"; fwd=");
        out.put_slice(self.reason.token().as_bytes());
        if let Some(status) = self.status {
            out.put_slice(b"; fwd-status=");
            out.put_slice(status.as_str().as_bytes());
        }
        if self.stored {
            out.put_slice(b"; stored");
        }
        if self.collapsed {
            out.put_slice(b"; collapsed");
        }
    }
}

/// What was written by `structured` as a field value.
pub(super) fn field_value(written: Bytes) -> HeaderValue {
    HeaderValue::from_maybe_shared(written).expect("structured fields are printable ASCII (RFC 9651 §4.1)")
}

#[cfg(test)]
mod tests {
    use sfv::{BareItem, ListEntry, Parser};

    use super::*;

    #[test]
    fn every_handling_is_written_as_the_rfc_has_it() {
        let forwarded = |reason, status, stored, collapsed| {
            Handling::Forwarded(Forwarded {
                reason,
                status,
                stored,
                collapsed,
            })
        };
        for (handling, ttl_seconds, detail, expected) in [
            (Handling::Hit, Some(376), None, "edge-ams-1; hit; ttl=376"),
            (
                Handling::Hit,
                Some(-412),
                Some("ram"),
                "edge-ams-1; hit; ttl=-412; detail=\"ram\"",
            ),
            (
                forwarded(ForwardReason::UriMiss, None, false, false),
                None,
                None,
                "edge-ams-1; fwd=uri-miss",
            ),
            (
                forwarded(ForwardReason::UriMiss, None, true, true),
                Some(15),
                None,
                "edge-ams-1; fwd=uri-miss; stored; collapsed; ttl=15",
            ),
            (
                forwarded(ForwardReason::Stale, Some(StatusCode::NOT_MODIFIED), true, false),
                Some(60),
                None,
                "edge-ams-1; fwd=stale; fwd-status=304; stored; ttl=60",
            ),
            (
                forwarded(ForwardReason::Bypass, None, false, false),
                None,
                Some("a \"b\""),
                "edge-ams-1; fwd=bypass; detail=\"a \\\"b\\\"\"",
            ),
        ] {
            let status = CacheStatus {
                cache: "edge-ams-1",
                handling,
                ttl_seconds,
                detail,
            };
            assert_eq!(status.value(), expected);
            Parser::parse_list(expected.as_bytes()).expect("a strict parser reads it");
        }
    }

    #[test]
    fn edge_and_parent_are_both_named_the_one_nearer_the_origin_first() {
        let mut headers = HeaderMap::new();
        CacheStatus::forwarded("parent-ams-1", ForwardReason::UriMiss).append(&mut headers);
        CacheStatus::hit("edge-ams-1", 3600).append(&mut headers);
        let lines: Vec<_> = headers.get_all(header::CACHE_STATUS).iter().collect();
        assert_eq!(lines, ["parent-ams-1; fwd=uri-miss", "edge-ams-1; hit; ttl=3600"]);
    }

    #[test]
    fn a_strict_parser_reads_back_what_was_said() {
        let mut status = CacheStatus::forwarded("2nd cache", ForwardReason::VaryMiss);
        status.detail = Some("tab\there");
        let list = Parser::parse_list(status.value().as_bytes()).expect("a list");
        let ListEntry::Item(item) = &list[0] else {
            panic!("not an item: {list:?}")
        };
        assert_eq!(item.bare_item, BareItem::String("2nd cache".to_owned()));
        assert_eq!(item.params["fwd"], BareItem::Token("vary-miss".to_owned()));
        assert_eq!(item.params["detail"], BareItem::String("tab?here".to_owned()));
        assert_eq!(item.params.len(), 2);
    }
}
