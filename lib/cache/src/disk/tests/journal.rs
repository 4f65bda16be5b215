//! The purge journal: what was acknowledged is known after any crash and any single damage, and two that meet are seen.

use crate::disk::device::BLOCK_BYTES;
use crate::disk::format::Geometry;
use crate::disk::format::journal::{Area, BLOCK_ENTRIES};
use crate::disk::journal::{Journal, Opened, format, open};
use crate::disk::{Device, MemoryDevice, Options};
use crate::key::Key;
use crate::purge::{Entry, Mode, Purge, PurgeMetrics, Purges, Record, What};
use model::Moment;
use prometheus::Registry;
use rand::rngs::{SmallRng, StdRng};
use rand::{Rng, SeedableRng};
use std::collections::HashSet;
use std::io;
use std::sync::Arc;

const UUID: u128 = 0xFEED;
const GEOMETRY: Geometry = Geometry {
    region_bytes: 64 << 10,
    region_count: 3,
};
const DEVICE_BYTES: u64 = (1 << 20) + 3 * (64 << 10);
const NOW: Moment = Moment(1_700_000_000_000);

fn formatted() -> Arc<MemoryDevice> {
    let device = Arc::new(MemoryDevice::new(DEVICE_BYTES));
    format(&*device, &GEOMETRY, UUID).expect("works");
    device
}

fn opened(device: &Arc<MemoryDevice>, seed: u64) -> Option<(Journal, Record)> {
    let chance = Box::new(StdRng::seed_from_u64(seed));
    match open(device.clone(), &GEOMETRY, UUID, chance).expect("it can be read") {
        Opened::Whole(journal, record) => Some((journal, record)),
        Opened::Damaged => None,
    }
}

fn purges() -> Purges {
    Purges::new(PurgeMetrics::new(&Registry::new()).expect("an empty registry"))
}

fn entry(purges: &Purges, number: u64) -> Entry {
    let purge = Purge {
        what: What::Url(Key::new("demo", format!("/{number}"))),
        mode: if number.is_multiple_of(3) {
            Mode::Soft
        } else {
            Mode::Hard
        },
        not_before: 0,
    };
    purges.record(&purge, NOW).expect("legal")
}

/// As the keeper does it.
fn commit(journal: &mut Journal, purges: &Purges, entries: &[Entry]) -> io::Result<bool> {
    let written = if journal.is_full_for(entries.len()) {
        journal.begin(&purges.to_record())?
    } else {
        journal.append(entries, purges.forgotten())?
    };
    Ok(written.began)
}

#[test]
fn commits_of_every_size_are_found_again_over_many_beginnings_and_forgotten_ones_are_not() {
    let device = formatted();
    let (mut journal, found) = opened(&device, 1).expect("blank");
    assert_eq!(found, Record::default());
    let purges = purges();
    let floor = purges.adopt(&found, journal.entries_max());
    let mut beginnings = 0;
    let mut number = 0;
    for round in 0..200_u64 {
        let size = [1, 3, BLOCK_ENTRIES as u64, BLOCK_ENTRIES as u64 + 1][round as usize % 4];
        let entries: Vec<Entry> = (0..size)
            .map(|_| {
                number += 1;
                entry(&purges, number)
            })
            .collect();
        if round % 50 == 49 {
            purges.raise_floor(&floor, entries[0].sequence);
        }
        beginnings += usize::from(commit(&mut journal, &purges, &entries).expect("works"));
        if round % 23 == 0 {
            let (again, record) = opened(&device, round).expect("sound");
            assert_eq!((again.latest(), again.is_unclean()), (purges.latest(), false));
            let after = self::purges();
            let _floor = after.adopt(&record, again.entries_max());
            let known: HashSet<_> = after
                .to_record()
                .entries
                .into_iter()
                .map(|e| (e.name, e.sequence))
                .collect();
            assert!(
                purges
                    .to_record()
                    .entries
                    .iter()
                    .all(|e| known.contains(&(e.name, e.sequence)))
            );
        }
    }
    assert!(beginnings >= 3, "{beginnings} beginnings");
    journal.begin(&purges.to_record()).expect("works");
    let (_, record) = opened(&device, 1).expect("sound");
    assert_eq!(record.forgotten, purges.forgotten());
    assert_eq!(record.entries.len(), purges.to_record().entries.len());
}

/// Purges until a write fails at `fuse`; returns what was acknowledged.
fn purge_until_it_fails(device: &Arc<MemoryDevice>, seed: u64, fuse: u64) -> Vec<Entry> {
    let (mut journal, found) = opened(device, seed).expect("sound");
    let purges = purges();
    let _floor = purges.adopt(&found, journal.entries_max());
    let mut chance = SmallRng::seed_from_u64(seed);
    let mut acknowledged = found.entries;
    device.fail_after(fuse);
    loop {
        let size = if chance.random_bool(0.2) {
            300
        } else {
            chance.random_range(1..4)
        };
        let entries: Vec<Entry> = (0..size)
            .map(|_| entry(&purges, chance.random_range(0..400)))
            .collect();
        let renews = chance.random_bool(0.1);
        let done = if renews {
            journal.begin(&purges.to_record()).map(drop)
        } else {
            commit(&mut journal, &purges, &entries).map(drop)
        };
        if done.is_err() {
            return acknowledged;
        }
        acknowledged.extend(entries);
    }
}

