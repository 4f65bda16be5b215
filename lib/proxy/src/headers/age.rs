//! `Age` (RFC 9111 §5.1): how many seconds ago a response left its origin or was last validated.

use std::time::Duration;

use bytes::BufMut;
use http::HeaderValue;

/// The largest age that is sent: what a recipient with 32-bit arithmetic can hold (RFC 9111 §1.2.2).
const AGE_SECONDS_MAX: u64 = 1 << 31;

/// The field's value.
#[must_use]
pub fn value(age: Duration) -> HeaderValue {
    HeaderValue::from(age.as_secs().min(AGE_SECONDS_MAX))
}

/// Writes the value's digits.
pub fn write(age: Duration, out: &mut impl BufMut) {
    out.put_slice(
        itoa::Buffer::new()
            .format(age.as_secs().min(AGE_SECONDS_MAX))
            .as_bytes(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_whole_seconds_and_saturate() {
        for (age, expected) in [
            (Duration::ZERO, "0"),
            (Duration::from_millis(14_999), "14"),
            (Duration::from_secs(1 << 31), "2147483648"),
            (Duration::MAX, "2147483648"),
        ] {
            assert_eq!(value(age), expected);
            let mut out = Vec::new();
            write(age, &mut out);
            assert_eq!(out, expected.as_bytes());
        }
    }
}
