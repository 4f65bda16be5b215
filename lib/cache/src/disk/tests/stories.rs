//! The tier as its caller sees it: threads, files, full queues, failing devices.

use super::{body, metrics};
use crate::disk::format::superblock;
use crate::disk::{
    BLOCK_BYTES, Device, Disk, DiskMetrics, Fate, Faults, FaultyDevice, FileDevice, Found, MemoryDevice,
    Options, PART_BYTES,
};
use crate::key::Key;
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const DEVICE_BYTES: u64 = 3 << 20;

fn options() -> Options {
    Options {
        region_bytes: 256 << 10,
        commit_delay: Duration::from_millis(5),
        lock_patience: Duration::from_millis(30),
        read_threads: 2,
        ..Options::default()
    }
}

fn open(device: Arc<dyn Device>) -> (Disk, DiskMetrics) {
    let metrics = metrics();
    (
        Disk::open(device, options(), metrics.clone()).expect("opens"),
        metrics,
    )
}

fn file(path: &Path) -> Arc<dyn Device> {
    Arc::new(FileDevice::open(path, DEVICE_BYTES).expect("room for 3 MiB"))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime")
        .block_on(future)
}

fn key(number: u64) -> Key {
    Key::new("demo", format!("/segment-{number}.m4s"))
}

/// A device whose transfers wait while the gate is closed.
struct Gate {
    device: MemoryDevice,
    closed: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn new() -> Arc<Gate> {
        let device = MemoryDevice::new(DEVICE_BYTES);
        Arc::new(Gate {
            device,
            closed: Mutex::new(false),
            changed: Condvar::new(),
        })
    }

    fn set_closed(&self, closed: bool) {
        *self.closed.lock() = closed;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let mut closed = self.closed.lock();
        self.changed.wait_while(&mut closed, |closed| *closed);
    }
}

impl Device for Gate {
    fn size(&self) -> u64 {
        self.device.size()
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.pass();
        self.device.read_at(offset, buffer)
    }
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.pass();
        self.device.write_at(offset, data)
    }
    fn flush(&self) -> io::Result<()> {
        self.pass();
        self.device.flush()
    }
}

#[test]
fn what_was_put_is_found_at_once_after_a_close_and_after_a_restart() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("cache.device");
    let (object, head, bytes) = (key(1), body(1, 700), body(2, 150_000));
    let check = async |disk: &Disk| {
        assert_eq!(disk.head(&object).await.expect("reads"), Some((5, head.clone())));
        assert!(disk.has_part(object.hash(), 5, 2) && !disk.has_part(object.hash(), 5, 1));
        for range in [0..150_000_u32, 70_000..70_001, 140_000..150_000, 9..9] {
            let found = disk
                .read(object.hash(), 5, 2, range.clone())
                .await
                .expect("reads");
            assert_eq!(
                found,
                Some(bytes.slice(range.start as usize..range.end as usize)),
                "{range:?}"
            );
        }
        assert_eq!(
            disk.read(object.hash(), 5, 2, 149_999..150_001)
                .await
                .expect("reads"),
            None
        );
        assert_eq!(disk.read(object.hash(), 6, 2, 0..1).await.expect("reads"), None);
        assert_eq!(disk.head(&key(2)).await.expect("reads"), None);
    };
    block_on(async {
        let (disk, metrics) = open(file(&path));
        let part = disk.put_part(
            object.hash(),
            5,
            2,
            vec![bytes.slice(..1000), bytes.slice(1000..)],
        );
        let put = disk.put_head(&object, 5, head.clone());
        assert_eq!((part.await, put.await), (Fate::Committed, Fate::Committed));
        check(&disk).await;
        assert_eq!(
            (
                metrics.committed.heads.get(),
                metrics.committed.parts.get(),
                metrics.slots.get()
            ),
            (1, 1, 2)
        );
        let reads = &metrics.reads;
        assert_eq!(
            (reads.hit.get(), reads.absent.get(), reads.out_of_range.get()),
            (5, 2, 1)
        );
        disk.close().await;
        check(&disk).await;
        assert_eq!(disk.put_head(&object, 6, head.clone()).await, Fate::Dropped);
        assert_eq!((metrics.dropped.read_only.get(), metrics.read_only.get()), (1, 1));
        let (successor, _) = open(file(&path));
        check(&successor).await;
    });
}

