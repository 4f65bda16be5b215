//! Fields that concern one connection only and are not forwarded (RFC 9110 §7.6.1).

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{self, Entry},
};

/// `Keep-Alive` (RFC 2068 §19.7.1), obsolete and still sent.
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
/// `Proxy-Connection`: never standard, sent by old clients (RFC 9110 §7.6.1).
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
/// `Proxy-Authentication-Info` (RFC 9110 §11.7.3): between a proxy and its client.
const PROXY_AUTHENTICATION_INFO: HeaderName = HeaderName::from_static("proxy-authentication-info");
/// `HTTP2-Settings` (RFC 7540 §3.2.1): belongs to an `Upgrade` that is not made.
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// The fields stripped always, named in `Connection` or not. `Trailer` is among them because trailers are relayed
/// where the next hop takes them, announced or not;
/// the `Proxy-` fields, but not `Proxy-Status` (RFC 9209), which is end-to-end.
const HOP_BY_HOP: [HeaderName; 11] = [
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATION_INFO,
    HTTP2_SETTINGS,
];

/// Fields that stay even where `Connection` names them: framing, routing, loop detection and cache control rest on
/// them, and a sender must not list a field meant for all recipients (RFC 9110 §7.6.1, RFC 8586 §2).
const PROTECTED: [&str; 8] = [
    "host",
    "content-length",
    "content-range",
    "cache-control",
    "vary",
    "age",
    "via",
    "cdn-loop",
];

/// Whether a field of this name is never forwarded.
#[must_use]
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(name)
}

/// Whether `Connection` names the field.
#[must_use]
pub fn names(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(options)
        .any(|option| name.as_str().eq_ignore_ascii_case(option))
}

/// Removes the hop-by-hop fields and those that `Connection` names.
pub fn strip(headers: &mut HeaderMap) {
    if let Entry::Occupied(connection) = headers.entry(header::CONNECTION) {
        let (_, values) = connection.remove_entry_mult();
        let values: Vec<HeaderValue> = values.collect();
        for option in values.iter().flat_map(options) {
            headers.remove(option);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// The field names that one line of `Connection` lists, but for those that must stay.
fn options(line: &HeaderValue) -> impl Iterator<Item = &str> {
    line.to_str()
        .unwrap_or_default()
        .split(',')
        .map(|option| option.trim_matches([' ', '\t']))
        .filter(|option| !option.is_empty())
        .filter(|option| {
            !PROTECTED
                .iter()
                .any(|protected| protected.eq_ignore_ascii_case(option))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(fields: &[(&str, &str)]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name: HeaderName = name.parse().expect(name);
            headers.append(name, HeaderValue::from_str(value).expect(value));
        }
        strip(&mut headers);
        headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().expect("ASCII")))
            .collect()
    }

    #[test]
    fn what_concerns_one_connection_goes_and_the_rest_stays() {
        for name in [
            "connection",
            "keep-alive",
            "proxy-connection",
            "proxy-authenticate",
            "proxy-authorization",
            "proxy-authentication-info",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "http2-settings",
        ] {
            assert!(is_hop_by_hop(&name.parse().expect(name)), "{name}");
            assert_eq!(
                stripped(&[(name, "x"), (name, "y"), ("Accept", "*/*")]),
                ["accept: */*"],
                "{name}"
            );
        }
        for name in [
            "proxy-status",
            "cache-status",
            "via",
            "content-length",
            "authorization",
            "expect",
        ] {
            assert!(!is_hop_by_hop(&name.parse().expect(name)), "{name}");
            assert_eq!(stripped(&[(name, "x")]), [format!("{name}: x")]);
        }
    }

    /// RFC 9110 §7.6.1.
    #[test]
    fn fields_named_in_connection_go_on_whichever_line_they_are_named() {
        assert_eq!(
            stripped(&[
                ("Connection", "close, X-Session ,\tx-other"),
                ("Connection", ",,x-third"),
                ("X-Session", "1"),
                ("X-Other", "2"),
                ("X-Third", "3"),
                ("X-Fourth", "4"),
            ]),
            ["x-fourth: 4"]
        );
    }

    /// Naming `CDN-Loop` or `Host` in `Connection` is an attack on whoever forwards.
    #[test]
    fn fields_that_routing_framing_and_loop_detection_rest_on_cannot_be_named_away() {
        let kept = stripped(&[
            ("Connection", "Host, CDN-Loop, Via, Content-Length, Cache-Control"),
            ("Host", "vod.example.com"),
            ("CDN-Loop", "other"),
            ("Via", "1.1 other"),
            ("Content-Length", "3"),
            ("Cache-Control", "no-store"),
        ]);
        assert_eq!(kept.len(), 5, "{kept:?}");
    }

    #[test]
    fn names_that_are_no_names_are_passed_over() {
        assert_eq!(
            stripped(&[("Connection", "a b, \"x\", ="), ("Accept", "*/*")]),
            ["accept: */*"]
        );
        let mut headers = HeaderMap::new();
        headers.append(
            "connection",
            HeaderValue::from_bytes(b"x-\xff").expect("obs-text"),
        );
        strip(&mut headers);
        assert!(headers.is_empty());
    }
}
