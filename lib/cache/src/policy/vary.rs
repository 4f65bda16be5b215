//! Variants: by which fields of its requests an answer varies, and which requests get the same one (RFC 9110 §12.5.5,
//! RFC 9111 §4.1).
//!
//! Several answers of one URL are kept under keys of their own, made of the URL's key and of what the request says in
//! the fields that matter: `demo/a.json#accept-encoding=br,%20gzip&accept-language=nl`. What stands in such a key is
//! normalised where two spellings are known to mean the same, and otherwise compared byte by byte.

use std::fmt::Write;

use http::{HeaderMap, HeaderName, header};

use super::{coding::Accepted, directives::members};
use crate::key::Key;

/// Fields that an answer may vary by. What varies by more differs for every client.
pub const NAMES_MAX: usize = 8;

/// Bytes that follow the URL's own text in the key of a variant: a long `User-Agent` and a few more. Beyond it a request
/// is answered, and its answer is not kept.
pub const VARIANT_BYTES_MAX: usize = 2048;

/// Fields of one client that origins are known to make answers depend on, unknown to the cache key: what one client
/// says in them must not reach the others, so fills do not pass them on.
pub const PERSONAL: [&str; 14] = [
    "cookie",
    "forwarded",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-host",
    "x-http-method-override",
    "x-original-host",
    "x-original-uri",
    "x-original-url",
    "x-rewrite-url",
];

/// Further fields of requests that fills do not pass on as they came, or that name the client or its connection.
const UNSHARED: [&str; 17] = [
    "authorization",
    "cache-control",
    "cdn-loop",
    "connection",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "pragma",
    "proxy-authorization",
    "range",
    "traceparent",
    "tracestate",
    "via",
    "x-forwarded-for",
];

/// Whether what varies by this field, in lower case, is for one client: it is not kept.
#[must_use]
pub fn is_unmatched(name: &str) -> bool {
    PERSONAL.contains(&name) || UNSHARED.contains(&name)
}

/// The fields that an answer varies by: sorted, each once. None where it does not vary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(Vec<HeaderName>);

/// No other request can be known to get the same answer: it varies by `*`, by what is no field, by a field that is
/// [unmatched](is_unmatched), or by more than [`NAMES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeverMatches;

impl Names {
    /// The fields that `response` varies by: those that its `Vary` names, all lines joined, and `Accept-Encoding` where
    /// the answer is encoded, also when its origin forgot to say so.
    ///
    /// # Errors
    /// [`NeverMatches`].
    pub fn of(response: &HeaderMap) -> Result<Names, NeverMatches> {
        let mut names = Names::default();
        if response.contains_key(header::CONTENT_ENCODING) {
            names.0.push(header::ACCEPT_ENCODING);
        }
        let lines = response.get_all(header::VARY).iter();
        for member in lines.flat_map(|line| members(line.as_bytes())) {
            if member == b"*" {
                return Err(NeverMatches);
            }
            let name = HeaderName::from_bytes(member).map_err(|_| NeverMatches)?;
            if is_unmatched(name.as_str()) {
                return Err(NeverMatches);
            }
            names.add(name)?;
        }
        Ok(names)
    }

    /// The names in a list that was written by [`Names::list`].
    pub(crate) fn from_list(list: &[u8]) -> Option<Names> {
        let mut names = Names::default();
        for member in members(list) {
            names.add(HeaderName::from_bytes(member).ok()?).ok()?;
        }
        Some(names)
    }

    fn add(&mut self, name: HeaderName) -> Result<(), NeverMatches> {
        if let Err(at) = self.0.binary_search_by(|own| own.as_str().cmp(name.as_str())) {
            if self.0.len() == NAMES_MAX {
                return Err(NeverMatches);
            }
            self.0.insert(at, name);
        }
        Ok(())
    }

    /// Whether the answer is for every request.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names.
    pub fn iter(&self) -> impl Iterator<Item = &HeaderName> {
        self.0.iter()
    }

    /// Whether all of `other` are among these.
    #[must_use]
    pub fn contain(&self, other: &Names) -> bool {
        other.0.iter().all(|name| self.0.contains(name))
    }

    /// These and `other`; `other` alone where that would be too many.
    #[must_use]
    pub fn with(&self, other: &Names) -> Names {
        let mut both = self.clone();
        match other.0.iter().try_for_each(|name| both.add(name.clone())) {
            Ok(()) => both,
            Err(NeverMatches) => other.clone(),
        }
    }

    /// The same without `name`.
    #[must_use]
    pub fn without(mut self, name: &HeaderName) -> Names {
        self.0.retain(|own| own != name);
        self
    }

