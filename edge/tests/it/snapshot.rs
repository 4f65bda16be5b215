//! The document that describes the CDN, followed while it serves: what is sound takes over, what is not is refused.

use std::time::Duration;

use testkit::client::Request;
use testkit::eventually;
use testkit::origin::Reply;

use crate::{EDGE, one_of_each};

/// A file is looked at every second.
const TAKEN_WITHIN: Duration = Duration::from_secs(10);

#[test]
fn a_new_host_is_served_once_it_is_published() {
    let mut cdn = one_of_each();
    cdn.origin().on("/a", Reply::ok("a"));
    let client = cdn.http(EDGE).host("new.media.test");
    assert_eq!(client.get("/a").status(), 421);
    cdn.publish(|snapshot| {
        snapshot
            .services
            .get_mut("demo")
            .unwrap()
            .hosts
            .push("new.media.test".to_owned())
    });
    eventually(TAKEN_WITHIN, || client.get("/a").status() == 200);
}

#[test]
fn changed_header_rules_hold_for_what_is_stored_already() {
    let mut cdn = one_of_each();
    cdn.origin().on("/a", Reply::ok("a"));
    let client = cdn.http(EDGE);
    assert_eq!(client.get("/a").field("X-Region"), Some("ams"));
    cdn.publish(|snapshot| {
        let rules = &mut snapshot.services.get_mut("demo").unwrap().header_rules;
        rules[0].value = Some("{node} in {region}".to_owned());
    });
    eventually(TAKEN_WITHIN, || {
        client.get("/a").field("X-Region") == Some("edge-ams-1 in eu-west")
    });
    assert_eq!(cdn.origin().total(), 1);
}

#[test]
fn a_bad_snapshot_is_refused_with_every_complaint_and_the_old_one_stays() {
    let mut cdn = one_of_each();
    cdn.origin().on("/a", Reply::ok("a"));
    assert_eq!(cdn.http(EDGE).get("/a").status(), 200);
    let sound = cdn.snapshot().clone();

    cdn.publish_bytes(b"{ \"cdn\": ");
    cdn.daemon(EDGE).hang_up();
    eventually(TAKEN_WITHIN, || {
        cdn.daemon(EDGE)
            .errors()
            .iter()
            .any(|line| line.contains("not a snapshot"))
    });
    cdn.publish(|snapshot| {
        let service = snapshot.services.get_mut("demo").unwrap();
        service.hosts.push("not a host".to_owned());
        service.origins[0].weight = 0.0;
    });
    cdn.daemon(EDGE).hang_up();
    eventually(TAKEN_WITHIN, || {
        let log = cdn.daemon(EDGE).errors().join("\n");
        log.contains("services.demo.hosts") && log.contains("services.demo.origins[0].weight")
    });
    assert_eq!(cdn.http(EDGE).get("/a").status(), 200);
    assert_eq!(
        cdn.http(EDGE)
            .host("not a host")
            .try_send(&Request::get("/a"))
            .unwrap()
            .status(),
        400
    );

    cdn.publish(|snapshot| {
        *snapshot = model::Snapshot {
            number: snapshot.number,
            ..sound
        };
        snapshot
            .services
            .get_mut("demo")
            .unwrap()
            .hosts
            .push("mended.media.test".to_owned());
    });
    eventually(TAKEN_WITHIN, || {
        cdn.http(EDGE).host("mended.media.test").get("/a").status() == 200
    });
}
