//! Edges measure how far away their clients are, and a network goes where it is clearly quicker.

use model::round_trip::{RoundTrip, RoundTrips};
use testkit::origin::{Origin, Reply};

use crate::{OF_AMS, OF_IAD, PATIENCE, ROUTER, await_all_well, await_answer, routed};

#[test]
fn an_edge_tells_how_far_away_its_clients_are() {
    let cdn = routed().edges("ams", 1).start();
    cdn.origin().on("/a", Reply::ok("film"));
    for _ in 0..20 {
        assert_eq!(cdn.http("edge-ams-1").get("/a").status(), 200);
        assert_eq!(cdn.https("edge-ams-1").get("/a").status(), 200);
    }
    assert_eq!(cdn.http2("edge-ams-1").get("/a").status(), 200);
    testkit::eventually(PATIENCE, || {
        let page = cdn.daemon("edge-ams-1").admin("/round-trips").unwrap();
        let told: RoundTrips = serde_json::from_slice(&page.body).unwrap();
        let own = told
            .round_trips
            .iter()
            .find(|one| one.network == "127.0.0.0/24")
            .cloned();
        match own {
            Some(own) if own.samples >= 41 && own.microseconds < 1_000_000 => Ok(()),
            _ => Err(format!("{told:?}")),
        }
    });
}

/// What an edge would say of a network that is so far away. A machine cannot be far from itself.
fn says(milliseconds: u32) -> Reply {
    let one = RoundTrip {
        network: "16.1.2.0/24".to_owned(),
        microseconds: milliseconds * 1000,
        samples: 100,
        age_seconds: 1,
    };
    Reply::ok(
        serde_json::to_vec(&RoundTrips {
            round_trips: vec![one],
        })
        .unwrap(),
    )
}

#[test]
fn a_network_goes_where_edges_have_measured_it_to_be_quicker() {
    let mut cdn = routed()
        .router_settings(|settings| {
            settings.text("geography", "round_trips", "200ms");
        })
        .edges("ams", 1)
        .edges("iad", 1)
        .start();
    await_all_well(&cdn);
    await_answer(&cdn, OF_AMS, &["edge-ams-1"]);
    let told = [Origin::start(), Origin::start()];
    cdn.publish(|snapshot| {
        for (edge, origin) in ["edge-ams-1", "edge-iad-1"].into_iter().zip(&told) {
            snapshot.nodes.get_mut(edge).unwrap().admin = Some(origin.address());
        }
    });
    told[0].on("/round-trips", says(80));
    told[1].on("/round-trips", says(78));
    testkit::eventually(PATIENCE, || {
        if told[1].count("/round-trips") > 3 {
            Ok(())
        } else {
            Err("it was not asked yet")
        }
    });
    await_answer(&cdn, OF_AMS, &["edge-ams-1"]);
    told[1].on("/round-trips", says(20));
    await_answer(&cdn, OF_AMS, &["edge-iad-1"]);
    assert_eq!(
        cdn.daemon(ROUTER).metric("millrace_router_networks_moved", &[]),
        1.0
    );
    await_answer(&cdn, "16.9.9.9", &["edge-ams-1"]);
    await_answer(&cdn, OF_IAD, &["edge-iad-1"]);
    told[1].on("/round-trips", says(90));
    await_answer(&cdn, OF_AMS, &["edge-ams-1"]);
}
