//! When upstream fails: what is fresh is served, what may be stale too, the rest is told apart by status; and strict
//! parenting holds.

use std::time::Duration;

use model::{Period, Service, Tier};
use testkit::body;
use testkit::cdn::Cdn;
use testkit::client::{ClientError, Request, Response};
use testkit::eventually;
use testkit::origin::Reply;

use crate::{EDGE, builder, from_cache, one_of_each, results};

const PATH: &str = "/demo/1.m4s";

/// Far above the pauses of mark-down and the TTLs of these stories.
const SOON: Duration = Duration::from_secs(15);

/// A service whose segments are stale after a second, and may stand in for so long.
fn soon_stale(stale_if_error: Duration) -> impl FnOnce(&mut Service) {
    move |service| {
        let ttl = service.ttl.as_mut().unwrap();
        ttl.segment = Some(Period(Duration::from_secs(1)));
        service.stale_if_error = Period(stale_if_error);
    }
}

fn is_stale(response: &Response) -> bool {
    response.field("Age").is_some_and(|age| age != "0")
}

#[track_caller]
fn expect_failure(response: &Response, status: u16, error: &str) {
    response
        .expect(status)
        .field_with("Proxy-Status", &[&format!("error={error}")])
        .any("Cache-Status")
        .any("Via")
        .any("Age")
        .any("X-Region")
        .any("Accept-Ranges")
        .any("Content-Type")
        .field("Cache-Control", "no-store")
        .and_no_other_field();
}

#[test]
fn a_failing_origin_is_told_apart_by_status_and_its_return_is_noticed() {
    let mut cdn = one_of_each();
    let table = [
        (Reply::reset(), 502, "connection_terminated"),
        (Reply::close(), 502, "connection_terminated"),
        (Reply::hang(), 504, "http_response_timeout"),
        (Reply::raw("no HTTP at all\r\n\r\n"), 502, "http_protocol_error"),
    ];
    for (number, (reply, status, error)) in table.into_iter().enumerate() {
        let path = format!("/demo/{number}.m4s");
        cdn.origin().on(&path, reply);
        expect_failure(&cdn.http(EDGE).get(&path), status, error);
        cdn.origin().on(&path, Reply::ok("back"));
        eventually(SOON, || cdn.http(EDGE).get(&path).status() == 200);
    }
    cdn.origins()[0].stop();
    eventually(SOON, || {
        let response = cdn.http(EDGE).get("/demo/refused.m4s");
        let why = response.head.joined("Proxy-Status");
        if response.status() == 502 && why.contains("connection_refused") {
            Ok(())
        } else {
            Err(why)
        }
    });
    cdn.origins()[0].start_again();
    cdn.origin().on("/demo/refused.m4s", Reply::ok("back"));
    eventually(SOON, || cdn.http(EDGE).get("/demo/refused.m4s").status() == 200);
}

#[test]
fn what_is_fresh_is_served_while_the_origin_is_gone() {
    let mut cdn = one_of_each();
    cdn.origin().on(PATH, Reply::generated("1", 100_000));
    let client = cdn.http(EDGE);
    assert_eq!(client.get(PATH).status(), 200);
    cdn.origins()[0].stop();
    for _ in 0..10 {
        from_cache(&client.get(PATH), 200, &["hit"])
            .field("Cache-Control", "max-age=3600")
            .body(&body("1", 100_000))
            .and_no_other_field();
    }
}

#[test]
fn what_is_stale_stands_in_while_the_origin_is_gone_and_is_refreshed_once_it_is_back() {
    let mut cdn = builder()
        .parents("ams", 1)
        .edges("ams", 1)
        .service("demo", soon_stale(Duration::from_secs(600)))
        .start();
    cdn.origin().on(PATH, Reply::ok("old").field("ETag", "\"old\""));
    let client = cdn.http(EDGE);
    assert_eq!(&client.get(PATH).body[..], b"old");
    cdn.origins()[0].stop();
    let stale = eventually(SOON, || {
        let response = client.get(PATH);
        assert_eq!(
            (response.status(), &response.body[..]),
            (200, &b"old"[..]),
            "never an error meanwhile"
        );
        let from_edge = response.head.joined("Cache-Status").contains("stale-if-error");
        Some(response).filter(|_| from_edge)
    });
    assert!(is_stale(&stale));

    cdn.origin().on(PATH, Reply::ok("new").field("ETag", "\"new\""));
    cdn.origins()[0].start_again();
    eventually(SOON, || &client.get(PATH).body[..] == b"new");
}

