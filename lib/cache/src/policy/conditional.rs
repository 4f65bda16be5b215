//! Conditions of requests, and the conditions under which a stored response is renewed (RFC 9110 §13, RFC 9111 §4.3).

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::{
    age::{date, date_of},
    entity_tag::{EntityTag, tags},
};

/// What a request's conditions make of a stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is sent.
    Serve,
    /// The client has it: 304, without a body.
    NotModified,
}

/// Evaluates the conditions of a request against the fields of a stored response of status 200 (for other statuses
/// they are ignored, RFC 9110 §13.2.1).
///
/// `If-Match` and `If-Unmodified-Since` are for origins alone: a cache does not evaluate them (RFC 9111 §4.3.2).
#[must_use]
pub fn precondition(request: &HeaderMap, fields: &HeaderMap, method: &Method) -> Outcome {
    if *method != Method::GET && *method != Method::HEAD {
        return Outcome::Serve;
    }
    let not_modified = if request.contains_key(header::IF_NONE_MATCH) {
        none_match_fails(request, fields)
    } else {
        is_unmodified_since(request, fields)
    };
    if not_modified {
        Outcome::NotModified
    } else {
        Outcome::Serve
    }
}

/// RFC 9110 §13.1.2: `*`, or a tag that matches weakly.
fn none_match_fails(request: &HeaderMap, fields: &HeaderMap) -> bool {
    let stored = entity_tag(fields);
    request
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .map(HeaderValue::as_bytes)
        .any(|list| {
            list.trim_ascii() == b"*"
                || stored.is_some_and(|stored| tags(list).any(|tag| tag.matches_weakly(stored)))
        })
}

/// RFC 9110 §13.1.3, and RFC 9111 §4.3.2 for a response without `Last-Modified`: its `Date` stands in.
/// Several lines are no date.
fn is_unmodified_since(request: &HeaderMap, fields: &HeaderMap) -> bool {
    let modified = date_of(fields, header::LAST_MODIFIED).or_else(|| date_of(fields, header::DATE));
    let mut lines = request.get_all(header::IF_MODIFIED_SINCE).iter();
    let since = lines.next().filter(|_| lines.next().is_none()).and_then(date);
    match (modified, since) {
        (Some(modified), Some(since)) => modified <= since,
        _ => false,
    }
}

/// Whether a request's `Range` holds for a stored response: there is no `If-Range`, or it names that very
/// representation (RFC 9110 §13.1.5). When it does not hold, the whole is sent.
#[must_use]
pub fn if_range_matches(request: &HeaderMap, fields: &HeaderMap) -> bool {
    let mut conditions = request.get_all(header::IF_RANGE).iter();
    match (conditions.next(), conditions.next()) {
        (None, _) => true,
        (Some(_), Some(_)) => false,
        (Some(condition), None) => match EntityTag::parse(condition.as_bytes()) {
            Some(tag) => entity_tag(fields).is_some_and(|stored| tag.matches_strongly(stored)),
            None => is_strong_date(condition, fields),
        },
    }
}

/// Whether `condition` is exactly the stored `Last-Modified`, and that is a strong validator: at least a second
/// before `Date` (RFC 9110 §8.8.2.2).
fn is_strong_date(condition: &HeaderValue, fields: &HeaderMap) -> bool {
    match (
        date(condition),
        date_of(fields, header::LAST_MODIFIED),
        date_of(fields, header::DATE),
    ) {
        (Some(condition), Some(modified), Some(generated)) => condition == modified && modified < generated,
        _ => false,
    }
}

/// The conditions to send upstream so that it may answer 304 for a stored response (RFC 9111 §4.3.1); none when it
/// has no validator and must be fetched anew.
#[must_use]
pub fn revalidation_fields(fields: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let tag = fields
        .get(header::ETAG)
        .map(|tag| (header::IF_NONE_MATCH, tag.clone()));
    let date = fields
        .get(header::LAST_MODIFIED)
        .map(|date| (header::IF_MODIFIED_SINCE, date.clone()));
    tag.into_iter().chain(date).collect()
}

/// Whether a 304 speaks of the stored response that was asked about (RFC 9111 §4.3.4, §4.3.3). One that names
/// another is no answer: what is stored must be fetched anew.
#[must_use]
pub fn confirms(not_modified: &HeaderMap, stored: &HeaderMap) -> bool {
    match entity_tag(not_modified) {
        Some(tag) if tag.is_strong() => entity_tag(stored).is_some_and(|stored| tag.matches_strongly(stored)),
        Some(tag) => entity_tag(stored).is_some_and(|stored| tag.matches_weakly(stored)),
        None => match (
            date_of(not_modified, header::LAST_MODIFIED),
            date_of(stored, header::LAST_MODIFIED),
        ) {
            (Some(named), Some(stored)) => named == stored,
            _ => true,
        },
    }
}

