//! What stays: small and large objects in RAM, refreshed heads, prepared heads.

use crate::stage::{MIB, Stage, body, head, head_fresh_for, joined, key, read, story};
use bytes::Bytes;
use cache::{Claim, Prepared, Source};
use std::{sync::Arc, time::Duration};

#[test]
fn a_small_object_is_found_whole_and_a_larger_one_in_chunks() {
    story(async {
        let stage = Stage::in_memory(64 * MIB, 16 * MIB);
        for (length, whole) in [
            (0, true),
            (1, true),
            (65_536, true),
            (65_537, false),
            (262_144, false),
            (5_000_000, false),
        ] {
            let key = key(&format!("/{length}"));
            let body = body(length, length);
            let filled = stage.fill(&key, &body).await;
            assert_eq!(filled.source(), Source::Fill);
            let object = stage.cache.peek(&key).expect("in RAM");
            assert_eq!(object.source(), Source::Ram);
            assert_eq!(object.whole().is_some(), whole, "{length}");
            assert_eq!(object.head().length, Some(length));
            assert_eq!(object.length().await, Ok(length));
            assert!(object.covers(&(0..length)) && !object.covers(&(0..length + 1)));
            assert!(!object.is_growing());
            assert!(read(&object, ..).await.expect("whole") == body, "{length}");
        }
        assert!(stage.cache.peek(&key("/2")).is_none());
        assert_eq!(stage.count("gone_readers_total"), 0);
    });
}

#[test]
fn a_refresh_keeps_version_and_bytes_and_reaches_those_who_joined_it() {
    story(async {
        let stage = Stage::in_memory(64 * MIB, 16 * MIB);
        for length in [700, 700_000] {
            let key = key(&format!("/{length}"));
            let body = body(length, 14);
            let old = stage.fill(&key, &body).await;
            let Claim::Lead(lead) = stage.cache.claim(&key, Some(old.head())) else {
                panic!("ours")
            };
            let join = stage.cache.claim(&key, Some(old.head()));
            let fresh = Duration::from_secs(7);
            let refreshed = lead.refreshed(old.head(), head_fresh_for(&key, None, fresh));
            for object in [refreshed, joined(join).await, stage.hit(&key).await] {
                assert_eq!(object.head().version, old.head().version);
                assert_eq!(object.head().length, Some(length));
                assert_eq!(object.head().freshness.lifetime, fresh);
                assert!(read(&object, ..).await.expect("the same bytes") == body);
            }
            // A refresh outside a flight, and one that comes too late for the object it was meant for.
            let again = stage
                .cache
                .refresh(old.head(), head_fresh_for(&key, None, fresh * 2));
            assert_eq!(again.head().freshness.lifetime, fresh * 2);
            stage.cache.evict(&key);
            let newer = stage.fill(&key, &body).await;
            let late = stage.cache.refresh(old.head(), head(&key, None));
            assert_eq!(late.head().version, newer.head().version);
        }
        assert_eq!(stage.count("refreshed_total"), 4);
        assert_eq!(stage.count("fills_open"), 0);
    });
}

#[test]
fn what_a_server_prepares_is_found_with_the_object_and_goes_with_its_head() {
    story(async {
        let stage = Stage::in_memory(MIB, MIB);
        let key = key("/a");
        let object = stage.fill(&key, &body(10, 15)).await;
        let bytes = Bytes::from_static(b"HTTP/1.1 200 OK\r\n");
        object.head().prepared().store(Some(Arc::new(Prepared {
            epoch: 3,
            bytes: bytes.clone(),
            compressible: false,
        })));
        let found = stage.cache.peek(&key).expect("in RAM");
        let prepared = found.head().prepared().load();
        assert_eq!(
            prepared
                .as_ref()
                .map(|prepared| (prepared.epoch, &prepared.bytes)),
            Some((3, &bytes))
        );
        let refreshed = stage.cache.refresh(object.head(), head(&key, None));
        assert!(refreshed.head().prepared().load().is_none());
    });
}
