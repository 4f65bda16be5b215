//! Many clients on one cold object: one request to the origin, bytes for everyone as they come.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use model::Tier;
use testkit::cdn::{Cdn, HOST};
use testkit::client::{Client, ClientError, Request, crowd, run};
use testkit::origin::{Gate, Reply};
use testkit::{body, eventually, eventually_async};

use crate::{EDGE, PARENT, builder, results};

const PATH: &str = "/live/1.m4s";

fn two_edges() -> Cdn {
    builder().parents("ams", 1).edges("ams", 2).start()
}

/// Reads `expected` whole, comparing as it comes.
async fn compare(client: Client, expected: Bytes) -> Result<(), ClientError> {
    let mut connection = client.connect().await?;
    let head = connection
        .begin(&Request::get(PATH))
        .await?
        .compare(&expected)
        .await?;
    assert_eq!(head.status, 200);
    Ok(())
}

#[test]
fn a_thousand_clients_of_two_edges_cost_the_origin_one_request() {
    const LENGTH: usize = 10_000_000;
    let cdn = two_edges();
    cdn.origin()
        .on(PATH, Reply::generated("1", LENGTH).paced(2_000_000));
    let expected = body("1", LENGTH);
    let edges = [cdn.http("edge-ams-1"), cdn.http("edge-ams-2")];
    let outcomes = crowd(1000, |index| compare(edges[index % 2].clone(), expected.clone()));
    let failed: Vec<_> = outcomes.iter().filter(|outcome| outcome.is_err()).collect();
    assert!(
        failed.is_empty(),
        "{} of 1000 failed, such as {:?}",
        failed.len(),
        failed[0]
    );
    assert_eq!(cdn.origin().requests().len(), 1);
    assert_eq!(cdn.origin().bytes_sent(PATH), LENGTH as u64);
    let answered: f64 = ["edge-ams-1", "edge-ams-2"]
        .iter()
        .map(|edge| {
            assert_eq!(results(&cdn, edge, "miss"), 1.0, "{edge} asked its parent once");
            results(&cdn, edge, "miss") + results(&cdn, edge, "collapsed") + results(&cdn, edge, "hit")
        })
        .sum();
    assert_eq!(answered, 1000.0);
    let parent: Vec<f64> = ["miss", "collapsed"]
        .iter()
        .map(|result| results(&cdn, PARENT, result))
        .collect();
    assert_eq!(parent, [1.0, 1.0], "two edges, one fill");
}

#[test]
fn who_joins_a_fill_gets_bytes_before_it_ends() {
    let cdn = two_edges();
    let gate = Gate::closed();
    cdn.origin()
        .on(PATH, Reply::generated("1", 1_000_000).held_at(600_000, &gate));
    let expected = body("1", 1_000_000);
    run(async {
        let mut first = cdn.http("edge-ams-1").connect().await.unwrap();
        let mut first = first.begin(&Request::get(PATH)).await.unwrap();
        assert_eq!(first.at_least(600_000).await.unwrap(), expected.slice(..600_000));
        // Now everyone who comes, at either edge and by either protocol, is given what is there.
        let clients = [
            cdn.http("edge-ams-1"),
            cdn.https("edge-ams-1"),
            cdn.http2("edge-ams-1"),
            cdn.http("edge-ams-2"),
        ];
        let mut connections = Vec::new();
        for client in &clients {
            connections.push(client.connect().await.unwrap());
        }
        let mut joined = Vec::new();
        for connection in &mut connections {
            let mut exchange = connection.begin(&Request::get(PATH)).await.unwrap();
            assert_eq!(
                exchange.at_least(600_000).await.unwrap(),
                expected.slice(..600_000)
            );
            joined.push(exchange);
        }
        assert_eq!(cdn.origin().bytes_sent(PATH), 0, "the fill is still under way");
        gate.open();
        for exchange in joined.into_iter().chain([first]) {
            assert_eq!(exchange.rest().await.unwrap().body, expected.slice(600_000..));
        }
    });
    assert_eq!(cdn.origin().total(), 1);
}

