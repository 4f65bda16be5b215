//! Many ask, one fetches.

use crate::stage::{
    KIB, MIB, Stage, body, eventually, head, joined, key, outcome, pour, read, reads_as, story,
};
use cache::{Claim, Failure, LookUp, Outcome, Source};
use http::StatusCode;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

#[test]
fn a_thousand_requests_for_a_cold_object_make_one_fetch_and_all_get_its_bytes() {
    story(async {
        let stage = Arc::new(Stage::in_memory(64 * MIB, 16 * MIB));
        let key = key("/film.mp4");
        let body = body(MIB + 77, 1);
        let leads = Arc::new(AtomicUsize::new(0));
        let requests: Vec<_> = (0..1000)
            .map(|_| {
                let (stage, key, body, leads) =
                    (Arc::clone(&stage), key.clone(), body.clone(), Arc::clone(&leads));
                tokio::spawn(async move {
                    let object = match stage.cache.look_up(&key).await {
                        LookUp::Hit(object) => object,
                        _ => match stage.cache.claim(&key, None) {
                            Claim::Lead(lead) => {
                                leads.fetch_add(1, Ordering::SeqCst);
                                let mut filler = lead.start(head(&key, Some(body.len() as u64)));
                                let object = filler.object();
                                let body = body.clone();
                                tokio::spawn(async move {
                                    pour(&mut filler, &body).await;
                                    drop(filler.finish());
                                });
                                object
                            }
                            claim @ Claim::Join(_) => joined(claim).await,
                        },
                    };
                    reads_as(&object, &body).await
                })
            })
            .collect();
        for request in requests {
            assert!(request.await.expect("no panic"), "wrong bytes, or an error");
        }
        assert_eq!(leads.load(Ordering::SeqCst), 1);
        assert_eq!(stage.count("fills_total{started}"), 1);
        assert_eq!(stage.count("fills_total{finished}"), 1);
        assert_eq!(stage.count("lagged_readers_total"), 0);
        assert_eq!(stage.hit(&key).await.source(), Source::Ram);
    });
}

#[test]
fn joiners_have_the_head_before_the_body_and_the_bytes_as_they_come() {
    story(async {
        let stage = Stage::in_memory(64 * MIB, 16 * MIB);
        let key = key("/live.m4s");
        let body = body(100 * KIB, 2);
        let lead = stage.lead(&key);
        let join = stage.cache.claim(&key, None);
        assert!(stage.is_absent(&key).await, "no head yet");
        let mut filler = lead.start(head(&key, None));

        let object = joined(join).await;
        assert!(object.is_growing());
        assert_eq!(object.source(), Source::Fill);
        assert_eq!(object.head().length, None);
        assert!(object.whole().is_none());
        assert!(object.covers(&(0..u64::MAX)), "what is to come counts as present");
        let mut reader = object.reader(..);
        assert!(reader.try_next().is_none());
        for at in [0..10, 10..50_000, 50_000..body.len()] {
            let piece = body.slice(at);
            filler.append(piece.clone()).await.expect("no announced length");
            assert_eq!(reader.next().await, Ok(Some(piece)));
        }
        assert!(reader.try_next().is_none());
        let late = stage.hit(&key).await;
        assert!(late.is_growing(), "a look-up during the fill finds it");

        let ended = tokio::spawn({
            let object = object.clone();
            async move { object.length().await }
        });
        let finished = filler.finish();
        assert_eq!(finished.head().length, Some(body.len() as u64));
        assert_eq!(ended.await.expect("no panic"), Ok(body.len() as u64));
        assert_eq!(reader.next().await, Ok(None));
        assert_eq!(reader.next().await, Ok(None));
        assert!(!object.is_growing());
        assert!(read(&late, ..).await.expect("whole") == body);
        assert_eq!(stage.count("look_ups_total{fill}"), 1);
    });
}

