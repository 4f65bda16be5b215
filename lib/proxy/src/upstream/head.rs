//! The head of an upstream's answer, read strictly: where it ends, and how its body is framed. Pure.
//!
//! An answer that two readers could end at different places would put one client's answer under another's request, or
//! into the cache. So what frames a body must be said once, or in the same way each time; all else is refused.

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use memchr::memchr;
use memchr::memmem;

use crate::framing::BodyReader;

/// Bytes of one answer's head. Real ones have a few KiB; cookies and policies may make some of them ten times that.
const HEAD_BYTES_MAX: usize = 128 * 1024;

/// Fields of one answer.
const FIELDS_MAX: usize = 256;

/// Why an answer's head is not believed.
pub(super) type HeadFault = &'static str;

/// The head of an answer, final or interim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// 1.0 or 1.1.
    pub(super) version: Version,
    /// Its status.
    pub(super) status: StatusCode,
    /// Its fields as sent; Content-Length once at most.
    pub(super) fields: HeaderMap,
}

/// Takes a head off `buffer`; `None` when it is not whole. `searched` remembers how far its end was looked for.
///
/// # Errors
/// What is wrong with it.
pub(super) fn take(buffer: &mut BytesMut, searched: &mut usize) -> Result<Option<Head>, HeadFault> {
    let start = searched.saturating_sub(3);
    let Some(at) = memmem::find(&buffer[start..], b"\r\n\r\n") else {
        *searched = buffer.len();
        if buffer.len() > HEAD_BYTES_MAX {
            return Err("a head that is too large");
        }
        let begins = &buffer[..buffer.len().min(5)];
        if !b"HTTP/".starts_with(begins) {
            return Err("an answer that is no HTTP/1");
        }
        if memmem::find(&buffer[start..], b"\n\n").is_some() {
            return Err("a head whose lines end with a bare LF");
        }
        return Ok(None);
    };
    *searched = 0;
    let head = buffer.split_to(start + at + 4);
    if head.len() > HEAD_BYTES_MAX {
        return Err("a head that is too large");
    }
    parse(&head[..head.len() - 2]).map(Some)
}

fn parse(head: &[u8]) -> Result<Head, HeadFault> {
    let mut rest = head;
    let mut next_line = move || -> Result<Option<&[u8]>, HeadFault> {
        let Some(end) = memchr(b'\n', rest) else {
            return Ok(None);
        };
        let line = rest[..end]
            .strip_suffix(b"\r")
            .ok_or("a head with a line that ends with a bare LF")?;
        rest = &rest[end + 1..];
        Ok(Some(line))
    };
    let (version, status) = status_line(next_line()?.unwrap_or_default())?;
    let mut fields = HeaderMap::new();
    while let Some(line) = next_line()? {
        if fields.len() == FIELDS_MAX {
            return Err("a head with too many fields");
        }
        let (name, value) = field(line)?;
        fields.append(name, value);
    }
    let length = length(&fields)?;
    if let Some(length) = length {
        // Said twice in the same way is said once (RFC 9112 §6.3).
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(Head {
        version,
        status,
        fields,
    })
}

fn status_line(line: &[u8]) -> Result<(Version, StatusCode), HeadFault> {
    const WRONG: HeadFault = "an answer without a proper status line";
    let version = match line.get(..9) {
        Some(b"HTTP/1.1 ") => Version::HTTP_11,
        Some(b"HTTP/1.0 ") => Version::HTTP_10,
        _ => return Err(WRONG),
    };
    let code = line.get(9..12).ok_or(WRONG)?;
    let reason = &line[12..];
    if !(reason.is_empty() || reason.starts_with(b" ")) || reason.iter().any(is_control) {
        return Err(WRONG);
    }
    let status = StatusCode::from_bytes(code).map_err(|_| WRONG)?;
    Ok((version, status))
}

fn field(line: &[u8]) -> Result<(HeaderName, HeaderValue), HeadFault> {
    if line.first().is_some_and(u8::is_ascii_whitespace) {
        return Err("a head with a folded line");
    }
    let colon = memchr(b':', line).ok_or("a head with a line that is no field")?;
    // Blanks before the colon are taken away (RFC 9112 §5.1).
    let name = line[..colon].trim_ascii_end();
    let value = line[colon + 1..].trim_ascii();
    let name = HeaderName::from_bytes(name).map_err(|_| "a head with a field that has no proper name")?;
    let value = HeaderValue::from_bytes(value).map_err(|_| "a head with control bytes in a field")?;
    Ok((name, value))
}

fn is_control(byte: &u8) -> bool {
    (*byte < b' ' && *byte != b'\t') || *byte == 0x7f
}

fn length(fields: &HeaderMap) -> Result<Option<u64>, HeadFault> {
    const WRONG: HeadFault = "a head with a Content-Length that is no number";
    let mut length = None;
    for line in fields.get_all(header::CONTENT_LENGTH) {
        for member in line.as_bytes().split(|byte| *byte == b',') {
            let digits = member.trim_ascii();
            if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
                return Err(WRONG);
            }
            let number = std::str::from_utf8(digits)
                .ok()
                .and_then(|digits| digits.parse().ok());
            let number: u64 = number.ok_or(WRONG)?;
            if length.is_some_and(|length| length != number) {
                return Err("a head with several lengths");
            }
            length = Some(number);
        }
    }
    Ok(length)
}

