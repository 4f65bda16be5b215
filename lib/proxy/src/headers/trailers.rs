//! Which fields may stand in a trailer section (RFC 9110 §6.5.1), and who wants them. Pure.

use http::{HeaderMap, HeaderName, header};

use super::hop_by_hop;

/// Fields that frame, route, authorise or control caching: whoever acts on the header has acted on it before the
/// trailer comes, and whoever merges the two would act on what nobody else has seen.
const HEADER_ONLY: [&str; 33] = [
    "age",
    "authorization",
    "cache-control",
    "cdn-cache-control",
    "cdn-loop",
    "content-encoding",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "etag",
    "expect",
    "expires",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "location",
    "max-forwards",
    "pragma",
    "range",
    "retry-after",
    "set-cookie",
    "strict-transport-security",
    "surrogate-key",
    "vary",
    "via",
    "www-authenticate",
];

/// Whether a field of this name may be passed on in a trailer section.
#[must_use]
pub fn may_stand_there(name: &HeaderName) -> bool {
    !hop_by_hop::is_hop_by_hop(name)
        && !HEADER_ONLY.contains(&name.as_str())
        && !name.as_str().starts_with("x-forwarded-")
}

/// Whether who sent `fields` takes trailers (`TE: trailers`, RFC 9110 §10.1.4).
#[must_use]
pub fn are_wanted(fields: &HeaderMap) -> bool {
    fields.get_all(header::TE).iter().any(|line| {
        let codings = line.as_bytes().split(|byte| *byte == b',');
        codings
            .map(|coding| coding.trim_ascii())
            .any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_what_acts_on_nothing_may_stand_in_a_trailer() {
        for (name, may) in [
            ("x-checksum", true),
            ("grpc-status", true),
            ("server-timing", true),
            ("digest", true),
            ("transfer-encoding", false),
            ("content-length", false),
            ("connection", false),
            ("trailer", false),
            ("host", false),
            ("set-cookie", false),
            ("x-forwarded-for", false),
        ] {
            assert_eq!(may_stand_there(&name.parse().unwrap()), may, "{name}");
        }
        assert!(HEADER_ONLY.is_sorted());
    }

    #[test]
    fn trailers_are_wanted_by_who_says_so() {
        for (te, wanted) in [
            ("trailers", true),
            ("gzip;q=0.5, Trailers", true),
            ("gzip", false),
            ("", false),
        ] {
            let mut fields = HeaderMap::new();
            fields.insert(header::TE, HeaderValue::from_static(te));
            assert_eq!(are_wanted(&fields), wanted, "{te}");
        }
    }
}
