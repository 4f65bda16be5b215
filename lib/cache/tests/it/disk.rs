//! With a disk below: restarts, large fills, parts that are missing, devices that fail.

use crate::stage::{
    KIB, MIB, Stage, body, eventually, head, head_fresh_for, joined, key, pour, read, reads_as, story,
};
use bytes::Bytes;
use cache::{
    Cache, Claim, Disk, Key, LookUp, Object, ReadError, Source,
    disk::{Device, DiskMetrics, MemoryDevice, Options},
};
use prometheus::Registry;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

const RAM: u64 = 64 * MIB;
const FILLS: u64 = 16 * MIB;

/// What the stories need of a disk: little RAM, quick commits, and a region for at most one whole part.
fn options() -> Options {
    Options {
        region_bytes: 8 * MIB,
        read_threads: 2,
        commit_delay: Duration::from_millis(1),
        ..Options::default()
    }
}

fn open(device: &Arc<impl Device + 'static>) -> Disk {
    let metrics = DiskMetrics::register(&Registry::new(), "test").expect("a registry of its own");
    Disk::open(Arc::clone(device) as Arc<dyn Device>, options(), metrics).expect("a disk")
}

fn stage_on(device: &Arc<impl Device + 'static>) -> Stage {
    Stage::over(Some(open(device)), RAM, FILLS)
}

/// The device as the next process finds it when this one is killed.
fn killed(device: &MemoryDevice) -> Arc<MemoryDevice> {
    Arc::new(device.after_kill())
}

/// Waits until so many objects have their whole copy on disk.
async fn copied(stage: &Stage, objects: u64) {
    eventually("the disk copies are there", || {
        stage.count("copies_total{kept}") == objects
    })
    .await;
}

#[test]
fn after_a_kill_every_committed_object_is_served_from_disk_and_then_from_ram() {
    story(async {
        let device = Arc::new(MemoryDevice::new(128 * MIB));
        let lengths = [0, 1, 64 * KIB, 64 * KIB + 1, 256 * KIB, 4 * MIB, 9 * MIB + 5];
        let before = stage_on(&device);
        let mut newest = 0;
        for length in lengths {
            let object = before
                .fill(&key(&format!("/{length}")), &body(length, length))
                .await;
            newest = newest.max(object.head().version);
        }
        copied(&before, lengths.len() as u64).await;

        let after = stage_on(&killed(&device));
        for length in lengths {
            let key = key(&format!("/{length}"));
            let body = body(length, length);
            assert!(after.cache.peek(&key).is_none());
            let object = after.hit(&key).await;
            assert_eq!(object.source(), Source::Disk);
            assert_eq!(object.head().length, Some(length));
            assert_eq!(object.head().fields["content-type"], "video/mp4");
            assert_eq!(
                object.whole().is_some(),
                length <= 64 * KIB,
                "small ones come with their head"
            );
            assert!(object.covers(&(0..length)));
            assert!(read(&object, ..).await.expect("on disk") == body, "{length}");
            let again = after.cache.peek(&key).expect("in RAM now");
            assert!(read(&again, ..).await.expect("in RAM") == body, "{length}");
        }
        assert_eq!(after.count("look_ups_total{disk}"), lengths.len() as u64);
        assert_eq!(after.count("gone_readers_total"), 0);
        assert_eq!(
            after.count("chunks_from_disk_total"),
            1 + 1 + 16 + 37,
            "nothing is read twice"
        );

        let refilled = after.fill(&key("/new"), &body(10, 1)).await;
        assert!(refilled.head().version > newest, "versions grow over restarts");
    });
}

#[test]
fn what_is_only_read_in_ram_does_not_grow_cold_on_disk() {
    story(async {
        let device = Arc::new(MemoryDevice::new(128 * MIB));
        let before = stage_on(&device);
        let (favourite, unread) = (key("/favourite"), key("/unread"));
        before.fill(&favourite, &body(300 * KIB, 1)).await;
        before.fill(&unread, &body(300 * KIB, 2)).await;
        // Twice what the device holds goes by.
        for number in 0..64 {
            before
                .fill(&key(&format!("/{number}")), &body(4 * MIB, number))
                .await;
            copied(&before, number + 3).await;
            for _ in 0..32 {
                let object = before.cache.peek(&favourite).expect("in RAM");
                read(&object, ..).await.expect("in RAM");
            }
        }
        assert_eq!(before.count("chunks_from_disk_total"), 0);

        let after = stage_on(&killed(&device));
        assert!(reads_as(&after.hit(&favourite).await, &body(300 * KIB, 1)).await);
        assert!(after.is_absent(&unread).await, "it has made room");
    });
}

