//! What a device in trouble costs, and how it comes back.

use super::patient::Illness;
use super::*;
use crate::purge::{Mode, Purge, PurgeMetrics, Purges, What};
use model::Moment;

const OBJECTS: Range<u64> = 0..200;

/// Three devices with 200 objects, and which of these are on the first.
fn filled() -> (Ward, Vec<u64>, Vec<u64>) {
    let ward = Ward::of(3);
    let all = ward.fill(OBJECTS, 1);
    assert_eq!(all.len(), 200);
    ward.patients[0].falls_ill(Illness::Gone);
    ward.await_state(0, State::Offline);
    let elsewhere = numbers(&ward.found(&all));
    ward.patients[0].falls_ill(Illness::None);
    ward.await_state(0, State::Healthy);
    let here: Vec<u64> = all
        .iter()
        .copied()
        .filter(|number| !elsewhere.contains(number))
        .collect();
    assert!((40..=95).contains(&here.len()), "{} of 200", here.len());
    (ward, here, elsewhere)
}

fn numbers(found: &[(u64, u64)]) -> Vec<u64> {
    found.iter().map(|(number, _)| *number).collect()
}

#[test]
fn a_device_that_vanishes_costs_its_share_of_hits_until_it_is_back_with_all_it_held() {
    let (ward, here, elsewhere) = filled();
    assert_eq!(ward.found(&here).len(), here.len(), "back with all it held");
    ward.patients[0].falls_ill(Illness::Gone);
    ward.await_state(0, State::Offline);
    assert_eq!(ward.found(&here), []);
    assert_eq!(ward.found(&elsewhere).len(), elsewhere.len());
    assert_eq!(
        ward.fill(1000..1100, 1).len(),
        100,
        "the others take all that is new"
    );
    ward.patients[0].falls_ill(Illness::None);
    ward.await_state(0, State::Healthy);
    assert_eq!(ward.found(&here).len(), here.len());
    let offline = [("device", "disk-0"), ("state", "offline")];
    assert_eq!(ward.counts("millrace_cache_disk_transitions_total", &offline), 2);
    assert_eq!(ward.counts("millrace_cache_disk_state", &offline), 0);
    assert_eq!(
        ward.counts("millrace_cache_disk_state", &[("state", "healthy")]),
        3
    );
}

#[test]
fn the_newest_version_is_served_when_the_one_with_the_older_comes_back() {
    let (ward, here, _) = filled();
    ward.patients[0].falls_ill(Illness::Gone);
    ward.await_state(0, State::Offline);
    let newer = ward.fill(here[0]..here[0] + 1, 2);
    assert_eq!(newer, here[..1]);
    ward.patients[0].falls_ill(Illness::None);
    ward.await_state(0, State::Healthy);
    assert_eq!(ward.found(&here[..2]), [(here[0], 2), (here[1], 1)]);
}

#[test]
fn what_was_removed_while_a_device_was_away_does_not_come_back_with_it_nor_after_a_restart() {
    let (ward, here, _) = filled();
    ward.patients[0].falls_ill(Illness::Gone);
    ward.await_state(0, State::Offline);
    ward.disks.remove(key(here[0]).hash());
    ward.patients[0].falls_ill(Illness::None);
    ward.await_state(0, State::Healthy);
    assert_eq!(numbers(&ward.found(&here)), here[1..]);
    block_on(ward.disks.close());
    let again = Ward::open(ward.patients.clone());
    assert_eq!(numbers(&again.found(&here)), here[1..]);
}

#[test]
fn a_removal_that_a_device_may_have_lost_with_its_power_wipes_it() {
    let (ward, here, elsewhere) = filled();
    ward.disks.remove(key(here[0]).hash());
    ward.patients[0].falls_ill(Illness::Gone);
    ward.await_state(0, State::Offline);
    ward.patients[0].falls_ill(Illness::None);
    ward.await_state(0, State::Healthy);
    assert_eq!(ward.found(&here), []);
    assert_eq!(ward.found(&elsewhere).len(), elsewhere.len());
    assert_eq!(ward.fill(OBJECTS, 2).len(), 200);
    assert_eq!(ward.found(&here).len(), here.len(), "and takes new objects");
}