#[test]
fn a_killed_process_leaves_everything_committed_behind() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (path, copy) = (
        folder.path().join("cache.device"),
        folder.path().join("copy.device"),
    );
    block_on(async {
        let (disk, _) = open(file(&path));
        for number in 0..50 {
            drop(disk.put_head(&key(number), number, body(number, 100)));
        }
        assert_eq!(
            disk.put_part(1, 1, 0, vec![body(99, 30_000)]).await,
            Fate::Committed
        );
        // The file as kill -9 would leave it at this moment: nothing is sealed.
        std::fs::copy(&path, &copy).expect("copied");
        let (successor, metrics) = open(file(&copy));
        for number in 0..50 {
            let found = successor.head(&key(number)).await.expect("reads");
            assert_eq!(found, Some((number, body(number, 100))));
        }
        assert_eq!(
            successor.read(1, 1, 0, 0..30_000).await.expect("reads"),
            Some(body(99, 30_000))
        );
        assert_eq!(metrics.slots.get(), 51);
    });
}

#[test]
fn a_removed_head_is_gone_at_once_and_after_a_restart_and_may_be_put_again() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("cache.device");
    block_on(async {
        let (disk, metrics) = open(file(&path));
        assert_eq!(disk.put_head(&key(1), 1, body(1, 10)).await, Fate::Committed);
        // Queued before the removal, published after it: must stay hidden.
        let racing = disk.put_head(&key(2), 1, body(2, 10));
        disk.remove(key(1).hash());
        disk.remove(key(2).hash());
        assert_eq!(disk.head(&key(1)).await.expect("reads"), None);
        assert_eq!(racing.await, Fate::Committed);
        assert_eq!(disk.head(&key(2)).await.expect("reads"), None);
        assert_eq!(disk.put_head(&key(3), 1, body(3, 10)).await, Fate::Committed);
        disk.remove(key(3).hash());
        assert_eq!(disk.put_head(&key(3), 2, body(4, 10)).await, Fate::Committed);
        disk.close().await;
        let found = (
            metrics.removals.get(),
            metrics.removals_lost.get(),
            metrics.committed.tombstones.get(),
        );
        assert_eq!(found, (3, 0, 3));
        let (successor, _) = open(file(&path));
        assert_eq!(successor.head(&key(1)).await.expect("reads"), None);
        assert_eq!(successor.head(&key(2)).await.expect("reads"), None);
        assert_eq!(
            successor.head(&key(3)).await.expect("reads"),
            Some((2, body(4, 10)))
        );
    });
}

#[test]
fn two_keys_of_one_hash_are_never_confused() {
    let (disk, metrics) = open(Arc::new(MemoryDevice::new(DEVICE_BYTES)));
    block_on(async {
        assert_eq!(disk.put_head(&key(1), 1, body(1, 10)).await, Fate::Committed);
        let crate::disk::Shared { store, reads, .. } = &*disk.shared;
        let other = crate::disk::read::read_head(store, reads, key(1).hash(), "demo/another").await;
        assert!(matches!(other, Err(crate::disk::read::Miss::OtherKey)));
        assert_eq!(
            disk.head(&key(1)).await.expect("reads"),
            Some((1, body(1, 10))),
            "and nothing was forgotten"
        );
        assert_eq!(metrics.reads.corrupt.get(), 0);
    });
}

#[test]
fn the_oldest_regions_make_room_and_what_is_left_is_found_after_a_restart() {
    let device = Arc::new(MemoryDevice::new(DEVICE_BYTES));
    let (disk, metrics) = open(device.clone());
    let check = async |disk: &Disk| {
        let mut found = Vec::new();
        for number in 0..100 {
            let bytes = disk.read(number, 1, 0, 0..50_000).await.expect("reads");
            if let Some(bytes) = bytes {
                assert_eq!(bytes, body(number as u64, 50_000));
                found.push(number);
            }
        }
        found
    };
    block_on(async {
        for number in 0..100_u128 {
            let commit = disk.put_part(number, 1, 0, vec![body(number as u64, 50_000)]);
            assert_eq!(commit.await, Fate::Committed);
        }
        let found = check(&disk).await;
        // 7 regions of 4 or 5 such parts; the older ones were given up.
        assert!((27..=40).contains(&found.len()), "{found:?}");
        assert_eq!(
            found,
            (100 - found.len() as u128..100).collect::<Vec<_>>(),
            "the newest, without a gap"
        );
        assert_eq!(metrics.slots.get(), found.len() as i64);
        assert_eq!(
            metrics.regions_sealed.get() + 1,
            metrics.regions_reclaimed.get() + 7,
            "one of the eight is kept free"
        );
        disk.close().await;
        let (successor, _) = open(device);
        assert_eq!(check(&successor).await, found);
    });
}

