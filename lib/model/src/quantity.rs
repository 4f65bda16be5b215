//! Quantities as people write them: `64GiB`, `1h30m`.
//!
//! Both types are read strictly (one spelling per unit, no blanks) and shown in the shortest form that reads back as
//! the same value, so a document that was read and written again says what it said before.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// A number of bytes: `4096`, `512MiB`, `3TB`, `1.5GiB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Size(pub u64);

/// A length of time, to the millisecond: `250ms`, `10s`, `1h30m`, `180d`.
///
/// A finer [`Duration`] may be held, but is shown without what is below a millisecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Period(pub Duration);

/// Why a text is not a quantity, and how it should be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuantityError(String);

/// Bytes to a unit, largest first: of two texts that are equally short, the one with the larger unit is shown.
const SIZE_UNITS: [(&str, u64); 10] = [
    ("PiB", 1 << 50),
    ("PB", 1_000_000_000_000_000),
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
];

/// Milliseconds to a unit, largest first, as combined periods are written.
const PERIOD_UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Digits after the point that a size may have: enough for `0.125TiB`, few enough that nothing overflows.
const FRACTION_DIGITS: usize = 6;

const SIZE_ADVICE: &str =
    "write a number and B, kB, MB, GB, TB, PB, KiB, MiB, GiB, TiB or PiB, such as \"64GiB\"";
const PERIOD_ADVICE: &str =
    "write numbers with ms, s, m, h or d, largest first, such as \"10s\" or \"1h30m\"";

impl FromStr for Size {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Size, QuantityError> {
        let wrong = |why: &str| QuantityError(format!("{text:?} is not a size: {why}; {SIZE_ADVICE}"));
        let (number, unit) = split_number(text);
        let unit_bytes = match unit {
            "" | "B" => 1,
            "KB" => 1_000,
            _ => SIZE_UNITS
                .iter()
                .find(|(name, _)| *name == unit)
                .map(|(_, bytes)| *bytes)
                .ok_or_else(|| wrong(&format!("{unit:?} is not a unit")))?,
        };
        let (whole, fraction) = number
            .split_once('.')
            .map_or((number, None), |(w, f)| (w, Some(f)));
        if whole.is_empty() || fraction.is_some_and(str::is_empty) {
            return Err(wrong("it does not begin with a number"));
        }
        let fraction = fraction.unwrap_or_default();
        if fraction.len() > FRACTION_DIGITS || fraction.contains('.') {
            return Err(wrong("at most one point and six digits after it are read"));
        }
        let whole: u64 = whole.parse().map_err(|_| wrong("the number is too large"))?;
        let scale = 10_u128.pow(u32::try_from(fraction.len()).unwrap_or_default());
        let fraction: u128 = if fraction.is_empty() {
            0
        } else {
            fraction.parse().unwrap_or_default()
        };
        let scaled = (u128::from(whole) * scale + fraction) * u128::from(unit_bytes);
        if !scaled.is_multiple_of(scale) {
            return Err(wrong("it is not a whole number of bytes"));
        }
        u64::try_from(scaled / scale)
            .map(Size)
            .map_err(|_| wrong("it is more than 16 EiB"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = self.0.to_string();
        let shortest = SIZE_UNITS
            .iter()
            .filter_map(|(unit, bytes)| Some(format!("{}{unit}", decimal(self.0, *bytes)?)))
            .chain([plain])
            .min_by_key(String::len)
            .unwrap_or_default();
        f.write_str(&shortest)
    }
}

impl FromStr for Period {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Period, QuantityError> {
        let wrong = |why: &str| QuantityError(format!("{text:?} is not a period: {why}; {PERIOD_ADVICE}"));
        let mut rest = text;
        let mut units = PERIOD_UNITS.iter();
        let mut total: u64 = 0;
        if text.is_empty() {
            return Err(wrong("it is empty"));
        }
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, tail) = rest.split_at(digits);
            let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (unit, tail) = tail.split_at(letters);
            if number.is_empty() {
                return Err(wrong("it does not begin with a whole number"));
            }
            if unit.is_empty() {
                return Err(wrong("a unit is missing"));
            }
            if !PERIOD_UNITS.iter().any(|(name, _)| *name == unit) {
                return Err(wrong(&format!("{unit:?} is not a unit")));
            }
            let (_, milliseconds) = units
                .find(|(name, _)| *name == unit)
                .ok_or_else(|| wrong("units go from the largest to the smallest, each at most once"))?;
            total = number
                .parse::<u64>()
                .ok()
                .and_then(|number| number.checked_mul(*milliseconds))
                .and_then(|part| total.checked_add(part))
                .ok_or_else(|| wrong("the number is too large"))?;
            rest = tail;
        }
        Ok(Period(Duration::from_millis(total)))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if milliseconds == 0 {
            return f.write_str("0s");
        }
        let in_one_unit = PERIOD_UNITS
            .iter()
            .filter(|(_, length)| milliseconds.is_multiple_of(*length))
            .map(|(unit, length)| format!("{}{unit}", milliseconds / length));
        let shortest = std::iter::once(combined(milliseconds))
            .chain(in_one_unit)
            .min_by_key(String::len)
            .unwrap_or_default();
        f.write_str(&shortest)
    }
}

/// `90061000` as `1d1h1m1s`.
fn combined(mut milliseconds: u64) -> String {
    let mut text = String::new();
    for (unit, length) in PERIOD_UNITS {
        if milliseconds >= length {
            text.push_str(&format!("{}{unit}", milliseconds / length));
            milliseconds %= length;
        }
    }
    text
}

