//! The head of an HTTP/1 request, read strictly: where it ends, and where its parts lie.
//!
//! Two readers that disagree about where a request ends are how requests are smuggled, so everything that RFC 9112
//! lets a recipient forgive is refused here: bare LF, control bytes, folded lines, space before a colon, a length said
//! twice or in two ways. The scan is resumable and pure; it looks at each byte about twice.

use std::ops::Range;

use http::StatusCode;
use memchr::memchr;

/// Header fields of one request: real ones carry 10 to 40.
pub const MOST_FIELDS: usize = 200;

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadFault {
    /// More bytes than `max_header_bytes`.
    TooLarge,
    /// More fields than [`MOST_FIELDS`].
    TooManyFields,
    /// Not `method SP target SP HTTP/1.x` (RFC 9112 §3), or more than one empty line before it (§2.2).
    RequestLine,
    /// A line ended by LF without CR (RFC 9112 §2.2).
    BareLineFeed,
    /// NUL, CR or another control byte in a field value (RFC 9110 §5.5).
    ControlByte,
    /// Whitespace at the start of a line: a folded value (RFC 9112 §5.2), or before the first field (§2.2).
    Fold,
    /// Something else than a token before the colon, or no colon; whitespace before it above all (RFC 9112 §5.1).
    FieldName,
    /// Content-Length that is no number, is given twice, or stands beside Transfer-Encoding (RFC 9112 §6.3).
    Length,
    /// Transfer-Encoding in HTTP/1.0, or another one than `chunked`, once (RFC 9112 §6.1, §6.3).
    Coding,
    /// Several hosts, user information in one, or another one in the target (RFC 9112 §3.2).
    Authority,
}

/// What follows the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// The next request.
    Nothing,
    /// A body of so many bytes.
    Sized(u64),
    /// A body in a transfer coding; only its reader knows where it ends.
    Coded,
}

/// Where the parts of a request line lie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LinePlace {
    pub(super) method: Range<usize>,
    pub(super) target: Range<usize>,
    pub(super) version: Range<usize>,
}

/// Where the parts of a field lie; its value without the blanks around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FieldPlace {
    pub(super) name: Range<usize>,
    pub(super) value: Range<usize>,
}

/// How far a scan has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Every byte so far is sound; more are needed.
    Incomplete,
    /// The head is these first bytes.
    Complete {
        /// Bytes, the empty line included.
        length: usize,
        /// What comes after them.
        framing: Framing,
    },
}

/// A scan under way. Feed it with all bytes of the head so far, each time from its first byte on.
#[derive(Debug)]
pub struct HeadScan {
    most_bytes: usize,
    line_start: usize,
    searched: usize,
    request_line: Option<LinePlace>,
    has_empty_line: bool,
    fields: Vec<FieldPlace>,
    length: Option<u64>,
    coded: bool,
}

impl HeadScan {
    /// A scan of a head that may have `most_bytes`.
    #[must_use]
    pub fn new(most_bytes: usize) -> HeadScan {
        HeadScan {
            most_bytes,
            line_start: 0,
            searched: 0,
            request_line: None,
            has_empty_line: false,
            fields: Vec::new(),
            length: None,
            coded: false,
        }
    }

    /// Makes ready for the next head.
    pub(super) fn restart(&mut self) {
        self.fields.clear();
        *self = HeadScan {
            fields: std::mem::take(&mut self.fields),
            ..HeadScan::new(self.most_bytes)
        };
    }

    /// Where the request line's parts lie, once the head is complete.
    pub(super) fn request_line(&self) -> LinePlace {
        self.request_line.clone().unwrap_or_default()
    }

    /// Where the fields lie, in order, once the head is complete.
    pub(super) fn fields(&self) -> &[FieldPlace] {
        &self.fields
    }

    /// Goes on with `head`, which starts with the bytes it was fed before.
    ///
    /// # Errors
    /// The first fault found; the scan is then over.
    pub fn advance(&mut self, head: &[u8]) -> Result<Progress, HeadFault> {
        while let Some(distance) = memchr(b'\n', &head[self.searched..]) {
            let end = self.searched + distance;
            if end >= self.most_bytes {
                return Err(HeadFault::TooLarge);
            }
            let line = head[self.line_start..end]
                .strip_suffix(b"\r")
                .ok_or(HeadFault::BareLineFeed)?;
            let start = self.line_start;
            self.searched = end + 1;
            self.line_start = end + 1;
            if self.line(line, start)? {
                return Ok(Progress::Complete {
                    length: end + 1,
                    framing: self.framing()?,
                });
            }
        }
        self.searched = head.len();
        if head.len() > self.most_bytes {
            return Err(HeadFault::TooLarge);
        }
        match head.get(self.line_start) {
            // A client that speaks something else entirely (TLS on the plain port) is told at once.
            Some(&first) if self.request_line.is_none() && !is_token_byte(first) && first != b'\r' => {
                Err(HeadFault::RequestLine)
            }
            _ => Ok(Progress::Incomplete),
        }
    }

