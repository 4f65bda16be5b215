//! The purge journal: where it lies, and its blocks.
//!
//! ```text
//! 128 KiB                                                                     region 0
//! ├ half A, copy 1 ┼ half B, copy 1 ┼ half A, copy 2 ┼ half B, copy 2 ┤ unused ┤
//!
//! half    ├ base: all that was known when it was begun ┼ commits, from a block each … ┼ older, or zeros ┤
//!
//! block, 4096 bytes
//!  0  magic        4   "MRPJ"
//!  4  crc32c       4   of bytes 8..4096
//!  8  UUID        16   the device's: nothing survives a format
//! 24  epoch        8   of the half: each beginning of a half has a higher one
//! 32  life         8   drawn at random when the half was begun: a beginning that was cut short is not continued
//! 40  number       4   of the block in its half
//! 44  base         4   blocks of the base
//! 48  commit       4   number of the first block of this block's commit
//! 52  entry count  4
//! 56  latest       8   the journal is complete up to this purge, this block included
//! 64  forgotten    8   purges up to here may be missing: nothing that was last judged before it is believed
//! 72  zeros       24
//! 96  entries     32 each, 125 at most, then zeros
//!
//! entry
//!  0  name        16   what is purged (`purge/name.rs`)
//! 16  sequence     8
//! 24  mode         1   1 hard, 2 soft
//! 25  zeros        3
//! 28  ahead        4   milliseconds by which the sequence ran ahead of the clock
//! ```
//!
//! Every block is written twice, the second copy when the first is on stable storage. So a write that is cut short harms
//! one copy at most, and a block with two harmed copies was damaged afterwards: then the journal may have lost what it had
//! acknowledged, and the device is formatted, for nothing on it can be believed any more.
//!
//! The area takes a 2048th of the device: 896 KiB at least, which fit before the first mebibyte ends, and 192 MiB at most,
//! for a million purges and some thousand commits between two beginnings.

use super::Geometry;
use super::checksum::crc32c;
use crate::disk::device::BLOCK_BYTES;
use crate::purge::{Entry, Mode, Name};
use bytes::{Buf, BufMut};

const MAGIC: &[u8; 4] = b"MRPJ";
const HEADER_BYTES: usize = 96;
const ENTRY_BYTES: usize = 32;
/// Entries in a block.
pub(in crate::disk) const BLOCK_ENTRIES: usize = (BLOCK_BYTES - HEADER_BYTES) / ENTRY_BYTES;

/// Where the area begins: behind both superblocks.
const AREA_START: u64 = 128 << 10;
/// Half of the journal for each so many bytes of regions, and its bounds.
const SHARE: u64 = 4 * 2048;
const HALF_BYTES_MIN: u64 = 224 << 10;
const HALF_BYTES_MAX: u64 = 48 << 20;

/// The journal's place on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::disk) struct Area {
    pub(in crate::disk) half_bytes: u64,
}

impl Area {
    pub(in crate::disk) fn of(geometry: &Geometry) -> Area {
        let share = u64::from(geometry.region_count) * geometry.region_bytes / SHARE;
        let whole_blocks = share - share % BLOCK_BYTES as u64;
        Area {
            half_bytes: whole_blocks.clamp(HALF_BYTES_MIN, HALF_BYTES_MAX),
        }
    }

    /// All of it.
    pub(in crate::disk) fn bytes(&self) -> std::ops::Range<u64> {
        AREA_START..AREA_START + 4 * self.half_bytes
    }

    /// Where a block lies.
    pub(in crate::disk) fn offset(&self, half: usize, copy: usize, block: u32) -> u64 {
        let place = (copy * 2 + half) as u64;
        AREA_START + place * self.half_bytes + u64::from(block) * BLOCK_BYTES as u64
    }

    /// Blocks of a half.
    pub(in crate::disk) fn blocks(&self) -> u32 {
        (self.half_bytes / BLOCK_BYTES as u64) as u32
    }

    /// Purges of URLs, prefixes and tags that a base may hold: a quarter of the half is for those of services, and for
    /// commits.
    pub(in crate::disk) fn entries_max(&self) -> usize {
        (self.blocks() - self.blocks() / 4) as usize * BLOCK_ENTRIES
    }
}

/// What a block says but its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::disk) struct Header {
    pub(in crate::disk) epoch: u64,
    pub(in crate::disk) life: u64,
    pub(in crate::disk) number: u32,
    pub(in crate::disk) base: u32,
    pub(in crate::disk) commit: u32,
    pub(in crate::disk) latest: u64,
    pub(in crate::disk) forgotten: u64,
}

