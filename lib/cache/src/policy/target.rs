//! What is asked for, in one spelling: the normalised path and the query parameters that count.
//!
//! The same text goes upstream and into the cache key, so that what is stored under a key is always the answer to
//! that key, however a client spelt it and whatever it added.

use std::fmt;

use http::StatusCode;
use model::service::{ContentId, QueryKey};

use super::escape::{Part, plain_length, push_normal};

/// The longest target, in its normal form. Front doors bound request heads by more than this; keys are kept in RAM
/// and in one record on disk each, which need a bound of their own.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;

/// The most query parameters of a target; they are sorted at each request.
pub const PARAMETERS_MAX: usize = 128;

/// A normalised path and query, such as `/demo/master.m3u8?_HLS_msn=5&quality=hd`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    text: String,
    path_length: usize,
}

/// Why a target is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetError {
    /// It does not begin with `/`.
    NotAPath,
    /// A segment of the path is `.` or `..`, however encoded.
    DotSegment,
    /// A `%` without two hexadecimal digits.
    Escape,
    /// A control byte or blank, or an escaped control byte in the path.
    ControlByte,
    /// It has a `#`.
    Fragment,
    /// More than [`TARGET_BYTES_MAX`].
    TooLong,
    /// More than [`PARAMETERS_MAX`].
    TooManyParameters,
}

impl TargetError {
    /// The status to answer with.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            TargetError::TooLong => StatusCode::URI_TOO_LONG,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TargetError::NotAPath => f.write_str("the target does not begin with a slash"),
            TargetError::DotSegment => f.write_str("the path has a segment of one or two dots"),
            TargetError::Escape => f.write_str("a percent sign is not followed by two hexadecimal digits"),
            TargetError::ControlByte => f.write_str("the target has a control byte or a blank"),
            TargetError::Fragment => f.write_str("the target has a fragment"),
            TargetError::TooLong => write!(f, "the target is longer than {TARGET_BYTES_MAX} bytes"),
            TargetError::TooManyParameters => {
                write!(f, "the target has more than {PARAMETERS_MAX} query parameters")
            }
        }
    }
}

impl std::error::Error for TargetError {}

impl Target {
    /// Reads the path and query of a request and keeps of the query what counts for the service, sorted by name
    /// (parameters of one name keep their order).
    ///
    /// A path that is normal already, without a query, costs one allocation.
    ///
    /// # Errors
    ///
    /// [`TargetError`]; the request is answered with [`TargetError::status`] and goes no further.
    pub fn parse(path_and_query: &str, query: &QueryKey) -> Result<Target, TargetError> {
        if path_and_query.len() > TARGET_BYTES_MAX {
            return Err(TargetError::TooLong);
        }
        let (path, raw_query) = match path_and_query.split_once('?') {
            Some((path, raw_query)) => (path, Some(raw_query)),
            None => (path_and_query, None),
        };
        if !path.starts_with('/') {
            return Err(TargetError::NotAPath);
        }
        let mut text = String::with_capacity(path_and_query.len());
        let plain = plain_length(path.as_bytes());
        text.push_str(&path[..plain]);
        push_normal(&mut text, &path[plain..], Part::Path)?;
        if has_dot_segment(&text) {
            return Err(TargetError::DotSegment);
        }
        let path_length = text.len();
        if let Some(raw_query) = raw_query {
            push_query(&mut text, raw_query, query)?;
        }
        if text.len() > TARGET_BYTES_MAX {
            return Err(TargetError::TooLong);
        }
        Ok(Target { text, path_length })
    }

    /// Path and query: what goes upstream and into the key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The path alone.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.text[..self.path_length]
    }

    /// The content id, as the service says it is taken from the path; `None` where the path has no such segment or it
    /// is empty.
    #[must_use]
    pub fn content_id(&self, rule: &ContentId) -> Option<&str> {
        self.path()
            .split('/')
            .skip(1)
            .nth(rule.path_segment)
            .filter(|segment| !segment.is_empty())
    }
}

impl AsRef<str> for Target {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether some server might take a segment of a normalised path for `.` or `..`: slashes and backslashes count bare
/// or escaped, and what follows a `;` (parameters of a segment, RFC 3986 §3.3) does not count.
fn has_dot_segment(path: &str) -> bool {
    // Every such segment begins with a dot that follows a separator, or the path's first slash: no dot, no search.
    let bytes = path.as_bytes();
    bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'.')
        .any(|(at, _)| {
            let begins =
                bytes[..at].ends_with(b"/") || bytes[..at].ends_with(b"%2F") || bytes[..at].ends_with(b"%5C");
            let rest = &bytes[at + 1..];
            let rest = rest.strip_prefix(b".").unwrap_or(rest);
            let ends = rest.is_empty()
                || [&b"/"[..], b"%2F", b"%5C", b";", b"%3B"]
                    .iter()
                    .any(|separator| rest.starts_with(separator));
            begins && ends
        })
}

