//! SIGTERM: whoever was accepted is served to the end, then the daemon is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use testkit::cdn::Cdn;
use testkit::client::{Client, ClientError, Request, crowd, run};
use testkit::origin::{Gate, Reply};
use testkit::{body, eventually, eventually_async};

use crate::{EDGE, one_of_each};

/// How soon after its last connection a daemon is gone: it flushes its log and cache and ends.
const GONE_SOON: Duration = Duration::from_secs(5);

fn connections(cdn: &Cdn) -> f64 {
    cdn.daemon(EDGE).metric("millrace_front_connections", &[])
}

fn is_listening(cdn: &Cdn) -> bool {
    std::net::TcpStream::connect(cdn.addresses(EDGE).http).is_ok()
}

#[test]
fn six_hundred_downloads_end_whole_and_the_daemon_with_the_last_of_them() {
    const CLIENTS: usize = 600;
    const LENGTH: usize = 200_000;
    let mut cdn = one_of_each();
    let gate = Gate::closed();
    cdn.origin()
        .on("/a", Reply::generated("a", LENGTH).held_at(100_000, &gate));
    let expected = body("a", LENGTH);
    let clients: [Client; 3] = [cdn.http(EDGE), cdn.https(EDGE), cdn.http2(EDGE)];
    let busy = Arc::new(AtomicUsize::new(0));
    let crowd = std::thread::spawn({
        let busy = Arc::clone(&busy);
        move || {
            crowd(CLIENTS, |index| {
                let (client, expected, busy) =
                    (clients[index % 3].clone(), expected.clone(), Arc::clone(&busy));
                async move {
                    let mut connection = client.connect().await?;
                    let mut exchange = connection.begin(&Request::get("/a")).await?;
                    let begun = exchange.at_least(1).await?;
                    busy.fetch_add(1, Ordering::Relaxed);
                    exchange.compare(&expected[begun.len()..]).await
                }
            })
        }
    });
    eventually(Duration::from_secs(60), || {
        let busy = busy.load(Ordering::Relaxed);
        if busy == CLIENTS {
            Ok(())
        } else {
            Err(format!("{busy} of {CLIENTS} clients are busy"))
        }
    });
    cdn.daemon(EDGE).terminate();
    eventually(Duration::from_secs(10), || {
        cdn.daemon(EDGE)
            .admin("/ready")
            .map_or(true, |response| response.status() == 503)
    });
    // New clients are refused once the accept queue is emptied, and the old ones still wait for their bytes.
    eventually(Duration::from_secs(10), || {
        cdn.http(EDGE).try_send(&Request::get("/b")).is_err()
    });
    assert!(
        cdn.daemon_mut(EDGE).has_ended().is_none(),
        "six hundred downloads are under way"
    );
    gate.open();
    let outcomes = crowd.join().unwrap();
    let ended = Instant::now();
    let failed: Vec<_> = outcomes.iter().filter(|outcome| outcome.is_err()).collect();
    assert!(
        failed.is_empty(),
        "{} of {CLIENTS} failed, such as {:?}",
        failed.len(),
        failed[0]
    );
    let status = cdn.daemon_mut(EDGE).await_end(Duration::from_secs(30));
    assert!(status.success(), "{status}");
    assert!(
        ended.elapsed() < GONE_SOON,
        "{:?} after the last download",
        ended.elapsed()
    );
}

#[test]
fn connections_that_are_busy_asking_lose_no_answer() {
    const CLIENTS: usize = 600;
    let mut cdn = one_of_each();
    cdn.origin().on("/a", Reply::generated("a", 2000));
    assert_eq!(cdn.http(EDGE).get("/a").status(), 200);
    let expected = body("a", 2000);
    let client = cdn.http(EDGE);
    let crowd = std::thread::spawn(move || {
        crowd(CLIENTS, |_| {
            let (client, expected) = (client.clone(), expected.clone());
            async move {
                let mut connection = client.connect().await?;
                let mut answers = 0_u64;
                loop {
                    let head = connection
                        .begin(&Request::get("/a"))
                        .await?
                        .compare(&expected)
                        .await?;
                    answers += 1;
                    if head.field("connection") == Some("close") {
                        return Ok::<u64, ClientError>(answers);
                    }
                }
            }
        })
    });
    eventually(Duration::from_secs(60), || connections(&cdn) >= CLIENTS as f64);
    cdn.daemon(EDGE).terminate();
    let outcomes = crowd.join().unwrap();
    let failed: Vec<_> = outcomes.iter().filter(|outcome| outcome.is_err()).collect();
    assert!(
        failed.is_empty(),
        "{} of {CLIENTS} got no answer, such as {:?}",
        failed.len(),
        failed[0]
    );
    assert!(cdn.daemon_mut(EDGE).await_end(Duration::from_secs(30)).success());
}

