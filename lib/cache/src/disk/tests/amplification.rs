//! What the log writes for what it is given: headers, padding, footers, copies and all.

use super::{body, metrics};
use crate::disk::commit::Commit;
use crate::disk::hints::Hints;
use crate::disk::queue::{Record, Write};
use crate::disk::{MemoryDevice, Options, open_log};
use rand::rngs::{SmallRng, StdRng};
use rand::{Rng, SeedableRng};
use std::sync::Arc;

const REGION_BYTES: u64 = 4 << 20;
const REGIONS: u64 = 24;
const OBJECTS: f64 = 4000.0;
const REQUESTS: usize = 30_000;
const SEED: u64 = 11;

/// Object numbers whose popularity falls slowly with the number, by Zipf's law with an exponent of 0.5: more is worth a
/// copy than may be copied.
fn popular(chance: &mut SmallRng) -> u128 {
    let rest: f64 = 0.5;
    let point: f64 = chance.random();
    (1.0 + point * (OBJECTS.powf(rest) - 1.0)).powf(1.0 / rest) as u128
}

#[test]
fn at_most_1_15_bytes_are_written_for_each_byte_given_while_the_popular_is_kept() {
    println!("seed {SEED}");
    let device = Arc::new(MemoryDevice::new((1 << 20) + (1 << 20) + REGIONS * REGION_BYTES));
    let options = Options {
        region_bytes: REGION_BYTES,
        ..Options::default()
    };
    let metrics = metrics();
    let (store, mut log, rebuild) = open_log(
        device,
        &options,
        metrics.clone(),
        &mut StdRng::seed_from_u64(SEED),
    )
    .expect("blank");
    rebuild.run(&store);
    let before = metrics.bytes_written.get();
    let mut chance = SmallRng::seed_from_u64(SEED);
    let everything = body(1, 300_000);
    let (mut given, mut hits) = (0_u64, 0);
    for request in 0..REQUESTS {
        // Every eighth object is asked for once only.
        let object = match request % 8 {
            0 => request as u128 + (1 << 64),
            _ => popular(&mut chance),
        };
        let part = store.index.part(object, 1, 0);
        if store.index.find(part).is_some() {
            store.index.warm(part);
            store.index.warm(store.index.head(object));
            hits += 1;
            continue;
        }
        let length = 10_000 + (object as u64).wrapping_mul(7919) as usize % 80_000;
        let hints = Hints {
            length: Some(length as u64),
            ..Hints::default()
        };
        let encoded = everything.slice(..600);
        given += (encoded.len() + length) as u64;
        let head = Record::head(object, "demo/object", 1, encoded);
        let part = Record::part(object, 1, 0, vec![everything.slice(..length)]);
        for record in [head, part] {
            let write = Write {
                record: Record { hints, ..record },
                ticket: request as u64,
                resolver: Some(Commit::pending().0),
            };
            log.append(write).expect("the device works");
        }
        // As often as the writer would at some 100 objects a second.
        if request % 10 == 0 {
            log.commit().expect("the device works");
        }
    }
    log.seal().expect("the device works");
    let written = metrics.bytes_written.get() - before;
    let copied: u64 = metrics.placed.copied.iter().map(|copied| copied.get()).sum();
    let amplification = written as f64 / given as f64;
    println!("{written} bytes written for {given}, {copied} of them copies; {hits} hits");
    assert!(given > 2 * REGIONS * REGION_BYTES, "the device was filled twice");
    assert!(copied * 20 > given, "what is popular is copied");
    assert!(amplification <= 1.15, "{amplification} bytes for each byte given");
}