/// Appends `?` and the parameters that count, if there are any.
fn push_query(text: &mut String, raw_query: &str, query: &QueryKey) -> Result<(), TargetError> {
    let mut normal = String::with_capacity(raw_query.len());
    push_normal(&mut normal, raw_query, Part::Query)?;
    let mut parameters = Vec::new();
    for parameter in normal.split('&').filter(|parameter| !parameter.is_empty()) {
        if parameters.len() == PARAMETERS_MAX {
            return Err(TargetError::TooManyParameters);
        }
        let name = parameter.split_once('=').map_or(parameter, |(name, _)| name);
        if counts(name, query) {
            parameters.push((name, parameter));
        }
    }
    parameters.sort_by_key(|(name, _)| *name);
    for (nth, (_, parameter)) in parameters.iter().enumerate() {
        text.push(if nth == 0 { '?' } else { '&' });
        text.push_str(parameter);
    }
    Ok(())
}

/// Whether a parameter tells one object from another. Delivery directives of low-latency HLS always do (RFC 8216bis
/// §6.2.5), player metrics never (CTA-5004).
fn counts(name: &str, query: &QueryKey) -> bool {
    if name == "CMCD" {
        return false;
    }
    if name.starts_with("_HLS_") {
        return true;
    }
    match query {
        QueryKey::AllBut(names) => !names.iter().any(|listed| listed == name),
        QueryKey::Only(names) => names.iter().any(|listed| listed == name),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<String, TargetError> {
        Target::parse(text, &QueryKey::default()).map(|target| target.text)
    }

    #[test]
    fn every_spelling_of_a_path_comes_to_one() {
        for (raw, normal) in [
            ("/", "/"),
            ("/demo/master.m3u8", "/demo/master.m3u8"),
            ("/%64emo/master%2Em3u8", "/demo/master.m3u8"),
            ("/a%2fb", "/a%2Fb"),
            ("/a%2Fb", "/a%2Fb"),
            ("/a/b", "/a/b"),
            ("/a%252fb", "/a%252fb"),
            ("/%7euser", "/~user"),
            ("/a b".replace(' ', "%20").as_str(), "/a%20b"),
            ("/f\u{f6}\u{f6}", "/f%C3%B6%C3%B6"),
            ("/f%c3%b6", "/f%C3%B6"),
            ("/a\\b", "/a%5Cb"),
            ("/a|b[c]", "/a%7Cb%5Bc%5D"),
            ("/a!$&'()*+,;=:@b", "/a!$&'()*+,;=:@b"),
            ("/a%21", "/a%21"),
            ("//a//b/", "//a//b/"),
            ("/...", "/..."),
            ("/.well-known/a..b/c.", "/.well-known/a..b/c."),
            ("/a?", "/a"),
            ("/a?&&", "/a"),
        ] {
            assert_eq!(parse(raw).as_deref(), Ok(normal), "{raw}");
        }
    }

    #[test]
    fn what_could_mean_another_path_elsewhere_is_refused() {
        for (raw, error) in [
            ("", TargetError::NotAPath),
            ("*", TargetError::NotAPath),
            ("a/b", TargetError::NotAPath),
            ("http://other.example/", TargetError::NotAPath),
            ("?a=1", TargetError::NotAPath),
            ("/.", TargetError::DotSegment),
            ("/..", TargetError::DotSegment),
            ("/../etc/passwd", TargetError::DotSegment),
            ("/a/./b", TargetError::DotSegment),
            ("/a/../b", TargetError::DotSegment),
            ("/a/..?b", TargetError::DotSegment),
            ("/a/%2e%2E/b", TargetError::DotSegment),
            ("/a/.%2e", TargetError::DotSegment),
            ("/a%2f..%2fb", TargetError::DotSegment),
            ("/a%5c..%5cb", TargetError::DotSegment),
            ("/a\\..\\b", TargetError::DotSegment),
            ("/a/..\\b", TargetError::DotSegment),
            ("/a/..;x=1/b", TargetError::DotSegment),
            ("/a/..%3bx/b", TargetError::DotSegment),
            ("/a%", TargetError::Escape),
            ("/a%2", TargetError::Escape),
            ("/a%2g", TargetError::Escape),
            ("/a%\u{f6}", TargetError::Escape),
            ("/a?b=%", TargetError::Escape),
            ("/a%00", TargetError::ControlByte),
            ("/a%0d%0aX:1", TargetError::ControlByte),
            ("/a%7F", TargetError::ControlByte),
            ("/a\u{0}", TargetError::ControlByte),
            ("/a\r\n", TargetError::ControlByte),
            ("/a b", TargetError::ControlByte),
            ("/a?b=c d", TargetError::ControlByte),
            ("/a#b", TargetError::Fragment),
            ("/a?b#c", TargetError::Fragment),
        ] {
            assert_eq!(parse(raw), Err(error), "{raw:?}");
            assert_eq!(error.status(), StatusCode::BAD_REQUEST);
        }
    }

    #[test]
    fn the_parameters_that_count_are_kept_in_one_order() {
        let all = QueryKey::AllBut(vec!["token".to_owned()]);
        let only = QueryKey::Only(vec!["quality".to_owned()]);
        let none = QueryKey::Only(Vec::new());
        for (raw, query, normal) in [
            ("/a?b=2&a=1", &all, "/a?a=1&b=2"),
            ("/a?b=2&a=1&b=1&a=2", &all, "/a?a=1&a=2&b=2&b=1"),
            ("/a?token=x", &all, "/a"),
            ("/a?token=x&b=1&token", &all, "/a?b=1"),
            ("/a?to%6ben=x&b=%31", &all, "/a?b=1"),
            ("/a?Token=x", &all, "/a?Token=x"),
            ("/a?tokens=x", &all, "/a?tokens=x"),
            ("/a?CMCD=br%3D3200", &all, "/a"),
            ("/a?b=1&c=2", &none, "/a"),
            ("/a?b=1&quality=hd&token=x", &only, "/a?quality=hd"),
            (
                "/a?_HLS_part=1&_HLS_msn=5&b=1",
                &only,
                "/a?_HLS_msn=5&_HLS_part=1",
            ),
            ("/a?_HLS_skip=YES", &none, "/a?_HLS_skip=YES"),
            ("/a?b", &all, "/a?b"),
            ("/a?b=", &all, "/a?b="),
            ("/a?b=c=d?e/f", &all, "/a?b=c=d?e/f"),
            ("/a?b=%0A%26%3d", &all, "/a?b=%0A%26%3D"),
            ("/a?b=../..", &all, "/a?b=../.."),
            ("/a?&b=1&&", &all, "/a?b=1"),
        ] {
            let target = Target::parse(raw, query).expect(raw);
            assert_eq!(target.as_str(), normal, "{raw}");
            assert_eq!(target.path(), "/a", "{raw}");
        }
    }

    #[test]
    fn the_directives_of_low_latency_hls_cannot_be_left_out() {
        let query = QueryKey::AllBut(vec!["_HLS_msn".to_owned()]);
        assert_eq!(
            Target::parse("/a?_HLS_msn=5", &query).expect("legal").as_str(),
            "/a?_HLS_msn=5"
        );
    }

    #[test]
    fn length_and_number_of_parameters_are_bounded() {
        let longest = format!("/{}", "a".repeat(TARGET_BYTES_MAX - 1));
        assert_eq!(parse(&longest), Ok(longest.clone()));
        assert_eq!(parse(&format!("{longest}a")), Err(TargetError::TooLong));
        // Short as it came, too long once escaped.
        assert_eq!(
            parse(&format!("/{}", "|".repeat(TARGET_BYTES_MAX / 2))),
            Err(TargetError::TooLong)
        );
        assert_eq!(TargetError::TooLong.status(), StatusCode::URI_TOO_LONG);
        let most = format!("/?{}", vec!["a=1"; PARAMETERS_MAX].join("&"));
        assert_eq!(parse(&most), Ok(most.clone()));
        assert_eq!(parse(&format!("{most}&a=1")), Err(TargetError::TooManyParameters));
    }

    #[test]
    fn the_content_id_is_a_segment_of_the_path() {
        for (path, segment, id) in [
            ("/demo/master.m3u8", 0, Some("demo")),
            ("/demo/master.m3u8", 1, Some("master.m3u8")),
            ("/demo/master.m3u8", 2, None),
            ("/demo?x=/y/z", 1, None),
            ("/", 0, None),
            ("//demo", 0, None),
            ("//demo", 1, Some("demo")),
        ] {
            let target = Target::parse(path, &QueryKey::default()).expect(path);
            assert_eq!(
                target.content_id(&ContentId {
                    path_segment: segment
                }),
                id,
                "{path} {segment}"
            );
        }
    }

    #[test]
    fn a_normal_path_is_copied_once_and_fits_exactly() {
        let target = Target::parse("/demo/v0/segment-1.m4s", &QueryKey::default()).expect("legal");
        assert_eq!(target.text.capacity(), target.text.len());
    }

    proptest! {
        #[test]
        fn a_target_reads_as_itself(raw in "/[ -~\u{e0}-\u{ff}]{0,60}|/[a-z./\\\\%25eEfF?&=;]{0,40}|\\PC{0,40}") {
            if let Ok(target) = Target::parse(&raw, &QueryKey::default()) {
                let again = Target::parse(target.as_str(), &QueryKey::default());
                prop_assert_eq!(again, Ok(target));
            }
        }

        #[test]
        fn a_target_is_plain_text_without_dot_segments(raw in "/[a-z./\\\\%25eEfF?&=;]{0,40}") {
            if let Ok(target) = Target::parse(&raw, &QueryKey::default()) {
                prop_assert!(target.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
                let path = target.path().to_ascii_lowercase().replace("%2f", "/").replace("%5c", "/");
                prop_assert!(path.split('/').all(|segment| segment != "." && segment != ".."), "{}", path);
            }
        }

        #[test]
        fn the_order_of_parameters_does_not_matter(
            parameters in prop::collection::btree_map("[a-z]{1,4}", "[a-z0-9]{0,4}", 1..8),
        ) {
            let join = |parameters: Vec<String>| format!("/a?{}", parameters.join("&"));
            let listed: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let reversed = listed.iter().rev().cloned().collect();
            prop_assert_eq!(parse(&join(listed)), parse(&join(reversed)));
        }
    }
}
