//! Reads a body off its framing: so many bytes, chunks, or everything until the end of the connection. Pure.
//!
//! ```text
//!  size [;extension] CRLF │ bytes │ CRLF │ … │ 0 CRLF │ trailer fields │ CRLF        (RFC 9112 §7.1)
//!  ChunkSize                Chunk   ChunkEnd   ChunkSize  Trailer         Ended
//! ```

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use memchr::memchr;

use super::BodyFault;
use super::trailer::TrailerReader;

/// A chunk's line: sixteen digits, and extensions that nobody uses but to confuse.
const LINE_BYTES_MAX: usize = 1024;

/// Bytes of chunk extensions in one body: they cost us reading and bring nothing.
const EXTENSION_BYTES_MAX: usize = 16 * 1024;

/// Digits of the largest size that 64 bits hold.
const SIZE_DIGITS_MAX: usize = 16;

/// The reading side of one body.
#[derive(Debug)]
pub struct BodyReader {
    state: State,
    extension_bytes: usize,
    trailer: TrailerReader,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Sized(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailer,
    UntilClose,
    Ended,
}

/// How far one step came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Some bytes of the body; never none.
    Piece(Bytes),
    /// More bytes are needed.
    More,
    /// That was all of it; what lies in the buffer belongs to the next message.
    End,
}

impl BodyReader {
    /// A body of so many bytes.
    #[must_use]
    pub fn sized(bytes: u64) -> BodyReader {
        BodyReader::new(State::Sized(bytes))
    }

    /// A body in chunks.
    #[must_use]
    pub fn chunked() -> BodyReader {
        BodyReader::new(State::ChunkSize)
    }

    /// A body that ends with its connection.
    #[must_use]
    pub fn until_close() -> BodyReader {
        BodyReader::new(State::UntilClose)
    }

    fn new(state: State) -> BodyReader {
        BodyReader {
            state,
            extension_bytes: 0,
            trailer: TrailerReader::default(),
        }
    }

    /// Whether all of it was read.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended | State::Sized(0))
    }

    /// The trailer fields that may be passed on, once the body has ended.
    pub fn take_trailers(&mut self) -> HeaderMap {
        self.trailer.take()
    }

    /// Takes what comes next off `buffer`. A piece is copied, so that one that is kept keeps no more than itself alive.
    ///
    /// # Errors
    /// What is wrong with the body; nothing after it can be believed.
    pub fn read(&mut self, buffer: &mut BytesMut) -> Result<Step, BodyFault> {
        loop {
            match self.state {
                State::Ended | State::Sized(0) => return Ok(Step::End),
                State::Sized(left) | State::Chunk(left) => {
                    let Some(piece) = take(buffer, left) else {
                        return Ok(Step::More);
                    };
                    let left = left - piece.len() as u64;
                    self.state = match self.state {
                        State::Sized(_) => State::Sized(left),
                        _ if left == 0 => State::ChunkEnd,
                        _ => State::Chunk(left),
                    };
                    return Ok(Step::Piece(piece));
                }
                State::UntilClose => return Ok(take(buffer, u64::MAX).map_or(Step::More, Step::Piece)),
                State::ChunkSize => {
                    let Some(line) = line(buffer)? else {
                        return Ok(Step::More);
                    };
                    self.state = match self.size(&line)? {
                        0 => State::Trailer,
                        size => State::Chunk(size),
                    };
                }
                State::ChunkEnd => {
                    let expected = &b"\r\n"[..buffer.len().min(2)];
                    if !buffer.starts_with(expected) {
                        return Err(BodyFault::ChunkEnd);
                    }
                    if buffer.len() < 2 {
                        return Ok(Step::More);
                    }
                    buffer.advance(2);
                    self.state = State::ChunkSize;
                }
                State::Trailer => {
                    if !self.trailer.read(buffer)? {
                        return Ok(Step::More);
                    }
                    self.state = State::Ended;
                }
            }
        }
    }

    /// The connection has ended: that ends a body which has no other end.
    ///
    /// # Errors
    /// [`BodyFault::CutShort`] where more had to come.
    pub fn connection_ended(&mut self) -> Result<(), BodyFault> {
        match self.state {
            State::UntilClose | State::Ended | State::Sized(0) => {
                self.state = State::Ended;
                Ok(())
            }
            _ => Err(BodyFault::CutShort),
        }
    }

    fn size(&mut self, line: &[u8]) -> Result<u64, BodyFault> {
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        if !(1..=SIZE_DIGITS_MAX).contains(&digits) {
            return Err(BodyFault::ChunkSize);
        }
        let (digits, extension) = line.split_at(digits);
        if !extension.is_empty() {
            if extension.trim_ascii_start().first() != Some(&b';') {
                return Err(BodyFault::ChunkSize);
            }
            self.extension_bytes += extension.len();
            let is_wrong = |byte: &u8| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f;
            if self.extension_bytes > EXTENSION_BYTES_MAX || extension.iter().any(is_wrong) {
                return Err(BodyFault::Extension);
            }
        }
        let size = digits.iter().fold(0, |size: u64, digit| {
            size << 4 | u64::from(char::from(*digit).to_digit(16).unwrap_or_default())
        });
        Ok(size)
    }
}