    /// The names as a list.
    pub(crate) fn list(&self) -> String {
        let names: Vec<&str> = self.0.iter().map(HeaderName::as_str).collect();
        names.join(", ")
    }

    /// The key of the variant that `request` gets of the URL of `primary`; `None` where it would be longer than
    /// [`VARIANT_BYTES_MAX`]. Two requests get the same one when they say the same in each of the fields, or nothing.
    #[must_use]
    pub fn variant(&self, primary: &Key, request: &HeaderMap) -> Option<Key> {
        let mut text = String::with_capacity(primary.text().len() + 48);
        text.push_str(primary.text());
        let bound = text.len() + VARIANT_BYTES_MAX;
        for (nth, name) in self.0.iter().enumerate() {
            text.push(if nth == 0 { VARIANT_MARK } else { '&' });
            text.push_str(name.as_str());
            push_value(&mut text, name, request);
            if text.len() > bound {
                return None;
            }
        }
        Some(Key::from_text(text))
    }
}

/// What parts the URL's own text from what follows it in the key of a variant. No target holds it.
pub const VARIANT_MARK: char = '#';

/// What is compared of the field `name`, with its `=`; nothing where there is no such field.
fn push_value(text: &mut String, name: &HeaderName, request: &HeaderMap) {
    if *name == header::ACCEPT_ENCODING {
        // What is not said is `identity` all the same.
        text.push('=');
        push_escaped(text, Accepted::of(request).text().as_bytes());
        return;
    }
    let mut lines = request.get_all(name).iter().peekable();
    if lines.peek().is_none() {
        return;
    }
    text.push('=');
    if *name == header::ACCEPT_LANGUAGE {
        push_languages(text, lines.map(|line| line.as_bytes()));
        return;
    }
    for (nth, line) in lines.enumerate() {
        if nth > 0 {
            push_escaped(text, b", "); // RFC 9110 §5.3
        }
        push_escaped(text, line.as_bytes().trim_ascii());
    }
}

/// Languages in lower case and without blanks: neither means anything (RFC 4647 §2.1, RFC 9110 §12.5.4).
fn push_languages<'a>(text: &mut String, lines: impl Iterator<Item = &'a [u8]>) {
    for (nth, member) in lines.flat_map(members).enumerate() {
        if nth > 0 {
            text.push(',');
        }
        let letters = member.iter().filter(|byte| !byte.is_ascii_whitespace());
        let bare: Vec<u8> = letters.map(u8::to_ascii_lowercase).collect();
        push_escaped(text, &bare);
    }
}

