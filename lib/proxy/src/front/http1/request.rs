//! The head of one request, taken apart along the lines that the scan found: there is no second parser that could
//! see another request in the same bytes.

use bytes::Bytes;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};

use super::scan::{Framing, HeadFault, HeadScan};

/// One request, as its client sent it.
#[derive(Debug)]
pub struct RequestHead {
    /// Its method.
    pub method: Method,
    /// 1.0 or 1.1.
    pub version: Version,
    /// Its fields, as sent.
    pub fields: HeaderMap,
    /// Whether the client wants to go on after the answer, and can also where nobody reads the body.
    pub keeps: bool,
    /// Whether the client wants to go on after the answer; it can where its body was read to its end.
    pub wants_to_go_on: bool,
    /// Whether it waits to be told that its body is wanted (RFC 9110 §10.1.1).
    pub awaits_continue: bool,
    /// What follows the head.
    pub framing: Framing,
    target: Bytes,
    authority: Option<Bytes>,
}

impl RequestHead {
    /// Takes `head` apart, which `scan` has found whole and sound.
    pub(super) fn take_apart(
        head: Bytes,
        scan: &HeadScan,
        framing: Framing,
    ) -> Result<RequestHead, HeadFault> {
        let line = scan.request_line();
        let method = Method::from_bytes(&head[line.method.clone()]).map_err(|_| HeadFault::RequestLine)?;
        let version = if head[line.version.clone()].ends_with(b"1") {
            Version::HTTP_11
        } else {
            Version::HTTP_10
        };
        let mut fields = HeaderMap::with_capacity(scan.fields().len());
        for place in scan.fields() {
            let name = HeaderName::from_bytes(&head[place.name.clone()]).map_err(|_| HeadFault::FieldName)?;
            let value = HeaderValue::from_maybe_shared(head.slice(place.value.clone()))
                .map_err(|_| HeadFault::ControlByte)?;
            fields.append(name, value);
        }
        check_coding(&fields, version, framing)?;
        let raw_target = head.slice(line.target.clone());
        std::str::from_utf8(&raw_target).map_err(|_| HeadFault::RequestLine)?;
        let Target { path, authority } = Target::of(raw_target)?;
        check_host(&fields, authority.as_deref())?;
        let wants_to_go_on = wants_to_go_on(&fields, version);
        Ok(RequestHead {
            keeps: framing == Framing::Nothing && wants_to_go_on,
            wants_to_go_on,
            awaits_continue: framing != Framing::Nothing && awaits_continue(&fields, version),
            framing,
            method,
            version,
            fields,
            target: path,
            authority,
        })
    }

    /// Path and query; `*` for `OPTIONS *`; empty where the target is neither (RFC 9112 §3.2).
    #[must_use]
    pub fn target(&self) -> &str {
        text(&self.target)
    }

    /// The host it names: in the target (absolute form) or in `Host`; with port.
    #[must_use]
    pub fn authority(&self) -> Option<&str> {
        match &self.authority {
            Some(authority) => Some(text(authority)),
            None => self.fields.get(header::HOST)?.to_str().ok(),
        }
    }
}

/// What was found to be text when it was read.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or("")
}

/// The two things a target can name.
struct Target {
    path: Bytes,
    authority: Option<Bytes>,
}

impl Target {
    fn of(raw: Bytes) -> Result<Target, HeadFault> {
        if raw[0] == b'/' || &raw[..] == b"*" {
            return Ok(Target {
                path: raw,
                authority: None,
            });
        }
        let Some(start) = ["http://", "https://"].into_iter().find_map(|scheme| {
            let begins = raw.get(..scheme.len())?.eq_ignore_ascii_case(scheme.as_bytes());
            begins.then_some(scheme.len())
        }) else {
            // CONNECT's authority, or nothing that is known.
            return Ok(Target {
                path: Bytes::new(),
                authority: None,
            });
        };
        let rest = raw.slice(start..);
        let end = rest
            .iter()
            .position(|byte| matches!(byte, b'/' | b'?' | b'#'))
            .unwrap_or(rest.len());
        let authority = rest.slice(..end);
        Authority::try_from(&authority[..]).map_err(|_| HeadFault::Authority)?;
        let path = match rest.get(end) {
            Some(b'/') => rest.slice(end..),
            None => Bytes::from_static(b"/"),
            // A path may be left out before a query.
            Some(_) => [b"/", &rest[end..]].concat().into(),
        };
        Ok(Target {
            path,
            authority: Some(authority),
        })
    }
}

/// One `Host` at most, without user information, and the same as in the target (RFC 9112 §3.2 lets us ignore it then;
/// one that differs is somebody's attempt to be read in two ways).
fn check_host(fields: &HeaderMap, authority: Option<&[u8]>) -> Result<(), HeadFault> {
    let mut hosts = fields.get_all(header::HOST).iter();
    let host = hosts.next().map(HeaderValue::as_bytes);
    let names_user = |authority: Option<&[u8]>| authority.is_some_and(|authority| authority.contains(&b'@'));
    let differ = host
        .zip(authority)
        .is_some_and(|(host, authority)| host != authority);
    if hosts.next().is_some() || names_user(host) || names_user(authority) || differ {
        return Err(HeadFault::Authority);
    }
    Ok(())
}

