//! A region's first and last bytes: its header, and the footer that lists what lies between.
//!
//! ```text
//! header, the first block           footer trailer, the last 64 bytes of the region
//!  0  magic      8  "MRREGION"       0  magic         8  "MRFOOTER"
//!  8  UUID      16                   8  UUID         16
//! 24  sequence   8                  24  sequence      8
//! 32  life       8                  32  life          8
//! 40  number     4                  40  number        4
//! 44  class      1  "S" or "M"      44  entry count   4
//! 45  zeros      3                  48  entries crc   4
//! 48  opened at  4                  52  class         1
//! 52  crc32c     4  of 0..52        53  zeros         3
//! 56  zeros                         56  opened at     4  in seconds since the Unix epoch
//! 2048  all of it again, then zeros 60  crc32c        4  of 0..60
//!
//! footer entry, 40 bytes; the first begins at a block, so that they and the trailer are whole blocks
//!  0  key hash  16
//! 16  version    8
//! 24  part       4
//! 28  offset     4  from the region's start, in 512 B
//! 32  length     4  of the whole record, in 512 B
//! 36  kind       1  as in the record
//! 37  expiry     3  as in the record
//! ```
//!
//! The trailer comes last and at a fixed place, so one read finds it and usually the entries too. It repeats what the
//! header says: either alone is enough to know the region, and together they tell a sealed region from one that was
//! being filled. The number betrays a block that was written to the wrong place.

use super::checksum::crc32c;
use super::expiry::Expiry;
use super::record::{Kind, span_of};
use super::{Geometry, Location};
use crate::disk::device::BLOCK_BYTES;
use crate::placement::Class;
use bytes::{Buf, BufMut};

const HEADER_MAGIC: &[u8; 8] = b"MRREGION";
const HEADER_CHECKED: usize = 52;
/// A header with its checksum.
pub(in crate::disk) const HEADER_USED_BYTES: u64 = HEADER_CHECKED as u64 + 4;
/// Until the footer is written, only the header says that the region is in use: it stands in its block twice.
const HEADER_REPEATED_AT: usize = BLOCK_BYTES / 2;
const TRAILER_MAGIC: &[u8; 8] = b"MRFOOTER";
const TRAILER_BYTES: usize = 64;
const TRAILER_CHECKED: usize = 60;
const ENTRY_BYTES: usize = 40;

/// One life of a region: from the day it is opened until it is reclaimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::disk) struct RegionLife {
    pub(in crate::disk) number: u32,
    /// Grows by one with every region opened. Never 0.
    pub(in crate::disk) sequence: u64,
    /// Random; every record of this life repeats it.
    pub(in crate::disk) life: u64,
}

/// A region as it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::disk) struct Region {
    pub(in crate::disk) life: RegionLife,
    pub(in crate::disk) class: Class,
    /// Since the Unix epoch; 0 when nobody has said yet what time it is.
    pub(in crate::disk) opened_seconds: u32,
}

/// What a footer says of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::disk) struct FooterEntry {
    pub(in crate::disk) key_hash: u128,
    pub(in crate::disk) version: u64,
    pub(in crate::disk) part: u32,
    pub(in crate::disk) offset_units: u32,
    pub(in crate::disk) length_units: u32,
    pub(in crate::disk) kind: Kind,
    pub(in crate::disk) expiry: Expiry,
}

impl FooterEntry {
    pub(in crate::disk) fn location(&self, region: u32) -> Location {
        Location {
            region,
            offset_units: self.offset_units,
            length_units: self.length_units,
        }
    }
}

/// The end of a sealed region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::disk) struct Trailer {
    pub(in crate::disk) region: Region,
    pub(in crate::disk) entry_count: u32,
    pub(in crate::disk) entries_crc: u32,
}

/// The whole blocks that a footer of `entries` occupies, in bytes.
pub(in crate::disk) fn footer_bytes(entries: usize) -> u64 {
    (entries * ENTRY_BYTES + TRAILER_BYTES).next_multiple_of(BLOCK_BYTES) as u64
}

/// What stands for a class on the disk.
fn class_byte(class: Class) -> u8 {
    match class {
        Class::S => b'S',
        Class::M => b'M',
    }
}

fn class_of(byte: u8) -> Option<Class> {
    Class::ALL.into_iter().find(|class| class_byte(*class) == byte)
}

impl Region {
    /// Writes the header into `block`, which is a whole block.
    pub(in crate::disk) fn encode(&self, uuid: u128, block: &mut [u8]) {
        block.fill(0);
        let mut fields = &mut block[..HEADER_CHECKED];
        fields.put_slice(HEADER_MAGIC);
        fields.put_u128_le(uuid);
        fields.put_u64_le(self.life.sequence);
        fields.put_u64_le(self.life.life);
        fields.put_u32_le(self.life.number);
        fields.put_u8(class_byte(self.class));
        fields.put_bytes(0, 3);
        fields.put_u32_le(self.opened_seconds);
        let crc = crc32c(&block[..HEADER_CHECKED]);
        (&mut block[HEADER_CHECKED..]).put_u32_le(crc);
        block.copy_within(..HEADER_CHECKED + 4, HEADER_REPEATED_AT);
    }

