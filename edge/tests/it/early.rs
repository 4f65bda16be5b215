//! Popular objects are asked for again shortly before they end, so that no player waits for the origin.

use std::time::Duration;

use model::Period;
use testkit::cdn::Cdn;
use testkit::eventually;
use testkit::origin::Reply;

use crate::{EDGE, PARENT, builder, results};

const PATH: &str = "/demo/1.m4s";

/// How long an object is fresh: the last tenth of it has room for many requests.
const FRESH: Duration = Duration::from_secs(10);

/// Requests between two looks at the counters.
const CROWD: usize = 20;

fn cdn() -> Cdn {
    let cdn = builder()
        .parents("ams", 1)
        .edges("ams", 1)
        .service("demo", |service| {
            let ttl = service.ttl.as_mut().unwrap();
            ttl.segment = Some(Period(FRESH));
        })
        .start();
    cdn.origin()
        .on_each(PATH, |request| match request.field("if-none-match") {
            Some(_) => Reply::status(304).field("ETag", "\"1\""),
            None => Reply::ok("content").field("ETag", "\"1\""),
        });
    cdn
}

fn early_refreshes(cdn: &Cdn, node: &str) -> f64 {
    cdn.daemon(node).metric("millrace_early_refreshes_total", &[])
}

#[test]
fn a_popular_object_is_refreshed_before_its_end_and_nobody_waits() {
    let cdn = cdn();
    assert_eq!(cdn.http(EDGE).get(PATH).body, "content");
    // A machine that is busy in just that second misses it: then there is another one.
    eventually(FRESH * 6, || {
        for _ in 0..CROWD {
            let response = cdn.http(EDGE).get(PATH);
            assert_eq!((response.status(), &response.body[..]), (200, &b"content"[..]));
        }
        early_refreshes(&cdn, EDGE) > 0.0
    });
    let asked = || cdn.origin().total() as f64;
    let answered = || 1.0 + early_refreshes(&cdn, EDGE) + results(&cdn, EDGE, "revalidated");
    eventually(FRESH, || match (asked(), answered()) {
        (asked, answered) if asked == answered => Ok(()),
        counts => Err(format!("asked and answered: {counts:?}")),
    });
    let last = cdn.origin().requests().pop().unwrap();
    assert_eq!(last.field("if-none-match"), Some("\"1\""));
    // Each time the parent had an object that ended with the edge's: it was told how long ours would do.
    assert_eq!(results(&cdn, PARENT, "revalidated"), asked() - 1.0);
    assert_eq!(results(&cdn, EDGE, "miss"), 1.0, "the first");
    assert_eq!(results(&cdn, EDGE, "stale"), 0.0);
}
