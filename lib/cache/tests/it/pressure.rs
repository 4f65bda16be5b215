//! Memory that runs out: fills wait, disk copies are dropped, and every client gets every byte.

use crate::stage::{KIB, MIB, Stage, body, eventually, head, key, pour, reads_as, story};
use bytes::Bytes;
use cache::{
    Disk, Filler, Key,
    disk::{Device, DiskMetrics, MemoryDevice, Options},
};
use parking_lot::{Condvar, Mutex};
use prometheus::Registry;
use std::{io, sync::Arc, time::Duration};

/// A device that may hold up writes.
struct Stalling {
    device: MemoryDevice,
    stalled: Mutex<bool>,
    released: Condvar,
}

impl Stalling {
    fn new() -> Arc<Stalling> {
        Arc::new(Stalling {
            device: MemoryDevice::new(256 * MIB),
            stalled: Mutex::new(false),
            released: Condvar::new(),
        })
    }

    fn stall(&self) {
        *self.stalled.lock() = true;
    }

    fn release(&self) {
        *self.stalled.lock() = false;
        self.released.notify_all();
    }
}

impl Device for Stalling {
    fn size(&self) -> u64 {
        self.device.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.device.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.released
            .wait_while(&mut self.stalled.lock(), |stalled| *stalled);
        self.device.write_at(offset, data)
    }

    fn flush(&self) -> io::Result<()> {
        self.device.flush()
    }
}

fn open(device: Arc<impl Device + 'static>, queue_bytes: u64) -> Disk {
    let options = Options {
        region_bytes: 16 * MIB,
        queue_bytes,
        commit_delay: Duration::from_millis(1),
        ..Options::default()
    };
    let metrics = DiskMetrics::register(&Registry::new(), "test").expect("a registry of its own");
    Disk::open(device, options, metrics).expect("a disk")
}

/// Fills `body` as an upstream without a break would, holding the bound against the gauge at every step.
async fn fill(stage: Arc<Stage>, mut filler: Filler, body: Bytes) {
    let bound = stage.count("fill_bound_bytes");
    let mut rest = body;
    while !rest.is_empty() {
        let piece = rest.split_to(rest.len().min(64 << 10));
        filler.append(piece).await.expect("within the announced length");
        let used = stage.count("fill_bytes");
        assert!(
            used <= bound,
            "{used} bytes of {bound} with {} to come",
            rest.len()
        );
    }
    drop(filler.finish());
}

fn start(stage: &Stage, key: &Key, body: &Bytes) -> Filler {
    stage.lead(key).start(head(key, Some(body.len() as u64)))
}

#[test]
fn a_fast_and_a_very_slow_reader_of_a_fill_eight_times_its_memory_get_every_byte_from_one_fetch() {
    story(async {
        let disk = open(Arc::new(MemoryDevice::new(256 * MIB)), 64 * MIB);
        // No RAM worth the name: what is let go is on disk or nowhere.
        let stage = Arc::new(Stage::over(Some(disk), 64 * KIB, 8_000_000));
        let key = key("/film.mp4");
        let body = body(64_000_000, 1);
        let filler = start(&stage, &key, &body);
        let object = filler.object();
        let mut slow = object.reader(..);
        let filling = tokio::spawn(fill(Arc::clone(&stage), filler, body.clone()));
        let first = slow.next().await.expect("there").expect("not its end");
        assert!(body.starts_with(&first));
        // The fast one is through before the slow one takes its second piece.
        assert!(reads_as(&object, &body).await);
        filling.await.expect("no panic");
        let mut position = first.len();
        while let Some(piece) = slow.next().await.expect("on disk") {
            assert!(body[position..].starts_with(&piece), "at {position}");
            position += piece.len();
        }
        assert_eq!(position, body.len());
        assert_eq!(stage.count("fills_total{started}"), 1);
        assert_eq!(stage.count("lagged_readers_total"), 0);
        assert_eq!(stage.count("fills_streamed_total"), 0);
        eventually("its disk copy is whole", || {
            stage.count("copies_total{kept}") == 1
        })
        .await;
        assert!(reads_as(&stage.hit(&key).await, &body).await);
        assert_eq!(stage.count("fill_bytes"), 0);
    });
}

#[test]
fn a_fill_that_cannot_be_kept_goes_at_the_pace_of_its_only_reader() {
    story(async {
        let stage = Arc::new(Stage::in_memory(MIB, 2 * MIB));
        let key = key("/film.mp4");
        let body = body(24 * MIB, 2);
        let filler = start(&stage, &key, &body);
        let mut reader = filler.object().reader(..);
        let filling = tokio::spawn(fill(Arc::clone(&stage), filler, body.clone()));
        let mut position = 0;
        while position < body.len() {
            // It takes nothing until the fill waits for it.
            let waits = stage.count("fill_waits_total");
            if !filling.is_finished() {
                eventually("the fill waits or ends", || {
                    filling.is_finished() || stage.count("fill_waits_total") > waits || position < 20 << 20
                })
                .await;
            }
            for _ in 0..4 {
                if let Some(piece) = reader.next().await.expect("kept for the reader") {
                    assert!(body[position..].starts_with(&piece), "at {position}");
                    position += piece.len();
                }
            }
        }
        assert_eq!(reader.next().await, Ok(None));
        filling.await.expect("no panic");
        assert!(stage.count("fill_waits_total") > 0);
        assert_eq!(stage.count("lagged_readers_total"), 0);
    });
}