    /// Takes one line, which begins at `start`, and says whether it ends the head.
    fn line(&mut self, line: &[u8], start: usize) -> Result<bool, HeadFault> {
        if self.request_line.is_some() {
            if line.is_empty() {
                return Ok(true);
            }
            self.field(line, start)?;
        } else if line.is_empty() && !self.has_empty_line {
            // Some old clients send one after a body (RFC 9112 §2.2).
            self.has_empty_line = true;
        } else {
            self.request_line = Some(request_line(line, start)?);
        }
        Ok(false)
    }

    fn field(&mut self, line: &[u8], start: usize) -> Result<(), HeadFault> {
        if line[0] == b' ' || line[0] == b'\t' {
            return Err(HeadFault::Fold);
        }
        let end = line
            .iter()
            .position(|&byte| !is_token_byte(byte))
            .ok_or(HeadFault::FieldName)?;
        if end == 0 || line[end] != b':' {
            return Err(HeadFault::FieldName);
        }
        let (name, value) = (&line[..end], &line[end + 1..]);
        // Written as a fold so that the compiler looks at many bytes at once.
        if value.iter().fold(false, |bad, &byte| {
            bad | (byte < b' ' && byte != b'\t') | (byte == 0x7f)
        }) {
            return Err(HeadFault::ControlByte);
        }
        if self.fields.len() == MOST_FIELDS {
            return Err(HeadFault::TooManyFields);
        }
        let value_start = start + end + 1 + (value.len() - value.trim_ascii_start().len());
        let value = value.trim_ascii();
        self.fields.push(FieldPlace {
            name: start..start + end,
            value: value_start..value_start + value.len(),
        });
        if name.eq_ignore_ascii_case(b"content-length") {
            if self.length.is_some() {
                return Err(HeadFault::Length);
            }
            self.length = Some(decimal(value).ok_or(HeadFault::Length)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.coded = true;
        }
        Ok(())
    }

    fn framing(&self) -> Result<Framing, HeadFault> {
        match (self.length, self.coded) {
            (Some(_), true) => Err(HeadFault::Length),
            (None, true) => Ok(Framing::Coded),
            (None | Some(0), false) => Ok(Framing::Nothing),
            (Some(length), false) => Ok(Framing::Sized(length)),
        }
    }
}

impl HeadFault {
    /// The status of the answer.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            HeadFault::TooLarge | HeadFault::TooManyFields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// A short word for metrics and logs.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            HeadFault::TooLarge => "header_too_large",
            HeadFault::TooManyFields => "too_many_fields",
            HeadFault::RequestLine => "request_line",
            HeadFault::BareLineFeed => "bare_line_feed",
            HeadFault::ControlByte => "control_byte",
            HeadFault::Fold => "folded_line",
            HeadFault::FieldName => "field_name",
            HeadFault::Length => "content_length",
            HeadFault::Coding => "transfer_encoding",
            HeadFault::Authority => "authority",
        }
    }
}

fn request_line(line: &[u8], start: usize) -> Result<LinePlace, HeadFault> {
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(raw_target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(HeadFault::RequestLine);
    };
    let method_holds = !method.is_empty() && method.iter().all(|&byte| is_token_byte(byte));
    let target_holds = !raw_target.is_empty() && raw_target.iter().all(|&byte| byte > b' ' && byte != 0x7f);
    let version_holds = version == b"HTTP/1.1" || version == b"HTTP/1.0";
    if !(method_holds && target_holds && version_holds) {
        return Err(HeadFault::RequestLine);
    }
    let target = start + method.len() + 1;
    let version_start = target + raw_target.len() + 1;
    Ok(LinePlace {
        method: start..start + method.len(),
        target: target..target + raw_target.len(),
        version: version_start..version_start + version.len(),
    })
}

