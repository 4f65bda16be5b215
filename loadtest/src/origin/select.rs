//! Which part of a representation a request is answered with: conditions and ranges (RFC 9110 §13, §14). Pure.

use std::ops::Range;
use std::time::{Duration, SystemTime};

use http::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE};
use http::{HeaderMap, HeaderName, Method};

/// What conditions are compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Validators {
    /// A strong entity tag, quotes included.
    pub(crate) etag: String,
    /// To the second.
    pub(crate) last_modified: SystemTime,
}

/// What to answer with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// 200 and all of it.
    Whole,
    /// 206 and these bytes.
    Part(Range<u64>),
    /// 304.
    NotModified,
    /// 416.
    Unsatisfiable,
}

/// Decides for a representation of `length` bytes. A `Range` that asks for several parts or cannot be read is ignored,
/// as RFC 9110 §14.2 allows.
pub(crate) fn select(
    method: &Method,
    request: &HeaderMap,
    validators: &Validators,
    length: u64,
) -> Selection {
    if not_modified(request, validators) {
        return Selection::NotModified;
    }
    let range =
        text(request, &RANGE).filter(|_| *method == Method::GET && if_range_holds(request, validators));
    match range.and_then(|range| part(range, length)) {
        None => Selection::Whole,
        Some(part) if part.is_empty() => Selection::Unsatisfiable,
        Some(part) => Selection::Part(part),
    }
}

fn text<'a>(request: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    request.get(name)?.to_str().ok().map(str::trim)
}

fn not_modified(request: &HeaderMap, validators: &Validators) -> bool {
    if request.contains_key(IF_NONE_MATCH) {
        return request
            .get_all(IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == validators.etag);
    }
    date(request, &IF_MODIFIED_SINCE).is_some_and(|since| to_the_second(validators.last_modified) <= since)
}

fn if_range_holds(request: &HeaderMap, validators: &Validators) -> bool {
    match text(request, &IF_RANGE) {
        None => true,
        Some(tag) if tag.starts_with('"') => tag == validators.etag,
        Some(_) => {
            date(request, &IF_RANGE).is_some_and(|date| date == to_the_second(validators.last_modified))
        }
    }
}

fn date(request: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(text(request, name)?).ok()
}

fn to_the_second(time: SystemTime) -> SystemTime {
    let seconds = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// The bytes a single range asks for; empty when there are none of them.
fn part(range: &str, length: u64) -> Option<Range<u64>> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    if first.is_empty() {
        let suffix: u64 = last.parse().ok()?;
        return Some(length.saturating_sub(suffix)..length);
    }
    let first: u64 = first.parse().ok()?;
    let last: u64 = if last.is_empty() {
        u64::MAX
    } else {
        last.parse().ok()?
    };
    if last < first {
        return None;
    }
    Some(if first >= length {
        0..0
    } else {
        first..last.saturating_add(1).min(length)
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn validators() -> Validators {
        Validators {
            etag: "\"a-1\"".to_owned(),
            last_modified: SystemTime::UNIX_EPOCH + Duration::from_millis(784_111_777_500),
        }
    }

    fn selected(fields: &[(HeaderName, &'static str)]) -> Selection {
        let request: HeaderMap = fields
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect();
        select(&Method::GET, &request, &validators(), 1000)
    }

    #[test]
    fn ranges_select_parts() {
        use Selection::{Part, Unsatisfiable, Whole};
        for (range, selection) in [
            ("bytes=0-99", Part(0..100)),
            ("bytes=990-2000", Part(990..1000)),
            ("bytes=5-", Part(5..1000)),
            ("bytes=-10", Part(990..1000)),
            ("bytes=-5000", Part(0..1000)),
            ("bytes=-0", Unsatisfiable),
            ("bytes=1000-", Unsatisfiable),
            ("bytes=9-5", Whole),
            ("bytes=0-1,5-6", Whole),
            ("lines=1-2", Whole),
        ] {
            assert_eq!(selected(&[(RANGE, range)]), selection, "{range}");
        }
    }

    #[test]
    fn conditions_compare_tags_before_dates() {
        use Selection::{NotModified, Whole};
        const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
        const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
        for (fields, selection) in [
            (vec![(IF_NONE_MATCH, "\"a-1\"")], NotModified),
            (vec![(IF_NONE_MATCH, "\"x\", W/\"a-1\"")], NotModified),
            (vec![(IF_NONE_MATCH, "*")], NotModified),
            (vec![(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, SAME)], Whole),
            (vec![(IF_MODIFIED_SINCE, SAME)], NotModified),
            (vec![(IF_MODIFIED_SINCE, EARLIER)], Whole),
            (vec![(IF_MODIFIED_SINCE, "yesterday")], Whole),
        ] {
            assert_eq!(selected(&fields), selection, "{fields:?}");
        }
    }

    #[test]
    fn a_range_counts_only_while_if_range_holds() {
        use Selection::{Part, Whole};
        for (condition, selection) in [
            ("\"a-1\"", Part(0..2)),
            ("\"b\"", Whole),
            ("W/\"a-1\"", Whole),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Part(0..2)),
            ("Sun, 06 Nov 1994 08:49:38 GMT", Whole),
        ] {
            assert_eq!(
                selected(&[(RANGE, "bytes=0-1"), (IF_RANGE, condition)]),
                selection,
                "{condition}"
            );
        }
    }

    #[test]
    fn a_head_request_has_no_range() {
        let request: HeaderMap = [(RANGE, HeaderValue::from_static("bytes=0-1"))]
            .into_iter()
            .collect();
        assert_eq!(
            select(&Method::HEAD, &request, &validators(), 10),
            Selection::Whole
        );
    }
}
