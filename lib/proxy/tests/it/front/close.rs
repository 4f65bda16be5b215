//! How the front door closes.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora_core::apps::ServerApp;
use pingora_core::protocols::Stream;
use pingora_core::server::ShutdownWatch;
use prometheus::Registry;
use proxy::front::{Application, CoreIndex, FrontConfig, FrontDoor, FrontError, Http1};
use testkit::client::{Client, ClientError, Request, crowd, run};

use super::house::{House, PATIENCE, config};

/// What became of the requests of one client.
#[derive(Debug, Default)]
struct Tally {
    answered: usize,
    /// Sent on a connection of its own, or behind an answer that did not say `close`, and never answered.
    unanswered: usize,
    /// Connections refused because the sockets are closed: never accepted, so nothing is lost.
    refused: usize,
}

/// Sends requests one after the other, as a browser would: on a kept connection until told to close it, then on a
/// new one, until nobody listens any more.
async fn keep_asking(client: Client, busy: Arc<AtomicUsize>) -> Tally {
    let mut tally = Tally::default();
    'connections: loop {
        let mut connection = match client.connect().await {
            Ok(connection) => connection,
            Err(ClientError::Connect(_)) => {
                tally.refused += 1;
                return tally;
            }
            Err(_) => {
                tally.unanswered += 1;
                return tally;
            }
        };
        let mut first = true;
        loop {
            match connection.send(&Request::get("/bytes/2000")).await {
                Ok(response) => {
                    assert_eq!(response.body.len(), 2000);
                    tally.answered += 1;
                    if first {
                        busy.fetch_add(1, Ordering::SeqCst);
                        first = false;
                    }
                    if response.field("connection") == Some("close") {
                        continue 'connections;
                    }
                }
                Err(_) => {
                    tally.unanswered += 1;
                    return tally;
                }
            }
        }
    }
}

#[test]
fn a_drain_under_load_loses_no_accepted_request() {
    let house = Arc::new(House::open(config()));
    let busy = Arc::new(AtomicUsize::new(0));
    let drain = {
        let (house, busy) = (house.clone(), busy.clone());
        std::thread::spawn(move || {
            testkit::eventually(PATIENCE, || busy.load(Ordering::SeqCst) >= 300);
            let started = Instant::now();
            (house.running.drain(PATIENCE), started.elapsed())
        })
    };
    let tallies = crowd(300, |index| {
        let client = if index % 3 == 0 {
            house.tls()
        } else {
            house.plain()
        };
        keep_asking(client, busy.clone())
    });
    let (drained, took) = drain.join().unwrap();
    assert_eq!(drained.cut, 0);
    assert!(took < PATIENCE / 2, "{took:?}");
    let unanswered: usize = tallies.iter().map(|tally| tally.unanswered).sum();
    let answered: usize = tallies.iter().map(|tally| tally.answered).sum();
    assert_eq!(unanswered, 0, "of {answered}");
    assert!(
        tallies
            .iter()
            .all(|tally| tally.answered > 0 && tally.refused == 1)
    );
    assert_eq!(house.running.open_connections(), 0);
}

#[test]
fn clients_that_wait_in_the_queue_when_a_drain_begins_are_served() {
    let house = Arc::new(House::open(FrontConfig {
        threads: 1,
        ..config()
    }));
    let blocking = {
        let client = house.plain();
        std::thread::spawn(move || client.get("/block"))
    };
    testkit::eventually(PATIENCE, || house.held.load(Ordering::SeqCst) == 1);
    // The only core stands still, so nobody accepts these.
    let mut waiting: Vec<TcpStream> = (0..50)
        .map(|_| TcpStream::connect(house.http()).unwrap())
        .collect();
    let drain = {
        let house = house.clone();
        std::thread::spawn(move || house.running.drain(PATIENCE))
    };
    // The drain needs a moment to tell the core; without it this test shows less, but does not fail.
    run(async { tokio::time::sleep(Duration::from_millis(50)).await });
    house.barrier.wait();
    for stream in &mut waiting {
        stream
            .write_all(b"GET /late HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
    }
    for mut stream in waiting {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello /late"),
            "{answer}"
        );
    }
    assert_eq!(drain.join().unwrap().cut, 0);
    assert_eq!(blocking.join().unwrap().body, "blocked");
}

#[test]
fn a_drain_ends_as_soon_as_the_last_answer_does_and_frees_the_port() {
    let house = Arc::new(House::open(config()));
    let address = house.http();
    let waiting = {
        let clients = [house.plain(), house.tls(), house.http2()];
        std::thread::spawn(move || {
            crowd(3, |index| {
                let client = clients[index].clone();
                async move {
                    client
                        .fetch(&Request::get("/hold"))
                        .await
                        .map(|response| response.body)
                }
            })
        })
    };
    testkit::eventually(PATIENCE, || house.held.load(Ordering::SeqCst) == 3);
    let drain = {
        let house = house.clone();
        std::thread::spawn(move || house.running.drain(PATIENCE))
    };
    testkit::eventually(PATIENCE, || TcpListener::bind(address).is_ok());
    assert_eq!(house.running.open_connections(), 3);
    house.release.send_replace(true);
    let released = Instant::now();
    assert_eq!(drain.join().unwrap().cut, 0);
    assert!(released.elapsed() < PATIENCE / 4, "{:?}", released.elapsed());
    for body in waiting.join().unwrap() {
        assert_eq!(body.unwrap(), "held");
    }
}

