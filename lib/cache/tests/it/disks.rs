//! Devices that fail under a cache at work: who reads and fills objects of one chunk notices nothing. Of larger ones a
//! reader under way may be told that the bytes are gone; that is not what is told here.

use crate::stage::{KIB, MIB, Stage, body, eventually, head, key, pour, reads_as, story};
use cache::{
    Claim, Disks, LookUp,
    disk::{DiskMetrics, Faults, FaultyDevice, MemoryDevice, Options},
    disks::{HealthMetrics, Plan, State, Tolerance},
};
use prometheus::Registry;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

const KEYS: u64 = 120;
const TASKS: u64 = 4;

/// Three devices that can fail, and a cache over them whose RAM holds a fraction of what they do.
fn clinic(seed: u64) -> (Vec<Arc<FaultyDevice>>, Disks, Stage) {
    let registry = Registry::new();
    let devices: Vec<_> = (0..3)
        .map(|number| {
            Arc::new(FaultyDevice::new(
                Arc::new(MemoryDevice::new(32 * MIB)),
                seed ^ number,
            ))
        })
        .collect();
    let plans = devices.iter().enumerate().map(|(number, device)| {
        let name = format!("disk-{number}");
        let device = Arc::clone(device);
        Plan {
            weight: 1.0,
            options: Options {
                region_bytes: 2 * MIB,
                commit_delay: Duration::from_millis(1),
                read_threads: 2,
                ..Options::default()
            },
            metrics: DiskMetrics::register(&registry, &name).expect("its own name"),
            opener: Box::new(move |_| Ok(Arc::clone(&device) as Arc<_>)),
            name,
        }
    });
    let tolerance = Tolerance {
        probe_interval: Duration::from_millis(20),
        look_interval: Duration::from_millis(20),
        tick: Duration::from_millis(2),
        ..Tolerance::default()
    };
    let health = HealthMetrics::register(&registry).expect("a registry of its own");
    let disks: io::Result<Disks> = Disks::open(plans.collect(), tolerance, health);
    let disks = disks.expect("open");
    let stage = Stage::over_disks(Some(disks.clone()), 2 * MIB, 8 * MIB);
    (devices, disks, stage)
}

/// Asks for one object as a daemon does: what is there is read, what is not is fetched. Whole and right, every time.
async fn serve(stage: &Stage, number: u64) -> bool {
    let (key, body) = (key(&format!("/{number}")), body(40 * KIB + number * 97, number));
    if let LookUp::Hit(object) = stage.cache.look_up(&key).await {
        assert!(reads_as(&object, &body).await, "object {number} cannot be read");
        return true;
    }
    match stage.cache.claim(&key, None) {
        Claim::Lead(lead) => {
            let mut filler = lead.start(head(&key, Some(body.len() as u64)));
            pour(&mut filler, &body).await;
            assert!(
                reads_as(&filler.finish(), &body).await,
                "object {number} cannot be filled"
            );
        }
        Claim::Join(flight) => match flight.outcome().await {
            cache::Outcome::Object(object) => assert!(reads_as(&object, &body).await, "object {number}"),
            _ => panic!("object {number}: the fill that was joined failed"),
        },
    }
    false
}

#[test]
fn errors_of_one_in_a_hundred_reads_and_a_device_that_vanishes_under_load_are_noticed_by_nobody() {
    story(async {
        let seed: u64 = rand::random();
        println!("seed {seed}");
        let (devices, disks, stage) = clinic(seed);
        let stage = Arc::new(stage);
        for device in &devices {
            device.set(Faults {
                read_errors: 0.01,
                ..Faults::default()
            });
        }
        let (running, served) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let (stage, running, served) = (stage.clone(), running.clone(), served.clone());
                tokio::spawn(async move {
                    let mut chance = StdRng::seed_from_u64(seed ^ task);
                    while running.load(Ordering::Relaxed) {
                        serve(&stage, chance.random_range(0..KEYS)).await;
                        served.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let is = |number: usize, state| disks.states()[number].1 == state;
        // One in a hundred of the reads that a busy cache makes is enough to be told from health.
        eventually("none is suspect", || {
            (0..3).any(|number| is(number, State::Suspect))
        })
        .await;
        devices[0].set(Faults {
            gone: true,
            ..Faults::default()
        });
        eventually("the one that vanished is not offline", || is(0, State::Offline)).await;
        let before = served.load(Ordering::Relaxed);
        eventually("nobody is served", || {
            served.load(Ordering::Relaxed) > before + 300
        })
        .await;
        devices.iter().for_each(|device| device.set(Faults::default()));
        eventually("it does not come back", || is(0, State::Healthy)).await;
        let before = served.load(Ordering::Relaxed);
        eventually("nobody is served", || {
            served.load(Ordering::Relaxed) > before + 300
        })
        .await;
        running.store(false, Ordering::Relaxed);
        for task in tasks {
            task.await.expect("every read was whole and right");
        }
        assert!(stage.count("look_ups_total{disk}") > 0);
        stage.cache.close().await;
    });
}
