//! What a service says of itself: countries, places elsewhere, spreading; and what an encoder reads from the fleet.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use model::routing::{Bypass, Countries};
use model::{Country, Status};

use super::super::decision::Why;
use super::super::{Evidence, Family, Key, Question, Reason, ServiceId, Tally, World, decide};
use super::cdn::{Cdn, cdn, first};

fn one_site() -> Cdn {
    cdn(&[("ams", 52.3, 4.8, 8)])
}

fn place(url: &str) -> Bypass {
    Bypass {
        url: Some(url.to_owned()),
        addresses: vec!["192.0.2.1".parse().unwrap()],
    }
}

#[test]
fn clients_are_blocked_or_sent_elsewhere_by_their_country() {
    let mut cdn = one_site();
    cdn.route(|routing| {
        routing.countries = Some(Countries::Block(vec!["DE".to_owned(), "CH".to_owned()]));
        routing.elsewhere = BTreeMap::from([("CH".to_owned(), place("https://ch.example"))]);
    });
    let world = cdn.world();
    let ranking = [cdn.site("ams")];
    for (code, reason, url) in [
        ("NL", Reason::Geography, None),
        ("DE", Reason::Blocked, None),
        ("CH", Reason::Elsewhere, Some("https://ch.example")),
    ] {
        let question = Question {
            country: Country::new(code),
            ..cdn.question(1, &ranking, 5)
        };
        let decision = decide(&world, &question);
        assert_eq!(decision.reason, reason, "{code}");
        assert_eq!(decision.instead.and_then(|place| place.url.as_deref()), url);
        assert_eq!(decision.site.is_none(), decision.nodes.is_empty());
        assert_eq!(decision.site.is_some(), reason == Reason::Geography, "{code}");
    }
}

#[test]
fn where_nothing_can_serve_the_service_may_name_a_place_outside() {
    let mut cdn = one_site();
    for node in cdn.snapshot.nodes.values_mut() {
        node.status = Status::AdminDown;
    }
    cdn.publish();
    let ranking = [cdn.site("ams")];
    let world = cdn.world();
    let decision = decide(&world, &cdn.question(1, &ranking, 5));
    assert_eq!((decision.reason, decision.instead), (Reason::Nothing, None));
    cdn.route(|routing| routing.bypass = Some(place("https://other.example")));
    let world = cdn.world();
    let decision = decide(&world, &cdn.question(1, &ranking, 5));
    assert_eq!(decision.reason, Reason::Bypass);
    assert_eq!(decision.instead, Some(&place("https://other.example")));
}

#[test]
fn nobody_is_sent_to_a_service_that_is_off_or_is_none() {
    let mut cdn = one_site();
    let ranking = [cdn.site("ams")];
    let world = cdn.world();
    let stray = Question {
        service: ServiceId(9),
        ..cdn.question(1, &ranking, 5)
    };
    assert_eq!(decide(&world, &stray).reason, Reason::Disabled);
    cdn.route(|routing| routing.enabled = false);
    let world = cdn.world();
    assert_eq!(
        decide(&world, &cdn.question(1, &ranking, 5)).reason,
        Reason::Disabled
    );
}

#[test]
fn the_reason_names_the_evidence() {
    let mut cdn = one_site();
    let ranking = [cdn.site("ams")];
    let world = cdn.world();
    for (evidence, reason) in [
        (Evidence::Coverage, "coverage"),
        (Evidence::Latency, "latency"),
        (Evidence::Geography, "geography"),
        (Evidence::Default, "default"),
    ] {
        let question = Question {
            evidence,
            ..cdn.question(1, &ranking, 5)
        };
        assert_eq!(decide(&world, &question).reason.as_str(), reason);
    }
    // Without any ranking there is still a site.
    let nowhere = Question {
        evidence: Evidence::Default,
        ..cdn.question(1, &[], 5)
    };
    assert_eq!(decide(&world, &nowhere).site, Some(cdn.site("ams")));
}

