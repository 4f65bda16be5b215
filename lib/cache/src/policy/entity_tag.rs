//! Entity tags and how they compare (RFC 9110 §8.8.3).

/// `"opaque"` or `W/"opaque"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntityTag<'a> {
    weak: bool,
    opaque: &'a [u8],
}

impl<'a> EntityTag<'a> {
    /// The tag that `text` is, if it is one and nothing more.
    pub(crate) fn parse(text: &'a [u8]) -> Option<EntityTag<'a>> {
        let (tag, rest) = EntityTag::split(text)?;
        rest.is_empty().then_some(tag)
    }

    /// The tag that `text` begins with, and what follows.
    fn split(text: &'a [u8]) -> Option<(EntityTag<'a>, &'a [u8])> {
        let (weak, quoted) = match text.strip_prefix(b"W/") {
            Some(quoted) => (true, quoted),
            None => (false, text),
        };
        let inner = quoted.strip_prefix(b"\"")?;
        let end = inner.iter().position(|byte| *byte == b'"')?;
        // etagc: no control bytes and no blanks. There is no escape: a backslash stands for itself.
        let legal = inner[..end].iter().all(|byte| *byte > b' ' && *byte != 0x7f);
        legal.then_some((
            EntityTag {
                weak,
                opaque: &inner[..end],
            },
            &inner[end + 1..],
        ))
    }

    /// Byte for byte the same representation (§8.8.3.2): neither is weak.
    pub(crate) fn matches_strongly(self, other: EntityTag<'_>) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// As good as the same (§8.8.3.2).
    pub(crate) fn matches_weakly(self, other: EntityTag<'_>) -> bool {
        self.opaque == other.opaque
    }

    /// Whether it says byte for byte.
    pub(crate) fn is_strong(self) -> bool {
        !self.weak
    }
}

/// The tags of a list; ends at the first thing that is none.
pub(crate) fn tags(list: &[u8]) -> impl Iterator<Item = EntityTag<'_>> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let start = rest
            .iter()
            .position(|byte| !matches!(byte, b' ' | b'\t' | b','))?;
        let (tag, after) = EntityTag::split(&rest[start..])?;
        let next = after.trim_ascii_start();
        // Two tags without a comma between them are no list.
        rest = if next.is_empty() || next[0] == b',' {
            next
        } else {
            &[]
        };
        Some(tag)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_tag_is_quoted_and_may_be_weak() {
        for (text, found) in [
            ("\"abc\"", Some((false, "abc"))),
            ("W/\"abc\"", Some((true, "abc"))),
            ("\"\"", Some((false, ""))),
            ("\"a,b\\\"", Some((false, "a,b\\"))),
            ("\"\u{f6}\"", Some((false, "\u{f6}"))),
            ("abc", None),
            ("w/\"abc\"", None),
            ("W/ \"abc\"", None),
            ("\"abc", None),
            ("\"a b\"", None),
            ("\"abc\" ", None),
            ("", None),
        ] {
            let tag = EntityTag::parse(text.as_bytes()).map(|tag| (tag.weak, tag.opaque));
            assert_eq!(
                tag,
                found.map(|(weak, opaque)| (weak, opaque.as_bytes())),
                "{text}"
            );
        }
    }

    /// The table of RFC 9110 §8.8.3.2.
    #[test]
    fn tags_compare_as_in_the_rfcs_table() {
        for (left, right, strong, weak) in [
            ("W/\"1\"", "W/\"1\"", false, true),
            ("W/\"1\"", "W/\"2\"", false, false),
            ("W/\"1\"", "\"1\"", false, true),
            ("\"1\"", "\"1\"", true, true),
        ] {
            let tag = |text: &'static str| EntityTag::parse(text.as_bytes()).expect("a tag");
            assert_eq!(tag(left).matches_strongly(tag(right)), strong, "{left} {right}");
            assert_eq!(tag(left).matches_weakly(tag(right)), weak, "{left} {right}");
        }
    }

    #[test]
    fn a_list_is_read_up_to_what_is_no_tag() {
        for (list, count) in [
            ("\"a\"", 1),
            (" , \"a\" ,W/\"b,c\"\t,, \"d\",", 3),
            ("\"a\" \"b\"", 1),
            ("\"a\", b, \"c\"", 1),
            ("*", 0),
            ("", 0),
        ] {
            assert_eq!(tags(list.as_bytes()).count(), count, "{list}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic_or_run_for_ever(list: Vec<u8>) {
            prop_assert!(tags(&list).count() <= list.len());
        }
    }
}