/// Digits and nothing else: no sign, no list, no overflow (RFC 9110 §8.6).
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// RFC 9110 §5.6.2 `tchar`.
const fn is_token_byte(byte: u8) -> bool {
    const TOKEN: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0usize;
        while byte < 128 {
            table[byte] = (byte as u8).is_ascii_alphanumeric();
            byte += 1;
        }
        let marks = b"!#$%&'*+-.^_`|~";
        let mut mark = 0;
        while mark < marks.len() {
            table[marks[mark] as usize] = true;
            mark += 1;
        }
        table
    };
    TOKEN[byte as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: usize = 1024;

    fn scan(head: &[u8]) -> Result<Progress, HeadFault> {
        HeadScan::new(LIMIT).advance(head)
    }

    #[test]
    fn sound_heads_end_where_their_empty_line_ends() {
        for (head, framing) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Framing::Nothing),
            ("\r\nGET /a?b=%20c HTTP/1.0\r\n\r\n", Framing::Nothing),
            (
                "POST / HTTP/1.1\r\ncontent-LENGTH:  12 \r\n\r\n",
                Framing::Sized(12),
            ),
            ("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", Framing::Nothing),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
                Framing::Coded,
            ),
            (
                "GET /caf\u{e9} HTTP/1.1\r\nX: \u{fc}\tb\r\nEmpty:\r\n\r\n",
                Framing::Nothing,
            ),
        ] {
            let bytes = [head.as_bytes(), b"rest\r\n\r\n"].concat();
            assert_eq!(
                scan(&bytes),
                Ok(Progress::Complete {
                    length: head.len(),
                    framing
                }),
                "{head:?}"
            );
            for end in 0..head.len() {
                assert_eq!(
                    scan(&bytes[..end]),
                    Ok(Progress::Incomplete),
                    "{:?}",
                    &head.as_bytes()[..end]
                );
            }
        }
    }

    #[test]
    fn every_fault_has_its_name() {
        let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(LIMIT));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a:\r\n".repeat(MOST_FIELDS + 1));
        for (head, fault) in [
            ("GET / HTTP/1.1\nHost: a\r\n\r\n", HeadFault::BareLineFeed),
            ("GET / HTTP/1.1\r\nHost: a\n\r\n", HeadFault::BareLineFeed),
            ("GET / HTTP/1.1\r\nHost: a\r\n\n", HeadFault::BareLineFeed),
            ("\nGET / HTTP/1.1\r\n\r\n", HeadFault::BareLineFeed),
            ("\r\n\r\nGET / HTTP/1.1\r\n\r\n", HeadFault::RequestLine),
            ("GET  / HTTP/1.1\r\n\r\n", HeadFault::RequestLine),
            ("GET /a b HTTP/1.1\r\n\r\n", HeadFault::RequestLine),
            ("GET /\0 HTTP/1.1\r\n\r\n", HeadFault::RequestLine),
            ("GET /\t HTTP/1.1\r\n\r\n", HeadFault::RequestLine),
            ("GET /\r\n\r\n", HeadFault::RequestLine),
            ("GET / HTTP/2.0\r\n\r\n", HeadFault::RequestLine),
            ("GET / HTTP/1.1 \r\n\r\n", HeadFault::RequestLine),
            ("G@T / HTTP/1.1\r\n\r\n", HeadFault::RequestLine),
            (" GET / HTTP/1.1\r\n\r\n", HeadFault::RequestLine),
            ("\u{16}\u{3}\u{1}\u{2}", HeadFault::RequestLine),
            ("GET / HTTP/1.1\r\nA: b\0c\r\n\r\n", HeadFault::ControlByte),
            ("GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", HeadFault::ControlByte),
            ("GET / HTTP/1.1\r\nA: b\u{7f}\r\n\r\n", HeadFault::ControlByte),
            ("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", HeadFault::Fold),
            ("GET / HTTP/1.1\r\n A: b\r\n\r\n", HeadFault::Fold),
            ("GET / HTTP/1.1\r\n\tA: b\r\n\r\n", HeadFault::Fold),
            ("GET / HTTP/1.1\r\nA : b\r\n\r\n", HeadFault::FieldName),
            ("GET / HTTP/1.1\r\nA\0: b\r\n\r\n", HeadFault::FieldName),
            ("GET / HTTP/1.1\r\n: b\r\n\r\n", HeadFault::FieldName),
            ("GET / HTTP/1.1\r\nAb\r\n\r\n", HeadFault::FieldName),
            (
                "GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                HeadFault::Length,
            ),
            (
                "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
                HeadFault::Length,
            ),
            (
                "GET / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n",
                HeadFault::Length,
            ),
            ("GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", HeadFault::Length),
            ("GET / HTTP/1.1\r\nContent-Length: \r\n\r\n", HeadFault::Length),
            (
                "GET / HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n\r\n",
                HeadFault::Length,
            ),
            (&long, HeadFault::TooLarge),
            (&many, HeadFault::TooManyFields),
        ] {
            let found = HeadScan::new(if head == many { 1 << 20 } else { LIMIT }).advance(head.as_bytes());
            assert_eq!(found, Err(fault), "{head:?}");
        }
    }

    #[test]
    fn a_head_that_never_ends_is_too_large_and_one_byte_less_is_not() {
        let head = vec![b'A'; LIMIT];
        assert_eq!(scan(&head), Ok(Progress::Incomplete));
        assert_eq!(scan(&[&head[..], b"A"].concat()), Err(HeadFault::TooLarge));
    }

    proptest! {
        #[test]
        fn where_reads_split_a_head_changes_nothing(
            lines in proptest::collection::vec("[ -~\t\r\n]{0,12}", 0..6),
            cuts in proptest::collection::vec(1usize..9, 1..64),
        ) {
            let head = format!("GET / HTTP/1.1\r\n{}\r\n\r\n", lines.join("\r\n"));
            let whole = scan(head.as_bytes());
            let mut scan = HeadScan::new(LIMIT);
            let mut end = 0;
            let mut result = Ok(Progress::Incomplete);
            for cut in cuts.iter().cycle() {
                end = (end + cut).min(head.len());
                result = scan.advance(&head.as_bytes()[..end]);
                if end == head.len() || result != Ok(Progress::Incomplete) {
                    break;
                }
            }
            prop_assert_eq!(result, whole);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = scan(&bytes);
        }
    }
}
