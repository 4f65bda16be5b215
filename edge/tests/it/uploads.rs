//! Bodies of requests: passed on as they come through both tiers, within bounds.

use std::time::{Duration, Instant};

use model::{Size, Tier};
use testkit::cdn::{Cdn, HOST};
use testkit::client::{ClientError, Request, run};
use testkit::origin::Reply;

use crate::methods::{clients, open_to_all};
use crate::{EDGE, PARENT, builder};

/// A body larger than every buffer on the way.
const LARGE: usize = 3 << 20;

fn with_body_max(bytes: u64) -> Cdn {
    builder()
        .parents("ams", 1)
        .edges("ams", 1)
        .service("demo", move |service| {
            service.methods = vec!["*".to_owned()];
            service.request_body_max = Size(bytes);
        })
        .settings(Tier::Edge, |settings| {
            settings.text("listen", "body_timeout", "1s");
        })
        .start()
}

/// The most memory that edge and parent have had so far.
fn most_resident_bytes(cdn: &Cdn) -> [u64; 2] {
    [EDGE, PARENT].map(|node| cdn.daemon(node).readings().most_resident_bytes)
}

/// Neither has needed much more than `before`, whatever passed through it.
#[track_caller]
fn assert_flat(cdn: &Cdn, before: [u64; 2]) {
    for (after, before) in most_resident_bytes(cdn).into_iter().zip(before) {
        // The kernel counts in batches, so that the most may even be a little less.
        let grown = after.saturating_sub(before);
        assert!(grown < 16 << 20, "grown by {grown} bytes");
    }
}

#[test]
fn a_body_reaches_the_origin_as_it_was_sent() {
    let cdn = open_to_all();
    cdn.origin()
        .on_prefix("/", |request| Reply::ok(request.body.clone()));
    for (name, client) in clients(&cdn) {
        for length in [1, 1000, LARGE] {
            cdn.origin().forget();
            let body = testkit::body("upload", length);
            let sized = Request::new("POST", "/sized").body(body.clone());
            client
                .send(&sized)
                .expect(200)
                .body(&body)
                .any("X-Region")
                .any("Via")
                .any("Cache-Status")
                .and_no_other_field();
            let chunked = Request::new("PUT", "/chunked")
                .body(body.clone())
                .chunked(10_000)
                .trailer("x-checksum", "42");
            client
                .send(&chunked)
                .expect(200)
                .body(&body)
                .any("X-Region")
                .any("Via")
                .any("Cache-Status")
                .and_no_other_field();
            let seen = cdn.origin().requests();
            assert_eq!(seen.len(), 2, "{name}");
            assert_eq!(seen[0].field("content-length"), Some(length.to_string().as_str()));
            assert_eq!(seen[1].field("transfer-encoding"), Some("chunked"));
            let trailer = ("x-checksum".to_owned(), "42".to_owned());
            assert_eq!(
                (&seen[0].trailers, &seen[1].trailers),
                (&vec![], &vec![trailer]),
                "{name}"
            );
            assert!(seen.iter().all(|request| request.body == body));
        }
    }
}

#[test]
fn a_large_upload_needs_no_memory_on_its_way() {
    let cdn = open_to_all();
    cdn.origin()
        .on_each("/upload", |request| Reply::ok(request.body.len().to_string()));
    let body = testkit::body("film", 64 << 20);
    let clients = clients(&cdn);
    // What a connection and its buffers cost was paid once before.
    for (_, client) in &clients {
        assert_eq!(
            client
                .send(&Request::new("PUT", "/upload").body(body.slice(..1 << 20)))
                .status(),
            200
        );
    }
    let before = most_resident_bytes(&cdn);
    for (name, client) in &clients {
        let response = client.send(&Request::new("PUT", "/upload").body(body.clone()));
        assert_eq!(
            (response.status(), &response.body[..]),
            (200, &b"67108864"[..]),
            "{name}"
        );
    }
    assert_flat(&cdn, before);
}

