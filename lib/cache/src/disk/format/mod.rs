//! The bytes on the device: what each block and record looks like, and how it is recognised. Pure: bytes in, values out.
//!
//! ```text
//! 0            64 KiB       128 KiB         1 MiB or more                                            end
//! ├ superblock ┼ superblock ┼ purge journal ┼ region 0 ┼ region 1 ┼ … ┼ region n−1 ┼ unused ┤
//!
//! region   ├ header 4 KiB ┼ records, each from a multiple of 512 B … ┼ end ┼ stale ┼ footer ┤
//! ```
//!
//! Two logs share the regions (`placement/` says which record goes where), each filling one region at a time: a free
//! one, wherever it lies. Each life of a region has the next *sequence*, so the order of sequences is the order in which
//! regions were opened. The header of a region that was given up is zeros. All numbers are little-endian, all checksums
//! CRC-32C.
//!
//! What makes a misread impossible, link by link: a region's header and footer carry the device's UUID, so nothing
//! survives a format; every record carries the *life* of its region, a random number drawn when the region was opened,
//! so nothing survives a reclaim; a record's header is covered by its checksum and covers the checksum of its table,
//! whose entries cover 32 KiB of body each. A reader that has checked these has the right bytes, whatever happened to
//! the device meanwhile.

mod checksum;
pub(super) mod expiry;
pub(super) mod journal;
pub(super) mod record;
pub(super) mod region;
pub(super) mod superblock;

use super::device::BLOCK_BYTES;

/// Raised whenever a byte below means something else. A device of another version is started empty, never read.
pub(super) const FORMAT_VERSION: u32 = 2;

/// Where region 0 begins at the least: behind both superblocks and the smallest journal, aligned for any drive's erase
/// unit. On devices whose journal is larger it begins at the first multiple behind that.
pub(super) const REGIONS_START: u64 = 1 << 20;

/// Records begin at multiples of it: the smallest sector, and a fair price for finding any record with 20 bits.
pub(super) const UNIT_BYTES: u64 = 512;

/// Fewer regions than this hold nothing worth having: one is being filled, one is full, one is in reserve.
pub(super) const MIN_REGIONS: u64 = 3;

/// Tries every reader of the format on `bytes`, which may be anything; how many of them take it. For tests and fuzzing:
/// whatever a device holds, reading it neither fails nor takes more memory than there are bytes.
pub fn try_to_read(bytes: &[u8]) -> usize {
    const UUID: u128 = 1;
    let header = record::RecordHeader::decode_trusting(bytes);
    if let Some(header) = header {
        assert!(header.span() >= record::HEADER_BYTES as u64);
        let mut written = [0; record::HEADER_BYTES];
        header.encode(&mut written);
        assert_eq!(record::RecordHeader::decode(&written), Some(header));
    }
    // A device gives whole blocks.
    let mut block = bytes[..bytes.len().min(BLOCK_BYTES)].to_vec();
    block.resize(BLOCK_BYTES, 0);
    let mut entries = Vec::new();
    let journal = journal::Header::decode(UUID, &block, &mut entries).is_some();
    assert!(entries.len() <= block.len());
    [
        header.is_some(),
        journal,
        record::RecordHeader::decode_unit(bytes).is_some(),
        region::Region::decode(UUID, 0, &block).is_some(),
        region::Trailer::decode(UUID, 0, &block).is_some(),
        superblock::Superblock::decode(&block).is_ok(),
    ]
    .into_iter()
    .filter(|taken| *taken)
    .count()
}

/// How a device is divided; follows from its size and the region size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Geometry {
    pub(super) region_bytes: u64,
    pub(super) region_count: u32,
}

impl Geometry {
    /// The regions that `device_bytes` hold, or `None` when they are too few.
    pub(super) fn of(device_bytes: u64, region_bytes: u64) -> Option<Geometry> {
        let regions = device_bytes.saturating_sub(REGIONS_START) / region_bytes;
        // A slot has 32 bits for the region: 2^32 regions of 64 MiB are far beyond any device.
        let region_count = u32::try_from(regions).ok()?;
        let mut geometry = Geometry {
            region_bytes,
            region_count,
        };
        // What the journal takes beyond the first mebibyte, some regions give: as many as do not fit.
        while geometry.region_count > 0 && geometry.end() > device_bytes {
            let excess = (geometry.end() - device_bytes).div_ceil(region_bytes);
            geometry.region_count -= u32::try_from(excess).ok()?.min(geometry.region_count);
        }
        (u64::from(geometry.region_count) >= MIN_REGIONS).then_some(geometry)
    }

    /// Where the last region ends.
    fn end(&self) -> u64 {
        self.regions_start() + u64::from(self.region_count) * self.region_bytes
    }

    /// Where region 0 begins.
    fn regions_start(&self) -> u64 {
        journal::Area::of(self)
            .bytes()
            .end
            .next_multiple_of(REGIONS_START)
    }

    /// The device offset at which a region begins.
    pub(super) fn start_of(&self, region: u32) -> u64 {
        self.regions_start() + u64::from(region) * self.region_bytes
    }

    /// Where records may end at the latest, from the region's start, when the footer is to list `entries` of them:
    /// the block with the end mark and the footer come after.
    pub(super) fn records_end(&self, entries: usize) -> u64 {
        let kept = BLOCK_BYTES as u64 + region::footer_bytes(entries);
        self.region_bytes.saturating_sub(kept)
    }
}

/// Where a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) region: u32,
    /// From the region's start, in units of [`UNIT_BYTES`].
    pub(super) offset_units: u32,
    /// Everything of the record, in units of [`UNIT_BYTES`].
    pub(super) length_units: u32,
}

impl Location {
    pub(super) fn offset_bytes(&self) -> u64 {
        u64::from(self.offset_units) * UNIT_BYTES
    }

    pub(super) fn length_bytes(&self) -> u64 {
        u64::from(self.length_units) * UNIT_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_divided_into_whole_regions_and_refused_when_they_are_too_few() {
        let region = 64 << 10;
        let cases = [
            (0, None),
            (REGIONS_START + 3 * region - 1, None),
            (REGIONS_START + 3 * region, Some(3)),
            (REGIONS_START + 9 * region + 5000, Some(9)),
        ];
        for (size, count) in cases {
            assert_eq!(
                Geometry::of(size, region).map(|geometry| geometry.region_count),
                count,
                "{size}"
            );
        }
    }
}