/// `value / unit` in decimal, where it is at least 1 and [`FRACTION_DIGITS`] suffice to say it exactly.
fn decimal(value: u64, unit: u64) -> Option<String> {
    if value < unit {
        return None;
    }
    let (whole, mut rest) = (value / unit, u128::from(value % unit));
    let mut text = whole.to_string();
    if rest == 0 {
        return Some(text);
    }
    text.push('.');
    for _ in 0..FRACTION_DIGITS {
        rest *= 10;
        text.push(char::from(b'0' + u8::try_from(rest / u128::from(unit)).ok()?));
        rest %= u128::from(unit);
        if rest == 0 {
            return Some(text);
        }
    }
    None
}

/// The digits and points that `text` begins with, and what follows them.
fn split_number(text: &str) -> (&str, &str) {
    text.split_at(
        text.bytes()
            .take_while(|byte| byte.is_ascii_digit() || *byte == b'.')
            .count(),
    )
}

impl fmt::Display for QuantityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for QuantityError {}

impl TryFrom<String> for Size {
    type Error = QuantityError;
    fn try_from(text: String) -> Result<Size, QuantityError> {
        text.parse()
    }
}

impl From<Size> for String {
    fn from(size: Size) -> String {
        size.to_string()
    }
}

impl TryFrom<String> for Period {
    type Error = QuantityError;
    fn try_from(text: String) -> Result<Period, QuantityError> {
        text.parse()
    }
}

impl From<Period> for String {
    fn from(period: Period) -> String {
        period.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_read_and_shown_in_their_shortest_form() {
        let table: [(&str, u64, &str); 14] = [
            ("0", 0, "0"),
            ("4096", 4096, "4KiB"),
            ("4096B", 4096, "4KiB"),
            ("64GiB", 64 << 30, "64GiB"),
            ("512MiB", 512 << 20, "512MiB"),
            ("3TB", 3_000_000_000_000, "3TB"),
            ("10MB", 10_000_000, "10MB"),
            ("1.5GiB", 3 << 29, "1.5GiB"),
            ("1536MiB", 3 << 29, "1.5GiB"),
            ("0.5KiB", 512, "512"),
            ("2KB", 2000, "2kB"),
            ("2kB", 2000, "2kB"),
            ("1023", 1023, "1023"),
            ("18446744073709551615", u64::MAX, "18446744073709551615"),
        ];
        for (text, bytes, shown) in table {
            assert_eq!(text.parse::<Size>(), Ok(Size(bytes)), "{text}");
            assert_eq!(Size(bytes).to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_size_is_refused_with_the_reason() {
        for (text, why) in [
            ("", "does not begin with a number"),
            ("GiB", "does not begin with a number"),
            (".5GiB", "does not begin with a number"),
            ("1.GiB", "does not begin with a number"),
            ("-1GiB", "is not a unit"),
            ("64 GiB", "is not a unit"),
            ("64gib", "is not a unit"),
            ("64G", "is not a unit"),
            ("1.2.3GiB", "at most one point"),
            ("1.1234567GiB", "at most one point"),
            ("1.5", "not a whole number of bytes"),
            ("17000PiB", "more than 16 EiB"),
            ("18446744073709551616", "too large"),
        ] {
            let error = text.parse::<Size>().expect_err(text).to_string();
            assert!(
                error.contains(why) && error.contains("such as"),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn periods_are_read_and_shown_in_their_shortest_form() {
        for (text, milliseconds, shown) in [
            ("0s", 0, "0s"),
            ("0ms", 0, "0s"),
            ("250ms", 250, "250ms"),
            ("10s", 10_000, "10s"),
            ("1500ms", 1_500, "1500ms"),
            ("90s", 90_000, "90s"),
            ("1m30s", 90_000, "90s"),
            ("15m", 900_000, "15m"),
            ("60m", 3_600_000, "1h"),
            ("1h30m", 5_400_000, "90m"),
            ("1h30s", 3_630_000, "1h30s"),
            ("180d", 15_552_000_000, "180d"),
            ("1d12h", 129_600_000, "36h"),
        ] {
            let period = Period(Duration::from_millis(milliseconds));
            assert_eq!(text.parse::<Period>(), Ok(period), "{text}");
            assert_eq!(period.to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_period_is_refused_with_the_reason() {
        for (text, why) in [
            ("", "empty"),
            ("10", "a unit is missing"),
            ("s", "does not begin with a whole number"),
            ("1.5s", "a unit is missing"),
            ("-1s", "does not begin with a whole number"),
            ("10 s", "a unit is missing"),
            ("10y", "is not a unit"),
            ("10S", "is not a unit"),
            ("30s1m", "from the largest to the smallest"),
            ("1s1s", "from the largest to the smallest"),
            ("1h30", "a unit is missing"),
            ("99999999999999999999s", "too large"),
            ("18446744073709551615d", "too large"),
        ] {
            let error = text.parse::<Period>().expect_err(text).to_string();
            assert!(
                error.contains(why) && error.contains("such as"),
                "{text}: {error}"
            );
        }
    }

    proptest! {
        #[test]
        fn every_size_reads_back_as_itself(bytes: u64, shift in 0_u32..64) {
            let size = Size((bytes >> shift) << (shift / 2));
            prop_assert_eq!(size.to_string().parse::<Size>(), Ok(size));
        }

        #[test]
        fn every_period_reads_back_as_itself(milliseconds: u64, shift in 0_u32..64) {
            let period = Period(Duration::from_millis(milliseconds >> shift));
            prop_assert_eq!(period.to_string().parse::<Period>(), Ok(period));
        }

        #[test]
        fn no_text_makes_the_readers_panic(text: String) {
            let _ = text.parse::<Size>();
            let _ = text.parse::<Period>();
        }
    }
}