impl Header {
    /// Writes a block of at most [`BLOCK_ENTRIES`].
    pub(in crate::disk) fn encode(&self, uuid: u128, entries: &[Entry], block: &mut [u8]) {
        debug_assert!(entries.len() <= BLOCK_ENTRIES);
        block.fill(0);
        let mut fields = &mut block[8..];
        fields.put_u128_le(uuid);
        fields.put_u64_le(self.epoch);
        fields.put_u64_le(self.life);
        fields.put_u32_le(self.number);
        fields.put_u32_le(self.base);
        fields.put_u32_le(self.commit);
        fields.put_u32_le(entries.len() as u32);
        fields.put_u64_le(self.latest);
        fields.put_u64_le(self.forgotten);
        let mut fields = &mut block[HEADER_BYTES..];
        for entry in entries {
            fields.put_u128_le(entry.name.number());
            fields.put_u64_le(entry.sequence);
            fields.put_u8(match entry.mode {
                Mode::Hard => 1,
                Mode::Soft => 2,
            });
            fields.put_bytes(0, 3);
            fields.put_u32_le(entry.ahead_ms);
        }
        let crc = crc32c(&block[8..]);
        let mut front = &mut block[..8];
        front.put_slice(MAGIC);
        front.put_u32_le(crc);
    }

    /// Reads a block that is this device's and undamaged; its entries are added to `entries`.
    pub(in crate::disk) fn decode(uuid: u128, block: &[u8], entries: &mut Vec<Entry>) -> Option<Header> {
        let (mut front, mut fields) = block.get(..BLOCK_BYTES)?.split_at(8);
        if !front.starts_with(MAGIC) {
            return None;
        }
        front.advance(MAGIC.len());
        if front.get_u32_le() != crc32c(fields) || fields.get_u128_le() != uuid {
            return None;
        }
        let epoch = fields.get_u64_le();
        let life = fields.get_u64_le();
        let number = fields.get_u32_le();
        let base = fields.get_u32_le();
        let commit = fields.get_u32_le();
        let count = fields.get_u32_le() as usize;
        let header = Header {
            epoch,
            life,
            number,
            base,
            commit,
            latest: fields.get_u64_le(),
            forgotten: fields.get_u64_le(),
        };
        let list = block[HEADER_BYTES..].chunks_exact(ENTRY_BYTES).take(count);
        let read: Option<Vec<Entry>> = list.map(decode_entry).collect();
        entries.extend(read.filter(|_| count <= BLOCK_ENTRIES)?);
        Some(header)
    }
}

fn decode_entry(mut fields: &[u8]) -> Option<Entry> {
    let name = Name::from_number(fields.get_u128_le())?;
    let sequence = fields.get_u64_le();
    let mode = match fields.get_u8() {
        1 => Mode::Hard,
        2 => Mode::Soft,
        _ => return None,
    };
    fields.advance(3);
    Some(Entry {
        name,
        mode,
        sequence,
        ahead_ms: fields.get_u32_le(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::format::REGIONS_START;

    const HEADER: Header = Header {
        epoch: 3,
        life: 0xDEAD_BEEF,
        number: 7,
        base: 5,
        commit: 6,
        latest: 99 << 16,
        forgotten: 12 << 16,
    };

    fn entries(count: u64) -> Vec<Entry> {
        let entry = |number: u64| Entry {
            name: Name::from_number(3 << 88 | u128::from(number)).expect("of a prefix"),
            mode: if number.is_multiple_of(3) {
                Mode::Soft
            } else {
                Mode::Hard
            },
            sequence: number << 16,
            ahead_ms: number as u32,
        };
        (0..count).map(entry).collect()
    }

    #[test]
    fn a_block_survives_and_no_flipped_bit_of_it_is_believed() {
        for count in [0, 1, BLOCK_ENTRIES] {
            let entries = entries(count as u64);
            let mut block = vec![0xEE; BLOCK_BYTES];
            HEADER.encode(5, &entries, &mut block);
            let mut found = Vec::new();
            assert_eq!(Header::decode(5, &block, &mut found), Some(HEADER));
            assert_eq!(found, entries);
            assert_eq!(Header::decode(6, &block, &mut found), None, "another device's");
            for bit in (0..BLOCK_BYTES * 8).step_by(13) {
                block[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Header::decode(5, &block, &mut found), None, "bit {bit}");
                block[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    #[test]
    fn the_area_grows_with_the_device_within_bounds_and_its_halves_do_not_touch() {
        for (regions, half_bytes) in [(3, 224 << 10), (1 << 10, 8 << 20), (1 << 20, 48 << 20)] {
            let geometry = Geometry {
                region_bytes: 64 << 20,
                region_count: regions,
            };
            let area = Area::of(&geometry);
            assert_eq!(area.half_bytes, half_bytes);
            let mut starts: Vec<u64> = (0..4).map(|at| area.offset(at % 2, at / 2, 0)).collect();
            starts.sort_unstable();
            assert_eq!(starts[0], AREA_START);
            assert!(starts.windows(2).all(|pair| pair[1] - pair[0] == half_bytes));
            assert!(area.bytes().end <= geometry.start_of(0) && geometry.start_of(0).is_multiple_of(1 << 20));
        }
        assert_eq!(
            AREA_START + 4 * HALF_BYTES_MIN,
            REGIONS_START,
            "the smallest fits before region 0"
        );
        let largest = Area {
            half_bytes: HALF_BYTES_MAX,
        };
        assert!(largest.entries_max() >= 1 << 20);
    }
}
