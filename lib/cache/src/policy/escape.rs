//! One spelling for each path and query: percent-encoding brought to its normal form (RFC 3986 §6.2.2).

use super::target::TargetError;

/// Which part of a target is being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Path,
    Query,
}

const HEX_DIGITS: &[u8; 16] = b"0123456789ABCDEF";

/// Whether a byte needs no percent-encoding in a path: `pchar` and `/` (RFC 3986 §3.3).
const fn is_plain(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'/' | b':' | b'@' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
        )
}

/// Bytes that mean the same escaped and bare (RFC 3986 §2.3).
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// [`is_plain`] for each byte: what the hot path asks once per byte.
static PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = is_plain(byte as u8);
        byte += 1;
    }
    table
};

/// How many bytes `text` has before the first that is not plain in a path.
pub(crate) fn plain_length(text: &[u8]) -> usize {
    text.iter()
        .position(|byte| !PLAIN[usize::from(*byte)])
        .unwrap_or(text.len())
}

/// Appends the normal form of `raw`: escapes of unreserved characters decoded, other escapes with upper-case digits,
/// and what may not stand bare escaped.
///
/// # Errors
///
/// For escapes that are none, and for control bytes: bare ones everywhere, escaped ones in a path.
pub(crate) fn push_normal(normal: &mut String, raw: &str, part: Part) -> Result<(), TargetError> {
    let mut rest = raw.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'%' => {
                let (Some(high), Some(low)) = (hex(after, 0), hex(after, 1)) else {
                    return Err(TargetError::Escape);
                };
                let decoded = high << 4 | low;
                if is_unreserved(decoded) {
                    normal.push(char::from(decoded));
                } else if decoded.is_ascii_control() && part == Part::Path {
                    return Err(TargetError::ControlByte);
                } else {
                    push_escaped(normal, decoded);
                }
                rest = &after[2..];
            }
            0..=b' ' | 0x7f => return Err(TargetError::ControlByte),
            b'#' => return Err(TargetError::Fragment),
            byte if PLAIN[usize::from(byte)] || (byte == b'?' && part == Part::Query) => {
                normal.push(char::from(byte));
            }
            byte => push_escaped(normal, byte),
        }
    }
    Ok(())
}

fn push_escaped(normal: &mut String, byte: u8) {
    normal.push('%');
    normal.push(char::from(HEX_DIGITS[usize::from(byte >> 4)]));
    normal.push(char::from(HEX_DIGITS[usize::from(byte & 0xf)]));
}

fn hex(text: &[u8], at: usize) -> Option<u8> {
    match *text.get(at)? {
        digit @ b'0'..=b'9' => Some(digit - b'0'),
        digit @ b'a'..=b'f' => Some(digit - b'a' + 10),
        digit @ b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}
