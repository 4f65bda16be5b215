//! Variants as the engine keeps them: found under their URL, bounded, purged with it, there after a restart.

use crate::stage::{KIB, MIB, Stage, body, eventually, head, joined, key, outcome, pour, reads_as, story};
use bytes::Bytes;
use cache::{
    Claim, Disk, Head, Key, Lead, LookUp, Object, Outcome, Varying,
    disk::{Device, DiskMetrics, MemoryDevice, Options},
    policy::vary::Names,
    purge::{Mode, Purge, What},
    variation::VARIANTS_MAX,
};
use http::{HeaderMap, HeaderValue};
use model::Moment;
use prometheus::Registry;
use std::{sync::Arc, time::Duration};

const RAM: u64 = 64 * MIB;
const FILLS: u64 = 16 * MIB;

fn names(list: &'static str) -> Names {
    let mut fields = HeaderMap::new();
    fields.insert("vary", HeaderValue::from_static(list));
    Names::of(&fields).expect("it matches")
}

/// The variant of `/a` for a language.
fn variant(language: &str) -> Key {
    let mut request = HeaderMap::new();
    request.insert(
        "accept-language",
        HeaderValue::from_str(language).expect("a language"),
    );
    names("accept-language")
        .variant(&key("/a"), &request)
        .expect("short enough")
}

fn tagged(key: &Key, length: u64) -> Head {
    let mut head = head(key, Some(length));
    head.fields.insert("cache-tag", HeaderValue::from_static("film"));
    head
}

/// Fills the variant of `/a` for a language through `lead`.
async fn fill(lead: Lead, language: &str, body: &Bytes) -> Object {
    let (primary, names, variant) = (key("/a"), names("accept-language"), variant(language));
    let varying = Varying {
        primary: &primary,
        names: &names,
        variant: &variant,
        seen: None,
    };
    let started = lead.start_variant(&varying, tagged(&variant, body.len() as u64));
    let Ok(mut filler) = started else {
        panic!("{variant} is being filled")
    };
    pour(&mut filler, body).await;
    filler.finish()
}

/// What a request for `/a` in a language finds.
async fn find(stage: &Stage, language: &str) -> Option<Object> {
    match stage.cache.look_up(&key("/a")).await {
        LookUp::Hit(object) if object.head().variation().is_some() => {
            match stage.cache.look_up(&variant(language)).await {
                LookUp::Hit(object) => Some(object),
                _ => None,
            }
        }
        LookUp::Hit(object) => Some(object),
        _ => None,
    }
}

fn open(device: &Arc<MemoryDevice>) -> Disk {
    let options = Options {
        region_bytes: MIB,
        commit_delay: Duration::from_millis(1),
        ..Options::default()
    };
    let metrics = DiskMetrics::register(&Registry::new(), "memory").expect("a registry of its own");
    Disk::open(Arc::clone(device) as Arc<dyn Device>, options, metrics).expect("a disk")
}

#[test]
fn those_who_wait_for_a_url_whose_answer_varies_are_told_to_choose() {
    story(async {
        let stage = Stage::in_memory(RAM, FILLS);
        let (dutch, english) = (body(100 * KIB, 1), body(70, 2));
        let lead = stage.lead(&key("/a"));
        let waiting = stage.cache.claim(&key("/a"), None);
        fill(lead, "nl", &dutch).await;
        let told = joined(waiting).await;
        let variation = told.head().variation().expect("not an answer");
        assert_eq!(variation.names(), &names("accept-language"));
        assert_eq!(variation.len(), 1);

        let found = find(&stage, "nl")
            .await
            .expect("the one who waited in Dutch has it");
        assert!(reads_as(&found, &dutch).await);
        assert!(find(&stage, "en").await.is_none());
        fill(stage.lead(&variant("en")), "en", &english).await;
        for (language, body) in [("nl", &dutch), ("en", &english)] {
            assert!(reads_as(&find(&stage, language).await.unwrap(), body).await);
        }
    });
}

#[test]
fn a_variant_that_somebody_fetches_already_is_not_fetched_over_it() {
    story(async {
        let stage = Stage::in_memory(RAM, FILLS);
        let other = stage.lead(&variant("nl"));
        let (primary, names, variant) = (key("/a"), names("accept-language"), variant("nl"));
        let varying = Varying {
            primary: &primary,
            names: &names,
            variant: &variant,
            seen: None,
        };
        let refused = stage
            .lead(&primary)
            .start_variant(&varying, head(&variant, Some(1)));
        let Err(lead) = refused else {
            panic!("two fills of one variant")
        };
        assert_eq!(lead.key(), &primary);
        let waiting = stage.cache.claim(&primary, None);
        lead.uncacheable(Duration::ZERO);
        assert!(matches!(outcome(waiting).await, Outcome::Uncacheable));
        fill(other, "nl", &body(5, 1)).await;
        assert!(find(&stage, "nl").await.is_some());
    });
}

