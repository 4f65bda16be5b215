//! Cache directives for a kind of cache (RFC 9213): for this CDN, for all CDNs, for everybody.
//!
//! The first targeted field that is there and can be read takes the place of `Cache-Control` and `Expires` altogether.
//! It is a structured field (RFC 9651): one that breaks the grammar counts as absent, a directive with a value of
//! another type than it should have counts as absent too.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use sfv::{BareItem, Dictionary, ListEntry, Parser};

use super::directives::{CacheControl, DELTA_SECONDS_MAX, Directive, named_fields};

/// Our own, then every CDN's.
pub(crate) static TARGETED: [HeaderName; 2] = [
    HeaderName::from_static("millrace-cdn-cache-control"),
    HeaderName::from_static("cdn-cache-control"),
];

/// What holds for a response, and where it was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Governing {
    /// What was said.
    pub(crate) directives: CacheControl,
    /// In a targeted field: `Cache-Control` and `Expires` are void.
    pub(crate) targeted: bool,
}

/// The directives that govern a response here.
pub(crate) fn governing(response: &HeaderMap) -> Governing {
    for name in &TARGETED {
        if let Some(directives) = read(response, name) {
            return Governing {
                directives,
                targeted: true,
            };
        }
    }
    Governing {
        directives: CacheControl::parse(response),
        targeted: false,
    }
}

/// The fields that the qualified forms of `private` and `no-cache` name, where they were said: they are not for all,
/// or not without asking first, and this cache stores none of them (RFC 9111 §5.2.2.4, §5.2.2.7).
pub(crate) fn withheld(response: &HeaderMap) -> Vec<HeaderName> {
    let Some(dictionary) = TARGETED.iter().find_map(|name| dictionary(response, name)) else {
        return super::directives::withheld(response);
    };
    let lists = dictionary
        .iter()
        .filter(|(key, _)| matches!(key.as_str(), "private" | "no-cache"));
    lists
        .filter_map(|(_, entry)| match entry {
            ListEntry::Item(item) => match &item.bare_item {
                BareItem::String(names) => named_fields(Some(names.as_str().as_bytes())),
                _ => None,
            },
            ListEntry::InnerList(_) => None,
        })
        .flatten()
        .collect()
}

/// A targeted field; `None` where it is absent, empty or no dictionary.
fn dictionary(response: &HeaderMap, name: &HeaderName) -> Option<Dictionary> {
    let lines: Vec<&[u8]> = response.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    if lines.is_empty() {
        return None;
    }
    let joined = lines.join(&b", "[..]);
    let dictionary: Dictionary = Parser::parse_dictionary(&joined).ok()?;
    (!dictionary.is_empty()).then_some(dictionary)
}

/// What a targeted field says, where there is one.
fn read(response: &HeaderMap, name: &HeaderName) -> Option<CacheControl> {
    let dictionary = dictionary(response, name)?;
    let mut directives = CacheControl::default();
    for (key, entry) in &dictionary {
        let ListEntry::Item(item) = entry else { continue };
        let argument = match &item.bare_item {
            BareItem::Boolean(true) => None,
            BareItem::Integer(seconds) => {
                let seconds = u64::try_from(*seconds).unwrap_or(0);
                Some(seconds.min(DELTA_SECONDS_MAX).to_string())
            }
            BareItem::String(names) => Some(format!("\"{names}\"")),
            _ => continue,
        };
        if !has_its_type(key, &item.bare_item) {
            continue;
        }
        directives.take(Directive {
            name: key.as_bytes(),
            argument: argument.as_deref().map(str::as_bytes),
            text: b"",
        });
    }
    Some(directives)
}

/// Lifetimes are integers; names of fields are strings; everything else is there or not.
fn has_its_type(directive: &str, value: &BareItem) -> bool {
    match (directive, value) {
        ("max-age" | "s-maxage" | "stale-while-revalidate" | "stale-if-error", value) => {
            matches!(value, BareItem::Integer(_))
        }
        ("private" | "no-cache", value) => matches!(value, BareItem::Boolean(_) | BareItem::String(_)),
        (_, value) => matches!(value, BareItem::Boolean(_)),
    }
}

