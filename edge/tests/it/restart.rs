//! kill -9 and back: what was stored is served from disk, to the byte.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use model::Tier;
use testkit::cdn::Cdn;
use testkit::client::{Request, run};
use testkit::origin::Reply;
use testkit::{Chance, body, seed, sha256};

use crate::{EDGE, builder, results};

/// What ended so long before the end is on disk (DESIGN of the engine: at most the last second is lost).
const DURABLE_AFTER: Duration = Duration::from_secs(1);

fn with_disk() -> Cdn {
    builder()
        .parents("ams", 1)
        .edges("ams", 1)
        .settings(Tier::Edge, |settings| {
            // Room for all that the players bring: what has to make room for newer objects is not there afterwards.
            settings.text("cache", "ram", "16MiB").disk("1GiB");
        })
        .start()
}

fn length_of(path: &str) -> usize {
    let mut chance = Chance::named(path);
    // From far below one checksum block to more than one part.
    [700, 33_000, 200_000, 1_500_000, 5_000_000][chance.below(5) as usize] + chance.below(500) as usize
}

fn serve_everything(cdn: &Cdn) {
    cdn.origin().on_prefix("/", |request| {
        Reply::ok(body(request.path(), length_of(request.path()))).field("Content-Type", "video/mp4")
    });
}

#[test]
fn every_segment_that_was_whole_a_second_before_kill_9_is_served_from_disk_afterwards() {
    let mut cdn = with_disk();
    serve_everything(&cdn);
    let mut chance = Chance::new(seed());
    let running = Arc::new(AtomicBool::new(true));
    let ended: Arc<Mutex<BTreeMap<String, Instant>>> = Arc::default();
    // Four players ask for one new segment after the other, until the edge dies under them.
    let players: Vec<_> = (0..4)
        .map(|player| {
            let (client, running, ended) = (cdn.http(EDGE), Arc::clone(&running), Arc::clone(&ended));
            let mut chance = Chance::new(chance.next_u64());
            std::thread::spawn(move || {
                let mut number = 0;
                while running.load(Ordering::Relaxed) {
                    let path = format!("/title{player}/{number}-{}.m4s", chance.below(1000));
                    number += 1;
                    let Ok(response) = client.try_send(&Request::get(&path)) else {
                        continue;
                    };
                    assert_eq!(response.body, body(&path, length_of(&path)), "{path}");
                    ended.lock().unwrap().insert(path, Instant::now());
                }
            })
        })
        .collect();
    let durable = testkit::eventually(Duration::from_secs(60), || {
        let ended = ended.lock().unwrap();
        let long_ago = ended.iter().filter(|(_, at)| at.elapsed() >= DURABLE_AFTER);
        let durable: Vec<String> = long_ago.map(|(path, _)| path.clone()).collect();
        Some(durable).filter(|durable| durable.len() >= 30)
    });
    let given_up = cdn
        .daemon(EDGE)
        .metric("millrace_cache_disk_regions_reclaimed_total", &[]);
    cdn.daemon_mut(EDGE).kill9();
    running.store(false, Ordering::Relaxed);
    assert_eq!(given_up, 0.0, "nothing had to make room");
    players.into_iter().for_each(|player| player.join().unwrap());

    cdn.daemon_mut(EDGE).launch_again();
    cdn.daemon_mut(EDGE).await_ready();
    let asked_before = (
        cdn.origin().total(),
        cdn.daemon("parent-ams-1").metric("millrace_requests_total", &[]),
    );
    let client = cdn.http(EDGE);
    for path in &durable {
        let response = client.get(path);
        let expected = body(path, length_of(path));
        response
            .expect(200)
            .field("Content-Type", "video/mp4")
            .field("Cache-Control", "max-age=3600")
            .field_with("Cache-Status", &["parent-ams-1", "edge-ams-1; hit"])
            .any("Via")
            .any("Age")
            .any("X-Region")
            .any("Accept-Ranges")
            .and_no_other_field();
        assert_eq!(sha256(&response.body), sha256(&expected), "{path}");
    }
    let asked_after = (
        cdn.origin().total(),
        cdn.daemon("parent-ams-1").metric("millrace_requests_total", &[]),
    );
    assert_eq!(asked_before, asked_after, "nothing of it was asked for again");
    assert_eq!(results(&cdn, EDGE, "hit"), durable.len() as f64);
}

