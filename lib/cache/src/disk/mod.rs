//! The disk tier: one log on one device. What it holds survives `kill -9`; what it gives back is what was put, or nothing.
//!
//! ```text
//!  put_head, put_part, remove ──→ queue.rs ──→ writer.rs ──→ log/   ──→ device
//!                                (bounded,      (one thread,  (one open region a class,
//!                                 drops)         deadlines)    `placement/` says what is given up)
//!                                                                │ publishes
//!  has_part ────────────────────────────────────────────────→ index.rs ←── recover.rs at start
//!  record ──→ journal/ (one thread, group commits) ──→ device
//!  head, read ──→ read.rs ──→ index.rs, device/ (io_uring or threads, bounded buffers), checksums
//! ```
//!
//! An object is a *head* (everything known of it but its bytes), found by key, and *parts* of up to 4 MiB, found by
//! (key, version, number), each committed on its own; parts may be absent. The bytes are drawn in `format/`.
//!
//! Invariants, each held by a test:
//! - No wrong byte is ever returned: every read checks the record's header, its key, and the checksums of what it returns.
//! - A record that was committed survives the process; one that was flushed (within a second) survives loss of power.
//! - A purge that was acknowledged is known after any crash, or the device starts empty.
//! - A removed key does not come back, before or after a restart, once its tombstone is flushed.
//! - Nobody who puts or looks up waits for the device's writer: a full queue drops the copy, a full read queue is a miss.
//! - A block that holds a committed record is not written again until its region is reclaimed.

mod commit;
mod device;
mod format;
mod fronts;
mod held;
mod hints;
mod identity;
mod in_order;
mod index;
pub mod inspect;
mod journal;
mod log;
mod metrics;
mod open_region;
mod options;
mod outflow;
mod queue;
mod reach;
mod read;
mod rebuild;
mod reclaim;
mod recover;
mod removals;
mod store;
mod synthetic;
mod table;
mod tenure;
#[cfg(test)]
mod tests;
mod walk;
mod writer;

pub use commit::{Commit, Fate};
pub use device::{
    BLOCK_BYTES, Buffer, Buffers, Completion, Device, Direction, Engine, FaultCounts, Faults, FaultyDevice,
    FileDevice, Io, MemoryDevice, ThreadsDevice, Transfer, UringDevice, Writes, open_device,
};
pub use format::try_to_read;
pub(crate) use held::Hold;
pub use hints::Hints;
pub(crate) use identity::{identify, try_writing, wipe};
pub use metrics::DiskMetrics;
pub use options::Options;
pub use synthetic::SyntheticDevice;
pub(crate) use tenure::Retirement;

use crate::key::Key;
use crate::placement::Settings;
use crate::purge::{self, Entry, Purges};
use bytes::Bytes;
use device::aligned;
use device::deadlines::Deadlines;
use device::reads::Reads;
use format::Geometry;
use format::superblock::Superblock;
use journal::keeper::Keeper;
use journal::{Journal, Opened};
use log::Log;
use queue::{Queue, Record, Refusal};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use read::Miss;
use rebuild::Rebuild;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Weak};
use std::time::Duration;
use store::Store;
use writer::Writer;

/// What one part covers, in bytes: part `n` is `[n * PART_BYTES, (n + 1) * PART_BYTES)` of the object.
pub const PART_BYTES: u64 = 4 << 20;

/// The longest head that is kept, its key's text included, in bytes. Header fields are bounded far below by who parses them.
pub const MAX_HEAD_BYTES: usize = 1 << 20;

/// How long opening waits for the index: the newest regions, known first, give the first hits. Far below the second
/// within which they are promised.
const REBUILD_PATIENCE: Duration = Duration::from_millis(250);

/// One log on one device; clones share it. When the last clone is dropped without [`Disk::close`], the writer still
/// writes what it was given, seals and lets go of the device, in the background.
#[derive(Clone)]
pub struct Disk {
    shared: Arc<Shared>,
}

/// What is found of an object at first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub version: u64,
    /// The head, as it was put.
    pub encoded: Bytes,
    /// The object's first 256 KiB, or all of it when it is shorter, in memory of exactly their size. Empty when they lie
    /// elsewhere or are not there: ask [`Disk::read`].
    pub first: Bytes,
}

struct Shared {
    store: Arc<Store>,
    queue: Arc<Queue>,
    reads: Reads,
    writer: Retirement,
}

