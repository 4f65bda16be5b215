//! What one client may do to the others who share the cache: nothing.

use testkit::client::Request;
use testkit::origin::Reply;

use crate::{EDGE, builder, one_of_each, results};

#[test]
fn what_one_client_says_of_itself_does_not_reach_the_origin_with_a_fill_for_all() {
    let cdn = one_of_each();
    cdn.origin().on_each("/demo/1.m4s", |request| {
        let told = ["cookie", "x-forwarded-host", "x-original-url", "forwarded"]
            .iter()
            .any(|name| request.field(name).is_some());
        Reply::ok(if told { "for one" } else { "for all" })
    });
    let poison = Request::get("/demo/1.m4s")
        .field("Cookie", "viewer=1")
        .field("X-Forwarded-Host", "evil.test")
        .field("X-Original-URL", "/other")
        .field("Forwarded", "host=evil.test");
    assert_eq!(&cdn.https(EDGE).send(&poison).body[..], b"for all");
    assert_eq!(&cdn.https(EDGE).get("/demo/1.m4s").body[..], b"for all");
    assert_eq!(cdn.origin().total(), 1);
}

#[test]
fn a_head_request_for_what_is_not_stored_gets_no_body_and_keeps_its_connection() {
    let cdn = one_of_each();
    cdn.origin().on(
        "/demo/private.m4s",
        Reply::generated("p", 50_000).field("Cache-Control", "private"),
    );
    for client in [cdn.http(EDGE), cdn.https(EDGE), cdn.http2(EDGE)] {
        let response = client.send(&Request::head("/demo/private.m4s"));
        assert_eq!(response.status(), 200);
        assert_eq!(response.field("Content-Length"), Some("50000"));
        assert!(response.body.is_empty());
        assert!(response.field("Date").is_some());
        assert_ne!(response.field("Connection"), Some("close"));
    }
    assert_eq!(cdn.daemon(EDGE).metric("millrace_responses_cut_total", &[]), 0.0);
}

#[test]
fn an_answer_without_content_has_no_length_and_no_body() {
    let cdn = builder()
        .parents("ams", 1)
        .edges("ams", 1)
        .service("demo", |service| service.ttl = None)
        .start();
    cdn.origin()
        .on("/empty", Reply::status(204).field("Cache-Control", "max-age=60"));
    for _ in 0..2 {
        for client in [cdn.http(EDGE), cdn.http2(EDGE)] {
            let response = client.get("/empty");
            assert_eq!(response.status(), 204);
            assert_eq!(response.field("Content-Length"), None);
            assert_eq!(response.field("Transfer-Encoding"), None);
        }
    }
    assert_eq!(cdn.origin().total(), 1);
    assert_eq!(results(&cdn, EDGE, "miss"), 1.0);
}

#[test]
fn a_status_that_one_request_caused_does_not_keep_the_object_out_of_the_cache() {
    let cdn = one_of_each();
    cdn.origin()
        .on_each("/demo/1.m4s", |request| match request.field("x-wrong") {
            Some(_) => Reply::status(400),
            None => Reply::ok("content"),
        });
    let wrong = Request::get("/demo/1.m4s").field("X-Wrong", "1");
    assert_eq!(cdn.http(EDGE).send(&wrong).status(), 400);
    for _ in 0..3 {
        assert_eq!(cdn.http(EDGE).get("/demo/1.m4s").status(), 200);
    }
    assert_eq!(cdn.origin().total(), 2, "the refusal, and one fill");
    for (result, count) in [("pass", 1.0), ("miss", 1.0), ("hit", 2.0)] {
        assert_eq!(results(&cdn, EDGE, result), count, "{result}");
    }
}