/// Up to `most` bytes; `None` when there are none.
fn take(buffer: &mut BytesMut, most: u64) -> Option<Bytes> {
    let count = buffer.len().min(usize::try_from(most).unwrap_or(usize::MAX));
    if count == 0 {
        return None;
    }
    let piece = Bytes::copy_from_slice(&buffer[..count]);
    buffer.advance(count);
    Some(piece)
}

/// The next line without its CRLF; `None` when it is not whole.
fn line(buffer: &mut BytesMut) -> Result<Option<BytesMut>, BodyFault> {
    let Some(end) = memchr(b'\n', &buffer[..buffer.len().min(LINE_BYTES_MAX)]) else {
        return if buffer.len() < LINE_BYTES_MAX {
            Ok(None)
        } else {
            Err(BodyFault::Extension)
        };
    };
    if end == 0 || buffer[end - 1] != b'\r' {
        return Err(BodyFault::ChunkSize);
    }
    let mut line = buffer.split_to(end + 1);
    line.truncate(end - 1);
    Ok(Some(line))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The body, and what is left over after it; or what is wrong.
    fn read(mut reader: BodyReader, wire: &[u8], step: usize) -> Result<(Vec<u8>, Vec<u8>), BodyFault> {
        let mut buffer = BytesMut::new();
        let mut body = Vec::new();
        for piece in wire.chunks(step.max(1)) {
            buffer.extend_from_slice(piece);
            loop {
                match reader.read(&mut buffer)? {
                    Step::Piece(piece) => body.extend_from_slice(&piece),
                    Step::More => break,
                    Step::End => break,
                }
            }
        }
        reader.connection_ended()?;
        Ok((body, buffer.to_vec()))
    }

    #[test]
    fn a_body_ends_where_its_framing_says_however_it_is_cut_up() {
        for (reader, wire, body, rest) in [
            (
                BodyReader::sized as fn(u64) -> BodyReader,
                "hello, next",
                "hello",
                ", next",
            ),
            (
                |_| BodyReader::chunked(),
                "5\r\nhello\r\n0\r\n\r\nnext",
                "hello",
                "next",
            ),
            (
                |_| BodyReader::chunked(),
                "2\r\nhe\r\n003;a=\"b\"\r\nllo\r\n0 ;x\r\nA: b\r\n\r\nnext",
                "hello",
                "next",
            ),
            (|_| BodyReader::until_close(), "hello", "hello", ""),
        ] {
            for step in 1..wire.len() {
                let found = read(reader(5), wire.as_bytes(), step);
                assert_eq!(
                    found,
                    Ok((body.as_bytes().to_vec(), rest.as_bytes().to_vec())),
                    "{wire:?} by {step}"
                );
            }
        }
    }

    #[test]
    fn every_fault_of_chunks_has_its_name() {
        let long = format!("1;{}\r\na\r\n", "x".repeat(LINE_BYTES_MAX));
        let much = format!("1;{}\r\na\r\n", "x".repeat(900)).repeat(20);
        for (wire, fault) in [
            ("5\nhello\r\n0\r\n\r\n", BodyFault::ChunkSize),
            ("\n", BodyFault::ChunkSize),
            ("\r\n", BodyFault::ChunkSize),
            ("+5\r\nhello\r\n", BodyFault::ChunkSize),
            ("-1\r\n", BodyFault::ChunkSize),
            ("0x5\r\nhello\r\n", BodyFault::ChunkSize),
            (" 5\r\nhello\r\n", BodyFault::ChunkSize),
            ("5 \r\nhello\r\n", BodyFault::ChunkSize),
            ("5 5\r\nhello\r\n", BodyFault::ChunkSize),
            ("5,5\r\nhello\r\n", BodyFault::ChunkSize),
            ("10000000000000005\r\nhello\r\n", BodyFault::ChunkSize),
            ("5;a\nhello\r\n", BodyFault::ChunkSize),
            ("5;a\rb\r\nhello\r\n", BodyFault::Extension),
            ("5;a\0\r\nhello\r\n", BodyFault::Extension),
            (&long, BodyFault::Extension),
            (&much, BodyFault::Extension),
            ("5\r\nhellox\r\n", BodyFault::ChunkEnd),
            ("5\r\nhello\n0\r\n\r\n", BodyFault::ChunkEnd),
            ("5\r\nhello\rx", BodyFault::ChunkEnd),
            ("0\r\nA : b\r\n\r\n", BodyFault::Trailer),
            ("0\r\n a: b\r\n\r\n", BodyFault::Trailer),
            ("0\r\nnothing\r\n\r\n", BodyFault::Trailer),
            ("0\r\nA: b\n\r\n", BodyFault::Trailer),
            ("0\r\nA: b\0\r\n\r\n", BodyFault::Trailer),
            ("5\r\nhel", BodyFault::CutShort),
            ("0\r\n", BodyFault::CutShort),
        ] {
            assert_eq!(
                read(BodyReader::chunked(), wire.as_bytes(), 7),
                Err(fault),
                "{wire:?}"
            );
        }
        assert_eq!(read(BodyReader::sized(5), b"hell", 9), Err(BodyFault::CutShort));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_where_reads_cut_them_changes_nothing(
            bytes in proptest::collection::vec("[0-9a-f\r\n;:x ]{1,3}", 0..60),
            step in 1usize..20,
        ) {
            let bytes = bytes.concat();
            let whole = read(BodyReader::chunked(), bytes.as_bytes(), bytes.len());
            prop_assert_eq!(read(BodyReader::chunked(), bytes.as_bytes(), step), whole);
        }
    }
}
