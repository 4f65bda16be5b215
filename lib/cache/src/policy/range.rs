//! A single byte range of a request (RFC 9110 §14).

use std::ops::Range;

use http::{HeaderMap, HeaderValue, header};

/// What a `Range` field asks for, before the length is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// From this byte to the end.
    From(u64),
    /// From the first to the last, both included.
    Between(u64, u64),
    /// This many bytes at the end.
    Last(u64),
}

/// What a `Range` field means for a representation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RangeOutcome {
    /// The field is ignored: the whole is sent, 200.
    Whole,
    /// These bytes are sent, 206; never empty and never beyond the length.
    Part(Range<u64>),
    /// There are no such bytes: 416.
    Unsatisfiable,
}

/// The `Range` of a request. It is no list: several lines of it are as good as none.
#[must_use]
pub fn field(request: &HeaderMap) -> Option<&HeaderValue> {
    let mut lines = request.get_all(header::RANGE).iter();
    lines.next().filter(|_| lines.next().is_none())
}

/// What `header` means for a representation of `length` bytes. Several ranges, other units and what cannot be read
/// are ignored (§14.2 allows it).
#[must_use]
pub fn single(header: &HeaderValue, length: u64) -> RangeOutcome {
    asked(header).map_or(RangeOutcome::Whole, |asked| asked.of(length))
}

/// The one range that `header` asks for; `None` where the field is to be ignored.
#[must_use]
pub fn asked(header: &HeaderValue) -> Option<Asked> {
    let (unit, set) = header.to_str().ok()?.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    // A list of one may have empty members (RFC 9110 §5.6.1).
    let range = set.trim_matches([' ', '\t', ',']);
    let (first, last) = range.split_once('-')?;
    match (position(first)?, position(last)?) {
        (Some(first), Some(last)) if first <= last => Some(Asked::Between(first, last)),
        (Some(first), None) => Some(Asked::From(first)),
        (None, Some(suffix)) => Some(Asked::Last(suffix)),
        _ => None,
    }
}

/// Digits, saturating, as `Some(Some(_))`; nothing as `Some(None)`; anything else is `None`.
fn position(digits: &str) -> Option<Option<u64>> {
    if digits.is_empty() {
        return Some(None);
    }
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(Some(digits.parse().unwrap_or(u64::MAX)))
}

impl Asked {
    /// What it means for a representation of `length` bytes (§14.1.2).
    #[must_use]
    pub fn of(self, length: u64) -> RangeOutcome {
        match self {
            Asked::Last(0) => RangeOutcome::Unsatisfiable,
            // Satisfiable, but Content-Range cannot say "no byte": the (empty) whole is sent.
            Asked::Last(_) if length == 0 => RangeOutcome::Whole,
            Asked::Last(suffix) => RangeOutcome::Part(length.saturating_sub(suffix)..length),
            Asked::From(first) | Asked::Between(first, _) if first >= length => RangeOutcome::Unsatisfiable,
            Asked::From(first) => RangeOutcome::Part(first..length),
            Asked::Between(first, last) => RangeOutcome::Part(first..last.saturating_add(1).min(length)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 9110 §14.1.2, §14.2.
    #[test]
    fn a_range_is_a_part_the_whole_or_nothing() {
        use RangeOutcome::{Part, Unsatisfiable, Whole};
        for (header, outcome) in [
            ("bytes=0-499", Part(0..500)),
            ("bytes=500-999", Part(500..1000)),
            ("bytes=0-0", Part(0..1)),
            ("bytes=999-999", Part(999..1000)),
            ("bytes=500-", Part(500..1000)),
            ("bytes=0-", Part(0..1000)),
            ("bytes=500-2000", Part(500..1000)),
            ("bytes=500-18446744073709551615", Part(500..1000)),
            ("bytes=500-99999999999999999999999", Part(500..1000)),
            ("bytes=-500", Part(500..1000)),
            ("bytes=-1", Part(999..1000)),
            ("bytes=-2000", Part(0..1000)),
            ("Bytes=0-499", Part(0..500)),
            ("bytes= ,0-499, ", Part(0..500)),
            ("bytes=-0", Unsatisfiable),
            ("bytes=1000-", Unsatisfiable),
            ("bytes=1000-1001", Unsatisfiable),
            ("bytes=99999999999999999999999-", Unsatisfiable),
            ("bytes=0-1,5-6", Whole),
            ("bytes=5-4", Whole),
            ("bytes=-", Whole),
            ("bytes=", Whole),
            ("bytes", Whole),
            ("", Whole),
            ("bytes=a-b", Whole),
            ("bytes=1-2-3", Whole),
            ("bytes=+1-2", Whole),
            ("bytes=1 - 2", Whole),
            ("bytes =1-2", Whole),
            ("seconds=0-499", Whole),
        ] {
            assert_eq!(
                single(&HeaderValue::from_static(header), 1000),
                outcome,
                "{header}"
            );
        }
    }

    #[test]
    fn several_lines_are_none() {
        let mut request = HeaderMap::new();
        assert_eq!(field(&request), None);
        request.append(header::RANGE, HeaderValue::from_static("bytes=0-1"));
        assert!(field(&request).is_some());
        request.append(header::RANGE, HeaderValue::from_static("bytes=0-1"));
        assert_eq!(field(&request), None);
    }

    #[test]
    fn nothing_has_no_parts() {
        for (header, outcome) in [
            ("bytes=0-0", RangeOutcome::Unsatisfiable),
            ("bytes=0-", RangeOutcome::Unsatisfiable),
            ("bytes=-0", RangeOutcome::Unsatisfiable),
            ("bytes=-5", RangeOutcome::Whole),
        ] {
            assert_eq!(single(&HeaderValue::from_static(header), 0), outcome, "{header}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>, length: u64) {
            if let Ok(header) = HeaderValue::from_bytes(&bytes) {
                let _ = single(&header, length);
            }
        }

        #[test]
        fn a_part_is_never_empty_and_never_out_of_bounds(first: u64, last: Option<u64>, length: u64, suffix: bool) {
            let last = last.map_or(String::new(), |last| last.to_string());
            let first = if suffix { String::new() } else { first.to_string() };
            let header = HeaderValue::try_from(format!("bytes={first}-{last}")).expect("legal in a header");
            if let RangeOutcome::Part(part) = single(&header, length) {
                prop_assert!(part.start < part.end && part.end <= length);
            }
        }
    }
}
