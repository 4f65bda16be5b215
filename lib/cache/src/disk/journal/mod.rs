//! The purge journal of one device: every purge that may still cover something on it, on stable storage before it is
//! acknowledged, read back before anything is served. The bytes are drawn in `format/journal.rs`.
//!
//! Commits are appended to one half, each from a block of its own, so that no block is written twice. When the half is
//! full, all that is still known is written into the other, under a higher epoch; the old half stays what it is until
//! the new one is whole, and the half of the highest epoch whose base is whole is the journal.
//!
//! No purge is ever lost silently: every block has two copies, written one after the other. What one copy lacks the other
//! has; when both are harmed (which no crash does) [`open`] says so, and the device is formatted.
//!
//! `keeper.rs` is the thread that commits what many ask for at once; this file has no thread and no clock.

pub(super) mod keeper;

use super::aligned::AlignedBuffer;
use super::device::{BLOCK_BYTES, Device};
use super::format::Geometry;
use super::format::journal::{Area, BLOCK_ENTRIES, Header};
use crate::purge::{Entry, Record};
use rand::RngCore;
use std::cell::Cell;
use std::io;
use std::sync::Arc;

/// Blocks that are read or written at once: 1 MiB.
const CHUNK_BLOCKS: u32 = 256;

/// The journal of a device that is ours to write.
pub(super) struct Journal {
    device: Arc<dyn Device>,
    area: Area,
    uuid: u128,
    half: usize,
    epoch: u64,
    life: u64,
    base: u32,
    /// The block that the next commit begins with.
    next: u32,
    /// The highest epoch that any block may have.
    highest_epoch: u64,
    latest: u64,
    /// A copy is harmed, or a write failed: nothing is appended here, the other half is begun.
    unclean: bool,
    /// Copies of blocks that were found harmed, in either half.
    harmed: u64,
    /// So many halves are to be begun with everything harmed in them cleared, or harm that stays in one would meet with
    /// more, until both copies of a block have it.
    repairs: u8,
    chance: Box<dyn RngCore + Send>,
}

/// What [`open`] found.
pub(super) enum Opened {
    Whole(Journal, Record),
    /// It may have lost purges that were acknowledged.
    Damaged,
}

/// What a look at both copies of a block says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// It belongs to the half as it is; `clean` when both copies do.
    Current { header: Header, clean: bool },
    /// It was never written since the half was begun, or its write was cut short: then it is not `clean`.
    Missing { clean: bool },
    /// Both copies are harmed.
    Lost,
}

/// What one copy of a block is.
enum Copy {
    /// This device's, undamaged.
    Block(Header, Vec<Entry>),
    /// Zeros, as a format leaves it.
    Blank,
    Harmed,
}

/// Makes an empty journal: at a format, before the superblocks say that the device is ours.
pub(super) fn format(device: &dyn Device, geometry: &Geometry, uuid: u128) -> io::Result<()> {
    let area = Area::of(geometry);
    clear(device, &area)?;
    let mut block = AlignedBuffer::zeroed(BLOCK_BYTES);
    let header = Header {
        epoch: 1,
        life: uuid as u64,
        number: 0,
        base: 1,
        commit: 0,
        latest: 0,
        forgotten: 0,
    };
    header.encode(uuid, &[], &mut block);
    for copy in 0..2 {
        device.write_at(area.offset(0, copy, 0), &block)?;
    }
    device.flush()
}

/// Zeros the area, where it is anything else: a block of it then is one that we wrote, or zeros, or harmed.
fn clear(device: &dyn Device, area: &Area) -> io::Result<()> {
    let all = area.bytes();
    let chunk = u64::from(CHUNK_BLOCKS) * BLOCK_BYTES as u64;
    let zeros = AlignedBuffer::zeroed(chunk as usize);
    let mut buffer = AlignedBuffer::zeroed(chunk as usize);
    for start in all.clone().step_by(chunk as usize) {
        let length = (all.end - start).min(chunk) as usize;
        device.read_at(start, &mut buffer[..length])?;
        if buffer[..length].iter().any(|byte| *byte != 0) {
            device.write_at(start, &zeros[..length])?;
        }
    }
    Ok(())
}

