//! Objects while they grow: ranges, bounds on memory, readers that fall behind.

use crate::stage::{KIB, MIB, Stage, body, head, key, pour, read, story};
use cache::ReadError;

#[test]
fn ranges_of_a_growing_object_are_answered_as_soon_as_their_bytes_are_there() {
    story(async {
        let stage = Stage::in_memory(64 * MIB, 16 * MIB);
        let key = key("/film.mp4");
        let body = body(MIB + 100, 8);
        let mut filler = stage.lead(&key).start(head(&key, Some(body.len() as u64)));
        let object = filler.object();
        let across = tokio::spawn({
            let object = object.clone();
            async move { read(&object, 200 * KIB..=300 * KIB).await }
        });
        let last = tokio::spawn({
            let object = object.clone();
            async move { read(&object, MIB..).await }
        });
        pour(&mut filler, &body.slice(..600_000)).await;
        assert!(across.await.expect("no panic").expect("whole") == body[200 << 10..=300 << 10]);
        assert!(!last.is_finished());
        assert!(read(&object, 5..5).await.expect("empty").is_empty());
        assert!(read(&object, 10..20).await.expect("there") == body[10..20]);
        assert!(object.covers(&(0..body.len() as u64)));
        assert!(!object.covers(&(0..body.len() as u64 + 1)));
        pour(&mut filler, &body.slice(600_000..)).await;
        assert!(last.await.expect("no panic").expect("whole") == body[1 << 20..]);
        let kept = filler.finish();
        for range in [
            0..1,
            262_143..262_145,
            262_144..524_288,
            1_048_575..body.len() as u64 + 50,
        ] {
            let expected = &body[range.start as usize..body.len().min(range.end as usize)];
            assert!(
                read(&kept, range.clone()).await.expect("kept") == expected,
                "{range:?}"
            );
            assert!(
                read(&object, range.clone()).await.expect("grown") == expected,
                "{range:?}"
            );
        }
        assert!(
            read(&kept, body.len() as u64..)
                .await
                .expect("past the end")
                .is_empty()
        );
    });
}

#[test]
fn a_reader_dropped_in_mid_wait_loses_nothing() {
    story(async {
        let stage = Stage::in_memory(MIB, MIB);
        let key = key("/a");
        let body = body(1000, 9);
        let mut filler = stage.lead(&key).start(head(&key, Some(1000)));
        let mut reader = filler.object().reader(..);
        for step in 0..10 {
            tokio::select! {
                biased;
                piece = reader.next() => panic!("{piece:?} out of nowhere"),
                () = tokio::task::yield_now() => {}
            }
            let piece = body.slice(step * 100..(step + 1) * 100);
            filler.append(piece.clone()).await.expect("within");
            assert_eq!(reader.next().await, Ok(Some(piece)));
        }
    });
}

#[test]
fn an_upstream_that_sends_byte_by_byte_is_followed_byte_by_byte() {
    story(async {
        let stage = Stage::in_memory(MIB, MIB);
        let key = key("/drip");
        let body = body(9000, 10);
        let mut filler = stage.lead(&key).start(head(&key, None));
        let mut reader = filler.object().reader(..);
        for at in 0..body.len() {
            filler
                .append(body.slice(at..=at))
                .await
                .expect("no announced length");
            assert_eq!(reader.try_next().expect("there"), body[at..=at]);
        }
        assert!(read(&filler.finish(), ..).await.expect("whole") == body);
    });
}

#[test]
fn without_a_disk_a_fill_larger_than_all_memory_goes_on_in_bounded_memory_and_laggards_are_told() {
    story(async {
        let stage = Stage::in_memory(2 * MIB, 2 * MIB);
        let key = key("/long.mp4");
        let length = 24 * MIB;
        let body = body(length, 11);
        let mut filler = stage.lead(&key).start(head(&key, Some(length)));
        let object = filler.object();
        let (mut close, mut far) = (object.reader(..), object.reader(..));
        assert!(far.try_next().is_none());
        let mut followed = Vec::new();
        for at in (0..body.len()).step_by(64 << 10) {
            filler
                .append(body.slice(at..at + (64 << 10)))
                .await
                .expect("within");
            assert!(
                stage.count("fill_bytes") <= 2 * MIB,
                "{} at {at}",
                stage.count("fill_bytes")
            );
            while let Some(piece) = close.try_next() {
                followed.extend_from_slice(&piece);
            }
        }
        drop(filler.finish());
        assert_eq!(close.next().await, Ok(None));
        assert!(followed == body, "who keeps up gets every byte");
        assert_eq!(far.next().await, Err(ReadError::Lagged));
        assert_eq!(far.next().await, Err(ReadError::Lagged));
        assert_eq!(far.position(), 0, "from where to fetch the rest");
        assert_eq!(stage.count("lagged_readers_total"), 1, "counted once");
        assert!(stage.count("spilled_bytes_total") >= 22 * MIB);
        assert!(!object.covers(&(0..1)) && object.covers(&(length - 1..length)));
        assert!(
            stage.is_absent(&key).await,
            "what cannot be kept whole is not kept"
        );
        drop((object, close, far));
        assert_eq!(stage.count("fill_bytes"), 0);
    });
}

#[test]
fn the_memory_of_many_fills_together_stays_within_its_bound() {
    story(async {
        let stage = Stage::in_memory(64 * MIB, 4 * MIB);
        let body = body(MIB, 12);
        let mut fillers: Vec<_> = (0..12)
            .map(|number| {
                let key = key(&format!("/{number}"));
                stage.lead(&key).start(head(&key, Some(MIB)))
            })
            .collect();
        let objects: Vec<_> = fillers.iter().map(|filler| filler.object()).collect();
        for at in (0..body.len()).step_by(32 << 10) {
            for filler in &mut fillers {
                filler
                    .append(body.slice(at..at + (32 << 10)))
                    .await
                    .expect("within");
                assert!(stage.count("fill_bytes") <= 4 * MIB);
            }
        }
        for filler in fillers {
            drop(filler.finish());
        }
        for object in &objects {
            assert!(read(object, ..).await.expect("RAM has what the fills let go") == body);
        }
        assert_eq!(stage.count("lagged_readers_total"), 0);
        assert!(stage.count("spilled_bytes_total") >= 8 * MIB);
        drop(objects);
        assert_eq!(stage.count("fill_bytes"), 0);
    });
}

#[test]
fn the_ram_tier_stays_within_its_budget_under_a_flood_of_small_objects() {
    story(async {
        let stage = Stage::in_memory(4 * MIB, 4 * MIB);
        let body = body(3 * KIB, 13);
        for number in 0..4000 {
            stage.fill(&key(&format!("/{number}")), &body).await;
            assert!(stage.count("ram_bytes") <= 4 * MIB);
        }
        assert!(stage.count("ram_bytes") > 3 * MIB, "and is used");
        assert!(stage.cache.peek(&key("/3999")).is_some());
        assert!(stage.cache.peek(&key("/0")).is_none());
    });
}
