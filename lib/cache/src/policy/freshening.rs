//! What the answer to a HEAD says of a stored answer to GET (RFC 9111 §4.3.5).

use http::{HeaderMap, HeaderName, StatusCode, header};

use super::{freshness::State, verdict::Reason};

/// The fields by which an answer tells its representation from others (RFC 9110 §8.8).
const VALIDATORS: [HeaderName; 2] = [header::ETAG, header::LAST_MODIFIED];

/// A stored answer to GET that a HEAD could have got.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// Its status.
    pub status: StatusCode,
    /// Its fields.
    pub fields: &'a HeaderMap,
    /// Bytes of its body, where known.
    pub length: Option<u64>,
    /// What it may be used for now.
    pub state: State,
}

/// The 200 answer that upstream gave to a HEAD.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// Its fields.
    pub fields: &'a HeaderMap,
    /// Its `Content-Length`, where it has one.
    pub length: Option<u64>,
    /// Why what is stored may not be kept on with these fields, if it may not.
    pub refused: Option<Reason>,
    /// The request said what only one client says: its answer's fields are not for others.
    pub is_personal: bool,
}

/// What becomes of the stored answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshening {
    /// It takes the fields and the freshness that the HEAD's answer gives it, as it would those of a 304.
    Update,
    /// It is stale: upstream has another.
    Expire,
    /// It stays as it is.
    Leave,
}

/// Decides by validators and length, as far as the HEAD's answer has them, and by whether that may be kept.
///
/// Nothing of an answer to `no-store` may be stored (RFC 9111 §5.2.1.5), not even a field: one that agrees changes
/// nothing. One that differs still says that what is stored is out of date. An answer without validators confirms
/// nothing, since other bytes may be as long.
#[must_use]
pub fn freshening(stored: &Stored<'_>, told: &Told<'_>) -> Freshening {
    let is_out_of_date = differ(stored, told);
    match told.refused {
        _ if is_out_of_date => expire(stored),
        Some(reason) if reason.lies_in_the_response() => expire(stored),
        Some(_) => Freshening::Leave,
        None if told.is_personal => Freshening::Leave,
        None if VALIDATORS.iter().any(|name| told.fields.contains_key(name)) => Freshening::Update,
        None => Freshening::Leave,
    }
}

/// What has to be validated already need not be made stale.
fn expire(stored: &Stored<'_>) -> Freshening {
    if stored.state <= State::StaleWhileRevalidate {
        Freshening::Expire
    } else {
        Freshening::Leave
    }
}

fn differ(stored: &Stored<'_>, told: &Told<'_>) -> bool {
    let has_other = |name: &HeaderName| {
        let values = |fields: &HeaderMap| fields.get_all(name).iter().cloned().collect::<Vec<_>>();
        told.fields.contains_key(name) && values(told.fields) != values(stored.fields)
    };
    stored.status != StatusCode::OK
        || told.length.is_some_and(|length| stored.length != Some(length))
        || VALIDATORS.iter().any(has_other)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const TAG: (&str, &str) = ("etag", "\"v1\"");
    const DATE: (&str, &str) = ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    const OTHER_TAG: (&str, &str) = ("etag", "\"v2\"");
    const WEAK_TAG: (&str, &str) = ("etag", "W/\"v1\"");
    const OTHER_DATE: (&str, &str) = ("last-modified", "Sun, 06 Nov 1994 08:49:38 GMT");

    type Fields = &'static [(&'static str, &'static str)];

    fn fields(lines: Fields) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in lines {
            fields.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        fields
    }

    /// What becomes of a fresh answer of 100 bytes with `stored`.
    fn becomes(stored: Fields, told: Fields, length: Option<u64>, refused: Option<Reason>) -> Freshening {
        let (stored, told) = (fields(stored), fields(told));
        let stored = Stored {
            status: StatusCode::OK,
            fields: &stored,
            length: Some(100),
            state: State::Fresh,
        };
        let told = Told {
            fields: &told,
            length,
            refused,
            is_personal: false,
        };
        freshening(&stored, &told)
    }

    #[test]
    fn what_agrees_as_far_as_it_goes_updates_and_what_differs_expires() {
        use Freshening::{Expire, Leave, Update};
        for (stored, told, length, expected) in [
            (&[TAG, DATE][..], &[TAG, DATE][..], Some(100), Update),
            (&[TAG, DATE], &[TAG, DATE], None, Update),
            (&[TAG, DATE], &[TAG], Some(100), Update),
            (&[TAG, DATE], &[DATE], None, Update),
            (&[WEAK_TAG], &[WEAK_TAG], None, Update),
            // One of them is enough.
            (&[TAG, DATE], &[TAG, DATE], Some(101), Expire),
            (&[TAG, DATE], &[OTHER_TAG, DATE], Some(100), Expire),
            (&[TAG, DATE], &[TAG, OTHER_DATE], Some(100), Expire),
            (&[TAG], &[WEAK_TAG], Some(100), Expire),
            (&[TAG], &[TAG, TAG], Some(100), Expire),
            // It has what is stored has not.
            (&[], &[TAG], Some(100), Expire),
            (&[TAG], &[TAG, DATE], None, Expire),
            // As long, and nothing else is known.
            (&[TAG], &[], Some(100), Leave),
            (&[], &[], None, Leave),
            (&[TAG], &[], Some(101), Expire),
        ] {
            assert_eq!(
                becomes(stored, told, length, None),
                expected,
                "{stored:?} {told:?} {length:?}"
            );
        }
    }

    /// RFC 9111 §5.2.1.5, §3.5: the request is to blame, and the next one gets another answer.
    #[test]
    fn what_may_not_be_kept_updates_nothing() {
        use Freshening::{Expire, Leave};
        for (reason, same, other) in [
            (Reason::RequestNoStore, Leave, Expire),
            (Reason::Authorization, Leave, Expire),
            (Reason::NoStore, Expire, Expire),
            (Reason::Private, Expire, Expire),
            (Reason::Vary, Expire, Expire),
        ] {
            let of = |told| becomes(&[TAG], told, Some(100), Some(reason));
            assert_eq!((of(&[TAG]), of(&[OTHER_TAG])), (same, other), "{reason}");
        }
    }

    #[test]
    fn what_one_client_alone_was_told_is_not_for_the_others() {
        let same = fields(&[TAG]);
        let stored = Stored {
            status: StatusCode::OK,
            fields: &same,
            length: Some(100),
            state: State::Fresh,
        };
        let told = Told {
            fields: &same,
            length: None,
            refused: None,
            is_personal: true,
        };
        assert_eq!(freshening(&stored, &told), Freshening::Leave);
        let other = fields(&[OTHER_TAG]);
        let told = Told {
            fields: &other,
            ..told
        };
        assert_eq!(freshening(&stored, &told), Freshening::Expire);
    }

    #[test]
    fn a_stored_error_is_out_of_date_once_there_is_something() {
        let none = HeaderMap::new();
        let told = Told {
            fields: &none,
            length: None,
            refused: None,
            is_personal: false,
        };
        for (state, expected) in [
            (State::Fresh, Freshening::Expire),
            (State::StaleWhileRevalidate, Freshening::Expire),
            // It has to be validated anyway.
            (State::StaleIfError, Freshening::Leave),
            (State::Stale, Freshening::Leave),
        ] {
            let stored = Stored {
                status: StatusCode::NOT_FOUND,
                fields: &none,
                length: Some(0),
                state,
            };
            assert_eq!(freshening(&stored, &told), expected, "{state:?}");
        }
    }
}
