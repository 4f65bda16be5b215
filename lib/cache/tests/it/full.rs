//! A device whose regions are all in use: room is made all the time, and clients are served whatever is given up.

use crate::stage::{KIB, MIB, Stage, body, eventually, key, reads_as, story};
use bytes::Bytes;
use cache::{
    Disk, LookUp,
    disk::{DiskMetrics, MemoryDevice, Options},
};
use prometheus::Registry;
use std::{sync::Arc, time::Duration};

const REGION_BYTES: u64 = 8 * MIB;
/// Ten regions, one log: after some 70 MiB of fills every one of them is in use. Each has room for one of the objects that
/// are read slowly.
const DEVICE_BYTES: u64 = 2 * MIB + 10 * REGION_BYTES;

/// A cache that keeps next to nothing in RAM.
fn stage() -> (Stage, DiskMetrics) {
    let options = Options {
        region_bytes: REGION_BYTES,
        commit_delay: Duration::from_millis(1),
        ..Options::default()
    };
    let metrics = DiskMetrics::register(&Registry::new(), "test").expect("a registry of its own");
    let disk = Disk::open(
        Arc::new(MemoryDevice::new(DEVICE_BYTES)),
        options,
        metrics.clone(),
    )
    .expect("a disk");
    (Stage::over(Some(disk), 64 * KIB, 32 * MIB), metrics)
}

/// Fills objects, each when the one before is on disk, until so many regions were given up since.
async fn turn_over(stage: &Stage, metrics: &DiskMetrics, name: &str, regions: u64) {
    let goal = metrics.regions_reclaimed.get() + regions;
    let mut number = 0;
    while metrics.regions_reclaimed.get() < goal {
        number += 1;
        let kept = stage.count("copies_total{kept}");
        stage
            .fill(&key(&format!("/{name}/{number}")), &body(3 * MIB, number))
            .await;
        eventually("it is on disk", || stage.count("copies_total{kept}") > kept).await;
    }
}

#[test]
fn who_reads_slowly_gets_every_byte_though_the_device_is_turned_over_twice_meanwhile() {
    story(async {
        let (stage, metrics) = stage();
        let bodies: Vec<Bytes> = (0..3).map(|seed| body(5 * MIB + seed, seed)).collect();
        for (number, body) in bodies.iter().enumerate() {
            stage.fill(&key(&format!("/{number}")), body).await;
            eventually("it is on disk", || {
                stage.count("copies_total{kept}") > number as u64
            })
            .await;
        }
        // The last of them nobody reads: it is given up as ever.
        let mut readers = Vec::new();
        for (number, body) in bodies.iter().enumerate().take(2) {
            let mut reader = stage.hit(&key(&format!("/{number}"))).await.reader(..);
            let first = reader.next().await.expect("on disk").expect("not its end");
            assert!(body.starts_with(&first));
            readers.push((reader, body));
        }
        turn_over(&stage, &metrics, "others", 20).await;
        assert!(!matches!(stage.cache.look_up(&key("/2")).await, LookUp::Hit(_)));
        for (mut reader, body) in readers {
            loop {
                let start = reader.position() as usize;
                match reader.next().await.expect("spared") {
                    Some(piece) => assert!(body[start..].starts_with(&piece), "at {start}"),
                    None => break,
                }
            }
            assert_eq!(reader.position(), body.len() as u64);
        }
        assert_eq!(stage.count("gone_readers_total"), 0);
        // Nobody reads them any more: they go like all others.
        turn_over(&stage, &metrics, "more", 20).await;
        assert!(!matches!(stage.cache.look_up(&key("/0")).await, LookUp::Hit(_)));
    });
}

#[test]
fn a_full_device_serves_what_it_keeps_and_takes_what_comes() {
    story(async {
        let (stage, metrics) = stage();
        turn_over(&stage, &metrics, "first", 12).await;
        let stage = Arc::new(stage);
        let clients: Vec<_> = (0..6_u64)
            .map(|client| {
                let stage = Arc::clone(&stage);
                tokio::spawn(async move {
                    for round in 0..12 {
                        let key = key(&format!("/{client}/{}", round % 4));
                        let body = body(MIB + client, client * 4 + round % 4);
                        let object = match stage.cache.look_up(&key).await {
                            LookUp::Hit(object) => object,
                            _ => stage.fill(&key, &body).await,
                        };
                        assert!(reads_as(&object, &body).await, "{key} in round {round}");
                    }
                })
            })
            .collect();
        for client in clients {
            client.await.expect("every byte");
        }
        assert_eq!(stage.count("lagged_readers_total"), 0);
        assert_eq!(metrics.write_errors.get(), 0);
        assert_eq!(metrics.read_only.get(), 0);
        eventually("every copy is kept or dropped", || {
            let settled = stage.count("copies_total{kept}") + stage.count("copies_total{dropped}");
            settled == stage.count("fills_total{finished}")
        })
        .await;
        let newest = stage.hit(&key("/0/3")).await;
        assert!(reads_as(&newest, &body(MIB, 3)).await);
        assert!(metrics.reads.hit.get() > 0, "from the device");
    });
}
