//! RAM over disk, as readers see them: where the bytes of one version can be had.

use crate::{
    disk::{Hold, PART_BYTES},
    disks::Disks,
    head::Head,
    key::Key,
    metrics::Metrics,
    purge::Purges,
    ram::{CHUNK_BYTES, Cell, Ram, WHOLE_BYTES},
    read_ahead::{Allowance, Lease},
    reading::Reading,
    touched::Touched,
};
use bytes::Bytes;
use std::{ops::Range, sync::Arc};
use tokio::sync::Semaphore;

/// Chunks in a part.
pub(crate) const CHUNKS_PER_PART: u64 = PART_BYTES / CHUNK_BYTES;

/// Reads of bodies under way at once, on all disks together. Others wait their turn instead of being refused by a disk
/// that has too many: an answer that has begun cannot be missed any more. NVMe has its full rate at half of it, and the
/// buffers of so many reads are 36 MiB.
const READS_AT_ONCE: usize = 128;
/// What all readers together may have read ahead, as a share of the RAM tier, which holds most of it as well.
const READ_AHEAD_SHARE: u64 = 8;

/// The two tiers that keep objects.
pub(crate) struct Tiers {
    pub(crate) ram: Ram,
    pub(crate) disk: Option<Disks>,
    pub(crate) purges: Arc<Purges>,
    pub(crate) metrics: Metrics,
    /// Chunks of which a small piece was read from disk.
    pub(crate) touched: Touched,
    ahead: Arc<Allowance>,
    reads: Semaphore,
    chunks: Reading<ChunkName, Bytes>,
    pieces: Reading<PieceName, Bytes>,
    cells: Reading<CellName, Cell>,
}

/// Key hash, version, number.
type ChunkName = (u128, u64, u64);
/// Key hash, version, start and end.
type PieceName = (u128, u64, u64, u64);
/// Key, and how many evictions its shard had seen: who looks after an eviction does not share a read begun before.
type CellName = (Key, u64);

/// How much of an object there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coverage {
    Whole,
    Part,
    None,
}

impl Tiers {
    pub(crate) fn new(ram: Ram, disk: Option<Disks>, metrics: Metrics) -> Tiers {
        let ahead_bound = ram.budget() / READ_AHEAD_SHARE;
        metrics.read_ahead_bound_bytes.set(gauge(ahead_bound));
        let purges = Arc::new(Purges::new(metrics.purges.clone()));
        if let Some(disk) = &disk {
            disk.join(&purges);
        }
        Tiers {
            ahead: Arc::new(Allowance::new(ahead_bound, metrics.read_ahead_bytes.clone())),
            reads: Semaphore::new(READS_AT_ONCE),
            ram,
            disk,
            purges,
            metrics,
            touched: Touched::new(),
            chunks: Reading::new(),
            pieces: Reading::new(),
            cells: Reading::new(),
        }
    }

    /// Leave to read `bytes` from disk before they are asked for.
    pub(crate) fn may_read_ahead(&self, bytes: u64) -> Option<Lease> {
        (self.reads.available_permits() > 0)
            .then(|| self.ahead.take(bytes))
            .flatten()
    }

    /// Whether the disk has part `number` of the object.
    pub(crate) fn on_disk(&self, head: &Head, number: u64) -> bool {
        match (&self.disk, u32::try_from(number)) {
            (Some(disk), Ok(number)) => disk.has_part(head.key.hash(), head.version, number),
            _ => false,
        }
    }

    /// Part `number` of the object was read in RAM, and its head: the disk counts that as if it had been read there.
    pub(crate) fn warm_on_disk(&self, head: &Head, number: u64) {
        if let (Some(disk), Ok(number)) = (&self.disk, u32::try_from(number)) {
            disk.warm(head.key.hash(), head.version, number);
        }
    }

    /// Says that the object is being read from disk, where part `number` of it is.
    pub(crate) fn hold(&self, head: &Head, number: u64) -> Option<Hold> {
        let disk = self.disk.as_ref()?;
        disk.hold(head.key.hash(), head.version, u32::try_from(number).ok()?)
    }

    /// Whether every byte of `range` can be read. Asks once for a part that is on disk, else for each of its chunks:
    /// some 50 ns each, little beside serving them.
    pub(crate) fn covers(&self, head: &Head, range: &Range<u64>) -> bool {
        self.chunks_of(head, range).all(|present| present)
    }

    /// How much of `0..length` can be read.
    pub(crate) fn coverage(&self, head: &Head, length: u64) -> Coverage {
        let (mut some, mut all) = (false, true);
        for present in self.chunks_of(head, &(0..length)) {
            some |= present;
            all &= present;
            if some && !all {
                return Coverage::Part;
            }
        }
        match all {
            true => Coverage::Whole,
            false => Coverage::None,
        }
    }

