//! Fills that do not end well: readers get an error, never a short success.

use crate::stage::{MIB, Stage, body, head, key, outcome, pour, read, story};
use bytes::Bytes;
use cache::{Claim, Failure, Filler, Object, Outcome, Overrun, ReadError};
use http::StatusCode;

/// How a fill of 1,000 announced bytes may go wrong after 600.
#[derive(Clone, Copy, Debug)]
enum Mishap {
    Abort,
    Drop,
    FinishShort,
    TooLong,
}

async fn suffer(mishap: Mishap, mut filler: Filler) -> Option<Object> {
    match mishap {
        Mishap::Abort => {
            let failure = Failure::new(StatusCode::BAD_GATEWAY, "connection_terminated", "reset by peer");
            filler.abort(failure);
            None
        }
        Mishap::Drop => None,
        Mishap::FinishShort => Some(filler.finish()),
        Mishap::TooLong => {
            let error = filler
                .append(Bytes::from(vec![0; 401]))
                .await
                .expect_err("one byte too many");
            assert_eq!(
                error,
                Overrun {
                    announced: Some(1000)
                }
            );
            assert_eq!(
                error.to_string(),
                "upstream sent more than the 1000 bytes it announced"
            );
            assert_eq!(
                filler.append(Bytes::new()).await,
                Err(Overrun { announced: None })
            );
            Some(filler.finish())
        }
    }
}

#[test]
fn an_aborted_fill_reaches_every_reader_as_an_error_and_leaves_nothing_behind() {
    story(async {
        for (mishap, error) in [
            (Mishap::Abort, "connection_terminated"),
            (Mishap::Drop, "proxy_internal_error"),
            (Mishap::FinishShort, "http_response_incomplete"),
            (Mishap::TooLong, "http_protocol_error"),
        ] {
            let stage = Stage::in_memory(MIB, MIB);
            let key = key("/film.mp4");
            let mut filler = stage.lead(&key).start(head(&key, Some(1000)));
            let object = filler.object();
            pour(&mut filler, &body(600, 5)).await;
            let mut early = object.reader(..);
            while early.position() < 600 {
                early.next().await.expect("bytes that came").expect("not the end");
            }
            let waiting = tokio::spawn(async move { early.next().await });
            let asked_length = tokio::spawn({
                let unknown = Object::clone(&object);
                async move { read(&unknown, 999..).await }
            });
            let returned = suffer(mishap, filler).await;

            let Err(ReadError::Aborted(failure)) = waiting.await.expect("no panic") else {
                panic!("{mishap:?}: a short success")
            };
            assert_eq!(
                (failure.error, failure.status),
                (error, StatusCode::BAD_GATEWAY),
                "{mishap:?}"
            );
            assert!(asked_length.await.expect("no panic").is_err(), "{mishap:?}");
            assert!(read(&object, ..).await.is_err(), "{mishap:?}");
            if let Some(returned) = returned {
                assert!(read(&returned, ..).await.is_err(), "{mishap:?}");
            }
            assert!(!object.covers(&(0..1)));
            assert!(
                stage.cache.peek(&key).is_none() && stage.is_absent(&key).await,
                "{mishap:?}"
            );
            assert_eq!(stage.count("fills_total{aborted}"), 1);
            assert_eq!(stage.count("fills_total{finished}"), 0);
            assert_eq!(stage.count("fill_bytes"), 0);
            assert_eq!(stage.count("fills_open"), 0);
            drop(stage.lead(&key));
        }
    });
}

#[test]
fn the_length_of_a_fill_without_content_length_is_an_error_when_it_aborts() {
    story(async {
        let stage = Stage::in_memory(MIB, MIB);
        let key = key("/chunked");
        let filler = stage.lead(&key).start(head(&key, None));
        let object = filler.object();
        let length = tokio::spawn(async move { object.length().await });
        drop(filler);
        assert!(matches!(
            length.await.expect("no panic"),
            Err(ReadError::Aborted(_))
        ));
    });
}

#[test]
fn an_eviction_during_a_fill_lets_its_readers_finish_and_keeps_nothing() {
    story(async {
        let stage = Stage::in_memory(MIB, MIB);
        let key = key("/purged.m4s");
        let old = body(2000, 6);
        let mut filler = stage.lead(&key).start(head(&key, Some(2000)));
        let object = filler.object();
        filler.append(old.slice(..700)).await.expect("within");
        stage.cache.evict(&key);
        assert!(stage.is_absent(&key).await);
        let new = body(300, 7);
        stage.fill(&key, &new).await;

        filler.append(old.slice(700..)).await.expect("within");
        let finished = filler.finish();
        assert!(read(&object, ..).await.expect("whole") == old);
        assert!(read(&finished, ..).await.expect("whole") == old);
        assert!(read(&stage.hit(&key).await, ..).await.expect("whole") == new);
        assert_eq!(stage.count("evicted_total"), 1);
    });
}

#[test]
fn joiners_of_an_evicted_flight_still_learn_its_outcome() {
    story(async {
        let stage = Stage::in_memory(MIB, MIB);
        let key = key("/a");
        let lead = stage.lead(&key);
        let join = stage.cache.claim(&key, None);
        stage.cache.evict(&key);
        let Claim::Lead(newer) = stage.cache.claim(&key, None) else {
            panic!("the flight was evicted")
        };
        drop(lead.start(head(&key, Some(0))).finish());
        assert!(matches!(outcome(join).await, Outcome::Object(_)));
        assert!(stage.cache.peek(&key).is_none());
        drop(newer.start(head(&key, Some(0))).finish());
        assert!(stage.cache.peek(&key).is_some());
    });
}