#[test]
fn parts_that_fit_no_region_or_exceed_their_bound_are_dropped_and_counted() {
    let (disk, metrics) = open(Arc::new(MemoryDevice::new(DEVICE_BYTES)));
    block_on(async {
        let too_large_for_a_region = vec![Bytes::from(vec![0; 256 << 10])];
        assert_eq!(
            disk.put_part(1, 1, 0, too_large_for_a_region).await,
            Fate::Dropped
        );
        let too_large_for_a_part = vec![
            Bytes::from(vec![0; PART_BYTES as usize]),
            Bytes::from_static(b"!"),
        ];
        assert_eq!(disk.put_part(1, 1, 0, too_large_for_a_part).await, Fate::Dropped);
        assert_eq!(
            disk.put_head(&key(1), 1, Bytes::from(vec![0; 1 << 20])).await,
            Fate::Dropped
        );
        assert_eq!(
            disk.put_part(1, 1, 0, vec![Bytes::from(vec![7; 200 << 10])])
                .await,
            Fate::Committed
        );
        assert_eq!(
            (metrics.dropped.too_large.get(), metrics.committed.parts.get()),
            (3, 1)
        );
    });
}

#[test]
fn a_full_part_goes_through_a_region_of_production_size() {
    let device = Arc::new(MemoryDevice::new((1 << 20) + (3 << 24)));
    let options = Options {
        region_bytes: 16 << 20,
        ..options()
    };
    let disk = Disk::open(device.clone(), options.clone(), metrics()).expect("opens");
    let bytes = body(1, PART_BYTES as usize);
    block_on(async {
        let commits: Vec<_> = (0..5)
            .map(|part| disk.put_part(1, 1, part, vec![bytes.clone()]))
            .collect();
        for commit in commits {
            assert_eq!(commit.await, Fate::Committed);
        }
        disk.close().await;
        let disk = Disk::open(device, options, metrics()).expect("opens");
        for (part, range) in [(0, 0..PART_BYTES as u32), (3, 4_000_000..4_000_100), (4, 0..1)] {
            let found = disk.read(1, 1, part, range.clone()).await.expect("reads");
            assert_eq!(found, Some(bytes.slice(range.start as usize..range.end as usize)));
        }
    });
}

#[test]
fn a_short_range_far_inside_a_part_costs_a_short_read() {
    let device = Arc::new(MemoryDevice::new((1 << 20) + (3 << 24)));
    let metrics = metrics();
    let options = Options {
        region_bytes: 16 << 20,
        ..options()
    };
    let disk = Disk::open(device, options, metrics.clone()).expect("opens");
    let bytes = body(1, PART_BYTES as usize);
    block_on(async {
        assert_eq!(disk.put_part(1, 1, 0, vec![bytes.clone()]).await, Fate::Committed);
        let before = metrics.bytes_read.get();
        let start = (3 << 20) + 1000;
        let found = disk.read(1, 1, 0, start..start + 10_240).await.expect("reads");
        assert_eq!(found, Some(bytes.slice(start as usize..start as usize + 10_240)));
        let read = metrics.bytes_read.get() - before;
        assert!(read <= 72 << 10, "{read} bytes for 10 KiB");
    });
}