impl Disk {
    /// Becomes the device's one writer, formats it if it is not ours (logged), rebuilds the index and starts the
    /// threads. Blocks while it looks at every region's ends, well below a second; call it before serving. What is not
    /// in the index yet is a miss: [`DiskMetrics::recovering`] says when it is complete.
    ///
    /// Fails when an option is out of range, the device is too small, in use by another process, or cannot be read.
    pub fn open(device: Arc<dyn Device>, options: Options, metrics: DiskMetrics) -> io::Result<Disk> {
        options.check()?;
        device.lock(options.lock_patience)?;
        // What went wrong first is what matters: whether the lock is then released cleanly is not.
        Disk::open_locked(device.clone(), options, metrics).inspect_err(|_| drop(device.unlock()))
    }

    fn open_locked(device: Arc<dyn Device>, options: Options, metrics: DiskMetrics) -> io::Result<Disk> {
        let device: Arc<dyn Device> = match device.engine() {
            Engine::Uring | Engine::Threads => device,
            Engine::Blocking => Arc::new(ThreadsDevice::start(
                device,
                options.read_threads,
                options.read_queue,
            )?),
        };
        metrics
            .io_engine
            .with_label_values(&[device.engine().name()])
            .set(1);
        let (store, log, rebuild) = open_log(device.clone(), &options, metrics, &mut StdRng::from_os_rng())?;
        keep_journal(&store)?;
        rebuild_behind(&store, rebuild)?;
        let bounds = [
            (&store.metrics.read_buffer_bound_bytes, options.read_buffer_bytes),
            (&store.metrics.queue_bound_bytes, options.queue_bytes),
        ];
        for (gauge, bytes) in bounds {
            gauge.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        let buffers = Buffers::new(options.read_buffer_bytes, store.metrics.read_buffer_bytes.clone());
        let deadlines = Deadlines::start(options.read_deadline)?;
        let reads = Reads::new(device, buffers, Arc::new(deadlines));
        let queue = Arc::new(Queue::new(options.queue_bytes, store.metrics.queue_bytes.clone()));
        let writer = Writer::new(log, store.clone(), options.commit_delay);
        let (at_work, retirement) = Retirement::of_one_at_work();
        std::thread::Builder::new()
            .name("cache-disk-write".to_owned())
            .spawn({
                let queue = queue.clone();
                move || {
                    let _at_work = at_work;
                    writer.run(&queue);
                }
            })?;
        Ok(Disk {
            shared: Arc::new(Shared {
                store,
                queue,
                reads,
                writer: retirement,
            }),
        })
    }

    /// The newest head of a key: its version and its bytes as they were put. `None` is a miss. The key's text was
    /// compared with the record's, so two keys of one hash are never confused.
    ///
    /// Fails when the device refuses to read; the record is forgotten, so that asking again is a miss.
    pub async fn head(&self, key: &Key) -> io::Result<Option<(u64, Bytes)>> {
        let Shared { store, reads, .. } = &*self.shared;
        let found = read::read_head(store, reads, key.hash(), key.text()).await;
        let found = self.answer(found)?;
        Ok(found.map(|found| (found.version, found.encoded)))
    }

    /// As [`Disk::head`], with the beginning of the object where that lies right behind the head: one I/O for both.
    pub async fn find(&self, key: &Key) -> io::Result<Option<Found>> {
        let Shared { store, reads, .. } = &*self.shared;
        let found = read::read_object(store, reads, key.hash(), key.text()).await;
        self.answer(found)
    }

    /// Whether a part can probably be read: no I/O, no waiting. A read may still find it gone.
    pub fn has_part(&self, key_hash: u128, version: u64, part: u32) -> bool {
        let index = &self.shared.store.index;
        index.find(index.part(key_hash, version, part)).is_some()
    }

    /// A part was read elsewhere, and its head: they are as hot as if they had been read here. No I/O, no waiting.
    pub fn warm(&self, key_hash: u128, version: u64, part: u32) {
        let index = &self.shared.store.index;
        index.warm(index.head(key_hash));
        index.warm(index.part(key_hash, version, part));
    }

    /// Bytes `range` of a part, checked, in memory of exactly their size. `None` is a miss: absent, shorter than the
    /// range, reclaimed, damaged (counted, and forgotten), too many reads waiting or the device too slow.
    ///
    /// Fails when the device refuses to read; the record is forgotten, so that asking again is a miss.
    pub async fn read(
        &self,
        key_hash: u128,
        version: u64,
        part: u32,
        range: Range<u32>,
    ) -> io::Result<Option<Bytes>> {
        let Shared { store, reads, .. } = &*self.shared;
        self.answer(read::read_part(store, reads, (key_hash, version, part), range).await)
    }

    /// Says that an object is being read: until the hold is dropped its parts are spared when room is made, as far as
    /// there is room for them. `None` when too many are held already.
    pub(crate) fn hold(&self, key_hash: u128, version: u64) -> Option<Hold> {
        self.shared.store.held.hold(key_hash, version)
    }

    /// Puts an object's head, which takes the place of any other of this key. Put it again with the same version to
    /// change what is known of the object. Put it after the parts: their fate decides whether it is of use.
    pub fn put_head_as(&self, key: &Key, version: u64, encoded: Bytes, hints: Hints) -> Commit {
        if key.text().len() + encoded.len() > MAX_HEAD_BYTES {
            return self.too_large();
        }
        self.put(Record {
            hints,
            ..Record::head(key.hash(), key.text(), version, encoded)
        })
    }

    /// Puts a part of an object: its bytes in as many pieces as they came in, [`PART_BYTES`] in all at most.
    pub fn put_part_as(
        &self,
        key_hash: u128,
        version: u64,
        part: u32,
        pieces: Vec<Bytes>,
        hints: Hints,
    ) -> Commit {
        if pieces.iter().map(Bytes::len).sum::<usize>() as u64 > PART_BYTES {
            return self.too_large();
        }
        self.put(Record {
            hints,
            ..Record::part(key_hash, version, part, pieces)
        })
    }

    /// [`Disk::put_head_as`] when nothing is known of the object.
    pub fn put_head(&self, key: &Key, version: u64, encoded: Bytes) -> Commit {
        self.put_head_as(key, version, encoded, Hints::default())
    }

    /// [`Disk::put_part_as`] when nothing is known of the object.
    pub fn put_part(&self, key_hash: u128, version: u64, part: u32, pieces: Vec<Bytes>) -> Commit {
        self.put_part_as(key_hash, version, part, pieces, Hints::default())
    }

    /// Forgets the head of a key, now and after a restart; what is put later is found again. Parts stay readable for
    /// who knows their version: readers that are under way finish.
    pub fn remove(&self, key_hash: u128) {
        let store = &self.shared.store;
        store.metrics.removals.inc();
        if self
            .shared
            .queue
            .offer_removal(key_hash, &store.removals)
            .is_err()
        {
            store.metrics.removals_lost.inc();
        }
        store.index.remove(store.index.head(key_hash));
    }

    /// Shares with `purges` what this device's journal knows of them, and keeps the journal from now on. Before the
    /// first look-up, once.
    pub(crate) fn join(&self, purges: &Arc<Purges>) {
        let store = &self.shared.store;
        if let Some(keeper) = store.keeper.get()
            && store.purges.set(Arc::clone(purges)).is_ok()
        {
            keeper.join(purges);
        }
    }

    /// Writes all that is known of purges into this device's journal if that lacks any: another device knew more.
    pub(crate) fn catch_up(&self) {
        if let Some(keeper) = self.shared.store.keeper.get() {
            keeper.catch_up();
        }
    }

    /// Journals a purge that [`Purges`] has recorded. Resolves when it is on stable storage; fails when the device does, or is
    /// closed. The entry is on its way when this returns.
    pub(crate) fn record(&self, entry: Entry) -> impl Future<Output = io::Result<()>> + Send + use<> {
        let recorded = self.shared.store.keeper.get().map(|keeper| keeper.record(entry));
        async move {
            match recorded {
                Some(recorded) => recorded.await,
                None => Err(io::Error::other("the purge journal is not kept")),
            }
        }
    }

    /// Writes what waits, seals the open region, flushes and lets go of the device. Reading goes on; nothing is
    /// written any more. Only the first call waits.
    pub async fn close(&self) {
        self.shared.queue.close().await;
    }

    fn put(&self, record: Record) -> Commit {
        let store = &self.shared.store;
        let offered = if store.is_read_only() {
            Err(Refusal::Closed)
        } else {
            self.shared.queue.offer(record)
        };
        offered.unwrap_or_else(|refusal| {
            match refusal {
                Refusal::Full => store.metrics.dropped.queue_full.inc(),
                Refusal::Closed => store.metrics.dropped.read_only.inc(),
            }
            Commit::refused()
        })
    }

    fn too_large(&self) -> Commit {
        self.shared.store.metrics.dropped.too_large.inc();
        Commit::refused()
    }

    /// Counts the result of a read. Everything but a refusal by the device is a hit or a miss.
    fn answer<T>(&self, found: Result<T, Miss>) -> io::Result<Option<T>> {
        let reads = &self.shared.store.metrics.reads;
        let (counter, answer) = match found {
            Ok(found) => (&reads.hit, Ok(Some(found))),
            Err(Miss::Absent) => (&reads.absent, Ok(None)),
            Err(Miss::OtherKey) => (&reads.other_key, Ok(None)),
            Err(Miss::OutOfRange) => (&reads.out_of_range, Ok(None)),
            Err(Miss::Reclaimed) => (&reads.reclaimed, Ok(None)),
            Err(Miss::Corrupt) => (&reads.corrupt, Ok(None)),
            Err(Miss::Busy) => (&reads.busy, Ok(None)),
            Err(Miss::Late) => (&reads.late, Ok(None)),
            Err(Miss::Failed(error)) => (&reads.failed, Err(error)),
        };
        counter.inc();
        answer
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.store.set_unwanted();
        drop(self.queue.close());
    }
}

/// Rebuilds the index on a thread of its own, and waits a little for it: a small device is known whole when it is opened.
fn rebuild_behind(store: &Arc<Store>, rebuild: Rebuild) -> io::Result<()> {
    let (done, rebuilt) = std::sync::mpsc::channel();
    let store = store.clone();
    std::thread::Builder::new()
        .name("cache-disk-find".to_owned())
        .spawn(move || {
            rebuild.run(&store);
            // Nobody waiting any more is fine.
            done.send(()).ok();
        })?;
    rebuilt.recv_timeout(REBUILD_PATIENCE).ok();
    Ok(())
}

/// Everything between a locked device and a log that can be appended to; no threads.
fn open_log(
    device: Arc<dyn Device>,
    options: &Options,
    metrics: DiskMetrics,
    chance: &mut StdRng,
) -> io::Result<(Arc<Store>, Log, Rebuild)> {
    let (size, region_bytes) = (device.size(), options.region_bytes);
    let geometry = Geometry::of(size, region_bytes).ok_or_else(|| {
        let least = format::REGIONS_START + format::MIN_REGIONS * region_bytes;
        let message = format!(
            "cache disk: {size} bytes are too few for regions of {region_bytes}: give it at least {least} bytes, or \
             make the regions smaller"
        );
        io::Error::new(io::ErrorKind::InvalidInput, message)
    })?;
    let superblock =
        recover::read_or_format(&*device, geometry, chance.random(), &metrics.damaged.superblock)?;
    let (superblock, (journal, found)) = open_journal(&device, superblock, chance)?;
    metrics.damaged.journal.inc_by(journal.harmed_copies());
    let store = Arc::new(Store::new(
        device,
        geometry,
        superblock.uuid,
        chance.random(),
        metrics,
    ));
    *store.journal.lock() = Some((journal, found));
    let (recovered, rebuild) = recover::survey_all(&store);
    let settings = Settings {
        s_share: options.s_share,
        drive_writes_per_day: options.drive_writes_per_day,
        seed: chance.random(),
        ..Settings::of(geometry.region_count, geometry.region_bytes)
    };
    let log = Log::new(
        store.clone(),
        settings,
        &recovered,
        Box::new(StdRng::from_rng(chance)),
    );
    Ok((store, log, rebuild))
}

/// The purge journal of a device of ours. One that may have lost what it acknowledged leaves nothing to believe: the
/// device is formatted.
fn open_journal(
    device: &Arc<dyn Device>,
    superblock: Superblock,
    chance: &mut StdRng,
) -> io::Result<(Superblock, (Journal, purge::Record))> {
    let geometry = superblock.geometry;
    let open = |superblock: Superblock, chance: &mut StdRng| {
        let chance = Box::new(StdRng::from_rng(chance));
        journal::open(device.clone(), &geometry, superblock.uuid, chance)
    };
    if let Opened::Whole(journal, found) = open(superblock, chance)? {
        return Ok((superblock, (journal, found)));
    }
    let reason = "its purge journal is damaged, and what was purged cannot be told from what was not";
    let superblock = recover::format(&**device, geometry, chance.random(), reason)?;
    match open(superblock, chance)? {
        Opened::Whole(journal, found) => Ok((superblock, (journal, found))),
        Opened::Damaged => Err(io::Error::other(
            "cache disk: the purge journal that was just written cannot be read back: replace the drive",
        )),
    }
}

/// Starts the thread that keeps the journal.
fn keep_journal(store: &Arc<Store>) -> io::Result<()> {
    let Some((journal, found)) = store.journal.lock().take() else {
        return Ok(());
    };
    let weak = Arc::downgrade(store);
    let oldest = move || Weak::upgrade(&weak).map_or(0, |store| store.oldest_sequence());
    let keeper = Keeper::start(journal, found, store.metrics.clone(), oldest)?;
    // Nobody else starts one: the store is not shared yet.
    drop(store.keeper.set(keeper));
    Ok(())
}
