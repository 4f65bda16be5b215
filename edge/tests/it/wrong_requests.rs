//! What clients must not do: each is answered with its status, and nothing of it is forwarded or kept.

use std::time::{Duration, Instant};

use model::Tier;
use testkit::cdn::{Cdn, HOST};
use testkit::client::{ClientError, Request, run};
use testkit::origin::Reply;

use crate::{EDGE, builder, one_of_each, results};

/// The fields of a refusal by the edge itself.
const OWN_FIELDS: [&str; 4] = ["content-type", "cache-control", "proxy-status", "allow"];

fn serving() -> Cdn {
    let cdn = one_of_each();
    cdn.origin()
        .on_prefix("/", |request| Reply::ok(format!("content of {}", request.target)));
    cdn
}

#[test]
fn malformed_requests_are_refused_and_reach_nobody() {
    let cdn = serving();
    let host = format!("Host: {HOST}\r\n");
    let table: &[(&str, String, u16)] = &[
        ("no host", "GET /a HTTP/1.1\r\n\r\n".into(), 400),
        ("no host in HTTP/1.0", "GET /a HTTP/1.0\r\n\r\n".into(), 400),
        (
            "two hosts",
            format!("GET /a HTTP/1.1\r\n{host}Host: other.test\r\n\r\n"),
            400,
        ),
        (
            "the same host twice",
            format!("GET /a HTTP/1.1\r\n{host}{host}\r\n"),
            400,
        ),
        ("an empty host", "GET /a HTTP/1.1\r\nHost:\r\n\r\n".into(), 400),
        (
            "user information in the host",
            format!("GET /a HTTP/1.1\r\nHost: user@{HOST}\r\n\r\n"),
            400,
        ),
        (
            "a path in the host",
            format!("GET /a HTTP/1.1\r\nHost: {HOST}/b\r\n\r\n"),
            400,
        ),
        ("a newer version", format!("GET /a HTTP/2.0\r\n{host}\r\n"), 400),
        ("HTTP/0.9", "GET /a\r\n\r\n".into(), 400),
        ("no method", format!(" /a HTTP/1.1\r\n{host}\r\n"), 400),
        ("two spaces", format!("GET  /a HTTP/1.1\r\n{host}\r\n"), 400),
        (
            "a space in the target",
            format!("GET /a b HTTP/1.1\r\n{host}\r\n"),
            400,
        ),
        ("a bare line feed", format!("GET /a HTTP/1.1\n{host}\r\n"), 400),
        (
            "a bare carriage return",
            format!("GET /a HTTP/1.1\r\n{host}X: a\rb\r\n\r\n"),
            400,
        ),
        ("a NUL", format!("GET /a HTTP/1.1\r\n{host}X: a\0b\r\n\r\n"), 400),
        (
            "a space before the colon",
            format!("GET /a HTTP/1.1\r\n{host}X : a\r\n\r\n"),
            400,
        ),
        (
            "a folded field",
            format!("GET /a HTTP/1.1\r\n{host}X: a\r\n b\r\n\r\n"),
            400,
        ),
        (
            "a field without a name",
            format!("GET /a HTTP/1.1\r\n{host}: a\r\n\r\n"),
            400,
        ),
        (
            "two ways of framing",
            format!(
                "POST /a HTTP/1.1\r\n{host}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
            400,
        ),
        (
            "two lengths",
            format!("GET /a HTTP/1.1\r\n{host}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
            400,
        ),
        (
            "a list of lengths",
            format!("GET /a HTTP/1.1\r\n{host}Content-Length: 1, 1\r\n\r\na"),
            400,
        ),
        (
            "a negative length",
            format!("GET /a HTTP/1.1\r\n{host}Content-Length: -1\r\n\r\n"),
            400,
        ),
        (
            "a length with a sign",
            format!("GET /a HTTP/1.1\r\n{host}Content-Length: +1\r\n\r\na"),
            400,
        ),
        (
            "a dot segment",
            format!("GET /a/../b HTTP/1.1\r\n{host}\r\n"),
            400,
        ),
        (
            "an encoded dot segment",
            format!("GET /a/%2e%2E/b HTTP/1.1\r\n{host}\r\n"),
            400,
        ),
        (
            "a dot segment between encoded slashes",
            format!("GET /a%2f..%2fb HTTP/1.1\r\n{host}\r\n"),
            400,
        ),
        (
            "a dot segment between backslashes",
            format!("GET /a\\..\\b HTTP/1.1\r\n{host}\r\n"),
            400,
        ),
        (
            "an escape that is none",
            format!("GET /a%zz HTTP/1.1\r\n{host}\r\n"),
            400,
        ),
        ("half an escape", format!("GET /a%2 HTTP/1.1\r\n{host}\r\n"), 400),
        ("an escaped NUL", format!("GET /a%00 HTTP/1.1\r\n{host}\r\n"), 400),
        (
            "a target that is no path",
            format!("GET a HTTP/1.1\r\n{host}\r\n"),
            400,
        ),
        (
            "TLS on the plain port",
            "\u{16}\u{3}\u{1}\0\u{5}\u{1}\0\0\u{1}\u{3}".into(),
            400,
        ),
        (
            "a host nobody serves",
            "GET /a HTTP/1.1\r\nHost: other.test\r\n\r\n".into(),
            421,
        ),
        (
            "an address as host",
            "GET /a HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n".into(),
            421,
        ),
        (
            "absolute form of a host nobody serves",
            "GET http://other.test/a HTTP/1.1\r\nHost: other.test\r\n\r\n".into(),
            421,
        ),
        (
            "CONNECT",
            "CONNECT other.test:443 HTTP/1.1\r\nHost: other.test:443\r\n\r\n".into(),
            405,
        ),
        (
            "CONNECT to ourselves",
            format!("CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n\r\n"),
            405,
        ),
        (
            "POST",
            format!("POST /a HTTP/1.1\r\n{host}Content-Length: 1\r\n\r\na"),
            405,
        ),
        (
            "a method nobody knows",
            format!("BREW /a HTTP/1.1\r\n{host}\r\n"),
            405,
        ),
        ("TRACE", format!("TRACE /a HTTP/1.1\r\n{host}\r\n"), 405),
        (
            "a circle",
            format!("GET /a HTTP/1.1\r\n{host}CDN-Loop: test; node=\"edge-ams-1\"\r\n\r\n"),
            508,
        ),
        (
            "too many rounds",
            format!("GET /a HTTP/1.1\r\n{host}CDN-Loop: test, test, test, test, test\r\n\r\n"),
            508,
        ),
        (
            "a list of CDNs that is none",
            format!("GET /a HTTP/1.1\r\n{host}CDN-Loop: ;;\r\n\r\n"),
            400,
        ),
    ];
    let client = cdn.http(EDGE).patience(Duration::from_secs(10));
    let mut wrong = Vec::new();
    for (name, bytes, status) in table {
        match client.try_raw(bytes.as_bytes()) {
            Ok(response) if response.status() == *status => {
                let unexpected = response.head.fields.iter().find(|(name, _)| {
                    let name = name.to_ascii_lowercase();
                    !OWN_FIELDS.contains(&name.as_str())
                        && !["date", "connection", "content-length"].contains(&name.as_str())
                });
                assert_eq!(unexpected, None, "{name}");
            }
            Ok(response) => wrong.push(format!("{name}: {} instead of {status}", response.status())),
            Err(error) => wrong.push(format!("{name}: {error} instead of {status}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(cdn.origin().total(), 0, "{:?}", cdn.origin().requests());
    for result in [
        "hit",
        "miss",
        "collapsed",
        "pass",
        "error",
        "stale",
        "revalidated",
    ] {
        assert_eq!(results(&cdn, EDGE, result), 0.0, "{result}");
    }
    assert_eq!(
        client.get("/a").status(),
        200,
        "and the edge is as well as before"
    );
}

#[test]
fn a_mismatch_of_target_and_host_is_never_answered_with_content() {
    let cdn = serving();
    for target in ["http://other.test/a", &format!("http://{HOST}/a")] {
        let host = if target.contains("other") {
            HOST
        } else {
            "other.test"
        };
        let response = cdn
            .http(EDGE)
            .try_raw(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())
            .unwrap();
        assert!(
            matches!(response.status(), 400 | 421),
            "{target} with {host}: {}",
            response.head
        );
    }
    assert_eq!(cdn.origin().total(), 0);
    let own = cdn
        .http(EDGE)
        .try_raw(format!("GET http://{HOST}/a HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes())
        .unwrap();
    assert_eq!((own.status(), &own.body[..]), (200, &b"content of /a"[..]));
}

#[test]
fn an_encoded_slash_stays_what_it_is() {
    let cdn = serving();
    for target in ["/a%2fb", "/a%2Fb", "/a/b"] {
        assert_eq!(cdn.http(EDGE).get(target).status(), 200);
    }
    let targets: Vec<String> = cdn
        .origin()
        .requests()
        .into_iter()
        .map(|request| request.target)
        .collect();
    assert_eq!(targets, ["/a%2Fb", "/a/b"], "two names, two objects");
}

#[test]
fn http_1_0_is_answered_and_its_connection_closed() {
    let cdn = serving();
    let response = cdn
        .http(EDGE)
        .try_raw(format!("GET /a HTTP/1.0\r\nHost: {HOST}\r\n\r\n").as_bytes())
        .unwrap();
    assert_eq!(
        (response.status(), &response.body[..]),
        (200, &b"content of /a"[..])
    );
    assert_eq!(response.field("connection"), Some("close"));
}

#[test]
fn the_body_of_a_get_is_never_read_as_the_next_request() {
    let cdn = serving();
    let smuggled = format!("GET /secret HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    for path in ["/a", "/a", "/b"] {
        let request = Request::get(path).body(smuggled.clone());
        // The strict client fails on a second response.
        let response = cdn.http(EDGE).send(&request);
        assert_eq!(
            (response.status(), response.field("connection")),
            (200, Some("close")),
            "{path}"
        );
    }
    let chunked = format!(
        "GET /c HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n{smuggled}"
    );
    let response = cdn.http(EDGE).try_raw(chunked.as_bytes()).unwrap();
    assert_eq!(
        (response.status(), response.field("connection")),
        (200, Some("close"))
    );
    let expected = Request::get("/d").field("Expect", "100-continue").body("abc");
    assert_eq!(cdn.http(EDGE).send(&expected).field("connection"), Some("close"));
    let targets: Vec<String> = cdn
        .origin()
        .requests()
        .into_iter()
        .map(|request| request.target)
        .collect();
    assert_eq!(targets, ["/a", "/b", "/c", "/d"]);
    assert!(
        cdn.origin()
            .requests()
            .iter()
            .all(|request| request.body.is_empty())
    );
}

#[test]
fn options_is_answered_for_the_node_and_relayed_for_an_object() {
    let cdn = serving();
    let own = cdn.http(EDGE).send(&Request::new("OPTIONS", "*"));
    own.expect(204)
        .field("Allow", "GET, HEAD, OPTIONS")
        .any("Cache-Control")
        .and_no_other_field();
    assert_eq!(cdn.origin().total(), 0);
    assert_eq!(cdn.http(EDGE).send(&Request::new("OPTIONS", "/a")).status(), 200);
    assert_eq!(cdn.origin().requests()[0].method, "OPTIONS");
}

#[test]
fn a_head_of_64_kib_is_refused_with_431_and_one_below_the_limit_is_not() {
    let cdn = serving();
    let long = |bytes: usize| Request::get("/a").field("X-Long", "y".repeat(bytes));
    for client in [cdn.http(EDGE), cdn.https(EDGE)] {
        let refused = client.send(&long(64 * 1024));
        refused
            .expect(431)
            .field("Connection", "close")
            .body(b"")
            .and_no_other_field();
    }
    let many = (0..5000).fold(Request::get("/a"), |request, number| {
        request.field(&format!("X-{number}"), "y")
    });
    assert_eq!(cdn.http(EDGE).send(&many).status(), 431);
    assert_eq!(cdn.origin().total(), 0);
    assert_eq!(cdn.http(EDGE).send(&long(20 * 1024)).status(), 200);
    assert_eq!(cdn.daemon(EDGE).metric("millrace_front_refused_total", &[]), 3.0);

    match cdn.http2(EDGE).try_send(&long(64 * 1024)) {
        Ok(response) => assert_eq!(response.status(), 431),
        Err(ClientError::Stream(_)) => {}
        Err(other) => panic!("{other}"),
    }
    assert_eq!(cdn.http2(EDGE).get("/a").status(), 200);
}

#[test]
fn a_head_that_comes_a_byte_at_a_time_is_given_up_with_408() {
    let cdn = builder()
        .parents("ams", 1)
        .edges("ams", 1)
        .settings(Tier::Edge, |settings| {
            settings.text("listen", "header_timeout", "500ms");
        })
        .start();
    cdn.origin().on("/a", Reply::ok("a"));
    run(async {
        let mut connection = cdn.http(EDGE).connect().await.unwrap();
        let began = Instant::now();
        let mut pace = tokio::time::interval(Duration::from_millis(100));
        // The deadline is for the whole head: a byte now and then does not move it.
        for byte in format!("GET /a HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes() {
            pace.tick().await;
            if connection.write(&[*byte]).await.is_err() || began.elapsed() > Duration::from_secs(1) {
                break;
            }
        }
        let response = connection.receive("GET").await.unwrap().rest().await.unwrap();
        response
            .expect(408)
            .field("Connection", "close")
            .body(b"")
            .and_no_other_field();
    });
    assert_eq!(
        cdn.daemon(EDGE)
            .metric("millrace_front_refused_total", &[("reason", "header_timeout")]),
        1.0
    );
    assert_eq!(cdn.origin().total(), 0);
}

#[test]
fn over_h2_too_only_what_is_served_is_answered() {
    let cdn = serving();
    let client = cdn.http2(EDGE);
    assert_eq!(
        client
            .clone()
            .host("other.test")
            .server_name(HOST)
            .get("/a")
            .status(),
        421
    );
    for (target, status) in [
        ("/a/../b", 400),
        ("/a/%2e%2e/b", 400),
        ("/a%zz", 400),
        ("/fine", 200),
    ] {
        assert_eq!(client.get(target).status(), status, "{target}");
    }
    assert_eq!(client.send(&Request::new("POST", "/a").body("x")).status(), 405);
    let circle = Request::get("/a").field("cdn-loop", "test; node=\"edge-ams-1\"");
    assert_eq!(client.send(&circle).status(), 508);
    assert_eq!(cdn.origin().total(), 1);
}

#[test]
fn beyond_the_connection_cap_a_client_is_turned_away_and_a_place_that_is_left_is_given_again() {
    let cdn = builder()
        .parents("ams", 1)
        .edges("ams", 1)
        .settings(Tier::Edge, |settings| {
            settings.number("listen", "max_connections", 10);
        })
        .start();
    cdn.origin().on("/a", Reply::ok("a"));
    run(async {
        let mut held = Vec::new();
        for _ in 0..10 {
            let mut connection = cdn.http(EDGE).connect().await.unwrap();
            assert_eq!(connection.send(&Request::get("/a")).await.unwrap().status(), 200);
            held.push(connection);
        }
        let beyond = cdn.http(EDGE).fetch(&Request::get("/a")).await;
        assert!(
            matches!(beyond, Err(ClientError::Closed | ClientError::Reset)),
            "{beyond:?}"
        );
        held.pop();
    });
    testkit::eventually(Duration::from_secs(5), || {
        cdn.http(EDGE).try_send(&Request::get("/a"))
    });
    assert!(
        cdn.daemon(EDGE)
            .metric("millrace_front_refused_total", &[("reason", "connection_cap")])
            >= 1.0
    );
}
