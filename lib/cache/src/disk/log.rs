//! The end of the log: records are staged, written in whole blocks that are written once, published, sealed.
//!
//! ```text
//!                    written ─┐          ┌─ written + staged
//! region  ├ header ┼ records ┼ staged … ┤ free                ┤ kept for end mark and footer ┤
//! ```
//!
//! A record becomes findable only when its blocks are written. When a commit is due with the last block part full, the
//! rest of that block is filled with padding: no block that holds a committed record is ever written again, so no torn
//! write can damage one. At five commits a second that costs at most 20 KB/s.
//!
//! A region is sealed when it is full, when the log is closed, and by the next start after a kill; what is left of it then
//! stays unused until its turn comes again, half a region per start on average.
//!
//! Decides by no clock and has no thread; `writer.rs` says when.

use super::aligned::AlignedBuffer;
use super::commit::{Fate, Resolver};
use super::device::BLOCK_BYTES;
use super::format::Location;
use super::format::UNIT_BYTES;
use super::format::record::{HEADER_BYTES, Kind, MAX_TABLE_BYTES, RecordHeader, encode_record};
use super::format::region::{FooterEntry, RegionLife, encode_footer, footer_bytes};
use super::queue::Write;
use super::removals::Ticket;
use super::store::Store;
use rand::RngCore;
use std::io;
use std::sync::Arc;
use std::time::Instant;

/// So much staged is written without waiting for company: large enough to be sequential for any drive. Regions
/// smaller than 8 MiB write an eighth of themselves.
const WRITE_BYTES: usize = 1 << 20;
/// What may be staged at once: just less than is written, and the largest record.
const STAGING_BYTES: usize =
    WRITE_BYTES + super::PART_BYTES as usize + (HEADER_BYTES + MAX_TABLE_BYTES).next_multiple_of(BLOCK_BYTES);

/// The one who writes records.
pub(super) struct Log {
    store: Arc<Store>,
    /// Draws the lives of regions: unpredictable, so that no stored body can pretend to be a record.
    chance: Box<dyn RngCore + Send>,
    staging: AlignedBuffer,
    staged: usize,
    write_bytes: usize,
    open: Option<OpenRegion>,
    next: Next,
    unflushed: bool,
}

/// The region that will be opened next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) number: u32,
    pub(super) sequence: u64,
}

/// The region being filled.
struct OpenRegion {
    life: RegionLife,
    /// From the region's start, in bytes; staging begins here. Whole blocks.
    written: u64,
    entries: Vec<FooterEntry>,
    /// Staged records, oldest first.
    unpublished: Vec<Unpublished>,
}

/// A record that is staged and not yet wholly written.
struct Unpublished {
    entry: FooterEntry,
    ticket: Ticket,
    resolver: Option<Resolver>,
}

impl Log {
    pub(super) fn new(store: Arc<Store>, next: Next, chance: Box<dyn RngCore + Send>) -> Log {
        let region_bytes = store.geometry.region_bytes as usize;
        let staging = STAGING_BYTES.min(region_bytes);
        Log {
            store,
            chance,
            staging: AlignedBuffer::zeroed(staging),
            staged: 0,
            write_bytes: WRITE_BYTES.min(region_bytes / 8),
            open: None,
            next,
            unflushed: false,
        }
    }

    /// Whether something waits for [`Log::commit`].
    pub(super) fn has_staged(&self) -> bool {
        self.open
            .as_ref()
            .is_some_and(|open| !open.unpublished.is_empty())
    }

    /// Whether something waits for [`Log::flush`].
    pub(super) fn has_unflushed(&self) -> bool {
        self.unflushed
    }

