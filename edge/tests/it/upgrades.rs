//! Connections that go on in another protocol (RFC 9110 §7.8), where the service lets them.

use std::time::Duration;

use model::Tier;
use testkit::cdn::{Cdn, HOST};
use testkit::client::{Client, Request, run};
use testkit::origin::Reply;

use crate::{EDGE, PARENT, builder, one_of_each};

fn speaking_websocket() -> Cdn {
    let cdn = builder()
        .parents("ams", 1)
        .edges("ams", 1)
        .service("demo", |service| service.upgrades = vec!["websocket".to_owned()])
        .start();
    cdn.origin()
        .on_each("/chat", |request| match request.field("upgrade") {
            Some(_) => Reply::switches_to("websocket").field("Sec-WebSocket-Accept", "yes"),
            None => Reply::ok("no chat").field("Cache-Control", "no-store"),
        });
    cdn
}

fn asking(protocol: &str) -> String {
    format!(
        "GET /chat HTTP/1.1\r\nHost: {HOST}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: {protocol}\r\n\
         Sec-WebSocket-Key: x\r\n\r\n"
    )
}

/// Whether everything that is sent comes back.
async fn echoes(client: &Client, bytes: usize) {
    let mut connection = client.connect().await.unwrap();
    connection.write(asking("websocket").as_bytes()).await.unwrap();
    let head = connection.receive("GET").await.unwrap().head().clone();
    assert_eq!(head.status, 101, "{head}");
    assert_eq!(head.field("upgrade"), Some("websocket"));
    assert_eq!(head.field("connection"), Some("upgrade"));
    assert_eq!(head.field("sec-websocket-accept"), Some("yes"));
    let sent = testkit::body("chat", bytes);
    for piece in sent.chunks(20_000) {
        connection.write(piece).await.unwrap();
        let mut back = Vec::new();
        while back.len() < piece.len() {
            let more = connection.read().await.unwrap();
            assert!(!more.is_empty(), "the tunnel ended");
            back.extend_from_slice(&more);
        }
        assert!(back == piece);
    }
}

#[test]
fn a_websocket_passes_both_tiers_both_ways() {
    let cdn = speaking_websocket();
    for client in [cdn.http(EDGE), cdn.https(EDGE)] {
        run(echoes(&client, 300_000));
    }
    for node in [EDGE, PARENT] {
        let daemon = cdn.daemon(node);
        assert_eq!(daemon.metric("millrace_tunnels_total", &[]), 2.0, "{node}");
        testkit::eventually(Duration::from_secs(10), || {
            (daemon.metric("millrace_tunnels", &[]) == 0.0).then_some(())
        });
    }
    testkit::eventually(Duration::from_secs(10), || {
        (cdn.origin().open_connections() == 0).then_some(())
    });
}

#[test]
fn a_drain_waits_for_tunnels_and_cuts_them_at_its_bound() {
    let mut cdn = builder()
        .parents("ams", 1)
        .edges("ams", 1)
        .service("demo", |service| service.upgrades = vec!["websocket".to_owned()])
        .settings(Tier::Edge, |settings| {
            settings.text("listen", "drain_timeout", "2s");
        })
        .start();
    cdn.origin().on("/chat", Reply::switches_to("websocket"));
    let client = cdn.http(EDGE);
    run(async {
        let mut connection = client.connect().await.unwrap();
        connection.write(asking("websocket").as_bytes()).await.unwrap();
        assert_eq!(connection.receive("GET").await.unwrap().head().status, 101);
        cdn.daemon(EDGE).terminate();
        // New clients are refused once the drain has begun.
        let refusing = async { while client.connect().await.is_ok() {} };
        tokio::time::timeout(Duration::from_secs(10), refusing)
            .await
            .unwrap();
        connection.write(b"still here?").await.unwrap();
        assert_eq!(connection.read().await.unwrap(), "still here?");
        // Then it ends, one way or the other.
        while connection.read().await.is_ok_and(|more| !more.is_empty()) {}
    });
    assert!(cdn.daemon_mut(EDGE).await_end(Duration::from_secs(20)).success());
}

#[test]
fn a_protocol_that_the_service_does_not_name_is_not_asked_for() {
    let closed = one_of_each();
    closed.origin().on("/chat", Reply::ok("no chat"));
    let open = speaking_websocket();
    for (cdn, protocol) in [
        (&closed, "websocket"),
        (&open, "h2c"),
        (&open, "websocket, h2c"),
        (&open, "TLS/1.0"),
    ] {
        let response = cdn.http(EDGE).try_raw(asking(protocol).as_bytes()).unwrap();
        assert_eq!(
            (response.status(), &response.body[..]),
            (200, &b"no chat"[..]),
            "{protocol}"
        );
        let seen = cdn.origin().requests();
        assert!(
            seen.iter().all(|request| request.field("upgrade").is_none()),
            "{protocol}"
        );
        assert!(
            seen.iter().all(|request| request.field("connection").is_none()),
            "{protocol}"
        );
    }
}

#[test]
fn an_upgrade_without_its_connection_option_or_with_a_body_is_none() {
    let cdn = speaking_websocket();
    let client = cdn.http(EDGE);
    let without_option = Request::get("/chat").field("Upgrade", "websocket");
    let with_body = Request::get("/chat")
        .field("Upgrade", "websocket")
        .field("Connection", "upgrade")
        .body("x");
    for request in [without_option, with_body] {
        assert_eq!(client.send(&request).body, "no chat");
    }
}

#[test]
fn an_origin_that_switches_unasked_is_not_believed() {
    let cdn = one_of_each();
    cdn.origin().on("/a", Reply::switches_to("websocket"));
    assert_eq!(cdn.http(EDGE).get("/a").status(), 502);
    assert_eq!(cdn.daemon(EDGE).metric("millrace_tunnels_total", &[]), 0.0);
}

#[test]
fn an_origin_may_decline_to_switch() {
    let cdn = speaking_websocket();
    cdn.origin().on("/chat", Reply::status(426).body("not today"));
    run(async {
        let mut connection = cdn.http(EDGE).connect().await.unwrap();
        for _ in 0..2 {
            connection.write(asking("websocket").as_bytes()).await.unwrap();
            let response = connection.receive("GET").await.unwrap().rest().await.unwrap();
            assert_eq!((response.status(), &response.body[..]), (426, &b"not today"[..]));
        }
    });
}