#[test]
fn a_client_that_stops_reading_delays_nobody() {
    const LENGTH: usize = 20_000_000;
    let cdn = two_edges();
    let gate = Gate::closed();
    cdn.origin()
        .on(PATH, Reply::generated("1", LENGTH).held_at(1000, &gate));
    let expected = body("1", LENGTH);
    run(async {
        // The one who starts the fill takes a few bytes and no more.
        let stopped = cdn.http(EDGE).receive_buffer(4096);
        let mut stopped = stopped.connect().await.unwrap();
        let mut exchange = stopped.begin(&Request::get(PATH)).await.unwrap();
        exchange.at_least(1000).await.unwrap();
        let others: Vec<_> = (0..20)
            .map(|_| tokio::spawn(compare(cdn.http(EDGE), expected.clone())))
            .collect();
        gate.open();
        for other in others {
            other.await.unwrap().unwrap();
        }
        eventually_async(Duration::from_secs(5), || {
            cdn.origin().bytes_sent(PATH) == LENGTH as u64
        })
        .await;
        // The one who stopped may go on.
        assert_eq!(exchange.rest().await.unwrap().body, expected.slice(1000..));
    });
    assert_eq!(cdn.origin().total(), 1);
}

#[test]
fn a_fill_goes_on_when_the_one_who_started_it_leaves() {
    let cdn = two_edges();
    let gate = Gate::closed();
    cdn.origin()
        .on(PATH, Reply::generated("1", 500_000).held_at(1000, &gate));
    run(async {
        let mut connection = cdn.http(EDGE).connect().await.unwrap();
        connection
            .begin(&Request::get(PATH))
            .await
            .unwrap()
            .at_least(1000)
            .await
            .unwrap();
        connection.abort();
        gate.open();
    });
    eventually(Duration::from_secs(5), || {
        cdn.origin().bytes_sent(PATH) == 500_000
    });
    let response = cdn.http(EDGE).get(PATH);
    assert_eq!((response.status(), &response.body), (200, &body("1", 500_000)));
    assert_eq!(cdn.origin().total(), 1);
}

#[test]
fn who_waits_too_long_for_what_another_asked_for_asks_for_itself() {
    let cdn = builder()
        .parents("ams", 1)
        .edges("ams", 1)
        .settings(Tier::Edge, |settings| {
            settings.text("upstream", "collapse_timeout", "200ms");
        })
        .settings(Tier::Parent, |settings| {
            settings.text("upstream", "collapse_timeout", "200ms");
        })
        .start();
    let asked = AtomicUsize::new(0);
    cdn.origin()
        .on_each(PATH, move |_| match asked.fetch_add(1, Ordering::SeqCst) {
            0 => Reply::ok("first").after(Duration::from_secs(1)),
            _ => Reply::ok("second"),
        });
    run(async {
        let client = cdn.http(EDGE);
        let first = tokio::spawn(async move { client.fetch(&Request::get(PATH)).await });
        eventually_async(Duration::from_secs(5), || cdn.origin().total() == 1).await;
        let second = cdn.http(EDGE).fetch(&Request::get(PATH)).await.unwrap();
        assert_eq!((second.status(), &second.body[..]), (200, &b"second"[..]));
        assert_eq!(first.await.unwrap().unwrap().body, "first");
    });
    assert_eq!(cdn.origin().total(), 2);
    for node in [EDGE, PARENT] {
        let gave_up = cdn.daemon(node).metric("millrace_collapses_timed_out_total", &[]);
        assert_eq!(gave_up, 1.0, "{node}");
    }
    assert_eq!(cdn.http(EDGE).get(PATH).body, "first", "that one is kept");
}

#[test]
fn what_turns_out_not_to_be_for_caching_is_fetched_for_each_without_queueing() {
    let cdn = two_edges();
    cdn.origin().on_each(PATH, |request| {
        let own = request.field("x-player").unwrap_or("none").to_owned();
        Reply::ok(own)
            .field("Cache-Control", "no-store")
            .after(Duration::from_millis(200))
    });
    let outcomes = crowd(50, |index| {
        let client = cdn.http(EDGE);
        async move {
            let response = client
                .fetch(&Request::get(PATH).field("X-Player", index.to_string()))
                .await?;
            Ok::<_, ClientError>((
                index.to_string(),
                String::from_utf8_lossy(&response.body).into_owned(),
            ))
        }
    });
    for outcome in outcomes {
        let (asked, answered) = outcome.unwrap();
        assert_eq!(asked, answered, "everyone gets an answer of their own");
    }
    assert_eq!(cdn.origin().count(PATH), 50);
}

#[test]
fn a_host_with_another_case_or_a_port_is_the_same_host() {
    let cdn = two_edges();
    cdn.origin().on(PATH, Reply::ok("one"));
    for host in [HOST.to_owned(), HOST.to_uppercase(), format!("{HOST}:8443")] {
        assert_eq!(cdn.http(EDGE).host(&host).get(PATH).status(), 200, "{host}");
    }
    assert_eq!(cdn.origin().total(), 1);
}