#[test]
fn a_closed_cache_is_found_again_and_ranges_are_read_where_they_are() {
    story(async {
        let device = Arc::new(MemoryDevice::new(64 * MIB));
        let key = key("/film.mp4");
        let body = body(10 * MIB, 1);
        let before = stage_on(&device);
        before.fill(&key, &body).await;
        copied(&before, 1).await;
        before.cache.close().await;
        drop(before);

        let after = stage_on(&device);
        let object = after.hit(&key).await;
        let across_parts = 4 * MIB - 10..4 * MIB + 10;
        for range in [0..1, across_parts, 10 * MIB - 1..10 * MIB + 99] {
            let expected = &body[range.start as usize..body.len().min(range.end as usize)];
            assert!(
                read(&object, range.clone()).await.expect("on disk") == expected,
                "{range:?}"
            );
        }
        assert_eq!(
            after.count("chunks_from_disk_total"),
            4,
            "only what was asked for is read"
        );
    });
}

#[test]
fn a_thousand_readers_after_a_restart_read_each_chunk_from_disk_once() {
    story(async {
        let device = Arc::new(MemoryDevice::new(64 * MIB));
        let key = key("/film.mp4");
        let body = body(MIB, 2);
        let before = stage_on(&device);
        before.fill(&key, &body).await;
        copied(&before, 1).await;

        let after = Arc::new(stage_on(&killed(&device)));
        let readers: Vec<_> = (0..1000)
            .map(|_| {
                let (after, key, body) = (Arc::clone(&after), key.clone(), body.clone());
                tokio::spawn(async move { reads_as(&after.hit(&key).await, &body).await })
            })
            .collect();
        for reader in readers {
            assert!(reader.await.expect("no panic"));
        }
        assert_eq!(after.count("chunks_from_disk_total"), 4);
    });
}

#[test]
fn a_stalled_reader_from_disk_delays_nobody() {
    story(async {
        let device = Arc::new(MemoryDevice::new(64 * MIB));
        let key = key("/film.mp4");
        let body = body(2 * MIB, 2);
        let before = stage_on(&device);
        before.fill(&key, &body).await;
        copied(&before, 1).await;

        let after = stage_on(&killed(&device));
        let mut stalled = after.hit(&key).await.reader(..);
        let first = stalled.next().await.expect("on disk").expect("not empty");
        // It has begun to read its second chunk and takes no further interest: others need that chunk all the same.
        assert!(reads_as(&after.hit(&key).await, &body).await);
        let second = stalled.next().await.expect("still on disk").expect("not its end");
        assert!(first.len() + second.len() == 512 << 10);
    });
}

#[test]
fn a_refreshed_head_survives_a_kill() {
    story(async {
        let device = Arc::new(MemoryDevice::new(64 * MIB));
        let bodies = [
            (key("/small"), body(100, 3)),
            (key("/large"), body(MIB, 4)),
            (key("/claimed"), body(100, 5)),
        ];
        let before = stage_on(&device);
        for (key, body) in &bodies {
            // At once, while its copy is on its way: the refreshed head comes after it.
            let old = before.fill(key, body).await;
            let new = head_fresh_for(key, None, Duration::from_secs(777));
            if key.text().ends_with("/claimed") {
                // By one who found it stale, and whose flight takes the place of the one that is landing.
                match before.cache.claim(key, Some(old.head())) {
                    Claim::Lead(lead) => drop(lead.refreshed(old.head(), new)),
                    Claim::Join(_) => panic!("what has landed as it was seen is nothing to wait for"),
                }
            } else {
                before.cache.refresh(old.head(), new);
            }
        }
        copied(&before, 3).await;
        before.cache.close().await;

        let after = stage_on(&killed(&device));
        for (key, body) in &bodies {
            let object = after.hit(key).await;
            assert_eq!(object.head().freshness.lifetime, Duration::from_secs(777));
            assert!(reads_as(&object, body).await);
        }
    });
}