/// Reads the journal of a device. Fails when the device does.
pub(super) fn open(
    device: Arc<dyn Device>,
    geometry: &Geometry,
    uuid: u128,
    chance: Box<dyn RngCore + Send>,
) -> io::Result<Opened> {
    let area = Area::of(geometry);
    let reading = Reading {
        device: &*device,
        area,
        uuid,
        harmed: Cell::new(0),
    };
    let mut halves = Vec::new();
    for half in 0..2 {
        match reading.begin(half)? {
            Begin::Harmed => return Ok(Opened::Damaged),
            Begin::Never => {}
            Begin::As(first) => halves.push((half, first)),
        }
    }
    halves.sort_by_key(|(_, first)| std::cmp::Reverse(first.epoch));
    let Some(highest_epoch) = halves.first().map(|(_, first)| first.epoch) else {
        return Ok(Opened::Damaged);
    };
    for (half, first) in halves {
        let Some(read) = reading.read(half, first)? else {
            return Ok(Opened::Damaged);
        };
        if read.blocks < first.base {
            // Its beginning was cut short: the other half is still what it was.
            continue;
        }
        let journal = Journal {
            device: Arc::clone(&device),
            area,
            uuid,
            half,
            epoch: first.epoch,
            life: first.life,
            base: first.base,
            next: read.blocks,
            highest_epoch,
            latest: read.record.latest,
            unclean: !read.clean || reading.harmed.get() > 0,
            repairs: if reading.harmed.get() > 0 { 2 } else { 0 },
            harmed: reading.harmed.get(),
            chance,
        };
        return Ok(Opened::Whole(journal, read.record));
    }
    Ok(Opened::Damaged)
}

/// Reads one device's journal.
struct Reading<'a> {
    device: &'a dyn Device,
    area: Area,
    uuid: u128,
    /// Copies that are neither blocks of ours nor blank.
    harmed: Cell<u64>,
}

/// How a half begins.
enum Begin {
    As(Header),
    /// It has not been begun, or its first block was cut short.
    Never,
    Harmed,
}

/// What a half holds.
struct Half {
    record: Record,
    /// Blocks from its beginning that are there.
    blocks: u32,
    /// Every copy of them is sound, and nothing lies behind.
    clean: bool,
}

impl Reading<'_> {
    /// The newer of the two copies of a half's first block.
    fn begin(&self, half: usize) -> io::Result<Begin> {
        let copies = [self.first(half, 0)?, self.first(half, 1)?];
        let headers = copies.iter().filter_map(|copy| match copy {
            Copy::Block(header, _) => Some(*header),
            Copy::Blank | Copy::Harmed => None,
        });
        let newest = headers.max_by_key(|header| header.epoch);
        Ok(match newest {
            Some(header) => Begin::As(header),
            None if copies.iter().all(|copy| matches!(copy, Copy::Harmed)) => Begin::Harmed,
            None => Begin::Never,
        })
    }

    fn first(&self, half: usize, copy: usize) -> io::Result<Copy> {
        let mut block = AlignedBuffer::zeroed(BLOCK_BYTES);
        self.device.read_at(self.area.offset(half, copy, 0), &mut block)?;
        let copy = self.classify(&block, 0);
        self.count(&copy);
        Ok(copy)
    }

    fn count(&self, copy: &Copy) {
        let harmed = u64::from(matches!(copy, Copy::Harmed));
        self.harmed.set(self.harmed.get() + harmed);
    }

    fn classify(&self, block: &[u8], number: u32) -> Copy {
        let mut entries = Vec::new();
        match Header::decode(self.uuid, block, &mut entries) {
            Some(header) if header.number == number => Copy::Block(header, entries),
            None if block.iter().all(|byte| *byte == 0) => Copy::Blank,
            Some(_) | None => Copy::Harmed,
        }
    }

    /// Reads a half from its beginning. `None` when acknowledged blocks are lost.
    fn read(&self, half: usize, first: Header) -> io::Result<Option<Half>> {
        let mut found = Half {
            record: Record::default(),
            blocks: 0,
            clean: true,
        };
        let mut ended = false;
        for start in (0..self.area.blocks()).step_by(CHUNK_BLOCKS as usize) {
            let count = CHUNK_BLOCKS.min(self.area.blocks() - start);
            let copies = [
                self.chunk(half, 0, start, count)?,
                self.chunk(half, 1, start, count)?,
            ];
            for at in 0..count {
                let block = at as usize * BLOCK_BYTES..(at as usize + 1) * BLOCK_BYTES;
                let blocks = [&copies[0][block.clone()], &copies[1][block]];
                let known = found.record.entries.len();
                match self.look(blocks, start + at, first, &mut found.record.entries) {
                    // Behind the end lies at most the rest of one commit that was cut short.
                    Found::Current { header, .. } if ended && header.commit > found.blocks => {
                        return Ok(None);
                    }
                    Found::Current { .. } if ended => {
                        found.record.entries.truncate(known);
                        found.clean = false;
                    }
                    Found::Current { header, clean } => {
                        found.record.latest = header.latest;
                        found.record.forgotten = header.forgotten;
                        found.blocks += 1;
                        found.clean &= clean;
                    }
                    Found::Missing { clean } => {
                        ended = true;
                        found.clean &= clean;
                    }
                    Found::Lost => return Ok(None),
                }
            }
            if ended {
                break;
            }
        }
        Ok(Some(found))
    }

    fn chunk(&self, half: usize, copy: usize, start: u32, count: u32) -> io::Result<AlignedBuffer> {
        let mut blocks = AlignedBuffer::zeroed(count as usize * BLOCK_BYTES);
        self.device
            .read_at(self.area.offset(half, copy, start), &mut blocks)?;
        Ok(blocks)
    }

    /// What the copies of a block say together; the entries of one that is current are added to `entries`.
    fn look(&self, blocks: [&[u8]; 2], number: u32, first: Header, entries: &mut Vec<Entry>) -> Found {
        let is_current = |header: &Header| (header.epoch, header.life) == (first.epoch, first.life);
        let copies = blocks.map(|block| self.classify(block, number));
        // A half's first block was counted when it was asked how the half begins.
        copies
            .iter()
            .filter(|_| number > 0)
            .for_each(|copy| self.count(copy));
        let (mut current, mut harmed) = (0, 0);
        let mut header = None;
        for copy in copies {
            match copy {
                Copy::Block(found, list) if is_current(&found) => {
                    if header.is_none() {
                        entries.extend(list);
                    }
                    header = Some(found);
                    current += 1;
                }
                Copy::Block(..) | Copy::Blank => {}
                Copy::Harmed => harmed += 1,
            }
        }
        match header {
            Some(header) => Found::Current {
                header,
                clean: current == 2,
            },
            None if harmed == 2 => Found::Lost,
            None => Found::Missing { clean: harmed == 0 },
        }
    }
}

