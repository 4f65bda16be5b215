//! A record: a header, the checksums of its body, the body.
//!
//! ```text
//!  0  magic         4  "MRRC"
//!  4  kind          1  1 head, 2 part, 3 tombstone, 4 padding, 5 end of the region's records
//!  5  expiry        3  `expiry.rs`
//!  8  life          8  of the region: a record of an earlier life is not a record
//! 16  version       8  of the object
//! 24  key hash     16
//! 40  part          4  which 4 MiB of the object
//! 44  body length   4  in bytes
//! 48  key length    4  heads: how much of the body is the key's text, which comes first
//! 52  table crc     4  of the table
//! 56  zeros         4
//! 60  header crc    4  of bytes 0..60
//! 64  table            crc32c of each 32 KiB of the body, 4 bytes each
//!     body             up to 4 MiB, then nothing that matters up to a multiple of 512
//! ```
//!
//! Kind and life come first: a walk over a region needs them before anything else. The table stands before the body so
//! that one read brings header, table and the first bytes. Padding and end have no table, and a body that is not read.
//! A tombstone, which has no body, repeats its header in the middle of its 512 bytes: losing one would bring back what
//! was removed.

use super::UNIT_BYTES;
use super::checksum::crc32c;
use super::expiry::Expiry;
use bytes::{Buf, BufMut};

const MAGIC: &[u8; 4] = b"MRRC";
const CHECKED: usize = 60;

/// Where a tombstone repeats its header.
const REPEATED_AT: usize = UNIT_BYTES as usize / 2;

/// Bytes of the fixed header.
pub(in crate::disk) const HEADER_BYTES: usize = 64;
/// What one checksum covers: small, so that a short range costs a short read.
pub(in crate::disk) const CHECKSUM_UNIT: usize = 32 << 10;
/// The longest table: that of a full part.
pub(in crate::disk) const MAX_TABLE_BYTES: usize = crate::disk::PART_BYTES as usize / CHECKSUM_UNIT * 4;

/// What a record is. The numbers are on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::disk) enum Kind {
    /// Everything known of an object but its bytes.
    Head = 1,
    /// Up to 4 MiB of an object.
    Part = 2,
    /// The key's head, wherever it lies before this, is gone.
    Tombstone = 3,
    /// Nothing, up to the next block: a block is written once.
    Padding = 4,
    /// Nothing more in this region.
    End = 5,
}

impl Kind {
    pub(in crate::disk) fn from_byte(byte: u8) -> Option<Kind> {
        [Kind::Head, Kind::Part, Kind::Tombstone, Kind::Padding, Kind::End]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// The fixed header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::disk) struct RecordHeader {
    pub(in crate::disk) kind: Kind,
    pub(in crate::disk) expiry: Expiry,
    pub(in crate::disk) life: u64,
    pub(in crate::disk) version: u64,
    pub(in crate::disk) key_hash: u128,
    pub(in crate::disk) part: u32,
    pub(in crate::disk) body_length: u32,
    pub(in crate::disk) key_length: u32,
    pub(in crate::disk) table_crc: u32,
}

/// How many checksums a body of `body_length` bytes has.
fn units(body_length: usize) -> usize {
    body_length.div_ceil(CHECKSUM_UNIT)
}

/// What a record with a body of `body_length` bytes occupies, in bytes.
pub(in crate::disk) fn span_of(body_length: usize) -> u64 {
    (HEADER_BYTES + units(body_length) * 4 + body_length).next_multiple_of(UNIT_BYTES as usize) as u64
}

/// Where the body of a record that occupies `span` bytes may begin, from the record's start: its length is known to a
/// unit of 512 bytes, and so is its number of checksums, to one.
pub(in crate::disk) fn body_start_bounds(span: usize) -> std::ops::RangeInclusive<usize> {
    let most = units(span.saturating_sub(HEADER_BYTES));
    let least = units(span.saturating_sub(HEADER_BYTES + most * 4 + UNIT_BYTES as usize - 1));
    HEADER_BYTES + least * 4..=HEADER_BYTES + most * 4
}

impl RecordHeader {
    /// A header that fills `bytes` up to the next record, or marks the end: kinds without a body.
    pub(in crate::disk) fn filler(kind: Kind, life: u64, bytes: usize) -> RecordHeader {
        debug_assert!(matches!(kind, Kind::Padding | Kind::End) && bytes >= HEADER_BYTES);
        RecordHeader {
            kind,
            expiry: Expiry::default(),
            life,
            version: 0,
            key_hash: 0,
            part: 0,
            body_length: (bytes - HEADER_BYTES) as u32,
            key_length: 0,
            table_crc: 0,
        }
    }

