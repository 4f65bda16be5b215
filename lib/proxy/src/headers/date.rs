//! `Date` (RFC 9110 §6.6.1), formatted once a second and thread.

use std::{
    cell::Cell,
    time::{Duration, UNIX_EPOCH},
};

use http::HeaderValue;
use model::Moment;

/// Length of an IMF-fixdate such as `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7).
pub const HTTP_DATE_BYTES: usize = 29;

/// The last second that has four digits for its year: the end of 9999.
const LAST_SECOND: u64 = 253_402_300_799;

thread_local! {
    /// The second this thread formatted last, and its text: all requests of a second share it.
    static LATEST: Cell<Option<(u64, [u8; HTTP_DATE_BYTES])>> = const { Cell::new(None) };
}

/// `now` as an HTTP date (IMF-fixdate).
#[must_use]
pub fn http_date(now: Moment) -> [u8; HTTP_DATE_BYTES] {
    let second = now.seconds().min(LAST_SECOND);
    match LATEST.get() {
        Some((latest, text)) if latest == second => text,
        _ => {
            let text = format(second);
            LATEST.set(Some((second, text)));
            text
        }
    }
}

/// `now` as the value of `Date`, `Last-Modified` or `Expires`.
#[must_use]
pub fn value(now: Moment) -> HeaderValue {
    HeaderValue::from_bytes(&http_date(now)).expect("an HTTP date is printable ASCII")
}

fn format(second: u64) -> [u8; HTTP_DATE_BYTES] {
    let mut text = [0; HTTP_DATE_BYTES];
    text.copy_from_slice(httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second)).as_bytes());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_follow_the_clock_in_both_directions() {
        for (now, expected) in [
            (Moment(784_111_777_000), "Sun, 06 Nov 1994 08:49:37 GMT"),
            (Moment(784_111_777_999), "Sun, 06 Nov 1994 08:49:37 GMT"),
            (Moment(784_111_778_000), "Sun, 06 Nov 1994 08:49:38 GMT"),
            (Moment(0), "Thu, 01 Jan 1970 00:00:00 GMT"),
            (Moment(1_709_164_800_000), "Thu, 29 Feb 2024 00:00:00 GMT"),
            (Moment(u64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(http_date(now), expected.as_bytes());
            assert_eq!(value(now), expected);
        }
    }
}
