//! The tier on a device that fails: misses, never a wrong byte, never a read without an end.
//!
//! Each story is told on both ways into a device: blocking calls from threads, and transfers submitted to a ring (where
//! the kernel refuses that, threads again).

use super::{body, metrics};
use crate::disk::{
    BLOCK_BYTES, Device, Disk, DiskMetrics, Engine, Fate, Faults, FaultyDevice, Io, MemoryDevice, Options,
    ThreadsDevice, open_device,
};
use crate::key::Key;
use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const DEVICE_BYTES: u64 = 24 << 20;
const OBJECTS: u64 = 60;
/// Long enough for anything that is to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A disk on a device that fails as it is told to.
struct Stage {
    device: Arc<FaultyDevice>,
    disk: Disk,
    metrics: DiskMetrics,
    _folder: Option<TempDir>,
}

impl Stage {
    fn new(device: Arc<dyn Device>, folder: Option<TempDir>, seed: u64, options: Options) -> Stage {
        let device = Arc::new(FaultyDevice::new(device, seed));
        let metrics = metrics();
        let disk = Disk::open(device.clone(), options, metrics.clone()).expect("opens");
        Stage {
            device,
            disk,
            metrics,
            _folder: folder,
        }
    }

    fn is_right(&self, number: u64, found: &Bytes, start: usize) -> bool {
        body(number, length_of(number))[start..].starts_with(found)
    }

    async fn put(&self, number: u64) -> Fate {
        let parts = vec![body(number, length_of(number))];
        let part = self.disk.put_part(key(number).hash(), number, 0, parts);
        let head = self.disk.put_head(&key(number), number, body(number + 1000, 900));
        match (part.await, head.await) {
            (Fate::Committed, Fate::Committed) => Fate::Committed,
            _ => Fate::Dropped,
        }
    }

    /// Waits until no read has a buffer any more.
    fn until_buffers_are_home(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.metrics.read_buffer_bytes.get() > 0 {
            assert!(Instant::now() < deadline, "buffers are lost");
            std::thread::yield_now();
        }
    }
}

fn key(number: u64) -> Key {
    Key::new("demo", format!("/segment-{number}.m4s"))
}

fn length_of(number: u64) -> usize {
    (number as usize * 7919) % 200_000 + 1
}

fn options() -> Options {
    Options {
        region_bytes: 2 << 20,
        commit_delay: Duration::from_millis(2),
        read_threads: 2,
        read_buffer_bytes: 8 << 20,
        read_deadline: PATIENCE,
        ..Options::default()
    }
}

/// Tells the story once for each way into a device.
fn on_each_engine(seed: u64, options: &Options, story: impl AsyncFn(&Stage)) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let ring = open_device(&folder.path().join("cache.device"), DEVICE_BYTES, Io::Auto).expect("opened");
    let memory: Arc<dyn Device> = Arc::new(MemoryDevice::new(DEVICE_BYTES));
    for (device, folder) in [(memory, None), (ring, Some(folder))] {
        eprintln!("engine {}, seed {seed}", device.engine().name());
        let stage = Stage::new(device, folder, seed, options.clone());
        tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime")
            .block_on(story(&stage));
    }
}

#[test]
fn a_device_that_fails_and_flips_now_and_then_costs_misses_and_never_a_wrong_byte() {
    let seed = rand::random();
    on_each_engine(seed, &options(), async |stage| {
        for number in 0..OBJECTS {
            assert_eq!(stage.put(number).await, Fate::Committed);
        }
        stage.device.set(Faults {
            read_errors: 0.01,
            short_reads: 0.01,
            flips: 0.02,
            ..Faults::default()
        });
        let mut chance = SmallRng::seed_from_u64(seed);
        let mut hits = 0;
        let mut refilled: HashMap<u64, u32> = HashMap::new();
        for _ in 0..2000 {
            let number = chance.random_range(0..OBJECTS);
            let (start, end) = (chance.random_range(0..length_of(number)), length_of(number));
            let head = stage.disk.head(&key(number)).await.ok().flatten();
            let range = start as u32..end as u32;
            let read = stage.disk.read(key(number).hash(), number, 0, range);
            let bytes = read.await.ok().flatten();
            if let Some((version, encoded)) = &head {
                assert_eq!((*version, encoded), (number, &body(number + 1000, 900)));
            }
            if let Some(bytes) = &bytes {
                assert_eq!(bytes.len(), end - start);
                assert!(stage.is_right(number, bytes, start), "{number} from {start}");
            }
            if head.is_some() && bytes.is_some() {
                hits += 1;
            } else {
                // What any miss leads to. Writing does not fail in this story; making room for so many may take some.
                *refilled.entry(number).or_default() += 1;
                assert_eq!(stage.put(number).await, Fate::Committed);
            }
        }
        let (counts, reads) = (stage.device.counts(), &stage.metrics.reads);
        assert!(hits > 1500, "{hits} hits, {counts:?}");
        assert!(reads.failed.get() > 0 && reads.failed.get() <= counts.read_errors + counts.short);
        assert!(reads.corrupt.get() > 0 && reads.corrupt.get() <= counts.flips);
        assert!(!refilled.is_empty());
        stage.until_buffers_are_home();
    });
}

