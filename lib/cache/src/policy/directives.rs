//! `Cache-Control` as it is written (RFC 9111 §5.2, RFC 5861, RFC 8246), read so that no mistake makes anything fresher.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// The largest number of seconds that is told apart; larger ones count as this (RFC 9111 §1.2.2).
pub const DELTA_SECONDS_MAX: u64 = 1 << 31;

/// What `Cache-Control` says, all its lines joined.
///
/// - Names are case-insensitive; arguments are read quoted or bare.
/// - A directive given twice with different arguments counts as its most restrictive one.
/// - A number that cannot be read counts as zero, which is to say stale (RFC 9111 §4.2.1).
/// - `private` and `no-cache` with a list of fields speak of those fields alone: they are not stored
///   ([`withheld`](super::targeted::withheld)). A list that names none counts as no list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheControl {
    /// `no-store` (§5.2.1.5, §5.2.2.5).
    pub no_store: bool,
    /// `private` (§5.2.2.7) without a list of fields.
    pub private: bool,
    /// `no-cache` (§5.2.1.4, §5.2.2.4) without a list of fields.
    pub no_cache: bool,
    /// `public` (§5.2.2.9).
    pub public: bool,
    /// `must-revalidate` (§5.2.2.2).
    pub must_revalidate: bool,
    /// `proxy-revalidate` (§5.2.2.8).
    pub proxy_revalidate: bool,
    /// `must-understand` (§5.2.2.3).
    pub must_understand: bool,
    /// `only-if-cached` (§5.2.1.7).
    pub only_if_cached: bool,
    /// `immutable` (RFC 8246).
    pub immutable: bool,
    /// `no-transform` (§5.2.1.6, §5.2.2.6).
    pub no_transform: bool,
    /// `max-age` (§5.2.1.1, §5.2.2.1).
    pub max_age: Option<Duration>,
    /// `s-maxage` (§5.2.2.10).
    pub s_maxage: Option<Duration>,
    /// `min-fresh` (§5.2.1.3).
    pub min_fresh: Option<Duration>,
    /// `max-stale` (§5.2.1.2); without a number it is [`Duration::MAX`].
    pub max_stale: Option<Duration>,
    /// `stale-while-revalidate` (RFC 5861 §3).
    pub stale_while_revalidate: Option<Duration>,
    /// `stale-if-error` (RFC 5861 §4).
    pub stale_if_error: Option<Duration>,
}

/// One directive, as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Directive<'a> {
    /// Its name, in the case it was written in.
    pub(crate) name: &'a [u8],
    /// What follows the `=`, quotes and all.
    pub(crate) argument: Option<&'a [u8]>,
    /// All of it, without blanks around.
    pub(crate) text: &'a [u8],
}

impl CacheControl {
    /// Reads every `Cache-Control` line of a request or response.
    #[must_use]
    pub fn parse(fields: &HeaderMap) -> CacheControl {
        let mut read = CacheControl::default();
        for directive in directives(fields) {
            read.take(directive);
        }
        read
    }

    pub(crate) fn take(&mut self, directive: Directive<'_>) {
        let Directive { name, argument, .. } = directive;
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let delta = |known: Option<Duration>| {
            let seconds = delta_seconds(argument);
            Some(known.map_or(seconds, |known| known.min(seconds)))
        };
        if is("max-age") {
            self.max_age = delta(self.max_age);
        } else if is("s-maxage") {
            self.s_maxage = delta(self.s_maxage);
        } else if is("no-store") {
            self.no_store = true;
        } else if is("no-cache") {
            self.no_cache |= named_fields(argument).is_none();
        } else if is("private") {
            self.private |= named_fields(argument).is_none();
        } else if is("public") {
            self.public = true;
        } else if is("must-revalidate") {
            self.must_revalidate = true;
        } else if is("proxy-revalidate") {
            self.proxy_revalidate = true;
        } else if is("must-understand") {
            self.must_understand = true;
        } else if is("min-fresh") {
            // The longest is the most restrictive here, and what cannot be read asks for more than there is.
            let seconds = argument.and_then(unquoted_seconds).unwrap_or(Duration::MAX);
            self.min_fresh = Some(self.min_fresh.map_or(seconds, |known| known.max(seconds)));
        } else if is("max-stale") {
            let seconds = argument.map_or(Duration::MAX, |argument| delta_seconds(Some(argument)));
            self.max_stale = Some(self.max_stale.map_or(seconds, |known| known.min(seconds)));
        } else if is("only-if-cached") {
            self.only_if_cached = true;
        } else if is("immutable") {
            self.immutable = true;
        } else if is("no-transform") {
            self.no_transform = true;
        } else if is("stale-while-revalidate") {
            self.stale_while_revalidate = delta(self.stale_while_revalidate);
        } else if is("stale-if-error") {
            self.stale_if_error = delta(self.stale_if_error);
        }
    }
}

