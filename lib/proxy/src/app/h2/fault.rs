//! What an HTTP/2 request must not be, beyond what the crate `h2` refuses already. Pure.
//!
//! The crate resets streams with fields that only HTTP/1 knows (RFC 9113 §8.2.2), with upper case or control bytes in
//! fields (§8.2.1), with pseudo-fields that are missing, doubled, unknown or late (§8.3), and with a body of another length
//! than announced (§8.1.1). What is left are requests that would be read in two ways once they are HTTP/1.

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, header};

/// Why a request is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Its stream is reset: its framing cannot be believed.
    Stream,
    /// It is answered 400: it names its target in two ways, or in none.
    Request,
}

/// What is wrong with it, if anything is.
pub(super) fn find(head: &Parts) -> Option<Fault> {
    let mut lengths = head.headers.get_all(header::CONTENT_LENGTH).iter();
    if let Some(length) = lengths.next()
        && (lengths.next().is_some()
            || !length.as_bytes().iter().all(u8::is_ascii_digit)
            || length.is_empty())
    {
        return Some(Fault::Stream);
    }
    let target = head.uri.path_and_query().map_or("", PathAndQuery::as_str);
    if target.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return Some(Fault::Stream);
    }
    // CONNECT has no path, and is refused later with all others.
    let has_path = head.method == Method::CONNECT || target.starts_with('/') || target == "*";
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let host = hosts.next().map(HeaderValue::as_bytes);
    let authority = head
        .uri
        .authority()
        .map(|authority| authority.as_str().as_bytes());
    let names_user = |name: Option<&[u8]>| name.is_some_and(|name| name.contains(&b'@'));
    // RFC 9113 §8.3.1: `Host` says what `:authority` says, or nothing.
    let differ = host
        .zip(authority)
        .is_some_and(|(host, authority)| !host.eq_ignore_ascii_case(authority));
    let is_ambiguous = hosts.next().is_some() || names_user(host) || names_user(authority) || differ;
    (!has_path || is_ambiguous).then_some(Fault::Request)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(uri: &str, fields: &[(&str, &str)]) -> Option<Fault> {
        let mut request = http::Request::builder().uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        find(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn what_would_be_read_in_two_ways_is_refused() {
        for (uri, fields, expected) in [
            ("https://a/b?c", &[][..], None),
            ("https://a/b", &[("host", "A")], None),
            ("https://a/b", &[("host", "b")], Some(Fault::Request)),
            (
                "https://a/b",
                &[("host", "a"), ("host", "a")],
                Some(Fault::Request),
            ),
            ("https://u@a/b", &[], Some(Fault::Request)),
            ("/b", &[("host", "u@a")], Some(Fault::Request)),
            ("https://a/b", &[("content-length", "5")], None),
            (
                "https://a/b",
                &[("content-length", "5"), ("content-length", "5")],
                Some(Fault::Stream),
            ),
            ("https://a/b", &[("content-length", "5, 5")], Some(Fault::Stream)),
            ("https://a/b", &[("content-length", "+5")], Some(Fault::Stream)),
            ("https://a/b", &[("content-length", "")], Some(Fault::Stream)),
            ("*", &[], None),
        ] {
            assert_eq!(found(uri, fields), expected, "{uri} {fields:?}");
        }
    }
}