    pub(in crate::disk) fn encode(&self, header: &mut [u8]) {
        let mut fields = &mut header[..CHECKED];
        fields.put_slice(MAGIC);
        fields.put_u8(self.kind as u8);
        fields.put_slice(&self.expiry.encode());
        fields.put_u64_le(self.life);
        fields.put_u64_le(self.version);
        fields.put_u128_le(self.key_hash);
        fields.put_u32_le(self.part);
        fields.put_u32_le(self.body_length);
        fields.put_u32_le(self.key_length);
        fields.put_u32_le(self.table_crc);
        fields.put_u32_le(0);
        let crc = crc32c(&header[..CHECKED]);
        (&mut header[CHECKED..]).put_u32_le(crc);
    }

    /// Reads a header. `None` when there is none or it is damaged.
    pub(in crate::disk) fn decode(bytes: &[u8]) -> Option<RecordHeader> {
        let (mut fields, mut crc) = bytes.get(..HEADER_BYTES)?.split_at(CHECKED);
        if !fields.starts_with(MAGIC) || crc.get_u32_le() != crc32c(fields) {
            return None;
        }
        fields.advance(MAGIC.len());
        let kind = Kind::from_byte(fields.get_u8())?;
        let expiry = Expiry::decode([fields.get_u8(), fields.get_u8(), fields.get_u8()]);
        let header = RecordHeader {
            kind,
            expiry,
            life: fields.get_u64_le(),
            version: fields.get_u64_le(),
            key_hash: fields.get_u128_le(),
            part: fields.get_u32_le(),
            body_length: fields.get_u32_le(),
            key_length: fields.get_u32_le(),
            table_crc: fields.get_u32_le(),
        };
        let longest = if header.has_body() {
            crate::disk::PART_BYTES as u32
        } else {
            u32::MAX
        };
        let sound = header.key_length <= header.body_length && header.body_length <= longest;
        sound.then_some(header)
    }

    /// Reads whatever stands in place of a header, as if its mark and its checksum were right: for who tries what a
    /// header may say.
    pub(in crate::disk) fn decode_trusting(bytes: &[u8]) -> Option<RecordHeader> {
        let mut header = bytes.get(..HEADER_BYTES)?.to_vec();
        header[..MAGIC.len()].copy_from_slice(MAGIC);
        let crc = crc32c(&header[..CHECKED]);
        (&mut header[CHECKED..]).put_u32_le(crc);
        RecordHeader::decode(&header)
    }

    /// Reads the header of a record of which `bytes` holds the first 512, or what a tombstone repeats of it.
    pub(in crate::disk) fn decode_unit(bytes: &[u8]) -> Option<RecordHeader> {
        let repeated = || RecordHeader::decode(bytes.get(REPEATED_AT..)?);
        RecordHeader::decode(bytes)
            .or_else(|| repeated().filter(|header| matches!(header.kind, Kind::Tombstone)))
    }

    fn has_body(&self) -> bool {
        match self.kind {
            Kind::Head | Kind::Part | Kind::Tombstone => true,
            Kind::Padding | Kind::End => false,
        }
    }

