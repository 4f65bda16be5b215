//! Structured field values (RFC 9651) as `Cache-Status` and `Proxy-Status` need them: serialising only.

use bytes::BufMut;

use super::pseudonym::is_token_byte;

/// The largest integer a structured field can carry (RFC 9651 §3.3.1): fifteen digits.
const INTEGER_MAX: i64 = 999_999_999_999_999;

/// Writes `text` as a token where it is one, else as a string (RFC 9651 §4.1.6, §4.1.7).
pub fn put_token_or_string(out: &mut impl BufMut, text: &str) {
    if is_token(text.as_bytes()) {
        out.put_slice(text.as_bytes())
    } else {
        put_string(out, text)
    }
}

/// Writes `text` as a string (RFC 9651 §4.1.6). What is not printable ASCII cannot stand in one and becomes `?`.
pub fn put_string(out: &mut impl BufMut, text: &str) {
    out.put_u8(b'"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.put_slice(&[b'\\', character as u8]),
            ' '..='~' => out.put_u8(character as u8),
            _ => out.put_u8(b'?'),
        }
    }
    out.put_u8(b'"');
}

/// Writes `number` as an integer (RFC 9651 §4.1.4); what needs more than fifteen digits is cut to the largest.
pub fn put_integer(out: &mut impl BufMut, number: i64) {
    out.put_slice(
        itoa::Buffer::new()
            .format(number.clamp(-INTEGER_MAX, INTEGER_MAX))
            .as_bytes(),
    );
}

/// Whether `text` is a structured field's token (RFC 9651 §3.3.4): unlike HTTP's it begins with a letter or `*`, and
/// may hold `:` and `/`.
fn is_token(text: &[u8]) -> bool {
    text.first()
        .is_some_and(|first| first.is_ascii_alphabetic() || *first == b'*')
        && text
            .iter()
            .all(|byte| is_token_byte(*byte) || matches!(byte, b':' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("structured fields are ASCII")
    }

    #[test]
    fn names_are_tokens_where_they_can_be() {
        for (text, expected) in [
            ("edge-ams-1", "edge-ams-1"),
            ("*", "*"),
            ("h2:a/b", "h2:a/b"),
            ("9lives", "\"9lives\""),
            ("two words", "\"two words\""),
            ("", "\"\""),
        ] {
            assert_eq!(written(|out| put_token_or_string(out, text)), expected);
        }
    }

    #[test]
    fn strings_are_escaped_and_never_carry_a_byte_that_ends_the_field() {
        for (text, expected) in [
            ("plain", r#""plain""#),
            (r#"a "b" \c"#, r#""a \"b\" \\c""#),
            ("one\r\ntwo\u{7f}", r#""one??two?""#),
            ("köln", r#""k?ln""#),
        ] {
            assert_eq!(written(|out| put_string(out, text)), expected);
        }
    }

    #[test]
    fn integers_stay_within_fifteen_digits() {
        for (number, expected) in [
            (0, "0"),
            (-30, "-30"),
            (i64::MAX, "999999999999999"),
            (i64::MIN, "-999999999999999"),
        ] {
            assert_eq!(written(|out| put_integer(out, number)), expected);
        }
    }
}