impl Head {
    /// How the body is framed that follows this head of an answer to `method` (RFC 9112 §6.3).
    ///
    /// # Errors
    /// When it is framed in more than one way, or by a transfer coding that we did not ask for.
    pub(super) fn body(&self, method: &Method) -> Result<BodyReader, HeadFault> {
        let length = length(&self.fields)?;
        let codings: Vec<&[u8]> = self
            .fields
            .get_all(header::TRANSFER_ENCODING)
            .iter()
            .map(HeaderValue::as_bytes)
            .collect();
        let chunked = match codings[..] {
            [] => false,
            _ if self.version == Version::HTTP_10 => return Err("a transfer coding in HTTP/1.0"),
            _ if length.is_some() => return Err("a head with both Content-Length and Transfer-Encoding"),
            [coding] if coding.eq_ignore_ascii_case(b"chunked") => true,
            _ => return Err("a transfer coding other than chunked"),
        };
        let has_none = *method == Method::HEAD
            || self.status.is_informational()
            || self.status == StatusCode::NO_CONTENT
            || self.status == StatusCode::NOT_MODIFIED;
        Ok(match length {
            _ if has_none => BodyReader::sized(0),
            _ if chunked => BodyReader::chunked(),
            Some(length) => BodyReader::sized(length),
            None => BodyReader::until_close(),
        })
    }

