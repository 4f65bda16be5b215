//! `CDN-Loop` (RFC 8586): refusing requests that went round in a circle.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    Pseudonym,
    pseudonym::{is_token, is_token_byte},
};

/// The field's name.
pub const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");

/// How often this CDN may appear before a request is refused: both tiers twice, for a service whose origin is another
/// service of the same CDN. More is a circle that passes nodes by their health or their hash.
pub const OWN_APPEARANCES_MAX: usize = 4;

/// The parameter that names the node which handled the request.
const NODE: &str = "node";

/// This node's place in `CDN-Loop`.
#[derive(Clone, Debug)]
pub struct CdnLoop {
    cdn: Pseudonym,
    node: Pseudonym,
    entry: HeaderValue,
}

/// Why a request is refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The field is not a list of CDNs (RFC 8586 §2): 400.
    Malformed,
    /// This node has handled the request before: 508, `proxy_loop_detected`.
    NodeAgain,
    /// This CDN has handled the request too often: 508, `proxy_loop_detected`.
    CdnTooOften {
        /// How often it appears.
        appearances: usize,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Malformed => f.write_str("CDN-Loop is not a list of CDNs (RFC 8586)"),
            Refusal::NodeAgain => f.write_str("this node has handled the request before"),
            Refusal::CdnTooOften { appearances } => {
                write!(
                    f,
                    "this CDN has handled the request {appearances} times, at most {OWN_APPEARANCES_MAX} are allowed"
                )
            }
        }
    }
}

impl std::error::Error for Refusal {}

impl CdnLoop {
    /// The CDN's id (the same on all its nodes, unlike any other CDN's) and this node's name in it.
    #[must_use]
    pub fn new(cdn: Pseudonym, node: Pseudonym) -> CdnLoop {
        let entry = HeaderValue::try_from(format!("{cdn}; {NODE}=\"{node}\""))
            .expect("pseudonyms are tokens, and so printable ASCII without quotes");
        CdnLoop { cdn, node, entry }
    }

    /// Whether a request with these fields may be handled.
    ///
    /// # Errors
    ///
    /// When it has been here before, or too often in this CDN, or when the field is malformed.
    pub fn judge(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let mut appearances = 0;
        for line in headers.get_all(CDN_LOOP) {
            let mut rest = Scanner(line.as_bytes());
            while let Some(entry) = rest.entry()? {
                if entry.cdn.eq_ignore_ascii_case(self.cdn.as_str().as_bytes()) {
                    appearances += 1;
                    if entry
                        .node
                        .is_some_and(|node| node == self.node.as_str().as_bytes())
                    {
                        return Err(Refusal::NodeAgain);
                    }
                }
            }
        }
        if appearances > OWN_APPEARANCES_MAX {
            Err(Refusal::CdnTooOften { appearances })
        } else {
            Ok(())
        }
    }

    /// Appends this node to a request on its way up.
    pub fn append(&self, headers: &mut HeaderMap) {
        headers.append(CDN_LOOP, self.entry.clone());
    }
}

/// One `cdn-info`: the id, and the value of its `node` parameter without quotes.
struct Entry<'a> {
    cdn: &'a [u8],
    node: Option<&'a [u8]>,
}

/// What is left of one line of the field.
struct Scanner<'a>(&'a [u8]);