#[test]
fn another_device_in_the_place_of_one_starts_empty_and_so_does_one_that_was_overwritten() {
    let (ward, here, elsewhere) = filled();
    ward.patients[0].falls_ill(Illness::Gone);
    ward.await_state(0, State::Offline);
    ward.patients[0].is_replaced();
    ward.patients[0].falls_ill(Illness::None);
    ward.await_state(0, State::Healthy);
    assert_eq!(ward.found(&here), []);
    assert_eq!(ward.found(&elsewhere).len(), elsewhere.len());
    // Somebody writes over the superblocks of a device in use: a look finds that out.
    let openings = ward.patients[0].openings();
    let handle = ward.patients[0].open().expect("well");
    crate::disk::wipe(&*handle).expect("written");
    let deadline = Instant::now() + PATIENCE;
    while ward.patients[0].openings() < openings + 2 {
        assert!(Instant::now() < deadline, "nobody looks");
        std::thread::park_timeout(Duration::from_millis(1));
    }
    ward.await_state(0, State::Healthy);
    assert_eq!(ward.fill(OBJECTS, 3).len(), 200);
}

#[test]
fn a_device_that_refuses_writes_is_read_while_others_are_written_and_written_again_when_it_can() {
    for number in [libc::EIO, libc::ENOSPC, libc::EROFS] {
        let (ward, here, _) = filled();
        ward.patients[0].falls_ill(Illness::NoWrites(number));
        // Something that belongs there has to be refused for it to be known.
        ward.fill(2000..2100, 1);
        ward.await_state(0, State::ReadOnly);
        assert_eq!(ward.found(&here).len(), here.len());
        assert_eq!(
            ward.fill(3000..3100, 1).len(),
            100,
            "the others take all that is new"
        );
        ward.disks.remove(key(here[0]).hash());
        assert_eq!(numbers(&ward.found(&here)), here[1..]);
        ward.patients[0].falls_ill(Illness::None);
        ward.await_state(0, State::Healthy);
        assert_eq!(numbers(&ward.found(&here)), here[1..]);
        assert_eq!(ward.fill(4000..4100, 1).len(), 100);
        let labels = [("device", "disk-0"), ("kind", "head")];
        let before = ward.counts("millrace_cache_disk_records_written_total", &labels);
        ward.fill(5000..5100, 1);
        assert!(ward.counts("millrace_cache_disk_records_written_total", &labels) > before);
    }
}

#[test]
fn a_device_that_hangs_keeps_nobody_waiting_and_is_not_opened_before_what_hangs_has_ended() {
    let (ward, here, elsewhere) = filled();
    let openings = ward.patients[0].openings();
    ward.patients[0].falls_ill(Illness::Hangs);
    let kept = ward.fill(2000..2100, 1);
    assert!(kept.len() < 100 && !kept.is_empty(), "{} kept", kept.len());
    assert_eq!(ward.found(&here), []);
    ward.await_state(0, State::Offline);
    assert_eq!(ward.found(&elsewhere).len(), elsewhere.len());
    assert_eq!(ward.fill(3000..3100, 1).len(), 100);
    assert_eq!(ward.patients[0].openings(), openings);
    ward.patients[0].falls_ill(Illness::None);
    ward.await_state(0, State::Healthy);
    assert_eq!(ward.found(&here).len(), here.len());
}

#[test]
fn a_device_that_cannot_read_is_suspect_then_offline_and_its_reads_are_misses_not_errors_of_all() {
    let (ward, here, elsewhere) = filled();
    ward.patients[0].falls_ill(Illness::BadReads);
    assert_eq!(ward.found(&here), []);
    ward.await_state(0, State::Offline);
    assert_eq!(ward.found(&elsewhere).len(), elsewhere.len());
    let reads = [("device", "disk-0"), ("operation", "read")];
    assert!(ward.counts("millrace_cache_disk_errors_total", &reads) >= 5);
    ward.patients[0].falls_ill(Illness::None);
    ward.await_state(0, State::Healthy);
}