    /// What the whole record occupies, in bytes.
    pub(in crate::disk) fn span(&self) -> u64 {
        if self.has_body() {
            span_of(self.body_length as usize)
        } else {
            (HEADER_BYTES as u64 + u64::from(self.body_length)).next_multiple_of(UNIT_BYTES)
        }
    }

    /// Where the body begins, from the record's start.
    pub(in crate::disk) fn body_start(&self) -> usize {
        HEADER_BYTES + units(self.body_length as usize) * 4
    }

    /// The body bytes whose checksums must be looked at to trust `range`: whole units.
    pub(in crate::disk) fn covering(&self, range: std::ops::Range<usize>) -> std::ops::Range<usize> {
        let start = range.start - range.start % CHECKSUM_UNIT;
        start
            ..range
                .end
                .next_multiple_of(CHECKSUM_UNIT)
                .min(self.body_length as usize)
    }

    /// The table, if `record` (from its first byte) holds all of it undamaged.
    pub(in crate::disk) fn table<'a>(&self, record: &'a [u8]) -> Option<&'a [u8]> {
        let table = record.get(HEADER_BYTES..self.body_start())?;
        (crc32c(table) == self.table_crc).then_some(table)
    }
}

/// Whether `body`, which begins with checksum unit `first_unit` of the record and ends with a unit or the record,
/// is what `table` says.
pub(in crate::disk) fn is_intact(table: &[u8], first_unit: usize, body: &[u8]) -> bool {
    let Some(mut expected) = table.get(first_unit * 4..) else {
        return false;
    };
    let mut units = body.chunks(CHECKSUM_UNIT);
    units.all(|unit| expected.try_get_u32_le().is_ok_and(|crc| crc == crc32c(unit)))
}