    /// For each chunk of `range` (or part, where the disk has it) whether it is present.
    fn chunks_of(&self, head: &Head, range: &Range<u64>) -> impl Iterator<Item = bool> {
        let end = range.end.div_ceil(CHUNK_BYTES);
        let mut number = if range.is_empty() {
            end
        } else {
            range.start / CHUNK_BYTES
        };
        std::iter::from_fn(move || {
            if number >= end {
                return None;
            }
            let part = number / CHUNKS_PER_PART;
            if self.on_disk(head, part) {
                number = (part + 1) * CHUNKS_PER_PART;
                return Some(true);
            }
            let present = self.ram.has_chunk(head.key.hash(), head.version, number);
            number += 1;
            Some(present)
        })
    }

    /// Reads chunk `number`, which ends at `end` within the object, from the disk and puts it into RAM. `None` is a
    /// miss: never there, reclaimed, or its checksum was wrong (which the disk counts).
    pub(crate) async fn chunk_from_disk(
        self: &Arc<Tiers>,
        head: &Head,
        number: u64,
        end: u64,
    ) -> Option<Bytes> {
        let name = (head.key.hash(), head.version, number);
        let read = || {
            let tiers = Arc::clone(self);
            async move { tiers.read_chunk(name, end).await }
        };
        self.chunks.once(name, read).await
    }

    async fn read_chunk(&self, (key_hash, version, number): ChunkName, end: u64) -> Option<Bytes> {
        // Another may have read it between the caller's look into RAM and now.
        if let Some(bytes) = self.ram.chunk(key_hash, version, number) {
            return Some(bytes);
        }
        let bytes = self
            .read_range(key_hash, version, number * CHUNK_BYTES..end)
            .await?;
        self.ram.keep_chunk(key_hash, version, number, bytes.clone());
        Some(bytes)
    }

    /// Reads `range`, which lies within one chunk, from the disk: a piece of an object that is not kept in RAM.
    pub(crate) async fn piece_from_disk(self: &Arc<Tiers>, head: &Head, range: Range<u64>) -> Option<Bytes> {
        let (key_hash, version) = (head.key.hash(), head.version);
        let read = || {
            let (tiers, range) = (Arc::clone(self), range.clone());
            async move { tiers.read_range(key_hash, version, range).await }
        };
        let name = (key_hash, version, range.start, range.end);
        self.pieces.once(name, read).await
    }

    /// Reads `range`, which lies within one part, from the disk.
    async fn read_range(&self, key_hash: u128, version: u64, range: Range<u64>) -> Option<Bytes> {
        let disk = self.disk.as_ref()?;
        let part = range.start / PART_BYTES;
        let start = u32::try_from(range.start - part * PART_BYTES).ok()?;
        let end = u32::try_from(range.end - part * PART_BYTES).ok()?;
        let _turn = self.reads.acquire().await.ok()?;
        // An I/O error is a miss as well; the disk has counted it and looks after itself.
        let bytes = disk
            .read(key_hash, version, u32::try_from(part).ok()?, start..end)
            .await
            .ok()
            .flatten()?;
        self.metrics.chunks_from_disk.inc();
        Some(bytes)
    }

    /// The head of `key` from disk, with the whole body when it is small, as `keep` has put it into RAM; or what is
    /// `known` by the time it would be read.
    pub(crate) async fn cell_from_disk(
        self: &Arc<Tiers>,
        key: &Key,
        evictions: u64,
        known: impl Fn(&Key) -> Option<Cell> + Clone + Send + 'static,
        keep: impl Fn(Cell) -> Option<Cell> + Clone + Send + 'static,
    ) -> Option<Cell> {
        let read = || {
            let (tiers, key, known, keep) = (Arc::clone(self), key.clone(), known.clone(), keep.clone());
            async move {
                if let Some(cell) = known(&key) {
                    return Some(cell);
                }
                tiers.read_cell(&key).await.and_then(keep)
            }
        };
        self.cells.once((key.clone(), evictions), read).await
    }

    async fn read_cell(&self, key: &Key) -> Option<Cell> {
        let disk = self.disk.as_ref()?;
        let found = disk.find(key).await.ok().flatten()?;
        let version = found.version;
        let head = match Head::decode(&found.encoded) {
            Ok(head) if head.version == version && head.key == *key => Arc::new(head),
            _ => {
                self.metrics.unreadable_heads.inc();
                return None;
            }
        };
        let whole = match head.length? {
            0 => Some(Bytes::new()),
            length if length <= WHOLE_BYTES && found.first.len() as u64 == length => Some(found.first),
            length @ 1..=WHOLE_BYTES => {
                let range = 0..u32::try_from(length).ok()?;
                Some(disk.read(key.hash(), version, 0, range).await.ok().flatten()?)
            }
            length => {
                // The beginning came with the head: who asks for the object asks for it next.
                if found.first.len() as u64 == length.min(CHUNK_BYTES) {
                    self.metrics.chunks_from_disk.inc();
                    self.ram.keep_chunk(key.hash(), version, 0, found.first);
                }
                None
            }
        };
        Some(Cell { head, whole })
    }
}

/// Bytes as a gauge shows them.
pub(crate) fn gauge(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
