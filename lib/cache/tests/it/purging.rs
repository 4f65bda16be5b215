//! Purges as those who ask see them: hard and soft, during fills and refreshes, over restarts and crashes.

use crate::stage::{KIB, MIB, Stage, body, eventually, head, joined, key, pour, read, reads_as, story};
use bytes::Bytes;
use cache::{
    Claim, Disk, Head, Key, LookUp, Outcome,
    disk::{Device, DiskMetrics, MemoryDevice, Options},
    policy::freshness::State,
    purge::{Mode, Purge, PurgeError, Receipt, What},
};
use http::HeaderValue;
use model::Moment;
use prometheus::Registry;
use std::{sync::Arc, time::Duration};

const RAM: u64 = 64 * MIB;
const FILLS: u64 = 16 * MIB;
/// A minute after the answers of the stage were generated.
const NOW: Moment = Moment(1_700_000_060_000);

fn options() -> Options {
    Options {
        region_bytes: MIB,
        commit_delay: Duration::from_millis(1),
        ..Options::default()
    }
}

fn open(device: &Arc<MemoryDevice>) -> Disk {
    let metrics = DiskMetrics::register(&Registry::new(), "memory").expect("a registry of its own");
    Disk::open(Arc::clone(device) as Arc<dyn Device>, options(), metrics).expect("a disk")
}

fn stage_on(device: &Arc<MemoryDevice>) -> Stage {
    Stage::over(Some(open(device)), RAM, FILLS)
}

fn url(key: &Key) -> What {
    What::Url(key.clone())
}

fn prefix(path: &str) -> What {
    What::Prefix {
        service: "demo".into(),
        path: path.into(),
    }
}

fn tag(tag: &str) -> What {
    What::Tag {
        service: "demo".into(),
        tag: tag.into(),
    }
}

fn service() -> What {
    What::Service("demo".into())
}

async fn purge(stage: &Stage, what: What, mode: Mode) -> Result<Receipt, PurgeError> {
    let purge = Purge {
        what,
        mode,
        not_before: 0,
    };
    stage.cache.purge(&purge, NOW).await
}

fn tagged(key: &Key, length: u64) -> Head {
    let mut head = head(key, Some(length));
    head.fields
        .insert("surrogate-key", HeaderValue::from_static("film-1 season-2"));
    head
}

async fn fill_tagged(stage: &Stage, key: &Key, body: &Bytes) {
    let mut filler = stage.lead(key).start(tagged(key, body.len() as u64));
    pour(&mut filler, body).await;
    filler.finish();
}

async fn copied(stage: &Stage, objects: u64) {
    eventually("the disk copies are there", || {
        stage.count("copies_total{kept}") == objects
    })
    .await;
}

/// Whether anyone who asks would be given stored bytes.
async fn is_gone(stage: &Stage, key: &Key) -> bool {
    stage.cache.peek(key).is_none() && stage.is_absent(key).await
}

#[test]
fn every_kind_of_purge_is_in_force_at_once_and_spares_what_it_does_not_name() {
    story(async {
        for (what, gone) in [
            (url(&key("/a/1")), [true, false, false]),
            (prefix("/a"), [true, true, false]),
            (tag("season-2"), [true, true, true]),
            (service(), [true, true, true]),
            (tag("season"), [false, false, false]),
        ] {
            let stage = Stage::in_memory(RAM, FILLS);
            let keys = ["/a/1", "/a/2?x=1", "/ab"].map(key);
            for key in &keys {
                fill_tagged(&stage, key, &body(100, 1)).await;
            }
            let receipt = purge(&stage, what.clone(), Mode::Hard)
                .await
                .expect("acknowledged");
            assert!(receipt.sequence >= NOW.0 << 16);
            for (key, gone) in keys.iter().zip(gone) {
                assert_eq!(is_gone(&stage, key).await, gone, "{key} after {what:?}");
            }
            for (key, gone) in keys.iter().zip(gone) {
                if gone {
                    fill_tagged(&stage, key, &body(100, 2)).await;
                    assert!(stage.cache.peek(key).is_some(), "what is filled afterwards stays");
                }
            }
        }
    });
}