#[test]
fn an_origin_that_takes_nothing_holds_its_client_back() {
    let cdn = open_to_all();
    cdn.origin().on_head("/stuck", Reply::hang());
    cdn.origin().on("/fine", Reply::ok("fine"));
    cdn.origin().let_bodies_break_off();
    let body = testkit::body("x", 64 << 20);
    assert_eq!(
        cdn.http(EDGE)
            .send(&Request::new("PUT", "/fine").body(body.slice(..1 << 20)))
            .status(),
        200
    );
    let before = most_resident_bytes(&cdn);
    run(async {
        let client = cdn.http(EDGE).patience(Duration::from_secs(3));
        let mut connection = client.connect().await.unwrap();
        let head = format!(
            "PUT /stuck HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        connection.write(head.as_bytes()).await.unwrap();
        // What the kernels on the way hold is a few MiB; then nobody takes any more.
        let written = connection.write(&body).await;
        assert!(matches!(written, Err(ClientError::Timeout(_))), "{written:?}");
        connection.abort();
    });
    assert_flat(&cdn, before);
}

#[test]
fn a_client_that_waits_for_100_is_told_to_go_on() {
    let cdn = open_to_all();
    cdn.origin().on("/a", Reply::ok("a"));
    for says_continue in [false, true] {
        if says_continue {
            cdn.origin().say_continue();
        }
        for client in [cdn.http(EDGE), cdn.https(EDGE)] {
            run(async {
                let mut connection = client.connect().await.unwrap();
                let head = format!(
                    "POST /a HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 4\r\nExpect: 100-Continue\r\n\r\n"
                );
                connection.write(head.as_bytes()).await.unwrap();
                let interim = connection.read().await.unwrap();
                assert_eq!(interim, "HTTP/1.1 100 Continue\r\n\r\n");
                connection.write(b"body").await.unwrap();
                let response = connection.receive("POST").await.unwrap().rest().await.unwrap();
                assert_eq!((response.status(), &response.body[..]), (200, &b"a"[..]));
                assert_ne!(
                    response.field("connection"),
                    Some("close"),
                    "it was read to its end"
                );
            });
        }
        let h2 = cdn.http2(EDGE).send(
            &Request::new("POST", "/a")
                .field("expect", "100-continue")
                .body("body"),
        );
        assert_eq!(h2.status(), 200);
    }
    assert!(
        cdn.origin()
            .requests()
            .iter()
            .all(|request| request.body == "body")
    );
    assert!(
        cdn.origin()
            .requests()
            .iter()
            .all(|request| request.field("expect") == Some("100-continue"))
    );
}

#[test]
fn a_client_that_waits_for_100_is_told_the_final_answer_when_that_is_known() {
    let cdn = with_body_max(10);
    cdn.origin().on_head("/no", Reply::status(403));
    for (path, length, status) in [("/no", 5, 403), ("/large", 11, 413)] {
        run(async {
            let mut connection = cdn.http(EDGE).connect().await.unwrap();
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
            );
            connection.write(head.as_bytes()).await.unwrap();
            let response = connection.receive("POST").await.unwrap().rest().await.unwrap();
            assert_eq!((response.status(), &response.head.interim), (status, &vec![]));
            assert_eq!(
                response.field("connection"),
                Some("close"),
                "the body may follow or not"
            );
            connection.end().await.unwrap();
        });
    }
}

#[test]
fn a_body_beyond_the_services_bound_is_refused() {
    let cdn = with_body_max(1000);
    cdn.origin().let_bodies_break_off();
    cdn.origin().on("/a", Reply::ok("a"));
    for (name, client) in clients(&cdn) {
        assert_eq!(
            client
                .send(&Request::new("POST", "/a").body(vec![b'x'; 1000]))
                .status(),
            200
        );
        let asked = cdn.origin().total();
        let sized = client.send(&Request::new("POST", "/a").body(vec![b'x'; 1001]));
        sized
            .expect(413)
            .field_with("Proxy-Status", &[EDGE, "http_request_error"])
            .any("Cache-Control")
            .any("Content-Type")
            .and_no_other_field();
        let unsized_ = Request::new("POST", "/a").body(vec![b'x'; 100_000]).chunked(500);
        assert_eq!(client.send(&unsized_).status(), 413, "{name}");
        assert_eq!(cdn.origin().total(), asked, "{name}");
    }
}

#[test]
fn a_client_that_stops_in_the_middle_of_its_body_is_told_so() {
    let cdn = with_body_max(1000);
    cdn.origin().let_bodies_break_off();
    cdn.origin().on("/a", Reply::ok("a"));
    run(async {
        for framing in [
            "Content-Length: 10\r\n\r\nhalf",
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhe",
        ] {
            let mut connection = cdn.http(EDGE).connect().await.unwrap();
            let began = Instant::now();
            let request = format!("POST /a HTTP/1.1\r\nHost: {HOST}\r\n{framing}");
            connection.write(request.as_bytes()).await.unwrap();
            let response = connection.receive("POST").await.unwrap().rest().await.unwrap();
            assert_eq!(response.status(), 408);
            assert_eq!(response.field("connection"), Some("close"));
            assert!(began.elapsed() >= Duration::from_secs(1));
        }
    });
    assert_eq!(
        cdn.daemon(EDGE)
            .metric("millrace_front_refused_total", &[("reason", "body_timeout")]),
        2.0
    );
    assert_eq!(cdn.origin().total(), 0);
}