#[test]
fn a_head_and_the_beginning_behind_it_are_one_read_and_again_some_time_after_a_restart() {
    for length in [1, 9000, 40_000, 262_144, 700_000, PART_BYTES as usize] {
        let device: Arc<dyn Device> = Arc::new(MemoryDevice::new((1 << 20) + (3 << 24)));
        let options = Options {
            region_bytes: 16 << 20,
            ..options()
        };
        let (object, head, bytes) = (key(1), body(1, 700), body(2, length));
        let first = bytes.slice(..length.min(256 << 10));
        let mut expected = Found {
            version: 0,
            encoded: head.clone(),
            first,
        };
        let find = async |disk: &Disk, metrics: &DiskMetrics| {
            let before = metrics.bytes_read.get();
            let found = disk.find(&object).await.expect("reads").expect("found");
            (found, metrics.bytes_read.get() - before)
        };
        block_on(async {
            let metrics_before = metrics();
            let disk = Disk::open(device.clone(), options.clone(), metrics_before.clone()).expect("opens");
            let deadline = Instant::now() + Duration::from_secs(60);
            let read = loop {
                expected.version += 1;
                let put = disk.put_head(&object, expected.version, head.clone());
                let part = disk.put_part(object.hash(), expected.version, 0, vec![bytes.clone()]);
                assert_eq!((put.await, part.await), (Fate::Committed, Fate::Committed));
                let (found, read) = find(&disk, &metrics_before).await;
                if found == expected {
                    break read;
                }
                // A commit was due between the two, or a region ended: they lie apart.
                assert!(found.encoded == head && found.first.is_empty(), "{length}");
                assert!(Instant::now() < deadline, "{length}: never together");
            };
            // Head, front, bytes; 16 KiB to the next step and two blocks around.
            assert!(
                read <= (length as u64).min(256 << 10) + 28_000,
                "{read} bytes for {length}"
            );
            // The head alone stays short.
            let before = metrics_before.bytes_read.get();
            disk.head(&object).await.expect("reads").expect("found");
            assert!(metrics_before.bytes_read.get() - before <= 8192);
            disk.close().await;
            drop(disk);
            let metrics_after = metrics();
            let disk = Disk::open(device.clone(), options.clone(), metrics_after.clone()).expect("opens");
            // The index is still being rebuilt, and learns where the two lie when they are read.
            let deadline = Instant::now() + Duration::from_secs(60);
            while disk.find(&object).await.expect("reads").as_ref() != Some(&expected) {
                assert!(
                    Instant::now() < deadline,
                    "{length}: head and beginning stay apart"
                );
                std::thread::yield_now();
            }
        });
    }
}

#[test]
fn a_head_whose_object_lies_elsewhere_or_is_damaged_comes_without_its_beginning() {
    let device = Arc::new(FaultyDevice::new(Arc::new(MemoryDevice::new(DEVICE_BYTES)), 1));
    let (disk, metrics) = open(device.clone());
    block_on(async {
        let (apart, changed) = (key(1), key(2));
        drop(disk.put_part(apart.hash(), 1, 0, vec![body(1, 5000)]));
        drop(disk.put_head(&apart, 1, body(2, 300)));
        drop(disk.put_head(&changed, 2, body(3, 300)));
        let part = disk.put_part(changed.hash(), 3, 0, vec![body(4, 5000)]);
        assert_eq!(part.await, Fate::Committed);
        for (object, head) in [(&apart, body(2, 300)), (&changed, body(3, 300))] {
            let found = disk.find(object).await.expect("reads").expect("found");
            assert_eq!((found.encoded, found.first), (head, Bytes::new()));
        }
        drop(disk.put_head(&changed, 3, body(5, 300)));
        let part = disk.put_part(changed.hash(), 3, 0, vec![body(4, 60_000)]);
        assert_eq!(part.await, Fate::Committed);
        device.set(Faults {
            flips: 1.0,
            ..Faults::default()
        });
        let mut without = 0;
        for _ in 0..40 {
            if let Some(found) = disk.find(&changed).await.expect("reads") {
                assert_eq!(found.encoded, body(5, 300));
                assert!(found.first.is_empty() || found.first == body(4, 60_000));
                without += usize::from(found.first.is_empty());
            }
        }
        assert!(without > 0 || metrics.reads.corrupt.get() > 0);
    });
}

