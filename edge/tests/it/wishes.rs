//! What a player's own cache directives do (RFC 9111 §5.2.1), and what they cannot do.

use std::time::Duration;

use model::Period;
use model::service::{ClientDirectives, Service};
use testkit::cdn::Cdn;
use testkit::client::{Request, Response};
use testkit::origin::Reply;

use crate::{EDGE, builder};

const PATH: &str = "/demo/1.m4s";

/// A CDN whose origin answers `content` with an entity tag, and confirms it.
fn cdn(change: impl FnOnce(&mut Service) + 'static) -> Cdn {
    let change = |service: &mut Service| {
        // The sample's rules take `Pragma` away before anybody heeds it.
        service.header_rules.clear();
        change(service);
    };
    let cdn = builder()
        .parents("ams", 1)
        .edges("ams", 1)
        .service("demo", change)
        .start();
    cdn.origin()
        .on_each(PATH, |request| match request.field("if-none-match") {
            Some("\"one\"") => Reply::status(304).field("ETag", "\"one\""),
            _ => Reply::ok("content").field("ETag", "\"one\""),
        });
    cdn
}

fn at_once(service: &mut Service) {
    service.revalidation_floor = Period(Duration::ZERO);
}

/// Asks over each protocol in turn, so that no wish depends on one.
fn ask(cdn: &Cdn, nth: usize, name: &str, value: &str) -> Response {
    let client = match nth % 3 {
        0 => cdn.http(EDGE),
        1 => cdn.https(EDGE),
        _ => cdn.http2(EDGE),
    };
    client.send(&Request::get(PATH).field(name, value))
}

#[test]
fn a_wish_that_the_object_does_not_meet_asks_the_origin_whether_it_holds() {
    let cdn = cdn(at_once);
    assert_eq!(cdn.http(EDGE).get(PATH).body, "content");
    let mut asked = 1;
    for (nth, (name, value, asks)) in [
        ("Cache-Control", "no-cache", true),
        ("Cache-Control", "max-age=3600", false),
        ("Cache-Control", "max-age=0, max-age=3600", true),
        ("Cache-Control", "min-fresh=1", false),
        ("Cache-Control", "min-fresh=7200", true),
        ("Cache-Control", "max-stale", false),
        ("Cache-Control", "only-if-cached", false),
        ("Pragma", "no-cache", true),
        ("Pragma", "other", false),
    ]
    .into_iter()
    .enumerate()
    {
        // What is younger than a millisecond may meet any wish.
        let before = cdn.origin().total();
        testkit::eventually(Duration::from_secs(20), || {
            let response = ask(&cdn, nth, name, value);
            assert_eq!(
                (response.status(), &response.body[..]),
                (200, &b"content"[..]),
                "{value}"
            );
            match cdn.origin().total() > before {
                found if found == asks => Ok(()),
                found => Err(format!(
                    "{name}: {value}: asked the origin: {found}; {:?}",
                    response.head
                )),
            }
        });
        asked += u32::from(asks);
    }
    let requests = cdn.origin().requests();
    assert_eq!(requests.len(), asked as usize);
    for request in &requests[1..] {
        assert_eq!(request.field("if-none-match"), Some("\"one\""));
        assert!(
            request.field("cache-control").is_some(),
            "the origin is told of the wish"
        );
        assert_eq!(request.field("pragma"), None);
    }
}

#[test]
fn wishes_do_not_let_anybody_hammer_the_origin() {
    let cdn = cdn(|service| service.revalidation_floor = Period(Duration::from_secs(3600)));
    for nth in 0..12 {
        assert_eq!(ask(&cdn, nth, "Cache-Control", "no-cache").body, "content");
    }
    assert_eq!(cdn.origin().total(), 1);
}

#[test]
fn a_service_may_ignore_what_players_wish() {
    let cdn = cdn(|service| {
        at_once(service);
        service.client_directives = ClientDirectives::Ignore;
    });
    for value in ["no-cache", "max-age=0", "only-if-cached", "min-fresh=9999999"] {
        assert_eq!(ask(&cdn, 0, "Cache-Control", value).body, "content", "{value}");
    }
    let requests = cdn.origin().requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(
        requests[0].field("cache-control"),
        None,
        "the origin is not told either"
    );
}

#[test]
fn who_wants_only_what_is_cached_gets_504_and_upstream_is_not_asked() {
    let cdn = cdn(at_once);
    for nth in 0..3 {
        let response = ask(&cdn, nth, "Cache-Control", "only-if-cached");
        assert_eq!(response.status(), 504);
    }
    assert_eq!(cdn.origin().total(), 0);
    assert_eq!(cdn.http(EDGE).get(PATH).status(), 200);
    for nth in 0..3 {
        let response = ask(&cdn, nth, "Cache-Control", "only-if-cached");
        assert_eq!((response.status(), &response.body[..]), (200, &b"content"[..]));
    }
    assert_eq!(cdn.origin().total(), 1);
}
