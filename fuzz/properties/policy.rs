//! What is decided by fields of messages, and by records of the disk.

use std::time::{Duration, UNIX_EPOCH};

use cache::policy::age::{date, written};
use cache::policy::conditional::{if_range_matches, is_same_representation, precondition};
use cache::policy::demands::Demands;
use cache::policy::directives::{CacheControl, DELTA_SECONDS_MAX};
use cache::policy::range::{RangeOutcome, single};
use cache::policy::vary::{NAMES_MAX, Names, VARIANT_BYTES_MAX};
use cache::policy::{Exchange, StaleDefaults, Verdict, judge, storable_fields};
use cache::{Head, Key};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use model::Moment;

/// Lines of one field: a message has 200 fields at most.
const LINES_MAX: usize = 200;

/// Some moment of this century.
const NOW: Moment = Moment(1_700_000_000_000);

/// The lines of `bytes`, as far as they may stand in a field, under one name.
fn lines(name: &HeaderName, bytes: &[u8]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n').take(LINES_MAX) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            fields.append(name.clone(), value);
        }
    }
    fields
}

/// The verdict on a response that anybody asked for, and that its lifetime is one that can be counted with.
fn judged(response: &HeaderMap) -> Verdict {
    let verdict = judge(&Exchange {
        method: &Method::GET,
        request: &HeaderMap::new(),
        status: StatusCode::OK,
        response,
        exact_age: None,
        request_time: NOW,
        response_time: NOW,
        entry: None,
        service: StaleDefaults::default(),
    });
    if let Verdict::Store { freshness, .. } = &verdict {
        assert!(freshness.lifetime <= Duration::from_secs(DELTA_SECONDS_MAX));
        let kept = storable_fields(response);
        assert_eq!(storable_fields(&kept), kept, "what is kept is kept again");
        assert!(kept.len() <= response.len());
    }
    verdict
}

/// `Cache-Control` of a response and of a request.
pub fn cache_control(bytes: &[u8]) {
    let mut fields = lines(&header::CACHE_CONTROL, bytes);
    let said = CacheControl::parse(&fields);
    for seconds in [
        said.max_age,
        said.s_maxage,
        said.stale_while_revalidate,
        said.stale_if_error,
    ] {
        assert!(seconds.is_none_or(|seconds| seconds.as_secs() <= DELTA_SECONDS_MAX));
    }
    let _ = Demands::of(&fields).of_stored(&fields);
    let before = judged(&fields);
    // One word more for the strict never makes more of it.
    fields.append(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-store, private"),
    );
    let after = judged(&fields);
    assert!(matches!(after, Verdict::Pass(_)), "{before:?} became {after:?}");
}

/// The targeted fields: what can be read governs alone.
pub fn targeted(bytes: &[u8]) {
    let mut fields = lines(&HeaderName::from_static("cdn-cache-control"), bytes);
    fields.insert(header::ETAG, HeaderValue::from_static("\"a\""));
    let mut verdicts = ["max-age=5", "no-store"].map(|everybody| {
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static(everybody));
        judged(&fields)
    });
    verdicts.sort_by_key(|verdict| matches!(verdict, Verdict::Pass(_)));
    let [first, second] = verdicts;
    if first != second {
        // Then nothing but Cache-Control governed.
        assert!(
            matches!(second, Verdict::Pass(cache::policy::Reason::NoStore)),
            "{first:?} {second:?}"
        );
    }
}

/// `Vary`, and what a request says in the fields that it names.
pub fn vary(bytes: &[u8]) {
    let (names, request) = bytes.split_at(bytes.len() / 2);
    let response = lines(&header::VARY, names);
    let Ok(names) = Names::of(&response) else { return };
    assert!(names.iter().count() <= NAMES_MAX);
    let mut backwards = HeaderMap::new();
    for line in response.get_all(header::VARY).iter().rev() {
        backwards.append(header::VARY, line.clone());
    }
    assert_eq!(
        Names::of(&backwards).as_ref(),
        Ok(&names),
        "the order of lines does not matter"
    );
    let mut fields = HeaderMap::new();
    for name in names.iter() {
        fields.extend(lines(name, request));
    }
    let primary = Key::new("service", "/a");
    let key = names.variant(&primary, &fields);
    assert_eq!(names.variant(&primary, &fields), key);
    if let Some(key) = key {
        assert!(key.text().starts_with(primary.text()));
        // One byte marks where the URL's own text ends.
        assert!(key.text().len() <= primary.text().len() + VARIANT_BYTES_MAX + 1);
    }
}

/// A date that can be read says the same when it is written, in any case of letters.
pub fn dates(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else {
        return;
    };
    let Some(moment) = date(&value) else {
        let text = String::from_utf8_lossy(bytes);
        assert!(
            httpdate::parse_http_date(&text).is_err() || text.len() > 33,
            "{text:?} is a date"
        );
        return;
    };
    let again = written(moment).expect("every moment can be written");
    assert_eq!(date(&again), Some(moment));
    let lower = HeaderValue::from_bytes(&bytes.to_ascii_lowercase()).expect("legal as it was");
    assert_eq!(date(&lower), Some(moment));
    assert!(httpdate::parse_http_date(again.to_str().expect("text")).is_ok_and(|time| time >= UNIX_EPOCH));
}

/// A range is a part within what is there, all of it, or nothing, and says the same when it is written.
pub fn range(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else {
        return;
    };
    for length in [0, 1, 10, 1000, u64::MAX] {
        let outcome = single(&value, length);
        let RangeOutcome::Part(part) = &outcome else {
            continue;
        };
        assert!(part.start < part.end && part.end <= length);
        let plain = format!("bytes={}-{}", part.start, part.end - 1);
        assert_eq!(
            single(&HeaderValue::try_from(plain).expect("legal"), length),
            outcome
        );
    }
}

/// Conditions against validators, both of any kind.
pub fn conditional(bytes: &[u8]) {
    let (condition, validator) = bytes.split_at(bytes.len() / 2);
    let mut stored = lines(&header::ETAG, validator);
    stored.extend(lines(&header::LAST_MODIFIED, validator));
    stored.insert(
        header::DATE,
        HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"),
    );
    for name in [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE, header::IF_RANGE] {
        let request = lines(&name, condition);
        let _ = precondition(&request, &stored, &Method::GET);
        let _ = if_range_matches(&request, &stored);
    }
    let other = lines(&header::ETAG, condition);
    assert_eq!(
        is_same_representation(&stored, &other),
        is_same_representation(&other, &stored),
        "it is the same from both sides"
    );
}

/// What lies on a device: a head that can be read says the same when it is written; no block makes any reader fail.
pub fn record(bytes: &[u8]) {
    cache::disk::try_to_read(bytes);
    let Ok(head) = Head::decode(bytes) else { return };
    let encoded = head.encode().expect("what was decoded can be encoded");
    let again = Head::decode(&encoded).expect("what was encoded can be decoded");
    assert_eq!(
        (again.status, again.length, again.version),
        (head.status, head.length, head.version)
    );
    assert_eq!((&again.key, &again.fields), (&head.key, &head.fields));
    assert_eq!(again.freshness, head.freshness);
}