#[test]
fn departing_and_stalled_readers_delay_nobody() {
    story(async {
        let stage = Stage::in_memory(64 * MIB, 16 * MIB);
        let key = key("/film.mp4");
        let body = body(4 * MIB, 3);
        let mut filler = stage.lead(&key).start(head(&key, Some(body.len() as u64)));
        let object = filler.object();
        let mut stalled = object.reader(..);
        let departing = tokio::spawn({
            let mut reader = object.reader(..);
            async move { while let Ok(Some(_)) = reader.next().await {} }
        });
        filler.append(body.slice(..1000)).await.expect("within");
        assert!(stalled.next().await.expect("no error").is_some());
        departing.abort();
        // Nobody but the filler runs here: were it to wait for a reader, the story would hang.
        pour(&mut filler, &body.slice(1000..)).await;
        drop(filler.finish());
        let mut rest = Vec::new();
        while let Some(piece) = stalled.next().await.expect("nothing was lost") {
            rest.extend_from_slice(&piece);
        }
        assert!(rest == body[1000..], "a stalled reader takes up where it was");
    });
}

#[test]
fn every_way_a_lead_can_end_reaches_those_who_wait() {
    story(async {
        let stage = Stage::in_memory(MIB, MIB);
        let key = key("/index.m3u8");
        let wait = |claim| tokio::spawn(outcome(claim));

        let lead = stage.lead(&key);
        let waiting = wait(stage.cache.claim(&key, None));
        let refused = Failure::new(
            StatusCode::BAD_GATEWAY,
            "connection_refused",
            "10.0.0.1:80 refused",
        );
        lead.failed(refused.clone());
        assert!(matches!(waiting.await.expect("no panic"), Outcome::Failed(failure) if failure == refused));

        let lead = stage.lead(&key);
        let waiting = wait(stage.cache.claim(&key, None));
        drop(lead);
        let Outcome::Failed(failure) = waiting.await.expect("no panic") else {
            panic!("a dropped lead fails")
        };
        assert_eq!(
            (failure.status, failure.error),
            (StatusCode::BAD_GATEWAY, "proxy_internal_error")
        );

        let lead = stage.lead(&key);
        let waiting = wait(stage.cache.claim(&key, None));
        lead.uncacheable(Duration::from_millis(50));
        assert!(matches!(waiting.await.expect("no panic"), Outcome::Uncacheable));
        assert!(matches!(stage.cache.look_up(&key).await, LookUp::Uncacheable));
        assert!(matches!(
            outcome(stage.cache.claim(&key, None)).await,
            Outcome::Uncacheable
        ));
        eventually("what was remembered is forgotten in time", || {
            matches!(stage.cache.claim(&key, None), Claim::Lead(_))
        })
        .await;
        assert_eq!(stage.count("fills_open"), 0);
        assert_eq!(
            stage.count("fills_total{failed}"),
            3,
            "the last lead was dropped as well"
        );
        assert_eq!(stage.count("uncacheable_answers_total"), 1);
    });
}

#[test]
fn who_found_nothing_joins_the_fill_that_ended_meanwhile_and_who_found_it_stale_leads() {
    story(async {
        let stage = Stage::in_memory(MIB, MIB);
        let key = key("/a.m4s");
        assert!(stage.is_absent(&key).await);
        let first = stage.fill(&key, &body(500, 4)).await;
        let object = joined(stage.cache.claim(&key, None)).await;
        assert_eq!(object.head().version, first.head().version);

        let Claim::Lead(lead) = stage.cache.claim(&key, Some(first.head())) else {
            panic!("nothing newer than what was seen")
        };
        assert!(
            stage.cache.peek(&key).is_some(),
            "the stale object stays until there is a better one"
        );
        let second = lead.start(head(&key, Some(0))).finish();
        assert!(second.head().version > first.head().version);
        let object = joined(stage.cache.claim(&key, Some(first.head()))).await;
        assert_eq!(object.head().version, second.head().version);
        assert_eq!(object.whole().map(|whole| whole.len()), Some(0));
    });
}

#[test]
fn more_fills_at_once_than_their_memory_allows_are_refused_with_503() {
    story(async {
        let stage = Stage::in_memory(MIB, MIB);
        let leads: Vec<_> = (0..64)
            .map(|number| stage.lead(&key(&format!("/{number}"))))
            .collect();
        let Outcome::Failed(failure) = outcome(stage.cache.claim(&key("/one-more"), None)).await else {
            panic!("beyond the bound")
        };
        assert_eq!(failure.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(stage.count("refused_fills_total"), 1);
        drop(leads);
        drop(stage.lead(&key("/one-more")));
    });
}
