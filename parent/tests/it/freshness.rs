//! How long things are fresh: said where they enter the CDN, and added up over the tiers.

use std::time::Duration;

use model::Period;
use model::service::{PathTtl, TtlRules};
use testkit::cdn::Cdn;
use testkit::eventually;
use testkit::origin::Reply;

use crate::{PARENT, builder};

const EDGE: &str = "edge-ams-1";

fn seconds(count: u64) -> Option<Period> {
    Some(Period(Duration::from_secs(count)))
}

/// The `Cache-Control` with which what the origin serves as `reply` comes out of the parent.
#[track_caller]
fn cache_control(cdn: &Cdn, path: &str, reply: Reply) -> String {
    cdn.origin().on(path, reply);
    let response = cdn.http(PARENT).get(path);
    assert_eq!(response.status(), 200, "{}", response.head);
    response.head.joined("Cache-Control")
}

#[test]
fn rules_that_override_hold_whatever_the_origin_says_but_no_store_and_private() {
    let cdn = builder()
        .parents("ams", 1)
        .service("demo", |service| {
            let ttl = service.ttl.as_mut().unwrap();
            ttl.paths = vec![PathTtl {
                prefix: "/live/".to_owned(),
                ttl: Period(Duration::from_secs(2)),
            }];
        })
        .start();
    let of = |path: &str, said: &str| cache_control(&cdn, path, Reply::ok("x").field("Cache-Control", said));
    assert_eq!(of("/1.m3u8", "max-age=600"), "max-age=15");
    assert_eq!(of("/1.mpd", "max-age=1"), "max-age=15");
    assert_eq!(of("/1.m4s", "max-age=1"), "max-age=3600");
    assert_eq!(of("/1.ts", "s-maxage=1"), "max-age=3600, public");
    assert_eq!(of("/1.txt", "max-age=1"), "max-age=3600");
    assert_eq!(of("/live/1.m4s", "max-age=600"), "max-age=2");
    assert_eq!(
        of("/must.m4s", "max-age=1, must-revalidate"),
        "max-age=3600, must-revalidate"
    );
    assert_eq!(of("/no-store.m4s", "no-store"), "no-store");
    assert_eq!(of("/private.m4s", "private, max-age=60"), "private, max-age=60");
    assert_eq!(cache_control(&cdn, "/silent.m4s", Reply::ok("x")), "max-age=3600");
}

#[test]
fn rules_that_do_not_override_hold_where_the_origin_is_silent() {
    let cdn = builder()
        .parents("ams", 1)
        .service("demo", |service| {
            service.ttl = Some(TtlRules {
                override_origin: false,
                ..service.ttl.take().unwrap()
            });
        })
        .start();
    let of = |path: &str, said: &str| cache_control(&cdn, path, Reply::ok("x").field("Cache-Control", said));
    assert_eq!(of("/1.m3u8", "max-age=600"), "max-age=600");
    assert_eq!(of("/1.m4s", "max-age=1"), "max-age=1");
    assert_eq!(cache_control(&cdn, "/silent.m4s", Reply::ok("x")), "max-age=3600");
}

#[test]
fn an_object_is_revalidated_once_its_time_is_over() {
    let cdn = builder()
        .parents("ams", 1)
        .service("demo", |service| {
            service.ttl.as_mut().unwrap().segment = seconds(1)
        })
        .start();
    cdn.origin()
        .on("/1.m4s", Reply::generated("1", 10_000).field("ETag", "\"v1\""));
    let client = cdn.http(PARENT);
    assert_eq!(client.get("/1.m4s").status(), 200);
    eventually(Duration::from_secs(10), || {
        assert_eq!(client.get("/1.m4s").status(), 200);
        cdn.origin().count("/1.m4s") >= 3
    });
    assert_eq!(cdn.origin().bytes_sent("/1.m4s"), 10_000, "a 304 each time");
    cdn.origin()
        .on("/1.m4s", Reply::ok("changed").field("ETag", "\"v2\""));
    eventually(Duration::from_secs(10), || {
        &client.get("/1.m4s").body[..] == b"changed"
    });
}

#[test]
fn ages_add_up_over_both_tiers_so_that_nothing_is_fresh_longer_than_its_rule_says() {
    let cdn = builder()
        .parents("ams", 1)
        .edges("ams", 2)
        .service("demo", |service| {
            service.ttl.as_mut().unwrap().manifest = seconds(4)
        })
        .start();
    cdn.origin()
        .on("/1.m3u8", Reply::ok("old").field("ETag", "\"old\""));
    assert_eq!(cdn.http(PARENT).get("/1.m3u8").status(), 200);
    let left_the_origin = std::time::Instant::now();
    cdn.origin()
        .on("/1.m3u8", Reply::ok("new").field("ETag", "\"new\""));
    // An edge that asks late gets the object with the age it has, and does not begin to count anew.
    let late = eventually(Duration::from_secs(10), || {
        let response = cdn.http(PARENT).get("/1.m3u8");
        let age: u64 = response.field("Age").unwrap().parse().unwrap();
        (age >= 2).then(|| cdn.http(EDGE).get("/1.m3u8"))
    });
    let age: u64 = late.field("Age").unwrap().parse().unwrap();
    assert!(age >= 2, "{}", late.head);
    assert_eq!(late.field("Cache-Control"), Some("max-age=4"));
    eventually(Duration::from_secs(10), || {
        let response = cdn.http(EDGE).get("/1.m3u8");
        let fresh = &response.body[..] == b"new";
        let over = left_the_origin.elapsed();
        assert!(
            fresh || over < Duration::from_secs(6),
            "served as fresh {over:?} after it left the origin"
        );
        fresh
    });
}

#[test]
fn without_rules_the_origin_and_the_rfc_decide() {
    let cdn = builder()
        .parents("ams", 1)
        .service("demo", |service| service.ttl = None)
        .start();
    let client = cdn.http(PARENT);
    let asked_twice = |path: &str, reply: Reply| {
        cdn.origin().on(path, reply);
        assert_eq!((client.get(path).status(), client.get(path).status()), (200, 200));
        cdn.origin().count(path)
    };
    assert_eq!(
        asked_twice("/said", Reply::ok("x").field("Cache-Control", "max-age=60")),
        1
    );
    assert_eq!(
        asked_twice(
            "/shared",
            Reply::ok("x").field("Cache-Control", "max-age=0, s-maxage=60")
        ),
        1
    );
    assert_eq!(
        asked_twice(
            "/old",
            Reply::ok("x")
                .field("Cache-Control", "max-age=60")
                .field("Age", "61")
        ),
        2
    );
    assert_eq!(asked_twice("/expired", Reply::ok("x").field("Expires", "0")), 2);
    assert_eq!(asked_twice("/silent", Reply::ok("x")), 2);
}