/// Every directive of every `Cache-Control` line, in order, known or not.
pub(crate) fn directives(fields: &HeaderMap) -> impl Iterator<Item = Directive<'_>> {
    fields
        .get_all(header::CACHE_CONTROL)
        .iter()
        .map(HeaderValue::as_bytes)
        .flat_map(members)
        .map(|text| match text.iter().position(|byte| *byte == b'=') {
            Some(at) => Directive {
                name: text[..at].trim_ascii_end(),
                argument: Some(text[at + 1..].trim_ascii_start()),
                text,
            },
            None => Directive {
                name: text,
                argument: None,
                text,
            },
        })
}

/// The fields that `private="…"` and `no-cache="…"` name in `Cache-Control`; see
/// [`targeted::withheld`](super::targeted::withheld).
pub(crate) fn withheld(fields: &HeaderMap) -> Vec<HeaderName> {
    directives(fields)
        .filter(|directive| {
            let is = |known: &[u8]| directive.name.eq_ignore_ascii_case(known);
            is(b"private") || is(b"no-cache")
        })
        .filter_map(|directive| named_fields(directive.argument))
        .flatten()
        .collect()
}

/// The names in the argument of a qualified directive, quoted or (a common mistake) bare; `None` where there is none
/// that is a name: the directive then speaks of everything.
pub(crate) fn named_fields(argument: Option<&[u8]>) -> Option<Vec<HeaderName>> {
    let names = unquoted(argument?);
    let names: Result<Vec<HeaderName>, _> = members(names).map(HeaderName::from_bytes).collect();
    names.ok().filter(|names| !names.is_empty())
}

fn unquoted(argument: &[u8]) -> &[u8] {
    argument
        .strip_prefix(b"\"")
        .and_then(|inner| inner.strip_suffix(b"\""))
        .unwrap_or(argument)
}

fn unquoted_seconds(argument: &[u8]) -> Option<Duration> {
    whole_seconds(unquoted(argument)).map(Duration::from_secs)
}

/// The members of a comma-separated list (RFC 9110 §5.6.1), without blanks around and without empty ones. Commas
/// inside a quoted string do not separate; a quote that is never closed counts as any other byte, so that it cannot
/// hide what follows it.
pub(crate) fn members(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = list;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let end = member_end(rest);
            let member = rest[..end].trim_ascii();
            rest = rest.get(end + 1..).unwrap_or_default();
            if !member.is_empty() {
                return Some(member);
            }
        }
        None
    })
}

fn member_end(list: &[u8]) -> usize {
    let mut at = 0;
    while at < list.len() {
        match list[at] {
            b',' => return at,
            b'"' => at += quoted_length(&list[at..]).unwrap_or(1),
            _ => at += 1,
        }
    }
    list.len()
}

/// The length of the quoted string that `text` begins with, both quotes included; `None` where it is never closed.
fn quoted_length(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    None
}

fn delta_seconds(argument: Option<&[u8]>) -> Duration {
    argument.and_then(unquoted_seconds).unwrap_or_default()
}

