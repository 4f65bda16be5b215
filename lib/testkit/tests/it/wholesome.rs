//! What goes right: answers, counts, conditionals, ranges, restarts.

use testkit::client::{Client, Request};
use testkit::origin::{Origin, Reply};
use testkit::{body, sha256};

#[test]
fn an_answer_arrives_as_scripted_and_the_request_is_remembered() {
    let origin = Origin::start();
    origin.on(
        "/a",
        Reply::ok("hello")
            .field("Content-Type", "text/plain")
            .field("X-Two", "1")
            .field("X-Two", "2"),
    );
    let request = Request::new("POST", "/a?q=1")
        .field("X-First", "1")
        .field("X-Second", "2")
        .body("sent");
    let response = Client::plain(origin.address()).host("media.test").send(&request);
    response
        .expect(200)
        .field("Content-Type", "text/plain")
        .any("X-Two")
        .body(b"hello")
        .and_no_other_field();
    assert_eq!(response.head.values("x-two"), ["1", "2"]);

    let seen = origin.requests();
    assert_eq!(seen.len(), 1);
    assert_eq!(
        (seen[0].method.as_str(), seen[0].target.as_str(), seen[0].path()),
        ("POST", "/a?q=1", "/a")
    );
    assert_eq!(&seen[0].body[..], b"sent");
    let names: Vec<&str> = seen[0].fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Host", "X-First", "X-Second", "Content-Length"]);
    assert_eq!(seen[0].field("host"), Some("media.test"));
    assert_eq!(
        (origin.count("/a"), origin.count("/b"), origin.total()),
        (1, 0, 1)
    );
}

#[test]
fn a_generated_body_is_the_same_whole_chunked_or_until_close() {
    let origin = Origin::start();
    let expected = body("title/1.m4s", 300_000);
    let reply = Reply::generated("title/1.m4s", 300_000);
    origin.on("/whole", reply.clone());
    origin.on("/chunked", reply.clone().chunked(7_000));
    origin.on("/close", reply.until_close());
    let client = Client::plain(origin.address());
    for path in ["/whole", "/chunked", "/close"] {
        let response = client.get(path);
        response.expect(200).body(&expected).and_no_other_field();
        assert_eq!(sha256(&response.body), sha256(&expected), "{path}");
        assert_eq!(origin.bytes_sent(path), 300_000);
    }
}

#[test]
fn a_validator_that_matches_is_answered_304() {
    let origin = Origin::start();
    origin.on("/a", Reply::ok("hello").field("ETag", "\"v1\""));
    let client = Client::plain(origin.address());
    let ask = |value: &str| client.send(&Request::get("/a").field("If-None-Match", value));
    ask("\"v1\"")
        .expect(304)
        .field("ETag", "\"v1\"")
        .body(b"")
        .and_no_other_field();
    ask("\"v0\", \"v1\"")
        .expect(304)
        .field("ETag", "\"v1\"")
        .and_no_other_field();
    ask("\"v0\"")
        .expect(200)
        .field("ETag", "\"v1\"")
        .body(b"hello")
        .and_no_other_field();
}

#[test]
fn a_range_is_honoured_only_where_the_script_says_so() {
    let origin = Origin::start();
    origin.on(
        "/with",
        Reply::ok("0123456789").field("ETag", "\"v1\"").with_ranges(),
    );
    origin.on("/without", Reply::ok("0123456789"));
    let client = Client::plain(origin.address());
    let ask = |path: &str, range: &str| client.send(&Request::get(path).field("Range", range));
    ask("/with", "bytes=2-4")
        .expect(206)
        .field("Content-Range", "bytes 2-4/10")
        .any("ETag")
        .body(b"234")
        .and_no_other_field();
    ask("/with", "bytes=8-")
        .expect(206)
        .field("Content-Range", "bytes 8-9/10")
        .any("ETag")
        .body(b"89")
        .and_no_other_field();
    ask("/with", "bytes=10-")
        .expect(416)
        .field("Content-Range", "bytes */10")
        .and_no_other_field();
    ask("/without", "bytes=2-4")
        .expect(200)
        .body(b"0123456789")
        .and_no_other_field();
    let other = Request::get("/with")
        .field("Range", "bytes=2-4")
        .field("If-Range", "\"v0\"");
    client
        .send(&other)
        .expect(200)
        .any("ETag")
        .body(b"0123456789")
        .and_no_other_field();
}

#[test]
fn head_is_answered_without_a_body_and_the_connection_stays_usable() {
    let origin = Origin::start();
    origin.on("/a", Reply::ok("hello"));
    testkit::client::run(async {
        let mut connection = Client::plain(origin.address()).connect().await.unwrap();
        let head = connection.send(&Request::head("/a")).await.unwrap();
        head.expect(200)
            .field("Content-Length", "5")
            .body(b"")
            .and_no_other_field();
        let whole = connection.send(&Request::get("/a")).await.unwrap();
        whole.expect(200).body(b"hello").and_no_other_field();
        connection.end().await.unwrap();
    });
    assert_eq!(origin.connections(), 1);
}

#[test]
fn the_script_may_answer_by_prefix_and_change_its_mind() {
    let origin = Origin::start();
    origin.on_prefix("/", |_| Reply::status(404));
    origin.on_prefix("/seg/", |request| Reply::ok(request.path().to_owned()));
    origin.on("/seg/special", Reply::ok("special"));
    let client = Client::plain(origin.address());
    client
        .get("/seg/1")
        .expect(200)
        .body(b"/seg/1")
        .and_no_other_field();
    client
        .get("/seg/special")
        .expect(200)
        .body(b"special")
        .and_no_other_field();
    client.get("/other").expect(404).and_no_other_field();
    origin.on("/other", Reply::ok("now"));
    client.get("/other").expect(200).body(b"now").and_no_other_field();
    assert_eq!(origin.total(), 4);
    origin.forget();
    assert_eq!(origin.total(), 0);
}

#[test]
#[should_panic(expected = "fields that nobody expected")]
fn a_field_that_nobody_expected_fails_the_test() {
    let origin = Origin::start();
    origin.on("/a", Reply::ok("").field("X-Leak", "1"));
    Client::plain(origin.address())
        .get("/a")
        .expect(200)
        .and_no_other_field();
}