#[test]
fn what_is_stale_and_may_not_stand_in_is_an_error() {
    let mut cdn = builder()
        .parents("ams", 1)
        .edges("ams", 1)
        .service("demo", soon_stale(Duration::ZERO))
        .start();
    cdn.origin().on(PATH, Reply::ok("old"));
    let client = cdn.http(EDGE);
    assert_eq!(client.get(PATH).status(), 200);
    cdn.origins()[0].stop();
    let failed = eventually(SOON, || {
        Some(client.get(PATH)).filter(|response| response.status() != 200)
    });
    assert!(matches!(failed.status(), 502 | 503), "{}", failed.head);
    assert!(
        failed.head.joined("Proxy-Status").contains("error="),
        "{}",
        failed.head
    );
}

#[test]
fn a_stale_object_that_still_holds_is_confirmed_without_its_body() {
    let cdn = builder()
        .parents("ams", 1)
        .edges("ams", 1)
        .service("demo", soon_stale(Duration::ZERO))
        .start();
    cdn.origin()
        .on(PATH, Reply::generated("1", 100_000).field("ETag", "\"v1\""));
    let client = cdn.http(EDGE);
    assert_eq!(client.get(PATH).status(), 200);
    let confirmed = eventually(SOON, || {
        Some(client.get(PATH))
            .filter(|response| response.head.joined("Cache-Status").contains("fwd-status=304"))
    });
    assert_eq!(confirmed.body, body("1", 100_000));
    assert_eq!(
        cdn.origin().bytes_sent(PATH),
        100_000,
        "the body crossed the wire once"
    );
    let conditional = cdn
        .origin()
        .requests()
        .into_iter()
        .skip(1)
        .all(|request| request.field("if-none-match") == Some("\"v1\""));
    assert!(conditional);
    assert!(results(&cdn, EDGE, "revalidated") >= 1.0);
}

#[test]
fn a_body_that_breaks_off_is_cut_off_for_the_player_and_never_kept() {
    let cdn = builder()
        .parents("ams", 1)
        .edges("ams", 1)
        .settings(Tier::Parent, |settings| {
            settings.text("upstream", "between_bytes_timeout", "1s");
        })
        .start();
    for (number, reply) in [
        Reply::generated("1", 400_000).truncated_at(300_000),
        Reply::generated("1", 400_000).reset_at(300_000),
        Reply::generated("1", 400_000)
            .chunked(10_000)
            .truncated_at(300_000),
        Reply::generated("1", 400_000).stalled_at(300_000),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/demo/{number}.m4s");
        cdn.origin().on(&path, reply);
        // Whatever was sent already is cut off; where nothing was, there is a status to say so.
        match cdn.http(EDGE).try_send(&Request::get(&path)) {
            Err(ClientError::Truncated { .. } | ClientError::Reset) => {}
            Ok(response) => {
                assert!(matches!(response.status(), 502 | 504), "{}", response.head);
                assert!(
                    response.head.joined("Proxy-Status").contains("error="),
                    "{}",
                    response.head
                );
            }
            Err(other) => panic!("{path}: {other}"),
        }
        cdn.origin().on(&path, Reply::generated("1", 400_000));
        let whole = eventually(SOON, || cdn.http(EDGE).try_send(&Request::get(&path)));
        assert_eq!(
            (whole.status(), &whole.body),
            (200, &body("1", 400_000)),
            "{path}"
        );
    }
    assert_eq!(results(&cdn, EDGE, "hit"), 0.0);
}

