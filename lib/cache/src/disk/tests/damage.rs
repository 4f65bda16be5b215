//! Single bits of a closed device turned over, anywhere: every answer afterwards is the truth or a miss.

use super::{body, metrics};
use super::{read_head, read_part};
use crate::disk::commit::Commit;
use crate::disk::log::Log;
use crate::disk::queue::{Record, Write};
use crate::disk::read::Miss;
use crate::disk::store::Store;
use crate::disk::{MemoryDevice, Options, open_log};
use bytes::Bytes;
use rand::rngs::{SmallRng, StdRng};
use rand::{Rng, SeedableRng};
use std::sync::{Arc, LazyLock};

const REGION_BYTES: u64 = 192 << 10;
const DEVICE_BYTES: u64 = (1 << 20) + 5 * REGION_BYTES;
const KEYS: u128 = 12;
const PART_LENGTH: usize = 40_000;
const FLIPS: usize = 1500;

fn put(log: &mut Log, ticket: u64, record: Record) {
    log.append(Write {
        record,
        ticket,
        resolver: Some(Commit::pending().0),
    })
    .expect("the device works");
}

fn head_of(key: u128) -> Bytes {
    body(key as u64, 300)
}

fn part_of(key: u128) -> Bytes {
    static PARTS: LazyLock<Vec<Bytes>> = LazyLock::new(|| {
        (0..KEYS as u64)
            .map(|key| body(1000 + key, PART_LENGTH))
            .collect()
    });
    PARTS[key as usize].clone()
}

fn options() -> Options {
    Options {
        region_bytes: REGION_BYTES,
        ..Options::default()
    }
}

/// Key `n` has a head and a part; every third was removed in a later region. That one is `sealed`, or the process was
/// killed before it was.
fn written_device(sealed: bool) -> MemoryDevice {
    let device = Arc::new(MemoryDevice::new(DEVICE_BYTES));
    let (_, mut log, _) = open_log(
        device.clone(),
        &options(),
        metrics(),
        &mut StdRng::seed_from_u64(1),
    )
    .expect("blank");
    for key in 0..KEYS {
        let text = format!("demo/{key}");
        put(&mut log, 1, Record::head(key, &text, 1, head_of(key)));
        put(&mut log, 2, Record::part(key, 1, 7, vec![part_of(key)]));
    }
    (0..KEYS)
        .step_by(3)
        .for_each(|key| put(&mut log, 3, Record::tombstone(key)));
    log.commit().expect("the device works");
    if sealed {
        log.seal().expect("the device works");
    }
    device.after_kill()
}

fn reopened(device: MemoryDevice) -> Arc<Store> {
    let (store, _, rebuild) = open_log(
        Arc::new(device),
        &options(),
        metrics(),
        &mut StdRng::seed_from_u64(2),
    )
    .expect("opens");
    rebuild.run(&store);
    store
}

/// Reads everything. Returns how many were found, and how many were refused for their checksums.
fn check_all(store: &Store, what: &str) -> (usize, usize) {
    let (mut found, mut corrupt) = (0, 0);
    let mut count = |result: Result<(Bytes, Bytes), Miss>| match result {
        Ok((read, put)) => {
            assert_eq!(read, put, "{what}");
            found += 1;
        }
        Err(Miss::Corrupt) => corrupt += 1,
        Err(Miss::Absent | Miss::Reclaimed) => {}
        Err(other) => panic!("{what}: {other:?}"),
    };
    for key in 0..KEYS {
        let head = read_head(store, key, &format!("demo/{key}"));
        assert!(
            key % 3 != 0 || head.is_err(),
            "{what}: the removed key {key} is back"
        );
        count(head.map(|head| (head.encoded, head_of(key))));
        // A range near the start takes one read, a far one two.
        for range in [100..200_u32, 39_000..PART_LENGTH as u32, 0..PART_LENGTH as u32] {
            let put = part_of(key).slice(range.start as usize..range.end as usize);
            count(read_part(store, key, 1, 7, range).map(|read| (read, put)));
        }
    }
    (found, corrupt)
}

#[test]
fn a_flipped_bit_costs_a_miss_and_never_a_wrong_byte_nor_a_removed_key() {
    flip_bits(&written_device(true));
}

/// Only a walk finds what is in the region that was being filled, and nothing else says what was removed in it.
#[test]
fn a_flipped_bit_of_a_region_that_was_never_sealed_costs_no_more_than_its_record() {
    flip_bits(&written_device(false));
}

fn flip_bits(device: &MemoryDevice) {
    let seed = rand::random();
    println!("seed {seed}");
    let mut chance = SmallRng::seed_from_u64(seed);
    let whole = (KEYS as usize - KEYS as usize / 3) + 3 * KEYS as usize;
    assert_eq!(check_all(&reopened(device.after_kill()), "undamaged"), (whole, 0));
    let (mut detected, mut noticed_at_start) = (0, 0);
    for _ in 0..FLIPS {
        // Superblocks, headers and footers are a small part of the bytes and get a third of the flips.
        let byte = match chance.random_range(0..12) {
            0 => chance.random_range(0..44) + [0, 64 << 10][chance.random_range(0..2)],
            1 => (1 << 20) + chance.random_range(0..5) * REGION_BYTES + chance.random_range(0..48),
            2..4 => (1 << 20) + chance.random_range(1..6) * REGION_BYTES - chance.random_range(1..4097),
            _ => chance.random_range(1 << 20..DEVICE_BYTES),
        };
        let bit = byte * 8 + chance.random_range(0..8);
        let what = format!("seed {seed}, bit {bit}");
        // The damage happens while the process runs, and before it starts.
        let running = Arc::new(device.after_kill());
        let (store, _log, rebuild) = open_log(
            running.clone(),
            &options(),
            metrics(),
            &mut StdRng::seed_from_u64(3),
        )
        .expect("opens");
        rebuild.run(&store);
        running.flip_bit(bit);
        let (found, corrupt) = check_all(&store, &what);
        assert!(
            found + corrupt > 0 && found + 4 >= whole,
            "{what}: {found} of {whole} found"
        );
        detected += corrupt;
        let found_later = check_all(&reopened(running.after_kill()), &what).0;
        noticed_at_start += usize::from(found_later < found);
        assert!(
            found_later + 4 >= whole,
            "{what}: {found_later} of {whole} found after a restart"
        );
    }
    assert!(
        detected > FLIPS / 4,
        "only {detected} of {FLIPS} flips were read and detected"
    );
    println!("{detected} detected by reads, {noticed_at_start} cost something only at the next start");
}

#[test]
fn two_damaged_blocks_of_one_region_give_up_what_is_older_rather_than_a_removal() {
    let device = written_device(true);
    // The last region in use: its trailer, and the header of its first record.
    let store = reopened(device.after_kill());
    let newest = (0..5)
        .filter_map(|number| store.life_of(number))
        .max_by_key(|life| life.sequence)
        .expect("used");
    assert!(newest.sequence >= 3, "several regions are in use");
    let start = (1 << 20) + u64::from(newest.number - 1) * REGION_BYTES;
    device.flip_bit((start + REGION_BYTES - 10) * 8);
    device.flip_bit((start + 4096 + 20) * 8);
    let (found, corrupt) = check_all(&reopened(device.after_kill()), "two blocks");
    assert_eq!(corrupt, 0);
    assert!(found > 0, "the newest region is still there");
    let store = reopened(device);
    assert!(store.life_of(newest.number).is_some());
    assert_eq!(
        store.life_of(0),
        None,
        "what is older than the damage is given up"
    );
}