#[test]
fn a_short_range_of_a_long_object_reads_72_kib_at_most_wherever_it_begins() {
    let device = Arc::new(MemoryDevice::new((1 << 20) + (3 << 25)));
    let metrics = metrics();
    let options = Options {
        region_bytes: 32 << 20,
        ..options()
    };
    let disk = Disk::open(device, options, metrics.clone()).expect("opens");
    let object = body(1, 10 << 20);
    let mut chance = SmallRng::seed_from_u64(7);
    block_on(async {
        // Small records between the parts shift them to every place in a block.
        for (number, part) in object.chunks(PART_BYTES as usize).enumerate() {
            for shift in 0..chance.random_range(0..8_u32) {
                drop(disk.put_part(2, u64::from(shift), number as u32, vec![body(9, 100)]));
            }
            let part = disk.put_part(1, 1, number as u32, vec![Bytes::copy_from_slice(part)]);
            assert_eq!(part.await, Fate::Committed);
        }
        for _ in 0..300 {
            let start = chance.random_range(0..object.len() - 10_240);
            let (part, within) = (start / PART_BYTES as usize, start % PART_BYTES as usize);
            let end = (within + 10_240).min(PART_BYTES as usize);
            let before = metrics.bytes_read.get();
            let range = within as u32..end as u32;
            let found = disk.read(1, 1, part as u32, range).await.expect("reads");
            assert!(
                found == Some(object.slice(start..start + end - within)),
                "at {start}"
            );
            let read = metrics.bytes_read.get() - before;
            assert!(read <= 72 << 10, "{read} bytes for 10 KiB at {start}");
        }
    });
}

#[test]
fn a_full_write_queue_drops_the_copy_and_delays_nobody() {
    let gate = Gate::new();
    let metrics = metrics();
    let options = Options {
        queue_bytes: 100_000,
        ..options()
    };
    let disk = Disk::open(gate.clone(), options, metrics.clone()).expect("opens");
    gate.set_closed(true);
    // The device hangs: all of these return at once, most of them refused.
    let commits: Vec<_> = (0..50)
        .map(|part| disk.put_part(1, 1, part, vec![body(1, 40_000)]))
        .collect();
    assert!(
        metrics.dropped.queue_full.get() >= 40,
        "{}",
        metrics.dropped.queue_full.get()
    );
    assert!(metrics.queue_bytes.get() <= 100_000);
    assert!(!disk.has_part(1, 1, 0), "nothing is found before it is written");
    gate.set_closed(false);
    block_on(async {
        let mut fates = Vec::new();
        for commit in commits {
            fates.push(commit.await);
        }
        let committed = fates.iter().filter(|fate| **fate == Fate::Committed).count() as u64;
        assert_eq!(committed + metrics.dropped.queue_full.get(), 50);
        assert_eq!(committed, metrics.committed.parts.get());
        assert!(committed >= 2);
    });
}

#[test]
fn a_full_read_queue_is_a_miss_and_a_reader_that_leaves_costs_nothing() {
    let gate = Gate::new();
    let metrics = metrics();
    let options = Options {
        read_threads: 1,
        read_queue: 2,
        ..options()
    };
    let disk = Disk::open(gate.clone(), options, metrics.clone()).expect("opens");
    block_on(async {
        assert_eq!(
            disk.put_part(1, 1, 0, vec![body(1, 40_000)]).await,
            Fate::Committed
        );
        gate.set_closed(true);
        let mut reads: Vec<_> = (0..6).map(|_| Box::pin(disk.read(1, 1, 0, 0..100))).collect();
        let mut early = 0;
        std::future::poll_fn(|context| {
            reads.retain_mut(|read| match read.as_mut().poll(context) {
                std::task::Poll::Ready(answer) => {
                    assert_eq!(answer.expect("no error"), None);
                    early += 1;
                    false
                }
                std::task::Poll::Pending => true,
            });
            std::task::Poll::Ready(())
        })
        .await;
        // One may be with the thread, two in the queue.
        assert!((3..=4).contains(&early), "{early} were refused");
        assert_eq!(metrics.reads.busy.get(), early);
        drop(reads.pop());
        gate.set_closed(false);
        for read in reads {
            assert_eq!(read.await.expect("no error"), Some(body(1, 40_000).slice(0..100)));
        }
    });
}

