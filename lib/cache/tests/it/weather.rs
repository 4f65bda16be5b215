//! Everything at once, by chance: fills that end in every way, evictions, refreshes, readers of any range, little
//! memory and a small disk that reclaims. Whatever a reader gets without an error is the bytes of its object.

use crate::stage::{KIB, MIB, Stage, body, head, key, story};
use bytes::Bytes;
use cache::{
    Claim, Disk, Failure, Head, Key, LookUp, Object, Outcome,
    disk::{DiskMetrics, MemoryDevice, Options},
};
use http::{HeaderValue, StatusCode};
use prometheus::Registry;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{sync::Arc, time::Duration};

const KEYS: u64 = 12;
const TASKS: u64 = 24;
const STEPS: u64 = 60;

#[test]
fn no_weather_makes_a_reader_get_wrong_bytes() {
    story(async {
        let seed: u64 = rand::random();
        println!("seed {seed}");
        let options = Options {
            region_bytes: 6 * MIB,
            queue_bytes: 8 * MIB,
            read_threads: 2,
            commit_delay: Duration::from_millis(1),
            ..Options::default()
        };
        let metrics = DiskMetrics::register(&Registry::new(), "test").expect("a registry of its own");
        let device = Arc::new(MemoryDevice::new(40 * MIB));
        let disk = Disk::open(device, options, metrics).expect("a disk");
        let stage = Arc::new(Stage::over(Some(disk), 3 * MIB, 2 * MIB));
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let stage = Arc::clone(&stage);
                tokio::spawn(async move {
                    let mut chance = StdRng::seed_from_u64(seed ^ task);
                    let mut whole_reads = 0;
                    for step in 0..STEPS {
                        let key = key(&format!("/{}", chance.random_range(0..KEYS)));
                        whole_reads += u64::from(walk(&stage, &key, task * STEPS + step, &mut chance).await);
                    }
                    whole_reads
                })
            })
            .collect();
        let mut whole_reads = 0;
        for task in tasks {
            whole_reads += task.await.expect("no panic");
        }
        assert!(
            whole_reads > TASKS * STEPS / 4,
            "{whole_reads} reads came to their end"
        );
        assert!(stage.count("fills_total{finished}") > 0 && stage.count("fills_total{aborted}") > 0);
        assert_eq!(stage.count("fills_open"), 0);
        assert!(stage.count("fill_bytes") <= 2 * MIB);
        assert!(stage.count("ram_bytes") <= 3 * MIB + 256 * KIB);
        stage.cache.close().await;
    });
}

/// One request of one task. Says whether it read its range to the end.
async fn walk(stage: &Arc<Stage>, key: &Key, seed: u64, chance: &mut StdRng) -> bool {
    if chance.random_ratio(1, 25) {
        stage.cache.evict(key);
    }
    let seen = match stage.cache.look_up(key).await {
        LookUp::Hit(object) if chance.random_ratio(4, 5) => return wander(&object, chance).await,
        LookUp::Hit(object) | LookUp::Partial(object) => Some(object),
        LookUp::Uncacheable => return false,
        LookUp::Absent => None,
    };
    match stage.cache.claim(key, seen.as_ref().map(Object::head)) {
        Claim::Join(flight) => match flight.outcome().await {
            Outcome::Object(object) => wander(&object, chance).await,
            Outcome::Uncacheable | Outcome::Failed(_) => false,
        },
        Claim::Lead(lead) => match (chance.random_range(0..10), seen) {
            (0, _) => {
                lead.uncacheable(Duration::from_millis(1));
                false
            }
            (1, _) => {
                lead.failed(Failure::new(
                    StatusCode::BAD_GATEWAY,
                    "connection_refused",
                    "weather",
                ));
                false
            }
            (2..6, Some(old)) => {
                let mut new = head(key, None);
                new.fields.clone_from(&old.head().fields);
                let object = lead.refreshed(old.head(), new);
                wander(&object, chance).await
            }
            _ => {
                let length = *[0, 500, 60 * KIB, 300 * KIB, MIB, 5 * MIB]
                    .get(chance.random_range(0..6))
                    .expect("six lengths");
                let announced = chance.random::<bool>().then_some(length);
                let filler = lead.start(tagged(key, announced, seed, length));
                let object = filler.object();
                let fill = tokio::spawn(fill(filler, body(length, seed), StdRng::from_rng(chance)));
                let read = wander(&object, chance).await;
                fill.await.expect("no panic");
                read
            }
        },
    }
}

/// A head whose `etag` tells which body belongs to it.
fn tagged(key: &Key, announced: Option<u64>, seed: u64, length: u64) -> Head {
    let mut head = head(key, announced);
    let tag = HeaderValue::from_str(&format!("{seed} {length}")).expect("digits");
    head.fields.insert("etag", tag);
    head
}

async fn fill(mut filler: cache::Filler, body: Bytes, mut chance: StdRng) {
    let breaks_off = chance
        .random_ratio(1, 6)
        .then(|| chance.random_range(0..=body.len()));
    let mut rest = body.slice(..breaks_off.unwrap_or(body.len()));
    while !rest.is_empty() {
        let size = chance.random_range(1..200_000).min(rest.len());
        filler
            .append(rest.split_to(size))
            .await
            .expect("not more than announced");
        if chance.random_ratio(1, 4) {
            tokio::task::yield_now().await;
        }
    }
    match breaks_off {
        Some(_) if chance.random::<bool>() => drop(filler),
        Some(_) => filler.abort(Failure::new(
            StatusCode::BAD_GATEWAY,
            "connection_terminated",
            "weather",
        )),
        None => drop(filler.finish()),
    }
}

/// Reads some range of `object` and holds it against what its tag says.
async fn wander(object: &Object, chance: &mut StdRng) -> bool {
    let tag = object.head().fields["etag"].to_str().expect("digits");
    let (seed, length) = tag.split_once(' ').expect("two numbers");
    let (seed, length): (u64, u64) = (seed.parse().expect("a seed"), length.parse().expect("a length"));
    let expected = body(length, seed);
    let start = chance.random_range(0..=length);
    let end = if chance.random::<bool>() {
        u64::MAX
    } else {
        chance.random_range(start..=length)
    };
    let mut reader = object.reader(start..end);
    loop {
        let position = reader.position() as usize;
        match reader.next().await {
            Ok(Some(piece)) => {
                assert!(
                    expected[position..position + piece.len()] == piece,
                    "{tag} at {position}"
                );
            }
            Ok(None) => {
                assert_eq!(position as u64, end.min(length), "{tag}: a short success");
                return true;
            }
            Err(_) => return false,
        }
    }
}
