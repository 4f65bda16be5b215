//! A body in chunks: however it comes in, it has one end or is refused.

use bytes::BytesMut;

use super::framing::{BodyReader, Step, chunk_head, last_chunk};

/// Bytes at once and in pieces bring the same body and leave the same rest; and the body, written in chunks of our own,
/// is read as it was.
pub fn holds(bytes: &[u8]) {
    let at_once = read(bytes, bytes.len().max(1));
    for step in [1, 5] {
        assert_eq!(read(bytes, step), at_once, "in pieces of {step}");
    }
    let Some((body, used)) = at_once else { return };
    assert!(body.len() <= used && used <= bytes.len());
    let mut written = Vec::new();
    for chunk in body.chunks(7) {
        written.extend_from_slice(&chunk_head(chunk.len() as u64));
        written.extend_from_slice(chunk);
        written.extend_from_slice(b"\r\n");
    }
    written.extend_from_slice(&last_chunk(&http::HeaderMap::new()));
    let end = written.len();
    assert_eq!(read(&written, 3), Some((body, end)));
}

/// The body and how many bytes it took; `None` where it has no end, or none that is sound.
fn read(bytes: &[u8], step: usize) -> Option<(Vec<u8>, usize)> {
    let mut reader = BodyReader::chunked();
    let (mut buffer, mut body) = (BytesMut::new(), Vec::new());
    for piece in bytes.chunks(step) {
        buffer.extend_from_slice(piece);
        let mut fed = 0;
        loop {
            match reader.read(&mut buffer).ok()? {
                Step::Piece(piece) => body.extend_from_slice(&piece),
                Step::More => break,
                Step::End => {
                    let fed_all = piece.as_ptr() as usize - bytes.as_ptr() as usize + piece.len();
                    return Some((body, fed_all - buffer.len()));
                }
            }
            fed += 1;
            assert!(fed <= bytes.len() + 1, "the reader goes in circles");
        }
    }
    None
}
