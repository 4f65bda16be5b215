//! How old a response was when it came, and the dates that say so (RFC 9111 §4.2.3, RFC 9110 §5.6.7).

use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use model::Moment;

use super::directives::{members, whole_seconds};

/// The longest form of a date is that of RFC 850 on a Wednesday.
const LONGEST_DATE: usize = "Wednesday, 09-Nov-94 08:49:37 GMT".len();

/// The moment an HTTP date names, in any of its three forms and in any case (RFC 9111 §4.2); `None` where it is none.
/// Dates before 1970 count as 1970.
#[must_use]
pub fn date(value: &HeaderValue) -> Option<Moment> {
    let text = value.to_str().ok()?;
    if text.len() > LONGEST_DATE {
        return None;
    }
    let date = httpdate::parse_http_date(text)
        .or_else(|_| httpdate::parse_http_date(&in_usual_case(text)))
        .ok()?;
    Some(Moment::from_seconds(
        date.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
    ))
}

/// A date as senders are to write it: names of days and months with a capital, `GMT` in capitals.
fn in_usual_case(text: &str) -> String {
    let mut usual = String::with_capacity(text.len());
    for one in text.chars() {
        if usual.ends_with(|before: char| before.is_ascii_alphabetic()) {
            usual.push(one.to_ascii_lowercase());
        } else {
            usual.push(one.to_ascii_uppercase());
        }
    }
    usual.replace("Gmt", "GMT")
}

/// The date of the first field of that name.
pub(crate) fn date_of(fields: &HeaderMap, name: HeaderName) -> Option<Moment> {
    fields.get(name).and_then(date)
}

/// A moment as HTTP writes dates, to the second.
#[must_use]
pub fn written(moment: Moment) -> Option<HeaderValue> {
    /// The last second of the year 9999, beyond which the form has no room.
    const LAST: u64 = 253_402_300_799;
    let date = UNIX_EPOCH + Duration::from_secs(moment.seconds().min(LAST));
    HeaderValue::try_from(httpdate::fmt_http_date(date)).ok()
}

/// Adds the `Date` that a response without one gets from the first recipient with a clock (RFC 9110 §6.6.1).
pub fn add_missing_date(fields: &mut HeaderMap, response_time: Moment) {
    if !fields.contains_key(header::DATE)
        && let Some(date) = written(response_time)
    {
        fields.insert(header::DATE, date);
    }
}

/// The corrected initial age (RFC 9111 §4.2.3) of a response that was asked for at `request_time` and came at
/// `response_time`.
///
/// `Date` has whole seconds, so the apparent age is counted in whole seconds too: a response dated within the second
/// in which it came has none.
///
/// `Age` has whole seconds too, and each tier would take a response for up to one second younger than it is; so a parent
/// of this CDN tells its `exact_age`, which then stands in place of `Age`.
#[must_use]
pub fn initial_age(
    response: &HeaderMap,
    exact_age: Option<Duration>,
    request_time: Moment,
    response_time: Moment,
) -> Duration {
    let apparent = date_of(response, header::DATE).map_or(Duration::ZERO, |generated| {
        Duration::from_secs(response_time.seconds().saturating_sub(generated.seconds()))
    });
    let response_delay = response_time.since(request_time);
    apparent.max(exact_age.unwrap_or_else(|| age_value(response)) + response_delay)
}

/// The value of `Age`: of a list the first member; what cannot be read counts as absent (RFC 9111 §5.1).
fn age_value(response: &HeaderMap) -> Duration {
    let age = response
        .get(header::AGE)
        .and_then(|value| members(value.as_bytes()).next())
        .and_then(whole_seconds);
    Duration::from_secs(age.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110 §5.6.7.
    const THEN: Moment = Moment(784_111_777_000);

    #[test]
    fn all_three_forms_of_a_date_are_read_in_any_case_and_nothing_else() {
        for (text, moment) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(THEN)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(THEN)),
            ("Sun Nov  6 08:49:37 1994", Some(THEN)),
            ("sun, 06 nov 1994 08:49:37 gmt", Some(THEN)),
            ("SUNDAY, 06-NOV-94 08:49:37 GMT", Some(THEN)),
            ("Sun, 06 Nov 1994 08:49:37 CET", None),
            ("0", None),
            ("-1", None),
            ("", None),
            ("Sun, 06 Nov 1994", None),
            ("Sun, 31 Feb 1994 08:49:37 GMT", None),
        ] {
            assert_eq!(date(&HeaderValue::from_static(text)), moment, "{text:?}");
        }
    }

    #[test]
    fn dates_are_written_as_they_are_read() {
        assert_eq!(
            written(THEN),
            Some(HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"))
        );
        assert_eq!(
            written(Moment(u64::MAX)),
            Some(HeaderValue::from_static("Fri, 31 Dec 9999 23:59:59 GMT"))
        );
    }

    #[test]
    fn a_missing_date_is_added_and_one_that_is_there_is_kept() {
        let mut fields = HeaderMap::new();
        add_missing_date(&mut fields, THEN);
        add_missing_date(&mut fields, THEN + Duration::from_secs(60));
        assert_eq!(date_of(&fields, header::DATE), Some(THEN));
    }

    /// RFC 9111 §4.2.3.
    #[test]
    fn the_initial_age_is_the_larger_of_what_date_and_age_say() {
        let response_time = THEN + Duration::from_millis(10_900);
        for (age, dated, delay_ms, expected_ms) in [
            (None, None, 0, 0),
            (None, None, 250, 250),
            (Some("10"), None, 250, 10_250),
            (Some("10, 99"), None, 0, 10_000),
            (Some("ten"), None, 0, 0),
            (Some("-5"), None, 0, 0),
            (Some("9999999999"), None, 0, 2_147_483_648_000),
            (None, Some("Sun, 06 Nov 1994 08:49:37 GMT"), 250, 10_000),
            (Some("3"), Some("Sun, 06 Nov 1994 08:49:37 GMT"), 250, 10_000),
            (Some("20"), Some("Sun, 06 Nov 1994 08:49:37 GMT"), 250, 20_250),
            // Dated in the second in which it came: no apparent age.
            (None, Some("Sun, 06 Nov 1994 08:49:47 GMT"), 0, 0),
            // A clock ahead of ours gives no negative age.
            (None, Some("Sun, 06 Nov 1994 09:49:37 GMT"), 0, 0),
            (None, Some("yesterday"), 0, 0),
        ] {
            let mut response = HeaderMap::new();
            for (name, value) in [(header::AGE, age), (header::DATE, dated)] {
                value.map(|value| response.insert(name, HeaderValue::from_static(value)));
            }
            let age_found = initial_age(
                &response,
                None,
                response_time - Duration::from_millis(delay_ms),
                response_time,
            );
            assert_eq!(
                age_found,
                Duration::from_millis(expected_ms),
                "Age {age:?}, Date {dated:?}, {delay_ms} ms"
            );
        }
    }

    #[test]
    fn an_exact_age_stands_in_place_of_the_field() {
        let response = HeaderMap::from_iter([(header::AGE, HeaderValue::from_static("14"))]);
        let exact = Some(Duration::from_millis(14_900));
        assert_eq!(
            initial_age(&response, exact, THEN, THEN + Duration::from_millis(50)),
            Duration::from_millis(14_950)
        );
    }
}