#[test]
fn a_fill_larger_than_all_memory_is_whole_on_disk_and_a_stalled_reader_gets_every_byte() {
    story(async {
        let device = Arc::new(MemoryDevice::new(128 * MIB));
        let disk = open(&device);
        let stage = Stage::over(Some(disk.clone()), 8 * MIB, 10 * MIB);
        let key = key("/long.mp4");
        let body = body(40 * MIB, 5);
        let mut filler = stage.lead(&key).start(head(&key, Some(body.len() as u64)));
        let object = filler.object();
        for part in 0..10_u32 {
            for at in (0..4 * MIB).step_by(64 << 10) {
                let at = (u64::from(part) * 4 * MIB + at) as usize;
                filler
                    .append(body.slice(at..at + (64 << 10)))
                    .await
                    .expect("within");
                assert!(stage.count("fill_bytes") <= 10 * MIB);
            }
            // An upstream no faster than the disk, which may be one part behind.
            let (version, behind) = (object.head().version, part.saturating_sub(1));
            eventually("the part is written", || {
                disk.has_part(key.hash(), version, behind)
            })
            .await;
        }
        assert!(filler.finish().covers(&(0..40 * MIB)));
        copied(&stage, 1).await;
        assert!(
            reads_as(&object, &body).await,
            "who reads from the start now gets it from disk"
        );
        assert!(reads_as(&stage.hit(&key).await, &body).await);
        assert!(stage.count("spilled_bytes_total") >= 30 * MIB);
        assert_eq!(stage.count("fill_bytes"), 0, "what is on disk is let go at once");
        assert_eq!(stage.count("lagged_readers_total"), 0);
        assert!(reads_as(&stage_on(&killed(&device)).hit(&key).await, &body).await);
    });
}

#[test]
fn what_is_fresh_for_less_than_two_minutes_stays_in_ram_unless_it_is_large() {
    story(async {
        let device = Arc::new(MemoryDevice::new(64 * MIB));
        let before = stage_on(&device);
        let fifteen_seconds = Duration::from_secs(15);
        for (path, length) in [("/index.m3u8", 900), ("/radio.aac", 5 * MIB)] {
            let (key, body) = (key(path), body(length, length));
            let mut filler = before
                .lead(&key)
                .start(head_fresh_for(&key, Some(length), fifteen_seconds));
            pour(&mut filler, &body).await;
            drop(filler.finish());
            assert!(reads_as(&before.hit(&key).await, &body).await);
        }
        copied(&before, 1).await;
        let after = stage_on(&killed(&device));
        assert!(after.is_absent(&key("/index.m3u8")).await);
        assert!(reads_as(&after.hit(&key("/radio.aac")).await, &body(5 * MIB, 5 * MIB)).await);
    });
}

#[test]
fn an_eviction_is_for_good_also_for_objects_that_are_still_being_filled() {
    story(async {
        let device = Arc::new(MemoryDevice::new(64 * MIB));
        let before = stage_on(&device);
        let (stored, filling) = (key("/stored"), key("/filling"));
        before.fill(&stored, &body(MIB, 6)).await;
        copied(&before, 1).await;
        before.cache.evict(&stored);
        let mut filler = before.lead(&filling).start(head(&filling, None));
        pour(&mut filler, &body(5 * MIB, 7)).await;
        before.cache.evict(&filling);
        drop(filler.finish());
        for key in [&stored, &filling] {
            assert!(before.is_absent(key).await);
        }
        before.cache.close().await;
        let after = stage_on(&killed(&device));
        for key in [&stored, &filling] {
            assert!(after.is_absent(key).await);
        }
    });
}

