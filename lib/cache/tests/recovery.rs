//! What a start costs on large devices, in memory and in work: a binary of its own, because it counts every allocation.
//!
//! The device is synthetic ([`SyntheticDevice`]), so that it may be of any size. Bytes are asserted; times are printed.
#![expect(
    unsafe_code,
    reason = "an allocator that counts is an unsafe trait's implementation"
)]

use cache::Disk;
use cache::disk::{DiskMetrics, Options, SyntheticDevice};
use prometheus::Registry;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes allocated and not freed yet.
static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator as it came; counting does not touch the memory.
unsafe impl GlobalAlloc for Counting {
    // SAFETY: the caller's promise is the system allocator's.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE_BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: the caller's promise is the system allocator's.
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Held by each test: what one allocates, the other would count.
static ALONE: Mutex<()> = Mutex::new(());

/// Longer than any machine takes: a start that hangs should fail.
const PATIENCE: Duration = Duration::from_secs(300);

fn options(region_bytes: u64) -> Options {
    Options {
        region_bytes,
        ..Options::default()
    }
}

/// Opens the device, calls `look` with the records found so far until all are, and returns how long that took.
fn find_all(device: Arc<SyntheticDevice>, region_bytes: u64, mut look: impl FnMut(i64)) -> Duration {
    let metrics = DiskMetrics::register(&Registry::new(), "synthetic").expect("an empty registry");
    let begun = Instant::now();
    let records = device.records() as i64;
    let opening = {
        let metrics = metrics.clone();
        std::thread::spawn(move || Disk::open(device, options(region_bytes), metrics))
    };
    // Opening waits a little for the index; what is counted should not.
    while metrics.recovery_seconds.get() == 0.0 {
        look(metrics.slots.get());
        assert!(
            begun.elapsed() < PATIENCE,
            "{} records found",
            metrics.slots.get()
        );
        std::thread::park_timeout(Duration::from_millis(1));
    }
    let took = begun.elapsed();
    look(metrics.slots.get());
    drop(opening.join().expect("no panic").expect("opens"));
    // A slot keeps 48 bits of a hash: among 8 million records, now and then two share one.
    let found = metrics.slots.get();
    assert!(found > records - 10, "{found} of {records} records");
    took
}

#[test]
fn a_record_costs_at_most_24_bytes_of_memory_at_any_number_and_a_start_is_a_matter_of_seconds() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // 4 million objects of one part of 100 KB: 8 million slots, as one drive of 400 GB has them. Its regions are small,
    // so that the lists in flight, which are counted as well, weigh little.
    let part_bytes = 100_000;
    let device = SyntheticDevice::new(8_100_000 / 2 * 102_000, 16 << 20, part_bytes).expect("large enough");
    let device = Arc::new(device);
    // What the device costs by its size, whatever is on it.
    let mut fixed = None;
    let mut marks = vec![8_000_000_i64, 7_000_000, 5_000_000, 3_300_000, 1_000_000];
    let took = find_all(device.clone(), 16 << 20, |found| {
        let live = LIVE_BYTES.load(Ordering::Relaxed);
        if found > 0 && fixed.is_none() {
            println!("{:.1} MB before the first record", live as f64 / 1e6);
            fixed = Some(live);
        }
        if marks.last().is_some_and(|mark| found >= *mark) {
            marks.pop();
            let bytes = live.saturating_sub(fixed.unwrap_or_default());
            let each = bytes as f64 / found as f64;
            println!("{found} records: {each:.1} bytes of memory for each, buffers included");
            assert!(
                each <= if found < 3_000_000 { 36.0 } else { 24.0 },
                "{each} bytes"
            );
        }
    });
    assert_eq!(marks, [] as [i64; 0], "every mark was met");
    println!("{took:?} for {} records", device.records());
}

#[test]
fn the_index_of_512_gigabytes() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // The mean size of a part in the literature on video, and the smaller one of services with low bit rates.
    // Code that is not optimised takes a minute for the latter.
    let sizes: &[u64] = if cfg!(debug_assertions) {
        &[920_000]
    } else {
        &[920_000, 114_000]
    };
    for part_bytes in sizes.iter().copied() {
        let device = Arc::new(SyntheticDevice::new(512_000_000_000, 64 << 20, part_bytes).expect("large"));
        let took = find_all(device.clone(), 64 << 20, |_| ());
        let seconds = took.as_secs_f64();
        let alone = made_up(&device);
        let gigabytes = device.bytes_to_find() as f64 / 1e9;
        let net = (seconds - alone).max(0.0);
        println!(
            "parts of {part_bytes} bytes: {} regions, {} records, {gigabytes:.3} GB to read in {} reads: {seconds:.2} s, of \
             which making up alone takes {alone:.2} s on as many threads; 3 TB: {:.1} s, 15 TB on four drives: {:.1} s, \
             plus the drives' own time, {:.1} s each at 200,000 reads a second and 3 GB/s",
            device.regions(),
            device.records(),
            3 * device.regions(),
            net * 3e12 / 512e9,
            net * 15e12 / 4.0 / 512e9,
            (f64::from(device.regions()) * 3.0 / 2e5 + gigabytes / 3.0) * 15e12 / 4.0 / 512e9,
        );
    }
}

/// How long it takes to make up what a start reads.
fn made_up(device: &SyntheticDevice) -> f64 {
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for lane in 0..16_u32 {
            scope.spawn(move || {
                for number in (lane..device.regions()).step_by(16) {
                    // The trailer once, and the list once.
                    device.make_up(number);
                    device.make_up(number);
                }
            });
        }
    });
    begun.elapsed().as_secs_f64()
}