#[test]
fn the_cache_starts_without_a_device_that_is_missing_and_takes_it_in_when_it_comes() {
    let patients = vec![Patient::new(16 << 20), Patient::new(16 << 20)];
    patients[1].falls_ill(Illness::Gone);
    let ward = Ward::open(patients);
    assert_eq!(ward.disks.states()[1].1, State::Offline);
    assert_eq!(ward.fill(0..50, 1).len(), 50);
    ward.patients[1].falls_ill(Illness::None);
    ward.await_state(1, State::Healthy);
    let kept = ward.fill(50..150, 1);
    assert_eq!(kept.len(), 100);
    let written = ward.counts(
        "millrace_cache_disk_records_written_total",
        &[("device", "disk-1"), ("kind", "head")],
    );
    assert!((25..=75).contains(&written), "{written}");
}

#[test]
fn with_every_device_gone_all_is_a_miss_and_nothing_an_error() {
    let ward = Ward::of(2);
    let kept = ward.fill(0..20, 1);
    for (number, patient) in ward.patients.iter().enumerate() {
        patient.falls_ill(Illness::Gone);
        ward.await_state(number, State::Offline);
    }
    assert_eq!(ward.found(&kept), []);
    assert!(ward.fill(20..40, 1).is_empty());
    block_on(async {
        assert!(matches!(ward.disks.head(&key(1)).await, Ok(None)));
        assert!(matches!(
            ward.disks.read(key(1).hash(), 1, 0, 0..10).await,
            Ok(None)
        ));
        ward.disks.close().await;
    });
}

#[test]
fn a_closed_cache_takes_no_device_back() {
    let ward = Ward::of(2);
    ward.patients[0].falls_ill(Illness::Gone);
    ward.await_state(0, State::Offline);
    block_on(ward.disks.close());
    let openings = ward.patients[0].openings();
    ward.patients[0].falls_ill(Illness::None);
    // Longer than many probes take.
    let kept = ward.fill(0..20, 1);
    assert!(kept.is_empty());
    assert_eq!(ward.patients[0].openings(), openings);
    assert_eq!(ward.disks.states()[0].1, State::Offline);
}

#[test]
fn what_was_purged_while_a_device_was_away_is_in_its_journal_when_it_is_back() {
    let (ward, ..) = filled();
    let purges = || {
        let metrics = PurgeMetrics::new(&Registry::new()).expect("a registry of its own");
        Arc::new(Purges::new(metrics))
    };
    let known = purges();
    ward.disks.join(&known);
    let mut recorded = Vec::new();
    let mut purge = |path: &str| {
        let purge = Purge {
            what: What::Url(Key::new("demo", path)),
            mode: Mode::Hard,
            not_before: 0,
        };
        recorded.push(known.record(&purge, Moment(1_700_000_000_000)).expect("legal"));
        block_on(ward.disks.record(recorded[recorded.len() - 1]))
    };
    purge("/before").expect("on all three");
    ward.patients[0].falls_ill(Illness::Gone);
    ward.await_state(0, State::Offline);
    purge("/while-away").expect("on the other two");
    ward.patients[0].falls_ill(Illness::None);
    ward.await_state(0, State::Healthy);
    purge("/after").expect("on all three again");
    block_on(ward.disks.close());
    let refused = purge("/closed");
    assert!(refused.is_err(), "nobody writes it down");

    let Ward { patients, disks, .. } = ward;
    drop(disks);
    let alone = Ward::open(vec![Arc::clone(&patients[0])]);
    let found = purges();
    alone.disks.join(&found);
    let entries = found.to_record().entries;
    assert!(
        recorded[..3].iter().all(|entry| entries.contains(entry)),
        "{entries:?}"
    );
    assert_eq!(found.latest(), recorded[2].sequence);
}