/// What a commit did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) bytes: u64,
    /// It began the other half.
    pub(super) began: bool,
}

impl Journal {
    /// Purges of URLs, prefixes and tags that it has room for.
    pub(super) fn entries_max(&self) -> usize {
        self.area.entries_max()
    }

    /// It is complete up to this purge.
    pub(super) fn latest(&self) -> u64 {
        self.latest
    }

    /// Bytes in use, of one copy.
    pub(super) fn used_bytes(&self) -> u64 {
        u64::from(self.next) * BLOCK_BYTES as u64
    }

    /// Copies of blocks that were found harmed when it was opened.
    pub(super) fn harmed_copies(&self) -> u64 {
        self.harmed
    }

    /// Whether a copy of something is harmed: [`Journal::begin`] repairs it.
    pub(super) fn is_unclean(&self) -> bool {
        self.unclean
    }

    /// Whether `entries` more need the other half: call [`Journal::begin`] with all that is known instead.
    pub(super) fn is_full_for(&self, entries: usize) -> bool {
        self.unclean || self.next + blocks_for(entries) > self.area.blocks()
    }

    /// Appends a commit; on stable storage when this returns. Fails when the device does: the entries may or may not be
    /// there after a restart, and the next commit begins the other half.
    pub(super) fn append(&mut self, entries: &[Entry], forgotten: u64) -> io::Result<Written> {
        debug_assert!(!self.is_full_for(entries.len()));
        let latest = entries
            .iter()
            .map(|entry| entry.sequence)
            .fold(self.latest, u64::max);
        let header = Header {
            epoch: self.epoch,
            life: self.life,
            number: self.next,
            base: self.base,
            commit: self.next,
            latest,
            forgotten,
        };
        let bytes = self.write(self.half, header, entries)?;
        self.next += blocks_for(entries.len());
        self.latest = latest;
        Ok(Written { bytes, began: false })
    }

    /// Begins the other half with all that is known; on stable storage when this returns. When it fails the journal is
    /// what it was.
    pub(super) fn begin(&mut self, record: &Record) -> io::Result<Written> {
        let base = blocks_for(record.entries.len());
        if base > self.area.blocks() {
            let message = format!("{} purges do not fit the journal", record.entries.len());
            return Err(io::Error::new(io::ErrorKind::StorageFull, message));
        }
        self.highest_epoch += 1;
        let header = Header {
            epoch: self.highest_epoch,
            life: self.chance.next_u64(),
            number: 0,
            base,
            commit: 0,
            latest: record.latest.max(self.latest),
            forgotten: record.forgotten,
        };
        let half = 1 - self.half;
        if self.repairs > 0 {
            // Nothing of this half is needed: the one in use is whole.
            for copy in 0..2 {
                self.clear_harmed(half, copy, 0..self.area.blocks())?;
            }
        }
        let bytes = self.write(half, header, &record.entries)?;
        self.half = half;
        self.epoch = header.epoch;
        self.life = header.life;
        self.base = base;
        self.next = base;
        self.latest = header.latest;
        self.repairs = self.repairs.saturating_sub(1);
        self.unclean = self.repairs > 0;
        Ok(Written { bytes, began: true })
    }