#[test]
fn a_device_that_stalls_makes_misses_in_time_keeps_the_buffers_until_it_answers_and_is_read_again() {
    let options = Options {
        read_deadline: Duration::from_millis(20),
        ..options()
    };
    on_each_engine(1, &options, async |stage| {
        assert_eq!(stage.put(7).await, Fate::Committed);
        let read = || stage.disk.read(key(7).hash(), 7, 0, 0..1000);
        // A device that is well may be late as well, on a machine that is busy.
        let is_read = async || {
            let deadline = Instant::now() + PATIENCE;
            while read().await.expect("reads").is_none() {
                assert!(Instant::now() < deadline, "it is never read");
            }
        };
        is_read().await;
        let late_before = stage.metrics.reads.late.get();
        let stall = Faults {
            stalls: 1.0,
            ..Faults::default()
        };
        stage.device.set(stall);
        for late in 1..=5 {
            assert_eq!(read().await.expect("a miss, not an error"), None);
            assert_eq!(stage.metrics.reads.late.get() - late_before, late);
        }
        assert!(
            stage.metrics.read_buffer_bytes.get() > 0,
            "the device has them still"
        );
        assert!(stage.disk.has_part(key(7).hash(), 7, 0), "late is not lost");
        stage.device.set(Faults::default());
        stage.until_buffers_are_home();
        is_read().await;
    });
}

#[test]
fn however_many_read_from_a_device_that_hangs_memory_is_bounded_and_nobody_waits_for_ever() {
    let options = Options {
        read_deadline: Duration::from_millis(20),
        ..options()
    };
    let bound = options.read_buffer_bytes as i64;
    on_each_engine(2, &options, async |stage| {
        for number in 0..OBJECTS {
            assert_eq!(stage.put(number).await, Fate::Committed);
        }
        stage.device.set(Faults {
            stalls: 1.0,
            ..Faults::default()
        });
        let reads: Vec<_> = (0..400)
            .map(|number| {
                let (disk, number) = (stage.disk.clone(), number % OBJECTS);
                let range = 0..length_of(number) as u32;
                tokio::spawn(async move { disk.read(key(number).hash(), number, 0, range).await })
            })
            .collect();
        for read in reads {
            assert_eq!(read.await.expect("no panic").expect("no error"), None);
            assert!(stage.metrics.read_buffer_bytes.get() <= bound);
        }
        let results = &stage.metrics.reads;
        assert!(results.busy.get() > 0 && results.late.get() > 0);
        assert_eq!(results.busy.get() + results.late.get(), 400);
        stage.device.set(Faults::default());
        stage.until_buffers_are_home();
        let again = stage.disk.read(key(1).hash(), 1, 0, 0..1);
        assert!(again.await.expect("reads").is_some());
    });
}

#[test]
fn a_device_that_is_full_takes_nothing_and_gives_what_it_has_and_one_that_is_gone_gives_nothing() {
    on_each_engine(3, &options(), async |stage| {
        assert_eq!(stage.put(1).await, Fate::Committed);
        stage.device.set(Faults {
            full: true,
            ..Faults::default()
        });
        assert_eq!(stage.put(2).await, Fate::Dropped);
        assert_eq!(stage.metrics.write_errors.get(), 1);
        let head = stage.disk.head(&key(1)).await.expect("reads");
        assert_eq!(head, Some((1, body(1001, 900))));
        stage.device.set(Faults {
            gone: true,
            ..Faults::default()
        });
        let hash = key(1).hash();
        assert!(stage.disk.read(hash, 1, 0, 0..1).await.is_err());
        assert_eq!(stage.disk.read(hash, 1, 0, 0..1).await.expect("a miss now"), None);
        stage.disk.close().await;
    });
}

#[test]
fn writes_that_tear_and_say_they_did_not_are_misses() {
    let seed = rand::random();
    on_each_engine(seed, &options(), async |stage| {
        stage.device.set(Faults {
            torn: 0.3,
            ..Faults::default()
        });
        let (mut hits, mut misses) = (0, 0);
        for number in 0..OBJECTS {
            assert_eq!(stage.put(number).await, Fate::Committed);
            let range = 0..length_of(number) as u32;
            let read = stage.disk.read(key(number).hash(), number, 0, range);
            match read.await.expect("reads") {
                Some(bytes) => {
                    hits += 1;
                    assert!(stage.is_right(number, &bytes, 0), "{number}");
                }
                None => misses += 1,
            }
        }
        let corrupt = stage.metrics.reads.corrupt.get();
        assert!(
            hits > 0 && misses > 0 && corrupt <= misses,
            "{hits}, {misses}, {corrupt}"
        );
    });
}

#[test]
fn a_decorator_that_forwards_nothing_still_works_with_threads_in_front() {
    struct Plain(MemoryDevice);
    impl Device for Plain {
        fn size(&self) -> u64 {
            self.0.size()
        }
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
            self.0.read_at(offset, buffer)
        }
        fn write_at(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
            self.0.write_at(offset, data)
        }
        fn flush(&self) -> std::io::Result<()> {
            self.0.flush()
        }
    }
    let plain = Arc::new(Plain(MemoryDevice::new(16 * BLOCK_BYTES as u64)));
    assert_eq!(plain.engine(), Engine::Blocking);
    let threads = ThreadsDevice::start(plain, 1, 1).expect("a thread");
    assert_eq!(threads.engine(), Engine::Threads);
    let mut writes = crate::disk::Writes::new(Arc::new(threads), 4);
    // More than wait in the queue: those it refuses are made by blocking calls, in order.
    for number in 0..16 {
        if writes.is_full() {
            writes.finish_oldest().expect("full").0.expect("written");
        }
        let mut block = crate::disk::aligned::AlignedBuffer::zeroed(BLOCK_BYTES);
        block.fill(number);
        writes.begin(u64::from(number) * BLOCK_BYTES as u64, block.into());
    }
    let ends = std::iter::from_fn(|| writes.finish_oldest());
    assert_eq!(ends.map(|(result, _)| result.expect("written")).count(), 4);
}