#[test]
fn when_a_parent_dies_the_other_serves_and_no_player_notices() {
    let mut cdn = builder().parents("ams", 2).edges("ams", 1).start();
    cdn.origin()
        .on_prefix("/demo/", |request| Reply::ok(request.target.clone()));
    let ask = |cdn: &Cdn, prefix: &str| {
        for number in 0..40 {
            let path = format!("/demo/{prefix}{number}.m4s");
            let response = cdn.http(EDGE).get(&path);
            assert_eq!(
                (response.status(), &response.body[..]),
                (200, path.as_bytes()),
                "{}",
                response.head
            );
        }
    };
    ask(&cdn, "before");
    let served = |cdn: &Cdn, parent: &str| cdn.daemon(parent).metric("millrace_requests_total", &[]);
    assert!(
        served(&cdn, "parent-ams-1") > 0.0 && served(&cdn, "parent-ams-2") > 0.0,
        "both have their share"
    );
    cdn.daemon_mut("parent-ams-1").kill9();
    ask(&cdn, "after");
    assert!(served(&cdn, "parent-ams-2") >= 40.0);

    cdn.daemon_mut("parent-ams-1").launch_again();
    cdn.daemon_mut("parent-ams-1").await_ready();
    let mut batch = 0;
    eventually(SOON, || {
        batch += 1;
        ask(&cdn, &format!("again{batch}-"));
        served(&cdn, "parent-ams-1") > 0.0
    });
}

#[test]
fn the_parents_of_the_nearest_site_come_first_and_the_others_after_them() {
    let mut cdn = builder()
        .parents("ams", 1)
        .parents("iad", 1)
        .edges("ams", 1)
        .start();
    cdn.origin().on_prefix("/demo/", |_| Reply::ok("content"));
    let via = |path: &str| cdn.http(EDGE).get(path).head.joined("Via");
    assert!((0..10).all(|number| via(&format!("/demo/a{number}")).contains("parent-ams-1")));
    cdn.daemon_mut("parent-ams-1").kill9();
    let via = |path: &str| cdn.http(EDGE).get(path).head.joined("Via");
    assert!((0..10).all(|number| via(&format!("/demo/b{number}")).contains("parent-iad-1")));
}

#[test]
fn when_all_parents_are_gone_no_edge_ever_asks_the_origin() {
    let mut cdn = builder().parents("ams", 2).edges("ams", 1).start();
    cdn.origin().on_prefix("/demo/", |_| Reply::ok("content"));
    assert_eq!(cdn.http(EDGE).get("/demo/kept.m4s").status(), 200);
    cdn.daemon_mut("parent-ams-1").kill9();
    cdn.daemon_mut("parent-ams-2").kill9();
    let (requests, connections) = (cdn.origin().total(), cdn.origin().connections());

    for number in 0..20 {
        let response = cdn.http(EDGE).get(&format!("/demo/{number}.m4s"));
        assert!(matches!(response.status(), 502 | 503), "{}", response.head);
        assert!(
            response
                .head
                .joined("Proxy-Status")
                .contains("edge-ams-1; error="),
            "{}",
            response.head
        );
    }
    assert_eq!(
        cdn.http(EDGE).get("/demo/kept.m4s").status(),
        200,
        "what is fresh is served all the same"
    );
    assert_eq!(
        (cdn.origin().total(), cdn.origin().connections()),
        (requests, connections)
    );

    cdn.daemon_mut("parent-ams-1").launch_again();
    cdn.daemon_mut("parent-ams-1").await_ready();
    eventually(SOON, || cdn.http(EDGE).get("/demo/back.m4s").status() == 200);
}

#[test]
fn a_parent_that_hangs_is_given_up_and_the_other_serves() {
    // The edge gives a parent up after a second here, and asks the other within the patience of its players.
    let cdn = builder()
        .parents("ams", 2)
        .edges("ams", 1)
        .settings(Tier::Edge, |settings| {
            settings.text("upstream", "first_byte_timeout", "1s");
        })
        .start();
    cdn.origin().on_prefix("/demo/", |_| Reply::ok("content"));
    cdn.daemon("parent-ams-1").freeze();
    for number in 0..6 {
        assert_eq!(cdn.http(EDGE).get(&format!("/demo/{number}.m4s")).status(), 200);
    }
    cdn.daemon("parent-ams-1").thaw();
}

#[test]
fn an_origin_that_switches_protocols_unasked_is_refused_and_what_follows_is_not_taken_for_content() {
    let cdn = one_of_each();
    cdn.origin().on(
        "/demo/1.m4s",
        Reply::raw(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n\
             HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
        ),
    );
    let response = cdn.http(EDGE).get("/demo/1.m4s");
    assert_eq!(response.status(), 502, "{}", response.head);
    cdn.origin().on("/demo/1.m4s", Reply::ok("content"));
    assert_eq!(&cdn.http(EDGE).get("/demo/1.m4s").body[..], b"content");
}
