//! What writer and readers share: the device, how it is divided, the life each region is in, and the index.

use super::aligned::AlignedBuffer;
use super::device::{BLOCK_BYTES, Device};
use super::format::region::{FooterEntry, RegionLife, Trailer};
use super::format::{Geometry, Location, record::Kind};
use super::fronts::Fronts;
use super::held::Held;
use super::index::{Identity, Index};
use super::journal::Journal;
use super::journal::keeper::Keeper;
use super::metrics::DiskMetrics;
use super::reach::Reach;
use super::removals::Removals;
use crate::purge::{self, Purges, sequence};
use bytes::Bytes;
use model::Moment;
use parking_lot::Mutex;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A head that was judged so long before its region was opened may be in it: it waited for the writer, and clocks of
/// callers differ. If one waited longer, it is not believed and fetched anew.
const JUDGED_BEFORE_OPENING: Duration = Duration::from_secs(60);

/// One device, opened.
pub(super) struct Store {
    pub(super) device: Arc<dyn Device>,
    pub(super) geometry: Geometry,
    pub(super) uuid: u128,
    pub(super) index: Index,
    pub(super) fronts: Fronts,
    pub(super) removals: Removals,
    pub(super) held: Arc<Held>,
    /// The purge journal as it was found, until somebody keeps it.
    pub(super) journal: Mutex<Option<(Journal, purge::Record)>>,
    pub(super) keeper: OnceLock<Keeper>,
    /// What is purged, once somebody knows it.
    pub(super) purges: OnceLock<Arc<Purges>>,
    pub(super) metrics: DiskMetrics,
    lives: Box<[Life]>,
    /// Held while a region's life is ended for good and its ends are wiped, and while it is decided that nothing is
    /// written any more.
    pub(super) endings: Mutex<()>,
    read_only: AtomicBool,
    unwanted: AtomicBool,
}

/// The life of one region, 0 and 0 while there is nothing to read. Only the writer changes it.
#[derive(Default)]
struct Life {
    sequence: AtomicU64,
    life: AtomicU64,
    /// When it was opened, in seconds since the Unix epoch; 0 when that is not known.
    opened_seconds: AtomicU32,
}

impl Store {
    pub(super) fn new(
        device: Arc<dyn Device>,
        geometry: Geometry,
        uuid: u128,
        seed: u64,
        metrics: DiskMetrics,
    ) -> Store {
        metrics
            .capacity_bytes
            .set((u64::from(geometry.region_count) * geometry.region_bytes) as i64);
        metrics.direct_io.set(i64::from(device.is_direct()));
        metrics.read_only.set(0);
        let index = Index::new(device.size(), seed, metrics.slots.clone());
        Store {
            device,
            geometry,
            uuid,
            index,
            fronts: Fronts::new(),
            removals: Removals::default(),
            held: Arc::default(),
            journal: Mutex::default(),
            keeper: OnceLock::new(),
            purges: OnceLock::new(),
            lives: (0..geometry.region_count).map(|_| Life::default()).collect(),
            endings: Mutex::new(()),
            read_only: AtomicBool::new(false),
            unwanted: AtomicBool::new(false),
            metrics,
        }
    }

    /// The life a region is in, if anything in it may be read.
    pub(super) fn life_of(&self, number: u32) -> Option<RegionLife> {
        let life = self.lives.get(number as usize)?;
        // The sequence is taken on both sides of the life, so that the two belong together.
        let sequence = life.sequence.load(Ordering::Acquire);
        let value = life.life.load(Ordering::Acquire);
        let unchanged = sequence != 0 && life.sequence.load(Ordering::Acquire) == sequence;
        unchanged.then_some(RegionLife {
            number,
            sequence,
            life: value,
        })
    }

    /// A region begins its next life: records of it may be published from now on.
    pub(super) fn begin_life(&self, life: RegionLife) {
        let shared = &self.lives[life.number as usize];
        shared.life.store(life.life, Ordering::Release);
        shared.sequence.store(life.sequence, Ordering::Release);
    }

    /// A region's content is given up: reads in flight notice when they end, later ones at once.
    pub(super) fn end_life(&self, number: u32) {
        self.lives[number as usize].sequence.store(0, Ordering::Release);
    }