    /// Writes blocks from `first` on, the second copy when the first is on stable storage. Returns the bytes written.
    fn write(&mut self, half: usize, first: Header, entries: &[Entry]) -> io::Result<u64> {
        // Until it is done: what is half-written here is never appended to.
        self.unclean = true;
        let blocks = blocks_for(entries.len());
        let mut buffer = AlignedBuffer::zeroed(blocks.min(CHUNK_BLOCKS) as usize * BLOCK_BYTES);
        // Before the first copies are written: so there is a sound copy of every block at any time.
        self.clear_harmed(half, 1, first.number..first.number + blocks)?;
        for copy in 0..2 {
            for start in (0..blocks).step_by(CHUNK_BLOCKS as usize) {
                let count = CHUNK_BLOCKS.min(blocks - start);
                let chunk = &mut buffer[..count as usize * BLOCK_BYTES];
                self.encode(first, entries, start, chunk);
                let offset = self.area.offset(half, copy, first.number + start);
                self.device.write_at(offset, chunk)?;
            }
            self.device.flush()?;
        }
        self.check_written(half, first, entries, &mut buffer)?;
        self.unclean = false;
        Ok(2 * u64::from(blocks) * BLOCK_BYTES as u64)
    }
}

impl Journal {
    /// The blocks from `start` on, counted from the first of `entries`, as many as `chunk` has room for.
    fn encode(&self, first: Header, entries: &[Entry], start: u32, chunk: &mut [u8]) {
        for (block, number) in chunk.chunks_exact_mut(BLOCK_BYTES).zip(start..) {
            let header = Header {
                number: first.number + number,
                ..first
            };
            let list = entries
                .chunks(BLOCK_ENTRIES)
                .nth(number as usize)
                .unwrap_or_default();
            header.encode(self.uuid, list, block);
        }
    }

    /// Reads back what was written: a drive that says that it wrote and did not must not make us acknowledge a purge.
    fn check_written(
        &self,
        half: usize,
        first: Header,
        entries: &[Entry],
        buffer: &mut AlignedBuffer,
    ) -> io::Result<()> {
        let blocks = blocks_for(entries.len());
        for start in (0..blocks).step_by(CHUNK_BLOCKS as usize) {
            let count = CHUNK_BLOCKS.min(blocks - start);
            let chunk = &mut buffer[..count as usize * BLOCK_BYTES];
            self.encode(first, entries, start, chunk);
            let mut found = AlignedBuffer::zeroed(chunk.len());
            for copy in 0..2 {
                let offset = self.area.offset(half, copy, first.number + start);
                self.device.read_at(offset, &mut found)?;
                if found[..] != *chunk {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "what was written to the purge journal reads otherwise: replace the drive",
                    ));
                }
            }
        }
        Ok(())
    }

    /// Zeros those copies of some blocks that are harmed.
    fn clear_harmed(&self, half: usize, copy: usize, blocks: std::ops::Range<u32>) -> io::Result<()> {
        let reading = Reading {
            device: &*self.device,
            area: self.area,
            uuid: self.uuid,
            harmed: Cell::new(0),
        };
        let mut cleared = false;
        for start in blocks.clone().step_by(CHUNK_BLOCKS as usize) {
            let count = CHUNK_BLOCKS.min(blocks.end - start);
            let mut chunk = reading.chunk(half, copy, start, count)?;
            for (number, block) in (start..).zip(chunk.chunks_exact_mut(BLOCK_BYTES)) {
                if matches!(reading.classify(block, number), Copy::Harmed) {
                    block.fill(0);
                    self.device
                        .write_at(self.area.offset(half, copy, number), block)?;
                    cleared = true;
                }
            }
        }
        if cleared {
            self.device.flush()?;
        }
        Ok(())
    }
}

/// Blocks that so many entries take: one at least.
fn blocks_for(entries: usize) -> u32 {
    entries.div_ceil(BLOCK_ENTRIES).max(1) as u32
}
