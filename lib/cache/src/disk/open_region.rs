//! A region being filled: records are staged, written in whole blocks that are written once, and listed at the end.
//!
//! ```text
//!                    written ─┐          ┌─ written + staged
//! region  ├ header ┼ records ┼ staged … ┤ free                ┤ kept for end mark and footer ┤
//! ```

use super::aligned::AlignedBuffer;
use super::device::BLOCK_BYTES;
use super::format::expiry::Expiry;
use super::format::record::{
    HEADER_BYTES, Kind, MAX_TABLE_BYTES, RecordHeader, body_start_bounds, encode_record,
};
use super::format::region::{FooterEntry, Region, encode_footer, footer_bytes};
use super::format::{Geometry, UNIT_BYTES};
use super::queue::Record;
use super::store::Store;
use std::collections::HashSet;
use std::io;
use std::time::Instant;

/// So much staged is written without waiting for company: large enough to be sequential for any drive. Regions
/// smaller than 8 MiB write an eighth of themselves.
const WRITE_BYTES: usize = 1 << 20;
/// What may be staged at once: just less than is written, and the largest record.
const STAGING_BYTES: usize =
    WRITE_BYTES + super::PART_BYTES as usize + (HEADER_BYTES + MAX_TABLE_BYTES).next_multiple_of(BLOCK_BYTES);

/// So many keys are remembered that were overtaken while a region was open: 2 MB. Then it takes nothing more, full or not.
const MOST_NAMED_LATER: usize = 65_536;

/// Records on their way to the device, in the blocks in which they will be written.
pub(super) struct Staging {
    buffer: AlignedBuffer,
    staged: usize,
    /// So much is written without waiting for company.
    write_bytes: usize,
}

/// The region that one log fills.
pub(super) struct OpenRegion {
    pub(super) region: Region,
    /// From the region's start, in bytes; staging begins here. Whole blocks.
    written: u64,
    entries: Vec<FooterEntry>,
    /// The keys of heads and tombstones that were put since it was opened to regions opened after it.
    named_later: HashSet<u128>,
    staging: Staging,
}

impl Staging {
    pub(super) fn new(geometry: &Geometry) -> Staging {
        let region_bytes = geometry.region_bytes as usize;
        Staging {
            buffer: AlignedBuffer::zeroed(STAGING_BYTES.min(region_bytes)),
            staged: 0,
            write_bytes: WRITE_BYTES.min(region_bytes / 8),
        }
    }
}

impl OpenRegion {
    /// Begins with the header, which is written together with the first records.
    pub(super) fn new(region: Region, uuid: u128, mut staging: Staging) -> OpenRegion {
        region.encode(uuid, &mut staging.buffer[..BLOCK_BYTES]);
        staging.staged = BLOCK_BYTES;
        OpenRegion {
            region,
            written: 0,
            entries: Vec::new(),
            named_later: HashSet::new(),
            staging,
        }
    }

    pub(super) fn fits(&self, span: u64, geometry: &Geometry) -> bool {
        let known = self.named_later.len() < MOST_NAMED_LATER;
        let end = self.end() + self.padding_before(span) + span;
        known && end <= geometry.records_end(self.entries.len() + 1)
    }

    /// What is left of the last block, if the header and table of a record of `span` bytes would not fit into it: who
    /// reads a short range reads one block less.
    fn padding_before(&self, span: u64) -> u64 {
        let block = BLOCK_BYTES as u64;
        let left = self.end().next_multiple_of(block) - self.end();
        let front = *body_start_bounds(span as usize).end() as u64;
        if left < front && front <= block { left } else { 0 }
    }

    /// A head or tombstone was put to a region that was opened after this one.
    pub(super) fn note_later(&mut self, key_hash: u128) {
        if self.named_later.len() < MOST_NAMED_LATER {
            self.named_later.insert(key_hash);
        }
    }

    /// Whether a record cannot go here because a region that was opened later speaks of its key. Parts are named by
    /// version, so their order is no matter.
    pub(super) fn is_overtaken(&self, record: &Record) -> bool {
        let known = self.named_later.len() < MOST_NAMED_LATER;
        record.kind != Kind::Part && known && self.named_later.contains(&record.key_hash)
    }

    /// Whether enough is staged to be written.
    pub(super) fn is_due(&self) -> bool {
        self.staging.staged >= self.staging.write_bytes
    }

    /// Whether everything up to `end` of the region is written.
    pub(super) fn has_written(&self, end: u64) -> bool {
        end <= self.written
    }