/// Whether two responses to one key have the same bytes, as far as their origin tells by strong validators
/// (RFC 9110 §8.8): the second can then go on where the first broke off.
#[must_use]
pub fn is_same_representation(first: &HeaderMap, second: &HeaderMap) -> bool {
    match (entity_tag(first), entity_tag(second)) {
        (Some(first), Some(second)) => first.matches_strongly(second),
        (None, None) => first
            .get(header::LAST_MODIFIED)
            .is_some_and(|modified| is_strong_date(modified, first) && is_strong_date(modified, second)),
        _ => false,
    }
}

fn entity_tag(fields: &HeaderMap) -> Option<EntityTag<'_>> {
    fields
        .get(header::ETAG)
        .and_then(|tag| EntityTag::parse(tag.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn fields(lines: &[(HeaderName, &'static str)]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in lines {
            fields.append(name.clone(), HeaderValue::from_static(value));
        }
        fields
    }

    fn stored() -> HeaderMap {
        fields(&[
            (header::ETAG, "\"a\""),
            (header::LAST_MODIFIED, MODIFIED),
            (header::DATE, LATER),
        ])
    }

    /// RFC 9110 §13.1.2, §13.1.3, §13.2.2.
    /// RFC 9110 §8.8.2, §8.8.3.
    #[test]
    fn only_strong_validators_prove_that_two_responses_have_the_same_bytes() {
        let dated = |modified| fields(&[(header::LAST_MODIFIED, modified), (header::DATE, LATER)]);
        for (first, second, same) in [
            (
                fields(&[(header::ETAG, "\"a\"")]),
                fields(&[(header::ETAG, "\"a\"")]),
                true,
            ),
            (
                fields(&[(header::ETAG, "\"a\"")]),
                fields(&[(header::ETAG, "\"b\"")]),
                false,
            ),
            (
                fields(&[(header::ETAG, "W/\"a\"")]),
                fields(&[(header::ETAG, "W/\"a\"")]),
                false,
            ),
            (fields(&[(header::ETAG, "\"a\"")]), dated(EARLIER), false),
            (dated(EARLIER), dated(EARLIER), true),
            (dated(LATER), dated(LATER), false),
            (fields(&[]), fields(&[]), false),
        ] {
            assert_eq!(
                is_same_representation(&first, &second),
                same,
                "{first:?} {second:?}"
            );
        }
    }

    #[test]
    fn a_client_that_has_it_gets_304() {
        use Outcome::{NotModified, Serve};
        let none_match = header::IF_NONE_MATCH;
        let since = header::IF_MODIFIED_SINCE;
        let table: [(&[(HeaderName, &'static str)], Outcome); 15] = [
            (&[], Serve),
            (&[(since.clone(), LATER), (since.clone(), LATER)], Serve),
            (&[(none_match.clone(), "\"a\"")], NotModified),
            (&[(none_match.clone(), "W/\"a\"")], NotModified),
            (&[(none_match.clone(), "\"b\", \"a\"")], NotModified),
            (
                &[(none_match.clone(), "\"b\""), (none_match.clone(), "\"a\"")],
                NotModified,
            ),
            (&[(none_match.clone(), "*")], NotModified),
            (&[(none_match.clone(), "\"b\"")], Serve),
            (&[(none_match.clone(), "a")], Serve),
            (&[(since.clone(), MODIFIED)], NotModified),
            (&[(since.clone(), LATER)], NotModified),
            (&[(since.clone(), EARLIER)], Serve),
            (&[(since.clone(), "yesterday")], Serve),
            // §13.1.3: ignored beside If-None-Match.
            (&[(none_match, "\"b\""), (since, LATER)], Serve),
            // RFC 9111 §4.3.2: not for caches.
            (
                &[
                    (header::IF_MATCH, "\"b\""),
                    (header::IF_UNMODIFIED_SINCE, EARLIER),
                ],
                Serve,
            ),
        ];
        for (request, outcome) in table {
            for method in [Method::GET, Method::HEAD] {
                assert_eq!(
                    precondition(&fields(request), &stored(), &method),
                    outcome,
                    "{method} {request:?}"
                );
            }
            assert_eq!(
                precondition(&fields(request), &stored(), &Method::POST),
                Serve,
                "{request:?}"
            );
        }
    }

    /// RFC 9111 §4.3.2.
    #[test]
    fn without_last_modified_the_date_stands_in() {
        let dated = fields(&[(header::DATE, MODIFIED)]);
        for (since, outcome) in [(MODIFIED, Outcome::NotModified), (EARLIER, Outcome::Serve)] {
            let request = fields(&[(header::IF_MODIFIED_SINCE, since)]);
            assert_eq!(precondition(&request, &dated, &Method::GET), outcome);
            assert_eq!(
                precondition(&request, &HeaderMap::new(), &Method::GET),
                Outcome::Serve
            );
        }
    }

    #[test]
    fn a_response_without_a_tag_matches_only_a_star() {
        let untagged = fields(&[(header::LAST_MODIFIED, MODIFIED)]);
        for (condition, outcome) in [("\"a\"", Outcome::Serve), ("*", Outcome::NotModified)] {
            let request = fields(&[(header::IF_NONE_MATCH, condition)]);
            assert_eq!(precondition(&request, &untagged, &Method::GET), outcome);
        }
    }

    /// RFC 9110 §13.1.5, §8.8.2.2.
    #[test]
    fn a_range_holds_only_for_the_very_representation_it_names() {
        let weak = fields(&[(header::ETAG, "W/\"a\"")]);
        let just_modified = fields(&[(header::LAST_MODIFIED, MODIFIED), (header::DATE, MODIFIED)]);
        let undated = fields(&[(header::LAST_MODIFIED, MODIFIED)]);
        for (condition, stored, holds) in [
            (None, stored(), true),
            (Some("\"a\""), stored(), true),
            (Some("\"b\""), stored(), false),
            (Some("W/\"a\""), stored(), false),
            (Some("\"a\""), weak.clone(), false),
            (Some("W/\"a\""), weak, false),
            (Some(MODIFIED), stored(), true),
            (Some(EARLIER), stored(), false),
            (Some(LATER), stored(), false),
            (Some(MODIFIED), just_modified, false),
            (Some(MODIFIED), undated, false),
            (Some("\"a\", \"b\""), stored(), false),
            (Some("a"), stored(), false),
            (Some("\"a\""), HeaderMap::new(), false),
        ] {
            let request: Vec<_> = condition
                .map(|condition| (header::IF_RANGE, condition))
                .into_iter()
                .collect();
            assert_eq!(
                if_range_matches(&fields(&request), &stored),
                holds,
                "{condition:?} {stored:?}"
            );
        }
        let twice = fields(&[(header::IF_RANGE, "\"a\""), (header::IF_RANGE, "\"a\"")]);
        assert!(!if_range_matches(&twice, &stored()));
    }

    /// RFC 9111 §4.3.1.
    #[test]
    fn upstream_is_asked_with_every_validator_there_is() {
        assert_eq!(
            revalidation_fields(&stored()),
            [
                (header::IF_NONE_MATCH, HeaderValue::from_static("\"a\"")),
                (header::IF_MODIFIED_SINCE, HeaderValue::from_static(MODIFIED)),
            ]
        );
        assert!(revalidation_fields(&fields(&[(header::DATE, MODIFIED)])).is_empty());
    }

    /// RFC 9111 §4.3.4.
    #[test]
    fn a_304_that_names_another_response_confirms_nothing() {
        let table: [(&[(HeaderName, &'static str)], bool); 7] = [
            (&[], true),
            (&[(header::ETAG, "\"a\"")], true),
            (&[(header::ETAG, "W/\"a\"")], true),
            (&[(header::ETAG, "\"b\"")], false),
            (&[(header::ETAG, "W/\"b\"")], false),
            (&[(header::LAST_MODIFIED, MODIFIED)], true),
            (&[(header::LAST_MODIFIED, LATER)], false),
        ];
        for (not_modified, confirmed) in table {
            assert_eq!(
                confirms(&fields(not_modified), &stored()),
                confirmed,
                "{not_modified:?}"
            );
        }
        let weak = fields(&[(header::ETAG, "W/\"a\"")]);
        assert!(
            !confirms(&fields(&[(header::ETAG, "\"a\"")]), &weak),
            "bytes known only weakly become no strong ones"
        );
        assert!(!confirms(&fields(&[(header::ETAG, "\"a\"")]), &HeaderMap::new()));
    }
}
