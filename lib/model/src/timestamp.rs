//! Moments as RFC 3339 writes them: `2026-03-01T12:00:00.250Z`.

use crate::Moment;

/// Length of a time stamp.
const TIMESTAMP_BYTES: usize = 24;
/// The last moment with four digits for its year.
const LAST: Moment = Moment(253_402_300_799_999);

impl Moment {
    /// This moment as a time stamp in UTC, with milliseconds (RFC 3339). What lies beyond the year 9999 is its end.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        self.rfc3339_bytes().into_iter().map(char::from).collect()
    }

    /// The same, without an allocation.
    #[must_use]
    pub fn rfc3339_bytes(self) -> [u8; TIMESTAMP_BYTES] {
        write(self.min(LAST))
    }
}

fn write(moment: Moment) -> [u8; TIMESTAMP_BYTES] {
    let (year, month, day) = date(moment.seconds() / 86_400);
    let second = moment.seconds() % 86_400;
    let mut text = *b"0000-00-00T00:00:00.000Z";
    put(&mut text[0..4], year);
    put(&mut text[5..7], month);
    put(&mut text[8..10], day);
    put(&mut text[11..13], second / 3600);
    put(&mut text[14..16], second / 60 % 60);
    put(&mut text[17..19], second % 60);
    put(&mut text[20..23], moment.0 % 1000);
    text
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar. The years are counted from the
/// first of March, so that the leap day comes last (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn date(days_since_epoch: u64) -> (u64, u64, u64) {
    let days = days_since_epoch + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months_since_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * months_since_march + 2) / 5 + 1;
    let month = if months_since_march < 10 {
        months_since_march + 3
    } else {
        months_since_march - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// Fills `digits` with the lowest decimal digits of `number`.
fn put(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn time_stamps_are_rfc_3339_in_utc() {
        for (milliseconds, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (784_111_777_042, "1994-11-06T08:49:37.042Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Moment(milliseconds).to_rfc3339(), expected);
        }
    }

    /// Every day for 400 years against another implementation of the calendar.
    #[test]
    fn the_calendar_agrees_with_that_of_http_dates() {
        const MONTHS: [&str; 12] = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        for day in 0..146_097 {
            let http = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(day * 86_400));
            let (year, month, of_month) = date(day);
            let ours = format!("{of_month:02} {} {year}", MONTHS[month as usize - 1]);
            assert_eq!(&http[5..16], ours);
        }
    }
}
