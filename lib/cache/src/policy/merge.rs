//! What a 304 changes of the stored response it confirms (RFC 9111 §3.2, §4.3.4).

use http::{HeaderMap, HeaderName, header};

use super::fields::storable_fields;

/// Fields of a 304 that do not replace those stored: they say how the stored bytes are to be read (RFC 9111 §3.2), or
/// are for the one client whose request went upstream. `Content-Type` is not among them: what the bytes are taken for
/// may be put right without sending them again.
const KEPT_AS_STORED: [HeaderName; 4] = [
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::SET_COOKIE,
];

/// The fields of the stored response after a 304: each field that the 304 has replaces all stored ones of that name.
///
/// For [`judge`](super::verdict::judge), the 304's own `Age` is among them, and a `Date` is only there where the 304
/// brought one, since the stored one tells of an older response. What is stored in the end is
/// [`storable_fields`] of it, with [`add_missing_date`](super::age::add_missing_date).
#[must_use]
pub fn merge_304(stored: &HeaderMap, fresh: &HeaderMap) -> HeaderMap {
    let mut merged = stored.clone();
    merged.remove(header::AGE);
    merged.remove(header::DATE);
    let mut updates = storable_fields(fresh);
    for name in KEPT_AS_STORED {
        updates.remove(name);
    }
    for name in updates.keys() {
        merged.remove(name);
    }
    for (name, value) in &updates {
        merged.append(name.clone(), value.clone());
    }
    if let Some(age) = fresh.get(header::AGE) {
        merged.insert(header::AGE, age.clone());
    }
    merged
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in lines {
            fields.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        fields
    }

    /// RFC 9111 §3.2.
    #[test]
    fn a_304_replaces_what_it_names_and_nothing_that_the_bytes_are_read_by() {
        let stored = fields(&[
            ("cache-control", "max-age=15"),
            ("cache-control", "public"),
            ("content-length", "100"),
            ("content-type", "video/mp4"),
            ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("etag", "\"a\""),
            ("x-stays", "1"),
        ]);
        let fresh = fields(&[
            ("age", "3"),
            ("cache-control", "max-age=30"),
            ("connection", "x-hop"),
            ("content-encoding", "gzip"),
            ("content-length", "0"),
            ("content-range", "bytes 0-1/2"),
            ("content-type", "text/html"),
            ("date", "Sun, 06 Nov 1994 08:50:00 GMT"),
            ("set-cookie", "user=1"),
            ("x-hop", "1"),
            ("x-new", "1"),
            ("x-new", "2"),
        ]);
        let merged = fields(&[
            ("age", "3"),
            ("cache-control", "max-age=30"),
            ("content-length", "100"),
            ("content-type", "text/html"),
            ("date", "Sun, 06 Nov 1994 08:50:00 GMT"),
            ("etag", "\"a\""),
            ("x-new", "1"),
            ("x-new", "2"),
            ("x-stays", "1"),
        ]);
        assert_eq!(merge_304(&stored, &fresh), merged);
    }

    /// RFC 9110 §6.6.1: the stored date would make the renewed response as old as the first.
    #[test]
    fn a_304_without_a_date_leaves_none() {
        let stored = fields(&[("date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("etag", "\"a\"")]);
        assert_eq!(
            merge_304(&stored, &HeaderMap::new()),
            fields(&[("etag", "\"a\"")])
        );
    }
}