#[test]
fn a_client_whose_long_answer_said_keep_alive_may_ask_once_more() {
    for is_secure in [false, true] {
        let house = House::open(config());
        let address = house.http();
        let client = if is_secure { house.tls() } else { house.plain() };
        let ask = async {
            let mut connection = client.connect().await.unwrap();
            let held = connection.send(&Request::get("/hold")).await.unwrap();
            assert_eq!(held.field("connection"), Some("keep-alive"));
            let last = connection.send(&Request::get("/last")).await.unwrap();
            last.expect(200)
                .field("connection", "close")
                .body(b"hello /last")
                .and_no_other_field();
        };
        let drain = async {
            testkit::eventually_async(PATIENCE, || house.held.load(Ordering::SeqCst) == 1).await;
            let running = house.running.clone();
            tokio::task::spawn_blocking(move || running.drain(PATIENCE))
                .await
                .unwrap()
        };
        let release = async {
            testkit::eventually_async(PATIENCE, || TcpListener::bind(address).is_ok()).await;
            // Longer than a connection may be idle during a drain.
            tokio::time::sleep(Duration::from_secs(1)).await;
            house.release.send_replace(true);
        };
        let ((), drained, ()) = run(async { tokio::join!(ask, drain, release) });
        assert_eq!(drained.cut, 0);
    }
}

#[test]
fn idle_connections_do_not_hold_up_a_drain() {
    let house = House::open(config());
    run(async {
        let mut used = house.plain().connect().await.unwrap();
        used.send(&Request::get("/hello")).await.unwrap();
        let unused = house.plain().connect().await.unwrap();
        let mut secure = house.tls().connect().await.unwrap();
        secure.send(&Request::get("/hello")).await.unwrap();
        let mut http2 = house.http2().connect().await.unwrap();
        http2.send(&Request::get("/hello")).await.unwrap();
        let running = house.running.clone();
        let started = Instant::now();
        let drained = tokio::task::spawn_blocking(move || running.drain(PATIENCE))
            .await
            .unwrap();
        assert_eq!(drained.cut, 0);
        assert!(started.elapsed() < PATIENCE / 4, "{:?}", started.elapsed());
        for connection in [used, unused, secure] {
            connection.end().await.unwrap();
        }
        testkit::eventually_async(PATIENCE, || http2.has_ended()).await;
    });
}

#[test]
fn what_is_left_when_the_time_is_over_is_cut_and_counted() {
    let house = House::open(config());
    let waiting = {
        let client = house.plain();
        std::thread::spawn(move || client.try_send(&Request::get("/hold")))
    };
    testkit::eventually(PATIENCE, || house.held.load(Ordering::SeqCst) == 1);
    let started = Instant::now();
    assert_eq!(house.running.drain(Duration::from_millis(700)).cut, 1);
    assert!(started.elapsed() < PATIENCE / 2, "{:?}", started.elapsed());
    assert!(waiting.join().unwrap().is_err());
    assert_eq!(house.count("cut_total", ""), 1);
    assert_eq!(house.running.open_connections(), 0);
}

#[test]
fn a_second_drain_waits_for_the_first_and_a_reload_may_run_beside_it() {
    let house = Arc::new(House::open(config()));
    let drains: Vec<_> = (0..3)
        .map(|_| {
            let house = house.clone();
            std::thread::spawn(move || house.running.drain(PATIENCE))
        })
        .collect();
    house.running.reload_certificates().unwrap();
    let results: Vec<_> = drains.into_iter().map(|drain| drain.join().unwrap()).collect();
    assert!(results.iter().all(|drained| drained.cut == 0));
    assert_eq!(house.running.drain(PATIENCE).cut, 0);
    house.running.reload_certificates().unwrap();
}

#[test]
fn a_successor_binds_beside_a_running_process() {
    let first = House::open(config());
    let second = House::open(FrontConfig {
        http: vec![first.http()],
        ..config()
    });
    first.running.drain(PATIENCE);
    for _ in 0..20 {
        assert_eq!(second.plain().get("/taken").body, "hello /taken");
    }
}

#[test]
fn a_core_that_cannot_start_is_an_error_and_not_a_hang() {
    let config = FrontConfig {
        https: Vec::new(),
        threads: 3,
        ..config()
    };
    let door = FrontDoor::bind(&config, &Registry::new()).unwrap();
    let started = door.run(|CoreIndex(index)| {
        assert_ne!(index, 1, "this core's application cannot be made");
        Arc::new(Deaf(Arc::new(DeafToo)))
    });
    assert!(matches!(started, Err(FrontError::CoreDied)));
}

/// An application that wants no connection.
struct Deaf(Arc<DeafToo>);

/// The same for HTTP/2.
struct DeafToo;

impl Application for Deaf {
    type Http2 = DeafToo;

    async fn serve_http1(&self, _: Http1, _: &ShutdownWatch) {}

    fn http2(&self) -> &Arc<DeafToo> {
        &self.0
    }
}

#[async_trait]
impl ServerApp for DeafToo {
    async fn process_new(self: &Arc<Self>, _: Stream, _: &ShutdownWatch) -> Option<Stream> {
        None
    }
}

#[test]
fn dropping_the_door_ends_its_threads() {
    let house = House::open(config());
    let address = house.http();
    drop(house);
    assert!(TcpListener::bind(address).is_ok());
}