#[test]
fn an_object_whose_first_parts_were_reclaimed_is_partial() {
    story(async {
        let device = Arc::new(MemoryDevice::new(50 * MIB));
        let before = stage_on(&device);
        let key = key("/film.mp4");
        let length = 12 * MIB;
        let body = body(length, 8);
        fill_and_settle(&before, &key, &body).await;
        let mut number = 0;
        // Other films push its oldest region out of the log.
        let after = loop {
            number += 1;
            let other = crate::stage::key(&format!("/{number}"));
            fill_and_settle(&before, &other, &crate::stage::body(4 * MIB, number)).await;
            let after = stage_on(&killed(&device));
            match after.cache.look_up(&key).await {
                LookUp::Hit(_) => {}
                LookUp::Partial(object) => break (after, object),
                LookUp::Absent | LookUp::Uncacheable => panic!("gone at once, after {number}"),
            }
        };
        let (after, object) = after;
        assert!(!object.covers(&(0..length)) && !object.covers(&(0..1)));
        let last = length - 1..length;
        assert!(object.covers(&last));
        assert!(read(&object, last).await.expect("still there") == body[body.len() - 1..]);
        assert_eq!(read(&object, ..).await, Err(ReadError::Gone));
        assert_eq!(after.count("look_ups_total{partial}"), 1);
        assert_eq!(after.count("gone_readers_total"), 1);
        // Who needs all of it fetches it anew, and has it whole again.
        after.fill(&key, &body).await;
        assert!(reads_as(&after.hit(&key).await, &body).await);
    });
}

async fn fill_and_settle(stage: &Stage, key: &Key, body: &Bytes) {
    let before = stage.count("copies_total{kept}");
    stage.fill(key, body).await;
    copied(stage, before + 1).await;
}

/// A device that can be told to fail every transfer.
struct Failing {
    device: MemoryDevice,
    broken: AtomicBool,
}

impl Failing {
    fn check(&self) -> io::Result<()> {
        match self.broken.load(Ordering::SeqCst) {
            true => Err(io::Error::other("input/output error")),
            false => Ok(()),
        }
    }
}

impl Device for Failing {
    fn size(&self) -> u64 {
        self.device.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.check()?;
        self.device.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check()?;
        self.device.write_at(offset, data)
    }

    fn flush(&self) -> io::Result<()> {
        self.check()?;
        self.device.flush()
    }
}

#[test]
fn a_failing_disk_costs_misses_and_copies_but_no_request() {
    story(async {
        let device = Arc::new(Failing {
            device: MemoryDevice::new(64 * MIB),
            broken: AtomicBool::new(false),
        });
        let before = stage_on(&device);
        let (old, new) = (key("/old"), key("/new"));
        before.fill(&old, &body(MIB, 9)).await;
        copied(&before, 1).await;
        before.cache.close().await;
        drop(before);

        let after = stage_on(&device);
        let film: Object = after.hit(&old).await;
        let mut reader = film.reader(..);
        assert!(reader.next().await.expect("on disk").is_some());
        device.broken.store(true, Ordering::SeqCst);
        let rest = async {
            while let Some(_piece) = reader.next().await? {}
            Ok(())
        };
        assert_eq!(
            rest.await,
            Err(ReadError::Gone),
            "in the middle of an object it is an error, not an end"
        );
        assert!(!matches!(
            after.cache.look_up(&key("/other")).await,
            LookUp::Hit(_)
        ));

        after.fill(&new, &body(MIB, 10)).await;
        eventually("the copy is given up", || {
            after.count("copies_total{dropped}") == 1
        })
        .await;
        assert!(
            reads_as(&after.hit(&new).await, &body(MIB, 10)).await,
            "it is served from RAM"
        );
    });
}

#[test]
fn an_object_is_never_in_neither_place_while_it_is_written() {
    story(async {
        let device = Arc::new(MemoryDevice::new(128 * MIB));
        // RAM so small that it keeps nothing of these objects: flight or disk must have them.
        let stage = Arc::new(Stage::over(Some(open(&device)), 64 * KIB, FILLS));
        for number in 0..20 {
            let key = key(&format!("/{number}"));
            let body = body(300 * KIB, number);
            assert!(stage.is_absent(&key).await);
            let filled = stage.fill(&key, &body).await;
            let mut looks = 0;
            while stage.count("copies_total{kept}") <= number {
                looks += 1;
                assert!(
                    reads_as(&found(&stage.cache, &key).await, &body).await,
                    "look {looks} at {number}"
                );
            }
            assert!(reads_as(&found(&stage.cache, &key).await, &body).await, "on disk");
            let again = joined(stage.cache.claim(&key, None));
            drop((filled, again));
        }
        assert_eq!(stage.count("fills_total{started}"), 20);
    });
}

async fn found(cache: &Cache, key: &Key) -> Object {
    match cache.look_up(key).await {
        LookUp::Hit(object) => object,
        LookUp::Partial(_) | LookUp::Uncacheable | LookUp::Absent => panic!("{key} is in neither place"),
    }
}