    /// By what a record of this kind is found; `None` for kinds that are not looked up.
    pub(super) fn identity(&self, kind: Kind, key_hash: u128, version: u64, part: u32) -> Option<Identity> {
        match kind {
            Kind::Head => Some(self.index.head(key_hash)),
            Kind::Part => Some(self.index.part(key_hash, version, part)),
            Kind::Tombstone | Kind::Padding | Kind::End => None,
        }
    }

    /// Lets the key's head be read together with the beginning of its object, if that lies right behind it.
    pub(super) fn join_to_head(&self, key_hash: u128, part: Location) {
        let head = self.index.head(key_hash);
        if let Some((location, known)) = self.index.find_with_reach(head)
            && let Some(reach) = Reach::over(location, part)
            && reach != known
        {
            self.index.set_reach(head, location, reach);
        }
    }

    /// Reads the blocks that cover `bytes` of a region. Returns them, and where in them the first byte asked for lies.
    pub(super) fn read_blocks(
        &self,
        region: u32,
        bytes: std::ops::Range<u64>,
    ) -> io::Result<(AlignedBuffer, usize)> {
        let lead = bytes.start % BLOCK_BYTES as u64;
        let start = bytes.start - lead;
        let mut buffer = AlignedBuffer::zeroed((bytes.end - start) as usize);
        self.device
            .read_at(self.geometry.start_of(region) + start, &mut buffer)?;
        self.metrics.bytes_read.inc_by(buffer.len() as u64);
        Ok((buffer, lead as usize))
    }

    /// The trailer of a region's footer, whatever life it speaks of. `None` when there is none.
    pub(super) fn trailer_of(&self, region: u32) -> io::Result<Option<Trailer>> {
        let end = self.geometry.region_bytes;
        let (last, _) = self.read_blocks(region, end - BLOCK_BYTES as u64..end)?;
        Ok(Trailer::decode(self.uuid, region, &last))
    }

    /// What a sealed region holds, in the order of writing, by its footer. `None` when that is damaged.
    pub(super) fn list_of(&self, trailer: &Trailer) -> io::Result<Option<Vec<FooterEntry>>> {
        let Some(bytes) = trailer.footer_bytes(&self.geometry) else {
            return Ok(None);
        };
        let end = self.geometry.region_bytes;
        let (footer, _) = self.read_blocks(trailer.region.life.number, end - bytes..end)?;
        Ok(trailer.entries(&self.geometry, &footer))
    }

    /// A region whose life has begun was opened then.
    pub(super) fn note_opened(&self, number: u32, seconds: u32) {
        self.lives[number as usize]
            .opened_seconds
            .store(seconds, Ordering::Release);
    }

    /// When a region was opened that is alive, in seconds since the Unix epoch; 0 when that is not known.
    pub(super) fn opened_seconds(&self, number: u32) -> u32 {
        self.lives[number as usize].opened_seconds.load(Ordering::Acquire)
    }

    /// A purge sequence that everything on the device was judged after, by the age of the oldest region; 0 while that is
    /// not known. What is written was judged when it was put, and reclaim judges what it copies.
    pub(super) fn oldest_sequence(&self) -> u64 {
        let alive = self
            .lives
            .iter()
            .filter(|life| life.sequence.load(Ordering::Acquire) != 0);
        let opened = alive.map(|life| life.opened_seconds.load(Ordering::Acquire));
        let oldest = Moment::from_seconds(opened.min().unwrap_or(0).into());
        sequence::first_of(oldest - JUDGED_BEFORE_OPENING)
    }

    /// What reclaim may write again of a head that lies on the device: the same, judged up to now. `None` when it was
    /// purged.
    pub(super) fn carry_over(&self, encoded: &[u8]) -> Option<Bytes> {
        match self.purges.get() {
            Some(purges) => purges.carry_over(encoded).map(Bytes::from),
            None => Some(Bytes::copy_from_slice(encoded)),
        }
    }

    /// Nothing will be written any more.
    pub(super) fn set_read_only(&self) {
        let _ending = self.endings.lock();
        self.read_only.store(true, Ordering::Release);
        self.metrics.read_only.set(1);
    }

    /// Nobody will read any more: what is still being done for readers may end.
    pub(super) fn set_unwanted(&self) {
        self.unwanted.store(true, Ordering::Release);
    }

    pub(super) fn is_unwanted(&self) -> bool {
        self.unwanted.load(Ordering::Acquire)
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.read_only.load(Ordering::Acquire)
    }
}