/// The lifetime that the directives give: `s-maxage`, else `max-age` (RFC 9111 §4.2.1).
pub(crate) fn said_lifetime(directives: &CacheControl) -> Option<Duration> {
    directives.s_maxage.or(directives.max_age)
}

/// The fields that say how long a response is fresh, besides `Cache-Control`: a set lifetime makes them untrue.
pub(crate) static CONTRADICTING: [HeaderName; 4] = [
    header::EXPIRES,
    header::PRAGMA,
    HeaderName::from_static("millrace-cdn-cache-control"),
    HeaderName::from_static("cdn-cache-control"),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    #[test]
    fn the_most_specific_field_that_can_be_read_governs() {
        for (own, cdn, expected, targeted) in [
            (None, None, seconds(1), false),
            (None, Some("max-age=2"), seconds(2), true),
            (Some("max-age=3"), Some("max-age=2"), seconds(3), true),
            (Some("max-age=3"), None, seconds(3), true),
            // Not a dictionary, or an empty one: as if it were not there (RFC 9213 §2.1).
            (Some("max-age=3,"), Some("max-age=2"), seconds(2), true),
            (Some(""), Some("Max-Age=2"), seconds(1), false),
            (None, Some("max-age = 2"), seconds(1), false),
            // Parameters and what is unknown are passed over.
            (None, Some("max-age=2;x=1, extension=(1 2)"), seconds(2), true),
            // A value of another type: the directive is not there.
            (None, Some("max-age=\"2\""), None, true),
            (None, Some("max-age=2.5"), None, true),
            (None, Some("max-age=-2"), seconds(0), true),
            // Given twice, the last holds (RFC 9651 §3.2).
            (None, Some("max-age=2, max-age=4"), seconds(4), true),
        ] {
            let mut response =
                HeaderMap::from_iter([(header::CACHE_CONTROL, HeaderValue::from_static("max-age=1"))]);
            for (name, value) in TARGETED.iter().zip([own, cdn]) {
                value.map(|value| response.insert(name, HeaderValue::from_static(value)));
            }
            let found = governing(&response);
            assert_eq!(
                (said_lifetime(&found.directives), found.targeted),
                (expected, targeted),
                "{own:?} {cdn:?}"
            );
        }
    }

    #[test]
    fn flags_are_there_or_not() {
        for (value, no_store, private, no_cache) in [
            ("no-store", true, false, false),
            ("no-store=?0, private", false, true, false),
            ("no-store=1", false, false, false),
            ("no-cache=\"set-cookie\", private=\"\"", false, true, false),
            ("no-cache", false, false, true),
        ] {
            let response = HeaderMap::from_iter([(TARGETED[1].clone(), HeaderValue::from_static(value))]);
            let found = governing(&response).directives;
            assert_eq!(
                (found.no_store, found.private, found.no_cache),
                (no_store, private, no_cache),
                "{value}"
            );
        }
    }

    #[test]
    fn the_field_that_governs_says_which_fields_are_withheld() {
        for (cdn, expected) in [
            (
                Some("private=\"x-a, X-B\", no-cache=\"x-c\""),
                &["x-a", "x-b", "x-c"][..],
            ),
            (Some("private, no-cache=1"), &[]),
            (Some("private=x"), &[]),
            (Some("private=\"x-a\","), &["x-d"]),
            (None, &["x-d"]),
        ] {
            let mut response =
                HeaderMap::from_iter([(header::CACHE_CONTROL, HeaderValue::from_static("private=\"x-d\""))]);
            cdn.map(|value| response.insert(TARGETED[1].clone(), HeaderValue::from_static(value)));
            assert_eq!(withheld(&response), expected, "{cdn:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let _ = governing(&HeaderMap::from_iter([(TARGETED[0].clone(), value)]));
            }
        }
    }
}
