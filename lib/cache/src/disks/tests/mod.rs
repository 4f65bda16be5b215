//! Several devices: shares, losses, returns. Devices here fail on command.

mod hand_over;
mod patient;
mod shares;
mod states;

use super::*;
use crate::disk::{DiskMetrics, Fate, Hints, Options};
use patient::Patient;
use prometheus::Registry;
use std::time::{Duration, Instant};

/// No story takes longer than this, even on a busy machine; one that hangs fails here.
const PATIENCE: Duration = Duration::from_secs(60);

/// Everything judged often, and nothing stuck for long.
fn tolerance() -> Tolerance {
    Tolerance {
        stuck: Duration::from_millis(300),
        probe_interval: Duration::from_millis(20),
        look_interval: Duration::from_millis(20),
        tick: Duration::from_millis(2),
        ..Tolerance::default()
    }
}

fn options() -> Options {
    Options {
        region_bytes: 1 << 20,
        commit_delay: Duration::from_millis(1),
        read_threads: 2,
        lock_patience: Duration::ZERO,
        ..Options::default()
    }
}

/// Some devices, the disks over them, and what is exported of both.
struct Ward {
    patients: Vec<Arc<Patient>>,
    disks: Disks,
    registry: Registry,
}

impl Ward {
    fn of(count: usize) -> Ward {
        let patients: Vec<_> = (0..count).map(|_| Patient::new(16 << 20)).collect();
        Ward::open(patients)
    }

    fn open(patients: Vec<Arc<Patient>>) -> Ward {
        let registry = Registry::new();
        let plan = |(number, patient): (usize, &Arc<Patient>)| {
            let name = format!("disk-{number}");
            let metrics = DiskMetrics::register(&registry, &name).expect("its own name");
            let patient = Arc::clone(patient);
            Plan {
                weight: 1.0,
                options: options(),
                metrics,
                opener: Box::new(move |_| patient.open()),
                name,
            }
        };
        let plans = patients.iter().enumerate().map(plan).collect();
        let metrics = HealthMetrics::register(&registry).expect("a registry of its own");
        let disks = Disks::open(plans, tolerance(), metrics).expect("open");
        Ward {
            patients,
            disks,
            registry,
        }
    }

    /// Waits until a device is in a state.
    fn await_state(&self, number: usize, state: State) {
        let deadline = Instant::now() + PATIENCE;
        while self.disks.states()[number].1 != state {
            assert!(
                Instant::now() < deadline,
                "{:?}, waited for {state:?}",
                self.disks.states()
            );
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }

    /// Puts the objects `numbers`, each a head and a part with bytes of its own; returns those that were kept.
    fn fill(&self, numbers: Range<u64>, version: u64) -> Vec<u64> {
        let filled: Vec<_> = numbers
            .map(|number| {
                let part = self.disks.put_part(
                    key(number).hash(),
                    version,
                    0,
                    vec![body(number)],
                    Hints::default(),
                );
                let head = self
                    .disks
                    .put_head(&key(number), version, body(number), Hints::default());
                (number, part, head)
            })
            .collect();
        block_on(async {
            let mut kept = Vec::new();
            for (number, part, head) in filled {
                if (part.await, head.await) == (Fate::Committed, Fate::Committed) {
                    kept.push(number);
                }
            }
            kept
        })
    }

    /// Those of `numbers` that can be read, and the version of each. Whatever is read is right.
    fn found(&self, numbers: &[u64]) -> Vec<(u64, u64)> {
        block_on(async {
            let mut found = Vec::new();
            for number in numbers {
                let Ok(Some((version, head))) = self.disks.head(&key(*number)).await else {
                    continue;
                };
                assert_eq!(head, body(*number));
                let read = self.disks.read(key(*number).hash(), version, 0, 0..1000).await;
                if let Ok(Some(bytes)) = read {
                    assert_eq!(bytes, body(*number).slice(0..1000));
                    found.push((*number, version));
                }
            }
            found
        })
    }

    fn counts(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let families = self.registry.gather();
        let family = families
            .iter()
            .find(|family| family.name() == name)
            .expect("registered");
        let carries = |metric: &&prometheus::proto::Metric| {
            labels.iter().all(|(name, value)| {
                let mut own = metric.get_label().iter();
                own.any(|own| own.name() == *name && own.value() == *value)
            })
        };
        let metrics = family.get_metric().iter().filter(carries);
        let sum: f64 = metrics
            .map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value())
            .sum();
        sum as u64
    }
}

fn key(number: u64) -> Key {
    Key::new("demo", format!("/{number}"))
}

fn body(number: u64) -> Bytes {
    number.to_le_bytes().repeat(500).into()
}

fn block_on<T>(story: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        tokio::time::timeout(PATIENCE, story)
            .await
            .expect("the story hangs")
    })
}
