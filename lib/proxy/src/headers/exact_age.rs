//! `Millrace-Age`: an answer's age in milliseconds, told by a parent to the edges of its own CDN.
//!
//! `Age` (RFC 9111 §5.1) has whole seconds; over two tiers that would make an object fresh for a second longer than its
//! rule says. The field goes no farther than from a parent to an edge: neither origins nor clients are believed, and
//! players never see it.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The field's name.
pub const MILLRACE_AGE: HeaderName = HeaderName::from_static("millrace-age");

/// The value for `age`.
#[must_use]
pub fn value(age: Duration) -> HeaderValue {
    HeaderValue::from(u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
}

/// Takes the field out of an answer; its value counts only where it came from a parent.
pub fn take(fields: &mut HeaderMap) -> Option<Duration> {
    let value = fields.remove(MILLRACE_AGE)?;
    value.to_str().ok()?.parse().ok().map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_survives_the_way_and_leaves_nothing_behind() {
        let age = Duration::from_millis(14_932);
        let mut fields = HeaderMap::from_iter([(MILLRACE_AGE, value(age))]);
        assert_eq!(take(&mut fields), Some(age));
        assert!(fields.is_empty());
    }

    #[test]
    fn nonsense_is_taken_out_and_not_believed() {
        for text in ["", "-1", "1.5", "99999999999999999999", "1, 2"] {
            let mut fields = HeaderMap::from_iter([(MILLRACE_AGE, HeaderValue::from_static(text))]);
            assert_eq!(take(&mut fields), None, "{text:?}");
            assert!(fields.is_empty());
        }
    }
}