/// Bytes that a key's text may hold as they are: what is visible, but for what has a meaning there.
fn push_escaped(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        match byte {
            b'#' | b'%' | b'&' | b'=' => {}
            0x21..=0x7e => {
                text.push(char::from(*byte));
                continue;
            }
            _ => {}
        }
        // Writing to a string does not fail.
        let _ = write!(text, "%{byte:02X}");
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn fields(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in lines {
            fields.append(
                HeaderName::from_static(name),
                HeaderValue::from_bytes(value.as_bytes()).expect("legal in a header"),
            );
        }
        fields
    }

    fn names(lines: &[(&'static str, &str)]) -> Result<String, NeverMatches> {
        Names::of(&fields(lines)).map(|names| names.list())
    }

    /// RFC 9110 §12.5.5.
    #[test]
    fn an_answer_varies_by_the_fields_of_all_its_lines_or_matches_nothing() {
        for (lines, expected) in [
            (&[][..], Ok("")),
            (&[("vary", "")], Ok("")),
            (&[("vary", "Origin")], Ok("origin")),
            (
                &[("vary", "Origin, ,accept-encoding ,")],
                Ok("accept-encoding, origin"),
            ),
            (&[("vary", "X-B"), ("vary", "x-a, X-B")], Ok("x-a, x-b")),
            (&[("content-encoding", "gzip")], Ok("accept-encoding")),
            (
                &[("content-encoding", "br"), ("vary", "accept-encoding, x-a")],
                Ok("accept-encoding, x-a"),
            ),
            (&[("vary", "*")], Err(NeverMatches)),
            (&[("vary", "Origin"), ("vary", "x, *")], Err(NeverMatches)),
            (&[("vary", "no name")], Err(NeverMatches)),
            (&[("vary", "Cookie")], Err(NeverMatches)),
            (&[("vary", "Accept-Encoding, Cookie")], Err(NeverMatches)),
            (&[("vary", "Authorization")], Err(NeverMatches)),
            (&[("vary", "Range")], Err(NeverMatches)),
            (&[("vary", "a,b,c,d,e,f,g,h")], Ok("a, b, c, d, e, f, g, h")),
            (&[("vary", "a,b,c,d,e,f,g,h,i")], Err(NeverMatches)),
        ] {
            assert_eq!(names(lines), expected.map(str::to_owned), "{lines:?}");
        }
        assert!(PERSONAL.is_sorted() && UNSHARED.is_sorted());
    }

    #[test]
    fn names_of_two_answers_are_joined_as_far_as_they_fit() {
        let of = |list: &str| Names::of(&fields(&[("vary", list)])).expect("they match");
        assert_eq!(of("b, a").with(&of("c, a")), of("a, b, c"));
        assert_eq!(of("a,b,c,d,e,f,g,h").with(&of("h, i")), of("h, i"));
        assert!(of("a, b").contain(&of("b")) && of("a").contain(&Names::default()));
        assert!(!of("a").contain(&of("a, b")));
        assert_eq!(of("a, b").without(&HeaderName::from_static("a")), of("b"));
        assert_eq!(Names::from_list(of("b, a").list().as_bytes()), Some(of("a, b")));
    }

    fn variant(vary: &str, request: &[(&'static str, &str)]) -> Option<String> {
        let names = Names::of(&fields(&[("vary", vary)])).expect("it matches");
        let key = names.variant(&Key::new("demo", "/a"), &fields(request))?;
        Some(key.text().to_owned())
    }

    /// RFC 9111 §4.1.
    #[test]
    fn requests_that_say_the_same_in_other_words_get_the_same_variant() {
        for (vary, request, expected) in [
            ("origin", &[][..], "demo/a#origin"),
            ("origin", &[("origin", "")], "demo/a#origin="),
            (
                "origin",
                &[("origin", "https://a.example")],
                "demo/a#origin=https://a.example",
            ),
            (
                "origin",
                &[("origin", "HTTPS://a.example")],
                "demo/a#origin=HTTPS://a.example",
            ),
            ("accept-encoding", &[], "demo/a#accept-encoding=identity"),
            (
                "accept-encoding",
                &[("accept-encoding", "gzip,deflate , br")],
                "demo/a#accept-encoding=br,%20gzip",
            ),
            ("accept-language", &[], "demo/a#accept-language"),
            (
                "accept-language",
                &[("accept-language", "nl-NL , nl;Q=0.8,, en; q=0.5")],
                "demo/a#accept-language=nl-nl,nl;q%3D0.8,en;q%3D0.5",
            ),
            (
                "accept-language",
                &[
                    ("accept-language", "nl-nl"),
                    ("accept-language", "NL;q=0.8, en;q=0.5"),
                ],
                "demo/a#accept-language=nl-nl,nl;q%3D0.8,en;q%3D0.5",
            ),
            ("x-a", &[("x-a", "1"), ("x-a", "2")], "demo/a#x-a=1,%202"),
            ("x-a", &[("x-a", "1, 2")], "demo/a#x-a=1,%202"),
            (
                "x-a",
                &[("x-a", "a#b&c=d%\u{e4}")],
                "demo/a#x-a=a%23b%26c%3Dd%25%C3%A4",
            ),
            ("x-b, x-a", &[("x-b", "2"), ("x-c", "3")], "demo/a#x-a&x-b=2"),
        ] {
            assert_eq!(
                variant(vary, request).as_deref(),
                Some(expected),
                "{vary}: {request:?}"
            );
        }
    }

    #[test]
    fn no_value_can_pass_for_another_field() {
        let honest = variant("x-a, x-b", &[("x-a", "1"), ("x-b", "2")]);
        let forged = variant("x-a, x-b", &[("x-a", "1&x-b=2")]);
        assert_ne!(honest, forged);
    }

    #[test]
    fn what_is_too_long_for_a_key_has_no_variant() {
        let long = "x".repeat(VARIANT_BYTES_MAX);
        assert_eq!(variant("x-a", &[("x-a", &long)]), None);
        assert!(variant("x-a", &[("x-a", &long[..VARIANT_BYTES_MAX - 5])]).is_some());
    }

    proptest! {
        #[test]
        fn two_requests_share_a_variant_only_when_they_say_the_same(one: Vec<u8>, other: Vec<u8>) {
            let request = |bytes: &[u8]| {
                let mut fields = HeaderMap::new();
                fields.insert("x-a", HeaderValue::from_bytes(bytes.trim_ascii()).ok()?);
                Some(fields)
            };
            if let (Some(first), Some(second)) = (request(&one), request(&other)) {
                let names = Names::of(&fields(&[("vary", "x-a")])).expect("it matches");
                let key = |request| names.variant(&Key::new("demo", "/a"), request);
                prop_assert_eq!(key(&first) == key(&second), one.trim_ascii() == other.trim_ascii());
            }
        }
    }
}
