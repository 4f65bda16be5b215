//! The tags of an object: what its origin calls it by, so that many objects can be purged at once.
//!
//! Three fields say them, and they share one space of names within a service:
//! - `Surrogate-Key: a b c`, separated by blanks (Fastly, Varnish);
//! - `Cache-Tag: a,b,c`, separated by commas (Cloudflare, Akamai);
//! - `Cache-Groups: "a", "b"`, a structured list of strings (RFC 9875 §2); a field that is none is ignored.
//!
//! They are read from the stored fields when the object is judged, and compared byte by byte. An object may have
//! [`TAGS_MAX`]; one that has more, or one longer than [`TAG_BYTES_MAX`], goes with every tag that is purged in its
//! service: what we do not read must not keep an object alive.

use http::{HeaderMap, HeaderName, HeaderValue};
use sfv::{BareItem, ListEntry, Parser};
use std::ops::ControlFlow;

/// Tags of one object: 16 KiB of short ones, as much as Cloudflare and Fastly take.
pub const TAGS_MAX: usize = 1024;
/// Bytes of one tag (Fastly's bound). RFC 9875 asks for 32 at least.
pub const TAG_BYTES_MAX: usize = 1024;

const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");
const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");
const CACHE_GROUPS: HeaderName = HeaderName::from_static("cache-groups");
const CACHE_GROUP_INVALIDATION: HeaderName = HeaderName::from_static("cache-group-invalidation");

/// The fields that say tags to a CDN and to nobody behind it.
pub const OF_CDN: [HeaderName; 2] = [SURROGATE_KEY, CACHE_TAG];

/// Beyond [`TAGS_MAX`] or [`TAG_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

/// Gives every tag in `fields` to `each`, as often as it is there.
///
/// # Errors
/// [`TooMany`] when a bound is exceeded; some tags may have been given before.
pub fn for_each(fields: &HeaderMap, mut each: impl FnMut(&[u8])) -> Result<(), TooMany> {
    let mut left = TAGS_MAX;
    let mut give = |tag: &[u8]| {
        if tag.is_empty() {
            return ControlFlow::Continue(());
        }
        if left == 0 || tag.len() > TAG_BYTES_MAX {
            return ControlFlow::Break(());
        }
        left -= 1;
        each(tag);
        ControlFlow::Continue(())
    };
    let separated = |(name, is_separator): (HeaderName, fn(&u8) -> bool)| {
        let lines = fields.get_all(name).into_iter();
        lines.flat_map(move |line| line.as_bytes().split(is_separator))
    };
    let by_blanks = (
        SURROGATE_KEY,
        (|byte| matches!(byte, b' ' | b'\t')) as fn(&u8) -> bool,
    );
    let by_commas = (CACHE_TAG, (|byte| *byte == b',') as fn(&u8) -> bool);
    let ended = [by_blanks, by_commas]
        .into_iter()
        .flat_map(separated)
        .try_for_each(|tag| give(tag.trim_ascii()));
    if ended.is_break() {
        return Err(TooMany);
    }
    for group in groups(fields) {
        if give(group.as_bytes()).is_break() {
            return Err(TooMany);
        }
    }
    Ok(())
}

/// The groups that an answer to an unsafe request invalidates (`Cache-Group-Invalidation`, RFC 9875 §3), in order. Those
/// that no object can belong to are left out.
#[must_use]
pub fn invalidated_groups(fields: &HeaderMap) -> Vec<String> {
    let mut groups = strings(fields, &CACHE_GROUP_INVALIDATION);
    groups.retain(|group| (1..=TAG_BYTES_MAX).contains(&group.len()));
    groups
}

/// The members of `Cache-Groups` (RFC 9875 §2).
fn groups(fields: &HeaderMap) -> Vec<String> {
    strings(fields, &CACHE_GROUPS)
}

/// The members of a structured list that are strings; its parameters mean nothing. A field that is none is ignored.
fn strings(fields: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let lines: Vec<&[u8]> = fields.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    if lines.is_empty() {
        return Vec::new();
    }
    let list = Parser::parse_list(&lines.join(&b","[..])).unwrap_or_default();
    list.into_iter()
        .filter_map(|member| match member {
            ListEntry::Item(item) => match item.bare_item {
                BareItem::String(group) => Some(group),
                _ => None,
            },
            ListEntry::InnerList(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_to_invalidate_are_the_strings_of_a_structured_list() {
        for (value, expected) in [
            (r#""a", "b c";x=1, token, 5, "" "#, &["a", "b c"][..]),
            (r#""a", "#, &[]),
            ("a, b", &[]),
        ] {
            let mut fields = HeaderMap::new();
            fields.append(
                CACHE_GROUP_INVALIDATION,
                HeaderValue::from_str(value.trim()).unwrap(),
            );
            assert_eq!(invalidated_groups(&fields), expected, "{value}");
        }
    }

    /// Fields as they came.
    type Lines<'a> = &'a [(&'static str, &'a str)];

    fn tags(lines: Lines<'_>) -> Result<Vec<String>, TooMany> {
        let mut fields = HeaderMap::new();
        for (name, value) in lines {
            fields.append(
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        let mut found = Vec::new();
        for_each(&fields, |tag| {
            found.push(String::from_utf8_lossy(tag).into_owned())
        })?;
        Ok(found)
    }

    #[test]
    fn tags_are_read_from_all_three_fields_in_their_own_spelling() {
        let long = "x".repeat(TAG_BYTES_MAX);
        let cases: [(Lines<'_>, &[&str]); 9] = [
            (&[], &[]),
            (&[("surrogate-key", " a  b,c ")], &["a", "b,c"]),
            (
                &[("surrogate-key", "a"), ("surrogate-key", "b\tc")],
                &["a", "b", "c"],
            ),
            (&[("cache-tag", "a, b c ,,d")], &["a", "b c", "d"]),
            (
                &[("cache-groups", r#""a", "b, c";p=1, token, ("inner")"#)],
                &["a", "b, c"],
            ),
            (
                &[("cache-groups", r#""a""#), ("cache-groups", r#""A""#)],
                &["a", "A"],
            ),
            (&[("cache-groups", r#""open"#)], &[]),
            (
                &[
                    ("cache-tag", "a"),
                    ("surrogate-key", "b"),
                    ("cache-groups", r#""c""#),
                ],
                &["b", "a", "c"],
            ),
            (&[("surrogate-key", &long)], &[&long]),
        ];
        for (lines, expected) in cases {
            assert_eq!(tags(lines).unwrap(), expected, "{lines:?}");
        }
    }

    #[test]
    fn more_or_longer_tags_than_are_read_are_said_to_be_too_many() {
        assert_eq!(
            tags(&[("cache-tag", &"a,".repeat(TAGS_MAX))]).unwrap().len(),
            TAGS_MAX
        );
        assert_eq!(tags(&[("cache-tag", &"a,".repeat(TAGS_MAX + 1))]), Err(TooMany));
        assert_eq!(
            tags(&[("surrogate-key", &"a".repeat(TAG_BYTES_MAX + 1))]),
            Err(TooMany)
        );
        let groups = vec![r#""g""#; TAGS_MAX + 1].join(",");
        assert_eq!(tags(&[("cache-groups", &groups)]), Err(TooMany));
    }
}
