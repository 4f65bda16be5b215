//! Reading from disk: small ranges, reading ahead, and what it may cost.

use crate::stage::{KIB, MIB, Stage, body, eventually, key, read, reads_as, story};
use bytes::Bytes;
use cache::{
    Disk, Key,
    disk::{Device, DiskMetrics, MemoryDevice, Options},
};
use parking_lot::{Condvar, Mutex};
use prometheus::Registry;
use std::{
    io,
    sync::{Arc, atomic::AtomicU64, atomic::Ordering},
    time::Duration,
};

/// Reads this long are of chunks, shorter ones of heads, fronts and pieces.
const CHUNK_READ_BYTES: usize = 200 << 10;

/// A device that counts what is read, and that holds up reads of chunks beyond those that may go.
struct Gauged {
    device: MemoryDevice,
    bytes_read: AtomicU64,
    chunks: Mutex<Chunks>,
    gate: Condvar,
}

#[derive(Default)]
struct Chunks {
    begun: u64,
    may_go: u64,
    /// In the device now.
    inside: u64,
}

impl Gauged {
    fn over(device: MemoryDevice) -> Arc<Gauged> {
        Arc::new(Gauged {
            device,
            bytes_read: AtomicU64::new(0),
            chunks: Mutex::new(Chunks {
                may_go: u64::MAX,
                ..Chunks::default()
            }),
            gate: Condvar::new(),
        })
    }

    /// Lets so many reads of chunks pass, counted from the first; what waits goes on.
    fn let_pass(&self, chunks: u64) {
        self.chunks.lock().may_go = chunks;
        self.gate.notify_all();
    }

    /// Forgets what was read so far: opening a disk reads a lot.
    fn count_from_here(&self) {
        self.bytes_read.store(0, Ordering::SeqCst);
        *self.chunks.lock() = Chunks {
            may_go: u64::MAX,
            ..Chunks::default()
        };
    }

    fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::SeqCst)
    }

    fn chunks_begun(&self) -> u64 {
        self.chunks.lock().begun
    }
}

impl Device for Gauged {
    fn size(&self) -> u64 {
        self.device.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.bytes_read.fetch_add(buffer.len() as u64, Ordering::SeqCst);
        if buffer.len() >= CHUNK_READ_BYTES {
            let mut chunks = self.chunks.lock();
            chunks.begun += 1;
            chunks.inside += 1;
            let number = chunks.begun;
            self.gate.wait_while(&mut chunks, |chunks| number > chunks.may_go);
            chunks.inside -= 1;
        }
        self.device.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.device.write_at(offset, data)
    }

    fn flush(&self) -> io::Result<()> {
        self.device.flush()
    }
}

fn stage_on(device: Arc<impl Device + 'static>, ram_bytes: u64) -> Stage {
    let options = Options {
        region_bytes: 16 * MIB,
        read_threads: 8,
        commit_delay: Duration::from_millis(1),
        ..Options::default()
    };
    let metrics = DiskMetrics::register(&Registry::new(), "test").expect("a registry of its own");
    let disk = Disk::open(device, options, metrics).expect("a disk");
    Stage::over(Some(disk), ram_bytes, 32 * MIB)
}

/// A device with one film on it, as the next process finds it.
async fn with_film(key: &Key, body: &Bytes) -> Arc<Gauged> {
    let device = Arc::new(MemoryDevice::new(128 * MIB));
    let before = stage_on(device.clone(), 64 * MIB);
    before.fill(key, body).await;
    eventually("the disk copy is there", || {
        before.count("copies_total{kept}") == 1
    })
    .await;
    Gauged::over(device.after_kill())
}