#[test]
fn a_full_disk_queue_costs_copies_and_no_client_a_byte() {
    story(async {
        let device = Stalling::new();
        let stage = Arc::new(Stage::over(Some(open(device.clone(), MIB)), 64 * MIB, 64 * MIB));
        device.stall();
        let bodies: Vec<_> = (0..6).map(|seed| body(9 * MIB, seed)).collect();
        let clients: Vec<_> = (0..6)
            .map(|number| {
                let key = key(&format!("/{number}"));
                let body = bodies[number].clone();
                let filler = start(&stage, &key, &body);
                let object = filler.object();
                let filling = tokio::spawn(fill(Arc::clone(&stage), filler, body.clone()));
                tokio::spawn(async move {
                    let right = reads_as(&object, &body).await;
                    filling.await.expect("no panic");
                    right
                })
            })
            .collect();
        for client in clients {
            assert!(client.await.expect("no panic"));
        }
        device.release();
        eventually("every copy is kept or dropped", || {
            stage.count("copies_total{kept}") + stage.count("copies_total{dropped}") == 6
        })
        .await;
        assert!(stage.count("copies_total{dropped}") >= 4);
        for (number, body) in bodies.iter().enumerate() {
            assert!(
                reads_as(&stage.hit(&key(&format!("/{number}"))).await, body).await,
                "from RAM"
            );
        }
        assert_eq!(stage.count("lagged_readers_total"), 0);
    });
}

#[test]
fn more_fills_than_memory_has_room_for_are_served_and_the_newest_are_not_kept() {
    story(async {
        // A disk that takes nothing, and no RAM: memory of fills is all there is.
        let device = Stalling::new();
        let stage = Arc::new(Stage::over(
            Some(open(device.clone(), 64 * MIB)),
            64 * KIB,
            8 * MIB,
        ));
        device.stall();
        let clients: Vec<_> = (0..16)
            .map(|number| {
                let key = key(&format!("/{number}"));
                let body = body(3 * MIB, number);
                let filler = start(&stage, &key, &body);
                let object = filler.object();
                let filling = tokio::spawn(fill(Arc::clone(&stage), filler, body.clone()));
                tokio::spawn(async move {
                    let right = reads_as(&object, &body).await;
                    filling.await.expect("no panic");
                    right
                })
            })
            .collect();
        for client in clients {
            assert!(client.await.expect("no panic"));
        }
        assert!(stage.count("fills_streamed_total") > 0);
        assert_eq!(stage.count("lagged_readers_total"), 0);
        assert_eq!(stage.count("fills_total{finished}"), 16);
        device.release();
        eventually("every copy is kept or dropped", || {
            stage.count("copies_total{kept}") + stage.count("copies_total{dropped}") == 16
        })
        .await;
        assert_eq!(stage.count("fill_bytes"), 0);
        // Memory is there again: the next fill is kept.
        let (key, body, kept) = (key("/next"), body(3 * MIB, 99), stage.count("copies_total{kept}"));
        stage.fill(&key, &body).await;
        eventually("it is kept", || stage.count("copies_total{kept}") == kept + 1).await;
        assert!(reads_as(&stage.hit(&key).await, &body).await);
    });
}

#[test]
fn an_exhausted_ram_tier_is_a_matter_of_disk_reads_only() {
    story(async {
        let disk = open(Arc::new(MemoryDevice::new(256 * MIB)), 64 * MIB);
        let stage = Arc::new(Stage::over(Some(disk), MIB, 32 * MIB));
        let bodies: Vec<_> = (0..12).map(|seed| body(2 * MIB + seed, seed)).collect();
        for (number, body) in bodies.iter().enumerate() {
            let key = key(&format!("/{number}"));
            let mut filler = start(&stage, &key, body);
            pour(&mut filler, body).await;
            drop(filler.finish());
            eventually("it is on disk", || {
                stage.count("copies_total{kept}") == number as u64 + 1
            })
            .await;
        }
        let readers: Vec<_> = (0..48)
            .map(|reader| {
                let (stage, body) = (Arc::clone(&stage), bodies[reader % 12].clone());
                tokio::spawn(async move {
                    let object = stage.hit(&key(&format!("/{}", reader % 12))).await;
                    reads_as(&object, &body).await
                })
            })
            .collect();
        for reader in readers {
            assert!(reader.await.expect("no panic"));
        }
        assert!(stage.count("ram_bytes") <= stage.count("ram_bound_bytes") + 256 * KIB);
        assert_eq!(stage.count("gone_readers_total"), 0);
        assert!(stage.count("chunks_from_disk_total") >= 12 * 9);
    });
}