/// `delta-seconds` (RFC 9111 §1.2.2): digits alone, saturating at [`DELTA_SECONDS_MAX`].
pub(crate) fn whole_seconds(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = digits.iter().fold(0_u64, |seconds, digit| {
        (seconds * 10 + u64::from(digit - b'0')).min(DELTA_SECONDS_MAX)
    });
    Some(seconds)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(lines: &[&[u8]]) -> CacheControl {
        let mut fields = HeaderMap::new();
        for line in lines {
            fields.append(
                header::CACHE_CONTROL,
                HeaderValue::from_bytes(line).expect("legal in a header"),
            );
        }
        CacheControl::parse(&fields)
    }

    fn seconds(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    #[test]
    fn every_directive_is_read_in_any_case_on_any_line() {
        let nothing = CacheControl::default();
        let table: [(&[&[u8]], CacheControl); 18] = [
            (&[], nothing),
            (&[b""], nothing),
            (
                &[b"No-Store"],
                CacheControl {
                    no_store: true,
                    ..nothing
                },
            ),
            (
                &[b"PRIVATE"],
                CacheControl {
                    private: true,
                    ..nothing
                },
            ),
            (
                &[b"no-cache"],
                CacheControl {
                    no_cache: true,
                    ..nothing
                },
            ),
            (
                &[b"public, max-age=60", b"S-MaxAge=15"],
                CacheControl {
                    public: true,
                    max_age: seconds(60),
                    s_maxage: seconds(15),
                    ..nothing
                },
            ),
            (
                &[b"must-revalidate,proxy-revalidate , only-if-cached,immutable"],
                CacheControl {
                    must_revalidate: true,
                    proxy_revalidate: true,
                    only_if_cached: true,
                    immutable: true,
                    ..nothing
                },
            ),
            (
                &[b"stale-while-revalidate=30, stale-if-error=600"],
                CacheControl {
                    stale_while_revalidate: seconds(30),
                    stale_if_error: seconds(600),
                    ..nothing
                },
            ),
            (&[b"private=\"set-cookie\""], nothing),
            (&[b"no-cache=\"a, no-store\""], nothing),
            (
                &[b"private=\"\", no-cache=\"not a name\""],
                CacheControl {
                    private: true,
                    no_cache: true,
                    ..nothing
                },
            ),
            (
                &[b"private=\"set-cookie\", private"],
                CacheControl {
                    private: true,
                    ..nothing
                },
            ),
            (
                &[b"Must-Understand"],
                CacheControl {
                    must_understand: true,
                    ..nothing
                },
            ),
            (
                &[b"min-fresh=10, max-stale=20"],
                CacheControl {
                    min_fresh: seconds(10),
                    max_stale: seconds(20),
                    ..nothing
                },
            ),
            (
                &[b"min-fresh=10, min-fresh=20, max-stale, max-stale=5"],
                CacheControl {
                    min_fresh: seconds(20),
                    max_stale: seconds(5),
                    ..nothing
                },
            ),
            (
                &[b"min-fresh=x, max-stale=x"],
                CacheControl {
                    min_fresh: Some(Duration::MAX),
                    max_stale: seconds(0),
                    ..nothing
                },
            ),
            (&[b"xno-store, no-storex, \"no-store\""], nothing),
            (
                &[b", ,\t, max-age = 5 ,"],
                CacheControl {
                    max_age: seconds(5),
                    ..nothing
                },
            ),
        ];
        for (lines, expected) in table {
            assert_eq!(read(lines), expected, "{lines:?}");
        }
    }

    /// RFC 9111 §1.2.2 and §4.2.1.
    #[test]
    fn numbers_never_make_a_response_fresher_than_it_says() {
        let table: [(&[&[u8]], u64); 14] = [
            (&[b"max-age=15"], 15),
            (&[b"max-age=\"15\""], 15),
            (&[b"max-age=0"], 0),
            (&[b"max-age=000000000000000000000000015"], 15),
            (&[b"max-age"], 0),
            (&[b"max-age="], 0),
            (&[b"max-age=\""], 0),
            (&[b"max-age=-1"], 0),
            (&[b"max-age=1.5"], 0),
            (&[b"max-age=15s"], 0),
            (&[b"max-age=99999999999999999999"], DELTA_SECONDS_MAX),
            (&[b"max-age=60, max-age=15"], 15),
            (&[b"max-age=15", b"max-age=60"], 15),
            (&[b"max-age=15, max-age=15"], 15),
        ];
        for (lines, expected) in table {
            assert_eq!(read(lines).max_age, seconds(expected), "{lines:?}");
        }
    }

    #[test]
    fn qualified_directives_withhold_the_fields_they_name() {
        for (value, names) in [
            ("private=\"Set-Cookie\"", &["set-cookie"] as &[&str]),
            ("private=Set-Cookie, no-cache=\"a, b\"", &["set-cookie", "a", "b"]),
            ("private, no-cache=\"\", max-age=\"a\"", &[]),
        ] {
            let fields = HeaderMap::from_iter([(header::CACHE_CONTROL, HeaderValue::from_static(value))]);
            assert_eq!(withheld(&fields), *names, "{value}");
        }
    }

    #[test]
    fn a_quote_that_is_never_closed_hides_nothing() {
        assert!(read(&[b"extension=\"oops, no-store"]).no_store);
        assert!(read(&[b"extension=\"oops\\\", no-store"]).no_store);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(line: Vec<u8>) {
            for member in members(&line) {
                prop_assert!(!member.is_empty());
            }
            if let Ok(value) = HeaderValue::from_bytes(&line) {
                let _ = CacheControl::parse(&HeaderMap::from_iter([(header::CACHE_CONTROL, value)]));
            }
        }

        #[test]
        fn a_directive_is_found_wherever_it_stands(before in "[a-z=0-9, ]{0,30}", after in "[a-z=0-9, ]{0,30}") {
            let line = format!("{before}, no-store ,{after}");
            prop_assert!(read(&[line.as_bytes()]).no_store);
        }
    }
}