    /// Reads the header of region `number`. `None` when it is another device's, another region's, blank or damaged.
    pub(in crate::disk) fn decode(uuid: u128, number: u32, block: &[u8]) -> Option<Region> {
        let repeated = block.get(HEADER_REPEATED_AT..)?;
        Region::decode_one(uuid, number, block).or_else(|| Region::decode_one(uuid, number, repeated))
    }

    /// How many of the copies of the header in `block`, of a region that is in use, are not what they should be.
    pub(in crate::disk) fn harmed_copies(uuid: u128, number: u32, block: &[u8]) -> u64 {
        let copies = [Some(block), block.get(HEADER_REPEATED_AT..)];
        let decoded = copies.map(|copy| Region::decode_one(uuid, number, copy?));
        decoded.iter().filter(|copy| copy.is_none()).count() as u64
    }

    fn decode_one(uuid: u128, number: u32, block: &[u8]) -> Option<Region> {
        let (mut fields, mut crc) = block.split_at_checked(HEADER_CHECKED)?;
        if !fields.starts_with(HEADER_MAGIC) || crc.try_get_u32_le().ok()? != crc32c(fields) {
            return None;
        }
        fields.advance(HEADER_MAGIC.len());
        let ours = fields.get_u128_le() == uuid;
        let sequence = fields.get_u64_le();
        let life = fields.get_u64_le();
        let here = fields.get_u32_le() == number;
        let class = class_of(fields.get_u8())?;
        fields.advance(3);
        let opened_seconds = fields.get_u32_le();
        let life = RegionLife {
            number,
            sequence,
            life,
        };
        (ours && here && sequence != 0).then_some(Region {
            life,
            class,
            opened_seconds,
        })
    }
}

/// Writes the whole footer into `blocks`, which are [`footer_bytes`] long.
pub(in crate::disk) fn encode_footer(uuid: u128, region: Region, entries: &[FooterEntry], blocks: &mut [u8]) {
    debug_assert_eq!(blocks.len() as u64, footer_bytes(entries.len()));
    blocks.fill(0);
    let (list, trailer) = blocks.split_at_mut(blocks.len() - TRAILER_BYTES);
    let mut fields = &mut list[..];
    for entry in entries {
        fields.put_u128_le(entry.key_hash);
        fields.put_u64_le(entry.version);
        fields.put_u32_le(entry.part);
        fields.put_u32_le(entry.offset_units);
        fields.put_u32_le(entry.length_units);
        fields.put_u8(entry.kind as u8);
        fields.put_slice(&entry.expiry.encode());
    }
    let entries_crc = crc32c(&list[..entries.len() * ENTRY_BYTES]);
    let mut fields = &mut trailer[..];
    fields.put_slice(TRAILER_MAGIC);
    fields.put_u128_le(uuid);
    fields.put_u64_le(region.life.sequence);
    fields.put_u64_le(region.life.life);
    fields.put_u32_le(region.life.number);
    fields.put_u32_le(entries.len() as u32);
    fields.put_u32_le(entries_crc);
    fields.put_u8(class_byte(region.class));
    fields.put_bytes(0, 3);
    fields.put_u32_le(region.opened_seconds);
    let crc = crc32c(&trailer[..TRAILER_CHECKED]);
    (&mut trailer[TRAILER_CHECKED..]).put_u32_le(crc);
}

impl Trailer {
    /// Reads the trailer of region `number` from the region's last block (or more). `None` when there is none.
    pub(in crate::disk) fn decode(uuid: u128, number: u32, tail: &[u8]) -> Option<Trailer> {
        let trailer = &tail[tail.len().checked_sub(TRAILER_BYTES)?..];
        let (mut fields, mut crc) = trailer.split_at(TRAILER_CHECKED);
        if !fields.starts_with(TRAILER_MAGIC) || crc.get_u32_le() != crc32c(fields) {
            return None;
        }
        fields.advance(TRAILER_MAGIC.len());
        let ours = fields.get_u128_le() == uuid;
        let sequence = fields.get_u64_le();
        let life = fields.get_u64_le();
        let here = fields.get_u32_le() == number;
        let entry_count = fields.get_u32_le();
        let entries_crc = fields.get_u32_le();
        let class = class_of(fields.get_u8())?;
        fields.advance(3);
        let opened_seconds = fields.get_u32_le();
        let life = RegionLife {
            number,
            sequence,
            life,
        };
        let region = Region {
            life,
            class,
            opened_seconds,
        };
        (ours && here && sequence != 0).then_some(Trailer {
            region,
            entry_count,
            entries_crc,
        })
    }