#[test]
fn whatever_write_a_crash_cuts_short_every_acknowledged_purge_is_known() {
    let mut crashes = 0;
    for seed in 0..60_u64 {
        let mut device = formatted();
        for life in 0..8_u64 {
            let mut chance = SmallRng::seed_from_u64(seed << 8 | life);
            let acknowledged = purge_until_it_fails(&device, seed << 8 | life, chance.random_range(0..60));
            device = Arc::new(if chance.random_bool(0.5) {
                device.after_kill()
            } else {
                device.after_power_loss(chance.random())
            });
            let found = opened(&device, seed);
            let (_, record) =
                found.unwrap_or_else(|| panic!("seed {seed}, life {life}: a crash is no damage"));
            let after = purges();
            let _floor = after.adopt(&record, usize::MAX);
            let known = after.to_record().entries;
            for entry in acknowledged {
                // A later purge of the same name may stand in for it.
                let is_known = known
                    .iter()
                    .any(|later| later.name == entry.name && later.sequence >= entry.sequence);
                assert!(is_known, "seed {seed}, life {life}: {entry:?} is lost");
            }
            assert!(
                record.latest
                    >= record
                        .entries
                        .iter()
                        .map(|entry| entry.sequence)
                        .max()
                        .unwrap_or(0)
            );
            crashes += 1;
        }
    }
    println!("{crashes} crashes");
}

#[test]
fn no_flipped_bit_of_the_journal_loses_a_purge_and_two_in_the_copies_of_one_block_are_damage() {
    let device = formatted();
    let (mut journal, _) = opened(&device, 1).expect("blank");
    let purges = purges();
    let entries: Vec<Entry> = (0..300).map(|number| entry(&purges, number)).collect();
    journal
        .begin(&Record {
            entries: entries[..200].to_vec(),
            latest: entries[199].sequence,
            forgotten: 0,
        })
        .expect("works");
    for pair in entries[200..].chunks(20) {
        journal.append(pair, 0).expect("works");
    }
    let area = Area::of(&GEOMETRY);
    let blocks = journal.used_bytes() / BLOCK_BYTES as u64;
    let mut chance = SmallRng::seed_from_u64(5);
    for _ in 0..1000 {
        let harmed = Arc::new(device.after_kill());
        let bit = chance.random_range(area.bytes().start * 8..area.bytes().end * 8);
        harmed.flip_bit(bit);
        let (mut journal, record) =
            opened(&harmed, 1).unwrap_or_else(|| panic!("bit {bit}: one copy is left"));
        assert_eq!(record.entries, entries, "bit {bit}");
        if journal.is_unclean() {
            assert!(journal.is_full_for(1), "nothing is appended to what is harmed");
            journal.begin(&record).expect("works");
            if journal.is_unclean() {
                // The half that was in use may be the one that is harmed.
                journal.begin(&record).expect("works");
            }
            let (repaired, known) = opened(&harmed, 1).expect("sound");
            assert!(
                !repaired.is_unclean() && repaired.harmed_copies() == 0,
                "bit {bit}: repaired"
            );
            assert_eq!(known.entries, entries, "bit {bit}");
        }
    }
    for _ in 0..200 {
        let harmed = Arc::new(device.after_kill());
        let block = chance.random_range(0..blocks) as u32;
        for copy in 0..2 {
            let start = area.offset(1, copy, block) * 8;
            harmed.flip_bit(start + chance.random_range(0..BLOCK_BYTES as u64 * 8));
        }
        assert!(
            opened(&harmed, 1).is_none(),
            "block {block}: what it said is lost"
        );
    }
}

#[test]
fn a_device_whose_journal_is_unreadable_starts_empty() {
    let device = Arc::new(MemoryDevice::new(DEVICE_BYTES));
    let metrics = super::metrics();
    let options = Options {
        region_bytes: 64 << 10,
        ..Options::default()
    };
    let uuid = |seed| {
        let chance = &mut StdRng::seed_from_u64(seed);
        let (store, _, _) =
            crate::disk::open_log(device.clone(), &options, metrics.clone(), chance).expect("works");
        store.uuid
    };
    let first = uuid(1);
    assert_eq!(uuid(2), first);
    let area = Area::of(&GEOMETRY);
    device.flip_bit(area.offset(0, 0, 0) * 8 + 400);
    assert_eq!(uuid(3), first, "its other copy is there");
    device.flip_bit(area.offset(0, 1, 0) * 8 + 400);
    let second = uuid(4);
    assert_ne!(second, first, "formatted");
    assert_eq!(uuid(5), second);
}