#[test]
fn a_device_that_fails_to_write_is_read_only_and_still_serves() {
    let device = Arc::new(MemoryDevice::new(DEVICE_BYTES));
    let (disk, metrics) = open(device.clone());
    block_on(async {
        assert_eq!(disk.put_head(&key(1), 1, body(1, 10)).await, Fate::Committed);
        device.fail_after(0);
        assert_eq!(disk.put_head(&key(2), 1, body(2, 10)).await, Fate::Dropped);
        assert_eq!(disk.put_head(&key(3), 1, body(3, 10)).await, Fate::Dropped);
        assert_eq!(disk.head(&key(1)).await.expect("reads"), Some((1, body(1, 10))));
        assert_eq!(disk.head(&key(2)).await.expect("reads"), None);
        assert_eq!((metrics.write_errors.get(), metrics.read_only.get()), (1, 1));
        assert_eq!(
            (metrics.dropped.failed.get(), metrics.dropped.read_only.get()),
            (1, 1)
        );
        disk.remove(key(1).hash());
        assert_eq!(disk.head(&key(1)).await.expect("reads"), None);
        disk.close().await;
        assert_eq!(metrics.removals_lost.get(), 1);
    });
}

#[test]
fn a_device_that_cannot_be_written_at_start_is_served_read_only() {
    let device = Arc::new(MemoryDevice::new(DEVICE_BYTES));
    let (disk, _) = open(device.clone());
    block_on(async {
        assert_eq!(disk.put_head(&key(1), 1, body(1, 10)).await, Fate::Committed);
        let killed = device.after_kill();
        killed.fail_after(0);
        let (successor, metrics) = open(Arc::new(killed));
        assert_eq!(metrics.read_only.get(), 1);
        assert_eq!(
            successor.head(&key(1)).await.expect("reads"),
            Some((1, body(1, 10)))
        );
        assert_eq!(successor.put_head(&key(2), 1, body(2, 10)).await, Fate::Dropped);
    });
}

#[test]
fn what_is_written_survives_loss_of_power_soon_without_anybody_asking() {
    let device = Arc::new(MemoryDevice::new(DEVICE_BYTES));
    let (disk, metrics) = open(device.clone());
    assert_eq!(block_on(disk.put_head(&key(1), 1, body(1, 10))), Fate::Committed);
    let deadline = Instant::now() + Duration::from_secs(10);
    while metrics.flush_seconds.get_sample_count() == 0 && Instant::now() < deadline {
        std::thread::park_timeout(Duration::from_millis(5));
    }
    for seed in 0..20 {
        let (successor, _) = open(Arc::new(device.after_power_loss(seed)));
        assert_eq!(
            block_on(successor.head(&key(1))).expect("reads"),
            Some((1, body(1, 10))),
            "seed {seed}"
        );
    }
}

#[test]
fn a_closed_disk_reads_nothing_wrong_while_its_successor_overwrites_it() {
    let device = Arc::new(MemoryDevice::new(DEVICE_BYTES));
    let (disk, _) = open(device.clone());
    block_on(async {
        for number in 0..30_u128 {
            let commit = disk.put_part(number, 1, 0, vec![body(number as u64, 50_000)]);
            assert_eq!(commit.await, Fate::Committed);
        }
        disk.close().await;
        let (successor, _) = open(device);
        let mut found = Vec::new();
        for round in 0..40_u128 {
            let mut still = 0;
            for number in 0..30_u128 {
                if let Some(bytes) = disk.read(number, 1, 0, 0..50_000).await.expect("reads") {
                    assert_eq!(bytes, body(number as u64, 50_000));
                    still += 1;
                }
            }
            found.push(still);
            let commit = successor.put_part(1000 + round, 1, 0, vec![body(1000 + round as u64, 50_000)]);
            assert_eq!(commit.await, Fate::Committed);
        }
        assert!(found[0] >= 24 && found[39] == 0, "{found:?}");
    });
}

#[test]
fn a_second_daemon_is_refused_until_the_first_closes() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("cache.device");
    let (disk, _) = open(file(&path));
    let error = Disk::open(file(&path), options(), metrics())
        .map(drop)
        .expect_err("in use");
    assert!(error.to_string().contains("another process"), "{error}");
    block_on(disk.close());
    Disk::open(file(&path), options(), metrics()).expect("free");
}