#[test]
fn an_orderly_end_keeps_everything_on_disk() {
    let mut cdn = with_disk();
    serve_everything(&cdn);
    let paths: Vec<String> = (0..20).map(|number| format!("/title/{number}.m4s")).collect();
    for path in &paths {
        assert_eq!(cdn.http(EDGE).get(path).status(), 200);
    }
    cdn.daemon(EDGE).terminate();
    assert!(cdn.daemon_mut(EDGE).await_end(Duration::from_secs(20)).success());
    cdn.daemon_mut(EDGE).launch_again();
    cdn.daemon_mut(EDGE).await_ready();
    let asked = cdn.daemon("parent-ams-1").metric("millrace_requests_total", &[]);
    for path in &paths {
        let response = cdn.http(EDGE).get(path);
        assert_eq!(
            (response.status(), &response.body),
            (200, &body(path, length_of(path))),
            "{path}"
        );
        let part = run(cdn
            .http(EDGE)
            .fetch(&Request::get(path).field("Range", "bytes=100-299")))
        .unwrap();
        assert_eq!(
            (part.status(), &part.body[..]),
            (206, &body(path, length_of(path))[100..300]),
            "{path}"
        );
    }
    assert_eq!(
        cdn.daemon("parent-ams-1").metric("millrace_requests_total", &[]),
        asked
    );
}

#[test]
fn a_second_daemon_on_the_same_device_is_refused_with_a_clear_line() {
    let cdn = with_disk();
    let second = testkit::process::run_to_end(
        cdn.binary(EDGE),
        &["--config", cdn.config(EDGE).to_str().unwrap()],
        Duration::from_secs(20),
    );
    assert_eq!(second.status.code(), Some(1), "{:?}", second.errors);
    assert!(!second.errors.is_empty());
    serve_everything(&cdn);
    assert_eq!(
        cdn.http(EDGE).get("/title/1.m4s").status(),
        200,
        "the first one goes on"
    );
}

#[test]
fn an_answer_whose_bytes_the_disk_lost_goes_on_from_upstream() {
    const LENGTH: usize = 8_000_000;
    let mut cdn = with_disk();
    for (path, tag) in [("/a/sound.m4s", "\"one\""), ("/a/weak.m4s", "W/\"one\"")] {
        cdn.origin()
            .on(path, Reply::generated(path, LENGTH).field("ETag", tag));
        assert_eq!(cdn.http(EDGE).get(path).body, body(path, LENGTH));
    }
    // The edge ends in order, so that all is on the device; a byte in the second part of each object then changes.
    cdn.daemon(EDGE).terminate();
    cdn.daemon_mut(EDGE).await_end(Duration::from_secs(20));
    let device = cdn.cache_device(EDGE, 0);
    let mut bytes = std::fs::read(&device).unwrap();
    for path in ["/a/sound.m4s", "/a/weak.m4s"] {
        let part = &body(path, LENGTH)[5_000_000..5_000_064];
        let at = memchr::memmem::find(&bytes, part).unwrap();
        bytes[at] ^= 1;
    }
    std::fs::write(&device, &bytes).unwrap();
    cdn.daemon_mut(EDGE).launch_again();
    cdn.daemon_mut(EDGE).await_ready();

    // A parent is asked once for the whole, and the client never learns of it.
    let sound = cdn.http(EDGE).get("/a/sound.m4s");
    assert_eq!(sound.body, body("/a/sound.m4s", LENGTH));
    assert_eq!(
        cdn.daemon(EDGE).metric("millrace_responses_resumed_total", &[]),
        1.0
    );
    assert_eq!(results(&cdn, EDGE, "hit"), 1.0);
    // Without a strong validator nobody can tell that upstream still has the same bytes.
    assert!(cdn.http(EDGE).try_send(&Request::get("/a/weak.m4s")).is_err());
    assert_eq!(cdn.daemon(EDGE).metric("millrace_responses_cut_total", &[]), 1.0);
    assert_eq!(
        cdn.http(EDGE).get("/a/weak.m4s").body,
        body("/a/weak.m4s", LENGTH)
    );
    assert_eq!(cdn.origin().total(), 2, "the parent had them");
}