#[test]
fn a_hard_purge_by_url_frees_the_copy_in_ram_and_the_memory_of_being_uncacheable() {
    story(async {
        let stage = Stage::in_memory(RAM, FILLS);
        let (stored, private) = (key("/stored"), key("/private"));
        stage.fill(&stored, &body(100, 1)).await;
        stage.lead(&private).uncacheable(Duration::from_secs(60));
        assert!(matches!(stage.cache.look_up(&private).await, LookUp::Uncacheable));
        for key in [&stored, &private] {
            purge(&stage, url(key), Mode::Hard).await.expect("acknowledged");
            assert!(stage.is_absent(key).await);
        }
        assert_eq!(
            stage.count("purged_total{hard}"),
            0,
            "there was nothing left to judge"
        );
        assert_eq!(stage.count("purges_total{url}"), 2);
        assert_eq!(stage.count("purge_entries{url}"), 2);
    });
}

#[test]
fn what_is_purged_softly_is_stale_from_then_on_and_fresh_again_when_it_is_confirmed() {
    story(async {
        let stage = Stage::in_memory(RAM, FILLS);
        let key = key("/a");
        let mut head = head(&key, Some(100));
        head.freshness.stale_while_revalidate = Duration::from_secs(30);
        let mut filler = stage.lead(&key).start(head);
        pour(&mut filler, &body(100, 1)).await;
        filler.finish();
        assert_eq!(stage.hit(&key).await.head().freshness.state(NOW), State::Fresh);

        purge(&stage, tag("other"), Mode::Soft)
            .await
            .expect("acknowledged");
        assert!(stage.cache.peek(&key).is_some(), "it is not named");
        purge(&stage, url(&key), Mode::Soft).await.expect("acknowledged");
        assert!(
            stage.cache.peek(&key).is_none(),
            "judged once, by the slower look"
        );
        let stale = stage.hit(&key).await;
        let freshness = &stale.head().freshness;
        assert_eq!(freshness.state(NOW), State::StaleWhileRevalidate);
        assert_eq!(freshness.state(NOW + Duration::from_secs(30)), State::Stale);
        assert!(reads_as(&stale, &body(100, 1)).await);
        assert!(stage.cache.peek(&key).is_some(), "and then by the fast one");

        let Claim::Lead(lead) = stage.cache.claim(&key, Some(stale.head())) else {
            panic!("it is to be revalidated")
        };
        let fresh = crate::stage::head(&key, None);
        let confirmed = lead.refreshed(stale.head(), fresh);
        assert_eq!(confirmed.head().freshness.state(NOW), State::Fresh);
        let again = stage.cache.peek(&key).expect("confirmed after the purge");
        assert_eq!(again.head().freshness.state(NOW), State::Fresh);
        assert!(reads_as(&again, &body(100, 1)).await);
    });
}

#[test]
fn a_purge_covers_a_fill_under_way_for_all_who_ask_after_it() {
    story(async {
        for (what, mode) in [
            (url(&key("/a")), Mode::Hard),
            (url(&key("/a")), Mode::Soft),
            (prefix("/"), Mode::Hard),
            (tag("film-1"), Mode::Hard),
            (service(), Mode::Hard),
        ] {
            let stage = Stage::in_memory(RAM, FILLS);
            let key = key("/a");
            let (old, new) = (body(300 * KIB, 1), body(300 * KIB, 2));
            let mut filler = stage.lead(&key).start(tagged(&key, old.len() as u64));
            pour(&mut filler, &old.slice(..1000)).await;
            let before = joined(stage.cache.claim(&key, None)).await;
            purge(&stage, what.clone(), mode).await.expect("acknowledged");

            assert!(stage.is_absent(&key).await, "{what:?}: it is not joined any more");
            let mut newer = stage.lead(&key).start(tagged(&key, new.len() as u64));
            let after = joined(stage.cache.claim(&key, None)).await;
            pour(&mut filler, &old.slice(1000..)).await;
            filler.finish();
            assert!(
                reads_as(&before, &old).await,
                "who asked before gets what was promised"
            );
            pour(&mut newer, &new).await;
            newer.finish();
            assert!(reads_as(&after, &new).await);
            assert!(reads_as(&stage.hit(&key).await, &new).await, "{what:?}");
        }
    });
}

#[test]
fn a_fill_that_began_before_a_purge_leaves_nothing_fresh_behind() {
    story(async {
        for (mode, kept) in [(Mode::Hard, false), (Mode::Soft, true)] {
            let stage = Stage::in_memory(RAM, FILLS);
            let key = key("/a");
            let mut filler = stage.lead(&key).start(tagged(&key, 100));
            purge(&stage, tag("film-1"), mode).await.expect("acknowledged");
            pour(&mut filler, &body(100, 1)).await;
            let landed = filler.finish();
            assert!(reads_as(&landed, &body(100, 1)).await);
            let found = stage.cache.peek(&key);
            assert_eq!(found.is_some(), kept);
            assert!(found.is_none_or(|object| object.head().freshness.state(NOW) == State::Stale));
        }
    });
}

