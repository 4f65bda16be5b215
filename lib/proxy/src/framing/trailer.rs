//! The trailer section of a chunked body (RFC 9112 §7.1.2): read strictly, and rid of what must not stand there.

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::memchr;

use super::BodyFault;
use crate::headers::trailers;

/// Bytes of one trailer section: a checksum, a signature, a status and their names are a few hundred.
const TRAILER_BYTES_MAX: usize = 8 * 1024;

/// Fields of one trailer section.
const TRAILER_FIELDS_MAX: usize = 32;

/// What was read of a trailer section.
#[derive(Debug, Default)]
pub(super) struct TrailerReader {
    bytes: usize,
    count: usize,
    fields: HeaderMap,
}

impl TrailerReader {
    /// Takes whole lines off `buffer`; true when the empty line was among them.
    pub(super) fn read(&mut self, buffer: &mut BytesMut) -> Result<bool, BodyFault> {
        while let Some(end) = memchr(b'\n', buffer) {
            self.bytes += end + 1;
            if self.bytes > TRAILER_BYTES_MAX || end == 0 || buffer[end - 1] != b'\r' {
                return Err(BodyFault::Trailer);
            }
            let line = buffer.split_to(end + 1);
            let line = &line[..end - 1];
            if line.is_empty() {
                return Ok(true);
            }
            self.field(line)?;
        }
        if self.bytes + buffer.len() > TRAILER_BYTES_MAX {
            return Err(BodyFault::Trailer);
        }
        Ok(false)
    }

    fn field(&mut self, line: &[u8]) -> Result<(), BodyFault> {
        let colon = memchr(b':', line).ok_or(BodyFault::Trailer)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        // The name's type refuses what is no token, the value's all control bytes but the tab.
        let name = HeaderName::from_bytes(name).map_err(|_| BodyFault::Trailer)?;
        let value = HeaderValue::from_bytes(value).map_err(|_| BodyFault::Trailer)?;
        self.count += 1;
        if self.count > TRAILER_FIELDS_MAX {
            return Err(BodyFault::Trailer);
        }
        if trailers::may_stand_there(&name) {
            self.fields.append(name, value);
        }
        Ok(())
    }

    pub(super) fn take(&mut self) -> HeaderMap {
        std::mem::take(&mut self.fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(section: &str) -> Result<HeaderMap, BodyFault> {
        let mut reader = TrailerReader::default();
        let mut buffer = BytesMut::from(section);
        assert!(reader.read(&mut buffer)?, "{section:?} has no end");
        assert!(buffer.is_empty());
        Ok(reader.take())
    }

    #[test]
    fn what_frames_routes_or_authorises_is_dropped_and_the_rest_is_kept() {
        let fields = read(
            "X-Sum: 1\r\nContent-Length: 5\r\nx-sum:  2 \r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        )
        .unwrap();
        let sums: Vec<_> = fields.get_all("x-sum").iter().collect();
        assert_eq!(sums, ["1", "2"]);
        assert_eq!(fields.len(), 2);
    }

    #[test]
    fn a_section_has_its_bounds() {
        let many = "a: b\r\n".repeat(TRAILER_FIELDS_MAX + 1);
        assert_eq!(read(&format!("{many}\r\n")), Err(BodyFault::Trailer));
        let long = format!("a: {}\r\n\r\n", "b".repeat(TRAILER_BYTES_MAX));
        assert_eq!(read(&long), Err(BodyFault::Trailer));
        let mut endless = BytesMut::from(&vec![b'a'; TRAILER_BYTES_MAX + 1][..]);
        assert_eq!(
            TrailerReader::default().read(&mut endless),
            Err(BodyFault::Trailer)
        );
    }
}