/// A transfer coding is for HTTP/1.1 alone, and `chunked` is the only one that we undo (RFC 9112 §6.1, §6.3): said once,
/// so that nobody can read it in another way.
fn check_coding(fields: &HeaderMap, version: Version, framing: Framing) -> Result<(), HeadFault> {
    if framing != Framing::Coded {
        return Ok(());
    }
    let mut codings = fields.get_all(header::TRANSFER_ENCODING).iter();
    let is_chunked = codings
        .next()
        .is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    if version == Version::HTTP_10 || !is_chunked || codings.next().is_some() {
        return Err(HeadFault::Coding);
    }
    Ok(())
}

/// HTTP/1.0 knows no interim answers (RFC 9110 §10.1.1).
fn awaits_continue(fields: &HeaderMap, version: Version) -> bool {
    let expectation = fields.get(header::EXPECT).map(HeaderValue::as_bytes);
    version == Version::HTTP_11
        && expectation.is_some_and(|expectation| expectation.eq_ignore_ascii_case(b"100-continue"))
}

/// RFC 9112 §9.3.
fn wants_to_go_on(fields: &HeaderMap, version: Version) -> bool {
    let mut goes_on = version == Version::HTTP_11;
    for value in fields.get_all(header::CONNECTION) {
        for option in value.as_bytes().split(|byte| *byte == b',') {
            let option = option.trim_ascii();
            if option.eq_ignore_ascii_case(b"close") {
                return false;
            }
            goes_on |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }
    goes_on
}

#[cfg(test)]
mod tests {
    use super::super::scan::Progress;
    use super::*;

    fn read(head: &str) -> Result<RequestHead, HeadFault> {
        let mut scan = HeadScan::new(4096);
        match scan.advance(head.as_bytes())? {
            Progress::Complete { length, framing } => {
                let head = Bytes::copy_from_slice(&head.as_bytes()[..length]);
                RequestHead::take_apart(head, &scan, framing)
            }
            Progress::Incomplete => panic!("{head:?} is not whole"),
        }
    }

    #[test]
    fn a_head_is_taken_apart_as_it_was_sent() {
        let head = read("\r\nGET /a?b=c HTTP/1.1\r\nHost: a:80\r\nX-One:  1 \t\r\nx-one:2\r\nEmpty:\r\n\r\n")
            .unwrap();
        assert_eq!((head.method, head.version), (Method::GET, Version::HTTP_11));
        let one: Vec<_> = head.fields.get_all("x-one").iter().collect();
        assert_eq!(one, ["1", "2"]);
        assert_eq!(head.fields["empty"], "");
        assert_eq!(head.fields.len(), 4);
        assert!(head.keeps);
    }

    #[test]
    fn every_form_of_a_target_names_path_and_host() {
        for (target, host, path, authority) in [
            ("/a?b#c", "h", "/a?b#c", Some("h")),
            ("*", "h", "*", Some("h")),
            ("http://h", "h", "/", Some("h")),
            ("HTTPS://h:1/a?b", "h:1", "/a?b", Some("h:1")),
            ("http://h?b", "h", "/?b", Some("h")),
            ("h:443", "h:443", "", Some("h:443")),
            ("ftp://h/a", "h", "", Some("h")),
            ("word", "h", "", Some("h")),
        ] {
            let head = read(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).unwrap();
            assert_eq!((head.target(), head.authority()), (path, authority), "{target}");
        }
        assert_eq!(read("GET / HTTP/1.0\r\n\r\n").unwrap().authority(), None);
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for (head, fault) in [
            (
                "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
                HeadFault::Authority,
            ),
            ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", HeadFault::Authority),
            ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", HeadFault::Authority),
            (
                "GET http://u@a/ HTTP/1.1\r\nHost: u@a\r\n\r\n",
                HeadFault::Authority,
            ),
            ("GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n", HeadFault::Authority),
            (
                "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
                HeadFault::Coding,
            ),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
                HeadFault::Coding,
            ),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked, x\r\n\r\n",
                HeadFault::Coding,
            ),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
                HeadFault::Coding,
            ),
        ] {
            assert_eq!(read(head).map(drop), Err(fault), "{head:?}");
        }
        assert_eq!(
            read("GET /\u{e9}/ HTTP/1.1\r\n\r\n").unwrap().target(),
            "/\u{e9}/"
        );
    }

    #[test]
    fn a_connection_goes_on_where_both_sides_can() {
        for (head, keeps) in [
            ("GET / HTTP/1.1\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nConnection: x, Close\r\n\r\n", false),
            (
                "GET / HTTP/1.1\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n",
                false,
            ),
            ("GET / HTTP/1.0\r\n\r\n", false),
            ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true),
            ("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", true),
            ("POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n", false),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", false),
        ] {
            assert_eq!(read(head).unwrap().keeps, keeps, "{head:?}");
        }
    }
}