    /// Takes a record: it is staged, and written together with what follows. One that fits no region is dropped.
    /// After an error, [`Log::abandon`].
    pub(super) fn append(&mut self, write: Write) -> io::Result<()> {
        let span = write.record.span();
        if BLOCK_BYTES as u64 + span > self.store.geometry.records_end(1) {
            self.store.metrics.dropped.too_large.inc();
            settle(write.resolver, Fate::Dropped);
            return Ok(());
        }
        if self.open.as_ref().is_some_and(|open| !self.fits(open, span))
            && let Err(error) = self.seal()
        {
            self.give_up(write);
            return Err(error);
        }
        self.stage(write);
        if self.staged >= self.write_bytes {
            self.write_whole_blocks()
        } else {
            Ok(())
        }
    }

    /// Writes everything staged and publishes it.
    pub(super) fn commit(&mut self) -> io::Result<()> {
        self.pad_to_block();
        self.write_whole_blocks()
    }

    /// Returns when everything committed is on stable storage.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.unflushed {
            let start = Instant::now();
            self.store.device.flush()?;
            self.store
                .metrics
                .flush_seconds
                .observe(start.elapsed().as_secs_f64());
            self.unflushed = false;
        }
        Ok(())
    }

    /// Commits, lists and flushes the region being filled, if there is one: it is full, or the log is being closed.
    pub(super) fn seal(&mut self) -> io::Result<()> {
        self.commit()?;
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        write_end(&self.store, open.life, open.written, &open.entries)?;
        self.unflushed = true;
        self.flush()?;
        self.store.metrics.regions_sealed.inc();
        Ok(())
    }

    /// Gives up what is staged: the device has failed.
    pub(super) fn abandon(&mut self) {
        self.staged = 0;
        for lost in self.open.take().into_iter().flat_map(|open| open.unpublished) {
            self.drop_unwritten(lost.entry.kind, lost.entry.key_hash, lost.ticket, lost.resolver);
        }
    }

    /// Gives up one record.
    pub(super) fn give_up(&self, write: Write) {
        self.drop_unwritten(
            write.record.kind,
            write.record.key_hash,
            write.ticket,
            write.resolver,
        );
    }

    fn drop_unwritten(&self, kind: Kind, key_hash: u128, ticket: Ticket, resolver: Option<Resolver>) {
        if kind == Kind::Tombstone {
            self.store.removals.end(key_hash, ticket);
            self.store.metrics.removals_lost.inc();
        } else {
            self.store.metrics.dropped.failed.inc();
        }
        settle(resolver, Fate::Dropped);
    }

    fn fits(&self, open: &OpenRegion, span: u64) -> bool {
        let end = open.written + self.staged as u64 + span;
        end <= self.store.geometry.records_end(open.entries.len() + 1)
    }

    /// Copies a record behind what is staged.
    fn stage(&mut self, write: Write) {
        if self.open.is_none() {
            self.open_region();
        }
        let open = self.open.as_mut().expect("opened above if it was not");
        let record = &write.record;
        let header = record.header(open.life.life);
        let pieces = record.pieces.iter().map(|piece| &piece[..]);
        let span = encode_record(header, pieces, &mut self.staging[self.staged..]);
        let entry = FooterEntry {
            key_hash: record.key_hash,
            version: record.version,
            part: record.part,
            offset_units: ((open.written + self.staged as u64) / UNIT_BYTES) as u32,
            length_units: (span / UNIT_BYTES) as u32,
            kind: record.kind,
        };
        self.staged += span as usize;
        open.entries.push(entry);
        open.unpublished.push(Unpublished {
            entry,
            ticket: write.ticket,
            resolver: write.resolver,
        });
    }

    /// Gives up the oldest region and begins to fill it. Its header is written together with the first records.
    fn open_region(&mut self) {
        let Next { number, sequence } = self.next;
        let store = &self.store;
        if let Some(old) = store.life_of(number) {
            store.end_life(number);
            store.forget(old);
            store.metrics.regions_reclaimed.inc();
        }
        let life = RegionLife {
            number,
            sequence,
            life: self.chance.next_u64(),
        };
        store.begin_life(life);
        life.encode(store.uuid, &mut self.staging[..BLOCK_BYTES]);
        self.staged = BLOCK_BYTES;
        self.open = Some(OpenRegion {
            life,
            written: 0,
            entries: Vec::new(),
            unpublished: Vec::new(),
        });
        self.next = Next {
            number: store.geometry.after(number),
            sequence: sequence + 1,
        };
    }

    fn pad_to_block(&mut self) {
        let Some(open) = &self.open else { return };
        let padding = self.staged.next_multiple_of(BLOCK_BYTES) - self.staged;
        if padding > 0 {
            let target = &mut self.staging[self.staged..self.staged + padding];
            target.fill(0);
            RecordHeader::filler(Kind::Padding, open.life.life, padding).encode(target);
            self.staged += padding;
        }
    }

    /// Writes the whole blocks that are staged, then lets the records that end in them be found.
    fn write_whole_blocks(&mut self) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let ready = self.staged - self.staged % BLOCK_BYTES;
        if ready == 0 {
            return Ok(());
        }
        let start = Instant::now();
        let offset = self.store.geometry.start_of(open.life.number) + open.written;
        self.store.device.write_at(offset, &self.staging[..ready])?;
        self.store
            .metrics
            .write_seconds
            .observe(start.elapsed().as_secs_f64());
        self.store.metrics.bytes_written.inc_by(ready as u64);
        self.unflushed = true;
        open.written += ready as u64;
        self.staging.copy_within(ready..self.staged, 0);
        self.staged -= ready;
        let number = open.life.number;
        let is_written = |unpublished: &Unpublished| {
            let location = unpublished.entry.location(number);
            location.offset_bytes() + location.length_bytes() <= open.written
        };
        let written = open
            .unpublished
            .iter()
            .take_while(|unpublished| is_written(unpublished))
            .count();
        for done in open.unpublished.drain(..written) {
            publish(&self.store, done, number);
        }
        Ok(())
    }
}