impl<'a> Scanner<'a> {
    /// The next entry; `None` at the end. Empty list elements are passed over (RFC 9110 §5.6.1.2).
    fn entry(&mut self) -> Result<Option<Entry<'a>>, Refusal> {
        self.skip(|byte| matches!(byte, b' ' | b'\t' | b','));
        if self.0.is_empty() {
            return Ok(None);
        }
        let cdn = self.take(is_cdn_id_byte);
        let mut entry = Entry { cdn, node: None };
        if cdn.is_empty() {
            return Err(Refusal::Malformed);
        }
        loop {
            self.skip(is_blank);
            match self.0.split_first() {
                None | Some((b',', _)) => return Ok(Some(entry)),
                Some((b';', rest)) => self.0 = rest,
                Some(_) => return Err(Refusal::Malformed),
            }
            self.skip(is_blank);
            let (name, value) = self.parameter()?;
            if name.eq_ignore_ascii_case(NODE.as_bytes()) {
                entry.node = Some(value);
            }
        }
    }

    /// `token "=" ( token / quoted-string )`, the value without its quotes. A value with escapes cannot be one of our
    /// node names, so they are left in.
    fn parameter(&mut self) -> Result<(&'a [u8], &'a [u8]), Refusal> {
        let name = self.take(is_token_byte);
        if name.is_empty() || self.0.first() != Some(&b'=') {
            return Err(Refusal::Malformed);
        }
        self.0 = &self.0[1..];
        if self.0.first() == Some(&b'"') {
            return Ok((name, self.quoted()?));
        }
        let value = self.take(is_token_byte);
        if is_token(value) {
            Ok((name, value))
        } else {
            Err(Refusal::Malformed)
        }
    }

    fn quoted(&mut self) -> Result<&'a [u8], Refusal> {
        let inside = &self.0[1..];
        let mut at = 0;
        loop {
            match inside.get(at) {
                Some(b'"') => break,
                Some(b'\\') => at += 2,
                Some(byte) if *byte == b'\t' || *byte >= b' ' && *byte != 0x7f => at += 1,
                _ => return Err(Refusal::Malformed),
            }
        }
        self.0 = &inside[at + 1..];
        Ok(&inside[..at])
    }

    fn take(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self
            .0
            .iter()
            .position(|byte| !wanted(*byte))
            .unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    fn skip(&mut self, unwanted: impl Fn(u8) -> bool) {
        self.take(unwanted);
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// What a cdn-id may hold: a pseudonym (token), or a host with an optional port, where an IP literal brings brackets.
fn is_cdn_id_byte(byte: u8) -> bool {
    is_token_byte(byte) || matches!(byte, b':' | b'[' | b']')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> CdnLoop {
        let name = |text| Pseudonym::new(text).expect("a token");
        CdnLoop::new(name("millrace-demo"), name("edge-ams-1"))
    }

    fn judged(lines: &[&str]) -> Result<(), Refusal> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CDN_LOOP, HeaderValue::from_str(line).expect(line));
        }
        ours().judge(&headers)
    }

    #[test]
    fn what_we_append_is_what_we_recognise() {
        let mut headers = HeaderMap::from_iter([(CDN_LOOP, HeaderValue::from_static("other"))]);
        assert_eq!(ours().judge(&headers), Ok(()));
        ours().append(&mut headers);
        let lines: Vec<_> = headers.get_all(CDN_LOOP).iter().collect();
        assert_eq!(lines, ["other", "millrace-demo; node=\"edge-ams-1\""]);
        assert_eq!(ours().judge(&headers), Err(Refusal::NodeAgain));
    }

    /// RFC 8586 §2, with its own example first.
    #[test]
    fn lists_of_other_cdns_pass() {
        for lines in [
            &["foo123.foocdn.example, barcdn.example; trace=\"abcdef\""][..],
            &["AnotherCDN; abc=123; def=\"456\""],
            &["[2001:db8::1]:8443, cdn.example:80"],
            &["", ",, a ,,b ;x=1,"],
            &["a;x=\"quoted, millrace-demo; node=edge-ams-1 \\\" \""],
            &["millrace-demo; node=\"edge-ams-2\"", "other;node=\"edge-ams-1\""],
            &["millrace-demo-two; node=edge-ams-1"],
            &[],
        ] {
            assert_eq!(judged(lines), Ok(()), "{lines:?}");
        }
    }

    #[test]
    fn a_request_that_was_here_before_is_refused_however_it_is_written() {
        for lines in [
            &["millrace-demo; node=\"edge-ams-1\""][..],
            &["MILLRACE-DEMO;NODE=edge-ams-1"],
            &["a, b;c=d", "x,millrace-demo ; y=\",\" ; node=edge-ams-1 , z"],
        ] {
            assert_eq!(judged(lines), Err(Refusal::NodeAgain), "{lines:?}");
        }
    }

    #[test]
    fn this_cdn_may_appear_four_times() {
        let other_nodes = |count| vec!["millrace-demo; node=\"edge-iad-1\""; count].join(", ");
        assert_eq!(judged(&[&other_nodes(4)]), Ok(()));
        assert_eq!(
            judged(&[&other_nodes(5)]),
            Err(Refusal::CdnTooOften { appearances: 5 })
        );
        assert_eq!(
            judged(&[&other_nodes(3), "millrace-demo", "millrace-demo;x=y"]),
            Err(Refusal::CdnTooOften { appearances: 5 })
        );
    }

    #[test]
    fn what_is_no_list_of_cdns_is_malformed() {
        for line in [
            "a b",
            "a;",
            "a;=x",
            "a;x",
            "a;x=",
            "a;x=\"open",
            "a;x=\"open\\",
            ";x=1",
            "a/b",
            "=",
            "a;x=1 2",
            "a;x=\"1\"2",
            "\"a\"",
            "a;x=1;;y=2",
        ] {
            assert_eq!(judged(&[line]), Err(Refusal::Malformed), "{line:?}");
        }
        let mut headers = HeaderMap::new();
        headers.append(CDN_LOOP, HeaderValue::from_bytes(b"a\xff").expect("obs-text"));
        assert_eq!(ours().judge(&headers), Err(Refusal::Malformed));
    }
}