    /// Copies a record, which fits, behind what is staged.
    pub(super) fn stage(&mut self, record: &Record, is_copy: bool) -> FooterEntry {
        let Region {
            life, opened_seconds, ..
        } = self.region;
        let expiry = Expiry::new(record.hints.fresh_until, record.hints.revalidates, opened_seconds);
        let expiry = if is_copy { expiry.of_copy() } else { expiry };
        let header = RecordHeader {
            expiry,
            ..record.header(life.life)
        };
        if self.padding_before(record.span()) > 0 {
            self.pad_to_block();
        }
        let offset = self.end();
        let pieces = record.pieces.iter().map(|piece| &piece[..]);
        let span = encode_record(header, pieces, &mut self.staging.buffer[self.staging.staged..]);
        self.staging.staged += span as usize;
        let entry = FooterEntry {
            key_hash: record.key_hash,
            version: record.version,
            part: record.part,
            offset_units: (offset / UNIT_BYTES) as u32,
            length_units: (span / UNIT_BYTES) as u32,
            kind: record.kind,
            expiry,
        };
        self.entries.push(entry);
        entry
    }

    /// Fills up the last block that is staged: it can be written then, and never will be again.
    pub(super) fn pad_to_block(&mut self) {
        let staged = self.staging.staged;
        let padding = staged.next_multiple_of(BLOCK_BYTES) - staged;
        if padding > 0 {
            let target = &mut self.staging.buffer[staged..staged + padding];
            target.fill(0);
            RecordHeader::filler(Kind::Padding, self.region.life.life, padding).encode(target);
            self.staging.staged += padding;
        }
    }

    /// Writes the whole blocks that are staged. Returns their bytes.
    pub(super) fn write_whole_blocks(&mut self, store: &Store) -> io::Result<u64> {
        let ready = self.staging.staged - self.staging.staged % BLOCK_BYTES;
        if ready == 0 {
            return Ok(0);
        }
        let start = Instant::now();
        let offset = store.geometry.start_of(self.region.life.number) + self.written;
        store.device.write_at(offset, &self.staging.buffer[..ready])?;
        store.metrics.write_seconds.observe(start.elapsed().as_secs_f64());
        store.metrics.bytes_written.inc_by(ready as u64);
        self.written += ready as u64;
        let Staging { buffer, staged, .. } = &mut self.staging;
        buffer.copy_within(ready..*staged, 0);
        *staged -= ready;
        Ok(ready as u64)
    }

    /// Lists what was written, all of it; the region is full. Returns the bytes written and the staging for the next
    /// region. Not flushed.
    pub(super) fn finish(self, store: &Store) -> io::Result<(u64, Staging)> {
        debug_assert_eq!(self.staging.staged, 0);
        let bytes = write_end(store, self.region, self.written, &self.entries)?;
        Ok((bytes, self.staging))
    }

    /// Where the next record begins, from the region's start.
    fn end(&self) -> u64 {
        self.written + self.staging.staged as u64
    }
}

/// Marks the end of a region's records at `records_end` (when that is a block) and writes its footer. Returns the bytes
/// written. Not flushed.
pub(super) fn write_end(
    store: &Store,
    region: Region,
    records_end: u64,
    entries: &[FooterEntry],
) -> io::Result<u64> {
    let start = store.geometry.start_of(region.life.number);
    let mut bytes = 0;
    if records_end.is_multiple_of(BLOCK_BYTES as u64) {
        let mut end = AlignedBuffer::zeroed(BLOCK_BYTES);
        RecordHeader::filler(Kind::End, region.life.life, BLOCK_BYTES).encode(&mut end);
        store.device.write_at(start + records_end, &end)?;
        bytes += end.len() as u64;
    }
    let mut footer = AlignedBuffer::zeroed(footer_bytes(entries.len()) as usize);
    encode_footer(store.uuid, region, entries, &mut footer);
    store
        .device
        .write_at(start + store.geometry.region_bytes - footer.len() as u64, &footer)?;
    bytes += footer.len() as u64;
    store.metrics.bytes_written.inc_by(bytes);
    Ok(bytes)
}

/// Marks a region as free, for good: its header is zeros from now on, and on a stable device its trailer too, so that
/// one damaged block does not bring it back. What took its place must be flushed before.
pub(super) fn wipe(store: &Store, number: u32) -> io::Result<u64> {
    let zeros = AlignedBuffer::zeroed(BLOCK_BYTES);
    let start = store.geometry.start_of(number);
    store.device.write_at(start, &zeros)?;
    store.device.flush()?;
    // Never before the header: a header without a trailer is a region that was being filled.
    let last = start + store.geometry.region_bytes - BLOCK_BYTES as u64;
    store.device.write_at(last, &zeros)?;
    let bytes = 2 * zeros.len() as u64;
    store.metrics.bytes_written.inc_by(bytes);
    Ok(bytes)
}
