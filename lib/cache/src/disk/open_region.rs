//! A region being filled: records are staged, written in whole blocks that are written once, and listed at the end.
//!
//! ```text
//!                  written ─┐         sent ─┐          ┌─ sent + staged
//! region  ├ header ┼ records ┼ on their way ┼ staged … ┤ free      ┤ kept for end mark and footer ┤
//! ```

use super::aligned::AlignedBuffer;
use super::device::{BLOCK_BYTES, Buffer};
use super::format::expiry::Expiry;
use super::format::record::{
    HEADER_BYTES, Kind, MAX_TABLE_BYTES, RecordHeader, body_start_bounds, encode_record,
};
use super::format::region::{FooterEntry, Region, encode_footer, footer_bytes};
use super::format::{Geometry, UNIT_BYTES};
use super::outflow::{Landed, Outflow};
use super::queue::Record;
use super::store::Store;
use std::collections::HashSet;
use std::io;

/// So much staged is written without waiting for company: large enough to be sequential for any drive. Regions
/// smaller than 8 MiB write an eighth of themselves.
const WRITE_BYTES: usize = 1 << 20;
/// What may be staged at once: just less than is written, and the largest record.
const STAGING_BYTES: usize =
    WRITE_BYTES + super::PART_BYTES as usize + (HEADER_BYTES + MAX_TABLE_BYTES).next_multiple_of(BLOCK_BYTES);

/// So many keys are remembered that were overtaken while a region was open: 2 MB. Then it takes nothing more, full or not.
const MOST_NAMED_LATER: usize = 65_536;

/// The region that one log fills.
pub(super) struct OpenRegion {
    pub(super) region: Region,
    /// From the region's start, in bytes: so much is on the device. Whole blocks.
    written: u64,
    /// So much is on the device or on its way; staging begins here. Whole blocks.
    sent: u64,
    entries: Vec<FooterEntry>,
    /// The keys of heads and tombstones that were put since it was opened to regions opened after it.
    named_later: HashSet<u128>,
    /// Records that are yet to be sent, in the blocks in which they will be written.
    staging: Buffer,
    staged: usize,
    /// So much is sent without waiting for company.
    due_bytes: usize,
}

/// Memory that holds what a log gathers before it is sent.
pub(super) fn staging_bytes(geometry: &Geometry) -> usize {
    STAGING_BYTES
        .min(geometry.region_bytes as usize)
        .next_multiple_of(BLOCK_BYTES)
}

impl OpenRegion {
    /// Begins with the header, which is written together with the first records.
    pub(super) fn new(region: Region, uuid: u128, geometry: &Geometry, mut staging: Buffer) -> OpenRegion {
        region.encode(uuid, &mut staging[..BLOCK_BYTES]);
        OpenRegion {
            region,
            written: 0,
            sent: 0,
            entries: Vec::new(),
            named_later: HashSet::new(),
            staging,
            staged: BLOCK_BYTES,
            due_bytes: WRITE_BYTES.min(geometry.region_bytes as usize / 8),
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
        self.staged >= self.due_bytes
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
        let span = encode_record(header, pieces, &mut self.staging[self.staged..]);
        self.staged += span as usize;
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
        let staged = self.staged;
        let padding = staged.next_multiple_of(BLOCK_BYTES) - staged;
        if padding > 0 {
            let target = &mut self.staging[staged..staged + padding];
            target.fill(0);
            RecordHeader::filler(Kind::Padding, self.region.life.life, padding).encode(target);
            self.staged += padding;
        }
    }

    /// Sends the whole blocks that are staged on their way, which is not full.
    pub(super) fn send_whole_blocks(&mut self, geometry: &Geometry, outflow: &mut Outflow) {
        let ready = self.staged - self.staged % BLOCK_BYTES;
        if ready == 0 {
            return;
        }
        let mut next = outflow.staging();
        let left = self.staged - ready;
        next[..left].copy_from_slice(&self.staging[ready..self.staged]);
        let offset = geometry.start_of(self.region.life.number) + self.sent;
        self.sent += ready as u64;
        self.staged = left;
        let what = Landed {
            class: self.region.class,
            region: self.region.life,
            end: self.sent,
            bytes: ready as u64,
        };
        outflow.send(offset, std::mem::replace(&mut self.staging, next), what);
    }

    /// Everything up to `end` is on the device.
    pub(super) fn note_written(&mut self, end: u64) {
        self.written = end;
    }

    /// Lists what was written, all of it; the region is full. Returns the bytes written and the memory for staging. Not
    /// flushed.
    pub(super) fn finish(self, store: &Store) -> io::Result<(u64, Buffer)> {
        debug_assert_eq!((self.staged, self.written), (0, self.sent));
        let bytes = write_end(store, self.region, self.written, &self.entries)?;
        Ok((bytes, self.staging))
    }

    /// Where the next record begins, from the region's start.
    fn end(&self) -> u64 {
        self.sent + self.staged as u64
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
