//! Interim answers (1xx) and trailers: passed on where the client knows them, never stored, never merged.

use testkit::cdn::HOST;
use testkit::client::Request;
use testkit::origin::Reply;

use crate::EDGE;
use crate::methods::{clients, open_to_all};

const HINT: &str = "</style.css>; rel=preload";

#[test]
fn early_hints_reach_clients_of_both_protocols() {
    let cdn = open_to_all();
    let reply = Reply::ok("page")
        .interim(103, "Link", HINT)
        .interim(103, "Link", "</b.js>")
        .interim(199, "X", "y");
    cdn.origin().on("/page", reply);
    for (name, client) in clients(&cdn) {
        let response = client.send(&Request::new("POST", "/page").body("x"));
        assert_eq!(
            (response.status(), &response.body[..]),
            (200, &b"page"[..]),
            "{name}"
        );
        assert_eq!(response.head.interim, [103, 103, 199], "{name}");
        let hints = &response.head.interim_heads;
        assert_eq!(
            (hints[0].field("link"), hints[1].field("link")),
            (Some(HINT), Some("</b.js>")),
            "{name}"
        );
        assert_eq!(response.field("link"), None, "{name}");
    }
}

#[test]
fn a_client_of_http_1_0_hears_of_no_interim_answer() {
    let cdn = open_to_all();
    cdn.origin()
        .on("/page", Reply::ok("page").interim(103, "Link", HINT));
    let request = format!("POST /page HTTP/1.0\r\nHost: {HOST}\r\nContent-Length: 1\r\n\r\nx");
    let response = cdn.http(EDGE).try_raw(request.as_bytes()).unwrap();
    assert_eq!((response.status(), &response.head.interim), (200, &vec![]));
}

#[test]
fn interim_answers_to_a_fill_are_neither_passed_on_nor_stored() {
    let cdn = open_to_all();
    cdn.origin()
        .on("/page", Reply::ok("page").interim(103, "Link", HINT));
    for (name, client) in clients(&cdn) {
        let response = client.get("/page");
        assert_eq!(
            (response.status(), &response.body[..]),
            (200, &b"page"[..]),
            "{name}"
        );
        assert_eq!(
            (&response.head.interim, response.field("link")),
            (&vec![], None),
            "{name}"
        );
    }
    assert_eq!(cdn.origin().total(), 1);
}

#[test]
fn more_interim_answers_than_anybody_sends_are_a_fault_of_the_origin() {
    let cdn = open_to_all();
    let reply = (0..20).fold(Reply::ok("page"), |reply, _| reply.interim(103, "Link", HINT));
    cdn.origin().on("/page", reply);
    let response = cdn.http(EDGE).send(&Request::new("POST", "/page"));
    assert_eq!(response.status(), 502);
}

#[test]
fn trailers_of_a_relayed_answer_reach_who_takes_them_and_are_dropped_otherwise() {
    let cdn = open_to_all();
    let reply = Reply::generated("t", 100_000)
        .chunked(30_000)
        .trailer("x-checksum", "42")
        .trailer("content-length", "5")
        .trailer("set-cookie", "a=b");
    cdn.origin().on("/t", reply);
    for (name, client) in clients(&cdn) {
        let expected = vec![("x-checksum".to_owned(), "42".to_owned())];
        let asking = client.send(&Request::new("POST", "/t").field("te", "trailers"));
        assert_eq!((asking.status(), &asking.trailers), (200, &expected), "{name}");
        assert_eq!(
            (asking.field("x-checksum"), asking.field("set-cookie")),
            (None, None),
            "{name}"
        );
        // The strict client takes a trailer over h1 that it did not ask for for a violation.
        let silent = client.send(&Request::new("POST", "/t"));
        assert_eq!(silent.body, testkit::body("t", 100_000), "{name}");
        assert_eq!(silent.trailers.is_empty(), name != "h2", "{name}");
    }
}

#[test]
fn trailers_of_what_is_cached_are_dropped() {
    let cdn = open_to_all();
    cdn.origin().on(
        "/t",
        Reply::generated("t", 1000)
            .chunked(300)
            .trailer("x-checksum", "42"),
    );
    for _ in 0..2 {
        for (name, client) in clients(&cdn) {
            let response = client.send(&Request::get("/t").field("te", "trailers"));
            assert_eq!((response.status(), &response.trailers), (200, &vec![]), "{name}");
            assert_eq!(response.field("x-checksum"), None, "{name}");
        }
    }
    assert_eq!(cdn.origin().total(), 1);
}
