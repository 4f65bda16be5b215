//! Counts what an HTTP/2 client sends that carries no request.
//!
//! The h2 crate bounds resets, CONTINUATION and small DATA frames by itself, but answers SETTINGS and PING for ever,
//! for as long as a client cares to send them. Looking at nine bytes of each frame is enough to tell such frames from
//! those that carry a request, so this asks nothing of the application.
//!
//! ```text
//!  0        3     4      5          9                 (RFC 9113 §4.1)
//!  +--------+-----+------+----------+---------~
//!  | length | type| flags| stream   | payload
//!  +--------+-----+------+----------+---------~
//! ```

/// Bytes a client may spend on control frames between two requests: 3,855 PINGs, more than any client sends for a use.
const FREE_BYTES: u64 = 64 * 1024;

/// For every so many bytes the client took it may send one more: a window update (13 bytes, twice) for every 512
/// bytes of a body is far more than clients send.
const TAKEN_PER_FREE_BYTE: u64 = 16;

const PREFACE_BYTES: usize = 24;
const FRAME_HEADER_BYTES: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;

/// Follows the frames of one connection.
#[derive(Debug)]
pub(crate) struct FrameMeter {
    preface_left: usize,
    header: [u8; FRAME_HEADER_BYTES],
    header_length: usize,
    payload_left: usize,
    /// Bytes of control frames since the last request.
    control_bytes: u64,
    /// What the client had taken at the last request.
    taken_before: u64,
}

impl FrameMeter {
    /// A connection before its first byte.
    pub(crate) fn new() -> FrameMeter {
        FrameMeter {
            preface_left: PREFACE_BYTES,
            header: [0; FRAME_HEADER_BYTES],
            header_length: 0,
            payload_left: 0,
            control_bytes: 0,
            taken_before: 0,
        }
    }

    /// Whether the whole connection preface has come.
    pub(crate) fn has_begun(&self) -> bool {
        self.preface_left == 0
    }

    /// Takes the next bytes of a client that has taken `taken` bytes so far; false when it floods.
    pub(crate) fn read(&mut self, mut bytes: &[u8], taken: u64) -> bool {
        skip(&mut bytes, &mut self.preface_left);
        while !bytes.is_empty() {
            skip(&mut bytes, &mut self.payload_left);
            let missing = (FRAME_HEADER_BYTES - self.header_length).min(bytes.len());
            let (header, rest) = bytes.split_at(missing);
            self.header[self.header_length..][..missing].copy_from_slice(header);
            self.header_length += missing;
            bytes = rest;
            if self.header_length == FRAME_HEADER_BYTES {
                self.header_length = 0;
                self.frame(taken);
            }
        }
        self.control_bytes <= FREE_BYTES + (taken - self.taken_before) / TAKEN_PER_FREE_BYTE
    }

    fn frame(&mut self, taken: u64) {
        let [high, middle, low, kind, ..] = self.header;
        let length = u32::from_be_bytes([0, high, middle, low]);
        self.payload_left = length as usize;
        match kind {
            HEADERS => {
                self.control_bytes = 0;
                self.taken_before = taken;
            }
            DATA if length > 0 => {}
            _ => self.control_bytes += u64::from(length) + FRAME_HEADER_BYTES as u64,
        }
    }
}

/// Skips up to `count` bytes and takes them off `count`.
fn skip(bytes: &mut &[u8], count: &mut usize) {
    let skipped = bytes.len().min(*count);
    *bytes = &bytes[skipped..];
    *count -= skipped;
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const PING: u8 = 6;
    const WINDOW_UPDATE: u8 = 8;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let size = (length as u32).to_be_bytes();
        [
            &[size[1], size[2], size[3], kind, 0, 0, 0, 0, 1],
            &vec![0xab; length][..],
        ]
        .concat()
    }

    fn begun() -> FrameMeter {
        let mut meter = FrameMeter::new();
        assert!(!meter.has_begun());
        assert!(meter.read(PREFACE, 0));
        assert!(meter.has_begun());
        meter
    }

    /// How many of `frame` are let through when the client takes `taken_each` bytes between them.
    fn let_through(meter: &mut FrameMeter, frame: &[u8], most: u64, taken_each: u64) -> u64 {
        (0..most)
            .take_while(|count| meter.read(frame, count * taken_each))
            .count() as u64
    }

    #[test]
    fn pings_without_a_request_end_at_the_budget() {
        assert_eq!(
            let_through(&mut begun(), &frame(PING, 8), 1_000_000, 0),
            FREE_BYTES / 17
        );
    }

    #[test]
    fn their_acknowledgements_do_not_pay_for_pings() {
        let through = let_through(&mut begun(), &frame(PING, 8), 1_000_000, 17);
        assert!(through < 2 * FREE_BYTES / 17, "{through}");
    }

    #[test]
    fn empty_data_frames_count_and_bodies_do_not() {
        assert!(let_through(&mut begun(), &frame(DATA, 0), 1_000_000, 0) < 10_000);
        assert_eq!(let_through(&mut begun(), &frame(DATA, 1000), 10_000, 0), 10_000);
    }

    #[test]
    fn a_request_starts_a_new_budget() {
        let mut meter = begun();
        let request = frame(HEADERS, 50);
        for _ in 0..10 {
            assert!(meter.read(&request, 0));
            assert_eq!(let_through(&mut meter, &frame(PING, 8), 3000, 0), 3000);
        }
    }

    #[test]
    fn a_long_download_may_update_its_windows_for_ever() {
        let mut meter = begun();
        meter.read(&frame(HEADERS, 50), 0);
        let updates = [frame(WINDOW_UPDATE, 4), frame(WINDOW_UPDATE, 4)].concat();
        assert_eq!(let_through(&mut meter, &updates, 100_000, 1024), 100_000);
    }

    #[test]
    fn where_reads_split_frames_changes_nothing() {
        let bytes = [
            PREFACE,
            &frame(PING, 8),
            &frame(DATA, 300),
            &frame(WINDOW_UPDATE, 4),
        ]
        .concat();
        for step in 1..bytes.len() {
            let mut meter = FrameMeter::new();
            for piece in bytes.chunks(step) {
                assert!(meter.read(piece, 0));
            }
            assert_eq!(meter.control_bytes, 17 + 13, "{step}");
            assert_eq!((meter.header_length, meter.payload_left), (0, 0));
        }
    }
}