#[test]
fn a_fetch_that_has_no_answer_yet_is_not_joined_after_a_purge_that_may_cover_it() {
    story(async {
        let stage = Stage::in_memory(RAM, FILLS);
        let key = key("/a");
        let first = stage.lead(&key);
        let Claim::Join(early) = stage.cache.claim(&key, None) else {
            panic!("the first leads")
        };
        purge(&stage, prefix("/b"), Mode::Hard)
            .await
            .expect("acknowledged");
        assert!(
            matches!(stage.cache.claim(&key, None), Claim::Join(_)),
            "it cannot be covered"
        );
        // The tags of the answer are not known: it may be one of them.
        let receipt = purge(&stage, tag("film-1"), Mode::Hard)
            .await
            .expect("acknowledged");
        let second = stage.lead(&key);
        assert!(first.sequence() < receipt.sequence && second.sequence() == receipt.sequence);
        drop(first.start(head(&key, Some(1))));
        assert!(matches!(early.outcome().await, Outcome::Object(_)));
        assert!(
            matches!(stage.cache.claim(&key, None), Claim::Join(_)),
            "the second is still under way"
        );
        drop(second);
    });
}

#[test]
fn a_304_to_a_question_that_was_asked_before_a_purge_keeps_nothing() {
    story(async {
        let stage = Stage::in_memory(RAM, FILLS);
        let key = key("/a");
        // Asked before the purge, answered after it.
        let old = stage.fill(&key, &body(100, 1)).await;
        let Claim::Lead(lead) = stage.cache.claim(&key, Some(old.head())) else {
            panic!("nobody else asks")
        };
        purge(&stage, url(&key), Mode::Hard).await.expect("acknowledged");
        let confirmed = lead.refreshed(old.head(), head(&key, None));
        assert_eq!(confirmed.head().version, old.head().version);
        assert!(is_gone(&stage, &key).await);

        // Found before the purge, asked after it: the bytes that were purged do not come back by a validator.
        let old = stage.fill(&key, &body(100, 2)).await;
        purge(&stage, url(&key), Mode::Hard).await.expect("acknowledged");
        let Claim::Lead(lead) = stage.cache.claim(&key, Some(old.head())) else {
            panic!("nobody else asks")
        };
        let Claim::Join(late) = stage.cache.claim(&key, None) else {
            panic!("it is being asked for")
        };
        let _ = lead.refreshed(old.head(), head(&key, None));
        assert!(
            matches!(late.outcome().await, Outcome::Uncacheable),
            "who asked after it fetches anew"
        );
        assert!(is_gone(&stage, &key).await);
    });
}

#[test]
fn an_acknowledged_purge_is_in_force_after_a_kill_for_what_lies_on_disk() {
    story(async {
        let device = Arc::new(MemoryDevice::new(32 * MIB));
        let before = stage_on(&device);
        let keys = ["/url", "/films/a", "/tagged", "/soft", "/kept"].map(key);
        for (number, key) in keys.iter().enumerate() {
            let body = body(100 * KIB, number as u64);
            match number {
                2 => fill_tagged(&before, key, &body).await,
                _ => drop(before.fill(key, &body).await),
            }
        }
        copied(&before, 5).await;
        let mut latest = 0;
        for (what, mode) in [
            (url(&keys[0]), Mode::Hard),
            (prefix("/films"), Mode::Hard),
            (tag("film-1"), Mode::Hard),
            (url(&keys[3]), Mode::Soft),
        ] {
            latest = purge(&before, what, mode).await.expect("acknowledged").sequence;
        }
        let mut device = device;
        for restart in 0..3 {
            device = Arc::new(if restart == 1 {
                device.after_power_loss(7)
            } else {
                device.after_kill()
            });
            let after = stage_on(&device);
            assert_eq!(after.cache.purges().latest(), latest);
            for key in &keys[..3] {
                assert!(is_gone(&after, key).await, "{key} after restart {restart}");
            }
            let soft = after.hit(&keys[3]).await;
            assert_eq!(soft.head().freshness.state(NOW), State::Stale);
            assert!(reads_as(&soft, &body(100 * KIB, 3)).await);
            let kept = after.hit(&keys[4]).await;
            assert_eq!(kept.head().freshness.state(NOW), State::Fresh);
            assert!(read(&kept, ..).await.expect("on disk") == body(100 * KIB, 4));
        }
        // Filled again, it is found after another restart.
        let after = stage_on(&device);
        after.fill(&keys[0], &body(100 * KIB, 9)).await;
        copied(&after, 1).await;
        after.cache.close().await;
        let last = stage_on(&Arc::new(device.after_kill()));
        assert!(reads_as(&last.hit(&keys[0]).await, &body(100 * KIB, 9)).await);
    });
}