#[test]
fn an_answer_may_come_before_the_body_has_ended() {
    let cdn = open_to_all();
    cdn.origin().on_head(
        "/no",
        Reply::status(401)
            .body("who are you?")
            .field("Cache-Control", "no-store"),
    );
    let body = testkit::body("x", LARGE);
    for (name, client) in clients(&cdn) {
        let response = client.send(&Request::new("PUT", "/no").body(body.clone()));
        assert_eq!(
            (response.status(), &response.body[..]),
            (401, &b"who are you?"[..]),
            "{name}"
        );
    }
    for client in [cdn.http(EDGE), cdn.https(EDGE)] {
        run(async {
            let mut connection = client.connect().await.unwrap();
            let half = format!("PUT /no HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 8\r\n\r\nhalf");
            connection.write(half.as_bytes()).await.unwrap();
            let response = connection.receive("PUT").await.unwrap().rest().await.unwrap();
            assert_eq!(
                (response.status(), &response.body[..]),
                (401, &b"who are you?"[..])
            );
            assert_eq!(response.field("connection"), Some("close"));
            connection.end().await.unwrap();
        });
    }
}

#[test]
fn both_directions_flow_at_once() {
    let cdn = open_to_all();
    cdn.origin().on_head("/echo", Reply::echo());
    let body = testkit::body("echo", LARGE);
    for client in [cdn.http(EDGE), cdn.https(EDGE)] {
        run(async {
            let mut connection = client.connect().await.unwrap();
            let head = format!("POST /echo HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {LARGE}\r\n\r\n");
            connection.write(head.as_bytes()).await.unwrap();
            let (mut back, mut sent) = (Vec::new(), 0);
            for piece in body.chunks(LARGE / 20 + 1) {
                connection.write(piece).await.unwrap();
                sent += piece.len();
                // All that was sent is back before any more of it goes.
                while back.len() < sent || !back.ends_with(&body[sent - 100..sent]) {
                    let more = connection.read().await.unwrap();
                    assert!(!more.is_empty(), "the answer ended early");
                    back.extend_from_slice(&more);
                }
            }
            assert!(back.starts_with(b"HTTP/1.1 200 OK\r\n"));
            assert!(back.ends_with(&body));
        });
    }
}

#[test]
fn a_connection_goes_on_after_a_body_that_was_read_to_its_end() {
    let cdn = open_to_all();
    cdn.origin().on_prefix("/", |request| {
        Reply::ok(format!("{} {:?}", request.target, request.body))
    });
    for client in [cdn.http(EDGE), cdn.https(EDGE)] {
        run(async {
            let mut connection = client.connect().await.unwrap();
            let host = format!("Host: {HOST}\r\n");
            let pipelined = format!(
                "POST /1 HTTP/1.1\r\n{host}Content-Length: 3\r\n\r\nabc\
                 POST /2 HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\nX: y\r\n\r\n\
                 POST /3 HTTP/1.1\r\n{host}Content-Length: 0\r\n\r\n\
                 GET /4 HTTP/1.1\r\n{host}\r\n"
            );
            connection.write(pipelined.as_bytes()).await.unwrap();
            for expected in ["/1 b\"abc\"", "/2 b\"de\"", "/3 b\"\"", "/4 b\"\""] {
                let response = connection.receive("POST").await.unwrap().rest().await.unwrap();
                assert_eq!(
                    (response.status(), &response.body[..]),
                    (200, expected.as_bytes())
                );
                assert_eq!(response.field("connection"), None);
            }
            connection.end().await.unwrap();
        });
    }
}

#[test]
fn the_body_of_a_get_is_dropped_unless_the_service_passes_it_on() {
    for (passes, expected) in [(false, ""), (true, "query")] {
        let cdn = builder()
            .parents("ams", 1)
            .edges("ams", 1)
            .service("demo", move |service| service.pass_get_bodies = passes)
            .start();
        cdn.origin().on("/search", Reply::ok("found"));
        for (name, client) in clients(&cdn) {
            cdn.origin().forget();
            let path = format!("/search?{}", name.replace(' ', "-"));
            let request = Request::new("GET", &path).body("query");
            for _ in 0..2 {
                assert_eq!(&client.send(&request).body[..], b"found", "{name}");
            }
            let seen = cdn.origin().requests();
            assert_eq!(seen.len(), if passes { 2 } else { 1 }, "{name}, {passes}");
            assert!(
                seen.iter().all(|request| request.body == expected),
                "{name}, {passes}"
            );
        }
    }
}

#[test]
fn a_client_that_goes_away_in_its_body_leaves_nothing_behind() {
    let cdn = open_to_all();
    cdn.origin().let_bodies_break_off();
    cdn.origin().on("/a", Reply::ok("a"));
    run(async {
        let mut connection = cdn.http(EDGE).connect().await.unwrap();
        let request = format!("POST /a HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 10\r\n\r\nhalf");
        connection.write(request.as_bytes()).await.unwrap();
        testkit::eventually(Duration::from_secs(10), || {
            (cdn.origin().open_connections() == 1).then_some(())
        });
        connection.abort();
    });
    testkit::eventually(Duration::from_secs(10), || {
        (cdn.origin().open_connections() == 0).then_some(())
    });
    assert_eq!(cdn.origin().total(), 0);
    let response = cdn.http(EDGE).try_send(&Request::new("POST", "/a").body("whole"));
    assert!(
        matches!(&response, Ok(response) if response.status() == 200),
        "{:?}",
        response.err().map(|error: ClientError| error.to_string())
    );
}
