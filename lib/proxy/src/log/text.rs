//! Text from the network, made fit for a log line: bounded, without control characters, without secrets.

use std::fmt::{self, Write};

use serde::{Serialize, Serializer};

/// Query parameters whose values are secrets.
const SECRET_PARAMETERS: [&str; 1] = ["token"];
/// What stands in the log for a secret.
const MASK: &str = "***";
/// What stands for the rest of a text that is longer than its bound.
const CUT: char = '…';

/// How a text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Care {
    /// At most so many bytes of it are written.
    bytes_max: usize,
    /// It may be a URL whose query holds secrets.
    mask: bool,
}

impl Care {
    /// At most `bytes_max` bytes.
    pub(super) const fn bounded(bytes_max: usize) -> Care {
        Care {
            bytes_max,
            mask: false,
        }
    }

    /// At most `bytes_max` bytes, and the values of secret query parameters masked.
    pub(super) const fn masked(bytes_max: usize) -> Care {
        Care {
            bytes_max,
            mask: true,
        }
    }
}

/// Writes a text as a JSON string.
pub(super) fn write(out: &mut Vec<u8>, text: &[u8], care: Care) {
    if text.len() <= care.bytes_max && is_plain(text, care.mask) {
        out.push(b'"');
        out.extend_from_slice(text);
        out.push(b'"');
    } else {
        let shown = Bounded {
            bytes: text,
            limit: care.bytes_max,
            mask: care.mask,
        };
        serde_json::to_writer(out, &shown).expect("a Vec takes everything, and text can always be shown");
    }
}

/// Whether a text stands in JSON as it is: printable ASCII without quotes and backslashes, and no query to be masked.
fn is_plain(text: &[u8], mask: bool) -> bool {
    // Without an early end, so that it is done many bytes at a time.
    text.iter().fold(true, |plain, byte| {
        plain & matches!(byte, b' '..=b'~') & (*byte != b'"') & (*byte != b'\\') & (!mask | (*byte != b'?'))
    })
}

struct Bounded<'a> {
    bytes: &'a [u8],
    limit: usize,
    mask: bool,
}

impl Serialize for Bounded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
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

    fn json(text: &[u8], care: Care) -> String {
        let mut out = Vec::new();
        write(&mut out, text, care);
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
            assert_eq!(json(url.as_bytes(), Care::masked(64)), format!("\"{expected}\""));
        }
    }

    #[test]
    fn a_secret_is_masked_even_where_the_bound_cuts_it() {
        assert_eq!(json(b"/a?token=abcdef", Care::masked(12)), "\"/a?token=***…\"");
        assert_eq!(json(b"/a?token=abcdef", Care::masked(6)), "\"/a?tok…\"");
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
            assert_eq!(json(bytes, Care::bounded(64)), expected);
        }
    }

    #[test]
    fn long_texts_are_cut_also_inside_a_character() {
        assert_eq!(json(b"abcd", Care::bounded(4)), "\"abcd\"");
        assert_eq!(json(b"abcde", Care::bounded(4)), "\"abcd…\"");
        assert_eq!(json("köln".as_bytes(), Care::bounded(2)), r#""k\\xc3…""#);
    }
}
