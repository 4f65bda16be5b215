//! A full device that nobody had to write: the ends of its regions are made up when they are read.
//!
//! For measuring what a start costs on drives that are larger than any at hand. Every region is sealed and lists records
//! of one size, each object a head and one part; the records themselves read as zeros, so reads of them are refused as
//! damaged. What is written is kept in memory, and a region that was written to is no longer made up.

use super::device::{BLOCK_BYTES, Device, MemoryDevice};
use super::format::expiry::Expiry;
use super::format::record::Kind;
use super::format::region::{FooterEntry, Region, RegionLife, encode_footer, footer_bytes};
use super::format::{Geometry, UNIT_BYTES};
use super::recover::format;
use crate::placement::Class;
use parking_lot::RwLock;
use std::collections::HashSet;
use std::io;

/// What a head occupies.
const HEAD_BYTES: u64 = 1024;
/// So drawn that synthetic devices are recognised in a hex dump.
const UUID: u128 = 0x5359_4E54_4845_5449_4300_0000_0000_0001;

/// The device.
pub struct SyntheticDevice {
    geometry: Geometry,
    objects_per_region: u64,
    part_bytes: u64,
    written: MemoryDevice,
    regions_written: RwLock<HashSet<u32>>,
}

impl SyntheticDevice {
    /// A device of `size` bytes with regions of `region_bytes`, full of objects with one part of `part_bytes` each.
    /// `None` when it holds too few regions, or a region not one object.
    pub fn new(size: u64, region_bytes: u64, part_bytes: u64) -> Option<SyntheticDevice> {
        let geometry = Geometry::of(size, region_bytes)?;
        let part_bytes = part_bytes.next_multiple_of(UNIT_BYTES);
        let mut objects = region_bytes / (HEAD_BYTES + part_bytes);
        let fits = |objects: u64| {
            let records = BLOCK_BYTES as u64 + objects * (HEAD_BYTES + part_bytes);
            records <= geometry.records_end(2 * objects as usize)
        };
        while objects > 0 && !fits(objects) {
            objects -= 1;
        }
        let written = MemoryDevice::new(size);
        format(&written, geometry, UUID, "it is synthetic").ok()?;
        (objects > 0).then_some(SyntheticDevice {
            geometry,
            objects_per_region: objects,
            part_bytes,
            written,
            regions_written: RwLock::default(),
        })
    }

    /// Records that a start finds: heads and parts.
    pub fn records(&self) -> u64 {
        2 * self.objects_per_region * u64::from(self.geometry.region_count)
    }

    /// Regions it has.
    pub fn regions(&self) -> u32 {
        self.geometry.region_count
    }

    /// Bytes that a start reads: both ends of each region, and the lists.
    pub fn bytes_to_find(&self) -> u64 {
        let list = footer_bytes(2 * self.objects_per_region as usize);
        u64::from(self.geometry.region_count) * (2 * BLOCK_BYTES as u64 + list)
    }

    /// Makes up what a start reads of a region's end, once; for those who want to take that off a measurement.
    pub fn make_up(&self, number: u32) -> Vec<u8> {
        let mut blocks = vec![0; footer_bytes(2 * self.objects_per_region as usize) as usize];
        encode_footer(UUID, self.region(number), &self.entries(number), &mut blocks);
        blocks
    }

    /// The region as it would have been opened: every tenth one in S.
    fn region(&self, number: u32) -> Region {
        let class = if number.is_multiple_of(10) {
            Class::S
        } else {
            Class::M
        };
        Region {
            life: RegionLife {
                number,
                sequence: u64::from(number) + 1,
                life: mixed(u64::from(number)),
            },
            class,
            opened_seconds: 0,
        }
    }

    fn entries(&self, number: u32) -> Vec<FooterEntry> {
        let span = HEAD_BYTES + self.part_bytes;
        let entry = |record: u64| {
            let object = u64::from(number) * self.objects_per_region + record / 2;
            let start = BLOCK_BYTES as u64 + record / 2 * span;
            let (kind, offset, length) = if record.is_multiple_of(2) {
                (Kind::Head, start, HEAD_BYTES)
            } else {
                (Kind::Part, start + HEAD_BYTES, self.part_bytes)
            };
            FooterEntry {
                key_hash: (u128::from(mixed(object)) << 64) | u128::from(object),
                version: 1,
                part: 0,
                offset_units: (offset / UNIT_BYTES) as u32,
                length_units: (length / UNIT_BYTES) as u32,
                kind,
                expiry: Expiry::default(),
            }
        };
        (0..2 * self.objects_per_region).map(entry).collect()
    }

    /// Copies what the transfer covers of `bytes`, which lie at `at` of the region.
    fn overlay(buffer: &mut [u8], offset: u64, at: u64, bytes: &[u8]) {
        let end = (offset + buffer.len() as u64).min(at + bytes.len() as u64);
        let start = offset.max(at);
        if start < end {
            let target = (start - offset) as usize..(end - offset) as usize;
            buffer[target].copy_from_slice(&bytes[(start - at) as usize..(end - at) as usize]);
        }
    }

    /// Where in which region a transfer begins; `None` before the first.
    fn place(&self, offset: u64) -> Option<(u32, u64)> {
        let within = offset.checked_sub(self.geometry.start_of(0))?;
        let number = u32::try_from(within / self.geometry.region_bytes).ok()?;
        (number < self.geometry.region_count).then_some((number, within % self.geometry.region_bytes))
    }
}

/// Spreads a number over 64 bits (the finaliser of SplitMix64).
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

impl Device for SyntheticDevice {
    fn size(&self) -> u64 {
        self.written.size()
    }

    /// A transfer that begins in a region ends in it: that is how the disk tier reads.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.written.read_at(offset, buffer)?;
        let Some((number, within)) = self.place(offset) else {
            return Ok(());
        };
        if self.regions_written.read().contains(&number) {
            return Ok(());
        }
        let end = within + buffer.len() as u64;
        let footer = footer_bytes(2 * self.objects_per_region as usize);
        let footer_start = self.geometry.region_bytes - footer;
        if within < BLOCK_BYTES as u64 {
            let mut header = vec![0; BLOCK_BYTES];
            self.region(number).encode(UUID, &mut header);
            Self::overlay(buffer, within, 0, &header);
        }
        if end > footer_start {
            Self::overlay(buffer, within, footer_start, &self.make_up(number));
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if let Some((number, _)) = self.place(offset) {
            self.regions_written.write().insert(number);
        }
        self.written.write_at(offset, data)
    }

    fn flush(&self) -> io::Result<()> {
        self.written.flush()
    }
}