#[test]
fn what_is_not_ours_or_of_another_version_or_shape_starts_empty() {
    let foreign = |write: &dyn Fn(&MemoryDevice, &mut [u8])| {
        let device = MemoryDevice::new(DEVICE_BYTES);
        let (disk, _) = open(Arc::new(device.after_kill()));
        drop(disk);
        let mut block = crate::disk::aligned::AlignedBuffer::zeroed(BLOCK_BYTES);
        write(&device, &mut block);
        Arc::new(device)
    };
    let everywhere = |device: &MemoryDevice, block: &[u8]| {
        superblock::OFFSETS
            .iter()
            .for_each(|offset| device.write_at(*offset, block).expect("works"));
    };
    let devices: [(&str, Arc<MemoryDevice>); 3] = [
        (
            "noise",
            foreign(&|device, block| {
                block.copy_from_slice(&body(4, BLOCK_BYTES));
                everywhere(device, block);
            }),
        ),
        (
            "version 3",
            foreign(&|device, block| {
                block[..8].copy_from_slice(b"MILLRACE");
                block[8] = 3;
                everywhere(device, block);
            }),
        ),
        ("blank", foreign(&|_, _| {})),
    ];
    for (name, device) in devices {
        let (disk, metrics) = open(device);
        assert_eq!(metrics.slots.get(), 0, "{name}");
        block_on(async {
            assert_eq!(
                disk.put_head(&key(1), 1, body(1, 10)).await,
                Fate::Committed,
                "{name}"
            );
        });
    }
    let device = Arc::new(MemoryDevice::new(DEVICE_BYTES));
    block_on(async {
        let (disk, _) = open(device.clone());
        assert_eq!(disk.put_head(&key(1), 1, body(1, 10)).await, Fate::Committed);
        disk.close().await;
        let other = Options {
            region_bytes: 128 << 10,
            ..options()
        };
        let disk = Disk::open(device.clone(), other, metrics()).expect("opens");
        assert_eq!(disk.head(&key(1)).await.expect("reads"), None, "other regions");
        disk.close().await;
        let (disk, _) = open(device);
        assert_eq!(
            disk.head(&key(1)).await.expect("reads"),
            None,
            "and the old ones do not return"
        );
    });
}

#[test]
fn a_device_too_small_for_its_regions_is_refused_with_the_size_it_needs() {
    let error = Disk::open(Arc::new(MemoryDevice::new(1 << 20)), options(), metrics())
        .map(drop)
        .expect_err("too small");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("at least 1835008 bytes"), "{error}");
}

#[test]
fn readers_never_see_a_region_change_under_them() {
    let (disk, metrics) = open(Arc::new(MemoryDevice::new(DEVICE_BYTES)));
    let done = AtomicBool::new(false);
    let enough = || metrics.regions_reclaimed.get() > 60 && metrics.reads.hit.get() > 500;
    let deadline = Instant::now() + Duration::from_secs(20);
    std::thread::scope(|scope| {
        for reader in 0..2_u128 {
            let (disk, done) = (disk.clone(), &done);
            scope.spawn(move || {
                block_on(async {
                    let mut number = reader;
                    while !done.load(Ordering::Relaxed) {
                        number = (number + 7) % 400;
                        if let Some(found) = disk.read(number, 1, 0, 100..20_000).await.expect("reads") {
                            assert_eq!(found, body(number as u64, 20_000).slice(100..));
                        }
                    }
                });
            });
        }
        block_on(async {
            let mut numbers = (0..400).cycle();
            while !enough() && Instant::now() < deadline {
                let keys: Vec<u128> = numbers.by_ref().take(32).collect();
                let put = |key| disk.put_part(key, 1, 0, vec![body(key as u64, 20_000)]);
                for commit in keys.into_iter().map(put).collect::<Vec<_>>() {
                    assert_eq!(commit.await, Fate::Committed);
                }
            }
        });
        done.store(true, Ordering::Relaxed);
    });
    assert!(
        enough(),
        "{} reclaimed, {} read",
        metrics.regions_reclaimed.get(),
        metrics.reads.hit.get()
    );
    assert_eq!(metrics.reads.corrupt.get(), 0);
}