#[test]
fn a_small_range_of_a_large_object_reads_head_front_and_covering_units_only() {
    story(async {
        let (key, body) = (key("/film.mp4"), body(10 * MIB, 1));
        let device = with_film(&key, &body).await;
        // At the start, within the second unit, far within a part, in the second part, and at the very end.
        for start in [0, 40 * KIB, MIB + 3, 5 * MIB + 100, 10 * MIB - 10 * KIB] {
            let after = stage_on(device.clone(), 64 * MIB);
            device.count_from_here();
            let object = after.hit(&key).await;
            let range = start..start + 10 * KIB;
            let expected = &body[range.start as usize..range.end as usize];
            assert!(
                read(&object, range).await.expect("on disk") == expected,
                "at {start}"
            );
            let bytes = device.bytes_read();
            println!("10 KiB at {start}: {} KiB read", bytes / KIB);
            assert!(bytes <= 72 * KIB, "{bytes} bytes for 10 KiB at {start}");
            after.cache.close().await;
        }
    });
}

#[test]
fn the_second_small_range_of_a_chunk_brings_all_of_it_into_ram() {
    story(async {
        let (key, body) = (key("/film.mp4"), body(10 * MIB, 2));
        let device = with_film(&key, &body).await;
        let after = stage_on(device.clone(), 64 * MIB);
        let object = after.hit(&key).await;
        device.count_from_here();
        for (start, chunks_begun) in [(MIB, 0), (MIB + 50 * KIB, 1), (MIB + 100 * KIB, 1), (2 * MIB, 1)] {
            let range = start..start + 2000;
            let expected = &body[range.start as usize..range.end as usize];
            assert!(read(&object, range).await.expect("on disk") == expected);
            assert_eq!(device.chunks_begun(), chunks_begun, "at {start}");
        }
    });
}

#[test]
fn a_reader_that_goes_on_has_several_chunks_read_at_once_and_one_that_stops_holds_its_bound() {
    story(async {
        let (key, body) = (key("/film.mp4"), body(10 * MIB, 3));
        let device = with_film(&key, &body).await;
        let after = stage_on(device.clone(), 64 * MIB);
        let object = after.hit(&key).await;
        device.count_from_here();
        let mut reader = object.reader(..);
        let mut got = Vec::new();
        // One chunk is read ahead after the first, two after the second, four from the third on.
        for (may_pass, chunks, begun) in [(2, 2, 4), (4, 1, 7)] {
            device.let_pass(may_pass);
            for _ in 0..chunks {
                let chunk = reader.next().await.expect("on disk").expect("not its end");
                assert_eq!(chunk.len() as u64, 256 * KIB);
                got.extend_from_slice(&chunk);
            }
            eventually("the device has all of them at once", || {
                let chunks = device.chunks.lock();
                (chunks.begun, chunks.inside) == (begun, begun - may_pass)
            })
            .await;
        }
        assert_eq!(after.count("read_ahead_bytes"), MIB);
        device.let_pass(u64::MAX);
        eventually("they are back", || device.chunks.lock().inside == 0).await;
        assert_eq!(device.chunks_begun(), 7, "nobody reads: no more is read");
        assert_eq!(after.count("read_ahead_bytes"), MIB, "and that is its bound");
        while let Some(piece) = reader.next().await.expect("on disk") {
            got.extend_from_slice(&piece);
        }
        assert!(got == body);
        assert_eq!(device.chunks_begun(), 40, "no chunk is read twice");
        drop(reader);
        assert_eq!(after.count("read_ahead_bytes"), 0);
    });
}

#[test]
fn readers_together_read_ahead_no_more_than_their_bound_and_all_get_every_byte() {
    story(async {
        let (key, body) = (key("/film.mp4"), body(10 * MIB, 4));
        let device = with_film(&key, &body).await;
        // RAM for eight chunks, and so for one to be read ahead.
        let after = Arc::new(stage_on(device, 2 * MIB));
        let bound = after.count("read_ahead_bound_bytes");
        assert_eq!(bound, 256 * KIB);
        let readers: Vec<_> = (0..16)
            .map(|_| {
                let (after, key, body) = (Arc::clone(&after), key.clone(), body.clone());
                tokio::spawn(async move {
                    let object = after.hit(&key).await;
                    assert!(after.count("read_ahead_bytes") <= 256 * KIB);
                    reads_as(&object, &body).await
                })
            })
            .collect();
        for reader in readers {
            assert!(reader.await.expect("no panic"));
        }
        assert_eq!(after.count("read_ahead_bytes"), 0);
        assert_eq!(after.count("gone_readers_total"), 0);
    });
}