/// Lets a written record be found and tells who waits for it.
fn publish(store: &Store, done: Unpublished, region: u32) {
    let Unpublished {
        entry,
        ticket,
        resolver,
    } = done;
    let location: Location = entry.location(region);
    let committed = &store.metrics.committed;
    match entry.kind {
        Kind::Head => {
            let identity = store.index.head(entry.key_hash);
            store
                .removals
                .publish(entry.key_hash, ticket, || store.index.put(identity, location));
            committed.heads.inc();
        }
        Kind::Part => {
            store.index.put(
                store.index.part(entry.key_hash, entry.version, entry.part),
                location,
            );
            committed.parts.inc();
        }
        Kind::Tombstone => {
            store.removals.end(entry.key_hash, ticket);
            committed.tombstones.inc();
        }
        Kind::Padding | Kind::End => {}
    }
    settle(resolver, Fate::Committed);
}

fn settle(resolver: Option<Resolver>, fate: Fate) {
    if let Some(resolver) = resolver {
        resolver.resolve(fate);
    }
}

/// Marks the end of a region's records at `records_end` (when that is a block) and writes its footer. Not flushed.
pub(super) fn write_end(
    store: &Store,
    life: RegionLife,
    records_end: u64,
    entries: &[FooterEntry],
) -> io::Result<()> {
    let start = store.geometry.start_of(life.number);
    if records_end.is_multiple_of(BLOCK_BYTES as u64) {
        let mut end = AlignedBuffer::zeroed(BLOCK_BYTES);
        RecordHeader::filler(Kind::End, life.life, BLOCK_BYTES).encode(&mut end);
        store.device.write_at(start + records_end, &end)?;
        store.metrics.bytes_written.inc_by(end.len() as u64);
    }
    let mut footer = AlignedBuffer::zeroed(footer_bytes(entries.len()) as usize);
    encode_footer(store.uuid, life, entries, &mut footer);
    store
        .device
        .write_at(start + store.geometry.region_bytes - footer.len() as u64, &footer)?;
    store.metrics.bytes_written.inc_by(footer.len() as u64);
    Ok(())
}
