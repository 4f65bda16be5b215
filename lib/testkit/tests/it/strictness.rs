//! What the client refuses, though many would cope with it.

use testkit::client::{Client, ClientError, Request};
use testkit::origin::{Origin, Reply};

#[test]
fn each_of_these_responses_is_a_violation() {
    let table: &[(&str, &str)] = &[
        (
            "a second response",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "bytes after the end",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc",
        ),
        (
            "a body of a 304",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nab",
        ),
        (
            "two lengths",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        ),
        (
            "a signed length",
            "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na",
        ),
        (
            "length and chunks",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "another coding",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        ),
        ("no framing and no close", "HTTP/1.1 200 OK\r\n\r\nabc"),
        (
            "a 204 with a length",
            "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        ),
        ("bare line feeds", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n"),
        ("an old version", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
        (
            "no space for a reason",
            "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "a space before the colon",
            "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
        ),
        (
            "a folded field",
            "HTTP/1.1 200 OK\r\nX-A: 1\r\n  2\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "a chunk longer than it says",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
        ),
        (
            "a chunk size in words",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        ),
        (
            "a trailer",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: 1\r\n\r\n",
        ),
    ];
    let origin = Origin::start();
    for (name, response) in table {
        origin.on("/a", Reply::raw(*response));
        match Client::plain(origin.address()).try_send(&Request::get("/a")) {
            Err(ClientError::Violation(_)) => {}
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn interim_responses_are_remembered_and_passed_over() {
    let origin = Origin::start();
    origin.on(
        "/a",
        Reply::raw("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"),
    );
    let response = Client::plain(origin.address()).get("/a");
    response.expect(200).body(b"a").and_no_other_field();
    assert_eq!(response.head.interim, [103]);
}