#[test]
fn idle_connections_do_not_hold_a_drain_up() {
    let mut cdn = one_of_each();
    cdn.origin().on("/a", Reply::ok("a"));
    run(async {
        let mut idle = Vec::new();
        for client in [cdn.http(EDGE), cdn.https(EDGE), cdn.http2(EDGE), cdn.http(EDGE)] {
            let mut connection = client.connect().await.unwrap();
            assert_eq!(connection.send(&Request::get("/a")).await.unwrap().status(), 200);
            idle.push(connection);
        }
        let silent = cdn.http(EDGE).connect().await.unwrap();
        let began = Instant::now();
        cdn.daemon(EDGE).terminate();
        eventually_async(Duration::from_secs(20), || {
            cdn.daemon_mut(EDGE).has_ended().is_some()
        })
        .await;
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
        drop((idle, silent));
    });
    assert!(cdn.daemon_mut(EDGE).await_end(GONE_SOON).success());
}

/// A CDN whose edge takes on clients for so long after it was told to end.
fn delayed(delay: &'static str) -> Cdn {
    crate::builder()
        .parents("ams", 1)
        .edges("ams", 1)
        .settings(model::Tier::Edge, move |settings| {
            settings.text("listen", "drain_delay", delay);
        })
        .start()
}

#[test]
fn who_is_still_sent_there_during_the_delay_is_served() {
    let cdn = delayed("1h");
    cdn.origin().on("/a", Reply::generated("a", 2000));
    cdn.daemon(EDGE).terminate();
    eventually(Duration::from_secs(10), || {
        cdn.daemon(EDGE).admin("/ready").unwrap().status() == 503
    });
    let health = Request::get("/healthz").field("Host", EDGE);
    for client in [cdn.http(EDGE), cdn.https(EDGE), cdn.http2(EDGE)] {
        let answer = client.get("/a");
        assert_eq!((answer.status(), answer.body == body("a", 2000)), (200, true));
    }
    let told = cdn.http(EDGE).host(EDGE).send(&health);
    assert_eq!(told.status(), 503, "who probes is told: {told:?}");
    cdn.daemon(EDGE).hang_up();
    eventually(Duration::from_secs(10), || {
        let told = cdn.daemon(EDGE).errors();
        told.iter()
            .any(|line| line.contains("reloading: snapshot, certificates, access log"))
    });
}

#[test]
fn after_the_delay_it_drains() {
    let mut cdn = delayed("200ms");
    cdn.daemon(EDGE).terminate();
    assert!(cdn.daemon_mut(EDGE).await_end(Duration::from_secs(20)).success());
    assert!(!is_listening(&cdn));
}

#[test]
fn what_is_still_busy_when_the_time_is_up_is_cut() {
    let mut cdn = crate::builder()
        .parents("ams", 1)
        .edges("ams", 1)
        .settings(model::Tier::Edge, |settings| {
            settings.text("listen", "drain_timeout", "1s");
        })
        .start();
    let gate = Gate::closed();
    cdn.origin()
        .on("/a", Reply::generated("a", 2000).held_at(1000, &gate));
    run(async {
        let mut connection = cdn.http(EDGE).connect().await.unwrap();
        let mut exchange = connection.begin(&Request::get("/a")).await.unwrap();
        exchange.at_least(1000).await.unwrap();
        cdn.daemon(EDGE).terminate();
        let cut = exchange.rest().await;
        assert!(
            matches!(cut, Err(ClientError::Truncated { .. } | ClientError::Reset)),
            "{cut:?}"
        );
    });
    let _ = cdn.daemon_mut(EDGE).await_end(Duration::from_secs(10));
}

#[test]
fn a_second_sigterm_ends_it_at_once() {
    let mut cdn = one_of_each();
    let gate = Gate::closed();
    cdn.origin()
        .on("/a", Reply::generated("a", 2000).held_at(1000, &gate));
    run(async {
        let mut connection = cdn.http(EDGE).connect().await.unwrap();
        let mut exchange = connection.begin(&Request::get("/a")).await.unwrap();
        exchange.at_least(1000).await.unwrap();
        cdn.daemon(EDGE).terminate();
        eventually_async(Duration::from_secs(10), || !is_listening(&cdn)).await;
        cdn.daemon(EDGE).terminate();
        let cut = exchange.rest().await;
        assert!(
            matches!(cut, Err(ClientError::Truncated { .. } | ClientError::Reset)),
            "{cut:?}"
        );
    });
    let _ = cdn.daemon_mut(EDGE).await_end(Duration::from_secs(5));
}
