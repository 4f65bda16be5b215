//! A reply under construction: it never grows beyond what the client takes, and its OPT record always has room.

use super::{
    Rcode, code,
    outcome::Transport,
    query::{Edns, HEADER},
};

/// The largest datagram that is sent, and the largest that is asked for: what passes everywhere without fragments
/// (DNS Flag Day 2020).
pub(crate) const UDP_BYTES_MAX: usize = 1232;

/// The largest message over TCP, where its length has two bytes.
pub(crate) const TCP_BYTES_MAX: usize = 65_535;

/// The largest datagram for a client that does not say what it takes (RFC 1035 §4.2.1).
const UDP_BYTES_DEFAULT: u16 = 512;

/// Bytes of an OPT record without options.
const OPT: usize = 11;

/// Bytes of a pointer to a name.
const POINTER: u16 = 0xc000;

const FLAG_RESPONSE: u8 = 0x80;
const FLAG_AUTHORITATIVE: u8 = 0x04;
const FLAG_TRUNCATED: u8 = 0x02;
const FLAG_RECURSION_DESIRED: u8 = 0x01;
const OPERATION: u8 = 0x78;

/// The sections behind the question, by their place in the header.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Answer = 6,
    Authority = 8,
    Additional = 10,
}

/// A reply under construction, behind whatever `out` has already.
pub(super) struct Reply<'o, 'q> {
    out: &'o mut Vec<u8>,
    start: usize,
    question_end: usize,
    /// How long it may become before the OPT record.
    room: usize,
    edns: Option<Edns<'q>>,
    truncated: bool,
}

impl<'o, 'q> Reply<'o, 'q> {
    /// Begins the reply to `asked`: a header, and the question where it was read.
    pub(super) fn begin(
        asked: &[u8],
        edns: Option<Edns<'q>>,
        transport: Transport,
        out: &'o mut Vec<u8>,
    ) -> Reply<'o, 'q> {
        let limit = match transport {
            Transport::Tcp => TCP_BYTES_MAX,
            Transport::Udp => {
                let payload = edns.map_or(UDP_BYTES_DEFAULT, |edns| edns.payload.max(UDP_BYTES_DEFAULT));
                usize::from(payload).min(UDP_BYTES_MAX)
            }
        };
        let opt = edns.map_or(0, |edns| {
            OPT + edns.subnet.map_or(0, |subnet| subnet.reply_bytes())
        });
        let start = out.len();
        out.extend_from_slice(asked);
        let header = &mut out[start..start + HEADER];
        header[2] = FLAG_RESPONSE | (header[2] & (OPERATION | FLAG_RECURSION_DESIRED));
        header[3..].fill(0);
        header[5] = u8::from(asked.len() > HEADER);
        Reply {
            question_end: out.len(),
            out,
            start,
            // A header and a question have 271 bytes at most, an OPT record 35.
            room: limit - opt,
            edns,
            truncated: false,
        }
    }

    /// Says that this server has authority over the name.
    pub(super) fn authoritative(&mut self) {
        self.out[self.start + 2] |= FLAG_AUTHORITATIVE;
    }

    /// Adds `count` records whose bytes are ready.
    pub(super) fn records(&mut self, section: Section, count: u16, bytes: &[u8]) {
        if self.fits(bytes.len()) {
            self.out.extend_from_slice(bytes);
            self.count(section, count);
        }
    }

    /// Adds `count` records whose bytes are ready, if there is room, and leaves them out otherwise.
    pub(super) fn records_if_room(&mut self, section: Section, count: u16, bytes: &[u8]) {
        if !self.truncated && self.length() + bytes.len() <= self.room {
            self.records(section, count, bytes);
        }
    }

    /// Adds a record of the name that the question's ends with, whose sent form has `owner_bytes`; the rest of the
    /// record is ready.
    pub(super) fn record_of_ancestor(&mut self, section: Section, owner_bytes: usize, rest: &[u8]) {
        const FIXED: usize = 4;
        // The name stands at the end of the question, before type and class.
        let offset = self.question_end - self.start - FIXED - owner_bytes;
        if self.fits(2 + rest.len()) {
            let pointer = POINTER | offset as u16;
            self.out.extend_from_slice(&pointer.to_be_bytes());
            self.out.extend_from_slice(rest);
            self.count(section, 1);
        }
    }

    /// Whether so many bytes have room. Where they have none, the whole reply is cut down to the question: a part of an
    /// answer would be taken for all of it by some.
    fn fits(&mut self, bytes: usize) -> bool {
        if !self.truncated && self.length() + bytes > self.room {
            self.truncated = true;
            self.out.truncate(self.question_end);
            self.out[self.start + 6..self.start + HEADER].fill(0);
            self.out[self.start + 2] |= FLAG_TRUNCATED;
        }
        !self.truncated
    }

    fn count(&mut self, section: Section, more: u16) {
        let at = self.start + section as usize;
        let count = u16::from_be_bytes([self.out[at], self.out[at + 1]]) + more;
        self.out[at..at + 2].copy_from_slice(&count.to_be_bytes());
    }

    fn length(&self) -> usize {
        self.out.len() - self.start
    }

    /// Whether the answer did not fit.
    pub(super) fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// Ends it with how it went and the OPT record, and gives its length. `scope` is that of the viewer's network.
    pub(super) fn end(mut self, rcode: Rcode, scope: u8) -> usize {
        let [extended, number] = {
            let number = rcode.number();
            [(number >> 4) as u8, (number & 0x0f) as u8]
        };
        self.out[self.start + 3] |= number;
        if let Some(edns) = self.edns {
            let subnet_bytes = edns.subnet.map_or(0, |subnet| subnet.reply_bytes());
            let mut opt = [0; OPT];
            opt[1..3].copy_from_slice(&code::TYPE_OPT.to_be_bytes());
            opt[3..5].copy_from_slice(&(UDP_BYTES_MAX as u16).to_be_bytes());
            opt[5] = extended;
            opt[7] = if edns.dnssec_ok { 0x80 } else { 0 };
            opt[10] = subnet_bytes as u8;
            self.out.extend_from_slice(&opt);
            if let Some(subnet) = edns.subnet {
                subnet.write(scope, self.out);
            }
            self.count(Section::Additional, 1);
        }
        self.length()
    }
}
