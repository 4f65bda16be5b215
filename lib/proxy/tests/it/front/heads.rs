//! What comes in over HTTP/1: whole requests, broken ones, several at once.

use bytes::Bytes;
use testkit::client::{Request, run};

use super::house::{House, PATIENCE, config};

#[test]
fn requests_of_one_connection_are_answered_in_turn() {
    let house = House::open(config());
    for client in [house.plain(), house.tls()] {
        run(async {
            let mut connection = client.connect().await.unwrap();
            for path in ["/a", "/b", "/bytes/300000", "/c"] {
                let response = connection.send(&Request::get(path)).await.unwrap();
                let body = if path.starts_with("/bytes") {
                    testkit::body(path, 300_000)
                } else {
                    format!("hello {path}").into()
                };
                response.expect(200).body(&body).and_no_other_field();
            }
        });
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let house = House::open(config());
    run(async {
        for client in [house.plain(), house.tls()] {
            let mut connection = client.connect().await.unwrap();
            let requests: String = (0..50)
                .map(|number| format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n"))
                .collect();
            connection.write(requests.as_bytes()).await.unwrap();
            for number in 0..50 {
                let response = connection.receive("GET").await.unwrap().rest().await.unwrap();
                assert_eq!(response.body, format!("hello /{number}"));
            }
        }
    });
}

#[test]
fn nothing_follows_a_request_with_a_body_on_its_connection() {
    let house = House::open(config());
    let stolen = "GET /stolen HTTP/1.1\r\nHost: b\r\n\r\n";
    let sized = format!(
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        stolen.len()
    );
    let chunked = "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
    for head in [sized, chunked] {
        for (first, second) in [(head.clone(), stolen), (format!("{head}{stolen}{stolen}"), "")] {
            for client in [house.plain(), house.tls()] {
                run(async {
                    let mut connection = client.connect().await.unwrap();
                    connection.write(first.as_bytes()).await.unwrap();
                    let response = connection.receive("POST").await.unwrap().rest().await.unwrap();
                    response
                        .expect(200)
                        .field("connection", "close")
                        .body(b"posted to /a")
                        .and_no_other_field();
                    let ended = match connection.write(second.as_bytes()).await {
                        Ok(()) => connection
                            .receive("GET")
                            .await
                            .map(|exchange| exchange.head().status),
                        Err(error) => Err(error),
                    };
                    assert!(ended.is_err(), "{ended:?}");
                });
            }
        }
    }
    house.wait_until_empty();
}

#[test]
fn malformed_heads_are_answered_400_and_the_connection_ends() {
    let house = House::open(config());
    for (head, reason) in [
        ("GET / HTTP/1.1\nHost: a\n\n", "bare_line_feed"),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: \0\r\n\r\n", "control_byte"),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n", "folded_line"),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", "folded_line"),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", "field_name"),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "request_line"),
        ("GET /\u{1} HTTP/1.1\r\nHost: a\r\n\r\n", "request_line"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "content_length",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
            "transfer_encoding",
        ),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "authority"),
        ("\u{16}\u{3}\u{1}", "request_line"),
    ] {
        for client in [house.plain(), house.tls()] {
            let before = house.refused(reason);
            let response = client.try_raw(head.as_bytes()).unwrap();
            response
                .expect(400)
                .field("connection", "close")
                .body(b"")
                .and_no_other_field();
            assert_eq!(house.refused(reason), before + 1, "{head:?}");
        }
    }
    house.wait_until_empty();
}

#[test]
fn a_malformed_head_behind_a_good_one_is_refused_after_its_answer() {
    let house = House::open(config());
    run(async {
        let mut connection = house.plain().connect().await.unwrap();
        let requests = "GET /good HTTP/1.1\r\nHost: a\r\n\r\nGET /bad HTTP/1.1\nHost: a\n\n";
        connection.write(requests.as_bytes()).await.unwrap();
        let good = connection.receive("GET").await.unwrap().rest().await.unwrap();
        good.expect(200).body(b"hello /good").and_no_other_field();
        let bad = connection.receive("GET").await.unwrap().rest().await.unwrap();
        bad.expect(400).and_no_other_field();
        connection.end().await.unwrap();
    });
}

#[test]
fn too_many_header_bytes_are_answered_431_and_the_answer_is_not_destroyed_by_what_is_unread() {
    let house = House::open(config());
    let head = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nCookie: {}\r\n\r\n",
        "c".repeat(64 * 1024)
    );
    for client in [house.plain(), house.tls()] {
        for _ in 0..20 {
            client
                .try_raw(head.as_bytes())
                .unwrap()
                .expect(431)
                .field("connection", "close")
                .and_no_other_field();
        }
    }
    assert_eq!(house.refused("header_too_large"), 40);
    testkit::eventually(PATIENCE, || house.running.open_connections() == 0);
}

#[test]
fn a_head_just_below_the_limit_passes_in_any_pieces() {
    let house = House::open(config());
    let head = format!(
        "GET /long HTTP/1.1\r\nHost: a\r\nCookie: {}\r\n\r\n",
        "c".repeat(31 * 1024)
    );
    for client in [house.plain(), house.tls()] {
        run(async {
            let mut connection = client.connect().await.unwrap();
            for step in [head.len(), 10_000, 4096, 1000] {
                for piece in head.as_bytes().chunks(step) {
                    connection.write(piece).await.unwrap();
                }
                let response = connection.receive("GET").await.unwrap().rest().await.unwrap();
                assert_eq!(response.body, Bytes::from("hello /long"));
            }
        });
    }
}