#[test]
fn what_lay_on_a_device_before_it_was_ours_is_not_mistaken_for_a_journal() {
    let device = Arc::new(MemoryDevice::new(DEVICE_BYTES));
    let mut noise = crate::disk::aligned::AlignedBuffer::zeroed(1 << 20);
    SmallRng::seed_from_u64(1).fill(&mut noise[..]);
    device.write_at(0, &noise).expect("works");
    format(&*device, &GEOMETRY, UUID).expect("works");
    let (journal, record) = opened(&device, 1).expect("a journal");
    assert!(!journal.is_unclean());
    assert_eq!(record, Record::default());
    assert!(
        open(
            device.clone(),
            &GEOMETRY,
            UUID + 1,
            Box::new(StdRng::seed_from_u64(1))
        )
        .is_ok_and(|opened| matches!(opened, Opened::Damaged)),
        "another device's is none"
    );
}

/// A disk of small regions with somebody who knows its purges.
fn kept(device: &Arc<MemoryDevice>) -> (crate::disk::Disk, Arc<Purges>) {
    let options = crate::disk::Options {
        region_bytes: 64 << 10,
        ..crate::disk::Options::default()
    };
    let disk = crate::disk::Disk::open(device.clone(), options, super::metrics()).expect("opens");
    let purges = Arc::new(purges());
    disk.join(&purges);
    (disk, purges)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime")
        .block_on(future)
}

#[test]
fn purges_are_forgotten_when_the_oldest_region_was_opened_after_them_and_not_before() {
    let device = Arc::new(MemoryDevice::new(DEVICE_BYTES));
    let (disk, purges) = kept(&device);
    let store = &disk.shared.store;
    let purge_many = |numbers: std::ops::Range<u64>| {
        for number in numbers {
            block_on(disk.record(entry(&purges, number))).expect("journalled");
        }
    };
    let first = entry(&purges, 1_000_000);
    block_on(disk.record(first)).expect("journalled");
    let life = |number, sequence| crate::disk::format::region::RegionLife {
        number,
        sequence,
        life: 1,
    };
    store.begin_life(life(0, 1));
    store.begin_life(life(1, 2));
    let later = (NOW.seconds() + 100) as u32;
    store.note_opened(0, later);
    assert_eq!(store.oldest_sequence(), 0, "the age of one region is not known");
    purge_many(0..60);
    assert_eq!(purges.forgotten(), 0);
    store.note_opened(1, later);
    purge_many(60..120);
    assert!(
        purges.forgotten() >= first.sequence,
        "a half was begun since, and forgot what nothing is older than"
    );
    assert!(purges.to_record().entries.len() <= 60);
    drop(disk);
    let (again, _) = opened_again(&device);
    assert_eq!(again.forgotten, purges.forgotten());
}

/// What the journal of a disk says when its threads have ended.
fn opened_again(device: &Arc<MemoryDevice>) -> (Record, u128) {
    let (store, ..) = crate::disk::open_log(
        Arc::new(device.after_kill()),
        &Options {
            region_bytes: 64 << 10,
            ..Options::default()
        },
        super::metrics(),
        &mut StdRng::seed_from_u64(1),
    )
    .expect("works");
    let found = store.journal.lock().take().expect("found").1;
    (found, store.uuid)
}

#[test]
fn what_reclaim_copies_of_a_head_is_judged_again_and_says_so() {
    let device = Arc::new(MemoryDevice::new(DEVICE_BYTES));
    let (disk, purges) = kept(&device);
    let freshness = crate::policy::freshness::Freshness {
        generated_at: NOW,
        lifetime: std::time::Duration::from_secs(60),
        stale_while_revalidate: std::time::Duration::ZERO,
        stale_if_error: std::time::Duration::ZERO,
        must_revalidate: false,
    };
    let head = |path: &str| {
        let key = Key::new("demo", path);
        let status = http::StatusCode::OK;
        crate::Head::new(key, status, http::HeaderMap::new(), Some(1), freshness)
            .encode()
            .expect("short")
    };
    let (kept, hard, soft) = (head("/kept"), head("/1"), head("/3"));
    for number in [1, 3] {
        block_on(disk.record(entry(&purges, number))).expect("journalled");
    }
    let store = &disk.shared.store;
    let carried = |record: &[u8]| {
        store
            .carry_over(record)
            .map(|record| crate::Head::decode(&record).expect("a head"))
    };
    let copied = carried(&kept).expect("nothing covers it");
    assert_eq!((copied.sequence, copied.checked()), (0, purges.latest()));
    assert_eq!(copied.freshness, freshness);
    assert!(carried(&hard).is_none());
    assert!(
        carried(&soft).is_some_and(|head| head.freshness.lifetime.is_zero()),
        "stale for good"
    );
    assert!(store.carry_over(b"no head").is_none());
}