    /// The blocks of the whole footer, in bytes, or `None` when that cannot be.
    pub(in crate::disk) fn footer_bytes(&self, geometry: &Geometry) -> Option<u64> {
        let bytes = footer_bytes(self.entry_count as usize);
        (bytes < geometry.region_bytes).then_some(bytes)
    }

    /// Reads the entries from the whole footer. `None` when they are damaged.
    pub(in crate::disk) fn entries(&self, geometry: &Geometry, footer: &[u8]) -> Option<Vec<FooterEntry>> {
        let mut list = footer.get(..self.entry_count as usize * ENTRY_BYTES)?;
        if crc32c(list) != self.entries_crc {
            return None;
        }
        let mut entries = Vec::with_capacity(self.entry_count as usize);
        while list.has_remaining() {
            let key_hash = list.get_u128_le();
            let version = list.get_u64_le();
            let part = list.get_u32_le();
            let offset_units = list.get_u32_le();
            let length_units = list.get_u32_le();
            let kind = Kind::from_byte(list.get_u8())?;
            let expiry = Expiry::decode([list.get_u8(), list.get_u8(), list.get_u8()]);
            let entry = FooterEntry {
                key_hash,
                version,
                part,
                offset_units,
                length_units,
                kind,
                expiry,
            };
            let location = entry.location(self.region.life.number);
            let fits = location.offset_bytes() + location.length_bytes() <= geometry.region_bytes;
            if !fits
                || location.length_units == 0
                || location.length_bytes() > span_of(crate::disk::PART_BYTES as usize)
            {
                return None;
            }
            entries.push(entry);
        }
        Some(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GEOMETRY: Geometry = Geometry {
        region_bytes: 1 << 20,
        region_count: 8,
    };
    const UUID: u128 = 7;
    const REGION: Region = Region {
        life: RegionLife {
            number: 5,
            sequence: 12,
            life: 0xDEAD_BEEF,
        },
        class: Class::S,
        opened_seconds: 1_800_000_000,
    };

    fn entries(count: u32) -> Vec<FooterEntry> {
        let entry = |part| FooterEntry {
            key_hash: u128::MAX - u128::from(part),
            version: 3,
            part,
            offset_units: 8 + part,
            length_units: 1,
            kind: Kind::Part,
            expiry: Expiry::decode([1, 2, 3]),
        };
        (0..count).map(entry).collect()
    }

    #[test]
    fn a_header_is_believed_only_whole_on_its_device_and_in_its_place() {
        let mut block = vec![1; BLOCK_BYTES];
        REGION.encode(UUID, &mut block);
        assert_eq!(Region::decode(UUID, 5, &block), Some(REGION));
        assert_eq!(Region::decode(UUID, 6, &block), None);
        assert_eq!(Region::decode(UUID + 1, 5, &block), None);
        for bit in 0..(HEADER_CHECKED + 4) * 8 {
            block[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Region::decode(UUID, 5, &block), Some(REGION), "bit {bit}");
            assert_eq!(Region::harmed_copies(UUID, 5, &block), 1, "bit {bit}");
            block[HEADER_REPEATED_AT + bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Region::decode(UUID, 5, &block), None, "bit {bit} of both");
            block[bit / 8] ^= 1 << (bit % 8);
            block[HEADER_REPEATED_AT + bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn footers_of_every_size_survive_and_no_flipped_bit_of_one_is_believed() {
        for count in [0, 1, 100, 101, 102, 1000] {
            let entries = entries(count);
            let mut blocks = vec![9; footer_bytes(entries.len()) as usize];
            encode_footer(UUID, REGION, &entries, &mut blocks);
            let trailer = Trailer::decode(UUID, 5, &blocks).expect("trailer");
            assert_eq!(trailer.region, REGION);
            assert_eq!(trailer.footer_bytes(&GEOMETRY), Some(blocks.len() as u64));
            assert_eq!(trailer.entries(&GEOMETRY, &blocks), Some(entries));
        }
        let entries = entries(3);
        let mut blocks = vec![0; footer_bytes(3) as usize];
        encode_footer(UUID, REGION, &entries, &mut blocks);
        let meaningful = (0..3 * ENTRY_BYTES).chain(blocks.len() - TRAILER_BYTES..blocks.len());
        for bit in meaningful.flat_map(|byte| byte * 8..byte * 8 + 8) {
            blocks[bit / 8] ^= 1 << (bit % 8);
            let list =
                Trailer::decode(UUID, 5, &blocks).and_then(|trailer| trailer.entries(&GEOMETRY, &blocks));
            assert_eq!(list, None, "bit {bit}");
            blocks[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