    /// Whether the upstream lets its connection serve another request (RFC 9112 §9.3).
    #[must_use]
    pub(super) fn keeps_connection(&self) -> bool {
        let says = |wanted: &[u8]| {
            self.fields.get_all(header::CONNECTION).iter().any(|line| {
                let mut options = line.as_bytes().split(|byte| *byte == b',');
                options.any(|option| option.trim_ascii().eq_ignore_ascii_case(wanted))
            })
        };
        // A 204 that announces bytes may well send them (RFC 9110 §8.6).
        let is_odd = self.status == StatusCode::NO_CONTENT
            && (self.fields.contains_key(header::TRANSFER_ENCODING)
                || self
                    .fields
                    .get(header::CONTENT_LENGTH)
                    .is_some_and(|length| length != "0"));
        !is_odd && !says(b"close") && (self.version == Version::HTTP_11 || says(b"keep-alive"))
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::*;
    use crate::framing::Step;

    fn read(text: &str) -> Result<Head, HeadFault> {
        let mut buffer = BytesMut::from(text);
        take(&mut buffer, &mut 0).map(|head| head.expect("a whole head"))
    }

    #[test]
    fn a_head_is_whole_where_its_empty_line_is_however_it_is_cut_up() {
        let text =
            "HTTP/1.1 200 OK\r\nA: b\r\nC : d \r\ncontent-length: 3, 3\r\nContent-Length: 3\r\n\r\nabc";
        for step in 1..text.len() {
            let (mut buffer, mut searched) = (BytesMut::new(), 0);
            let mut found = None;
            for piece in text.as_bytes().chunks(step) {
                buffer.extend_from_slice(piece);
                if found.is_none() {
                    found = take(&mut buffer, &mut searched).unwrap();
                }
            }
            let head = found.expect("it is whole");
            assert_eq!((head.status, &buffer[..]), (StatusCode::OK, &b"abc"[..]));
            assert_eq!(
                (&head.fields["a"], &head.fields["c"]),
                (&"b".parse().unwrap(), &"d".parse().unwrap())
            );
            assert_eq!(head.fields.get_all("content-length").iter().count(), 1);
        }
    }

    #[test]
    fn what_is_no_head_is_refused() {
        let many = "a: b\r\n".repeat(FIELDS_MAX + 1);
        for text in [
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.1  200 OK\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1 200 O\rK\r\n\r\n",
            "HTTP/1.1 200 OK\nA: b\r\n\r\n",
            "HTTP/1.1 200 OK\n\n",
            "hello, world",
            "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA\r\n\r\n",
            "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA b: c\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1,\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
            &format!("HTTP/1.1 200 OK\r\n{many}\r\n"),
        ] {
            let found = take(&mut BytesMut::from(text), &mut 0);
            assert!(found.is_err(), "{text:?}: {found:?}");
        }
    }

    #[test]
    fn a_body_is_framed_in_one_way_or_the_answer_is_refused() {
        for (head, body) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", Ok("ab")),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n",
                Ok("chunk"),
            ),
            ("HTTP/1.1 200 OK\r\n\r\n", Ok("abcdef")),
            ("HTTP/1.1 204 No Content\r\n\r\n", Ok("")),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n", Ok("")),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
                Err(()),
            ),
            ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Err(())),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
                Err(()),
            ),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n", Err(())),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
                Err(()),
            ),
        ] {
            let wire = if body == Ok("chunk") {
                "5\r\nchunk\r\n0\r\n\r\n"
            } else {
                "abcdef"
            };
            let found = read(head).unwrap().body(&Method::GET).map(|mut reader| {
                let mut buffer = BytesMut::from(wire);
                match reader.read(&mut buffer).unwrap() {
                    Step::Piece(piece) => String::from_utf8(piece.to_vec()).unwrap(),
                    Step::More | Step::End => String::new(),
                }
            });
            assert_eq!(found.map_err(drop), body.map(str::to_owned), "{head:?}");
        }
    }

    #[test]
    fn a_connection_is_kept_where_the_upstream_keeps_it() {
        for (head, keeps) in [
            ("HTTP/1.1 200 OK\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\nConnection: x, Close\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", true),
            ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", false),
        ] {
            assert_eq!(read(head).unwrap().keeps_connection(), keeps, "{head:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_what_it_takes_is_there(
            tail in proptest::collection::vec("[ -~\r\n:]{0,9}|Content-Length: 1\r\n|\r\n", 0..20),
        ) {
            let text = format!("HTTP/1.1 200 OK\r\n{}", tail.concat());
            let mut buffer = BytesMut::from(text.as_bytes());
            if let Ok(Some(head)) = take(&mut buffer, &mut 0) {
                prop_assert!(text.as_bytes().ends_with(&buffer));
                prop_assert!(head.fields.get_all("content-length").iter().count() <= 1);
                let _ = head.body(&Method::GET);
            }
        }
    }
}