/// Every write and flush of the journal's commit is cut short once: either the purge was acknowledged and holds, or it was
/// not, and then the object may be there or not; it is never anything but what was filled.
#[test]
fn a_crash_at_any_write_of_a_purge_leaves_it_unacknowledged_or_in_force() {
    story(async {
        let filled = Arc::new(MemoryDevice::new(8 * MIB));
        let (purged, kept) = (key("/purged"), key("/kept"));
        {
            let before = stage_on(&filled);
            before.fill(&purged, &body(10 * KIB, 1)).await;
            before.fill(&kept, &body(10 * KIB, 2)).await;
            copied(&before, 2).await;
            before.cache.close().await;
        }
        let (mut acknowledged, mut refused) = (0, 0);
        for fuse in 0..12 {
            for seed in 0..6 {
                let device = Arc::new(filled.after_kill());
                let before = stage_on(&device);
                device.fail_after(fuse);
                let said = purge(&before, url(&purged), Mode::Hard).await;
                assert!(is_gone(&before, &purged).await, "in force, acknowledged or not");
                let found = Arc::new(if seed == 0 {
                    device.after_kill()
                } else {
                    device.after_power_loss(seed)
                });
                drop(before);
                let after = stage_on(&found);
                match said {
                    Ok(_) => {
                        acknowledged += 1;
                        assert!(is_gone(&after, &purged).await, "fuse {fuse}, seed {seed}");
                    }
                    Err(PurgeError::NotDurable(_)) => {
                        refused += 1;
                        if let LookUp::Hit(object) = after.cache.look_up(&purged).await {
                            assert!(reads_as(&object, &body(10 * KIB, 1)).await);
                        }
                    }
                    Err(PurgeError::Invalid(why)) => panic!("{why}"),
                }
                assert!(reads_as(&after.hit(&kept).await, &body(10 * KIB, 2)).await);
            }
        }
        assert!(
            acknowledged > 0 && refused > 0,
            "{acknowledged} acknowledged, {refused} not"
        );
    });
}

#[test]
fn many_purges_at_once_are_committed_together_and_all_in_force_after_a_kill() {
    story(async {
        let device = Arc::new(MemoryDevice::new(32 * MIB));
        let registry = Registry::new();
        let metrics = DiskMetrics::register(&registry, "memory").expect("a registry of its own");
        let disk = Disk::open(Arc::clone(&device) as Arc<dyn Device>, options(), metrics.clone());
        let before = Stage::over(Some(disk.expect("a disk")), RAM, FILLS);
        let keys: Vec<Key> = (0..20).map(|number| key(&format!("/{number}"))).collect();
        for key in &keys {
            before.fill(key, &body(1000, 1)).await;
        }
        copied(&before, 20).await;
        let purges: Vec<_> = (0..1000)
            .map(|number| {
                let purge = Purge {
                    what: url(&keys[number % 20]),
                    mode: Mode::Hard,
                    not_before: 0,
                };
                before.cache.purge(&purge, NOW)
            })
            .collect();
        for purge in purges {
            purge.await.expect("acknowledged");
        }
        assert!(metrics.journal.commits.get() <= 1000);
        println!(
            "1,000 purges in {} commits and {} bytes",
            metrics.journal.commits.get(),
            metrics.journal.written_bytes.get()
        );
        let after = stage_on(&Arc::new(device.after_kill()));
        for key in &keys {
            assert!(is_gone(&after, key).await);
        }
    });
}

#[test]
fn a_cache_that_was_closed_refuses_to_acknowledge_a_purge_and_obeys_it() {
    story(async {
        let device = Arc::new(MemoryDevice::new(32 * MIB));
        let stage = stage_on(&device);
        let key = key("/a");
        stage.fill(&key, &body(1000, 1)).await;
        copied(&stage, 1).await;
        stage.cache.close().await;
        let said = purge(&stage, url(&key), Mode::Hard).await;
        assert!(
            matches!(said, Err(PurgeError::NotDurable(_))),
            "its successor keeps the journal"
        );
        assert!(is_gone(&stage, &key).await);
    });
}
