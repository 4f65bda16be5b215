//! The superblock: whose device this is and how it is divided.
//!
//! ```text
//!  0  magic           8   "MILLRACE"
//!  8  format version  4   first after the magic, so that every version can read it
//! 12  region count    4
//! 16  region bytes    8
//! 24  UUID           16   drawn at every format: what an earlier life left behind belongs to nobody
//! 40  crc32c          4   of bytes 0..40
//! 44  zeros to 4096
//! ```
//!
//! Two copies, at 0 and 64 KiB, are written when a device is formatted and not again.

use super::checksum::crc32c;
use super::{FORMAT_VERSION, Geometry};
use crate::disk::device::BLOCK_BYTES;
use bytes::{Buf, BufMut};

const MAGIC: &[u8; 8] = b"MILLRACE";
const CHECKED: usize = 40;

/// What of the block means something: with its checksum.
pub(in crate::disk) const USED_BYTES: u64 = CHECKED as u64 + 4;

/// Where the copies lie.
pub(in crate::disk) const OFFSETS: [u64; 2] = [0, 64 << 10];

/// The first block of a device of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::disk) struct Superblock {
    pub(in crate::disk) geometry: Geometry,
    pub(in crate::disk) uuid: u128,
}

/// Why a block is not a superblock that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::disk) enum Foreign {
    /// Nothing of ours: blank, another file system, or damaged.
    Unknown,
    /// Ours, written by a release with another format.
    OtherVersion(u32),
}

impl Superblock {
    pub(in crate::disk) fn encode(&self, mut block: &mut [u8]) {
        block.fill(0);
        let crc = {
            let mut fields = &mut block[..CHECKED];
            fields.put_slice(MAGIC);
            fields.put_u32_le(FORMAT_VERSION);
            fields.put_u32_le(self.geometry.region_count);
            fields.put_u64_le(self.geometry.region_bytes);
            fields.put_u128_le(self.uuid);
            crc32c(&block[..CHECKED])
        };
        block = &mut block[CHECKED..];
        block.put_u32_le(crc);
    }

    /// Reads one copy; `block` is a whole block.
    pub(in crate::disk) fn decode(block: &[u8]) -> Result<Superblock, Foreign> {
        debug_assert_eq!(block.len(), BLOCK_BYTES);
        let (mut fields, mut crc) = block.split_at(CHECKED);
        if !fields.starts_with(MAGIC) {
            return Err(Foreign::Unknown);
        }
        let intact = crc.get_u32_le() == crc32c(fields);
        fields.advance(MAGIC.len());
        let version = fields.get_u32_le();
        let region_count = fields.get_u32_le();
        let region_bytes = fields.get_u64_le();
        let uuid = fields.get_u128_le();
        match (intact, version) {
            // Another version may keep its checksum elsewhere: believe its number first.
            (_, other) if other != FORMAT_VERSION => Err(Foreign::OtherVersion(other)),
            (false, _) => Err(Foreign::Unknown),
            (true, _) => Ok(Superblock {
                geometry: Geometry {
                    region_bytes,
                    region_count,
                },
                uuid,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_superblock_survives_and_no_flipped_bit_of_it_is_believed() {
        let geometry = Geometry {
            region_bytes: 64 << 20,
            region_count: 44_700,
        };
        let superblock = Superblock {
            geometry,
            uuid: 0x0123_4567_89AB_CDEF,
        };
        let mut block = vec![0xEE; BLOCK_BYTES];
        superblock.encode(&mut block);
        assert_eq!(Superblock::decode(&block), Ok(superblock));
        for bit in 0..(CHECKED + 4) * 8 {
            block[bit / 8] ^= 1 << (bit % 8);
            let error = Superblock::decode(&block).expect_err("flipped");
            let in_version = (8..12).contains(&(bit / 8));
            assert_eq!(matches!(error, Foreign::OtherVersion(_)), in_version, "bit {bit}");
            block[bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(Superblock::decode(&[0; BLOCK_BYTES]), Err(Foreign::Unknown));
    }
}
