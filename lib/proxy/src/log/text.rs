//! Text from the network, made fit for a log line: bounded, without control characters, without secrets.

use std::fmt::{self, Write};

use serde::Serializer;

/// Query parameters whose values are secrets.
const SECRET_PARAMETERS: [&str; 1] = ["token"];
/// What stands in the log for a secret.
const MASK: &str = "***";
/// What stands for the rest of a text that is longer than its bound.
const CUT: char = '…';

/// Serialises at most `MAX` bytes of a text.
pub(super) fn bounded<const MAX: usize, S: Serializer>(
    bytes: &[u8],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    if bytes.len() <= MAX
        && let Some(plain) = plain(bytes)
    {
        return serializer.serialize_str(plain);
    }
    serializer.collect_str(&Bounded {
        bytes,
        limit: MAX,
        mask: false,
    })
}

/// Serialises at most `MAX` bytes of a URL or path, with the values of secret query parameters masked.
pub(super) fn masked<const MAX: usize, S: Serializer>(
    bytes: &[u8],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    if bytes.contains(&b'?') {
        return serializer.collect_str(&Bounded {
            bytes,
            limit: MAX,
            mask: true,
        });
    }
    bounded::<MAX, S>(bytes, serializer)
}

/// As [`bounded`], for a text that may be absent.
pub(super) fn bounded_option<const MAX: usize, S: Serializer>(
    bytes: &Option<&[u8]>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match bytes {
        Some(bytes) => bounded::<MAX, S>(bytes, serializer),
        None => serializer.serialize_none(),
    }
}

/// As [`masked`], for a text that may be absent.
pub(super) fn masked_option<const MAX: usize, S: Serializer>(
    bytes: &Option<&[u8]>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match bytes {
        Some(bytes) => masked::<MAX, S>(bytes, serializer),
        None => serializer.serialize_none(),
    }
}

/// The text, if it is printable ASCII and needs no care.
fn plain(bytes: &[u8]) -> Option<&str> {
    if bytes.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        std::str::from_utf8(bytes).ok()
    } else {
        None
    }
}

struct Bounded<'a> {
    bytes: &'a [u8],
    limit: usize,
    mask: bool,
}

impl fmt::Display for Bounded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, cut) = match self.bytes.split_at_checked(self.limit) {
            Some((shown, rest)) => (shown, !rest.is_empty()),
            None => (self.bytes, false),
        };
        match shown.iter().position(|byte| *byte == b'?') {
            Some(end) if self.mask => {
                write_escaped(&shown[..=end], f)?;
                write_masked_query(&shown[end + 1..], f)?;
            }
            _ => write_escaped(shown, f)?,
        }
        if cut { f.write_char(CUT) } else { Ok(()) }
    }
}

fn write_masked_query(query: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (number, parameter) in query.split(|byte| *byte == b'&').enumerate() {
        if number > 0 {
            f.write_char('&')?;
        }
        match parameter.iter().position(|byte| *byte == b'=') {
            Some(end) if is_secret(&parameter[..end]) => {
                write_escaped(&parameter[..=end], f)?;
                f.write_str(MASK)?;
            }
            _ => write_escaped(parameter, f)?,
        }
    }
    Ok(())
}

/// Whether a parameter of this name, which may be percent-encoded, holds a secret.
fn is_secret(name: &[u8]) -> bool {
    SECRET_PARAMETERS.iter().any(|secret| {
        let mut decoded = Decoded(name);
        secret.bytes().all(|expected| {
            decoded
                .next()
                .is_some_and(|byte| byte.eq_ignore_ascii_case(&expected))
        }) && decoded.next().is_none()
    })
}

/// The bytes of a percent-encoded text (RFC 3986 §2.1); what is no escape stays as it is.
struct Decoded<'a>(&'a [u8]);

impl Iterator for Decoded<'_> {
    type Item = u8;
    fn next(&mut self) -> Option<u8> {
        let digit = |byte: u8| {
            char::from(byte)
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        };
        if let [b'%', high, low, rest @ ..] = self.0
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            self.0 = rest;
            return Some(high << 4 | low);
        }
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }
}

/// Writes text as it is, but for what may confuse a reader's terminal. JSON escapes the control characters below
/// U+0020 by itself and lets DEL and the C1 set through, so those are spelled out here.
fn write_escaped(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some(at) = rest.find(|character: char| character >= '\u{7f}' && character.is_control()) {
            let (before, from) = rest.split_at(at);
            f.write_str(before)?;
            let mut characters = from.chars();
            if let Some(control) = characters.next() {
                write!(f, "{}", control.escape_unicode())?;
            }
            rest = characters.as_str();
        }
        f.write_str(rest)?;
        for byte in chunk.invalid() {
            write!(f, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(
        write: impl FnOnce(&mut serde_json::Serializer<&mut Vec<u8>>) -> serde_json::Result<()>,
    ) -> String {
        let mut out = Vec::new();
        write(&mut serde_json::Serializer::new(&mut out)).expect("a Vec takes everything");
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    #[test]
    fn secrets_are_masked_however_the_parameter_is_spelled() {
        for (url, expected) in [
            ("/a?token=abc", "/a?token=***"),
            ("/a?x=1&token=a=b&y=2", "/a?x=1&token=***&y=2"),
            (
                "/a?TOKEN=abc&%74oken=def&tok%65N=ghi",
                "/a?TOKEN=***&%74oken=***&tok%65N=***",
            ),
            ("/a?token=&token=x", "/a?token=***&token=***"),
            ("/token=abc?x=token", "/token=abc?x=token"),
            ("/a?mytoken=1&tokens=2&token", "/a?mytoken=1&tokens=2&token"),
            ("/a?%=1&%7=2&%zz=3", "/a?%=1&%7=2&%zz=3"),
            ("/a?", "/a?"),
        ] {
            assert_eq!(
                json(|out| masked::<64, _>(url.as_bytes(), out)),
                format!("\"{expected}\"")
            );
        }
    }

    #[test]
    fn a_secret_is_masked_even_where_the_bound_cuts_it() {
        assert_eq!(
            json(|out| masked::<12, _>(b"/a?token=abcdef", out)),
            "\"/a?token=***…\""
        );
        assert_eq!(json(|out| masked::<6, _>(b"/a?token=abcdef", out)), "\"/a?tok…\"");
    }

    #[test]
    fn control_characters_and_bytes_that_are_no_text_are_spelled_out() {
        for (bytes, expected) in [
            (&b"plain \"quoted\" \\"[..], r#""plain \"quoted\" \\""#),
            (b"a\r\nb\0\x1b[2J", "\"a\\r\\nb\\u0000\\u001b[2J\""),
            (b"del\x7f c1\xc2\x9b", r#""del\\u{7f} c1\\u{9b}""#),
            (b"\xff\xc3(", r#""\\xff\\xc3(""#),
            ("köln".as_bytes(), "\"köln\""),
        ] {
            assert_eq!(json(|out| bounded::<64, _>(bytes, out)), expected);
        }
    }

    #[test]
    fn long_texts_are_cut_also_inside_a_character() {
        assert_eq!(json(|out| bounded::<4, _>(b"abcd", out)), "\"abcd\"");
        assert_eq!(json(|out| bounded::<4, _>(b"abcde", out)), "\"abcd…\"");
        assert_eq!(
            json(|out| bounded::<2, _>("köln".as_bytes(), out)),
            r#""k\\xc3…""#
        );
    }
}