#[test]
fn a_service_may_have_each_key_spread_over_a_few_nodes() {
    let mut cdn = one_site();
    let ranking = [cdn.site("ams")];
    let world = cdn.world();
    let order = decide(&world, &cdn.question(1, &ranking, 5)).nodes;
    assert!(!decide(&world, &cdn.question(1, &ranking, 5)).by_prefix);
    cdn.route(|routing| routing.dispersion = 3);
    let world = cdn.world();
    let mut clients: BTreeMap<String, u32> = BTreeMap::new();
    for client in 0..3000 {
        let decision = decide(&world, &cdn.question(client, &ranking, 5));
        assert!(decision.by_prefix);
        assert!(decision.nodes[..3].iter().all(|choice| choice.why == Why::Spread));
        // The same three first, and the rest as before.
        let edges = |nodes: &[super::super::Choice]| {
            let mut edges: Vec<u8> = nodes.iter().map(|choice| choice.edge.0).collect();
            edges.sort_unstable();
            edges
        };
        assert_eq!(edges(&decision.nodes[..3]), edges(&order[..3]));
        assert_eq!(&decision.nodes[3..], &order[3..]);
        *clients.entry(first(&world, &decision).to_owned()).or_default() += 1;
    }
    assert_eq!(clients.len(), 3);
    assert!(
        clients.values().all(|count| (880..1120).contains(count)),
        "{clients:?}"
    );
}

/// A host name is one key for everybody: if it could skip an edge only as a whole, all its clients would be thrown to
/// and fro.
#[test]
fn a_crowded_edge_passes_on_some_clients_of_a_host_name() {
    let mut cdn = one_site();
    let ranking = [cdn.site("ams")];
    let world = cdn.world();
    let host = |cdn: &Cdn, client| Question {
        key: Key::Host(77),
        ..cdn.question(client, &ranking, 0)
    };
    let owner = first(&world, &decide(&world, &host(&cdn, 1))).to_owned();
    cdn.see_site("ams", |node| node.utilisation = Some(0.2));
    cdn.see(&owner, |node| node.utilisation = Some(0.6));
    cdn.wait(30);
    let world = cdn.world();
    let mut kept = 0;
    for client in 0..2000 {
        let decision = decide(&world, &host(&cdn, client));
        assert!(decision.by_prefix);
        kept += u32::from(first(&world, &decision) == owner);
    }
    // It has 2.4 times the mean, and should have 1.1.
    assert!((810..1020).contains(&kept), "{kept}");
}

#[test]
fn a_crowded_edge_passes_clients_of_a_spread_key_on_to_those_that_have_it() {
    let mut cdn = one_site();
    let (site, key) = (cdn.site("ams"), 7);
    let ranking = [site];
    let counted = || {
        let mut tally = Tally::default();
        (0..1000).for_each(|nth| tally.count(site, if nth < 70 { key } else { nth }, 1));
        [tally]
    };
    let clients_of = |cdn: &Cdn, world: &World| {
        let mut clients: BTreeMap<String, u32> = BTreeMap::new();
        for client in 0..2000 {
            let decision = decide(world, &cdn.question(client, &ranking, key));
            *clients.entry(first(world, &decision).to_owned()).or_default() += 1;
        }
        clients
    };
    cdn.see_site("ams", |node| node.utilisation = Some(0.3));
    let world = cdn.counted_world(&counted());
    let before = clients_of(&cdn, &world);
    // 0.56 of what one of eight edges has.
    assert_eq!(before.len(), 3, "{before:?}");
    let crowded = before.keys().next().unwrap().clone();
    cdn.see(&crowded, |node| node.utilisation = Some(0.9));
    cdn.wait(30);
    let world = cdn.counted_world(&counted());
    let after = clients_of(&cdn, &world);
    assert!(
        after.keys().eq(before.keys()),
        "nobody has to fetch it: {after:?}"
    );
    assert!(
        after[&crowded] < before[&crowded] * 7 / 10,
        "{before:?} {after:?}"
    );
}

#[test]
fn an_encoder_finds_names_addresses_and_lives_in_the_fleet() {
    let cdn = one_site();
    let service = cdn.fleet.service_of_host("films.example").unwrap();
    let films = cdn.fleet.service(service).unwrap();
    assert_eq!((&*films.name, films.answers), ("films", 2));
    assert_eq!(films.ttl, Duration::from_secs(30));
    assert_eq!(cdn.fleet.service_of_host("other.example"), None);
    let edge = cdn.fleet.edge(cdn.site("ams"), super::super::EdgeId(2)).unwrap();
    assert_eq!(&*edge.name, "ams-02");
    assert_eq!(edge.ip(Family::Ipv4), Some(IpAddr::from([10, 0, 0, 3])));
    assert_eq!(
        edge.address(Family::Ipv4, true),
        Some(([10, 0, 0, 3], 443).into())
    );
    assert_eq!(edge.address(Family::Ipv4, false), None);
    assert_eq!(edge.ip(Family::Ipv6), Some("2001:db8::3".parse().unwrap()));
}
