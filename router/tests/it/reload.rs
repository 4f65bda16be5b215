//! Documents and files that change while the router answers: good ones come into use, bad ones do not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use testkit::cdn::HOST;

use crate::{OF_AMS, OF_IAD, PATIENCE, ROUTER, await_all_well, await_answer, database, network, routed};

#[test]
fn bad_geography_and_bad_snapshots_are_refused_while_no_query_is_lost() {
    let mut cdn = routed()
        .geography("coverage", br#"{"zones":[]}"#.to_vec())
        .edges("ams", 1)
        .edges("iad", 1)
        .start();
    await_all_well(&cdn);
    await_answer(&cdn, OF_AMS, &["edge-ams-1"]);
    let (ended, address) = (AtomicBool::new(false), cdn.dns_address());
    thread::scope(|scope| {
        // Somebody asks all the time, and always hears something.
        let asking = scope.spawn(|| {
            let mut dns = testkit::dns::Dns::of(address).unwrap();
            let mut asked = 0;
            while !ended.load(Ordering::Relaxed) {
                let reply = dns.ask(HOST, "A", Some(network(OF_AMS))).unwrap();
                assert_eq!((reply.rcode.as_str(), reply.addresses.len()), ("NOERROR", 1));
                asked += 1;
            }
            asked
        });
        let refused = |most: f64| {
            testkit::eventually(PATIENCE, || {
                let refused = cdn
                    .daemon(ROUTER)
                    .metric("millrace_router_geographies_refused_total", &[]);
                if refused >= most { Ok(()) } else { Err(refused) }
            });
        };
        let whole = database(&[]);
        cdn.publish_geography("database", &whole[..whole.len() / 2]);
        refused(1.0);
        cdn.publish_geography("database", b"no database");
        refused(2.0);
        let log = cdn.daemon(ROUTER).errors().join("\n");
        assert!(
            log.contains("a new geography is refused") && log.contains("database.geo"),
            "{log}"
        );
        await_answer(&cdn, OF_AMS, &["edge-ams-1"]);

        cdn.publish_geography(
            "database",
            &database(&[("16.0.0.0/7".parse().unwrap(), 39.0, -77.0, "US")]),
        );
        cdn.publish_geography(
            "coverage",
            br#"{"zones":[{"prefix":"16.1.0.0/16","sites":["iad"]}]}"#,
        );
        await_answer(&cdn, OF_AMS, &["edge-iad-1"]);
        cdn.publish_geography("coverage", br#"{"zones":[{"prefix":"16.1.0.0/16","sites":[]}]}"#);
        refused(3.0);
        await_answer(&cdn, OF_AMS, &["edge-iad-1"]);
        cdn.publish_geography(
            "coverage",
            br#"{"zones":[{"prefix":"17.0.0.0/8","sites":["ams"]}]}"#,
        );
        await_answer(&cdn, OF_IAD, &["edge-ams-1"]);
        cdn.publish_bytes(b"{\"cdn\":");
        testkit::eventually(PATIENCE, || {
            let refused = cdn
                .daemon(ROUTER)
                .metric("millrace_document_refused", &[("document", "snapshot")]);
            if refused == 1.0 { Ok(()) } else { Err(refused) }
        });
        await_answer(&cdn, OF_IAD, &["edge-ams-1"]);
        ended.store(true, Ordering::Relaxed);
        assert!(asking.join().unwrap() > 100);
    });

    // A bad file does not keep the router from starting, however often: what was last good is kept.
    cdn.publish(|_| {});
    cdn.publish_geography("coverage", b"{");
    for start in 1..=2 {
        cdn.daemon_mut(ROUTER).kill9();
        cdn.daemon_mut(ROUTER).launch_again();
        cdn.daemon_mut(ROUTER).await_ready();
        await_answer(&cdn, OF_IAD, &["edge-ams-1"]);
        let log = cdn.daemon(ROUTER).errors();
        let told = log
            .iter()
            .filter(|line| line.contains("geography is refused, what was last good is in use"));
        assert_eq!(told.count(), start, "{log:?}");
    }
}

#[test]
fn a_site_can_go_while_zones_still_name_it_and_the_router_starts_without_it() {
    let zone = br#"{"zones":[{"prefix":"17.0.0.0/8","sites":["atlantis","iad"]}]}"#;
    let mut cdn = routed()
        .geography("coverage", zone.to_vec())
        .edges("ams", 1)
        .edges("iad", 1)
        .start();
    await_all_well(&cdn);
    await_answer(&cdn, OF_IAD, &["edge-iad-1"]);
    let unknown = |cdn: &testkit::cdn::Cdn| {
        cdn.daemon(ROUTER)
            .metric("millrace_router_geography_unknown_sites", &[])
    };
    assert_eq!(unknown(&cdn), 1.0);
    cdn.publish(|snapshot| {
        snapshot.nodes.remove("edge-iad-1");
        snapshot.sites.remove("iad");
    });
    await_answer(&cdn, OF_IAD, &["edge-ams-1"]);
    cdn.daemon_mut(ROUTER).kill9();
    cdn.daemon_mut(ROUTER).launch_again();
    cdn.daemon_mut(ROUTER).await_ready();
    await_answer(&cdn, OF_IAD, &["edge-ams-1"]);
    assert_eq!(unknown(&cdn), 2.0);
}

#[test]
fn a_new_site_and_its_edges_come_into_use_together_as_soon_as_geography_can_be_read() {
    let mut cdn = routed()
        .geography("coverage", br#"{"zones":[]}"#.to_vec())
        .edges("ams", 1)
        .edges("iad", 1)
        .start();
    await_all_well(&cdn);
    await_answer(&cdn, OF_IAD, &["edge-iad-1"]);
    let refused = |cdn: &testkit::cdn::Cdn, least: f64| {
        testkit::eventually(PATIENCE, || {
            let refused = cdn
                .daemon(ROUTER)
                .metric("millrace_router_geographies_refused_total", &[]);
            if refused >= least { Ok(()) } else { Err(refused) }
        });
    };
    cdn.publish_geography("coverage", b"{");
    refused(&cdn, 1.0);
    cdn.publish(|snapshot| {
        let mut near = snapshot.sites["iad"].clone();
        (near.latitude, near.longitude) = (39.0, -77.0);
        snapshot.sites.insert("bwi".to_owned(), near);
        snapshot.nodes.get_mut("edge-ams-1").unwrap().site = "bwi".to_owned();
    });
    refused(&cdn, 2.0);
    await_answer(&cdn, OF_IAD, &["edge-iad-1"]);
    cdn.publish_geography("coverage", br#"{"zones":[ ]}"#);
    await_answer(&cdn, OF_IAD, &["edge-ams-1"]);
    await_answer(&cdn, OF_AMS, &["edge-ams-1"]);
}