#[test]
fn an_answer_for_everybody_is_what_everybody_gets_who_waits_or_comes_later() {
    story(async {
        let stage = Stage::in_memory(RAM, FILLS);
        fill(stage.lead(&key("/a")), "nl", &body(10, 1)).await;
        let plain = body(10, 2);
        let lead = stage.lead(&variant("en"));
        let waiting = stage.cache.claim(&variant("en"), None);
        let Ok(mut filler) = lead.start_plain(&key("/a"), head(&key("/a"), Some(10))) else {
            panic!("nobody else fetches it")
        };
        assert!(
            stage.cache.peek(&key("/a")).is_none(),
            "nothing leads to variants any more"
        );
        let growing = joined(waiting).await;
        let found = find(&stage, "nl")
            .await
            .expect("who comes while it grows joins it");
        pour(&mut filler, &plain).await;
        filler.finish();
        for object in [growing, found, find(&stage, "de").await.unwrap()] {
            assert_eq!(object.head().key, key("/a"));
            assert!(reads_as(&object, &plain).await);
        }
    });
}

#[test]
fn a_url_keeps_as_many_variants_as_the_bound_and_the_first_goes() {
    story(async {
        let stage = Stage::in_memory(RAM, FILLS);
        fill(stage.lead(&key("/a")), "0", &body(1, 0)).await;
        for number in 1..=VARIANTS_MAX as u64 {
            let language = number.to_string();
            fill(stage.lead(&variant(&language)), &language, &body(1, number)).await;
        }
        assert_eq!(stage.count("variants_displaced_total"), 1);
        assert!(find(&stage, "0").await.is_none());
        for number in 1..=VARIANTS_MAX {
            assert!(find(&stage, &number.to_string()).await.is_some(), "{number}");
        }
        // Filled again, one takes no second place.
        let Claim::Lead(lead) = stage
            .cache
            .claim(&variant("7"), Some(find(&stage, "7").await.unwrap().head()))
        else {
            panic!("it was asked for anew")
        };
        fill(lead, "7", &body(1, 7)).await;
        assert_eq!(stage.count("variants_displaced_total"), 1);
    });
}

#[test]
fn every_purge_of_a_url_covers_its_variants() {
    let of_demo = |what: fn(Box<str>) -> What| what("demo".into());
    let all = [
        What::Url(key("/a")),
        of_demo(|service| What::Prefix {
            service,
            path: "/a".into(),
        }),
        of_demo(|service| What::Tag {
            service,
            tag: "film".into(),
        }),
        of_demo(What::Service),
    ];
    for what in all {
        story(async {
            let device = Arc::new(MemoryDevice::new(32 * MIB));
            let stage = Stage::over(Some(open(&device)), RAM, FILLS);
            fill(stage.lead(&key("/a")), "nl", &body(100 * KIB, 1)).await;
            fill(stage.lead(&variant("en")), "en", &body(10, 2)).await;
            eventually("the disk copies are there", || {
                stage.count("copies_total{kept}") == 2
            })
            .await;
            let purge = Purge {
                what: what.clone(),
                mode: Mode::Hard,
                not_before: 0,
            };
            stage
                .cache
                .purge(&purge, Moment(1_700_000_060_000))
                .await
                .unwrap();
            for language in ["nl", "en"] {
                assert!(
                    find(&stage, language).await.is_none(),
                    "{language} after {what:?}"
                );
                assert!(
                    stage.cache.peek(&variant(language)).is_none(),
                    "{language} after {what:?}"
                );
                assert!(
                    stage.is_absent(&variant(language)).await,
                    "{language} after {what:?}"
                );
            }
            stage.cache.close().await;
            let again = Stage::over(Some(open(&device)), RAM, FILLS);
            for language in ["nl", "en"] {
                assert!(
                    again.is_absent(&variant(language)).await,
                    "{language}, restarted, after {what:?}"
                );
            }
        });
    }
}

#[test]
fn variants_and_what_leads_to_them_are_there_after_a_restart() {
    story(async {
        let device = Arc::new(MemoryDevice::new(32 * MIB));
        let stage = Stage::over(Some(open(&device)), RAM, FILLS);
        let bodies = [
            ("nl", body(100 * KIB, 1)),
            ("en", body(10, 2)),
            ("de", body(500 * KIB, 3)),
        ];
        let mut lead = Some(stage.lead(&key("/a")));
        for (language, body) in &bodies {
            let lead = lead.take().unwrap_or_else(|| stage.lead(&variant(language)));
            fill(lead, language, body).await;
        }
        eventually("the disk copies are there", || {
            stage.count("copies_total{kept}") == 3
        })
        .await;
        stage.cache.close().await;
        let again = Stage::over(Some(open(&device)), RAM, FILLS);
        for (language, body) in &bodies {
            let found = find(&again, language).await.expect(language);
            assert!(reads_as(&found, body).await, "{language}");
        }
        let LookUp::Hit(mark) = again.cache.look_up(&key("/a")).await else {
            panic!("what leads to the variants is gone")
        };
        assert_eq!(mark.head().variation().map(|variation| variation.len()), Some(3));
    });
}