/// Writes a whole record at the beginning of `target`: the body is copied once, its checksums are taken while it is
/// warm, and what is left of the last 512 bytes is zeroed. `header.body_length` is the length of all `pieces`;
/// `header.table_crc` is filled in here. Returns the record's span.
pub(in crate::disk) fn encode_record<'a>(
    mut header: RecordHeader,
    pieces: impl Iterator<Item = &'a [u8]>,
    target: &mut [u8],
) -> u64 {
    let body_length = header.body_length as usize;
    let span = header.span();
    let (front, rest) = target[..span as usize].split_at_mut(header.body_start());
    let (body, slack) = rest.split_at_mut(body_length);
    slack.fill(0);
    let mut table = &mut front[HEADER_BYTES..];
    let mut filled: usize = 0;
    for mut piece in pieces {
        while !piece.is_empty() {
            let unit_end = (filled + 1).next_multiple_of(CHECKSUM_UNIT).min(body_length);
            let (now, later) = piece.split_at(piece.len().min(unit_end - filled));
            body[filled..filled + now.len()].copy_from_slice(now);
            filled += now.len();
            piece = later;
            if filled == unit_end {
                let unit_start = (filled - 1) - (filled - 1) % CHECKSUM_UNIT;
                table.put_u32_le(crc32c(&body[unit_start..filled]));
            }
        }
    }
    debug_assert_eq!(filled, body_length);
    header.table_crc = crc32c(&front[HEADER_BYTES..]);
    header.encode(front);
    if header.kind == Kind::Tombstone {
        debug_assert_eq!(body_length, 0);
        target.copy_within(..HEADER_BYTES, REPEATED_AT);
    }
    span
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(body_length: usize) -> RecordHeader {
        RecordHeader {
            kind: Kind::Part,
            expiry: Expiry::default(),
            life: 1,
            version: 2,
            key_hash: 3,
            part: 4,
            body_length: body_length as u32,
            key_length: 0,
            table_crc: 0,
        }
    }

    fn pattern(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at * 31 % 251) as u8).collect()
    }

    #[test]
    fn the_place_of_a_body_follows_from_the_span_to_a_few_bytes() {
        let edges =
            (1..=128).flat_map(|count| (count * CHECKSUM_UNIT).saturating_sub(700)..=count * CHECKSUM_UNIT);
        for length in edges.step_by(7).chain(0..2000) {
            let bounds = body_start_bounds(span_of(length) as usize);
            assert!(
                bounds.contains(&header(length).body_start()),
                "{length}: {bounds:?}"
            );
            assert!(bounds.end() - bounds.start() <= 8, "{length}: {bounds:?}");
        }
    }

    #[test]
    fn a_body_in_any_pieces_gives_the_same_record() {
        for length in [
            0,
            1,
            511,
            CHECKSUM_UNIT - 1,
            CHECKSUM_UNIT,
            CHECKSUM_UNIT + 1,
            3 * CHECKSUM_UNIT + 77,
        ] {
            let body = pattern(length);
            let mut records = [1usize, 100, 16_384, 1 << 20].into_iter().map(|piece| {
                let mut target = vec![0xEE; span_of(length) as usize];
                let span = encode_record(header(length), body.chunks(piece), &mut target);
                assert_eq!(span, target.len() as u64);
                target
            });
            let record = records.next().expect("the first");
            assert!(records.all(|other| other == record));
            let found = RecordHeader::decode(&record).expect("header");
            assert_eq!(found.span(), record.len() as u64);
            let table = found.table(&record).expect("table");
            assert_eq!(&record[found.body_start()..][..length], body);
            assert!(is_intact(table, 0, &body));
            if length > CHECKSUM_UNIT {
                assert!(is_intact(table, 1, &body[CHECKSUM_UNIT..]));
                assert!(!is_intact(table, 0, &body[CHECKSUM_UNIT..]));
            }
        }
    }

    #[test]
    fn no_flipped_bit_of_header_table_or_body_goes_unseen() {
        let body = pattern(CHECKSUM_UNIT + 700);
        let mut record = vec![0; span_of(body.len()) as usize];
        encode_record(header(body.len()), body.chunks(9999), &mut record);
        let body_end = HEADER_BYTES + 8 + body.len();
        for bit in (0..(HEADER_BYTES + 8) * 8)
            .chain((HEADER_BYTES + 8) * 8..body_end * 8)
            .step_by(7)
        {
            record[bit / 8] ^= 1 << (bit % 8);
            let believed = RecordHeader::decode(&record).is_some_and(|header| {
                header
                    .table(&record)
                    .is_some_and(|table| is_intact(table, 0, &record[header.body_start()..body_end]))
            });
            assert!(!believed, "bit {bit}");
            record[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_header_is_not_believed_with_the_table_and_body_of_an_older_record() {
        // A torn write: the first sector is new, the rest, sound in itself, is from an earlier life of the region.
        let (new, old) = (vec![1; 600 * CHECKSUM_UNIT / 8], vec![2; 600 * CHECKSUM_UNIT / 8]);
        let mut torn = vec![0; span_of(new.len()) as usize];
        encode_record(header(old.len()), old.chunks(9999), &mut torn);
        let mut other = vec![0; torn.len()];
        encode_record(header(new.len()), new.chunks(9999), &mut other);
        torn[..HEADER_BYTES].copy_from_slice(&other[..HEADER_BYTES]);
        let found = RecordHeader::decode(&torn).expect("the header is whole");
        assert_eq!(found.table(&torn), None);
    }

    #[test]
    fn ranges_are_rounded_out_to_what_a_checksum_covers() {
        let header = header(2 * CHECKSUM_UNIT + 5);
        assert_eq!(header.covering(0..1), 0..CHECKSUM_UNIT);
        assert_eq!(
            header.covering(CHECKSUM_UNIT - 1..CHECKSUM_UNIT + 1),
            0..2 * CHECKSUM_UNIT
        );
        assert_eq!(
            header.covering(2 * CHECKSUM_UNIT..2 * CHECKSUM_UNIT + 5),
            2 * CHECKSUM_UNIT..2 * CHECKSUM_UNIT + 5
        );
    }
}
