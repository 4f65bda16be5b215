//! When bytes move: delays, paces, gates, crowds, clients that stop.

use std::time::{Duration, Instant};

use testkit::client::{Client, ClientError, Request, crowd, run};
use testkit::origin::{Gate, Origin, Reply};
use testkit::{body, eventually};

#[test]
fn a_delay_and_a_pace_are_kept() {
    let origin = Origin::start();
    origin.on(
        "/a",
        Reply::generated("a", 100_000)
            .after(Duration::from_millis(100))
            .paced(1_000_000),
    );
    run(async {
        let mut connection = Client::plain(origin.address()).connect().await.unwrap();
        let began = Instant::now();
        let exchange = connection.begin(&Request::get("/a")).await.unwrap();
        let head_after = began.elapsed();
        let response = exchange.rest().await.unwrap();
        let whole_after = began.elapsed();
        assert!(head_after >= Duration::from_millis(100), "{head_after:?}");
        // The last piece needs no pause after it.
        assert!(
            whole_after - head_after >= Duration::from_millis(75),
            "{whole_after:?} - {head_after:?}"
        );
        assert_eq!(response.body, body("a", 100_000));
    });
}

#[test]
fn a_gate_holds_the_rest_of_a_body_until_it_is_opened() {
    let origin = Origin::start();
    let gate = Gate::closed();
    origin.on("/a", Reply::generated("a", 10_000).held_at(4_000, &gate));
    run(async {
        let client = Client::plain(origin.address()).patience(Duration::from_millis(200));
        let mut connection = client.connect().await.unwrap();
        let mut exchange = connection.begin(&Request::get("/a")).await.unwrap();
        assert_eq!(exchange.at_least(4_000).await.unwrap().len(), 4_000);
        assert!(matches!(exchange.chunk().await, Err(ClientError::Timeout(_))));
        gate.open();
        assert_eq!(exchange.rest().await.unwrap().body.len(), 6_000);
    });
}

#[test]
fn a_crowd_is_served_at_once_and_each_body_compared() {
    let origin = Origin::start();
    let gate = Gate::closed();
    origin.on("/a", Reply::generated("a", 50_000).held_at(1, &gate));
    let expected = body("a", 50_000);
    let address = origin.address();
    let opener = std::thread::spawn({
        let gate = gate.clone();
        move || gate.open()
    });
    let outcomes = crowd(200, |_| {
        let expected = expected.clone();
        async move {
            let mut connection = Client::plain(address).connect().await?;
            connection
                .begin(&Request::get("/a"))
                .await?
                .compare(&expected)
                .await
        }
    });
    opener.join().unwrap();
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(origin.count("/a"), 200);
    assert_eq!(origin.connections(), 200);
    assert!(
        (2..=200).contains(&origin.most_requests_at_once()),
        "{}",
        origin.most_requests_at_once()
    );
    eventually(Duration::from_secs(5), || origin.open_connections() == 0);
}

#[test]
fn a_body_that_differs_is_told_with_its_place() {
    let origin = Origin::start();
    origin.on("/a", Reply::ok("0123456789"));
    let compare = |expected: &'static str| {
        run(async {
            let mut connection = Client::plain(origin.address()).connect().await?;
            connection
                .begin(&Request::get("/a"))
                .await?
                .compare(expected.as_bytes())
                .await
        })
    };
    assert!(compare("0123456789").is_ok());
    assert!(matches!(
        compare("0123x56789"),
        Err(ClientError::Different { offset: 4 })
    ));
    assert!(matches!(
        compare("01234"),
        Err(ClientError::Different { offset: 5 })
    ));
    assert!(matches!(
        compare("0123456789ab"),
        Err(ClientError::Different { offset: 10 })
    ));
}

#[test]
fn a_client_that_stops_reading_holds_the_origin_and_an_abort_frees_it() {
    let origin = Origin::start();
    let length = 16 * 1024 * 1024;
    origin.on("/a", Reply::generated("a", length));
    run(async {
        let client = Client::plain(origin.address()).receive_buffer(4096);
        let mut connection = client.connect().await.unwrap();
        let mut exchange = connection.begin(&Request::get("/a")).await.unwrap();
        exchange.at_least(1).await.unwrap();
        assert_eq!(origin.bytes_sent("/a"), 0, "the body is still on its way");
        connection.abort();
    });
    eventually(Duration::from_secs(5), || origin.open_connections() == 0);
    assert_eq!(origin.bytes_sent("/a"), 0, "it was never sent whole");
}
